//! How far off a distance of codes may be.
//!
//! With the words of the module above: a row's codes differ from its vector by a vector at right
//! angles to it whose length is `‖x'‖ tan θ`, where `sin θ ≤ ρ = √dim · step_x / (2 ‖x'‖)`. The scale
//! of a row differs from its `step_x` by a factor between `1 − ρ` and `1 + ρ`, and `ρ ≤ √dim / 254`,
//! since no component is longer than the vector. So with one factor for all rows
//!
//! ```text
//! ‖x'‖ tan θ ≤ √dim / 2 · scale · F,    F = 1 / ((1 − ρ) √(1 − ρ²))
//! ```
//!
//! and a product is off by at most `‖q'‖` times that, plus `√dim / 2 · step_q · ‖x'‖ F` for the rounding
//! of the query. [`CodeKind::I8`] has this bound: what lies beyond it is farther, for sure.
//!
//! The bound of [`CodeKind::U4`] would be a fifteenth of the range and shut nothing out. There it is six
//! standard deviations of a rounding error that has no preferred direction, `‖q'‖ · scale / √3` for a
//! product. Nothing is proven by it.

use super::{CodeBounds, CodeKind, CodeTerms, Codes, QueryCodes};
use crate::types::{Metric, NodeId};

/// Components of an i8 code are off by up to half a scale either way, all the same likely; those of a u4
/// code by up to one.
fn deviation_in_scales(kind: CodeKind) -> f32 {
    match kind {
        CodeKind::I8 => 1.0 / 12_f32.sqrt(),
        CodeKind::U4 => 1.0 / 3_f32.sqrt(),
    }
}

/// Standard deviations that a margin of [`CodeKind::U4`] is wide.
const DEVIATIONS: f32 = 6.0;

/// Rounding of f32 arithmetic, as a share of the numbers that a distance is the sum of: products of
/// vectors differ by some of it between kernels.
const ROUNDING: f32 = 4e-6;

/// How far distances of codes to one query may be from those of the vectors, either way.
#[derive(Clone, Copy, Debug)]
pub struct Margin<'a> {
    codes: Codes<'a>,
    per_scale: f32,
    per_norm: f32,
    rounding: f32,
    widest: f32,
    deviation_per_scale: f32,
    /// Whether no distance is ever farther off.
    pub proven: bool,
}

impl Margin<'_> {
    /// Of one row.
    #[inline(always)]
    pub fn of(&self, node: NodeId) -> f32 {
        self.at(self.codes.terms(node))
    }

    /// How far off the distance of one row usually is: a standard deviation.
    pub fn deviation(&self, node: NodeId) -> f32 {
        self.deviation_per_scale * self.codes.terms(node).scale
    }

    /// Of any row.
    #[inline(always)]
    pub fn widest(&self) -> f32 {
        self.widest
    }

    #[inline(always)]
    fn at(&self, terms: CodeTerms) -> f32 {
        let CodeTerms { scale, half_square } = terms;
        self.per_scale * scale + self.per_norm * (2.0 * half_square).sqrt() + self.rounding
    }
}

impl QueryCodes {
    /// The margin of distances of `codes` to the query that was prepared for them.
    pub fn margin<'a>(&self, metric: Metric, codes: Codes<'a>) -> Margin<'a> {
        let dim = codes.layout.dim as f32;
        let norm = super::dot(&self.vector, &self.vector).sqrt();
        let step = super::largest(&self.vector) / 127.0;
        // Squared distances have the product twice.
        let products = if metric == Metric::L2 { 2.0 } else { 1.0 };
        let rho = dim.sqrt() / 254.0;
        // Where the bound of the angle reaches 45 degrees, which is beyond 32,000 dimensions, there is
        // none.
        let factor =
            if rho < 0.7 { 1.0 / ((1.0 - rho) * (1.0 - rho * rho).sqrt()) } else { f32::INFINITY };
        let of_query = products * 0.5 * dim.sqrt() * step * factor;
        let kind = codes.layout.kind;
        let deviation_per_scale = products * norm * deviation_in_scales(kind);
        let (per_scale, proven) = match kind {
            CodeKind::I8 => (products * 0.5 * dim.sqrt() * norm * factor, true),
            CodeKind::U4 => (DEVIATIONS * deviation_per_scale, false),
        };
        let CodeBounds { norm: longest, terms, .. } = codes.bounds;
        let rounding = ROUNDING * products * (norm * longest + terms.half_square + norm * norm);
        let (per_norm, widest) = (of_query, 0.0);
        let mut margin =
            Margin { codes, per_scale, per_norm, rounding, widest, deviation_per_scale, proven };
        margin.widest = margin.at(terms);
        margin
    }
}
