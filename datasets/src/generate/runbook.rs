//! Runbooks: in which order items come, change and go.

use std::fmt;

use super::{GenerateError, check};
use crate::random::Random;
use crate::runbook::{Runbook, Tags, Update};

/// How items come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunbookKind {
    /// A window over the rows: a batch comes at its front, and once half of all rows are live,
    /// another leaves at its back.
    SlidingWindow,
    /// Each batch gets a time to live when it comes: a tenth of all rounds (15 of 19), half of them
    /// (3 of 19), or for ever (1 of 19).
    Expiration,
    /// Rows lie in clusters, as in a set that is sorted by them. In each round some clusters gain
    /// rows, lose their oldest, or have rows replaced by others of the cluster: what is live drifts.
    Mixed,
}

impl RunbookKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::SlidingWindow, Self::Expiration, Self::Mixed];

    /// The name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding-window",
            Self::Expiration => "expiration",
            Self::Mixed => "mixed",
        }
    }
}

impl fmt::Display for RunbookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What runbook to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunbookParams {
    /// How items come and go.
    pub kind: RunbookKind,
    /// Rows of the base that it is for.
    pub n: u32,
    /// Rounds of updates. Each ends with a search; with a sliding window, once the window is full.
    pub rounds: u32,
    /// Clusters, for [`RunbookKind::Mixed`].
    pub clusters: u32,
    /// The same seed, the same runbook.
    pub seed: u64,
}

impl Default for RunbookParams {
    fn default() -> Self {
        Self { kind: RunbookKind::Mixed, n: 1_000_000, rounds: 100, clusters: 32, seed: 7 }
    }
}

/// Makes a runbook of the set `name`.
///
/// # Errors
/// A parameter that cannot be.
pub fn make_runbook(name: &str, params: &RunbookParams) -> Result<Runbook, GenerateError> {
    let RunbookParams { kind, n, rounds, clusters, .. } = *params;
    check("n", n, "from 20 to 2147483647", (20..=i32::MAX as u32).contains(&n))?;
    check("rounds", rounds, "from 2 to n / 2", (2..=n / 2).contains(&rounds))?;
    check("clusters", clusters, "from 1 to n / 20", (1..=n / 20).contains(&clusters))?;
    let mut random = Random::new(params.seed, kind.name(), 0);
    let steps = match kind {
        RunbookKind::SlidingWindow => sliding_window(params),
        RunbookKind::Expiration => expiration(params, &mut random),
        RunbookKind::Mixed => mixed(params, &mut random),
    };
    // What is made can be done: a test makes thousands.
    Runbook::new(name.to_owned(), None, steps).map_err(|error| GenerateError::Parameter {
        name: "n",
        expected: "parameters of a runbook that can be done",
        found: error.to_string(),
    })
}

/// Part `at` of `n` rows in `parts`, which differ by one row at most.
fn part(n: u32, parts: u32, at: u32) -> Tags {
    let edge = |at: u32| (u64::from(n) * u64::from(at) / u64::from(parts)) as u32;
    edge(at)..edge(at + 1)
}

fn sliding_window(params: &RunbookParams) -> Vec<Update> {
    let (rounds, window) = (params.rounds, params.rounds.div_ceil(2));
    let batch = |round| part(params.n, rounds, round);
    let mut steps = Vec::new();
    for round in 0..rounds {
        steps.push(Update::Insert(batch(round)));
        steps.extend(round.checked_sub(window).map(|old| Update::Delete(batch(old))));
        if round + 1 >= window {
            steps.push(Update::Search);
        }
    }
    steps
}

fn expiration(params: &RunbookParams, random: &mut Random) -> Vec<Update> {
    let rounds = params.rounds;
    let batch = |round| part(params.n, rounds, round);
    let mut due: Vec<Vec<u32>> = vec![Vec::new(); rounds as usize];
    let mut steps = Vec::new();
    for round in 0..rounds {
        steps.push(Update::Insert(batch(round)));
        let lifetime = match random.below(19) {
            0 => rounds,
            1..4 => rounds / 2,
            _ => rounds / 10,
        };
        if let Some(due) = due.get_mut((round + lifetime.max(1)) as usize) {
            due.push(round);
        }
        steps.extend(due[round as usize].iter().map(|&old| Update::Delete(batch(old))));
        steps.push(Update::Search);
    }
    steps
}

/// A cluster: the rows that become tags, and those that are kept to replace theirs.
struct Cluster {
    tags: Tags,
    spare: Tags,
    /// The tags that are live.
    live: Tags,
    /// The next row to replace one.
    next: u32,
}

impl Cluster {
    fn new(rows: Tags) -> Self {
        let middle = rows.end - rows.len() as u32 / 4;
        let live = rows.start..rows.start;
        Self { tags: rows.start..middle, spare: middle..rows.end, live, next: middle }
    }

    /// A part of `most`, at least one.
    fn some(random: &mut Random, most: u32) -> u32 {
        1 + random.below(u64::from(most.div_ceil(2))) as u32
    }

    fn update(&mut self, random: &mut Random) -> Update {
        // A cluster that has come and gone comes again.
        if self.live.is_empty() && self.live.end == self.tags.end {
            self.live = self.tags.start..self.tags.start;
        }
        let choice = random.below(4);
        let (left, there) = (self.tags.end - self.live.end, self.live.len() as u32);
        if there == 0 || (choice < 2 && left > 0) {
            let start = self.live.end;
            self.live.end += Self::some(random, left);
            return Update::Insert(start..self.live.end);
        }
        if choice == 2 {
            let start = self.live.start;
            self.live.start += Self::some(random, there);
            return Update::Delete(start..self.live.start);
        }
        if self.next == self.spare.end {
            self.next = self.spare.start;
        }
        let count = Self::some(random, there).min(self.spare.end - self.next);
        let start = self.live.start + random.below(u64::from(there - count + 1)) as u32;
        let rows = self.next..self.next + count;
        self.next = rows.end;
        Update::Replace { tags: start..start + count, rows }
    }
}

fn mixed(params: &RunbookParams, random: &mut Random) -> Vec<Update> {
    let rows = |at| part(params.n, params.clusters, at);
    let mut clusters: Vec<Cluster> =
        (0..params.clusters).map(|at| Cluster::new(rows(at))).collect();
    let mut steps = Vec::new();
    let mut live = 0;
    for _ in 0..params.rounds {
        for _ in 0..params.clusters.div_ceil(4) {
            let at = random.below(u64::from(params.clusters)) as usize;
            let update = clusters[at].update(random);
            match &update {
                Update::Insert(tags) => live += tags.len(),
                Update::Delete(tags) => live -= tags.len(),
                Update::Replace { .. } | Update::Search => {}
            }
            steps.push(update);
        }
        // With few clusters, all may be gone for a while.
        if live > 0 {
            steps.push(Update::Search);
        }
    }
    steps
}
