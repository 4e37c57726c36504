//! What the items of answers are like: how diverse and new a list is, and how exposure is spread over
//! the catalogue and its groups.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use vicinage::eval::bootstrap::{Interval, resample};
use vicinage::eval::catalog::{self, Exposure};
use vicinage::eval::metrics;
use vicinage::index::{AttributeValue, ColumnKind, Index};
use vicinage::types::NodeId;

use super::relevance::RESAMPLES;
use crate::exit::Failure;
use crate::measure::Answers;
use crate::shortlist::{attribute_names, plain, value_json};

/// A column with more values than this names items and not groups of them.
const MOST_GROUPS: usize = 1_000;

/// How often each item was taken, by node.
pub(super) struct Popularity {
    counts: Vec<f64>,
    total: f64,
}

/// The groups that a column makes of the items.
pub(super) struct Grouping {
    pub(super) column: String,
    /// The largest first.
    pub(super) groups: Vec<Group>,
    /// The groups of each node, one after the other, and where those of each node end.
    members: Vec<u32>,
    ends: Vec<usize>,
}

/// The items with one value, or with none.
pub(super) struct Group {
    pub(super) name: String,
    value: Value,
    pub(super) items: u64,
}

/// A group in the answers of one search.
#[derive(Serialize)]
pub(super) struct Share {
    value: Value,
    catalog_share: f64,
    exposure_share: f64,
    pub(super) ratio: Option<f64>,
}

/// Answers of one search beyond their accuracy.
#[derive(Serialize)]
pub(super) struct Beyond {
    /// None where no answer has two items.
    pub(super) diversity: Option<Interval>,
    /// None without popularity.
    pub(super) novelty: Option<Interval>,
    pub(super) coverage: f64,
    pub(super) gini: f64,
    /// By column.
    pub(super) groups: serde_json::Map<String, Value>,
    /// The ratios of those, in the order that the columns were asked for.
    #[serde(skip)]
    pub(super) ratios: Vec<Vec<Option<f64>>>,
}

/// What is known of the items of an index.
pub(super) struct Items<'a> {
    pub(super) index: &'a Index,
    pub(super) popularity: Option<Popularity>,
    pub(super) groupings: Vec<Grouping>,
}

/// The number and kind of a column.
fn column(index: &Index, name: &str) -> Result<(usize, ColumnKind), Failure> {
    let column = index.attribute(name).ok_or_else(|| {
        Failure::usage(format!("the index has no attribute {name:?}"))
            .expected(attribute_names(index), name)
    })?;
    Ok((column, index.info().attributes[column].schema.kind))
}

fn nodes(index: &Index) -> impl Iterator<Item = NodeId> {
    (0..index.info().n as u32).map(NodeId)
}

impl Popularity {
    /// Reads a column of counts; an item without one was never taken.
    pub(super) fn read(index: &Index, name: &str) -> Result<Self, Failure> {
        let (column, kind) = column(index, name)?;
        if !matches!(kind, ColumnKind::I64 | ColumnKind::F64) {
            return Err(Failure::usage(format!(
                "{name:?} does not say how often items were taken"
            ))
            .expected("an attribute of i64 or f64", kind.name()));
        }
        let mut counts = Vec::with_capacity(index.info().n as usize);
        for node in nodes(index) {
            let count = match index.attribute_value(column, node)? {
                AttributeValue::I64(count) => count as f64,
                AttributeValue::F64(count) => count,
                _ => 0.0,
            };
            if !(count >= 0.0 && count.is_finite()) {
                let item = index.item_id(node);
                return Err(Failure::data(format!(
                    "{name:?} does not say how often items were taken"
                ))
                .at(format!("item {item}"))
                .expected("a count from 0", count.to_string()));
            }
            counts.push(count);
        }
        let most = counts.iter().copied().fold(0.0, f64::max);
        if most < 1.0 {
            return Err(Failure::data(format!("{name:?} does not say how often items were taken"))
                .expected("counts, at least one of them 1 or more", format!("{most} at most")));
        }
        Ok(Self { total: counts.iter().sum(), counts })
    }
}

impl Grouping {
    /// Reads a column of categories, tags, integers or bools. An item is in the group of each of its
    /// tags; those without a value are a group, too.
    pub(super) fn read(index: &Index, name: &str) -> Result<Self, Failure> {
        let (column, kind) = column(index, name)?;
        if matches!(kind, ColumnKind::F64 | ColumnKind::Timestamp) {
            return Err(Failure::usage(format!("{name:?} makes no groups of items"))
                .expected("an attribute of category, tags, i64 or bool", kind.name()));
        }
        let mut grouping =
            Self { column: name.to_owned(), groups: vec![], members: vec![], ends: vec![] };
        let mut numbers = HashMap::new();
        for node in nodes(index) {
            match index.attribute_value(column, node)? {
                AttributeValue::Tags(tags) if !tags.is_empty() => {
                    tags.iter()
                        .for_each(|tag| grouping.add(&mut numbers, AttributeValue::Text(tag)));
                }
                AttributeValue::Tags(_) => grouping.add(&mut numbers, AttributeValue::Null),
                value => grouping.add(&mut numbers, value),
            }
            grouping.ends.push(grouping.members.len());
            if grouping.groups.len() > MOST_GROUPS {
                return Err(Failure::usage(format!("{name:?} makes too many groups of items"))
                    .expected(format!("at most {MOST_GROUPS} values"), "more"));
            }
        }
        grouping.sort();
        Ok(grouping)
    }

    /// Puts the node that is being read into the group of a value.
    fn add(&mut self, numbers: &mut HashMap<Value, u32>, value: AttributeValue<'_>) {
        let json = value_json(&value);
        let name = || if json.is_null() { "(none)".to_owned() } else { plain(&value) };
        let number = *numbers.entry(json.clone()).or_insert_with(|| {
            self.groups.push(Group { name: name(), value: json.clone(), items: 0 });
            self.groups.len() as u32 - 1
        });
        self.groups[number as usize].items += 1;
        self.members.push(number);
    }

    /// Brings the largest groups to the front, and of equal ones the first that was met.
    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(self.groups[number as usize].items));
        let mut places = vec![0; order.len()];
        (0..).zip(&order).for_each(|(place, &number)| places[number as usize] = place);
        self.members.iter_mut().for_each(|number| *number = places[*number as usize]);
        self.groups.sort_by_key(|group| std::cmp::Reverse(group.items));
    }

    /// How much of the answers each group is.
    fn shares(&self, exposures: &[u64]) -> Vec<Share> {
        let mut shown = vec![0; self.groups.len()];
        let mut start = 0;
        for (&end, &times) in self.ends.iter().zip(exposures) {
            self.members[start..end].iter().for_each(|&group| shown[group as usize] += times);
            start = end;
        }
        let (catalog, answers) = (exposures.len() as u64, exposures.iter().sum());
        let share = |(group, shown): (&Group, u64)| {
            let exposure = Exposure { items: group.items, catalog, shown, answers };
            Share {
                value: group.value.clone(),
                catalog_share: exposure.catalog_share(),
                exposure_share: exposure.answer_share(),
                ratio: exposure.ratio(),
            }
        };
        self.groups.iter().zip(shown).map(share).collect()
    }
}

impl Items<'_> {
    /// What the first `k` answers to each query are like, on the threads of the pool that it is called
    /// in.
    pub(super) fn beyond(&self, found: &Answers, k: usize, seed: u64) -> Result<Beyond, Failure> {
        let index = self.index;
        let lists: Vec<Vec<NodeId>> = (0..found.queries())
            .map(|query| {
                let mut list = Vec::with_capacity(k);
                index.nodes_of(found.ids(query, k), &mut list);
                list
            })
            .collect();
        let mut exposures = vec![0_u64; index.info().n as usize];
        lists.iter().flatten().for_each(|node| exposures[node.index()] += 1);
        let diversity: Vec<Option<f64>> =
            lists.par_iter().map(|list| self.diversity(list)).collect();
        let novelty = self.popularity.as_ref().map(|Popularity { counts, total }| {
            let count = |node: &NodeId| counts[node.index()];
            lists.iter().map(|list| metrics::novelty(list.iter().map(count), *total)).collect()
        });
        let mut groups = serde_json::Map::new();
        let mut ratios = Vec::new();
        for grouping in &self.groupings {
            let shares = grouping.shares(&exposures);
            ratios.push(shares.iter().map(|share| share.ratio).collect());
            groups.insert(grouping.column.clone(), json!(shares));
        }
        Ok(Beyond {
            diversity: interval(diversity, seed),
            novelty: novelty.and_then(|novelty| interval(novelty, seed)),
            coverage: catalog::coverage(&exposures),
            gini: catalog::gini(&exposures),
            groups,
            ratios,
        })
    }

    fn diversity(&self, list: &[NodeId]) -> Option<f64> {
        let (mut vectors, mut vector) = (Vec::new(), Vec::new());
        for &node in list {
            self.index.vector(node, &mut vector);
            vectors.extend_from_slice(&vector);
        }
        metrics::diversity(&vectors, self.index.info().dim)
    }
}

/// The mean over those queries that have a value.
fn interval(values: Vec<Option<f64>>, seed: u64) -> Option<Interval> {
    let rows: Vec<[f64; 1]> = values.into_iter().flatten().map(|value| [value]).collect();
    resample(&rows, RESAMPLES, seed).map(|[sampled]| sampled.interval())
}
