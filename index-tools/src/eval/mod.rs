//! `index-tools eval`: how good and how fast an index answers.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the arguments; searches; recall against exact answers |
//! | `relevance` | usefulness against what users took, and what approximation costs of it |
//! | `items` | what lists of items are like: diversity, novelty, exposure, groups |
//! | `auc` | how well the scores tell what users took from the rest |
//! | `table` | all of it as tables |

mod auc;
mod items;
mod relevance;
mod table;

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;
use vicinage::index::{Index, LoadMode, Plan, SearchParams};
use vicinage_datasets::{InputSpec, read_ids};

use crate::args::{FormatArgs, ProgressArgs, threads_or_cores};
use crate::calibration::Expected;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::measure::{Answers, Plain, Recall, Speed, ask, exact, recall, scored_truth};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::space::SpaceArgs;
use crate::sweep::builds::listed;
use crate::text::{print, print_json};
use crate::units;
use crate::workload::{self, Workload};
use relevance::RelevanceArgs;

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
  index-tools eval jobs --queries users.npy --filters workload --k 10
  index-tools eval jobs --queries users.npy --relevance heldout.parquet --exclude taken.parquet
      what users took later, without what they had had before: how useful the answers are, and how
      much of that approximate searches lose against exact ones
  index-tools eval jobs --queries users.npy --relevance heldout.parquet --k 10 --ef 50,100 \\
      --popularity taken_count --group seller --auc full --format json

Recall is the share of the true neighbors found: by id, and by distance as ann-benchmarks has it
(an answer as close as the kth true neighbor counts). With --relevance it is over the queries for
which something is relevant, as are NDCG, relevant recall (the share of the relevant items found),
precision, MRR (one over the rank of the first relevant item) and hit rate; diversity (mean 1 -
cosine of pairs of a list), novelty (bits), coverage and Gini index (of how often items are shown)
are over all. AUC is the chance that a relevant item scores higher than another. Intervals hold
95 % of 1,000 bootstrap samples of the queries. docs/benchmarks.md defines each measure. Times are
of single searches on one thread.")]
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
    /// What is relevant to whom: Parquet with query (the row of --queries), item_ids and maybe grades,
    /// a row a query; or with query, item_id and maybe grade, a row an interaction
    #[arg(long, value_name = "FILE")]
    relevance: Option<PathBuf>,
    #[command(flatten)]
    judging: RelevanceArgs,
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
    /// Sizes of the candidate list [default: 50,100,200,400, raised to k, where no --target-recall is
    /// given]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    ef: Vec<usize>,
    /// Shares of the true neighbors to search for, as hard as the calibration of the index says
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    target_recall: Vec<f32>,
    /// Also search exactly; with --relevance that is always done, and this takes its time on one thread
    #[arg(long)]
    exact: bool,
    /// Threads for what is not timed: true neighbors that are not given, AUC, intervals [default: one a
    /// core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    format: FormatArgs,
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
    recall: Recall,
    #[serde(flatten)]
    judged: Option<relevance::Judged>,
    /// None of an exact search that was not timed.
    speed: Option<Speed>,
}

/// What all lines are of.
struct Ground<'a> {
    args: &'a EvalArgs,
    index: &'a Index,
    queries: &'a Queries,
    report: &'a Reporter,
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
    let ground = Ground { args, index: &index, queries: &queries, report: &report };
    let (json, text) = if let Some(dir) = &args.filters {
        let workload = Workload::read(dir)?;
        workload::report(&workload, &index, &queries, &filtered(args), &report)?
    } else if let Some(path) = &args.relevance {
        relevance::report(&ground, path)?
    } else {
        against_truth(&ground)?
    };
    if args.format.json() { print_json(&json) } else { print(&text) }
}

/// Recall against exact answers, given or found: as JSON, and as a table.
fn against_truth(ground: &Ground<'_>) -> Result<(serde_json::Value, String), Failure> {
    let Ground { args, index, queries, report } = *ground;
    let plain = Plain { engine: index, queries };
    let truth = match &args.truth {
        Some(spec) => truth(args, spec, index, queries)?,
        None => exact(&plain, args.most(), threads_or_cores(args.threads), report)?,
    };
    let mut lines = Vec::new();
    for (k, way) in asked(args, args.exact) {
        let (found, speed) = ask(&plain, &way.params(k), report)?;
        let recall = recall(index.info().metric, &found, &truth, k);
        lines.push(Line { speed: Some(speed), ..Line::new(index, (k, way), recall)? });
    }
    let json = json!({
        "index": args.dir, "queries": queries.rows(), "results": lines,
        "calibrated_on": index.calibration().map(|calibration| &calibration.queries_from),
    });
    Ok((json, table::of_truth(ground, &lines)))
}

impl EvalArgs {
    /// The most items that are asked for.
    fn most(&self) -> usize {
        self.k.iter().copied().max().unwrap_or(1)
    }
}

impl Line {
    /// Of a search that was neither judged nor timed yet.
    fn new(index: &Index, (k, way): (usize, Way), recall: Recall) -> Result<Self, Failure> {
        let params = way.params(k);
        let effort = params.target_recall.map(|recall| index.effort(k, recall)).transpose()?;
        Ok(Self {
            k,
            ef: params.ef,
            target_recall: params.target_recall.map(units::as_written),
            effort: effort.map(Expected::from),
            recall,
            judged: None,
            speed: None,
        })
    }
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

/// Every k in every way, each pair once; exact search first, if it is wanted.
fn asked(args: &EvalArgs, exact: bool) -> Vec<(usize, Way)> {
    let mut pairs = Vec::new();
    for &k in &args.k {
        let exact = exact.then_some(Way::Exact).into_iter();
        let efs = match (args.ef.is_empty(), args.target_recall.is_empty()) {
            (false, _) => args.ef.clone(),
            (true, true) => EF.map(|ef| ef.max(k)).into(),
            (true, false) => Vec::new(),
        };
        let efs = efs.into_iter().map(Way::Ef);
        let recalls = args.target_recall.iter().map(|&recall| Way::Recall(recall));
        for way in exact.chain(efs).chain(recalls) {
            if !pairs.contains(&(k, way)) {
                pairs.push((k, way));
            }
        }
    }
    pairs
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
    let most = args.most();
    if ids.k() < most && (ids.k() as u64) < index.info().n {
        return Err(Failure::usage(format!("{spec} has too few neighbors for --k {most}"))
            .expected(format!("--k up to {}", ids.k()), most.to_string()));
    }
    scored_truth(&ids, most, spec, index, queries)
}
