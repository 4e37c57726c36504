//! JSON lines, for small sets: one object a row, `{"item_id": 7, "vector": [0.5, -1], "title":
//! "Nurse"}`, plain or compressed with gzip or zstd.
//!
//! What the columns are is in no header, so a file is read twice: once for its columns and the
//! number of rows, then for the rows. A field that is absent is null. Components are read as f32,
//! in which they are written; numbers beyond its range are refused.
//!
//! | file | what it holds |
//! |---|---|
//! | `lines` | lines of plain and compressed text, with a bound |
//! | `row` | one line as fields and values |
//! | `schema` | the columns of all lines |
//! | `read` | rows to batches |
//! | `write` | batches to rows |

mod lines;
mod read;
mod row;
mod schema;
mod write;

use std::path::Path;

use crate::columns::Source;
use crate::error::ReadError;

pub(crate) use write::create;

/// The most columns that a file can have.
const MAX_COLUMNS: usize = 1000;

/// Opens a file; `vector` is the column that the input names, if it does. Cost: reading all of it.
pub(crate) fn open(path: &Path, vector: Option<&str>) -> Result<Box<dyn Source>, ReadError> {
    Ok(Box::new(read::JsonlSource::open(path, vector)?))
}
