//! The readers of vectors and of tables.

use std::path::Path;

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::VectorReader;
use crate::attributes::{AttributeBatch, AttributeField, AttributeValues, SkippedColumn};
use crate::columns::decode::{self, Place};
use crate::columns::layout::Layout;
use crate::columns::{Batches, Source};
use crate::error::{Position, ReadError};
use crate::spec::ReadOptions;
use crate::table::{TableBatch, TableReader};
use crate::vectors::{Batch, MAX_DIM, Shape};

/// The columns of one file on their way into batches.
struct Columns {
    source: Box<dyn Source>,
    layout: Layout,
    /// The positions that are read; a batch has its columns in this order.
    read: Vec<usize>,
    rows: Batches,
    next_row: u64,
}

impl Columns {
    fn new(
        source: Box<dyn Source>,
        layout: Layout,
        rows_per_batch: usize,
    ) -> Result<Self, ReadError> {
        let read = layout.columns();
        let rows = source.read(&read, rows_per_batch)?;
        Ok(Self { source, layout, read, rows, next_row: 0 })
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

/// Reads the vectors of a file.
pub(crate) fn open(
    source: Box<dyn Source>,
    column: Option<&str>,
    options: &ReadOptions,
) -> Result<Box<dyn VectorReader>, ReadError> {
    let (layout, position, element) = Layout::of_vectors(source.as_ref(), column, options)?;
    let dim = first_dim(source.as_ref(), position)?;
    let shape = Shape { rows: source.rows(), dim, element };
    let mut others = layout.columns();
    others.retain(|&other| other != position);
    let row_bytes = shape.row_bytes().saturating_add(source.row_bytes(&others));
    let columns = Columns::new(source, layout, options.rows_per_batch(row_bytes))?;
    Ok(Box::new(ColumnReader { columns, shape, vector: position }))
}

/// The dim of the vectors: that of their type, where it has one, or of the first of them, which
/// the rest is held against.
fn first_dim(source: &dyn Source, position: usize) -> Result<u32, ReadError> {
    let field = &source.fields()[position];
    let place = Place { path: source.path(), column: field.name(), first_row: 0 };
    let expected = || format!("a vector of 1 to {MAX_DIM} components");
    if let DataType::FixedSizeList(_, dim) = *field.data_type() {
        let dim = dim.unsigned_abs();
        return if (1..=MAX_DIM).contains(&dim) {
            Ok(dim)
        } else {
            Err(place.malformed(Position::column(place.column), expected(), dim.to_string()))
        };
    }
    match source.read(&[position], 1)?.next().transpose()? {
        Some(first) => decode::first_dim(place, first.column(0)),
        None => Err(place.malformed(place.row(0), expected(), "no rows, and so no dim")),
    }
}

struct ColumnReader {
    columns: Columns,
    shape: Shape,
    vector: usize,
}

impl VectorReader for ColumnReader {
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
        let Some(rows) = columns.rows.next().transpose()? else {
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
struct ColumnTable {
    columns: Columns,
}

/// Reads the ids and attributes of a file.
pub(crate) fn open_table(
    source: Box<dyn Source>,
    options: &ReadOptions,
) -> Result<Box<dyn TableReader>, ReadError> {
    let layout = Layout::of_table(source.as_ref(), options)?;
    let rows_per_batch = options.rows_per_batch(source.row_bytes(&layout.columns()));
    Ok(Box::new(ColumnTable { columns: Columns::new(source, layout, rows_per_batch)? }))
}

impl TableReader for ColumnTable {
    fn path(&self) -> &Path {
        self.columns.source.path()
    }

    fn rows(&self) -> u64 {
        self.columns.source.rows()
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
        let Some(rows) = columns.rows.next().transpose()? else {
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
