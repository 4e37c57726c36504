//! `index-tools inspect`: what an index is.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use vicinage::index::{Index, IndexInfo, Inspection, LoadMode};
use vicinage::server::rfc3339;

use crate::args::FormatArgs;
use crate::build::{codes, graph, self_check};
use crate::calibration;
use crate::exit::Failure;
use crate::learned;
use crate::text::{BOLD, DIM, Table, bar, fields, heading, print, print_json, styled};
use crate::units;

/// Lines of the degree histogram, at most.
const BARS: usize = 16;

/// Columns of the longest bar.
const BAR_WIDTH: usize = 32;

/// Show what an index is: calibration, levels, degrees, attributes, self-check, sections
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools inspect jobs
  index-tools inspect jobs --format json | jq .sections")]
pub(crate) struct InspectArgs {
    /// Directory of the index
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &InspectArgs) -> Result<(), Failure> {
    let index = Index::open(&args.dir, LoadMode::Mmap)?;
    let (info, inside) = (index.info(), index.inspect());
    if args.format.json() {
        return print_json(&json!({
            "index": args.dir, "file": index.file(), "info": info, "sections": inside.sections,
            "degrees": inside.degrees, "unreachable": inside.unreachable,
            "repair": index.repair(), "calibration": calibration::to_json(index.calibration()),
        }));
    }
    let mut text = format!("{}\n", styled(BOLD, args.dir.display()));
    fields(&mut text, &header(info, &inside));
    learned::write(&mut text, index.repair());
    calibration::write(&mut text, index.calibration());
    write_levels(&mut text, info);
    write_degrees(&mut text, &inside.degrees);
    write_attributes(&mut text, info);
    heading(&mut text, "Sections");
    let mut table = Table::new(["section<", "offset", "size"]);
    for section in &inside.sections {
        table.row([
            section.name.clone(),
            units::count(section.offset),
            units::bytes(section.bytes),
        ]);
    }
    table.write(&mut text);
    print(&text)
}

fn header(info: &IndexInfo, inside: &Inspection) -> Vec<(&'static str, String)> {
    let (build, statistics) = (&info.meta.build, &info.meta.statistics);
    let created = match info.created_unix_s {
        Some(seconds) => {
            rfc3339(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
        }
        None => "not recorded (deterministic build)".to_owned(),
    };
    let mut fields = vec![
        ("items", format!("{} × {} {}", units::count(info.n), info.dim, info.element)),
        ("metric", info.metric.to_string()),
        ("space", info.space_id.clone().unwrap_or_else(|| "not told".to_owned())),
        (
            "size",
            format!("{} ({} an item)", units::bytes(info.file_bytes), {
                units::bytes(info.file_bytes / info.n.max(1))
            }),
        ),
        ("generation", info.generation.to_string()),
        ("written", format!("{created}, by {}", info.meta.writer)),
        ("graph", graph(&build.builder, build.max_degree, build.ef_construction, build.alpha)),
        ("backfill", if build.backfill { "yes" } else { "no" }.to_owned()),
        ("codes", codes(&info.meta)),
        ("seed", info.seed.to_string()),
        (
            "edges",
            format!("{} ({:.1} a node)", units::count(statistics.edges), {
                statistics.edges as f64 / info.n.max(1) as f64
            }),
        ),
        ("attached", format!("{} nodes, after the build", units::count(statistics.attached))),
        ("unreachable", format!("{} nodes", units::count(inside.unreachable))),
    ];
    if let Some(check) = &statistics.self_check {
        fields.push(("self-check", self_check(check)));
    }
    fields
}

fn write_levels(text: &mut String, info: &IndexInfo) {
    heading(text, "Levels");
    let mut table = Table::new(["level", "nodes"]);
    for (level, nodes) in info.levels.iter().enumerate().rev() {
        table.row([level.to_string(), units::count(*nodes)]);
    }
    table.write(text);
    let entries = match info.entries {
        1 => "1 node".to_owned(),
        entries => format!("{entries} nodes"),
    };
    let way = match info.centers {
        0 => format!("a search goes down with {entries}"),
        centers => format!(
            "a search begins at the nearest of {centers} centers, or goes down with {entries}"
        ),
    };
    *text += &format!("  {DIM}{way}{DIM:#}\n");
}

/// The histogram of degrees, neighboring degrees together where there are many.
fn write_degrees(text: &mut String, degrees: &[u64]) {
    heading(text, "Neighbors in the base layer");
    let first = degrees.iter().position(|&nodes| nodes > 0).unwrap_or(0);
    let span = (degrees.len() - first).div_ceil(BARS).max(1);
    let groups: Vec<(usize, u64)> = degrees[first..]
        .chunks(span)
        .zip((first..).step_by(span))
        .map(|(nodes, from)| (from, nodes.iter().sum()))
        .collect();
    let most = groups.iter().map(|&(_, nodes)| nodes).max().unwrap_or(0);
    let mut table = Table::new(["degree", "nodes", "<"]);
    for (from, nodes) in groups {
        let to = (from + span - 1).min(degrees.len() - 1);
        let range = if from == to { from.to_string() } else { format!("{from}–{to}") };
        table.row([range, units::count(nodes), bar(nodes, most, BAR_WIDTH)]);
    }
    table.write(text);
}

fn write_attributes(text: &mut String, info: &IndexInfo) {
    if info.attributes.is_empty() {
        return;
    }
    heading(text, "Attributes");
    let mut table = Table::new(["attribute<", "kind<", "nulls<", "size", "index"]);
    for attribute in &info.attributes {
        let nulls = if attribute.schema.nullable { "allowed" } else { "none" };
        table.row([
            attribute.schema.name.clone(),
            attribute.schema.kind.to_string(),
            nulls.to_owned(),
            units::bytes(attribute.bytes),
            units::bytes(attribute.index_bytes),
        ]);
    }
    table.write(text);
}
