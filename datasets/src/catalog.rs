//! The public sets that are known by name: where they lie, what they hold, under which licence.
//!
//! The list is `datasets/catalog.toml`, which says where its figures are from.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("../catalog.toml");

/// The sets, by name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The sets, in the order of the file.
    #[serde(rename = "set")]
    pub sets: Vec<CatalogSet>,
}

/// A set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogSet {
    /// The name by which it is fetched.
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
    /// Where its figures are from.
    pub source: String,
    /// Its licence as the publisher states it, or that none is stated.
    pub licence: String,
    /// Items.
    pub n: u64,
    /// Components of a vector; none for sets without vectors.
    pub dim: Option<u32>,
    /// Test queries.
    pub queries: Option<u64>,
    /// The metric that its truth is in: l2, ip or cosine.
    pub metric: Option<String>,
    /// Type of a component.
    pub element: Option<String>,
    /// What the reader should know before using it.
    pub note: Option<String>,
    /// Its files; none for the set that comes with the source.
    #[serde(rename = "file", default)]
    pub files: Vec<CatalogFile>,
}

/// A file of a set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogFile {
    /// Where it lies.
    pub url: String,
    /// The name under which it is stored; the last part of the address where it is not given.
    pub store_as: Option<String>,
    /// What it holds.
    pub role: Role,
    /// Its length, where that is certain.
    pub bytes: Option<u64>,
    /// About its length in megabytes, where that is all that is known.
    pub megabytes: Option<u64>,
    /// SHA-256 as its publisher states it, in hexadecimal.
    pub sha256: Option<String>,
}

/// What a file of a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Items, queries and truth together.
    All,
    /// Items.
    Base,
    /// Test queries.
    Test,
    /// Queries to learn from.
    Learn,
    /// Neighbours of the test queries.
    Truth,
    /// Attributes of the items.
    Attributes,
    /// Filters of the test queries.
    Filters,
    /// Who rated what, as an archive.
    Ratings,
}

impl Catalog {
    /// Reads a catalog: TOML with one `[[set]]` a set.
    ///
    /// # Errors
    /// What is wrong with the text, an unknown key included, with its place.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The catalog that is built in.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Catalog> = LazyLock::new(|| match Catalog::parse(TEXT) {
            Ok(catalog) => catalog,
            Err(error) => panic!("the catalog that is built in: {error}"),
        });
        &BUILT_IN
    }

    /// The set of a name.
    pub fn find(&self, name: &str) -> Option<&CatalogSet> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl CatalogSet {
    /// Bytes of all files, as far as they are known, and whether all are known for certain.
    pub fn bytes(&self) -> (u64, bool) {
        let sum = self.files.iter().map(CatalogFile::about_bytes).sum();
        (sum, self.files.iter().all(|file| file.bytes.is_some()))
    }
}

impl CatalogFile {
    /// The name under which the file is stored.
    pub fn file_name(&self) -> &str {
        let last = self.url.rsplit('/').next().unwrap_or(&self.url);
        self.store_as.as_deref().unwrap_or(last)
    }

    fn about_bytes(&self) -> u64 {
        self.bytes.or(self.megabytes.map(|mega| mega * 1_000_000)).unwrap_or(0)
    }
}
