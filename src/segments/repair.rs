//! What was learned from logged queries, and what that brought.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A larger section is refused.
pub const REPAIR_BYTES_MAX: usize = 1 << 16;

/// The repair section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct Repair {
    /// Queries that were learned from, by the last repair.
    pub learned: u32,
    /// Others of them, that it was measured on.
    pub held_out: u32,
    /// Nodes with edges in the overflow.
    pub nodes: u64,
    /// Those edges.
    pub edges: u64,
    /// Centers of entry points; 0 where searches as well come in as they did before.
    pub centers: u32,
    /// Recall@10 by rising recall.
    pub gains: Vec<Gain>,
}

/// What reaching a recall cost, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct Gain {
    /// Recall@10 by id.
    pub recall: f32,
    /// Distances a query, without what was learned, those to centers counted as a quarter.
    pub before: f32,
    /// With it.
    pub after: f32,
}

impl Repair {
    /// The bytes of the section.
    pub fn encode(&self) -> Result<Vec<u8>, wincode::WriteError> {
        wincode::serialize(self)
    }

    /// Reads the section; what is wrong comes as text.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > REPAIR_BYTES_MAX {
            return Err(format!("{} bytes, more than {REPAIR_BYTES_MAX}", bytes.len()));
        }
        wincode::deserialize_exact(bytes).map_err(|error| error.to_string())
    }
}
