//! A query prepared for codes, and the scorer of searches.

use std::marker::PhantomData;

use super::{
    CodeBounds, CodeKind, CodeLayout, CodeTerms, CodeType, Codes, GROUP, dot, finite_or_zero,
    largest,
};
use crate::kernels::{CodeQuery, Isa};
use crate::types::{Metric, NodeId, Scorer, StepScorer};

/// What turns `D` and the numbers of a row into a distance:
/// `bias + weight · half_square + factor · scale · D`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CodeForm {
    pub(super) bias: f32,
    pub(super) weight: f32,
    pub(super) factor: f32,
}

/// A query as whole numbers. Memory is reused from query to query.
#[derive(Clone, Debug, Default)]
pub struct QueryCodes {
    /// In the order that the kernel of the kind wants.
    pub(super) components: Vec<i8>,
    sum: i32,
    pub(super) form: CodeForm,
    /// The query as it is coded, before rounding.
    pub(super) vector: Vec<f32>,
}

impl QueryCodes {
    /// Prepares `query`, `[dim]`, for `codes`. `query_scale` is `1 / ‖query‖` for cosine and not read
    /// otherwise. Cost: about four distances on vectors.
    #[inline(always)]
    pub fn prepare(&mut self, metric: Metric, query: &[f32], query_scale: f32, codes: Codes<'_>) {
        let center = codes.center;
        assert_eq!(query.len(), center.len());
        self.vector.clear();
        match metric {
            Metric::Ip => self.vector.extend_from_slice(query),
            Metric::L2 => self.vector.extend(query.iter().zip(center).map(|(q, c)| q - c)),
            Metric::Cosine => {
                self.vector.extend(query.iter().zip(center).map(|(q, c)| q * query_scale - c));
            }
        }
        let step = largest(&self.vector) / 127.0;
        self.round(codes.layout, step);
        let square = dot(&self.vector, &self.vector);
        self.form = match metric {
            Metric::L2 => CodeForm { bias: square, weight: 2.0, factor: -2.0 * step },
            Metric::Cosine => CodeForm { bias: 0.5 * square, weight: 1.0, factor: -step },
            Metric::Ip => {
                let bias = square.sqrt() * codes.bounds.norm - dot(query, center);
                CodeForm { bias, weight: 0.0, factor: -step }
            }
        };
    }

    /// Rounds `vector` to multiples of `step`.
    #[inline(always)]
    fn round(&mut self, layout: CodeLayout, step: f32) {
        let per_unit = finite_or_zero(1.0 / step);
        let bytes = layout.code_bytes();
        self.components.clear();
        match layout.kind {
            CodeKind::I8 => {
                self.components.resize(bytes, 0);
                for (component, x) in self.components.iter_mut().zip(&self.vector) {
                    *component = (x * per_unit).round_ties_even() as i8;
                }
            }
            CodeKind::U4 => {
                self.components.resize(2 * bytes, 0);
                let (low, high) = self.components.split_at_mut(bytes);
                let halves = low.chunks_exact_mut(GROUP).zip(high.chunks_exact_mut(GROUP));
                for ((low, high), group) in halves.zip(self.vector.chunks(2 * GROUP)) {
                    let (first, second) = group.split_at(group.len().min(GROUP));
                    for (out, x) in low.iter_mut().zip(first).chain(high.iter_mut().zip(second)) {
                        *out = (x * per_unit).round_ties_even() as i8;
                    }
                }
            }
        }
        self.sum = self.components.iter().map(|x| i32::from(*x)).sum();
    }

    /// Scores `codes`, for which the query was prepared, of the kind `K`.
    #[inline(always)]
    pub fn scorer<'a, I: Isa, K: CodeType>(
        &'a self,
        isa: I,
        codes: Codes<'a>,
    ) -> CodeScorer<'a, I, K> {
        let query = CodeQuery { components: &self.components, sum: self.sum };
        CodeScorer { isa, codes, query, form: self.form, kind: PhantomData }
    }
}

/// Scores code rows against one prepared query, four at a time.
#[derive(Clone, Copy, Debug)]
pub struct CodeScorer<'a, I, K> {
    pub(super) isa: I,
    pub(super) codes: Codes<'a>,
    pub(super) query: CodeQuery<'a>,
    pub(super) form: CodeForm,
    pub(super) kind: PhantomData<K>,
}

impl<I: Isa, K: CodeType> CodeScorer<'_, I, K> {
    /// Loops and not `array::from_fn`: a closure would not be compiled for the instruction set.
    #[inline(always)]
    fn dots<const N: usize>(&self, nodes: &[NodeId]) -> [i32; N] {
        let mut rows: [&[u8]; N] = [&[]; N];
        for (row, node) in rows.iter_mut().zip(nodes) {
            *row = self.codes.codes(*node);
        }
        K::dot::<I, N>(self.isa, self.query, rows)
    }

    #[inline(always)]
    fn some<const N: usize>(&self, nodes: &[NodeId], distances: &mut [f32]) {
        let dots = self.dots::<N>(nodes);
        for i in 0..N {
            distances[i] = self.finish(nodes[i], dots[i]);
        }
    }

    #[inline(always)]
    fn distance(&self, CodeTerms { scale, half_square }: CodeTerms, dot: i32) -> f32 {
        let CodeForm { bias, weight, factor } = self.form;
        bias + weight * half_square + factor * scale * dot as f32
    }
}

impl<I: Isa, K: CodeType> Scorer for CodeScorer<'_, I, K> {
    #[inline(always)]
    fn score(&self, nodes: &[NodeId], distances: &mut [f32]) {
        let whole = nodes.len() / 4 * 4;
        let (nodes, last_nodes) = nodes.split_at(whole);
        let (distances, last_distances) = distances.split_at_mut(whole);
        for (nodes, distances) in nodes.chunks_exact(4).zip(distances.chunks_exact_mut(4)) {
            self.some::<4>(nodes, distances);
        }
        for (node, distance) in last_nodes.iter().zip(last_distances) {
            self.some::<1>(std::slice::from_ref(node), std::slice::from_mut(distance));
        }
    }

    #[inline(always)]
    fn prefetch(&self, node: NodeId) {
        self.codes.prefetch_codes(self.isa, node);
        self.codes.prefetch_terms(self.isa, node);
    }

    #[inline(always)]
    fn prefetch_list(&self, list: &[NodeId]) {
        self.isa.prefetch_bytes(bytemuck::cast_slice(list));
    }
}

/// The product first, for which the codes are read; then the terms of the row, which lie elsewhere.
impl<I: Isa, K: CodeType> StepScorer for CodeScorer<'_, I, K> {
    type First = i32;

    #[inline(always)]
    fn prefetch_first(&self, node: NodeId) {
        self.codes.prefetch_codes(self.isa, node);
    }

    #[inline(always)]
    fn first(&self, nodes: &[NodeId], firsts: &mut [i32]) {
        let whole = nodes.len() / 4 * 4;
        let (nodes, last_nodes) = nodes.split_at(whole);
        let (firsts, last_firsts) = firsts.split_at_mut(whole);
        for (nodes, firsts) in nodes.chunks_exact(4).zip(firsts.chunks_exact_mut(4)) {
            firsts.copy_from_slice(&self.dots::<4>(nodes));
        }
        for (node, first) in last_nodes.iter().zip(last_firsts) {
            [*first] = self.dots::<1>(std::slice::from_ref(node));
        }
    }

    /// The distance with the terms that make it least: rounding keeps the order.
    #[inline(always)]
    fn least(&self, first: i32) -> f32 {
        let CodeBounds { terms, least_half_square, .. } = self.codes.bounds;
        let terms = CodeTerms { half_square: least_half_square, ..terms };
        self.distance(terms, first.max(0))
    }

    #[inline(always)]
    fn prefetch_rest(&self, node: NodeId) {
        self.codes.prefetch_terms(self.isa, node);
    }

    #[inline(always)]
    fn finish(&self, node: NodeId, first: i32) -> f32 {
        self.distance(self.codes.terms(node), first)
    }
}
