//! One immutable segment: written whole, validated once, searched straight from its bytes.

use std::sync::OnceLock;

use crate::error::{Corruption, FileError};
use crate::filters::columns::{AttributeValue, ColumnLayout, ColumnSchema, ColumnView};
use crate::filters::evaluate::Table;
use crate::filters::indexes::{self, ColumnIndex, IndexLayout};
use crate::filters::lookup::IdLookup;
use crate::format::{
    FileLayer, Geometry, OpenError, SectionKind, SectionWriter, SegmentDigest, SegmentFile,
    SegmentWriter,
};
use crate::graph::adjacency::Adjacency;
use crate::graph::attach::reachable;
use crate::graph::entry_points::{EntryPointsLayout, OwnedEntryPoints};
use crate::graph::levels::{LevelsLayout, MAX_DEGREE};
use crate::graph::overflow::{EdgeLists, OverflowLayout, OwnedOverflow};
use crate::graph::{Graph, MAX_NODES, order};
use crate::quantizers::{CodeBounds, CodeKind, CodeLayout, CodeTerms, Codes};
use crate::search::Target;
use crate::segments::calibration::Calibration;
use crate::segments::meta::Meta;
use crate::segments::repair::Repair;
use crate::segments::space::Space;
use crate::types::{ItemId, Metric, NodeId, UnknownName};
use crate::vectors::Vectors;

/// What a segment file is written from, but for the vectors and columns. All is in build order; `order`
/// says which item goes where: `order[stored] = built`.
#[derive(Debug)]
pub struct SegmentParts<'a> {
    /// The meta section.
    pub meta: &'a Meta,
    /// The graph.
    pub graph: &'a Graph,
    /// Stored order.
    pub order: &'a [NodeId],
    /// `[n]` scales for cosine, else empty.
    pub scales: &'a [f32],
    /// What searches read in place of the vectors, if there is that; as the meta section has it.
    pub codes: Option<Codes<'a>>,
    /// The model that the vectors are of, if that was said.
    pub space: Option<&'a Space>,
    /// What effort reaches which recall, if that was measured.
    pub calibration: Option<&'a Calibration>,
    /// Where searches begin, unless they go down the upper layers.
    pub entry_points: Option<&'a OwnedEntryPoints>,
    /// What was learned from queries, if anything was.
    pub learned: Option<LearnedParts<'a>>,
    /// `[n]` item ids.
    pub ids: &'a [ItemId],
}

/// What was learned from queries.
#[derive(Clone, Copy, Debug)]
pub struct LearnedParts<'a> {
    /// Edges that they miss.
    pub edges: &'a EdgeLists,
    /// What it brought.
    pub record: &'a Repair,
}

/// What ends a segment file.
#[derive(Debug)]
pub struct VectorParts<'a> {
    /// n, dim, metric, element type, seed.
    pub geometry: Geometry,
    /// The vectors, in build order.
    pub vectors: Vectors<'a>,
    /// Stored order: that of the first half.
    pub order: &'a [NodeId],
    /// Where the vectors lie in a mapped file: it is read in order, and each time this many bytes of what
    /// is to be written are gathered. Row by row, each would be a read of a page at a random place.
    pub gathered_bytes: Option<usize>,
    /// The bytes of each column section, in the order of the schema, rows in stored order.
    pub columns: &'a [Vec<u8>],
    /// The schema, for a file with an index of each column; `None` for one without.
    pub indexed: Option<&'a [ColumnSchema]>,
}

/// Why a segment cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteSegmentError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record does not fit its format.
    #[error("a record cannot be encoded: {0}")]
    Meta(#[from] wincode::WriteError),
}

/// A segment file without its vectors and columns. In two halves, so that graph and codes can be
/// dropped before vectors that lie on disk are gathered in their memory.
#[derive(Debug)]
#[must_use = "a file without a header until it is finished"]
pub struct BegunSegment(SegmentWriter);

/// Writes the first half of a segment file.
///
/// # Errors
/// What the system said, or a record that does not fit its format.
pub fn begin_segment(
    layer: &dyn FileLayer,
    path: &std::path::Path,
    parts: &SegmentParts<'_>,
) -> Result<BegunSegment, WriteSegmentError> {
    let mut writer = SegmentWriter::create(layer, path)?;
    writer.begin_section(SectionKind::Meta, 0)?.write(&parts.meta.encode()?)?;
    if let Some(space) = parts.space {
        writer.begin_section(SectionKind::Space, 0)?.write(&space.encode())?;
    }
    if let Some(calibration) = parts.calibration {
        writer.begin_section(SectionKind::Calibration, 0)?.write(&calibration.encode()?)?;
    }

    let (renamed, mut levels) = (order::positions(parts.order), parts.graph.levels.clone());
    levels.rename(&renamed);
    write_queries(parts.entry_points, parts.learned.as_ref(), &renamed, &mut writer)?;
    writer.begin_section(SectionKind::Levels, 0)?.write_slice(&levels.words())?;
    let mut section = writer.begin_section(SectionKind::Graph, 0)?;
    let mut list = Vec::with_capacity(parts.graph.max_degree);
    for built in parts.order {
        list.clear();
        list.extend(parts.graph.list(*built).iter().map(|node| renamed[node.index()]));
        section.write_slice(&list)?;
    }

    if let Some(codes) = parts.codes {
        writer.begin_section(SectionKind::CodeCenter, 0)?.write_slice(codes.center())?;
        let mut section = writer.begin_section(SectionKind::Codes, 0)?;
        for built in parts.order {
            section.write(codes.row(*built))?;
        }
        let terms: Vec<CodeTerms> = parts.order.iter().map(|b| codes.terms(*b)).collect();
        writer.begin_section(SectionKind::CodeTerms, 0)?.write_slice(&terms)?;
    }
    if !parts.scales.is_empty() {
        let scales: Vec<f32> = parts.order.iter().map(|b| parts.scales[b.index()]).collect();
        writer.begin_section(SectionKind::VectorScales, 0)?.write_slice(&scales)?;
    }
    write_ids(parts, &mut writer)?;
    Ok(BegunSegment(writer))
}

/// Writes where searches begin and what was learned from queries, each node `v` as `renamed[v]`.
///
/// # Errors
/// What the system said, or a record that does not fit its format.
pub fn write_queries(
    entry_points: Option<&OwnedEntryPoints>,
    learned: Option<&LearnedParts<'_>>,
    renamed: &[NodeId],
    writer: &mut SegmentWriter,
) -> Result<(), WriteSegmentError> {
    let rename = |nodes: &[NodeId]| nodes.iter().map(|node| renamed[node.index()]).collect();
    if let Some(learned) = learned {
        writer.begin_section(SectionKind::Repair, 0)?.write(&learned.record.encode()?)?;
    }
    if let Some(points) = entry_points {
        let points = OwnedEntryPoints { nodes: rename(&points.nodes), ..points.clone() };
        writer.begin_section(SectionKind::EntryPoints, 0)?.write_slice(&points.words())?;
    }
    if let Some(learned) = learned.filter(|learned| !learned.edges.is_empty()) {
        let lists = learned.edges.iter().map(|(node, list)| (renamed[node.index()], rename(list)));
        let mut lists: EdgeLists = lists.collect();
        lists.sort_unstable();
        let overflow = OwnedOverflow::new(renamed.len(), &lists);
        writer.begin_section(SectionKind::Overflow, 0)?.write(&overflow.section())?;
    }
    Ok(())
}

impl BegunSegment {
    /// Writes the second half. `wrote` is told the bytes of vectors as they go.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(
        mut self,
        parts: &VectorParts<'_>,
        wrote: &mut dyn FnMut(u64),
    ) -> Result<SegmentDigest, FileError> {
        let mut section = self.0.begin_section(SectionKind::Vectors, 0)?;
        if let Some(bytes) = parts.gathered_bytes {
            write_in_passes(parts, bytes, &mut section, wrote)?;
        } else {
            for built in parts.order {
                let row = parts.vectors.row_bytes(*built);
                section.write(row)?;
                wrote(row.len() as u64);
            }
        }
        for (index, column) in (0..).zip(parts.columns) {
            self.0.begin_section(SectionKind::Column, index)?.write(column)?;
        }
        let schema = parts.indexed.unwrap_or_default();
        for (index, (column, schema)) in (0..).zip(parts.columns.iter().zip(schema)) {
            // One at a time: what it takes is free again when the next one is made. A column that
            // cannot be read is found when the new file is verified.
            let view = ColumnView::parse(column, schema, parts.geometry.n).ok();
            if let Some((kind, bytes)) = view.and_then(|view| indexes::build(&view)) {
                self.0.begin_section(kind, index)?.write(&bytes)?;
            }
        }
        self.0.finish(parts.geometry)
    }
}

/// Item ids in stored order, and nodes by id.
fn write_ids(parts: &SegmentParts<'_>, writer: &mut SegmentWriter) -> Result<(), FileError> {
    let ids: Vec<ItemId> = parts.order.iter().map(|built| parts.ids[built.index()]).collect();
    writer.begin_section(SectionKind::ItemIds, 0)?.write_slice(&ids)?;
    let mut lookup: Vec<NodeId> = (0..ids.len() as u32).map(NodeId).collect();
    lookup.sort_unstable_by_key(|node| ids[node.index()]);
    writer.begin_section(SectionKind::IdLookup, 0)?.write_slice(&lookup)
}

/// Writes vectors in stored order, reading them in build order: each pass gathers the next
/// `gathered_bytes` of what is written, at least a row.
fn write_in_passes(
    parts: &VectorParts<'_>,
    gathered_bytes: usize,
    section: &mut SectionWriter<'_>,
    wrote: &mut dyn FnMut(u64),
) -> Result<(), FileError> {
    let (vectors, renamed) = (parts.vectors, order::positions(parts.order));
    let (n, bytes) = (vectors.len(), vectors.row_bytes(NodeId(0)).len());
    let rows = (gathered_bytes / bytes).clamp(1, n);
    let mut gathered = vec![0; rows * bytes];
    for first in (0..n).step_by(rows) {
        let stored = first..(first + rows).min(n);
        for (built, at) in (0..).map(NodeId).zip(&renamed) {
            if stored.contains(&at.index()) {
                let row = &mut gathered[(at.index() - first) * bytes..][..bytes];
                row.copy_from_slice(vectors.row_bytes(built));
            }
        }
        let gathered = &gathered[..stored.len() * bytes];
        section.write(gathered)?;
        wrote(gathered.len() as u64);
    }
    Ok(())
}

/// One immutable graph file, validated and ready to search.
#[derive(Debug)]
pub struct Segment {
    file: SegmentFile,
    meta: Meta,
    space: Option<Space>,
    calibration: Option<Calibration>,
    repair: Option<Repair>,
    n: usize,
    dim: usize,
    levels: LevelsLayout,
    overflow: Option<OverflowLayout>,
    entry_points: Option<EntryPointsLayout>,
    /// How code rows lie, and what none of them exceeds.
    codes: Option<(CodeLayout, CodeBounds)>,
    /// Validated on first use; what was wrong is remembered too.
    columns: Vec<OnceLock<Result<ColumnLayout, Corruption>>>,
    /// Likewise, of those columns that have an index.
    indexes: Vec<OnceLock<Result<Option<IndexLayout>, Corruption>>>,
}

impl Segment {
    /// Checks everything that a search relies on: sizes, and every id of graph, levels and lookup
    /// in range. Cost: one pass over those sections at memory speed; vectors are not touched.
    pub fn open(file: SegmentFile) -> Result<Self, OpenError> {
        let geometry = *file.geometry();
        let (n, dim) = (geometry.n as usize, geometry.dim as usize);
        if n == 0 || n > MAX_NODES {
            let expected = format!("1 to {MAX_NODES} items");
            return Err(file.corruption(SectionKind::Graph, 0, 0, expected, n.to_string()).into());
        }
        let meta = read_meta(&file)?;
        let space = read_space(&file)?;
        let calibration = read_calibration(&file)?;
        let degree = meta.build.max_degree as usize;
        check_graph(&file, n, degree)?;
        let levels = read_levels(&file, n)?;
        let repair = read_repair(&file)?;
        let overflow = read_overflow(&file, n)?;
        let entry_points = read_entry_points(&file, n, dim)?;
        let codes = check_codes(&file, &meta, n, dim)?;
        let row_bytes = dim * geometry.element.bytes();
        file.section_as::<u8>(SectionKind::Vectors, 0, n.saturating_mul(row_bytes))?;
        // Also where the metric needs none: `target` hands out what is there.
        let scales = file.section(SectionKind::VectorScales, 0).is_some();
        if scales || geometry.metric == Metric::Cosine {
            file.section_as::<f32>(SectionKind::VectorScales, 0, n)?;
        }
        file.section_as::<ItemId>(SectionKind::ItemIds, 0, n)?;
        check_lookup(&file, n)?;
        let columns = meta.columns.iter().map(|_| OnceLock::new()).collect();
        let indexes = meta.columns.iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            file,
            meta,
            space,
            calibration,
            repair,
            n,
            dim,
            levels,
            overflow,
            entry_points,
            codes,
            columns,
            indexes,
        })
    }

    /// The file behind it.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }

    /// Schema, build parameters, statistics.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The model that the vectors are of, if that was said.
    pub fn space(&self) -> Option<&Space> {
        self.space.as_ref()
    }

    /// What effort reaches which recall, if that was measured.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// What was learned from queries, if anything was.
    pub fn repair(&self) -> Option<&Repair> {
        self.repair.as_ref()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none; a segment always has some.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// What a search reads.
    pub fn target(&self) -> Target<'_> {
        Target {
            vectors: self.vectors(),
            metric: self.file.geometry().metric,
            scales: self.typed(SectionKind::VectorScales),
            codes: self.codes.map(|(layout, bounds)| {
                let (rows, terms) =
                    (self.typed(SectionKind::Codes), self.typed(SectionKind::CodeTerms));
                let center = self.typed(SectionKind::CodeCenter);
                Codes::new(rows, terms, layout, center, bounds)
            }),
            graph: self.graph(),
            levels: (self.typed(SectionKind::Levels), &self.levels),
            entry_points: self
                .entry_points
                .map(|layout| layout.view(self.typed(SectionKind::EntryPoints))),
        }
    }

    /// `[n, dim]` as stored.
    pub fn vectors(&self) -> Vectors<'_> {
        let bytes = self.typed(SectionKind::Vectors);
        Vectors { bytes, element: self.file.geometry().element, dim: self.dim }
    }

    /// The base layer.
    pub fn graph(&self) -> Adjacency<'_> {
        let degree = self.meta.build.max_degree as usize;
        let lists = Adjacency::new(self.typed(SectionKind::Graph), degree);
        let overflow = self.overflow.map(|layout| layout.view(self.typed(SectionKind::Overflow)));
        lists.with_overflow(overflow.unwrap_or_default())
    }

    /// Nodes per layer, base first.
    pub fn layer_sizes(&self) -> Vec<u64> {
        let upper = self.levels.sizes().map(|size| size as u64);
        std::iter::once(self.n as u64).chain(upper).collect()
    }

    /// How many nodes the entry point cannot reach. Cost: a walk over the base layer.
    pub fn unreachable(&self) -> u64 {
        let words: &[NodeId] = self.typed(SectionKind::Levels);
        let (mut layers, slot) = self.levels.top_down(words);
        let entry = layers.next().map_or(slot, |top| top.nodes[slot.index()]);
        (self.n - reachable(self.graph(), entry).len()) as u64
    }

    /// The caller's id of a node.
    pub fn item_id(&self, node: NodeId) -> ItemId {
        self.item_ids()[node.index()]
    }

    /// Item ids in stored order.
    pub fn item_ids(&self) -> &[ItemId] {
        self.typed(SectionKind::ItemIds)
    }

    /// Nodes sorted by item id.
    pub fn lookup(&self) -> &[NodeId] {
        self.typed(SectionKind::IdLookup)
    }

    /// The node that holds an item. Cost: a few guesses, at most a binary search.
    pub fn find(&self, item: ItemId) -> Option<NodeId> {
        self.id_lookup().find(item)
    }

    /// Appends the nodes that hold `items`, which may be in any order; items that are not there are
    /// passed over. Cost: about 20 ns an item where ids are nearly consecutive.
    pub fn nodes_of(&self, items: &[ItemId], nodes: &mut Vec<NodeId>) {
        self.id_lookup().find_all(items, nodes);
    }

    fn id_lookup(&self) -> IdLookup<'_> {
        IdLookup::new(self.item_ids(), self.lookup())
    }

    /// An attribute column, validated when first asked for.
    ///
    /// # Errors
    /// What is wrong with the column's bytes, each time it is asked for.
    ///
    /// # Panics
    /// If `column` is not below the number of columns.
    pub fn column(&self, column: usize) -> Result<ColumnView<'_>, Corruption> {
        let (index, schema) = (column as u32, &self.meta.columns[column]);
        let open = || ColumnView::open(&self.file, index, schema).map(|view| view.layout().clone());
        let layout = self.columns[column].get_or_init(open).as_ref().map_err(Clone::clone)?;
        let bytes = self.file.section(SectionKind::Column, index).unwrap_or_default();
        Ok(layout.view(bytes))
    }

    /// What makes a column fast to filter by, if the file has that; validated when first asked for.
    ///
    /// # Errors
    /// What is wrong with the bytes of the column or the index, each time it is asked for.
    ///
    /// # Panics
    /// If `column` is not below the number of columns.
    pub fn column_index(&self, column: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        let index = column as u32;
        let open = || {
            let found = ColumnIndex::open(&self.file, index, &self.column(column)?)?;
            Ok(found.map(|found| found.layout()))
        };
        let layout = self.indexes[column].get_or_init(open).as_ref().map_err(Clone::clone)?;
        Ok(layout.map(|layout| {
            layout.view(self.file.section(layout.section(), index).unwrap_or_default())
        }))
    }

    /// Holds the index of a column against its values. Cost: a look at each value.
    ///
    /// # Errors
    /// As [`Segment::column_index`], or the first difference.
    pub fn check_column_index(&self, column: usize) -> Result<(), Corruption> {
        let Some(index) = self.column_index(column)? else { return Ok(()) };
        index.compare(&self.column(column)?).map_err(|damage| {
            let kind = index.layout().section();
            self.file.corruption(kind, column as u32, damage.offset, damage.expected, damage.found)
        })
    }

    /// The schema of the attribute columns.
    pub fn columns(&self) -> &[ColumnSchema] {
        &self.meta.columns
    }

    /// The value of an attribute.
    ///
    /// # Errors
    /// As [`Segment::column`].
    pub fn attribute(&self, column: usize, node: NodeId) -> Result<AttributeValue<'_>, Corruption> {
        Ok(self.column(column)?.value(node))
    }

    /// Looks for a scale that is no finite number. Cost: a pass over the scales.
    pub fn check_scales(&self) -> Result<(), Corruption> {
        let kind = SectionKind::VectorScales;
        check_finite(&self.file, kind, self.typed(kind))
    }

    /// A section whose length was checked when the segment was opened; empty where it has none.
    fn typed<T: bytemuck::AnyBitPattern>(&self, kind: SectionKind) -> &[T] {
        self.file.section(kind, 0).map_or(&[], bytemuck::cast_slice)
    }
}

impl Table for Segment {
    fn schema(&self) -> &[ColumnSchema] {
        self.columns()
    }

    fn column(&self, at: usize) -> Result<ColumnView<'_>, Corruption> {
        Segment::column(self, at)
    }

    fn item_ids(&self) -> &[ItemId] {
        Segment::item_ids(self)
    }

    fn column_index(&self, at: usize) -> Result<Option<ColumnIndex<'_>>, Corruption> {
        Segment::column_index(self, at)
    }

    fn id_lookup(&self) -> Option<IdLookup<'_>> {
        Some(Segment::id_lookup(self))
    }
}

fn read_meta(file: &SegmentFile) -> Result<Meta, Corruption> {
    let Some(bytes) = file.section(SectionKind::Meta, 0) else {
        return Err(file.missing(SectionKind::Meta, 0));
    };
    let corrupt = |expected: &str, found| file.corruption(SectionKind::Meta, 0, 0, expected, found);
    let meta = Meta::decode(bytes, file.header().format)
        .map_err(|found| corrupt("a meta record", found))?;
    let degree = meta.build.max_degree as usize;
    if degree == 0 || degree > MAX_DEGREE {
        let expected = format!("a max_degree of 1 to {MAX_DEGREE}");
        return Err(corrupt(&expected, degree.to_string()));
    }
    Ok(meta)
}

fn read_space(file: &SegmentFile) -> Result<Option<Space>, Corruption> {
    let kind = SectionKind::Space;
    let Some(bytes) = file.section(kind, 0) else { return Ok(None) };
    let corrupt = |found| file.corruption(kind, 0, 0, "the space of the vectors", found);
    let space = Space::decode(bytes).map_err(corrupt)?;
    let geometry = file.geometry();
    match space.check(geometry.dim as usize, geometry.metric) {
        Ok(()) => Ok(Some(space)),
        Err(error) => Err(corrupt(error.to_string())),
    }
}

fn read_calibration(file: &SegmentFile) -> Result<Option<Calibration>, Corruption> {
    let kind = SectionKind::Calibration;
    let corrupt = |found| file.corruption(kind, 0, 0, "a calibration record", found);
    file.section(kind, 0).map(Calibration::decode).transpose().map_err(corrupt)
}

/// Checks that code rows, their terms and their center are as long as the meta section says, and
/// terms and center finite: of the terms the largest is wanted anyway. Rows are not read: whatever
/// they are, they are numbers.
fn check_codes(
    file: &SegmentFile,
    meta: &Meta,
    n: usize,
    dim: usize,
) -> Result<Option<(CodeLayout, CodeBounds)>, Corruption> {
    let Some(record) = &meta.codes else { return Ok(None) };
    let corrupt =
        |expected: String, found: String| file.corruption(SectionKind::Meta, 0, 0, expected, found);
    let kind: CodeKind = record.kind.parse().map_err(|error: UnknownName| {
        corrupt(format!("a kind of codes among {}", error.expected), error.found)
    })?;
    let layout = CodeLayout::with_stride(kind, dim, record.stride as usize).map_err(|least| {
        let expected = format!("a stride of {kind} codes, from {least}");
        corrupt(expected, record.stride.to_string())
    })?;
    file.section_as::<u8>(SectionKind::Codes, 0, n.saturating_mul(layout.stride()))?;
    let terms = file.section_as::<CodeTerms>(SectionKind::CodeTerms, 0, n)?;
    let center = file.section_as::<f32>(SectionKind::CodeCenter, 0, dim)?;
    check_finite(file, SectionKind::CodeTerms, bytemuck::cast_slice(terms))?;
    check_finite(file, SectionKind::CodeCenter, center)?;
    Ok(Some((layout, CodeBounds::of(terms, center))))
}

/// Checks the numbers of a section.
fn check_finite(file: &SegmentFile, kind: SectionKind, values: &[f32]) -> Result<(), Corruption> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (expected, found) = ("a finite number".to_owned(), values[at].to_string());
            Err(file.corruption(kind, 0, at as u64 * 4, expected, found))
        }
    }
}

fn check_graph(file: &SegmentFile, n: usize, degree: usize) -> Result<(), Corruption> {
    let slots = file.section_as::<NodeId>(SectionKind::Graph, 0, n.saturating_mul(degree))?;
    Adjacency::new(slots, degree).check().map_err(|slot| {
        let (expected, at) = (format!("a node below {n}"), slot.position as u64 * 4);
        file.corruption(SectionKind::Graph, 0, at, expected, slot.found.to_string())
    })
}

fn read_levels(file: &SegmentFile, n: usize) -> Result<LevelsLayout, Corruption> {
    let length = file.section(SectionKind::Levels, 0).map_or(0, <[u8]>::len);
    let words = file.section_as::<NodeId>(SectionKind::Levels, 0, length / 4)?;
    LevelsLayout::parse(words, n).map_err(|bad| {
        file.corruption(SectionKind::Levels, 0, bad.word as u64 * 4, bad.expected, bad.found)
    })
}

fn read_overflow(file: &SegmentFile, n: usize) -> Result<Option<OverflowLayout>, Corruption> {
    let kind = SectionKind::Overflow;
    let Some(bytes) = file.section(kind, 0) else { return Ok(None) };
    OverflowLayout::parse(bytes, n)
        .map(Some)
        .map_err(|bad| file.corruption(kind, 0, bad.offset as u64, bad.expected, bad.found))
}

fn read_entry_points(
    file: &SegmentFile,
    n: usize,
    dim: usize,
) -> Result<Option<EntryPointsLayout>, Corruption> {
    let kind = SectionKind::EntryPoints;
    let Some(bytes) = file.section(kind, 0) else { return Ok(None) };
    let words = file.section_as::<u32>(kind, 0, bytes.len() / 4)?;
    EntryPointsLayout::parse(words, n, dim)
        .map(Some)
        .map_err(|bad| file.corruption(kind, 0, bad.word as u64 * 4, bad.expected, bad.found))
}

fn read_repair(file: &SegmentFile) -> Result<Option<Repair>, Corruption> {
    let Some(bytes) = file.section(SectionKind::Repair, 0) else { return Ok(None) };
    let corrupt = |found| {
        let expected = "a record of what was learned".to_owned();
        file.corruption(SectionKind::Repair, 0, 0, expected, found)
    };
    Repair::decode(bytes).map(Some).map_err(corrupt)
}

fn check_lookup(file: &SegmentFile, n: usize) -> Result<(), Corruption> {
    let lookup = file.section_as::<NodeId>(SectionKind::IdLookup, 0, n)?;
    match lookup.iter().position(|node| node.index() >= n) {
        None => Ok(()),
        Some(at) => {
            let (expected, found) = (format!("a node below {n}"), lookup[at].0.to_string());
            Err(file.corruption(SectionKind::IdLookup, 0, at as u64 * 4, expected, found))
        }
    }
}
