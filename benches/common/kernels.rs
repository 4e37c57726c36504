//! The kernels as values, and a pass of one over rows.

use bytemuck::{Pod, Zeroable};
use simsimd::SpatialSimilarity;
use vicinage::kernels::{CODE_BYTES, CodeQuery, Element, Isa, Operation};

use super::numbers;

/// Components of a vector.
pub(crate) const DIMS: [usize; 4] = [32, 128, 384, 784];

/// What is done with a row.
pub(crate) trait Kernel {
    /// Distances that it gives.
    const DISTANCES: usize;

    fn run<I: Isa, E: Element>(isa: I, queries: [&[f32]; 4], row: &[E]) -> f32;
}

macro_rules! kernel {
    ($name:ident, $distances:literal, |$isa:ident, $queries:ident, $row:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Kernel for $name {
            const DISTANCES: usize = $distances;

            #[inline(always)]
            fn run<I: Isa, E: Element>($isa: I, $queries: [&[f32]; 4], $row: &[E]) -> f32 {
                $body
            }
        }
    };
}

kernel!(Dot, 1, |isa, queries, row| isa.dot(queries[0], row));
kernel!(L2, 1, |isa, queries, row| isa.l2(queries[0], row));
kernel!(Dot4, 4, |isa, queries, row| isa.dot4(queries, row).iter().sum());
kernel!(L2By4, 4, |isa, queries, row| isa.l2_4(queries, row).iter().sum());
kernel!(Load, 1, |_isa, _queries, row| {
    let words = bytemuck::cast_slice(row).chunks_exact(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    words.fold(0, |all, bytes| all ^ word(bytes)) as f32
});

/// One kernel on every row.
pub(crate) struct Pass<'a, E, K> {
    pub(crate) queries: [&'a [f32]; 4],
    pub(crate) rows: &'a [E],
    pub(crate) kernel: K,
}

impl<E: Element, K: Kernel> Operation for Pass<'_, E, K> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let rows = self.rows.chunks_exact(self.queries[0].len());
        rows.map(|row| K::run(isa, self.queries, row)).sum()
    }
}

/// Rows `[count, dim]`; integers in their range.
pub(crate) fn made_up_rows<E: Element>(count: usize, dim: usize) -> Vec<E> {
    let scale = if size_of::<E>() == 1 { 100.0 } else { 1.0 };
    numbers(1, count * dim).into_iter().map(|x| E::from_f32(x * scale)).collect()
}

// ---- Codes

/// Dimensions of codes.
pub(crate) const CODE_DIMS: [usize; 3] = [128, 384, 784];

/// Rows whose ids a search has at once, all asked for before the first is scored.
pub(crate) const BATCH: usize = 24;

/// What is done with four rows of codes.
pub(crate) trait CodeKernel {
    /// Dimensions in a byte.
    const PER_BYTE: usize;

    /// `dim` without padding.
    fn run<I: Isa>(isa: I, dim: usize, query: CodeQuery<'_>, rows: [&[u8]; 4]) -> i64;
}

macro_rules! code_kernel {
    ($name:ident, $per_byte:literal, |$isa:ident, $dim:ident, $query:ident,
     $rows:ident| $body:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl CodeKernel for $name {
            const PER_BYTE: usize = $per_byte;

            #[inline(always)]
            fn run<I: Isa>($isa: I, $dim: usize, $query: CodeQuery<'_>, $rows: [&[u8]; 4]) -> i64 {
                $body
            }
        }
    };
}

code_kernel!(I8, 1, |isa, _dim, query, rows| total(isa.dot_i8(query, rows)));
code_kernel!(U4, 2, |isa, _dim, query, rows| total(isa.dot_u4(query, rows)));
code_kernel!(OneI8, 1, |isa, _dim, query, rows| {
    rows.iter().map(|row| total(isa.dot_i8(query, [row]))).sum()
});
code_kernel!(OneU4, 2, |isa, _dim, query, rows| {
    rows.iter().map(|row| total(isa.dot_u4(query, [row]))).sum()
});
// What simsimd multiplies are signed bytes, the stored ones less 128; the work is the same.
code_kernel!(Simsimd, 1, |_isa, dim, query, rows| {
    let one = |row: &[u8]| {
        i8::dot(&query.components[..dim], bytemuck::cast_slice(&row[..dim])).unwrap() as i64
    };
    rows.iter().map(|row| one(row)).sum()
});
code_kernel!(LoadI8, 1, |_isa, _dim, _query, rows| load(rows));
code_kernel!(LoadU4, 2, |_isa, _dim, _query, rows| load(rows));

#[inline(always)]
fn total<const N: usize>(sums: [i32; N]) -> i64 {
    sums.iter().map(|sum| i64::from(*sum)).sum()
}

#[inline(always)]
fn load(rows: [&[u8]; 4]) -> i64 {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<8>().0);
    let words = a.iter().zip(b).zip(c.iter().zip(d));
    words.fold(0, |all, ((a, b), (c, d))| {
        all ^ [a, b, c, d].iter().fold(0, |all, word| all ^ i64::from_le_bytes(**word))
    })
}

/// A cache line: rows start at one where an index lays them out so.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Made-up rows of codes `[count, bytes]` and a query for them.
pub(crate) struct Codes {
    dim: usize,
    /// Bytes of a row.
    bytes: usize,
    rows: usize,
    lines: Vec<Line>,
    components: Vec<i8>,
}

impl Codes {
    /// At most so many rows, at most so many bytes.
    pub(crate) fn made_up<K: CodeKernel>(dim: usize, rows: usize, limit: usize) -> Self {
        let bytes = dim.next_multiple_of(CODE_BYTES * K::PER_BYTE) / K::PER_BYTE;
        let rows = rows.min(limit / bytes);
        let mut state = 1_u64;
        let lines = std::iter::repeat_with(|| {
            Line(bytemuck::cast([0; 8].map(|_: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state ^ (state >> 29)
            })))
        });
        let lines = lines.take((rows * bytes).div_ceil(64)).collect();
        let components = numbers(2, bytes * K::PER_BYTE);
        let components = components.into_iter().map(|x| (x * 127.0) as i8).collect();
        Self { dim, bytes, rows, lines, components }
    }

    /// Every row's id once, in a random order.
    pub(crate) fn shuffled(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..self.rows as u32).collect();
        ids.sort_by_cached_key(|id| u64::from(*id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20);
        ids
    }

    pub(crate) fn pass<'a, K>(
        &'a self,
        ids: &'a [u32],
        prefetch: bool,
        kernel: K,
    ) -> CodePass<'a, K> {
        CodePass { codes: self, ids, prefetch, _kernel: kernel }
    }
}

/// Scores rows as a search does: a batch of ids is asked for, then scored by fours.
pub(crate) struct CodePass<'a, K> {
    codes: &'a Codes,
    ids: &'a [u32],
    prefetch: bool,
    _kernel: K,
}

impl<K: CodeKernel> Operation for CodePass<'_, K> {
    type Output = i64;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> i64 {
        let Self { codes: Codes { dim, bytes, lines, components, .. }, ids, prefetch, .. } = self;
        let sum = components.iter().map(|q| i32::from(*q)).sum();
        let (query, rows) = (CodeQuery { components, sum }, bytemuck::cast_slice::<_, u8>(lines));
        let row = |id: u32| &rows[id as usize * bytes..][..*bytes];
        let mut all = 0;
        for batch in ids.chunks(BATCH) {
            if prefetch {
                for id in batch {
                    isa.prefetch_bytes(row(*id));
                }
            }
            for four in batch.as_chunks::<4>().0 {
                all ^= K::run(isa, *dim, query, four.map(row));
            }
        }
        all
    }
}
