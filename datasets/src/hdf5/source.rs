//! Opens an HDF5 file, and lets the library read no more of it than a valid file needs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_pure::{ChunkCacheConfig, DatasetAccessProperties, Error, FormatError};

use crate::error::ReadError;
use crate::flat::Input;

/// What the library may read of the metadata: so many times the file, and so many bytes more.
/// Structures that point at each other in a circle end here.
const TIMES: u64 = 4;
const MORE: u64 = 16 << 20;
/// What a read costs besides its bytes.
const READ_COST: u64 = 64;

/// An HDF5 file that is open for reading.
pub(super) struct Source {
    pub(super) input: Input,
    pub(super) file: hdf5_pure::File,
    budget: Arc<AtomicU64>,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let input = Input::open(path)?;
        let file = input.file.try_clone().map_err(ReadError::io("open", path))?;
        let budget = Arc::new(AtomicU64::new(0));
        let bounded = Bounded { file: Mutex::new(file), len: input.len, budget: budget.clone() };
        refill(&budget, input.len, 0);
        let file = hdf5_pure::File::from_source(bounded)
            .map_err(|e| unreadable(&input, "an HDF5 file", &e))?;
        Ok(Self { input, file, budget })
    }

    pub(super) fn path(&self) -> &Path {
        &self.input.path
    }

    /// Opens an array. `cache_bytes` in up to `slots` chunks are kept from one read to the next.
    pub(super) fn dataset(
        &self,
        name: &str,
        cache_bytes: usize,
        slots: usize,
    ) -> Result<hdf5_pure::Dataset, Error> {
        let cache = ChunkCacheConfig::from_h5p_cache(slots, cache_bytes);
        let access = DatasetAccessProperties::new().with_chunk_cache(cache);
        self.file.dataset_with_options(name, access)
    }

    /// Lets the library read the metadata once more, and `bytes` of values besides.
    pub(super) fn allow(&self, bytes: u64) {
        refill(&self.budget, self.input.len, bytes);
    }

    /// What the library could not read.
    pub(super) fn unreadable(&self, expected: &str, error: &Error) -> ReadError {
        unreadable(&self.input, expected, error)
    }
}

fn refill(budget: &AtomicU64, len: u64, bytes: u64) {
    let allowed = len.saturating_mul(TIMES).saturating_add(MORE).saturating_add(bytes);
    budget.store(allowed, Ordering::Relaxed);
}

/// The library says what is wrong, not where.
fn unreadable(input: &Input, expected: &str, error: &Error) -> ReadError {
    input.malformed(0, expected, format!("{error}{}", input.looks_like))
}

/// The bytes of a file, as far as the budget goes.
struct Bounded {
    file: Mutex<File>,
    len: u64,
    budget: Arc<AtomicU64>,
}

impl hdf5_pure::Source for Bounded {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), FormatError> {
        let fail = |what: String| Err(FormatError::Source(what));
        let cost = bytes.len() as u64 + READ_COST;
        let left = self.budget.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(cost) else {
            return fail("more metadata than the file has bytes".to_owned());
        };
        self.budget.store(left, Ordering::Relaxed);
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len) {
            return fail(format!("{} bytes at {offset}, beyond the file's end", bytes.len()));
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes));
        read.or_else(|e| fail(e.to_string()))
    }
}
