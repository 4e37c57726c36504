//! The probe: small builds on a sample that find `alpha` and backfill. The best values differ
//! between sets, above all for inner product, so no constant would do.
//!
//! Each candidate rule builds a graph of the sample; held-out items query it; the rule that takes
//! the fewest distances to reach [`RECALL`] wins. Distances and not time, so that the choice is
//! the same on every run.

use crate::builder::codes::BuiltCodes;
use crate::builder::items::{Items, shuffle};
use crate::builder::{BuildError, BuildParams};
use crate::eval::metrics::recall_by_id;
use crate::eval::truth::{Truth, TruthSearch};
use crate::graph::insert::{InsertParams, insert_all};
use crate::graph::levels::LevelsLayout;
use crate::graph::prune::PruneRule;
use crate::progress::{Progress, Silent};
use crate::quantizers::{CodeKind, CodeSpace};
use crate::search::{Scratch, SearchParams, Target, search};
use crate::segments::meta::ProbeRecord;
use crate::types::{Metric, Neighbor, NodeId};

/// Rules that are compared at this recall@10.
const RECALL: f64 = 0.98;

/// One item in this many is sampled, so that all small builds together cost a fraction of the
/// large one …
const SAMPLE_SHARE: usize = 16;

/// … but at least so many, or the sample says nothing about the set …
const SAMPLE_MIN: usize = 4_000;

/// … and at most so many.
const SAMPLE_MAX: usize = 20_000;

/// Held-out queries.
const QUERIES: usize = 200;

/// Results per query.
const K: usize = 10;

/// Candidate-list sizes tried, until one reaches [`RECALL`].
const EFS: [usize; 9] = [12, 16, 24, 32, 48, 64, 96, 160, 256];

/// What is used where the input is too small to probe, or nothing reaches the recall.
pub(super) const DEFAULT_RULE: PruneRule = PruneRule { alpha: 1.1, backfill: true };

/// The rules tried. For inner product, whose augmented space is strongly stretched, larger slack
/// without backfill can win by far.
fn candidates(metric: Metric) -> Vec<PruneRule> {
    let rules: &[(f32, bool)] = match metric {
        Metric::L2 | Metric::Cosine => &[(1.0, true), (1.1, true), (1.2, true)],
        Metric::Ip => &[(1.1, true), (1.2, false), (1.4, false)],
    };
    rules.iter().map(|&(alpha, backfill)| PruneRule { alpha, backfill }).collect()
}

/// How many items are sampled of `n`.
pub(super) fn sample_size(n: usize) -> usize {
    (n / SAMPLE_SHARE).clamp(SAMPLE_MIN, SAMPLE_MAX)
}

/// How many small builds the probe makes for `n` items.
pub(super) fn probe_builds(n: usize, metric: Metric) -> usize {
    if n < sample_size(n) + QUERIES { 0 } else { candidates(metric).len() }
}

/// The rule to build with, and what each candidate took.
pub(super) fn probe(
    items: &Items,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<(PruneRule, Vec<ProbeRecord>), BuildError> {
    let given = |rule: &PruneRule| {
        params.alpha.is_none_or(|alpha| alpha == rule.alpha)
            && params.backfill.is_none_or(|backfill| backfill == rule.backfill)
    };
    let fallback = PruneRule {
        alpha: params.alpha.unwrap_or(DEFAULT_RULE.alpha),
        backfill: params.backfill.unwrap_or(DEFAULT_RULE.backfill),
    };
    let mut rules = candidates(params.metric);
    rules.retain(given);
    let size = sample_size(items.len());
    if probe_builds(items.len(), params.metric) == 0 || rules.len() < 2 {
        return Ok((fallback, Vec::new()));
    }

    let mut nodes: Vec<NodeId> = (0..items.len() as u32).map(NodeId).collect();
    shuffle(&mut nodes, params.seed ^ 0x960be);
    let (held_out, rest) = nodes.split_at(QUERIES);
    let sample = items.sample(&rest[..size]);
    let queries = queries(items, held_out);
    let mut truth = TruthSearch::new(queries.concat(), items.dim(), items.metric(), K);
    truth.add(sample.vectors(), pool);
    let truth = truth.finish();

    let codes = BuiltCodes::encode(&sample, CodeKind::I8, pool, &Silent)?;
    let mut records = Vec::with_capacity(rules.len());
    for rule in &rules {
        let distances = cost(&sample, &codes, *rule, params, &queries, &truth, pool)?;
        records.push(ProbeRecord { alpha: rule.alpha, backfill: rule.backfill, distances });
        progress.advance(1);
        if progress.cancelled() {
            return Err(BuildError::Cancelled);
        }
    }
    let best = records.iter().enumerate().min_by(|a, b| a.1.distances.total_cmp(&b.1.distances));
    let rule = best.filter(|(_, record)| record.distances.is_finite()).map(|(at, _)| rules[at]);
    Ok((rule.unwrap_or(fallback), records))
}

fn queries(items: &Items, nodes: &[NodeId]) -> Vec<Vec<f32>> {
    let widen = |node: &NodeId| {
        let mut query = Vec::with_capacity(items.dim());
        items.vectors().widen(*node, &mut query);
        query
    };
    nodes.iter().map(widen).collect()
}

/// Mean distances per query at [`RECALL`], interpolated between list sizes; infinite where none
/// reaches it.
fn cost(
    sample: &Items,
    codes: &BuiltCodes,
    rule: PruneRule,
    params: &BuildParams,
    queries: &[Vec<f32>],
    truth: &Truth,
    pool: &rayon::ThreadPool,
) -> Result<f32, BuildError> {
    let insert = InsertParams {
        max_degree: params.max_degree,
        ef_construction: params.ef_construction,
        rule,
        seed: params.seed,
    };
    let order = sample.insert_order(params.seed);
    let graph =
        insert_all(&CodeSpace::new(codes.view(), sample.extras()), &order, &insert, pool, &Silent)?;
    let words = graph.levels.words();
    let Ok(layout) = LevelsLayout::parse(&words, sample.len()) else {
        return Ok(f32::INFINITY);
    };
    let target = Target {
        vectors: sample.vectors(),
        metric: sample.metric(),
        scales: sample.scales(),
        codes: Some(codes.view()),
        graph: graph.adjacency(),
        levels: (&words, &layout),
    };
    let mut before: Option<(f64, f64)> = None;
    for ef in EFS {
        let (recall, distances) = measure(&target, ef, queries, truth);
        if recall >= RECALL {
            return Ok(match before {
                None => distances,
                Some((low, fewer)) => {
                    let share = (RECALL - low) / (recall - low);
                    fewer + (distances - fewer) * share
                }
            } as f32);
        }
        before = Some((recall, distances));
    }
    Ok(f32::INFINITY)
}

/// Mean recall and distances per query at one list size.
fn measure(target: &Target<'_>, ef: usize, queries: &[Vec<f32>], truth: &Truth) -> (f64, f64) {
    let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
    let (mut scratch, mut found) = (Scratch::default(), Vec::<Neighbor>::new());
    let (mut recall, mut distances) = (0.0, 0.0);
    for (query, exact) in queries.iter().zip(truth.ids.chunks(truth.k)) {
        if let Ok(account) = search(target, &mut scratch, query, &params, &mut found) {
            let ids: Vec<u64> = found.iter().map(|neighbor| u64::from(neighbor.node.0)).collect();
            recall += recall_by_id(&ids, exact);
            distances += account.distances as f64;
        }
    }
    (recall / queries.len() as f64, distances / queries.len() as f64)
}
