//! Many threads search one index while new generations replace it and old ones are removed: each
//! answer is that of the snapshot that was opened.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::everything::ways;
use common::{MemorySource, build_quick, clustered, open, quick};
use vicinage::index::{Hit, Index, LoadMode, Scratch};
use vicinage::types::{Metric, NodeId};

const DIM: usize = 8;
const SEARCHERS: usize = 6;
const OPENERS: usize = 2;
const GENERATIONS: u64 = 12;

/// Publishes a generation whose size, vectors and ids tell which one it is.
fn publish(dir: &Path, generation: u64) {
    let n = 400 + 50 * generation as usize;
    let ids = (0..n as u64).map(|row| generation << 32 | row).collect();
    let values = clustered(n, DIM, generation);
    let source = MemorySource { ids: Some(ids), ..MemorySource::new(values, DIM) };
    assert_eq!(build_quick(dir, source, &quick(Metric::L2)).generation, generation);
}

/// What every query gets, every way.
fn answers(index: &Index, scratch: &mut Scratch) -> Vec<Vec<Hit>> {
    let mut answers = Vec::new();
    for query in clustered(8, DIM, 77).chunks(DIM) {
        for params in ways(NodeId(3)) {
            let mut hits = Vec::new();
            index.search(scratch, query, &params, &mut hits).unwrap();
            answers.push(hits);
        }
    }
    answers
}

/// The score of the closest item for each query, from the vectors of a generation alone. They are
/// whole numbers, so that every order of summing gives the same.
fn best_scores(generation: u64) -> Vec<f32> {
    let values = clustered(400 + 50 * generation as usize, DIM, generation);
    let best = |query: &[f32]| {
        let score =
            |row: &[f32]| -row.iter().zip(query).map(|(x, q)| (x - q) * (x - q)).sum::<f32>();
        values.chunks(DIM).map(score).fold(f32::NEG_INFINITY, f32::max)
    };
    clustered(8, DIM, 77).chunks(DIM).map(best).collect()
}

#[test]
fn an_answer_is_that_of_its_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    publish(path, 1);
    let index = Arc::new(open(path));
    let first = answers(&index, &mut Scratch::default());
    let truths: Vec<_> = (0..=GENERATIONS).map(best_scores).collect();
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let opened: Vec<AtomicUsize> = (0..=GENERATIONS).map(|_| AtomicUsize::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..SEARCHERS {
            let index = Arc::clone(&index);
            let (first, over, rounds) = (&first, &over, &rounds);
            scope.spawn(move || {
                let mut scratch = Scratch::default();
                // Once more after the last generation: the first is then long gone.
                let mut last = false;
                while !last {
                    last = over.load(Ordering::Acquire);
                    assert_eq!(&answers(&index, &mut scratch), first);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for opener in 0..OPENERS {
            let (over, opened, truths) = (&over, &opened, &truths);
            let load = if opener == 0 { LoadMode::Mmap } else { LoadMode::Copy };
            scope.spawn(move || {
                let (mut scratch, mut newest, mut last) = (Scratch::default(), 0, false);
                while !last {
                    last = over.load(Ordering::Acquire);
                    let index = Index::open(path, load).unwrap();
                    let generation = index.info().generation;
                    assert!(generation >= newest);
                    newest = generation;
                    assert_eq!(index.info().n, 400 + 50 * generation);
                    let answers = answers(&index, &mut scratch);
                    // The second way of each query is the exact one.
                    let exact: Vec<f32> = answers.chunks(3).map(|ways| ways[1][0].score).collect();
                    assert_eq!(exact, truths[generation as usize]);
                    let own = |hit: &Hit| hit.item_id >> 32 == generation;
                    assert!(answers.iter().flatten().all(own), "generation {generation}");
                    opened[generation as usize].fetch_add(1, Ordering::Relaxed);
                }
                assert_eq!(newest, GENERATIONS);
            });
        }
        for generation in 2..=GENERATIONS {
            publish(path, generation);
        }
        over.store(true, Ordering::Release);
    });
    assert!(!index.file().exists(), "the first generation is still there");
    let opened: Vec<usize> = opened.into_iter().map(AtomicUsize::into_inner).collect();
    eprintln!("{} rounds on the first snapshot; opened {opened:?}", rounds.into_inner());
    assert_eq!(answers(&index, &mut Scratch::default()), first);
}
