//! Arguments that several verbs share.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use vicinage::builder::{BuildParams, BuilderKind, CodesChoice, Preset};
use vicinage::types::{ElementType, Metric};
use vicinage_datasets::InputSpec;

use crate::cast::Wish;
use crate::progress::ProgressMode;
use crate::units::parse_bytes;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// `--format`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FormatArgs {
    /// How to print the result
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

impl FormatArgs {
    pub(crate) fn json(self) -> bool {
        self.format == Format::Json
    }
}

/// `--progress`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ProgressArgs {
    /// How to show progress, on standard error
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
}

/// The items of a build.
#[derive(Args, Clone, Debug)]
pub(crate) struct InputArgs {
    /// Item vectors: .parquet, .arrow, .npy, .npz, .hdf5, .fbin, .u8bin, .i8bin, .fvecs, .bvecs
    /// or .jsonl, with the vector column or array where it is not the only one. A directory or a
    /// quoted pattern ('part-*.parquet') is read as one file, in the order of the names
    #[arg(long, value_name = "FILE[#COLUMN]")]
    pub(crate) input: InputSpec,
    /// Column of the item ids, in the input or in the file of --attributes-from
    /// [default: item_id, else id; without either, row numbers]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) ids: Option<String>,
    /// Columns to keep as attributes, each with the type that it is to have if not the one that it
    /// comes in: title,year:i64. Types: bool, i64, f64, timestamp (of integers, microseconds since
    /// 1970; of texts, RFC 3339), category, tags. A value that the type cannot hold is an error
    /// [default: all that can be]
    #[arg(
        long,
        visible_alias = "attribute",
        value_name = "COLUMN[:TYPE],…",
        value_delimiter = ','
    )]
    pub(crate) attributes: Option<Vec<Wish>>,
    /// Keep no attributes
    #[arg(long, conflicts_with_all = ["attributes", "attributes_from"])]
    pub(crate) no_attributes: bool,
    /// Take the attributes from this Parquet file (or several, as in --input), or the tags of a
    /// .spmat file: joined by item id where both files have ids, otherwise by row, and then its
    /// ids are those of the items
    #[arg(long, value_name = "FILE")]
    pub(crate) attributes_from: Option<PathBuf>,
    /// What is done where the ids of the items and of --attributes-from differ
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, requires = "attributes_from")]
    pub(crate) unmatched: Unmatched,
}

/// What is done where a row has no counterpart in the other file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unmatched {
    /// The build fails, and names the first
    #[default]
    Error,
    /// They are counted: items without attributes have none, attributes without an item are left out
    Count,
}

/// How a build goes about it.
#[derive(Args, Clone, Debug)]
pub(crate) struct BuildArgs {
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC")]
    pub(crate) metric: Metric,
    /// Store components as this type: f32, f16, bf16, i8 or u8 [default: that of the input, or where
    /// that is f32 or f64 the narrowest that holds every f32 exactly]. Floats are rounded; an integer
    /// type takes only values that it holds exactly
    #[arg(long, value_name = "TYPE")]
    pub(crate) element: Option<ElementType>,
    #[command(flatten)]
    pub(crate) graph: GraphArgs,
}

/// The graph, and the resources to build it.
#[derive(Args, Clone, Debug)]
pub(crate) struct GraphArgs {
    /// Who builds the graph: hnsw, or hnsw-rs (the crate of that name, for comparison)
    #[arg(long, value_name = "BUILDER", default_value = BuilderKind::Hnsw.name())]
    builder: BuilderKind,
    /// What to spend on the graph, where --max-degree and --ef-construction do not say: fast (a
    /// small graph, soon built), balanced, or high-recall
    #[arg(long, value_name = "PRESET", default_value = Preset::Balanced.name())]
    preset: Preset,
    /// Most edges of a node in the base layer [default: that of the preset, of balanced 32; for ip
    /// 48, since the nearest of inner product are spread over all of the space]
    #[arg(long, value_name = "N")]
    max_degree: Option<usize>,
    /// Size of the candidate list while building: larger is slower and finds better edges
    /// [default: that of the preset, of balanced 128]
    #[arg(long, value_name = "N")]
    ef_construction: Option<usize>,
    /// What searches read in place of the vectors, which they score the best few on: i8 (a byte a
    /// component), u4 (half a byte), none, or auto, which tries them on a sample
    #[arg(long, value_name = "KIND", default_value = CodesChoice::Auto.name())]
    codes: CodesChoice,
    /// Slack when edges are pruned, 1.0 or more [default: found by small trial builds]
    #[arg(long, value_name = "A")]
    alpha: Option<f32>,
    /// Fill free edges with pruned candidates: true or false [default: found by small trial
    /// builds]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    backfill: Option<bool>,
    /// Do not measure what effort reaches which recall; searches cannot name a recall then
    #[arg(long)]
    no_calibrate: bool,
    /// Seed of everything that is drawn at random
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Give the same bytes for the same input and seed, whatever the number of threads
    #[arg(long)]
    deterministic: bool,
    /// Keep the build within so much memory, such as 4GiB, by leaving vectors on disk and growing
    /// shorter lists; refuse it where that is not enough
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory_limit: Option<u64>,
}

/// What is built unless said otherwise, where it is the same for every metric.
fn defaults() -> BuildParams {
    BuildParams::new(Metric::L2)
}

impl GraphArgs {
    pub(crate) fn params(&self, metric: Metric) -> BuildParams {
        let preset = BuildParams::preset(metric, self.preset);
        BuildParams {
            builder: self.builder,
            max_degree: self.max_degree.unwrap_or(preset.max_degree),
            ef_construction: self.ef_construction.unwrap_or(preset.ef_construction),
            alpha: self.alpha,
            backfill: self.backfill,
            codes: self.codes,
            calibrate: !self.no_calibrate,
            seed: self.seed,
            threads: self.threads,
            deterministic: self.deterministic,
            memory_limit: self.memory_limit,
            ..preset
        }
    }
}

impl BuildArgs {
    pub(crate) fn params(&self) -> BuildParams {
        BuildParams { element: self.element, ..self.graph.params(self.metric) }
    }
}

/// `threads`, or the number of cores for 0.
pub(crate) fn threads_or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}
