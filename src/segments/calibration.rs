//! What effort reaches which recall: measured when an index is built, stored in the segment, read
//! when a request names a recall in place of an effort.
//!
//! Searches differ in three parameters, and for each number of results `k` a calibration follows a
//! few *paths* through them on which recall rises: the candidate list grows; or the list is long and
//! the slack of the stop grows; or both. A request takes the path that is cheapest at the recall that
//! it names, at a place interpolated between two measured points.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A larger section is refused.
pub const CALIBRATION_BYTES_MAX: usize = 1 << 20;

/// The calibration section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct Calibration {
    /// What was asked: `queries`, given to the build, or `items` as a stand-in, each without itself.
    /// Items flatter an index whose users are distributed otherwise.
    pub queries_from: String,
    /// How many were asked.
    pub queries: u32,
    /// By rising `k`, those of one `k` together.
    pub paths: Vec<CalibrationPath>,
}

/// Points by rising recall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct CalibrationPath {
    /// Results per query.
    pub k: u32,
    /// What was measured.
    pub points: Vec<CalibrationPoint>,
}

/// An effort and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct CalibrationPoint {
    /// Size of the candidate list.
    pub ef: u32,
    /// Slack of the stop, if there is one.
    pub slack: Option<f32>,
    /// Candidates scored on their vectors.
    pub rerank: u32,
    /// Mean recall@k by id.
    pub recall: f32,
    /// Mean distances computed.
    pub distances: f32,
    /// Median time of a query, all cores searching; `None` in a deterministic build.
    pub microseconds: Option<f32>,
}

/// How hard a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Effort {
    /// Size of the candidate list.
    pub ef: usize,
    /// Slack of the stop, if there is one.
    pub slack: Option<f32>,
    /// Candidates scored on their vectors.
    pub rerank: usize,
    /// The recall to expect: what was asked for, or the best that was measured where that is less.
    pub recall: f32,
    /// The distances to expect.
    pub distances: f32,
    /// The median time to expect, on the machine that measured; `None` where it took no times.
    pub microseconds: Option<f32>,
}

impl Calibration {
    /// The bytes of the section.
    pub fn encode(&self) -> Result<Vec<u8>, wincode::WriteError> {
        wincode::serialize(self)
    }

    /// Reads the section; what is wrong comes as text.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > CALIBRATION_BYTES_MAX {
            return Err(format!("{} bytes, more than {CALIBRATION_BYTES_MAX}", bytes.len()));
        }
        let read: Self = wincode::deserialize_exact(bytes).map_err(|error| error.to_string())?;
        let usable = |path: &CalibrationPath| {
            path.k > 0
                && !path.points.is_empty()
                && path.points.iter().all(CalibrationPoint::usable)
        };
        match read.paths.iter().position(|path| !usable(path)) {
            None => Ok(read),
            Some(at) => Err(format!("path {at} is empty or has a number out of range")),
        }
    }

    /// The numbers of results that were calibrated, rising.
    pub fn ks(&self) -> Vec<usize> {
        let mut ks: Vec<usize> = self.paths.iter().map(|path| path.k as usize).collect();
        ks.dedup();
        ks
    }

    /// The cheapest effort that is expected to reach `recall` for `k` results; `None` where nothing
    /// was measured. Between two calibrated `k` both are asked, and what they say per result is
    /// interpolated over the logarithm of `k`.
    pub fn effort(&self, k: usize, recall: f32) -> Option<Effort> {
        let calibrated = |least: bool| {
            let ks = self.paths.iter().map(|path| path.k as usize);
            if least { ks.filter(|c| *c <= k).max() } else { ks.filter(|c| *c >= k).min() }
        };
        match (calibrated(true), calibrated(false)) {
            (None, None) => None,
            // Fewer results than were ever measured: a list that was long enough for more.
            (None, Some(more)) => self.at(more, recall),
            (Some(fewer), None) => Some(self.at(fewer, recall)?.scaled(fewer, k)),
            (Some(fewer), Some(more)) if fewer == more => self.at(k, recall),
            (Some(fewer), Some(more)) => {
                let share = (k as f32 / fewer as f32).ln() / (more as f32 / fewer as f32).ln();
                let low = self.at(fewer, recall)?.scaled(fewer, k);
                let high = self.at(more, recall)?.scaled(more, k);
                Some(low.towards(high, share))
            }
        }
    }

    /// The cheapest effort for a calibrated `k`.
    fn at(&self, k: usize, recall: f32) -> Option<Effort> {
        let paths = self.paths.iter().filter(|path| path.k as usize == k);
        let efforts: Vec<Effort> = paths.filter_map(|path| path.effort(recall)).collect();
        let best = efforts.iter().map(|effort| effort.recall).fold(0.0, f32::max);
        // Interpolated recall is what was asked for up to a rounding.
        let enough = recall.min(best) - 1e-6;
        let reached = efforts.into_iter().filter(|effort| effort.recall >= enough);
        reached.min_by(|a, b| a.distances.total_cmp(&b.distances))
    }
}

impl CalibrationPath {
    /// The effort on this path that is expected to reach `recall`, or its last where none does.
    fn effort(&self, recall: f32) -> Option<Effort> {
        let points: Vec<Effort> = self.points.iter().map(CalibrationPoint::effort).collect();
        let Some(after) = points.iter().position(|point| point.recall >= recall) else {
            return points.last().copied();
        };
        let Some(before) = after.checked_sub(1) else { return points.first().copied() };
        let (low, high) = (points[before], points[after]);
        let share = (recall - low.recall) / (high.recall - low.recall);
        Some(low.towards(high, share))
    }
}

impl CalibrationPoint {
    fn usable(&self) -> bool {
        let slack = self.slack.unwrap_or(1.0);
        self.ef > 0 && slack >= 1.0 && (0.0..=1.0).contains(&self.recall) && self.distances >= 0.0
    }

    /// As an effort.
    pub fn effort(&self) -> Effort {
        let Self { ef, slack, rerank, recall, distances, microseconds } = *self;
        let (ef, rerank) = (ef as usize, rerank as usize);
        Effort { ef, slack, rerank, recall, distances, microseconds }
    }
}

impl Effort {
    /// The effort for `to` results that is to them what this is to `from`.
    fn scaled(self, from: usize, to: usize) -> Self {
        let scaled = |count: usize| (count * to).div_ceil(from);
        Self { ef: scaled(self.ef), rerank: scaled(self.rerank), ..self }
    }

    /// What lies between this and another effort: lists grow by factors, slack in steps. Between a
    /// list that a slack ends and one that ends itself lies nothing, so it is the nearer of the two.
    pub fn towards(self, other: Self, share: f32) -> Self {
        let share = share.clamp(0.0, 1.0);
        if self.slack.is_some() != other.slack.is_some() {
            return if share < 0.5 { self } else { other };
        }
        let between = |a: f32, b: f32| a + (b - a) * share;
        let count = |a: usize, b: usize| {
            between((a.max(1) as f32).ln(), (b.max(1) as f32).ln()).exp().round() as usize
        };
        Self {
            ef: count(self.ef, other.ef),
            slack: self.slack.zip(other.slack).map(|(a, b)| between(a, b)),
            rerank: count(self.rerank, other.rerank),
            recall: between(self.recall, other.recall),
            distances: between(self.distances, other.distances),
            microseconds: self.microseconds.zip(other.microseconds).map(|(a, b)| between(a, b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(ef: u32, slack: Option<f32>, recall: f32, distances: f32) -> CalibrationPoint {
        CalibrationPoint { ef, slack, rerank: ef / 2, recall, distances, microseconds: None }
    }

    fn calibration() -> Calibration {
        let paths = vec![
            CalibrationPath {
                k: 10,
                points: vec![point(10, None, 0.8, 100.0), point(40, None, 0.96, 400.0)],
            },
            CalibrationPath {
                k: 10,
                points: vec![point(80, Some(1.1), 0.9, 300.0), point(80, Some(1.3), 0.98, 380.0)],
            },
            CalibrationPath { k: 1000, points: vec![point(2000, None, 0.99, 9000.0)] },
        ];
        Calibration { queries_from: "queries".to_owned(), queries: 100, paths }
    }

    #[test]
    fn the_cheapest_path_is_taken_between_its_points() {
        let calibration = calibration();
        let low = calibration.effort(10, 0.88).unwrap();
        assert_eq!((low.ef, low.slack), (20, None), "halfway by factors, on the cheaper path");
        let high = calibration.effort(10, 0.94).unwrap();
        assert_eq!(high.ef, 80);
        assert!((high.slack.unwrap() - 1.2).abs() < 1e-6);
        assert!((high.recall - 0.94).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_reached_is_the_best_there_is_and_says_so() {
        let best = calibration().effort(10, 0.999).unwrap();
        assert_eq!((best.ef, best.slack, best.recall), (80, Some(1.3), 0.98));
    }

    #[test]
    fn other_k_lie_between_and_beyond() {
        let calibration = calibration();
        assert_eq!(calibration.effort(1, 0.9).unwrap(), calibration.effort(10, 0.9).unwrap());
        assert_eq!(calibration.effort(2000, 0.9).unwrap().ef, 4000);
        let nearer_10 = calibration.effort(50, 0.96).unwrap();
        assert_eq!((nearer_10.ef, nearer_10.slack.is_some()), (400, true));
        let nearer_1000 = calibration.effort(200, 0.96).unwrap();
        assert_eq!((nearer_1000.ef, nearer_1000.slack), (400, None));
        let none = Calibration { paths: Vec::new(), ..calibration };
        assert_eq!(none.effort(10, 0.9), None);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut bad = calibration();
        assert_eq!(Calibration::decode(&bad.encode().unwrap()).unwrap(), bad);
        bad.paths[0].points[1].recall = f32::NAN;
        assert!(Calibration::decode(&bad.encode().unwrap()).is_err());
        bad.paths[0].points.clear();
        assert!(Calibration::decode(&bad.encode().unwrap()).is_err());
    }
}
