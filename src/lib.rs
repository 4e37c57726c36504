//! vicinage: an embedding retrieval engine.

pub mod error;
pub mod filters;
pub mod format;
pub mod segments;
pub mod types;
