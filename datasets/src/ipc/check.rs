//! What a message of rows claims, held against its body. arrow-ipc 60.1 trusts that buffers are
//! within the body and that counts are not negative, and panics if they are not; and it allocates
//! what a compressed buffer says that it will be. (What it panics on was found by mutating files.)

use std::collections::VecDeque;

use arrow_ipc::{MetadataVersion, RecordBatch};
use arrow_schema::{DataType, Field, UnionMode};

use crate::error::ReadError;
use crate::flat::Input;

/// How much larger than the file the buffers of one message may become.
const GROWTH: u64 = 32 << 20;
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

/// What the buffers of a message are whole numbers of, in their order: arrow panics on an offset,
/// a key or a view that is cut off.
pub(super) fn widths<'a>(
    types: impl Iterator<Item = &'a DataType>,
    rows: RecordBatch,
    version: MetadataVersion,
) -> Vec<usize> {
    let mut widths = Widths {
        variadic: rows.variadicBufferCounts().into_iter().flatten().collect(),
        most: rows.buffers().map_or(0, |buffers| buffers.len()),
        has_union_nulls: version < MetadataVersion::V5,
        found: Vec::new(),
    };
    types.for_each(|data_type| widths.add(data_type));
    widths.found
}

struct Widths {
    /// How many buffers each column of views has besides its views, as far as not yet taken.
    variadic: VecDeque<i64>,
    /// The most buffers that there are.
    most: usize,
    has_union_nulls: bool,
    found: Vec<usize>,
}

impl Widths {
    /// Adds the buffers of a column.
    fn add(&mut self, data_type: &DataType) {
        match data_type {
            DataType::Null => {}
            DataType::Utf8 | DataType::Binary => self.found.extend([1, 4, 1]),
            DataType::LargeUtf8 | DataType::LargeBinary => self.found.extend([1, 8, 1]),
            DataType::Utf8View | DataType::BinaryView => {
                let count = self.variadic.pop_front().unwrap_or(0);
                let count = usize::try_from(count).unwrap_or(0).min(self.most);
                self.found.extend([1, 16]);
                self.found.resize(self.found.len() + count, 1);
            }
            DataType::List(item) | DataType::Map(item, _) => self.nested(&[1, 4], item),
            DataType::LargeList(item) => self.nested(&[1, 8], item),
            DataType::ListView(item) => self.nested(&[1, 4, 4], item),
            DataType::LargeListView(item) => self.nested(&[1, 8, 8], item),
            DataType::FixedSizeList(item, _) => self.nested(&[1], item),
            DataType::Dictionary(keys, _) => {
                self.found.extend([1, keys.primitive_width().unwrap_or(1)]);
            }
            DataType::Struct(fields) => {
                self.found.push(1);
                fields.iter().for_each(|field| self.add(field.data_type()));
            }
            DataType::RunEndEncoded(ends, values) => {
                self.add(ends.data_type());
                self.add(values.data_type());
            }
            DataType::Union(fields, mode) => {
                let own = 1 + usize::from(self.has_union_nulls);
                let own = own + usize::from(*mode == UnionMode::Dense);
                self.found.resize(self.found.len() + own, 1);
                fields.iter().for_each(|(_, field)| self.add(field.data_type()));
            }
            _ => self.found.extend([1, 1]),
        }
    }

    fn nested(&mut self, own: &[usize], item: &Field) {
        self.found.extend(own);
        self.add(item.data_type());
    }
}

/// Checks the sizes of the buffers of a message, which for compressed ones is what they say that
/// they will be: whole numbers of `widths`, and not too much together.
pub(super) fn check_sizes(
    input: &Input,
    at: u64,
    rows: RecordBatch,
    body: &[u8],
    widths: &[usize],
) -> Result<(), ReadError> {
    let most = input.len + GROWTH;
    let mut total = 0_u64;
    for (number, buffer) in rows.buffers().into_iter().flatten().enumerate() {
        let [start, len] = [buffer.offset(), buffer.length()].map(i64::unsigned_abs);
        let malformed = |expected: String, found: String| {
            let at = at.saturating_add(start);
            Err(input.malformed(at, format!("in buffer {number} of a message, {expected}"), found))
        };
        let mut size = len;
        if len > 0 && rows.compression().is_some() {
            let prefix = body.get(start as usize..).and_then(|rest| rest.first_chunk::<8>());
            let Some(prefix) = prefix.filter(|_| len >= SIZE) else {
                return malformed("its size".to_owned(), format!("{len} bytes"));
            };
            let claimed = i64::from_le_bytes(*prefix);
            size = match u64::try_from(claimed) {
                _ if claimed == NOT_COMPRESSED => len - SIZE,
                Ok(size) if total.saturating_add(size) <= most => size,
                _ => {
                    let expected =
                        format!("buffers of at most {most} bytes together when they are unpacked");
                    return malformed(expected, claimed.to_string());
                }
            };
            total += size;
        }
        let width = widths.get(number).map_or(1, |&width| width as u64);
        if !size.is_multiple_of(width) {
            return malformed(format!("values of {width} bytes"), format!("{size} bytes"));
        }
    }
    Ok(())
}
