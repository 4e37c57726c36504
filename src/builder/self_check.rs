//! The self-check: recall of sampled items against exact search, on the graph that was just built.

use crate::builder::questions::{Questions, mean};
use crate::search::{DEFAULT_EF, SearchParams, Target};
use crate::segments::meta::SelfCheck;

/// Results per query.
const K: usize = 10;

/// Asks all questions, whose truth has at least 10 neighbors each where there are so many items.
pub(super) fn self_check(
    questions: &Questions,
    from: &str,
    target: &Target<'_>,
    pool: &rayon::ThreadPool,
) -> SelfCheck {
    let params = SearchParams::top(K);
    let answers = questions.ask(questions.len(), target, &params, pool);
    SelfCheck {
        queries: questions.len() as u32,
        queries_from: from.to_owned(),
        k: K as u32,
        ef: DEFAULT_EF as u32,
        recall_id: mean(&answers, |answer| answer.recall.by_id),
        recall_distance: mean(&answers, |answer| answer.recall.by_distance),
    }
}
