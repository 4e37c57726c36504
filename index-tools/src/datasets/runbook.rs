//! `index-tools datasets generate runbook`: in which order items come, change and go.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vicinage_datasets::generate::{RunbookKind, RunbookParams, make_runbook};
use vicinage_datasets::write_runbook;

use super::generate::{SeedArgs, check_free};
use crate::exit::Failure;
use crate::text::{BOLD, fields, print, styled};
use crate::units;

/// A stream of insertions, deletions, replacements and searches, in the form of big-ann
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets generate runbook --n 100000 --out tt/runbook.yaml
  index-tools datasets generate runbook --n 100000 --kind expiration --rounds 50 --out tt/runbook.yaml
  index-tools truth --runbook tt/runbook.yaml --input tt/base.npy --queries tt/test.npy --metric ip \\
      --out tt/runbook-truth")]
pub(crate) struct RunbookArgs {
    /// How items come and go
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Mixed)]
    kind: Kind,
    /// Rows of the items' file
    #[arg(long, value_name = "N", default_value_t = RunbookParams::default().n)]
    n: u32,
    /// Rounds of updates, most of which end with a search
    #[arg(long, value_name = "N", default_value_t = RunbookParams::default().rounds)]
    rounds: u32,
    /// Clusters of a mixed runbook
    #[arg(long, value_name = "N", default_value_t = RunbookParams::default().clusters)]
    clusters: u32,
    #[command(flatten)]
    seed: SeedArgs,
    /// Name of the set in the runbook [default: the name of the file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// YAML file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A window over the rows, half of them wide
    SlidingWindow,
    /// Batches that live for a short or long time, or for ever
    Expiration,
    /// Clusters that gain rows, lose their oldest, or have some replaced
    Mixed,
}

pub(super) fn run(args: &RunbookArgs) -> Result<(), Failure> {
    check_free(&args.out, args.overwrite)?;
    let kind = match args.kind {
        Kind::SlidingWindow => RunbookKind::SlidingWindow,
        Kind::Expiration => RunbookKind::Expiration,
        Kind::Mixed => RunbookKind::Mixed,
    };
    let RunbookArgs { n, rounds, clusters, ref seed, .. } = *args;
    let stem = || args.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or_else(stem);
    let params = RunbookParams { kind, n, rounds, clusters, seed: seed.seed };
    let runbook = make_runbook(&name, &params)?;
    write_runbook(&args.out, &runbook)?;
    let steps = units::count(runbook.steps().len() as u64);
    let searches = units::count(runbook.searches() as u64);
    let mut text = format!("{}  {kind}\n", styled(BOLD, args.out.display()));
    fields(
        &mut text,
        &[
            ("steps", format!("{steps}, {searches} of them searches")),
            ("live", format!("at most {}", units::count(runbook.max_pts()))),
        ],
    );
    print(&text)
}
