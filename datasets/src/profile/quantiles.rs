//! Quantiles and histograms of a sample.

use serde::Serialize;

/// Bars of a histogram.
const BINS: usize = 16;

/// Quantiles of a sample; all 0 for an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The smallest.
    pub min: f64,
    /// 5 % are smaller.
    pub p5: f64,
    /// The middle.
    pub median: f64,
    /// 95 % are smaller.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    pub(crate) fn of(mut sample: Vec<f64>) -> Self {
        sample.sort_unstable_by(f64::total_cmp);
        let Some(last) = sample.len().checked_sub(1) else { return Self::default() };
        let at = |share: f64| sample[(last as f64 * share).round() as usize];
        Self { min: at(0.0), p5: at(0.05), median: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

/// The middle of a sample; 0 for an empty one.
pub(crate) fn median(sample: Vec<f64>) -> f64 {
    Quantiles::of(sample).median
}

/// How many values lie where, in bins of one width.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// Where the first bin begins.
    pub from: f64,
    /// Where the last bin ends.
    pub to: f64,
    /// Values in each bin. One bin where all values are the same.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Of values that lie between `from` and `to`.
    pub(crate) fn of(values: &[f64], from: f64, to: f64) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let width = (to - from) / BINS as f64;
        let mut counts = vec![0; if width > 0.0 { BINS } else { 1 }];
        for value in values {
            let bin = if width > 0.0 { ((value - from) / width) as usize } else { 0 };
            counts[bin.min(BINS - 1)] += 1;
        }
        Self { from, to, counts }
    }

    /// Where each bin begins and ends, and what it holds.
    pub fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let width = (self.to - self.from) / self.counts.len().max(1) as f64;
        let edge = move |at: usize| self.from + width * at as f64;
        self.counts.iter().enumerate().map(move |(at, &count)| (edge(at), edge(at + 1), count))
    }
}
