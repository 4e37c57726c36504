//! Filtered workloads: made, held against naive answers, asked, refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use vicinage_datasets::{
    AttributeValues, Batch, IdMatrix, ReadOptions, TableBatch, open, open_table, read_distances,
    read_ids, write_ids,
};

use crate::support::run;

const N: usize = 3000;
const K: usize = 12;
const GENERATE: &str = "datasets generate filters --input tt/base.npy --queries tt/test.npy \
                        --metric ip --k 12 --selectivity 0.5,0.1,0.01,0.001 --exclude 20,300";

/// A directory with the set `tt` and the workload `w` of it.
fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let words = "datasets generate two-tower --n 3000 --dim 16 --test 40 --learn 0 --k 0 --out tt";
    run(dir.path(), words).ok();
    run(dir.path(), &format!("{GENERATE} --out w")).ok().says(&[
        "3,000 items, ip, 40 queries",
        "anti-correlated",
        "exclude",
        "near, times",
    ]);
    dir
}

fn vectors(path: &Path) -> Vec<f32> {
    let mut reader = open(&path.to_owned().into(), &ReadOptions::default()).unwrap();
    let (mut batch, mut all) = (Batch::default(), Vec::new());
    while reader.next_batch(&mut batch).unwrap() {
        all.extend_from_slice(&batch.to_f32().unwrap());
    }
    all
}

/// The attributes of each item as JSON, with its id.
fn attributes(path: &Path) -> Vec<Map<String, Value>> {
    let mut reader = open_table(path, &ReadOptions::default()).unwrap();
    let (mut batch, mut rows) = (TableBatch::default(), Vec::new());
    while reader.next_batch(&mut batch).unwrap() {
        for at in 0..batch.rows {
            let mut row = Map::new();
            row.insert("id".to_owned(), json!(batch.ids.as_ref().unwrap()[at]));
            for column in &batch.attributes {
                let value = match &column.values {
                    AttributeValues::F64(values) => json!(values[at]),
                    AttributeValues::Text(values) => json!(values.get(at)),
                    AttributeValues::TextList(values) => {
                        json!(values.get(at).unwrap().collect::<Vec<_>>())
                    }
                    AttributeValues::I64List(values) => json!(values.get(at)),
                    other => panic!("{:?}", other.kind()),
                };
                row.insert(column.name.clone(), value);
            }
            rows.push(row);
        }
    }
    rows
}

/// What the JSON of a filter says, for the operators that are made.
fn passes(filter: &Value, row: &Map<String, Value>) -> bool {
    let (operator, asked) = filter.as_object().unwrap().iter().next().unwrap();
    let (operator, list) = (operator.as_str(), |value: &Value| value.as_array().unwrap().clone());
    match operator {
        "and" => return list(asked).iter().all(|filter| passes(filter, row)),
        "or" => return list(asked).iter().any(|filter| passes(filter, row)),
        "not" => return !passes(asked, row),
        "ids" => return list(asked).contains(&row["id"]),
        _ => {}
    }
    let (field, asked) = asked.as_object().unwrap().iter().next().unwrap();
    let value = &row[field];
    match operator {
        "eq" => value == asked,
        "in" => list(asked).contains(value),
        "has" => list(value).contains(asked),
        "has_any" => list(asked).iter().any(|tag| list(value).contains(tag)),
        "range" => asked.as_object().unwrap().iter().all(|(bound, end)| {
            let (value, end) = (value.as_f64().unwrap(), end.as_f64().unwrap());
            if bound == "gte" { value >= end } else { bound == "lt" && value < end }
        }),
        other => panic!("{other}"),
    }
}

/// Filters of one's own are answered as those that were made.
#[test]
fn filters_of_ones_own_have_the_same_truth() {
    let dir = made();
    let at = |name: &str| dir.path().join(name);
    let lines = fs::read_to_string(at("w/filters.jsonl")).unwrap();
    let own: Vec<&str> = lines.lines().filter(|line| !line.contains("\"excluded\":")).collect();
    fs::write(at("own.jsonl"), own.join("\n")).unwrap();
    let own_words = "datasets generate filters --input tt/base.npy --queries tt/test.npy \
                     --metric ip --k 12 --attributes-from w/attributes.parquet --filters";
    run(dir.path(), &format!("{own_words} own.jsonl --out o")).ok();
    let read = |name: &str| {
        let matrix = read_ids(&at(name).into()).unwrap();
        (0..matrix.rows()).map(|row| matrix.row(row).to_vec()).collect::<Vec<_>>()
    };
    for name in ["truth-ids.npy", "truth-matches.npy"] {
        let (made, asked) = (read(&format!("w/{name}")), read(&format!("o/{name}")));
        assert_eq!(asked, made[..asked.len()]);
        assert!(made.len() > asked.len(), "those with lists come last");
    }
    let build = "build --input tt/base.npy --attributes-from w/attributes.parquet --metric ip \
                 --out index";
    run(dir.path(), build).ok();
    let eval = "eval index --queries tt/test.npy --filters o --k 10 --format json";
    let results = run(dir.path(), eval).ok().json()["results"].as_array().unwrap().clone();
    assert!(!results.is_empty());
    assert!(results.iter().all(|result| result["recall_min"] == 1.0), "a small index is scanned");

    // Without a selectivity, filters are told by how much passes.
    let text = r#"{"filter": "any_2 == \"any_2-0\"", "queries": [3, 1]}
{"filter": {"eq": {"any_10": "any_10-1"}}, "queries": [0]}
{"filter": "not any_10 == \"any_10-1\"", "queries": [0], "shape": "not"}"#;
    fs::write(at("text.jsonl"), text).unwrap();
    run(dir.path(), &format!("{own_words} text.jsonl --out t")).ok();
    let manifest: toml::Table = fs::read_to_string(at("t/workload.toml")).unwrap().parse().unwrap();
    let groups = manifest["groups"].as_array().unwrap().iter();
    let told: Vec<(&str, f64)> = groups
        .map(|group| (group["shape"].as_str().unwrap(), group["target"].as_float().unwrap()))
        .collect();
    // A tenth and a half are what they are by chance, so they lie on either side.
    assert_eq!(told.len(), 3);
    assert!(told.contains(&("not", 1.0)), "{told:?}");

    for (line, words) in [
        (r#"{"filter": "colour == 1", "queries": [0]}"#, &["line 1", "colour"][..]),
        (r#"{"filter": "any_2 ==", "queries": [0]}"#, &["line 1", "column"]),
        (r#"{"filter": "any_2 is null", "queries": [40]}"#, &["line 1", "queries below 40", "40"]),
        (r#"{"filter": "any_2 is null", "queries": []}"#, &["line 1", "at least one query"]),
        (r#"{"filter": "any_2 is null"}"#, &["line 1", "queries"]),
        ("", &["no filters"]),
    ] {
        fs::write(at("bad.jsonl"), line).unwrap();
        run(dir.path(), &format!("{own_words} bad.jsonl --out bad")).fails(65, words);
    }
}

/// Every number of a workload again, one row after the other.
#[test]
fn the_truth_is_what_a_naive_loop_finds() {
    let dir = made();
    let at = |name: &str| dir.path().join(name);
    let (base, queries) = (vectors(&at("tt/base.npy")), vectors(&at("tt/test.npy")));
    let items = attributes(&at("w/attributes.parquet"));
    let excluded = attributes_of_lists(&at("w/excluded.parquet"));
    let ids = read_ids(&at("w/truth-ids.npy").into()).unwrap();
    let distances = read_distances(&at("w/truth-distances.npy").into()).unwrap();
    let matches = read_ids(&at("w/truth-matches.npy").into()).unwrap();
    let (mut row, mut shapes) = (0, BTreeMap::new());
    for line in fs::read_to_string(at("w/filters.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let passing: Vec<usize> =
            (0..N).filter(|&item| passes(&line["filter"], &items[item])).collect();
        for (within, query) in line["queries"].as_array().unwrap().iter().enumerate() {
            let query = &queries[query.as_u64().unwrap() as usize * 16..][..16];
            let list = line["excluded"].as_u64().map(|first| &excluded[first as usize + within]);
            let distance = |item: usize| -> f64 {
                let pairs = base[item * 16..][..16].iter().zip(query);
                -pairs.map(|(x, q)| f64::from(*x) * f64::from(*q)).sum::<f64>()
            };
            let mut near: Vec<(f64, usize)> = passing
                .iter()
                .filter(|&&item| list.is_none_or(|list| !list.contains(&(item as u64))))
                .map(|&item| (distance(item), item))
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert_eq!(matches.row(row), [near.len() as u64], "{line}");
            near.truncate(K);
            assert_eq!(ids.row(row).len(), near.len(), "{line}");
            let allowed: BTreeSet<u64> = passing.iter().map(|&item| item as u64).collect();
            for (rank, (expected, _)) in near.iter().enumerate() {
                // Two items as far as f32 can tell may come either way round.
                let (id, stated) = (ids.row(row)[rank], f64::from(distances.row(row)[rank]));
                assert!((distance(id as usize) - expected).abs() < 1e-4, "{line}, rank {rank}");
                assert!((stated - expected).abs() < 1e-4 && allowed.contains(&id));
                assert!(list.is_none_or(|list| !list.contains(&id)));
            }
            *shapes.entry(line["shape"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            row += 1;
        }
    }
    assert_eq!((ids.rows(), matches.rows()), (row, row));
    let names = "and anti-correlated correlated exclude few not or random range";
    assert_eq!(shapes.keys().map(String::as_str).collect::<Vec<_>>().join(" "), names);
}

fn attributes_of_lists(path: &Path) -> Vec<BTreeSet<u64>> {
    let mut reader = open_table(path, &ReadOptions::default()).unwrap();
    let (mut batch, mut lists) = (TableBatch::default(), Vec::new());
    while reader.next_batch(&mut batch).unwrap() {
        let AttributeValues::I64List(column) = &batch.attributes[0].values else { panic!() };
        lists.extend((0..column.len()).map(|at| {
            column.get(at).unwrap().iter().map(|&id| id as u64).collect::<BTreeSet<u64>>()
        }));
    }
    lists
}

/// Selectivities and correlations are what was asked for; the same words make the same bytes.
#[test]
fn workloads_are_as_asked_and_the_same_again() {
    let dir = made();
    let manifest = fs::read_to_string(dir.path().join("w/workload.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    assert_eq!(manifest["n"].as_integer(), Some(N as i64));
    let groups = manifest["groups"].as_array().unwrap();
    assert!(groups.len() >= 28, "{groups:#?}");
    for group in groups {
        let number = |name: &str| group[name].as_float().unwrap();
        let (target, found) = (number("target"), number("selectivity"));
        let shape = group["shape"].as_str().unwrap();
        if shape != "few" && target >= 0.01 {
            assert!(found < 1.6 * target && target < 1.6 * found, "{group}");
        }
        let correlation = number("correlation");
        // Of 3,000 items, the nearest 1,000 are a third: near filters cannot do better than that.
        match shape {
            "correlated" if target <= 0.1 => assert!(correlation > 1.6, "{group}"),
            "anti-correlated" if target <= 0.1 => assert!(correlation < 0.5, "{group}"),
            "random" if target >= 0.1 => assert!((correlation - 1.0).abs() < 0.2, "{group}"),
            _ => {}
        }
        let filters = group["filters"].as_integer().unwrap();
        assert!(filters == 40 || filters <= 16, "{group}");
    }

    run(dir.path(), &format!("{GENERATE} --out w")).fails(2, &["workload.toml", "--overwrite"]);
    run(dir.path(), &format!("{GENERATE} --out again --threads 1")).ok();
    for entry in fs::read_dir(dir.path().join("w")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "workload.toml" {
            let bytes = |folder: &str| fs::read(dir.path().join(folder).join(&name)).unwrap();
            assert!(bytes("w") == bytes("again"), "{name}");
        }
    }
    run(dir.path(), &format!("{GENERATE} --out other --seed 8")).ok();
    let lines = |folder: &str| fs::read(dir.path().join(folder).join("filters.jsonl")).unwrap();
    assert!(lines("w") != lines("other"));
    // A change of this is a change of every workload that was ever made.
    let digest = Sha256::digest(lines("w"));
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "2aa9b35a3b9e7887");
}

#[test]
fn exact_search_answers_a_workload_in_full() {
    let dir = made();
    let build = "build --input tt/base.npy --attributes-from w/attributes.parquet --metric ip \
                 --out index --alpha 1.1 --backfill true";
    run(dir.path(), build).ok();
    let eval = "eval index --queries tt/test.npy --filters w --k 1,12";
    let results = run(dir.path(), &format!("{eval} --format json")).ok().json();
    assert_eq!(results["workload"], "w");
    let results = results["results"].as_array().unwrap();
    assert!(results.len() >= 56, "{}", results.len());
    for result in results {
        for name in ["recall_p5", "recall_min"] {
            assert_eq!(result[name], 1.0, "{result}");
        }
        assert_eq!(
            (&result["recall"]["id"], &result["recall"]["distance"]),
            (&json!(1.0), &json!(1.0))
        );
        assert_eq!(result["shortfall"], 0.0, "{result}");
        // So few items are scanned: each once, and what may be in the answer on its vector again.
        let scored = result["distances_per_query"].as_f64().unwrap() / N as f64;
        let share = result["selectivity"].as_f64().unwrap();
        assert!((share - 1e-9..=2.0 * share + 1e-9).contains(&scored), "{result}");
        let plans = result["plans"].as_object().unwrap();
        assert!(plans.keys().all(|plan| plan == "all" || plan == "exact"), "{result}");
    }
    run(dir.path(), eval).ok().says(&["shape", "anti-correlated", "1.0000", "0.0000"]);
    let forced = run(dir.path(), &format!("{eval} --plan walk --ef 50 --format json")).ok().json();
    let walked = |result: &&Value| result["plans"].get("walk").is_some();
    assert!(forced["results"].as_array().unwrap().iter().filter(walked).count() > 10);
    run(dir.path(), &format!("{eval} --plan run")).fails(2, &["all, exact, two-hop, walk"]);
    run(dir.path(), "eval index --queries tt/test.npy --filters w --k 13")
        .fails(2, &["--k up to 12"]);
    run(dir.path(), "eval index --queries tt/base.npy --filters w").fails(65, &["40 queries"]);

    // An index without the attributes, and one of other items.
    run(
        dir.path(),
        "build --input tt/base.npy --metric ip --out plain --alpha 1.1 --backfill true",
    )
    .ok();
    run(dir.path(), "eval plain --queries tt/test.npy --filters w --k 12")
        .fails(65, &["unknown attribute", "/eq/any_2"]);
    run(dir.path(), "build --input tt/test.npy --metric ip --out few --alpha 1.1 --backfill true")
        .ok();
    run(dir.path(), "eval few --queries tt/test.npy --filters w")
        .fails(65, &["another index", "3000 × 16, ip", "40 × 16, ip"]);
}

/// Each way to break a workload is told with file and line.
#[test]
fn broken_workloads_are_refused() {
    let dir = made();
    let build = "build --input tt/base.npy --attributes-from w/attributes.parquet --metric ip \
                 --out index --alpha 1.1 --backfill true";
    run(dir.path(), build).ok();
    let path = |name: &str| dir.path().join("w").join(name);
    let broken = |name: &str, bytes: &[u8], words: &[&str]| {
        let whole = fs::read(path(name)).unwrap();
        fs::write(path(name), bytes).unwrap();
        let words: Vec<&str> = [name].iter().chain(words).copied().collect();
        run(dir.path(), "eval index --queries tt/test.npy --filters w").fails(65, &words);
        fs::write(path(name), whole).unwrap();
    };
    let text = |name: &str| fs::read_to_string(path(name)).unwrap();
    let manifest = text("workload.toml");
    let version = manifest.replace("schema = 1", "schema = 2");
    broken("workload.toml", version.as_bytes(), &["schema 1", "schema", "2"]);
    let unknown = manifest.replacen("dim = 16", "dim = 16\nhue = 1", 1);
    broken("workload.toml", unknown.as_bytes(), &["hue"]);
    broken("workload.toml", b"\xff", &["UTF-8", "byte 0"]);

    let lines = text("filters.jsonl");
    let second = |from: &str, to: &str| {
        let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        assert!(lines[1].contains(from), "{}", lines[1]);
        lines[1] = lines[1].replacen(from, to, 1);
        lines.join("\n")
    };
    for (from, to, words) in [
        ("\"shape\"", "\"shap\"", &["line 2", "shap"][..]),
        ("{\"eq\":", "{\"eqq\":", &["line 2", "/eqq", "did you mean \"eq\""]),
        ("\"selectivity\":0.5", "\"selectivity\":0", &["line 2", "a selectivity up to 1"]),
        ("\"queries\":[1,", "\"queries\":[40,", &["line 2", "queries below 40"]),
        ("\"queries\":[1,", "\"queries\":[-1,", &["line 2", "-1"]),
        ("\"queries\"", "\"excluded\":99999,\"queries\"", &["line 2", "excluded.parquet"]),
    ] {
        broken("filters.jsonl", second(from, to).as_bytes(), words);
    }
    let fewer = second("\"queries\":[1,", "\"queries\":[");
    let whole = fs::read(path("filters.jsonl")).unwrap();
    fs::write(path("filters.jsonl"), fewer).unwrap();
    run(dir.path(), "eval index --queries tt/test.npy --filters w")
        .fails(65, &["truth-ids.npy", "rows, one for each query of each line"]);
    fs::write(path("filters.jsonl"), whole).unwrap();
    broken("filters.jsonl", format!("\n{lines}").as_bytes(), &["line 1"]);
    broken("truth-ids.npy", b"\x93NUMPY", &[]);

    // One neighbor fewer than pass.
    let truth = read_ids(&path("truth-ids.npy").into()).unwrap();
    let mut short = IdMatrix::new(K);
    for row in 0..truth.rows() {
        let ids = truth.row(row);
        short.push(if row == 5 { &ids[..K - 1] } else { ids });
    }
    write_ids(&dir.path().join("short.npy"), &short).unwrap();
    let bytes = fs::read(dir.path().join("short.npy")).unwrap();
    broken("truth-ids.npy", &bytes, &["row 5", "12 neighbors"]);
}

#[test]
fn generate_refuses_what_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let generate = |words: &str| {
        let words = format!(
            "datasets generate filters --input tt/base.npy --queries tt/test.npy --metric ip \
             --out y {words}"
        );
        run(dir.path(), &words)
    };
    generate("--selectivity 0.5,1.5").fails(2, &["--selectivity", "1.5"]);
    generate("--exclude 0").fails(2, &["--exclude"]);
    generate("--k 0").fails(2, &["--k"]);
}
