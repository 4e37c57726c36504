//! Items in cells: each item belongs to the nearest of some items that were drawn. What passes is
//! correlated with a query where it is made of the cells nearest to it.

use std::collections::BTreeSet;

use vicinage::eval::truth::TruthSearch;
use vicinage::progress::Progress;
use vicinage::types::{ElementType, Metric};
use vicinage::vectors::Vectors;
use vicinage_datasets::generate::Random;
use vicinage_datasets::{Batch, ReadOptions, open};

use super::Work;
use crate::exit::Failure;

/// Items of a cell, on average, where there are not too many cells for it.
const ITEMS: u64 = 100;
/// The most cells.
const MOST: u64 = 256;

/// The cells of all items.
pub(super) struct Cells {
    /// Of each item, in the order of the file.
    pub(super) of: Vec<u32>,
    /// How many items each has.
    pub(super) sizes: Vec<u64>,
    /// The mean of the items of each, `[cells, dim]`.
    means: Vec<f64>,
    metric: Metric,
}

impl Cells {
    pub(super) fn make(work: &Work<'_>) -> Result<Self, Failure> {
        let centres = centres(work)?;
        let (dim, metric) = (work.queries.dim, work.args.metric);
        let count = centres.len() / dim;
        // Cells are regions: with inner product alone, a few long items would take them all.
        let nearness = if metric == Metric::Ip { Metric::L2 } else { metric };
        let mut cells =
            Self { of: Vec::new(), sizes: vec![0; count], means: vec![0.0; count * dim], metric };
        let bytes = bytemuck::cast_slice(&centres);
        let centres = Vectors { bytes, element: ElementType::F32, dim };
        let mut reader = open(&work.args.input, &ReadOptions::without_attributes())?;
        let mut batch = Batch::default();
        work.report.start("cells", Some(work.n), "items");
        while reader.next_batch(&mut batch)? {
            work.report.interrupt().check()?;
            let vectors = batch.to_f32()?;
            let mut search = TruthSearch::new(vectors.to_vec(), dim, nearness, 1);
            search.add(centres, work.pool);
            let nearest = search.finish().ids;
            if nearest.len() != batch.rows {
                let what = format!("{} has vectors without a direction", work.args.input);
                return Err(Failure::data(what).expected("none, for cosine", "zero vectors"));
            }
            for (row, &cell) in vectors.chunks_exact(dim).zip(&nearest) {
                cells.add(row, cell as usize);
            }
            work.report.advance(batch.rows as u64);
        }
        work.report.finish();
        for (mean, &size) in cells.means.chunks_exact_mut(dim).zip(&cells.sizes) {
            mean.iter_mut().for_each(|x| *x /= size.max(1) as f64);
        }
        Ok(cells)
    }

    fn add(&mut self, row: &[f32], cell: usize) {
        self.of.push(cell as u32);
        self.sizes[cell] += 1;
        let sums = &mut self.means[cell * row.len()..][..row.len()];
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }

    /// The value of the attribute for items of a cell.
    pub(super) fn name(cell: usize) -> String {
        format!("c{cell}")
    }

    /// The cells, by the distance of their means to a query, nearest first.
    pub(super) fn nearest_first(&self, query: &[f32]) -> Vec<usize> {
        let distance = |mean: &[f64]| {
            let pairs = || mean.iter().zip(query).map(|(&x, &q)| (x, f64::from(q)));
            let dot: f64 = pairs().map(|(x, q)| x * q).sum();
            match self.metric {
                Metric::L2 => pairs().map(|(x, q)| (x - q) * (x - q)).sum(),
                Metric::Ip => -dot,
                // The length of the query is the same for all.
                Metric::Cosine => -dot / pairs().map(|(x, _)| x * x).sum::<f64>().sqrt().max(1e-30),
            }
        };
        let mut cells: Vec<(f64, usize)> =
            self.means.chunks_exact(query.len()).map(distance).zip(0..).collect();
        cells.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        cells.into_iter().map(|(_, cell)| cell).collect()
    }
}

/// The vectors of the items that cells are around.
fn centres(work: &Work<'_>) -> Result<Vec<f32>, Failure> {
    let count = (work.n / ITEMS).clamp(16, MOST).min(work.n);
    let mut random = Random::new(work.args.seed.seed, "cells", 0);
    let mut rows = BTreeSet::new();
    while (rows.len() as u64) < count {
        rows.insert(random.below(work.n));
    }
    let mut reader = open(&work.args.input, &ReadOptions::without_attributes())?;
    let (mut batch, mut centres) = (Batch::default(), Vec::new());
    while reader.next_batch(&mut batch)? {
        work.report.interrupt().check()?;
        let (first, end) = (batch.first_row, batch.first_row + batch.rows as u64);
        if rows.range(first..end).next().is_some() {
            let vectors = batch.to_f32()?;
            for row in rows.range(first..end) {
                centres
                    .extend_from_slice(&vectors[(row - first) as usize * batch.dim..][..batch.dim]);
            }
        }
    }
    Ok(centres)
}
