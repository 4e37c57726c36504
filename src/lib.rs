//! vicinage: an embedding retrieval engine.

pub mod builder;
pub mod error;
pub mod eval;
pub mod filters;
pub mod format;
pub mod graph;
pub mod index;
pub mod kernels;
pub mod progress;
pub mod scan;
pub mod search;
pub mod segments;
#[cfg(feature = "server")]
pub mod server;
pub mod types;
pub mod vectors;
