//! Sets of nodes.

use crate::types::NodeId;

/// Some of the nodes of a segment: those that a filter lets pass. One bit a node, so that a search
/// asks for one in about a nanosecond; where they are few, also their list, which a scan goes along.
///
/// Memory: an eighth of a byte for each node up to the last one that is in it, at most twice that
/// with the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet {
    /// Bit `i % 64` of word `i / 64`; the last word is not zero.
    words: Vec<u64>,
    /// Ascending; where they take no more memory than the words.
    listed: Option<Vec<NodeId>>,
    count: u64,
}

impl NodeSet {
    /// All `n` nodes of a segment.
    pub fn all(n: u32) -> Self {
        let mut words = vec![u64::MAX; (n as usize).div_ceil(64)];
        if let Some(last) = words.last_mut().filter(|_| !n.is_multiple_of(64)) {
            *last = (1 << (n % 64)) - 1;
        }
        Self::of_words(words)
    }

    /// The nodes whose bits are set: bit `i % 64` of word `i / 64`.
    pub fn of_words(mut words: Vec<u64>) -> Self {
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        words.truncate(used);
        let count: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
        let few = count * size_of::<NodeId>() as u64 <= size_of_val(words.as_slice()) as u64;
        let listed = few.then(|| list(&words, count as usize));
        Self { words, listed, count }
    }

    /// How many there are: M.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `node` is one of them.
    #[inline(always)]
    pub fn contains(&self, node: NodeId) -> bool {
        let word = self.words.get(node.index() / 64);
        word.is_some_and(|word| word >> (node.index() % 64) & 1 == 1)
    }

    /// The nodes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> {
        ones(&self.words, 0)
    }

    /// Those within `first..end`, ascending.
    pub fn range(&self, first: u32, end: u32) -> impl Iterator<Item = NodeId> {
        let (from, to) = (first as usize / 64, (end as usize).div_ceil(64));
        let to = to.min(self.words.len());
        ones(&self.words[from.min(to)..to], from)
            .skip_while(move |node| node.0 < first)
            .take_while(move |node| node.0 < end)
    }

    /// Node `rank` of those in ascending order, from 0. Cost: a look at each word before it.
    pub fn select(&self, rank: u32) -> Option<NodeId> {
        let mut left = rank;
        for (at, word) in self.words.iter().enumerate() {
            if left < word.count_ones() {
                return ones(&[*word], at).nth(left as usize);
            }
            left -= word.count_ones();
        }
        None
    }

    /// The nodes as a list, ascending, where they are few.
    pub fn listed(&self) -> Option<&[NodeId]> {
        self.listed.as_deref()
    }

    /// Bit `i % 64` of word `i / 64` of those words that there are.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Those that are in both sets.
    pub fn and(&self, other: &Self) -> Self {
        let pairs = self.words.iter().zip(&other.words);
        Self::of_words(pairs.map(|(a, b)| a & b).collect())
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut words = self.words.clone();
        words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
        Self::of_words(words)
    }

    /// Those that are in one of the sets or in both.
    pub fn or(&self, other: &Self) -> Self {
        let (short, long) =
            if self.words.len() < other.words.len() { (self, other) } else { (other, self) };
        let mut words = long.words.clone();
        words.iter_mut().zip(&short.words).for_each(|(word, other)| *word |= other);
        Self::of_words(words)
    }

    /// Memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + self.listed().map_or(0, size_of_val)
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut words = Vec::new();
        for node in nodes {
            let at = node.index() / 64;
            if at >= words.len() {
                words.resize(at + 1, 0);
            }
            words[at] |= 1 << (node.index() % 64);
        }
        Self::of_words(words)
    }
}

/// The `count` bits that are set in `words`. Faster than collecting [`ones`], which starts over at
/// each word.
fn list(words: &[u64], count: usize) -> Vec<NodeId> {
    let mut nodes = Vec::with_capacity(count);
    for (at, word) in words.iter().enumerate() {
        let mut left = *word;
        while left != 0 {
            nodes.push(NodeId((at * 64) as u32 + left.trailing_zeros()));
            left &= left - 1;
        }
    }
    nodes
}

/// The bits that are set in `words`, the first of which is word `first` of all.
fn ones(words: &[u64], first: usize) -> impl Iterator<Item = NodeId> {
    words.iter().enumerate().flat_map(move |(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (bit < 64).then(|| NodeId(((first + at) * 64) as u32 + bit))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    proptest::proptest! {
        #[test]
        fn is_what_a_tree_of_numbers_is(
            a in proptest::collection::btree_set(0..700_u32, 0..300),
            b in proptest::collection::btree_set(0..500_u32, 0..9),
            first in 0..800_u32, more in 0..300_u32,
        ) {
            let of = |set: &BTreeSet<u32>| set.iter().copied().map(NodeId).collect::<NodeSet>();
            let same = |found: NodeSet, wanted: BTreeSet<u32>| {
                assert_eq!(found.iter().map(|node| node.0).collect::<BTreeSet<u32>>(), wanted);
                assert_eq!(found, of(&wanted));
                assert_eq!(found.len(), wanted.len() as u64);
            };
            let (left, right) = (of(&a), of(&b));
            same(left.and(&right), &a & &b);
            same(left.or(&right), &a | &b);
            same(right.or(&left), &a | &b);
            same(left.without(&right), &a - &b);
            same(right.without(&left), &b - &a);
            same(NodeSet::all(first), (0..first).collect());
            let within: Vec<u32> = left.range(first, first + more).map(|node| node.0).collect();
            assert_eq!(within, a.range(first..first + more).copied().collect::<Vec<u32>>());
            for (rank, node) in a.iter().enumerate() {
                assert_eq!(left.select(rank as u32), Some(NodeId(*node)));
                assert!(left.contains(NodeId(*node)));
            }
            assert_eq!(left.select(a.len() as u32), None);
            assert!((0..900).all(|node| left.contains(NodeId(node)) == a.contains(&node)));
            if let Some(listed) = right.listed() {
                assert!(listed.iter().map(|node| node.0).eq(b.iter().copied()));
            }
        }
    }
}
