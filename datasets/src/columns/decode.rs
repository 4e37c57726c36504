//! From Arrow arrays to the columns of a batch, with every check on the values. The types are
//! matched again for each array, so that no cast can fail; what `layout` never lets through is
//! refused like any other wrong type.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

use crate::attributes::{AttributeValues, I64ListColumn, TextColumn, TextListColumn};
use crate::columns::lists::Lists;
use crate::error::{Position, ReadError};
use crate::vectors::{Component, MAX_DIM, VectorData};

/// What is expected of an integer attribute.
const I64: &str = "an integer up to 2^63 - 1";

/// The column that is being decoded, and the row of the file that the array begins with.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) column: &'a str,
    pub(crate) first_row: u64,
}

impl Place<'_> {
    /// A row of the array, as a place in the file.
    pub(crate) fn row(&self, row: usize) -> Position {
        Position::column(self.column).at_row(self.first_row + row as u64)
    }

    pub(crate) fn malformed(
        &self,
        at: Position,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ReadError {
        ReadError::malformed(self.path, at, expected, found)
    }

    fn wrong_type(&self, expected: &str, found: &DataType) -> ReadError {
        self.malformed(Position::column(self.column), expected, found.to_string())
    }
}

/// Which row, and which entry of it, each value of an array belongs to.
#[derive(Clone, Copy)]
enum Rows<'a> {
    /// Every value is a row.
    Plain,
    /// The values are the entries of lists.
    Lists(&'a Lists),
}

impl Rows<'_> {
    fn locate(self, place: Place<'_>, at: usize) -> Position {
        match self {
            Self::Plain => place.row(at),
            Self::Lists(lists) => {
                let (row, entry) = lists.locate(at);
                place.row(row).at_component(entry as u64)
            }
        }
    }

    /// Whether the value is no part of the column: a list of fixed size has entries even where
    /// it is null.
    fn is_outside(self, at: usize) -> bool {
        match self {
            Self::Plain => false,
            Self::Lists(lists) => lists.nulls.is_some() && lists.is_null(lists.locate(at).0),
        }
    }
}

/// Refuses the first null of an array that must not have one.
fn no_nulls(
    place: Place<'_>,
    array: &dyn Array,
    rows: Rows<'_>,
    what: &str,
) -> Result<(), ReadError> {
    if array.null_count() == 0 {
        return Ok(());
    }
    match (0..array.len()).find(|&at| array.is_null(at) && !rows.is_outside(at)) {
        None => Ok(()),
        Some(at) => Err(place.malformed(rows.locate(place, at), what, "null")),
    }
}

/// Binds `$values` to the array under its integer type and runs `$body`; `$other` for an array of
/// another type.
macro_rules! each_integer {
    ($array:expr, $values:ident => $body:expr, $other:expr) => {
        match $array.data_type() {
            DataType::Int8 => each_integer!(@ $array, Int8Type, $values, $body),
            DataType::Int16 => each_integer!(@ $array, Int16Type, $values, $body),
            DataType::Int32 => each_integer!(@ $array, Int32Type, $values, $body),
            DataType::Int64 => each_integer!(@ $array, Int64Type, $values, $body),
            DataType::UInt8 => each_integer!(@ $array, UInt8Type, $values, $body),
            DataType::UInt16 => each_integer!(@ $array, UInt16Type, $values, $body),
            DataType::UInt32 => each_integer!(@ $array, UInt32Type, $values, $body),
            DataType::UInt64 => each_integer!(@ $array, UInt64Type, $values, $body),
            _ => $other,
        }
    };
    (@ $array:expr, $integer:ty, $values:ident, $body:expr) => {{
        let $values = $array.as_primitive::<$integer>();
        $body
    }};
}

/// Appends the vectors of a list array to `into`: each present, of `dim` components, all of them
/// present and finite.
pub(super) fn vectors(
    place: Place<'_>,
    array: &dyn Array,
    dim: usize,
    into: &mut VectorData,
) -> Result<(), ReadError> {
    let lists = as_lists(place, array)?;
    no_null_lists(place, &lists, "a vector")?;
    if let Some((row, range)) = lists.ranges().enumerate().find(|(_, range)| range.len() != dim) {
        let found = range.len().to_string();
        return Err(place.malformed(place.row(row), format!("{dim} components"), found));
    }
    no_nulls(place, &lists.entries, Rows::Lists(&lists), "a finite number")?;
    match into {
        VectorData::F64(into) => components::<Float64Type>(place, &lists, into),
        VectorData::F32(into) => components::<Float32Type>(place, &lists, into),
        VectorData::F16(into) => components::<Float16Type>(place, &lists, into),
        VectorData::I8(into) => components::<Int8Type>(place, &lists, into),
        VectorData::U8(into) => components::<UInt8Type>(place, &lists, into),
    }
}

fn components<T: ArrowPrimitiveType<Native: Component>>(
    place: Place<'_>,
    lists: &Lists,
    into: &mut Vec<T::Native>,
) -> Result<(), ReadError> {
    let values: &PrimitiveArray<T> = lists.entries.as_primitive_opt().ok_or_else(|| {
        let expected = format!("components of type {}", T::DATA_TYPE);
        place.wrong_type(&expected, lists.entries.data_type())
    })?;
    let values: &[T::Native] = values.values();
    if let Some(at) = T::Native::first_not_finite(values) {
        let at_value = Rows::Lists(lists).locate(place, at);
        return Err(place.malformed(at_value, "a finite number", values[at].to_string()));
    }
    into.extend_from_slice(values);
    Ok(())
}

/// The dim of the first vector of an array.
pub(super) fn first_dim(place: Place<'_>, array: &dyn Array) -> Result<u32, ReadError> {
    let lists = as_lists(place, array)?;
    let expected = format!("a vector of 1 to {MAX_DIM} components");
    if lists.is_null(0) {
        return Err(place.malformed(place.row(0), expected, "null"));
    }
    let dim = lists.offsets[1];
    u32::try_from(dim)
        .ok()
        .filter(|dim| (1..=MAX_DIM).contains(dim))
        .ok_or_else(|| place.malformed(place.row(0), expected, dim.to_string()))
}

fn as_lists(place: Place<'_>, array: &dyn Array) -> Result<Lists, ReadError> {
    Lists::of(array).ok_or_else(|| place.wrong_type("a column of lists", array.data_type()))
}

fn no_null_lists(place: Place<'_>, lists: &Lists, what: &str) -> Result<(), ReadError> {
    match lists.first_null() {
        None => Ok(()),
        Some(row) => Err(place.malformed(place.row(row), what, "null")),
    }
}

/// Appends integers that are present and not negative: ids, query numbers, grades.
pub(crate) fn unsigned(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut Vec<u64>,
) -> Result<(), ReadError> {
    unsigned_in(place, array, Rows::Plain, into)
}

/// Appends the entries of lists that are present and hold integers that are present and not
/// negative, and gives the length of each list.
pub(crate) fn list_of_unsigned(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut Vec<u64>,
) -> Result<Vec<usize>, ReadError> {
    let lists = as_lists(place, array)?;
    no_null_lists(place, &lists, "a list")?;
    unsigned_in(place, &lists.entries, Rows::Lists(&lists), into)?;
    Ok(lists.ranges().map(|range| range.len()).collect())
}

fn unsigned_in(
    place: Place<'_>,
    array: &dyn Array,
    rows: Rows<'_>,
    into: &mut Vec<u64>,
) -> Result<(), ReadError> {
    no_nulls(place, array, rows, "a whole number")?;
    each_integer!(
        array,
        values => {
            for (at, &value) in values.values().iter().enumerate() {
                let at = || rows.locate(place, at);
                into.push(convert(place, value, "a whole number from 0", at)?);
            }
            Ok(())
        },
        Err(place.wrong_type("a column of integers", array.data_type()))
    )
}

/// Appends one value a row to an attribute column.
pub(super) fn attribute(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut AttributeValues,
) -> Result<(), ReadError> {
    let wrong = |expected: &str| Err(place.wrong_type(expected, array.data_type()));
    match into {
        AttributeValues::Bool(into) => match array.as_boolean_opt() {
            Some(values) => into.extend(values),
            None => return wrong("a column of booleans"),
        },
        AttributeValues::I64(into) => integers(place, array, into)?,
        AttributeValues::F64(into) => match array.data_type() {
            DataType::Float64 => into.extend(array.as_primitive::<Float64Type>()),
            DataType::Float32 => {
                let values = array.as_primitive::<Float32Type>();
                into.extend(values.iter().map(|value| value.map(f64::from)));
            }
            DataType::Float16 => {
                let values = array.as_primitive::<Float16Type>();
                into.extend(values.iter().map(|value| value.map(f64::from)));
            }
            _ => return wrong("a column of floats"),
        },
        AttributeValues::Timestamp(into) => timestamps(place, array, into)?,
        AttributeValues::Text(into) => texts(place, array, into)?,
        AttributeValues::TextList(into) => text_lists(place, array, into)?,
        AttributeValues::I64List(into) => integer_lists(place, array, into)?,
    }
    Ok(())
}

fn integers(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut Vec<Option<i64>>,
) -> Result<(), ReadError> {
    each_integer!(
        array,
        values => {
            for (row, value) in values.iter().enumerate() {
                let Some(value) = value else {
                    into.push(None);
                    continue;
                };
                into.push(Some(convert(place, value, I64, || place.row(row))?));
            }
            Ok(())
        },
        Err(place.wrong_type("a column of integers", array.data_type()))
    )
}

/// Converts an integer, or says where one is that does not fit.
fn convert<T: TryInto<U> + ToString + Copy, U>(
    place: Place<'_>,
    value: T,
    expected: &str,
    at: impl FnOnce() -> Position,
) -> Result<U, ReadError> {
    value.try_into().map_err(|_| place.malformed(at(), expected, value.to_string()))
}

fn timestamps(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut Vec<Option<i64>>,
) -> Result<(), ReadError> {
    const DAY: i64 = 86_400_000_000;
    /// Multiplies each value, and says which one has no microseconds in i64.
    fn scale<T: ArrowPrimitiveType<Native: Into<i64>>>(
        array: &dyn Array,
        factor: i64,
        into: &mut Vec<Option<i64>>,
    ) -> Result<(), (usize, i64)> {
        for (row, value) in array.as_primitive::<T>().iter().enumerate() {
            let Some(value) = value.map(Into::into) else {
                into.push(None);
                continue;
            };
            into.push(Some(value.checked_mul(factor).ok_or((row, value))?));
        }
        Ok(())
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scale::<TimestampSecondType>(array, 1_000_000, into)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scale::<TimestampMillisecondType>(array, 1_000, into)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scale::<TimestampMicrosecondType>(array, 1, into)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let values = array.as_primitive::<TimestampNanosecondType>();
            into.extend(values.iter().map(|value| value.map(|value| value.div_euclid(1_000))));
            Ok(())
        }
        DataType::Date32 => scale::<Date32Type>(array, DAY, into),
        DataType::Date64 => scale::<Date64Type>(array, 1_000, into),
        other => return Err(place.wrong_type("a column of timestamps", other)),
    }
    .map_err(|(row, value)| {
        let expected = "a time whose microseconds since 1970 fit 64 bits";
        place.malformed(place.row(row), expected, format!("{value} {}", array.data_type()))
    })
}

/// Binds `$values` to the array under its text type and runs `$body`; `$other` for an array of
/// another type.
macro_rules! each_text {
    ($array:expr, $values:ident => $body:expr, $other:expr) => {
        match $array.data_type() {
            DataType::Utf8 => {
                let $values = $array.as_string::<i32>();
                $body
            }
            DataType::LargeUtf8 => {
                let $values = $array.as_string::<i64>();
                $body
            }
            DataType::Utf8View => {
                let $values = $array.as_string_view();
                $body
            }
            _ => $other,
        }
    };
}

fn texts(place: Place<'_>, array: &dyn Array, into: &mut TextColumn) -> Result<(), ReadError> {
    let wrong = || Err(place.wrong_type("a column of text", array.data_type()));
    let Some(dictionary) = array.as_any_dictionary_opt() else {
        return each_text!(
            array,
            values => {
                values.iter().for_each(|text| into.push(text));
                Ok(())
            },
            wrong()
        );
    };
    let keys = keys(place, dictionary.keys())?;
    each_text!(
        dictionary.values(),
        values => {
            for (row, key) in keys.into_iter().enumerate() {
                let Some(key) = key else {
                    into.push(None);
                    continue;
                };
                if key >= values.len() {
                    let expected = format!("a key below {}, as the dictionary has", values.len());
                    return Err(place.malformed(place.row(row), expected, key.to_string()));
                }
                into.push(values.is_valid(key).then(|| values.value(key)));
            }
            Ok(())
        },
        wrong()
    )
}

/// The keys of a dictionary's rows.
fn keys(place: Place<'_>, array: &dyn Array) -> Result<Vec<Option<usize>>, ReadError> {
    let mut keys = Vec::new();
    integers(place, array, &mut keys)?;
    let key = |(row, key): (usize, Option<i64>)| {
        let convert = |key| convert(place, key, "a key from 0", || place.row(row));
        key.map(convert).transpose()
    };
    keys.into_iter().enumerate().map(key).collect()
}

/// A null among the entries of a list is refused: it is neither a value nor the absence of one.
fn text_lists(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut TextListColumn,
) -> Result<(), ReadError> {
    let lists = as_lists(place, array)?;
    no_nulls(place, &lists.entries, Rows::Lists(&lists), "a text in the list")?;
    each_text!(
        lists.entries,
        values => {
            for (row, range) in lists.ranges().enumerate() {
                into.push((!lists.is_null(row)).then(|| range.map(|at| values.value(at))));
            }
            Ok(())
        },
        Err(place.wrong_type("a column of lists of text", array.data_type()))
    )
}

fn integer_lists(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut I64ListColumn,
) -> Result<(), ReadError> {
    let lists = as_lists(place, array)?;
    let rows = Rows::Lists(&lists);
    no_nulls(place, &lists.entries, rows, "an integer in the list")?;
    let mut integers = Vec::with_capacity(lists.entries.len());
    each_integer!(
        lists.entries,
        values => {
            for (at, &value) in values.values().iter().enumerate() {
                let value = if rows.is_outside(at) { Default::default() } else { value };
                integers.push(convert(place, value, I64, || rows.locate(place, at))?);
            }
        },
        return Err(place.wrong_type("a column of lists of integers", array.data_type()))
    );
    for (row, range) in lists.ranges().enumerate() {
        into.push((!lists.is_null(row)).then(|| &integers[range]));
    }
    Ok(())
}
