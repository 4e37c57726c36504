//! Indexes of every format version that this build reads, committed below `tests/data/`: they open,
//! verify and answer as they did when they were written.
//!
//! `tests/data/format_v2/` has every section that a build of that version writes, and a column of
//! every kind; `tests/data/format_v1/` is the same without codes. Neither has a calibration, for
//! which there are too few items. `answers.json` beside each has queries, the ids that they got, and the instruction set of the machine that built the graph. Vectors and queries are small
//! whole numbers, so that every instruction set gets the same answers.
//!
//! The graph is whatever the builder made of these items that day, on that instruction set. A better
//! builder makes another one, and a fixture stays as it is: so a fresh build is compared in
//! everything but its graph, and the bytes are compared with those that today's writer makes of the
//! fixture's own content, on any machine.
//!
//! **The next version.** Raise `FORMAT_VERSION`; run
//! `VICINAGE_FIXTURE=write cargo test --test format_fixture`, which writes
//! `tests/data/format_v<FORMAT_VERSION>/` if it is not there yet; commit it, and never change it
//! again: old fixtures prove that old files can be read. `source` below must stay as it is, too.
//! When `OLDEST_READABLE` is raised, delete the fixtures before it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use common::{MemorySource, Random, build_quick, quick};
use serde::{Deserialize, Serialize};
use vicinage::builder::{BuildParams, ColumnBatch, ItemSource};
use vicinage::filters::columns::ColumnBuilder;
use vicinage::format::{Disk, FORMAT_VERSION, LoadMode, OLDEST_READABLE, SectionKind, SegmentFile};
use vicinage::graph::Graph;
use vicinage::graph::levels::{LevelsLayout, OwnedLayer, OwnedLevels};
use vicinage::index::{Index, Scratch, SearchParams, verify};
use vicinage::kernels;
use vicinage::progress::Silent;
use vicinage::segments::manifest::{MANIFEST_NAME, Manifest};
use vicinage::segments::meta::Meta;
use vicinage::segments::segment::{Segment, SegmentParts, VectorParts, begin_segment};
use vicinage::types::{ElementType, ItemId, Metric, NodeId};

const SEGMENT: &str = "000001/base.vcg";
const N: usize = 180;
const DIM: usize = 8;
const BYTES_MAX: u64 = 88 << 10;

/// What is asked of a fixture, and what it answered when it was made.
#[derive(Serialize, Deserialize)]
struct Answers {
    isa: String,
    queries: Vec<Answer>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    vector: Vec<f32>,
    walk: Vec<ItemId>,
    exact: Vec<ItemId>,
}

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/format_v{version}"))
}

fn components(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| random.below(201) as f32 - 100.0).collect()
}

/// The items of every fixture. Never changes.
fn source() -> MemorySource {
    let rows = || 0..N;
    let words = ["", "a", "bé", "木", "🪵"];
    let word = |row: usize| words[row % words.len()].to_owned();
    let tags = |row: usize| (0..row % 3).map(|tag| word(row + tag)).collect::<Vec<String>>();
    let attributes = [
        ("bool", ColumnBatch::Bool(rows().map(|r| (r % 5 > 0).then_some(r % 2 == 0)).collect())),
        ("i64", ColumnBatch::I64(rows().map(|r| Some(i64::MIN + r as i64)).collect())),
        ("f64", ColumnBatch::F64(rows().map(|r| (r % 7 > 0).then_some(-0.5 * r as f64)).collect())),
        ("time", ColumnBatch::Timestamp(rows().map(|r| (r % 3 > 0).then_some(r as i64)).collect())),
        ("category", ColumnBatch::Category(rows().map(|r| (r % 4 > 0).then(|| word(r))).collect())),
        ("tags", ColumnBatch::Tags(rows().map(|r| (r % 6 > 0).then(|| tags(r))).collect())),
    ];
    MemorySource {
        ids: Some(rows().map(|row| u64::MAX - (row as u64 * 7) % 211).collect()),
        attributes: attributes.map(|(name, column)| (name.to_owned(), column)).into(),
        ..MemorySource::of(components(1, N * DIM), DIM, ElementType::I8)
    }
}

fn build(dir: &Path) {
    let params = BuildParams {
        max_degree: 8,
        ef_construction: 32,
        deterministic: true,
        ..quick(Metric::Cosine)
    };
    build_quick(dir, source(), &params);
}

/// The ids of a walk and of a scan.
fn ask(index: &Index, vector: &[f32]) -> Answer {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let mut ids = |exact| {
        let params = SearchParams { exact, ef: Some(20), ..SearchParams::top(5) };
        let account = index.search(&mut scratch, vector, &params, &mut hits).unwrap();
        assert_eq!(account.exact, exact);
        hits.iter().map(|hit| hit.item_id).collect()
    };
    Answer { vector: vector.to_vec(), walk: ids(false), exact: ids(true) }
}

/// Writes the fixture of this format, if asked to and if there is none.
fn write_if_asked() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let asked = std::env::var("VICINAGE_FIXTURE").is_ok_and(|what| what == "write");
        let dir = fixture(FORMAT_VERSION);
        if asked && !dir.exists() {
            write_fixture(&dir);
        }
    });
}

fn write_fixture(dir: &Path) {
    let built = tempfile::tempdir().unwrap();
    build(built.path());
    fs::create_dir_all(dir.join("000001")).unwrap();
    for name in [MANIFEST_NAME, SEGMENT] {
        fs::write(dir.join(name), fs::read(built.path().join(name)).unwrap()).unwrap();
    }
    let index = Index::open(dir, LoadMode::Mmap).unwrap();
    let queries = components(2, 8 * DIM).chunks(DIM).map(|query| ask(&index, query)).collect();
    let isa = kernels::active().unwrap().name().to_owned();
    let answers = serde_json::to_string_pretty(&Answers { isa, queries }).unwrap();
    fs::write(dir.join("answers.json"), answers + "\n").unwrap();
}

#[test]
fn every_readable_format_is_read() {
    write_if_asked();
    for version in OLDEST_READABLE..=FORMAT_VERSION {
        let dir = fixture(version);
        let bytes: u64 = [MANIFEST_NAME, SEGMENT]
            .map(|name| fs::metadata(dir.join(name)).unwrap().len())
            .iter()
            .sum();
        assert!(bytes < BYTES_MAX, "{bytes} bytes");
        assert_eq!(verify(&dir, true, &Silent).unwrap().damage, []);
        let answers = fs::read_to_string(dir.join("answers.json")).unwrap();
        let answers: Answers = serde_json::from_str(&answers).unwrap();
        for load in LoadMode::ALL {
            let index = Index::open(&dir, load).unwrap();
            for expected in &answers.queries {
                let found = ask(&index, &expected.vector);
                assert_eq!(
                    (found.walk, found.exact),
                    (expected.walk.clone(), expected.exact.clone())
                );
            }
            has_every_item(&index);
        }
        let file = SegmentFile::open(&dir.join(SEGMENT), LoadMode::Mmap).unwrap();
        assert_eq!(file.header().format, version);
        for kind in SectionKind::ALL {
            let there = file.section(kind, 0).is_some();
            let since = since(kind).is_some_and(|since| since <= version);
            assert_eq!(there, since, "section {kind:?} of version {version}");
        }
        assert!(Index::open(&dir, LoadMode::Mmap).unwrap().info().levels.len() > 1);
    }
}

/// The format version that brought a kind of section; `None` for one that so few items do not have,
/// or that came between versions, since readers need not know it.
fn since(kind: SectionKind) -> Option<u32> {
    match kind {
        SectionKind::Calibration
        | SectionKind::Postings
        | SectionKind::Sorted
        | SectionKind::Repair
        | SectionKind::Space
        | SectionKind::EntryPoints
        | SectionKind::Overflow => None,
        SectionKind::Codes | SectionKind::CodeCenter | SectionKind::CodeTerms => Some(2),
        _ => Some(1),
    }
}

/// Every item is there, with its vector and its attributes.
fn has_every_item(index: &Index) {
    let source = source();
    assert_eq!(index.info().n, N as u64);
    let kinds: Vec<_> = index.info().attributes.iter().map(|a| a.schema.kind).collect();
    assert_eq!(kinds, source.attributes().iter().map(|(_, kind)| *kind).collect::<Vec<_>>());
    let mut vector = Vec::new();
    for (row, id) in source.ids.iter().flatten().enumerate() {
        let node = index.find(*id).unwrap();
        index.vector(node, &mut vector);
        assert_eq!(vector, source.values[row * DIM..][..DIM]);
        for (name, values) in &source.attributes {
            let column = index.attribute(name).unwrap();
            let (found, mut expected) =
                (index.attribute_value(column, node).unwrap(), values.value(row));
            if let vicinage::index::AttributeValue::Tags(tags) = &mut expected {
                tags.sort_unstable();
                tags.dedup();
            }
            assert_eq!(found, expected, "{name} of row {row}");
        }
    }
}

/// Today's writer makes the same bytes of the same content.
#[test]
fn the_writer_still_writes_the_format() {
    write_if_asked();
    let dir = fixture(FORMAT_VERSION);
    let file = SegmentFile::open(&dir.join(SEGMENT), LoadMode::Copy).unwrap();
    let meta = Meta::decode(file.section(SectionKind::Meta, 0).unwrap(), FORMAT_VERSION).unwrap();
    let geometry = *file.geometry();
    let segment = Segment::open(file).unwrap();
    let target = segment.target();

    let (words, layout) = target.levels;
    let layers = (0..layout.sizes().count()).map(|layer| layout.layer(words, layer));
    let owned = layers.map(|layer| OwnedLayer {
        nodes: layer.nodes.to_vec(),
        down: layer.down.to_vec(),
        lists: layer.lists.slots().to_vec(),
    });
    let levels = OwnedLevels {
        layers: owned.collect(),
        degree: words[1].index(),
        entry_slot: words[2],
        entries: layout.entries(),
    };
    assert!(LevelsLayout::parse(&levels.words(), N).is_ok());
    let base = target.graph.slots().to_vec();
    let graph = Graph { base, max_degree: target.graph.degree(), levels };

    let in_order: Vec<NodeId> = (0..N as u32).map(NodeId).collect();
    let columns = segment.columns().iter().enumerate().map(|(column, schema)| {
        let mut builder = ColumnBuilder::new(schema.clone());
        for node in &in_order {
            builder.push(&segment.attribute(column, *node).unwrap()).unwrap();
        }
        builder.finish(bytemuck::cast_slice(&in_order)).unwrap()
    });
    let columns = columns.collect::<Vec<_>>();
    let kept = fs::read(dir.join(SEGMENT)).unwrap();
    // In memory, and on disk in passes of three rows.
    for gathered_bytes in [None, Some(3 * target.vectors.row_bytes(NodeId(0)).len())] {
        let parts = SegmentParts {
            meta: &meta,
            graph: &graph,
            order: &in_order,
            scales: target.scales,
            codes: target.codes,
            space: None,
            calibration: segment.calibration(),
            entry_points: None,
            learned: None,
            ids: segment.item_ids(),
        };
        let (vectors, columns) = (target.vectors, &*columns);
        let (order, indexed) = (&*in_order, None);
        let last = VectorParts { geometry, vectors, order, gathered_bytes, columns, indexed };
        let again = tempfile::tempdir().unwrap();
        let path = again.path().join("base.vcg");
        let begun = begin_segment(&Disk, &path, &parts).unwrap();
        begun.finish(&last, &mut |_| ()).unwrap();
        let written = fs::read(&path).unwrap();
        let differs = written.iter().zip(&kept).position(|(a, b)| a != b);
        assert_eq!((differs, written.len()), (None, kept.len()), "{gathered_bytes:?}");
    }

    let manifest = Manifest::read(&dir).unwrap();
    let again = Manifest::new(manifest.generation, manifest.segments.clone(), None);
    assert_eq!(again.to_bytes(), fs::read(dir.join(MANIFEST_NAME)).unwrap());
}

/// A build of the same items differs in its graph, the order that follows from it, and the meta
/// section, at most.
#[test]
fn a_fresh_build_is_like_it() {
    write_if_asked();
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let open = |dir: &Path| {
        let file = SegmentFile::open(&dir.join(SEGMENT), LoadMode::Mmap).unwrap();
        (*file.geometry(), file.sections().to_vec(), Index::open(dir, LoadMode::Mmap).unwrap())
    };
    let (geometry, sections, fresh) = open(dir.path());
    let (kept_geometry, kept_sections, kept) = open(&fixture(FORMAT_VERSION));
    assert_eq!(geometry, kept_geometry);
    let layout = |sections: &[vicinage::format::SectionEntry]| {
        let length = |kind, length| match kind {
            Some(SectionKind::Meta | SectionKind::Levels) => 0,
            _ => length,
        };
        // Indexes of columns came later.
        let later = |kind| matches!(kind, Some(SectionKind::Postings | SectionKind::Sorted));
        let sections = sections.iter().filter(|section| !later(section.kind()));
        let rows = sections.map(|s| (s.code, s.index, length(s.kind(), s.length)));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(layout(&sections), layout(&kept_sections));
    has_every_item(&fresh);
    for query in components(3, 20 * DIM).chunks(DIM) {
        assert_eq!(ask(&fresh, query).exact, ask(&kept, query).exact);
    }
}
