//! Which nodes a search has seen: a bitset, and the list of its words that need clearing.

use crate::types::NodeId;

/// A set of nodes that is emptied in time proportional to what was put in.
#[derive(Debug, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    /// Words that are not zero, each once. Its capacity is `words.len()`, so it never grows.
    touched: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for nodes `0..n`.
    pub(super) fn reset(&mut self, n: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = n.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
            self.touched.reserve(words);
        }
    }

    /// Adds a node; whether it was new.
    #[inline(always)]
    pub(super) fn insert(&mut self, node: NodeId) -> bool {
        let word = &mut self.words[node.index() / 64];
        let bit = 1 << (node.index() % 64);
        let before = *word;
        if before == 0 {
            self.touched.push(node.0 / 64);
        }
        *word = before | bit;
        before & bit == 0
    }
}
