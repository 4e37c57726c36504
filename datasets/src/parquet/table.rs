//! The writer of tables: ids and attributes, without vectors.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::write::{ROW_GROUP_BYTES, failed};
use crate::attributes::AttributeField;
use crate::columns::{array_of, attribute_type};
use crate::error::WriteError;
use crate::output::Output;
use crate::table::TableBatch;

/// A Parquet file of ids and attributes that is written from front to back, as attributes lie
/// beside vectors in a format that has no columns. Dropped before [`TableWriter::finish`] it
/// leaves nothing behind.
pub struct TableWriter {
    writer: ArrowWriter<Output>,
    schema: Arc<Schema>,
}

/// Creates a Parquet file with the ids in column `id_column`, where there is one, and attributes.
///
/// # Errors
/// What the system refuses.
pub fn create_table(
    path: &Path,
    id_column: Option<&str>,
    attributes: &[AttributeField],
) -> Result<TableWriter, WriteError> {
    let ids = id_column.map(|name| Field::new(name, DataType::UInt64, false));
    let columns =
        attributes.iter().map(|field| Field::new(&field.name, attribute_type(field.kind), true));
    let schema = Arc::new(Schema::new(ids.into_iter().chain(columns).collect::<Vec<_>>()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let writer = ArrowWriter::try_new(Output::create(path)?, schema.clone(), Some(properties))
        .map_err(|e| failed(path, e))?;
    Ok(TableWriter { writer, schema })
}

impl TableWriter {
    /// Appends the rows of `batch`, which bring the columns that were announced;
    /// `batch.first_row` is not looked at.
    ///
    /// # Errors
    /// Other columns than announced, or what the system refuses.
    pub fn write(&mut self, batch: &TableBatch) -> Result<(), WriteError> {
        let ids = batch.ids.iter();
        let ids = ids.map(|ids| Arc::new(UInt64Array::from(ids.clone())) as ArrayRef);
        let attributes = batch.attributes.iter().map(|attribute| array_of(&attribute.values));
        RecordBatch::try_new(self.schema.clone(), ids.chain(attributes).collect())
            .map_err(ParquetError::from)
            .and_then(|rows| self.writer.write(&rows))
            .map_err(|e| failed(self.writer.inner().path(), e))
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn finish(self) -> Result<(), WriteError> {
        let path = self.writer.inner().path().to_owned();
        self.writer.into_inner().map_err(|e| failed(&path, e))?.finish()
    }
}
