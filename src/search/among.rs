//! Searches among some items: those that pass a filter and are not excluded.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::plan::{Costs, Estimate, Plan, Planned};
use super::traverse::{Lane, Walk, enter};
use super::{
    Account, Among, DEFAULT_EF, Scratch, SearchParams, Target, TruncatedBy, default_rerank,
    fits_codes,
};
use crate::filters::nodes::NodeSet;
use crate::graph::beam::{Beam, BeamStats, Reach};
use crate::graph::filtered::{Budget, End, Met};
use crate::graph::pool::Stop;
use crate::graph::visited::Visited;
use crate::kernels::{Element, Isa, Operation, dispatch};
use crate::quantizers::{CodeKind, CodeType, Codes, QueryCodes};
use crate::scan::{Closest, NodeStream, ScoreNodes, scan_within};
use crate::types::{Admit, Metric, Neighbor, NodeId, Scorer, StepScorer};
use crate::vectors::{Form, RowScorer, Rows};
use crate::{with_codes, with_element};

/// The nodes that may be returned.
#[derive(Clone, Copy)]
struct Passing<'a> {
    /// Bits of those that pass the filter, if there is one.
    words: Option<&'a [u64]>,
    /// Those that are excluded, if there are any.
    excluded: Option<&'a Visited>,
}

impl Admit for Passing<'_> {
    /// Which of the two there are is the same all through a search, so the branches are foreseen.
    #[inline(always)]
    fn admit(&self, node: NodeId) -> bool {
        let word = |words: &[u64]| words.get(node.index() / 64).copied().unwrap_or(0);
        let passes = self.words.is_none_or(|words| word(words) >> (node.index() % 64) & 1 == 1);
        passes && !self.excluded.is_some_and(|excluded| excluded.contains(node))
    }
}

/// A search, but for what it is scored by.
struct Task<'a> {
    target: &'a Target<'a>,
    query: &'a [f32],
    nodes: NodeStream<'a>,
    admit: Passing<'a>,
    reach: Reach,
    planned: Planned,
    costs: Costs,
    /// Whether the plan was asked for, and nothing shall come in its place.
    forced: bool,
    /// How many of what a search of the graph finds are scored again.
    rerank: usize,
    beam: &'a mut Beam,
    closest: &'a mut Closest,
    /// What is to be scored on vectors.
    candidates: &'a mut Vec<NodeId>,
}

/// What came of it.
struct Done {
    plan: Plan,
    stats: BeamStats,
    /// Whether a scan by these distances leaves out nothing that could be closer.
    proven: bool,
}

/// A query and what is asked of it.
struct Ask<'a> {
    target: &'a Target<'a>,
    query: &'a [f32],
    form: Form<'a>,
    passing: Option<&'a NodeSet>,
    admit: Passing<'a>,
    /// What is read in place of the vectors, if there is that.
    codes: Option<Codes<'a>>,
    reach: Reach,
    costs: &'a Costs,
    forced: bool,
    rerank: usize,
}

/// Memory that a search works in.
struct Parts<'a> {
    beam: &'a mut Beam,
    closest: &'a mut Closest,
    prepared: &'a mut QueryCodes,
    nodes: &'a mut Vec<NodeId>,
    distances: &'a mut Vec<f32>,
}

pub(super) fn run(
    target: &Target<'_>,
    scratch: &mut Scratch,
    (query, form): (&[f32], Form<'_>),
    params: &SearchParams,
    (among, costs): (&Among<'_>, &Costs),
    found: &mut Vec<Neighbor>,
) -> Account {
    let Scratch { lanes, closest, excluded, nodes, distances, planned, .. } = scratch;
    let [Lane { walk: Walk { beam, .. }, codes: prepared }, ..] = lanes;
    let (n, passing) = (target.vectors.len(), among.passing);
    let removed = exclude(n, params, among, excluded);
    let matches = passing.map_or(n, |passing| passing.len() as usize) - removed;
    let k = params.k.min(matches);
    let ef = params.ef.unwrap_or(DEFAULT_EF).max(k);
    let planned = *planned.insert(plan(target, params, matches, ef, costs));
    if k == 0 {
        return account(Plan::All, true, 0, BeamStats::default());
    }
    // An answer that must be exact can rest on codes only where they prove something.
    let proves = |codes: &Codes<'_>| !params.exact || codes.layout().kind() == CodeKind::I8;
    let codes = target.codes.filter(|codes| fits_codes(query) && proves(codes));
    let slack = params.slack.filter(|_| codes.is_some() || target.metric != Metric::Ip);
    let stop = Stop { k, slack: slack.unwrap_or(f32::INFINITY) };
    let by_codes = |codes: Codes<'_>| default_rerank(codes.layout().kind(), k, ef);
    let rerank = params.rerank.or_else(|| codes.map(by_codes)).unwrap_or(k).max(k);
    let admit = Passing {
        words: passing.map(|passing| passing.words()),
        excluded: (removed > 0).then_some(&*excluded),
    };
    let reach = Reach { ef, keep: ef, stop, deadline: params.deadline };
    let forced = params.plan.is_some() && !params.exact;
    let ask = Ask { target, query, form, passing, admit, codes, reach, costs, forced, rerank };
    let mut parts = Parts { beam, closest, prepared, nodes, distances };
    let done = ask.search(planned, &mut parts);
    let scored = parts.nodes.iter().zip(parts.distances.iter());
    found.extend(scored.map(|(&node, &distance)| Neighbor { distance, node }));
    found.sort_unstable();
    found.truncate(k);
    account(done.plan, done.proven, matches, done.stats)
}

/// Marks what must not be returned of what passes; how many that are.
fn exclude(n: usize, params: &SearchParams, among: &Among<'_>, excluded: &mut Visited) -> usize {
    excluded.reset(n);
    let passes = |node: NodeId| among.passing.is_none_or(|passing| passing.contains(node));
    let given = among.excluded.iter().chain(&params.exclude);
    given.filter(|node| passes(**node) && excluded.insert_one(**node)).count()
}

/// The cheapest plan, or the one that is asked for.
fn plan(
    target: &Target<'_>,
    params: &SearchParams,
    matches: usize,
    ef: usize,
    costs: &Costs,
) -> Planned {
    let (n, degree, k) = (target.vectors.len(), target.graph.degree(), params.k);
    let pass_rate = matches as f32 / n as f32;
    let mut planned = Estimate { n, matches, pass_rate, k, ef, degree }.plan(costs);
    if planned.plan != Plan::All {
        let asked = if params.exact { Some(Plan::Exact) } else { params.plan };
        planned.plan = asked.unwrap_or(planned.plan);
    }
    planned
}

impl Ask<'_> {
    /// Leaves what may be in the answer in `nodes`, with the distances of their vectors.
    fn search(&self, planned: Planned, parts: &mut Parts<'_>) -> Done {
        let Self { target, query, form, passing, codes, .. } = *self;
        let Parts { beam, closest, prepared, nodes, distances } = parts;
        closest.reset(self.reach.stop.k);
        let task = Task {
            target,
            query,
            nodes: match passing {
                None => NodeStream::All(0..target.vectors.len() as u32),
                Some(passing) => match passing.listed() {
                    Some(listed) => NodeStream::List(listed.iter()),
                    None => NodeStream::of_words(passing.words()),
                },
            },
            admit: self.admit,
            reach: self.reach,
            planned,
            costs: *self.costs,
            forced: self.forced,
            rerank: self.rerank,
            beam,
            closest,
            candidates: nodes,
        };
        let done = match codes {
            Some(codes) => with_codes!(codes.layout().kind(), K => {
                let (scale, kind) = (form.query_scale(), PhantomData::<K>);
                dispatch(AmongCodes { task, codes, query, scale, prepared, kind })
            }),
            None => with_element!(target.vectors.element, E => {
                let rows = target.vectors.rows::<E>();
                dispatch(AmongRows { task, rows, query, form })
            }),
        };
        distances.clear();
        distances.resize(nodes.len(), 0.0);
        with_element!(target.vectors.element, E => {
            let rows = target.vectors.rows::<E>();
            dispatch(ScoreNodes { rows, query, form, nodes, distances });
        });
        let mut stats = done.stats;
        stats.distances += nodes.len() as u64;
        Done { stats, ..done }
    }
}

fn account(plan: Plan, proven: bool, matches: usize, stats: BeamStats) -> Account {
    let BeamStats { visited, distances, timed_out } = stats;
    Account {
        plan,
        // Where all that pass are in the answer, nothing could be left out.
        exact: !timed_out && (plan == Plan::All || (proven && plan == Plan::Exact)),
        matches: matches as u64,
        visited,
        distances,
        truncated_by: timed_out.then_some(TruncatedBy::Deadline),
    }
}

/// By distances of codes.
struct AmongCodes<'a, K> {
    task: Task<'a>,
    codes: Codes<'a>,
    query: &'a [f32],
    /// `1 / ‖query‖` for cosine.
    scale: f32,
    prepared: &'a mut QueryCodes,
    kind: PhantomData<K>,
}

impl<K: CodeType> Operation for AmongCodes<'_, K> {
    type Output = Done;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Done {
        let Self { task, codes, query, scale, prepared, .. } = self;
        let metric = task.target.metric;
        prepared.prepare(metric, query, scale, codes);
        let margin = prepared.margin(metric, codes);
        let scorer = prepared.scorer::<I, K>(isa, codes);
        let (of, deviation) = (|node| margin.of(node), |node| margin.deviation(node));
        let (plan, stats) = task.answer(isa, &scorer, (of, margin.widest()), deviation);
        Done { plan, stats, proven: margin.proven }
    }
}

/// By distances of vectors, which are what they are.
struct AmongRows<'a, E> {
    task: Task<'a>,
    rows: Rows<'a, E>,
    query: &'a [f32],
    form: Form<'a>,
}

impl<E: Element> Operation for AmongRows<'_, E> {
    type Output = Done;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Done {
        let Self { task, rows, query, form } = self;
        let scorer = RowScorer { isa, rows, query, form };
        let (plan, stats) = task.answer(isa, &scorer, (|_| 0.0, 0.0), |_| 0.0);
        Done { plan, stats, proven: true }
    }
}

impl Task<'_> {
    /// Leaves what may be in the answer in `candidates`. `margin` and `deviation` say by how much a
    /// distance may be off, and by how much it usually is.
    #[inline(always)]
    fn answer<I: Isa, S: StepScorer>(
        mut self,
        isa: I,
        scorer: &S,
        margin: (impl Fn(NodeId) -> f32, f32),
        deviation: impl Fn(NodeId) -> f32,
    ) -> (Plan, BeamStats) {
        let mut stats = BeamStats::default();
        self.candidates.clear();
        if matches!(self.planned.plan, Plan::TwoHop | Plan::Walk) {
            let end = self.traverse(isa, scorer, &mut stats, deviation);
            if self.candidates.len() >= self.reach.stop.k || end == End::Deadline {
                return (self.planned.plan, stats);
            }
        }
        let plan = if self.planned.plan == Plan::All { Plan::All } else { Plan::Exact };
        let (nodes, deadline) = (self.nodes.clone(), self.reach.deadline);
        // All of these pass; to look at their bits is a read of memory for each.
        let admit = Passing { words: None, ..self.admit };
        let scored = scan_within(scorer, nodes, &admit, margin, self.closest, deadline);
        stats.distances += scored as u64;
        stats.visited += scored as u64;
        stats.timed_out = scored < self.planned.estimate.matches;
        self.closest.give(self.candidates);
        (plan, stats)
    }

    /// Searches the graph. Leaves no candidates where that would take, or took, too much.
    #[inline(always)]
    fn traverse<I: Isa, S: Scorer>(
        &mut self,
        isa: I,
        scorer: &S,
        stats: &mut BeamStats,
        deviation: impl Fn(NodeId) -> f32,
    ) -> End {
        let (entries, down) = enter(isa, self.target, self.query, scorer, self.beam);
        stats.add(down);
        let mut budget = self.budget();
        let mut starts = Some(&*entries);
        loop {
            let (did, met, end) = self.search_graph(scorer, starts.take(), &budget);
            stats.add(did);
            match end {
                End::Mistaken => {
                    let estimate = Estimate { pass_rate: met.rate(), ..self.planned.estimate };
                    let planned = estimate.plan(&self.costs);
                    let left = |until: Instant| until.saturating_duration_since(Instant::now());
                    if budget.until.is_some_and(|until| planned.walk_ns > nanos(left(until))) {
                        return end;
                    }
                    self.planned = Planned { plan: Plan::Walk, ..planned };
                    budget.mistaken_below = MISTAKEN * estimate.pass_rate;
                }
                End::Converged | End::Deadline => {
                    self.take_found(&deviation);
                    return end;
                }
                End::OverBudget => return end,
            }
        }
    }

    /// What a search of the graph may take: half of the scan that comes in its place, or twice what
    /// it was expected to take, as some queries of any filter do, up to all of it. A walk that is chosen
    /// for being a little faster than the scan would be given up before its time otherwise, and the scan
    /// come on top of it.
    fn budget(&self) -> Budget {
        if self.forced {
            return Budget { until: None, room: usize::MAX, mistaken_below: 0.0, evidence: 0 };
        }
        let Planned { exact_ns, walk_ns, estimate, .. } = self.planned;
        let limit = (0.5 * exact_ns).max((2.0 * walk_ns).min(exact_ns));
        let until = Some(Instant::now() + Duration::from_nanos(limit as u64));
        let room = (limit / (FRESH_AT_LEAST * self.costs.node_ns)) as usize;
        let evidence = (PATIENCE * exact_ns / self.costs.node_ns) as u64;
        let mistaken_below = MISTAKEN * estimate.pass_rate;
        Budget { until, room, mistaken_below, evidence: evidence.max(MET_AT_LEAST) }
    }

    /// One search of the graph, from `entries`, or on from where the last one stopped.
    #[inline(always)]
    fn search_graph<S: Scorer>(
        &mut self,
        scorer: &S,
        entries: Option<&[NodeId]>,
        budget: &Budget,
    ) -> (BeamStats, Met, End) {
        let (graph, estimate) = (self.target.graph, self.planned.estimate);
        if self.planned.plan == Plan::TwoHop {
            let reach = Reach { ef: estimate.two_hop_results(), ..self.reach };
            let layer = (graph, graph.degree());
            // It is done once: nobody thinks again about a plan that was asked for.
            let entries = entries.unwrap_or_default();
            return self.beam.two_hop(layer, scorer, &self.admit, entries, reach, budget);
        }
        let layer = (graph, estimate.walk_results(), estimate.usual_rank());
        self.beam.walk_among(layer, scorer, &self.admit, entries, self.reach, budget)
    }

    /// Takes the closest of what was found, unless codes cannot tell them from what comes next: where
    /// thousands that are closer are excluded, those that follow are all about equally far, and first
    /// come the ones that their codes make closer than they are.
    fn take_found(&mut self, deviation: &impl Fn(NodeId) -> f32) {
        let found = match self.planned.plan {
            Plan::TwoHop => self.beam.found(),
            _ => self.beam.found_among(),
        };
        // Where two-hop came in from may not pass.
        let passing = || found.iter().filter(|neighbor| self.admit.admit(neighbor.node));
        let k = self.reach.stop.k;
        if let Some(kth) = passing().nth(k - 1).filter(|_| !self.forced) {
            let near = kth.distance + TOO_CLOSE * deviation(kth.node);
            // Equally far are copies of one item, of which any will do.
            let beside = passing().skip(k).filter(|n| n.distance > kth.distance);
            if beside.take_while(|n| n.distance < near).count() >= 3 * k {
                return;
            }
        }
        self.candidates.extend(passing().map(|neighbor| neighbor.node).take(self.rerank));
    }
}

/// The share of the pass rate expected that is taken for a mistake if no more is met.
const MISTAKEN: f32 = 0.25;

/// Neighbors that are looked at before that is concluded: with fewer, an expected tenth could be met as
/// a fortieth by chance.
const MET_AT_LEAST: u64 = 512;

/// The share of the time of a scan that is taken to look at more: of filters that go with some other
/// property of the items, such as a range, few pass where some queries come in, and more farther on.
const PATIENCE: f32 = 1.0 / 16.0;

/// Distances of an expanded node, fewer than which are computed only where a search has been nearly
/// everywhere.
const FRESH_AT_LEAST: f32 = 4.0;

fn nanos(time: Duration) -> f32 {
    time.as_nanos() as f32
}

/// Results that lie within so many standard deviations of what codes are off are too close to be told
/// apart.
const TOO_CLOSE: f32 = 2.5;
