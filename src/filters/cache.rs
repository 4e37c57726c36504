//! What filters passed, kept for those who ask again.

use std::hash::{Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use serde::Serialize;

use super::error::FilterError;
use super::evaluate::Table;
use super::expression::Expression;
use super::nodes::NodeSet;

/// Filters that take more memory are not kept: a list of thousands of seen items is one member's,
/// and is asked once.
const LARGEST_FILTER: usize = 64 << 10;

/// Sets that a part of the cache should have room for. Parts are locked by themselves.
const SETS_PER_PART: u64 = 8;

/// The most parts.
const PARTS: u64 = 16;

/// What filters pass of one table, by their canonical form. Bounded in bytes; what is asked least
/// goes first. Any number of threads may ask.
#[derive(Debug)]
pub struct FilterCache {
    sets: Cache<Key, Arc<NodeSet>, Weight, RandomState>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What became of the questions to a [`FilterCache`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilterCacheStatistics {
    /// Answered from it, or by one who was working it out.
    pub hits: u64,
    /// Worked out, or refused.
    pub misses: u64,
    /// Filters that are kept.
    pub filters: usize,
    /// Memory that they and what they pass take.
    pub bytes: u64,
    /// The most that may be.
    pub capacity: u64,
}

/// A canonical expression, and the memory that it takes.
#[derive(Clone, Debug)]
struct Key {
    filter: Expression,
    bytes: usize,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.filter == other.filter
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filter.hash(state);
    }
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Arc<NodeSet>> for Weight {
    fn weight(&self, key: &Key, set: &Arc<NodeSet>) -> u64 {
        (key.bytes + size_of::<NodeSet>() + set.bytes()) as u64
    }
}

impl FilterCache {
    /// An empty cache of at most `capacity` bytes for a table of `n` items.
    pub fn new(capacity: u64, n: u64) -> Self {
        // The longest set is a bit an item, and again as much where nodes are listed, too.
        let set = n / 4 + 1024;
        let parts = (capacity / (set * SETS_PER_PART)).clamp(1, PARTS);
        let estimate = (capacity / set).clamp(16, 4096) as usize;
        let options = OptionsBuilder::new()
            .shards(parts as usize)
            .weight_capacity(capacity)
            .estimated_items_capacity(estimate)
            .build();
        let hasher = RandomState::new();
        let sets = match options {
            Ok(options) => {
                Cache::with_options(options, Weight, hasher, DefaultLifecycle::default())
            }
            Err(_) => Cache::with(estimate, capacity, Weight, hasher, DefaultLifecycle::default()),
        };
        Self { sets, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What `filter` passes of `table`, which is the same one each time. Those who ask the same at
    /// once wait for the one who works it out.
    ///
    /// # Errors
    /// See [`FilterError`]. Errors are not kept.
    pub fn passing(
        &self,
        filter: &Expression,
        table: &dyn Table,
    ) -> Result<Arc<NodeSet>, FilterError> {
        let select = || Ok(Arc::new(filter.bind(table)?.select()));
        let bytes = filter.bytes();
        // The canonical form of what is over a limit may be within.
        if bytes > LARGEST_FILTER || !filter.within_limits() {
            return select();
        }
        let mut counter = &self.hits;
        let passing =
            self.sets.get_or_insert_with(&Key { filter: filter.canonical(), bytes }, || {
                counter = &self.misses;
                select()
            });
        counter.fetch_add(1, Ordering::Relaxed);
        passing
    }

    /// What became of the questions so far; filters too large to keep are not counted.
    pub fn statistics(&self) -> FilterCacheStatistics {
        FilterCacheStatistics {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            filters: self.sets.len(),
            bytes: self.sets.weight(),
            capacity: self.sets.capacity(),
        }
    }
}
