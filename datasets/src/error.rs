//! What goes wrong when a data file is read or written, with the place in the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where in a file something is wrong. Only the parts that are known are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Byte offset from the start of the file.
    pub byte: Option<u64>,
    /// Name of the column.
    pub column: Option<String>,
    /// Row, from 0.
    pub row: Option<u64>,
    /// Entry within the row: a component of a vector, an element of a list. From 0.
    pub component: Option<u64>,
    /// Line of a text, from 1.
    pub line: Option<u64>,
    /// Step of a runbook, from 1.
    pub step: Option<u64>,
}

impl Position {
    /// A byte offset from the start of the file.
    pub fn byte(offset: u64) -> Self {
        Self { byte: Some(offset), ..Self::default() }
    }

    /// A row, from 0.
    pub fn row(row: u64) -> Self {
        Self { row: Some(row), ..Self::default() }
    }

    /// A line of a text, from 1.
    pub fn line(line: u64) -> Self {
        Self { line: Some(line), ..Self::default() }
    }

    /// A step of a runbook, from 1.
    pub fn step(step: u64) -> Self {
        Self { step: Some(step), ..Self::default() }
    }

    /// A whole column.
    pub fn column(name: &str) -> Self {
        Self { column: Some(name.to_owned()), ..Self::default() }
    }

    /// The same place, narrowed to `row`.
    pub fn at_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// The same place, narrowed to one entry of the row.
    pub fn at_component(mut self, component: u64) -> Self {
        self.component = Some(component);
        self
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.byte.map(|byte| format!("byte {byte}")));
        parts.extend(self.column.as_ref().map(|name| format!("column `{name}`")));
        parts.extend(self.row.map(|row| format!("row {row}")));
        parts.extend(self.component.map(|component| format!("component {component}")));
        parts.extend(self.line.map(|line| format!("line {line}")));
        parts.extend(self.step.map(|step| format!("step {step}")));
        f.write_str(if parts.is_empty() { "whole file" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// A data file that could not be read. Nothing of a refused file should be used: batches that
/// came before the error are part of a file that is not what it claims to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: "open", "read" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The name does not say which format the file is in.
    #[error(
        "{}: expected a file name that ends in {expected}, found {found}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The extensions that would do.
        expected: String,
        /// The extension that is there.
        found: String,
    },
    /// The file is fine, but not for what was asked of it: a column that is not there, a vector
    /// column that cannot be told from its neighbours, ids where vectors are wanted.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        expected: String,
        /// What the file has instead.
        found: String,
    },
    /// The bytes are not what the format, or the rest of the file, says that they are.
    #[error("{}, {at}: expected {expected}, found {found}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place.
        at: Box<Position>,
        /// What has to be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl ReadError {
    /// For `map_err`: an [`ReadError::Io`] about `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(
        path: &Path,
        at: Position,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            at: Box::new(at),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn unsuitable(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Unsuitable { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}

/// A data file that could not be written. The file that was to be written is then as it was
/// before: output goes to a temporary sibling that takes the name only when it is complete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: "create", "write", "rename" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The name does not say which format to write.
    #[error(
        "{}: expected a file name that ends in {expected}, found {found}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The extensions that would do.
        expected: String,
        /// The extension that is there.
        found: String,
    },
    /// The format cannot hold what it was given, or the rows are not those that were announced.
    #[error("cannot write {}: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What the format or the announced shape asks for.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl WriteError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn mismatch(
        path: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Mismatch { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}
