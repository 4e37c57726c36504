//! Arrow IPC: what pyarrow wrote reads as what was put into it (see
//! `fixtures/make_arrow_hdf5.py`), what is written is what is read, and broken files are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{
    DIM, ELEMENTS, ROWS, Value, Whole, assert_says, fixture, read, read_table, read_with, vectors,
};
use proptest::prelude::*;
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeValues, Batch, Element, InputSpec, ReadOptions, Shape,
    VectorData, WriteOptions, create, open, open_table, read_relevance,
};

fn whole(element: Element) -> Whole {
    let shape = Shape { rows: ROWS as u64, dim: DIM as u32, element };
    let ids = (0..ROWS as u64).map(|row| 100 + 3 * row).collect();
    Whole { shape, vectors: vectors(element), ids, attributes: Vec::new() }
}

/// The files of f32 vectors with ids, in each kind of list and of message.
const F32: [&str; 6] = [
    "list-f32.arrow",
    "batches.arrow",
    "stream.arrows",
    "old-stream.arrows",
    "lz4.arrow",
    "zstd.feather",
];

#[test]
fn vectors_read_as_written_by_pyarrow() {
    for element in ELEMENTS {
        let name = format!("fixed-{element}.arrow");
        assert_eq!(read(&fixture(&name)).unwrap(), whole(element), "{name}");
    }
    assert_eq!(read(&fixture("large-list-f64.arrow")).unwrap(), whole(Element::F64));
    for name in F32 {
        assert_eq!(read(&fixture(name)).unwrap(), whole(Element::F32), "{name}");
    }
    for name in ["zeros-lz4.arrow", "zeros-zstd.arrow"] {
        assert_eq!(read(&fixture(name)).unwrap().vectors, VectorData::F32(vec![0.0; 4000]));
    }
}

#[test]
fn every_batch_size_gives_the_same_rows() {
    for name in F32 {
        for batch_bytes in [0, 1, 20, 39, 40, 41, 100, 1 << 20] {
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let read = read_with(&InputSpec::from(fixture(name)), &options).unwrap();
            assert_eq!(read, whole(Element::F32), "{name}, {batch_bytes} bytes");
        }
    }
}

#[test]
fn the_content_says_whether_it_is_a_file_or_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    for (name, other) in [("stream.arrows", "a.arrow"), ("batches.arrow", "a.arrows")] {
        let path = folder.path().join(other);
        fs::copy(fixture(name), &path).unwrap();
        assert_eq!(read(&path).unwrap(), whole(Element::F32), "{name}");
    }
}

#[test]
fn attributes_read_as_written_by_pyarrow() {
    let (noon, day) = (1_709_208_000_000_000, 86_400_000_000);
    let times = |first, last| vec![Value::Timestamp(first), Value::Null, Value::Timestamp(last)];
    let text = |text: &str| Value::Text(text.to_owned());
    let texts = |texts: &[&str]| Value::TextList(texts.iter().map(|&t| t.to_owned()).collect());
    let integers = |list: &[i64]| Value::I64List(list.to_vec());
    let with_null = |first: Value, last: Value| vec![first, Value::Null, last];
    let expected = [
        ("bool", with_null(Value::Bool(true), Value::Bool(false))),
        ("i8", with_null(Value::I64(-128), Value::I64(127))),
        ("u64", with_null(Value::I64(0), Value::I64(i64::MAX))),
        ("f16", with_null(Value::F64(0.5), Value::F64(-2.0))),
        ("f64", with_null(Value::F64(0.1), Value::F64(-1e300))),
        ("s", times(noon, 0)),
        ("ms", times(noon + 123_000, 0)),
        ("us", times(noon + 123_456, -1)),
        ("ns", times(1, -1)),
        ("date32", times(noon - day / 2, -day)),
        ("date64", times(noon - day / 2, -day)),
        ("text", with_null(text("crème"), text(""))),
        ("large_text", with_null(text("a"), text("b"))),
        ("text_view", with_null(text("short"), text("longer than twelve bytes"))),
        ("category", with_null(text("x"), text("x"))),
        ("small_keys", with_null(text("z"), text("y"))),
        ("tags", with_null(texts(&["a", "bc"]), texts(&[]))),
        ("large_tags", with_null(texts(&["a"]), texts(&[]))),
        ("fixed_tags", with_null(texts(&["a", "b"]), texts(&["c", "d"]))),
        ("numbers", with_null(integers(&[1, 1 << 40]), integers(&[]))),
        ("fixed_numbers", with_null(integers(&[1, 2]), integers(&[3, 4]))),
    ];
    let expected = expected.map(|(name, values)| (name.to_owned(), values));
    for name in ["attributes.arrow", "attributes.arrows"] {
        let reader = open_table(&fixture(name), &ReadOptions::default()).unwrap();
        let skipped: Vec<_> = reader.skipped().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(skipped, ["null", "binary", "decimal", "struct", "nested", "map"]);
        for batch_bytes in [1, 1 << 20] {
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let (ids, columns) = read_table(&fixture(name), &options).unwrap();
            assert_eq!(ids, [5, 6, u64::MAX]);
            assert_eq!(columns, expected, "{name}");
        }
    }
}

#[test]
fn dictionaries_grow_and_change_between_batches() {
    let cases = [("delta.arrow", "abc"), ("delta.arrows", "abc"), ("replaced.arrows", "abc")];
    for (name, letters) in cases {
        let (_, columns) = read_table(&fixture(name), &ReadOptions::default()).unwrap();
        let mut texts: Vec<Value> =
            letters.chars().map(|letter| Value::Text(letter.to_string())).collect();
        texts.push(Value::Null);
        assert_eq!(columns, [("t".to_owned(), texts)], "{name}");
    }
}

#[test]
fn relevance_reads_from_arrow() {
    let relevance = read_relevance(&fixture("relevance-wide.arrow"), 5).unwrap();
    assert_eq!(relevance.judged(0), [(9, 2), ((1 << 63) + 5, 1)]);
    assert_eq!(relevance.judged(2), [(7, 255)]);
}

#[test]
fn arrow_files_that_pyarrow_writes_and_we_refuse() {
    let cases = [
        ("ragged.arrow", "column `vector`, row 2: expected 2 components, found 1"),
        ("null-vector.arrow", "column `vector`, row 2: expected a vector, found null"),
        ("null-component.arrow", "row 1, component 1: expected a finite number, found null"),
        ("nan.arrow", "column `vector`, row 1, component 1: expected a finite number, found NaN"),
        ("no-rows.arrow", "expected a vector of 1 to 1048576 components, found no rows"),
        ("binary-vector.arrow", "expected a vector column"),
    ];
    for (name, says) in cases {
        assert_says(read(&fixture(name)), &fixture(name), &[says]);
    }
    let path = fixture("attributes.arrow");
    assert_says(read_relevance(&path, 1), &path, &["expected columns `query`"]);
}

fn refused(name: &str, bytes: &[u8], says: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    assert_says(read(&path), &path, says);
}

#[test]
fn arrow_files_that_are_broken() {
    let bytes = fs::read(fixture("list-f32.arrow")).unwrap();
    let end = bytes.len();
    refused("a.arrow", &bytes[..end - 1], &["expected the magic ARROW1 at the end"]);
    refused("a.arrow", b"ARROW1\0\0", &["expected an Arrow file of at least 18 bytes, found 8"]);
    refused("a.arrow", b"PAR1", &["byte 0: expected the metadata", "(this is Parquet)"]);
    let npy = fs::read(fixture("f32.npy")).unwrap();
    refused("a.arrow", &npy, &["byte 0: expected the metadata", "(this is npy)"]);
    let mut changed = bytes.clone();
    changed[end - 10..end - 6].fill(0xff);
    refused("a.arrow", &changed, &["expected a footer of at most", "found 4294967295"]);

    let stream = fs::read(fixture("stream.arrows")).unwrap();
    let end = stream.len();
    let cut = &stream[..end - 20];
    refused("a.arrows", cut, &["expected a body of at most"]);
    let long = [&stream[..], &[7]].concat();
    refused("a.arrows", &long, &["expected nothing behind the end of the stream, found 1 more"]);
    let twice = [&stream[..end - 8], &stream[..]].concat();
    refused("a.arrows", &twice, &["expected one schema, found a second"]);
    // A stream may also end where its bytes do.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrows");
    fs::write(&path, &stream[..end - 8]).unwrap();
    assert_eq!(read(&path).unwrap(), whole(Element::F32));
}

/// The size that a compressed buffer says it will have is not believed.
#[test]
fn buffers_that_would_grow_without_bound() {
    for name in ["zeros-lz4.arrow", "zeros-zstd.arrow"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let size = 16_000_i64.to_le_bytes();
        let at = bytes.windows(8).position(|window| window == size).unwrap();
        for claim in [1_i64 << 40, i64::MAX, -2] {
            let mut changed = bytes.clone();
            changed[at..at + 8].copy_from_slice(&claim.to_le_bytes());
            let found = format!("found {claim}");
            refused(name, &changed, &["bytes together when they are unpacked", &found]);
        }
        let mut changed = bytes;
        changed[at..at + 8].copy_from_slice(&15_996_i64.to_le_bytes());
        refused(name, &changed, &["row 0: expected a readable Arrow message"]);
    }
}

fn written(path: &Path, shape: Shape, options: &WriteOptions, batches: &[Batch]) {
    let mut writer = create(path, shape, options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    assert!(!path.exists(), "before it is complete");
    writer.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(
        element in prop::sample::select(ELEMENTS.to_vec()),
        dim in 1..8_usize,
        rows in prop::collection::vec(0..9_usize, 1..5),
        texts in prop::collection::vec(any::<Option<String>>(), 40),
        batch_bytes in 1..300_usize,
        name in prop::sample::select(vec!["a.arrow", "a.feather", "a.arrows"]),
    ) {
        let total: usize = rows.iter().sum();
        let (mut first, mut batches) = (0, Vec::new());
        for rows in rows {
            let values = (first * dim..(first + rows) * dim).map(|at| (at * 37 % 101) as u8);
            let vectors = match element {
                Element::F64 => VectorData::F64(values.map(f64::from).collect()),
                Element::F32 => VectorData::F32(values.map(f32::from).collect()),
                Element::F16 => VectorData::F16(values.map(half::f16::from).collect()),
                Element::I8 => VectorData::I8(values.map(|value| value as i8).collect()),
                _ => VectorData::U8(values.collect()),
            };
            let mut batch = Batch::of_vectors(dim, vectors);
            batch.ids = Some((first as u64..(first + rows) as u64).collect());
            let column = texts[first..first + rows].iter().map(Option::as_deref).collect();
            let values = AttributeValues::Text(column);
            batch.attributes = vec![AttributeBatch { name: "text".to_owned(), values }];
            first += rows;
            batches.push(batch);
        }
        let shape = Shape { rows: total as u64, dim: dim as u32, element };
        let kind = vicinage_datasets::AttributeKind::Text;
        let options = WriteOptions {
            id_column: Some("id".to_owned()),
            attributes: vec![AttributeField { name: "text".to_owned(), kind }],
            ..WriteOptions::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        written(&path, shape, &options, &batches);
        let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
        let read = read_with(&InputSpec::from(path), &options).unwrap();
        prop_assert_eq!(read.shape, shape);
        let mut expected = VectorData::empty(element);
        batches.iter().for_each(|batch| common::append(&mut expected, &batch.vectors));
        prop_assert_eq!(read.vectors, expected);
        prop_assert_eq!(read.ids, (0..total as u64).collect::<Vec<_>>());
        let expected: Vec<Value> = texts[..total]
            .iter()
            .map(|text| text.clone().map_or(Value::Null, Value::Text))
            .collect();
        prop_assert_eq!(&read.attributes[0].1, &expected);
    }
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.arrow", "a.arrows"] {
        let shape = Shape { rows: 2, dim: 2, element: Element::F32 };
        let batch = Batch::of_vectors(2, VectorData::F32(vec![1.0, 2.0]));
        let path = folder.path().join(name);
        let mut writer = create(&path, shape, &WriteOptions::default()).unwrap();
        writer.write(&batch).unwrap();
        let error = writer.finish().unwrap_err().to_string();
        assert!(error.contains("expected 2 rows, found 1"), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_column_is_chosen_by_name() {
    let spec: InputSpec = format!("{}#vector", fixture("stream.arrows").display()).parse().unwrap();
    assert_eq!(open(&spec, &ReadOptions::default()).unwrap().shape(), whole(Element::F32).shape);
    let path = fixture("stream.arrows");
    let spec: InputSpec = format!("{}#other", path.display()).parse().unwrap();
    let says = "expected a vector column `other`";
    assert_says(open(&spec, &ReadOptions::default()), &path, &[says]);
}
