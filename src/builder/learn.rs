//! Learning from logged queries: edges that they miss, and where they come in.
//!
//! Most of the queries are learned from, the rest measure whether that pays: of edges, entry points and
//! both, what makes recalls the cheapest is used, if it makes none dearer by more than [`DEARER`].

use crate::builder::cost::Cost;
use crate::builder::questions::{Questions, mean, nearest};
use crate::builder::{Stages, centers};
use crate::graph::entry_points::{EntryPoints, OwnedEntryPoints};
use crate::graph::overflow::{EdgeLists, OwnedOverflow};
use crate::graph::repair::repair;
use crate::progress::{Progress, Stage};
use crate::search::{SearchParams, Target};
use crate::segments::repair::{Gain, Repair};
use crate::segments::segment::LearnedParts;
use crate::types::Metric;
use crate::vectors::{RowSpace, SpaceForm};
use crate::with_element;

/// Fewer queries than this are all held out: what so few would teach is noise.
const LEAST: usize = 200;

/// Of more, one in this many is held out …
const HELD_OUT: usize = 5;

/// … but no more than this: more measure no better.
const HELD_OUT_MOST: usize = 2_000;

/// Of fewer items most searches are scans.
const LEAST_ITEMS: usize = 1_000;

/// Nearest items of a query that are learned from.
const DEPTH: usize = 100;

/// Most centers of entry points; there are as many as the root of the number of queries.
const CENTERS: usize = 128;

/// What a center counts as: they are read in order, at a quarter of the time of a row somewhere in memory
/// (two-tower 1M: 4 ns and 17).
const CENTER: f64 = 0.25;

/// Recalls@10 that are compared.
const RECALLS: [f64; 4] = [0.90, 0.95, 0.98, 0.99];

/// What is learned may make none of them dearer than this many times.
const DEARER: f64 = 1.03;

/// And must make them cheaper than this many times, in the geometric mean.
const CHEAPER: f64 = 0.99;

/// Results per question.
const K: usize = 10;

/// Queries `[count, dim]`, those to learn from and those held out.
pub(super) fn split(queries: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let count = queries.len() / dim;
    if count < LEAST {
        return (Vec::new(), queries.to_vec());
    }
    // One in `every`, evenly spread, since logs are in the order of time.
    let every = HELD_OUT.max(count.div_ceil(HELD_OUT_MOST));
    let (mut learned, mut held_out) = (Vec::new(), Vec::new());
    for (at, query) in queries.chunks_exact(dim).enumerate() {
        let part = if at % every == every - 1 { &mut held_out } else { &mut learned };
        part.extend_from_slice(query);
    }
    (learned, held_out)
}

/// What was learned, in the numbering of the target.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) edges: EdgeLists,
    pub(super) overflow: OwnedOverflow,
    pub(super) entry_points: Option<OwnedEntryPoints>,
    pub(super) record: Repair,
}

impl Learned {
    /// As a segment file has it.
    pub(super) fn parts(&self) -> LearnedParts<'_> {
        LearnedParts { edges: &self.edges, record: &self.record }
    }

    /// The target with what was learned.
    pub(super) fn applied<'a>(&'a self, target: Target<'a>) -> Target<'a> {
        Target {
            graph: target.graph.with_overflow(self.overflow.view()),
            entry_points: self.entry_points.as_ref().map(OwnedEntryPoints::view),
            ..target
        }
    }
}

/// [`learn`] as a stage.
pub(super) fn stage(
    target: &Target<'_>,
    queries: &[f32],
    held_out: &Questions,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Option<Learned> {
    let (count, progress) = (queries.len() / target.vectors.dim, stages.progress);
    stages.run(Stage::Repair, Some(count as u64), "queries", || {
        learn(target, queries, held_out, pool, progress)
    })
}

/// Learns from `queries` `[count, dim]`; none where that does not pay by `held_out`, or `progress` was
/// cancelled.
///
/// Cost: a search with a long list for each query, and some thirty short ones for each held out.
fn learn(
    target: &Target<'_>,
    queries: &[f32],
    held_out: &Questions,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Option<Learned> {
    let n = target.vectors.len();
    if n < LEAST_ITEMS {
        return None;
    }
    let nearest = nearest(target, queries, DEPTH, pool, progress)?;
    let edges = with_element!(target.vectors.element, E => {
        let form = match target.metric {
            Metric::L2 => SpaceForm::L2,
            Metric::Cosine => SpaceForm::Cosine(target.scales),
            Metric::Ip => SpaceForm::Ip,
        };
        let space = RowSpace { rows: target.vectors.rows::<E>(), form };
        repair(target.graph, &space, (&nearest, DEPTH), pool)
    });
    let overflow = OwnedOverflow::new(n, &edges);
    let clusters = (queries.len() / target.vectors.dim).isqrt().min(CENTERS);
    let points = centers::of_queries(target, queries, clusters, pool);
    let ways = Ways { target, overflow: &overflow, points: points.as_ref(), held_out, pool };
    let (new_edges, new_entries, gains) = ways.best(progress)?;
    let known = target.entry_points.as_ref().map(EntryPoints::to_owned);
    let edges = if new_edges { edges } else { target.graph.overflow_lists() };
    let entry_points = if new_entries { points } else { known };
    let of_queries = entry_points.as_ref().filter(|points| points.view().bounded());
    let record = Repair {
        learned: (queries.len() / target.vectors.dim) as u32,
        held_out: held_out.len() as u32,
        nodes: edges.len() as u64,
        edges: edges.iter().map(|(_, list)| list.len() as u64).sum(),
        centers: of_queries.map_or(0, |points| points.reach.len() as u32),
        gains,
    };
    let overflow = if new_edges { overflow } else { OwnedOverflow::new(n, &edges) };
    Some(Learned { edges, overflow, entry_points, record })
}

/// What can be used of what was learned.
struct Ways<'a> {
    target: &'a Target<'a>,
    overflow: &'a OwnedOverflow,
    points: Option<&'a OwnedEntryPoints>,
    held_out: &'a Questions,
    pool: &'a rayon::ThreadPool,
}

impl Ways<'_> {
    /// Whether to use new edges and new entry points, and what that brings; none where neither pays, or
    /// if cancelled.
    fn best(&self, progress: &dyn Progress) -> Option<(bool, bool, Vec<Gain>)> {
        let cost = |target: &Target<'_>| cost(target, self.held_out, self.pool);
        let before = cost(self.target);
        let (mut best, mut least) = (None, CHEAPER);
        for (edges, entries) in [(true, false), (false, true), (true, true)] {
            if progress.cancelled() {
                return None;
            }
            let after = cost(&self.with(edges, entries));
            if let Some(times) = times(&before, &after).filter(|times| *times < least) {
                least = times;
                best = Some((edges, entries, gains(&before, &after).collect()));
            }
        }
        best
    }

    fn with(&self, edges: bool, entries: bool) -> Target<'_> {
        let mut target = *self.target;
        if edges {
            target.graph = target.graph.with_overflow(self.overflow.view());
        }
        if let Some(points) = self.points.filter(|_| entries) {
            target.entry_points = Some(points.view());
        }
        target
    }
}

/// Recall and distances of the questions at rising efforts.
fn cost(target: &Target<'_>, questions: &Questions, pool: &rayon::ThreadPool) -> Cost {
    let centers = target.entry_points.map_or(0, |points| points.len()) as f64;
    Cost::up_to(RECALLS[RECALLS.len() - 1], |ef| {
        let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
        let answers = questions.ask(questions.len(), target, &params, pool);
        let recall = mean(&answers, |answer| answer.recall.by_id);
        (recall, mean(&answers, |answer| answer.distances as f64) - (1.0 - CENTER) * centers)
    })
}

/// The recalls that both reach, and what each takes there.
fn gains(before: &Cost, after: &Cost) -> impl Iterator<Item = Gain> {
    RECALLS.into_iter().filter_map(|recall| {
        let (before, after) = (before.at(recall), after.at(recall));
        let gain = Gain { recall: recall as f32, before: before as f32, after: after as f32 };
        (before.is_finite() && after.is_finite()).then_some(gain)
    })
}

/// What recalls take after, as a multiple of before, in the geometric mean; none where one of them is
/// dearer, or not reached any more. One that was not reached before counts as half.
fn times(before: &Cost, after: &Cost) -> Option<f64> {
    let mut logs = Vec::new();
    for recall in RECALLS {
        match (before.at(recall), after.at(recall)) {
            (before, after) if before.is_finite() => logs.push((after / before).ln()),
            (_, after) if after.is_finite() => logs.push(0.5f64.ln()),
            _ => {}
        }
    }
    let dearer = logs.is_empty() || logs.iter().any(|log| *log > DEARER.ln());
    (!dearer).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}
