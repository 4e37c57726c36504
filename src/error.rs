//! Errors that several operations share. Each operation has its own enum next to its code
//! (`OpenError`, `BuildError`, `SearchError`, …) and wraps these.

use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed, with the path it was about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was attempted: "open", "write", "rename" …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: `File::open(path).map_err(FileError::at("open", path))`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError { action, path, source }
    }
}

/// Bytes that are not what the format says, found while reading an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is corrupt: {section} at byte {offset}: expected {expected}, found {found}",
    path.display()
)]
pub struct Corruption {
    /// The damaged file.
    pub path: PathBuf,
    /// The part of the file, in the words of `docs/format.md`.
    pub section: String,
    /// Byte offset from the start of the file.
    pub offset: u64,
    /// What the format requires there.
    pub expected: String,
    /// What is there.
    pub found: String,
}
