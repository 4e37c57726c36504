//! The nodes of a column in the order of their values.

use std::ops::Range;

use crate::filters::columns::{ColumnDamage, ColumnView};
use crate::format::roaring::words;
use crate::types::NodeId;

/// Rows, values, steps.
const HEADER_BYTES: usize = 24;

/// Steps between which ranks are cut: so many minus one have bits.
const STEPS: usize = 16;

/// With fewer values a range is read off the permutation in less time than bits would save.
const STEPS_FROM: usize = 1 << 14;

/// With fewer values in so many rows the bits would be longer than what they stand for.
const ROWS_PER_VALUE: usize = 32;

/// Where things are in a sorted section that was validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortedLayout {
    rows: usize,
    values: usize,
    stepped: bool,
}

/// The nodes that have a value, by value and then by node, and bits of those below some ranks.
#[derive(Clone, Copy, Debug)]
pub struct Sorted<'a> {
    layout: SortedLayout,
    bytes: &'a [u8],
}

impl<'a> Sorted<'a> {
    /// What was validated, again.
    pub(super) fn view(layout: SortedLayout, bytes: &'a [u8]) -> Self {
        Self { layout, bytes }
    }

    /// Validates the bytes of a sorted section over `column`. Cost: a look at each value in random
    /// order, and a pass over the bits.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn parse(bytes: &'a [u8], column: &ColumnView<'_>) -> Result<Self, ColumnDamage> {
        let Some(&header) = bytes.as_chunks().0.first_chunk::<3>() else {
            let expected = format!("at least {HEADER_BYTES} bytes");
            return Err(ColumnDamage::new(0, expected, bytes.len()));
        };
        let [rows, values, steps] = header.map(u64::from_le_bytes);
        let have = column.rows() - column.null_count();
        if rows != column.rows() {
            return Err(ColumnDamage::new(0, format!("{} rows", column.rows()), rows));
        }
        if values != have {
            return Err(ColumnDamage::new(8, format!("{have} values"), values));
        }
        if steps != 0 && steps != STEPS as u64 - 1 {
            return Err(ColumnDamage::new(16, format!("0 or {} steps", STEPS - 1), steps));
        }
        let (rows, values) = (rows as usize, values as usize);
        let layout = SortedLayout { rows, values, stepped: steps > 0 };
        let places =
            (layout.bits_start() as u128) + u128::from(steps) * (layout.bits_bytes() as u128);
        if bytes.len() as u128 != places {
            let expected = format!("{places} bytes for {values} values of {rows} rows");
            return Err(ColumnDamage::new(0, expected, bytes.len()));
        }
        let nodes_end = HEADER_BYTES + values * 4;
        if bytes[nodes_end..layout.bits_start()].iter().any(|byte| *byte != 0) {
            return Err(ColumnDamage::new(nodes_end, "zero bytes", "others"));
        }
        let sorted = Self { layout, bytes };
        sorted.check(column)?;
        Ok(sorted)
    }

    /// Follows the permutation: nodes are within the rows and come once, values ascend, and the bits
    /// are those of the nodes passed.
    fn check(&self, column: &ColumnView<'_>) -> Result<(), ColumnDamage> {
        let SortedLayout { rows, values, .. } = self.layout;
        let mut seen = vec![0_u64; rows.div_ceil(64)];
        let mut before = None;
        for step in 0..STEPS {
            let ranks = self.step_rank(step)..self.step_rank(step + 1);
            for (rank, node) in ranks.clone().zip(self.nodes(ranks)) {
                let wrong = |expected: String| {
                    Err(ColumnDamage::new(HEADER_BYTES + rank * 4, expected, node.0))
                };
                let Some(key) = column.order_key(node) else {
                    return wrong(format!("a node below {rows} that has a value"));
                };
                let (word, bit) = (&mut seen[node.index() / 64], 1 << (node.index() % 64));
                if *word & bit != 0 || before >= Some((key, node)) {
                    return wrong(format!("{values} nodes, once each, by value and node"));
                }
                *word |= bit;
                before = Some((key, node));
            }
            if let Some(bits) = self.step_bits(step + 1)
                && let Some(at) = words(bits).zip(&seen).position(|(word, seen)| word != *seen)
            {
                let start = self.layout.bits_start() + step * self.layout.bits_bytes();
                let expected = format!("{:016x}", seen[at]);
                let found = words(bits).nth(at).unwrap_or_default();
                return Err(ColumnDamage::new(start + at * 8, expected, format!("{found:016x}")));
            }
        }
        Ok(())
    }

    /// What to keep in order to skip validation next time.
    pub(super) fn layout(&self) -> SortedLayout {
        self.layout
    }

    /// The nodes at some ranks.
    pub fn nodes(&self, ranks: Range<usize>) -> impl Iterator<Item = NodeId> + use<'a> {
        let (from, to) = (HEADER_BYTES + ranks.start * 4, HEADER_BYTES + ranks.end * 4);
        let nodes = self.bytes.get(from..to).unwrap_or_default();
        nodes.as_chunks().0.iter().map(|node| NodeId(u32::from_le_bytes(*node)))
    }

    /// The ranks of the values from `low` to `high`, which are [`ColumnView::order_key`]s of the
    /// same column. Cost: two binary searches.
    pub fn ranks(&self, column: &ColumnView<'_>, low: u64, high: u64) -> Range<usize> {
        let start = self.first_rank(column, |key| key >= low);
        let end = self.first_rank(column, |key| key > high);
        start..end.max(start)
    }

    /// The first rank from which on keys are `there`.
    fn first_rank(&self, column: &ColumnView<'_>, there: impl Fn(u64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.layout.values);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = self.nodes(middle..middle + 1).next().and_then(|node| column.order_key(node));
            if key.is_some_and(&there) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// Whether ranks are so many that [`Sorted::add`] starts from bits.
    pub fn is_long(&self, ranks: &Range<usize>) -> bool {
        self.layout.stepped && ranks.len() > self.layout.values / STEPS
    }

    /// Adds the nodes at some ranks to `bits`, which has a bit for each row. Cost: a pass over the
    /// bits and at most a 16th of the values if they are long, else one step a node.
    ///
    /// `present` are the nodes that have a value, in whole words, all if none are given.
    pub fn add(&self, ranks: Range<usize>, present: Option<&[u8]>, bits: &mut [u64]) {
        if !self.is_long(&ranks) {
            set(bits, self.nodes(ranks));
            return;
        }
        // Where other nodes are in already, corrections would take some of them out.
        if bits.iter().any(|word| *word != 0) {
            let mut alone = vec![0; bits.len()];
            self.add(ranks, present, &mut alone);
            bits.iter_mut().zip(alone).for_each(|(word, more)| *word |= more);
            return;
        }
        let (low, high) = (self.nearest_step(ranks.start), self.nearest_step(ranks.end));
        match (high == STEPS, present, self.step_bits(high)) {
            (true, None, _) => fill(bits, self.layout.rows),
            (true, Some(stored), _) | (false, _, Some(stored)) => {
                bits.iter_mut().zip(words(stored)).for_each(|(word, stored)| *word = stored);
            }
            (false, _, None) => {}
        }
        if let Some(below) = self.step_bits(low) {
            bits.iter_mut().zip(words(below)).for_each(|(word, below)| *word &= !below);
        }
        let [low, high] = [low, high].map(|step| self.step_rank(step));
        set(bits, self.nodes(ranks.start..low.max(ranks.start)));
        clear(bits, self.nodes(low..ranks.start.max(low)));
        set(bits, self.nodes(high..ranks.end.max(high)));
        clear(bits, self.nodes(ranks.end..high.max(ranks.end)));
    }

    /// The rank at which a step ends.
    fn step_rank(&self, step: usize) -> usize {
        (self.layout.values as u128 * step as u128 / STEPS as u128) as usize
    }

    fn nearest_step(&self, rank: usize) -> usize {
        let values = self.layout.values.max(1) as u128;
        ((rank as u128 * STEPS as u128 * 2 + values) / (values * 2)) as usize
    }

    /// The nodes below the rank of a step, if they have bits.
    fn step_bits(&self, step: usize) -> Option<&'a [u8]> {
        if !self.layout.stepped || !(1..STEPS).contains(&step) {
            return None;
        }
        let start = self.layout.bits_start() + (step - 1) * self.layout.bits_bytes();
        self.bytes.get(start..start + self.layout.bits_bytes())
    }
}

impl SortedLayout {
    fn bits_start(&self) -> usize {
        (HEADER_BYTES + self.values * 4).next_multiple_of(8)
    }

    fn bits_bytes(&self) -> usize {
        self.rows.div_ceil(64) * 8
    }
}

fn set(bits: &mut [u64], nodes: impl Iterator<Item = NodeId>) {
    for node in nodes {
        if let Some(word) = bits.get_mut(node.index() / 64) {
            *word |= 1 << (node.index() % 64);
        }
    }
}

fn clear(bits: &mut [u64], nodes: impl Iterator<Item = NodeId>) {
    for node in nodes {
        if let Some(word) = bits.get_mut(node.index() / 64) {
            *word &= !(1 << (node.index() % 64));
        }
    }
}

/// Sets the first `rows` bits.
fn fill(bits: &mut [u64], rows: usize) {
    bits.fill(u64::MAX);
    if let Some(last) = bits.last_mut().filter(|_| !rows.is_multiple_of(64)) {
        *last = (1 << (rows % 64)) - 1;
    }
}

/// Memory that [`build`] takes beside what it makes: a key and a node for each value, and a bit a row.
pub(super) fn working_bytes(column: &ColumnView<'_>) -> u64 {
    16 * column.entries() + column.rows() / 8
}

/// The bytes of the sorted section of a column.
pub(super) fn build(column: &ColumnView<'_>) -> Vec<u8> {
    let rows = column.rows() as usize;
    let nodes = (0..rows as u32).map(NodeId);
    let mut order: Vec<(u64, NodeId)> =
        nodes.filter_map(|node| Some((column.order_key(node)?, node))).collect();
    order.sort_unstable();
    let stepped = order.len() >= STEPS_FROM && order.len() >= rows / ROWS_PER_VALUE;
    let layout = SortedLayout { rows, values: order.len(), stepped };
    let steps = if stepped { STEPS - 1 } else { 0 };
    let mut bytes = Vec::with_capacity(layout.bits_start() + steps * layout.bits_bytes());
    for count in [rows, order.len(), steps] {
        bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }
    order.iter().for_each(|(_, node)| bytes.extend_from_slice(&node.0.to_le_bytes()));
    bytes.resize(layout.bits_start(), 0);
    let mut seen = vec![0_u64; if stepped { rows.div_ceil(64) } else { 0 }];
    let step_rank = |step: usize| (order.len() as u128 * step as u128 / STEPS as u128) as usize;
    for step in 0..steps {
        let passed = &order[step_rank(step)..step_rank(step + 1)];
        set(&mut seen, passed.iter().map(|(_, node)| *node));
        seen.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    }
    bytes
}
