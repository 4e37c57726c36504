//! Attribute columns for given vectors, of chosen selectivity and correlation with a target: a
//! query, or the middle of a cluster. What a row gets depends on its id and vector alone, so
//! that the order of the rows changes nothing.

use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::{Advance, GenerateError, check, tell};
use crate::VectorReader;
use crate::attributes::{
    AttributeBatch, AttributeField, AttributeKind, AttributeValues, TextColumn, TextListColumn,
};
use crate::parquet::{TableWriter, create_table};
use crate::profile::dot;
use crate::random::{Random, Zipf, hash, normal_of, unit};
use crate::spec::{InputSpec, ReadOptions};
use crate::table::TableBatch;
use crate::vectors::{Batch, NarrowError};

/// Rows whose affinities are kept to find thresholds: 16 MiB. Of a longer file, so many at even
/// steps.
const SAMPLE: u64 = 2 << 20;
/// Rows nearest to the target, in which the correlation is measured.
const NEAREST: u64 = 1_000;
/// The most different tags.
const MOST_TAGS: usize = 10_000_000;

/// What to make.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributePlan {
    /// The columns, each under its own name.
    pub columns: Vec<ColumnPlan>,
    /// The vector that correlated columns are correlated with: the affinity of a row is its inner
    /// product with it, or minus its squared distance.
    pub target: Vec<f32>,
    /// Whether affinity is nearness (a cluster), not the inner product (a query).
    pub near: bool,
    /// The same seed, the same columns.
    pub seed: u64,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnPlan {
    /// Its name.
    pub name: String,
    /// Its values.
    #[serde(flatten)]
    pub rule: ColumnRule,
}

/// How the values of a column come about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum ColumnRule {
    /// Bool: true with probability `selectivity`, whatever the vector.
    Random {
        /// Share of true.
        selectivity: f64,
    },
    /// Text: one of `values` categories, each as likely, whatever the vector.
    Category {
        /// Number of categories; the selectivity of each is 1 / values.
        values: u32,
    },
    /// Bool: true for the share `selectivity` of the rows whose affinity, mixed with noise, is
    /// largest.
    Correlated {
        /// Share of true.
        selectivity: f64,
        /// 1: the affinity alone decides; 0: the noise alone; −1: true lies farthest away.
        strength: f64,
    },
    /// Float: `alpha` × affinity + (1 − `alpha`) × noise, both of mean 0 and variance 1.
    Numeric {
        /// Share of the affinity.
        alpha: f64,
    },
    /// List of texts: tags with Zipf frequencies.
    Tags {
        /// Number of different tags.
        vocabulary: u32,
        /// Mean number of draws a row; the same tag twice counts once.
        mean: f64,
    },
}

impl ColumnRule {
    fn kind(self) -> AttributeKind {
        match self {
            Self::Random { .. } | Self::Correlated { .. } => AttributeKind::Bool,
            Self::Category { .. } => AttributeKind::Text,
            Self::Numeric { .. } => AttributeKind::F64,
            Self::Tags { .. } => AttributeKind::TextList,
        }
    }

    fn check(self) -> Result<(), GenerateError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        match self {
            Self::Random { selectivity } => {
                check("selectivity", selectivity, "from 0 to 1", share(selectivity))
            }
            Self::Category { values } => {
                check("categories", values, "from 1 to 1000000", (1..=1_000_000).contains(&values))
            }
            Self::Correlated { selectivity, strength } => {
                check("selectivity", selectivity, "from 0 to 1", share(selectivity))?;
                check("strength", strength, "from -1 to 1", share(strength.abs()))
            }
            Self::Numeric { alpha } => check("alpha", alpha, "from 0 to 1", share(alpha)),
            Self::Tags { vocabulary, mean } => {
                let fits = (1..=MOST_TAGS).contains(&(vocabulary as usize));
                check("vocabulary", vocabulary, "from 1 to 10000000", fits)?;
                check("tags a row", mean, "from 0 to 1000", (0.0..=1000.0).contains(&mean))
            }
        }
    }
}

impl FromStr for ColumnPlan {
    type Err = String;

    /// `NAME=random:S`, `NAME=category:N`, `NAME=correlated:S:STRENGTH`, `NAME=numeric:ALPHA` or
    /// `NAME=tags:VOCABULARY:MEAN`.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || {
            "expected NAME=random:S, category:N, correlated:S:STRENGTH, numeric:ALPHA or \
             tags:VOCABULARY:MEAN"
                .to_owned()
        };
        let (name, rule) =
            text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(fail)?;
        let words: Vec<&str> = rule.split(':').collect();
        let number = |text: &str| text.parse::<f64>().map_err(|_| fail());
        let whole = |text: &str| text.parse::<u32>().map_err(|_| fail());
        let rule = match words[..] {
            ["random", selectivity] => ColumnRule::Random { selectivity: number(selectivity)? },
            ["category", values] => ColumnRule::Category { values: whole(values)? },
            ["correlated", selectivity, strength] => ColumnRule::Correlated {
                selectivity: number(selectivity)?,
                strength: number(strength)?,
            },
            ["numeric", alpha] => ColumnRule::Numeric { alpha: number(alpha)? },
            ["tags", vocabulary, mean] => {
                ColumnRule::Tags { vocabulary: whole(vocabulary)?, mean: number(mean)? }
            }
            _ => return Err(fail()),
        };
        rule.check().map_err(|e| e.to_string())?;
        Ok(Self { name: name.to_owned(), rule })
    }
}

/// What became of a column of bools.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnReport {
    /// The column.
    pub name: String,
    /// Share of true.
    pub selectivity: f64,
    /// Share of true among the 1,000 rows nearest to the target, over `selectivity`: above 1 the
    /// column is correlated with the target, below 1 anti-correlated.
    pub correlation: f64,
}

/// Writes the columns of `plan` for the vectors of `input` into the Parquet file `path`,
/// keyed by `item_id`: the vectors' ids, or row numbers. The vectors are read twice; `advance` is
/// told of the rows of both passes.
///
/// # Errors
/// A plan that cannot be, what is wrong with the vectors, or what the system refuses.
pub fn write_attributes(
    input: &InputSpec,
    plan: &AttributePlan,
    path: &Path,
    advance: Advance<'_>,
) -> Result<Vec<ColumnReport>, GenerateError> {
    let options = ReadOptions::without_attributes();
    let mut reader = crate::open(input, &options)?;
    let dim = reader.shape().dim as usize;
    check(
        "query",
        plan.target.len(),
        "as many components as the vectors",
        plan.target.len() == dim,
    )?;
    for (at, column) in plan.columns.iter().enumerate() {
        column.rule.check()?;
        let fresh = plan.columns[..at].iter().all(|other| other.name != column.name);
        check(
            "column",
            &column.name,
            "every name once, and not item_id",
            fresh && column.name != "item_id",
        )?;
    }
    let scale = Scale::measure(&mut *reader, plan, advance)?;
    let mut columns: Vec<Column<'_>> =
        plan.columns.iter().map(|column| Column::new(column, plan.seed, &scale)).collect();
    let fields: Vec<AttributeField> = plan.columns.iter().map(field).collect();
    let mut writer: TableWriter = create_table(path, Some("item_id"), &fields)?;
    let mut reader = crate::open(input, &options)?;
    let mut batch = Batch::default();
    let (mut rows, mut nearest) = (0, 0);
    while reader.next_batch(&mut batch)? {
        let ids = batch
            .ids
            .clone()
            .unwrap_or_else(|| (batch.first_row..batch.first_row + batch.rows as u64).collect());
        let affinities = plan.affinities(&batch).map_err(narrow)?;
        nearest += affinities.iter().filter(|&&affinity| affinity >= scale.nearest).count() as u64;
        rows += batch.rows as u64;
        let values = |column: &mut Column<'_>| column.values(&ids, &affinities, &scale);
        let attributes = columns.iter_mut().map(values).collect();
        let table =
            TableBatch { first_row: batch.first_row, rows: batch.rows, ids: Some(ids), attributes };
        writer.write(&table)?;
        tell(advance, batch.rows as u64)?;
    }
    writer.finish()?;
    Ok(columns.iter().filter_map(|column| column.report(rows, nearest)).collect())
}

fn field(column: &ColumnPlan) -> AttributeField {
    AttributeField { name: column.name.clone(), kind: column.rule.kind() }
}

fn narrow(error: NarrowError) -> GenerateError {
    GenerateError::Parameter {
        name: "vectors",
        expected: "components within the range of f32",
        found: error.to_string(),
    }
}

impl AttributePlan {
    fn affinities(&self, batch: &Batch) -> Result<Vec<f32>, NarrowError> {
        let vectors = batch.to_f32()?;
        let affinity = |row: &[f32]| {
            let product = dot(row, &self.target);
            if self.near { 2.0 * product - dot(row, row) } else { product }
        };
        Ok(vectors.chunks_exact(batch.dim).map(affinity).collect())
    }
}

/// What is known of the affinities of all rows.
struct Scale {
    mean: f64,
    deviation: f64,
    /// Affinity of the 1,000th nearest row, or what stands for it in the sample.
    nearest: f32,
    /// Ids and affinities of the sample.
    sample: Vec<(u64, f32)>,
}

impl Scale {
    fn measure(
        reader: &mut dyn VectorReader,
        plan: &AttributePlan,
        advance: Advance<'_>,
    ) -> Result<Self, GenerateError> {
        let all = reader.shape().rows;
        let step = all.div_ceil(SAMPLE).max(1);
        let mut sample = Vec::new();
        let mut batch = Batch::default();
        while reader.next_batch(&mut batch)? {
            let affinities = plan.affinities(&batch).map_err(narrow)?;
            for (at, affinity) in affinities.into_iter().enumerate() {
                let row = batch.first_row + at as u64;
                if row.is_multiple_of(step) {
                    sample.push((batch.ids.as_ref().map_or(row, |ids| ids[at]), affinity));
                }
            }
            tell(advance, batch.rows as u64)?;
        }
        let count = sample.len().max(1) as f64;
        let mean = sample.iter().map(|&(_, x)| f64::from(x)).sum::<f64>() / count;
        let square = sample.iter().map(|&(_, x)| (f64::from(x) - mean) * (f64::from(x) - mean));
        let deviation = (square.sum::<f64>() / count).sqrt().max(f64::MIN_POSITIVE);
        let mut sorted: Vec<f32> = sample.iter().map(|&(_, affinity)| affinity).collect();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let place = (NEAREST / step) as usize;
        let nearest = sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied();
        Ok(Self { mean, deviation, nearest: nearest.unwrap_or(f32::INFINITY), sample })
    }

    fn standard(&self, affinity: f32) -> f64 {
        (f64::from(affinity) - self.mean) / self.deviation
    }
}

/// A column in the making.
struct Column<'a> {
    plan: &'a ColumnPlan,
    seed: u64,
    /// A correlated row is true from this score on.
    threshold: f64,
    zipf: Option<Zipf>,
    passed: u64,
    passed_nearest: u64,
}

impl<'a> Column<'a> {
    fn new(plan: &'a ColumnPlan, seed: u64, scale: &Scale) -> Self {
        let zipf = match plan.rule {
            ColumnRule::Tags { vocabulary, .. } => Some(Zipf::new(vocabulary as usize, 1.0)),
            _ => None,
        };
        let mut column =
            Self { plan, seed, threshold: f64::INFINITY, zipf, passed: 0, passed_nearest: 0 };
        if let ColumnRule::Correlated { selectivity, strength } = plan.rule {
            let sample = scale.sample.iter();
            let mut scores: Vec<f64> =
                sample.map(|&(id, x)| column.score(id, scale.standard(x), strength)).collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            let count = (scores.len() as f64 * selectivity).round() as usize;
            column.threshold = match count.checked_sub(1) {
                Some(last) => scores[last],
                None => f64::INFINITY,
            };
        }
        column
    }

    /// Affinity mixed with noise, so that the variance stays 1.
    fn score(&self, id: u64, affinity: f64, strength: f64) -> f64 {
        let noise = normal_of(self.seed, &self.plan.name, id);
        strength * affinity + (1.0 - strength * strength).sqrt() * noise
    }

    fn values(&mut self, ids: &[u64], affinities: &[f32], scale: &Scale) -> AttributeBatch {
        let (seed, name) = (self.seed, &self.plan.name);
        let values = match self.plan.rule {
            ColumnRule::Random { selectivity } => {
                let passes = |&id: &u64| unit(hash(seed, name, id)) < selectivity;
                let passes: Vec<bool> = ids.iter().map(passes).collect();
                self.bools(passes, affinities, scale)
            }
            ColumnRule::Correlated { strength, .. } => {
                let rows = ids.iter().zip(affinities);
                let score = |(&id, &x)| self.score(id, scale.standard(x), strength);
                let passes = rows.map(|row| score(row) >= self.threshold).collect();
                self.bools(passes, affinities, scale)
            }
            ColumnRule::Category { values } => {
                let category = |&id: &u64| {
                    let at = (u128::from(hash(seed, name, id)) * u128::from(values)) >> 64;
                    format!("{name}-{at}")
                };
                let mut column = TextColumn::default();
                ids.iter().for_each(|id| column.push(Some(&category(id))));
                AttributeValues::Text(column)
            }
            ColumnRule::Numeric { alpha } => {
                let value = |(&id, &x)| {
                    Some(alpha * scale.standard(x) + (1.0 - alpha) * normal_of(seed, name, id))
                };
                AttributeValues::F64(ids.iter().zip(affinities).map(value).collect())
            }
            ColumnRule::Tags { mean, .. } => self.tags(ids, mean),
        };
        AttributeBatch { name: self.plan.name.clone(), values }
    }

    fn bools(&mut self, passes: Vec<bool>, affinities: &[f32], scale: &Scale) -> AttributeValues {
        for (&passes, &affinity) in passes.iter().zip(affinities) {
            self.passed += u64::from(passes);
            self.passed_nearest += u64::from(passes && affinity >= scale.nearest);
        }
        AttributeValues::Bool(passes.into_iter().map(Some).collect())
    }

    fn tags(&self, ids: &[u64], mean: f64) -> AttributeValues {
        let mut column = TextListColumn::default();
        let Some(zipf) = &self.zipf else { return AttributeValues::TextList(column) };
        for &id in ids {
            let mut random = Random::new(self.seed, &self.plan.name, id);
            // Uniform around the mean: from none to twice as many.
            let draws = (random.unit() * (2.0 * mean + 1.0)) as usize;
            let mut tags: Vec<usize> = (0..draws).map(|_| zipf.draw(&mut random)).collect();
            tags.sort_unstable();
            tags.dedup();
            let texts: Vec<String> = tags.iter().map(|tag| format!("t{tag}")).collect();
            column.push(Some(texts.iter().map(String::as_str)));
        }
        AttributeValues::TextList(column)
    }

    fn report(&self, rows: u64, nearest: u64) -> Option<ColumnReport> {
        if self.plan.rule.kind() != AttributeKind::Bool {
            return None;
        }
        let selectivity = self.passed as f64 / rows.max(1) as f64;
        let near = self.passed_nearest as f64 / nearest.max(1) as f64;
        let correlation = if selectivity > 0.0 { near / selectivity } else { 0.0 };
        Some(ColumnReport { name: self.plan.name.clone(), selectivity, correlation })
    }
}
