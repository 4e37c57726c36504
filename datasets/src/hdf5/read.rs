//! The reader of vectors.

use std::path::Path;

use crate::VectorReader;
use crate::attributes::{AttributeField, SkippedColumn};
use crate::error::ReadError;
use crate::flat::{self, FlatReader};
use crate::hdf5::array::Array;
use crate::spec::{InputSpec, ReadOptions};
use crate::vectors::{Batch, Component, Shape, each_element};

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
    match array.into_flat() {
        Ok((input, start)) => Ok(Box::new(FlatReader::at(input, start, shape, options)?)),
        Err(array) => {
            let rows_per_batch = array.rows_per_batch(options.rows_per_batch(shape.row_bytes()));
            Ok(Box::new(ChunkedReader { array: *array, shape, rows_per_batch, next_row: 0 }))
        }
    }
}

struct ChunkedReader {
    array: Array,
    shape: Shape,
    rows_per_batch: usize,
    next_row: u64,
}

impl ChunkedReader {
    fn values<T: Component>(&self, into: &mut Vec<T>, rows: usize) -> Result<(), ReadError> {
        let bytes = self.array.read(self.next_row, rows)?;
        into.resize(rows * self.shape.dim as usize, T::zeroed());
        bytemuck::cast_slice_mut(into).copy_from_slice(&bytes);
        match T::first_not_finite(into) {
            None => Ok(()),
            Some(at) => {
                let dim = self.shape.dim as usize;
                let row = self.array.row(self.next_row + (at / dim) as u64);
                Err(ReadError::malformed(
                    self.array.path(),
                    row.at_component((at % dim) as u64),
                    "a finite number",
                    into[at].to_string(),
                ))
            }
        }
    }
}

impl VectorReader for ChunkedReader {
    fn path(&self) -> &Path {
        self.array.path()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn attributes(&self) -> &[AttributeField] {
        &[]
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &[]
    }

    fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        let left = self.shape.rows - self.next_row;
        let rows = left.min(self.rows_per_batch as u64) as usize;
        batch.begin(self.next_row, rows, &self.shape);
        if rows > 0 {
            each_element!(&mut batch.vectors, values => self.values(values, rows))?;
        }
        self.next_row += rows as u64;
        Ok(rows > 0)
    }
}
