//! The measures of `vicinage::eval` against other people's programs: scikit-learn, ranx, PySAL and
//! NumPy, on the cases of `tests/data/eval_metrics.json`, which `eval_metrics.py` beside it writes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use serde::Deserialize;
use vicinage::eval::bootstrap::quantile;
use vicinage::eval::{catalog, metrics};

#[derive(Deserialize)]
struct Cases {
    answers: Vec<Answer>,
    scores: Vec<Scores>,
    lists: Vec<List>,
    catalogs: Vec<Catalog>,
    quantiles: Vec<Quantiles>,
}

#[derive(Deserialize)]
struct Answer {
    k: usize,
    found: Vec<u64>,
    judged: Vec<(u64, u8)>,
    ndcg: f64,
    precision: f64,
    recall: f64,
    reciprocal_rank: f64,
    hit_rate: f64,
}

#[derive(Deserialize)]
struct Scores {
    relevant: Vec<f32>,
    others: Vec<f32>,
    auc: f64,
}

#[derive(Deserialize)]
struct List {
    dim: usize,
    vectors: Vec<f32>,
    diversity: f64,
}

#[derive(Deserialize)]
struct Catalog {
    exposures: Vec<u64>,
    gini: f64,
    coverage: f64,
    group: Vec<bool>,
    exposure_ratio: f64,
    taken: Vec<f64>,
    novelty: f64,
}

#[derive(Deserialize)]
struct Quantiles {
    sorted: Vec<f64>,
    low: f64,
    high: f64,
}

fn cases() -> Cases {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/eval_metrics.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[track_caller]
fn same(what: &str, at: usize, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9, "{what} of case {at}: {found}, expected {expected}");
}

#[test]
fn measures_of_one_answer() {
    let Cases { answers, scores, lists, .. } = cases();
    assert!(answers.len() >= 96 && answers.iter().any(|case| case.found.is_empty()));
    for (at, case) in answers.iter().enumerate() {
        let Answer { k, found, judged, .. } = case;
        same("NDCG", at, metrics::ndcg(found, judged, *k), case.ndcg);
        same("precision", at, metrics::precision(found, judged, *k), case.precision);
        same("recall", at, metrics::recall(found, judged, *k), case.recall);
        let rank = metrics::reciprocal_rank(found, judged, *k);
        same("reciprocal rank", at, rank, case.reciprocal_rank);
        same("hit rate", at, metrics::hit_rate(found, judged, *k), case.hit_rate);
    }
    for (at, case) in scores.iter().enumerate() {
        let auc = metrics::auc(&case.relevant, case.others.iter().copied());
        same("AUC", at, auc.unwrap(), case.auc);
    }
    for (at, case) in lists.iter().enumerate() {
        let diversity = metrics::diversity(&case.vectors, case.dim);
        same("diversity", at, diversity.unwrap(), case.diversity);
    }
}

#[test]
fn measures_of_a_catalogue() {
    for (at, case) in cases().catalogs.iter().enumerate() {
        let Catalog { exposures, group, taken, .. } = case;
        same("Gini", at, catalog::gini(exposures), case.gini);
        same("coverage", at, catalog::coverage(exposures), case.coverage);
        let of_group = |count: fn(u64) -> u64| -> u64 {
            exposures.iter().zip(group).filter(|(_, of)| **of).map(|(&x, _)| count(x)).sum()
        };
        let exposure = catalog::Exposure {
            items: of_group(|_| 1),
            catalog: exposures.len() as u64,
            shown: of_group(|x| x),
            answers: exposures.iter().sum(),
        };
        same("exposure ratio", at, exposure.ratio().unwrap(), case.exposure_ratio);
        let novelty = metrics::novelty(taken.iter().copied(), taken.iter().sum());
        same("novelty", at, novelty.unwrap(), case.novelty);
    }
}

#[test]
fn quantiles_of_resamples() {
    for (at, case) in cases().quantiles.iter().enumerate() {
        same("2.5 %", at, quantile(&case.sorted, 0.025), case.low);
        same("97.5 %", at, quantile(&case.sorted, 0.975), case.high);
    }
}
