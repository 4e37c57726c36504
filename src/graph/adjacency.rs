//! Neighbor lists of one layer, read straight from memory or from a mapped file.

use crate::types::NodeId;

/// Lists `[n, degree]`; the used slots come first, an unused slot holds the node itself.
#[derive(Clone, Copy, Debug)]
pub struct Adjacency<'a> {
    slots: &'a [NodeId],
    degree: usize,
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
        Self { slots, degree }
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

    /// The neighbors of `node`.
    #[inline(always)]
    pub fn neighbors(&self, node: NodeId) -> &'a [NodeId] {
        let slots = self.list(node);
        let used = slots.iter().position(|slot| *slot == node).unwrap_or(self.degree);
        &slots[..used]
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
