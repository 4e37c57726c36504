//! Codes: small integer stand-ins of vectors, which traversal reads in place of the vectors.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod.rs` | the layout of code rows, and a view of them |
//! | `encode.rs` | from vectors to code rows |
//! | `query.rs` | a query prepared for codes, and the scorer of searches |
//! | `margin.rs` | how far off a distance of codes may be |
//! | `space.rs` | distances among coded items, which graphs are built by |
//! | `tests.rs` | all of it against its definition in f64, on every instruction set |
//!
//! A vector `x` (for cosine: brought to unit length) is coded as
//! `x ≈ center + scale · c`, with one `center` for all items, a scale of its own, and whole numbers
//! `c`: −127 … 127 in a byte ([`CodeKind::I8`]), or the odd ones of −15 … 15 in half a byte
//! ([`CodeKind::U4`]). Subtracting the center changes no L2 distance and every inner product with a
//! query by the same amount, and makes the range that codes must cover smaller.
//!
//! Beside its codes an item has [`CodeTerms`], which turn one integer product into a distance. They
//! lie in an array of their own: code rows then fill whole cache lines, and of most sets the terms
//! stay in the second-level cache.
//!
//! With `x' = x − center`, `half_square = ‖x'‖² / 2`, and for a query `q' = q − center ≈ step · p`,
//! `p` in −127 … 127:
//!
//! | metric | distance, with `D = Σ c_i p_i` |
//! |---|---|
//! | l2 | `‖q'‖² + 2 half_square − 2 scale · step · D` |
//! | cosine | `‖q'‖² / 2 + half_square − scale · step · D` |
//! | ip | `‖q‖ · norm_bound − q · center − scale · step · D`, where `q` itself is what `p` codes |
//!
//! For inner product no vector is longer than `norm_bound`, so that these distances, unlike those that
//! callers see, are not negative and can be compared as multiples ([`crate::graph::pool::Stop`]).
//!
//! The forms are those of locally-adaptive vector quantization (Aguerrebere et al., VLDB 2023) with
//! the correction of RaBitQ (Gao & Long, SIGMOD 2024, equation 12): `scale = ‖x'‖² / Σ c_i x'_i`,
//! which is what makes `scale · c · q` exact where `q` lies in the direction of `x'`, as near
//! neighbors do.
//!
//! **Error.** `scale · c` has the length along `x'` that `x'` has, so what it differs by is at right
//! angles to `x'`: `‖x' − scale · c‖ = ‖x'‖ tan θ`, with
//! `sin θ ≤ √dim · largest(x') / (254 ‖x'‖)` for i8, and a fifteenth in place of the 254th for u4. A
//! product is off by at most `‖q'‖ ‖x'‖ tan θ`, and the query's rounding adds
//! `√dim · step / 2 · ‖scale · c‖`. Both are worst cases: the error has no preferred direction, and
//! against queries in random directions it falls as `1 / √dim`, relative to `‖q'‖ ‖x'‖`.
//!
//! **Limits.** Squares of norms are f32. Builds refuse vectors whose square is near the largest of
//! them; where the square is below the smallest, which is at norms of about 1e-22, codes take the
//! vector for zero. Only numbers that are finite come out for queries whose square is as small as
//! that of items must be.

mod encode;
mod margin;
mod query;
mod space;
#[cfg(test)]
mod tests;

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use crate::kernels::{CODE_BYTES, CodeQuery, Isa};
use crate::types::{NodeId, named};

pub use encode::encode_rows;
pub use margin::Margin;
pub use query::{CodeScorer, QueryCodes};
pub use space::CodeSpace;

/// How many bits a component has in codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodeKind {
    /// A byte: `c + 128`.
    I8,
    /// Half a byte: `(c + 15) / 2`.
    U4,
}

impl CodeKind {
    /// Every kind.
    pub const ALL: [CodeKind; 2] = [CodeKind::I8, CodeKind::U4];

    /// The name used on command lines, in files and in messages.
    pub fn name(self) -> &'static str {
        match self {
            CodeKind::I8 => "i8",
            CodeKind::U4 => "u4",
        }
    }
}

named!(CodeKind, "kind of codes");

/// A kind of codes as a type, so that loops are compiled for it.
pub trait CodeType: Copy + Send + Sync {
    /// `D` of the module's table, of `N` rows.
    fn dot<I: Isa, const N: usize>(isa: I, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N];
}

/// [`CodeKind::I8`].
#[derive(Clone, Copy, Debug)]
pub struct I8;

/// [`CodeKind::U4`].
#[derive(Clone, Copy, Debug)]
pub struct U4;

impl CodeType for I8 {
    #[inline(always)]
    fn dot<I: Isa, const N: usize>(isa: I, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        isa.dot_i8(query, rows)
    }
}

impl CodeType for U4 {
    #[inline(always)]
    fn dot<I: Isa, const N: usize>(isa: I, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N] {
        isa.dot_u4(query, rows)
    }
}

/// Runs `$body` with the type parameter `$K` bound to the kind of codes named by `$kind`.
#[macro_export]
macro_rules! with_codes {
    ($kind:expr, $K:ident => $body:expr) => {
        match $kind {
            $crate::quantizers::CodeKind::I8 => {
                type $K = $crate::quantizers::I8;
                $body
            }
            $crate::quantizers::CodeKind::U4 => {
                type $K = $crate::quantizers::U4;
                $body
            }
        }
    };
}

/// Code bytes come in groups of so many; the kernels have no tails.
const GROUP: usize = CODE_BYTES;

/// A cache line.
const LINE: usize = 64;

/// Rows begin on cache lines of their own where that makes them longer by no more than this share:
/// fewer lines are touched then, at the price of memory.
const WASTE: f64 = 0.2;

/// What a row's integer product becomes a distance by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CodeTerms {
    /// What one step of the codes is worth.
    pub scale: f32,
    /// Half the squared norm of the centered vector.
    pub half_square: f32,
}

/// How code rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLayout {
    kind: CodeKind,
    dim: usize,
    stride: usize,
}

impl CodeLayout {
    /// The layout that builds write.
    pub fn new(kind: CodeKind, dim: usize) -> Self {
        let tight = code_bytes(kind, dim);
        let whole_lines = tight.next_multiple_of(LINE);
        let waste = (whole_lines - tight) as f64 / tight as f64;
        let stride = if waste <= WASTE { whole_lines } else { tight };
        Self { kind, dim, stride }
    }

    /// A layout with the stride that a file states; the least there could be where that is none.
    pub fn with_stride(kind: CodeKind, dim: usize, stride: usize) -> Result<Self, usize> {
        let tight = code_bytes(kind, dim);
        let fits = (tight..tight + LINE).contains(&stride);
        if fits { Ok(Self { kind, dim, stride }) } else { Err(tight) }
    }

    /// Bits a component.
    pub fn kind(self) -> CodeKind {
        self.kind
    }

    /// Components of the vectors.
    pub fn dim(self) -> usize {
        self.dim
    }

    /// Bytes from one row to the next.
    pub fn stride(self) -> usize {
        self.stride
    }

    /// Bytes of codes in a row.
    fn code_bytes(self) -> usize {
        code_bytes(self.kind, self.dim)
    }
}

fn code_bytes(kind: CodeKind, dim: usize) -> usize {
    match kind {
        CodeKind::I8 => dim.next_multiple_of(GROUP),
        CodeKind::U4 => dim.div_ceil(2 * GROUP) * GROUP,
    }
}

/// Code rows `[n, stride]`, their terms `[n]` and their center `[dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Codes<'a> {
    bytes: &'a [u8],
    terms: &'a [CodeTerms],
    layout: CodeLayout,
    center: &'a [f32],
    bounds: CodeBounds,
}

impl<'a> Codes<'a> {
    /// A view; `bounds` are those of its terms and center.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn new(
        bytes: &'a [u8],
        terms: &'a [CodeTerms],
        layout: CodeLayout,
        center: &'a [f32],
        bounds: CodeBounds,
    ) -> Self {
        assert_eq!(bytes.len(), terms.len() * layout.stride);
        assert_eq!(center.len(), layout.dim);
        Self { bytes, terms, layout, center, bounds }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// How rows lie.
    pub fn layout(&self) -> CodeLayout {
        self.layout
    }

    /// What is subtracted from every vector.
    pub fn center(&self) -> &'a [f32] {
        self.center
    }

    /// The terms of one row.
    #[inline(always)]
    pub fn terms(&self, node: NodeId) -> CodeTerms {
        self.terms[node.index()]
    }

    /// The bytes of one row, the stride's padding included.
    #[inline(always)]
    pub fn row(&self, node: NodeId) -> &'a [u8] {
        let stride = self.layout.stride;
        &self.bytes[node.index() * stride..][..stride]
    }

    /// The bytes of one row that are codes.
    #[inline(always)]
    fn codes(&self, node: NodeId) -> &'a [u8] {
        &self.row(node)[..self.layout.code_bytes()]
    }

    /// Asks for the codes of a row.
    #[inline(always)]
    fn prefetch_codes<I: Isa>(&self, isa: I, node: NodeId) {
        isa.prefetch_bytes(self.codes(node));
    }

    /// Asks for the terms of a row.
    #[inline(always)]
    fn prefetch_terms<I: Isa>(&self, isa: I, node: NodeId) {
        isa.prefetch_bytes(bytemuck::bytes_of(&self.terms[node.index()]));
    }
}

/// What no coded vector exceeds, and what none is below.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CodeBounds {
    /// The length of a vector, by the triangle inequality.
    norm: f32,
    /// The largest scale and the largest half square.
    terms: CodeTerms,
    /// The least half square.
    least_half_square: f32,
}

impl CodeBounds {
    /// Of these rows. Cost: a pass over the terms.
    pub fn of(terms: &[CodeTerms], center: &[f32]) -> Self {
        let (mut largest, mut least_half_square) = (CodeTerms::default(), f32::INFINITY);
        for CodeTerms { scale, half_square } in terms {
            largest.scale = largest.scale.max(*scale);
            largest.half_square = largest.half_square.max(*half_square);
            least_half_square = least_half_square.min(*half_square);
        }
        let norm = (2.0 * largest.half_square).sqrt() + dot(center, center).sqrt();
        Self { norm, terms: largest, least_half_square }
    }
}

/// Code rows in memory that begin on a cache line.
#[derive(Clone, Debug, Default)]
pub struct CodeBytes {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

impl CodeBytes {
    /// So many zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self { lines: vec![Line([0; LINE]); len.div_ceil(LINE)], len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// `Σ a_i b_i` in sixteen chains, in the same order on every instruction set: what is derived from
/// it is the same everywhere.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (whole_a.remainder(), whole_b.remainder());
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane += a * b;
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

/// Steps to a unit. Of a vector that is zero, or so small that there would be infinitely many, all
/// components count as zero.
#[inline(always)]
fn finite_or_zero(per_unit: f32) -> f32 {
    if per_unit.is_finite() { per_unit } else { 0.0 }
}

/// The largest magnitude.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    for chunk in values.chunks(LANES) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(value.abs());
        }
    }
    lanes.iter().fold(0.0, |a, b| a.max(*b))
}
