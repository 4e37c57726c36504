//! A batch as vicinage-datasets reads it to what the builder takes.

use std::mem::replace;
use std::path::{Path, PathBuf};

use vicinage::builder::ColumnBatch;
use vicinage::vectors::VectorBlock;
use vicinage_datasets::{AttributeValues, Batch, Element, NarrowError, VectorData};

/// A file that is whole, but does not fit what is done with it.
#[derive(Debug, thiserror::Error)]
#[error("{}, {place}: expected {expected}, found {found}", path.display())]
pub(crate) struct InputError {
    pub(crate) path: PathBuf,
    pub(crate) place: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// The values of the rows named, and none for no row, as the builder takes them. Integers in lists
/// become tags.
pub(crate) fn column_batch(values: &AttributeValues, rows: &[Option<usize>]) -> ColumnBatch {
    fn pick<T: Copy>(values: &[Option<T>], rows: &[Option<usize>]) -> Vec<Option<T>> {
        rows.iter().map(|row| row.and_then(|row| values[row])).collect()
    }
    match values {
        AttributeValues::Bool(values) => ColumnBatch::Bool(pick(values, rows)),
        AttributeValues::I64(values) => ColumnBatch::I64(pick(values, rows)),
        AttributeValues::F64(values) => ColumnBatch::F64(pick(values, rows)),
        AttributeValues::Timestamp(values) => ColumnBatch::Timestamp(pick(values, rows)),
        AttributeValues::Text(values) => {
            let text = |&row: &Option<usize>| values.get(row?).map(str::to_owned);
            ColumnBatch::Category(rows.iter().map(text).collect())
        }
        AttributeValues::TextList(values) => {
            let texts = |&row: &Option<usize>| Some(values.get(row?)?.map(str::to_owned).collect());
            ColumnBatch::Tags(rows.iter().map(texts).collect())
        }
        AttributeValues::I64List(values) => {
            let texts =
                |&row: &Option<usize>| Some(values.get(row?)?.iter().map(i64::to_string).collect());
            ColumnBatch::Tags(rows.iter().map(texts).collect())
        }
        // A kind that this build does not know: no values of it.
        _ => ColumnBatch::Tags(vec![None; rows.len()]),
    }
}

/// The vectors of a batch in the type that they come in, f64 as f32; the batch has none after that.
pub(crate) fn block(batch: &mut Batch, path: &Path) -> Result<VectorBlock, InputError> {
    if batch.vectors.element() == Element::F64 {
        batch.convert(Element::F32).map_err(|error| narrow(path, &error))?;
    }
    match replace(&mut batch.vectors, VectorData::F32(Vec::new())) {
        VectorData::F32(values) => Ok(VectorBlock::F32(values)),
        VectorData::F16(values) => Ok(VectorBlock::F16(values)),
        VectorData::I8(values) => Ok(VectorBlock::I8(values)),
        VectorData::U8(values) => Ok(VectorBlock::U8(values)),
        other => Err(InputError {
            path: path.to_owned(),
            place: "whole file".to_owned(),
            expected: "components of f64, f32, f16, i8 or u8".to_owned(),
            found: other.element().to_string(),
        }),
    }
}

/// The error for a component that the type asked for cannot hold.
pub(crate) fn narrow(path: &Path, error: &NarrowError) -> InputError {
    InputError {
        path: path.to_owned(),
        place: format!("row {}, component {}", error.row, error.component),
        expected: error.element.range().to_owned(),
        found: error.value.to_string(),
    }
}
