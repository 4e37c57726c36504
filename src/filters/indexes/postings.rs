//! The nodes of each text of a dictionary.

use roaring::RoaringBitmap;

use crate::filters::columns::{ColumnDamage, ColumnView};
use crate::format::roaring::{CHUNK_WORDS, Roaring};
use crate::types::NodeId;

/// Rows and distinct texts.
const HEADER_BYTES: usize = 16;

/// Where things are in postings that were validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostingsLayout {
    codes: u64,
}

/// For each code of a column with a dictionary, the nodes that have it.
#[derive(Clone, Copy, Debug)]
pub struct Postings<'a> {
    codes: u64,
    bytes: &'a [u8],
}

impl<'a> Postings<'a> {
    /// The postings again that were validated.
    pub(super) fn view(layout: PostingsLayout, bytes: &'a [u8]) -> Self {
        Self { codes: layout.codes, bytes }
    }

    /// Validates the bytes of a postings section over `column`. Cost: one pass over them.
    ///
    /// # Errors
    /// The first thing that is not as the format says.
    pub fn parse(bytes: &'a [u8], column: &ColumnView<'_>) -> Result<Self, ColumnDamage> {
        let Some(&[rows, codes]) = bytes.as_chunks().0.first_chunk::<2>() else {
            let expected = format!("at least {HEADER_BYTES} bytes");
            return Err(ColumnDamage::new(0, expected, bytes.len()));
        };
        let [rows, codes] = [rows, codes].map(u64::from_le_bytes);
        if rows != column.rows() {
            return Err(ColumnDamage::new(0, format!("{} rows", column.rows()), rows));
        }
        if codes != column.distinct() {
            let expected = format!("{} distinct texts", column.distinct());
            return Err(ColumnDamage::new(8, expected, codes));
        }
        let postings = Self { codes, bytes };
        let mut next = (codes + 1).saturating_mul(8).saturating_add(HEADER_BYTES as u64);
        let (mut code, mut nodes) = (0, 0);
        while code < codes {
            let end = postings.offset(code + 1);
            let (start, length) = (postings.offset(code), bytes.len() as u64);
            if start != next || end < start || end > length {
                let expected = format!("offsets from {next} that rise to {length}");
                return Err(ColumnDamage::new(
                    offset_at(code),
                    expected,
                    format!("{start}, {end}"),
                ));
            }
            let set = Roaring::view(&bytes[start as usize..end as usize]);
            nodes += set.and_then(|set| set.check(rows)).map_err(|damage| ColumnDamage {
                offset: start + damage.offset as u64,
                expected: damage.expected,
                found: damage.found,
            })?;
            (next, code) = (end, code + 1);
        }
        if postings.offset(codes) != next || next != bytes.len() as u64 {
            let expected = format!("the end of the section at {next}");
            return Err(ColumnDamage::new(offset_at(codes), expected, bytes.len()));
        }
        if nodes != column.entries() {
            let expected = format!("{} nodes in all sets", column.entries());
            return Err(ColumnDamage::new(HEADER_BYTES, expected, nodes));
        }
        Ok(postings)
    }

    /// What to keep in order to skip validation next time.
    pub(super) fn layout(&self) -> PostingsLayout {
        PostingsLayout { codes: self.codes }
    }

    /// The nodes that have the text with this code; `None` if there is no such code.
    pub fn nodes(&self, code: u64) -> Option<Roaring<'a>> {
        if code >= self.codes {
            return None;
        }
        let [start, end] = [code, code + 1].map(|code| self.offset(code) as usize);
        Roaring::view(self.bytes.get(start..end)?).ok()
    }

    /// Holds the sets against the column: every node of a code's set has that code. As there are
    /// as many in all sets as in the column, that makes them the same.
    ///
    /// # Errors
    /// The first node that has not.
    pub(super) fn compare(&self, column: &ColumnView<'_>) -> Result<(), ColumnDamage> {
        for code in 0..self.codes {
            let Some(set) = self.nodes(code) else { continue };
            let wrong = nodes_of(set, column.rows()).into_iter().find(|node| {
                !column.codes(*node).is_some_and(|mut codes| codes.any(|found| found == code))
            });
            if let Some(node) = wrong {
                let expected = format!("nodes that have code {code}");
                return Err(ColumnDamage::new(self.offset(code) as usize, expected, node.0));
            }
        }
        Ok(())
    }

    /// Where the set of a code starts; that of the code after the last one is where the last ends.
    fn offset(&self, code: u64) -> u64 {
        let at = offset_at(code);
        self.bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |word| u64::from_le_bytes(*word))
    }
}

/// Where the offset of a code's set is.
fn offset_at(code: u64) -> usize {
    HEADER_BYTES.saturating_add((code as usize).saturating_mul(8))
}

/// All nodes of a set.
fn nodes_of(set: Roaring<'_>, rows: u64) -> Vec<NodeId> {
    let (mut nodes, mut words) = (Vec::new(), [0; CHUNK_WORDS]);
    let mut chunks = set.chunks();
    for chunk in 0..(rows as usize).div_ceil(CHUNK_WORDS * 64) {
        let Some(container) = chunks.seek(chunk) else { continue };
        container.set(&mut words);
        for (at, word) in words.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let node = (chunk * CHUNK_WORDS + at) * 64 + left.trailing_zeros() as usize;
                nodes.push(NodeId(node as u32));
                left &= left - 1;
            }
        }
    }
    nodes
}

/// Memory that [`build`] takes beside what it makes: a word a code, and all nodes; the set that is
/// being made takes no more than its nodes did.
pub(super) fn working_bytes(column: &ColumnView<'_>) -> u64 {
    8 * column.distinct() + 4 * column.entries()
}

/// The bytes of the postings of a column.
pub(super) fn build(column: &ColumnView<'_>) -> Vec<u8> {
    let (rows, codes) = (column.rows(), column.distinct() as usize);
    let each = |visit: &mut dyn FnMut(u32, usize)| {
        for node in 0..rows as u32 {
            let of_node = column.codes(NodeId(node)).into_iter().flatten();
            of_node.for_each(|code| visit(node, code as usize));
        }
    };
    // A counting sort by code: `ends[code]` is where the next node of the code goes.
    let mut ends = vec![0_u64; codes + 1];
    each(&mut |_, code| ends[code + 1] += 1);
    (0..codes).for_each(|code| ends[code + 1] += ends[code]);
    let mut nodes = vec![0_u32; ends[codes] as usize];
    each(&mut |node, code| {
        nodes[ends[code] as usize] = node;
        ends[code] += 1;
    });

    let mut bytes = vec![0; offset_at(codes as u64 + 1)];
    bytes[..8].copy_from_slice(&rows.to_le_bytes());
    bytes[8..16].copy_from_slice(&(codes as u64).to_le_bytes());
    let mut start = 0;
    for (code, end) in ends.iter().take(codes).enumerate() {
        let at = offset_at(code as u64);
        let begin = bytes.len() as u64;
        bytes[at..at + 8].copy_from_slice(&begin.to_le_bytes());
        let end = *end as usize;
        let mut set: RoaringBitmap = nodes[start..end].iter().copied().collect();
        set.optimize();
        // Writing to a vector does not fail.
        let _ = set.serialize_into(&mut bytes);
        start = end;
    }
    let (at, end) = (offset_at(codes as u64), bytes.len() as u64);
    bytes[at..at + 8].copy_from_slice(&end.to_le_bytes());
    bytes
}
