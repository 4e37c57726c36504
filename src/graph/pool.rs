//! The sorted candidate list of a search: the `ef` closest nodes seen so far.

use crate::types::{Neighbor, NodeId};

/// The closest nodes seen, ascending by distance, ties by node; each remembers whether its
/// neighbors have been read.
///
/// An entry is one `u64`, so that order is one integer comparison and insertion a move of what lies behind:
/// ```text
/// bit 63           32 31          1      0
///     distance, sortable   node      expanded
/// ```
/// Lists that grow over 2,048 come in two parts, so that an insertion does not move thousands of entries:
/// new ones enter `recent`, which is merged into `list` when it is full. Both parts together are
/// at any time what the one list would be.
///
/// What is kept and not to be expanded needs no order until the end: where that is much, it is in `rest`,
/// twice as many as are kept or less.
#[derive(Debug, Default)]
pub struct Pool {
    list: List,
    recent: List,
    capacity: usize,
    /// Of the list, so many of the closest may be expanded once as many as can be are held.
    expandable: usize,
    /// What is kept of what was refused by the list or fell out of it: closer than `far`, in no order.
    rest: Vec<u64>,
    /// What may be held in all.
    keep: usize,
    /// Keys from here on do not enter `rest`; 0 where there is no such part.
    far: u64,
    /// Whether the list has grown so long that new entries enter `recent`.
    long: bool,
    /// Keys from here on do not enter the list.
    limit: u64,
    stop: Stop,
}

/// Longer lists come in two parts. Alone (`cargo bench --bench search candidate_list`) two are ahead from
/// 512 on; in whole searches, where most of what is offered is refused, from about here.
const LONG: usize = 2_048;

/// Entries of the recent part.
const RECENT: usize = 128;

/// Shorter lists make room entry by entry, from their end, where most of what enters belongs: a search for
/// the place and a `memmove` cost more there.
const SHIFTED: usize = 64;

/// Up to so many in all, what is kept and not expanded is in the list.
const SHORT: usize = 64;

/// How many more than the part without order keeps there may be in it until it is sifted.
const SIFTED: usize = 256;

/// How many of it the list takes in at a time, where all of the list is expanded and too few are held.
const TAKEN: usize = 64;

/// When a search is over before every entry of its list is expanded: once the closest of them that
/// is left lies farther than `slack` times the `k`th closest. Such entries do not enter the list
/// either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// Results asked for.
    pub k: usize,
    /// At least 1; infinite: never.
    pub slack: f32,
}

impl Stop {
    /// The list decides alone.
    pub const NEVER: Self = Self { k: 1, slack: f32::INFINITY };

    /// The greatest key that is not too far, by that of the `k`th closest.
    #[inline(always)]
    pub(super) fn farthest(self, kth: u64) -> u64 {
        key(neighbor(kth).distance * self.slack, NodeId(u32::MAX >> 1))
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::NEVER
    }
}

const EXPANDED: u64 = 1;

/// Maps f32 to u32 so that integer order is [`f32::total_cmp`] order.
#[inline(always)]
fn sortable(distance: f32) -> u32 {
    let bits = distance.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

#[inline(always)]
fn unsortable(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits ^ 0x8000_0000 } else { !bits })
}

#[inline(always)]
fn key(distance: f32, node: NodeId) -> u64 {
    u64::from(sortable(distance)) << 32 | u64::from(node.0) << 1
}

#[inline(always)]
fn neighbor(key: u64) -> Neighbor {
    Neighbor { distance: unsortable((key >> 32) as u32), node: NodeId(key as u32 >> 1) }
}

/// Ascending keys.
#[derive(Debug, Default)]
struct List {
    keys: Vec<u64>,
    /// Every entry before this one is expanded.
    cursor: usize,
}

impl List {
    fn reset(&mut self, capacity: usize) {
        self.keys.clear();
        self.keys.reserve(capacity + 1);
        self.cursor = 0;
    }

    #[inline(always)]
    fn insert(&mut self, key: u64) {
        let at = if self.keys.len() < SHIFTED {
            let mut at = self.keys.len();
            self.keys.push(key);
            while at > 0 && self.keys[at - 1] > key {
                self.keys[at] = self.keys[at - 1];
                at -= 1;
            }
            self.keys[at] = key;
            at
        } else {
            let at = self.keys.partition_point(|other| *other < key);
            self.keys.insert(at, key);
            at
        };
        self.cursor = self.cursor.min(at);
    }

    /// Moves the cursor to the first entry that is not expanded; its key.
    #[inline(always)]
    fn first_unexpanded(&mut self) -> Option<u64> {
        while let Some(key) = self.keys.get(self.cursor) {
            if key & EXPANDED == 0 {
                return Some(*key);
            }
            self.cursor += 1;
        }
        None
    }

    /// What [`List::first_unexpanded`] gives, with the cursor where it is.
    #[inline(always)]
    fn peek(&self) -> Option<u64> {
        let rest = self.keys[self.cursor.min(self.keys.len())..].iter();
        rest.copied().find(|key| key & EXPANDED == 0)
    }

    /// Marks the entry at the cursor.
    #[inline(always)]
    fn expand(&mut self) {
        self.keys[self.cursor] |= EXPANDED;
        self.cursor += 1;
    }

    /// Takes in the entries of `other`, keeps the `capacity` least and gives the others to `dropped`.
    fn merge(&mut self, other: &mut Self, capacity: usize, mut dropped: impl FnMut(u64)) {
        let (mut old, mut new) = (self.keys.len(), other.keys.len());
        while old + new > capacity {
            if old == 0 || (new > 0 && other.keys[new - 1] > self.keys[old - 1]) {
                new -= 1;
                dropped(other.keys[new]);
            } else {
                old -= 1;
                dropped(self.keys[old]);
            }
        }
        self.keys.resize(old + new, 0);
        // From the end: what lies behind a new entry moves by as many places as there are new
        // entries before it.
        while new > 0 {
            let key = other.keys[new - 1];
            let at = self.keys[..old].partition_point(|other| *other < key);
            self.keys.copy_within(at..old, at + new);
            self.keys[at + new - 1] = key;
            (old, new) = (at, new - 1);
            self.cursor = self.cursor.min(at);
        }
        other.reset(0);
    }
}

impl Pool {
    /// Empties the pool and lets it hold `capacity` entries.
    pub fn reset(&mut self, capacity: usize, stop: Stop) {
        self.list.reset(capacity);
        self.recent.reset(if capacity > LONG { RECENT } else { 0 });
        self.rest.clear();
        (self.capacity, self.expandable, self.long) = (capacity, usize::MAX, false);
        (self.keep, self.far) = (capacity, 0);
        self.limit = u64::MAX;
        self.stop = stop;
    }

    /// Lets it hold `keep` entries, more than its capacity, once it is reset. Only as many of the closest as
    /// its capacity was are expanded, and others until `keep` are held: the search is over when they are, and
    /// what else is held was met on the way. A stop is heeded where its `k` is not over that capacity.
    pub fn keep(&mut self, keep: usize) {
        self.keep = keep;
        if keep <= SHORT {
            self.list.reset(keep);
            (self.expandable, self.capacity) = (self.capacity, keep);
        } else {
            self.rest.reserve(2 * keep + SIFTED);
            self.far = u64::MAX;
        }
    }

    /// Offers nodes that the pool has not been offered before.
    #[inline(always)]
    pub fn insert(&mut self, nodes: &[NodeId], distances: &[f32]) {
        let keys = nodes.iter().zip(distances).map(|(node, distance)| key(*distance, *node));
        self.long |= self.list.keys.len() > LONG;
        if self.long {
            return self.insert_long(keys);
        }
        for key in keys {
            let list = &mut self.list;
            if key >= self.limit {
                if key < self.far {
                    self.rest.push(key);
                }
                continue;
            }
            if list.keys.len() == self.capacity
                && let Some(last) = list.keys.pop()
                && self.far > 0
            {
                self.rest.push(last);
            }
            list.insert(key);
            if list.keys.len() == self.capacity {
                self.limit = self.limit.min(list.keys[self.capacity - 1]);
            }
        }
        if self.stop.slack < f32::INFINITY
            && let Some(kth) = self.list.keys.get(self.stop.k - 1)
        {
            self.stop_after(*kth);
        }
        self.sift_when_full();
    }

    /// [`Pool::insert`] into a list of two parts.
    fn insert_long(&mut self, keys: impl Iterator<Item = u64>) {
        for key in keys {
            if key < self.limit {
                if self.recent.keys.len() == RECENT {
                    self.merge();
                }
                self.recent.insert(key);
            } else if key < self.far {
                self.rest.push(key);
            }
        }
        let listed = self.listed();
        if listed >= self.capacity {
            self.limit = self.limit.min(self.ranked(self.capacity));
        }
        if self.stop.slack < f32::INFINITY && listed >= self.stop.k {
            self.stop_after(self.ranked(self.stop.k));
        }
        self.sift_when_full();
    }

    /// Takes the recent part into the list.
    fn merge(&mut self) {
        let Self { list, recent, rest, far, capacity, .. } = self;
        let drop = |key| {
            if *far > 0 {
                rest.push(key);
            }
        };
        list.merge(recent, *capacity, drop);
    }

    /// Lets nothing in that lies too far behind the `k`th closest.
    #[inline(always)]
    fn stop_after(&mut self, kth: u64) {
        let farthest = self.stop.farthest(kth);
        self.limit = self.limit.min(farthest);
        self.far = self.far.min(farthest);
    }

    /// Leaves in `rest` what may be among those that are kept, once it has grown.
    #[inline(always)]
    fn sift_when_full(&mut self) {
        if self.rest.len() >= 2 * (self.keep - self.capacity) + SIFTED {
            self.sift();
        }
    }

    fn sift(&mut self) {
        // A list of two parts can hold more than its capacity, and those are to be sifted, too.
        if self.long {
            self.merge();
        }
        let kept = self.keep - self.list.keys.len();
        if kept < self.rest.len() {
            let (_, last, _) = self.rest.select_nth_unstable(kept - 1);
            self.far = self.far.min(*last);
            self.rest.truncate(kept);
        }
    }

    /// The key of a rank, the least having rank 1, over both parts; they have as many.
    fn ranked(&self, rank: usize) -> u64 {
        let (old, new) = (&self.list.keys, &self.recent.keys);
        // How many of that many are new.
        let (mut low, mut high) = (rank.saturating_sub(old.len()), rank.min(new.len()));
        while low < high {
            let middle = usize::midpoint(low, high);
            if new[middle] < old[rank - middle - 1] {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let last = |list: &[u64], count: usize| count.checked_sub(1).map(|at| list[at]);
        last(new, low).max(last(old, rank - low)).unwrap_or(u64::MAX)
    }

    /// How many the list holds, over both parts.
    #[inline(always)]
    fn listed(&self) -> usize {
        self.list.keys.len() + self.recent.keys.len()
    }

    /// How many are held in all.
    #[inline(always)]
    fn held(&self) -> usize {
        self.listed() + self.rest.len()
    }

    /// How many can be held.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many keys are at or below this one.
    #[inline(always)]
    pub(super) fn rank(&self, key: u64) -> usize {
        // An entry that is expanded is no other key.
        let within =
            |list: &List| list.keys.partition_point(|other| *other | EXPANDED <= key | EXPANDED);
        within(&self.list) + within(&self.recent)
    }

    /// The key that as many as `rank` are at or below; none where fewer are held.
    #[inline(always)]
    pub(super) fn key_at(&self, rank: usize) -> Option<u64> {
        match rank <= self.listed() {
            true if self.long => Some(self.ranked(rank)),
            true => self.list.keys.get(rank - 1).copied(),
            false => None,
        }
    }

    /// Lets go of what another pool has found to be too far.
    #[inline(always)]
    pub(super) fn lower_limit(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    /// The closest node whose neighbors have not been read, marked as read.
    #[inline(always)]
    pub fn expand_next(&mut self) -> Option<NodeId> {
        loop {
            let recent = self.recent.first_unexpanded().unwrap_or(u64::MAX);
            let key = self.list.first_unexpanded().unwrap_or(u64::MAX).min(recent);
            if key <= self.limit && key != u64::MAX && !self.is_beyond(key) {
                if key == recent {
                    self.recent.expand()
                } else {
                    self.list.expand()
                }
                return Some(neighbor(key).node);
            }
            if self.far == 0 || !self.grow() {
                return None;
            }
        }
    }

    /// Whether the first key that is not expanded is none of the closest that may be.
    #[inline(always)]
    fn is_beyond(&self, key: u64) -> bool {
        // Most searches have no such bound, and a rank in two lists takes two searches.
        if self.expandable == usize::MAX || self.held() < self.keep {
            return false;
        }
        // In one list, all before it are expanded.
        let rank = if self.long { self.rank(key) } else { self.list.cursor + 1 };
        rank > self.expandable
    }

    /// While fewer are held than can be: the list takes in the closest of what is kept without order, to be
    /// expanded until as many are held. Whether it did.
    #[cold]
    fn grow(&mut self) -> bool {
        let count = self.rest.len().min(TAKEN);
        if self.held() >= self.keep || count == 0 {
            return false;
        }
        if self.long {
            self.merge();
        }
        self.rest.select_nth_unstable(count - 1);
        let keys = &mut self.list.keys;
        keys.extend(self.rest.drain(..count));
        // A stop can have turned away from the list what is closer than its end.
        keys.sort_unstable();
        self.list.cursor = 0;
        self.expandable = self.expandable.min(self.capacity);
        self.capacity = self.capacity.max(keys.len());
        let full = keys.len() == self.capacity;
        self.limit = self.far.min(if full { keys[keys.len() - 1] } else { u64::MAX });
        true
    }

    /// Nodes that [`Pool::expand_next`] gives soon if nothing closer is inserted.
    #[inline(always)]
    pub fn upcoming(&self) -> impl Iterator<Item = NodeId> + '_ {
        let first = [self.list.peek(), self.recent.peek()];
        first.into_iter().flatten().map(|key| neighbor(key).node)
    }

    /// Ends the search: no more than can be is held, and all in `list` and `rest`.
    pub fn settle(&mut self) {
        self.sift();
    }

    /// What is held once it is settled: what can be expanded, closest first, and then in no order what else
    /// [`Pool::keep`] has kept.
    pub fn iter(&self) -> impl Iterator<Item = Neighbor> + '_ {
        debug_assert!(self.recent.keys.is_empty(), "a search ends with settle");
        self.list.keys.iter().chain(&self.rest).map(|key| neighbor(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_survive_the_key() {
        for distance in [0.0, -0.0, 1.5, -1.5, f32::MAX, f32::MIN, 1e-40, -1e-40] {
            for node in [0, 1, (1 << 31) - 1] {
                let back = neighbor(key(distance, NodeId(node)) | EXPANDED);
                assert_eq!(back.distance.to_bits(), distance.to_bits());
                assert_eq!(back.node, NodeId(node));
            }
        }
    }

    #[test]
    fn keeps_the_closest_in_order_and_expands_each_once() {
        let mut pool = Pool::default();
        pool.reset(3, Stop::NEVER);
        for (node, distance) in [4.0, -1.0, 2.0, 2.0, -3.0].into_iter().enumerate() {
            pool.insert(&[NodeId(node as u32)], &[distance]);
        }
        let held: Vec<(f32, u32)> = pool.iter().map(|n| (n.distance, n.node.0)).collect();
        assert_eq!(held, [(-3.0, 4), (-1.0, 1), (2.0, 2)]);
        assert_eq!(pool.expand_next(), Some(NodeId(4)));
        pool.insert(&[NodeId(9)], &[-4.0]);
        let expanded: Vec<u32> = std::iter::from_fn(|| pool.expand_next()).map(|n| n.0).collect();
        assert_eq!(expanded, [9, 1]);
    }

    /// One sorted list, as simply as can be.
    #[derive(Default)]
    struct Plain(Vec<(u64, bool)>);

    impl Plain {
        fn limit(&self, capacity: usize, stop: Stop) -> u64 {
            let last = self.0.get(capacity - 1).map_or(u64::MAX, |(key, _)| *key);
            let kth = self.0.get(stop.k - 1).filter(|_| stop.slack < f32::INFINITY);
            last.min(kth.map_or(u64::MAX, |(kth, _)| stop.farthest(*kth)))
        }

        fn expand_next(&mut self, limit: u64, within: usize) -> Option<NodeId> {
            let first = self.0.iter_mut().take(within).find(|(_, expanded)| !expanded);
            let (key, expanded) = first?;
            (*key <= limit).then(|| {
                *expanded = true;
                neighbor(*key).node
            })
        }
    }

    proptest::proptest! {
        #[test]
        fn lists_are_what_one_sorted_list_would_be(
            seed: u64, short: bool, keep in LONG / 2..2 * LONG, within in 1..6000_usize,
            k in 1..800_usize, slack in 1.0..4.0_f32,
        ) {
            let (keep, within) = if short { (keep / 30, within / 60 + 1) } else { (keep, within) };
            let slack = if slack > 3.0 { f32::INFINITY } else { slack };
            let stop = Stop { k: k.min(within).min(keep), slack };
            let (mut pool, mut plain) = (Pool::default(), Plain::default());
            pool.reset(within.min(keep), stop);
            if within < keep {
                pool.keep(keep);
            }
            let (mut limit, mut state, mut node) = (u64::MAX, seed, 0);
            // Distances that shrink as the search goes on, as those of searches do.
            for step in 0..1000_u32 {
                let batch = (0..step % 40).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1 << 40 | 1);
                    node += 1;
                    (NodeId(node), 0.5 + (state >> 54) as f32 / (10 + step) as f32)
                });
                let (nodes, distances): (Vec<_>, Vec<_>) = batch.unzip();
                pool.insert(&nodes, &distances);
                let keys = nodes.iter().zip(&distances).map(|(node, distance)| key(*distance, *node));
                plain.0.extend(keys.filter(|key| *key < limit).map(|key| (key, false)));
                plain.0.sort_unstable();
                plain.0.truncate(keep);
                limit = limit.min(plain.limit(keep, stop));
                let within = if plain.0.len() < keep { usize::MAX } else { within };
                let upcoming: Vec<NodeId> = pool.upcoming().collect();
                let expanded = pool.expand_next();
                proptest::prop_assert_eq!(expanded, plain.expand_next(limit, within));
                // Nothing is known to be next where the list is expanded and too little is held.
                let known = |node| upcoming.is_empty() || upcoming.contains(&node);
                proptest::prop_assert!(expanded.is_none_or(known));
            }
            pool.settle();
            let mut held: Vec<Neighbor> = pool.iter().collect();
            held.sort_unstable();
            let held: Vec<NodeId> = held.into_iter().map(|neighbor| neighbor.node).collect();
            let kept: Vec<NodeId> = plain.0.iter().map(|(key, _)| neighbor(*key).node).collect();
            proptest::prop_assert_eq!(held, kept);
        }
    }
}
