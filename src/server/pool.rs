//! The search threads: a queue and plain threads, each with its own memory.
//!
//! The async side moves bytes and nothing else. Everything that takes processor time or may wait
//! for the disk (parsing, searching, reading attributes, writing JSON) happens here, on one thread
//! from start to end, so that a request costs two wake-ups and no thread ever waits for another.
//! The queue needs no bound of its own: each job holds a permit of the one semaphore.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::search::{SearchJob, Worker};

/// Threads that answer search calls in the order of their arrival.
pub(super) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<SearchJob>,
    closed: bool,
}

impl Pool {
    /// Starts the threads.
    pub(super) fn start(threads: usize) -> io::Result<Pool> {
        let mut pool = Pool { queue: Arc::default(), threads: Vec::with_capacity(threads) };
        for number in 0..threads {
            let queue = Arc::clone(&pool.queue);
            let thread = std::thread::Builder::new()
                .name(format!("search-{number}"))
                .spawn(move || queue.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Puts a job at the end of the queue.
    pub(super) fn submit(&self, job: SearchJob) {
        self.queue.lock().jobs.push_back(job);
        self.queue.changed.notify_one();
    }
}

impl Drop for Pool {
    /// Waits for the jobs in hand. Jobs still queued have lost their clients by now and are
    /// dropped unanswered.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A search thread catches panics; there is nothing to learn from how it ended.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The queue is consistent between its operations, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<SearchJob> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut worker = Worker::default();
        while let Some(job) = self.next() {
            // A panic costs its own request a 500 (the reply channel closes), not the thread.
            if catch_unwind(AssertUnwindSafe(|| worker.answer(job))).is_err() {
                worker = Worker::default();
            }
        }
    }
}
