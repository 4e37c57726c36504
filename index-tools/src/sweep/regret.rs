//! What the planner's choice costs: each group's time beside that of the fastest plan that was asked
//! for.

use serde_json::Value;

use super::table;
use crate::curves::median;
use crate::results::{FilterFigures, Point};
use crate::text::{BOLD, Table, styled};
use crate::units;

/// A plan that finds less is no rival.
const RECALL: f64 = 0.97;

/// The parameter, and its value where the planner chooses.
const PLAN: &str = "plan";
const AUTO: &str = "auto";

/// One group at one search, by the planner and by the fastest plan.
struct Row<'a> {
    filter: &'a FilterFigures,
    planned: &'a Point,
    fastest: &'a Point,
}

impl<'a> Row<'a> {
    /// Of a point of the planner that has a rival.
    fn of(planned: &'a Point, points: &'a [Point]) -> Option<Self> {
        let filter = planned.filter.as_ref().filter(|_| plan(planned) == Some(AUTO))?;
        let fastest = points
            .iter()
            .filter(|point| plan(point).is_some_and(|plan| plan != AUTO))
            .filter(|point| point.recall_id >= RECALL && differ_in_plan(point, planned))
            .max_by(|a, b| a.qps_median.total_cmp(&b.qps_median))?;
        Some(Self { filter, planned, fastest })
    }

    /// How many times the fastest plan's time the planner takes; below 1 where it adapts on the way.
    fn regret(&self) -> f64 {
        self.fastest.qps_median / self.planned.qps_median
    }
}

/// The table, where there are points of the planner and of plans that were asked for.
pub(crate) fn of(points: &[Point]) -> String {
    let rows: Vec<Row<'_>> = points.iter().filter_map(|point| Row::of(point, points)).collect();
    let mut regrets: Vec<f64> = rows.iter().map(Row::regret).collect();
    let worst = rows.iter().max_by(|a, b| a.regret().total_cmp(&b.regret()));
    let Some(worst) = worst else { return String::new() };
    let mut text = format!(
        "{}  median {:.2}, worst {:.2} ({}, {}): times the fastest plan of recall {RECALL}\n",
        styled(BOLD, "regret"),
        median(&mut regrets),
        worst.regret(),
        worst.filter.shape,
        table::pass(worst.filter),
    );
    let mut table = Table::new(["shape<", "pass", "search", "auto", "fastest<", "its", "regret"]);
    for row in &rows {
        table.row([
            row.filter.shape.clone(),
            table::pass(row.filter),
            table::search(others(row.planned)),
            mean_time(row.planned),
            plan(row.fastest).unwrap_or_default().to_owned(),
            mean_time(row.fastest),
            format!("{:.2}", row.regret()),
        ]);
    }
    table.write(&mut text);
    text
}

/// Whether points are of one group, index and load, and of one search but for its plan.
fn differ_in_plan(a: &Point, b: &Point) -> bool {
    let filters = a.filter.as_ref().zip(b.filter.as_ref());
    filters.is_some_and(|(a, b)| a.shape == b.shape && a.selectivity == b.selectivity)
        && a.build == b.build
        && a.threads == b.threads
        && a.offered_qps == b.offered_qps
        && others(a).eq(others(b))
}

fn plan(point: &Point) -> Option<&str> {
    point.search.get(PLAN)?.as_str()
}

/// The parameters of the search but for the plan.
fn others(point: &Point) -> impl Iterator<Item = (&String, &Value)> {
    point.search.iter().filter(|(name, _)| *name != PLAN)
}

/// Of a query on one thread.
fn mean_time(point: &Point) -> String {
    units::seconds(point.threads as f64 / point.qps_median)
}
