//! The upper layers of an HNSW graph (Malkov & Yashunin, TPAMI 2020): each node of the base layer
//! rises to a level drawn from a geometric distribution; a search descends greedily from the top
//! and so enters the base layer near its goal.
//!
//! A node of layer `l` is named by its **slot**, its position in the layer's node list, so that a
//! layer is as dense as the base and descending needs no lookup:
//! ```text
//! levels section, u32 little-endian
//! layers, degree, entry_slot, 0           entry_slot: where a search starts, in the top layer
//! per layer, lowest (level 1) first:      count
//! per layer, lowest first:
//!   nodes [count]                         the node behind each slot
//!   down  [count]                         its slot in the layer below (level 1: the node itself)
//!   lists [count, degree]                 neighbor slots; an unused one holds the slot itself
//! ```

use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, BeamStats};
use crate::graph::pool::Stop;
use crate::types::{NodeId, Scorer};

/// More layers than a graph of 2³¹ nodes has at degree 2.
pub const MAX_LAYERS: usize = 32;

/// The largest degree of any layer.
pub const MAX_DEGREE: usize = 1024;

const HEADER_WORDS: usize = 4;

/// One layer above the base.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[count]`: the node behind each slot.
    pub nodes: &'a [NodeId],
    /// `[count]`: its slot one layer down.
    pub down: &'a [NodeId],
    /// Neighbor slots.
    pub lists: Adjacency<'a>,
}

/// Where the parts of a checked levels section lie.
#[derive(Clone, Debug)]
pub struct LevelsLayout {
    /// Per layer, level 1 first: the word it starts at and how many nodes it has.
    layers: Vec<(usize, usize)>,
    degree: usize,
    entry_slot: NodeId,
}

/// Why a levels section is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLevels {
    /// Position in the section, in `u32` words.
    pub word: usize,
    /// What the format requires.
    pub expected: String,
    /// What is there.
    pub found: String,
}

fn bad<T>(word: usize, expected: impl Into<String>, found: u32) -> Result<T, BadLevels> {
    Err(BadLevels { word, expected: expected.into(), found: found.to_string() })
}

impl LevelsLayout {
    /// Reads and checks a section for a base layer of `n` nodes: sizes, and every id in range.
    pub fn parse(words: &[NodeId], n: usize) -> Result<Self, BadLevels> {
        if words.len() < HEADER_WORDS {
            return bad(0, "a header of 4 words", words.len() as u32);
        }
        let (count, degree, entry_slot) = (words[0].index(), words[1].index(), words[2]);
        if count > MAX_LAYERS || words.len() < HEADER_WORDS + count {
            return bad(0, format!("at most {MAX_LAYERS} layers"), words[0].0);
        }
        if degree == 0 || degree > MAX_DEGREE {
            return bad(1, format!("a degree of 1 to {MAX_DEGREE}"), words[1].0);
        }
        let mut layout = Self { layers: Vec::with_capacity(count), degree, entry_slot };
        let (mut at, mut below) = (HEADER_WORDS + count, n);
        for level in 0..count {
            let size = words[HEADER_WORDS + level].index();
            if size == 0 || size > below {
                return bad(HEADER_WORDS + level, format!("1 to {below} nodes"), size as u32);
            }
            let end = at + size * (2 + degree);
            if end > words.len() {
                return bad(at, format!("{} words", end - at), (words.len() - at) as u32);
            }
            layout.layers.push((at, size));
            let layer = layout.layer(words, level);
            check_below(layer.nodes, n, at)?;
            check_below(layer.down, below, at + size)?;
            if let Err(slot) = layer.lists.check() {
                let word = at + 2 * size + slot.position;
                return bad(word, format!("a slot below {size}"), slot.found);
            }
            (at, below) = (end, size);
        }
        if at != words.len() {
            return bad(at, "the end of the section", words.len() as u32);
        }
        if entry_slot.index() >= below {
            return bad(2, format!("a slot below {below}"), entry_slot.0);
        }
        Ok(layout)
    }

    /// One layer of the section that was parsed; level 1 is layer 0.
    #[inline(always)]
    pub fn layer<'a>(&self, words: &'a [NodeId], layer: usize) -> Layer<'a> {
        let (at, size) = self.layers[layer];
        let (nodes, rest) = words[at..].split_at(size);
        let (down, rest) = rest.split_at(size);
        Layer { nodes, down, lists: Adjacency::new(&rest[..size * self.degree], self.degree) }
    }

    /// Nodes per layer, level 1 first.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        self.layers.iter().map(|(_, size)| *size)
    }

    /// The layers of the section that was parsed, top first, and the slot to start at.
    #[inline(always)]
    pub fn top_down<'a>(
        &'a self,
        words: &'a [NodeId],
    ) -> (impl Iterator<Item = Layer<'a>>, NodeId) {
        let layers = (0..self.layers.len()).rev().map(|layer| self.layer(words, layer));
        (layers, self.entry_slot)
    }
}

/// Descends greedily through `layers`, top first, from `slot` of the topmost. Gives the slot in
/// the layer below the last one, which is a node where that is the base layer.
#[inline(always)]
pub fn descend<'a, S: Scorer>(
    beam: &mut Beam,
    scorer: &S,
    layers: impl Iterator<Item = Layer<'a>>,
    mut slot: NodeId,
) -> (NodeId, BeamStats) {
    let mut stats = BeamStats::default();
    for layer in layers {
        let scorer = SlotScorer { nodes: layer.nodes, scorer };
        stats.add(beam.search(layer.lists, &scorer, &[slot], 1, Stop::NEVER, None));
        slot = beam.found().iter().next().map_or(slot, |nearest| nearest.node);
        slot = layer.down[slot.index()];
    }
    (slot, stats)
}

fn check_below(ids: &[NodeId], bound: usize, at: usize) -> Result<(), BadLevels> {
    match ids.iter().position(|id| id.index() >= bound) {
        Some(i) => bad(at + i, format!("an id below {bound}"), ids[i].0),
        None => Ok(()),
    }
}

/// Scores slots of a layer by the nodes behind them.
#[derive(Clone, Copy, Debug)]
pub struct SlotScorer<'a, S> {
    /// `[count]`: the node behind each slot.
    pub nodes: &'a [NodeId],
    /// Scores nodes.
    pub scorer: &'a S,
}

impl<S: Scorer> Scorer for SlotScorer<'_, S> {
    #[inline(always)]
    fn score(&self, slots: &[NodeId], distances: &mut [f32]) {
        for (slot, distance) in slots.iter().zip(distances) {
            let node = self.nodes[slot.index()];
            self.scorer.score(&[node], std::slice::from_mut(distance));
        }
    }

    #[inline(always)]
    fn prefetch(&self, slot: NodeId) {
        self.scorer.prefetch(self.nodes[slot.index()]);
    }

    #[inline(always)]
    fn prefetch_list(&self, list: &[NodeId]) {
        self.scorer.prefetch_list(list);
    }
}

/// One upper layer while it is built or converted.
#[derive(Clone, Debug, Default)]
pub struct OwnedLayer {
    /// `[count]`: the node behind each slot.
    pub nodes: Vec<NodeId>,
    /// `[count]`: its slot one layer down.
    pub down: Vec<NodeId>,
    /// `[count, degree]` neighbor slots.
    pub lists: Vec<NodeId>,
}

/// Upper layers in memory of their own.
#[derive(Clone, Debug)]
pub struct OwnedLevels {
    /// Level 1 first.
    pub layers: Vec<OwnedLayer>,
    /// Slots per list.
    pub degree: usize,
    /// Slot in the top layer where a search starts; a node where there are no layers.
    pub entry_slot: NodeId,
}

impl OwnedLevels {
    /// One layer, to search; level 1 is layer 0.
    pub fn layer(&self, layer: usize) -> Layer<'_> {
        let OwnedLayer { nodes, down, lists } = &self.layers[layer];
        Layer { nodes, down, lists: Adjacency::new(lists, self.degree) }
    }

    /// Renames every node `v` to `renamed[v]`.
    pub fn rename(&mut self, renamed: &[NodeId]) {
        for (level, layer) in self.layers.iter_mut().enumerate() {
            for node in &mut layer.nodes {
                *node = renamed[node.index()];
            }
            if level == 0 {
                layer.down.copy_from_slice(&layer.nodes);
            }
        }
    }

    /// The bytes of a levels section.
    pub fn words(&self) -> Vec<NodeId> {
        let header = [self.layers.len() as u32, self.degree as u32, self.entry_slot.0, 0];
        let counts = self.layers.iter().map(|layer| layer.nodes.len() as u32);
        let mut words: Vec<NodeId> = header.into_iter().chain(counts).map(NodeId).collect();
        for layer in &self.layers {
            words.extend_from_slice(&layer.nodes);
            words.extend_from_slice(&layer.down);
            words.extend_from_slice(&layer.lists);
        }
        words
    }
}
