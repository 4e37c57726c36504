//! Asking a group of a workload, and how good and how even the answers were.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use vicinage::eval::metrics::recall_by_id;
use vicinage::index::{Account, Among, Hit, Index, NodeSet, Plan, Scratch, SearchParams};
use vicinage::progress::Progress;

use super::{Group, MANIFEST, Manifest, TRUTH_IDS, Workload, read};
use crate::exit::Failure;
use crate::measure::{Answers, Recall, Speed, mean, recall};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::results::FilterFigures;
use crate::text::{BOLD, Table, styled};
use crate::units;

/// A group, ready to be asked of an index: its filters are evaluated.
pub(crate) struct Prepared<'a> {
    index: &'a Index,
    queries: &'a Queries,
    group: &'a Group<'a>,
    /// What passes the filter of each line.
    passing: Vec<NodeSet>,
    asked: Vec<Asked>,
    truth: Answers,
}

/// One query of the group.
struct Asked {
    /// Row of the file of queries.
    query: usize,
    /// Place of its line in the group.
    line: usize,
    /// Row of the lists.
    excluded: Option<usize>,
    matches: u64,
}

/// What came of asking a group once.
#[derive(Default)]
pub(crate) struct Ran {
    pub(crate) answers: Answers,
    /// Of each query.
    pub(crate) nanos: Vec<u64>,
    /// Distances that were computed for all of them.
    pub(crate) distances: u64,
    /// Nodes that were visited for all of them.
    pub(crate) visited: u64,
    /// How many were answered how.
    pub(crate) plans: BTreeMap<Plan, usize>,
}

impl Workload {
    /// Checks that the workload is one of these items and these queries.
    pub(crate) fn check_fits(&self, index: &Index, queries: &Queries) -> Result<(), Failure> {
        let Manifest { n, dim, metric, queries: rows, .. } = self.manifest;
        let (info, of) = (index.info(), self.dir.join(MANIFEST));
        let unfit = |expected: String, found: String| {
            let what = format!("{} is of another index, or of other queries", of.display());
            Err(Failure::data(what).expected(expected, found))
        };
        if (n, dim, metric) != (info.n, info.dim as u64, info.metric) {
            return unfit(
                format!("{n} × {dim}, {metric}"),
                format!("{} × {}, {}", info.n, info.dim, info.metric),
            );
        }
        if rows != queries.rows() as u64 {
            return unfit(format!("{rows} queries"), queries.rows().to_string());
        }
        Ok(())
    }

    /// Checks that the truth has as many neighbors.
    pub(crate) fn check_k(&self, k: usize) -> Result<(), Failure> {
        let most = self.manifest.k;
        if k as u64 <= most {
            return Ok(());
        }
        Err(Failure::usage(format!("the workload has too few neighbors for --k {k}"))
            .expected(format!("--k up to {most}"), k.to_string()))
    }
}

impl<'a> Group<'a> {
    /// Evaluates the filters on an index that the workload fits, and scores the true neighbors.
    /// Cost: a look at every item for each filter; nothing of it is part of any time that is taken.
    pub(crate) fn prepare(
        &'a self,
        index: &'a Index,
        queries: &'a Queries,
    ) -> Result<Prepared<'a>, Failure> {
        let workload = self.workload;
        let file = workload.dir.join(TRUTH_IDS);
        let (mut passing, mut asked) = (Vec::new(), Vec::new());
        let mut truth = Answers::default();
        for (place, &at) in self.lines.iter().enumerate() {
            let line = &workload.lines[at];
            let passes = index.filter(&line.expression()?);
            passing.push(passes.map_err(|error| Failure::from(error).at(read::place(at)))?);
            for (within, &query) in line.queries.iter().enumerate() {
                let (row, query) = (workload.starts[at] + within, query as usize);
                let (vector, ids) = (queries.row(query), workload.truth.row(row));
                truth.push_true_ids(index, vector, ids, (&file.display(), row))?;
                asked.push(Asked {
                    query,
                    line: place,
                    excluded: line.excluded(within),
                    matches: workload.matches[row],
                });
            }
        }
        Ok(Prepared { index, queries, group: self, passing, asked, truth })
    }
}

impl Prepared<'_> {
    /// How many queries the group has.
    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// Asks query `at` of the group. A list of the query's own is applied here, as it would be for a user
    /// who comes along with it.
    pub(crate) fn ask(
        &self,
        at: usize,
        params: &SearchParams,
        scratch: &mut Scratch,
        hits: &mut Vec<Hit>,
    ) -> Result<Account, Failure> {
        let Asked { query, line, excluded, .. } = self.asked[at];
        let vector = self.queries.row(query);
        let own = excluded.and_then(|row| self.group.workload.excluded.get(row)).unwrap_or(&[]);
        let own: Vec<u64> = own.iter().map(|&id| id as u64).collect();
        let mut excluded = Vec::new();
        self.index.nodes_of(&own, &mut excluded);
        let among = Among { passing: Some(&self.passing[line]), excluded: &excluded };
        Ok(self.index.search_among(scratch, vector, params, &among, hits)?)
    }

    /// Asks every query once, and takes the time of each.
    pub(crate) fn run(
        &self,
        params: &SearchParams,
        scratch: &mut Scratch,
        report: &Reporter,
    ) -> Result<Ran, Failure> {
        let mut ran = Ran::default();
        let mut hits = Vec::new();
        report.start_step("filtered", self.len() as u64, "queries");
        for at in 0..self.len() {
            report.interrupt().check()?;
            let started = Instant::now();
            let account = self.ask(at, params, scratch, &mut hits)?;
            ran.nanos.push(started.elapsed().as_nanos() as u64);
            ran.distances += account.distances;
            ran.visited += account.visited;
            *ran.plans.entry(account.plan).or_default() += 1;
            ran.answers.push(self.index.info().metric, &hits);
            report.advance(1);
        }
        report.finish();
        Ok(ran)
    }

    /// How good and how even answers to the queries of the group, in order, are at `k`.
    pub(crate) fn figures(&self, found: &Answers, k: usize) -> (Recall, FilterFigures) {
        let recall = recall(self.index.info().metric, found, &self.truth, k);
        let all = || 0..self.len();
        let mut by_id: Vec<f64> =
            all().map(|at| recall_by_id(found.ids(at, k), self.truth.ids(at, k))).collect();
        by_id.sort_unstable_by(f64::total_cmp);
        // Nearest rank.
        let p5 = (0.05 * by_id.len() as f64).ceil() as usize;
        let missing = |at: usize| {
            let wanted = self.asked[at].matches.min(k as u64) as f64;
            let given = found.ids(at, k).len() as f64;
            if wanted > 0.0 { (wanted - given).max(0.0) / wanted } else { 0.0 }
        };
        let n = self.index.info().n as f64;
        let figures = FilterFigures {
            workload: self.group.workload.manifest.name.clone(),
            shape: self.group.shape.to_owned(),
            selectivity: mean(all().map(|at| self.asked[at].matches as f64 / n)),
            recall_p5: by_id.get(p5.saturating_sub(1)).copied().unwrap_or(1.0),
            recall_min: by_id.first().copied().unwrap_or(1.0),
            shortfall: mean(all().map(missing)),
        };
        (recall, figures)
    }
}

/// What a group came to at one k.
#[derive(Serialize)]
pub(crate) struct GroupResult {
    k: usize,
    target: f64,
    #[serde(flatten)]
    figures: FilterFigures,
    recall: Recall,
    speed: Speed,
    distances_per_query: f64,
    /// How many queries were answered how.
    plans: BTreeMap<Plan, usize>,
}

/// Asks every group at every k, and says what came of it: as JSON, and as a table.
pub(crate) fn report(
    workload: &Workload,
    index: &Index,
    queries: &Queries,
    searches: &[SearchParams],
    report: &Reporter,
) -> Result<(serde_json::Value, String), Failure> {
    workload.check_fits(index, queries)?;
    searches.iter().try_for_each(|params| workload.check_k(params.k))?;
    let mut scratch = Scratch::default();
    let mut results = Vec::new();
    for group in workload.groups() {
        let prepared = group.prepare(index, queries)?;
        for params in searches {
            let k = params.k;
            let ran = prepared.run(params, &mut scratch, report)?;
            let (recall, figures) = prepared.figures(&ran.answers, k);
            let distances_per_query = ran.distances as f64 / prepared.len() as f64;
            let (target, speed) = (group.selectivity, Speed::of(ran.nanos));
            let plans = ran.plans;
            results.push(GroupResult {
                k,
                target,
                figures,
                recall,
                speed,
                distances_per_query,
                plans,
            });
        }
    }
    let json = json!({ "workload": workload.manifest.name, "results": results });
    Ok((json, table(workload, index, &results)))
}

/// How queries were answered, the most frequent first.
fn plans(plans: &BTreeMap<Plan, usize>) -> String {
    let mut plans: Vec<(&Plan, &usize)> = plans.iter().collect();
    plans.sort_by_key(|(_, queries)| std::cmp::Reverse(**queries));
    plans.iter().map(|(plan, _)| plan.name()).collect::<Vec<_>>().join(", ")
}

fn table(workload: &Workload, index: &Index, results: &[GroupResult]) -> String {
    let mut text = format!(
        "{}  {} items, {}; one thread\n",
        styled(BOLD, &workload.manifest.name),
        units::count(index.info().n),
        index.info().metric,
    );
    let mut table = Table::new([
        "shape<",
        "pass",
        "k",
        "recall by id",
        "by distance",
        "p5",
        "min",
        "short",
        "p50",
        "p99",
        "plan<",
    ]);
    for result in results {
        let GroupResult { k, figures, recall, speed, .. } = result;
        table.row([
            figures.shape.clone(),
            format!("{:.4} %", 100.0 * figures.selectivity),
            k.to_string(),
            units::share(recall.id),
            units::share(recall.distance),
            units::share(figures.recall_p5),
            units::share(figures.recall_min),
            units::share(figures.shortfall),
            units::seconds(speed.p50_seconds),
            units::seconds(speed.p99_seconds),
            plans(&result.plans),
        ]);
    }
    table.write(&mut text);
    text
}
