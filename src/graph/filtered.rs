//! Beam searches whose results must pass a filter.
//!
//! | | candidates | good where |
//! |---|---|---|
//! | [`Beam::walk_among`] | all nodes; those that pass are kept apart, and bound the search | many pass |
//! | [`Beam::two_hop`] | nodes that pass; one that does not is a bridge to its neighbors | some do |
//!
//! The walk is the filtered search of hnswlib: the list of results says how far the search goes, and
//! nodes that do not pass are on the way. Two-hop is that of ACORN (Patel et al., SIGMOD 2024, section
//! 5) with NaviX's order (Sehgal & Salihoğlu, 2025): bridges in the order of the list, which begins with
//! the closest, and only until enough nodes that pass were met. We differ in that nodes are scored only
//! if they pass, and in that a bridge is crossed once in a search, whoever its neighbors are.

use std::time::Instant;

use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, BeamStats, DEFAULT_EF, EXPANSIONS_PER_CLOCK_READ, Reach};
use crate::graph::pool::{Pool, Stop};
use crate::types::{Admit, NodeId, Scorer};

/// What a search may take before it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// It is over then. A clock and not a count: an expanded node takes the longer the more candidates
    /// there are, which counts do not show.
    pub until: Option<Instant>,
    /// Candidates that a walk has room for: no fewer than can be expanded until then.
    pub room: usize,
    /// A search that meets less than this share of nodes that pass is over, so that its caller can think
    /// again; 0: none is.
    pub mistaken_below: f32,
    /// Neighbors that were looked at before that is concluded: what the filter is like on the way to the
    /// query, or right beside it, is not yet what it is like around it.
    pub evidence: u64,
}

impl Budget {
    fn is_mistaken(&self, met: &Met) -> bool {
        met.tested >= self.evidence && (met.passed as f32) < self.mistaken_below * met.tested as f32
    }
}

/// How a search came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing that is left can be closer.
    Converged,
    /// The deadline passed.
    Deadline,
    /// It took longer than it may.
    OverBudget,
    /// Far fewer nodes pass than expected.
    Mistaken,
}

/// How many of the neighbors of expanded nodes pass: what the filter is like where the query is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Neighbors that were looked at.
    pub tested: u64,
    /// Those that pass.
    pub passed: u64,
}

impl Met {
    /// The share that passes.
    pub fn rate(&self) -> f32 {
        self.passed as f32 / self.tested.max(1) as f32
    }
}

impl Beam {
    /// Searches one layer from `entries`, or on from where the last search stopped, and leaves the
    /// closest nodes found that `admit` lets pass in [`Beam::found_among`]. [`Reach`]
    /// has `ef` of all nodes, and at most `results` that pass are kept; [`candidates`] says how many of
    /// all must be expanded, by the `usual` rank of the `k`th.
    #[inline(always)]
    pub fn walk_among<S: Scorer, A: Admit>(
        &mut self,
        (layer, results, usual): (Adjacency<'_>, usize, f32),
        scorer: &S,
        admit: &A,
        entries: Option<&[NodeId]>,
        reach: Reach,
        budget: &Budget,
    ) -> (BeamStats, Met, End) {
        if entries.is_some() {
            self.pool.reset(reach.ef.max(budget.room).min(layer.len()), Stop::NEVER);
            self.admitted.reset(results, Stop::NEVER);
            self.visited.reset(layer.len());
        }
        self.make_room(layer.longest().max(entries.map_or(0, <[_]>::len)));
        let mut search = Filtered::new(self, layer, scorer, admit, (reach, budget));
        search.usual = usual;
        let fresh = search.enter(entries);
        search.offer_all(fresh, reach);
        let end = loop {
            let Some(node) = search.next() else { break search.exhausted() };
            let beam = &mut *search.beam;
            let fresh = beam.take(layer, node, scorer);
            for node in &beam.batch[..fresh] {
                scorer.prefetch(*node);
            }
            search.offer_all(fresh, reach);
            if let Some(end) = search.over() {
                break end;
            }
        };
        search.finish(end)
    }

    /// Searches one layer from `entries` through nodes that `admit` lets pass, and leaves the closest of
    /// them in [`Beam::found`]; `entries` may be among them and not pass. Bridges are crossed until
    /// `wanted` nodes were met. It ends among the nodes that it can reach, which may be the wrong ones
    /// where hardly any pass near the query.
    #[inline(always)]
    pub fn two_hop<S: Scorer, A: Admit>(
        &mut self,
        (layer, wanted): (Adjacency<'_>, usize),
        scorer: &S,
        admit: &A,
        entries: &[NodeId],
        reach: Reach,
        budget: &Budget,
    ) -> (BeamStats, Met, End) {
        self.pool.reset(reach.ef, reach.stop);
        self.visited.reset(layer.len());
        // A batch takes the rest of the list that it was filled by.
        self.make_room((wanted + layer.longest()).max(entries.len()));
        let mut search = Filtered::new(self, layer, scorer, admit, (reach, budget));
        let fresh = search.enter(Some(entries));
        search.beam.offer(scorer, fresh, &mut search.stats);
        let end = loop {
            let Some(node) = search.next() else { break End::Converged };
            let fresh = search.gather(node, wanted);
            search.beam.offer(scorer, fresh, &mut search.stats);
            if let Some(end) = search.over() {
                break end;
            }
        };
        search.finish(end)
    }

    /// What the last walk found, closest first.
    pub fn found_among(&self) -> &Pool {
        &self.admitted
    }
}

/// What the steps of one search share.
struct Filtered<'a, S, A> {
    beam: &'a mut Beam,
    layer: Adjacency<'a>,
    scorer: &'a S,
    admit: &'a A,
    deadline: Option<Instant>,
    budget: &'a Budget,
    stats: BeamStats,
    met: Met,
    /// Nodes that were expanded; fewer than lists that were read.
    expanded: u64,
    /// The rank that the `k`th result of a walk would have if filter and query had nothing to do with each
    /// other.
    usual: f32,
    /// Candidates of a walk; more than there can be until `k` were found that pass.
    wanted: usize,
}

/// How many candidates a walk expands whose `k`th result is the candidate of this `rank`, where it would
/// be that of the `usual` rank if the filter had nothing to do with the query. Some more than `rank`: for
/// finding the way; as many as the last of so few results are uncertain; and where those near the query
/// do not pass, so that results lie behind others, by the share that an unfiltered search has more than
/// `k`. Of all that, `ef` gets more or less than the default one would.
pub fn candidates(ef: usize, k: usize, rank: usize, usual: f32) -> usize {
    let (effort, rank, k) = (ef as f32 / DEFAULT_EF.max(k) as f32, rank as f32, k as f32);
    let behind = (rank - usual).max(0.0);
    let more = spare(k) * (((rank - behind) / k).sqrt() + behind / k);
    ef.max((0.8 * ef as f32 + rank + effort * more) as usize)
}

/// How many results more than `k` have to be known for the `k` closest to be among them.
pub fn spare(k: f32) -> f32 {
    1.6 * k.sqrt()
}

impl<'a, S: Scorer, A: Admit> Filtered<'a, S, A> {
    fn new(
        beam: &'a mut Beam,
        layer: Adjacency<'a>,
        scorer: &'a S,
        admit: &'a A,
        (reach, budget): (Reach, &'a Budget),
    ) -> Self {
        let (stats, met, deadline) = (BeamStats::default(), Met::default(), reach.deadline);
        let (expanded, wanted, usual) = (0, usize::MAX, 0.0);
        Self { beam, layer, scorer, admit, deadline, budget, stats, met, expanded, usual, wanted }
    }

    /// Puts where a search comes in into the batch; how many there are.
    #[inline(always)]
    fn enter(&mut self, entries: Option<&[NodeId]>) -> usize {
        let entries = entries.unwrap_or_default();
        let Beam { visited, batch, .. } = &mut *self.beam;
        visited.insert(entries, &mut batch[..entries.len()])
    }

    /// The node to expand next; what comes after it is asked for.
    #[inline(always)]
    fn next(&mut self) -> Option<NodeId> {
        let node = self.beam.pool.expand_next()?;
        self.expanded += 1;
        self.stats.visited += 1;
        for next in self.beam.pool.upcoming() {
            self.scorer.prefetch_list(self.layer.list(next));
        }
        Some(node)
    }

    /// Offers the first `fresh` of the batch as candidates, and those that pass as results. What is
    /// farther than the candidates that are wanted is of no interest any more.
    #[inline(always)]
    fn offer_all(&mut self, fresh: usize, Reach { ef, stop, .. }: Reach) {
        self.beam.offer(self.scorer, fresh, &mut self.stats);
        let Beam { pool, batch, distances, admitted, .. } = &mut *self.beam;
        let mut passed = 0;
        for at in 0..fresh {
            let (node, distance) = (batch[at], distances[at]);
            batch[passed] = node;
            distances[passed] = distance;
            passed += usize::from(self.admit.admit(node));
        }
        admitted.insert(&batch[..passed], &distances[..passed]);
        self.met.tested += fresh as u64;
        self.met.passed += passed as u64;
        let Some(kth) = admitted.key_at(stop.k) else { return };
        self.wanted = candidates(ef, stop.k, pool.rank(kth), self.usual);
        if let Some(key) = pool.key_at(self.wanted) {
            pool.lower_limit(key);
        }
        if stop.slack < f32::INFINITY {
            pool.lower_limit(stop.farthest(kth));
        }
    }

    /// Fills the batch with nodes not seen before that pass: neighbors of `node`, then, while they are
    /// fewer than `wanted`, neighbors of those neighbors that do not pass. How many they are.
    #[inline(always)]
    fn gather(&mut self, node: NodeId, wanted: usize) -> usize {
        let Beam { visited, batch, .. } = &mut *self.beam;
        let layer = self.layer;
        let (list, more) = (layer.list(node), layer.more(node));
        let mut fresh = 0;
        let mut bridges = [NodeId(0); BRIDGES];
        let mut crossed = 0;
        for neighbor in list.iter().chain(more) {
            if self.admit.admit(*neighbor) {
                batch[fresh] = *neighbor;
                fresh += usize::from(visited.insert_one(*neighbor));
                self.met.passed += 1;
            } else if crossed < BRIDGES && !visited.contains(*neighbor) {
                bridges[crossed] = *neighbor;
                crossed += 1;
            }
        }
        self.met.tested += (list.len() + more.len()) as u64;
        for neighbor in &batch[..fresh] {
            self.scorer.prefetch(*neighbor);
        }
        let bridges = &bridges[..crossed];
        for bridge in &bridges[..crossed.min(AHEAD)] {
            self.scorer.prefetch_list(layer.list(*bridge));
        }
        for (at, bridge) in bridges.iter().enumerate() {
            if fresh >= wanted {
                break;
            }
            if let Some(next) = bridges.get(at + AHEAD) {
                self.scorer.prefetch_list(layer.list(*next));
            }
            visited.insert_one(*bridge);
            self.stats.visited += 1;
            for neighbor in layer.list(*bridge).iter().chain(layer.more(*bridge)) {
                if self.admit.admit(*neighbor) {
                    batch[fresh] = *neighbor;
                    let new = visited.insert_one(*neighbor);
                    fresh += usize::from(new);
                    if new {
                        self.scorer.prefetch(*neighbor);
                    }
                }
            }
        }
        fresh
    }

    /// Whether it is over before it has converged.
    #[inline(always)]
    fn over(&mut self) -> Option<End> {
        if !self.expanded.is_multiple_of(EXPANSIONS_PER_CLOCK_READ) {
            return None;
        }
        let passed = |end: Option<Instant>| end.is_some_and(|end| Instant::now() >= end);
        if passed(self.deadline) {
            self.stats.timed_out = true;
            return Some(End::Deadline);
        }
        if passed(self.budget.until) {
            return Some(End::OverBudget);
        }
        self.budget.is_mistaken(&self.met).then_some(End::Mistaken)
    }

    /// Whether a walk that has nothing left to expand has found all that it could: not if it had no room
    /// for the candidates that are wanted.
    fn exhausted(&self) -> End {
        if self.wanted > self.beam.pool.capacity() { End::OverBudget } else { End::Converged }
    }

    fn finish(self, end: End) -> (BeamStats, Met, End) {
        self.beam.pool.settle();
        self.beam.admitted.settle();
        (self.stats, self.met, end)
    }
}

/// The most bridges of one node.
const BRIDGES: usize = 128;

/// Lists that are asked of memory before they are read.
const AHEAD: usize = 8;
