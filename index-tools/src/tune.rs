//! `index-tools tune` and `index-tools repair`: what queries tell about an index that exists.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vicinage::builder::{BuildError, ReviseReport, recalibrate, repair};
use vicinage::index::{Index, LoadMode};
use vicinage::progress::Progress;
use vicinage_datasets::InputSpec;

use crate::args::{FormatArgs, ProgressArgs};
use crate::build::spread;
use crate::calibration;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::learned;
use crate::progress::Reporter;
use crate::queries::{CALIBRATED, LEARNED, Queries};
use crate::space::SpaceArgs;
use crate::text::{BOLD, DIM, fields, print, print_json, styled};
use crate::units;

/// Calibrate an index on queries: measure what effort reaches which recall
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools tune jobs --queries users.npy
      searches of jobs that name a recall reach it for such users

At most 2,000 queries are asked. The index gets a new generation that differs in its calibration
alone, and searches that name no recall answer as before. Readers keep what they have open. Ctrl-C
leaves the old generation.")]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) revise: ReviseArgs,
}

/// Learn from queries: edges that searches for them miss, and where they come in
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools repair jobs --queries yesterday.npy
      searches of jobs for such users take less time at the same recall

Four in five of the queries, at most 50,000, are learned from, and the others, at most 2,000, show
what that brings: what makes a recall dearer is not kept. They also calibrate the index. It gets a new
generation; items and their vectors stay as they are, and what was learned before is kept. Readers keep
what they have open. Ctrl-C leaves the old generation.")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) revise: ReviseArgs,
}

#[derive(Args)]
pub(crate) struct ReviseArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Logged queries, of which those that are used are evenly spread over the file
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: InputSpec,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Revises the index in a directory by queries, on so many threads.
type Revise = fn(&Path, Vec<f32>, usize, &dyn Progress) -> Result<ReviseReport, BuildError>;

impl TuneArgs {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.revise.run(recalibrate, CALIBRATED, "tune")
    }
}

impl RepairArgs {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.revise.run(repair, CALIBRATED + LEARNED, "repair")
    }
}

impl ReviseArgs {
    fn run(&self, revise: Revise, most: usize, verb: &str) -> Result<(), Failure> {
        let report = Reporter::new(self.progress.progress, Interrupt::install()?);
        let index = Index::open(&self.dir, LoadMode::Mmap)?;
        self.space.check(&index)?;
        let dim = index.info().dim;
        drop(index);
        let (queries, given) = Queries::spread(&self.queries, most)?;
        queries.check_dim(&self.queries, dim, &self.dir.display().to_string())?;
        let revised = revise(&self.dir, queries.vectors, self.threads, &report);
        let revised = revised.map_err(|error| match &error {
            BuildError::Query { .. } => Failure::of(&error).about(&self.queries.to_string()),
            _ => Failure::of(&error),
        })?;
        let measured = Some(&revised.calibration);
        if self.format.json() {
            let mut json = json!({"index": self.dir, "queries_given": given, verb: revised});
            json[verb]["calibration"] = calibration::to_json(measured);
            return print_json(&json);
        }
        let mut text = format!("{}\n", styled(BOLD, self.dir.display()));
        let total: f64 = revised.seconds.iter().map(|(_, seconds)| seconds).sum();
        let generation = revised.generation.to_string();
        fields(&mut text, &[("generation", generation), ("time", units::seconds(total))]);
        if verb == "repair" && revised.repair.is_none() {
            text += &format!(
                "  {DIM}nothing learned from these queries makes searches cheaper{DIM:#}\n"
            );
        }
        learned::write(&mut text, revised.repair.as_ref());
        calibration::write(&mut text, measured);
        text += &spread(measured, Some(given));
        print(&text)
    }
}
