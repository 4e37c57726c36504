//! Bytes on disk: the segment file, how it is written, mapped, checked and read.
//!
//! | file | what |
//! |---|---|
//! | `error.rs` | [`OpenError`]: why a segment file cannot be opened |
//! | `header.rs` | the fixed header: fields, their offsets, its checksum |
//! | `section.rs` | section kinds, table entries, the rules for where sections lie |
//! | `layer.rs` | [`FileLayer`]: every change that publishing makes to a file system |
//! | `writer.rs` | [`SegmentWriter`]: streams sections into a new file |
//! | `mapping.rs` | [`Mapping`]: a file in memory; the only `unsafe` here; the SIGBUS story |
//! | `reader.rs` | [`SegmentFile`]: open, typed sections, `verify` |
//! | `roaring.rs` | [`Roaring`](roaring::Roaring): a set of nodes in the roaring portable layout, read in place |
//!
//! A segment file, little-endian throughout (`docs/format.md` says the same for someone who wants
//! to write a parser; `tests/format_document.rs` compares the two):
//!
//! ```text
//!       0  +----------------------------------------------+
//!          | header, 4096 bytes                           |
//!    4096  +----------------------------------------------+
//!          | first section                                |
//!          | zero bytes up to a multiple of 4096          |
//!          +----------------------------------------------+
//!          | next section, and so on                      |
//!          | zero bytes up to a multiple of 4096          |
//! table -> +----------------------------------------------+
//!          | section table: one 32-byte entry a section   |
//!          +----------------------------------------------+
//!          | block checksums: one u64 for every (started) |
//!          | MiB of every section, in table order         |
//!          +----------------------------------------------+ <- file length
//!
//! header   0  magic[8]      8  format u32       12  oldest reader u32
//!         16  checksum u64 24  file length u64  32  n u64
//!         40  dim u32      44  metric u32       48  element type u32
//!         52  zero u32     56  seed u64         64  table offset u64
//!         72  sections u64 80  table digest u64 88  zero up to 4096
//!
//! entry    0  kind u32      4  index u32         8  offset u64
//!         16  length u64   24  first block u64
//! ```
//!
//! The checksums form a tree: each block checksum covers one block of a section, the table digest
//! covers the table and all block checksums, the header checksum covers the header with that
//! digest in it. Eight bytes in `MANIFEST.json` therefore pin a file of any size. All of them are
//! XXH3-64 with seed 0: they find damage, they do not authenticate.
//!
//! `open` checks everything but the blocks and the padding, which `verify` reads. Meaning (ids in
//! range, offsets that rise) is for the owners of the structures to validate.

pub mod error;
pub mod header;
pub mod layer;
pub mod mapping;
pub mod reader;
pub mod roaring;
pub mod section;
pub mod writer;

pub use error::OpenError;
pub use header::{Geometry, Header};
pub use layer::{Disk, FileLayer, LayerFile};
pub use mapping::{Access, LoadMode, Mapping};
pub use reader::SegmentFile;
pub use section::{SectionEntry, SectionKind};
pub use writer::{SectionWriter, SegmentDigest, SegmentWriter};

#[cfg(not(target_endian = "little"))]
compile_error!("segment files are little-endian and are read in place");

/// The format this build writes, and the newest that it knows.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest format that this build reads.
pub const OLDEST_READABLE: u32 = 1;

/// Size of the header in bytes.
pub const HEADER_BYTES: usize = 4096;

/// Sections and the section table start at multiples of this many bytes.
pub const ALIGNMENT: u64 = 4096;

/// A section's bytes are checksummed in blocks of this size; the last one may be shorter.
pub const BLOCK_BYTES: usize = 1 << 20;

/// The one checksum of the format: XXH3-64, seed 0.
#[inline]
pub fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The next multiple of [`ALIGNMENT`], or `None` past the end of `u64`.
pub(crate) fn align_up(offset: u64) -> Option<u64> {
    offset.checked_next_multiple_of(ALIGNMENT)
}
