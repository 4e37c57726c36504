//! Questions with known answers: what the self-check and the calibration ask a graph.

use std::time::Instant;

use rayon::prelude::*;

use crate::builder::BuildError;
use crate::builder::items::shuffle;
use crate::eval::metrics::{recall_by_distance, recall_by_id};
use crate::eval::truth::{Truth, TruthSearch};
use crate::progress::Progress;
use crate::search::{Scratch, SearchParams, Target, search};
use crate::types::{Metric, Neighbor, NodeId};
use crate::vectors::{Vectors, query_scale};

/// The list of [`nearest`]: recall 0.99 of a hundred, which teach as much as exact ones and take a tenth of the
/// time.
const NEAREST_EF: usize = 500;

/// Queries searched between two looks at whether to go on.
const SEARCHED: usize = 1 << 10;

/// Queries and their exact neighbors among the items of a graph, in the order of its nodes.
#[derive(Debug)]
pub(super) struct Questions {
    vectors: Vec<f32>,
    dim: usize,
    metric: Metric,
    /// Where queries are items: which. Each is asked without itself.
    items: Vec<NodeId>,
    truth: Truth,
}

/// Recall of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recall {
    pub(super) by_id: f64,
    pub(super) by_distance: f64,
}

/// What one question gave; all zero where it cannot be asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    pub(super) recall: Recall,
    pub(super) distances: u64,
    pub(super) seconds: f64,
    /// The last distance of the list, as a multiple of the `k`th.
    pub(super) span: f32,
}

/// The mean of something over answers.
pub(super) fn mean(answers: &[Answer], of: impl Fn(&Answer) -> f64) -> f64 {
    answers.iter().map(of).sum::<f64>() / answers.len().max(1) as f64
}

impl Questions {
    /// Draws `count` items, each to be asked for its `k` nearest others. Cost: `count · n` distances.
    pub(super) fn of_items(
        items: Vectors<'_>,
        metric: Metric,
        count: usize,
        k: usize,
        seed: u64,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let mut nodes: Vec<NodeId> = (0..items.len() as u32).map(NodeId).collect();
        shuffle(&mut nodes, seed ^ 0x5e1f);
        nodes.truncate(count);
        let mut vectors = Vec::with_capacity(nodes.len() * items.dim);
        let mut row = Vec::with_capacity(items.dim);
        for node in &nodes {
            items.widen(*node, &mut row);
            vectors.extend_from_slice(&row);
        }
        Self::answered(items, metric, vectors, nodes, k, pool)
    }

    /// Takes queries `[count, dim]` that [`check_queries`] let pass, each to be asked for its `k`
    /// nearest.
    pub(super) fn of_queries(
        items: Vectors<'_>,
        metric: Metric,
        vectors: Vec<f32>,
        k: usize,
        pool: &rayon::ThreadPool,
    ) -> Self {
        Self::answered(items, metric, vectors, Vec::new(), k, pool)
    }

    fn answered(
        items: Vectors<'_>,
        metric: Metric,
        vectors: Vec<f32>,
        nodes: Vec<NodeId>,
        k: usize,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let dim = items.dim;
        let own = usize::from(!nodes.is_empty());
        let mut truth = TruthSearch::new(vectors.clone(), dim, metric, k + own);
        truth.add(items, pool);
        Self { vectors, dim, metric, items: nodes, truth: truth.finish() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.vectors.len() / self.dim
    }

    /// Asks the first `count`, on the threads of `pool`.
    pub(super) fn ask(
        &self,
        count: usize,
        target: &Target<'_>,
        params: &SearchParams,
        pool: &rayon::ThreadPool,
    ) -> Vec<Answer> {
        pool.install(|| {
            let each = (0..count).into_par_iter();
            let state = || (Scratch::default(), Vec::new());
            each.map_init(state, |(scratch, found), question| {
                self.ask_one(question, target, params, scratch, found)
            })
            .collect()
        })
    }

    fn ask_one(
        &self,
        question: usize,
        target: &Target<'_>,
        params: &SearchParams,
        scratch: &mut Scratch,
        found: &mut Vec<Neighbor>,
    ) -> Answer {
        let vector = &self.vectors[question * self.dim..][..self.dim];
        let exclude = self.items.get(question).copied();
        let params = SearchParams { exclude, ..*params };
        let start = Instant::now();
        let Ok(account) = search(target, scratch, vector, &params, found) else {
            return Answer::default();
        };
        let seconds = start.elapsed().as_secs_f64();
        let recall = self.recall(question, params.k, found);
        let span = scratch.span(params.k, params.ef.unwrap_or(params.k));
        Answer { recall, distances: account.distances, seconds, span }
    }

    /// Recall of what was found for a question among its `k` nearest, itself left out.
    fn recall(&self, question: usize, k: usize, found: &[Neighbor]) -> Recall {
        let exact = question * self.truth.k..(question + 1) * self.truth.k;
        let (ids, distances) = (&self.truth.ids[exact.clone()], &self.truth.distances[exact]);
        let own = self.items.get(question).map(|node| u64::from(node.0));
        let others = ids.iter().zip(distances).filter(|(id, _)| Some(**id) != own).take(k);
        let (ids, distances): (Vec<u64>, Vec<f32>) = others.unzip();
        let found_ids: Vec<u64> = found.iter().map(|n| u64::from(n.node.0)).collect();
        let found_distances: Vec<f32> = found.iter().map(|n| n.distance).collect();
        Recall {
            by_id: recall_by_id(&found_ids, &ids),
            by_distance: recall_by_distance(self.metric, &found_distances, &distances),
        }
    }
}

/// The `depth` nearest of each query that a search with a long list finds, `[count, depth]`; none if
/// cancelled.
pub(super) fn nearest(
    target: &Target<'_>,
    queries: &[f32],
    depth: usize,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Option<Vec<NodeId>> {
    let dim = target.vectors.dim;
    let params = SearchParams { ef: Some(NEAREST_EF.max(depth)), ..SearchParams::top(depth) };
    let mut nearest = Vec::with_capacity(queries.len() / dim * depth);
    for queries in queries.chunks(SEARCHED * dim) {
        let state = || (Scratch::default(), Vec::new());
        let found: Vec<Vec<NodeId>> = pool.install(|| {
            let queries = queries.par_chunks_exact(dim);
            let ask = |(scratch, found): &mut (Scratch, Vec<_>), query: &[f32]| {
                // Queries were checked, and every search gives as many as there are items.
                search(target, scratch, query, &params, found).ok()?;
                Some(found.iter().map(|neighbor| neighbor.node).collect())
            };
            queries.map_init(state, ask).flatten().collect()
        });
        nearest.extend(found.into_iter().flatten());
        progress.advance((queries.len() / dim) as u64);
        if progress.cancelled() {
            return None;
        }
    }
    Some(nearest)
}

/// Checks that `queries` are whole vectors of `dim` components, all of which can be asked.
pub(super) fn check_queries(queries: &[f32], dim: usize, metric: Metric) -> Result<(), BuildError> {
    if queries.is_empty() || !queries.len().is_multiple_of(dim) {
        let expected = format!("one vector of {dim} components, or several");
        let found = format!("{} numbers", queries.len());
        return Err(BuildError::Parameter { name: "queries", expected, found });
    }
    for (row, query) in (0..).zip(queries.chunks_exact(dim)) {
        let refuse = |expected: &str, found: String| {
            Err(BuildError::Query { row, expected: expected.to_owned(), found })
        };
        if let Some(at) = query.iter().position(|x| !x.is_finite()) {
            return refuse("finite numbers", format!("{} in component {at}", query[at]));
        }
        if !query_scale(metric, query).is_finite() {
            return refuse("a vector that cosine can compare", "all components 0".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_cannot_be_asked_are_told() {
        let told = |queries: &[f32], metric| {
            check_queries(queries, 2, metric).map_err(|error| error.to_string())
        };
        assert_eq!(told(&[1.0, 0.0, 0.0, 2.0], Metric::Cosine), Ok(()));
        assert_eq!(told(&[0.0, 0.0], Metric::Ip), Ok(()));
        for (queries, metric, words) in [
            (&[][..], Metric::L2, "0 numbers"),
            (&[1.0, 2.0, 3.0], Metric::L2, "3 numbers"),
            (&[1.0, 2.0, 3.0, f32::NAN], Metric::L2, "query 1 cannot be asked"),
            (&[1.0, 2.0, 0.0, 0.0], Metric::Cosine, "query 1 cannot be asked"),
        ] {
            let error = told(queries, metric).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
