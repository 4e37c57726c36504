//! From points to charts: what each kind of picture shows.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::compare::target;
use crate::curves::{Curve, Group, Reading, Task, distinct, median, pareto, threads};
use crate::results::{Mode, Point};
use crate::text::printable;

use super::chart::{Axis, Chart, Faintness, Mark, Series};
use super::field::{Engine, Field};
use super::scale::{Stretch, number};
use super::scene::{Dash, Ink, Shape};
use super::style::Style;

/// What a picture shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Speed against recall
    #[default]
    RecallQps,
    /// Time of the build against speed at a recall
    Build,
    /// Bytes a vector against speed at a recall
    Memory,
    /// Percentiles of the latency against recall
    Latency,
    /// Recall and speed over the share of the items that a filter passes
    Filters,
    /// Speed at a recall over the number of threads
    Threads,
    /// Percentiles of the latency under a given load
    Load,
}

impl Kind {
    /// As a heading.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RecallQps => "recall and speed",
            Self::Build => "time of the build",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::Filters => "filters",
            Self::Threads => "threads",
            Self::Load => "latency under load",
        }
    }

    /// What points must have to be shown.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Self::RecallQps => "points without filter, offered load and runbook",
            Self::Build => "build_seconds, of an engine that reaches the recall",
            Self::Memory => "index_bytes_per_vector, of an engine that reaches the recall",
            Self::Latency => "p50_us to p999_us of points in closed mode",
            Self::Filters => "points with a filter",
            Self::Threads => "points with several numbers of threads that reach the recall",
            Self::Load => "points in open mode",
        }
    }

    /// The charts of one task; none where it lacks what they need.
    pub(super) fn charts(self, field: &Field, task: &Task) -> Vec<Chart> {
        let charts = match self {
            Self::RecallQps => vec![recall_qps(field, task)],
            Self::Build => {
                let axis = Axis::new("seconds to build", Stretch::Log);
                vec![cost(field, task, self, axis, |point| point.build_seconds)]
            }
            Self::Memory => {
                let axis = Axis::new("bytes a vector", Stretch::Log);
                vec![cost(field, task, self, axis, |point| point.index_bytes_per_vector)]
            }
            Self::Latency => PERCENTILES.iter().map(|p| latency(field, task, p)).collect(),
            Self::Filters => filters(field, task),
            Self::Threads => vec![scaling(field, task)],
            Self::Load => PERCENTILES.iter().map(|p| load(field, task, p)).collect(),
        };
        charts.into_iter().filter(|chart| !chart.series.is_empty()).collect()
    }
}

/// A percentile of the latency in µs, and its name.
type Percentile = (&'static str, fn(&Point) -> Option<f64>);

const PERCENTILES: [Percentile; 4] = [
    ("p50", |point| point.p50_us),
    ("p95", |point| point.p95_us),
    ("p99", |point| point.p99_us),
    ("p99.9", |point| point.p999_us),
];

const QPS: &str = "queries a second";

/// Words for a chart: which set, and what is worth knowing beside the axes.
fn blank(task: &Task, what: &str, about: &[String], axes: [Axis; 2]) -> Chart {
    const NAME: usize = 32;
    let mut name = printable(&task.dataset);
    if let Some((end, _)) = name.char_indices().nth(NAME) {
        name.replace_range(end.., "…");
    }
    let mut subtitle = printable(&task.shape());
    for part in about {
        subtitle += &format!(" · {part}");
    }
    let [x, y] = axes;
    Chart {
        title: format!("{name}, k {}: {what}", task.k),
        description: format!("{} against {}.", y.label, x.label),
        subtitle,
        x,
        y,
        series: Vec::new(),
        notes: Vec::new(),
    }
}

fn series(engine: &Engine, line: Vec<Mark>, beaten: Vec<Mark>) -> Series {
    let faintness = Faintness::Shade;
    Series { label: engine.label.clone(), style: engine.style, line, beaten, faintness }
}

/// Says which engines are missing, and what a dagger means.
fn remark(chart: &mut Chart, field: &Field, missing: &[&str]) {
    if !missing.is_empty() && !chart.series.is_empty() {
        let at = target(field.target);
        chart.notes.push(format!("{at} is not reached by {}", missing.join(", ")));
    }
    if chart.series.iter().any(|series| series.label.ends_with('†')) {
        chart.notes.push("† a loop in Python is part of the time".to_owned());
    }
}

fn recall_axis(field: &Field) -> Axis {
    Axis::new(field.recall.to_string(), Stretch::Recall)
}

/// The points of a task that are searches and nothing more, on one number of threads.
fn plain<'a>(field: &'a Field, task: &Task) -> (u64, Vec<&'a Point>) {
    let count = field.threads(task, Group::is_plain);
    (count, field.of_task(task, |group| group.is_plain() && group.threads == count))
}

fn recall_qps(field: &Field, task: &Task) -> Chart {
    let (count, points) = plain(field, task);
    let about = [threads(count), "up and right is better".to_owned()];
    let axes = [recall_axis(field), Axis::new(QPS, Stretch::Log)];
    let mut chart = blank(task, Kind::RecallQps.name(), &about, axes);
    for (engine, curve) in field.curves(&points) {
        let mark = |point: &Point| Mark {
            at: (field.recall.of(point), point.qps_median),
            note: field.note(point),
        };
        let beaten = curve.points.iter();
        let beaten = beaten.filter(|p| !curve.front.iter().any(|f| std::ptr::eq(*f, **p)));
        let beaten = beaten.map(|point| mark(point)).collect();
        let line = curve.front.iter().map(|point| mark(point)).collect();
        chart.series.push(series(engine, line, beaten));
        if let Some(qps) = curve.at(field.target).qps() {
            let (at, name) = (target(field.target), &engine.label);
            chart.description += &format!(" {name}: {qps:.0} at recall {at}.");
        }
    }
    remark(&mut chart, field, &[]);
    chart
}

/// What a build costs against how fast it answers at the recall: a point a build.
fn cost(
    field: &Field,
    task: &Task,
    kind: Kind,
    axis: Axis,
    cost: fn(&Point) -> Option<f64>,
) -> Chart {
    let (count, points) = plain(field, task);
    let better = "down and right is better".to_owned();
    let about = [field.recall.to_string(), threads(count), better];
    let label = format!("{QPS} at recall {}", target(field.target));
    let mut chart = blank(task, kind.name(), &about, [Axis::new(label, Stretch::Log), axis]);
    let mut missing = Vec::new();
    for (engine, curve) in field.curves(&points) {
        let mut builds: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
        for &point in curve.points.iter().filter(|point| cost(point).is_some()) {
            let build = serde_json::to_string(&point.build).unwrap_or_default();
            builds.entry(build).or_default().push(point);
        }
        let known = !builds.is_empty();
        let marks: Vec<Mark> = builds
            .into_values()
            .filter_map(|points| {
                let build = Curve::new(points, field.recall);
                let qps = build.at(field.target).qps()?;
                // Of the point that does what is asked.
                let does = |p: &&&Point| field.recall.of(p) >= field.target;
                let point = build.front.iter().find(does)?;
                let note = format!("{}\n{} {:.4}", field.note(point), kind.name(), cost(point)?);
                Some(Mark { at: (qps, cost(point)?), note })
            })
            .collect();
        if known && marks.is_empty() {
            missing.push(engine.label.as_str());
        }
        if !marks.is_empty() {
            let (line, beaten) = split(marks, |mark| (mark.at.0, -mark.at.1));
            let series = series(engine, line, beaten);
            chart.series.push(Series { faintness: Faintness::Choice, ..series });
        }
    }
    drop_slow(&mut chart);
    remark(&mut chart, field, &missing);
    chart
}

/// Names engines that are far slower than the others instead of showing them: an exact scan would
/// press all others against one side.
fn drop_slow(chart: &mut Chart) {
    const FAR: f64 = 30.0;
    let best = |series: &Series| series.line.iter().map(|mark| mark.at.0).fold(0.0, f64::max);
    let fastest = chart.series.iter().map(best).fold(0.0, f64::max);
    let is_slow = |series: &Series| best(series) * FAR < fastest;
    for series in chart.series.extract_if(.., |series| is_slow(series)) {
        let qps = number(best(&series));
        chart.notes.push(format!("beyond the left edge: {}, {qps} a second", series.label));
    }
}

/// Parts the marks that no other beats, from left to right, from the others. More is better in both
/// of `good`.
fn split(marks: Vec<Mark>, good: impl Fn(&Mark) -> (f64, f64)) -> (Vec<Mark>, Vec<Mark>) {
    let front = pareto(&marks.iter().map(good).collect::<Vec<_>>());
    let (mut line, mut beaten) = (Vec::new(), Vec::new());
    for (at, mark) in marks.into_iter().enumerate() {
        if front.contains(&at) { line.push(mark) } else { beaten.push(mark) }
    }
    line.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    (line, beaten)
}

fn latency(field: &Field, task: &Task, (name, of): &Percentile) -> Chart {
    let (count, points) = plain(field, task);
    let about = [threads(count), "down and right is better".to_owned()];
    let axes = [recall_axis(field), Axis::new(format!("{name} latency, µs"), Stretch::Log)];
    let mut chart = blank(task, &format!("{name} latency"), &about, axes);
    for (engine, curve) in field.curves(&points) {
        let marks = curve.points.iter().filter(|point| point.mode == Mode::Closed);
        let marks = marks.filter_map(|point| {
            Some(Mark { at: (field.recall.of(point), of(point)?), note: field.note(point) })
        });
        let (line, beaten) = split(marks.collect(), |mark| (mark.at.0, -mark.at.1));
        if !line.is_empty() {
            chart.series.push(series(engine, line, beaten));
        }
    }
    remark(&mut chart, field, &[]);
    chart
}

/// The points of one setting of an engine: of those measured at the most values of `over`, the one
/// whose recall is nearest above the target, else the one with the best.
fn one_setting<'a>(
    field: &Field,
    points: &[&'a Point],
    over: impl Fn(&Point) -> f64,
) -> Vec<&'a Point> {
    let mut settings: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
    for &point in points {
        let key = serde_json::json!([point.build, point.search]).to_string();
        settings.entry(key).or_default().push(point);
    }
    let widest = settings.values().map(Vec::len).max().unwrap_or(0);
    let recall = |points: &Vec<&Point>| {
        median(&mut points.iter().map(|point| field.recall.of(point)).collect::<Vec<_>>())
    };
    let worth = |points: &Vec<&Point>| match recall(points) {
        recall if recall >= field.target => 2.0 - recall,
        recall => recall - 1.0,
    };
    let widest = settings.into_values().filter(|points| points.len() == widest);
    let best = widest.max_by(|a, b| worth(a).total_cmp(&worth(b)));
    let mut points = best.unwrap_or_default();
    points.sort_by(|a, b| over(a).total_cmp(&over(b)));
    points
}

const ONE_SETTING: &str = "each engine at one setting, the one whose recall is nearest above ";

fn load(field: &Field, task: &Task, (name, of): &Percentile) -> Chart {
    let open = |group: &Group| group.offered().is_some() && group.filter.is_none();
    let count = field.threads(task, open);
    let points = field.of_task(task, |group| open(group) && group.threads == count);
    let about = [threads(count), "down and right is better".to_owned()];
    let offered = |point: &Point| point.offered_qps.unwrap_or_default();
    let axes = [
        Axis::new("queries a second that are sent", Stretch::Log),
        Axis::new(format!("{name} latency, µs"), Stretch::Log),
    ];
    let mut chart = blank(task, &format!("{name} latency under load"), &about, axes);
    for (engine, curve) in field.curves(&points) {
        let line = one_setting(field, &curve.points, offered).into_iter();
        let line = line.filter_map(|point| {
            Some(Mark { at: (offered(point), of(point)?), note: field.note(point) })
        });
        chart.series.push(series(engine, line.collect(), Vec::new()));
    }
    chart.series.retain(|series| !series.line.is_empty());
    chart.notes.push(format!("{ONE_SETTING}{}", target(field.target)));
    remark(&mut chart, field, &[]);
    chart
}

fn scaling(field: &Field, task: &Task) -> Chart {
    let points = field.of_task(task, Group::is_plain);
    let counts = distinct(points.iter().copied(), |point| point.threads);
    let given: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
    let label = format!("{QPS} at recall {}", target(field.target));
    let axis = Axis { given: Some(given), ..Axis::new("searching threads", Stretch::Log) };
    let axes = [axis, Axis::new(label, Stretch::Log)];
    let about = [field.recall.to_string(), "up is better".to_owned()];
    let mut chart = blank(task, Kind::Threads.name(), &about, axes);
    let mut missing = Vec::new();
    for (engine, curve) in field.curves(&points) {
        let mut line = Vec::new();
        for &count in &counts {
            let of_count = curve.points.iter().filter(|point| point.threads == count);
            let curve = Curve::new(of_count.copied(), field.recall);
            let reading = curve.at(field.target);
            if let Some(qps) = reading.qps() {
                let least = matches!(reading, Reading::AtLeast { .. });
                let sign = if least { "at least " } else { "" };
                let (name, count_of) = (&engine.label, threads(count));
                let note = format!("{name}\n{count_of}: {sign}{qps:.0} queries/s");
                line.push(Mark { at: (count as f64, qps), note });
            }
        }
        match line.len() {
            0 => missing.push(engine.label.as_str()),
            // One number of threads is no line.
            1 => {}
            _ => chart.series.push(series(engine, line, Vec::new())),
        }
    }
    chart.series.extend(linear(&chart.series));
    remark(&mut chart, field, &missing);
    chart
}

/// What the first series would be, were each thread as fast as its first.
fn linear(series: &[Series]) -> Option<Series> {
    let line = &series.first()?.line;
    let (threads, qps) = line.first()?.at;
    let mark = |mark: &Mark| Mark {
        at: (mark.at.0, qps / threads * mark.at.0),
        note: "in proportion to the threads".to_owned(),
    };
    let (ink, dash, shape) = (Ink::Muted, Dash::Dotted, Shape::Circle);
    let style = Style { ink, dash, shape, width: 1.0, radius: 1.2, bold: false };
    let line = line.iter().map(mark).collect();
    let (label, faintness) = ("in proportion".to_owned(), Faintness::Shade);
    Some(Series { label, style, line, beaten: Vec::new(), faintness })
}

/// A figure of a point.
type Figure<'a> = &'a dyn Fn(&Point) -> f64;

/// Speed and recall for each shape of filter.
fn filters(field: &Field, task: &Task) -> Vec<Chart> {
    let filtered = |group: &Group| group.filter.is_some() && group.offered().is_none();
    let count = field.threads(task, filtered);
    let points = field.of_task(task, |group| filtered(group) && group.threads == count);
    let shape = |point: &Point| point.filter.as_ref().map(|filter| filter.shape.clone());
    let mut charts = Vec::new();
    for name in distinct(points.iter().copied(), shape) {
        let of_shape: Vec<_> = points.iter().copied().filter(|p| shape(p) == name).collect();
        let what = printable(&name.unwrap_or_default());
        let sides: [(Axis, Figure); 2] = [
            (Axis::new(QPS, Stretch::Log), &|point| point.qps_median),
            (recall_axis(field), &|point| field.recall.of(point)),
        ];
        for (axis, of) in sides {
            let about = [threads(count), "up is better".to_owned()];
            let x = Axis::new("share of the items that pass", Stretch::LogShare);
            let mut chart = blank(task, &format!("{what} filter"), &about, [x, axis]);
            let passing =
                |point: &Point| point.filter.as_ref().map_or(0.0, |filter| filter.selectivity);
            for (engine, curve) in field.curves(&of_shape) {
                let line = one_setting(field, &curve.points, passing).into_iter();
                let line =
                    line.map(|p| Mark { at: (passing(p), of(p)), note: field.note(p) }).collect();
                chart.series.push(series(engine, line, Vec::new()));
            }
            chart.notes.push(format!("{ONE_SETTING}{}", target(field.target)));
            remark(&mut chart, field, &[]);
            charts.push(chart);
        }
    }
    charts
}
