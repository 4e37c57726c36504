//! Filters over tags that pass the share of the items that is wanted: tags are drawn by how many
//! items have them, put together, and counted.

use vicinage::filters::columns::AttributeValue;
use vicinage::filters::expression::{Expression, Predicate};
use vicinage::filters::nodes::NodeSet;
use vicinage::types::NodeId;
use vicinage_datasets::generate::Random;

use super::items::{Items, TAG};
use super::shapes::Shape;
use crate::exit::Failure;

/// Filters that are tried, for each that is taken.
const TRIES: usize = 40;
/// Filters whose count is off by more than this factor are not taken.
const OFF: f64 = 1.5;
/// From this share on, `not` needs no tag that has to be there.
const PURE_NOT: f64 = 0.2;

/// Tags, most frequent first, each with the items that have it.
pub(super) struct Tags {
    tags: Vec<(String, NodeSet)>,
    n: f64,
}

impl Tags {
    pub(super) fn new(items: &Items) -> Result<Self, Failure> {
        let column = items.named(TAG)?;
        let mut tags = vec![(String::new(), Vec::new()); column.distinct() as usize];
        for node in (0..items.ids.len() as u32).map(NodeId) {
            // Codes and texts of an item come in the same order.
            let AttributeValue::Tags(texts) = column.value(node) else { continue };
            for (code, text) in column.codes(node).into_iter().flatten().zip(texts) {
                let (name, nodes) = &mut tags[code as usize];
                if nodes.is_empty() {
                    *name = text.to_owned();
                }
                nodes.push(node);
            }
        }
        tags.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
        let set = |(name, nodes): (String, Vec<NodeId>)| (name, nodes.into_iter().collect());
        Ok(Self { tags: tags.into_iter().map(set).collect(), n: items.ids.len() as f64 })
    }

    /// At most `count` different filters of `shape` that pass about the share `selectivity`.
    pub(super) fn filters(
        &self,
        shape: Shape,
        selectivity: f64,
        count: usize,
        seed: u64,
    ) -> Vec<Expression> {
        let mut random = Random::new(seed, &format!("{} {selectivity}", shape.name()), 0);
        let mut found: Vec<(f64, Expression)> = Vec::new();
        let tries = if self.tags.is_empty() { 0 } else { count * TRIES };
        for _ in 0..tries {
            let (filter, passing) = match shape {
                Shape::And => self.and(selectivity, &mut random),
                Shape::Or => self.or(selectivity, &mut random),
                _ => self.not(selectivity, &mut random),
            };
            let off = (passing.len() as f64 / (selectivity * self.n)).ln().abs();
            if off <= OFF.ln() && found.iter().all(|(_, other)| *other != filter) {
                found.push((off, filter));
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.truncate(count);
        found.into_iter().map(|(_, filter)| filter).collect()
    }

    /// A tag that about a share `wanted` of the items has, give or take.
    fn near(&self, wanted: f64, random: &mut Random) -> &(String, NodeSet) {
        let wanted = wanted * self.n * (1.4 * (random.unit() - 0.5)).exp();
        let place = self.tags.partition_point(|(_, nodes)| nodes.len() as f64 > wanted);
        // Rare tags are many, and alike: one of those, not always the first.
        let spread = (place as u64 / 8).max(3);
        let place = place as u64 + random.below(2 * spread + 1);
        &self.tags[place.saturating_sub(spread).min(self.tags.len() as u64 - 1) as usize]
    }

    /// Two or three tags that an item has to have.
    fn and(&self, selectivity: f64, random: &mut Random) -> (Expression, NodeSet) {
        let count = 2 + random.below(2) as usize;
        // From all alike to one that decides nearly alone.
        let (mut left, mut names, mut passing) = (selectivity, Vec::new(), None::<NodeSet>);
        for last in (0..count).rev() {
            let share = if last == 0 { left } else { left.powf(random.unit()) };
            let (name, nodes) = self.near(share, random);
            names.push(name.clone());
            passing = Some(passing.map_or_else(|| nodes.clone(), |passing| passing.and(nodes)));
            left = (left / (nodes.len() as f64 / self.n)).min(1.0);
        }
        let has = |name| Expression::attribute(TAG, Predicate::Has(name));
        (Expression::And(names.into_iter().map(has).collect()), passing.unwrap_or_default())
    }

    /// Two to five tags of which an item has one.
    fn or(&self, selectivity: f64, random: &mut Random) -> (Expression, NodeSet) {
        let count = 2 + random.below(4) as usize;
        let (mut names, mut passing) = (Vec::new(), NodeSet::default());
        for left in (1..=count).rev() {
            let missing = (selectivity - passing.len() as f64 / self.n).max(0.0);
            let free = 1.0 - passing.len() as f64 / self.n;
            let (name, nodes) = self.near(missing / left as f64 / free.max(1e-9), random);
            names.push(name.clone());
            passing = passing.or(nodes);
        }
        let has = |name| Expression::attribute(TAG, Predicate::Has(name));
        (Expression::Or(names.into_iter().map(has).collect()), passing)
    }

    /// A tag that an item must not have; and, where few are to pass, one that it has to have.
    fn not(&self, selectivity: f64, random: &mut Random) -> (Expression, NodeSet) {
        let not_any = |names| {
            let any = Expression::attribute(TAG, Predicate::HasAny(names));
            Expression::Not(Box::new(any))
        };
        if selectivity >= PURE_NOT {
            let (mut names, mut without) = (Vec::new(), NodeSet::default());
            let count = 1 + random.below(3);
            for left in (1..=count).rev() {
                let missing = (1.0 - selectivity - without.len() as f64 / self.n).max(0.0);
                let (name, nodes) = self.near(missing / left as f64, random);
                names.push(name.clone());
                without = without.or(nodes);
            }
            return (not_any(names), NodeSet::all(self.n as u32).without(&without));
        }
        // One of the tags that many items have.
        let frequent = self.tags.partition_point(|(_, nodes)| nodes.len() as f64 > 0.1 * self.n);
        let frequent = random.below(frequent.max(1) as u64) as usize;
        let (unwanted, without) = &self.tags[frequent];
        let share = without.len() as f64 / self.n;
        let (name, nodes) = self.near(selectivity / (1.0 - share).max(0.05), random);
        let has = Expression::attribute(TAG, Predicate::Has(name.clone()));
        let filter = Expression::And(vec![has, not_any(vec![unwanted.clone()])]);
        (filter, nodes.without(without))
    }
}
