//! HDF5 as ann-benchmarks and VIBE use it: a file of named arrays of two dimensions (`train`,
//! `test`, `learn`, `neighbors`, `distances` …) and a few attributes that say the metric.
//!
//! | file | what it holds |
//! |---|---|
//! | `source` | opening a file, and bounds on what its metadata can make the library do |
//! | `array` | one array: its type and layout, held against the file, and its rows |
//! | `read` | the reader of vectors |
//! | `describe` | which arrays there are, and the metric |
//! | `write` | the writer |
//! | `result` | result files of ann-benchmarks |
//! | `encode` | the bytes of the metadata that the writer needs |
//!
//! An array that lies in one piece is read as any flat file is; chunks are left to hdf5-pure, a
//! batch of rows at a time, which needs one row of chunks in memory.

mod array;
mod describe;
mod encode;
mod read;
mod result;
mod source;
mod write;

pub use describe::{AnnArray, AnnFile, describe_hdf5};
pub use result::{AnnResult, write_ann_result};
pub use write::{AnnAttributes, AnnPart, AnnValues, AnnWriter};

pub(crate) use array::Array;
pub(crate) use read::open;
pub(crate) use write::create;
