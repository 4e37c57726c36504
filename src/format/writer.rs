//! Writes a segment file, one section after another, in constant memory: a block, a piece and eight bytes
//! for every MiB written.
//!
//! What is written goes to the file in pieces of the size of a huge page, at multiples of it: Linux then
//! holds it in huge pages, where the file system knows such, and a mapping of the file has them too. Walks
//! over a million items are a quarter faster for that.
//!
//! The header goes in last. Until then the file starts with zeros, which no reader takes for a
//! segment.

use std::path::{Path, PathBuf};

use bytemuck::NoUninit;

use super::error::OpenError;
use super::header::{Geometry, Header};
use super::layer::{FileLayer, LayerFile};
use super::reader::SegmentFile;
use super::section::{SectionEntry, SectionKind};
use super::{ALIGNMENT, BLOCK_BYTES, FORMAT_VERSION, checksum};
use crate::error::FileError;

/// Oldest format whose readers understand what this writer writes.
const OLDEST_READER: u32 = 2;

/// Creates one segment file. Nothing may be read from it before [`SegmentWriter::finish`].
#[derive(Debug)]
pub struct SegmentWriter {
    file: Box<dyn LayerFile>,
    path: PathBuf,
    entries: Vec<SectionEntry>,
    checksums: Vec<u64>,
    /// The started block of the current section; always shorter than [`BLOCK_BYTES`] between calls.
    block: Vec<u8>,
    /// What is to be written from `piece_offset` on, a multiple of [`PIECE_BYTES`]; always shorter than that
    /// between calls.
    piece: Vec<u8>,
    piece_offset: u64,
}

/// How much is written at a time. A huge page of x86-64, and of Arm where pages have 4 KiB.
const PIECE_BYTES: usize = 2 << 20;

/// Length and root checksum of a finished segment file: together they pin every byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentDigest {
    /// Length of the file in bytes.
    pub length: u64,
    /// The header's checksum, which covers the table's, which covers the blocks'.
    pub header_checksum: u64,
}

/// Appends to the section begun last. Dropping it ends nothing; the next
/// [`SegmentWriter::begin_section`] or [`SegmentWriter::finish`] does.
#[derive(Debug)]
pub struct SectionWriter<'a>(&'a mut SegmentWriter);

impl SegmentWriter {
    /// Creates the file at `path`, where none may exist.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(layer: &dyn FileLayer, path: &Path) -> Result<SegmentWriter, FileError> {
        Ok(SegmentWriter {
            file: layer.create_file(path)?,
            path: path.to_owned(),
            entries: Vec::new(),
            checksums: Vec::new(),
            block: Vec::with_capacity(BLOCK_BYTES),
            piece: Vec::with_capacity(PIECE_BYTES),
            piece_offset: 0,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a section; `index` tells sections of one kind apart and is 0 where there is one.
    ///
    /// # Errors
    /// What the system said when the end of the section before was written.
    ///
    /// # Panics
    /// If the file already has a section of that kind and index.
    pub fn begin_section(
        &mut self,
        kind: SectionKind,
        index: u32,
    ) -> Result<SectionWriter<'_>, FileError> {
        self.begin(kind.code(), index)
    }

    /// Writes a section of another file as it is there, whatever its kind. `copied` is told the
    /// bytes as they go. Cost: one pass over the section, a block at a time.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] at the first block that does not match its checksum.
    ///
    /// # Panics
    /// As [`SegmentWriter::begin_section`].
    pub fn copy_section(
        &mut self,
        from: &SegmentFile,
        entry: &SectionEntry,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), OpenError> {
        let mut section = self.begin(entry.code, entry.index)?;
        for (block, damage) in from.checked_blocks(entry) {
            if let Some(damage) = damage {
                return Err(damage.into());
            }
            section.write(block)?;
            copied(block.len() as u64);
        }
        Ok(())
    }

    fn begin(&mut self, code: u32, index: u32) -> Result<SectionWriter<'_>, FileError> {
        self.flush_block()?;
        let taken = |entry: &SectionEntry| entry.code == code && entry.index == index;
        assert!(!self.entries.iter().any(taken), "section {code} {index} written twice");
        let entry = SectionEntry {
            code,
            index,
            offset: self.next_offset(),
            length: 0,
            first_block: self.checksums.len() as u64,
        };
        self.entries.push(entry);
        Ok(SectionWriter(self))
    }

    /// Writes table, checksums and header, makes the file read-only and durable, and closes it.
    ///
    /// # Errors
    /// What the system said; the file is then no segment and should be removed.
    pub fn finish(mut self, geometry: Geometry) -> Result<SegmentDigest, FileError> {
        self.flush_block()?;
        let table_offset = self.next_offset();
        let mut table: Vec<u8> = bytemuck::cast_slice(&self.entries).to_vec();
        table.extend_from_slice(bytemuck::cast_slice(&self.checksums));
        self.put(table_offset, &table)?;
        self.file.write_at(self.piece_offset, &self.piece)?;

        let header = Header {
            format: FORMAT_VERSION,
            oldest_reader: OLDEST_READER,
            geometry,
            file_length: table_offset + table.len() as u64,
            table_offset,
            section_count: self.entries.len() as u64,
            table_digest: checksum(&table),
        };
        let (bytes, header_checksum) = header.encode();
        self.file.write_at(0, &bytes)?;
        self.file.seal()?;
        Ok(SegmentDigest { length: header.file_length, header_checksum })
    }

    /// Where the next section, or the table, starts.
    fn next_offset(&self) -> u64 {
        match self.entries.last() {
            Some(last) => (last.offset + last.length).next_multiple_of(ALIGNMENT),
            None => ALIGNMENT,
        }
    }

    fn flush_block(&mut self) -> Result<(), FileError> {
        if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.write_block(&block)?;
            self.block = block;
            self.block.clear();
        }
        Ok(())
    }

    /// Checksums and writes one block of the section begun last.
    fn write_block(&mut self, block: &[u8]) -> Result<(), FileError> {
        if let Some(entry) = self.entries.last_mut() {
            self.checksums.push(checksum(block));
            let offset = entry.offset + entry.length;
            entry.length += block.len() as u64;
            self.put(offset, block)?;
        }
        Ok(())
    }

    /// Writes at `offset`, up to which less than [`ALIGNMENT`] may be missing: zeros, then.
    fn put(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), FileError> {
        self.piece.resize((offset - self.piece_offset) as usize, 0);
        loop {
            let (part, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(part);
            bytes = rest;
            if self.piece.len() < PIECE_BYTES {
                return Ok(());
            }
            self.file.write_at(self.piece_offset, &self.piece)?;
            self.piece_offset += PIECE_BYTES as u64;
            self.piece.clear();
        }
    }
}

impl SectionWriter<'_> {
    /// Appends bytes to the section.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), FileError> {
        let writer = &mut *self.0;
        while !bytes.is_empty() {
            // Whole blocks are taken from where they are, not gathered first.
            if writer.block.is_empty() && bytes.len() >= BLOCK_BYTES {
                let (block, rest) = bytes.split_at(BLOCK_BYTES);
                writer.write_block(block)?;
                bytes = rest;
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - writer.block.len()));
            writer.block.extend_from_slice(part);
            bytes = rest;
            if writer.block.len() == BLOCK_BYTES {
                writer.flush_block()?;
            }
        }
        Ok(())
    }

    /// Appends numbers in their byte representation.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_slice<T: NoUninit>(&mut self, values: &[T]) -> Result<(), FileError> {
        self.write(bytemuck::cast_slice(values))
    }
}
