//! Opens a Parquet file and holds the claims of its footer against the file before anything is
//! read by them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Fields;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::columns::{self, Batches, Source as _};
use crate::error::{Position, ReadError};
use crate::flat::Input;
use crate::parquet::pages::CheckedRowGroups;
use crate::parquet::thrift;

/// The magic at both ends of a file.
const MAGIC: [u8; 4] = *b"PAR1";
/// The length of the footer, and the magic behind it.
const TAIL: u64 = 8;

/// A Parquet file whose footer has been read and checked.
pub(crate) struct Source {
    input: Input,
    metadata: ArrowReaderMetadata,
    /// Rows of all row groups.
    rows: u64,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut input = Input::open(path)?;
        let footer = check_ends(&mut input)?;
        let mut bytes = vec![0; (input.len - TAIL - footer) as usize];
        input.read_at(footer, &mut bytes)?;
        thrift::check_footer(&bytes)
            .map_err(|found| input.malformed(footer, "a readable Parquet footer", found))?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&input.file, options)
            .map_err(|e| input.malformed(footer, "a readable Parquet footer", e.to_string()))?;
        let rows = check_footer(&input, footer, &metadata)?;
        let source = Self { input, metadata, rows };
        source.check_names(footer)?;
        Ok(source)
    }
}

impl columns::Source for Source {
    fn path(&self) -> &Path {
        &self.input.path
    }

    fn fields(&self) -> &Fields {
        self.metadata.schema().fields()
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn row_bytes(&self, columns: &[usize]) -> usize {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let total = self
            .metadata
            .metadata()
            .row_groups()
            .iter()
            .flat_map(RowGroupMetaData::columns)
            .enumerate()
            .filter(|(at, _)| {
                let leaf = at % schema.num_columns().max(1);
                columns.contains(&schema.get_column_root_idx(leaf))
            })
            .fold(0_i64, |sum, (_, chunk)| sum.saturating_add(chunk.uncompressed_size().max(0)));
        usize::try_from(total.unsigned_abs() / self.rows.max(1)).unwrap_or(usize::MAX)
    }

    fn read(&self, columns: &[usize], rows: usize) -> Result<Batches, ReadError> {
        let file = self.input.file.try_clone().map_err(ReadError::io("open", self.path()))?;
        let metadata = self.metadata.metadata().clone();
        let schema = metadata.file_metadata().schema_descr();
        let mask = ProjectionMask::roots(schema, columns.iter().copied());
        let levels = parquet_to_arrow_field_levels(schema, mask, None);
        let groups = CheckedRowGroups { file: Arc::new(file), metadata: metadata.clone() };
        let batches = levels
            .and_then(|levels| {
                ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, rows, None)
            })
            .map_err(|e| {
                let at = Position::row(0);
                ReadError::malformed(self.path(), at, "readable Parquet columns", e.to_string())
            })?;
        let path = self.path().to_owned();
        Ok(Box::new(Counted { batches, path, rows: self.rows, read: 0 }))
    }
}

/// Batches of rows, held against the number of rows in the footer.
struct Counted {
    batches: ParquetRecordBatchReader,
    path: PathBuf,
    /// Rows of the file, and of the batches so far.
    rows: u64,
    read: u64,
}

impl Iterator for Counted {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let malformed = |row: u64, expected: String, found: String| {
            Some(Err(ReadError::malformed(&self.path, Position::row(row), expected, found)))
        };
        let claimed = || format!("{} rows, as the footer says", self.rows);
        match self.batches.next() {
            None if self.read == self.rows => None,
            None => malformed(self.read, claimed(), self.read.to_string()),
            Some(Err(e)) => {
                let expected = "readable Parquet pages from this row on".to_owned();
                malformed(self.read, expected, e.to_string())
            }
            Some(Ok(batch)) => {
                let read = self.read + batch.num_rows() as u64;
                if read > self.rows {
                    return malformed(read, claimed(), read.to_string());
                }
                self.read = read;
                Some(Ok(batch))
            }
        }
    }
}

/// Checks the magic at both ends and the length of the footer, and says where the footer begins.
fn check_ends(input: &mut Input) -> Result<u64, ReadError> {
    let least = MAGIC.len() as u64 + TAIL;
    if input.len < least {
        let expected = format!("a Parquet file of at least {least} bytes");
        return Err(input.malformed(0, expected, format!("{} bytes", input.len)));
    }
    let mut start = [0; 4];
    input.fill(&mut start, 0)?;
    if start != MAGIC {
        let found = format!("{}{}", start.escape_ascii(), input.looks_like);
        return Err(input.malformed(0, "the Parquet magic PAR1", found));
    }
    let tail_at = input.len - TAIL;
    let mut tail = [[0; 4]; 2];
    input.read_at(tail_at, tail.as_flattened_mut())?;
    let [len, magic] = tail;
    if magic != MAGIC {
        let encrypted = if magic == *b"PARE" { " (an encrypted file)" } else { "" };
        let found = format!("{}{encrypted}", magic.escape_ascii());
        return Err(input.malformed(tail_at + 4, "the Parquet magic PAR1 at the end", found));
    }
    let len = u64::from(u32::from_le_bytes(len));
    let most = tail_at - MAGIC.len() as u64;
    if len > most {
        let expected = format!("a footer of at most {most} bytes");
        return Err(input.malformed(tail_at, expected, len.to_string()));
    }
    Ok(tail_at - len)
}

/// Checks counts and places of the footer, and gives the number of rows.
fn check_footer(
    input: &Input,
    footer: u64,
    metadata: &ArrowReaderMetadata,
) -> Result<u64, ReadError> {
    let metadata = metadata.metadata();
    let claimed = metadata.file_metadata().num_rows();
    let mut rows = 0_i64;
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        let count = row_group.num_rows();
        rows = rows.checked_add(count).filter(|_| count >= 0).ok_or_else(|| {
            let expected = format!("a number of rows for row group {group}");
            input.malformed(footer, expected, count.to_string())
        })?;
        for chunk in row_group.columns() {
            check_chunk(input, footer, group, chunk)?;
        }
    }
    if rows != claimed {
        let expected = format!("{claimed} rows in all row groups, as the footer says");
        return Err(input.malformed(footer, expected, rows.to_string()));
    }
    Ok(rows.unsigned_abs())
}

/// Checks that a column chunk lies between the magic and the footer.
fn check_chunk(
    input: &Input,
    footer: u64,
    group: usize,
    chunk: &ColumnChunkMetaData,
) -> Result<(), ReadError> {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let len = chunk.compressed_size();
    let inside = start >= MAGIC.len() as i64
        && len >= 0
        && chunk.num_values() >= 0
        && start.checked_add(len).is_some_and(|end| end.unsigned_abs() <= footer);
    if inside {
        return Ok(());
    }
    let column = chunk.column_path().string();
    Err(ReadError::malformed(
        &input.path,
        Position { byte: Some(footer), ..Position::column(&column) },
        format!("the chunk of row group {group} within bytes {} to {footer}", MAGIC.len()),
        format!("{} values in {len} bytes from {start}", chunk.num_values()),
    ))
}
