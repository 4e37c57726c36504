//! The sorted candidate list of a search: the `ef` closest nodes seen so far.

use crate::types::{Neighbor, NodeId};

/// The closest nodes seen, ascending by distance, ties by node; each remembers whether its
/// neighbors have been read.
///
/// An entry is one `u64`, so that order is one integer comparison and insertion one `memmove`:
/// ```text
/// bit 63           32 31          1      0
///     distance, sortable   node      expanded
/// ```
#[derive(Debug, Default)]
pub struct Pool {
    keys: Vec<u64>,
    capacity: usize,
    /// Every entry before this one is expanded.
    cursor: usize,
    /// Keys from here on are of no interest.
    limit: u64,
    stop: Stop,
}

/// When a search is over before every entry of its list is expanded: once the closest of them that
/// is left lies farther than `slack` times the `k`th closest. Such entries do not enter the list
/// either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// Results asked for.
    pub k: usize,
    /// At least 1; infinite: never.
    pub slack: f32,
}

impl Stop {
    /// The list decides alone.
    pub const NEVER: Self = Self { k: 1, slack: f32::INFINITY };
}

impl Default for Stop {
    fn default() -> Self {
        Self::NEVER
    }
}

const EXPANDED: u64 = 1;

/// Maps f32 to u32 so that integer order is [`f32::total_cmp`] order.
#[inline(always)]
fn sortable(distance: f32) -> u32 {
    let bits = distance.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

#[inline(always)]
fn unsortable(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits ^ 0x8000_0000 } else { !bits })
}

#[inline(always)]
fn key(distance: f32, node: NodeId) -> u64 {
    u64::from(sortable(distance)) << 32 | u64::from(node.0) << 1
}

#[inline(always)]
fn neighbor(key: u64) -> Neighbor {
    Neighbor { distance: unsortable((key >> 32) as u32), node: NodeId(key as u32 >> 1) }
}

impl Pool {
    /// Empties the pool and lets it hold `capacity` entries.
    pub fn reset(&mut self, capacity: usize, stop: Stop) {
        self.keys.clear();
        self.keys.reserve(capacity + 1);
        self.capacity = capacity;
        self.cursor = 0;
        self.limit = u64::MAX;
        self.stop = stop;
    }

    /// Offers nodes that the pool has not been offered before.
    #[inline(always)]
    pub fn insert(&mut self, nodes: &[NodeId], distances: &[f32]) {
        for (node, distance) in nodes.iter().zip(distances) {
            let key = key(*distance, *node);
            if key >= self.limit {
                continue;
            }
            if self.keys.len() == self.capacity {
                self.keys.pop();
            }
            let at = self.keys.partition_point(|other| *other < key);
            self.keys.insert(at, key);
            self.cursor = self.cursor.min(at);
            if self.keys.len() == self.capacity {
                self.limit = self.limit.min(self.keys[self.capacity - 1]);
            }
        }
        if self.stop.slack < f32::INFINITY
            && let Some(kth) = self.keys.get(self.stop.k - 1)
        {
            let farthest = neighbor(*kth).distance * self.stop.slack;
            self.limit = self.limit.min(key(farthest, NodeId(u32::MAX >> 1)));
        }
    }

    /// The closest node whose neighbors have not been read, marked as read.
    #[inline(always)]
    pub fn expand_next(&mut self) -> Option<NodeId> {
        while let Some(key) = self.keys.get_mut(self.cursor) {
            self.cursor += 1;
            if *key > self.limit {
                return None;
            }
            if *key & EXPANDED == 0 {
                *key |= EXPANDED;
                return Some(neighbor(*key).node);
            }
        }
        None
    }

    /// The node that [`Pool::expand_next`] gives if nothing is inserted before.
    #[inline(always)]
    pub fn peek(&self) -> Option<NodeId> {
        let unexpanded = self.keys[self.cursor.min(self.keys.len())..].iter();
        unexpanded.copied().find(|key| key & EXPANDED == 0).map(|key| neighbor(key).node)
    }

    /// What is held, closest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Neighbor> + '_ {
        self.keys.iter().map(|key| neighbor(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_survive_the_key() {
        for distance in [0.0, -0.0, 1.5, -1.5, f32::MAX, f32::MIN, 1e-40, -1e-40] {
            for node in [0, 1, (1 << 31) - 1] {
                let back = neighbor(key(distance, NodeId(node)) | EXPANDED);
                assert_eq!(back.distance.to_bits(), distance.to_bits());
                assert_eq!(back.node, NodeId(node));
            }
        }
    }

    #[test]
    fn keeps_the_closest_in_order_and_expands_each_once() {
        let mut pool = Pool::default();
        pool.reset(3, Stop::NEVER);
        for (node, distance) in [4.0, -1.0, 2.0, 2.0, -3.0].into_iter().enumerate() {
            pool.insert(&[NodeId(node as u32)], &[distance]);
        }
        let held: Vec<(f32, u32)> = pool.iter().map(|n| (n.distance, n.node.0)).collect();
        assert_eq!(held, [(-3.0, 4), (-1.0, 1), (2.0, 2)]);
        assert_eq!(pool.expand_next(), Some(NodeId(4)));
        pool.insert(&[NodeId(9)], &[-4.0]);
        let expanded: Vec<u32> = std::iter::from_fn(|| pool.expand_next()).map(|n| n.0).collect();
        assert_eq!(expanded, [9, 1]);
    }
}
