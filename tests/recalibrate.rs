//! A new calibration for an index that exists: nothing else changes, and whatever goes wrong leaves
//! the old generation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;

use common::crash::{Check, Hasty, Model, Recorder, first_failure};
use common::{MemorySource, assert_clean, build_quick, clustered, open, quick};
use vicinage::builder::{
    BuildError, BuildParams, ReviseReport, build_through, recalibrate, recalibrate_through,
};
use vicinage::format::{FileLayer, LoadMode, SectionKind};
use vicinage::index::{Index, Scratch, SearchError, SearchParams, verify};
use vicinage::progress::{Progress, Silent, Stage};
use vicinage::segments::publish::read_current;
use vicinage::types::Metric;

const DIM: usize = 8;

/// As few items as are calibrated, and some.
const N: usize = 700;

fn source() -> MemorySource {
    MemorySource::new(clustered(N, DIM, 1), DIM)
}

/// Queries of other clusters than those of the items.
fn queries(count: usize) -> Vec<f32> {
    clustered(count, DIM, 2)
}

fn hits(index: &Index, query: &[f32], params: &SearchParams) -> Vec<(u64, u32)> {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    index.search(&mut scratch, query, params, &mut hits).unwrap();
    hits.iter().map(|hit| (hit.item_id, hit.score.to_bits())).collect()
}

/// The sections of the current generation in file order, without the calibration, the number of entries and
/// the entry points.
fn sections(dir: &Path) -> Vec<(u32, u32, Vec<u8>)> {
    let current = read_current(dir, LoadMode::Mmap).unwrap();
    let file = &current.files[0];
    let bytes = |code, index| {
        let kind = SectionKind::from_code(code).unwrap();
        let mut bytes = file.section(kind, index).unwrap().to_vec();
        if kind == SectionKind::Levels {
            bytes[12..16].fill(0);
        }
        bytes
    };
    let left_out = [SectionKind::Calibration, SectionKind::EntryPoints].map(SectionKind::code);
    let kept = file.sections().iter().filter(|e| !left_out.contains(&e.code));
    kept.map(|e| (e.code, e.index, bytes(e.code, e.index))).collect()
}

#[test]
fn only_the_calibration_and_the_entries_change() {
    for metric in Metric::ALL {
        for calibrate in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let params = BuildParams { calibrate, ..quick(metric) };
            let report = build_quick(dir.path(), source(), &params);
            assert_eq!(report.calibration.is_some(), calibrate);
            let (before, bytes) = (open(dir.path()), sections(dir.path()));
            assert_eq!(before.calibration().is_some(), calibrate);

            let tuned = recalibrate(dir.path(), queries(60), 2, &Silent).unwrap();
            assert_eq!((tuned.generation, tuned.not_removed.len()), (2, 0));
            assert!(bytes == sections(dir.path()), "{metric}");
            assert_eq!(verify(dir.path(), true, &Silent).unwrap().damage, []);
            assert_clean(dir.path());

            let after = open(dir.path());
            let calibration = after.calibration().unwrap();
            assert_eq!(*calibration, tuned.calibration);
            assert_eq!((calibration.queries_from.as_str(), calibration.queries), ("queries", 60));
            let fixed = SearchParams { ef: Some(20), ..SearchParams::top(10) };
            let exact = SearchParams { exact: true, ..fixed };
            let way_in = |index: &Index| (index.info().entries, index.info().centers);
            let same = way_in(&before) == way_in(&after);
            for query in clustered(20, DIM, 3).chunks(DIM) {
                for params in [Some(exact), same.then_some(fixed)].iter().flatten() {
                    assert_eq!(hits(&before, query, params), hits(&after, query, params));
                }
            }
            let wanted = SearchParams { target_recall: Some(0.9), ..SearchParams::top(10) };
            assert_eq!(hits(&after, &queries(1), &wanted).len(), 10);
        }
    }
}

#[test]
fn a_deterministic_index_stays_one() {
    let made = || {
        let dir = tempfile::tempdir().unwrap();
        let params = BuildParams { deterministic: true, ..quick(Metric::L2) };
        build_quick(dir.path(), source(), &params);
        recalibrate(dir.path(), queries(30), 2, &Silent).unwrap();
        let file = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        (file("MANIFEST.json"), file("000002/base.vcg"))
    };
    assert!(made() == made());
}

#[test]
fn what_cannot_be_calibrated_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    assert!(matches!(recalibrate(&none, queries(9), 1, &Silent), Err(BuildError::Current(_))));
    assert!(!none.exists());

    let few = dir.path().join("few");
    let source = MemorySource::new(clustered(100, DIM, 1), DIM);
    assert_eq!(build_quick(&few, source, &quick(Metric::L2)).calibration, None);
    let index = open(&few);
    assert_eq!(index.effort(5, 0.9), Err(SearchError::NotCalibrated));
    let failed = recalibrate(&few, queries(9), 1, &Silent);
    assert!(matches!(failed, Err(BuildError::TooFew { found: 100 })));

    let index = dir.path().join("index");
    build_quick(&index, self::source(), &quick(Metric::Cosine));
    let mut bad = queries(9);
    bad[4 * DIM..5 * DIM].fill(0.0);
    let failed = recalibrate(&index, bad, 1, &Silent);
    assert!(matches!(failed, Err(BuildError::Query { row: 4, .. })));
    for wrong in [Vec::new(), vec![1.0; DIM + 1]] {
        let failed = recalibrate(&index, wrong, 1, &Silent);
        assert!(matches!(failed, Err(BuildError::Parameter { name: "queries", .. })));
    }
    for dir in [few, index] {
        assert_eq!(open(&dir).info().generation, 1);
        assert_clean(&dir);
    }
}

/// Says stop when `stage` begins.
struct StopAt(Stage, std::sync::atomic::AtomicBool);

impl Progress for StopAt {
    fn begin(&self, stage: Stage, _total: Option<u64>, _unit: &'static str) {
        if stage == self.0 {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn advance(&self, _done: u64) {}

    fn end(&self, _stage: Stage) {}

    fn cancelled(&self) -> bool {
        self.1.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[test]
fn it_may_be_stopped_at_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), source(), &quick(Metric::L2));
    for stage in [Stage::Truth, Stage::Calibrate, Stage::Write, Stage::Verify] {
        let stop = StopAt(stage, false.into());
        let stopped = recalibrate(dir.path(), queries(9), 1, &stop);
        assert!(matches!(stopped, Err(BuildError::Cancelled)), "{stage:?}");
        assert_eq!(open(dir.path()).info().generation, 1);
        assert_clean(dir.path());
    }
}

fn tune(index: &Path, layer: &dyn FileLayer) -> Result<ReviseReport, BuildError> {
    recalibrate_through(layer, index, queries(9), 1, &Silent)
}

#[test]
fn a_damaged_index_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), source(), &quick(Metric::L2));
    let path = dir.path().join("000001/base.vcg");
    let vectors = read_current(dir.path(), LoadMode::Mmap).unwrap().files[0]
        .sections()
        .iter()
        .find(|entry| entry.kind() == Some(SectionKind::Vectors))
        .unwrap()
        .offset;
    let mut bytes = std::fs::read(&path).unwrap();
    // The lowest bit of a number: searches do not mind, checksums do.
    bytes[vectors as usize] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error = tune(dir.path(), &Hasty).unwrap_err().to_string();
    assert!(error.contains("vectors") && error.contains("checksum"), "{error}");
    assert_eq!(open(dir.path()).info().generation, 1);
    assert_clean(dir.path());
}

/// The disk is full, or fails, at any change.
#[test]
fn a_failing_change_leaves_the_old_generation() {
    let mut fail_at = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("jobs");
        build_quick(&index, source(), &quick(Metric::L2));
        let recorder = Recorder::new(dir.path(), Some(fail_at));
        let tuned = tune(&index, &recorder);
        let changes = recorder.take_log().len();
        let generation = open(&index).info().generation;
        match tuned {
            Ok(_) => {
                assert!(changes <= fail_at && generation == 2);
                break;
            }
            // The very last sync comes after the rename that makes it current.
            Err(_) => assert!(generation == 1 || changes == fail_at + 1, "{fail_at}"),
        }
        assert_clean(&index);
        fail_at += 1;
    }
    assert!(fail_at > 15, "only {fail_at} changes");
}

/// The power fails at any moment.
#[test]
fn after_any_crash_the_old_or_the_new_generation_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("jobs");
    let recorder = Recorder::new(dir.path(), None);
    build_through(&recorder, &index, &mut source(), &quick(Metric::L2), &Silent).unwrap();
    let mut model = Model::new();
    recorder.take_log().iter().for_each(|change| model.apply(change));
    model.settle();
    tune(&index, &recorder).unwrap();
    let generation = |index: &Path| {
        let report = verify(index, false, &Silent).map_err(|error| error.to_string())?;
        match report.damage.first() {
            Some(damage) => Err(damage.to_string()),
            None => Ok(report.generation),
        }
    };
    let next = |index: &Path| match tune(index, &Hasty) {
        Ok(tuned) => Ok(tuned.generation),
        Err(error) => Err(error.to_string()),
    };
    let check = Check { generation: &generation, next: &next };
    let tried = first_failure(&model, &recorder.take_log(), 1, &check).unwrap();
    assert!(tried > 20, "only {tried} disks");
}
