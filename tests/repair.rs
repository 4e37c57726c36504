//! What an index learns from logged queries: answers of queries that are apart from the items take fewer
//! distances, what does not help is not kept, and files that lie about it are refused.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{MemorySource, Random, build_quick, open, quick};
use vicinage::builder::{BuildParams, repair};
use vicinage::filters::nodes::NodeSet;
use vicinage::format::LoadMode;
use vicinage::index::{Among, Hit, Index, Plan, Scratch, SearchParams, verify};
use vicinage::progress::Silent;
use vicinage::types::{Metric, NodeId};

const DIM: usize = 24;
const ITEMS: usize = 6_000;
const TOPICS: usize = 150;

/// Topics, each with items in one direction and the users who like them in another.
struct Topics {
    items: Vec<Vec<f32>>,
    users: Vec<Vec<f32>>,
}

impl Topics {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut vectors = || -> Vec<Vec<f32>> {
            (0..TOPICS).map(|_| (0..DIM).map(|_| random.normal()).collect()).collect()
        };
        Self { items: vectors(), users: vectors() }
    }

    fn items(&self, seed: u64) -> Vec<f32> {
        let mut random = Random(seed);
        let mut items = Vec::new();
        for item in 0..ITEMS {
            let long = 1.0 + 0.3 * random.normal().abs();
            items.extend(
                self.items[item % TOPICS].iter().map(|x| long * (x + 0.6 * random.normal())),
            );
        }
        items
    }

    /// Each of what items of two topics are, and twice of what users of one share.
    fn users(&self, count: usize, seed: u64) -> Vec<f32> {
        let mut random = Random(seed);
        let mut users = Vec::new();
        for _ in 0..count {
            let (a, b) = (random.below(TOPICS), random.below(TOPICS));
            let parts = [&self.items[a], &self.items[b], &self.users[a], &self.users[a]];
            users.extend(
                (0..DIM).map(|at| {
                    parts.iter().map(|part| part[at]).sum::<f32>() + 0.3 * random.normal()
                }),
            );
        }
        users
    }
}

fn params() -> BuildParams {
    BuildParams { calibrate: false, deterministic: true, ..quick(Metric::Ip) }
}

/// Mean recall@10 and distances of users, at `ef`.
fn ask(index: &Index, users: &[f32], ef: usize) -> (f64, f64) {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::<Hit>::new());
    let (mut found, mut distances) = (0, 0);
    for user in users.chunks(DIM) {
        let mut ids = |params: &SearchParams| {
            let account = index.search(&mut scratch, user, params, &mut hits).unwrap();
            (hits.iter().map(|hit| hit.item_id).collect::<BTreeSet<u64>>(), account.distances)
        };
        let (exact, _) = ids(&SearchParams { exact: true, ..SearchParams::top(10) });
        let (near, took) = ids(&SearchParams { ef: Some(ef), ..SearchParams::top(10) });
        found += near.intersection(&exact).count();
        distances += took;
    }
    let asked = users.len() / DIM;
    (found as f64 / (10 * asked) as f64, distances as f64 / asked as f64)
}

/// Distances with the shortest list that reaches recall 0.95.
fn cost(index: &Index, users: &[f32]) -> f64 {
    let asked = (10..200).step_by(2).map(|ef| ask(index, users, ef));
    asked.into_iter().find(|(recall, _)| *recall >= 0.95).unwrap().1
}

#[test]
fn a_build_that_is_given_queries_answers_their_like_with_less() {
    let topics = Topics::new(5);
    let (learn, test) = (topics.users(1_500, 6), topics.users(300, 7));
    let [plain, learned, calibrated] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let source = || MemorySource::new(topics.items(8), DIM);
    // Short lists, which miss much.
    let params = BuildParams { max_degree: 8, ef_construction: 24, ..params() };
    build_quick(plain.path(), source(), &params);
    let given = BuildParams { queries: Some(learn.clone()), ..params };
    let report = build_quick(learned.path(), source(), &given);
    let record = report.repair.unwrap();
    assert_eq!((record.learned, record.held_out), (1_200, 300));
    assert!(record.edges > 0 && record.centers > 0, "{record:?}");
    assert!(record.gains.iter().all(|gain| gain.after <= 1.03 * gain.before), "{record:?}");

    let (before, after) = (open(plain.path()), open(learned.path()));
    assert_eq!((before.repair(), after.repair()), (None, Some(&record)));
    let [more, fewer] = [&before, &after].map(|index| cost(index, &test));
    assert!(fewer < 0.9 * more, "{more} distances at recall 0.95, after learning {fewer}");
    assert_eq!(verify(learned.path(), true, &Silent).unwrap().damage, []);

    let asked = BuildParams { repair: false, ..given };
    assert_eq!(build_quick(calibrated.path(), source(), &asked).repair, None);
    assert_eq!(ask(&open(calibrated.path()), &test, 16), ask(&before, &test, 16));
}

#[test]
fn an_index_learns_again_and_keeps_what_it_knew() {
    let topics = Topics::new(15);
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(topics.items(18), DIM), &params());
    let first = repair(dir.path(), topics.users(900, 16), 2, &Silent).unwrap();
    let known = first.repair.unwrap();
    let queries_from = first.calibration.queries_from;
    assert_eq!((queries_from.as_str(), first.calibration.queries), ("queries", 180));
    assert_eq!(open(dir.path()).info().generation, 2);
    let again = repair(dir.path(), topics.users(900, 17), 1, &Silent).unwrap();
    if let Some(more) = again.repair {
        assert!(more.edges >= known.edges, "{more:?}, known {known:?}");
    }
    assert_eq!(open(dir.path()).info().generation, 3);
    let (recall, _) = ask(&open(dir.path()), &topics.users(200, 19), 32);
    assert!(recall > 0.95, "{recall}");
}

#[test]
fn a_few_queries_calibrate_and_teach_nothing() {
    let topics = Topics::new(25);
    let dir = tempfile::tempdir().unwrap();
    let queries = Some(topics.users(150, 26));
    let params = BuildParams { queries, calibrate: true, ..params() };
    let report = build_quick(dir.path(), MemorySource::new(topics.items(28), DIM), &params);
    assert_eq!(report.repair, None);
    assert_eq!(report.calibration.unwrap().queries, 150);
}

/// The same bytes at any number of threads, and answers under a filter are what passes.
#[test]
fn learning_is_the_same_at_any_thread_count_and_filters_hold() {
    let topics = Topics::new(35);
    let bytes = |threads| {
        let dir = tempfile::tempdir().unwrap();
        let queries = Some(topics.users(600, 36));
        let params = BuildParams { queries, threads, ..params() };
        build_quick(dir.path(), MemorySource::new(topics.items(38), DIM), &params);
        let index = open(dir.path());
        assert!(index.repair().is_some());
        hold_under_filters(&index, &topics.users(40, 39));
        std::fs::read(dir.path().join("000001/base.vcg")).unwrap()
    };
    assert!(bytes(1) == bytes(3), "files differ");
}

fn hold_under_filters(index: &Index, users: &[f32]) {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::<Hit>::new());
    for (every, plan) in [(2, Plan::Walk), (7, Plan::Walk), (7, Plan::TwoHop), (500, Plan::Walk)] {
        let passing: NodeSet = (0..ITEMS as u32).step_by(every).map(NodeId).collect();
        let among = Among { passing: Some(&passing), excluded: &[] };
        for user in users.chunks(DIM) {
            let params = SearchParams { plan: Some(plan), ..SearchParams::top(10) };
            index.search_among(&mut scratch, user, &params, &among, &mut hits).unwrap();
            assert_eq!(hits.len(), 10, "{plan} among one in {every}");
            assert!(hits.iter().all(|hit| passing.contains(index.find(hit.item_id).unwrap())));
        }
    }
}

#[test]
fn every_load_policy_reads_what_was_learned() {
    let topics = Topics::new(45);
    let dir = tempfile::tempdir().unwrap();
    let queries = Some(topics.users(600, 46));
    let params = BuildParams { queries, ..params() };
    build_quick(dir.path(), MemorySource::new(topics.items(48), DIM), &params);
    let users = topics.users(50, 49);
    let answers = |load| ask(&Index::open(dir.path() as &Path, load).unwrap(), &users, 20);
    let mapped = answers(LoadMode::Mmap);
    for load in LoadMode::ALL {
        assert_eq!(answers(load), mapped, "{load:?}");
    }
}
