//! An edge to every node that the entry point cannot reach.
//!
//! Pruning can leave a node that no list mentions; it could never be found. Each such node `u`
//! gets an edge from one of the nodes closest to it. Where that node's list is full, its last
//! edge `v → w` becomes `v → u → w`, so that what was reachable stays reachable.

use crate::graph::Graph;
use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, Reach};
use crate::kernels::{Isa, Operation, Space, dispatch};
use crate::types::NodeId;

/// Marks what the entry point reaches over base-layer edges, without an overflow, since the graph is to
/// be whole without; the order in which a breadth-first walk meets the nodes.
pub fn reachable(layer: Adjacency<'_>, entry: NodeId) -> Vec<NodeId> {
    let mut seen = vec![false; layer.len()];
    let mut order = Vec::with_capacity(layer.len());
    walk(layer, entry, &mut seen, &mut order);
    order
}

/// Extends `seen` and `order` by what `from` reaches.
fn walk(layer: Adjacency<'_>, from: NodeId, seen: &mut [bool], order: &mut Vec<NodeId>) {
    let mut next = order.len();
    seen[from.index()] = true;
    order.push(from);
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for neighbor in layer.neighbors(node) {
            if !std::mem::replace(&mut seen[neighbor.index()], true) {
                order.push(*neighbor);
            }
        }
    }
}

/// Gives every unreachable node an edge; how many needed one. `ef` bounds the search for the
/// closest reachable nodes. Cost: one walk over the graph, and a search per attached node.
pub fn attach<S: Space>(graph: &mut Graph, space: &S, ef: usize) -> usize {
    let entry = graph.entry();
    let mut seen = vec![false; space.len()];
    let mut order = Vec::with_capacity(space.len());
    walk(graph.adjacency(), entry, &mut seen, &mut order);
    let mut attached = 0;
    let mut beam = Beam::default();
    for lost in (0..space.len() as u32).map(NodeId) {
        if seen[lost.index()] {
            continue;
        }
        attached += 1;
        dispatch(Closest { graph, space, beam: &mut beam, node: lost, entry, ef });
        // The walk from the entry finds only reachable nodes, so every candidate is one.
        let found: Vec<NodeId> = beam.found().iter().map(|neighbor| neighbor.node).collect();
        let adjacency = graph.adjacency();
        let free = found.iter().find(|v| adjacency.neighbors(**v).len() < graph.max_degree);
        let parent = free.or(found.first()).copied().unwrap_or(entry);
        link(graph, parent, lost);
        walk(graph.adjacency(), lost, &mut seen, &mut order);
    }
    attached
}

/// Adds `parent → child`. A full list gives up its last edge to `child`'s list, which is then
/// reached through `child`; if that is full too, `child` gives up its own last edge: `child` was
/// unreachable, so nothing reachable depended on it.
fn link(graph: &mut Graph, parent: NodeId, child: NodeId) {
    let degree = graph.max_degree;
    let used = graph.adjacency().neighbors(parent).len();
    let list = &mut graph.base[parent.index() * degree..][..degree];
    if used < degree {
        list[used] = child;
        return;
    }
    let displaced = std::mem::replace(&mut list[degree - 1], child);
    let used = graph.adjacency().neighbors(child).len();
    if !graph.adjacency().neighbors(child).contains(&displaced) {
        graph.base[child.index() * degree + used.min(degree - 1)] = displaced;
    }
}

/// Searches the base layer for the nodes closest to one that is not linked.
struct Closest<'a, S> {
    graph: &'a Graph,
    space: &'a S,
    beam: &'a mut Beam,
    node: NodeId,
    entry: NodeId,
    ef: usize,
}

impl<S: Space> Operation for Closest<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut buffer = S::Buffer::default();
        let scorer = self.space.scorer(isa, self.node, &mut buffer);
        let (layer, reach) = (self.graph.adjacency(), Reach::of(self.ef));
        self.beam.search(layer, &scorer, &[self.entry], reach);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::levels::OwnedLevels;
    use crate::graph::line::Line;

    #[test]
    fn full_lists_still_take_every_lost_node() {
        // 0 ⇄ 1 with one slot each: nothing else is reachable and no slot is free.
        let n = 40;
        let mut base: Vec<NodeId> = (0..n).map(NodeId).collect();
        base.swap(0, 1);
        let levels =
            OwnedLevels { layers: Vec::new(), degree: 2, entry_slot: NodeId(0), entries: 1 };
        let mut graph = Graph { base, max_degree: 1, levels };
        assert_eq!(attach(&mut graph, &Line(n as usize), 8), n as usize - 2);
        assert_eq!(reachable(graph.adjacency(), NodeId(0)).len(), n as usize);
    }
}
