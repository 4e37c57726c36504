//! From batches to Arrow arrays: vectors as a fixed-size list, and the ids and attributes that
//! were announced.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array,
    Int8Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt8Array,
    UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use crate::attributes::{AttributeKind, AttributeValues};
use crate::error::WriteError;
use crate::flat::{check_batch, check_count};
use crate::spec::WriteOptions;
use crate::vectors::{Batch, Element, Shape, VectorData};

/// What the entries of lists are called, as Parquet asks for.
pub(crate) const ENTRY: &str = "element";

/// Turns the batches of one file into record batches.
pub(crate) struct Encoder {
    schema: Arc<Schema>,
    shape: Shape,
    options: WriteOptions,
    written: u64,
}

impl Encoder {
    /// For a file at `path` of the announced shape and columns.
    pub(crate) fn new(
        path: &Path,
        shape: Shape,
        options: &WriteOptions,
    ) -> Result<Self, WriteError> {
        let schema = Arc::new(schema(path, &shape, options)?);
        Ok(Self { schema, shape, options: options.clone(), written: 0 })
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Holds the next rows against what was announced, and counts them.
    pub(crate) fn check(&mut self, path: &Path, batch: &Batch) -> Result<(), WriteError> {
        check_batch(path, &self.shape, self.written, batch)?;
        self.check_columns(path, batch)?;
        self.written += batch.rows as u64;
        Ok(())
    }

    /// Checks the next rows and encodes them.
    pub(crate) fn encode(&mut self, path: &Path, batch: &Batch) -> Result<RecordBatch, WriteError> {
        self.check(path, batch)?;
        let mut arrays: Vec<ArrayRef> = Vec::new();
        arrays.extend(
            batch.ids.iter().map(|ids| Arc::new(UInt64Array::from(ids.clone())) as ArrayRef),
        );
        let failed = |e: ArrowError| WriteError::io("write", path)(std::io::Error::other(e));
        arrays.push(vectors(&self.shape, batch).map_err(failed)?);
        arrays.extend(batch.attributes.iter().map(|attribute| array_of(&attribute.values)));
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(failed)
    }

    /// Holds the rows that came against those that were announced.
    pub(crate) fn check_count(&self, path: &Path) -> Result<(), WriteError> {
        check_count(path, self.shape.rows, self.written)
    }

    /// Holds ids and attributes of a batch against those that were announced.
    fn check_columns(&self, path: &Path, batch: &Batch) -> Result<(), WriteError> {
        let ids = batch.ids.as_ref().map(Vec::len);
        if ids != self.options.id_column.as_ref().map(|_| batch.rows) {
            let expected = match &self.options.id_column {
                Some(column) => format!("{} ids for column `{column}`", batch.rows),
                None => "no ids, as no column was announced".to_owned(),
            };
            let found = ids.map_or("none".to_owned(), |ids| ids.to_string());
            return Err(WriteError::mismatch(path, expected, found));
        }
        let announced = self.options.attributes.iter();
        let announced = announced.map(|field| (&field.name, field.kind, batch.rows));
        let given = batch.attributes.iter();
        let given = given.map(|given| (&given.name, given.values.kind(), given.values.len()));
        if announced.clone().eq(given.clone()) {
            return Ok(());
        }
        let list = |columns: &mut dyn Iterator<Item = (&String, AttributeKind, usize)>| {
            let names: Vec<String> = columns
                .map(|(name, kind, rows)| format!("`{name}` ({kind}, {rows} rows)"))
                .collect();
            format!("the attributes [{}]", names.join(", "))
        };
        Err(WriteError::mismatch(path, list(&mut { announced }), list(&mut { given })))
    }
}

fn schema(path: &Path, shape: &Shape, options: &WriteOptions) -> Result<Schema, WriteError> {
    let mut fields = Vec::new();
    fields.extend(options.id_column.iter().map(|id| Field::new(id, DataType::UInt64, false)));
    let dim = i32::try_from(shape.dim).unwrap_or(i32::MAX);
    let vectors = DataType::FixedSizeList(Arc::new(entry(component(shape.element))), dim);
    fields.push(Field::new(&options.vector_column, vectors, false));
    for attribute in &options.attributes {
        fields.push(Field::new(&attribute.name, attribute_type(attribute.kind), true));
    }
    for (at, field) in fields.iter().enumerate() {
        if fields[..at].iter().any(|other| other.name() == field.name()) {
            let found = format!("`{}` twice", field.name());
            return Err(WriteError::mismatch(path, "every column name once", found));
        }
    }
    Ok(Schema::new(fields))
}

fn entry(data_type: DataType) -> Field {
    Field::new(ENTRY, data_type, false)
}

fn component(element: Element) -> DataType {
    match element {
        Element::F64 => DataType::Float64,
        Element::F32 => DataType::Float32,
        Element::F16 => DataType::Float16,
        Element::I8 => DataType::Int8,
        Element::U8 => DataType::UInt8,
    }
}

pub(crate) fn attribute_type(kind: AttributeKind) -> DataType {
    match kind {
        AttributeKind::Bool => DataType::Boolean,
        AttributeKind::I64 => DataType::Int64,
        AttributeKind::F64 => DataType::Float64,
        AttributeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        AttributeKind::Text => DataType::Utf8,
        AttributeKind::TextList => DataType::List(Arc::new(entry(DataType::Utf8))),
        AttributeKind::I64List => DataType::List(Arc::new(entry(DataType::Int64))),
    }
}

fn vectors(shape: &Shape, batch: &Batch) -> Result<ArrayRef, ArrowError> {
    let values: ArrayRef = match &batch.vectors {
        VectorData::F64(values) => Arc::new(Float64Array::from(values.clone())),
        VectorData::F32(values) => Arc::new(Float32Array::from(values.clone())),
        VectorData::F16(values) => Arc::new(Float16Array::from(values.clone())),
        VectorData::I8(values) => Arc::new(Int8Array::from(values.clone())),
        VectorData::U8(values) => Arc::new(UInt8Array::from(values.clone())),
    };
    let dim = i32::try_from(shape.dim).unwrap_or(i32::MAX);
    let field = Arc::new(entry(values.data_type().clone()));
    Ok(Arc::new(FixedSizeListArray::try_new(field, dim, values, None)?))
}

pub(crate) fn array_of(values: &AttributeValues) -> ArrayRef {
    match values {
        AttributeValues::Bool(values) => Arc::new(BooleanArray::from(values.clone())),
        AttributeValues::I64(values) => Arc::new(Int64Array::from(values.clone())),
        AttributeValues::F64(values) => Arc::new(Float64Array::from(values.clone())),
        AttributeValues::Timestamp(values) => {
            Arc::new(TimestampMicrosecondArray::from(values.clone()).with_timezone("UTC"))
        }
        AttributeValues::Text(values) => Arc::new(values.iter().collect::<StringArray>()),
        AttributeValues::TextList(values) => {
            let mut lists =
                ListBuilder::new(StringBuilder::new()).with_field(entry(DataType::Utf8));
            for row in 0..values.len() {
                lists.append_option(values.get(row).map(|texts| texts.map(Some)));
            }
            Arc::new(lists.finish())
        }
        AttributeValues::I64List(values) => {
            let mut lists =
                ListBuilder::new(Int64Builder::new()).with_field(entry(DataType::Int64));
            for row in 0..values.len() {
                let list = values.get(row);
                lists.append_option(list.map(|list| list.iter().copied().map(Some)));
            }
            Arc::new(lists.finish())
        }
    }
}
