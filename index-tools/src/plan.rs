//! `index-tools plan`: what a build will need.

use clap::Args;
use vicinage::builder::plan;

use crate::args::{BuildArgs, FormatArgs, InputArgs};
use crate::build::failed;
use crate::exit::Failure;
use crate::input::Items;
use crate::text::{BOLD, Table, fields, heading, print, print_json, styled};
use crate::units;

/// Say what memory, disk and time a build will need, without building
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools plan --input items.parquet --metric ip
      takes the arguments of build; reads the input and builds a sample of it")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &PlanArgs) -> Result<(), Failure> {
    let mut items = Items::open(&args.input)?;
    let plan = plan(&mut items, &args.build.params()).map_err(|e| failed(&e, &args.input))?;
    if args.format.json() {
        return print_json(&plan);
    }
    let mut text = format!("{}\n", styled(BOLD, &args.input.input));
    let vectors = match plan.vectors_on_disk {
        true => "on disk, to stay within --memory-limit",
        false => "in memory",
    };
    fields(
        &mut text,
        &[
            ("items", format!("{} × {} {}", units::count(plan.n), plan.dim, plan.element)),
            ("peak memory", units::bytes(plan.peak_memory_bytes)),
            ("disk", units::bytes(plan.disk_bytes)),
            ("temporary disk", units::bytes(plan.temporary_disk_bytes)),
            ("time", units::seconds(plan.seconds)),
            ("vectors", format!("{vectors} while the graph is built")),
        ],
    );
    heading(&mut text, "Memory at the peak");
    let mut table = Table::new(["part<", "size"]);
    for part in &plan.memory {
        table.row([part.name.to_owned(), units::bytes(part.bytes)]);
    }
    table.write(&mut text);
    heading(&mut text, "Time");
    let mut table = Table::new(["stage<", "time"]);
    for (stage, seconds) in &plan.stages {
        table.row([stage.name().to_owned(), units::seconds(*seconds)]);
    }
    table.write(&mut text);
    print(&text)
}
