//! Our builder: an HNSW grown by batches of inserts.
//!
//! Malkov & Yashunin (TPAMI 2020, algorithm 1) with three differences:
//!
//! - Items enter in **batches** that grow with the graph, after ParlayANN (Dobson et al., PPoPP
//!   2023, section 3). All items of a batch search the same frozen graph and choose neighbors in
//!   parallel, then their reverse edges are grouped by target and applied in parallel. There are
//!   no locks, and because neither step depends on timing, the same seed gives the same graph at
//!   any thread count.
//! - Neighbors are chosen by [`robust_prune`] with `alpha` and backfill.
//! - While the graph grows a base-layer list may hold more than `max_degree` edges; it is pruned
//!   when `list_slots` overflow, and once more at the end, instead of at every reverse edge.

use std::sync::Mutex;

use rayon::prelude::*;

use crate::graph::Graph;
use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, Reach};
use crate::graph::levels::{
    Entries, Layer, MAX_LAYERS, OwnedLayer, OwnedLevels, SlotScorer, descend,
};
use crate::graph::prune::{PruneRule, PruneScratch, robust_prune};
use crate::kernels::{Isa, Operation, Space, dispatch};
use crate::progress::{Cancelled, Progress};
use crate::types::{Neighbor, NodeId, Scorer};

/// Slots per growing list, as multiples of `max_degree`: where there is memory for them, and where
/// it is short, which has lists pruned more often.
pub const LIST_ROOM: [f64; 2] = [1.5, 1.2];

/// A batch holds at most this share of the graph that it is inserted into: items of one batch do
/// not see each other, and this keeps that below what recall can show.
const BATCH_SHARE: usize = 32;

/// And at most this many items, which is plenty for as many threads as machines have.
const BATCH_MAX: usize = 4096;

/// Lists that take their reverse edges at a time: enough for all threads, little memory.
const EXTEND_CHUNK: usize = 1 << 13;

/// Lists shrunk at a time at the end, likewise.
const SHRINK_CHUNK: usize = 1 << 12;

/// Most items of a batch that is inserted into a graph of `n`.
fn largest_batch(n: usize) -> usize {
    (n / BATCH_SHARE).clamp(1, BATCH_MAX)
}

/// Bytes that a batch takes at most beside the graph: edges chosen, the same in reverse and by target,
/// and the lists that are being extended.
pub fn batch_bytes(n: usize, max_degree: usize, list_slots: usize) -> usize {
    let edges = largest_batch(n) * max_degree;
    let edge = size_of::<Neighbor>() + size_of::<Reverse>() + size_of::<&[Reverse]>();
    let list = size_of::<(Place, Vec<NodeId>)>() + size_of::<NodeId>() * list_slots;
    edges * edge + edges.min(EXTEND_CHUNK) * list
}

/// What the builder is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InsertParams {
    /// Most edges of a base-layer list; upper layers have half as many.
    pub max_degree: usize,
    /// Slots per base-layer list while the graph grows, at least `max_degree`.
    pub list_slots: usize,
    /// Size of the candidate list of an insert.
    pub ef_construction: usize,
    /// How neighbors are chosen.
    pub rule: PruneRule,
    /// Draws the levels.
    pub seed: u64,
}

/// Slots for so many times `max_degree` edges.
pub fn list_slots(max_degree: usize, room: f64) -> usize {
    (max_degree as f64 * room) as usize
}

/// Inserts the items of `space` in the given order, on the threads of `pool`.
///
/// Cost: about `ef_construction · max_degree / 3` distances an item. Memory: `[n, list_slots]`
/// ids, and per thread a bit per item.
pub fn insert_all<S: Space>(
    space: &S,
    order: &[NodeId],
    params: &InsertParams,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<Graph, Cancelled> {
    let mut growing = Growing::new(space, params);
    let workers: Vec<Mutex<Worker<S::Buffer>>> =
        (0..pool.current_num_threads()).map(|_| Mutex::default()).collect();
    let mut done = 0;
    while done < order.len() {
        let largest = largest_batch(done).min(order.len() - done);
        let batch = &order[done..][..largest];
        let batch = &batch[..growing.tallest_prefix(batch)];
        growing.insert(batch, &workers, pool);
        done += batch.len();
        progress.advance(batch.len() as u64);
        if progress.cancelled() {
            return Err(Cancelled);
        }
    }
    growing.shrink(&workers, pool);
    Ok(growing.into_graph())
}

/// The level that a node rises to: geometric with ratio `1 / base`, from the seed and the node
/// alone.
fn level_of(node: NodeId, seed: u64, base: usize) -> usize {
    // SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) as a hash of (seed, node).
    let mut x = seed ^ (u64::from(node.0) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    let uniform = ((x >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    ((-uniform.ln() / (base as f64).ln()) as usize).min(MAX_LAYERS)
}

/// Nodes that one thread inserts together.
const TOGETHER: usize = 2;

/// What one insert of those searches with.
#[derive(Debug, Default)]
struct Lane<B> {
    beam: Beam,
    query: B,
}

/// What one thread reuses from insert to insert.
#[derive(Debug, Default)]
struct Worker<B> {
    lanes: [Lane<B>; TOGETHER],
    prune: PruneScratch<B>,
    candidates: Vec<Neighbor>,
    distances: Vec<f32>,
    kept: Vec<Neighbor>,
}

fn with_worker<B, T>(workers: &[Mutex<Worker<B>>], work: impl FnOnce(&mut Worker<B>) -> T) -> T {
    let thread = rayon::current_thread_index().unwrap_or(0);
    // Each thread locks its own entry, so this never waits; a panic elsewhere leaves no state.
    let mut worker = workers[thread].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    work(&mut worker)
}

/// A position in the growing graph: layer 0 is the base, and `id` a slot of that layer.
type Place = (usize, NodeId);

/// An edge that asks to be added to the list at `target`.
#[derive(Clone, Copy, Debug)]
struct Reverse {
    layer: usize,
    target: NodeId,
    source: Neighbor,
}

/// The graph while it grows. Base-layer lists have `slots` slots.
struct Growing<'a, S> {
    space: &'a S,
    params: &'a InsertParams,
    slots: usize,
    base: Vec<NodeId>,
    levels: OwnedLevels,
    is_empty: bool,
}

impl<'a, S: Space> Growing<'a, S> {
    fn new(space: &'a S, params: &'a InsertParams) -> Self {
        let slots = params.list_slots.max(params.max_degree);
        let base = (0..space.len()).flat_map(|i| std::iter::repeat_n(NodeId(i as u32), slots));
        let degree = (params.max_degree / 2).max(2);
        Self {
            space,
            params,
            slots,
            base: base.collect(),
            levels: OwnedLevels { layers: Vec::new(), degree, entry_slot: NodeId(0), entries: 1 },
            is_empty: true,
        }
    }

    fn level(&self, node: NodeId) -> usize {
        level_of(node, self.params.seed, self.levels.degree)
    }

    /// How much of `batch` may go in at once: a node that rises above all others goes alone, since
    /// the rest of its batch would not find it.
    fn tallest_prefix(&self, batch: &[NodeId]) -> usize {
        let top = self.levels.layers.len();
        let tall = |node: &NodeId| self.is_empty || self.level(*node) > top;
        batch.iter().position(tall).unwrap_or(batch.len()).max(1)
    }

    fn insert(
        &mut self,
        batch: &[NodeId],
        workers: &[Mutex<Worker<S::Buffer>>],
        pool: &rayon::ThreadPool,
    ) {
        let this = &*self;
        let chosen: Vec<Vec<Vec<Neighbor>>> = pool.install(|| {
            let choose = |nodes: &[NodeId]| {
                let choose = |worker: &mut _| dispatch(Choose { growing: this, nodes, worker });
                with_worker(workers, choose).into_iter().take(nodes.len())
            };
            batch.par_chunks(TOGETHER).with_max_len(4).flat_map_iter(choose).collect()
        });
        let mut reverse = Vec::new();
        for (node, lists) in batch.iter().zip(&chosen) {
            let mut slot = *node;
            for layer in 0..=self.level(*node) {
                if layer > 0 {
                    slot = self.rise(layer, *node, slot);
                }
                let Some(list) = lists.get(layer) else { continue };
                self.write((layer, slot), list.iter().map(|neighbor| neighbor.node));
                reverse.extend(list.iter().map(|neighbor| Reverse {
                    layer,
                    target: neighbor.node,
                    source: Neighbor { distance: neighbor.distance, node: slot },
                }));
            }
        }
        self.is_empty = false;
        self.add_reverse(reverse, workers, pool);
    }

    /// Adds `node` to an upper layer; the slot it got there.
    fn rise(&mut self, layer: usize, node: NodeId, below: NodeId) -> NodeId {
        if self.levels.layers.len() < layer {
            self.levels.layers.push(OwnedLayer::default());
            self.levels.entry_slot = NodeId(0);
        }
        let OwnedLayer { nodes, down, lists } = &mut self.levels.layers[layer - 1];
        let slot = NodeId(nodes.len() as u32);
        nodes.push(node);
        down.push(below);
        lists.resize(lists.len() + self.levels.degree, slot);
        slot
    }

    fn add_reverse(
        &mut self,
        mut reverse: Vec<Reverse>,
        workers: &[Mutex<Worker<S::Buffer>>],
        pool: &rayon::ThreadPool,
    ) {
        let key = |edge: &Reverse| (edge.layer, edge.target, edge.source);
        pool.install(|| reverse.par_sort_unstable_by_key(key));
        let groups: Vec<&[Reverse]> =
            reverse.chunk_by(|a, b| (a.layer, a.target) == (b.layer, b.target)).collect();
        for groups in groups.chunks(EXTEND_CHUNK) {
            let this = &*self;
            let lists: Vec<(Place, Vec<NodeId>)> = pool.install(|| {
                let extend = |group: &&[Reverse]| {
                    with_worker(workers, |worker| dispatch(Extend { growing: this, group, worker }))
                };
                groups.par_iter().with_max_len(64).map(extend).collect()
            });
            for (place, list) in lists {
                self.write(place, list.into_iter());
            }
        }
    }

    /// Prunes every base-layer list to `max_degree`, in place: the short lists of one chunk are
    /// computed in parallel and then moved to the front, where only lists already done lay.
    fn shrink(&mut self, workers: &[Mutex<Worker<S::Buffer>>], pool: &rayon::ThreadPool) {
        let (degree, n) = (self.params.max_degree, self.space.len());
        for first in (0..n).step_by(SHRINK_CHUNK) {
            let nodes = first..(first + SHRINK_CHUNK).min(n);
            let this = &*self;
            let lists: Vec<NodeId> = pool.install(|| {
                let nodes = nodes.into_par_iter();
                nodes.flat_map_iter(|node| this.shrunk(NodeId(node as u32), workers)).collect()
            });
            self.base[first * degree..][..lists.len()].copy_from_slice(&lists);
        }
        self.base.truncate(n * degree);
        self.base.shrink_to_fit();
        self.slots = degree;
    }

    fn shrunk(&self, node: NodeId, workers: &[Mutex<Worker<S::Buffer>>]) -> Vec<NodeId> {
        let degree = self.params.max_degree;
        let mut list = vec![node; degree];
        let old = Adjacency::new(&self.base, self.slots).neighbors(node);
        if old.len() <= degree {
            list[..old.len()].copy_from_slice(old);
        } else {
            with_worker(workers, |worker| {
                dispatch(Reprune { growing: self, node, worker });
                for (slot, neighbor) in list.iter_mut().zip(&worker.kept) {
                    *slot = neighbor.node;
                }
            });
        }
        list
    }

    fn into_graph(self) -> Graph {
        Graph { base: self.base, max_degree: self.params.max_degree, levels: self.levels }
    }

    /// How many neighbors a node of a layer is to have.
    fn degree(&self, layer: usize) -> usize {
        if layer == 0 { self.params.max_degree } else { self.levels.degree }
    }

    /// Slots per list of a layer.
    fn capacity(&self, layer: usize) -> usize {
        if layer == 0 { self.slots } else { self.levels.degree }
    }

    fn lists(&self, layer: usize) -> Adjacency<'_> {
        match layer {
            0 => Adjacency::new(&self.base, self.slots),
            _ => self.levels.layer(layer - 1).lists,
        }
    }

    /// The node behind a slot.
    fn node(&self, (layer, slot): Place) -> NodeId {
        if layer == 0 { slot } else { self.levels.layers[layer - 1].nodes[slot.index()] }
    }

    fn write(&mut self, (layer, slot): Place, list: impl Iterator<Item = NodeId>) {
        let capacity = self.capacity(layer);
        let slots = match layer {
            0 => &mut self.base,
            _ => &mut self.levels.layers[layer - 1].lists,
        };
        let slots = &mut slots[slot.index() * capacity..][..capacity];
        slots.fill(slot);
        for (slot, neighbor) in slots.iter_mut().zip(list) {
            *slot = neighbor;
        }
    }
}

/// Chooses the neighbors of some new nodes, at most [`TOGETHER`], on every layer that each is part of,
/// base first. Their searches of the base layer are done in turns, since each waits for memory.
struct Choose<'a, S: Space> {
    growing: &'a Growing<'a, S>,
    nodes: &'a [NodeId],
    worker: &'a mut Worker<S::Buffer>,
}

impl<S: Space> Operation for Choose<'_, S> {
    type Output = [Vec<Vec<Neighbor>>; TOGETHER];

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Self::Output {
        let Choose { growing, nodes, worker } = self;
        let Worker { lanes, prune, candidates, kept, .. } = worker;
        let mut chosen = Self::Output::default();
        if growing.is_empty {
            return chosen;
        }
        let (base, reach) = (growing.lists(0), Reach::of(growing.params.ef_construction));
        let mut searches = Vec::with_capacity(TOGETHER);
        for ((Lane { beam, query }, node), chosen) in lanes.iter_mut().zip(nodes).zip(&mut chosen) {
            let scorer = growing.space.scorer(isa, *node, query);
            let mut choice = Choice { growing, prune, candidates, kept };
            let entries = choice.above_base(isa, *node, &scorer, beam, chosen);
            beam.begin(base, &scorer, &entries, reach);
            searches.push((beam, scorer));
        }
        let mut searching = true;
        while searching {
            searching = false;
            for (beam, scorer) in &mut searches {
                searching |= beam.step(base, scorer, None);
            }
        }
        for ((beam, _), chosen) in searches.into_iter().zip(&mut chosen) {
            beam.end();
            let mut choice = Choice { growing, prune, candidates, kept };
            choice.among_found(isa, 0, beam, chosen);
        }
        chosen
    }
}

/// What choosing neighbors works with.
struct Choice<'a, S: Space> {
    growing: &'a Growing<'a, S>,
    prune: &'a mut PruneScratch<S::Buffer>,
    candidates: &'a mut Vec<Neighbor>,
    kept: &'a mut Vec<Neighbor>,
}

impl<S: Space> Choice<'_, S> {
    /// Chooses on the upper layers; where to come into the base layer.
    #[inline(always)]
    fn above_base<I: Isa>(
        &mut self,
        isa: I,
        node: NodeId,
        scorer: &impl Scorer,
        beam: &mut Beam,
        chosen: &mut Vec<Vec<Neighbor>>,
    ) -> Entries {
        let levels = &self.growing.levels;
        let top = levels.layers.len();
        let level = self.growing.level(node).min(top);
        let above = (level..top).rev().map(|layer| levels.layer(layer));
        let (mut entries, _) = descend(beam, scorer, above, levels.entry_slot, levels.entries);
        chosen.resize(level + 1, Vec::new());
        for layer in (1..=level).rev() {
            let Layer { nodes, down, lists } = levels.layer(layer - 1);
            let reach = Reach::of(self.growing.params.ef_construction);
            beam.search(lists, &SlotScorer { nodes, scorer }, &entries, reach);
            self.among_found(isa, layer, beam, chosen);
            entries = Entries::one(down[self.candidates[0].node.index()]);
        }
        entries
    }

    /// Chooses on one layer among what the search of it found.
    #[inline(always)]
    fn among_found<I: Isa>(
        &mut self,
        isa: I,
        layer: usize,
        beam: &Beam,
        chosen: &mut [Vec<Neighbor>],
    ) {
        let Self { growing, prune, candidates, kept } = self;
        candidates.clear();
        candidates.extend(beam.found().iter());
        let (space, degree) = (LayerSpace { growing, layer }, growing.degree(layer));
        let rule = growing.params.rule;
        robust_prune(isa, &space, candidates.iter().copied(), degree, rule, prune, kept);
        chosen[layer].clone_from(kept);
    }
}

/// The space of one layer's slots.
struct LayerSpace<'a, S> {
    growing: &'a Growing<'a, S>,
    layer: usize,
}

/// Scores slots of any layer, the base included.
struct PlaceScorer<'a, S, T> {
    growing: &'a Growing<'a, S>,
    layer: usize,
    scorer: T,
}

impl<S: Space, T: Scorer> Scorer for PlaceScorer<'_, S, T> {
    #[inline(always)]
    fn score(&self, slots: &[NodeId], distances: &mut [f32]) {
        if self.layer == 0 {
            return self.scorer.score(slots, distances);
        }
        let Layer { nodes, .. } = self.growing.levels.layer(self.layer - 1);
        SlotScorer { nodes, scorer: &self.scorer }.score(slots, distances);
    }

    #[inline(always)]
    fn prefetch(&self, slot: NodeId) {
        self.scorer.prefetch(self.growing.node((self.layer, slot)));
    }

    #[inline(always)]
    fn prefetch_list(&self, list: &[NodeId]) {
        self.scorer.prefetch_list(list);
    }
}

impl<S: Space> Space for LayerSpace<'_, S> {
    type Buffer = S::Buffer;

    fn len(&self) -> usize {
        self.growing.lists(self.layer).len()
    }

    #[inline(always)]
    fn scorer<'a, I: Isa>(
        &'a self,
        isa: I,
        slot: NodeId,
        buffer: &'a mut Self::Buffer,
    ) -> impl Scorer + 'a {
        let node = self.growing.node((self.layer, slot));
        let scorer = self.growing.space.scorer(isa, node, buffer);
        PlaceScorer { growing: self.growing, layer: self.layer, scorer }
    }
}

/// Adds reverse edges to one list; prunes it where they do not fit.
struct Extend<'a, S: Space> {
    growing: &'a Growing<'a, S>,
    group: &'a [Reverse],
    worker: &'a mut Worker<S::Buffer>,
}

impl<S: Space> Operation for Extend<'_, S> {
    type Output = (Place, Vec<NodeId>);

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Self::Output {
        let Extend { growing, group, worker } = self;
        let place = (group[0].layer, group[0].target);
        let old = growing.lists(place.0).neighbors(place.1);
        let mut list = old.to_vec();
        // None of the sources is in the list yet: they are newer than all that is.
        list.extend(group.iter().map(|edge| edge.source.node));
        if list.len() <= growing.capacity(place.0) {
            return (place, list);
        }
        score_list(isa, growing, place, old, worker);
        worker.candidates.extend(group.iter().map(|edge| edge.source));
        prune_candidates(isa, growing, place.0, worker);
        list.clear();
        list.extend(worker.kept.iter().map(|neighbor| neighbor.node));
        (place, list)
    }
}

/// Prunes an overgrown base-layer list; what is kept is left in `worker.kept`.
struct Reprune<'a, S: Space> {
    growing: &'a Growing<'a, S>,
    node: NodeId,
    worker: &'a mut Worker<S::Buffer>,
}

impl<S: Space> Operation for Reprune<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Reprune { growing, node, worker } = self;
        let old = growing.lists(0).neighbors(node);
        score_list(isa, growing, (0, node), old, worker);
        prune_candidates(isa, growing, 0, worker);
    }
}

/// Replaces `worker.candidates` by a list's neighbors and their distances.
#[inline(always)]
fn score_list<I: Isa, S: Space>(
    isa: I,
    growing: &Growing<'_, S>,
    place: Place,
    list: &[NodeId],
    worker: &mut Worker<S::Buffer>,
) {
    let space = LayerSpace { growing, layer: place.0 };
    let scorer = space.scorer(isa, place.1, &mut worker.lanes[0].query);
    for node in list {
        scorer.prefetch(*node);
    }
    worker.distances.resize(list.len(), 0.0);
    scorer.score(list, &mut worker.distances);
    worker.candidates.clear();
    let scored = list.iter().zip(&worker.distances);
    worker.candidates.extend(scored.map(|(&node, &distance)| Neighbor { distance, node }));
}

#[inline(always)]
fn prune_candidates<I: Isa, S: Space>(
    isa: I,
    growing: &Growing<'_, S>,
    layer: usize,
    worker: &mut Worker<S::Buffer>,
) {
    let Worker { prune, candidates, kept, .. } = worker;
    let degree = growing.degree(layer);
    candidates.sort_unstable();
    let space = LayerSpace { growing, layer };
    robust_prune(isa, &space, candidates.iter().copied(), degree, growing.params.rule, prune, kept);
}
