//! Relevance of items to queries, from Parquet or Arrow in one of two forms:
//!
//! | form | columns | rows |
//! |---|---|---|
//! | wide | `query`, `item_ids` (list), `grades` (list) | one a query |
//! | long | `query`, `item_id`, `grade` | one a judgement, in any order |
//!
//! All are integers of any type; a grade is at most 255, and larger is more relevant. Interactions have
//! no grades: where the column is missing all have grade 1, and an item that a query names again is
//! still one item. Other columns are left alone.

use std::path::Path;

use arrow_array::Array;

use crate::columns::{Place, Source, list_of_unsigned, unsigned};
use crate::error::{Position, ReadError};
use crate::spec::{Format, ReadOptions};

/// Which items are relevant to which query, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relevance {
    /// Item and grade, by query and then by item.
    judged: Vec<(u64, u8)>,
    /// Where each query ends in `judged`; it starts where the query before it ends.
    ends: Vec<usize>,
}

impl Relevance {
    /// Number of queries, those without a judgement included.
    pub fn queries(&self) -> usize {
        self.ends.len()
    }

    /// The judged items of a query and their grades, ascending by item id; empty where the file
    /// says nothing of the query.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn judged(&self, query: usize) -> &[(u64, u8)] {
        let start = if query == 0 { 0 } else { self.ends[query - 1] };
        &self.judged[start..self.ends[query]]
    }

    /// The grade of an item for a query, if it was judged. Takes O(log n) of the judged items.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn grade(&self, query: usize, item_id: u64) -> Option<u8> {
        let judged = self.judged(query);
        let at = judged.binary_search_by_key(&item_id, |&(item, _)| item).ok()?;
        Some(judged[at].1)
    }
}

/// One judgement, and the row of the file that it is from.
struct Judgement {
    query: u64,
    item: u64,
    row: u64,
    grade: u8,
}

/// Reads the relevance of items to `queries` queries, which are numbered from 0.
///
/// # Errors
/// What is wrong with the file: missing columns, nulls, a query that there is not, a grade above
/// 255, lists of different lengths, a query that has two rows of lists, an item with two grades.
pub fn read_relevance(path: &Path, queries: usize) -> Result<Relevance, ReadError> {
    let format = Format::to_read(path, &crate::COLUMN_FORMATS)?;
    let source = crate::open_columns(format, path, None)?;
    let columns = Columns::find(source.as_ref())?;
    let mut judgements = read_judgements(source.as_ref(), &columns, queries)?;
    judgements.sort_unstable_by_key(|judgement| (judgement.query, judgement.item, judgement.row));
    if columns.grades.is_none() {
        judgements.dedup_by_key(|judgement| (judgement.query, judgement.item));
    }
    for pair in judgements.windows(2) {
        let [one, two] = pair else { continue };
        if (one.query, one.item) == (two.query, two.item) {
            let expected = format!("query {} to judge each item once", one.query);
            let found = format!("item {} in row {} and again", one.item, one.row);
            return Err(ReadError::malformed(path, Position::row(two.row), expected, found));
        }
    }
    let ends = (0..queries as u64)
        .map(|query| judgements.partition_point(|judgement| judgement.query <= query))
        .collect();
    let judged = judgements.iter().map(|judgement| (judgement.item, judgement.grade)).collect();
    Ok(Relevance { judged, ends })
}

/// Where the columns of either form are in a file.
struct Columns {
    queries: usize,
    items: usize,
    grades: Option<usize>,
    wide: bool,
}

impl Columns {
    fn find(source: &dyn Source) -> Result<Self, ReadError> {
        let find = |items: &str, grades: &str, wide: bool| {
            let (queries, items) = (source.position("query")?, source.position(items)?);
            Some(Self { queries, items, grades: source.position(grades), wide })
        };
        let wide = find("item_ids", "grades", true);
        wide.or_else(|| find("item_id", "grade", false)).ok_or_else(|| {
            let expected = "columns `query`, `item_ids` and maybe `grades`, or `query`, `item_id` and \
                            maybe `grade`";
            ReadError::unsuitable(source.path(), expected, source.columns())
        })
    }

    /// Their positions, in the order of the file.
    fn positions(&self) -> Vec<usize> {
        let mut positions: Vec<usize> =
            [self.queries, self.items].into_iter().chain(self.grades).collect();
        positions.sort_unstable();
        positions
    }
}

fn read_judgements(
    source: &dyn Source,
    columns: &Columns,
    queries: usize,
) -> Result<Vec<Judgement>, ReadError> {
    let path = source.path();
    let mut judgements = Vec::new();
    let mut judged = vec![false; queries];
    let mut first_row = 0;
    let positions = columns.positions();
    let rows_per_batch = ReadOptions::default().rows_per_batch(source.row_bytes(&positions));
    for batch in source.read(&positions, rows_per_batch)? {
        let batch = batch?;
        let column = |position: usize| {
            let place = Place { path, column: source.fields()[position].name(), first_row };
            let at = positions.partition_point(|&other| other < position);
            (place, batch.column(at).as_ref())
        };
        let (queries, items) = (column(columns.queries), column(columns.items));
        let grades = columns.grades.map(column);
        let rows = Rows::decode(queries, items, grades, columns.wide)?;
        rows.check_queries(queries.0, columns.wide, &mut judged)?;
        rows.judgements(grades.map_or(items.0, |grades| grades.0), &mut judgements)?;
        first_row += batch.num_rows() as u64;
    }
    Ok(judgements)
}

/// The rows of a batch: each has a query, and so many of the items and grades.
struct Rows {
    queries: Vec<u64>,
    lens: Vec<usize>,
    items: Vec<u64>,
    grades: Vec<u64>,
}

impl Rows {
    /// Decodes the columns of queries, items and, if there are some, grades.
    fn decode(
        (query, query_array): (Place<'_>, &dyn Array),
        (item, item_array): (Place<'_>, &dyn Array),
        graded: Option<(Place<'_>, &dyn Array)>,
        wide: bool,
    ) -> Result<Self, ReadError> {
        let (mut queries, mut items, mut grades) = (Vec::new(), Vec::new(), Vec::new());
        unsigned(query, query_array, &mut queries)?;
        let lens = if wide {
            list_of_unsigned(item, item_array, &mut items)?
        } else {
            unsigned(item, item_array, &mut items)?;
            vec![1; queries.len()]
        };
        match graded {
            None => grades.resize(items.len(), 1),
            Some((grade, array)) if !wide => unsigned(grade, array, &mut grades)?,
            Some((grade, array)) => {
                let grade_lens = list_of_unsigned(grade, array, &mut grades)?;
                if let Some(row) = (0..lens.len()).find(|&row| lens[row] != grade_lens[row]) {
                    let expected = format!("{} grades, one an item", lens[row]);
                    let found = grade_lens[row].to_string();
                    return Err(grade.malformed(grade.row(row), expected, found));
                }
            }
        }
        Ok(Self { queries, lens, items, grades })
    }

    /// Holds the queries against those that there are; in wide form each has one row.
    fn check_queries(
        &self,
        place: Place<'_>,
        wide: bool,
        judged: &mut [bool],
    ) -> Result<(), ReadError> {
        for (row, &query) in self.queries.iter().enumerate() {
            let (expected, found) =
                match usize::try_from(query).ok().and_then(|query| judged.get_mut(query)) {
                    None => (format!("a query below {}", judged.len()), query.to_string()),
                    Some(true) if wide => {
                        ("one row a query".to_owned(), format!("query {query} a second time"))
                    }
                    Some(judged) => {
                        *judged = true;
                        continue;
                    }
                };
            return Err(place.malformed(place.row(row), expected, found));
        }
        Ok(())
    }

    /// Appends the judgements; `place` is that of the grades, if there are some.
    fn judgements(self, place: Place<'_>, into: &mut Vec<Judgement>) -> Result<(), ReadError> {
        let mut pairs = self.items.into_iter().zip(self.grades);
        for (at, (query, len)) in self.queries.into_iter().zip(self.lens).enumerate() {
            let row = place.first_row + at as u64;
            for (component, (item, grade)) in pairs.by_ref().take(len).enumerate() {
                let grade = u8::try_from(grade).map_err(|_| {
                    let at = place.row(at).at_component(component as u64);
                    place.malformed(at, "a grade up to 255", grade.to_string())
                })?;
                into.push(Judgement { query, item, row, grade });
            }
        }
        Ok(())
    }
}
