//! Curves of recall against speed: which points may be compared, the front of the best of them,
//! readings between its points, and intervals over rounds. `benches/peers/curve.py` reads the same.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use clap::ValueEnum;
use serde::Serialize;
use vicinage::eval::bootstrap::{SplitMix64, quantile};

use crate::results::Point;
use crate::units::count;

/// Recalls at which speeds are read where none are asked for.
pub(crate) const TARGETS: [f64; 4] = [0.90, 0.95, 0.98, 0.99];

/// Resamples of a bootstrap.
const DRAWS: usize = 10_000;

/// Which of the two recalls of a point counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecallBy {
    /// Share of the true ids that were found
    Id,
    /// ann-benchmarks' recall: as close as the kth true neighbor
    #[default]
    Distance,
}

impl RecallBy {
    pub(crate) fn of(self, point: &Point) -> f64 {
        match self {
            Self::Id => point.recall_id,
            Self::Distance => point.recall_distance,
        }
    }
}

impl Display for RecallBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "recall by id",
            Self::Distance => "recall by distance",
        })
    }
}

/// A set as it was searched: points of different sets, or for another k, are never compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Task {
    pub(crate) dataset: String,
    pub(crate) n: u64,
    pub(crate) dim: u64,
    pub(crate) metric: String,
    pub(crate) k: u64,
}

impl Task {
    pub(crate) fn of(point: &Point) -> Self {
        let Point { dataset, n, dim, metric, k, .. } = point;
        Self { dataset: dataset.clone(), n: *n, dim: *dim, metric: metric.clone(), k: *k }
    }

    /// `100,000 × 128, ip`.
    pub(crate) fn shape(&self) -> String {
        format!("{} × {}, {}", count(self.n), self.dim, self.metric)
    }
}

impl Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), k {}", self.dataset, self.shape(), self.k)
    }
}

/// What points must share to be compared. Whether queries went one by one or in one call is not
/// part of it: either way the threads were kept busy, and engines differ in what they offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) task: Task,
    pub(crate) threads: u64,
    /// Bits of the rate offered in open mode; those of positive numbers are ordered as they are.
    offered: Option<u64>,
    /// Workload and shape of a filter.
    pub(crate) filter: Option<(String, String)>,
    /// Runbook and step.
    pub(crate) step: Option<(String, u64)>,
}

impl Group {
    pub(crate) fn of(point: &Point) -> Self {
        let filter = point.filter.as_ref();
        let step = point.stream.as_ref();
        Self {
            task: Task::of(point),
            threads: point.threads,
            offered: point.offered_qps.map(f64::to_bits),
            filter: filter.map(|filter| (filter.workload.clone(), filter.shape.clone())),
            step: step.map(|step| (step.runbook.clone(), step.step)),
        }
    }

    /// Queries a second that were sent, in open mode.
    pub(crate) fn offered(&self) -> Option<f64> {
        self.offered.map(f64::from_bits)
    }

    /// Whether this is the k nearest neighbors and nothing more, as fast as they come.
    pub(crate) fn is_plain(&self) -> bool {
        self.offered.is_none() && self.filter.is_none() && self.step.is_none()
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.task, threads(self.threads))?;
        if let Some(offered) = self.offered() {
            write!(f, ", {offered} queries/s offered")?;
        }
        if let Some((workload, shape)) = &self.filter {
            write!(f, ", filter {workload} ({shape})")?;
        }
        if let Some((runbook, step)) = &self.step {
            write!(f, ", step {step} of {runbook}")?;
        }
        Ok(())
    }
}

/// Points by their group.
pub(crate) fn grouped<'a>(
    points: impl IntoIterator<Item = &'a Point>,
) -> BTreeMap<Group, Vec<&'a Point>> {
    let mut groups: BTreeMap<Group, Vec<&Point>> = BTreeMap::new();
    for point in points {
        groups.entry(Group::of(point)).or_default().push(point);
    }
    groups
}

/// `1 thread`, `8 threads`.
pub(crate) fn threads(threads: u64) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// The values that `key` has for `points`, each once, in order.
pub(crate) fn distinct<'a, K: Ord>(
    points: impl IntoIterator<Item = &'a Point>,
    key: impl Fn(&'a Point) -> K,
) -> Vec<K> {
    let mut keys: Vec<K> = points.into_iter().map(key).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// What a front says of the speed at a recall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "reading", rename_all = "snake_case")]
pub(crate) enum Reading {
    /// Measured there, or between two points of the front.
    Between { qps: f64 },
    /// The target lies below all that was measured: the lowest point does more, at this speed.
    AtLeast { qps: f64 },
    /// No point comes this far.
    NotReached,
}

impl Reading {
    pub(crate) fn qps(self) -> Option<f64> {
        match self {
            Self::Between { qps } | Self::AtLeast { qps } => Some(qps),
            Self::NotReached => None,
        }
    }
}

/// Places in `points` of those that no other beats in both: by rising recall, so by falling speed.
pub(crate) fn pareto(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    let by = |&at: &usize| points[at];
    order.sort_by(|a, b| by(b).0.total_cmp(&by(a).0).then(by(b).1.total_cmp(&by(a).1)));
    let mut front: Vec<usize> = Vec::new();
    for at in order {
        if front.last().is_none_or(|&last| points[at].1 > points[last].1) {
            front.push(at);
        }
    }
    front.reverse();
    front
}

/// Speed at a recall on `(recall, qps)` by rising recall, log-linear in speed between neighbors;
/// never extrapolated.
pub(crate) fn read_at(front: &[(f64, f64)], target: f64) -> Reading {
    let above = front.partition_point(|&(recall, _)| recall < target);
    match (above.checked_sub(1).map(|below| front[below]), front.get(above)) {
        (_, None) => Reading::NotReached,
        (None, Some(&(recall, qps))) if target < recall => Reading::AtLeast { qps },
        (Some((r0, q0)), Some(&(r1, q1))) if target < r1 => {
            let share = (target - r0) / (r1 - r0);
            Reading::Between { qps: (q0.ln() * (1.0 - share) + q1.ln() * share).exp() }
        }
        (_, Some(&(_, qps))) => Reading::Between { qps },
    }
}

/// The points of one engine in one group. Speeds are those of the middle round: the best of few
/// rounds is a matter of luck.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) points: Vec<&'a Point>,
    /// The points of the front, by rising recall.
    pub(crate) front: Vec<&'a Point>,
    recall: RecallBy,
}

impl<'a> Curve<'a> {
    pub(crate) fn new(points: impl IntoIterator<Item = &'a Point>, recall: RecallBy) -> Self {
        let points: Vec<&Point> = points.into_iter().collect();
        let pairs: Vec<_> = points.iter().map(|p| (recall.of(p), p.qps_median)).collect();
        let front = pareto(&pairs).into_iter().map(|at| points[at]).collect();
        Self { points, front, recall }
    }

    pub(crate) fn at(&self, target: f64) -> Reading {
        self.read(target, |point| point.qps_median)
    }

    /// The reading of one round, on the front of the medians: a front of each round anew would
    /// favor the engine with more points.
    pub(crate) fn at_in_round(&self, target: f64, round: usize) -> Reading {
        self.read(target, |point| point.qps_rounds.get(round).copied().unwrap_or(point.qps_median))
    }

    fn read(&self, target: f64, qps: impl Fn(&Point) -> f64) -> Reading {
        let front: Vec<_> = self.front.iter().map(|p| (self.recall.of(p), qps(p))).collect();
        read_at(&front, target)
    }

    /// The fewest and the most rounds of a point of the front.
    pub(crate) fn rounds(&self) -> (usize, usize) {
        let rounds = self.front.iter().map(|point| point.qps_rounds.len());
        (rounds.clone().min().unwrap_or(0), rounds.max().unwrap_or(0))
    }

    pub(crate) fn best_recall(&self) -> f64 {
        self.front.last().map_or(0.0, |point| self.recall.of(point))
    }
}

/// A median and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of `values`, one a round, and its bootstrap interval: rounds drawn anew with a
/// seeded generator. `values` has at least one.
pub(crate) fn median_interval(values: &[f64], seed: u64) -> Interval {
    let mut random = SplitMix64::new(seed);
    let mut drawn = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn.fill_with(|| values[(random.next_u64() % values.len() as u64) as usize]);
            median(&mut drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let [low, high] = [0.025, 0.975].map(|share| quantile(&medians, share));
    Interval { median: median(&mut values.to_vec()), low, high }
}

/// The middle value, or the mean of the middle two. Sorts `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(random: &mut SplitMix64) -> f64 {
        (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// What no other point beats: as good in both and better in one, or the same and before it.
    fn naive_front(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let beats = |a: (f64, f64), b: (f64, f64)| a.0 >= b.0 && a.1 >= b.1 && a != b;
        let mut front: Vec<_> =
            points.iter().copied().filter(|&p| !points.iter().any(|&q| beats(q, p))).collect();
        front.sort_by(|a, b| a.0.total_cmp(&b.0));
        front.dedup();
        front
    }

    /// The reading by trying every pair of points that are neighbors on the front.
    fn naive_reading(front: &[(f64, f64)], target: f64) -> Reading {
        if front.iter().all(|p| p.0 < target) {
            return Reading::NotReached;
        }
        if let Some(&(_, qps)) = front.iter().find(|p| p.0 == target) {
            return Reading::Between { qps };
        }
        for pair in front.windows(2) {
            if pair[0].0 < target && target < pair[1].0 {
                let slope = (pair[1].1 / pair[0].1).ln() / (pair[1].0 - pair[0].0);
                return Reading::Between { qps: pair[0].1 * (slope * (target - pair[0].0)).exp() };
            }
        }
        Reading::AtLeast { qps: front[0].1 }
    }

    #[test]
    fn fronts_and_readings_are_those_of_a_naive_search() {
        for seed in 0..400_u64 {
            let mut random = SplitMix64::new(seed);
            let many = 1 + (random.next_u64() % 30) as usize;
            // Coarse values, so that points share a recall or a speed.
            let mut coarse = |steps: f64| (draw(&mut random) * steps).ceil() / steps;
            let points: Vec<_> = (0..many).map(|_| (coarse(20.0), coarse(15.0) * 1e4)).collect();
            let front: Vec<_> = pareto(&points).into_iter().map(|at| points[at]).collect();
            assert_eq!(front, naive_front(&points), "seed {seed}");
            for target in (0..=42).map(|step| f64::from(step) / 41.0).chain([0.5, 0.95, 1.0]) {
                let (ours, naive) = (read_at(&front, target), naive_reading(&front, target));
                let same = match (ours, naive) {
                    (Reading::Between { qps: a }, Reading::Between { qps: b }) => {
                        (a / b - 1.0).abs() < 1e-9
                    }
                    (a, b) => a == b,
                };
                assert!(same, "seed {seed}, target {target}: {ours:?} against {naive:?}");
            }
        }
    }

    #[test]
    fn readings_by_hand() {
        let front = [(0.9, 100.0), (0.95, 50.0), (0.99, 10.0)];
        assert_eq!(read_at(&front, 0.5), Reading::AtLeast { qps: 100.0 });
        assert_eq!(read_at(&front, 0.9), Reading::Between { qps: 100.0 });
        assert_eq!(read_at(&front, 0.99), Reading::Between { qps: 10.0 });
        assert_eq!(read_at(&front, 0.991), Reading::NotReached);
        assert_eq!(read_at(&[], 0.0), Reading::NotReached);
        let halfway = read_at(&front, 0.97).qps().unwrap();
        assert!((halfway - (50.0_f64 * 10.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn intervals_hold_the_median_and_the_seed_decides() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        let values = [1.02, 0.98, 1.0, 1.05, 0.97];
        let interval = median_interval(&values, 7);
        assert_eq!(interval.median, 1.0);
        assert_eq!((interval.low, interval.high), (0.97, 1.05));
        assert_eq!(interval, median_interval(&values, 7));
        let even = median_interval(&[2.0; 6], 0);
        assert_eq!((even.low, even.median, even.high), (2.0, 2.0, 2.0));
    }
}
