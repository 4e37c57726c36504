//! `index-tools sweep`: recall and speed of builds over search parameters, as result lines.
//!
//! | file | what it holds |
//! |---|---|
//! | `set` | which files a set is made of |
//! | `builds` | parameters of builds and searches; the TOML file |
//! | `cache` | indexes and true neighbors that are made once |
//! | `points` | what is measured: judged once, then rounds in turn |
//! | `filtered` | points of filtered workloads |
//! | `streamed` | points of runbooks of updates |
//! | `regret` | the planner beside plans that were asked for |
//! | `table` | the points of a set, as people read them |
//! | `rounds` | the clock |
//! | `remote` | a server as the engine |
//! | `ann_benchmarks` | the points as that project's result files |
//! | `worker` | the protocol of `benches/peers` |

mod ann_benchmarks;
pub(crate) mod builds;
mod cache;
mod filtered;
mod points;
mod regret;
mod remote;
mod rounds;
mod set;
mod streamed;
mod table;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use vicinage::builder::{BuilderKind, CodesChoice};
use vicinage::index::{Index, LoadMode};
use vicinage::types::{ElementType, Metric};
use vicinage_datasets::{IdMatrix, InputSpec};

use self::builds::{BuildSpec, Config, PlanChoice, SearchSpec, Searches, listed};
use self::cache::Cache;
use self::points::{Facts, Ground, Subject, measure};
use self::remote::Remote;
use self::rounds::{Pace, processors};
use self::set::Set;
use crate::args::ProgressArgs;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::machine;
use crate::measure::{Answers, Engine, scored_truth};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::Results;
use crate::text::{DIM, print};
use crate::workload::Workload;

/// Measure recall and speed over builds and search parameters
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools sweep --dataset fashion-mnist-784-euclidean.hdf5
      one build, a curve of recalls at k 10, one thread, into sweep.jsonl
  index-tools sweep --dataset onet-jobs --k 10,100 --max-degree 16,32,48 --out jobs.jsonl
  index-tools sweep --input items.npy --queries users.npy --metric ip --threads 1,2 --pin
  index-tools sweep --dataset tt --learn none,tt/learn.npy
      what an index gains from logged queries
  index-tools sweep --dataset tt --ef 100 --rate 500,1000,2000,4000
      latency under load: queries are sent at these rates, answered or not
  index-tools sweep --dataset tt --server http://127.0.0.1:7700 --index tt
  index-tools sweep --config sweep.toml
      dataset = [\"a.hdf5\"]  k = [10]  ef = [20, 40, 80]  [[build]]  max_degree = 24

Recall is by id and by distance (as ann-benchmarks has it) against the set's own neighbors, or exact
ones that are found first. Each point is asked all queries once to be judged and then timed in
--rounds rounds of whole passes, the points of a set in turn, so that a slow minute of the machine
falls on all of them. A sweep that was cut off goes on where it was: what --out has is not measured
again. Indexes and true neighbors are kept in --cache.")]
pub(crate) struct SweepArgs {
    /// Sets: .hdf5 files of ann-benchmarks or VIBE, folders with a dataset.toml, fetched folders,
    /// or onet-jobs, the bundled one
    #[arg(long, value_name = "SET,…", value_delimiter = ',')]
    dataset: Vec<String>,
    /// Item vectors, in place of --dataset
    #[arg(long, value_name = "FILE[#COLUMN]", conflicts_with = "dataset",
        requires_all = ["queries", "metric"])]
    input: Option<InputSpec>,
    /// Test queries of --input
    #[arg(long, value_name = "FILE[#COLUMN]", requires = "input")]
    queries: Option<InputSpec>,
    /// True neighbors of the queries, as item ids [default: they are found]
    #[arg(long, value_name = "FILE[#ARRAY]", requires = "input")]
    truth: Option<InputSpec>,
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC", requires = "input")]
    metric: Option<Metric>,
    /// Name of the set of --input in the results [default: the name of the file]
    #[arg(long, value_name = "NAME", requires = "input")]
    name: Option<String>,
    /// A sweep in TOML, with keys as the flags; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    builds: BuildFlags,
    /// How many items to ask for [default: 10]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    k: Vec<usize>,
    /// Sizes of the candidate list [default: what reaches recalls from 0.8 to 0.999 by the
    /// calibration of the index; without one, from k on in steps of √2, until nothing is missed]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    ef: Vec<usize>,
    /// End a search where what is left is so many times as far as the kth result, 1 or more; each
    /// with every --ef [default: the candidate list alone ends it]
    #[arg(long, value_name = "X,…", value_delimiter = ',', conflicts_with = "server")]
    slack: Vec<f64>,
    /// Candidates that are scored on their vectors; each with every --ef [default: by the codes]
    #[arg(long, value_name = "N,…", value_delimiter = ',', conflicts_with = "server")]
    rerank: Vec<usize>,
    /// Shares of the true neighbors to search for, as hard as the calibration of the index says
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    target_recall: Vec<f64>,
    /// Also search exactly
    #[arg(long)]
    exact: bool,
    /// Searching threads; several numbers show how speed scales [default: 1]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Keep each searching thread on one processor
    #[arg(long)]
    pin: bool,
    /// Give each thread its share of the queries at once, as a call of the server with many queries
    /// does: it answers more of them a second than one by one, and none has a latency of its own
    #[arg(long, conflicts_with_all = ["server", "rate", "filters"])]
    batch: bool,
    /// Send so many queries a second over all threads, answered or not, in place of asking as fast
    /// as answers come
    #[arg(long, value_name = "QPS,…", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Rounds of each point [default: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Least seconds of a round, which is whole passes over the queries [default: 2]
    #[arg(long, value_name = "SECONDS")]
    min_seconds: Option<f64>,
    /// Filtered workload, as `datasets generate filters` writes it: its groups are measured in place
    /// of the plain queries, at the default --ef where none is named
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "slack", "rerank",
        "target_recall", "exact", "ann_benchmarks_out"])]
    filters: Option<PathBuf>,
    /// How the items that pass a filter are searched: auto, exact, two-hop, walk [default: auto]
    #[arg(long, value_name = "PLAN,…", value_delimiter = ',', requires = "filters")]
    plan: Vec<PlanChoice>,
    /// Runbook of insertions, deletions and replacements (big-ann's YAML): its searches are measured
    /// in place of the plain queries, by exact scan over what is live
    #[arg(long, value_name = "FILE.yaml", conflicts_with_all = ["filters", "server", "ef", "slack",
        "rerank", "target_recall", "exact", "ann_benchmarks_out"])]
    runbook: Option<PathBuf>,
    /// Measure a running server, over HTTP, instead of building
    #[arg(long, value_name = "URL", requires = "index")]
    server: Option<String>,
    /// Its index
    #[arg(long, value_name = "NAME", requires = "server")]
    index: Option<String>,
    /// Where the results go; points that it has are not measured again
    #[arg(long, value_name = "FILE.jsonl", default_value = "sweep.jsonl")]
    out: PathBuf,
    /// Also write the results of one thread as ann-benchmarks' result files, which its plot.py and
    /// data_export.py read, into this folder
    #[arg(long, value_name = "DIR")]
    ann_benchmarks_out: Option<PathBuf>,
    /// Folder for indexes and true neighbors
    #[arg(long, value_name = "DIR", default_value = "sweep-cache")]
    cache: PathBuf,
    /// Answer commands on standard input, for benches/peers
    #[arg(long, hide = true)]
    worker: bool,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

/// Builds: each list is crossed with the others.
#[derive(Args)]
struct BuildFlags {
    /// Who builds the graph: hnsw, hnsw-rs
    #[arg(long, value_name = "BUILDER,…", value_delimiter = ',')]
    builder: Vec<BuilderKind>,
    /// Most edges of a node in the base layer [default: 32, or 48 for ip]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    max_degree: Vec<usize>,
    /// Size of the candidate list while building
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    ef_construction: Vec<usize>,
    /// What searches read in place of the vectors: auto, none, i8, u4
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    codes: Vec<CodesChoice>,
    /// Slack when edges are pruned [default: found by small trial builds]
    #[arg(long, value_name = "A,…", value_delimiter = ',')]
    alpha: Vec<f32>,
    /// Store components as these types [default: that of the input]
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',')]
    element: Vec<ElementType>,
    /// Logged queries that builds learn from, of which no test query should be one; `none`: a build
    /// that learns nothing [default: none]
    #[arg(long, value_name = "FILE[#COLUMN],…", value_delimiter = ',')]
    learn: Vec<String>,
}

/// Every spec with every value, or as they are where there is none.
fn cross<T: Clone>(
    specs: Vec<BuildSpec>,
    values: &[T],
    set: impl Fn(&mut BuildSpec, T),
) -> Vec<BuildSpec> {
    if values.is_empty() {
        return specs;
    }
    let with = |spec: BuildSpec| {
        values.iter().map({
            let set = &set;
            move |value| {
                let mut spec = spec.clone();
                set(&mut spec, value.clone());
                spec
            }
        })
    };
    specs.into_iter().flat_map(with).collect()
}

impl BuildFlags {
    /// What is built: `configured`, or one build of defaults, crossed with the flags.
    fn specs(&self, configured: Vec<BuildSpec>) -> Vec<BuildSpec> {
        let specs = if configured.is_empty() { vec![BuildSpec::default()] } else { configured };
        let specs = cross(specs, &self.builder, |s, b| s.builder = b.name().to_owned());
        let specs = cross(specs, &self.max_degree, |s, n| s.max_degree = Some(n));
        let specs = cross(specs, &self.ef_construction, |s, n| s.ef_construction = n);
        let specs = cross(specs, &self.codes, |s, c| s.codes = c.name().to_owned());
        let specs = cross(specs, &self.alpha, |s, a| s.alpha = Some(a));
        let specs = cross(specs, &self.element, |s, e| s.element = Some(e.name().to_owned()));
        cross(specs, &self.learn, |s, file| s.learn = Some(file).filter(|file| file != "none"))
    }
}

/// What is measured, all defaults filled in.
struct Plan {
    sets: Vec<Set>,
    builds: Vec<BuildSpec>,
    k: Vec<usize>,
    searches: Searches,
    /// How filtered workloads are searched.
    plans: Vec<PlanChoice>,
    threads: Vec<usize>,
    paces: Vec<Pace>,
    rounds: usize,
    min_time: Duration,
    /// The processors that threads are pinned to, in order; empty where they are not.
    processors: Vec<usize>,
    /// Where result files of ann-benchmarks go.
    ann_benchmarks: Option<PathBuf>,
}

/// The flag, or what is configured where it says nothing.
fn first<T: Clone>(flag: &[T], configured: Vec<T>) -> Vec<T> {
    if flag.is_empty() { configured } else { flag.to_vec() }
}

/// The first that says anything.
fn either<T>(flag: &[T], configured: Vec<T>, default: T) -> Vec<T>
where
    T: Clone,
{
    match (flag, configured) {
        ([], configured) if configured.is_empty() => vec![default],
        ([], configured) => configured,
        (flag, _) => flag.to_vec(),
    }
}

impl Plan {
    fn new(args: &SweepArgs) -> Result<Self, Failure> {
        let config = args.config.as_ref().map(Config::read).transpose()?.unwrap_or_default();
        let builds = args.builds.specs(config.build);
        builds.iter().try_for_each(BuildSpec::check)?;
        let rates = first(&args.rate, config.rate);
        let min_seconds = args.min_seconds.or(config.min_seconds).unwrap_or(2.0);
        let plan = Self {
            sets: sets(args, config.dataset)?,
            builds,
            k: either(&args.k, config.k, 10),
            searches: Searches {
                ef: first(&args.ef, config.ef),
                slack: first(&args.slack, config.slack),
                rerank: first(&args.rerank, config.rerank),
                target_recall: first(&args.target_recall, config.target_recall),
                exact: args.exact || config.exact,
            },
            plans: first(&args.plan, vec![PlanChoice::Auto]),
            threads: either(&args.threads, config.threads, 1),
            paces: match rates.is_empty() {
                true if args.batch || config.batch => vec![Pace::Batch],
                true => vec![Pace::Closed],
                false => rates.iter().copied().map(Pace::Open).collect(),
            },
            rounds: args.rounds.or(config.rounds).unwrap_or(5),
            min_time: Duration::try_from_secs_f64(min_seconds)
                .map_err(|e| Failure::usage(format!("--min-seconds {min_seconds}: {e}")))?,
            processors: if args.pin || config.pin { processors()? } else { Vec::new() },
            ann_benchmarks: args.ann_benchmarks_out.clone(),
        };
        plan.check(&rates)?;
        Ok(plan)
    }

    fn check(&self, rates: &[f64]) -> Result<(), Failure> {
        let searches = self.searches.ef.iter().chain(&self.searches.rerank);
        let counts = self.k.iter().chain(searches).chain(&self.threads).chain([&self.rounds]);
        if counts.into_iter().any(|&count| count == 0) {
            return Err(Failure::usage("nothing can be measured")
                .expected("--k, --ef, --rerank, --threads and --rounds from 1", "0"));
        }
        self.searches.at(1, None).iter().try_for_each(SearchSpec::check)?;
        if let Some(rate) = rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
            return Err(Failure::usage("--rate cannot be")
                .expected("queries a second above 0", rate.to_string()));
        }
        let most = self.threads.iter().copied().max().unwrap_or(1);
        if !self.processors.is_empty() && most > self.processors.len() {
            return Err(Failure::usage("--pin has too few processors")
                .expected(format!("--threads up to {}", self.processors.len()), most.to_string()));
        }
        Ok(())
    }

    /// Every plan with every list; with the default one where none is named.
    fn filtered_searches(&self) -> impl Iterator<Item = SearchSpec> {
        let lists = listed(&self.searches.ef);
        self.plans.iter().flat_map(move |&plan| {
            let spec = SearchSpec { plan: Some(plan), ..SearchSpec::default() };
            lists.clone().into_iter().map(move |ef| SearchSpec { ef, ..spec })
        })
    }

    /// The most that is asked for.
    fn most(&self) -> usize {
        self.k.iter().copied().max().unwrap_or(1)
    }
}

/// The sets that the flags name.
fn sets(args: &SweepArgs, configured: Vec<String>) -> Result<Vec<Set>, Failure> {
    if let (Some(base), Some(queries), Some(metric)) = (&args.input, &args.queries, args.metric) {
        let file = base.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![Set {
            name: args.name.clone().unwrap_or(file),
            base: base.clone(),
            queries: queries.clone(),
            truth: args.truth.clone(),
            metric,
        }]);
    }
    let names = if args.dataset.is_empty() { &configured } else { &args.dataset };
    if names.is_empty() {
        return Err(Failure::usage("there is nothing to sweep")
            .next("name a set with --dataset, or its files with --input, --queries and --metric"));
    }
    names.iter().map(|name| Set::find(name)).collect()
}

pub(crate) fn run(args: &SweepArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    if args.worker {
        return worker::converse(&report);
    }
    let plan = Plan::new(args)?;
    let workload = args.filters.as_deref().map(Workload::read).transpose()?;
    let mut results = Results::open(&args.out)?;
    for set in &plan.sets {
        let cache = Cache::open(&args.cache, set)?;
        let queries = Queries::read(&set.queries)?;
        for &k in &plan.k {
            let ground = Ground { plan: &plan, set, queries: &queries, k };
            let points = if let (Some(url), Some(name)) = (&args.server, &args.index) {
                let subject = server(&ground, &cache, url, name, &report)?;
                measure(&ground, &[subject], &mut results, &report)?
            } else if let Some(runbook) = &args.runbook {
                streamed::measure(&ground, &cache, runbook, &mut results, &report)?
            } else if let Some(workload) = &workload {
                let attributes = workload.attributes();
                let subjects = builds(&ground, &cache, attributes.as_deref(), &report)?;
                filtered::measure(&ground, workload, &subjects, &mut results, &report)?
            } else {
                let subjects = builds(&ground, &cache, None, &report)?;
                let subjects = with_truth(&ground, &cache, subjects, &report)?;
                measure(&ground, &subjects, &mut results, &report)?
            };
            print(&table::of(&points))?;
            print(&regret::of(&points))?;
        }
    }
    print(&format!(
        "{DIM}next{DIM:#}  index-tools plot {} --out {}\n",
        args.out.display(),
        args.out.with_extension("html").display()
    ))
}

/// Every build of the plan, all open at once so that they can be measured in turn.
fn builds(
    ground: &Ground<'_>,
    cache: &Cache,
    attributes: Option<&Path>,
    report: &Reporter,
) -> Result<Vec<Subject<Index>>, Failure> {
    let Ground { plan, set, queries, .. } = *ground;
    let build = |spec| cache.index(spec, attributes, report);
    let built: Vec<_> = plan.builds.iter().map(build).collect::<Result<_, _>>()?;
    let mut subjects = Vec::new();
    for built in built {
        let before = machine::resident_mib();
        let index = Index::open(&built.index, LoadMode::Copy)?;
        let opened = machine::resident_mib().zip(before).map(|(now, before)| now - before);
        queries.check_dim(&set.queries, index.info().dim, &set.base.to_string())?;
        let facts = Facts::of_build(&index, &built, opened);
        subjects.push(Subject { engine: index, facts });
    }
    Ok(subjects)
}

/// The true neighbors in the distances of each index, whose type may round; those of a file are not
/// used.
fn with_truth(
    ground: &Ground<'_>,
    cache: &Cache,
    subjects: Vec<Subject<Index>>,
    report: &Reporter,
) -> Result<Vec<(Subject<Index>, Answers)>, Failure> {
    let Ground { plan, set, queries, k } = *ground;
    let (ids, _) = cache.truth(k, plan.most(), false, report)?;
    check_rows(set, &ids, queries)?;
    let from = set.truth.as_ref().unwrap_or(&set.base);
    let with = |subject: Subject<Index>| {
        let truth = scored_truth(&ids, k, from, &subject.engine, queries)?;
        Ok((subject, truth))
    };
    subjects.into_iter().map(with).collect()
}

/// A running server. It has no vectors to score true ids on, so they are found with distances.
fn server(
    ground: &Ground<'_>,
    cache: &Cache,
    url: &str,
    name: &str,
    report: &Reporter,
) -> Result<(Subject<Remote>, Answers), Failure> {
    let Ground { plan, set, queries, k } = *ground;
    let remote = Remote::open(url, name)?;
    queries.check_dim(&set.queries, remote.detail.dim, url)?;
    if remote.metric() != set.metric {
        return Err(Failure::data(format!("{name} of {url} is not of this set"))
            .expected(set.metric.name(), remote.metric().name()));
    }
    let (ids, distances) = cache.truth(k, plan.most(), true, report)?;
    check_rows(set, &ids, queries)?;
    let mut truth = Answers::default();
    for (ids, distances) in ids.iter().zip(distances.iter().flat_map(|d| d.iter())) {
        let k = k.min(ids.len());
        let (ids, distances) = (&ids[..k], &distances[..k]);
        let scores: Vec<f32> = distances.iter().map(|&d| set.metric.score(d)).collect();
        truth.push_truth(set.metric, ids, &scores);
    }
    Ok((Subject { facts: Facts::of_server(&remote, url), engine: remote }, truth))
}

fn check_rows(set: &Set, ids: &IdMatrix, queries: &Queries) -> Result<(), Failure> {
    if ids.rows() == queries.rows() {
        return Ok(());
    }
    let truth = set.truth.as_ref().map(InputSpec::to_string).unwrap_or_default();
    Err(Failure::data(format!("{truth} is not of these queries")).expected(
        format!("{} rows, one a query of {}", queries.rows(), set.queries),
        ids.rows().to_string(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_crossed() {
        let flags = BuildFlags {
            builder: Vec::new(),
            max_degree: vec![16, 32],
            ef_construction: vec![100, 200, 400],
            codes: vec![CodesChoice::None, CodesChoice::I8],
            alpha: Vec::new(),
            element: Vec::new(),
            learn: vec!["none".to_owned(), "users.npy".to_owned()],
        };
        let specs = flags.specs(Vec::new());
        assert_eq!(specs.len(), 24);
        assert_eq!(specs.iter().filter(|s| s.learn.is_none()).count(), 12);
        assert!(specs.iter().any(|s| s.max_degree == Some(32) && s.ef_construction == 100));
        assert!(specs.iter().any(|s| s.max_degree == Some(16) && s.codes == "none"));
    }
}
