//! Instructions that the processor executes for a distance and for a search, counted by callgrind:
//! figures that a busy machine does not change.
//!
//! `cargo bench --bench instructions`. Needs `valgrind` on the PATH, which knows no AVX-512, so the
//! portable and AVX2 paths are counted. The program runs itself under callgrind once for each;
//! only what happens inside `counted` counts. The index is built on the portable path, so that
//! everyone's searches walk the same graph.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use half::{bf16, f16};
use vicinage::index::{Index, LoadMode, Plan, Scratch, SearchParams};
use vicinage::kernels::{Element, ISA_VARIABLE, IsaKind, dispatch};
use vicinage::types::Metric;

#[path = "common/mod.rs"]
mod common;

use common::kernels::{
    CODE_DIMS, CodeKernel, Codes, DIMS, Dot, Dot4, I8, Kernel, L2, L2By4, Pass, U4, made_up_rows,
};
use common::{make_index, measuring, numbers};

const EFS: [usize; 2] = [32, 128];
/// Rows of a kernel's pass, and queries of a search's: what is printed is the mean.
const ROWS: usize = 64;
const QUERIES: usize = 16;
/// Items of the index: more than eight a candidate, up to where a search scans.
const ITEMS: usize = 1_200;
const INDEX_DIM: usize = 128;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "--role", "builder", index] => {
            make_index(Path::new(index), ITEMS, INDEX_DIM, Metric::L2).unwrap();
        }
        [_, "--role", "counted", index] => run_all(Path::new(index)),
        _ => compare(),
    }
}

// ---- What is counted

/// The one function whose instructions count, with those of everything it calls.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Says a benchmark's name and calls, in the order in which callgrind counts them, and runs it.
fn run(name: &str, calls: usize, work: &mut dyn FnMut()) {
    println!("{name}\t{calls}");
    counted(work);
}

fn run_all(index: &Path) {
    for dim in DIMS {
        kernels::<f32>(dim);
        kernels::<f16>(dim);
        kernels::<bf16>(dim);
        kernels::<i8>(dim);
        kernels::<u8>(dim);
    }
    for dim in CODE_DIMS {
        codes("codes i8", dim, I8);
        codes("codes u4", dim, U4);
    }
    let index = Index::open(index, LoadMode::Mmap).unwrap();
    let queries = numbers(2, QUERIES * INDEX_DIM);
    for ef in EFS {
        let params = SearchParams { ef: Some(ef), ..SearchParams::top(10) };
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        let mut search = || {
            for query in queries.chunks_exact(INDEX_DIM) {
                let account = index.search(&mut scratch, query, &params, &mut hits).unwrap();
                assert_eq!(account.plan, Plan::Walk);
            }
        };
        // The first time, scratch memory grows.
        search();
        run(&format!("search {INDEX_DIM} ef {ef}"), QUERIES, &mut search);
    }
}

fn kernels<E: Element>(dim: usize) {
    kernel::<E, _>("dot", dim, Dot);
    kernel::<E, _>("l2", dim, L2);
    kernel::<E, _>("dot4", dim, Dot4);
    kernel::<E, _>("l2_4", dim, L2By4);
}

fn kernel<E: Element, K: Kernel + Copy>(name: &str, dim: usize, kernel: K) {
    let (rows, query) = (made_up_rows::<E>(ROWS, dim), numbers(2, dim));
    run(&format!("{name} {} {dim}", E::TYPE), ROWS, &mut || {
        black_box(dispatch(Pass { queries: [&query; 4], rows: &rows, kernel }));
    });
}

fn codes<K: CodeKernel + Copy>(name: &str, dim: usize, kernel: K) {
    let codes = Codes::made_up::<K>(dim, ROWS, usize::MAX);
    let ids = codes.shuffled();
    run(&format!("{name} {dim}"), ROWS, &mut || {
        black_box(dispatch(codes.pass(&ids, true, kernel)));
    });
}

// ---- Counting

/// Runs itself under callgrind for each instruction set, and prints instructions a call.
fn compare() {
    let there = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("valgrind is not on the PATH: no instructions are counted; install valgrind");
        std::process::exit(i32::from(measuring()));
    }
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    own(Command::new(std::env::current_exe().unwrap()), "builder", &index, IsaKind::Scalar);
    let [portable, avx2] = [IsaKind::Scalar, IsaKind::Avx2]
        .map(|isa| if isa.available() { count(isa, folder.path(), &index) } else { Vec::new() });
    println!("{:<20} {:>10} {:>10}   instructions a call", "", "scalar", "avx2");
    for (at, (name, count)) in portable.iter().enumerate() {
        let avx2 = avx2.get(at).map_or(String::new(), |(_, count)| format!("{count:.1}"));
        println!("{name:<20} {count:>10.1} {avx2:>10}");
    }
}

/// Names of the benchmarks and instructions a call.
fn count(isa: IsaKind, folder: &Path, index: &Path) -> Vec<(String, f64)> {
    let out = folder.join(isa.name());
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        // In this order: callgrind forgets to toggle where it is told of dumping later.
        .args(["--dump-after=instructions::counted", "--toggle-collect=instructions::counted"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap());
    let said = own(command, "counted", index, isa);
    let of_part = |(line, part): (&str, usize)| {
        let (name, calls) = line.split_once('\t').unwrap();
        let part = std::fs::read_to_string(format!("{}.{part}", out.display())).unwrap();
        let total = part.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
        (name.to_owned(), total.parse::<f64>().unwrap() / calls.parse::<f64>().unwrap())
    };
    said.lines().zip(1..).map(of_part).collect()
}

/// Runs this program in a role, and gives back what it printed.
fn own(mut command: Command, role: &str, index: &Path, isa: IsaKind) -> String {
    command.args(["--role", role]).arg(index).env(ISA_VARIABLE, isa.name());
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{role} failed: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
