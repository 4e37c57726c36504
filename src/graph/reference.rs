//! The builder of the hnsw_rs crate, as a baseline and a second opinion: its graph, converted to
//! the form that ours has. Which nodes it leaves unreachable is its own, and so is determinism: it
//! draws levels from entropy and its threads race.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;

use hnsw_rs::anndists::dist::distances::Distance;
use hnsw_rs::hnsw::{Hnsw, Neighbour};

use crate::graph::Graph;
use crate::graph::levels::{OwnedLayer, OwnedLevels};
use crate::kernels::{Isa, Operation, Space, dispatch};
use crate::progress::{Cancelled, Progress};
use crate::types::{NodeId, Scorer};

/// Items handed to the crate at a time, between looks at [`Progress::cancelled`].
const CHUNK: usize = 4096;

/// The crate's own limit of layers.
const LAYERS: usize = 16;

/// The largest `max_degree` that the crate can build: it keeps half of it in a byte.
pub const REFERENCE_MAX_DEGREE: usize = 2 * 255;

/// Inserts all items of `space`, in order, on the threads of `pool`. `max_degree` is even and at
/// most [`REFERENCE_MAX_DEGREE`].
pub fn insert_all<S: Space>(
    space: &S,
    max_degree: usize,
    ef_construction: usize,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<Graph, Cancelled> {
    let nodes: Vec<u32> = (0..space.len() as u32).collect();
    // The crate keeps `m` edges on upper layers and `2 m` on the base layer.
    let m = max_degree / 2;
    let hnsw = Hnsw::new(m, nodes.len(), LAYERS, ef_construction, Between(space));
    for chunk in nodes.chunks(CHUNK) {
        let items = chunk.iter().map(|node| (std::slice::from_ref(node), *node as usize)).collect();
        pool.install(|| hnsw.parallel_insert_slice(&items));
        progress.advance(chunk.len() as u64);
        if progress.cancelled() {
            return Err(Cancelled);
        }
    }
    Ok(convert(&hnsw, nodes.len(), max_degree))
}

/// A distance between nodes, as the crate asks for it: its "vectors" are node ids of length one,
/// so that it builds in the same space as our builder, for every metric and element type, without
/// a copy of the vectors.
struct Between<'a, S>(&'a S);

impl<S: Space> Distance<u32> for Between<'_, S> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        thread_local!(static BUFFER: RefCell<Box<dyn Any>> = RefCell::new(Box::new(())));
        BUFFER.with_borrow_mut(|memory| {
            if !memory.is::<S::Buffer>() {
                *memory = Box::new(S::Buffer::default());
            }
            let Some(buffer) = memory.downcast_mut() else { return 0.0 };
            let [a, b] = [NodeId(a[0]), NodeId(b[0])];
            // The crate asserts that distances are not negative; rounding can make them so.
            dispatch(Pair { space: self.0, a, b, buffer }).max(0.0)
        })
    }
}

struct Pair<'a, S: Space> {
    space: &'a S,
    a: NodeId,
    b: NodeId,
    buffer: &'a mut S::Buffer,
}

impl<S: Space> Operation for Pair<'_, S> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> f32 {
        let mut distance = 0.0;
        let scorer = self.space.scorer(isa, self.a, self.buffer);
        scorer.score(&[self.b], std::slice::from_mut(&mut distance));
        distance
    }
}

fn convert<S: Space>(hnsw: &Hnsw<'_, u32, Between<'_, S>>, n: usize, max_degree: usize) -> Graph {
    let points = hnsw.get_point_indexation();
    let mut base: Vec<NodeId> =
        (0..n as u32).flat_map(|node| std::iter::repeat_n(NodeId(node), max_degree)).collect();
    let top = points.get_max_level_observed() as usize;
    let degree = (max_degree / 2).max(1);
    let mut layers = vec![OwnedLayer::default(); top];
    // Per upper layer: the slot of each node. Points come by the layer that they rise to, and a
    // fixed order makes one graph of one build.
    let mut slots: Vec<HashMap<NodeId, NodeId>> = vec![HashMap::new(); top];
    let mut lists = Vec::with_capacity(n);
    for level in 0..=top {
        for point in points.get_layer_iterator(level) {
            lists.push((NodeId(point.get_origin_id() as u32), level, point.get_neighborhood_id()));
        }
    }
    lists.sort_unstable_by_key(|(node, ..)| *node);
    for (node, level, _) in &lists {
        let mut below = *node;
        for layer in 0..*level {
            let slot = NodeId(layers[layer].nodes.len() as u32);
            layers[layer].nodes.push(*node);
            layers[layer].down.push(below);
            layers[layer].lists.extend(std::iter::repeat_n(slot, degree));
            slots[layer].insert(*node, slot);
            below = slot;
        }
    }
    for (node, level, neighbors) in &lists {
        fill(&mut base[node.index() * max_degree..][..max_degree], &neighbors[0], Some);
        for layer in 0..*level {
            let slot = slots[layer][node];
            let list = &mut layers[layer].lists[slot.index() * degree..][..degree];
            fill(list, &neighbors[layer + 1], |node| slots[layer].get(&node).copied());
        }
    }
    let levels = OwnedLevels { layers, degree, entry_slot: NodeId(0), entries: 1 };
    Graph { base, max_degree, levels }
}

/// Writes as many neighbors as fit, closest first, under the names that `rename` gives them.
fn fill(list: &mut [NodeId], neighbors: &[Neighbour], rename: impl Fn(NodeId) -> Option<NodeId>) {
    let own = list[0];
    let mut neighbors: Vec<&Neighbour> = neighbors.iter().collect();
    neighbors.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.d_id.cmp(&b.d_id)));
    let named = neighbors.into_iter().filter_map(|neighbor| rename(NodeId(neighbor.d_id as u32)));
    for (slot, neighbor) in list.iter_mut().zip(named.filter(|neighbor| *neighbor != own)) {
        *slot = neighbor;
    }
}
