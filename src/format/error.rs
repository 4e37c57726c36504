//! Why a segment file cannot be opened.

use std::path::PathBuf;

use super::{FORMAT_VERSION, OLDEST_READABLE};
use crate::error::{Corruption, FileError};

/// Why a segment file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not start as a segment file does.
    #[error(
        "{} is not a vicinage segment file: it starts with \"{}\"",
        path.display(),
        found.escape_ascii()
    )]
    NotASegment {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        found: [u8; 8],
    },
    /// The file needs a newer build.
    #[error(
        "{} was written by format {written} and needs a reader of format {oldest_reader}; \
         this build reads up to {FORMAT_VERSION}: upgrade vicinage to read it",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format that it was written in.
        written: u32,
        /// The oldest format whose readers understand it.
        oldest_reader: u32,
    },
    /// The file needs an older build.
    #[error(
        "{} was written by format {written}; this build reads from {OLDEST_READABLE} to \
         {FORMAT_VERSION}: rebuild the index",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// The format that it was written in.
        written: u32,
    },
    /// The file is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
}
