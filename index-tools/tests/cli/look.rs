//! inspect, verify, query.

use std::fs;

use crate::support::{DIM, N, components, id, run, run_with_input, title, with_index};

#[test]
fn inspect_shows_the_whole_index() {
    let dir = with_index();
    run(dir.path(), "inspect index").ok().says(&[
        "1,500 × 12 f32",
        "ip",
        "seed",
        "Levels",
        "Neighbors in the base layer",
        "█",
        "self-check   recall@10",
        "Attributes",
        "category",
        "Sections",
    ]);
    let json = run(dir.path(), "inspect index --format json").ok().json();
    let degrees = json["degrees"].as_array().unwrap().iter();
    assert_eq!(degrees.map(|nodes| nodes.as_u64().unwrap()).sum::<u64>(), N as u64);
    assert_eq!(json["unreachable"], 0);
    assert_eq!(json["info"]["levels"][0], N);
}

#[test]
fn a_directory_without_an_index_is_said_to_be_one() {
    let dir = with_index();
    for words in ["inspect .", "verify none", "query . --item 1", "eval . --queries queries.npy"] {
        run(dir.path(), words).fails(65, &["is not an index", "next", "index-tools build"]);
    }
}

#[test]
fn verify_finds_every_damage() {
    let dir = with_index();
    run(dir.path(), "verify index").ok().says(&["whole", "generation 1"]);
    run(dir.path(), "verify index --deep").ok().says(&["whole", "meaning"]);

    let file = dir.path().join("index/000001/base.vcg");
    let whole = fs::read(&file).unwrap();
    let damage = |bytes: &[u8]| {
        // Generations are read-only, and a hard link to the file would keep the old bytes.
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    };
    for at in [0, 100, 5000, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        damage(&bytes);
        let failed = run(dir.path(), "verify index").fails(76, &["base.vcg"]);
        let json = run(dir.path(), "verify index --format json --progress json");
        assert_eq!(json.code, 76);
        assert_eq!(json.events().last().unwrap()["event"], "error");
        if at > 100 {
            for word in ["is corrupt", "where", "byte ", "expected", "found", "next"] {
                assert!(failed.err.contains(word), "no {word:?} in\n{}", failed.err);
            }
        }
    }
    damage(&whole[..whole.len() - 1]);
    run(dir.path(), "verify index").fails(76, &["base.vcg", "expected", "found"]);
    damage(&whole);
    run(dir.path(), "verify index --deep").ok();

    fs::write(dir.path().join("index/MANIFEST.json"), "{}").unwrap();
    run(dir.path(), "verify index").fails(76, &["MANIFEST.json"]);
}

#[test]
fn query_answers_from_every_source() {
    let dir = with_index();
    let first = |words: &str, input: &str| {
        let words = format!("query index {words} --k 3 --attributes title,year --format json");
        run_with_input(dir.path(), &words, input).ok().json()
    };
    let queries = components(50 * DIM, 2);
    let third = &queries[3 * DIM..4 * DIM];
    let text = third.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    let answer = first("--exact --vectors queries.npy --row 3", "");
    assert_eq!(answer["hits"].as_array().unwrap().len(), 3);
    assert_eq!(answer["account"]["exact"], true);
    assert_eq!(first(&format!("--exact --vector {text}"), "")["hits"], answer["hits"]);
    assert_eq!(first("--exact", &format!("[{text}]\n"))["hits"], answer["hits"]);

    let base = components(N * DIM, 1);
    let dot = |row: usize| -> f32 { (0..DIM).map(|i| base[row * DIM + i] * third[i]).sum() };
    let best = (0..N).max_by(|&a, &b| dot(a).total_cmp(&dot(b))).unwrap();
    assert_eq!(answer["hits"][0]["item_id"], id(best));
    assert_eq!(answer["hits"][0]["attributes"]["title"], title(best));
    assert!((answer["hits"][0]["score"].as_f64().unwrap() - f64::from(dot(best))).abs() < 1e-4);

    let similar = first(&format!("--item {}", id(5)), "");
    let hits = similar["hits"].as_array().unwrap();
    assert!(hits.iter().all(|hit| hit["item_id"] != id(5)), "the item itself is left out");
}

#[test]
fn query_shows_a_table() {
    let dir = with_index();
    let words = format!("query index --item {} --k 4 --attributes title,year --ef 50", id(5));
    let shown =
        run(dir.path(), &words).ok().says(&["rank", "item_id", "score", "title of row", "visited"]);
    let ranks = shown.out.lines().filter(|line| line.contains("title of row"));
    assert_eq!(ranks.count(), 4);
    run(dir.path(), "query index --item 0").ok().says(&["attributes to ask for: title, year"]);
}

#[test]
fn query_answers_among_what_passes() {
    let dir = with_index();
    let words = |filter: &str, more: &str| {
        format!("query index --item {} --format json --filter {filter} {more}", id(5))
    };
    let ask = |filter: &str, more: &str| {
        run(dir.path(), &words(filter, &format!("--k 30 --attributes year {more}"))).ok().json()
    };
    let all = ask("year>=-9999", "");
    let year = all["hits"][3]["attributes"]["year"].as_i64();
    let year = year.unwrap_or_else(|| panic!("{all}"));
    let (text, json) =
        (format!("year<={year}"), format!("{{\"range\":{{\"year\":{{\"lte\":{year}}}}}}}"));
    let among = ask(&text, "--explain");
    assert_eq!(ask(&json, "")["hits"], among["hits"]);
    let hits = among["hits"].as_array().unwrap();
    assert!(
        !hits.is_empty() && hits.iter().all(|hit| hit["attributes"]["year"].as_i64() <= Some(year))
    );
    assert!(among["planned"]["exact_ns"].as_f64().unwrap() > 0.0, "{among}");
    let first = hits[0]["item_id"].as_u64().unwrap();
    let without = ask(&text, &format!("--exclude {first}"));
    assert_eq!(without["hits"].as_array().unwrap()[..29], hits[1..]);

    let wrong =
        |filter: &str, says: &[&str]| drop(run(dir.path(), &words(filter, "")).fails(2, says));
    wrong("yaer==3", &["unknown attribute \"yaer\"", "did you mean \"year\""]);
    wrong("year==)", &["column 7"]);
    wrong("year==\"x\"", &["\"year\" is i64"]);
}

#[test]
fn query_refuses_what_cannot_be_asked() {
    let dir = with_index();
    run(dir.path(), "query index --vector 1,2").fails(2, &["2 components", "12"]);
    run(dir.path(), "query index --vector 1,zwei").fails(2, &["component 1", "zwei"]);
    run(dir.path(), "query index --item 1").fails(65, &["no item 1"]);
    run(dir.path(), "query index --item 0 --attributes colour")
        .fails(2, &["colour", "title, year"]);
    run(dir.path(), "query index --item 0 --k 0").fails(2, &["k is 0"]);
    run(dir.path(), "query index --vectors queries.npy --row 50").fails(2, &["--row 0 to 49"]);
    run_with_input(dir.path(), "query index", "").fails(2, &["empty"]);
}
