//! The beam search that queries and inserts share.
//!
//! Subramanya et al., "DiskANN" (NeurIPS 2019), algorithm 1, with the candidate list kept sorted:
//! take the closest candidate whose neighbors have not been read, score those of its neighbors
//! that are new, keep the `ef` closest; stop when every kept candidate has been read.

use std::time::Instant;

use crate::graph::adjacency::Adjacency;
use crate::graph::pool::{Pool, Stop};
use crate::graph::visited::Visited;
use crate::types::{NodeId, Scorer};

/// Reusable memory of one searching thread. Grows to the largest graph and `ef` it has served and
/// allocates nothing after that.
#[derive(Debug, Default)]
pub struct Beam {
    pub(super) pool: Pool,
    pub(super) visited: Visited,
    /// The new neighbors of one node, and their distances.
    pub(super) batch: Vec<NodeId>,
    pub(super) distances: Vec<f32>,
    /// How many of the batch are asked for and not yet scored.
    fresh: usize,
    /// The node whose list is asked for and not yet read.
    next: Option<NodeId>,
    /// What the search in hand has done.
    stats: BeamStats,
    /// Of a walk among all nodes that returns some: the closest of those.
    pub(super) admitted: Pool,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// The closest candidates: each of them is expanded, and others until `keep` are there.
    pub ef: usize,
    /// Candidates kept where that is more than `ef`: a search for many results need not look as far as
    /// each of them.
    pub keep: usize,
    /// When it is over before all of them are expanded.
    pub stop: Stop,
    /// When it is over whatever it has found.
    pub deadline: Option<Instant>,
}

impl Reach {
    /// Until every one of `ef` candidates is expanded.
    pub fn of(ef: usize) -> Self {
        Self { ef, keep: ef, stop: Stop::NEVER, deadline: None }
    }
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeamStats {
    /// Nodes whose neighbors were read.
    pub visited: u64,
    /// Distances computed.
    pub distances: u64,
    /// The deadline passed before the search had converged.
    pub timed_out: bool,
}

impl BeamStats {
    /// Adds what another search did.
    pub fn add(&mut self, other: BeamStats) {
        self.visited += other.visited;
        self.distances += other.distances;
        self.timed_out |= other.timed_out;
    }
}

/// Size of the candidate list where a query names none, or `k` where that is more.
pub const DEFAULT_EF: usize = 100;

/// The clock is read once per this many expanded nodes.
pub(super) const EXPANSIONS_PER_CLOCK_READ: u64 = 32;

impl Beam {
    /// Searches one layer from `entries` and leaves the closest nodes found in
    /// [`Beam::found`]. `entries` holds each node once.
    #[inline(always)]
    pub fn search<S: Scorer>(
        &mut self,
        layer: Adjacency<'_>,
        scorer: &S,
        entries: &[NodeId],
        reach: Reach,
    ) -> BeamStats {
        self.begin(layer, scorer, entries, reach);
        while self.step(layer, scorer, reach.deadline) {}
        self.end()
    }

    /// Begins a search, which [`Beam::step`] goes on with.
    #[inline(always)]
    pub fn begin<S: Scorer>(
        &mut self,
        layer: Adjacency<'_>,
        scorer: &S,
        entries: &[NodeId],
        reach: Reach,
    ) {
        let Reach { ef, keep, stop, .. } = reach;
        self.pool.reset(ef, stop);
        if ef < keep {
            self.pool.keep(keep);
        }
        self.visited.reset(layer.len());
        self.stats = BeamStats::default();
        self.next = None;
        self.make_room(layer.longest().max(entries.len()));
        self.fresh = self.visited.insert(entries, &mut self.batch[..entries.len()]);
        self.ask(scorer);
    }

    /// Scores the rows that were asked for and asks for the list of the closest candidate, or reads the list
    /// that was asked for and asks for the rows of its nodes; false once the search is over. What is asked
    /// for takes its time to come, in which a thread that has other searches in hand goes on with those.
    #[inline(always)]
    pub fn step<S: Scorer>(
        &mut self,
        layer: Adjacency<'_>,
        scorer: &S,
        deadline: Option<Instant>,
    ) -> bool {
        if let Some(node) = self.next.take() {
            self.fresh = self.take(layer, node, scorer);
            self.ask(scorer);
            return true;
        }
        let mut stats = self.stats;
        self.offer(scorer, self.fresh, &mut stats);
        self.fresh = 0;
        if let Some(deadline) = deadline
            && stats.visited % EXPANSIONS_PER_CLOCK_READ == EXPANSIONS_PER_CLOCK_READ - 1
            && Instant::now() >= deadline
        {
            stats.timed_out = true;
        } else {
            self.next = self.pool.expand_next();
        }
        if let Some(node) = self.next {
            stats.visited += 1;
            scorer.prefetch_list(layer.list(node));
            // What is expanded after it is one of these unless a closer one comes.
            for later in self.pool.upcoming() {
                scorer.prefetch_list(layer.list(later));
            }
        }
        self.stats = stats;
        self.next.is_some()
    }

    /// Ends a search: what was found can be read.
    #[inline(always)]
    pub fn end(&mut self) -> BeamStats {
        self.pool.settle();
        self.stats
    }

    /// Asks for what is needed to score the batch.
    #[inline(always)]
    fn ask<S: Scorer>(&self, scorer: &S) {
        for node in &self.batch[..self.fresh] {
            scorer.prefetch(*node);
        }
    }

    /// Puts the neighbors of a node that are new into the batch; how many they are. An unused slot holds
    /// the node itself, which has been seen.
    #[inline(always)]
    pub(super) fn take<S: Scorer>(
        &mut self,
        layer: Adjacency<'_>,
        node: NodeId,
        scorer: &S,
    ) -> usize {
        let (list, more) = (layer.list(node), layer.more(node));
        if more.is_empty() {
            return self.visited.insert(list, &mut self.batch[..list.len()]);
        }
        scorer.prefetch_list(more);
        let fresh = self.visited.insert(list, &mut self.batch[..list.len()]);
        fresh + self.visited.insert(more, &mut self.batch[fresh..][..more.len()])
    }

    /// Lets a batch hold so many nodes.
    #[inline(always)]
    pub(super) fn make_room(&mut self, nodes: usize) {
        if self.batch.len() < nodes {
            self.batch.resize(nodes, NodeId(0));
            self.distances.resize(nodes, 0.0);
        }
    }

    /// Scores the first `fresh` of the batch and offers them to the pool.
    #[inline(always)]
    pub(super) fn offer<S: Scorer>(&mut self, scorer: &S, fresh: usize, stats: &mut BeamStats) {
        let (batch, distances) = (&self.batch[..fresh], &mut self.distances[..fresh]);
        scorer.score(batch, distances);
        self.pool.insert(batch, distances);
        stats.distances += fresh as u64;
    }

    /// What the last search found, closest first but for what was kept beyond `ef`.
    pub fn found(&self) -> &Pool {
        &self.pool
    }
}
