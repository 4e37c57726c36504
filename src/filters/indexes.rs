//! What makes a column fast to filter by: one more section beside it.
//!
//! | column | section |
//! |---|---|
//! | tags; category of at least [`ROWS_PER_TEXT`] rows a text | postings: the nodes of each text |
//! | i64, f64, timestamp; category of fewer rows a text | sorted: the nodes by value |
//! | bool | none: the column's own bits |
//!
//! Postings, little-endian:
//!
//! ```text
//!  0  rows u64      8  distinct u64
//! 16  offsets       u64[distinct + 1], from the start of the section; the last one is its length
//!     sets          for each code its nodes, in the roaring portable layout, one after the other
//! ```
//!
//! Sorted, little-endian:
//!
//! ```text
//!  0  rows u64      8  values u64: rows that have one     16  steps u64: 0 or 15
//! 24  nodes         u32[values], by value and then by node; of categories, by code
//!     (zero bytes up to a multiple of 8)
//!     bits          steps times, for s = 1, 2, …: one bit a row, set for the first
//!                   values · s / 16 nodes (rounded down)
//! ```
//!
//! A range of values is a range of ranks: the bits of the step nearest to its end, without those of
//! the step nearest to its start, and at each end a few nodes more or less, at most a 32nd of all.
//! −0 and 0 are one value.

mod postings;
mod sorted;

use super::columns::{ColumnDamage, ColumnKind, ColumnView};
use crate::error::Corruption;
use crate::format::{SectionKind, SegmentFile};

pub use postings::{Postings, PostingsLayout};
pub use sorted::{Sorted, SortedLayout};

/// A category column with fewer rows than this for each of its texts, in the mean, is sorted. A set
/// of so few nodes is mostly heads of containers, which take 8 bytes beside 2 for each node, while
/// the sorted nodes take 4 bytes each.
pub const ROWS_PER_TEXT: u64 = 64;

/// The index of one column.
#[derive(Clone, Copy, Debug)]
pub enum ColumnIndex<'a> {
    /// The nodes of each text.
    Postings(Postings<'a>),
    /// The nodes by value.
    Sorted(Sorted<'a>),
}

/// Where things are in an index that was validated. Like
/// [`ColumnLayout`](super::columns::ColumnLayout) it borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexLayout {
    /// Of [`ColumnIndex::Postings`].
    Postings(PostingsLayout),
    /// Of [`ColumnIndex::Sorted`].
    Sorted(SortedLayout),
}

impl IndexLayout {
    /// The section that it is about.
    pub fn section(&self) -> SectionKind {
        match self {
            Self::Postings(_) => SectionKind::Postings,
            Self::Sorted(_) => SectionKind::Sorted,
        }
    }

    /// The index again. `bytes` are those that were validated; of others it finds anything.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> ColumnIndex<'a> {
        match *self {
            Self::Postings(layout) => ColumnIndex::Postings(Postings::view(layout, bytes)),
            Self::Sorted(layout) => ColumnIndex::Sorted(Sorted::view(layout, bytes)),
        }
    }
}

impl<'a> ColumnIndex<'a> {
    /// Validates the index of column `index` of a segment file, if it has one that fits the column.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn open(
        file: &'a SegmentFile,
        index: u32,
        column: &ColumnView<'_>,
    ) -> Result<Option<Self>, Corruption> {
        for kind in sections(column.kind()) {
            if let Some(bytes) = file.section(*kind, index) {
                return Self::parse(*kind, bytes, column).map(Some).map_err(|damage| {
                    let ColumnDamage { offset, expected, found } = damage;
                    file.corruption(*kind, index, offset, expected, found)
                });
            }
        }
        Ok(None)
    }

    /// Validates the bytes of an index of `column`.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn parse(
        kind: SectionKind,
        bytes: &'a [u8],
        column: &ColumnView<'_>,
    ) -> Result<Self, ColumnDamage> {
        match kind {
            SectionKind::Postings => Ok(Self::Postings(Postings::parse(bytes, column)?)),
            _ => Ok(Self::Sorted(Sorted::parse(bytes, column)?)),
        }
    }

    /// What to keep in order to skip validation next time.
    pub fn layout(&self) -> IndexLayout {
        match self {
            Self::Postings(postings) => IndexLayout::Postings(postings.layout()),
            Self::Sorted(sorted) => IndexLayout::Sorted(sorted.layout()),
        }
    }

    /// Holds what validation does not look at against the column's values.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, column: &ColumnView<'_>) -> Result<(), ColumnDamage> {
        match self {
            Self::Postings(postings) => postings.compare(column),
            Self::Sorted(_) => Ok(()),
        }
    }
}

/// The sections in which an index of a column can be, the one that is better first.
fn sections(kind: ColumnKind) -> &'static [SectionKind] {
    match kind {
        ColumnKind::Bool => &[],
        ColumnKind::I64 | ColumnKind::F64 | ColumnKind::Timestamp => &[SectionKind::Sorted],
        ColumnKind::Category => &[SectionKind::Postings, SectionKind::Sorted],
        ColumnKind::Tags => &[SectionKind::Postings],
    }
}

/// Which index a column gets, if any.
pub fn wanted(column: &ColumnView<'_>) -> Option<SectionKind> {
    let few = column.distinct().saturating_mul(ROWS_PER_TEXT) > column.rows();
    match (column.kind(), few) {
        (ColumnKind::Bool, _) => None,
        (ColumnKind::Tags, _) | (ColumnKind::Category, false) => Some(SectionKind::Postings),
        _ => Some(SectionKind::Sorted),
    }
}

/// The bytes of the index that a column gets, if any: the same for equal columns.
pub fn build(column: &ColumnView<'_>) -> Option<(SectionKind, Vec<u8>)> {
    let kind = wanted(column)?;
    let bytes = match kind {
        SectionKind::Postings => postings::build(column),
        _ => sorted::build(column),
    };
    Some((kind, bytes))
}

/// Memory that [`build`] takes beside the bytes that it makes.
pub fn working_bytes(column: &ColumnView<'_>) -> u64 {
    match wanted(column) {
        None => 0,
        Some(SectionKind::Postings) => postings::working_bytes(column),
        Some(_) => sorted::working_bytes(column),
    }
}
