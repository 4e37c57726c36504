//! The embedding space of an index: which model made its vectors. Vectors of two checkpoints of one model
//! have nothing to do with each other, and nothing but bad answers shows it; so an index says what it is of,
//! and whoever asks may say the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::{Metric, named};

/// A larger section is refused.
pub const SPACE_BYTES_MAX: usize = 4096;

/// The longest name of a family or a checkpoint.
const NAME_MAX: usize = 64;

/// How far the norm of a vector may be from 1 that is said to be of unit length: what half precision
/// leaves of it, and a little.
pub const UNIT_TOLERANCE: f32 = 0.01;

/// What model the vectors are of: the content of `space.toml`, which the towers' exporter writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// The model, without its weights: `jobs-two-tower`. Letters, digits, `.`, `_`, `+` and `-`.
    pub family: String,
    /// Its weights: `2026-11-25`, `step-40000`. Like the family.
    pub checkpoint: String,
    /// Components of a vector.
    pub dim: u32,
    /// What was done with the lengths of vectors.
    pub normalization: Normalization,
    /// How closeness is measured.
    pub metric: Metric,
    /// Which of the model's towers made these vectors. No part of the id: towers share a space.
    pub tower: Tower,
}

/// What was done with the lengths of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Nothing: lengths mean something, such as popularity.
    None,
    /// All have length 1.
    Unit,
}

impl Normalization {
    /// Every normalization.
    pub const ALL: [Normalization; 2] = [Normalization::None, Normalization::Unit];

    /// The name used in files and ids.
    pub fn name(self) -> &'static str {
        match self {
            Normalization::None => "none",
            Normalization::Unit => "unit",
        }
    }
}

named!(Normalization, "normalization");

/// Which of a model's towers made vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tower {
    /// That of the items.
    Item,
    /// That of the users, whose vectors are queries.
    User,
    /// There is one for both.
    Shared,
}

/// What is wrong with a space, or with two that should be one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// A name that could not stand in an id.
    #[error(
        "{field}: expected 1 to {NAME_MAX} letters, digits, '.', '_', '+' and '-', found {found:?}"
    )]
    Name {
        /// `family` or `checkpoint`.
        field: &'static str,
        /// What it is.
        found: String,
    },
    /// The vectors are not those of the space.
    #[error("the space has {field} {expected}, the vectors have {found}")]
    Vectors {
        /// `dim` or `metric`.
        field: &'static str,
        /// What the space says.
        expected: String,
        /// What they have.
        found: String,
    },
    /// Vectors of another space. What they are nearest to means nothing.
    #[error("the vectors are of another space: expected {expected}, found {found}")]
    Mismatch {
        /// That of the index.
        expected: String,
        /// That of the vectors.
        found: String,
    },
    /// Nobody said of what space the vectors are.
    #[error("expected a space_id, {expected}, found none")]
    Unnamed {
        /// That of the index.
        expected: String,
    },
    /// The index does not say of what space it is.
    #[error("the index was built without a space to hold {found} against; build it with --space")]
    Unknown {
        /// That of the vectors.
        found: String,
    },
}

/// What is done where a query does not say of what space it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpacePolicy {
    /// It is refused.
    Required,
    /// It is answered, with a warning.
    #[default]
    Warn,
    /// It is answered; also where it says another one.
    Ignore,
}

impl SpacePolicy {
    /// Every policy.
    pub const ALL: [SpacePolicy; 3] =
        [SpacePolicy::Required, SpacePolicy::Warn, SpacePolicy::Ignore];

    /// The name used on command lines.
    pub fn name(self) -> &'static str {
        match self {
            SpacePolicy::Required => "required",
            SpacePolicy::Warn => "warn",
            SpacePolicy::Ignore => "ignore",
        }
    }

    /// Holds the id that a query names against that of the index; what is to be warned of, if anything.
    /// Two different ids are an error unless they are ignored.
    ///
    /// # Errors
    /// [`SpaceError::Mismatch`]; by [`SpacePolicy::Required`] also `Unnamed` and `Unknown`.
    pub fn check(
        self,
        index: Option<&str>,
        query: Option<&str>,
    ) -> Result<Option<SpaceError>, SpaceError> {
        let doubt = match (index, query) {
            _ if self == SpacePolicy::Ignore => return Ok(None),
            (None, None) => return Ok(None),
            (Some(expected), Some(found)) if expected == found => return Ok(None),
            (Some(expected), Some(found)) => {
                let (expected, found) = (expected.to_owned(), found.to_owned());
                return Err(SpaceError::Mismatch { expected, found });
            }
            (Some(expected), None) => SpaceError::Unnamed { expected: expected.to_owned() },
            (None, Some(found)) => SpaceError::Unknown { found: found.to_owned() },
        };
        match self {
            SpacePolicy::Required => Err(doubt),
            SpacePolicy::Warn | SpacePolicy::Ignore => Ok(Some(doubt)),
        }
    }
}

named!(SpacePolicy, "space policy");

impl Space {
    /// What two vectors have to have in common to be compared:
    /// `FAMILY@CHECKPOINT/METRIC/DIM/NORMALIZATION`.
    pub fn id(&self) -> String {
        self.to_string()
    }

    /// Whether all vectors have length 1.
    pub fn is_unit(&self) -> bool {
        self.normalization == Normalization::Unit
    }

    /// Checks that the names can stand in an id, and that vectors of `dim` components that are compared
    /// by `metric` can be of this space.
    ///
    /// # Errors
    /// [`SpaceError::Name`], [`SpaceError::Vectors`].
    pub fn check(&self, dim: usize, metric: Metric) -> Result<(), SpaceError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        for (field, name) in [("family", &self.family), ("checkpoint", &self.checkpoint)] {
            if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(legal) {
                return Err(SpaceError::Name { field, found: name.chars().take(80).collect() });
            }
        }
        let differ = |field, expected: String, found: String| {
            Err(SpaceError::Vectors { field, expected, found })
        };
        if self.dim as usize != dim {
            return differ("dim", self.dim.to_string(), dim.to_string());
        }
        if self.metric != metric {
            return differ("metric", self.metric.to_string(), metric.to_string());
        }
        Ok(())
    }

    /// The bytes of the section: JSON with the keys of `space.toml`.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the section; what is wrong comes as text.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > SPACE_BYTES_MAX {
            return Err(format!("{} bytes, more than {SPACE_BYTES_MAX}", bytes.len()));
        }
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// The id.
impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, checkpoint, dim, normalization, metric, tower: _ } = self;
        write!(f, "{family}@{checkpoint}/{metric}/{dim}/{normalization}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space {
            family: "jobs".to_owned(),
            checkpoint: "2026-11-25".to_owned(),
            dim: 64,
            normalization: Normalization::None,
            metric: Metric::Ip,
            tower: Tower::Item,
        }
    }

    #[test]
    fn an_id_has_all_that_makes_vectors_comparable() {
        assert_eq!(space().id(), "jobs@2026-11-25/ip/64/none");
        assert_eq!(Space { tower: Tower::User, ..space() }.id(), space().id());
        assert_eq!(Space::decode(&space().encode()), Ok(space()));
    }

    #[test]
    fn names_and_vectors_that_cannot_be_are_refused() {
        assert_eq!(space().check(64, Metric::Ip), Ok(()));
        for name in ["", "a/b", "a@b", "é", &"x".repeat(65)] {
            let error = Space { family: name.to_owned(), ..space() }.check(64, Metric::Ip);
            assert!(matches!(error, Err(SpaceError::Name { field: "family", .. })), "{name}");
        }
        let fields = [space().check(65, Metric::Ip), space().check(64, Metric::L2)].map(|error| {
            let Err(SpaceError::Vectors { field, .. }) = error else { panic!("{error:?}") };
            field
        });
        assert_eq!(fields, ["dim", "metric"]);
    }

    #[test]
    fn a_policy_decides_what_is_refused_and_what_is_warned_of() {
        let (a, b) = (Some("a"), Some("b"));
        let check = |policy: SpacePolicy, index, query| match policy.check(index, query) {
            Ok(None) => "ok",
            Ok(Some(_)) => "warns",
            Err(_) => "refused",
        };
        // Required, warn, ignore.
        for (index, query, expected) in [
            (a, a, ["ok", "ok", "ok"]),
            (a, b, ["refused", "refused", "ok"]),
            (a, None, ["refused", "warns", "ok"]),
            (None, a, ["refused", "warns", "ok"]),
            (None, None, ["ok", "ok", "ok"]),
        ] {
            let found = SpacePolicy::ALL.map(|policy| check(policy, index, query));
            assert_eq!(found, expected, "{index:?} {query:?}");
        }
    }
}
