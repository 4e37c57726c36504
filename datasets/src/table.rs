//! Ids and attributes without vectors, such as lie beside vectors in a format that has no columns.

use std::path::Path;

use crate::attributes::{AttributeBatch, AttributeField, SkippedColumn};
use crate::error::ReadError;

/// Consecutive rows of a table without vectors. A reader fills it and reuses its buffers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableBatch {
    /// Number, in the file, of the first row.
    pub first_row: u64,
    /// Number of rows.
    pub rows: usize,
    /// Item ids, one a row; `None` where the file has none and rows are known by number.
    pub ids: Option<Vec<u64>>,
    /// Attribute columns, each with one value a row; in the order of the reader's `attributes`.
    pub attributes: Vec<AttributeBatch>,
}

/// A file that is read from front to back for its ids and attributes. Bringing them together with
/// the vectors they belong to, by row or by id, is the caller's part.
pub trait TableReader: Send {
    /// The file, for messages.
    fn path(&self) -> &Path;

    /// Number of rows in the whole file.
    fn rows(&self) -> u64;

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
    fn next_batch(&mut self, batch: &mut TableBatch) -> Result<bool, ReadError>;
}
