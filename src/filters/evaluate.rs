//! Asking an expression of one item after the other. Every answer is worked out from the item's own
//! values: slow, and so plain that faster ways can be held against it.

use std::ops::{Bound as End, RangeBounds};
use std::sync::OnceLock;

use super::columns::{AttributeValue, ColumnKind, ColumnSchema, ColumnView};
use super::error::{FilterError, FilterProblem, Step, nearest};
use super::expression::{Budget, Expression, Literal, Predicate};
use super::indexes::ColumnIndex;
use super::lookup::IdLookup;
use super::nodes::NodeSet;
use crate::error::Corruption;
use crate::types::{ItemId, NodeId};

/// Items with attributes: a segment, or columns in memory.
pub trait Table {
    /// Names and kinds of the columns.
    fn schema(&self) -> &[ColumnSchema];

    /// Column `at` of the schema; it has a value for each item.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption>;

    /// The ids of the items, in stored order.
    fn item_ids(&self) -> &[ItemId];

    /// What makes column `at` fast to filter by, if it has that.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    fn column_index(&self, at: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        let _ = at;
        Ok(None)
    }

    /// Nodes by item id, if there is that.
    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        None
    }
}

/// An expression over the columns of a table.
#[derive(Debug)]
pub struct Bound<'a> {
    pub(super) root: Part<'a>,
    pub(super) items: &'a [ItemId],
    pub(super) lookup: Option<IdLookup<'a>>,
}

#[derive(Debug)]
pub(super) enum Part<'a> {
    And(Vec<Part<'a>>),
    Or(Vec<Part<'a>>),
    Not(Box<Part<'a>>),
    Ids(Ids),
    Attribute { column: ColumnView<'a>, index: Option<ColumnIndex<'a>>, asked: Asked },
}

/// The item is one of these.
#[derive(Debug)]
pub(super) struct Ids {
    /// As they came.
    pub(super) given: Vec<ItemId>,
    /// Ascending, once one item after the other is asked about: where ids are looked up, sorting
    /// them would take longer than that.
    sorted: OnceLock<Vec<ItemId>>,
}

impl Ids {
    fn contains(&self, item: ItemId) -> bool {
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted = self.given.clone();
            sorted.sort_unstable();
            sorted
        });
        sorted.binary_search(&item).is_ok()
    }
}

/// What is asked of a value. Texts are codes of the column's dictionary, lists ascend.
#[derive(Debug)]
pub(super) enum Asked {
    Null,
    Bool(Vec<bool>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    /// One of these is the value, or one of the tags.
    Codes(Vec<u64>),
    /// All of these are tags; `None` if one of them is no item's.
    AllCodes(Option<Vec<u64>>),
    /// There is a value, and it is not what this asks for.
    Other(Box<Asked>),
    BetweenI64(End<i64>, End<i64>),
    BetweenF64(End<f64>, End<f64>),
}

impl Expression {
    /// Finds the attributes in `table` and checks that the values fit them. Columns are read as
    /// far as they are named.
    ///
    /// # Errors
    /// An unknown attribute, a value or operator of another type, NaN, limits that are passed, or
    /// a damaged column.
    pub fn bind<'a>(&self, table: &'a dyn Table) -> Result<Bound<'a>, FilterError> {
        let mut binder = Binder { table, path: Vec::new(), budget: Budget::default() };
        match binder.part(self, 0) {
            Ok(root) => Ok(Bound { root, items: table.item_ids(), lookup: table.id_lookup() }),
            Err(problem) => Err(self.error(&binder.path, problem)),
        }
    }
}

impl Bound<'_> {
    /// Whether the item passes; `node` is one of the table's. Cost: one look at the values of each
    /// attribute that the answer depends on.
    ///
    /// # Panics
    /// If the table has no such node.
    pub fn matches(&self, node: NodeId) -> bool {
        self.root.matches(node, self.items[node.index()])
    }

    /// All items that pass.
    pub fn passing(&self) -> NodeSet {
        let passes = |(node, item): &(NodeId, &ItemId)| self.root.matches(*node, **item);
        (0..).map(NodeId).zip(self.items).filter(passes).map(|(node, _)| node).collect()
    }
}

impl Part<'_> {
    pub(super) fn matches(&self, node: NodeId, item: ItemId) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(node, item)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(node, item)),
            Self::Not(part) => !part.matches(node, item),
            Self::Ids(ids) => ids.contains(item),
            Self::Attribute { column, asked, .. } => asked.matches(column, node),
        }
    }
}

impl Asked {
    fn matches(&self, column: &ColumnView<'_>, node: NodeId) -> bool {
        let Some(mut codes) = column.codes(node) else {
            return matches!(self, Self::Null);
        };
        match self {
            Self::Null => false,
            Self::Other(asked) => !asked.matches(column, node),
            Self::Codes(wanted) => codes.any(|code| wanted.binary_search(&code).is_ok()),
            Self::AllCodes(None) => false,
            Self::AllCodes(Some(wanted)) => {
                // Both ascend: each wanted code is looked for behind the one before.
                wanted.iter().all(|wanted| codes.any(|code| code == *wanted))
            }
            asked => match (asked, column.value(node)) {
                (Self::Bool(wanted), AttributeValue::Bool(value)) => wanted.contains(&value),
                (
                    Self::I64(wanted),
                    AttributeValue::I64(value) | AttributeValue::Timestamp(value),
                ) => wanted.binary_search(&value).is_ok(),
                (
                    Self::BetweenI64(low, high),
                    AttributeValue::I64(value) | AttributeValue::Timestamp(value),
                ) => (*low, *high).contains(&value),
                (Self::F64(wanted), AttributeValue::F64(value)) => wanted.contains(&value),
                (Self::BetweenF64(low, high), AttributeValue::F64(value)) => {
                    (*low, *high).contains(&value)
                }
                _ => false,
            },
        }
    }
}

/// Binds an expression part by part.
struct Binder<'a> {
    table: &'a dyn Table,
    /// Where it is. After an error it stays there.
    path: Vec<Step>,
    budget: Budget,
}

impl<'a> Binder<'a> {
    fn part(&mut self, part: &Expression, depth: usize) -> Result<Part<'a>, FilterProblem> {
        self.budget.part(depth)?;
        Ok(match part {
            Expression::And(parts) => Part::And(self.parts("and", parts, depth)?),
            Expression::Or(parts) => Part::Or(self.parts("or", parts, depth)?),
            Expression::Not(part) => {
                let part =
                    self.within(Step::Key("not".to_owned()), |it| it.part(part, depth + 1))?;
                Part::Not(Box::new(part))
            }
            Expression::Ids(ids) => Part::Ids(self.ids(ids)?),
            Expression::Exclude(ids) => Part::Not(Box::new(Part::Ids(self.ids(ids)?))),
            Expression::Attribute { field, predicate } => {
                let operator = Step::Key(predicate.operator().to_owned());
                self.within(operator, |it| it.attribute(field, predicate))?
            }
        })
    }

    fn parts(
        &mut self,
        operator: &str,
        parts: &[Expression],
        depth: usize,
    ) -> Result<Vec<Part<'a>>, FilterProblem> {
        self.within(Step::Key(operator.to_owned()), |it| {
            let part = |(at, part)| it.within(Step::At(at), |it| it.part(part, depth + 1));
            parts.iter().enumerate().map(part).collect()
        })
    }

    /// Runs `bind` one step further down.
    fn within<T>(
        &mut self,
        step: Step,
        bind: impl FnOnce(&mut Self) -> Result<T, FilterProblem>,
    ) -> Result<T, FilterProblem> {
        self.path.push(step);
        let bound = bind(self)?;
        self.path.pop();
        Ok(bound)
    }

    fn ids(&mut self, ids: &[ItemId]) -> Result<Ids, FilterProblem> {
        self.budget.value(ids.len())?;
        Ok(Ids { given: ids.to_vec(), sorted: OnceLock::new() })
    }

    fn attribute(&mut self, field: &str, asked: &Predicate) -> Result<Part<'a>, FilterProblem> {
        // The name is a key, but for `is_null`, where it is what is asked.
        if *asked != Predicate::IsNull {
            let step = Step::Key(field.to_owned());
            return self.within(step, |it| it.leaf(field, asked));
        }
        self.leaf(field, asked)
    }

    fn leaf(&mut self, field: &str, asked: &Predicate) -> Result<Part<'a>, FilterProblem> {
        let schema = self.table.schema();
        let Some(at) = schema.iter().position(|column| column.name == field) else {
            let nearest = nearest(field, schema.iter().map(|column| column.name.as_str()));
            let found = field.chars().take(100).collect();
            return Err(FilterProblem::UnknownField { found, nearest });
        };
        let corrupt = |damage| FilterProblem::Corrupt(Box::new(damage));
        let column = self.table.column(at).map_err(corrupt)?;
        let index = self.table.column_index(at).map_err(corrupt)?;
        let mut leaf = Leaf { field, column, budget: &mut self.budget, path: &mut self.path };
        let asked = leaf.asked(asked)?;
        Ok(Part::Attribute { column: leaf.column, index, asked })
    }
}

/// Binds what is asked of one attribute.
struct Leaf<'a, 'b> {
    field: &'b str,
    column: ColumnView<'a>,
    budget: &'b mut Budget,
    path: &'b mut Vec<Step>,
}

impl Leaf<'_, '_> {
    fn asked(&mut self, predicate: &Predicate) -> Result<Asked, FilterProblem> {
        match predicate {
            Predicate::IsNull => Ok(Asked::Null),
            Predicate::Eq(value) => self.one_of(std::slice::from_ref(value), false),
            Predicate::Ne(value) => {
                Ok(Asked::Other(Box::new(self.one_of(std::slice::from_ref(value), false)?)))
            }
            Predicate::In(values) => self.one_of(values, true),
            Predicate::Range(low, high) => self.range(low, high),
            Predicate::Has(tag) => Ok(Asked::Codes(self.tags(std::slice::from_ref(tag))?.0)),
            Predicate::HasAny(tags) => Ok(Asked::Codes(self.tags(tags)?.0)),
            Predicate::HasAll(tags) => {
                let (codes, all_known) = self.tags(tags)?;
                Ok(Asked::AllCodes(all_known.then_some(codes)))
            }
        }
    }

    /// The codes of tags that some item has, ascending; and whether that is all of them.
    fn tags(&mut self, tags: &[String]) -> Result<(Vec<u64>, bool), FilterProblem> {
        self.budget.value(tags.len())?;
        if self.column.kind() != ColumnKind::Tags {
            return Err(self.wrong("eq, ne, in or range", "has, which is for tags".to_owned()));
        }
        let codes: Vec<Option<u64>> = tags.iter().map(|tag| self.column.code_of(tag)).collect();
        let all_known = codes.iter().all(Option::is_some);
        let mut codes: Vec<u64> = codes.into_iter().flatten().collect();
        codes.sort_unstable();
        codes.dedup();
        Ok((codes, all_known))
    }

    fn one_of(&mut self, values: &[Literal], list: bool) -> Result<Asked, FilterProblem> {
        self.budget.value(values.len())?;
        Ok(match self.column.kind() {
            ColumnKind::Bool => Asked::Bool(self.each(values, list, Self::bool)?),
            ColumnKind::I64 | ColumnKind::Timestamp => {
                let mut values = self.each(values, list, Self::i64)?;
                values.sort_unstable();
                Asked::I64(values)
            }
            ColumnKind::F64 => Asked::F64(self.each(values, list, Self::f64)?),
            ColumnKind::Category => {
                let mut codes: Vec<u64> =
                    self.each(values, list, Self::code)?.into_iter().flatten().collect();
                codes.sort_unstable();
                Asked::Codes(codes)
            }
            ColumnKind::Tags => {
                let found = "a comparison with one value".to_owned();
                return Err(self.wrong("has, has_any or has_all", found));
            }
        })
    }

    /// Each value by itself, so that what does not fit is told by its place.
    fn each<T>(
        &mut self,
        values: &[Literal],
        list: bool,
        bind: impl Fn(&Self, &Literal) -> Result<T, FilterProblem>,
    ) -> Result<Vec<T>, FilterProblem> {
        let mut bound = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            match bind(self, value) {
                Ok(value) => bound.push(value),
                Err(problem) => {
                    self.path.extend(list.then_some(Step::At(at)));
                    return Err(problem);
                }
            }
        }
        Ok(bound)
    }

    fn range(&mut self, low: &End<Literal>, high: &End<Literal>) -> Result<Asked, FilterProblem> {
        self.budget.value(2)?;
        if matches!((low, high), (End::Unbounded, End::Unbounded)) {
            return Err(FilterProblem::Bounds);
        }
        match self.column.kind() {
            ColumnKind::I64 | ColumnKind::Timestamp => Ok(Asked::BetweenI64(
                self.end(low, ["gt", "gte"], Self::i64)?,
                self.end(high, ["lt", "lte"], Self::i64)?,
            )),
            ColumnKind::F64 => Ok(Asked::BetweenF64(
                self.end(low, ["gt", "gte"], Self::f64)?,
                self.end(high, ["lt", "lte"], Self::f64)?,
            )),
            ColumnKind::Bool | ColumnKind::Category | ColumnKind::Tags => {
                Err(self.wrong("an operator that needs no order", "range".to_owned()))
            }
        }
    }

    fn end<T>(
        &mut self,
        end: &End<Literal>,
        names: [&str; 2],
        bind: impl Fn(&Self, &Literal) -> Result<T, FilterProblem>,
    ) -> Result<End<T>, FilterProblem> {
        let (name, literal) = match end {
            End::Unbounded => return Ok(End::Unbounded),
            End::Excluded(literal) => (names[0], literal),
            End::Included(literal) => (names[1], literal),
        };
        self.path.push(Step::Key(name.to_owned()));
        let value = bind(self, literal)?;
        self.path.pop();
        Ok(match end {
            End::Excluded(_) => End::Excluded(value),
            _ => End::Included(value),
        })
    }

    fn bool(&self, literal: &Literal) -> Result<bool, FilterProblem> {
        match literal {
            Literal::Bool(value) => Ok(*value),
            other => Err(self.wrong("true or false", found(other))),
        }
    }

    fn i64(&self, literal: &Literal) -> Result<i64, FilterProblem> {
        match literal {
            Literal::I64(value) => Ok(*value),
            Literal::F64(value) if value.is_nan() => Err(FilterProblem::NotANumber),
            other if self.column.kind() == ColumnKind::Timestamp => {
                Err(self.wrong("microseconds since 1970, an integer", found(other)))
            }
            other => Err(self.wrong("an integer", found(other))),
        }
    }

    fn f64(&self, literal: &Literal) -> Result<f64, FilterProblem> {
        match literal {
            Literal::F64(value) if value.is_nan() => Err(FilterProblem::NotANumber),
            Literal::F64(value) => Ok(*value),
            Literal::I64(value) if *value as f64 as i128 == i128::from(*value) => Ok(*value as f64),
            other => Err(self.wrong("a number that f64 holds", found(other))),
        }
    }

    /// The code of a text; none if it is no item's.
    fn code(&self, literal: &Literal) -> Result<Option<u64>, FilterProblem> {
        match literal {
            Literal::Text(text) => Ok(self.column.code_of(text)),
            other => Err(self.wrong("a text", found(other))),
        }
    }

    fn wrong(&self, expected: &'static str, found: String) -> FilterProblem {
        let (field, kind) = (self.field.to_owned(), self.column.kind());
        FilterProblem::WrongType { field, kind, expected, found }
    }
}

/// A value, for a message.
fn found(literal: &Literal) -> String {
    match literal {
        Literal::Bool(value) => value.to_string(),
        Literal::I64(value) => value.to_string(),
        Literal::F64(value) => format!("{value:?}"),
        Literal::Text(text) if text.chars().count() > 60 => {
            format!("\"{}…\"", text.chars().take(60).collect::<String>())
        }
        Literal::Text(text) => format!("\"{text}\""),
    }
}
