//! The attributes of the items: made and written, or read, and in columns as an index has them.

use std::path::Path;

use vicinage::builder::ItemSource;
use vicinage::error::Corruption;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnLayout, ColumnSchema, ColumnView,
};
use vicinage::filters::evaluate::Table;
use vicinage::progress::Progress;
use vicinage::types::{ItemId, Metric, NodeId};
use vicinage_datasets::generate::{AttributePlan, ColumnPlan, ColumnRule, write_attributes};
use vicinage_datasets::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, ReadOptions, TableBatch,
    TextColumn, create_table, find_duplicate_id, open_table,
};

use super::Work;
use super::cells::Cells;
use crate::args::{InputArgs, Unmatched};
use crate::batch::column_batch;
use crate::datasets::generate::advance;
use crate::exit::{Exit, Failure};
use crate::input::{Items as Source, kind};

/// Share of the affinity in the number that ranges are of.
const ALPHA: f64 = 0.5;
/// Different tags, and how many are drawn for an item.
const TAGS: ColumnRule = ColumnRule::Tags { vocabulary: 200_000, mean: 20.0 };

/// A number that goes with the vector in part.
pub(super) const PRICE: &str = "price";
/// A number that has nothing to do with it.
pub(super) const NOISE: &str = "noise";
/// Tags.
pub(super) const TAG: &str = "tags";
/// The cell.
pub(super) const CELL: &str = "cell";

/// The items, in the order of the file: node `i` is row `i`.
pub(super) struct Items {
    schema: Vec<ColumnSchema>,
    columns: Vec<(Vec<u8>, ColumnLayout)>,
    pub(super) ids: Vec<ItemId>,
}

impl Items {
    /// Makes the attributes, and writes them into the Parquet file `path`.
    pub(super) fn make(work: &Work<'_>, path: &Path) -> Result<(Self, Cells), Failure> {
        let plan = AttributePlan {
            columns: columns(work),
            target: work.queries.row(0).to_vec(),
            near: work.args.metric != Metric::Ip,
            seed: work.args.seed.seed,
        };
        let plain = path.with_file_name("plain.parquet");
        let report = work.report;
        report.start("attributes", Some(2 * work.n), "rows");
        write_attributes(&work.args.input, &plan, &plain, &|rows| advance(report, rows))?;
        report.finish();
        let cells = Cells::make(work)?;
        Ok((Self::with_cells(work, &plain, path, &cells)?, cells))
    }

    /// Reads the attributes that the items have, of their own or in the file `from`.
    pub(super) fn read(work: &Work<'_>, from: Option<&Path>) -> Result<Self, Failure> {
        let mut source = Source::open(&InputArgs {
            input: work.args.input.clone(),
            ids: None,
            attributes: None,
            no_attributes: false,
            attributes_from: from.map(Path::to_owned),
            unmatched: Unmatched::Error,
        })?;
        let column = |(name, kind)| ColumnBuilder::new(ColumnSchema { name, kind, nullable: true });
        let mut builders: Vec<ColumnBuilder> =
            source.attributes().into_iter().map(column).collect();
        let (mut ids, mut has_ids) = (Vec::new(), false);
        work.report.start("attributes", Some(work.n), "items");
        while let Some(batch) = source.next_batch().map_err(|error| Failure::of(&*error))? {
            work.report.interrupt().check()?;
            let first = ids.len() as u64;
            let rows = batch.vectors.bytes().len()
                / (work.queries.dim * batch.vectors.element().bytes()).max(1);
            for (builder, values) in builders.iter_mut().zip(&batch.attributes) {
                (0..rows).try_for_each(|row| builder.push(&values.value(row)))?;
            }
            has_ids |= batch.ids.is_some();
            ids.extend(batch.ids.unwrap_or_else(|| (first..first + rows as u64).collect()));
            work.report.advance(rows as u64);
        }
        work.report.finish();
        if let Some(duplicate) = find_duplicate_id(&ids).filter(|_| has_ids) {
            let path = from.unwrap_or(&work.args.input.path);
            return Err(duplicate.in_file(path).into());
        }
        Self::finish(builders, ids)
    }

    /// Adds the column of cells, and keeps everything in columns.
    fn with_cells(
        work: &Work<'_>,
        plain: &Path,
        path: &Path,
        cells: &Cells,
    ) -> Result<Self, Failure> {
        let mut reader = open_table(plain, &ReadOptions::default())?;
        let mut fields = reader.attributes().to_vec();
        fields.push(AttributeField { name: CELL.to_owned(), kind: AttributeKind::Text });
        let mut writer = create_table(path, Some("item_id"), &fields)?;
        let column = |field: &AttributeField| {
            let (name, kind) = (field.name.clone(), kind(field.kind));
            ColumnBuilder::new(ColumnSchema { name, kind, nullable: false })
        };
        let mut builders: Vec<ColumnBuilder> = fields.iter().map(column).collect();
        let mut ids = Vec::new();
        let mut batch = TableBatch::default();
        while reader.next_batch(&mut batch)? {
            work.report.interrupt().check()?;
            let mut values = TextColumn::default();
            for &cell in &cells.of[ids.len()..][..batch.rows] {
                values.push(Some(&Cells::name(cell as usize)));
            }
            let values = AttributeValues::Text(values);
            batch.attributes.push(AttributeBatch { name: CELL.to_owned(), values });
            let rows: Vec<Option<usize>> = (0..batch.rows).map(Some).collect();
            for (builder, attribute) in builders.iter_mut().zip(&batch.attributes) {
                let values = column_batch(&attribute.values, &rows);
                (0..batch.rows).try_for_each(|row| builder.push(&values.value(row)))?;
            }
            ids.extend_from_slice(batch.ids.as_deref().unwrap_or_default());
            writer.write(&batch)?;
            batch.attributes.pop();
        }
        writer.finish()?;
        Self::finish(builders, ids)
    }

    fn finish(builders: Vec<ColumnBuilder>, ids: Vec<ItemId>) -> Result<Self, Failure> {
        let order: Vec<u32> = (0..ids.len() as u32).collect();
        let (mut schema, mut columns) = (Vec::new(), Vec::new());
        for builder in builders {
            let column = builder.schema().clone();
            columns.push(laid_out(builder.finish(&order)?, &column, ids.len())?);
            schema.push(column);
        }
        Ok(Self { schema, columns, ids })
    }

    /// The column of a name that is one of this module's.
    pub(super) fn named(&self, name: &str) -> Result<ColumnView<'_>, Failure> {
        let at = self.schema.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| Failure::new(Exit::Internal, format!("no column {name}")))?;
        Ok(self.column(at)?)
    }

    /// The numbers of a column, ascending.
    pub(super) fn sorted(&self, name: &str) -> Result<Vec<f64>, Failure> {
        let column = self.named(name)?;
        let number = |node| match column.value(NodeId(node)) {
            AttributeValue::F64(number) => Some(number),
            _ => None,
        };
        let mut numbers: Vec<f64> = (0..self.ids.len() as u32).filter_map(number).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        Ok(numbers)
    }
}

impl Table for Items {
    fn schema(&self) -> &[ColumnSchema] {
        &self.schema
    }

    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption> {
        let (bytes, layout) = &self.columns[at];
        Ok(layout.view(bytes))
    }

    fn item_ids(&self) -> &[ItemId] {
        &self.ids
    }
}

/// A column that was just built, with what reads it.
fn laid_out(
    bytes: Vec<u8>,
    schema: &ColumnSchema,
    rows: usize,
) -> Result<(Vec<u8>, ColumnLayout), Failure> {
    let view = ColumnView::parse(&bytes, schema, rows as u64);
    let view = view.map_err(|_| Failure::new(Exit::Internal, "a column cannot be read back"))?;
    let layout = view.layout().clone();
    Ok((bytes, layout))
}

/// Categories whose values each have about a share `selectivity` of the items, or all but that where
/// it is more than half; and their number.
pub(super) fn category(selectivity: f64) -> (String, u32) {
    let values = (1.0 / selectivity.min(1.0 - selectivity)).round().clamp(1.0, 1e6) as u32;
    (format!("any_{values}"), values)
}

fn columns(work: &Work<'_>) -> Vec<ColumnPlan> {
    let mut columns: Vec<ColumnPlan> = Vec::new();
    for &selectivity in &work.args.selectivity {
        let (name, values) = category(selectivity);
        if columns.iter().all(|column| column.name != name) {
            columns.push(ColumnPlan { name, rule: ColumnRule::Category { values } });
        }
    }
    let numeric = |alpha| ColumnRule::Numeric { alpha };
    for (name, rule) in [(PRICE, numeric(ALPHA)), (NOISE, numeric(0.0)), (TAG, TAGS)] {
        columns.push(ColumnPlan { name: name.to_owned(), rule });
    }
    columns
}
