//! What filters pass by the indexes of columns, against what a look at each item says: of items in
//! several chunks, and of an index that was built; and the cache of what passed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;
use std::thread;

use common::everything::{self, id_of};
use common::{Random, build_quick, open};
use vicinage::error::Corruption;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnKind, ColumnLayout, ColumnSchema, ColumnView,
};
use vicinage::filters::evaluate::Table;
use vicinage::filters::indexes::{self, ColumnIndex, IndexLayout};
use vicinage::filters::lookup::IdLookup;
use vicinage::format::{LoadMode, SectionKind, SegmentFile};
use vicinage::index::{Expression, FilterProblem, NodeSet};
use vicinage::segments::segment::Segment;
use vicinage::types::{ElementType, ItemId, NodeId};

/// Three chunks, and a part of a word.
const N: usize = 3 * 65_536 + 1234 * 64 + 5;

/// A combination of some of the leaves.
fn combined(random: &mut Random, leaves: &[Expression], depth: usize) -> Expression {
    if depth == 0 || random.below(4) == 0 {
        return leaves[random.below(leaves.len())].clone();
    }
    let mut parts: Vec<Expression> =
        (0..1 + random.below(4)).map(|_| combined(random, leaves, depth - 1)).collect();
    match random.below(4) {
        0 => Expression::Or(parts),
        1 => Expression::Not(Box::new(parts.swap_remove(0))),
        _ => Expression::And(parts),
    }
}

fn leaves(texts: &[&str]) -> Vec<Expression> {
    texts.iter().map(|text| Expression::from_json(text).unwrap()).collect()
}

struct Column {
    bytes: Vec<u8>,
    layout: ColumnLayout,
    index: Option<(SectionKind, IndexLayout, Vec<u8>)>,
}

/// Items in memory, whose indexes can be left out of sight.
struct Items {
    schema: Vec<ColumnSchema>,
    columns: Vec<Column>,
    ids: Vec<ItemId>,
    lookup: Vec<NodeId>,
    indexed: bool,
}

impl Items {
    fn push<'a>(
        &mut self,
        name: &str,
        kind: ColumnKind,
        value: impl Fn(usize) -> Option<AttributeValue<'a>>,
    ) {
        let schema = ColumnSchema { name: name.to_owned(), kind, nullable: true };
        let mut builder = ColumnBuilder::new(schema.clone());
        (0..N).for_each(|row| builder.push(&value(row).unwrap_or(AttributeValue::Null)).unwrap());
        let order: Vec<u32> = (0..N as u32).collect();
        let bytes = builder.finish(&order).unwrap();
        let view = ColumnView::parse(&bytes, &schema, N as u64).unwrap();
        let index = indexes::build(&view).map(|(kind, bytes)| {
            let index = ColumnIndex::parse(kind, &bytes, &view).unwrap();
            index.compare(&view).unwrap();
            (kind, index.layout(), bytes)
        });
        let layout = view.layout().clone();
        self.schema.push(schema);
        self.columns.push(Column { bytes, layout, index });
    }
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
        let index = self.columns[at].index.as_ref().filter(|_| self.indexed);
        Ok(index.map(|(_, layout, bytes)| layout.view(bytes)))
    }

    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        self.indexed.then(|| IdLookup::new(&self.ids, &self.lookup))
    }
}

/// Columns whose sets are runs, bits and single nodes, with and without nulls, of few and of many
/// values.
fn items() -> Items {
    let mut random = Random(5);
    let ids: Vec<ItemId> = (0..N as u64).map(|row| 10 + row * 7919 % 1_000_003).collect();
    let mut lookup: Vec<NodeId> = (0..N as u32).map(NodeId).collect();
    lookup.sort_by_key(|node| ids[node.index()]);
    let (schema, columns) = (Vec::new(), Vec::new());
    let mut items = Items { schema, columns, ids, lookup, indexed: true };
    let numbers: Vec<usize> = (0..N).map(|_| random.below(1 << 20)).collect();
    let names: Vec<String> = (0..N / 4).map(|name| format!("name {name}")).collect();
    let words = ["rare", "some", "many", "most"];
    let text = |row: usize| words[(numbers[row] % 1000).ilog10().min(3) as usize];

    items.push("flag", ColumnKind::Bool, |row| {
        (!numbers[row].is_multiple_of(9)).then_some(AttributeValue::Bool(numbers[row] % 4 == 1))
    });
    items.push("whole", ColumnKind::Bool, |row| Some(AttributeValue::Bool(row % 3 == 0)));
    items.push("text", ColumnKind::Category, |row| {
        (!numbers[row].is_multiple_of(1000)).then(|| AttributeValue::Text(text(row)))
    });
    items.push("region", ColumnKind::Category, |row| {
        Some(AttributeValue::Text(words[(row / 40_000) % 4]))
    });
    // A third has one name, the others have many.
    items.push("name", ColumnKind::Category, |row| match numbers[row] % 3 {
        0 => Some(AttributeValue::Text(&names[0])),
        1 => Some(AttributeValue::Text(&names[numbers[row] % names.len()])),
        _ => (row % 5 > 0).then(|| AttributeValue::Text(&names[row % names.len()])),
    });
    items.push("tags", ColumnKind::Tags, |row| {
        let has = |at: &usize| numbers[row] >> at & 1 == 1 || row / 30_000 == *at;
        let tags = (0..4).filter(has).map(|at| words[at]).collect();
        (row % 11 > 0).then_some(AttributeValue::Tags(tags))
    });
    items.push("whole number", ColumnKind::I64, |row| {
        Some(AttributeValue::I64(numbers[row] as i64 / 1000 - 500))
    });
    items.push("number", ColumnKind::F64, |row| {
        // Also −0.
        let number = -(1.0 - (numbers[row] % 4001) as f64 / 2000.0);
        (row % 4 > 0).then_some(AttributeValue::F64(number))
    });
    // Values so few that there are no steps.
    items.push("time", ColumnKind::Timestamp, |row| {
        numbers[row].is_multiple_of(50).then_some(AttributeValue::Timestamp(numbers[row] as i64))
    });
    items
}

const LEAVES: [&str; 38] = [
    r#"{"eq": {"flag": true}}"#,
    r#"{"ne": {"flag": true}}"#,
    r#"{"in": {"flag": [false, true]}}"#,
    r#"{"eq": {"whole": false}}"#,
    r#"{"eq": {"whole": true}}"#,
    r#"{"eq": {"text": "rare"}}"#,
    r#"{"in": {"text": ["many", "some", "none"]}}"#,
    r#"{"ne": {"text": "most"}}"#,
    r#"{"is_null": "text"}"#,
    r#"{"is_null": "region"}"#,
    r#"{"eq": {"region": "some"}}"#,
    r#"{"ne": {"region": "some"}}"#,
    r#"{"eq": {"name": "name 0"}}"#,
    r#"{"in": {"name": ["name 0", "name 77", "name 78"]}}"#,
    r#"{"eq": {"name": "name 77"}}"#,
    r#"{"ne": {"name": "name 0"}}"#,
    r#"{"has": {"tags": "rare"}}"#,
    r#"{"has_any": {"tags": ["some", "most"]}}"#,
    r#"{"has_all": {"tags": ["some", "most"]}}"#,
    r#"{"has_all": {"tags": []}}"#,
    r#"{"has_all": {"tags": ["some", "none"]}}"#,
    r#"{"eq": {"whole number": 7}}"#,
    r#"{"in": {"whole number": [-500, 3, 3, 548, 9000]}}"#,
    r#"{"range": {"whole number": {"gte": -100, "lt": 100}}}"#,
    r#"{"range": {"whole number": {"gt": -480}}}"#,
    r#"{"range": {"whole number": {"lte": 480}}}"#,
    r#"{"range": {"whole number": {"gt": 9, "lt": 3}}}"#,
    r#"{"range": {"whole number": {"gt": 9, "lt": 30}}}"#,
    r#"{"ne": {"whole number": 7}}"#,
    r#"{"eq": {"number": -0.0}}"#,
    r#"{"range": {"number": {"gt": -0.0}}}"#,
    r#"{"range": {"number": {"gte": -0.7, "lte": 0.99}}}"#,
    r#"{"range": {"number": {"lt": -0.9995}}}"#,
    r#"{"is_null": "number"}"#,
    r#"{"range": {"time": {"gte": 1000}}}"#,
    r#"{"ne": {"time": 50}}"#,
    r#"{"ids": [10, 11, 7929, 5, 1000002, 18446744073709551615]}"#,
    r#"{"exclude": {"ids": [10, 11, 7929, 5, 10]}}"#,
];

#[test]
fn what_passes_in_several_chunks_is_what_a_look_at_each_item_says() {
    let mut items = items();
    let kinds = |kind| {
        let indexes = items.columns.iter().filter_map(|column| column.index.as_ref());
        indexes.filter(|index| index.0 == kind).count()
    };
    assert_eq!((kinds(SectionKind::Postings), kinds(SectionKind::Sorted)), (3, 4));

    let mut leaves = leaves(&LEAVES);
    leaves.push(Expression::Exclude(items.ids.iter().step_by(3).copied().collect()));
    let (mut random, seed) = Random::seeded();
    let mixed: Vec<Expression> = (0..60).map(|_| combined(&mut random, &leaves, 3)).collect();
    let mut sizes = Vec::new();
    for filter in leaves.iter().chain(&mixed) {
        items.indexed = true;
        let bound = filter.bind(&items).unwrap();
        let (passing, selected) = (bound.passing(), bound.select());
        assert!(selected == passing, "SEED={seed} {filter:?}");
        items.indexed = false;
        let selected = filter.bind(&items).unwrap().select();
        assert!(selected == passing, "SEED={seed} by rows {filter:?}");
        sizes.push(passing.len());
    }
    let trivial = sizes.iter().filter(|size| [0, N as u64].contains(size)).count();
    assert!(trivial * 2 < sizes.len(), "{sizes:?}");
}

const BUILT: [&str; 14] = [
    r#"{"eq": {"remote": true}}"#,
    r#"{"ne": {"remote": true}}"#,
    r#"{"range": {"year": {"gte": 100, "lt": 900}}}"#,
    r#"{"in": {"year": [-50, 0, 1]}}"#,
    r#"{"range": {"pay": {"lte": 100}}}"#,
    r#"{"is_null": "pay"}"#,
    r#"{"range": {"posted": {"gt": 1000}}}"#,
    r#"{"eq": {"title": "résumé"}}"#,
    r#"{"ne": {"title": ""}}"#,
    r#"{"has": {"skills": "carpenter"}}"#,
    r#"{"has_all": {"skills": ["carpenter", ""]}}"#,
    r#"{"has_any": {"skills": ["大工", "x"]}}"#,
    r#"{"ids": [1, 2, 3]}"#,
    r#"{"exclude": {"ids": [9]}}"#,
];

#[test]
fn what_passes_in_a_built_index_is_what_a_look_at_each_item_says() {
    let dir = tempfile::tempdir().unwrap();
    let source = everything::source(1500, 12, ElementType::F16, 3);
    build_quick(dir.path(), source, &everything::params());
    let index = open(dir.path());
    let sizes: Vec<bool> = index.info().attributes.iter().map(|a| a.index_bytes > 0).collect();
    assert_eq!(sizes, [false, true, true, true, true, true]);
    let file = SegmentFile::open(index.file(), LoadMode::Mmap).unwrap();
    let segment = Segment::open(file).unwrap();

    let mut leaves = leaves(&BUILT);
    leaves.push(Expression::Ids((0..1000).map(id_of).collect()));
    let (mut random, seed) = Random::seeded();
    for round in 0..400 {
        let filter = combined(&mut random, &leaves, 3);
        let expected = filter.bind(&segment).unwrap().passing();
        assert_eq!(index.filter(&filter).unwrap(), expected, "SEED={seed} {round}: {filter:?}");
        assert_eq!(*index.passing(&filter).unwrap(), expected, "SEED={seed} {round}: {filter:?}");
    }

    let rows: Vec<ItemId> = [7, 3, 1499, 3].map(id_of).into();
    let asked: Vec<ItemId> = rows.iter().copied().chain([0, u64::MAX]).collect();
    let mut nodes = Vec::new();
    index.nodes_of(&asked, &mut nodes);
    let ids: Vec<ItemId> = nodes.iter().map(|node| index.item_id(*node)).collect();
    assert_eq!(ids, rows);
}

#[test]
fn what_passed_is_kept_within_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = everything::source(1500, 12, ElementType::F16, 3);
    build_quick(dir.path(), source, &everything::params());
    let mut index = open(dir.path());
    let of = |text: &str| Expression::from_json(text).unwrap();
    let year = |year: i64| of(&format!(r#"{{"range": {{"year": {{"lt": {year}}}}}}}"#));

    // In other words, it is the same.
    let [first, second] = [
        r#"{"and": [{"eq": {"remote": true}}, {"eq": {"title": ""}}]}"#,
        r#"{"and": [{"in": {"title": ["", ""]}}, {"not": {"not": {"eq": {"remote": true}}}}]}"#,
    ]
    .map(|text| index.passing(&of(text)).unwrap());
    assert!(Arc::ptr_eq(&first, &second) && !first.is_empty());
    let told = index.filter_cache();
    assert_eq!((told.hits, told.misses, told.filters), (1, 1, 1));
    assert!(told.bytes > 0 && told.bytes <= told.capacity, "{told:?}");

    // What is refused is refused each time, at its own place.
    for _ in 0..2 {
        let error = index.passing(&of(r#"{"or": [{"and": []}, {"eq": {"x": 1}}]}"#)).unwrap_err();
        assert_eq!(error.place.pointer(), Some("/or/1/eq/x"));
    }
    // Over a limit in these words, whatever the canonical form is.
    let not = |filter| Expression::Not(Box::new(filter));
    let deep = (0..40).fold(year(50), |filter, _| not(filter));
    assert!(index.passing(&year(50)).is_ok());
    let problem = index.passing(&deep).unwrap_err().problem;
    assert!(matches!(problem, FilterProblem::TooDeep { .. }));
    // A long list is answered, and not kept.
    let kept = index.filter_cache().filters;
    let list = Expression::Ids((0..20_000).map(id_of).collect());
    assert_eq!(index.passing(&list).unwrap().len(), 1500);
    assert_eq!(index.filter_cache().filters, kept);

    // Many threads, more filters than there is room for.
    index.set_filter_cache_bytes(20_000);
    let expected: Vec<NodeSet> = (0..200).map(|y| index.filter(&year(y)).unwrap()).collect();
    thread::scope(|scope| {
        for seed in 0..6 {
            let (index, expected) = (&index, &expected);
            scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..1000 {
                    let y = random.below(200).min(random.below(200));
                    assert_eq!(*index.passing(&year(y as i64)).unwrap(), expected[y]);
                }
            });
        }
    });
    let told = index.filter_cache();
    assert_eq!(told.hits + told.misses, 6000);
    assert!(told.hits > 0 && told.misses > 200, "{told:?}");
    assert!(told.bytes <= told.capacity && told.capacity == 20_000, "{told:?}");
}
