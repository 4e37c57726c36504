//! Publishing and reading generations, and the manifest, from outside.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use vicinage::format::{Disk, Geometry, LoadMode, OpenError, SectionKind, SegmentWriter};
use vicinage::segments::manifest::{
    MANIFEST_BYTES_MAX, MANIFEST_NAME, Manifest, ManifestError, Provenance, SegmentRecord,
};
use vicinage::segments::publish::{
    CurrentError, IndexDir, NewSegment, PendingGeneration, PublishError, read_current,
};
use vicinage::types::{ElementType, Metric};

fn write(pending: &PendingGeneration<'_, '_>, name: &str) -> NewSegment {
    let geometry = Geometry { n: 3, dim: 2, metric: Metric::Ip, element: ElementType::I8, seed: 0 };
    let path = pending.file_path(name);
    let mut writer = SegmentWriter::create(pending.layer(), &path).unwrap();
    let bytes = pending.generation().to_le_bytes();
    writer.begin_section(SectionKind::Meta, 0).unwrap().write(&bytes).unwrap();
    let digest = writer.finish(geometry).unwrap();
    let Geometry { n, dim, metric, element, .. } = geometry;
    NewSegment { name: name.to_owned(), digest, n, dim, metric, element }
}

fn publish(path: &Path, retain: u64) -> u64 {
    let mut dir = IndexDir::create_or_open(path, &Disk).unwrap();
    let pending = dir.begin().unwrap();
    let segment = write(&pending, "base.vcg");
    let published = pending.publish(&[segment], None, retain).unwrap();
    assert!(published.not_removed.is_empty());
    published.generation
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_generations_stay() {
    let root = tempfile::tempdir().unwrap();
    let index = root.path().join("new/indexes/jobs");
    for generation in 1..=4 {
        assert_eq!(publish(&index, 2), generation);
        let current = read_current(&index, LoadMode::Mmap).unwrap();
        assert_eq!(current.manifest.generation, generation);
        let meta = current.files[0].section(SectionKind::Meta, 0).unwrap();
        assert_eq!(meta, generation.to_le_bytes());
    }
    assert_eq!(names(&index), [".lock", "000003", "000004", MANIFEST_NAME]);
    assert_eq!(publish(&index, 0), 5);
    assert_eq!(names(&index), [".lock", "000005", MANIFEST_NAME]);
    assert!(fs::metadata(index.join("000005/base.vcg")).unwrap().permissions().readonly());
}

#[test]
fn a_mapped_generation_outlives_its_removal() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 1);
    let old = read_current(root.path(), LoadMode::Mmap).unwrap();
    publish(root.path(), 1);
    assert!(!old.files[0].path().exists());
    assert_eq!(old.files[0].verify(&mut |_| ()), []);
}

#[test]
fn one_build_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let dir = IndexDir::create_or_open(root.path(), &Disk).unwrap();
    let error = IndexDir::create_or_open(root.path(), &Disk).unwrap_err();
    assert!(matches!(&error, PublishError::Locked { dir } if dir == root.path()), "{error}");
    drop(dir);
    assert_eq!(publish(root.path(), 1), 1);
}

#[test]
fn what_is_not_an_index_stays_untouched() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.tex"), "years of work").unwrap();
    let error = IndexDir::create_or_open(root.path(), &Disk).unwrap_err();
    assert!(matches!(&error, PublishError::NotAnIndex { found, .. } if found == "thesis.tex"));
    assert_eq!(names(root.path()), ["thesis.tex"]);

    let photos = tempfile::tempdir().unwrap();
    fs::create_dir(photos.path().join("000001")).unwrap();
    fs::write(photos.path().join("000001/beach.jpg"), "the only copy").unwrap();
    let error = IndexDir::create_or_open(photos.path(), &Disk).unwrap_err();
    assert!(matches!(&error, PublishError::NotAnIndex { found, .. } if found == "000001"));
    assert_eq!(names(photos.path()), ["000001"]);
    assert_eq!(names(&photos.path().join("000001")), ["beach.jpg"]);

    let file = root.path().join("thesis.tex");
    assert!(matches!(IndexDir::create_or_open(&file, &Disk), Err(PublishError::Unreadable(_))));
    fs::write(root.path().join(MANIFEST_NAME), "{}").unwrap();
    let error = IndexDir::create_or_open(root.path(), &Disk).unwrap_err();
    assert!(matches!(error, PublishError::Unreadable(ManifestError::Corrupt(_))), "{error}");
    assert_eq!(names(root.path()), [MANIFEST_NAME, "thesis.tex"]);
}

#[test]
fn a_build_that_gives_up_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let index = root.path().join("a/b");
    let mut dir = IndexDir::create_or_open(&index, &Disk).unwrap();
    let pending = dir.begin().unwrap();
    write(&pending, "base.vcg");
    assert_eq!(names(&index), [".lock", ".tmp-000001"]);
    drop(pending);
    assert_eq!(names(&index), [".lock"]);
    drop(dir);
    assert!(names(root.path()).is_empty());

    drop(IndexDir::create_or_open(root.path(), &Disk).unwrap());
    assert!(names(root.path()).is_empty(), "a directory that was there stays, and stays empty");
    publish(root.path(), 1);
    drop(IndexDir::create_or_open(root.path(), &Disk).unwrap());
    assert_eq!(names(root.path()), [".lock", "000001", MANIFEST_NAME]);
}

#[test]
fn leftovers_of_dead_builds_are_cleared() {
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "").unwrap();
    let index = root.path().join("jobs");
    publish(&index, 2);
    for dir in [".tmp-000002", "000002", "000007"] {
        fs::create_dir(index.join(dir)).unwrap();
        fs::write(index.join(dir).join("base.vcg"), "half").unwrap();
    }
    fs::write(index.join(".tmp-MANIFEST.json"), "half").unwrap();
    fs::write(index.join("space.toml"), "").unwrap();
    std::os::unix::fs::symlink(&outside, index.join(".tmp-link")).unwrap();
    assert_eq!(read_current(&index, LoadMode::Copy).unwrap().manifest.generation, 1);

    assert_eq!(publish(&index, 2), 2);
    assert_eq!(names(&index), [".lock", "000001", "000002", MANIFEST_NAME, "space.toml"]);
    assert_eq!(names(&outside), ["kept"]);
}

#[test]
fn only_the_named_files_are_published() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 2);
    let mut dir = IndexDir::create_or_open(root.path(), &Disk).unwrap();
    let refused = |result: Result<_, PublishError>| {
        assert!(matches!(result.map(drop), Err(PublishError::WrongFiles { .. })));
        assert_eq!(names(root.path()), [".lock", "000001", MANIFEST_NAME]);
    };

    let pending = dir.begin().unwrap();
    let one = write(&pending, "base.vcg");
    write(&pending, "more.vcg");
    refused(pending.publish(&[one], None, 2));

    let pending = dir.begin().unwrap();
    let mut short = write(&pending, "base.vcg");
    short.digest.length -= 1;
    refused(pending.publish(&[short], None, 2));

    refused(dir.begin().unwrap().publish(&[], None, 2));
}

/// A whole, valid file in the place of another is not what the manifest names.
#[test]
fn an_exchanged_file_is_refused() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 2);
    publish(root.path(), 2);
    let place = root.path().join("000002/base.vcg");
    fs::remove_file(&place).unwrap();
    fs::copy(root.path().join("000001/base.vcg"), &place).unwrap();
    let error = read_current(root.path(), LoadMode::Mmap).unwrap_err();
    assert!(matches!(error, CurrentError::Segment(OpenError::Corrupt(_))), "{error}");
    fs::remove_file(&place).unwrap();
    let error = read_current(root.path(), LoadMode::Mmap).unwrap_err();
    assert!(matches!(error, CurrentError::Segment(OpenError::File(_))), "{error}");
}

/// Generations vanish under readers as fast as they can be published.
#[test]
fn readers_never_see_the_change() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 1);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut newest = 0;
            while !over.load(Ordering::Relaxed) {
                let current = read_current(root.path(), LoadMode::Mmap).unwrap();
                assert!(current.manifest.generation >= newest);
                newest = current.manifest.generation;
                assert_eq!(current.files[0].verify(&mut |_| ()), []);
            }
        });
        for _ in 0..200 {
            publish(root.path(), 1);
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

fn manifest() -> Manifest {
    let segment = |name: &str| SegmentRecord {
        file: format!("000012/{name}"),
        length: 123_456,
        header_checksum: 0xfedc_ba98_7654_3210,
        n: 1000,
        dim: 96,
        metric: Metric::Cosine,
        element: ElementType::Bf16,
    };
    let provenance = Provenance { tool: "vicinage 0.1.0".to_owned(), created_unix_s: 1 };
    Manifest::new(12, vec![segment("base.vcg"), segment("more.vcg")], Some(provenance))
}

#[test]
fn every_changed_byte_of_a_manifest_is_noticed() {
    let path = Path::new(MANIFEST_NAME);
    let manifest = manifest();
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::from_bytes(&bytes, path).unwrap(), manifest);
    for at in 0..bytes.len() {
        for other in (0..=255).filter(|&other| other != bytes[at]) {
            let mut changed = bytes.clone();
            changed[at] = other;
            assert!(Manifest::from_bytes(&changed, path).is_err(), "byte {at} to {other}");
        }
        assert!(Manifest::from_bytes(&bytes[..at], path).is_err(), "cut at {at}");
        let longer = [&bytes[..at], b" ", &bytes[at..]].concat();
        assert!(Manifest::from_bytes(&longer, path).is_err(), "space at {at}");
    }
}

#[test]
fn a_manifest_names_only_files_of_its_generation() {
    let names = [
        "",
        "base.vcg",
        "000012",
        "000012/",
        "000011/base.vcg",
        "12/base.vcg",
        "/000012/base.vcg",
        "000012/../base.vcg",
        "../000012/base.vcg",
        "000012/a/b",
        "000012/..",
        "000012/.hidden",
        "000012/a\\b",
        "000012/a\u{0}b",
        "000012//b",
        "/etc/passwd",
    ];
    for name in names {
        let mut segments = manifest().segments;
        segments[1].file = name.to_owned();
        let bytes = Manifest::new(12, segments, None).to_bytes();
        let error = Manifest::from_bytes(&bytes, Path::new(MANIFEST_NAME)).unwrap_err();
        assert!(error.to_string().contains("a file in 000012/"), "{name:?}: {error}");
    }
    let twice = vec![manifest().segments.remove(0), manifest().segments.remove(0)];
    for wrong in [Manifest::new(12, twice, None), Manifest::new(12, vec![], None)] {
        assert!(Manifest::from_bytes(&wrong.to_bytes(), Path::new(MANIFEST_NAME)).is_err());
    }
}

#[test]
fn unknown_manifests_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(MANIFEST_NAME);
    assert!(matches!(Manifest::read(root.path()), Err(ManifestError::NoIndex { .. })));

    let text = String::from_utf8(manifest().to_bytes()).unwrap();
    let newer = text.replace("\"manifest_version\": 1", "\"manifest_version\": 2, \"new\": 1");
    fs::write(&path, newer).unwrap();
    let error = Manifest::read(root.path()).unwrap_err();
    assert!(matches!(error, ManifestError::TooNew { found: 2, .. }), "{error}");

    let unknown = text.replace("\"generation\"", "\"surprise\": 1,\n  \"generation\"");
    fs::write(&path, unknown).unwrap();
    let error = Manifest::read(root.path()).unwrap_err();
    assert!(error.to_string().contains("unknown field `surprise`"), "{error}");

    fs::write(&path, vec![b' '; MANIFEST_BYTES_MAX as usize + 1]).unwrap();
    let error = Manifest::read(root.path()).unwrap_err();
    assert!(error.to_string().contains("at most 1048576 bytes"), "{error}");
}
