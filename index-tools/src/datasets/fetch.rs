//! `index-tools datasets fetch`: a public set, checked and on record.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use vicinage_datasets::catalog::{Catalog, CatalogFile, CatalogSet};

use super::checksums::{Checksums, NAME, Recorded, io, sha256};
use super::download::{Download, client};
use crate::args::ProgressArgs;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::text::{BOLD, Table, print, styled};
use crate::units;

/// Fetch a public set; one that was broken off goes on where it was
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets fetch fashion-mnist-784-euclidean
  index-tools datasets fetch text2image-10M --to /data/t2i
  index-tools datasets fetch yfcc-10M --from https://mirror.example.org/yfcc

Lengths and checksums are held against the catalog where it knows them. Otherwise the first fetch
puts them on record in DIR/checksums.toml, and later fetches are held against that.")]
pub(crate) struct FetchArgs {
    /// Name of the set, as `datasets list` has it
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder for its files [default: the name of the set]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Fetch the files from below this address instead of where the catalog says
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

pub(crate) fn run(args: &FetchArgs) -> Result<(), Failure> {
    let set = find(&args.name)?;
    let folder = args.to.clone().unwrap_or_else(|| PathBuf::from(&set.name));
    fs::create_dir_all(&folder).map_err(|error| io("create", &folder, &error))?;
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let mut checksums = Checksums::read(&folder)?;
    let client = client();
    let mut table = Table::new(["file<", "size", "sha256<", "checked<"]);
    for file in &set.files {
        let name = file.file_name();
        let url = match &args.from {
            Some(from) => format!("{}/{name}", from.trim_end_matches('/')),
            None => file.url.clone(),
        };
        let path = folder.join(name);
        let against = if path.exists() {
            check(file, &path, &url, &mut checksums, &report)?
        } else {
            let part = folder.join(format!("{name}.part"));
            let download = Download { url: &url, part, bytes: file.bytes };
            download.run(&client, &report)?;
            let against = check(file, &download.part, &url, &mut checksums, &report)
                .inspect_err(|failure| discard(&download, failure))?;
            fs::rename(&download.part, &path).map_err(|error| io("rename to", &path, &error))?;
            against
        };
        let recorded = checksums.get(name);
        table.row([
            name.to_owned(),
            recorded.map_or(String::new(), |recorded| units::bytes(recorded.bytes)),
            recorded.map_or(String::new(), |recorded| printed(&recorded.sha256)),
            against.to_owned(),
        ]);
    }
    let mut text = format!("{}  {}\n", styled(BOLD, folder.display()), set.about);
    table.write(&mut text);
    text += &format!("licence: {}\n", set.licence);
    print(&text)
}

/// The beginning of a sum: enough to compare by eye.
fn printed(sum: &str) -> String {
    sum.chars().take(16).chain(['…']).collect()
}

fn find(name: &str) -> Result<&'static CatalogSet, Failure> {
    let Some(set) = Catalog::built_in().find(name) else {
        return Err(Failure::usage(format!("no set is called {name:?}"))
            .next("index-tools datasets list shows those that there are"));
    };
    if set.files.is_empty() {
        let note = set.note.as_deref().unwrap_or("it has no files");
        return Err(Failure::usage(format!("{name} cannot be fetched: {note}")));
    }
    Ok(set)
}

/// A file that is not what it should be is of no use; one that was only not read through is.
fn discard(download: &Download<'_>, failure: &Failure) {
    if failure.exit() == crate::exit::Exit::Data {
        download.discard();
    }
}

/// Holds a file against what is known of it, else puts it on record, and says which.
fn check(
    file: &CatalogFile,
    path: &Path,
    url: &str,
    checksums: &mut Checksums,
    report: &Reporter,
) -> Result<&'static str, Failure> {
    let name = file.file_name();
    let bytes = fs::metadata(path).map_err(|error| io("read", path, &error))?.len();
    let wrong = |what: &str, expected: String, found: String| {
        Failure::data(format!("{name} is not the file that it should be"))
            .at(path.display().to_string())
            .expected(format!("{what} {expected}"), found)
    };
    if let Some(expected) = file.bytes.filter(|&expected| expected != bytes) {
        return Err(wrong("length", expected.to_string(), bytes.to_string())
            .next(format!("remove {} and fetch again", path.display())));
    }
    let sum = sha256(path, report)?;
    if let Some(expected) = file.sha256.as_ref().filter(|expected| **expected != sum) {
        return Err(wrong("sha256", expected.clone(), sum)
            .next(format!("remove {} and fetch again", path.display())));
    }
    if let Some(recorded) = checksums.get(name) {
        if recorded.sha256 != sum {
            return Err(wrong("sha256", recorded.sha256.clone(), sum).next(format!(
                "fetch again; if the publisher changed the file, remove its entry from {NAME} first"
            )));
        }
        let known =
            if file.sha256.is_some() { "against the catalog" } else { "against the first fetch" };
        return Ok(known);
    }
    checksums.record(name, Recorded { bytes, sha256: sum, url: url.to_owned() })?;
    Ok(match (file.sha256.is_some(), file.bytes.is_some()) {
        (true, _) => "against the catalog",
        (false, true) => "length, then put on record",
        (false, false) => "put on record",
    })
}
