//! Why a build fails.

use crate::builder::SourceError;
use crate::error::{Corruption, FileError};
use crate::filters::columns::ColumnError;
use crate::progress::Cancelled;
use crate::segments::publish::{CurrentError, PublishError};
use crate::segments::segment::WriteSegmentError;
use crate::segments::space::SpaceError;
use crate::types::{ElementType, ItemId};

/// The largest squared norm of an item. A sixteenth of what f32 holds: two such items are four times
/// that apart, and what distances are summed from twice as much again.
pub(super) const LARGEST_SQUARE: f32 = f32::MAX / 16.0;

/// Why a build fails. Nothing is left behind, and an index that was there is still current.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// [`crate::progress::Progress::cancelled`] said yes.
    #[error("stopped before it was done; nothing was written")]
    Cancelled,
    /// A parameter that cannot be.
    #[error("{name}: expected {expected}, found {found}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Not enough memory allowed.
    #[error(
        "the build needs {needed} bytes of memory even with the vectors left on disk, more than \
         the limit of {limit}; raise the limit, lower max_degree, or split the items"
    )]
    MemoryLimit {
        /// What it would take.
        needed: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The source failed.
    #[error(transparent)]
    Source(SourceError),
    /// The source did not keep its word.
    #[error("the source gave {found} where it had announced {expected}")]
    Announced {
        /// What it had said.
        expected: String,
        /// What came.
        found: String,
    },
    /// No items.
    #[error("the input has no items")]
    Empty,
    /// Too many items for one segment.
    #[error("the input has {found} items; one index holds at most {limit}")]
    TooMany {
        /// How many there are.
        found: u64,
        /// How many there may be.
        limit: usize,
    },
    /// NaN or infinity.
    #[error("row {row}, component {component}: {value} is not a finite {element}")]
    NotFinite {
        /// Row of the input, from 0.
        row: u64,
        /// Component of the vector, from 0.
        component: usize,
        /// What it is.
        value: f32,
        /// What it was to be stored as.
        element: ElementType,
    },
    /// A value that the element type asked for cannot hold.
    #[error("row {row}, component {component}: {value} is not a whole number that {element} holds")]
    NotIntegral {
        /// Row of the input, from 0.
        row: u64,
        /// Component of the vector, from 0.
        component: usize,
        /// What it is.
        value: f32,
        /// What it was to be stored as.
        element: ElementType,
    },
    /// No direction to compare by.
    #[error(
        "row {row} is a zero vector, which has no direction to compare by cosine; leave it out"
    )]
    ZeroVector {
        /// Row of the input, from 0.
        row: u64,
    },
    /// Distances to it would be infinite.
    #[error(
        "row {row} is too long a vector: its squared norm is above {LARGEST_SQUARE:e}, and squared \
         distances would leave f32; scale the vectors down"
    )]
    TooLarge {
        /// Row of the input, from 0.
        row: u64,
    },
    /// A query to calibrate with that no search answers.
    #[error("query {row} cannot be asked: expected {expected}, found {found}")]
    Query {
        /// Row of the queries, from 0.
        row: u64,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A space that these vectors cannot be of.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A vector of another length in a space of unit vectors.
    #[error(
        "row {row} has norm {norm}, and the space is of unit vectors; export them normalized, or say \
         normalization = \"none\""
    )]
    NotUnit {
        /// Row of the input, from 0.
        row: u64,
        /// Its norm.
        norm: f32,
    },
    /// Two items with one id.
    #[error("item id {id} is in row {first_row} and again in row {row}; ids must be unique")]
    DuplicateId {
        /// The id.
        id: ItemId,
        /// Where it was first.
        first_row: u64,
        /// Where it is again.
        row: u64,
    },
    /// An attribute value that its column cannot take.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The segment cannot be written.
    #[error(transparent)]
    Write(#[from] WriteSegmentError),
    /// The index directory cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The index that is there cannot be read.
    #[error(transparent)]
    Current(#[from] CurrentError),
    /// The index does not have one segment.
    #[error("the index has {found} segments in its current generation; expected 1")]
    Segments {
        /// How many it has.
        found: usize,
    },
    /// Nothing to calibrate.
    #[error("{found} items are so few that searches are scans: there is nothing to calibrate")]
    TooFew {
        /// How many there are.
        found: usize,
    },
    /// What was written does not read back.
    #[error("the new file does not read back as written, and was removed: {0}")]
    Reread(#[from] crate::format::OpenError),
    /// What was written does not verify.
    #[error("the new file does not verify, and was removed: {0}")]
    Corrupt(#[from] Corruption),
    /// No threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: rayon::ThreadPoolBuildError,
    },
}

impl From<Cancelled> for BuildError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}
