//! Asking an index many queries, how fast the answers came, and their recall.

use std::fmt::Display;
use std::time::Instant;

use serde::Serialize;
use vicinage::eval::metrics;
use vicinage::index::{Account, Hit, Index, Query, Scratch, SearchParams};
use vicinage::progress::Progress;
use vicinage::scan::Found;
use vicinage::types::Metric;
use vicinage_datasets::{IdMatrix, InputSpec, Relevance};

use crate::exit::{Exit, Failure};
use crate::progress::Reporter;
use crate::queries::Queries;

/// Queries asked before the clock starts, so that caches and scratch memory are warm.
const WARM_UP: usize = 100;

/// Queries between two looks at the interrupt.
const AT_A_TIME: usize = 64;

/// Answers to queries, in order, best first.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    ids: Vec<u64>,
    distances: Vec<f32>,
    ends: Vec<usize>,
}

impl Answers {
    pub(crate) fn push(&mut self, metric: Metric, hits: &[Hit]) {
        self.ids.extend(hits.iter().map(|hit| hit.item_id));
        self.distances.extend(hits.iter().map(|hit| distance(metric, hit.score)));
        self.ends.push(self.ids.len());
    }

    /// Adds what a scan found.
    pub(crate) fn push_found(&mut self, found: &[Found]) {
        self.ids.extend(found.iter().map(|found| found.id));
        self.distances.extend(found.iter().map(|found| found.distance));
        self.ends.push(self.ids.len());
    }

    /// Adds true neighbors with their scores. The distances rise, so that the kth is the farthest
    /// of the first k even where the ids come in another order.
    pub(crate) fn push_truth(&mut self, metric: Metric, ids: &[u64], scores: &[f32]) {
        let start = self.distances.len();
        self.ids.extend_from_slice(ids);
        self.distances.extend(scores.iter().map(|&score| distance(metric, score)));
        self.distances[start..].sort_unstable_by(f32::total_cmp);
        self.ends.push(self.ids.len());
    }

    /// The same for items that are named by id, scored on the vectors of the index: what counts as
    /// close enough for recall by distance is then in the index's own metric and precision,
    /// whatever made `file`, whose row `row` this is.
    pub(crate) fn push_true_ids(
        &mut self,
        index: &Index,
        query: &[f32],
        ids: &[u64],
        (file, row): (&dyn Display, usize),
    ) -> Result<(), Failure> {
        let (mut nodes, mut scores) = (Vec::with_capacity(ids.len()), Vec::new());
        for &id in ids {
            nodes.push(index.find(id).ok_or_else(|| {
                Failure::data(format!("{file} is not of this index"))
                    .at(format!("row {row}"))
                    .expected("ids of items of the index", format!("{id}, which it does not hold"))
            })?);
        }
        index.scores(query, &nodes, &mut scores)?;
        self.push_truth(index.info().metric, ids, &scores);
        Ok(())
    }

    /// How many queries were answered.
    pub(crate) fn queries(&self) -> usize {
        self.ends.len()
    }

    fn append(&mut self, other: Answers) {
        let offset = self.ids.len();
        self.ids.extend(other.ids);
        self.distances.extend(other.distances);
        self.ends.extend(other.ends.iter().map(|end| end + offset));
    }

    fn range(&self, query: usize, k: usize) -> std::ops::Range<usize> {
        let start = if query == 0 { 0 } else { self.ends[query - 1] };
        start..self.ends[query].min(start + k)
    }

    /// The ids of at most the first `k` answers to a query.
    pub(crate) fn ids(&self, query: usize, k: usize) -> &[u64] {
        &self.ids[self.range(query, k)]
    }

    /// The distances of at most the first `k`.
    pub(crate) fn distances(&self, query: usize, k: usize) -> &[f32] {
        &self.distances[self.range(query, k)]
    }
}

/// The distance that a score stands for; the inverse of [`Metric::score`].
fn distance(metric: Metric, score: f32) -> f32 {
    match metric {
        Metric::L2 | Metric::Ip => -score,
        Metric::Cosine => 1.0 - score,
    }
}

/// How long searches took on one thread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Speed {
    pub(crate) mean_seconds: f64,
    pub(crate) p50_seconds: f64,
    pub(crate) p99_seconds: f64,
    pub(crate) queries_per_second: f64,
}

impl Speed {
    /// From the nanoseconds of each search.
    pub(crate) fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        // Nearest rank.
        let at = |share: f64| {
            let rank = (share * nanos.len() as f64).ceil() as usize;
            nanos.get(rank.saturating_sub(1)).copied().unwrap_or(0) as f64 / 1e9
        };
        let total = nanos.iter().sum::<u64>() as f64 / 1e9;
        let queries = nanos.len().max(1) as f64;
        Self {
            mean_seconds: total / queries,
            p50_seconds: at(0.50),
            p99_seconds: at(0.99),
            queries_per_second: queries / total.max(1e-9),
        }
    }
}

/// Something that answers queries: an index in this process, or a server.
pub(crate) trait Engine: Sync {
    /// What one asking thread holds: memory, a connection, the last answer.
    type Session: Send;

    fn metric(&self) -> Metric;

    fn session(&self) -> Self::Session;

    /// Asks one query; the answer is in the session.
    fn ask(
        &self,
        session: &mut Self::Session,
        query: &[f32],
        params: &SearchParams,
    ) -> Result<Account, Failure>;

    /// Asks several queries at once; nobody looks at the answers.
    fn ask_several(
        &self,
        session: &mut Self::Session,
        queries: &[&[f32]],
        params: &SearchParams,
    ) -> Result<(), Failure> {
        queries.iter().try_for_each(|query| self.ask(session, query, params).map(drop))
    }

    /// The last answer, best first.
    fn hits(session: &Self::Session) -> &[Hit];
}

impl Engine for Index {
    type Session = (Scratch, Vec<Hit>);

    fn metric(&self) -> Metric {
        self.info().metric
    }

    fn session(&self) -> Self::Session {
        Self::Session::default()
    }

    fn ask(
        &self,
        (scratch, hits): &mut Self::Session,
        query: &[f32],
        params: &SearchParams,
    ) -> Result<Account, Failure> {
        Ok(self.search(scratch, query, params, hits)?)
    }

    fn ask_several(
        &self,
        (scratch, hits): &mut Self::Session,
        queries: &[&[f32]],
        params: &SearchParams,
    ) -> Result<(), Failure> {
        let queries = queries.iter().map(|vector| Query { vector, exclude: None });
        let queries: Vec<Query<'_>> = queries.collect();
        let give = |_, _, found: &[Hit]| found.clone_into(hits);
        self.search_several(scratch, &queries, params, give).map_err(|(_, error)| error.into())
    }

    fn hits((_, hits): &Self::Session) -> &[Hit] {
        hits
    }
}

/// Questions in a fixed order, which several threads may ask: queries of an engine, or those of a
/// workload with their filters.
pub(crate) trait Questions: Sync {
    /// What one asking thread holds.
    type Session: Send;

    fn len(&self) -> usize;

    fn session(&self) -> Self::Session;

    /// Asks question `at`.
    fn ask(
        &self,
        session: &mut Self::Session,
        at: usize,
        params: &SearchParams,
    ) -> Result<Account, Failure>;

    /// Asks several questions at once, where that is not one after the other.
    fn ask_several(
        &self,
        session: &mut Self::Session,
        questions: &[usize],
        params: &SearchParams,
    ) -> Result<(), Failure> {
        questions.iter().try_for_each(|at| self.ask(session, *at, params).map(drop))
    }
}

/// Questions whose answers are looked at.
pub(crate) trait Answered: Questions {
    fn metric(&self) -> Metric;

    /// The last answer, best first.
    fn hits(session: &Self::Session) -> &[Hit];
}

/// Every query of a file, unfiltered.
pub(crate) struct Plain<'a, E> {
    pub(crate) engine: &'a E,
    pub(crate) queries: &'a Queries,
}

impl<E: Engine> Questions for Plain<'_, E> {
    type Session = E::Session;

    fn len(&self) -> usize {
        self.queries.rows()
    }

    fn session(&self) -> E::Session {
        self.engine.session()
    }

    fn ask(
        &self,
        session: &mut E::Session,
        at: usize,
        params: &SearchParams,
    ) -> Result<Account, Failure> {
        self.engine.ask(session, self.queries.row(at), params)
    }

    fn ask_several(
        &self,
        session: &mut E::Session,
        questions: &[usize],
        params: &SearchParams,
    ) -> Result<(), Failure> {
        let queries: Vec<&[f32]> = questions.iter().map(|at| self.queries.row(*at)).collect();
        self.engine.ask_several(session, &queries, params)
    }
}

impl<E: Engine> Answered for Plain<'_, E> {
    fn metric(&self) -> Metric {
        self.engine.metric()
    }

    fn hits(session: &E::Session) -> &[Hit] {
        E::hits(session)
    }
}

/// Every query of a file, each without the items that its user has had already.
pub(crate) struct Excluding<'a> {
    pub(crate) index: &'a Index,
    pub(crate) queries: &'a Queries,
    /// Items of each query; none where nothing is excluded.
    pub(crate) excluded: Option<&'a Relevance>,
}

impl Questions for Excluding<'_> {
    type Session = (Scratch, Vec<Hit>);

    fn len(&self) -> usize {
        self.queries.rows()
    }

    fn session(&self) -> Self::Session {
        Self::Session::default()
    }

    /// Nodes are looked up here, as for a user who comes along with the list.
    fn ask(
        &self,
        (scratch, hits): &mut Self::Session,
        at: usize,
        params: &SearchParams,
    ) -> Result<Account, Failure> {
        let (index, query) = (self.index, self.queries.row(at));
        let listed = self.excluded.map_or(&[][..], |excluded| excluded.judged(at));
        let items: Vec<u64> = listed.iter().map(|&(item, _)| item).collect();
        let restriction = index.restriction(None, &items)?;
        Ok(match restriction.among() {
            Some(among) => index.search_among(scratch, query, params, &among, hits)?,
            None => index.search(scratch, query, params, hits)?,
        })
    }
}

impl Answered for Excluding<'_> {
    fn metric(&self) -> Metric {
        self.index.info().metric
    }

    fn hits((_, hits): &Self::Session) -> &[Hit] {
        hits
    }
}

/// Asks every question on this thread, and takes the time of each.
pub(crate) fn ask<Q: Answered>(
    questions: &Q,
    params: &SearchParams,
    report: &Reporter,
) -> Result<(Answers, Speed), Failure> {
    let (mut session, count) = (questions.session(), questions.len());
    for at in 0..count.min(WARM_UP) {
        questions.ask(&mut session, at, params)?;
    }
    let name = if params.exact { "exact" } else { "search" };
    report.start_step(name, count as u64, "queries");
    let mut answers = Answers::default();
    let mut nanos = Vec::with_capacity(count);
    for at in 0..count {
        if at % AT_A_TIME == 0 {
            report.interrupt().check()?;
        }
        let started = Instant::now();
        questions.ask(&mut session, at, params)?;
        nanos.push(started.elapsed().as_nanos() as u64);
        answers.push(questions.metric(), Q::hits(&session));
        report.advance(1);
    }
    report.finish();
    Ok((answers, Speed::of(nanos)))
}

/// The exact `k` nearest items of every question, on `threads` threads.
pub(crate) fn exact(
    questions: &impl Answered,
    k: usize,
    threads: usize,
    report: &Reporter,
) -> Result<Answers, Failure> {
    report.start("truth", Some(questions.len() as u64), "queries");
    let params = SearchParams { exact: true, ..SearchParams::top(k) };
    let (answers, _) = answer_all(questions, &params, threads, report)?;
    report.finish();
    Ok(answers)
}

/// What all answers took together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    pub(crate) distances: u64,
    pub(crate) visited: u64,
}

/// The answers to all questions, on `threads` threads, as part of a stage of `report`.
pub(crate) fn answer_all<Q: Answered>(
    questions: &Q,
    params: &SearchParams,
    threads: usize,
    report: &Reporter,
) -> Result<(Answers, Work), Failure> {
    let share = questions.len().div_ceil(threads.max(1)).max(1);
    let rows: Vec<usize> = (0..questions.len()).collect();
    let parts: Vec<Result<(Answers, Work), Failure>> = std::thread::scope(|scope| {
        let workers: Vec<_> = rows
            .chunks(share)
            .map(|rows| scope.spawn(move || answer_part(questions, rows, params, report)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(panicked())))
            .collect()
    });
    let (mut answers, mut work) = (Answers::default(), Work::default());
    for part in parts {
        let (more, took) = part?;
        answers.append(more);
        work.distances += took.distances;
        work.visited += took.visited;
    }
    Ok((answers, work))
}

/// For a thread that did not come back.
pub(crate) fn panicked() -> Failure {
    Failure::new(Exit::Internal, "a searching thread panicked")
}

fn answer_part<Q: Answered>(
    questions: &Q,
    rows: &[usize],
    params: &SearchParams,
    report: &Reporter,
) -> Result<(Answers, Work), Failure> {
    let mut session = questions.session();
    let (mut answers, mut work) = (Answers::default(), Work::default());
    for &row in rows {
        report.interrupt().check()?;
        let account = questions.ask(&mut session, row, params)?;
        work.distances += account.distances;
        work.visited += account.visited;
        answers.push(questions.metric(), Q::hits(&session));
        report.advance(1);
    }
    Ok((answers, work))
}

/// Scores the first `k` true neighbors on the vectors of the index: what counts as close enough for recall by
/// distance is then in the index's own metric and precision, whatever made the file `spec`.
pub(crate) fn scored_truth(
    ids: &IdMatrix,
    k: usize,
    spec: &InputSpec,
    index: &Index,
    queries: &Queries,
) -> Result<Answers, Failure> {
    let mut answers = Answers::default();
    for row in 0..queries.rows() {
        let first = &ids.row(row)[..k.min(ids.row(row).len())];
        answers.push_true_ids(index, queries.row(row), first, (spec, row))?;
    }
    Ok(answers)
}

/// Mean share of the true neighbors found, by id and by distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Recall {
    pub(crate) id: f64,
    /// As ann-benchmarks has it.
    pub(crate) distance: f64,
}

/// Recall at `k` over all queries.
pub(crate) fn recall(metric: Metric, found: &Answers, truth: &Answers, k: usize) -> Recall {
    recall_over(metric, found, truth, k, 0..truth.queries())
}

/// Recall at `k` over some queries.
pub(crate) fn recall_over(
    metric: Metric,
    found: &Answers,
    truth: &Answers,
    k: usize,
    queries: impl ExactSizeIterator<Item = usize> + Clone,
) -> Recall {
    let by_id = |query| metrics::recall_by_id(found.ids(query, k), truth.ids(query, k));
    let by_distance = |query| {
        metrics::recall_by_distance(metric, found.distances(query, k), truth.distances(query, k))
    };
    Recall { id: mean(queries.clone().map(by_id)), distance: mean(queries.map(by_distance)) }
}

pub(crate) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}
