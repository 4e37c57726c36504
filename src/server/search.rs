//! One search call on one search thread: parse, search, write the reply.
//!
//! All queries of a call run on the thread that took it. Spreading them would let one batch of
//! 1,024 occupy every thread while single queries wait behind it; a client that wants its batch
//! faster sends it as several calls.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::config::Limits;
use super::error::ApiError;
use super::host::Host;
use super::request;
use super::wire::{
    Account, Attributes, Effort, Explain, Ids, QueryResult, Scores, SearchReply, SearchRequest,
    Took,
};
use crate::error::Corruption;
use crate::index::{self, Among, Hit, Index, Planned, Query, Scratch, SearchParams};
use crate::types::NodeId;

/// Largest reply of a call: bounds its memory whatever the attributes hold.
pub(super) const MAX_REPLY_BYTES: usize = 64 << 20;

/// Queries of a call that are answered together; between those, the thread sees whether the client is
/// still there.
const TOGETHER: usize = 16;

/// A call waiting for a search thread.
pub(super) struct SearchJob {
    pub(super) host: Arc<Host>,
    pub(super) limits: Limits,
    pub(super) body: Bytes,
    /// When its head arrived; the deadline counts from here.
    pub(super) arrived: Instant,
    /// When it was queued.
    pub(super) queued: Instant,
    /// Closed when the client has gone away.
    pub(super) reply: oneshot::Sender<Result<Bytes, ApiError>>,
    /// Given back when the call is answered or given up.
    pub(super) permit: OwnedSemaphorePermit,
}

/// What a search thread keeps between calls, so that searching does not allocate.
#[derive(Default)]
pub(super) struct Worker {
    scratch: Scratch,
    /// Queries that are answered together.
    asked: Vec<Asked>,
    hits: Vec<Vec<Hit>>,
    /// What each query's ways were estimated to cost, where that is asked for.
    planned: Vec<Option<Planned>>,
}

/// A query of a call, once its vector is known.
#[derive(Default)]
struct Asked {
    vector: Vec<f32>,
    exclude: Option<NodeId>,
    /// Where the vector was given.
    field: &'static str,
}

/// The part of a call that its steps share.
struct Call<'a> {
    job: &'a SearchJob,
    /// The items that may be in the results, if that is not all.
    among: Option<Among<'a>>,
    deadline: Option<Instant>,
    params: SearchParams,
}

impl Worker {
    /// Answers a call, unless its client has gone away.
    pub(super) fn answer(&mut self, job: SearchJob) {
        if job.reply.is_closed() {
            return;
        }
        let answer = self.reply(&job);
        let SearchJob { reply, permit, .. } = job;
        // The permit goes first: a client that has its answer may count on room for the next call.
        drop(permit);
        // A client that has gone away meanwhile does not miss the answer.
        let _ = reply.send(answer);
        self.trim();
    }

    fn reply(&mut self, job: &SearchJob) -> Result<Bytes, ApiError> {
        let taken = Instant::now();
        let queue = taken - job.queued;
        job.host.metrics.queue.observe(queue.as_secs_f64());
        let index = &job.host.index;
        let mut request = request::parse(&job.body, &job.limits)?;
        let warning = request::space(&request, &job.host)?;
        job.host.metrics.unpaired.inc_by(u64::from(warning.is_some()));
        let columns = request::columns(std::mem::take(&mut request.attributes), index)?;
        let effort = request::effort(&request, index)?;
        let deadline = request.timeout_ms.map(|ms| job.arrived + Duration::from_millis(ms));
        let parsed = Instant::now();
        job.host.metrics.parse.observe((parsed - taken).as_secs_f64());
        if let (Some(deadline), Some(timeout_ms)) = (deadline, request.timeout_ms)
            && parsed >= deadline
        {
            return Err(ApiError::DeadlineExceeded { timeout_ms });
        }
        let restriction = request::restriction(&request, index)?;
        job.host.metrics.filter.observe(parsed.elapsed().as_secs_f64());
        let among = restriction.among();
        let (accounts, search) = self.search(job, (&mut request, among), effort, deadline)?;
        job.host.metrics.search.observe(search.as_secs_f64());

        let writing = Instant::now();
        let corruption = RefCell::new(None);
        let results = accounts
            .iter()
            .zip(&self.hits)
            .zip(&self.planned)
            .map(|((account, hits), planned)| QueryResult {
                ids: Ids(hits),
                scores: Scores(hits),
                attributes: Attributes { index, hits, columns: &columns, corruption: &corruption },
                account: Account::from(account),
                explain: planned.filter(|_| request.explain).map(Explain::from),
            })
            .collect();
        let reply = SearchReply {
            results,
            generation: index.info().generation,
            space_id: index.info().space_id.as_deref(),
            warning,
            effort: effort
                .zip(index.calibration())
                .map(|(effort, calibration)| Effort::new(effort, &calibration.queries_from)),
            took_us: Took { queue: micros(queue), search: micros(search) },
        };
        let body = write(&reply, &corruption)?;
        job.host.metrics.serialise.observe(writing.elapsed().as_secs_f64());
        Ok(body)
    }

    /// Runs the queries; `self.hits[i]` is the result of query `i`. Tells how each was answered and the
    /// time in the engine.
    fn search(
        &mut self,
        job: &SearchJob,
        (request, among): (&mut SearchRequest<'_>, Option<Among<'_>>),
        effort: Option<index::Effort>,
        deadline: Option<Instant>,
    ) -> Result<(Vec<index::Account>, Duration), ApiError> {
        let params = SearchParams {
            ef: effort.map_or(request.ef, |effort| Some(effort.ef)),
            slack: effort.and_then(|effort| effort.slack),
            rerank: effort.map(|effort| effort.rerank),
            exact: request.exact,
            deadline,
            ..SearchParams::top(request.k)
        };
        let call = Call { job, among, deadline, params };
        let index = &job.host.index;
        self.planned.clear();
        let mut accounts = Vec::with_capacity(request.queries.len());
        let mut search = Duration::ZERO;
        if self.hits.len() < request.queries.len() {
            self.hits.resize_with(request.queries.len(), Vec::new);
        }
        for queries in request.queries.chunks_mut(TOGETHER) {
            let first = accounts.len();
            self.asked.resize_with(queries.len(), Default::default);
            for (at, (query, asked)) in queries.iter_mut().zip(&mut self.asked).enumerate() {
                asked.field = query.field();
                asked.exclude = request::vector(query, first + at, index, &mut asked.vector)?;
            }
            let started = Instant::now();
            let (asked, hits) = (&self.asked, &mut self.hits[first..]);
            call.run(first, asked, &mut self.scratch, hits, &mut accounts, &mut self.planned)
                .map_err(|(at, error)| {
                    request::search_fault(&error, first + at, self.asked[at].field)
                })?;
            search += started.elapsed();
            if job.reply.is_closed() {
                // Nobody will read this error: the client has gone away.
                return Err(ApiError::BodyBroken);
            }
        }
        accounts.iter().for_each(|account| job.host.metrics.answered(account));
        Ok((accounts, search))
    }

    /// Gives back what an unusually large call has grown.
    fn trim(&mut self) {
        const KEPT_HITS: usize = 1 << 14;
        let mut kept = 0;
        self.hits.retain(|hits| {
            kept += hits.capacity();
            kept <= KEPT_HITS
        });
    }
}

impl Call<'_> {
    /// Answers some of the queries, the first of which is query `first` of the call.
    fn run(
        &self,
        first: usize,
        asked: &[Asked],
        scratch: &mut Scratch,
        hits: &mut [Vec<Hit>],
        accounts: &mut Vec<index::Account>,
        planned: &mut Vec<Option<Planned>>,
    ) -> Result<(), (usize, index::SearchError)> {
        let index: &Index = &self.job.host.index;
        let Some(among) = &self.among else {
            let queries =
                asked.iter().map(|asked| Query { vector: &asked.vector, exclude: asked.exclude });
            let queries: Vec<Query<'_>> = queries.collect();
            let mut answered = vec![None; queries.len()];
            index.search_several(scratch, &queries, &self.params, |at, account, found| {
                hits[at].clear();
                hits[at].extend_from_slice(found);
                answered[at] = Some(account);
            })?;
            accounts.extend(answered.into_iter().flatten());
            planned.extend(asked.iter().map(|_| None));
            return Ok(());
        };
        for (at, (asked, hits)) in asked.iter().zip(hits).enumerate() {
            let params = SearchParams { exclude: asked.exclude, ..self.params };
            // The engine notices a passed deadline after some steps of work; a batch of a thousand
            // queries would add those up.
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late && first + at > 0 && asked.vector.len() == index.info().dim {
                hits.clear();
                accounts.push(self.too_late(asked));
                planned.push(None);
                continue;
            }
            let found = index.search_among(scratch, &asked.vector, &params, among, hits);
            accounts.push(found.map_err(|error| (at, error))?);
            planned.push(scratch.planned());
        }
        Ok(())
    }

    /// How a query is answered whose turn comes after the deadline.
    fn too_late(&self, asked: &Asked) -> index::Account {
        index::Account {
            plan: if self.params.exact { index::Plan::Exact } else { index::Plan::Walk },
            exact: false,
            matches: self.matches(asked),
            visited: 0,
            distances: 0,
            truncated_by: Some(index::TruncatedBy::Deadline),
        }
    }

    /// How many items could have been returned.
    fn matches(&self, asked: &Asked) -> u64 {
        let among = self.among.unwrap_or_default();
        let passes = |node: &NodeId| among.passing.is_none_or(|passing| passing.contains(*node));
        let excluded = among.excluded.iter().chain(&asked.exclude);
        let excluded: BTreeSet<NodeId> = excluded.copied().filter(passes).collect();
        let passing = among.passing.map_or(self.job.host.index.info().n, |passing| passing.len());
        passing - excluded.len() as u64
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn write(
    reply: &SearchReply<'_>,
    corruption: &RefCell<Option<Corruption>>,
) -> Result<Bytes, ApiError> {
    let hits: usize = reply.results.iter().map(|result| result.ids.0.len()).sum();
    let mut body = Limited { bytes: Vec::with_capacity(256 + 32 * hits), limit: MAX_REPLY_BYTES };
    match serde_json::to_writer(&mut body, reply) {
        Ok(()) => Ok(Bytes::from(body.bytes)),
        Err(error) => Err(match corruption.take() {
            Some(corruption) => ApiError::IndexCorrupt(corruption),
            None if error.is_io() => ApiError::ReplyTooLarge { limit_bytes: MAX_REPLY_BYTES },
            None => ApiError::Internal,
        }),
    }
}

/// A buffer that refuses to grow beyond a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
