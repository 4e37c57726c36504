//! Made-up data, the same from the same seed on every machine and at any number of threads.
//!
//! | file | what it makes |
//! |---|---|
//! | `two_tower` | items and users of a two-tower model: queries out of distribution, inner product |
//! | `clustered` | a mixture of Gaussians on L2, queries from the same |
//! | `attributes` | columns of chosen selectivity and correlation with given vectors |
//! | `interactions` | which user took which item, and when |
//! | `runbook` | in which order items come, change and go |
//! | `realism` | whether a two-tower set is like the real ones |
//!
//! Rows are made block by block, so that a set need not fit the memory.

mod attributes;
mod clustered;
mod interactions;
mod realism;
mod runbook;
mod two_tower;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use rayon::ThreadPool;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ReadError, WriteError};
use crate::spec::WriteOptions;
use crate::vectors::{Batch, Element, Shape, VectorData};

pub use attributes::{AttributePlan, ColumnPlan, ColumnReport, ColumnRule, write_attributes};
pub use clustered::{Clustered, ClusteredParams};
pub use interactions::{InteractionParams, write_interactions};
pub use realism::{Check, Realism};
pub use runbook::{RunbookKind, RunbookParams, make_runbook};
pub use two_tower::{TwoTower, TwoTowerParams};

pub use crate::random::Random;

/// Rows that are made together.
pub const BLOCK_ROWS: usize = 4096;

/// A part of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The items.
    Base,
    /// The queries to measure with.
    Test,
    /// The queries to learn from; none of them is a test query.
    Learn,
}

impl Split {
    /// The name, which is also that of the part's random stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Test => "test",
            Self::Learn => "learn",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many rows the parts of a set have, and the seed of all that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Items.
    pub n: u64,
    /// Components of a vector.
    pub dim: u32,
    /// Queries to measure with.
    pub test: u64,
    /// Queries to learn from.
    pub learn: u64,
    /// The same seed, the same bytes.
    pub seed: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { n: 1_000_000, dim: 128, test: 10_000, learn: 20_000, seed: 7 }
    }
}

impl Sizes {
    fn check(&self) -> Result<(), GenerateError> {
        check("dim", self.dim, "from 1 to 16384", (1..=16_384).contains(&self.dim))?;
        check("n", self.n, "from 1", self.n > 0)?;
        check("test", self.test, "from 1", self.test > 0)
    }

    fn rows(&self, split: Split) -> u64 {
        match split {
            Split::Base => self.n,
            Split::Test => self.test,
            Split::Learn => self.learn,
        }
    }
}

/// A set that is made block by block.
pub trait VectorSource: Sync {
    /// Components of a vector.
    fn dim(&self) -> usize;

    /// Number of rows of a part.
    fn rows(&self, split: Split) -> u64;

    /// Writes the rows of a part that begin with row `block` × [`BLOCK_ROWS`] into `rows`,
    /// `[count, dim]` row-major. How many there are does not change what they are.
    fn fill(&self, split: Split, block: u64, rows: &mut [f32]);

    /// The rows of a block: [`BLOCK_ROWS`], fewer in the last, none behind it.
    fn block(&self, split: Split, block: u64) -> Vec<f32> {
        let left = self.rows(split).saturating_sub(block.saturating_mul(BLOCK_ROWS as u64));
        let mut rows = vec![0.0; left.min(BLOCK_ROWS as u64) as usize * self.dim()];
        self.fill(split, block, &mut rows);
        rows
    }
}

/// Why a set was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// A parameter that cannot be.
    #[error("{name}: expected {expected}, found {found}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The vectors that the set is made for could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The set could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Holds a parameter against what it can be.
fn check(
    name: &'static str,
    found: impl ToString,
    expected: &'static str,
    fits: bool,
) -> Result<(), GenerateError> {
    if fits {
        return Ok(());
    }
    Err(GenerateError::Parameter { name, expected, found: found.to_string() })
}

/// Told how many more rows are done; says whether to go on.
pub type Advance<'a> = &'a dyn Fn(u64) -> ControlFlow<()>;

/// Tells the caller of `rows` more rows.
fn tell(advance: Advance<'_>, rows: u64) -> Result<(), GenerateError> {
    match advance(rows) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(GenerateError::Stopped),
    }
}

/// Writes a part of a set, in the format that the extension of `path` names. Blocks are made on
/// the threads of `pool`; in memory are two for each of them.
///
/// # Errors
/// What the system refuses, or [`GenerateError::Stopped`]; either way no file is left behind.
pub fn write_vectors(
    source: &dyn VectorSource,
    split: Split,
    path: &Path,
    pool: &ThreadPool,
    advance: Advance<'_>,
) -> Result<(), GenerateError> {
    let dim = source.dim();
    let shape = Shape { rows: source.rows(split), dim: dim as u32, element: Element::F32 };
    let mut writer = crate::create(path, shape, &WriteOptions::default())?;
    let blocks = shape.rows.div_ceil(BLOCK_ROWS as u64);
    let together = 2 * pool.current_num_threads() as u64;
    let mut next = 0;
    while next < blocks {
        let group = next..blocks.min(next + together);
        next = group.end;
        let made: Vec<Vec<f32>> =
            pool.install(|| group.into_par_iter().map(|at| source.block(split, at)).collect());
        for rows in made {
            let count = (rows.len() / dim) as u64;
            writer.write(&Batch::of_vectors(dim, VectorData::F32(rows)))?;
            tell(advance, count)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// Makes each row as long as `length`; one without a direction stays as it is.
fn set_length(row: &mut [f32], length: f64) {
    let norm = norm(row);
    if norm > 0.0 {
        let scale = (length / norm) as f32;
        row.iter_mut().for_each(|value| *value *= scale);
    }
}

fn norm(row: &[f32]) -> f64 {
    row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}
