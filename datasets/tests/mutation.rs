//! Valid files with bytes flipped, cut off, inserted or overwritten: they read as what their
//! bytes say, or are refused with a typed error; no reader panics.
//!
//! 2,000 files a run, `VICINAGE_MUTATIONS` for another number. A failure prints the fixture and
//! the change, which is all it takes to repeat it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{Whole, fixture, read, read_table, vectors};
use proptest::prelude::*;
use vicinage_datasets::{
    AttributeColumns, Element, InputSpec, ReadOptions, VectorData, read_distances, read_ids,
    read_relevance, read_runbook, read_sparse, write_sparse,
};

const VECTORS: &[&str] = &[
    "lines.jsonl",
    "lines.jsonl.gz",
    "lines.jsonl.zst",
    "f64.npy",
    "f32.npy",
    "f16.npy",
    "i8.npy",
    "u8.npy",
    "version2.npy",
    "version3.npy",
    "vectors.fbin",
    "vectors.u8bin",
    "vectors.i8bin",
    "vectors.fvecs",
    "vectors.bvecs",
    "stored.npz",
    "deflated.npz",
    "list-f64.parquet",
    "list-f16.parquet",
    "list-u8.parquet",
    "fixed-size.parquet",
    "large-list.parquet",
    "snappy.parquet",
    "gzip.parquet",
    "zstd.parquet",
    "lz4.parquet",
    "pages-v2.parquet",
    "row-groups.parquet",
    "checksums.parquet",
    "fixed-f32.arrow",
    "fixed-u8.arrow",
    "large-list-f64.arrow",
    "batches.arrow",
    "stream.arrows",
    "old-stream.arrows",
    "lz4.arrow",
    "zstd.feather",
    "zeros-lz4.arrow",
    "zeros-zstd.arrow",
    #[cfg(feature = "hdf5")]
    "ann.hdf5",
];
/// Files of arrays, and those that they have besides the usual ones.
const FILES: &[&str] = if cfg!(feature = "hdf5") { &["layouts.hdf5", "latest.hdf5"] } else { &[] };
#[cfg(feature = "hdf5")]
const ARRAYS: [&str; 9] =
    ["chunked", "rows", "whole", "growing", "gzip", "shuffled", "checked", "lzf", "compact"];
const TABLES: &[&str] = &[
    "attributes.parquet",
    "null-id.parquet",
    "null-tag.parquet",
    "attributes.arrow",
    "attributes.arrows",
    "delta.arrow",
    "replaced.arrows",
    "tags.spmat",
    "unsorted.spmat",
];
const MATRICES: &[&str] = &[
    "ids-i32.npy",
    "ids-u64.npy",
    "ids.ibin",
    "ids.ivecs",
    "truth.bin",
    "truth.ibin",
    "truth.npz#neighbors",
    "truth.npz#distances",
    "distances.npy",
    "distances.fbin",
    "distances.fvecs",
];
const RELEVANCE: &[&str] =
    &["relevance-wide.parquet", "relevance-long.parquet", "relevance-wide.arrow"];
const RUNBOOKS: &[&str] = &["runbook.yaml", "flow.yaml"];

/// The formats whose values are the bytes behind a header.
const FLAT: [&str; 4] = [".npy", ".fbin", ".u8bin", ".i8bin"];

/// A change to a file; places are taken modulo its length.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Truncate(usize),
    Insert(usize, Vec<u8>),
    Overwrite(usize, Vec<u8>),
    Remove(usize, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        match self {
            _ if bytes.is_empty() => {}
            Self::Flip(at, bit) => bytes[at % len] ^= 1 << (bit % 8),
            Self::Truncate(at) => bytes.truncate(at % len),
            Self::Insert(at, new) => {
                bytes.splice(at % len..at % len, new.iter().copied());
            }
            Self::Overwrite(at, new) => {
                let at = at % len;
                let end = len.min(at + new.len());
                bytes[at..end].copy_from_slice(&new[..end - at]);
            }
            Self::Remove(at, count) => {
                let at = at % len;
                bytes.drain(at..len.min(at + count));
            }
        }
    }
}

/// Half of the places are in the last bytes, where Parquet has its footer.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![
        any::<u16>().prop_map(usize::from),
        (1..600_usize).prop_map(|back| usize::MAX - back)
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let bytes =
        || prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0x7f)], 1..9);
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => place().prop_map(Change::Truncate),
        2 => (place(), bytes()).prop_map(|(at, new)| Change::Insert(at, new)),
        4 => (place(), bytes()).prop_map(|(at, new)| Change::Overwrite(at, new)),
        1 => (place(), 1..20_usize).prop_map(|(at, count)| Change::Remove(at, count)),
    ]
}

/// The rows of a flat file as its bytes say, if it is a valid one of this many values.
fn naive(bytes: &[u8], like: &VectorData) -> VectorData {
    fn values<T: bytemuck::Pod>(bytes: &[u8], count: usize) -> Vec<T> {
        let mut values = vec![T::zeroed(); count];
        let stored = &bytes[bytes.len() - count * size_of::<T>()..];
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(stored);
        values
    }
    match like {
        VectorData::F64(v) => VectorData::F64(values(bytes, v.len())),
        VectorData::F32(v) => VectorData::F32(values(bytes, v.len())),
        VectorData::F16(v) => VectorData::F16(values(bytes, v.len())),
        VectorData::I8(v) => VectorData::I8(values(bytes, v.len())),
        VectorData::U8(v) => VectorData::U8(values(bytes, v.len())),
        other => panic!("{}", other.element()),
    }
}

/// Reads everything that a file of arrays has.
#[cfg(feature = "hdf5")]
fn check_arrays(path: &Path) {
    let _ = vicinage_datasets::describe_hdf5(path);
    for name in ARRAYS {
        let spec = InputSpec { path: path.to_owned(), column: Some(name.to_owned()) };
        if let Ok(whole) = common::read_with(&spec, &ReadOptions::default()) {
            assert_eq!(whole.vectors.len() as u64, whole.shape.rows * u64::from(whole.shape.dim));
        }
    }
    let _ = read_ids(&path.to_owned().into());
    let _ = read_distances(&path.to_owned().into());
}

fn check(name: &str, path: &Path, bytes: &[u8]) {
    #[cfg(feature = "hdf5")]
    if name.ends_with(".hdf5") {
        check_arrays(path);
    }
    let small = ReadOptions { batch_bytes: 64, ..ReadOptions::default() };
    if VECTORS.contains(&name) {
        if let Ok(whole) = read(path) {
            if name.ends_with("vecs") {
                assert_eq!(whole.vectors, naive(&without_dims(bytes, &whole), &whole.vectors));
            } else if name.ends_with(".npz") {
                // The checksum: what is read at all is what was written.
                assert_eq!(whole.vectors, vectors(Element::F32));
            } else if FLAT.iter().any(|extension| name.ends_with(extension)) {
                assert_eq!(whole.vectors, naive(bytes, &whole.vectors));
            }
            assert_eq!(whole.vectors.len() as u64, whole.shape.rows * u64::from(whole.shape.dim));
        }
    } else if TABLES.contains(&name) {
        let _ = read_table(path, &ReadOptions { attributes: AttributeColumns::All, ..small });
        if name.ends_with(".spmat") {
            check_sparse(path, bytes);
        }
    } else if RELEVANCE.contains(&name) {
        if let Ok(relevance) = read_relevance(path, 5) {
            assert_eq!(relevance.queries(), 5);
        }
    } else if RUNBOOKS.contains(&name) {
        if let Ok(runbook) = read_runbook(path, Some("random-xs")) {
            assert!(runbook.check_base(runbook.rows()).is_ok());
        }
    } else if name.ends_with(".hdf5") {
        // Its arrays have been read.
    } else {
        let array = name.split_once('#').map(|(_, array)| array.to_owned());
        let spec = InputSpec { path: path.to_owned(), column: array };
        if let Ok(ids) = read_ids(&spec) {
            assert!(ids.iter().all(|row| row.len() <= ids.k()));
        }
        if let Ok(distances) = read_distances(&spec) {
            assert!(distances.iter().flatten().all(|distance| distance.is_finite()));
        }
    }
}

/// The bytes of fvecs or bvecs without the dim before each row.
fn without_dims(bytes: &[u8], whole: &Whole) -> Vec<u8> {
    let rows = bytes.chunks(4 + whole.shape.row_bytes());
    rows.flat_map(|row| row[4..].to_vec()).collect()
}

/// What is read as a sparse matrix has the rows, in order, that a file of it has.
fn check_sparse(path: &Path, bytes: &[u8]) {
    let Ok(matrix) = read_sparse(path) else { return };
    let again = path.with_file_name("again.spmat");
    write_sparse(&again, &matrix).unwrap();
    assert_eq!(read_sparse(&again).unwrap(), matrix);
    assert_eq!(fs::metadata(&again).unwrap().len(), bytes.len() as u64);
}

fn cases() -> u32 {
    std::env::var("VICINAGE_MUTATIONS").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn mutated_files_are_read_as_they_are_or_refused(
        name in prop::sample::select([VECTORS, TABLES, MATRICES, RELEVANCE, RUNBOOKS, FILES].concat()),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let file = name.split('#').next().unwrap();
        let mut bytes = fs::read(fixture(file)).unwrap();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::write(&path, &bytes).unwrap();
        check(name, &path, &bytes);
    }
}

/// With page checksums, no flipped bit of the pages is read as other vectors.
#[test]
fn checksums_find_every_flipped_bit_of_the_pages() {
    let name = "checksums.parquet";
    let bytes = fs::read(fixture(name)).unwrap();
    let end = bytes.len();
    let footer = end - 8 - u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap()) as usize;
    let whole = read(&fixture(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    for bit in 4 * 8..footer * 8 {
        let mut changed = bytes.clone();
        Change::Flip(bit / 8, (bit % 8) as u8).apply(&mut changed);
        fs::write(&path, &changed).unwrap();
        if let Ok(read) = read(&path) {
            assert_eq!(read, whole, "bit {bit}");
        }
    }
}

/// Some of these flips make the Parquet library panic on pages that were not looked at before.
#[test]
fn every_flipped_bit_of_small_files_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "list-f16.parquet",
        "null-tag.parquet",
        "stored.npz",
        "tags.spmat",
        "zeros-lz4.arrow",
        "replaced.arrows",
    ] {
        let bytes = fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            Change::Flip(bit / 8, (bit % 8) as u8).apply(&mut changed);
            fs::write(&path, &changed).unwrap();
            check(name, &path, &changed);
        }
    }
}
