//! Attribute columns in memory: one value a row, of one of seven kinds, every kind nullable.
//! Text and lists lie end to end in one buffer a column; no value has an allocation of its own.

use std::fmt;

/// The kind of an attribute column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttributeKind {
    /// True or false.
    Bool,
    /// Any integer that fits i64.
    I64,
    /// f16, f32 and f64 alike.
    F64,
    /// Microseconds since 1970-01-01T00:00:00 UTC.
    Timestamp,
    /// UTF-8 text.
    Text,
    /// A list of texts.
    TextList,
    /// A list of integers.
    I64List,
}

impl fmt::Display for AttributeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I64 => "i64",
            Self::F64 => "f64",
            Self::Timestamp => "timestamp",
            Self::Text => "text",
            Self::TextList => "list of text",
            Self::I64List => "list of i64",
        })
    }
}

/// Name and kind of an attribute column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeField {
    /// The column's name in the file.
    pub name: String,
    /// What its values are.
    pub kind: AttributeKind,
}

/// A column that was left out, because no attribute can have its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedColumn {
    /// The column's name in the file.
    pub name: String,
    /// Its type in the words of Arrow.
    pub data_type: String,
}

/// The values that one attribute has in the rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeBatch {
    /// The column's name.
    pub name: String,
    /// One value a row.
    pub values: AttributeValues,
}

/// One value a row; `None` where the file has null.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AttributeValues {
    /// Booleans.
    Bool(Vec<Option<bool>>),
    /// Integers. One beyond i64 is an error of the reader.
    I64(Vec<Option<i64>>),
    /// Floats. NaN and the infinities are values like any other, and not null.
    F64(Vec<Option<f64>>),
    /// Microseconds since 1970-01-01T00:00:00 UTC. Finer units are rounded down (towards the
    /// past), dates are their midnight, and a time without a zone is taken as UTC.
    Timestamp(Vec<Option<i64>>),
    /// Texts.
    Text(TextColumn),
    /// Lists of texts; an empty list is not null.
    TextList(TextListColumn),
    /// Lists of integers; an empty list is not null.
    I64List(I64ListColumn),
}

/// Runs `$body` with `$column` bound to the column inside `$values`, whatever its kind.
macro_rules! each_kind {
    ($values:expr, $column:ident => $body:expr) => {
        match $values {
            AttributeValues::Bool($column) => $body,
            AttributeValues::I64($column) => $body,
            AttributeValues::F64($column) => $body,
            AttributeValues::Timestamp($column) => $body,
            AttributeValues::Text($column) => $body,
            AttributeValues::TextList($column) => $body,
            AttributeValues::I64List($column) => $body,
        }
    };
}

impl AttributeValues {
    /// No values, of kind `kind`.
    pub fn empty(kind: AttributeKind) -> Self {
        match kind {
            AttributeKind::Bool => Self::Bool(Vec::new()),
            AttributeKind::I64 => Self::I64(Vec::new()),
            AttributeKind::F64 => Self::F64(Vec::new()),
            AttributeKind::Timestamp => Self::Timestamp(Vec::new()),
            AttributeKind::Text => Self::Text(TextColumn::default()),
            AttributeKind::TextList => Self::TextList(TextListColumn::default()),
            AttributeKind::I64List => Self::I64List(I64ListColumn::default()),
        }
    }

    /// What the values are.
    pub fn kind(&self) -> AttributeKind {
        match self {
            Self::Bool(_) => AttributeKind::Bool,
            Self::I64(_) => AttributeKind::I64,
            Self::F64(_) => AttributeKind::F64,
            Self::Timestamp(_) => AttributeKind::Timestamp,
            Self::Text(_) => AttributeKind::Text,
            Self::TextList(_) => AttributeKind::TextList,
            Self::I64List(_) => AttributeKind::I64List,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        each_kind!(self, column => column.len())
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        each_kind!(self, column => column.clear());
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        each_kind!(self, column => column.truncate(rows));
    }
}

/// A column of nullable texts, end to end in one string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumn {
    text: String,
    /// Where each row's text ends; it starts where the row before it ends.
    ends: Vec<usize>,
    present: Vec<bool>,
}

impl TextColumn {
    /// The text of a row, `None` if null.
    ///
    /// # Panics
    /// If the column has no such row.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.present[row].then(|| &self.text[start(&self.ends, row)..self.ends[row]])
    }

    /// The texts of all rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Adds a row.
    pub fn push(&mut self, text: Option<&str>) {
        self.text.push_str(text.unwrap_or_default());
        self.ends.push(self.text.len());
        self.present.push(text.is_some());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.present.truncate(rows);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

impl<'a> FromIterator<Option<&'a str>> for TextColumn {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(texts: I) -> Self {
        let mut column = Self::default();
        texts.into_iter().for_each(|text| column.push(text));
        column
    }
}

/// A column of nullable lists of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextListColumn {
    text: String,
    /// Where each text of each list ends.
    text_ends: Vec<usize>,
    /// Where each row's list ends in `text_ends`.
    ends: Vec<usize>,
    present: Vec<bool>,
}

impl TextListColumn {
    /// The texts of a row, `None` if the list is null.
    ///
    /// # Panics
    /// If the column has no such row.
    pub fn get(&self, row: usize) -> Option<impl ExactSizeIterator<Item = &str>> {
        self.present[row].then(|| {
            (start(&self.ends, row)..self.ends[row])
                .map(|at| &self.text[start(&self.text_ends, at)..self.text_ends[at]])
        })
    }

    /// Adds a row.
    pub fn push<'a>(&mut self, texts: Option<impl IntoIterator<Item = &'a str>>) {
        self.present.push(texts.is_some());
        for text in texts.into_iter().flatten() {
            self.text.push_str(text);
            self.text_ends.push(self.text.len());
        }
        self.ends.push(self.text_ends.len());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.present.truncate(rows);
        self.text_ends.truncate(self.ends.last().copied().unwrap_or(0));
        self.text.truncate(self.text_ends.last().copied().unwrap_or(0));
    }
}

/// A column of nullable lists of integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I64ListColumn {
    values: Vec<i64>,
    ends: Vec<usize>,
    present: Vec<bool>,
}

impl I64ListColumn {
    /// The integers of a row, `None` if the list is null.
    ///
    /// # Panics
    /// If the column has no such row.
    pub fn get(&self, row: usize) -> Option<&[i64]> {
        self.present[row].then(|| &self.values[start(&self.ends, row)..self.ends[row]])
    }

    /// Adds a row.
    pub fn push(&mut self, values: Option<&[i64]>) {
        self.present.push(values.is_some());
        self.values.extend_from_slice(values.unwrap_or_default());
        self.ends.push(self.values.len());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.present.truncate(rows);
        self.values.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Where entry `at` starts, given where each one ends.
fn start(ends: &[usize], at: usize) -> usize {
    if at == 0 { 0 } else { ends[at - 1] }
}
