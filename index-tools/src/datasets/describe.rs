//! `index-tools datasets describe`: what a file of vectors is like.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use serde_json::json;
use vicinage::progress::Progress;
use vicinage::types::Metric;
use vicinage_datasets::profile::{Comparison, Histogram, Profile, QueryProfile, Verdict, profile};
use vicinage_datasets::{InputSpec, ReadOptions, open};

use crate::args::{FormatArgs, ProgressArgs};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::open_queries;
use crate::text::{BOLD, Table, bar, fields, heading, print, print_json, styled};
use crate::truth::thread_pool;
use crate::units;

/// Columns of the longest bar.
const BAR_WIDTH: usize = 28;

/// Describe a file of vectors: norms, duplicates, intrinsic dimension, and whether queries fit it
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets describe items.npy
  index-tools datasets describe items.npy --queries users.npy --metric ip

The file is read once. The intrinsic dimension is the two-neighbor estimate of Facco et al. (2017)
on a sample. Queries are out of distribution where the median query is farther from the items than
90 % of the items are: to the nearest item, or by the items' covariance (Mahalanobis).")]
pub(crate) struct DescribeArgs {
    /// File of vectors
    #[arg(value_name = "FILE[#COLUMN]")]
    file: InputSpec,
    /// Queries to hold against it
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: Option<InputSpec>,
    /// How closeness is measured: l2; for ip and cosine, distances are between directions
    #[arg(long, value_name = "METRIC", default_value = "l2")]
    metric: Metric,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

pub(crate) fn run(args: &DescribeArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let mut reader = open(&args.file, &ReadOptions::without_attributes())?;
    let asked = |spec: &InputSpec| open_queries(spec, "test", &*reader, &args.file);
    let queries = args.queries.as_ref().map(asked).transpose()?;
    report.start_step("describe", reader.shape().rows, "rows");
    let advance = |rows| {
        report.advance(rows);
        match report.interrupt().asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let directions = args.metric != Metric::L2;
    let profile = thread_pool(args.threads)?
        .install(|| profile(&mut *reader, queries, directions, &advance))?;
    report.finish();
    if args.format.json() {
        return print_json(&json!({ "file": args.file.to_string(), "profile": profile }));
    }
    print(&text(args, &profile))
}

fn text(args: &DescribeArgs, profile: &Profile) -> String {
    let mut text = format!("{}\n", styled(BOLD, &args.file));
    let share = |count: u64| match profile.rows {
        0 => units::count(count),
        rows => format!("{} ({:.1} %)", units::count(count), 100.0 * count as f64 / rows as f64),
    };
    let about = if profile.duplicates_exact { "" } else { "about " };
    let dimension = match profile.intrinsic_dimension {
        Some(dimension) => {
            format!("{dimension:.1}, seen from {} rows", units::count(profile.sample_rows))
        }
        None => "not known: too few different rows".to_owned(),
    };
    fields(
        &mut text,
        &[
            ("rows", units::count(profile.rows)),
            ("dim", profile.dim.to_string()),
            ("element", profile.element.clone()),
            ("normalised", share(profile.norms.normalised)),
            ("zero vectors", share(profile.norms.zero)),
            ("duplicates", format!("{about}{}", share(profile.duplicates))),
            ("intrinsic dim", dimension),
        ],
    );
    let norms = &profile.norms.quantiles;
    heading(&mut text, "Norms");
    let _ = writeln!(
        text,
        "  min {:.4}, 5 % {:.4}, median {:.4}, 95 % {:.4}, max {:.4}",
        norms.min, norms.p5, norms.median, norms.p95, norms.max
    );
    let mut table = Table::new(["norm from", "rows", "<"]);
    let most = most(&profile.norms.histogram);
    for (from, _, count) in profile.norms.histogram.bins() {
        table.row([format!("{from:.3}"), units::count(count), bar(count, most, BAR_WIDTH)]);
    }
    table.write(&mut text);
    if let Some(queries) = &profile.queries {
        write_queries(&mut text, queries);
    }
    text
}

fn most(histogram: &Histogram) -> u64 {
    histogram.counts.iter().copied().max().unwrap_or(0)
}

fn write_queries(text: &mut String, queries: &QueryProfile) {
    let verdict = match queries.verdict {
        Verdict::InDistribution => "in distribution",
        Verdict::Borderline => "at the edge of the distribution",
        Verdict::OutOfDistribution => "out of distribution",
    };
    heading(text, &format!("{} queries: {verdict}", units::count(queries.rows)));
    let mut table =
        Table::new(["distance<", "of<", "5 %", "median", "95 %", "below the median query"]);
    let mut add = |name: &str, comparison: &Comparison| {
        let share = format!("{:.1} %", 100.0 * comparison.share_below_median_query);
        for (of, q, share) in
            [("queries", comparison.queries, String::new()), ("items", comparison.rows, share)]
        {
            let numbers = [q.p5, q.median, q.p95].map(|value| format!("{value:.3}"));
            let [p5, median, p95] = numbers;
            table.row([name.to_owned(), of.to_owned(), p5, median, p95, share]);
        }
    };
    add("to the nearest item", &queries.nearest);
    if let Some(mahalanobis) = &queries.mahalanobis {
        add("Mahalanobis", mahalanobis);
    }
    table.write(text);
    heading(text, "Distance to the nearest item");
    let (asked, items) = (&queries.nearest.query_histogram, &queries.nearest.row_histogram);
    let mut table = Table::new(["from", "queries<", "items<"]);
    for ((from, _, asked_count), (_, _, count)) in asked.bins().zip(items.bins()) {
        table.row([
            format!("{from:.3}"),
            bar(asked_count, most(asked), BAR_WIDTH),
            bar(count, most(items), BAR_WIDTH),
        ]);
    }
    table.write(text);
}
