//! A set of nodes in the roaring portable layout, read where it lies.
//!
//! <https://github.com/RoaringBitmap/RoaringFormatSpec>. The `roaring` crate reads such a set by
//! copying it; this view reads it from mapped bytes, in chunks of 65,536 nodes, which is how the
//! layout divides them. The crate writes the sets, and is what tests hold this against.
//!
//! [`Roaring::check`] looks at everything once. Reading is in bounds whatever the bytes are: of a
//! set that was not checked, or that changed since, what is read makes no sense, and nothing else
//! happens.

/// Nodes in a chunk.
pub const CHUNK_NODES: usize = 1 << 16;

/// Words in a chunk.
pub const CHUNK_WORDS: usize = CHUNK_NODES / 64;

/// The bits of a chunk: bit `i % 64` of word `i / 64`.
pub type Chunk = [u64; CHUNK_WORDS];

/// Starts a set without runs.
const COOKIE_PLAIN: u32 = 12346;
/// Starts a set with runs, in its low half.
const COOKIE_RUNS: u32 = 12347;
/// From this many containers on, a set with runs says where each one is.
const OFFSETS_FROM: usize = 4;
/// A container with more values is a bitmap.
const ARRAY_MAX: u32 = 4096;
const BITMAP_BYTES: usize = CHUNK_WORDS * 8;
/// Key and cardinality of a container.
const HEAD_BYTES: usize = 4;

/// What is wrong with a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoaringDamage {
    /// Byte offset within the set.
    pub offset: usize,
    /// What the layout requires there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl RoaringDamage {
    fn new(offset: usize, expected: impl Into<String>, found: impl ToString) -> Self {
        Self { offset, expected: expected.into(), found: found.to_string() }
    }
}

/// A set of nodes.
#[derive(Clone, Copy, Debug)]
pub struct Roaring<'a> {
    bytes: &'a [u8],
    containers: usize,
    /// One bit a container, set where it holds runs; empty where none does.
    runs: &'a [u8],
    /// Where keys and cardinalities start.
    heads: usize,
    /// Where offsets of containers start, if they are there.
    offsets: Option<usize>,
}

/// The nodes of a set within one chunk.
#[derive(Clone, Copy, Debug)]
pub enum Container<'a> {
    /// Each node as u16, ascending.
    Array(&'a [u8]),
    /// A bit for each node.
    Bitmap(&'a [u8]),
    /// Pairs of u16: the first node of a run, and how many follow it.
    Runs(&'a [u8]),
}

impl<'a> Roaring<'a> {
    /// The set that `bytes` starts with. Looks at the first few bytes.
    ///
    /// # Errors
    /// Something else than the start of a set.
    pub fn view(bytes: &'a [u8]) -> Result<Self, RoaringDamage> {
        let word = |at: usize| bytes.get(at..at + 4).map_or(0, read_u32);
        let cookie = word(0);
        let (containers, runs, offsets) = match cookie {
            COOKIE_PLAIN => (word(4) as usize, 0, true),
            _ if cookie & 0xffff == COOKIE_RUNS => {
                let containers = (cookie >> 16) as usize + 1;
                (containers, containers.div_ceil(8), containers >= OFFSETS_FROM)
            }
            _ => return Err(RoaringDamage::new(0, "12346, or 12347 in the low half", cookie)),
        };
        if containers > CHUNK_NODES {
            return Err(RoaringDamage::new(4, "at most 65536 containers", containers));
        }
        let heads = if runs == 0 { 8 } else { 4 + runs };
        let heads_end = heads + containers * HEAD_BYTES;
        let end = heads_end + if offsets { containers * 4 } else { 0 };
        if end > bytes.len() {
            let expected = format!("{end} bytes for {containers} containers");
            return Err(RoaringDamage::new(0, expected, bytes.len()));
        }
        let runs = &bytes[4..4 + runs];
        Ok(Self { bytes, containers, runs, heads, offsets: offsets.then_some(heads_end) })
    }

    /// Looks at everything: keys and nodes ascend, all are below `n`, cardinalities are right,
    /// containers follow each other without gaps up to the end of the bytes. Gives the number of
    /// nodes.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn check(&self, n: u64) -> Result<u64, RoaringDamage> {
        let mut next = self.heads + self.containers * (HEAD_BYTES + 4);
        if self.offsets.is_none() {
            next -= self.containers * 4;
        }
        let (mut count, mut before) = (0, None);
        if let Some(last) = self.runs.last().filter(|_| !self.containers.is_multiple_of(8))
            && last >> (self.containers % 8) != 0
        {
            let found = format!("{last:08b}");
            return Err(RoaringDamage::new(self.heads - 1, "one bit for each container", found));
        }
        for at in 0..self.containers {
            let (key, cardinality) = self.head(at);
            let head_at = self.heads + at * HEAD_BYTES;
            if before >= Some(key) {
                return Err(RoaringDamage::new(head_at, "keys that ascend", key));
            }
            before = Some(key);
            if let Some(offsets) = self.offsets {
                let stated = self.bytes.get(offsets + at * 4..).map_or(0, read_u32) as usize;
                if stated != next {
                    let expected = format!("offset {next}");
                    return Err(RoaringDamage::new(offsets + at * 4, expected, stated));
                }
            }
            let Some((container, end)) = self.container_from(at, next) else {
                let found = self.bytes.len() - next.min(self.bytes.len());
                return Err(RoaringDamage::new(next, "a whole container", found));
            };
            let (nodes, last) = container
                .check()
                .map_err(|damage| RoaringDamage { offset: damage.offset + next, ..damage })?;
            if nodes != cardinality {
                let expected = format!("cardinality {nodes}");
                return Err(RoaringDamage::new(head_at + 2, expected, cardinality));
            }
            let last = u64::from(key) * CHUNK_NODES as u64 + u64::from(last);
            if last >= n {
                return Err(RoaringDamage::new(next, format!("nodes below {n}"), last));
            }
            count += u64::from(nodes);
            next = end;
        }
        if next != self.bytes.len() {
            let expected = format!("the end of the set at {next}");
            return Err(RoaringDamage::new(next, expected, self.bytes.len()));
        }
        Ok(count)
    }

    /// How many nodes there are, as the heads of the containers say.
    pub fn len(&self) -> u64 {
        (0..self.containers).map(|at| u64::from(self.head(at).1)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.containers == 0
    }

    /// A reader that goes through the chunks in order.
    pub fn chunks(self) -> RoaringChunks<'a> {
        RoaringChunks { set: self, at: 0 }
    }

    /// Key and cardinality of a container.
    fn head(&self, at: usize) -> (u16, u32) {
        let head = self.bytes.get(self.heads + at * HEAD_BYTES..).map_or(0, read_u32);
        ((head & 0xffff) as u16, (head >> 16) + 1)
    }

    fn container(&self, at: usize) -> Option<Container<'a>> {
        let Some(offsets) = self.offsets else {
            // There are at most three: the lengths of those before it add up.
            let mut start = self.heads + self.containers * HEAD_BYTES;
            for before in 0..at {
                start = self.container_from(before, start)?.1;
            }
            return Some(self.container_from(at, start)?.0);
        };
        let start = self.bytes.get(offsets + at * 4..).map_or(0, read_u32) as usize;
        Some(self.container_from(at, start)?.0)
    }

    /// Container `at`, which starts at `start`, and where it ends.
    fn container_from(&self, at: usize, start: usize) -> Option<(Container<'a>, usize)> {
        let (_, cardinality) = self.head(at);
        let is_runs = self.runs.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1);
        let (from, length) = if is_runs {
            let count = self.bytes.get(start..start.checked_add(2)?)?;
            (start + 2, usize::from(u16::from_le_bytes([count[0], count[1]])) * 4)
        } else if cardinality <= ARRAY_MAX {
            (start, cardinality as usize * 2)
        } else {
            (start, BITMAP_BYTES)
        };
        let end = from.checked_add(length)?;
        let bytes = self.bytes.get(from..end)?;
        let container = if is_runs {
            Container::Runs(bytes)
        } else if cardinality <= ARRAY_MAX {
            Container::Array(bytes)
        } else {
            Container::Bitmap(bytes)
        };
        Some((container, end))
    }
}

/// Goes through the chunks of a set in order.
#[derive(Clone, Debug)]
pub struct RoaringChunks<'a> {
    set: Roaring<'a>,
    at: usize,
}

impl<'a> RoaringChunks<'a> {
    /// What the set has in chunk `chunk`, which is not below the one asked for before.
    pub fn seek(&mut self, chunk: usize) -> Option<Container<'a>> {
        while self.at < self.set.containers && usize::from(self.set.head(self.at).0) < chunk {
            self.at += 1;
        }
        let here = self.at < self.set.containers && usize::from(self.set.head(self.at).0) == chunk;
        if here { self.set.container(self.at) } else { None }
    }
}

impl Container<'_> {
    /// Number of nodes, and the last one.
    fn check(&self) -> Result<(u32, u16), RoaringDamage> {
        match self {
            Self::Array(bytes) => {
                let mut before = None;
                for (at, node) in values(bytes).enumerate() {
                    if before >= Some(node) {
                        return Err(RoaringDamage::new(at * 2, "nodes that ascend", node));
                    }
                    before = Some(node);
                }
                let last = before.ok_or_else(|| RoaringDamage::new(0, "a node", "none"))?;
                Ok((bytes.len() as u32 / 2, last))
            }
            Self::Bitmap(bytes) => {
                let count: u32 = words(bytes).map(u64::count_ones).sum();
                let used = words(bytes).enumerate().filter(|(_, word)| *word != 0).last();
                let (at, word) = used.ok_or_else(|| RoaringDamage::new(0, "a node", "none"))?;
                Ok((count, (at * 64 + 63 - word.leading_zeros() as usize) as u16))
            }
            Self::Runs(bytes) => {
                let (mut count, mut before) = (0, None);
                for (at, (first, more)) in pairs(bytes).enumerate() {
                    let Some(last) = first.checked_add(more).filter(|_| before < Some(first))
                    else {
                        let found = format!("{more} after {first}");
                        let expected = "runs that ascend and end within the chunk";
                        return Err(RoaringDamage::new(at * 4, expected, found));
                    };
                    count += u32::from(more) + 1;
                    before = Some(last);
                }
                let last = before.ok_or_else(|| RoaringDamage::new(0, "a run", "none"))?;
                Ok((count, last))
            }
        }
    }

    /// Makes `chunk` these nodes.
    pub fn set(&self, chunk: &mut Chunk) {
        if let Self::Bitmap(bytes) = self {
            chunk.iter_mut().zip(words(bytes)).for_each(|(word, new)| *word = new);
        } else {
            chunk.fill(0);
            self.unite(chunk);
        }
    }

    /// Adds these nodes to `chunk`.
    pub fn unite(&self, chunk: &mut Chunk) {
        match self {
            Self::Array(bytes) => values(bytes).for_each(|node| *word_of(chunk, node) |= bit(node)),
            Self::Bitmap(bytes) => {
                chunk.iter_mut().zip(words(bytes)).for_each(|(word, other)| *word |= other);
            }
            Self::Runs(bytes) => {
                for (first, more) in pairs(bytes) {
                    for_run(chunk, first, more, |word, mask| *word |= mask);
                }
            }
        }
    }

    /// Takes the other nodes out of `chunk`.
    pub fn intersect(&self, chunk: &mut Chunk) {
        match self {
            Self::Array(bytes) => {
                let mut kept = [0; CHUNK_WORDS];
                for node in values(bytes) {
                    *word_of(&mut kept, node) |= *word_of(chunk, node) & bit(node);
                }
                *chunk = kept;
            }
            Self::Bitmap(bytes) => {
                chunk.iter_mut().zip(words(bytes)).for_each(|(word, other)| *word &= other);
            }
            Self::Runs(bytes) => {
                // What lies between the runs goes.
                let mut from = 0;
                for (first, more) in pairs(bytes) {
                    if let Some(gap) = first.checked_sub(from).and_then(|gap| gap.checked_sub(1)) {
                        for_run(chunk, from, gap, |word, mask| *word &= !mask);
                    }
                    match first.saturating_add(more).checked_add(1) {
                        Some(next) => from = next,
                        None => return,
                    }
                }
                for_run(chunk, from, u16::MAX - from, |word, mask| *word &= !mask);
            }
        }
    }

    /// Takes these nodes out of `chunk`.
    pub fn subtract(&self, chunk: &mut Chunk) {
        match self {
            Self::Array(bytes) => {
                values(bytes).for_each(|node| *word_of(chunk, node) &= !bit(node));
            }
            Self::Bitmap(bytes) => {
                chunk.iter_mut().zip(words(bytes)).for_each(|(word, other)| *word &= !other);
            }
            Self::Runs(bytes) => {
                for (first, more) in pairs(bytes) {
                    for_run(chunk, first, more, |word, mask| *word &= !mask);
                }
            }
        }
    }
}

/// Little-endian words of a bitmap.
pub fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
}

fn values(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|value| u16::from_le_bytes(*value))
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = (u16, u16)> {
    let pair = |pair: &[u8; 4]| {
        (u16::from_le_bytes([pair[0], pair[1]]), u16::from_le_bytes([pair[2], pair[3]]))
    };
    bytes.as_chunks().0.iter().map(pair)
}

/// The u32 that bytes start with; 0 if they are too few.
fn read_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

#[inline]
fn word_of(chunk: &mut Chunk, node: u16) -> &mut u64 {
    &mut chunk[usize::from(node >> 6)]
}

#[inline]
fn bit(node: u16) -> u64 {
    1 << (node & 63)
}

/// Calls `change` with each word of the run and the bits of the run in it; a run that goes beyond
/// the chunk ends there.
fn for_run(chunk: &mut Chunk, first: u16, more: u16, change: impl Fn(&mut u64, u64)) {
    let last = first.saturating_add(more);
    let (from, to) = (usize::from(first >> 6), usize::from(last >> 6));
    let (head, tail) = (u64::MAX << (first & 63), u64::MAX >> (63 - (last & 63)));
    if from == to {
        change(&mut chunk[from], head & tail);
        return;
    }
    change(&mut chunk[from], head);
    chunk[from + 1..to].iter_mut().for_each(|word| change(word, u64::MAX));
    change(&mut chunk[to], tail);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roaring::RoaringBitmap;

    use super::*;

    const N: u32 = 5 * CHUNK_NODES as u32 + 77;

    /// Single nodes, runs, and dense stretches, so that there are containers of each kind.
    fn set() -> impl Strategy<Value = RoaringBitmap> {
        let single = prop::collection::vec(0..N, 0..300);
        let runs = prop::collection::vec((0..N, 0..90_000_u32), 0..3);
        let dense = prop::option::of((0..N, 2..7_u32, 5000..30_000_u32));
        (single, runs, dense, any::<bool>()).prop_map(|(single, runs, dense, optimize)| {
            let mut set: RoaringBitmap = single.into_iter().collect();
            for (first, length) in runs {
                set.insert_range(first..(first + length).min(N));
            }
            if let Some((first, step, count)) = dense {
                set.extend((0..count).map(|i| first + i * step).filter(|node| *node < N));
            }
            if optimize {
                set.optimize();
            }
            set
        })
    }

    fn bytes_of(set: &RoaringBitmap) -> Vec<u8> {
        let mut bytes = Vec::new();
        set.serialize_into(&mut bytes).unwrap();
        bytes
    }

    fn chunk_of(set: &RoaringBitmap, chunk: u32) -> Box<Chunk> {
        let mut words = Box::new([0; CHUNK_WORDS]);
        let first = chunk << 16;
        for node in set.range(first..=first + 0xffff) {
            words[(node - first) as usize / 64] |= 1 << (node % 64);
        }
        words
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn reads_what_the_crate_writes(set in set(), other in set()) {
            let bytes = bytes_of(&set);
            let view = Roaring::view(&bytes).unwrap();
            prop_assert_eq!(view.check(u64::from(N)), Ok(set.len()));
            prop_assert_eq!(view.len(), set.len());
            prop_assert_eq!(view.is_empty(), set.is_empty());
            if let Some(last) = set.max() {
                prop_assert!(view.check(u64::from(last)).is_err());
            }
            let mut chunks = view.chunks();
            for chunk in 0..=N >> 16 {
                let (here, mut words) = (chunk_of(&set, chunk), chunk_of(&other, chunk));
                let Some(container) = chunks.seek(chunk as usize) else {
                    prop_assert!(here.iter().all(|word| *word == 0));
                    continue;
                };
                let check = |change: &dyn Fn(&mut Chunk), what: &RoaringBitmap| {
                    let mut changed = chunk_of(&other, chunk);
                    change(&mut changed);
                    assert!(changed == chunk_of(what, chunk));
                };
                check(&|chunk| container.set(chunk), &set);
                check(&|chunk| container.unite(chunk), &(&other | &set));
                check(&|chunk| container.intersect(chunk), &(&other & &set));
                check(&|chunk| container.subtract(chunk), &(&other - &set));
                container.set(&mut words);
                prop_assert!(words == here);
            }
        }

        #[test]
        fn damage_never_panics(
            set in set(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..20),
            cut in any::<prop::sample::Index>(),
            start in any::<bool>(),
        ) {
            let mut bytes = bytes_of(&set);
            let reach = if start { bytes.len().min(64) } else { bytes.len() };
            for (at, mask) in flips {
                bytes[at.index(reach)] ^= mask;
                read_all(&bytes);
            }
            read_all(&bytes[..cut.index(bytes.len())]);
        }
    }

    fn read_all(bytes: &[u8]) {
        let Ok(view) = Roaring::view(bytes) else { return };
        let checked = view.check(u64::from(N));
        let mut seen = 0;
        let mut chunks = view.chunks();
        let mut words = [0; CHUNK_WORDS];
        for chunk in 0..=N as usize >> 16 {
            if let Some(container) = chunks.seek(chunk) {
                container.set(&mut words);
                seen += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
                container.unite(&mut words);
                container.intersect(&mut words);
                container.subtract(&mut words);
            }
        }
        if let Ok(count) = checked {
            assert_eq!(count, seen);
        }
    }
}
