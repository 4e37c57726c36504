//! Exact neighbors of many queries, from a base that is handed over block by block.

use rayon::prelude::*;

use crate::scan::{Queries, TopK, query_scales, scan_many};
use crate::types::Metric;
use crate::vectors::{Vectors, query_scale};

/// Queries that one task scans at a time: enough to reuse a block of rows, few enough to spread.
const QUERIES_PER_TASK: usize = 64;

/// The exact `k` nearest of each query, `[q, k]` row-major, closest first. Where the base has
/// fewer than `k` rows, `k` is their number.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Neighbors per query.
    pub k: usize,
    /// Their ids: rows of the base, in the order it was given.
    pub ids: Vec<u64>,
    /// Their distances, smaller is closer.
    pub distances: Vec<f32>,
}

/// Collects the nearest rows of blocks of a base.
#[derive(Debug)]
pub struct TruthSearch {
    queries: Vec<f32>,
    scales: Vec<f32>,
    dim: usize,
    metric: Metric,
    tops: Vec<TopK>,
    rows: u64,
}

impl TruthSearch {
    /// For `queries` `[q, dim]`, row-major; `dim` and `k` are at least 1.
    pub fn new(queries: Vec<f32>, dim: usize, metric: Metric, k: usize) -> Self {
        let scales = query_scales(metric, &queries, dim);
        let tops = vec![TopK::new(k); scales.len()];
        Self { queries, scales, dim, metric, tops, rows: 0 }
    }

    /// Scans the next rows of the base on the threads of `pool`. Cost: `rows · q` distances.
    pub fn add(&mut self, block: Vectors<'_>, pool: &rayon::ThreadPool) {
        let row_scales = row_scales(self.metric, block);
        let (dim, metric, first) = (self.dim, self.metric, self.rows);
        let scan = |((queries, scales), tops): ((&[f32], &[f32]), &mut [TopK])| {
            let queries = Queries { components: queries, scales };
            scan_many(block, metric, &row_scales, queries, first, tops);
        };
        pool.install(|| {
            self.queries
                .par_chunks(QUERIES_PER_TASK * dim)
                .zip(self.scales.par_chunks(QUERIES_PER_TASK))
                .zip(self.tops.par_chunks_mut(QUERIES_PER_TASK))
                .for_each(scan);
        });
        self.rows += block.len() as u64;
    }

    /// The neighbors found.
    pub fn finish(mut self) -> Truth {
        let mut truth = Truth { k: 0, ids: Vec::new(), distances: Vec::new() };
        for top in &mut self.tops {
            let found = top.sorted();
            truth.k = found.len();
            truth.ids.extend(found.iter().map(|found| found.id));
            truth.distances.extend(found.iter().map(|found| found.distance));
        }
        truth
    }
}

/// `[n]` scales of rows for cosine; empty for the other metrics.
pub fn row_scales(metric: Metric, vectors: Vectors<'_>) -> Vec<f32> {
    if metric != Metric::Cosine {
        return Vec::new();
    }
    let mut row = Vec::with_capacity(vectors.dim);
    (0..vectors.len() as u32)
        .map(|node| {
            vectors.widen(crate::types::NodeId(node), &mut row);
            query_scale(metric, &row)
        })
        .collect()
}
