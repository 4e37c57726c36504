//! The bin family of the big-ann benchmarks: `u32 rows, u32 dim`, then the rows, little-endian;
//! the extension gives the element type, and the file is exactly as long as the header says.
//! Layout: `harsha-simhadri/big-ann-benchmarks`, `benchmark/dataset_io.py`.

use crate::error::{ReadError, WriteError};
use crate::flat::{FlatReader, FlatWriter, Input};
use crate::output::Output;
use crate::spec::ReadOptions;
use crate::vectors::{Element, MAX_DIM, Shape};

/// Bytes before the rows.
pub(crate) const HEADER: u64 = 8;

/// Reads the header: rows and columns. The length of the file is for the caller to check, who
/// knows the size of an element.
pub(crate) fn read_header(input: &mut Input) -> Result<(u64, u32), ReadError> {
    if input.len < HEADER {
        return Err(input.malformed(
            0,
            "8 bytes: number of rows, then dim, as u32",
            format!("{} bytes", input.len),
        ));
    }
    let mut header = [[0; 4]; 2];
    input.fill(header.as_flattened_mut(), 0)?;
    let [rows, dim] = header.map(u32::from_le_bytes);
    if dim == 0 || dim > MAX_DIM {
        let expected = format!("a dim from 1 to {MAX_DIM}");
        return Err(input.malformed(4, expected, format!("{dim}{}", input.looks_like)));
    }
    Ok((u64::from(rows), dim))
}

/// Tells ids with distances behind them, as a ground truth has them, from ids alone, by the length
/// of the file; another length is an error.
pub(crate) fn has_distances(input: &Input, rows: u64, k: u32) -> Result<bool, ReadError> {
    // Both counts are of 32 bits at most, and a row has at most 8 MiB.
    let values = rows * u64::from(k) * 4;
    let (alone, both) = (HEADER + values, HEADER + 2 * values);
    if input.len == alone || input.len == both {
        return Ok(input.len == both);
    }
    let expected =
        format!("a file of {alone} bytes ({rows} × {k} ids) or {both} (and their distances)");
    let found = format!("{} bytes{}", input.len, input.looks_like);
    Err(input.malformed(both.min(input.len), expected, found))
}

pub(crate) fn open(
    mut input: Input,
    element: Element,
    options: &ReadOptions,
) -> Result<FlatReader, ReadError> {
    let (rows, dim) = read_header(&mut input)?;
    FlatReader::new(input, HEADER, Shape { rows, dim, element }, options)
}

/// Writes the header.
pub(crate) fn write_header(output: &mut Output, rows: u64, dim: u32) -> Result<(), WriteError> {
    let Ok(rows) = u32::try_from(rows) else {
        let expected = format!("at most {} rows, counted in u32", u32::MAX);
        return Err(WriteError::mismatch(output.path(), expected, format!("{rows}")));
    };
    output.put(&rows.to_le_bytes())?;
    output.put(&dim.to_le_bytes())
}

pub(crate) fn create(mut output: Output, shape: Shape) -> Result<FlatWriter, WriteError> {
    write_header(&mut output, shape.rows, shape.dim)?;
    Ok(FlatWriter::new(output, shape))
}
