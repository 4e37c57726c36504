//! `index-tools datasets generate attributes | interactions`: tables that go with vectors.

use std::path::PathBuf;

use clap::Args;
use vicinage_datasets::generate::{
    AttributePlan, ColumnPlan, ColumnRule, InteractionParams, write_attributes, write_interactions,
};
use vicinage_datasets::{InputSpec, ReadOptions, open};

use super::generate::{SeedArgs, advance, check_free};
use crate::args::ProgressArgs;
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::text::{BOLD, Table, print, styled};
use crate::units;

/// Attributes for given items, of chosen selectivity and correlation with the vectors
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools datasets generate attributes --input items.npy --column cheap=random:0.1 \\
      --column brand=category:50 --column tags=tags:200000:8 --out attributes.parquet
  index-tools datasets generate attributes --input items.npy --queries users.npy --query 3 \\
      --column fits=correlated:0.01:0.9 --column odd=correlated:0.01:-0.9 \\
      --column price=numeric:0.5 --out attributes.parquet
  index-tools build --input items.npy --attributes-from attributes.parquet --metric ip --out index

Rules: random:S is true for a share S; category:N is one of N; correlated:S:R is true for the share
S that a mix of affinity (R, -1 to 1) and noise puts first; numeric:A is A x affinity + (1 - A) x
noise; tags:V:M draws about M of V tags with Zipf frequencies. Affinity is the inner product with
the query, or nearness to it with --near.")]
pub(crate) struct AttributesArgs {
    /// Item vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    input: InputSpec,
    /// A column and its rule; give it once for each column
    #[arg(long = "column", value_name = "NAME=RULE", required = true)]
    columns: Vec<ColumnPlan>,
    /// Vectors, one of which correlated columns are correlated with [default: the items]
    #[arg(long, value_name = "FILE[#COLUMN]")]
    queries: Option<InputSpec>,
    /// Which of them, from 0
    #[arg(long, value_name = "ROW", default_value_t = 0)]
    query: u64,
    /// Take nearness (L2) for affinity: a cluster around the query
    #[arg(long)]
    near: bool,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    pub(super) out: TableArgs,
}

/// Which user took which item, and when: softmax over scores, with popularity and drift
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools datasets generate interactions --items tt/base.npy --users tt/learn.npy \\
      --per-user 20 --out interactions.parquet

Every user meets a random choice of items, popular ones more often, and takes those with the largest
inner products, with noise. Writes user_id (row of the users), item_id and time.")]
pub(crate) struct InteractionsArgs {
    /// Item vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    items: InputSpec,
    /// User vectors
    #[arg(long, value_name = "FILE[#COLUMN]")]
    users: InputSpec,
    /// Items that a user takes
    #[arg(long, value_name = "N", default_value_t = defaults().per_user)]
    per_user: u32,
    /// Items that a user meets, on average
    #[arg(long, value_name = "N", default_value_t = defaults().met)]
    met: u32,
    /// Divides the score: the lower, the more users follow it
    #[arg(long, value_name = "T", default_value_t = defaults().temperature)]
    temperature: f64,
    /// Spread (of the logarithm) of how often items are met
    #[arg(long, value_name = "SIGMA", default_value_t = defaults().popularity)]
    popularity: f64,
    /// Spread of how much items gain or lose over the time span
    #[arg(long, value_name = "SIGMA", default_value_t = defaults().drift)]
    drift: f64,
    /// Days that the times span, from 2024-01-01 on
    #[arg(long, value_name = "N", default_value_t = defaults().days)]
    days: u32,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    pub(super) out: TableArgs,
}

/// Where a table goes.
#[derive(Args)]
pub(super) struct TableArgs {
    /// Parquet file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    pub(super) progress: ProgressArgs,
}

impl TableArgs {
    fn check(&self) -> Result<(), Failure> {
        if self.out.extension().is_none_or(|extension| extension != "parquet") {
            return Err(Failure::usage("the table is written as Parquet").expected(
                "--out with a name that ends in .parquet",
                self.out.display().to_string(),
            ));
        }
        check_free(&self.out, self.overwrite)
    }
}

fn defaults() -> InteractionParams {
    InteractionParams::default()
}

pub(super) fn attributes(args: &AttributesArgs) -> Result<(), Failure> {
    args.out.check()?;
    let report = Reporter::new(args.out.progress.progress, Interrupt::install()?);
    let rows = open(&args.input, &ReadOptions::without_attributes())?.shape().rows;
    let plan = AttributePlan {
        columns: args.columns.clone(),
        target: target(args)?,
        near: args.near,
        seed: args.seed.seed,
    };
    report.start("attributes", Some(2 * rows), "rows");
    let reports =
        write_attributes(&args.input, &plan, &args.out.out, &|rows| advance(&report, rows))?;
    report.finish();
    let mut text = format!(
        "{}  {} rows, {} columns\n",
        styled(BOLD, args.out.out.display()),
        units::count(rows),
        plan.columns.len()
    );
    if !reports.is_empty() {
        let mut table = Table::new(["column<", "share of true", "among the nearest 1,000, times"]);
        for report in &reports {
            let correlation = format!("{:.2}", report.correlation);
            table.row([report.name.clone(), format!("{:.6}", report.selectivity), correlation]);
        }
        table.write(&mut text);
    }
    print(&text)
}

/// The vector that columns are correlated with: the row of the queries that was asked for.
fn target(args: &AttributesArgs) -> Result<Vec<f32>, Failure> {
    let spec = args.queries.as_ref().unwrap_or(&args.input);
    let mut reader = open(spec, &ReadOptions::without_attributes())?;
    let mut batch = vicinage_datasets::Batch::default();
    while reader.next_batch(&mut batch)? {
        if let Some(at) = args.query.checked_sub(batch.first_row).map(|at| at as usize)
            && at < batch.rows
        {
            return Ok(batch.to_f32()?[at * batch.dim..][..batch.dim].to_vec());
        }
    }
    let needed = args.columns.iter().any(|column| {
        matches!(column.rule, ColumnRule::Correlated { .. } | ColumnRule::Numeric { .. })
    });
    if !needed {
        return Ok(vec![0.0; reader.shape().dim as usize]);
    }
    Err(Failure::usage(format!("{spec} has no row {}", args.query))
        .expected("--query below the number of rows", reader.shape().rows.to_string()))
}

pub(super) fn interactions(args: &InteractionsArgs) -> Result<(), Failure> {
    args.out.check()?;
    let report = Reporter::new(args.out.progress.progress, Interrupt::install()?);
    let params = InteractionParams {
        per_user: args.per_user,
        met: args.met,
        temperature: args.temperature,
        popularity: args.popularity,
        drift: args.drift,
        days: args.days,
        seed: args.seed.seed,
        ..defaults()
    };
    let mut items = open(&args.items, &ReadOptions::without_attributes())?;
    let users = Queries::read(&args.users)?;
    let shape = items.shape();
    users.check_dim(&args.users, shape.dim as usize, &args.items.to_string())?;
    report.start("interact", Some(shape.rows), "items");
    let count = write_interactions(&mut *items, &users.vectors, &params, &args.out.out, &|rows| {
        advance(&report, rows)
    })?;
    report.finish();
    print(&format!(
        "{}  {} interactions of {} users with {} items\n",
        styled(BOLD, args.out.out.display()),
        units::count(count),
        units::count(users.rows() as u64),
        units::count(shape.rows)
    ))
}
