//! The distance of Mahalanobis: how many standard deviations a vector lies from the middle of a
//! sample, in the sample's own directions.

use rayon::prelude::*;

/// Sums of squares that the covariance of a sample may take; a wider sample is thinned.
const MOST_PRODUCTS: usize = 4_000_000_000;
/// The largest dimension for which this is done: it takes dim³ / 3 operations, dim² for a vector.
pub(crate) const MOST_COMPONENTS: usize = 2048;
/// What is added to every variance, as a share of the mean one: directions in which the sample
/// does not spread at all would be infinitely far otherwise.
const RIDGE: f64 = 1e-6;

/// Mean and covariance of a sample of vectors.
pub(crate) struct Covariance {
    mean: Vec<f64>,
    /// Cholesky's lower triangle, `[dim, dim]`.
    lower: Vec<f64>,
}

impl Covariance {
    /// Of `rows`, `[n, dim]`; `None` where there are too few for their dimension, or it is above
    /// [`MOST_COMPONENTS`]. Runs on the current rayon pool.
    pub(crate) fn of(rows: &[f32], dim: usize) -> Option<Self> {
        let n = rows.len() / dim;
        if dim > MOST_COMPONENTS || n < 2 * dim || n < 3 {
            return None;
        }
        let step = (n / (MOST_PRODUCTS / (dim * dim)).max(2 * dim)).max(1);
        let sample: Vec<&[f32]> = rows.chunks_exact(dim).step_by(step).collect();
        let count = sample.len() as f64;
        let mut mean = vec![0.0; dim];
        for row in &sample {
            mean.iter_mut().zip(*row).for_each(|(mean, &value)| *mean += f64::from(value));
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        let mut lower = vec![0.0; dim * dim];
        // One task a line of the triangle: sums in the order of the rows, whatever the threads.
        lower.par_chunks_exact_mut(dim).enumerate().for_each(|(line, sums)| {
            for row in &sample {
                let own = f64::from(row[line]) - mean[line];
                for ((sum, &value), &mean) in sums[..=line].iter_mut().zip(*row).zip(&mean) {
                    *sum += own * (f64::from(value) - mean);
                }
            }
            sums[..=line].iter_mut().for_each(|sum| *sum /= count - 1.0);
        });
        let trace: f64 = (0..dim).map(|at| lower[at * dim + at]).sum();
        for at in 0..dim {
            lower[at * dim + at] += RIDGE * trace / dim as f64;
        }
        factor(&mut lower, dim).then_some(Self { mean, lower })
    }

    /// The distance of a vector.
    pub(crate) fn distance(&self, vector: &[f32]) -> f64 {
        let dim = self.mean.len();
        let mut solved: Vec<f64> = Vec::with_capacity(dim);
        for (at, (&value, mean)) in vector.iter().zip(&self.mean).enumerate() {
            let line = &self.lower[at * dim..][..=at];
            let before: f64 = line.iter().zip(&solved).map(|(a, b)| a * b).sum();
            solved.push((f64::from(value) - mean - before) / line[at]);
        }
        solved.iter().map(|x| x * x).sum::<f64>().sqrt()
    }
}

/// Replaces the lower triangle of a matrix by its Cholesky factor; false if it has none, as for a
/// sample that does not spread.
fn factor(lower: &mut [f64], dim: usize) -> bool {
    for line in 0..dim {
        let (above, own) = lower.split_at_mut(line * dim);
        for column in 0..=line {
            let other = if column == line { None } else { Some(&above[column * dim..][..dim]) };
            let sum: f64 = match other {
                Some(other) => own[..column].iter().zip(other).map(|(a, b)| a * b).sum(),
                None => own[..column].iter().map(|a| a * a).sum(),
            };
            let rest = own[column] - sum;
            own[column] = match other {
                Some(other) => rest / other[column],
                None if rest > 0.0 => rest.sqrt(),
                None => return false,
            };
        }
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn scaled_axes_count_in_their_own_deviations() {
        let mut rows = Random::new(1, "rows", 0).normals(60_000, 1.0);
        rows.chunks_exact_mut(3).for_each(|row| {
            row[1] = 10.0 * row[1] + 5.0;
            row[2] += row[1];
        });
        let covariance = Covariance::of(&rows, 3).unwrap();
        assert!((covariance.distance(&[0.0, 25.0, 25.0]) - 2.0).abs() < 0.05);
        assert!((covariance.distance(&[3.0, 5.0, 5.0]) - 3.0).abs() < 0.1);
        // The third differs from the second by 1 at most times: 10 is far.
        assert!((covariance.distance(&[0.0, 5.0, 15.0]) - 10.0).abs() < 0.3);
        let mean: f64 =
            rows.chunks_exact(3).map(|row| covariance.distance(row).powi(2)).sum::<f64>();
        assert!((mean / 20_000.0 - 3.0).abs() < 0.01);
    }

    #[test]
    fn a_sample_without_spread_has_no_distance() {
        assert!(Covariance::of(&[1.0; 600], 3).is_none());
        assert!(Covariance::of(&[1.0; 12], 3).is_none());
    }
}
