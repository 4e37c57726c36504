//! How useful answers are to those who ask, by judgements: the measures that searches are compared in.

use serde::Serialize;
use vicinage::eval::metrics::{self, Judged};
use vicinage_datasets::Relevance;

use crate::measure::{Answers, mean};

/// How many measures there are.
pub(crate) const MEASURES: usize = 5;

/// Something for each measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Useful<T> {
    pub(crate) ndcg: T,
    /// Share of the relevant items, not of the true neighbors.
    pub(crate) relevant_recall: T,
    pub(crate) precision: T,
    pub(crate) mrr: T,
    pub(crate) hit_rate: T,
}

impl<T> Useful<T> {
    /// What the measures are called in tables, in the order of [`Useful::array`].
    pub(crate) const NAMES: [&str; MEASURES] =
        ["NDCG", "rel. recall", "precision", "MRR", "hit rate"];

    pub(crate) fn from_array(
        [ndcg, relevant_recall, precision, mrr, hit_rate]: [T; MEASURES],
    ) -> Self {
        Self { ndcg, relevant_recall, precision, mrr, hit_rate }
    }

    pub(crate) fn array(self) -> [T; MEASURES] {
        let Self { ndcg, relevant_recall, precision, mrr, hit_rate } = self;
        [ndcg, relevant_recall, precision, mrr, hit_rate]
    }
}

/// How useful the first `k` items of one answer are.
pub(crate) fn usefulness(found: &[u64], judged: Judged<'_>, k: usize) -> Useful<f64> {
    Useful {
        ndcg: metrics::ndcg(found, judged, k),
        relevant_recall: metrics::recall(found, judged, k),
        precision: metrics::precision(found, judged, k),
        mrr: metrics::reciprocal_rank(found, judged, k),
        hit_rate: metrics::hit_rate(found, judged, k),
    }
}

/// The means over the queries for which something is relevant.
pub(crate) fn mean_usefulness(found: &Answers, relevance: &Relevance, k: usize) -> Useful<f64> {
    let relevant = |query: &usize| relevance.judged(*query).iter().any(|&(_, grade)| grade > 0);
    let rows: Vec<[f64; MEASURES]> = (0..found.queries())
        .filter(relevant)
        .map(|query| usefulness(found.ids(query, k), relevance.judged(query), k).array())
        .collect();
    Useful::from_array(std::array::from_fn(|at| mean(rows.iter().map(|row| row[at]))))
}
