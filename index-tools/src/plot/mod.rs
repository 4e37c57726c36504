//! `index-tools plot`: results as pictures, and as a report with all of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `field` | the points that are shown, and their engines |
//! | `kinds` | what each kind of picture shows: from points to charts |
//! | `chart`, `scale`, `style` | a chart laid out: axes, lines, labels; ticks; colors and markers |
//! | `scene` | what is drawn |
//! | `svg`, `png`, `font` | drawing it |
//! | `report` | one HTML file with every picture and two tables |

mod chart;
mod field;
mod font;
mod kinds;
mod png;
mod report;
mod scale;
mod scene;
mod style;
mod svg;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::compare::check_targets;
use crate::curves::{RecallBy, Task};
use crate::datasets::write_whole;
use crate::exit::Failure;
use crate::results::read_some;
use crate::text::{print, printable};
use crate::units::count;

use field::Field;
use kinds::Kind;
use scene::Scene;

/// Charts in a row of a picture.
const COLUMNS: usize = 2;

/// More charts than this are no picture.
const CHARTS_MOST: usize = 24;

/// Draw results: a picture as SVG or PNG, or a report with all pictures as HTML
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools plot results.jsonl --out report.html
  index-tools plot ours.jsonl peers.jsonl --out recall.svg --dataset fashion-mnist-784 --k 10
  index-tools plot results.jsonl --kind latency --out latency.png

The ending of --out decides: .svg and .png are one picture of one kind, with a chart for each set
and k; .html is a report in one file, which asks the network for nothing. Lines join the points that
no other of the engine beats; beaten points are faint. Speeds are those of the middle round.")]
pub(crate) struct PlotArgs {
    /// Files of results
    #[arg(value_name = "FILE.jsonl", required = true)]
    files: Vec<PathBuf>,
    /// The picture or report
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the picture shows; a report has all that the results are enough for
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// Which recall counts
    #[arg(long, value_enum, value_name = "RECALL", default_value_t)]
    recall: RecallBy,
    /// The recall at which speeds are read where a picture has one speed an engine
    #[arg(long, value_name = "R", default_value_t = 0.95)]
    at: f64,
    /// Show only this set
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Show only this k
    #[arg(long, value_name = "N")]
    k: Option<u64>,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Png,
    Html,
}

pub(crate) fn run(args: &PlotArgs) -> Result<(), Failure> {
    check_targets("at", &[args.at])?;
    let form = form(args)?;
    let field = read(args)?;
    let kind = args.kind.unwrap_or_default();
    let bytes = match form {
        Form::Html => report::page(&field, &args.files)?.into_bytes(),
        Form::Svg => svg::file(&picture(&field, kind)?).into_bytes(),
        Form::Png => png::file(&picture(&field, kind)?)?,
    };
    write_whole(&args.out, &bytes)?;
    let points = count(field.points.len() as u64);
    print(&format!("{points} points in {}\n", args.out.display()))
}

fn form(args: &PlotArgs) -> Result<Form, Failure> {
    let ending = args.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let form = match ending.to_ascii_lowercase().as_str() {
        "svg" => Form::Svg,
        "png" => Form::Png,
        "html" => Form::Html,
        _ => {
            let message = format!("the name of {} tells no form", args.out.display());
            return Err(Failure::usage(message)
                .expected("--out with a name that ends in .svg, .png or .html", ending));
        }
    };
    match (form, args.kind) {
        (Form::Html, Some(_)) => Err(Failure::usage("a report has pictures of every kind")
            .next("leave --kind out, or write .svg or .png")),
        _ => Ok(form),
    }
}

/// The points of all files, as far as they are asked for.
fn read(args: &PlotArgs) -> Result<Field, Failure> {
    let mut points = Vec::new();
    for path in &args.files {
        points.extend(read_some(path)?);
    }
    let all = Field::new(points, args.recall, args.at);
    let wanted = |task: &Task| {
        args.dataset.as_ref().is_none_or(|name| *name == task.dataset)
            && args.k.is_none_or(|k| k == task.k)
    };
    if !all.tasks().iter().any(wanted) {
        let tasks: Vec<String> = all.tasks().iter().map(|task| task.to_string()).collect();
        return Err(Failure::usage("no result is of this --dataset and --k")
            .detail("found", printable(&tasks.join("; "))));
    }
    let Field { mut points, .. } = all;
    points.retain(|point| wanted(&Task::of(point)));
    Ok(Field::new(points, args.recall, args.at))
}

/// The picture of a kind, with a chart for each task.
fn picture(field: &Field, kind: Kind) -> Result<Scene, Failure> {
    let tasks = field.tasks();
    let charts: Vec<_> = tasks.iter().flat_map(|task| kind.charts(field, task)).collect();
    if charts.is_empty() {
        let others = Kind::value_variants().iter();
        let has = |kind: &&Kind| tasks.iter().any(|task| !kind.charts(field, task).is_empty());
        let others: Vec<String> = others
            .filter(has)
            .filter_map(|kind| Some(format!("--kind {}", kind.to_possible_value()?.get_name())))
            .collect();
        let found = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        return Err(Failure::data("the results have nothing for this kind of picture")
            .detail("expected", kind.needs())
            .detail("found", found));
    }
    if charts.len() > CHARTS_MOST {
        return Err(Failure::usage("this is too much for one picture")
            .expected(format!("{CHARTS_MOST} charts at most"), charts.len().to_string())
            .next("choose with --dataset and --k, or write a report with --out report.html"));
    }
    let scenes = charts.into_iter().map(chart::Chart::scene).collect();
    Ok(Scene::beside(scenes, COLUMNS))
}
