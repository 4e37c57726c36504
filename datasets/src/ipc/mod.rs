//! Arrow IPC, as a file (`.arrow`, `.feather` version 2) and as a stream (`.arrows`). Which of
//! the two a file is, its first bytes say.
//!
//! | file | what it holds |
//! |---|---|
//! | `frames` | where the messages are, from the file's footer or from message to message |
//! | `check` | what a message claims, held against its body before the library believes it |
//! | `source` | the rows of the messages as Arrow arrays, for `columns` |
//! | `write` | the writer |
//!
//! A record batch is the unit on disk: the body of one is in memory, and its columns once more
//! where they are compressed, which may make them larger by the length of the file and 32 MiB
//! and no more. Batches of the caller are slices of it.

mod check;
mod frames;
mod source;
mod write;

pub(crate) use source::Source;
pub(crate) use write::create;
