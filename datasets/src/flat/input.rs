//! An open file, and errors about its bytes.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Position, ReadError};

/// A file that is open for reading, and its length when it was opened. `R` is a file, or what
/// unpacks a part of one.
#[derive(Debug)]
pub(crate) struct Input<R = File> {
    pub(crate) path: PathBuf,
    pub(crate) file: R,
    pub(crate) len: u64,
    /// The name of the array that this is of a file that holds several; `len` and all offsets are
    /// then those of the array.
    pub(crate) array: Option<String>,
    /// Which format the first bytes are those of, for errors: empty, or ` (this is …)`.
    pub(crate) looks_like: &'static str,
}

impl Input {
    /// Opens a file and refuses what holds no bytes.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut file = File::open(path).map_err(ReadError::io("open", path))?;
        let metadata = file.metadata().map_err(ReadError::io("read", path))?;
        if !metadata.is_file() {
            return Err(ReadError::unsuitable(path, "a file", "a directory, pipe or device"));
        }
        if metadata.len() == 0 {
            return Err(ReadError::malformed(path, Position::byte(0), "a header", "an empty file"));
        }
        let mut start = Vec::new();
        file.by_ref()
            .take(8)
            .read_to_end(&mut start)
            .and_then(|_| file.rewind())
            .map_err(ReadError::io("read", path))?;
        let looks_like = looks_like(&start);
        Ok(Self { path: path.to_owned(), file, len: metadata.len(), array: None, looks_like })
    }

    /// The same open file once more; both share one position.
    pub(crate) fn again(&self) -> Result<Self, ReadError> {
        let file = self.file.try_clone().map_err(ReadError::io("open", &self.path))?;
        let Self { path, len, array, looks_like, .. } = self;
        Ok(Self { path: path.clone(), file, len: *len, array: array.clone(), looks_like })
    }

    /// Goes to a byte of the file.
    pub(crate) fn seek(&mut self, offset: u64) -> Result<(), ReadError> {
        let moved = self.file.seek(SeekFrom::Start(offset));
        moved.map(drop).map_err(ReadError::io("read", &self.path))
    }

    /// Reads the bytes from `offset` on.
    pub(crate) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        self.seek(offset)?;
        self.fill(bytes, offset)
    }
}

impl<R: Read> Input<R> {
    /// The same, for a caller to whom it does not matter what is read.
    pub(crate) fn boxed(self) -> Input<Box<dyn Read + Send>>
    where
        R: Send + 'static,
    {
        let Self { path, file, len, array, looks_like } = self;
        Input { path, file: Box::new(file), len, array, looks_like }
    }

    /// Reads the next bytes; `offset` is where they are, for the error.
    pub(crate) fn fill(&mut self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file.read_exact(bytes).map_err(|source| {
            let expected = format!("{} more bytes", bytes.len());
            let left = self.len.saturating_sub(offset);
            match source.kind() {
                ErrorKind::UnexpectedEof => {
                    self.malformed(offset, expected, format!("the file's end after {left}"))
                }
                ErrorKind::InvalidData => self.malformed(offset, expected, source.to_string()),
                _ => ReadError::io("read", &self.path)(source),
            }
        })
    }
}

impl<R> Input<R> {
    /// An error at a byte of this file.
    pub(crate) fn malformed(
        &self,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ReadError {
        let at = Position { column: self.array.clone(), ..Position::byte(offset) };
        ReadError::malformed(&self.path, at, expected, found)
    }

    /// A row of this file, for errors.
    pub(crate) fn row(&self, row: u64) -> Position {
        Position { column: self.array.clone(), ..Position::row(row) }
    }

    /// Holds the file's length against its header: `rows` of `row_bytes` from `start` to the
    /// end, no byte more or less.
    pub(crate) fn check_len(&self, start: u64, rows: u64, row_bytes: u64) -> Result<(), ReadError> {
        let end = rows.checked_mul(row_bytes).and_then(|bytes| bytes.checked_add(start));
        if end == Some(self.len) {
            return Ok(());
        }
        let size = match end {
            Some(end) => format!("a file of {end} bytes"),
            None => "more bytes than can be counted".to_owned(),
        };
        let expected = format!("{size} ({start} of header, {rows} rows of {row_bytes})");
        let at = end.map_or(self.len, |end| end.min(self.len));
        Err(self.malformed(at, expected, format!("{} bytes{}", self.len, self.looks_like)))
    }
}

/// What the first bytes of a file say that it is, to name it where another format is expected.
fn looks_like(start: &[u8]) -> &'static str {
    match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => " (this is npy)",
        [b'P', b'A', b'R', b'1', ..] => " (this is Parquet)",
        [0x89, b'H', b'D', b'F', ..] => " (this is HDF5)",
        [b'P', b'K', 3, 4, ..] => " (this is zip or npz)",
        [0x1f, 0x8b, ..] => " (this is gzip)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => " (this is zstd)",
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => " (this is Arrow IPC)",
        _ => "",
    }
}
