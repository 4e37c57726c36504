//! The exact best rows of a sample that is held in memory.

use rayon::prelude::*;

/// Queries that scan a row together, while it is in the cache.
const TOGETHER: usize = 16;

/// A row of the sample, and its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) row: usize,
    pub(crate) key: f32,
}

/// For each query the `k` rows of `base` with the largest `query · row + bias[row]`, best first;
/// rows with the same key by number. `skip` leaves out a row for a query. Runs on the threads of
/// the current rayon pool. Cost: one dot product a pair.
pub(crate) fn best(
    queries: &[f32],
    base: &[f32],
    bias: &[f32],
    k: usize,
    skip: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Vec<Found>> {
    let dim = base.len() / bias.len().max(1);
    if dim == 0 || k == 0 {
        return Vec::new();
    }
    let group = |(group, queries): (usize, &[f32])| {
        let mut tops = vec![Vec::with_capacity(k + 1); queries.len() / dim];
        for (row, (vector, &bias)) in base.chunks_exact(dim).zip(bias).enumerate() {
            for (at, (query, top)) in queries.chunks_exact(dim).zip(&mut tops).enumerate() {
                let key = dot(query, vector) + bias;
                let beaten =
                    top.len() == k && top.last().is_none_or(|last: &Found| last.key >= key);
                if !beaten && !skip(group * TOGETHER + at, row) {
                    let place = top.partition_point(|found| found.key >= key);
                    top.insert(place, Found { row, key });
                    top.truncate(k);
                }
            }
        }
        tops
    };
    queries.par_chunks(TOGETHER * dim).enumerate().flat_map_iter(group).collect()
}

/// The inner product, its sums in a fixed order.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The squared distance, exact where the vectors are equal.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)) * (f64::from(a) - f64::from(b)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_is_what_sorting_finds() {
        let component = |at: usize| ((at * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        let (dim, rows, k) = (21, 300, 7);
        let base: Vec<f32> = (0..rows * dim).map(component).collect();
        let queries: Vec<f32> = (0..40 * dim).map(|at| component(at * 3 + 1)).collect();
        let bias: Vec<f32> = (0..rows).map(|row| component(row) * 0.1).collect();
        let found = best(&queries, &base, &bias, k, |query, row| row == query);
        assert_eq!(found.len(), 40);
        for (at, found) in found.iter().enumerate() {
            let key = |row: usize| {
                let (query, row_vector) = (&queries[at * dim..][..dim], &base[row * dim..][..dim]);
                let sum: f64 =
                    query.iter().zip(row_vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                sum + f64::from(bias[row])
            };
            let mut keys: Vec<f64> = (0..rows).filter(|&row| row != at).map(key).collect();
            keys.sort_by(|a, b| b.total_cmp(a));
            for (found, key) in found.iter().zip(keys) {
                assert!((f64::from(found.key) - key).abs() < 1e-4);
            }
        }
    }
}
