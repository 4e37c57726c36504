//! A look at values that are packed by their runs or their differences, before the library unpacks
//! them: it panics at a number of more bytes than any can have, and reads beyond values that are
//! cut off.

use crate::parquet::thrift::Checked;

/// The most bytes that a number of variable length has.
const MOST_NUMBER: usize = 10;

/// Takes a number of variable length off the front; `None` where it is cut off.
fn take_number(rest: &mut &[u8]) -> Checked<Option<u64>> {
    let mut number = 0_u64;
    for at in 0..MOST_NUMBER {
        let Some((&byte, behind)) = rest.split_first() else { return Ok(None) };
        *rest = behind;
        // The last byte has bits to spare, which are lost in the library too.
        number |= u64::from(byte & 0x7f).checked_shl(7 * at as u32).unwrap_or(0);
        if byte < 0x80 {
            return Ok(Some(number));
        }
    }
    Err("a number of more than ten bytes")
}

/// A run of the hybrid of run lengths and bit packing.
enum Run<'a> {
    /// One value, so many times.
    Repeated(u64, usize),
    /// So many values, packed; there may be fewer bytes than they need.
    Packed(&'a [u8], usize),
}

/// Takes the next run off the front; `None` at the end. A zero, with which some writers pad, is an
/// empty run without a value.
fn take_run<'a>(rest: &mut &'a [u8], width: usize) -> Checked<Option<Run<'a>>> {
    const SHORT: &str = "a run of values that is cut off";
    if rest.is_empty() {
        return Ok(None);
    }
    let header = take_number(rest)?.ok_or(SHORT)?;
    if header == 0 {
        return Ok(Some(Run::Repeated(0, 0)));
    }
    if header > u64::from(u32::MAX) {
        return Err("a run of values beyond 2^32");
    }
    let count = (header >> 1) as usize;
    if header & 1 == 1 {
        let bytes = rest.len().min(count.saturating_mul(width));
        let (packed, behind) = rest.split_at(bytes);
        *rest = behind;
        return Ok(Some(Run::Packed(packed, count * 8)));
    }
    let (bytes, behind) = rest.split_at_checked(width.div_ceil(8)).ok_or(SHORT)?;
    *rest = behind;
    let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    Ok(Some(Run::Repeated(value, count)))
}

/// Looks at the runs of at most `count` values of `width` bits; where all of them have to be there,
/// the `whole` of what is packed has to be.
pub(super) fn check_runs(mut runs: &[u8], width: usize, count: usize, whole: bool) -> Checked<()> {
    let mut left = count;
    while left > 0 {
        match take_run(&mut runs, width)? {
            None => return Ok(()),
            Some(Run::Repeated(_, count)) => left = left.saturating_sub(count),
            Some(Run::Packed(packed, count)) => {
                // Of no bits the library reads no values, and goes on to the next run.
                let there = (packed.len() * 8).checked_div(width).unwrap_or(0);
                if whole && width > 0 && there < count.min(left) {
                    return Err("packed values that are cut off");
                }
                left = left.saturating_sub(count.min(there));
            }
        }
    }
    Ok(())
}

/// Takes numbers that are packed by their differences off the front, as far as they are there;
/// what is not is for the library to miss.
pub(super) fn take_deltas(rest: &mut &[u8]) -> Checked<()> {
    let mut header = [0; 4];
    for number in &mut header {
        let Some(found) = take_number(rest)? else { return Ok(()) };
        *number = found;
    }
    let [block, miniblocks, count, _first] = header;
    let (Some(values), Ok(miniblocks)) =
        (block.checked_div(miniblocks), usize::try_from(miniblocks))
    else {
        return Ok(());
    };
    let mut left = count.saturating_sub(1);
    while left > 0 {
        if take_number(rest)?.is_none() {
            return Ok(());
        }
        let Some((widths, behind)) = rest.split_at_checked(miniblocks) else { return Ok(()) };
        *rest = behind;
        for &width in widths {
            // Behind the last value, widths mean nothing.
            let bytes = if left == 0 { 0 } else { u64::from(width).saturating_mul(values) / 8 };
            left = left.saturating_sub(values);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            *rest = rest.get(bytes..).unwrap_or_default();
        }
        if values == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Looks at the runs of dictionary keys, as far as the library may read for `count` of them.
pub(super) fn check_key_runs(values: &[u8], count: usize) -> Checked<()> {
    /// It takes so many at a time, be they needed or not.
    const AT_A_TIME: usize = 1024;
    match values {
        [width, runs @ ..] => check_runs(runs, usize::from(*width), count + AT_A_TIME, false),
        [] => Ok(()),
    }
}

/// Checks that the first `count` keys are within a dictionary of `size` values.
pub(super) fn check_keys(values: &[u8], count: usize, size: u32) -> Checked<()> {
    const OUTSIDE: &str = "a key that is not in the dictionary";
    let Some((&width, mut rest)) = values.split_first() else { return Ok(()) };
    let width = usize::from(width);
    if width > 32 {
        return Err("dictionary keys of more than 32 bits");
    }
    let mut left = count;
    while left > 0 {
        let (has_outside, run) = match take_run(&mut rest, width)? {
            None => return Ok(()),
            Some(Run::Repeated(key, run)) => (run > 0 && key >= u64::from(size), run),
            Some(Run::Packed(packed, run)) => {
                let there = (packed.len() * 8).checked_div(width).unwrap_or(run);
                let keys = there.min(run).min(left);
                (!packed_below(packed, width, keys, u64::from(size)), run)
            }
        };
        if has_outside {
            return Err(OUTSIDE);
        }
        left = left.saturating_sub(run);
    }
    Ok(())
}

/// Whether `count` packed values of `width` bits are all below `limit`.
fn packed_below(packed: &[u8], width: usize, count: usize, limit: u64) -> bool {
    let (mut bits, mut held) = (0_u64, 0);
    let mut bytes = packed.iter();
    (0..count).all(|_| {
        while held < width {
            let Some(&byte) = bytes.next() else { return true };
            bits |= u64::from(byte) << held;
            held += 8;
        }
        let value = bits & ((1 << width) - 1);
        bits >>= width;
        held -= width;
        value < limit
    })
}
