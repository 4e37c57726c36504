//! The self-check: recall of sampled items against exact search, on the graph that was just built.

use rayon::prelude::*;

use crate::builder::items::{Items, shuffle};
use crate::eval::metrics::{recall_by_distance, recall_by_id};
use crate::eval::truth::TruthSearch;
use crate::graph::Graph;
use crate::graph::levels::LevelsLayout;
use crate::quantizers::Codes;
use crate::search::{DEFAULT_EF, Scratch, SearchParams, Target, search};
use crate::segments::meta::SelfCheck;
use crate::types::{Neighbor, NodeId};

/// Queries asked: the standard error of a recall of 0.95 at k = 10 is then below 0.005.
pub(super) const QUERIES: usize = 256;

/// Results per query.
const K: usize = 10;

/// Asks for the neighbors of sampled items without the items themselves. Cost: `256 · n` distances.
pub(super) fn self_check(
    items: &Items,
    codes: Option<Codes<'_>>,
    graph: &Graph,
    seed: u64,
    pool: &rayon::ThreadPool,
) -> SelfCheck {
    let mut nodes: Vec<NodeId> = (0..items.len() as u32).map(NodeId).collect();
    shuffle(&mut nodes, seed ^ 0x5e1f);
    nodes.truncate(QUERIES);
    let (vectors, dim) = (items.vectors(), items.dim());
    let mut queries = Vec::with_capacity(nodes.len() * dim);
    let mut row = Vec::with_capacity(dim);
    for node in &nodes {
        vectors.widen(*node, &mut row);
        queries.extend_from_slice(&row);
    }

    let mut truth = TruthSearch::new(queries.clone(), dim, items.metric(), K + 1);
    truth.add(vectors, pool);
    let truth = truth.finish();

    let words = graph.levels.words();
    let (mut by_id, mut by_distance) = (0.0, 0.0);
    if let Ok(layout) = LevelsLayout::parse(&words, items.len()) {
        let target = Target {
            vectors,
            metric: items.metric(),
            scales: items.scales(),
            codes,
            graph: graph.adjacency(),
            levels: (&words, &layout),
        };
        let recalls: Vec<(f64, f64)> = pool.install(|| {
            (0..nodes.len())
                .into_par_iter()
                .map_init(Scratch::default, |scratch, query| {
                    let vector = &queries[query * dim..][..dim];
                    let exact = query * truth.k..(query + 1) * truth.k;
                    let (ids, distances) = (&truth.ids[exact.clone()], &truth.distances[exact]);
                    recall(&target, scratch, nodes[query], vector, ids, distances)
                })
                .collect()
        });
        by_id = recalls.iter().map(|recall| recall.0).sum::<f64>() / recalls.len() as f64;
        by_distance = recalls.iter().map(|recall| recall.1).sum::<f64>() / recalls.len() as f64;
    }
    SelfCheck {
        queries: nodes.len() as u32,
        queries_from: "items".to_owned(),
        k: K as u32,
        ef: DEFAULT_EF as u32,
        recall_id: by_id,
        recall_distance: by_distance,
    }
}

/// Recall by id and by distance of one item's neighbors, itself left out of both lists.
fn recall(
    target: &Target<'_>,
    scratch: &mut Scratch,
    node: NodeId,
    vector: &[f32],
    ids: &[u64],
    distances: &[f32],
) -> (f64, f64) {
    let own = |at: &usize| ids[*at] != u64::from(node.0);
    let kept: Vec<usize> = (0..ids.len()).filter(own).take(K).collect();
    let exact_ids: Vec<u64> = kept.iter().map(|at| ids[*at]).collect();
    let exact_distances: Vec<f32> = kept.iter().map(|at| distances[*at]).collect();
    let params = SearchParams { exclude: Some(node), ..SearchParams::top(K) };
    let mut found: Vec<Neighbor> = Vec::new();
    if search(target, scratch, vector, &params, &mut found).is_err() {
        return (0.0, 0.0);
    }
    let found_ids: Vec<u64> = found.iter().map(|neighbor| u64::from(neighbor.node.0)).collect();
    let found_distances: Vec<f32> = found.iter().map(|neighbor| neighbor.distance).collect();
    let by_distance = recall_by_distance(target.metric, &found_distances, &exact_distances);
    (recall_by_id(&found_ids, &exact_ids), by_distance)
}
