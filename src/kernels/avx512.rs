//! AVX-512 kernels: sixteen lanes, four accumulators, masked tails.
#![allow(unsafe_code)] // an instruction-set file: intrinsics on raw pointers

use std::arch::x86_64::*;

use super::avx2::{Cache, add_halves};
use super::{CodeQuery, Element, Isa, Operation, code_bytes};
use crate::types::ElementType;

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI: only [`Avx512::detect`] makes
/// one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(Cache);

const LANES: usize = 16;

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        present.then(|| Self(Cache::for_rows()))
    }

    /// Runs an operation compiled with this set's features.
    pub(super) fn enter<O: Operation>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn entry<O: Operation>(operation: O, isa: Avx512) -> O::Output {
            operation.run(isa)
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { entry(operation, self) }
    }
}

/// Sixteen components from `row`, widened to f32.
///
/// # Safety
/// `row` must be valid for reading 16 components.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn load<E: Element>(row: *const E) -> __m512 {
    // SAFETY: the caller vouches for 16 readable components; unaligned loads.
    unsafe {
        match E::TYPE {
            ElementType::F32 => _mm512_loadu_ps(row.cast()),
            ElementType::F16 => _mm512_cvtph_ps(_mm256_loadu_si256(row.cast())),
            ElementType::Bf16 => widen_bf16(_mm256_loadu_si256(row.cast())),
            ElementType::I8 => {
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(row.cast())))
            }
            ElementType::U8 => {
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(row.cast())))
            }
        }
    }
}

/// The components of `row` that `mask` selects, widened to f32; zero elsewhere.
///
/// # Safety
/// `row` must be valid for reading the selected components; the others are not touched.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn load_masked<E: Element>(mask: __mmask16, row: *const E) -> __m512 {
    // SAFETY: masked-out components are not read; the caller vouches for the others.
    unsafe {
        match E::TYPE {
            ElementType::F32 => _mm512_maskz_loadu_ps(mask, row.cast()),
            ElementType::F16 => _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row.cast())),
            ElementType::Bf16 => widen_bf16(_mm256_maskz_loadu_epi16(mask, row.cast())),
            ElementType::I8 => {
                let bytes = _mm_maskz_loadu_epi8(mask, row.cast());
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
            }
            ElementType::U8 => {
                let bytes = _mm_maskz_loadu_epi8(mask, row.cast());
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widen_bf16(halves: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves)))
}

/// Adds one step of `Σ q x` or `Σ (q − x)²` to `sum`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn step<const L2: bool>(sum: __m512, q: __m512, x: __m512) -> __m512 {
    if L2 {
        let difference = _mm512_sub_ps(q, x);
        _mm512_fmadd_ps(difference, difference, sum)
    } else {
        _mm512_fmadd_ps(q, x, sum)
    }
}

/// `Q` queries against one row: the row is loaded and widened once for all of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn many<const L2: bool, const Q: usize, E: Element>(queries: [&[f32]; Q], row: &[E]) -> [f32; Q] {
    for query in queries {
        assert_eq!(query.len(), row.len());
    }
    // Two chains per query hide the latency of the fused multiply-add when Q is small.
    let mut sums = [[_mm512_setzero_ps(); 2]; Q];
    let (pairs, rest) = (row.len() / (2 * LANES) * 2 * LANES, row.len() % LANES);
    let whole = row.len() - rest;
    // SAFETY: every offset stays below `row.len()`, which all queries share; the tail's mask
    // selects the `rest` components that are left.
    unsafe {
        let mut at = 0;
        while at < pairs {
            let (low, high) = (load(row.as_ptr().add(at)), load(row.as_ptr().add(at + LANES)));
            for (query, sum) in queries.iter().zip(&mut sums) {
                let q = query.as_ptr().add(at);
                sum[0] = step::<L2>(sum[0], _mm512_loadu_ps(q), low);
                sum[1] = step::<L2>(sum[1], _mm512_loadu_ps(q.add(LANES)), high);
            }
            at += 2 * LANES;
        }
        if at < whole {
            let x = load(row.as_ptr().add(at));
            for (query, sum) in queries.iter().zip(&mut sums) {
                sum[0] = step::<L2>(sum[0], _mm512_loadu_ps(query.as_ptr().add(at)), x);
            }
        }
        if rest > 0 {
            let mask = (1u16 << rest) - 1;
            let x = load_masked(mask, row.as_ptr().add(whole));
            for (query, sum) in queries.iter().zip(&mut sums) {
                let q = _mm512_maskz_loadu_ps(mask, query.as_ptr().add(whole));
                sum[1] = step::<L2>(sum[1], q, x);
            }
        }
    }
    sums.map(|[a, b]| _mm512_reduce_add_ps(_mm512_add_ps(a, b)))
}

/// One query against one row, four chains.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn one<const L2: bool, E: Element>(query: &[f32], row: &[E]) -> f32 {
    assert_eq!(query.len(), row.len());
    let mut sums = [_mm512_setzero_ps(); 4];
    let rest = row.len() % LANES;
    let (quads, whole) = (row.len() / (4 * LANES) * 4 * LANES, row.len() - rest);
    // SAFETY: every offset stays below `row.len() == query.len()`; the tail's mask selects the
    // `rest` components that are left.
    unsafe {
        let (q, x) = (query.as_ptr(), row.as_ptr());
        let mut at = 0;
        while at < quads {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let at = at + lane * LANES;
                *sum = step::<L2>(*sum, _mm512_loadu_ps(q.add(at)), load(x.add(at)));
            }
            at += 4 * LANES;
        }
        for sum in &mut sums[..3] {
            if at < whole {
                *sum = step::<L2>(*sum, _mm512_loadu_ps(q.add(at)), load(x.add(at)));
                at += LANES;
            }
        }
        if rest > 0 {
            let mask = (1u16 << rest) - 1;
            let tail = _mm512_maskz_loadu_ps(mask, q.add(whole));
            sums[3] = step::<L2>(sums[3], tail, load_masked(mask, x.add(whole)));
        }
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
}

/// A row as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widen<E: Element>(row: &[E], out: &mut [f32]) {
    assert_eq!(row.len(), out.len());
    let rest = row.len() % LANES;
    let whole = row.len() - rest;
    // SAFETY: every offset stays below `row.len() == out.len()`; the tail's mask selects the
    // `rest` components that are left.
    unsafe {
        for at in (0..whole).step_by(LANES) {
            _mm512_storeu_ps(out.as_mut_ptr().add(at), load(row.as_ptr().add(at)));
        }
        let mask = (1u16 << rest) - 1;
        let tail = load_masked(mask, row.as_ptr().add(whole));
        _mm512_mask_storeu_ps(out.as_mut_ptr().add(whole), mask, tail);
    }
}

/// Bytes of codes in a vector.
const BYTES: usize = 64;

/// 64 bytes of codes or of a query for them.
///
/// # Safety
/// `from` must be valid for reading 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load_codes<T>(from: *const T) -> __m512i {
    // SAFETY: the caller vouches for 64 readable bytes; an unaligned load.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

/// 32 bytes of codes or of a query for them, and zeros: the last group of an odd number.
///
/// # Safety
/// `from` must be valid for reading 32 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load_half<T>(from: *const T) -> __m512i {
    // SAFETY: the caller vouches for 32 readable bytes; an unaligned load.
    unsafe { _mm512_zextsi256_si512(_mm256_loadu_si256(from.cast())) }
}

/// `value` in the first of sixteen lanes, zero in the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn first_lane(value: i32) -> __m512i {
    _mm512_zextsi128_si512(_mm_cvtsi32_si128(value))
}

/// The sum of each vector's lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn totals<const N: usize>(sums: [__m512i; N]) -> [i32; N] {
    let mut totals = [0; N];
    if let [a, b, c, d] = sums[..] {
        // Four sums at once: every quarter of `four` holds a part of each.
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        let four = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let halves = (_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64::<1>(four));
        let two = _mm256_add_epi32(halves.0, halves.1);
        totals.copy_from_slice(&bytemuck::cast::<_, [i32; 4]>(add_halves(two)));
    } else {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = _mm512_reduce_add_epi32(sum);
        }
    }
    totals
}

/// [`Isa::dot_i8`] by `vpdpbusd`, which multiplies unsigned with signed bytes: `Σ row_i · q_i`,
/// from `−128 · Σ q_i` on. `CHAINS` sums per row hide its latency.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot_i8<const N: usize, const CHAINS: usize>(query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
    let len = code_bytes::<1, N>(query, rows);
    let zero = _mm512_setzero_si512();
    let mut sums = [[zero; CHAINS]; N];
    for sum in &mut sums {
        sum[0] = first_lane(query.sum.wrapping_mul(-128));
    }
    let q = query.components.as_ptr();
    let mut at = 0;
    // SAFETY: every offset stays below `len`, a multiple of 32 that the query and all rows share.
    unsafe {
        while at + BYTES <= len {
            for chain in 0..CHAINS {
                if at + BYTES <= len {
                    let q = load_codes(q.add(at));
                    for (sum, row) in sums.iter_mut().zip(rows) {
                        let x = load_codes(row.as_ptr().add(at));
                        sum[chain] = _mm512_dpbusd_epi32(sum[chain], x, q);
                    }
                    at += BYTES;
                }
            }
        }
        if at < len {
            let q = load_half(q.add(at));
            for (sum, row) in sums.iter_mut().zip(rows) {
                sum[0] = _mm512_dpbusd_epi32(sum[0], load_half(row.as_ptr().add(at)), q);
            }
        }
    }
    let mut wide = [zero; N];
    for (wide, sum) in wide.iter_mut().zip(sums) {
        for chain in sum {
            *wide = _mm512_add_epi32(*wide, chain);
        }
    }
    totals(wide)
}

/// Adds `Σ u · q` of the low nibbles of `x` to the first sum and 16 times that of the high ones,
/// which are multiplied where they stand, to the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn step_u4(sums: &mut [__m512i; 2], x: __m512i, [low, high]: [__m512i; 2]) {
    let nibble = _mm512_set1_epi8(15);
    sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_and_si512(x, nibble), low);
    sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_andnot_si512(nibble, x), high);
}

/// [`Isa::dot_u4`] by `vpdpbusd`: an eighth of `16 · low + high`, with `high` from `−8 · 15 · Σ q_i` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot_u4<const N: usize, const CHAINS: usize>(query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
    let len = code_bytes::<2, N>(query, rows);
    let zero = _mm512_setzero_si512();
    let mut sums = [[[zero; 2]; CHAINS]; N];
    for sum in &mut sums {
        sum[0][1] = first_lane(query.sum.wrapping_mul(-120));
    }
    let q = query.components.as_ptr();
    let mut at = 0;
    // SAFETY: every offset stays below `len`, a multiple of 32 that all rows share; the query is
    // twice as long.
    unsafe {
        while at + BYTES <= len {
            for chain in 0..CHAINS {
                if at + BYTES <= len {
                    let q = [load_codes(q.add(at)), load_codes(q.add(len + at))];
                    for (sum, row) in sums.iter_mut().zip(rows) {
                        step_u4(&mut sum[chain], load_codes(row.as_ptr().add(at)), q);
                    }
                    at += BYTES;
                }
            }
        }
        if at < len {
            let q = [load_half(q.add(at)), load_half(q.add(len + at))];
            for (sum, row) in sums.iter_mut().zip(rows) {
                step_u4(&mut sum[0], load_half(row.as_ptr().add(at)), q);
            }
        }
    }
    let mut wide = [zero; N];
    for (wide, sum) in wide.iter_mut().zip(sums) {
        for [low, high] in sum {
            let low = _mm512_slli_epi32::<4>(low);
            *wide = _mm512_add_epi32(*wide, _mm512_add_epi32(low, high));
        }
    }
    totals(wide).map(|sum| sum >> 3)
}

impl Isa for Avx512 {
    #[inline(always)]
    fn dot<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        // SAFETY: `self` exists only where the processor has the features.
        unsafe { one::<false, E>(query, row) }
    }

    #[inline(always)]
    fn l2<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        // SAFETY: as in `dot`.
        unsafe { one::<true, E>(query, row) }
    }

    #[inline(always)]
    fn dot4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        // SAFETY: as in `dot`.
        unsafe { many::<false, 4, E>(queries, row) }
    }

    #[inline(always)]
    fn l2_4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        // SAFETY: as in `dot`.
        unsafe { many::<true, 4, E>(queries, row) }
    }

    #[inline(always)]
    fn widen<E: Element>(self, row: &[E], out: &mut [f32]) {
        // SAFETY: as in `dot`.
        unsafe { widen(row, out) }
    }

    #[inline(always)]
    fn dot_i8<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        // SAFETY: as in `dot`.
        unsafe { if N == 1 { dot_i8::<N, 4>(query, rows) } else { dot_i8::<N, 1>(query, rows) } }
    }

    #[inline(always)]
    fn dot_u4<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        // SAFETY: as in `dot`.
        unsafe { if N == 1 { dot_u4::<N, 2>(query, rows) } else { dot_u4::<N, 1>(query, rows) } }
    }

    #[inline(always)]
    fn prefetch_bytes(self, row: &[u8]) {
        self.0.prefetch_lines(row);
    }
}
