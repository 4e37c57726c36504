//! The command line `index-tools`: builds, looks at, checks and measures indexes.
//!
//! | file | what it holds |
//! |---|---|
//! | `sweep/` | the verb of that name: recall and speed over builds and parameters |
//! | `plan`, `build`, `inspect`, `tune` (and `repair`), `verify`, `convert`, `truth`, `query`, `skew`, `compare`, `demo`, `completions` | the verbs |
//! | `eval/` | the verb of that name: an index against exact answers, or against what users took |
//! | `datasets/` | the verb of that name: list, fetch, generate, describe |
//! | `plot/` | the verb of that name: pictures and reports of results |
//! | `ann` | metrics and distances in the words of ann-benchmarks |
//! | `args` | arguments that several verbs share |
//! | `input`, `sidecar`, `batch` | from data files to the items of a build |
//! | `queries` | query vectors |
//! | `space` | of what model vectors are: `space.toml` |
//! | `calibration`, `learned` | what effort reaches which recall, and what was learned from queries, as tables |
//! | `measure`, `usefulness` | asking many queries: speed and recall; usefulness by judgements |
//! | `results`, `curves` | result lines: what was measured; fronts of recall and speed |
//! | `workload/` | filtered workloads: read, written, asked |
//! | `runbook/` | streams of updates: their truth, and a replay |
//! | `shortlist` | answers with attributes, as a table |
//! | `machine` | processor, memory, commit |
//! | `progress`, `interrupt` | bars or JSON lines; Ctrl-C |
//! | `text`, `units` | tables, fields, numbers with units |
//! | `exit` | errors: exit code and message |
//!
//! Results go to standard output, progress and errors to standard error.

mod ann;
mod args;
mod batch;
mod build;
mod calibration;
mod cast;
mod compare;
mod completions;
mod convert;
mod curves;
mod datasets;
mod demo;
mod eval;
mod exit;
mod input;
mod inspect;
mod interrupt;
mod learned;
mod machine;
mod measure;
mod plan;
mod plot;
mod progress;
mod queries;
mod query;
mod results;
mod runbook;
mod shortlist;
mod sidecar;
mod skew;
mod space;
mod sweep;
mod text;
mod truth;
mod tune;
mod units;
mod usefulness;
mod verify;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::Failure;
use progress::ProgressMode;

/// Builds, inspects, checks and measures vicinage indexes.
#[derive(Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = concat!(
    "Examples:\n",
    "  index-tools demo\n",
    "      build a real index of 42,877 job titles and try it in the browser\n",
    "  index-tools build --input items.parquet --metric ip --out jobs\n",
    "  index-tools eval jobs --queries users.npy --k 10,100\n",
    "  index-tools datasets generate two-tower --n 100000 --out tt\n",
    "  index-tools sweep --dataset tt\n",
    "  index-tools plot sweep.jsonl --out sweep.html\n",
    "  vicinage serve --index jobs\n\n",
    "Exit codes: 0 done, 1 internal, 2 usage, 65 bad data, 69 unavailable, 74 input or output,\n",
    "76 corrupt index, 130 interrupted.",
))]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Plan(Box<plan::PlanArgs>),
    Build(Box<build::BuildCommand>),
    Inspect(inspect::InspectArgs),
    Tune(tune::TuneArgs),
    Repair(tune::RepairArgs),
    Verify(verify::VerifyArgs),
    Convert(convert::ConvertArgs),
    Truth(truth::TruthArgs),
    Query(query::QueryArgs),
    Eval(eval::EvalArgs),
    Skew(skew::SkewArgs),
    Sweep(Box<sweep::SweepArgs>),
    Compare(compare::CompareArgs),
    Plot(plot::PlotArgs),
    Demo(demo::DemoArgs),
    Datasets(datasets::DatasetsArgs),
    Completions(completions::CompletionsArgs),
}

impl Verb {
    fn run(&self) -> Result<(), Failure> {
        match self {
            Verb::Plan(args) => plan::run(args),
            Verb::Build(args) => build::run(args),
            Verb::Inspect(args) => inspect::run(args),
            Verb::Tune(args) => args.run(),
            Verb::Repair(args) => args.run(),
            Verb::Verify(args) => verify::run(args),
            Verb::Convert(args) => convert::run(args),
            Verb::Truth(args) => truth::run(args),
            Verb::Query(args) => query::run(args),
            Verb::Eval(args) => eval::run(args),
            Verb::Skew(args) => skew::run(args),
            Verb::Sweep(args) => sweep::run(args),
            Verb::Compare(args) => compare::run(args),
            Verb::Plot(args) => plot::run(args),
            Verb::Demo(args) => demo::run(args),
            Verb::Datasets(args) => datasets::run(args),
            Verb::Completions(args) => completions::run(args),
        }
    }

    /// Whether every line on standard error is to be JSON.
    fn errors_as_json(&self) -> bool {
        let progress = match self {
            Verb::Build(args) => args.progress.progress,
            Verb::Tune(args) => args.revise.progress.progress,
            Verb::Repair(args) => args.revise.progress.progress,
            Verb::Verify(args) => args.progress.progress,
            Verb::Convert(args) => args.progress.progress,
            Verb::Truth(args) => args.progress.progress,
            Verb::Eval(args) => args.progress.progress,
            Verb::Skew(args) => args.progress.progress,
            Verb::Sweep(args) => args.progress.progress,
            Verb::Demo(args) => args.progress.progress,
            Verb::Datasets(args) => match args.progress() {
                Some(progress) => progress,
                None => return false,
            },
            Verb::Plan(_)
            | Verb::Inspect(_)
            | Verb::Query(_)
            | Verb::Compare(_)
            | Verb::Plot(_)
            | Verb::Completions(_) => return false,
        };
        progress == ProgressMode::Json
    }
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let Err(failure) = verb.run() else { return ExitCode::SUCCESS };
    let text = match verb.errors_as_json() {
        true => failure.render_json(),
        false => failure.render(),
    };
    // The exit code still tells, should standard error be closed.
    let _ = anstream::stderr().write_all(text.as_bytes());
    ExitCode::from(failure.exit() as u8)
}
