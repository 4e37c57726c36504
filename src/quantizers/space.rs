//! Distances among coded items.

use std::marker::PhantomData;

use super::query::{CodeForm, CodeScorer};
use super::{CodeKind, Codes, I8};
use crate::kernels::{CodeQuery, Isa, Space};
use crate::types::{NodeId, Scorer};

/// Coded items among themselves: half the squared L2 distance of the coded vectors, each with its
/// extra component. For L2 and cosine there is none. An inner-product index gives each item
/// `extra = sqrt(bound − ‖x‖²)`, `bound` being the largest squared norm: all items then have one norm
/// (Bachrach et al., RecSys 2014, section 3), and among such the L2 distance is a metric in which
/// graphs can be built, where the inner product is none.
#[derive(Clone, Copy, Debug)]
pub struct CodeSpace<'a> {
    codes: Codes<'a>,
}

impl<'a> CodeSpace<'a> {
    /// The space of rows of [`CodeKind::I8`].
    ///
    /// # Panics
    /// If they are of another kind.
    pub fn new(codes: Codes<'a>) -> Self {
        assert_eq!(codes.layout.kind, CodeKind::I8);
        Self { codes }
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
        let row = self.codes.row(node);
        let ItemCodes(components) = buffer;
        components.clear();
        components.extend(row.codes.iter().map(|byte| (byte ^ 128) as i8));
        let sum = components.iter().map(|x| i32::from(*x)).sum();
        let form = CodeForm {
            bias: row.half_square,
            weight: 1.0,
            factor: -row.scale,
            extra_factor: -row.extra,
        };
        let query = CodeQuery { components, sum };
        CodeScorer::<I, I8> { isa, codes: self.codes, query, form, kind: PhantomData }
    }
}
