//! The rows, written.

use std::path::Path;

use crate::VectorWriter;
use crate::error::WriteError;
use crate::output::Output;
use crate::vectors::{Batch, Component, Shape, each_element};

/// Writes rows behind a header that is already written.
#[derive(Debug)]
pub(crate) struct FlatWriter {
    output: Output,
    shape: Shape,
    /// What goes before the values of each row, where something does.
    row_header: Option<[u8; 4]>,
    written: u64,
}

impl FlatWriter {
    pub(crate) fn new(output: Output, shape: Shape) -> Self {
        Self { output, shape, row_header: None, written: 0 }
    }

    /// As [`FlatWriter::new`], with `row_header` before the values of each row.
    pub(crate) fn with_row_headers(output: Output, shape: Shape, row_header: [u8; 4]) -> Self {
        Self { output, shape, row_header: Some(row_header), written: 0 }
    }
}

impl VectorWriter for FlatWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        check_batch(self.output.path(), &self.shape, self.written, batch)?;
        if batch.ids.is_some() || !batch.attributes.is_empty() {
            return Err(WriteError::mismatch(
                self.output.path(),
                "vectors alone, which is all that this format holds",
                "ids or attributes, which would be lost",
            ));
        }
        match self.row_header {
            None => self.output.put(batch.vectors.bytes())?,
            Some(header) => {
                for row in batch.vectors.bytes().chunks_exact(self.shape.row_bytes()) {
                    self.output.put(&header)?;
                    self.output.put(row)?;
                }
            }
        }
        self.written += batch.rows as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        check_count(self.output.path(), self.shape.rows, self.written)?;
        self.output.finish()
    }
}

/// Holds a batch against the shape that was announced for the file.
pub(crate) fn check_batch(
    path: &Path,
    shape: &Shape,
    written: u64,
    batch: &Batch,
) -> Result<(), WriteError> {
    let fits = batch.vectors.element() == shape.element
        && batch.dim == shape.dim as usize
        && batch.rows.checked_mul(batch.dim) == Some(batch.vectors.len());
    if !fits {
        return Err(WriteError::mismatch(
            path,
            format!("rows of {} × {}", shape.dim, shape.element),
            format!(
                "{} components of {} for {} rows of {}",
                batch.vectors.len(),
                batch.vectors.element(),
                batch.rows,
                batch.dim
            ),
        ));
    }
    let total = written + batch.rows as u64;
    if total > shape.rows {
        let found = format!("at least {total}");
        return Err(WriteError::mismatch(path, format!("{} rows", shape.rows), found));
    }
    let bad = each_element!(&batch.vectors, values => Component::first_not_finite(values));
    match bad {
        None => Ok(()),
        Some(at) => Err(WriteError::mismatch(
            path,
            "finite numbers",
            format!(
                "NaN or infinity in row {}, component {}",
                written + (at / batch.dim) as u64,
                at % batch.dim
            ),
        )),
    }
}

/// Holds the number of rows written against the number announced.
pub(crate) fn check_count(path: &Path, announced: u64, written: u64) -> Result<(), WriteError> {
    if announced == written {
        return Ok(());
    }
    Err(WriteError::mismatch(path, format!("{announced} rows"), format!("{written}")))
}
