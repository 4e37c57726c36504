//! The calibration: what effort reaches which recall on the graph that was just built.
//!
//! Which slack of the stop means what depends on the set: on one the 80th nearest is 5 % farther than
//! the 10th, on another 50 %. So slacks are taken from the set itself: where in the middle query the
//! list of `multiple · k` candidates ends, as a multiple of the `k`th distance.

use crate::builder::questions::{Answer, Questions, mean};
use crate::search::{SearchParams, Target, default_rerank};
use crate::segments::calibration::{Calibration, CalibrationPath, CalibrationPoint};

/// Numbers of results that are calibrated, where there are so many items, and one in how many
/// questions each is asked: a question for more results costs more and says more.
const KS: [(usize, usize); 3] = [(10, 1), (100, 5), (1000, 25)];

/// An index has at least so many items per result that is calibrated: below, searches are scans.
const ITEMS_PER_RESULT: usize = 64;

/// Lists and slacks tried, as multiples of `k`.
const MULTIPLES: [f32; 16] =
    [0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 23.0, 32.0];

/// Longer lists than this are not tried, unless they are no longer than four times `k`: inserting into
/// them costs more than what they find.
const LIST_MAX: usize = 2400;

/// For a path with a slack: how long its lists are, as multiples of where the stop ends a middling
/// search. The longer one lets hard queries look farther.
const ROOM: [f32; 2] = [1.5, 4.0];

/// Two measured points next to each other lie no farther apart in recall, from [`REFINED_FROM`] on, if there
/// is an effort between theirs: what is interpolated is a straight line.
const STEP_MAX: f32 = 0.02;

/// Nobody asks for less than this.
const REFINED_FROM: f32 = 0.8;

/// Slacks that differ by less are one.
const SLACK_STEP: f32 = 0.001;

/// Recall from which nothing is left to gain.
const ALL_FOUND: f32 = 0.9995;

/// What fewer reranked candidates may cost.
const RERANK_LOSS: f32 = 0.0005;

/// The entries of [`KS`] for `n` items.
pub(super) fn calibrated_ks(n: usize) -> impl Iterator<Item = (usize, usize)> {
    KS.into_iter().filter(move |(k, _)| n >= k * ITEMS_PER_RESULT)
}

/// Measures paths for every `k`. `clock`: whether to note times. Cost: some thirty searches a
/// question.
pub(super) fn calibrate(
    questions: &Questions,
    from: &str,
    target: &Target<'_>,
    clock: bool,
    pool: &rayon::ThreadPool,
) -> Calibration {
    let mut paths = Vec::new();
    for (k, one_in) in calibrated_ks(target.vectors.len()) {
        let count = questions.len().div_ceil(one_in);
        let bench = Bench { questions, count, target, k, clock, pool };
        paths.extend(bench.paths());
    }
    paths.retain(|path| !path.points.is_empty());
    Calibration { queries_from: from.to_owned(), queries: questions.len() as u32, paths }
}

/// The questions for one `k`.
struct Bench<'a> {
    questions: &'a Questions,
    count: usize,
    target: &'a Target<'a>,
    k: usize,
    clock: bool,
    pool: &'a rayon::ThreadPool,
}

impl Bench<'_> {
    /// Lists of rising size, and for each [`ROOM`] lists with the slacks that those ended at.
    fn paths(&self) -> Vec<CalibrationPath> {
        let rerank = self.rerank();
        let list = |multiple: f32| (self.k as f32 * multiple).round() as usize;
        let tried = |multiple: &f32| *multiple <= 4.0 || list(*multiple) <= LIST_MAX;
        let multiples: Vec<f32> = MULTIPLES.into_iter().filter(tried).collect();
        let steps: Vec<_> = multiples.iter().map(|multiple| (list(*multiple), None)).collect();
        let (lists, spans) = self.path(rerank, &steps);
        let ends: Vec<(f32, f32)> = multiples
            .into_iter()
            .zip(spans)
            .filter(|(_, span)| *span > 1.0 && span.is_finite())
            .collect();
        let mut paths = vec![lists];
        for room in ROOM {
            let steps: Vec<(usize, Option<f32>)> =
                ends.iter().map(|(multiple, span)| (list(multiple * room), Some(*span))).collect();
            paths.push(self.path(rerank, &steps).0);
        }
        paths
    }

    /// Measures steps of rising effort, as long as there is something to gain, and where each ended.
    fn path(&self, rerank: usize, steps: &[(usize, Option<f32>)]) -> (CalibrationPath, Vec<f32>) {
        let mut points: Vec<CalibrationPoint> = Vec::new();
        let mut spans = Vec::new();
        for (ef, slack) in steps {
            let (point, span) = self.point(*ef, *slack, rerank);
            spans.push(span);
            let last = points.last().map_or(-1.0, |last| last.recall);
            // A step that finds no more costs more for nothing.
            if point.recall > last {
                points.push(point);
            }
            if points.last().is_some_and(|last| last.recall >= ALL_FOUND) {
                break;
            }
        }
        self.refine(&mut points, rerank);
        (CalibrationPath { k: self.k as u32, points }, spans)
    }

    /// Measures between points that lie far apart.
    fn refine(&self, points: &mut Vec<CalibrationPoint>, rerank: usize) {
        let mut at = 1;
        while let Some([low, high]) = points.get(at - 1..=at) {
            let far = high.recall >= REFINED_FROM && high.recall - low.recall > STEP_MAX;
            if let Some((ef, slack)) = middle(low, high).filter(|_| far) {
                let (point, _) = self.point(ef, slack, rerank);
                if low.recall < point.recall && point.recall < high.recall {
                    points.insert(at, point);
                    continue;
                }
            }
            at += 1;
        }
    }

    /// The least number of reranked candidates that costs next to nothing, at a middling effort.
    fn rerank(&self) -> usize {
        let Some(codes) = self.target.codes else { return self.k };
        let most = 2 * default_rerank(codes.layout().kind(), self.k, self.k);
        let recall = |rerank| self.point(most.max(4 * self.k), None, rerank).0.recall;
        let enough = recall(most) - RERANK_LOSS;
        let extra = [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3];
        let tried = extra.map(|extra| self.k + (self.k as f32 * extra).ceil() as usize);
        let tried: Vec<usize> = tried.into_iter().filter(|rerank| *rerank < most).collect();
        // More candidates never find less.
        let first = tried.partition_point(|rerank| recall(*rerank) < enough);
        tried.get(first).copied().unwrap_or(most)
    }

    /// Asks all questions; what came of it, and where the list of the middle query ended.
    fn point(&self, ef: usize, slack: Option<f32>, rerank: usize) -> (CalibrationPoint, f32) {
        let params =
            SearchParams { ef: Some(ef), slack, rerank: Some(rerank), ..SearchParams::top(self.k) };
        let answers = self.questions.ask(self.count, self.target, &params, self.pool);
        let middle = |of: fn(&Answer) -> f32| {
            let mut values: Vec<f32> = answers.iter().map(of).collect();
            values.sort_unstable_by(f32::total_cmp);
            values.get(values.len() / 2).copied()
        };
        let point = CalibrationPoint {
            ef: ef as u32,
            slack,
            rerank: rerank as u32,
            recall: mean(&answers, |answer| answer.recall.by_id) as f32,
            distances: mean(&answers, |answer| answer.distances as f64) as f32,
            microseconds: middle(|answer| answer.seconds as f32 * 1e6).filter(|_| self.clock),
        };
        (point, middle(|answer| answer.span).unwrap_or(1.0))
    }
}

/// The effort in the middle between two of one path, as it is interpolated; none where there is none between.
fn middle(low: &CalibrationPoint, high: &CalibrationPoint) -> Option<(usize, Option<f32>)> {
    let between = low.effort().towards(high.effort(), 0.5);
    let ef = (low.ef as usize + 1..high.ef as usize).contains(&between.ef);
    let slack = low.slack.zip(high.slack).is_some_and(|(a, b)| b - a > SLACK_STEP);
    (ef || slack).then_some((between.ef, between.slack))
}
