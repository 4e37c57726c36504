//! Stored vectors `[n, dim]`, row-major, and the distance of rows to a query.

use crate::kernels::{Element, Isa, Space};
use crate::types::{ElementType, Metric, NodeId, Scorer, StepScorer};
use crate::with_element;

/// Owned vectors `[rows, dim]`, row-major, in the type that they came in.
#[derive(Clone, Debug)]
pub enum VectorBlock {
    /// See [`ElementType::F32`].
    F32(Vec<f32>),
    /// See [`ElementType::F16`].
    F16(Vec<half::f16>),
    /// See [`ElementType::Bf16`].
    Bf16(Vec<half::bf16>),
    /// See [`ElementType::I8`].
    I8(Vec<i8>),
    /// See [`ElementType::U8`].
    U8(Vec<u8>),
}

macro_rules! each_block {
    ($block:expr, $values:ident => $body:expr) => {
        match $block {
            VectorBlock::F32($values) => $body,
            VectorBlock::F16($values) => $body,
            VectorBlock::Bf16($values) => $body,
            VectorBlock::I8($values) => $body,
            VectorBlock::U8($values) => $body,
        }
    };
}

impl VectorBlock {
    /// An empty block of `element` with room for `components`.
    pub fn with_capacity(element: ElementType, components: usize) -> Self {
        match element {
            ElementType::F32 => Self::F32(Vec::with_capacity(components)),
            ElementType::F16 => Self::F16(Vec::with_capacity(components)),
            ElementType::Bf16 => Self::Bf16(Vec::with_capacity(components)),
            ElementType::I8 => Self::I8(Vec::with_capacity(components)),
            ElementType::U8 => Self::U8(Vec::with_capacity(components)),
        }
    }

    /// The type of the components.
    pub fn element(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F16(_) => ElementType::F16,
            Self::Bf16(_) => ElementType::Bf16,
            Self::I8(_) => ElementType::I8,
            Self::U8(_) => ElementType::U8,
        }
    }

    /// Components held, `rows × dim`.
    pub fn len(&self) -> usize {
        each_block!(self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The components as little-endian bytes, as they lie in a file.
    pub fn bytes(&self) -> &[u8] {
        each_block!(self, values => bytemuck::cast_slice(values))
    }

    /// Position and value of the first component that is NaN or infinite.
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        each_block!(self, values => values
            .iter()
            .position(|value| !value.to_f32().is_finite())
            .map(|at| (at, values[at].to_f32())))
    }
}

fn extend<A: Element, B: Element>(out: &mut Vec<A>, row: &[B]) {
    out.extend(row.iter().map(|value| A::from_f32(value.to_f32())));
}

/// Moves values, the last first, as only the end of a vector can be given back.
fn narrow<A: Element, B: Element>(mut values: Vec<B>, out: &mut Vec<A>) {
    const PIECE: usize = 1 << 20;
    while !values.is_empty() {
        let left = values.len().saturating_sub(PIECE);
        out.extend(values.drain(left..).rev().map(|value| A::from_f32(value.to_f32())));
        values.shrink_to_fit();
    }
    out.reverse();
}

impl VectorBlock {
    /// One component as f32.
    pub fn component(&self, at: usize) -> f32 {
        each_block!(self, values => values[at].to_f32())
    }

    /// The same values in another type; see [`Element::from_f32`] for what does not fit.
    pub fn convert(&self, element: ElementType) -> Self {
        let mut block = Self::with_capacity(element, self.len());
        each_block!(&mut block, out => {
            each_block!(self, values => {
                extend(out, values);
            });
        });
        block
    }

    /// Whether a type holds every component exactly.
    pub fn fits(&self, element: ElementType) -> bool {
        with_element!(element, E => each_block!(self, values => {
            values.iter().all(|value| E::from_f32(value.to_f32()).to_f32() == value.to_f32())
        }))
    }

    /// The same values in another type that they fit. Memory of those that are done is given back on the
    /// way: both are never there whole.
    pub fn into_narrower(self, element: ElementType) -> Self {
        let mut block = Self::with_capacity(element, self.len());
        each_block!(&mut block, out => each_block!(self, values => narrow(values, out)));
        block
    }

    /// Position of the first component that differs in `other`, which has the same length, and its
    /// value there.
    pub fn first_difference(&self, other: &Self) -> Option<(usize, f32)> {
        let differs = |at: &usize| self.component(*at) != other.component(*at);
        (0..self.len()).find(differs).map(|at| (at, other.component(at)))
    }

    /// Appends `Σ x_i²` of each row of `dim` components.
    pub fn squared_norms(&self, dim: usize, squares: &mut Vec<f32>) {
        each_block!(self, values => squares.extend(values.chunks_exact(dim).map(|row| {
            let squares = row.iter().map(|x| f64::from(x.to_f32()) * f64::from(x.to_f32()));
            squares.sum::<f64>() as f32
        })));
    }

    /// Appends the components of another block of the same type; of another type, converted.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::F32(all), Self::F32(mut more)) => all.append(&mut more),
            (Self::F16(all), Self::F16(mut more)) => all.append(&mut more),
            (Self::Bf16(all), Self::Bf16(mut more)) => all.append(&mut more),
            (Self::I8(all), Self::I8(mut more)) => all.append(&mut more),
            (Self::U8(all), Self::U8(mut more)) => all.append(&mut more),
            (all, more) => {
                let more = more.convert(all.element());
                all.append(more);
            }
        }
    }

    /// Some rows of `dim` components, in the order asked for.
    pub fn pick(&self, dim: usize, rows: impl Iterator<Item = usize>) -> Self {
        let mut picked = Self::with_capacity(self.element(), 0);
        each_block!(self, values => {
            rows.for_each(|row| picked.extend_from_row(&values[row * dim..][..dim]));
        });
        picked
    }

    /// Appends one row.
    pub fn extend_from_row<E: Element>(&mut self, row: &[E]) {
        each_block!(self, values => {
            extend(values, row);
        });
    }
}

/// A view of vectors whose element type is known only at run time.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// The components, row-major, aligned for `element`.
    pub bytes: &'a [u8],
    /// The type of one component.
    pub element: ElementType,
    /// Components per row.
    pub dim: usize,
}

impl<'a> Vectors<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / (self.dim * self.element.bytes())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The typed view. `E` must be the element type named; another one panics.
    #[inline(always)]
    pub fn rows<E: Element>(&self) -> Rows<'a, E> {
        assert_eq!(E::TYPE, self.element);
        Rows { components: bytemuck::cast_slice(self.bytes), dim: self.dim }
    }

    /// The bytes of one row.
    pub fn row_bytes(&self, node: NodeId) -> &'a [u8] {
        let stride = self.dim * self.element.bytes();
        &self.bytes[node.index() * stride..][..stride]
    }

    /// Replaces the contents of `out` by row `node` as f32.
    pub fn widen(&self, node: NodeId, out: &mut Vec<f32>) {
        out.clear();
        crate::with_element!(self.element, E => {
            out.extend(self.rows::<E>().row(node).iter().map(|x| x.to_f32()));
        });
    }
}

/// Vectors `[n, dim]` of a known type.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, E> {
    components: &'a [E],
    dim: usize,
}

impl<'a, E: Element> Rows<'a, E> {
    /// Number of rows.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.components.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// Components per row.
    #[inline(always)]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The components of one row.
    #[inline(always)]
    pub fn row(&self, node: NodeId) -> &'a [E] {
        &self.components[node.index() * self.dim..][..self.dim]
    }

    /// Row `node` as f32: itself where the rows are f32, otherwise widened into `buffer`.
    #[inline(always)]
    pub fn row_f32<'b, I: Isa>(&self, isa: I, node: NodeId, buffer: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        let row = self.row(node);
        if E::TYPE == ElementType::F32 {
            return bytemuck::cast_slice(row);
        }
        buffer.resize(row.len(), 0.0);
        isa.widen(row, buffer);
        buffer
    }
}

/// How a kernel's sum becomes a distance. Per-row numbers are indexed by node.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// `Σ (q_i − x_i)²`.
    L2,
    /// `−Σ q_i x_i`.
    Ip,
    /// `1 − query_scale · scales[x] · Σ q_i x_i`, where a scale is `1 / ‖·‖`. Rows stay as given,
    /// since i8 and u8 rows cannot be normalised in their own type and f16 rows would be rounded.
    Cosine {
        /// `1 / ‖q‖`.
        query_scale: f32,
        /// `[n]`, `1 / ‖x‖`.
        scales: &'a [f32],
    },
    /// Half the squared L2 distance of rows that carry one more component
    /// `extras[x] = sqrt(bound − ‖x‖²)`, which gives all of them the norm `sqrt(bound)`:
    /// `bound − Σ q_i x_i − query_extra · extras[x]`. The graph of an inner-product index is built
    /// in this space, where it is a metric (Bachrach et al., RecSys 2014, section 3).
    Augmented {
        /// The largest squared norm of the rows.
        bound: f32,
        /// The extra component of the query row.
        query_extra: f32,
        /// `[n]`, the extra components.
        extras: &'a [f32],
    },
}

/// `1 / ‖v‖` where the metric is cosine, and 1 where norms are left alone. A zero vector, which has
/// no direction, gives infinity.
pub fn query_scale(metric: Metric, vector: &[f32]) -> f32 {
    match metric {
        Metric::L2 | Metric::Ip => 1.0,
        Metric::Cosine => {
            let square: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            (1.0 / square.sqrt()) as f32
        }
    }
}

impl<'a> Form<'a> {
    /// The distance that `metric` asks of queries. `query_scale` and the `[n]` `row_scales` are
    /// read for cosine alone.
    #[inline(always)]
    pub fn of(metric: Metric, query_scale: f32, row_scales: &'a [f32]) -> Self {
        match metric {
            Metric::L2 => Form::L2,
            Metric::Ip => Form::Ip,
            Metric::Cosine => Form::Cosine { query_scale, scales: row_scales },
        }
    }

    /// `1 / ‖q‖` for cosine, else 1.
    pub fn query_scale(&self) -> f32 {
        match self {
            Form::Cosine { query_scale, .. } => *query_scale,
            Form::L2 | Form::Ip | Form::Augmented { .. } => 1.0,
        }
    }

    /// The distance of `node`, from the inner products or squared differences of its row.
    #[inline(always)]
    fn distance(&self, node: NodeId, dot: impl Fn() -> f32, l2: impl Fn() -> f32) -> f32 {
        match *self {
            Form::L2 => l2(),
            Form::Ip => -dot(),
            Form::Cosine { query_scale, scales } => {
                1.0 - query_scale * scales[node.index()] * dot()
            }
            Form::Augmented { bound, query_extra, extras } => {
                bound - dot() - query_extra * extras[node.index()]
            }
        }
    }
}

/// Scores rows against one f32 query.
#[derive(Clone, Copy, Debug)]
pub struct RowScorer<'a, I, E> {
    /// The instruction set.
    pub isa: I,
    /// What is scored.
    pub rows: Rows<'a, E>,
    /// `[dim]`.
    pub query: &'a [f32],
    /// The distance.
    pub form: Form<'a>,
}

impl<I: Isa, E: Element> RowScorer<'_, I, E> {
    /// The distance of one node.
    #[inline(always)]
    pub fn one(&self, node: NodeId) -> f32 {
        let row = self.rows.row(node);
        self.form.distance(node, || self.isa.dot(self.query, row), || self.isa.l2(self.query, row))
    }

    /// The distances of one node to four queries of the same form, which share its row; for
    /// [`Form::Cosine`], `query_scales` has a scale per query.
    #[inline(always)]
    pub fn four(&self, queries: [&[f32]; 4], query_scales: [f32; 4], node: NodeId) -> [f32; 4] {
        let row = self.rows.row(node);
        match self.form {
            Form::L2 => self.isa.l2_4(queries, row),
            Form::Ip => self.isa.dot4(queries, row).map(|dot| -dot),
            Form::Cosine { scales, .. } => {
                let scale = scales[node.index()];
                let dots = self.isa.dot4(queries, row);
                std::array::from_fn(|q| 1.0 - query_scales[q] * scale * dots[q])
            }
            Form::Augmented { .. } => queries.map(|query| RowScorer { query, ..*self }.one(node)),
        }
    }
}

impl<I: Isa, E: Element> Scorer for RowScorer<'_, I, E> {
    #[inline(always)]
    fn score(&self, nodes: &[NodeId], distances: &mut [f32]) {
        for (node, distance) in nodes.iter().zip(distances) {
            *distance = self.one(*node);
        }
    }

    #[inline(always)]
    fn prefetch(&self, node: NodeId) {
        self.isa.prefetch_bytes(bytemuck::cast_slice(self.rows.row(node)));
    }

    #[inline(always)]
    fn prefetch_list(&self, list: &[NodeId]) {
        self.isa.prefetch_bytes(bytemuck::cast_slice(list));
    }
}

/// All is known after the first step.
impl<I: Isa, E: Element> StepScorer for RowScorer<'_, I, E> {
    type First = f32;

    #[inline(always)]
    fn prefetch_first(&self, node: NodeId) {
        self.prefetch(node);
    }

    #[inline(always)]
    fn first(&self, nodes: &[NodeId], firsts: &mut [f32]) {
        self.score(nodes, firsts);
    }

    #[inline(always)]
    fn least(&self, first: f32) -> f32 {
        first
    }

    #[inline(always)]
    fn prefetch_rest(&self, _node: NodeId) {}

    #[inline(always)]
    fn finish(&self, _node: NodeId, first: f32) -> f32 {
        first
    }
}

/// Which distance a graph is built in.
#[derive(Clone, Copy, Debug)]
pub enum SpaceForm<'a> {
    /// Squared L2.
    L2,
    /// `1 − cos`; `[n]` scales `1 / ‖x‖`.
    Cosine(&'a [f32]),
    /// [`Form::Augmented`]: the bound and the `[n]` extra components.
    Augmented(f32, &'a [f32]),
    /// The negative inner product, which is no metric: for those who compare distances alone.
    Ip,
}

/// Rows among themselves.
#[derive(Clone, Copy, Debug)]
pub struct RowSpace<'a, E> {
    /// The rows.
    pub rows: Rows<'a, E>,
    /// Their distance.
    pub form: SpaceForm<'a>,
}

impl<E: Element> Space for RowSpace<'_, E> {
    type Buffer = Vec<f32>;

    fn len(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn scorer<'a, I: Isa>(
        &'a self,
        isa: I,
        node: NodeId,
        buffer: &'a mut Vec<f32>,
    ) -> impl Scorer + 'a {
        let form = match self.form {
            SpaceForm::L2 => Form::L2,
            SpaceForm::Cosine(scales) => Form::Cosine { query_scale: scales[node.index()], scales },
            SpaceForm::Augmented(bound, extras) => {
                Form::Augmented { bound, query_extra: extras[node.index()], extras }
            }
            SpaceForm::Ip => Form::Ip,
        };
        RowScorer { isa, rows: self.rows, query: self.rows.row_f32(isa, node, buffer), form }
    }
}
