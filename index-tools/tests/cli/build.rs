//! plan and build, and what they refuse.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{
    DIM, N, command, components, finish, id, inputs, run, title, titles, write_table, write_vectors,
};

#[test]
fn builds_from_each_format_and_says_what_it_did() {
    let dir = inputs();
    write_vectors(&dir.path().join("items.fbin"), DIM, components(N * DIM, 1));
    for (input, metric) in [("items.npy", "l2"), ("items.fbin", "cosine"), ("items.parquet", "ip")]
    {
        let built =
            run(dir.path(), &format!("build --input {input} --metric {metric} --out {metric}"));
        let built = built.ok().says(&["1,500 × 12", "recall@", "generation  1", "graph"]);
        for stage in ["read", "graph", "write", "verify", "self-check"] {
            assert!(built.err.contains(stage), "no {stage} in\n{}", built.err);
        }
        assert!(dir.path().join(metric).join("MANIFEST.json").is_file());
    }
    let inspected = run(dir.path(), "inspect ip --format json").ok().json();
    assert_eq!(inspected["info"]["attributes"][0]["name"], "title");
    assert_eq!(inspected["info"]["attributes"][1]["kind"], "i64");
}

#[test]
fn builds_from_several_files() {
    let dir = inputs();
    fs::create_dir(dir.path().join("parts")).unwrap();
    let (vectors, half) = (components(N * DIM, 1), N / 2);
    for (part, rows) in [0..half, half..N].into_iter().enumerate() {
        let vectors = vectors[rows.start * DIM..rows.end * DIM].to_vec();
        let ids = Some(("item_id", rows.clone().map(id).collect()));
        let path = dir.path().join(format!("parts/part-{part}.parquet"));
        write_table(&path, DIM, vectors, ids, vec![("title", titles(rows))]);
    }
    fs::write(dir.path().join("parts/_SUCCESS"), b"").unwrap();
    for input in ["parts", "parts/#vector", "parts/part-*.parquet"] {
        let words = format!("build --input {input} --metric ip --out index --attributes title");
        run(dir.path(), &words).ok().says(&["1,500 × 12"]);
    }
    let query = "query index --vectors items.npy --row 900 --k 1500 --exact --attributes title";
    let hits = run(dir.path(), &format!("{query} --format json")).ok().json();
    let hits = hits["hits"].as_array().unwrap();
    for row in [0, 749, 750, N - 1] {
        let hit = hits.iter().find(|hit| hit["item_id"] == id(row)).unwrap();
        assert_eq!(hit["attributes"]["title"], title(row));
    }
}

#[test]
fn builds_another_generation_over_the_first() {
    let dir = inputs();
    let words = "build --input items.npy --metric l2 --out index --progress none --format json";
    for generation in 1..=3 {
        let built = run(dir.path(), words).ok();
        assert_eq!(built.json()["build"]["generation"], generation);
        assert_eq!(built.json()["build"]["n"], N);
        assert_eq!(built.err, "", "--progress none says nothing");
    }
}

#[test]
fn deterministic_builds_are_the_same_bytes() {
    let dir = inputs();
    for threads in [1, 2] {
        let words = format!(
            "build --input items.parquet --metric ip --out by{threads} --deterministic \
             --threads {threads}"
        );
        run(dir.path(), &words).ok();
    }
    for file in ["MANIFEST.json", "000001/base.vcg"] {
        let read = |out: &str| fs::read(dir.path().join(out).join(file)).unwrap();
        assert!(read("by1") == read("by2"), "{file} differs");
    }
}

#[test]
fn stores_the_element_type_asked_for() {
    let dir = inputs();
    for element in ["f32", "f16", "bf16"] {
        let words = format!(
            "build --input items.npy --metric l2 --out {element} --element {element} --format json"
        );
        run(dir.path(), &words).ok();
        let info = run(dir.path(), &format!("inspect {element} --format json")).ok().json();
        assert_eq!(info["info"]["element"], element);
    }
    run(dir.path(), "build --input items.npy --metric l2 --out i8 --element i8").fails(
        65,
        &["items.npy", "row 0, component 0", "expected", "a whole number that i8 holds"],
    );
    assert!(!dir.path().join("i8").exists(), "a refused build leaves nothing");
}

#[test]
fn builds_with_the_reference_builder() {
    let dir = inputs();
    let words = "build --input items.npy --metric cosine --out index --builder hnsw-rs";
    run(dir.path(), words).ok().says(&["hnsw-rs"]);
    run(dir.path(), &format!("{words} --deterministic"))
        .fails(2, &["--deterministic", "expected", "hnsw"]);
}

#[test]
fn keeps_the_attributes_asked_for() {
    let dir = inputs();
    let attributes = |words: &str| {
        let words = format!("build --input items.parquet --metric ip --out index {words}");
        run(dir.path(), &words).ok();
        let info = run(dir.path(), "inspect index --format json").ok().json();
        let names = info["info"]["attributes"].as_array().unwrap().iter();
        names.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(attributes(""), ["title", "year"]);
    assert_eq!(attributes("--attributes year,title"), ["year", "title"]);
    assert_eq!(attributes("--no-attributes"), [""; 0]);
    run(dir.path(), "build --input items.parquet --metric ip --out other --attributes colour")
        .fails(65, &["items.parquet", "colour", "expected", "found"]);
    run(dir.path(), "build --input items.npy --metric ip --out other --attributes title")
        .fails(2, &["vectors alone", "--attributes-from"]);
}

#[test]
fn attributes_have_the_types_asked_for() {
    let dir = inputs();
    let build = |wish: &str| {
        run(dir.path(), &format!("build --input items.parquet --metric ip --out index {wish}"))
    };
    let kinds = || {
        let info = run(dir.path(), "inspect index --format json").ok().json();
        let kinds = info["info"]["attributes"].as_array().unwrap().clone();
        kinds.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    build("--attribute year:category --attribute title:tags").ok();
    assert_eq!(kinds(), ["category", "tags"]);
    let found = |filter: &str, more: &str| {
        let arguments = ["query", "index", "--item", "1006", "--k", "5", "--exact", "--filter"];
        let mut command = command(dir.path(), "");
        command.args(arguments).arg(filter).args(more.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let json = finish(command.spawn().unwrap()).ok().json();
        json["hits"].as_array().unwrap().clone()
    };
    let show = "--attributes year --format json";
    let hits = found("year == \"700\"", show);
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0]["attributes"]["year"], "700");
    let of_none = found("year is null", show);
    assert_eq!(of_none[0]["attributes"]["year"], serde_json::Value::Null);

    build("--attributes year:f64").ok();
    assert_eq!(kinds(), ["f64"]);
    assert_eq!(found("year >= 700 and year < 701", show)[0]["attributes"]["year"], 700.0);

    let place = "attribute \"year\", row 2 of the items";
    build("--attributes year:bool").fails(65, &["items.parquet", place, "bool", "found", "2"]);
    build("--attributes year:i46").fails(65, &["items.parquet", "year:i46"]);
    build("--attributes year:i64,year:f64").fails(2, &["year", "twice"]);
}

#[test]
fn refuses_inputs_that_are_not_what_they_say() {
    let dir = inputs();
    let path = |name: &str| dir.path().join(name);
    let build =
        |input: &str| run(dir.path(), &format!("build --input {input} --metric cosine --out out"));

    build("missing.npy").fails(74, &["missing.npy"]);
    build("items.csv").fails(65, &["items.csv", "expected", ".npy", "found", ".csv"]);
    build("items.parquet#colour").fails(65, &["colour"]);

    fs::write(path("short.npy"), &fs::read(path("items.npy")).unwrap()[..1000]).unwrap();
    build("short.npy").fails(65, &["short.npy", "where", "expected", "found"]);

    let mut vectors = components(N * DIM, 1);
    vectors[7 * DIM + 3] = f32::NAN;
    let mut bytes = fs::read(path("items.npy")).unwrap();
    let start = bytes.len() - vectors.len() * 4;
    bytes[start..]
        .copy_from_slice(&vectors.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    fs::write(path("nan.npy"), bytes).unwrap();
    build("nan.npy").fails(65, &["nan.npy", "row 7", "component 3", "NaN"]);

    vectors[7 * DIM..8 * DIM].fill(0.0);
    write_vectors(&path("zero.npy"), DIM, vectors);
    build("zero.npy").fails(65, &["zero.npy", "row 7", "zero", "next"]);

    let ids = Some(("item_id", (0..4).map(|row| row / 2).collect()));
    write_table(&path("twice.parquet"), DIM, components(4 * DIM, 1), ids, Vec::new());
    build("twice.parquet").fails(65, &["twice.parquet", "row 1", "row 0"]);

    assert!(!path("out").exists(), "a refused build leaves nothing");
}

#[test]
fn does_not_touch_what_is_not_an_index() {
    let dir = inputs();
    fs::create_dir(dir.path().join("photos")).unwrap();
    fs::write(dir.path().join("photos/cat.jpg"), "meow").unwrap();
    run(dir.path(), "build --input items.npy --metric l2 --out photos")
        .fails(65, &["photos", "cat.jpg"]);
    let left: Vec<_> = fs::read_dir(dir.path().join("photos")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn memory_is_limited_and_planned() {
    let dir = inputs();
    run(dir.path(), "build --input items.npy --metric l2 --out index --memory-limit 1KiB")
        .fails(2, &["memory", "expected", "--memory-limit", "found", "1.00 KiB"]);
    assert!(!dir.path().join("index").exists());
    run(dir.path(), "plan --input items.npy --metric l2 --memory-limit 1KiB").fails(2, &["memory"]);

    run(dir.path(), "plan --input items.parquet --metric ip").ok().says(&[
        "1,500 × 12 f32",
        "peak memory",
        "temporary disk",
        "time",
        "MiB",
    ]);
    let plan = run(dir.path(), "plan --input items.parquet --metric ip --format json").ok().json();
    run(dir.path(), "build --input items.parquet --metric ip --out index").ok();
    let info = run(dir.path(), "inspect index --format json").ok().json();
    let (planned, built) = (&plan["disk_bytes"], &info["info"]["file_bytes"]);
    let share = planned.as_f64().unwrap() / built.as_f64().unwrap();
    assert!((0.9..1.1).contains(&share), "planned {planned}, built {built}");
}

#[test]
fn progress_as_json_is_json_to_the_last_line() {
    let dir = inputs();
    let events = run(dir.path(), "build --input items.npy --metric ip --out index --progress json")
        .ok()
        .events();
    let mut open: Option<String> = None;
    for event in &events {
        let stage = event["stage"].as_str().unwrap().to_owned();
        match event["event"].as_str().unwrap() {
            "begin" => assert_eq!(open.replace(stage), None, "stages do not overlap"),
            "progress" => assert_eq!(open.as_ref(), Some(&stage)),
            "end" => {
                assert_eq!(open.take(), Some(stage));
                assert!(event["seconds"].as_f64().unwrap() >= 0.0);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(open, None);
    let read = events.iter().find(|event| event["event"] == "end" && event["stage"] == "read");
    assert_eq!(read.unwrap()["done"], N);

    let failed = run(dir.path(), "build --input none.npy --metric ip --out out --progress json");
    let events = failed.fails(74, &[]).events();
    assert_eq!(events.last().unwrap()["event"], "error");
    assert_eq!(events.last().unwrap()["exit_code"], 74);
}

#[test]
fn standard_output_may_close_early() {
    let script = format!(
        "'{}' completions bash | head -c 10 > /dev/null; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_index-tools")
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "0");
}
