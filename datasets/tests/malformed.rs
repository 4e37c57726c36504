//! Every malformed file is refused, and the message says which file, where, what was expected
//! and what is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{assert_says, file, fixture, read, read_table, read_with, refused};
use vicinage_datasets::{
    AttributeColumns, Batch, Element, InputSpec, MAX_DIM, Matrix, ReadOptions, Shape, VectorData,
    WriteOptions, create, find_duplicate_id, read_distances, read_ids, read_relevance, write_ids,
};

/// An npy file of version 1 with this header text.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

fn fbin(rows: u32, dim: u32, values: &[f32]) -> Vec<u8> {
    let mut bytes = [rows.to_le_bytes(), dim.to_le_bytes()].concat();
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn names_that_say_no_format() {
    let formats = "expected a file name that ends in .npy, ";
    for (name, found) in
        [("a.csv", ".csv"), ("a", "no extension"), ("a.ibin", ".ibin"), ("a.npy.old", ".old")]
    {
        refused(name, b"x", &[formats, &format!(", found {found}")]);
    }
    let absent = Path::new("no-such-folder/a.npy");
    assert_says(read(absent), absent, &["cannot open"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("folder.npy");
    fs::create_dir(&path).unwrap();
    assert_says(read(&path), &path, &["expected files of one format", "a directory of nothing"]);
    let ids = read_ids(&path.clone().into());
    assert_says(ids, &path, &["expected a file, found a directory"]);
}

#[test]
fn inputs_that_are_not_a_file_and_a_column() {
    let parse = |text: &str| text.parse::<InputSpec>();
    let spec = |path: &str, column: Option<&str>| {
        Ok(InputSpec { path: path.into(), column: column.map(str::to_owned) })
    };
    assert_eq!(parse("a/b.parquet#user"), spec("a/b.parquet", Some("user")));
    assert_eq!(parse("b.parquet#user#v2"), spec("b.parquet", Some("user#v2")));
    assert_eq!(parse("a#1.npy"), spec("a#1.npy", None));
    assert_eq!(parse("b#1.PARQUET#v"), spec("b#1.PARQUET", Some("v")));
    for (text, found) in [("", "no file name"), ("a.parquet#", "no column name after `#`")] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(found) && message.contains("expected FILE"), "{message}");
    }
}

#[test]
fn content_of_another_format() {
    let npy = fs::read(fixture("f32.npy")).unwrap();
    let parquet = fs::read(fixture("fixed-size.parquet")).unwrap();
    refused("a.parquet", &npy, &["byte 0: expected the Parquet magic PAR1", "(this is npy)"]);
    refused("a.npy", &parquet, &["byte 0: expected the npy magic", "PAR1", "(this is Parquet)"]);
    refused("a.fbin", &npy, &["expected a file of", "found 268 bytes (this is npy)"]);
    refused("a.u8bin", &parquet, &["byte 4: expected a dim from 1 to", "(this is Parquet)"]);
    for name in ["a.npy", "a.fbin", "a.parquet"] {
        refused(name, b"", &["byte 0: expected a header, found an empty file"]);
    }
}

#[test]
fn npy_files_that_numpy_writes_and_we_refuse() {
    let cases = [
        ("fortran.npy", "expected rows in C order", "found Fortran order"),
        ("big-endian.npy", "expected a little-endian dtype", "found `>f4` (big-endian)"),
        ("structured.npy", "expected a little-endian dtype", "[('a', '<f4'), ('b', '<i2', (2,))]"),
        ("one-dim.npy", "expected an array of two dimensions", "found 1 dimensions, [5]"),
        ("bool.npy", "expected a little-endian dtype", "found `|b1`"),
        ("nan.npy", "row 2, component 3: expected a finite number", "found NaN"),
        ("ids-i32.npy", "expected vectors of f64, f32, f16, i8 or u8", "found an array of <i4"),
    ];
    for (name, expected, found) in cases {
        let path = fixture(name);
        let place = if name.starts_with("ids") { "" } else { ", " };
        assert_says(read(&path), &path, &[expected, found, place]);
    }
    let path = fixture("fortran.npy");
    assert_says(read(&path), &path, &["byte 44"]);
}

#[test]
fn npy_headers_that_are_broken() {
    let ok = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    let zeros = [0; 8];
    let (_folder, path) = file("a.npy", npy(ok, &zeros));
    assert_eq!(read(&path).unwrap().vectors, VectorData::F32(vec![0.0; 2]));

    let says = |from: &str, to: &str, parts: &[&str]| {
        refused("a.npy", &npy(&ok.replace(from, to), &zeros), parts);
    };
    says("(1, 2)", "(1, 0)", &["byte 60: expected a dim from 1 to", "found 0"]);
    says("(1, 2)", "(1, 1048577)", &["expected a dim from 1 to 1048576", "found 1048577"]);
    says("(1, 2)", "(1, 2, 3)", &["two dimensions", "found 3 dimensions, [1, 2, 3]"]);
    says("(1, 2)", "(-1, 2)", &["byte 61", "a size that fits 64 bits", "found `-1, 2)"]);
    says("(1, 2)", "(99999999999999999999, 2)", &["a size that fits 64 bits", "`9999"]);
    let huge = "(18446744073709551615, 2)";
    says("(1, 2)", huge, &["expected more bytes than can be counted", "found 96 bytes"]);
    says("(1, 2)", "(1000000, 2)", &["expected a file of 8000075 bytes", "found 83 bytes"]);
    says("False", "Maybe", &["byte 44: expected in the header, True or False", "found `Maybe"]);
    says(
        "descr",
        "desk",
        &["byte 11", "`descr`, `fortran_order` and `shape` once", "found `'desk'"],
    );
    says("'shape': (1, 2), ", "", &["expected in the header, all of", "found its end"]);
    says("}", "} ;", &["expected in the header, nothing after `}`", "found `;`"]);
    says("{", "[", &["byte 10: expected in the header, `{`", "found `["]);
    says("'<f4'", "'<f4", &["expected in the header"]);
    says("'<f4'", "[(", &["byte 20: expected in the header, a list with a closing bracket"]);

    let mut bytes = npy(ok, &zeros);
    bytes[6] = 4;
    refused("a.npy", &bytes, &["byte 6: expected npy format version", "found 4.0"]);
    bytes[6..12].copy_from_slice(&[2, 0, 0xff, 0xff, 0xff, 0xff]);
    refused("a.npy", &bytes, &["byte 8: expected a header of at most", "found 4294967295"]);
    bytes = npy(ok, &zeros);
    bytes[8..10].copy_from_slice(&[0xff, 0xff]);
    refused("a.npy", &bytes, &["byte 8: expected a header of at most 67 bytes", "found 65535"]);
    bytes = npy(ok, &zeros);
    bytes[20] = 0xff;
    refused("a.npy", &bytes, &["byte 20: expected header text in UTF-8", "found byte 0xff"]);
    refused("a.npy", b"\x93NUMPY", &["byte 0: expected an npy header", "found 6 bytes"]);
}

#[test]
fn files_whose_length_is_not_that_of_the_header() {
    for name in ["f32.npy", "vectors.fbin", "vectors.u8bin", "f64.npy"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let len = format!("expected a file of {} bytes", bytes.len());
        let short = &bytes[..bytes.len() - 1];
        let at = format!("byte {}: ", short.len());
        refused(name, short, &[&at, &len, &format!("found {} bytes", short.len())]);
        let long = [&bytes[..], &[0]].concat();
        let at = format!("byte {}: ", bytes.len());
        refused(name, &long, &[&at, &len, &format!("found {} bytes", long.len())]);
    }
}

#[test]
fn bin_files_that_are_broken() {
    refused("a.fbin", &[1, 0, 0], &["byte 0: expected 8 bytes", "found 3 bytes"]);
    refused("a.fbin", &fbin(1, 0, &[]), &["byte 4: expected a dim from 1 to", "found 0"]);
    refused("a.fbin", &fbin(0, u32::MAX, &[]), &["byte 4: expected a dim", "found 4294967295"]);
    let expected = format!("expected a file of {} bytes", 8 + (u64::from(u32::MAX) * 8));
    refused("a.fbin", &fbin(u32::MAX, 2, &[]), &["byte 8: ", &expected, "found 8 bytes"]);
    let at = "row 1, component 0: expected a finite number, found";
    refused("a.fbin", &fbin(2, 2, &[1.0, 2.0, f32::NAN, 4.0]), &[at, "NaN"]);
    refused("a.fbin", &fbin(2, 2, &[1.0, 2.0, f32::INFINITY, 4.0]), &[at, "inf"]);
    let (_folder, path) = file("a.fbin", fbin(0, 4, &[]));
    assert_eq!(read(&path).unwrap().shape, Shape { rows: 0, dim: 4, element: Element::F32 });
}

#[test]
fn not_finite_values_are_found_wherever_they_are() {
    let (rows, dim) = (300, 700);
    for row in [0, 1, 93, 94, 150, 299] {
        let mut values = vec![1.0_f32; rows * dim];
        values[row * dim + 699] = f32::NEG_INFINITY;
        let says = format!("row {row}, component 699: expected a finite number, found -inf");
        refused("a.fbin", &fbin(rows as u32, dim as u32, &values), &[&says]);
    }
}

#[test]
fn parquet_vectors_that_arrow_writes_and_we_refuse() {
    let cases = [
        ("null-vector", "column `vector`, row 2: expected a vector, found null"),
        (
            "null-component",
            "column `vector`, row 1, component 1: expected a finite number, found null",
        ),
        ("ragged", "column `vector`, row 2: expected 2 components, found 1"),
        (
            "empty-vector",
            "column `vector`, row 0: expected a vector of 1 to 1048576 components, found 0",
        ),
        (
            "no-rows",
            "column `vector`, row 0: expected a vector of 1 to 1048576 components, found no rows",
        ),
        ("nan", "column `vector`, row 1, component 1: expected a finite number, found NaN"),
        ("negative-id", "column `id`, row 1: expected a whole number from 0, found -2"),
        ("null-id", "column `id`, row 1: expected a whole number, found null"),
        (
            "no-vectors",
            "expected a vector column (a list of f64, f32, f16, i8 or u8), found the columns `name` (Utf8), `ids` (List(Int64",
        ),
        (
            "two-vectors",
            "expected one vector column, or the name of one behind the file name (FILE#column), found several: `user`, `item`",
        ),
    ];
    for (name, says) in cases {
        let path = fixture(&format!("{name}.parquet"));
        assert_says(read(&path), &path, &[says]);
    }
}

#[test]
fn columns_that_are_not_there() {
    let path = fixture("attributes.parquet");
    let table = |id: Option<&str>, attributes: &[&str]| {
        let attributes = attributes.iter().map(|&name| name.to_owned()).collect();
        let options = ReadOptions {
            id_column: id.map(str::to_owned),
            attributes: AttributeColumns::Named(attributes),
            ..ReadOptions::default()
        };
        read_table(&path, &options)
    };
    let says = |result, parts: &[&str]| assert_says(result, &path, parts);
    says(table(None, &["x"]), &["expected the attribute column `x`, found the columns `item_id`"]);
    says(table(None, &["struct"]), &["attribute column `struct`", "found its type Struct"]);
    says(table(None, &["map"]), &["attribute column `map`", "found its type Map"]);
    says(table(None, &["text", "text"]), &["one mention of the attribute `text`, found several"]);
    says(
        table(Some("text"), &[]),
        &["expected an integer column `text` of ids, found the columns"],
    );
    says(table(Some("x"), &[]), &["expected an integer column `x` of ids, found the columns"]);
    says(table(Some("i8"), &[]), &["column `i8`, row 1: expected a whole number, found null"]);

    let path = fixture("two-vectors.parquet");
    let spec = InputSpec { path: path.clone(), column: Some("other".to_owned()) };
    let result = read_with(&spec, &ReadOptions::default());
    assert_says(result, &path, &["expected a vector column `other`", "found the columns `user`"]);
    for name in ["f32.npy", "vectors.fbin"] {
        let path = fixture(name);
        let spec = InputSpec { path: path.clone(), column: Some("vector".to_owned()) };
        let result = read_with(&spec, &ReadOptions::default());
        assert_says(result, &path, &["a file with a column `vector`", "without columns"]);
    }
}

#[test]
fn attributes_that_do_not_fit() {
    let cases = [
        (
            "large-u64",
            "column `n`, row 1: expected an integer up to 2^63 - 1, found 9223372036854775808",
        ),
        ("null-tag", "column `tags`, row 1, component 1: expected a text in the list, found null"),
        (
            "far-time",
            "column `t`, row 1: expected a time whose microseconds since 1970 fit 64 bits, found 4611686018427387904",
        ),
    ];
    for (name, says) in cases {
        let path = fixture(&format!("{name}.parquet"));
        assert_says(read_table(&path, &ReadOptions::default()), &path, &[says]);
    }
}

#[test]
fn parquet_files_that_are_broken() {
    let bytes = fs::read(fixture("fixed-size.parquet")).unwrap();
    let end = bytes.len();
    let at = format!("byte {}: expected the Parquet magic PAR1 at the end", end - 5);
    refused("a.parquet", &bytes[..end - 1], &[&at, "found "]);
    let long = [&bytes[..], b"x"].concat();
    refused("a.parquet", &long, &["expected the Parquet magic PAR1 at the end", "found AR1x"]);
    refused(
        "a.parquet",
        b"PAR1",
        &["byte 0: expected a Parquet file of at least 12 bytes", "4 bytes"],
    );

    let mut changed = bytes.clone();
    changed[end - 8..end - 4].copy_from_slice(&[0xff; 4]);
    let at = format!("byte {}: expected a footer of at most {} bytes", end - 8, end - 12);
    refused("a.parquet", &changed, &[&at, "found 4294967295"]);
    let footer = end - 8 - u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap()) as usize;
    let mut changed = bytes.clone();
    changed[footer..footer + 8].fill(0xff);
    let at = format!("byte {footer}: expected a readable Parquet footer, found ");
    refused("a.parquet", &changed, &[&at]);
    let mut changed = bytes;
    changed[4..12].fill(0xff);
    refused("a.parquet", &changed, &["row 0: expected readable Parquet pages", "found "]);
    let bytes = fs::read(fixture("checksums.parquet")).unwrap();
    let needle = 3.375_f32.to_le_bytes(); // A component in the middle of the data page.
    let at = bytes.windows(4).position(|window| window == needle).unwrap();
    let mut changed = bytes;
    changed[at + 1] ^= 1;
    refused("a.parquet", &changed, &["row 0: expected readable Parquet pages", "CRC"]);
}

#[test]
fn neighbours_and_relevance_that_are_broken() {
    let ids = |bytes: &[u8], parts: &[&str]| {
        let (_folder, path) = file("a.ibin", bytes);
        assert_says(read_ids(&path.clone().into()), &path, parts);
    };
    let ibin = |values: [i32; 4]| {
        [2_i32, 2].iter().chain(&values).flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()
    };
    ids(&ibin([0, 1, 2, -2]), &["row 1, component 1: expected an id from 0", "found -2"]);
    ids(&ibin([0, 1, -1, 2]), &["row 1, component 1: expected an id from 0", "found 2"]);
    ids(&ibin([0; 4])[..20], &["byte 20: expected a file of 24 bytes", "found 20 bytes"]);
    let path = fixture("f32.npy");
    assert_says(
        read_ids(&path.clone().into()),
        &path,
        &["expected ids of i32, u32, i64 or u64", "of <f4"],
    );
    let path = fixture("ids-i32.npy");
    assert_says(
        read_distances(&path.clone().into()),
        &path,
        &["expected distances of f32", "of <i4"],
    );
    let (_folder, path) = file("a.fbin", fbin(1, 3, &[f32::INFINITY, 1.0, 2.0]));
    let says = "row 0, component 1: expected a finite distance, or inf behind the last one";
    assert_says(read_distances(&path.clone().into()), &path, &[says, "found 1"]);
    let (_folder, path) = file("a.fbin", fbin(1, 2, &[0.0, f32::NAN]));
    assert_says(read_distances(&path.clone().into()), &path, &["row 0, component 1", "found NaN"]);

    let relevance = |name: &str, queries, says: &str| {
        let path = fixture(name);
        assert_says(read_relevance(&path, queries), &path, &[says]);
    };
    let below = "column `query`, row 2: expected a query below 3, found 3";
    relevance("relevance-wide.parquet", 3, below);
    let uneven = "column `grades`, row 1: expected 2 grades, one an item, found 1";
    relevance("relevance-uneven.parquet", 2, uneven);
    let twice = "row 2: expected query 1 to judge each item once, found item 5 in row 1 and again";
    relevance("relevance-twice.parquet", 2, twice);
    relevance(
        "fixed-size.parquet",
        1,
        "expected columns `query`, `item_ids` and maybe `grades`, or",
    );
}

#[test]
fn duplicate_ids_are_found_with_both_rows() {
    assert_eq!(find_duplicate_id(&[1, 2, 3]), None);
    assert_eq!(find_duplicate_id(&[3, 1, 2]), None);
    let duplicate = find_duplicate_id(&[9, 5, 7, 5, 9]).unwrap();
    assert_eq!((duplicate.id, duplicate.first_row, duplicate.second_row), (5, 1, 3));
    let message = duplicate.in_file(Path::new("a.parquet")).to_string();
    let says = "a.parquet, row 3: expected an id that no other row has, found 5, which is the id \
                of row 1";
    assert_eq!(message, says);
}

#[test]
fn doubles_beyond_f32_are_told_by_row() {
    let mut batch = Batch::of_vectors(2, VectorData::F64(vec![1.0, 2.0, 3.0, -1e39]));
    batch.first_row = 10;
    let error = batch.to_f32().unwrap_err();
    assert_eq!((error.row, error.component, error.value), (11, 1, -1e39));
    assert!(error.to_string().contains("row 11, component 1: expected a value within the range"));
}

#[test]
fn writers_refuse_what_a_file_cannot_hold_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shape = Shape { rows: 2, dim: 2, element: Element::F32 };
    let plain = WriteOptions::default();
    let says = |message: String, part: &str| assert!(message.contains(part), "{message}");
    let batch = |values: &[f32]| Batch::of_vectors(2, VectorData::F32(values.to_vec()));

    for name in ["a.npy", "a.fbin", "a.parquet"] {
        let create = || create(&path(name), shape, &plain).unwrap();
        let mut writer = create();
        writer.write(&batch(&[1.0, 2.0])).unwrap();
        says(writer.finish().unwrap_err().to_string(), "expected 2 rows, found 1");
        let error = create().write(&batch(&[0.0; 6])).unwrap_err();
        says(error.to_string(), "expected 2 rows, found at least 3");
        let error = create().write(&batch(&[0.0, 1.0, f32::NAN, 1.0])).unwrap_err();
        says(error.to_string(), "NaN or infinity in row 1, component 0");
        let error = create().write(&Batch::of_vectors(1, VectorData::U8(vec![0]))).unwrap_err();
        says(error.to_string(), "expected rows of 2 × f32, found 1 components of u8");
        let mut with_ids = batch(&[1.0, 2.0]);
        with_ids.ids = Some(vec![1]);
        assert!(create().write(&with_ids).is_err(), "{name} has no place for ids");
    }
    let wide = Shape { dim: MAX_DIM + 1, ..shape };
    let error = create(&path("a.npy"), wide, &plain).err().unwrap();
    says(error.to_string(), "expected a dim from 1 to 1048576, found 1048577");
    let error = create(&path("a.u8bin"), shape, &plain).err().unwrap();
    says(error.to_string(), "expected components of u8, which is what .u8bin holds, found f32");
    let error = create(&path("a.csv"), shape, &plain).err().unwrap();
    says(error.to_string(), "expected a file name that ends in .npy");
    let with_ids = WriteOptions { id_column: Some("vector".to_owned()), ..plain };
    let error = create(&path("a.fbin"), shape, &with_ids).err().unwrap();
    says(error.to_string(), "ids or attributes, which would be lost");
    let error = create(&path("a.parquet"), shape, &with_ids).err().unwrap();
    says(error.to_string(), "expected every column name once, found `vector` twice");
    let mut ids = Matrix::new(1);
    ids.push(&[1 << 40]);
    let error = write_ids(&path("a.ibin"), &ids).unwrap_err();
    says(error.to_string(), "expected ids up to 2147483647, which is what .ibin holds");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was left behind");
}
