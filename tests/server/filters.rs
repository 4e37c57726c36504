//! Filters and excluded items in search calls, against a naive oracle.

use serde_json::{Value, json};

use crate::fixture::{N, SEARCH, Server, config, id, oracle, query};

/// Ids of the best items of query `at` among the rows that pass.
fn best(at: usize, k: usize, passes: impl Fn(usize) -> bool) -> Vec<u64> {
    let all = oracle(query(at), N, None).into_iter().map(|(id, _)| id);
    all.filter(|&item| passes(row(item))).take(k).collect()
}

fn row(item: u64) -> usize {
    ((item - id(0)) / 2) as usize
}

fn call(server: &Server, at: usize, more: &Value) -> Value {
    let mut body = json!({ "queries": [{ "vector": query(at) }], "k": 10 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = server.client().post(SEARCH, &body.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["results"][0].clone()
}

fn ids(result: &Value) -> Vec<u64> {
    result["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// A filter as it stands in a call, and the rows that pass it.
type Case = (Value, fn(usize) -> bool);

fn cases() -> Vec<Case> {
    vec![
        (json!({"eq": {"open": true}}), |row| row % 2 == 0),
        (json!("open == true"), |row| row % 2 == 0),
        (json!({"and": [{"has": {"tags": "tag2"}}, {"range": {"year": {"lt": 3900}}}]}), |row| {
            row % 4 == 3 && row < 2000
        }),
        (json!("tags has 'tag2' and year < 3900"), |row| row % 4 == 3 && row < 2000),
        (json!("title is null and not open == true"), |row| row % 7 == 0 && row % 2 == 1),
        (json!("10 <= weight <= 11"), |row| (40..=44).contains(&row)),
        (json!({"and": []}), |_| true),
        (json!({"or": []}), |_| false),
    ]
}

#[test]
fn a_filter_in_either_notation_gives_the_best_of_what_passes() {
    let server = Server::start(config());
    for (filter, passes) in cases() {
        let matches = (0..N).filter(|&row| passes(row)).count();
        for at in 0..3 {
            let result = call(&server, at, &json!({ "filter": filter, "ef": N }));
            assert_eq!(ids(&result), best(at, 10, passes), "{filter}");
            assert_eq!(result["account"]["matches"], matches, "{filter}");
            assert_eq!(result["explain"], Value::Null);
        }
    }
    // Each filter was worked out once, and its queries were counted by what was done.
    let plans = ["all", "exact", "two-hop", "walk"].map(|plan| {
        let labels = format!("index=\"toy\",plan=\"{plan}\"");
        server.metric(&format!("vicinage_queries_total{{{labels}}}"))
    });
    assert_eq!(plans.iter().sum::<f64>(), 3.0 * cases().len() as f64);
    assert!(plans[0] >= 6.0, "few pass: {plans:?}");
}

#[test]
fn excluded_items_do_not_come_back_with_a_filter_or_without() {
    let server = Server::start(config());
    let first = best(0, 25, |_| true);
    // Twice the same, and one that the index does not hold.
    let mut exclude = first.clone();
    exclude.extend([first[0], 5]);
    let result = call(&server, 0, &json!({ "exclude": exclude, "ef": N }));
    assert_eq!(ids(&result), best(0, 10, |row| !first.contains(&id(row))));
    assert_eq!(result["account"]["matches"], N - 25);

    let result = call(&server, 0, &json!({ "exclude": exclude, "filter": "open == true" }));
    let passes = |row: usize| row.is_multiple_of(2) && !first.contains(&id(row));
    assert_eq!(ids(&result), best(0, 10, passes));
    assert_eq!(result["account"]["matches"], (0..N).filter(|&row| passes(row)).count());

    // "More like this" among some: without the item itself.
    let like = json!({ "queries": [{ "item_id": id(4) }], "filter": "weight < 3", "k": 20 });
    let result = call(&server, 0, &like);
    let mut found = ids(&result);
    found.sort_unstable();
    let others = (0..12).filter(|&row| row != 4).map(id);
    assert!(found.into_iter().eq(others), "{result}");
}

#[test]
fn an_explanation_says_what_each_way_would_cost() {
    let server = Server::start(config());
    let result = call(&server, 0, &json!({ "filter": "open == true", "explain": true }));
    let explain = &result["explain"];
    assert_eq!(explain["pass_rate"], 0.5);
    for way in ["exact_us", "two_hop_us", "walk_us"] {
        assert!(explain[way].as_f64().unwrap() > 0.0, "{explain}");
    }
    // Without a filter there was nothing to choose from.
    assert_eq!(call(&server, 0, &json!({ "explain": true }))["explain"], Value::Null);
}
