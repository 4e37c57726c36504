//! Several files as one input: a directory, a pattern.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{Value, Whole, assert_says, fixture, read_table, read_with};
use tempfile::TempDir;
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, Batch, Element, Format,
    InputSpec, ReadError, ReadOptions, Shape, VectorData, WriteOptions, create, open,
    vector_format,
};

/// Writes `rows` vectors of dim 2, numbered from `first`; in Parquet with ids and an attribute.
fn part(path: &Path, first: u64, rows: u64) {
    let numbers = first..first + rows;
    let values = numbers.clone().flat_map(|row| [row as f32, -1.0]).collect();
    let mut batch = Batch::of_vectors(2, VectorData::F32(values));
    let mut options = WriteOptions::default();
    if Format::of(path) == Some(Format::Parquet) {
        batch.ids = Some(numbers.clone().map(|row| 1000 + row).collect());
        let values = AttributeValues::I64(numbers.map(|row| Some(row as i64)).collect());
        batch.attributes = vec![AttributeBatch { name: "n".to_owned(), values }];
        options.id_column = Some("id".to_owned());
        options.attributes =
            vec![AttributeField { name: "n".to_owned(), kind: AttributeKind::I64 }];
    }
    let mut writer = create(path, Shape { rows, dim: 2, element: Element::F32 }, &options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

/// Three parts of 3, 1 and 4 rows, and what lies beside them.
fn parts(extension: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    part(&path(&format!("part-2.{extension}")), 4, 4);
    part(&path(&format!("part-0.{extension}")), 0, 3);
    part(&path(&format!("part-1.{extension}")), 3, 1);
    for name in ["_SUCCESS", ".part-0.parquet.crc", "README.txt", "._x.npy", "_temporary.parquet"] {
        fs::write(path(name), b"x").unwrap();
    }
    fs::create_dir(path("folder.npy")).unwrap();
    folder
}

fn read(input: &str, batch_bytes: usize) -> Result<Whole, ReadError> {
    let options = ReadOptions { batch_bytes, ..ReadOptions::default() };
    read_with(&input.parse().unwrap(), &options)
}

#[test]
fn a_directory_or_a_pattern_is_read_as_one_file() {
    for extension in ["npy", "npz", "fbin", "fvecs", "parquet"] {
        let folder = parts(extension);
        let (dir, column) = (folder.path().display(), extension == "parquet");
        let mut inputs = vec![
            format!("{dir}"),
            format!("{dir}/"),
            format!("{dir}/part-*.{extension}"),
            format!("{dir}/part-[0-2].*"),
            format!("{dir}/../{}/part-?.{extension}", folder.path().file_name().unwrap().display()),
        ];
        if column || extension == "npz" {
            inputs.push(format!("{dir}/#vector"));
            inputs.push(format!("{dir}/part-*#vector"));
            inputs.push(format!("{dir}/*.{extension}#vector"));
        }
        for input in inputs {
            for batch_bytes in [1, 16, 1 << 20] {
                let whole = read(&input, batch_bytes).unwrap();
                let values = (0..8).flat_map(|row| [row as f32, -1.0]).collect();
                assert_eq!(whole.shape, Shape { rows: 8, dim: 2, element: Element::F32 });
                assert_eq!(whole.vectors, VectorData::F32(values), "{input}");
                let ids = if column { (1000..1008).collect() } else { Vec::new() };
                assert_eq!(whole.ids, ids);
                assert_eq!(whole.attributes.len(), usize::from(column));
            }
            assert!(vector_format(&input.parse().unwrap()).unwrap().has_columns() == column);
        }
    }
}

#[test]
fn tables_of_several_files() {
    let folder = parts("parquet");
    for input in [folder.path().to_owned(), folder.path().join("part-*")] {
        let (ids, columns) = read_table(&input, &ReadOptions::default()).unwrap();
        assert_eq!(ids, (1000..1008).collect::<Vec<u64>>());
        assert_eq!(columns, [("n".to_owned(), (0..8).map(Value::I64).collect())]);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("tags.spmat"), folder.path().join("0.spmat")).unwrap();
    fs::copy(fixture("tags.spmat"), folder.path().join("1.spmat")).unwrap();
    let (_, columns) = read_table(folder.path(), &ReadOptions::default()).unwrap();
    assert_eq!(columns[0].1.len(), 6);
    assert_eq!(columns[0].1[..3], columns[0].1[3..]);
}

/// Spark writes a part for every task, with rows or without.
#[test]
fn parts_without_rows_are_fine_beside_others() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["0.parquet", "2.parquet"] {
        fs::copy(fixture("no-rows.parquet"), folder.path().join(name)).unwrap();
    }
    let dir = folder.path().to_str().unwrap();
    let path = folder.path().join("2.parquet");
    assert_says(read(dir, 16), &path, &["found no rows, and so no dim"]);
    part(&folder.path().join("1.parquet"), 0, 2);
    assert_eq!(read(dir, 16).unwrap().ids, [1000, 1001]);
}

#[test]
fn files_that_are_not_alike() {
    let folder = parts("parquet");
    let dir = folder.path().to_str().unwrap();
    let other = folder.path().join("part-3.parquet");
    let differs = |says: &[&str]| assert_says(read(dir, 16), &other, says);
    let like = "expected rows of 2 × f32 with ids and the attributes `n` (i64), as in ";
    let first = format!("{dir}/part-0.parquet, found ");
    fs::copy(fixture("list-f32.parquet"), &other).unwrap();
    differs(&[like, &first, "found rows of 5 × f32 with ids and without attributes"]);
    fs::copy(fixture("fixed-size.parquet"), &other).unwrap();
    differs(&[like, &first, "found rows of 5 × f32 without ids and without attributes"]);
    fs::write(&other, b"PAR1").unwrap();
    differs(&["expected a Parquet file of at least 12 bytes"]);
    let table = read_table(folder.path(), &ReadOptions::default());
    assert_says(table, &other, &["expected a Parquet file"]);

    let options = ReadOptions { id_column: Some("x".to_owned()), ..ReadOptions::default() };
    let spec = InputSpec::from(folder.path().to_owned());
    let part = folder.path().join("part-0.parquet");
    assert_says(read_with(&spec, &options), &part, &["expected an integer column `x` of ids"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let folder = parts("npy");
    let spec = InputSpec::from(folder.path().to_owned());
    let mut reader = open(&spec, &ReadOptions::default()).unwrap();
    let mut batch = Batch::default();
    assert!(reader.next_batch(&mut batch).unwrap());
    let second = folder.path().join("part-1.npy");
    part(&second, 3, 2);
    let error = reader.next_batch(&mut batch);
    assert_says(error, &second, &["expected 1 rows of 2 × f32", "as there were, found 2 rows"]);
}

#[test]
fn inputs_that_are_no_files_of_one_format() {
    let folder = tempfile::tempdir().unwrap();
    let says = |input: &str, parts: &[&str]| {
        let path = folder.path().join(input);
        assert_says(read(path.to_str().unwrap(), 16), &path, parts);
    };
    let formats = "expected files of one format, of .npy, .npz, .fbin, .u8bin, .i8bin, .fvecs, \
                   .bvecs, .parquet, .arrow, .arrows";
    says("", &[formats, "found a directory of nothing"]);
    says("*.npy", &[formats, "found matches of nothing"]);
    says("[.npy", &["expected a pattern of file names, found"]);
    fs::write(folder.path().join("b.txt"), b"x").unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    says("", &["found a directory of b.txt, more"]);
    part(&folder.path().join("a.npy"), 0, 1);
    part(&folder.path().join("c.fbin"), 0, 1);
    says("", &["found a directory of a.npy, c.fbin"]);
    says("[a-c].*[yn]", &["found matches of a.npy, c.fbin"]);
    let path = folder.path().join("b.txt");
    let pattern = folder.path().join("*");
    assert_says(read(pattern.to_str().unwrap(), 16), &path, &["ends in .npy", "found .txt"]);
    // A file is itself, whatever is in its name.
    let odd = folder.path().join("[a]*.npy");
    part(&odd, 7, 1);
    assert_eq!(read(odd.to_str().unwrap(), 16).unwrap().vectors, VectorData::F32(vec![7.0, -1.0]));
}

#[test]
fn columns_behind_directories_and_patterns() {
    let parse = |text: &str| {
        let spec: InputSpec = text.parse().unwrap();
        (spec.path.to_str().unwrap().to_owned(), spec.column)
    };
    let named = |path: &str, column: &str| (path.to_owned(), Some(column.to_owned()));
    assert_eq!(parse("shards/#user"), named("shards/", "user"));
    assert_eq!(parse("shards/*#user"), named("shards/*", "user"));
    assert_eq!(parse("a/part-*.parquet#user"), named("a/part-*.parquet", "user"));
    assert_eq!(parse("shards/#1.npy"), ("shards/#1.npy".to_owned(), None));
    assert_eq!(parse("shards#1"), ("shards#1".to_owned(), None));
}
