//! The upper layers of an HNSW graph (Malkov & Yashunin, TPAMI 2020): each node of the base layer
//! rises to a level drawn from a geometric distribution; a search descends from the top and so enters
//! the base layer near its goal.
//!
//! The original keeps the one closest node of each layer. In items that form clusters far from each
//! other that node may lie in the wrong one, and no list of the base layer leads out of it. So a graph
//! says with how many `entries` its searches go down; most need one.
//!
//! A node of layer `l` is named by its **slot**, its position in the layer's node list, so that a
//! layer is as dense as the base and descending needs no lookup:
//! ```text
//! levels section, u32 little-endian
//! layers, degree, entry_slot, entries     entry_slot: where a search starts, in the top layer;
//!                                         entries: with how many nodes it goes down, less 1
//! per layer, lowest (level 1) first:      count
//! per layer, lowest first:
//!   nodes [count]                         the node behind each slot
//!   down  [count]                         its slot in the layer below (level 1: the node itself)
//!   lists [count, degree]                 neighbor slots; an unused one holds the slot itself
//! ```

use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, BeamStats, Reach};
use crate::types::{NodeId, Scorer};

/// Slots whose nodes are scored together.
const GATHERED: usize = 16;

/// More layers than a graph of 2³¹ nodes has at degree 2.
pub const MAX_LAYERS: usize = 32;

/// The largest degree of any layer.
pub const MAX_DEGREE: usize = 1024;

/// Most nodes that a search goes down with.
pub const MAX_ENTRIES: usize = 16;

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

impl Layer<'_> {
    /// Where a search that `beam` has done in this layer enters the one below.
    #[inline(always)]
    pub fn entries_below(&self, beam: &Beam) -> Entries {
        Entries::first_of(beam.found().iter().map(|slot| self.down[slot.node.index()]))
    }
}

/// Where the parts of a checked levels section lie.
#[derive(Clone, Debug)]
pub struct LevelsLayout {
    /// Per layer, level 1 first: the word it starts at and how many nodes it has.
    layers: Vec<(usize, usize)>,
    degree: usize,
    entry_slot: NodeId,
    entries: usize,
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
        let entries = words[3].index().saturating_add(1);
        if count > MAX_LAYERS || words.len() < HEADER_WORDS + count {
            return bad(0, format!("at most {MAX_LAYERS} layers"), words[0].0);
        }
        if degree == 0 || degree > MAX_DEGREE {
            return bad(1, format!("a degree of 1 to {MAX_DEGREE}"), words[1].0);
        }
        if entries > MAX_ENTRIES {
            return bad(3, format!("less than {MAX_ENTRIES}"), words[3].0);
        }
        let mut layout = Self { layers: Vec::with_capacity(count), degree, entry_slot, entries };
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

    /// How many layers there are above the base.
    pub fn count(&self) -> usize {
        self.layers.len()
    }

    /// The slot of the top layer where a search starts.
    pub fn entry_slot(&self) -> NodeId {
        self.entry_slot
    }

    /// How many nodes a search goes down with.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The same layers, for searches that go down with `entries` nodes, 1 to [`MAX_ENTRIES`].
    pub fn with_entries(&self, entries: usize) -> Self {
        Self { entries: entries.clamp(1, MAX_ENTRIES), ..self.clone() }
    }

    /// Puts the number of entries into the words of a section.
    pub fn write_entries(&self, words: &mut [NodeId]) {
        words[3] = NodeId(self.entries as u32 - 1);
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

/// Where a search enters a layer: at most [`MAX_ENTRIES`] of its slots.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    slots: [NodeId; MAX_ENTRIES],
    count: usize,
}

impl Entries {
    /// One slot.
    pub fn one(slot: NodeId) -> Self {
        Self { slots: [slot; MAX_ENTRIES], count: 1 }
    }

    /// The first of `slots`.
    #[inline(always)]
    pub(super) fn first_of(slots: impl Iterator<Item = NodeId>) -> Self {
        let mut entries = Self { slots: [NodeId(0); MAX_ENTRIES], count: 0 };
        for (entry, slot) in entries.slots.iter_mut().zip(slots) {
            *entry = slot;
            entries.count += 1;
        }
        entries
    }
}

impl std::ops::Deref for Entries {
    type Target = [NodeId];

    #[inline(always)]
    fn deref(&self) -> &[NodeId] {
        &self.slots[..self.count]
    }
}

/// Descends through `layers`, top first, from `slot` of the topmost, keeping the `entries` closest
/// slots of each. Gives slots of the layer below the last one, the closest first, which are nodes
/// where that is the base layer.
#[inline(always)]
pub fn descend<'a, S: Scorer>(
    beam: &mut Beam,
    scorer: &S,
    layers: impl Iterator<Item = Layer<'a>>,
    slot: NodeId,
    entries: usize,
) -> (Entries, BeamStats) {
    let (mut at, mut stats) = (Entries::one(slot), BeamStats::default());
    for layer in layers {
        let scorer = SlotScorer { nodes: layer.nodes, scorer };
        stats.add(beam.search(layer.lists, &scorer, &at, Reach::of(entries)));
        at = layer.entries_below(beam);
    }
    (at, stats)
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
        let mut nodes = [NodeId(0); GATHERED];
        for (slots, distances) in slots.chunks(GATHERED).zip(distances.chunks_mut(GATHERED)) {
            for (node, slot) in nodes.iter_mut().zip(slots) {
                *node = self.nodes[slot.index()];
            }
            self.scorer.score(&nodes[..slots.len()], distances);
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
    /// How many nodes a search goes down with, 1 to [`MAX_ENTRIES`].
    pub entries: usize,
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
        let (layers, degree) = (self.layers.len() as u32, self.degree as u32);
        let header = [layers, degree, self.entry_slot.0, self.entries as u32 - 1];
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Items on a line.
    struct Line<'a> {
        items: &'a [f32],
        query: f32,
    }

    impl Scorer for Line<'_> {
        fn score(&self, nodes: &[NodeId], distances: &mut [f32]) {
            for (node, distance) in nodes.iter().zip(distances) {
                *distance = (self.items[node.index()] - self.query).abs();
            }
        }

        fn prefetch(&self, _node: NodeId) {}

        fn prefetch_list(&self, _list: &[NodeId]) {}
    }

    /// Two clusters without an edge between them, one node of each a layer up. The query lies among
    /// the items of the second, beside the node that rose from the first.
    #[test]
    fn a_descent_with_two_nodes_gets_into_both_clusters() {
        let items = [0.0, 1.0, 2.0, 2.1, 4.0];
        let ids = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let upper =
            OwnedLayer { nodes: ids(&[1, 4]), down: ids(&[1, 4]), lists: ids(&[1, 0, 0, 1]) };
        let entries = 2;
        let levels = OwnedLevels { layers: vec![upper], degree: 2, entry_slot: NodeId(1), entries };
        let base = ids(&[1, 2, 0, 2, 0, 1, 4, 3, 3, 4]);
        let nearest = |query, levels: &OwnedLevels| {
            let words = levels.words();
            let layout = LevelsLayout::parse(&words, items.len()).unwrap();
            let (mut beam, scorer) = (Beam::default(), Line { items: &items, query });
            let (layers, slot) = layout.top_down(&words);
            let (entries, _) = descend(&mut beam, &scorer, layers, slot, layout.entries());
            assert_eq!(entries.len(), layout.entries());
            beam.search(Adjacency::new(&base, 2), &scorer, &entries, Reach::of(4));
            beam.found().iter().next().unwrap().node.0
        };
        assert_eq!(nearest(2.2, &levels), 3);
        assert_eq!(nearest(2.2, &OwnedLevels { entries: 1, ..levels }), 2);
    }

    #[test]
    fn entries_out_of_range_are_refused() {
        let mut words = [0, 2, 0, 0].map(NodeId);
        for (more, entries) in [(0, Some(1)), (15, Some(16)), (16, None), (u32::MAX, None)] {
            words[3] = NodeId(more);
            let parsed = LevelsLayout::parse(&words, 1);
            assert_eq!(parsed.as_ref().ok().map(LevelsLayout::entries), entries);
            assert!(entries.is_some() || parsed.is_err_and(|bad| bad.word == 3));
        }
    }
}
