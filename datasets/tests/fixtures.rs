//! Files that the real libraries wrote (see `fixtures/make.py`) read as what was put into them,
//! and what this crate writes is byte for byte what NumPy writes.

mod common;

use std::fs;

use common::{
    DIM, ELEMENTS, ROWS, Value, Whole, fixture, padded, read, read_table, read_with, vectors,
};
use vicinage_datasets::{
    AttributeBatch, AttributeColumns, AttributeField, AttributeValues, Batch, Element,
    I64ListColumn, InputSpec, ReadOptions, Shape, TableBatch, WriteOptions, create, create_table,
    open, open_table, read_distances, read_ids, read_relevance, write_distances, write_ids,
};

fn shape(element: Element) -> Shape {
    Shape { rows: ROWS as u64, dim: DIM as u32, element }
}

fn whole(element: Element) -> Whole {
    let (ids, attributes) = (Vec::new(), Vec::new());
    Whole { shape: shape(element), vectors: vectors(element), ids, attributes }
}

fn ids() -> Vec<u64> {
    (0..ROWS as u64).map(|row| 100 + 3 * row).collect()
}

#[test]
fn npy_and_bin_files_read_as_written_by_numpy() {
    for element in ELEMENTS {
        assert_eq!(read(&fixture(&format!("{element}.npy"))).unwrap(), whole(element));
    }
    for name in ["version2.npy", "version3.npy", "vectors.fbin"] {
        assert_eq!(read(&fixture(name)).unwrap(), whole(Element::F32), "{name}");
    }
    assert_eq!(read(&fixture("vectors.u8bin")).unwrap(), whole(Element::U8));
    assert_eq!(read(&fixture("vectors.i8bin")).unwrap(), whole(Element::I8));
}

#[test]
fn every_batch_size_gives_the_same_rows() {
    for name in ["f32.npy", "vectors.fbin", "fixed-size.parquet", "row-groups.parquet"] {
        let spec = InputSpec::from(fixture(name));
        for batch_bytes in [0, 1, 20, 39, 40, 41, 100, 1 << 20] {
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let read = read_with(&spec, &options).unwrap();
            assert_eq!(read.vectors, vectors(Element::F32), "{name}, {batch_bytes} bytes");
        }
    }
}

#[test]
fn parquet_vectors_read_as_written_by_arrow() {
    for element in ELEMENTS {
        let read = read(&fixture(&format!("list-{element}.parquet"))).unwrap();
        assert_eq!(read, Whole { ids: ids(), ..whole(element) });
    }
    for name in ["fixed-size", "snappy", "gzip", "zstd", "lz4", "pages-v2", "checksums"] {
        let read = read(&fixture(&format!("{name}.parquet"))).unwrap();
        assert_eq!(read, whole(Element::F32), "{name}");
    }
    for name in ["large-list", "row-groups"] {
        let read = read(&fixture(&format!("{name}.parquet"))).unwrap();
        assert_eq!(read, Whole { ids: ids(), ..whole(Element::F32) }, "{name}");
    }
}

#[test]
fn columns_are_chosen_by_name() {
    let file = fixture("two-vectors.parquet");
    let spec: InputSpec = format!("{}#item", file.display()).parse().unwrap();
    let mut reader = open(&spec, &ReadOptions::default()).unwrap();
    assert_eq!(reader.shape(), shape(Element::F32));
    let skipped: Vec<_> = reader.skipped().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(skipped, ["user"]);
    assert!(reader.next_batch(&mut Batch::default()).unwrap());

    let options = ReadOptions { id_column: Some("query".to_owned()), ..ReadOptions::default() };
    let (ids, attributes) = read_table(&fixture("relevance-twice.parquet"), &options).unwrap();
    assert_eq!(ids, [0, 1, 1]);
    let names: Vec<_> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["item_id", "grade"]);

    let named = AttributeColumns::Named(vec!["grade".to_owned(), "query".to_owned()]);
    let options = ReadOptions { attributes: named, ..ReadOptions::default() };
    let (ids, attributes) = read_table(&fixture("relevance-twice.parquet"), &options).unwrap();
    assert_eq!(ids, [5, 5, 5], "item_id is the id unless another is named");
    let names: Vec<_> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grade", "query"]);
    assert_eq!(attributes[0].1, [Value::I64(1), Value::I64(1), Value::I64(2)]);
}

#[test]
fn attributes_read_as_written_by_arrow() {
    let options = ReadOptions {
        attributes: AttributeColumns::Named(
            ["bool", "i8", "u16", "i64", "u64", "f16", "f32", "f64"].map(str::to_owned).to_vec(),
        ),
        ..ReadOptions::default()
    };
    let (ids, columns) = read_table(&fixture("attributes.parquet"), &options).unwrap();
    assert_eq!(ids, [5, 6, u64::MAX]);
    let integers = |first, last| vec![Value::I64(first), Value::Null, Value::I64(last)];
    let floats = |first, last| vec![Value::F64(first), Value::Null, Value::F64(last)];
    let expected = [
        ("bool", vec![Value::Bool(true), Value::Null, Value::Bool(false)]),
        ("i8", integers(-128, 127)),
        ("u16", integers(0, 65535)),
        ("i64", integers(i64::MIN, i64::MAX)),
        ("u64", integers(0, i64::MAX)),
        ("f16", floats(0.5, -2.0)),
        ("f32", floats(0.5, f64::INFINITY)),
        ("f64", floats(0.1, -1e300)),
    ];
    assert_eq!(columns, expected.map(|(name, values)| (name.to_owned(), values)));
}

#[test]
fn times_texts_and_lists_read_as_written_by_arrow() {
    let reader = open_table(&fixture("attributes.parquet"), &ReadOptions::default()).unwrap();
    let skipped: Vec<_> = reader.skipped().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(skipped, ["binary", "decimal", "struct", "nested", "map"]);

    let (_, columns) = read_table(&fixture("attributes.parquet"), &ReadOptions::default()).unwrap();
    let noon = 1_709_208_000_000_000;
    let times = |first, last| vec![Value::Timestamp(first), Value::Null, Value::Timestamp(last)];
    let text = |text: &str| Value::Text(text.to_owned());
    let texts = |texts: &[&str]| Value::TextList(texts.iter().map(|&t| t.to_owned()).collect());
    let integers = |list: &[i64]| Value::I64List(list.to_vec());
    let expected = [
        // Arrow's own cast to a coarser unit cuts towards zero; what is read is what it wrote.
        ("s", times(noon, 0)),
        ("ms", times(noon + 123_000, 0)),
        ("us", times(noon + 123_456, -1)),
        // 1,500 ns and -1 ns, both rounded down.
        ("ns", times(1, -1)),
        ("date32", times(noon - 43_200_000_000, -86_400_000_000)),
        ("date64", times(noon - 43_200_000_000, -86_400_000_000)),
        ("text", vec![text("crème"), Value::Null, text("")]),
        ("large_text", vec![text("a"), Value::Null, text("b")]),
        ("category", vec![text("x"), Value::Null, text("x")]),
        ("tags", vec![texts(&["a", "bc"]), Value::Null, texts(&[])]),
        ("large_tags", vec![texts(&["a"]), Value::Null, texts(&[])]),
        ("numbers", vec![integers(&[1, 1 << 40]), Value::Null, integers(&[])]),
        ("small_numbers", vec![integers(&[1, 255]), Value::Null, integers(&[])]),
    ];
    let expected = expected.map(|(name, values)| (name.to_owned(), values));
    assert_eq!(columns[8..], expected);
}

#[test]
fn neighbours_read_and_write_as_numpy_has_them() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ids-i32.npy", "ids-i64.npy", "ids.ibin"] {
        assert_eq!(read_ids(&fixture(name).into()).unwrap(), padded(), "{name}");
    }
    for name in ["ids-u32.npy", "ids-u64.npy"] {
        let ids = read_ids(&fixture(name).into()).unwrap();
        assert_eq!((ids.rows(), ids.k(), ids.row(2)), (4, 3, &[20, 21, 22][..]), "{name}");
    }
    for (name, same_as) in [("a.npy", "ids-i32.npy"), ("a.ibin", "ids.ibin")] {
        let path = folder.path().join(name);
        write_ids(&path, &padded()).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(fixture(same_as)).unwrap());
    }
    for name in ["distances.npy", "distances.fbin"] {
        let distances = read_distances(&fixture(name).into()).unwrap();
        assert_eq!((distances.row(1), distances.row(2)), (&[2.5, 2.75, 3.0][..], &[5.0][..]));
        let path = folder.path().join(name);
        write_distances(&path, &distances).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(fixture(name)).unwrap());
    }
}

#[test]
fn both_forms_of_relevance_read_the_same() {
    for name in ["relevance-wide.parquet", "relevance-long.parquet"] {
        let relevance = read_relevance(&fixture(name), 5).unwrap();
        assert_eq!(relevance.queries(), 5);
        assert_eq!(relevance.judged(0), [(9, 2), ((1 << 63) + 5, 1)]);
        assert_eq!(relevance.judged(2), [(7, 255)]);
        assert_eq!((relevance.judged(1), relevance.judged(3)), (&[][..], &[][..]));
        assert_eq!((relevance.grade(0, 9), relevance.grade(0, 8)), (Some(2), None));
    }
}

#[test]
fn interactions_are_relevance_without_grades() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, columns: &[(&str, AttributeValues)]| {
        let path = folder.path().join(name);
        let (mut fields, mut attributes) = (Vec::new(), Vec::new());
        for (name, values) in columns {
            let (name, values) = ((*name).to_owned(), values.clone());
            fields.push(AttributeField { name: name.clone(), kind: values.kind() });
            attributes.push(AttributeBatch { name, values });
        }
        let rows = columns[0].1.len();
        let mut writer = create_table(&path, None, &fields).unwrap();
        writer.write(&TableBatch { first_row: 0, rows, ids: None, attributes }).unwrap();
        writer.finish().unwrap();
        path
    };
    let numbers = |values: &[i64]| AttributeValues::I64(values.iter().copied().map(Some).collect());
    let (query, item) = (("query", numbers(&[2, 0, 2, 2])), ("item_id", numbers(&[5, 9, 5, 3])));
    let path = write("long.parquet", &[query.clone(), item.clone(), ("time", numbers(&[4; 4]))]);
    let taken = read_relevance(&path, 3).unwrap();
    assert_eq!(taken.judged(0), [(9, 1)]);
    assert_eq!((taken.judged(1), taken.judged(2)), (&[][..], &[(3, 1), (5, 1)][..]));
    // With grades, an item that is named twice could have two.
    let path = write("graded.parquet", &[query, item, ("grade", numbers(&[1; 4]))]);
    assert!(read_relevance(&path, 3).unwrap_err().to_string().contains("to judge each item once"));
    let mut lists = I64ListColumn::default();
    [Some(&[7, 4, 7][..]), Some(&[])].into_iter().for_each(|list| lists.push(list));
    let path = write(
        "wide.parquet",
        &[("query", numbers(&[1, 0])), ("item_ids", AttributeValues::I64List(lists))],
    );
    let taken = read_relevance(&path, 2).unwrap();
    assert_eq!((taken.judged(0), taken.judged(1)), (&[][..], &[(4, 1), (7, 1)][..]));
}

#[test]
fn written_files_are_byte_for_byte_those_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let mut pairs: Vec<(String, Element)> =
        ELEMENTS.iter().map(|&element| (format!("{element}.npy"), element)).collect();
    pairs.push(("vectors.fbin".to_owned(), Element::F32));
    pairs.push(("vectors.u8bin".to_owned(), Element::U8));
    pairs.push(("vectors.i8bin".to_owned(), Element::I8));
    for (name, element) in pairs {
        let path = folder.path().join(&name);
        let mut writer = create(&path, shape(element), &WriteOptions::default()).unwrap();
        writer.write(&Batch::of_vectors(DIM, vectors(element))).unwrap();
        assert!(!path.exists(), "{name} before it is complete");
        writer.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(fixture(&name)).unwrap(), "{name}");
    }
}
