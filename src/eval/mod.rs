//! How good answers are: exact neighbors to compare with, and the measures themselves.
//!
//! | file | what it holds |
//! |---|---|
//! | `truth.rs` | exact neighbors by blocked scan on all cores |
//! | `metrics.rs` | of one answer: recall@k by id and by distance; NDCG, recall, precision, reciprocal rank, hit rate and AUC by judgements; diversity and novelty |
//! | `catalog.rs` | of all answers together: coverage, inequality of exposure, exposure of groups |
//! | `bootstrap.rs` | how sure a mean over queries is |

pub mod bootstrap;
pub mod catalog;
pub mod metrics;
pub mod truth;
