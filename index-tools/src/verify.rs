//! `index-tools verify`: is an index as it was written?

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;
use vicinage::error::Corruption;
use vicinage::index::verify;

use crate::args::{FormatArgs, ProgressArgs};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::text::{GREEN, Table, heading, print, print_json};
use crate::units;

/// Read every byte of an index and compare checksums
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools verify jobs
  index-tools verify jobs --deep && vicinage serve --index jobs

Exits with 76 when the index is corrupt, and names every damaged place.")]
pub(crate) struct VerifyArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Also check what the bytes mean: every node reachable, every item found by its id, every
    /// column readable
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &VerifyArgs) -> Result<(), Failure> {
    // There is nothing to clean up, so Ctrl-C may end it as the system does.
    let report = Reporter::new(args.progress.progress, Interrupt::none());
    let started = Instant::now();
    let found = verify(&args.dir, args.deep, &report)?;
    let seconds = started.elapsed().as_secs_f64();
    if args.format.json() {
        print_json(&json!({
            "index": args.dir, "generation": found.generation, "bytes": found.bytes,
            "deep": args.deep, "seconds": seconds,
            "damage": found.damage.iter().map(damage_json).collect::<Vec<_>>(),
        }))?;
    }
    if let Some(first) = found.damage.first() {
        if !args.format.json() && found.damage.len() > 1 {
            print(&list(&found.damage))?;
        }
        let mut failure = Failure::of(first);
        if found.damage.len() > 1 {
            failure = failure.detail("and", format!("{} places more", found.damage.len() - 1));
        }
        let next = "restore the index from a copy, or build it again; do not serve it";
        return Err(failure.with_exit(Exit::Corrupt).next(next));
    }
    if args.format.json() {
        return Ok(());
    }
    let depth = if args.deep { "every byte and its meaning" } else { "every byte" };
    print(&format!(
        "{GREEN}whole{GREEN:#}: {}, generation {}: {depth} as written ({}, {})\n",
        args.dir.display(),
        found.generation,
        units::bytes(found.bytes),
        units::seconds(seconds),
    ))
}

fn list(damage: &[Corruption]) -> String {
    let mut text = String::new();
    heading(&mut text, "Damage");
    let mut table = Table::new(["file<", "section<", "byte", "expected<", "found<"]);
    for one in damage {
        table.row([
            one.path.display().to_string(),
            one.section.clone(),
            one.offset.to_string(),
            one.expected.clone(),
            one.found.clone(),
        ]);
    }
    table.write(&mut text);
    text
}

fn damage_json(damage: &Corruption) -> serde_json::Value {
    json!({
        "file": damage.path, "section": damage.section, "offset": damage.offset,
        "expected": damage.expected, "found": damage.found,
    })
}
