//! The public library: open an index and search it.
//!
//! ```no_run
//! use vicinage::index::{Index, LoadMode, Scratch, SearchParams};
//!
//! let index = Index::open("jobs".as_ref(), LoadMode::Mmap)?;
//! let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
//! let query = vec![0.1; index.info().dim];
//! let account = index.search(&mut scratch, &query, &SearchParams::top(10), &mut hits)?;
//! for hit in &hits {
//!     println!("{} {:.3}", hit.item_id, hit.score);
//! }
//! println!("{} nodes visited", account.visited);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::error::Corruption;
use crate::filters::cache::FilterCache;
use crate::filters::columns::ColumnSchema;
use crate::format::{SectionEntry, SectionKind};
use crate::progress::{Progress, Stage};
use crate::search;
use crate::segments::publish::{CurrentError, read_current};
use crate::segments::segment::Segment;
use crate::types::{ElementType, ItemId, Metric, Neighbor, NodeId};

pub use crate::filters::cache::FilterCacheStatistics;
pub use crate::filters::columns::{AttributeValue, ColumnKind};
pub use crate::filters::error::{FilterError, FilterPlace, FilterProblem};
pub use crate::filters::expression::Expression;
pub use crate::filters::nodes::NodeSet;
pub use crate::format::LoadMode;
pub use crate::search::plan::{Costs, Estimate, Planned};
pub use crate::search::{Account, Among, Plan, Query, SearchError, SearchParams, TruncatedBy};
pub use crate::segments::calibration::{Calibration, CalibrationPath, CalibrationPoint, Effort};
pub use crate::segments::meta::{Meta, SelfCheck};
pub use crate::segments::repair::{Gain, Repair};
pub use crate::segments::space::{Normalization, Space, SpaceError, SpacePolicy, Tower};

/// Memory of the cache of filters, unless [`Index::set_filter_cache_bytes`] says otherwise.
pub const FILTER_CACHE_BYTES: u64 = 64 << 20;

/// Why an index cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No current generation, or one that cannot be opened.
    #[error(transparent)]
    Current(#[from] CurrentError),
    /// A segment file cannot be used.
    #[error(transparent)]
    Segment(#[from] crate::format::OpenError),
    /// The manifest does not name exactly one segment; this build reads no other index.
    #[error("{} has {found} segments in its current generation; expected 1", path.display())]
    Segments {
        /// The index directory.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
}

/// What an index is, as `inspect` and `GET /v1/indexes/{name}` show it.
#[derive(Clone, Debug, Serialize)]
pub struct IndexInfo {
    /// The index directory.
    #[serde(skip)]
    pub path: PathBuf,
    /// The current generation.
    pub generation: u64,
    /// Number of items.
    pub n: u64,
    /// Components per vector.
    pub dim: usize,
    /// How closeness is measured.
    pub metric: Metric,
    /// Type of a component as stored.
    pub element: ElementType,
    /// Size of the segment file.
    pub file_bytes: u64,
    /// Nodes per layer, base first.
    pub levels: Vec<u64>,
    /// With how many nodes a search goes down from layer to layer.
    pub entries: usize,
    /// Of how many centers of items or queries a search begins at the nearest, in place of going down; 0
    /// where it always does.
    pub centers: usize,
    /// The seed of the build.
    pub seed: u64,
    /// The attributes, in column order.
    pub attributes: Vec<AttributeInfo>,
    /// The model that the vectors are of, if the build was told.
    pub space: Option<Space>,
    /// What queries have to have in common with it: [`Space::id`].
    pub space_id: Option<String>,
    /// How it was built, and what came of it.
    pub meta: Meta,
    /// When it was built, in seconds since 1970; not there in a deterministic build.
    pub created_unix_s: Option<u64>,
}

/// One attribute.
#[derive(Clone, Debug, Serialize)]
pub struct AttributeInfo {
    /// Name, kind, nullability.
    #[serde(flatten)]
    pub schema: ColumnSchema,
    /// Size of its section.
    pub bytes: u64,
    /// Size of the section that makes it fast to filter by; 0 if there is none.
    pub index_bytes: u64,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The caller's id.
    pub item_id: ItemId,
    /// Larger is better.
    pub score: f32,
    /// Where the item is; good for [`Index::attribute_value`].
    pub node: NodeId,
}

/// Reusable memory of one searching thread; any index may be searched with it.
#[derive(Debug, Default)]
pub struct Scratch {
    search: search::Scratch,
    found: Vec<Neighbor>,
    /// Of one of several queries.
    hits: Vec<Hit>,
}

impl Scratch {
    /// What each way of the last [`Index::search_among`] was estimated to cost.
    pub fn planned(&self) -> Option<Planned> {
        self.search.planned()
    }
}

/// One snapshot: the generation that was current when it was opened. Share it in an `Arc`; a
/// search takes no lock.
#[derive(Debug)]
pub struct Index {
    segment: Segment,
    info: IndexInfo,
    filters: FilterCache,
    /// Measured when first asked for.
    costs: OnceLock<Costs>,
}

/// The items of one index that may be in the answers of a call: [`Index::restriction`].
#[derive(Clone, Debug, Default)]
pub struct Restriction {
    /// Those that pass a filter, if there is one.
    pub passing: Option<Arc<NodeSet>>,
    /// But for these.
    pub excluded: Vec<NodeId>,
}

impl Restriction {
    /// As [`Index::search_among`] takes it; none where every item may be.
    pub fn among(&self) -> Option<Among<'_>> {
        let Self { passing, excluded } = self;
        let restricts = passing.is_some() || !excluded.is_empty();
        restricts.then(|| Among { passing: passing.as_deref(), excluded })
    }
}

/// What a look into the structure shows.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The sections of the segment file, in file order.
    pub sections: Vec<SectionInfo>,
    /// `degrees[i]` nodes have `i` neighbors in the base layer.
    pub degrees: Vec<u64>,
    /// Nodes that the entry point cannot reach.
    pub unreachable: u64,
}

/// Where a section lies.
#[derive(Clone, Debug, Serialize)]
pub struct SectionInfo {
    /// What it is; a column's name for a column.
    pub name: String,
    /// Byte offset in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl Index {
    /// Opens the current generation of the index directory. Cost: validation of graph, levels and
    /// tables at memory speed; vectors and columns are not touched in [`LoadMode::Mmap`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, load: LoadMode) -> Result<Self, OpenError> {
        let current = read_current(dir, load)?;
        let [file] = <[_; 1]>::try_from(current.files)
            .map_err(|files| OpenError::Segments { path: dir.to_owned(), found: files.len() })?;
        let segment = Segment::open(file)?;
        let geometry = *segment.file().geometry();
        let section_bytes = |kind, index| {
            segment.file().section(kind, index).map_or(0, |section| section.len() as u64)
        };
        let attributes = (0..).zip(segment.columns()).map(|(index, schema)| AttributeInfo {
            schema: schema.clone(),
            bytes: section_bytes(SectionKind::Column, index),
            index_bytes: section_bytes(SectionKind::Postings, index)
                + section_bytes(SectionKind::Sorted, index),
        });
        let info = IndexInfo {
            path: dir.to_owned(),
            generation: current.manifest.generation,
            n: geometry.n,
            dim: geometry.dim as usize,
            metric: geometry.metric,
            element: geometry.element,
            file_bytes: segment.file().length(),
            levels: segment.layer_sizes(),
            entries: segment.target().levels.1.entries(),
            centers: segment.target().entry_points.map_or(0, |points| points.len()),
            seed: geometry.seed,
            attributes: attributes.collect(),
            space: segment.space().cloned(),
            space_id: segment.space().map(Space::id),
            meta: segment.meta().clone(),
            created_unix_s: current.manifest.provenance.map(|made| made.created_unix_s),
        };
        let filters = FilterCache::new(FILTER_CACHE_BYTES, info.n);
        Ok(Self { segment, info, filters, costs: OnceLock::new() })
    }

    /// What it is.
    pub fn info(&self) -> &IndexInfo {
        &self.info
    }

    /// The segment file.
    pub fn file(&self) -> &Path {
        self.segment.file().path()
    }

    /// Replaces the contents of `hits` by at most `k` items, best first. Allocates nothing once
    /// `scratch` and `hits` have grown to what this index and these parameters need.
    ///
    /// # Errors
    /// See [`SearchError`]; `hits` is then empty.
    pub fn search(
        &self,
        scratch: &mut Scratch,
        vector: &[f32],
        params: &SearchParams,
        hits: &mut Vec<Hit>,
    ) -> Result<Account, SearchError> {
        hits.clear();
        let target = self.segment.target();
        let Scratch { search, found, .. } = scratch;
        let params = self.resolved(params)?;
        let account = search::search(&target, search, vector, &params, found)?;
        self.give(found, hits);
        Ok(account)
    }

    /// Several queries at once: `give` takes the number of each, how it was answered and its items, best
    /// first, in the order in which they are done. They are what [`Index::search`] finds for each, in
    /// less time than one after the other, since this thread goes on with another query where one waits
    /// for memory: 0.85 to 0.95 of it where an index is larger than the caches. A query whose turn
    /// comes after the deadline gets no items, unless it is the first.
    ///
    /// ```no_run
    /// # use vicinage::index::{Index, LoadMode, Query, Scratch, SearchParams};
    /// # let index = Index::open("jobs".as_ref(), LoadMode::Mmap)?;
    /// # let (interests, mut scratch) = (vec![vec![0.1; 64]; 3], Scratch::default());
    /// let queries: Vec<Query> = interests.iter().map(|v| Query { vector: v, exclude: None }).collect();
    /// let mut best = vec![None; queries.len()];
    /// index.search_several(&mut scratch, &queries, &SearchParams::top(10), |at, _, hits| {
    ///     best[at] = hits.first().copied();
    /// })
    /// .map_err(|(at, error)| format!("query {at}: {error}"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The number of the first query that is refused, and why: see [`SearchError`]; none is answered then.
    pub fn search_several(
        &self,
        scratch: &mut Scratch,
        queries: &[Query<'_>],
        params: &SearchParams,
        mut give: impl FnMut(usize, Account, &[Hit]),
    ) -> Result<(), (usize, SearchError)> {
        let target = self.segment.target();
        let params = self.resolved(params).map_err(|error| (0, error))?;
        let Scratch { search, hits, .. } = scratch;
        search::search_several(&target, search, queries, &params, |at, account, found| {
            hits.clear();
            self.give(found, hits);
            give(at, account, hits);
        })
    }

    /// What effort reaches which recall, if the build measured it.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.segment.calibration()
    }

    /// What the index learned from queries, if anything.
    pub fn repair(&self) -> Option<&Repair> {
        self.segment.repair()
    }

    /// The effort that a search for `k` items takes whose `target_recall` is `recall`, and the recall
    /// to expect of it, which is less where more was never measured.
    ///
    /// # Errors
    /// [`SearchError::TargetRecall`], [`SearchError::NotCalibrated`].
    pub fn effort(&self, k: usize, recall: f32) -> Result<Effort, SearchError> {
        if !(0.0..=1.0).contains(&recall) {
            return Err(SearchError::TargetRecall { found: recall });
        }
        let effort = self.calibration().and_then(|measured| measured.effort(k, recall));
        effort.ok_or(SearchError::NotCalibrated)
    }

    /// The parameters with an effort in place of a recall.
    fn resolved(&self, params: &SearchParams) -> Result<SearchParams, SearchError> {
        let Some(recall) = params.target_recall else { return Ok(*params) };
        if params.ef.is_some() || params.slack.is_some() || params.rerank.is_some() {
            return Err(SearchError::EffortTwice);
        }
        let Effort { ef, slack, rerank, .. } = self.effort(params.k, recall)?;
        let (ef, rerank) = (Some(ef), Some(rerank));
        Ok(SearchParams { ef, slack, rerank, target_recall: None, ..*params })
    }

    /// The items that pass a filter. Cost: a pass over a bit for each item and part of the filter;
    /// in an index that was built before columns had indexes, a look at every item's values. Each
    /// attribute is validated on first use.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn filter(&self, filter: &Expression) -> Result<NodeSet, FilterError> {
        Ok(filter.bind(&self.segment)?.select())
    }

    /// [`Index::filter`], kept for those who ask again, in the same words or in others (see
    /// [`Expression::canonical`]). Cost: about a microsecond if it is kept.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn passing(&self, filter: &Expression) -> Result<Arc<NodeSet>, FilterError> {
        self.filters.passing(filter, &self.segment)
    }

    /// The items that pass a filter, by [`Index::passing`], and are not excluded; ids of no item exclude
    /// nothing.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn restriction(
        &self,
        filter: Option<&Expression>,
        exclude: &[ItemId],
    ) -> Result<Restriction, FilterError> {
        let passing = filter.map(|filter| self.passing(filter)).transpose()?;
        let mut excluded = Vec::new();
        self.nodes_of(exclude, &mut excluded);
        Ok(Restriction { passing, excluded })
    }

    /// How well [`Index::passing`] could use what was kept.
    pub fn filter_cache(&self) -> FilterCacheStatistics {
        self.filters.statistics()
    }

    /// Empties the cache of [`Index::passing`] and gives it another size.
    pub fn set_filter_cache_bytes(&mut self, bytes: u64) {
        self.filters = FilterCache::new(bytes, self.info.n);
    }

    /// Appends the nodes that hold `items`, in that order, as for a list of items to leave out; ids
    /// of no item are passed over.
    pub fn nodes_of(&self, items: &[ItemId], nodes: &mut Vec<NodeId>) {
        self.segment.nodes_of(items, nodes);
    }

    /// What the work of a search among some items takes here. Measured when first asked for, which the
    /// first such search does: see [`search::costs::measure`].
    pub fn costs(&self) -> &Costs {
        let measure = || search::costs::measure(&self.segment.target(), &mut Default::default());
        self.costs.get_or_init(measure)
    }

    /// [`Index::search`] among some items: exactly `min(k, M)` of them, unless the deadline passes,
    /// where M pass the filter and are not excluded. The way that is estimated to be the fastest is
    /// taken; [`Scratch::planned`] says what was estimated.
    ///
    /// ```no_run
    /// # use vicinage::index::{Among, Expression, Index, LoadMode, Scratch, SearchParams};
    /// # let index = Index::open("jobs".as_ref(), LoadMode::Mmap)?;
    /// # let (query, mut scratch, mut hits) = (vec![0.1; 64], Scratch::default(), Vec::new());
    /// let english = Expression::from_json(r#"{"eq": {"language": "eng"}}"#)?;
    /// let passing = index.filter(&english)?;
    /// let among = Among { passing: Some(&passing), excluded: &[] };
    /// let top = SearchParams::top(10);
    /// let account = index.search_among(&mut scratch, &query, &top, &among, &mut hits)?;
    /// assert_eq!(hits.len() as u64, account.matches.min(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`SearchError`]; `hits` is then empty.
    ///
    /// # Panics
    /// If a node is none of this index.
    pub fn search_among(
        &self,
        scratch: &mut Scratch,
        vector: &[f32],
        params: &SearchParams,
        among: &Among<'_>,
        hits: &mut Vec<Hit>,
    ) -> Result<Account, SearchError> {
        hits.clear();
        let Scratch { search, found, .. } = scratch;
        let target = self.segment.target();
        let params = self.resolved(params)?;
        let how = (among, self.costs());
        let account = search::search_among(&target, search, vector, &params, how, found)?;
        self.give(found, hits);
        Ok(account)
    }

    fn give(&self, found: &[Neighbor], hits: &mut Vec<Hit>) {
        let (ids, metric) = (self.segment.item_ids(), self.info.metric);
        hits.extend(found.iter().map(|neighbor| Hit {
            item_id: ids[neighbor.node.index()],
            score: metric.score(neighbor.distance),
            node: neighbor.node,
        }));
    }

    /// Replaces the contents of `scores` by the exact scores of `nodes`, in that order. Cost: one
    /// distance a node.
    ///
    /// # Errors
    /// See [`SearchError`]; `scores` is then left alone.
    ///
    /// # Panics
    /// If a node is none of this index.
    pub fn scores(
        &self,
        vector: &[f32],
        nodes: &[NodeId],
        scores: &mut Vec<f32>,
    ) -> Result<(), SearchError> {
        let target = self.segment.target();
        search::distances(&target, vector, nodes, scores)?;
        scores.iter_mut().for_each(|value| *value = target.metric.score(*value));
        Ok(())
    }

    /// The node that holds an item.
    pub fn find(&self, item: ItemId) -> Option<NodeId> {
        self.segment.find(item)
    }

    /// The caller's id of a node.
    pub fn item_id(&self, node: NodeId) -> ItemId {
        self.segment.item_id(node)
    }

    /// Replaces the contents of `vector` by the stored vector of a node.
    pub fn vector(&self, node: NodeId, vector: &mut Vec<f32>) {
        self.segment.vectors().widen(node, vector);
    }

    /// The column of an attribute.
    pub fn attribute(&self, name: &str) -> Option<usize> {
        self.segment.columns().iter().position(|column| column.name == name)
    }

    /// The value of an attribute. A column is validated on first use.
    ///
    /// # Errors
    /// What is wrong with the column's bytes.
    ///
    /// # Panics
    /// If `column` is none of [`Index::attribute`]'s.
    pub fn attribute_value(
        &self,
        column: usize,
        node: NodeId,
    ) -> Result<AttributeValue<'_>, Corruption> {
        self.segment.attribute(column, node)
    }

    fn section_name(&self, entry: &SectionEntry) -> String {
        let column = || self.segment.columns().get(entry.index as usize);
        match (entry.kind(), column()) {
            (
                Some(kind @ (SectionKind::Column | SectionKind::Postings | SectionKind::Sorted)),
                Some(column),
            ) => format!("{} {}", kind.name(), column.name),
            (Some(kind), _) => kind.name().to_owned(),
            (None, _) => format!("unknown kind {}", entry.code),
        }
    }

    /// Looks at every list of the base layer.
    pub fn inspect(&self) -> Inspection {
        let graph = self.segment.graph();
        let mut degrees = vec![0; graph.longest() + 1];
        for node in (0..graph.len() as u32).map(NodeId) {
            degrees[graph.all_neighbors(node).count()] += 1;
        }
        let sections = self.segment.file().sections().iter().map(|entry| SectionInfo {
            name: self.section_name(entry),
            offset: entry.offset,
            bytes: entry.length,
        });
        let sections = sections.collect();
        Inspection { sections, degrees, unreachable: self.segment.unreachable() }
    }
}

/// What [`verify`] read and found.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// The current generation.
    pub generation: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is not as it was written.
    pub damage: Vec<Corruption>,
}

/// Reads every byte of the current generation and compares checksums; `deep` also checks what the
/// bytes mean: the id lookup finds every item, scales are finite, every column decodes and its index
/// agrees with it, and as many nodes are unreachable as the meta section says.
///
/// # Errors
/// Damage that keeps the index from being opened at all.
pub fn verify(dir: &Path, deep: bool, progress: &dyn Progress) -> Result<VerifyReport, OpenError> {
    let index = Index::open(dir, LoadMode::Mmap)?;
    let file = index.segment.file();
    progress.begin(Stage::Verify, Some(file.length()), "bytes");
    let mut damage = file.verify(&mut |bytes| progress.advance(bytes));
    progress.end(Stage::Verify);
    if deep {
        damage.extend(check_meaning(&index.segment));
    }
    Ok(VerifyReport { generation: index.info.generation, bytes: file.length(), damage })
}

fn check_meaning(segment: &Segment) -> Vec<Corruption> {
    let (file, ids) = (segment.file(), segment.item_ids());
    let mut damage = Vec::new();
    for (at, pair) in segment.lookup().windows(2).enumerate() {
        let [a, b] = [ids[pair[0].index()], ids[pair[1].index()]];
        if a >= b {
            let (at, found) = ((at as u64 + 1) * 4, format!("{a} before {b}"));
            let expected = "item ids that rise";
            damage.push(file.corruption(SectionKind::IdLookup, 0, at, expected, found));
            break;
        }
    }
    damage.extend(segment.check_scales().err());
    for column in 0..segment.columns().len() {
        damage.extend(segment.check_column_index(column).err());
    }
    let (stated, found) = (segment.meta().statistics.unreachable, segment.unreachable());
    if stated != found {
        let (expected, found) = (format!("{stated} unreachable nodes"), found.to_string());
        damage.push(file.corruption(SectionKind::Graph, 0, 0, expected, found));
    }
    damage
}
