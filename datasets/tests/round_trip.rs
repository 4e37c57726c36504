//! What is written is what is read, for every format and element type and any batching.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{ELEMENTS, Value, append, read, read_table, read_with, value};
use half::f16;
use proptest::prelude::*;
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeValues, Batch, Element, Format, I64ListColumn,
    InputSpec, Matrix, ReadOptions, Shape, SparseMatrix, TextListColumn, VectorData, WriteOptions,
    create, read_distances, read_ids, read_sparse, write_distances, write_ground_truth, write_ids,
    write_sparse,
};

/// Finite values of a type, `count` of them.
fn vectors(element: Element, count: usize) -> BoxedStrategy<VectorData> {
    use prop::collection::vec;
    use prop::num::{f32, f64};
    let halves = any::<u16>().prop_map(f16::from_bits).prop_filter("finite", |v| v.is_finite());
    match element {
        Element::F64 => {
            vec(f64::NORMAL | f64::SUBNORMAL | f64::ZERO, count).prop_map(VectorData::F64).boxed()
        }
        Element::F32 => {
            vec(f32::NORMAL | f32::SUBNORMAL | f32::ZERO, count).prop_map(VectorData::F32).boxed()
        }
        Element::F16 => vec(halves, count).prop_map(VectorData::F16).boxed(),
        Element::I8 => vec(any::<i8>(), count).prop_map(VectorData::I8).boxed(),
        _ => vec(any::<u8>(), count).prop_map(VectorData::U8).boxed(),
    }
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    (0..ELEMENTS.len(), 1..9_usize, prop::collection::vec(0..9_usize, 0..5)).prop_flat_map(
        |(element, dim, rows)| {
            rows.into_iter()
                .map(|rows| {
                    vectors(ELEMENTS[element], rows * dim)
                        .prop_map(move |vectors| Batch::of_vectors(dim, vectors))
                })
                .collect::<Vec<_>>()
        },
    )
}

/// An id and one value of each kind of attribute; the pair is an integer and a time.
type Row = (
    u64,
    Option<bool>,
    (Option<i64>, Option<i64>),
    Option<f64>,
    Option<String>,
    Option<Vec<String>>,
    Option<Vec<i64>>,
);

fn extension(format: Format) -> String {
    format!("a.{}", format.extension())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn vectors_in_every_format(batches in batches(), batch_bytes in 1..200_usize) {
        let Some(first) = batches.first() else { return Ok(()) };
        let rows = batches.iter().map(|batch| batch.rows as u64).sum();
        let element = first.vectors.element();
        let shape = Shape { rows, dim: first.dim as u32, element };
        let mut expected = VectorData::empty(element);
        batches.iter().for_each(|batch| append(&mut expected, &batch.vectors));
        let folder = tempfile::tempdir().unwrap();
        let formats = match element {
            Element::F32 => &[Format::Fbin, Format::Fvecs][..],
            Element::I8 => &[Format::I8bin],
            Element::U8 => &[Format::U8bin, Format::Bvecs],
            _ => &[],
        };
        for &format in [Format::Npy, Format::Npz, Format::Parquet].iter().chain(formats) {
            let path = folder.path().join(extension(format));
            let writer = create(&path, shape, &WriteOptions::default());
            if matches!(format, Format::Fvecs | Format::Bvecs) && rows == 0 {
                prop_assert!(writer.is_err(), "a file without rows has no dim");
                continue;
            }
            let mut writer = writer.unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
            let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
            let read = read_with(&InputSpec::from(path), &options);
            if format == Format::Parquet && rows == 0 {
                prop_assert!(read.is_err(), "a column without rows has no dim");
                continue;
            }
            let read = read.unwrap();
            prop_assert_eq!(read.shape, shape);
            prop_assert_eq!(&read.vectors, &expected);
        }
    }

    #[test]
    fn ids_and_attributes_in_parquet(
        rows in prop::collection::vec(
            (
                any::<u64>(),
                any::<Option<bool>>(),
                any::<(Option<i64>, Option<i64>)>(),
                prop::option::of(prop::num::f64::ANY.prop_filter("NaN", |v| !v.is_nan())),
                any::<Option<String>>(),
                prop::option::of(prop::collection::vec(".{0,3}", 0..4)),
                prop::option::of(prop::collection::vec(any::<i64>(), 0..4)),
            ),
            1..40,
        ),
        split in 0..40_usize,
        batch_bytes in 1..400_usize,
    ) {
        let batch = |rows: &[Row]| {
            let mut texts = TextListColumn::default();
            rows.iter().for_each(|row| texts.push(row.5.as_ref().map(|texts| texts.iter().map(String::as_str))));
            let mut numbers = I64ListColumn::default();
            rows.iter().for_each(|row| numbers.push(row.6.as_deref()));
            let attributes = [
                AttributeValues::Bool(rows.iter().map(|row| row.1).collect()),
                AttributeValues::I64(rows.iter().map(|row| row.2.0).collect()),
                AttributeValues::Timestamp(rows.iter().map(|row| row.2.1).collect()),
                AttributeValues::F64(rows.iter().map(|row| row.3).collect()),
                AttributeValues::Text(rows.iter().map(|row| row.4.as_deref()).collect()),
                AttributeValues::TextList(texts),
                AttributeValues::I64List(numbers),
            ];
            let mut batch = Batch::of_vectors(1, VectorData::U8(vec![7; rows.len()]));
            batch.ids = Some(rows.iter().map(|row| row.0).collect());
            let named = |values: AttributeValues| {
                AttributeBatch { name: format!("column {}", values.kind()), values }
            };
            batch.attributes = attributes.map(named).to_vec();
            batch
        };
        let whole = batch(&rows);
        let split = split.min(rows.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let shape = Shape { rows: rows.len() as u64, dim: 1, element: Element::U8 };
        let field = |column: &AttributeBatch| {
            AttributeField { name: column.name.clone(), kind: column.values.kind() }
        };
        let options = WriteOptions {
            id_column: Some("item_id".to_owned()),
            attributes: whole.attributes.iter().map(field).collect(),
            ..WriteOptions::default()
        };
        let mut writer = create(&path, shape, &options).unwrap();
        writer.write(&batch(&rows[..split])).unwrap();
        writer.write(&batch(&rows[split..])).unwrap();
        writer.finish().unwrap();

        let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
        let read = read_with(&InputSpec::from(path), &options).unwrap();
        prop_assert_eq!(read.ids, whole.ids.unwrap());
        for ((name, values), column) in read.attributes.iter().zip(&whole.attributes) {
            prop_assert_eq!(name, &column.name);
            let expected: Vec<Value> =
                (0..rows.len()).map(|row| value(&column.values, row)).collect();
            prop_assert_eq!(values, &expected);
        }
        prop_assert_eq!(read.attributes.len(), 7);
    }

    #[test]
    fn neighbours_in_every_format(
        k in 1..6_usize,
        rows in prop::collection::vec(prop::collection::vec(any::<(u64, f32)>(), 0..6), 0..6),
        bits in 1..65_u32,
    ) {
        let (mut ids, mut distances) = (Matrix::new(k), Matrix::new(k));
        for row in &rows {
            let row = &row[..row.len().min(k)];
            ids.push(&row.iter().map(|&(id, _)| id >> (64 - bits)).collect::<Vec<_>>());
            let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
            distances.push(&row.iter().map(|&(_, value)| finite(value)).collect::<Vec<_>>());
        }
        let most = ids.iter().flatten().copied().max().unwrap_or(0);
        let padded = ids.iter().any(|row| row.len() < k);
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Npy, Format::Npz, Format::Ibin, Format::Ivecs] {
            let path = folder.path().join(extension(format));
            let fits = match format {
                Format::Npy | Format::Npz => !padded || i64::try_from(most).is_ok(),
                Format::Ivecs => i32::try_from(most).is_ok() && !rows.is_empty(),
                _ => i32::try_from(most).is_ok(),
            };
            prop_assert_eq!(write_ids(&path, &ids).is_ok(), fits);
            if fits {
                prop_assert_eq!(&read_ids(&path.clone().into()).unwrap(), &ids);
            }
        }
        for format in [Format::Bin, Format::Ibin] {
            let path = folder.path().join(extension(format));
            let fits = i32::try_from(most).is_ok();
            prop_assert_eq!(write_ground_truth(&path, &ids, &distances).is_ok(), fits);
            if fits {
                prop_assert_eq!(&read_ids(&path.clone().into()).unwrap(), &ids);
                prop_assert_eq!(&read_distances(&path.into()).unwrap(), &distances);
            }
        }
        for format in [Format::Npy, Format::Npz, Format::Fbin, Format::Fvecs] {
            let path = folder.path().join(extension(format));
            if format == Format::Fvecs && rows.is_empty() {
                prop_assert!(write_distances(&path, &distances).is_err());
                continue;
            }
            write_distances(&path, &distances).unwrap();
            prop_assert_eq!(&read_distances(&path.clone().into()).unwrap(), &distances);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sparse_matrices(
        rows in prop::collection::vec(prop::collection::btree_map(0..1000_u32, -9.0..9.0_f32, 0..9), 0..9),
        batch_bytes in 1..400_usize,
    ) {
        let mut matrix = SparseMatrix::new(1000);
        for row in &rows {
            let (columns, values): (Vec<u32>, Vec<f32>) = row.iter().unzip();
            matrix.push(&columns, &values);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spmat");
        write_sparse(&path, &matrix).unwrap();
        prop_assert_eq!(&read_sparse(&path).unwrap(), &matrix);
        let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
        let (ids, attributes) = read_table(&path, &options).unwrap();
        let tags = |row: &BTreeMap<u32, f32>| {
            Value::I64List(row.keys().map(|&tag| i64::from(tag)).collect())
        };
        prop_assert_eq!(ids, Vec::<u64>::new());
        prop_assert_eq!(attributes, [("tags".to_owned(), rows.iter().map(tags).collect())]);
    }
}

/// Larger than one row group and many pages, so that rows cross all of their borders.
#[test]
fn a_file_of_many_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let (rows, dim) = (90_000, 128);
    let values: Vec<f32> = (0..rows * dim).map(|at| at as f32).collect();
    let shape = Shape { rows: rows as u64, dim: dim as u32, element: Element::F32 };
    let mut writer = create(&path, shape, &WriteOptions::default()).unwrap();
    for part in values.chunks(1000 * dim) {
        writer.write(&Batch::of_vectors(dim, VectorData::F32(part.to_vec()))).unwrap();
    }
    writer.finish().unwrap();
    assert!(read(&path).unwrap().vectors == VectorData::F32(values));
}
