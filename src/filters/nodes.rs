//! Sets of nodes.

use roaring::RoaringBitmap;

use crate::types::NodeId;

/// Some of the nodes of a segment: those that a filter lets pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSet {
    nodes: RoaringBitmap,
}

impl NodeSet {
    /// All `n` nodes of a segment.
    pub fn all(n: u32) -> Self {
        let mut nodes = RoaringBitmap::new();
        nodes.insert_range(0..n);
        Self { nodes }
    }

    /// How many there are: M.
    pub fn len(&self) -> u64 {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether `node` is one of them.
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains(node.0)
    }

    /// The nodes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(NodeId)
    }

    /// Those within `first..end`, ascending.
    pub fn range(&self, first: u32, end: u32) -> impl Iterator<Item = NodeId> {
        self.nodes.range(first..end).map(NodeId)
    }

    /// Node `rank` of those in ascending order, from 0.
    pub fn select(&self, rank: u32) -> Option<NodeId> {
        self.nodes.select(rank).map(NodeId)
    }

    /// Those that are in both sets.
    pub fn and(&self, other: &Self) -> Self {
        Self { nodes: &self.nodes & &other.nodes }
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self { nodes: &self.nodes - &other.nodes }
    }

    /// Those that are in one of the sets or in both.
    pub fn or(&self, other: &Self) -> Self {
        Self { nodes: &self.nodes | &other.nodes }
    }

    /// Memory in use, in bytes, roughly.
    pub fn bytes(&self) -> usize {
        self.nodes.serialized_size()
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        Self { nodes: nodes.into_iter().map(|node| node.0).collect() }
    }
}
