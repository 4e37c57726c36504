//! compare and plot, over result lines by hand.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Ran, command, finish, run};

/// A point of an engine: its recall and the speed of each round. `more` replaces keys.
fn point(engine: &str, recall: f64, rounds: &[f64], more: Value) -> Value {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut line = json!({
        "schema": 1, "dataset": "jobs", "n": 1000, "dim": 12, "metric": "ip", "k": 10,
        "queries": 50, "engine": engine, "engine_version": "1.0", "git_commit": null,
        "build": {"threads": 2, "m": 16}, "build_seconds": 2.5, "build_peak_mib": 10.0,
        "index_bytes_per_vector": 120.5, "serve_resident_mib": null,
        "search": {"ef": (recall * 1e4).round()}, "recall_id": recall - 0.01,
        "recall_distance": recall, "qps": sorted[sorted.len() - 1],
        "qps_median": sorted[sorted.len() / 2], "qps_rounds": rounds,
        "p50_us": 100.0, "p95_us": 150.0, "p99_us": 200.0, "p999_us": 400.0,
        "distances_per_query": 300.0, "visited_per_query": null, "threads": 1, "pinned": null,
        "mode": "closed", "offered_qps": null, "python_loop": false, "filter": null,
        "stream": null, "isa": "avx2", "cpu": "a processor", "time": "2026-01-02T03:04:05Z",
    });
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

fn write(path: &Path, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).unwrap();
}

/// Two points, the second ten times slower; `speed` is that of the middle round of the first.
fn curve(engine: &str, speed: f64, rounds: usize, more: &Value) -> Vec<Value> {
    let noise = [1.0, 0.98, 1.02, 0.99, 1.01];
    let at = |speed: f64| noise[..rounds].iter().map(|by| by * speed).collect::<Vec<_>>();
    vec![
        point(engine, 0.9, &at(speed), more.clone()),
        point(engine, 0.99, &at(speed / 10.0), more.clone()),
    ]
}

/// `a.jsonl`: ours at 1000 queries a second; `b.jsonl`: ours at 2000. In five rounds.
fn two_files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, speed) in [("a.jsonl", 1000.0), ("b.jsonl", 2000.0)] {
        write(&dir.path().join(name), &curve("vicinage", speed, 5, &json!({})));
    }
    dir
}

#[test]
fn ratios_are_those_of_the_speeds() {
    let dir = two_files();
    let words = "compare a.jsonl b.jsonl --at 0.5,0.9,0.945,0.99,0.995";
    let all = run(dir.path(), &format!("{words} --format json")).ok().json();
    let readings = all["comparisons"][0]["readings"].as_array().unwrap().clone();
    let kinds: Vec<_> =
        readings.iter().map(|reading| reading["a"]["reading"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["at_least", "between", "between", "between", "not_reached"]);
    // Halfway between 1000 and 100 on a log scale.
    let halfway = readings[2]["a"]["qps"].as_f64().unwrap();
    assert!((halfway - 1e5_f64.sqrt()).abs() < 1e-6, "{halfway}");
    for reading in &readings[1..4] {
        let ratio = &reading["b_over_a"];
        assert!((ratio["ratio"].as_f64().unwrap() - 2.0).abs() < 1e-9, "{ratio}");
        assert_eq!(
            (&ratio["spread"]["kind"], &ratio["spread"]["rounds"]),
            (&json!("interval"), &json!(5))
        );
    }
    assert_eq!(readings[0]["b_over_a"], Value::Null);
    assert_eq!(readings[4]["b_over_a"], Value::Null);
    run(dir.path(), words).ok().says(&["jobs (1,000 × 12, ip), k 10", "not reached", "≥ 1,000"]);
    // By id all recalls are 0.01 less.
    let by_id = format!("{words} --recall id --format json");
    let by_id = run(dir.path(), &by_id).ok().json();
    assert_eq!(by_id["comparisons"][0]["readings"][3]["a"]["reading"], "not_reached");
}

#[test]
fn unlike_rounds_give_a_range_and_a_warning() {
    let dir = two_files();
    write(&dir.path().join("b.jsonl"), &curve("vicinage", 2000.0, 3, &json!({"cpu": "another"})));
    let words = "compare a.jsonl b.jsonl --at 0.9";
    let all = run(dir.path(), &format!("{words} --format json")).ok().json();
    let spread = &all["comparisons"][0]["readings"][0]["b_over_a"]["spread"];
    assert_eq!(spread["kind"], "range");
    let ends = [spread["low"].as_f64().unwrap(), spread["high"].as_f64().unwrap()];
    assert!((ends[0] - 1960.0 / 1020.0).abs() < 1e-9 && (ends[1] - 2040.0 / 980.0).abs() < 1e-9);
    run(dir.path(), words).ok().says(&["rounds differ: A has 5, B has 3", "different processors"]);
}

#[test]
fn engines_are_paired_as_the_help_says() {
    let dir = two_files();
    let more = json!({});
    let peers = [curve("hnswlib", 500.0, 5, &more), curve("ngt", 250.0, 5, &more)].concat();
    write(&dir.path().join("peers.jsonl"), &peers);
    let all = [peers.clone(), curve("vicinage", 1000.0, 5, &more)].concat();
    write(&dir.path().join("all.jsonl"), &all);
    let pairs = |words: &str| -> Vec<(String, String)> {
        let all = run(dir.path(), &format!("compare {words} --format json")).ok().json();
        let name = |side: &Value| side["engine"].as_str().unwrap().to_owned();
        let comparisons = all["comparisons"].as_array().unwrap().iter();
        comparisons.map(|one| (name(&one["a"]), name(&one["b"]))).collect()
    };
    let expect = |words: &str, expected: &[(&str, &str)]| {
        let expected: Vec<_> =
            expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(pairs(words), expected, "{words}");
    };
    expect("a.jsonl all.jsonl", &[("vicinage", "vicinage")]);
    expect("peers.jsonl b.jsonl", &[("hnswlib", "vicinage"), ("ngt", "vicinage")]);
    let each = [("hnswlib", "ngt"), ("hnswlib", "vicinage"), ("ngt", "vicinage")];
    expect("all.jsonl all.jsonl", &each);
    expect("all.jsonl all.jsonl --engine-b vicinage", &each[1..]);
    expect("a.jsonl all.jsonl --engine-a vicinage --engine-b ngt", &[("vicinage", "ngt")]);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let dir = two_files();
    write(&dir.path().join("b.jsonl"), &curve("vicinage", 1.0, 1, &json!({"k": 100})));
    let compare = |words: &str| run(dir.path(), &format!("compare a.jsonl {words}"));
    compare("b.jsonl").fails(65, &["a.jsonl has vicinage on jobs", "k 10,", "k 100,"]);
    compare("a.jsonl --engine-b hnswlib").fails(65, &["nothing", "--engine-b"]);
    compare("b.jsonl --at 1.5").fails(2, &["--at", "1.5"]);
    compare("none.jsonl").fails(2, &["none.jsonl"]);
}

#[test]
fn files_that_are_no_results_are_refused() {
    let dir = two_files();
    let good = point("vicinage", 0.9, &[10.0], json!({}));
    let mut other = good.clone();
    other["schema"] = json!(2);
    let mut odd = good.clone();
    odd["recall_distance"] = json!(1.5);
    for (lines, words) in [
        (vec![good.clone(), other], vec!["bad.jsonl", "another schema", "line 2", "1", "2"]),
        (vec![good.clone(), good.clone(), odd], vec!["line 3, recall_distance", "1.5"]),
        (vec![json!({"k": 10})], vec!["line 1", "schema"]),
        (vec![], vec!["bad.jsonl has no results"]),
    ] {
        write(&dir.path().join("bad.jsonl"), &lines);
        run(dir.path(), "compare a.jsonl bad.jsonl").fails(65, &words);
        run(dir.path(), "plot a.jsonl bad.jsonl --out bad.svg").fails(65, &words);
        assert!(!dir.path().join("bad.svg").exists());
    }
}

/// Points of every kind, of engines with hostile names.
fn all_kinds(dataset: &str, engine: &str) -> Vec<Value> {
    let set = json!({"dataset": dataset});
    let with = |more: Value| {
        let mut all = set.clone();
        more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        all
    };
    let mut lines = curve("vicinage", 1000.0, 5, &set);
    lines.extend(curve(engine, 500.0, 5, &with(json!({"python_loop": true}))));
    lines.extend(curve("vicinage", 1900.0, 5, &with(json!({"threads": 2}))));
    for (rate, share) in [(10.0, 0.5), (100.0, 0.01)] {
        let open = with(json!({"mode": "open", "offered_qps": rate}));
        lines.push(point("vicinage", 0.95, &[rate], open));
        let filter = json!({
            "workload": format!("{dataset} {share}"), "shape": dataset, "selectivity": share,
            "recall_p5": 0.5, "recall_min": 0.1, "shortfall": 0.0,
        });
        lines.push(point("vicinage", 0.95, &[rate], with(json!({"filter": filter}))));
    }
    lines
}

const KINDS: [&str; 7] = ["recall-qps", "build", "memory", "latency", "filters", "threads", "load"];

/// Asserts that the tags of a document close in order, that entities are known, and that no
/// attribute calls a script.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for (at, part) in xml.split('<').enumerate().skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("{at}: {part}"));
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        assert!(!text.contains('>') && !tag.contains(" on"), "{part}");
        for entity in part.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            assert!(known.iter().any(|name| entity.starts_with(name)), "&{entity}");
        }
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.starts_with('?') || tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn pictures_of_every_kind_hold_hostile_names() {
    let dir = tempfile::tempdir().unwrap();
    let name = "</script><script>alert('1')</script>\"&\u{1b}[31m]]>";
    write(&dir.path().join("r.jsonl"), &all_kinds(name, "<img src=x onerror=alert(2)>"));
    for kind in KINDS {
        run(dir.path(), &format!("plot r.jsonl --kind {kind} --out {kind}.svg")).ok();
        let svg = fs::read_to_string(dir.path().join(format!("{kind}.svg"))).unwrap();
        assert_well_formed(&svg);
        assert!(svg.contains(">vicinage</text>"), "{kind}");
        assert!(svg.contains("&lt;/script&gt;&lt;script&gt;"), "{kind}");
        assert!(!svg.contains("NaN") && !svg.contains("inf,"), "{kind}");
    }
    run(dir.path(), "plot r.jsonl --out r.html").ok().says(&["10 points in r.html"]);
    let html = fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(!html.contains("<script>alert") && !html.contains("<img"));
    // The script of the page and the data of two tables.
    assert_eq!(html.matches("</script>").count(), 3);
    for picture in html.split("<figure>").skip(1) {
        assert_well_formed(picture.split_once("</figure>").unwrap().0);
    }
    assert_eq!(html.matches("<figure>").count(), 1 + 1 + 1 + 4 + 2 + 1 + 4);
    assert!(!html.contains("http://") && !html.contains("https://"), "it asks the network");
}

#[test]
fn a_png_is_as_large_as_the_picture() {
    let dir = two_files();
    run(dir.path(), "plot a.jsonl b.jsonl --out r.PNG").ok();
    run(dir.path(), "plot a.jsonl b.jsonl --out r.svg").ok();
    let png = fs::read(dir.path().join("r.PNG")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let svg = fs::read_to_string(dir.path().join("r.svg")).unwrap();
    for (at, name) in [(16, " width=\""), (20, " height=\"")] {
        let pixels = u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        let units: f64 =
            svg.split_once(name).unwrap().1.split('"').next().unwrap().parse().unwrap();
        assert_eq!(f64::from(pixels), (units * 2.0).ceil());
    }
}

#[test]
fn what_is_asked_for_is_shown_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = json!({"dataset": "other", "k": 100});
    let lines = [curve("vicinage", 1000.0, 5, &json!({})), curve("ngt", 9.0, 1, &other)].concat();
    write(&dir.path().join("r.jsonl"), &lines);
    let plot = |words: &str| -> Ran { run(dir.path(), &format!("plot r.jsonl {words}")) };
    plot("--out all.svg").ok();
    plot("--out one.svg --dataset other --k 100").ok().says(&["2 points"]);
    let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(text("all.svg").contains("jobs, k 10") && text("all.svg").contains("other, k 100"));
    assert!(!text("one.svg").contains("jobs, k 10") && !text("one.svg").contains(">vicinage<"));

    plot("--out r.pdf").fails(2, &["r.pdf", ".svg, .png or .html"]);
    plot("--out r").fails(2, &[".svg, .png or .html"]);
    plot("--out r.html --kind load").fails(2, &["--kind"]);
    plot("--out r.svg --at 2").fails(2, &["--at"]);
    plot("--out r.svg --dataset none").fails(2, &["--dataset", "other"]);
    plot("--out r.svg --kind filters").fails(65, &["points with a filter", "--kind recall-qps"]);
    assert!(!dir.path().join("r.svg").exists());
}

#[test]
fn versions_of_one_engine_are_told_apart() {
    let dir = two_files();
    let later = json!({"engine_version": "2.0", "git_commit": "0123456789"});
    write(&dir.path().join("b.jsonl"), &curve("vicinage", 2000.0, 5, &later));
    run(dir.path(), "plot a.jsonl b.jsonl --out r.svg").ok();
    let svg = fs::read_to_string(dir.path().join("r.svg")).unwrap();
    assert!(svg.contains(">vicinage 1.0</text>") && svg.contains(">vicinage 2.0</text>"));
    run(dir.path(), "compare a.jsonl b.jsonl").ok().says(&["vicinage 2.0 (0123456), b.jsonl"]);
}

#[test]
fn an_engine_looks_the_same_beside_others() {
    let dir = tempfile::tempdir().unwrap();
    let colors = |names: &[&str]| -> Vec<bool> {
        let lines = names.iter().flat_map(|name| curve(name, 900.0, 5, &json!({})));
        write(&dir.path().join("r.jsonl"), &lines.collect::<Vec<_>>());
        run(dir.path(), "plot r.jsonl --out r.svg").ok();
        let svg = fs::read_to_string(dir.path().join("r.svg")).unwrap();
        let known = ["#d55e00", "#009e73", "#c4629c", "#e69f00", "#56b4e9", "#4d4d4d"];
        known.iter().map(|color| svg.contains(color)).collect()
    };
    let alone = colors(&["svs"]);
    assert_eq!(alone.iter().filter(|is| **is).count(), 1);
    let beside = colors(&["hnswlib", "another", "svs", "scann"]);
    assert!(alone.iter().zip(&beside).all(|(alone, beside)| !alone || *beside));
    assert_eq!(beside.iter().filter(|is| **is).count(), 4);
}

#[test]
fn a_picture_is_written_whole_or_not_at_all() {
    let dir = two_files();
    run(dir.path(), "plot a.jsonl --out no/such/folder/r.svg").fails(74, &["r.svg"]);
    // A folder of that name cannot be replaced: what was begun beside it goes.
    fs::create_dir(dir.path().join("r.svg")).unwrap();
    fs::write(dir.path().join("r.svg/kept"), "").unwrap();
    run(dir.path(), "plot a.jsonl --out r.svg").fails(74, &["r.svg"]);
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.jsonl", "b.jsonl", "r.svg"]);
    // A name with spaces and an apostrophe, as the shell would give it.
    let mut spaced = command(dir.path(), "plot a.jsonl --out");
    spaced.arg("it's a picture.svg");
    spaced.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(spaced.spawn().unwrap()).ok();
    assert!(dir.path().join("it's a picture.svg").is_file());
}
