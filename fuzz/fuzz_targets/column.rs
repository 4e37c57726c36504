//! A column of attributes with its index, as a segment file has them, with some bytes changed. It may
//! be refused; what is opened is read and filtered by without a panic, and takes memory only as its
//! size allows. Unchanged it is opened, and its index finds what its values say.
#![no_main]

use vicinage::error::Corruption;
use vicinage::filters::columns::{
    AttributeValue, ColumnBuilder, ColumnKind, ColumnLayout, ColumnSchema, ColumnView,
};
use vicinage::filters::evaluate::Table;
use vicinage::filters::expression::Expression;
use vicinage::filters::indexes::{self, ColumnIndex, IndexLayout};
use vicinage::filters::lookup::IdLookup;
use vicinage::types::{ItemId, NodeId};

#[path = "../../tests/common/allocator.rs"]
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const KINDS: [(ColumnKind, &str); 5] = [
    (ColumnKind::I64, "a >= -3 and a < 70"),
    (ColumnKind::F64, "a > -0.5 or a == 2.0"),
    (ColumnKind::Timestamp, "not a < 40"),
    (ColumnKind::Category, r#"a == "a" or a in ("b", "")"#),
    (ColumnKind::Tags, r#"a has any ("a", "b") and not a has "c""#),
];

const TEXTS: [&str; 5] = ["", "a", "b", "c", "long enough to be none of these"];

/// What a byte says; 255 is none.
fn value(kind: ColumnKind, byte: u8) -> AttributeValue<'static> {
    let number = i64::from(byte as i8);
    match kind {
        _ if byte == 255 => AttributeValue::Null,
        ColumnKind::Bool => AttributeValue::Bool(byte % 2 == 1),
        ColumnKind::I64 => AttributeValue::I64(number),
        ColumnKind::F64 => AttributeValue::F64(f64::from(byte as i8) / 4.0),
        ColumnKind::Timestamp => AttributeValue::Timestamp(number),
        ColumnKind::Category => AttributeValue::Text(TEXTS[usize::from(byte) % TEXTS.len()]),
        ColumnKind::Tags => {
            let has = |at: &usize| byte >> at & 1 == 1;
            AttributeValue::Tags((0..TEXTS.len()).filter(has).map(|at| TEXTS[at]).collect())
        }
    }
}

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

/// The kind and the number of items come first, then a byte for each, then what is changed: whether in
/// the index, where, and the bits.
fn read(bytes: &[u8]) -> Option<()> {
    let (&[kind, items], rest) = bytes.split_first_chunk()?;
    let (values, changes) = rest.split_at(usize::from(items).min(rest.len()));
    let (kind, filter) = KINDS[usize::from(kind) % KINDS.len()];
    let schema = ColumnSchema { name: "a".to_owned(), kind, nullable: true };
    let mut builder = ColumnBuilder::new(schema.clone());
    for byte in values {
        builder.push(&value(kind, *byte)).expect("a value of the kind");
    }
    let (n, order) = (values.len() as u64, (0..values.len() as u32).collect::<Vec<u32>>());
    let mut column_bytes = builder.finish(&order).expect("an order of all items");
    let good = ColumnView::parse(&column_bytes, &schema, n).expect("as it was written");
    let (section, mut index_bytes) = indexes::build(&good)?;
    let mut changed = false;
    for &[which, low, high, bits] in changes.as_chunks().0 {
        let bytes = if which % 2 == 0 { &mut column_bytes } else { &mut index_bytes };
        let place = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        bytes[place] ^= bits;
        changed |= bits != 0;
    }
    let column = ColumnView::parse(&column_bytes, &schema, n);
    assert!(changed || column.is_ok());
    let column = column.ok()?;
    let nodes = || (0..n as u32).map(NodeId);
    nodes().for_each(|node| drop(column.value(node)));
    let index = ColumnIndex::parse(section, &index_bytes, &column);
    assert!(changed || index.is_ok());
    let index = index.ok()?;
    let told = index.compare(&column);
    assert!(changed || told.is_ok());
    let table = OneColumn {
        schema: [schema],
        column: (column.layout().clone(), &column_bytes),
        index: (index.layout(), &index_bytes),
        ids: (0..n).collect(),
    };
    let filter: Expression = filter.parse().expect("these are filters");
    let bound = filter.bind(&table).expect("that fit the column");
    let (found, passing) = (bound.passing(), nodes().filter(|node| bound.matches(*node)));
    assert!(found.iter().all(|node| u64::from(node.0) < n));
    assert!(changed | found.iter().eq(passing));
    Some(())
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (_, asked) = allocator::asked(|| read(bytes));
    let bound = 64 * bytes.len() + (4 << 20);
    assert!(asked.peak as usize <= bound, "{} bytes for an input of {}", asked.peak, bytes.len());
});
