//! Distance kernels: every instruction set that this machine has, element type and dimension,
//! beside simsimd and a bare read of the same bytes.
//!
//! `cargo bench --bench kernels [FILTER]`. A benchmark is one pass over the rows that fill 16 KiB,
//! so that memory is the first-level cache; items are distances, bytes those of the rows. simsimd
//! takes both sides in one type, which is the same work for f32 alone: a query of another type
//! is rounded, where ours stays f32.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::fmt;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use half::{bf16, f16};
use simsimd::SpatialSimilarity;
use vicinage::kernels::{Element, IsaKind, dispatch_on};

#[path = "common/mod.rs"]
mod common;

use common::kernels::{DIMS, Dot, Dot4, Kernel, L2, L2By4, Load, Pass, made_up_rows};
use common::numbers;

/// Bytes of the rows of a pass.
const PASS_BYTES: usize = 16 << 10;

fn rows<E: Element>(dim: usize) -> Vec<E> {
    made_up_rows(PASS_BYTES / (dim * size_of::<E>()), dim)
}

fn main() {
    divan::main();
}

/// An instruction set and a dimension.
#[derive(Clone, Copy, Debug)]
struct Case {
    isa: IsaKind,
    dim: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.isa.name(), self.dim)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let available = IsaKind::ALL.into_iter().filter(|isa| isa.available());
    available.flat_map(|isa| DIMS.map(|dim| Case { isa, dim }))
}

fn pass<E: Element, K: Kernel>(bencher: Bencher<'_, '_>, case: Case, kernel: fn() -> K) {
    let (rows, queries) = (rows::<E>(case.dim), numbers(2, 4 * case.dim));
    let queries: Vec<&[f32]> = queries.chunks_exact(case.dim).collect();
    let queries: [&[f32]; 4] = queries.try_into().unwrap();
    bencher
        .counter(ItemsCount::new(rows.len() / case.dim * K::DISTANCES))
        .counter(BytesCount::of_slice(&rows))
        .bench(|| {
            dispatch_on(case.isa, Pass { queries, rows: black_box(&rows), kernel: kernel() })
        });
}

macro_rules! benches {
    ($($name:ident: $kernel:ident),+) => {$(
        #[divan::bench(types = [f32, f16, bf16, i8, u8], args = cases())]
        fn $name<E: Element>(bencher: Bencher<'_, '_>, case: Case) {
            pass::<E, $kernel>(bencher, case, || $kernel);
        }
    )+};
}

benches!(dot: Dot, l2: L2, dot4: Dot4, l2_4: L2By4, load: Load);

/// An element type, and simsimd's name for it.
trait Peer: Element {
    type Simsimd: SpatialSimilarity + Copy + Sync;

    fn simsimd(self) -> Self::Simsimd;
}

macro_rules! peer {
    ($element:ty, $simsimd:ty, $to:expr) => {
        impl Peer for $element {
            type Simsimd = $simsimd;

            fn simsimd(self) -> $simsimd {
                $to(self)
            }
        }
    };
}

peer!(f32, f32, |x| x);
peer!(f16, simsimd::f16, |x: f16| simsimd::f16(x.to_bits()));
peer!(bf16, simsimd::bf16, |x: bf16| simsimd::bf16(x.to_bits()));
peer!(i8, i8, |x| x);

type Distance<E> = fn(&[E], &[E]) -> Option<f64>;

fn peer<E: Peer>(bencher: Bencher<'_, '_>, dim: usize, distance: Distance<E::Simsimd>) {
    let rows: Vec<E::Simsimd> = rows::<E>(dim).into_iter().map(E::simsimd).collect();
    let query = rows[..dim].to_vec();
    bencher.counter(ItemsCount::new(rows.len() / dim)).counter(BytesCount::of_slice(&rows)).bench(
        || -> f64 {
            let rows = black_box(&rows).chunks_exact(dim);
            rows.map(|row| distance(&query, row).unwrap()).sum()
        },
    );
}

#[divan::bench(types = [f32, f16, bf16, i8], args = DIMS)]
fn simsimd_dot<E: Peer>(bencher: Bencher<'_, '_>, dim: usize) {
    peer::<E>(bencher, dim, E::Simsimd::dot);
}

#[divan::bench(types = [f32, f16, bf16, i8], args = DIMS)]
fn simsimd_l2<E: Peer>(bencher: Bencher<'_, '_>, dim: usize) {
    peer::<E>(bencher, dim, E::Simsimd::sqeuclidean);
}
