//! Limits, each one below, at and above; overload, deadlines, clients that go away.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;
use vicinage::server::Limits;

use crate::client::Reply;
use crate::fixture::{LONG, SEARCH, Server, config, id, long_call, narrow_config};

fn call(queries: usize, fields: serde_json::Value) -> String {
    let mut body = json!({ "queries": vec![json!({ "item_id": id(0) }); queries], "k": 1 });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string()
}

fn refused(reply: &Reply, pointer: &str) {
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
}

#[test]
fn numbers_are_held_to_their_limits() {
    let mut config = config();
    config.limits = Limits { max_k: 50, max_queries: 5, ..Limits::default() };
    let server = Server::start(config);
    let mut client = server.client();
    for (field, largest) in [("k", 50), ("ef", 16_384), ("timeout_ms", 10_000)] {
        for good in [1, largest - 1, largest] {
            assert_eq!(client.post(SEARCH, &call(1, json!({ field: good }))).status, 200);
        }
        refused(&client.post(SEARCH, &call(1, json!({ field: 0 }))), &format!("/{field}"));
        refused(
            &client.post(SEARCH, &call(1, json!({ field: largest + 1 }))),
            &format!("/{field}"),
        );
    }
    for good in [1, 4, 5] {
        assert_eq!(client.post(SEARCH, &call(good, json!({}))).status, 200);
    }
    refused(&client.post(SEARCH, &call(6, json!({}))), "/queries");
}

#[test]
fn a_call_returns_a_million_items_at_most() {
    let server = Server::start(config());
    let mut client = server.client();
    // The index holds fewer items than k, so that these are small; the limit is on what is asked.
    assert_eq!(client.post(SEARCH, &call(100, json!({ "k": 10_000 }))).status, 200);
    refused(&client.post(SEARCH, &call(101, json!({ "k": 10_000 }))), "/k");
}

#[test]
fn bodies_are_held_to_their_limit_with_and_without_a_declared_length() {
    let mut config = config();
    config.limits.max_body_bytes = 4_096;
    let server = Server::start(config);
    let small = call(1, json!({}));
    for (length, status) in [(4_095, 200), (4_096, 200), (4_097, 413), (1 << 20, 413)] {
        let body = small.clone() + &" ".repeat(length - small.len());
        // The server stops listening once it has seen enough: a send may fail, the reply is there.
        let mut client = server.client();
        let json = [("content-type", "application/json")];
        let _ = client.send("POST", SEARCH, &json, body.as_bytes());
        let reply = client.receive().unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());

        let mut client = server.client();
        let head = format!(
            "POST {SEARCH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n{length:x}\r\n"
        );
        let _ = client.raw(&[head.as_bytes(), body.as_bytes(), b"\r\n0\r\n\r\n"].concat());
        let reply = client.receive().unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 413 {
            assert_eq!(reply.json()["code"], "BODY_TOO_LARGE");
        }
    }
}

#[test]
fn a_full_server_refuses_at_once_and_recovers() {
    let server = Server::start(narrow_config(1));
    let mut busy = server.client();
    busy.send("POST", SEARCH, &[("content-type", "application/json")], long_call(LONG).as_bytes())
        .unwrap();
    server.wait_inflight(1);
    let mut other = server.client();
    let reply = other.post(SEARCH, &call(1, json!({})));
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(reply.json()["code"], "OVERLOADED");
    // At once: the call that fills the server is still there.
    assert_eq!(server.metric("vicinage_inflight"), 1.0);
    assert_eq!(server.metric("vicinage_shed_total"), 1.0);
    // What is no search is answered all the same.
    assert_eq!(other.get("/v1/indexes").status, 200);
    assert_eq!(busy.receive().unwrap().status, 200);
    assert_eq!(other.post(SEARCH, &call(1, json!({}))).status, 200);
}

#[test]
fn a_call_whose_time_runs_out_in_the_queue_gets_504() {
    let server = Server::start(narrow_config(8));
    let mut busy = server.client();
    busy.send("POST", SEARCH, &[("content-type", "application/json")], long_call(LONG).as_bytes())
        .unwrap();
    server.wait_inflight(1);
    let reply = server.client().post(SEARCH, &call(1, json!({ "timeout_ms": 1 })));
    assert_eq!(reply.status, 504, "{}", reply.text());
    assert_eq!(reply.json()["code"], "DEADLINE_EXCEEDED");
    assert_eq!(busy.receive().unwrap().status, 200);
}

#[test]
fn a_search_whose_time_runs_out_returns_the_best_so_far() {
    let server = Server::start(narrow_config(8));
    let body = long_call(LONG).replace("\"k\":1", "\"k\":1,\"timeout_ms\":100");
    let started = Instant::now();
    let reply = server.client().post(SEARCH, &body);
    let elapsed = started.elapsed();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = reply.json();
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), LONG);
    let truncated = |at: usize| results[at]["account"]["truncated_by"] == "deadline";
    assert!(!truncated(0) && truncated(LONG - 1));
    assert_eq!(results[LONG - 1]["account"]["exact"], false);
    // Once the time has run out nothing more is searched.
    let first = (0..LONG).find(|at| truncated(*at)).unwrap();
    assert!((first..LONG).all(truncated));
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

#[test]
fn a_client_that_goes_away_takes_its_queued_work_along() {
    let server = Server::start(narrow_config(8));
    let mut running = server.client();
    let json = [("content-type", "application/json")];
    running.send("POST", SEARCH, &json, long_call(LONG).as_bytes()).unwrap();
    server.wait_inflight(1);
    let mut queued = server.client();
    queued.send("POST", SEARCH, &json, long_call(LONG).as_bytes()).unwrap();
    server.wait_inflight(2);
    drop(queued);
    assert_eq!(running.receive().unwrap().status, 200);
    server.wait_inflight(0);
    assert_eq!(server.metric("vicinage_visited_nodes_count{index=\"toy\"}"), LONG as f64);
}

#[test]
fn a_client_that_goes_away_stops_its_running_call() {
    let server = Server::start(narrow_config(8));
    let mut running = server.client();
    let json = [("content-type", "application/json")];
    running.send("POST", SEARCH, &json, long_call(LONG).as_bytes()).unwrap();
    server.wait_inflight(1);
    drop(running);
    server.wait_inflight(0);
    assert!(server.metric("vicinage_visited_nodes_count{index=\"toy\"}") < LONG as f64);
}

#[test]
fn slow_and_broken_clients_hold_nothing_that_others_need() {
    let server = Server::start(narrow_config(1));
    let head = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let mut slow: Vec<_> = (0..16).map(|_| server.client()).collect();
    for client in &mut slow {
        client.raw(head.as_bytes()).unwrap();
    }
    assert_eq!(server.client().post(SEARCH, &call(1, json!({}))).status, 200);
    // A body that ends early.
    slow[0].shutdown(Shutdown::Write);
    assert!(slow[0].receive().map_or(400, |reply| reply.status) == 400);
    // Not HTTP at all.
    let mut odd = server.client();
    odd.raw(b"\x16\x03\x01\x00\xa5\x01\r\n\r\n").unwrap();
    assert!(odd.receive().map_or(400, |reply| reply.status) == 400);
    assert_eq!(server.client().post(SEARCH, &call(1, json!({}))).status, 200);
}
