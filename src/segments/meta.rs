//! The meta section: what a segment is made of and how it was built.
//!
//! In the wire format of bincode 1 (and of bincode 2's `config::legacy()`): fields in order,
//! integers little-endian at full width, `u64` lengths, `u32` enum tags. The bincode crate is
//! unmaintained (RUSTSEC-2025-0141); `wincode`, which its authors name as successor, writes the
//! same bytes, and a test compares the two. The format does not describe itself: a change to these
//! structs is a new format version.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::filters::columns::ColumnSchema;

/// A larger meta section is refused; decoding allocates no more than that.
pub const META_BYTES_MAX: usize = 4 << 20;

/// The meta section of format version 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct Meta {
    /// Program and version that wrote the segment.
    pub writer: String,
    /// How the graph was built.
    pub build: BuildRecord,
    /// What came of it.
    pub statistics: Statistics,
    /// Name and kind of each attribute column, in section order.
    pub columns: Vec<ColumnSchema>,
    /// What searches read in place of the vectors, if there is that.
    pub codes: Option<CodesRecord>,
    /// What that choice rests on, if it was not made beforehand; also where it fell on none.
    pub codes_probe: Vec<CodesProbe>,
}

/// The codes of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct CodesRecord {
    /// `i8` or `u4`.
    pub kind: String,
    /// Bytes from one row to the next.
    pub stride: u32,
}

/// How well codes of one kind find near neighbors, as a probe of some items measured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct CodesProbe {
    /// `i8` or `u4`.
    pub kind: String,
    /// How many that are closest by codes are scored on their vectors.
    pub rerank: u32,
    /// The share of the 10 nearest neighbors that are among them.
    pub recall: f64,
}

/// The meta section of format version 1: all of [`Meta`] but the codes.
#[derive(SchemaRead)]
struct MetaV1 {
    writer: String,
    build: BuildRecord,
    statistics: Statistics,
    columns: Vec<ColumnSchema>,
}

/// The parameters of a build, with those that it found by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct BuildRecord {
    /// `hnsw` or `hnsw-rs`.
    pub builder: String,
    /// Slots per base-layer list.
    pub max_degree: u32,
    /// Size of the candidate list of an insert.
    pub ef_construction: u32,
    /// Pruning slack; `None` for a builder that has none.
    pub alpha: Option<f32>,
    /// Whether free slots were filled with pruned candidates.
    pub backfill: bool,
    /// What the probe measured, if it ran.
    pub probe: Vec<ProbeRecord>,
}

/// One small build that the probe tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct ProbeRecord {
    /// Pruning slack.
    pub alpha: f32,
    /// Whether free slots were filled.
    pub backfill: bool,
    /// Distances per query where it reached the recall that all are compared at.
    pub distances: f32,
}

/// Facts about the finished graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct Statistics {
    /// Edges of the base layer.
    pub edges: u64,
    /// Nodes that needed an edge after the build.
    pub attached: u64,
    /// Nodes that the entry point cannot reach.
    pub unreachable: u64,
    /// Recall of sampled queries against exact search.
    pub self_check: Option<SelfCheck>,
}

/// Recall measured at the end of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct SelfCheck {
    /// How many queries.
    pub queries: u32,
    /// What they were: `items` are rows of the base, each asked without itself. They flatter an
    /// index whose users are distributed otherwise.
    pub queries_from: String,
    /// Results per query.
    pub k: u32,
    /// Size of the candidate list.
    pub ef: u32,
    /// Mean share of the exact ids that were found.
    pub recall_id: f64,
    /// Mean share of results as close as the kth exact one.
    pub recall_distance: f64,
}

impl Meta {
    /// The bytes of the section.
    pub fn encode(&self) -> Result<Vec<u8>, wincode::WriteError> {
        wincode::serialize(self)
    }

    /// Reads the section of a file of format version `format`. What is wrong comes as text: the
    /// format has no offsets to name.
    pub fn decode(bytes: &[u8], format: u32) -> Result<Self, String> {
        if bytes.len() > META_BYTES_MAX {
            return Err(format!("{} bytes, more than {META_BYTES_MAX}", bytes.len()));
        }
        if format > 1 {
            return wincode::deserialize_exact(bytes).map_err(|error| error.to_string());
        }
        let MetaV1 { writer, build, statistics, columns } =
            wincode::deserialize_exact(bytes).map_err(|error| error.to_string())?;
        Ok(Self { writer, build, statistics, columns, codes: None, codes_probe: Vec::new() })
    }
}
