//! What `/metrics` shows, in the OpenMetrics text format. Labels are the names of served indexes
//! and HTTP statuses only: what a client sends never becomes a label.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::index::{Account, Plan};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    index: String,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabels {
    index: String,
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PlanLabels {
    index: String,
    plan: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IndexLabels {
    index: String,
}

/// Every metric of the server.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<StageLabels, Histogram, fn() -> Histogram>,
    visited: Family<IndexLabels, Histogram, fn() -> Histogram>,
    plans: Family<PlanLabels, Counter>,
    unpaired: Family<IndexLabels, Counter>,
    ready: Family<IndexLabels, Gauge>,
    pub(super) shed: Counter,
    pub(super) inflight: Gauge,
}

/// The histograms of one index, looked up once.
pub(super) struct IndexMetrics {
    pub(super) queue: Histogram,
    pub(super) parse: Histogram,
    pub(super) filter: Histogram,
    pub(super) search: Histogram,
    pub(super) serialise: Histogram,
    visited: Histogram,
    /// In the order of [`Plan::ALL`].
    plans: [Counter; Plan::ALL.len()],
    /// Calls that were answered without knowing of what space their vectors are.
    pub(super) unpaired: Counter,
    pub(super) ready: Gauge,
}

impl IndexMetrics {
    /// Counts an answered query.
    pub(super) fn answered(&self, account: &Account) {
        self.visited.observe(account.visited as f64);
        for (plan, counter) in Plan::ALL.iter().zip(&self.plans) {
            if *plan == account.plan {
                counter.inc();
            }
        }
    }
}

/// 10 µs to 10 s, each bound twice the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-5, 2.0, 21))
}

fn nodes() -> Histogram {
    Histogram::new(exponential_buckets(16.0, 2.0, 16))
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("vicinage");
        let requests = Family::default();
        let seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let visited = Family::new_with_constructor(nodes as fn() -> Histogram);
        let plans = Family::default();
        let (unpaired, ready) = (Family::default(), Family::default());
        let (shed, inflight) = (Counter::default(), Gauge::default());
        registry.register(
            "requests",
            "Search calls by index and HTTP status; index is empty where none has the name",
            requests.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time of search calls, by stage: queue, parse, filter, search, serialise",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "visited_nodes",
            "Graph nodes whose neighbors were read, by query",
            visited.clone(),
        );
        registry.register("queries", "Answered queries, by plan", plans.clone());
        registry.register(
            "unpaired",
            "Search calls answered although they named no space_id, or the index has none",
            unpaired.clone(),
        );
        registry.register("index_ready", "1 when the index is warm", ready.clone());
        registry.register("shed", "Search calls refused with 503 at once", shed.clone());
        registry.register("inflight", "Search calls waiting or running", inflight.clone());
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", version);
        registry.register_collector(Box::new(ProcessCollector));
        Metrics { registry, requests, seconds, visited, plans, unpaired, ready, shed, inflight }
    }

    /// Counts an answered search call.
    pub(super) fn count(&self, index: &str, code: u16) {
        self.requests.get_or_create(&RequestLabels { index: index.to_owned(), code }).inc();
    }

    pub(super) fn of_index(&self, name: &str) -> IndexMetrics {
        let stage = |stage| {
            let labels = StageLabels { index: name.to_owned(), stage };
            self.seconds.get_or_create_owned(&labels)
        };
        let labels = IndexLabels { index: name.to_owned() };
        IndexMetrics {
            queue: stage("queue"),
            parse: stage("parse"),
            filter: stage("filter"),
            search: stage("search"),
            serialise: stage("serialise"),
            visited: self.visited.get_or_create_owned(&labels),
            plans: Plan::ALL.map(|plan| {
                let labels = PlanLabels { index: name.to_owned(), plan: plan.name() };
                self.plans.get_or_create_owned(&labels)
            }),
            unpaired: self.unpaired.get_or_create_owned(&labels),
            ready: self.ready.get_or_create_owned(&labels),
        }
    }

    /// The exposition.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Page faults and memory of this process as the kernel counts them, read when asked for.
#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some((minor, major)) = page_faults() {
            let mut family = encoder.encode_descriptor(
                "page_faults",
                "Page faults of the process; major ones waited for the disk",
                None,
                MetricType::Counter,
            )?;
            for (kind, count) in [("minor", minor), ("major", major)] {
                let counter = ConstCounter::new(count);
                counter.encode(family.encode_family(&[("kind", kind)])?)?;
            }
        }
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(
                "resident",
                "Memory of the process that is resident",
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}

/// Minor and major page faults since the start. None where the system does not tell.
fn page_faults() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // proc(5): fields 10 and 12. Field 2 is a name in parentheses that may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(7);
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(1)?.parse().ok()?;
    Some((minor, major))
}

/// Resident memory of this process. None where the system does not tell.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
