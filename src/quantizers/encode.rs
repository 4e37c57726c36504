//! From vectors to code rows.

use super::{CodeKind, CodeLayout, CodeTerms, GROUP, dot, finite_or_zero, largest};
use crate::kernels::{Isa, Operation, dispatch};

/// Shares of the largest magnitude that a row of [`CodeKind::U4`] may span. Fifteen steps are few:
/// giving up the largest components to have the others finer can pay.
const SPANS: [f32; 8] = [1.0, 0.93, 0.86, 0.8, 0.74, 0.68, 0.62, 0.56];

/// Codes vectors into `out`, `[rows, stride]`, and `terms`, `[rows]`. `row` is asked for each in
/// order: it fills in the components `[dim]`, for cosine of the vector at unit length. Cost: for i8 about as much as
/// four distances a row, for u4 ten times that.
pub fn encode_rows(
    layout: CodeLayout,
    center: &[f32],
    out: &mut [u8],
    terms: &mut [CodeTerms],
    row: &mut dyn FnMut(usize, &mut [f32]),
) {
    dispatch(EncodeRows { layout, center, out, terms, row });
}

pub(super) struct EncodeRows<'a> {
    pub(super) layout: CodeLayout,
    pub(super) center: &'a [f32],
    pub(super) out: &'a mut [u8],
    pub(super) terms: &'a mut [CodeTerms],
    pub(super) row: &'a mut dyn FnMut(usize, &mut [f32]),
}

impl Operation for EncodeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { layout, center, out, terms, row } = self;
        let mut vector = vec![0.0; layout.dim];
        let mut codes = vec![0.0; layout.dim];
        let rows = out.chunks_exact_mut(layout.stride).zip(terms);
        for (at, (out, terms)) in rows.enumerate() {
            row(at, &mut vector);
            for (x, center) in vector.iter_mut().zip(center) {
                *x -= center;
            }
            *terms = encode(layout, &vector, &mut codes, out);
        }
    }
}

/// Codes one centered vector; `codes` is memory that it may use.
#[inline(always)]
fn encode(layout: CodeLayout, vector: &[f32], codes: &mut [f32], out: &mut [u8]) -> CodeTerms {
    let square = dot(vector, vector);
    let magnitude = largest(vector);
    match layout.kind {
        CodeKind::I8 => round_i8(vector, magnitude, codes),
        CodeKind::U4 => round_best(vector, magnitude, codes),
    }
    let along = dot(vector, codes);
    let scale = if along > 0.0 { square / along } else { 0.0 };
    let (bytes, padding) = out.split_at_mut(layout.code_bytes());
    match layout.kind {
        CodeKind::I8 => pack_i8(codes, bytes),
        CodeKind::U4 => pack_u4(codes, bytes),
    }
    padding.fill(0);
    CodeTerms { scale, half_square: 0.5 * square }
}

/// The nearest of −127 … 127, the largest magnitude being 127.
#[inline(always)]
fn round_i8(vector: &[f32], magnitude: f32, codes: &mut [f32]) {
    let per_unit = finite_or_zero(127.0 / magnitude);
    for (code, x) in codes.iter_mut().zip(vector) {
        *code = (x * per_unit).round_ties_even();
    }
}

/// The nearest odd number of −15 … 15, `span` being 15.
#[inline(always)]
fn round_u4(vector: &[f32], span: f32, codes: &mut [f32]) {
    let per_unit = finite_or_zero(15.0 / span);
    for (code, x) in codes.iter_mut().zip(vector) {
        // Between two odd numbers lies an even one: halving puts the odd ones at the half-integers.
        let half = (x * per_unit * 0.5).floor().clamp(-8.0, 7.0);
        *code = 2.0 * half + 1.0;
    }
}

/// [`round_u4`] by the span whose codes point most nearly in the direction of the vector.
#[inline(always)]
fn round_best(vector: &[f32], magnitude: f32, codes: &mut [f32]) {
    let (mut best, mut best_span) = (-1.0, magnitude);
    for share in SPANS {
        round_u4(vector, magnitude * share, codes);
        let along = dot(vector, codes);
        let aligned = along * along / dot(codes, codes);
        if aligned > best {
            (best, best_span) = (aligned, magnitude * share);
        }
    }
    round_u4(vector, best_span, codes);
}

#[inline(always)]
fn pack_i8(codes: &[f32], bytes: &mut [u8]) {
    let (coded, padding) = bytes.split_at_mut(codes.len());
    for (byte, code) in coded.iter_mut().zip(codes) {
        *byte = (*code + 128.0) as u8;
    }
    padding.fill(128);
}

#[inline(always)]
fn pack_u4(codes: &[f32], bytes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact_mut(GROUP).zip(codes.chunks(2 * GROUP)) {
        let nibble = |at: usize| codes.get(at).map_or(0, |code| ((code + 15.0) * 0.5) as u8);
        for (j, byte) in bytes.iter_mut().enumerate() {
            *byte = nibble(j) | nibble(j + GROUP) << 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u4_codes_are_the_nearest_odd_numbers() {
        let vector: Vec<f32> = (-200..=200).map(|x| x as f32 / 10.0).collect();
        let mut codes = vec![0.0; vector.len()];
        round_u4(&vector, 15.0, &mut codes);
        for (x, code) in vector.iter().zip(&codes) {
            let odd = (-15..=15).step_by(2).map(|c| c as f32);
            let nearest = odd.map(|c| (c - x).abs()).fold(f32::INFINITY, f32::min);
            assert!(((code - x).abs() - nearest).abs() < 1e-5, "{x} coded as {code}");
        }
    }
}
