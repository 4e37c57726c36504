//! `docs/format.md` against the code: what is written twice is compared, and a parser that knows
//! only the document's tables reads a file of ours.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::Random;
use vicinage::filters::columns::{AttributeValue, ColumnBuilder, ColumnKind, ColumnSchema};
use vicinage::format::header::{self, MAX_DIM, MAX_N};
use vicinage::format::section::{CHECKSUM_BYTES, ENTRY_BYTES};
use vicinage::format::{
    ALIGNMENT, BLOCK_BYTES, Disk, FORMAT_VERSION, Geometry, HEADER_BYTES, LoadMode, SectionKind,
    SegmentFile, SegmentWriter, checksum,
};
use vicinage::quantizers::{CodeBytes, CodeKind, CodeLayout, CodeTerms, encode_rows};
use vicinage::segments::manifest::{MANIFEST_BYTES_MAX, MANIFEST_NAME, Manifest};
use vicinage::types::{ElementType, Metric};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    fs::read_to_string(path).unwrap()
}

/// The tables of a text as rows of cells, without the line below the head.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables = vec![Vec::new()];
    for line in text.lines() {
        match line.strip_prefix('|') {
            Some(row) if row.starts_with("---") => {}
            Some(row) => {
                let cells = row.trim_end_matches('|').split('|');
                tables.last_mut().unwrap().push(cells.map(|cell| cell.trim().to_owned()).collect());
            }
            None if tables.last().is_some_and(|table| !table.is_empty()) => tables.push(Vec::new()),
            None => {}
        }
    }
    tables
}

/// The rows of the table whose first column is headed `head`.
fn rows(text: &str, head: &str) -> impl Iterator<Item = Vec<String>> {
    let headed = |table: &Vec<Vec<String>>| table.first().is_some_and(|row| row[0] == head);
    tables(text).into_iter().find(headed).unwrap().into_iter().skip(1)
}

/// Names and codes of the table whose first column is headed `head`.
fn codes(text: &str, head: &str) -> Vec<(String, u32)> {
    rows(text, head).map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

/// Offset and size of each named field in the table below the heading `heading`.
fn fields(text: &str, heading: &str) -> BTreeMap<String, (usize, usize)> {
    let after = text.split_once(&format!("\n### {heading}\n")).unwrap().1;
    let mut end = 0;
    let mut fields = BTreeMap::new();
    for row in &tables(after)[0][1..] {
        let (offset, size): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert_eq!(offset, end, "{heading}: {} starts where the one before ends", row[2]);
        end = offset + size;
        let name = row[2].split([':', ',']).next().unwrap();
        fields.insert(name.to_owned(), (offset, size));
    }
    fields.insert("end".to_owned(), (end, 0));
    fields
}

fn number(bytes: &[u8], (offset, size): (usize, usize)) -> u64 {
    bytes[offset..offset + size].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[test]
fn numbers_are_the_code_s() {
    let text = document();
    for said in [
        format!("format version {FORMAT_VERSION}."),
        format!("| header | 0 | {HEADER_BYTES} |"),
        format!("multiple of {ALIGNMENT} after"),
        format!("| {ENTRY_BYTES} a section |"),
        format!("| {CHECKSUM_BYTES} a block"),
        format!("{BLOCK_BYTES} bytes from its start"),
        format!("at most {MAX_N}"),
        format!("1 to {MAX_DIM}"),
        format!("magic: `{}`", header::MAGIC.map(|byte| format!("{byte:02x}")).join(" ")),
        format!("at most {MANIFEST_BYTES_MAX} bytes"),
    ] {
        assert!(text.contains(&said), "docs/format.md does not say \"{said}\"");
    }
}

#[test]
fn codes_are_the_code_s() {
    let text = document();
    let named = |name: &str, code: u32| (name.to_owned(), code);
    let metrics = Metric::ALL.map(|one| named(one.name(), header::metric_code(one)));
    assert_eq!(codes(&text, "metric"), metrics);
    let elements = ElementType::ALL.map(|one| named(one.name(), header::element_code(one)));
    assert_eq!(codes(&text, "element type"), elements);
    let sections = SectionKind::ALL.map(|one| named(one.name(), one.code()));
    assert_eq!(codes(&text, "section"), sections);
    let kinds = CodeKind::ALL.map(|one| one.name().to_owned());
    assert_eq!(rows(&text, "codes").map(|row| row[0].clone()).collect::<Vec<_>>(), kinds);
    let kinds = ColumnKind::ALL.map(|one| named(one.name(), one.code()));
    assert_eq!(codes(&text, "column kind"), kinds);
}

#[test]
fn header_offsets_are_the_code_s() {
    let fields = fields(&document(), "Header");
    for (name, at) in [
        ("magic", header::MAGIC_AT),
        ("format version", header::FORMAT_AT),
        ("oldest reader", header::OLDEST_READER_AT),
        ("header checksum", header::CHECKSUM_AT),
        ("file length in bytes", header::FILE_LENGTH_AT),
        ("n", header::N_AT),
        ("dim", header::DIM_AT),
        ("metric", header::METRIC_AT),
        ("element type", header::ELEMENT_AT),
        ("seed that the build drew from", header::SEED_AT),
        ("table offset", header::TABLE_OFFSET_AT),
        ("section count", header::SECTION_COUNT_AT),
        ("table digest", header::TABLE_DIGEST_AT),
        ("end", HEADER_BYTES),
    ] {
        assert_eq!(fields[name].0, at, "{name}");
    }
}

/// Reads a segment file by the document alone and compares with what was written.
#[test]
fn a_parser_from_the_document_reads_our_files() {
    let text = document();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.vcg");
    let schema = ColumnSchema { name: "t".to_owned(), kind: ColumnKind::Tags, nullable: true };
    let mut column = ColumnBuilder::new(schema);
    column.push(&AttributeValue::Tags(vec!["b", "a"])).unwrap();
    column.push(&AttributeValue::Null).unwrap();
    let column = column.finish(&[0, 1]).unwrap();
    let graph: Vec<u8> = (0..BLOCK_BYTES + 5).map(|i| i as u8).collect();
    let sections = [(SectionKind::Graph, 0, &graph), (SectionKind::Column, 2, &column)];

    let mut writer = SegmentWriter::create(&Disk, &path).unwrap();
    for (kind, index, bytes) in sections {
        writer.begin_section(kind, index).unwrap().write(bytes).unwrap();
    }
    let (metric, element) = (Metric::Cosine, ElementType::I8);
    writer.finish(Geometry { n: 2, dim: 33, metric, element, seed: 99 }).unwrap();
    let file = SegmentFile::open(&path, LoadMode::Copy).unwrap();

    let bytes = fs::read(&path).unwrap();
    let head = fields(&text, "Header");
    assert_eq!(number(&bytes, head["file length in bytes"]), bytes.len() as u64);
    assert_eq!(number(&bytes, head["n"]), 2);
    assert_eq!(number(&bytes, head["dim"]), 33);
    assert_eq!(number(&bytes, head["metric"]), 2);
    assert_eq!(number(&bytes, head["element type"]), 3);
    assert_eq!(number(&bytes, head["seed that the build drew from"]), 99);
    let mut header = bytes[..head["end"].0].to_vec();
    let (at, size) = head["header checksum"];
    header[at..at + size].fill(0);
    assert_eq!(number(&bytes, (at, size)), checksum(&header));
    assert_eq!(file.header_checksum(), checksum(&header));

    let table = &bytes[number(&bytes, head["table offset"]) as usize..];
    assert_eq!(number(&bytes, head["table digest"]), checksum(table));
    let count = number(&bytes, head["section count"]) as usize;
    assert_eq!(count, sections.len());
    let entry = fields(&text, "Section table");
    let sums = &table[count * entry["end"].0..];
    for (row, (kind, index, written)) in table.chunks(entry["end"].0).zip(sections) {
        assert_eq!(number(row, entry["kind"]), u64::from(kind.code()));
        assert_eq!(number(row, entry["index"]), u64::from(index));
        let offset = number(row, entry["offset from the start of the file"]) as usize;
        let length = number(row, entry["length in bytes"]) as usize;
        assert_eq!(&bytes[offset..offset + length], written);
        let first = number(row, entry["first block"]) as usize;
        for (block, bytes) in written.chunks(BLOCK_BYTES).enumerate() {
            assert_eq!(number(sums, ((first + block) * 8, 8)), checksum(bytes));
        }
    }

    let fixed = fields(&text, "Columns");
    assert_eq!(number(&column, fixed["column kind"]), 6);
    assert_eq!(number(&column, fixed["rows"]), 2);
    assert_eq!(number(&column, fixed["nulls"]), 1);
    assert_eq!(number(&column, fixed["distinct"]), 2);
    assert_eq!(number(&column, fixed["list length"]), 2);
    assert_eq!(number(&column, fixed["text bytes"]), 2);
    assert_eq!(fixed["end"].0, 48);
    // Present, list offsets 0 2 2, codes 0 1, text offsets 0 1 2, text.
    let arrays = *b"\x01\0\0\0\0\0\0\0\0\x02\x02\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x02\0\0\0\0\0ab";
    assert_eq!(column[48..], arrays);
}

/// Rows of codes read by the words of the document: they give back the vector, as nearly as their
/// kind can, and the terms are what it says.
#[test]
fn code_rows_are_as_the_document_says() {
    for kind in CodeKind::ALL {
        for dim in [1, 32, 33, 64, 65, 100, 190] {
            let mut random = Random(dim as u64);
            let vector: Vec<f32> = (0..dim).map(|_| random.normal()).collect();
            let center: Vec<f32> = (0..dim).map(|_| 0.1 * random.normal()).collect();
            let layout = CodeLayout::new(kind, dim);
            let mut bytes = CodeBytes::zeroed(layout.stride());
            let mut terms = [CodeTerms::default()];
            let mut row = |_, row: &mut [f32]| row.copy_from_slice(&vector);
            encode_rows(layout, &center, bytes.bytes_mut(), &mut terms, &mut row);

            let bytes = bytes.bytes();
            let codes = (0..dim).map(|i| match kind {
                CodeKind::I8 => f64::from(bytes[i]) - 128.0,
                CodeKind::U4 => {
                    let (g, at) = (i / 64, i % 64);
                    let byte = bytes[32 * g + at % 32];
                    2.0 * f64::from(if at < 32 { byte & 15 } else { byte >> 4 }) - 15.0
                }
            });
            let codes: Vec<f64> = codes.collect();
            let centered = vector.iter().zip(&center).map(|(x, c)| f64::from(x - c));
            let centered: Vec<f64> = centered.collect();
            let square: f64 = centered.iter().map(|x| x * x).sum();
            let along: f64 = centered.iter().zip(&codes).map(|(x, c)| x * c).sum();
            let [CodeTerms { scale, half_square }] = terms;
            assert!((f64::from(half_square) - square / 2.0).abs() < 1e-5 * square);
            assert!((f64::from(scale) - square / along).abs() < 1e-5 * square / along);
            let off = centered.iter().zip(&codes).map(|(x, c)| x - c * f64::from(scale));
            let off: f64 = off.map(|off| off * off).sum();
            let least = if kind == CodeKind::I8 { 2e-4 } else { 4e-2 };
            assert!(off <= least * square, "{kind} {dim}: {off} of {square}");
        }
    }
}

#[test]
fn the_example_manifest_is_one() {
    let text = document();
    let example = text.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let manifest = Manifest::from_bytes(example.as_bytes(), Path::new(MANIFEST_NAME));
    assert_eq!(manifest.unwrap().segments[0].header_checksum, 0x0f1e_2d3c_4b5a_6978);
}
