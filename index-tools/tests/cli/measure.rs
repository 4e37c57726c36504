//! truth and eval, against naive answers.

use serde_json::Value;
use vicinage_datasets::{IdMatrix, read_distances, read_ids};

use crate::support::{DIM, N, components, id, inputs, run, with_index, write_vectors};

/// The rows nearest to query `at`, and their distances, by a scan.
pub(crate) fn nearest(metric: &str, at: usize, k: usize) -> Vec<(f64, usize)> {
    let (base, queries) = (components(N * DIM, 1), components(50 * DIM, 2));
    let query = &queries[at * DIM..][..DIM];
    let sum = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let mut near: Vec<(f64, usize)> = base
        .chunks_exact(DIM)
        .map(|row| match metric {
            "l2" => sum(query, query) - 2.0 * sum(query, row) + sum(row, row),
            "ip" => -sum(query, row),
            _ => 1.0 - sum(query, row) / (sum(query, query) * sum(row, row)).sqrt(),
        })
        .zip(0..)
        .collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    near.truncate(k);
    near
}

#[test]
fn truth_is_what_a_scan_finds() {
    let dir = inputs();
    for (input, metric) in [("items.npy", "l2"), ("items.npy", "cosine"), ("items.parquet", "ip")] {
        let words = format!(
            "truth --input {input} --queries queries.npy --metric {metric} --k 7 \
             --out near.npy --distances far.npy --threads 2"
        );
        run(dir.path(), &words).ok().says(&["50", "7 each"]);
        let ids = read_ids(&dir.path().join("near.npy").into()).unwrap();
        let distances = read_distances(&dir.path().join("far.npy").into()).unwrap();
        assert_eq!((ids.rows(), ids.k()), (50, 7));
        for at in 0..50 {
            for (rank, (distance, row)) in nearest(metric, at, 7).into_iter().enumerate() {
                let item = if input == "items.npy" { row as u64 } else { id(row) };
                assert_eq!(ids.row(at)[rank], item, "{metric}, query {at}, rank {rank}");
                assert!((f64::from(distances.row(at)[rank]) - distance).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn ground_truth_of_the_big_ann_form_is_written_and_taken() {
    let dir = with_index();
    let truth = "truth --input items.parquet --queries queries.npy --metric ip --k 7 --out near";
    for (name, words) in [("near.bin", ""), ("near.npz", "--distances far.fvecs")] {
        run(dir.path(), &format!("{truth}{} {words}", &name[4..])).ok();
        let eval = format!("eval index --queries queries.npy --truth {name} --k 7 --exact");
        run(dir.path(), &eval).ok().says(&["exact        1.0000"]);
    }
    let both = read_distances(&dir.path().join("near.bin").into()).unwrap();
    assert_eq!(both, read_distances(&dir.path().join("far.fvecs").into()).unwrap());
}

#[test]
fn truth_refuses_what_does_not_fit() {
    let dir = inputs();
    write_vectors(&dir.path().join("wide.npy"), DIM + 1, components(DIM + 1, 1));
    let truth = |queries: &str, out: &str| {
        let words = format!("truth --input items.npy --queries {queries} --metric ip --out {out}");
        run(dir.path(), &words)
    };
    truth("wide.npy", "near.npy").fails(65, &["wide.npy", "12 components", "13"]);
    truth("queries.npy", "near.csv").fails(2, &["near.csv", ".npy, .npz, .ibin, .ivecs"]);
    truth("queries.npy", "no/such/folder/near.npy").fails(74, &["near.npy"]);
    truth("none.npy", "near.npy").fails(74, &["none.npy"]);
}

fn lines(result: &Value) -> Vec<Value> {
    result["results"].as_array().unwrap().clone()
}

#[test]
fn eval_against_the_index_itself_and_against_truth_agree() {
    let dir = with_index();
    let words = "eval index --queries queries.npy --k 1,10 --ef 5,50 --exact --format json";
    let own = lines(&run(dir.path(), words).ok().json());
    let asked: Vec<(u64, Option<u64>)> =
        own.iter().map(|line| (line["k"].as_u64().unwrap(), line["ef"].as_u64())).collect();
    let expected =
        [(1, None), (1, Some(5)), (1, Some(50)), (10, None), (10, Some(5)), (10, Some(50))];
    assert_eq!(asked, expected);
    for line in &own {
        let recall = line["recall"]["id"].as_f64().unwrap();
        assert!(line["recall"]["distance"].as_f64().unwrap() >= recall);
        assert!(recall >= if line["ef"].is_null() { 1.0 } else { 0.5 }, "{line}");
        assert!(line["speed"]["queries_per_second"].as_f64().unwrap() > 0.0);
        assert!(line["speed"]["p99_seconds"].as_f64() >= line["speed"]["p50_seconds"].as_f64());
    }
    run(
        dir.path(),
        "truth --input items.parquet --queries queries.npy --metric ip --k 10 --out near.npy",
    )
    .ok();
    let words = format!("{words} --truth near.npy");
    let given = lines(&run(dir.path(), &words).ok().json());
    for (own, given) in own.iter().zip(&given) {
        assert_eq!(own["recall"], given["recall"]);
    }
    run(dir.path(), "eval index --queries queries.npy --k 10 --ef 50 --truth near.npy")
        .ok()
        .says(&["recall by id", "by distance", "p99", "queries/s"]);
}

#[test]
fn eval_refuses_the_truth_of_something_else() {
    let dir = with_index();
    let eval = |words: &str| run(dir.path(), &format!("eval index --queries queries.npy {words}"));
    let mut short = IdMatrix::new(10);
    short.push(&[0; 10]);
    vicinage_datasets::write_ids(&dir.path().join("short.npy"), &short).unwrap();
    eval("--truth short.npy --k 10").fails(65, &["short.npy", "50 rows", "found", "1"]);

    // Neighbors by row, which the index does not know them by.
    run(
        dir.path(),
        "truth --input items.npy --queries queries.npy --metric ip --k 10 --out rows.npy",
    )
    .ok();
    eval("--truth rows.npy --k 10").fails(65, &["rows.npy", "row 0", "does not hold"]);
    run(
        dir.path(),
        "truth --input items.parquet --queries queries.npy --metric ip --k 10 --out near.npy",
    )
    .ok();
    eval("--truth near.npy --k 100").fails(2, &["near.npy", "--k up to 10"]);
    eval("--k 0").fails(2, &["--k"]);
}
