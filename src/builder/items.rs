//! The read stage: every vector checked and stored, every id unique, attributes in columns.

use std::path::{Path, PathBuf};

use crate::builder::error::LARGEST_SQUARE;
use crate::builder::{BuildError, BuildParams, ItemBatch, ItemSource, check_rows};
use crate::error::FileError;
use crate::filters::columns::{ColumnBuilder, ColumnSchema};
use crate::format::{Access, FileLayer, LayerFile, LoadMode, Mapping};
use crate::kernels::Element;
use crate::progress::Progress;
use crate::segments::space::{Space, UNIT_TOLERANCE};
use crate::types::{ElementType, ItemId, Metric, NodeId};
use crate::vectors::{RowSpace, SpaceForm, VectorBlock, Vectors};
use crate::with_element;

/// All items of a build, in input order.
#[derive(Debug)]
pub(super) struct Items {
    vectors: Store,
    element: ElementType,
    dim: usize,
    metric: Metric,
    ids: Vec<ItemId>,
    columns: Vec<ColumnBuilder>,
    /// `[n]`: for cosine `1 / ‖x‖`; for inner product the extra component that augments each row
    /// to the largest norm (see [`crate::vectors::Form::Augmented`]); empty for L2.
    per_row: Vec<f32>,
    /// The largest squared norm.
    bound: f32,
}

/// Components that are read from a file at a time, to be written in another type.
const SPOOL_PIECE: usize = 1 << 18;

/// Where the vectors are while the graph is built.
#[derive(Debug)]
enum Store {
    Memory(VectorBlock),
    /// A file of the pending generation, mapped: the system may drop its pages at any time.
    Spool(PathBuf, Mapping),
}

impl Items {
    /// Reads everything that `source` has. With `spool`, vectors go to that file.
    pub(super) fn read(
        source: &mut dyn ItemSource,
        params: &BuildParams,
        layer: &dyn FileLayer,
        spool: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<Self, BuildError> {
        let mut reader = Reader::new(source, params, layer, spool)?;
        while let Some(batch) = source.next_batch().map_err(BuildError::Source)? {
            let rows = reader.take(batch)?;
            progress.advance(rows as u64);
            if progress.cancelled() {
                return Err(BuildError::Cancelled);
            }
        }
        reader.finish(layer)
    }

    /// The same, its f32 vectors in a narrower type that holds them.
    fn narrowed(self, element: ElementType, layer: &dyn FileLayer) -> Result<Self, BuildError> {
        let vectors = match self.vectors {
            Store::Memory(block) => Store::Memory(block.into_narrower(element)),
            Store::Spool(path, mapping) => {
                let narrower = path.with_extension(element.name());
                let mut file = layer.create_file(&narrower)?;
                let mut at = 0;
                for piece in bytemuck::cast_slice::<u8, f32>(&mapping).chunks(SPOOL_PIECE) {
                    let block = VectorBlock::F32(piece.to_vec()).convert(element);
                    file.write_at(at, block.bytes())?;
                    at += block.bytes().len() as u64;
                }
                file.seal()?;
                layer.remove_file(&path)?;
                let mapping = Mapping::open(&narrower, LoadMode::Mmap)?;
                Store::Spool(narrower, mapping)
            }
        };
        Ok(Self { vectors, element, ..self })
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn element(&self) -> ElementType {
        self.element
    }

    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    pub(super) fn ids(&self) -> &[ItemId] {
        &self.ids
    }

    pub(super) fn vectors(&self) -> Vectors<'_> {
        let bytes = match &self.vectors {
            Store::Memory(block) => block.bytes(),
            Store::Spool(_, mapping) => mapping,
        };
        Vectors { bytes, element: self.element, dim: self.dim }
    }

    /// `[n]` scales for cosine, else empty.
    pub(super) fn scales(&self) -> &[f32] {
        if self.metric == Metric::Cosine { &self.per_row } else { &[] }
    }

    /// `[n]` components that augment items to the largest norm for inner product, else empty.
    pub(super) fn extras(&self) -> &[f32] {
        if self.metric == Metric::Ip { &self.per_row } else { &[] }
    }

    /// The space of the vectors themselves, in which the reference builder works.
    pub(super) fn space<E: Element>(&self) -> RowSpace<'_, E> {
        let form = match self.metric {
            Metric::L2 => SpaceForm::L2,
            Metric::Cosine => SpaceForm::Cosine(&self.per_row),
            Metric::Ip => SpaceForm::Augmented(self.bound, &self.per_row),
        };
        RowSpace { rows: self.vectors().rows(), form }
    }

    /// The order of insertion. Inner product: descending norm, since large items are near every
    /// query and must be linked when the others come. Else: shuffled, so that a sorted input
    /// builds no worse than another.
    pub(super) fn insert_order(&self, seed: u64) -> Vec<NodeId> {
        let mut order: Vec<NodeId> = (0..self.len() as u32).map(NodeId).collect();
        if self.metric == Metric::Ip {
            // The extra component falls as the norm rises.
            let extra = |node: &NodeId| self.per_row[node.index()];
            order.sort_unstable_by(|a, b| extra(a).total_cmp(&extra(b)).then(a.cmp(b)));
        } else {
            shuffle(&mut order, seed);
        }
        order
    }

    /// Some of the items, in memory, without ids and attributes.
    pub(super) fn sample(&self, nodes: &[NodeId]) -> Self {
        let mut block = VectorBlock::with_capacity(self.element, nodes.len() * self.dim);
        with_element!(self.element, E => {
            let rows = self.vectors().rows::<E>();
            nodes.iter().for_each(|node| block.extend_from_row(rows.row(*node)));
        });
        Self {
            vectors: Store::Memory(block),
            element: self.element,
            dim: self.dim,
            metric: self.metric,
            ids: (0..nodes.len() as u64).collect(),
            columns: Vec::new(),
            per_row: match self.metric {
                Metric::L2 => Vec::new(),
                Metric::Ip | Metric::Cosine => {
                    nodes.iter().map(|node| self.per_row[node.index()]).collect()
                }
            },
            bound: self.bound,
        }
    }

    pub(super) fn schemas(&self) -> Vec<ColumnSchema> {
        self.columns.iter().map(|column| column.schema().clone()).collect()
    }

    /// Memory that the columns take, in bytes.
    pub(super) fn column_bytes(&self) -> usize {
        self.columns.iter().map(ColumnBuilder::bytes).sum()
    }

    /// The bytes of each column section, rows in stored order. The columns are gone after that.
    pub(super) fn finish_columns(&mut self, stored: &[NodeId]) -> Result<Vec<Vec<u8>>, BuildError> {
        let order: &[u32] = bytemuck::cast_slice(stored);
        let columns = std::mem::take(&mut self.columns);
        columns.into_iter().map(|column| Ok(column.finish(order)?)).collect()
    }

    /// Whether vectors lie in a file, which memory may be too small for.
    pub(super) fn on_disk(&self) -> bool {
        matches!(self.vectors, Store::Spool(..))
    }

    /// Says how vectors are read from here on, where that matters.
    pub(super) fn expect(&self, access: Access) {
        if let Store::Spool(_, mapping) = &self.vectors {
            mapping.expect(access);
        }
    }

    /// Removes the spool file, if there is one. What is mapped stays readable.
    pub(super) fn remove_spool(&self, layer: &dyn FileLayer) -> Result<(), FileError> {
        match &self.vectors {
            Store::Memory(_) => Ok(()),
            Store::Spool(path, _) => layer.remove_file(path),
        }
    }
}

/// Fisher–Yates with xorshift64*.
pub(super) fn shuffle<T>(values: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for last in (1..values.len()).rev() {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let random = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        values.swap(last, (random as usize * (last + 1)) >> 32);
    }
}

/// Types narrower than f32 that hold all vectors seen so far exactly, the narrowest first.
#[derive(Debug)]
pub(super) struct Narrower(Vec<ElementType>);

impl Narrower {
    /// None where the type is given, or the vectors come in another than f32: they were narrowed by someone
    /// who knew them.
    pub(super) fn of(source: &dyn ItemSource, params: &BuildParams) -> Self {
        let open = params.element.is_none() && source.element() == ElementType::F32;
        let types = [ElementType::U8, ElementType::I8, ElementType::F16, ElementType::Bf16];
        Self(if open { types.to_vec() } else { Vec::new() })
    }

    pub(super) fn see(&mut self, block: &VectorBlock) {
        self.0.retain(|element| block.fits(*element));
    }

    pub(super) fn narrowest(&self) -> Option<ElementType> {
        self.0.first().copied()
    }
}

/// Items while they come in.
struct Reader {
    items: Items,
    narrower: Narrower,
    /// The source's dimension, rows and columns, to hold batches against.
    rows: usize,
    row: u64,
    has_ids: Option<bool>,
    spool: Option<(PathBuf, Box<dyn LayerFile>, u64)>,
    squares: Vec<f32>,
    /// Whether all norms have to be 1.
    unit: bool,
}

impl Reader {
    fn new(
        source: &dyn ItemSource,
        params: &BuildParams,
        layer: &dyn FileLayer,
        spool: Option<&Path>,
    ) -> Result<Self, BuildError> {
        let rows = check_rows(source.rows())?;
        let element = params.element.unwrap_or(source.element());
        let schema = |(name, kind)| ColumnSchema { name, kind, nullable: true };
        let columns = source.attributes().into_iter().map(schema).map(ColumnBuilder::new);
        let spool = match spool {
            None => None,
            Some(path) => Some((path.to_owned(), layer.create_file(path)?, 0)),
        };
        let in_memory = if spool.is_some() { 0 } else { rows * source.dim() };
        let items = Items {
            vectors: Store::Memory(VectorBlock::with_capacity(element, in_memory)),
            element,
            dim: source.dim(),
            metric: params.metric,
            ids: Vec::with_capacity(rows),
            columns: columns.collect(),
            per_row: Vec::new(),
            bound: 0.0,
        };
        let squares = Vec::with_capacity(if params.metric == Metric::L2 { 0 } else { rows });
        let unit = params.space.as_ref().is_some_and(Space::is_unit);
        let narrower = Narrower::of(source, params);
        Ok(Self { items, narrower, rows, row: 0, has_ids: None, spool, squares, unit })
    }

    /// Takes a batch; how many rows it had.
    fn take(&mut self, batch: ItemBatch) -> Result<usize, BuildError> {
        let rows = self.check_shape(&batch)?;
        let vectors = self.convert(batch.vectors)?;
        self.measure(&vectors)?;
        self.narrower.see(&vectors);
        match batch.ids {
            Some(ids) => self.items.ids.extend(ids),
            None => self.items.ids.extend(self.row..self.row + rows as u64),
        }
        for (column, values) in self.items.columns.iter_mut().zip(&batch.attributes) {
            for row in 0..rows {
                column.push(&values.value(row))?;
            }
        }
        match (&mut self.spool, &mut self.items.vectors) {
            (Some((_, file, at)), _) => {
                file.write_at(*at, vectors.bytes())?;
                *at += vectors.bytes().len() as u64;
            }
            (None, Store::Memory(all)) => all.append(vectors),
            (None, Store::Spool(..)) => {}
        }
        self.row += rows as u64;
        Ok(rows)
    }

    fn check_shape(&mut self, batch: &ItemBatch) -> Result<usize, BuildError> {
        let announced = |expected, found| Err(BuildError::Announced { expected, found });
        let dim = self.items.dim;
        let rows = batch.vectors.len() / dim;
        if batch.vectors.len() != rows * dim {
            let found = format!("{} components", batch.vectors.len());
            return announced(format!("rows of {dim} components"), found);
        }
        if self.row + rows as u64 > self.rows as u64 {
            let found = format!("at least {}", self.row + rows as u64);
            return announced(format!("{} rows", self.rows), found);
        }
        if *self.has_ids.get_or_insert(batch.ids.is_some()) != batch.ids.is_some() {
            let found = "a batch that differs".to_owned();
            return announced("ids in every batch or in none".to_owned(), found);
        }
        let ids = batch.ids.as_ref().map_or(rows, Vec::len);
        let columns = batch.attributes.iter().map(super::ColumnBatch::len);
        if let Some(found) = columns.chain([ids]).find(|found| *found != rows) {
            return announced(format!("{rows} values per column"), found.to_string());
        }
        if batch.attributes.len() != self.items.columns.len() {
            let found = format!("{} columns", batch.attributes.len());
            return announced(format!("{} columns", self.items.columns.len()), found);
        }
        Ok(rows)
    }

    /// The block in the type that is stored, every component finite.
    fn convert(&self, block: VectorBlock) -> Result<VectorBlock, BuildError> {
        let (dim, element) = (self.items.dim, self.items.element);
        let place = |at: usize| (self.row + (at / dim) as u64, at % dim);
        if let Some((at, value)) = block.first_not_finite() {
            let (row, component) = place(at);
            let element = block.element();
            return Err(BuildError::NotFinite { row, component, value, element });
        }
        if block.element() == element {
            return Ok(block);
        }
        let converted = block.convert(element);
        match element {
            ElementType::I8 | ElementType::U8 => match converted.first_difference(&block) {
                None => Ok(converted),
                Some((at, value)) => {
                    let (row, component) = place(at);
                    Err(BuildError::NotIntegral { row, component, value, element })
                }
            },
            ElementType::F32 | ElementType::F16 | ElementType::Bf16 => {
                match converted.first_not_finite() {
                    None => Ok(converted),
                    Some((at, _)) => {
                        let ((row, component), value) = (place(at), block.component(at));
                        Err(BuildError::NotFinite { row, component, value, element })
                    }
                }
            }
        }
    }

    /// Looks at the squared norm of each row, and notes it where the metric needs it.
    fn measure(&mut self, block: &VectorBlock) -> Result<(), BuildError> {
        let first = self.squares.len();
        block.squared_norms(self.items.dim, &mut self.squares);
        let too_large = |square: &f32| *square > LARGEST_SQUARE;
        if let Some(at) = self.squares[first..].iter().position(too_large) {
            return Err(BuildError::TooLarge { row: self.row + at as u64 });
        }
        if self.items.metric == Metric::Cosine
            && let Some(at) = self.squares[first..].iter().position(|square| *square == 0.0)
        {
            return Err(BuildError::ZeroVector { row: self.row + at as u64 });
        }
        // Integers stand for directions scaled up.
        let scaled = matches!(self.items.element, ElementType::I8 | ElementType::U8);
        if self.unit && !scaled {
            self.check_unit(&self.squares[first..])?;
        }
        if self.items.metric == Metric::L2 {
            self.squares.clear();
        }
        Ok(())
    }

    /// Looks for a norm that is not 1.
    fn check_unit(&self, squares: &[f32]) -> Result<(), BuildError> {
        let other = |square: &f32| (square.sqrt() - 1.0).abs() > UNIT_TOLERANCE;
        match squares.iter().position(other) {
            None => Ok(()),
            Some(at) => {
                let (row, norm) = (self.row + at as u64, squares[at].sqrt());
                Err(BuildError::NotUnit { row, norm })
            }
        }
    }

    fn finish(mut self, layer: &dyn FileLayer) -> Result<Items, BuildError> {
        if self.row != self.rows as u64 {
            let (expected, found) = (format!("{} rows", self.rows), format!("{}", self.row));
            return Err(BuildError::Announced { expected, found });
        }
        if self.has_ids == Some(true) {
            check_unique(&self.items.ids)?;
        }
        if let Some((path, file, _)) = self.spool {
            file.seal()?;
            let mapping = Mapping::open(&path, LoadMode::Mmap)?;
            self.items.vectors = Store::Spool(path, mapping);
        }
        if let Some(element) = self.narrower.narrowest() {
            self.items = self.items.narrowed(element, layer)?;
        }
        let bound = self.squares.iter().copied().fold(0.0, f32::max);
        for square in &mut self.squares {
            *square = match self.items.metric {
                Metric::Cosine => 1.0 / square.sqrt(),
                Metric::Ip | Metric::L2 => (bound - *square).max(0.0).sqrt(),
            };
        }
        self.items.per_row = self.squares;
        self.items.bound = bound;
        Ok(self.items)
    }
}

fn check_unique(ids: &[ItemId]) -> Result<(), BuildError> {
    let mut rows: Vec<u32> = (0..ids.len() as u32).collect();
    rows.sort_unstable_by_key(|row| (ids[*row as usize], *row));
    let equal = |pair: &&[u32]| ids[pair[0] as usize] == ids[pair[1] as usize];
    match rows.windows(2).find(equal) {
        None => Ok(()),
        Some(pair) => Err(BuildError::DuplicateId {
            id: ids[pair[0] as usize],
            first_row: u64::from(pair[0]),
            row: u64::from(pair[1]),
        }),
    }
}
