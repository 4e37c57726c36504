//! The server from outside: real sockets, a real index, and for signals a real process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod filters;
mod fixture;
mod limits;
mod operations;
mod process;
mod search;
mod space;
