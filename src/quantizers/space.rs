//! Distances among coded items.

use std::marker::PhantomData;

use super::query::{CodeForm, CodeScorer};
use super::{CodeKind, Codes, I8};
use crate::kernels::{CodeQuery, Isa, Space};
use crate::types::{NodeId, Scorer};

/// Coded items among themselves: half the squared L2 distance of the coded vectors, each with one
/// more component. For L2 and cosine there is none. An inner-product index gives each item
/// `extra = sqrt(bound − ‖x‖²)`, `bound` being the largest squared norm: all items then have one norm
/// (Bachrach et al., RecSys 2014, section 3), and among such the L2 distance is a metric in which
/// graphs can be built, where the inner product is none.
#[derive(Clone, Copy, Debug)]
pub struct CodeSpace<'a> {
    codes: Codes<'a>,
    extras: &'a [f32],
}

impl<'a> CodeSpace<'a> {
    /// The space of rows of [`CodeKind::I8`]; `extras` is `[n]`, or empty where items have none.
    ///
    /// # Panics
    /// If the rows are of another kind, or the extra components of another number.
    pub fn new(codes: Codes<'a>, extras: &'a [f32]) -> Self {
        assert_eq!(codes.layout.kind, CodeKind::I8);
        assert!(extras.is_empty() || extras.len() == codes.len());
        Self { codes, extras }
    }
}

/// An item as a query: its codes as signed numbers.
#[derive(Debug, Default)]
pub struct ItemCodes(Vec<i8>);

impl Space for CodeSpace<'_> {
    type Buffer = ItemCodes;

    fn len(&self) -> usize {
        self.codes.len()
    }

    #[inline(always)]
    fn scorer<'a, I: Isa>(
        &'a self,
        isa: I,
        node: NodeId,
        buffer: &'a mut ItemCodes,
    ) -> impl Scorer + 'a {
        let (row, terms) = (self.codes.codes(node), self.codes.terms(node));
        let ItemCodes(components) = buffer;
        components.clear();
        components.extend(row.iter().map(|byte| (byte ^ 128) as i8));
        let sum = components.iter().map(|x| i32::from(*x)).sum();
        let form = CodeForm { bias: terms.half_square, weight: 1.0, factor: -terms.scale };
        let query = CodeQuery { components, sum };
        let scorer = CodeScorer { isa, codes: self.codes, query, form, kind: PhantomData::<I8> };
        let extra = self.extras.get(node.index()).copied().unwrap_or(0.0);
        ItemScorer { scorer, extra, extras: self.extras }
    }
}

/// Adds to distances of codes what the extra components make of them: `(e − extra)² / 2`.
struct ItemScorer<'a, I> {
    scorer: CodeScorer<'a, I, I8>,
    extra: f32,
    extras: &'a [f32],
}

impl<I: Isa> Scorer for ItemScorer<'_, I> {
    #[inline(always)]
    fn score(&self, nodes: &[NodeId], distances: &mut [f32]) {
        self.scorer.score(nodes, distances);
        if !self.extras.is_empty() {
            for (node, distance) in nodes.iter().zip(&mut *distances) {
                let difference = self.extras[node.index()] - self.extra;
                *distance += 0.5 * difference * difference;
            }
        }
        // Of an item and its like, rounding can leave less than nothing.
        for distance in distances {
            *distance = distance.max(0.0);
        }
    }

    #[inline(always)]
    fn prefetch(&self, node: NodeId) {
        self.scorer.prefetch(node);
        if !self.extras.is_empty() {
            self.scorer.isa.prefetch_bytes(bytemuck::bytes_of(&self.extras[node.index()]));
        }
    }

    #[inline(always)]
    fn prefetch_list(&self, list: &[NodeId]) {
        self.scorer.prefetch_list(list);
    }
}
