//! The section table: what is where in a segment file.
//!
//! The layout is canonical. Sections lie in table order, the first right after the header, each at
//! the first multiple of [`ALIGNMENT`] after the one before, the table after the
//! last, and the checksums of each section's blocks follow those of the section before. Offsets
//! and first blocks are therefore redundant, and every one is checked.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

use super::{ALIGNMENT, BLOCK_BYTES, align_up};
use crate::error::Corruption;

/// Size of one table entry in bytes.
pub const ENTRY_BYTES: usize = size_of::<SectionEntry>();

/// Size of one block checksum in bytes.
pub const CHECKSUM_BYTES: usize = size_of::<u64>();

/// What a section holds. The codes on disk are stable; a reader ignores codes it does not know,
/// and a writer that adds a section which must not be ignored raises the header's oldest reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SectionKind {
    /// Schema, build parameters and statistics.
    Meta = 1,
    /// Where searches come in for queries of a kind that was learned from.
    EntryPoints = 2,
    /// Base-layer neighbors, `[n, max_degree] u32`.
    Graph = 3,
    /// The upper HNSW layers.
    Levels = 4,
    /// Edges of nodes that have more than their list has slots for.
    Overflow = 5,
    /// Vectors as stored, `[n, dim]` row-major.
    Vectors = 6,
    /// One `f32` scale a vector.
    VectorScales = 7,
    /// The caller's ids in stored order, `u64[n]`.
    ItemIds = 8,
    /// Nodes sorted by item id, `u32[n]`.
    IdLookup = 9,
    /// One attribute column; the entry's index is its place in the schema.
    Column = 10,
    /// Code rows, `[n, stride]`.
    Codes = 11,
    /// Scale and half square of each code row, `f32[n, 2]`.
    CodeTerms = 13,
    /// What effort reaches which recall.
    Calibration = 14,
    /// What is subtracted from every vector before it is coded, `f32[dim]`.
    CodeCenter = 12,
    /// The nodes of each text of an attribute column; indexed like it.
    Postings = 15,
    /// The nodes of an attribute column by value; indexed like it.
    Sorted = 16,
    /// What was learned from queries, and what that brought.
    Repair = 17,
    /// The embedding space: the model that the vectors are of.
    Space = 18,
}

impl SectionKind {
    /// Every kind, by code.
    pub const ALL: [SectionKind; 18] = [
        SectionKind::Meta,
        SectionKind::EntryPoints,
        SectionKind::Graph,
        SectionKind::Levels,
        SectionKind::Overflow,
        SectionKind::Vectors,
        SectionKind::VectorScales,
        SectionKind::ItemIds,
        SectionKind::IdLookup,
        SectionKind::Column,
        SectionKind::Codes,
        SectionKind::CodeCenter,
        SectionKind::CodeTerms,
        SectionKind::Calibration,
        SectionKind::Postings,
        SectionKind::Sorted,
        SectionKind::Repair,
        SectionKind::Space,
    ];

    /// The code on disk.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The kind with this code, if this build knows it.
    pub fn from_code(code: u32) -> Option<SectionKind> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The name used in messages, `inspect` and `docs/format.md`.
    pub const fn name(self) -> &'static str {
        match self {
            SectionKind::Meta => "meta",
            SectionKind::EntryPoints => "entry points",
            SectionKind::Graph => "graph",
            SectionKind::Levels => "levels",
            SectionKind::Overflow => "overflow",
            SectionKind::Vectors => "vectors",
            SectionKind::VectorScales => "vector scales",
            SectionKind::ItemIds => "item ids",
            SectionKind::IdLookup => "id lookup",
            SectionKind::Column => "column",
            SectionKind::Codes => "codes",
            SectionKind::CodeCenter => "code center",
            SectionKind::CodeTerms => "code terms",
            SectionKind::Calibration => "calibration",
            SectionKind::Postings => "postings",
            SectionKind::Sorted => "sorted",
            SectionKind::Repair => "repair",
            SectionKind::Space => "space",
        }
    }
}

/// One entry of the section table, byte for byte as on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SectionEntry {
    /// [`SectionKind`] as its code.
    pub code: u32,
    /// Tells sections of one kind apart; 0 where there is only one.
    pub index: u32,
    /// Byte offset from the start of the file.
    pub offset: u64,
    /// Length in bytes, without padding.
    pub length: u64,
    /// Place of the first block's checksum among all block checksums.
    pub first_block: u64,
}

impl SectionEntry {
    /// The kind, if this build knows it.
    pub fn kind(&self) -> Option<SectionKind> {
        SectionKind::from_code(self.code)
    }

    /// Number of blocks that the section is checksummed in.
    pub fn blocks(&self) -> u64 {
        self.length.div_ceil(BLOCK_BYTES as u64)
    }
}

impl fmt::Display for SectionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Some(kind @ (SectionKind::Column | SectionKind::Postings | SectionKind::Sorted)) => {
                write!(f, "section \"{} {}\"", kind.name(), self.index)
            }
            Some(kind) if self.index == 0 => write!(f, "section \"{}\"", kind.name()),
            Some(kind) => write!(f, "section \"{} {}\"", kind.name(), self.index),
            None => write!(f, "section of unknown kind {} ({})", self.code, self.index),
        }
    }
}

/// Checks that `entries` is a canonical layout for a table at `table_offset` of a file of
/// `file_length` bytes.
pub(super) fn check_table(
    table_offset: u64,
    file_length: u64,
    entries: &[SectionEntry],
    path: &Path,
) -> Result<(), Corruption> {
    let damage = |row: usize, at: usize, expected: String, found: u64| Corruption {
        path: path.to_owned(),
        section: "section table".to_owned(),
        offset: table_offset + (row * ENTRY_BYTES + at) as u64,
        expected,
        found: found.to_string(),
    };

    let (mut next_offset, mut next_block) = (ALIGNMENT, 0u64);
    let mut seen = HashSet::with_capacity(entries.len());
    for (row, entry) in entries.iter().enumerate() {
        if !seen.insert((entry.code, entry.index)) {
            let expected = format!("{entry} only once");
            return Err(damage(row, 4, expected, u64::from(entry.index)));
        }
        if entry.offset != next_offset {
            let expected = format!("offset {next_offset} of {entry}");
            return Err(damage(row, 8, expected, entry.offset));
        }
        // The offset is within the file here: the first is, and each next one was checked below.
        let room = table_offset - entry.offset;
        let end = entry.offset.checked_add(entry.length).and_then(align_up);
        next_offset = match end {
            Some(end) if end <= table_offset => end,
            _ => {
                let expected = format!("a length of {entry} of at most {room}");
                return Err(damage(row, 16, expected, entry.length));
            }
        };
        if entry.first_block != next_block {
            let expected = format!("first block {next_block} of {entry}");
            return Err(damage(row, 24, expected, entry.first_block));
        }
        next_block += entry.blocks();
    }

    let rows = entries.len();
    if next_offset != table_offset {
        let expected = format!("sections up to the table at {table_offset}");
        return Err(damage(rows, 0, expected, next_offset));
    }
    let checksums = file_length - table_offset - (rows * ENTRY_BYTES) as u64;
    if next_block != checksums / CHECKSUM_BYTES as u64 {
        let expected = format!("{next_block} block checksums");
        return Err(damage(rows, 0, expected, checksums / CHECKSUM_BYTES as u64));
    }
    Ok(())
}
