//! `index-tools eval`: how good and how fast an index answers.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;
use vicinage::index::{Index, LoadMode, Plan, SearchParams};
use vicinage_datasets::{InputSpec, Relevance, read_ids, read_relevance};

use crate::args::{FormatArgs, ProgressArgs, threads_or_cores};
use crate::calibration::{Expected, measured_on};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::measure::{
    Answers, Recall, Speed, Usefulness, ask, exact, recall, scored_truth, usefulness,
};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::space::SpaceArgs;
use crate::sweep::builds::listed;
use crate::text::{BOLD, DIM, Table, print, print_json, styled};
use crate::units;
use crate::workload::{self, Workload};

/// Sizes of the candidate list where nothing else is said.
const EF: [usize; 4] = [50, 100, 200, 400];

/// Measure recall, usefulness and speed of an index
#[derive(Args)]
#[command(group = ArgGroup::new("against").args(["truth", "relevance", "filters"]))]
#[command(after_help = "\
Examples:
  index-tools eval jobs --queries users.npy --k 10,100 --ef 50,100,200
      against the exact answers of the index itself, which it finds first
  index-tools eval jobs --queries users.npy --truth neighbors.npy
  index-tools eval jobs --queries users.npy --target-recall 0.9,0.95,0.99
      whether searches find the share that the calibration says
  index-tools eval jobs --queries users.npy --relevance relevance.parquet --exact
  index-tools eval jobs --queries users.npy --filters workload --k 10

Recall is the share of the true neighbors found: by id, and by distance as ann-benchmarks has it
(an answer as close as the kth true neighbor counts). NDCG, precision and hit rate are over the
queries for which an item is relevant. Times are of single searches on one thread.")]
pub(crate) struct EvalArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Query vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// True neighbors of each query, by item id: .npy, .npz, .ibin, .ivecs, .bin or .hdf5
    #[arg(long, value_name = "FILE[#ARRAY]")]
    truth: Option<InputSpec>,
    /// Graded relevance: Parquet with query, item_ids, grades, or query, item_id, grade
    #[arg(long, value_name = "FILE")]
    relevance: Option<PathBuf>,
    /// Filtered workload, as `datasets generate filters` writes it: its groups are asked one by one, at
    /// the default --ef where none is named
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target_recall"])]
    filters: Option<PathBuf>,
    /// How the items that pass a filter are searched: exact, two-hop, walk [default: as is estimated to be
    /// the fastest]
    #[arg(long, value_name = "PLAN", requires = "filters")]
    plan: Option<Plan>,
    /// How many items to ask for
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,100")]
    k: Vec<usize>,
    /// Sizes of the candidate list; one below k is raised to k [default: 50,100,200,400, where no
    /// --target-recall is given]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    ef: Vec<usize>,
    /// Shares of the true neighbors to search for, as hard as the calibration of the index says
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    target_recall: Vec<f32>,
    /// Also search exactly
    #[arg(long)]
    exact: bool,
    /// Threads that find the true neighbors where they are not given [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What answers are held against.
enum Standard {
    Truth(Answers),
    Relevance(Relevance),
}

/// How the index is searched.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Exact,
    Ef(usize),
    Recall(f32),
}

/// One line of the result. `ef` is none for exact search, and where a recall was asked for.
#[derive(Serialize)]
struct Line {
    k: usize,
    ef: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_recall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Expected>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<Recall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usefulness: Option<Usefulness>,
    speed: Speed,
}

pub(crate) fn run(args: &EvalArgs) -> Result<(), Failure> {
    if args.k.contains(&0) || args.ef.contains(&0) {
        return Err(Failure::usage("nothing can be asked for").expected("--k and --ef from 1", "0"));
    }
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let index = Index::open(&args.dir, LoadMode::Copy)?;
    args.space.check(&index)?;
    let queries = Queries::read(&args.queries)?;
    queries.check_dim(&args.queries, index.info().dim, &args.dir.display().to_string())?;
    if let Some(dir) = &args.filters {
        let workload = Workload::read(dir)?;
        let searches = filtered(args);
        let (json, text) = workload::report(&workload, &index, &queries, &searches, &report)?;
        return if args.format.json() { print_json(&json) } else { print(&text) };
    }
    let standard = standard(args, &index, &queries, &report)?;
    let mut lines = Vec::new();
    for (k, way) in asked(args) {
        let params = way.params(k);
        let effort = params.target_recall.map(|recall| index.effort(k, recall)).transpose()?;
        let (found, speed) = ask(&index, &queries, &params, &report)?;
        let metric = index.info().metric;
        let (recall, usefulness) = match &standard {
            Standard::Truth(truth) => (Some(recall(metric, &found, truth, k)), None),
            Standard::Relevance(relevance) => {
                (None, Some(usefulness(&found, |query| relevance.judged(query), k)))
            }
        };
        lines.push(Line {
            k,
            ef: params.ef,
            target_recall: params.target_recall.map(units::as_written),
            effort: effort.map(Expected::from),
            recall,
            usefulness,
            speed,
        });
    }
    if args.format.json() {
        return print_json(&json!({
            "index": args.dir, "queries": queries.rows(), "results": lines,
            "calibrated_on": index.calibration().map(|calibration| &calibration.queries_from),
        }));
    }
    print(&table(args, &index, &queries, &lines))
}

/// How a filtered workload is asked.
fn filtered(args: &EvalArgs) -> Vec<SearchParams> {
    let (plan, exact) = (args.plan, args.exact);
    let lists = listed(&args.ef);
    let search = |k| {
        let top = SearchParams { plan, exact, ..SearchParams::top(k) };
        lists.iter().map(move |&ef| SearchParams { ef, ..top })
    };
    args.k.iter().flat_map(|&k| search(k)).collect()
}

impl Way {
    fn params(self, k: usize) -> SearchParams {
        let top = SearchParams::top(k);
        match self {
            Way::Exact => SearchParams { exact: true, ..top },
            Way::Ef(ef) => SearchParams { ef: Some(ef), ..top },
            Way::Recall(recall) => SearchParams { target_recall: Some(recall), ..top },
        }
    }
}

/// Every k in every way, each pair once.
fn asked(args: &EvalArgs) -> Vec<(usize, Way)> {
    let usual: &[usize] = if args.target_recall.is_empty() { &EF } else { &[] };
    let efs = if args.ef.is_empty() { usual } else { &args.ef };
    let mut pairs = Vec::new();
    for &k in &args.k {
        let exact = args.exact.then_some(Way::Exact).into_iter();
        let efs = efs.iter().map(|&ef| Way::Ef(ef.max(k)));
        let recalls = args.target_recall.iter().map(|&recall| Way::Recall(recall));
        for way in exact.chain(efs).chain(recalls) {
            if !pairs.contains(&(k, way)) {
                pairs.push((k, way));
            }
        }
    }
    pairs
}

fn standard(
    args: &EvalArgs,
    index: &Index,
    queries: &Queries,
    report: &Reporter,
) -> Result<Standard, Failure> {
    if let Some(path) = &args.relevance {
        return Ok(Standard::Relevance(read_relevance(path, queries.rows())?));
    }
    if let Some(spec) = &args.truth {
        return Ok(Standard::Truth(truth(args, spec, index, queries)?));
    }
    let k = args.k.iter().copied().max().unwrap_or(1);
    let threads = threads_or_cores(args.threads);
    Ok(Standard::Truth(exact(index, queries, k, threads, report)?))
}

/// Reads true neighbors, and checks that they are those of these queries in this index.
fn truth(
    args: &EvalArgs,
    spec: &InputSpec,
    index: &Index,
    queries: &Queries,
) -> Result<Answers, Failure> {
    let ids = read_ids(spec)?;
    let rows = queries.rows();
    if ids.rows() != rows {
        return Err(Failure::data(format!("{spec} is not of these queries")).expected(
            format!("{rows} rows, one a query of {}", args.queries),
            ids.rows().to_string(),
        ));
    }
    let most = args.k.iter().copied().max().unwrap_or(1);
    if ids.k() < most && (ids.k() as u64) < index.info().n {
        return Err(Failure::usage(format!("{spec} has too few neighbors for --k {most}"))
            .expected(format!("--k up to {}", ids.k()), most.to_string()));
    }
    scored_truth(&ids, most, spec, index, queries)
}

fn table(args: &EvalArgs, index: &Index, queries: &Queries, lines: &[Line]) -> String {
    let info = index.info();
    let mut text = format!(
        "{}  {} items, {}; {} queries, one thread\n",
        styled(BOLD, args.dir.display()),
        units::count(info.n),
        info.metric,
        units::count(queries.rows() as u64),
    );
    let quality: &[&str] = match args.relevance {
        Some(_) => &["NDCG", "precision", "hit rate"],
        None => &["recall by id", "by distance"],
    };
    let speed = ["mean", "p50", "p99", "queries/s"];
    let by_recall = !args.target_recall.is_empty();
    let expected: &[&str] = if by_recall { &["target", "expected"] } else { &[] };
    let names = ["k", "ef"].iter().chain(expected).chain(quality).chain(&speed);
    let mut table = Table::new(names);
    for line in lines {
        let ef = line.ef.or(line.effort.map(|effort| effort.ef));
        let mut cells =
            vec![line.k.to_string(), ef.map_or("exact".to_owned(), |ef| ef.to_string())];
        if by_recall {
            let expected = line.effort.map(|effort| units::share(effort.expected_recall));
            let target = line.target_recall.map(|recall| recall.to_string());
            cells.extend([target, expected].map(Option::unwrap_or_default));
        }
        if let Some(recall) = &line.recall {
            cells.push(units::share(recall.id));
            cells.push(units::share(recall.distance));
        }
        if let Some(usefulness) = &line.usefulness {
            let Usefulness { ndcg, precision, hit_rate, .. } = usefulness;
            cells.extend([ndcg, precision, hit_rate].map(|&share| units::share(share)));
        }
        let Speed { mean_seconds, p50_seconds, p99_seconds, queries_per_second } = line.speed;
        cells.extend([mean_seconds, p50_seconds, p99_seconds].map(units::seconds));
        cells.push(units::count(queries_per_second.round() as u64));
        table.row(cells);
    }
    table.write(&mut text);
    if let Some(calibration) = index.calibration().filter(|_| by_recall) {
        text += &format!("{DIM}what is expected was {}{DIM:#}\n", measured_on(calibration));
    }
    if let Some(judged) = lines.iter().find_map(|line| line.usefulness.map(|u| u.judged_queries)) {
        let judged = units::count(judged as u64);
        text += &format!("{DIM}something is relevant to {judged} of the queries{DIM:#}\n");
    }
    text
}
