//! `index-tools compare`: how fast two engines, or two versions of one, are at the same recall.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::FormatArgs;
use crate::curves::{
    Curve, Group, Interval, Reading, RecallBy, TARGETS, distinct, grouped, median_interval,
};
use crate::exit::Failure;
use crate::results::{Point, read_some};
use crate::text::{BOLD, DIM, Table, YELLOW, print, print_json, printable, styled};
use crate::units;

/// Compare two files of results: speeds at the same recall, and their ratio
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools compare before.jsonl after.jsonl
  index-tools compare duel.jsonl duel.jsonl --engine-a hnswlib --engine-b vicinage
  index-tools compare before.jsonl after.jsonl --at 0.95 --format json

B/A is the speed of B over that of A: above 1 means that B is faster. Speeds are read on the front
of the best points over all builds and searches of an engine, log-linear between two points, never
beyond the last: then it says so. Only points of one set, k, number of threads, offered load,
filter and step are compared.

Without --engine-a and --engine-b, engines that are in both files are compared with themselves; if
there are none, or both files are one, each engine of B with each other one of A.

Where all points of both have as many rounds they are taken as pairs, as interleaved runs are: B/A
is the median of the ratios of the rounds, with its 95 % bootstrap interval. Elsewhere B/A is the
ratio of the medians, with the range from the slowest to the fastest rounds.")]
pub(crate) struct CompareArgs {
    /// Results to compare with
    #[arg(value_name = "A.jsonl")]
    a: PathBuf,
    /// Results that are compared
    #[arg(value_name = "B.jsonl")]
    b: PathBuf,
    /// Recalls to read speeds at
    #[arg(long, value_name = "R,…", value_delimiter = ',', default_values_t = TARGETS)]
    at: Vec<f64>,
    /// Which recall counts
    #[arg(long, value_enum, value_name = "RECALL", default_value_t)]
    recall: RecallBy,
    /// The engine of A
    #[arg(long, value_name = "NAME")]
    engine_a: Option<String>,
    /// The engine of B
    #[arg(long, value_name = "NAME")]
    engine_b: Option<String>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Refuses a recall that none can be.
pub(crate) fn check_targets(name: &str, targets: &[f64]) -> Result<(), Failure> {
    match targets.iter().find(|target| !(0.0..=1.0).contains(*target)) {
        None => Ok(()),
        Some(target) => Err(Failure::usage(format!("--{name} cannot be that"))
            .expected("a recall from 0 to 1", target.to_string())),
    }
}

pub(crate) fn run(args: &CompareArgs) -> Result<(), Failure> {
    check_targets("at", &args.at)?;
    let sides = [read_some(&args.a)?, read_some(&args.b)?];
    let duels = duels(args, &sides)?;
    if args.format.json() {
        let comparisons: Vec<Value> = duels.iter().map(|duel| duel.json(&args.at)).collect();
        return print_json(&json!({
            "a": args.a, "b": args.b, "recall": args.recall, "comparisons": comparisons,
        }));
    }
    print(&text(args, &duels))
}

/// How sure a ratio is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Spread {
    /// The 95 % bootstrap interval of the median over paired rounds.
    Interval { rounds: usize, low: f64, high: f64 },
    /// From the slowest B over the fastest A to the fastest B over the slowest A.
    Range { low: f64, high: f64 },
}

/// B/A at a recall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ratio {
    ratio: f64,
    /// `exactly`, or which way it can only be further where one was never measured that low.
    bound: &'static str,
    spread: Option<Spread>,
}

/// Two engines in one group.
struct Duel<'a> {
    group: Group,
    a: Curve<'a>,
    b: Curve<'a>,
}

impl Duel<'_> {
    /// None where one of them does not reach the target, or both do more than it asks.
    fn ratio(&self, target: f64) -> Option<Ratio> {
        let (a, b) = (self.a.at(target), self.b.at(target));
        let bound = match (a, b) {
            (Reading::Between { .. }, Reading::Between { .. }) => "exactly",
            (Reading::AtLeast { .. }, Reading::Between { .. }) => "at most",
            (Reading::Between { .. }, Reading::AtLeast { .. }) => "at least",
            _ => return None,
        };
        let (a, b) = (self.in_rounds(&self.a, target), self.in_rounds(&self.b, target));
        let of_medians = self.b.at(target).qps()? / self.a.at(target).qps()?;
        let ((fewest, most), rounds_b) = (self.a.rounds(), self.b.rounds());
        if (fewest, most) == rounds_b && fewest == most && fewest >= 2 {
            let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b / a).collect();
            let Interval { median, low, high } = median_interval(&ratios, 0);
            let spread = Spread::Interval { rounds: fewest, low, high };
            return Some(Ratio { ratio: median, bound, spread: Some(spread) });
        }
        let ends = |speeds: &[f64]| {
            let least = speeds.iter().copied().reduce(f64::min)?;
            Some((least, speeds.iter().copied().reduce(f64::max)?))
        };
        let spread = ends(&a).zip(ends(&b)).map(|((slow_a, fast_a), (slow_b, fast_b))| {
            Spread::Range { low: slow_b / fast_a, high: fast_b / slow_a }
        });
        Some(Ratio { ratio: of_medians, bound, spread })
    }

    /// The reading of each round that all points of the front have.
    fn in_rounds(&self, curve: &Curve, target: f64) -> Vec<f64> {
        let rounds = 0..curve.rounds().0;
        rounds.filter_map(|round| curve.at_in_round(target, round).qps()).collect()
    }

    /// What makes the comparison less than fair.
    fn warnings(&self) -> Vec<String> {
        let both = || self.a.points.iter().chain(&self.b.points).copied();
        let mut warnings = Vec::new();
        let ((least_a, most_a), (least_b, most_b)) = (self.a.rounds(), self.b.rounds());
        if (least_a, most_a) != (least_b, most_b) {
            let rounds = |least, most| match least == most {
                true => format!("{least}"),
                false => format!("{least} to {most}"),
            };
            let (a, b) = (rounds(least_a, most_a), rounds(least_b, most_b));
            warnings.push(format!("rounds differ: A has {a}, B has {b}"));
        }
        let cpus = distinct(both(), |point| point.cpu.as_str());
        if cpus.len() > 1 {
            warnings.push(format!("measured on different processors: {}", cpus.join("; ")));
        }
        let modes = [&self.a, &self.b].map(|side| modes(&side.points));
        if modes[0] != modes[1] {
            warnings.push(format!("queries are sent differently: A {}, B {}", modes[0], modes[1]));
        }
        let queries = distinct(both(), |point| point.queries);
        if queries.len() > 1 {
            warnings.push("the numbers of distinct queries differ".to_owned());
        }
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            if side.points.iter().any(|point| point.python_loop) {
                warnings.push(format!("a loop in Python is part of the time of {name}"));
            }
            let versions = versions(&side.points);
            if versions.len() > 1 {
                warnings.push(format!("{name} is several versions: {}", versions.join(", ")));
            }
        }
        warnings
    }

    fn json(&self, targets: &[f64]) -> Value {
        let side = |curve: &Curve| {
            json!({
                "engine": curve.points.first().map(|point| &point.engine),
                "versions": versions(&curve.points), "points": curve.points.len(),
                "best_recall": curve.best_recall(),
            })
        };
        let reading = |target: &f64| {
            let (a, b) = (self.a.at(*target), self.b.at(*target));
            json!({ "recall": target, "a": a, "b": b, "b_over_a": self.ratio(*target) })
        };
        let filter = self.group.filter.as_ref();
        let step = self.group.step.as_ref();
        json!({
            "task": self.group.task, "threads": self.group.threads,
            "offered_qps": self.group.offered(),
            "filter": filter.map(|(workload, shape)| json!({"workload": workload, "shape": shape})),
            "stream": step.map(|(runbook, step)| json!({"runbook": runbook, "step": step})),
            "a": side(&self.a), "b": side(&self.b), "warnings": self.warnings(),
            "readings": targets.iter().map(reading).collect::<Vec<_>>(),
        })
    }
}

/// How queries were sent: `closed`, or `batch, closed`.
fn modes(points: &[&Point]) -> String {
    distinct(points.iter().copied(), |point| point.mode.name()).join(", ")
}

/// Versions of an engine, with the commit where that is known.
fn versions(points: &[&Point]) -> Vec<String> {
    distinct(points.iter().copied(), Point::version)
}

/// The pairs of engines that are compared: see the help.
fn pairs(args: &CompareArgs, sides: &[Vec<Point>; 2]) -> Vec<(String, String)> {
    let one_file = args.a == args.b;
    let named = |points: &[Point], asked: &Option<String>| -> Vec<String> {
        let engines = distinct(points, |point| point.engine.clone());
        engines.into_iter().filter(|name| asked.as_ref().is_none_or(|a| a == name)).collect()
    };
    let (of_a, of_b) = (named(&sides[0], &args.engine_a), named(&sides[1], &args.engine_b));
    if args.engine_a.is_none() && args.engine_b.is_none() {
        let shared = of_a.iter().filter(|name| !one_file && of_b.contains(name));
        let shared: Vec<_> = shared.map(|name| (name.clone(), name.clone())).collect();
        if !shared.is_empty() {
            return shared;
        }
    }
    let left_out = |a: &String, b: &String| {
        one_file
            && match (&args.engine_a, &args.engine_b) {
                (Some(_), Some(_)) => false,
                // Each pair once.
                (None, None) => a >= b,
                _ => a == b,
            }
    };
    let pairs = of_b.iter().flat_map(|b| of_a.iter().map(move |a| (a, b)));
    pairs.filter(|(a, b)| !left_out(a, b)).map(|(a, b)| (a.clone(), b.clone())).collect()
}

fn duels<'a>(args: &CompareArgs, sides: &'a [Vec<Point>; 2]) -> Result<Vec<Duel<'a>>, Failure> {
    let mut duels = Vec::new();
    let pairs = pairs(args, sides);
    let groups_of_a = grouped(&sides[0]);
    for (group, of_b) in grouped(&sides[1]) {
        let Some(of_a) = groups_of_a.get(&group) else { continue };
        for (a, b) in &pairs {
            let curve = |points: &[&'a Point], engine: &str| {
                Curve::new(points.iter().copied().filter(|p| p.engine == engine), args.recall)
            };
            let (a, b) = (curve(of_a, a), curve(&of_b, b));
            if !a.points.is_empty() && !b.points.is_empty() {
                duels.push(Duel { group: group.clone(), a, b });
            }
        }
    }
    if duels.is_empty() {
        return Err(nothing(args, sides));
    }
    Ok(duels)
}

/// What each file has, where nothing of one can be compared with the other.
fn nothing(args: &CompareArgs, sides: &[Vec<Point>; 2]) -> Failure {
    const SHOWN: usize = 8;
    let mut failure = Failure::data("nothing in the two files can be compared");
    for (name, path, points) in [("A", &args.a, &sides[0]), ("B", &args.b, &sides[1])] {
        failure = failure.detail(name, has(path, points, SHOWN));
    }
    failure.next(
        "compare results of one set, k, number of threads, load and filter; name the engines with \
         --engine-a and --engine-b",
    )
}

/// What a file has, at most `shown` groups of it.
fn has(path: &Path, points: &[Point], shown: usize) -> String {
    let groups = distinct(points, |point| (Group::of(point), point.engine.clone()));
    let lines = groups.iter().take(shown).map(|(group, engine)| format!("{engine} on {group}"));
    let mut text = format!("{} has {}", path.display(), lines.collect::<Vec<_>>().join("; "));
    if groups.len() > shown {
        text += &format!("; and {} more", groups.len() - shown);
    }
    printable(&text)
}

/// A recall as it was asked for, with two decimals at least.
pub(crate) fn target(target: f64) -> String {
    let text = target.to_string();
    if text.len() < 4 { format!("{target:.2}") } else { text }
}

/// A reading as it is shown: `12,345`, `≥ 12,345`, `not reached`.
pub(crate) fn speed(reading: Reading) -> String {
    let number = |qps: f64| match qps {
        qps if qps < 99.95 => format!("{qps:.1}"),
        qps => units::count(qps.round() as u64),
    };
    match reading {
        Reading::Between { qps } => number(qps),
        Reading::AtLeast { qps } => format!("≥ {}", number(qps)),
        Reading::NotReached => "not reached".to_owned(),
    }
}

fn text(args: &CompareArgs, duels: &[Duel]) -> String {
    let mut text = String::new();
    let name = |curve: &Curve| {
        let engine = curve.points.first().map_or("", |point| point.engine.as_str());
        printable(&format!("{engine} {}", versions(&curve.points).join(", ")))
    };
    for duel in duels {
        let group = printable(&format!("{}, {}", duel.group, args.recall));
        text += &format!("{}\n", styled(BOLD, group));
        for (side, path, curve) in [("A", &args.a, &duel.a), ("B", &args.b, &duel.b)] {
            text += &format!("  {DIM}{side}{DIM:#}  {}, {}\n", name(curve), path.display());
        }
        text += "\n";
        table(duel, &args.at).write(&mut text);
        for warning in duel.warnings() {
            text += &format!("  {YELLOW}{}{YELLOW:#}\n", printable(&warning));
        }
        text += "\n";
    }
    text += &format!("{DIM}B/A above 1: B is faster{DIM:#}\n");
    text
}

fn table(duel: &Duel, targets: &[f64]) -> Table {
    let mut table = Table::new(["recall", "A queries/s", "B queries/s", "B/A", "spread<"]);
    for &at in targets {
        let ratio = duel.ratio(at);
        let shown = ratio.as_ref().map_or("–".to_owned(), |ratio| {
            let sign = match ratio.bound {
                "at most" => "≤ ",
                "at least" => "≥ ",
                _ => "",
            };
            format!("{sign}{}", factor(ratio.ratio))
        });
        let spread = match ratio.and_then(|ratio| ratio.spread) {
            Some(Spread::Interval { rounds, low, high }) => {
                format!("{} to {} (95 %, {rounds} paired rounds)", factor(low), factor(high))
            }
            Some(Spread::Range { low, high }) => {
                format!("{} to {} (range of rounds)", factor(low), factor(high))
            }
            None => String::new(),
        };
        let (a, b) = (duel.a.at(at), duel.b.at(at));
        table.row([target(at), speed(a), speed(b), shown, spread]);
    }
    table
}

/// A ratio with three decimals, or three figures where it is far from 1.
fn factor(ratio: f64) -> String {
    match ratio {
        r if (0.1..10.0).contains(&r) => format!("{r:.3}"),
        r if r < 0.1 => format!("{r:.2e}"),
        r => format!("{r:.1}"),
    }
}
