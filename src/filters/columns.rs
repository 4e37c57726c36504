//! Attribute columns: one value, or none, for every item.
//!
//! A column is one section of a segment file, little-endian, rows in stored order:
//!
//! ```text
//!  0  kind u32     4  zero u32      8  rows u64       16  nulls u64
//! 24  distinct u64 32  list length u64                40  text bytes u64
//! 48  arrays, each starting at a multiple of 8 (zero bytes before it), in this order:
//!
//!     present       one bit a row (bit i % 64 of u64 i / 64)    if nulls > 0
//!     list offsets  rows + 1 integers                           tags
//!     values        bool: one bit a row; i64, timestamp, f64: 8 bytes a row;
//!                   category: one code a row; tags: list length codes
//!     text offsets  distinct + 1 integers                       category, tags
//!     text          the dictionary, UTF-8, entry after entry    category, tags
//! ```
//!
//! Codes and offsets take the fewest of 1, 2, 4 or 8 bytes that hold the largest one that the
//! header allows: `distinct - 1`, `list length` or `text bytes`. Dictionary entries are distinct
//! and sorted by their bytes; the codes of an item's tags rise, and an item without a value has an
//! empty list, or zero. So equal columns are equal bytes, whatever order values came in.

mod builder;
mod view;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::types::named;

pub use builder::{ColumnBuilder, ColumnError};
pub use view::{ColumnDamage, ColumnLayout, ColumnView};
pub(super) use view::{f64_key, i64_key};

/// What the values of a column are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, SchemaWrite, SchemaRead,
)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// True or false.
    Bool,
    /// Signed 64-bit integer.
    I64,
    /// IEEE 754 binary64, never NaN.
    F64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// One text out of a dictionary.
    Category,
    /// A set of texts out of a dictionary.
    Tags,
}

impl ColumnKind {
    /// Every kind.
    pub const ALL: [ColumnKind; 6] = [
        ColumnKind::Bool,
        ColumnKind::I64,
        ColumnKind::F64,
        ColumnKind::Timestamp,
        ColumnKind::Category,
        ColumnKind::Tags,
    ];

    /// The code in a column section.
    pub const fn code(self) -> u32 {
        match self {
            ColumnKind::Bool => 1,
            ColumnKind::I64 => 2,
            ColumnKind::F64 => 3,
            ColumnKind::Timestamp => 4,
            ColumnKind::Category => 5,
            ColumnKind::Tags => 6,
        }
    }

    /// The name used in JSON and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            ColumnKind::Bool => "bool",
            ColumnKind::I64 => "i64",
            ColumnKind::F64 => "f64",
            ColumnKind::Timestamp => "timestamp",
            ColumnKind::Category => "category",
            ColumnKind::Tags => "tags",
        }
    }

    fn has_dictionary(self) -> bool {
        matches!(self, ColumnKind::Category | ColumnKind::Tags)
    }
}

named!(ColumnKind, "type of attribute");

/// Name and kind of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct ColumnSchema {
    /// The attribute's name, as filters and replies use it.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
    /// Whether an item may have no value.
    pub nullable: bool,
}

/// The value of one attribute of one item.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    /// The item has no value; not the same as empty [`AttributeValue::Tags`].
    Null,
    /// Of a [`ColumnKind::Bool`] column.
    Bool(bool),
    /// Of a [`ColumnKind::I64`] column.
    I64(i64),
    /// Of a [`ColumnKind::F64`] column.
    F64(f64),
    /// Of a [`ColumnKind::Timestamp`] column: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Of a [`ColumnKind::Category`] column.
    Text(&'a str),
    /// Of a [`ColumnKind::Tags`] column; read back sorted by their bytes, each once.
    Tags(Vec<&'a str>),
}

impl AttributeValue<'_> {
    /// The kind of column that holds such values; `None` for null, which fits every kind.
    pub fn kind(&self) -> Option<ColumnKind> {
        match self {
            AttributeValue::Null => None,
            AttributeValue::Bool(_) => Some(ColumnKind::Bool),
            AttributeValue::I64(_) => Some(ColumnKind::I64),
            AttributeValue::F64(_) => Some(ColumnKind::F64),
            AttributeValue::Timestamp(_) => Some(ColumnKind::Timestamp),
            AttributeValue::Text(_) => Some(ColumnKind::Category),
            AttributeValue::Tags(_) => Some(ColumnKind::Tags),
        }
    }
}

/// Size of the fixed part of a column section.
const COLUMN_HEADER_BYTES: usize = 48;

/// The numbers in the fixed part; they determine where every array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    kind: ColumnKind,
    rows: u64,
    nulls: u64,
    distinct: u64,
    list_length: u64,
    text_bytes: u64,
}

/// Where each array is within the section. Arrays that a kind does not have are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Places {
    present: Range<usize>,
    list_offsets: Range<usize>,
    values: Range<usize>,
    text_offsets: Range<usize>,
    text: Range<usize>,
}

impl Counts {
    fn code_width(&self) -> usize {
        width(self.distinct.saturating_sub(1))
    }

    fn list_offset_width(&self) -> usize {
        width(self.list_length)
    }

    fn text_offset_width(&self) -> usize {
        width(self.text_bytes)
    }

    /// Where everything is; `None` if that is beyond any memory.
    fn places(&self) -> Option<Places> {
        let mut end = COLUMN_HEADER_BYTES;
        let mut place = |count: Option<u64>, width: usize| {
            let start = end.checked_next_multiple_of(8)?;
            let bytes = usize::try_from(count?).ok()?.checked_mul(width)?;
            end = start.checked_add(bytes)?;
            Some(start..end)
        };
        let only = |wanted: bool, count: Option<u64>| if wanted { count } else { Some(0) };
        let tags = self.kind == ColumnKind::Tags;
        let bit_words = Some(self.rows.div_ceil(64));

        let present = place(only(self.nulls > 0, bit_words), 8)?;
        let list_offsets = place(only(tags, self.rows.checked_add(1)), self.list_offset_width())?;
        let values = match self.kind {
            ColumnKind::Bool => place(bit_words, 8)?,
            ColumnKind::I64 | ColumnKind::F64 | ColumnKind::Timestamp => place(Some(self.rows), 8)?,
            ColumnKind::Category => place(Some(self.rows), self.code_width())?,
            ColumnKind::Tags => place(Some(self.list_length), self.code_width())?,
        };
        let dictionary = self.kind.has_dictionary();
        let text_offsets =
            place(only(dictionary, self.distinct.checked_add(1)), self.text_offset_width())?;
        let text = place(only(dictionary, Some(self.text_bytes)), 1)?;
        Some(Places { present, list_offsets, values, text_offsets, text })
    }
}

/// Bytes that an unsigned integer array takes per value to hold `largest`.
fn width(largest: u64) -> usize {
    match largest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}
