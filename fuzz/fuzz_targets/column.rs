//! A column of attributes with its index, as a segment file has them. It may be refused; what is
//! opened is read and filtered by without a panic, and takes memory only as its size allows.
#![no_main]

use vicinage::error::Corruption;
use vicinage::filters::columns::{ColumnKind, ColumnLayout, ColumnSchema, ColumnView};
use vicinage::filters::evaluate::Table;
use vicinage::filters::expression::Expression;
use vicinage::filters::indexes::{ColumnIndex, IndexLayout};
use vicinage::filters::lookup::IdLookup;
use vicinage::format::SectionKind;
use vicinage::types::{ItemId, NodeId};

#[path = "../../tests/common/allocator.rs"]
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const KINDS: [(ColumnKind, &str); 6] = [
    (ColumnKind::Bool, "a == true"),
    (ColumnKind::I64, "a >= -3 and a < 70"),
    (ColumnKind::F64, "a > -0.5 or a == 2.0"),
    (ColumnKind::Timestamp, r#"a < "2026-01-01T00:00:00Z""#),
    (ColumnKind::Category, r#"a == "a" or a in ["b", ""]"#),
    (ColumnKind::Tags, r#"a has_any ["a", "b"] and not a has "c""#),
];

struct OneColumn<'a> {
    schema: [ColumnSchema; 1],
    column: (ColumnLayout, &'a [u8]),
    index: (IndexLayout, &'a [u8]),
    ids: Vec<ItemId>,
}

impl Table for OneColumn<'_> {
    fn schema(&self) -> &[ColumnSchema] {
        &self.schema
    }

    fn column(&self, _: usize) -> Result<ColumnView<'_>, Corruption> {
        Ok(self.column.0.view(self.column.1))
    }

    fn item_ids(&self) -> &[ItemId] {
        &self.ids
    }

    fn column_index(&self, _: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        Ok(Some(self.index.0.view(self.index.1)))
    }

    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        None
    }
}

/// The kind, the section of the index, the number of items and the length of the column come first.
fn read(bytes: &[u8]) -> Option<()> {
    let (&[kind, section, items, low, high], rest) = bytes.split_first_chunk()?;
    let (kind, filter) = KINDS[usize::from(kind) % KINDS.len()];
    let sections = [SectionKind::Postings, SectionKind::Sorted];
    let section = sections[usize::from(section) % sections.len()];
    let column_bytes = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (column_bytes, index_bytes) = rest.split_at(column_bytes);
    let schema = ColumnSchema { name: "a".to_owned(), kind, nullable: true };
    let items = u64::from(items);
    let column = ColumnView::parse(column_bytes, &schema, items).ok()?;
    for node in (0..items as u32).map(NodeId) {
        column.value(node);
    }
    let index = ColumnIndex::parse(section, index_bytes, &column).ok()?;
    let agrees = index.compare(&column).is_ok();
    let table = OneColumn {
        schema: [schema],
        column: (column.layout().clone(), column_bytes),
        index: (index.layout(), index_bytes),
        ids: (0..items).collect(),
    };
    let filter: Expression = filter.parse().expect("these are filters");
    let bound = filter.bind(&table).expect("that fit the column");
    let (indexed, scanned) = (bound.passing(), (0..items as u32).map(NodeId));
    let scanned = scanned.filter(|node| bound.matches(*node)).count() as u64;
    if agrees && section == SectionKind::Postings {
        assert_eq!(indexed.len(), scanned);
    }
    Some(())
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (_, asked) = allocator::asked(|| read(bytes));
    let bound = 64 * bytes.len() + (4 << 20);
    assert!(asked.peak as usize <= bound, "{} bytes for an input of {}", asked.peak, bytes.len());
});
