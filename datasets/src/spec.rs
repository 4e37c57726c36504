//! What to read: the input as it is written on a command line, the format that its name says,
//! and the reader's options.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::attributes::AttributeField;
use crate::error::{ReadError, WriteError};
use crate::vectors::Element;

/// What to read, and for a format with columns or several arrays the one that holds the vectors:
/// `FILE[#column]`. Several files are one input as a directory (`shards/`) or a pattern
/// (`part-*.parquet`, with `*`, `?`, `[…]` and `**`).
///
/// The column begins after the first `#` that follows a known extension, so `a#1.npy` is a file
/// and `items.parquet#user#v2` is column `user#v2` of `items.parquet`; where there is none, after
/// the first `#` that follows a `/` or a `*`, as in `shards/#user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// The file, directory or pattern.
    pub path: PathBuf,
    /// The column or array, where it is named.
    pub column: Option<String>,
}

/// A command-line input that is not `FILE[#column]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input `{input}`: expected FILE or FILE#column, found {found}")]
pub struct SpecError {
    /// The text as given.
    pub input: String,
    /// What is missing from it.
    pub found: &'static str,
}

impl FromStr for InputSpec {
    type Err = SpecError;

    fn from_str(input: &str) -> Result<Self, SpecError> {
        let fail = |found| Err(SpecError { input: input.to_owned(), found });
        let known = |path: &str| Format::of(Path::new(path)).is_some();
        let marks = || input.match_indices('#').map(|(at, _)| at);
        let split = marks().find(|&at| known(&input[..at])).or_else(|| {
            marks().find(|&at| input[..at].ends_with(['/', '*'])).filter(|_| !known(input))
        });
        let (path, column) = match split {
            Some(at) => (&input[..at], Some(&input[at + 1..])),
            None => (input, None),
        };
        if path.is_empty() {
            return fail("no file name");
        }
        if column.is_some_and(str::is_empty) {
            return fail("no column name after `#`");
        }
        Ok(Self { path: path.into(), column: column.map(str::to_owned) })
    }
}

impl From<PathBuf> for InputSpec {
    fn from(path: PathBuf) -> Self {
        Self { path, column: None }
    }
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.column.iter().try_for_each(|column| write!(f, "#{column}"))
    }
}

/// A file format, told from the extension of the name (in any case).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `.npy`: one NumPy array.
    Npy,
    /// `.npz`: several NumPy arrays in a zip archive.
    Npz,
    /// `.fbin`: u32 rows, u32 dim, f32 rows.
    Fbin,
    /// `.u8bin`: u32 rows, u32 dim, u8 rows.
    U8bin,
    /// `.i8bin`: u32 rows, u32 dim, i8 rows.
    I8bin,
    /// `.ibin`: u32 rows, u32 k, i32 ids, and in a ground truth f32 distances. Holds no vectors.
    Ibin,
    /// `.bin`: as `.ibin`, with distances; `.gt100` for a step of a runbook.
    Bin,
    /// `.fvecs`: rows of i32 dim, f32 components.
    Fvecs,
    /// `.bvecs`: rows of i32 dim, u8 components.
    Bvecs,
    /// `.ivecs`: rows of i32 k, i32 ids. Holds no vectors.
    Ivecs,
    /// `.spmat`: a sparse matrix, the tags of items. Holds no vectors.
    Spmat,
    /// `.parquet`: columns.
    Parquet,
    /// `.arrow`, `.feather`: columns, as an Arrow IPC file.
    Arrow,
    /// `.arrows`: columns, as an Arrow IPC stream.
    ArrowStream,
    /// `.hdf5`, `.h5`: named arrays, as ann-benchmarks and VIBE have them.
    Hdf5,
    /// `.jsonl` or `.ndjson`, also with `.gz` or `.zst` behind it: a JSON object a line.
    Jsonl,
}

impl Format {
    /// Every format, in the order in which messages list them.
    pub const ALL: [Self; 16] = [
        Self::Npy,
        Self::Npz,
        Self::Fbin,
        Self::U8bin,
        Self::I8bin,
        Self::Ibin,
        Self::Bin,
        Self::Fvecs,
        Self::Bvecs,
        Self::Ivecs,
        Self::Spmat,
        Self::Parquet,
        Self::Arrow,
        Self::ArrowStream,
        Self::Hdf5,
        Self::Jsonl,
    ];

    /// The file extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Fbin => "fbin",
            Self::U8bin => "u8bin",
            Self::I8bin => "i8bin",
            Self::Ibin => "ibin",
            Self::Bin => "bin",
            Self::Fvecs => "fvecs",
            Self::Bvecs => "bvecs",
            Self::Ivecs => "ivecs",
            Self::Spmat => "spmat",
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl",
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
            Self::Hdf5 => "hdf5",
        }
    }

    /// Another extension of the format.
    fn other_extension(self) -> Option<&'static str> {
        match self {
            Self::Arrow => Some("feather"),
            Self::Hdf5 => Some("h5"),
            Self::Jsonl => Some("ndjson"),
            Self::Bin => Some("gt100"),
            _ => None,
        }
    }

    /// Whether a file of vectors in this format can have ids and attributes beside them.
    pub fn has_columns(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::ArrowStream | Self::Jsonl)
    }

    /// The format that the extension of `path` names, if it is one of ours. Only lines may be
    /// compressed as a whole.
    pub fn of(path: &Path) -> Option<Self> {
        let compression = Compression::of(path);
        let inner = compression.map_or(path, |_| Path::new(path.file_stem().unwrap_or_default()));
        let extension = inner.extension()?.to_str()?;
        let is = |name: &str| extension.eq_ignore_ascii_case(name);
        Self::ALL
            .into_iter()
            .find(|format| is(format.extension()) || format.other_extension().is_some_and(is))
            .filter(|format| compression.is_none() || *format == Self::Jsonl)
    }

    /// The element type that the format fixes, for those of the `bin` and `vecs` families that
    /// hold vectors.
    pub fn fixed_element(self) -> Option<Element> {
        match self {
            Self::Fbin | Self::Fvecs => Some(Element::F32),
            Self::U8bin | Self::Bvecs => Some(Element::U8),
            Self::I8bin => Some(Element::I8),
            _ => None,
        }
    }

    /// The format of `path`, which has to be one of `wanted`.
    pub(crate) fn to_read(path: &Path, wanted: &[Self]) -> Result<Self, ReadError> {
        Self::one_of(path, wanted).map_err(|(expected, found)| ReadError::UnknownFormat {
            path: path.to_owned(),
            expected,
            found,
        })
    }

    /// As [`Format::to_read`], for a file to be written.
    pub(crate) fn to_write(path: &Path, wanted: &[Self]) -> Result<Self, WriteError> {
        Self::one_of(path, wanted).map_err(|(expected, found)| WriteError::UnknownFormat {
            path: path.to_owned(),
            expected,
            found,
        })
    }

    fn one_of(path: &Path, wanted: &[Self]) -> Result<Self, (String, String)> {
        Self::of(path).filter(|format| wanted.contains(format)).ok_or_else(|| {
            let found = match path.extension() {
                Some(extension) => format!(".{}", extension.to_string_lossy()),
                None => "no extension".to_owned(),
            };
            (Self::names(wanted), found)
        })
    }

    /// The extensions of formats, for errors.
    pub(crate) fn names(formats: &[Self]) -> String {
        let names: Vec<String> =
            formats.iter().map(|format| format!(".{}", format.extension())).collect();
        names.join(", ")
    }
}

/// How a whole file is compressed, told from the last extension of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        [(Self::Gzip, "gz"), (Self::Zstd, "zst")]
            .into_iter()
            .find(|(_, name)| extension.eq_ignore_ascii_case(name))
            .map(|(compression, _)| compression)
    }
}

/// Which columns, besides vectors and ids, to read as attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AttributeColumns {
    /// None of them.
    None,
    /// All others. One whose type no attribute can have is left out and listed by the reader's
    /// `skipped`.
    #[default]
    All,
    /// These, in this order. One that is missing, or whose type no attribute can have, is an
    /// error.
    Named(Vec<String>),
}

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Bytes of vectors and attributes in one batch; a batch has at least one row.
    pub batch_bytes: usize,
    /// The column of item ids. Where it is not named, an integer column `item_id`, else `id`, is
    /// taken, and a file without either has no ids: its rows are known by number.
    pub id_column: Option<String>,
    /// The attribute columns.
    pub attributes: AttributeColumns,
}

impl Default for ReadOptions {
    /// 4 MiB a batch, the id column by its usual names, all attributes.
    fn default() -> Self {
        Self { batch_bytes: 4 << 20, id_column: None, attributes: AttributeColumns::All }
    }
}

impl ReadOptions {
    /// Vectors and ids only.
    pub fn without_attributes() -> Self {
        Self { attributes: AttributeColumns::None, ..Self::default() }
    }

    /// How many rows of `row_bytes` fit one batch; at least one.
    pub(crate) fn rows_per_batch(&self, row_bytes: usize) -> usize {
        // Arrow counts the elements of a list column in i32.
        const MOST: usize = 1 << 20;
        (self.batch_bytes / row_bytes.max(1)).clamp(1, MOST)
    }
}

/// The columns of a file to be written, for a format that has columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// The column of the vectors. In HDF5, the array; it is `train` there where this has its
    /// default.
    pub vector_column: String,
    /// The column of the item ids; `None` for a file without.
    pub id_column: Option<String>,
    /// The attribute columns; every batch brings these, in this order.
    pub attributes: Vec<AttributeField>,
}

impl Default for WriteOptions {
    /// Vectors alone, in column `vector`.
    fn default() -> Self {
        Self { vector_column: "vector".to_owned(), id_column: None, attributes: Vec::new() }
    }
}
