//! Descriptions, probes, metrics, the OpenAPI document, the page; what a server refuses to start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vicinage::server::{ServeError, ServerConfig, openapi, serve};

use crate::client::Client;
use crate::fixture::{DIM, N, SEARCH, Server, config, id, query, toy};

fn wait_ready(server: &Server) -> Value {
    loop {
        let reply = Client::connect(server.admin).get("/readyz");
        if reply.status == 200 {
            return reply.json();
        }
        assert_eq!(reply.status, 503);
        let progress = reply.json();
        assert_eq!(progress["status"], "warming");
        let index = &progress["indexes"][0];
        assert!(index["bytes_done"].as_u64().unwrap() <= index["bytes_total"].as_u64().unwrap());
        std::thread::yield_now();
    }
}

#[test]
fn ready_comes_when_every_index_is_warm() {
    let server = Server::start(config());
    assert_eq!(Client::connect(server.admin).get("/livez").status, 200);
    let ready = wait_ready(&server);
    assert_eq!(ready["status"], "ready");
    let index = &ready["indexes"][0];
    assert_eq!((&index["name"], &index["ready"]), (&json!("toy"), &json!(true)));
    assert!(index["bytes_total"].as_u64().unwrap() >= (N * DIM * 4) as u64);
    assert_eq!(index["bytes_done"], index["bytes_total"]);
    assert_eq!(server.metric("vicinage_index_ready{index=\"toy\"}"), 1.0);
}

#[test]
fn indexes_are_listed_and_described_without_their_paths() {
    let server = Server::start(config());
    wait_ready(&server);
    let mut client = server.client();
    let list = client.get("/v1/indexes").json();
    let summary = json!({ "name": "toy", "n": N, "dim": DIM, "metric": "ip", "element": "f32",
        "generation": 1, "space_id": null, "ready": true, "examples": 64 });
    assert_eq!(list, json!({ "indexes": [summary] }));
    let reply = client.get("/v1/indexes/toy");
    let detail = reply.json();
    for (field, value) in summary.as_object().unwrap() {
        assert_eq!(detail[field], *value);
    }
    let kinds: Vec<_> = detail["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attribute| (attribute["name"].clone(), attribute["kind"].clone()))
        .collect();
    assert_eq!(
        json!(kinds),
        json!([
            ["title", "category"],
            ["tags", "tags"],
            ["year", "i64"],
            ["weight", "f64"],
            ["open", "bool"],
            ["seen", "timestamp"]
        ])
    );
    assert_eq!(detail["levels"][0], N);
    assert_eq!(detail["build"]["builder"], "hnsw");
    assert_eq!(detail["memory"]["load"], "mmap");
    assert!(detail["self_check"]["recall_distance"].as_f64().unwrap() > 0.9);
    assert!(!reply.text().contains(crate::fixture::root().to_str().unwrap()));
}

#[test]
fn examples_come_in_pages_and_can_be_searched_with() {
    let server = Server::start(config());
    let mut client = server.client();
    let page = client.get("/v1/indexes/toy/examples?from=60&count=20").json();
    assert_eq!((&page["total"], &page["from"]), (&json!(64), &json!(60)));
    let examples = page["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 4);
    assert_eq!(examples[0]["label"], "member 60");
    assert_eq!(examples[0]["lines"], json!(["line of 60"]));
    let bytes: Vec<u8> = query(60).iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(examples[0]["vector_b64"], STANDARD.encode(bytes));
    assert_eq!(
        client.get("/v1/indexes/toy/examples").json()["examples"].as_array().unwrap().len(),
        20
    );
    let beyond = client.get("/v1/indexes/toy/examples?from=18446744073709551615").json();
    assert_eq!(beyond["examples"], json!([]));
}

#[test]
fn metrics_count_what_happened_and_only_for_indexes_that_exist() {
    let server = Server::start(config());
    let mut client = server.client();
    let body = format!("{{\"queries\":[{{\"item_id\":{0}}},{{\"item_id\":{0}}}],\"k\":1}}", id(0));
    for _ in 0..3 {
        assert_eq!(client.post(SEARCH, &body).status, 200);
    }
    assert_eq!(client.post(SEARCH, "{}").status, 422);
    for at in 0..50 {
        assert_eq!(client.post(&format!("/v1/indexes/made-up-{at}/search"), &body).status, 404);
    }
    let count = |sample: &str| server.metric(sample);
    assert_eq!(count("vicinage_requests_total{index=\"toy\",code=\"200\"}"), 3.0);
    assert_eq!(count("vicinage_requests_total{index=\"toy\",code=\"422\"}"), 1.0);
    assert_eq!(count("vicinage_requests_total{index=\"\",code=\"404\"}"), 50.0);
    assert_eq!(count("vicinage_visited_nodes_count{index=\"toy\"}"), 6.0);
    for (stage, calls) in [("queue", 4.0), ("parse", 3.0), ("search", 3.0), ("serialise", 3.0)] {
        let sample = format!("vicinage_request_seconds_count{{index=\"toy\",stage=\"{stage}\"}}");
        assert_eq!(count(&sample), calls, "{stage}");
    }
    assert_eq!(count("vicinage_inflight"), 0.0);
    assert_eq!(count("vicinage_shed_total"), 0.0);
    assert!(count("vicinage_page_faults_total{kind=\"minor\"}") > 0.0);
    assert!(count("vicinage_page_faults_total{kind=\"major\"}") >= 0.0);
    assert!(count("vicinage_resident_bytes") > 1e6);
    assert_eq!(
        count(&format!("vicinage_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))),
        1.0
    );
    let reply = Client::connect(server.admin).get("/metrics");
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(!reply.text().contains("made-up"));
    assert!(reply.text().ends_with("# EOF\n"));
}

#[test]
fn the_two_ports_do_not_answer_for_each_other() {
    let server = Server::start(config());
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.client().get(path).status, 404);
    }
    for path in ["/", "/v1/indexes", "/v1/indexes/toy", "/openapi.json"] {
        let reply = Client::connect(server.admin).get(path);
        assert_eq!(reply.json()["code"], "ROUTE_NOT_FOUND");
    }
}

#[test]
fn the_openapi_document_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/openapi.json");
    let document = openapi() + "\n";
    if std::env::var_os("VICINAGE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == document,
        "the API has changed; if that is meant, run again with VICINAGE_UPDATE_SNAPSHOTS=1 and \
         review the difference in {}",
        path.display()
    );
    let server = Server::start(config());
    let reply = server.client().get("/openapi.json");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.text() + "\n", document);
}

#[test]
fn replies_have_the_fields_that_the_document_promises() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let schema = |name: &str| -> Vec<String> {
        let schema = &document["components"]["schemas"][name];
        let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{schema}"));
        properties.keys().cloned().collect()
    };
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let server = Server::start(config());
    let mut client = server.client();
    let query = format!("\"queries\":[{{\"item_id\":{}}}]", id(0));
    let more = "\"filter\":\"open == true\",\"explain\":true";
    let body = format!("{{{query},\"k\":1,\"target_recall\":0.9,{more}}}");
    let reply = client.post(SEARCH, &body).json();
    assert_eq!(keys(&reply), schema("SearchReply"));
    assert_eq!(keys(&reply["effort"]), schema("Effort"));
    assert_eq!(keys(&reply["results"][0]), schema("QueryResult"));
    assert_eq!(keys(&reply["results"][0]["account"]), schema("Account"));
    assert_eq!(keys(&reply["results"][0]["explain"]), schema("Explain"));
    assert_eq!(keys(&reply["took_us"]), schema("Took"));
    assert_eq!(keys(&client.post(SEARCH, "{}").json()), schema("Problem"));
    assert_eq!(keys(&client.get("/v1/indexes").json()["indexes"][0]), schema("IndexSummary"));
    let detail = client.get("/v1/indexes/toy").json();
    assert_eq!(keys(&detail["build"]), schema("BuildDetail"));
    assert_eq!(keys(&detail["self_check"]), schema("SelfCheck"));
    assert_eq!(keys(&detail["calibration"]), schema("Calibration"));
    assert_eq!(keys(&detail["calibration"]["efforts"][0]), schema("Calibrated"));
    assert_eq!(keys(&detail["memory"]), schema("Memory"));
    let examples = client.get("/v1/indexes/toy/examples").json();
    assert_eq!(keys(&examples), schema("ExampleList"));
    assert_eq!(keys(&examples["examples"][0]), schema("ExampleQuery"));
}

#[test]
fn the_page_is_whole_and_fetches_nothing_from_elsewhere() {
    let server = Server::start(config());
    let mut client = server.client();
    for (path, kind) in
        [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
    {
        let reply = client.get(path);
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").unwrap().starts_with(kind));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
        assert!(!policy.contains("unsafe"));
        let text = reply.text().replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"));
    }
}

/// Signals are caught once their future was polled: one that comes right after the server is ready must
/// not be lost.
#[test]
fn what_stops_a_server_is_heeded_before_it_says_that_it_is_ready() {
    let polled = AtomicBool::new(false);
    let stopped = async { polled.store(true, Ordering::Relaxed) };
    let ready = |_, _| assert!(polled.load(Ordering::Relaxed), "ready before it can be stopped");
    serve(&config(), vec![toy()], ready, stopped).unwrap();
}

/// Sets one limit.
type Set = fn(&mut ServerConfig, usize);

#[test]
fn a_server_refuses_to_start_with_settings_that_cannot_be_meant() {
    let refused = |config: ServerConfig, indexes| {
        serve(&config, indexes, |_, _| panic!("started"), std::future::ready(())).unwrap_err()
    };
    let remote = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = refused(ServerConfig { bind: remote, ..config() }, vec![]);
    assert!(matches!(error, ServeError::Remote { name: "--bind", .. }), "{error}");
    let error = refused(ServerConfig { admin: remote, ..config() }, vec![]);
    assert!(matches!(error, ServeError::Remote { name: "--admin", .. }), "{error}");
    let limits: [(&str, usize, usize, Set); 6] = [
        ("--max-body", 1 << 10, 1 << 30, |config, value| config.limits.max_body_bytes = value),
        ("--max-k", 1, 100_000, |config, value| config.limits.max_k = value),
        ("--max-queries", 1, 65_536, |config, value| config.limits.max_queries = value),
        ("--max-concurrent", 1, 65_536, |config, value| config.max_concurrent = value),
        ("--search-threads", 1, 1_024, |config, value| config.search_threads = value),
        ("--http-threads", 1, 64, |config, value| config.http_threads = value),
    ];
    for (flag, min, max, set) in limits {
        for (value, good) in [(min - 1, false), (min, true), (max, true), (max + 1, false)] {
            let mut config = config();
            set(&mut config, value);
            match config.check() {
                Ok(()) => assert!(good, "{flag} {value}"),
                Err(ServeError::Limit { name, .. }) => assert!(!good && name == flag),
                Err(error) => panic!("{error}"),
            }
        }
    }
    for name in ["", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(129)] {
        let mut index = toy();
        index.name = name.to_owned();
        assert!(matches!(refused(config(), vec![index]), ServeError::Name { .. }));
    }
    assert!(matches!(refused(config(), vec![toy(), toy()]), ServeError::DuplicateName { .. }));
    let mut index = toy();
    index.examples[5].vector.pop();
    assert!(matches!(refused(config(), vec![index]), ServeError::Example { at: 5, .. }));
    let server = Server::start(config());
    let error = refused(ServerConfig { bind: server.data, ..config() }, vec![]);
    assert!(matches!(error, ServeError::Bind { .. }), "{error}");
}
