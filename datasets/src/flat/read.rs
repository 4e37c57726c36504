//! The rows, read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::VectorReader;
use crate::attributes::{AttributeField, SkippedColumn};
use crate::error::{Position, ReadError};
use crate::flat::Input;
use crate::spec::ReadOptions;
use crate::vectors::{Batch, Component, Shape, each_element};

/// Bytes read at a time: small enough to be in the cache still when they are checked.
const PIECE: usize = 1 << 17;

/// Reads rows that end where the file ends.
#[derive(Debug)]
pub(crate) struct FlatReader<R = File> {
    input: Input<R>,
    shape: Shape,
    /// Where the rows begin.
    start: u64,
    /// What stands before the values of each row, where something does.
    row_header: Option<[u8; 4]>,
    /// Rows as they are stored, where something stands between their values.
    stored: Vec<u8>,
    rows_per_batch: usize,
    next_row: u64,
}

impl<R: Read> FlatReader<R> {
    /// Takes the file over, whose header is `start` bytes, has been read and has given `shape`.
    /// The file's length is held against it.
    pub(crate) fn new(
        input: Input<R>,
        start: u64,
        shape: Shape,
        options: &ReadOptions,
    ) -> Result<Self, ReadError> {
        input.check_len(start, shape.rows, shape.row_bytes() as u64)?;
        Ok(Self::within(input, start, shape, options))
    }

    /// As [`FlatReader::new`], for rows that were found to be within the file and that other
    /// things may follow.
    pub(crate) fn within(input: Input<R>, start: u64, shape: Shape, options: &ReadOptions) -> Self {
        let rows_per_batch = options.rows_per_batch(shape.row_bytes());
        let (row_header, stored) = (None, Vec::new());
        Self { input, shape, start, row_header, stored, rows_per_batch, next_row: 0 }
    }

    /// As [`FlatReader::new`], for a file without a header whose every row has `row_header`
    /// before its values. Takes the memory of one row, or of a piece of the file.
    pub(crate) fn with_row_headers(
        input: Input<R>,
        row_header: [u8; 4],
        shape: Shape,
        options: &ReadOptions,
    ) -> Result<Self, ReadError> {
        let row_bytes = row_header.len() + shape.row_bytes();
        input.check_len(0, shape.rows, row_bytes as u64)?;
        let rows_per_batch = options.rows_per_batch(shape.row_bytes());
        let stored = vec![0; (PIECE / row_bytes).max(1) * row_bytes];
        let row_header = Some(row_header);
        Ok(Self { input, shape, start: 0, row_header, stored, rows_per_batch, next_row: 0 })
    }

    /// Reads `count` values that begin with row `self.next_row`.
    fn values<T: Component>(&mut self, into: &mut Vec<T>, count: usize) -> Result<(), ReadError> {
        into.resize(count, T::zeroed());
        if let Some(row_header) = self.row_header {
            return self.values_of_rows(row_header, into);
        }
        let first = self.start + self.next_row * self.shape.row_bytes() as u64;
        for (piece, values) in into.chunks_mut(PIECE / size_of::<T>()).enumerate() {
            let offset = first + (piece * PIECE) as u64;
            self.input.fill(bytemuck::cast_slice_mut(values), offset)?;
            self.check_finite(values, piece * (PIECE / size_of::<T>()))?;
        }
        Ok(())
    }

    /// Reads whole rows into `into`, leaving out what stands before each.
    fn values_of_rows<T: Component>(
        &mut self,
        row_header: [u8; 4],
        into: &mut [T],
    ) -> Result<(), ReadError> {
        let dim = self.shape.dim as usize;
        let row_bytes = row_header.len() + self.shape.row_bytes();
        let rows_per_piece = self.stored.len() / row_bytes;
        for (piece, values) in into.chunks_mut(rows_per_piece * dim).enumerate() {
            let first_row = self.next_row + (piece * rows_per_piece) as u64;
            let offset = first_row * row_bytes as u64;
            let stored = &mut self.stored[..values.len() / dim * row_bytes];
            self.input.fill(stored, offset)?;
            let rows = stored.chunks_exact(row_bytes).zip(values.chunks_exact_mut(dim));
            for (row, (stored, values)) in rows.enumerate() {
                let (header, body) = stored.split_at(row_header.len());
                if header != row_header {
                    let row = first_row + row as u64;
                    return Err(self.input.row_header_differs(row, row_bytes, row_header, header));
                }
                bytemuck::cast_slice_mut(values).copy_from_slice(body);
            }
            self.check_finite(values, piece * rows_per_piece * dim)?;
        }
        Ok(())
    }

    /// Refuses values that are not finite; `first` components of the batch came before them.
    fn check_finite<T: Component>(&self, values: &[T], first: usize) -> Result<(), ReadError> {
        let Some(at) = T::first_not_finite(values) else { return Ok(()) };
        let (component, dim) = (first + at, self.shape.dim as usize);
        let place = self.input.row(self.next_row + (component / dim) as u64);
        let place = place.at_component((component % dim) as u64);
        let found = values[at].to_string();
        Err(ReadError::malformed(&self.input.path, place, "a finite number", found))
    }
}

impl<R> Input<R> {
    /// The error that refuses a row which has another number of values than the first one.
    pub(crate) fn row_header_differs(
        &self,
        row: u64,
        row_bytes: usize,
        first: [u8; 4],
        found: &[u8],
    ) -> ReadError {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |n, &b| n << 8 | u32::from(b));
        ReadError::malformed(
            &self.path,
            Position { byte: Some(row * row_bytes as u64), ..self.row(row) },
            format!("{} components, as in row 0", number(&first)),
            number(found).to_string(),
        )
    }
}

impl<R: Read + Send> VectorReader for FlatReader<R> {
    fn path(&self) -> &Path {
        &self.input.path
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn has_ids(&self) -> bool {
        false
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
        batch.first_row = self.next_row;
        batch.rows = rows;
        batch.dim = self.shape.dim as usize;
        batch.ids = None;
        batch.attributes.clear();
        batch.vectors.reset(self.shape.element);
        let count = rows * batch.dim;
        each_element!(&mut batch.vectors, values => self.values(values, count))?;
        self.next_row += rows as u64;
        Ok(rows > 0)
    }
}
