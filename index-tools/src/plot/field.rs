//! The points that are shown, and the engines that they are of.

use crate::curves::{Curve, Group, RecallBy, Task, distinct};
use crate::results::{Params, Point};
use crate::text::printable;
use crate::units::{count, seconds, share};

use super::style::{KNOWN, Style};

/// The name under which our own results are kept: it comes first, and stands out.
const OURS: &str = "vicinage";

/// Parameters are cut to this many characters where they are a remark.
const PARAMS_SHOWN: usize = 140;

/// An engine, or one of several versions of it.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    name: String,
    pub(super) version: String,
    /// As pictures name it.
    pub(super) label: String,
    pub(super) style: Style,
    /// Whether a loop in Python is part of the time of some of its points.
    pub(super) python_loop: bool,
}

impl Engine {
    pub(super) fn is_of(&self, point: &Point) -> bool {
        point.engine == self.name && point.version() == self.version
    }
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) points: Vec<Point>,
    pub(super) engines: Vec<Engine>,
    pub(super) recall: RecallBy,
    /// The recall at which pictures of one speed an engine read it.
    pub(super) target: f64,
}

impl Field {
    pub(super) fn new(points: Vec<Point>, recall: RecallBy, target: f64) -> Self {
        let engines = engines(&points);
        Self { points, engines, recall, target }
    }

    pub(super) fn tasks(&self) -> Vec<Task> {
        distinct(&self.points, Task::of)
    }

    /// Those points of a task whose group is as asked.
    pub(super) fn of_task(&self, task: &Task, wanted: impl Fn(&Group) -> bool) -> Vec<&Point> {
        let is_wanted = |point: &&Point| {
            let group = Group::of(point);
            group.task == *task && wanted(&group)
        };
        self.points.iter().filter(is_wanted).collect()
    }

    /// The number of threads that a picture of one number is of: the one with the most engines,
    /// of several the fewest.
    pub(super) fn threads(&self, task: &Task, wanted: impl Fn(&Group) -> bool) -> u64 {
        let points = self.of_task(task, wanted);
        let threads = distinct(points.iter().copied(), |point| point.threads);
        let engines = |threads: u64| {
            let with =
                |engine: &&Engine| points.iter().any(|p| p.threads == threads && engine.is_of(p));
            self.engines.iter().filter(with).count()
        };
        threads.into_iter().rev().max_by_key(|&threads| engines(threads)).unwrap_or(1)
    }

    /// The engines that some of the points are of, each with its curve.
    pub(super) fn curves<'a>(&'a self, points: &[&'a Point]) -> Vec<(&'a Engine, Curve<'a>)> {
        let curve = |engine: &'a Engine| {
            let of = points.iter().copied().filter(|point| engine.is_of(point));
            (engine, Curve::new(of, self.recall))
        };
        let curves = self.engines.iter().map(curve);
        curves.filter(|(_, curve)| !curve.points.is_empty()).collect()
    }

    /// What a reader is told of a point.
    pub(super) fn note(&self, point: &Point) -> String {
        let mut note = format!("{} {}\n", point.engine, point.version());
        note += &format!("{} {}, ", self.recall, share(self.recall.of(point)));
        note += &format!("{} queries/s\n", count(point.qps_median.round() as u64));
        if let (Some(p50), Some(p99)) = (point.p50_us, point.p99_us) {
            note += &format!("p50 {}, p99 {}\n", seconds(p50 / 1e6), seconds(p99 / 1e6));
        }
        if let Some(filter) = &point.filter {
            note += &format!("filter {} ({}), ", filter.workload, filter.shape);
            note += &format!("recall p5 {}\n", share(filter.recall_p5));
        }
        if let Some(offered) = point.offered_qps {
            note += &format!("{} queries/s offered\n", count(offered.round() as u64));
        }
        note + &format!("build {}\nsearch {}", shown(&point.build), shown(&point.search))
    }
}

fn engines(points: &[Point]) -> Vec<Engine> {
    let mut keys = distinct(points, |point| (point.engine.clone(), point.version()));
    // Ours first, of several versions the one measured last; the others by name.
    let latest = |(name, version): &(String, String)| {
        let of = points.iter().filter(|p| p.engine == *name && p.version() == *version);
        of.map(|point| point.time.clone()).max()
    };
    keys.sort_by_cached_key(|key| (key.0 != OURS, key.0.clone(), std::cmp::Reverse(latest(key))));
    let (mut ours, mut others, mut seen) = (0, KNOWN.len(), Vec::new());
    let engine = |(name, version): (String, String)| {
        // A second version of an engine that is known looks like one that is not.
        let known = KNOWN.iter().position(|known| *known == name && !seen.contains(&name));
        seen.push(name.clone());
        let next = if name == OURS { &mut ours } else { &mut others };
        let at = known.unwrap_or_else(|| std::mem::replace(next, *next + 1));
        let style = Style::new(at, name == OURS);
        let of_it = |point: &&Point| point.engine == name && point.version() == version;
        let python_loop = points.iter().filter(of_it).any(|point| point.python_loop);
        let dagger = if python_loop { " †" } else { "" };
        let label = format!("{}{dagger}", printable(&label(points, &name, &version)));
        Engine { name, version, label, style, python_loop }
    };
    keys.into_iter().map(engine).collect()
}

/// The name of an engine; where there are several versions of it, with what tells this one apart.
fn label(points: &[Point], name: &str, version: &str) -> String {
    let of_name = || points.iter().filter(|point| point.engine == name);
    let versions = distinct(of_name(), Point::version);
    let numbers = distinct(of_name(), |point| point.engine_version.as_str());
    let number = of_name().find(|point| point.version() == version);
    match number {
        _ if versions.len() == 1 => name.to_owned(),
        Some(point) if numbers.len() == versions.len() => {
            format!("{name} {}", point.engine_version)
        }
        _ => format!("{name} {version}"),
    }
}

/// Parameters as people write them: `ef=64, rerank=true`.
pub(super) fn params(params: &Params) -> String {
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    let parts: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    parts.join(", ")
}

fn shown(of: &Params) -> String {
    let text = printable(&params(of));
    match text.char_indices().nth(PARAMS_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None if text.is_empty() => "by default".to_owned(),
        None => text,
    }
}
