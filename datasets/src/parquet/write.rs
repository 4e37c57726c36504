//! The writer. A fixed-size list is a list to a reader of Parquet.

use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::VectorWriter;
use crate::columns::{ENTRY, Encoder};
use crate::error::WriteError;
use crate::output::Output;
use crate::spec::WriteOptions;
use crate::vectors::{Batch, Shape};

/// A row group is written out when it has this many bytes, so this much is in memory.
pub(super) const ROW_GROUP_BYTES: usize = 32 << 20;

struct ParquetWriter {
    writer: ArrowWriter<Output>,
    encoder: Encoder,
}

pub(crate) fn create(
    path: &Path,
    shape: Shape,
    options: &WriteOptions,
) -> Result<Box<dyn VectorWriter>, WriteError> {
    let encoder = Encoder::new(path, shape, options)?;
    let vectors =
        ColumnPath::new(vec![options.vector_column.clone(), "list".to_owned(), ENTRY.to_owned()]);
    // Components hardly compress or repeat, and reading them should cost no more than copying.
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_compression(vectors.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(vectors.clone(), false)
        .set_column_statistics_enabled(vectors, EnabledStatistics::None)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let output = Output::create(path)?;
    let writer = ArrowWriter::try_new(output, encoder.schema().clone(), Some(properties))
        .map_err(|e| failed(path, e))?;
    Ok(Box::new(ParquetWriter { writer, encoder }))
}

impl VectorWriter for ParquetWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let rows = self.encoder.encode(self.writer.inner().path(), batch)?;
        self.writer.write(&rows).map_err(|e| failed(self.writer.inner().path(), e))
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        let path = self.writer.inner().path().to_owned();
        self.encoder.check_count(&path)?;
        self.writer.into_inner().map_err(|e| failed(&path, e))?.finish()
    }
}

/// An error of the library, which on checked input is one of the system's.
pub(super) fn failed(path: &Path, error: ParquetError) -> WriteError {
    WriteError::io("write", path)(std::io::Error::other(error))
}
