//! Sparse matrices, as the filter track of the big-ann benchmarks has metadata and filters of
//! items and queries: row i lists the tags of item i.
//!
//! `.spmat` is the CSR form, little-endian: `i64 rows, i64 columns, i64 n`, where each row ends
//! (i64, a zero before them), n column numbers (i32), n values (f32).
//! Layout: `harsha-simhadri/big-ann-benchmarks`, `benchmark/dataset_io.py`.

use std::ops::Range;
use std::path::Path;

use crate::attributes::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, I64ListColumn, SkippedColumn,
};
use crate::error::{Position, ReadError, WriteError};
use crate::flat::Input;
use crate::output::Output;
use crate::spec::{AttributeColumns, Format, ReadOptions};
use crate::table::{TableBatch, TableReader};

/// Bytes before the ends of the rows, the zero before them included.
const HEADER: u64 = 32;
/// The column that a file is as a table.
const TAGS: &str = "tags";

/// Rows of (column, value) pairs, ascending by column, each column at most once a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseMatrix {
    columns: u64,
    /// Where each row ends in `indices` and `values`; it starts where the row before it ends.
    ends: Vec<u64>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseMatrix {
    /// No rows yet, of `columns` columns.
    pub fn new(columns: u64) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Adds a row: its columns and their values.
    ///
    /// # Panics
    /// If there are not as many of one as of the other, or the columns do not ascend, or one is
    /// not below `columns` and 2³¹.
    pub fn push(&mut self, columns: &[u32], values: &[f32]) {
        assert_eq!(columns.len(), values.len(), "columns and values");
        assert!(columns.is_sorted_by(|a, b| a < b), "columns that do not ascend");
        let most = self.columns.min(1 << 31);
        assert!(columns.last().is_none_or(|&last| u64::from(last) < most), "a column from {most}");
        self.indices.extend_from_slice(columns);
        self.values.extend_from_slice(values);
        self.ends.push(self.indices.len() as u64);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Number of columns.
    pub fn columns(&self) -> u64 {
        self.columns
    }

    /// The columns of a row that have a value, ascending, and their values.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let start = if row == 0 { 0 } else { self.ends[row - 1] } as usize;
        let range = start..self.ends[row] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// The columns of each of these rows, as an attribute of several values: the tags of items.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn tags(&self, rows: Range<usize>) -> I64ListColumn {
        let mut tags = I64ListColumn::default();
        rows.for_each(|row| push_tags(&mut tags, self.row(row).0));
        tags
    }
}

fn push_tags(to: &mut I64ListColumn, columns: &[u32]) {
    let tags: Vec<i64> = columns.iter().map(|&column| i64::from(column)).collect();
    to.push(Some(&tags));
}

/// A file that is read from front to back.
struct Rows {
    input: Input,
    rows: u64,
    columns: u64,
    pairs: u64,
    next_row: u64,
    /// Where the row before `next_row` ends.
    last_end: u64,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, ReadError> {
        Format::to_read(path, &[Format::Spmat])?;
        let mut input = Input::open(path)?;
        if input.len < HEADER {
            let expected = format!("at least {HEADER} bytes: rows, columns, values, as i64, and 0");
            return Err(input.malformed(0, expected, format!("{} bytes", input.len)));
        }
        let mut header = [0_i64; 4];
        input.fill(bytemuck::cast_slice_mut(&mut header), 0)?;
        let names = ["a number of rows", "a number of columns", "a number of values"];
        for (at, name) in names.into_iter().enumerate() {
            if header[at] < 0 {
                let found = format!("{}{}", header[at], input.looks_like);
                return Err(input.malformed(8 * at as u64, name, found));
            }
        }
        let [rows, columns, pairs, zero] = header.map(i64::cast_unsigned);
        if zero != 0 {
            let found = format!("{}{}", header[3], input.looks_like);
            return Err(input.malformed(24, "row 0 to begin at 0", found));
        }
        if rows == 0 && pairs > 0 {
            return Err(input.malformed(16, "no values, as there are no rows", pairs.to_string()));
        }
        // The same as that many pairs behind a header that the ends of the rows are a part of.
        let Some(start) = rows.checked_mul(8).and_then(|bytes| bytes.checked_add(HEADER)) else {
            let found = format!("{rows}{}", input.looks_like);
            return Err(input.malformed(0, "a number of rows that can be", found));
        };
        input.check_len(start, pairs, 8)?;
        Ok(Self { input, rows, columns, pairs, next_row: 0, last_end: 0 })
    }

    /// Reads the next `count` rows, which there have to be, and appends them.
    fn read(&mut self, count: usize, into: &mut SparseMatrix) -> Result<(), ReadError> {
        let (first_row, first) = (self.next_row, self.last_end);
        let ends_at = HEADER + 8 * first_row;
        let mut ends = vec![0_u64; count];
        self.input.read_at(ends_at, bytemuck::cast_slice_mut(&mut ends))?;
        for (row, &end) in ends.iter().enumerate() {
            let row = first_row + row as u64;
            let most = self.pairs;
            let is_last = row + 1 == self.rows;
            if end < self.last_end || end > most || (is_last && end != most) {
                let least = if is_last { most } else { self.last_end };
                let expected = format!("the row to end from {least} to {most}");
                let at = Position { byte: Some(HEADER + 8 * row), ..Position::row(row) };
                let found = end.cast_signed().to_string();
                return Err(ReadError::malformed(&self.input.path, at, expected, found));
            }
            self.last_end = end;
        }
        let pairs = (self.last_end - first) as usize;
        let before = into.indices.len();
        into.indices.resize(before + pairs, 0);
        into.values.resize(before + pairs, 0.0);
        let indices_at = HEADER + 8 * self.rows + 4 * first;
        let indices = &mut into.indices[before..];
        self.input.read_at(indices_at, bytemuck::cast_slice_mut(indices))?;
        let values_at = indices_at + 4 * self.pairs;
        let values = &mut into.values[before..];
        self.input.read_at(values_at, bytemuck::cast_slice_mut(values))?;
        let mut start = 0;
        for (row, &end) in ends.iter().enumerate() {
            let range = start..(end - first) as usize;
            let row = first_row + row as u64;
            self.check_row(row, &mut indices[range.clone()], &mut values[range.clone()])?;
            into.ends.push((before + range.end) as u64);
            start = range.end;
        }
        self.next_row += count as u64;
        Ok(())
    }

    /// Checks the pairs of a row, and sorts them where they do not ascend: scipy may leave them
    /// as they came.
    fn check_row(
        &self,
        row: u64,
        indices: &mut [u32],
        values: &mut [f32],
    ) -> Result<(), ReadError> {
        let malformed = |at: usize, expected: String, found: String| {
            let at = Position::row(row).at_component(at as u64);
            Err(ReadError::malformed(&self.input.path, at, expected, found))
        };
        let most = self.columns.min(1 << 31);
        if let Some(at) = indices.iter().position(|&column| u64::from(column) >= most) {
            let found = indices[at].cast_signed().to_string();
            return malformed(at, format!("a column from 0, below {most}"), found);
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return malformed(at, "a finite number".to_owned(), values[at].to_string());
        }
        if indices.is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        let mut order: Vec<usize> = (0..indices.len()).collect();
        order.sort_unstable_by_key(|&at| (indices[at], at));
        if let Some(pair) = order.windows(2).find(|pair| indices[pair[0]] == indices[pair[1]]) {
            let found = format!("column {} again", indices[pair[1]]);
            return malformed(pair[1], "each column once a row".to_owned(), found);
        }
        let sorted: Vec<(u32, f32)> = order.iter().map(|&at| (indices[at], values[at])).collect();
        for (at, pair) in sorted.into_iter().enumerate() {
            (indices[at], values[at]) = pair;
        }
        Ok(())
    }
}

/// Reads a `.spmat` file whole: memory is its length. Rows whose columns do not ascend are sorted.
///
/// # Errors
/// What is wrong with the file: its header, its length, ends of rows that descend, a column that
/// there is not or that a row has twice, a value that is not finite.
pub fn read_sparse(path: &Path) -> Result<SparseMatrix, ReadError> {
    /// Rows read at a time.
    const ROWS: u64 = 1 << 16;
    let mut rows = Rows::open(path)?;
    let mut matrix = SparseMatrix::new(rows.columns);
    // All that is allocated is there in the file, which is as long as its header says.
    matrix.ends.reserve_exact(rows.rows as usize);
    matrix.indices.reserve_exact(rows.pairs as usize);
    matrix.values.reserve_exact(rows.pairs as usize);
    while rows.next_row < rows.rows {
        let count = (rows.rows - rows.next_row).min(ROWS) as usize;
        rows.read(count, &mut matrix)?;
    }
    Ok(matrix)
}

/// Writes a `.spmat` file.
///
/// # Errors
/// An unknown extension, a value that is not finite, or what the system refuses.
pub fn write_sparse(path: &Path, matrix: &SparseMatrix) -> Result<(), WriteError> {
    Format::to_write(path, &[Format::Spmat])?;
    if let Some(at) = matrix.values.iter().position(|value| !value.is_finite()) {
        let row = matrix.ends.partition_point(|&end| end <= at as u64);
        let found = format!("{} in row {row}", matrix.values[at]);
        return Err(WriteError::mismatch(path, "finite values", found));
    }
    let mut output = Output::create(path)?;
    let header = [matrix.rows() as u64, matrix.columns, matrix.indices.len() as u64, 0];
    output.put(bytemuck::cast_slice(&header))?;
    output.put(bytemuck::cast_slice(&matrix.ends))?;
    output.put(bytemuck::cast_slice(&matrix.indices))?;
    output.put(bytemuck::cast_slice(&matrix.values))?;
    output.finish()
}

/// A file as a table: its one attribute, `tags`, are the columns of each row.
struct SparseTable {
    rows: Rows,
    fields: Vec<AttributeField>,
    rows_per_batch: usize,
    /// The rows of a batch.
    part: SparseMatrix,
}

/// Opens a file for the columns of its rows, as the attribute `tags`.
pub(crate) fn open_table(
    path: &Path,
    options: &ReadOptions,
) -> Result<Box<dyn TableReader>, ReadError> {
    let rows = Rows::open(path)?;
    let unsuitable = |expected: String| {
        let found = format!("a sparse matrix, whose one attribute is `{TAGS}`");
        Err(ReadError::unsuitable(path, expected, found))
    };
    if let Some(name) = &options.id_column {
        return unsuitable(format!("an integer column `{name}` of ids"));
    }
    let field = AttributeField { name: TAGS.to_owned(), kind: AttributeKind::I64List };
    let fields = match &options.attributes {
        AttributeColumns::None => Vec::new(),
        AttributeColumns::All => vec![field],
        AttributeColumns::Named(names) => match names.iter().find(|name| *name != TAGS) {
            Some(name) => return unsuitable(format!("the attribute column `{name}`")),
            None if names.len() > 1 => {
                return unsuitable(format!("one mention of the attribute `{TAGS}`"));
            }
            None => names.iter().map(|_| field.clone()).collect(),
        },
    };
    let row_bytes = usize::try_from(rows.input.len / rows.rows.max(1)).unwrap_or(usize::MAX);
    let rows_per_batch = options.rows_per_batch(row_bytes);
    Ok(Box::new(SparseTable { rows, fields, rows_per_batch, part: SparseMatrix::default() }))
}

impl TableReader for SparseTable {
    fn path(&self) -> &Path {
        &self.rows.input.path
    }

    fn rows(&self) -> u64 {
        self.rows.rows
    }

    fn has_ids(&self) -> bool {
        false
    }

    fn attributes(&self) -> &[AttributeField] {
        &self.fields
    }

    fn skipped(&self) -> &[SkippedColumn] {
        &[]
    }

    fn next_batch(&mut self, batch: &mut TableBatch) -> Result<bool, ReadError> {
        let left = self.rows.rows - self.rows.next_row;
        let count = left.min(self.rows_per_batch as u64) as usize;
        batch.first_row = self.rows.next_row;
        batch.rows = count;
        batch.ids = None;
        batch.attributes.clear();
        if count == 0 {
            return Ok(false);
        }
        self.part.ends.clear();
        self.part.indices.clear();
        self.part.values.clear();
        self.part.columns = self.rows.columns;
        self.rows.read(count, &mut self.part)?;
        let columns = self.fields.iter().map(|field| AttributeBatch {
            name: field.name.clone(),
            values: AttributeValues::I64List(self.part.tags(0..count)),
        });
        batch.attributes.extend(columns);
        Ok(true)
    }
}
