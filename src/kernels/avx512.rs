//! AVX-512 kernels: sixteen lanes, four accumulators, masked tails.
#![allow(unsafe_code)] // an instruction-set file: intrinsics on raw pointers

use std::arch::x86_64::*;

use super::{Element, Isa, Operation, PREFETCH_LINES};
use crate::types::ElementType;

/// Proof that the processor has AVX-512 F, BW, DQ and VL: only [`Avx512::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

const LANES: usize = 16;

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        present.then_some(Self(()))
    }

    /// Runs an operation compiled with this set's features.
    pub(super) fn enter<O: Operation>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
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
    fn prefetch<E: Element>(self, row: &[E]) {
        let start = row.as_ptr().cast::<i8>();
        let lines = size_of_val(row).div_ceil(64).min(PREFETCH_LINES);
        for line in 0..lines {
            // SAFETY: the address lies inside `row`; a prefetch has no effect on memory.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(line * 64)) };
        }
    }
}
