//! Damage in a real index: whatever byte changes, wherever a file is cut, `verify` says so, and
//! opening and searching may be wrong but never panics. `tests/forgery.rs` does the same with
//! damage whose checksums are right.
//!
//! Seeded; `SEED=… cargo test --test corruption` runs another one, and a failure names the seed,
//! the round and the byte.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::everything::{self, use_everything};
use common::{Random, build_quick};
use vicinage::format::header::TABLE_OFFSET_AT;
use vicinage::format::{HEADER_BYTES, LoadMode};
use vicinage::index::{Index, verify};
use vicinage::progress::Silent;
use vicinage::types::ElementType;

const FLIPS: usize = 10_000;
const TRUNCATIONS: usize = 1_000;

/// One file of an index whose bytes may be changed.
struct Victim {
    file: File,
    bytes: Vec<u8>,
}

impl Victim {
    fn new(index: &Path, name: &str) -> Victim {
        let path = index.join(name);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let bytes = fs::read(&path).unwrap();
        Victim { file: OpenOptions::new().write(true).open(&path).unwrap(), bytes }
    }

    /// Runs `look` while the byte at `at` is xored by `mask`.
    fn flipped<T>(&self, at: usize, mask: u8, look: impl FnOnce() -> T) -> T {
        self.file.write_all_at(&[self.bytes[at] ^ mask], at as u64).unwrap();
        let seen = look();
        self.file.write_all_at(&[self.bytes[at]], at as u64).unwrap();
        seen
    }

    /// Runs `look` while the file ends at `length`.
    fn cut<T>(&self, length: usize, look: impl FnOnce() -> T) -> T {
        self.file.set_len(length as u64).unwrap();
        let seen = look();
        self.file.write_all_at(&self.bytes[length..], length as u64).unwrap();
        seen
    }

    /// Where the section table starts; of a segment file.
    fn table(&self) -> usize {
        let field = self.bytes[TABLE_OFFSET_AT..][..8].try_into().unwrap();
        u64::from_le_bytes(field) as usize
    }
}

/// An index with everything, its manifest and its segment file.
fn index() -> (tempfile::TempDir, Victim, Victim) {
    let dir = tempfile::tempdir().unwrap();
    let source = everything::source(1500, 12, ElementType::F16, 3);
    let report = build_quick(dir.path(), source, &everything::params());
    assert_eq!(report.meta.columns.len(), 6);
    let index = Index::open(dir.path(), LoadMode::Mmap).unwrap();
    assert!(index.info().levels.len() >= 3, "{:?}", index.info().levels);
    let damage = verify(dir.path(), true, &Silent).unwrap().damage;
    assert_eq!(damage, []);
    assert_eq!(use_everything(dir.path(), LoadMode::Mmap).unwrap(), 0);
    let manifest = Victim::new(dir.path(), "MANIFEST.json");
    let segment = Victim::new(dir.path(), "000001/base.vcg");
    (dir, manifest, segment)
}

/// Whether a reader that opens and uses the damaged index is refused at once; and `verify` must
/// find something, or it panics with what nobody noticed.
fn refused(dir: &Path, deep: bool, case: &str) -> bool {
    let found = catch_unwind(|| match verify(dir, deep, &Silent) {
        Ok(report) => !report.damage.is_empty(),
        Err(_) => true,
    });
    match found {
        Err(_) => panic!("{case}: verify panicked"),
        Ok(false) => panic!("{case}: verify noticed nothing"),
        Ok(true) => {}
    }
    match catch_unwind(AssertUnwindSafe(|| use_everything(dir, LoadMode::Mmap))) {
        Err(_) => panic!("{case}: using it panicked"),
        Ok(used) => used.is_err(),
    }
}

#[test]
fn ten_thousand_flips_are_found_and_harmless() {
    let (dir, manifest, segment) = index();
    let (mut random, seed) = Random::seeded();
    let (length, table) = (segment.bytes.len(), segment.table());
    let (mut refusals, mut harmless) = (0, 0);
    for round in 0..FLIPS {
        let mask = 1 + random.below(255) as u8;
        let deep = random.below(2) == 0;
        // Most of the file is vectors and lists: header, tables and manifest get a share.
        let (victim, name, at) = match random.below(5) {
            0 => (&manifest, "manifest", random.below(manifest.bytes.len())),
            1 => (&segment, "header", random.below(HEADER_BYTES)),
            2 => (&segment, "table", table + random.below(length - table)),
            _ => (&segment, "segment", random.below(length)),
        };
        let case = format!("SEED={seed} round {round}: {name} byte {at} ^ {mask:#04x}");
        let at_open = victim.flipped(at, mask, || refused(dir.path(), deep, &case));
        let vital = name == "manifest" || at < HEADER_BYTES || at >= table;
        assert!(at_open || !vital, "{case}: opened all the same");
        *(if at_open { &mut refusals } else { &mut harmless }) += 1;
    }
    eprintln!("{FLIPS} flips: {refusals} refused at open, {harmless} found by verify alone");
    assert!(harmless > 1000, "the sections were hardly touched");
    assert_eq!(verify(dir.path(), true, &Silent).unwrap().damage, []);
}

#[test]
fn a_thousand_truncations_are_refused() {
    let (dir, manifest, segment) = index();
    let (mut random, seed) = Random::seeded();
    for round in 0..TRUNCATIONS {
        let victim = if round % 5 == 0 { &manifest } else { &segment };
        let length = random.below(victim.bytes.len());
        let case = format!("SEED={seed} round {round}: cut to {length}");
        let at_open = victim.cut(length, || refused(dir.path(), false, &case));
        assert!(at_open, "{case}: opened all the same");
    }
    assert_eq!(verify(dir.path(), true, &Silent).unwrap().damage, []);
}

/// What is read into memory is refused just as what is mapped.
#[test]
fn a_copy_is_no_different() {
    let (dir, _, segment) = index();
    let (mut random, seed) = Random::seeded();
    for round in 0..500 {
        let (at, mask) = (random.below(segment.bytes.len()), 1 + random.below(255) as u8);
        let case = format!("SEED={seed} round {round}: byte {at} ^ {mask:#04x}");
        let outcome = |load| match use_everything(dir.path(), load) {
            Ok(refused) => format!("{refused} refused"),
            Err(error) => error.to_string(),
        };
        let (map, copy) =
            segment.flipped(at, mask, || (outcome(LoadMode::Mmap), outcome(LoadMode::Copy)));
        assert_eq!(map, copy, "{case}");
    }
}
