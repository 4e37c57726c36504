//! What the tests share: items in memory, generated from a seed, and indexes built from them.
// Each test binary uses a part; a helper that fails is a test that fails.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod allocator;
pub mod crash;
pub mod everything;

use std::fs;
use std::path::Path;

use vicinage::builder::{
    BuildParams, BuildReport, ColumnBatch, ItemBatch, ItemSource, SourceError, build,
};
use vicinage::index::{ColumnKind, Index, LoadMode};
use vicinage::progress::Silent;
use vicinage::segments::manifest::MANIFEST_NAME;
use vicinage::types::{ElementType, ItemId, Metric};
use vicinage::vectors::VectorBlock;

/// SplitMix64: small, and the same everywhere.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// Seeded by the variable `SEED`, else by 1; the seed comes along for messages.
    pub fn seeded() -> (Random, u64) {
        let seed = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
        (Random(seed), seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// Uniform in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Roughly normal, by the sum of uniforms.
    pub fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() * std::f32::consts::SQRT_2 - 4.242_640_7
    }
}

/// Vectors `[n, dim]` around a few dozen centres, whole numbers within ±100 so that every element
/// type but u8 holds them exactly; u8 takes them shifted.
pub fn clustered(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let centres: Vec<f32> = (0..32 * dim).map(|_| random.normal() * 25.0).collect();
    (0..n)
        .flat_map(|_| {
            let centre = random.below(32) * dim;
            let values: Vec<f32> = (0..dim)
                .map(|i| {
                    (centres[centre + i] + random.normal() * 12.0).round().clamp(-100.0, 100.0)
                })
                .collect();
            values
        })
        .collect()
}

pub fn block(values: &[f32], element: ElementType) -> VectorBlock {
    match element {
        ElementType::F32 => VectorBlock::F32(values.to_vec()),
        ElementType::F16 => {
            VectorBlock::F16(values.iter().map(|x| half::f16::from_f32(*x)).collect())
        }
        ElementType::Bf16 => {
            VectorBlock::Bf16(values.iter().map(|x| half::bf16::from_f32(*x)).collect())
        }
        ElementType::I8 => VectorBlock::I8(values.iter().map(|x| *x as i8).collect()),
        ElementType::U8 => VectorBlock::U8(values.iter().map(|x| (*x + 100.0) as u8).collect()),
    }
}

/// Items in memory, handed out in batches.
pub struct MemorySource {
    pub dim: usize,
    pub element: ElementType,
    pub values: Vec<f32>,
    pub ids: Option<Vec<ItemId>>,
    pub attributes: Vec<(String, ColumnBatch)>,
    pub batch_rows: usize,
    pub next: usize,
}

impl MemorySource {
    pub fn new(values: Vec<f32>, dim: usize) -> Self {
        let element = ElementType::F32;
        Self { dim, element, values, ids: None, attributes: vec![], batch_rows: 1000, next: 0 }
    }

    pub fn of(values: Vec<f32>, dim: usize, element: ElementType) -> Self {
        Self { element, ..Self::new(values, dim) }
    }
}

fn slice(column: &ColumnBatch, rows: std::ops::Range<usize>) -> ColumnBatch {
    match column {
        ColumnBatch::Bool(v) => ColumnBatch::Bool(v[rows].to_vec()),
        ColumnBatch::I64(v) => ColumnBatch::I64(v[rows].to_vec()),
        ColumnBatch::F64(v) => ColumnBatch::F64(v[rows].to_vec()),
        ColumnBatch::Timestamp(v) => ColumnBatch::Timestamp(v[rows].to_vec()),
        ColumnBatch::Category(v) => ColumnBatch::Category(v[rows].to_vec()),
        ColumnBatch::Tags(v) => ColumnBatch::Tags(v[rows].to_vec()),
    }
}

impl ItemSource for MemorySource {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> u64 {
        (self.values.len() / self.dim) as u64
    }

    fn element(&self) -> ElementType {
        self.element
    }

    fn attributes(&self) -> Vec<(String, ColumnKind)> {
        self.attributes.iter().map(|(name, column)| (name.clone(), column.kind())).collect()
    }

    fn next_batch(&mut self) -> Result<Option<ItemBatch>, SourceError> {
        let rows = self.next..(self.next + self.batch_rows).min(self.rows() as usize);
        if rows.is_empty() {
            return Ok(None);
        }
        self.next = rows.end;
        Ok(Some(ItemBatch {
            vectors: block(&self.values[rows.start * self.dim..rows.end * self.dim], self.element),
            ids: self.ids.as_ref().map(|ids| ids[rows.clone()].to_vec()),
            attributes: self.attributes.iter().map(|(_, c)| slice(c, rows.clone())).collect(),
        }))
    }
}

/// Parameters that build small sets fast: no probe, one thread.
pub fn quick(metric: Metric) -> BuildParams {
    BuildParams {
        max_degree: 16,
        ef_construction: 48,
        alpha: Some(1.1),
        backfill: Some(true),
        threads: 2,
        ..BuildParams::new(metric)
    }
}

/// Builds, by default in the type of the source: made-up numbers are so round that they fit narrower ones.
pub fn build_quick(dir: &Path, mut source: MemorySource, params: &BuildParams) -> BuildReport {
    let element = params.element.or(Some(source.element));
    build(dir, &mut source, &BuildParams { element, ..params.clone() }, &Silent).unwrap()
}

pub fn open(dir: &Path) -> Index {
    Index::open(dir, LoadMode::Mmap).unwrap()
}

/// Nothing but generations, the manifest and the lock file.
pub fn assert_clean(index: &Path) {
    for entry in fs::read_dir(index).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let expected = name == MANIFEST_NAME || name == ".lock" || name.parse::<u64>().is_ok();
        assert!(expected, "{name} was left behind");
    }
}
