//! The probe: what a build finds out by itself, on a sample. The kind of codes is found by a scan, see
//! `probe_codes.rs`; `alpha` and backfill by small builds. Their best values differ between sets,
//! above all for inner product, so no constant would do.
//!
//! Each candidate rule builds a graph of the sample; queries, where some were given, or held-out items
//! are asked of it; the rule whose graph costs the fewest distances wins, but for [`OF_USERS`]. By inner product no
//! graph may find all that items ask for, some of which are nobody's neighbors: see [`common_recall`].

use crate::builder::codes::BuiltCodes;
use crate::builder::cost::{Cost, common_recall};
use crate::builder::items::Items;
use crate::builder::probe_codes::probe_codes;
use crate::builder::sample::{K, Sample, sample_size};
use crate::builder::{BuildError, BuildParams, BuilderKind, CodesChoice};
use crate::eval::metrics::recall_by_id;
use crate::graph::insert::insert_all;
use crate::graph::levels::LevelsLayout;
use crate::graph::prune::PruneRule;
use crate::progress::{Progress, Silent};
use crate::quantizers::{CodeKind, CodeSpace};
use crate::search::{Scratch, SearchParams, Target, search};
use crate::segments::meta::{CodesProbe, ProbeRecord};
use crate::types::{Metric, Neighbor};

/// What is used where the input is too small to probe.
const DEFAULT_RULE: PruneRule = PruneRule { alpha: 1.1, backfill: true };

/// By inner product, users lie elsewhere than the items that stand in for them, and want more edges: this
/// rule …
const OF_USERS: PruneRule = PruneRule { alpha: 1.4, backfill: false };

/// … unless held-out items take so many times the distances with it (docs/engine.md).
const DEARER: f64 = 1.2;

/// The rules tried. For inner product, whose augmented space is strongly stretched, larger slack
/// without backfill can win by far.
fn candidates(metric: Metric) -> Vec<PruneRule> {
    let rules: &[(f32, bool)] = match metric {
        Metric::L2 | Metric::Cosine => &[(1.0, true), (1.1, true), (1.2, true)],
        Metric::Ip => &[(1.1, true), (1.2, false), (1.4, false)],
    };
    rules.iter().map(|&(alpha, backfill)| PruneRule { alpha, backfill }).collect()
}

/// The rules to choose from: those that agree with what `params` says.
fn open_rules(params: &BuildParams) -> Vec<PruneRule> {
    let mut rules = candidates(params.metric);
    rules.retain(|rule| {
        params.alpha.is_none_or(|alpha| alpha == rule.alpha)
            && params.backfill.is_none_or(|backfill| backfill == rule.backfill)
    });
    rules
}

/// How many small builds the probe makes.
pub(super) fn probe_builds(params: &BuildParams) -> usize {
    let given = params.alpha.is_some() && params.backfill.is_some();
    match open_rules(params).len() {
        _ if given || params.builder == BuilderKind::HnswRs => 0,
        0 | 1 => 0,
        rules => rules,
    }
}

/// What is built by.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) rule: PruneRule,
    /// What each rule took, if several were tried.
    pub(super) rules: Vec<ProbeRecord>,
    /// What searches will read in place of the vectors, if anything.
    pub(super) codes: Option<CodeKind>,
    /// What each kind of codes found, if they were tried.
    pub(super) codes_probe: Vec<CodesProbe>,
}

impl Choices {
    /// What `params` says, and defaults for what it leaves open.
    pub(super) fn of(params: &BuildParams) -> Self {
        let rule = PruneRule {
            alpha: params.alpha.unwrap_or(DEFAULT_RULE.alpha),
            backfill: params.backfill.unwrap_or(DEFAULT_RULE.backfill),
        };
        let codes = match params.codes {
            CodesChoice::None => None,
            CodesChoice::Auto | CodesChoice::I8 => Some(CodeKind::I8),
            CodesChoice::U4 => Some(CodeKind::U4),
        };
        Self { rule, rules: Vec::new(), codes, codes_probe: Vec::new() }
    }
}

/// How many items to sample for what `params` leaves open; `None` where there is nothing to find
/// out, or too few items to find it out by.
pub(super) fn wanted(params: &BuildParams, n: usize) -> Option<usize> {
    let open = probe_builds(params) > 0 || params.codes == CodesChoice::Auto;
    sample_size(n).filter(|_| open)
}

/// Finds what `params` leaves open, on a sample of `size` items.
pub(super) fn probe(
    items: &Items,
    size: usize,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
    progress: &dyn Progress,
) -> Result<Choices, BuildError> {
    let mut choices = Choices::of(params);
    let sample = Sample::draw(items, size, params.queries.as_deref(), params.seed, pool);
    if params.codes == CodesChoice::Auto {
        (choices.codes, choices.codes_probe) = probe_codes(&sample, pool)?;
    }
    if probe_builds(params) == 0 {
        return Ok(choices);
    }
    let codes = BuiltCodes::encode(&sample.items, CodeKind::I8, pool, &Silent)?;
    let rules = open_rules(params);
    let mut costs = Vec::new();
    for rule in &rules {
        costs.push(cost(&sample, &codes, *rule, params, pool)?);
        progress.advance(1);
        if progress.cancelled() {
            return Err(BuildError::Cancelled);
        }
    }
    let recall = common_recall(&costs);
    choices.rules.extend(rules.iter().zip(&costs).map(|(rule, cost)| {
        let (alpha, backfill, distances) = (rule.alpha, rule.backfill, cost.at(recall) as f32);
        ProbeRecord { alpha, backfill, distances }
    }));
    let stand_in = params.metric == Metric::Ip && params.queries.is_none();
    let dear = |rule: &PruneRule, cost: &Cost| {
        let distances = cost.at(recall);
        if stand_in && *rule == OF_USERS { distances / DEARER } else { distances }
    };
    let tried = rules.iter().zip(&costs).map(|(rule, cost)| (rule, dear(rule, cost)));
    let best = tried.filter(|(_, dear)| dear.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((rule, _)) = best {
        choices.rule = *rule;
    }
    Ok(choices)
}

/// What a graph of the sample that is built by `rule` costs.
fn cost(
    sample: &Sample,
    codes: &BuiltCodes,
    rule: PruneRule,
    params: &BuildParams,
    pool: &rayon::ThreadPool,
) -> Result<Cost, BuildError> {
    let items = &sample.items;
    let insert = params.insert_params(rule);
    let order = items.insert_order(params.seed);
    let graph =
        insert_all(&CodeSpace::new(codes.view(), items.extras()), &order, &insert, pool, &Silent)?;
    let words = graph.levels.words();
    let Ok(layout) = LevelsLayout::parse(&words, items.len()) else {
        return Ok(Cost::default());
    };
    let target = Target {
        vectors: items.vectors(),
        metric: items.metric(),
        scales: items.scales(),
        codes: Some(codes.view()),
        graph: graph.adjacency(),
        levels: (&words, &layout),
        entry_points: None,
    };
    Ok(Cost::of(|ef| measure(&target, ef, sample)))
}

/// Mean recall and distances per query at one list size.
fn measure(target: &Target<'_>, ef: usize, sample: &Sample) -> (f64, f64) {
    let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
    let (mut scratch, mut found) = (Scratch::default(), Vec::<Neighbor>::new());
    let (mut recall, mut distances) = (0.0, 0.0);
    for (query, exact) in sample.asked() {
        if let Ok(account) = search(target, &mut scratch, query, &params, &mut found) {
            let ids: Vec<u64> = found.iter().map(|neighbor| u64::from(neighbor.node.0)).collect();
            recall += recall_by_id(&ids, exact);
            distances += account.distances as f64;
        }
    }
    let queries = sample.queries.len() as f64;
    (recall / queries, distances / queries)
}
