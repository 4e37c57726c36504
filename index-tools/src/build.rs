//! `index-tools build`: from data files to an index.

use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde_json::json;
use vicinage::builder::{BuildError, BuildParams, BuildReport, build};
use vicinage::index::Calibration;
use vicinage::segments::meta::{Meta, SelfCheck};
use vicinage_datasets::InputSpec;

use crate::args::{BuildArgs, FormatArgs, InputArgs, ProgressArgs};
use crate::calibration;
use crate::exit::{Exit, Failure};
use crate::input::Items;
use crate::interrupt::Interrupt;
use crate::learned;
use crate::machine::peak_resident_mib;
use crate::progress::Reporter;
use crate::queries::{CALIBRATED, LEARNED, Queries};
use crate::space;
use crate::text::{BOLD, DIM, YELLOW, fields, print, print_json, styled};
use crate::units;

/// Build an index, or a new generation of one that exists
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools build --input items.parquet --metric ip --out jobs
      ids from column item_id, all other columns as attributes
  index-tools build --input items.parquet#embedding --ids sku --attributes brand,price \\
      --metric cosine --element f16 --out shoes
  index-tools build --input items.f16.npy --attributes-from items.parquet --metric ip --out jobs
      vectors and attributes in two files
  index-tools build --input items.npy --attributes-from items.parquet --attribute title \
      --attribute year:i64 --unmatched count --metric ip --out jobs
      two of the attributes, one as another type; items that have none are counted
  index-tools build --input items.npy --queries users.npy --metric ip --out jobs
      the graph learns from logged users, and searches that name a recall reach it for them
  index-tools build --input items.parquet --space space.toml --metric ip --out jobs
      queries that say that they are of another model's space are refused

Readers of an index that exists keep what they have open; the new generation takes its place when
it is complete. Ctrl-C stops the build and leaves nothing behind.")]
pub(crate) struct BuildCommand {
    #[command(flatten)]
    input: InputArgs,
    /// Directory of the index: new, empty, or an index
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    build: BuildArgs,
    /// Logged queries, evenly spread over the file where there are more than are used. Of 200 and
    /// more, four in five, at most 50,000, show which edges the graph lacks and where such queries
    /// come in; the others, at most 2,000, what that brings and what effort reaches which recall
    /// [default: items stand in, and nothing is learned]
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: Option<InputSpec>,
    /// The space.toml that was exported with the vectors: of what model they are. Queries that name
    /// another one are refused
    #[arg(long, value_name = "FILE")]
    space: Option<PathBuf>,
    /// Learn nothing from --queries, which then calibrate alone
    #[arg(long, requires = "queries")]
    no_repair: bool,
    /// End when this process ends, which started this one
    #[arg(long, hide = true)]
    with_parent: Option<i32>,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Ends with the process `parent`: a sweep that is killed shall not leave a build that slows the next
/// one down, or makes again what that has cleaned up.
fn follow(parent: i32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| Failure::new(Exit::Internal, format!("cannot follow the parent: {e}")))?;
    // It may have ended before the system knew of the wish.
    if Pid::as_raw(getppid()) != parent {
        return Err(Failure::new(
            Exit::Interrupted,
            "the process that wanted this build has ended",
        ));
    }
    Ok(())
}

pub(crate) fn run(args: &BuildCommand) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    if let Some(parent) = args.with_parent {
        follow(parent)?;
    }
    let mut items = Items::open(&args.input)?;
    let skipped = items.skipped();
    let (queries, given) = queries(args, items.shape().dim as usize)?;
    let space = args.space.as_deref().map(space::read).transpose()?;
    let params = BuildParams { queries, space, repair: !args.no_repair, ..args.build.params() };
    let built = build(&args.out, &mut items, &params, &report).map_err(|error| match &error {
        BuildError::Query { .. } => Failure::of(&error).about(&told(args.queries.as_ref())),
        BuildError::Space(error) => Failure::of(error)
            .about(&args.space.as_deref().unwrap_or(Path::new("--space")).display().to_string()),
        _ => failed(&error, &args.input),
    })?;
    let lonely = items.unmatched();
    if args.format.json() {
        let mut json = json!({
            "index": args.out, "skipped_columns": skipped, "build": built,
            "queries_given": given, "peak_resident_mib": peak_resident_mib(),
            "unmatched": { "items": lonely.0, "attributes": lonely.1 },
        });
        json["build"]["calibration"] = calibration::to_json(built.calibration.as_ref());
        return print_json(&json);
    }
    let mut text = format!("{}\n", styled(BOLD, args.out.display()));
    fields(&mut text, &summary(&built));
    learned::write(&mut text, built.repair.as_ref());
    calibration::write(&mut text, built.calibration.as_ref());
    text += &spread(built.calibration.as_ref(), given);
    text += &unmatched(lonely);
    for column in skipped {
        text +=
            &format!("  {YELLOW}left out{YELLOW:#}  column {column}: no attribute has that type\n");
    }
    for file in &built.not_removed {
        text += &format!("  {YELLOW}remains{YELLOW:#}   {file}\n");
    }
    print(&text)
}

/// What was counted of `--unmatched count`.
fn unmatched((items, rows): (u64, u64)) -> String {
    let mut text = String::new();
    for (count, of, what) in [
        (items, "items", "have no row among the attributes, and none of them"),
        (rows, "rows", "of attributes are of no item, and left out"),
    ] {
        if count > 0 {
            let count = units::count(count);
            text += &format!("  {YELLOW}unmatched{YELLOW:#} {count} {of} {what}\n");
        }
    }
    text
}

/// The queries to learn from and to calibrate with, and how many the file has.
fn queries(args: &BuildCommand, dim: usize) -> Result<(Option<Vec<f32>>, Option<usize>), Failure> {
    let Some(spec) = &args.queries else { return Ok((None, None)) };
    let most = CALIBRATED + if args.no_repair { 0 } else { LEARNED };
    let (queries, given) = Queries::spread(spec, most)?;
    queries.check_dim(spec, dim, &args.input.input.to_string())?;
    Ok((Some(queries.vectors), Some(given)))
}

/// An input as it was named.
fn told(spec: Option<&InputSpec>) -> String {
    spec.map(InputSpec::to_string).unwrap_or_default()
}

/// Says so where only some of the queries that were given are asked.
pub(crate) fn spread(calibration: Option<&Calibration>, given: Option<usize>) -> String {
    match calibration.zip(given) {
        Some((calibration, given)) if given > calibration.queries as usize => format!(
            "  {DIM}which are evenly spread over the {} of the file{DIM:#}\n",
            units::count(given as u64)
        ),
        _ => String::new(),
    }
}

/// A failed build. What is wrong with a row is told with the file that the row is in.
pub(crate) fn failed(error: &BuildError, input: &InputArgs) -> Failure {
    let failure = Failure::of(error);
    match error {
        BuildError::NotFinite { .. }
        | BuildError::NotIntegral { .. }
        | BuildError::ZeroVector { .. }
        | BuildError::NotUnit { .. }
        | BuildError::TooLarge { .. }
        | BuildError::DuplicateId { .. }
        | BuildError::Empty
        | BuildError::TooMany { .. }
        | BuildError::Column(_) => failure.about(&input.input.to_string()),
        _ => failure,
    }
}

/// What was built.
pub(crate) fn summary(built: &BuildReport) -> Vec<(&'static str, String)> {
    let (build, statistics) = (&built.meta.build, &built.meta.statistics);
    let total: f64 = built.seconds.iter().map(|(_, seconds)| seconds).sum();
    let stages: Vec<String> = built
        .seconds
        .iter()
        .map(|(stage, seconds)| format!("{} {}", stage.name(), units::seconds(*seconds)))
        .collect();
    let generation = built.generation;
    let mut fields = vec![
        ("items", format!("{} × {} {}", units::count(built.n), built.dim, built.element)),
        ("size", units::bytes(built.file_bytes)),
        ("generation", generation.to_string()),
        ("graph", graph(&build.builder, build.max_degree, build.ef_construction, build.alpha)),
        ("codes", codes(&built.meta)),
        ("time", units::seconds(total)),
        ("stages", stages.chunks(4).map(|some| some.join(", ")).collect::<Vec<_>>().join("\n")),
    ];
    if statistics.unreachable > 0 {
        fields.push(("unreachable", format!("{} items", units::count(statistics.unreachable))));
    }
    if let Some(check) = &statistics.self_check {
        fields.push(("self-check", self_check(check)));
    }
    fields
}

/// The graph in one line.
pub(crate) fn graph(
    builder: &str,
    degree: u32,
    ef_construction: u32,
    alpha: Option<f32>,
) -> String {
    let alpha = alpha.map(|alpha| format!(", alpha {alpha}")).unwrap_or_default();
    format!("{builder}, max degree {degree}, ef_construction {ef_construction}{alpha}")
}

/// The codes, and what was measured to choose them.
pub(crate) fn codes(meta: &Meta) -> String {
    let mut text = match &meta.codes {
        Some(codes) => format!("{}, {} bytes a row", codes.kind, codes.stride),
        None => "none, searches read the vectors".to_owned(),
    };
    for probe in &meta.codes_probe {
        text += &format!(
            "\n{}: {} of the 10 nearest are among its {} closest (a sample)",
            probe.kind,
            units::share(probe.recall),
            probe.rerank,
        );
    }
    text
}

/// The self-check in one line.
pub(crate) fn self_check(check: &SelfCheck) -> String {
    format!(
        "recall@{} {} by id, {} by distance (ef {}, {} of the {} asked)",
        check.k,
        units::share(check.recall_id),
        units::share(check.recall_distance),
        check.ef,
        check.queries,
        check.queries_from,
    )
}
