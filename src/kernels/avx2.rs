//! AVX2 kernels: eight lanes, four accumulators, scalar tails.
#![allow(unsafe_code)] // an instruction-set file: intrinsics on raw pointers

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::{CodeQuery, Element, Isa, Operation, code_bytes};
use crate::types::ElementType;

/// Proof that the processor has AVX2, FMA and F16C, and AVX-VNNI where `VNNI` says so: only
/// [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2<const VNNI: bool>(Cache);

const LANES: usize = 8;

impl<const VNNI: bool> Avx2<VNNI> {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && (!VNNI || is_x86_feature_detected!("avxvnni"));
        present.then(|| Self(Cache::for_rows()))
    }
}

impl Avx2<false> {
    /// Runs an operation compiled with this set's features.
    pub(super) fn enter<O: Operation>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn entry<O: Operation>(operation: O, isa: Avx2<false>) -> O::Output {
            operation.run(isa)
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { entry(operation, self) }
    }
}

impl Avx2<true> {
    /// Runs an operation compiled with this set's features.
    pub(super) fn enter<O: Operation>(self, operation: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn entry<O: Operation>(operation: O, isa: Avx2<true>) -> O::Output {
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

/// Bytes of codes in a vector.
const BYTES: usize = 32;

/// 32 bytes of codes or of a query for them.
///
/// # Safety
/// `from` must be valid for reading 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_codes<T>(from: *const T) -> __m256i {
    // SAFETY: the caller vouches for 32 readable bytes; an unaligned load.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// `value` in the first of eight lanes, zero in the others.
#[inline]
#[target_feature(enable = "avx2")]
fn first_lane(value: i32) -> __m256i {
    _mm256_zextsi128_si256(_mm_cvtsi32_si128(value))
}

/// The sum of each vector's lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn totals<const N: usize>(sums: [__m256i; N]) -> [i32; N] {
    let mut totals = [0; N];
    if let [a, b, c, d] = sums[..] {
        // Four sums at once: each half of `four` holds a part of each.
        let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        let four = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
        totals.copy_from_slice(&bytemuck::cast::<_, [i32; 4]>(add_halves(four)));
    } else {
        for (total, sum) in totals.iter_mut().zip(sums) {
            let four = add_halves(sum);
            let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
            *total = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)));
        }
    }
    totals
}

/// Four lanes that sum to what the eight of `x` do.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_halves(x: __m256i) -> __m128i {
    _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x))
}

/// Adds four products to each lane. `|row − 128|` is at most 128, so two products fill 16 bits
/// without saturating: 2 · 128 · 127 = 32,512. (The query takes the sign: −128 has no opposite.)
#[inline]
#[target_feature(enable = "avx2")]
fn step_i8(sum: __m256i, x: __m256i, q: __m256i) -> __m256i {
    let code = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(q, code));
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// Defines [`Isa::dot_i8`] for a step that adds products of 32 bytes to a sum, and for the
/// multiple of `Σ q_i` that sums start from. `CHAINS` sums per row hide the step's latency.
macro_rules! define_dot_i8 {
    ($name:ident, $features:literal, $step:ident, $start:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name<const N: usize, const CHAINS: usize>(
            query: CodeQuery<'_>,
            rows: [&[u8]; N],
        ) -> [i32; N] {
            let len = code_bytes::<1, N>(query, rows);
            let mut sums = [[_mm256_setzero_si256(); CHAINS]; N];
            for sum in &mut sums {
                sum[0] = first_lane(query.sum.wrapping_mul($start));
            }
            let q = query.components.as_ptr();
            let mut at = 0;
            // SAFETY: every offset stays below `len`, a multiple of 32 that the query and all
            // rows share.
            unsafe {
                while at < len {
                    for chain in 0..CHAINS {
                        let at = at + chain * BYTES;
                        if at < len {
                            let q = load_codes(q.add(at));
                            for (sum, row) in sums.iter_mut().zip(rows) {
                                let x = load_codes(row.as_ptr().add(at));
                                sum[chain] = $step(sum[chain], x, q);
                            }
                        }
                    }
                    at += CHAINS * BYTES;
                }
            }
            let mut wide = [_mm256_setzero_si256(); N];
            for (wide, sum) in wide.iter_mut().zip(sums) {
                for chain in sum {
                    *wide = _mm256_add_epi32(*wide, chain);
                }
            }
            totals(wide)
        }
    };
}

define_dot_i8!(dot_i8, "avx2", step_i8, 0);
define_dot_i8!(dot_i8_vnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32, -128);

/// [`Isa::dot_u4`]: `Σ u · q` in 16 bits, which eight sums of two products fill without
/// overflowing (16 · 15 · 127 = 30,480), then twice that in 32 bits, from `−15 · Σ q_i` on.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_u4<const N: usize>(query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
    let len = code_bytes::<2, N>(query, rows);
    let nibble = _mm256_set1_epi8(15);
    let mut sums = [first_lane(query.sum.wrapping_mul(-15)); N];
    let q = query.components.as_ptr();
    let mut at = 0;
    while at < len {
        let end = len.min(at + 4 * BYTES);
        let mut pairs = [_mm256_setzero_si256(); N];
        while at < end {
            // SAFETY: `at` is below `len`, a multiple of 32 that all rows share; the query is
            // twice as long.
            let (low, high) = unsafe { (load_codes(q.add(at)), load_codes(q.add(len + at))) };
            for (pairs, row) in pairs.iter_mut().zip(rows) {
                // SAFETY: as above.
                let x = unsafe { load_codes(row.as_ptr().add(at)) };
                let u = _mm256_and_si256(x, nibble);
                *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(u, low));
                let u = _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble);
                *pairs = _mm256_add_epi16(*pairs, _mm256_maddubs_epi16(u, high));
            }
            at += BYTES;
        }
        for (sum, pairs) in sums.iter_mut().zip(pairs) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(2)));
        }
    }
    totals(sums)
}

/// Adds `Σ u · q` of the low nibbles of `x` to the first sum and 16 times that of the high ones,
/// which are multiplied where they stand, to the second.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn step_u4_vnni(sums: &mut [__m256i; 2], x: __m256i, [low, high]: [__m256i; 2]) {
    let nibble = _mm256_set1_epi8(15);
    sums[0] = _mm256_dpbusd_avx_epi32(sums[0], _mm256_and_si256(x, nibble), low);
    sums[1] = _mm256_dpbusd_avx_epi32(sums[1], _mm256_andnot_si256(nibble, x), high);
}

/// [`Isa::dot_u4`] by `vpdpbusd`: an eighth of `16 · low + high`, with `high` from `−8 · 15 · Σ q_i` on.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn dot_u4_vnni<const N: usize, const CHAINS: usize>(
    query: CodeQuery<'_>,
    rows: [&[u8]; N],
) -> [i32; N] {
    let len = code_bytes::<2, N>(query, rows);
    let zero = _mm256_setzero_si256();
    let mut sums = [[[zero; 2]; CHAINS]; N];
    for sum in &mut sums {
        sum[0][1] = first_lane(query.sum.wrapping_mul(-120));
    }
    let q = query.components.as_ptr();
    let mut at = 0;
    // SAFETY: every offset stays below `len`, a multiple of 32 that all rows share; the query is
    // twice as long.
    unsafe {
        while at < len {
            for chain in 0..CHAINS {
                let at = at + chain * BYTES;
                if at < len {
                    let q = [load_codes(q.add(at)), load_codes(q.add(len + at))];
                    for (sum, row) in sums.iter_mut().zip(rows) {
                        step_u4_vnni(&mut sum[chain], load_codes(row.as_ptr().add(at)), q);
                    }
                }
            }
            at += CHAINS * BYTES;
        }
    }
    let mut wide = [zero; N];
    for (wide, sum) in wide.iter_mut().zip(sums) {
        for [low, high] in sum {
            let low = _mm256_slli_epi32::<4>(low);
            *wide = _mm256_add_epi32(*wide, _mm256_add_epi32(low, high));
        }
    }
    totals(wide).map(|sum| sum >> 3)
}

/// The cache that rows are asked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    First,
    Second,
}

impl Cache {
    /// A request for the first cache holds one of its few buffers until the line is there, and while
    /// all are held nothing else goes on. On AMD's processors those for the second do not, so that
    /// scores, candidates and requests overlap: a walk over a million rows is 1.3 times as fast on
    /// Zen 4. On Intel's it was 5 % slower (Xeon, model 167).
    pub(super) fn for_rows() -> Self {
        // A virtual machine takes microseconds for this.
        static FOUND: LazyLock<Cache> = LazyLock::new(|| {
            let vendor = __cpuid(0);
            let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
            if amd.as_flattened() == b"AuthenticAMD" { Cache::Second } else { Cache::First }
        });
        *FOUND
    }

    /// Asks for every cache line of `row`.
    #[inline(always)]
    pub(super) fn prefetch_lines(self, row: &[u8]) {
        match self {
            Self::First => prefetch::<_MM_HINT_T0>(row),
            Self::Second => prefetch::<_MM_HINT_T1>(row),
        }
    }
}

#[inline(always)]
fn prefetch<const HINT: i32>(row: &[u8]) {
    let range = row.as_ptr_range();
    let mut line = range.start.wrapping_sub(range.start.addr() % 64);
    while line < range.end {
        // SAFETY: a prefetch reads nothing that a program could see and faults nowhere.
        unsafe { _mm_prefetch::<HINT>(line.cast()) };
        line = line.wrapping_add(64);
    }
}

impl<const VNNI: bool> Isa for Avx2<VNNI> {
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
    fn dot_i8<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        // SAFETY: as in `dot`; AVX-VNNI where `VNNI` says so.
        unsafe {
            match (VNNI, N) {
                (false, 1) => dot_i8::<N, 4>(query, rows),
                (false, _) => dot_i8::<N, 1>(query, rows),
                (true, 1) => dot_i8_vnni::<N, 4>(query, rows),
                (true, _) => dot_i8_vnni::<N, 2>(query, rows),
            }
        }
    }

    #[inline(always)]
    fn dot_u4<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        // SAFETY: as in `dot_i8`.
        unsafe {
            match (VNNI, N) {
                (false, _) => dot_u4(query, rows),
                (true, 1) => dot_u4_vnni::<N, 2>(query, rows),
                (true, _) => dot_u4_vnni::<N, 1>(query, rows),
            }
        }
    }

    #[inline(always)]
    fn prefetch_bytes(self, row: &[u8]) {
        self.0.prefetch_lines(row);
    }
}
