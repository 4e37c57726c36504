//! What the benchmarks share: made-up vectors and a small index.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod kernels;

use std::error::Error;
use std::path::Path;

use vicinage::builder::{BuildParams, ItemBatch, ItemSource, build};
use vicinage::index::ColumnKind;
use vicinage::progress::Silent;
use vicinage::types::{ElementType, Metric};
use vicinage::vectors::VectorBlock;

/// Whether `cargo bench` runs this, and not `cargo test`, which only wants to see that it works.
pub(crate) fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Pseudo-random numbers in −1..1 with the digits that an f32 needs.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        // xorshift32, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / (1_u32 << 31) as f32 - 1.0
    })
    .take(count)
    .collect()
}

/// Items of an index, in one batch.
struct Rows {
    dim: usize,
    items: usize,
    vectors: Option<Vec<f32>>,
}

impl ItemSource for Rows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> u64 {
        self.items as u64
    }

    fn element(&self) -> ElementType {
        ElementType::F32
    }

    fn attributes(&self) -> Vec<(String, ColumnKind)> {
        Vec::new()
    }

    fn next_batch(&mut self) -> Result<Option<ItemBatch>, Box<dyn Error + Send + Sync>> {
        Ok(self.vectors.take().map(|vectors| ItemBatch {
            vectors: VectorBlock::F32(vectors),
            ids: None,
            attributes: Vec::new(),
        }))
    }
}

/// Builds an index of made-up f32 vectors `[items, dim]`.
pub(crate) fn make_index(
    out: &Path,
    items: usize,
    dim: usize,
    metric: Metric,
) -> Result<(), Box<dyn Error>> {
    let params = BuildParams { threads: 2, deterministic: true, ..BuildParams::new(metric) };
    let mut rows = Rows { dim, items, vectors: Some(numbers(1, items * dim)) };
    build(out, &mut rows, &params, &Silent)?;
    Ok(())
}
