//! `index-tools datasets pack`: a set as one HDF5 file, as ann-benchmarks and VIBE have them.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use vicinage::progress::Progress;
use vicinage::types::Metric;
use vicinage_datasets::{
    AnnAttributes, AnnPart, AnnValues, AnnWriter, Batch, DistanceMatrix, IdMatrix, InputSpec,
    ReadOptions, open, read_distances, read_ids,
};

use super::generate::check_free;
use crate::ann;
use crate::args::ProgressArgs;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::open_queries;
use crate::text::{BOLD, fields, print, styled};
use crate::truth::{Neighbors, Wanted, find_rows};
use crate::units;

/// Pack items, queries and true neighbors into one HDF5 file of ann-benchmarks' layout
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets pack --input tt/base.npy --queries tt/test.npy --learn tt/learn.npy \\
      --metric ip --out tt.hdf5
  index-tools datasets pack --input base.u8bin --queries query.u8bin --metric l2 \\
      --neighbors truth.ibin --distances truth.fbin --out set.hdf5

The arrays are train, test, learn, neighbors and distances. True neighbors are found unless they are
given; they are rows of the items. Distances that are found are written as ann-benchmarks has them:
Euclidean (not squared), 1 minus the cosine, minus the inner product.")]
pub(crate) struct PackArgs {
    /// Item vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    input: InputSpec,
    /// Test queries
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// Learn queries
    #[arg(long, value_name = "FILE[#COLUMN]")]
    learn: Option<InputSpec>,
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC")]
    metric: Metric,
    /// Neighbors a query, where they have to be found
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    k: u32,
    /// True neighbors of the test queries, as rows of the items
    #[arg(long, value_name = "FILE", requires = "distances")]
    neighbors: Option<InputSpec>,
    /// Their distances, which are written as they are
    #[arg(long, value_name = "FILE", requires = "neighbors")]
    distances: Option<InputSpec>,
    /// What to write
    #[arg(long, value_name = "FILE.hdf5")]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(super) progress: ProgressArgs,
}

pub(super) fn run(args: &PackArgs) -> Result<(), Failure> {
    check_free(&args.out, args.overwrite)?;
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let started = Instant::now();
    let train = open(&args.input, &ReadOptions::without_attributes())?;
    let base = train.shape();
    let asked = |spec: &InputSpec, array| open_queries(spec, array, &*train, &args.input);
    let test = asked(&args.queries, "test")?;
    let learn = args.learn.as_ref().map(|spec| asked(spec, "learn")).transpose()?;
    let queries = test.shape().rows;
    let mut vectors = vec![("train", train), ("test", test)];
    vectors.extend(learn.map(|learn| ("learn", learn)));
    let neighbors = neighbors(args, &report)?;
    check_truth(args, &neighbors, queries, base.rows)?;

    let ids = AnnValues::Ids { rows: queries, k: neighbors.ids.k() as u32, below: base.rows };
    let distances = AnnValues::Distances { rows: queries, k: neighbors.distances.k() as u32 };
    let part = |name: &str, values| AnnPart { name: name.to_owned(), values };
    let mut parts: Vec<AnnPart> = vectors
        .iter()
        .map(|(name, reader)| part(name, AnnValues::Vectors(reader.shape())))
        .collect();
    parts.extend([part("neighbors", ids), part("distances", distances)]);
    let attributes = AnnAttributes {
        metric: ann::metric_name(args.metric).to_owned(),
        point_type: "float".to_owned(),
        dimension: base.dim,
    };
    let mut writer = AnnWriter::create(&args.out, &attributes, &parts)?;
    for (name, reader) in &mut vectors {
        let mut batch = Batch::default();
        report.start(name, Some(reader.shape().rows), "rows");
        while reader.next_batch(&mut batch)? {
            report.interrupt().check()?;
            batch.ids = None;
            writer.write_vectors(&batch)?;
            report.advance(batch.rows as u64);
        }
        report.finish();
    }
    writer.write_ids(&neighbors.ids)?;
    writer.write_distances(&neighbors.distances)?;
    writer.finish()?;

    let mut text = format!("{}\n", styled(BOLD, args.out.display()));
    let arrays: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let k = neighbors.ids.k();
    fields(
        &mut text,
        &[
            ("items", format!("{} × {} {}", units::count(base.rows), base.dim, base.element)),
            ("queries", format!("{}, {k} neighbors each, {}", units::count(queries), args.metric)),
            ("arrays", arrays.join(", ")),
            ("time", units::seconds(started.elapsed().as_secs_f64())),
        ],
    );
    print(&text)
}

fn neighbors(args: &PackArgs, report: &Reporter) -> Result<Neighbors, Failure> {
    if let (Some(ids), Some(distances)) = (&args.neighbors, &args.distances) {
        return Ok(Neighbors { ids: read_ids(ids)?, distances: read_distances(distances)? });
    }
    let wanted = Wanted {
        input: &args.input,
        queries: &args.queries,
        metric: args.metric,
        k: args.k,
        ids: None,
        threads: args.threads,
    };
    let Neighbors { ids, distances } = find_rows(&wanted, report)?;
    let mut shown = DistanceMatrix::new(distances.k());
    let external = |&distance: &f32| ann::distance(args.metric, distance);
    distances.iter().for_each(|row| shown.push(&row.iter().map(external).collect::<Vec<_>>()));
    Ok(Neighbors { ids, distances: shown })
}

/// Holds neighbors that were given against the items and the queries.
fn check_truth(args: &PackArgs, truth: &Neighbors, queries: u64, n: u64) -> Result<(), Failure> {
    let (ids, distances): (&IdMatrix, &DistanceMatrix) = (&truth.ids, &truth.distances);
    let file = |spec: &Option<InputSpec>| spec.as_ref().map(ToString::to_string);
    let about = |spec: &Option<InputSpec>| {
        Failure::data(format!("{} is not of these queries", file(spec).unwrap_or_default()))
    };
    for (spec, rows) in [(&args.neighbors, ids.rows()), (&args.distances, distances.rows())] {
        if rows as u64 != queries {
            let expected = format!("{queries} rows, one a query of {}", args.queries);
            return Err(about(spec).expected(expected, rows.to_string()));
        }
    }
    for (row, (near, far)) in ids.iter().zip(distances.iter()).enumerate() {
        if near.len() != far.len() {
            let expected = format!("{} distances, one a neighbor", near.len());
            let failure = about(&args.distances).at(format!("row {row}"));
            return Err(failure.expected(expected, far.len().to_string()));
        }
        if let Some(id) = near.iter().find(|&&id| id >= n) {
            let failure = about(&args.neighbors).at(format!("row {row}"));
            return Err(failure.expected(format!("rows of the items, below {n}"), id.to_string()));
        }
    }
    Ok(())
}
