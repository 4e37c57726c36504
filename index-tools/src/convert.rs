//! `index-tools convert`: vectors, neighbors and distances from one file format to another.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use vicinage::progress::Progress;
use vicinage_datasets::{
    AttributeColumns, Batch, DistanceMatrix, Element, Format, IdMatrix, InputSpec, ReadOptions,
    Shape, VectorReader, VectorWriter, WriteOptions, create, open, read_distances, read_ids,
    write_distances, write_ground_truth, write_ids,
};

use crate::args::ProgressArgs;
use crate::batch::narrow;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::text::{BOLD, YELLOW, fields, print, styled};
use crate::units;

/// Write vectors, neighbors or distances in another file format
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools convert --input items.parquet#embedding --out items.arrow
  index-tools convert --input 'parts/*.parquet' --out items.fbin --no-ids --no-attributes
  index-tools convert --input sift.hdf5#train --out sift.u8bin
  index-tools convert --kind neighbors --input sift.hdf5#neighbors --out sift.ivecs

Formats go by the extension, input and output alike. Types change where the output has another one
that holds every value (u8 to f32); a type that rounds has to be asked for with --element. The
output appears when it is complete, and what it cannot hold is an error: ids and attributes have to
be left out by name.")]
pub(crate) struct ConvertArgs {
    /// What to read: a file, a folder of files, or a pattern such as 'part-*.parquet'
    #[arg(long, value_name = "FILE[#COLUMN]")]
    input: InputSpec,
    /// What to write
    #[arg(long, value_name = "FILE[#COLUMN]")]
    out: InputSpec,
    /// What the input holds
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Vectors)]
    kind: Kind,
    /// Type of the components: f64, f32, f16, i8 or u8 [default: that of the input, or the one that
    /// the output format fixes]
    #[arg(long, value_name = "TYPE")]
    element: Option<Element>,
    /// Column of the item ids [default: item_id, else id]
    #[arg(long, value_name = "COLUMN")]
    ids: Option<String>,
    /// Leave the ids out
    #[arg(long, conflicts_with = "ids")]
    no_ids: bool,
    /// Columns to keep as attributes [default: all that can be]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    attributes: Option<Vec<String>>,
    /// Leave the attributes out
    #[arg(long, conflicts_with = "attributes")]
    no_attributes: bool,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// With --kind neighbors, to a format that holds both (.ibin, .bin): their distances
    #[arg(long, value_name = "FILE")]
    distances: Option<InputSpec>,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Vectors, with ids and attributes where both formats have them
    Vectors,
    /// Ids of neighbors, a row a query
    Neighbors,
    /// Distances of neighbors, a row a query
    Distances,
}

/// What was written.
struct Written {
    what: String,
    skipped: Vec<String>,
}

pub(crate) fn run(args: &ConvertArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let started = Instant::now();
    let written = match args.kind {
        Kind::Vectors => vectors(args, &report)?,
        Kind::Neighbors | Kind::Distances => matrix(args)?,
    };
    let seconds = started.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&args.out.path)?.len();
    let mut text = format!("{}\n", styled(BOLD, &args.out));
    let rate = units::bytes((bytes as f64 / seconds.max(1e-9)) as u64);
    let time = format!("{}, {rate}/s", units::seconds(seconds));
    fields(&mut text, &[("holds", written.what), ("size", units::bytes(bytes)), ("time", time)]);
    for column in written.skipped {
        text +=
            &format!("  {YELLOW}left out{YELLOW:#}  column {column}: no attribute has that type\n");
    }
    print(&text)
}

fn vectors(args: &ConvertArgs, report: &Reporter) -> Result<Written, Failure> {
    if args.distances.is_some() {
        return Err(Failure::usage("--distances goes with --kind neighbors"));
    }
    let attributes = match (&args.attributes, args.no_attributes) {
        (_, true) => AttributeColumns::None,
        (Some(names), false) => AttributeColumns::Named(names.clone()),
        (None, false) => AttributeColumns::All,
    };
    let options = ReadOptions { id_column: args.ids.clone(), attributes, ..ReadOptions::default() };
    let mut reader = open(&args.input, &options)?;
    let element = element(args, reader.shape())?;
    let rows = args.limit.unwrap_or(u64::MAX).min(reader.shape().rows);
    let shape = Shape { rows, element, ..reader.shape() };
    report.start("convert", Some(rows), "rows");
    let mut batch = Batch::default();
    let mut writer = writer(args, shape, &*reader)?;
    let mut left = rows;
    while left > 0 && reader.next_batch(&mut batch)? {
        report.interrupt().check()?;
        batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        batch.convert(element).map_err(|error| Failure::of(&narrow(reader.path(), &error)))?;
        if args.no_ids {
            batch.ids = None;
        }
        writer.write(&batch)?;
        left -= batch.rows as u64;
        report.advance(batch.rows as u64);
    }
    writer.finish()?;
    report.finish();
    let skipped = reader.skipped().iter();
    Ok(Written {
        what: format!("{} vectors of {} × {element}", units::count(rows), shape.dim),
        skipped: skipped.map(|column| format!("{} ({})", column.name, column.data_type)).collect(),
    })
}

/// The type to write: the one asked for, else the one that the output format fixes if it holds
/// every value, else that of the input.
fn element(args: &ConvertArgs, shape: Shape) -> Result<Element, Failure> {
    if let Some(element) = args.element {
        return Ok(element);
    }
    let fixed = Format::of(&args.out.path).and_then(Format::fixed_element);
    let element = fixed.unwrap_or(shape.element);
    if element.holds(shape.element) {
        return Ok(element);
    }
    Err(Failure::usage(format!("{} holds {element}, which loses precision", args.out))
        .expected(format!("an input of {element}"), format!("{} in {}", shape.element, args.input))
        .next(format!("pass --element {element} to convert all the same")))
}

fn writer(
    args: &ConvertArgs,
    shape: Shape,
    reader: &dyn VectorReader,
) -> Result<Box<dyn VectorWriter>, Failure> {
    let (ids, attributes) = (reader.has_ids() && !args.no_ids, reader.attributes());
    let holds_columns = Format::of(&args.out.path).is_none_or(Format::has_columns);
    if !holds_columns && (ids || !attributes.is_empty()) {
        let (lost, flags) = match (ids, attributes.len()) {
            (true, 0) => ("the item ids".to_owned(), "--no-ids"),
            (false, count) => (format!("{count} attributes"), "--no-attributes"),
            (true, count) => {
                (format!("the item ids and {count} attributes"), "--no-ids --no-attributes")
            }
        };
        return Err(Failure::usage(format!("{} would lose {lost}", args.out))
            .expected("an output with columns: .parquet, .arrow or .jsonl", "vectors alone")
            .next(format!("pass {flags} to leave them out")));
    }
    let mut options = WriteOptions {
        id_column: ids.then(|| args.ids.clone().unwrap_or_else(|| "item_id".to_owned())),
        attributes: attributes.to_vec(),
        ..WriteOptions::default()
    };
    if let Some(column) = &args.out.column {
        options.vector_column.clone_from(column);
    }
    Ok(create(&args.out.path, shape, &options)?)
}

fn matrix(args: &ConvertArgs) -> Result<Written, Failure> {
    let given = [
        ("--element", args.element.is_some()),
        ("--ids", args.ids.is_some()),
        ("--no-ids", args.no_ids),
        ("--attributes", args.attributes.is_some()),
        ("--no-attributes", args.no_attributes),
        ("--limit", args.limit.is_some()),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!("{flag} goes with --kind vectors")));
    }
    let written = |rows: usize, k: usize, what: &str| Written {
        what: format!("{what} of {} queries, {k} each", units::count(rows as u64)),
        skipped: Vec::new(),
    };
    let path: &PathBuf = &args.out.path;
    match (args.kind, &args.distances) {
        (Kind::Neighbors, Some(distances)) => {
            let ids: IdMatrix = read_ids(&args.input)?;
            write_ground_truth(path, &ids, &read_distances(distances)?)?;
            Ok(written(ids.rows(), ids.k(), "neighbors and distances"))
        }
        (Kind::Neighbors, None) => {
            let ids: IdMatrix = read_ids(&args.input)?;
            write_ids(path, &ids)?;
            Ok(written(ids.rows(), ids.k(), "neighbors"))
        }
        (_, Some(_)) => Err(Failure::usage("--distances goes with --kind neighbors")),
        (_, None) => {
            let distances: DistanceMatrix = read_distances(&args.input)?;
            write_distances(path, &distances)?;
            Ok(written(distances.rows(), distances.k(), "distances"))
        }
    }
}
