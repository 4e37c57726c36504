//! `index-tools tune`: what effort reaches which recall, measured anew.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vicinage::builder::BuildError;
use vicinage::builder::recalibrate;
use vicinage::index::{Index, LoadMode};
use vicinage_datasets::InputSpec;

use crate::args::{FormatArgs, ProgressArgs};
use crate::build::spread;
use crate::calibration;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::text::{BOLD, fields, print, print_json, styled};
use crate::units;

/// Calibrate an index on queries: measure what effort reaches which recall
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools tune jobs --queries users.npy
      searches of jobs that name a recall reach it for such users

The index gets a new generation that differs in its calibration alone, and searches that name no
recall answer as before. Readers keep what they have open. Ctrl-C leaves the old generation.")]
pub(crate) struct TuneArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Logged queries; at most 2,000 are asked, evenly spread over the file
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &TuneArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let dim = Index::open(&args.dir, LoadMode::Mmap)?.info().dim;
    let (queries, given) = Queries::to_calibrate(&args.queries)?;
    queries.check_dim(&args.queries, dim, &args.dir.display().to_string())?;
    let tuned = recalibrate(&args.dir, queries.vectors, args.threads, &report);
    let tuned = tuned.map_err(|error| match &error {
        BuildError::Query { .. } => Failure::of(&error).about(&args.queries.to_string()),
        _ => Failure::of(&error),
    })?;
    let measured = Some(&tuned.calibration);
    if args.format.json() {
        let mut json = json!({"index": args.dir, "queries_given": given, "tune": tuned});
        json["tune"]["calibration"] = calibration::to_json(measured);
        return print_json(&json);
    }
    let mut text = format!("{}\n", styled(BOLD, args.dir.display()));
    let total: f64 = tuned.seconds.iter().map(|(_, seconds)| seconds).sum();
    let told = [("generation", tuned.generation.to_string()), ("time", units::seconds(total))];
    fields(&mut text, &told);
    calibration::write(&mut text, measured);
    text += &spread(measured, Some(given));
    print(&text)
}
