//! A runbook replayed on the exact index.

use std::path::Path;
use std::time::{Duration, Instant};

use vicinage::kernels::Element;
use vicinage::progress::Progress;
use vicinage::scan::TopK;
use vicinage::types::Metric;
use vicinage::with_element;
use vicinage_datasets::{IdMatrix, Runbook, Update, read_ids};

use super::base::Base;
use super::flat::Flat;
use super::truth::step_file;
use crate::exit::Failure;
use crate::measure::{Answers, Recall, recall};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::StreamFigures;

/// What is replayed.
pub(crate) struct Stream<'a> {
    pub(crate) runbook: &'a Runbook,
    pub(crate) base: &'a Base,
    pub(crate) queries: &'a Queries,
    pub(crate) metric: Metric,
    pub(crate) k: usize,
    /// The folder of the neighbors at each search step; see [`step_file`].
    pub(crate) truth: &'a Path,
}

/// What a search step gave.
pub(crate) struct StepFigures {
    pub(crate) stream: StreamFigures,
    /// Over the `k` nearest, or all that was live where that was less.
    pub(crate) recall: Recall,
    /// Nanoseconds of each search, in the order of the queries.
    pub(crate) nanos: Vec<u64>,
    pub(crate) distances_per_query: f64,
}

/// Replays a runbook on this thread by exact scan over what is live, as a stage of `report`. Only
/// the ids of the truth are taken from its files: the distances are computed, so that files of any
/// sign will do.
pub(crate) fn replay(stream: &Stream<'_>, report: &Reporter) -> Result<Vec<StepFigures>, Failure> {
    with_element!(stream.base.vectors().element, E => run::<E>(stream, report))
}

fn run<E: Element>(stream: &Stream<'_>, report: &Reporter) -> Result<Vec<StepFigures>, Failure> {
    let steps = stream.runbook.steps();
    report.start("replay", Some(steps.len() as u64), "steps");
    let mut flat = Flat::<E>::new(stream.base, stream.metric);
    let mut figures = Vec::new();
    let (mut updated, mut spent) = (0, Duration::ZERO);
    for (step, update) in (1..).zip(steps) {
        report.interrupt().check()?;
        if *update == Update::Search {
            let rate = (updated > 0).then(|| updated as f64 / spent.as_secs_f64().max(1e-9));
            figures.push(search(stream, &flat, step, rate)?);
            (updated, spent) = (0, Duration::ZERO);
        } else {
            let started = Instant::now();
            flat.apply(update);
            spent += started.elapsed();
            updated += update.items();
        }
        report.advance(1);
    }
    report.finish();
    Ok(figures)
}

fn search<E: Element>(
    stream: &Stream<'_>,
    flat: &Flat<'_, E>,
    step: u64,
    updates_per_second: Option<f64>,
) -> Result<StepFigures, Failure> {
    let Stream { queries, metric, .. } = *stream;
    let k = stream.k.min(flat.len());
    let truth = true_neighbors(stream, flat, step, k)?;
    let (mut answers, mut nanos) = (Answers::default(), Vec::with_capacity(queries.rows()));
    let (mut top, mut found) = (TopK::default(), Vec::new());
    for row in 0..queries.rows() {
        let started = Instant::now();
        flat.search(queries.row(row), k, &mut top, &mut found);
        nanos.push(started.elapsed().as_nanos() as u64);
        answers.push_found(&found);
    }
    let live = flat.len() as u64;
    let runbook = stream.runbook.name().to_owned();
    Ok(StepFigures {
        stream: StreamFigures { runbook, step, live, updates_per_second },
        recall: recall(metric, &answers, &truth, k),
        nanos,
        distances_per_query: live as f64,
    })
}

/// The true neighbors at a step, with the distances that our kernels give them.
fn true_neighbors<E: Element>(
    stream: &Stream<'_>,
    flat: &Flat<'_, E>,
    step: u64,
    k: usize,
) -> Result<Answers, Failure> {
    let path = step_file(stream.truth, step);
    let ids: IdMatrix = read_ids(&path.clone().into())?;
    let refused = || Failure::data(format!("{} is not the truth of this replay", path.display()));
    if ids.rows() != stream.queries.rows() {
        let expected = format!("{} rows, one a query", stream.queries.rows());
        return Err(refused().expected(expected, ids.rows().to_string()));
    }
    let mut truth = Answers::default();
    for (row, tags) in ids.iter().enumerate() {
        let place = || refused().at(format!("row {row}"));
        let Some(tags) = tags.get(..k) else {
            return Err(place().expected(format!("{k} tags"), tags.len().to_string()));
        };
        let Some(distances) = flat.distances(stream.queries.row(row), tags) else {
            return Err(place().expected(format!("tags that are live at step {step}"), "another"));
        };
        let scores: Vec<f32> = distances.iter().map(|&d| stream.metric.score(d)).collect();
        truth.push_truth(stream.metric, tags, &scores);
    }
    Ok(truth)
}
