//! Of what embedding space vectors are: what calls may leave out, and what is refused.

use std::sync::Arc;

use serde_json::{Value, json};
use vicinage::builder::BuildParams;
use vicinage::index::{Index, LoadMode, Normalization, Space, SpacePolicy, Tower};
use vicinage::server::{ServeError, ServedIndex, ServerConfig, Shutdown, serve};
use vicinage::types::Metric;

use crate::common::{MemorySource, build_quick, quick};
use crate::fixture::{DIM, SEARCH, Server, config, items, query, toy};

const ID: &str = "toy@7/ip/32/none";

/// A smaller toy that says of what space it is.
fn paired() -> ServedIndex {
    let dir = tempfile::tempdir().unwrap();
    let space = Space {
        family: "toy".to_owned(),
        checkpoint: "7".to_owned(),
        dim: DIM as u32,
        normalization: Normalization::None,
        metric: Metric::Ip,
        tower: Tower::Item,
    };
    let source = MemorySource::new(items()[..200 * DIM].to_vec(), DIM);
    let params = BuildParams { space: Some(space), ..quick(Metric::Ip) };
    build_quick(dir.path(), source, &params);
    // What is mapped stays when the files are gone.
    let index = Index::open(dir.path(), LoadMode::Mmap).unwrap();
    let (name, index) = ("toy".to_owned(), Arc::new(index));
    ServedIndex { name, index, load: LoadMode::Mmap, examples: Vec::new() }
}

fn call(space_id: Option<&str>) -> String {
    let mut call = json!({"queries": [{"vector": query(0)}], "k": 3});
    if let Some(id) = space_id {
        call["space_id"] = json!(id);
    }
    call.to_string()
}

/// Status, and the code of the problem or the text of the warning.
fn ask(server: &Server, body: &str) -> (u16, Value) {
    let reply = server.client().post(SEARCH, body);
    let json = reply.json();
    let told = if reply.status == 200 { json["warning"].clone() } else { json["code"].clone() };
    if reply.status != 200 {
        assert_eq!(json["errors"][0]["pointer"], "/space_id", "{json}");
    }
    (reply.status, told)
}

#[test]
fn the_policy_decides_what_a_call_may_leave_out() {
    let start = |space_policy| {
        Server::start_with(ServerConfig { space_policy, ..config() }, vec![paired()])
    };
    let other = "toy@8/ip/32/none";
    let server = start(SpacePolicy::Warn);
    assert_eq!(ask(&server, &call(Some(ID))), (200, Value::Null));
    assert_eq!(ask(&server, &call(Some(other))), (422, json!("SPACE_MISMATCH")));
    assert_eq!(server.metric("vicinage_unpaired_total{index=\"toy\"}"), 0.0);
    let (status, warning) = ask(&server, &call(None));
    assert!(status == 200 && warning.as_str().unwrap().contains(ID), "{warning}");
    assert_eq!(server.metric("vicinage_unpaired_total{index=\"toy\"}"), 1.0);
    // Vectors of the index itself are of its space.
    let similar = json!({"queries": [{"item_id": 3}], "k": 3}).to_string();
    assert_eq!(ask(&server, &similar), (200, Value::Null));
    let reply = server.client().post(SEARCH, &call(Some(ID))).json();
    assert_eq!(reply["space_id"], ID);
    let detail = server.client().get("/v1/indexes/toy").json();
    assert_eq!(detail["space_id"], ID);

    let server = start(SpacePolicy::Required);
    assert_eq!(ask(&server, &call(Some(ID))), (200, Value::Null));
    assert_eq!(ask(&server, &call(Some(other))), (422, json!("SPACE_MISMATCH")));
    assert_eq!(ask(&server, &call(None)), (422, json!("SPACE_REQUIRED")));
    assert_eq!(ask(&server, &similar), (200, Value::Null));

    let server = start(SpacePolicy::Ignore);
    for space_id in [Some(ID), Some(other), None] {
        assert_eq!(ask(&server, &call(space_id)), (200, Value::Null));
    }
}

#[test]
fn an_index_without_a_space_cannot_require_one() {
    let (shutdown, stopped) = Shutdown::new();
    let config = ServerConfig { space_policy: SpacePolicy::Required, ..config() };
    let refused = serve(&config, vec![toy()], |_, _| panic!("it started"), stopped);
    assert!(matches!(refused, Err(ServeError::NoSpace { name }) if name == "toy"));
    drop(shutdown);
    let server = Server::start(self::config());
    assert_eq!(ask(&server, &call(None)), (200, Value::Null));
    let (status, warning) = ask(&server, &call(Some(ID)));
    assert!(status == 200 && warning.as_str().unwrap().contains("without a space"), "{warning}");
    assert_eq!(server.client().post(SEARCH, &call(None)).json()["space_id"], Value::Null);
}
