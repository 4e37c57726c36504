//! Presets, calibration on queries, searches that name a recall, tune.

use std::fs;

use serde_json::{Value, json};

use crate::support::{DIM, components, inputs, run, write_vectors};

/// A build of few edges, so that short lists miss some.
const BUILD: &str = "build --input items.parquet --metric ip --out index --alpha 1.1 \
    --backfill true --max-degree 4";

#[test]
fn presets_choose_the_graph_and_flags_go_before_them() {
    let dir = inputs();
    let graph = |words: &str| {
        let build = "build --input items.npy --metric l2 --out index --alpha 1.1 --backfill true \
            --no-calibrate --format json";
        let built = run(dir.path(), &format!("{build} {words}")).ok().json();
        let build = &built["build"]["meta"]["build"];
        (build["max_degree"].as_u64().unwrap(), build["ef_construction"].as_u64().unwrap())
    };
    assert_eq!(graph(""), (32, 128));
    assert_eq!(graph("--preset balanced"), (32, 128));
    assert_eq!(graph("--preset fast"), (20, 64));
    assert_eq!(graph("--preset high-recall --max-degree 40"), (40, 320));
    assert_eq!(graph("--preset fast --ef-construction 99"), (20, 99));
    run(dir.path(), "build --input items.npy --metric l2 --out index --preset slow")
        .fails(2, &["slow", "high-recall"]);
}

#[test]
fn a_calibration_is_shown_with_what_it_was_measured_on() {
    let dir = inputs();
    run(dir.path(), BUILD).ok().says(&["Calibration", "items in place of queries", "flatters"]);
    let json = run(dir.path(), "inspect index --format json").ok().json();
    let efforts = json["calibration"]["efforts"].as_array().unwrap();
    let asked: Vec<(&Value, &Value)> =
        efforts.iter().map(|effort| (&effort["k"], &effort["target_recall"])).collect();
    let ten = json!(10);
    let recalls = [json!(0.9), json!(0.95), json!(0.99)];
    assert_eq!(asked, recalls.iter().map(|recall| (&ten, recall)).collect::<Vec<_>>());
    assert!(efforts.iter().all(|effort| effort["expected_microseconds"].as_f64() > Some(0.0)));
    assert_eq!(json["calibration"]["queries_from"], "items");

    write_vectors(&dir.path().join("many.npy"), DIM, components(2_500 * DIM, 3));
    let built = run(dir.path(), &format!("{BUILD} --queries many.npy")).ok();
    // One in five is held out of those that are learned from.
    built.says(&["measured on 500 queries", "Learned from queries", "learned from 2,000 queries"]);
    let asked = format!("{BUILD} --queries many.npy --no-repair");
    let built = run(dir.path(), &asked).ok();
    let built = built.says(&["measured on 2,000 queries", "evenly spread over the 2,500"]);
    assert!(!built.out.contains("Learned"));
    let built = run(dir.path(), &format!("{asked} --format json")).ok().json();
    assert_eq!(built["queries_given"], 2500);
    assert_eq!(built["build"]["calibration"]["queries"], 2000);
    let inspected = run(dir.path(), "inspect index").ok().says(&["measured on 2,000 queries"]);
    assert!(!inspected.out.contains("flatters"));

    run(dir.path(), &format!("{BUILD} --no-calibrate")).ok().says(&["cannot name a recall"]);
    run(dir.path(), "query index --item 0 --target-recall 0.9").fails(2, &["calibration"]);
}

#[test]
fn queries_to_calibrate_with_are_checked() {
    let dir = inputs();
    write_vectors(&dir.path().join("wide.npy"), DIM + 1, components(DIM + 1, 1));
    let build = |queries: &str| run(dir.path(), &format!("{BUILD} --queries {queries}"));
    build("wide.npy").fails(65, &["wide.npy", "12 components", "13"]);
    build("none.npy").fails(74, &["none.npy"]);
    let mut zero = components(3 * DIM, 1);
    zero[DIM..2 * DIM].fill(0.0);
    write_vectors(&dir.path().join("zero.npy"), DIM, zero);
    let cosine = BUILD.replace("ip", "cosine");
    run(dir.path(), &format!("{cosine} --queries zero.npy")).fails(65, &["zero.npy", "query 1"]);
    run(dir.path(), &format!("{BUILD} --no-repair")).fails(2, &["--queries"]);
    assert!(!dir.path().join("index").exists(), "a refused build leaves nothing");
}

#[test]
fn eval_prints_what_was_expected_beside_what_was_found() {
    let dir = inputs();
    write_vectors(&dir.path().join("logged.npy"), DIM, components(1_000 * DIM, 4));
    run(dir.path(), &format!("{BUILD} --queries logged.npy")).ok();
    let eval = "eval index --queries queries.npy --k 10 --target-recall 0.8,0.9";
    run(dir.path(), eval).ok().says(&["target", "expected", "measured on 200 queries"]);
    let json = run(dir.path(), &format!("{eval} --exact --ef 20 --format json")).ok().json();
    let lines = json["results"].as_array().unwrap();
    assert_eq!((lines.len(), &json["calibrated_on"]), (4, &json!("queries")));
    for (line, target) in lines[2..].iter().zip([0.8, 0.9]) {
        assert_eq!((&line["target_recall"], &line["ef"]), (&json!(target), &Value::Null));
        let expected = line["effort"]["expected_recall"].as_f64().unwrap();
        // 50 queries of the same kind as those that it was measured on.
        let found = line["recall"]["id"].as_f64().unwrap();
        assert!(expected >= target - 1e-6 && (expected - found).abs() < 0.08, "{line}");
    }
    let words = "query index --item 0 --target-recall 0.9";
    run(dir.path(), words).ok().says(&["expected recall", "rerank"]);
    let json = run(dir.path(), &format!("{words} --format json")).ok().json();
    assert!(json["effort"]["ef"].as_u64() >= Some(1), "{json}");
    run(dir.path(), &format!("{words} --ef 20")).fails(2, &["--ef"]);
    run(dir.path(), &eval.replace("0.8,0.9", "1.5")).fails(2, &["0 to 1"]);
}

#[test]
fn repair_learns_and_shows_what_it_brought() {
    let dir = inputs();
    run(dir.path(), BUILD).ok();
    write_vectors(&dir.path().join("logged.npy"), DIM, components(1_000 * DIM, 4));
    let repaired = run(dir.path(), "repair index --queries logged.npy").ok();
    repaired.says(&["generation  2", "gain", "learned from 800 queries, measured on 200 others"]);
    run(dir.path(), "inspect index").ok().says(&["Learned from queries", "overflow"]);
    let json = run(dir.path(), "inspect index --format json").ok().json();
    assert_eq!(
        (&json["repair"]["learned"], &json["repair"]["held_out"]),
        (&json!(800), &json!(200))
    );
    assert_eq!(json["calibration"]["queries"], 200);
    run(dir.path(), "verify index --deep").ok();

    let json = run(dir.path(), "repair index --queries queries.npy --format json").ok().json();
    assert_eq!(json["repair"]["generation"], 3);
    assert_eq!(json["repair"]["repair"], Value::Null, "50 queries teach nothing");
    let json = run(dir.path(), "inspect index --format json").ok().json();
    assert_eq!(json["repair"]["learned"], 800, "what was known is kept");
    run(dir.path(), "repair . --queries queries.npy").fails(65, &["is not an index"]);
}

#[test]
fn tune_measures_anew_and_changes_no_item() {
    let dir = inputs();
    run(dir.path(), BUILD).ok();
    let answers = || {
        let words = "query index --vectors queries.npy --row 3 --exact --format json";
        run(dir.path(), words).ok().json()["hits"].clone()
    };
    let before = answers();
    let tuned = run(dir.path(), "tune index --queries queries.npy").ok();
    tuned.says(&["generation  2", "measured on 50 queries"]);
    assert_eq!(answers(), before);
    let json = run(dir.path(), "tune index --queries queries.npy --format json").ok().json();
    assert_eq!(json["tune"]["generation"], 3);
    assert_eq!(json["tune"]["calibration"]["queries_from"], "queries");
    run(dir.path(), "verify index --deep").ok();
    assert_eq!(fs::read_dir(dir.path().join("index")).unwrap().count(), 4, "two generations");

    run(dir.path(), "tune . --queries queries.npy").fails(65, &["is not an index"]);
    write_vectors(&dir.path().join("few.npy"), DIM, components(100 * DIM, 1));
    run(dir.path(), "build --input few.npy --metric ip --out few").ok();
    run(dir.path(), "tune few --queries queries.npy").fails(65, &["searches are scans"]);
}
