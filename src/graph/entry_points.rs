//! Where searches come in without going down the upper layers.
//!
//! Those lead to where items lie, node by node, each step waiting for the one before. A few centers of
//! clusters, read in order, tell much of it at once: of each cluster the items nearest to its center are
//! kept, and a search begins at those of the nearest centers. For inner product they are the large items
//! of a direction, which searches end at or pass through.
//!
//! Queries of another kind than items, such as users, lie elsewhere, and centers of a sample of them tell
//! more. A query that is farther from its nearest center than all of the sample were is of another kind
//! again, and goes down; centers of items are for all queries.
//!
//! ```text
//! entry points section, little-endian
//! count, each, nearest, 0        u32       centers; items of each; how many centers a search begins at
//! reach   f32 [count]                      the farthest query of the sample whose nearest center it is;
//!                                         the largest finite number where centers are of items
//! centers f32 [count, dim]                 of length 1 but for l2
//! nodes   u32 [count, each]
//! ```

use crate::graph::levels::{Entries, MAX_ENTRIES};
use crate::kernels::Isa;
use crate::types::{Metric, NodeId};

/// Most centers of a section.
pub const MAX_CENTERS: usize = 4096;

/// Most centers that a search begins at.
pub const MAX_NEAREST: usize = 4;

/// The reach of centers that are for all queries.
pub const UNBOUNDED: f32 = f32::MAX;

const HEADER_WORDS: usize = 4;

/// A checked section.
#[derive(Clone, Copy, Debug)]
pub struct EntryPoints<'a> {
    reach: &'a [f32],
    centers: &'a [f32],
    nodes: &'a [NodeId],
    nearest: usize,
}

/// Why a section is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntryPoints {
    /// Position in the section, in words of four bytes.
    pub word: usize,
    /// What the format requires.
    pub expected: String,
    /// What is there.
    pub found: String,
}

fn bad<T>(
    word: usize,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<T, BadEntryPoints> {
    Err(BadEntryPoints { word, expected: expected.into(), found: found.to_string() })
}

/// Where the parts of a checked section lie.
#[derive(Clone, Copy, Debug)]
pub struct EntryPointsLayout {
    count: usize,
    dim: usize,
    nearest: usize,
}

impl EntryPointsLayout {
    /// Reads and checks the words of a section for a layer of `n` nodes and queries of `dim` components.
    pub fn parse(words: &[u32], n: usize, dim: usize) -> Result<Self, BadEntryPoints> {
        if words.len() < HEADER_WORDS {
            return bad(0, format!("a header of {HEADER_WORDS} words"), words.len());
        }
        let [count, each, nearest] = [0, 1, 2].map(|at| words[at] as usize);
        if count == 0 || count > MAX_CENTERS {
            return bad(0, format!("1 to {MAX_CENTERS} centers"), count);
        }
        if nearest == 0 || nearest > MAX_NEAREST.min(count) {
            return bad(2, format!("1 to {}", MAX_NEAREST.min(count)), nearest);
        }
        if each == 0 || each > MAX_ENTRIES / nearest {
            return bad(1, format!("1 to {} nodes of each", MAX_ENTRIES / nearest), each);
        }
        let length = HEADER_WORDS + count * (1 + dim + each);
        if words.len() != length {
            return bad(HEADER_WORDS, format!("a section of {length} words"), words.len());
        }
        let layout = Self { count, dim, nearest };
        let EntryPoints { reach, centers, nodes, .. } = layout.view(words);
        if let Some(at) = reach.iter().chain(centers).position(|x| !x.is_finite()) {
            return bad(HEADER_WORDS + at, "a finite number", words[HEADER_WORDS + at]);
        }
        if let Some(at) = nodes.iter().position(|node| node.index() >= n) {
            let word = length - nodes.len() + at;
            return bad(word, format!("a node below {n}"), nodes[at].0);
        }
        Ok(layout)
    }

    /// The entry points of the section that was parsed.
    #[inline(always)]
    pub fn view<'a>(&self, words: &'a [u32]) -> EntryPoints<'a> {
        let (reach, rest) = words[HEADER_WORDS..].split_at(self.count);
        let (centers, nodes) = rest.split_at(self.count * self.dim);
        EntryPoints {
            reach: bytemuck::cast_slice(reach),
            centers: bytemuck::cast_slice(centers),
            nodes: bytemuck::cast_slice(nodes),
            nearest: self.nearest,
        }
    }
}

impl EntryPoints<'_> {
    /// Number of centers.
    pub fn len(&self) -> usize {
        self.reach.len()
    }

    /// Whether there are none; a section always has some.
    pub fn is_empty(&self) -> bool {
        self.reach.is_empty()
    }

    /// Whether they are for queries of a kind that was learned from.
    pub fn bounded(&self) -> bool {
        self.reach.iter().any(|reach| *reach < UNBOUNDED)
    }

    /// The same in memory of their own.
    pub fn to_owned(&self) -> OwnedEntryPoints {
        let Self { reach, centers, nodes, nearest } = *self;
        let (reach, centers, nodes) = (reach.to_vec(), centers.to_vec(), nodes.to_vec());
        OwnedEntryPoints { reach, centers, nodes, nearest }
    }

    /// The nodes of the centers nearest to `query`; none for a query of another kind than what was learned
    /// from, or one without a direction.
    #[inline(always)]
    pub fn find<I: Isa>(&self, isa: I, metric: Metric, query: &[f32]) -> Option<Entries> {
        // As many times as long as a center.
        let length = match metric {
            Metric::L2 => 1.0,
            Metric::Ip | Metric::Cosine => isa.dot(query, query).sqrt(),
        };
        let mut best = [(f32::INFINITY, 0); MAX_NEAREST];
        for (at, center) in self.centers.chunks_exact(query.len()).enumerate() {
            let distance = match metric {
                Metric::L2 => isa.l2(query, center),
                Metric::Ip | Metric::Cosine => 1.0 - isa.dot(query, center) / length,
            };
            let mut new = (distance, at);
            for slot in &mut best[..self.nearest] {
                if new.0 < slot.0 {
                    std::mem::swap(slot, &mut new);
                }
            }
        }
        let (distance, at) = best[0];
        if distance > self.reach[at] {
            return None;
        }
        let each = self.nodes.len() / self.len();
        let nodes = |(_, at): &(f32, usize)| self.nodes[at * each..][..each].iter().copied();
        Some(Entries::first_of(best[..self.nearest].iter().flat_map(nodes)))
    }
}

/// [`EntryPoints`] in memory of their own.
#[derive(Clone, Debug)]
pub struct OwnedEntryPoints {
    /// `[count]`: see the section.
    pub reach: Vec<f32>,
    /// `[count, dim]`.
    pub centers: Vec<f32>,
    /// `[count, each]`.
    pub nodes: Vec<NodeId>,
    /// How many centers a search begins at.
    pub nearest: usize,
}

impl OwnedEntryPoints {
    /// To search with.
    pub fn view(&self) -> EntryPoints<'_> {
        let Self { reach, centers, nodes, nearest } = self;
        EntryPoints { reach, centers, nodes, nearest: *nearest }
    }

    /// The words of a section.
    pub fn words(&self) -> Vec<u32> {
        let count = self.reach.len();
        let each = self.nodes.len() / count.max(1);
        let mut words = vec![count as u32, each as u32, self.nearest as u32, 0];
        words.extend_from_slice(bytemuck::cast_slice(&self.reach));
        words.extend_from_slice(bytemuck::cast_slice(&self.centers));
        words.extend_from_slice(bytemuck::cast_slice(&self.nodes));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Operation, dispatch};

    fn points() -> OwnedEntryPoints {
        OwnedEntryPoints {
            reach: vec![0.5, 0.1, 0.2],
            centers: vec![1.0, 0.0, 0.0, 1.0, -1.0, 0.0],
            nodes: [4, 5, 6, 7, 8, 9].map(NodeId).to_vec(),
            nearest: 2,
        }
    }

    struct Find<'a>(EntryPoints<'a>, Metric, &'a [f32]);

    impl Operation for Find<'_> {
        type Output = Option<Entries>;

        fn run<I: Isa>(self, isa: I) -> Option<Entries> {
            self.0.find(isa, self.1, self.2)
        }
    }

    fn find(points: &OwnedEntryPoints, metric: Metric, query: &[f32]) -> Option<Vec<u32>> {
        let words = points.words();
        let parsed = EntryPointsLayout::parse(&words, 10, 2).unwrap().view(&words);
        let entries = dispatch(Find(parsed, metric, query))?;
        Some(entries.iter().map(|node| node.0).collect())
    }

    #[test]
    fn a_search_begins_at_the_nearest_centers() {
        let points = points();
        for metric in [Metric::Ip, Metric::Cosine] {
            assert_eq!(find(&points, metric, &[20.0, 1.0]), Some(vec![4, 5, 6, 7]));
            assert_eq!(find(&points, metric, &[-0.1, 3.0]), Some(vec![6, 7, 8, 9]));
            assert_eq!(find(&points, metric, &[0.0, -1.0]), None, "far from all");
            assert_eq!(find(&points, metric, &[0.4, 0.6]), None, "farther than its reach");
            assert_eq!(find(&points, metric, &[0.0, 0.0]), None, "no direction");
        }
        assert_eq!(find(&points, Metric::L2, &[1.0, 0.1]), Some(vec![4, 5, 6, 7]));
        assert_eq!(find(&points, Metric::L2, &[9.0, 0.0]), None);
    }

    #[test]
    fn sections_that_lie_are_refused() {
        let whole = points().words();
        let refused = |at: usize, value: u32| {
            let mut words = whole.clone();
            words[at] = value;
            EntryPointsLayout::parse(&words, 10, 2)
                .is_err_and(|bad| bad.word <= at.max(HEADER_WORDS))
        };
        for (at, value) in [(0, 0), (0, u32::MAX), (0, 2), (1, 0), (1, 9), (2, 0), (2, 5)] {
            assert!(refused(at, value), "{value} in word {at}");
        }
        assert!(refused(4, f32::NAN.to_bits()) && refused(7, f32::INFINITY.to_bits()));
        assert!(refused(whole.len() - 1, 10));
        assert!(EntryPointsLayout::parse(&whole[..whole.len() - 1], 10, 2).is_err());
        assert!(EntryPointsLayout::parse(&whole[..3], 10, 2).is_err());
        assert!(EntryPointsLayout::parse(&whole, 10, 2).is_ok_and(|points| points.count == 3));
    }
}
