//! The one blocked exact scan: every row against every query.
//!
//! Rows are taken in blocks that stay in the second-level cache while all queries of a thread
//! pass over them, four queries to a row, so that a row is loaded and widened once for four.

use std::time::Instant;

use crate::kernels::{Element, Isa, Operation, dispatch};
use crate::types::{Admit, Metric, Neighbor, NodeId, Scorer, StepScorer};
use crate::vectors::{Form, RowScorer, Rows, Vectors, query_scale};
use crate::with_element;

/// Bytes of rows that a block may have: half of a small second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The clock is read once per this many rows.
const ROWS_PER_CLOCK_READ: usize = 4096;

/// Rows that are asked of memory before the first of them is scored, where they lie apart.
const ROWS_AHEAD: usize = 32;

/// Rows that kernels score at once.
const AT_ONCE: usize = 4;

/// An id and its distance, ordered by distance, ties by id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Smaller is closer.
    pub distance: f32,
    /// A node, or a row of a base larger than one segment.
    pub id: u64,
}

impl Eq for Found {}

impl Ord for Found {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Found {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&Found> for Neighbor {
    /// Of what was found in one segment, where ids are nodes.
    fn from(found: &Found) -> Self {
        Self { distance: found.distance, node: NodeId(found.id as u32) }
    }
}

/// The `k` closest of what was pushed. Holds up to `2k` and selects when full, so a push costs a
/// comparison and, rarely, its share of a linear selection.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    found: Vec<Found>,
    k: usize,
    /// Nothing farther than this can be among the closest any more.
    bound: f32,
}

impl TopK {
    /// Keeps the `k` closest, at least 1.
    pub fn new(k: usize) -> Self {
        let mut top = Self::default();
        top.reset(k);
        top
    }

    /// Empties it and keeps the `k` closest from now on. Memory is kept.
    pub fn reset(&mut self, k: usize) {
        self.found.clear();
        self.found.reserve(2 * k);
        self.k = k;
        self.bound = f32::INFINITY;
    }

    /// Offers an id.
    #[inline(always)]
    pub fn push(&mut self, distance: f32, id: u64) {
        if distance <= self.bound {
            self.found.push(Found { distance, id });
            if self.found.len() == 2 * self.k {
                self.select();
            }
        }
    }

    #[inline(never)]
    fn select(&mut self) {
        if self.found.len() >= self.k {
            let (_, last, _) = self.found.select_nth_unstable(self.k - 1);
            self.bound = last.distance;
            self.found.truncate(self.k);
        }
    }

    /// The closest, ascending.
    pub fn sorted(&mut self) -> &[Found] {
        self.select();
        self.found.sort_unstable();
        &self.found
    }
}

/// Queries `[q, dim]` with the scale of each, ready to be scanned.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// Row-major.
    pub components: &'a [f32],
    /// `[q]`, from [`query_scale`].
    pub scales: &'a [f32],
}

/// The scales of queries `[q, dim]`; see [`query_scale`].
pub fn query_scales(metric: Metric, components: &[f32], dim: usize) -> Vec<f32> {
    components.chunks_exact(dim).map(|query| query_scale(metric, query)).collect()
}

/// Offers every row of `vectors` to the `top` of every query, under the id `first_id + row`.
/// `row_scales` is `[n]` for cosine and not read otherwise. Runs on the calling thread; for several,
/// give each its own queries. Cost: `n · q` distances.
pub fn scan_many(
    vectors: Vectors<'_>,
    metric: Metric,
    row_scales: &[f32],
    queries: Queries<'_>,
    first_id: u64,
    tops: &mut [TopK],
) {
    with_element!(vectors.element, E => {
        let rows = vectors.rows::<E>();
        let n = vectors.len();
        dispatch(ScanMany { rows, n, metric, row_scales, queries, first_id, tops });
    });
}

struct ScanMany<'a, E> {
    rows: Rows<'a, E>,
    n: usize,
    metric: Metric,
    row_scales: &'a [f32],
    queries: Queries<'a>,
    first_id: u64,
    tops: &'a mut [TopK],
}

impl<E: Element> Operation for ScanMany<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let dim = self.rows.dim();
        let block = (BLOCK_BYTES / (dim * size_of::<E>())).max(1);
        let mut start = 0;
        while start < self.n {
            let end = (start + block).min(self.n);
            let mut at = 0;
            for tops in self.tops.chunks_mut(4) {
                // The last group repeats its last query; what that gives is not pushed.
                let of = |i: usize| at + i.min(tops.len() - 1);
                let [a, b, c, d] = [of(0), of(1), of(2), of(3)];
                let query = |q: usize| &self.queries.components[q * dim..][..dim];
                let queries = [query(a), query(b), query(c), query(d)];
                let scales = [a, b, c, d].map(|q| self.queries.scales[q]);
                let form = Form::of(self.metric, scales[0], self.row_scales);
                let scorer = RowScorer { isa, rows: self.rows, query: queries[0], form };
                for row in start..end {
                    let distances = scorer.four(queries, scales, NodeId(row as u32));
                    for (top, distance) in tops.iter_mut().zip(distances) {
                        top.push(distance, self.first_id + row as u64);
                    }
                }
                at += tops.len();
            }
            start = end;
        }
    }
}

/// Scans all rows that `admit` lets pass for one query, until a deadline.
#[derive(Debug)]
pub struct ScanOne<'a, E, A> {
    /// The rows.
    pub rows: Rows<'a, E>,
    /// `[dim]`.
    pub query: &'a [f32],
    /// The distance.
    pub form: Form<'a>,
    /// Which rows may be returned.
    pub admit: A,
    /// Where the closest are left.
    pub top: &'a mut TopK,
    /// Stop then.
    pub deadline: Option<Instant>,
}

impl<E: Element, A: Admit> Operation for ScanOne<'_, E, A> {
    /// How many rows were scored; fewer than all when the deadline passed.
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let n = self.rows.len();
        let scorer = RowScorer { isa, rows: self.rows, query: self.query, form: self.form };
        let mut start = 0;
        while start < n {
            let end = (start + ROWS_PER_CLOCK_READ).min(n);
            for row in start..end {
                let node = NodeId(row as u32);
                if self.admit.admit(node) {
                    self.top.push(scorer.one(node), row as u64);
                }
            }
            start = end;
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
        }
        start
    }
}

/// Nodes in ascending order, some at a time.
#[derive(Clone, Debug)]
pub enum NodeStream<'a> {
    /// Of a list.
    List(std::slice::Iter<'a, NodeId>),
    /// Of words of bits: what is left of the word at hand, the node of its first bit, and the words
    /// after it.
    Bits(u64, u32, std::slice::Iter<'a, u64>),
    /// All from one to another.
    All(std::ops::Range<u32>),
}

impl<'a> NodeStream<'a> {
    /// The nodes whose bits are set.
    pub fn of_words(words: &'a [u64]) -> Self {
        let mut words = words.iter();
        Self::Bits(words.next().copied().unwrap_or(0), 0, words)
    }

    /// Fills `batch` from its front; how many there were, fewer than fit only at the end.
    #[inline(always)]
    fn fill(&mut self, batch: &mut [NodeId]) -> usize {
        let mut count = 0;
        match self {
            Self::List(nodes) => {
                for (slot, node) in batch.iter_mut().zip(nodes) {
                    *slot = *node;
                    count += 1;
                }
            }
            Self::All(nodes) => {
                for (slot, node) in batch.iter_mut().zip(nodes) {
                    *slot = NodeId(node);
                    count += 1;
                }
            }
            Self::Bits(left, first, words) => {
                while count < batch.len() {
                    while *left == 0 {
                        let Some(word) = words.next() else { return count };
                        *left = *word;
                        *first += 64;
                    }
                    batch[count] = NodeId(*first + left.trailing_zeros());
                    *left &= *left - 1;
                    count += 1;
                }
            }
        }
        count
    }
}

/// The closest of what was offered by distances that are known within a margin: everything that can be
/// one of the `k` closest, and no more than can be told apart.
#[derive(Clone, Debug, Default)]
pub struct Closest {
    /// By the most that their distances can be.
    top: TopK,
    /// By the least.
    kept: Vec<Found>,
    /// When so many are kept, those that are ruled out meanwhile are let go.
    crowded: usize,
}

/// Kept before the first look at which are ruled out.
const CROWDED: usize = 1024;

impl Closest {
    /// Empties it and keeps what can be one of the `k` closest from now on.
    pub fn reset(&mut self, k: usize) {
        self.top.reset(k);
        self.kept.clear();
        self.crowded = CROWDED.max(4 * k);
    }

    /// Offers a node whose distance is off by at most `margin()`, and that by at most `widest`.
    #[inline(always)]
    fn offer(&mut self, distance: f32, widest: f32, node: NodeId, margin: impl Fn() -> f32) {
        if distance - widest > self.top.bound {
            return;
        }
        let (margin, id) = (margin(), u64::from(node.0));
        if distance - margin <= self.top.bound {
            self.top.push(distance + margin, id);
            self.kept.push(Found { distance: distance - margin, id });
            if self.kept.len() == self.crowded {
                self.top.select();
                let bound = self.top.bound;
                self.kept.retain(|found| found.distance <= bound);
                self.crowded = self.crowded.max(2 * self.kept.len());
            }
        }
    }

    /// Replaces the contents of `nodes` by what can be one of the closest, in no order.
    pub fn give(&mut self, nodes: &mut Vec<NodeId>) {
        self.top.select();
        let bound = self.top.bound;
        let close = self.kept.iter().filter(|found| found.distance <= bound);
        nodes.clear();
        nodes.extend(close.map(|found| NodeId(found.id as u32)));
    }
}

/// Offers the nodes of `nodes` that `admit` lets pass to `closest`, until a deadline. `margin` says by
/// how much the distance of a node may be off, at most `widest`. How many were scored.
///
/// It waits for memory: so while a row is scored, one of the batch after it is asked for, and what the
/// second step of scoring reads is asked for only of rows that the first does not rule out.
#[inline(always)]
pub fn scan_within<S: StepScorer, A: Admit>(
    scorer: &S,
    mut nodes: NodeStream<'_>,
    admit: &A,
    (margin, widest): (impl Fn(NodeId) -> f32, f32),
    closest: &mut Closest,
    deadline: Option<Instant>,
) -> usize {
    let mut batches = [[NodeId(0); ROWS_AHEAD]; 2];
    let mut firsts = [S::First::default(); ROWS_AHEAD];
    // Those of the batch before that the first step has not ruled out.
    let mut near = [(NodeId(0), S::First::default()); ROWS_AHEAD];
    let (mut scored, mut near_count, mut clock_at) = (0, 0, ROWS_PER_CLOCK_READ);
    // The next of them that pass; none where no nodes are left.
    let mut next = |batch: &mut [NodeId; ROWS_AHEAD]| {
        let filled = nodes.fill(batch);
        let mut count = 0;
        for at in 0..filled {
            let node = batch[at];
            batch[count] = node;
            count += usize::from(admit.admit(node));
        }
        (filled > 0).then_some(count)
    };
    let finish = |near: &[(NodeId, S::First)], closest: &mut Closest| {
        for (node, first) in near {
            let distance = scorer.finish(*node, *first);
            closest.offer(distance, widest, *node, || margin(*node));
        }
    };
    let [mut now, mut then] = batches.each_mut();
    let mut ready = next(now);
    for node in &now[..ready.unwrap_or(0)] {
        scorer.prefetch_first(*node);
    }
    while let Some(count) = ready {
        ready = next(then);
        let mut ahead = then[..ready.unwrap_or(0)].chunks(AT_ONCE);
        let (batch, firsts) = (&now[..count], &mut firsts[..count]);
        for (nodes, firsts) in batch.chunks(AT_ONCE).zip(firsts.chunks_mut(AT_ONCE)) {
            scorer.first(nodes, firsts);
            for node in ahead.next().unwrap_or_default() {
                scorer.prefetch_first(*node);
            }
        }
        for node in ahead.flatten() {
            scorer.prefetch_first(*node);
        }
        finish(&near[..near_count], closest);
        let bound = closest.top.bound;
        near_count = 0;
        for (node, first) in batch.iter().zip(firsts.iter()) {
            // What `offer` would turn away, it would turn away with more distance, too.
            if scorer.least(*first) - widest > bound {
                continue;
            }
            near[near_count] = (*node, *first);
            near_count += 1;
            scorer.prefetch_rest(*node);
        }
        std::mem::swap(&mut now, &mut then);
        scored += count;
        if scored >= clock_at {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            clock_at += ROWS_PER_CLOCK_READ;
        }
    }
    finish(&near[..near_count], closest);
    scored
}

/// Scores chosen rows for one query.
#[derive(Debug)]
pub struct ScoreNodes<'a, E> {
    /// The rows.
    pub rows: Rows<'a, E>,
    /// `[dim]`.
    pub query: &'a [f32],
    /// The distance.
    pub form: Form<'a>,
    /// Which rows.
    pub nodes: &'a [NodeId],
    /// Where the distances go, one a node.
    pub distances: &'a mut [f32],
}

impl<E: Element> Operation for ScoreNodes<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let scorer = RowScorer { isa, rows: self.rows, query: self.query, form: self.form };
        for (nodes, distances) in
            self.nodes.chunks(ROWS_AHEAD).zip(self.distances.chunks_mut(ROWS_AHEAD))
        {
            for node in nodes {
                scorer.prefetch(*node);
            }
            scorer.score(nodes, distances);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_is_a_sorted_prefix_whatever_the_order() {
        for (count, k) in [(0, 1), (1, 1), (7, 3), (100, 10), (100, 100), (50, 80)] {
            // A full-period walk over 0..101 visits the distances in a scrambled order.
            let distances: Vec<f32> = (0..count).map(|i| ((i * 37) % 101 / 2) as f32).collect();
            let mut top = TopK::new(k);
            for (id, distance) in distances.iter().enumerate() {
                top.push(*distance, id as u64);
            }
            let mut expected: Vec<Found> = (0..)
                .zip(&distances)
                .map(|(id, distance)| Found { distance: *distance, id })
                .collect();
            expected.sort();
            expected.truncate(k);
            assert_eq!(top.sorted(), expected, "{count} pushed, k {k}");
        }
    }
}
