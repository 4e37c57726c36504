//! Truth and replay against a plain loop over a map from tags to rows.

use std::collections::HashMap;

use vicinage::types::Metric;
use vicinage::vectors::VectorBlock;
use vicinage_datasets::generate::{RunbookKind, RunbookParams, make_runbook};
use vicinage_datasets::{Runbook, Update, read_distances, read_ids};

use super::replay::{Stream, replay};
use super::truth::step_file;
use super::{Base, LiveTruth, write_truth};
use crate::interrupt::Interrupt;
use crate::progress::{ProgressMode, Reporter};
use crate::queries::Queries;
use crate::truth::thread_pool;

const DIM: usize = 8;

/// Whole numbers from −4 to 4: distances are exact in f32, and many are the same.
fn whole_numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % 9
    };
    (0..count).map(|_| next() as f32 - 4.0).collect()
}

fn report() -> Reporter {
    Reporter::new(ProgressMode::None, Interrupt::none())
}

struct Case {
    runbook: Runbook,
    rows: Vec<f32>,
    base: Base,
    queries: Queries,
    metric: Metric,
    k: usize,
}

impl Case {
    fn new(kind: RunbookKind, seed: u64, metric: Metric, integers: bool) -> Self {
        let params = RunbookParams { kind, n: 400, rounds: 20, clusters: 5, seed };
        let runbook = make_runbook("random", &params).unwrap();
        let rows = whole_numbers(400 * DIM, seed);
        let block = VectorBlock::F32(rows.clone());
        let block = if integers { block.convert(vicinage::types::ElementType::I8) } else { block };
        let queries = Queries { vectors: whole_numbers(20 * DIM, seed + 1), dim: DIM };
        // More than what is live, at times.
        let k = if seed.is_multiple_of(3) { 90 } else { 7 };
        Self { runbook, rows, base: Base::of(block, DIM), queries, metric, k }
    }

    fn row(&self, row: u32) -> &[f32] {
        &self.rows[row as usize * DIM..][..DIM]
    }

    /// Distances and tags of all live items, closest first.
    fn naive(&self, live: &HashMap<u32, u32>, query: &[f32]) -> Vec<(f64, u64)> {
        let sum = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let distance = |row: &[f32]| match self.metric {
            Metric::L2 => sum(query, query) - 2.0 * sum(query, row) + sum(row, row),
            Metric::Ip => -sum(query, row),
            Metric::Cosine => 1.0 - sum(query, row) / (sum(query, query) * sum(row, row)).sqrt(),
        };
        let mut near: Vec<(f64, u64)> =
            live.iter().map(|(tag, row)| (distance(self.row(*row)), u64::from(*tag))).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        near
    }

    fn check(&self, what: &str) {
        let folder = tempfile::tempdir().unwrap();
        let pool = thread_pool(2).unwrap();
        let mut truth = LiveTruth::new(&self.base, &self.queries, self.metric, self.k, &pool);
        write_truth(&self.runbook, &mut truth, folder.path(), &report()).unwrap();
        let mut live: HashMap<u32, u32> = HashMap::new();
        let mut searched = Vec::new();
        for (step, update) in (1..).zip(self.runbook.steps()) {
            match update {
                Update::Insert(tags) => live.extend(tags.clone().map(|tag| (tag, tag))),
                Update::Delete(tags) => live.retain(|tag, _| !tags.contains(tag)),
                Update::Replace { tags, rows } => live.extend(tags.clone().zip(rows.clone())),
                Update::Search => {
                    self.check_step(what, &live, &step_file(folder.path(), step));
                    searched.push((step, live.len() as u64));
                }
            }
        }
        let Case { runbook, base, queries, metric, k, .. } = self;
        let truth = folder.path();
        let stream = Stream { runbook, base, queries, metric: *metric, k: *k, truth };
        let figures = replay(&stream, &report()).unwrap();
        let steps: Vec<_> = figures.iter().map(|at| (at.stream.step, at.stream.live)).collect();
        assert_eq!(steps, searched, "{what}");
        for at in &figures {
            assert_eq!((at.recall.id, at.recall.distance), (1.0, 1.0), "{what}: {:?}", at.stream);
            assert_eq!(at.nanos.len(), queries.rows());
            assert_eq!(at.distances_per_query, at.stream.live as f64);
            assert!(at.stream.updates_per_second.is_some_and(|rate| rate > 0.0), "{what}");
        }
    }

    fn check_step(&self, what: &str, live: &HashMap<u32, u32>, path: &std::path::Path) {
        let ids = read_ids(&path.to_owned().into()).unwrap();
        let distances = read_distances(&path.to_owned().into()).unwrap();
        let k = self.k.min(live.len());
        assert_eq!((ids.rows(), ids.k(), distances.k()), (self.queries.rows(), k, k), "{what}");
        for query in 0..ids.rows() {
            let near = self.naive(live, self.queries.row(query));
            for (rank, (distance, tag)) in near.into_iter().take(k).enumerate() {
                let found = f64::from(distances.row(query)[rank]);
                let at = format!("{what}, {}, query {query}, rank {rank}", path.display());
                if self.metric == Metric::Cosine {
                    assert!((found - distance).abs() < 1e-5, "{at}: {found}, not {distance}");
                } else {
                    assert_eq!((found, ids.row(query)[rank]), (distance, tag), "{at}");
                }
            }
        }
    }
}

#[test]
fn random_runbooks_have_the_truth_of_a_plain_loop_and_replay_with_recall_1() {
    for seed in 0..12 {
        let kind = RunbookKind::ALL[seed as usize % 3];
        let metric = Metric::ALL[seed as usize / 3 % 3];
        let case = Case::new(kind, seed, metric, seed % 2 == 0);
        case.check(&format!("kind {kind}, seed {seed}, {metric}"));
    }
}

/// A replacement keeps the tag and changes its vector; a tag that comes again has its own row.
#[test]
fn replaced_tags_keep_their_name() {
    let steps = vec![
        Update::Insert(0..2),
        Update::Search,
        Update::Replace { tags: 0..1, rows: 3..4 },
        Update::Search,
        Update::Delete(0..1),
        Update::Insert(0..1),
        Update::Search,
    ];
    let runbook = Runbook::new("s".to_owned(), None, steps).unwrap();
    let base = Base::of(VectorBlock::F32(vec![1.0, 5.0, 0.0, 9.0]), 1);
    let queries = Queries { vectors: vec![0.0], dim: 1 };
    let pool = thread_pool(1).unwrap();
    let mut truth = LiveTruth::new(&base, &queries, Metric::L2, 10, &pool);
    let mut found = Vec::new();
    for update in runbook.steps() {
        truth.apply(update);
        if *update == Update::Search {
            let (ids, distances) = truth.search(&report()).unwrap();
            found.push((ids.row(0).to_vec(), distances.row(0).to_vec()));
        }
    }
    let expected = [(vec![0, 1], vec![1.0, 25.0]), (vec![1, 0], vec![25.0, 81.0])];
    assert_eq!(found[..2], expected);
    assert_eq!(found[2], expected[0]);
}

#[test]
fn the_truth_of_another_runbook_is_refused() {
    let case = Case::new(RunbookKind::Expiration, 1, Metric::L2, false);
    let other = Case::new(RunbookKind::SlidingWindow, 2, Metric::L2, false);
    let folder = tempfile::tempdir().unwrap();
    let pool = thread_pool(1).unwrap();
    let replayed = |queries: &Queries, k| {
        let Case { runbook, base, .. } = &case;
        let truth = folder.path();
        let stream = Stream { runbook, base, queries, metric: Metric::L2, k, truth };
        replay(&stream, &report()).map(|_| ()).unwrap_err().render()
    };
    assert!(replayed(&case.queries, 5).contains("step2.gt100"));
    let mut truth = LiveTruth::new(&case.base, &case.queries, Metric::L2, 3, &pool);
    write_truth(&case.runbook, &mut truth, folder.path(), &report()).unwrap();
    assert!(replayed(&case.queries, 5).contains("5 tags"));
    let few = Queries { vectors: vec![0.0; DIM], dim: DIM };
    assert!(replayed(&few, 3).contains("1 rows, one a query"));
    let mut truth = LiveTruth::new(&other.base, &other.queries, Metric::L2, 3, &pool);
    other.runbook.steps().iter().for_each(|update| truth.apply(update));
    let (ids, distances) = truth.search(&report()).unwrap();
    let path = step_file(folder.path(), 2);
    vicinage_datasets::write_ground_truth(&path, &ids, &distances).unwrap();
    assert!(replayed(&case.queries, 3).contains("tags that are live at step 2"));
}
