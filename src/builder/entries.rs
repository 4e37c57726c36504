//! How searches come into the base layer: found by asking the graph that was just built.
//!
//! Most graphs are entered at a few centers of their items. Where items form so many clusters that a few
//! centers miss most of them, searches go down the upper layers, and there with more nodes than one, since
//! one ends up in the wrong cluster for a share of the queries, whatever `ef` is.

use crate::builder::centers;
use crate::builder::cost::{Cost, common_recall};
use crate::builder::questions::{Questions, mean};
use crate::graph::entry_points::OwnedEntryPoints;
use crate::graph::levels::{LevelsLayout, MAX_ENTRIES};
use crate::search::{SearchParams, Target};
use crate::types::NodeId;
use crate::vectors::Vectors;

/// Results per question.
const K: usize = 10;

/// A less simple way in has to cost less than this share of the distances.
const WORTH: f64 = 0.95;

/// Centers of items. Each is a distance of every search; more than so many found no more than they cost.
const CENTERS: usize = 16;

/// Items that are clustered, evenly spread.
const CLUSTERED: usize = 2_048;

/// How searches come in.
#[derive(Debug)]
pub(super) struct WayIn {
    /// The layers, with the number of nodes to go down with.
    pub(super) layout: LevelsLayout,
    /// Where to begin instead of going down.
    pub(super) points: Option<OwnedEntryPoints>,
}

/// The way into `target` that takes the fewest distances: down the upper layers, or at its entry points, those
/// of items where it has none.
///
/// Cost: some thirty searches a question.
pub(super) fn find_entries(
    questions: &Questions,
    target: &Target<'_>,
    pool: &rayon::ThreadPool,
) -> WayIn {
    let (words, layout) = target.levels;
    let cost = |way: &WayIn| {
        let entry_points = way.points.as_ref().map(OwnedEntryPoints::view);
        let target = Target { levels: (words, &way.layout), entry_points, ..*target };
        Cost::of(|ef| {
            let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
            let answers = questions.ask(questions.len(), &target, &params, pool);
            // By distance: where many items are the same, ids never get to a high recall.
            let recall = mean(&answers, |answer| answer.recall.by_distance);
            (recall, mean(&answers, |answer| answer.distances as f64))
        })
    };
    let down = |entries| WayIn { layout: layout.with_entries(entries), points: None };
    let mut best = down(1);
    let mut least = cost(&best);
    let mut consider = |best: &mut WayIn, way: WayIn| {
        let cost = cost(&way);
        let recall = common_recall([&least, &cost]);
        if cost.at(recall) < WORTH * least.at(recall) {
            (*best, least) = (way, cost);
        }
    };
    for entries in [2, 4, 8, MAX_ENTRIES] {
        consider(&mut best, down(entries));
    }
    let points = match target.entry_points {
        Some(known) => Some(known.to_owned()),
        None => centers::of_items(target, &spread(target.vectors), CENTERS, pool),
    };
    if let Some(points) = points {
        let layout = best.layout.clone();
        consider(&mut best, WayIn { layout, points: Some(points) });
    }
    best
}

/// Some of the vectors, `[count, dim]`.
fn spread(vectors: Vectors<'_>) -> Vec<f32> {
    let n = vectors.len();
    let count = n.min(CLUSTERED);
    let (mut spread, mut row) = (Vec::with_capacity(count * vectors.dim), Vec::new());
    for at in 0..count {
        vectors.widen(NodeId((at * n / count) as u32), &mut row);
        spread.extend_from_slice(&row);
    }
    spread
}
