//! The sets that are swept: items, test queries, and where their true neighbors are.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use vicinage::types::Metric;
use vicinage_datasets::catalog::{Catalog, CatalogSet, Role};
use vicinage_datasets::{Format, InputSpec, describe_hdf5};

use crate::ann;
use crate::datasets::{Files, MANIFEST, io};
use crate::demo;
use crate::exit::Failure;

/// A set, nothing of it read yet.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) base: InputSpec,
    pub(crate) queries: InputSpec,
    /// Ids of true neighbors, where the set has them.
    pub(crate) truth: Option<InputSpec>,
    pub(crate) metric: Metric,
}

impl Set {
    /// The set that `given` names: an HDF5 file, a folder with a `dataset.toml`, a fetched folder
    /// of the catalog, or the bundled `onet-jobs`.
    pub(crate) fn find(given: &str) -> Result<Self, Failure> {
        let path = Path::new(given);
        if path.is_dir() {
            let manifest = path.join(MANIFEST);
            return if manifest.is_file() {
                Self::of_manifest(&manifest)
            } else {
                Self::of_catalog(path)
            };
        }
        if path.is_file() {
            return match Format::of(path) {
                Some(Format::Hdf5) => Self::of_hdf5(path),
                _ if path.file_name().is_some_and(|name| name == MANIFEST) => {
                    Self::of_manifest(path)
                }
                _ => Err(Failure::usage(format!("{given} is no set"))
                    .expected(
                        "an .hdf5 file, a folder with dataset.toml, or a fetched folder",
                        "another file",
                    )
                    .next("name its parts with --input, --queries, --truth and --metric")),
            };
        }
        if given == demo::NAME {
            let data = Path::new(demo::DATA);
            return Ok(Self {
                name: given.to_owned(),
                base: data.join("items.f16.npy").into(),
                queries: data.join("test.f16.npy").into(),
                truth: None,
                metric: Metric::Ip,
            });
        }
        let failure = Failure::usage(format!("there is no set at {given}"));
        Err(match Catalog::built_in().find(given) {
            Some(_) => failure.next(format!("index-tools datasets fetch {given}")),
            None => failure.next("index-tools datasets list shows public sets; onet-jobs is here"),
        })
    }

    fn of_hdf5(path: &Path) -> Result<Self, Failure> {
        let file = describe_hdf5(path)?;
        let distance = file.metric.unwrap_or_default();
        let metric = ann::metric_of(&distance).ok_or_else(|| {
            let expected =
                "an attribute `distance`: euclidean, angular, cosine, normalized, ip or dot";
            Failure::data(format!("{} cannot be searched", path.display()))
                .expected(expected, format!("{distance:?}"))
        })?;
        let part = |name: &str| InputSpec { path: path.to_owned(), column: Some(name.to_owned()) };
        let has = |name: &str| file.arrays.iter().any(|array| array.name == name);
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            base: part("train"),
            queries: part("test"),
            truth: has("neighbors").then(|| part("neighbors")),
            metric,
        })
    }

    fn of_manifest(path: &Path) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Manifest {
            metric: String,
            files: Files,
        }
        let refused = |why: String| {
            Failure::data(format!("{} does not describe a set: {why}", path.display()))
        };
        let text = fs::read_to_string(path)?;
        let manifest: Manifest = toml::from_str(&text).map_err(|e| refused(e.to_string()))?;
        let metric = manifest.metric.parse().map_err(|e| refused(format!("{e}")))?;
        let path = path.canonicalize()?;
        let folder = path.parent().unwrap_or(&path);
        let files = manifest.files;
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            base: folder.join(files.base).into(),
            queries: folder.join(files.test).into(),
            truth: files.truth_ids.map(|name| folder.join(name).into()),
            metric,
        })
    }

    /// A folder that `datasets fetch` made: the set whose files it has.
    fn of_catalog(folder: &Path) -> Result<Self, Failure> {
        let file = |set: &CatalogSet, role: Role| {
            let file = set.files.iter().find(|file| file.role == role)?;
            Some(folder.join(file.file_name())).filter(|path| path.is_file())
        };
        for set in &Catalog::built_in().sets {
            if let Some(all) = file(set, Role::All).filter(|p| Format::of(p) == Some(Format::Hdf5))
            {
                return Self::of_hdf5(&all);
            }
            let (Some(base), Some(test)) = (file(set, Role::Base), file(set, Role::Test)) else {
                continue;
            };
            let metric = set.metric.as_deref().unwrap_or("l2");
            return Ok(Self {
                name: set.name.clone(),
                base: base.into(),
                queries: test.into(),
                truth: file(set, Role::Truth).map(InputSpec::from),
                metric: metric.parse().map_err(|e| Failure::data(format!("{e}")))?,
            });
        }
        Err(Failure::usage(format!("{} holds no set", folder.display()))
            .expected("a dataset.toml, or the files of a set of the catalog", "neither")
            .next("name its parts with --input, --queries, --truth and --metric"))
    }

    /// Tells sets of one name apart: by place, length and time of their files.
    pub(crate) fn fingerprint(&self) -> Result<String, Failure> {
        let mut digest = Sha256::new();
        for spec in [&self.base, &self.queries] {
            digest.update(spec.to_string());
            // A pattern has no metadata; its files are then told apart by name only.
            digest.update(file_state(&spec.path).unwrap_or_default());
        }
        digest.update(self.metric.name());
        Ok(short(&digest.finalize()))
    }
}

/// Tells files of one name apart, without reading them: place, length, time of the last change.
pub(crate) fn file_state(path: &Path) -> Result<String, Failure> {
    let refused = |error| io("find", path, &error);
    let path = path.canonicalize().map_err(refused)?;
    let metadata = fs::metadata(&path).map_err(refused)?;
    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{} {} {}", path.display(), metadata.len(), since.as_nanos()))
}

/// The beginning of a digest, as a name.
pub(crate) fn short(digest: &[u8]) -> String {
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
