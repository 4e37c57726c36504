//! Usefulness of the answers against what users took, exact and approximate side by side, and what
//! approximation costs of it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use vicinage::eval::bootstrap::{Interval, Sampled, resample};
use vicinage::eval::metrics::recall_by_id;
use vicinage_datasets::{Relevance, read_relevance};

use super::auc::{Auc, AucKind, auc};
use super::items::{Beyond, Grouping, Items, Popularity};
use super::{Ground, Line, Way, asked, table};
use crate::args::threads_or_cores;
use crate::exit::{Exit, Failure};
use crate::measure::{Answers, Excluding, ask, exact, recall_over};
use crate::truth::thread_pool;
use crate::usefulness::{MEASURES, Useful, usefulness};

/// Bootstrap samples of the queries.
pub(super) const RESAMPLES: usize = 1_000;

/// What losses are told by.
const POINT: f64 = 0.01;

/// How answers are judged.
#[derive(Args)]
pub(super) struct RelevanceArgs {
    /// Items that users have had already, in the form of --relevance: they are excluded from every
    /// search and from AUC, and count as not relevant
    #[arg(long, value_name = "FILE", requires = "relevance")]
    exclude: Option<PathBuf>,
    /// Attribute that counts how often each item was taken (i64 or f64), for novelty
    #[arg(long, value_name = "COLUMN", requires = "relevance")]
    popularity: Option<String>,
    /// Attribute whose values are groups of items (category, tags, i64 or bool): each group's share of
    /// the answers over its share of the items. May be given again
    #[arg(long, value_name = "COLUMN", requires = "relevance")]
    group: Vec<String>,
    /// What relevant items are compared with for AUC: none, sampled (1,000 items a query) or full
    #[arg(long, value_enum, value_name = "KIND", default_value_t, requires = "relevance")]
    auc: AucKind,
    /// Seed of what is drawn: items for AUC, queries for intervals
    #[arg(long, value_name = "N", default_value_t = 1, requires = "relevance")]
    seed: u64,
}

/// What is relevant to whom, as far as answers can have it.
pub(super) struct Judgements {
    /// The queries for which something is relevant, and that, by item: no grade is 0.
    pub(super) judged: Vec<(usize, Vec<(u64, u8)>)>,
    excluded: Option<Relevance>,
    /// Relevant items that are excluded all the same, and count as not relevant.
    pub(super) relevant_excluded: usize,
    /// Relevant items that the index does not hold, and which no search can find.
    pub(super) relevant_unknown: usize,
}

/// One search, judged.
#[derive(Serialize)]
pub(super) struct Judged {
    pub(super) usefulness: Usefulness,
    /// None of exact search.
    pub(super) against_exact: Option<Costs>,
    pub(super) beyond_accuracy: Beyond,
}

/// How useful answers are, over the queries for which something is relevant.
#[derive(Serialize)]
pub(super) struct Usefulness {
    judged_queries: usize,
    #[serde(flatten)]
    pub(super) measures: Useful<Interval>,
}

/// What approximation costs.
#[derive(Serialize)]
pub(super) struct Costs {
    /// 1 - recall by id against exact search.
    recall_lost: Interval,
    #[serde(flatten)]
    pub(super) measures: Useful<Cost>,
}

/// What it costs of one measure.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Cost {
    /// To exact search, paired by query; below 0 something is lost.
    pub(super) difference: Interval,
    /// Of that, what goes with each 0.01 of recall that is lost; none where recall may be complete.
    pub(super) per_recall_point: Option<Interval>,
}

/// What is reported beside the lines.
pub(super) struct Summary {
    pub(super) judgements: Judgements,
    pub(super) auc: Option<Auc>,
    pub(super) groupings: Vec<Grouping>,
}

/// Judges every search: as JSON, and as tables.
pub(super) fn report(ground: &Ground<'_>, path: &Path) -> Result<(Value, String), Failure> {
    let Ground { args, index, queries, report } = *ground;
    let RelevanceArgs { popularity, group, seed, .. } = &args.judging;
    let judgements = Judgements::read(ground, path)?;
    let popularity = popularity.as_ref().map(|name| Popularity::read(index, name)).transpose()?;
    let groupings =
        group.iter().map(|name| Grouping::read(index, name)).collect::<Result<_, _>>()?;
    let items = Items { index, popularity, groupings };
    let pool = thread_pool(args.threads)?;
    let asking = Excluding { index, queries, excluded: judgements.excluded.as_ref() };
    let truth = exact(&asking, args.most(), threads_or_cores(args.threads), report)?;
    let judge = Judge { judgements: &judgements, truth: &truth, seed: *seed };
    let mut lines = Vec::new();
    // That of exact search, which comes first for each k.
    let mut reference: Option<Measured> = None;
    for (k, way) in asked(args, true) {
        let is_exact = way == Way::Exact;
        let asked = (!is_exact || args.exact).then(|| ask(&asking, &way.params(k), report));
        let (found, speed) = asked.transpose()?.unzip();
        let found = found.as_ref().filter(|_| !is_exact).unwrap_or(&truth);
        let measured = pool.install(|| judge.measure(found, k))?;
        let against = reference.as_ref().filter(|_| !is_exact);
        let judged = Judged {
            usefulness: measured.usefulness(judgements.judged.len()),
            against_exact: against.map(|exact| measured.costs(exact)),
            beyond_accuracy: pool.install(|| items.beyond(found, k, *seed))?,
        };
        let rows = judgements.judged.iter().map(|(query, _)| *query);
        let recall = recall_over(index.info().metric, found, &truth, k, rows);
        let line = Line::new(index, (k, way), recall)?;
        lines.push(Line { judged: Some(judged), speed, ..line });
        if is_exact {
            reference = Some(measured);
        }
    }
    let kind = args.judging.auc;
    let auc = pool.install(|| auc(kind, (index, queries), &judgements, *seed, report))?;
    let summary = Summary { judgements, auc, groupings: items.groupings };
    Ok((summary.json(ground, &lines), table::of_judged(ground, &summary, &lines)))
}

impl Summary {
    fn json(&self, ground: &Ground<'_>, lines: &[Line]) -> Value {
        let Ground { args, index, queries, .. } = ground;
        let Judgements { judged, relevant_excluded, relevant_unknown, .. } = &self.judgements;
        let relevant: usize = judged.iter().map(|(_, items)| items.len()).sum();
        json!({
            "index": args.dir, "queries": queries.rows(), "results": lines,
            "calibrated_on": index.calibration().map(|calibration| &calibration.queries_from),
            "relevance": {
                "judged_queries": judged.len(), "relevant": relevant,
                "relevant_excluded": relevant_excluded, "relevant_unknown": relevant_unknown,
            },
            "auc": self.auc,
            "bootstrap": { "resamples": RESAMPLES, "level": 0.95, "seed": args.judging.seed },
        })
    }
}

impl Judgements {
    fn read(ground: &Ground<'_>, path: &Path) -> Result<Self, Failure> {
        let Ground { args, index, queries, .. } = *ground;
        let relevance = read_relevance(path, queries.rows())?;
        let excluded = args.judging.exclude.as_ref();
        let excluded = excluded.map(|path| read_relevance(path, queries.rows())).transpose()?;
        let (mut judged, mut relevant_excluded, mut relevant_unknown) = (Vec::new(), 0, 0);
        for query in 0..queries.rows() {
            let graded = relevance.judged(query).iter().filter(|(_, grade)| *grade > 0);
            let mut relevant: Vec<(u64, u8)> = graded.copied().collect();
            let all = relevant.len();
            relevant.retain(|&(item, _)| {
                excluded.as_ref().is_none_or(|taken| taken.grade(query, item).is_none())
            });
            relevant_excluded += all - relevant.len();
            relevant_unknown +=
                relevant.iter().filter(|&&(item, _)| index.find(item).is_none()).count();
            if !relevant.is_empty() {
                judged.push((query, relevant));
            }
        }
        if judged.is_empty() {
            let found = format!("{relevant_excluded} relevant items, all of them excluded");
            return Err(Failure::data(format!(
                "{} says of no query what is relevant",
                path.display()
            ))
            .expected("at least one relevant item that is not excluded", found));
        }
        Ok(Self { judged, excluded, relevant_excluded, relevant_unknown })
    }

    /// The items that a query must not be answered with.
    pub(super) fn excluded_of(&self, query: usize) -> Vec<u64> {
        let listed = self.excluded.as_ref().map_or(&[][..], |excluded| excluded.judged(query));
        listed.iter().map(|&(item, _)| item).collect()
    }
}

/// What answers are held against.
struct Judge<'a> {
    judgements: &'a Judgements,
    /// The answers of exact search.
    truth: &'a Answers,
    seed: u64,
}

impl Judge<'_> {
    /// Measures the first `k` answers, on the threads of the pool that it is called in.
    fn measure(&self, found: &Answers, k: usize) -> Result<Measured, Failure> {
        let row = |(query, judged): &(usize, Vec<(u64, u8)>)| {
            let ids = found.ids(*query, k);
            let lost = 1.0 - recall_by_id(ids, self.truth.ids(*query, k));
            let [ndcg, recall, precision, mrr, hit_rate] = usefulness(ids, judged, k).array();
            [ndcg, recall, precision, mrr, hit_rate, lost]
        };
        let rows: Vec<[f64; MEASURES + 1]> = self.judgements.judged.iter().map(row).collect();
        let [ndcg, recall, precision, mrr, hit_rate, recall_lost] =
            resample(&rows, RESAMPLES, self.seed)
                .ok_or_else(|| Failure::new(Exit::Internal, "no query is judged"))?;
        Ok(Measured { useful: [ndcg, recall, precision, mrr, hit_rate], recall_lost })
    }
}

/// The measures of one search, resampled: every search draws the same queries, so that they stay
/// paired.
struct Measured {
    useful: [Sampled; MEASURES],
    recall_lost: Sampled,
}

impl Measured {
    fn usefulness(&self, judged_queries: usize) -> Usefulness {
        let measures = Useful::from_array(self.useful.each_ref().map(Sampled::interval));
        Usefulness { judged_queries, measures }
    }

    /// What it costs to search like this and not exactly.
    fn costs(&self, exact: &Measured) -> Costs {
        let cost = |at: usize| {
            let difference = self.useful[at].minus(&exact.useful[at]);
            let per_recall_point = difference.over(&self.recall_lost).map(|all| Interval {
                mean: all.mean * POINT,
                low: all.low * POINT,
                high: all.high * POINT,
            });
            Cost { difference: difference.interval(), per_recall_point }
        };
        Costs {
            recall_lost: self.recall_lost.interval(),
            measures: Useful::from_array(std::array::from_fn(cost)),
        }
    }
}
