//! What a build will need, before it starts: memory and disk from the sizes of what is held and
//! written, time from small builds of a sample.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use serde::Serialize;

use crate::builder::codes::BuiltCodes;
use crate::builder::items::{self, Items, Narrower};
use crate::builder::probe::{Choices, probe_builds, wanted};
use crate::builder::probe_codes::probe_codes;
use crate::builder::sample::{self, Sample, sample_size};
use crate::builder::{
    BuildError, BuildParams, BuilderKind, CodesChoice, ItemBatch, ItemSource, QUESTIONS,
    SourceError, check_rows, thread_pool,
};
use crate::filters::columns::{ColumnBuilder, ColumnKind, ColumnSchema, ColumnView};
use crate::filters::indexes;
use crate::format::{ALIGNMENT, Disk, HEADER_BYTES};
use crate::graph::insert::{LIST_ROOM, batch_bytes, insert_all, list_slots};
use crate::graph::reference;
use crate::progress::{Silent, Stage};
use crate::quantizers::{CodeKind, CodeLayout, CodeSpace, CodeTerms};
use crate::scan::{Queries, TopK, query_scales, scan_many};
use crate::types::{ElementType, Metric, NodeId};
use crate::with_element;

/// Items built to see how long items take.
const SAMPLE: usize = 20_000;

/// The smaller build has one in this many of them; how time grows from it to the sample says how
/// it goes on.
const SMALLER: usize = 4;

/// Bytes written to see how fast the disk takes them.
const DISK_PROBE_BYTES: usize = 32 << 20;

/// What the program itself takes: code, stacks, batches, and what the allocator keeps of them.
/// Measured: builds of 60,000 items peak 20 to 25 MiB above what the other parts add up to.
const PROGRAM_BYTES: u64 = 24 << 20;

/// What `index-tools plan` says.
#[derive(Clone, Debug, Serialize)]
pub struct BuildPlan {
    /// Number of items.
    pub n: u64,
    /// Components per vector.
    pub dim: usize,
    /// Type that vectors are stored in.
    pub element: ElementType,
    /// Whether `memory_limit` keeps the vectors on disk during the build.
    pub vectors_on_disk: bool,
    /// Memory at the peak, the sum of `memory`.
    pub peak_memory_bytes: u64,
    /// What makes up the peak.
    pub memory: Vec<Part>,
    /// Size of the new generation.
    pub disk_bytes: u64,
    /// Disk taken during the build beside that.
    pub temporary_disk_bytes: u64,
    /// The sum of `stages`.
    pub seconds: f64,
    /// Seconds per stage.
    pub stages: Vec<(Stage, f64)>,
}

/// Something that takes memory.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What.
    pub name: &'static str,
    /// How much.
    pub bytes: u64,
}

/// Plans a build of everything in `source`, which is read to its end: attributes are kept, since
/// their size cannot be known otherwise, and of the vectors a sample, which is built.
///
/// Cost: reading the input, and building 20,000 items.
///
/// # Errors
/// Those that the build would meet while reading, or [`BuildError::MemoryLimit`].
pub fn plan(source: &mut dyn ItemSource, params: &BuildParams) -> Result<BuildPlan, BuildError> {
    params.check()?;
    let n = check_rows(source.rows())?;
    let pool = thread_pool(params.threads)?;
    let mut shape = Shape::of(source, params)?;

    let start = Instant::now();
    let (sample, columns, narrowest) = Sampled::read(source, params, n.div_ceil(SAMPLE))?;
    let read = start.elapsed().as_secs_f64();
    let column_memory = columns.iter().map(|column| column.bytes() as u64).sum();
    let (column_sections, index_memory) = column_sections(columns, params.seed)?;

    // Where they go is settled before it is known that they can be narrowed.
    let vectors_on_disk = shape.place(params, column_memory)?.vectors_on_disk;
    shape.element = narrowest.unwrap_or(shape.element);
    let place = Place { vectors_on_disk, ..shape.place(params, column_memory)? };
    let memory = shape.memory(place, column_memory, index_memory);
    let start = Instant::now();
    let codes = chosen_codes(&shape, params, &sample, &pool)?;
    let choosing = start.elapsed().as_secs_f64();
    let disk_bytes = shape.file_bytes(&column_sections, codes);
    let known = Known { read, choosing, codes, disk_bytes };
    let stages = stages(&shape, params, &sample, &known, &pool)?;
    Ok(BuildPlan {
        n: n as u64,
        dim: shape.dim,
        element: shape.element,
        vectors_on_disk: place.vectors_on_disk,
        peak_memory_bytes: memory.iter().map(|part| part.bytes).sum(),
        memory,
        disk_bytes,
        temporary_disk_bytes: if place.vectors_on_disk { shape.spool_bytes(disk_bytes) } else { 0 },
        seconds: stages.iter().map(|(_, seconds)| seconds).sum(),
        stages,
    })
}

/// Lengths of the sections of columns and their indexes, and the memory that making the largest of
/// these takes. Rows are in an order by chance: in the order of the input, which may be by a value,
/// sets of nodes could be far shorter than in that of the graph.
fn column_sections(columns: Vec<ColumnBuilder>, seed: u64) -> Result<(Vec<u64>, u64), BuildError> {
    let (mut sections, mut memory) = (Vec::with_capacity(columns.len() * 2), 0);
    for column in columns {
        let schema = column.schema().clone();
        let mut order: Vec<u32> = (0..column.rows() as u32).collect();
        items::shuffle(&mut order, seed);
        let bytes = column.finish(&order)?;
        sections.push(bytes.len() as u64);
        let Ok(view) = ColumnView::parse(&bytes, &schema, order.len() as u64) else { continue };
        if let Some((_, index)) = indexes::build(&view) {
            sections.push(index.len() as u64);
            memory = memory.max(index.len() as u64 + indexes::working_bytes(&view));
        }
    }
    Ok((sections, memory))
}

/// Whether the vectors go to disk during a build of `source`, by the memory limit and what is
/// known before reading. The size of columns is a guess then; the build checks it when it has read
/// them ([`growing_slots`]).
pub(super) fn placement(source: &dyn ItemSource, params: &BuildParams) -> Result<bool, BuildError> {
    let shape = Shape::of(source, params)?;
    let per_item = |(_, kind): &(String, ColumnKind)| match kind {
        ColumnKind::Bool => 1,
        ColumnKind::I64 | ColumnKind::F64 | ColumnKind::Timestamp => 8,
        ColumnKind::Category => 16,
        ColumnKind::Tags => 32,
    };
    let columns: u64 = source.attributes().iter().map(per_item).sum();
    Ok(shape.place(params, columns * shape.n as u64)?.vectors_on_disk)
}

/// Holds the columns that were read against the memory limit; the slots that it leaves for growing
/// lists.
pub(super) fn growing_slots(
    source: &dyn ItemSource,
    params: &BuildParams,
    items: &Items,
) -> Result<usize, BuildError> {
    let element = items.element();
    let shape = Shape { element, given: element, ..Shape::of(source, params)? };
    Ok(shape.place(params, items.column_bytes() as u64)?.list_slots)
}

/// What is where during a build.
#[derive(Clone, Copy)]
struct Place {
    vectors_on_disk: bool,
    /// Slots per list of the growing graph.
    list_slots: usize,
}

/// The sizes that everything follows from.
struct Shape {
    n: usize,
    dim: usize,
    /// What vectors are stored in.
    element: ElementType,
    /// What they come in.
    given: ElementType,
    metric: Metric,
    builder: BuilderKind,
    max_degree: usize,
    threads: usize,
    held: u64,
}

impl Shape {
    fn of(source: &dyn ItemSource, params: &BuildParams) -> Result<Self, BuildError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let element = params.element.unwrap_or(source.element());
        Ok(Self {
            n: check_rows(source.rows())?,
            dim: source.dim(),
            element,
            given: element,
            metric: params.metric,
            builder: params.builder,
            max_degree: params.max_degree,
            threads: if params.threads == 0 { cores } else { params.threads },
            held: source.held_bytes(),
        })
    }

    fn vector_bytes(&self) -> u64 {
        (self.n * self.dim * self.element.bytes()) as u64
    }

    /// What vectors take more as they come in, before they are narrowed.
    fn narrowed_bytes(&self) -> u64 {
        (self.n * self.dim * (self.given.bytes() - self.element.bytes())) as u64
    }

    /// What vectors on disk take beside a new generation of so many bytes: while they are narrowed, which is
    /// before there is one, they are there twice.
    fn spool_bytes(&self, disk_bytes: u64) -> u64 {
        let twice = match self.narrowed_bytes() {
            0 => 0,
            more => 2 * self.vector_bytes() + more,
        };
        self.vector_bytes().max(twice.saturating_sub(disk_bytes))
    }

    /// Code rows, and their terms.
    fn code_bytes(&self, kind: CodeKind) -> [u64; 2] {
        let row = CodeLayout::new(kind, self.dim).stride();
        [row, size_of::<CodeTerms>()].map(|bytes| (self.n * bytes) as u64)
    }

    /// Words of the levels section: each layer has `1 / degree` of the nodes of the one below.
    fn level_bytes(&self) -> u64 {
        let degree = self.max_degree as f64 / 2.0;
        (self.n as f64 / (degree - 1.0) * (2.0 + degree) * 4.0) as u64
    }

    /// What is held at the peak. An index of a column is made when graph and codes are gone: of
    /// `index_bytes` it is only what these did not take that comes on top.
    fn memory(&self, place: Place, column_bytes: u64, index_bytes: u64) -> Vec<Part> {
        let n = self.n as u64;
        let graph = match self.builder {
            BuilderKind::Hnsw => place.list_slots as u64 * 4 * n,
            // An edge of the crate is a counted reference with a distance, on both layers' tables.
            BuilderKind::HnswRs => (self.max_degree as u64 * 40 + 700) * n,
        };
        let norms = if self.metric == Metric::L2 { 0 } else { 4 * n };
        let visited = self.threads as u64 * (n / 8 + n / 16);
        let batch = batch_bytes(self.n, self.max_degree, place.list_slots) as u64;
        let part = |name, bytes| Part { name, bytes };
        let codes = self.code_bytes(CodeKind::I8).iter().sum();
        let mut parts = vec![
            // Those of 4 bits, if they are what is written, are made when these are gone.
            part("codes", codes),
            part("graph while it grows", graph),
            part("upper layers", self.level_bytes()),
            part("item ids, order and norms", 12 * n + norms),
            part("attributes", column_bytes),
            part("an index of an attribute", index_bytes.saturating_sub(graph + codes)),
            part("what the input holds", self.held),
            part("inserts under way", visited + batch),
            part("the program", PROGRAM_BYTES),
        ];
        if !place.vectors_on_disk {
            parts.insert(0, part("vectors", self.vector_bytes()));
            // There is no graph yet when they come in.
            let later = codes + graph + self.level_bytes() + visited + batch;
            let more = self.narrowed_bytes().saturating_sub(later);
            parts.insert(1, part("vectors as they come in", more));
        }
        parts
    }

    /// The fastest way to keep the limit.
    fn place(&self, params: &BuildParams, column_bytes: u64) -> Result<Place, BuildError> {
        let [roomy, tight] = LIST_ROOM.map(|room| list_slots(self.max_degree, room));
        let places = [(false, roomy), (true, roomy), (true, tight)]
            .map(|(vectors_on_disk, list_slots)| Place { vectors_on_disk, list_slots });
        let limit = params.memory_limit.unwrap_or(u64::MAX);
        let mut needed = 0;
        for place in places {
            needed = self.memory(place, column_bytes, 0).iter().map(|part| part.bytes).sum();
            if needed <= limit {
                return Ok(place);
            }
        }
        Err(BuildError::MemoryLimit { needed, limit })
    }

    fn file_bytes(&self, column_sections: &[u64], codes: Option<CodeKind>) -> u64 {
        let n = self.n as u64;
        let scales = if self.metric == Metric::Cosine { 4 * n } else { 0 };
        // The meta section is less than one alignment unit.
        let meta = ALIGNMENT;
        let graph = self.max_degree as u64 * 4 * n;
        let [rows, terms] = codes.map_or([0, 0], |kind| self.code_bytes(kind));
        let center = if codes.is_some() { 4 * self.dim as u64 } else { 0 };
        let levels = self.level_bytes();
        let codes = [rows, terms, center];
        let fixed = [meta, levels, graph, scales, 8 * n, 4 * n, self.vector_bytes()];
        let sections = fixed.iter().chain(&codes).chain(column_sections);
        let bytes: u64 = sections.map(|section| section.next_multiple_of(ALIGNMENT)).sum();
        HEADER_BYTES as u64 + bytes
    }
}

/// What searches of the build will read in place of the vectors, if anything: as the build itself
/// finds it, but on the items at hand.
fn chosen_codes(
    shape: &Shape,
    params: &BuildParams,
    items: &Items,
    pool: &rayon::ThreadPool,
) -> Result<Option<CodeKind>, BuildError> {
    match sample_size(shape.n).filter(|_| params.codes == CodesChoice::Auto) {
        None => Ok(Choices::of(params).codes),
        Some(size) => {
            let size = size.min(items.len() - sample::QUERIES);
            let queries = params.queries.as_deref();
            let sample = Sample::draw(items, size, queries, params.seed, pool);
            Ok(probe_codes(&sample, pool)?.0)
        }
    }
}

/// What is known of a build before its graph is.
struct Known {
    /// Seconds of reading the input.
    read: f64,
    /// Seconds of choosing codes.
    choosing: f64,
    /// What was chosen.
    codes: Option<CodeKind>,
    disk_bytes: u64,
}

/// Seconds per stage, from measurements on the sample.
fn stages(
    shape: &Shape,
    params: &BuildParams,
    sample: &Items,
    known: &Known,
    pool: &rayon::ThreadPool,
) -> Result<Vec<(Stage, f64)>, BuildError> {
    let smaller: Vec<NodeId> = (0..sample.len() as u32).step_by(SMALLER).map(NodeId).collect();
    let [_, small] = time_build(&sample.sample(&smaller), params, pool)?;
    let [coding, large] = time_build(sample, params, pool)?;
    // Between linear and what memory that no longer fits the caches makes of n · log n.
    let growth = ((large / small).ln() / (SMALLER as f64).ln()).clamp(1.0, 1.3);
    let times = |n: usize| n as f64 / sample.len() as f64;
    let seconds = |n: usize| large * times(n).powf(growth);

    let trials = match wanted(params, shape.n) {
        None => 0.0,
        Some(size) => known.choosing + probe_builds(params) as f64 * seconds(size),
    };
    let coding = match known.codes {
        None | Some(CodeKind::I8) => coding,
        Some(CodeKind::U4) => {
            let start = Instant::now();
            BuiltCodes::encode(sample, CodeKind::U4, pool, &Silent)?;
            coding + start.elapsed().as_secs_f64()
        }
    };
    let distance = time_scan(sample) / pool.current_num_threads() as f64;
    let write = known.disk_bytes as f64 / disk_rate();
    Ok(vec![
        (Stage::Read, known.read),
        (Stage::Probe, trials),
        (Stage::Codes, coding * times(shape.n)),
        (Stage::Graph, seconds(shape.n)),
        (Stage::SelfCheck, distance * (QUESTIONS * shape.n) as f64),
        (Stage::Write, write),
        (Stage::Verify, known.disk_bytes as f64 / 5e9),
    ])
}

/// Seconds that the items take to be coded, and to be linked.
fn time_build(
    items: &Items,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
) -> Result<[f64; 2], BuildError> {
    let rule = Choices::of(params).rule;
    let (max_degree, ef_construction) = (params.max_degree, params.ef_construction);
    let insert = params.insert_params(rule);
    let order = items.insert_order(params.seed);
    let start = Instant::now();
    let codes = BuiltCodes::encode(items, CodeKind::I8, pool, &Silent)?;
    let coding = start.elapsed().as_secs_f64();
    match params.builder {
        BuilderKind::Hnsw => {
            let space = CodeSpace::new(codes.view(), items.extras());
            insert_all(&space, &order, &insert, pool, &Silent)?;
        }
        BuilderKind::HnswRs => with_element!(items.element(), E => {
            let space = items.space::<E>();
            reference::insert_all(&space, max_degree, ef_construction, pool, &Silent)?;
        }),
    }
    Ok([coding, start.elapsed().as_secs_f64() - coding])
}

/// Seconds per distance of the blocked scan on one thread.
fn time_scan(sample: &Items) -> f64 {
    let (vectors, dim) = (sample.vectors(), sample.dim());
    let mut queries = Vec::with_capacity(QUESTIONS * dim);
    let mut row = Vec::new();
    for node in (0..sample.len().min(QUESTIONS) as u32).map(NodeId) {
        vectors.widen(node, &mut row);
        queries.extend_from_slice(&row);
    }
    let scales = query_scales(sample.metric(), &queries, dim);
    let mut tops = vec![TopK::new(10); scales.len()];
    let start = Instant::now();
    let queries = Queries { components: &queries, scales: &scales };
    scan_many(vectors, sample.metric(), sample.scales(), queries, 0, &mut tops);
    start.elapsed().as_secs_f64() / (scales.len() * sample.len()) as f64
}

/// Bytes per second that reach the disk under the temporary directory. Where it cannot be
/// measured: 200 MB/s.
fn disk_rate() -> f64 {
    let measure = || -> std::io::Result<f64> {
        let mut file = tempfile()?;
        let start = Instant::now();
        file.write_all(&vec![0x5a; DISK_PROBE_BYTES])?;
        file.sync_all()?;
        Ok(DISK_PROBE_BYTES as f64 / start.elapsed().as_secs_f64())
    };
    measure().unwrap_or(2e8)
}

/// A file without a name in the temporary directory.
fn tempfile() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("vicinage-plan-{}", std::process::id()));
    let file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Passes on every `stride`th vector, and keeps the attributes of all items and what all vectors fit in.
struct Sampled<'a> {
    inner: &'a mut dyn ItemSource,
    stride: usize,
    row: usize,
    columns: Vec<ColumnBuilder>,
    narrower: Narrower,
}

impl<'a> Sampled<'a> {
    fn read(
        inner: &'a mut dyn ItemSource,
        params: &BuildParams,
        stride: usize,
    ) -> Result<(Items, Vec<ColumnBuilder>, Option<ElementType>), BuildError> {
        let schema = |(name, kind)| ColumnSchema { name, kind, nullable: true };
        let columns = inner.attributes().into_iter().map(schema).map(ColumnBuilder::new);
        let columns = columns.collect();
        let narrower = Narrower::of(inner, params);
        let mut sampled = Self { inner, stride, row: 0, columns, narrower };
        // A sample may fit what all do not.
        let element = params.element.unwrap_or(sampled.element());
        let params = BuildParams { element: Some(element), ..params.clone() };
        let items = Items::read(&mut sampled, &params, &Disk, None, &Silent)?;
        Ok((items, sampled.columns, sampled.narrower.narrowest()))
    }
}

impl ItemSource for Sampled<'_> {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn rows(&self) -> u64 {
        self.inner.rows().div_ceil(self.stride as u64)
    }

    fn element(&self) -> ElementType {
        self.inner.element()
    }

    fn attributes(&self) -> Vec<(String, ColumnKind)> {
        Vec::new()
    }

    fn next_batch(&mut self) -> Result<Option<ItemBatch>, SourceError> {
        let Some(batch) = self.inner.next_batch()? else { return Ok(None) };
        let rows = batch.vectors.len() / self.dim();
        for (column, values) in self.columns.iter_mut().zip(&batch.attributes) {
            for row in 0..rows {
                column.push(&values.value(row))?;
            }
        }
        self.narrower.see(&batch.vectors);
        let first = self.row.next_multiple_of(self.stride) - self.row;
        self.row += rows;
        let picked = (first..rows).step_by(self.stride);
        let vectors = batch.vectors.pick(self.inner.dim(), picked);
        Ok(Some(ItemBatch { vectors, ids: None, attributes: Vec::new() }))
    }
}
