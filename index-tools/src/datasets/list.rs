//! `index-tools datasets list`: the public sets that are known by name.

use clap::Args;
use serde_json::json;
use vicinage_datasets::catalog::{Catalog, CatalogSet};

use crate::args::FormatArgs;
use crate::exit::Failure;
use crate::text::{DIM, Table, print, print_json};
use crate::units;

/// List the public sets that `fetch` knows
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools datasets list
  index-tools datasets list --format json | jq '.sets[] | select(.metric == \"ip\") | .name'")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &ListArgs) -> Result<(), Failure> {
    let catalog = Catalog::built_in();
    if args.format.json() {
        return print_json(&json!({ "sets": catalog.sets }));
    }
    let mut table =
        Table::new(["name<", "what<", "n", "dim", "metric<", "element<", "size", "licence<"]);
    for set in &catalog.sets {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        table.row([
            set.name.clone(),
            set.about.clone(),
            units::count(set.n),
            set.dim.map_or("–".to_owned(), |dim| dim.to_string()),
            or_none(&set.metric),
            or_none(&set.element),
            size(set),
            set.licence.clone(),
        ]);
    }
    let mut text = String::new();
    table.write(&mut text);
    text += &format!("{DIM}~ about, ≥ not all lengths are known, – not known or none{DIM:#}\n");
    print(&text)
}

fn size(set: &CatalogSet) -> String {
    let known = set.files.iter().all(|file| file.bytes.or(file.megabytes).is_some());
    match set.bytes() {
        (0, _) => "–".to_owned(),
        (bytes, true) => units::bytes(bytes),
        (bytes, false) if known => format!("~{}", units::bytes(bytes)),
        (bytes, false) => format!("≥{}", units::bytes(bytes)),
    }
}
