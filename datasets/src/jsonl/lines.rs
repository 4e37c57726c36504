//! The lines of a text file, plain or compressed, one in memory at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Position, ReadError};
use crate::flat::Input;
use crate::spec::Compression;

/// The longest line that is read. A row of 4,096 components and its texts has some 50 kB.
const MAX_LINE: usize = 8 << 20;
/// The largest window of a zstd frame that is decoded, as a power of two: 32 MiB are held for it.
/// `zstd` makes larger ones on request alone (`--long`, `--ultra`).
const MAX_WINDOW_LOG: u32 = 25;
const BUFFER_BYTES: usize = 1 << 18;

/// Lines that are not blank; a row is the number of one among them, from 0.
pub(super) struct Lines {
    input: Input,
    text: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    /// Where the line begins in the text, decompressed.
    start: u64,
    next_start: u64,
    /// The line that is being read, or was read last.
    row: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let input = Input::open(path)?;
        let file = input.file.try_clone().map_err(ReadError::io("open", path))?;
        let text = decode(path, file)?;
        Ok(Self { input, text, line: Vec::new(), start: 0, next_start: 0, row: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.input.path
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        // At the start there is no line yet, and so none to count.
        self.row += u64::from(!self.line.is_empty());
        loop {
            self.line.clear();
            self.start = self.next_start;
            if !self.read_line()? {
                return Ok(None);
            }
            self.next_start += self.line.len() as u64;
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// Reads up to and with the next line feed; false at the end of the text.
    fn read_line(&mut self) -> Result<bool, ReadError> {
        loop {
            let bytes = match self.text.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // Plain files fail as the system does, compressed ones as their bytes do.
                    if Compression::of(&self.input.path).is_none() {
                        return Err(ReadError::io("read", &self.input.path)(error));
                    }
                    let expected = "compressed text";
                    let found = format!("`{error}` while decompressing");
                    return Err(self.malformed(0, expected, found));
                }
            };
            let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(bytes.len());
            if taken == 0 {
                return Ok(!self.line.is_empty());
            }
            if self.line.len() + taken > MAX_LINE {
                let expected = format!("a line of at most {MAX_LINE} bytes");
                return Err(self.malformed(0, expected, "a longer one"));
            }
            self.line.extend_from_slice(&bytes[..taken]);
            self.text.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// An error `column` bytes into the line that is being read, or was read last.
    pub(super) fn malformed(
        &self,
        column: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ReadError {
        let byte = self.start + column as u64;
        let at = Position { row: Some(self.row), ..Position::byte(byte) };
        let found = format!("{}{}", found.into(), self.input.looks_like);
        ReadError::malformed(&self.input.path, at, expected, found)
    }
}

fn decode(path: &Path, file: File) -> Result<Box<dyn BufRead + Send>, ReadError> {
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    Ok(match Compression::of(path) {
        None => Box::new(file),
        Some(Compression::Gzip) => {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file)))
        }
        Some(Compression::Zstd) => {
            let decoder = zstd::Decoder::with_buffer(file).and_then(|mut decoder| {
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(ReadError::io("decompress", path))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    })
}
