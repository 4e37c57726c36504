//! The stored order: breadth first from the entry point, so that nodes which a search meets
//! together lie together.

use crate::graph::Graph;
use crate::graph::attach::reachable;
use crate::types::NodeId;

/// The nodes in stored order: `order[new] = old`. Every node must be reachable, or is put last.
pub fn breadth_first(graph: &Graph) -> Vec<NodeId> {
    let mut order = reachable(graph.adjacency(), graph.entry());
    let n = graph.adjacency().len();
    if order.len() < n {
        let mut seen = vec![false; n];
        order.iter().for_each(|node| seen[node.index()] = true);
        order.extend((0..n as u32).map(NodeId).filter(|node| !seen[node.index()]));
    }
    order
}

/// Where each node goes: `positions[old] = new` for `order[new] = old`.
pub fn positions(order: &[NodeId]) -> Vec<NodeId> {
    let mut positions = vec![NodeId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        positions[old.index()] = NodeId(new as u32);
    }
    positions
}
