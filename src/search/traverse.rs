//! The walk over the graph, compiled per instruction set and per what it reads: the vectors
//! themselves, by element type, or their codes, by kind.

use std::marker::PhantomData;

use crate::graph::beam::{Beam, BeamStats, Reach};
use crate::graph::levels::{Entries, descend};
use crate::kernels::{Element, Isa, Operation};
use crate::quantizers::{CodeType, Codes, QueryCodes};
use crate::search::Target;
use crate::types::Scorer;
use crate::vectors::{Form, RowScorer, Rows};

/// Walks by distances of vectors; what was found is left in `beam`.
pub(super) struct WalkRows<'a, E> {
    pub(super) target: &'a Target<'a>,
    pub(super) rows: Rows<'a, E>,
    pub(super) query: &'a [f32],
    pub(super) form: Form<'a>,
    pub(super) beam: &'a mut Beam,
    pub(super) reach: Reach,
}

impl<E: Element> Operation for WalkRows<'_, E> {
    type Output = BeamStats;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> BeamStats {
        let Self { target, rows, query, form, beam, reach } = self;
        walk(isa, target, query, &RowScorer { isa, rows, query, form }, beam, reach)
    }
}

/// Walks by distances of codes; what was found is left in `beam`.
pub(super) struct WalkCodes<'a, K> {
    pub(super) target: &'a Target<'a>,
    pub(super) codes: Codes<'a>,
    pub(super) query: &'a [f32],
    /// `1 / ‖query‖` for cosine.
    pub(super) scale: f32,
    pub(super) prepared: &'a mut QueryCodes,
    pub(super) beam: &'a mut Beam,
    pub(super) reach: Reach,
    pub(super) kind: PhantomData<K>,
}

impl<K: CodeType> Operation for WalkCodes<'_, K> {
    type Output = BeamStats;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> BeamStats {
        let Self { target, codes, query, scale, prepared, beam, reach, .. } = self;
        prepared.prepare(target.metric, query, scale, codes);
        walk(isa, target, query, &prepared.scorer::<I, K>(isa, codes), beam, reach)
    }
}

/// Where a search comes into the base layer: at the entry points, where the index has some and the query
/// is of their kind, or down the upper layers.
#[inline(always)]
pub(super) fn enter<I: Isa, S: Scorer>(
    isa: I,
    target: &Target<'_>,
    query: &[f32],
    scorer: &S,
    beam: &mut Beam,
) -> (Entries, BeamStats) {
    if let Some(points) = &target.entry_points
        && let Some(entries) = points.find(isa, target.metric, query)
    {
        let distances = points.len() as u64;
        return (entries, BeamStats { distances, ..BeamStats::default() });
    }
    let (words, layout) = target.levels;
    let (layers, slot) = layout.top_down(words);
    descend(beam, scorer, layers, slot, layout.entries())
}

/// Comes into the base layer and searches it.
#[inline(always)]
fn walk<I: Isa, S: Scorer>(
    isa: I,
    target: &Target<'_>,
    query: &[f32],
    scorer: &S,
    beam: &mut Beam,
    reach: Reach,
) -> BeamStats {
    let (entries, mut stats) = enter(isa, target, query, scorer, beam);
    stats.add(beam.search(target.graph, scorer, &entries, reach));
    stats
}
