//! Searches among some items, whatever passes, whichever way they are done: exactly as many as there can
//! be, only such that may be, and where the account says exact, those of a scan by definition.
//!
//! Seeded; `SEED=… CASES=… cargo test --test among` draws others, and more.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{MemorySource, Random, build_quick, clustered, open, quick};
use vicinage::builder::{BuildParams, CodesChoice};
use vicinage::index::{
    Account, Among, Costs, Estimate, Hit, Index, NodeSet, Plan, Scratch, SearchParams, TruncatedBy,
};
use vicinage::quantizers::CodeKind;
use vicinage::types::{Metric, NodeId};

const DIM: usize = 20;

/// Ways to search: as planned, exactly, and each plan by itself.
const WAYS: [Option<Plan>; 4] = [None, Some(Plan::Exact), Some(Plan::TwoHop), Some(Plan::Walk)];

/// Indexes of every metric, over vectors and over codes of every kind.
fn indexes(n: usize, dir: &std::path::Path) -> Vec<(Index, Option<CodeKind>)> {
    let kinds = [None, Some(CodeKind::I8), Some(CodeKind::U4)];
    let mut indexes = Vec::new();
    for metric in Metric::ALL {
        for codes in kinds {
            let name = format!("{metric}-{}", codes.map_or("none", CodeKind::name));
            let mut values = clustered(n, DIM, 3);
            // Neither whole numbers, nor all of them different.
            values.chunks_mut(DIM).step_by(3).flatten().for_each(|x| *x *= 0.37);
            let choice = codes.map_or(CodesChoice::None, |kind| match kind {
                CodeKind::I8 => CodesChoice::I8,
                CodeKind::U4 => CodesChoice::U4,
            });
            let params = BuildParams { codes: choice, ..quick(metric) };
            build_quick(&dir.join(&name), MemorySource::new(values, DIM), &params);
            indexes.push((open(&dir.join(&name)), codes));
        }
    }
    indexes
}

/// Nodes that pass: about a share of all, at random, or those nearest to or farthest from a node.
fn passing(index: &Index, random: &mut Random) -> NodeSet {
    let n = index.info().n as u32;
    let share = [0.0, 0.002, 0.02, 0.1, 0.5, 0.9, 1.0][random.below(7)];
    let nodes: Vec<NodeId> = match random.below(4) {
        0 | 1 => (0..n).filter(|_| random.unit() < share).map(NodeId).collect(),
        side => {
            let mut vector = Vec::new();
            index.vector(NodeId(random.below(n as usize) as u32), &mut vector);
            let all: Vec<NodeId> = (0..n).map(NodeId).collect();
            let mut scores = Vec::new();
            index.scores(&vector, &all, &mut scores).unwrap();
            let mut by_score: Vec<(f32, NodeId)> = scores.into_iter().zip(all).collect();
            by_score.sort_by(|a, b| a.0.total_cmp(&b.0));
            if side == 2 {
                by_score.reverse();
            }
            let count = (share * n as f32) as usize;
            by_score.into_iter().take(count).map(|(_, node)| node).collect()
        }
    };
    nodes.into_iter().collect()
}

/// The best of `among` by their scores on vectors, ties by node.
fn best(index: &Index, query: &[f32], among: &BTreeSet<NodeId>, k: usize) -> Vec<(f32, NodeId)> {
    let nodes: Vec<NodeId> = among.iter().copied().collect();
    let mut scores = Vec::new();
    index.scores(query, &nodes, &mut scores).unwrap();
    let mut found: Vec<(f32, NodeId)> = scores.into_iter().zip(nodes).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(k);
    found
}

#[test]
fn every_way_gives_as_many_as_there_are_and_exact_ones_the_best() {
    let (mut random, seed) = Random::seeded();
    let cases: usize = std::env::var("CASES").map_or(4_000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let indexes: Vec<_> =
        [700, 3000].iter().flat_map(|n| indexes(*n, &dir.path().join(n.to_string()))).collect();
    let queries = clustered(200, DIM, 5);
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let mut seen = BTreeSet::new();
    for case in 0..cases {
        let (index, codes) = &indexes[random.below(indexes.len())];
        let n = index.info().n as usize;
        let passing = passing(index, &mut random);
        let filter = (random.below(5) > 0).then_some(&passing);
        let excluded: Vec<NodeId> = (0..[0, 0, 3, n / 2][random.below(4)])
            .map(|_| NodeId(random.below(n) as u32))
            .collect();
        let among = Among { passing: filter, excluded: &excluded };
        let plan = WAYS[random.below(4)];
        let k = [1, 2, 10, 50, 400, 5000][random.below(6)];
        let params = SearchParams {
            plan,
            exact: random.below(6) == 0,
            ef: (random.below(2) == 0).then(|| 1 + random.below(200)),
            exclude: (random.below(3) == 0).then(|| NodeId(random.below(n) as u32)),
            ..SearchParams::top(k)
        };
        let query = &queries[random.below(200) * DIM..][..DIM];
        let account = index.search_among(&mut scratch, query, &params, &among, &mut hits).unwrap();

        let all = || (0..n as u32).map(NodeId);
        let passes = |node: &NodeId| filter.is_none_or(|passing| passing.contains(*node));
        let mut allowed: BTreeSet<NodeId> = all().filter(passes).collect();
        for node in excluded.iter().chain(&params.exclude) {
            allowed.remove(node);
        }
        let case = format!("SEED={seed}, case {case}: {params:?} on {codes:?}, {account:?}");
        assert_eq!(account.matches, allowed.len() as u64, "{case}");
        assert_eq!(hits.len(), k.min(allowed.len()), "{case}");
        let found: Vec<(f32, NodeId)> = hits.iter().map(|hit| (hit.score, hit.node)).collect();
        let nodes: BTreeSet<NodeId> = found.iter().map(|(_, node)| *node).collect();
        assert!(nodes.len() == hits.len() && nodes.is_subset(&allowed), "{case}");
        assert_eq!(best(index, query, &nodes, k), found, "scores, and their order: {case}");
        if account.exact {
            assert_eq!(best(index, query, &allowed, k), found, "{case}");
        }
        check_account(&account, &params, *codes, &case);
        seen.insert(account.plan);
    }
    assert_eq!(seen, BTreeSet::from(Plan::ALL));
}

/// Exact where it was asked for, and where a scan proves it.
fn check_account(account: &Account, params: &SearchParams, codes: Option<CodeKind>, case: &str) {
    let scanned = matches!(account.plan, Plan::All | Plan::Exact);
    let proven = codes != Some(CodeKind::U4) || params.exact;
    assert_eq!(account.exact, scanned && (proven || account.plan == Plan::All), "{case}");
    assert!(scanned || !params.exact, "{case}");
    assert_eq!(account.truncated_by, None, "{case}");
}

/// Vectors `[n, DIM]` in no clusters, which a graph of any kind finds its way through.
fn scattered(n: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..n * DIM).map(|_| random.normal()).collect()
}

/// The share of the best `k` that a way finds, over some queries, and the plans that answered.
fn recall(index: &Index, passing: &NodeSet, plan: Option<Plan>) -> (f64, BTreeSet<Plan>) {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::<Hit>::new());
    let among = Among { passing: Some(passing), excluded: &[] };
    let (mut found, mut plans, queries) = (0, BTreeSet::new(), scattered(100, 11));
    let all: BTreeSet<NodeId> = passing.iter().collect();
    for query in queries.chunks(DIM) {
        let params = SearchParams { plan, ..SearchParams::top(10) };
        let account = index.search_among(&mut scratch, query, &params, &among, &mut hits).unwrap();
        plans.insert(account.plan);
        let best = best(index, query, &all, 10);
        found += hits.iter().filter(|hit| hit.score >= best[9].0).count();
    }
    (found as f64 / (10 * queries.len() / DIM) as f64, plans)
}

#[test]
fn ways_through_the_graph_find_most_of_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(scattered(20_000, 7), DIM), &quick(Metric::L2));
    let index = open(dir.path());
    let mut random = Random(9);
    for (share, ways) in [
        (0.9, [Plan::TwoHop, Plan::Walk].as_slice()),
        (0.5, &[Plan::TwoHop, Plan::Walk]),
        (0.2, &[Plan::TwoHop, Plan::Walk]),
        (0.05, &[Plan::TwoHop, Plan::Walk]),
        (0.01, &[Plan::Walk]),
    ] {
        let passing =
            (0..20_000).filter(|_| random.unit() < share).map(NodeId).collect::<NodeSet>();
        for plan in ways {
            let (recall, plans) = recall(&index, &passing, Some(*plan));
            assert!(recall >= 0.93, "{plan} at {share}: {recall}");
            assert_eq!(plans, BTreeSet::from([*plan]), "what was asked for");
        }
        // One of those ways, or a scan: which one is a question of time.
        let (recall, _) = recall(&index, &passing, None);
        assert!(recall >= 0.93, "planned at {share}: {recall}");
    }
}

#[test]
fn a_search_that_meets_hardly_anything_is_finished_by_a_scan() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(scattered(20_000, 7), DIM), &quick(Metric::L2));
    let index = open(dir.path());
    let (mut scratch, mut hits, mut vector) = (Scratch::default(), Vec::new(), Vec::new());
    let all: Vec<NodeId> = (0..20_000).map(NodeId).collect();
    let mut scanned = 0;
    for query in (0..20_000).step_by(1000).map(NodeId) {
        index.vector(query, &mut vector);
        let mut scores = Vec::new();
        index.scores(&vector, &all, &mut scores).unwrap();
        let mut sorted = scores.clone();
        sorted.sort_by(f32::total_cmp);
        // The half that is farther away; and none of what is near.
        let far: NodeSet = all
            .iter()
            .zip(&scores)
            .filter(|(_, s)| **s < sorted[10_000])
            .map(|(n, _)| *n)
            .collect();
        let among = Among { passing: Some(&far), excluded: &[] };
        let params = SearchParams::top(10);
        let account =
            index.search_among(&mut scratch, &vector, &params, &among, &mut hits).unwrap();
        let planned = scratch.planned().unwrap();
        if planned.plan != Plan::Exact && account.plan == Plan::Exact {
            scanned += 1;
        }
        let best = best(&index, &vector, &far.iter().collect(), 10);
        let found = hits.iter().filter(|hit| hit.score >= best[9].0).count();
        assert!(found >= 9, "{found} of 10 by {account:?}, planned {planned:?}");
    }
    assert!(scanned >= 10, "{scanned} of 20 were finished by a scan");
}

#[test]
fn a_deadline_that_has_passed_gives_what_there_is_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(clustered(20_000, DIM, 7), DIM), &quick(Metric::Ip));
    let index = open(dir.path());
    let passing = (0..20_000).step_by(2).map(NodeId).collect::<NodeSet>();
    let among = Among { passing: Some(&passing), excluded: &[] };
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let deadline = Instant::now().checked_sub(Duration::from_secs(1));
    for plan in [Plan::Exact, Plan::TwoHop, Plan::Walk] {
        let params =
            SearchParams { deadline, plan: Some(plan), ef: Some(2000), ..SearchParams::top(10) };
        let account =
            index.search_among(&mut scratch, &[1.0; DIM], &params, &among, &mut hits).unwrap();
        assert_eq!(account.truncated_by, Some(TruncatedBy::Deadline), "{plan}");
        assert!(!account.exact && hits.iter().all(|hit| passing.contains(hit.node)), "{plan}");
    }
}

#[test]
fn plans_follow_from_sizes_and_costs_alone() {
    let of = |matches: usize, k: usize| {
        let n = 1_000_000;
        let pass_rate = matches as f32 / n as f32;
        let estimate = Estimate { n, matches, pass_rate, k, ef: 100, degree: 32 };
        estimate.plan(&Costs::default())
    };
    assert_eq!(of(10, 10).plan, Plan::All);
    assert_eq!(of(11, 10).plan, Plan::Exact);
    assert_eq!(of(5_000, 10).plan, Plan::Exact);
    assert_eq!(of(900_000, 10).plan, Plan::Walk);
    // More that pass are never cheaper to scan, nor dearer to walk.
    let matches: Vec<usize> = (1..200).map(|at| at * 5_000).collect();
    for pair in matches.windows(2) {
        let [fewer, more] = [of(pair[0], 10), of(pair[1], 10)];
        assert!(fewer.exact_ns <= more.exact_ns, "{pair:?}");
        // But for the rounding of how many results are kept.
        assert!(fewer.walk_ns >= 0.95 * more.walk_ns, "{pair:?}");
        for planned in [fewer, more] {
            let costs = [planned.exact_ns, planned.two_hop_ns, planned.walk_ns];
            assert!(costs.iter().all(|ns| ns.is_finite() && *ns > 0.0), "{planned:?}");
        }
    }
}
