//! What passes a filter: from the expression to the set of nodes, and the scan of their codes, of a
//! million items.
//!
//! `cargo bench --bench filters [FILTER]`. On one thread; of a few thousand items where this only
//! shows that it works. `scan` and `gather` take the same rows in turn: how much longer the scan takes is
//! what it does beyond waiting for memory.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use memmap2::{Advice, MmapMut};
use vicinage::error::Corruption;
use vicinage::filters::cache::FilterCache;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnKind, ColumnLayout, ColumnSchema, ColumnView,
};
use vicinage::filters::evaluate::Table;
use vicinage::filters::expression::Expression;
use vicinage::filters::indexes::{self, ColumnIndex, IndexLayout};
use vicinage::filters::lookup::IdLookup;
use vicinage::filters::nodes::NodeSet;
use vicinage::kernels::{Isa, Operation, dispatch};
use vicinage::quantizers::{
    CodeBounds, CodeKind, CodeLayout, CodeTerms, Codes, I8, QueryCodes, encode_rows,
};
use vicinage::scan::{Closest, NodeStream, scan_within};
use vicinage::types::{AdmitAll, ItemId, Metric, NodeId};

#[path = "common/mod.rs"]
mod common;

use common::{measuring, numbers};

fn main() {
    divan::main();
}

fn items() -> usize {
    if measuring() { 1_000_000 } else { 3000 }
}

struct Column {
    bytes: Vec<u8>,
    layout: ColumnLayout,
    index: Option<(IndexLayout, Vec<u8>)>,
}

/// Items whose columns and ids are indexed, as those of a segment are.
struct Items {
    schema: Vec<ColumnSchema>,
    columns: Vec<Column>,
    ids: Vec<ItemId>,
    lookup: Vec<NodeId>,
}

impl Table for Items {
    fn schema(&self) -> &[ColumnSchema] {
        &self.schema
    }

    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption> {
        Ok(self.columns[at].layout.view(&self.columns[at].bytes))
    }

    fn item_ids(&self) -> &[ItemId] {
        &self.ids
    }

    fn column_index(&self, at: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        Ok(self.columns[at].index.as_ref().map(|(layout, bytes)| layout.view(bytes)))
    }

    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        Some(IdLookup::new(&self.ids, &self.lookup))
    }
}

fn column<'a>(
    name: &str,
    kind: ColumnKind,
    value: impl Fn(usize) -> AttributeValue<'a>,
) -> (ColumnSchema, Column) {
    let schema = ColumnSchema { name: name.to_owned(), kind, nullable: true };
    let mut builder = ColumnBuilder::new(schema.clone());
    (0..items()).for_each(|row| builder.push(&value(row)).unwrap());
    let order: Vec<u32> = (0..items() as u32).collect();
    let bytes = builder.finish(&order).unwrap();
    let view = ColumnView::parse(&bytes, &schema, items() as u64).unwrap();
    let layout = view.layout().clone();
    let index = indexes::build(&view)
        .map(|(kind, bytes)| (ColumnIndex::parse(kind, &bytes, &view).unwrap().layout(), bytes));
    (schema, Column { bytes, layout, index })
}

/// Half of the items are in English and a tenth in German, a third are remote, half are paid, years
/// are even from 1950 to 2050, and users are many.
static ITEMS: LazyLock<Items> = LazyLock::new(|| {
    let random: [Vec<f32>; 5] = [1, 2, 3, 4, 5].map(|seed| numbers(seed * 77, items()));
    let unit = |of: usize, row: usize| (random[of][row] + 1.0) / 2.0;
    let user: Vec<String> = (0..items() / 8).map(|user| format!("user {user}")).collect();
    let language = |row| match unit(0, row) {
        0.0..0.5 => "eng",
        0.5..0.6 => "deu",
        0.6..0.7 => "fra",
        _ => "other",
    };
    let tags = |row| {
        let mut tags = Vec::new();
        tags.extend((unit(1, row) < 0.3).then_some("remote"));
        tags.extend((unit(2, row) < 0.5).then_some("paid"));
        AttributeValue::Tags(tags)
    };
    let columns = [
        column("language", ColumnKind::Category, |row| AttributeValue::Text(language(row))),
        column("tags", ColumnKind::Tags, tags),
        column("year", ColumnKind::I64, |row| {
            AttributeValue::I64(1950 + (unit(3, row) * 100.0) as i64)
        }),
        column("pay", ColumnKind::F64, |row| match unit(4, row) {
            pay if pay < 0.2 => AttributeValue::Null,
            pay => AttributeValue::F64(f64::from(pay)),
        }),
        column("user", ColumnKind::Category, |row| {
            AttributeValue::Text(&user[(unit(4, row) * user.len() as f32) as usize % user.len()])
        }),
    ];
    let (schema, columns) = columns.into_iter().unzip();
    // Ids that are nearly consecutive, in another order than stored.
    let n = items() as u64;
    let ids: Vec<ItemId> = (0..n).map(|row| 1000 + row * 7919 % n * 10 / 9).collect();
    let mut lookup: Vec<NodeId> = (0..n as u32).map(NodeId).collect();
    lookup.sort_unstable_by_key(|node| ids[node.index()]);
    Items { schema, columns, ids, lookup }
});

const FILTERS: [(&str, &str); 9] = [
    ("one text", r#"{"eq": {"language": "eng"}}"#),
    (
        "and of three",
        r#"{"and": [{"eq": {"language": "eng"}}, {"has": {"tags": "remote"}}, {"has": {"tags": "paid"}}]}"#,
    ),
    (
        "and of three, a tenth",
        r#"{"and": [{"eq": {"language": "deu"}}, {"has": {"tags": "remote"}}, {"has": {"tags": "paid"}}]}"#,
    ),
    ("not", r#"{"not": {"eq": {"language": "eng"}}}"#),
    ("half a range", r#"{"range": {"year": {"gte": 1971, "lt": 2021}}}"#),
    ("half a range of numbers", r#"{"range": {"pay": {"gt": 0.33}}}"#),
    ("a short range", r#"{"eq": {"year": 1999}}"#),
    ("one of many texts", r#"{"eq": {"user": "user 77"}}"#),
    (
        "or, not, range",
        r#"{"and": [{"or": [{"eq": {"language": "deu"}}, {"eq": {"language": "fra"}}]}, {"not": {"has": {"tags": "remote"}}}, {"range": {"year": {"gte": 2000}}}]}"#,
    ),
];

fn filter(name: &str) -> Expression {
    let (_, text) = FILTERS.into_iter().find(|(known, _)| *known == name).unwrap();
    Expression::from_json(text).unwrap()
}

const NAMES: [&str; FILTERS.len()] = {
    let mut names = [""; FILTERS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = FILTERS[at].0;
        at += 1;
    }
    names
};

/// Binding and evaluating.
#[divan::bench(args = NAMES)]
fn select(bencher: Bencher<'_, '_>, name: &str) {
    let (items, filter) = (&*ITEMS, filter(name));
    assert_eq!(filter.bind(items).unwrap().select(), filter.bind(items).unwrap().passing());
    bencher.bench_local(|| filter.bind(items).unwrap().select());
}

/// Row by row, as it is without indexes.
#[divan::bench(args = ["and of three"])]
fn passing(bencher: Bencher<'_, '_>, name: &str) {
    let (items, filter) = (&*ITEMS, filter(name));
    bencher.bench_local(|| filter.bind(items).unwrap().passing());
}

/// Asked again.
#[divan::bench(args = NAMES)]
fn cached(bencher: Bencher<'_, '_>, name: &str) {
    let (items, filter) = (&*ITEMS, filter(name));
    let cache = FilterCache::new(64 << 20, items.ids.len() as u64);
    cache.passing(&filter, items).unwrap();
    bencher.bench_local(|| cache.passing(&filter, items).unwrap());
}

/// A tenth of the items to be left out, by id, in no order.
#[divan::bench]
fn exclude(bencher: Bencher<'_, '_>) {
    let items = &*ITEMS;
    let seen = items.ids.iter().step_by(10).copied().collect();
    let filter = Expression::Exclude(seen);
    assert_eq!(filter.bind(items).unwrap().select().len(), items.ids.len() as u64 * 9 / 10);
    bencher
        .counter(ItemsCount::new(items.ids.len() / 10))
        .bench_local(|| filter.bind(items).unwrap().select());
}

// ---- The scan

const DIM: usize = 128;
/// Rows that are asked of memory before the first of them is read, as the scan does.
const AHEAD: usize = 32;
/// Sets of a size that are taken in turn, so that no cache holds what comes next.
const SETS: usize = 16;

/// Codes of made-up vectors, in huge pages, as servers have them.
struct Coded {
    bytes: MmapMut,
    terms: MmapMut,
    center: Vec<f32>,
    layout: CodeLayout,
    query: Vec<f32>,
}

impl Coded {
    fn codes(&self) -> Codes<'_> {
        let terms = bytemuck::cast_slice(&self.terms);
        let bounds = CodeBounds::of(terms, &self.center);
        Codes::new(&self.bytes, terms, self.layout, &self.center, bounds)
    }
}

static CODED: LazyLock<Coded> = LazyLock::new(|| {
    let layout = CodeLayout::new(CodeKind::I8, DIM);
    let huge = |row: usize| {
        let memory = MmapMut::map_anon(items() * row).unwrap();
        // A wish: without them it is slower.
        memory.advise(Advice::HugePage).ok();
        memory
    };
    let (mut bytes, mut terms) = (huge(layout.stride()), huge(size_of::<CodeTerms>()));
    let center = vec![0.0; DIM];
    let into = bytemuck::cast_slice_mut(&mut terms);
    encode_rows(layout, &center, &mut bytes, into, &mut |row, vector| {
        vector.copy_from_slice(&numbers(row as u32 + 1, DIM));
    });
    Coded { bytes, terms, center, layout, query: numbers(7, DIM) }
});

/// Sets that each hold about one item of so many, with the nodes of each.
struct Sets {
    sets: Vec<(NodeSet, Vec<NodeId>)>,
    next: AtomicUsize,
}

impl Sets {
    fn new(one_of: u32) -> Self {
        let set = |at: u32| {
            let random = numbers(1000 + at, items());
            let passes = |row: &usize| random[*row] < 2.0 / one_of as f32 - 1.0;
            let nodes: Vec<NodeId> =
                (0..items()).filter(passes).map(|row| NodeId(row as u32)).collect();
            (nodes.iter().copied().collect(), nodes)
        };
        Self { sets: (0..SETS as u32).map(set).collect(), next: AtomicUsize::new(0) }
    }

    fn next(&self) -> &(NodeSet, Vec<NodeId>) {
        &self.sets[self.next.fetch_add(1, Ordering::Relaxed) % SETS]
    }

    /// Of a set, on average.
    fn nodes(&self) -> usize {
        self.sets.iter().map(|(_, nodes)| nodes.len()).sum::<usize>() / SETS
    }
}

struct Scan<'a> {
    codes: Codes<'a>,
    passing: &'a NodeSet,
    query: &'a [f32],
    prepared: &'a mut QueryCodes,
    closest: &'a mut Closest,
}

impl Operation for Scan<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let Self { codes, passing, query, prepared, closest } = self;
        let nodes = match passing.listed() {
            Some(listed) => NodeStream::List(listed.iter()),
            None => NodeStream::of_words(passing.words()),
        };
        prepared.prepare(Metric::Ip, query, 1.0, codes);
        closest.reset(10);
        let (margin, scorer) =
            (prepared.margin(Metric::Ip, codes), prepared.scorer::<I, I8>(isa, codes));
        let of = (|node| margin.of(node), margin.widest());
        scan_within(&scorer, nodes, &AdmitAll, of, closest, None)
    }
}

struct Gather<'a> {
    codes: Codes<'a>,
    nodes: &'a [NodeId],
}

impl Operation for Gather<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> u64 {
        let mut all = 0;
        let mut batches = self.nodes.chunks(AHEAD);
        let ask = |batch: Option<&[NodeId]>| {
            for node in batch.unwrap_or_default() {
                isa.prefetch_bytes(self.codes.row(*node));
            }
        };
        let mut now = batches.next();
        ask(now);
        while let Some(batch) = now {
            now = batches.next();
            ask(now);
            for node in batch {
                let (words, _) = self.codes.row(*node).as_chunks::<8>();
                all ^= words.iter().fold(0, |all, word| all ^ u64::from_le_bytes(*word));
            }
        }
        all
    }
}

/// One item of so many passes.
const ONE_OF: [u32; 5] = [1000, 100, 25, 10, 2];

/// Scores the codes of what passes, and keeps what can be among the ten closest.
#[divan::bench(args = ONE_OF)]
fn scan(bencher: Bencher<'_, '_>, one_of: u32) {
    let (codes, sets) = (CODED.codes(), Sets::new(one_of));
    let (mut prepared, mut closest) = (QueryCodes::default(), Closest::default());
    let (prepared, closest, query) = (&mut prepared, &mut closest, &CODED.query);
    bencher.counter(ItemsCount::new(sets.nodes())).bench_local(|| {
        let (passing, _) = sets.next();
        dispatch(Scan { codes, passing, query, prepared, closest })
    });
}

/// Reads the same rows, and does nothing with them.
#[divan::bench(args = ONE_OF)]
fn gather(bencher: Bencher<'_, '_>, one_of: u32) {
    let (codes, sets) = (CODED.codes(), Sets::new(one_of));
    bencher.counter(ItemsCount::new(sets.nodes())).bench_local(|| {
        let (_, nodes) = sets.next();
        dispatch(Gather { codes, nodes })
    });
}
