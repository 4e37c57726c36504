//! The text notation, written. What is written is read as the same expression again; only a range
//! without bounds and NaN, which no reader gives, are refused.

use std::fmt::{self, Display, Formatter, Write as _};
use std::ops::Bound;

use super::super::{Expression, Literal, Predicate};
use super::tokens::is_bare;

impl Display for Expression {
    /// Writes the text notation, which [`Expression::from_text`] reads as this expression.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) if parts.len() > 1 => joined(f, parts, " and ", is_joined),
            Self::Or(parts) if parts.len() > 1 => {
                joined(f, parts, " or ", |part| matches!(part, Self::Or(_)) && is_joined(part))
            }
            Self::And(parts) => list(f, "all", parts),
            Self::Or(parts) => list(f, "any", parts),
            Self::Ids(ids) => list(f, "ids", ids),
            Self::Exclude(ids) => list(f, "exclude", ids),
            Self::Attribute { field, predicate } => attribute(f, field, predicate),
            Self::Not(part) => match &**part {
                Self::Attribute { field, predicate: Predicate::In(values) } => {
                    list(f, format_args!("{} not in ", Name(field)), values.iter())
                }
                Self::Attribute { field, predicate: Predicate::IsNull } => {
                    write!(f, "{} is not null", Name(field))
                }
                part if is_joined(part) => write!(f, "not ({part})"),
                part => write!(f, "not {part}"),
            },
        }
    }
}

/// Whether this is written with a word between its parts.
fn is_joined(part: &Expression) -> bool {
    matches!(part, Expression::And(parts) | Expression::Or(parts) if parts.len() > 1)
}

fn joined(
    f: &mut Formatter<'_>,
    parts: &[Expression],
    word: &str,
    bracketed: impl Fn(&Expression) -> bool,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        f.write_str(if at > 0 { word } else { "" })?;
        match bracketed(part) {
            true => write!(f, "({part})")?,
            false => write!(f, "{part}")?,
        }
    }
    Ok(())
}

fn list<T: Display>(
    f: &mut Formatter<'_>,
    before: impl Display,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    write!(f, "{before}(")?;
    for (at, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
    }
    f.write_str(")")
}

fn attribute(f: &mut Formatter<'_>, field: &str, predicate: &Predicate) -> fmt::Result {
    let field = Name(field);
    match predicate {
        Predicate::Eq(value) => write!(f, "{field} == {value}"),
        Predicate::Ne(value) => write!(f, "{field} != {value}"),
        Predicate::In(values) => list(f, format_args!("{field} in "), values),
        Predicate::Has(tag) => write!(f, "{field} has {}", Text(tag)),
        Predicate::HasAny(tags) => {
            list(f, format_args!("{field} has any "), tags.iter().map(|tag| Text(tag)))
        }
        Predicate::HasAll(tags) => {
            list(f, format_args!("{field} has all "), tags.iter().map(|tag| Text(tag)))
        }
        Predicate::IsNull => write!(f, "{field} is null"),
        Predicate::Range(low, high) => match (End::of(low), End::of(high)) {
            (Some(low), None) => write!(f, "{field} >{} {}", low.or_equal, low.value),
            (None, Some(high)) => write!(f, "{field} <{} {}", high.or_equal, high.value),
            (Some(low), Some(high)) => {
                let (low_sign, high_sign) = (low.or_equal, high.or_equal);
                write!(f, "{} <{low_sign} {field} <{high_sign} {}", low.value, high.value)
            }
            // No expression that is read has this.
            (None, None) => write!(f, ".. <= {field} <= .."),
        },
    }
}

/// One end of a range.
struct End<'a> {
    or_equal: &'static str,
    value: &'a Literal,
}

impl<'a> End<'a> {
    fn of(bound: &'a Bound<Literal>) -> Option<Self> {
        match bound {
            Bound::Excluded(value) => Some(Self { or_equal: "", value }),
            Bound::Included(value) => Some(Self { or_equal: "=", value }),
            Bound::Unbounded => None,
        }
    }
}

impl Display for Literal {
    /// As it is written in the text notation.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::I64(value) => write!(f, "{value}"),
            // The shortest that is read as the same number, with a point or an exponent.
            Self::F64(value) if !value.is_nan() => write!(f, "{value:?}"),
            Self::F64(_) => f.write_str("nan"),
            Self::Text(value) => write!(f, "{}", Text(value)),
        }
    }
}

/// The name of an attribute, in backticks where it is no plain word.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_bare(self.0) { f.write_str(self.0) } else { quoted(f, self.0, '`') }
    }
}

struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        quoted(f, self.0, '"')
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\\' => f.write_str("\\\\")?,
            c if c == quote => write!(f, "\\{c}")?,
            // Line separators and the like are as invisible, but characters of some script.
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}
