//! `index-tools truth`: the exact neighbors of queries.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use vicinage::eval::truth::{Truth, TruthSearch};
use vicinage::progress::Progress;
use vicinage::types::Metric;
use vicinage::vectors::Vectors;
use vicinage_datasets::{
    Batch, DistanceMatrix, Format, IdMatrix, InputSpec, ReadOptions, find_duplicate_id, open,
    read_runbook, write_distances, write_ground_truth, write_ids,
};

use crate::args::{ProgressArgs, threads_or_cores};
use crate::batch::block;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::runbook::{Base, LiveTruth, write_truth};
use crate::text::{BOLD, fields, print, styled};
use crate::units;

/// Find the exact nearest items of queries, straight from the vectors
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools truth --input items.npy --queries users.npy --metric ip --out neighbors.npy
  index-tools eval jobs --queries users.npy --truth neighbors.npy

Neighbors are named by item id where the base has ids, by row otherwise. Distances are smaller for
closer items: squared L2, minus the inner product, 1 minus the cosine.

With --runbook, the neighbors among what is live at each search of a runbook of insertions, deletions
and replacements go to the folder --out, a file a step: step4.gt100. The items are held in memory.")]
pub(crate) struct TruthArgs {
    /// Item vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    input: InputSpec,
    /// Query vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC")]
    metric: Metric,
    /// Neighbors a query
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    k: u32,
    /// Column of the item ids [default: item_id, else id; without either, row numbers]
    #[arg(long, value_name = "COLUMN")]
    ids: Option<String>,
    /// Where to write the neighbors' ids: .npy, .npz, .ibin or .ivecs; or, with their distances,
    /// .bin; with --runbook, a folder
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write their distances: .npy, .npz, .fbin or .fvecs
    #[arg(long, value_name = "FILE")]
    distances: Option<PathBuf>,
    /// Find the neighbors at each search step of this runbook (YAML)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "distances"])]
    runbook: Option<PathBuf>,
    /// The set whose runbook it is, where the file has several
    #[arg(long, value_name = "NAME", requires = "runbook")]
    set: Option<String>,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

/// Whose neighbors are wanted.
pub(crate) struct Wanted<'a> {
    pub(crate) input: &'a InputSpec,
    pub(crate) queries: &'a InputSpec,
    pub(crate) metric: Metric,
    pub(crate) k: u32,
    pub(crate) ids: Option<&'a str>,
    pub(crate) threads: usize,
}

/// Nearest items of queries.
pub(crate) struct Neighbors {
    /// By id where the items have ids, by row otherwise.
    pub(crate) ids: IdMatrix,
    pub(crate) distances: DistanceMatrix,
}

pub(crate) fn run(args: &TruthArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    if let Some(path) = &args.runbook {
        return of_runbook(args, path, &report);
    }
    let started = Instant::now();
    let wanted = Wanted {
        input: &args.input,
        queries: &args.queries,
        metric: args.metric,
        k: args.k,
        ids: args.ids.as_deref(),
        threads: args.threads,
    };
    let neighbors = find(&wanted, &report)?;
    match Format::of(&args.out) {
        Some(Format::Bin) => {
            write_ground_truth(&args.out, &neighbors.ids, &neighbors.distances)?;
        }
        _ => write_ids(&args.out, &neighbors.ids)?,
    }
    if let Some(path) = &args.distances {
        write_distances(path, &neighbors.distances)?;
    }
    let mut text = format!("{}\n", styled(BOLD, args.out.display()));
    let mut lines = vec![
        ("queries", units::count(neighbors.ids.rows() as u64)),
        ("neighbors", format!("{} each, {}", neighbors.ids.k(), args.metric)),
    ];
    lines.extend(args.distances.iter().map(|path| ("distances", path.display().to_string())));
    lines.push(("time", units::seconds(started.elapsed().as_secs_f64())));
    fields(&mut text, &lines);
    print(&text)
}

/// Finds the neighbors at each search step of a runbook.
fn of_runbook(args: &TruthArgs, path: &Path, report: &Reporter) -> Result<(), Failure> {
    let started = Instant::now();
    let runbook = read_runbook(path, args.set.as_deref())?;
    let queries = Queries::read(&args.queries)?;
    let base = Base::read(&args.input, &runbook, report)?;
    queries.check_dim(&args.queries, base.dim(), &args.input.to_string())?;
    let pool = thread_pool(args.threads)?;
    let mut truth = LiveTruth::new(&base, &queries, args.metric, args.k as usize, &pool);
    write_truth(&runbook, &mut truth, &args.out, report)?;
    let mut text = format!("{}\n", styled(BOLD, args.out.display()));
    fields(
        &mut text,
        &[
            ("runbook", format!("{}, {} steps", runbook.name(), runbook.steps().len())),
            ("searches", units::count(runbook.searches() as u64)),
            ("queries", units::count(queries.rows() as u64)),
            ("neighbors", format!("{} each, {}", args.k, args.metric)),
            ("time", units::seconds(started.elapsed().as_secs_f64())),
        ],
    );
    print(&text)
}

/// Finds the neighbors, as a stage of `report`.
pub(crate) fn find(wanted: &Wanted<'_>, report: &Reporter) -> Result<Neighbors, Failure> {
    let (truth, ids) = search(wanted, Queries::read(wanted.queries)?, report)?;
    Ok(named(&truth, ids.as_deref()))
}

/// The same, by row whether or not the items have ids.
pub(crate) fn find_rows(wanted: &Wanted<'_>, report: &Reporter) -> Result<Neighbors, Failure> {
    let (truth, _) = search(wanted, Queries::read(wanted.queries)?, report)?;
    Ok(named(&truth, None))
}

fn named(truth: &Truth, ids: Option<&[u64]>) -> Neighbors {
    let mut neighbors =
        Neighbors { ids: IdMatrix::new(truth.k), distances: DistanceMatrix::new(truth.k) };
    let name = |&row: &u64| ids.map_or(row, |ids| ids[row as usize]);
    for row in truth.ids.chunks_exact(truth.k) {
        neighbors.ids.push(&row.iter().map(name).collect::<Vec<_>>());
    }
    truth.distances.chunks_exact(truth.k).for_each(|row| neighbors.distances.push(row));
    neighbors
}

/// A pool of `threads` threads, one a core for 0.
pub(crate) fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    let threads = threads_or_cores(threads);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
        Failure::new(Exit::Unavailable, format!("cannot start {threads} threads: {error}"))
    })
}

/// The neighbors of `queries` by row, and the ids of the rows where the base has ids.
pub(crate) fn search(
    wanted: &Wanted<'_>,
    queries: Queries,
    report: &Reporter,
) -> Result<(Truth, Option<Vec<u64>>), Failure> {
    let options = ReadOptions {
        id_column: wanted.ids.map(str::to_owned),
        ..ReadOptions::without_attributes()
    };
    let mut reader = open(wanted.input, &options)?;
    let shape = reader.shape();
    queries.check_dim(wanted.queries, shape.dim as usize, &wanted.input.to_string())?;
    if shape.rows == 0 {
        return Err(Failure::data(format!("{} holds no vectors", wanted.input)));
    }
    let pool = thread_pool(wanted.threads)?;
    let mut search =
        TruthSearch::new(queries.vectors, queries.dim, wanted.metric, wanted.k as usize);
    let mut ids: Option<Vec<u64>> = None;
    let mut batch = Batch::default();
    report.start("truth", Some(shape.rows), "items");
    while reader.next_batch(&mut batch)? {
        report.interrupt().check()?;
        let block = block(&mut batch, reader.path())?;
        let (element, dim) = (block.element(), batch.dim);
        search.add(Vectors { bytes: block.bytes(), element, dim }, &pool);
        if let Some(more) = &batch.ids {
            ids.get_or_insert_default().extend_from_slice(more);
        }
        report.advance(batch.rows as u64);
    }
    report.finish();
    if let Some(duplicate) = ids.as_deref().and_then(find_duplicate_id) {
        return Err(duplicate.in_file(reader.path()).into());
    }
    Ok((search.finish(), ids))
}
