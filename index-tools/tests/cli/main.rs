//! The command line from outside: the real binary on real files, by its exit codes and its words.
//!
//! | file | what it holds |
//! |---|---|
//! | `support` | running the binary, small inputs |
//! | `help` | usage, help, completions |
//! | `build` | plan and build, and what they refuse |
//! | `calibration` | presets, queries to calibrate with, searches that name a recall, tune |
//! | `convert` | through the file formats |
//! | `space` | of what model vectors are; skew |
//! | `sidecar` | attributes that lie in a second file |
//! | `look` | inspect, verify, query |
//! | `measure` | truth and eval, against naive answers |
//! | `usefulness` | eval against what users took, by hand and naively |
//! | `sweep` | recall and speed, resuming, the worker, a server |
//! | `curves` | compare and plot, over result lines |
//! | `stop` | Ctrl-C |
//! | `datasets`, `fetch` | public and made-up sets; fetching from a server of our own |
//! | `filters` | filtered workloads: made, held against naive answers, asked, refused |
//! | `demo` | the demo on a small set of the same shape |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod build;
mod calibration;
mod convert;
mod curves;
mod datasets;
mod demo;
mod fetch;
mod filters;
mod help;
mod look;
mod measure;
mod runbook;
mod sidecar;
mod space;
mod stop;
mod support;
mod sweep;
mod usefulness;
