//! One query against one snapshot: check it, plan it, run it, say how it was answered.
//!
//! | plan | when | what runs |
//! |---|---|---|
//! | `all` | k takes every item | a scan, sorted |
//! | `exact` | asked for, or the walk would score as many rows | [`crate::scan`] |
//! | `two-hop` | asked for | [`crate::graph::filtered`], through the items that pass a filter |
//! | `walk` | otherwise | descent and beam search over the graph |
//!
//! | file | what |
//! |---|---|
//! | `traverse.rs` | the walk without a filter |
//! | `among.rs` | searches among some items: those that pass a filter and are not excluded |
//! | `plan.rs` | how they are done: what each way would cost |
//! | `costs.rs` | what the work of each way takes on this machine |

mod among;
pub mod costs;
pub mod plan;
mod traverse;

pub use crate::graph::beam::DEFAULT_EF;
pub use plan::Plan;

use std::marker::PhantomData;
use std::time::Instant;

use serde::Serialize;

use crate::filters::nodes::NodeSet;
use crate::graph::adjacency::Adjacency;
use crate::graph::beam::{Beam, BeamStats, Reach};
use crate::graph::entry_points::EntryPoints;
use crate::graph::levels::LevelsLayout;
use crate::graph::pool::Stop;
use crate::graph::visited::Visited;
use crate::kernels::dispatch;
use crate::quantizers::{CodeKind, Codes};
use crate::scan::{Closest, ScanOne, ScoreNodes, TopK};
use crate::search::plan::{Costs, Planned};
use crate::search::traverse::{Asked, LANES, Lane, WalkCodes, WalkRows};
use crate::types::{Admit, AdmitAll, AdmitAllBut, Metric, Neighbor, NodeId};
use crate::vectors::{Form, Vectors, query_scale};
use crate::{with_codes, with_element};

/// A walk scores at least this many rows per candidate that it keeps, scattered; up to there a
/// scan, which reads in order, costs less and is exact.
const ROWS_PER_CANDIDATE: usize = 8;

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// `[n, dim]`.
    pub vectors: Vectors<'a>,
    /// How closeness is measured.
    pub metric: Metric,
    /// `[n]` scales for cosine, else empty.
    pub scales: &'a [f32],
    /// What a walk reads in place of the vectors, if there is that.
    pub codes: Option<Codes<'a>>,
    /// The base layer.
    pub graph: Adjacency<'a>,
    /// The words of the levels section, and where its parts lie.
    pub levels: (&'a [NodeId], &'a LevelsLayout),
    /// Where searches come in instead, if there is that.
    pub entry_points: Option<EntryPoints<'a>>,
}

/// What a query asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchParams {
    /// How many items to return, at least 1.
    pub k: usize,
    /// Size of the candidate list: how many of the closest candidates are expanded. Below `k`, what else
    /// is returned was met on the way there, which for large `k` is enough for recalls below 1; among some
    /// items it is raised to `k`. `None` is [`DEFAULT_EF`], or `k` where that is more.
    pub ef: Option<usize>,
    /// How many of the candidates that a walk over codes finds are scored on their vectors, the
    /// closest first; `None`: see [`default_rerank`]. Never fewer than `k`. Those beyond `ef` were met on
    /// the way.
    pub rerank: Option<usize>,
    /// Ends a walk once what is left to visit is farther than this many times the `k`th result:
    /// see [`Stop`]. `None`: the list of `ef` candidates decides alone.
    pub slack: Option<f32>,
    /// Find `ef`, `rerank` and `slack` by what was measured when the index was built, so that this
    /// share of the true neighbors is to be expected. Resolved by [`crate::index::Index`].
    pub target_recall: Option<f32>,
    /// Score every vector instead of walking the graph.
    pub exact: bool,
    /// Stop then and return the best so far.
    pub deadline: Option<Instant>,
    /// A node that must not be returned: "more like this" does not answer with the item itself.
    pub exclude: Option<NodeId>,
    /// How to search among some items, in place of what is estimated to be the fastest way.
    pub plan: Option<Plan>,
}

impl SearchParams {
    /// The `k` closest, with defaults for the rest.
    pub fn top(k: usize) -> Self {
        Self {
            k,
            ef: None,
            rerank: None,
            slack: None,
            target_recall: None,
            exact: false,
            deadline: None,
            exclude: None,
            plan: None,
        }
    }
}

/// Why an answer may be less than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TruncatedBy {
    /// The deadline passed.
    Deadline,
}

/// What was done for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The strategy that ran.
    pub plan: Plan,
    /// True only when proven: everything that could be in the answer was scored on its full vector.
    pub exact: bool,
    /// How many items could have been returned.
    pub matches: u64,
    /// Nodes whose neighbors were read, or rows scanned.
    pub visited: u64,
    /// Distances computed.
    pub distances: u64,
    /// What cut the search short.
    pub truncated_by: Option<TruncatedBy>,
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Wrong number of components.
    #[error("the query has {found} components; this index has dimension {expected}")]
    Dimension {
        /// The index's dimension.
        expected: usize,
        /// The query's length.
        found: usize,
    },
    /// NaN or infinity.
    #[error("component {component} of the query is {value}; every component must be finite")]
    NotFinite {
        /// Which.
        component: usize,
        /// What it is.
        value: f32,
    },
    /// No direction.
    #[error("the query is a zero vector, which has no direction to compare by cosine")]
    ZeroVector,
    /// A stop before the `k`th result.
    #[error("slack is {found}; expected 1 or more")]
    Slack {
        /// What was given.
        found: f32,
    },
    /// An effort and a recall.
    #[error("target_recall chooses ef, slack and rerank by itself: give it, or them")]
    EffortTwice,
    /// No share of anything.
    #[error("target_recall is {found}; expected 0 to 1")]
    TargetRecall {
        /// What was given.
        found: f32,
    },
    /// Nobody measured what effort reaches which recall.
    #[error("this index was built without calibration; ask with ef, or build it again")]
    NotCalibrated,
    /// Nothing asked for.
    #[error("k is 0; ask for at least one item")]
    ZeroK,
}

/// Reusable memory of one searching thread. It grows to the largest index and `ef` that it has
/// served; after that a search allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    lanes: [Lane; LANES],
    top: TopK,
    closest: Closest,
    excluded: Visited,
    nodes: Vec<NodeId>,
    distances: Vec<f32>,
    /// What a walk found, scored on vectors.
    close: Vec<Neighbor>,
    planned: Option<Planned>,
}

impl Scratch {
    /// What each way of the last search among some items was estimated to cost; none where all that
    /// passed were in the answer, and there was nothing to choose from.
    pub fn planned(&self) -> Option<Planned> {
        self.planned.filter(|planned| planned.plan != Plan::All)
    }

    /// Where the list of `ef` of the last walk ended: the distance of its last entry as a multiple of the
    /// `k`th's. 1 where it was no longer than `k`.
    pub fn span(&self, k: usize, ef: usize) -> f32 {
        let list = self.lanes[0].walk.beam.found().iter().take(ef);
        let mut from_kth = list.skip(k.saturating_sub(1)).map(|neighbor| neighbor.distance);
        let Some(kth) = from_kth.next() else { return 1.0 };
        from_kth.last().map_or(1.0, |last| last / kth)
    }
}

/// How many candidates of a list of `ef` are scored on their vectors for `k` answers: codes get the order
/// of near neighbors slightly wrong, and the fewer bits they have the more. It is those with a long list who
/// mind what is lost by that.
pub fn default_rerank(kind: CodeKind, k: usize, ef: usize) -> usize {
    match kind {
        CodeKind::I8 => k + k / 32 + 4,
        CodeKind::U4 => k + k / 8 + 6 + ef.saturating_sub(k) / 16,
    }
}

/// The items that may be in an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Among<'a> {
    /// Those that pass a filter; `None`: all.
    pub passing: Option<&'a NodeSet>,
    /// But for these, which are one user's: what was seen, bought, blocked.
    pub excluded: &'a [NodeId],
}

/// Answers one query: replaces the contents of `found` by at most `k` neighbors, closest first.
pub fn search(
    target: &Target<'_>,
    scratch: &mut Scratch,
    query: &[f32],
    params: &SearchParams,
    found: &mut Vec<Neighbor>,
) -> Result<Account, SearchError> {
    let form = prepare(target, query, params)?;
    found.clear();
    match params.exclude {
        None => Ok(run(target, scratch, query, form, params, AdmitAll, found)),
        Some(node) => Ok(run(target, scratch, query, form, params, AdmitAllBut(node), found)),
    }
}

/// One of several queries.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// `[dim]`.
    pub vector: &'a [f32],
    /// As [`SearchParams::exclude`], which is not read where there are several.
    pub exclude: Option<NodeId>,
}

/// Answers several queries, each as [`search`] does alone, in less time: two walks of codes are done in
/// turns. `give` takes the number of a query, how it was answered and its neighbors, closest first, in the
/// order in which they are done. A query whose turn comes after the deadline gets none, unless it is the
/// first.
///
/// # Errors
/// The number of the first query that is refused, and why; none is answered then.
pub fn search_several(
    target: &Target<'_>,
    scratch: &mut Scratch,
    queries: &[Query<'_>],
    params: &SearchParams,
    mut give: impl FnMut(usize, Account, &[Neighbor]),
) -> Result<(), (usize, SearchError)> {
    let mut hows = Vec::with_capacity(queries.len());
    let mut asked = Vec::with_capacity(queries.len());
    for (at, Query { vector, exclude }) in queries.iter().enumerate() {
        let form = prepare(target, vector, params).map_err(|error| (at, error))?;
        let how = How::of(target, params, *exclude);
        asked.push(how.asked(vector, form, *exclude));
        hows.push(how);
    }
    let walks = hows.iter().all(|how| how.plan == Plan::Walk);
    let fit = queries.iter().all(|query| fits_codes(query.vector));
    if let Some(codes) = target.codes.filter(|_| walks && fit) {
        walk_codes((target, codes), scratch, &asked, |at, close, stats| {
            give(at, hows[at].account(stats), close);
        });
        return Ok(());
    }
    let mut found = Vec::new();
    for (at, Query { vector, exclude }) in queries.iter().enumerate() {
        if at > 0 && params.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let stats = BeamStats { timed_out: true, ..BeamStats::default() };
            give(at, hows[at].account(stats), &[]);
            continue;
        }
        let params = SearchParams { exclude: *exclude, ..*params };
        let account = search(target, scratch, vector, &params, &mut found);
        give(at, account.map_err(|error| (at, error))?, &found);
    }
    Ok(())
}

/// The same among some items: exactly `min(k, M)` neighbors unless the deadline passes, where M are the
/// nodes that pass and are not excluded. `costs` are those of work on this machine.
///
/// # Panics
/// If a node of `among` is none of the target's.
pub fn search_among(
    target: &Target<'_>,
    scratch: &mut Scratch,
    query: &[f32],
    params: &SearchParams,
    (among, costs): (&Among<'_>, &Costs),
    found: &mut Vec<Neighbor>,
) -> Result<Account, SearchError> {
    let form = prepare(target, query, params)?;
    found.clear();
    Ok(among::run(target, scratch, (query, form), params, (among, costs), found))
}

/// Replaces the contents of `distances` by the exact distances of `nodes`, in that order.
pub fn distances(
    target: &Target<'_>,
    query: &[f32],
    nodes: &[NodeId],
    distances: &mut Vec<f32>,
) -> Result<(), SearchError> {
    let scale = check(target, query)?;
    let form = Form::of(target.metric, scale, target.scales);
    distances.clear();
    distances.resize(nodes.len(), 0.0);
    with_element!(target.vectors.element, E => {
        let rows = target.vectors.rows::<E>();
        dispatch(ScoreNodes { rows, query, form, nodes, distances });
    });
    Ok(())
}

/// How distances to the query are formed, if it can be answered.
fn prepare<'a>(
    target: &Target<'a>,
    query: &[f32],
    params: &SearchParams,
) -> Result<Form<'a>, SearchError> {
    let scale = check(target, query)?;
    if params.k == 0 {
        return Err(SearchError::ZeroK);
    }
    if let Some(slack) = params.slack.filter(|slack| slack.is_nan() || *slack < 1.0) {
        return Err(SearchError::Slack { found: slack });
    }
    Ok(Form::of(target.metric, scale, target.scales))
}

/// The query's scale, if it can be answered.
fn check(target: &Target<'_>, query: &[f32]) -> Result<f32, SearchError> {
    let expected = target.vectors.dim;
    if query.len() != expected {
        return Err(SearchError::Dimension { expected, found: query.len() });
    }
    if let Some(component) = query.iter().position(|x| !x.is_finite()) {
        return Err(SearchError::NotFinite { component, value: query[component] });
    }
    let scale = query_scale(target.metric, query);
    if scale.is_finite() { Ok(scale) } else { Err(SearchError::ZeroVector) }
}

/// How a search among all items is done: a pure function of sizes.
fn unfiltered(n: usize, matches: usize, ef: usize, params: &SearchParams) -> Plan {
    if params.k >= matches {
        Plan::All
    } else if params.exact || n <= ef.saturating_mul(ROWS_PER_CANDIDATE) {
        Plan::Exact
    } else {
        Plan::Walk
    }
}

/// How a search among all items is done.
struct How {
    plan: Plan,
    /// How many items could be returned.
    matches: usize,
    reach: Reach,
    rerank: usize,
}

impl How {
    fn of(target: &Target<'_>, params: &SearchParams, exclude: Option<NodeId>) -> Self {
        let n = target.vectors.len();
        let matches = n - usize::from(exclude.is_some());
        let k = params.k.min(n);
        // One more than k, since an excluded node may take a place.
        let keep = k + usize::from(exclude.is_some());
        let ef = params.ef.map_or(DEFAULT_EF.max(keep), |ef| ef.max(1));
        let plan = unfiltered(n, matches, ef.max(keep), params);
        let stop = Stop { k, slack: params.slack.unwrap_or(f32::INFINITY) };
        let by_codes = |codes: Codes<'_>| {
            params.rerank.unwrap_or_else(|| default_rerank(codes.layout().kind(), k, ef))
        };
        let rerank = target.codes.map_or(keep, by_codes).max(keep).min(n);
        let reach = Reach { ef, keep: rerank, stop, deadline: params.deadline };
        Self { plan, matches, reach, rerank }
    }

    fn asked<'a>(&self, query: &'a [f32], form: Form<'a>, exclude: Option<NodeId>) -> Asked<'a> {
        Asked { query, form, reach: self.reach, rerank: self.rerank, exclude }
    }

    fn account(&self, stats: BeamStats) -> Account {
        account(self.plan, self.matches, stats.visited, stats.distances, stats.timed_out)
    }
}

fn run<A: Admit>(
    target: &Target<'_>,
    scratch: &mut Scratch,
    query: &[f32],
    form: Form<'_>,
    params: &SearchParams,
    admit: A,
    found: &mut Vec<Neighbor>,
) -> Account {
    let mut how = How::of(target, params, params.exclude);
    let (n, k) = (target.vectors.len(), how.reach.stop.k);
    if how.plan == Plan::Walk {
        let codes = target.codes.filter(|_| fits_codes(query));
        // Negative distances, which walks over vectors have by inner product, have no multiples.
        if codes.is_none() && target.metric == Metric::Ip {
            how.reach.stop.slack = f32::INFINITY;
        }
        let asked = how.asked(query, form, params.exclude);
        let stats = match codes {
            Some(codes) => {
                let mut stats = BeamStats::default();
                walk_codes((target, codes), scratch, &[asked], |_, close, did| {
                    found.extend_from_slice(close);
                    stats = did;
                });
                stats
            }
            None => with_element!(target.vectors.element, E => {
                let (rows, walk) = (target.vectors.rows::<E>(), &mut scratch.lanes[0].walk);
                let stats = dispatch(WalkRows { target, rows, asked: &asked, walk });
                let walked = scratch.lanes[0].walk.beam.found().iter();
                found.extend(walked.filter(|neighbor| admit.admit(neighbor.node)));
                found.sort_unstable();
                found.truncate(k);
                stats
            }),
        };
        return how.account(stats);
    }
    with_element!(target.vectors.element, E => {
        let top = &mut scratch.top;
        top.reset(k);
        let rows = target.vectors.rows::<E>();
        let deadline = params.deadline;
        let scanned = dispatch(ScanOne { rows, query, form, admit, top, deadline });
        found.extend(top.sorted().iter().map(Neighbor::from));
        account(how.plan, how.matches, scanned as u64, scanned as u64, scanned < n)
    })
}

/// Whether distances of codes to the query are numbers: the forms that they are computed in have its
/// squared norm in them. Queries longer than 1e18, which nobody means, walk over the vectors.
fn fits_codes(query: &[f32]) -> bool {
    let square: f32 = query.iter().map(|x| x * x).sum();
    square <= f32::MAX / 16.0
}

/// Walks over codes for one query or more, scores the closest of each on their vectors, and gives at most
/// `k` that are not excluded, closest first.
fn walk_codes(
    (target, codes): (&Target<'_>, Codes<'_>),
    scratch: &mut Scratch,
    asked: &[Asked<'_>],
    mut give: impl FnMut(usize, &[Neighbor], BeamStats),
) {
    let Scratch { lanes, nodes, distances, close, .. } = scratch;
    let done = |at: usize, beam: Option<&Beam>, mut stats: BeamStats| {
        let Asked { query, form, reach, rerank, exclude } = asked[at];
        // Where some are left over, all are in order.
        let walked = beam.into_iter().flat_map(|beam| beam.found().iter());
        nodes.clear();
        nodes.extend(walked.take(rerank).map(|neighbor| neighbor.node));
        stats.distances += nodes.len() as u64;
        distances.resize(nodes.len(), 0.0);
        let (scored, distances) = (&*nodes, &mut *distances);
        with_element!(target.vectors.element, E => {
            let rows = target.vectors.rows::<E>();
            let distances = &mut *distances;
            dispatch(ScoreNodes { rows, query, form, nodes: scored, distances });
        });
        close.clear();
        let scored = scored.iter().zip(distances.iter());
        let scored = scored.map(|(&node, &distance)| Neighbor { distance, node });
        close.extend(scored.filter(|neighbor| Some(neighbor.node) != exclude));
        close.sort_unstable();
        close.truncate(reach.stop.k);
        give(at, close, stats);
    };
    with_codes!(codes.layout().kind(), K => {
        let kind = PhantomData::<K>;
        dispatch(WalkCodes { target, codes, asked, lanes, done, kind })
    });
}

fn account(plan: Plan, matches: usize, visited: u64, distances: u64, timed_out: bool) -> Account {
    Account {
        plan,
        exact: plan != Plan::Walk && !timed_out,
        matches: matches as u64,
        visited,
        distances,
        truncated_by: timed_out.then_some(TruncatedBy::Deadline),
    }
}
