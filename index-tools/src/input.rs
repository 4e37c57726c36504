//! From data files to the items of a build: vicinage-datasets on one side,
//! [`vicinage::builder::ItemSource`] on the other.

use std::error::Error;
use std::mem::{replace, take};
use std::path::{Path, PathBuf};

use vicinage::builder::{ColumnBatch, ItemBatch, ItemSource};
use vicinage::index::ColumnKind;
use vicinage::types::ElementType;
use vicinage::vectors::VectorBlock;
use vicinage_datasets as datasets;
use vicinage_datasets::{
    AttributeColumns, AttributeField, AttributeValues, Batch, Element, ReadOptions, Shape,
    VectorData, VectorReader,
};

use crate::args::InputArgs;
use crate::exit::Failure;
use crate::sidecar::Sidecar;

/// A file that is whole, but does not fit what is done with it.
#[derive(Debug, thiserror::Error)]
#[error("{}, {place}: expected {expected}, found {found}", path.display())]
pub(crate) struct InputError {
    pub(crate) path: PathBuf,
    pub(crate) place: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// The items of a build, read batch by batch.
pub(crate) struct Items {
    reader: Box<dyn VectorReader>,
    batch: Batch,
    sidecar: Option<Sidecar>,
}

impl Items {
    pub(crate) fn open(args: &InputArgs) -> Result<Self, Failure> {
        let named = args.attributes.clone().map_or(AttributeColumns::All, AttributeColumns::Named);
        let own = match args.attributes_from.is_some() || args.no_attributes {
            true => AttributeColumns::None,
            false => named.clone(),
        };
        let has_columns = datasets::Format::of(&args.input.path) == Some(datasets::Format::Parquet);
        if !has_columns && args.attributes.is_some() && args.attributes_from.is_none() {
            return Err(Failure::usage(format!("{} holds vectors alone", args.input))
                .next("pass --attributes-from FILE.parquet to take attributes from there"));
        }
        // A file of vectors alone has no id column; then the name is one of the sidecar.
        let in_sidecar = !has_columns && args.attributes_from.is_some();
        let id_column = args.ids.clone().filter(|_| !in_sidecar);
        let options = ReadOptions { id_column, attributes: own, ..ReadOptions::default() };
        let reader = datasets::open(&args.input, &options)?;
        let has_ids = has_columns && has_ids(&args.input.path, &options)?;
        let sidecar = match &args.attributes_from {
            None => None,
            Some(path) => {
                let id_column = args.ids.clone();
                let options = ReadOptions { id_column, attributes: named, ..options };
                Some(Sidecar::open(path, &options, &*reader, has_ids)?)
            }
        };
        Ok(Self { reader, batch: Batch::default(), sidecar })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.reader.shape()
    }

    fn fields(&self) -> &[AttributeField] {
        match &self.sidecar {
            Some(sidecar) => sidecar.fields(),
            None => self.reader.attributes(),
        }
    }

    /// Columns that no attribute can be made of, as `name (type)`.
    pub(crate) fn skipped(&self) -> Vec<String> {
        let skipped = match &self.sidecar {
            Some(sidecar) => sidecar.skipped(),
            None => self.reader.skipped(),
        };
        skipped.iter().map(|column| format!("{} ({})", column.name, column.data_type)).collect()
    }

    fn next(&mut self) -> Result<Option<ItemBatch>, Box<dyn Error + Send + Sync>> {
        if !self.reader.next_batch(&mut self.batch)? {
            if let Some(sidecar) = &self.sidecar {
                sidecar.check_all_used(self.reader.path())?;
            }
            return Ok(None);
        }
        let batch = &mut self.batch;
        let vectors = block(batch, self.reader.path())?;
        let (ids, attributes) = match &mut self.sidecar {
            Some(sidecar) => sidecar.take(
                self.reader.path(),
                batch.first_row,
                batch.rows,
                take(&mut batch.ids),
            )?,
            None => {
                let attributes = batch.attributes.iter();
                let all: Vec<usize> = (0..batch.rows).collect();
                let attributes = attributes.map(|column| column_batch(&column.values, &all));
                (take(&mut batch.ids), attributes.collect())
            }
        };
        Ok(Some(ItemBatch { vectors, ids, attributes }))
    }
}

impl ItemSource for Items {
    fn dim(&self) -> usize {
        self.shape().dim as usize
    }

    fn rows(&self) -> u64 {
        self.shape().rows
    }

    fn element(&self) -> ElementType {
        match self.shape().element {
            Element::F16 => ElementType::F16,
            Element::I8 => ElementType::I8,
            Element::U8 => ElementType::U8,
            _ => ElementType::F32,
        }
    }

    fn attributes(&self) -> Vec<(String, ColumnKind)> {
        self.fields().iter().map(|field| (field.name.clone(), kind(field.kind))).collect()
    }

    fn next_batch(&mut self) -> Result<Option<ItemBatch>, Box<dyn Error + Send + Sync>> {
        self.next()
    }
}

/// Whether batches of the file will bring ids: its reader tells only with the first batch.
fn has_ids(path: &Path, options: &ReadOptions) -> Result<bool, Failure> {
    let options = ReadOptions { attributes: AttributeColumns::None, ..options.clone() };
    Ok(datasets::open_table(path, &options)?.has_ids())
}

fn kind(kind: datasets::AttributeKind) -> ColumnKind {
    use datasets::AttributeKind as From;
    match kind {
        From::Bool => ColumnKind::Bool,
        From::I64 => ColumnKind::I64,
        From::F64 => ColumnKind::F64,
        From::Timestamp => ColumnKind::Timestamp,
        From::Text => ColumnKind::Category,
        _ => ColumnKind::Tags,
    }
}

/// The values of the rows named, as the builder takes them. Integers in lists become tags.
pub(crate) fn column_batch(values: &AttributeValues, rows: &[usize]) -> ColumnBatch {
    fn pick<T: Copy>(values: &[Option<T>], rows: &[usize]) -> Vec<Option<T>> {
        rows.iter().map(|&row| values[row]).collect()
    }
    match values {
        AttributeValues::Bool(values) => ColumnBatch::Bool(pick(values, rows)),
        AttributeValues::I64(values) => ColumnBatch::I64(pick(values, rows)),
        AttributeValues::F64(values) => ColumnBatch::F64(pick(values, rows)),
        AttributeValues::Timestamp(values) => ColumnBatch::Timestamp(pick(values, rows)),
        AttributeValues::Text(values) => {
            let text = |&row: &usize| values.get(row).map(str::to_owned);
            ColumnBatch::Category(rows.iter().map(text).collect())
        }
        AttributeValues::TextList(values) => {
            let texts = |&row: &usize| Some(values.get(row)?.map(str::to_owned).collect());
            ColumnBatch::Tags(rows.iter().map(texts).collect())
        }
        AttributeValues::I64List(values) => {
            let texts = |&row: &usize| Some(values.get(row)?.iter().map(i64::to_string).collect());
            ColumnBatch::Tags(rows.iter().map(texts).collect())
        }
        // A kind that this build does not know: no values of it.
        _ => ColumnBatch::Tags(vec![None; rows.len()]),
    }
}

/// The vectors of a batch in the type that they come in, f64 as f32; the batch has none after that.
pub(crate) fn block(batch: &mut Batch, path: &Path) -> Result<VectorBlock, InputError> {
    if let VectorData::F64(_) = batch.vectors {
        return match batch.to_f32() {
            Ok(values) => Ok(VectorBlock::F32(values.into_owned())),
            Err(error) => Err(InputError {
                path: path.to_owned(),
                place: format!("row {}, component {}", error.row, error.component),
                expected: "a value within the range of f32, ±3.4028235e38".to_owned(),
                found: format!("{:e}", error.value),
            }),
        };
    }
    match replace(&mut batch.vectors, VectorData::F32(Vec::new())) {
        VectorData::F32(values) => Ok(VectorBlock::F32(values)),
        VectorData::F16(values) => Ok(VectorBlock::F16(values)),
        VectorData::I8(values) => Ok(VectorBlock::I8(values)),
        VectorData::U8(values) => Ok(VectorBlock::U8(values)),
        other => Err(InputError {
            path: path.to_owned(),
            place: "whole file".to_owned(),
            expected: "components of f64, f32, f16, i8 or u8".to_owned(),
            found: other.element().to_string(),
        }),
    }
}
