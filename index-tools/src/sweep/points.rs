//! Points: what is measured, judged once and then timed in rounds.

use serde_json::json;
use vicinage::index::{Calibration, Index};
use vicinage::kernels;
use vicinage::progress::Progress;
use vicinage::types::Metric;

use super::Plan;
use super::ann_benchmarks;
use super::builds::SearchSpec;
use super::cache::Built;
use super::remote::Remote;
use super::rounds::{Pace, Round, RoundSpec, histogram, percentiles_us, run};
use super::set::Set;
use crate::args::threads_or_cores;
use crate::curves::median;
use crate::exit::Failure;
use crate::machine;
use crate::measure::{Answers, Engine, Plain, Questions, Recall, answer_all, recall};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::{FilterFigures, Mode, Params, Point, Results, SCHEMA};

/// Recall from which a larger candidate list has nothing left to find.
const ALL_FOUND: f64 = 0.9999;

/// What a result line says of an engine with an index in it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    name: &'static str,
    version: String,
    commit: Option<String>,
    n: u64,
    dim: usize,
    metric: Metric,
    build: Params,
    build_seconds: Option<f64>,
    build_peak_mib: Option<f64>,
    bytes_per_vector: Option<f64>,
    resident_mib: Option<f64>,
    isa: Option<String>,
    /// Decides the searches where none are named.
    calibration: Option<Calibration>,
}

/// An engine with an index in it.
pub(crate) struct Subject<E> {
    pub(crate) engine: E,
    pub(crate) facts: Facts,
}

impl Facts {
    /// An index that was built here; opening it made `resident_mib` resident.
    pub(crate) fn of_build(index: &Index, built: &Built, resident_mib: Option<f64>) -> Self {
        Self {
            name: engine_name(&built.build),
            version: version(&built.writer),
            commit: built.commit.clone(),
            n: index.info().n,
            dim: index.info().dim,
            metric: index.info().metric,
            build: built.build.clone(),
            build_seconds: Some(built.seconds),
            build_peak_mib: built.peak_mib,
            bytes_per_vector: Some(built.bytes_per_vector),
            resident_mib,
            isa: kernels::active().ok().map(|isa| isa.name().to_owned()),
            calibration: index.calibration().cloned(),
        }
    }

    /// A plain scan over vectors in memory.
    pub(crate) fn of_scan(n: u64, dim: usize, metric: Metric, build: Params) -> Self {
        Self {
            name: "vicinage",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: machine::COMMIT.map(str::to_owned),
            n,
            dim,
            metric,
            build,
            build_seconds: None,
            build_peak_mib: None,
            bytes_per_vector: None,
            resident_mib: None,
            isa: kernels::active().ok().map(|isa| isa.name().to_owned()),
            calibration: None,
        }
    }

    pub(crate) fn of_server(remote: &Remote, url: &str) -> Self {
        let mut build = remote.build();
        build.insert("server".to_owned(), json!(url));
        let writer = build.get("writer").and_then(|writer| writer.as_str()).unwrap_or("unknown");
        Self {
            name: "vicinage-http",
            version: version(writer),
            commit: None,
            n: remote.detail.n,
            dim: remote.detail.dim,
            metric: remote.metric(),
            build_seconds: None,
            build_peak_mib: None,
            bytes_per_vector: Some(remote.bytes_per_vector()),
            resident_mib: remote.resident_mib(),
            isa: None,
            calibration: None,
            build,
        }
    }
}

/// The version of the program that wrote an index.
pub(crate) fn version(writer: &str) -> String {
    writer.rsplit(' ').next().unwrap_or(writer).to_owned()
}

/// What an engine of ours is called: the reference builder searched by us is another curve.
fn engine_name(build: &Params) -> &'static str {
    if build.get("builder") == Some(&json!("hnsw-rs")) { "hnsw-rs" } else { "vicinage" }
}

/// What all points of a measurement share.
pub(crate) struct Ground<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) set: &'a Set,
    pub(crate) queries: &'a Queries,
    pub(crate) k: usize,
}

/// How a point is searched and asked.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) search: SearchSpec,
    pub(crate) threads: usize,
    pub(crate) pace: Pace,
}

/// What came of asking every question once, not timed.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) recall: Recall,
    pub(crate) distances: Option<f64>,
    pub(crate) visited: Option<f64>,
    pub(crate) filter: Option<FilterFigures>,
}

/// A point that is being measured.
pub(crate) struct Open<'a, Q: Questions> {
    pub(crate) facts: &'a Facts,
    pub(crate) questions: Q,
    pub(crate) way: Way,
    pub(crate) judged: Judged,
    sessions: Vec<Q::Session>,
    rounds: Vec<Round>,
}

impl<'a, Q: Questions> Open<'a, Q> {
    pub(crate) fn new(facts: &'a Facts, questions: Q, way: Way, judged: Judged) -> Self {
        let sessions = (0..way.threads).map(|_| questions.session()).collect();
        Self { facts, questions, way, judged, sessions, rounds: Vec::new() }
    }

    /// The best of its rounds.
    fn best(&self) -> Option<&Round> {
        self.rounds.iter().max_by(|a, b| a.qps.total_cmp(&b.qps))
    }
}

/// Asks every query once, and holds the answers against the truth.
fn judge<E: Engine>(
    ground: &Ground<'_>,
    subject: &Subject<E>,
    truth: &Answers,
    search: SearchSpec,
    report: &Reporter,
) -> Result<Judged, Failure> {
    let Ground { queries, k, .. } = *ground;
    report.start_step("judge", queries.rows() as u64, "queries");
    let params = search.search(k);
    let plain = Plain { engine: &subject.engine, queries };
    let (found, work) = answer_all(&plain, &params, threads_or_cores(0), report)?;
    report.finish();
    let each = |sum: u64| Some(sum as f64 / queries.rows() as f64);
    Ok(Judged {
        recall: recall(subject.engine.metric(), &found, truth, k),
        distances: each(work.distances),
        visited: each(work.visited),
        filter: None,
    })
}

impl Ground<'_> {
    /// The ways in which every search is asked.
    pub(crate) fn ways(&self, search: SearchSpec) -> impl Iterator<Item = Way> {
        let plan = self.plan;
        plan.threads.iter().flat_map(move |&threads| {
            plan.paces.iter().map(move |&pace| Way { search, threads, pace })
        })
    }

    /// The line of a point, without what is measured.
    pub(crate) fn line(&self, facts: &Facts, way: Way) -> Point {
        let Facts { name, version, commit, n, dim, metric, build, .. } = facts.clone();
        let (plan, threads) = (self.plan, way.threads);
        let (mode, offered_qps) = match way.pace {
            Pace::Closed => (Mode::Closed, None),
            Pace::Open(rate) => (Mode::Open, Some(rate)),
            Pace::Batch => (Mode::Batch, None),
        };
        let pinned = (!plan.processors.is_empty())
            .then(|| plan.processors.iter().take(threads).map(|&cpu| cpu as u64).collect());
        Point {
            schema: SCHEMA,
            dataset: self.set.name.clone(),
            n,
            dim: dim as u64,
            metric: metric.name().to_owned(),
            k: self.k as u64,
            queries: self.queries.rows() as u64,
            engine: name.to_owned(),
            engine_version: version,
            git_commit: commit,
            build,
            build_seconds: facts.build_seconds,
            build_peak_mib: facts.build_peak_mib,
            index_bytes_per_vector: facts.bytes_per_vector,
            serve_resident_mib: facts.resident_mib,
            search: way.search.params(),
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
            pinned,
            mode,
            offered_qps,
            python_loop: false,
            filter: None,
            stream: None,
            isa: facts.isa.clone(),
            cpu: machine::cpu().to_owned(),
            time: String::new(),
        }
    }

    /// The points of a subject that are not in `results`, judged; those that are go to `done`.
    fn open<'a, E: Engine>(
        &'a self,
        (subject, truth): &'a (Subject<E>, Answers),
        results: &Results,
        done: &mut Vec<Point>,
        report: &Reporter,
    ) -> Result<Vec<Open<'a, Plain<'a, E>>>, Failure> {
        let mut opened = Vec::new();
        let mut all_found = false;
        for search in self.plan.searches.at(self.k, subject.facts.calibration.as_ref()) {
            // The steps of the ladder were ours, so we may stop; named ones are all measured.
            if all_found && !search.exact {
                continue;
            }
            let mut judged: Option<Judged> = None;
            for way in self.ways(search) {
                if let Some(point) = results.find(&self.line(&subject.facts, way).key()) {
                    judged.get_or_insert(Judged {
                        recall: Recall { id: point.recall_id, distance: point.recall_distance },
                        distances: point.distances_per_query,
                        visited: point.visited_per_query,
                        filter: None,
                    });
                    done.push(point.clone());
                    continue;
                }
                let judged = match &judged {
                    Some(judged) => judged.clone(),
                    None => judged.insert(judge(self, subject, truth, search, report)?).clone(),
                };
                let plain = Plain { engine: &subject.engine, queries: self.queries };
                opened.push(Open::new(&subject.facts, plain, way, judged));
            }
            all_found = self.plan.searches.usual()
                && judged.is_some_and(|judged| judged.recall.distance >= ALL_FOUND);
        }
        Ok(opened)
    }

    /// Times points in turn.
    pub(crate) fn time<Q: Questions>(
        &self,
        open: &mut [Open<'_, Q>],
        report: &Reporter,
    ) -> Result<(), Failure> {
        let plan = self.plan;
        report.start_step("measure", (open.len() * plan.rounds) as u64, "rounds");
        for _ in 0..plan.rounds {
            for point in open.iter_mut() {
                let spec = RoundSpec {
                    params: point.way.search.search(self.k),
                    pace: point.way.pace,
                    min_time: plan.min_time,
                    pinned: &plan.processors,
                };
                let Open { questions, sessions, rounds, .. } = point;
                rounds.push(run(questions, sessions, spec, report.interrupt())?);
                report.advance(1);
            }
        }
        report.finish();
        Ok(())
    }

    /// The line of a point that was timed.
    pub(crate) fn finish<Q: Questions>(&self, open: &Open<'_, Q>) -> Result<Point, Failure> {
        let mut latencies = histogram()?;
        for round in &open.rounds {
            latencies += &round.latencies;
        }
        let [p50_us, p95_us, p99_us, p999_us] = percentiles_us(&latencies);
        let qps: Vec<f64> = open.rounds.iter().map(|round| round.qps).collect();
        let judged = &open.judged;
        Ok(Point {
            queries: open.questions.len() as u64,
            recall_id: judged.recall.id,
            recall_distance: judged.recall.distance,
            qps: open.best().map_or(0.0, |round| round.qps),
            qps_median: median(&mut qps.clone()),
            qps_rounds: qps,
            p50_us,
            p95_us,
            p99_us,
            p999_us,
            distances_per_query: judged.distances,
            visited_per_query: judged.visited,
            filter: judged.filter.clone(),
            time: machine::now(),
            ..self.line(open.facts, open.way)
        })
    }

    /// Writes a point that one thread asked for as ann-benchmarks has it, if that is wanted.
    fn write_ann_benchmarks<E: Engine>(
        &self,
        open: &Open<'_, Plain<'_, E>>,
        point: &Point,
        report: &Reporter,
    ) -> Result<(), Failure> {
        let (Some(folder), Some(best)) = (&self.plan.ann_benchmarks, open.best()) else {
            return Ok(());
        };
        if best.first_pass.is_empty() {
            return Ok(());
        }
        let (plain, params) = (&open.questions, open.way.search.search(self.k));
        report.start_step("answers", self.queries.rows() as u64, "queries");
        let (answers, _) = answer_all(plain, &params, threads_or_cores(0), report)?;
        report.finish();
        ann_benchmarks::write(folder, point, plain.engine.metric(), &answers, &best.first_pass)
    }
}

/// Measures what is not in `results` yet, in turn, and adds it there. All points are given back.
/// Beside each engine are the true neighbors in its own distances.
pub(crate) fn measure<E: Engine>(
    ground: &Ground<'_>,
    subjects: &[(Subject<E>, Answers)],
    results: &mut Results,
    report: &Reporter,
) -> Result<Vec<Point>, Failure> {
    let (mut points, mut open) = (Vec::new(), Vec::new());
    for subject in subjects {
        open.extend(ground.open(subject, results, &mut points, report)?);
    }
    ground.time(&mut open, report)?;
    for open in &open {
        let point = ground.finish(open)?;
        results.add(point.clone())?;
        ground.write_ann_benchmarks(open, &point, report)?;
        points.push(point);
    }
    Ok(points)
}
