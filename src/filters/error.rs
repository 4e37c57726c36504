//! What is wrong with a filter, and where in it.

use std::fmt::{self, Write as _};

use super::columns::ColumnKind;
use crate::error::Corruption;

/// A filter that cannot be read, or not be asked of these items.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("filter{}: {problem}", At(place))]
pub struct FilterError {
    /// Where.
    pub place: FilterPlace,
    /// What is wrong there.
    pub problem: FilterProblem,
}

/// A place in a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterPlace {
    /// In JSON that was read.
    Json {
        /// A JSON pointer (RFC 6901); empty for all of it.
        pointer: String,
    },
    /// In a text that was read.
    Text {
        /// The byte, from 0.
        offset: usize,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
    },
    /// In an expression, in whichever notation it was.
    Part {
        /// A JSON pointer into its JSON notation; empty for all of it.
        pointer: String,
        /// The part in the text notation, cut short if it is long.
        text: Box<str>,
    },
}

impl FilterPlace {
    /// A byte of a text.
    pub(super) fn in_text(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self::Text {
            offset,
            line: 1 + before.matches('\n').count(),
            column: 1 + line.chars().count(),
        }
    }

    /// The JSON pointer, where there is one.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Json { pointer } | Self::Part { pointer, .. } => Some(pointer),
            Self::Text { .. } => None,
        }
    }
}

/// What can be wrong with a filter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// Not JSON, or not of the form that the notation has there; the text says which and where.
    #[error("{0}")]
    Malformed(String),
    /// Something that cannot stand there in a text.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What can.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A name that is none of those that can stand there.
    #[error("unknown {what} \"{found}\"{}; expected {expected}", Nearest(nearest))]
    UnknownName {
        /// What is named: an operator, a bound, a word.
        what: &'static str,
        /// The name.
        found: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// Those that can stand there.
        expected: &'static str,
    },
    /// An attribute that the items do not have.
    #[error("unknown attribute \"{found}\"{}", Nearest(nearest))]
    UnknownField {
        /// The name.
        found: String,
        /// The attribute that was probably meant.
        nearest: Option<String>,
    },
    /// A value or an operator that does not fit the attribute.
    #[error("\"{field}\" is {kind}: expected {expected}, found {found}")]
    WrongType {
        /// The attribute.
        field: String,
        /// What its values are.
        kind: ColumnKind,
        /// What fits.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// NaN, which is neither less nor more than anything.
    #[error("NaN cannot be compared with anything")]
    NotANumber,
    /// A range that has no bound, or two on one side.
    #[error(
        "a range has a lower bound (gt or gte, > or >=), an upper bound (lt or lte, < or <=), or one of each"
    )]
    Bounds,
    /// Too many levels.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The most there may be.
        limit: usize,
    },
    /// Too many parts, or too many values in all of them.
    #[error("more than {limit} {what}")]
    TooLarge {
        /// Of what there are too many.
        what: &'static str,
        /// The most there may be.
        limit: usize,
    },
    /// The attribute's bytes are damaged.
    #[error(transparent)]
    Corrupt(Box<Corruption>),
}

/// One step of the way to a place in a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    At(usize),
}

/// The steps as a JSON pointer.
pub(super) fn pointer(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        // Writing to a string does not fail.
        let _ = match step {
            Step::Key(key) => write!(text, "/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::At(at) => write!(text, "/{at}"),
        };
    }
    text
}

/// The name of `names` that differs least from `found`, if it is near enough to have been meant.
pub(super) fn nearest<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // A name that long is no slip of the keyboard, and comparing takes time with the square.
    const LONGEST: usize = 100;
    if found.len() > LONGEST {
        return None;
    }
    let lower = found.to_lowercase();
    let near = names.into_iter().filter(|name| name.len() <= LONGEST);
    let (distance, name) = near
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + found.chars().count() / 4).then(|| name.to_owned())
}

struct At<'a>(&'a FilterPlace);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FilterPlace::Json { pointer } if pointer.is_empty() => Ok(()),
            FilterPlace::Json { pointer } => write!(f, ", at {pointer}"),
            FilterPlace::Text { line: 1, column, .. } => write!(f, ", at column {column}"),
            FilterPlace::Text { line, column, .. } => {
                write!(f, ", at line {line}, column {column}")
            }
            FilterPlace::Part { pointer, text } if pointer.is_empty() => write!(f, ", in {text}"),
            FilterPlace::Part { pointer, text } => write!(f, ", in {text} (JSON: {pointer})"),
        }
    }
}

struct Nearest<'a>(&'a Option<String>);

impl fmt::Display for Nearest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, " (did you mean \"{name}\"?)"),
            None => Ok(()),
        }
    }
}
