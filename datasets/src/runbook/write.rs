//! Writing the YAML.

use std::fmt::Write as _;
use std::path::Path;

use super::{Runbook, Update};
use crate::error::WriteError;
use crate::output::Output;

/// Writes a runbook, as the only one of its file.
///
/// # Errors
/// What the system refuses.
pub fn write_runbook(path: &Path, runbook: &Runbook) -> Result<(), WriteError> {
    let mut output = Output::create(path)?;
    output.put(yaml(runbook).as_bytes())?;
    output.finish()
}

fn yaml(runbook: &Runbook) -> String {
    // A JSON text is a YAML text.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!("{}:\n  max_pts: {}\n", quoted(&runbook.name), runbook.max_pts);
    for (number, update) in (1..).zip(&runbook.steps) {
        let what = match update {
            Update::Insert(tags) => step("insert", &[("start", "end", tags)]),
            Update::Delete(tags) => step("delete", &[("start", "end", tags)]),
            Update::Replace { tags, rows } => {
                step("replace", &[("tags_start", "tags_end", tags), ("ids_start", "ids_end", rows)])
            }
            Update::Search => step("search", &[]),
        };
        // Writing to a string does not fail.
        let _ = write!(text, "  {number}:\n{what}");
    }
    if let Some(url) = &runbook.gt_url {
        let _ = writeln!(text, "  gt_url: {}", quoted(url));
    }
    text
}

fn step(operation: &str, ranges: &[(&str, &str, &super::Tags)]) -> String {
    let mut text = format!("    operation: {operation}\n");
    for (start, end, range) in ranges {
        let _ = write!(text, "    {start}: {}\n    {end}: {}\n", range.start, range.end);
    }
    text
}
