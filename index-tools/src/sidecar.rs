//! Attributes (and ids) that lie in a file beside the vectors. Held in memory, as the builder
//! holds them too: by id, rows are wanted in any order.

use std::path::Path;

use vicinage::builder::ColumnBatch;
use vicinage_datasets::{
    AttributeField, AttributeValues, ReadOptions, SkippedColumn, TableBatch, VectorReader,
    find_duplicate_id, open_table,
};

use crate::args::Unmatched;
use crate::batch::{InputError, column_batch};
use crate::exit::Failure;

/// The attributes of all items.
pub(crate) struct Sidecar {
    path: std::path::PathBuf,
    fields: Vec<AttributeField>,
    skipped: Vec<SkippedColumn>,
    columns: Vec<AttributeValues>,
    join: Join,
    unmatched: Unmatched,
    /// Items that were asked for and have no row here.
    missing: u64,
}

/// How rows of the sidecar find their items.
enum Join {
    /// Row by row; the ids, where the sidecar has them, are those of the items.
    Rows(Option<Vec<u64>>),
    /// By id: `(id, row)` in ascending order, and which rows have been asked for.
    Ids { rows: Vec<(u64, usize)>, used: Vec<bool> },
}

impl Sidecar {
    /// Reads the file. `items` are the vectors that it belongs to.
    pub(crate) fn open(
        path: &Path,
        options: &ReadOptions,
        unmatched: Unmatched,
        items: &dyn VectorReader,
    ) -> Result<Self, Failure> {
        let mut reader = open_table(path, options)?;
        let fields = reader.attributes().to_vec();
        let mut columns: Vec<AttributeValues> =
            fields.iter().map(|field| AttributeValues::empty(field.kind)).collect();
        let mut ids = reader.has_ids().then(Vec::new);
        let mut batch = TableBatch::default();
        while reader.next_batch(&mut batch)? {
            if let (Some(ids), Some(more)) = (&mut ids, &batch.ids) {
                ids.extend_from_slice(more);
            }
            for (column, more) in columns.iter_mut().zip(&batch.attributes) {
                append(column, &more.values);
            }
        }
        if let Some(duplicate) = ids.as_deref().and_then(find_duplicate_id) {
            return Err(duplicate.in_file(path).into());
        }
        let join = match ids {
            Some(ids) if items.has_ids() => {
                let used = vec![false; ids.len()];
                let mut rows: Vec<(u64, usize)> = ids.into_iter().zip(0..).collect();
                rows.sort_unstable();
                Join::Ids { rows, used }
            }
            ids => {
                let (expected, found) = (items.shape().rows, reader.rows());
                if expected != found {
                    let of = items.path().display();
                    return Err(Failure::data(format!(
                        "{} cannot be joined to {of} by row",
                        path.display()
                    ))
                    .expected(format!("{expected} rows, one an item"), format!("{found} rows"))
                    .next("give both files an id column, and name it with --ids"));
                }
                Join::Rows(ids)
            }
        };
        let skipped = reader.skipped().to_vec();
        Ok(Self { path: path.to_owned(), fields, skipped, columns, join, unmatched, missing: 0 })
    }

    pub(crate) fn fields(&self) -> &[AttributeField] {
        &self.fields
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn skipped(&self) -> &[SkippedColumn] {
        &self.skipped
    }

    /// The ids and attributes of `rows` items from row `first` of `items` on, which have `ids`
    /// there.
    pub(crate) fn take(
        &mut self,
        items: &Path,
        first: u64,
        rows: usize,
        ids: Option<Vec<u64>>,
    ) -> Result<(Option<Vec<u64>>, Vec<ColumnBatch>), InputError> {
        let start = first as usize;
        let mut wanted = Vec::with_capacity(rows);
        let ids = match &mut self.join {
            Join::Rows(own) => {
                wanted.extend((start..start + rows).map(Some));
                own.as_ref().map(|own| own[start..start + rows].to_vec()).or(ids)
            }
            Join::Ids { rows: by_id, used } => {
                let ids = ids.unwrap_or_default();
                for (id, row) in ids.iter().zip(first..) {
                    let at = by_id.binary_search_by_key(id, |&(id, _)| id);
                    let found = at.ok().map(|at| by_id[at].1);
                    wanted.push(found);
                    match found {
                        Some(found) => used[found] = true,
                        None if self.unmatched == Unmatched::Count => self.missing += 1,
                        None => {
                            return Err(InputError {
                                path: self.path.clone(),
                                place: "whole file".to_owned(),
                                expected: format!(
                                    "item {id}, which is row {row} of {}",
                                    items.display()
                                ),
                                found: "no row with that id".to_owned(),
                            });
                        }
                    }
                }
                Some(ids)
            }
        };
        Ok((ids, self.columns.iter().map(|column| column_batch(column, &wanted)).collect()))
    }

    /// Memory that the attributes take here.
    pub(crate) fn bytes(&self) -> u64 {
        self.columns.iter().map(column_bytes).sum()
    }

    /// How many items have no row here, and how many rows no item; of what was taken.
    pub(crate) fn unmatched(&self) -> (u64, u64) {
        let Join::Ids { used, .. } = &self.join else { return (0, 0) };
        (self.missing, used.iter().filter(|used| !**used).count() as u64)
    }

    /// Checks, unless that is only counted, that every row of the sidecar had an item.
    pub(crate) fn check_all_used(&self, items: &Path) -> Result<(), InputError> {
        let Join::Ids { rows, used } = &self.join else { return Ok(()) };
        match rows.iter().find(|&&(_, row)| !used[row]) {
            Some((id, row)) if self.unmatched == Unmatched::Error => Err(InputError {
                path: self.path.clone(),
                place: format!("row {row}"),
                expected: format!("the id of an item of {}", items.display()),
                found: format!("{id}, which it does not have"),
            }),
            _ => Ok(()),
        }
    }
}

/// Appends the values of `more`, which has the kind of `column`.
fn append(column: &mut AttributeValues, more: &AttributeValues) {
    use AttributeValues::{Bool, F64, I64, I64List, Text, TextList, Timestamp};
    match (column, more) {
        (Bool(column), Bool(more)) => column.extend_from_slice(more),
        (I64(column), I64(more)) | (Timestamp(column), Timestamp(more)) => {
            column.extend_from_slice(more);
        }
        (F64(column), F64(more)) => column.extend_from_slice(more),
        (Text(column), Text(more)) => more.iter().for_each(|text| column.push(text)),
        (TextList(column), TextList(more)) => {
            (0..more.len()).for_each(|row| column.push(more.get(row)));
        }
        (I64List(column), I64List(more)) => {
            (0..more.len()).for_each(|row| column.push(more.get(row)));
        }
        // A reader gives every batch of a column in the kind that it announced.
        _ => {}
    }
}

fn column_bytes(column: &AttributeValues) -> u64 {
    let offsets = |rows: usize| 8 * rows as u64;
    match column {
        AttributeValues::Bool(values) => values.len() as u64,
        AttributeValues::I64(values) | AttributeValues::Timestamp(values) => {
            16 * values.len() as u64
        }
        AttributeValues::F64(values) => 16 * values.len() as u64,
        AttributeValues::Text(values) => {
            offsets(values.len()) + values.iter().flatten().map(|t| t.len() as u64).sum::<u64>()
        }
        AttributeValues::TextList(values) => {
            let texts = (0..values.len()).filter_map(|row| values.get(row)).flatten();
            offsets(values.len()) + texts.map(|text| 8 + text.len() as u64).sum::<u64>()
        }
        AttributeValues::I64List(values) => {
            let lists = (0..values.len()).filter_map(|row| values.get(row));
            offsets(values.len()) + lists.map(|list| 8 * list.len() as u64).sum::<u64>()
        }
        // A kind that this build does not know.
        _ => 0,
    }
}
