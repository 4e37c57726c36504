//! Attribute columns against a plain list of values, and against damage.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnError, ColumnKind, ColumnSchema, ColumnView,
};
use vicinage::format::{Disk, Geometry, LoadMode, SectionKind, SegmentFile, SegmentWriter};
use vicinage::types::{ElementType, Metric, NodeId};

/// A value that owns its text.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Null,
    Bool(bool),
    I64(i64),
    F64(f64),
    Timestamp(i64),
    Text(String),
    Tags(Vec<String>),
}

impl Owned {
    fn borrow(&self) -> AttributeValue<'_> {
        match self {
            Owned::Null => AttributeValue::Null,
            Owned::Bool(value) => AttributeValue::Bool(*value),
            Owned::I64(value) => AttributeValue::I64(*value),
            Owned::F64(value) => AttributeValue::F64(*value),
            Owned::Timestamp(value) => AttributeValue::Timestamp(*value),
            Owned::Text(text) => AttributeValue::Text(text),
            Owned::Tags(tags) => AttributeValue::Tags(tags.iter().map(String::as_str).collect()),
        }
    }

    /// As it is read back: tags are a set.
    fn stored(&self) -> Owned {
        match self {
            Owned::Tags(tags) => {
                let set: BTreeSet<&String> = tags.iter().collect();
                Owned::Tags(set.into_iter().cloned().collect())
            }
            other => other.clone(),
        }
    }
}

fn schema(kind: ColumnKind, nullable: bool) -> ColumnSchema {
    ColumnSchema { name: "attribute".to_owned(), kind, nullable }
}

fn value(kind: ColumnKind) -> BoxedStrategy<Owned> {
    // Few texts, so that many repeat; some longer than one byte a character, and the empty one.
    let text = || prop_oneof![4 => "[a-c]{0,2}", 1 => "\\PC{0,8}"];
    match kind {
        ColumnKind::Bool => any::<bool>().prop_map(Owned::Bool).boxed(),
        ColumnKind::I64 => prop_oneof![any::<i64>(), 0..3i64].prop_map(Owned::I64).boxed(),
        ColumnKind::F64 => any::<f64>().prop_map(Owned::F64).boxed(),
        ColumnKind::Timestamp => any::<i64>().prop_map(Owned::Timestamp).boxed(),
        ColumnKind::Category => text().prop_map(Owned::Text).boxed(),
        ColumnKind::Tags => prop::collection::vec(text(), 0..5).prop_map(Owned::Tags).boxed(),
    }
}

/// A kind, values of it, and an order to store them in.
fn column() -> impl Strategy<Value = (ColumnSchema, Vec<Owned>, Vec<u32>)> {
    (prop::sample::select(&ColumnKind::ALL), any::<bool>()).prop_flat_map(|(kind, nullable)| {
        let null = if nullable { 1 } else { 0 };
        let one = prop_oneof![null => Just(Owned::Null), 3 => value(kind)];
        prop::collection::vec(one, 0..200).prop_flat_map(move |values| {
            let order: Vec<u32> = (0..values.len() as u32).collect();
            (Just(schema(kind, nullable)), Just(values), Just(order).prop_shuffle())
        })
    })
}

fn build(schema: &ColumnSchema, values: &[Owned], order: &[u32]) -> Vec<u8> {
    let mut builder = ColumnBuilder::new(schema.clone());
    values.iter().for_each(|value| builder.push(&value.borrow()).unwrap());
    assert_eq!(builder.rows(), values.len());
    builder.finish(order).unwrap()
}

/// How many different values, and tags, there are.
fn distinct(values: &[Owned]) -> u64 {
    let mut seen = BTreeSet::new();
    for value in values {
        match value {
            Owned::Null => {}
            Owned::F64(number) => drop(seen.insert(number.to_bits().to_string())),
            Owned::Tags(tags) => seen.extend(tags.iter().cloned()),
            Owned::Text(text) => drop(seen.insert(text.clone())),
            other => drop(seen.insert(format!("{other:?}"))),
        }
    }
    seen.len() as u64
}

fn read_all(view: &ColumnView<'_>) {
    (0..view.rows().min(1000) as u32).for_each(|node| drop(view.value(NodeId(node))));
}

proptest! {
    #[test]
    fn columns_hold_what_was_pushed((schema, values, order) in column()) {
        let bytes = build(&schema, &values, &order);
        let view = ColumnView::parse(&bytes, &schema, values.len() as u64).unwrap();
        for (node, &row) in order.iter().enumerate() {
            let expected = values[row as usize].stored();
            prop_assert_eq!(view.value(NodeId(node as u32)), expected.borrow());
        }
        let nulls = values.iter().filter(|value| **value == Owned::Null).count();
        prop_assert_eq!(view.null_count(), nulls as u64);
        prop_assert_eq!(view.distinct(), distinct(&values));
        prop_assert_eq!(view.bytes(), bytes.len());
        prop_assert_eq!(view.value(NodeId(values.len() as u32)), AttributeValue::Null);
        prop_assert_eq!(view.layout().view(&bytes).distinct(), view.distinct());
    }

    #[test]
    fn equal_columns_are_equal_bytes((schema, values, order) in column()) {
        let stored: Vec<Owned> = order.iter().map(|&row| values[row as usize].clone()).collect();
        let in_order: Vec<u32> = (0..values.len() as u32).collect();
        prop_assert_eq!(build(&schema, &values, &order), build(&schema, &stored, &in_order));
    }

    #[test]
    fn damage_never_panics((schema, values, order) in column(), mask in 1u8..) {
        let rows = values.len() as u64;
        let clean = build(&schema, &values, &order);
        let layout = ColumnView::parse(&clean, &schema, rows).unwrap().layout().clone();
        for at in 0..clean.len() {
            let mut bytes = clean.clone();
            bytes[at] ^= mask;
            if let Ok(view) = ColumnView::parse(&bytes, &schema, rows) {
                read_all(&view);
            }
            read_all(&layout.view(&bytes));
            prop_assert!(ColumnView::parse(&clean[..at], &schema, rows).is_err());
            read_all(&layout.view(&clean[..at]));
        }
    }

    #[test]
    fn counts_of_any_size_are_refused_or_true(
        (schema, values, order) in column(),
        field in 1usize..6,
        count in prop_oneof![Just(u64::MAX), Just(u64::MAX / 8), any::<u64>(), 0..500u64],
    ) {
        let mut bytes = build(&schema, &values, &order);
        bytes[field * 8..field * 8 + 8].copy_from_slice(&count.to_le_bytes());
        for rows in [values.len() as u64, count] {
            if let Ok(view) = ColumnView::parse(&bytes, &schema, rows) {
                prop_assert!(view.rows() == rows);
                read_all(&view);
            }
        }
    }
}

#[test]
fn wide_dictionaries_and_lists_are_read_back() {
    let values: Vec<Owned> = (0..70_000).map(|i| Owned::Text(format!("title {i}"))).collect();
    let order: Vec<u32> = (0..70_000).rev().collect();
    let schema = schema(ColumnKind::Category, false);
    let bytes = build(&schema, &values, &order);
    let view = ColumnView::parse(&bytes, &schema, 70_000).unwrap();
    assert_eq!(view.value(NodeId(0)), AttributeValue::Text("title 69999"));
    assert_eq!(view.distinct(), 70_000);
    // A code and an offset of four bytes a title, and its text: no more.
    let text: usize = values
        .iter()
        .map(|value| match value {
            Owned::Text(text) => text.len(),
            _ => 0,
        })
        .sum();
    assert!(view.bytes() <= text + 8 * 70_000 + 128, "{} bytes", view.bytes());
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let mut builder = ColumnBuilder::new(schema(ColumnKind::F64, false));
    builder.push(&AttributeValue::F64(f64::INFINITY)).unwrap();
    let refused = |result: Result<(), ColumnError>| result.unwrap_err().to_string();
    assert_eq!(
        refused(builder.push(&AttributeValue::I64(1))),
        "attribute \"attribute\", row 1: expected f64, found i64"
    );
    assert!(refused(builder.push(&AttributeValue::F64(f64::NAN))).contains("row 1: NaN"));
    assert!(refused(builder.push(&AttributeValue::Null)).contains("not nullable"));
    assert_eq!(builder.rows(), 1);
    for order in [&[][..], &[1], &[0, 0]] {
        let mut builder = ColumnBuilder::new(schema(ColumnKind::Bool, true));
        builder.push(&AttributeValue::Null).unwrap();
        assert!(matches!(builder.finish(order), Err(ColumnError::Order { .. })));
    }
}

#[test]
fn damage_in_a_file_is_named_with_its_offset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.vcg");
    let schema = schema(ColumnKind::Category, true);
    let mut bytes = build(&schema, &[Owned::Text("a".to_owned()), Owned::Null], &[0, 1]);
    bytes[56] = 9; // the first code, after the fixed part and one word of presence
    let mut writer = SegmentWriter::create(&Disk, &path).unwrap();
    writer.begin_section(SectionKind::Column, 3).unwrap().write(&bytes).unwrap();
    let (metric, element) = (Metric::L2, ElementType::F32);
    writer.finish(Geometry { n: 2, dim: 1, metric, element, seed: 0 }).unwrap();

    let file = SegmentFile::open(&path, LoadMode::Mmap).unwrap();
    let error = ColumnView::open(&file, 3, &schema).unwrap_err();
    assert_eq!((error.section.as_str(), error.offset), ("section \"column 3\"", 4096 + 56));
    assert_eq!(error.found, "9");
    let error = ColumnView::open(&file, 0, &schema).unwrap_err();
    assert_eq!(error.section, "section \"column 0\"");
}
