//! Runbooks of insertions, deletions and replacements, replayed by exact scan over what is live:
//! there is no index that takes updates yet.

use std::path::Path;

use serde_json::json;
use vicinage_datasets::read_runbook;

use super::builds::SearchSpec;
use super::cache::Cache;
use super::points::{Facts, Ground, Way};
use super::rounds::{Pace, histogram, percentiles_us};
use crate::exit::Failure;
use crate::machine;
use crate::progress::Reporter;
use crate::results::{Params, Point, Results};
use crate::runbook::Base;
use crate::runbook::replay::{StepFigures, Stream, replay};

/// Replays the runbook once, and adds a point for each search step that `results` has not; all
/// points are given back.
pub(crate) fn measure(
    ground: &Ground<'_>,
    cache: &Cache,
    path: &Path,
    results: &mut Results,
    report: &Reporter,
) -> Result<Vec<Point>, Failure> {
    let Ground { set, queries, k, .. } = *ground;
    let runbook = read_runbook(path, None)?;
    let base = Base::read(&set.base, &runbook, report)?;
    queries.check_dim(&set.queries, base.dim(), &set.base.to_string())?;
    let truth = cache.runbook_truth(path, &runbook, &base, queries, k, report)?;
    let stream =
        Stream { runbook: &runbook, base: &base, queries, metric: set.metric, k, truth: &truth };
    let build = Params::from_iter([("index".to_owned(), json!("flat"))]);
    let facts = Facts::of_scan(base.rows(), base.dim(), set.metric, build);
    let way = Way { search: SearchSpec::exact(), threads: 1, pace: Pace::Closed };
    let mut points = Vec::new();
    for step in replay(&stream, report)? {
        let point = point(ground, &facts, way, step)?;
        match results.find(&point.key()) {
            Some(known) => points.push(known.clone()),
            None => {
                results.add(point.clone())?;
                points.push(point);
            }
        }
    }
    Ok(points)
}

fn point(
    ground: &Ground<'_>,
    facts: &Facts,
    way: Way,
    step: StepFigures,
) -> Result<Point, Failure> {
    let mut latencies = histogram()?;
    step.nanos.iter().for_each(|&nanos| latencies.saturating_record(nanos));
    let [p50_us, p95_us, p99_us, p999_us] = percentiles_us(&latencies);
    let seconds = step.nanos.iter().sum::<u64>() as f64 / 1e9;
    let qps = step.nanos.len() as f64 / seconds.max(1e-9);
    Ok(Point {
        recall_id: step.recall.id,
        recall_distance: step.recall.distance,
        qps,
        qps_median: qps,
        qps_rounds: vec![qps],
        p50_us,
        p95_us,
        p99_us,
        p999_us,
        distances_per_query: Some(step.distances_per_query),
        visited_per_query: Some(step.distances_per_query),
        stream: Some(step.stream),
        time: machine::now(),
        ..ground.line(facts, way)
    })
}
