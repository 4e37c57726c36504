//! All items that an expression passes, from the indexes of the columns.
//!
//! The tree of the expression becomes a tree of sets, and that is worked out chunk by chunk: 65,536
//! nodes, whose 8 KiB of bits stay in the fastest cache while the sets of the tree are put in, cut
//! with, added or taken out. Sets are read where they lie: containers of postings, bits of columns,
//! nodes of few ids or values. Only a range of many values is worked out before, into bits of its own.
//!
//! A column without an index is looked at row by row: in a conjunction at those rows only that the
//! other parts leave.

use std::ops::{Bound as End, Range};

use super::columns::{ColumnView, f64_key, i64_key};
use super::evaluate::{Asked, Bound, Part};
use super::indexes::{ColumnIndex, Sorted};
use super::nodes::NodeSet;
use crate::format::roaring::{CHUNK_NODES, CHUNK_WORDS, Chunk, Roaring, RoaringChunks, words};
use crate::types::{ItemId, NodeId};

/// Nodes in no order are sorted where they are fewer than one in so many; else they become bits,
/// which takes a pass over all of these.
const NODES_PER_LISTED: usize = 1024;

impl Bound<'_> {
    /// All items that pass, as [`Bound::passing`] has them, but by the indexes of the columns.
    ///
    /// Cost: a pass over the bits of every part, and a look at the values of a column without an
    /// index.
    pub fn select(&self) -> NodeSet {
        let n = self.items.len();
        let planner = Planner { bound: self, n };
        let mut root = planner.part(&self.root);
        root.sort(n);
        let mut place = Place { chunk: 0, n, items: self.items, spare: Vec::new() };
        let mut all = Vec::with_capacity(n.div_ceil(64));
        let mut bits = [0; CHUNK_WORDS];
        for chunk in 0..n.div_ceil(CHUNK_NODES) {
            place.chunk = chunk;
            root.apply(Change::Set, &mut bits, &mut place);
            all.extend_from_slice(&bits[..place.nodes().len().div_ceil(64)]);
        }
        NodeSet::of_words(all)
    }
}

/// A tree of sets.
#[derive(Debug)]
enum Step<'b> {
    All,
    Nothing,
    And(Vec<Step<'b>>),
    Or(Vec<Step<'b>>),
    Not(Box<Step<'b>>),
    /// A set of the postings, and how many nodes it has.
    Posting(RoaringChunks<'b>, usize),
    /// Bits of a column, in whole words.
    Stored(&'b [u8]),
    /// Bits worked out before, and how many are set.
    Bits(Vec<u64>, usize),
    /// Ascending nodes, and how many of them are done with.
    List(Vec<NodeId>, usize),
    /// What a look at each item gives.
    Rows(&'b Part<'b>),
}

/// What a step does to the bits of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    And,
    Or,
    AndNot,
}

/// The chunk that is worked out.
struct Place<'b> {
    chunk: usize,
    n: usize,
    items: &'b [ItemId],
    /// Chunks for parts of parts.
    spare: Vec<Box<Chunk>>,
}

impl Place<'_> {
    fn nodes(&self) -> Range<usize> {
        let first = self.chunk * CHUNK_NODES;
        first..(first + CHUNK_NODES).min(self.n)
    }

    fn words(&self) -> Range<usize> {
        self.chunk * CHUNK_WORDS..self.nodes().end.div_ceil(64)
    }
}

impl Step<'_> {
    /// At most so many nodes.
    fn most(&self, n: usize) -> usize {
        match self {
            Self::All | Self::Rows(_) | Self::Stored(_) => n,
            Self::Nothing => 0,
            Self::And(steps) => steps.iter().map(|step| step.most(n)).min().unwrap_or(n),
            Self::Or(steps) => steps.iter().map(|step| step.most(n)).sum::<usize>().min(n),
            Self::Not(step) => n - step.most(n).min(n),
            Self::Posting(_, count) | Self::Bits(_, count) => *count,
            Self::List(nodes, _) => nodes.len(),
        }
    }

    /// Whether items are looked at one by one.
    fn is_slow(&self) -> bool {
        match self {
            Self::Rows(_) => true,
            Self::And(steps) | Self::Or(steps) => steps.iter().any(Self::is_slow),
            Self::Not(step) => step.is_slow(),
            _ => false,
        }
    }

    /// Puts first what leaves least to do for the others.
    fn sort(&mut self, n: usize) {
        match self {
            Self::And(steps) => {
                steps.iter_mut().for_each(|step| step.sort(n));
                steps.sort_by_cached_key(|step| (step.is_slow(), step.most(n)));
            }
            Self::Or(steps) => {
                steps.iter_mut().for_each(|step| step.sort(n));
                steps.sort_by_cached_key(Self::is_slow);
            }
            Self::Not(step) => step.sort(n),
            _ => {}
        }
    }

    fn apply(&mut self, change: Change, bits: &mut Chunk, place: &mut Place<'_>) {
        match self {
            Self::All => apply_all(change, bits, place),
            Self::Nothing => {
                if matches!(change, Change::Set | Change::And) {
                    bits.fill(0);
                }
            }
            Self::And(steps) => apply_and(steps, change, bits, place),
            Self::Or(steps) => apply_or(steps, change, bits, place),
            Self::Not(step) => apply_not(step, change, bits, place),
            Self::Posting(set, _) => match (set.seek(place.chunk), change) {
                (None, Change::Set | Change::And) => bits.fill(0),
                (None, Change::Or | Change::AndNot) => {}
                (Some(container), Change::Set) => container.set(bits),
                (Some(container), Change::And) => container.intersect(bits),
                (Some(container), Change::Or) => container.unite(bits),
                (Some(container), Change::AndNot) => container.subtract(bits),
            },
            Self::Stored(stored) => {
                let here = place.words();
                let stored = stored.get(here.start * 8..here.end * 8).unwrap_or_default();
                combine(change, bits, words(stored));
            }
            Self::Bits(of_all, _) => {
                let here = of_all.get(place.words()).unwrap_or_default();
                combine(change, bits, here.iter().copied());
            }
            Self::List(nodes, passed) => {
                // A chunk that came to nothing before this step was passed over.
                let Range { start, end } = place.nodes();
                *passed += nodes[*passed..].partition_point(|node| node.index() < start);
                let here = nodes[*passed..].partition_point(|node| node.index() < end);
                apply_list(change, &nodes[*passed..*passed + here], bits);
                *passed += here;
            }
            Self::Rows(part) => apply_rows(part, change, bits, place),
        }
    }
}

fn apply_all(change: Change, bits: &mut Chunk, place: &Place<'_>) {
    let nodes = place.nodes().len();
    let full = |at: usize| match nodes.saturating_sub(at * 64) {
        0 => 0,
        left @ 1..64 => (1 << left) - 1,
        _ => u64::MAX,
    };
    combine(change, bits, (0..CHUNK_WORDS).map(full));
}

fn apply_and(steps: &mut [Step<'_>], change: Change, bits: &mut Chunk, place: &mut Place<'_>) {
    match (steps.split_first_mut(), change) {
        (None, _) => apply_all(change, bits, place),
        (Some((first, rest)), Change::Set) => {
            first.apply(Change::Set, bits, place);
            cut(rest, bits, place);
        }
        (Some(_), Change::And) => cut(steps, bits, place),
        (Some(_), Change::Or | Change::AndNot) => {
            with_spare(place, |mine, place| {
                apply_and(steps, Change::Set, mine, place);
                combine(change, bits, mine.iter().copied());
            });
        }
    }
}

/// Cuts `bits` with each step, as long as there are some.
fn cut(steps: &mut [Step<'_>], bits: &mut Chunk, place: &mut Place<'_>) {
    for step in steps {
        if bits.iter().all(|word| *word == 0) {
            return;
        }
        step.apply(Change::And, bits, place);
    }
}

fn apply_or(steps: &mut [Step<'_>], change: Change, bits: &mut Chunk, place: &mut Place<'_>) {
    match (steps.split_first_mut(), change) {
        (None, _) => Step::Nothing.apply(change, bits, place),
        (Some((first, rest)), Change::Set) => {
            first.apply(Change::Set, bits, place);
            rest.iter_mut().for_each(|step| step.apply(Change::Or, bits, place));
        }
        (Some(_), Change::Or | Change::AndNot) => {
            steps.iter_mut().for_each(|step| step.apply(change, bits, place));
        }
        (Some(_), Change::And) => with_spare(place, |mine, place| {
            apply_or(steps, Change::Set, mine, place);
            combine(Change::And, bits, mine.iter().copied());
        }),
    }
}

fn apply_not(step: &mut Step<'_>, change: Change, bits: &mut Chunk, place: &mut Place<'_>) {
    match change {
        Change::Set => {
            apply_all(Change::Set, bits, place);
            step.apply(Change::AndNot, bits, place);
        }
        Change::And => step.apply(Change::AndNot, bits, place),
        Change::AndNot => step.apply(Change::And, bits, place),
        Change::Or => with_spare(place, |mine, place| {
            apply_not(step, Change::Set, mine, place);
            combine(Change::Or, bits, mine.iter().copied());
        }),
    }
}

/// Runs `work` with a chunk of its own, which holds anything.
fn with_spare(place: &mut Place<'_>, work: impl FnOnce(&mut Chunk, &mut Place<'_>)) {
    let mut mine = place.spare.pop().unwrap_or_else(|| Box::new([0; CHUNK_WORDS]));
    work(&mut mine, place);
    place.spare.push(mine);
}

/// Changes each word of a chunk with another; those that are missing are 0.
fn combine(change: Change, bits: &mut Chunk, others: impl ExactSizeIterator<Item = u64>) {
    let count = others.len().min(CHUNK_WORDS);
    let (here, beyond) = bits.split_at_mut(count);
    let pairs = here.iter_mut().zip(others);
    match change {
        Change::Set => pairs.for_each(|(word, other)| *word = other),
        Change::And => pairs.for_each(|(word, other)| *word &= other),
        Change::Or => pairs.for_each(|(word, other)| *word |= other),
        Change::AndNot => pairs.for_each(|(word, other)| *word &= !other),
    }
    if matches!(change, Change::Set | Change::And) {
        beyond.fill(0);
    }
}

/// Changes a chunk with nodes that all lie in it.
fn apply_list(change: Change, nodes: &[NodeId], bits: &mut Chunk) {
    let place = |node: &NodeId| (node.index() % CHUNK_NODES / 64, 1_u64 << (node.index() % 64));
    match change {
        Change::Set | Change::Or => {
            if change == Change::Set {
                bits.fill(0);
            }
            for (word, bit) in nodes.iter().map(place) {
                bits[word] |= bit;
            }
        }
        Change::And => {
            let mut kept = [0; CHUNK_WORDS];
            for (word, bit) in nodes.iter().map(place) {
                kept[word] |= bits[word] & bit;
            }
            *bits = kept;
        }
        Change::AndNot => {
            for (word, bit) in nodes.iter().map(place) {
                bits[word] &= !bit;
            }
        }
    }
}

/// Looks at those items of a chunk for which it makes a difference.
fn apply_rows(part: &Part<'_>, change: Change, bits: &mut Chunk, place: &Place<'_>) {
    let nodes = place.nodes();
    if change == Change::Set {
        bits.fill(0);
    }
    let items = place.items[nodes.clone()].chunks(64);
    for (at, (word, items)) in bits.iter_mut().zip(items).enumerate() {
        let first = nodes.start + at * 64;
        let all = u64::MAX >> (64 - items.len());
        let mut open = match change {
            Change::Set => all,
            Change::Or => all & !*word,
            Change::And | Change::AndNot => *word,
        };
        let mut pass = 0;
        while open != 0 {
            let bit = open.trailing_zeros() as usize;
            open &= open - 1;
            let item = items.get(bit);
            let passes = item.is_some_and(|item| part.matches(NodeId((first + bit) as u32), *item));
            pass |= u64::from(passes) << bit;
        }
        match change {
            Change::Set | Change::Or => *word |= pass,
            Change::And => *word = pass,
            Change::AndNot => *word &= !pass,
        }
    }
}

/// Makes steps of parts.
struct Planner<'b, 'a> {
    bound: &'b Bound<'a>,
    n: usize,
}

impl<'b, 'a> Planner<'b, 'a> {
    fn part(&self, part: &'b Part<'a>) -> Step<'b> {
        match part {
            Part::And(parts) => Step::And(parts.iter().map(|part| self.part(part)).collect()),
            Part::Or(parts) => Step::Or(parts.iter().map(|part| self.part(part)).collect()),
            Part::Not(part) => Step::Not(Box::new(self.part(part))),
            Part::Ids(ids) => match &self.bound.lookup {
                None => Step::Rows(part),
                Some(lookup) => {
                    let mut nodes = Vec::with_capacity(ids.given.len().min(self.n));
                    lookup.find_all(&ids.given, &mut nodes);
                    self.listed(nodes)
                }
            },
            Part::Attribute { column, index, asked } => {
                self.asked(column, index.as_ref(), asked).unwrap_or(Step::Rows(part))
            }
        }
    }

    /// `None` where the column has no index for that.
    fn asked(
        &self,
        column: &'b ColumnView<'a>,
        index: Option<&'b ColumnIndex<'a>>,
        asked: &Asked,
    ) -> Option<Step<'b>> {
        let present = || column.present_bits().map_or(Step::All, Step::Stored);
        let not = |step| Step::Not(Box::new(step));
        match asked {
            Asked::Null => Some(not(present())),
            Asked::Other(asked) => {
                Some(Step::And(vec![present(), not(self.asked(column, index, asked)?)]))
            }
            Asked::Bool(wanted) => {
                let yes = || Step::Stored(column.true_bits());
                Some(match (wanted.contains(&true), wanted.contains(&false)) {
                    (true, true) => present(),
                    (true, false) => Step::And(vec![present(), yes()]),
                    (false, true) => Step::And(vec![present(), not(yes())]),
                    (false, false) => Step::Nothing,
                })
            }
            Asked::AllCodes(None) => Some(Step::Nothing),
            Asked::AllCodes(Some(codes)) if codes.is_empty() => Some(present()),
            Asked::AllCodes(Some(codes)) => match index? {
                ColumnIndex::Postings(postings) => {
                    let sets = codes.iter().map(|code| posting(postings.nodes(*code)));
                    Some(Step::And(sets.collect()))
                }
                ColumnIndex::Sorted(_) => None,
            },
            Asked::Codes(codes) => match index? {
                ColumnIndex::Postings(postings) => {
                    let mut sets = codes.iter().map(|code| posting(postings.nodes(*code)));
                    Some(match sets.len() {
                        1 => sets.next()?,
                        _ => Step::Or(sets.collect()),
                    })
                }
                ColumnIndex::Sorted(sorted) => {
                    Some(self.keys(column, sorted, codes.iter().copied()))
                }
            },
            Asked::I64(values) => {
                let keys = values.iter().map(|value| i64_key(*value));
                Some(self.keys(column, sorted(index)?, keys))
            }
            Asked::F64(values) => {
                let keys = values.iter().map(|value| f64_key(*value));
                Some(self.keys(column, sorted(index)?, keys))
            }
            Asked::BetweenI64(low, high) => {
                let keys = between(low, high, i64_key);
                Some(self.ranges(column, sorted(index)?, keys))
            }
            Asked::BetweenF64(low, high) => {
                let keys = between(low, high, f64_key);
                Some(self.ranges(column, sorted(index)?, keys))
            }
        }
    }

    /// The nodes with these values.
    fn keys(
        &self,
        column: &ColumnView<'_>,
        sorted: &Sorted<'_>,
        keys: impl Iterator<Item = u64>,
    ) -> Step<'b> {
        let mut keys: Vec<u64> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        self.ranges(column, sorted, keys.into_iter().map(|key| (key, key)))
    }

    /// The nodes with values in these ranges, which do not overlap.
    fn ranges(
        &self,
        column: &ColumnView<'_>,
        sorted: &Sorted<'_>,
        keys: impl IntoIterator<Item = (u64, u64)>,
    ) -> Step<'b> {
        let ranks = keys.into_iter().map(|(low, high)| sorted.ranks(column, low, high));
        let mut ranks: Vec<Range<usize>> = ranks.filter(|ranks| !ranks.is_empty()).collect();
        let count = ranks.iter().map(Range::len).sum::<usize>();
        if self.is_few(count) {
            return self.listed(ranks.into_iter().flat_map(|ranks| sorted.nodes(ranks)).collect());
        }
        let mut bits = vec![0; self.n.div_ceil(64)];
        // Those first that start from stored bits.
        ranks.sort_by_key(|ranks| !sorted.is_long(ranks));
        for ranks in ranks {
            sorted.add(ranks, column.present_bits(), &mut bits);
        }
        Step::Bits(bits, count)
    }

    fn is_few(&self, count: usize) -> bool {
        count <= (self.n / NODES_PER_LISTED).max(16)
    }

    /// Nodes in any order, some perhaps twice.
    fn listed(&self, mut nodes: Vec<NodeId>) -> Step<'b> {
        if self.is_few(nodes.len()) {
            nodes.sort_unstable();
            return Step::List(nodes, 0);
        }
        let mut bits = vec![0; self.n.div_ceil(64)];
        for node in &nodes {
            if let Some(word) = bits.get_mut(node.index() / 64) {
                *word |= 1 << (node.index() % 64);
            }
        }
        Step::Bits(bits, nodes.len())
    }
}

/// The index as one by value.
fn sorted<'b, 'a>(index: Option<&'b ColumnIndex<'a>>) -> Option<&'b Sorted<'a>> {
    match index? {
        ColumnIndex::Sorted(sorted) => Some(sorted),
        ColumnIndex::Postings(_) => None,
    }
}

fn posting(set: Option<Roaring<'_>>) -> Step<'_> {
    set.map_or(Step::Nothing, |set| Step::Posting(set.chunks(), set.len() as usize))
}

/// The smallest and the largest key between two ends, unless there is none.
fn between<T: Copy>(low: &End<T>, high: &End<T>, key: impl Fn(T) -> u64) -> Option<(u64, u64)> {
    let low = match low {
        End::Unbounded => 0,
        End::Included(value) => key(*value),
        End::Excluded(value) => key(*value).checked_add(1)?,
    };
    let high = match high {
        End::Unbounded => u64::MAX,
        End::Included(value) => key(*value),
        End::Excluded(value) => key(*value).checked_sub(1)?,
    };
    (low <= high).then_some((low, high))
}
