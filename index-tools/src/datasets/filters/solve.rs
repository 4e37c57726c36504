//! The exact answers: each filter's items are gathered from the file as it goes by, and scanned for
//! the queries of that filter alone.

use rayon::prelude::*;
use vicinage::eval::truth::{Truth, TruthSearch};
use vicinage::filters::expression::Expression;
use vicinage::filters::nodes::NodeSet;
use vicinage::progress::Progress;
use vicinage::types::NodeId;
use vicinage::vectors::{VectorBlock, Vectors};
use vicinage_datasets::{Batch, ReadOptions, open};

use super::items::Items;
use super::shapes::{Made, Shape};
use super::{MOST_EXCLUDED, NEAREST, Work};
use crate::batch::block;
use crate::exit::Failure;

/// Bytes of passing sets and of neighbors so far that one pass over the file may take.
const PASS_BYTES: usize = 256 << 20;
/// Filters that are evaluated together, at most.
const TOGETHER: usize = 64;

/// The answers of a group, by its filters and by their queries.
pub(super) struct Solved {
    /// Ids and distances, nearest first.
    pub(super) neighbors: Vec<(Vec<u64>, Vec<f32>)>,
    pub(super) matches: Vec<u64>,
    /// See [`crate::workload::GroupNote`].
    pub(super) correlation: f64,
    /// The queries' own lists, where they have some.
    pub(super) excluded: Vec<Vec<u64>>,
}

/// One filter: its place, what passes, and the search for the nearest of that.
struct Job<'a> {
    group: usize,
    queries: &'a [u32],
    passing: NodeSet,
    search: TruthSearch,
}

/// Finds the answers of all groups. `near` are the nearest rows of all queries without a filter.
pub(super) fn solve(
    work: &Work<'_>,
    items: &Items,
    made: &[Made],
    near: &Truth,
) -> Result<Vec<Solved>, Failure> {
    let mut solved: Vec<Solved> = made
        .iter()
        .map(|_| Solved {
            neighbors: Vec::new(),
            matches: Vec::new(),
            correlation: 0.0,
            excluded: Vec::new(),
        })
        .collect();
    let all: Vec<(usize, &Expression, &[u32])> = (0..)
        .zip(made)
        .flat_map(|(group, made)| {
            made.filters.iter().map(move |(filter, queries)| (group, filter, queries.as_slice()))
        })
        .collect();
    let mut left = all.as_slice();
    while !left.is_empty() {
        let mut jobs = Vec::new();
        let mut bytes = 0;
        work.report.start_step("filters", left.len() as u64, "filters");
        while bytes < PASS_BYTES && !left.is_empty() {
            let (some, rest) = left.split_at(TOGETHER.min(left.len()));
            left = rest;
            work.report.interrupt().check()?;
            let new: Result<Vec<Job<'_>>, Failure> = work
                .pool
                .install(|| some.par_iter().map(|one| Job::new(work, items, one)).collect());
            for job in new? {
                bytes += job.bytes(work.args.k as usize);
                jobs.push(job);
                work.report.advance(1);
            }
        }
        work.report.finish();
        pass(work, &mut jobs)?;
        for job in jobs {
            job.finish(items, near, &mut solved);
        }
    }
    for solved in &mut solved {
        let passing = solved.matches.iter().sum::<u64>() as f64 / work.n as f64;
        // So far the sum of the shares near the queries.
        solved.correlation = if passing > 0.0 { solved.correlation / passing } else { 0.0 };
    }
    Ok(solved)
}

impl<'a> Job<'a> {
    fn new(
        work: &Work<'_>,
        items: &Items,
        &(group, filter, queries): &(usize, &Expression, &'a [u32]),
    ) -> Result<Self, Failure> {
        let passing = filter.bind(items)?.passing();
        let vectors = queries.iter().flat_map(|&row| work.queries.row(row as usize));
        let (vectors, dim) = (vectors.copied().collect(), work.queries.dim);
        let k = (work.args.k as usize).min(passing.len() as usize).max(1);
        let search = TruthSearch::new(vectors, dim, work.args.metric, k);
        Ok(Self { group, queries, passing, search })
    }

    fn bytes(&self, k: usize) -> usize {
        // A neighbor takes 16 bytes, and twice as many are held as are wanted.
        self.passing.bytes() + self.queries.len() * k.min(self.passing.len() as usize) * 32
    }

    /// Scans what passes of a block that begins with row `first`.
    fn add(&mut self, block: &VectorBlock, dim: usize, first: u32, pool: &rayon::ThreadPool) {
        let row_bytes = dim * block.element().bytes();
        let rows = (block.bytes().len() / row_bytes) as u32;
        let mut gathered = Vec::new();
        for NodeId(node) in self.passing.range(first, first + rows) {
            let start = (node - first) as usize * row_bytes;
            gathered.extend_from_slice(&block.bytes()[start..][..row_bytes]);
        }
        if !gathered.is_empty() {
            let vectors = Vectors { bytes: &gathered, element: block.element(), dim };
            self.search.add(vectors, pool);
        }
    }

    /// Adds the answers to those of its group.
    fn finish(self, items: &Items, near: &Truth, solved: &mut [Solved]) {
        let Self { group, queries, passing, search } = self;
        let (truth, solved) = (search.finish(), &mut solved[group]);
        // The search saw nothing but what passes: its rows are ranks among that.
        let id = |&rank: &u64| {
            passing.select(rank as u32).map_or(u64::MAX, |node| items.ids[node.index()])
        };
        for (at, &query) in queries.iter().enumerate() {
            let range = at * truth.k..(at + 1) * truth.k;
            let ids = truth.ids[range.clone()].iter().map(id).collect();
            solved.neighbors.push((ids, truth.distances[range].to_vec()));
            solved.matches.push(passing.len());
            let nearest = &near.ids[query as usize * near.k..][..near.k];
            let passed = nearest.iter().filter(|&&row| passing.contains(NodeId(row as u32)));
            solved.correlation += passed.count() as f64 / near.k as f64;
        }
    }
}

/// One pass over the file.
fn pass(work: &Work<'_>, jobs: &mut [Job<'_>]) -> Result<(), Failure> {
    let mut reader = open(&work.args.input, &ReadOptions::without_attributes())?;
    let mut batch = Batch::default();
    work.report.start("truth", Some(work.n), "items");
    while reader.next_batch(&mut batch)? {
        work.report.interrupt().check()?;
        let (first, dim) = (batch.first_row as u32, batch.dim);
        let block = block(&mut batch, reader.path())?;
        work.pool.install(|| {
            jobs.par_iter_mut().for_each(|job| job.add(&block, dim, first, work.pool));
        });
        work.report.advance(batch.rows as u64);
    }
    work.report.finish();
    Ok(())
}

/// The group whose queries must not be answered with their `size` true nearest items.
pub(super) fn excluded(
    work: &Work<'_>,
    items: &Items,
    size: u32,
) -> Result<(Made, Solved), Failure> {
    let count = (MOST_EXCLUDED / size as usize).clamp(1, work.queries.rows());
    let ranked = work.nearest(count, size.saturating_add(work.args.k))?;
    let (ids, distances) = (ranked.ids.chunks_exact(ranked.k), &ranked.distances);
    let nearest = u64::from(NEAREST).min(work.n) as f64;
    let selectivity = 1.0 - f64::from(size) / work.n as f64;
    let mut solved = Solved {
        neighbors: Vec::new(),
        matches: vec![work.n - u64::from(size); count],
        correlation: (1.0 - f64::from(size) / nearest).max(0.0) / selectivity,
        excluded: Vec::new(),
    };
    for (rows, distances) in ids.zip(distances.chunks_exact(ranked.k)) {
        let size = size as usize;
        let mut ids: Vec<u64> = rows.iter().map(|&row| items.ids[row as usize]).collect();
        solved.neighbors.push((ids.split_off(size), distances[size..].to_vec()));
        ids.sort_unstable();
        solved.excluded.push(ids);
    }
    let all = Expression::And(Vec::new());
    let queries = (0..count as u32).collect();
    Ok((
        Made { shape: Shape::Exclude.name().into(), selectivity, filters: vec![(all, queries)] },
        solved,
    ))
}
