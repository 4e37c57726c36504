//! Entry points: clusters of queries or of items, and the items nearest to their centers.

use crate::builder::questions::nearest;
use crate::eval::truth::TruthSearch;
use crate::graph::entry_points::{OwnedEntryPoints, UNBOUNDED};
use crate::progress::Silent;
use crate::search::Target;
use crate::types::{ElementType, Metric};
use crate::vectors::{Vectors, query_scale};

/// Rounds of Lloyd's algorithm.
const ROUNDS: usize = 12;

/// Items of each center, and centers, that a search begins at.
const EACH: usize = 8;
const NEAREST: usize = 2;

/// Fewer vectors of a cluster than this say little about where it lies.
const LEAST_OF_EACH: usize = 8;

/// The nearest center of a vector.
struct Assigned {
    center: usize,
    /// Squared L2, or 1 − cosine.
    distance: f32,
}

/// `count` clusters of `queries` `[rows, dim]`, by direction but for L2, with the items nearest to their
/// centers. Searches that are farther from all of them than these queries are do not begin there. None of
/// few queries that have a direction.
pub(super) fn of_queries(
    target: &Target<'_>,
    queries: &[f32],
    count: usize,
    pool: &rayon::ThreadPool,
) -> Option<OwnedEntryPoints> {
    let (centers, assigned) = cluster(target, queries, count, pool)?;
    let mut reach = vec![0.0f32; count];
    for Assigned { center: at, distance } in assigned {
        // Searches compute the distance in another order.
        reach[at] = reach[at].max(distance * 1.001 + 1e-6);
    }
    at_centers(target, centers, reach, pool)
}

/// The same of items, for searches of any kind.
pub(super) fn of_items(
    target: &Target<'_>,
    items: &[f32],
    count: usize,
    pool: &rayon::ThreadPool,
) -> Option<OwnedEntryPoints> {
    let (centers, _) = cluster(target, items, count, pool)?;
    at_centers(target, centers, vec![UNBOUNDED; count], pool)
}

fn at_centers(
    target: &Target<'_>,
    centers: Vec<f32>,
    reach: Vec<f32>,
    pool: &rayon::ThreadPool,
) -> Option<OwnedEntryPoints> {
    let nodes = nearest(target, &centers, EACH, pool, &Silent)?;
    Some(OwnedEntryPoints { reach, centers, nodes, nearest: NEAREST })
}

/// The vectors at length 1 but for L2, those without a direction left out.
fn directed(vectors: &[f32], metric: Metric, dim: usize) -> Vec<f32> {
    let mut directed = Vec::with_capacity(vectors.len());
    for vector in vectors.chunks_exact(dim) {
        directed.extend_from_slice(vector);
        let last = directed.len() - dim;
        if metric != Metric::L2 && !to_unit(&mut directed[last..]) {
            directed.truncate(last);
        }
    }
    directed
}

/// Centers `[count, dim]` of clusters of those of `vectors` that have a direction, and which each of them is
/// nearest to; none of too few. Cost: twelve times `rows · count` distances.
fn cluster(
    target: &Target<'_>,
    vectors: &[f32],
    count: usize,
    pool: &rayon::ThreadPool,
) -> Option<(Vec<f32>, Vec<Assigned>)> {
    let (metric, dim) = (target.metric, target.vectors.dim);
    let vectors = directed(vectors, metric, dim);
    let rows = vectors.len() / dim;
    if count < NEAREST || rows < count * LEAST_OF_EACH {
        return None;
    }
    let spread = |at: usize| &vectors[at * rows / count * dim..][..dim];
    let mut centers: Vec<f32> = (0..count).flat_map(spread).copied().collect();
    let mut assigned = assign(&centers, &vectors, metric, dim, pool);
    for _ in 0..ROUNDS {
        centers = means(&centers, &vectors, &assigned, metric, dim);
        assigned = assign(&centers, &vectors, metric, dim, pool);
    }
    Some((centers, assigned))
}

/// The nearest center of each vector.
fn assign(
    centers: &[f32],
    vectors: &[f32],
    metric: Metric,
    dim: usize,
    pool: &rayon::ThreadPool,
) -> Vec<Assigned> {
    let ip = metric != Metric::L2;
    let metric = if ip { Metric::Ip } else { Metric::L2 };
    let mut search = TruthSearch::new(vectors.to_vec(), dim, metric, 1);
    let bytes = bytemuck::cast_slice(centers);
    search.add(Vectors { bytes, element: ElementType::F32, dim }, pool);
    let truth = search.finish();
    let nearest = truth.ids.iter().zip(truth.distances);
    let assigned = nearest.map(|(id, distance)| Assigned {
        center: *id as usize,
        distance: if ip { 1.0 + distance } else { distance },
    });
    assigned.collect()
}

/// The means of what was assigned to each center; a center that got nothing, or what points nowhere,
/// stays.
fn means(
    centers: &[f32],
    vectors: &[f32],
    assigned: &[Assigned],
    metric: Metric,
    dim: usize,
) -> Vec<f32> {
    let mut sums = vec![0.0; centers.len()];
    let mut counts = vec![0u32; centers.len() / dim];
    for (vector, Assigned { center: at, .. }) in vectors.chunks_exact(dim).zip(assigned) {
        counts[*at] += 1;
        sums[at * dim..][..dim].iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    let old = centers.chunks_exact(dim);
    for ((sum, old), count) in sums.chunks_exact_mut(dim).zip(old).zip(counts) {
        if metric == Metric::L2 && count > 0 {
            sum.iter_mut().for_each(|x| *x /= count as f32);
        } else if metric == Metric::L2 || !to_unit(sum) {
            sum.copy_from_slice(old);
        }
    }
    sums
}

/// Brings a vector to length 1; false for one that has no direction.
fn to_unit(vector: &mut [f32]) -> bool {
    let scale = query_scale(Metric::Cosine, vector);
    vector.iter_mut().for_each(|x| *x *= scale);
    scale.is_finite()
}
