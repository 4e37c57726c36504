//! `index-tools eval`: how good and how fast an index answers.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;
use vicinage::index::{Index, LoadMode, SearchParams};
use vicinage_datasets::{InputSpec, Relevance, read_ids, read_relevance};

use crate::args::{FormatArgs, ProgressArgs, threads_or_cores};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::measure::{
    Answers, Recall, Speed, Usefulness, ask, exact, recall, scored_truth, usefulness,
};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::text::{BOLD, DIM, Table, print, print_json, styled};
use crate::units;
use crate::workload::{self, Workload};

/// Measure recall, usefulness and speed of an index
#[derive(Args)]
#[command(group = ArgGroup::new("against").args(["truth", "relevance", "filters"]))]
#[command(after_help = "\
Examples:
  index-tools eval jobs --queries users.npy --k 10,100 --ef 50,100,200
      against the exact answers of the index itself, which it finds first
  index-tools eval jobs --queries users.npy --truth neighbors.npy
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
    /// Filtered workload, as `datasets generate filters` writes it: its groups are asked one by one,
    /// by exact search among the items that pass
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ef", "exact"])]
    filters: Option<PathBuf>,
    /// How many items to ask for
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,100")]
    k: Vec<usize>,
    /// Sizes of the candidate list; one below k is raised to k
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "50,100,200,400")]
    ef: Vec<usize>,
    /// Also search exactly
    #[arg(long)]
    exact: bool,
    /// Threads that find the true neighbors where they are not given [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What answers are held against.
enum Standard {
    Truth(Answers),
    Relevance(Relevance),
}

/// One line of the result. `ef` is none for exact search.
#[derive(Serialize)]
struct Line {
    k: usize,
    ef: Option<usize>,
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
    let index = Index::open(&args.dir, LoadMode::Populate)?;
    let queries = Queries::read(&args.queries)?;
    queries.check_dim(&args.queries, index.info().dim, &args.dir.display().to_string())?;
    if let Some(dir) = &args.filters {
        let workload = Workload::read(dir)?;
        let (json, text) = workload::report(&workload, &index, &queries, &args.k, &report)?;
        return if args.format.json() { print_json(&json) } else { print(&text) };
    }
    let standard = standard(args, &index, &queries, &report)?;
    let mut lines = Vec::new();
    for (k, ef) in asked(args) {
        let params = SearchParams { ef, exact: ef.is_none(), ..SearchParams::top(k) };
        let (found, speed) = ask(&index, &queries, &params, &report)?;
        let metric = index.info().metric;
        lines.push(match &standard {
            Standard::Truth(truth) => {
                let recall = Some(recall(metric, &found, truth, k));
                Line { k, ef, recall, usefulness: None, speed }
            }
            Standard::Relevance(relevance) => {
                let usefulness = Some(usefulness(&found, |query| relevance.judged(query), k));
                Line { k, ef, recall: None, usefulness, speed }
            }
        });
    }
    if args.format.json() {
        return print_json(&json!({
            "index": args.dir, "queries": queries.rows(), "results": lines,
        }));
    }
    print(&table(args, &index, &queries, &lines))
}

/// Every k with every ef, each pair once; no ef is exact search.
fn asked(args: &EvalArgs) -> Vec<(usize, Option<usize>)> {
    let mut pairs = Vec::new();
    for &k in &args.k {
        let efs = args.ef.iter().map(|&ef| Some(ef.max(k)));
        for ef in args.exact.then_some(None).into_iter().chain(efs) {
            if !pairs.contains(&(k, ef)) {
                pairs.push((k, ef));
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
    let names = ["k", "ef"].iter().chain(quality).chain(&speed);
    let mut table = Table::new(names);
    for line in lines {
        let ef = line.ef.map_or("exact".to_owned(), |ef| ef.to_string());
        let mut cells = vec![line.k.to_string(), ef];
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
    if let Some(judged) = lines.iter().find_map(|line| line.usefulness.map(|u| u.judged_queries)) {
        let judged = units::count(judged as u64);
        text += &format!("{DIM}something is relevant to {judged} of the queries{DIM:#}\n");
    }
    text
}
