//! A power failure at every moment of a build.
//!
//! A recording file layer (`common/crash.rs`) writes down every change that publishing a generation makes. For every
//! prefix of that log, a model of a file system works out what the disk could hold if the power
//! failed there: bytes that were not synced are there, gone, zero, torn or out of order; names in
//! directories that were not synced are there or not, in every combination. Each of these disks is
//! then built for real, and the index on it must open, verify fully, be the old one or the new
//! one, and take a next build.
//!
//! The same check is run against wrong orders, and must fail them: it can tell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;

use common::assert_clean;
use common::crash::{Change, Check, Hasty, Model, Recorder, first_failure};
use vicinage::format::{FileLayer, Geometry, LoadMode, SectionKind, SegmentWriter};
use vicinage::segments::manifest::{MANIFEST_NAME, ManifestError};
use vicinage::segments::publish::{
    CurrentError, IndexDir, NewSegment, PublishError, Published, read_current,
};
use vicinage::types::{ElementType, Metric};

const GEOMETRY: Geometry =
    Geometry { n: 9, dim: 4, metric: Metric::L2, element: ElementType::F32, seed: 7 };

/// Writes and publishes a generation of two segments whose bytes tell which one it is.
fn publish(index: &Path, layer: &dyn FileLayer, retain: u64) -> Result<Published, PublishError> {
    let mut dir = IndexDir::create_or_open(index, layer)?;
    let pending = dir.begin()?;
    let mut segments = Vec::new();
    for name in ["base.vcg", "more.vcg"] {
        let mut writer = SegmentWriter::create(pending.layer(), &pending.file_path(name))?;
        for (kind, length) in [(SectionKind::Meta, 10), (SectionKind::Graph, 5000)] {
            let bytes = vec![pending.generation() as u8; length];
            writer.begin_section(kind, 0)?.write(&bytes)?;
        }
        let Geometry { n, dim, metric, element, .. } = GEOMETRY;
        let digest = writer.finish(GEOMETRY)?;
        segments.push(NewSegment { name: name.to_owned(), digest, n, dim, metric, element });
    }
    pending.publish(&segments, None, retain)
}

/// Opens and fully verifies the index; the generation that it holds, 0 for no index.
fn generation(index: &Path) -> Result<u64, String> {
    let current = match read_current(index, LoadMode::Mmap) {
        Ok(current) => current,
        Err(CurrentError::Manifest(ManifestError::NoIndex { .. })) => return Ok(0),
        Err(error) => return Err(error.to_string()),
    };
    let generation = current.manifest.generation;
    for file in &current.files {
        let graph = file.section(SectionKind::Graph, 0);
        if graph != Some(&[generation as u8; 5000]) {
            return Err(format!("bytes of another generation in {}", file.path().display()));
        }
        if let Some(damage) = file.verify(&mut |_| ()).first() {
            return Err(damage.to_string());
        }
    }
    Ok(generation)
}

fn breaks(model: &Model, log: &[Change], old: u64) -> Result<usize, String> {
    let next = |index: &Path| match publish(index, &Hasty, 2) {
        Ok(published) => Ok(published.generation),
        Err(error) => Err(error.to_string()),
    };
    first_failure(model, log, old, &Check { generation: &generation, next: &next })
}

/// The model and the log of publishing over an index that has `old` generations.
fn record(old: u64, retain: u64) -> (Model, Vec<Change>) {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(dir.path(), None);
    let index = dir.path().join("jobs");
    let mut model = Model::new();
    for _ in 0..old {
        publish(&index, &recorder, retain).unwrap();
    }
    recorder.take_log().iter().for_each(|change| model.apply(change));
    // A reader has opened this index: it has long been on the disk.
    model.settle();
    publish(&index, &recorder, retain).unwrap();
    (model, recorder.take_log())
}

#[test]
fn after_any_crash_the_old_or_the_new_index_is_there() {
    for (old, retain) in [(0, 2), (1, 2), (1, 1), (2, 2)] {
        let (model, log) = record(old, retain);
        let tried = breaks(&model, &log, old).unwrap();
        eprintln!("generation {old}, retain {retain}: {tried} disks over {} changes", log.len());
        assert!(tried > 20, "only {tried} disks over {} changes", log.len());
    }
}

/// Every sync is needed, the manifest comes after its generation, and the old generation goes after
/// the manifest: leave one out or swap two, and some crash breaks the index.
#[test]
fn wrong_orders_are_told() {
    let (model, log) = record(1, 1);
    breaks(&model, &log, 1).unwrap();

    let mut needed = 0;
    for (at, change) in log.iter().enumerate() {
        if matches!(change, Change::Seal(_) | Change::SyncDir(_)) {
            let mut without = log.clone();
            without.remove(at);
            let told = breaks(&model, &without, 1);
            assert!(told.is_err(), "nobody noticed that {change:?} was left out");
            needed += 1;
        }
    }
    assert_eq!(
        needed, 6,
        "two segments, their directory, the index, the manifest, the index again"
    );

    let place =
        |log: &[Change], wanted: &dyn Fn(&Change) -> bool| log.iter().position(wanted).unwrap();
    let renamed_to = |name: &'static str| move |change: &Change| matches!(change, Change::Rename(_, to) if to.ends_with(name));
    let about_manifest = |change: &Change| match change {
        Change::CreateFile(path)
        | Change::Write(path, ..)
        | Change::Seal(path)
        | Change::Rename(path, _) => path.ends_with(".tmp-MANIFEST.json"),
        _ => false,
    };
    let (mut manifest, mut early): (Vec<_>, Vec<_>) = log.iter().cloned().partition(about_manifest);
    manifest.push(Change::SyncDir("jobs".into()));
    let at = place(&early, &renamed_to("000002"));
    early.splice(at..at, manifest);
    let told = breaks(&model, &early, 1);
    assert!(told.is_err(), "nobody noticed that the manifest came before its generation");

    let mut eager = log.clone();
    let removal = place(&log, &|change| matches!(change, Change::RemoveFile(_)));
    let file = eager.remove(removal);
    eager.insert(place(&log, &renamed_to(MANIFEST_NAME)), file);
    let told = breaks(&model, &eager, 1);
    assert!(told.is_err(), "nobody noticed that the old generation went before the new one came");
}

/// The disk is full, or fails, at any change: the build says so, the old index stays, nothing is
/// left behind.
#[test]
fn a_failing_change_leaves_the_old_index() {
    for old in [0, 1] {
        let mut fail_at = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let index = dir.path().join("jobs");
            (0..old).for_each(|_| drop(publish(&index, &Hasty, 1).unwrap()));
            let recorder = Recorder::new(dir.path(), Some(fail_at));
            let result = publish(&index, &recorder, 1);
            let log = recorder.take_log();
            let found = generation(&index).unwrap();
            match result {
                Ok(_) if log.len() <= fail_at => break,
                // Only removing an old generation may fail without failing the build.
                Ok(published) => {
                    assert_eq!((found, published.not_removed.len()), (old + 1, 1));
                }
                Err(_) => {
                    let replaced = log.iter().any(
                        |change| matches!(change, Change::Rename(_, to) if to.ends_with(MANIFEST_NAME)),
                    );
                    let last_sync = matches!(log[fail_at], Change::SyncDir(_)) && replaced;
                    assert_eq!(found, old + u64::from(last_sync), "{:?}", log[fail_at]);
                    assert_eq!(index.exists(), found > 0, "{:?}", log[fail_at]);
                    if found > 0 {
                        assert_clean(&index);
                    }
                }
            }
            assert_eq!(publish(&index, &Hasty, 1).unwrap().generation, found + 1);
            assert_clean(&index);
            fail_at += 1;
        }
        assert!(fail_at > 15, "only {fail_at} changes");
    }
}
