//! How fast files of each format are read from the page cache, and written: GB/s of vector data,
//! the median and the best of five rounds, formats taking turns.
//!
//! `cargo bench -p vicinage-datasets --bench read -- [EXTENSION…]`; `VICINAGE_BENCH_MIB` sets the size
//! of a file (512). Files go to the temporary folder (`TMPDIR`).

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;
use std::time::Instant;

use vicinage_datasets::{
    Batch, Element, InputSpec, ReadOptions, Shape, VectorData, WriteOptions, create, open,
};

const DIM: usize = 128;
const ROUNDS: usize = 5;
const FORMATS: [&str; 8] = ["fbin", "npy", "fvecs", "parquet", "arrow", "hdf5", "npz", "jsonl"];

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let formats: Vec<&str> = FORMATS
        .into_iter()
        .filter(|f| wanted.is_empty() || wanted.iter().any(|w| w == f))
        .collect();
    let mib = std::env::var("VICINAGE_BENCH_MIB").ok().and_then(|mib| mib.parse().ok());
    let rows = mib.unwrap_or(512_usize) * (1 << 20) / (DIM * 4);
    let folder = tempfile::tempdir().unwrap();
    let bytes = (rows * DIM * 4) as f64;
    let mut writes = Vec::new();
    for extension in &formats {
        let started = Instant::now();
        write(&folder.path().join(format!("a.{extension}")), rows);
        writes.push(bytes / started.elapsed().as_secs_f64() / 1e9);
    }
    let mut reads = vec![Vec::new(); formats.len()];
    for _ in 0..ROUNDS {
        for (extension, rates) in formats.iter().zip(&mut reads) {
            let input = InputSpec::from(folder.path().join(format!("a.{extension}")));
            let started = Instant::now();
            read(&input, rows);
            rates.push(bytes / started.elapsed().as_secs_f64() / 1e9);
        }
    }
    println!("{rows} × {DIM} f32    read GB/s median    best    write GB/s");
    for ((extension, rates), write) in formats.iter().zip(&mut reads).zip(writes) {
        rates.sort_by(f64::total_cmp);
        let (median, best) = (rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{extension:<20} {median:>14.2} {best:>10.2} {write:>12.2}");
    }
}

/// Values that neither repeat nor compress, the same for every format.
fn values(first: usize, rows: usize) -> Vec<f32> {
    let value = |at: usize| {
        let bits = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41;
        bits as f32 / (1 << 22) as f32 - 1.0
    };
    (first * DIM..(first + rows) * DIM).map(value).collect()
}

fn write(path: &std::path::Path, rows: usize) {
    let shape = Shape { rows: rows as u64, dim: DIM as u32, element: Element::F32 };
    let mut writer = create(path, shape, &WriteOptions::default()).unwrap();
    let mut at = 0;
    while at < rows {
        let some = (rows - at).min(8192);
        writer.write(&Batch::of_vectors(DIM, VectorData::F32(values(at, some)))).unwrap();
        at += some;
    }
    writer.finish().unwrap();
}

fn read(input: &InputSpec, rows: usize) {
    let mut reader = open(input, &ReadOptions::default()).unwrap();
    let (mut batch, mut read) = (Batch::default(), 0);
    while reader.next_batch(&mut batch).unwrap() {
        read += batch.rows;
        black_box(&batch.vectors);
    }
    assert_eq!(read, rows);
}
