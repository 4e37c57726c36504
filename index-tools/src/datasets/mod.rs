//! `index-tools datasets`: public sets, made-up sets, and what a file is like.
//!
//! | file | what it holds |
//! |---|---|
//! | `list` | the public sets that are known by name |
//! | `fetch`, `download`, `checksums` | fetching one; one file over HTTP; the sums on record |
//! | `filters/` | attributes, filters over them, and the exact answers |
//! | `generate`, `columns`, `runbook` | made-up sets; made-up attributes and interactions; streams |
//! | `pack` | a set as one HDF5 file |
//! | `describe` | what a file of vectors is like |

mod checksums;
mod columns;
mod describe;
mod download;
mod fetch;
mod filters;
mod generate;
mod list;
mod pack;
mod runbook;

pub(crate) use checksums::{io, write_whole};
pub(crate) use generate::{Files, MANIFEST};

use clap::{Args, Subcommand};

use crate::exit::Failure;
use crate::progress::ProgressMode;

/// List and fetch public sets, make up and pack sets, describe files of vectors
#[derive(Args)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  index-tools datasets list
  index-tools datasets fetch fashion-mnist-784-euclidean
  index-tools datasets generate two-tower --n 100000 --out tt
  index-tools datasets describe tt/base.npy --queries tt/test.npy --metric ip")]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    List(list::ListArgs),
    Fetch(fetch::FetchArgs),
    #[command(subcommand)]
    Generate(generate::GenerateArgs),
    Pack(pack::PackArgs),
    Describe(describe::DescribeArgs),
}

impl DatasetsArgs {
    /// How progress is shown; none where nothing takes time.
    pub(crate) fn progress(&self) -> Option<ProgressMode> {
        match &self.what {
            What::List(_) => None,
            What::Fetch(args) => Some(args.progress.progress),
            What::Generate(args) => args.progress(),
            What::Pack(args) => Some(args.progress.progress),
            What::Describe(args) => Some(args.progress.progress),
        }
    }
}

pub(crate) fn run(args: &DatasetsArgs) -> Result<(), Failure> {
    match &args.what {
        What::List(args) => list::run(args),
        What::Fetch(args) => fetch::run(args),
        What::Generate(args) => generate::run(args),
        What::Pack(args) => pack::run(args),
        What::Describe(args) => describe::run(args),
    }
}
