//! `sweep --worker`: one engine behind pipes, as `benches/peers` drives it. A JSON line in, a JSON
//! line out; its README has the commands.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use vicinage::index::{Index, LoadMode};
use vicinage::kernels;
use vicinage_datasets::{IdMatrix, write_ids};

use super::builds::{BuildSpec, SearchSpec};
use super::cache::Cache;
use super::points::version;
use super::rounds::{Pace, RoundSpec, percentiles_us, run};
use super::set::Set;
use crate::exit::Failure;
use crate::machine;
use crate::measure::{Engine, Plain, answer_all};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::Mode;

/// A command.
#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    /// Builds an index of a set, or takes it from the cache, and opens it.
    Load {
        dataset: String,
        build: BuildSpec,
        cache: PathBuf,
    },
    /// Runs one round.
    Search {
        search: SearchSpec,
        k: usize,
        min_seconds: f64,
        ids: Option<PathBuf>,
        #[serde(default)]
        mode: WorkerMode,
    },
    Quit,
}

/// How the queries of a round are sent.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WorkerMode {
    /// At once, as other engines get them.
    #[default]
    Batch,
    /// One by one, each with a latency.
    Closed,
}

/// What is loaded.
struct Loaded {
    index: Index,
    queries: Queries,
}

/// Answers commands until `quit` or the end of the input.
pub(crate) fn converse(report: &Reporter) -> Result<(), Failure> {
    let mut loaded = None;
    for line in std::io::stdin().lock().lines() {
        let command =
            serde_json::from_str(&line?).map_err(|e| Failure::usage(format!("no command: {e}")));
        let answer = match command {
            Ok(Command::Quit) => return Ok(()),
            Ok(Command::Load { dataset, build, cache }) => load(&dataset, &build, cache, report)
                .map(|(now, told)| {
                    loaded = Some(now);
                    told
                }),
            Ok(Command::Search { search, k, min_seconds, ids, mode }) => match &loaded {
                None => Err(Failure::usage("search before load")),
                Some(loaded) => {
                    let (pace, mode) = match mode {
                        WorkerMode::Batch => (Pace::Batch, Mode::Batch),
                        WorkerMode::Closed => (Pace::Closed, Mode::Closed),
                    };
                    loaded.search(search, (k, min_seconds), (pace, mode), ids, report)
                }
            },
            Err(failure) => Err(failure),
        };
        let mut told = match answer {
            Ok(told) => told,
            // The conversation goes on, the caller decides.
            Err(failure) => Map::from_iter([("error".to_owned(), json!(failure.line()))]),
        };
        told.insert("ok".to_owned(), json!(!told.contains_key("error")));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", Value::Object(told))?;
        out.flush()?;
    }
    Ok(())
}

fn load(
    dataset: &str,
    build: &BuildSpec,
    cache: PathBuf,
    report: &Reporter,
) -> Result<(Loaded, Map<String, Value>), Failure> {
    build.check()?;
    let set = Set::find(dataset)?;
    let built = Cache::open(&cache, &set)?.index(build, None, report)?;
    let index = Index::open(&built.index, LoadMode::Copy)?;
    let queries = Queries::read(&set.queries)?;
    queries.check_dim(&set.queries, index.info().dim, &set.base.to_string())?;
    let told = Map::from_iter([
        ("build".to_owned(), json!(built.build)),
        ("build_seconds".to_owned(), json!(built.seconds)),
        ("build_peak_mib".to_owned(), json!(built.peak_mib)),
        ("index_bytes_per_vector".to_owned(), json!(built.bytes_per_vector)),
        ("engine_version".to_owned(), json!(version(&built.writer))),
        ("git_commit".to_owned(), json!(built.commit)),
        ("index".to_owned(), json!(built.folder())),
        ("isa".to_owned(), json!(kernels::active().ok().map(|isa| isa.name()))),
    ]);
    Ok((Loaded { index, queries }, told))
}

impl Loaded {
    /// One round on one thread; the ids are those of a pass of their own, not timed.
    fn search(
        &self,
        search: SearchSpec,
        (k, min_seconds): (usize, f64),
        (pace, mode): (Pace, Mode),
        ids: Option<PathBuf>,
        report: &Reporter,
    ) -> Result<Map<String, Value>, Failure> {
        search.check()?;
        let params = search.search(k);
        let plain = Plain { engine: &self.index, queries: &self.queries };
        let (mut distances, mut visited) = (Value::Null, Value::Null);
        if let Some(path) = ids {
            let (answers, work) = answer_all(&plain, &params, 1, report)?;
            let rows = self.queries.rows();
            distances = json!(work.distances as f64 / rows as f64);
            visited = json!(work.visited as f64 / rows as f64);
            let mut matrix = IdMatrix::new(k);
            (0..rows).for_each(|row| matrix.push(answers.ids(row, k)));
            write_ids(&path, &matrix)?;
        }
        let spec = RoundSpec {
            params,
            pace,
            min_time: Duration::try_from_secs_f64(min_seconds)
                .map_err(|e| Failure::usage(format!("min_seconds {min_seconds}: {e}")))?,
            pinned: &[],
        };
        let round = run(&plain, &mut [self.index.session()], spec, report.interrupt())?;
        let [p50_us, p95_us, p99_us, p999_us] = percentiles_us(&round.latencies);
        Ok(Map::from_iter([
            ("queries".to_owned(), json!(round.queries)),
            ("seconds".to_owned(), json!(round.queries as f64 / round.qps)),
            ("mode".to_owned(), json!(mode.name())),
            ("python_loop".to_owned(), json!(false)),
            ("resident_mib".to_owned(), json!(machine::resident_mib())),
            ("p50_us".to_owned(), json!(p50_us)),
            ("p95_us".to_owned(), json!(p95_us)),
            ("p99_us".to_owned(), json!(p99_us)),
            ("p999_us".to_owned(), json!(p999_us)),
            ("distances_per_query".to_owned(), distances),
            ("visited_per_query".to_owned(), visited),
        ]))
    }
}
