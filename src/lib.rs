//! vicinage: an embedding retrieval engine.

pub mod error;
pub mod types;
