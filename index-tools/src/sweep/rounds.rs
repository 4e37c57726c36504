//! The clock: one round of one point.
//!
//! A round is whole passes over the query set, so that every round asks the same queries, until its
//! time is over. Sessions stay from round to round, and a few queries go ahead of the clock, so
//! that memory and caches are as they are in the middle of a long run.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use vicinage::index::SearchParams;

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::measure::{Questions, panicked};

/// Queries of each thread ahead of the clock of each round.
const WARM_UP: usize = 200;

/// Queries between two looks at the interrupt, and those that are given at once.
const AT_A_TIME: usize = 64;

/// The longest latency that is told apart from longer ones, in nanoseconds.
const LONGEST: u64 = 100_000_000_000;

/// How queries are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Each thread asks when it has its answer.
    Closed,
    /// So many a second over all threads, at even intervals, whoever is late. A latency counts
    /// from when the query was due, so that a stall is seen by all the queries that it held up.
    Open(f64),
    /// Each thread is given its share of the queries at once, and answers as fast as it can.
    Batch,
}

/// What a round is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundSpec<'a> {
    pub(crate) params: SearchParams,
    pub(crate) pace: Pace,
    pub(crate) min_time: Duration,
    /// The processor of each thread; empty where the system may choose.
    pub(crate) pinned: &'a [usize],
}

/// What came of a round.
pub(crate) struct Round {
    /// Queries answered.
    pub(crate) queries: u64,
    pub(crate) qps: f64,
    pub(crate) latencies: Histogram<u64>,
    /// Seconds of each query of the first pass, where one thread asked them in order.
    pub(crate) first_pass: Vec<f32>,
}

/// An empty histogram of nanoseconds: three digits, up to 100 s.
pub(crate) fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, LONGEST, 3)
        .map_err(|e| Failure::new(Exit::Internal, format!("no histogram: {e}")))
}

/// Microseconds of the 50th, 95th, 99th and 99.9th percentile, where any latency was taken.
pub(crate) fn percentiles_us(latencies: &Histogram<u64>) -> [Option<f64>; 4] {
    let at = |share| latencies.value_at_quantile(share) as f64 / 1e3;
    [0.50, 0.95, 0.99, 0.999].map(|share| (!latencies.is_empty()).then(|| at(share)))
}

/// One thread's part of a round.
struct Part {
    queries: u64,
    seconds: f64,
    latencies: Histogram<u64>,
    first_pass: Vec<f32>,
}

/// Runs one round, a thread for each session.
pub(crate) fn run<Q: Questions>(
    questions: &Q,
    sessions: &mut [Q::Session],
    spec: RoundSpec<'_>,
    interrupt: &Interrupt,
) -> Result<Round, Failure> {
    let threads = sessions.len();
    let (barrier, next) = (Barrier::new(threads), AtomicU64::new(0));
    let (barrier, next) = (&barrier, &next);
    let parts: Vec<Result<Part, Failure>> = std::thread::scope(|scope| {
        let workers: Vec<_> = sessions
            .iter_mut()
            .enumerate()
            .map(|(thread, session)| {
                let asker = Asker { questions, session, params: spec.params, interrupt };
                scope.spawn(move || {
                    let pinned = pin(spec.pinned.get(thread).copied());
                    let mut asker = asker;
                    let warm = asker.warm_up(thread);
                    // All threads meet here, failed or not, or the others would wait for ever.
                    barrier.wait();
                    pinned.and(warm)?;
                    match spec.pace {
                        Pace::Closed => asker.closed(thread, threads, spec.min_time),
                        Pace::Open(rate) => asker.open(next, rate, spec.min_time),
                        Pace::Batch => asker.batch(thread, threads, spec.min_time),
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(panicked())))
            .collect()
    });
    let mut round = Round { queries: 0, qps: 0.0, latencies: histogram()?, first_pass: Vec::new() };
    let mut longest = 0.0_f64;
    for part in parts {
        let part = part?;
        round.queries += part.queries;
        round.qps += part.queries as f64 / part.seconds.max(1e-9);
        longest = longest.max(part.seconds);
        round.latencies += part.latencies;
        if threads == 1 {
            round.first_pass = part.first_pass;
        }
    }
    if let Pace::Open(_) = spec.pace {
        // The threads share one stream of queries.
        round.qps = round.queries as f64 / longest.max(1e-9);
    }
    Ok(round)
}

/// One thread that asks.
struct Asker<'a, Q: Questions> {
    questions: &'a Q,
    session: &'a mut Q::Session,
    params: SearchParams,
    interrupt: &'a Interrupt,
}

impl<Q: Questions> Asker<'_, Q> {
    fn ask(&mut self, at: usize) -> Result<(), Failure> {
        self.questions.ask(self.session, at, &self.params)?;
        Ok(())
    }

    fn warm_up(&mut self, thread: usize) -> Result<(), Failure> {
        let rows = self.questions.len();
        (0..WARM_UP.min(rows)).try_for_each(|at| self.ask((thread * WARM_UP + at) % rows))
    }

    /// Asks every `threads`th query from `thread` on, whole passes, until the time is over.
    fn closed(
        &mut self,
        thread: usize,
        threads: usize,
        min_time: Duration,
    ) -> Result<Part, Failure> {
        let mut latencies = histogram()?;
        let mut first_pass = Vec::with_capacity(self.questions.len());
        let (mut asked, start) = (0, Instant::now());
        let mut last = start;
        loop {
            for at in (thread..self.questions.len()).step_by(threads) {
                if asked % AT_A_TIME == 0 {
                    self.interrupt.check()?;
                }
                self.ask(at)?;
                // One look at the clock a query: an answer ends where the next question begins.
                let now = Instant::now();
                let took = now - last;
                latencies.saturating_record(took.as_nanos() as u64);
                if first_pass.len() < first_pass.capacity() {
                    first_pass.push(took.as_secs_f32());
                }
                last = now;
                asked += 1;
            }
            let elapsed = last - start;
            if elapsed >= min_time || asked == 0 {
                let (queries, seconds) = (asked as u64, elapsed.as_secs_f64());
                return Ok(Part { queries, seconds, latencies, first_pass });
            }
        }
    }

    /// Is given every `threads`th query from `thread` on, [`AT_A_TIME`], in whole passes, until the
    /// time is over. A query of them has no latency of its own.
    fn batch(
        &mut self,
        thread: usize,
        threads: usize,
        min_time: Duration,
    ) -> Result<Part, Failure> {
        let rows: Vec<usize> = (thread..self.questions.len()).step_by(threads).collect();
        let (mut asked, start) = (0, Instant::now());
        loop {
            for rows in rows.chunks(AT_A_TIME) {
                self.interrupt.check()?;
                self.questions.ask_several(self.session, rows, &self.params)?;
                asked += rows.len();
            }
            let elapsed = start.elapsed();
            if elapsed >= min_time || asked == 0 {
                let (queries, seconds) = (asked as u64, elapsed.as_secs_f64());
                let latencies = histogram()?;
                return Ok(Part { queries, seconds, latencies, first_pass: Vec::new() });
            }
        }
    }

    /// Takes the next query of all threads, waits until it is due, and asks it.
    fn open(&mut self, next: &AtomicU64, rate: f64, min_time: Duration) -> Result<Part, Failure> {
        let mut latencies = histogram()?;
        let mut asked = 0;
        let start = Instant::now();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let due = start + Duration::from_secs_f64(at as f64 / rate);
            if due - start >= min_time {
                let seconds = start.elapsed().as_secs_f64();
                return Ok(Part { queries: asked, seconds, latencies, first_pass: Vec::new() });
            }
            self.interrupt.check()?;
            wait_until(due);
            self.ask((at % self.questions.len() as u64) as usize)?;
            latencies.saturating_record(due.elapsed().as_nanos() as u64);
            asked += 1;
        }
    }
}

/// Sleeps for most of the time and spins for the rest: sleeping alone wakes late by more than a
/// search takes.
fn wait_until(due: Instant) {
    const SPIN: Duration = Duration::from_micros(200);
    if let Some(most) = due.checked_duration_since(Instant::now()).and_then(|t| t.checked_sub(SPIN))
    {
        std::thread::sleep(most);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

/// Processors that this process may run on, for pinning.
pub(crate) fn processors() -> Result<Vec<usize>, Failure> {
    let set = sched_getaffinity(None)
        .map_err(|e| Failure::new(Exit::Unavailable, format!("cannot tell the processors: {e}")))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps this thread on one processor.
fn pin(processor: Option<usize>) -> Result<(), Failure> {
    let Some(processor) = processor else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).map_err(|e| {
        Failure::new(Exit::Unavailable, format!("cannot pin to processor {processor}: {e}"))
    })
}
