//! Filtered workloads: which queries are asked with which filter, and the exact answers. The folder
//! is described in `docs/benchmarks-workloads.md`.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | what a workload is; its groups |
//! | `read`, `write` | the folder |
//! | `run` | asking a group, and how good the answers were |

mod read;
mod run;
mod write;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use vicinage::index::Expression;
use vicinage::types::Metric;
use vicinage_datasets::{I64ListColumn, IdMatrix};

use crate::exit::Failure;

pub(crate) use read::{FILTER_BYTES, place, read_text};
pub(crate) use run::{Prepared, report};
pub(crate) use write::{Contents, write};

/// The version of the folder that this program writes and reads.
pub(crate) const SCHEMA: u32 = 1;

/// What the folder is about, and how it came about.
pub(crate) const MANIFEST: &str = "workload.toml";
/// The filters: a line for each, with the queries that are asked with it.
pub(crate) const FILTERS: &str = "filters.jsonl";
/// The attributes that the filters are about, to build the index with.
pub(crate) const ATTRIBUTES: &str = "attributes.parquet";
/// Lists of ids that single queries must not be answered with.
pub(crate) const EXCLUDED: &str = "excluded.parquet";
/// Its column.
pub(crate) const EXCLUDED_COLUMN: &str = "item_ids";
/// The nearest items that pass, by id.
pub(crate) const TRUTH_IDS: &str = "truth-ids.npy";
/// Their distances.
pub(crate) const TRUTH_DISTANCES: &str = "truth-distances.npy";
/// How many items pass.
pub(crate) const MATCHES: &str = "truth-matches.npy";

/// `workload.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) schema: u32,
    pub(crate) name: String,
    /// The program that wrote it.
    pub(crate) writer: String,
    pub(crate) metric: Metric,
    /// Items.
    pub(crate) n: u64,
    pub(crate) dim: u64,
    /// Rows of the file of queries that lines refer to.
    pub(crate) queries: u64,
    /// Most true neighbors of a query.
    pub(crate) k: u64,
    pub(crate) seed: u64,
    /// For people: what the groups turned out like.
    #[serde(default)]
    pub(crate) groups: Vec<GroupNote>,
}

/// What a group turned out like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupNote {
    pub(crate) shape: String,
    /// That was asked for.
    pub(crate) target: f64,
    /// Mean share of the items that pass.
    pub(crate) selectivity: f64,
    pub(crate) filters: u64,
    pub(crate) queries: u64,
    /// Mean share that passes of the items nearest to the query, over `selectivity`: above 1 near
    /// items pass more often than others, below 1 more seldom.
    pub(crate) correlation: f64,
}

/// A line of `filters.jsonl`. The filter stays text: in memory it takes no more than in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// `random`, `correlated`, `range` …
    pub(crate) shape: String,
    /// Share of the items that was to pass. Shape and this name the group.
    pub(crate) selectivity: f64,
    pub(crate) filter: Box<RawValue>,
    /// Where queries have lists of their own: the row of `excluded.parquet` that is the first
    /// query's; the others follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) excluded: Option<u64>,
    /// The queries, as rows of their file.
    pub(crate) queries: Vec<u32>,
}

impl Line {
    fn expression(&self) -> Result<Expression, Failure> {
        Ok(Expression::from_json(self.filter.get())?)
    }

    /// The row of `excluded.parquet` of query `at` of the line.
    fn excluded(&self, at: usize) -> Option<usize> {
        self.excluded.map(|first| first as usize + at)
    }
}

/// A workload, read and checked.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    lines: Vec<Line>,
    /// The rows of the truth come in the order of the lines and of the queries in each; these are
    /// the first ones of each line.
    starts: Vec<usize>,
    truth: IdMatrix,
    matches: Vec<u64>,
    excluded: I64ListColumn,
}

/// The lines of one shape and one selectivity. Figures are told per group, never pooled.
pub(crate) struct Group<'a> {
    pub(crate) shape: &'a str,
    /// That was asked for.
    pub(crate) selectivity: f64,
    workload: &'a Workload,
    lines: Vec<usize>,
}

impl Workload {
    /// The attributes that its filters are about, where it has some of its own.
    pub(crate) fn attributes(&self) -> Option<PathBuf> {
        Some(self.dir.join(ATTRIBUTES)).filter(|path| path.is_file())
    }

    /// The groups, in the order in which the first line of each comes.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let same = |group: &&mut Group<'_>| {
                group.shape == line.shape && group.selectivity == line.selectivity
            };
            // A group's lines mostly follow one another.
            match groups.iter_mut().rev().find(same) {
                Some(group) => group.lines.push(at),
                None => groups.push(Group {
                    shape: &line.shape,
                    selectivity: line.selectivity,
                    workload: self,
                    lines: vec![at],
                }),
            }
        }
        groups.into_iter()
    }
}
