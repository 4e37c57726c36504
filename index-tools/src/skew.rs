//! `index-tools skew`: what it costs when users and items come from different checkpoints of a model, as
//! they do while one of the two towers is rolled out before the other.

use clap::Args;
use serde::Serialize;
use serde_json::json;
use vicinage::eval::metrics::recall_by_id;
use vicinage::types::Metric;
use vicinage_datasets::{InputSpec, ReadOptions, open};

use crate::args::{FormatArgs, ProgressArgs};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::measure::mean;
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::text::{BOLD, DIM, Table, print, print_json, styled};
use crate::truth::{Wanted, search};
use crate::units;

/// Compare two checkpoints of a model: what users get from the other one's items
#[derive(Args)]
#[command(after_help = "\
Example:
  index-tools skew --items old/items.parquet new/items.parquet \\
      --queries old/test.npy new/test.npy --metric ip

Row i of both files of queries is one user, an id in both files of items one item. For all four pairings
of users and items the exact nearest items are found, and held against those of the old and of the new
pair. Where old and new share a space, mixed pairs find much of what the new pair finds. Where they do not,
which is usual for towers that were trained anew, mixed pairs find next to nothing, and users and items must
change over together: see --space of build and --space-policy of serve.")]
pub(crate) struct SkewArgs {
    /// Item vectors of the old and of the new checkpoint
    #[arg(long, value_names = ["OLD", "NEW"], num_args = 2)]
    items: Vec<InputSpec>,
    /// Query vectors of the old and of the new checkpoint
    #[arg(long, value_names = ["OLD", "NEW"], num_args = 2)]
    queries: Vec<InputSpec>,
    /// How closeness is measured: l2, ip (inner product) or cosine
    #[arg(long, value_name = "METRIC")]
    metric: Metric,
    /// How many nearest items
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,100",
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    k: Vec<u32>,
    /// Column of the item ids [default: item_id, else id; without either, row numbers]
    #[arg(long, value_name = "COLUMN")]
    ids: Option<String>,
    /// Threads to use [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Checkpoint {
    Old,
    New,
}

use Checkpoint::{New, Old};

/// Users and items, in the order in which they are shown.
const PAIRS: [(Checkpoint, Checkpoint); 4] = [(Old, Old), (New, Old), (Old, New), (New, New)];

/// The nearest items of all users in one pairing, by id.
struct Paired {
    queries: Checkpoint,
    items: Checkpoint,
    /// Neighbors a user.
    k: usize,
    ids: Vec<u64>,
}

/// The items of the two checkpoints.
#[derive(Serialize)]
struct Items {
    both: u64,
    only_old: u64,
    only_new: u64,
}

/// What one pairing finds of what the others find.
#[derive(Serialize)]
struct Line {
    k: usize,
    queries: Checkpoint,
    items: Checkpoint,
    /// Mean share of the items that the old pair finds.
    recall_of_old: f64,
    /// The same of the new pair.
    recall_of_new: f64,
}

impl Paired {
    fn top(&self, user: usize, k: usize) -> &[u64] {
        let all = &self.ids[user * self.k..][..self.k];
        &all[..k.min(self.k)]
    }

    fn users(&self) -> usize {
        self.ids.len() / self.k
    }

    /// Mean share of the first `k` of `of` that are among the first `k` of this.
    fn recall(&self, of: &Paired, k: usize) -> f64 {
        mean((0..self.users()).map(|user| recall_by_id(self.top(user, k), of.top(user, k))))
    }
}

pub(crate) fn run(args: &SkewArgs) -> Result<(), Failure> {
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let queries = [queries(args, Old)?, queries(args, New)?];
    let rows = queries[0].rows();
    if queries[1].rows() != rows {
        let expected = format!("{rows} rows, one a user as in {}", of(&args.queries, Old));
        return Err(Failure::data(format!("{} is not of these users", of(&args.queries, New)))
            .expected(expected, queries[1].rows().to_string()));
    }
    let mut catalogs: [Vec<u64>; 2] = Default::default();
    let mut paired = Vec::new();
    for (users, items) in PAIRS {
        let asked = &queries[users as usize];
        let asked = Queries { vectors: asked.vectors.clone(), dim: asked.dim };
        let (found, ids) = nearest(args, (users, items), asked, &report)?;
        catalogs[items as usize] = ids;
        paired.push(found);
    }
    let items = overlap(catalogs);
    let lines = lines(args, &paired);
    if args.format.json() {
        return print_json(&json!({"queries": rows, "items": items, "pairs": lines}));
    }
    print(&told(args, rows, &items, &lines))
}

fn of(files: &[InputSpec], checkpoint: Checkpoint) -> &InputSpec {
    &files[checkpoint as usize]
}

fn queries(args: &SkewArgs, checkpoint: Checkpoint) -> Result<Queries, Failure> {
    Queries::read(of(&args.queries, checkpoint))
}

/// The nearest items of a pairing, and the ids of all of its items.
fn nearest(
    args: &SkewArgs,
    (users, items): (Checkpoint, Checkpoint),
    asked: Queries,
    report: &Reporter,
) -> Result<(Paired, Vec<u64>), Failure> {
    let wanted = Wanted {
        input: of(&args.items, items),
        queries: of(&args.queries, users),
        metric: args.metric,
        k: args.k.iter().copied().max().unwrap_or(1),
        ids: args.ids.as_deref(),
        threads: args.threads,
    };
    let (truth, ids) = search(&wanted, asked, report)?;
    let ids = match ids {
        Some(ids) => ids,
        None => {
            let options = ReadOptions::without_attributes();
            (0..open(wanted.input, &options)?.shape().rows).collect()
        }
    };
    let found = truth.ids.iter().map(|&row| ids[row as usize]).collect();
    Ok((Paired { queries: users, items, k: truth.k, ids: found }, ids))
}

/// How many items are in both catalogs. Cost: two sorts.
fn overlap([mut old, mut new]: [Vec<u64>; 2]) -> Items {
    old.sort_unstable();
    new.sort_unstable();
    let both = old.iter().filter(|id| new.binary_search(id).is_ok()).count() as u64;
    Items { both, only_old: old.len() as u64 - both, only_new: new.len() as u64 - both }
}

fn lines(args: &SkewArgs, paired: &[Paired]) -> Vec<Line> {
    let [old, .., new] = paired else { return Vec::new() };
    let line = |k: usize| {
        paired.iter().map(move |pair| Line {
            k,
            queries: pair.queries,
            items: pair.items,
            recall_of_old: pair.recall(old, k),
            recall_of_new: pair.recall(new, k),
        })
    };
    args.k.iter().flat_map(|&k| line(k as usize)).collect()
}

fn told(args: &SkewArgs, users: usize, items: &Items, lines: &[Line]) -> String {
    let mut text = format!(
        "{}  {} users; {} items in both, {} only in the old, {} only in the new\n",
        styled(BOLD, "skew"),
        units::count(users as u64),
        units::count(items.both),
        units::count(items.only_old),
        units::count(items.only_new),
    );
    let mut table = Table::new(["k", "pairing<", "of old", "of new", "what that is<"]);
    for line in lines {
        let (pairing, what) = match (line.queries, line.items) {
            (Old, Old) => ("old users, old items", "before; of new: how much the update changes"),
            (New, Old) => ("new users, old items", "the users' tower is ahead of the index"),
            (Old, New) => ("old users, new items", "the index is ahead of the users' tower"),
            (New, New) => ("new users, new items", "after"),
        };
        table.row([
            line.k.to_string(),
            pairing.to_owned(),
            units::share(line.recall_of_old),
            units::share(line.recall_of_new),
            what.to_owned(),
        ]);
    }
    table.write(&mut text);
    text += &format!(
        "{DIM}recall@k of the exact nearest items of a pair, {}, by item id{DIM:#}\n",
        args.metric
    );
    text
}
