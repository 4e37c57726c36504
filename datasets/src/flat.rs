//! Files that are a header and then rows end to end, little-endian: what npy and the bin family
//! have in common once the header is read.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::attributes::{AttributeField, SkippedColumn};
use crate::error::{Position, ReadError, WriteError};
use crate::output::Output;
use crate::spec::{AttributeColumns, InputSpec, ReadOptions};
use crate::vectors::{Batch, Component, Shape, each_element};
use crate::{VectorReader, VectorWriter};

/// A file that is open for reading, and its length when it was opened.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) len: u64,
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
        Ok(Self { path: path.to_owned(), file, len: metadata.len(), looks_like })
    }

    /// Reads the next bytes; `offset` is where they are, for the error.
    pub(crate) fn fill(&mut self, bytes: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file.read_exact(bytes).map_err(|source| {
            if source.kind() != ErrorKind::UnexpectedEof {
                return ReadError::io("read", &self.path)(source);
            }
            let expected = format!("{} more bytes", bytes.len());
            let left = self.len.saturating_sub(offset);
            self.malformed(offset, expected, format!("the file's end after {left}"))
        })
    }

    /// An error at a byte of this file.
    pub(crate) fn malformed(
        &self,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ReadError {
        ReadError::malformed(&self.path, Position::byte(offset), expected, found)
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
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => " (this is Arrow IPC)",
        _ => "",
    }
}

/// Refuses what was asked for in columns, for a format that has none.
pub(crate) fn no_columns(spec: &InputSpec, options: &ReadOptions) -> Result<(), ReadError> {
    let named = match &options.attributes {
        AttributeColumns::Named(names) => names.first(),
        AttributeColumns::All | AttributeColumns::None => None,
    };
    match spec.column.as_ref().or(options.id_column.as_ref()).or(named) {
        None => Ok(()),
        Some(name) => Err(ReadError::unsuitable(
            &spec.path,
            format!("a file with a column `{name}`"),
            "a format of vectors alone, without columns",
        )),
    }
}

/// Reads the rows behind a header.
#[derive(Debug)]
pub(crate) struct FlatReader {
    input: Input,
    shape: Shape,
    /// Where the rows begin.
    start: u64,
    rows_per_batch: usize,
    next_row: u64,
}

impl FlatReader {
    /// Takes the file over, whose header is `start` bytes and has given `shape`. The file's
    /// length is held against it.
    pub(crate) fn new(
        input: Input,
        start: u64,
        shape: Shape,
        options: &ReadOptions,
    ) -> Result<Self, ReadError> {
        input.check_len(start, shape.rows, shape.row_bytes() as u64)?;
        Self::at(input, start, shape, options)
    }

    /// As [`FlatReader::new`], for rows that were found to be within the file and that other
    /// things may follow.
    pub(crate) fn at(
        mut input: Input,
        start: u64,
        shape: Shape,
        options: &ReadOptions,
    ) -> Result<Self, ReadError> {
        input.file.seek(SeekFrom::Start(start)).map_err(ReadError::io("read", &input.path))?;
        let rows_per_batch = options.rows_per_batch(shape.row_bytes());
        Ok(Self { input, shape, start, rows_per_batch, next_row: 0 })
    }

    /// Reads `count` values that begin with row `self.next_row`.
    fn values<T: Component>(&mut self, into: &mut Vec<T>, count: usize) -> Result<(), ReadError> {
        // Small enough that what was read is still in the cache when it is checked.
        const PIECE: usize = 1 << 17;
        let first = self.start + self.next_row * self.shape.row_bytes() as u64;
        into.resize(count, T::zeroed());
        for (piece, values) in into.chunks_mut(PIECE / size_of::<T>()).enumerate() {
            let offset = first + (piece * PIECE) as u64;
            self.input.fill(bytemuck::cast_slice_mut(values), offset)?;
            if let Some(at) = T::first_not_finite(values) {
                let component = piece * (PIECE / size_of::<T>()) + at;
                let dim = self.shape.dim as usize;
                return Err(ReadError::malformed(
                    &self.input.path,
                    Position::row(self.next_row + (component / dim) as u64)
                        .at_component((component % dim) as u64),
                    "a finite number",
                    values[at].to_string(),
                ));
            }
        }
        Ok(())
    }
}

impl VectorReader for FlatReader {
    fn path(&self) -> &Path {
        &self.input.path
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn attributes(&self) -> &[AttributeField] {
        &[]
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &[]
    }

    fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        let left = self.shape.rows - self.next_row;
        let rows = left.min(self.rows_per_batch as u64) as usize;
        batch.begin(self.next_row, rows, &self.shape);
        let count = rows * batch.dim;
        each_element!(&mut batch.vectors, values => self.values(values, count))?;
        self.next_row += rows as u64;
        Ok(rows > 0)
    }
}

/// Writes rows behind a header that is already written.
#[derive(Debug)]
pub(crate) struct FlatWriter {
    output: Output,
    shape: Shape,
    written: u64,
}

impl FlatWriter {
    pub(crate) fn new(output: Output, shape: Shape) -> Self {
        Self { output, shape, written: 0 }
    }
}

impl VectorWriter for FlatWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        check_batch(self.output.path(), &self.shape, self.written, batch)?;
        if batch.ids.is_some() || !batch.attributes.is_empty() {
            return Err(WriteError::mismatch(
                self.output.path(),
                "vectors alone, which is all that this format holds",
                "ids or attributes, which would be lost",
            ));
        }
        self.output.put(batch.vectors.bytes())?;
        self.written += batch.rows as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        check_count(self.output.path(), self.shape.rows, self.written)?;
        self.output.finish()
    }
}

/// Holds a batch against the shape that was announced for the file.
pub(crate) fn check_batch(
    path: &Path,
    shape: &Shape,
    written: u64,
    batch: &Batch,
) -> Result<(), WriteError> {
    let fits = batch.vectors.element() == shape.element
        && batch.dim == shape.dim as usize
        && batch.rows.checked_mul(batch.dim) == Some(batch.vectors.len());
    if !fits {
        return Err(WriteError::mismatch(
            path,
            format!("rows of {} × {}", shape.dim, shape.element),
            format!(
                "{} components of {} for {} rows of {}",
                batch.vectors.len(),
                batch.vectors.element(),
                batch.rows,
                batch.dim
            ),
        ));
    }
    let total = written + batch.rows as u64;
    if total > shape.rows {
        let found = format!("at least {total}");
        return Err(WriteError::mismatch(path, format!("{} rows", shape.rows), found));
    }
    let bad = each_element!(&batch.vectors, values => Component::first_not_finite(values));
    match bad {
        None => Ok(()),
        Some(at) => Err(WriteError::mismatch(
            path,
            "finite numbers",
            format!(
                "NaN or infinity in row {}, component {}",
                written + (at / batch.dim) as u64,
                at % batch.dim
            ),
        )),
    }
}

/// Holds the number of rows written against the number announced.
pub(crate) fn check_count(path: &Path, announced: u64, written: u64) -> Result<(), WriteError> {
    if announced == written {
        return Ok(());
    }
    Err(WriteError::mismatch(path, format!("{announced} rows"), format!("{written}")))
}
