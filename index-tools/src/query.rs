//! `index-tools query`: one query, to look at.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use clap::{ArgGroup, Args};
use serde_json::json;
use vicinage::index::{
    Expression, FilterError, FilterProblem, Hit, Index, LoadMode, Plan, Planned, Restriction,
    Scratch, SearchParams,
};
use vicinage::types::NodeId;
use vicinage_datasets::InputSpec;

use crate::args::FormatArgs;
use crate::calibration::Expected;
use crate::exit::Failure;
use crate::queries::{Queries, parse_vector, vector_from_stdin};
use crate::shortlist::{Columns, attribute_names, to_json, write};
use crate::space::SpaceArgs;
use crate::text::{BOLD, DIM, print, print_json, styled};
use crate::units;

/// Search an index for one vector and show the shortlist
#[derive(Args)]
#[command(group = ArgGroup::new("what").args(["vector", "vectors", "item"]))]
#[command(after_help = "\
Examples:
  index-tools query jobs --item 7 --attributes title
      more like item 7
  index-tools query jobs --vectors users.npy --row 3 --k 20 --exact
  index-tools query jobs --vectors users.npy --target-recall 0.95
      as hard as was measured to find 95 % of the true neighbors
  index-tools query jobs --item 7 --filter 'job_zone >= 4 and not title == \"Chef\"' --explain
      the most similar of those that pass, and what each way to find them would cost
  index-tools query jobs --vector=-0.1,0.25,0.7
  echo '[0.1, 0.2, 0.3]' | index-tools query jobs --format json")]
pub(crate) struct QueryArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The vector, as numbers with commas between them
    #[arg(long, value_name = "NUMBERS", allow_hyphen_values = true)]
    vector: Option<String>,
    /// A file of vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    vectors: Option<InputSpec>,
    /// Which row of the file, from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "vectors")]
    row: usize,
    /// The stored vector of this item, which is left out of the answer
    #[arg(long, value_name = "ID")]
    item: Option<u64>,
    /// How many items to return
    #[arg(long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Size of the candidate list: larger finds more and takes longer [default: 100]
    #[arg(long, value_name = "N", conflicts_with = "exact")]
    ef: Option<usize>,
    /// Share of the true neighbors to expect, in place of --ef: searches as hard as the calibration
    /// of the index says
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["ef", "exact"])]
    target_recall: Option<f32>,
    /// Compare with every vector instead of walking the graph
    #[arg(long)]
    exact: bool,
    /// Only items that pass this filter: text, as in 'language == "eng" and year >= 1990', or JSON;
    /// see docs/filters.md
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Leave out these items
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    exclude: Vec<u64>,
    /// How items that pass are searched: exact, two-hop, walk [default: as is estimated to be the
    /// fastest]
    #[arg(long, value_name = "PLAN", conflicts_with = "exact")]
    plan: Option<Plan>,
    /// Say what each way to search was estimated to cost
    #[arg(long)]
    explain: bool,
    /// Attributes to show
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    attributes: Vec<String>,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &QueryArgs) -> Result<(), Failure> {
    let index = Index::open(&args.dir, LoadMode::Mmap)?;
    args.space.check(&index)?;
    let columns = Columns::find(&index, &args.attributes)?;
    let (vector, exclude) = vector(args, &index)?;
    let (k, ef, exact, target_recall) = (args.k, args.ef, args.exact, args.target_recall);
    let plan = args.plan;
    let params = SearchParams { ef, exact, target_recall, exclude, plan, ..SearchParams::top(k) };
    let restriction = restriction(args, &index).map_err(refused)?;
    let effort = target_recall.map(|recall| index.effort(k, recall)).transpose()?;
    let effort = effort.map(Expected::from);
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    // Once to load pages and grow memory, once for the time that a server would take.
    let mut search = |hits: &mut Vec<Hit>| match restriction.among() {
        None => index.search(&mut scratch, &vector, &params, hits),
        Some(among) => index.search_among(&mut scratch, &vector, &params, &among, hits),
    };
    search(&mut hits)?;
    let started = Instant::now();
    let account = search(&mut hits)?;
    let seconds = started.elapsed().as_secs_f64();
    let planned = scratch.planned().filter(|_| args.explain);
    if args.format.json() {
        return print_json(&json!({
            "index": args.dir, "generation": index.info().generation, "k": k,
            "hits": to_json(&index, &hits, &columns)?, "account": account, "effort": effort,
            "seconds": seconds, "planned": planned,
        }));
    }
    let info = index.info();
    let mut text = format!(
        "{}  {} items, {}\n",
        styled(BOLD, args.dir.display()),
        units::count(info.n),
        info.metric
    );
    write(&mut text, &index, &hits, &columns)?;
    text += &format!(
        "{DIM}{}: {} visited, {} distances, {}{DIM:#}\n",
        account.plan.name(),
        units::count(account.visited),
        units::count(account.distances),
        units::seconds(seconds),
    );
    if let Some(passing) = &restriction.passing {
        text += &format!(
            "{DIM}{} of {} items pass{DIM:#}\n",
            units::count(passing.len()),
            units::count(info.n),
        );
    }
    if let Some(planned) = planned {
        text += &explained(&planned);
    }
    if let Some(effort) = effort {
        text += &format!(
            "{DIM}{}, for an expected recall of {}{DIM:#}\n",
            effort.parameters(),
            units::share(effort.expected_recall)
        );
    }
    if args.attributes.is_empty() && !info.attributes.is_empty() {
        text += &format!("{DIM}attributes to ask for: {}{DIM:#}\n", attribute_names(&index));
    }
    print(&text)
}

/// The items that may be in the answer.
fn restriction(args: &QueryArgs, index: &Index) -> Result<Restriction, FilterError> {
    let filter: Option<Expression> = args.filter.as_deref().map(str::parse).transpose()?;
    index.restriction(filter.as_ref(), &args.exclude)
}

/// A filter that cannot be asked was typed wrong; unless the index is damaged.
fn refused(error: FilterError) -> Failure {
    match error.problem {
        FilterProblem::Corrupt(_) => error.into(),
        _ => Failure::usage(error.to_string()),
    }
}

/// What each way was estimated to cost.
fn explained(planned: &Planned) -> String {
    let Planned { exact_ns, two_hop_ns, walk_ns, .. } = *planned;
    let took = |ns: f32| units::seconds(f64::from(ns) / 1e9);
    format!(
        "{DIM}estimated: exact {}, two-hop {}, walk {}{DIM:#}\n",
        took(exact_ns),
        took(two_hop_ns),
        took(walk_ns),
    )
}

/// The vector to search for, and the node to leave out.
fn vector(args: &QueryArgs, index: &Index) -> Result<(Vec<f32>, Option<NodeId>), Failure> {
    if let Some(item) = args.item {
        let node = index.find(item).ok_or_else(|| {
            Failure::data(format!("{} holds no item {item}", args.dir.display()))
                .expected("the id of an item of the index", item.to_string())
        })?;
        let mut vector = Vec::new();
        index.vector(node, &mut vector);
        return Ok((vector, Some(node)));
    }
    if let Some(spec) = &args.vectors {
        let queries = Queries::read(spec)?;
        queries.check_dim(spec, index.info().dim, &args.dir.display().to_string())?;
        if args.row >= queries.rows() {
            return Err(Failure::usage(format!("{spec} has no row {}", args.row))
                .expected(format!("--row 0 to {}", queries.rows() - 1), args.row.to_string()));
        }
        return Ok((queries.row(args.row).to_vec(), None));
    }
    if let Some(numbers) = &args.vector {
        return Ok((parse_vector(numbers)?, None));
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is nothing to search for")
            .next("pass --vector, --vectors or --item, or a vector on standard input"));
    }
    Ok((vector_from_stdin()?, None))
}
