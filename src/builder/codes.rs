//! The codes stage: vectors as small integers. The graph is built on those of 8 bits, whatever
//! searches will read: they are a quarter of f32 vectors or less, and as good to choose edges by.

use rayon::prelude::*;

use crate::builder::items::Items;
use crate::progress::{Cancelled, Progress};
use crate::quantizers::{
    CodeBounds, CodeBytes, CodeKind, CodeLayout, CodeTerms, Codes, encode_rows,
};
use crate::types::{Metric, NodeId};

/// Rows that one task codes.
const ROWS: usize = 1024;

/// The center is the mean of at most so many rows: plenty for a mean.
const CENTER_ROWS: usize = 1 << 16;

/// Codes of all items, in build order.
#[derive(Debug)]
pub(super) struct BuiltCodes {
    bytes: CodeBytes,
    terms: Vec<CodeTerms>,
    layout: CodeLayout,
    center: Vec<f32>,
    bounds: CodeBounds,
}

impl BuiltCodes {
    /// Codes all items. Cost: a pass over the vectors.
    pub(super) fn encode(
        items: &Items,
        kind: CodeKind,
        pool: &rayon::ThreadPool,
        progress: &dyn Progress,
    ) -> Result<Self, Cancelled> {
        let layout = CodeLayout::new(kind, items.dim());
        let center = center(items);
        let mut bytes = CodeBytes::zeroed(items.len() * layout.stride());
        let mut terms = vec![CodeTerms::default(); items.len()];
        pool.install(|| {
            let chunks = bytes.bytes_mut().par_chunks_mut(ROWS * layout.stride());
            let chunks = chunks.zip(terms.par_chunks_mut(ROWS)).enumerate();
            chunks.try_for_each(|(chunk, (out, terms))| {
                let mut vector = Vec::with_capacity(items.dim());
                encode_rows(layout, &center, out, terms, &mut |at, row| {
                    items.scaled(NodeId((chunk * ROWS + at) as u32), &mut vector);
                    row.copy_from_slice(&vector);
                });
                progress.advance(terms.len() as u64);
                if progress.cancelled() { Err(Cancelled) } else { Ok(()) }
            })
        })?;
        let bounds = CodeBounds::of(&terms, &center);
        Ok(Self { bytes, terms, layout, center, bounds })
    }

    /// Memory that rows and terms take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes().len() + size_of_val(&*self.terms)
    }

    /// The rows.
    pub(super) fn view(&self) -> Codes<'_> {
        Codes::new(self.bytes.bytes(), &self.terms, self.layout, &self.center, self.bounds)
    }
}

/// The mean of the vectors, of evenly spread ones where there are many.
fn center(items: &Items) -> Vec<f32> {
    let stride = items.len().div_ceil(CENTER_ROWS);
    let mut sums = vec![0.0_f64; items.dim()];
    let (mut vector, mut count) = (Vec::with_capacity(items.dim()), 0.0_f64);
    for node in (0..items.len() as u32).step_by(stride).map(NodeId) {
        items.scaled(node, &mut vector);
        for (sum, x) in sums.iter_mut().zip(&vector) {
            *sum += f64::from(*x);
        }
        count += 1.0;
    }
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

impl Items {
    /// Replaces the contents of `out` by the vector of an item, at unit length for cosine.
    fn scaled(&self, node: NodeId, out: &mut Vec<f32>) {
        self.vectors().widen(node, out);
        if self.metric() == Metric::Cosine {
            let scale = self.scales()[node.index()];
            out.iter_mut().for_each(|x| *x *= scale);
        }
    }
}
