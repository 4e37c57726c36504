//! Made-up data: the same bytes whatever the threads and the machine, and of the kind that was
//! asked for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use vicinage_datasets::generate::{
    AttributePlan, Clustered, ClusteredParams, ColumnPlan, ColumnReport, GenerateError,
    InteractionParams, Realism, Sizes, Split, TwoTower, TwoTowerParams, VectorSource,
    write_attributes, write_interactions, write_vectors,
};
use vicinage_datasets::{AttributeValues, Batch, ReadOptions, TableBatch, open, open_table};
use xxhash_rust::xxh3::xxh3_64;

fn sizes(n: u64) -> Sizes {
    Sizes { n, dim: 24, test: 300, learn: 500, seed: 7 }
}

fn two_tower(n: u64) -> TwoTower {
    TwoTower::new(TwoTowerParams { sizes: sizes(n), topics: 50, ..TwoTowerParams::default() })
        .unwrap()
}

fn clustered(n: u64) -> Clustered {
    let params = ClusteredParams { sizes: sizes(n), clusters: 20, ..ClusteredParams::default() };
    Clustered::new(params).unwrap()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn write(source: &dyn VectorSource, split: Split, path: &Path, threads: usize) {
    let rows = Cell::new(0);
    let advance = |more| {
        rows.set(rows.get() + more);
        ControlFlow::Continue(())
    };
    write_vectors(source, split, path, &pool(threads), &advance).unwrap();
    assert_eq!(rows.get(), source.rows(split));
}

fn rows(source: &dyn VectorSource, split: Split) -> Vec<f32> {
    (0..source.rows(split).div_ceil(4096)).flat_map(|block| source.block(split, block)).collect()
}

/// A change of these is a change of every set that was ever made: it breaks comparisons with
/// figures measured before, and has to be told in the changelog.
#[test]
fn the_bytes_are_pinned() {
    let digest = |source: &dyn VectorSource| {
        [Split::Base, Split::Test, Split::Learn]
            .map(|split| xxh3_64(bytemuck::cast_slice(&rows(source, split))))
    };
    let sets: [&dyn VectorSource; 2] = [&two_tower(5_000), &clustered(5_000)];
    let digests = sets.map(digest);
    let expected = [
        [0xedd8_42e5_a79c_4e3e, 0x4228_abde_4686_56eb, 0xc786_6694_7f95_bd6c],
        [0x510c_123d_b77f_943b, 0x29c3_9787_bd41_d12a, 0xa9f6_1548_95aa_5fa6],
    ];
    assert_eq!(digests, expected, "{digests:#x?}");
}

#[test]
fn threads_and_format_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let set = two_tower(10_000);
    let expected = rows(&set, Split::Base);
    for (threads, name) in [(1, "a.npy"), (3, "b.npy"), (2, "c.fbin"), (2, "d.parquet")] {
        let path = dir.path().join(name);
        write(&set, Split::Base, &path, threads);
        let mut reader = open(&path.into(), &ReadOptions::default()).unwrap();
        let (mut found, mut batch) = (Vec::new(), Batch::default());
        while reader.next_batch(&mut batch).unwrap() {
            found.extend_from_slice(&batch.to_f32().unwrap());
        }
        assert!(found == expected, "{name}");
    }
    let bytes = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(bytes("a.npy"), bytes("b.npy"));
}

#[test]
fn a_longer_set_begins_with_the_shorter() {
    let (short, long) = (two_tower(3_000), two_tower(9_000));
    let short = rows(&short, Split::Base);
    assert_eq!(short, rows(&long, Split::Base)[..short.len()]);
}

#[test]
fn stopped_half_way_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.npy");
    let stop = |_| ControlFlow::Break(());
    let error = write_vectors(&two_tower(10_000), Split::Base, &path, &pool(1), &stop).unwrap_err();
    assert!(matches!(error, GenerateError::Stopped));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    let good = TwoTowerParams { sizes: sizes(10), ..TwoTowerParams::default() };
    let bad = [
        TwoTowerParams { rotation: -1.0, ..good },
        TwoTowerParams { gap: f64::NAN, ..good },
        TwoTowerParams { topics: 0, ..good },
        TwoTowerParams { shift: 1.5, ..good },
        TwoTowerParams { sizes: Sizes { dim: 1, ..good.sizes }, ..good },
        TwoTowerParams { sizes: Sizes { n: 0, ..good.sizes }, ..good },
    ];
    for params in bad {
        assert!(
            matches!(TwoTower::new(params), Err(GenerateError::Parameter { .. })),
            "{params:?}"
        );
    }
    let spread = ClusteredParams { sizes: sizes(10), clusters: 2, spread: -0.1 };
    assert!(Clustered::new(spread).unwrap_err().to_string().starts_with("spread: expected"));
}

fn norms(rows: &[f32], dim: usize) -> Vec<f64> {
    let square = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    rows.chunks_exact(dim).map(|row| square(row).sqrt()).collect()
}

fn mean(rows: &[f32], dim: usize) -> Vec<f64> {
    let count = (rows.len() / dim) as f64;
    (0..dim)
        .map(|at| rows.iter().skip(at).step_by(dim).map(|&x| f64::from(x)).sum::<f64>() / count)
        .collect()
}

#[test]
fn the_knobs_of_two_towers_do_what_they_say() {
    let params = TwoTowerParams { sizes: sizes(20_000), topics: 200, ..TwoTowerParams::default() };
    let logs = |spread: f64| {
        let set = TwoTower::new(TwoTowerParams { norm_spread: spread, ..params }).unwrap();
        let logs: Vec<f64> =
            norms(&rows(&set, Split::Base), 24).iter().map(|norm| norm.ln()).collect();
        (logs.iter().map(|x| x * x).sum::<f64>() / logs.len() as f64).sqrt()
    };
    assert!(logs(0.0) < 1e-6);
    assert!((logs(0.5) - 0.5).abs() < 0.02);
    let users = rows(&TwoTower::new(params).unwrap(), Split::Test);
    assert!(norms(&users, 24).iter().all(|norm| (norm - 1.0).abs() < 1e-5));

    let gap = |gap: f64| {
        let set = TwoTower::new(TwoTowerParams { gap, norm_spread: 0.0, ..params }).unwrap();
        let items = mean(&rows(&set, Split::Base), 24);
        let users = mean(&rows(&set, Split::Test), 24);
        items.iter().zip(&users).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    };
    let (none, half, one) = (gap(0.0), gap(0.5), gap(1.0));
    assert!(none < 0.2 && none + 0.2 < half && half + 0.2 < one, "{none} {half} {one}");

    // The best item of a user is the less alike the more the users are turned away.
    let best = |rotation: f64| {
        let set = TwoTower::new(TwoTowerParams { rotation, gap: 0.0, norm_spread: 0.0, ..params });
        let set = set.unwrap();
        let (items, users) = (rows(&set, Split::Base), rows(&set, Split::Test));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let best = users[..50 * 24].chunks_exact(24).map(|user| {
            items.chunks_exact(24).map(|item| dot(user, item)).fold(f32::MIN, f32::max)
        });
        best.sum::<f32>() / 50.0
    };
    let (none, some, much) = (best(0.0), best(30.0), best(60.0));
    assert!(none > some && some > much, "{none} {some} {much}");
}

#[test]
fn a_shifted_mix_changes_the_test_users_alone() {
    let params = TwoTowerParams { sizes: sizes(100), topics: 200, ..TwoTowerParams::default() };
    let set = |shift| TwoTower::new(TwoTowerParams { shift, ..params }).unwrap();
    let (same, other) = (set(0.0), set(1.0));
    assert_eq!(rows(&same, Split::Base), rows(&other, Split::Base));
    assert_eq!(rows(&same, Split::Learn), rows(&other, Split::Learn));
    let learn = mean(&rows(&same, Split::Learn), 24);
    let away = |set: &TwoTower| {
        let test = mean(&rows(set, Split::Test), 24);
        learn.iter().zip(&test).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
    };
    assert!(away(&other) > 2.0 * away(&same), "{} {}", away(&other), away(&same));
}

#[test]
fn default_two_towers_are_realistic_and_towers_without_a_twist_less_so() {
    let sizes = Sizes { n: 30_000, dim: 64, ..Sizes::default() };
    let params = TwoTowerParams { sizes, ..TwoTowerParams::default() };
    let realism = |params| Realism::measure(&TwoTower::new(params).unwrap());
    let default = realism(params);
    assert!(default.checks().iter().all(|check| check.passed != Some(false)), "{default:?}");
    let long = realism(TwoTowerParams { norm_spread: 0.5, ..params });
    assert!(long.checks().iter().all(|check| check.passed == Some(true)), "{long:?}");
    let plain = realism(TwoTowerParams { rotation: 0.0, gap: 0.0, norm_spread: 0.0, ..params });
    assert!(plain.query_mahalanobis < default.query_mahalanobis);
    assert!(plain.top_norm_share < default.top_norm_share);
}

#[test]
fn clusters_are_as_wide_as_asked_and_queries_are_among_them() {
    let set = clustered(2_000);
    let (base, test) = (rows(&set, Split::Base), rows(&set, Split::Test));
    let nearest = |query: &[f32], skip: usize| {
        let distance = |row: &[f32]| row.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
        let others = base.chunks_exact(24).enumerate().filter(|&(at, _)| at != skip);
        others.map(|(_, row)| distance(row)).fold(f32::MAX, f32::min)
    };
    let own: f32 = (0..200).map(|at| nearest(&base[at * 24..][..24], at)).sum();
    let theirs: f32 = (0..200).map(|at| nearest(&test[at * 24..][..24], usize::MAX)).sum();
    assert!((own / theirs - 1.0).abs() < 0.1, "{own} {theirs}");
}

/// Writes base vectors and, for them, the columns of `specs`.
fn attributes(dir: &Path, specs: &[&str]) -> (TableBatch, Vec<ColumnReport>) {
    let set = clustered(20_000);
    let base = dir.join("base.npy");
    write(&set, Split::Base, &base, 2);
    let columns: Vec<ColumnPlan> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
    let target = rows(&set, Split::Test)[..24].to_vec();
    let plan = AttributePlan { columns, target, near: false, seed: 3 };
    let path = dir.join("attributes.parquet");
    let reports =
        write_attributes(&base.clone().into(), &plan, &path, &|_| ControlFlow::Continue(()))
            .unwrap();
    let all = ReadOptions { batch_bytes: 1 << 30, ..ReadOptions::default() };
    let mut table = TableBatch::default();
    assert!(open_table(&path, &all).unwrap().next_batch(&mut table).unwrap());
    (table, reports)
}

#[test]
fn bools_have_the_selectivity_and_the_correlation_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let specs =
        ["any=random:0.1", "near=correlated:0.1:0.9", "far=correlated:0.1:-0.9", "none=random:0"];
    let (table, reports) = attributes(dir.path(), &specs);
    assert_eq!(table.ids, Some((0..20_000).collect()));
    for (report, column) in reports.iter().zip(&table.attributes) {
        let AttributeValues::Bool(values) = &column.values else { panic!("{column:?}") };
        let share = values.iter().filter(|value| **value == Some(true)).count() as f64 / 20_000.0;
        assert_eq!((&report.name, report.selectivity), (&column.name, share));
    }
    let [any, near, far, none] = &reports[..] else { panic!("{reports:?}") };
    assert!((any.selectivity - 0.1).abs() < 0.01 && (any.correlation - 1.0).abs() < 0.4);
    assert!((near.selectivity - 0.1).abs() < 1e-4 && near.correlation > 4.0, "{near:?}");
    assert!((far.selectivity - 0.1).abs() < 1e-4 && far.correlation < 0.1, "{far:?}");
    assert_eq!(none.selectivity, 0.0);
}

#[test]
fn other_columns_are_of_their_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let specs = ["kind=category:5", "price=numeric:0.5", "tags=tags:1000:4"];
    let (table, _) = attributes(dir.path(), &specs);
    let digest = xxh3_64(format!("{:?}", table.attributes).as_bytes());
    assert_eq!(digest, 0x7039_ca66_546f_2207, "{digest:#x}");
    let [kind, price, tags] = &table.attributes[..] else { panic!("three columns") };
    let AttributeValues::Text(kind) = &kind.values else { panic!("text") };
    for category in 0..5 {
        let name = format!("kind-{category}");
        let count = kind.iter().filter(|value| *value == Some(name.as_str())).count();
        assert!((3_700..4_300).contains(&count), "{name}: {count}");
    }
    let AttributeValues::F64(price) = &price.values else { panic!("floats") };
    let mean = price.iter().flatten().sum::<f64>() / 20_000.0;
    assert!(mean.abs() < 0.05, "{mean}");
    let AttributeValues::TextList(tags) = &tags.values else { panic!("lists") };
    let has = |row: usize, tag: &str| tags.get(row).unwrap().any(|other| other == tag);
    let [first, tenth] = ["t0", "t9"].map(|tag| (0..20_000).filter(|&row| has(row, tag)).count());
    assert!(first > 5 * tenth && tenth > 0, "{first} {tenth}");
}

#[test]
fn a_plan_that_cannot_be_is_refused() {
    for spec in ["a", "=random:0.1", "a=random", "a=random:2", "a=correlated:0.1:3", "a=tags:0:1"] {
        assert!(spec.parse::<ColumnPlan>().is_err(), "{spec}");
    }
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.npy");
    write(&clustered(10), Split::Base, &base, 1);
    let twice = vec!["a=random:0.1".parse().unwrap(); 2];
    for (columns, components) in [(twice.clone(), 24), (twice[..1].to_vec(), 23)] {
        let plan = AttributePlan { columns, target: vec![1.0; components], near: true, seed: 1 };
        let path = dir.path().join("out.parquet");
        let result =
            write_attributes(&base.clone().into(), &plan, &path, &|_| ControlFlow::Continue(()));
        assert!(matches!(result, Err(GenerateError::Parameter { .. })));
        assert!(!path.exists());
    }
}

#[test]
fn users_take_what_they_like_and_popularity_drifts() {
    let dir = tempfile::tempdir().unwrap();
    let set = two_tower(2_000);
    let base = dir.path().join("base.npy");
    write(&set, Split::Base, &base, 1);
    let users = rows(&set, Split::Test);
    let take = |params: &InteractionParams, name: &str| {
        let path = dir.path().join(name);
        let mut items = open(&base.clone().into(), &ReadOptions::default()).unwrap();
        let go = |_| ControlFlow::Continue(());
        let count = write_interactions(&mut *items, &users, params, &path, &go).unwrap();
        let all = ReadOptions {
            id_column: Some("user_id".to_owned()),
            batch_bytes: 1 << 30,
            ..ReadOptions::default()
        };
        let mut table = TableBatch::default();
        assert!(open_table(&path, &all).unwrap().next_batch(&mut table).unwrap());
        assert_eq!(table.rows as u64, count);
        (table, fs::read(&path).unwrap())
    };
    let params = InteractionParams { met: 200, per_user: 10, ..InteractionParams::default() };
    let (table, bytes) = take(&params, "a.parquet");
    assert_eq!(bytes, take(&params, "b.parquet").1);
    let [items, times] = &table.attributes[..] else { panic!("two columns") };
    let AttributeValues::I64(items) = &items.values else { panic!("ids") };
    let AttributeValues::Timestamp(times) = &times.values else { panic!("times") };
    let users_taken = table.ids.as_ref().unwrap();
    let end = params.from + i64::from(params.days) * 86_400_000_000;
    assert!(times.iter().flatten().all(|time| (params.from..end).contains(time)));
    let mut pairs: Vec<_> = users_taken.iter().zip(items).collect();
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!((pairs.len(), table.rows), (3_000, 3_000));

    let base = rows(&set, Split::Base);
    let score = |user: usize, item: usize| -> f32 {
        base[item * 24..][..24].iter().zip(&users[user * 24..][..24]).map(|(a, b)| a * b).sum()
    };
    let of = |(user, item): (&u64, &Option<i64>)| score(*user as usize, item.unwrap() as usize);
    let taken: f32 = users_taken.iter().zip(items).map(of).sum::<f32>() / 3_000.0;
    let any: f32 = (0..3_000).map(|at| score(at % 300, at * 7 % 2_000)).sum::<f32>() / 3_000.0;
    assert!(taken > any + 0.2, "{taken} {any}");
    let digest = xxh3_64(bytemuck::cast_slice(
        &pairs
            .iter()
            .map(|(user, item)| [**user, item.unwrap() as u64])
            .collect::<Vec<_>>()
            .concat(),
    ));
    assert_eq!(digest, 0xafea_3976_3266_81fb, "{digest:#x}");
}
