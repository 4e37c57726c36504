//! Filters: what passes, against a second reading of the same JSON; what is refused, and where; and
//! exact search among what passes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::ops::Bound;

use common::{MemorySource, Random, build_quick, clustered, open, quick};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use vicinage::builder::ColumnBatch;
use vicinage::error::Corruption;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnKind, ColumnSchema, ColumnView,
};
use vicinage::filters::error::FilterProblem;
use vicinage::filters::evaluate::Table;
use vicinage::filters::expression::{
    Expression, Literal, MAX_DEPTH, MAX_PARTS, MAX_VALUES, Predicate,
};
use vicinage::filters::indexes::{self, ColumnIndex};
use vicinage::filters::lookup::IdLookup;
use vicinage::format::SectionKind;
use vicinage::index::{Among, Hit, NodeSet, Plan, Scratch, SearchParams};
use vicinage::types::{ItemId, Metric, NodeId};

const FIELDS: [(&str, ColumnKind); 6] = [
    ("fresh", ColumnKind::Bool),
    ("year", ColumnKind::I64),
    ("price", ColumnKind::F64),
    ("seen", ColumnKind::Timestamp),
    ("language", ColumnKind::Category),
    ("tags", ColumnKind::Tags),
];

/// Items in memory; `rows` as JSON, null where there is no value.
#[derive(Debug)]
struct Items {
    schema: Vec<ColumnSchema>,
    columns: Vec<Vec<u8>>,
    ids: Vec<ItemId>,
    rows: Vec<Map<String, Value>>,
    /// What makes columns fast to filter by; empty for items that have to be looked at.
    indexes: Vec<Option<(SectionKind, Vec<u8>)>>,
    lookup: Vec<NodeId>,
}

impl Items {
    fn new(rows: Vec<Map<String, Value>>) -> Self {
        let column = |(name, kind): &(&str, ColumnKind)| {
            let schema = ColumnSchema { name: (*name).to_owned(), kind: *kind, nullable: true };
            let mut builder = ColumnBuilder::new(schema.clone());
            rows.iter().for_each(|row| builder.push(&attribute(*kind, &row[*name])).unwrap());
            let order: Vec<u32> = (0..rows.len() as u32).collect();
            (schema, builder.finish(&order).unwrap())
        };
        let (schema, columns) = FIELDS.iter().map(column).unzip();
        let ids = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
        Self { schema, columns, ids, rows, indexes: Vec::new(), lookup: Vec::new() }
    }

    /// The same items with an index of each column and of the ids.
    fn indexed(mut self) -> Self {
        let build = |at| indexes::build(&self.column(at).unwrap());
        self.indexes = (0..self.columns.len()).map(build).collect();
        self.lookup = (0..self.ids.len() as u32).map(NodeId).collect();
        self.lookup.sort_by_key(|node| self.ids[node.index()]);
        self
    }
}

impl Table for Items {
    fn schema(&self) -> &[ColumnSchema] {
        &self.schema
    }

    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption> {
        let rows = self.ids.len() as u64;
        Ok(ColumnView::parse(&self.columns[at], &self.schema[at], rows).unwrap())
    }

    fn item_ids(&self) -> &[ItemId] {
        &self.ids
    }

    fn column_index(&self, at: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        let Some((kind, bytes)) = self.indexes.get(at).and_then(Option::as_ref) else {
            return Ok(None);
        };
        let column = self.column(at)?;
        let index = ColumnIndex::parse(*kind, bytes, &column).unwrap();
        index.compare(&column).unwrap();
        Ok(Some(index.layout().view(bytes)))
    }

    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        (!self.lookup.is_empty()).then(|| IdLookup::new(&self.ids, &self.lookup))
    }
}

fn attribute(kind: ColumnKind, value: &Value) -> AttributeValue<'_> {
    match (kind, value) {
        (_, Value::Null) => AttributeValue::Null,
        (ColumnKind::Bool, value) => AttributeValue::Bool(value.as_bool().unwrap()),
        (ColumnKind::I64, value) => AttributeValue::I64(value.as_i64().unwrap()),
        (ColumnKind::F64, value) => AttributeValue::F64(value.as_f64().unwrap()),
        (ColumnKind::Timestamp, value) => AttributeValue::Timestamp(value.as_i64().unwrap()),
        (ColumnKind::Category, value) => AttributeValue::Text(value.as_str().unwrap()),
        (ColumnKind::Tags, value) => {
            let tags = value.as_array().unwrap();
            AttributeValue::Tags(tags.iter().map(|tag| tag.as_str().unwrap()).collect())
        }
    }
}

/// The meaning of a filter's JSON, read off the table of the notation, without types or codes.
fn passes(filter: &Value, row: &Map<String, Value>) -> bool {
    let (operator, asked) = filter.as_object().unwrap().iter().next().unwrap();
    let filters = || asked.as_array().unwrap().iter();
    match operator.as_str() {
        "and" => return filters().filter(|filter| !passes(filter, row)).count() == 0,
        "or" => return filters().filter(|filter| passes(filter, row)).count() > 0,
        "not" => return !passes(asked, row),
        "ids" => return asked.as_array().unwrap().contains(&row["id"]),
        "exclude" => return !asked["ids"].as_array().unwrap().contains(&row["id"]),
        "is_null" => return row[asked.as_str().unwrap()].is_null(),
        _ => {}
    }
    let (field, asked) = asked.as_object().unwrap().iter().next().unwrap();
    let value = &row[field];
    if value.is_null() {
        return false;
    }
    let list = |value: &Value| value.as_array().unwrap().clone();
    match operator.as_str() {
        "eq" => order(value, asked) == Some(0),
        "ne" => order(value, asked) != Some(0),
        "in" => list(asked).iter().any(|asked| order(value, asked) == Some(0)),
        "has" => list(value).contains(asked),
        "has_any" => list(asked).iter().any(|tag| list(value).contains(tag)),
        "has_all" => list(asked).iter().all(|tag| list(value).contains(tag)),
        "range" => asked.as_object().unwrap().iter().all(|(bound, end)| {
            let order = order(value, end).unwrap();
            match bound.as_str() {
                "gt" => order > 0,
                "gte" => order >= 0,
                "lt" => order < 0,
                _ => order <= 0,
            }
        }),
        other => panic!("{other}"),
    }
}

/// −1, 0, 1: how a value stands to another.
fn order(a: &Value, b: &Value) -> Option<i32> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Some(i32::from(a > b) - i32::from(a < b));
    }
    if let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) {
        return Some(i32::from(a > b) - i32::from(a < b));
    }
    if a == b { Some(0) } else { None }
}

const NUMBERS: [f64; 7] = [-1.5, -0.0, 0.0, 1.0, 2.0, 0.1, f64::MAX];
const INTEGERS: [i64; 6] = [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX];
const TEXTS: [&str; 6] = ["", "a", "ab", "b", "ü", "z"];

fn literal(kind: ColumnKind) -> BoxedStrategy<Literal> {
    let text = prop::sample::select(&TEXTS[..]).prop_map(|text| Literal::Text(text.to_owned()));
    match kind {
        ColumnKind::Bool => any::<bool>().prop_map(Literal::Bool).boxed(),
        ColumnKind::I64 | ColumnKind::Timestamp => {
            prop::sample::select(&INTEGERS[..]).prop_map(Literal::I64).boxed()
        }
        ColumnKind::F64 => prop_oneof![
            prop::sample::select(&NUMBERS[..]).prop_map(Literal::F64),
            (-1..3_i64).prop_map(Literal::I64),
        ]
        .boxed(),
        ColumnKind::Category | ColumnKind::Tags => text.boxed(),
    }
}

/// A row; each value is missing in one of four, and no item has the last text.
fn row() -> impl Strategy<Value = Map<String, Value>> {
    let value = |kind: ColumnKind| {
        let one = literal(kind)
            .prop_filter("a text of no item", |literal| *literal != Literal::Text("z".to_owned()));
        let one = one.prop_map(|literal| serde_json::to_value(&literal).unwrap());
        match kind {
            ColumnKind::Tags => prop::collection::vec(one, 0..4).prop_map(Value::Array).boxed(),
            _ => one.boxed(),
        }
    };
    FIELDS.map(|(_, kind)| prop_oneof![1 => Just(Value::Null), 3 => value(kind)]).prop_map(
        |values| {
            let named = FIELDS.iter().zip(values).map(|((name, _), value)| (*name, value));
            named.map(|(name, value)| (name.to_owned(), value)).collect()
        },
    )
}

fn items() -> impl Strategy<Value = Items> {
    (prop::collection::vec(row(), 0..40), any::<u64>()).prop_map(|(mut rows, spread)| {
        for (at, row) in (0..).zip(&mut rows) {
            // Ids out of order, and one beyond i64.
            let id: u64 = if at == 3 { u64::MAX - spread % 7 } else { at * 17 % 41 };
            row.insert("id".to_owned(), json!(id));
        }
        Items::new(rows)
    })
}

fn text(literal: Literal) -> String {
    match literal {
        Literal::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn leaf() -> BoxedStrategy<Expression> {
    let attribute = prop::sample::select(&FIELDS[..]).prop_flat_map(|(name, kind)| {
        let one = || literal(kind);
        let few = || prop::collection::vec(one(), 0..4);
        let end = || {
            prop_oneof![
                one().prop_map(Bound::Included),
                one().prop_map(Bound::Excluded),
                Just(Bound::Unbounded)
            ]
        };
        let texts = |few: Vec<Literal>| few.into_iter().map(text).collect();
        let predicate = match kind {
            ColumnKind::Tags => prop_oneof![
                one().prop_map(|tag| Predicate::Has(text(tag))),
                few().prop_map(move |tags| Predicate::HasAny(texts(tags))),
                few().prop_map(move |tags| Predicate::HasAll(texts(tags))),
                Just(Predicate::IsNull),
            ]
            .boxed(),
            kind => {
                let equal = prop_oneof![
                    one().prop_map(Predicate::Eq),
                    one().prop_map(Predicate::Ne),
                    few().prop_map(Predicate::In),
                    Just(Predicate::IsNull),
                ];
                let bounded = |(low, high)| match (&low, &high) {
                    (Bound::Unbounded, Bound::Unbounded) => None,
                    _ => Some(Predicate::Range(low, high)),
                };
                let range = (end(), end()).prop_filter_map("no bound", bounded);
                match kind {
                    ColumnKind::Bool | ColumnKind::Category => equal.boxed(),
                    _ => prop_oneof![equal, range].boxed(),
                }
            }
        };
        predicate.prop_map(move |predicate| Expression::attribute(name, predicate))
    });
    let ids = || prop::collection::vec(prop_oneof![9 => 0..41_u64, 1 => Just(u64::MAX)], 0..9);
    prop_oneof![
        8 => attribute,
        1 => ids().prop_map(Expression::Ids),
        1 => ids().prop_map(Expression::Exclude),
    ]
    .boxed()
}

fn expression() -> impl Strategy<Value = Expression> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expression::Or),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What passes is what the JSON says, and the JSON says what it was made of.
    #[test]
    fn what_passes_is_what_the_notation_says(items in items(), filter in expression()) {
        let text = filter.to_json().unwrap();
        prop_assert_eq!(&Expression::from_json(&text).unwrap(), &filter, "{}", text);
        let json: Value = serde_json::from_str(&text).unwrap();
        let bound = filter.bind(&items).unwrap();
        let passing = bound.passing();
        for (node, row) in (0..).map(NodeId).zip(&items.rows) {
            let expected = passes(&json, row);
            prop_assert_eq!(bound.matches(node), expected, "{} of {:?}", &text, row);
            prop_assert_eq!(passing.contains(node), expected);
        }
        prop_assert_eq!(passing.iter().count() as u64, passing.len());

        // The same by the rows, by indexes, and of the filter in its canonical form.
        prop_assert_eq!(&bound.select(), &passing, "{} by rows", text);
        let canonical = filter.canonical();
        prop_assert_eq!(&canonical.canonical(), &canonical);
        prop_assert_eq!(&canonical.bind(&items).unwrap().passing(), &passing, "{:?}", canonical);
        let items = items.indexed();
        prop_assert_eq!(&filter.bind(&items).unwrap().select(), &passing, "{} by indexes", text);
        let selected = canonical.bind(&items).unwrap().select();
        prop_assert_eq!(&selected, &passing, "{:?} by indexes", canonical);
    }

    /// Filters that say the same in other words have one canonical form.
    #[test]
    fn order_and_grouping_are_not_in_the_canonical_form(
        mut parts in prop::collection::vec(expression(), 2..5), and in any::<bool>(),
    ) {
        let join = |parts| if and { Expression::And(parts) } else { Expression::Or(parts) };
        let canonical = join(parts.clone()).canonical();
        parts.reverse();
        let again = parts[0].clone();
        let last = parts.pop().unwrap();
        let not = |part| Expression::Not(Box::new(part));
        let grouped = join(vec![not(not(last)), join(vec![join(parts), again])]);
        prop_assert_eq!(grouped.canonical(), canonical);
    }

    /// Nothing that is read panics, and what is read can be written and read again.
    #[test]
    fn any_text_is_read_or_refused(text in "(\\{|\\}|\\[|\\]|:|,|\"(and|or|not|in|ids|range|gt|year)\"|[0-9]|null| ){0,40}") {
        if let Ok(filter) = Expression::from_json(&text) {
            let again = filter.to_json().unwrap();
            prop_assert_eq!(Expression::from_json(&again).unwrap(), filter);
        }
    }
}

fn nothing() -> Items {
    Items::new(Vec::new())
}

/// The error of a filter, read and bound to items without rows.
fn refused(text: &str) -> (String, FilterProblem) {
    let error = match Expression::from_json(text) {
        Ok(filter) => filter.bind(&nothing()).map(|_| text).unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().starts_with("filter"), "{error}");
    (error.place.pointer().unwrap().to_owned(), error.problem)
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, place, words) in [
        ("", "", "EOF"),
        ("[]", "", "expected a filter such as"),
        ("{}", "", "an empty object is no filter"),
        ("{\"and\":[]} x", "", "trailing"),
        ("{\"and\":[],\"or\":[]}", "", "one key"),
        ("{\"and\":[{\"eq\":{\"year\":1}},{\"eqq\":{}}]}", "/and/1/eqq", "did you mean \"eq\""),
        ("{\"nto\":{\"and\":[]}}", "/nto", "unknown operator \"nto\" (did you mean \"not\"?)"),
        ("{\"xyzzy\":1}", "/xyzzy", "expected and, or, not, eq"),
        ("{\"and\":{}}", "/and", "expected a list of filters"),
        ("{\"eq\":{\"yaer\":1}}", "/eq/yaer", "\"yaer\" (did you mean \"year\"?)"),
        ("{\"eq\":{\"zzzzzz\":1}}", "/eq/zzzzzz", "unknown attribute \"zzzzzz\""),
        ("{\"eq\":{\"year\":1,\"price\":2}}", "/eq", "one key"),
        ("{\"eq\":{}}", "/eq", "names no attribute"),
        ("{\"eq\":{\"year\":null}}", "/eq/year", "expected true, false, a number or a text"),
        ("{\"eq\":{\"year\":9223372036854775808}}", "/eq/year", "up to 9223372036854775807"),
        ("{\"eq\":{\"year\":1.0}}", "/eq/year", "\"year\" is i64: expected an integer, found 1.0"),
        ("{\"in\":{\"year\":[1,2,\"3\"]}}", "/in/year/2", "found \"3\""),
        ("{\"in\":{\"language\":[\"a\",1]}}", "/in/language/1", "expected a text, found 1"),
        ("{\"eq\":{\"fresh\":0}}", "/eq/fresh", "expected true or false"),
        ("{\"eq\":{\"price\":9007199254740993}}", "/eq/price", "a number that f64 holds"),
        ("{\"eq\":{\"price\":1e999}}", "/eq/price", "out of range"),
        ("{\"eq\":{\"seen\":\"2024-01-01\"}}", "/eq/seen", "microseconds since 1970"),
        ("{\"eq\":{\"tags\":\"a\"}}", "/eq/tags", "expected has, has_any or has_all"),
        ("{\"has\":{\"language\":\"a\"}}", "/has/language", "expected eq, ne, in or range"),
        ("{\"has_any\":{\"tags\":[\"a\",5]}}", "/has_any/tags/1", "expected a string"),
        ("{\"range\":{\"year\":{}}}", "/range/year", "a range has a lower bound"),
        ("{\"range\":{\"year\":{\"gt\":1,\"gte\":2}}}", "/range/year", "one of each"),
        ("{\"range\":{\"year\":{\"gtee\":1}}}", "/range/year", "(did you mean \"gte\"?)"),
        ("{\"range\":{\"year\":{\"lt\":0.5}}}", "/range/year/lt", "expected an integer"),
        ("{\"range\":{\"language\":{\"lt\":\"b\"}}}", "/range/language", "needs no order"),
        ("{\"is_null\":\"yeer\"}", "/is_null", "did you mean \"year\""),
        ("{\"ids\":[1,-1]}", "/ids/1", "integer `-1`"),
        ("{\"exclude\":[1]}", "/exclude", "expected an object"),
        ("{\"exclude\":{\"id\":[1]}}", "/exclude", "unknown list \"id\""),
        ("{\"not\":{\"eq\":{\"a/b~c\":1}}}", "/not/eq/a~1b~0c", "unknown attribute"),
    ] {
        let (pointer, problem) = refused(text);
        let said = problem.to_string();
        assert!(pointer == place && said.contains(words), "{text}\nat {pointer}: {said}");
    }
    let nan = [Predicate::Eq(Literal::F64(f64::NAN)), {
        Predicate::Range(Bound::Included(Literal::F64(f64::NAN)), Bound::Unbounded)
    }];
    for predicate in nan {
        let error = Expression::attribute("price", predicate).bind(&nothing()).unwrap_err();
        assert_eq!(error.problem, FilterProblem::NotANumber);
    }
    let infinite = Expression::attribute("price", Predicate::Eq(Literal::F64(f64::INFINITY)));
    assert!(infinite.bind(&nothing()).is_ok() && infinite.to_json().is_err());
}

#[test]
fn limits_hold_where_filters_are_read_and_where_they_are_made() {
    let nested = |levels: usize| {
        let (open, close) = ("{\"not\":".repeat(levels - 1), "}".repeat(levels - 1));
        format!("{open}{{\"and\":[]}}{close}")
    };
    let many = |parts: usize| format!("{{\"or\":[{}]}}", vec!["{\"and\":[]}"; parts - 1].join(","));
    let list = |values: usize| format!("{{\"ids\":[{}]}}", vec!["7"; values].join(","));
    let deep = FilterProblem::TooDeep { limit: MAX_DEPTH };
    let parts = FilterProblem::TooLarge { what: "filters in one", limit: MAX_PARTS };
    let values = FilterProblem::TooLarge { what: "values", limit: MAX_VALUES };
    for (text, limit, problem) in [
        (&nested as &dyn Fn(usize) -> String, MAX_DEPTH, deep.clone()),
        (&many, MAX_PARTS, parts.clone()),
        (&list, MAX_VALUES, values.clone()),
    ] {
        let filter = Expression::from_json(&text(limit)).unwrap();
        filter.bind(&nothing()).unwrap();
        assert_eq!(refused(&text(limit + 1)).1, problem);
    }
    // Far deeper than a stack is.
    assert_eq!(refused(&nested(100_000)).1, deep);
    let not = |filter| Expression::Not(Box::new(filter));
    let made = (0..MAX_DEPTH).fold(Expression::And(Vec::new()), |filter, _| not(filter));
    assert_eq!(made.bind(&nothing()).unwrap_err().problem, deep);
    let made = Expression::Or(vec![Expression::Ids(Vec::new()); MAX_PARTS]);
    assert_eq!(made.bind(&nothing()).unwrap_err().problem, parts);
    let made = Expression::And(vec![Expression::Exclude(vec![1; MAX_VALUES / 2 + 1]); 2]);
    assert_eq!(made.bind(&nothing()).unwrap_err().problem, values);
}

#[test]
fn filters_stand_in_other_json() {
    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Line {
        filter: Expression,
    }
    let line: Line = serde_json::from_str("{\"filter\":{\"has\":{\"tags\":\"a\"}}}").unwrap();
    let expected = Expression::attribute("tags", Predicate::Has("a".to_owned()));
    assert_eq!(line.filter, expected);
    let wrong = serde_json::from_str::<Line>("{\"filter\":{\"range\":{\"year\":{\"ge\":1}}}}");
    let said = wrong.unwrap_err().to_string();
    assert!(said.contains("filter, at /range/year: unknown bound \"ge\""), "{said}");
}

const N: usize = 1500;
const DIM: usize = 12;

/// Exact search among what passes is the sorted list of all that passes, cut at k.
#[test]
fn search_among_what_passes_is_exact() {
    let values = clustered(N, DIM, 5);
    let ids: Vec<ItemId> = (0..N as u64).map(|row| row * 7919 % 100_003).collect();
    let mut random = Random(11);
    let years: Vec<Option<i64>> =
        (0..N).map(|row| (row % 5 > 0).then(|| 1900 + random.below(100) as i64)).collect();
    for metric in [Metric::L2, Metric::Ip, Metric::Cosine] {
        let dir = tempfile::tempdir().unwrap();
        let mut source = MemorySource::new(values.clone(), DIM);
        source.ids = Some(ids.clone());
        source.attributes = vec![("year".to_owned(), ColumnBatch::I64(years.clone()))];
        build_quick(dir.path(), source, &quick(metric));
        let index = open(dir.path());
        for (text, passes) in [
            ("{\"range\":{\"year\":{\"gte\":1950}}}", &|year: i64| year >= 1950),
            ("{\"eq\":{\"year\":1907}}", &|year| year == 1907),
            ("{\"eq\":{\"year\":2100}}", &|_| false),
        ] as [(&str, &dyn Fn(i64) -> bool); 3]
        {
            let among = index.filter(&Expression::from_json(text).unwrap()).unwrap();
            let rows: Vec<usize> = (0..N).filter(|&row| years[row].is_some_and(passes)).collect();
            assert_eq!(among.len(), rows.len() as u64, "{text}");
            for (query, k) in clustered(12, DIM, 6).chunks(DIM).zip([1, 3, 10, 2000].repeat(3)) {
                check_among(&index, &among, &rows, &ids, query, k);
            }
        }
    }
}

fn check_among(
    index: &vicinage::index::Index,
    among: &NodeSet,
    rows: &[usize],
    ids: &[ItemId],
    query: &[f32],
    k: usize,
) {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let (params, passing) = (SearchParams::top(k), among);
    let among = &Among { passing: Some(passing), excluded: &[] };
    let account = index.search_among(&mut scratch, query, &params, among, &mut hits).unwrap();
    let nodes: Vec<NodeId> = rows.iter().map(|&row| index.find(ids[row]).unwrap()).collect();
    let mut scores = Vec::new();
    index.scores(query, &nodes, &mut scores).unwrap();
    let mut expected: Vec<(f32, NodeId)> = scores.into_iter().zip(nodes).collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    expected.truncate(k);
    let found: Vec<(f32, NodeId)> = hits.iter().map(|hit| (hit.score, hit.node)).collect();
    assert_eq!(found, expected);
    assert!(hits.iter().all(|hit| index.item_id(hit.node) == hit.item_id));
    let plan = if k >= rows.len() { Plan::All } else { Plan::Exact };
    assert_eq!((account.plan, account.exact, account.truncated_by), (plan, true, None));
    assert_eq!(account.matches, rows.len() as u64);
    // Each once, and what may be in the answer on its vector again.
    assert!((rows.len()..=2 * rows.len()).contains(&(account.distances as usize)));

    // Without its best item, the next one takes its place.
    let Some(Hit { node, .. }) = hits.first().copied() else { return };
    let without = SearchParams { exclude: Some(node), ..params };
    let account = index.search_among(&mut scratch, query, &without, among, &mut hits).unwrap();
    assert_eq!(account.matches, rows.len() as u64 - 1);
    assert!(hits.len() == k.min(rows.len() - 1) && hits.iter().all(|hit| hit.node != node));
    let less = passing.without(&NodeSet::from_iter([node]));
    let before = hits.clone();
    let less = Among { passing: Some(&less), excluded: &[] };
    index.search_among(&mut scratch, query, &params, &less, &mut hits).unwrap();
    assert_eq!(hits, before);
    let excluded = Among { excluded: &[node, node], ..*among };
    index.search_among(&mut scratch, query, &params, &excluded, &mut hits).unwrap();
    assert_eq!(hits, before);
}
