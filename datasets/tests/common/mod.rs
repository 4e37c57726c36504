//! What the tests share: the fixtures and their formulas, and reading a file whole.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file is a program of its own, uses a part and fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use tempfile::TempDir;
use vicinage_datasets::{
    AttributeBatch, AttributeValues, Batch, Element, IdMatrix, InputSpec, Matrix, ReadError,
    ReadOptions, Shape, TableBatch, VectorData, VectorReader, open, open_table,
};

/// Rows and dim of the fixtures of vectors.
pub const ROWS: usize = 7;
pub const DIM: usize = 5;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A file of `bytes` in a folder of its own.
pub fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Asserts that a file of these bytes is refused, and that the error says all of `parts`.
pub fn refused(name: &str, bytes: &[u8], parts: &[&str]) {
    let (_folder, path) = file(name, bytes);
    assert_says(read(&path), &path, parts);
}

/// The neighbours of the fixtures, whose third row is padded.
pub fn padded() -> IdMatrix {
    let mut ids = Matrix::new(3);
    for row in [&[0, 1, 2][..], &[10, 11, 12], &[20], &[30, 31, 32]] {
        ids.push(row);
    }
    ids
}

/// The vectors of the fixtures, as `make.py` has them.
pub fn vectors(element: Element) -> VectorData {
    let count = 0..(ROWS * DIM) as i64;
    let float = |at: i64| ((at * 37 % 101) - 50) as f64 / 8.0;
    let integer = |at: i64| at * 37 % 256;
    match element {
        Element::F64 => VectorData::F64(count.map(float).collect()),
        Element::F32 => VectorData::F32(count.map(|at| float(at) as f32).collect()),
        Element::F16 => VectorData::F16(count.map(|at| f16::from_f64(float(at))).collect()),
        Element::I8 => VectorData::I8(count.map(|at| (integer(at) - 128) as i8).collect()),
        Element::U8 => VectorData::U8(count.map(|at| integer(at) as u8).collect()),
        _ => panic!("{element} has no fixture"),
    }
}

pub const ELEMENTS: [Element; 5] =
    [Element::F64, Element::F32, Element::F16, Element::I8, Element::U8];

/// One attribute of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    I64(i64),
    F64(f64),
    Timestamp(i64),
    Text(String),
    TextList(Vec<String>),
    I64List(Vec<i64>),
}

pub fn value(values: &AttributeValues, row: usize) -> Value {
    let value = match values {
        AttributeValues::Bool(values) => values[row].map(Value::Bool),
        AttributeValues::I64(values) => values[row].map(Value::I64),
        AttributeValues::F64(values) => values[row].map(Value::F64),
        AttributeValues::Timestamp(values) => values[row].map(Value::Timestamp),
        AttributeValues::Text(values) => values.get(row).map(|text| Value::Text(text.to_owned())),
        AttributeValues::TextList(values) => {
            values.get(row).map(|texts| Value::TextList(texts.map(str::to_owned).collect()))
        }
        AttributeValues::I64List(values) => {
            values.get(row).map(|list| Value::I64List(list.to_vec()))
        }
        other => panic!("no value for {:?}", other.kind()),
    };
    value.unwrap_or(Value::Null)
}

/// Attribute columns, each with its name.
pub type Columns = Vec<(String, Vec<Value>)>;

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    pub shape: Shape,
    pub vectors: VectorData,
    pub ids: Vec<u64>,
    pub attributes: Columns,
}

pub fn read(path: &Path) -> Result<Whole, ReadError> {
    read_with(&InputSpec::from(path.to_owned()), &ReadOptions::default())
}

/// Reads a file in batches and puts them together; what every batch must be is asserted.
pub fn read_with(spec: &InputSpec, options: &ReadOptions) -> Result<Whole, ReadError> {
    let mut reader = open(spec, options)?;
    let shape = reader.shape();
    let mut whole = Whole {
        shape,
        vectors: VectorData::empty(shape.element),
        ids: Vec::new(),
        attributes: columns(reader.as_ref()),
    };
    let is_f64 = shape.element == Element::F64; // Which may be beyond f32.
    let (mut batch, mut rows) = (Batch::default(), 0);
    while reader.next_batch(&mut batch)? {
        assert_eq!((batch.first_row, batch.dim), (rows, shape.dim as usize));
        assert_eq!(batch.vectors.len(), batch.rows * batch.dim);
        assert!(batch.rows > 0 && (batch.rows == 1 || batch_bytes(&batch) <= options.batch_bytes));
        assert!(batch.to_f32().is_ok_and(|values| values.len() == batch.vectors.len()) || is_f64);
        append(&mut whole.vectors, &batch.vectors);
        append_ids(&mut whole.ids, batch.ids.as_deref(), batch.rows);
        append_attributes(&mut whole.attributes, &batch.attributes, batch.rows);
        rows += batch.rows as u64;
    }
    assert_eq!(rows, shape.rows);
    Ok(whole)
}

fn batch_bytes(batch: &Batch) -> usize {
    batch.vectors.len() * batch.vectors.element().size()
}

fn columns(reader: &dyn VectorReader) -> Columns {
    reader.attributes().iter().map(|field| (field.name.clone(), Vec::new())).collect()
}

fn append_ids(ids: &mut Vec<u64>, batch: Option<&[u64]>, rows: usize) {
    assert!(batch.is_none_or(|batch| batch.len() == rows));
    ids.extend_from_slice(batch.unwrap_or_default());
}

fn append_attributes(to: &mut [(String, Vec<Value>)], batch: &[AttributeBatch], rows: usize) {
    assert_eq!(to.len(), batch.len());
    for ((name, values), column) in to.iter_mut().zip(batch) {
        assert_eq!((&column.name, column.values.len()), (&*name, rows));
        values.extend((0..rows).map(|row| value(&column.values, row)));
    }
}

pub fn append(to: &mut VectorData, from: &VectorData) {
    match (to, from) {
        (VectorData::F64(to), VectorData::F64(from)) => to.extend_from_slice(from),
        (VectorData::F32(to), VectorData::F32(from)) => to.extend_from_slice(from),
        (VectorData::F16(to), VectorData::F16(from)) => to.extend_from_slice(from),
        (VectorData::I8(to), VectorData::I8(from)) => to.extend_from_slice(from),
        (VectorData::U8(to), VectorData::U8(from)) => to.extend_from_slice(from),
        (to, from) => panic!("{} and {}", to.element(), from.element()),
    }
}

/// Reads a table whole: its ids, and its attributes.
pub fn read_table(path: &Path, options: &ReadOptions) -> Result<(Vec<u64>, Columns), ReadError> {
    let mut reader = open_table(path, options)?;
    let fields = reader.attributes();
    let mut attributes: Vec<_> =
        fields.iter().map(|field| (field.name.clone(), Vec::new())).collect();
    let (mut ids, mut rows) = (Vec::new(), 0);
    let mut batch = TableBatch::default();
    while reader.next_batch(&mut batch)? {
        assert_eq!((batch.first_row, batch.ids.is_some()), (rows, reader.has_ids()));
        append_ids(&mut ids, batch.ids.as_deref(), batch.rows);
        append_attributes(&mut attributes, &batch.attributes, batch.rows);
        rows += batch.rows as u64;
    }
    assert_eq!(rows, reader.rows());
    Ok((ids, attributes))
}

/// Asserts that an error says each of these things, and which file it is about.
pub fn assert_says<T>(result: Result<T, ReadError>, path: &Path, parts: &[&str]) {
    let Err(error) = result else { panic!("{} was read", path.display()) };
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()), "`{message}` does not name the file");
    for part in parts {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}
