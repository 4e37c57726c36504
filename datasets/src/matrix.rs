//! Ids and distances of nearest neighbours, `[queries, k]`, from npy, the bin family and HDF5. They
//! are read whole: ten thousand queries of a hundred neighbours are 4 MB.
//!
//! A search that finds fewer than k neighbours pads its row, as ann-benchmarks does: ids with −1,
//! distances with +∞. Padding at the end of a row is read as the row's being shorter, and shorter
//! rows are padded when written; padding before a value is an error.

use std::io::{Seek, SeekFrom};
use std::path::Path;

use bytemuck::Pod;

use crate::error::{Position, ReadError, WriteError};
use crate::flat::{self, Input};
#[cfg(feature = "hdf5")]
use crate::hdf5;
use crate::npy::{self, Dtype};
use crate::output::Output;
use crate::spec::{Format, InputSpec, ReadOptions};
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

/// Reads ids: npy of i32, u32, i64 or u64, ibin, or an array of HDF5, which is `neighbors` where
/// none is named.
///
/// # Errors
/// What is wrong with the file: its header, its length, an id below −1, padding before an id.
pub fn read_ids(spec: &InputSpec) -> Result<IdMatrix, ReadError> {
    const EXPECTED: &str = "an id from 0, or -1 behind the last id";
    let stored = Stored::open(spec, Format::Ibin, Dtype::I32, "neighbors")?;
    let signed = |id: i64| match id {
        -1 => Some(None),
        id => u64::try_from(id).ok().map(Some),
    };
    match stored.dtype() {
        Dtype::I32 => read(stored, EXPECTED, |id: i32| signed(i64::from(id))),
        Dtype::I64 => read(stored, EXPECTED, signed),
        Dtype::U32 => read(stored, EXPECTED, |id: u32| Some(Some(u64::from(id)))),
        Dtype::U64 => read(stored, EXPECTED, |id: u64| Some(Some(id))),
        other => Err(ReadError::unsuitable(
            &spec.path,
            "ids of i32, u32, i64 or u64",
            format!("an array of {}", other.descr()),
        )),
    }
}

/// Reads distances: npy of f32 or f64, fbin, or an array of HDF5, which is `distances` where none
/// is named. f64 is rounded to nearest.
///
/// # Errors
/// What is wrong with the file: its header, its length, NaN or −∞, padding before a distance, a
/// distance beyond f32.
pub fn read_distances(spec: &InputSpec) -> Result<DistanceMatrix, ReadError> {
    let stored = Stored::open(spec, Format::Fbin, Dtype::F32, "distances")?;
    let expected = "a finite distance, or inf behind the last one";
    match stored.dtype() {
        Dtype::F32 => read(stored, expected, |distance: f32| match distance {
            f32::INFINITY => Some(None),
            distance => distance.is_finite().then_some(Some(distance)),
        }),
        Dtype::F64 => read(stored, expected, |distance: f64| match distance {
            f64::INFINITY => Some(None),
            distance => Some(distance as f32).filter(|narrow| narrow.is_finite()).map(Some),
        }),
        other => {
            let found = format!("an array of {}", other.descr());
            Err(ReadError::unsuitable(&spec.path, "distances of f32 or f64", found))
        }
    }
}

/// Where the values of a matrix are.
enum Stored {
    /// Behind a header.
    Flat(Input, npy::Header),
    /// In an array of HDF5.
    #[cfg(feature = "hdf5")]
    Array(Box<hdf5::Array>),
}

impl Stored {
    /// Opens a file of npy, `bin`, whose values are of `dtype`, or HDF5, where the array is
    /// `name` if `spec` has no other.
    fn open(spec: &InputSpec, bin: Format, dtype: Dtype, name: &str) -> Result<Self, ReadError> {
        let path = &spec.path;
        #[cfg(feature = "hdf5")]
        let format = Format::to_read(path, &[Format::Npy, bin, Format::Hdf5])?;
        #[cfg(feature = "hdf5")]
        if format == Format::Hdf5 {
            let array = hdf5::Array::open(path, spec.column.as_deref().unwrap_or(name))?;
            array.check_fits_memory()?;
            return Ok(Self::Array(Box::new(array)));
        }
        #[cfg(not(feature = "hdf5"))]
        let (format, _) = (Format::to_read(path, &[Format::Npy, bin])?, name);
        flat::no_columns(spec, &ReadOptions::default())?;
        let mut input = Input::open(path)?;
        let header = if format == Format::Npy {
            npy::read_header(&mut input)?
        } else {
            let (rows, columns) = xbin::read_header(&mut input)?;
            npy::Header { dtype, rows, columns, start: xbin::HEADER }
        };
        Ok(Self::Flat(input, header))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Flat(input, _) => &input.path,
            #[cfg(feature = "hdf5")]
            Self::Array(array) => array.path(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::Flat(_, header) => header.dtype,
            #[cfg(feature = "hdf5")]
            Self::Array(array) => array.dtype,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Flat(_, header) => header.columns as usize,
            #[cfg(feature = "hdf5")]
            Self::Array(array) => array.columns as usize,
        }
    }

    /// Runs `each` on the number and the values of every row. The file is as long as its header
    /// says, so that gathering them allocates no more than twice its length.
    fn each_row<T: Pod>(
        self,
        mut each: impl FnMut(u64, &[T]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut stored = vec![T::zeroed(); self.columns()];
        match self {
            Self::Flat(mut input, header) => {
                let row_bytes = size_of_val(&stored[..]) as u64;
                input.check_len(header.start, header.rows, row_bytes)?;
                let seek = input.file.seek(SeekFrom::Start(header.start));
                seek.map_err(ReadError::io("read", &input.path))?;
                for row in 0..header.rows {
                    let offset = header.start + row * row_bytes;
                    input.fill(bytemuck::cast_slice_mut(&mut stored), offset)?;
                    each(row, &stored)?;
                }
            }
            #[cfg(feature = "hdf5")]
            Self::Array(array) => {
                let row_bytes = size_of_val(&stored[..]);
                let batch = array.rows_per_batch(ReadOptions::default().rows_per_batch(row_bytes));
                let mut row = 0;
                while row < array.rows {
                    let count = (array.rows - row).min(batch as u64) as usize;
                    for bytes in array.read(row, count)?.chunks_exact(row_bytes) {
                        bytemuck::cast_slice_mut(&mut stored).copy_from_slice(bytes);
                        each(row, &stored)?;
                        row += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads the values. `value` says what one means: a value, padding, or nothing it should be.
fn read<T: Pod + ToString, U: Copy>(
    stored: Stored,
    expected: &str,
    value: impl Fn(T) -> Option<Option<U>>,
) -> Result<Matrix<U>, ReadError> {
    let path = stored.path().to_owned();
    let mut matrix = Matrix::new(stored.columns());
    let mut row_values = Vec::with_capacity(stored.columns());
    stored.each_row(|row, stored: &[T]| {
        row_values.clear();
        for (component, &found) in stored.iter().enumerate() {
            match value(found) {
                Some(Some(value)) if row_values.len() == component => row_values.push(value),
                Some(None) => {}
                _ => {
                    let at = Position::row(row).at_component(component as u64);
                    return Err(ReadError::malformed(&path, at, expected, found.to_string()));
                }
            }
        }
        matrix.push(&row_values);
        Ok(())
    })?;
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
    check_finite(path, distances)?;
    let output = create(path, format, Dtype::F32, distances)?;
    write(output, distances, f32::INFINITY, |distance| distance)
}

/// Refuses distances that would be read as padding, or not at all.
pub(crate) fn check_finite(path: &Path, distances: &DistanceMatrix) -> Result<(), WriteError> {
    for (row, values) in distances.iter().enumerate() {
        if let Some(component) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} in row {row}, component {component}", values[component]);
            return Err(WriteError::mismatch(path, "finite distances", found));
        }
    }
    Ok(())
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
    put_rows(&mut output, matrix, padding, convert)?;
    output.finish()
}

/// Writes the rows, each padded to k.
pub(crate) fn put_rows<T: Copy, U: Pod>(
    output: &mut Output,
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
    Ok(())
}
