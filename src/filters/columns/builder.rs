//! Takes values in input order and lays out a column section in stored order.

use hashbrown::HashTable;

use super::{AttributeValue, COLUMN_HEADER_BYTES, ColumnKind, ColumnSchema, Counts};
use crate::format::checksum;

/// Why a column cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnError {
    /// A value of another kind.
    #[error("attribute \"{column}\", row {row}: expected {expected}, found {found}")]
    WrongKind {
        /// Name of the column.
        column: String,
        /// The row, from 0, in input order.
        row: u64,
        /// The column's kind.
        expected: ColumnKind,
        /// The value's kind.
        found: ColumnKind,
    },
    /// No value where there must be one.
    #[error("attribute \"{column}\", row {row}: no value, and the column is not nullable")]
    Null {
        /// Name of the column.
        column: String,
        /// The row, from 0, in input order.
        row: u64,
    },
    /// NaN, which no filter could select.
    #[error("attribute \"{column}\", row {row}: NaN is no value; leave it null instead")]
    NotANumber {
        /// Name of the column.
        column: String,
        /// The row, from 0, in input order.
        row: u64,
    },
    /// More distinct texts than a dictionary holds.
    #[error("attribute \"{column}\", row {row}: more than {limit} distinct texts")]
    DictionaryFull {
        /// Name of the column.
        column: String,
        /// The row, from 0, in input order.
        row: u64,
        /// The most that there may be.
        limit: u32,
    },
    /// The stored order is not a permutation of the rows.
    #[error("attribute \"{column}\": the stored order is not a permutation of its {rows} rows")]
    Order {
        /// Name of the column.
        column: String,
        /// Number of rows.
        rows: u64,
    },
}

/// Collects the values of one column.
#[derive(Debug)]
pub struct ColumnBuilder {
    schema: ColumnSchema,
    rows: usize,
    nulls: u64,
    present: Bits,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(Bits),
    /// Also timestamps.
    I64(Vec<i64>),
    F64(Vec<f64>),
    Category(Vec<u32>, Dictionary),
    Tags {
        /// Where each row's list ends.
        ends: Vec<u64>,
        codes: Vec<u32>,
        dictionary: Dictionary,
    },
}

impl ColumnBuilder {
    /// An empty column.
    pub fn new(schema: ColumnSchema) -> ColumnBuilder {
        let values = match schema.kind {
            ColumnKind::Bool => Values::Bool(Bits::default()),
            ColumnKind::I64 | ColumnKind::Timestamp => Values::I64(Vec::new()),
            ColumnKind::F64 => Values::F64(Vec::new()),
            ColumnKind::Category => Values::Category(Vec::new(), Dictionary::default()),
            ColumnKind::Tags => Values::Tags {
                ends: Vec::new(),
                codes: Vec::new(),
                dictionary: Dictionary::default(),
            },
        };
        ColumnBuilder { schema, rows: 0, nulls: 0, present: Bits::default(), values }
    }

    /// Name and kind.
    pub fn schema(&self) -> &ColumnSchema {
        &self.schema
    }

    /// Number of values so far, nulls included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory in use, in bytes. [`ColumnBuilder::finish`] needs about as much again.
    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::Bool(bits) => bits.words.capacity() * 8,
            Values::I64(values) => values.capacity() * 8,
            Values::F64(values) => values.capacity() * 8,
            Values::Category(codes, dictionary) => codes.capacity() * 4 + dictionary.bytes(),
            Values::Tags { ends, codes, dictionary } => {
                ends.capacity() * 8 + codes.capacity() * 4 + dictionary.bytes()
            }
        };
        self.present.words.capacity() * 8 + values
    }

    /// Appends the value of the next row.
    ///
    /// # Errors
    /// A value that the schema does not allow, or one too many for the dictionary.
    pub fn push(&mut self, value: &AttributeValue<'_>) -> Result<(), ColumnError> {
        let (column, row) = (|| self.schema.name.clone(), self.rows as u64);
        match (value.kind(), self.schema.kind) {
            (None, _) if !self.schema.nullable => {
                return Err(ColumnError::Null { column: column(), row });
            }
            (Some(found), expected) if found != expected => {
                return Err(ColumnError::WrongKind { column: column(), row, expected, found });
            }
            _ => {}
        }
        let full = |limit| ColumnError::DictionaryFull { column: column(), row, limit };
        match (&mut self.values, value) {
            (Values::Bool(bits), value) => bits.push(*value == AttributeValue::Bool(true)),
            (
                Values::I64(values),
                AttributeValue::I64(value) | AttributeValue::Timestamp(value),
            ) => {
                values.push(*value);
            }
            (Values::I64(values), _) => values.push(0),
            (Values::F64(_), AttributeValue::F64(value)) if value.is_nan() => {
                return Err(ColumnError::NotANumber { column: column(), row });
            }
            (Values::F64(values), AttributeValue::F64(value)) => values.push(*value),
            (Values::F64(values), _) => values.push(0.0),
            (Values::Category(codes, dictionary), AttributeValue::Text(text)) => {
                codes.push(dictionary.code(text).map_err(full)?);
            }
            (Values::Category(codes, _), _) => codes.push(0),
            (Values::Tags { ends, codes, dictionary }, value) => {
                if let AttributeValue::Tags(tags) = value {
                    let list: Result<Vec<u32>, u32> =
                        tags.iter().map(|tag| dictionary.code(tag)).collect();
                    let mut list = list.map_err(full)?;
                    list.sort_unstable();
                    list.dedup();
                    codes.append(&mut list);
                }
                ends.push(codes.len() as u64);
            }
        }
        let null = *value == AttributeValue::Null;
        self.present.push(!null);
        self.nulls += u64::from(null);
        self.rows += 1;
        Ok(())
    }

    /// The bytes of the column section; row `i` of it is input row `order[i]`.
    ///
    /// # Errors
    /// [`ColumnError::Order`] if `order` is not a permutation of the rows.
    pub fn finish(self, order: &[u32]) -> Result<Vec<u8>, ColumnError> {
        if !is_permutation(order, self.rows) {
            let (column, rows) = (self.schema.name, self.rows as u64);
            return Err(ColumnError::Order { column, rows });
        }
        let mut counts = Counts {
            kind: self.schema.kind,
            rows: self.rows as u64,
            nulls: self.nulls,
            distinct: 0,
            list_length: 0,
            text_bytes: 0,
        };
        let present = &self.present;
        let have = (0..self.rows).filter(|&row| present.get(row));
        let mut out = Section::new(self.bytes());
        match &self.values {
            Values::Bool(bits) => {
                counts.distinct = distinct(have.map(|row| bits.get(row)));
                out.begin(counts, present, order);
                out.bits(order.iter().map(|&row| bits.get(row as usize)));
            }
            Values::I64(values) => {
                counts.distinct = distinct(have.map(|row| values[row]));
                out.begin(counts, present, order);
                order.iter().for_each(|&row| out.word(values[row as usize].cast_unsigned()));
            }
            Values::F64(values) => {
                counts.distinct = distinct(have.map(|row| values[row].to_bits()));
                out.begin(counts, present, order);
                order.iter().for_each(|&row| out.word(values[row as usize].to_bits()));
            }
            Values::Category(codes, dictionary) => {
                let (rank, sorted) = dictionary.sorted();
                counts.distinct = sorted.len() as u64;
                counts.text_bytes = dictionary.text.len() as u64;
                out.begin(counts, present, order);
                let code = |&row: &u32| match present.get(row as usize) {
                    true => u64::from(rank[codes[row as usize] as usize]),
                    false => 0,
                };
                out.integers(counts.code_width(), order.iter().map(code));
                out.dictionary(&counts, dictionary, &sorted);
            }
            Values::Tags { ends, codes, dictionary } => {
                counts.distinct = dictionary.ends.len() as u64;
                counts.list_length = codes.len() as u64;
                counts.text_bytes = dictionary.text.len() as u64;
                out.begin(counts, present, order);
                out.tags(&counts, ends, codes, dictionary, order);
            }
        }
        Ok(out.0)
    }
}

fn is_permutation(order: &[u32], rows: usize) -> bool {
    let mut seen = vec![false; rows];
    let new =
        |&row: &u32| seen.get_mut(row as usize).is_some_and(|seen| !std::mem::replace(seen, true));
    order.len() == rows && order.iter().all(new)
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> u64 {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len() as u64
}

/// A list of bits.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.length.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.length / 64] |= u64::from(bit) << (self.length % 64);
        self.length += 1;
    }

    fn get(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }
}

/// Texts to codes in order of arrival; each text is stored once.
#[derive(Debug, Default)]
struct Dictionary {
    text: String,
    /// Where each entry ends in `text`.
    ends: Vec<u64>,
    codes: HashTable<u32>,
}

impl Dictionary {
    fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 8 + self.codes.allocation_size()
    }

    /// The code of `text`, a new one if it is new; the limit if there are too many.
    fn code(&mut self, text: &str) -> Result<u32, u32> {
        let Dictionary { text: all, ends, codes } = self;
        let hash = checksum(text.as_bytes());
        if let Some(&code) = codes.find(hash, |&code| entry(all, ends, code) == text) {
            return Ok(code);
        }
        // The last code stays free, so that the number of entries is a u32 too.
        let code = u32::try_from(ends.len()).map_err(|_| u32::MAX)?;
        if code == u32::MAX {
            return Err(u32::MAX);
        }
        all.push_str(text);
        ends.push(all.len() as u64);
        let rehash = |&code: &u32| checksum(entry(all, ends, code).as_bytes());
        codes.insert_unique(hash, code, rehash);
        Ok(code)
    }

    /// The place of each code among the sorted entries, and the codes in sorted order.
    fn sorted(&self) -> (Vec<u32>, Vec<u32>) {
        let mut sorted: Vec<u32> = (0..self.ends.len() as u32).collect();
        sorted.sort_unstable_by_key(|&code| entry(&self.text, &self.ends, code));
        let mut rank = vec![0; sorted.len()];
        for (place, &code) in sorted.iter().enumerate() {
            rank[code as usize] = place as u32;
        }
        (rank, sorted)
    }
}

fn entry<'a>(text: &'a str, ends: &[u64], code: u32) -> &'a str {
    let start = code.checked_sub(1).map_or(0, |before| ends[before as usize]);
    &text[start as usize..ends[code as usize] as usize]
}

/// A column section being laid out.
struct Section(Vec<u8>);

impl Section {
    fn new(capacity: usize) -> Section {
        Section(Vec::with_capacity(capacity + COLUMN_HEADER_BYTES))
    }

    fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    /// The fixed part and, if there are nulls, the bits that tell which rows have a value.
    fn begin(&mut self, counts: Counts, present: &Bits, order: &[u32]) {
        self.word(u64::from(counts.kind.code()));
        for count in [counts.rows, counts.nulls, counts.distinct] {
            self.word(count);
        }
        self.word(counts.list_length);
        self.word(counts.text_bytes);
        if counts.nulls > 0 {
            self.bits(order.iter().map(|&row| present.get(row as usize)));
        }
    }

    fn bits(&mut self, bits: impl Iterator<Item = bool>) {
        let mut packed = Bits::default();
        bits.for_each(|bit| packed.push(bit));
        packed.words.iter().for_each(|&word| self.word(word));
    }

    /// Integers of `width` bytes each; the first of an array is aligned by whoever begins it.
    fn integers(&mut self, width: usize, values: impl Iterator<Item = u64>) {
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes()[..width]);
        }
    }

    fn tags(
        &mut self,
        counts: &Counts,
        ends: &[u64],
        codes: &[u32],
        dictionary: &Dictionary,
        order: &[u32],
    ) {
        let list = |row: u32| {
            let start = row.checked_sub(1).map_or(0, |before| ends[before as usize]);
            &codes[start as usize..ends[row as usize] as usize]
        };
        let mut end = 0;
        let new_ends = order.iter().map(|&row| {
            end += list(row).len() as u64;
            end
        });
        self.integers(counts.list_offset_width(), std::iter::once(0).chain(new_ends));
        self.align();
        let (rank, sorted) = dictionary.sorted();
        let mut ranks = Vec::new();
        for &row in order {
            ranks.clear();
            ranks.extend(list(row).iter().map(|&code| u64::from(rank[code as usize])));
            ranks.sort_unstable();
            self.integers(counts.code_width(), ranks.iter().copied());
        }
        self.dictionary(counts, dictionary, &sorted);
    }

    fn dictionary(&mut self, counts: &Counts, dictionary: &Dictionary, sorted: &[u32]) {
        let text = |&code: &u32| entry(&dictionary.text, &dictionary.ends, code);
        self.align();
        let mut end = 0;
        let ends = sorted.iter().map(|code| {
            end += text(code).len() as u64;
            end
        });
        self.integers(counts.text_offset_width(), std::iter::once(0).chain(ends));
        self.align();
        sorted.iter().for_each(|code| self.0.extend_from_slice(text(code).as_bytes()));
    }
}
