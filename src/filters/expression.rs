//! The tree of a filter.
//!
//! | JSON | text | passes an item whose |
//! |---|---|---|
//! | `{"and": [F, …]}` | `F and F`, `all(F, …)` | all of the filters pass; none: all items |
//! | `{"or": [F, …]}` | `F or F`, `any(F, …)` | at least one of the filters passes; none: no item |
//! | `{"not": F}` | `not F` | filter does not pass |
//! | `{"eq": {"a": v}}` | `a == v` | value is v |
//! | `{"ne": {"a": v}}` | `a != v` | value is not v |
//! | `{"in": {"a": [v, …]}}` | `a in (v, …)` | value is one of these |
//! | `{"range": {"a": {"gte": v, "lt": v}}}` | `a >= v`, `v <= a < v` | value is within; `gt`, `gte`, `lt`, `lte`, one a side |
//! | `{"has": {"a": "t"}}` | `a has "t"` | tags contain t |
//! | `{"has_any": {"a": ["t", …]}}` | `a has any ("t", …)` | tags contain one of these |
//! | `{"has_all": {"a": ["t", …]}}` | `a has all ("t", …)` | tags contain all of these |
//! | `{"is_null": "a"}` | `a is null` | attribute has no value |
//! | `{"ids": [1, …]}` | `ids(1, …)` | id is one of these |
//! | `{"exclude": {"ids": [1, …]}}` | `exclude(1, …)` | id is none of these |
//!
//! `docs/filters.md` has the rest of the text notation.
//!
//! **Null.** Logic has two values. An item without a value passes no comparison: not `eq`, not `ne`,
//! not `in`, `range` or one of the `has`, whatever they ask for (`has_all` of nothing passes any
//! item that has tags, be they none). `not` turns that around like any other answer: `not eq` passes
//! items without a value, and `ne` does not. Only `is_null` asks for them.
//!
//! **Types.** `eq`, `ne`, `in` fit every kind but tags, which have `has`, `has_any` and `has_all`;
//! `range` fits numbers and timestamps. An i64 is compared with integers only, an f64 with integers
//! that it holds exactly, too; a timestamp with microseconds since 1970, an integer. 0 and −0 are
//! equal, infinities are numbers, and NaN is refused.
//!
//! **Limits.** [`MAX_DEPTH`] levels, [`MAX_PARTS`] filters, [`MAX_VALUES`] values in all of them.

mod canonical;
mod json;
mod text;

use std::fmt::{self, Write as _};
use std::ops::Bound;

use crate::types::ItemId;

use super::error::{FilterError, FilterPlace, FilterProblem, Step, pointer};

/// Levels of filters within filters.
pub const MAX_DEPTH: usize = 32;
/// Filters in one, itself included.
pub const MAX_PARTS: usize = 4096;
/// Values, tags and ids in all of them: a list of 100,000 seen items twice over.
pub const MAX_VALUES: usize = 1 << 18;

/// Characters of a part that an error shows.
const PART_SHOWN: usize = 80;

/// A filter: which items may be in an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expression {
    /// All of these pass; nothing to pass is passed.
    And(Vec<Expression>),
    /// At least one of these passes.
    Or(Vec<Expression>),
    /// This does not pass.
    Not(Box<Expression>),
    /// Something is true of an attribute.
    Attribute {
        /// Its name.
        field: String,
        /// What is true of it.
        predicate: Predicate,
    },
    /// The item is one of these.
    Ids(Vec<ItemId>),
    /// The item is none of these.
    Exclude(Vec<ItemId>),
}

/// What can be true of the value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// It is this.
    Eq(Literal),
    /// There is one, and it is not this.
    Ne(Literal),
    /// It is one of these.
    In(Vec<Literal>),
    /// It lies between these; at least one is a bound.
    Range(Bound<Literal>, Bound<Literal>),
    /// This is one of the tags.
    Has(String),
    /// At least one of these is.
    HasAny(Vec<String>),
    /// All of these are.
    HasAll(Vec<String>),
    /// There is none.
    IsNull,
}

/// A value in a filter.
#[derive(Clone, Debug)]
pub enum Literal {
    /// `true`, `false`.
    Bool(bool),
    /// A number without point and exponent.
    I64(i64),
    /// Any other number.
    F64(f64),
    /// A text.
    Text(String),
}

impl Expression {
    /// An attribute of which something is true.
    pub fn attribute(field: impl Into<String>, predicate: Predicate) -> Self {
        Self::Attribute { field: field.into(), predicate }
    }

    /// A problem with the part that `steps` lead to.
    pub(super) fn error(&self, steps: &[Step], problem: FilterProblem) -> FilterError {
        let mut part = self;
        for step in steps {
            part = match (part, step) {
                (Self::And(parts) | Self::Or(parts), Step::At(at)) => match parts.get(*at) {
                    Some(part) => part,
                    None => break,
                },
                (Self::Not(part), _) => part,
                // The name of the operator.
                (Self::And(_) | Self::Or(_), Step::Key(_)) => continue,
                _ => break,
            };
        }
        let mut text = Short { text: String::new(), left: PART_SHOWN };
        let text = match write!(text, "{part}") {
            Ok(()) => text.text,
            Err(_) => text.text + "…",
        };
        let place = FilterPlace::Part { pointer: pointer(steps), text: text.into() };
        FilterError { place, problem }
    }
}

/// Takes so many characters, and then no more.
struct Short {
    text: String,
    left: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

impl Predicate {
    /// The operator in the JSON notation.
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Eq(_) => "eq",
            Self::Ne(_) => "ne",
            Self::In(_) => "in",
            Self::Range(..) => "range",
            Self::Has(_) => "has",
            Self::HasAny(_) => "has_any",
            Self::HasAll(_) => "has_all",
            Self::IsNull => "is_null",
        }
    }
}

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Budget {
    parts: usize,
    values: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { parts: MAX_PARTS, values: MAX_VALUES }
    }
}

impl Budget {
    /// Takes one part, which lies within `depth` others.
    pub(super) fn part(&mut self, depth: usize) -> Result<(), FilterProblem> {
        if depth >= MAX_DEPTH {
            return Err(FilterProblem::TooDeep { limit: MAX_DEPTH });
        }
        self.parts = self
            .parts
            .checked_sub(1)
            .ok_or(FilterProblem::TooLarge { what: "filters in one", limit: MAX_PARTS })?;
        Ok(())
    }

    /// Takes `count` values.
    pub(super) fn value(&mut self, count: usize) -> Result<(), FilterProblem> {
        self.values = self
            .values
            .checked_sub(count)
            .ok_or(FilterProblem::TooLarge { what: "values", limit: MAX_VALUES })?;
        Ok(())
    }
}
