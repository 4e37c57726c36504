//! Every refusal: its status, its code, and the pointer to what is wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Reply;
use crate::fixture::{DIM, SEARCH, Server, config, id, query, uncalibrated};

/// Checks a problem document; `pointer` is that of its first fault, if it has any.
fn check(reply: &Reply, status: u16, code: &str, pointer: Option<&str>, instance: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:vicinage:problem:{code}"));
    assert_eq!(problem["instance"], instance);
    assert!(!problem["title"].as_str().unwrap().is_empty());
    assert!(!problem["detail"].as_str().unwrap().is_empty());
    assert_eq!(reply.header("x-request-id"), problem["request_id"].as_str());
    let faults = problem["errors"].as_array().unwrap();
    assert_eq!(
        faults.first().map(|fault| fault["pointer"].as_str().unwrap()),
        pointer,
        "{problem}"
    );
}

/// `count` numbers as a JSON array.
fn vector(count: usize) -> String {
    format!("[{}]", vec!["0.5"; count].join(","))
}

/// A good vector with component `at` replaced by some text.
fn vector_with(at: usize, text: &str) -> String {
    let mut numbers = vec!["0.5"; DIM];
    numbers[at] = text;
    format!("[{}]", numbers.join(","))
}

/// Sends bodies in which `GOOD` stands for a good vector, all over one connection.
fn check_all(cases: &[(&str, &str)], status: u16, code: &str) {
    let server = Server::start(config());
    let mut client = server.client();
    let good = vector(DIM);
    for (body, pointer) in cases {
        let reply = client.post(SEARCH, &body.replace("GOOD", &good));
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
        let pointer = (code != "INVALID_JSON").then_some(*pointer);
        check(&reply, status, code, pointer, SEARCH);
    }
    // The connection has survived all of it.
    let good = format!("{{\"queries\":[{{\"vector\":{good}}}],\"k\":1}}");
    assert_eq!(client.post(SEARCH, &good).status, 200);
}

#[test]
fn what_is_not_json_is_400() {
    let component =
        |text: &str| format!("{{\"queries\":[{{\"vector\":{}}}],\"k\":1}}", vector_with(1, text));
    let cases = [
        "",
        "{",
        r#"{"queries":[{"vector":GOOD}],"k":1} x"#,
        "\u{1}",
        r#"{"queries":[{"vector":GOOD}],"k":1"#,
        // JSON has no words for these, and no number may exceed a double.
        &component("NaN"),
        &component("Infinity"),
        &component("1e999"),
    ];
    check_all(&cases.map(|body| (body, "")), 400, "INVALID_JSON");
}

#[test]
fn fields_that_cannot_be_are_422_with_their_pointer() {
    let cases = [
        ("[]", ""),
        ("{}", ""),
        (r#"{"queries":[{"vector":GOOD}]}"#, ""),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"k":1}"#, ""),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"kk":2}"#, "/kk"),
        (r#"{"queries":[{"vector":GOOD,"x/y":1}],"k":1}"#, "/queries/0/x~1y"),
        (r#"{"queries":[{"vector":GOOD}],"k":-1}"#, "/k"),
        (r#"{"queries":[{"vector":GOOD}],"k":1.5}"#, "/k"),
        (r#"{"queries":[{"vector":GOOD}],"k":"1"}"#, "/k"),
        (r#"{"queries":[{"vector":GOOD}],"k":0}"#, "/k"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"ef":0}"#, "/ef"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"target_recall":1.1}"#, "/target_recall"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"target_recall":-0.1}"#, "/target_recall"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"target_recall":"most"}"#, "/target_recall"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"ef":9,"target_recall":0.9}"#, "/target_recall"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"exact":1}"#, "/exact"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"timeout_ms":0}"#, "/timeout_ms"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"attributes":["title","no"]}"#, "/attributes/1"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"attributes":["open","open"]}"#, "/attributes/1"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"filter":7}"#, "/filter"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"filter":"open = tru"}"#, "/filter"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"filter":"opne = true"}"#, "/filter"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"filter":"title = '\ud800'"}"#, "/filter"),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"filter":{"eq":{"opne":true}}}"#, "/filter/eq/opne"),
        (
            r#"{"queries":[{"vector":GOOD}],"k":1,"filter":{"and":[{"eq":{"open":1}}]}}"#,
            "/filter/and/0/eq/open",
        ),
        (r#"{"queries":[{"vector":GOOD}],"k":1,"exclude":[-1]}"#, "/exclude/0"),
        (r#"{"queries":[],"k":1}"#, "/queries"),
        (r#"{"queries":[{}],"k":1}"#, "/queries/0"),
        (r#"{"queries":[{"vector":GOOD},{"vector":GOOD,"item_id":1}],"k":1}"#, "/queries/1"),
        (r#"{"queries":[{"item_id":-1}],"k":1}"#, "/queries/0/item_id"),
        (r#"{"queries":[{"item_id":18446744073709551616}],"k":1}"#, "/queries/0/item_id"),
    ];
    check_all(&cases, 422, "INVALID_ARGUMENT");
}

/// A pointer ends at a string, so what is wrong in a filter's text is told in words.
#[test]
fn a_place_in_the_text_of_a_filter_is_told_in_words() {
    let server = Server::start(config());
    let mut client = server.client();
    for (text, words) in [
        ("open = true\nand year => 1", "filter, at line 2, column 10: unknown operator"),
        ("open = true and yaer > 1", "filter, in yaer > 1 (JSON: /and/1/range/yaer): unknown"),
    ] {
        let body = json!({"queries": [{"vector": query(0)}], "k": 3, "filter": text});
        let reply = client.post(SEARCH, &body.to_string());
        check(&reply, 422, "INVALID_ARGUMENT", Some("/filter"), SEARCH);
        assert!(reply.text().contains(words), "{}", reply.text());
    }
}

#[test]
fn a_recall_of_an_index_without_calibration_is_422_unless_the_search_is_exact() {
    let server = Server::start_with(config(), vec![uncalibrated()]);
    let body = |exact: bool| json!({"queries": [{"vector": query(0)}], "k": 3, "target_recall": 0.9, "exact": exact});
    let mut client = server.client();
    let reply = client.post(SEARCH, &body(false).to_string());
    check(&reply, 422, "INVALID_ARGUMENT", Some("/target_recall"), SEARCH);
    assert!(reply.text().contains("without calibration"), "{}", reply.text());
    let exact = client.post(SEARCH, &body(true).to_string());
    assert_eq!((exact.status, exact.json().get("effort")), (200, None));
    assert_eq!(client.get("/v1/indexes/toy").json()["calibration"], Value::Null);
}

#[test]
fn vectors_that_cannot_be_searched_are_422_with_their_pointer() {
    let numbers =
        |text: &str| format!("{{\"queries\":[{{\"vector\":GOOD}},{{\"vector\":{text}}}],\"k\":1}}");
    let base64 = |floats: &[f32], cut: usize| {
        let bytes: Vec<u8> = floats.iter().flat_map(|number| number.to_le_bytes()).collect();
        let text = STANDARD.encode(&bytes[..bytes.len() - cut]);
        format!("{{\"queries\":[{{\"vector_b64\":\"{text}\"}}],\"k\":1}}")
    };
    let mut nan = [0.5; DIM];
    nan[3] = f32::NAN;
    let cases = [
        (numbers(&vector_with(1, "\"x\"")), "/queries/1/vector/1"),
        (numbers(&vector_with(2, "null")), "/queries/1/vector/2"),
        // A number for JSON, infinite as an f32.
        (numbers(&vector_with(2, "1e39")), "/queries/1/vector/2"),
        (numbers(&vector(DIM - 1)), "/queries/1/vector"),
        (numbers(&vector(DIM + 1)), "/queries/1/vector"),
        (numbers("[]"), "/queries/1/vector"),
        (base64(query(0), 4), "/queries/0/vector_b64"),
        (base64(query(0), 1), "/queries/0/vector_b64"),
        (base64(&nan, 0), "/queries/0/vector_b64"),
        (r#"{"queries":[{"vector_b64":"?"}],"k":1}"#.to_owned(), "/queries/0/vector_b64"),
    ];
    let cases = cases.each_ref().map(|(body, pointer)| (body.as_str(), *pointer));
    check_all(&cases, 422, "INVALID_ARGUMENT");
}

#[test]
fn an_item_that_is_not_there_is_422_with_its_pointer() {
    let body = format!("{{\"queries\":[{{\"item_id\":{}}},{{\"item_id\":7}}],\"k\":1}}", id(0));
    check_all(&[(&body, "/queries/1/item_id")], 422, "ITEM_NOT_FOUND");
}

#[test]
fn several_faults_come_together() {
    let server = Server::start(config());
    let reply = server.client().post(SEARCH, "{\"queries\":[{},{}],\"k\":0,\"ef\":0}");
    let problem = reply.json();
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].clone())
        .collect();
    assert_eq!(json!(pointers), json!(["/k", "/ef", "/queries/0", "/queries/1"]));
}

#[test]
fn names_that_are_no_index_are_404_whatever_they_look_like() {
    let server = Server::start(config());
    let mut client = server.client();
    let names = [
        "nope",
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "toy%00",
        "toy%2f",
        "TOY",
        "toy%20",
        "%2e",
        "http:%2f%2fexample.com%2f",
        "toy;x",
        "%e2%82%ac",
        "'",
        "%22",
    ];
    for name in names {
        for path in [format!("/v1/indexes/{name}"), format!("/v1/indexes/{name}/examples")] {
            check(&client.get(&path), 404, "INDEX_NOT_FOUND", None, &path);
        }
        let path = format!("/v1/indexes/{name}/search");
        let reply = client.post(&path, "{\"queries\":[{\"item_id\":1}],\"k\":1}");
        check(&reply, 404, "INDEX_NOT_FOUND", None, &path);
    }
    for path in [
        "/nope",
        "/v1",
        "/v1/indexes/",
        "/v1/indexes/toy/",
        "/../etc/passwd",
        "/v1/indexes/%ff",
        "//",
        "/page.js/../x",
        "/v1/indexes/toy/search/x",
    ] {
        check(&client.get(path), 404, "ROUTE_NOT_FOUND", None, path);
    }
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let server = Server::start(config());
    let mut client = server.client();
    for (method, path, allow) in [
        ("GET", SEARCH, "POST"),
        ("DELETE", "/v1/indexes", "GET,HEAD"),
        ("POST", "/v1/indexes/toy", "GET,HEAD"),
        ("PUT", "/", "GET,HEAD"),
    ] {
        client.send(method, path, &[], b"").unwrap();
        let reply = client.receive().unwrap();
        check(&reply, 405, "METHOD_NOT_ALLOWED", None, path);
        assert_eq!(reply.header("allow"), Some(allow));
    }
}

#[test]
fn a_body_must_say_that_it_is_json() {
    let server = Server::start(config());
    let mut client = server.client();
    let body = format!("{{\"queries\":[{{\"item_id\":{}}}],\"k\":1}}", id(0));
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
    ] {
        client.send("POST", SEARCH, headers, body.as_bytes()).unwrap();
        check(&client.receive().unwrap(), 415, "UNSUPPORTED_MEDIA_TYPE", None, SEARCH);
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        client.send("POST", SEARCH, &[("content-type", kind)], body.as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().status, 200);
    }
}

#[test]
fn a_fit_request_id_is_repeated_and_an_unfit_one_replaced() {
    let server = Server::start(config());
    let mut client = server.client();
    client.send("GET", "/nope", &[("x-request-id", "abc-123")], b"").unwrap();
    assert_eq!(client.receive().unwrap().json()["request_id"], "abc-123");
    let long = "x".repeat(129);
    let mut seen = std::collections::HashSet::new();
    for headers in [&[][..], &[], &[("x-request-id", long.as_str())], &[("x-request-id", "\u{fc}")]]
    {
        client.send("GET", "/nope", headers, b"").unwrap();
        let id = client.receive().unwrap().json()["request_id"].as_str().unwrap().to_owned();
        assert!(id.len() < 64 && seen.insert(id));
    }
}

#[test]
fn examples_refuse_ranges_that_make_no_sense() {
    let server = Server::start(config());
    let mut client = server.client();
    let path = "/v1/indexes/toy/examples";
    for (query, pointer) in [
        ("from=x", "?"),
        ("from=-1", "?"),
        ("where=1", "?"),
        ("count=0", "?count"),
        ("count=101", "?count"),
    ] {
        let reply = client.get(&format!("{path}?{query}"));
        check(&reply, 422, "INVALID_ARGUMENT", Some(pointer), path);
    }
}
