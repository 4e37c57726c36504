//! One form for expressions that say the same in other words, and equality, order and hash of
//! expressions.
//!
//! | what | becomes |
//! |---|---|
//! | an `and` within an `and`, an `or` within an `or` | its parts |
//! | an `and` or `or` of one part | that part |
//! | parts, values, tags, ids in any order, some twice | in one order, each once |
//! | `not` of `not` | what is within |
//! | `eq` | `in` of one |
//! | `has`, `has_all` of one | `has_any` of one |
//! | `not` of `ids`, of `exclude` | `exclude`, `ids` |
//!
//! Nothing here depends on the items: what a filter passes, or is refused for, stays the same. 1 and
//! 1.0 are two values, since an i64 is compared with the first only. 0.0 and −0.0 are one.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Bound;

use super::{Budget, Expression, Literal, Predicate};

impl Expression {
    /// The one form of what says the same. Levels and parts do not become more.
    pub fn canonical(&self) -> Self {
        match self {
            Self::And(_) => {
                let mut parts = Vec::new();
                self.flatten(true, &mut parts);
                joined(parts, Self::And)
            }
            Self::Or(_) => {
                let mut parts = Vec::new();
                self.flatten(false, &mut parts);
                joined(parts, Self::Or)
            }
            Self::Not(part) => match part.canonical() {
                Self::Not(part) => *part,
                Self::Ids(ids) => Self::Exclude(ids),
                Self::Exclude(ids) => Self::Ids(ids),
                part => Self::Not(Box::new(part)),
            },
            Self::Attribute { field, predicate } => {
                Self::Attribute { field: field.clone(), predicate: predicate.canonical() }
            }
            Self::Ids(ids) => Self::Ids(distinct(ids)),
            Self::Exclude(ids) => Self::Exclude(distinct(ids)),
        }
    }

    /// Appends the canonical parts of an `and` (or an `or`), and of those within it.
    fn flatten(&self, and: bool, parts: &mut Vec<Self>) {
        match (self, and) {
            (Self::And(within), true) | (Self::Or(within), false) => {
                within.iter().for_each(|part| part.flatten(and, parts));
            }
            // What becomes an `and` only now, such as the one within two `not`, is in order.
            _ => match (self.canonical(), and) {
                (Self::And(within), true) | (Self::Or(within), false) => parts.extend(within),
                (part, _) => parts.push(part),
            },
        }
    }

    /// Whether the limits on levels, parts and values hold, of which
    /// [`Expression::bind`] says more.
    pub fn within_limits(&self) -> bool {
        self.take(&mut Budget::default(), 0)
    }

    fn take(&self, budget: &mut Budget, depth: usize) -> bool {
        budget.part(depth).is_ok()
            && match self {
                Self::And(parts) | Self::Or(parts) => {
                    parts.iter().all(|part| part.take(budget, depth + 1))
                }
                Self::Not(part) => part.take(budget, depth + 1),
                Self::Ids(ids) | Self::Exclude(ids) => budget.value(ids.len()).is_ok(),
                Self::Attribute { predicate, .. } => budget.value(predicate.values()).is_ok(),
            }
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::bytes).sum(),
                Self::Not(part) => part.bytes(),
                Self::Ids(ids) | Self::Exclude(ids) => size_of_val(ids.as_slice()),
                Self::Attribute { field, predicate } => field.len() + predicate.bytes(),
            }
    }
}

fn joined(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    parts.sort_unstable();
    parts.dedup();
    if parts.len() > 1 {
        return join(parts);
    }
    parts.pop().unwrap_or_else(|| join(Vec::new()))
}

fn distinct<T: Clone + Ord>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.dedup();
    values
}

impl Predicate {
    fn canonical(&self) -> Self {
        match self {
            Self::Eq(value) => Self::In(vec![value.clone()]),
            Self::In(values) => Self::In(distinct(values)),
            Self::Has(tag) => Self::HasAny(vec![tag.clone()]),
            Self::HasAny(tags) => Self::HasAny(distinct(tags)),
            Self::HasAll(tags) => match distinct(tags) {
                tags if tags.len() == 1 => Self::HasAny(tags),
                tags => Self::HasAll(tags),
            },
            Self::Ne(_) | Self::Range(..) | Self::IsNull => self.clone(),
        }
    }

    /// Values in it, as the limits count them.
    fn values(&self) -> usize {
        match self {
            Self::IsNull => 0,
            Self::Eq(_) | Self::Ne(_) | Self::Has(_) => 1,
            Self::Range(..) => 2,
            Self::In(values) => values.len(),
            Self::HasAny(tags) | Self::HasAll(tags) => tags.len(),
        }
    }

    fn bytes(&self) -> usize {
        let text = |value: &Literal| match value {
            Literal::Text(text) => text.len(),
            _ => 0,
        };
        let each = size_of::<Literal>().max(size_of::<String>());
        self.values() * each
            + match self {
                Self::Eq(value) | Self::Ne(value) => text(value),
                Self::In(values) => values.iter().map(text).sum(),
                Self::Has(tag) => tag.len(),
                Self::HasAny(tags) | Self::HasAll(tags) => tags.iter().map(String::len).sum(),
                Self::Range(..) | Self::IsNull => 0,
            }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Eq(_) => 0,
            Self::Ne(_) => 1,
            Self::In(_) => 2,
            Self::Range(..) => 3,
            Self::Has(_) => 4,
            Self::HasAny(_) => 5,
            Self::HasAll(_) => 6,
            Self::IsNull => 7,
        }
    }
}

impl PartialOrd for Predicate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Predicate {
    fn cmp(&self, other: &Self) -> Ordering {
        let end = |end: &Bound<Literal>| match end {
            Bound::Unbounded => (0, None),
            Bound::Included(value) => (1, Some(value.clone())),
            Bound::Excluded(value) => (2, Some(value.clone())),
        };
        match (self, other) {
            (Self::Eq(a), Self::Eq(b)) | (Self::Ne(a), Self::Ne(b)) => a.cmp(b),
            (Self::In(a), Self::In(b)) => a.cmp(b),
            (Self::Range(low, high), Self::Range(other_low, other_high)) => {
                end(low).cmp(&end(other_low)).then_with(|| end(high).cmp(&end(other_high)))
            }
            (Self::Has(a), Self::Has(b)) => a.cmp(b),
            (Self::HasAny(a), Self::HasAny(b)) | (Self::HasAll(a), Self::HasAll(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Literal {
    /// The bits that stand for a number: 0.0 and −0.0 are one, and every NaN is itself.
    fn bits(number: f64) -> u64 {
        if number == 0.0 { 0 } else { number.to_bits() }
    }
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Literal {}

impl PartialOrd for Literal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By kind; numbers of one kind by their bits, which is an order, if not that of numbers.
impl Ord for Literal {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |value: &Self| match value {
            Self::Bool(_) => 0,
            Self::I64(_) => 1,
            Self::F64(_) => 2,
            Self::Text(_) => 3,
        };
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::I64(a), Self::I64(b)) => a.cmp(b),
            (Self::F64(a), Self::F64(b)) => Self::bits(*a).cmp(&Self::bits(*b)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::I64(value) => value.hash(state),
            Self::F64(value) => Self::bits(*value).hash(state),
            Self::Text(text) => text.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn values_that_are_equal_hash_alike() {
        let hasher = RandomState::new();
        let zeros = [0.0, -0.0].map(|zero| Predicate::Eq(Literal::F64(zero)));
        assert_eq!(zeros[0], zeros[1]);
        assert_eq!(hasher.hash_one(&zeros[0]), hasher.hash_one(&zeros[1]));
        assert_ne!(Literal::F64(1.0), Literal::I64(1));
        assert_eq!(Literal::F64(f64::NAN), Literal::F64(f64::NAN));
        let bound =
            |value| Predicate::Range(Bound::Included(Literal::F64(value)), Bound::Unbounded);
        assert_eq!(bound(0.0), bound(-0.0));
        assert_eq!(hasher.hash_one(bound(0.0)), hasher.hash_one(bound(-0.0)));
    }

    #[test]
    fn one_form_for_what_says_the_same() {
        let of = |text: &str| Expression::from_json(text).map(|filter| filter.canonical());
        for (one, other) in [
            (r#"{"eq": {"a": 1}}"#, r#"{"or": [{"in": {"a": [1, 1]}}]}"#),
            (r#"{"has": {"a": "x"}}"#, r#"{"has_all": {"a": ["x", "x"]}}"#),
            (r#"{"not": {"ids": [2, 1]}}"#, r#"{"exclude": {"ids": [1, 2, 1]}}"#),
            (r#"{"eq": {"a": 0.0}}"#, r#"{"not": {"not": {"eq": {"a": -0.0}}}}"#),
            (
                r#"{"and": [{"eq": {"a": 1}}, {"is_null": "b"}]}"#,
                r#"{"and": [{"and": [{"is_null": "b"}]}, {"and": [{"eq": {"a": 1}}]}]}"#,
            ),
        ] {
            assert_eq!(of(one), of(other));
        }
        // Null tells these apart, or the type that they are refused for.
        for (one, other) in [
            (r#"{"ne": {"a": 1}}"#, r#"{"not": {"eq": {"a": 1}}}"#),
            (r#"{"has_all": {"a": []}}"#, r#"{"has_any": {"a": []}}"#),
            (r#"{"eq": {"a": 1}}"#, r#"{"eq": {"a": 1.0}}"#),
            (r#"{"has_any": {"a": ["x"]}}"#, r#"{"in": {"a": ["x"]}}"#),
        ] {
            assert_ne!(of(one), of(other));
        }
    }
}
