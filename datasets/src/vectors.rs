//! Vectors in memory: element types, the shape of a file, one batch of its rows.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

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

    /// Whether values are rounded to it.
    fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16)
    }

    /// Whether every value of `from` is held exactly.
    pub fn holds(self, from: Self) -> bool {
        match (from, self) {
            _ if from == self => true,
            (_, Self::F64) | (Self::F16, Self::F32) => true,
            (Self::I8 | Self::U8, Self::F32 | Self::F16) => true,
            _ => false,
        }
    }

    /// The values that it can hold, for errors.
    pub fn range(self) -> &'static str {
        match self {
            Self::F64 => "a finite number",
            Self::F32 => "a value within the range of f32 (±3.4028235e38)",
            Self::F16 => "a value within the range of f16 (±65504)",
            Self::I8 => "a whole number from -128 to 127",
            Self::U8 => "a whole number from 0 to 255",
        }
    }
}

impl FromStr for Element {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::F64, Self::F32, Self::F16, Self::I8, Self::U8]
            .into_iter()
            .find(|element| element.to_string() == name)
            .ok_or_else(|| "expected f64, f32, f16, i8 or u8".to_owned())
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
    /// The type.
    const ELEMENT: Element;

    /// Exact.
    fn to_f64(self) -> f64;

    /// Rounded to nearest; beyond the range, to an infinity or, in an integer type, its end.
    fn from_f64(value: f64) -> Self;

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
    ($float:ty, $bits:ty, $exponent:expr, $element:expr, $to:expr, $from:expr) => {
        impl Component for $float {
            const ELEMENT: Element = $element;

            #[inline]
            fn to_f64(self) -> f64 {
                $to(self)
            }

            #[inline]
            fn from_f64(value: f64) -> Self {
                $from(value)
            }

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
float_component!(f64, u64, 0x7ff0_0000_0000_0000, Element::F64, |x| x, |x| x);
float_component!(f32, u32, 0x7f80_0000, Element::F32, f64::from, |x| x as f32);
float_component!(f16, u16, 0x7c00, Element::F16, f16::to_f64, f16::from_f64);

macro_rules! integer_component {
    ($integer:ty, $element:expr) => {
        impl Component for $integer {
            const ELEMENT: Element = $element;

            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline]
            fn from_f64(value: f64) -> Self {
                value as $integer
            }

            fn all_finite(_: &[Self]) -> bool {
                true
            }
        }
    };
}
integer_component!(i8, Element::I8);
integer_component!(u8, Element::U8);

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
        if let VectorData::F32(values) = &self.vectors {
            return Ok(Cow::Borrowed(values));
        }
        let mut values = Vec::new();
        each_element!(&self.vectors, from => self.narrow(from, &mut values))?;
        Ok(Cow::Owned(values))
    }

    /// Leaves the first `rows` rows; fewer stay as they are.
    pub fn truncate(&mut self, rows: usize) {
        if rows >= self.rows {
            return;
        }
        self.rows = rows;
        let components = rows * self.dim;
        each_element!(&mut self.vectors, values => values.truncate(components));
        self.ids.iter_mut().for_each(|ids| ids.truncate(rows));
        self.attributes.iter_mut().for_each(|attribute| attribute.values.truncate(rows));
    }

    /// Changes the type of the components. Floats are rounded to nearest; integers have to be held
    /// exactly.
    ///
    /// # Errors
    /// The first component that the type cannot hold; the batch is then as it was.
    pub fn convert(&mut self, element: Element) -> Result<(), NarrowError> {
        if self.vectors.element() == element {
            return Ok(());
        }
        let mut to = VectorData::empty(element);
        each_element!(&mut to, to => {
            each_element!(&self.vectors, from => self.narrow(from, to))
        })?;
        self.vectors = to;
        Ok(())
    }

    fn narrow<A: Component, B: Component>(
        &self,
        from: &[A],
        to: &mut Vec<B>,
    ) -> Result<(), NarrowError> {
        to.extend(from.iter().map(|value| B::from_f64(value.to_f64())));
        let held = |(from, to): (&A, &B)| {
            B::ELEMENT.is_float() && B::all_finite(&[*to]) || to.to_f64() == from.to_f64()
        };
        let Some(at) = from.iter().zip(&*to).position(|pair| !held(pair)) else { return Ok(()) };
        Err(NarrowError {
            row: self.first_row + (at / self.dim) as u64,
            component: at % self.dim,
            value: from[at].to_f64(),
            element: B::ELEMENT,
        })
    }
}

/// A component that cannot be held in another type.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("row {row}, component {component}: expected {}, found {value:e}", element.range())]
pub struct NarrowError {
    /// The row in the file.
    pub row: u64,
    /// The component of the vector.
    pub component: usize,
    /// Its value.
    pub value: f64,
    /// The type that should hold it.
    pub element: Element,
}
