//! What a search is made of: the beam loop at several `ef`, the scan, a whole search, and opening
//! an index.
//!
//! `cargo bench --bench search [FILTER]`. A graph of 10,000 made-up vectors of 128 components, on
//! one thread; a small one where this only shows that it works.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use vicinage::graph::Graph;
use vicinage::graph::beam::{Beam, Reach};
use vicinage::graph::insert::{InsertParams, insert_all};
use vicinage::graph::pool::{Pool, Stop};
use vicinage::graph::prune::PruneRule;
use vicinage::index::{Index, LoadMode, Scratch, SearchParams};
use vicinage::kernels::{Isa, Operation, dispatch};
use vicinage::progress::Silent;
use vicinage::scan::{Queries, ScanOne, TopK, query_scales, scan_many};
use vicinage::types::{AdmitAll, ElementType, Metric, NodeId};
use vicinage::vectors::{Form, RowScorer, RowSpace, Rows, SpaceForm, Vectors};

#[path = "common/mod.rs"]
mod common;

use common::{make_index, measuring, numbers};

const DIM: usize = 128;
const QUERIES: usize = 64;
const K: usize = 10;
const EFS: [usize; 4] = [16, 64, 128, 512];

fn main() {
    divan::main();
}

fn items() -> usize {
    if measuring() { 10_000 } else { 500 }
}

struct Set {
    items: Vec<f32>,
    queries: Vec<f32>,
    next: AtomicUsize,
}

impl Set {
    fn vectors(&self) -> Vectors<'_> {
        let bytes = bytemuck::cast_slice(&self.items);
        Vectors { bytes, element: ElementType::F32, dim: DIM }
    }

    fn rows(&self) -> Rows<'_, f32> {
        self.vectors().rows()
    }

    /// The queries, taking turns.
    fn query(&self) -> &[f32] {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % QUERIES;
        &self.queries[at * DIM..][..DIM]
    }
}

static SET: LazyLock<Set> = LazyLock::new(|| Set {
    items: numbers(1, items() * DIM),
    queries: numbers(2, QUERIES * DIM),
    next: AtomicUsize::new(0),
});

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let order: Vec<NodeId> = (0..items() as u32).map(NodeId).collect();
    let rule = PruneRule { alpha: 1.2, backfill: true };
    let (max_degree, list_slots) = (32, 48);
    let params = InsertParams { max_degree, list_slots, ef_construction: 100, rule, seed: 1 };
    let space = RowSpace { rows: SET.rows(), form: SpaceForm::L2 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    insert_all(&space, &order, &params, &pool, &Silent).unwrap()
});

static INDEX: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    make_index(&folder.path().join("index"), items(), DIM, Metric::L2).unwrap();
    folder
});

fn open(load: LoadMode) -> Index {
    Index::open(&INDEX.path().join("index"), load).unwrap()
}

struct Walk<'a> {
    query: &'a [f32],
    beam: &'a mut Beam,
    ef: usize,
}

impl Operation for Walk<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> u64 {
        let scorer = RowScorer { isa, rows: SET.rows(), query: self.query, form: Form::L2 };
        let (layer, entry) = (GRAPH.adjacency(), GRAPH.entry());
        self.beam.search(layer, &scorer, &[entry], Reach::of(self.ef)).distances
    }
}

/// The base layer alone, without descent.
#[divan::bench(args = EFS)]
fn beam(bencher: Bencher<'_, '_>, ef: usize) {
    LazyLock::force(&GRAPH);
    let mut beam = Beam::default();
    bencher.bench_local(|| dispatch(Walk { query: SET.query(), beam: &mut beam, ef }));
}

/// The candidate list alone: batches of new neighbors that come closer as a search goes on.
#[divan::bench(args = [128, 512, 1024, 2048, 4096, 16_384])]
fn candidate_list(bencher: Bencher<'_, '_>, ef: usize) {
    const BATCH: usize = 10;
    let steps = if measuring() { ef } else { 10 };
    let nodes: Vec<NodeId> = (0..(steps * BATCH) as u32).map(NodeId).collect();
    let mut distances = numbers(3, nodes.len());
    for (at, distance) in distances.iter_mut().enumerate() {
        *distance = 2.0 + *distance + ef as f32 / (ef + at / BATCH * 4) as f32;
    }
    let mut pool = Pool::default();
    bencher.counter(ItemsCount::new(steps)).bench_local(|| {
        pool.reset(ef, Stop::NEVER);
        for (nodes, distances) in nodes.chunks(BATCH).zip(distances.chunks(BATCH)) {
            pool.insert(nodes, distances);
            divan::black_box(pool.expand_next());
        }
        pool.settle();
    });
}

/// From the vector to item ids and scores.
#[divan::bench(args = EFS)]
fn search(bencher: Bencher<'_, '_>, ef: usize) {
    let index = open(LoadMode::Mmap);
    let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    bencher.bench_local(|| index.search(&mut scratch, SET.query(), &params, &mut hits).unwrap());
}

/// Every row for one query.
#[divan::bench]
fn scan_one(bencher: Bencher<'_, '_>) {
    let mut top = TopK::default();
    bencher
        .counter(ItemsCount::new(items()))
        .counter(BytesCount::of_slice(&SET.items))
        .bench_local(|| {
            top.reset(K);
            let (rows, query) = (SET.rows(), SET.query());
            let (form, admit, top) = (Form::L2, AdmitAll, &mut top);
            dispatch(ScanOne { rows, query, form, admit, top, deadline: None })
        });
}

/// Every row for 64 queries, in blocks.
#[divan::bench]
fn scan_many_queries(bencher: Bencher<'_, '_>) {
    let scales = query_scales(Metric::L2, &SET.queries, DIM);
    let mut tops = vec![TopK::default(); QUERIES];
    bencher.counter(ItemsCount::new(items() * QUERIES)).bench_local(|| {
        tops.iter_mut().for_each(|top| top.reset(K));
        let queries = Queries { components: &SET.queries, scales: &scales };
        scan_many(SET.vectors(), Metric::L2, &[], queries, 0, &mut tops);
    });
}

/// Validation of what search relies on, and for `Copy` the reading of the file, which is in the
/// page cache.
#[divan::bench(args = [LoadMode::Mmap, LoadMode::Copy])]
fn open_index(bencher: Bencher<'_, '_>, load: LoadMode) {
    LazyLock::force(&INDEX);
    bencher.bench_local(|| open(load));
}
