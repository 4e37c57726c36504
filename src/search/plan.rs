//! How a search among some items is done: what each way would cost, and which is cheapest.
//!
//! A pure function of sizes and of [`Costs`], which are measured where the index is. See
//! `docs/engine.md` for how the counts of the model were found.

use serde::{Deserialize, Serialize};

use crate::graph::filtered::{candidates, spare};
use crate::types::named;

/// How a query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// Every item that may be is in the answer.
    All,
    /// Every item that may be in the answer was scored.
    Exact,
    /// The graph was searched through the items that pass.
    TwoHop,
    /// The graph was walked.
    Walk,
}

impl Plan {
    /// Every plan.
    pub const ALL: [Plan; 4] = [Plan::All, Plan::Exact, Plan::TwoHop, Plan::Walk];

    /// The word used in replies, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Plan::All => "all",
            Plan::Exact => "exact",
            Plan::TwoHop => "two-hop",
            Plan::Walk => "walk",
        }
    }
}

named!(Plan, "plan");

/// What the work of a search takes, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Costs {
    /// Scoring a row in a scan of up to [`FEW_ROWS`] rows that lie apart.
    pub row_ns: f32,
    /// The same of [`MANY_ROWS`] and more, which no cache holds.
    pub far_row_ns: f32,
    /// Scoring a row in a scan of rows that lie next to each other.
    pub near_row_ns: f32,
    /// Scoring a node on the way through the graph, with its share of reading lists and keeping
    /// candidates.
    pub node_ns: f32,
    /// Reading the list of a node that does not pass, for those of its neighbors that do.
    pub bridge_ns: f32,
}

impl Default for Costs {
    /// About what i8 codes of 128 components and a million items take.
    fn default() -> Self {
        let (row_ns, far_row_ns, near_row_ns) = (12.0, 30.0, 10.0);
        Self { row_ns, far_row_ns, near_row_ns, node_ns: 40.0, bridge_ns: 80.0 }
    }
}

/// Rows that the caches of a processor hold.
pub const FEW_ROWS: usize = 8_192;

/// Rows that they do not.
pub const MANY_ROWS: usize = 65_536;

/// What is known before a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Items.
    pub n: usize,
    /// Those that pass and are not excluded: M.
    pub matches: usize,
    /// The share of nodes that pass where the search goes: M / n, until more is known.
    pub pass_rate: f32,
    /// Results asked for.
    pub k: usize,
    /// Candidates that an unfiltered search would keep.
    pub ef: usize,
    /// Slots of a neighbor list.
    pub degree: usize,
}

/// A plan, and what each would cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// The cheapest of scan and walk, unless another was asked for.
    pub plan: Plan,
    /// What it rests on.
    pub estimate: Estimate,
    /// Of [`Plan::Exact`] and [`Plan::All`].
    pub exact_ns: f32,
    /// Of [`Plan::TwoHop`].
    pub two_hop_ns: f32,
    /// Of [`Plan::Walk`].
    pub walk_ns: f32,
}

impl Estimate {
    /// The cheapest plan. Two-hop is none of them: it ends among the nodes that it can reach, which may
    /// be the wrong ones where the filter goes against the query, and cannot tell.
    pub fn plan(self, costs: &Costs) -> Planned {
        let (exact_ns, two_hop_ns, walk_ns) =
            (self.exact_ns(costs), self.two_hop_ns(costs), self.walk_ns(costs));
        let plan = if self.k >= self.matches {
            Plan::All
        } else if exact_ns <= walk_ns {
            Plan::Exact
        } else {
            Plan::Walk
        };
        Planned { plan, estimate: self, exact_ns, two_hop_ns, walk_ns }
    }

    /// The rank of the `k`th result among all items, were the filter to have nothing to do with the query.
    pub fn usual_rank(self) -> f32 {
        self.k as f32 * self.n as f32 / self.matches as f32
    }

    /// How many results a walk keeps.
    pub fn walk_results(self) -> usize {
        self.ef.max(self.a_few_more()).min(self.matches)
    }

    /// How many results two-hop keeps: fewer candidates than a walk has find as many, since all of them
    /// pass.
    pub fn two_hop_results(self) -> usize {
        ((TWO_HOP_SHARE * self.ef as f32) as usize).max(self.a_few_more()).min(self.matches)
    }

    fn a_few_more(self) -> usize {
        self.k + spare(self.k as f32) as usize
    }

    /// Many rows that lie apart cost more each than few. The more pass, the more of them lie next to one
    /// that does and come along with it.
    fn exact_ns(self, costs: &Costs) -> f32 {
        let (matches, octaves) = (self.matches as f32, (MANY_ROWS as f32 / FEW_ROWS as f32).log2());
        let many = ((matches / FEW_ROWS as f32).log2() / octaves).clamp(0.0, 1.0);
        let apart = costs.row_ns + many * (costs.far_row_ns - costs.row_ns);
        let (n, near) = (self.n as f32, costs.near_row_ns);
        n * near * (1.0 - (1.0 - matches / n).powf(apart / near))
    }

    fn walk_ns(self, costs: &Costs) -> f32 {
        let rank = (self.k as f32 / self.pass_rate) as usize;
        let expanded = candidates(self.ef, self.k, rank, self.usual_rank()) as f32 + ON_THE_WAY;
        expanded * fresh(expanded) * self.degree as f32 * costs.node_ns
    }

    fn two_hop_ns(self, costs: &Costs) -> f32 {
        let degree = self.degree as f32;
        let passing = degree * self.pass_rate;
        // Bridges are crossed until as many nodes were met as a list has, or until there are none left;
        // in between it is neither the one nor the other.
        let until_met = (degree - FRESH * passing) / (FRESH * passing);
        let until_left = 1.2 * (degree - passing);
        let bridges = (until_met.powi(-2) + until_left.powi(-2)).powf(-0.5);
        let expanded = 1.2 * self.two_hop_results() as f32 + ON_THE_WAY;
        let nodes = (fresh(expanded) + FRESH * bridges) * passing;
        expanded * (bridges * costs.bridge_ns + nodes * costs.node_ns)
    }
}

/// The share of neighbors that a walk has not seen, which falls as it goes on.
fn fresh(expanded: f32) -> f32 {
    2.0 * expanded.powf(-0.235)
}

// The counts are those of random filters of 80 to 2 % on two-tower 1M x 128 (docs/engine.md);
// other sets differ by some tenths, which is what the guard on the way is for.

/// Nodes that a walk expands before it is near the query.
const ON_THE_WAY: f32 = 12.0;

/// The share of neighbors of bridges, among those that pass, that two-hop has not seen.
const FRESH: f32 = 0.4;

/// Candidates of two-hop for each of a walk, at the same recall.
const TWO_HOP_SHARE: f32 = 0.7;
