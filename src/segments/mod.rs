//! What is live: which segment files make up an index, and how that changes.
//!
//! | file | what |
//! |---|---|
//! | `manifest.rs` | [`Manifest`](manifest::Manifest): the one file that says which generation is current |
//! | `publish.rs` | writers: [`IndexDir`](publish::IndexDir), the atomic commit; readers: [`read_current`](publish::read_current) |

pub mod manifest;
pub mod publish;
