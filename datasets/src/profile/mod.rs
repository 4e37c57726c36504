//! What a file of vectors is like: norms, duplicates, intrinsic dimension, and whether queries come
//! from the same distribution as the items.
//!
//! The file is read once, from front to back. Norms of zero vectors, the extremes and the
//! normalised rows are counted over all rows; the rest is told from samples of bounded size, taken
//! at even steps through the file.

mod covariance;
mod duplicates;
mod nearest;
mod quantiles;

use std::ops::ControlFlow;

use serde::Serialize;

use crate::VectorReader;
use crate::error::ReadError;
use crate::vectors::{Batch, NarrowError, Shape};

pub(crate) use covariance::Covariance;
pub(crate) use nearest::{Found, best, dot, squared_distance};
pub(crate) use quantiles::median;
pub use quantiles::{Histogram, Quantiles};

use duplicates::DuplicateCounter;

/// Components of the sample of rows; 32 MiB.
const SAMPLE_COMPONENTS: usize = 8 << 20;
/// Rows of it, at most.
const SAMPLE_ROWS: u64 = 50_000;
/// Rows, and queries, whose neighbours are looked for in the sample.
const ASKED: usize = 500;
/// Norms of which the quantiles are taken.
const NORMS: u64 = 1 << 20;
/// A norm this close to 1 counts as 1: half precision rounds so much.
const NORMALISED: f64 = 2e-3;
/// Neighbours that are looked at for two that are not duplicates.
const NEIGHBOURS: usize = 8;
/// Where the median query lies among the items' own distances, for the verdict.
const CLEARLY_OUT: f64 = 0.9;
const STILL_IN: f64 = 0.75;

/// What a file of vectors is like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Number of vectors.
    pub rows: u64,
    /// Their components.
    pub dim: u32,
    /// The components' type.
    pub element: String,
    /// The norms.
    pub norms: Norms,
    /// Rows that repeat an earlier row byte for byte; estimated where the file has more than a
    /// few million distinct rows.
    pub duplicates: u64,
    /// Whether `duplicates` was counted, not estimated.
    pub duplicates_exact: bool,
    /// Rows of the sample that the rest is told from.
    pub sample_rows: u64,
    /// The intrinsic dimension, by the ratio of the distances to the two nearest neighbours in
    /// the sample (Facco, d'Errico, Rodriguez and Laio: Estimating the intrinsic dimension of
    /// datasets by a minimal neighborhood information, Scientific Reports 7, 12140, 2017; the
    /// maximum-likelihood form). A sample sees the set from further away: read it as a scale.
    pub intrinsic_dimension: Option<f64>,
    /// The queries beside the rows, where there are some.
    pub queries: Option<QueryProfile>,
}

/// Norms of vectors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Norms {
    /// Rows whose norm is 1, within the rounding of half precision.
    pub normalised: u64,
    /// Rows whose norm is 0: they have no direction.
    pub zero: u64,
    /// Quantiles; the extremes are those of all rows.
    pub quantiles: Quantiles,
    /// How many rows of the sample have which norm.
    pub histogram: Histogram,
}

/// Queries held against the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueryProfile {
    /// Number of queries in the file.
    pub rows: u64,
    /// Distances to the nearest row of the sample.
    pub nearest: Comparison,
    /// Mahalanobis distances to the rows; none where the sample is too small for its dimension.
    pub mahalanobis: Option<Comparison>,
    /// What follows from it.
    pub verdict: Verdict,
}

/// A distance of queries, and the same of rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Of the queries.
    pub queries: Quantiles,
    /// Of the rows.
    pub rows: Quantiles,
    /// Share of the rows whose distance is below that of the median query; a half where queries
    /// and rows are of one distribution.
    pub share_below_median_query: f64,
    /// The distances of the queries.
    pub query_histogram: Histogram,
    /// The distances of the rows, over the same range.
    pub row_histogram: Histogram,
}

/// Whether queries come from the distribution of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The median query is as far as a common row is.
    InDistribution,
    /// It is as far as a rare row is: between 75 and 90 % of the rows are nearer.
    Borderline,
    /// It is farther than 90 % of the rows are.
    OutOfDistribution,
}

/// Why a file has no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A component that no f32 holds.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Profiles the rows of `reader`, and `queries` beside them; both have the same dim. Distances
/// are those of directions (of vectors scaled to norm 1) where `directions` is set, as it should
/// be for inner product and cosine. `advance` is told of rows done, and says whether to go on.
/// Runs on the current rayon pool; memory is a batch and about 100 MiB at most.
///
/// # Errors
/// What is wrong with one of the files.
pub fn profile(
    reader: &mut dyn VectorReader,
    queries: Option<Box<dyn VectorReader>>,
    directions: bool,
    advance: &(dyn Fn(u64) -> ControlFlow<()> + Sync),
) -> Result<Profile, ProfileError> {
    let shape = reader.shape();
    let dim = shape.dim as usize;
    let mut pass = Pass::new(shape);
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch)? {
        pass.add(&batch)?;
        if advance(batch.rows as u64).is_break() {
            return Err(ProfileError::Stopped);
        }
    }
    let asked = match queries {
        Some(mut queries) => {
            Some((queries.shape().rows, read_sample(&mut *queries, ASKED as u64)?))
        }
        None => None,
    };
    let covariance = asked.as_ref().and_then(|_| Covariance::of(&pass.sample.rows, dim));
    let sample_rows = (pass.sample.rows.len() / dim) as u64;
    // Mahalanobis distances are of the rows as they are.
    let raw = asked.as_ref().and_then(|(_, queries)| {
        let distances = |rows: &[f32], step: usize| -> Option<Vec<f64>> {
            let covariance = covariance.as_ref()?;
            Some(rows.chunks_exact(dim).step_by(step).map(|r| covariance.distance(r)).collect())
        };
        let step = (sample_rows as usize).div_ceil(ASKED).max(1);
        Comparison::of(distances(queries, 1)?, distances(&pass.sample.rows, step)?)
    });
    let sample = Neighbourhood::new(pass.sample.rows, dim, directions);
    let (own, intrinsic_dimension) = sample.own();
    let queries = asked.and_then(|(rows, queries)| {
        let nearest = Comparison::of(sample.nearest(queries, directions), own)?;
        let verdict = Verdict::of(&nearest, raw.as_ref());
        Some(QueryProfile { rows, nearest, mahalanobis: raw, verdict })
    });
    let (duplicates, duplicates_exact) = pass.duplicates.count();
    Ok(Profile {
        rows: shape.rows,
        dim: shape.dim,
        element: shape.element.to_string(),
        norms: pass.norms.finish(),
        duplicates,
        duplicates_exact,
        sample_rows,
        intrinsic_dimension,
        queries,
    })
}

/// What one pass over the rows collects.
struct Pass {
    dim: usize,
    sample: Sample,
    norms: NormCounter,
    duplicates: DuplicateCounter,
}

impl Pass {
    fn new(shape: Shape) -> Self {
        let dim = shape.dim as usize;
        let rows = SAMPLE_ROWS.min((SAMPLE_COMPONENTS / dim).max(2) as u64);
        Self {
            dim,
            sample: Sample { all: shape.rows, wanted: rows, rows: Vec::new() },
            norms: NormCounter::new(shape.rows),
            duplicates: DuplicateCounter::default(),
        }
    }

    fn add(&mut self, batch: &Batch) -> Result<(), NarrowError> {
        let vectors = batch.to_f32()?;
        for (row, vector) in (batch.first_row..).zip(vectors.chunks_exact(self.dim)) {
            self.sample.add(row, vector);
            self.norms.add(row, vector);
        }
        let row_bytes = batch.dim * batch.vectors.element().size();
        batch.vectors.bytes().chunks_exact(row_bytes).for_each(|row| self.duplicates.add(row));
        Ok(())
    }
}

/// Whether row `row` of `all` is one of `wanted` at even steps.
fn chosen(row: u64, all: u64, wanted: u64) -> bool {
    let scaled = |row: u64| u128::from(row) * u128::from(wanted) / u128::from(all.max(1));
    wanted >= all || scaled(row) != scaled(row + 1)
}

struct Sample {
    all: u64,
    wanted: u64,
    rows: Vec<f32>,
}

impl Sample {
    fn add(&mut self, row: u64, vector: &[f32]) {
        if chosen(row, self.all, self.wanted) {
            self.rows.extend_from_slice(vector);
        }
    }
}

fn read_sample(reader: &mut dyn VectorReader, wanted: u64) -> Result<Vec<f32>, ProfileError> {
    let mut sample = Sample { all: reader.shape().rows, wanted, rows: Vec::new() };
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch)? {
        let vectors = batch.to_f32()?;
        for (row, vector) in (batch.first_row..).zip(vectors.chunks_exact(batch.dim)) {
            sample.add(row, vector);
        }
    }
    Ok(sample.rows)
}

struct NormCounter {
    rows: u64,
    normalised: u64,
    zero: u64,
    min: f64,
    max: f64,
    sample: Vec<f64>,
}

impl NormCounter {
    fn new(rows: u64) -> Self {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { rows, normalised: 0, zero: 0, min, max, sample: Vec::new() }
    }

    fn add(&mut self, row: u64, vector: &[f32]) {
        let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        self.normalised += u64::from((norm - 1.0).abs() <= NORMALISED);
        self.zero += u64::from(norm == 0.0);
        self.min = self.min.min(norm);
        self.max = self.max.max(norm);
        if chosen(row, self.rows, NORMS) {
            self.sample.push(norm);
        }
    }

    fn finish(self) -> Norms {
        let histogram = Histogram::of(&self.sample, self.min, self.max);
        let quantiles = Quantiles { min: self.min, max: self.max, ..Quantiles::of(self.sample) };
        Norms { normalised: self.normalised, zero: self.zero, quantiles, histogram }
    }
}

/// A sample in which neighbours are looked for.
struct Neighbourhood {
    rows: Vec<f32>,
    /// Minus half of the squared norm: with it, the largest inner product is the nearest row.
    bias: Vec<f32>,
    dim: usize,
}

impl Neighbourhood {
    fn new(mut rows: Vec<f32>, dim: usize, directions: bool) -> Self {
        if directions {
            normalise(&mut rows, dim);
        }
        let bias = rows.chunks_exact(dim).map(|row| -0.5 * dot(row, row)).collect();
        Self { rows, bias, dim }
    }

    /// Distances of queries to their nearest row.
    fn nearest(&self, mut queries: Vec<f32>, directions: bool) -> Vec<f64> {
        if directions {
            normalise(&mut queries, self.dim);
        }
        let found = best(&queries, &self.rows, &self.bias, NEIGHBOURS, |_, _| false);
        let distances = queries.chunks_exact(self.dim).zip(&found);
        distances.filter_map(|(query, found)| self.distances(query, found).next()).collect()
    }

    /// Distances of rows to the nearest other row, and the intrinsic dimension.
    fn own(&self) -> (Vec<f64>, Option<f64>) {
        let step = self.bias.len().div_ceil(ASKED).max(1);
        let asked: Vec<&[f32]> = self.rows.chunks_exact(self.dim).step_by(step).collect();
        let found =
            best(&asked.concat(), &self.rows, &self.bias, NEIGHBOURS, |at, row| at * step == row);
        let (mut nearest, mut logs, mut used) = (Vec::new(), 0.0, 0_u32);
        for (row, found) in asked.iter().zip(&found) {
            nearest.extend(self.distances(row, found).next());
            let mut apart = self.distances(row, found).filter(|&distance| distance > 0.0);
            if let (Some(first), Some(second)) = (apart.next(), apart.next())
                && second > first
            {
                logs += (second / first).ln();
                used += 1;
            }
        }
        (nearest, (used >= 10).then(|| f64::from(used) / logs))
    }

    /// The exact distances of those found, ascending.
    fn distances(&self, query: &[f32], found: &[Found]) -> impl Iterator<Item = f64> {
        let row = |found: &Found| &self.rows[found.row * self.dim..][..self.dim];
        let mut distances: Vec<f64> =
            found.iter().map(|found| squared_distance(query, row(found)).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        distances.into_iter()
    }
}

fn normalise(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_exact_mut(dim) {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
        }
    }
}

impl Comparison {
    /// `None` where there is nothing on one side.
    fn of(queries: Vec<f64>, rows: Vec<f64>) -> Option<Self> {
        if queries.is_empty() || rows.is_empty() {
            return None;
        }
        let both = || queries.iter().chain(&rows).copied();
        let (min, max) = both().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| {
            (f64::min(min, x), f64::max(max, x))
        });
        let middle = median(queries.clone());
        let below = rows.iter().filter(|&&distance| distance < middle).count();
        Some(Self {
            share_below_median_query: below as f64 / rows.len() as f64,
            query_histogram: Histogram::of(&queries, min, max),
            row_histogram: Histogram::of(&rows, min, max),
            queries: Quantiles::of(queries),
            rows: Quantiles::of(rows),
        })
    }
}

impl Verdict {
    fn of(nearest: &Comparison, mahalanobis: Option<&Comparison>) -> Self {
        let shares = mahalanobis.into_iter().chain([nearest]);
        let share = shares.map(|c| c.share_below_median_query).fold(0.0, f64::max);
        match share {
            share if share >= CLEARLY_OUT => Self::OutOfDistribution,
            share if share > STILL_IN => Self::Borderline,
            _ => Self::InDistribution,
        }
    }
}
