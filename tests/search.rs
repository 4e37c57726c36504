//! Built indexes answer what a naive scan answers: every metric, element type and builder.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{MemorySource, Random, block, build_quick, clustered, open, quick};
use vicinage::builder::{BuildParams, BuilderKind};
use vicinage::index::{Hit, Index, Plan, Query, Scratch, SearchError, SearchParams, TruncatedBy};
use vicinage::segments::meta::ProbeRecord;
use vicinage::types::{ElementType, Metric, NodeId};

const N: usize = 3000;
const DIM: usize = 24;

/// Scores by the definition of each metric, in f64, best first, ties by id.
fn naive(values: &[f32], dim: usize, metric: Metric, query: &[f32], k: usize) -> Vec<(u64, f64)> {
    let wide = |x: &f32| f64::from(*x);
    let norm = |v: &[f32]| v.iter().map(|x| wide(x) * wide(x)).sum::<f64>().sqrt();
    let mut scores: Vec<(u64, f64)> = (0..)
        .zip(values.chunks(dim))
        .map(|(id, row)| {
            let dot: f64 = row.iter().zip(query).map(|(x, q)| wide(x) * wide(q)).sum();
            let l2: f64 = row.iter().zip(query).map(|(x, q)| (wide(x) - wide(q)).powi(2)).sum();
            let score = match metric {
                Metric::L2 => -l2,
                Metric::Ip => dot,
                Metric::Cosine => dot / norm(row) / norm(query),
            };
            (id, score)
        })
        .collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores.truncate(k);
    scores
}

fn search(index: &Index, query: &[f32], params: &SearchParams) -> (Vec<Hit>, Plan) {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let account = index.search(&mut scratch, query, params, &mut hits).unwrap();
    assert_eq!(account.exact, account.plan != Plan::Walk);
    (hits, account.plan)
}

/// Builds, then compares exact search with the naive one and the walk's recall with a floor.
fn check(metric: Metric, element: ElementType, params: &BuildParams, floor: f64) {
    let dir = tempfile::tempdir().unwrap();
    let values = clustered(N, DIM, 7);
    build_quick(dir.path(), MemorySource::of(values.clone(), DIM, element), params);
    let index = open(dir.path());
    let stored: Vec<f32> = {
        let block = block(&values, element);
        (0..block.len()).map(|at| block.component(at)).collect()
    };
    let mut queries = clustered(40, DIM, 8);
    // Other centres than the items', and not whole numbers: a query is never rounded.
    queries.iter_mut().for_each(|x| *x += 0.3);
    if element == ElementType::U8 {
        queries.iter_mut().for_each(|x| *x += 100.0);
    }
    let mut found = 0;
    for query in queries.chunks(DIM) {
        let expected = naive(&stored, DIM, metric, query, 10);
        let exact = SearchParams { exact: true, ..SearchParams::top(10) };
        let (hits, plan) = search(&index, query, &exact);
        assert_eq!(plan, Plan::Exact);
        for (hit, (_, score)) in hits.iter().zip(&expected) {
            let error = (f64::from(hit.score) - score).abs();
            assert!(error <= 1e-5 * score.abs().max(1.0), "{metric} {element} {hit:?} {score}");
        }
        let (hits, plan) =
            search(&index, query, &SearchParams { ef: Some(120), ..SearchParams::top(10) });
        assert_eq!(plan, Plan::Walk);
        let last = expected[9].1 - 1e-5 * expected[9].1.abs().max(1.0);
        found += hits.iter().filter(|hit| f64::from(hit.score) >= last).count();
    }
    let recall = found as f64 / (queries.len() / DIM * 10) as f64;
    assert!(recall >= floor, "{metric} {element} {:?}: recall {recall}", params.builder);
}

#[test]
fn every_metric_and_element_type() {
    for metric in Metric::ALL {
        for element in ElementType::ALL {
            check(metric, element, &quick(metric), 0.95);
        }
    }
}

#[test]
fn the_reference_builder() {
    for metric in Metric::ALL {
        let params = BuildParams {
            builder: BuilderKind::HnswRs,
            alpha: None,
            backfill: None,
            ..quick(metric)
        };
        // The queries are not distributed as the items are, and the crate prunes for neither.
        check(metric, ElementType::F32, &params, 0.65);
    }
}

#[test]
fn a_probe_finds_the_pruning_rule_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let params = BuildParams { alpha: None, backfill: None, ..quick(Metric::Ip) };
    let report = build_quick(dir.path(), MemorySource::new(clustered(5000, 16, 3), 16), &params);
    let build = &report.meta.build;
    assert_eq!(build.probe.len(), 3);
    // Held-out items stand in for users, who want more edges: 1.4 may take a fifth more.
    let dear = |p: &&ProbeRecord| p.distances / if p.alpha == 1.4 { 1.2 } else { 1.0 };
    let best = build.probe.iter().min_by(|a, b| dear(a).total_cmp(&dear(b))).unwrap();
    assert_eq!((build.alpha, build.backfill), (Some(best.alpha), best.backfill));
}

/// By inner product a search best comes in at some centers of the items. Where lists are too short to
/// lead from one of many clusters into another, searches have to go down with several nodes.
#[test]
fn where_to_come_in_is_found() {
    let way_in = |metric, dim, values: Vec<f32>| {
        let dir = tempfile::tempdir().unwrap();
        let params = BuildParams { max_degree: 8, calibrate: false, ..quick(metric) };
        build_quick(dir.path(), MemorySource::new(values, dim), &params);
        let index = open(dir.path());
        (index.info().entries, index.info().centers)
    };
    let mut random = Random(5);
    let mut normals = |numbers: usize| (0..numbers).map(|_| random.normal()).collect::<Vec<f32>>();
    assert_eq!(way_in(Metric::Ip, 16, normals(2000 * 16)), (1, 16));
    let centers = normals(40 * 96);
    let clusters = normals(20_000 * 96).into_iter().enumerate().map(|(at, x)| {
        let center = at / 96 % 40;
        20.0 * centers[center * 96 + at % 96] + x
    });
    let (entries, centers) = way_in(Metric::L2, 96, clusters.collect());
    assert!(entries > 1 && centers == 0, "{entries} nodes, {centers} centers");
}

#[test]
fn nothing_is_unreachable() {
    for metric in Metric::ALL {
        let dir = tempfile::tempdir().unwrap();
        // A third of the items are one and the same: what pruning likes to strand.
        let mut values = clustered(N, DIM, 11);
        let one = values[..DIM].to_vec();
        values.chunks_mut(DIM).step_by(3).for_each(|row| row.copy_from_slice(&one));
        let report = build_quick(dir.path(), MemorySource::new(values, DIM), &quick(metric));
        assert_eq!(report.meta.statistics.unreachable, 0, "{metric}");
        assert_eq!(open(dir.path()).inspect().unreachable, 0, "{metric}");
    }
}

#[test]
fn the_same_bytes_at_any_thread_count() {
    let files: Vec<(Vec<u8>, Vec<u8>)> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let dir = tempfile::tempdir().unwrap();
            let params = BuildParams {
                threads,
                deterministic: true,
                alpha: None,
                backfill: None,
                ..quick(Metric::Cosine)
            };
            build_quick(dir.path(), MemorySource::new(clustered(6000, DIM, 5), DIM), &params);
            let read = |name| std::fs::read(dir.path().join(name)).unwrap();
            (read("000001/base.vcg"), read("MANIFEST.json"))
        })
        .collect();
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn small_sets_and_large_k() {
    for n in [1, 2, 5, 17, 300] {
        let dir = tempfile::tempdir().unwrap();
        let values = clustered(n, 8, 2);
        build_quick(dir.path(), MemorySource::new(values.clone(), 8), &quick(Metric::L2));
        let index = open(dir.path());
        for k in [1, n, n + 1, 10 * n] {
            let (hits, _) = search(&index, &values[..8], &SearchParams::top(k));
            assert_eq!(hits.len(), k.min(n), "n {n} k {k}");
            assert_eq!(hits[0].score, 0.0);
            assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
        }
    }
}

/// A list shorter than k expands less; k items come all the same.
#[test]
fn a_short_list_finds_k_items_for_less() {
    let (n, dim, k) = (20_000, 16, 400);
    let dir = tempfile::tempdir().unwrap();
    let values = clustered(n, dim, 3);
    build_quick(dir.path(), MemorySource::new(values.clone(), dim), &quick(Metric::L2));
    let index = open(dir.path());
    let queries = clustered(20, dim, 4);
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let mut points = Vec::new();
    for ef in [1, 60, 150, 400] {
        let params = SearchParams { ef: Some(ef), ..SearchParams::top(k) };
        let (mut found, mut visited) = (0, 0);
        for query in queries.chunks(dim) {
            let account = index.search(&mut scratch, query, &params, &mut hits).unwrap();
            assert_eq!((account.plan, hits.len()), (Plan::Walk, k));
            visited += account.visited;
            let truth = naive(&values, dim, Metric::L2, query, k);
            found +=
                hits.iter().filter(|hit| f64::from(hit.score) >= truth[k - 1].1 - 1e-3).count();
        }
        points.push((visited, found));
    }
    assert!(points.is_sorted(), "more is visited and found: {points:?}");
    let [.., (half, most), (all, best)] = points[..] else { panic!("{points:?}") };
    assert!(10 * half < 6 * all && 100 * most > 80 * best, "{points:?}");
}

#[test]
fn an_excluded_item_is_not_returned() {
    let dir = tempfile::tempdir().unwrap();
    let values = clustered(N, DIM, 4);
    let ids = (0..N as u64).map(|row| row * 3 + 1).collect();
    let source = MemorySource { ids: Some(ids), ..MemorySource::new(values.clone(), DIM) };
    build_quick(dir.path(), source, &quick(Metric::L2));
    let index = open(dir.path());
    for row in [0, 17, N - 1] {
        let item = row as u64 * 3 + 1;
        let node = index.find(item).unwrap();
        assert_eq!(index.item_id(node), item);
        let mut vector = Vec::new();
        index.vector(node, &mut vector);
        assert_eq!(vector, values[row * DIM..][..DIM]);
        for exact in [false, true] {
            let with = SearchParams { exact, ..SearchParams::top(10) };
            assert_eq!(search(&index, &vector, &with).0[0].item_id, item);
            let without = SearchParams { exclude: Some(node), ..with };
            let hits = search(&index, &vector, &without).0;
            assert_eq!(hits.len(), 10);
            assert!(hits.iter().all(|hit| hit.item_id != item));
        }
    }
    assert_eq!(index.find(0), None);
    assert_eq!(index.find(u64::MAX), None);
}

#[test]
fn bad_queries_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(clustered(50, 4, 1), 4), &quick(Metric::Cosine));
    let index = open(dir.path());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let mut refuse = |query: &[f32], k| {
        index.search(&mut scratch, query, &SearchParams::top(k), &mut hits).unwrap_err()
    };
    assert_eq!(refuse(&[1.0; 3], 1), SearchError::Dimension { expected: 4, found: 3 });
    assert_eq!(refuse(&[0.0; 4], 1), SearchError::ZeroVector);
    assert_eq!(refuse(&[1.0; 4], 0), SearchError::ZeroK);
    let infinite = refuse(&[1.0, 2.0, f32::INFINITY, 0.0], 1);
    assert_eq!(infinite, SearchError::NotFinite { component: 2, value: f32::INFINITY });
    assert!(matches!(
        refuse(&[f32::NAN, 1.0, 1.0, 1.0], 1),
        SearchError::NotFinite { component: 0, .. }
    ));
}

#[test]
fn a_passed_deadline_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let values = clustered(20_000, 8, 6);
    build_quick(dir.path(), MemorySource::new(values, 8), &quick(Metric::L2));
    let index = open(dir.path());
    for exact in [false, true] {
        let deadline = Some(std::time::Instant::now());
        let params = SearchParams { exact, deadline, ef: Some(2000), ..SearchParams::top(10) };
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        let account = index.search(&mut scratch, &[0.0; 8], &params, &mut hits).unwrap();
        assert!(account.truncated_by.is_some() && !account.exact, "{account:?}");
        assert_eq!(hits.len(), 10);
    }
}

/// Walks in turns, scans and answers with everything, with and without an item left out: all that is told
/// of a query is what it gets alone.
#[test]
fn several_queries_at_once_are_answered_as_each_alone() {
    for (n, metric, element) in [
        (9000, Metric::L2, ElementType::F32),
        (9000, Metric::Ip, ElementType::F16),
        (9000, Metric::Cosine, ElementType::I8),
        (60, Metric::L2, ElementType::F32),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = MemorySource::of(clustered(n, DIM, 11), DIM, element);
        build_quick(dir.path(), source, &quick(metric));
        let index = open(dir.path());
        let vectors = clustered(37, DIM, 12);
        let queries: Vec<Query<'_>> = (0..)
            .zip(vectors.chunks(DIM))
            .map(|(at, vector)| Query { vector, exclude: (at % 3 == 0).then_some(NodeId(at)) })
            .collect();
        let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
        for (k, ef, exact) in [(1, 1, false), (10, 40, false), (100, 30, false), (10, 10, true)] {
            for count in [0, 1, 2, 37] {
                let params = SearchParams { ef: Some(ef), exact, ..SearchParams::top(k) };
                let mut answers = vec![None; count];
                let give = |at: usize, account, hits: &[Hit]| {
                    let before = answers[at].replace((account, hits.to_vec()));
                    assert!(before.is_none(), "query {at} is answered twice");
                };
                index.search_several(&mut scratch, &queries[..count], &params, give).unwrap();
                for (Query { vector, exclude }, answer) in queries.iter().zip(answers) {
                    let params = SearchParams { exclude: *exclude, ..params };
                    let account = index.search(&mut scratch, vector, &params, &mut hits).unwrap();
                    assert_eq!(answer, Some((account, hits.clone())), "{metric} {params:?}");
                }
            }
        }
    }
}

#[test]
fn one_bad_query_of_several_is_named_and_none_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), MemorySource::new(clustered(N, DIM, 1), DIM), &quick(Metric::Cosine));
    let index = open(dir.path());
    let (good, bad) = (vec![1.0; DIM], vec![0.0; DIM]);
    let queries = [&good, &good, &bad, &good].map(|vector| Query { vector, exclude: None });
    let mut scratch = Scratch::default();
    let refused =
        index.search_several(&mut scratch, &queries, &SearchParams::top(3), |at, _, _| {
            panic!("query {at} is answered");
        });
    assert_eq!(refused, Err((2, SearchError::ZeroVector)));
}

/// The first is begun, and stops; those whose turn would come later get nothing.
#[test]
fn a_deadline_ends_several_queries() {
    let dir = tempfile::tempdir().unwrap();
    let values = clustered(20_000, 8, 6);
    build_quick(dir.path(), MemorySource::new(values.clone(), 8), &quick(Metric::L2));
    let index = open(dir.path());
    let queries: Vec<Query<'_>> =
        values.chunks(8).take(50).map(|vector| Query { vector, exclude: None }).collect();
    for exact in [false, true] {
        let deadline = Some(std::time::Instant::now());
        let params = SearchParams { exact, deadline, ef: Some(2000), ..SearchParams::top(10) };
        let mut found = vec![usize::MAX; 50];
        let give = |at: usize, account: vicinage::index::Account, hits: &[Hit]| {
            assert_eq!(account.truncated_by, Some(TruncatedBy::Deadline));
            assert_eq!((account.exact, account.matches), (false, 20_000));
            found[at] = hits.len();
        };
        index.search_several(&mut Scratch::default(), &queries, &params, give).unwrap();
        assert_eq!((found[0], found[1..].iter().max()), (10, Some(&0)));
    }
}
