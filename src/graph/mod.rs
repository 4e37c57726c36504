//! The proximity graph: an HNSW in the form that the file has.
//!
//! | file | what it holds |
//! |---|---|
//! | `adjacency.rs` | neighbor lists of one layer, straight from the map |
//! | `levels.rs` | the upper layers and the greedy descent |
//! | `pool.rs`, `visited.rs`, `beam.rs` | the one beam search, for queries and inserts |
//! | `filtered.rs` | the same among nodes that a filter lets pass: walk and two-hop |
//! | `prune.rs` | robust pruning with backfill |
//! | `insert.rs` | our builder: incremental, parallel, the same result at any thread count |
//! | `attach.rs` | an edge to every node that the entry point cannot reach |
//! | `repair.rs`, `overflow.rs` | edges that queries miss, and where they are kept |
//! | `entry_points.rs` | where searches come in for queries of the kind that a sample has |
//! | `order.rs` | the breadth-first stored order |
//! | `line.rs` | a space for tests |
//! | `reference.rs` | the builder of the hnsw_rs crate, converted |
//!
//! The graph knows neither vectors nor metrics: it sees items through
//! [`Space`](crate::kernels::Space) and [`Scorer`](crate::types::Scorer).

pub mod adjacency;
pub mod attach;
pub mod beam;
pub mod entry_points;
pub mod filtered;
pub mod insert;
pub mod levels;
#[cfg(test)]
mod line;
pub mod order;
pub mod overflow;
pub mod pool;
pub mod prune;
pub mod reference;
pub mod repair;
pub mod visited;

use crate::graph::adjacency::Adjacency;
use crate::graph::levels::OwnedLevels;
use crate::types::NodeId;

/// A graph holds at most this many nodes: a pool entry gives a node 31 bits.
pub const MAX_NODES: usize = 1 << 31;

/// A graph in memory, as a builder leaves it.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Base-layer lists `[n, max_degree]`; an unused slot holds the node itself.
    pub base: Vec<NodeId>,
    /// Slots per base-layer list.
    pub max_degree: usize,
    /// The upper layers.
    pub levels: OwnedLevels,
}

impl Graph {
    /// The base layer, to search.
    pub fn adjacency(&self) -> Adjacency<'_> {
        Adjacency::new(&self.base, self.max_degree)
    }

    /// The base-layer slots of a node, unused ones included.
    pub fn list(&self, node: NodeId) -> &[NodeId] {
        &self.base[node.index() * self.max_degree..][..self.max_degree]
    }

    /// Edges of the base layer.
    pub fn edges(&self) -> u64 {
        let nodes = (0..self.adjacency().len() as u32).map(NodeId);
        nodes.map(|node| self.adjacency().neighbors(node).len() as u64).sum()
    }

    /// The node of the base layer below the entry slot: where reachability is counted from.
    pub fn entry(&self) -> NodeId {
        match self.levels.layers.last() {
            Some(top) => top.nodes[self.levels.entry_slot.index()],
            None => self.levels.entry_slot,
        }
    }
}
