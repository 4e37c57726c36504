//! The writer. All arrays are announced, so that their headers come first and their values are
//! written as they come: no value is held.

use std::path::Path;

use crate::VectorWriter;
use crate::error::WriteError;
use crate::flat::npy::Dtype;
use crate::flat::{FlatWriter, check_batch, check_count};
use crate::hdf5::encode::{self, Entry, Value};
use crate::matrix::{self, DistanceMatrix, IdMatrix};
use crate::output::Output;
use crate::spec::WriteOptions;
use crate::vectors::{Batch, MAX_DIM, Shape};

/// The longest name of an array, and text of an attribute, in bytes.
const LONGEST: usize = 255;
/// The most arrays of a file.
const MOST_ARRAYS: usize = 64;

/// Creates a file of one array of vectors, without attributes. It is called as the vector column
/// is, and `train` where that has the name that it has by default.
pub(crate) fn create(
    path: &Path,
    shape: Shape,
    options: &WriteOptions,
) -> Result<Box<dyn VectorWriter>, WriteError> {
    let column = &options.vector_column;
    let name = if *column == WriteOptions::default().vector_column { "train" } else { column };
    let arrays = [AnnPart { name: name.to_owned(), values: AnnValues::Vectors(shape) }];
    let (mut output, gaps) = begin(path, &arrays, &[])?;
    output.put(&vec![0; gaps[0]])?;
    Ok(Box::new(FlatWriter::new(output, shape)))
}

/// The attributes of a file, as ann-benchmarks and VIBE have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnAttributes {
    /// `distance`: `euclidean`, `angular`, `cosine`, `ip`, `normalized` …
    pub metric: String,
    /// `point_type`: `float` for ann-benchmarks.
    pub point_type: String,
    /// `dimension`.
    pub dimension: u32,
}

/// An array that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnPart {
    /// Its name: `train`, `test`, `learn`, `neighbors`, `distances` …
    pub name: String,
    /// What it holds.
    pub values: AnnValues,
}

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnValues {
    /// Vectors, in the type of the shape.
    Vectors(Shape),
    /// Ids of neighbours, as i32, or as i64 where they do not fit.
    Ids {
        /// Number of queries.
        rows: u64,
        /// Most neighbours of each.
        k: u32,
        /// All ids are below this.
        below: u64,
    },
    /// Distances of neighbours, as f32.
    Distances {
        /// Number of queries.
        rows: u64,
        /// Most neighbours of each.
        k: u32,
    },
}

impl AnnPart {
    fn entry(&self) -> Entry<'_> {
        let (dtype, rows, columns) = match self.values {
            AnnValues::Vectors(shape) => (Dtype::from(shape.element), shape.rows, shape.dim),
            AnnValues::Ids { rows, k, below } => {
                let dtype = if below <= 1 << 31 { Dtype::I32 } else { Dtype::I64 };
                (dtype, rows, k)
            }
            AnnValues::Distances { rows, k } => (Dtype::F32, rows, k),
        };
        Entry { name: &self.name, dtype, rows, columns }
    }
}

/// Writes an HDF5 file of several arrays, one after the other in the order in which they were
/// announced. Dropped before [`AnnWriter::finish`] it leaves nothing behind.
#[derive(Debug)]
pub struct AnnWriter {
    output: Output,
    /// The arrays, and how many zeros go before the values of each.
    parts: Vec<(AnnPart, usize)>,
    /// The array that is being written, and the rows of it that are.
    current: usize,
    written: u64,
}

impl AnnWriter {
    /// Creates a file of these arrays.
    ///
    /// # Errors
    /// Names, sizes or texts that a file cannot have, or what the system refuses.
    pub fn create(
        path: &Path,
        attributes: &AnnAttributes,
        arrays: &[AnnPart],
    ) -> Result<Self, WriteError> {
        let texts = [
            ("type", "dense"),
            ("distance", attributes.metric.as_str()),
            ("point_type", attributes.point_type.as_str()),
        ];
        let mut values = Vec::new();
        for (name, text) in texts {
            if text.len() > LONGEST || text.contains('\0') {
                let expected = format!("an attribute `{name}` of at most {LONGEST} bytes");
                return Err(WriteError::mismatch(path, expected, format!("`{text}`")));
            }
            values.push((name, Value::Text(text)));
        }
        values.push(("dimension", Value::Integer(attributes.dimension.into())));
        let (output, gaps) = begin(path, arrays, &values)?;
        let parts = arrays.iter().cloned().zip(gaps).collect();
        let mut writer = Self { output, parts, current: 0, written: 0 };
        writer.begin_array()?;
        Ok(writer)
    }

    /// Appends vectors to the array whose turn it is.
    ///
    /// # Errors
    /// Rows that were not announced, or what the system refuses.
    pub fn write_vectors(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let shape = match self.next("vectors")? {
            AnnValues::Vectors(shape) => shape,
            other => return Err(self.wrong_turn("vectors", other)),
        };
        check_batch(self.output.path(), &shape, self.written, batch)?;
        self.output.put(batch.vectors.bytes())?;
        self.wrote(batch.rows as u64)
    }

    /// Appends ids to the array whose turn it is; shorter rows are padded with −1.
    ///
    /// # Errors
    /// Rows or ids that were not announced, or what the system refuses.
    pub fn write_ids(&mut self, ids: &IdMatrix) -> Result<(), WriteError> {
        let (rows, k, below) = match self.next("ids")? {
            AnnValues::Ids { rows, k, below } => (rows, k, below),
            other => return Err(self.wrong_turn("ids", other)),
        };
        self.check_matrix(rows, k, ids.rows(), ids.k())?;
        if let Some(id) = ids.iter().flatten().find(|&&id| id >= below) {
            let expected = format!("ids below {below}");
            return Err(WriteError::mismatch(self.output.path(), expected, id.to_string()));
        }
        match self.parts[self.current].0.entry().dtype {
            Dtype::I32 => matrix::put_rows(&mut self.output, None, ids, -1_i32, |id| id as i32)?,
            _ => matrix::put_rows(&mut self.output, None, ids, -1_i64, |id| id as i64)?,
        }
        self.wrote(ids.rows() as u64)
    }

    /// Appends distances to the array whose turn it is; shorter rows are padded with +∞.
    ///
    /// # Errors
    /// Rows that were not announced, a distance that is not finite, or what the system refuses.
    pub fn write_distances(&mut self, distances: &DistanceMatrix) -> Result<(), WriteError> {
        let (rows, k) = match self.next("distances")? {
            AnnValues::Distances { rows, k } => (rows, k),
            other => return Err(self.wrong_turn("distances", other)),
        };
        self.check_matrix(rows, k, distances.rows(), distances.k())?;
        matrix::check_distances(self.output.path(), distances)?;
        matrix::put_rows(&mut self.output, None, distances, f32::INFINITY, |distance| distance)?;
        self.wrote(distances.rows() as u64)
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// If fewer rows came than were announced, or the system refuses.
    pub fn finish(self) -> Result<(), WriteError> {
        match self.parts.get(self.current) {
            None => self.output.finish(),
            Some((part, _)) => {
                let expected = format!("{} rows of `{}`", part.entry().rows, part.name);
                let found = self.written.to_string();
                Err(WriteError::mismatch(self.output.path(), expected, found))
            }
        }
    }

    /// What the array holds whose turn it is.
    fn next(&self, given: &str) -> Result<AnnValues, WriteError> {
        match self.parts.get(self.current) {
            Some((part, _)) => Ok(part.values),
            None => {
                let expected = "no more, as all arrays are complete";
                Err(WriteError::mismatch(self.output.path(), expected, given))
            }
        }
    }

    fn wrong_turn(&self, given: &str, values: AnnValues) -> WriteError {
        let what = match values {
            AnnValues::Vectors(_) => "vectors",
            AnnValues::Ids { .. } => "ids",
            AnnValues::Distances { .. } => "distances",
        };
        let expected = format!("{what} for `{}`", self.parts[self.current].0.name);
        WriteError::mismatch(self.output.path(), expected, given)
    }

    fn check_matrix(
        &self,
        rows: u64,
        k: u32,
        given: usize,
        k_given: usize,
    ) -> Result<(), WriteError> {
        let path = self.output.path();
        if k as usize != k_given {
            let expected = format!("rows of at most {k}");
            return Err(WriteError::mismatch(path, expected, k_given.to_string()));
        }
        if self.written + given as u64 > rows {
            return check_count(path, rows, self.written + given as u64);
        }
        Ok(())
    }

    fn wrote(&mut self, rows: u64) -> Result<(), WriteError> {
        self.written += rows;
        if self.written < self.parts[self.current].0.entry().rows {
            return Ok(());
        }
        self.current += 1;
        self.written = 0;
        self.begin_array()
    }

    /// Goes to the values of the next array that has any.
    fn begin_array(&mut self) -> Result<(), WriteError> {
        while let Some((part, gap)) = self.parts.get(self.current) {
            self.output.put(&vec![0; *gap])?;
            if part.entry().rows > 0 {
                break;
            }
            self.current += 1;
        }
        Ok(())
    }
}

/// Creates a file and writes its metadata; gives how many zeros go before the values of each.
fn begin(
    path: &Path,
    arrays: &[AnnPart],
    attributes: &[(&str, Value)],
) -> Result<(Output, Vec<usize>), WriteError> {
    let mismatch =
        |expected: String, found: String| Err(WriteError::mismatch(path, expected, found));
    if arrays.len() > MOST_ARRAYS {
        return mismatch(format!("at most {MOST_ARRAYS} arrays"), arrays.len().to_string());
    }
    let mut total = Some(0_u64);
    for (at, part) in arrays.iter().enumerate() {
        let name = &part.name;
        let is_name = !name.is_empty() && name.len() <= LONGEST && name != ".";
        if !is_name || name.contains(['/', '\0']) {
            let expected = format!("a name of 1 to {LONGEST} bytes, without `/`");
            return mismatch(expected, format!("`{name}`"));
        }
        if arrays[..at].iter().any(|other| other.name == *name) {
            return mismatch("every array name once".to_owned(), format!("`{name}` twice"));
        }
        let entry = part.entry();
        if !(1..=MAX_DIM).contains(&entry.columns) {
            let expected = format!("a dim or k from 1 to {MAX_DIM} for `{name}`");
            return mismatch(expected, entry.columns.to_string());
        }
        let bytes = entry.rows.checked_mul(u64::from(entry.columns) * entry.dtype.size() as u64);
        total = bytes.zip(total).and_then(|(bytes, total)| total.checked_add(bytes));
    }
    if total.is_none_or(|total| total >= 1 << 62) {
        return mismatch("values of less than 2^62 bytes".to_owned(), "more".to_owned());
    }
    let entries: Vec<Entry> = arrays.iter().map(AnnPart::entry).collect();
    let (metadata, gaps) = encode::metadata(&entries, attributes);
    let mut output = Output::create(path)?;
    output.put(&metadata)?;
    Ok((output, gaps))
}
