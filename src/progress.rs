//! How long work reports on itself and is asked to stop. Floor 0: every floor may tell, only the
//! outermost shows.

use serde::Serialize;

/// The stages of a build, in order; `truth` and `verify` use those that they share with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading and checking the input.
    Read,
    /// Trials on a sample that find what the build was not told.
    Probe,
    /// Coding the vectors as small integers.
    Codes,
    /// Inserting items into the graph.
    Graph,
    /// Giving an edge to every item that the graph cannot reach.
    Attach,
    /// Finding the stored order.
    Reorder,
    /// Writing the segment file.
    Write,
    /// Reading it back and comparing checksums.
    Verify,
    /// Recall of sampled queries against exact search.
    SelfCheck,
    /// With how many nodes searches go down the upper layers.
    Entries,
    /// Learning from logged queries.
    Repair,
    /// What effort reaches which recall.
    Calibrate,
    /// Exact neighbors.
    Truth,
}

impl Stage {
    /// The name shown beside the bar and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Probe => "probe",
            Stage::Codes => "codes",
            Stage::Graph => "graph",
            Stage::Attach => "attach",
            Stage::Reorder => "reorder",
            Stage::Write => "write",
            Stage::Verify => "verify",
            Stage::SelfCheck => "self-check",
            Stage::Entries => "entries",
            Stage::Repair => "repair",
            Stage::Calibrate => "calibrate",
            Stage::Truth => "truth",
        }
    }
}

/// Told how long work goes; asked whether to go on. Called from several threads at once.
pub trait Progress: Sync {
    /// `total` units ("items", "bytes", "queries") lie ahead; `None` where that is not known.
    fn begin(&self, stage: Stage, total: Option<u64>, unit: &'static str);

    /// `done` more units are done.
    fn advance(&self, done: u64);

    /// The stage is over.
    fn end(&self, stage: Stage);

    /// True: stop soon and leave nothing behind.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Shows nothing and never stops.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: Stage, _total: Option<u64>, _unit: &'static str) {}
    fn advance(&self, _done: u64) {}
    fn end(&self, _stage: Stage) {}
}

/// [`Progress::cancelled`] said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before it was done")]
pub struct Cancelled;
