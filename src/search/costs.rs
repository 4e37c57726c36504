//! What the work of a search among some items takes on this machine, with this index: a few searches of
//! each way, timed.

use std::time::Instant;

use super::plan::{Costs, FEW_ROWS, MANY_ROWS, Plan};
use super::{Account, Among, Scratch, SearchParams, Target, search_among};
use crate::filters::nodes::NodeSet;
use crate::types::NodeId;

/// Stored vectors that are searched for.
const QUERIES: usize = 15;

/// Sets of rows that are scanned in turn.
const SETS: usize = 5;

/// An index of fewer items is scanned whatever it costs.
const LEAST_ITEMS: usize = 10_000;

/// Measures the costs. Cost: 150 searches, about 50 ms; more where pages must be read first.
pub fn measure(target: &Target<'_>, scratch: &mut Scratch) -> Costs {
    let n = target.vectors.len();
    let mut costs = Costs::default();
    if n < LEAST_ITEMS {
        return costs;
    }
    let near = |at: usize| {
        let (rows, first) = (MANY_ROWS.min(n / 2), n / 2 * at / SETS);
        (first..first + rows).map(|row| NodeId(row as u32)).collect()
    };
    let sets = |set: &dyn Fn(usize) -> NodeSet| (0..SETS).map(set).collect::<Vec<NodeSet>>();
    let mut timed = |sets: &[NodeSet], plan| time(target, scratch, sets, plan);
    let per_distance = |(ns, did): (f32, Account)| ns / did.distances.max(1) as f32;
    let mut row = |sets: &[NodeSet]| median(timed(sets, Plan::Exact).into_iter().map(per_distance));
    costs.row_ns = row(&sets(&|at| apart(n, FEW_ROWS, at)));
    costs.far_row_ns = row(&sets(&|at| apart(n, MANY_ROWS, at)));
    costs.near_row_ns = row(&sets(&near));
    let eighth = [an_eighth(n)];
    costs.node_ns = median(timed(&eighth, Plan::Walk).into_iter().map(per_distance));
    let node_ns = costs.node_ns;
    let per_bridge = |(ns, did): (f32, Account)| {
        let bridges = (ns - did.distances as f32 * node_ns) / did.visited.max(1) as f32;
        bridges.max(1.0)
    };
    costs.bridge_ns = median(timed(&eighth, Plan::TwoHop).into_iter().map(per_bridge));
    costs
}

/// The time of each search, in nanoseconds, and what it did, with the sets in turn. All are done twice,
/// and the second time counts: the first may have to read pages, and what each reads is out of the
/// caches again by then, as it is when members ask with one filter and another.
fn time(
    target: &Target<'_>,
    scratch: &mut Scratch,
    sets: &[NodeSet],
    plan: Plan,
) -> Vec<(f32, Account)> {
    let n = target.vectors.len();
    let params = SearchParams { plan: Some(plan), ..SearchParams::top(10) };
    let (mut query, mut found, costs) = (Vec::new(), Vec::new(), Costs::default());
    let mut timed = Vec::with_capacity(2 * QUERIES);
    for at in (0..QUERIES).chain(0..QUERIES) {
        let among = Among { passing: sets.get(at % sets.len()), excluded: &[] };
        target.vectors.widen(NodeId((at * (n / QUERIES)) as u32), &mut query);
        let (how, started) = ((&among, &costs), Instant::now());
        // A stored vector that is no query, as the zero vector is none for cosine, has no time.
        if let Ok(did) = search_among(target, scratch, &query, &params, how, &mut found) {
            timed.push((started.elapsed().as_nanos() as f32, did));
        }
    }
    timed.split_off(timed.len() / 2)
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(1.0)
}

/// So many nodes at equal distances, or half of all; other ones for each set.
fn apart(n: usize, nodes: usize, set: usize) -> NodeSet {
    let step = (n / nodes).max(2);
    (step * set / SETS..n).step_by(step).take(nodes).map(|node| NodeId(node as u32)).collect()
}

/// About every eighth node, in no order.
fn an_eighth(n: usize) -> NodeSet {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut words: Vec<u64> = (0..n.div_ceil(64)).map(|_| next() & next() & next()).collect();
    if let Some(last) = words.last_mut().filter(|_| !n.is_multiple_of(64)) {
        *last &= (1 << (n % 64)) - 1;
    }
    NodeSet::of_words(words)
}
