//! Ids and distances of nearest neighbours, `[queries, k]`, from npy, npz, HDF5 and the bin and
//! vecs families. They are read whole: ten thousand queries of a hundred neighbours are 4 MB.
//!
//! The ground truth of the big-ann benchmarks is an ibin file with f32 distances behind the ids,
//! which only its length tells from one without.
//!
//! A search that finds fewer than k neighbours pads its row, as ann-benchmarks does: ids with −1,
//! distances with +∞. Padding at the end of a row is read as the row's being shorter, and shorter
//! rows are padded when written; padding before a value is an error.

use std::io::Read;
use std::path::Path;

use bytemuck::Pod;

use crate::error::{ReadError, WriteError};
use crate::flat::npy::{self, Dtype};
use crate::flat::{Input, npz, vecs, xbin};
#[cfg(feature = "hdf5")]
use crate::hdf5;
use crate::output::Output;
#[cfg(feature = "hdf5")]
use crate::spec::ReadOptions;
use crate::spec::{Format, InputSpec};
use crate::vectors::MAX_DIM;

/// The formats of ids alone.
const ID_FORMATS: [Format; 4] = [Format::Npy, Format::Npz, Format::Ibin, Format::Ivecs];
/// The formats of distances alone.
const DISTANCE_FORMATS: [Format; 4] = [Format::Npy, Format::Npz, Format::Fbin, Format::Fvecs];
/// The formats of a ground truth.
const TRUTH_FORMATS: [Format; 2] = [Format::Bin, Format::Ibin];
/// The formats of named arrays, which are written by other means.
const ARRAY_FORMATS: &[Format] = if cfg!(feature = "hdf5") { &[Format::Hdf5] } else { &[] };

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

/// What is read from a file.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Ids,
    Distances,
}

/// Reads ids: npy or npz (`FILE#array`) of i32, u32, i64 or u64, ivecs, ibin, a ground
/// truth, or an array of HDF5, which is `neighbors` where none is named.
///
/// # Errors
/// What is wrong with the file: its header, its length, an id below −1, padding before an id.
pub fn read_ids(spec: &InputSpec) -> Result<IdMatrix, ReadError> {
    const EXPECTED: &str = "an id from 0, or -1 behind the last id";
    let formats = [&ID_FORMATS[..], &[Format::Bin], ARRAY_FORMATS].concat();
    let stored = open(spec, Format::to_read(&spec.path, &formats)?, Part::Ids)?;
    let signed = |id: i64| match id {
        -1 => Some(None),
        id => u64::try_from(id).ok().map(Some),
    };
    match stored.dtype {
        Dtype::I32 => stored.read(EXPECTED, |id: i32| signed(i64::from(id))),
        Dtype::I64 => stored.read(EXPECTED, signed),
        Dtype::U32 => stored.read(EXPECTED, |id: u32| Some(Some(u64::from(id)))),
        Dtype::U64 => stored.read(EXPECTED, |id: u64| Some(Some(id))),
        other => Err(ReadError::unsuitable(
            &spec.path,
            "ids of i32, u32, i64 or u64",
            format!("an array of {}", other.descr()),
        )),
    }
}

/// Reads distances: npy or npz (`FILE#array`) of f32 or f64, fbin, fvecs, a ground truth, or an
/// array of HDF5, which is `distances` where none is named. f64 is rounded to nearest.
///
/// # Errors
/// What is wrong with the file: its header, its length, NaN or −∞, padding before a distance, a
/// distance beyond f32.
pub fn read_distances(spec: &InputSpec) -> Result<DistanceMatrix, ReadError> {
    let formats = [&DISTANCE_FORMATS[..], &TRUTH_FORMATS, ARRAY_FORMATS].concat();
    let stored = open(spec, Format::to_read(&spec.path, &formats)?, Part::Distances)?;
    let expected = "a finite distance, or inf behind the last one";
    match stored.dtype {
        Dtype::F32 => stored.read(expected, |distance: f32| match distance {
            f32::INFINITY => Some(None),
            distance => distance.is_finite().then_some(Some(distance)),
        }),
        Dtype::F64 => stored.read(expected, |distance: f64| match distance {
            f64::INFINITY => Some(None),
            distance => Some(distance as f32).filter(|narrow| narrow.is_finite()).map(Some),
        }),
        other => {
            let found = format!("an array of {}", other.descr());
            Err(ReadError::unsuitable(&spec.path, "distances of f32 or f64", found))
        }
    }
}

/// Rows whose header has been read and held against the length of the file; the next byte is the
/// first of the first row.
struct Stored {
    input: Input<Box<dyn Read + Send>>,
    dtype: Dtype,
    rows: u64,
    k: u32,
    /// Where the rows begin.
    start: u64,
    /// What stands before the values of each row, where something does.
    row_header: RowHeader,
}

/// Opens the file and reads its header.
fn open(spec: &InputSpec, format: Format, part: Part) -> Result<Stored, ReadError> {
    let path = &spec.path;
    let dtype = match part {
        Part::Ids => Dtype::I32,
        Part::Distances => Dtype::F32,
    };
    #[cfg(feature = "hdf5")]
    if format == Format::Hdf5 {
        let usual = if part == Part::Ids { "neighbors" } else { "distances" };
        let array = hdf5::Array::open(path, spec.column.as_deref().unwrap_or(usual))?;
        array.check_fits_memory()?;
        let (dtype, rows, k) = (array.dtype, array.rows, array.columns);
        let input = array.into_rows(&ReadOptions::default()).boxed();
        return Ok(Stored { input, dtype, rows, k, start: 0, row_header: None });
    }
    if format == Format::Npz {
        let input = npz::open_array(path, spec.column.as_deref())?;
        // Unpacked, they take memory that the file does not.
        let most = (8 * std::fs::metadata(path).map_err(ReadError::io("read", path))?.len())
            .max(MOST_UNPACKED);
        if input.len > most {
            let expected = format!("an array of at most {most} bytes");
            return Err(input.malformed(0, expected, input.len.to_string()));
        }
        return Stored::npy(input);
    }
    if let Some(name) = &spec.column {
        let expected = format!("a file with an array `{name}`");
        return Err(ReadError::unsuitable(path, expected, "a format of one array"));
    }
    let mut input = Input::open(path)?;
    match format {
        Format::Npy => return Stored::npy(input),
        Format::Ivecs | Format::Fvecs => {
            let rows = vecs::read_rows(&mut input, size_of::<u32>())?;
            let (k, row_header) = (rows.values, Some(rows.header));
            return Ok(Stored {
                input: input.boxed(),
                dtype,
                rows: rows.count,
                k,
                start: 0,
                row_header,
            });
        }
        _ => {}
    }
    let (rows, k) = xbin::read_header(&mut input)?;
    let mut start = xbin::HEADER;
    if TRUTH_FORMATS.contains(&format) && xbin::has_distances(&input, rows, k)? {
        if part == Part::Distances {
            start += rows * u64::from(k) * 4;
            input.seek(start)?;
        }
    } else if format != Format::Fbin && part == Part::Distances {
        let found = format!("ids alone, [{rows}, {k}]");
        return Err(ReadError::unsuitable(path, "ids and distances", found));
    } else {
        input.check_len(start, rows, u64::from(k) * 4)?;
    }
    Ok(Stored { input: input.boxed(), dtype, rows, k, start, row_header: None })
}

/// An array that is unpacked may have this many bytes, however small the file.
const MOST_UNPACKED: u64 = 8 << 20;

impl Stored {
    /// Takes an npy array over, which ends where the input ends.
    fn npy<R: Read + Send + 'static>(mut input: Input<R>) -> Result<Self, ReadError> {
        let npy::Header { dtype, rows, columns: k, start } = npy::read_header(&mut input)?;
        input.check_len(start, rows, u64::from(k) * dtype.size() as u64)?;
        Ok(Self { input: input.boxed(), dtype, rows, k, start, row_header: None })
    }

    /// Reads the values. `value` says what one means: a value, padding, or nothing it should be.
    fn read<T: Pod + ToString, U: Copy>(
        mut self,
        expected: &str,
        value: impl Fn(T) -> Option<Option<U>>,
    ) -> Result<Matrix<U>, ReadError> {
        let k = self.k as usize;
        let before = self.row_header.map_or(0, |header| header.len());
        let mut row_bytes = vec![0; before + k * size_of::<T>()];
        let mut matrix = Matrix::new(k);
        let mut stored = vec![T::zeroed(); k];
        let mut row_values = Vec::with_capacity(k);
        // The rows are all there, so this allocates no more than twice their bytes.
        for row in 0..self.rows {
            let offset = self.start + row * row_bytes.len() as u64;
            self.input.fill(&mut row_bytes, offset)?;
            let (header, values) = row_bytes.split_at(before);
            if let Some(first) = self.row_header.filter(|first| header != first) {
                let len = row_bytes.len();
                return Err(self.input.row_header_differs(row, len, first, header));
            }
            bytemuck::cast_slice_mut(&mut stored).copy_from_slice(values);
            row_values.clear();
            for (component, &found) in stored.iter().enumerate() {
                match value(found) {
                    Some(Some(value)) if row_values.len() == component => row_values.push(value),
                    Some(None) => {}
                    _ => {
                        let at = self.input.row(row).at_component(component as u64);
                        let found = found.to_string();
                        return Err(ReadError::malformed(&self.input.path, at, expected, found));
                    }
                }
            }
            matrix.push(&row_values);
        }
        Ok(matrix)
    }
}

/// Writes ids: ibin, ivecs, or npy or npz (array `neighbors`) of the first of i32, i64 and u64
/// that holds them all.
///
/// # Errors
/// An unknown extension, an id that the format cannot hold, or what the system refuses.
pub fn write_ids(path: &Path, ids: &IdMatrix) -> Result<(), WriteError> {
    let format = Format::to_write(path, &ID_FORMATS)?;
    let dtype = match format {
        Format::Npy | Format::Npz => id_dtype(path, ids)?,
        _ => check_i32(path, format, ids)?,
    };
    let (output, row_header) = create(path, format, "neighbors", dtype, ids)?;
    let output = match dtype {
        Dtype::I32 => put(output, row_header, ids, -1_i32, |id| id as i32),
        Dtype::I64 => put(output, row_header, ids, -1_i64, |id| id as i64),
        _ => put(output, row_header, ids, u64::MAX, |id| id),
    };
    output?.finish()
}

/// The largest id.
fn most(ids: &IdMatrix) -> u64 {
    ids.values.iter().copied().max().unwrap_or(0)
}

/// The narrowest type that holds all ids, and the padding where there is some.
fn id_dtype(path: &Path, ids: &IdMatrix) -> Result<Dtype, WriteError> {
    let most = most(ids);
    let padded = ids.values.len() < ids.rows() * ids.k;
    if i32::try_from(most).is_ok() {
        Ok(Dtype::I32)
    } else if i64::try_from(most).is_ok() {
        Ok(Dtype::I64)
    } else if !padded {
        Ok(Dtype::U64)
    } else {
        let expected = format!("ids up to {}, as rows are padded with -1", i64::MAX);
        Err(WriteError::mismatch(path, expected, most.to_string()))
    }
}

/// Holds ids against a format that has them as i32.
fn check_i32(path: &Path, format: Format, ids: &IdMatrix) -> Result<Dtype, WriteError> {
    let most = most(ids);
    if i32::try_from(most).is_ok() {
        return Ok(Dtype::I32);
    }
    let (most_held, extension) = (i32::MAX, format.extension());
    let expected = format!("ids up to {most_held}, which is what .{extension} holds");
    Err(WriteError::mismatch(path, expected, most.to_string()))
}

/// Writes distances: fbin, fvecs, or npy or npz (array `distances`) of f32.
///
/// # Errors
/// An unknown extension, a distance that is not finite, or what the system refuses.
pub fn write_distances(path: &Path, distances: &DistanceMatrix) -> Result<(), WriteError> {
    let format = Format::to_write(path, &DISTANCE_FORMATS)?;
    check_distances(path, distances)?;
    let (output, row_header) = create(path, format, "distances", Dtype::F32, distances)?;
    put(output, row_header, distances, f32::INFINITY, |distance| distance)?.finish()
}

/// Refuses distances that would be read as padding, or not at all.
pub(crate) fn check_distances(path: &Path, distances: &DistanceMatrix) -> Result<(), WriteError> {
    for (row, values) in distances.iter().enumerate() {
        if let Some(component) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} in row {row}, component {component}", values[component]);
            return Err(WriteError::mismatch(path, "finite distances", found));
        }
    }
    Ok(())
}

/// Writes ids and distances of the same neighbours as a ground truth of the big-ann benchmarks:
/// `.bin` or `.ibin`.
///
/// # Errors
/// An unknown extension, ids and distances whose rows are not of the same lengths, an id beyond
/// i32, a distance that is not finite, or what the system refuses.
pub fn write_ground_truth(
    path: &Path,
    ids: &IdMatrix,
    distances: &DistanceMatrix,
) -> Result<(), WriteError> {
    let format = Format::to_write(path, &TRUTH_FORMATS)?;
    if (ids.k, &ids.ends) != (distances.k, &distances.ends) {
        return Err(WriteError::mismatch(
            path,
            format!("a distance for each id of {} rows of {}", ids.rows(), ids.k),
            format!("those of {} rows of {}, or other lengths", distances.rows(), distances.k),
        ));
    }
    let dtype = check_i32(path, format, ids)?;
    check_distances(path, distances)?;
    let (output, row_header) = create(path, format, "", dtype, ids)?;
    let output = put(output, row_header, ids, -1_i32, |id| id as i32)?;
    put(output, row_header, distances, f32::INFINITY, |distance| distance)?.finish()
}

/// What stands before the values of each row, where something does.
type RowHeader = Option<[u8; vecs::ROW_HEADER]>;

/// Creates a file and writes its header; `name` is that of the array in an archive.
fn create<T: Copy>(
    path: &Path,
    format: Format,
    name: &str,
    dtype: Dtype,
    matrix: &Matrix<T>,
) -> Result<(Output, RowHeader), WriteError> {
    let k =
        u32::try_from(matrix.k).ok().filter(|k| (1..=MAX_DIM).contains(k)).ok_or_else(|| {
            WriteError::mismatch(path, format!("a k from 1 to {MAX_DIM}"), matrix.k.to_string())
        })?;
    let mut output = Output::create(path)?;
    let rows = matrix.rows() as u64;
    match format {
        Format::Npy => npy::write_header(&mut output, dtype, rows, k)?,
        Format::Npz => {
            npz::begin_array(&mut output, name)?;
            npy::write_header(&mut output, dtype, rows, k)?;
        }
        Format::Ivecs | Format::Fvecs => {
            vecs::check_rows(&output, rows)?;
            return Ok((output, Some(k.to_le_bytes())));
        }
        _ => xbin::write_header(&mut output, rows, k)?,
    }
    Ok((output, None))
}

/// Writes the rows.
fn put<T: Copy, U: Pod>(
    mut output: Output,
    row_header: RowHeader,
    matrix: &Matrix<T>,
    padding: U,
    convert: impl Fn(T) -> U,
) -> Result<Output, WriteError> {
    put_rows(&mut output, row_header, matrix, padding, convert)?;
    Ok(output)
}

/// Writes the rows, each padded to k.
pub(crate) fn put_rows<T: Copy, U: Pod>(
    output: &mut Output,
    row_header: RowHeader,
    matrix: &Matrix<T>,
    padding: U,
    convert: impl Fn(T) -> U,
) -> Result<(), WriteError> {
    let mut stored = Vec::with_capacity(matrix.k);
    for row in matrix.iter() {
        stored.clear();
        stored.extend(row.iter().copied().map(&convert));
        stored.resize(matrix.k, padding);
        output.put(row_header.as_ref().map_or(&[], |header| header))?;
        output.put(bytemuck::cast_slice(&stored))?;
    }
    Ok(())
}
