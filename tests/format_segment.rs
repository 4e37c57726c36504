//! Segment files from outside: what was written is read back, and whatever is changed afterwards
//! is noticed. Randomness is seeded; `SEED=… cargo test --test format_segment` runs another one,
//! and a failure names the seed, the round and the byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vicinage::format::header::{self, MAX_N};
use vicinage::format::section::ENTRY_BYTES;
use vicinage::format::{
    BLOCK_BYTES, Disk, FORMAT_VERSION, Geometry, HEADER_BYTES, LoadMode, OpenError, SectionKind,
    SegmentDigest, SegmentFile, SegmentWriter, checksum,
};
use vicinage::types::{ElementType, Metric};

const GEOMETRY: Geometry =
    Geometry { n: 700, dim: 16, metric: Metric::Ip, element: ElementType::F16, seed: 42 };

/// SplitMix64 (Steele, Lea, Flood 2014): enough for choosing bytes.
struct Random(u64);

impl Random {
    fn new() -> (Random, u64) {
        let seed = std::env::var("SEED").map_or(1, |text| text.parse().unwrap());
        (Random(seed), seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// Sections of every interesting length: empty, tiny, page-sized, one over, and as asked.
fn contents(large: usize) -> Vec<(SectionKind, u32, Vec<u8>)> {
    vec![
        (SectionKind::Meta, 0, bytes(100, 1)),
        (SectionKind::Graph, 0, bytes(large, 2)),
        (SectionKind::Levels, 0, Vec::new()),
        (SectionKind::Vectors, 0, bytes(4096, 3)),
        (SectionKind::ItemIds, 0, bytes(5600, 4)),
        (SectionKind::Column, 0, bytes(4097, 5)),
        (SectionKind::Column, 1, bytes(1, 6)),
    ]
}

fn write(path: &Path, sections: &[(SectionKind, u32, Vec<u8>)], step: usize) -> SegmentDigest {
    let mut writer = SegmentWriter::create(&Disk, path).unwrap();
    for (kind, index, bytes) in sections {
        let mut section = writer.begin_section(*kind, *index).unwrap();
        for part in bytes.chunks(step) {
            section.write(part).unwrap();
        }
    }
    writer.finish(GEOMETRY).unwrap()
}

/// A written segment whose bytes may be changed.
struct Victim {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
    _dir: tempfile::TempDir,
}

impl Victim {
    fn new(large: usize) -> Victim {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("base.vcg");
        write(&path, &contents(large), 1000);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        Victim { path, file, bytes, _dir: dir }
    }

    /// Runs `look` on the file with the byte at `at` xored by `mask`.
    fn flipped<T>(&self, at: usize, mask: u8, look: impl FnOnce(&Path) -> T) -> T {
        self.file.write_all_at(&[self.bytes[at] ^ mask], at as u64).unwrap();
        let seen = look(&self.path);
        self.file.write_all_at(&[self.bytes[at]], at as u64).unwrap();
        seen
    }
}

fn open(path: &Path) -> Result<SegmentFile, OpenError> {
    SegmentFile::open(path, LoadMode::Mmap)
}

#[test]
fn what_was_written_is_read_back() {
    let sections = contents(3 * BLOCK_BYTES + 17);
    for step in [1000, BLOCK_BYTES - 1, BLOCK_BYTES, 5 * BLOCK_BYTES] {
        for mode in LoadMode::ALL {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("base.vcg");
            let digest = write(&path, &sections, step);
            let file = SegmentFile::open(&path, mode).unwrap();

            assert_eq!(file.geometry(), &GEOMETRY);
            assert_eq!(file.header_checksum(), digest.header_checksum);
            assert_eq!(file.length(), digest.length);
            assert_eq!(file.length(), fs::metadata(&path).unwrap().len());
            assert_eq!(file.sections().len(), sections.len());
            for (kind, index, bytes) in &sections {
                let found = file.section(*kind, *index).unwrap();
                assert_eq!(found, bytes, "{kind:?} {index}");
                assert_eq!(found.as_ptr() as usize % 64, 0);
            }
            assert!(file.section(SectionKind::Column, 2).is_none());
            let ids = file.section_as::<u64>(SectionKind::ItemIds, 0, 700).unwrap();
            assert_eq!(bytemuck::cast_slice::<u64, u8>(ids), sections[4].2);

            let mut read = 0;
            assert_eq!(file.verify(&mut |bytes| read += bytes), []);
            assert_eq!(read, file.length());
        }
    }
}

#[test]
fn the_same_sections_make_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    let sections = contents(2 * BLOCK_BYTES);
    assert_eq!(write(&a, &sections, 7777), write(&b, &sections, 4 * BLOCK_BYTES));
    assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap());
}

#[test]
fn a_finished_file_is_read_only() {
    let victim = tempfile::tempdir().unwrap();
    let path = victim.path().join("base.vcg");
    write(&path, &contents(10), 10);
    assert!(fs::metadata(&path).unwrap().permissions().readonly());
}

#[test]
fn a_file_that_was_not_finished_is_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.vcg");
    let mut writer = SegmentWriter::create(&Disk, &path).unwrap();
    let large = bytes(2 * BLOCK_BYTES, 1);
    writer.begin_section(SectionKind::Graph, 0).unwrap().write(&large).unwrap();
    drop(writer);
    assert!(matches!(open(&path), Err(OpenError::NotASegment { .. })));
}

#[test]
fn wrong_lengths_and_missing_sections_are_named() {
    let victim = Victim::new(9000);
    let file = open(&victim.path).unwrap();
    let graph = file.sections()[1];
    for count in [0, 2249, 2251, usize::MAX] {
        let error = file.section_as::<u32>(SectionKind::Graph, 0, count).unwrap_err();
        assert_eq!(error.offset, graph.offset);
        assert_eq!(error.found, "a section of 9000 bytes");
    }
    assert_eq!(file.section_as::<u32>(SectionKind::Graph, 0, 2250).unwrap().len(), 2250);
    let error = file.section_as::<u32>(SectionKind::IdLookup, 0, 1).unwrap_err();
    assert!(error.to_string().contains("section \"id lookup\""), "{error}");
    let error = file.corruption(SectionKind::Column, 1, 0, "x", "y");
    let column = file.sections()[6].offset;
    assert_eq!((error.section.as_str(), error.offset), ("section \"column 1\"", column));
}

#[test]
fn every_flip_in_header_table_or_checksums_is_refused_at_open() {
    let victim = Victim::new(3 * BLOCK_BYTES);
    let table = open(&victim.path).unwrap().header().table_offset as usize;
    let blocks = victim.bytes.len() - table - 7 * ENTRY_BYTES;
    assert_eq!(blocks, 8 * (1 + 3 + 1 + 2 + 1 + 1 - 1), "one checksum a started block");
    for at in (0..HEADER_BYTES).chain(table..victim.bytes.len()) {
        for mask in [1, 0x80, 0xff] {
            let opened = victim.flipped(at, mask, open);
            match opened {
                Err(OpenError::NotASegment { .. }) => assert!(at < 8, "byte {at}"),
                Err(OpenError::Corrupt(_)) => assert!(at >= 8, "byte {at}"),
                other => panic!("byte {at} ^ {mask:#x}: {other:?}"),
            }
        }
    }
}

#[test]
fn ten_thousand_random_flips_are_all_found() {
    let (mut random, seed) = Random::new();
    for (large, rounds) in [(50_000, 9_500), (2 * BLOCK_BYTES + 5, 500)] {
        let victim = Victim::new(large);
        for round in 0..rounds {
            let at = random.below(victim.bytes.len() as u64);
            let mask = 1 << random.below(8);
            let found = victim.flipped(at as usize, mask, |path| {
                match open(path) {
                    Ok(file) => file.verify(&mut |_| ()),
                    Err(OpenError::Corrupt(one)) => vec![one],
                    Err(OpenError::NotASegment { .. }) if at < 8 => return true,
                    Err(other) => panic!("SEED={seed} round {round} byte {at}: {other}"),
                }
                .len()
                    == 1
            });
            assert!(found, "SEED={seed} round {round}: byte {at} ^ {mask:#x} went unnoticed");
        }
    }
}

#[test]
fn verify_names_the_section_and_the_block() {
    let victim = Victim::new(2 * BLOCK_BYTES);
    let clean = open(&victim.path).unwrap();
    let graph = clean.sections()[1];
    let at = graph.offset as usize + BLOCK_BYTES + 3;
    let found = victim.flipped(at, 1, |path| open(path).unwrap().verify(&mut |_| ()));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].section, "section \"graph\"");
    assert_eq!(found[0].offset, graph.offset + BLOCK_BYTES as u64);

    let found = victim.flipped(4096 + 100, 1, |path| open(path).unwrap().verify(&mut |_| ()));
    assert_eq!(found[0].section, "padding after section \"meta\"");
    assert_eq!(found[0].offset, 4096 + 100);
}

#[test]
fn every_other_length_is_refused() {
    let (mut random, seed) = Random::new();
    let victim = Victim::new(50_000);
    let length = victim.bytes.len() as u64;
    let sections = open(&victim.path).unwrap().sections().to_vec();
    let edges = sections.iter().flat_map(|entry| [entry.offset, entry.offset + entry.length]);
    let around = edges.flat_map(|at| [at - 1, at, at + 1]);
    let mut lengths: Vec<u64> = around.chain([0, 1, 4095, 4096, length - 1, length + 1]).collect();
    lengths.extend((0..1000).map(|_| random.below(length)));
    lengths.extend((0..100).map(|_| length + 1 + random.below(1 << 20)));
    for cut in lengths {
        victim.file.set_len(cut).unwrap();
        for mode in LoadMode::ALL {
            let opened = SegmentFile::open(&victim.path, mode);
            assert!(
                matches!(opened, Err(OpenError::Corrupt(_))),
                "SEED={seed} length {cut} {mode}: {opened:?}"
            );
        }
        victim.file.set_len(length).unwrap();
        victim.file.write_all_at(&victim.bytes, 0).unwrap();
    }
}

/// Rewrites a header or table field and repairs both checksums: what a hostile writer could do.
fn forge(victim: &Victim, at: usize, field: &[u8]) -> Result<SegmentFile, OpenError> {
    let mut bytes = victim.bytes.clone();
    let table = u64::from_le_bytes(bytes[header::TABLE_OFFSET_AT..][..8].try_into().unwrap());
    bytes[at..at + field.len()].copy_from_slice(field);
    let digest = checksum(&bytes[table as usize..]);
    if at >= HEADER_BYTES {
        bytes[header::TABLE_DIGEST_AT..][..8].copy_from_slice(&digest.to_le_bytes());
    }
    bytes[header::CHECKSUM_AT..][..8].fill(0);
    let sum = checksum(&bytes[..HEADER_BYTES]);
    bytes[header::CHECKSUM_AT..][..8].copy_from_slice(&sum.to_le_bytes());
    let path = victim.path.with_extension("forged");
    fs::write(&path, bytes).unwrap();
    open(&path)
}

#[test]
fn forged_fields_with_right_checksums_are_caught() {
    let victim = Victim::new(3 * BLOCK_BYTES);
    let table = open(&victim.path).unwrap().header().table_offset as usize;
    let length = victim.bytes.len() as u64;

    let mut cases: Vec<(usize, Vec<u8>)> = Vec::new();
    let extremes = [0, 1, 4095, 4097, length - 1, length, length + 1, u64::MAX, u64::MAX - 4095];
    for at in [header::FILE_LENGTH_AT, header::TABLE_OFFSET_AT, header::SECTION_COUNT_AT] {
        cases.extend(extremes.map(|value| (at, value.to_le_bytes().to_vec())));
    }
    for row in 0..7 {
        let entry = table + row * ENTRY_BYTES;
        for at in [entry + 8, entry + 16, entry + 24] {
            cases.extend(extremes.map(|value| (at, value.to_le_bytes().to_vec())));
        }
    }
    cases.push((header::N_AT, (MAX_N + 1).to_le_bytes().to_vec()));
    for dim in [0, header::MAX_DIM + 1, u32::MAX] {
        cases.push((header::DIM_AT, dim.to_le_bytes().to_vec()));
    }
    cases.push((header::METRIC_AT, 3u32.to_le_bytes().to_vec()));
    cases.push((header::ELEMENT_AT, 5u32.to_le_bytes().to_vec()));
    // The second column made a second "column 0".
    cases.push((table + 6 * ENTRY_BYTES + 4, 0u32.to_le_bytes().to_vec()));

    for (at, field) in cases {
        if victim.bytes[at..at + field.len()] == field {
            continue;
        }
        match forge(&victim, at, &field) {
            Err(OpenError::Corrupt(_)) => {}
            // A length within the same block and page is a possible layout: its checksum is not.
            Ok(file) => assert_ne!(file.verify(&mut |_| ()), [], "byte {at} = {field:?}"),
            Err(other) => panic!("byte {at} = {field:?}: {other:?}"),
        }
    }
}

#[test]
fn versions_decide_who_reads() {
    let victim = Victim::new(10);
    let newer = (FORMAT_VERSION + 1).to_le_bytes();

    let error = forge(&victim, header::OLDEST_READER_AT, &newer).unwrap_err();
    assert!(matches!(error, OpenError::TooNew { .. }));
    assert!(error.to_string().contains("upgrade"), "{error}");
    // A newer file that says this build understands it is read; unknown sections are passed over.
    forge(&victim, header::FORMAT_AT, &newer).unwrap();
    let table = open(&victim.path).unwrap().header().table_offset as usize;
    let file = forge(&victim, table, &99u32.to_le_bytes()).unwrap();
    assert_eq!(file.sections()[0].kind(), None);
    assert_eq!(file.verify(&mut |_| ()), []);

    let error = forge(&victim, header::FORMAT_AT, &0u32.to_le_bytes()).unwrap_err();
    assert!(matches!(error, OpenError::TooOld { .. }), "{error}");
}
