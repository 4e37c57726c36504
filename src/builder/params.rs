//! What a build is told.

use serde::Serialize;

use crate::builder::BuildError;
use crate::graph::insert::{InsertParams, LIST_ROOM, list_slots};
use crate::graph::levels::MAX_DEGREE;
use crate::graph::prune::PruneRule;
use crate::graph::reference::REFERENCE_MAX_DEGREE;
use crate::quantizers::CodeKind;
use crate::segments::space::Space;
use crate::types::{ElementType, Metric, named};

/// Which builder makes the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuilderKind {
    /// Ours.
    Hnsw,
    /// The hnsw_rs crate, converted: a reference and a baseline.
    HnswRs,
}

impl BuilderKind {
    /// Every builder.
    pub const ALL: [BuilderKind; 2] = [BuilderKind::Hnsw, BuilderKind::HnswRs];

    /// The name used on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            BuilderKind::Hnsw => "hnsw",
            BuilderKind::HnswRs => "hnsw-rs",
        }
    }
}

named!(BuilderKind, "builder");

/// What searches read in place of the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodesChoice {
    /// Whatever a probe of the items finds good enough, and fastest.
    Auto,
    /// Nothing: the vectors.
    None,
    /// A byte a component.
    I8,
    /// Half a byte a component.
    U4,
}

impl CodesChoice {
    /// Every choice.
    pub const ALL: [CodesChoice; 4] =
        [CodesChoice::Auto, CodesChoice::None, CodesChoice::I8, CodesChoice::U4];

    /// The name used on command lines and in files.
    pub fn name(self) -> &'static str {
        match self {
            CodesChoice::Auto => "auto",
            CodesChoice::None => "none",
            CodesChoice::I8 => CodeKind::I8.name(),
            CodesChoice::U4 => CodeKind::U4.name(),
        }
    }
}

named!(CodesChoice, "kind of codes");

/// What a build spends on the graph. It is recorded nowhere: the parameters that it stands for are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// A small graph, soon built: for trials, and where items change often.
    Fast,
    /// The defaults.
    Balanced,
    /// More edges and a longer build: where recall near 1 is asked for.
    HighRecall,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 3] = [Preset::Fast, Preset::Balanced, Preset::HighRecall];

    /// The name used on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Fast => "fast",
            Preset::Balanced => "balanced",
            Preset::HighRecall => "high-recall",
        }
    }

    /// Slots per base-layer list, and the candidate list of an insert. Inner product has more edges:
    /// its nearest items are spread over all of the space.
    fn graph(self, metric: Metric) -> (usize, usize) {
        match (self, metric) {
            (Preset::Fast, Metric::Ip) => (32, 64),
            (Preset::Fast, _) => (20, 64),
            (Preset::Balanced, Metric::Ip) => (48, 128),
            (Preset::Balanced, _) => (32, 128),
            (Preset::HighRecall, Metric::Ip) => (80, 320),
            (Preset::HighRecall, _) => (56, 320),
        }
    }
}

named!(Preset, "preset");

/// What a build is told.
#[derive(Clone, Debug)]
pub struct BuildParams {
    /// How closeness is measured.
    pub metric: Metric,
    /// Which builder.
    pub builder: BuilderKind,
    /// Slots per base-layer list, even.
    pub max_degree: usize,
    /// Size of the candidate list of an insert.
    pub ef_construction: usize,
    /// Pruning slack; `None`: found by a probe.
    pub alpha: Option<f32>,
    /// Whether free slots are filled with pruned candidates; `None`: found by a probe.
    pub backfill: Option<bool>,
    /// What searches read in place of the vectors.
    pub codes: CodesChoice,
    /// Store vectors in this type; `None`: as given, or where that is f32 in the narrowest type that holds
    /// all of them exactly: models that compute in bf16 and files that know no other type have such.
    pub element: Option<ElementType>,
    /// Logged queries `[count, dim]`: they show what effort reaches which recall for those who will
    /// ask. Of 200 and more, four in five are learned from, and the others show what that brings.
    pub queries: Option<Vec<f32>>,
    /// Whether to learn from queries.
    pub repair: bool,
    /// Whether to measure what effort reaches which recall.
    pub calibrate: bool,
    /// The model that the vectors are of, for queries to be held against.
    pub space: Option<Space>,
    /// Draws levels and order.
    pub seed: u64,
    /// Threads; 0: one per core.
    pub threads: usize,
    /// Write no clock values, so that the same input gives the same files.
    pub deterministic: bool,
    /// Bytes of memory that the build may take. Where they are few, vectors stay on disk, and then
    /// the growing graph gets shorter lists, which takes longer and gives a slightly other graph.
    pub memory_limit: Option<u64>,
}

impl BuildParams {
    /// The defaults for a metric.
    pub fn new(metric: Metric) -> Self {
        Self::preset(metric, Preset::Balanced)
    }

    /// What our builder is told, where there is memory.
    pub(super) fn insert_params(&self, rule: PruneRule) -> InsertParams {
        InsertParams {
            max_degree: self.max_degree,
            list_slots: list_slots(self.max_degree, LIST_ROOM[0]),
            ef_construction: self.ef_construction,
            rule,
            seed: self.seed,
        }
    }

    /// The defaults for a metric, but for a graph that costs less or more.
    pub fn preset(metric: Metric, preset: Preset) -> Self {
        let (max_degree, ef_construction) = preset.graph(metric);
        Self {
            metric,
            builder: BuilderKind::Hnsw,
            max_degree,
            ef_construction,
            alpha: None,
            backfill: None,
            codes: CodesChoice::Auto,
            element: None,
            queries: None,
            repair: true,
            calibrate: true,
            space: None,
            seed: 1,
            threads: 0,
            deterministic: false,
            memory_limit: None,
        }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let refuse = |name, expected: String, found: String| {
            Err(BuildError::Parameter { name, expected, found })
        };
        let largest = match self.builder {
            BuilderKind::Hnsw => MAX_DEGREE,
            BuilderKind::HnswRs => REFERENCE_MAX_DEGREE,
        };
        if !(4..=largest).contains(&self.max_degree) || !self.max_degree.is_multiple_of(2) {
            let expected = format!("an even number from 4 to {largest}");
            return refuse("max_degree", expected, self.max_degree.to_string());
        }
        if !(1..=16_384).contains(&self.ef_construction) {
            let expected = "1 to 16384".to_owned();
            return refuse("ef_construction", expected, self.ef_construction.to_string());
        }
        if let Some(alpha) = self.alpha.filter(|alpha| !(1.0..=4.0).contains(alpha)) {
            return refuse("alpha", "1 to 4".to_owned(), alpha.to_string());
        }
        if self.builder == BuilderKind::HnswRs {
            if self.deterministic {
                let expected = "builder hnsw; hnsw-rs draws from entropy".to_owned();
                return refuse("deterministic", expected, "builder hnsw-rs".to_owned());
            }
            if self.alpha.is_some() || self.backfill.is_some() {
                let expected = "builder hnsw; hnsw-rs has its own pruning".to_owned();
                return refuse("alpha and backfill", expected, "builder hnsw-rs".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_rise_and_balanced_is_the_default() {
        for metric in Metric::ALL {
            let graphs = Preset::ALL.map(|preset| preset.graph(metric));
            assert!(graphs.is_sorted(), "{graphs:?}");
            for preset in Preset::ALL {
                let params = BuildParams::preset(metric, preset);
                params.check().unwrap();
                BuildParams { builder: BuilderKind::HnswRs, ..params }.check().unwrap();
            }
            let default = BuildParams::new(metric);
            assert_eq!((default.max_degree, default.ef_construction), graphs[1]);
        }
    }
}
