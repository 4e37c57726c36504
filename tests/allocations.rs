//! A search allocates nothing once its scratch has grown: one thread, one scratch, several indexes,
//! every way to search.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::allocator::{Counting, asked};
use common::{MemorySource, build_quick, clustered, open, quick};
use vicinage::builder::BuildParams;
use vicinage::index::{Among, Index, Plan, Scratch, SearchParams};
use vicinage::types::{ElementType, Metric, NodeId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DIM: usize = 12;

/// Indexes of different sizes, degrees, metrics and element types.
fn indexes(dir: &std::path::Path) -> Vec<Index> {
    let sets = [
        (20_000, 8, Metric::L2, ElementType::I8),
        (300, 32, Metric::Cosine, ElementType::F16),
        (4_000, 24, Metric::Ip, ElementType::F32),
        (1, 16, Metric::Cosine, ElementType::U8),
        (9_000, 16, Metric::Cosine, ElementType::Bf16),
    ];
    let built = (0..).zip(sets).map(|(at, (n, max_degree, metric, element))| {
        let dir = dir.join(format!("{at}"));
        let params = BuildParams { max_degree, ef_construction: 32, ..quick(metric) };
        build_quick(&dir, MemorySource::of(clustered(n, DIM, at), DIM, element), &params);
        open(&dir)
    });
    built.collect()
}

/// Walks with lists from the shortest to the longest, scans, with and without an item left out.
fn shapes() -> Vec<SearchParams> {
    let mut shapes = Vec::new();
    for (k, ef) in [(1, 1), (10, 100), (100, 700), (1000, 1000), (10, 2000), (1000, 2000)] {
        for exact in [false, true] {
            for exclude in [None, Some(NodeId(0))] {
                let ef = Some(ef);
                shapes.push(SearchParams { ef, exact, exclude, ..SearchParams::top(k) });
            }
        }
    }
    shapes
}

#[test]
fn a_warm_search_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let indexes = indexes(dir.path());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    // One query warms everything; the others are told apart from it by what they meet.
    let warm = vec![1.0; DIM];
    for index in &indexes {
        for params in shapes() {
            index.search(&mut scratch, &warm, &params, &mut hits).unwrap();
        }
    }
    let queries = clustered(40, DIM, 99);
    let mut plans = [0; 4];
    for query in queries.chunks(DIM) {
        for (at, index) in indexes.iter().enumerate() {
            for params in shapes() {
                let (answer, cost) =
                    asked(|| index.search(&mut scratch, query, &params, &mut hits).unwrap());
                assert_eq!(cost.times, 0, "index {at}, {params:?}: {cost:?}");
                plans[answer.plan as usize] += 1;
            }
        }
    }
    for index in &indexes {
        let passing = (0..index.info().n as u32).step_by(3).map(NodeId).collect();
        let among = Among { passing: Some(&passing), excluded: &[NodeId(1), NodeId(3)] };
        let plans = [None, Some(Plan::TwoHop), Some(Plan::Walk)];
        let shapes = shapes().into_iter();
        for params in shapes.flat_map(|params| plans.map(|plan| SearchParams { plan, ..params })) {
            let mut ask = || index.search_among(&mut scratch, &warm, &params, &among, &mut hits);
            ask().unwrap();
            assert_eq!(asked(|| ask().unwrap()).1.times, 0, "{params:?}");
        }
    }
    let [all, exact, walk] = [Plan::All, Plan::Exact, Plan::Walk].map(|plan| plans[plan as usize]);
    assert!(all > 100 && exact > 100 && walk > 100, "{all} all, {exact} exact, {walk} walks");
}

/// A new scratch is warm for a way to search after one query, whichever that was.
#[test]
fn one_query_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    for index in &indexes(dir.path()) {
        for params in shapes() {
            let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
            index.search(&mut scratch, &[1.0; DIM], &params, &mut hits).unwrap();
            for query in clustered(20, DIM, 98).chunks(DIM) {
                let ((), cost) = asked(|| {
                    index.search(&mut scratch, query, &params, &mut hits).unwrap();
                });
                assert_eq!(cost.times, 0, "n {}, {params:?}: {cost:?}", index.info().n);
            }
        }
    }
}

/// A refused query costs nothing either.
#[test]
fn a_refusal_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(clustered(50, 4, 1), 4), &quick(Metric::Cosine));
    let index = open(dir.path());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    for query in [&[0.0; 4][..], &[1.0; 3], &[f32::NAN; 4], &[]] {
        let params = SearchParams::top(3);
        let (refused, cost) = asked(|| index.search(&mut scratch, query, &params, &mut hits));
        refused.unwrap_err();
        assert_eq!(cost.times, 0, "{query:?}");
    }
}

/// The count is one: it sees what is allocated.
#[test]
fn allocations_are_counted() {
    let (held, cost) = asked(|| (0..1000u64).collect::<Vec<_>>());
    assert_eq!((cost.times, cost.peak), (1, 8000));
    let ((), cost) = asked(|| drop(held));
    assert_eq!((cost.times, cost.held, cost.peak), (0, -8000, 0));
}
