//! Reads and writes the file formats that embeddings come in. A leaf: it knows nothing of
//! indexes and depends on no crate of this workspace.
//!
//! | module | what it holds |
//! |---|---|
//! | `spec` | `FILE[#column]`, the format by extension, the reader's options |
//! | `vectors` | element types, shape, one batch of rows |
//! | `attributes` | attribute columns in memory |
//! | `error` | what goes wrong, with path, place, expected and found |
//! | `flat` | header-then-rows files: the reader and writer that `npy` and `xbin` share |
//! | `npy`, `xbin` | their headers |
//! | `columns/` | files with columns: vectors, ids, attributes, from Arrow arrays |
//! | `parquet/`, `ipc/` | the files that such columns are in: Parquet; Arrow file and stream |
//! | `hdf5/` | the arrays of ann-benchmarks and VIBE (feature `hdf5`, on by default) |
//! | `matrix` | ids and distances of nearest neighbours |
//! | `relevance` | graded relevance of items to queries |
//! | `ids` | duplicate ids |
//! | `output` | a file that appears whole or not at all |
//!
//! Vectors are streamed: [`open`] gives a [`VectorReader`], which fills one [`Batch`] after the
//! other, and [`create`] a [`VectorWriter`]. What is in memory at a time is one batch, whatever
//! a header claims. A malformed file is refused as a whole, with a typed error; values that are
//! not finite make a file malformed.
//!
//! ```no_run
//! use vicinage_datasets::{Batch, ReadOptions, open};
//!
//! let mut reader = open(&"items.npy".parse()?, &ReadOptions::default())?;
//! let mut batch = Batch::default();
//! while reader.next_batch(&mut batch)? {
//!     let vectors = batch.to_f32()?;
//!     assert_eq!(vectors.len(), batch.rows * batch.dim);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod columns;
mod error;
mod flat;
#[cfg(feature = "hdf5")]
mod hdf5;
mod ids;
mod ipc;
mod matrix;
mod npy;
mod output;
mod parquet;
mod relevance;
mod spec;
mod vectors;
mod xbin;

use std::path::Path;

pub use attributes::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, I64ListColumn, SkippedColumn,
    TextColumn, TextListColumn,
};
pub use columns::{TableBatch, TableReader, open_table};
pub use error::{Position, ReadError, WriteError};
#[cfg(feature = "hdf5")]
pub use hdf5::{AnnArray, AnnAttributes, AnnFile, AnnPart, AnnValues, AnnWriter, describe_hdf5};
pub use ids::{DuplicateId, find_duplicate_id};
pub use matrix::{
    DistanceMatrix, IdMatrix, Matrix, read_distances, read_ids, write_distances, write_ids,
};
pub use relevance::{Relevance, read_relevance};
pub use spec::{AttributeColumns, Format, InputSpec, ReadOptions, SpecError, WriteOptions};
pub use vectors::{Batch, Element, MAX_DIM, NarrowError, Shape, VectorData};

use flat::Input;
use output::Output;

#[cfg(target_endian = "big")]
compile_error!("the formats are little-endian and are read without conversion");

/// A file of vectors that is read from front to back.
pub trait VectorReader: Send {
    /// The file, for messages.
    fn path(&self) -> &Path;

    /// What the whole file holds.
    fn shape(&self) -> Shape;

    /// The attribute columns that batches bring, in that order.
    fn attributes(&self) -> &[AttributeField];

    /// The columns that were left out because no attribute can have their type.
    fn skipped(&self) -> &[SkippedColumn];

    /// Fills `batch` with the next rows, reusing its buffers, and says whether there were any.
    ///
    /// # Errors
    /// What is wrong with the file in these rows. The reader must not be used after that.
    fn next_batch(&mut self, batch: &mut Batch) -> Result<bool, ReadError>;
}

/// A file of vectors that is written from front to back. Dropped before [`VectorWriter::finish`]
/// it leaves nothing behind, and a file that was there before stays as it was.
pub trait VectorWriter: Send {
    /// Appends the rows of `batch`, which have the dim and element type that were announced;
    /// `batch.first_row` is not looked at.
    ///
    /// # Errors
    /// What the file cannot hold, with the row, or what the system refuses.
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError>;

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// If fewer rows came than were announced, or the system refuses.
    fn finish(self: Box<Self>) -> Result<(), WriteError>;
}

/// The formats that hold vectors.
const VECTOR_FORMATS: &[Format] = &[
    Format::Npy,
    Format::Fbin,
    Format::U8bin,
    Format::I8bin,
    Format::Parquet,
    Format::Arrow,
    Format::ArrowStream,
    #[cfg(feature = "hdf5")]
    Format::Hdf5,
];

/// The formats that have columns.
const COLUMN_FORMATS: [Format; 3] = [Format::Parquet, Format::Arrow, Format::ArrowStream];

/// Opens a file with columns, in the format that its extension names.
fn open_columns(path: &Path) -> Result<Box<dyn columns::Source>, ReadError> {
    Ok(match Format::to_read(path, &COLUMN_FORMATS)? {
        Format::Parquet => Box::new(parquet::Source::open(path)?),
        _ => Box::new(ipc::Source::open(path)?),
    })
}

/// Opens a file of vectors, in the format that its extension names.
///
/// # Errors
/// An unknown extension, a file that is not of that format, or options that do not fit it.
pub fn open(spec: &InputSpec, options: &ReadOptions) -> Result<Box<dyn VectorReader>, ReadError> {
    let format = Format::to_read(&spec.path, VECTOR_FORMATS)?;
    if COLUMN_FORMATS.contains(&format) {
        return columns::open(open_columns(&spec.path)?, spec.column.as_deref(), options);
    }
    #[cfg(feature = "hdf5")]
    if format == Format::Hdf5 {
        return hdf5::open(spec, options);
    }
    flat::no_columns(spec, options)?;
    let input = Input::open(&spec.path)?;
    Ok(match format.fixed_element() {
        Some(element) => Box::new(xbin::open(input, element, options)?),
        None => Box::new(npy::open(input, options)?),
    })
}

/// Creates a file of vectors of `shape`, in the format that the extension of `path` names.
///
/// # Errors
/// An unknown extension, a shape or columns that the format cannot hold, or what the system
/// refuses.
pub fn create(
    path: &Path,
    shape: Shape,
    options: &WriteOptions,
) -> Result<Box<dyn VectorWriter>, WriteError> {
    let format = Format::to_write(path, VECTOR_FORMATS)?;
    let mismatch = |expected, found| Err(WriteError::mismatch(path, expected, found));
    if !(1..=MAX_DIM).contains(&shape.dim) {
        return mismatch(format!("a dim from 1 to {MAX_DIM}"), shape.dim.to_string());
    }
    match format {
        Format::Parquet => return parquet::create(path, shape, options),
        Format::Arrow | Format::ArrowStream => {
            return ipc::create(path, format, shape, options);
        }
        _ => {}
    }
    if options.id_column.is_some() || !options.attributes.is_empty() {
        let extension = format.extension();
        let expected = format!("vectors alone, which is all that .{extension} holds");
        return mismatch(expected, "ids or attributes, which would be lost".to_owned());
    }
    #[cfg(feature = "hdf5")]
    if format == Format::Hdf5 {
        return hdf5::create(path, shape, options);
    }
    match format.fixed_element() {
        Some(element) if element != shape.element => mismatch(
            format!("components of {element}, which is what .{} holds", format.extension()),
            shape.element.to_string(),
        ),
        Some(_) => Ok(Box::new(xbin::create(Output::create(path)?, shape)?)),
        None => Ok(Box::new(npy::create(Output::create(path)?, shape)?)),
    }
}
