//! `index-tools datasets generate`: made-up sets with exact truth.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use vicinage::progress::Progress;
use vicinage::types::Metric;
use vicinage_datasets::generate::{
    Check, Clustered, ClusteredParams, Realism, Sizes, Split, TwoTower, TwoTowerParams,
    VectorSource, write_vectors,
};
use vicinage_datasets::{write_distances, write_ids};

use super::checksums::{io, write_whole};
use super::columns::{self, AttributesArgs, InteractionsArgs};
use super::filters::{self, FiltersArgs};
use super::runbook::{self, RunbookArgs};
use crate::args::ProgressArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::{ProgressMode, Reporter};
use crate::text::{BOLD, GREEN, YELLOW, fields, heading, print, styled};
use crate::truth::{Wanted, find, thread_pool};
use crate::units;

/// Make up a set, the same from the same seed on every machine
#[derive(Subcommand)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  index-tools datasets generate two-tower --n 100000 --out tt
  index-tools datasets generate attributes --input tt/base.npy --queries tt/test.npy \\
      --column cheap=random:0.1 --column fits=correlated:0.01:0.9 --out tt/attributes.parquet
  index-tools datasets generate interactions --items tt/base.npy --users tt/learn.npy \\
      --out tt/interactions.parquet
  index-tools datasets generate filters --input tt/base.npy --queries tt/test.npy --metric ip \\
      --out tt/filters
  index-tools datasets generate runbook --n 100000 --out tt/runbook.yaml")]
pub(crate) enum GenerateArgs {
    TwoTower(TwoTowerArgs),
    Clustered(ClusteredArgs),
    Attributes(AttributesArgs),
    Interactions(InteractionsArgs),
    Filters(FiltersArgs),
    Runbook(RunbookArgs),
}

/// Items and users of a two-tower model: inner product, queries out of distribution
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets generate two-tower --out tt
  index-tools datasets generate two-tower --n 100000 --norm-spread 0.5 --shift 1 --out shifted

Writes base, test and learn queries, the exact nearest items of the test queries, and dataset.toml,
which says what all of it is. Checks of how realistic the set is are printed.")]
pub(crate) struct TwoTowerArgs {
    #[command(flatten)]
    sizes: SizeArgs,
    /// Topics that items and users are about
    #[arg(long, value_name = "N", default_value_t = two_tower().topics)]
    topics: u32,
    /// Zipf exponent of the topics' weights; 0: all alike
    #[arg(long, value_name = "S", default_value_t = two_tower().topic_skew)]
    topic_skew: f64,
    /// Degrees by which users are turned away from the items
    #[arg(long, value_name = "DEGREES", default_value_t = two_tower().rotation)]
    rotation: f64,
    /// Distance between the middle of the users and that of the items
    #[arg(long, value_name = "D", default_value_t = two_tower().gap)]
    gap: f64,
    /// Spread (of the logarithm) of the items' norms, which tell popularity
    #[arg(long, value_name = "SIGMA", default_value_t = two_tower().norm_spread)]
    norm_spread: f64,
    /// Share of the test users' interests that follow another mix than the learn users', 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = two_tower().shift)]
    shift: f64,
    #[command(flatten)]
    out: OutArgs,
}

/// Gaussian clusters on L2, queries from the same
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools datasets generate clustered --n 100000 --dim 64 --out clusters

Writes base, test and learn queries, the exact nearest items of the test queries, and dataset.toml,
which says what all of it is.")]
pub(crate) struct ClusteredArgs {
    #[command(flatten)]
    sizes: SizeArgs,
    /// Number of clusters
    #[arg(long, value_name = "N", default_value_t = ClusteredParams::default().clusters)]
    clusters: u32,
    /// Spread within a cluster; between clusters it is 1
    #[arg(long, value_name = "S", default_value_t = ClusteredParams::default().spread)]
    spread: f64,
    #[command(flatten)]
    out: OutArgs,
}

/// How much to make.
#[derive(Args)]
struct SizeArgs {
    /// Items
    #[arg(long, value_name = "N", default_value_t = Sizes::default().n)]
    n: u64,
    /// Components of a vector
    #[arg(long, value_name = "N", default_value_t = Sizes::default().dim)]
    dim: u32,
    /// Test queries, to measure with
    #[arg(long, value_name = "N", default_value_t = Sizes::default().test)]
    test: u64,
    /// Learn queries, to tune with; none of them is a test query. 0: none
    #[arg(long, value_name = "N", default_value_t = Sizes::default().learn)]
    learn: u64,
    #[command(flatten)]
    seed: SeedArgs,
}

/// `--seed`.
#[derive(Args)]
pub(super) struct SeedArgs {
    /// Seed of all that is drawn
    #[arg(long, value_name = "N", default_value_t = Sizes::default().seed,
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(super) seed: u64,
}

impl SizeArgs {
    fn sizes(&self) -> Sizes {
        let Self { n, dim, test, learn, ref seed } = *self;
        Sizes { n, dim, test, learn, seed: seed.seed }
    }
}

/// Where to, and how.
#[derive(Args)]
struct OutArgs {
    /// Folder to write into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Format of the vectors and the truth
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FileFormat::Npy)]
    format: FileFormat,
    /// True neighbors of each test query; 0: find none
    #[arg(long, value_name = "K", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=65_536))]
    k: u32,
    /// Replace files that are there
    #[arg(long)]
    overwrite: bool,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    progress: ProgressArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    /// .npy throughout
    Npy,
    /// .fbin, and .ibin for ids
    Fbin,
}

fn two_tower() -> TwoTowerParams {
    TwoTowerParams::default()
}

impl GenerateArgs {
    /// How progress is shown; none where nothing takes time.
    pub(super) fn progress(&self) -> Option<ProgressMode> {
        Some(match self {
            Self::TwoTower(args) => args.out.progress.progress,
            Self::Clustered(args) => args.out.progress.progress,
            Self::Attributes(args) => args.out.progress.progress,
            Self::Interactions(args) => args.out.progress.progress,
            Self::Filters(args) => args.progress(),
            Self::Runbook(_) => return None,
        })
    }
}

pub(super) fn run(args: &GenerateArgs) -> Result<(), Failure> {
    match args {
        GenerateArgs::TwoTower(args) => {
            let params = TwoTowerParams {
                sizes: args.sizes.sizes(),
                topics: args.topics,
                topic_skew: args.topic_skew,
                rotation: args.rotation,
                gap: args.gap,
                norm_spread: args.norm_spread,
                shift: args.shift,
            };
            let set = TwoTower::new(params)?;
            let realism = || Realism::measure(&set).checks();
            write_set("two-tower", &set, Metric::Ip, &params, &args.out, Some(&realism))
        }
        GenerateArgs::Clustered(args) => {
            let (clusters, spread) = (args.clusters, args.spread);
            let params = ClusteredParams { sizes: args.sizes.sizes(), clusters, spread };
            let set = Clustered::new(params)?;
            write_set("clustered", &set, Metric::L2, &params, &args.out, None)
        }
        GenerateArgs::Attributes(args) => columns::attributes(args),
        GenerateArgs::Interactions(args) => columns::interactions(args),
        GenerateArgs::Filters(args) => filters::filters(args),
        GenerateArgs::Runbook(args) => runbook::run(args),
    }
}

/// `dataset.toml`: what a folder holds, and how to make it again.
#[derive(Serialize)]
struct Manifest<'a, P> {
    kind: &'a str,
    writer: &'a str,
    metric: String,
    files: Files,
    /// Rows, components, seed and all that was set.
    parameters: &'a P,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

/// Names of the files of a set.
#[derive(Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) base: String,
    pub(crate) test: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    learn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truth_ids: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth_distances: Option<String>,
}

/// The manifest's name.
pub(crate) const MANIFEST: &str = "dataset.toml";

impl Files {
    fn new(source: &dyn VectorSource, out: &OutArgs) -> Self {
        let (vectors, ids) = match out.format {
            FileFormat::Npy => ("npy", "npy"),
            FileFormat::Fbin => ("fbin", "ibin"),
        };
        let truth =
            |name: &str, extension: &str| (out.k > 0).then(|| format!("{name}.{extension}"));
        Self {
            base: format!("base.{vectors}"),
            test: format!("test.{vectors}"),
            learn: (source.rows(Split::Learn) > 0).then(|| format!("learn.{vectors}")),
            truth_ids: truth("truth-ids", ids),
            truth_distances: truth("truth-distances", vectors),
        }
    }

    fn vectors(&self) -> impl Iterator<Item = (Split, &String)> {
        let always = [(Split::Base, &self.base), (Split::Test, &self.test)];
        always.into_iter().chain(self.learn.iter().map(|name| (Split::Learn, name)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let truth = self.truth_ids.iter().chain(&self.truth_distances);
        self.vectors().map(|(_, name)| name).chain(truth).map(String::as_str).chain([MANIFEST])
    }
}

/// Writes a set into a folder beside the final files, then gives them their names: an interrupted
/// or failed run leaves what was there before.
fn write_set<P: Serialize>(
    kind: &'static str,
    source: &dyn VectorSource,
    metric: Metric,
    params: &P,
    out: &OutArgs,
    realism: Option<&(dyn Fn() -> Vec<Check> + Sync)>,
) -> Result<(), Failure> {
    let started = Instant::now();
    let files = Files::new(source, out);
    for name in files.names() {
        check_free(&out.out.join(name), out.overwrite)?;
    }
    fs::create_dir_all(&out.out).map_err(|error| io("create", &out.out, &error))?;
    let folder = tempfile::Builder::new().prefix(".writing-").tempdir_in(&out.out)?;
    let report = Reporter::new(out.progress.progress, Interrupt::install()?);
    let pool = thread_pool(out.threads)?;
    for (split, name) in files.vectors() {
        report.start(split.name(), Some(source.rows(split)), "rows");
        let path = folder.path().join(name);
        write_vectors(source, split, &path, &pool, &|rows| advance(&report, rows))?;
        report.finish();
    }
    let checks = match realism {
        Some(realism) => {
            report.start("realism", None, "");
            let checks = pool.install(realism);
            report.finish();
            checks
        }
        None => Vec::new(),
    };
    write_truth(&files, folder.path(), metric, out, &report)?;
    let writer = concat!("index-tools ", env!("CARGO_PKG_VERSION"));
    let names: Vec<String> = files.names().map(str::to_owned).collect();
    let manifest =
        Manifest { kind, writer, metric: metric.to_string(), files, parameters: params, checks };
    let text = toml::to_string(&manifest)
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write TOML: {error}")))?;
    write_whole(&folder.path().join(MANIFEST), text.as_bytes())?;
    report.interrupt().check()?;
    publish(folder.path(), &out.out, names.iter().map(String::as_str))?;
    let mut text = format!("{}  {kind}, {metric}\n", styled(BOLD, out.out.display()));
    let shape = format!("{} × {} f32", units::count(source.rows(Split::Base)), source.dim());
    fields(
        &mut text,
        &[
            ("items", shape),
            ("files", names.join(", ")),
            ("time", units::seconds(started.elapsed().as_secs_f64())),
        ],
    );
    write_checks(&mut text, &manifest.checks);
    print(&text)
}

/// Gives files that were written into a folder within `out` their final places.
pub(super) fn publish<'a>(
    folder: &Path,
    out: &Path,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), Failure> {
    for name in names {
        let path = out.join(name);
        fs::rename(folder.join(name), &path).map_err(|error| io("rename to", &path, &error))?;
    }
    Ok(())
}

/// For generators: counts rows, and passes on Ctrl-C.
pub(super) fn advance(report: &Reporter, rows: u64) -> ControlFlow<()> {
    report.advance(rows);
    if report.interrupt().asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Refuses a file that is there already, unless it may be replaced.
pub(super) fn check_free(path: &Path, overwrite: bool) -> Result<(), Failure> {
    if overwrite || !path.exists() {
        return Ok(());
    }
    Err(Failure::usage(format!("{} is there already", path.display()))
        .next("pass --overwrite to replace it, or another --out"))
}

fn write_truth(
    files: &Files,
    folder: &Path,
    metric: Metric,
    out: &OutArgs,
    report: &Reporter,
) -> Result<(), Failure> {
    let (Some(ids), Some(distances)) = (&files.truth_ids, &files.truth_distances) else {
        return Ok(());
    };
    let wanted = Wanted {
        input: &folder.join(&files.base).into(),
        queries: &folder.join(&files.test).into(),
        metric,
        k: out.k,
        ids: None,
        threads: out.threads,
    };
    let neighbors = find(&wanted, report)?;
    write_ids(&folder.join(ids), &neighbors.ids)?;
    write_distances(&folder.join(distances), &neighbors.distances)?;
    Ok(())
}

fn write_checks(text: &mut String, checks: &[Check]) {
    if checks.is_empty() {
        return;
    }
    heading(text, "Is it like a real two-tower set?");
    for check in checks {
        let (style, word) = match check.passed {
            Some(true) => (GREEN, "pass"),
            Some(false) => (YELLOW, "FAIL"),
            None => (YELLOW, "n/a "),
        };
        *text += &format!("  {}  {}: {}\n", styled(style, word), check.name, check.detail);
    }
}
