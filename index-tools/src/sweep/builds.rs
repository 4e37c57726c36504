//! What is built and what is searched: parameters of a sweep, from flags or a TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;
use vicinage::builder::{BuildParams, BuilderKind, CodesChoice};
use vicinage::index::{Calibration, Effort, Plan, SearchParams};
use vicinage::types::{ElementType, Metric, UnknownName};
use vicinage_datasets::{InputSpec, SpecError};

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
    /// File of logged queries that the index learns from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) learn: Option<String>,
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
            learn: None,
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
        self.learned().map(drop)
    }

    /// The file that the index learns from.
    pub(crate) fn learned(&self) -> Result<Option<InputSpec>, Failure> {
        let learned = self.learn.as_deref().map(str::parse).transpose();
        learned.map_err(|e: SpecError| Failure::usage(e.to_string()))
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
        flags.extend(self.learn.clone().map(|file| ("--queries", file)));
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

/// How an index is searched: the parameters that are given, of which some go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SearchSpec {
    /// The graph is walked with a candidate list of this size,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ef: Option<usize>,
    /// ends where the rest is this many times as far as the `k`th result,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slack: Option<f64>,
    /// and scores so many candidates on their vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rerank: Option<usize>,
    /// The calibration says how hard to search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_recall: Option<f64>,
    /// Every vector is scored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) exact: bool,
    /// Among some items: in this way, or in the one that is estimated to be the fastest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PlanChoice>,
}

/// How items that pass a filter are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlanChoice {
    /// As is estimated to be the fastest.
    Auto,
    /// In this way.
    #[serde(untagged)]
    Forced(Plan),
}

impl PlanChoice {
    pub(crate) fn forced(self) -> Option<Plan> {
        match self {
            Self::Auto => None,
            Self::Forced(plan) => Some(plan),
        }
    }
}

impl std::str::FromStr for PlanChoice {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Forced).map_err(|unknown: UnknownName| UnknownName {
            expected: format!("auto, {}", unknown.expected),
            ..unknown
        })
    }
}

impl SearchSpec {
    pub(crate) fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }

    pub(crate) fn recall(target: f64) -> Self {
        Self { target_recall: Some(target), ..Self::default() }
    }

    /// Checks what the index would refuse in the middle of a sweep.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let walks = self.ef.is_some() || self.slack.is_some() || self.rerank.is_some();
        let ways = [walks, self.target_recall.is_some(), self.exact];
        if ways.into_iter().filter(|&given| given).count() != 1 {
            let found = serde_json::to_string(self).unwrap_or_default();
            return Err(Failure::usage("a search cannot be that").expected(
                "ef with or without slack and rerank; or target_recall; or exact",
                found,
            ));
        }
        if let Some(slack) = self.slack.filter(|slack| !(slack.is_finite() && *slack >= 1.0)) {
            return Err(Failure::usage("--slack cannot be that")
                .expected("numbers from 1", slack.to_string()));
        }
        if let Some(recall) = self.target_recall.filter(|recall| !(0.0..=1.0).contains(recall)) {
            return Err(Failure::usage("--target-recall cannot be that")
                .expected("shares from 0 to 1", recall.to_string()));
        }
        Ok(())
    }

    pub(crate) fn search(self, k: usize) -> SearchParams {
        let Self { ef, slack, rerank, target_recall, exact, plan } = self;
        let plan = plan.and_then(PlanChoice::forced);
        let (slack, target_recall) = (slack.map(|x| x as f32), target_recall.map(|x| x as f32));
        SearchParams { ef, slack, rerank, target_recall, exact, plan, ..SearchParams::top(k) }
    }

    /// As it stands in a result line.
    pub(crate) fn params(self) -> Params {
        match json!(self) {
            serde_json::Value::Object(params) => params,
            _ => Params::new(),
        }
    }
}

/// The searches of a sweep, as flags or a file name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Searches {
    pub(crate) ef: Vec<usize>,
    pub(crate) slack: Vec<f64>,
    pub(crate) rerank: Vec<usize>,
    pub(crate) target_recall: Vec<f64>,
    pub(crate) exact: bool,
}

impl Searches {
    /// Whether no effort is named, so that a ladder of ours is climbed, which may end early.
    pub(crate) fn usual(&self) -> bool {
        self.ef.is_empty() && self.unlisted() && self.target_recall.is_empty()
    }

    fn unlisted(&self) -> bool {
        self.slack.is_empty() && self.rerank.is_empty()
    }

    /// The searches at `k`, from fast to good. Where nothing is named: those that reach rising
    /// recalls, as the calibration says, or lists of rising size without one.
    pub(crate) fn at(&self, k: usize, calibration: Option<&Calibration>) -> Vec<SearchSpec> {
        let mut searches = match calibration {
            Some(calibration) if self.usual() => recalls(calibration, k),
            _ => self.walks(k),
        };
        searches.extend(self.target_recall.iter().map(|&target| SearchSpec::recall(target)));
        searches.extend(self.exact.then(SearchSpec::exact));
        searches
    }

    /// Every list with every slack and every number of reranked candidates.
    fn walks(&self, k: usize) -> Vec<SearchSpec> {
        if self.ef.is_empty() && self.unlisted() && !self.target_recall.is_empty() {
            return Vec::new();
        }
        let mut ef = if self.ef.is_empty() { ladder(k) } else { self.ef.clone() };
        ef.sort_unstable();
        ef.dedup();
        let (slacks, reranks) = (listed(&self.slack), listed(&self.rerank));
        let walk = |(slack, rerank)| {
            let spec = SearchSpec { slack, rerank, ..SearchSpec::default() };
            ef.iter().map(move |&ef| SearchSpec { ef: Some(ef), ..spec }).collect::<Vec<_>>()
        };
        let pairs = slacks.iter().flat_map(|&slack| reranks.iter().map(move |&r| (slack, r)));
        pairs.flat_map(walk).collect()
    }
}

/// What is listed, or once nothing.
pub(crate) fn listed<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

/// Recalls that give a curve from fast to good.
const RECALLS: [f64; 12] =
    [0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.975, 0.98, 0.985, 0.99, 0.995, 0.999];

/// The recalls that differ in what they cost: from some recall on all are the best there is.
fn recalls(calibration: &Calibration, k: usize) -> Vec<SearchSpec> {
    let mut searches: Vec<(SearchSpec, Option<Effort>)> =
        RECALLS.map(|r| (SearchSpec::recall(r), calibration.effort(k, r as f32))).into();
    searches.dedup_by_key(|(_, effort)| effort.map(|effort| effort.recall.to_bits()));
    searches.into_iter().map(|(search, _)| search).collect()
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
    pub(crate) slack: Vec<f64>,
    pub(crate) rerank: Vec<usize>,
    pub(crate) target_recall: Vec<f64>,
    pub(crate) exact: bool,
    pub(crate) threads: Vec<usize>,
    pub(crate) rate: Vec<f64>,
    pub(crate) rounds: Option<usize>,
    pub(crate) min_seconds: Option<f64>,
    pub(crate) pin: bool,
    pub(crate) batch: bool,
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
    use vicinage::index::{CalibrationPath, CalibrationPoint};

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
    fn a_search_has_the_parameters_that_are_given() {
        for text in [
            r#"{"ef":40}"#,
            r#"{"ef":40,"slack":1.3,"rerank":12}"#,
            r#"{"target_recall":0.95}"#,
            r#"{"exact":true}"#,
        ] {
            let spec: SearchSpec = serde_json::from_str(text).unwrap();
            spec.check().unwrap();
            assert_eq!(serde_json::to_string(&spec).unwrap(), text);
        }
        for text in
            ["{}", r#"{"ef":4,"target_recall":0.9}"#, r#"{"slack":0.9}"#, r#"{"target_recall":2}"#]
        {
            assert!(serde_json::from_str::<SearchSpec>(text).unwrap().check().is_err(), "{text}");
        }
    }

    #[test]
    fn searches_are_what_is_named_or_a_ladder() {
        let point = |ef, recall| CalibrationPoint {
            ef,
            slack: None,
            rerank: ef,
            recall,
            distances: ef as f32,
            microseconds: None,
        };
        let points = vec![point(10, 0.7), point(40, 0.96)];
        let calibration = Calibration {
            queries_from: "queries".to_owned(),
            queries: 9,
            paths: vec![CalibrationPath { k: 10, points }],
        };
        let at = |searches: Searches| searches.at(10, Some(&calibration));
        let usual = at(Searches::default());
        assert_eq!(usual.first(), Some(&SearchSpec::recall(0.8)));
        assert_eq!(usual.last(), Some(&SearchSpec::recall(0.965)), "the best there is");
        assert_eq!(Searches::default().at(10, None).len(), ladder(10).len());
        let named = |ef: &[usize], slack: &[f64], target: &[f64]| {
            let (ef, slack, target_recall) = (ef.to_vec(), slack.to_vec(), target.to_vec());
            at(Searches { ef, slack, target_recall, exact: true, ..Searches::default() })
        };
        assert_eq!(named(&[40, 4], &[1.1, 1.3], &[]).len(), 5);
        assert_eq!(named(&[], &[], &[0.9]), [SearchSpec::recall(0.9), SearchSpec::exact()]);
        assert_eq!(named(&[], &[1.2], &[]).len(), ladder(10).len() + 1);
    }

    #[test]
    fn an_unknown_key_of_a_file_is_refused() {
        assert!(toml::from_str::<Config>("k = [10]\n[[build]]\nmax_degree = 8").is_ok());
        assert!(toml::from_str::<Config>("k = [10]\n[[build]]\nM = 8").is_err());
        assert!(toml::from_str::<Config>("kk = [10]").is_err());
    }
}
