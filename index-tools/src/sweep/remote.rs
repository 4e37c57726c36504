//! A running server as an engine: what a search costs with HTTP around it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vicinage::index::{Account, Hit, Plan, SearchParams};
use vicinage::types::{Metric, NodeId};

use crate::exit::{Exit, Failure};
use crate::measure::Engine;
use crate::results::Params;
use crate::units::as_written;

/// An index behind HTTP.
pub(crate) struct Remote {
    search: String,
    /// What the server says of the index.
    pub(crate) detail: Detail,
}

/// What the server says of an index; more than is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Detail {
    pub(crate) n: u64,
    pub(crate) dim: usize,
    metric: Metric,
    pub(crate) build: Value,
    memory: Memory,
}

#[derive(Debug, Deserialize)]
struct Memory {
    file_bytes: u64,
    process_resident_bytes: Option<u64>,
}

/// A connection, and the last answer.
pub(crate) struct Session {
    agent: ureq::Agent,
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Columns>,
}

#[derive(Deserialize)]
struct Columns {
    ids: Vec<u64>,
    scores: Vec<Option<f32>>,
    account: Spent,
}

#[derive(Deserialize)]
struct Spent {
    visited: u64,
    #[serde(default)]
    distances: u64,
    exact: bool,
    matches: u64,
}

impl Remote {
    /// Asks the server at `url` about the index `name`.
    pub(crate) fn open(url: &str, name: &str) -> Result<Self, Failure> {
        let index = format!("{}/v1/indexes/{name}", url.trim_end_matches('/'));
        let reply = agent().get(&index).call().map_err(|e| failed(&index, &e))?;
        let detail = read(&index, reply)?;
        Ok(Self { search: format!("{index}/search"), detail })
    }

    /// The parameters of its build.
    pub(crate) fn build(&self) -> Params {
        self.detail.build.as_object().cloned().unwrap_or_default()
    }

    pub(crate) fn bytes_per_vector(&self) -> f64 {
        self.detail.memory.file_bytes as f64 / self.detail.n.max(1) as f64
    }

    /// Resident memory of the server.
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        self.detail.memory.process_resident_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
    }
}

/// One connection that is kept.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(60)))
        .max_idle_connections_per_host(1)
        .build();
    config.into()
}

/// Reads a reply to its end, so that the connection is free again.
fn read<T: DeserializeOwned>(
    url: &str,
    mut reply: ureq::http::Response<ureq::Body>,
) -> Result<T, Failure> {
    let bytes = reply.body_mut().read_to_vec().map_err(|e| failed(url, &e))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::new(Exit::Unavailable, format!("{url} does not answer as vicinage does: {e}"))
    })
}

fn failed(url: &str, error: &ureq::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("no answer from {url}: {error}"))
}

impl Engine for Remote {
    type Session = Session;

    fn metric(&self) -> Metric {
        self.detail.metric
    }

    fn session(&self) -> Session {
        Session { agent: agent(), hits: Vec::new() }
    }

    fn ask(
        &self,
        session: &mut Session,
        query: &[f32],
        params: &SearchParams,
    ) -> Result<Account, Failure> {
        let bytes: Vec<u8> = query.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut request = json!({
            "queries": [{ "vector_b64": STANDARD.encode(bytes) }], "k": params.k,
        });
        if let Some(ef) = params.ef {
            request["ef"] = json!(ef);
        }
        if let Some(recall) = params.target_recall {
            request["target_recall"] = json!(as_written(recall));
        }
        if params.exact {
            request["exact"] = json!(true);
        }
        let reply = session.agent.post(&self.search).content_type("application/json");
        let reply = reply.send(request.to_string()).map_err(|e| failed(&self.search, &e))?;
        let reply: Reply = read(&self.search, reply)?;
        let Ok([columns]) = <[Columns; 1]>::try_from(reply.results) else {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("{} is no such server", self.search),
            ));
        };
        let pairs = columns.ids.into_iter().zip(columns.scores);
        session.hits.clear();
        session.hits.extend(pairs.map(|(item_id, score)| Hit {
            item_id,
            score: score.unwrap_or(f32::NEG_INFINITY),
            // The server's own business.
            node: NodeId(0),
        }));
        let Spent { visited, distances, exact, matches } = columns.account;
        let plan = if exact { Plan::Exact } else { Plan::Walk };
        Ok(Account { plan, exact, matches, visited, distances, truncated_by: None })
    }

    fn hits(session: &Session) -> &[Hit] {
        &session.hits
    }
}
