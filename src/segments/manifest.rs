//! `MANIFEST.json`: which generation of an index is current, and what pins each of its files.
//!
//! The file is small, meant to be read by people too, and canonical: it is exactly what
//! [`Manifest::to_bytes`] makes of its content, and its `digest` covers all of that but itself.
//! So every changed byte is noticed, even a space. `docs/format.md` describes it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Corruption, FileError};
use crate::format::checksum;
use crate::types::{ElementType, Metric};

/// The file's name within the index directory.
pub const MANIFEST_NAME: &str = "MANIFEST.json";

/// The version of the manifest that this build writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

/// A larger manifest is refused without being read.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is none: the directory holds no index, or none was ever finished.
    #[error("{} is not an index: it has no {MANIFEST_NAME}", dir.display())]
    NoIndex {
        /// The directory.
        dir: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// It was written by a newer build.
    #[error(
        "{} has manifest version {found}; this build reads up to {MANIFEST_VERSION}: \
         upgrade vicinage to read it",
        path.display()
    )]
    TooNew {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is not as written.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
}

/// What is current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// Number of the current generation, from 1; its files are below [`generation_name`].
    pub generation: u64,
    /// Its segments.
    pub segments: Vec<SegmentRecord>,
    /// Who wrote it and when; left out where the same input must give the same bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// [`checksum`] of this manifest with an empty digest.
    digest: String,
}

/// One segment file of the current generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRecord {
    /// Path relative to the index directory: `000001/base.vcg`.
    pub file: String,
    /// Length of the file in bytes.
    pub length: u64,
    /// The checksum in its header, which stands for every byte of it.
    #[serde(with = "hex")]
    pub header_checksum: u64,
    /// Number of items.
    pub n: u64,
    /// Dimensions of a vector.
    pub dim: u32,
    /// How closeness is measured.
    pub metric: Metric,
    /// Type of one vector component as stored.
    pub element: ElementType,
}

/// Who wrote an index and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name and version of the program: `vicinage 0.1.0`.
    pub tool: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created_unix_s: u64,
}

/// Only the version: read first, so that a newer manifest is told from a damaged one.
#[derive(Deserialize)]
struct Version {
    manifest_version: u32,
}

/// The directory of a generation, relative to the index: `000001`.
pub fn generation_name(generation: u64) -> String {
    format!("{generation:06}")
}

/// The generation whose directory has this name.
pub fn generation_of_name(name: &str) -> Option<u64> {
    let generation = name.parse().ok()?;
    (generation > 0 && generation_name(generation) == name).then_some(generation)
}

/// Whether a file of a generation may have this name: letters, digits, `.`, `_`, `-`, and no dot
/// in front.
pub fn is_file_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(legal)
}

impl Manifest {
    /// A manifest of this version with its digest.
    pub fn new(
        generation: u64,
        segments: Vec<SegmentRecord>,
        provenance: Option<Provenance>,
    ) -> Manifest {
        let manifest_version = MANIFEST_VERSION;
        let digest = String::new();
        let mut manifest = Manifest { manifest_version, generation, segments, provenance, digest };
        manifest.digest = manifest.compute_digest();
        manifest
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialise.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the manifest of the index at `dir`.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn read(dir: &Path) -> Result<Manifest, ManifestError> {
        let path = dir.join(MANIFEST_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ManifestError::NoIndex { dir: dir.to_owned() });
            }
            Err(error) => return Err(FileError::at("open", &path)(error).into()),
        };
        let mut bytes = Vec::new();
        file.take(MANIFEST_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(FileError::at("read", &path))?;
        Manifest::from_bytes(&bytes, &path)
    }

    /// Parses the bytes of a manifest; `path` names it in errors.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Manifest, ManifestError> {
        let damage = |offset: usize, expected: String, found: String| {
            let (path, section) = (path.to_owned(), "manifest".to_owned());
            Corruption { path, section, offset: offset as u64, expected, found }
        };
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            let expected = format!("at most {MANIFEST_BYTES_MAX} bytes");
            return Err(damage(0, expected, "more".to_owned()).into());
        }
        if let Ok(Version { manifest_version: found }) = serde_json::from_slice(bytes)
            && found > MANIFEST_VERSION
        {
            return Err(ManifestError::TooNew { path: path.to_owned(), found });
        }
        let manifest: Manifest = serde_json::from_slice(bytes)
            .map_err(|error| damage(0, "a manifest in JSON".to_owned(), error.to_string()))?;
        if manifest.manifest_version != MANIFEST_VERSION {
            let found = manifest.manifest_version.to_string();
            return Err(damage(0, format!("version {MANIFEST_VERSION}"), found).into());
        }

        let canonical = manifest.to_bytes();
        if canonical != bytes {
            let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let shown = |bytes: &[u8]| match bytes.get(same) {
                Some(byte) => format!("\"{}\"", byte.escape_ascii()),
                None => "the end of the file".to_owned(),
            };
            return Err(damage(same, shown(&canonical), shown(bytes)).into());
        }
        let digest = manifest.compute_digest();
        if manifest.digest != digest {
            let found = format!("digest {}", manifest.digest);
            return Err(damage(0, format!("digest {digest}"), found).into());
        }
        manifest.check().map_err(|(expected, found)| damage(0, expected, found))?;
        Ok(manifest)
    }

    fn compute_digest(&self) -> String {
        let unsigned = Manifest { digest: String::new(), ..self.clone() };
        format!("{:016x}", checksum(&unsigned.to_bytes()))
    }

    /// What no writer of ours would write: no generation, no segments, paths that lead elsewhere,
    /// a file named twice.
    fn check(&self) -> Result<(), (String, String)> {
        if self.generation == 0 {
            return Err(("a generation of 1 or more".to_owned(), "0".to_owned()));
        }
        if self.segments.is_empty() {
            return Err(("a segment".to_owned(), "none".to_owned()));
        }
        let mut seen = std::collections::HashSet::new();
        let dir = generation_name(self.generation);
        for SegmentRecord { file, .. } in &self.segments {
            let inside = file.split_once('/').is_some_and(|(d, f)| d == dir && is_file_name(f));
            if !inside {
                return Err((format!("a file in {dir}/"), format!("{file:?}")));
            }
            if !seen.insert(file) {
                return Err(("each file once".to_owned(), format!("{file:?} twice")));
            }
        }
        Ok(())
    }
}

/// A `u64` as 16 hexadecimal digits: JSON readers elsewhere round large numbers.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{value:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
