//! A space for tests: items on a line, each as far from another as their numbers.

use crate::kernels::{Isa, Space};
use crate::types::{NodeId, Scorer};

/// Items on a line.
#[derive(Debug)]
pub(super) struct Line(pub(super) usize);

struct From(u32);

impl Scorer for From {
    fn score(&self, nodes: &[NodeId], distances: &mut [f32]) {
        for (node, distance) in nodes.iter().zip(distances) {
            *distance = self.0.abs_diff(node.0) as f32;
        }
    }
    fn prefetch(&self, _node: NodeId) {}
    fn prefetch_list(&self, _list: &[NodeId]) {}
}

impl Space for Line {
    type Buffer = ();

    fn len(&self) -> usize {
        self.0
    }
    fn scorer<'a, I: Isa>(
        &'a self,
        _isa: I,
        node: NodeId,
        _buffer: &'a mut (),
    ) -> impl Scorer + 'a {
        From(node.0)
    }
}
