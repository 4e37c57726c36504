//! Duplicate ids. Readers stream and cannot see them; who has gathered all ids asks here.

use std::path::Path;

use crate::error::{Position, ReadError};

/// Two rows with one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateId {
    /// The id.
    pub id: u64,
    /// The first row that has it.
    pub first_row: u64,
    /// The next row that has it.
    pub second_row: u64,
}

impl DuplicateId {
    /// The error that refuses the file the ids are from.
    pub fn in_file(self, path: &Path) -> ReadError {
        let found = format!("{}, which is the id of row {}", self.id, self.first_row);
        let at = Position::row(self.second_row);
        ReadError::malformed(path, at, "an id that no other row has", found)
    }
}

/// The first row, if any, whose id an earlier row has. Sorts a copy of the ids: O(n log n) time,
/// 16 bytes a row; ids that ascend cost one pass and no memory.
pub fn find_duplicate_id(ids: &[u64]) -> Option<DuplicateId> {
    if ids.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut rows: Vec<(u64, u64)> = ids.iter().copied().zip(0..).collect();
    rows.sort_unstable();
    rows.windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| DuplicateId { id: pair[0].0, first_row: pair[0].1, second_row: pair[1].1 })
        .min_by_key(|duplicate| duplicate.second_row)
}
