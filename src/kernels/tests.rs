//! Every instruction set, element type and dimension against the scalar definition, and against
//! simsimd as a second opinion.

use half::{bf16, f16};
use simsimd::SpatialSimilarity;

use super::{Element, Isa, IsaKind, Operation, dispatch_on};

/// Float sums in another order differ by at most this much of the sum of the terms' magnitudes:
/// 2 ULP of f32 per halving of 1,100 terms is far below it.
const RELATIVE_ERROR: f32 = 2e-6;

struct Rows<'a, E>([&'a [f32]; 4], &'a [E]);

impl<E: Element> Operation for Rows<'_, E> {
    type Output = [f32; 10];

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> [f32; 10] {
        let Rows(queries, row) = self;
        isa.prefetch(row);
        let (dots, l2s) = (isa.dot4(queries, row), isa.l2_4(queries, row));
        let mut all = [0.0; 10];
        all[0] = isa.dot(queries[0], row);
        all[1] = isa.l2(queries[0], row);
        all[2..6].copy_from_slice(&dots);
        all[6..].copy_from_slice(&l2s);
        all
    }
}

struct Widen<'a, E>(&'a [E]);

impl<E: Element> Operation for Widen<'_, E> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.0.len()];
        isa.widen(self.0, &mut out);
        out
    }
}

/// A small generator, so that the data need no dependency and no seed can be lost.
fn values(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 2.0 * scale
        })
        .collect()
}

fn check<E: Element>(scale: f32) {
    for dim in 1..=1100usize {
        let row: Vec<E> =
            values(dim as u64, dim, scale).into_iter().map(|x| E::from_f32(x)).collect();
        let queries: Vec<Vec<f32>> =
            (0..4).map(|q| values(dim as u64 * 7 + q + 1, dim, scale)).collect();
        let queries = [&queries[0][..], &queries[1], &queries[2], &queries[3]];
        let expected = dispatch_on(IsaKind::Scalar, Rows(queries, &row));
        let magnitude = |q: &[f32]| -> f32 {
            q.iter().zip(&row).map(|(q, x)| (q.abs() + x.to_f32().abs()).powi(2)).sum()
        };
        let bounds: Vec<f32> = queries.iter().map(|q| magnitude(q) * RELATIVE_ERROR).collect();
        for kind in IsaKind::ALL.into_iter().filter(|kind| kind.available()) {
            let widened = dispatch_on(kind, Widen(&row));
            assert!(widened.iter().zip(&row).all(|(w, x)| *w == x.to_f32()), "{dim}");
            let found = dispatch_on(kind, Rows(queries, &row));
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let bound = if i < 2 { bounds[0] } else { bounds[(i - 2) % 4] };
                assert!(
                    (found - expected).abs() <= bound,
                    "{} {} dim {dim} result {i}: {found}, scalar says {expected}",
                    kind.name(),
                    E::TYPE,
                );
            }
        }
    }
}

#[test]
fn f32_kernels_match_scalar() {
    check::<f32>(1.0);
}

#[test]
fn f16_kernels_match_scalar() {
    check::<f16>(1.0);
}

#[test]
fn bf16_kernels_match_scalar() {
    check::<bf16>(1.0);
}

#[test]
fn i8_kernels_match_scalar() {
    check::<i8>(127.0);
}

#[test]
fn u8_kernels_match_scalar() {
    check::<u8>(255.0);
}

#[test]
fn every_half_value_widens_as_the_half_crate_does() {
    for bits in 0..=u16::MAX {
        let half = f16::from_bits(bits);
        let brain = bf16::from_bits(bits);
        for kind in IsaKind::ALL.into_iter().filter(|kind| kind.available()) {
            if half.is_finite() {
                let row = [half; 17];
                let found = dispatch_on(kind, Rows([&[1.0; 17]; 4], &row))[2];
                assert_eq!(found, half.to_f32() * 17.0, "{} f16 {bits:#x}", kind.name());
            }
            // Seventeen times the largest bf16 would overflow.
            if brain.is_finite() && brain.to_f32().abs() < 1e37 {
                let row = [brain; 17];
                let found = dispatch_on(kind, Rows([&[1.0; 17]; 4], &row))[2];
                let expected = brain.to_f32() * 17.0;
                let error = (found - expected).abs();
                assert!(error <= expected.abs() * RELATIVE_ERROR, "{} bf16 {bits:#x}", kind.name());
            }
        }
    }
}

#[test]
fn simsimd_agrees() {
    for dim in [1, 7, 16, 31, 64, 100, 128, 384, 784, 960] {
        let (query, row) = (values(dim as u64, dim, 1.0), values(dim as u64 + 1, dim, 1.0));
        let found = dispatch_on(IsaKind::Avx512, Rows([&query; 4], &row));
        let (dot, l2) = (f32::dot(&query, &row), f32::sqeuclidean(&query, &row));
        let bound = RELATIVE_ERROR * 4.0 * dim as f32;
        assert!((f64::from(found[0]) - dot.unwrap()).abs() <= f64::from(bound), "dot {dim}");
        assert!((f64::from(found[1]) - l2.unwrap()).abs() <= f64::from(bound), "l2 {dim}");
    }
}
