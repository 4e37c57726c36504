//! Files with columns: vectors, ids and attributes as Arrow arrays, whichever file format they
//! come from.
//!
//! | file | what it holds |
//! |---|---|
//! | `layout` | which columns are read as what |
//! | `lists` | lists of any of Arrow's kinds, seen alike |
//! | `decode` | from Arrow arrays to batches, with every check on the values |
//! | `read` | the readers of vectors and of tables, over any [`Source`] |
//! | `encode` | from batches to Arrow arrays, for the writers |

mod decode;
mod encode;
mod layout;
mod lists;
mod read;

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::Fields;

use crate::error::{Position, ReadError};

pub(crate) use decode::{Place, list_of_unsigned, unsigned};
pub(crate) use encode::{ENTRY, Encoder};
pub(crate) use read::{open, open_table};

/// Batches of rows, front to back; none is empty, and together they are the rows of the file.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ReadError>> + Send>;

/// An open file with columns.
pub(crate) trait Source: Send {
    /// The file.
    fn path(&self) -> &Path;

    /// The columns at the top of the schema.
    fn fields(&self) -> &Fields;

    /// Rows of the whole file.
    fn rows(&self) -> u64;

    /// The bytes that a row takes in the columns at the positions `columns`, as the file says.
    fn row_bytes(&self, columns: &[usize]) -> usize;

    /// Reads the columns at the positions `columns`, each batch of at most `rows` rows, with the
    /// columns in the order of the file.
    fn read(&self, columns: &[usize], rows: usize) -> Result<Batches, ReadError>;

    /// The position of a column among the fields.
    fn position(&self, name: &str) -> Option<usize> {
        self.fields().iter().position(|field| field.name() == name)
    }

    /// The columns and their types, for errors.
    fn columns(&self) -> String {
        let names: Vec<String> = self
            .fields()
            .iter()
            .map(|field| format!("`{}` ({})", field.name(), field.data_type()))
            .collect();
        format!("the columns {}", names.join(", "))
    }

    /// Refuses two columns of one name; `footer` is where the schema is.
    fn check_names(&self, footer: u64) -> Result<(), ReadError> {
        let mut names: Vec<&String> = self.fields().iter().map(|field| field.name()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(ReadError::malformed(
                self.path(),
                Position { byte: Some(footer), ..Position::column(pair[0]) },
                "every column name once",
                "it twice",
            )),
        }
    }
}
