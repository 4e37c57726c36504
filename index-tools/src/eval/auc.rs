//! AUC of the scores: whether what users took scores higher than the rest, whatever a search finds.

use clap::ValueEnum;
use rayon::prelude::*;
use serde::Serialize;
use vicinage::eval::bootstrap::{Interval, SplitMix64, resample};
use vicinage::eval::metrics;
use vicinage::index::{Index, SearchError};
use vicinage::progress::Progress;
use vicinage::types::NodeId;

use super::relevance::{Judgements, RESAMPLES};
use crate::exit::Failure;
use crate::progress::Reporter;
use crate::queries::Queries;

/// Items that relevant ones are compared with where not all are.
const NEGATIVES: usize = 1_000;

/// Which items the relevant ones are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum AucKind {
    /// AUC is left out
    None,
    /// 1,000 items a query, drawn anew for each
    #[default]
    Sampled,
    /// All items: a score of each for each query
    Full,
}

/// What came of it.
#[derive(Serialize)]
pub(super) struct Auc {
    pub(super) kind: AucKind,
    /// Most items that the relevant ones of a query were compared with; none where it is all.
    pub(super) negatives: Option<usize>,
    /// Queries that have both kinds of items.
    pub(super) queries: usize,
    #[serde(flatten)]
    pub(super) interval: Interval,
}

/// One query: its row, what is relevant, and what is not compared, ascending: that and what is excluded.
struct Task<'a> {
    row: usize,
    query: &'a [f32],
    relevant: Vec<NodeId>,
    barred: Vec<NodeId>,
}

/// Mean AUC over the judged queries, on the threads of the pool that it is called in. None if it was not
/// wanted, or no query has anything to compare.
pub(super) fn auc(
    kind: AucKind,
    (index, queries): (&Index, &Queries),
    judgements: &Judgements,
    seed: u64,
    report: &Reporter,
) -> Result<Option<Auc>, Failure> {
    if kind == AucKind::None {
        return Ok(None);
    }
    report.start_step("auc", judgements.judged.len() as u64, "queries");
    let values: Vec<Option<f64>> = judgements
        .judged
        .par_iter()
        .map(|(row, judged)| {
            report.interrupt().check()?;
            let ids: Vec<u64> = judged.iter().map(|&(item, _)| item).collect();
            let (mut relevant, mut barred) = (Vec::new(), Vec::new());
            index.nodes_of(&ids, &mut relevant);
            index.nodes_of(&judgements.excluded_of(*row), &mut barred);
            barred.extend_from_slice(&relevant);
            barred.sort_unstable();
            let task = Task { row: *row, query: queries.row(*row), relevant, barred };
            let value = task.auc(kind, index, seed)?;
            report.advance(1);
            Ok(value)
        })
        .collect::<Result<_, Failure>>()?;
    report.finish();
    let rows: Vec<[f64; 1]> = values.into_iter().flatten().map(|value| [value]).collect();
    let negatives = (kind == AucKind::Sampled).then_some(NEGATIVES);
    Ok(resample(&rows, RESAMPLES, seed).map(|[sampled]| Auc {
        kind,
        negatives,
        queries: rows.len(),
        interval: sampled.interval(),
    }))
}

impl Task<'_> {
    fn auc(&self, kind: AucKind, index: &Index, seed: u64) -> Result<Option<f64>, SearchError> {
        let n = index.info().n as usize;
        let others = match kind {
            AucKind::Sampled => self.draw(n, seed),
            AucKind::None | AucKind::Full => self.others(n),
        };
        let (mut relevant, mut scores) = (Vec::new(), Vec::new());
        index.scores(self.query, &self.relevant, &mut relevant)?;
        index.scores(self.query, &others, &mut scores)?;
        Ok(metrics::auc(&relevant, scores))
    }

    /// All that may be compared.
    fn others(&self, n: usize) -> Vec<NodeId> {
        let mut barred = self.barred.iter().peekable();
        let other = |node: &NodeId| barred.next_if_eq(&node).is_none();
        (0..n as u32).map(NodeId).filter(other).collect()
    }

    /// So many different ones of those, each as likely as any other, by Floyd's algorithm.
    fn draw(&self, n: usize, seed: u64) -> Vec<NodeId> {
        let count = n - self.barred.len();
        if count <= NEGATIVES {
            return self.others(n);
        }
        let mut random = SplitMix64::of_stream(seed, self.row as u64);
        let mut drawn = std::collections::BTreeSet::new();
        for last in count - NEGATIVES..count {
            let place = random.below(last + 1);
            if !drawn.insert(place) {
                drawn.insert(last);
            }
        }
        // The nth of those that are not barred, both ascending.
        let mut skipped = 0;
        let node = |place: usize| {
            while self.barred.get(skipped).is_some_and(|node| node.index() <= place + skipped) {
                skipped += 1;
            }
            NodeId((place + skipped) as u32)
        };
        drawn.into_iter().map(node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_items_are_distinct_and_not_barred() {
        let barred: Vec<NodeId> = (0..2_000).step_by(3).map(NodeId).collect();
        let task = Task { row: 3, query: &[], relevant: Vec::new(), barred: barred.clone() };
        let mut times = vec![0; 2_000];
        for seed in 0..200 {
            let drawn = task.draw(2_000, seed);
            assert_eq!(drawn.len(), NEGATIVES);
            assert!(drawn.is_sorted_by(|a, b| a < b), "{drawn:?}");
            drawn.iter().for_each(|node| times[node.index()] += 1);
        }
        // 1,000 of 1,333, two hundred times: 150 each, and within 6 standard deviations of it.
        for (node, &times) in times.iter().enumerate() {
            let expected = if node % 3 == 0 { 0..=0 } else { 113..=187 };
            assert!(expected.contains(&times), "{node} was drawn {times} times");
        }
        let others = task.others(2_000);
        assert_eq!(others.len(), 2_000 - barred.len());
        assert!(others.iter().all(|node| node.0 % 3 != 0));
        assert_eq!(task.draw(1_500, 1), task.others(1_500));
    }
}
