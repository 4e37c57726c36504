//! Reads and writes the file formats that embeddings come in. A leaf: it knows nothing of
//! indexes and depends on no crate of this workspace.
//!
//! | module | what it holds |
//! |---|---|
//! | `spec` | `FILE[#column]`, the format by extension, the reader's options |
//! | `files` | several files as one input: a directory, a pattern |
//! | `vectors` | element types, shape, one batch of rows |
//! | `attributes` | attribute columns in memory |
//! | `table` | ids and attributes without vectors |
//! | `error` | what goes wrong, with path, place, expected and found |
//! | `flat/` | rows end to end: npy, npz, the bin and vecs families |
//! | `columns/` | files with columns: vectors, ids, attributes, from Arrow arrays |
//! | `parquet/`, `ipc/` | the files that such columns are in: Parquet; Arrow file and stream |
//! | `jsonl/` | JSON lines, plain and compressed |
//! | `hdf5/` | the arrays of ann-benchmarks and VIBE (feature `hdf5`, on by default) |
//! | `matrix` | ids and distances of nearest neighbours |
//! | `sparse` | the tags of items, as a sparse matrix |
//! | `relevance` | graded relevance of items to queries |
//! | `runbook/` | insertions, deletions and searches, step by step |
//! | `ids` | duplicate ids |
//! | `output`, `zip` | a file that appears whole or not at all; the frame of an archive |
//! | `generate/` | made-up data, the same from the same seed |
//! | `profile/` | what a file of vectors is like |
//! | `catalog` | the public sets that are known by name |
//! | `random` | draws that are the same on every machine |
//!
//! | extension | vectors | neighbours | ids and attributes |
//! |---|---|---|---|
//! | `.npy`, `.npz` | f64, f32, f16, i8, u8 | ids, distances | |
//! | `.fbin`, `.u8bin`, `.i8bin` | f32, u8, i8 | distances (`.fbin`) | |
//! | `.fvecs`, `.bvecs` | f32, u8 | distances (`.fvecs`) | |
//! | `.ibin`, `.ivecs`, `.bin`, `.gt100` | | ids; both, in a ground truth (`.ibin`, `.bin`) | |
//! | `.spmat` | | | tags |
//! | `.parquet` | f64, f32, f16, i8, u8 | | ids, attributes |
//! | `.arrow`, `.feather`, `.arrows` | f64, f32, f16, i8, u8 | | ids, attributes |
//! | `.hdf5`, `.h5` | f64, f32, f16, i8, u8 | ids, distances | |
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
pub mod catalog;
mod columns;
mod error;
mod files;
mod flat;
pub mod generate;
#[cfg(feature = "hdf5")]
mod hdf5;
mod ids;
mod ipc;
mod jsonl;
mod matrix;
mod output;
mod parquet;
pub mod profile;
mod random;
mod relevance;
mod runbook;
mod sparse;
mod spec;
mod table;
mod vectors;
mod zip;

use std::path::Path;

pub use attributes::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, I64ListColumn, SkippedColumn,
    TextColumn, TextListColumn,
};
pub use error::{Position, ReadError, WriteError};
#[cfg(feature = "hdf5")]
pub use hdf5::{
    AnnArray, AnnAttributes, AnnFile, AnnPart, AnnResult, AnnValues, AnnWriter, describe_hdf5,
    write_ann_result,
};
pub use ids::{DuplicateId, find_duplicate_id};
pub use matrix::{
    DistanceMatrix, IdMatrix, Matrix, read_distances, read_ids, write_distances,
    write_ground_truth, write_ids,
};
pub use parquet::{TableWriter, create_table};
pub use relevance::{Relevance, read_relevance};
pub use runbook::{Runbook, StepError, Tags, Update, read_runbook, write_runbook};
pub use sparse::{SparseMatrix, read_sparse, write_sparse};
pub use spec::{AttributeColumns, Format, InputSpec, ReadOptions, SpecError, WriteOptions};
pub use table::{TableBatch, TableReader};
pub use vectors::{Batch, Element, MAX_DIM, NarrowError, Shape, VectorData};

use files::Files;
use flat::{Input, npy, npz, vecs, xbin};
use output::Output;

#[cfg(target_endian = "big")]
compile_error!("the formats are little-endian and are read without conversion");

/// A file of vectors that is read from front to back.
pub trait VectorReader: Send {
    /// The file, for messages.
    fn path(&self) -> &Path;

    /// What the whole file holds.
    fn shape(&self) -> Shape;

    /// Whether batches bring ids.
    fn has_ids(&self) -> bool;

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
    Format::Npz,
    Format::Fbin,
    Format::U8bin,
    Format::I8bin,
    Format::Fvecs,
    Format::Bvecs,
    Format::Parquet,
    Format::Arrow,
    Format::ArrowStream,
    Format::Jsonl,
    #[cfg(feature = "hdf5")]
    Format::Hdf5,
];

/// The formats that have columns.
const COLUMN_FORMATS: [Format; 4] =
    [Format::Parquet, Format::Arrow, Format::ArrowStream, Format::Jsonl];

/// The formats that hold ids and attributes.
const TABLE_FORMATS: [Format; 5] =
    [Format::Parquet, Format::Arrow, Format::ArrowStream, Format::Jsonl, Format::Spmat];

/// Opens a file in a format that has columns; `vector` is the vector column, where the input names
/// it.
fn open_columns(
    format: Format,
    path: &Path,
    vector: Option<&str>,
) -> Result<Box<dyn columns::Source>, ReadError> {
    Ok(match format {
        Format::Jsonl => jsonl::open(path, vector)?,
        Format::Arrow | Format::ArrowStream => Box::new(ipc::Source::open(path)?),
        _ => Box::new(parquet::Source::open(path)?),
    })
}

/// Whether a file has no rows, and so no vector that would say the dim. Parallel writers leave such
/// parts, in formats that know it without reading them.
fn has_no_rows(format: Format, path: &Path) -> Result<bool, ReadError> {
    match format {
        Format::Parquet | Format::Arrow => Ok(open_columns(format, path, None)?.rows() == 0),
        _ => Ok(false),
    }
}

/// Opens vectors, in the format that the extension names. A directory or a pattern is read as one
/// file, in the order of the names: the rows of one file follow those of the other, and dim,
/// element, ids and attributes are the same in all.
///
/// # Errors
/// An unknown extension, a file that is not of that format or not like the others, or options
/// that do not fit it.
pub fn open(spec: &InputSpec, options: &ReadOptions) -> Result<Box<dyn VectorReader>, ReadError> {
    let found = Files::find(&spec.path, VECTOR_FORMATS)?;
    let format = found.format;
    if found.is_one {
        return open_file(format, spec, options);
    }
    let (column, options) = (spec.column.clone(), options.clone());
    files::vectors(&spec.path, found, move |file| {
        let spec = InputSpec { path: file.to_owned(), column: column.clone() };
        open_file(format, &spec, &options)
    })
}

fn open_file(
    format: Format,
    spec: &InputSpec,
    options: &ReadOptions,
) -> Result<Box<dyn VectorReader>, ReadError> {
    match format {
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => return hdf5::open(spec, options),
        Format::Npz => return Ok(Box::new(npz::open(spec, options)?)),
        _ if format.has_columns() => {
            let column = spec.column.as_deref();
            return columns::open(open_columns(format, &spec.path, column)?, column, options);
        }
        _ => flat::no_columns(spec, options)?,
    }
    let input = Input::open(&spec.path)?;
    Ok(match (format, format.fixed_element()) {
        (Format::Fvecs | Format::Bvecs, Some(element)) => {
            Box::new(vecs::open(input, element, options)?)
        }
        (_, Some(element)) => Box::new(xbin::open(input, element, options)?),
        (_, None) => Box::new(npy::open(input, options)?),
    })
}

/// The format of the vectors of an input, which for a directory is that of its files.
///
/// # Errors
/// As those of [`open`] that are about names.
pub fn vector_format(spec: &InputSpec) -> Result<Format, ReadError> {
    Ok(Files::find(&spec.path, VECTOR_FORMATS)?.format)
}

/// Opens a file, or a directory or pattern as [`open`] does, for its ids and attributes. A sparse
/// matrix has one attribute, `tags`: the columns of each row.
///
/// # Errors
/// What is wrong with the file, or options that do not fit it.
pub fn open_table(path: &Path, options: &ReadOptions) -> Result<Box<dyn TableReader>, ReadError> {
    let open_file = |format: Format, path: &Path, options: &ReadOptions| match format {
        Format::Spmat => sparse::open_table(path, options),
        _ => columns::open_table(open_columns(format, path, None)?, options),
    };
    let found = Files::find(path, &TABLE_FORMATS)?;
    let format = found.format;
    if found.is_one {
        return open_file(format, path, options);
    }
    let options = options.clone();
    files::tables(path, found, move |file| open_file(format, file, &options))
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
        Format::Jsonl => return jsonl::create(path, shape, options),
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
    if let Some(element) = format.fixed_element().filter(|&element| element != shape.element) {
        let extension = format.extension();
        let expected = format!("components of {element}, which is what .{extension} holds");
        return mismatch(expected, shape.element.to_string());
    }
    #[cfg(feature = "hdf5")]
    if format == Format::Hdf5 {
        return hdf5::create(path, shape, options);
    }
    let output = Output::create(path)?;
    Ok(Box::new(match format {
        Format::Npy => npy::create(output, shape)?,
        Format::Npz => npz::create(output, shape, &options.vector_column)?,
        Format::Fvecs | Format::Bvecs => vecs::create(output, shape)?,
        _ => xbin::create(output, shape)?,
    }))
}
