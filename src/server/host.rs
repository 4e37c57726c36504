//! One served index with what belongs to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::config::Examples;
use super::metrics::IndexMetrics;
use crate::index::{Index, LoadMode, SpacePolicy};

/// One served index with what belongs to it.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) index: Arc<Index>,
    pub(super) load: LoadMode,
    pub(super) examples: Vec<Examples>,
    pub(super) space_policy: SpacePolicy,
    pub(super) metrics: IndexMetrics,
    pub(super) warmth: Warmth,
}

/// How warm an index is.
pub(super) struct Warmth {
    pub(super) bytes_done: AtomicU64,
    pub(super) bytes_total: u64,
    pub(super) ready: AtomicBool,
}

impl Warmth {
    pub(super) fn new(index: &Index, load: LoadMode) -> Warmth {
        // The other modes have read the file when they opened it.
        let bytes_total = match load {
            LoadMode::Mmap => index.info().file_bytes,
            LoadMode::Populate | LoadMode::Copy => 0,
        };
        Warmth { bytes_done: AtomicU64::new(0), bytes_total, ready: AtomicBool::new(false) }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Bytes read so far and bytes to read.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.bytes_done.load(Ordering::Relaxed).min(self.bytes_total), self.bytes_total)
    }
}
