//! Distance kernels: every instruction set that this machine has, element type and dimension,
//! beside simsimd and a bare read of the same bytes.
//!
//! `cargo bench --bench kernels [FILTER]`. A benchmark is one pass over the rows that fill 16 KiB,
//! so that memory is the first-level cache; items are distances, bytes those of the rows. simsimd
//! takes both sides in one type, which is the same work for f32 alone: a query of another type
//! is rounded, where ours stays f32.
//!
//! The benchmarks of codes score rows as a search does: ids at random, a batch of 24 asked for and
//! then scored. The rows fill 1 MiB, so that memory is the second-level cache (`codes_l2`), or are
//! a million, as far as 1 GiB reaches (`codes_scattered`); `simsimd` reads the same i8 rows in the
//! same order, pair by pair, and `load` only reads. ns per distance are 1 / items per second.
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` puts the rows into huge pages.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::fmt;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use half::{bf16, f16};
use simsimd::SpatialSimilarity;
use vicinage::kernels::{Element, IsaKind, active, dispatch_on};

#[path = "common/mod.rs"]
mod common;

use common::kernels::{
    BATCH, CODE_DIMS, CodeKernel, Codes, DIMS, Dot, Dot4, I8, Kernel, L2, L2By4, Load, LoadI8,
    LoadU4, OneI8, OneU4, Pass, Simsimd, U4, made_up_rows,
};
use common::{measuring, numbers};

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

// ---- Codes

/// Rows of a pass, at most.
const PASS_ROWS: usize = 8 << 10;

/// An instruction set, a dimension, and whether a batch is asked for before it is scored.
#[derive(Clone, Copy, Debug)]
struct CodeCase {
    isa: IsaKind,
    dim: usize,
    prefetch: bool,
}

impl fmt::Display for CodeCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.prefetch { "" } else { ", no prefetch" };
        write!(f, "{} {}{how}", self.isa.name(), self.dim)
    }
}

fn code_cases() -> impl Iterator<Item = CodeCase> {
    let others = IsaKind::ALL.into_iter().filter(|isa| isa.available() && Ok(*isa) != active());
    let others = others.flat_map(|isa| CODE_DIMS.map(|dim| CodeCase { isa, dim, prefetch: true }));
    others.chain(peer_cases())
}

/// The instruction set in use, with and without prefetch.
fn peer_cases() -> impl Iterator<Item = CodeCase> {
    let isa = active().unwrap();
    [true, false]
        .into_iter()
        .flat_map(move |prefetch| CODE_DIMS.map(|dim| CodeCase { isa, dim, prefetch }))
}

/// At most so many rows, at most so many bytes.
fn codes<K: CodeKernel + Copy + Sync>(
    bencher: Bencher<'_, '_>,
    case: CodeCase,
    kernel: K,
    (rows, limit): (usize, usize),
) {
    // A test only wants to see that it works.
    let rows = if measuring() { rows } else { 100 };
    let codes = Codes::made_up::<K>(case.dim, rows, limit);
    let ids = codes.shuffled();
    let pass = ids.len().min(PASS_ROWS) / BATCH * BATCH;
    // Each pass scores other rows than the one before it, where there are more.
    let mut passes = ids.chunks_exact(pass).cycle();
    bencher
        .counter(ItemsCount::new(pass))
        .with_inputs(|| passes.next().unwrap())
        .bench_local_values(|ids| dispatch_on(case.isa, codes.pass(ids, case.prefetch, kernel)));
}

const IN_L2: (usize, usize) = (usize::MAX, 1 << 20);
const SCATTERED: (usize, usize) = (1_000_000, 1 << 30);

macro_rules! code_benches {
    ($($l2:ident, $scattered:ident: $kernel:ident, $cases:ident);+) => {$(
        #[divan::bench(args = $cases())]
        fn $l2(bencher: Bencher<'_, '_>, case: CodeCase) {
            codes(bencher, case, $kernel, IN_L2);
        }

        #[divan::bench(args = $cases())]
        fn $scattered(bencher: Bencher<'_, '_>, case: CodeCase) {
            codes(bencher, case, $kernel, SCATTERED);
        }
    )+};
}

code_benches!(
    codes_l2_i8, codes_scattered_i8: I8, code_cases;
    codes_l2_i8_one, codes_scattered_i8_one: OneI8, code_cases;
    codes_l2_i8_simsimd, codes_scattered_i8_simsimd: Simsimd, peer_cases;
    codes_l2_i8_load, codes_scattered_i8_load: LoadI8, peer_cases;
    codes_l2_u4, codes_scattered_u4: U4, code_cases;
    codes_l2_u4_one, codes_scattered_u4_one: OneU4, code_cases;
    codes_l2_u4_load, codes_scattered_u4_load: LoadU4, peer_cases
);
