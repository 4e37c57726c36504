//! The exact neighbors at every search of a runbook.
//!
//! For each query a list is kept of the closest live items, longer than what is asked for, with the
//! **edge** up to which it is complete. Between two searches only what has come is scored; what has
//! gone is taken out. Where too little is left of a list, its query is asked of everything live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::ThreadPool;
use vicinage::eval::truth::TruthSearch;
use vicinage::progress::Progress;
use vicinage::scan::Found;
use vicinage::types::Metric;
use vicinage::vectors::Vectors;
use vicinage_datasets::{DistanceMatrix, IdMatrix, Runbook, Update, write_ground_truth};

use super::base::Base;
use crate::exit::{Exit, Failure};
use crate::progress::Reporter;
use crate::queries::Queries;

/// Rows that are gathered and scanned at a time.
const ROWS_AT_A_TIME: usize = 8192;

/// A fresh list is this many times as long as what is asked for.
const DEPTH: usize = 2;

/// The closest live items of a query.
#[derive(Clone, Debug, Default)]
struct List {
    /// Tags and distances, closest first.
    found: Vec<Found>,
    /// Everything live that is closer than this, or this, is in the list; none: all of it is.
    edge: Option<Found>,
}

/// The neighbors among what is live, as updates come.
pub(crate) struct LiveTruth<'a> {
    base: &'a Base,
    queries: &'a Queries,
    metric: Metric,
    k: usize,
    pool: &'a ThreadPool,
    /// The row of each live tag.
    live: BTreeMap<u32, u32>,
    /// Tags that came, changed or went since the last search, and whether they were live then.
    changed: BTreeMap<u32, bool>,
    lists: Vec<List>,
}

impl<'a> LiveTruth<'a> {
    pub(crate) fn new(
        base: &'a Base,
        queries: &'a Queries,
        metric: Metric,
        k: usize,
        pool: &'a ThreadPool,
    ) -> Self {
        let lists = vec![List::default(); queries.rows()];
        let (live, changed) = (BTreeMap::new(), BTreeMap::new());
        Self { base, queries, metric, k, pool, live, changed, lists }
    }

    /// Does a step that is not a search. Cost: the logarithm of the live items, for each item.
    pub(crate) fn apply(&mut self, update: &Update) {
        let (tags, first) = match update {
            Update::Insert(tags) => (tags, Some(tags.start)),
            Update::Replace { tags, rows } => (tags, Some(rows.start)),
            Update::Delete(tags) => (tags, None),
            Update::Search => return,
        };
        for (at, tag) in tags.clone().enumerate() {
            let before = match first {
                Some(first) => self.live.insert(tag, first + at as u32),
                None => self.live.remove(&tag),
            };
            self.changed.entry(tag).or_insert(before.is_some());
        }
    }

    /// The `k` nearest live tags of each query, or all of them where there are fewer. Cost: a
    /// distance for each query and each item that came or changed since the last search; for some
    /// queries, for each live item.
    pub(crate) fn search(
        &mut self,
        report: &Reporter,
    ) -> Result<(IdMatrix, DistanceMatrix), Failure> {
        let changed = std::mem::take(&mut self.changed);
        if changed.values().any(|&was_live| was_live) {
            for list in &mut self.lists {
                list.found.retain(|found| !changed.contains_key(&(found.id as u32)));
            }
        }
        let new: Vec<(u32, u32)> =
            changed.keys().filter_map(|tag| Some((*tag, *self.live.get(tag)?))).collect();
        let all: Vec<usize> = (0..self.lists.len()).collect();
        let depth = DEPTH * self.k;
        let found = scan(self, &all, &new, depth, report)?;
        for (list, found) in self.lists.iter_mut().zip(found) {
            list.merge(found, new.len(), depth);
        }
        let wanted = self.k.min(self.live.len());
        let short: Vec<usize> =
            all.into_iter().filter(|&query| self.lists[query].found.len() < wanted).collect();
        if !short.is_empty() {
            let live: Vec<(u32, u32)> = self.live.iter().map(|(tag, row)| (*tag, *row)).collect();
            let found = scan(self, &short, &live, depth, report)?;
            for (query, found) in short.into_iter().zip(found) {
                self.lists[query] = List::default();
                self.lists[query].merge(found, live.len(), depth);
            }
        }
        let (mut ids, mut distances) = (IdMatrix::new(wanted), DistanceMatrix::new(wanted));
        for list in &self.lists {
            let first = &list.found[..wanted];
            ids.push(&first.iter().map(|found| found.id).collect::<Vec<_>>());
            distances.push(&first.iter().map(|found| found.distance).collect::<Vec<_>>());
        }
        Ok((ids, distances))
    }
}

impl List {
    /// Adds the closest of `of` items that are not in the list; `found` has all of them, or `depth`.
    fn merge(&mut self, found: Vec<Found>, of: usize, depth: usize) {
        let edge = if found.len() < of { found.last().copied() } else { None };
        self.edge = match (self.edge, edge) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.found.extend(found);
        self.found.sort_unstable();
        if let Some(edge) = self.edge {
            self.found.truncate(self.found.partition_point(|found| *found <= edge));
        }
        // A little longer than fresh ones, so that the next deletions do not empty it.
        if self.found.len() > 2 * depth {
            self.found.truncate(depth);
            self.edge = self.found.last().copied();
        }
    }
}

/// The `k` closest of some items (tags, ascending, and rows) to some queries, closest first.
fn scan(
    truth: &LiveTruth<'_>,
    queries: &[usize],
    items: &[(u32, u32)],
    k: usize,
    report: &Reporter,
) -> Result<Vec<Vec<Found>>, Failure> {
    let LiveTruth { base, pool, .. } = *truth;
    let dim = base.dim();
    let vectors = queries.iter().flat_map(|&query| truth.queries.row(query)).copied().collect();
    let k = k.min(items.len()).max(1);
    let mut search = TruthSearch::new(vectors, dim, truth.metric, k);
    for items in items.chunks(ROWS_AT_A_TIME) {
        report.interrupt().check()?;
        let rows: Vec<u32> = items.iter().map(|(_, row)| *row).collect();
        let block = base.pick(&rows);
        search.add(Vectors { bytes: block.bytes(), element: block.element(), dim }, pool);
    }
    let found = search.finish();
    let tag = |at: u64| u64::from(items[at as usize].0);
    let one = |(distance, at): (&f32, &u64)| Found { distance: *distance, id: tag(*at) };
    Ok((0..queries.len())
        .map(|query| {
            let range = query * found.k..(query + 1) * found.k;
            found.distances[range.clone()].iter().zip(&found.ids[range]).map(one).collect()
        })
        .collect())
}

/// The file of the neighbors at a step, as the big-ann benchmarks name it whatever k is.
pub(crate) fn step_file(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step{step}.gt100"))
}

/// Writes the neighbors at every search step into a folder, as a stage of `report`.
pub(crate) fn write_truth(
    runbook: &Runbook,
    truth: &mut LiveTruth<'_>,
    folder: &Path,
    report: &Reporter,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::new(Exit::Io, format!("cannot create {}: {error}", folder.display()))
    })?;
    report.start("truth", Some(runbook.steps().len() as u64), "steps");
    for (step, update) in (1..).zip(runbook.steps()) {
        truth.apply(update);
        if *update == Update::Search {
            let (ids, distances) = truth.search(report)?;
            write_ground_truth(&step_file(folder, step), &ids, &distances)?;
        }
        report.advance(1);
    }
    report.finish();
    Ok(())
}
