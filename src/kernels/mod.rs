//! Distance kernels, one instruction set chosen once per process.
//!
//! | file | what it holds |
//! |---|---|
//! | `scalar.rs` | the definition of every kernel, in plain Rust |
//! | `avx2.rs` | x86-64 with AVX2, FMA and F16C; `avx2-vnni` also has AVX-VNNI |
//! | `avx512.rs` | x86-64 with AVX-512 F, BW, DQ, VL and VNNI |
//! | `tests.rs` | every instruction set × element type × dimension against `scalar` |
//!
//! A query is `f32`, a stored row is any [`Element`]; a row is widened to `f32` in registers and
//! products accumulate in `f32`, so no query is ever rounded to the stored type.
//!
//! **Codes.** Traversal reads quantized rows with a query quantized once, a [`CodeQuery`]. Their
//! kernels add integers, so every instruction set gives the same bits. No sum leaves `i32` within
//! 65,536 dimensions: the largest are `Σ |row − 128| · |q|` ≤ 128 · 127 · 65,536 < 1.07e9 and, on
//! the way, `Σ row · q` ≤ 255 · 127 · 65,536 < 2.13e9.
//!
//! A processor with AVX-512 but without its VNNI runs `avx2`: none of them is worth a set of its
//! own.
//!
//! **Dispatch.** An operation (a search, a scan, an insert) is a struct that implements
//! [`Operation`]; its `run` is generic over [`Isa`] and inlined. [`dispatch`] holds the
//! `#[target_feature]` entry of each instruction set, so the operation's whole loop is compiled
//! for that set and the kernels inline into it, while the loop itself stays safe code.
//!
//! `VICINAGE_ISA=scalar|avx2|avx2-vnni|avx512` forces a set; one that this processor lacks is refused by
//! [`active`].

use std::sync::OnceLock;

use bytemuck::Pod;
use half::{bf16, f16};

use crate::types::{ElementType, NodeId, Scorer, UnknownName};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

/// The environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "VICINAGE_ISA";

/// A component type that rows can be stored in.
pub trait Element: Pod + Send + Sync + PartialEq {
    /// The type's name in headers and messages.
    const TYPE: ElementType;

    /// The exact value as `f32`.
    fn to_f32(self) -> f32;

    /// The nearest value of this type; integers round half away from zero and saturate.
    fn from_f32(value: f32) -> Self;
}

macro_rules! element {
    ($kind:ty, $name:ident, $to:expr, $from:expr) => {
        impl Element for $kind {
            const TYPE: ElementType = ElementType::$name;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }

            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $from(value)
            }
        }
    };
}

element!(f32, F32, |x| x, |x| x);
element!(f16, F16, f16::to_f32, f16::from_f32);
element!(bf16, Bf16, bf16::to_f32, bf16::from_f32);
element!(i8, I8, f32::from, |x: f32| x.round() as i8);
element!(u8, U8, f32::from, |x: f32| x.round() as u8);

/// Runs `$body` with the type parameter `$E` bound to the element type named by `$element`.
#[macro_export]
macro_rules! with_element {
    ($element:expr, $E:ident => $body:expr) => {
        match $element {
            $crate::types::ElementType::F32 => {
                type $E = f32;
                $body
            }
            $crate::types::ElementType::F16 => {
                type $E = half::f16;
                $body
            }
            $crate::types::ElementType::Bf16 => {
                type $E = half::bf16;
                $body
            }
            $crate::types::ElementType::I8 => {
                type $E = i8;
                $body
            }
            $crate::types::ElementType::U8 => {
                type $E = u8;
                $body
            }
        }
    };
}

/// A query prepared for integer codes.
#[derive(Clone, Copy, Debug)]
pub struct CodeQuery<'a> {
    /// Its components in −127..=127, in the order that the kernel asks for; 0 for padding.
    pub components: &'a [i8],
    /// `Σ components`.
    pub sum: i32,
}

/// Rows of codes are padded to a multiple of so many bytes.
pub const CODE_BYTES: usize = 32;

/// An instruction set. A value exists only where the processor has it: [`dispatch`] makes them.
///
/// Slices of one call have the same length; a shorter one panics.
pub trait Isa: Copy + Send + Sync + 'static {
    /// `Σ q_i x_i`.
    fn dot<E: Element>(self, query: &[f32], row: &[E]) -> f32;

    /// `Σ (q_i − x_i)²`.
    fn l2<E: Element>(self, query: &[f32], row: &[E]) -> f32;

    /// [`Isa::dot`] of four queries with one row, which is read once.
    fn dot4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4];

    /// [`Isa::l2`] of four queries with one row, which is read once.
    fn l2_4<E: Element>(self, queries: [&[f32]; 4], row: &[E]) -> [f32; 4];

    /// Writes the row's components as f32.
    fn widen<E: Element>(self, row: &[E], out: &mut [f32]);

    /// `Σ (row_i − 128) · q_i` of `N` rows of i8 codes, stored as `code + 128`. Exact.
    ///
    /// A row is a multiple of [`CODE_BYTES`] long, as long as the query; where it is padded, its
    /// bytes may be anything (128 stands for 0) and the query is 0.
    fn dot_i8<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N];

    /// `Σ (2 · u_i − 15) · q_i` of `N` rows of 4-bit codes `u` in 0..=15. Exact.
    ///
    /// A row is a multiple of [`CODE_BYTES`] long. Of the 32 bytes from 32g on, byte `j` holds
    /// dimension 64g + j in its low and 64g + 32 + j in its high nibble. The query is twice as
    /// long: first the components of all low nibbles in the order of the bytes, then those of the
    /// high ones; 0 where rows are padded.
    fn dot_u4<const N: usize>(self, query: CodeQuery<'_>, rows: [&[u8]; N]) -> [i32; N];

    /// Asks for every cache line of some bytes.
    fn prefetch_bytes(self, bytes: &[u8]);
}

/// The bytes of each row that a query for codes fits, where a byte holds `PER_BYTE` of them.
#[inline(always)]
fn code_bytes<const PER_BYTE: usize, const N: usize>(
    query: CodeQuery<'_>,
    rows: [&[u8]; N],
) -> usize {
    let bytes = query.components.len() / PER_BYTE;
    let odd = query.components.len() % (PER_BYTE * CODE_BYTES);
    let odd = rows.iter().fold(odd, |odd, row| odd | (row.len() ^ bytes));
    assert!(odd == 0, "a query for codes fits rows of its length, in whole groups of 32 bytes");
    bytes
}

/// Something that is compiled once per instruction set.
pub trait Operation {
    /// What it gives back.
    type Output;

    /// The work. Mark it `#[inline(always)]`, so that it takes on the features of `isa`.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Distances among stored items: what graph construction sees of them. They need not be those of
/// queries; smaller is closer, and pruning multiplies them by `alpha`, so they are not negative.
pub trait Space: Sync {
    /// Memory that a scorer may use.
    type Buffer: Default + Send + 'static;

    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scores nodes by their distance to `node`.
    fn scorer<'a, I: Isa>(
        &'a self,
        isa: I,
        node: NodeId,
        buffer: &'a mut Self::Buffer,
    ) -> impl Scorer + 'a;
}

/// The instruction sets that kernels exist for, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IsaKind {
    /// Portable Rust.
    Scalar,
    /// AVX2, FMA, F16C.
    Avx2,
    /// AVX2, FMA, F16C, AVX-VNNI.
    Avx2Vnni,
    /// AVX-512 F, BW, DQ, VL, VNNI.
    Avx512,
}

impl IsaKind {
    /// Every kind, slowest first.
    pub const ALL: [IsaKind; 4] =
        [IsaKind::Scalar, IsaKind::Avx2, IsaKind::Avx2Vnni, IsaKind::Avx512];

    /// The name used in [`ISA_VARIABLE`] and in reports.
    pub fn name(self) -> &'static str {
        match self {
            IsaKind::Scalar => "scalar",
            IsaKind::Avx2 => "avx2",
            IsaKind::Avx2Vnni => "avx2-vnni",
            IsaKind::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            IsaKind::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            IsaKind::Avx2 => avx2::Avx2::<false>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            IsaKind::Avx2Vnni => avx2::Avx2::<true>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            IsaKind::Avx512 => avx512::Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            IsaKind::Avx2 | IsaKind::Avx2Vnni | IsaKind::Avx512 => false,
        }
    }
}

/// Why the instruction set asked for cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// [`ISA_VARIABLE`] names none.
    #[error("{ISA_VARIABLE}: {0}")]
    Unknown(#[from] UnknownName),
    /// The processor lacks it.
    #[error("{ISA_VARIABLE}={}: this processor lacks it; unset the variable", .0.name())]
    Unavailable(IsaKind),
}

/// The instruction set in use: the best available, or the one that [`ISA_VARIABLE`] forces.
/// Binaries call this first, so that a bad variable is a message and not a surprise; after an
/// error the library itself falls back to the best available set.
pub fn active() -> Result<IsaKind, IsaError> {
    static ACTIVE: OnceLock<Result<IsaKind, IsaError>> = OnceLock::new();
    ACTIVE
        .get_or_init(|| match std::env::var(ISA_VARIABLE) {
            Err(_) => Ok(best()),
            Ok(name) => {
                let kind =
                    IsaKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
                        UnknownName {
                            what: "instruction set",
                            found: name.clone(),
                            expected: IsaKind::ALL.map(IsaKind::name).join(", "),
                        }
                    })?;
                if kind.available() { Ok(kind) } else { Err(IsaError::Unavailable(kind)) }
            }
        })
        .clone()
}

fn best() -> IsaKind {
    IsaKind::ALL.into_iter().rev().find(|kind| kind.available()).unwrap_or(IsaKind::Scalar)
}

/// Runs `operation` compiled for the active instruction set.
pub fn dispatch<O: Operation>(operation: O) -> O::Output {
    dispatch_on(active().unwrap_or_else(|_| best()), operation)
}

/// Runs `operation` on `kind`, or on the portable kernels where the processor lacks it.
pub fn dispatch_on<O: Operation>(kind: IsaKind, operation: O) -> O::Output {
    #[cfg(target_arch = "x86_64")]
    match kind {
        IsaKind::Avx512 => {
            if let Some(isa) = avx512::Avx512::detect() {
                return isa.enter(operation);
            }
        }
        IsaKind::Avx2Vnni => {
            if let Some(isa) = avx2::Avx2::<true>::detect() {
                return isa.enter(operation);
            }
        }
        IsaKind::Avx2 => {
            if let Some(isa) = avx2::Avx2::<false>::detect() {
                return isa.enter(operation);
            }
        }
        IsaKind::Scalar => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = kind;
    operation.run(scalar::Scalar)
}
