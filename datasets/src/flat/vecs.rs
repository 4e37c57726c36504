//! The vecs family of the TEXMEX sets and of faiss: no header, but before each row its number of
//! values, as i32, which is the same in all of them; the extension gives the type of the values.

use crate::error::{Position, ReadError, WriteError};
use crate::flat::{FlatReader, FlatWriter, Input};
use crate::output::Output;
use crate::spec::ReadOptions;
use crate::vectors::{Element, MAX_DIM, Shape};

/// Bytes before the values of a row.
pub(crate) const ROW_HEADER: usize = 4;

/// What a file holds: its rows, the number of values in each, and how that stands before each.
pub(crate) struct Rows {
    pub(crate) count: u64,
    pub(crate) values: u32,
    pub(crate) header: [u8; ROW_HEADER],
}

/// Reads what the first row says, and how many rows of `value_bytes` a value make the file. The
/// next byte to be read is then the first of the file.
pub(crate) fn read_rows(input: &mut Input, value_bytes: usize) -> Result<Rows, ReadError> {
    let expected = format!("a row that begins with a dim from 1 to {MAX_DIM}, as i32");
    if input.len < ROW_HEADER as u64 {
        return Err(input.malformed(0, expected, format!("{} bytes", input.len)));
    }
    let mut header = [0; ROW_HEADER];
    input.fill(&mut header, 0)?;
    let values = u32::from_le_bytes(header);
    if !(1..=MAX_DIM).contains(&values) {
        let found = format!("{}{}", values.cast_signed(), input.looks_like);
        return Err(input.malformed(0, expected, found));
    }
    let row_bytes = (ROW_HEADER + values as usize * value_bytes) as u64;
    let (count, left) = (input.len / row_bytes, input.len % row_bytes);
    if left > 0 {
        return Err(ReadError::malformed(
            &input.path,
            Position { byte: Some(input.len - left), ..input.row(count) },
            format!("rows of {row_bytes} bytes, a dim and {values} values each"),
            format!("{left} bytes{}", input.looks_like),
        ));
    }
    input.seek(0)?;
    Ok(Rows { count, values, header })
}

pub(crate) fn open(
    mut input: Input,
    element: Element,
    options: &ReadOptions,
) -> Result<FlatReader, ReadError> {
    let rows = read_rows(&mut input, element.size())?;
    let shape = Shape { rows: rows.count, dim: rows.values, element };
    FlatReader::with_row_headers(input, rows.header, shape, options)
}

/// Refuses a file without rows, whose dim nothing would say.
pub(crate) fn check_rows(output: &Output, rows: u64) -> Result<(), WriteError> {
    if rows > 0 {
        return Ok(());
    }
    let expected = "at least one row, as only rows have their dim before them";
    Err(WriteError::mismatch(output.path(), expected, "no rows"))
}

pub(crate) fn create(output: Output, shape: Shape) -> Result<FlatWriter, WriteError> {
    check_rows(&output, shape.rows)?;
    Ok(FlatWriter::with_row_headers(output, shape, shape.dim.to_le_bytes()))
}
