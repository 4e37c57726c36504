//! Neighbor lists of one layer, read straight from memory or from a mapped file.

use crate::graph::overflow::{EdgeLists, Overflow};
use crate::types::NodeId;

/// Lists `[n, degree]`; the used slots come first, an unused slot holds the node itself. Some nodes may
/// have more edges than that in an [`Overflow`].
#[derive(Clone, Copy, Debug)]
pub struct Adjacency<'a> {
    slots: &'a [NodeId],
    degree: usize,
    overflow: Overflow<'a>,
}

/// A slot that names no node of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSlot {
    /// Position in the slot array.
    pub position: usize,
    /// What it holds.
    pub found: u32,
}

impl<'a> Adjacency<'a> {
    /// A view of lists whose ids are known to be in range; `slots.len()` is a multiple of `degree`.
    pub fn new(slots: &'a [NodeId], degree: usize) -> Self {
        debug_assert!(degree > 0 && slots.len().is_multiple_of(degree));
        Self { slots, degree, overflow: Overflow::default() }
    }

    /// The same lists, those of some nodes going on in `overflow`.
    pub fn with_overflow(self, overflow: Overflow<'a>) -> Self {
        Self { overflow, ..self }
    }

    /// Checks that every slot names a node. Cost: one pass over the lists at memory speed.
    pub fn check(&self) -> Result<(), BadSlot> {
        let n = self.len() as u32;
        // Chunks keep the common case a vectorised maximum; only a bad chunk is searched.
        for (chunk, slots) in self.slots.chunks(4096).enumerate() {
            if slots.iter().fold(0, |max, slot| max.max(slot.0)) < n {
                continue;
            }
            if let Some(at) = slots.iter().position(|slot| slot.0 >= n) {
                return Err(BadSlot { position: chunk * 4096 + at, found: slots[at].0 });
            }
        }
        Ok(())
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.slots.len() / self.degree
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Slots per list.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The most slots that a node may have, those in the overflow included.
    pub fn longest(&self) -> usize {
        self.degree + self.overflow.width
    }

    /// The neighbors of `node`, those in the overflow included.
    pub fn all_neighbors(&self, node: NodeId) -> impl Iterator<Item = NodeId> + 'a {
        self.neighbors(node).iter().chain(self.overflow_neighbors(node)).copied()
    }

    /// The neighbors of `node` in the overflow.
    pub fn overflow_neighbors(&self, node: NodeId) -> &'a [NodeId] {
        used(self.more(node), node)
    }

    /// All edges of the overflow.
    pub fn overflow_lists(&self) -> EdgeLists {
        let nodes = (0..self.len() as u32).map(NodeId);
        let nodes = nodes.filter(|node| !self.more(*node).is_empty());
        nodes.map(|node| (node, self.overflow_neighbors(node).to_vec())).collect()
    }

    /// The slots of `node` in the overflow, if it has any there; an unused one holds `node` itself.
    #[inline(always)]
    pub fn more(&self, node: NodeId) -> &'a [NodeId] {
        self.overflow.list(node)
    }

    /// The neighbors of `node` in its own list.
    #[inline(always)]
    pub fn neighbors(&self, node: NodeId) -> &'a [NodeId] {
        used(self.list(node), node)
    }

    /// The slots of `node`, those that are unused and hold `node` itself included.
    #[inline(always)]
    pub fn list(&self, node: NodeId) -> &'a [NodeId] {
        &self.slots[node.index() * self.degree..][..self.degree]
    }

    /// The whole slot array.
    pub fn slots(&self) -> &'a [NodeId] {
        self.slots
    }
}

/// The used slots of a list of `node`.
#[inline(always)]
fn used(list: &[NodeId], node: NodeId) -> &[NodeId] {
    let used = list.iter().position(|slot| *slot == node).unwrap_or(list.len());
    &list[..used]
}
