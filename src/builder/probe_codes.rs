//! The probe of codes: which kind finds near neighbors well enough to be read in place of the
//! vectors.
//!
//! A walk over codes can answer no better than codes order the items: of its candidates the closest
//! [`default_rerank`] by codes are scored on their vectors, and a neighbor that is not among those is
//! lost however long the walk. That share is measured here, by scanning a sample. The sample is
//! sparser than the set, and its neighbors farther from each other, so it flatters codes a little;
//! the thresholds leave room for that.

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::builder::codes::BuiltCodes;
use crate::builder::sample::{K, Sample};
use crate::eval::metrics::recall_by_id;
use crate::kernels::{Isa, Operation, dispatch};
use crate::progress::{Cancelled, Silent};
use crate::quantizers::{CodeKind, CodeLayout, CodeType, Codes, QueryCodes};
use crate::scan::TopK;
use crate::search::default_rerank;
use crate::segments::meta::CodesProbe;
use crate::types::{Metric, NodeId, Scorer};
use crate::vectors::query_scale;
use crate::with_codes;

/// Codes of 8 bits must rank this share of the true neighbors high enough. With less, no candidate
/// list would reach the recall of 0.98 that builds are compared at, and vectors are read instead.
const I8_LEAST: f64 = 0.98;

/// The same of codes of 4 bits: they are taken for speed and must not be what ends a curve that
/// people read at 0.99.
const U4_LEAST: f64 = 0.99;

/// How much less codes of 4 bits may find than those of 8: a difference that a slightly longer
/// candidate list makes good in less time than the shorter rows save.
const U4_LOSS: f64 = 0.005;

/// Up to so many bytes a row of 8-bit codes arrives at once: four cache lines are asked for together
/// and cost hardly more than two. Halving a longer one shows.
const I8_ROW_FAST: usize = 4 * 64;

/// Nodes scored together.
const TOGETHER: usize = 32;

/// What there is to choose from, and what each would find.
pub(super) fn probe_codes(
    sample: &Sample,
    pool: &rayon::ThreadPool,
) -> Result<(Option<CodeKind>, Vec<CodesProbe>), Cancelled> {
    let mut records = Vec::with_capacity(CodeKind::ALL.len());
    for kind in CodeKind::ALL {
        let codes = BuiltCodes::encode(&sample.items, kind, pool, &Silent)?;
        let rerank = default_rerank(kind, K, K);
        let recall = share(sample, codes.view(), rerank, pool);
        records.push(CodesProbe { kind: kind.name().to_owned(), rerank: rerank as u32, recall });
    }
    let [i8, u4] = [records[0].recall, records[1].recall];
    Ok((choose(sample.items.dim(), i8, u4), records))
}

/// The kind to take, by what each finds.
fn choose(dim: usize, i8: f64, u4: f64) -> Option<CodeKind> {
    let long = CodeLayout::new(CodeKind::I8, dim).stride() > I8_ROW_FAST;
    if long && u4 >= U4_LEAST && u4 >= i8 - U4_LOSS {
        Some(CodeKind::U4)
    } else {
        (i8 >= I8_LEAST).then_some(CodeKind::I8)
    }
}

/// The mean share of exact neighbors that are among the `rerank` closest by codes.
fn share(sample: &Sample, codes: Codes<'_>, rerank: usize, pool: &rayon::ThreadPool) -> f64 {
    let metric = sample.items.metric();
    let asked: Vec<(&[f32], &[u64])> = sample.asked().collect();
    let found = |(prepared, top): &mut (QueryCodes, TopK), (query, exact): &(&[f32], &[u64])| {
        top.reset(rerank);
        with_codes!(codes.layout().kind(), C => {
            let kind = PhantomData::<C>;
            dispatch(ScanCodes { codes, metric, query, prepared, top, kind });
        });
        let ids: Vec<u64> = top.sorted().iter().map(|found| found.id).collect();
        recall_by_id(&ids, exact)
    };
    let shares: Vec<f64> =
        pool.install(|| asked.par_iter().map_init(Default::default, found).collect());
    shares.iter().sum::<f64>() / shares.len() as f64
}

/// Offers every row of codes to `top`.
struct ScanCodes<'a, C> {
    codes: Codes<'a>,
    metric: Metric,
    query: &'a [f32],
    prepared: &'a mut QueryCodes,
    top: &'a mut TopK,
    kind: PhantomData<C>,
}

impl<C: CodeType> Operation for ScanCodes<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { codes, metric, query, prepared, top, .. } = self;
        prepared.prepare(metric, query, query_scale(metric, query), codes);
        let scorer = prepared.scorer::<I, C>(isa, codes);
        let (mut nodes, mut distances) = ([NodeId(0); TOGETHER], [0.0; TOGETHER]);
        let mut start = 0;
        while start < codes.len() {
            let count = TOGETHER.min(codes.len() - start);
            for (i, node) in nodes[..count].iter_mut().enumerate() {
                *node = NodeId((start + i) as u32);
            }
            scorer.score(&nodes[..count], &mut distances[..count]);
            for (i, distance) in distances[..count].iter().enumerate() {
                top.push(*distance, (start + i) as u64);
            }
            start += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_by_length_of_rows_and_what_is_found() {
        let (u4, i8) = (Some(CodeKind::U4), Some(CodeKind::I8));
        for (dim, found_i8, found_u4, expected) in [
            (256, 1.0, 1.0, i8),
            (257, 1.0, 1.0, u4),
            (784, 0.999, 0.995, u4),
            (784, 0.999, 0.993, i8),
            (784, 0.992, 0.989, i8),
            (784, 0.985, 0.991, u4),
            (96, 0.98, 0.9, i8),
            (96, 0.979, 0.979, None),
            (784, 0.979, 0.978, None),
        ] {
            let case = format!("dim {dim}, i8 {found_i8}, u4 {found_u4}");
            assert_eq!(choose(dim, found_i8, found_u4), expected, "{case}");
        }
    }
}
