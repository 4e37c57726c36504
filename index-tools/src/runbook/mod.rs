//! Runbooks: the exact neighbors at every search step, and a replay that measures.
//!
//! | file | what it holds |
//! |---|---|
//! | `base` | the vectors that a runbook draws from, in memory |
//! | `truth` | the neighbors among what is live, kept up to date |
//! | `flat` | an exact index that takes updates |
//! | `replay` | a runbook, step by step, on the exact index |

mod base;
mod flat;
pub(crate) mod replay;
mod truth;

pub(crate) use base::Base;
pub(crate) use truth::{LiveTruth, write_truth};

#[cfg(test)]
mod tests;
