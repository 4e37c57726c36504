//! The walk over the graph, compiled per instruction set and element type.

use std::marker::PhantomData;
use std::time::Instant;

use crate::graph::beam::{Beam, BeamStats};
use crate::graph::levels::descend;
use crate::kernels::{Element, Isa, Operation};
use crate::search::Target;
use crate::vectors::{Form, RowScorer};

/// Descends to the base layer and searches it; what was found is left in `beam`.
pub(super) struct Walk<'a, E> {
    pub(super) target: &'a Target<'a>,
    pub(super) query: &'a [f32],
    pub(super) form: Form<'a>,
    pub(super) beam: &'a mut Beam,
    pub(super) ef: usize,
    pub(super) deadline: Option<Instant>,
    pub(super) element: PhantomData<E>,
}

impl<E: Element> Operation for Walk<'_, E> {
    type Output = BeamStats;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> BeamStats {
        let Walk { target, query, form, beam, ef, deadline, .. } = self;
        let scorer = RowScorer { isa, rows: target.vectors.rows::<E>(), query, form };
        let (words, layout) = target.levels;
        let (layers, slot) = layout.top_down(words);
        let (entry, mut stats) = descend(beam, &scorer, layers, slot);
        stats.add(beam.search(target.graph, &scorer, &[entry], ef, deadline));
        stats
    }
}
