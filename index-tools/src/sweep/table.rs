//! The points of a set, as people read them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::curves::median;
use crate::results::{FilterFigures, Point};
use crate::text::{BOLD, Table, styled};
use crate::units;

/// The points of one set at one k.
pub(crate) fn of(points: &[Point]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let mut text = format!(
        "{}  {} × {}, {}; k {}\n",
        styled(BOLD, &first.dataset),
        units::count(first.n),
        first.dim,
        first.metric,
        first.k,
    );
    let varied = varied(points);
    let workload: &[&str] = if first.filter.is_some() {
        &["shape<", "pass"]
    } else if first.stream.is_some() {
        &["step", "live"]
    } else {
        &[]
    };
    let of_filters: &[&str] =
        if first.filter.is_some() { &["of 5 %", "least", "short"] } else { &[] };
    let recalls = ["recall by id", "by distance"].iter().chain(of_filters).copied();
    let times = ["queries/s", "spread", "p50", "p99"];
    let names = varied.iter().map(String::as_str).chain(workload.iter().copied());
    let mut table = Table::new(names.chain(["search", "threads"]).chain(recalls).chain(times));
    for point in points {
        table.row(cells(point, &varied));
    }
    table.write(&mut text);
    text
}

fn cells(point: &Point, varied: &[String]) -> Vec<String> {
    let time = |micros: Option<f64>| micros.map_or(String::new(), |us| units::seconds(us / 1e6));
    let mut cells: Vec<String> = varied.iter().map(|name| shown(point.build.get(name))).collect();
    if let Some(filter) = &point.filter {
        cells.extend([filter.shape.clone(), pass(filter)]);
    }
    if let Some(stream) = &point.stream {
        cells.extend([stream.step, stream.live].map(units::count));
    }
    cells.extend([
        search(&point.search),
        point.threads.to_string(),
        units::share(point.recall_id),
        units::share(point.recall_distance),
    ]);
    if let Some(filter) = &point.filter {
        cells.extend([filter.recall_p5, filter.recall_min, filter.shortfall].map(units::share));
    }
    cells.extend([
        units::count(point.qps_median.round() as u64),
        spread(&point.qps_rounds),
        time(point.p50_us),
        time(point.p99_us),
    ]);
    cells
}

/// How much passes a filter.
pub(super) fn pass(filter: &FilterFigures) -> String {
    format!("{:.4} %", 100.0 * filter.selectivity)
}

/// The parameters of a search.
pub(super) fn search<'a>(params: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    let named = params.into_iter().map(|(name, value)| format!("{name} {}", shown(Some(value))));
    named.collect::<Vec<_>>().join(" ")
}

/// Parameters in which the builds differ.
fn varied(points: &[Point]) -> Vec<String> {
    let Some(first) = points.first() else { return Vec::new() };
    let differs =
        |name: &&String| points.iter().any(|p| p.build.get(*name) != first.build.get(*name));
    // A parameter that one build has and another leaves out is one of them.
    let names: BTreeSet<&String> = points.iter().flat_map(|point| point.build.keys()).collect();
    names.into_iter().filter(differs).cloned().collect()
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// How far the rounds lie apart, of their middle.
fn spread(rounds: &[f64]) -> String {
    let most = rounds.iter().copied().fold(0.0, f64::max);
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    format!("±{:.1} %", 50.0 * (most - least) / median(&mut rounds.to_vec()).max(1e-9))
}
