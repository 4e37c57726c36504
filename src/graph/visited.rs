//! Nodes of one search, those that it has seen or must not return: a bitset, and the list of its words
//! that need clearing.

use crate::types::NodeId;

/// A set of nodes that is emptied in time proportional to what was put in.
#[derive(Debug, Default)]
pub struct Visited {
    words: Vec<u64>,
    /// The words that are not zero, `touched[..count]`, each once; one place more than there are
    /// words, so that writing to the next place is always in bounds.
    touched: Vec<u32>,
    count: usize,
}

impl Visited {
    /// Empties the set and makes room for nodes `0..n`.
    pub fn reset(&mut self, n: usize) {
        for word in &self.touched[..self.count] {
            self.words[*word as usize] = 0;
        }
        self.count = 0;
        let words = n.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
            self.touched.resize(words + 1, 0);
        }
    }

    /// Adds `nodes` and puts those that are new at the front of `fresh`, which is as long; how many
    /// they are. Without branches: whether a neighbor was seen before is what no branch predictor
    /// can know.
    #[inline(always)]
    pub fn insert(&mut self, nodes: &[NodeId], fresh: &mut [NodeId]) -> usize {
        let (words, touched) = (self.words.as_mut_slice(), self.touched.as_mut_slice());
        let (mut count, mut found) = (self.count, 0);
        for node in nodes {
            let at = node.index() / 64;
            let bit = 1 << (node.index() % 64);
            let before = words[at];
            words[at] = before | bit;
            touched[count] = at as u32;
            count += usize::from(before == 0);
            fresh[found] = *node;
            found += usize::from(before & bit == 0);
        }
        self.count = count;
        found
    }

    /// Adds one node; whether it is new.
    #[inline(always)]
    pub fn insert_one(&mut self, node: NodeId) -> bool {
        self.insert(&[node], &mut [node]) == 1
    }

    /// Whether `node` is in the set.
    #[inline(always)]
    pub fn contains(&self, node: NodeId) -> bool {
        let word = self.words.get(node.index() / 64);
        word.is_some_and(|word| word >> (node.index() % 64) & 1 == 1)
    }
}
