//! The words that every floor shares: ids, metrics, element types, neighbors, and the two traits
//! through which graph search sees everything else.
//!
//! Sign convention, everywhere inside the library: a **distance** is an `f32` and **smaller is
//! closer** (squared L2, −dot, 1 − cos). A **score** is what callers see: **larger is better**
//! (−squared L2, dot, cos). [`Metric::score`] is the one place that converts.

use std::cmp::Ordering;

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// The caller's id of an item. Unique within an index; any value is legal.
pub type ItemId = u64;

/// Dense id of an item inside one segment, `0..n`, in stored order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The node as an array index.
    #[inline(always)]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How closeness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Squared Euclidean distance, `Σ (q_i − x_i)²`.
    L2,
    /// Inner product; the distance is `−Σ q_i x_i`.
    Ip,
    /// Cosine similarity; the distance is `1 − Σ q_i x_i / (‖q‖ ‖x‖)`.
    Cosine,
}

impl Metric {
    /// Every metric, in the order of its code on disk.
    pub const ALL: [Metric; 3] = [Metric::L2, Metric::Ip, Metric::Cosine];

    /// Converts an internal distance (smaller is closer) to a score (larger is better).
    #[inline]
    pub fn score(self, distance: f32) -> f32 {
        match self {
            Metric::L2 | Metric::Ip => -distance,
            Metric::Cosine => 1.0 - distance,
        }
    }

    /// The name used on command lines, in JSON and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Ip => "ip",
            Metric::Cosine => "cosine",
        }
    }
}

/// The type of one vector component as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
}

impl ElementType {
    /// Every element type, in the order of its code on disk.
    pub const ALL: [ElementType; 5] =
        [ElementType::F32, ElementType::F16, ElementType::Bf16, ElementType::I8, ElementType::U8];

    /// Size of one component in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
            ElementType::I8 | ElementType::U8 => 1,
        }
    }

    /// The name used on command lines, in JSON and in messages.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F32 => "f32",
            ElementType::F16 => "f16",
            ElementType::Bf16 => "bf16",
            ElementType::I8 => "i8",
            ElementType::U8 => "u8",
        }
    }
}

/// A name that is none of the known ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} \"{found}\"; expected one of {expected}")]
pub struct UnknownName {
    /// What was being named.
    pub what: &'static str,
    /// The text given.
    pub found: String,
    /// The names that exist, comma-separated.
    pub expected: String,
}

/// Reads and writes a kind by its `name()`, which `ALL` are tried for.
macro_rules! named {
    ($kind:ty, $what:literal) => {
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::types::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| Self::Err {
                    what: $what,
                    found: text.to_owned(),
                    expected: Self::ALL.map(|one| one.name()).join(", "),
                })
            }
        }
    };
}

pub(crate) use named;

named!(Metric, "metric");
named!(ElementType, "element type");

/// A node and its distance to the query, ordered by distance, ties by node.
///
/// Distances are never NaN: vectors are checked to be finite before they get here, and
/// [`f32::total_cmp`] keeps the order total all the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Smaller is closer.
    pub distance: f32,
    /// The node within its segment.
    pub node: NodeId,
}

impl Eq for Neighbor {}

impl Ord for Neighbor {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.node.cmp(&other.node))
    }
}

impl PartialOrd for Neighbor {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Distances of nodes to one prepared query. Graph search is generic over this, so that it knows
/// neither vectors nor codes nor metrics.
pub trait Scorer {
    /// Writes the distance of `nodes[i]` to `distances[i]`; the slices have the same length.
    fn score(&self, nodes: &[NodeId], distances: &mut [f32]);

    /// Asks the processor to load what scoring `node` will read.
    fn prefetch(&self, node: NodeId);

    /// Asks the processor to load a neighbor list.
    fn prefetch_list(&self, list: &[NodeId]);
}

/// A scorer that goes in two steps, the first of which reads most of what there is and often tells that a
/// node is too far for the second. A scan that waits for memory need not wait for the rest then.
pub trait StepScorer: Scorer {
    /// What the first step finds out about a node.
    type First: Copy + Default;

    /// Asks the processor to load what the first step reads.
    fn prefetch_first(&self, node: NodeId);

    /// Writes what it finds out about `nodes[i]` to `firsts[i]`; the slices have the same length.
    fn first(&self, nodes: &[NodeId], firsts: &mut [Self::First]);

    /// No distance of a node of which this is known is less.
    fn least(&self, first: Self::First) -> f32;

    /// Asks the processor to load what the second step reads.
    fn prefetch_rest(&self, node: NodeId);

    /// The distance: the one that [`Scorer::score`] gives, to the bit.
    fn finish(&self, node: NodeId, first: Self::First) -> f32;
}

/// May this node be returned? Traversal passes through nodes that are not admitted.
pub trait Admit {
    /// Whether `node` may be part of a result.
    fn admit(&self, node: NodeId) -> bool;
}

/// Admits every node.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAll;

impl Admit for AdmitAll {
    #[inline(always)]
    fn admit(&self, _node: NodeId) -> bool {
        true
    }
}

/// Admits every node but one: "more like this item" must not answer with the item itself.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAllBut(pub NodeId);

impl Admit for AdmitAllBut {
    #[inline(always)]
    fn admit(&self, node: NodeId) -> bool {
        node != self.0
    }
}
