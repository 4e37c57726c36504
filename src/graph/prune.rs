//! Choosing a node's neighbors among candidates.
//!
//! RobustPrune of Subramanya et al., "DiskANN" (NeurIPS 2019), algorithm 2: candidates are taken
//! by distance, and one is dropped when an already kept neighbor `s` lies so close to it that a
//! search gets there through `s`: `alpha · d(s, c) ≤ d(p, c)`. Where we differ: equality drops, so
//! that of many equal items one is kept; and with **backfill** the free slots that remain go to
//! the nearest dropped candidates.

use serde::{Deserialize, Serialize};

use crate::kernels::{Isa, Space};
use crate::types::{Neighbor, NodeId, Scorer};

/// How neighbors are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneRule {
    /// Slack factor on the distance that pruning compares, at least 1. On squared L2 it acts on
    /// the square.
    pub alpha: f32,
    /// Whether free slots are filled with the nearest dropped candidates.
    pub backfill: bool,
}

/// Reusable memory of pruning in a space whose scorers use a `B`.
#[derive(Debug, Default)]
pub struct PruneScratch<B> {
    dropped: Vec<Neighbor>,
    /// The nodes of what is kept.
    nodes: Vec<NodeId>,
    buffer: B,
}

/// Kept neighbors that a candidate is compared with at a time: scorers take so many together, and a
/// candidate that one of the first occludes, as most are, costs no more.
const TOGETHER: usize = 4;

/// Keeps at most `degree` of `candidates` (ascending by distance to the node that they are for,
/// which is not among them) in `kept`. Cost: at most `candidates · degree` distances.
#[inline(always)]
pub fn robust_prune<I: Isa, S: Space>(
    isa: I,
    space: &S,
    candidates: impl Iterator<Item = Neighbor>,
    degree: usize,
    rule: PruneRule,
    scratch: &mut PruneScratch<S::Buffer>,
    kept: &mut Vec<Neighbor>,
) {
    kept.clear();
    scratch.dropped.clear();
    scratch.nodes.clear();
    for candidate in candidates {
        if kept.len() == degree {
            break;
        }
        let scorer = space.scorer(isa, candidate.node, &mut scratch.buffer);
        if occludes(&scorer, &scratch.nodes, rule.alpha, candidate) {
            scratch.dropped.push(candidate);
        } else {
            kept.push(candidate);
            scratch.nodes.push(candidate.node);
        }
    }
    if rule.backfill {
        let free = degree - kept.len();
        kept.extend(scratch.dropped.iter().take(free));
    }
}

/// Whether one of `kept` lies close enough to the candidate that `scorer` scores by. A loop and
/// not `any`: a closure would not be compiled for the instruction set.
#[inline(always)]
fn occludes<S: Scorer>(scorer: &S, kept: &[NodeId], alpha: f32, candidate: Neighbor) -> bool {
    let mut distances = [0.0; TOGETHER];
    for nodes in kept.chunks(TOGETHER) {
        let distances = &mut distances[..nodes.len()];
        scorer.score(nodes, distances);
        for distance in distances {
            if alpha * *distance <= candidate.distance {
                return true;
            }
        }
    }
    false
}
