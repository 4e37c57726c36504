//! What a message of rows claims, held against its body. arrow-ipc 60.1 trusts that buffers are
//! within the body and that counts are not negative, and panics if they are not; and it allocates
//! what a compressed buffer says that it will be.

use arrow_ipc::RecordBatch;

use crate::error::ReadError;
use crate::flat::Input;

/// How much larger than the file the buffers of one message may become.
const GROWTH: u64 = 64 << 20;
/// The size that a compressed buffer begins with, and what stands there if it is not compressed.
const SIZE: u64 = 8;
const NOT_COMPRESSED: i64 = -1;

/// Checks counts and buffers of a message whose body has `body` bytes, and gives the number of
/// rows.
pub(super) fn check_rows(
    input: &Input,
    at: u64,
    rows: RecordBatch,
    body: u64,
) -> Result<u64, ReadError> {
    // A value takes a bit at least, except where it is null by its type: such columns alone are
    // no file that anybody writes.
    let bytes = if rows.compression().is_some() { input.len + GROWTH } else { body };
    let most = bytes.saturating_mul(8);
    let count = |claimed: i64| u64::try_from(claimed).ok().filter(|&claimed| claimed <= most);
    let length = count(rows.length()).ok_or_else(|| {
        let expected = format!("a number of rows up to {most}, for which there are bytes");
        input.malformed(at, expected, rows.length().to_string())
    })?;
    for (column, node) in rows.nodes().into_iter().flatten().enumerate() {
        let values = count(node.length());
        let nulls = count(node.null_count());
        if values.is_none() || nulls.is_none() || nulls > values {
            let expected =
                format!("a number of values up to {most}, and no more nulls than values");
            let found = format!(
                "{} values and {} nulls in array {column}",
                node.length(),
                node.null_count()
            );
            return Err(input.malformed(at, expected, found));
        }
    }
    for (number, buffer) in rows.buffers().into_iter().flatten().enumerate() {
        let inside = || {
            let offset = u64::try_from(buffer.offset()).ok()?;
            let end = offset.checked_add(u64::try_from(buffer.length()).ok()?)?;
            (end <= body).then_some(())
        };
        if inside().is_none() {
            let expected = format!("buffer {number} within a body of {body} bytes");
            let found = format!("{} bytes from {}", buffer.length(), buffer.offset());
            return Err(input.malformed(at, expected, found));
        }
    }
    Ok(length)
}

/// Checks the sizes that the compressed buffers of a message say they will have.
pub(super) fn check_sizes(
    input: &Input,
    at: u64,
    rows: RecordBatch,
    body: &[u8],
) -> Result<(), ReadError> {
    if rows.compression().is_none() {
        return Ok(());
    }
    let most = input.len + GROWTH;
    let mut total = 0_u64;
    for (number, buffer) in rows.buffers().into_iter().flatten().enumerate() {
        let [start, len] = [buffer.offset(), buffer.length()].map(i64::unsigned_abs);
        let malformed = |expected: String, found: String| {
            let at = at.saturating_add(start);
            Err(input.malformed(at, format!("in buffer {number} of a message, {expected}"), found))
        };
        if len == 0 {
            continue;
        }
        let prefix = body.get(start as usize..).and_then(|rest| rest.first_chunk::<8>());
        let Some(prefix) = prefix.filter(|_| len >= SIZE) else {
            return malformed("its size".to_owned(), format!("{len} bytes"));
        };
        let size = match i64::from_le_bytes(*prefix) {
            NOT_COMPRESSED => continue,
            size => u64::try_from(size).ok(),
        };
        total = match size.and_then(|size| total.checked_add(size)).filter(|&sum| sum <= most) {
            Some(total) => total,
            None => {
                let expected =
                    format!("buffers of at most {most} bytes together when they are unpacked");
                return malformed(expected, i64::from_le_bytes(*prefix).to_string());
            }
        };
    }
    Ok(())
}
