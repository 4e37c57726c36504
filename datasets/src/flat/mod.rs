//! Files that are rows end to end, little-endian, behind a header or each behind its own.
//!
//! | file | what it holds |
//! |---|---|
//! | `input` | an open file |
//! | `read`, `write` | the rows, whatever the header |
//! | `npy`, `xbin`, `vecs` | the headers |
//! | `npz` | npy arrays in a zip archive |

mod input;
pub(crate) mod npy;
pub(crate) mod npz;
mod read;
pub(crate) mod vecs;
mod write;
pub(crate) mod xbin;

pub(crate) use input::Input;
pub(crate) use read::FlatReader;
pub(crate) use write::{FlatWriter, check_batch, check_count};

use crate::error::ReadError;
use crate::spec::{AttributeColumns, InputSpec, ReadOptions};

/// Refuses what was asked for in columns, for a format that has none.
pub(crate) fn no_columns(spec: &InputSpec, options: &ReadOptions) -> Result<(), ReadError> {
    let named = match &options.attributes {
        AttributeColumns::Named(names) => names.first(),
        AttributeColumns::All | AttributeColumns::None => None,
    };
    match spec.column.as_ref().or(options.id_column.as_ref()).or(named) {
        None => Ok(()),
        Some(name) => Err(ReadError::unsuitable(
            &spec.path,
            format!("a file with a column `{name}`"),
            "a format of vectors alone, without columns",
        )),
    }
}
