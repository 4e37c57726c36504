//! The walk over the graph, compiled per instruction set and per what it reads: the vectors
//! themselves, by element type, or their codes, by kind.
//!
//! A walk waits for memory: it asks for the rows of a node's neighbors, and can do nothing until they
//! are there. So a thread that has several queries to answer walks for [`LANES`] of them in turns, a step of
//! one while what another has asked for is on its way. What each finds is what it finds alone.

use std::marker::PhantomData;
use std::time::Instant;

use crate::graph::beam::{Beam, BeamStats, Reach};
use crate::graph::levels::{Entries, SlotScorer, descend};
use crate::kernels::{Element, Isa, Operation};
use crate::quantizers::{CodeType, Codes, QueryCodes};
use crate::search::Target;
use crate::types::{NodeId, Scorer};
use crate::vectors::{Form, RowScorer, Rows};

/// How many walks are in hand at a time. Two hide most of what there is to hide: three and four were
/// no faster, and the sets of nodes that they have seen need room in the caches.
pub(super) const LANES: usize = 2;

/// A query to walk for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) query: &'a [f32],
    pub(super) form: Form<'a>,
    pub(super) reach: Reach,
    /// How many of what is found are scored on vectors.
    pub(super) rerank: usize,
    /// What must not be returned.
    pub(super) exclude: Option<NodeId>,
}

/// What the walk for one query works in.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) walk: Walk,
    pub(super) codes: QueryCodes,
}

/// A walk in steps: through the upper layers, then the base layer.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) beam: Beam,
    /// The layer that is searched; 0 is the base.
    layer: usize,
    /// What was done before that.
    stats: BeamStats,
}

impl Walk {
    #[inline(always)]
    fn begin<I: Isa, S: Scorer>(
        &mut self,
        isa: I,
        target: &Target<'_>,
        scorer: &S,
        asked: &Asked<'_>,
    ) {
        self.stats = BeamStats::default();
        if let Some((entries, distances)) = entry_points(isa, target, asked.query) {
            (self.layer, self.stats.distances) = (0, distances);
            return self.come_in(target, scorer, &entries, asked.reach);
        }
        let layout = target.levels.1;
        self.layer = layout.count();
        self.come_in(target, scorer, &[layout.entry_slot()], asked.reach);
    }

    /// Comes into the layer.
    #[inline(always)]
    fn come_in<S: Scorer>(
        &mut self,
        target: &Target<'_>,
        scorer: &S,
        entries: &[NodeId],
        reach: Reach,
    ) {
        let (words, layout) = target.levels;
        match self.layer.checked_sub(1) {
            None => self.beam.begin(target.graph, scorer, entries, reach),
            Some(layer) => {
                let layer = layout.layer(words, layer);
                let scorer = SlotScorer { nodes: layer.nodes, scorer };
                self.beam.begin(layer.lists, &scorer, entries, Reach::of(layout.entries()));
            }
        }
    }

    /// One step; false once the walk is over.
    #[inline(always)]
    fn step<S: Scorer>(&mut self, target: &Target<'_>, scorer: &S, reach: &Reach) -> bool {
        if self.layer == 0 {
            return self.beam.step(target.graph, scorer, reach.deadline);
        }
        self.step_above(target, scorer, reach);
        true
    }

    /// One step in an upper layer.
    #[inline(always)]
    fn step_above<S: Scorer>(&mut self, target: &Target<'_>, scorer: &S, reach: &Reach) {
        let below = self.layer - 1;
        let (words, layout) = target.levels;
        let layer = layout.layer(words, below);
        let slots = SlotScorer { nodes: layer.nodes, scorer };
        if !self.beam.step(layer.lists, &slots, None) {
            self.stats.add(self.beam.end());
            let entries = layer.entries_below(&self.beam);
            self.layer = below;
            self.come_in(target, scorer, &entries, *reach);
        }
    }

    #[inline(always)]
    fn end(&mut self) -> BeamStats {
        self.stats.add(self.beam.end());
        self.stats
    }
}

/// Walks by distances of vectors; what was found is left in `walk`.
pub(super) struct WalkRows<'a, E> {
    pub(super) target: &'a Target<'a>,
    pub(super) rows: Rows<'a, E>,
    pub(super) asked: &'a Asked<'a>,
    pub(super) walk: &'a mut Walk,
}

impl<E: Element> Operation for WalkRows<'_, E> {
    type Output = BeamStats;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> BeamStats {
        let Self { target, rows, asked, walk } = self;
        let scorer = RowScorer { isa, rows, query: asked.query, form: asked.form };
        walk.begin(isa, target, &scorer, asked);
        while walk.step(target, &scorer, &asked.reach) {}
        walk.end()
    }
}

/// Walks by distances of codes for one query or more; each is told to `done` when it is over. A query
/// whose turn comes after its deadline is not walked for.
pub(super) struct WalkCodes<'a, K, D> {
    pub(super) target: &'a Target<'a>,
    pub(super) codes: Codes<'a>,
    pub(super) asked: &'a [Asked<'a>],
    pub(super) lanes: &'a mut [Lane; LANES],
    /// Takes the number of the query, and what was found; nothing where there was no walk.
    pub(super) done: D,
    pub(super) kind: PhantomData<K>,
}

impl<K: CodeType, D: FnMut(usize, Option<&Beam>, BeamStats)> Operation for WalkCodes<'_, K, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { target, codes, asked, lanes, mut done, .. } = self;
        let mut next = 0;
        let mut held = [const { None::<usize> }; LANES];
        let used = asked.len().min(LANES);
        loop {
            let mut walking = false;
            for (Lane { walk, codes: prepared }, held) in lanes[..used].iter_mut().zip(&mut held) {
                if let Some(at) = *held {
                    let scorer = prepared.scorer::<I, K>(isa, codes);
                    if walk.step(target, &scorer, &asked[at].reach) {
                        walking = true;
                        continue;
                    }
                    let stats = walk.end();
                    done(at, Some(&walk.beam), stats);
                }
                *held = None;
                while let Some(asked) = asked.get(next) {
                    next += 1;
                    if next > 1 && asked.reach.deadline.is_some_and(|at| Instant::now() >= at) {
                        let stats = BeamStats { timed_out: true, ..BeamStats::default() };
                        done(next - 1, None, stats);
                        continue;
                    }
                    let scale = asked.form.query_scale();
                    prepared.prepare(target.metric, asked.query, scale, codes);
                    walk.begin(isa, target, &prepared.scorer::<I, K>(isa, codes), asked);
                    (*held, walking) = (Some(next - 1), true);
                    break;
                }
            }
            if !walking {
                return;
            }
        }
    }
}

/// Where a search comes into the base layer without going down, where the index has such points and the
/// query is of their kind; and how many distances that took.
#[inline(always)]
fn entry_points<I: Isa>(isa: I, target: &Target<'_>, query: &[f32]) -> Option<(Entries, u64)> {
    let points = target.entry_points.as_ref()?;
    let entries = points.find(isa, target.metric, query)?;
    Some((entries, points.len() as u64))
}

/// Where a search comes into the base layer: at the entry points or down the upper layers.
#[inline(always)]
pub(super) fn enter<I: Isa, S: Scorer>(
    isa: I,
    target: &Target<'_>,
    query: &[f32],
    scorer: &S,
    beam: &mut Beam,
) -> (Entries, BeamStats) {
    if let Some((entries, distances)) = entry_points(isa, target, query) {
        return (entries, BeamStats { distances, ..BeamStats::default() });
    }
    let (words, layout) = target.levels;
    let (layers, slot) = layout.top_down(words);
    descend(beam, scorer, layers, slot, layout.entries())
}
