//! `index-tools datasets generate filters`: attributes for given items, filters over them, and the
//! exact answers of given queries under each.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the command; from the parts to the folder |
//! | `items` | the attributes, written and in columns |
//! | `cells` | items in cells, which correlated filters are made of |
//! | `own` | filters that were given |
//! | `shapes` | the filters of each shape |
//! | `tags` | those over tags |
//! | `solve` | the exact answers |

mod cells;
mod items;
mod own;
mod shapes;
mod solve;
mod tags;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::value::to_raw_value;
use vicinage::types::Metric;
use vicinage_datasets::{DistanceMatrix, IdMatrix, InputSpec, ReadOptions, open};

use super::checksums::io;
use super::generate::{SeedArgs, check_free, publish};
use crate::args::ProgressArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::{ProgressMode, Reporter};
use crate::queries::Queries;
use crate::text::{BOLD, Table, print, styled};
use crate::truth::{Wanted, thread_pool};
use crate::units;
use crate::workload::{self, ATTRIBUTES, Contents, GroupNote, Line, Manifest};

use items::Items;
use shapes::Made;
use solve::Solved;

/// The largest k of the groups whose filters pass about as many items as are asked for.
const FEW: usize = 10;
/// Items nearest to a query, in which the correlation of filters is measured.
const NEAREST: u32 = 1000;
/// Ids in all lists of a size: longer lists go to fewer queries.
const MOST_EXCLUDED: usize = 5_000_000;

/// Filters of chosen selectivity and correlation with the queries, or one's own, with exact answers
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools datasets generate filters --input tt/base.npy --queries tt/test.npy --metric ip \\
      --out tt/filters
  index-tools build --input tt/base.npy --attributes-from tt/filters/attributes.parquet \\
      --metric ip --out index
  index-tools eval index --queries tt/test.npy --filters tt/filters --k 10

  index-tools datasets generate filters --input items.npy --attributes-from items.parquet \\
      --queries users.npy --filters logged.jsonl --metric ip --out logged
      exact answers of one's own filters; figures are told by shape, and by how much passes:
      up to 0.01, 0.1, 1, 10, 50, 100 %

Shapes: random (a category, whatever the vector), correlated and anti-correlated (cells of items
nearest to and farthest from the query), range (of a number that goes with the vector in part), and,
or, not (of tags with Zipf frequencies), few (ids: none, one, k - 1, k, k + 1 of them), exclude (the
query's true nearest items are not to be found again).")]
pub(crate) struct FiltersArgs {
    /// Item vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    input: InputSpec,
    /// Query vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC")]
    metric: Metric,
    /// Take these filters instead: JSON Lines, each with a filter, in JSON or as text in a string,
    /// and the rows of its queries from 0: {"filter": "year >= 2020", "queries": [0, 7]}; and maybe
    /// a "shape" and a "selectivity" to tell figures by
    #[arg(long, value_name = "FILE", conflicts_with_all = ["selectivity", "exclude", "group"])]
    filters: Option<PathBuf>,
    /// Attributes that --filters is about, as in `build` [default: those of --input]
    #[arg(long, value_name = "FILE", requires = "filters")]
    attributes_from: Option<PathBuf>,
    /// Shares of the items that are to pass
    #[arg(
        long,
        value_name = "S,…",
        value_delimiter = ',',
        default_value = "0.5,0.1,0.01,0.001,0.0001"
    )]
    selectivity: Vec<f64>,
    /// Lengths of the lists of excluded items
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "100,10000")]
    exclude: Vec<u32>,
    /// Queries of each group: the first ones of the file
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    group: u32,
    /// True neighbors of each query
    #[arg(long, value_name = "K", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    k: u32,
    /// Folder to write into; its name is the workload's
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    seed: SeedArgs,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl FiltersArgs {
    pub(super) fn progress(&self) -> ProgressMode {
        self.progress.progress
    }

    fn check(&self) -> Result<(), Failure> {
        if let Some(bad) = self.selectivity.iter().find(|&&s| !(s > 0.0 && s < 1.0)) {
            return Err(Failure::usage("--selectivity cannot be that")
                .expected("shares between 0 and 1", bad.to_string()));
        }
        if self.exclude.contains(&0) {
            return Err(Failure::usage("--exclude cannot be that").expected("from 1", "0"));
        }
        let all = [
            workload::MANIFEST,
            workload::FILTERS,
            workload::ATTRIBUTES,
            workload::EXCLUDED,
            workload::TRUTH_IDS,
            workload::TRUTH_DISTANCES,
            workload::MATCHES,
        ];
        all.iter().try_for_each(|name| check_free(&self.out.join(name), self.overwrite))
    }
}

/// What all steps work on.
struct Work<'a> {
    args: &'a FiltersArgs,
    n: u64,
    /// The queries of every group.
    queries: &'a Queries,
    report: &'a Reporter,
    pool: &'a rayon::ThreadPool,
}

impl Work<'_> {
    /// The rows nearest to the first `queries` queries, without a filter.
    fn nearest(&self, queries: usize, k: u32) -> Result<vicinage::eval::truth::Truth, Failure> {
        let Queries { dim, ref vectors } = *self.queries;
        let queries = Queries { vectors: vectors[..queries * dim].to_vec(), dim };
        let wanted = Wanted {
            input: &self.args.input,
            queries: &self.args.queries,
            metric: self.args.metric,
            k,
            ids: None,
            threads: self.args.threads,
        };
        Ok(crate::truth::search(&wanted, queries, self.report)?.0)
    }
}

pub(super) fn filters(args: &FiltersArgs) -> Result<(), Failure> {
    let started = Instant::now();
    args.check()?;
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let shape = open(&args.input, &ReadOptions::without_attributes())?.shape();
    if !(1..=u64::from(u32::MAX)).contains(&shape.rows) {
        return Err(Failure::data(format!("{} cannot be filtered", args.input))
            .expected("1 to 4294967295 items", shape.rows.to_string()));
    }
    let mut queries = Queries::read(&args.queries)?;
    queries.check_dim(&args.queries, shape.dim as usize, &args.input.to_string())?;
    let rows = queries.rows();
    if args.filters.is_none() {
        queries.vectors.truncate(args.group as usize * queries.dim);
    }
    let pool = thread_pool(args.threads)?;
    std::fs::create_dir_all(&args.out).map_err(|error| io("create", &args.out, &error))?;
    let folder = tempfile::Builder::new().prefix(".writing-").tempdir_in(&args.out)?;
    let work = Work { args, n: shape.rows, queries: &queries, report: &report, pool: &pool };

    // Filters of one's own are asked as they are, and nothing else is.
    let (items, mut made, exclude) = match &args.filters {
        Some(path) => {
            let items = Items::read(&work, args.attributes_from.as_deref())?;
            let made = own::read(path, &work, &items)?;
            (items, made, &[][..])
        }
        None => {
            let (items, cells) = Items::make(&work, &folder.path().join(ATTRIBUTES))?;
            let made = shapes::make(&work, (&items, &cells))?;
            (items, made, args.exclude.as_slice())
        }
    };
    // Filters of one's own may be asked of a few queries of a long file.
    let asked = made.iter().flat_map(|made| &made.filters).flat_map(|(_, queries)| queries);
    let asked = asked.max().map_or(0, |last| *last as usize + 1);
    let near = work.nearest(asked, NEAREST.min(shape.rows as u32))?;
    let mut solved = solve::solve(&work, &items, &made, &near)?;
    for &size in exclude {
        if u64::from(size) <= shape.rows / 2 {
            let (group, answers) = solve::excluded(&work, &items, size)?;
            made.push(group);
            solved.push(answers);
        }
    }
    let manifest = manifest(args, shape, rows, made.iter().zip(&solved));
    let contents = contents(manifest, &made, solved)?;
    let mut names = workload::write(folder.path(), &contents)?;
    names.extend(args.filters.is_none().then_some(ATTRIBUTES));
    report.interrupt().check()?;
    publish(folder.path(), &args.out, names.iter().copied())?;
    print(&summary(args, &contents.manifest, started.elapsed().as_secs_f64()))
}

fn manifest<'a>(
    args: &FiltersArgs,
    shape: vicinage_datasets::Shape,
    queries: usize,
    groups: impl Iterator<Item = (&'a Made, &'a Solved)>,
) -> Manifest {
    let name = args.out.file_name().unwrap_or(args.out.as_os_str());
    Manifest {
        schema: workload::SCHEMA,
        name: name.to_string_lossy().into_owned(),
        writer: concat!("index-tools ", env!("CARGO_PKG_VERSION")).to_owned(),
        metric: args.metric,
        n: shape.rows,
        dim: u64::from(shape.dim),
        queries: queries as u64,
        k: u64::from(args.k),
        seed: args.seed.seed,
        groups: groups.map(|(made, solved)| note(made, solved, shape.rows)).collect(),
    }
}

fn note(made: &Made, solved: &Solved, n: u64) -> GroupNote {
    let queries = solved.matches.len();
    let passing = solved.matches.iter().sum::<u64>() as f64;
    GroupNote {
        shape: made.shape.to_string(),
        target: made.selectivity,
        selectivity: passing / queries.max(1) as f64 / n as f64,
        filters: made.filters.len() as u64,
        queries: queries as u64,
        correlation: solved.correlation,
    }
}

fn contents(manifest: Manifest, made: &[Made], solved: Vec<Solved>) -> Result<Contents, Failure> {
    let k = manifest.k as usize;
    let (truth, distances) = (IdMatrix::new(k), DistanceMatrix::new(k));
    let (matches, excluded, lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut contents = Contents { manifest, lines, truth, distances, matches, excluded };
    for (group, solved) in made.iter().zip(solved) {
        let has_lists = !solved.excluded.is_empty();
        for (filter, queries) in &group.filters {
            let filter = to_raw_value(filter).map_err(|error| {
                Failure::new(Exit::Internal, format!("cannot write JSON: {error}"))
            })?;
            contents.lines.push(Line {
                shape: group.shape.to_string(),
                selectivity: group.selectivity,
                filter,
                excluded: has_lists.then_some(contents.excluded.len() as u64),
                queries: queries.clone(),
            });
        }
        solved.neighbors.iter().for_each(|(ids, distances)| {
            contents.truth.push(ids);
            contents.distances.push(distances);
        });
        contents.matches.extend(solved.matches);
        contents.excluded.extend(solved.excluded);
    }
    Ok(contents)
}

fn summary(args: &FiltersArgs, manifest: &Manifest, seconds: f64) -> String {
    let mut text = format!(
        "{}  {} items, {}, {} queries a group, {}\n",
        styled(BOLD, args.out.display()),
        units::count(manifest.n),
        manifest.metric,
        units::count(manifest.groups.iter().map(|group| group.queries).max().unwrap_or(0)),
        units::seconds(seconds),
    );
    let mut table = Table::new(["shape<", "asked", "pass", "filters", "queries", "near, times"]);
    for group in &manifest.groups {
        table.row([
            group.shape.clone(),
            format!("{:.4} %", 100.0 * group.target),
            format!("{:.4} %", 100.0 * group.selectivity),
            units::count(group.filters),
            units::count(group.queries),
            format!("{:.2}", group.correlation),
        ]);
    }
    table.write(&mut text);
    text
}
