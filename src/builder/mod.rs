//! Builds an index directory from a stream of items.
//!
//! | file | stage, or what it holds |
//! |---|---|
//! | `params.rs`, `source.rs`, `error.rs` | what a build is told, where items come from, why it fails |
//! | `items.rs` | read: checks every vector and id, keeps vectors in memory or in a spool file |
//! | `codes.rs` | codes: vectors as small integers |
//! | `probe.rs`, `probe_codes.rs`, `sample.rs` | probe: trials on a sample that find `alpha`, backfill and the kind of codes |
//! | `mod.rs` | probe → codes → graph → attach → entries → repair → self-check → calibration → reorder → write → verify → publish |
//! | `cost.rs` | distances at a recall, by which trials are compared |
//! | `questions.rs` | queries with known answers, which the next three ask |
//! | `entries.rs` | entries: where searches come into the base layer |
//! | `centers.rs` | clusters of items or queries, whose nearest items searches begin at |
//! | `learn.rs` | repair: edges that logged queries miss, and where they come in |
//! | `calibrate.rs` | calibration: what effort reaches which recall |
//! | `self_check.rs` | self-check: recall of sampled items against exact search |
//! | `revise.rs` | a new calibration for an index that exists, and what it learns from new queries |
//! | `plan.rs` | what a build will need, before it starts |
//!
//! Nothing is visible before the last step: everything is written into a temporary directory of
//! the index, and a build that fails or is stopped removes it.

mod calibrate;
mod centers;
mod codes;
mod cost;
mod entries;
mod error;
mod items;
mod learn;
mod params;
mod plan;
mod probe;
mod probe_codes;
mod questions;
mod revise;
mod sample;
mod self_check;
mod source;

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::filters::columns::ColumnSchema;
use crate::format::{Access, Disk, FileLayer, Geometry, LoadMode, SegmentFile};
use crate::graph::attach::{attach, reachable};
use crate::graph::entry_points::{EntryPoints, OwnedEntryPoints};
use crate::graph::insert::InsertParams;
use crate::graph::levels::LevelsLayout;
use crate::graph::{Graph, MAX_NODES, insert, order, reference};
use crate::progress::{Progress, Stage};
use crate::quantizers::{CodeKind, CodeSpace};
use crate::search::Target;
use crate::segments::calibration::Calibration;
use crate::segments::manifest::Provenance;
use crate::segments::meta::{BuildRecord, CodesRecord, Meta, SelfCheck, Statistics};
use crate::segments::publish::{IndexDir, NewSegment};
use crate::segments::repair::Repair;
use crate::segments::segment::{Segment, SegmentParts, VectorParts, begin_segment};
use crate::types::ElementType;
use crate::with_element;

use codes::BuiltCodes;
use entries::{WayIn, find_entries};
use items::Items;
use learn::Learned;
use probe::Choices;
use questions::{Questions, check_queries};

pub use error::BuildError;
pub use params::{BuildParams, BuilderKind, CodesChoice, Preset};
pub use plan::{BuildPlan, Part, plan};
pub use revise::{ReviseReport, recalibrate, recalibrate_through, repair};
pub use source::{ColumnBatch, ItemBatch, ItemSource, SourceError};

/// Name of the segment file within a generation.
const SEGMENT_NAME: &str = "base.vcg";

/// Items asked in place of queries.
const QUESTIONS: usize = 320;

/// Generations kept: the new one and the one before it.
const RETAINED_GENERATIONS: u64 = 2;

/// What a build did.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// The generation that is now current.
    pub generation: u64,
    /// Number of items.
    pub n: u64,
    /// Components per vector.
    pub dim: usize,
    /// Type that vectors are stored in.
    pub element: ElementType,
    /// Size of the segment file.
    pub file_bytes: u64,
    /// Seconds per stage, in order.
    pub seconds: Vec<(Stage, f64)>,
    /// What the meta section says.
    pub meta: Meta,
    /// What effort reaches which recall; none where that was not measured, or the items are so few
    /// that searches are scans.
    pub calibration: Option<Calibration>,
    /// What was learned from the queries; none where there were too few, or where it did not pay.
    pub repair: Option<Repair>,
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
    if let Some(space) = &params.space {
        space.check(source.dim(), params.metric)?;
    }
    if let Some(queries) = &params.queries {
        check_queries(queries, source.dim(), params.metric)?;
    }
    let spool = plan::placement(source, params)?;
    let pool = thread_pool(params.threads)?;
    let mut stages = Stages { progress, seconds: Vec::new() };
    let mut dir = IndexDir::create_or_open(out, layer)?;
    let pending = dir.begin()?;

    let spool = spool.then(|| pending.file_path("vectors.spool"));
    let mut items = stages.run(Stage::Read, Some(source.rows()), "items", || {
        Items::read(source, params, layer, spool.as_deref(), progress)
    })?;
    let list_slots = plan::growing_slots(source, params, &items)?;
    let mut built = make_graph(&items, params, list_slots, &pool, &mut stages)?;
    let (self_check, calibration) = examine(&items, &mut built, params, &pool, &mut stages);
    let stored = stages.run(Stage::Reorder, Some(items.len() as u64), "items", || {
        order::breadth_first(&built.graph)
    });
    if progress.cancelled() {
        return Err(BuildError::Cancelled);
    }

    let meta = meta(&built, params, self_check, items.schemas());
    let repair = built.learned.as_ref().map(|learned| learned.record.clone());
    let geometry = Geometry {
        n: items.len() as u64,
        dim: items.dim() as u32,
        metric: params.metric,
        element: items.element(),
        seed: params.seed,
    };
    let path = pending.file_path(SEGMENT_NAME);
    let bytes = items.vectors().bytes.len() as u64;
    items.expect(Access::InOrder);
    let digest = stages.run(Stage::Write, Some(bytes), "bytes", || {
        let columns = items.finish_columns(&stored)?;
        let parts = SegmentParts {
            meta: &meta,
            graph: &built.graph,
            order: &stored,
            scales: items.scales(),
            codes: built.codes.as_ref().map(BuiltCodes::view),
            space: params.space.as_ref(),
            calibration: calibration.as_ref(),
            entry_points: built.entry_points.as_ref(),
            learned: built.learned.as_ref().map(Learned::parts),
            ids: items.ids(),
        };
        let begun = begin_segment(layer, &path, &parts)?;
        let freed = built.bytes();
        drop(built);
        let parts = VectorParts {
            geometry,
            vectors: items.vectors(),
            order: &stored,
            gathered_bytes: items.on_disk().then_some(freed),
            columns: &columns,
            indexed: Some(&meta.columns),
        };
        Ok::<_, BuildError>(begun.finish(&parts, &mut |n| progress.advance(n))?)
    })?;
    items.remove_spool(layer)?;
    // The new file is mapped whole to be verified; what it was made from would double the memory.
    drop((items, stored));
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
        element,
        file_bytes: digest.length,
        seconds: stages.seconds,
        meta,
        calibration,
        repair,
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
        self.note(stage, start.elapsed().as_secs_f64());
        self.progress.end(stage);
        done
    }

    /// A stage that runs twice is one line with both times.
    fn note(&mut self, stage: Stage, seconds: f64) {
        match self.seconds.iter_mut().find(|(noted, _)| *noted == stage) {
            Some((_, noted)) => *noted += seconds,
            None => self.seconds.push((stage, seconds)),
        }
    }
}

/// A graph and how it came about.
struct Built {
    graph: Graph,
    /// What searches read, unless it is the vectors.
    codes: Option<BuiltCodes>,
    choices: Choices,
    attached: u64,
    /// Where searches begin, unless they go down the upper layers.
    entry_points: Option<OwnedEntryPoints>,
    learned: Option<Learned>,
}

impl Built {
    /// Memory that graph and codes take.
    fn bytes(&self) -> usize {
        size_of_val(&*self.graph.base) + self.codes.as_ref().map_or(0, BuiltCodes::bytes)
    }
}

/// Asks the new graph held-out queries where there are some, else items, and finds where searches come in.
/// From the other queries it learns.
fn examine(
    items: &Items,
    built: &mut Built,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> (Option<SelfCheck>, Option<Calibration>) {
    let words = built.graph.levels.words();
    let Ok(layout) = LevelsLayout::parse(&words, items.len()) else { return (None, None) };
    let mut target = Target {
        vectors: items.vectors(),
        metric: items.metric(),
        scales: items.scales(),
        codes: built.codes.as_ref().map(BuiltCodes::view),
        graph: built.graph.adjacency(),
        levels: (&words, &layout),
        entry_points: None,
    };
    let most = calibrate::calibrated_ks(items.len()).map(|(k, _)| k).last().unwrap_or(10);
    let (vectors, metric) = (items.vectors(), items.metric());
    items.expect(Access::InOrder);
    let split = |queries: &Vec<f32>| match params.repair {
        true => learn::split(queries, items.dim()),
        false => (Vec::new(), queries.clone()),
    };
    let (queries, held_out) = params.queries.as_ref().map(split).unzip();
    let (questions, from) = stages.run(Stage::Truth, None, "queries", || match held_out {
        Some(queries) => (Questions::of_queries(vectors, metric, queries, most, pool), "queries"),
        None => (Questions::of_items(vectors, metric, QUESTIONS, most, params.seed, pool), "items"),
    });
    items.expect(Access::AtRandom);
    let WayIn { layout, points } =
        stages.run(Stage::Entries, None, "trials", || find_entries(&questions, &target, pool));
    target.levels = (&words, &layout);
    target.entry_points = points.as_ref().map(OwnedEntryPoints::view);
    let learned = queries
        .filter(|queries| !queries.is_empty())
        .and_then(|queries| learn::stage(&target, &queries, &questions, pool, stages));
    let target = learned.as_ref().map_or(target, |learned| learned.applied(target));
    let check = stages.run(Stage::SelfCheck, None, "queries", || {
        self_check::self_check(&questions, from, &target, pool)
    });
    let wanted = params.calibrate && calibrate::calibrated_ks(items.len()).next().is_some();
    let calibration = wanted.then(|| {
        stages.run(Stage::Calibrate, None, "points", || {
            calibrate::calibrate(&questions, from, &target, !params.deterministic, pool)
        })
    });
    let entry_points = target.entry_points.as_ref().map(EntryPoints::to_owned);
    built.graph.levels.entries = layout.entries();
    built.entry_points = entry_points;
    built.learned = learned;
    (Some(check), calibration)
}

fn make_graph(
    items: &Items,
    params: &BuildParams,
    list_slots: usize,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<Built, BuildError> {
    let (n, progress) = (Some(items.len() as u64), stages.progress);
    let choices = match probe::wanted(params, items.len()) {
        None => Choices::of(params),
        Some(size) => stages.run(Stage::Probe, None, "builds", || {
            probe::probe(items, size, params, pool, progress)
        })?,
    };
    let encode = |stages: &mut Stages<'_>, kind| {
        stages.run(Stage::Codes, n, "items", || BuiltCodes::encode(items, kind, pool, progress))
    };
    let codes = encode(stages, CodeKind::I8)?;
    let (graph, attached) = if params.builder == BuilderKind::HnswRs {
        (insert_reference(items, params, pool, stages)?, 0)
    } else {
        let space = CodeSpace::new(codes.view(), items.extras());
        let insert = InsertParams { list_slots, ..params.insert_params(choices.rule) };
        insert_items(items, &space, &insert, pool, stages)?
    };
    let codes = match choices.codes {
        None => None,
        Some(CodeKind::I8) => Some(codes),
        Some(CodeKind::U4) => {
            drop(codes);
            Some(encode(stages, CodeKind::U4)?)
        }
    };
    Ok(Built { graph, codes, choices, attached, entry_points: None, learned: None })
}

/// Our graph, and how many items needed an edge afterwards.
fn insert_items(
    items: &Items,
    space: &CodeSpace<'_>,
    params: &InsertParams,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<(Graph, u64), BuildError> {
    let (order, progress) = (items.insert_order(params.seed), stages.progress);
    let mut graph = stages.run(Stage::Graph, Some(items.len() as u64), "items", || {
        insert::insert_all(space, &order, params, pool, progress)
    })?;
    let attach = || attach(&mut graph, space, params.ef_construction);
    let attached = stages.run(Stage::Attach, None, "items", attach);
    Ok((graph, attached as u64))
}

/// The graph of the reference builder.
fn insert_reference(
    items: &Items,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    stages: &mut Stages<'_>,
) -> Result<Graph, BuildError> {
    let (degree, ef) = (params.max_degree, params.ef_construction);
    let progress = stages.progress;
    let graph = stages.run(Stage::Graph, Some(items.len() as u64), "items", || {
        with_element!(items.element(), E => {
            reference::insert_all(&items.space::<E>(), degree, ef, pool, progress)
        })
    });
    Ok(graph?)
}

fn meta(
    built: &Built,
    params: &BuildParams,
    self_check: Option<SelfCheck>,
    columns: Vec<ColumnSchema>,
) -> Meta {
    let Built { graph, choices, .. } = built;
    let ours = params.builder == BuilderKind::Hnsw;
    let reached = reachable(graph.adjacency(), graph.entry()).len();
    Meta {
        writer: writer(),
        build: BuildRecord {
            builder: params.builder.name().to_owned(),
            max_degree: params.max_degree as u32,
            ef_construction: params.ef_construction as u32,
            alpha: ours.then_some(choices.rule.alpha),
            backfill: ours && choices.rule.backfill,
            probe: choices.rules.clone(),
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
            CodesRecord { kind: layout.kind().name().to_owned(), stride: layout.stride() as u32 }
        }),
        codes_probe: choices.codes_probe.clone(),
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
        segment.column_index(column)?;
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
