//! The fixed header of a segment file.
//!
//! Each offset below is computed from the one before, so the layout cannot drift from the code.
//! The magic, both versions and the place and algorithm of the checksum stay the same in every
//! future format, so that any build can tell a newer file from a damaged one.

use std::path::Path;

use super::error::OpenError;
use super::section::{CHECKSUM_BYTES, ENTRY_BYTES};
use super::{ALIGNMENT, FORMAT_VERSION, HEADER_BYTES, OLDEST_READABLE, checksum};
use crate::error::Corruption;
use crate::types::{ElementType, Metric};

/// The first bytes of every segment file. Like PNG's, it does not survive a transfer that strips
/// the eighth bit or translates line ends.
pub const MAGIC: [u8; 8] = *b"\x89VCG\r\n\x1a\n";

/// The most dimensions that a vector may have.
pub const MAX_DIM: u32 = 1 << 16;

/// The most items that one segment may hold: a node is a `u32`.
pub const MAX_N: u64 = u32::MAX as u64;

/// Offset of [`MAGIC`].
pub const MAGIC_AT: usize = 0;
/// Offset of the format version, `u32`.
pub const FORMAT_AT: usize = MAGIC_AT + 8;
/// Offset of the oldest format version whose readers understand the file, `u32`.
pub const OLDEST_READER_AT: usize = FORMAT_AT + 4;
/// Offset of the header's checksum, `u64`: over all its bytes, these eight taken as zero.
pub const CHECKSUM_AT: usize = OLDEST_READER_AT + 4;
/// Offset of the file's length in bytes, `u64`.
pub const FILE_LENGTH_AT: usize = CHECKSUM_AT + 8;
/// Offset of the number of items, `u64`.
pub const N_AT: usize = FILE_LENGTH_AT + 8;
/// Offset of the number of dimensions, `u32`.
pub const DIM_AT: usize = N_AT + 8;
/// Offset of the metric's code, `u32`.
pub const METRIC_AT: usize = DIM_AT + 4;
/// Offset of the element type's code, `u32`.
pub const ELEMENT_AT: usize = METRIC_AT + 4;
/// Offset of the seed that the build drew from, `u64`, after four zero bytes.
pub const SEED_AT: usize = ELEMENT_AT + 4 + 4;
/// Offset of the section table's offset, `u64`.
pub const TABLE_OFFSET_AT: usize = SEED_AT + 8;
/// Offset of the number of sections, `u64`.
pub const SECTION_COUNT_AT: usize = TABLE_OFFSET_AT + 8;
/// Offset of the checksum over section table and block checksums, `u64`.
pub const TABLE_DIGEST_AT: usize = SECTION_COUNT_AT + 8;
/// Offset of the first unused byte; from here to the end of the header all are zero.
pub const UNUSED_AT: usize = TABLE_DIGEST_AT + 8;

/// What a header says about the vectors of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of items, at most [`MAX_N`].
    pub n: u64,
    /// Dimensions of a vector, `1..=`[`MAX_DIM`].
    pub dim: u32,
    /// How closeness is measured.
    pub metric: Metric,
    /// Type of one vector component as stored.
    pub element: ElementType,
    /// The seed that the build drew from.
    pub seed: u64,
}

/// A header whose checksum and geometry hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format that the file was written in.
    pub format: u32,
    /// The oldest format whose readers understand the file.
    pub oldest_reader: u32,
    /// What the segment holds.
    pub geometry: Geometry,
    /// Length of the file in bytes.
    pub file_length: u64,
    /// Where the section table starts.
    pub table_offset: u64,
    /// Number of entries in the section table.
    pub section_count: u64,
    /// Checksum over the section table and the block checksums.
    pub table_digest: u64,
}

/// The code of a metric on disk: its place in [`Metric::ALL`].
pub fn metric_code(metric: Metric) -> u32 {
    match metric {
        Metric::L2 => 0,
        Metric::Ip => 1,
        Metric::Cosine => 2,
    }
}

/// The code of an element type on disk: its place in [`ElementType::ALL`].
pub fn element_code(element: ElementType) -> u32 {
    match element {
        ElementType::F32 => 0,
        ElementType::F16 => 1,
        ElementType::Bf16 => 2,
        ElementType::I8 => 3,
        ElementType::U8 => 4,
    }
}

impl Header {
    /// The bytes of the header, checksum included, and that checksum.
    pub fn encode(&self) -> ([u8; HEADER_BYTES], u64) {
        let mut bytes = [0u8; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(MAGIC_AT, &MAGIC);
        put(FORMAT_AT, &self.format.to_le_bytes());
        put(OLDEST_READER_AT, &self.oldest_reader.to_le_bytes());
        put(FILE_LENGTH_AT, &self.file_length.to_le_bytes());
        put(N_AT, &self.geometry.n.to_le_bytes());
        put(DIM_AT, &self.geometry.dim.to_le_bytes());
        put(METRIC_AT, &metric_code(self.geometry.metric).to_le_bytes());
        put(ELEMENT_AT, &element_code(self.geometry.element).to_le_bytes());
        put(SEED_AT, &self.geometry.seed.to_le_bytes());
        put(TABLE_OFFSET_AT, &self.table_offset.to_le_bytes());
        put(SECTION_COUNT_AT, &self.section_count.to_le_bytes());
        put(TABLE_DIGEST_AT, &self.table_digest.to_le_bytes());
        let sum = header_checksum(&bytes);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 8].copy_from_slice(&sum.to_le_bytes());
        (bytes, sum)
    }

    /// Reads and checks a header; returns it with its checksum. `file_length` is what the system
    /// says, `path` goes into errors.
    ///
    /// The order matters: first whether this is a segment file at all, then whether the header is
    /// whole, then whether this build understands it, and only then what it says; and sizes are
    /// held against limits before anything is computed from them.
    ///
    /// # Errors
    /// [`OpenError::NotASegment`], [`OpenError::TooNew`], [`OpenError::TooOld`], or
    /// [`OpenError::Corrupt`].
    pub fn decode(
        bytes: &[u8; HEADER_BYTES],
        file_length: u64,
        path: &Path,
    ) -> Result<(Header, u64), OpenError> {
        let magic = field::<8>(bytes, MAGIC_AT);
        if magic != MAGIC {
            return Err(OpenError::NotASegment { path: path.to_owned(), found: magic });
        }
        let damage = |at: usize, expected: String, found: String| {
            OpenError::Corrupt(Corruption {
                path: path.to_owned(),
                section: "header".to_owned(),
                offset: at as u64,
                expected,
                found,
            })
        };

        let (stored, computed) = (u64_at(bytes, CHECKSUM_AT), header_checksum(bytes));
        if stored != computed {
            let [expected, found] = [stored, computed].map(|sum| format!("checksum {sum:016x}"));
            return Err(damage(CHECKSUM_AT, expected, found));
        }

        let (format, oldest_reader) = (u32_at(bytes, FORMAT_AT), u32_at(bytes, OLDEST_READER_AT));
        if oldest_reader > FORMAT_VERSION {
            let path = path.to_owned();
            return Err(OpenError::TooNew { path, written: format, oldest_reader });
        }
        if format < OLDEST_READABLE {
            return Err(OpenError::TooOld { path: path.to_owned(), written: format });
        }

        let header = Header {
            format,
            oldest_reader,
            geometry: decode_geometry(bytes, &damage)?,
            file_length: u64_at(bytes, FILE_LENGTH_AT),
            table_offset: u64_at(bytes, TABLE_OFFSET_AT),
            section_count: u64_at(bytes, SECTION_COUNT_AT),
            table_digest: u64_at(bytes, TABLE_DIGEST_AT),
        };
        header.check_places(file_length, &damage)?;
        Ok((header, stored))
    }

    /// Holds the places that the header gives against the length of the file.
    fn check_places(&self, file_length: u64, damage: &Damage<'_>) -> Result<(), OpenError> {
        if self.file_length != file_length {
            let expected = format!("a file of {} bytes", self.file_length);
            return Err(damage(FILE_LENGTH_AT, expected, format!("{file_length} bytes")));
        }
        let table = self.table_offset;
        if !table.is_multiple_of(ALIGNMENT) || table < ALIGNMENT || table > file_length {
            let expected = format!("a multiple of {ALIGNMENT} within the file");
            return Err(damage(TABLE_OFFSET_AT, expected, table.to_string()));
        }
        let room = file_length - table;
        if self.section_count > room / ENTRY_BYTES as u64
            || !room.is_multiple_of(CHECKSUM_BYTES as u64)
        {
            let expected = format!("a section table and checksums that fill {room} bytes");
            let found = format!("{} sections", self.section_count);
            return Err(damage(SECTION_COUNT_AT, expected, found));
        }
        Ok(())
    }
}

/// Makes an error of a field's offset, what is expected there and what was found.
type Damage<'a> = dyn Fn(usize, String, String) -> OpenError + 'a;

fn decode_geometry(bytes: &[u8; HEADER_BYTES], damage: &Damage<'_>) -> Result<Geometry, OpenError> {
    let (n, dim) = (u64_at(bytes, N_AT), u32_at(bytes, DIM_AT));
    if n > MAX_N {
        return Err(damage(N_AT, format!("at most {MAX_N} items"), n.to_string()));
    }
    if dim == 0 || dim > MAX_DIM {
        return Err(damage(DIM_AT, format!("1 to {MAX_DIM} dimensions"), dim.to_string()));
    }
    let code = u32_at(bytes, METRIC_AT);
    let metric = Metric::ALL
        .into_iter()
        .find(|&metric| metric_code(metric) == code)
        .ok_or_else(|| damage(METRIC_AT, "a metric's code, 0 to 2".to_owned(), code.to_string()))?;
    let code = u32_at(bytes, ELEMENT_AT);
    let element =
        ElementType::ALL.into_iter().find(|&element| element_code(element) == code).ok_or_else(
            || damage(ELEMENT_AT, "an element type's code, 0 to 4".to_owned(), code.to_string()),
        )?;
    Ok(Geometry { n, dim, metric, element, seed: u64_at(bytes, SEED_AT) })
}

fn header_checksum(bytes: &[u8; HEADER_BYTES]) -> u64 {
    let mut without = *bytes;
    without[CHECKSUM_AT..CHECKSUM_AT + 8].fill(0);
    checksum(&without)
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}
