//! Rows to Arrow arrays, which the readers of files with columns take from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int64Builder, ListBuilder,
    NullBuilder, StringBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Fields, Schema as ArrowSchema};

use super::lines::Lines;
use super::row::{Cell, Row};
use super::schema::{Schema, parse, unreadable};
use crate::columns::{Batches, Source};
use crate::error::{Position, ReadError};

/// What a value is taken to need in memory, to size batches: the file does not say.
const VALUE_BYTES: usize = 32;

/// A file whose lines have been read once.
pub(super) struct JsonlSource {
    path: PathBuf,
    fields: Fields,
    /// What a row is taken to need of each column.
    bytes: Vec<usize>,
    rows: u64,
}

impl JsonlSource {
    /// `vector` is the column that the input names, if it does.
    pub(super) fn open(path: &Path, vector: Option<&str>) -> Result<Self, ReadError> {
        let schema = Schema::of(&mut Lines::open(path)?)?;
        let fields = schema.fields(vector);
        let bytes = (0..fields.len()).map(|at| VALUE_BYTES + 4 * schema.entries(at)).collect();
        Ok(Self { path: path.to_owned(), fields, bytes, rows: schema.rows })
    }
}

impl Source for JsonlSource {
    fn path(&self) -> &Path {
        &self.path
    }

    fn fields(&self) -> &Fields {
        &self.fields
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn row_bytes(&self, columns: &[usize]) -> usize {
        columns.iter().map(|&column| self.bytes[column]).sum()
    }

    fn read(&self, columns: &[usize], rows: usize) -> Result<Batches, ReadError> {
        let fields = columns.iter().map(|&column| Arc::clone(&self.fields[column]));
        let reader = Reader {
            lines: Lines::open(&self.path)?,
            fields: fields.collect(),
            hints: columns.to_vec(),
            rows_per_batch: rows,
            rows: self.rows,
            next_row: 0,
        };
        Ok(Box::new(reader))
    }
}

struct Reader {
    lines: Lines,
    /// The columns that are read.
    fields: Fields,
    /// Where each of them was in the row before.
    hints: Vec<usize>,
    rows_per_batch: usize,
    rows: u64,
    next_row: u64,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl Reader {
    fn batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let mut columns: Vec<Column> =
            self.fields.iter().map(|field| Column::of(field.data_type())).collect();
        let mut rows = 0;
        while rows < self.rows_per_batch {
            let Some(line) = self.lines.next()? else { break };
            let row: Row = parse(line).map_err(|error| unreadable(&self.lines, &error))?;
            for (at, column) in columns.iter_mut().enumerate() {
                let name = self.fields[at].name();
                let cell = row.get(name, &mut self.hints[at]);
                if !column.push(cell) {
                    let at = Position::column(name).at_row(self.next_row);
                    let expected = "the type that it had when the file was opened";
                    return Err(ReadError::malformed(self.lines.path(), at, expected, cell.name()));
                }
            }
            rows += 1;
            self.next_row += 1;
        }
        if rows < self.rows_per_batch && self.next_row != self.rows {
            let expected = format!("{} rows, as when it was opened", self.rows);
            let (at, found) = (Position::default(), self.next_row.to_string());
            return Err(ReadError::malformed(self.lines.path(), at, expected, found));
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = columns.into_iter().map(Column::finish).collect();
        let schema = Arc::new(ArrowSchema::new(self.fields.clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options);
        batch.map(Some).map_err(|error| {
            let at = Position::row(self.next_row);
            ReadError::malformed(self.lines.path(), at, "rows of one schema", error.to_string())
        })
    }
}

/// A column that is being built.
enum Column {
    Null(NullBuilder),
    Bool(BooleanBuilder),
    I64(Int64Builder),
    U64(UInt64Builder),
    F64(Float64Builder),
    Text(StringBuilder),
    Vectors(ListBuilder<Float32Builder>),
    Integers(ListBuilder<Int64Builder>),
    Texts(ListBuilder<StringBuilder>),
}

impl Column {
    fn of(data_type: &DataType) -> Self {
        fn list<B: ArrayBuilder>(entry: &Arc<Field>, values: B) -> ListBuilder<B> {
            ListBuilder::new(values).with_field(Arc::clone(entry))
        }
        match data_type {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Int64 => Self::I64(Int64Builder::new()),
            DataType::UInt64 => Self::U64(UInt64Builder::new()),
            DataType::Float64 => Self::F64(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::List(entry) => match entry.data_type() {
                DataType::Float32 => Self::Vectors(list(entry, Float32Builder::new())),
                DataType::Int64 => Self::Integers(list(entry, Int64Builder::new())),
                _ => Self::Texts(list(entry, StringBuilder::new())),
            },
            _ => Self::Null(NullBuilder::new()),
        }
    }

    /// Adds the value of a row; false if it is of another type.
    fn push(&mut self, cell: &Cell) -> bool {
        match (self, cell) {
            (Self::Null(column), _) => column.append_null(),
            (Self::Bool(column), Cell::Null) => column.append_null(),
            (Self::Bool(column), Cell::Bool(value)) => column.append_value(*value),
            (Self::I64(column), Cell::Null) => column.append_null(),
            (Self::I64(column), Cell::Integer(value)) => column.append_value(*value),
            (Self::U64(column), Cell::Null) => column.append_null(),
            (Self::U64(column), Cell::Unsigned(value)) => column.append_value(*value),
            (Self::U64(column), Cell::Integer(value)) => match u64::try_from(*value) {
                Ok(value) => column.append_value(value),
                Err(_) => return false,
            },
            (Self::F64(column), Cell::Null) => column.append_null(),
            (Self::F64(column), Cell::Number(value)) => column.append_value(*value),
            (Self::F64(column), Cell::Integer(value)) => column.append_value(*value as f64),
            (Self::F64(column), Cell::Unsigned(value)) => column.append_value(*value as f64),
            (Self::Text(column), Cell::Null) => column.append_null(),
            (Self::Text(column), Cell::Text(text)) => column.append_value(text),
            (Self::Vectors(column), Cell::Null) => column.append_null(),
            (Self::Vectors(column), Cell::EmptyList) => column.append(true),
            (Self::Vectors(column), Cell::Numbers(values)) => {
                column.append_value(values.iter().map(|&value| Some(value as f32)));
            }
            (Self::Vectors(column), Cell::Integers(values)) => {
                column.append_value(values.iter().map(|&value| Some(value as f32)));
            }
            (Self::Integers(column), Cell::Null) => column.append_null(),
            (Self::Integers(column), Cell::EmptyList) => column.append(true),
            (Self::Integers(column), Cell::Integers(values)) => {
                column.append_value(values.iter().copied().map(Some));
            }
            (Self::Texts(column), Cell::Null) => column.append_null(),
            (Self::Texts(column), Cell::EmptyList) => column.append(true),
            (Self::Texts(column), Cell::Texts(texts)) => {
                column.append_value(texts.iter().map(Some));
            }
            _ => return false,
        }
        true
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Null(mut column) => Arc::new(column.finish()),
            Self::Bool(mut column) => Arc::new(column.finish()),
            Self::I64(mut column) => Arc::new(column.finish()),
            Self::U64(mut column) => Arc::new(column.finish()),
            Self::F64(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Vectors(mut column) => Arc::new(column.finish()),
            Self::Integers(mut column) => Arc::new(column.finish()),
            Self::Texts(mut column) => Arc::new(column.finish()),
        }
    }
}
