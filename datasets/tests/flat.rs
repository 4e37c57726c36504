//! The flat formats beyond npy and bin, against files of numpy and scipy, and what is refused of
//! them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{
    DIM, ROWS, Value, Whole, assert_says, file, fixture, padded, read_table, read_with, refused,
    vectors,
};
use vicinage_datasets::{
    AttributeColumns, Batch, Element, InputSpec, Matrix, ReadOptions, Shape, SparseMatrix,
    WriteOptions, create, read_distances, read_ids, read_sparse, write_distances,
    write_ground_truth, write_ids, write_sparse,
};

fn shape(element: Element) -> Shape {
    Shape { rows: ROWS as u64, dim: DIM as u32, element }
}

/// An array of an archive among the fixtures.
fn array(file: &str, name: &str) -> InputSpec {
    InputSpec { path: fixture(file), column: Some(name.to_owned()) }
}

fn read_array(file: &str, name: &str) -> Whole {
    read_with(&array(file, name), &ReadOptions::default()).unwrap()
}

/// Little-endian numbers, end to end.
fn le<T: bytemuck::NoUninit>(values: &[T]) -> &[u8] {
    bytemuck::cast_slice(values)
}

#[test]
fn vectors_read_as_written_by_numpy() {
    for (name, element) in [
        ("vectors.fvecs", Element::F32),
        ("vectors.bvecs", Element::U8),
        ("stored.npz", Element::F32),
        ("deflated.npz", Element::F32),
    ] {
        let spec = InputSpec::from(fixture(name));
        for batch_bytes in [0, 1, 20, 39, 41, 100, 1 << 20] {
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let read = read_with(&spec, &options).unwrap();
            assert_eq!(read.shape, shape(element), "{name}");
            assert_eq!(read.vectors, vectors(element), "{name}, {batch_bytes} bytes");
        }
    }
    assert_eq!(read_array("two.npz", "f16").vectors, vectors(Element::F16));
    assert_eq!(read_array("two.npz", "u8").vectors, vectors(Element::U8));
}

#[test]
fn written_vecs_are_byte_for_byte_those_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    for (name, element) in [("vectors.fvecs", Element::F32), ("vectors.bvecs", Element::U8)] {
        let path = folder.path().join(name);
        let mut writer = create(&path, shape(element), &WriteOptions::default()).unwrap();
        writer.write(&Batch::of_vectors(DIM, vectors(element))).unwrap();
        writer.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(fixture(name)).unwrap());
    }
}

#[test]
fn neighbours_read_and_write_as_numpy_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| InputSpec::from(fixture(name));
    let ids = [
        named("ids.ivecs"),
        named("truth.bin"),
        named("truth.ibin"),
        array("truth.npz", "neighbors"),
    ];
    for spec in ids {
        assert_eq!(read_ids(&spec).unwrap(), padded(), "{spec}");
    }
    let expected = read_distances(&named("distances.npy")).unwrap();
    let distances = [
        named("distances.fvecs"),
        named("truth.bin"),
        named("truth.ibin"),
        array("truth.npz", "distances"),
    ];
    for spec in distances {
        assert_eq!(read_distances(&spec).unwrap(), expected, "{spec}");
    }
    let path = |name: &str| folder.path().join(name);
    write_ids(&path("ids.ivecs"), &padded()).unwrap();
    write_distances(&path("distances.fvecs"), &expected).unwrap();
    write_ground_truth(&path("truth.bin"), &padded(), &expected).unwrap();
    write_ground_truth(&path("truth.ibin"), &padded(), &expected).unwrap();
    for name in ["ids.ivecs", "distances.fvecs", "truth.bin", "truth.ibin"] {
        assert_eq!(fs::read(path(name)).unwrap(), fs::read(fixture(name)).unwrap(), "{name}");
    }
}

#[test]
fn an_array_is_written_under_the_name_of_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let options = WriteOptions { vector_column: "é".to_owned(), ..WriteOptions::default() };
    let mut writer = create(&path, shape(Element::F16), &options).unwrap();
    writer.write(&Batch::of_vectors(DIM, vectors(Element::F16))).unwrap();
    writer.finish().unwrap();
    let spec = InputSpec { path: path.clone(), column: Some("é".to_owned()) };
    let read = read_with(&spec, &ReadOptions::default()).unwrap();
    assert_eq!(read.vectors, vectors(Element::F16));
    // Stored: the array is in there as NumPy writes it.
    let npy = fs::read(fixture("f16.npy")).unwrap();
    assert!(fs::read(&path).unwrap().windows(npy.len()).any(|window| window == npy));
}

#[test]
fn vecs_that_are_broken() {
    let row = |dim: i32, values: &[f32]| [le(&[dim]), le(values)].concat();
    let dim = "byte 0: expected a row that begins with a dim from 1 to 1048576, as i32, found";
    refused("a.fvecs", &row(0, &[1.0]), &[dim, "found 0"]);
    refused("a.fvecs", &row(-1, &[1.0]), &[dim, "found -1"]);
    refused("a.fvecs", &[1, 0], &[dim, "found 2 bytes"]);
    refused(
        "a.fvecs",
        &[row(2, &[1.0, 2.0]), row(1, &[1.0])].concat(),
        &["byte 12, row 1: expected rows of 12 bytes, a dim and 2 values each, found 8 bytes"],
    );
    let changing = [row(2, &[1.0, 2.0]), row(1, &[1.0, 2.0])].concat();
    refused("a.fvecs", &changing, &["byte 12, row 1: expected 2 components, as in row 0, found 1"]);
    let not_finite = [row(2, &[1.0, 2.0]), row(2, &[1.0, f32::NAN])].concat();
    refused("a.fvecs", &not_finite, &["row 1, component 1: expected a finite number, found NaN"]);
    let (_folder, path) = file("a.ivecs", &changing);
    assert_says(read_ids(&path.clone().into()), &path, &["byte 12, row 1: expected 2 components"]);

    // Far into the file, behind the first piece that is read.
    let (rows, dim) = (3000, 33);
    let mut bytes: Vec<u8> = (0..rows).flat_map(|_| row(dim, &[1.0; 33])).collect();
    bytes[2500 * 136] = 32;
    refused("a.fvecs", &bytes, &["byte 340000, row 2500: expected 33 components", "found 32"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.fvecs");
    let empty = Shape { rows: 0, ..shape(Element::F32) };
    let error = create(&path, empty, &WriteOptions::default()).err().unwrap().to_string();
    assert!(error.contains("expected at least one row"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}

#[test]
fn ground_truth_that_is_broken() {
    let bytes = fs::read(fixture("truth.bin")).unwrap();
    let (_folder, path) = file("a.bin", &bytes[..bytes.len() - 1]);
    let lengths = "expected a file of 56 bytes (4 × 3 ids) or 104 (and their distances)";
    let says = ["byte 103: ", lengths, "found 103 bytes"];
    assert_says(read_ids(&path.clone().into()), &path, &says);
    assert_says(read_distances(&path.clone().into()), &path, &says);
    let path = fixture("ids.ibin");
    let says = ["expected ids and distances, found ids alone, [4, 3]"];
    assert_says(read_distances(&path.clone().into()), &path, &says);
    let spec = InputSpec { path: path.clone(), column: Some("a".to_owned()) };
    assert_says(read_ids(&spec), &path, &["expected a file with an array `a`"]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bin");
    let mut distances = Matrix::new(3);
    padded().iter().for_each(|row| distances.push(&vec![0.0; row.len().min(2)]));
    let error = write_ground_truth(&path, &padded(), &distances).unwrap_err().to_string();
    assert!(error.contains("expected a distance for each id of 4 rows of 3"), "{error}");
    let error = write_ids(&path, &padded()).unwrap_err().to_string();
    assert!(error.contains("ends in .npy, .npz, .ibin, .ivecs, found .bin"), "{error}");
}

#[test]
fn archives_that_numpy_writes_and_we_refuse() {
    let says = |spec: &InputSpec, parts: &[&str]| {
        assert_says(read_with(spec, &ReadOptions::default()), &spec.path, parts);
    };
    let two = InputSpec::from(fixture("two.npz"));
    says(&two, &["one array of two dimensions, or the name of one", "the arrays `f16`, `u8`"]);
    let says_none = ["expected an array `x`, found the arrays `labels`, `scale`, `vectors`"];
    says(&array("deflated.npz", "x"), &says_none);
    let one = ["column `labels`: expected an array of two dimensions", "1 dimensions, [7]"];
    says(&array("deflated.npz", "labels"), &one);
    says(&array("deflated.npz", "scale"), &["column `scale`", "0 dimensions, []"]);
    let bzip2 = ["expected array `vectors` stored or deflated, found compression method"];
    says(&array("bzip2.npz", "vectors"), &bzip2);
    let ids = read_ids(&fixture("truth.npz").into());
    assert_says(ids, &fixture("truth.npz"), &["one array", "`distances`, `neighbors`"]);
    let options = ReadOptions { id_column: Some("id".to_owned()), ..ReadOptions::default() };
    let stored = InputSpec::from(fixture("stored.npz"));
    assert_says(read_with(&stored, &options), &stored.path, &["a file with a column `id`"]);
}

#[test]
fn archives_that_are_broken() {
    let stored = fs::read(fixture("stored.npz")).unwrap();
    let end = stored.len();
    refused("a.npz", &stored[..end - 1], &["expected the directory of a zip file before its end"]);
    refused("a.npz", b"PK", &["byte 0: expected a zip file, found 2 bytes"]);
    refused("a.npz", &fs::read(fixture("f32.npy")).unwrap(), &["the zip magic", "(this is npy)"]);

    // A value in the middle: the checksum finds it.
    let value = 3.375_f32.to_le_bytes();
    let at = stored.windows(4).position(|window| window == value).unwrap();
    let mut changed = stored.clone();
    changed[at] ^= 1;
    refused("a.npz", &changed, &["column `vectors`: expected", "found bytes of checksum"]);

    // The directory's sizes, packed and unpacked, a byte short; then the array's header is wrong.
    let directory = stored.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let mut changed = stored.clone();
    changed[directory + 20] -= 1;
    changed[directory + 24] -= 1;
    refused("a.npz", &changed, &["column `vectors`: expected a file of 268 bytes", "found 267"]);
    let mut changed = stored.clone();
    changed[directory + 20] -= 1;
    refused("a.npz", &changed, &["found the end of what is packed, 1 bytes early"]);
    let mut changed = stored.clone();
    changed[directory + 24] -= 1;
    refused("a.npz", &changed, &["column `vectors`: expected a file of 268 bytes", "found 267"]);
    let mut changed = stored.clone();
    changed[directory + 23] = 0x7f;
    refused("a.npz", &changed, &["expected array `vectors` within the 408 bytes of the file"]);
    let mut changed = stored;
    changed[directory + 8] |= 1;
    refused("a.npz", &changed, &["stored or deflated, found an encrypted one"]);

    // An array that claims more than is packed is read up to where that ends, in small batches.
    let deflated = fs::read(fixture("truth.npz")).unwrap();
    let entry = deflated.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let mut changed = deflated;
    changed[entry + 27] = 0x7f;
    let (_folder, path) = file("a.npz", &changed);
    let spec = InputSpec { path: path.clone(), column: Some("neighbors".to_owned()) };
    let says = ["expected an array of at most 8388608 bytes", "found 2130706656"];
    assert_says(read_ids(&spec), &path, &says);
}

fn tags() -> SparseMatrix {
    let mut matrix = SparseMatrix::new(200_000);
    matrix.push(&[1, 7], &[1.0, 0.5]);
    matrix.push(&[], &[]);
    matrix.push(&[0, 3, 199_999], &[1.0, 1.0, 2.0]);
    matrix
}

#[test]
fn sparse_matrices_read_and_write_as_scipy_has_them() {
    for name in ["tags.spmat", "unsorted.spmat"] {
        let matrix = read_sparse(&fixture(name)).unwrap();
        assert_eq!(matrix, tags(), "{name}");
        assert_eq!((matrix.rows(), matrix.columns()), (3, 200_000));
        assert_eq!(matrix.row(2), (&[0, 3, 199_999][..], &[1.0, 1.0, 2.0][..]));
        let of_rows = matrix.tags(1..3);
        let expected: [Option<&[i64]>; 2] = [Some(&[]), Some(&[0, 3, 199_999])];
        assert_eq!([of_rows.get(0), of_rows.get(1)], expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.spmat");
    write_sparse(&path, &tags()).unwrap();
    assert_eq!(fs::read(path).unwrap(), fs::read(fixture("tags.spmat")).unwrap());
}

#[test]
fn a_sparse_matrix_is_a_table_of_tags() {
    let path = fixture("tags.spmat");
    let lists: [&[i64]; 3] = [&[1, 7], &[], &[0, 3, 199_999]];
    let expected: Vec<_> = lists.iter().map(|list| Value::I64List(list.to_vec())).collect();
    for batch_bytes in [1, 64, 1 << 20] {
        let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
        let (ids, columns) = read_table(&path, &options).unwrap();
        assert_eq!(ids, Vec::<u64>::new());
        assert_eq!(columns, [("tags".to_owned(), expected.clone())]);
    }
    let none = read_table(&path, &ReadOptions::without_attributes()).unwrap();
    assert_eq!(none, (Vec::new(), Vec::new()));
    let named = |names: &[&str]| ReadOptions {
        attributes: AttributeColumns::Named(names.iter().map(|&name| name.to_owned()).collect()),
        ..ReadOptions::default()
    };
    assert_eq!(read_table(&path, &named(&["tags"])).unwrap().1.len(), 1);
    let says = |options: ReadOptions, says: &str| {
        assert_says(read_table(&path, &options), &path, &[says, "one attribute is `tags`"]);
    };
    says(named(&["colour"]), "expected the attribute column `colour`");
    says(named(&["tags", "tags"]), "expected one mention of the attribute `tags`");
    let ids = ReadOptions { id_column: Some("id".to_owned()), ..ReadOptions::default() };
    says(ids, "expected an integer column `id` of ids");
}

#[test]
fn sparse_matrices_that_are_broken() {
    let bytes = fs::read(fixture("tags.spmat")).unwrap();
    let says = |bytes: &[u8], parts: &[&str]| {
        let (_folder, path) = file("a.spmat", bytes);
        assert_says(read_sparse(&path), &path, parts);
        assert_says(read_table(&path, &ReadOptions::default()), &path, parts);
    };
    let with = |at: usize, new: &[u8], parts: &[&str]| {
        let mut changed = bytes.clone();
        changed[at..at + new.len()].copy_from_slice(new);
        says(&changed, parts);
    };
    says(&bytes[..31], &["byte 0: expected at least 32 bytes", "found 31 bytes"]);
    says(&bytes[..95], &["byte 95: expected a file of 96 bytes", "found 95 bytes"]);
    says(&[&bytes[..], &[0]].concat(), &["expected a file of 96 bytes", "found 97 bytes"]);
    with(0, le(&[-1_i64]), &["byte 0: expected a number of rows, found -1"]);
    with(0, le(&[i64::MAX]), &["byte 0: expected a number of rows that can be"]);
    with(8, le(&[-1_i64]), &["byte 8: expected a number of columns, found -1"]);
    with(16, le(&[i64::MAX]), &["expected more bytes than can be counted"]);
    with(24, le(&[1_i64]), &["byte 24: expected row 0 to begin at 0, found 1"]);
    with(32, le(&[6_i64]), &["byte 32, row 0: expected the row to end from 0 to 5, found 6"]);
    with(40, le(&[1_i64]), &["byte 40, row 1: expected the row to end from 2 to 5, found 1"]);
    with(40, le(&[-1_i64]), &["byte 40, row 1: expected the row to end", "found -1"]);
    with(48, le(&[4_i64]), &["byte 48, row 2: expected the row to end from 5 to 5, found 4"]);
    with(56, le(&[7_i32]), &["row 0, component 1: expected each column once a row", "7 again"]);
    with(56, le(&[-1_i32]), &["row 0, component 0: expected a column from 0, below 200000"]);
    with(72, le(&[200_000_i32]), &["row 2, component 2", "below 200000, found 200000"]);
    with(80, le(&[f32::NAN]), &["row 0, component 1: expected a finite number, found NaN"]);
    let header = le(&[0_i64, 5, 1, 0]);
    says(&[header, &[0; 8]].concat(), &["byte 16: expected no values, as there are no rows"]);
    let empty = le(&[0_i64, 5, 0, 0]);
    let (_folder, path) = file("a.spmat", empty);
    assert_eq!(read_sparse(&path).unwrap(), SparseMatrix::new(5));
    assert_says(read_sparse(Path::new("a.npy")), Path::new("a.npy"), &["ends in .spmat"]);

    let mut matrix = tags();
    matrix.push(&[5], &[f32::INFINITY]);
    let error = write_sparse(&path, &matrix).unwrap_err().to_string();
    assert!(error.contains("expected finite values, found inf in row 3"), "{error}");
}

#[test]
fn content_of_another_format_is_named() {
    let npy = fs::read(fixture("f32.npy")).unwrap();
    for (magic, name) in [
        (&npy[..8], "npy"),
        (b"PAR1\x15\x04\x15\x10", "Parquet"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04\x2d\0\0\0", "zip or npz"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        (b"\x28\xb5\x2f\xfd\x24\x09\x49\0", "zstd"),
        (b"ARROW1\0\0", "Arrow IPC"),
    ] {
        let bytes = [magic, &[1; 64]].concat();
        let formats = ["a.npy", "a.npz", "a.fbin", "a.u8bin", "a.fvecs", "a.bvecs", "a.parquet"];
        let own = |other: &str| name.to_lowercase().ends_with(&other[2..]);
        for other in formats.into_iter().filter(|other| !own(other)) {
            refused(other, &bytes, &[&format!("(this is {name})")]);
        }
        let (_folder, path) = file("a.spmat", &bytes);
        assert_says(read_sparse(&path), &path, &[&format!("(this is {name})")]);
    }
}
