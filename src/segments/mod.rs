//! What is live: which segment files make up an index, and how that changes.
//!
//! | file | what |
//! |---|---|
//! | `meta.rs` | [`Meta`](meta::Meta): schema, build parameters and statistics of a segment |
//! | `calibration.rs` | [`Calibration`](calibration::Calibration): what effort reaches which recall |
//! | `repair.rs` | [`Repair`](repair::Repair): what was learned from queries, and what that brought |
//! | `space.rs` | [`Space`](space::Space): the model that the vectors are of |
//! | `segment.rs` | [`Segment`](segment::Segment): one immutable graph file, validated and searchable |
//! | `manifest.rs` | [`Manifest`](manifest::Manifest): the one file that says which generation is current |
//! | `publish.rs` | writers: [`IndexDir`](publish::IndexDir), the atomic commit; readers: [`read_current`](publish::read_current) |

pub mod calibration;
pub mod manifest;
pub mod meta;
pub mod publish;
pub mod repair;
pub mod segment;
pub mod space;
