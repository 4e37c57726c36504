//! Small indexes that have everything: levels, scales, ids that are not rows, and a column of every
//! kind, with nulls; and a use of everything that an index offers.

use std::path::Path;

use vicinage::builder::{BuildError, BuildParams, ColumnBatch, build};
use vicinage::index::{
    Account, Expression, FilterProblem, Hit, Index, LoadMode, OpenError, Scratch, SearchParams,
};
use vicinage::progress::Silent;
use vicinage::types::{ElementType, ItemId, Metric, NodeId};

use super::{MemorySource, clustered, quick};

/// The id of the item in a row.
pub fn id_of(row: usize) -> ItemId {
    (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3 | 1
}

/// `n` items with ids and six columns.
pub fn source(n: usize, dim: usize, element: ElementType, seed: u64) -> MemorySource {
    let rows = || 0..n;
    let present = |row: usize, one_in: usize| row % one_in != one_in - 1;
    let some = |row: usize, one_in: usize| present(row, one_in).then_some(row);
    let text = |row: usize| ["", "résumé", "schreiner", "大工", "carpenter"][row % 5].to_owned();
    let tags = |row: usize| (0..row % 4).map(|tag| text(row + tag)).collect();
    let attributes = vec![
        ("remote", ColumnBatch::Bool(rows().map(|r| some(r, 7).map(|r| r % 3 == 0)).collect())),
        ("year", ColumnBatch::I64(rows().map(|r| Some(r as i64 - 50)).collect())),
        ("pay", ColumnBatch::F64(rows().map(|r| some(r, 5).map(|r| r as f64 / 8.0)).collect())),
        ("posted", ColumnBatch::Timestamp(rows().map(|r| some(r, 3).map(|r| r as i64)).collect())),
        ("title", ColumnBatch::Category(rows().map(|r| some(r, 4).map(text)).collect())),
        ("skills", ColumnBatch::Tags(rows().map(|r| some(r, 6).map(tags)).collect())),
    ];
    MemorySource {
        ids: Some(rows().map(id_of).collect()),
        attributes: attributes
            .into_iter()
            .map(|(name, column)| (name.to_owned(), column))
            .collect(),
        ..MemorySource::of(clustered(n, dim, seed), dim, element)
    }
}

/// Parameters for such sets: lists so short that there are levels.
pub fn params() -> BuildParams {
    BuildParams {
        max_degree: 8,
        ef_construction: 24,
        threads: 1,
        deterministic: true,
        ..quick(Metric::Cosine)
    }
}

/// The same under a memory limit that sends the vectors to disk while the graph is built, and items
/// without attributes, whose memory cannot be known before they are read.
pub fn spooled(source: MemorySource) -> (MemorySource, BuildParams) {
    let mut source = MemorySource { attributes: Vec::new(), ..source };
    let tight = BuildParams { memory_limit: Some(1), ..params() };
    let nowhere = tempfile::tempdir().unwrap();
    match build(nowhere.path(), &mut source, &tight, &Silent) {
        Err(BuildError::MemoryLimit { needed, .. }) => {
            (source, BuildParams { memory_limit: Some(needed), ..tight })
        }
        other => panic!("not limited: {other:?}"),
    }
}

/// The three ways to search.
pub fn ways(exclude: NodeId) -> [SearchParams; 3] {
    let walk = SearchParams { ef: Some(8), ..SearchParams::top(5) };
    let exact = SearchParams { exact: true, ..walk };
    [walk, exact, SearchParams { exclude: Some(exclude), ..walk }]
}

/// Filters that look at the index of each column, in one way each that an index is read.
const FILTERS: [&str; 8] = [
    r#"{"eq": {"remote": false}}"#,
    r#"{"range": {"year": {"gte": 30, "lt": 900}}}"#,
    r#"{"eq": {"year": 40}}"#,
    r#"{"not": {"range": {"pay": {"gt": 9.5}}}}"#,
    r#"{"ne": {"posted": 3}}"#,
    r#"{"and": [{"in": {"title": ["", "carpenter"]}}, {"not": {"is_null": "skills"}}]}"#,
    r#"{"has_all": {"skills": ["", "schreiner"]}}"#,
    r#"{"or": [{"ids": [1, 2, 3]}, {"has_any": {"skills": ["carpenter"]}}]}"#,
];

/// Opens the index and does everything to it that a server does: searches by vectors and by items,
/// walking and exact, reads all attributes of what it finds, filters, looks into the structure.
///
/// Gives how often it was refused; what it must not do is panic.
pub fn use_everything(dir: &Path, load: LoadMode) -> Result<usize, OpenError> {
    let index = Index::open(dir, load)?;
    let (mut scratch, mut hits, mut vector) = (Scratch::default(), Vec::new(), Vec::new());
    let mut refused = 0;
    let mut look = |query: &[f32], exclude: NodeId| {
        for params in ways(exclude) {
            match index.search(&mut scratch, query, &params, &mut hits) {
                Ok(account) => check(&index, &account, &hits, &params),
                Err(_) => refused += 1,
            }
            for (hit, column) in hits.iter().zip((0..index.info().attributes.len()).cycle()) {
                refused += usize::from(index.attribute_value(column, hit.node).is_err());
            }
        }
    };
    let dim = index.info().dim;
    look(&clustered(1, dim, 9), NodeId(0));
    for row in [0, 1, 17] {
        if let Some(node) = index.find(id_of(row)) {
            index.vector(node, &mut vector);
            look(&vector, node);
        }
    }
    let last = NodeId((index.info().n - 1) as u32);
    for column in 0..index.info().attributes.len() {
        refused += usize::from(index.attribute_value(column, last).is_err());
    }
    for text in FILTERS {
        let Ok(filter) = Expression::from_json(text) else { panic!("{text}") };
        match index.filter(&filter) {
            Ok(among) => assert!(among.len() <= index.info().n),
            // An index without attributes is none the worse for it.
            Err(error) if matches!(error.problem, FilterProblem::UnknownField { .. }) => {}
            Err(_) => refused += 1,
        }
    }
    let inspection = index.inspect();
    assert_eq!(inspection.degrees.iter().sum::<u64>(), index.info().n);
    Ok(refused)
}

/// What must hold of an answer whatever the bytes are.
fn check(index: &Index, account: &Account, hits: &[Hit], params: &SearchParams) {
    assert!(hits.len() <= params.k && account.matches <= index.info().n);
    for hit in hits {
        assert_eq!(index.item_id(hit.node), hit.item_id);
        assert_ne!(params.exclude, Some(hit.node));
    }
}
