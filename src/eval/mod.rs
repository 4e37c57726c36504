//! How good answers are: exact neighbors to compare with, and the measures themselves.
//!
//! | file | what it holds |
//! |---|---|
//! | `truth.rs` | exact neighbors by blocked scan on all cores |
//! | `metrics.rs` | recall@k by id and by distance, NDCG, precision, hit rate |

pub mod metrics;
pub mod truth;
