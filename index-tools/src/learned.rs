//! What an index learned from queries, as people read it.

use vicinage::index::Repair;

use crate::text::{DIM, Table, heading};
use crate::units;

/// Appends what was learned and what it brought, if anything was.
pub(crate) fn write(text: &mut String, repair: Option<&Repair>) {
    let Some(repair) = repair else { return };
    heading(text, "Learned from queries");
    let mut table = Table::new(["recall@10", "distances before", "after", "gain"]);
    for gain in &repair.gains {
        table.row([
            format!("{:.2}", gain.recall),
            units::count(gain.before.round() as u64),
            units::count(gain.after.round() as u64),
            format!("× {:.2}", gain.before / gain.after),
        ]);
    }
    table.write(text);
    let (edges, nodes) = (units::count(repair.edges), units::count(repair.nodes));
    let entries = match repair.centers {
        0 => "searches come in as before".to_owned(),
        centers => format!("searches begin at the nearest of {centers} centers"),
    };
    *text += &format!("  {DIM}{edges} edges of {nodes} nodes; {entries}{DIM:#}\n");
    let (learned, held_out) =
        (units::count(u64::from(repair.learned)), units::count(u64::from(repair.held_out)));
    *text +=
        &format!("  {DIM}learned from {learned} queries, measured on {held_out} others{DIM:#}\n");
}
