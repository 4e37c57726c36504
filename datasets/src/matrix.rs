//! Ids and distances of nearest neighbours, `[queries, k]`, from npy and the bin family. They are
//! read whole: ten thousand queries of a hundred neighbours are 4 MB.
//!
//! A search that finds fewer than k neighbours pads its row, as ann-benchmarks does: ids with −1,
//! distances with +∞. Padding at the end of a row is read as the row's being shorter, and shorter
//! rows are padded when written; padding before a value is an error.

use std::io::{Seek, SeekFrom};
use std::path::Path;

use bytemuck::Pod;

use crate::error::{Position, ReadError, WriteError};
use crate::flat::Input;
use crate::npy::{self, Dtype};
use crate::output::Output;
use crate::spec::{Format, InputSpec};
use crate::vectors::MAX_DIM;
use crate::xbin;

/// Rows of at most `k` values, one a query, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    k: usize,
    values: Vec<T>,
    /// Where each row ends in `values`; it starts where the row before it ends.
    ends: Vec<usize>,
}

/// Ids of neighbours.
pub type IdMatrix = Matrix<u64>;
/// Distances of neighbours.
pub type DistanceMatrix = Matrix<f32>;

impl<T: Copy> Matrix<T> {
    /// No rows yet, of at most `k` values each.
    pub fn new(k: usize) -> Self {
        Self { k, values: Vec::new(), ends: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has more than `k` values.
    pub fn push(&mut self, row: &[T]) {
        assert!(row.len() <= self.k, "{} values in a row of {}", row.len(), self.k);
        self.values.extend_from_slice(row);
        self.ends.push(self.values.len());
    }

    /// The most values that a row can have.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The values of a row, without padding.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[T] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.values[start..self.ends[row]]
    }

    /// The values of each row, without padding.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.rows()).map(|row| self.row(row))
    }
}

/// Reads ids: npy of i32, u32, i64 or u64, or ibin.
///
/// # Errors
/// What is wrong with the file: its header, its length, an id below −1, padding before an id.
pub fn read_ids(spec: &InputSpec) -> Result<IdMatrix, ReadError> {
    const EXPECTED: &str = "an id from 0, or -1 behind the last id";
    let path = &spec.path;
    let format = Format::to_read(path, &[Format::Npy, Format::Ibin])?;
    let (input, header) = open(path, format, Dtype::I32)?;
    let signed = |id: i64| match id {
        -1 => Some(None),
        id => u64::try_from(id).ok().map(Some),
    };
    match header.dtype {
        Dtype::I32 => read(input, &header, EXPECTED, |id: i32| signed(i64::from(id))),
        Dtype::I64 => read(input, &header, EXPECTED, signed),
        Dtype::U32 => read(input, &header, EXPECTED, |id: u32| Some(Some(u64::from(id)))),
        Dtype::U64 => read(input, &header, EXPECTED, |id: u64| Some(Some(id))),
        other => Err(ReadError::unsuitable(
            path,
            "ids of i32, u32, i64 or u64",
            format!("an array of {}", other.descr()),
        )),
    }
}

/// Reads distances: npy of f32, or fbin.
///
/// # Errors
/// What is wrong with the file: its header, its length, NaN or −∞, padding before a distance.
pub fn read_distances(spec: &InputSpec) -> Result<DistanceMatrix, ReadError> {
    let path = &spec.path;
    let format = Format::to_read(path, &[Format::Npy, Format::Fbin])?;
    let (input, header) = open(path, format, Dtype::F32)?;
    if header.dtype != Dtype::F32 {
        let found = format!("an array of {}", header.dtype.descr());
        return Err(ReadError::unsuitable(path, "distances of f32", found));
    }
    let expected = "a finite distance, or inf behind the last one";
    read(input, &header, expected, |distance: f32| match distance {
        f32::INFINITY => Some(None),
        distance => distance.is_finite().then_some(Some(distance)),
    })
}

/// Opens the file and reads its header; `dtype` is what the bin format has.
fn open(path: &Path, format: Format, dtype: Dtype) -> Result<(Input, npy::Header), ReadError> {
    let mut input = Input::open(path)?;
    let header = if format == Format::Npy {
        npy::read_header(&mut input)?
    } else {
        let (rows, columns) = xbin::read_header(&mut input)?;
        npy::Header { dtype, rows, columns, start: xbin::HEADER }
    };
    Ok((input, header))
}

/// Reads the values. `value` says what one means: a value, padding, or nothing it should be.
fn read<T: Pod + ToString, U: Copy>(
    mut input: Input,
    header: &npy::Header,
    expected: &str,
    value: impl Fn(T) -> Option<Option<U>>,
) -> Result<Matrix<U>, ReadError> {
    let k = header.columns as usize;
    let row_bytes = k * size_of::<T>();
    input.check_len(header.start, header.rows, row_bytes as u64)?;
    input.file.seek(SeekFrom::Start(header.start)).map_err(ReadError::io("read", &input.path))?;
    let mut matrix = Matrix::new(k);
    let mut stored = vec![T::zeroed(); k];
    let mut row_values = Vec::with_capacity(k);
    // The file is as long as its header says, so this allocates no more than twice its length.
    for row in 0..header.rows {
        let offset = header.start + row * row_bytes as u64;
        input.fill(bytemuck::cast_slice_mut(&mut stored), offset)?;
        row_values.clear();
        for (component, &found) in stored.iter().enumerate() {
            match value(found) {
                Some(Some(value)) if row_values.len() == component => row_values.push(value),
                Some(None) => {}
                _ => {
                    let at = Position::row(row).at_component(component as u64);
                    let found = found.to_string();
                    return Err(ReadError::malformed(&input.path, at, expected, found));
                }
            }
        }
        matrix.push(&row_values);
    }
    Ok(matrix)
}

/// Writes ids: ibin, or npy of the first of i32, i64 and u64 that holds them all.
///
/// # Errors
/// An unknown extension, an id that the format cannot hold, or what the system refuses.
pub fn write_ids(path: &Path, ids: &IdMatrix) -> Result<(), WriteError> {
    let format = Format::to_write(path, &[Format::Npy, Format::Ibin])?;
    let most = ids.values.iter().copied().max().unwrap_or(0);
    let padded = ids.values.len() < ids.rows() * ids.k;
    let dtype = if i32::try_from(most).is_ok() {
        Dtype::I32
    } else if i64::try_from(most).is_ok() {
        Dtype::I64
    } else {
        Dtype::U64
    };
    if (format == Format::Ibin && dtype != Dtype::I32) || (dtype == Dtype::U64 && padded) {
        let (most_held, why) = match format {
            Format::Ibin => (i64::from(i32::MAX), "which is what .ibin holds"),
            _ => (i64::MAX, "as rows are padded with -1"),
        };
        return Err(WriteError::mismatch(
            path,
            format!("ids up to {most_held}, {why}"),
            most.to_string(),
        ));
    }
    let output = create(path, format, dtype, ids)?;
    match dtype {
        Dtype::I32 => write(output, ids, -1_i32, |id| id as i32),
        Dtype::I64 => write(output, ids, -1_i64, |id| id as i64),
        _ => write(output, ids, u64::MAX, |id| id),
    }
}

/// Writes distances: fbin, or npy of f32.
///
/// # Errors
/// An unknown extension, a distance that is not finite, or what the system refuses.
pub fn write_distances(path: &Path, distances: &DistanceMatrix) -> Result<(), WriteError> {
    let format = Format::to_write(path, &[Format::Npy, Format::Fbin])?;
    for (row, values) in distances.iter().enumerate() {
        if let Some(component) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} in row {row}, component {component}", values[component]);
            return Err(WriteError::mismatch(path, "finite distances", found));
        }
    }
    let output = create(path, format, Dtype::F32, distances)?;
    write(output, distances, f32::INFINITY, |distance| distance)
}

fn create<T: Copy>(
    path: &Path,
    format: Format,
    dtype: Dtype,
    matrix: &Matrix<T>,
) -> Result<Output, WriteError> {
    let k =
        u32::try_from(matrix.k).ok().filter(|k| (1..=MAX_DIM).contains(k)).ok_or_else(|| {
            WriteError::mismatch(path, format!("a k from 1 to {MAX_DIM}"), matrix.k.to_string())
        })?;
    let mut output = Output::create(path)?;
    let rows = matrix.rows() as u64;
    match format {
        Format::Npy => npy::write_header(&mut output, dtype, rows, k)?,
        _ => xbin::write_header(&mut output, rows, k)?,
    }
    Ok(output)
}

fn write<T: Copy, U: Pod>(
    mut output: Output,
    matrix: &Matrix<T>,
    padding: U,
    convert: impl Fn(T) -> U,
) -> Result<(), WriteError> {
    let mut stored = Vec::with_capacity(matrix.k);
    for row in matrix.iter() {
        stored.clear();
        stored.extend(row.iter().copied().map(&convert));
        stored.resize(matrix.k, padding);
        output.put(bytemuck::cast_slice(&stored))?;
    }
    output.finish()
}
