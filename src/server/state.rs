//! What every request handler sees: the indexes, the limits, the search threads, the metrics.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;

use super::config::{Limits, ServedIndex, ServerConfig};
use super::host::{Host, Warmth};
use super::metrics::Metrics;
use super::pool::Pool;

/// The server's state.
pub(super) struct App {
    pub(super) hosts: BTreeMap<String, Arc<Host>>,
    pub(super) limits: Limits,
    pub(super) max_concurrent: usize,
    /// One for all routes and connections; a call holds a permit from its parsing to its reply.
    pub(super) permits: Arc<Semaphore>,
    pub(super) pool: Pool,
    pub(super) metrics: Metrics,
    /// The server takes no new connections and finishes what it has.
    pub(super) stopping: AtomicBool,
    request_ids: RequestIds,
}

impl App {
    pub(super) fn new(config: &ServerConfig, indexes: Vec<ServedIndex>) -> io::Result<App> {
        let metrics = Metrics::new();
        let hosts = indexes.into_iter().map(|served| {
            let ServedIndex { name, index, load, examples } = served;
            let warmth = Warmth::new(&index, load);
            let metrics = metrics.of_index(&name);
            let space_policy = config.space_policy;
            let host = Host { name, index, load, examples, space_policy, metrics, warmth };
            (host.name.clone(), Arc::new(host))
        });
        Ok(App {
            hosts: hosts.collect(),
            limits: config.limits,
            max_concurrent: config.max_concurrent,
            permits: Arc::new(Semaphore::new(config.max_concurrent)),
            pool: Pool::start(config.search_threads)?,
            metrics,
            stopping: AtomicBool::new(false),
            request_ids: RequestIds::new(),
        })
    }

    /// An id for a request whose client sent none.
    pub(super) fn request_id(&self) -> String {
        self.request_ids.next()
    }
}

/// Ids that differ within a process and between starts; nothing else is asked of them.
struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> RequestIds {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RequestIds { start: now.as_micros() as u64, count: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{:x}-{:x}", self.start, self.count.fetch_add(1, Ordering::Relaxed))
    }
}
