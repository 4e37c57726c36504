//! The definition of every kernel. Sixteen partial sums, as the widest vector unit keeps them, so
//! that results stay close to the SIMD ones and the compiler may vectorise.

use super::{CodeQuery, Element, Isa, code_bytes};

/// Portable Rust; always available.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

const LANES: usize = 16;

#[inline(always)]
fn sum<E: Element>(query: &[f32], row: &[E], term: impl Fn(f32, f32) -> f32) -> f32 {
    assert_eq!(query.len(), row.len());
    let mut lanes = [0.0f32; LANES];
    for (q, x) in query.chunks(LANES).zip(row.chunks(LANES)) {
        for ((lane, q), x) in lanes.iter_mut().zip(q).zip(x) {
            *lane += term(*q, x.to_f32());
        }
    }
    lanes.iter().sum()
}

impl Isa for Scalar {
    #[inline(always)]
    fn dot<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        sum(query, row, |q, x| q * x)
    }

    #[inline(always)]
    fn l2<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        sum(query, row, |q, x| (q - x) * (q - x))
    }

    #[inline(always)]
    fn dot4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        queries.map(|query| self.dot(query, row))
    }

    #[inline(always)]
    fn l2_4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        queries.map(|query| self.l2(query, row))
    }

    #[inline(always)]
    fn widen<E: Element>(self, row: &[E], out: &mut [f32]) {
        assert_eq!(row.len(), out.len());
        for (x, out) in row.iter().zip(out) {
            *out = x.to_f32();
        }
    }

    #[inline(always)]
    fn dot_i8<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        code_bytes::<1, N>(query, rows);
        rows.map(|row| {
            let terms = row.iter().zip(query.components);
            terms.map(|(x, q)| (i32::from(*x) - 128) * i32::from(*q)).sum()
        })
    }

    #[inline(always)]
    fn dot_u4<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        let (low, high) = query.components.split_at(code_bytes::<2, N>(query, rows));
        rows.map(|row| {
            let terms = row.iter().zip(low).zip(high);
            let term = |u: u8, q: i8| (2 * i32::from(u) - 15) * i32::from(q);
            terms.map(|((x, low), high)| term(x & 15, *low) + term(x >> 4, *high)).sum()
        })
    }

    #[inline(always)]
    fn prefetch_bytes(self, _row: &[u8]) {}
}
