//! `index-tools truth`: the exact neighbors of queries.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use vicinage::eval::truth::{Truth, TruthSearch};
use vicinage::progress::Progress;
use vicinage::types::Metric;
use vicinage::vectors::Vectors;
use vicinage_datasets::{
    Batch, DistanceMatrix, Format, IdMatrix, InputSpec, ReadOptions, find_duplicate_id, open,
    write_distances, write_ground_truth, write_ids,
};

use crate::args::{ProgressArgs, threads_or_cores};
use crate::batch::block;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::text::{BOLD, fields, print, styled};
use crate::units;

/// Find the exact nearest items of queries, straight from the vectors
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools truth --input items.npy --queries users.npy --metric ip --out neighbors.npy
  index-tools eval jobs --queries users.npy --truth neighbors.npy

Neighbors are named by item id where the base has ids, by row otherwise. Distances are smaller for
closer items: squared L2, minus the inner product, 1 minus the cosine.")]
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
    /// Where to write the neighbors' ids: .npy, .npz, .ibin or .ivecs; or .bin, with their distances
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write their distances: .npy, .npz, .fbin or .fvecs
    #[arg(long, value_name = "FILE")]
    distances: Option<PathBuf>,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

pub(crate) fn run(args: &TruthArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let started = Instant::now();
    let queries = Queries::read(&args.queries)?;
    let rows = queries.rows();
    let (truth, ids) = search(args, queries, &report)?;
    let mut neighbors = IdMatrix::new(truth.k);
    let name = |&row: &u64| ids.as_ref().map_or(row, |ids| ids[row as usize]);
    for row in truth.ids.chunks_exact(truth.k) {
        neighbors.push(&row.iter().map(name).collect::<Vec<_>>());
    }
    let mut distances = DistanceMatrix::new(truth.k);
    truth.distances.chunks_exact(truth.k).for_each(|row| distances.push(row));
    match Format::of(&args.out) {
        Some(Format::Bin) => write_ground_truth(&args.out, &neighbors, &distances)?,
        _ => write_ids(&args.out, &neighbors)?,
    }
    if let Some(path) = &args.distances {
        write_distances(path, &distances)?;
    }
    let mut text = format!("{}\n", styled(BOLD, args.out.display()));
    let mut lines = vec![
        ("queries", units::count(rows as u64)),
        ("neighbors", format!("{} each, {}", truth.k, args.metric)),
    ];
    lines.extend(args.distances.iter().map(|path| ("distances", path.display().to_string())));
    lines.push(("time", units::seconds(started.elapsed().as_secs_f64())));
    fields(&mut text, &lines);
    print(&text)
}

/// The neighbors by row, and the ids of the rows where the base has ids.
fn search(
    args: &TruthArgs,
    queries: Queries,
    report: &Reporter,
) -> Result<(Truth, Option<Vec<u64>>), Failure> {
    let options = ReadOptions { id_column: args.ids.clone(), ..ReadOptions::without_attributes() };
    let mut reader = open(&args.input, &options)?;
    let shape = reader.shape();
    queries.check_dim(&args.queries, shape.dim as usize, &args.input.to_string())?;
    if shape.rows == 0 {
        return Err(Failure::data(format!("{} holds no vectors", args.input)));
    }
    let threads = threads_or_cores(args.threads);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
        Failure::new(Exit::Unavailable, format!("cannot start {threads} threads: {error}"))
    })?;
    let mut search = TruthSearch::new(queries.vectors, queries.dim, args.metric, args.k as usize);
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
