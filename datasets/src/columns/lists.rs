//! Arrow has three kinds of list columns: with offsets of 32 bits, of 64 bits, and of a fixed
//! size without offsets. Here they are one.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};

/// The lists of an array: one a row, each so many of the entries.
pub(super) struct Lists {
    /// Which rows are null; `None` where none is.
    pub(super) nulls: Option<NullBuffer>,
    /// Where each list begins in `entries`, and behind the last the end of it; from 0.
    pub(super) offsets: Vec<usize>,
    /// The entries of all lists, and none of those before or behind them.
    pub(super) entries: ArrayRef,
}

impl Lists {
    /// The lists of an array; `None` for an array of another type.
    pub(super) fn of(array: &dyn Array) -> Option<Self> {
        let (offsets, values): (Vec<usize>, &ArrayRef) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list_opt::<i32>()?;
                let offsets = list.value_offsets();
                (offsets.iter().map(|at| at.unsigned_abs() as usize).collect(), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list_opt::<i64>()?;
                let offsets = list.value_offsets();
                (offsets.iter().map(|at| at.unsigned_abs() as usize).collect(), list.values())
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list_opt()?;
                let size = size.unsigned_abs() as usize;
                ((0..=list.len()).map(|row| row * size).collect(), list.values())
            }
            _ => return None,
        };
        let (&start, &end) = (offsets.first()?, offsets.last()?);
        let entries = values.slice(start, end.checked_sub(start)?);
        let offsets = offsets.into_iter().map(|at| at - start).collect();
        Some(Self { nulls: array.nulls().cloned(), offsets, entries })
    }

    /// Number of lists.
    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The first row that is null.
    pub(super) fn first_null(&self) -> Option<usize> {
        (0..self.len()).find(|&row| self.is_null(row))
    }

    /// The entries of each list, as a range of them.
    pub(super) fn ranges(&self) -> impl ExactSizeIterator<Item = std::ops::Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The row that an entry is of, and its place in that row's list.
    pub(super) fn locate(&self, entry: usize) -> (usize, usize) {
        let row = self.offsets.partition_point(|&start| start <= entry).saturating_sub(1);
        (row, entry - self.offsets[row])
    }
}

/// What the entries of a list column are; `None` for another type of column.
pub(super) fn entry_of(data_type: &DataType) -> Option<&Field> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => Some(item),
        DataType::FixedSizeList(item, size) if *size > 0 => Some(item),
        _ => None,
    }
}

/// Whether a column is of text, by any of Arrow's three layouts.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
