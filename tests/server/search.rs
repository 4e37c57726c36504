//! What a search answers, against a naive oracle.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixture::{DIM, N, SEARCH, Server, config, id, items, oracle, query, title};

fn ids(result: &Value) -> Vec<u64> {
    result["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

fn check(result: &Value, expected: &[(u64, f64)]) {
    assert_eq!(ids(result), expected.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    for (score, (_, exact)) in result["scores"].as_array().unwrap().iter().zip(expected) {
        assert!((score.as_f64().unwrap() - exact).abs() < 1e-4, "{score} for {exact}");
    }
}

#[test]
fn an_exact_search_is_the_oracle() {
    let server = Server::start(config());
    let queries: Vec<Value> = (0..8).map(|at| json!({ "vector": query(at) })).collect();
    let body = json!({ "queries": queries, "k": 10, "exact": true }).to_string();
    let reply = server.client().post(SEARCH, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let reply = reply.json();
    assert_eq!(reply["results"].as_array().unwrap().len(), 8);
    for (at, result) in reply["results"].as_array().unwrap().iter().enumerate() {
        check(result, &oracle(query(at), 10, None));
        assert_eq!(result["account"]["plan"], "exact");
        assert_eq!(result["account"]["exact"], true);
        assert_eq!(result["account"]["matches"], N);
        assert_eq!(result["account"]["truncated_by"], Value::Null);
        assert_eq!(result["attributes"], json!({}));
    }
    assert_eq!(reply["generation"], 1);
    assert!(reply["took_us"]["search"].as_u64().unwrap() > 0);
    assert!(reply["took_us"]["queue"].is_u64());
}

#[test]
fn a_walk_with_a_large_ef_finds_what_exact_finds() {
    let server = Server::start(config());
    let mut client = server.client();
    for at in 0..16 {
        let mut body = json!({ "queries": [{ "vector": query(at) }], "k": 10, "ef": N / 10 });
        let walk = client.post(SEARCH, &body.to_string()).json();
        assert_eq!(walk["results"][0]["account"]["plan"], "walk");
        body["exact"] = json!(true);
        let exact = client.post(SEARCH, &body.to_string()).json();
        assert_eq!(walk["results"][0]["ids"], exact["results"][0]["ids"]);
    }
}

#[test]
fn a_target_recall_is_answered_with_the_effort_that_was_measured() {
    let server = Server::start(config());
    let mut client = server.client();
    let queries: Vec<Value> = (0..64).map(|at| json!({ "vector": query(at) })).collect();
    let (mut work, mut found) = (Vec::new(), Vec::new());
    for target in [0.7, 0.95] {
        let body = json!({ "queries": queries, "k": 10, "target_recall": target });
        let reply = client.post(SEARCH, &body.to_string()).json();
        let effort = &reply["effort"];
        let names: Vec<&String> = effort.as_object().unwrap().keys().collect();
        assert_eq!(names, ["calibrated_on", "ef", "expected_recall", "rerank", "slack"]);
        assert_eq!(effort["calibrated_on"], "items");
        assert!(effort["ef"].as_u64().unwrap() >= 1);
        let results = reply["results"].as_array().unwrap();
        let distances = |result: &Value| result["account"]["distances"].as_u64().unwrap();
        work.push(results.iter().map(distances).sum::<u64>());
        let hits = (0..64).zip(results).map(|(at, result)| {
            let exact = oracle(query(at), 10, None);
            ids(result).iter().filter(|id| exact.iter().any(|(true_id, _)| true_id == *id)).count()
        });
        found.push(hits.sum::<usize>());
        let told = client.get("/v1/indexes/toy").json()["calibration"].clone();
        assert_eq!(
            (&told["queries_from"], &told["efforts"][1]["k"]),
            (&json!("items"), &json!(10))
        );
        assert!(told["efforts"][1]["expected_recall"].as_f64().unwrap() > 0.9, "{told}");
    }
    assert!(work[0] < work[1] && found[0] < found[1], "{work:?} {found:?}");
    // Queries of another kind than the items: short of the target, but not by much here.
    assert!(found[1] > 64 * 10 * 8 / 10, "{found:?}");
    let body = json!({ "queries": queries, "k": 10 }).to_string();
    assert_eq!(client.post(SEARCH, &body).json().get("effort"), None);
}

#[test]
fn base64_numbers_and_floats_that_need_every_digit_are_the_same_query() {
    let server = Server::start(config());
    let mut client = server.client();
    for at in 0..16 {
        let bytes: Vec<u8> = query(at).iter().flat_map(|x| x.to_le_bytes()).collect();
        let numbers = json!({ "queries": [{ "vector": query(at) }], "k": 20 });
        let base64 = json!({ "queries": [{ "vector_b64": STANDARD.encode(bytes) }], "k": 20 });
        // A solidus may be escaped in JSON.
        let escaped = base64.to_string().replace('/', "\\/");
        let answers = [numbers.to_string(), base64.to_string(), escaped]
            .map(|body| client.post(SEARCH, &body).json()["results"].clone());
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[test]
fn an_item_finds_its_neighbors_but_not_itself() {
    let server = Server::start(config());
    let mut client = server.client();
    for row in [0, 1, 17, N - 1] {
        let body = json!({ "queries": [{ "item_id": id(row) }], "k": 10, "exact": true });
        let reply = client.post(SEARCH, &body.to_string()).json();
        let vector = &items()[row * DIM..][..DIM];
        check(&reply["results"][0], &oracle(vector, 10, Some(id(row))));
    }
}

#[test]
fn attributes_come_as_columns_of_the_items_returned() {
    let server = Server::start(config());
    let names = ["title", "tags", "year", "weight", "open", "seen"];
    let body = json!({ "queries": [{ "vector": query(0) }], "k": 50, "attributes": names });
    let reply = server.client().post(SEARCH, &body.to_string()).json();
    let result = &reply["results"][0];
    assert_eq!(result["attributes"].as_object().unwrap().len(), names.len());
    for (at, id) in ids(result).into_iter().enumerate() {
        let row = ((id - crate::fixture::FIRST_ID) / 2) as usize;
        let value = |name: &str| &result["attributes"][name][at];
        let expected = if row.is_multiple_of(7) { Value::Null } else { json!(title(row)) };
        assert_eq!(*value("title"), expected);
        let tags: Vec<String> = (0..row % 4).map(|tag| format!("tag{tag}")).collect();
        assert_eq!(*value("tags"), json!(tags));
        assert_eq!(*value("year"), json!(1_900 + row));
        assert_eq!(*value("weight"), json!(row as f64 / 4.0));
        assert_eq!(*value("open"), json!(row.is_multiple_of(2)));
        let (seconds, half) = (row * 3 / 2, row % 2 == 1);
        let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let fraction = if half { ".5" } else { "" };
        assert_eq!(*value("seen"), json!(format!("1970-01-01T{h:02}:{m:02}:{s:02}{fraction}Z")));
    }
}

#[test]
fn only_the_attributes_asked_for_come_back() {
    let server = Server::start(config());
    let body = json!({ "queries": [{ "vector": query(0) }], "k": 3, "attributes": ["year"] });
    let reply = server.client().post(SEARCH, &body.to_string()).json();
    let attributes = reply["results"][0]["attributes"].as_object().unwrap().clone();
    assert_eq!(attributes.keys().collect::<Vec<_>>(), ["year"]);
    assert_eq!(attributes["year"].as_array().unwrap().len(), 3);
}

#[test]
fn k_larger_than_the_index_returns_everything_once() {
    let server = Server::start(config());
    let body = json!({ "queries": [{ "vector": query(0) }], "k": 10_000 }).to_string();
    let reply = server.client().post(SEARCH, &body).json();
    let mut found = ids(&reply["results"][0]);
    found.sort_unstable();
    assert_eq!(found, (0..N).map(id).collect::<Vec<_>>());
}

#[test]
fn concurrent_calls_get_their_own_answers() {
    let server = Server::start(config());
    let expected: Vec<_> = (0..64).map(|at| oracle(query(at), 5, None)).collect();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                let mut client = server.client();
                for round in 0..64 {
                    let at = (thread * 7 + round) % 64;
                    let body = json!({ "queries": [{ "vector": query(at) }], "k": 5,
                        "exact": true });
                    let reply = client.post(SEARCH, &body.to_string());
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    check(&reply.json()["results"][0], &expected[at]);
                }
            });
        }
    });
    assert_eq!(server.metric("vicinage_requests_total{index=\"toy\",code=\"200\"}"), 1_024.0);
}
