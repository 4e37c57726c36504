//! Builds an index directory from a stream of items.
//!
//! | file | stage |
//! |---|---|
//! | `items.rs` | read: checks every vector and id, keeps vectors in memory or in a spool file |
//! | `codes.rs` | codes: vectors as small integers |
//! | `probe.rs` | probe: small builds that find `alpha` and backfill |
//! | `mod.rs` | codes → graph → attach → self-check → reorder → write → verify → publish |
//! | `questions.rs` | queries with known answers, which the next two ask |
//! | `calibrate.rs` | calibration: what effort reaches which recall |
//! | `self_check.rs` | self-check: recall of sampled items against exact search |
//! | `plan.rs` | what a build will need, before it starts |
//!
//! Nothing is visible before the last step: everything is written into a temporary directory of
//! the index, and a build that fails or is stopped removes it.

mod calibrate;
mod codes;
mod items;
mod plan;
mod probe;
mod questions;
mod self_check;

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::{Corruption, FileError};
use crate::filters::columns::{AttributeValue, ColumnError, ColumnKind, ColumnSchema};
use crate::format::{Disk, FileLayer, Geometry, LoadMode, SegmentFile};
use crate::graph::attach::{attach, reachable};
use crate::graph::insert::InsertParams;
use crate::graph::levels::{LevelsLayout, MAX_DEGREE};
use crate::graph::prune::PruneRule;
use crate::graph::reference::REFERENCE_MAX_DEGREE;
use crate::graph::{Graph, MAX_NODES, insert, order, reference};
use crate::progress::{Cancelled, Progress, Stage};
use crate::quantizers::{CodeKind, CodeSpace};
use crate::search::Target;
use crate::segments::calibration::Calibration;
use crate::segments::manifest::Provenance;
use crate::segments::meta::{BuildRecord, CodesRecord, Meta, ProbeRecord, SelfCheck, Statistics};
use crate::segments::publish::{IndexDir, NewSegment, PublishError};
use crate::segments::segment::{Segment, SegmentParts, WriteSegmentError, write_segment};
use crate::types::{ElementType, ItemId, Metric, named};
use crate::vectors::VectorBlock;
use crate::with_element;

use codes::BuiltCodes;
use items::Items;
use questions::Questions;

pub use plan::{BuildPlan, Part, plan};

/// Name of the segment file within a generation.
const SEGMENT_NAME: &str = "base.vcg";

/// Items asked in place of queries.
const QUESTIONS: usize = 512;

/// Generations kept: the new one and the one before it.
const RETAINED_GENERATIONS: u64 = 2;

/// Which builder makes the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuilderKind {
    /// Ours.
    Hnsw,
    /// The hnsw_rs crate, converted: a reference and a baseline.
    HnswRs,
}

impl BuilderKind {
    /// Every builder.
    pub const ALL: [BuilderKind; 2] = [BuilderKind::Hnsw, BuilderKind::HnswRs];

    /// The name used on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            BuilderKind::Hnsw => "hnsw",
            BuilderKind::HnswRs => "hnsw-rs",
        }
    }
}

named!(BuilderKind, "builder");

/// What searches read in place of the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodesChoice {
    /// Whatever a probe of the items finds good enough, and fastest.
    Auto,
    /// Nothing: the vectors.
    None,
    /// A byte a component.
    I8,
    /// Half a byte a component.
    U4,
}

impl CodesChoice {
    /// Every choice.
    pub const ALL: [CodesChoice; 4] =
        [CodesChoice::Auto, CodesChoice::None, CodesChoice::I8, CodesChoice::U4];

    /// The name used on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            CodesChoice::Auto => "auto",
            CodesChoice::None => "none",
            CodesChoice::I8 => CodeKind::I8.name(),
            CodesChoice::U4 => CodeKind::U4.name(),
        }
    }
}

named!(CodesChoice, "kind of codes");

/// What a build is told.
#[derive(Clone, Debug)]
pub struct BuildParams {
    /// How closeness is measured.
    pub metric: Metric,
    /// Which builder.
    pub builder: BuilderKind,
    /// Slots per base-layer list, even.
    pub max_degree: usize,
    /// Size of the candidate list of an insert.
    pub ef_construction: usize,
    /// Pruning slack; `None`: found by a probe.
    pub alpha: Option<f32>,
    /// Whether free slots are filled with pruned candidates; `None`: found by a probe.
    pub backfill: Option<bool>,
    /// What searches read in place of the vectors.
    pub codes: CodesChoice,
    /// Store vectors in this type; `None`: as given.
    pub element: Option<ElementType>,
    /// Logged queries `[count, dim]`, none of which the build learns from: they show what effort
    /// reaches which recall for those who will ask.
    pub queries: Option<Vec<f32>>,
    /// Whether to measure what effort reaches which recall.
    pub calibrate: bool,
    /// Draws levels and order.
    pub seed: u64,
    /// Threads; 0: one per core.
    pub threads: usize,
    /// Write no clock values, so that the same input gives the same files.
    pub deterministic: bool,
    /// Bytes of memory that the build may take.
    pub memory_limit: Option<u64>,
}

impl BuildParams {
    /// The defaults for a metric. Inner product has more edges: its nearest items are spread over
    /// all of the space.
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            builder: BuilderKind::Hnsw,
            max_degree: if metric == Metric::Ip { 48 } else { 32 },
            ef_construction: 128,
            alpha: None,
            backfill: None,
            codes: CodesChoice::Auto,
            element: None,
            queries: None,
            calibrate: true,
            seed: 1,
            threads: 0,
            deterministic: false,
            memory_limit: None,
        }
    }

    fn check(&self) -> Result<(), BuildError> {
        let refuse = |name, expected: String, found: String| {
            Err(BuildError::Parameter { name, expected, found })
        };
        let largest = match self.builder {
            BuilderKind::Hnsw => MAX_DEGREE,
            BuilderKind::HnswRs => REFERENCE_MAX_DEGREE,
        };
        if !(4..=largest).contains(&self.max_degree) || !self.max_degree.is_multiple_of(2) {
            let expected = format!("an even number from 4 to {largest}");
            return refuse("max_degree", expected, self.max_degree.to_string());
        }
        if !(1..=16_384).contains(&self.ef_construction) {
            let expected = "1 to 16384".to_owned();
            return refuse("ef_construction", expected, self.ef_construction.to_string());
        }
        if let Some(alpha) = self.alpha.filter(|alpha| !(1.0..=4.0).contains(alpha)) {
            return refuse("alpha", "1 to 4".to_owned(), alpha.to_string());
        }
        if self.builder == BuilderKind::HnswRs {
            if self.deterministic {
                let expected = "builder hnsw; hnsw-rs draws from entropy".to_owned();
                return refuse("deterministic", expected, "builder hnsw-rs".to_owned());
            }
            if self.alpha.is_some() || self.backfill.is_some() {
                let expected = "builder hnsw; hnsw-rs has its own pruning".to_owned();
                return refuse("alpha and backfill", expected, "builder hnsw-rs".to_owned());
            }
        }
        Ok(())
    }
}

/// Some items, in input order.
#[derive(Clone, Debug)]
pub struct ItemBatch {
    /// `[rows, dim]`.
    pub vectors: VectorBlock,
    /// Item ids; `None` in every batch: the row numbers.
    pub ids: Option<Vec<ItemId>>,
    /// The attributes, in schema order.
    pub attributes: Vec<ColumnBatch>,
}

/// The values of one attribute in a batch. Text is owned, so that a batch can come from anywhere.
#[derive(Clone, Debug)]
pub enum ColumnBatch {
    /// See [`ColumnKind::Bool`].
    Bool(Vec<Option<bool>>),
    /// See [`ColumnKind::I64`].
    I64(Vec<Option<i64>>),
    /// See [`ColumnKind::F64`].
    F64(Vec<Option<f64>>),
    /// See [`ColumnKind::Timestamp`].
    Timestamp(Vec<Option<i64>>),
    /// See [`ColumnKind::Category`].
    Category(Vec<Option<String>>),
    /// See [`ColumnKind::Tags`].
    Tags(Vec<Option<Vec<String>>>),
}

impl ColumnBatch {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            ColumnBatch::Bool(values) => values.len(),
            ColumnBatch::I64(values) | ColumnBatch::Timestamp(values) => values.len(),
            ColumnBatch::F64(values) => values.len(),
            ColumnBatch::Category(values) => values.len(),
            ColumnBatch::Tags(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row.
    pub fn value(&self, row: usize) -> AttributeValue<'_> {
        let value = match self {
            ColumnBatch::Bool(values) => values[row].map(AttributeValue::Bool),
            ColumnBatch::I64(values) => values[row].map(AttributeValue::I64),
            ColumnBatch::F64(values) => values[row].map(AttributeValue::F64),
            ColumnBatch::Timestamp(values) => values[row].map(AttributeValue::Timestamp),
            ColumnBatch::Category(values) => values[row].as_deref().map(AttributeValue::Text),
            ColumnBatch::Tags(values) => values[row]
                .as_ref()
                .map(|tags| AttributeValue::Tags(tags.iter().map(String::as_str).collect())),
        };
        value.unwrap_or(AttributeValue::Null)
    }
}

/// What a source reports when it cannot go on.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where items come from.
pub trait ItemSource {
    /// Components per vector, at least 1.
    fn dim(&self) -> usize;

    /// How many items there will be.
    fn rows(&self) -> u64;

    /// The type that vectors come in.
    fn element(&self) -> ElementType;

    /// The attributes, in the order of [`ItemBatch::attributes`].
    fn attributes(&self) -> Vec<(String, ColumnKind)>;

    /// Memory that the source itself holds while it is read, beside one batch.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The next items; `None` after the last. After an error the source is not asked again.
    fn next_batch(&mut self) -> Result<Option<ItemBatch>, SourceError>;
}

/// Why a build fails. Nothing is left behind, and an index that was there is still current.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// [`Progress::cancelled`] said yes.
    #[error("stopped before it was done; nothing was written")]
    Cancelled,
    /// A parameter that cannot be.
    #[error("{name}: expected {expected}, found {found}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Not enough memory allowed.
    #[error(
        "the build needs {needed} bytes of memory even with the vectors left on disk, more than \
         the limit of {limit}; raise the limit, lower max_degree, or split the items"
    )]
    MemoryLimit {
        /// What it would take.
        needed: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The source failed.
    #[error(transparent)]
    Source(SourceError),
    /// The source did not keep its word.
    #[error("the source gave {found} where it had announced {expected}")]
    Announced {
        /// What it had said.
        expected: String,
        /// What came.
        found: String,
    },
    /// No items.
    #[error("the input has no items")]
    Empty,
    /// Too many items for one segment.
    #[error("the input has {found} items; one index holds at most {limit}")]
    TooMany {
        /// How many there are.
        found: u64,
        /// How many there may be.
        limit: usize,
    },
    /// NaN or infinity.
    #[error("row {row}, component {component}: {value} is not a finite {element}")]
    NotFinite {
        /// Row of the input, from 0.
        row: u64,
        /// Component of the vector, from 0.
        component: usize,
        /// What it is.
        value: f32,
        /// What it was to be stored as.
        element: ElementType,
    },
    /// A value that the element type asked for cannot hold.
    #[error("row {row}, component {component}: {value} is not a whole number that {element} holds")]
    NotIntegral {
        /// Row of the input, from 0.
        row: u64,
        /// Component of the vector, from 0.
        component: usize,
        /// What it is.
        value: f32,
        /// What it was to be stored as.
        element: ElementType,
    },
    /// No direction to compare by.
    #[error(
        "row {row} is a zero vector, which has no direction to compare by cosine; leave it out"
    )]
    ZeroVector {
        /// Row of the input, from 0.
        row: u64,
    },
    /// Two items with one id.
    #[error("item id {id} is in row {first_row} and again in row {row}; ids must be unique")]
    DuplicateId {
        /// The id.
        id: ItemId,
        /// Where it was first.
        first_row: u64,
        /// Where it is again.
        row: u64,
    },
    /// An attribute value that its column cannot take.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The segment cannot be written.
    #[error(transparent)]
    Write(#[from] WriteSegmentError),
    /// The index directory cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// What was written does not read back.
    #[error("the new file does not read back as written, and was removed: {0}")]
    Reread(#[from] crate::format::OpenError),
    /// What was written does not verify.
    #[error("the new file does not verify, and was removed: {0}")]
    Corrupt(#[from] Corruption),
    /// No threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: rayon::ThreadPoolBuildError,
    },
}

impl From<Cancelled> for BuildError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// What a build did.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// The generation that is now current.
    pub generation: u64,
    /// Number of items.
    pub n: u64,
    /// Components per vector.
    pub dim: usize,
    /// Size of the segment file.
    pub file_bytes: u64,
    /// Seconds per stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// What the meta section says.
    pub meta: Meta,
    /// Old generations that could not be removed.
    pub not_removed: Vec<String>,
}

/// Builds a new generation of the index directory `out` and makes it current.
///
/// Cost: see [`plan`]. Readers of the old generation are not disturbed.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    out: &Path,
    source: &mut dyn ItemSource,
    params: &BuildParams,
    progress: &dyn Progress,
) -> Result<BuildReport, BuildError> {
    build_through(&Disk, out, source, params, progress)
}

/// [`build`] through another file layer, for tests that record or break it.
pub fn build_through(
    layer: &dyn FileLayer,
    out: &Path,
    source: &mut dyn ItemSource,
    params: &BuildParams,
    progress: &dyn Progress,
) -> Result<BuildReport, BuildError> {
    params.check()?;
    let spool = plan::placement(source, params)?;
    let pool = thread_pool(params.threads)?;
    let mut stages = Stages { progress, seconds: Vec::new() };
    let mut dir = IndexDir::create_or_open(out, layer)?;
    let pending = dir.begin()?;

    let spool = spool.then(|| pending.file_path("vectors.spool"));
    let mut items = stages.run(Stage::Read, Some(source.rows()), "items", || {
        Items::read(source, params, layer, spool.as_deref(), progress)
    })?;
    plan::check_columns(source, params, &items)?;
    let built = make_graph(&items, params, &pool, &mut stages)?;
    let (self_check, calibration) = examine(&items, &built, params, &pool, &mut stages);
    let stored = stages.run(Stage::Reorder, Some(items.len() as u64), "items", || {
        order::breadth_first(&built.graph)
    });
    if progress.cancelled() {
        return Err(BuildError::Cancelled);
    }

    let meta = meta(&built, params, self_check, items.schemas());
    let geometry = Geometry {
        n: items.len() as u64,
        dim: items.dim() as u32,
        metric: params.metric,
        element: items.element(),
        seed: params.seed,
    };
    let path = pending.file_path(SEGMENT_NAME);
    let bytes = items.vectors().bytes.len() as u64;
    let digest = stages.run(Stage::Write, Some(bytes), "bytes", || {
        let columns = items.finish_columns(&stored)?;
        let parts = SegmentParts {
            geometry,
            meta: &meta,
            graph: &built.graph,
            order: &stored,
            vectors: items.vectors(),
            scales: items.scales(),
            codes: built.codes.as_ref().map(BuiltCodes::view),
            calibration: calibration.as_ref(),
            ids: items.ids(),
            columns: &columns,
        };
        Ok::<_, BuildError>(write_segment(layer, &path, &parts, &mut |n| progress.advance(n))?)
    })?;
    items.remove_spool(layer)?;
    // The new file is mapped whole to be verified; what it was made from would double the memory.
    drop((items, built, stored));
    stages.run(Stage::Verify, Some(digest.length), "bytes", || verify(&path, progress))?;
    if progress.cancelled() {
        return Err(BuildError::Cancelled);
    }

    let Geometry { n, dim, metric, element, .. } = geometry;
    let segment = NewSegment { name: SEGMENT_NAME.to_owned(), digest, n, dim, metric, element };
    let provenance = (!params.deterministic).then(provenance);
    let published = pending.publish(&[segment], provenance, RETAINED_GENERATIONS)?;
    Ok(BuildReport {
        generation: published.generation,
        n,
        dim: dim as usize,
        file_bytes: digest.length,
        seconds: stages.seconds,
        meta,
        not_removed: published.not_removed.iter().map(ToString::to_string).collect(),
    })
}

/// Runs stages: begins and ends them for the watcher, and takes their time.
struct Stages<'a> {
    progress: &'a dyn Progress,
    seconds: Vec<(Stage, f64)>,
}

impl Stages<'_> {
    fn run<T>(
        &mut self,
        stage: Stage,
        total: Option<u64>,
        unit: &'static str,
        work: impl FnOnce() -> T,
    ) -> T {
        self.progress.begin(stage, total, unit);
        let start = Instant::now();
        let done = work();
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        self.progress.end(stage);
        done
    }
}

/// A graph and how it came about.
struct Built {
    graph: Graph,
    /// What searches read, unless it is the vectors.
    codes: Option<BuiltCodes>,
    rule: Option<PruneRule>,
    probe: Vec<ProbeRecord>,
    attached: u64,
}

/// Asks the new graph: held-out queries where there are some, else items.
fn examine(
    items: &Items,
    built: &Built,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> (Option<SelfCheck>, Option<Calibration>) {
    let words = built.graph.levels.words();
    let Ok(layout) = LevelsLayout::parse(&words, items.len()) else { return (None, None) };
    let target = Target {
        vectors: items.vectors(),
        metric: items.metric(),
        scales: items.scales(),
        codes: built.codes.as_ref().map(BuiltCodes::view),
        graph: built.graph.adjacency(),
        levels: (&words, &layout),
    };
    let most = calibrate::calibrated_ks(items.len()).map(|(k, _)| k).last().unwrap_or(10);
    let (questions, from) = stages.run(Stage::Truth, None, "queries", || match &params.queries {
        Some(queries) => (Questions::of_queries(items, queries.clone(), most, pool), "queries"),
        None => (Questions::of_items(items, QUESTIONS, most, params.seed, pool), "items"),
    });
    let check = stages.run(Stage::SelfCheck, None, "queries", || {
        self_check::self_check(&questions, from, &target, pool)
    });
    let calibration = params.calibrate.then(|| {
        stages.run(Stage::Calibrate, None, "points", || {
            calibrate::calibrate(&questions, from, &target, !params.deterministic, pool)
        })
    });
    (Some(check), calibration)
}

fn make_graph(
    items: &Items,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<Built, BuildError> {
    let (n, progress) = (Some(items.len() as u64), stages.progress);
    let (degree, ef) = (params.max_degree, params.ef_construction);
    let codes = stages.run(Stage::Codes, n, "items", || {
        BuiltCodes::encode(items, CodeKind::I8, pool, progress)
    })?;
    let mut built = if params.builder == BuilderKind::HnswRs {
        let graph = stages.run(Stage::Graph, n, "items", || {
            with_element!(items.element(), E => {
                reference::insert_all(&items.space::<E>(), degree, ef, pool, progress)
            })
        })?;
        Built { graph, codes: Some(codes), rule: None, probe: Vec::new(), attached: 0 }
    } else {
        let (rule, probe) = match (params.alpha, params.backfill) {
            (Some(alpha), Some(backfill)) => (PruneRule { alpha, backfill }, Vec::new()),
            _ => stages.run(Stage::Probe, None, "builds", || {
                probe::probe(items, params, pool, progress)
            })?,
        };
        let insert =
            InsertParams { max_degree: degree, ef_construction: ef, rule, seed: params.seed };
        let order = items.insert_order(params.seed);
        let space = CodeSpace::new(codes.view(), items.extras());
        let mut graph = stages.run(Stage::Graph, n, "items", || {
            insert::insert_all(&space, &order, &insert, pool, progress)
        })?;
        let attached = stages.run(Stage::Attach, None, "items", || attach(&mut graph, &space, ef));
        Built { graph, codes: Some(codes), rule: Some(rule), probe, attached: attached as u64 }
    };
    match params.codes {
        CodesChoice::Auto | CodesChoice::I8 => {}
        CodesChoice::None => built.codes = None,
        CodesChoice::U4 => {
            built.codes = None;
            built.codes = Some(stages.run(Stage::Codes, n, "items", || {
                BuiltCodes::encode(items, CodeKind::U4, pool, progress)
            })?);
        }
    }
    Ok(built)
}

fn meta(
    built: &Built,
    params: &BuildParams,
    self_check: Option<SelfCheck>,
    columns: Vec<ColumnSchema>,
) -> Meta {
    let graph = &built.graph;
    let reached = reachable(graph.adjacency(), graph.entry()).len();
    Meta {
        writer: writer(),
        build: BuildRecord {
            builder: params.builder.name().to_owned(),
            max_degree: params.max_degree as u32,
            ef_construction: params.ef_construction as u32,
            alpha: built.rule.map(|rule| rule.alpha),
            backfill: built.rule.is_some_and(|rule| rule.backfill),
            probe: built.probe.clone(),
        },
        statistics: Statistics {
            edges: graph.edges(),
            attached: built.attached,
            unreachable: (graph.adjacency().len() - reached) as u64,
            self_check,
        },
        columns,
        codes: built.codes.as_ref().map(|codes| {
            let layout = codes.view().layout();
            CodesRecord {
                kind: layout.kind().name().to_owned(),
                stride: layout.stride() as u32,
                probe: Vec::new(),
            }
        }),
    }
}

/// Reads the new file back: every checksum, and everything that opening it checks.
fn verify(path: &Path, progress: &dyn Progress) -> Result<(), BuildError> {
    let file = SegmentFile::open(path, LoadMode::Mmap)?;
    if let Some(damage) = file.verify(&mut |bytes| progress.advance(bytes)).pop() {
        return Err(damage.into());
    }
    let segment = Segment::open(file)?;
    for column in 0..segment.columns().len() {
        segment.column(column)?;
    }
    Ok(())
}

fn writer() -> String {
    concat!("vicinage ", env!("CARGO_PKG_VERSION")).to_owned()
}

fn provenance() -> Provenance {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Provenance { tool: writer(), created_unix_s: now.map_or(0, |now| now.as_secs()) }
}

fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, BuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|thread| format!("build-{thread}"))
        .build()
        .map_err(|source| BuildError::Threads { threads, source })
}

/// Checks the number of items that a source announces.
fn check_rows(rows: u64) -> Result<usize, BuildError> {
    match rows {
        0 => Err(BuildError::Empty),
        rows if rows > MAX_NODES as u64 => {
            Err(BuildError::TooMany { found: rows, limit: MAX_NODES })
        }
        rows => Ok(rows as usize),
    }
}
