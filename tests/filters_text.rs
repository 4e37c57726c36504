//! The text notation of filters: what each form means in JSON, how it is written, what is refused,
//! and where; and that everything written is read as what it was.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::ops::Bound;

use proptest::prelude::*;
use vicinage::error::Corruption;
use vicinage::filters::columns::{ColumnBuilder, ColumnKind, ColumnSchema, ColumnView};
use vicinage::filters::evaluate::Table;
use vicinage::filters::expression::{
    Expression, Literal, MAX_DEPTH, MAX_PARTS, MAX_VALUES, Predicate,
};
use vicinage::index::{FilterError, FilterPlace, FilterProblem};
use vicinage::types::ItemId;

fn read(text: &str) -> Expression {
    Expression::from_text(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn json(text: &str) -> Expression {
    Expression::from_json(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Text as it is written, and the same in JSON.
const CANONICAL: &[(&str, &str)] = &[
    (
        r#"language in ("eng", "deu") and year >= 1990 and not tags has "dnf""#,
        r#"{"and":[{"in":{"language":["eng","deu"]}},{"range":{"year":{"gte":1990}}},
            {"not":{"has":{"tags":"dnf"}}}]}"#,
    ),
    ("year == 1990", r#"{"eq":{"year":1990}}"#),
    ("year != -7", r#"{"ne":{"year":-7}}"#),
    ("year < 1", r#"{"range":{"year":{"lt":1}}}"#),
    ("year <= 1", r#"{"range":{"year":{"lte":1}}}"#),
    ("year > 1", r#"{"range":{"year":{"gt":1}}}"#),
    ("1990 <= year < 2000", r#"{"range":{"year":{"gte":1990,"lt":2000}}}"#),
    ("1990 < year <= 2000", r#"{"range":{"year":{"gt":1990,"lte":2000}}}"#),
    (r#""a" <= name < "b""#, r#"{"range":{"name":{"gte":"a","lt":"b"}}}"#),
    ("fresh == true", r#"{"eq":{"fresh":true}}"#),
    ("false < fresh", r#"{"range":{"fresh":{"gt":false}}}"#),
    ("year in ()", r#"{"in":{"year":[]}}"#),
    (r#"a in (1, 1.0, "1", true)"#, r#"{"in":{"a":[1,1.0,"1",true]}}"#),
    ("year not in (1, 2)", r#"{"not":{"in":{"year":[1,2]}}}"#),
    ("year is null", r#"{"is_null":"year"}"#),
    ("year is not null", r#"{"not":{"is_null":"year"}}"#),
    (r#"tags has """#, r#"{"has":{"tags":""}}"#),
    (r#"tags has any ("a", "b")"#, r#"{"has_any":{"tags":["a","b"]}}"#),
    ("tags has all ()", r#"{"has_all":{"tags":[]}}"#),
    ("ids(1, 18446744073709551615)", r#"{"ids":[1,18446744073709551615]}"#),
    ("exclude()", r#"{"exclude":{"ids":[]}}"#),
    ("not ids(7)", r#"{"not":{"ids":[7]}}"#),
    ("all()", r#"{"and":[]}"#),
    ("any()", r#"{"or":[]}"#),
    ("all(a == 1)", r#"{"and":[{"eq":{"a":1}}]}"#),
    ("any(a == 1 and b == 2)", r#"{"or":[{"and":[{"eq":{"a":1}},{"eq":{"b":2}}]}]}"#),
    // Or binds less than and, and that less than not.
    (
        "a == 1 or b == 2 and not c == 3",
        r#"{"or":[{"eq":{"a":1}},{"and":[{"eq":{"b":2}},{"not":{"eq":{"c":3}}}]}]}"#,
    ),
    (
        "(a == 1 or b == 2) and c == 3",
        r#"{"and":[{"or":[{"eq":{"a":1}},{"eq":{"b":2}}]},{"eq":{"c":3}}]}"#,
    ),
    (
        "(a == 1 and b == 2) and c == 3",
        r#"{"and":[{"and":[{"eq":{"a":1}},{"eq":{"b":2}}]},{"eq":{"c":3}}]}"#,
    ),
    (
        "a == 1 or (b == 2 or c == 3)",
        r#"{"or":[{"eq":{"a":1}},{"or":[{"eq":{"b":2}},{"eq":{"c":3}}]}]}"#,
    ),
    ("not (a == 1 and b == 2)", r#"{"not":{"and":[{"eq":{"a":1}},{"eq":{"b":2}}]}}"#),
    ("not not a == 1", r#"{"not":{"not":{"eq":{"a":1}}}}"#),
    ("not a not in (1)", r#"{"not":{"not":{"in":{"a":[1]}}}}"#),
    ("not 1 <= a < 2", r#"{"not":{"range":{"a":{"gte":1,"lt":2}}}}"#),
    // Numbers: with a point or an exponent, f64.
    ("a in (0, -0.0, 0.1, 1e300, -2e-7)", r#"{"in":{"a":[0,-0.0,0.1,1e300,-2e-7]}}"#),
    (
        "a in (-9223372036854775808, 9223372036854775807)",
        r#"{"in":{"a":[-9223372036854775808,9223372036854775807]}}"#,
    ),
    // Texts and names.
    (r#"a == "\"\\/\n\r\t\u0000\u007fü𝄞'`""#, r#"{"eq":{"a":"\"\\/\n\r\t\u0000\u007fü𝄞'`"}}"#),
    ("`in` == 1", r#"{"eq":{"in":1}}"#),
    ("`Has` has \"x\"", r#"{"has":{"Has":"x"}}"#),
    ("`two words` == 1", r#"{"eq":{"two words":1}}"#),
    ("`` == 1", r#"{"eq":{"":1}}"#),
    (r"`\`\\\n` == 1", r#"{"eq":{"`\\\n":1}}"#),
    ("`1st` == 1", r#"{"eq":{"1st":1}}"#),
    ("größe.in-cm_2 == 1", r#"{"eq":{"größe.in-cm_2":1}}"#),
    // What is called like a function is none without a bracket.
    ("ids == 1 and id == 2 and time < 3", {
        r#"{"and":[{"eq":{"ids":1}},{"eq":{"id":2}},{"range":{"time":{"lt":3}}}]}"#
    }),
    ("all in (1) or any is null", r#"{"or":[{"in":{"all":[1]}},{"is_null":"any"}]}"#),
];

/// Text that is written otherwise than it was read.
const VARIANTS: &[(&str, &str)] = &[
    ("year = 1990", "year == 1990"),
    ("year=1990 AND(year!=1)", "year == 1990 and year != 1"),
    ("  a\t==\n1\u{a0}", "a == 1"),
    ("a == 1 And NOT b IN (1) oR c IS Not NULL", "a == 1 and b not in (1) or c is not null"),
    ("tags has_any ('a') or tags HAS_ALL ('b')", "tags has any (\"a\") or tags has all (\"b\")"),
    ("1990 <= year", "year >= 1990"),
    ("1990 > year", "year < 1990"),
    ("2000 > year >= 1990", "1990 <= year < 2000"),
    ("-INF < a <= Inf", "-inf < a <= inf"),
    ("a == TRUE", "a == true"),
    ("((a == 1))", "a == 1"),
    ("a == 1 or (b == 2 and c == 3)", "a == 1 or b == 2 and c == 3"),
    ("all(a == 1, b == 2)", "a == 1 and b == 2"),
    ("ANY(a == 1, all(), EXCLUDE(3))", "a == 1 or all() or exclude(3)"),
    ("not(a == 1)", "not a == 1"),
    ("not a in (1)", "a not in (1)"),
    ("not a is null", "a is not null"),
    ("`year` == 007", "year == 7"),
    (
        r#"a == 'it\'s "\u00e4\/\u2028\uD834\udd1e\b\f\`"'"#,
        "a == \"it's \\\"ä/\u{2028}𝄞\\u0008\\u000c`\\\"\"",
    ),
    ("a<-5", "a < -5"),
    ("a == -0", "a == 0"),
    ("a == 1.50e+2", "a == 150.0"),
    ("seen >= time(\"1970-01-01T00:00:01Z\")", "seen >= 1000000"),
    ("seen >= time('1970-01-01T01:00:00.000001+01:00')", "seen >= 1"),
    ("time('1970-01-01') <= seen < TIME ( '1970-01-02' )", "0 <= seen < 86400000000"),
    ("seen == time('1969-12-31T23:59:59.5Z')", "seen == -500000"),
];

#[test]
fn each_form_means_what_its_json_does() {
    for (text, same) in CANONICAL {
        let filter = read(text);
        assert_eq!(filter, json(same), "{text}");
        let plain = filter.to_string();
        // A value that comes first is written behind its attribute where it is the only one.
        let turned = *text == "false < fresh";
        assert_eq!(plain, if turned { "fresh > false" } else { text });
        assert_eq!(&json(&filter.to_json().unwrap()), &filter);
        // Either is found out.
        assert_eq!((text.parse().as_ref(), same.parse().as_ref()), (Ok(&filter), Ok(&filter)));
    }
    for (text, written) in VARIANTS {
        assert_eq!(read(text).to_string(), *written, "{text}");
        assert_eq!(read(written).to_string(), *written);
    }
    assert_eq!(" \n{\"and\":[]}".parse::<Expression>(), Ok(Expression::And(Vec::new())));
    let infinite = Expression::attribute("a", Predicate::Eq(Literal::F64(f64::NEG_INFINITY)));
    assert_eq!(read("a == -inf"), infinite);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, column, words) in [
        ("", 1, "expected a filter such as year >= 1990, found the end"),
        ("   ", 4, "found the end"),
        ("and a == 1", 1, "expected a filter such as year >= 1990, found \"and\""),
        ("(a == 1", 8, "expected \"and\", \"or\" or \")\", found the end"),
        ("a == 1)", 7, "expected \"and\", \"or\" or the end, found \")\""),
        ("a == 1 adn b == 2", 8, "unknown word \"adn\" (did you mean \"and\"?)"),
        ("a == 1 && b == 2", 8, "unknown word \"&&\" (did you mean \"and\"?)"),
        ("(a == 1 || b == 2)", 9, "unknown word \"||\" (did you mean \"or\"?)"),
        ("a == 1 b == 2", 8, "expected \"and\", \"or\" or the end, found \"b\""),
        ("a == 1 and", 11, "expected a filter such as"),
        ("a == 1 and )", 12, "found \")\""),
        ("!a == 1", 1, "unknown word \"!\" (did you mean \"not\"?)"),
        ("nto tags has 'a'", 1, "unknown word \"nto\" (did you mean \"not\"?)"),
        ("a", 2, "expected ==, !=, <, <=, >, >=, in, not in, has, is, found the end"),
        ("a 1", 3, "in, not in, has, is, found \"1\""),
        ("tags hsa 'a'", 6, "unknown operator \"hsa\" (did you mean \"has\"?)"),
        ("tags contains 'a'", 6, "unknown operator \"contains\" (did you mean \"has\"?)"),
        ("a => 1", 3, "unknown operator \"=>\" (did you mean \">=\"?)"),
        ("a <> 1", 3, "did you mean \"!=\""),
        ("a gte 1", 3, "did you mean \">=\""),
        ("a ~ 1", 3, "is, found \"~\""),
        ("a not has 'b'", 7, "expected \"in\" behind \"not\", found \"has\""),
        ("a is 1", 6, "expected \"null\" or \"not null\", found \"1\""),
        ("a is nul", 6, "did you mean \"null\""),
        ("language == eng", 13, "expected a value (texts stand in quotes), found \"eng\""),
        ("a == null", 6, "expected a value (\"is null\" asks for items without), found \"null\""),
        ("a == ", 6, "expected a value (texts stand in quotes), found the end"),
        ("a in 1", 6, "expected a list in brackets, ( … ), found \"1\""),
        ("a in (1, )", 10, "expected a value"),
        ("a in (1 2)", 9, "expected \",\" or \")\", found \"2\""),
        ("a in (1, 2", 11, "found the end"),
        ("tags has a", 10, "expected a text in quotes, found \"a\""),
        ("tags has any ('a', 1)", 20, "expected a text in quotes, found \"1\""),
        ("tags has ('a')", 10, "expected a text in quotes, found \"(\""),
        ("ids(1, -1)", 8, "expected the id of an item, an integer from 0"),
        ("ids(18446744073709551616)", 5, "18446744073709551615, found \"18446744073709551616\""),
        ("ids(1a)", 5, "found \"1a\""),
        ("id(1)", 1, "unknown function \"id\" (did you mean \"ids\"?); expected all, any, ids"),
        ("foo(a == 1)", 1, "unknown function \"foo\"; expected all, any, ids, exclude"),
        ("in (1)", 1, "expected a filter such as year >= 1990, found \"in\""),
        ("all(a == 1 b == 2)", 12, "expected \"and\", \"or\", \",\" or \")\", found \"b\""),
        ("all(a == 1,)", 12, "expected a filter"),
        ("1990 == year", 6, "(only a range begins with a value), found \"==\""),
        ("'dnf' in tags", 7, "(only a range begins with a value), found \"in\""),
        ("1 < 2", 5, "expected an attribute, in backticks if it is no plain word, found \"2\""),
        ("1 < a > 2", 7, "a range has a lower bound"),
        ("1 < a <", 8, "expected a value"),
        ("a > 1 < 2", 7, "expected \"and\", \"or\" or the end, found \"<\""),
        ("a == 9223372036854775808", 6, "expected an integer from -9223372036854775808"),
        ("a == 1e999", 6, "expected a number that f64 holds, found \"1e999\""),
        ("a == 1.", 6, "expected a number such as 12, -0.5 or 1e6"),
        ("a == .5", 6, "found \".5\""),
        ("a == +5", 6, "expected a number"),
        ("a == -", 6, "found \"-\""),
        ("a == 12ab", 6, "found \"12ab\""),
        ("a == -info", 6, "found \"-info\""),
        ("seen < 2024-01-31", 8, "or time(\"2024-01-31\"), found \"2024-01-31\""),
        ("a == NaN", 6, "NaN cannot be compared with anything"),
        ("seen < time(2024-01-31)", 13, "expected a time to the microsecond in quotes"),
        ("seen < time('yesterday')", 13, "found 'yesterday'"),
        ("seen < time('1970-01-01T00:00:00.0000001Z')", 13, "to the microsecond"),
        ("seen < time('2024-01-31'", 25, "expected \")\", found the end"),
        ("a == 'x", 6, "what begins with ' here does not end with '"),
        ("`a == 1", 1, "what begins with ` here"),
        (r#"a == "\x""#, 8, "expected an escape"),
        (r#"a == "\u12""#, 8, "expected an escape"),
        (r#"a == "\u+123""#, 8, "expected an escape"),
        (r#"a == "\ud834x""#, 8, "expected an escape"),
        (r#"a == "\"#, 8, "expected an escape"),
        ("a == 1;", 7, "found \";\""),
        ("größe = ä", 9, "found \"ä\""),
        ("a == “x”", 6, "found \"“\""),
    ] {
        let error = Expression::from_text(text).unwrap_err();
        let FilterPlace::Text { offset, line: 1, column: at } = error.place else {
            panic!("{text}: {error:?}");
        };
        let said = error.to_string();
        let start = format!("filter, at column {column}: ");
        assert!(said.starts_with(&start) && said.contains(words), "{text}\n{said}");
        assert_eq!((text[..offset].chars().count() + 1, error.place.pointer()), (at, None));
    }
    let long = format!("a == {}", "x".repeat(1000));
    let said = Expression::from_text(&long).unwrap_err().to_string();
    assert!(said.ends_with("xxx…\"") && said.len() < 150, "{said}");
    let error = Expression::from_text("year > 1\n  and ü < 2\n  und b").unwrap_err();
    let place = FilterPlace::Text { offset: 24, line: 3, column: 3 };
    assert_eq!(error.place, place);
    assert!(error.to_string().starts_with("filter, at line 3, column 3: unknown word \"und\""));
    let error = "{\"nto\":1}".parse::<Expression>().unwrap_err();
    assert_eq!(error.place, FilterPlace::Json { pointer: "/nto".to_owned() });
}

/// Columns without rows.
struct Nothing(Vec<(ColumnSchema, Vec<u8>)>, Vec<ColumnSchema>);

impl Nothing {
    fn new() -> Self {
        let named = [
            ("year", ColumnKind::I64),
            ("language", ColumnKind::Category),
            ("tags", ColumnKind::Tags),
            ("price", ColumnKind::F64),
        ];
        let column = |(name, kind): (&str, ColumnKind)| {
            let schema = ColumnSchema { name: name.to_owned(), kind, nullable: true };
            (schema.clone(), ColumnBuilder::new(schema).finish(&[]).unwrap())
        };
        let columns = named.map(column).to_vec();
        let schema = columns.iter().map(|(schema, _)| schema.clone()).collect();
        Self(columns, schema)
    }
}

impl Table for Nothing {
    fn schema(&self) -> &[ColumnSchema] {
        &self.1
    }

    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption> {
        Ok(ColumnView::parse(&self.0[at].1, &self.0[at].0, 0).unwrap())
    }

    fn item_ids(&self) -> &[ItemId] {
        &[]
    }
}

fn unbound(filter: &Expression) -> FilterError {
    filter.bind(&Nothing::new()).map(|_| filter).unwrap_err()
}

/// What does not fit the items is shown as text, whichever notation it came in, and has its place
/// in JSON, too.
#[test]
fn what_does_not_fit_the_items_is_shown() {
    for (text, part, pointer, words) in [
        (
            "yaer > 1",
            "yaer > 1",
            "/range/yaer",
            "unknown attribute \"yaer\" (did you mean \"year\"?)",
        ),
        ("year == 1 and not (year == 'x')", "year == \"x\"", "/and/1/not/eq/year", "is i64"),
        (
            "any(year > 1.5, all())",
            "year > 1.5",
            "/or/0/range/year/gt",
            "expected an integer, found 1.5",
        ),
        ("year in (1, 2, true)", "year in (1, 2, true)", "/in/year/2", "found true"),
        ("language has 'x'", "language has \"x\"", "/has/language", "which is for tags"),
        ("nothing is null", "nothing is null", "/is_null", "unknown attribute"),
    ] {
        let error = unbound(&read(text));
        let place = FilterPlace::Part { pointer: pointer.to_owned(), text: part.into() };
        assert_eq!(error.place, place, "{error}");
        assert_eq!(error.place.pointer(), Some(pointer));
        let said = error.to_string();
        let start = format!("filter, in {part} (JSON: {pointer}): ");
        assert!(said.starts_with(&start) && said.contains(words), "{said}");
    }
    let not = |filter| Expression::Not(Box::new(filter));
    let deep = (0..100).fold(Expression::And(Vec::new()), |filter, _| not(filter));
    let FilterPlace::Part { text, pointer } = unbound(&deep).place else { panic!() };
    assert_eq!(*text, format!("{}…", "not ".repeat(20)));
    assert_eq!(pointer, "/not".repeat(MAX_DEPTH));
    let wide = Expression::And(vec![Expression::Ids(Vec::new()); MAX_PARTS]);
    assert_eq!(unbound(&wide).problem, too_many("filters in one", MAX_PARTS));
}

fn too_many(what: &'static str, limit: usize) -> FilterProblem {
    FilterProblem::TooLarge { what, limit }
}

#[test]
fn limits_hold_while_reading() {
    let negated = |levels: usize| format!("{}all()", "not ".repeat(levels - 1));
    let called = |levels: usize| format!("{}{}", "all(".repeat(levels), ")".repeat(levels));
    // Two levels a bracket, and two at the end.
    let mixed = |levels: usize| {
        let pairs = (levels - 2) / 2;
        let inner = if levels.is_multiple_of(2) { "a not in ()" } else { "not a not in ()" };
        format!("{}{inner}{}", "(a == 1 or b == 1 and ".repeat(pairs), ")".repeat(pairs))
    };
    let chain = |word: &'static str| move |parts: usize| vec!["all()"; parts - 1].join(word);
    let nots = |parts: usize| format!("any({})", vec!["a not in ()"; (parts - 1) / 2].join(","));
    let ids = |values: usize| format!("ids({})", vec!["7"; values].join(","));
    let texts = |values: usize| format!("a has all ({})", vec!["'b'"; values].join(" , "));
    let ranges = |values: usize| {
        let list = format!("b in ({})", vec!["true"; values - 2].join(","));
        format!("1 < a < 2 and {list}")
    };
    let deep = FilterProblem::TooDeep { limit: MAX_DEPTH };
    for (text, limit, step, problem) in [
        (&negated as &dyn Fn(usize) -> String, MAX_DEPTH, 1, deep.clone()),
        (&called, MAX_DEPTH, 1, deep.clone()),
        (&mixed, MAX_DEPTH, 1, deep.clone()),
        (&chain(" and "), MAX_PARTS, 1, too_many("filters in one", MAX_PARTS)),
        (&chain(" or "), MAX_PARTS, 1, too_many("filters in one", MAX_PARTS)),
        (&nots, MAX_PARTS - 1, 2, too_many("filters in one", MAX_PARTS)),
        (&ids, MAX_VALUES, 1, too_many("values", MAX_VALUES)),
        (&texts, MAX_VALUES, 1, too_many("values", MAX_VALUES)),
        (&ranges, MAX_VALUES, 1, too_many("values", MAX_VALUES)),
    ] {
        let filter = read(&text(limit));
        assert_eq!(read(&filter.to_string()), filter);
        assert_eq!(json(&filter.to_json().unwrap()), filter);
        let error = Expression::from_text(&text(limit + step)).unwrap_err();
        assert_eq!(error.problem, problem, "{}", &text(limit + step)[..60]);
    }
    // Far deeper than a stack is.
    for open in ["not ", "(", "all(", "any(not (", "(a == 1 or ", "a in ("] {
        let error = Expression::from_text(&open.repeat(100_000)).unwrap_err();
        assert!(error.problem == deep || open == "a in (", "{open}: {error}");
    }
    let brackets = |count: usize| format!("{}a == 1{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(read(&brackets(MAX_DEPTH)), read("a == 1"));
    let error = Expression::from_text(&brackets(MAX_DEPTH + 1)).unwrap_err();
    let place = FilterPlace::Text { offset: MAX_DEPTH, line: 1, column: MAX_DEPTH + 1 };
    assert_eq!(error, FilterError { place, problem: deep });
}

/// What no reader gives is written as something that is refused.
#[test]
fn what_is_no_filter_is_not_read_as_one() {
    for predicate in [
        Predicate::Range(Bound::Unbounded, Bound::Unbounded),
        Predicate::Eq(Literal::F64(f64::NAN)),
        Predicate::In(vec![Literal::F64(-f64::NAN)]),
    ] {
        let filter = Expression::attribute("a", predicate);
        assert!(Expression::from_text(&filter.to_string()).is_err(), "{filter}");
        assert!(filter.bind(&Nothing::new()).is_err());
    }
}

fn literal() -> impl Strategy<Value = Literal> {
    let float = any::<f64>().prop_filter("NaN is no value", |value| !value.is_nan());
    prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::I64),
        (-3..3_i64).prop_map(Literal::I64),
        float.prop_map(Literal::F64),
        prop::sample::select(&[f64::INFINITY, -f64::INFINITY, -0.0, 1e15, 1e16, 5e-324][..])
            .prop_map(Literal::F64),
        any::<String>().prop_map(Literal::Text),
    ]
}

/// Names of attributes: plain, of the notation itself, any.
fn name() -> impl Strategy<Value = String> {
    let words = [
        "and", "OR", "not", "in", "has", "is", "null", "true", "false", "inf", "nan", "all", "any",
        "ids", "exclude", "time", "has_any", "a.b-c", "_", "", "1", "-a", "a b", "`", "\\", "ü",
    ];
    prop_oneof![
        4 => "[a-z]{1,3}",
        4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    let literals = || prop::collection::vec(literal(), 0..4);
    let texts = || prop::collection::vec(any::<String>(), 0..4);
    let end = || {
        prop_oneof![
            literal().prop_map(Bound::Included),
            literal().prop_map(Bound::Excluded),
            Just(Bound::Unbounded),
        ]
    };
    let bounded = |(low, high)| match (&low, &high) {
        (Bound::Unbounded, Bound::Unbounded) => None,
        _ => Some(Predicate::Range(low, high)),
    };
    let predicate = prop_oneof![
        literal().prop_map(Predicate::Eq),
        literal().prop_map(Predicate::Ne),
        literals().prop_map(Predicate::In),
        (end(), end()).prop_filter_map("no bound", bounded),
        any::<String>().prop_map(Predicate::Has),
        texts().prop_map(Predicate::HasAny),
        texts().prop_map(Predicate::HasAll),
        Just(Predicate::IsNull),
    ];
    let ids = || prop::collection::vec(any::<ItemId>(), 0..4);
    let leaf = prop_oneof![
        8 => (name(), predicate).prop_map(|(name, asked)| Expression::attribute(name, asked)),
        1 => ids().prop_map(Expression::Ids),
        1 => ids().prop_map(Expression::Exclude),
    ];
    leaf.prop_recursive(6, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Expression::Or),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

/// A text of pieces of the notation, which is more often nearly right than letters are.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "year",
        "tags",
        "and",
        "or",
        "not",
        "in",
        "has",
        "is",
        "null",
        "any",
        "all",
        "ids",
        "exclude",
        "time",
        "true",
        "inf",
        "nan",
        "(",
        ")",
        "(",
        ")",
        ",",
        "==",
        "=",
        "!=",
        "<",
        "<=",
        ">",
        "1",
        "-",
        "0.5",
        "1e9",
        "'x'",
        "\"y\"",
        "`z`",
        "'",
        "`",
        "\\u12",
        "\"\\ud800\"",
        "\"2024-01-31\"",
        "\n",
        "ü",
        "\u{2028}",
        "&&",
    ]);
    let space = prop::sample::select(vec![" ", " ", " ", ""]);
    prop::collection::vec((piece, space), 0..30)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(piece, space)| [piece, space]).collect())
}

fn read_or_refused(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Expression>() {
        Ok(filter) => {
            let written = filter.to_string();
            prop_assert_eq!(Expression::from_text(&written), Ok(filter), "{}", written);
        }
        Err(error) => {
            if let FilterPlace::Text { offset, .. } = error.place {
                prop_assert!(text.is_char_boundary(offset), "{}: {}", text, error);
            }
            prop_assert!(!error.to_string().contains("expected ,"), "{}: {}", text, error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_written_is_read_as_what_it_was(filter in expression()) {
        let text = filter.to_string();
        prop_assert_eq!(Expression::from_text(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), pieces in pieces()) {
        read_or_refused(&text)?;
        read_or_refused(&pieces)?;
    }

    /// A filter that is damaged in one place.
    #[test]
    fn damaged_text_is_read_or_refused(filter in expression(), at in any::<prop::sample::Index>(), new in pieces()) {
        let text: Vec<char> = filter.to_string().chars().collect();
        let at = at.index(text.len());
        let damaged = text[..at].iter().copied().chain(new.chars().take(2));
        read_or_refused(&damaged.chain(text[at + 1..].iter().copied()).collect::<String>())?;
    }
}
