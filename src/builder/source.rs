//! Where items come from.

use crate::filters::columns::{AttributeValue, ColumnKind};
use crate::types::{ElementType, ItemId};
use crate::vectors::VectorBlock;

/// Some items, in input order.
#[derive(Clone, Debug)]
pub struct ItemBatch {
    /// `[rows, dim]`.
    pub vectors: VectorBlock,
    /// Item ids; `None` in every batch: the row numbers.
    pub ids: Option<Vec<ItemId>>,
    /// The attributes, in schema order.
    pub attributes: Vec<ColumnBatch>,
}

/// The values of one attribute in a batch. Text is owned, so that a batch can come from anywhere.
#[derive(Clone, Debug)]
pub enum ColumnBatch {
    /// See [`ColumnKind::Bool`].
    Bool(Vec<Option<bool>>),
    /// See [`ColumnKind::I64`].
    I64(Vec<Option<i64>>),
    /// See [`ColumnKind::F64`].
    F64(Vec<Option<f64>>),
    /// See [`ColumnKind::Timestamp`].
    Timestamp(Vec<Option<i64>>),
    /// See [`ColumnKind::Category`].
    Category(Vec<Option<String>>),
    /// See [`ColumnKind::Tags`].
    Tags(Vec<Option<Vec<String>>>),
}

impl ColumnBatch {
    /// What values they are.
    pub fn kind(&self) -> ColumnKind {
        match self {
            ColumnBatch::Bool(_) => ColumnKind::Bool,
            ColumnBatch::I64(_) => ColumnKind::I64,
            ColumnBatch::F64(_) => ColumnKind::F64,
            ColumnBatch::Timestamp(_) => ColumnKind::Timestamp,
            ColumnBatch::Category(_) => ColumnKind::Category,
            ColumnBatch::Tags(_) => ColumnKind::Tags,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            ColumnBatch::Bool(values) => values.len(),
            ColumnBatch::I64(values) | ColumnBatch::Timestamp(values) => values.len(),
            ColumnBatch::F64(values) => values.len(),
            ColumnBatch::Category(values) => values.len(),
            ColumnBatch::Tags(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row.
    pub fn value(&self, row: usize) -> AttributeValue<'_> {
        let value = match self {
            ColumnBatch::Bool(values) => values[row].map(AttributeValue::Bool),
            ColumnBatch::I64(values) => values[row].map(AttributeValue::I64),
            ColumnBatch::F64(values) => values[row].map(AttributeValue::F64),
            ColumnBatch::Timestamp(values) => values[row].map(AttributeValue::Timestamp),
            ColumnBatch::Category(values) => values[row].as_deref().map(AttributeValue::Text),
            ColumnBatch::Tags(values) => values[row]
                .as_ref()
                .map(|tags| AttributeValue::Tags(tags.iter().map(String::as_str).collect())),
        };
        value.unwrap_or(AttributeValue::Null)
    }
}

/// What a source reports when it cannot go on.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where items come from.
pub trait ItemSource {
    /// Components per vector, at least 1.
    fn dim(&self) -> usize;

    /// How many items there will be.
    fn rows(&self) -> u64;

    /// The type that vectors come in.
    fn element(&self) -> ElementType;

    /// The attributes, in the order of [`ItemBatch::attributes`].
    fn attributes(&self) -> Vec<(String, ColumnKind)>;

    /// Memory that the source itself holds while it is read, beside one batch.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The next items; `None` after the last. After an error the source is not asked again.
    fn next_batch(&mut self) -> Result<Option<ItemBatch>, SourceError>;
}
