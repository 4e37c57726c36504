//! The reader of vectors.

use crate::VectorReader;
use crate::error::ReadError;
use crate::flat::{self, FlatReader};
use crate::hdf5::array::Array;
use crate::spec::{InputSpec, ReadOptions};
use crate::vectors::Shape;

/// The array that is read where none is named.
const TRAIN: &str = "train";

/// Opens an array of a file for its vectors.
pub(crate) fn open(
    spec: &InputSpec,
    options: &ReadOptions,
) -> Result<Box<dyn VectorReader>, ReadError> {
    let name = spec.column.as_deref().unwrap_or(TRAIN);
    flat::no_columns(&InputSpec::from(spec.path.clone()), options)?;
    let array = Array::open(&spec.path, name)?;
    let Some(element) = array.dtype.element() else {
        let expected = format!("vectors of f64, f32, f16, i8 or u8 in array `{name}`");
        let found = format!("an array of {}", array.dtype.name());
        return Err(ReadError::unsuitable(&spec.path, expected, found));
    };
    let shape = Shape { rows: array.rows, dim: array.columns, element };
    Ok(match array.into_flat() {
        Ok((mut input, start)) => {
            input.seek(start)?;
            Box::new(FlatReader::within(input, start, shape, options))
        }
        Err(array) => Box::new(FlatReader::new(array.into_rows(options), 0, shape, options)?),
    })
}
