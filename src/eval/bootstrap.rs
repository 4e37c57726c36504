//! How sure a mean over queries is, by the bootstrap (Efron, Annals of Statistics 1979): queries are
//! drawn anew with replacement, as many as there are, and the mean of each such sample is taken. The
//! middle 95 % of these means are the interval (percentile method). It says how far another draw of
//! such queries may lead, and nothing about queries of another kind.
//!
//! All that is known of a query is drawn together, and the draws depend on seed and number of queries
//! alone: two searches of the same queries, resampled with one seed, stay paired, and the interval of
//! their difference ([`Sampled::minus`]) is one over queries.

use rayon::prelude::*;
use serde::Serialize;

/// What lies outside of an interval, at each end.
const TAIL: f64 = 0.025;

/// Steele, Lea & Flood's SplitMix64 (OOPSLA 2014), by Vigna's constants.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator apart for each `stream` of one seed: neighboring ones share no run of numbers.
    pub fn of_stream(seed: u64, stream: u64) -> Self {
        let mut streams = Self(stream ^ 0x6A09_E667_F3BC_C909);
        Self(streams.next_u64() ^ seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `n`; the bias is below `n` in 2⁶⁴.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

/// The value below which lies `share` of `sorted`, between neighbors in proportion, as NumPy has it.
///
/// # Panics
/// If there is no value.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    below + (above - below) * rank.fract()
}

/// A mean and where 95 % of its resamples lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Over the queries as they are.
    pub mean: f64,
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

impl Interval {
    fn of(mean: f64, mut resamples: Vec<f64>) -> Self {
        resamples.sort_unstable_by(f64::total_cmp);
        Self { mean, low: quantile(&resamples, TAIL), high: quantile(&resamples, 1.0 - TAIL) }
    }

    /// Half of its width: the ± of a table, which for a skewed interval is no more than a hint.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// The mean of one measure, and its mean in each resample.
#[derive(Clone, Debug)]
pub struct Sampled {
    mean: f64,
    resamples: Vec<f64>,
}

impl Sampled {
    /// The mean and its interval.
    pub fn interval(&self) -> Interval {
        Interval::of(self.mean, self.resamples.clone())
    }

    /// The difference to another measure of the same queries, resampled with the same seed.
    pub fn minus(&self, other: &Sampled) -> Sampled {
        let pairs = self.resamples.iter().zip(&other.resamples);
        Sampled { mean: self.mean - other.mean, resamples: pairs.map(|(a, b)| a - b).collect() }
    }

    /// How many times the mean of `other` this is, with the interval of that. `None` where `other` is
    /// 0 or below in any resample: a ratio to what may be nothing has no bounds.
    pub fn over(&self, other: &Sampled) -> Option<Interval> {
        if other.mean <= 0.0 || other.resamples.iter().any(|&mean| mean <= 0.0) {
            return None;
        }
        let pairs = self.resamples.iter().zip(&other.resamples);
        Some(Interval::of(self.mean / other.mean, pairs.map(|(a, b)| a / b).collect()))
    }
}

/// Resamples `rows`, one a query with all its measures, `resamples` times, on the threads of the
/// pool that it is called in: any number of them gives the same. `None` where there is no row.
///
/// # Panics
/// If `resamples` is 0.
pub fn resample<const MEASURES: usize>(
    rows: &[[f64; MEASURES]],
    resamples: usize,
    seed: u64,
) -> Option<[Sampled; MEASURES]> {
    assert!(resamples > 0, "an interval takes at least one resample");
    let n = rows.len();
    if n == 0 {
        return None;
    }
    let means: Vec<[f64; MEASURES]> = (0..resamples as u64)
        .into_par_iter()
        .map(|stream| {
            let mut random = SplitMix64::of_stream(seed, stream);
            mean((0..n).map(|_| &rows[random.below(n)]))
        })
        .collect();
    let whole = mean(rows.iter());
    Some(std::array::from_fn(|at| Sampled {
        mean: whole[at],
        resamples: means.iter().map(|means| means[at]).collect(),
    }))
}

fn mean<'a, const MEASURES: usize>(
    rows: impl ExactSizeIterator<Item = &'a [f64; MEASURES]>,
) -> [f64; MEASURES] {
    let count = rows.len() as f64;
    let mut sums = [0.0; MEASURES];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums.map(|sum| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros and ones, and beside them a spread of values.
    fn rows(n: usize) -> Vec<[f64; 2]> {
        let mut random = SplitMix64::new(5);
        (0..n).map(|_| [random.below(2) as f64, random.below(1000) as f64]).collect()
    }

    #[test]
    fn intervals_hold_the_mean_and_shrink_with_the_queries() {
        let mut widths = Vec::new();
        for n in [50, 500, 5_000] {
            let rows = rows(n);
            let [hits, values] = resample(&rows, 1_000, 3).unwrap();
            for (at, sampled) in [hits, values].iter().enumerate() {
                let Interval { mean, low, high } = sampled.interval();
                let expected = rows.iter().map(|row| row[at]).sum::<f64>() / n as f64;
                assert!((mean - expected).abs() < 1e-9 && low < mean && mean < high);
                // The normal approximation, which a thousand resamples are within a tenth of.
                let variance = rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>();
                let normal = 1.96 * variance.sqrt() / n as f64;
                let half = sampled.interval().half_width();
                assert!((half / normal - 1.0).abs() < 0.1, "{half} beside {normal}");
                widths.push(half);
            }
        }
        assert!(widths[0] > widths[2] && widths[2] > widths[4], "{widths:?}");
    }

    #[test]
    fn the_seed_decides_and_threads_do_not() {
        let rows = rows(300);
        let of = |threads: usize, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let [_, values] = pool.install(|| resample(&rows, 200, seed)).unwrap();
            values.interval()
        };
        assert_eq!(of(1, 7), of(3, 7));
        assert_ne!(of(1, 7), of(1, 8));
        assert!(resample::<1>(&[], 10, 1).is_none());
    }

    #[test]
    fn differences_are_paired_by_query() {
        let one = rows(400);
        // Each query loses exactly 3, however far the queries lie apart.
        let two: Vec<[f64; 2]> = one.iter().map(|row| [row[0], row[1] - 3.0]).collect();
        let ([_, one], [hits, two]) =
            (resample(&one, 100, 1).unwrap(), resample(&two, 100, 1).unwrap());
        let Interval { mean, low, high } = one.minus(&two).interval();
        assert!([mean, low, high].iter().all(|value| (value - 3.0).abs() < 1e-9));
        assert!(one.interval().half_width() > 10.0);
        let ratio = one.minus(&two).over(&hits).unwrap();
        assert!(
            ratio.low < ratio.mean && ratio.mean < ratio.high && (5.0..7.0).contains(&ratio.mean)
        );
        assert_eq!(hits.over(&hits.minus(&hits)), None);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(
            [0.0, 0.5, 0.75, 1.0].map(|share| quantile(&sorted, share)),
            [1.0, 3.0, 5.0, 8.0]
        );
    }
}
