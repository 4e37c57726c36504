//! With how many nodes searches go down through the upper layers: found by asking the graph that was
//! just built. Most sets want one; where items form clusters far from each other, one ends up in the
//! wrong cluster for a share of the queries, whatever `ef` is.

use crate::builder::cost::{Cost, RECALL};
use crate::builder::questions::{Questions, mean};
use crate::graph::levels::{LevelsLayout, MAX_ENTRIES};
use crate::search::{SearchParams, Target};

/// Results per question.
const K: usize = 10;

/// Twice as many entries have to cost less than this share of the distances that half as many do.
const WORTH: f64 = 0.95;

/// The layers of `target`, for the number of entries, a power of two, that reaches a high recall, or the
/// best there is, with the fewest distances.
///
/// Cost: some twenty searches a question, more where more than one entry pays.
pub(super) fn find_entries(
    questions: &Questions,
    target: &Target<'_>,
    pool: &rayon::ThreadPool,
) -> LevelsLayout {
    let (words, layout) = target.levels;
    let cost = |layout: &LevelsLayout| {
        let target = Target { levels: (words, layout), entry_points: None, ..*target };
        Cost::of(|ef| {
            let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
            let answers = questions.ask(questions.len(), &target, &params, pool);
            // By distance: where many items are the same, ids never get to a high recall.
            let recall = mean(&answers, |answer| answer.recall.by_distance);
            (recall, mean(&answers, |answer| answer.distances as f64))
        })
    };
    let mut best = layout.with_entries(1);
    let mut least = cost(&best);
    while best.entries() < MAX_ENTRIES {
        let twice = layout.with_entries(2 * best.entries());
        let (more, recall) = (cost(&twice), least.best().min(RECALL));
        if more.at(recall) >= WORTH * least.at(recall) {
            break;
        }
        (best, least) = (twice, more);
    }
    best
}
