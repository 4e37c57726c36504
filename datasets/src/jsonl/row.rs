//! One line: a JSON object of values that a column can have.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond i64.
    Unsigned(u64),
    Number(f64),
    Text(String),
    EmptyList,
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
    /// A list that no column can have, and why.
    MixedList(&'static str),
    Object,
}

impl Cell {
    /// What it is, for errors.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Integer(_) => "an integer",
            Self::Unsigned(_) => "an integer beyond 2^63 - 1",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::EmptyList => "an empty list",
            Self::Integers(_) => "a list of integers",
            Self::Numbers(_) => "a list of numbers",
            Self::Texts(_) => "a list of texts",
            Self::MixedList(what) => what,
            Self::Object => "an object",
        }
    }
}

/// The fields of a line, in their order, each name once.
#[derive(Debug)]
pub(super) struct Row(pub(super) Vec<(String, Cell)>);

impl Row {
    /// A field by name; `hint` is where it was in the row before.
    pub(super) fn get(&self, name: &str, hint: &mut usize) -> &Cell {
        if self.0.get(*hint).is_none_or(|(there, _)| there != name) {
            let Some(at) = self.0.iter().position(|(there, _)| there == name) else {
                return &Cell::Null;
            };
            *hint = at;
        }
        &self.0[*hint].1
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of one row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        use serde::de::Error;
        let mut fields: Vec<(String, Cell)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.len() == super::MAX_COLUMNS {
                let most = super::MAX_COLUMNS;
                return Err(A::Error::custom(format!("more than {most} fields in a row")));
            }
            if fields.iter().any(|(there, _)| *there == name) {
                return Err(A::Error::custom(format!("field `{name}` twice")));
            }
            fields.push((name, map.next_value()?));
        }
        Ok(Row(fields))
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(i64::try_from(value).map_or(Cell::Unsigned(value), Cell::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(Cell::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        Ok(Cell::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Cell, E> {
        Ok(Cell::Text(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        let mut cell = Cell::EmptyList;
        while let Some(entry) = list.next_element::<Cell>()? {
            cell = append(cell, entry);
        }
        Ok(cell)
    }
}

/// A list with one more entry. Integers become numbers with the first one that is none.
fn append(list: Cell, entry: Cell) -> Cell {
    match (list, entry) {
        (Cell::EmptyList, Cell::Integer(value)) => Cell::Integers(vec![value]),
        (Cell::EmptyList, Cell::Number(value)) => Cell::Numbers(vec![value]),
        (Cell::EmptyList, Cell::Unsigned(value)) => Cell::Numbers(vec![value as f64]),
        (Cell::EmptyList, Cell::Text(text)) => Cell::Texts(vec![text]),
        (Cell::Integers(mut values), Cell::Integer(value)) => {
            values.push(value);
            Cell::Integers(values)
        }
        (Cell::Integers(values), entry @ (Cell::Number(_) | Cell::Unsigned(_))) => {
            append(Cell::Numbers(values.iter().map(|&value| value as f64).collect()), entry)
        }
        (Cell::Numbers(mut values), Cell::Number(value)) => {
            values.push(value);
            Cell::Numbers(values)
        }
        (Cell::Numbers(values), Cell::Integer(value)) => {
            append(Cell::Numbers(values), Cell::Number(value as f64))
        }
        (Cell::Numbers(values), Cell::Unsigned(value)) => {
            append(Cell::Numbers(values), Cell::Number(value as f64))
        }
        (Cell::Texts(mut texts), Cell::Text(text)) => {
            texts.push(text);
            Cell::Texts(texts)
        }
        (list @ Cell::MixedList(_), _) => list,
        (_, Cell::Null) => Cell::MixedList("a list with null"),
        (Cell::EmptyList, _) => Cell::MixedList("a list of lists, objects or bools"),
        _ => Cell::MixedList("a list of several types"),
    }
}
