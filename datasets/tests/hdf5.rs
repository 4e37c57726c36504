//! HDF5: what h5py wrote reads as what was put into it (see `fixtures/make_arrow_hdf5.py`), what
//! is written is what is read, and broken or unusual files are refused.

#![cfg(feature = "hdf5")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{
    DIM, ELEMENTS, ROWS, Whole, append, assert_says, fixture, padded, read, read_with, vectors,
};
use half::f16;
use proptest::prelude::*;
use vicinage_datasets::{
    AnnAttributes, AnnPart, AnnValues, AnnWriter, Batch, Element, InputSpec, Matrix, ReadError,
    ReadOptions, Shape, VectorData, WriteOptions, create, describe_hdf5, open, read_distances,
    read_ids,
};

fn whole(element: Element) -> Whole {
    let shape = Shape { rows: ROWS as u64, dim: DIM as u32, element };
    let (ids, attributes) = (Vec::new(), Vec::new());
    Whole { shape, vectors: vectors(element), ids, attributes }
}

fn spec(path: &Path, name: &str) -> InputSpec {
    InputSpec { path: path.to_owned(), column: Some(name.to_owned()) }
}

fn read_array(path: &Path, name: &str) -> Result<Whole, ReadError> {
    read_with(&spec(path, name), &ReadOptions::default())
}

const LAYOUTS: [&str; 10] =
    ["chunked", "rows", "whole", "one", "growing", "gzip", "shuffled", "checked", "lzf", "compact"];

#[test]
fn vectors_read_as_written_by_h5py() {
    for name in ["ann.hdf5", "vibe.h5", "userblock.hdf5", "latest.hdf5"] {
        assert_eq!(read(&fixture(name)).unwrap(), whole(Element::F32), "{name}");
        let test = read_array(&fixture(name), "test").unwrap();
        assert_eq!(test.shape, Shape { rows: 4, ..whole(Element::F32).shape });
    }
    for element in ELEMENTS {
        for name in [element.to_string(), format!("group/{element}")] {
            let read = read_array(&fixture("elements.hdf5"), &name).unwrap();
            assert_eq!(read, whole(element), "{name}");
        }
    }
    for file in ["layouts.hdf5", "latest.hdf5"] {
        for name in LAYOUTS {
            let read = read_array(&fixture(file), name);
            assert_eq!(read.unwrap(), whole(Element::F32), "{file}, {name}");
        }
    }
}

#[test]
fn every_batch_size_gives_the_same_rows() {
    for name in LAYOUTS {
        for batch_bytes in [0, 1, 20, 39, 40, 41, 60, 100, 1 << 20] {
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let read = read_with(&spec(&fixture("layouts.hdf5"), name), &options).unwrap();
            assert_eq!(read, whole(Element::F32), "{name}, {batch_bytes} bytes");
        }
    }
}

#[test]
fn neighbours_read_as_written_by_h5py() {
    let unnamed = |name: &str| InputSpec::from(fixture(name));
    for name in ["ann.hdf5", "vibe.h5", "latest.hdf5"] {
        assert_eq!(read_ids(&unnamed(name)).unwrap(), padded(), "{name}");
        let distances = read_distances(&unnamed(name)).unwrap();
        assert_eq!((distances.row(1), distances.row(2)), (&[2.5, 2.75, 3.0][..], &[5.0][..]));
    }
    assert_eq!(read_ids(&spec(&fixture("vibe.h5"), "learn_neighbors")).unwrap(), padded());
    let elements = fixture("elements.hdf5");
    for name in ["ids-i4", "ids-i8"] {
        assert_eq!(read_ids(&spec(&elements, name)).unwrap(), padded(), "{name}");
    }
    for name in ["ids-u4", "ids-u8"] {
        assert_eq!(read_ids(&spec(&elements, name)).unwrap().row(2), [20, 21, 22], "{name}");
    }
    let distances = read_distances(&spec(&elements, "distances-f8")).unwrap();
    assert_eq!((distances.row(1), distances.row(2)), (&[2.5, 2.75, 3.0][..], &[5.0][..]));
}

#[test]
fn a_file_describes_itself() {
    let vibe = describe_hdf5(&fixture("vibe.h5")).unwrap();
    assert_eq!(vibe.metric.as_deref(), Some("ip"));
    assert_eq!(vibe.dimension, Some(DIM as u64));
    assert_eq!((vibe.kind.as_deref(), vibe.point_type.as_deref()), (Some("dense"), Some("float")));
    let arrays: Vec<_> =
        vibe.arrays.iter().map(|a| (a.name.as_str(), &a.shape[..], a.dtype.as_str())).collect();
    let expected: [(&str, &[u64], &str); 7] = [
        ("avg_distances", &[4], "f64"),
        ("distances", &[4, 3], "f32"),
        ("learn", &[5, 5], "f32"),
        ("learn_neighbors", &[4, 3], "i64"),
        ("neighbors", &[4, 3], "i32"),
        ("test", &[4, 5], "f32"),
        ("train", &[7, 5], "f32"),
    ];
    assert_eq!(arrays, expected);
    let sparse = describe_hdf5(&fixture("sparse.hdf5")).unwrap();
    assert_eq!(sparse.metric.as_deref(), Some("jaccard"));
    let refused = describe_hdf5(&fixture("refused.hdf5")).unwrap();
    assert_eq!((refused.metric, refused.dimension), (None, None));
    let bool_array = refused.arrays.iter().find(|array| array.name == "bool").unwrap();
    assert_eq!((&bool_array.shape[..], bool_array.dtype.as_str()), (&[7, 5][..], "bool"));
}

#[test]
fn arrays_that_h5py_writes_and_we_refuse() {
    let numbers =
        "expected little-endian numbers (f16, f32, f64, i8, u8; ids i32, u32, i64, u64) in array";
    let cases: [(&str, &[&str]); 16] = [
        ("bool", &[numbers, "found booleans, as the sets for Hamming and Jaccard distance have"]),
        (
            "flat",
            &[
                "expected two dimensions, [rows, dim], in array `flat`",
                "1 dimension, as the sparse sets for Jaccard",
            ],
        ),
        ("cube", &["found 3 dimensions"]),
        ("big-endian", &[numbers, "found big-endian ones"]),
        ("text", &[numbers, "found vlen_string"]),
        ("i16", &[numbers, "found i16"]),
        ("compound", &[numbers, "found a compound"]),
        (
            "not-written",
            &["column `not-written`: expected values, found none that were ever written"],
        ),
        ("half-written", &["expected 2 chunks, for all rows, found 1 that were ever written"]),
        ("nan", &["row 2, component 3: expected a finite number, found NaN"]),
        (
            "nan-chunked",
            &["column `nan-chunked`, row 2, component 3: expected a finite number, found NaN"],
        ),
        ("no-dim", &["column `no-dim`: expected a dim from 1 to 1048576, found 0"]),
        ("group", &["expected an array `group`"]),
        (
            "none",
            &["expected an array `none`", "the arrays [`bad-distances`, `bad-ids`, `big-endian`"],
        ),
        ("group/none", &["expected an array `group/none`"]),
        (
            "bad-ids",
            &[
                "expected vectors of f64, f32, f16, i8 or u8 in array `bad-ids`, found an array of i64",
            ],
        ),
    ];
    for file in ["refused.hdf5", "refused-latest.hdf5"] {
        let path = fixture(file);
        for (name, says) in cases {
            assert_says(read_array(&path, name), &path, says);
        }
        let no_rows = read_array(&path, "no-rows").unwrap();
        assert_eq!(no_rows.shape, Shape { rows: 0, dim: 3, element: Element::F32 });
        let ids = read_ids(&spec(&path, "bad-ids"));
        assert_says(ids, &path, &["row 0, component 2: expected an id from 0", "found 2"]);
        let ids = read_ids(&spec(&path, "nan"));
        assert_says(ids, &path, &["expected ids of i32, u32, i64 or u64"]);
        for name in ["bad-distances", "far-distances"] {
            let distances = read_distances(&spec(&path, name));
            assert_says(distances, &path, &["row 0, component 1: expected a finite distance"]);
        }
    }
    assert_eq!(read_array(&fixture("refused.hdf5"), "both-grow").unwrap(), whole(Element::F32));
    let path = fixture("layout-5.hdf5");
    assert_says(read(&path), &path, &["readable HDF5 metadata", "data layout version: 5"]);
    let path = fixture("sparse.hdf5");
    assert_says(read(&path), &path, &["1 dimension, as the sparse sets for Jaccard distance have"]);
}

#[test]
fn files_that_are_no_hdf5() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hdf5");
    fs::copy(fixture("f32.npy"), &path).unwrap();
    assert_says(read(&path), &path, &["expected an HDF5 file", "(this is npy)"]);
    let bytes = fs::read(fixture("ann.hdf5")).unwrap();
    for len in [0, 1, 8, 47, 100, 1000, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert_says(read_array(&path, "distances"), &path, &["expected"]);
        assert_says(describe_hdf5(&path).and(read(&path)), &path, &["expected"]);
    }
    let options = ReadOptions { id_column: Some("id".to_owned()), ..ReadOptions::default() };
    let path = fixture("ann.hdf5");
    assert_says(
        open(&path.clone().into(), &options),
        &path,
        &["expected a file with a column `id`"],
    );
}

fn attributes() -> AnnAttributes {
    let (metric, point_type) = ("angular".to_owned(), "float".to_owned());
    AnnAttributes { metric, point_type, dimension: DIM as u32 }
}

fn part(name: &str, values: AnnValues) -> AnnPart {
    AnnPart { name: name.to_owned(), values }
}

#[test]
fn a_whole_set_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hdf5");
    let shape = |rows, element| Shape { rows, dim: DIM as u32, element };
    let parts = [
        part("train", AnnValues::Vectors(shape(14, Element::F32))),
        part("empty", AnnValues::Vectors(shape(0, Element::F32))),
        part("test", AnnValues::Vectors(shape(7, Element::F16))),
        part("neighbors", AnnValues::Ids { rows: 8, k: 3, below: 100 }),
        part("wide", AnnValues::Ids { rows: 4, k: 3, below: 1 << 40 }),
        part("distances", AnnValues::Distances { rows: 1, k: 2 }),
    ];
    let mut writer = AnnWriter::create(&path, &attributes(), &parts).unwrap();
    let batch = Batch::of_vectors(DIM, vectors(Element::F32));
    writer.write_vectors(&batch).unwrap();
    assert!(writer.write_ids(&padded()).is_err(), "vectors are still to come");
    writer.write_vectors(&batch).unwrap();
    writer.write_vectors(&Batch::of_vectors(DIM, vectors(Element::F16))).unwrap();
    writer.write_ids(&padded()).unwrap();
    writer.write_ids(&padded()).unwrap();
    let mut wide = Matrix::new(3);
    [&[1 << 39][..], &[], &[2, 3], &[4]].into_iter().for_each(|row| wide.push(row));
    writer.write_ids(&wide).unwrap();
    let mut distances = Matrix::new(2);
    distances.push(&[0.5]);
    writer.write_distances(&distances).unwrap();
    assert!(!path.exists(), "before it is complete");
    writer.finish().unwrap();

    let mut twice = vectors(Element::F32);
    append(&mut twice, &vectors(Element::F32));
    assert_eq!(read(&path).unwrap().vectors, twice);
    assert_eq!(read_array(&path, "test").unwrap().vectors, vectors(Element::F16));
    assert_eq!(read_array(&path, "empty").unwrap().shape, shape(0, Element::F32));
    let ids = read_ids(&path.clone().into()).unwrap();
    assert_eq!((ids.rows(), ids.row(6), ids.row(7)), (8, padded().row(2), padded().row(3)));
    assert_eq!(read_ids(&spec(&path, "wide")).unwrap(), wide);
    assert_eq!(read_distances(&path.clone().into()).unwrap(), distances);
    let described = describe_hdf5(&path).unwrap();
    assert_eq!(described.metric.as_deref(), Some("angular"));
    assert_eq!(described.dimension, Some(DIM as u64));
    let kind = (described.kind.as_deref(), described.point_type.as_deref());
    assert_eq!(kind, (Some("dense"), Some("float")));
    assert_eq!(described.arrays.len(), 6);
}

#[test]
fn writers_refuse_what_does_not_fit_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.hdf5");
    let says = |message: String, part: &str| assert!(message.contains(part), "{message}");
    let distances = AnnValues::Distances { rows: 1, k: 2 };
    let fails = |parts: &[AnnPart], part: &str| {
        says(AnnWriter::create(&path, &attributes(), parts).unwrap_err().to_string(), part);
    };
    fails(&[part("a/b", distances)], "a name of 1 to 255 bytes, without `/`");
    fails(&[part("", distances)], "a name of 1 to 255 bytes");
    fails(&[part("a", distances), part("a", distances)], "every array name once, found `a` twice");
    fails(&[part("a", AnnValues::Distances { rows: 1, k: 0 })], "a dim or k from 1 to 1048576");
    fails(&[part("a", AnnValues::Distances { rows: 1 << 61, k: 2 })], "less than 2^62 bytes");
    fails(&vec![part("a", distances); 65], "at most 64 arrays, found 65");
    let long = AnnAttributes { metric: "x".repeat(256), ..attributes() };
    let error = AnnWriter::create(&path, &long, &[]).unwrap_err();
    says(error.to_string(), "an attribute `distance` of at most 255 bytes");

    let parts = [part("neighbors", AnnValues::Ids { rows: 5, k: 3, below: 32 })];
    let create_writer = || AnnWriter::create(&path, &attributes(), &parts).unwrap();
    says(create_writer().write_ids(&padded()).unwrap_err().to_string(), "ids below 32, found 32");
    let mut ids = Matrix::new(3);
    (0..6).for_each(|id| ids.push(&[id]));
    says(create_writer().write_ids(&ids).unwrap_err().to_string(), "expected 5 rows, found 6");
    let wide = create_writer().write_ids(&Matrix::new(4)).unwrap_err();
    says(wide.to_string(), "expected rows of at most 3, found 4");
    let mut writer = create_writer();
    let short = writer.write_distances(&Matrix::new(3)).unwrap_err();
    says(short.to_string(), "expected ids for `neighbors`, found distances");
    says(writer.finish().unwrap_err().to_string(), "expected 5 rows of `neighbors`, found 0");
    let mut writer = AnnWriter::create(&path, &attributes(), &[]).unwrap();
    let more = writer.write_ids(&padded()).unwrap_err();
    says(more.to_string(), "expected no more, as all arrays are complete, found ids");
    drop(writer);

    let shape = Shape { rows: 2, dim: 2, element: Element::F32 };
    let mut writer = create(&path, shape, &WriteOptions::default()).unwrap();
    writer.write(&Batch::of_vectors(2, VectorData::F32(vec![1.0, 2.0]))).unwrap();
    says(writer.finish().unwrap_err().to_string(), "expected 2 rows, found 1");
    let with_ids = WriteOptions { id_column: Some("id".to_owned()), ..WriteOptions::default() };
    let error = create(&path, shape, &with_ids).err().unwrap();
    says(error.to_string(), "ids or attributes, which would be lost");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(
        element in prop::sample::select(ELEMENTS.to_vec()),
        dim in 1..8_usize,
        rows in prop::collection::vec(0..9_usize, 1..5),
        seed in any::<u8>(),
        batch_bytes in 1..300_usize,
        name in prop::sample::select(vec![None, Some("learn"), Some("größe")]),
    ) {
        let mut expected = VectorData::empty(element);
        let mut batches = Vec::new();
        for rows in rows {
            let values = (0..rows * dim).map(|at| (at as u8).wrapping_mul(37).wrapping_add(seed));
            let vectors = match element {
                Element::F64 => VectorData::F64(values.map(f64::from).collect()),
                Element::F32 => VectorData::F32(values.map(f32::from).collect()),
                Element::F16 => VectorData::F16(values.map(f16::from).collect()),
                Element::I8 => VectorData::I8(values.map(|value| value as i8).collect()),
                _ => VectorData::U8(values.collect()),
            };
            append(&mut expected, &vectors);
            batches.push(Batch::of_vectors(dim, vectors));
        }
        let rows = batches.iter().map(|batch| batch.rows as u64).sum();
        let shape = Shape { rows, dim: dim as u32, element };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        let mut options = WriteOptions::default();
        options.vector_column = name.map_or(options.vector_column, str::to_owned);
        let mut writer = create(&path, shape, &options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
        let column = name.map(str::to_owned);
        let read = read_with(&InputSpec { path, column }, &options).unwrap();
        prop_assert_eq!((read.shape, read.vectors), (shape, expected));
    }
}
