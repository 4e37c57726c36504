//! datasets list, generate, describe.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vicinage_datasets::{
    InputSpec, ReadOptions, TableBatch, open, open_table, read_distances, read_ids,
};

use crate::support::{components, run, write_vectors};

const SMALL: &str = "--n 3000 --dim 16 --test 40 --learn 60 --k 5 --progress none";

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_subcommand_has_an_example() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for words in [
        "datasets list",
        "datasets fetch",
        "datasets describe",
        "datasets generate",
        "datasets generate two-tower",
        "datasets generate clustered",
        "datasets generate attributes",
        "datasets generate interactions",
        "datasets generate filters",
    ] {
        let help = run(here, &format!("{words} --help")).ok().out;
        let (_, examples) = help.split_once("Example").expect(words);
        assert!(examples.contains(&format!("index-tools {words}")), "{help}");
        let mut lines = help.lines().filter(|line| !line.starts_with("Usage:"));
        assert!(lines.all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn list_names_every_set() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "datasets list").ok().says(&[
        "lastfm-64-dot",
        "text2image-10M",
        "onet-jobs",
        "1,183,514",
        "licence",
        "~",
        "≥",
    ]);
    let sets = run(dir.path(), "datasets list --format json").ok().json();
    let fashion = sets["sets"].as_array().unwrap().iter().find(|set| set["dim"] == 784).unwrap();
    assert_eq!(fashion["name"], "fashion-mnist-784-euclidean");
    assert_eq!(fashion["file"][0]["role"], "all");
}

#[test]
fn two_towers_come_with_truth_and_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let make =
        |words: &str| run(dir.path(), &format!("datasets generate two-tower {SMALL} {words}"));
    make("--out tt").ok().says(&["3,000 × 16", "like a real", "pass", "Mahalanobis", "top 10"]);
    let files = [
        "base.npy",
        "dataset.toml",
        "learn.npy",
        "test.npy",
        "truth-distances.npy",
        "truth-ids.npy",
    ];
    assert_eq!(names(&dir.path().join("tt")), files);
    let manifest = fs::read_to_string(dir.path().join("tt/dataset.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    assert_eq!(manifest["metric"].as_str(), Some("ip"));
    assert_eq!(manifest["files"]["truth_ids"].as_str(), Some("truth-ids.npy"));
    assert_eq!(manifest["parameters"]["n"].as_integer(), Some(3000));
    assert_eq!(manifest["parameters"]["rotation"].as_float(), Some(30.0));

    // The truth is what `truth` finds, and the set what the same words make again.
    let words = "truth --input tt/base.npy --queries tt/test.npy --metric ip --k 5 --out near.npy \
                 --distances far.npy";
    run(dir.path(), words).ok();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(fs::read(at("near.npy")).unwrap(), fs::read(at("tt/truth-ids.npy")).unwrap());
    assert_eq!(fs::read(at("far.npy")).unwrap(), fs::read(at("tt/truth-distances.npy")).unwrap());
    make("--out again --threads 1").ok();
    for name in files {
        let same = fs::read(at(&format!("tt/{name}"))).unwrap();
        assert_eq!(same, fs::read(at(&format!("again/{name}"))).unwrap(), "{name}");
    }
    make("--out tt").fails(2, &["base.npy", "there already", "--overwrite"]);
    make("--out tt --overwrite --seed 8").ok();
    assert_ne!(fs::read(at("tt/base.npy")).unwrap(), fs::read(at("again/base.npy")).unwrap());
    make("--out bad --rotation=-3").fails(2, &["--rotation", "0 to 180", "-3"]);
    assert!(!at("bad").exists());
}

#[test]
fn clusters_in_the_bin_formats_and_without_truth() {
    let dir = tempfile::tempdir().unwrap();
    let words = format!("datasets generate clustered {SMALL} --clusters 9 --format fbin --out c");
    run(dir.path(), &words).ok().says(&["clustered, l2"]);
    let ids = read_ids(&InputSpec::from(dir.path().join("c/truth-ids.ibin"))).unwrap();
    let distances =
        read_distances(&InputSpec::from(dir.path().join("c/truth-distances.fbin"))).unwrap();
    assert_eq!((ids.rows(), ids.k(), distances.rows()), (40, 5, 40));
    let shape = |name: &str| {
        open(&dir.path().join(name).into(), &ReadOptions::default()).unwrap().shape().rows
    };
    assert_eq!([shape("c/base.fbin"), shape("c/test.fbin"), shape("c/learn.fbin")], [3000, 40, 60]);
    let words = "datasets generate clustered --n 10 --test 2 --learn 0 --k 0 --out few";
    run(dir.path(), words).ok();
    assert_eq!(names(&dir.path().join("few")), ["base.npy", "dataset.toml", "test.npy"]);
}

#[test]
fn attributes_and_interactions_go_with_a_set() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &format!("datasets generate two-tower {SMALL} --out tt")).ok();
    let words = "datasets generate attributes --input tt/base.npy --queries tt/test.npy --query 3 \
                 --column any=random:0.5 --column fits=correlated:0.1:0.9 --column tag=tags:50:3 \
                 --out tt/attributes.parquet";
    run(dir.path(), words).ok().says(&["3,000 rows, 3 columns", "fits", "0.100000"]);
    run(dir.path(), words).fails(2, &["attributes.parquet", "--overwrite"]);
    run(dir.path(), &words.replace("--query 3", "--query 40 --overwrite"))
        .fails(2, &["no row 40", "below"]);
    let wrong = "datasets generate attributes --input tt/base.npy --column a=some --out a.parquet";
    run(dir.path(), wrong).fails(2, &["a=some", "NAME=random:S"]);
    run(
        dir.path(),
        "build --input tt/base.npy --attributes-from tt/attributes.parquet --metric ip --out index \
         --alpha 1.1 --backfill true",
    )
    .ok();
    run(dir.path(), "inspect index").ok().says(&["fits", "tag"]);

    let words = "datasets generate interactions --items tt/base.npy --users tt/learn.npy \
                 --per-user 4 --met 100 --out taken.parquet";
    run(dir.path(), words).ok().says(&["240 interactions of 60 users with 3,000 items"]);
    let options = ReadOptions { id_column: Some("user_id".to_owned()), ..ReadOptions::default() };
    let mut table = open_table(&dir.path().join("taken.parquet"), &options).unwrap();
    let mut batch = TableBatch::default();
    assert!(table.next_batch(&mut batch).unwrap());
    assert_eq!((batch.rows, batch.attributes[0].name.as_str()), (240, "item_id"));
    run(dir.path(), &words.replace("--per-user 4", "--per-user 1000 --overwrite"))
        .fails(2, &["--met", "100"]);
    run(dir.path(), "datasets generate interactions --items a.npy --users b.npy --out c.csv")
        .fails(2, &["c.csv", ".parquet"]);
}

#[test]
fn describe_tells_what_a_file_is_like() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &format!("datasets generate two-tower {SMALL} --out tt")).ok();
    let words = "datasets describe tt/base.npy --queries tt/test.npy --metric ip --progress none";
    run(dir.path(), words).ok().says(&[
        "3,000",
        "normalised",
        "duplicates",
        "intrinsic dim",
        "Norms",
        "█",
        "out of distribution",
        "Mahalanobis",
    ]);
    let profile: Value = run(dir.path(), &format!("{words} --format json")).ok().json();
    let profile = &profile["profile"];
    assert_eq!((&profile["rows"], &profile["dim"]), (&3000.into(), &16.into()));
    assert_eq!(profile["queries"]["verdict"], "out-of-distribution");
    assert_eq!(profile["duplicates"], 0);

    write_vectors(&dir.path().join("wide.npy"), 17, components(17 * 3, 1));
    run(dir.path(), "datasets describe tt/base.npy --queries wide.npy")
        .fails(65, &["wide.npy", "16 components", "17"]);
    write_vectors(&dir.path().join("none.npy"), 4, Vec::new());
    run(dir.path(), "datasets describe none.npy").ok().says(&["not known"]);
    run(dir.path(), "datasets describe gone.npy").fails(74, &["gone.npy"]);
}
