//! Opens segment files and hands out their sections in place.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use bytemuck::AnyBitPattern;

use super::error::OpenError;
use super::header::{Geometry, Header};
use super::mapping::{LoadMode, Mapping};
use super::section::{ENTRY_BYTES, SectionEntry, SectionKind, check_table};
use super::{BLOCK_BYTES, HEADER_BYTES, checksum};
use crate::error::{Corruption, FileError};

/// An open segment file whose header, section table and block checksums hold.
#[derive(Debug)]
pub struct SegmentFile {
    path: PathBuf,
    bytes: Mapping,
    header: Header,
    header_checksum: u64,
    entries: Vec<SectionEntry>,
}

impl SegmentFile {
    /// Opens the file at `path`. The header is read and checked before anything is mapped or
    /// copied, so that a wrong file costs one page.
    ///
    /// Cost: one read, one mapping, a checksum over the table and eight bytes a MiB.
    ///
    /// # Errors
    /// See [`OpenError`]. Any changed byte of header, table or block checksums, and any other
    /// length of the file, is [`OpenError::Corrupt`] (or, in the magic, `NotASegment`).
    pub fn open(path: &Path, mode: LoadMode) -> Result<SegmentFile, OpenError> {
        let mut file = File::open(path).map_err(FileError::at("open", path))?;
        let metadata = file.metadata().map_err(FileError::at("read metadata of", path))?;
        let length = metadata.len();
        if length < HEADER_BYTES as u64 {
            let found = format!("{length} bytes");
            return Err(whole_file(path, format!("at least {HEADER_BYTES} bytes"), found).into());
        }
        let mut first = [0u8; HEADER_BYTES];
        file.read_exact(&mut first).map_err(FileError::at("read", path))?;
        let (header, header_checksum) = Header::decode(&first, length, path)?;

        file.rewind().map_err(FileError::at("read", path))?;
        let bytes = Mapping::of_file(&mut file, length, path, mode)?;
        let entries = read_table(&header, &bytes, path)?;
        Ok(SegmentFile { path: path.to_owned(), bytes, header, header_checksum, entries })
    }

    /// Where the file is, or was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's checksum, which stands for every byte of the file.
    pub fn header_checksum(&self) -> u64 {
        self.header_checksum
    }

    /// What the header says about the vectors.
    pub fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// Length of the file in bytes.
    pub fn length(&self) -> u64 {
        self.header.file_length
    }

    /// The section table, in file order.
    pub fn sections(&self) -> &[SectionEntry] {
        &self.entries
    }

    /// The bytes of a section, if the file has it; they start at a multiple of 4096 bytes.
    pub fn section(&self, kind: SectionKind, index: u32) -> Option<&[u8]> {
        self.entry(kind, index).map(|entry| self.bytes_of(entry))
    }

    /// A section as `count` values of type `T`.
    ///
    /// # Errors
    /// A missing section, or one of another length.
    pub fn section_as<T: AnyBitPattern>(
        &self,
        kind: SectionKind,
        index: u32,
        count: usize,
    ) -> Result<&[T], Corruption> {
        let Some(bytes) = self.section(kind, index) else {
            return Err(self.missing(kind, index));
        };
        let fits = count.checked_mul(size_of::<T>()) == Some(bytes.len());
        match bytemuck::try_cast_slice(bytes) {
            Ok(values) if fits => Ok(values),
            _ => {
                let expected = format!("{count} values of {} bytes", size_of::<T>());
                let found = format!("a section of {} bytes", bytes.len());
                Err(self.corruption(kind, index, 0, expected, found))
            }
        }
    }

    /// A [`Corruption`] `at` bytes into a section, for those who know what the section means.
    pub fn corruption(
        &self,
        kind: SectionKind,
        index: u32,
        at: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Corruption {
        let entry = self.entry(kind, index).copied().unwrap_or(SectionEntry {
            code: kind.code(),
            index,
            offset: self.header.table_offset,
            length: 0,
            first_block: 0,
        });
        Corruption {
            path: self.path.clone(),
            section: entry.to_string(),
            offset: entry.offset.saturating_add(at),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The [`Corruption`] for a section that must be there and is not.
    pub fn missing(&self, kind: SectionKind, index: u32) -> Corruption {
        self.corruption(kind, index, 0, "this section", "no entry for it in the section table")
    }

    /// Reads the whole file and returns everything that is not as written: blocks that do not
    /// match their checksum, and padding that is not zero. `progress` is called with the number of
    /// bytes read since the last call; they add up to [`SegmentFile::length`].
    ///
    /// Cost: one pass at memory or disk speed on the calling thread.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Vec<Corruption> {
        let mut found = Vec::new();
        progress(HEADER_BYTES as u64);
        for (row, entry) in self.entries.iter().enumerate() {
            self.verify_blocks(entry, progress, &mut found);
            let next = self.entries.get(row + 1).map(|next| next.offset);
            let end = next.unwrap_or(self.header.table_offset);
            self.verify_padding(entry, end, progress, &mut found);
        }
        progress(self.header.file_length - self.header.table_offset);
        found
    }

    fn verify_blocks(
        &self,
        entry: &SectionEntry,
        progress: &mut dyn FnMut(u64),
        found: &mut Vec<Corruption>,
    ) {
        for (block, damage) in self.checked_blocks(entry) {
            found.extend(damage);
            progress(block.len() as u64);
        }
    }

    /// Holds a section against its checksums: the first damage in it.
    pub fn damage(&self, entry: &SectionEntry) -> Option<Corruption> {
        self.checked_blocks(entry).find_map(|(_, damage)| damage)
    }

    /// The blocks of a section, each with what its checksum says against it.
    pub(super) fn checked_blocks<'a>(
        &'a self,
        entry: &'a SectionEntry,
    ) -> impl Iterator<Item = (&'a [u8], Option<Corruption>)> {
        let stored = self.block_checksums(entry);
        self.bytes_of(entry).chunks(BLOCK_BYTES).enumerate().map(move |(number, block)| {
            let computed = checksum(block);
            if stored.get(number) == Some(&computed) {
                return (block, None);
            }
            let stored = stored.get(number).copied().unwrap_or_default();
            let damage = Corruption {
                path: self.path.clone(),
                section: entry.to_string(),
                offset: entry.offset + (number * BLOCK_BYTES) as u64,
                expected: format!("checksum {stored:016x} over {} bytes", block.len()),
                found: format!("{computed:016x}"),
            };
            (block, Some(damage))
        })
    }

    fn verify_padding(
        &self,
        entry: &SectionEntry,
        end: u64,
        progress: &mut dyn FnMut(u64),
        found: &mut Vec<Corruption>,
    ) {
        let start = entry.offset + entry.length;
        let padding = &self.bytes[start as usize..end as usize];
        if let Some(at) = padding.iter().position(|&byte| byte != 0) {
            found.push(Corruption {
                path: self.path.clone(),
                section: format!("padding after {entry}"),
                offset: start + at as u64,
                expected: "zero".to_owned(),
                found: padding[at].to_string(),
            });
        }
        progress(end - start);
    }

    fn entry(&self, kind: SectionKind, index: u32) -> Option<&SectionEntry> {
        self.entries.iter().find(|entry| entry.code == kind.code() && entry.index == index)
    }

    fn bytes_of(&self, entry: &SectionEntry) -> &[u8] {
        &self.bytes[entry.offset as usize..(entry.offset + entry.length) as usize]
    }

    fn block_checksums(&self, entry: &SectionEntry) -> &[u64] {
        let table = &self.bytes[self.header.table_offset as usize..];
        let all: &[u64] = bytemuck::cast_slice(&table[self.entries.len() * ENTRY_BYTES..]);
        &all[entry.first_block as usize..(entry.first_block + entry.blocks()) as usize]
    }
}

/// Checks digest and layout of the table; `header` was checked against the file's length.
fn read_table(header: &Header, bytes: &[u8], path: &Path) -> Result<Vec<SectionEntry>, Corruption> {
    let table = &bytes[header.table_offset as usize..];
    let computed = checksum(table);
    if computed != header.table_digest {
        return Err(Corruption {
            path: path.to_owned(),
            section: "section table and block checksums".to_owned(),
            offset: header.table_offset,
            expected: format!("checksum {:016x} over {} bytes", header.table_digest, table.len()),
            found: format!("{computed:016x}"),
        });
    }
    let rows = &table[..header.section_count as usize * ENTRY_BYTES];
    let entries: Vec<SectionEntry> = bytemuck::cast_slice(rows).to_vec();
    check_table(header.table_offset, header.file_length, &entries, path)?;
    Ok(entries)
}

fn whole_file(path: &Path, expected: String, found: String) -> Corruption {
    Corruption { path: path.to_owned(), section: "file".to_owned(), offset: 0, expected, found }
}
