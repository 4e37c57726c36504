//! Attributes in another type than the one that they come in.

use std::borrow::Cow;
use std::str::FromStr;

use vicinage::builder::ColumnBatch;
use vicinage::index::{AttributeValue, ColumnKind};

/// A column that is to be an attribute, and the type that it is to have: `year`, `year:i64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) name: String,
    /// None: the type that it comes in.
    pub(crate) kind: Option<ColumnKind>,
}

impl FromStr for Wish {
    type Err = std::convert::Infallible;

    /// What follows the last colon is a type only if it is the name of one, so that columns may have
    /// colons in their names; a type that is misspelled becomes a column that there is not.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let typed = text.rsplit_once(':').and_then(|(name, kind)| Some((name, kind.parse().ok()?)));
        Ok(match typed {
            Some((name, kind)) => Self { name: name.to_owned(), kind: Some(kind) },
            None => Self { name: text.to_owned(), kind: None },
        })
    }
}

/// The values as those of `kind`. Where one is no value of that kind, exactly: its place and the value.
pub(crate) fn cast(column: ColumnBatch, kind: ColumnKind) -> Result<ColumnBatch, (usize, String)> {
    if column.kind() == kind {
        return Ok(column);
    }
    Ok(match kind {
        ColumnKind::Bool => ColumnBatch::Bool(each(&column, truth)?),
        ColumnKind::I64 => ColumnBatch::I64(each(&column, integer)?),
        ColumnKind::F64 => ColumnBatch::F64(each(&column, number)?),
        ColumnKind::Timestamp => ColumnBatch::Timestamp(each(&column, time)?),
        ColumnKind::Category => {
            ColumnBatch::Category(each(&column, |value| Some(text(value)?.into_owned()))?)
        }
        ColumnKind::Tags => {
            ColumnBatch::Tags(each(&column, |value| Some(vec![text(value)?.into_owned()]))?)
        }
    })
}

fn each<T>(
    column: &ColumnBatch,
    cast: impl Fn(&AttributeValue<'_>) -> Option<T>,
) -> Result<Vec<Option<T>>, (usize, String)> {
    let one = |row| match column.value(row) {
        AttributeValue::Null => Ok(None),
        value => cast(&value).map(Some).ok_or_else(|| (row, told(&value))),
    };
    (0..column.len()).map(one).collect()
}

fn told(value: &AttributeValue<'_>) -> String {
    match value {
        AttributeValue::Text(text) => format!("{text:?}"),
        AttributeValue::F64(number) => number.to_string(),
        AttributeValue::Tags(tags) => format!("{} tags", tags.len()),
        value => text(value).map_or_else(|| "another value".to_owned(), Cow::into_owned),
    }
}

fn truth(value: &AttributeValue<'_>) -> Option<bool> {
    match *value {
        AttributeValue::Bool(truth) => Some(truth),
        AttributeValue::I64(0) | AttributeValue::Text("false") => Some(false),
        AttributeValue::I64(1) | AttributeValue::Text("true") => Some(true),
        _ => None,
    }
}

fn integer(value: &AttributeValue<'_>) -> Option<i64> {
    match *value {
        AttributeValue::I64(number) | AttributeValue::Timestamp(number) => Some(number),
        AttributeValue::Bool(truth) => Some(i64::from(truth)),
        // As an f64, the largest i64 is one too many.
        AttributeValue::F64(number) => (number == number.trunc()
            && (i64::MIN as f64..i64::MAX as f64).contains(&number))
        .then_some(number as i64),
        AttributeValue::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &AttributeValue<'_>) -> Option<f64> {
    match *value {
        AttributeValue::F64(number) => Some(number),
        AttributeValue::I64(number) => {
            let near = number as f64;
            (integer(&AttributeValue::F64(near)) == Some(number)).then_some(near)
        }
        AttributeValue::Text(text) => text.parse().ok().filter(|number: &f64| !number.is_nan()),
        _ => None,
    }
}

/// Microseconds since 1970; a text is RFC 3339.
fn time(value: &AttributeValue<'_>) -> Option<i64> {
    match *value {
        AttributeValue::Timestamp(time) | AttributeValue::I64(time) => Some(time),
        AttributeValue::Text(text) => Some(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()),
        _ => None,
    }
}

fn text<'a>(value: &AttributeValue<'a>) -> Option<Cow<'a, str>> {
    match *value {
        AttributeValue::Text(text) => Some(text.into()),
        AttributeValue::I64(number) | AttributeValue::Timestamp(number) => {
            Some(number.to_string().into())
        }
        AttributeValue::Bool(truth) => Some(if truth { "true" } else { "false" }.into()),
        // Of the texts that one number can have, none is the right one.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_colon_is_a_type_if_it_is_one() {
        let wish = |text: &str| text.parse::<Wish>().unwrap();
        let is = |name: &str, kind| Wish { name: name.to_owned(), kind };
        assert_eq!(wish("year:i64"), is("year", Some(ColumnKind::I64)));
        assert_eq!(wish("role:app"), is("role:app", None));
        assert_eq!(wish("role:app:tags"), is("role:app", Some(ColumnKind::Tags)));
        assert_eq!(wish("year"), is("year", None));
    }

    #[test]
    fn values_are_the_same_or_refused() {
        let of = |column: ColumnBatch, kind| {
            cast(column, kind).map(|cast| {
                (0..cast.len()).map(|row| format!("{:?}", cast.value(row))).collect::<Vec<_>>()
            })
        };
        let integers = || ColumnBatch::I64(vec![Some(1), None, Some((1 << 53) + 1)]);
        assert_eq!(of(integers(), ColumnKind::Bool), Err((2, "9007199254740993".to_owned())));
        assert_eq!(of(integers(), ColumnKind::F64), Err((2, "9007199254740993".to_owned())));
        let texts = r#"Text("1")|Null|Text("9007199254740993")"#;
        assert_eq!(of(integers(), ColumnKind::Category).unwrap().join("|"), texts);
        let numbers = ColumnBatch::F64(vec![Some(-2.0), Some(2_f64.powi(63))]);
        assert_eq!(of(numbers, ColumnKind::I64), Err((1, "9223372036854776000".to_owned())));
        let texts = |text: &str| ColumnBatch::Category(vec![Some(text.to_owned())]);
        let time = of(texts("1970-01-01T00:00:01+00:00"), ColumnKind::Timestamp).unwrap();
        assert_eq!(time, ["Timestamp(1000000)"]);
        assert_eq!(of(texts("NaN"), ColumnKind::F64), Err((0, "\"NaN\"".to_owned())));
        assert_eq!(of(texts("a"), ColumnKind::Tags).unwrap(), [r#"Tags(["a"])"#]);
    }
}
