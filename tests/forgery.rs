//! Files that a hostile writer makes: every checksum is right, and something in them is not. They
//! are refused with a typed error, or opened and used without a panic; what they make a reader
//! allocate is bounded by their size.
//!
//! Each case takes a good index apart, changes one thing and writes it again with the library's own
//! writer. The random cases are seeded; `SEED=… cargo test --test forgery` runs others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::allocator::{Counting, asked};
use common::crash::Hasty;
use common::everything::{self, use_everything};
use common::{Random, build_quick, quick};
use vicinage::builder::BuildParams;
use vicinage::error::Corruption;
use vicinage::format::header::{MAX_DIM, MAX_N};
use vicinage::format::{
    self, FORMAT_VERSION, Geometry, LoadMode, SectionKind, SegmentFile, SegmentWriter,
};
use vicinage::graph::entry_points::OwnedEntryPoints;
use vicinage::graph::overflow::{EdgeLists, OwnedOverflow};
use vicinage::index::{Index, OpenError, verify};
use vicinage::progress::Silent;
use vicinage::segments::meta::{META_BYTES_MAX, Meta};
use vicinage::segments::publish::{IndexDir, NewSegment};
use vicinage::segments::repair::Repair;
use vicinage::segments::space::{Normalization, Space, Tower};
use vicinage::types::{ElementType, Metric, NodeId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a segment file is made of.
#[derive(Clone)]
struct Parts {
    geometry: Geometry,
    sections: Vec<(SectionKind, u32, Vec<u8>)>,
}

impl Parts {
    fn read(index: &Path) -> Parts {
        let path = index.join("000001/base.vcg");
        let file = SegmentFile::open(&path, LoadMode::Copy).unwrap();
        let part = |entry: &vicinage::format::SectionEntry| {
            let kind = entry.kind().unwrap();
            (kind, entry.index, file.section(kind, entry.index).unwrap().to_vec())
        };
        Parts { geometry: *file.geometry(), sections: file.sections().iter().map(part).collect() }
    }

    /// Publishes the parts as an index of their own.
    fn write(&self, index: &Path) {
        let mut dir = IndexDir::create_or_open(index, &Hasty).unwrap();
        let pending = dir.begin().unwrap();
        let name = "base.vcg".to_owned();
        let mut writer = SegmentWriter::create(pending.layer(), &pending.file_path(&name)).unwrap();
        for (kind, index, bytes) in &self.sections {
            writer.begin_section(*kind, *index).unwrap().write(bytes).unwrap();
        }
        let digest = writer.finish(self.geometry).unwrap();
        let Geometry { n, dim, metric, element, .. } = self.geometry;
        pending.publish(&[NewSegment { name, digest, n, dim, metric, element }], None, 1).unwrap();
    }

    fn bytes(&mut self, kind: SectionKind) -> &mut Vec<u8> {
        &mut self.sections.iter_mut().find(|section| section.0 == kind).unwrap().2
    }

    fn words(&mut self, kind: SectionKind) -> &mut [u32] {
        bytemuck::cast_slice_mut(self.bytes(kind))
    }

    fn meta(&mut self, change: impl FnOnce(&mut Meta)) {
        let mut meta = Meta::decode(self.bytes(SectionKind::Meta), FORMAT_VERSION).unwrap();
        change(&mut meta);
        *self.bytes(SectionKind::Meta) = meta.encode().unwrap();
    }
}

/// What became of a forged index.
#[derive(Debug)]
enum Outcome {
    Refused(Corruption),
    /// Opened; how many requests were refused, and what deep verification found.
    Used {
        refused: usize,
        damage: usize,
    },
}

/// Writes, opens, uses and verifies a forged index.
fn attempt(parts: &Parts, case: &str) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    parts.write(dir.path());
    let length: usize = parts.sections.iter().map(|section| section.2.len()).sum();
    let run = AssertUnwindSafe(|| {
        let (used, cost) = asked(|| use_everything(dir.path(), LoadMode::Mmap));
        // A reader keeps less than the file's size, and a search a little per node. A length in
        // the meta section is believed up to the section's limit before its values come in.
        let bound = (2 * length + META_BYTES_MAX) as isize;
        assert!(cost.peak <= bound, "{case}: allocated {} of at most {bound}", cost.peak);
        let verified = verify(dir.path(), true, &Silent);
        match (used, verified) {
            (Err(OpenError::Segment(format::OpenError::Corrupt(error))), Err(_)) => {
                Outcome::Refused(error)
            }
            (Ok(refused), Ok(report)) => Outcome::Used { refused, damage: report.damage.len() },
            other => panic!("{case}: {other:?}"),
        }
    });
    catch_unwind(run).unwrap_or_else(|_| panic!("{case}: panicked"))
}

fn good(params: &BuildParams, element: ElementType) -> Parts {
    let dir = tempfile::tempdir().unwrap();
    build_quick(dir.path(), everything::source(700, 12, element, 5), params);
    let parts = Parts::read(dir.path());
    let outcome = attempt(&parts, "unchanged");
    assert!(matches!(outcome, Outcome::Used { refused: 0, damage: 0 }), "{outcome:?}");
    parts
}

fn cosine() -> Parts {
    good(&everything::params(), ElementType::F16)
}

/// An index that seems to have learned from queries, and says of what space it is.
fn learned() -> Parts {
    let mut parts = cosine();
    let (n, dim) = (parts.geometry.n as u32, parts.geometry.dim as usize);
    let edges: EdgeLists = (0..n)
        .step_by(9)
        .map(|node| (NodeId(node), (1..=node % 4 + 1).map(|by| NodeId((node + by) % n)).collect()))
        .collect();
    let points = OwnedEntryPoints {
        reach: vec![2.0; 5],
        centers: (0..5 * dim).map(|at| 0.1 * (at % 7) as f32 - 0.2).collect(),
        nodes: (0..20).map(NodeId).collect(),
        nearest: 2,
    };
    let record = Repair { learned: 9, held_out: 3, nodes: 1, edges: 2, centers: 5, gains: vec![] };
    let space = Space {
        family: "forged".to_owned(),
        checkpoint: "1".to_owned(),
        dim: dim as u32,
        normalization: Normalization::None,
        metric: Metric::Cosine,
        tower: Tower::Item,
    };
    let overflow = OwnedOverflow::new(n as usize, &edges).section();
    let words = bytemuck::cast_slice(&points.words()).to_vec();
    for (kind, bytes) in [
        (SectionKind::Repair, record.encode().unwrap()),
        (SectionKind::Space, space.encode()),
        (SectionKind::EntryPoints, words),
        (SectionKind::Overflow, overflow),
    ] {
        parts.sections.push((kind, 0, bytes));
    }
    let outcome = attempt(&parts, "learned");
    assert!(matches!(outcome, Outcome::Used { refused: 0, damage: 0 }), "{outcome:?}");
    parts
}

/// Changes a copy; it must be refused, and the error must name the section.
fn refuse(good: &Parts, section: &str, case: &str, change: impl FnOnce(&mut Parts)) {
    let mut parts = good.clone();
    change(&mut parts);
    match attempt(&parts, case) {
        Outcome::Refused(error) => {
            assert_eq!(error.section, format!("section \"{section}\""), "{case}: {error}");
        }
        other => panic!("{case}: {other:?}"),
    }
}

/// Changes a copy in a way that opening does not look for; deep verification must find it.
fn find(good: &Parts, case: &str, change: impl FnOnce(&mut Parts)) {
    let mut parts = good.clone();
    change(&mut parts);
    match attempt(&parts, case) {
        Outcome::Used { damage, .. } => assert!(damage > 0, "{case}: nobody noticed"),
        other => panic!("{case}: {other:?}"),
    }
}

/// Changes a copy in a way that nobody can tell, and that does no harm.
fn harmless(good: &Parts, case: &str, change: impl FnOnce(&mut Parts)) {
    let mut parts = good.clone();
    change(&mut parts);
    let outcome = attempt(&parts, case);
    assert!(matches!(outcome, Outcome::Used { damage: 0, .. }), "{case}: {outcome:?}");
}

#[test]
fn ids_out_of_range_are_refused() {
    let good = cosine();
    let n = good.geometry.n as u32;
    for wrong in [n, n + 1, 1 << 31, u32::MAX] {
        for (kind, name) in [(SectionKind::Graph, "graph"), (SectionKind::IdLookup, "id lookup")] {
            let mut last = good.clone();
            let last = last.words(kind).len() - 1;
            for at in [0, 1, last / 2, last] {
                let case = format!("{name} word {at} = {wrong}");
                refuse(&good, name, &case, |parts| parts.words(kind)[at] = wrong);
            }
        }
    }
}

#[test]
fn levels_that_make_no_sense_are_refused() {
    let good = cosine();
    let n = good.geometry.n as u32;
    let mut sizes = good.clone();
    let words = sizes.words(SectionKind::Levels);
    let (layers, degree) = (words[0] as usize, words[1]);
    let counts: Vec<u32> = words[4..4 + layers].to_vec();
    assert!(layers >= 2);
    let mut cases: Vec<(usize, u32)> = Vec::new();
    for wrong in [0, 1, layers as u32 - 1, layers as u32 + 1, 32, 33, 1 << 30, u32::MAX] {
        cases.push((0, wrong));
    }
    for wrong in [0, 1, degree - 1, degree + 1, 1024, 1025, 1 << 30, u32::MAX] {
        cases.push((1, wrong));
    }
    for wrong in [counts[layers - 1], n, u32::MAX] {
        cases.push((2, wrong));
    }
    let mut at = 4 + layers;
    let mut below = n;
    for (layer, &count) in counts.iter().enumerate() {
        for wrong in [0, count - 1, count + 1, n + 1, u32::MAX] {
            cases.push((4 + layer, wrong));
        }
        let size = count as usize;
        // Nodes, their slots below, their lists; the first and the last of each.
        for (start, length, bound) in [
            (at, size, n),
            (at + size, size, below),
            (at + 2 * size, size * degree as usize, count),
        ] {
            for place in [start, start + length - 1] {
                cases.extend([bound, u32::MAX].map(|wrong| (place, wrong)));
            }
        }
        at += size * (2 + degree as usize);
        below = count;
    }
    for (at, wrong) in cases {
        let case = format!("levels word {at} = {wrong}");
        if sizes.words(SectionKind::Levels)[at] != wrong {
            refuse(&good, "levels", &case, |p| p.words(SectionKind::Levels)[at] = wrong);
        }
    }
}

type Change = fn(&mut Vec<u8>);

#[test]
fn wrong_lengths_are_refused() {
    let good = learned();
    let changes: [(&str, Change); 7] = [
        ("empty", Vec::clear),
        ("one byte", |bytes| bytes.truncate(1)),
        ("a byte short", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
        ("a byte long", |bytes| bytes.push(0)),
        ("a word short", |bytes| bytes.truncate(bytes.len().saturating_sub(4))),
        ("a page long", |bytes| bytes.resize(bytes.len() + 4096, 0)),
        ("twice", |bytes| bytes.extend_from_within(..)),
    ];
    for at in 0..good.sections.len() {
        let (kind, index, _) = good.sections[at];
        // A column and its index are looked at when they are first used.
        let late =
            matches!(kind, SectionKind::Column | SectionKind::Postings | SectionKind::Sorted);
        let name = if late { format!("{} {index}", kind.name()) } else { kind.name().to_owned() };
        for (case, change) in changes {
            let case = format!("{name} {case}");
            let change = |parts: &mut Parts| change(&mut parts.sections[at].2);
            if late {
                find(&good, &case, change);
            } else {
                refuse(&good, &name, &case, change);
            }
        }
        let remove = |parts: &mut Parts| drop(parts.sections.remove(at));
        let case = format!("{name} removed");
        match kind {
            SectionKind::Column => find(&good, &case, remove),
            SectionKind::Calibration
            | SectionKind::Postings
            | SectionKind::Sorted
            | SectionKind::Repair
            | SectionKind::Space
            | SectionKind::EntryPoints
            | SectionKind::Overflow => {
                harmless(&good, &case, remove);
            }
            _ => refuse(&good, &name, &case, remove),
        }
    }
}

#[test]
fn a_space_that_the_vectors_cannot_be_of_is_refused() {
    let good = learned();
    for (case, from, to) in [
        ("another dim", "\"dim\":", "\"dim\":9"),
        ("another metric", "cosine", "ip"),
        ("an unknown metric", "cosine", "angle"),
        ("a name with a slash", "forged", "for/ged"),
        ("no name", "forged", ""),
        ("an unknown key", "\"family\"", "\"kin\":1,\"family\""),
        ("a key twice", "\"family\"", "\"family\":\"x\",\"family\""),
    ] {
        refuse(&good, "space", case, |parts| {
            let space =
                parts.sections.iter_mut().find(|part| part.0 == SectionKind::Space).unwrap();
            let text = String::from_utf8(space.2.clone()).unwrap();
            assert!(text.contains(from), "{text}");
            space.2 = text.replacen(from, to, 1).into_bytes();
        });
    }
}

#[test]
fn what_was_learned_is_checked() {
    let good = learned();
    let n = good.geometry.n as u32;
    for wrong in [n, n + 64, u32::MAX] {
        for (kind, name) in
            [(SectionKind::Overflow, "overflow"), (SectionKind::EntryPoints, "entry points")]
        {
            refuse(&good, name, &format!("{name} to {wrong}"), |parts| {
                *parts.words(kind).last_mut().unwrap() = wrong;
            });
        }
    }
    for wrong in [f32::NAN, f32::INFINITY] {
        for at in [4, 9] {
            refuse(&good, "entry points", &format!("{wrong} in word {at}"), |parts| {
                parts.words(SectionKind::EntryPoints)[at] = wrong.to_bits();
            });
        }
    }
    for at in [0, 1, 2, 3, 4, 8] {
        refuse(&good, "overflow", &format!("word {at}"), |parts| {
            parts.words(SectionKind::Overflow)[at] ^= 1 << 9;
        });
    }
    // Where a search begins, and how far it thinks that it may, is not what it finds.
    harmless(&good, "a reach below all", |parts| {
        parts.words(SectionKind::EntryPoints)[4..9].fill((-1.0f32).to_bits());
    });
}

#[test]
fn codes_that_make_no_sense_are_refused() {
    let good = cosine();
    let (n, stride) = (good.geometry.n as usize, 32);
    for wrong in ["", "I8", "i4", "u8", "none"] {
        refuse(&good, "meta", &format!("kind {wrong:?}"), |parts| {
            parts.meta(|meta| meta.codes.as_mut().unwrap().kind = wrong.to_owned());
        });
    }
    // Below what a row takes, or a line above; between them the rows are another number of bytes.
    for wrong in [0, 1, 12, 31, 33, 64, 95, 96, 1 << 20, u32::MAX] {
        let section = if (32..96).contains(&wrong) { "codes" } else { "meta" };
        refuse(&good, section, &format!("stride {wrong}"), |parts| {
            parts.meta(|meta| meta.codes.as_mut().unwrap().stride = wrong);
        });
    }
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (kind, name) in
            [(SectionKind::CodeCenter, "code center"), (SectionKind::CodeTerms, "code terms")]
        {
            let last = good.clone().words(kind).len() - 1;
            for at in [0, 1, last] {
                refuse(&good, name, &format!("{name} {at} = {wrong}"), |parts| {
                    parts.words(kind)[at] = wrong.to_bits();
                });
            }
        }
        find(&good, &format!("a scale of {wrong}"), |parts| {
            parts.words(SectionKind::VectorScales)[5] = wrong.to_bits();
        });
    }

    // What follows is as good as any other.
    harmless(&good, "no codes named", |parts| parts.meta(|meta| meta.codes = None));
    harmless(&good, "rows of the other kind", |parts| {
        parts.meta(|meta| meta.codes.as_mut().unwrap().kind = "u4".to_owned());
    });
    harmless(&good, "longer rows", |parts| {
        parts.meta(|meta| meta.codes.as_mut().unwrap().stride = 45);
        parts.bytes(SectionKind::Codes).resize(n * 45, 7);
    });
    for byte in [0, 127, 128, 255] {
        harmless(&good, &format!("codes of {byte}"), |parts| {
            assert_eq!(parts.bytes(SectionKind::Codes).len(), n * stride);
            parts.bytes(SectionKind::Codes).fill(byte);
        });
    }
    for (center, terms) in [(0.0, 0.0), (f32::MAX, 1.0), (1.0, f32::MAX), (0.0, -f32::MAX)] {
        harmless(&good, &format!("center {center}, terms {terms}"), |parts| {
            parts.words(SectionKind::CodeCenter).fill(f32::to_bits(center));
            parts.words(SectionKind::CodeTerms).fill(f32::to_bits(terms));
        });
    }
}

/// A section that the metric does not use is held to the format all the same.
#[test]
fn scales_that_are_not_needed_are_checked() {
    let good = good(&BuildParams { metric: Metric::L2, ..everything::params() }, ElementType::F32);
    for length in [1, 3, 4, 2799, 2801, 5600] {
        refuse(&good, "vector scales", &format!("{length} bytes of scales"), |parts| {
            parts.sections.push((SectionKind::VectorScales, 0, vec![0; length]));
        });
    }
}

#[test]
fn another_geometry_is_refused() {
    let good = cosine();
    let n = good.geometry.n;
    let mut cases: Vec<(String, Geometry)> = Vec::new();
    for wrong in [0, 1, n - 1, n + 1, 2 * n, 1 << 31, (1 << 31) + 1, MAX_N] {
        cases.push((format!("n = {wrong}"), Geometry { n: wrong, ..good.geometry }));
    }
    for wrong in [1, 11, 13, 24, MAX_DIM] {
        cases.push((format!("dim = {wrong}"), Geometry { dim: wrong, ..good.geometry }));
    }
    for element in [ElementType::F32, ElementType::I8, ElementType::U8] {
        cases.push((format!("{element}"), Geometry { element, ..good.geometry }));
    }
    let largest = Geometry { n: MAX_N, dim: MAX_DIM, element: ElementType::F32, ..good.geometry };
    cases.push(("the largest of all".to_owned(), largest));
    let largest = Geometry { n: 1 << 31, ..largest };
    cases.push(("the largest graph".to_owned(), largest));
    for (case, geometry) in cases {
        let outcome = attempt(&Parts { geometry, ..good.clone() }, &case);
        assert!(matches!(outcome, Outcome::Refused(_)), "{case}: {outcome:?}");
    }
    // Numbers of the same size with another meaning cannot be told, and do no harm.
    for metric in [Metric::L2, Metric::Ip] {
        let geometry = Geometry { metric, element: ElementType::Bf16, ..good.geometry };
        let outcome = attempt(&Parts { geometry, ..good.clone() }, "another metric");
        assert!(matches!(outcome, Outcome::Used { .. }), "{outcome:?}");
    }
}

#[test]
fn a_meta_section_that_lies_is_told() {
    let good = cosine();
    for wrong in [0, 1, 7, 9, 16, 1024, 1025, u32::MAX] {
        let mut parts = good.clone();
        parts.meta(|meta| meta.build.max_degree = wrong);
        let outcome = attempt(&parts, &format!("max_degree = {wrong}"));
        assert!(matches!(outcome, Outcome::Refused(_)), "{wrong}: {outcome:?}");
    }
    find(&good, "unreachable", |p| p.meta(|meta| meta.statistics.unreachable = 1));
    find(&good, "a column too many", |parts| {
        parts.meta(|meta| meta.columns.push(meta.columns[0].clone()));
    });
    find(&good, "another kind", |parts| parts.meta(|meta| meta.columns.swap(0, 1)));
    find(&good, "not nullable", |parts| parts.meta(|meta| meta.columns[0].nullable = false));

    // Every field of eight bytes taken for a length.
    let length = good.clone().bytes(SectionKind::Meta).len();
    for at in 0..length - 7 {
        for wrong in [u64::MAX, 1 << 62, 1 << 32, 1 << 20, length as u64] {
            let mut parts = good.clone();
            let field = wrong.to_le_bytes();
            parts.bytes(SectionKind::Meta)[at..at + 8].copy_from_slice(&field);
            attempt(&parts, &format!("meta bytes {at}.. = {wrong}"));
        }
    }
}

#[test]
fn ids_that_are_not_unique_are_found() {
    let good = cosine();
    find(&good, "an id twice", |parts| {
        let bytes = parts.bytes(SectionKind::ItemIds);
        bytes.copy_within(0..8, 8);
    });
    find(&good, "ids exchanged", |parts| {
        let bytes = parts.bytes(SectionKind::ItemIds);
        bytes.rotate_left(8);
    });
    find(&good, "a lookup that repeats a node", |parts| {
        let words = parts.words(SectionKind::IdLookup);
        words[1] = words[0];
    });
    find(&good, "a graph without edges", |parts| {
        let words = parts.words(SectionKind::Graph);
        (0..).zip(words.chunks_mut(8)).for_each(|(node, list)| list.fill(node));
    });
}

/// An index of a column that says something else than the column.
#[test]
fn column_indexes_that_lie_are_found() {
    let good = cosine();
    let n = good.geometry.n as u32;
    let place = |kind: SectionKind, index: u32| {
        let is = |section: &(SectionKind, u32, Vec<u8>)| (section.0, section.1) == (kind, index);
        good.sections.iter().position(is).unwrap()
    };
    let postings = [4, 5].map(|index| place(SectionKind::Postings, index));
    let sorted = [1, 2, 3].map(|index| place(SectionKind::Sorted, index));
    for at in postings.into_iter().chain(sorted) {
        let (kind, index, bytes) = &good.sections[at];
        let words = (0..bytes.len() - 3).step_by(4);
        for offset in words.filter(|offset| *offset < 60 || *offset % 404 == 0) {
            for wrong in [0, n - 1, n, u32::MAX].map(u32::to_le_bytes) {
                let case = format!("{} {index}: {wrong:?} at {offset}", kind.name());
                if bytes[offset..offset + 4] != wrong {
                    find(&good, &case, |parts| {
                        parts.sections[at].2[offset..offset + 4].copy_from_slice(&wrong);
                    });
                }
            }
        }
        // One that the bool column has no use for.
        harmless(&good, "an index of another column", |parts| parts.sections[at].1 = 0);
    }
    find(&good, "the index of another column", |parts| {
        parts.sections[sorted[0]].2 = parts.sections[sorted[1]].2.clone();
    });
    find(&good, "nodes of equal values exchanged", |parts| {
        let column = place(SectionKind::Column, 1);
        // All years become one, of the rows in another order than by node.
        parts.sections[column].2[48..].fill(0);
    });
    // Sets of equal length, each as good as the other, of the wrong texts.
    find(&good, "two texts exchanged", |parts| {
        let bytes = &mut parts.sections[postings[0]].2;
        let offset = |code: usize| {
            u64::from_le_bytes(bytes[16 + code * 8..][..8].try_into().unwrap()) as usize
        };
        let (first, second, end) = (offset(0), offset(1), offset(2));
        bytes[first..end].rotate_left(second - first);
        let moved = (first + end - second) as u64;
        bytes[24..32].copy_from_slice(&moved.to_le_bytes());
    });
}

/// Anything else: random words, bytes and stretches of a section, of one or of several.
#[test]
fn random_forgeries_do_no_harm() {
    let metrics = [Metric::Cosine, Metric::Ip];
    let all = metrics.map(|metric| {
        let element = if metric == Metric::Ip { ElementType::F32 } else { ElementType::I8 };
        good(&BuildParams { metric, ..everything::params() }, element)
    });
    let (mut random, seed) = Random::seeded();
    let (mut refused, mut used) = (0, 0);
    for round in 0..1500 {
        let mut parts = all[round % 2].clone();
        for _ in 0..1 + random.below(3) {
            // Where it matters most first: the vectors are most of the file.
            let at = random.below(parts.sections.len());
            let bytes = &mut parts.sections[at].2;
            let place = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[place] ^= 1 << random.below(8),
                1 => {
                    let word = place / 4 * 4;
                    let value = [0, 1, random.below(2000) as u32, random.next() as u32, u32::MAX];
                    let value = value[random.below(5)].to_le_bytes();
                    let end = (word + 4).min(bytes.len());
                    bytes[word..end].copy_from_slice(&value[..end - word]);
                }
                2 => {
                    let end = (place + random.below(64)).min(bytes.len());
                    bytes[place..end].fill_with(|| random.next() as u8);
                }
                _ => {
                    let other = random.below(bytes.len());
                    let length = random.below(256).min(bytes.len() - place.max(other));
                    bytes.copy_within(other..other + length, place);
                }
            }
        }
        match attempt(&parts, &format!("SEED={seed} round {round}")) {
            Outcome::Refused(_) => refused += 1,
            Outcome::Used { .. } => used += 1,
        }
    }
    eprintln!("{refused} refused, {used} used");
    assert!(refused > 100 && used > 100, "{refused} refused, {used} used");
}

/// The dearest thing that a small meta section can ask for.
#[test]
fn many_columns_cost_in_proportion() {
    let good = good(&quick(Metric::Cosine), ElementType::F16);
    let mut parts = good.clone();
    parts.meta(|meta| {
        let column = meta.columns[0].clone();
        let nameless = vicinage::filters::columns::ColumnSchema { name: String::new(), ..column };
        meta.columns = vec![nameless; 10_000];
    });
    let dir = tempfile::tempdir().unwrap();
    parts.write(dir.path());
    let (opened, cost) = asked(|| Index::open(dir.path(), LoadMode::Mmap));
    let told = format!("10000 columns in {} bytes: {cost:?}", parts.bytes(SectionKind::Meta).len());
    eprintln!("{told}");
    drop(opened);
    assert!(cost.peak < 16 << 20, "{told}");
}
