//! Edges of nodes that have more than their list has slots for.
//!
//! ```text
//! overflow section, little-endian
//! count u64, width u64                   nodes that have a list here, slots per list
//! members u64 [n / 64, rounded up]       bit i % 64 of word i / 64: node i has one
//! ranks u32 [n / 64, rounded up]         members in the words before; zero bytes up to a multiple of 8
//! lists u32 [count, width]               an unused slot holds the node itself
//! ```
//!
//! Few nodes have such a list, and a search asks of every node that it expands: a bit for each stays in
//! the second-level cache.

use bytemuck::PodCastError;

use crate::types::NodeId;

/// A checked section. [`Overflow::default`] has no lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overflow<'a> {
    members: &'a [u64],
    ranks: &'a [u32],
    slots: &'a [NodeId],
    pub(super) width: usize,
}

/// The most slots of a list.
pub const MAX_WIDTH: usize = 1024;

/// Bytes before the members.
const HEADER_BYTES: usize = 16;

/// Why a section is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOverflow {
    /// Position in the section, in bytes.
    pub offset: usize,
    /// What the format requires.
    pub expected: String,
    /// What is there.
    pub found: String,
}

fn bad<T>(
    offset: usize,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<T, BadOverflow> {
    Err(BadOverflow { offset, expected: expected.into(), found: found.to_string() })
}

/// Where the parts of a checked section lie.
#[derive(Clone, Copy, Debug)]
pub struct OverflowLayout {
    /// Words of members.
    words: usize,
    width: usize,
}

impl OverflowLayout {
    /// Reads and checks a section, which lies at a multiple of 8 bytes, for a layer of `n` nodes. Cost:
    /// one pass over it.
    pub fn parse(bytes: &[u8], n: usize) -> Result<Self, BadOverflow> {
        let least = lists_at(n.div_ceil(64));
        if bytes.len() < least {
            return bad(0, format!("at least {least} bytes"), bytes.len());
        }
        let header = |at: usize| {
            let word = bytes[at..at + 8].iter().rev();
            word.fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        let (count, width) = (header(0), header(8));
        if width == 0 || width > MAX_WIDTH as u64 {
            return bad(8, format!("1 to {MAX_WIDTH} slots"), width);
        }
        if count > n as u64 {
            return bad(0, format!("at most {n} lists"), count);
        }
        let end = least as u64 + 4 * count * width;
        if bytes.len() as u64 != end {
            return bad(least, format!("a section of {end} bytes"), bytes.len());
        }
        let layout = Self { words: n.div_ceil(64), width: width as usize };
        let Ok(overflow) = layout.cast(bytes) else {
            return bad(0, "a section aligned to 8 bytes", "another place");
        };
        overflow.check(n, count)?;
        Ok(layout)
    }

    /// The lists of the section that was parsed.
    #[inline(always)]
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Overflow<'a> {
        self.cast(bytes).unwrap_or_default()
    }

    #[inline(always)]
    fn cast<'a>(&self, bytes: &'a [u8]) -> Result<Overflow<'a>, PodCastError> {
        let ranks_at = HEADER_BYTES + 8 * self.words;
        Ok(Overflow {
            members: bytemuck::try_cast_slice(&bytes[HEADER_BYTES..ranks_at])?,
            ranks: bytemuck::try_cast_slice(&bytes[ranks_at..ranks_at + 4 * self.words])?,
            slots: bytemuck::try_cast_slice(&bytes[lists_at(self.words)..])?,
            width: self.width,
        })
    }
}

/// Where lists begin behind so many words of members.
fn lists_at(words: usize) -> usize {
    (HEADER_BYTES + 12 * words).next_multiple_of(8)
}

impl<'a> Overflow<'a> {
    fn check(&self, n: usize, count: u64) -> Result<(), BadOverflow> {
        let ranks_at = HEADER_BYTES + 8 * self.members.len();
        let mut before = 0;
        for (at, (members, rank)) in self.members.iter().zip(self.ranks).enumerate() {
            if *rank != before {
                return bad(ranks_at + 4 * at, format!("{before} members before"), rank);
            }
            before += members.count_ones();
        }
        let last = self.members.last().filter(|_| !n.is_multiple_of(64));
        if u64::from(before) != count || last.is_some_and(|last| last >> (n % 64) != 0) {
            return bad(HEADER_BYTES, format!("{count} members below {n}"), before);
        }
        match self.slots.iter().position(|slot| slot.index() >= n) {
            Some(at) => {
                let offset = lists_at(self.members.len()) + 4 * at;
                bad(offset, format!("a node below {n}"), self.slots[at].0)
            }
            None => Ok(()),
        }
    }

    /// Number of lists.
    pub fn len(&self) -> usize {
        self.slots.len() / self.width.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots of `node`; none for most.
    #[inline(always)]
    pub fn list(&self, node: NodeId) -> &'a [NodeId] {
        let (word, bit) = (node.index() / 64, node.index() % 64);
        let Some(members) = self.members.get(word) else { return &[] };
        if members >> bit & 1 == 0 {
            return &[];
        }
        let rank = self.ranks[word] + (members & ((1 << bit) - 1)).count_ones();
        &self.slots[rank as usize * self.width..][..self.width]
    }
}

/// Edges of nodes, which rise.
pub type EdgeLists = Vec<(NodeId, Vec<NodeId>)>;

/// An [`Overflow`] in memory of its own.
#[derive(Clone, Debug)]
pub struct OwnedOverflow {
    members: Vec<u64>,
    ranks: Vec<u32>,
    slots: Vec<NodeId>,
    width: usize,
}

impl OwnedOverflow {
    /// Of a layer of `n` nodes. Lists have at most [`MAX_WIDTH`] edges.
    pub fn new(n: usize, lists: &EdgeLists) -> Self {
        let longest = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
        let width = longest.clamp(1, MAX_WIDTH);
        let mut members = vec![0u64; n.div_ceil(64)];
        let mut slots = Vec::with_capacity(lists.len() * width);
        for (node, list) in lists {
            members[node.index() / 64] |= 1 << (node.index() % 64);
            let unused = std::iter::repeat(*node);
            slots.extend(list.iter().copied().chain(unused).take(width));
        }
        let ranks = members.iter().scan(0, |before, members: &u64| {
            let rank = *before;
            *before += members.count_ones();
            Some(rank)
        });
        let ranks = ranks.collect();
        Self { members, ranks, slots, width }
    }

    /// The lists, to search.
    pub fn view(&self) -> Overflow<'_> {
        let Self { members, ranks, slots, width } = self;
        Overflow { members, ranks, slots, width: *width }
    }

    /// The bytes of a section.
    pub fn section(&self) -> Vec<u8> {
        let header = [self.view().len() as u64, self.width as u64];
        let mut bytes: Vec<u8> = bytemuck::cast_slice(&header).to_vec();
        bytes.extend_from_slice(bytemuck::cast_slice(&self.members));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.ranks));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(bytemuck::cast_slice(&self.slots));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(n: u32) -> EdgeLists {
        let ids = |from: u32, count: u32| (0..count).map(|i| NodeId((from + i) % n)).collect();
        (0..n).step_by(7).map(|node| (NodeId(node), ids(node + 1, 1 + node % 5))).collect()
    }

    #[test]
    fn a_section_gives_back_the_lists() {
        for n in [1, 63, 64, 65, 1000] {
            let lists = lists(n);
            let owned = OwnedOverflow::new(n as usize, &lists);
            let bytes = aligned(&owned.section());
            let bytes = &bytemuck::cast_slice::<u64, u8>(&bytes)[..owned.section().len()];
            let parsed = OverflowLayout::parse(bytes, n as usize).unwrap().view(bytes);
            assert_eq!(parsed.len(), lists.len());
            for node in (0..n).map(NodeId) {
                let list = lists.iter().find(|(of, _)| *of == node).map(|(_, list)| &**list);
                let slots = parsed.list(node);
                let used: Vec<NodeId> =
                    slots.iter().copied().take_while(|slot| *slot != node).collect();
                // A list of one node, in a layer of one, holds that node.
                assert_eq!(
                    used,
                    list.unwrap_or_default()
                        .iter()
                        .copied()
                        .filter(|to| *to != node)
                        .collect::<Vec<_>>()
                );
                assert_eq!(slots, owned.view().list(node));
            }
        }
    }

    #[test]
    fn sections_that_lie_are_refused() {
        let n = 130;
        let whole = OwnedOverflow::new(n, &lists(n as u32)).section();
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = whole.clone();
            change(&mut bytes);
            let words = aligned(&bytes);
            let bytes = &bytemuck::cast_slice::<u64, u8>(&words)[..bytes.len()];
            OverflowLayout::parse(bytes, n).is_err()
        };
        assert!(!refused(&|_| ()));
        assert!(refused(&|bytes| bytes.truncate(bytes.len() - 4)), "shorter");
        assert!(refused(&|bytes| bytes.extend([0; 4])), "longer");
        assert!(refused(&|bytes| bytes.truncate(8)), "no header");
        assert!(refused(&|bytes| bytes[8] = 0), "no slots");
        assert!(refused(&|bytes| bytes[15] = 1), "slots beyond count");
        assert!(refused(&|bytes| bytes[7] = 255), "lists beyond count");
        assert!(refused(&|bytes| bytes[16] ^= 2), "a member more");
        assert!(refused(&|bytes| bytes[39] ^= 128), "a member beyond the last node");
        assert!(refused(&|bytes| bytes[40] ^= 1), "a rank");
        assert!(refused(&|bytes| *bytes.last_mut().unwrap() = 1), "a node out of range");
    }

    fn aligned(bytes: &[u8]) -> Vec<u64> {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        words
    }
}
