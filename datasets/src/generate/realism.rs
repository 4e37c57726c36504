//! Whether a two-tower set has what makes real ones hard: queries far from the items, answers far
//! from each other, and a few long items that own the answers.

use serde::Serialize;

use super::{BLOCK_ROWS, Split, TwoTower, VectorSource, norm, set_length};
use crate::profile::{Covariance, Found, best, median};
use crate::random::Random;

/// Blocks of items that are looked at, and components of all of them together.
const BLOCKS: u64 = 24;
const COMPONENTS: usize = 16 << 20;
/// Queries, and items in the place of queries, that are asked.
const ASKED: usize = 200;
/// Answers whose distance from each other is measured, and those that long items may own.
const NEAR: usize = 100;
const TOP: usize = 10;
/// Below this spread of the norms nobody expects long items to own the answers.
const NORM_SPREAD: f64 = 0.5;

/// What was measured, on a sample of at most 98,304 items.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Realism {
    /// Median Mahalanobis distance of queries to the items; `None` where the sample is too small
    /// for its dimension.
    pub query_mahalanobis: Option<f64>,
    /// The same of the items themselves.
    pub item_mahalanobis: Option<f64>,
    /// Mean 1 − cosine between two of the 100 items with the largest cosine to a query.
    pub query_answer_spread: f64,
    /// The same for items in the place of queries.
    pub item_answer_spread: f64,
    /// Share of the 10 best answers to queries that are among the longest 5 % of the items.
    pub top_norm_share: f64,
    /// The spread of the norms that the set was made with.
    pub norm_spread: f64,
}

/// One expectation of a set, and whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What is expected.
    pub name: &'static str,
    /// Whether it holds; `None` where it does not apply.
    pub passed: Option<bool>,
    /// The numbers.
    pub detail: String,
}

impl Realism {
    /// Looks at a set. Runs on the current rayon pool and takes about 600 × 98,304 inner products.
    pub fn measure(set: &TwoTower) -> Self {
        let dim = set.dim();
        let items = sample(set);
        let n = items.len() / dim;
        let mut queries = set.block(Split::Test, 0);
        queries.truncate(ASKED * dim);
        let mut random = Random::new(set.params().sizes.seed, "asked items", 0);
        let asked: Vec<usize> =
            (0..ASKED.min(n)).map(|_| random.below(n as u64) as usize).collect();
        let as_queries: Vec<f32> =
            asked.iter().flat_map(|&row| &items[row * dim..][..dim]).copied().collect();
        let no_bias = vec![0.0; n];
        let answers = best(&queries, &items, &no_bias, TOP, |_, _| false);
        // How far apart answers lie is a matter of directions; what norms do is told beside it.
        let mut directions = items.clone();
        directions.chunks_exact_mut(dim).for_each(|row| set_length(row, 1.0));
        let of_queries = best(&queries, &directions, &no_bias, NEAR, |_, _| false);
        let of_items = best(&as_queries, &directions, &no_bias, NEAR, |at, row| asked[at] == row);

        let covariance = Covariance::of(&items, dim);
        let mahalanobis = |rows: &[f32]| {
            let covariance = covariance.as_ref()?;
            Some(median(rows.chunks_exact(dim).map(|row| covariance.distance(row)).collect()))
        };
        Self {
            query_mahalanobis: mahalanobis(&queries),
            item_mahalanobis: mahalanobis(&as_queries),
            query_answer_spread: spread(&of_queries, &directions, dim),
            item_answer_spread: spread(&of_items, &directions, dim),
            top_norm_share: top_norm_share(&answers, &items, dim),
            norm_spread: set.params().norm_spread,
        }
    }

    /// The expectations, with numbers.
    pub fn checks(&self) -> Vec<Check> {
        let distances = self.query_mahalanobis.zip(self.item_mahalanobis);
        let share = self.top_norm_share * 100.0;
        let long_items = self.norm_spread >= NORM_SPREAD;
        vec![
            Check {
                name: "queries lie apart from the items",
                passed: distances.map(|(query, item)| query > item),
                detail: distances.map_or("too few items for the dimension".to_owned(), |(q, i)| {
                    format!("median Mahalanobis distance {q:.1}, items' own {i:.1}")
                }),
            },
            Check {
                name: "a query's answers lie apart from each other",
                passed: Some(self.query_answer_spread > self.item_answer_spread),
                detail: format!(
                    "mean 1 - cosine within its top 100 by cosine {:.3}, an item's {:.3}",
                    self.query_answer_spread, self.item_answer_spread
                ),
            },
            Check {
                name: "the longest items own the answers",
                passed: long_items.then_some(self.top_norm_share > 0.8),
                detail: format!(
                    "the longest 5 % own {share:.1} % of the top 10{}",
                    if long_items { "" } else { " (expected above 80 % from norm spread 0.5)" }
                ),
            },
        ]
    }
}

/// Blocks of items, evenly spread over the set.
fn sample(set: &TwoTower) -> Vec<f32> {
    let blocks = set.rows(Split::Base).div_ceil(BLOCK_ROWS as u64);
    let most = (COMPONENTS / (BLOCK_ROWS * set.dim())).max(1) as u64;
    let taken = blocks.min(BLOCKS).min(most);
    (0..taken).flat_map(|at| set.block(Split::Base, at * blocks / taken)).collect()
}

/// Mean 1 − cosine over the pairs within each list of answers, from the sum of their directions.
fn spread(answers: &[Vec<Found>], directions: &[f32], dim: usize) -> f64 {
    let mut total = 0.0;
    let lists = answers.iter().filter(|list| list.len() > 1);
    let count = lists.clone().count().max(1) as f64;
    for list in lists {
        let mut sum = vec![0.0_f64; dim];
        for found in list {
            let item = &directions[found.row * dim..][..dim];
            sum.iter_mut().zip(item).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let k = list.len() as f64;
        let square: f64 = sum.iter().map(|x| x * x).sum();
        total += 1.0 - (square - k) / (k * (k - 1.0));
    }
    total / count
}

fn top_norm_share(answers: &[Vec<Found>], items: &[f32], dim: usize) -> f64 {
    let norms: Vec<f64> = items.chunks_exact(dim).map(norm).collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f64::total_cmp);
    let long = sorted[sorted.len() - (sorted.len() / 20).max(1)];
    let top: Vec<&Found> = answers.iter().flatten().collect();
    let owned = top.iter().filter(|found| norms[found.row] >= long).count();
    owned as f64 / top.len().max(1) as f64
}
