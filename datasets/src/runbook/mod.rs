//! Runbooks: insertions, deletions, replacements and searches of a streaming benchmark, step by
//! step, in the YAML form of the big-ann benchmarks. Layout: `harsha-simhadri/big-ann-benchmarks`,
//! `benchmark/streaming/load_runbook.py`.
//!
//! | file | what it holds |
//! |---|---|
//! | `live` | which tags are live, as intervals |
//! | `read`, `write` | the YAML |
//!
//! An item is known by its **tag**, and its vector is a row of the base. An insertion gives tag t
//! the row t; a replacement gives a live tag another row.

mod live;
mod read;
mod write;

use std::ops::Range;

use live::LiveTags;

pub use read::read_runbook;
pub use write::write_runbook;

/// Tags, or rows of the base, that follow each other.
pub type Tags = Range<u32>;

/// A step of a runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// These tags, which are not live, become so, each with the row of its own number.
    Insert(Tags),
    /// These live tags are live no more.
    Delete(Tags),
    /// These live tags get these rows, in order; there are as many of both.
    Replace {
        /// Whose vectors change.
        tags: Tags,
        /// Where the new ones are.
        rows: Tags,
    },
    /// All queries are asked of what is live.
    Search,
}

/// A step that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: expected {expected}, found {found}")]
pub struct StepError {
    /// Its number, from 1.
    pub step: u64,
    /// What has to be.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// What is done to a set of vectors, in order. Every step can be done after those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runbook {
    name: String,
    max_pts: u64,
    gt_url: Option<String>,
    steps: Vec<Update>,
    rows: u64,
}

impl Runbook {
    /// A runbook of a set; at most `max_pts` items may be live at a time, as many as ever are
    /// where none is given.
    ///
    /// # Errors
    /// The first step that cannot be done: an empty range, an insertion of what is live, a deletion
    /// or replacement of what is not, more items than `max_pts`, a search of nothing.
    pub fn new(name: String, max_pts: Option<u64>, steps: Vec<Update>) -> Result<Self, StepError> {
        let mut live = LiveTags::default();
        let (mut most, mut rows) = (0, 0);
        for (step, update) in (1..).zip(&steps) {
            let refuse = |(expected, found)| StepError { step, expected, found };
            live.apply(update).map_err(refuse)?;
            if let Some(limit) = max_pts.filter(|&limit| live.count() > limit) {
                let expected = format!("at most max_pts, {limit}, live tags");
                return Err(refuse((expected, live.count().to_string())));
            }
            most = most.max(live.count());
            rows = rows.max(u64::from(update.rows_end()));
        }
        Ok(Self { name, max_pts: max_pts.unwrap_or(most), gt_url: None, steps, rows })
    }

    /// The set that it is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most items that are live at a time.
    pub fn max_pts(&self) -> u64 {
        self.max_pts
    }

    /// Where its truth can be had, as its publisher says.
    pub fn gt_url(&self) -> Option<&str> {
        self.gt_url.as_deref()
    }

    /// What is done, in order; the first is step 1.
    pub fn steps(&self) -> &[Update] {
        &self.steps
    }

    /// The rows that the base has to have. Every tag is below it too.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of searches.
    pub fn searches(&self) -> usize {
        self.steps.iter().filter(|step| **step == Update::Search).count()
    }

    /// Refuses a base of too few rows.
    ///
    /// # Errors
    /// The first step that needs more than `rows`.
    pub fn check_base(&self, rows: u64) -> Result<(), StepError> {
        let beyond = |update: &Update| u64::from(update.rows_end()) > rows;
        match self.steps.iter().position(beyond) {
            None => Ok(()),
            Some(at) => Err(StepError {
                step: at as u64 + 1,
                expected: format!("rows below {rows}, which is how many the base has"),
                found: format!("rows up to {}", self.steps[at].rows_end() - 1),
            }),
        }
    }
}

impl Update {
    /// How many items it inserts, deletes or replaces.
    pub fn items(&self) -> u64 {
        match self {
            Self::Insert(tags) | Self::Delete(tags) | Self::Replace { tags, .. } => {
                tags.len() as u64
            }
            Self::Search => 0,
        }
    }

    /// Rows below this are read.
    fn rows_end(&self) -> u32 {
        match self {
            Self::Insert(rows) | Self::Replace { rows, .. } => rows.end,
            Self::Delete(_) | Self::Search => 0,
        }
    }
}
