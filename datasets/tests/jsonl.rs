//! JSON lines: what the columns are taken to be, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;

use common::{Value, Whole, assert_says, file, read, read_table, read_with};
use vicinage_datasets::{
    AttributeBatch, AttributeColumns, AttributeField, AttributeValues, Batch, Element,
    I64ListColumn, InputSpec, ReadOptions, Shape, TextListColumn, VectorData, WriteOptions, create,
    open,
};

fn column<'a>(whole: &'a Whole, name: &str) -> &'a [Value] {
    &whole.attributes.iter().find(|(there, _)| there == name).unwrap().1
}

const JOBS: &str = concat!(
    r#"{"item_id": 7, "vector": [0.5, -1, 3e-2], "title": "Nurse", "zone": 3, "tags": ["a", "b"]}"#,
    "\r\n\n",
    r#"{"zone": null, "vector": [1, 2, 3], "item_id": 18446744073709551615, "remote": true, "pay": 1}"#,
    "\n",
    r#"{"item_id": 0, "vector": [0.1, 0.2, 0.3], "codes": [11, -2], "tags": [], "pay": 2.5, "x": {}}"#,
);

#[test]
fn columns_are_found_in_any_order_and_absent_is_null() {
    for name in ["jobs.jsonl", "jobs.NDJSON"] {
        let (_folder, path) = file(name, JOBS);
        let whole = read(&path).unwrap();
        assert_eq!((whole.shape.rows, whole.shape.dim, whole.shape.element), (3, 3, Element::F32));
        let vectors = vec![0.5, -1.0, 0.03, 1.0, 2.0, 3.0, 0.1, 0.2, 0.3];
        assert_eq!(whole.vectors, VectorData::F32(vectors));
        assert_eq!(whole.ids, [7, u64::MAX, 0]);
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(column(&whole, "title"), [text("Nurse"), Value::Null, Value::Null]);
        assert_eq!(column(&whole, "zone"), [Value::I64(3), Value::Null, Value::Null]);
        assert_eq!(column(&whole, "remote"), [Value::Null, Value::Bool(true), Value::Null]);
        assert_eq!(column(&whole, "pay"), [Value::Null, Value::F64(1.0), Value::F64(2.5)]);
        let codes = Value::I64List(vec![11, -2]);
        assert_eq!(column(&whole, "codes"), [Value::Null, Value::Null, codes]);
        let tags = Value::TextList(vec!["a".to_owned(), "b".to_owned()]);
        let none = Value::TextList(Vec::new());
        assert_eq!(column(&whole, "tags"), [tags, Value::Null, none]);
        let reader = open(&InputSpec::from(path), &ReadOptions::default()).unwrap();
        let skipped: Vec<&str> = reader.skipped().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(skipped, ["x"]);
    }
}

#[test]
fn the_input_may_name_the_columns() {
    let text = "{\"a\": [1, 2], \"b\": [0.5], \"key\": 5, \"n\": 1}\n";
    let (_folder, path) = file("a.jsonl", text);
    let named = |column: &str| InputSpec { path: path.clone(), column: Some(column.to_owned()) };
    let options = ReadOptions { id_column: Some("key".to_owned()), ..ReadOptions::default() };
    let whole = read_with(&named("a"), &options).unwrap();
    assert_eq!((whole.shape.dim, whole.ids), (2, vec![5]));
    assert_eq!(read_with(&named("b"), &options).unwrap().shape.dim, 1);
    assert_says(read_with(&named("n"), &options), &path, &["a vector column `n`"]);
}

#[test]
fn a_table_needs_no_vectors() {
    let (_folder, path) = file("a.jsonl", "{\"id\": 3, \"year\": 1990}\n{\"id\": 4}\n");
    let options = ReadOptions { attributes: AttributeColumns::All, ..ReadOptions::default() };
    let (ids, columns) = read_table(&path, &options).unwrap();
    assert_eq!(ids, [3, 4]);
    assert_eq!(columns, [("year".to_owned(), vec![Value::I64(1990), Value::Null])]);
}

#[test]
fn what_is_malformed_is_refused_with_its_row() {
    let first = r#"{"vector": [1, 2], "a": 1}"#;
    for (second, says) in [
        ("[1, 2]", &["row 1", "byte 27", "a JSON object with a row"][..]),
        (r#"{"vector": [1, 2], "a": }"#, &["row 1", "byte 51", "expected value"]),
        (r#"{"vector": [1, 2], "a": 1"#, &["row 1", "EOF"]),
        (r#"{"vector": [1, 2], "a": 1} {}"#, &["row 1", "trailing characters"]),
        (r#"{"vector": [1, NaN]}"#, &["row 1", "expected value"]),
        (r#"{"vector": [1, 2], "a": 1, "a": 2}"#, &["row 1", "field `a` twice"]),
        (r#"{"vector": [1, 2], "a": "x"}"#, &["row 1", "in `a`, an integer", "a text"]),
        (r#"{"vector": [1, 2, 3]}"#, &["`vector`", "row 1", "2 components", "3"]),
        (r#"{"vector": []}"#, &["`vector`", "row 1", "2 components", "0"]),
        (r#"{"vector": null}"#, &["`vector`", "row 1", "null"]),
        (r#"{"a": 1}"#, &["`vector`", "row 1", "null"]),
        (r#"{"vector": [1, 1e39]}"#, &["`vector`", "row 1", "component 1", "inf"]),
        (r#"{"vector": [1, 1e999]}"#, &["row 1", "number out of range"]),
        (r#"{"vector": [1, 2], "item_id": -1}"#, &["`item_id`", "row 0", "null"]),
    ] {
        let (_folder, path) = file("a.jsonl", format!("{first}\n{second}\n"));
        assert_says(read(&path), &path, says);
    }
    let (_folder, path) =
        file("a.jsonl", "{\"id\": 1, \"vector\": [1]}\n{\"id\": -1, \"vector\": [1]}");
    assert_says(read(&path), &path, &["`id`", "row 1", "-1"]);
    let (_folder, path) = file("a.jsonl", "\n \n");
    assert_says(read(&path), &path, &["vector column"]);
    let (_folder, path) = file("a.jsonl", format!("{{\"a\": \"{}\"}}", "x".repeat(9 << 20)));
    assert_says(read(&path), &path, &["row 0", "a line of at most 8388608 bytes"]);
}

#[test]
fn compressed_lines_are_the_same_lines() {
    let (_folder, plain) = file("jobs.jsonl", JOBS);
    let expected = read(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(JOBS.as_bytes()).unwrap();
    let (gzip, zstd) = (gzip.finish().unwrap(), zstd::encode_all(JOBS.as_bytes(), 3).unwrap());
    for (name, bytes) in [("jobs.jsonl.gz", gzip), ("jobs.ndjson.ZST", zstd)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), expected);
        // Several members or frames end to end are one text.
        fs::write(&path, [&bytes[..], &bytes].concat()).unwrap();
        assert_says(read(&path), &path, &["trailing characters"]);
        for cut in [bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert_says(read(&path), &path, &["compressed text"]);
        }
        fs::write(&path, JOBS).unwrap();
        assert_says(read(&path), &path, &["compressed text"]);
    }
    let (_folder, path) = file("jobs.parquet.gz", "x");
    assert_says(read(&path), &path, &["ends in", "found .gz"]);
}

/// 64 MiB of blanks are 64 kB compressed: they are passed over, not held.
#[test]
fn a_bomb_is_a_line_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl.gz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        gzip.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    fs::write(&path, gzip.finish().unwrap()).unwrap();
    assert_says(read(&path), &path, &["a line of at most 8388608 bytes"]);
}

/// What Python's json, gzip and zstandard wrote (`fixtures/make_jsonl.py`).
#[test]
fn files_of_python() {
    for name in ["lines.jsonl", "lines.jsonl.gz", "lines.jsonl.zst"] {
        let whole = read(&common::fixture(name)).unwrap();
        let vectors = (0..20).flat_map(|row| [row as f32 / 8.0, -(row as f32), 0.1]);
        assert_eq!(whole.vectors, VectorData::F32(vectors.collect()));
        assert_eq!(whole.ids, (0..20).map(|row| row * 3).collect::<Vec<u64>>());
        assert_eq!(column(&whole, "title")[7], Value::Text("row 7 \u{e9}".to_owned()));
        assert_eq!(column(&whole, "pay")[4..6], [Value::Null, Value::F64(7.5)]);
        assert_eq!(whole.attributes.len(), 5);
    }
}

fn everything() -> Batch {
    let (mut texts, mut numbers) = (TextListColumn::default(), I64ListColumn::default());
    texts.push(Some(["a \"quoted\" one", "\u{1F600}"]));
    texts.push(None::<[&str; 0]>);
    numbers.push(Some(&[i64::MIN, i64::MAX]));
    numbers.push(Some(&[]));
    let columns = [
        AttributeValues::Bool(vec![Some(true), None]),
        AttributeValues::I64(vec![Some(i64::MIN), Some(0)]),
        AttributeValues::F64(vec![Some(0.1), Some(-2.0)]),
        AttributeValues::Text([Some("line\nfeed"), None].into_iter().collect()),
        AttributeValues::TextList(texts),
        AttributeValues::I64List(numbers),
    ];
    let vectors = vec![f32::MIN_POSITIVE, f32::MAX, 16_777_217.0, 0.1, -0.0, 1e-45];
    let mut batch = Batch::of_vectors(3, VectorData::F32(vectors));
    batch.ids = Some(vec![0, u64::MAX]);
    let named =
        |values: AttributeValues| AttributeBatch { name: values.kind().to_string(), values };
    batch.attributes = columns.map(named).to_vec();
    batch
}

fn write(path: &std::path::Path, batch: &Batch) -> Result<(), vicinage_datasets::WriteError> {
    let field = |a: &AttributeBatch| AttributeField { name: a.name.clone(), kind: a.values.kind() };
    let options = WriteOptions {
        id_column: Some("item_id".to_owned()),
        attributes: batch.attributes.iter().map(field).collect(),
        ..WriteOptions::default()
    };
    let shape = Shape { rows: 2, dim: 3, element: Element::F32 };
    let mut writer = create(path, shape, &options)?;
    writer.write(batch)?;
    writer.finish()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let batch = everything();
    for name in ["a.jsonl", "a.jsonl.gz", "a.ndjson.zst"] {
        let path = folder.path().join(name);
        write(&path, &batch).unwrap();
        let whole = read(&path).unwrap();
        assert_eq!((&whole.vectors, whole.ids), (&batch.vectors, vec![0, u64::MAX]));
        for ((name, values), column) in whole.attributes.iter().zip(&batch.attributes) {
            let expected = [0, 1].map(|row| common::value(&column.values, row));
            assert_eq!((name, &values[..]), (&column.name, &expected[..]));
        }
        assert_eq!(whole.attributes.len(), batch.attributes.len());
    }
}

/// JSON has no times, so they are written as texts of RFC 3339, and no NaN, which is refused.
#[test]
fn what_json_has_no_word_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let mut batch = everything();
    let values = AttributeValues::Timestamp(vec![Some(1_500_000), None]);
    batch.attributes = vec![AttributeBatch { name: "at".to_owned(), values }];
    write(&path, &batch).unwrap();
    let text = Value::Text("1970-01-01T00:00:01.5Z".to_owned());
    assert_eq!(column(&read(&path).unwrap(), "at"), [text, Value::Null]);
    batch.attributes[0].values = AttributeValues::F64(vec![None, Some(f64::NAN)]);
    let message = write(&path, &batch).unwrap_err().to_string();
    assert!(message.contains("row 1") && message.contains("NaN"), "{message}");
}
