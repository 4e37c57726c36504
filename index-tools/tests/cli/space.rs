//! Of what model vectors are: what an index keeps of it, what is refused, and skew.

use std::fs;

use serde_json::{Value, json};

use crate::measure::nearest;
use crate::support::{DIM, N, components, id, inputs, run, write_vectors};

const BUILD: &str =
    "build --input items.parquet --metric ip --out index --alpha 1.1 --backfill true";

/// A `space.toml` of the tests' vectors.
fn space(checkpoint: &str, tower: &str) -> String {
    format!(
        "family = \"toy\"\ncheckpoint = \"{checkpoint}\"\ndim = {DIM}\nnormalization = \"none\"\n\
         metric = \"ip\"\ntower = \"{tower}\"\n"
    )
}

#[test]
fn an_index_keeps_its_space_and_refuses_queries_of_another() {
    let dir = inputs();
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
    write("space.toml", space("a", "item"));
    write("users.toml", space("a", "user"));
    write("later.toml", space("b", "user"));
    write_vectors(&dir.path().join("many.npy"), DIM, components(300 * DIM, 3));
    run(dir.path(), &format!("{BUILD} --space space.toml")).ok();
    let name = format!("toy@a/ip/{DIM}/none");
    run(dir.path(), "inspect index").ok().says(&[&name]);
    let kept = |words: &str| {
        let info = run(dir.path(), "inspect index --format json").ok().json()["info"].clone();
        assert_eq!(info["space_id"], json!(name), "{words}");
        assert_eq!(info["space"]["tower"], "item", "{words}");
    };
    for words in [
        "query index --vectors queries.npy",
        "eval index --queries queries.npy --k 10 --ef 20",
        "tune index --queries many.npy",
        "repair index --queries many.npy",
    ] {
        run(dir.path(), &format!("{words} --space users.toml")).ok();
        kept(words);
        run(dir.path(), &format!("{words} --space later.toml"))
            .fails(65, &["later.toml", &name, "toy@b/ip"]);
    }
    // Nobody has to say it here; but what is said has to be comparable.
    run(dir.path(), "query index --vectors queries.npy").ok();
    run(dir.path(), BUILD).ok();
    run(dir.path(), "query index --vectors queries.npy --space users.toml")
        .fails(65, &["without a space", &name, "--space"]);
}

#[test]
fn a_space_that_the_vectors_cannot_be_of_is_refused() {
    let dir = inputs();
    let refused = |from: &str, to: &str, words: &[&str]| {
        let text = space("a", "item");
        assert!(text.contains(from));
        fs::write(dir.path().join("space.toml"), text.replacen(from, to, 1)).unwrap();
        run(dir.path(), &format!("{BUILD} --space space.toml")).fails(65, words);
        assert!(!dir.path().join("index").exists());
    };
    refused("dim = 12", "dim = 13", &["space.toml", "dim 13", "have 12"]);
    refused("\"ip\"", "\"l2\"", &["metric l2", "have ip"]);
    refused("\"ip\"", "\"dot\"", &["line 5", "dot"]);
    refused("\"toy\"", "\"t o y\"", &["family", "t o y"]);
    refused("tower", "model", &["line 6", "model"]);
    refused("\"none\"", "\"unit\"", &["row 0", "norm", "unit"]);
    refused("family = \"toy\"\n", "", &["family"]);
    run(dir.path(), &format!("{BUILD} --space nowhere.toml")).fails(74, &["nowhere.toml"]);
}

/// The new items are the old ones in another order of components, and so are the new users: new pairs
/// find what old ones find, and mixed ones something else.
#[test]
fn skew_tells_what_mixed_pairs_find() {
    let dir = inputs();
    let turned = |vectors: Vec<f32>| -> Vec<f32> {
        vectors.chunks(DIM).flat_map(|row| row.iter().rev().copied()).collect()
    };
    write_vectors(&dir.path().join("new-items.npy"), DIM, turned(components(N * DIM, 1)));
    write_vectors(&dir.path().join("new-users.npy"), DIM, turned(components(50 * DIM, 2)));
    let words = "skew --items items.npy new-items.npy --queries queries.npy new-users.npy \
                 --metric ip --k 5,20";
    run(dir.path(), words).ok().says(&["50 users", "new users, old items", "1,500 items in both"]);
    let told = run(dir.path(), &format!("{words} --format json")).ok().json();
    assert_eq!(told["items"], json!({"both": N, "only_old": 0, "only_new": 0}));
    let pairs = told["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 8);
    let users = turned(components(50 * DIM, 2));
    let items = components(N * DIM, 1);
    for pair in pairs {
        let k = pair["k"].as_u64().unwrap() as usize;
        let recalls = ["recall_of_old", "recall_of_new"].map(|key| pair[key].as_f64().unwrap());
        if pair["queries"] == pair["items"] {
            assert_eq!(recalls, [1.0; 2], "{pair}");
            continue;
        }
        // By hand, for new users and old items; old users and new items are the same, turned.
        let mut found = 0;
        for (at, user) in users.chunks(DIM).enumerate() {
            let dot = |row: &[f32]| -> f64 {
                row.iter().zip(user).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let mut near: Vec<(f64, usize)> = items.chunks(DIM).map(dot).zip(0..).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            let truth: Vec<usize> = nearest("ip", at, k).into_iter().map(|(_, row)| row).collect();
            found += near[..k].iter().filter(|(_, row)| truth.contains(row)).count();
        }
        let expected = found as f64 / (50 * k) as f64;
        assert!(recalls.iter().all(|recall| (recall - expected).abs() < 1e-9), "{pair} {expected}");
    }
}

#[test]
fn skew_matches_items_by_id_and_users_by_row() {
    let dir = inputs();
    // Row numbers on one side, ids on the other: few in common.
    let words =
        "skew --items items.npy items.parquet --queries queries.npy queries.npy --metric ip";
    let told = run(dir.path(), &format!("{words} --format json")).ok().json();
    let both = (0..N).filter(|&row| id(row) < N as u64).count();
    assert_eq!(told["items"]["both"], both);
    write_vectors(&dir.path().join("few.npy"), DIM, components(7 * DIM, 2));
    let skew = |old: &str, new: &str| {
        let words = format!("skew --items items.npy items.npy --queries {old} {new} --metric ip");
        run(dir.path(), &words)
    };
    skew("queries.npy", "few.npy").fails(65, &["few.npy", "50 rows", "7"]);
    write_vectors(&dir.path().join("wide.npy"), DIM + 1, components(50 * (DIM + 1), 2));
    skew("queries.npy", "wide.npy").fails(65, &["wide.npy", "12 components", "13"]);
    let pairs: Value = skew("queries.npy", "queries.npy").ok().out.contains("1.0000").into();
    assert_eq!(pairs, true);
}
