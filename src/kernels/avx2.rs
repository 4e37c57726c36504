//! AVX2 kernels: eight lanes, four accumulators, scalar tails.
#![allow(unsafe_code)] // an instruction-set file: intrinsics on raw pointers

use std::arch::x86_64::*;

use super::{Element, Isa, Operation, PREFETCH_LINES};
use crate::types::ElementType;

/// Proof that the processor has AVX2, FMA and F16C: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

const LANES: usize = 8;

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        present.then_some(Self(()))
    }

    /// Runs an operation compiled with this set's features.
    pub(super) fn enter<O: Operation>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn entry<O: Operation>(operation: O, isa: Avx2) -> O::Output {
            operation.run(isa)
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { entry(operation, self) }
    }
}

/// Eight components from `row`, widened to f32.
///
/// # Safety
/// `row` must be valid for reading 8 components.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load<E: Element>(row: *const E) -> __m256 {
    // SAFETY: the caller vouches for 8 readable components; unaligned loads.
    unsafe {
        match E::TYPE {
            ElementType::F32 => _mm256_loadu_ps(row.cast()),
            ElementType::F16 => _mm256_cvtph_ps(_mm_loadu_si128(row.cast())),
            ElementType::Bf16 => {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(row.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            }
            ElementType::I8 => {
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(row.cast())))
            }
            ElementType::U8 => {
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(row.cast())))
            }
        }
    }
}

/// Adds one step of `Σ q x` or `Σ (q − x)²` to `sum`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn step<const L2: bool>(sum: __m256, q: __m256, x: __m256) -> __m256 {
    if L2 {
        let difference = _mm256_sub_ps(q, x);
        _mm256_fmadd_ps(difference, difference, sum)
    } else {
        _mm256_fmadd_ps(q, x, sum)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn reduce(sum: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// `Q` queries against one row; `CHAINS` accumulators per query hide the latency of the fused
/// multiply-add.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn many<const L2: bool, const Q: usize, const CHAINS: usize, E: Element>(
    queries: [&[f32]; Q],
    row: &[E],
) -> [f32; Q] {
    for query in queries {
        assert_eq!(query.len(), row.len());
    }
    let mut sums = [[_mm256_setzero_ps(); CHAINS]; Q];
    let unrolled = row.len() / (CHAINS * LANES) * CHAINS * LANES;
    let whole = row.len() / LANES * LANES;
    // SAFETY: every offset stays below `row.len()`, which all queries share.
    unsafe {
        let mut at = 0;
        while at < unrolled {
            for chain in 0..CHAINS {
                let at = at + chain * LANES;
                let x = load(row.as_ptr().add(at));
                for (query, sum) in queries.iter().zip(&mut sums) {
                    let q = _mm256_loadu_ps(query.as_ptr().add(at));
                    sum[chain] = step::<L2>(sum[chain], q, x);
                }
            }
            at += CHAINS * LANES;
        }
        while at < whole {
            let x = load(row.as_ptr().add(at));
            for (query, sum) in queries.iter().zip(&mut sums) {
                let q = _mm256_loadu_ps(query.as_ptr().add(at));
                sum[0] = step::<L2>(sum[0], q, x);
            }
            at += LANES;
        }
    }
    let mut totals = [0.0; Q];
    for ((total, sum), query) in totals.iter_mut().zip(sums).zip(queries) {
        let vector = sum.into_iter().fold(_mm256_setzero_ps(), |a, b| _mm256_add_ps(a, b));
        *total = reduce(vector);
        for (q, x) in query[whole..].iter().zip(&row[whole..]) {
            let x = x.to_f32();
            *total += if L2 { (q - x) * (q - x) } else { q * x };
        }
    }
    totals
}

/// A row as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen<E: Element>(row: &[E], out: &mut [f32]) {
    assert_eq!(row.len(), out.len());
    let whole = row.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: eight components from `at` on lie below `row.len() == out.len()`.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), load(row.as_ptr().add(at))) };
    }
    for (x, out) in row[whole..].iter().zip(&mut out[whole..]) {
        *out = x.to_f32();
    }
}

impl Isa for Avx2 {
    #[inline(always)]
    fn dot<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        // SAFETY: `self` exists only where the processor has the features.
        let [sum] = unsafe { many::<false, 1, 4, E>([query], row) };
        sum
    }

    #[inline(always)]
    fn l2<E: Element>(self, query: &[f32], row: &[E]) -> f32 {
        // SAFETY: as in `dot`.
        let [sum] = unsafe { many::<true, 1, 4, E>([query], row) };
        sum
    }

    #[inline(always)]
    fn dot4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        // SAFETY: as in `dot`.
        unsafe { many::<false, 4, 2, E>(queries, row) }
    }

    #[inline(always)]
    fn l2_4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4] {
        // SAFETY: as in `dot`.
        unsafe { many::<true, 4, 2, E>(queries, row) }
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
