//! Profiles of files whose properties are known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::Path;

use vicinage_datasets::generate::{
    Clustered, ClusteredParams, Sizes, Split, TwoTower, TwoTowerParams, VectorSource, write_vectors,
};
use vicinage_datasets::profile::{Profile, Verdict, profile};
use vicinage_datasets::{
    Batch, Element, ReadOptions, Shape, VectorData, WriteOptions, create, open,
};

fn write(path: &Path, dim: usize, vectors: Vec<f32>) {
    let batch = Batch::of_vectors(dim, VectorData::F32(vectors));
    let shape = Shape { rows: batch.rows as u64, dim: dim as u32, element: Element::F32 };
    let mut writer = create(path, shape, &WriteOptions::default()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

fn read(base: &Path, queries: Option<&Path>, directions: bool) -> Profile {
    let options = ReadOptions { batch_bytes: 10_000, ..ReadOptions::default() };
    let queries = queries.map(|path| open(&path.to_owned().into(), &options).unwrap());
    let mut base = open(&base.to_owned().into(), &options).unwrap();
    let go = |_| ControlFlow::Continue(());
    profile(&mut *base, queries, directions, &go).unwrap()
}

/// A set written to files: base and test queries.
fn files(dir: &Path, set: &dyn VectorSource) -> [std::path::PathBuf; 2] {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    [Split::Base, Split::Test].map(|split| {
        let path = dir.join(format!("{split}.npy"));
        let go = |_| ControlFlow::Continue(());
        write_vectors(set, split, &path, &pool, &go).unwrap();
        path
    })
}

const SIZES: Sizes = Sizes { n: 8_000, dim: 32, test: 300, learn: 1, seed: 5 };

#[test]
fn norms_and_duplicates_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("few.npy");
    write(&path, 2, vec![0.0, 0.0, 3.0, 4.0, 0.6, 0.8, 3.0, 4.0, 0.0, 2.0, 3.0, 4.0]);
    let profile = read(&path, None, false);
    assert_eq!((profile.rows, profile.dim, profile.element.as_str()), (6, 2, "f32"));
    assert_eq!((profile.norms.zero, profile.norms.normalised), (1, 1));
    assert_eq!((profile.duplicates, profile.duplicates_exact), (2, true));
    let norms = profile.norms.quantiles;
    assert!(norms.min == 0.0 && norms.max == 5.0 && norms.median == 5.0, "{norms:?}");
    assert_eq!(profile.norms.histogram.counts.iter().sum::<u64>(), 6);
    assert_eq!((profile.intrinsic_dimension, profile.queries), (None, None));
}

#[test]
fn files_of_no_row_one_row_or_one_value_have_a_profile() {
    let dir = tempfile::tempdir().unwrap();
    let queries = dir.path().join("queries.npy");
    write(&queries, 3, vec![1.0, 2.0, 3.0]);
    for rows in [0, 1, 500] {
        let path = dir.path().join("same.npy");
        write(&path, 3, vec![1.0; rows * 3]);
        let profile = read(&path, Some(&queries), true);
        assert_eq!(profile.duplicates, rows.saturating_sub(1) as u64);
        assert_eq!(profile.intrinsic_dimension, None);
        assert_eq!(profile.queries.is_some(), rows > 1);
    }
}

#[test]
fn a_plane_in_many_dimensions_has_two() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plane.npy");
    let params = ClusteredParams { sizes: Sizes { dim: 2, ..SIZES }, clusters: 1, spread: 1.0 };
    let plane = Clustered::new(params).unwrap();
    let points: Vec<f32> = (0..2).flat_map(|block| plane.block(Split::Base, block)).collect();
    let wide = points
        .chunks_exact(2)
        .flat_map(|p| (0..20).map(|at| p[0] * (at as f32).cos() + p[1] * (at as f32 * 1.7).sin()));
    write(&path, 20, wide.collect());
    let dimension = read(&path, None, false).intrinsic_dimension.unwrap();
    assert!((1.7..2.4).contains(&dimension), "{dimension}");
}

#[test]
fn queries_are_told_apart_from_items_where_they_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let set = Clustered::new(ClusteredParams { sizes: SIZES, clusters: 30, spread: 0.5 }).unwrap();
    let [base, test] = files(dir.path(), &set);
    for directions in [false, true] {
        let queries = read(&base, Some(&test), directions).queries.unwrap();
        assert_eq!((queries.rows, queries.verdict), (300, Verdict::InDistribution), "{queries:?}");
    }
    let set = TwoTower::new(TwoTowerParams { sizes: SIZES, ..TwoTowerParams::default() }).unwrap();
    let [base, test] = files(dir.path(), &set);
    let queries = read(&base, Some(&test), true).queries.unwrap();
    assert_eq!(queries.verdict, Verdict::OutOfDistribution, "{queries:?}");
    assert!(queries.nearest.queries.median > queries.nearest.rows.median);
    let total = |histogram: &vicinage_datasets::profile::Histogram| -> u64 {
        histogram.counts.iter().sum()
    };
    assert_eq!(total(&queries.nearest.query_histogram), 300);
}
