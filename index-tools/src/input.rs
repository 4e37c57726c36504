//! From data files to the items of a build: vicinage-datasets on one side,
//! [`vicinage::builder::ItemSource`] on the other.

use std::error::Error;
use std::mem::take;

use vicinage::builder::{ColumnBatch, ItemBatch, ItemSource};
use vicinage::index::ColumnKind;
use vicinage::types::ElementType;
use vicinage_datasets as datasets;
use vicinage_datasets::{
    AttributeColumns, AttributeField, Batch, Element, ReadOptions, Shape, VectorReader,
};

use crate::args::InputArgs;
use crate::batch::{InputError, block, column_batch};
use crate::cast::{Wish, cast};
use crate::exit::Failure;
use crate::sidecar::Sidecar;

/// Bytes of vectors in a batch. The attributes of its rows come as texts of their own, which can be
/// many times that, so a batch is small.
const BATCH_BYTES: usize = 256 << 10;

/// The items of a build, read batch by batch.
pub(crate) struct Items {
    reader: Box<dyn VectorReader>,
    batch: Batch,
    sidecar: Option<Sidecar>,
    wishes: Vec<Wish>,
}

impl Items {
    pub(crate) fn open(args: &InputArgs) -> Result<Self, Failure> {
        let wishes = args.attributes.clone().unwrap_or_default();
        for (at, wish) in wishes.iter().enumerate() {
            if wishes[..at].iter().any(|before| before.name == wish.name) {
                return Err(Failure::usage(format!("attribute {:?} is named twice", wish.name)));
            }
        }
        let named = match &args.attributes {
            None => AttributeColumns::All,
            Some(_) => AttributeColumns::Named(wishes.iter().map(|w| w.name.clone()).collect()),
        };
        let own = match args.attributes_from.is_some() || args.no_attributes {
            true => AttributeColumns::None,
            false => named.clone(),
        };
        let has_columns = datasets::vector_format(&args.input)?.has_columns();
        if !has_columns && args.attributes.is_some() && args.attributes_from.is_none() {
            return Err(Failure::usage(format!("{} holds vectors alone", args.input))
                .next("pass --attributes-from FILE.parquet to take attributes from there"));
        }
        // A file of vectors alone has no id column; then the name is one of the sidecar.
        let in_sidecar = !has_columns && args.attributes_from.is_some();
        let id_column = args.ids.clone().filter(|_| !in_sidecar);
        let options = ReadOptions { id_column, attributes: own, batch_bytes: BATCH_BYTES };
        let reader = datasets::open(&args.input, &options)?;
        let sidecar = match &args.attributes_from {
            None => None,
            Some(path) => {
                let id_column = args.ids.clone();
                let options = ReadOptions { id_column, attributes: named, ..options };
                Some(Sidecar::open(path, &options, args.unmatched, &*reader)?)
            }
        };
        Ok(Self { reader, batch: Batch::default(), sidecar, wishes })
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

    /// The kind that each attribute is to have.
    fn kinds(&self) -> impl Iterator<Item = (&AttributeField, ColumnKind)> {
        self.fields().iter().map(|field| {
            let wish = self.wishes.iter().find(|wish| wish.name == field.name);
            (field, wish.and_then(|wish| wish.kind).unwrap_or(kind(field.kind)))
        })
    }

    /// How many items have no attributes in the second file, and how many rows of that no item.
    pub(crate) fn unmatched(&self) -> (u64, u64) {
        self.sidecar.as_ref().map_or((0, 0), Sidecar::unmatched)
    }

    /// Columns that no attribute can be made of, as `name (type)`.
    pub(crate) fn skipped(&self) -> Vec<String> {
        let skipped = match &self.sidecar {
            Some(sidecar) => sidecar.skipped(),
            None => self.reader.skipped(),
        };
        skipped.iter().map(|column| format!("{} ({})", column.name, column.data_type)).collect()
    }

    /// The attributes of the batch at hand in the types that they are to have.
    fn as_wished(&self, attributes: Vec<ColumnBatch>) -> Result<Vec<ColumnBatch>, InputError> {
        let path = self.sidecar.as_ref().map_or(self.reader.path(), Sidecar::path);
        let cast = |(column, (field, kind)): (_, (&AttributeField, _))| {
            cast(column, kind).map_err(|(at, found)| InputError {
                path: path.to_owned(),
                place: format!(
                    "attribute {:?}, row {} of the items",
                    field.name,
                    self.batch.first_row + at as u64
                ),
                expected: format!("a value that {kind} holds exactly"),
                found,
            })
        };
        attributes.into_iter().zip(self.kinds()).map(cast).collect()
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
                let all: Vec<Option<usize>> = (0..batch.rows).map(Some).collect();
                let attributes = attributes.map(|column| column_batch(&column.values, &all));
                (take(&mut batch.ids), attributes.collect())
            }
        };
        let attributes = self.as_wished(attributes)?;
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
        self.kinds().map(|(field, kind)| (field.name.clone(), kind)).collect()
    }

    fn held_bytes(&self) -> u64 {
        self.sidecar.as_ref().map_or(0, Sidecar::bytes)
    }

    fn next_batch(&mut self) -> Result<Option<ItemBatch>, Box<dyn Error + Send + Sync>> {
        self.next()
    }
}

/// The kind of column that an attribute of a data file becomes.
pub(crate) fn kind(kind: datasets::AttributeKind) -> ColumnKind {
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
