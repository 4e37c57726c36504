//! Vectors in memory: element types, the shape of a file, one batch of its rows.

use std::borrow::Cow;
use std::fmt;

use half::f16;

use crate::attributes::AttributeBatch;

/// The type of a vector's components as stored in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Element {
    /// IEEE 754 double.
    F64,
    /// IEEE 754 single.
    F32,
    /// IEEE 754 half.
    F16,
    /// Signed byte.
    I8,
    /// Unsigned byte.
    U8,
}

impl Element {
    /// Bytes of one component.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::U8 => "u8",
        })
    }
}

/// What a file of vectors holds: `rows` vectors of `dim` components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of vectors; 0 is allowed.
    pub rows: u64,
    /// Components of each, 1 to [`MAX_DIM`].
    pub dim: u32,
    /// Their type.
    pub element: Element,
}

/// The largest dimension that is read or written. A claim beyond it is damage, not data.
pub const MAX_DIM: u32 = 1 << 20;

impl Shape {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.dim as usize * self.element.size()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}] {}", self.rows, self.dim, self.element)
    }
}

/// Vectors `[rows, dim]`, row-major, in the element type of the file. All values are finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum VectorData {
    /// Doubles.
    F64(Vec<f64>),
    /// Singles.
    F32(Vec<f32>),
    /// Halves.
    F16(Vec<f16>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// Unsigned bytes.
    U8(Vec<u8>),
}

/// Runs `$body` with `$values` bound to the vector inside `$data`, whatever its type.
macro_rules! each_element {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::VectorData::F64($values) => $body,
            $crate::VectorData::F32($values) => $body,
            $crate::VectorData::F16($values) => $body,
            $crate::VectorData::I8($values) => $body,
            $crate::VectorData::U8($values) => $body,
        }
    };
}
pub(crate) use each_element;

impl VectorData {
    /// No vectors, of type `element`.
    pub fn empty(element: Element) -> Self {
        match element {
            Element::F64 => Self::F64(Vec::new()),
            Element::F32 => Self::F32(Vec::new()),
            Element::F16 => Self::F16(Vec::new()),
            Element::I8 => Self::I8(Vec::new()),
            Element::U8 => Self::U8(Vec::new()),
        }
    }

    /// The type of the components.
    pub fn element(&self) -> Element {
        match self {
            Self::F64(_) => Element::F64,
            Self::F32(_) => Element::F32,
            Self::F16(_) => Element::F16,
            Self::I8(_) => Element::I8,
            Self::U8(_) => Element::U8,
        }
    }

    /// Number of components of all rows together.
    pub fn len(&self) -> usize {
        each_element!(self, values => values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The components as they lie in memory, little-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        each_element!(self, values => bytemuck::cast_slice(values))
    }

    /// Empties the data, and changes its type to `element` if it has another.
    pub(crate) fn reset(&mut self, element: Element) {
        if self.element() == element {
            each_element!(self, values => values.clear());
        } else {
            *self = Self::empty(element);
        }
    }
}

/// A component type: what the readers need to know of it.
pub(crate) trait Component: bytemuck::Pod + fmt::Display {
    /// Whether every value is finite. Written so that it compiles to a few vector instructions a
    /// register: this runs over every byte that is read.
    fn all_finite(values: &[Self]) -> bool;

    /// The position of the first value that is not finite.
    fn first_not_finite(values: &[Self]) -> Option<usize> {
        if Self::all_finite(values) {
            return None;
        }
        values.iter().position(|value| !Self::all_finite(std::slice::from_ref(value)))
    }
}

macro_rules! float_component {
    ($float:ty, $bits:ty, $exponent:expr) => {
        impl Component for $float {
            fn all_finite(values: &[Self]) -> bool {
                // NaN and the infinities are the values whose exponent bits are all set.
                values.chunks(4096).all(|chunk| {
                    let bad = chunk.iter().fold(false as $bits, |bad, value| {
                        bad | (value.to_bits() & $exponent == $exponent) as $bits
                    });
                    bad == 0
                })
            }
        }
    };
}
float_component!(f64, u64, 0x7ff0_0000_0000_0000);
float_component!(f32, u32, 0x7f80_0000);
float_component!(f16, u16, 0x7c00);

macro_rules! integer_component {
    ($integer:ty) => {
        impl Component for $integer {
            fn all_finite(_: &[Self]) -> bool {
                true
            }
        }
    };
}
integer_component!(i8);
integer_component!(u8);

/// Consecutive rows of a file. A reader fills it and reuses its buffers, so one batch serves a
/// whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number, in the file, of the first row.
    pub first_row: u64,
    /// Number of rows.
    pub rows: usize,
    /// Components of each vector.
    pub dim: usize,
    /// The vectors, `[rows, dim]` row-major.
    pub vectors: VectorData,
    /// Item ids, one a row; `None` where the file has none and rows are known by number.
    pub ids: Option<Vec<u64>>,
    /// Attribute columns, each with one value a row; in the order of the reader's `attributes`.
    pub attributes: Vec<AttributeBatch>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::of_vectors(1, VectorData::empty(Element::F32))
    }
}

impl Batch {
    /// Vectors alone, `[vectors.len() / dim, dim]`, as the first rows of a file.
    ///
    /// # Panics
    /// If `dim` is 0 or does not divide the number of components.
    pub fn of_vectors(dim: usize, vectors: VectorData) -> Self {
        assert!(vectors.len().is_multiple_of(dim), "{} components, dim {dim}", vectors.len());
        let rows = vectors.len() / dim;
        Self { first_row: 0, rows, dim, vectors, ids: None, attributes: Vec::new() }
    }

    /// The vectors as f32, `[rows, dim]` row-major; free where they are f32. f16, i8 and u8
    /// convert exactly, f64 is rounded to nearest.
    ///
    /// # Errors
    /// The first f64 component whose size is beyond the largest f32.
    pub fn to_f32(&self) -> Result<Cow<'_, [f32]>, NarrowError> {
        let values = match &self.vectors {
            VectorData::F32(values) => return Ok(Cow::Borrowed(values)),
            VectorData::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
            VectorData::I8(values) => values.iter().map(|&value| f32::from(value)).collect(),
            VectorData::U8(values) => values.iter().map(|&value| f32::from(value)).collect(),
            VectorData::F64(values) => {
                let narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                if let Some(at) = f32::first_not_finite(&narrow) {
                    return Err(NarrowError {
                        row: self.first_row + (at / self.dim) as u64,
                        component: at % self.dim,
                        value: values[at],
                    });
                }
                narrow
            }
        };
        Ok(Cow::Owned(values))
    }
}

/// An f64 component that no f32 can hold.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "row {row}, component {component}: expected a value within the range of f32 \
     (±3.4028235e38), found {value:e}"
)]
pub struct NarrowError {
    /// The row in the file.
    pub row: u64,
    /// The component of the vector.
    pub component: usize,
    /// Its value.
    pub value: f64,
}
