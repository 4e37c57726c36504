//! The columns of a file of lines, found by reading all of them once.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};

use super::MAX_COLUMNS;
use super::lines::Lines;
use super::row::{Cell, Row};
use crate::error::ReadError;

/// A vector column has one of these names where the input names none, so that whole numbers in it
/// are components and not a list of ids.
const VECTOR_NAMES: [&str; 2] = ["vector", "embedding"];

/// What the rows so far have in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Null in all of them.
    Unknown,
    Bool,
    Integer,
    /// None of them negative, some beyond i64.
    Unsigned,
    Number,
    Text,
    EmptyList,
    IntegerList,
    NumberList,
    TextList,
    /// What no column can have.
    Other(&'static str),
}

impl Kind {
    fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Null => Self::Unknown,
            Cell::Bool(_) => Self::Bool,
            Cell::Integer(_) => Self::Integer,
            Cell::Unsigned(_) => Self::Unsigned,
            Cell::Number(_) => Self::Number,
            Cell::Text(_) => Self::Text,
            Cell::EmptyList => Self::EmptyList,
            Cell::Integers(_) => Self::IntegerList,
            Cell::Numbers(_) => Self::NumberList,
            Cell::Texts(_) => Self::TextList,
            Cell::MixedList(_) | Cell::Object => Self::Other(cell.name()),
        }
    }

    /// The kind that holds both, if there is one.
    fn with(self, other: Self) -> Option<Self> {
        use Kind::{
            EmptyList, Integer, IntegerList, Number, NumberList, Other, TextList, Unknown, Unsigned,
        };
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Unknown, kind) | (kind, Unknown) => Some(kind),
            (kind @ Other(_), _) | (_, kind @ Other(_)) => Some(kind),
            (Integer, Unsigned) | (Unsigned, Integer) => Some(Unsigned),
            (Integer | Unsigned, Number) | (Number, Integer | Unsigned) => Some(Number),
            (EmptyList, kind @ (IntegerList | NumberList | TextList))
            | (kind @ (IntegerList | NumberList | TextList), EmptyList) => Some(kind),
            (IntegerList, NumberList) | (NumberList, IntegerList) => Some(NumberList),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "null",
            Self::Bool => "a bool",
            Self::Integer | Self::Unsigned => "an integer",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::EmptyList => "a list",
            Self::IntegerList => "a list of integers",
            Self::NumberList => "a list of numbers",
            Self::TextList => "a list of texts",
            Self::Other(what) => what,
        }
    }

    fn data_type(self, is_vector: bool) -> DataType {
        let list = |entry| DataType::List(Arc::new(Field::new("element", entry, false)));
        match self {
            Self::Unknown => DataType::Null,
            // No column is made of it, but the message about it names a type.
            Self::Other(_) => DataType::Struct(Fields::empty()),
            Self::Bool => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Number => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::IntegerList if !is_vector => list(DataType::Int64),
            Self::IntegerList | Self::NumberList => list(DataType::Float32),
            Self::EmptyList | Self::TextList => list(DataType::Utf8),
        }
    }
}

struct Column {
    name: String,
    kind: Kind,
    /// Entries of the first list.
    entries: Option<usize>,
}

/// The columns in the order in which they first appear, and the number of rows.
pub(super) struct Schema {
    columns: Vec<Column>,
    pub(super) rows: u64,
}

impl Schema {
    /// Reads all lines.
    pub(super) fn of(lines: &mut Lines) -> Result<Self, ReadError> {
        let mut schema = Self { columns: Vec::new(), rows: 0 };
        while let Some(line) = lines.next()? {
            match parse(line) {
                Ok(fields) => {
                    if let Err((expected, found)) = schema.add(&fields) {
                        return Err(lines.malformed(0, expected, found));
                    }
                }
                Err(error) => return Err(unreadable(lines, &error)),
            }
            schema.rows += 1;
        }
        Ok(schema)
    }

    fn add(&mut self, row: &Row) -> Result<(), (String, String)> {
        for (at, (name, cell)) in row.0.iter().enumerate() {
            let kind = Kind::of(cell);
            let entries = match cell {
                Cell::Integers(values) => Some(values.len()),
                Cell::Numbers(values) => Some(values.len()),
                _ => None,
            };
            let here = self.columns.get(at).filter(|column| column.name == *name).map(|_| at);
            let position =
                here.or_else(|| self.columns.iter().position(|column| column.name == *name));
            let Some(position) = position else {
                if self.columns.len() == MAX_COLUMNS {
                    let expected = format!("at most {MAX_COLUMNS} columns");
                    return Err((expected, format!("one more, `{name}`")));
                }
                self.columns.push(Column { name: name.clone(), kind, entries });
                continue;
            };
            let column = &mut self.columns[position];
            column.kind = column.kind.with(kind).ok_or_else(|| {
                let expected = format!("in `{name}`, {}, as in rows before", column.kind.name());
                (expected, cell.name().to_owned())
            })?;
            column.entries = column.entries.or(entries);
        }
        Ok(())
    }

    /// The columns in the types of Arrow, by which vectors, ids and attributes are chosen as in
    /// Parquet. `vector` is the column that the input names.
    pub(super) fn fields(&self, vector: Option<&str>) -> Fields {
        let is_vector = |name: &str| match vector {
            Some(vector) => name == vector,
            None => VECTOR_NAMES.contains(&name),
        };
        let fields = self.columns.iter().map(|column| {
            let data_type = column.kind.data_type(is_vector(&column.name));
            Field::new(&column.name, data_type, true)
        });
        fields.collect()
    }

    /// Entries of the first list of a column.
    pub(super) fn entries(&self, column: usize) -> usize {
        self.columns[column].entries.unwrap_or(0)
    }
}

pub(super) fn parse(line: &[u8]) -> Result<Row, serde_json::Error> {
    serde_json::from_slice(line)
}

/// The error for a line that is no row.
pub(super) fn unreadable(lines: &Lines, error: &serde_json::Error) -> ReadError {
    let text = error.to_string();
    // The line is one of many, so its number within itself says nothing.
    let found = format!("an error: {}", text.split(" at line ").next().unwrap_or(&text));
    lines.malformed(error.column().saturating_sub(1), "a JSON object with a row", found)
}
