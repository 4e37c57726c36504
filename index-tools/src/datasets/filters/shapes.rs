//! The filters of each shape, and which queries are asked with which.

use std::borrow::Cow;
use std::ops::Bound;

use vicinage::filters::expression::{Expression, Literal, Predicate};
use vicinage_datasets::generate::Random;

use super::cells::Cells;
use super::items::{CELL, Items, NOISE, PRICE, category};
use super::tags::Tags;
use super::{FEW, Work};
use crate::exit::Failure;

/// Filters that the queries of a group share, where the filter is not the query's own.
const FILTERS: usize = 16;
/// Cells that pass more than this times what is wanted are thinned out.
const TOO_MANY: f64 = 1.25;

/// What the filters of a group are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Random,
    Correlated,
    AntiCorrelated,
    Range,
    And,
    Or,
    Not,
    Few,
    Exclude,
}

impl Shape {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Correlated => "correlated",
            Self::AntiCorrelated => "anti-correlated",
            Self::Range => "range",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::Few => "few",
            Self::Exclude => "exclude",
        }
    }
}

/// A group in the making.
pub(super) struct Made {
    pub(super) shape: Cow<'static, str>,
    /// That is wanted.
    pub(super) selectivity: f64,
    /// Each filter with the rows of its queries.
    pub(super) filters: Vec<(Expression, Vec<u32>)>,
}

/// Makes the groups whose answers are yet to be found: every shape at every selectivity that the
/// number of items allows. Over tags, groups are left out where no tags pass about as many.
pub(super) fn make(
    work: &Work<'_>,
    (items, in_cells): (&Items, &Cells),
) -> Result<Vec<Made>, Failure> {
    let tags = Tags::new(items)?;
    let (prices, noise) = (items.sorted(PRICE)?, items.sorted(NOISE)?);
    let seed = work.args.seed.seed;
    let shapes = [
        Shape::Random,
        Shape::Correlated,
        Shape::AntiCorrelated,
        Shape::Range,
        Shape::And,
        Shape::Or,
        Shape::Not,
    ];
    let mut groups = Vec::new();
    for shape in shapes {
        for &selectivity in &work.args.selectivity {
            if selectivity * (work.n as f64) < 1.0 {
                continue;
            }
            work.report.interrupt().check()?;
            let filters = match shape {
                Shape::Random => dealt(work, random(selectivity)),
                Shape::Range => dealt(work, ranges(&prices, selectivity, seed)),
                Shape::Correlated | Shape::AntiCorrelated => {
                    let near = shape == Shape::Correlated;
                    own(work, |query| cells(in_cells, query, selectivity, near, &noise))
                }
                _ => dealt(work, tags.filters(shape, selectivity, FILTERS, seed)),
            };
            if !filters.is_empty() {
                groups.push(Made { shape: shape.name().into(), selectivity, filters });
            }
        }
    }
    groups.push(few(work, items));
    Ok(groups)
}

/// Filters that queries share: each query gets one.
fn dealt(work: &Work<'_>, filters: Vec<Expression>) -> Vec<(Expression, Vec<u32>)> {
    let step = filters.len().max(1);
    let queries = |first: usize| (first..work.queries.rows()).step_by(step).map(|row| row as u32);
    let all = filters.into_iter().enumerate();
    all.map(|(at, filter)| (filter, queries(at).collect()))
        .filter(|(_, queries): &(_, Vec<u32>)| !queries.is_empty())
        .collect()
}

/// A filter for each query.
fn own(work: &Work<'_>, filter: impl Fn(&[f32]) -> Expression) -> Vec<(Expression, Vec<u32>)> {
    (0..work.queries.rows()).map(|row| (filter(work.queries.row(row)), vec![row as u32])).collect()
}

/// A value of the category that has the right number of them; or, where more than half is to pass,
/// any other value.
fn random(selectivity: f64) -> Vec<Expression> {
    let (name, values) = category(selectivity);
    let count = FILTERS.min(values as usize);
    let filter = |at: usize| {
        let value = Literal::Text(format!("{name}-{}", at * values as usize / count));
        let few = selectivity <= 0.5;
        let predicate = if few { Predicate::Eq(value) } else { Predicate::Ne(value) };
        Expression::attribute(&name, predicate)
    };
    (0..count).map(filter).collect()
}

/// Ranges that each hold the share, between numbers that there are.
fn ranges(sorted: &[f64], selectivity: f64, seed: u64) -> Vec<Expression> {
    let mut random = Random::new(seed, &format!("range {selectivity}"), 0);
    let count = ((sorted.len() as f64 * selectivity).round() as usize).clamp(1, sorted.len());
    let range = |_| {
        let first = random.below((sorted.len() - count + 1) as u64) as usize;
        let low = Bound::Included(Literal::F64(sorted[first]));
        let high = sorted
            .get(first + count)
            .map_or(Bound::Unbounded, |&end| Bound::Excluded(Literal::F64(end)));
        Expression::attribute(PRICE, Predicate::Range(low, high))
    };
    (0..FILTERS).map(range).collect()
}

/// The cells nearest to the query, or farthest from it, until they have as many items as wanted.
/// Too many of them are thinned out by a number that has nothing to do with the vectors.
fn cells(cells: &Cells, query: &[f32], selectivity: f64, near: bool, noise: &[f64]) -> Expression {
    let mut order = cells.nearest_first(query);
    if !near {
        order.reverse();
    }
    let wanted = selectivity * noise.len() as f64;
    let (mut passing, mut names) = (0.0, Vec::new());
    for cell in order {
        if passing >= wanted {
            break;
        }
        passing += cells.sizes[cell] as f64;
        names.push(Literal::Text(Cells::name(cell)));
    }
    let within = Expression::attribute(CELL, Predicate::In(names));
    if passing <= TOO_MANY * wanted {
        return within;
    }
    let kept = (wanted / passing * noise.len() as f64) as usize;
    let end = Bound::Excluded(Literal::F64(noise[kept.min(noise.len() - 1)]));
    let thinned = Expression::attribute(NOISE, Predicate::Range(Bound::Unbounded, end));
    Expression::And(vec![within, thinned])
}

/// Lists of ids about as long as the answer: none, one, k − 1, k and k + 1.
fn few(work: &Work<'_>, items: &Items) -> Made {
    let mut random = Random::new(work.args.seed.seed, "few", 0);
    let mut ids = |count: usize| {
        let mut ids: Vec<u64> =
            (0..count).map(|_| items.ids[random.below(items.ids.len() as u64) as usize]).collect();
        ids.sort_unstable();
        ids.dedup();
        Expression::Ids(ids)
    };
    let filters = [0, 1, FEW - 1, FEW, FEW + 1].map(&mut ids).to_vec();
    let selectivity = (FEW as f64 / items.ids.len() as f64).min(1.0);
    Made { shape: Shape::Few.name().into(), selectivity, filters: dealt(work, filters) }
}
