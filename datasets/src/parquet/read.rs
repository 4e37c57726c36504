//! The readers of vectors and of tables.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::VectorReader;
use crate::attributes::{AttributeBatch, AttributeField, AttributeValues, SkippedColumn};
use crate::error::{Position, ReadError};
use crate::parquet::decode::{self, Place};
use crate::parquet::layout::Layout;
use crate::parquet::source::Source;
use crate::spec::{InputSpec, ReadOptions};
use crate::table::{TableBatch, TableReader};
use crate::vectors::{Batch, MAX_DIM, Shape};

/// The columns of one file on their way into batches.
struct Columns {
    source: Source,
    layout: Layout,
    /// The positions that are read; a batch has its columns in this order.
    read: Vec<usize>,
    rows: ParquetRecordBatchReader,
    next_row: u64,
}

impl Columns {
    fn new(source: Source, layout: Layout, rows_per_batch: usize) -> Result<Self, ReadError> {
        let read = layout.columns();
        let rows = source.read(&read, rows_per_batch)?;
        Ok(Self { source, layout, read, rows, next_row: 0 })
    }

    /// The next rows that the file has; `None` at its end, where their number is checked.
    fn next(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let path = self.source.path();
        let Some(batch) = self.rows.next() else {
            Source::check_end(path, self.source.rows, self.next_row)?;
            return Ok(None);
        };
        let batch = batch.map_err(Source::unreadable(path, self.next_row))?;
        Source::check_batch(path, self.source.rows, self.next_row, &batch)?;
        Ok(Some(batch))
    }

    /// The array of the column at a position of the schema, and its place.
    fn array<'a>(&'a self, batch: &'a RecordBatch, position: usize) -> (Place<'a>, &'a dyn Array) {
        let place = Place {
            path: self.source.path(),
            column: self.source.fields()[position].name(),
            first_row: self.next_row,
        };
        let at = self.read.partition_point(|&read| read < position);
        (place, batch.column(at))
    }

    fn ids(&self, batch: &RecordBatch, ids: &mut Option<Vec<u64>>) -> Result<(), ReadError> {
        let Some(position) = self.layout.id else {
            *ids = None;
            return Ok(());
        };
        let ids = ids.get_or_insert_default();
        ids.clear();
        let (place, array) = self.array(batch, position);
        decode::unsigned(place, array, ids)
    }

    fn attributes(
        &self,
        batch: &RecordBatch,
        attributes: &mut Vec<AttributeBatch>,
    ) -> Result<(), ReadError> {
        // The batch may come from another file, or be new.
        let fields = &self.layout.fields;
        attributes.truncate(fields.len());
        for (at, (field, &position)) in fields.iter().zip(&self.layout.attributes).enumerate() {
            match attributes.get_mut(at) {
                Some(old) if old.name == field.name && old.values.kind() == field.kind => {
                    old.values.clear();
                }
                old => {
                    let values = AttributeValues::empty(field.kind);
                    let new = AttributeBatch { name: field.name.clone(), values };
                    match old {
                        Some(old) => *old = new,
                        None => attributes.push(new),
                    }
                }
            }
            let (place, array) = self.array(batch, position);
            decode::attribute(place, array, &mut attributes[at].values)?;
        }
        Ok(())
    }
}

/// Opens a file for its vectors.
pub(crate) fn open(
    spec: &InputSpec,
    options: &ReadOptions,
) -> Result<Box<dyn VectorReader>, ReadError> {
    let source = Source::open(&spec.path)?;
    let (layout, position, element) = Layout::of_vectors(&source, spec.column.as_deref(), options)?;
    let dim = first_dim(&source, position)?;
    let shape = Shape { rows: source.rows, dim, element };
    let mut others = layout.columns();
    others.retain(|&other| other != position);
    let row_bytes = shape.row_bytes().saturating_add(source.row_bytes(&others));
    let columns = Columns::new(source, layout, options.rows_per_batch(row_bytes))?;
    Ok(Box::new(ParquetReader { columns, shape, vector: position }))
}

/// The dim of the vectors, which is that of the first one; the rest is held against it.
fn first_dim(source: &Source, position: usize) -> Result<u32, ReadError> {
    let path = source.path();
    let place = Position::column(source.fields()[position].name()).at_row(0);
    let malformed = |found: String| {
        let expected = format!("a vector of 1 to {MAX_DIM} components");
        ReadError::malformed(path, place.clone(), expected, found)
    };
    let first = source.read(&[position], 1)?.next();
    let Some(first) = first.transpose().map_err(Source::unreadable(path, 0))? else {
        return Err(malformed("no rows, and so no dim".to_owned()));
    };
    let list = first.column(0).as_list_opt::<i32>().filter(|list| list.len() == 1);
    let list = list.ok_or_else(|| malformed(first.column(0).data_type().to_string()))?;
    if list.is_null(0) {
        return Err(malformed("null".to_owned()));
    }
    let dim = list.value_length(0).unsigned_abs();
    if (1..=MAX_DIM).contains(&dim) { Ok(dim) } else { Err(malformed(dim.to_string())) }
}

struct ParquetReader {
    columns: Columns,
    shape: Shape,
    vector: usize,
}

impl VectorReader for ParquetReader {
    fn path(&self) -> &Path {
        self.columns.source.path()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has_ids(&self) -> bool {
        self.columns.layout.id.is_some()
    }

    fn attributes(&self) -> &[AttributeField] {
        &self.columns.layout.fields
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &self.columns.layout.skipped
    }

    fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        let columns = &mut self.columns;
        batch.first_row = columns.next_row;
        batch.dim = self.shape.dim as usize;
        batch.vectors.reset(self.shape.element);
        let Some(rows) = columns.next()? else {
            batch.rows = 0;
            batch.ids = None;
            batch.attributes.clear();
            return Ok(false);
        };
        batch.rows = rows.num_rows();
        let (place, array) = columns.array(&rows, self.vector);
        decode::vectors(place, array, batch.dim, &mut batch.vectors)?;
        columns.ids(&rows, &mut batch.ids)?;
        columns.attributes(&rows, &mut batch.attributes)?;
        columns.next_row += rows.num_rows() as u64;
        Ok(true)
    }
}

/// A file that is read for its ids and attributes.
struct ParquetTable {
    columns: Columns,
}

/// Opens a file for its ids and attributes.
pub(crate) fn open_table(
    path: &Path,
    options: &ReadOptions,
) -> Result<Box<dyn TableReader>, ReadError> {
    let source = Source::open(path)?;
    let layout = Layout::of_table(&source, options)?;
    let rows_per_batch = options.rows_per_batch(source.row_bytes(&layout.columns()));
    Ok(Box::new(ParquetTable { columns: Columns::new(source, layout, rows_per_batch)? }))
}

/// Whether a file has no rows, and so no vector that would say the dim. Parallel writers leave
/// such parts.
pub(crate) fn has_no_rows(path: &Path) -> Result<bool, ReadError> {
    Ok(Source::open(path)?.rows == 0)
}

impl TableReader for ParquetTable {
    fn path(&self) -> &Path {
        self.columns.source.path()
    }

    fn rows(&self) -> u64 {
        self.columns.source.rows
    }

    fn has_ids(&self) -> bool {
        self.columns.layout.id.is_some()
    }

    fn attributes(&self) -> &[AttributeField] {
        &self.columns.layout.fields
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &self.columns.layout.skipped
    }

    fn next_batch(&mut self, batch: &mut TableBatch) -> Result<bool, ReadError> {
        let columns = &mut self.columns;
        batch.first_row = columns.next_row;
        let Some(rows) = columns.next()? else {
            *batch = TableBatch { first_row: columns.next_row, ..TableBatch::default() };
            return Ok(false);
        };
        batch.rows = rows.num_rows();
        columns.ids(&rows, &mut batch.ids)?;
        columns.attributes(&rows, &mut batch.attributes)?;
        columns.next_row += rows.num_rows() as u64;
        Ok(true)
    }
}
