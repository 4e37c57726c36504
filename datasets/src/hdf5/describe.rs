//! Which arrays a file has, and what its attributes say of them.

use std::path::Path;

use hdf5_pure::AttrValue;

use crate::error::ReadError;
use crate::hdf5::array::{dtype_of, type_name};
use crate::hdf5::source::Source;

/// The most arrays that are listed, and the longest text of an attribute.
const MOST_ARRAYS: usize = 1024;
const LONGEST: usize = 256;

/// What an HDF5 file of ann-benchmarks or VIBE says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnFile {
    /// Attribute `distance`, as it stands there: `euclidean`, `angular`, `cosine`, `ip`,
    /// `normalized`, `hamming`, `jaccard` …; `None` where the file has none.
    pub metric: Option<String>,
    /// Attribute `dimension`.
    pub dimension: Option<u64>,
    /// Attribute `type`: `dense` or `sparse`.
    pub kind: Option<String>,
    /// Attribute `point_type`: `float`, `bit` …
    pub point_type: Option<String>,
    /// The arrays at the top of the file, by name.
    pub arrays: Vec<AnnArray>,
}

/// One array of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnArray {
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// The type of its values: `f32`, `i64`, `bool` …
    pub dtype: String,
}

/// Reads what an HDF5 file says of itself, and none of its values.
///
/// # Errors
/// What is wrong with the file, or more than 1,024 arrays at its top.
pub fn describe_hdf5(path: &Path) -> Result<AnnFile, ReadError> {
    let source = Source::open(path)?;
    let unreadable = |e: &hdf5_pure::Error| source.unreadable("readable HDF5 metadata", e);
    let root = source.file.root();
    let attributes = root.attrs().map_err(|e| unreadable(&e))?;
    let text = |name: &str| {
        let text = attributes.get(name).and_then(as_text)?;
        Some(text.chars().take(LONGEST).collect())
    };
    source.allow(0);
    let mut names = root.datasets().map_err(|e| unreadable(&e))?;
    if names.len() > MOST_ARRAYS {
        let expected = format!("a file of at most {MOST_ARRAYS} arrays at its top");
        return Err(ReadError::unsuitable(path, expected, names.len().to_string()));
    }
    names.sort_unstable();
    let mut arrays = Vec::new();
    for name in names {
        source.allow(0);
        let dataset = source.dataset(&name, 0, 0).map_err(|e| unreadable(&e))?;
        let datatype = dataset.datatype().map_err(|e| unreadable(&e))?;
        let dtype = match dtype_of(&datatype) {
            Some(dtype) => dtype.name().to_owned(),
            None => type_name(&dataset, &datatype),
        };
        let shape = dataset.shape().map_err(|e| unreadable(&e))?;
        arrays.push(AnnArray { name, shape, dtype });
    }
    Ok(AnnFile {
        metric: text("distance"),
        dimension: attributes.get("dimension").and_then(as_count),
        kind: text("type"),
        point_type: text("point_type"),
        arrays,
    })
}

fn as_text(value: &AttrValue) -> Option<&str> {
    match value {
        AttrValue::String(text) | AttrValue::AsciiString(text) => Some(text),
        AttrValue::VarLenString(text) | AttrValue::VarLenAsciiString(text) => Some(text),
        AttrValue::StringSized { value, .. } => Some(value),
        _ => None,
    }
}

fn as_count(value: &AttrValue) -> Option<u64> {
    match *value {
        AttrValue::I8(value) => u64::try_from(value).ok(),
        AttrValue::I16(value) => u64::try_from(value).ok(),
        AttrValue::I32(value) => u64::try_from(value).ok(),
        AttrValue::I64(value) => u64::try_from(value).ok(),
        AttrValue::U8(value) => Some(value.into()),
        AttrValue::U16(value) => Some(value.into()),
        AttrValue::U32(value) => Some(value.into()),
        AttrValue::U64(value) => Some(value),
        _ => None,
    }
}
