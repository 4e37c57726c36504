//! A small real index with one attribute of every kind, a naive oracle for it, and a server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use tempfile::TempDir;
use vicinage::builder::{BuildParams, ColumnBatch};
use vicinage::index::{Index, LoadMode};
use vicinage::server::{Examples, ServeError, ServedIndex, ServerConfig, Shutdown, serve};
use vicinage::types::Metric;

use crate::client::Client;
use crate::common::{MemorySource, Random, build_quick, quick};

pub(crate) const N: usize = 6_000;
pub(crate) const DIM: usize = 32;
/// Too large for a double: ids must not pass through one.
pub(crate) const FIRST_ID: u64 = (1 << 53) + 1;
pub(crate) const SEARCH: &str = "/v1/indexes/toy/search";

/// Item `row`, and query `row` from another stream.
pub(crate) fn id(row: usize) -> u64 {
    FIRST_ID + 2 * row as u64
}

/// Rows of pseudo-random numbers in −1..1, `[rows, dim]`.
fn numbers(seed: u64, rows: usize, dim: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..rows * dim).map(|_| random.unit() * 2.0 - 1.0).collect()
}

pub(crate) fn items() -> &'static [f32] {
    static ITEMS: OnceLock<Vec<f32>> = OnceLock::new();
    ITEMS.get_or_init(|| numbers(1, N, DIM))
}

pub(crate) fn queries() -> &'static [f32] {
    static QUERIES: OnceLock<Vec<f32>> = OnceLock::new();
    QUERIES.get_or_init(|| numbers(2, 64, DIM))
}

pub(crate) fn query(at: usize) -> &'static [f32] {
    &queries()[at * DIM..][..DIM]
}

/// The `k` items with the largest dot product, best first, without `except`.
pub(crate) fn oracle(vector: &[f32], k: usize, except: Option<u64>) -> Vec<(u64, f64)> {
    let dot = |row: &[f32]| {
        row.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let mut scored: Vec<(u64, f64)> = items()
        .chunks(DIM)
        .enumerate()
        .map(|(row, item)| (id(row), dot(item)))
        .filter(|(id, _)| Some(*id) != except)
        .collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored.truncate(k);
    scored
}

/// One attribute of every kind.
fn attributes() -> Vec<(String, ColumnBatch)> {
    let rows = || 0..N;
    let title = |row: usize| (!row.is_multiple_of(7)).then(|| title(row));
    let tags = |row: usize| Some((0..row % 4).map(|tag| format!("tag{tag}")).collect());
    let columns = [
        ("title", ColumnBatch::Category(rows().map(title).collect())),
        ("tags", ColumnBatch::Tags(rows().map(tags).collect())),
        ("year", ColumnBatch::I64(rows().map(|row| Some(1_900 + row as i64)).collect())),
        ("weight", ColumnBatch::F64(rows().map(|row| Some(row as f64 / 4.0)).collect())),
        ("open", ColumnBatch::Bool(rows().map(|row| Some(row.is_multiple_of(2))).collect())),
        ("seen", ColumnBatch::Timestamp(rows().map(|row| Some(row as i64 * 1_500_000)).collect())),
    ];
    columns.into_iter().map(|(name, column)| (name.to_owned(), column)).collect()
}

pub(crate) fn title(row: usize) -> String {
    format!("item \"{row}\"")
}

/// The folder `toy` in a temporary root, built once for all tests of the process.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<TempDir> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = tempfile::tempdir().unwrap();
        let source = MemorySource {
            ids: Some((0..N).map(id).collect()),
            attributes: attributes(),
            ..MemorySource::new(items().to_vec(), DIM)
        };
        let params = BuildParams { max_degree: 32, ef_construction: 100, ..quick(Metric::Ip) };
        build_quick(&root.path().join("toy"), source, &params);
        root
    })
    .path()
}

pub(crate) fn toy() -> ServedIndex {
    let index = Index::open(&root().join("toy"), LoadMode::Mmap).unwrap();
    let examples = (0..64).map(|at| Examples {
        label: format!("member {at}"),
        lines: vec![format!("line of {at}")],
        vector: query(at).to_vec(),
    });
    ServedIndex {
        name: "toy".to_owned(),
        index: Arc::new(index),
        load: LoadMode::Mmap,
        examples: examples.collect(),
    }
}

/// A smaller index of that name, whose effort was never measured.
pub(crate) fn uncalibrated() -> ServedIndex {
    let dir = tempfile::tempdir().unwrap();
    let source = MemorySource::new(items()[..1_000 * DIM].to_vec(), DIM);
    let params = BuildParams { calibrate: false, ..quick(Metric::Ip) };
    build_quick(dir.path(), source, &params);
    // What is mapped stays when the files are gone.
    let index = Index::open(dir.path(), LoadMode::Mmap).unwrap();
    let (name, index) = ("toy".to_owned(), Arc::new(index));
    ServedIndex { name, index, load: LoadMode::Mmap, examples: Vec::new() }
}

/// A configuration on free loopback ports.
pub(crate) fn config() -> ServerConfig {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    ServerConfig { bind: loopback, admin: loopback, search_threads: 2, ..ServerConfig::default() }
}

/// A server on a thread of this process; stops when dropped.
pub(crate) struct Server {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    shutdown: Option<Shutdown>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    pub(crate) fn start(config: ServerConfig) -> Server {
        Server::start_with(config, vec![toy()])
    }

    pub(crate) fn start_with(config: ServerConfig, served: Vec<ServedIndex>) -> Server {
        let (shutdown, stopped) = Shutdown::new();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let ready = move |data, admin| sender.send((data, admin)).unwrap();
            serve(&config, served, ready, stopped)
        });
        let (data, admin) = receiver.recv().expect("the server starts");
        Server { data, admin, shutdown: Some(shutdown), thread: Some(thread) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.data)
    }

    /// The value of one sample of `/metrics`.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        metric(self.admin, sample)
    }

    /// Returns when `count` calls are waiting or running.
    pub(crate) fn wait_inflight(&self, count: usize) {
        wait_inflight(self.admin, count);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.take().unwrap().stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

pub(crate) fn metric(admin: SocketAddr, sample: &str) -> f64 {
    let text = Client::connect(admin).get("/metrics").text();
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(s, _)| s == sample));
    let line = line.unwrap_or_else(|| panic!("no sample {sample} in\n{text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

pub(crate) fn wait_inflight(admin: SocketAddr, count: usize) {
    let started = Instant::now();
    while metric(admin, "vicinage_inflight") != count as f64 {
        assert!(started.elapsed().as_secs() < 60, "never saw {count} calls in flight");
        std::thread::yield_now();
    }
}

/// The body of a call that keeps one search thread busy for some tenths of a second.
pub(crate) fn long_call(queries: usize) -> String {
    let query = format!("{{\"item_id\":{}}}", id(1));
    let queries = vec![query; queries].join(",");
    format!("{{\"queries\":[{queries}],\"k\":1,\"exact\":true}}")
}

/// Enough queries for [`long_call`]; the server must allow as many.
pub(crate) const LONG: usize = 10_000;

/// [`config`] for one search thread and long calls.
pub(crate) fn narrow_config(max_concurrent: usize) -> ServerConfig {
    let mut config = ServerConfig { search_threads: 1, max_concurrent, ..config() };
    config.limits.max_queries = 65_536;
    config
}
