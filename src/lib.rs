//! vicinage: an embedding retrieval engine.

pub mod error;
pub mod graph;
pub mod kernels;
pub mod progress;
pub mod types;
pub mod vectors;
