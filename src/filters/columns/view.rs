//! Reads the values of a column straight from the bytes of its section.

use std::cmp::Ordering;

use super::{AttributeValue, COLUMN_HEADER_BYTES, ColumnKind, ColumnSchema, Counts, Places};
use crate::error::Corruption;
use crate::format::{SectionKind, SegmentFile};
use crate::types::NodeId;

/// A column section that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDamage {
    /// Byte offset within the section.
    pub offset: u64,
    /// What the format requires there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl ColumnDamage {
    pub(in crate::filters) fn new(
        offset: usize,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> ColumnDamage {
        let (expected, found) = (expected.into(), found.to_string());
        ColumnDamage { offset: offset as u64, expected, found }
    }
}

/// Where things are in one column section that was validated. It borrows nothing, so that whoever
/// owns the file can keep it and look at the column again without validating it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnLayout {
    counts: Counts,
    places: Places,
}

/// The values of one column.
#[derive(Clone, Debug)]
pub struct ColumnView<'a> {
    layout: ColumnLayout,
    bytes: &'a [u8],
}

impl ColumnLayout {
    /// The column again. `bytes` are those that were validated; of others the values are wrong,
    /// or null and empty where they make no sense.
    pub fn view<'a>(&self, bytes: &'a [u8]) -> ColumnView<'a> {
        ColumnView { layout: self.clone(), bytes }
    }
}

impl<'a> ColumnView<'a> {
    /// Validates column `index` of a segment file, which holds a value for each of its items.
    ///
    /// Cost: one pass over offsets, codes and dictionary text.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn open(
        file: &'a SegmentFile,
        index: u32,
        schema: &ColumnSchema,
    ) -> Result<ColumnView<'a>, Corruption> {
        let Some(bytes) = file.section(SectionKind::Column, index) else {
            return Err(file.missing(SectionKind::Column, index));
        };
        ColumnView::parse(bytes, schema, file.geometry().n).map_err(|damage| {
            let ColumnDamage { offset, expected, found } = damage;
            file.corruption(SectionKind::Column, index, offset, expected, found)
        })
    }

    /// Validates the bytes of a column section that should hold `rows` values.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn parse(
        bytes: &'a [u8],
        schema: &ColumnSchema,
        rows: u64,
    ) -> Result<ColumnView<'a>, ColumnDamage> {
        let counts = read_counts(bytes, schema, rows)?;
        let places = counts.places().filter(|places| places.text.end == bytes.len());
        let Some(places) = places else {
            return Err(ColumnDamage::new(0, "a section of the length that its counts give", {
                format!("{} bytes for {counts:?}", bytes.len())
            }));
        };
        let view = ColumnView { layout: ColumnLayout { counts, places }, bytes };
        view.check_present()?;
        match counts.kind {
            ColumnKind::Bool | ColumnKind::I64 | ColumnKind::Timestamp => {}
            ColumnKind::F64 => view.check_numbers()?,
            ColumnKind::Category => view.check_codes()?,
            ColumnKind::Tags => view.check_lists()?,
        }
        if counts.kind.has_dictionary() {
            view.check_dictionary()?;
        }
        Ok(view)
    }

    /// What to keep in order to skip validation next time.
    pub fn layout(&self) -> &ColumnLayout {
        &self.layout
    }

    /// What the values are.
    pub fn kind(&self) -> ColumnKind {
        self.layout.counts.kind
    }

    /// Number of values, nulls included.
    pub fn rows(&self) -> u64 {
        self.layout.counts.rows
    }

    /// How many items have no value.
    pub fn null_count(&self) -> u64 {
        self.layout.counts.nulls
    }

    /// How many different values there are; of tags, how many different ones.
    pub fn distinct(&self) -> u64 {
        self.layout.counts.distinct
    }

    /// Length of the section in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The value of `node`; null for a node that is not below [`ColumnView::rows`].
    pub fn value(&self, node: NodeId) -> AttributeValue<'a> {
        let row = node.index();
        let values = &self.layout.places.values;
        if row as u64 >= self.rows() || !self.present(row) {
            return AttributeValue::Null;
        }
        match self.kind() {
            ColumnKind::Bool => AttributeValue::Bool(self.bit(values.start, row)),
            ColumnKind::I64 => AttributeValue::I64(self.word(values.start, row).cast_signed()),
            ColumnKind::F64 => AttributeValue::F64(f64::from_bits(self.word(values.start, row))),
            ColumnKind::Timestamp => {
                AttributeValue::Timestamp(self.word(values.start, row).cast_signed())
            }
            ColumnKind::Category => AttributeValue::Text(self.text(self.code(row))),
            ColumnKind::Tags => {
                let codes = self.codes(node).into_iter().flatten();
                AttributeValue::Tags(codes.map(|code| self.text(code)).collect())
            }
        }
    }

    /// The codes of an item's texts, ascending: those of its tags, or the one of its category.
    /// `None` where it has no value; none for kinds without a dictionary.
    pub fn codes(&self, node: NodeId) -> Option<impl Iterator<Item = u64>> {
        let row = node.index();
        if row as u64 >= self.rows() || !self.present(row) {
            return None;
        }
        let places = match self.kind() {
            ColumnKind::Category => row as u64..row as u64 + 1,
            ColumnKind::Tags => {
                let end = self.list_offset(row + 1).min(self.layout.counts.list_length);
                self.list_offset(row)..end
            }
            _ => 0..0,
        };
        Some(places.map(|at| self.code(at as usize)))
    }

    /// Values that there are; of tags, those of all items.
    pub fn entries(&self) -> u64 {
        let counts = &self.layout.counts;
        match counts.kind {
            ColumnKind::Tags => counts.list_length,
            _ => counts.rows - counts.nulls,
        }
    }

    /// A number that is in the order of values, and equal where they are; of texts, in the order of
    /// their bytes. `None` where there is no value, and for bool and tags.
    #[inline]
    pub fn order_key(&self, node: NodeId) -> Option<u64> {
        let (row, start) = (node.index(), self.layout.places.values.start);
        if row as u64 >= self.rows() || !self.present(row) {
            return None;
        }
        match self.kind() {
            ColumnKind::I64 | ColumnKind::Timestamp => {
                Some(i64_key(self.word(start, row).cast_signed()))
            }
            ColumnKind::F64 => Some(f64_key(f64::from_bits(self.word(start, row)))),
            ColumnKind::Category => Some(self.code(row)),
            ColumnKind::Bool | ColumnKind::Tags => None,
        }
    }

    /// The bits of the rows that have a value, in whole little-endian words; `None` if all have one.
    pub fn present_bits(&self) -> Option<&'a [u8]> {
        let present = self.layout.places.present.clone();
        if present.is_empty() { None } else { self.bytes.get(present) }
    }

    /// The bits of the rows that are true, of a bool column, in whole little-endian words. Rows
    /// without a value, and bits beyond the rows, may be anything.
    pub fn true_bits(&self) -> &'a [u8] {
        let values = self.layout.places.values.clone();
        if self.kind() == ColumnKind::Bool {
            self.bytes.get(values).unwrap_or_default()
        } else {
            &[]
        }
    }

    /// The code of a text, if some item has it. Cost: a binary search.
    pub fn code_of(&self, text: &str) -> Option<u64> {
        let (mut low, mut high) = (0, self.distinct());
        if !self.kind().has_dictionary() {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.text(middle).cmp(text) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Entry `code` of the dictionary, which is sorted by bytes.
    fn text(&self, code: u64) -> &'a str {
        if code >= self.distinct() {
            return "";
        }
        let text = &self.layout.places.text;
        let [start, end] = [code, code + 1]
            .map(|at| text.start.saturating_add(self.text_offset(at as usize) as usize));
        // Validation proved that this is text within bounds; the checks cost little and make this
        // safe whatever the bytes are by now.
        self.bytes.get(start..end).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default()
    }

    fn present(&self, row: usize) -> bool {
        let present = &self.layout.places.present;
        present.is_empty() || self.bit(present.start, row)
    }

    fn bit(&self, start: usize, row: usize) -> bool {
        self.word(start, row / 64) >> (row % 64) & 1 == 1
    }

    fn word(&self, start: usize, at: usize) -> u64 {
        self.integer(start, at, 8)
    }

    fn code(&self, at: usize) -> u64 {
        self.integer(self.layout.places.values.start, at, self.layout.counts.code_width())
    }

    fn list_offset(&self, row: usize) -> u64 {
        let start = self.layout.places.list_offsets.start;
        self.integer(start, row, self.layout.counts.list_offset_width())
    }

    fn text_offset(&self, code: usize) -> u64 {
        let start = self.layout.places.text_offsets.start;
        self.integer(start, code, self.layout.counts.text_offset_width())
    }

    /// Integer `at` of an array of integers of `width` bytes; 0 beyond the section.
    #[inline]
    fn integer(&self, start: usize, at: usize, width: usize) -> u64 {
        let start = start + at * width;
        let Some(bytes) = self.bytes.get(start..start + width) else { return 0 };
        match *bytes {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        }
    }

    fn check_present(&self) -> Result<(), ColumnDamage> {
        let ColumnLayout { counts, places } = &self.layout;
        let words = places.present.len() / 8;
        let ones = |at| u64::from(self.word(places.present.start, at).count_ones());
        let all: u64 = (0..words).map(ones).sum();
        let within = (0..counts.rows as usize).filter(|&row| self.present(row)).count() as u64;
        let expected = counts.rows - counts.nulls;
        if within != expected || (words > 0 && all != expected) {
            let found =
                format!("{within}, and {} bits beyond the rows", all.saturating_sub(within));
            let expected = format!("{expected} rows with a value");
            return Err(ColumnDamage::new(places.present.start, expected, found));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), ColumnDamage> {
        let start = self.layout.places.values.start;
        let nan = |&row: &usize| f64::from_bits(self.word(start, row)).is_nan();
        match (0..self.rows() as usize).find(nan) {
            None => Ok(()),
            Some(row) => Err(ColumnDamage::new(start + row * 8, "a number", "NaN")),
        }
    }

    fn check_codes(&self) -> Result<(), ColumnDamage> {
        for row in 0..self.rows() as usize {
            if self.code(row) >= self.distinct() && self.present(row) {
                return Err(self.wrong_code(row));
            }
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), ColumnDamage> {
        let ColumnLayout { counts, places } = &self.layout;
        let rows = counts.rows as usize;
        let wrong = |row: usize, expected: String| {
            let at = places.list_offsets.start + row * counts.list_offset_width();
            Err(ColumnDamage::new(at, expected, self.list_offset(row)))
        };
        if self.list_offset(0) != 0 {
            return wrong(0, "list offset 0".to_owned());
        }
        for row in 0..rows {
            let (start, end) = (self.list_offset(row), self.list_offset(row + 1));
            if end < start || end > counts.list_length || (end > start && !self.present(row)) {
                let limit = if self.present(row) { counts.list_length } else { start };
                return wrong(row + 1, format!("a list offset from {start} to {limit}"));
            }
            for at in start as usize..end as usize {
                let code = self.code(at);
                let rises = at as u64 == start || self.code(at - 1) < code;
                if code >= counts.distinct || !rises {
                    return Err(self.wrong_code(at));
                }
            }
        }
        if self.list_offset(rows) != counts.list_length {
            return wrong(rows, format!("list offset {}", counts.list_length));
        }
        Ok(())
    }

    fn wrong_code(&self, at: usize) -> ColumnDamage {
        let ColumnLayout { counts, places } = &self.layout;
        let offset = places.values.start + at * counts.code_width();
        let expected = format!("a code below {} (rising within a list)", counts.distinct);
        ColumnDamage::new(offset, expected, self.code(at))
    }

    fn check_dictionary(&self) -> Result<(), ColumnDamage> {
        let ColumnLayout { counts, places } = &self.layout;
        let text = str::from_utf8(&self.bytes[places.text.clone()]).map_err(|error| {
            ColumnDamage::new(places.text.start + error.valid_up_to(), "UTF-8 text", error)
        })?;
        let wrong = |code: u64, expected: &str| {
            let at = places.text_offsets.start + code as usize * counts.text_offset_width();
            Err(ColumnDamage::new(at, expected, self.text_offset(code as usize)))
        };
        if self.text_offset(0) != 0 {
            return wrong(0, "text offset 0");
        }
        let mut before = None;
        for code in 0..counts.distinct {
            let range = self.text_offset(code as usize) as usize
                ..self.text_offset(code as usize + 1) as usize;
            let entry = text.get(range);
            if entry.is_none() || entry <= before {
                return wrong(code + 1, "the end of an entry that sorts after the one before");
            }
            before = entry;
        }
        if self.text_offset(counts.distinct as usize) != counts.text_bytes {
            return wrong(counts.distinct, "the end of the text");
        }
        Ok(())
    }
}

/// [`ColumnView::order_key`] of an integer or a timestamp.
pub(in crate::filters) fn i64_key(value: i64) -> u64 {
    value.cast_unsigned() ^ 1 << 63
}

/// [`ColumnView::order_key`] of a number, which is not NaN.
pub(in crate::filters) fn f64_key(value: f64) -> u64 {
    // Adding 0 makes −0 into 0. The bits of numbers from 0 up are in their order; those of negative
    // ones are in the opposite order, and above.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Reads the fixed part and holds its numbers against each other.
fn read_counts(bytes: &[u8], schema: &ColumnSchema, rows: u64) -> Result<Counts, ColumnDamage> {
    let Some((header, _)) = bytes.split_first_chunk::<COLUMN_HEADER_BYTES>() else {
        let expected = format!("at least {COLUMN_HEADER_BYTES} bytes");
        return Err(ColumnDamage::new(0, expected, bytes.len()));
    };
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let counts = Counts {
        kind: schema.kind,
        rows: word(8),
        nulls: word(16),
        distinct: word(24),
        list_length: word(32),
        text_bytes: word(40),
    };
    if word(0) != u64::from(schema.kind.code()) {
        let expected = format!("kind {} ({})", schema.kind.code(), schema.kind);
        return Err(ColumnDamage::new(0, expected, word(0)));
    }
    if counts.rows != rows {
        return Err(ColumnDamage::new(8, format!("{rows} rows"), counts.rows));
    }
    let nulls_max = if schema.nullable { rows } else { 0 };
    if counts.nulls > nulls_max {
        return Err(ColumnDamage::new(16, format!("at most {nulls_max} nulls"), counts.nulls));
    }
    let values = rows - counts.nulls;
    let distinct_max = match schema.kind {
        ColumnKind::Bool => values.min(2),
        ColumnKind::I64 | ColumnKind::F64 | ColumnKind::Timestamp | ColumnKind::Category => values,
        ColumnKind::Tags => counts.list_length,
    };
    if counts.distinct > distinct_max.min(u64::from(u32::MAX)) {
        let expected = format!("at most {distinct_max} distinct values");
        return Err(ColumnDamage::new(24, expected, counts.distinct));
    }
    let tags = schema.kind == ColumnKind::Tags;
    if !tags && counts.list_length != 0 {
        return Err(ColumnDamage::new(32, "no lists", counts.list_length));
    }
    if !schema.kind.has_dictionary() && counts.text_bytes != 0 {
        return Err(ColumnDamage::new(40, "no text", counts.text_bytes));
    }
    Ok(counts)
}
