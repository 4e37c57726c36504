//! The calibration of an index, as people and programs read it.

use serde::Serialize;
use serde_json::{Value, json};
use vicinage::index::{Calibration, Effort};

use crate::text::{DIM, Table, heading};
use crate::units;

/// The recalls that are shown.
const RECALLS: [f32; 3] = [0.90, 0.95, 0.99];

/// What a search that names a recall does, and what to expect of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Expected {
    pub(crate) ef: usize,
    pub(crate) slack: Option<f64>,
    pub(crate) rerank: usize,
    pub(crate) expected_recall: f64,
    pub(crate) expected_distances: f64,
    pub(crate) expected_microseconds: Option<f64>,
}

impl From<Effort> for Expected {
    fn from(effort: Effort) -> Self {
        let Effort { ef, slack, rerank, recall, distances, microseconds } = effort;
        Self {
            ef,
            slack: slack.map(units::as_written),
            rerank,
            expected_recall: units::as_written(recall),
            expected_distances: units::as_written(distances),
            expected_microseconds: microseconds.map(units::as_written),
        }
    }
}

impl Expected {
    /// The parameters in one cell of a table: `ef 80, slack 1.31, rerank 14`.
    pub(crate) fn parameters(&self) -> String {
        let slack = self.slack.map(|slack| format!(", slack {slack:.3}")).unwrap_or_default();
        format!("ef {}{slack}, rerank {}", self.ef, self.rerank)
    }
}

/// What is shown: every calibrated number of results at every recall.
fn shown(calibration: &Calibration) -> impl Iterator<Item = (usize, f32, Expected)> {
    let pairs = calibration.ks().into_iter().flat_map(|k| RECALLS.map(|recall| (k, recall)));
    pairs.filter_map(|(k, recall)| Some((k, recall, calibration.effort(k, recall)?.into())))
}

/// All of it, with the efforts that it comes to.
pub(crate) fn to_json(calibration: Option<&Calibration>) -> Value {
    let Some(calibration) = calibration else { return Value::Null };
    let effort = |(k, recall, expected): (usize, f32, Expected)| {
        let mut effort = json!(expected);
        effort["k"] = json!(k);
        effort["target_recall"] = json!(units::as_written(recall));
        effort
    };
    let mut value = json!(calibration);
    value["efforts"] = shown(calibration).map(effort).collect();
    value
}

/// Appends the efforts and what they were measured on.
pub(crate) fn write(text: &mut String, calibration: Option<&Calibration>) {
    heading(text, "Calibration");
    let Some(calibration) = calibration else {
        *text += &format!("  {DIM}none: searches cannot name a recall{DIM:#}\n");
        return;
    };
    let names = ["k", "target recall", "expected", "parameters<", "distances", "time"];
    let mut table = Table::new(names);
    for (k, recall, expected) in shown(calibration) {
        let time = expected.expected_microseconds.map(|us| units::seconds(us / 1e6));
        table.row([
            k.to_string(),
            format!("{recall:.2}"),
            units::share(expected.expected_recall),
            expected.parameters(),
            units::count(expected.expected_distances.round() as u64),
            time.unwrap_or_default(),
        ]);
    }
    table.write(text);
    *text += &format!("  {DIM}{}{DIM:#}\n", measured_on(calibration));
}

/// What was asked, and what that means.
pub(crate) fn measured_on(calibration: &Calibration) -> String {
    let count = units::count(u64::from(calibration.queries));
    match calibration.queries_from.as_str() {
        "items" => format!(
            "measured on {count} items in place of queries, which flatters an index whose users \
             are distributed otherwise: index-tools tune DIR --queries FILE measures it on theirs"
        ),
        from => format!("measured on {count} {from}"),
    }
}
