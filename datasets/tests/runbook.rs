//! Runbooks: what is written is what is read, the files of others are read, what cannot be done is
//! refused, and made-up ones are the same everywhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{assert_says, file, fixture};
use proptest::prelude::*;
use vicinage_datasets::generate::{RunbookKind, RunbookParams, make_runbook};
use vicinage_datasets::{Runbook, Update, read_runbook, write_runbook};
use xxhash_rust::xxh3::xxh3_64;

fn steps() -> Vec<Update> {
    vec![
        Update::Insert(0..75),
        Update::Search,
        Update::Replace { tags: 0..25, rows: 75..100 },
        Update::Search,
        Update::Delete(20..50),
        Update::Insert(30..40),
        Update::Search,
    ]
}

#[test]
fn runbooks_of_others_are_read() {
    for name in ["runbook.yaml", "flow.yaml"] {
        let runbook = read_runbook(&fixture(name), Some("random-xs")).unwrap();
        assert_eq!(runbook.name(), "random-xs");
        assert_eq!(runbook.max_pts(), 75);
        assert_eq!(runbook.gt_url(), Some("https://example.org/a b?c#d"));
        assert_eq!(runbook.steps(), steps());
        assert_eq!((runbook.rows(), runbook.searches()), (100, 3));
        assert!(runbook.check_base(100).is_ok());
        let error = runbook.check_base(99).unwrap_err().to_string();
        assert_eq!(
            error,
            "step 3: expected rows below 99, which is how many the base has, found rows up to 99"
        );
    }
    let other = read_runbook(&fixture("runbook.yaml"), Some("random-plus(40000,4000,20)")).unwrap();
    assert_eq!(other.steps(), [Update::Insert(3..9)]);
    assert!(read_runbook(&fixture("flow.yaml"), None).is_ok());
    let path = fixture("runbook.yaml");
    let both = "random-xs, random-plus(40000,4000,20)";
    assert_says(read_runbook(&path, None), &path, &["the name of one of its sets", both]);
    assert_says(read_runbook(&path, Some("sift")), &path, &["a runbook of `sift`", both]);
}

/// A runbook of one set, of these lines.
fn refused(body: &str, parts: &[&str]) {
    let (_folder, path) = file("a.yaml", format!("s:\n  max_pts: 10\n{body}"));
    assert_says(read_runbook(&path, None), &path, parts);
}

#[test]
fn steps_that_cannot_be_done_are_refused() {
    let insert = "  1: {operation: insert, start: 2, end: 8}\n";
    for (second, expected, found) in [
        ("operation: insert, start: 7, end: 9", "tags that are not live", "tag 7, which is live"),
        ("operation: insert, start: 0, end: 3", "tags that are not live", "tag 2, which is live"),
        ("operation: insert, start: 9, end: 9", "ends after its start", "9 to 9"),
        ("operation: insert, start: 9, end: 8", "ends after its start", "9 to 8"),
        ("operation: insert, start: 8, end: 13", "at most max_pts, 10, live tags", "11"),
        ("operation: delete, start: 7, end: 9", "live tags", "tag 8, which is not live"),
        ("operation: delete, start: 1, end: 3", "live tags", "tag 1, which is not live"),
        ("operation: delete, start: 2, end: 2", "ends after its start", "2 to 2"),
        (
            "operation: replace, tags_start: 7, tags_end: 9, ids_start: 0, ids_end: 2",
            "live tags",
            "tag 8, which is not live",
        ),
        (
            "operation: replace, tags_start: 3, tags_end: 5, ids_start: 0, ids_end: 3",
            "2 rows, one a tag",
            "rows 0 to 3",
        ),
    ] {
        let body = format!("{insert}  2: {{{second}}}\n");
        refused(&body, &["step 2", expected, found]);
    }
    refused("  1: {operation: search}\n", &["step 1", "live tags to search", "none"]);
}

#[test]
fn texts_that_are_no_runbook_are_refused() {
    let line = |number: u32| format!("line {number}");
    for (body, at, expected, found) in [
        ("  1: {operation: upsert}\n", 3, "insert, delete, replace or search", "\"upsert\""),
        ("  1: {start: 1, end: 2}\n", 3, "operation insert", "none"),
        ("  1: {operation: insert, start: 1}\n", 3, "start and end", "start"),
        ("  1: {operation: search, start: 1}\n", 3, "no further keys", "start"),
        ("  1: {operation: insert, start: 1, end: 2, by: 3}\n", 3, "tags_start", "\"by\""),
        ("  1: {operation: insert, start: -1, end: 2}\n", 3, "start from 0 to 2147483647", "-1"),
        ("  1: {operation: insert, start: 1e3, end: 2}\n", 3, "start from 0", "1e3"),
        ("  1: {operation: insert, start: 1, end: 2147483648}\n", 3, "end from 0", "2147483648"),
        ("  1: {operation: insert, start: 1, start: 2}\n", 3, "each key once", "\"start\" again"),
        ("  1: search\n", 3, "a mapping with the key operation", "\"search\""),
        ("  1: [search]\n", 3, "a mapping or a plain value", "a sequence"),
        ("  1: &a {operation: search}\n", 3, "a plain value", "an anchor or a tag"),
        ("  1: *a\n", 3, "YAML", "unknown anchor"),
        ("  0: {operation: search}\n", 3, "a step from 1", "\"0\""),
        ("  max_pts: 11\n", 3, "each key once", "\"max_pts\" again"),
        ("  speed: 11\n", 3, "max_pts, gt_url or a step", "\"speed\""),
        ("  gt_url: {a: b}\n", 3, "an address", "a mapping"),
        (
            "  1: {operation: insert, start: 1, end: 2}\n  3: {operation: search}\n",
            1,
            "steps 1 to 3",
            "2 of them",
        ),
        ("s:\n  max_pts: 1\n", 3, "each set once", "\"s\" again"),
        ("---\n", 3, "one document", "another"),
        ("%YAML 1.2\n", 3, "no directive", "%"),
        ("  1: {operation: search\n", 0, "YAML", ""),
    ] {
        let at = if at == 0 { String::new() } else { line(at) };
        refused(body, &[&at, expected, found]);
    }
    for (text, parts) in [
        (&b"s:\n  1: {operation: search}\n"[..], ["line 1", "max_pts", "none in \"s\""]),
        (b"", ["byte 0", "a header", "an empty file"]),
        (b"# nothing\n", ["line", "a document", "none"]),
        (b"{}\n", ["line 1", "the runbook of a set", "none"]),
        (b"12\n", ["line 1", "a mapping from names", "\"12\""]),
        (b"s: 1\n", ["line 1", "a mapping: max_pts", "\"1\""]),
        (b"s\xff: 1\n", ["byte 1", "UTF-8", "other bytes"]),
    ] {
        let (_folder, path) = file("a.yaml", text);
        assert_says(read_runbook(&path, None), &path, &parts);
    }
    let deep = [b"s: ".to_vec(), vec![b'['; 1 << 20]].concat();
    let (_folder, path) = file("deep.yaml", deep);
    assert_says(read_runbook(&path, None), &path, &["a mapping or a plain value", "a sequence"]);
    let (_folder, path) = file("long.yaml", vec![b'#'; (16 << 20) + 1]);
    assert_says(read_runbook(&path, None), &path, &["at most 16777216 bytes", "16777217"]);
}

/// Steps that are done one after the other on a plain set; what it refuses, `Runbook` refuses.
fn naive(steps: &[Update]) -> Result<usize, usize> {
    let (mut live, mut most) = (BTreeSet::new(), 0);
    for (at, step) in steps.iter().enumerate() {
        let done = match step {
            Update::Insert(tags) => !tags.is_empty() && tags.clone().all(|tag| live.insert(tag)),
            Update::Delete(tags) => !tags.is_empty() && tags.clone().all(|tag| live.remove(&tag)),
            Update::Replace { tags, rows } => {
                !tags.is_empty()
                    && tags.len() == rows.len()
                    && tags.clone().all(|tag| live.contains(&tag))
            }
            Update::Search => !live.is_empty(),
        };
        if !done {
            return Err(at + 1);
        }
        most = most.max(live.len());
    }
    Ok(most)
}

fn any_update() -> impl Strategy<Value = Update> {
    let tags = || (0..40_u32, 0..12_u32).prop_map(|(start, count)| start..start + count);
    prop_oneof![
        4 => tags().prop_map(Update::Insert),
        2 => tags().prop_map(Update::Delete),
        1 => (tags(), tags()).prop_map(|(tags, rows)| Update::Replace { tags, rows }),
        1 => Just(Update::Search),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_can_be_done_is_what_a_plain_set_can(steps in prop::collection::vec(any_update(), 0..12)) {
        // Most random runbooks break off early: steps that cannot be done are left out at first.
        let mut done = Vec::new();
        for step in &steps {
            done.push(step.clone());
            if naive(&done).is_err() {
                done.pop();
            }
        }
        let runbook = Runbook::new("s".to_owned(), None, done.clone()).unwrap();
        prop_assert_eq!(runbook.max_pts() as usize, naive(&done).unwrap());
        let found = Runbook::new("s".to_owned(), None, steps.clone());
        prop_assert_eq!(found.map(|_| ()).map_err(|e| e.step as usize), naive(&steps).map(|_| ()));
    }

    #[test]
    fn what_is_written_is_read(
        kind in prop::sample::select(RunbookKind::ALL.to_vec()),
        (n, rounds, clusters) in (40..3000_u32, 2..20_u32, 1..3_u32),
        seed in any::<u64>(),
        name in ".{0,12}",
    ) {
        let params = RunbookParams { kind, n, rounds, clusters, seed };
        let runbook = make_runbook(&name, &params).unwrap();
        prop_assert!(runbook.check_base(u64::from(n)).is_ok());
        prop_assert!(runbook.searches() > 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        write_runbook(&path, &runbook).unwrap();
        prop_assert_eq!(read_runbook(&path, None).unwrap(), runbook);
    }
}

#[test]
fn made_up_runbooks_are_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    let digests = RunbookKind::ALL.map(|kind| {
        let params = RunbookParams { kind, n: 50_000, ..RunbookParams::default() };
        write_runbook(&path, &make_runbook("pinned", &params).unwrap()).unwrap();
        xxh3_64(&fs::read(&path).unwrap())
    });
    let expected = [0xab02_6ff5_f76d_c78c, 0xb99b_8d6f_42ad_217b, 0xfd82_73d3_9b06_f863];
    assert_eq!(digests, expected, "{digests:#x?}");
}

#[test]
fn made_up_runbooks_are_of_their_kind() {
    let params = RunbookParams { n: 10_000, rounds: 40, ..RunbookParams::default() };
    let made = |kind| make_runbook("s", &RunbookParams { kind, ..params }).unwrap();
    let window = made(RunbookKind::SlidingWindow);
    assert_eq!((window.rows(), window.max_pts(), window.searches()), (10_000, 5_250, 21));
    let expiration = made(RunbookKind::Expiration);
    assert_eq!((expiration.rows(), expiration.searches()), (10_000, 40));
    assert!(expiration.max_pts() < 7_000, "{}", expiration.max_pts());
    let mixed = made(RunbookKind::Mixed);
    let count = |of: fn(&Update) -> bool| mixed.steps().iter().filter(|step| of(step)).count();
    assert!(count(|step| matches!(step, Update::Delete(_))) > 40);
    assert!(count(|step| matches!(step, Update::Replace { .. })) > 40);
    assert_eq!(mixed.searches(), 40);
    for (name, params) in [
        ("n:", RunbookParams { n: 10, ..params }),
        ("rounds:", RunbookParams { rounds: 1, ..params }),
        ("clusters:", RunbookParams { clusters: 501, ..params }),
    ] {
        let error = make_runbook("s", &params).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}
