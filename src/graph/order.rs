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

/// The graph with its nodes renamed to their position in `order`.
pub fn rename(graph: Graph, order: &[NodeId]) -> Graph {
    let Graph { base, max_degree, mut levels } = graph;
    let mut renamed = vec![NodeId(0); order.len()];
    for (new, old) in order.iter().enumerate() {
        renamed[old.index()] = NodeId(new as u32);
    }
    let lists = order.iter().flat_map(|old| &base[old.index() * max_degree..][..max_degree]);
    let base = lists.map(|neighbor| renamed[neighbor.index()]).collect();
    levels.rename(&renamed);
    Graph { base, max_degree, levels }
}
