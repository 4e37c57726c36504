//! What the planner's choice costs: each group's time beside that of the fastest plan that was asked
//! for.

use super::table;
use crate::curves::median;
use crate::results::{Params, Point};
use crate::text::{BOLD, Table, styled};
use crate::units;

/// A plan that finds less is no rival.
const RECALL: f64 = 0.97;

/// One group at one search, by the planner and by the fastest plan.
struct Row<'a> {
    planned: &'a Point,
    fastest: &'a Point,
}

impl Row<'_> {
    /// How many times the fastest plan's time the planner takes; below 1 where it adapts on the way.
    fn regret(&self) -> f64 {
        self.fastest.qps_median / self.planned.qps_median
    }
}

/// The table, where there are points of the planner and of plans that were asked for.
pub(crate) fn of(points: &[Point]) -> String {
    let rows: Vec<Row<'_>> = points.iter().filter_map(|point| row(point, points)).collect();
    let mut regrets: Vec<f64> = rows.iter().map(Row::regret).collect();
    let worst = rows.iter().max_by(|a, b| a.regret().total_cmp(&b.regret()));
    let Some(worst) = worst else { return String::new() };
    let mut text = format!(
        "{}  median {:.2}, worst {:.2} ({}, {}): times the fastest plan of recall {RECALL}\n",
        styled(BOLD, "regret"),
        median(&mut regrets),
        worst.regret(),
        shape(worst.planned),
        pass(worst.planned),
    );
    let mut table = Table::new(["shape<", "pass", "search", "auto", "fastest<", "its", "regret"]);
    for row in &rows {
        table.row([
            shape(row.planned).to_owned(),
            pass(row.planned),
            table::search(&without_plan(row.planned)),
            micros(row.planned),
            plan(row.fastest).unwrap_or_default().to_owned(),
            micros(row.fastest),
            format!("{:.2}", row.regret()),
        ]);
    }
    table.write(&mut text);
    text
}

fn row<'a>(planned: &'a Point, points: &'a [Point]) -> Option<Row<'a>> {
    if plan(planned)? != "auto" {
        return None;
    }
    let group = |point: &Point| {
        let filter = point.filter.as_ref()?;
        Some((
            (point.build.clone(), point.threads, point.offered_qps.map(f64::to_bits)),
            (filter.shape.clone(), filter.selectivity.to_bits(), without_plan(point)),
        ))
    };
    let of = group(planned)?;
    let rival = |point: &&Point| {
        plan(point).is_some_and(|plan| plan != "auto") && point.recall_id >= RECALL
    };
    let fastest = points
        .iter()
        .filter(rival)
        .filter(|point| group(point).is_some_and(|group| group == of))
        .max_by(|a, b| a.qps_median.total_cmp(&b.qps_median))?;
    Some(Row { planned, fastest })
}

fn plan(point: &Point) -> Option<&str> {
    point.search.get("plan")?.as_str()
}

fn without_plan(point: &Point) -> Params {
    let others = point.search.iter().filter(|(name, _)| *name != "plan");
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn shape(point: &Point) -> &str {
    point.filter.as_ref().map_or("", |filter| &filter.shape)
}

fn pass(point: &Point) -> String {
    point.filter.as_ref().map_or_else(String::new, table::pass)
}

/// Mean time of a query on one thread.
fn micros(point: &Point) -> String {
    units::seconds(point.threads as f64 / point.qps_median)
}
