//! What was measured, as tables of at most 120 columns.

use vicinage::eval::bootstrap::Interval;

use super::items::Grouping;
use super::relevance::{Judged, Summary};
use super::{Ground, Line};
use crate::calibration::measured_on;
use crate::measure::Speed;
use crate::text::{BOLD, DIM, Table, cut, heading, styled, wrapped};
use crate::units;
use crate::usefulness::Useful;

/// Groups that a table shows, the largest.
const GROUPS_SHOWN: usize = 12;

/// A name that leaves room for the ratios beside it.
const NAME_WIDTH: usize = 40;

/// Recall against exact answers.
pub(super) fn of_truth(ground: &Ground<'_>, lines: &[Line]) -> String {
    let mut text = title(ground);
    let by_recall = !ground.args.target_recall.is_empty();
    let expected: &[&str] = if by_recall { &["target", "expected"] } else { &[] };
    let measured = ["recall by id", "by distance", "mean", "p50", "p99", "queries/s"];
    let mut table = Table::new(["k", "ef"].iter().chain(expected).chain(&measured));
    for line in lines {
        let ef = line.ef.or(line.effort.map(|effort| effort.ef));
        let mut cells =
            vec![line.k.to_string(), ef.map_or("exact".to_owned(), |ef| ef.to_string())];
        if by_recall {
            let expected = line.effort.map(|effort| units::share(effort.expected_recall));
            let target = line.target_recall.map(|recall| recall.to_string());
            cells.extend([target, expected].map(Option::unwrap_or_default));
        }
        cells.extend([line.recall.id, line.recall.distance].map(units::share));
        cells.extend(speed(line.speed));
        table.row(cells);
    }
    table.write(&mut text);
    if let Some(calibration) = ground.index.calibration().filter(|_| by_recall) {
        text += &format!("{DIM}what is expected was {}{DIM:#}\n", measured_on(calibration));
    }
    text
}

/// Usefulness, what approximation costs of it, and what the answers are like.
pub(super) fn of_judged(ground: &Ground<'_>, summary: &Summary, lines: &[Line]) -> String {
    let mut text = title(ground);
    usefulness(&mut text, summary, lines);
    costs(&mut text, lines);
    beyond(&mut text, lines);
    let by_k = lines.chunk_by(|one, other| one.k == other.k);
    for (at, grouping) in summary.groupings.iter().enumerate() {
        by_k.clone().for_each(|lines| exposure(&mut text, (at, grouping), lines));
    }
    text
}

fn title(ground: &Ground<'_>) -> String {
    let info = ground.index.info();
    format!(
        "{}  {} items, {}; {} queries, one thread\n",
        styled(BOLD, ground.args.dir.display()),
        units::count(info.n),
        info.metric,
        units::count(ground.queries.rows() as u64),
    )
}

fn speed(speed: Option<Speed>) -> [String; 4] {
    let Some(speed) = speed else { return [const { String::new() }; 4] };
    let Speed { mean_seconds, p50_seconds, p99_seconds, queries_per_second } = speed;
    let [mean, p50, p99] = [mean_seconds, p50_seconds, p99_seconds].map(units::seconds);
    [mean, p50, p99, units::count(queries_per_second.round() as u64)]
}

/// What was searched for and how, in two cells.
fn search(line: &Line) -> [String; 2] {
    let search = match (line.ef, line.target_recall, line.effort) {
        (Some(ef), ..) => format!("ef {ef}"),
        (None, Some(recall), Some(effort)) => format!("recall {recall} (ef {})", effort.ef),
        (None, ..) => "exact".to_owned(),
    };
    [line.k.to_string(), search]
}

/// `0.4862 ±0.0102`.
fn with_spread(interval: &Interval) -> String {
    format!("{:.4} ±{:.4}", interval.mean, interval.half_width())
}

/// A difference of shares in hundredths, with its sign: `-0.12 ±0.05`.
fn points(interval: &Interval) -> String {
    // No loss is neither more nor less: without what rounding leaves of a sign.
    let mean = (100.0 * interval.mean * 100.0).round() / 100.0 + 0.0;
    format!("{mean:+.2} ±{:.2}", 100.0 * interval.half_width())
}

fn note(text: &mut String, note: &str) {
    *text += &format!("{DIM}{}{DIM:#}\n", wrapped("  ", note).trim_end());
}

fn judged(lines: &[Line]) -> impl Iterator<Item = (&Line, &Judged)> {
    lines.iter().filter_map(|line| line.judged.as_ref().map(|judged| (line, judged)))
}

fn usefulness(text: &mut String, summary: &Summary, lines: &[Line]) {
    let judgements = &summary.judgements;
    let count = |count: usize| units::count(count as u64);
    let queries = count(judgements.judged.len());
    heading(text, &format!("Usefulness, over the {queries} queries that have something relevant"));
    let mut table =
        Table::new(["k", "search<"].into_iter().chain(Useful::<f64>::NAMES).chain(["queries/s"]));
    for (line, judged) in judged(lines) {
        let measures = judged.usefulness.measures.array();
        let [.., rate] = speed(line.speed);
        let cells = search(line).into_iter().chain(measures.iter().map(with_spread));
        table.row(cells.chain([rate]));
    }
    table.write(text);
    if let Some(auc) = &summary.auc {
        let others = auc.negatives.map_or("all others".to_owned(), |negatives| {
            format!("{} others drawn for each query", count(negatives))
        });
        *text += &format!("  AUC {} of the scores, against {others}\n", with_spread(&auc.interval));
    }
    if judgements.relevant_excluded > 0 {
        let excluded = count(judgements.relevant_excluded);
        note(
            text,
            &format!("relevant items that are excluded, and count as not relevant: {excluded}"),
        );
    }
    if judgements.relevant_unknown > 0 {
        let unknown = count(judgements.relevant_unknown);
        note(
            text,
            &format!(
                "relevant items that are not in the index, where no search finds them: {unknown}"
            ),
        );
    }
}

fn costs(text: &mut String, lines: &[Line]) {
    if judged(lines).all(|(_, judged)| judged.against_exact.is_none()) {
        return;
    }
    heading(text, "What approximation costs: the difference to exact search, in points of 0.01");
    let names = Useful::<f64>::NAMES.into_iter();
    let names = ["k", "search<", "recall by id"].into_iter().chain(names);
    let mut table = Table::new(names.chain(["NDCG a point"]));
    for (line, judged) in judged(lines) {
        let Some(costs) = &judged.against_exact else { continue };
        let measures = costs.measures.array();
        let cells = search(line).into_iter().chain([units::share(line.recall.id)]);
        let cells = cells.chain(measures.iter().map(|cost| points(&cost.difference)));
        let a_point = costs.measures.ndcg.per_recall_point;
        table.row(cells.chain([a_point.map_or("–".to_owned(), |part| points(&part))]));
    }
    table.write(text);
    note(
        text,
        "NDCG a point: what goes with each point of recall that is lost. ±: half of the interval that holds \
         95 % of 1,000 bootstrap samples of the queries; a difference within it may be chance",
    );
}

fn beyond(text: &mut String, lines: &[Line]) {
    heading(text, "Beyond accuracy, over all queries");
    let novel = judged(lines).any(|(_, judged)| judged.beyond_accuracy.novelty.is_some());
    let novelty: &[&str] = if novel { &["novelty, bits"] } else { &[] };
    let names = ["k", "search<", "diversity"].iter().chain(novelty);
    let mut table = Table::new(names.chain(&["coverage", "Gini", "mean time", "p99"]));
    for (line, judged) in judged(lines) {
        let beyond = &judged.beyond_accuracy;
        let spread =
            |interval: &Option<Interval>| interval.as_ref().map_or("–".into(), with_spread);
        let mut cells = Vec::from(search(line));
        cells.push(spread(&beyond.diversity));
        if novel {
            cells.push(spread(&beyond.novelty));
        }
        cells.extend([beyond.coverage, beyond.gini].map(units::share));
        let [mean, _, p99, _] = speed(line.speed);
        cells.extend([mean, p99]);
        table.row(cells);
    }
    table.write(text);
}

/// How much each group is shown, at one k.
fn exposure(text: &mut String, (at, grouping): (usize, &Grouping), lines: &[Line]) {
    let Some(k) = lines.first().map(|line| line.k) else { return };
    let column = &grouping.column;
    heading(
        text,
        &format!("Exposure by {column} at k {k}: share of the answers over share of the items"),
    );
    let searches = lines.iter().map(|line| {
        let [_, search] = search(line);
        search
    });
    let names = [format!("{column}<"), "items".to_owned()];
    let mut table = Table::new(names.into_iter().chain(searches));
    for (number, group) in grouping.groups.iter().take(GROUPS_SHOWN).enumerate() {
        let ratios = judged(lines).map(|(_, judged)| {
            let ratio = judged.beyond_accuracy.ratios[at][number];
            ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"))
        });
        table.row(
            [cut(&group.name, NAME_WIDTH), units::count(group.items)].into_iter().chain(ratios),
        );
    }
    table.write(text);
    let more = grouping.groups.len().saturating_sub(GROUPS_SHOWN);
    if more > 0 {
        note(text, &format!("and {more} smaller groups: --format json has them all"));
    }
}
