//! Result lines: what a sweep measured, one JSON object a line, a line a measured point. The
//! schema is described in `docs/benchmarks.md`; `benches/peers` writes the same.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::datasets::io;
use crate::exit::{Exit, Failure};

/// The version of the schema that this program writes and reads.
pub(crate) const SCHEMA: u32 = 1;

/// Parameters of a build or a search, by name.
pub(crate) type Params = Map<String, Value>;

/// How queries were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Each thread asks the next query when the last is answered.
    Closed,
    /// At a fixed rate, whether or not earlier ones are answered.
    Open,
    /// The whole set in one call.
    Batch,
}

impl Mode {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Batch => "batch",
        }
    }
}

/// One measured point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    pub(crate) schema: u32,
    /// Name of the set.
    pub(crate) dataset: String,
    pub(crate) n: u64,
    pub(crate) dim: u64,
    /// `l2`, `ip` or `cosine`.
    pub(crate) metric: String,
    pub(crate) k: u64,
    /// Distinct test queries.
    pub(crate) queries: u64,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    /// Of the tree that the engine was built from, where that is known.
    pub(crate) git_commit: Option<String>,
    /// All parameters of the build, `threads` among them.
    pub(crate) build: Params,
    pub(crate) build_seconds: Option<f64>,
    /// Peak resident memory of the building process.
    pub(crate) build_peak_mib: Option<f64>,
    /// Everything that search needs, vectors included.
    pub(crate) index_bytes_per_vector: Option<f64>,
    /// Resident memory of the searching process after the point was measured.
    pub(crate) serve_resident_mib: Option<f64>,
    pub(crate) search: Params,
    /// Mean share of the true k ids that were found.
    pub(crate) recall_id: f64,
    /// ann-benchmarks' recall: found within the kth true distance plus 1e-3.
    pub(crate) recall_distance: f64,
    /// Of the best round, which is ann-benchmarks' convention.
    pub(crate) qps: f64,
    /// Of the middle one.
    pub(crate) qps_median: f64,
    /// Of each, in order.
    pub(crate) qps_rounds: Vec<f64>,
    /// Latencies of single queries; none where they go in one call.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p95_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) distances_per_query: Option<f64>,
    pub(crate) visited_per_query: Option<f64>,
    /// Searching threads.
    pub(crate) threads: u64,
    /// The processor of each thread, where they were pinned.
    pub(crate) pinned: Option<Vec<u64>>,
    pub(crate) mode: Mode,
    /// Queries a second that were sent, in open mode.
    pub(crate) offered_qps: Option<f64>,
    /// Whether a loop in Python is part of the time.
    pub(crate) python_loop: bool,
    pub(crate) filter: Option<FilterFigures>,
    pub(crate) stream: Option<StreamFigures>,
    /// Instruction set of the kernels: `avx512`, `avx2-vnni`, `avx2`, `scalar`.
    pub(crate) isa: Option<String>,
    /// Model of the processor.
    pub(crate) cpu: String,
    /// When the point was finished: RFC 3339, UTC.
    pub(crate) time: String,
}

/// What a filtered workload was like, and how even the answers were. The recalls of the point are
/// against the exact answers under the filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterFigures {
    /// Name of the workload.
    pub(crate) workload: String,
    /// `random`, `correlated`, `anti-correlated`, `range`, `and`, `or`, `not`, `exclude` …
    pub(crate) shape: String,
    /// Mean share of the items that pass.
    pub(crate) selectivity: f64,
    /// 5th percentile over queries of recall by id.
    pub(crate) recall_p5: f64,
    /// The lowest of them.
    pub(crate) recall_min: f64,
    /// Mean share of the `min(k, matches)` answers that were not given.
    pub(crate) shortfall: f64,
}

/// Where in a runbook of insertions and deletions a point was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamFigures {
    /// Name of the runbook.
    pub(crate) runbook: String,
    /// Number of the search step, from 1, as the runbook counts steps.
    pub(crate) step: u64,
    /// Items that were live.
    pub(crate) live: u64,
    /// Items inserted, replaced or deleted a second since the search before.
    pub(crate) updates_per_second: Option<f64>,
}

impl Point {
    /// What makes two lines the same point.
    pub(crate) fn key(&self) -> String {
        let Self { dataset, engine, build, search, k, threads, mode, .. } = self;
        let filter = self.filter.as_ref().map(|f| (&f.workload, &f.shape, f.selectivity));
        let step = self.stream.as_ref().map(|stream| (&stream.runbook, stream.step));
        let (version, offered) = (self.version(), self.offered_qps);
        serde_json::json!([
            dataset, engine, version, build, search, k, threads, mode, offered, filter, step
        ])
        .to_string()
    }

    /// The version of the engine, with the commit where that is known: `0.1.0 (aabece0)`.
    pub(crate) fn version(&self) -> String {
        match &self.git_commit {
            Some(commit) => {
                let short: String = commit.chars().take(7).collect();
                format!("{} ({short})", self.engine_version)
            }
            None => self.engine_version.clone(),
        }
    }

    /// A figure that no measurement gives, on which curves could not be drawn: its key, what it
    /// should be, what it is.
    fn impossible(&self) -> Option<(&'static str, &'static str, f64)> {
        let shares = [("recall_id", self.recall_id), ("recall_distance", self.recall_distance)];
        let selectivity = self.filter.as_ref().map(|filter| ("selectivity", filter.selectivity));
        let speeds = [("qps", self.qps), ("qps_median", self.qps_median)];
        let rounds = self.qps_rounds.iter().map(|&qps| ("qps_rounds", qps));
        let offered = self.offered_qps.map(|qps| ("offered_qps", qps));
        let share = shares.into_iter().chain(selectivity).find(|(_, x)| !(0.0..=1.0).contains(x));
        let mut speed = speeds.into_iter().chain(rounds).chain(offered);
        share
            .map(|(key, found)| (key, "a share from 0 to 1", found))
            .or_else(|| {
                let (key, found) = speed.find(|&(_, qps)| qps <= 0.0)?;
                Some((key, "a positive number", found))
            })
            .or_else(|| (self.threads == 0).then_some(("threads", "at least 1", 0.0)))
    }
}

/// Reads the points of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Point>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| failed("read", path, &error))?;
    parse(path, &bytes)
}

/// Reads the points of a file that is to be shown: it has some.
pub(crate) fn read_some(path: &Path) -> Result<Vec<Point>, Failure> {
    let points = read(path)?;
    if points.is_empty() {
        return Err(Failure::data(format!("{} has no results", path.display()))
            .expected("a line of JSON for each measured point", "none"));
    }
    Ok(points)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Point>, Failure> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(row, line)| parse_line(path, row + 1, line)).collect()
}

fn parse_line(path: &Path, line: usize, bytes: &[u8]) -> Result<Point, Failure> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let refused = |error: serde_json::Error| {
        Failure::data(format!("{} is not a file of results: {error}", path.display()))
            .at(format!("line {line}"))
    };
    let Version { schema } = serde_json::from_slice(bytes).map_err(refused)?;
    if schema != SCHEMA {
        return Err(Failure::data(format!("{} has another schema", path.display()))
            .at(format!("line {line}"))
            .expected(SCHEMA.to_string(), schema.to_string()));
    }
    let point: Point = serde_json::from_slice(bytes).map_err(refused)?;
    match point.impossible() {
        None => Ok(point),
        Some((key, expected, found)) => {
            Err(Failure::data(format!("{} has a point that cannot be", path.display()))
                .at(format!("line {line}, {key}"))
                .expected(expected, found.to_string()))
        }
    }
}

/// A file that points are added to. A line is there whole or, after a kill, not at all.
pub(crate) struct Results {
    file: File,
    /// By key; of points of one key, the first.
    points: HashMap<String, Point>,
}

impl Results {
    /// Opens or makes the file, reads what it holds, and cuts off what a kill left of a line.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(|error| failed("open", path, &error))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| failed("read", path, &error))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut points = HashMap::new();
        for point in parse(path, &bytes[..whole])? {
            points.entry(point.key()).or_insert(point);
        }
        file.set_len(whole as u64).map_err(|error| failed("shorten", path, &error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| failed("read", path, &error))?;
        Ok(Self { file, points })
    }

    /// The point of this key, if it was measured.
    pub(crate) fn find(&self, key: &str) -> Option<&Point> {
        self.points.get(key)
    }

    /// Adds a point, on disk when this returns.
    pub(crate) fn add(&mut self, point: Point) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(&point)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.points.insert(point.key(), point);
        Ok(())
    }
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    let failure = io(verb, path, error);
    match error.kind() {
        ErrorKind::NotFound => failure.with_exit(Exit::Usage),
        _ => failure,
    }
}
