//! From Arrow arrays to the columns of a batch, with every check on the values. The types are
//! matched again for each array, so that no cast can fail; what `layout` never lets through is
//! refused like any other wrong type.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ListArray, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

use crate::attributes::{AttributeValues, I64ListColumn, TextColumn, TextListColumn};
use crate::error::{Position, ReadError};
use crate::vectors::{Component, VectorData};

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
    /// The values of lists, from the first list's first on; where each list begins and ends.
    Lists(&'a [i32]),
}

impl Rows<'_> {
    fn locate(self, place: Place<'_>, at: usize) -> Position {
        match self {
            Self::Plain => place.row(at),
            Self::Lists(offsets) => {
                let at = at as i64 + i64::from(offsets[0]);
                let row = offsets.partition_point(|&start| i64::from(start) <= at) - 1;
                place.row(row).at_component((at - i64::from(offsets[row])).unsigned_abs())
            }
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
    let at = (0..array.len()).find(|&at| array.is_null(at)).unwrap_or(0);
    Err(place.malformed(rows.locate(place, at), what, "null"))
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
    let list = as_list(place, array)?;
    no_nulls(place, list, Rows::Plain, "a vector")?;
    let offsets = list.value_offsets();
    let len_of = |pair: &[i32]| (pair[1] - pair[0]).unsigned_abs() as usize;
    if let Some(row) = offsets.windows(2).position(|pair| len_of(pair) != dim) {
        let found = format!("{}", len_of(&offsets[row..row + 2]));
        return Err(place.malformed(place.row(row), format!("{dim} components"), found));
    }
    let values = entries(list);
    no_nulls(place, &values, Rows::Lists(offsets), "a finite number")?;
    match into {
        VectorData::F64(into) => components::<Float64Type>(place, &values, offsets, into),
        VectorData::F32(into) => components::<Float32Type>(place, &values, offsets, into),
        VectorData::F16(into) => components::<Float16Type>(place, &values, offsets, into),
        VectorData::I8(into) => components::<Int8Type>(place, &values, offsets, into),
        VectorData::U8(into) => components::<UInt8Type>(place, &values, offsets, into),
    }
}

fn components<T: ArrowPrimitiveType<Native: Component>>(
    place: Place<'_>,
    values: &dyn Array,
    offsets: &[i32],
    into: &mut Vec<T::Native>,
) -> Result<(), ReadError> {
    let values: &PrimitiveArray<T> = values.as_primitive_opt().ok_or_else(|| {
        place.wrong_type(&format!("components of type {}", T::DATA_TYPE), values.data_type())
    })?;
    let values: &[T::Native] = values.values();
    if let Some(at) = T::Native::first_not_finite(values) {
        let at_value = Rows::Lists(offsets).locate(place, at);
        return Err(place.malformed(at_value, "a finite number", values[at].to_string()));
    }
    into.extend_from_slice(values);
    Ok(())
}

fn as_list<'a>(place: Place<'_>, array: &'a dyn Array) -> Result<&'a ListArray, ReadError> {
    array.as_list_opt().ok_or_else(|| place.wrong_type("a column of lists", array.data_type()))
}

/// The entries of all lists of an array, and none of those before or behind them.
fn entries(list: &ListArray) -> arrow_array::ArrayRef {
    let offsets = list.value_offsets();
    let start = offsets[0].unsigned_abs() as usize;
    let end = offsets[list.len()].unsigned_abs() as usize;
    list.values().slice(start, end - start)
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
    let list = as_list(place, array)?;
    no_nulls(place, list, Rows::Plain, "a list")?;
    let offsets = list.value_offsets();
    unsigned_in(place, &entries(list), Rows::Lists(offsets), into)?;
    Ok(offsets.windows(2).map(|pair| (pair[1] - pair[0]).unsigned_abs() as usize).collect())
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
        other => return Err(place.wrong_type("a column of timestamps", other)),
    }
    .map_err(|(row, value)| {
        let expected = "a time whose microseconds since 1970 fit 64 bits";
        place.malformed(place.row(row), expected, format!("{value} {}", array.data_type()))
    })
}

fn texts(place: Place<'_>, array: &dyn Array, into: &mut TextColumn) -> Result<(), ReadError> {
    let Some(values) = array.as_string_opt::<i32>() else {
        return Err(place.wrong_type("a column of text", array.data_type()));
    };
    values.iter().for_each(|text| into.push(text));
    Ok(())
}

/// A null among the entries of a list is refused: it is neither a value nor the absence of one.
fn text_lists(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut TextListColumn,
) -> Result<(), ReadError> {
    let list = as_list(place, array)?;
    let offsets = list.value_offsets();
    let values = entries(list);
    no_nulls(place, &values, Rows::Lists(offsets), "a text in the list")?;
    let Some(values) = values.as_string_opt::<i32>() else {
        return Err(place.wrong_type("a column of lists of text", array.data_type()));
    };
    for (row, pair) in offsets.windows(2).enumerate() {
        let [start, end] = [pair[0], pair[1]].map(|at| (at - offsets[0]).unsigned_abs() as usize);
        into.push(list.is_valid(row).then(|| (start..end).map(|at| values.value(at))));
    }
    Ok(())
}

fn integer_lists(
    place: Place<'_>,
    array: &dyn Array,
    into: &mut I64ListColumn,
) -> Result<(), ReadError> {
    let list = as_list(place, array)?;
    let offsets = list.value_offsets();
    let rows = Rows::Lists(offsets);
    let values = entries(list);
    no_nulls(place, &values, rows, "an integer in the list")?;
    let mut integers = Vec::with_capacity(values.len());
    each_integer!(
        values,
        values => {
            for (at, &value) in values.values().iter().enumerate() {
                integers.push(convert(place, value, I64, || rows.locate(place, at))?);
            }
        },
        return Err(place.wrong_type("a column of lists of integers", array.data_type()))
    );
    for (row, pair) in offsets.windows(2).enumerate() {
        let [start, end] = [pair[0], pair[1]].map(|at| (at - offsets[0]).unsigned_abs() as usize);
        into.push(list.is_valid(row).then(|| &integers[start..end]));
    }
    Ok(())
}
