//! Counts rows that are the same as an earlier row, in bounded memory: equal rows have equal
//! hashes, so where there are too many different rows, those whose hash ends in a few zero bits
//! stand for all, with every copy of theirs.

use xxhash_rust::xxh3::xxh3_64;

/// Hashes that are kept: 64 MiB with their counts.
const MOST: usize = 4 << 20;

#[derive(Default)]
pub(crate) struct DuplicateCounter {
    /// Hashes, each with the copies of it that were taken out.
    rows: Vec<(u64, u64)>,
    /// Hashes with one of these bits are left out.
    left_out: u64,
}

impl DuplicateCounter {
    pub(crate) fn add(&mut self, row: &[u8]) {
        let hash = xxh3_64(row);
        if hash & self.left_out != 0 {
            return;
        }
        self.rows.push((hash, 0));
        if self.rows.len() >= MOST {
            self.merge();
            // Half of the room has to be free, or the next merge would come too soon.
            while self.rows.len() > MOST / 2 {
                self.left_out = self.left_out << 1 | 1;
                self.rows.retain(|(hash, _)| hash & self.left_out == 0);
            }
        }
    }

    fn merge(&mut self) {
        self.rows.sort_unstable();
        self.rows.dedup_by(|later, first| {
            let same = later.0 == first.0;
            first.1 += if same { later.1 + 1 } else { 0 };
            same
        });
    }

    /// How many rows repeat another, and whether that is exact. Two different rows have one hash
    /// with probability 2⁻⁶⁴.
    pub(crate) fn count(mut self) -> (u64, bool) {
        self.merge();
        let repeated: u64 = self.rows.iter().map(|(_, copies)| copies).sum();
        (repeated.saturating_mul(self.left_out.saturating_add(1)), self.left_out == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted_and_estimated() {
        let mut few = DuplicateCounter::default();
        [1_u64, 2, 1, 3, 1].iter().for_each(|row| few.add(&row.to_le_bytes()));
        assert_eq!(few.count(), (2, true));
        let mut same = DuplicateCounter::default();
        (0..MOST + 10).for_each(|_| same.add(b"row"));
        assert_eq!(same.count(), (MOST as u64 + 9, true));
        let mut many = DuplicateCounter::default();
        let rows = MOST as u64 * 3;
        (0..rows).for_each(|row| many.add(&(row / 2).to_le_bytes()));
        let (count, exact) = many.count();
        assert!(!exact);
        assert!((count as f64 / (rows / 2) as f64 - 1.0).abs() < 0.01, "{count}");
    }
}
