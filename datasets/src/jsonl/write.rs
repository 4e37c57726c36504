//! Batches to rows.

use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use crate::VectorWriter;
use crate::attributes::AttributeValues;
use crate::columns;
use crate::error::WriteError;
use crate::output::Output;
use crate::spec::{Compression, WriteOptions};
use crate::vectors::{Batch, Shape, VectorData};

enum Encoder {
    Plain(Output),
    Gzip(GzEncoder<Output>),
    Zstd(zstd::Encoder<'static, Output>),
}

impl Encoder {
    fn text(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(output) => output,
            Self::Gzip(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    fn finish(self) -> std::io::Result<Output> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

struct JsonlWriter {
    path: std::path::PathBuf,
    encoder: Encoder,
    options: WriteOptions,
    announced: columns::Encoder,
}

pub(crate) fn create(
    path: &Path,
    shape: Shape,
    options: &WriteOptions,
) -> Result<Box<dyn VectorWriter>, WriteError> {
    let output = Output::create(path)?;
    let encoder = match Compression::of(path) {
        None => Encoder::Plain(output),
        Some(Compression::Gzip) => {
            Encoder::Gzip(GzEncoder::new(output, flate2::Compression::default()))
        }
        Some(Compression::Zstd) => {
            let level = zstd::DEFAULT_COMPRESSION_LEVEL;
            let encoder = zstd::Encoder::new(output, level);
            Encoder::Zstd(encoder.map_err(WriteError::io("compress", path))?)
        }
    };
    let announced = columns::Encoder::new(path, shape, options)?;
    let (path, options) = (path.to_owned(), options.clone());
    Ok(Box::new(JsonlWriter { path, encoder, options, announced }))
}

impl VectorWriter for JsonlWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        self.announced.check(&self.path, batch)?;
        let mut text = Vec::new();
        for row in 0..batch.rows {
            serde_json::to_writer(&mut text, &Line { batch, row, options: &self.options })
                .map_err(|error| {
                    let found = format!("in row {row} of a batch, {error}");
                    WriteError::mismatch(&self.path, "values that JSON can hold", found)
                })?;
            text.push(b'\n');
        }
        self.encoder.text().write_all(&text).map_err(WriteError::io("write", &self.path))
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        self.announced.check_count(&self.path)?;
        self.encoder.finish().map_err(WriteError::io("write", &self.path))?.finish()
    }
}

/// One row of a batch.
struct Line<'a> {
    batch: &'a Batch,
    row: usize,
    options: &'a WriteOptions,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let (Some(column), Some(ids)) = (&self.options.id_column, &self.batch.ids) {
            map.serialize_entry(column, &ids[self.row])?;
        }
        map.serialize_entry(&self.options.vector_column, &Vector(self.batch, self.row))?;
        for attribute in &self.batch.attributes {
            map.serialize_entry(&attribute.name, &Value(&attribute.values, self.row))?;
        }
        map.end()
    }
}

struct Vector<'a>(&'a Batch, usize);

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(batch, row) = self;
        let range = row * batch.dim..(row + 1) * batch.dim;
        match &batch.vectors {
            VectorData::F64(values) => serializer.collect_seq(&values[range]),
            VectorData::F32(values) => serializer.collect_seq(&values[range]),
            VectorData::F16(values) => {
                serializer.collect_seq(values[range].iter().map(|value| value.to_f32()))
            }
            VectorData::I8(values) => serializer.collect_seq(&values[range]),
            VectorData::U8(values) => serializer.collect_seq(&values[range]),
        }
    }
}

struct Value<'a>(&'a AttributeValues, usize);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(values, row) = *self;
        match values {
            AttributeValues::Bool(values) => values[row].serialize(serializer),
            AttributeValues::I64(values) => values[row].serialize(serializer),
            AttributeValues::F64(values) => match values[row] {
                Some(value) if !value.is_finite() => {
                    Err(S::Error::custom(format!("{value}, which JSON has no number for")))
                }
                value => value.serialize(serializer),
            },
            AttributeValues::Timestamp(values) => {
                let time = values[row].map(jiff::Timestamp::from_microsecond).transpose();
                time.map_err(S::Error::custom)?.map(|time| time.to_string()).serialize(serializer)
            }
            AttributeValues::Text(values) => values.get(row).serialize(serializer),
            AttributeValues::TextList(values) => match values.get(row) {
                Some(texts) => serializer.collect_seq(texts),
                None => serializer.serialize_none(),
            },
            AttributeValues::I64List(values) => values.get(row).serialize(serializer),
        }
    }
}
