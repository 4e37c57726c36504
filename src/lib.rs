//! vicinage: an embedding retrieval engine. Items are built offline into memory-mapped graph
//! indexes; [`index::Index`] answers a vector with its nearest items, and the server (feature
//! `server`, on by default) does so over HTTP.
//!
//! In reading order, from the words that all share to what a caller uses:
//!
//! - [`types`], [`error`], [`progress`]: ids, metrics, neighbors, and how work is watched
//! - [`kernels`]: distances per instruction set; [`format`](mod@format): bytes on disk
//! - [`vectors`], [`quantizers`], [`scan`], [`graph`], [`filters`]: what an index is made of
//! - [`search`], [`eval`]: one query against one snapshot; how good answers are
//! - [`segments`]: what is live, and how that changes
//! - [`index`], [`builder`]: open, search, build

pub mod builder;
pub mod error;
pub mod eval;
pub mod filters;
pub mod format;
pub mod graph;
pub mod index;
pub mod kernels;
pub mod progress;
pub mod quantizers;
pub mod scan;
pub mod search;
pub mod segments;
#[cfg(feature = "server")]
pub mod server;
pub mod types;
pub mod vectors;
