//! The report: one HTML file with every picture that the results are enough for, the readings, all
//! points, and what a reader must know to believe them. It asks the network for nothing, and a
//! policy in its head says so to the browser.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::compare::{speed, target};
use crate::curves::{Group, TARGETS, Task, distinct, grouped, threads};
use crate::exit::{Exit, Failure};
use crate::results::Point;
use crate::units::{count, share};

use super::field::{Engine, Field, params};
use super::kinds::Kind;
use super::style::COLORS;
use super::svg::{escape, inline};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The tables: the id of each in the page, and its title.
const READINGS: (&str, &str) = ("readings", "Speeds at a recall");
const POINTS: (&str, &str) = ("points", "All points");

/// The whole page.
pub(super) fn page(field: &Field, files: &[PathBuf]) -> Result<String, Failure> {
    let mut html = head();
    write_intro(&mut html, field, files);
    write_engines(&mut html, field);
    let tasks = field.tasks();
    html.push_str("<nav aria-label=\"contents\"><ul>\n");
    for (at, task) in tasks.iter().enumerate() {
        let name = escape(&format!("{}, k {}", task.dataset, task.k));
        // Writing to a string does not fail, here and below.
        let _ = writeln!(html, "<li><a href=\"#set-{at}\">{name}</a></li>");
    }
    for (id, title) in [READINGS, POINTS] {
        let _ = writeln!(html, "<li><a href=\"#{id}\">{title}</a></li>");
    }
    html.push_str("</ul></nav>\n");
    for (at, task) in tasks.iter().enumerate() {
        write_task(&mut html, field, task, at);
    }
    write_table(&mut html, READINGS, &about_readings(field), &readings(field))?;
    let about = "Speeds are those of the middle round, beside the best.";
    write_table(&mut html, POINTS, about, &points(field))?;
    let _ = write!(
        html,
        "</main>\n<div id=\"tip\" role=\"status\" hidden></div>\n<script>\n{SCRIPT}</script>\n\
         </body>\n</html>\n"
    );
    Ok(html)
}

fn head() -> String {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>Retrieval results</title>\n<style>\n",
    );
    let variables = |side: fn(&(&'static str, &'static str)) -> &'static str| {
        let each = COLORS.iter().enumerate();
        each.map(|(at, color)| format!("--s{at}: {};", side(color))).collect::<String>()
    };
    let _ = writeln!(html, ":root {{ {} }}", variables(|color| color.0));
    let dark = variables(|color| color.1);
    let _ = writeln!(html, ":root[data-theme=dark] {{ {dark} }}");
    let _ = writeln!(
        html,
        "@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}"
    );
    for at in 0..COLORS.len() {
        let _ = writeln!(html, ".l-s{at} {{ stroke: var(--s{at}); }}");
        let _ = writeln!(html, ".f-s{at} {{ fill: var(--s{at}); }}");
    }
    let _ = write!(
        html,
        "{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>Retrieval results</h1>\n\
         <button id=\"theme\" type=\"button\">Dark</button>\n</header>\n<main>\n"
    );
    html
}

/// `a, b`, each escaped.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(escape).collect::<Vec<_>>().join(", ")
}

fn write_intro(html: &mut String, field: &Field, files: &[PathBuf]) {
    let points = &field.points;
    let times = distinct(points, |point| point.time.as_str());
    let span = match (times.first(), times.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, _) => first.copied().unwrap_or_default().to_owned(),
    };
    let counts = distinct(points, |point| point.threads).into_iter().map(|n| n.to_string());
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let facts = [
        ("Processor", listed(distinct(points, |point| point.cpu.as_str()))),
        ("Instructions", listed(distinct(points, |point| point.isa.as_deref().unwrap_or("–")))),
        ("Threads", counts.collect::<Vec<_>>().join(", ")),
        ("Measured", escape(&span)),
        ("Recall", escape(&field.recall.to_string())),
        ("Points", count(points.len() as u64)),
        ("Files", listed(files.iter().map(String::as_str))),
    ];
    html.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl>\n");
    let warnings = warnings(field);
    if !warnings.is_empty() {
        html.push_str("<section class=\"warnings\" aria-label=\"warnings\">\n<h2>Before you compare</h2>\n<ul>\n");
        for warning in warnings {
            let _ = writeln!(html, "<li>{}</li>", escape(&warning));
        }
        html.push_str("</ul>\n</section>\n");
    }
}

/// What makes comparisons less than fair.
fn warnings(field: &Field) -> Vec<String> {
    let points = &field.points;
    let mut warnings = Vec::new();
    let loops: Vec<&str> =
        field.engines.iter().filter(|e| e.python_loop).map(|e| e.label.as_str()).collect();
    if !loops.is_empty() {
        warnings.push(format!(
            "A loop in Python is part of the time of {}: their speeds are too low.",
            loops.join(", ")
        ));
    }
    let cpus = distinct(points, |point| point.cpu.as_str());
    if cpus.len() > 1 {
        warnings.push(format!("Processors differ: {}.", cpus.join("; ")));
    }
    let machines = distinct(points, |point| (point.engine.as_str(), point.isa.as_deref()));
    let mut engines: Vec<&str> = machines.iter().map(|(engine, _)| *engine).collect();
    engines.dedup();
    if engines.len() < machines.len() {
        warnings.push("Instruction sets differ within an engine.".to_owned());
    }
    let uneven = |what: &dyn Fn(&Point) -> u64| {
        let tasks = field.tasks().into_iter().filter(|task| {
            distinct(points.iter().filter(|p| Task::of(p) == *task), what).len() > 1
        });
        let names: Vec<_> = tasks.map(|task| format!("{}, k {}", task.dataset, task.k)).collect();
        names.join("; ")
    };
    for (name, tasks) in [
        ("Rounds differ", uneven(&|point| point.qps_rounds.len() as u64)),
        ("Numbers of distinct queries differ", uneven(&|point| point.queries)),
    ] {
        if !tasks.is_empty() {
            warnings.push(format!("{name}: {tasks}."));
        }
    }
    let modes = distinct(points.iter().filter(|p| p.offered_qps.is_none()), |p| p.mode.name());
    if modes.len() > 1 {
        warnings.push(
            "Some engines get all queries in one call (batch), others one by one (closed).".into(),
        );
    }
    warnings
}

fn write_engines(html: &mut String, field: &Field) {
    html.push_str(
        "<section>\n<h2>Engines</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"engines\">\n<table>\n<thead><tr><th>engine</th><th>version</th>\
         <th>queries sent</th><th class=\"n\">rounds</th><th class=\"n\">points</th>\
         <th>in Python</th></tr></thead>\n<tbody>\n",
    );
    for engine in &field.engines {
        let points: Vec<&Point> = field.points.iter().filter(|p| engine.is_of(p)).collect();
        let of = || points.iter().copied();
        let rounds = distinct(of(), |point| point.qps_rounds.len());
        let rounds: Vec<String> = rounds.iter().map(usize::to_string).collect();
        let modes = distinct(of(), |point| point.mode.name());
        let weight = if engine.style.bold { " class=\"ours\"" } else { "" };
        let _ = writeln!(
            html,
            "<tr{weight}><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&engine.label),
            escape(&engine.version),
            modes.join(", "),
            rounds.join(", "),
            count(points.len() as u64),
            if engine.python_loop { "† a loop" } else { "" },
        );
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn write_task(html: &mut String, field: &Field, task: &Task, at: usize) {
    let queries = field.points.iter().filter(|point| Task::of(point) == *task);
    let queries: Vec<String> =
        distinct(queries, |point| point.queries).into_iter().map(count).collect();
    let _ = write!(
        html,
        "<section id=\"set-{at}\">\n<h2>{}, k {}</h2>\n<p>{}, {} queries</p>\n\
         <div class=\"charts\">\n",
        escape(&task.dataset),
        task.k,
        escape(&task.shape()),
        queries.join(" or "),
    );
    for kind in Kind::value_variants() {
        for (nth, chart) in kind.charts(field, task).into_iter().enumerate() {
            let id = format!("p{at}-{}-{nth}", *kind as u8);
            let _ = writeln!(html, "<figure>\n{}</figure>", inline(&chart.scene(), &id));
        }
    }
    html.push_str("</div>\n</section>\n");
}

/// A column: its name, and whether its values are numbers.
type Column = (String, bool);

/// Rows of cells: a text, or a number to sort by and its text.
struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

/// A table that the page's script shows: sorted as asked, a part at a time.
fn write_table(
    html: &mut String,
    (id, title): (&str, &str),
    about: &str,
    rows: &Rows,
) -> Result<(), Failure> {
    let Rows { columns, rows } = rows;
    let data = serde_json::to_string(&json!({ "columns": columns, "rows": rows }))
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot write JSON: {error}")))?;
    // Nothing in a text may end the element.
    let data = data.replace('<', "\\u003c");
    let _ = write!(
        html,
        "<section id=\"{id}\">\n<h2>{title}</h2>\n<p>{about}</p>\n\
         <noscript><p>This table needs JavaScript; the pictures do not.</p></noscript>\n\
         <div class=\"table\" data-name=\"{title}\"></div>\n\
         <script type=\"application/json\">{data}</script>\n</section>\n"
    );
    Ok(())
}

fn about_readings(field: &Field) -> String {
    format!(
        "Queries a second at a {}, between the points of the front. ≥: the lowest recall measured is \
         higher, and this is its speed. Never extrapolated.",
        field.recall
    )
}

/// What a group asks beside k and threads.
fn workload(group: &Group) -> String {
    let filter = group.filter.as_ref().map(|(name, shape)| format!("filter {name} ({shape})"));
    let step = group.step.as_ref().map(|(name, step)| format!("step {step} of {name}"));
    let offered = group.offered().map(|qps| format!("{qps} queries/s offered"));
    let parts: Vec<String> = [filter, step, offered].into_iter().flatten().collect();
    parts.join(", ")
}

fn readings(field: &Field) -> Rows {
    let mut columns: Vec<Column> = vec![
        ("set".into(), false),
        ("k".into(), true),
        ("threads".into(), true),
        ("workload".into(), false),
        ("engine".into(), false),
    ];
    columns.extend(TARGETS.map(|at| (target(at), true)));
    columns.push(("best recall".into(), true));
    let mut rows = Vec::new();
    for (group, points) in grouped(&field.points) {
        for (engine, curve) in field.curves(&points) {
            let mut row = vec![
                json!(group.task.dataset),
                json!([group.task.k, group.task.k.to_string()]),
                json!([group.threads, threads(group.threads)]),
                json!(workload(&group)),
                json!(engine.label),
            ];
            row.extend(TARGETS.map(|at| {
                let reading = curve.at(at);
                json!([reading.qps().unwrap_or(0.0), speed(reading)])
            }));
            row.push(json!([curve.best_recall(), share(curve.best_recall())]));
            rows.push(row);
        }
    }
    Rows { columns, rows }
}

/// A figure of a point, and the number of its decimals.
type Figure = (&'static str, usize, fn(&Point) -> Option<f64>);

const FIGURES: [Figure; 12] = [
    ("recall by distance", 4, |point| Some(point.recall_distance)),
    ("recall by id", 4, |point| Some(point.recall_id)),
    ("queries/s", 0, |point| Some(point.qps_median)),
    ("best round", 0, |point| Some(point.qps)),
    ("p50 µs", 0, |point| point.p50_us),
    ("p99 µs", 0, |point| point.p99_us),
    ("p99.9 µs", 0, |point| point.p999_us),
    ("distances", 0, |point| point.distances_per_query),
    ("build s", 1, |point| point.build_seconds),
    ("build MiB", 0, |point| point.build_peak_mib),
    ("bytes a vector", 0, |point| point.index_bytes_per_vector),
    ("serving MiB", 0, |point| point.serve_resident_mib),
];

fn points(field: &Field) -> Rows {
    let mut columns: Vec<Column> =
        vec![("set".into(), false), ("k".into(), true), ("engine".into(), false)];
    columns.extend(FIGURES.iter().map(|(name, ..)| ((*name).to_owned(), true)));
    let words = ["search", "build", "workload", "sent", "time"];
    columns.push(("threads".into(), true));
    columns.extend(words.map(|name| (name.to_owned(), false)));
    let row = |point: &Point| {
        let engine = field.engines.iter().find(|engine| engine.is_of(point));
        let label = |engine: &Engine| engine.label.clone();
        let mut row = vec![
            json!(point.dataset),
            json!([point.k, point.k.to_string()]),
            json!(engine.map(label)),
        ];
        row.extend(FIGURES.iter().map(|(_, decimals, of)| match of(point) {
            Some(value) if *decimals == 0 => json!([value, count(value.round() as u64)]),
            Some(value) => json!([value, format!("{value:.decimals$}")]),
            None => json!([null, "–"]),
        }));
        row.push(json!([point.threads, point.threads.to_string()]));
        let words = [
            params(&point.search),
            params(&point.build),
            workload(&Group::of(point)),
            point.mode.name().to_owned(),
            point.time.clone(),
        ];
        row.extend(words.map(Value::from));
        row
    };
    Rows { columns, rows: field.points.iter().map(row).collect() }
}
