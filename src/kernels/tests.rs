//! Every instruction set, element type and dimension against the scalar definition, and against
//! simsimd as a second opinion.

use half::{bf16, f16};
use simsimd::SpatialSimilarity;

use super::{CodeQuery, Element, Isa, IsaKind, Operation, dispatch_on};

/// Float sums in another order differ by at most this much of the sum of the terms' magnitudes:
/// 2 ULP of f32 per halving of 1,100 terms is far below it.
const RELATIVE_ERROR: f32 = 2e-6;

struct Rows<'a, E>([&'a [f32]; 4], &'a [E]);

impl<E: Element> Operation for Rows<'_, E> {
    type Output = [f32; 10];

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> [f32; 10] {
        let Rows(queries, row) = self;
        isa.prefetch_bytes(bytemuck::cast_slice(row));
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

/// A query for codes and rows that it fits, and `Σ code · q` of each row by plain 64-bit sums.
struct Codes {
    components: Vec<i8>,
    rows: [Vec<u8>; 4],
    expected: [i64; 4],
}

impl Codes {
    /// i8 codes in 0..=255 as `code + 128`, and the query's components, of so many dimensions.
    fn i8(codes: &[Vec<u8>; 4], query: &[i8]) -> Self {
        let len = query.len().next_multiple_of(32);
        let (mut components, rows) = (query.to_vec(), codes.clone());
        components.resize(len, 0);
        let rows = rows.map(|mut row| {
            row.resize(len, 128);
            row
        });
        let expected = rows.each_ref().map(|row| {
            let terms = row.iter().zip(&components);
            terms.map(|(x, q)| (i64::from(*x) - 128) * i64::from(*q)).sum()
        });
        Self { components, rows, expected }
    }

    /// 4-bit codes, the low halves of those bytes.
    fn u4(codes: &[Vec<u8>; 4], query: &[i8]) -> Self {
        let len = query.len().next_multiple_of(64) / 2;
        let (mut components, mut rows) = (vec![0; 2 * len], codes.each_ref().map(|_| vec![0; len]));
        let mut expected = [0; 4];
        for (dim, q) in query.iter().enumerate() {
            let (high, byte) = (dim % 64 / 32, dim / 64 * 32 + dim % 32);
            components[high * len + byte] = *q;
            for ((row, sum), codes) in rows.iter_mut().zip(&mut expected).zip(codes) {
                let u = codes[dim] & 15;
                row[byte] |= u << (4 * high);
                *sum += (2 * i64::from(u) - 15) * i64::from(*q);
            }
        }
        Self { components, rows, expected }
    }

    fn query(&self) -> CodeQuery<'_> {
        let sum = self.components.iter().map(|q| i32::from(*q)).sum();
        CodeQuery { components: &self.components, sum }
    }

    /// Every available instruction set gives the expected sums, four rows at a time and one.
    fn check(&self, four_bits: bool) {
        let rows = self.rows.each_ref().map(|row| &row[..]);
        for kind in IsaKind::ALL.into_iter().filter(|kind| kind.available()) {
            let (together, alone) =
                dispatch_on(kind, ScoreCodes { query: self.query(), rows, four_bits });
            let what = (kind.name(), four_bits, self.components.len());
            assert_eq!(together.map(i64::from), self.expected, "{what:?} together");
            assert_eq!(alone.map(i64::from), self.expected, "{what:?} alone");
        }
    }
}

#[derive(Clone, Copy)]
struct ScoreCodes<'a> {
    query: CodeQuery<'a>,
    rows: [&'a [u8]; 4],
    four_bits: bool,
}

impl Operation for ScoreCodes<'_> {
    type Output = ([i32; 4], [i32; 4]);

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> ([i32; 4], [i32; 4]) {
        let Self { query, rows, four_bits } = self;
        isa.prefetch_bytes(rows[0]);
        let mut alone = [0; 4];
        for (sum, row) in alone.iter_mut().zip(rows) {
            [*sum] = if four_bits { isa.dot_u4(query, [row]) } else { isa.dot_i8(query, [row]) };
        }
        (if four_bits { isa.dot_u4(query, rows) } else { isa.dot_i8(query, rows) }, alone)
    }
}

fn bytes(seed: u64, count: usize) -> Vec<u8> {
    values(seed, count, 128.0).into_iter().map(|x| (x + 128.0) as u8).collect()
}

#[test]
fn codes_are_scored_exactly() {
    for dim in 1..=1100 {
        let codes = [1, 2, 3, 4].map(|row| bytes(row * 10_000 + dim as u64, dim));
        let query: Vec<i8> =
            bytes(dim as u64, dim).into_iter().map(|x| (x as i8).max(-127)).collect();
        Codes::i8(&codes, &query).check(false);
        Codes::u4(&codes, &query).check(true);
    }
}

#[test]
fn extreme_codes_are_scored_exactly() {
    for dim in [1, 31, 32, 64, 96, 100, 128, 224, 256, 257, 384, 512, 784, 1100, 65_536] {
        for (low, high) in [(127, 127), (-127, -127), (127, -127), (-127, 127), (0, 127)] {
            let query: Vec<i8> = (0..dim).map(|at| if at % 64 < 32 { low } else { high }).collect();
            let codes = [(0, 0), (255, 255), (0, 255), (255, 0)].map(|(even, odd)| {
                (0..dim).map(|at| if at % 2 == 0 { even } else { odd }).collect()
            });
            Codes::i8(&codes, &query).check(false);
            Codes::u4(&codes, &query).check(true);
        }
    }
}

#[test]
fn simsimd_agrees_on_i8_codes() {
    for dim in [32, 96, 128, 384, 800, 1088] {
        let codes = [1, 2, 3, 4].map(|row| bytes(row * 10_000 + dim as u64, dim));
        let query: Vec<i8> = bytes(dim as u64, dim).into_iter().map(|x| (x / 2) as i8).collect();
        for (row, expected) in codes.iter().zip(Codes::i8(&codes, &query).expected) {
            let row: Vec<i8> = row.iter().map(|x| (x ^ 128) as i8).collect();
            assert_eq!(i8::dot(&query, &row), Some(expected as f64), "{dim}");
        }
    }
}

#[test]
fn codes_of_another_length_are_refused() {
    let (components, row) = ([1i8; 128], [0u8; 128]);
    let refused = |kind, components: &[i8], lens: [usize; 4], four_bits| {
        let query = CodeQuery { components, sum: 0 };
        let rows = lens.map(|len| &row[..len]);
        std::panic::catch_unwind(|| dispatch_on(kind, ScoreCodes { query, rows, four_bits }))
            .is_err()
    };
    for kind in IsaKind::ALL.into_iter().filter(|kind| kind.available()) {
        assert!(!refused(kind, &components, [128; 4], false));
        assert!(!refused(kind, &components, [64; 4], true));
        assert!(!refused(kind, &[], [0; 4], false) && !refused(kind, &[], [0; 4], true));
        for last in [0, 32, 64, 127] {
            assert!(refused(kind, &components, [128, 128, 128, last], false), "{last}");
        }
        assert!(refused(kind, &components, [64, 64, 128, 64], true));
        assert!(refused(kind, &components, [128; 4], true));
        assert!(refused(kind, &components[..100], [100; 4], false));
        assert!(refused(kind, &components[..96], [48; 4], true));
        assert!(refused(kind, &components[..65], [32; 4], true));
    }
}
