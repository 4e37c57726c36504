//! Questions with known answers: what the self-check and the calibration ask a new graph.

use crate::builder::items::{Items, shuffle};
use crate::eval::metrics::{recall_by_distance, recall_by_id};
use crate::eval::truth::{Truth, TruthSearch};
use crate::search::{Scratch, SearchParams, Target, search};
use crate::types::{Metric, Neighbor, NodeId};

/// Queries and their exact neighbors among the items of a build, in build order.
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

impl Questions {
    /// Draws `count` items, each to be asked for its `k` nearest others. Cost: `count · n` distances.
    pub(super) fn of_items(
        items: &Items,
        count: usize,
        k: usize,
        seed: u64,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let mut nodes: Vec<NodeId> = (0..items.len() as u32).map(NodeId).collect();
        shuffle(&mut nodes, seed ^ 0x5e1f);
        nodes.truncate(count);
        let mut vectors = Vec::with_capacity(nodes.len() * items.dim());
        let mut row = Vec::with_capacity(items.dim());
        for node in &nodes {
            items.vectors().widen(*node, &mut row);
            vectors.extend_from_slice(&row);
        }
        Self::answered(items, vectors, nodes, k, pool)
    }

    /// Takes queries `[count, dim]`, each to be asked for its `k` nearest.
    pub(super) fn of_queries(
        items: &Items,
        vectors: Vec<f32>,
        k: usize,
        pool: &rayon::ThreadPool,
    ) -> Self {
        Self::answered(items, vectors, Vec::new(), k, pool)
    }

    fn answered(
        items: &Items,
        vectors: Vec<f32>,
        nodes: Vec<NodeId>,
        k: usize,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let (dim, metric) = (items.dim(), items.metric());
        let own = usize::from(!nodes.is_empty());
        let mut truth = TruthSearch::new(vectors.clone(), dim, metric, k + own);
        truth.add(items.vectors(), pool);
        Self { vectors, dim, metric, items: nodes, truth: truth.finish() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.vectors.len() / self.dim
    }

    /// Asks one question; `None` where it cannot be asked.
    pub(super) fn ask(
        &self,
        question: usize,
        target: &Target<'_>,
        params: &SearchParams,
        scratch: &mut Scratch,
        found: &mut Vec<Neighbor>,
    ) -> Option<(Recall, u64)> {
        let vector = &self.vectors[question * self.dim..][..self.dim];
        let exclude = self.items.get(question).copied();
        let params = SearchParams { exclude, ..*params };
        let account = search(target, scratch, vector, &params, found).ok()?;
        Some((self.recall(question, params.k, found), account.distances))
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
