//! With how many nodes searches go down through the upper layers: found by asking the graph that was
//! just built. Most sets want one; where items form clusters far from each other, one ends up in the
//! wrong cluster for a share of the queries, whatever `ef` is.

use rayon::prelude::*;

use crate::builder::cost::{Cost, RECALL};
use crate::builder::questions::Questions;
use crate::graph::levels::MAX_ENTRIES;
use crate::search::{Scratch, SearchParams, Target};

/// Results per question.
const K: usize = 10;

/// Twice as many entries have to cost less than this share of the distances that half as many do.
const WORTH: f64 = 0.95;

/// The number of entries, a power of two, that reaches a high recall, or the best there is, with the fewest
/// distances.
/// Cost: some twenty searches a question, more where more than one entry pays.
pub(super) fn find_entries(
    questions: &Questions,
    target: &Target<'_>,
    pool: &rayon::ThreadPool,
) -> usize {
    let (words, layout) = target.levels;
    let cost = |entries| {
        let layout = layout.with_entries(entries);
        let target = Target { levels: (words, &layout), ..*target };
        Cost::of(|ef| measure(questions, &target, ef, pool))
    };
    let (mut entries, mut least) = (1, cost(1));
    while entries < MAX_ENTRIES {
        let (more, recall) = (cost(2 * entries), least.best().min(RECALL));
        if more.at(recall) >= WORTH * least.at(recall) {
            break;
        }
        (entries, least) = (2 * entries, more);
    }
    entries
}

/// Mean recall and distances at one list size.
fn measure(
    questions: &Questions,
    target: &Target<'_>,
    ef: usize,
    pool: &rayon::ThreadPool,
) -> (f64, f64) {
    let params = SearchParams { ef: Some(ef), ..SearchParams::top(K) };
    let answers: Vec<(f64, u64)> = pool.install(|| {
        let each = (0..questions.len()).into_par_iter();
        let state = || (Scratch::default(), Vec::new());
        let ask = |(scratch, found): &mut (Scratch, Vec<_>), question| {
            let answer = questions.ask(question, target, &params, scratch, found);
            // By distance: where many items are the same, ids never get to a high recall.
            answer.map(|(recall, distances)| (recall.by_distance, distances)).unwrap_or_default()
        };
        each.map_init(state, ask).collect()
    });
    let count = answers.len().max(1) as f64;
    let recall = answers.iter().map(|(recall, _)| recall).sum::<f64>() / count;
    (recall, answers.iter().map(|(_, distances)| *distances as f64).sum::<f64>() / count)
}
