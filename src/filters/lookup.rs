//! Nodes of items, by their ids.

use std::cmp::Ordering;

use crate::types::{ItemId, NodeId};

/// Ids looked up at once, so that their cache misses overlap.
const BLOCK: usize = 64;

/// Guesses in one search; a search that is not done by then halves what is left.
const GUESSES: usize = 8;

/// The ids of items in stored order, and the nodes sorted by them.
#[derive(Clone, Copy, Debug)]
pub struct IdLookup<'a> {
    ids: &'a [ItemId],
    nodes: &'a [NodeId],
    first: ItemId,
    last: ItemId,
    /// Places per id, if ids were evenly spread.
    slope: f64,
}

impl<'a> IdLookup<'a> {
    /// `nodes` are those of `ids`, sorted by id. In other orders items are not found.
    pub fn new(ids: &'a [ItemId], nodes: &'a [NodeId]) -> Self {
        let id = |node: Option<&NodeId>| node.and_then(|node| ids.get(node.index())).copied();
        let (first, last) = (id(nodes.first()), id(nodes.last()));
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        let span = last.saturating_sub(first).max(1);
        let slope = nodes.len().saturating_sub(1) as f64 / span as f64;
        Self { ids, nodes, first, last, slope }
    }

    /// The node that holds an item.
    pub fn find(&self, item: ItemId) -> Option<NodeId> {
        self.search(item, self.guess(item))
    }

    /// Appends the nodes of `items`, in that order; those that are not there are passed over.
    /// Ids need not be in any order. Cost: two reads an item where ids are nearly consecutive.
    pub fn find_all(&self, items: &[ItemId], nodes: &mut Vec<NodeId>) {
        for block in items.chunks(BLOCK) {
            let mut guesses = [(0, NodeId(0)); BLOCK];
            for (item, guess) in block.iter().zip(&mut guesses) {
                let place = self.guess(*item);
                *guess = (place, self.nodes.get(place).copied().unwrap_or(NodeId(0)));
            }
            let mut found = [0; BLOCK];
            for ((_, node), found) in guesses.iter().zip(&mut found) {
                *found = self.ids.get(node.index()).copied().unwrap_or_default();
            }
            for ((item, (place, node)), found) in block.iter().zip(guesses).zip(found) {
                let hit = found == *item && !self.nodes.is_empty();
                nodes.extend(if hit { Some(node) } else { self.search(*item, place) });
            }
        }
    }

    /// Where an item is if ids are evenly spread.
    fn guess(&self, item: ItemId) -> usize {
        // Rounded: ids that are evenly spread are exactly there.
        let place = item.saturating_sub(self.first) as f64 * self.slope + 0.5;
        (place as usize).min(self.nodes.len().saturating_sub(1))
    }

    fn at(&self, place: usize) -> Option<(NodeId, ItemId)> {
        let node = *self.nodes.get(place)?;
        Some((node, *self.ids.get(node.index())?))
    }

    /// Searches from a first guess on: by guesses between ids known to be below and above, then by
    /// halves.
    fn search(&self, item: ItemId, guess: usize) -> Option<NodeId> {
        let (mut low, mut high) = (0, self.nodes.len());
        // Ids at the ends of what is left, which is `low..high`.
        let (mut below, mut above) = (self.first, self.last);
        let mut middle = guess;
        for step in 0.. {
            let (node, found) = self.at(middle)?;
            match found.cmp(&item) {
                Ordering::Equal => return Some(node),
                Ordering::Less => (low, below) = (middle + 1, found),
                Ordering::Greater => (high, above) = (middle, found),
            }
            if low >= high {
                return None;
            }
            middle = low + (high - low) / 2;
            if step < GUESSES && below < above && (below..=above).contains(&item) {
                let part = (item - below) as f64 / (above - below) as f64;
                middle = (low + ((high - low) as f64 * part) as usize).min(high - 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_is_there(
            ids in prop::collection::btree_set(
                prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX), (1_u64 << 40)..(1 << 40) + 99], 0..200
            ),
            asked in prop::collection::vec(prop_oneof![0..320_u64, any::<u64>(), Just(u64::MAX)], 0..200),
            stride in 1..400_usize,
        ) {
            // Nodes in another order than ids.
            let sorted: Vec<ItemId> = ids.iter().copied().collect();
            let mut order: Vec<usize> = (0..sorted.len()).collect();
            order.sort_by_key(|at| at * stride % 211);
            let stored: Vec<ItemId> = order.iter().map(|at| sorted[*at]).collect();
            let mut nodes: Vec<NodeId> = (0..stored.len() as u32).map(NodeId).collect();
            nodes.sort_by_key(|node| stored[node.index()]);
            let lookup = IdLookup::new(&stored, &nodes);
            let asked: Vec<ItemId> = asked.into_iter().chain(sorted).collect();
            let node = |item: &ItemId| {
                stored.iter().position(|id| id == item).map(|at| NodeId(at as u32))
            };
            for item in &asked {
                prop_assert_eq!(lookup.find(*item), node(item));
            }
            let mut found = vec![NodeId(7)];
            lookup.find_all(&asked, &mut found);
            let expected: Vec<NodeId> = asked.iter().filter_map(node).collect();
            prop_assert_eq!(&found[1..], expected);
            // Of an order that is none, and of other ids, nothing but what is there.
            nodes.reverse();
            for lookup in [IdLookup::new(&stored, &nodes), IdLookup::new(&asked, &nodes)] {
                found.clear();
                lookup.find_all(&asked, &mut found);
            }
        }
    }
}
