//! The kernels as values, and a pass of one over rows.

use vicinage::kernels::{Element, Isa, Operation};

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
