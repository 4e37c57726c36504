//! Some of the items, and queries with their exact neighbors among them: what probes ask. Where no
//! queries are given, held-out items stand in.

use crate::builder::items::{Items, shuffle};
use crate::eval::truth::{Truth, TruthSearch};
use crate::types::NodeId;

/// One item in this many is sampled, so that all small builds together cost a fraction of the
/// large one …
const SHARE: usize = 16;

/// … but at least so many, or the sample says nothing about the set …
const LEAST: usize = 4_000;

/// … and at most so many.
const MOST: usize = 20_000;

/// Queries that are asked, at most.
pub(super) const QUERIES: usize = 200;

/// Exact neighbors of each.
pub(super) const K: usize = 10;

/// How many of `n` items are sampled; `None` where there are too few.
pub(super) fn sample_size(n: usize) -> Option<usize> {
    let size = (n / SHARE).clamp(LEAST, MOST);
    (n >= size + QUERIES).then_some(size)
}

/// A sample.
#[derive(Debug)]
pub(super) struct Sample {
    /// The sampled items.
    pub(super) items: Items,
    /// Queries that were given, or vectors of items that are none of the sample.
    pub(super) queries: Vec<Vec<f32>>,
    /// Their [`K`] nearest of the sampled items.
    pub(super) truth: Truth,
}

impl Sample {
    /// Draws `size` items, and [`QUERIES`] others where there are no `given` queries; of those as many,
    /// evenly spread. Cost: `200 · size` distances.
    pub(super) fn draw(
        items: &Items,
        size: usize,
        given: Option<&[f32]>,
        seed: u64,
        pool: &rayon::ThreadPool,
    ) -> Self {
        let mut nodes: Vec<NodeId> = (0..items.len() as u32).map(NodeId).collect();
        shuffle(&mut nodes, seed ^ 0x960be);
        let (held_out, rest) = nodes.split_at_mut(QUERIES);
        let sampled = &mut rest[..size];
        // In the order of a file that they may lie in.
        held_out.sort_unstable();
        sampled.sort_unstable();
        let sample = items.sample(sampled);
        let queries = match given {
            Some(queries) => spread(queries, items.dim()),
            None => vectors(items, held_out),
        };
        let mut truth = TruthSearch::new(queries.concat(), items.dim(), items.metric(), K);
        truth.add(sample.vectors(), pool);
        Self { items: sample, queries, truth: truth.finish() }
    }

    /// Each query with its exact neighbors, nodes of the sample.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&[f32], &[u64])> {
        self.queries.iter().map(Vec::as_slice).zip(self.truth.ids.chunks(self.truth.k))
    }
}

/// At most [`QUERIES`] of the queries `[count, dim]`.
fn spread(queries: &[f32], dim: usize) -> Vec<Vec<f32>> {
    let count = queries.len() / dim;
    let asked = count.min(QUERIES);
    (0..asked).map(|at| queries[at * count / asked * dim..][..dim].to_vec()).collect()
}

fn vectors(items: &Items, nodes: &[NodeId]) -> Vec<Vec<f32>> {
    let widen = |node: &NodeId| {
        let mut vector = Vec::with_capacity(items.dim());
        items.vectors().widen(*node, &mut vector);
        vector
    };
    nodes.iter().map(widen).collect()
}
