//! The self-check: recall of sampled items against exact search, on the graph that was just built.

use rayon::prelude::*;

use crate::builder::questions::{Questions, Recall};
use crate::search::{DEFAULT_EF, Scratch, SearchParams, Target};
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
    let recalls: Vec<Recall> = pool.install(|| {
        let each = (0..questions.len()).into_par_iter();
        let state = || (Scratch::default(), Vec::new());
        let ask = |(scratch, found): &mut (Scratch, Vec<_>), question| {
            let answer = questions.ask(question, target, &params, scratch, found);
            answer.map(|(recall, _)| recall).unwrap_or_default()
        };
        each.map_init(state, ask).collect()
    });
    let mean = |recall: fn(&Recall) -> f64| {
        recalls.iter().map(recall).sum::<f64>() / recalls.len().max(1) as f64
    };
    SelfCheck {
        queries: questions.len() as u32,
        queries_from: from.to_owned(),
        k: K as u32,
        ef: DEFAULT_EF as u32,
        recall_id: mean(|recall| recall.by_id),
        recall_distance: mean(|recall| recall.by_distance),
    }
}
