//! Edges that queries miss.
//!
//! A graph is built by what is near to items. Queries of another kind, such as users among items, find
//! their neighbors far from each other, with no edges between them. Given queries and their nearest
//! items, edges are added
//!
//! - **by projection**: an item near some query gets edges to items near such queries, but for those
//!   that are nearer to one it already got. RoarGraph (Chen et al., VLDB 2024, section 4.2) makes its
//!   graph so, from queries alone; here it is added to one of items;
//! - **by connection**: the nearest items of each query become strongly connected among themselves, by
//!   the shortest edges that do it, after NGFix (2025; there by how far a search would have to look).
//!
//! Nearness is that of the metric itself: for inner product, pruning in the augmented space keeps more
//! edges that help less (docs/two-tower.md).

use rayon::prelude::*;

use crate::graph::adjacency::Adjacency;
use crate::graph::overflow::EdgeLists;
use crate::kernels::{Isa, Operation, Space, dispatch};
use crate::types::{Neighbor, NodeId, Scorer};

/// Nearest items of a query that get edges by projection.
const PROJECTED: usize = 60;

/// Most edges that an item gets by projection.
const PROJECTIONS: usize = 16;

/// Nearest items of a query that are connected: a bit of a word for each.
const CONNECTED: usize = 64;

/// Most edges that an item gets at once.
const EDGES: usize = 24;

/// Most edges that an item keeps: later ones displace the first.
const KEPT: usize = 48;

/// An edge to be added.
type Edge = (NodeId, Neighbor);

/// The edges that `graph` has in its overflow, and those that queries miss whose nearest nodes, closest
/// first, are the rows `[q, depth]` of `nearest`.
///
/// Cost: about a hundred distances for each query and item near it, on the threads of `pool`.
pub fn repair<S: Space>(
    graph: Adjacency<'_>,
    space: &S,
    (nearest, depth): (&[NodeId], usize),
    pool: &rayon::ThreadPool,
) -> EdgeLists {
    let mut added = Added::default();
    added.extend(project(graph, space, (nearest, depth), pool), PROJECTIONS);
    added.extend(connect(graph, &added, space, (nearest, depth), pool), EDGES);
    added.after(graph)
}

/// New edges by node, rising.
#[derive(Debug, Default)]
struct Added(EdgeLists);

impl Added {
    fn of(&self, node: NodeId) -> &[NodeId] {
        match self.0.binary_search_by_key(&node, |(source, _)| *source) {
            Ok(at) => &self.0[at].1,
            Err(_) => &[],
        }
    }

    /// Adds edges, the shortest of each node first, until it has `most`.
    fn extend(&mut self, mut edges: Vec<Edge>, most: usize) {
        edges.sort_unstable();
        let mut lists = EdgeLists::new();
        for edges in edges.chunk_by(|a, b| a.0 == b.0) {
            let mut list = self.of(edges[0].0).to_vec();
            for (_, target) in edges {
                if list.len() < most && !list.contains(&target.node) {
                    list.push(target.node);
                }
            }
            lists.push((edges[0].0, list));
        }
        let grown: Vec<NodeId> = lists.iter().map(|(node, _)| *node).collect();
        self.0.retain(|(node, _)| grown.binary_search(node).is_err());
        self.0.append(&mut lists);
        self.0.sort_unstable();
    }

    /// These after the edges that the overflow already has.
    fn after(mut self, graph: Adjacency<'_>) -> EdgeLists {
        for (node, list) in &mut self.0 {
            let mut all = graph.overflow_neighbors(*node).to_vec();
            all.append(list);
            *list = all.split_off(all.len().saturating_sub(KEPT));
        }
        let mut untouched = graph.overflow_lists();
        untouched.retain(|(node, _)| self.of(*node).is_empty());
        self.0.append(&mut untouched);
        self.0.sort_unstable();
        self.0
    }
}

/// Edges of each node that is among the first of some query.
fn project<S: Space>(
    graph: Adjacency<'_>,
    space: &S,
    (nearest, depth): (&[NodeId], usize),
    pool: &rayon::ThreadPool,
) -> Vec<Edge> {
    let mut near: Vec<(NodeId, &[NodeId])> = Vec::new();
    for row in nearest.chunks_exact(depth) {
        near.extend(row.iter().take(PROJECTED).map(|node| (*node, row)));
    }
    let by_node = |(node, _): &(NodeId, &[NodeId])| *node;
    pool.install(|| near.par_sort_by_key(by_node));
    let groups: Vec<_> = near.chunk_by(|a, b| a.0 == b.0).collect();
    pool.install(|| {
        let project = |rows: &&[(NodeId, &[NodeId])]| {
            let node = rows[0].0;
            let mut candidates: Vec<NodeId> =
                rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
            candidates.sort_unstable();
            candidates.dedup();
            let old: Vec<NodeId> = graph.all_neighbors(node).collect();
            candidates.retain(|candidate| *candidate != node && !old.contains(candidate));
            // What was learned before prunes, too; the graph's own edges, which would leave next to
            // nothing, do not.
            let kept = graph.overflow_neighbors(node).to_vec();
            dispatch(Project { space, node, candidates, kept })
        };
        groups.par_iter().flat_map_iter(project).collect()
    })
}

struct Project<'a, S> {
    space: &'a S,
    node: NodeId,
    candidates: Vec<NodeId>,
    kept: Vec<NodeId>,
}

impl<S: Space> Operation for Project<'_, S> {
    type Output = Vec<Edge>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<Edge> {
        let Project { space, node, candidates, mut kept } = self;
        let mut buffer = S::Buffer::default();
        let mut distances = vec![0.0; candidates.len()];
        space.scorer(isa, node, &mut buffer).score(&candidates, &mut distances);
        let mut candidates = neighbors(&candidates, &distances);
        candidates.sort_unstable();
        let mut edges = Vec::new();
        for candidate in candidates {
            if edges.len() == PROJECTIONS {
                break;
            }
            distances.resize(kept.len(), 0.0);
            space.scorer(isa, candidate.node, &mut buffer).score(&kept, &mut distances);
            if distances.iter().all(|distance| *distance > candidate.distance) {
                edges.push((node, candidate));
                kept.push(candidate.node);
            }
        }
        edges
    }
}

/// For each query, edges among its nearest nodes.
fn connect<S: Space>(
    graph: Adjacency<'_>,
    added: &Added,
    space: &S,
    (nearest, depth): (&[NodeId], usize),
    pool: &rayon::ThreadPool,
) -> Vec<Edge> {
    pool.install(|| {
        let connect = |row: &[NodeId]| {
            let row = &row[..row.len().min(CONNECTED)];
            dispatch(Connect { graph, added, space, row })
        };
        nearest.par_chunks_exact(depth).flat_map_iter(connect).collect()
    })
}

struct Connect<'a, S> {
    graph: Adjacency<'a>,
    added: &'a Added,
    space: &'a S,
    row: &'a [NodeId],
}

impl<S: Space> Operation for Connect<'_, S> {
    type Output = Vec<Edge>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<Edge> {
        let Connect { graph, added, space, row } = self;
        let mut reached = Reached::new(row.len());
        let mut places: Vec<(NodeId, usize)> = row.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let place = |node: NodeId| {
            let at = places.binary_search_by_key(&node, |(node, _)| *node).ok()?;
            Some(places[at].1)
        };
        for (from, node) in row.iter().enumerate() {
            let edges = graph.all_neighbors(*node).chain(added.of(*node).iter().copied());
            for to in edges.filter_map(place) {
                reached.add(from, to);
            }
        }
        if reached.all() {
            return Vec::new();
        }
        let (mut buffer, mut pairs) = (S::Buffer::default(), Vec::new());
        let mut distances = vec![0.0; row.len()];
        for (from, node) in row.iter().enumerate() {
            space.scorer(isa, *node, &mut buffer).score(row, &mut distances);
            pairs.extend(
                neighbors(row, &distances).into_iter().zip(0..).map(|(to, at)| (to, from, at)),
            );
        }
        pairs.sort_unstable();
        pairs.retain(|(_, from, to)| reached.add(*from, *to));
        pairs.into_iter().map(|(target, from, _)| (row[from], target)).collect()
    }
}

fn neighbors(nodes: &[NodeId], distances: &[f32]) -> Vec<Neighbor> {
    let scored = nodes.iter().zip(distances);
    scored.map(|(&node, &distance)| Neighbor { distance, node }).collect()
}

/// Which of at most 64 nodes reach which over the edges among them: a bit of a word for each.
struct Reached(Vec<u64>);

impl Reached {
    /// Each reaches itself.
    fn new(nodes: usize) -> Self {
        Self((0..nodes).map(|node| 1 << node).collect())
    }

    /// Adds an edge; false where that changes nothing. Whatever reaches `from` now reaches what `to` does.
    fn add(&mut self, from: usize, to: usize) -> bool {
        if self.0[from] >> to & 1 == 1 {
            return false;
        }
        let gained = self.0[to];
        for reached in &mut self.0 {
            if *reached >> from & 1 == 1 {
                *reached |= gained;
            }
        }
        true
    }

    /// Whether each reaches all.
    fn all(&self) -> bool {
        let all = u64::MAX >> (64 - self.0.len());
        self.0.iter().all(|reached| *reached == all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::line::Line;
    use crate::graph::overflow::OwnedOverflow;

    fn reaches_all(graph: Adjacency<'_>, among: &[NodeId]) -> bool {
        among.iter().all(|from| {
            let (mut seen, mut next) = (vec![*from], 0);
            while let Some(node) = seen.get(next).copied() {
                next += 1;
                for to in graph.all_neighbors(node) {
                    if among.contains(&to) && !seen.contains(&to) {
                        seen.push(to);
                    }
                }
            }
            seen.len() == among.len()
        })
    }

    #[test]
    fn the_nearest_of_each_query_reach_each_other_and_old_edges_stay() {
        let (n, degree, depth) = (200usize, 2, 8);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        // A line: each node has an edge to the next one alone.
        let base: Vec<NodeId> = (0..n as u32)
            .flat_map(|node| [(node + 1).min(n as u32 - 1), node].map(NodeId))
            .collect();
        let graph = Adjacency::new(&base, degree);
        let first = OwnedOverflow::new(n, &vec![(NodeId(3), vec![NodeId(100)])]);
        let graph = graph.with_overflow(first.view());
        let rows = [5u32, 90, 41].map(|from| (0..depth as u32).map(move |i| (from + 13 * i) % 200));
        let nearest: Vec<NodeId> = rows.into_iter().flatten().map(NodeId).collect();
        let lists = repair(graph, &Line(n), (&nearest, depth), &pool);
        assert!(lists.is_sorted_by(|a, b| a.0 < b.0));
        assert!(lists.contains(&(NodeId(3), vec![NodeId(100)])), "an old edge is gone");
        for (node, list) in &lists {
            let mut once = list.clone();
            once.sort_unstable();
            once.dedup();
            assert!(once.len() == list.len() && !once.contains(node) && once.len() <= KEPT);
        }
        let overflow = OwnedOverflow::new(n, &lists);
        let repaired = Adjacency::new(&base, degree).with_overflow(overflow.view());
        for row in nearest.chunks(depth) {
            assert!(!reaches_all(graph, row) && reaches_all(repaired, row));
        }
        // Nothing is missed any more.
        assert_eq!(
            repair(repaired, &Line(n), (&nearest, depth), &pool)
                .iter()
                .map(|l| l.1.len())
                .sum::<usize>(),
            lists.iter().map(|l| l.1.len()).sum::<usize>(),
        );
    }
}
