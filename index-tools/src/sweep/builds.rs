//! What is built and what is searched: parameters of a sweep, from flags or a TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use vicinage::builder::{BuildParams, BuilderKind, CodesChoice};
use vicinage::index::SearchParams;
use vicinage::types::{ElementType, Metric};

use crate::exit::Failure;
use crate::results::Params;

/// The parameters of one build; what is not named is the default of `build`, and what that finds
/// by itself is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BuildSpec {
    pub(crate) builder: String,
    /// As `build` has it for the metric where it is not named.
    pub(crate) max_degree: Option<usize>,
    pub(crate) codes: String,
    pub(crate) ef_construction: usize,
    pub(crate) alpha: Option<f32>,
    pub(crate) backfill: Option<bool>,
    pub(crate) element: Option<String>,
    pub(crate) seed: u64,
    /// Threads of the build; 0 is one a core.
    pub(crate) threads: usize,
}

impl Default for BuildSpec {
    fn default() -> Self {
        // The metric decides none of these.
        let params = BuildParams::new(Metric::L2);
        Self {
            builder: params.builder.name().to_owned(),
            max_degree: None,
            codes: params.codes.name().to_owned(),
            ef_construction: params.ef_construction,
            alpha: None,
            backfill: None,
            element: None,
            seed: params.seed,
            threads: crate::args::threads_or_cores(0),
        }
    }
}

impl BuildSpec {
    /// Checks the names, which the build would refuse only after others were built.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.builder.parse::<BuilderKind>().map_err(|e| Failure::usage(e.to_string()))?;
        self.codes.parse::<CodesChoice>().map_err(|e| Failure::usage(e.to_string()))?;
        if let Some(element) = &self.element {
            element.parse::<ElementType>().map_err(|e| Failure::usage(e.to_string()))?;
        }
        Ok(())
    }

    /// As flags of `build`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut flags = vec![
            ("--builder", self.builder.clone()),
            ("--codes", self.codes.clone()),
            ("--ef-construction", self.ef_construction.to_string()),
            ("--seed", self.seed.to_string()),
            ("--threads", self.threads.to_string()),
        ];
        flags.extend(self.max_degree.map(|degree| ("--max-degree", degree.to_string())));
        flags.extend(self.alpha.map(|alpha| ("--alpha", alpha.to_string())));
        flags.extend(self.backfill.map(|backfill| ("--backfill", backfill.to_string())));
        flags.extend(self.element.clone().map(|element| ("--element", element)));
        flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// As they stand in a result line.
    pub(crate) fn params(&self) -> Params {
        match json!(self) {
            serde_json::Value::Object(params) => params,
            _ => Params::new(),
        }
    }
}

/// How an index is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) enum SearchSpec {
    /// The graph is walked with a candidate list of this size.
    Ef(usize),
    /// Every vector is scored.
    Exact(bool),
}

impl SearchSpec {
    pub(crate) fn search(self, k: usize) -> SearchParams {
        match self {
            Self::Ef(ef) => SearchParams { ef: Some(ef), ..SearchParams::top(k) },
            Self::Exact(exact) => SearchParams { exact, ..SearchParams::top(k) },
        }
    }

    /// As it stands in a result line.
    pub(crate) fn params(self) -> Params {
        let (name, value) = match self {
            Self::Ef(ef) => ("ef", json!(ef)),
            Self::Exact(exact) => ("exact", json!(exact)),
        };
        Params::from_iter([(name.to_owned(), value)])
    }
}

/// Candidate lists that give a curve from fast to good: from `k` in steps of about √2.
pub(crate) fn ladder(k: usize) -> Vec<usize> {
    const STEPS: usize = 14;
    let first = k.max(10) as f64;
    (0..STEPS).map(|step| (first * 2f64.powf(step as f64 / 2.0)).round() as usize).collect()
}

/// A sweep as a TOML file has it. Flags come before it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) dataset: Vec<String>,
    pub(crate) k: Vec<usize>,
    pub(crate) ef: Vec<usize>,
    pub(crate) exact: bool,
    pub(crate) threads: Vec<usize>,
    pub(crate) rate: Vec<f64>,
    pub(crate) rounds: Option<usize>,
    pub(crate) min_seconds: Option<f64>,
    pub(crate) pin: bool,
    pub(crate) build: Vec<BuildSpec>,
}

impl Config {
    pub(crate) fn read(path: &PathBuf) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
        toml::from_str(&text)
            .map_err(|e| Failure::usage(format!("{} is no sweep: {e}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_begins_at_k_and_rises() {
        assert_eq!(ladder(10)[..6], [10, 14, 20, 28, 40, 57]);
        for k in [1, 10, 100, 2000] {
            let steps = ladder(k);
            assert!(steps[0] >= k && steps.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn an_unknown_key_of_a_file_is_refused() {
        assert!(toml::from_str::<Config>("k = [10]\n[[build]]\nmax_degree = 8").is_ok());
        assert!(toml::from_str::<Config>("k = [10]\n[[build]]\nM = 8").is_err());
        assert!(toml::from_str::<Config>("kk = [10]").is_err());
    }
}
