//! Points: what is measured, judged once and then timed in rounds.

use serde_json::json;
use vicinage::index::Index;
use vicinage::kernels;

use super::Plan;
use super::ann_benchmarks;
use super::builds::SearchSpec;
use super::cache::Built;
use super::remote::Remote;
use super::rounds::{Pace, Round, RoundSpec, histogram, run};
use super::set::Set;
use crate::args::threads_or_cores;
use crate::exit::Failure;
use crate::machine;
use crate::measure::{Answers, Engine, Recall, answer_all, recall};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::{Mode, Params, Point, Results, SCHEMA};
use vicinage::progress::Progress;

/// Recall from which a larger candidate list has nothing left to find.
const ALL_FOUND: f64 = 0.9999;

/// An engine with an index in it, and what a result line says of both.
pub(crate) struct Subject<E> {
    pub(crate) engine: E,
    name: &'static str,
    version: String,
    commit: Option<String>,
    n: u64,
    dim: usize,
    build: Params,
    build_seconds: Option<f64>,
    build_peak_mib: Option<f64>,
    bytes_per_vector: Option<f64>,
    resident_mib: Option<f64>,
    isa: Option<String>,
    /// True neighbors in the engine's own distances.
    truth: Answers,
}

impl Subject<Index> {
    /// An index that was built here; opening it made `resident_mib` resident.
    pub(crate) fn of_build(
        engine: Index,
        built: &Built,
        truth: Answers,
        resident_mib: Option<f64>,
    ) -> Self {
        let (n, dim) = (engine.info().n, engine.info().dim);
        Self {
            engine,
            name: engine_name(&built.build),
            version: version(&built.writer),
            commit: built.commit.clone(),
            n,
            dim,
            build: built.build.clone(),
            build_seconds: Some(built.seconds),
            build_peak_mib: built.peak_mib,
            bytes_per_vector: Some(built.bytes_per_vector),
            resident_mib,
            isa: kernels::active().ok().map(|isa| isa.name().to_owned()),
            truth,
        }
    }
}

/// The version of the program that wrote an index.
pub(crate) fn version(writer: &str) -> String {
    writer.rsplit(' ').next().unwrap_or(writer).to_owned()
}

/// What an engine of ours is called: the reference builder searched by us is another curve.
pub(crate) fn engine_name(build: &Params) -> &'static str {
    if build.get("builder") == Some(&json!("hnsw-rs")) { "hnsw-rs" } else { "vicinage" }
}

impl Subject<Remote> {
    pub(crate) fn of_server(engine: Remote, url: &str, truth: Answers) -> Self {
        let mut build = engine.build();
        build.insert("server".to_owned(), json!(url));
        let writer = build.get("writer").and_then(|writer| writer.as_str()).unwrap_or("unknown");
        Self {
            name: "vicinage-http",
            version: version(writer),
            commit: None,
            n: engine.detail.n,
            dim: engine.detail.dim,
            build_seconds: None,
            build_peak_mib: None,
            bytes_per_vector: Some(engine.bytes_per_vector()),
            resident_mib: engine.resident_mib(),
            isa: None,
            truth,
            build,
            engine,
        }
    }
}

/// What all points of a measurement share.
pub(crate) struct Ground<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) set: &'a Set,
    pub(crate) queries: &'a Queries,
    pub(crate) k: usize,
}

/// What came of asking every query once, not timed.
#[derive(Clone, Copy)]
struct Judged {
    recall: Recall,
    distances: Option<f64>,
    visited: Option<f64>,
}

/// A point that is being measured.
struct Open<'a, E: Engine> {
    subject: &'a Subject<E>,
    search: SearchSpec,
    judged: Judged,
    threads: usize,
    pace: Pace,
    sessions: Vec<E::Session>,
    rounds: Vec<Round>,
}

/// Asks every query once, and holds the answers against the truth.
fn judge<E: Engine>(
    ground: &Ground<'_>,
    subject: &Subject<E>,
    search: SearchSpec,
    report: &Reporter,
) -> Result<Judged, Failure> {
    let Ground { queries, k, .. } = *ground;
    report.start_step("judge", queries.rows() as u64, "queries");
    let params = search.search(k);
    let (found, work) = answer_all(&subject.engine, queries, &params, threads_or_cores(0), report)?;
    report.finish();
    let each = |sum: u64| Some(sum as f64 / queries.rows() as f64);
    Ok(Judged {
        recall: recall(subject.engine.metric(), &found, &subject.truth, k),
        distances: each(work.distances),
        visited: each(work.visited),
    })
}

impl Ground<'_> {
    /// The line of a point, without what is measured.
    fn line<E: Engine>(
        &self,
        subject: &Subject<E>,
        search: SearchSpec,
        threads: usize,
        pace: Pace,
    ) -> Point {
        let plan = self.plan;
        Point {
            schema: SCHEMA,
            dataset: self.set.name.clone(),
            n: subject.n,
            dim: subject.dim as u64,
            metric: subject.engine.metric().name().to_owned(),
            k: self.k as u64,
            queries: self.queries.rows() as u64,
            engine: subject.name.to_owned(),
            engine_version: subject.version.clone(),
            git_commit: subject.commit.clone(),
            build: subject.build.clone(),
            build_seconds: subject.build_seconds,
            build_peak_mib: subject.build_peak_mib,
            index_bytes_per_vector: subject.bytes_per_vector,
            serve_resident_mib: subject.resident_mib,
            search: search.params(),
            recall_id: 0.0,
            recall_distance: 0.0,
            qps: 0.0,
            qps_median: 0.0,
            qps_rounds: Vec::new(),
            p50_us: None,
            p95_us: None,
            p99_us: None,
            p999_us: None,
            distances_per_query: None,
            visited_per_query: None,
            threads: threads as u64,
            pinned: (!plan.processors.is_empty())
                .then(|| plan.processors.iter().take(threads).map(|&cpu| cpu as u64).collect()),
            mode: match pace {
                Pace::Closed => Mode::Closed,
                Pace::Open(_) => Mode::Open,
            },
            offered_qps: match pace {
                Pace::Closed => None,
                Pace::Open(rate) => Some(rate),
            },
            python_loop: false,
            filter: None,
            stream: None,
            isa: subject.isa.clone(),
            cpu: machine::cpu(),
            time: String::new(),
        }
    }

    /// The points of a subject that are not in `results`, judged; those that are go to `done`.
    fn open<'a, E: Engine>(
        &self,
        subject: &'a Subject<E>,
        results: &Results,
        done: &mut Vec<Point>,
        report: &Reporter,
    ) -> Result<Vec<Open<'a, E>>, Failure> {
        let plan = self.plan;
        let mut opened = Vec::new();
        for search in plan.searches(self.k) {
            let mut judged = None;
            for (&threads, &pace) in
                plan.threads.iter().flat_map(|t| plan.paces.iter().map(move |p| (t, p)))
            {
                let key = self.line(subject, search, threads, pace).key();
                if let Some(point) = results.find(&key) {
                    judged.get_or_insert(Judged {
                        recall: Recall { id: point.recall_id, distance: point.recall_distance },
                        distances: point.distances_per_query,
                        visited: point.visited_per_query,
                    });
                    done.push(point.clone());
                    continue;
                }
                let judged = match judged {
                    Some(judged) => judged,
                    None => *judged.insert(judge(self, subject, search, report)?),
                };
                let sessions = (0..threads).map(|_| subject.engine.session()).collect();
                let rounds = Vec::new();
                opened.push(Open { subject, search, judged, threads, pace, sessions, rounds });
            }
            // The steps of the ladder were ours, so we may stop; named ones are all measured.
            if plan.ef.is_empty() && judged.is_some_and(|j| j.recall.distance >= ALL_FOUND) {
                break;
            }
        }
        Ok(opened)
    }

    fn finish<E: Engine>(&self, open: &Open<'_, E>) -> Result<Point, Failure> {
        let mut latencies = histogram()?;
        for round in &open.rounds {
            latencies += &round.latencies;
        }
        let at = |share: f64| Some(latencies.value_at_quantile(share) as f64 / 1e3);
        let qps: Vec<f64> = open.rounds.iter().map(|round| round.qps).collect();
        Ok(Point {
            recall_id: open.judged.recall.id,
            recall_distance: open.judged.recall.distance,
            qps: qps.iter().copied().fold(0.0, f64::max),
            qps_median: median(&qps),
            qps_rounds: qps,
            p50_us: at(0.50),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            distances_per_query: open.judged.distances,
            visited_per_query: open.judged.visited,
            time: machine::now(),
            ..self.line(open.subject, open.search, open.threads, open.pace)
        })
    }

    /// Writes a point that one thread asked for as ann-benchmarks has it, if that is wanted.
    fn write_ann_benchmarks<E: Engine>(
        &self,
        open: &Open<'_, E>,
        point: &Point,
        report: &Reporter,
    ) -> Result<(), Failure> {
        let best = open.rounds.iter().max_by(|a, b| a.qps.total_cmp(&b.qps));
        let (Some(folder), Some(best)) = (&self.plan.ann_benchmarks, best) else { return Ok(()) };
        if best.first_pass.is_empty() {
            return Ok(());
        }
        let (engine, params) = (&open.subject.engine, open.search.search(self.k));
        report.start_step("answers", self.queries.rows() as u64, "queries");
        let (answers, _) = answer_all(engine, self.queries, &params, threads_or_cores(0), report)?;
        report.finish();
        ann_benchmarks::write(folder, point, engine.metric(), &answers, &best.first_pass)
    }
}

/// Measures what is not in `results` yet, in turn, and adds it there. All points are given back.
pub(crate) fn measure<E: Engine>(
    ground: &Ground<'_>,
    subjects: &[Subject<E>],
    results: &mut Results,
    report: &Reporter,
) -> Result<Vec<Point>, Failure> {
    let plan = ground.plan;
    let (mut points, mut open) = (Vec::new(), Vec::new());
    for subject in subjects {
        open.extend(ground.open(subject, results, &mut points, report)?);
    }
    let total = open.len() * plan.rounds;
    report.start_step("measure", total as u64, "rounds");
    for _ in 0..plan.rounds {
        for point in &mut open {
            let spec = RoundSpec {
                params: point.search.search(ground.k),
                pace: point.pace,
                min_time: plan.min_time,
                pinned: &plan.processors,
            };
            let engine = &point.subject.engine;
            let round = run(engine, &mut point.sessions, ground.queries, spec, report.interrupt())?;
            point.rounds.push(round);
            report.advance(1);
        }
    }
    report.finish();
    for open in &open {
        let point = ground.finish(open)?;
        results.add(point.clone())?;
        ground.write_ann_benchmarks(open, &point, report)?;
        points.push(point);
    }
    Ok(points)
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}
