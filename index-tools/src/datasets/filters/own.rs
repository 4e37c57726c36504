//! Filters that were given: a line for each, with its queries.

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use vicinage::filters::expression::Expression;
use vicinage::progress::Progress;

use super::Work;
use super::items::Items;
use super::shapes::Made;
use crate::exit::Failure;
use crate::workload::{FILTER_BYTES, place, read_text};

/// The shape of filters that have none.
const SHAPE: &str = "own";
/// Shares that filters are told by which do not say what they were meant to pass: the least that is not
/// below what passes.
const BANDS: [f64; 6] = [0.0001, 0.001, 0.01, 0.1, 0.5, 1.0];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    shape: Option<String>,
    selectivity: Option<f64>,
    filter: Box<RawValue>,
    queries: Vec<u32>,
}

/// Reads the filters, in groups.
pub(super) fn read(path: &Path, work: &Work<'_>, items: &Items) -> Result<Vec<Made>, Failure> {
    let text = read_text(path, FILTER_BYTES)?;
    let lines: Vec<&str> = text.lines().collect();
    work.report.start_step("read", lines.len() as u64, "filters");
    let one = |(at, line): (usize, &&str)| {
        work.report.interrupt().check()?;
        let question = question(line, work, items)
            .map_err(|error| error.about(&format!("{}, {}", path.display(), place(at))));
        work.report.advance(1);
        question
    };
    let read: Result<Vec<_>, Failure> =
        work.pool.install(|| lines.par_iter().enumerate().map(one).collect());
    work.report.finish();
    // In the order in which the first of each comes; there are few groups.
    let mut groups: Vec<Made> = Vec::new();
    for one in read? {
        let same =
            |group: &&mut Made| group.shape == one.shape && group.selectivity == one.selectivity;
        match groups.iter_mut().rev().find(same) {
            Some(group) => group.filters.extend(one.filters),
            None => groups.push(one),
        }
    }
    if groups.is_empty() {
        return Err(Failure::data(format!("{} has no filters", path.display()))
            .expected("a line for each", "no line"));
    }
    Ok(groups)
}

/// A line, as a group of one filter.
fn question(line: &str, work: &Work<'_>, items: &Items) -> Result<Made, Failure> {
    let unfit = || Failure::data("it is no filter with its queries");
    let question: Question =
        serde_json::from_str(line).map_err(|error| unfit().detail("error", error.to_string()))?;
    let Question { shape, selectivity, filter, queries } = question;
    let filter = Expression::from_json_or_text(filter.get())?;
    if queries.is_empty() {
        return Err(unfit().expected("at least one query", "none"));
    }
    let most = work.queries.rows();
    if let Some(query) = queries.iter().find(|&&query| query as usize >= most) {
        return Err(unfit().expected(format!("queries below {most}"), query.to_string()));
    }
    if let Some(bad) = selectivity.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
        return Err(unfit().expected("a selectivity up to 1", bad.to_string()));
    }
    let bound = filter.bind(items)?;
    let selectivity = selectivity.unwrap_or_else(|| {
        let passing = bound.passing().len() as f64 / work.n as f64;
        BANDS.into_iter().find(|band| passing <= *band).unwrap_or(1.0)
    });
    let shape = shape.map_or(Cow::Borrowed(SHAPE), Cow::Owned);
    Ok(Made { shape, selectivity, filters: vec![(filter, queries)] })
}
