//! `index-tools demo`: the whole way on a real set, from vectors to a page that answers.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use vicinage::builder::{BuildParams, build};
use vicinage::eval::metrics;
use vicinage::index::{Index, LoadMode, Scratch, SearchParams};
use vicinage::server::{Examples, ServeError, ServedIndex, ServerConfig, serve, signals};
use vicinage::types::Metric;
use vicinage_datasets::{
    AttributeValues, ReadOptions, Relevance, TableBatch, open_table, read_relevance,
};

use crate::args::{InputArgs, ProgressArgs, Unmatched};
use crate::build::{failed, summary};
use crate::exit::Failure;
use crate::input::Items;
use crate::interrupt::Interrupt;
use crate::measure::{Answers, Plain, ask, recall};
use crate::progress::Reporter;
use crate::queries::Queries;
use crate::shortlist::{plain, score};
use crate::text::{BOLD, DIM, Table, fields, heading, print, styled, wrapped};
use crate::units;
use crate::usefulness::mean_usefulness;

/// The name that the set has in paths.
pub(crate) const NAME: &str = "onet-jobs";

/// Where the set lies in the source tree that this program was built from.
pub(crate) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../datasets/onet-jobs");

/// Candidate list of the approximate searches.
const EF: usize = 200;

/// Members that the page offers.
const OFFERED: usize = 60;

/// Jobs shown for each member.
const TOP: usize = 5;

/// Build the bundled set of job titles, measure it, and serve it with a page to try it
#[derive(Args)]
#[command(after_help = "\
Examples:
  index-tools demo
      build in a temporary directory, then serve on http://127.0.0.1:7700/ until Ctrl-C
  index-tools demo --out indexes/onet-jobs --no-serve

The set: 42,877 job titles with occupation, job zone and technologies, and members who do a few
tasks; a two-tower model put both into one space. From O*NET 27.0 by the U.S. Department of Labor,
Employment and Training Administration (CC BY 4.0), modified.")]
pub(crate) struct DemoArgs {
    /// Directory of the index [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Directory of the set [default: the one in the source tree]
    #[arg(long, value_name = "DIR", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
    /// End after the measurement
    #[arg(long)]
    no_serve: bool,
    /// Address of the page; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7700")]
    bind: SocketAddr,
    #[command(flatten)]
    pub(crate) progress: ProgressArgs,
}

/// Someone who is looking for jobs.
struct Member {
    /// The occupation whose tasks they do.
    occupation: String,
    tasks: Vec<String>,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    check_data(&args.data)?;
    let config = ServerConfig {
        bind: args.bind,
        admin: SocketAddr::new(args.bind.ip(), next_port(args.bind.port())),
        ..ServerConfig::default()
    };
    if !args.no_serve {
        // Before the build, whose end is a bad time to learn that a port is taken.
        config.check()?;
        check_free(config.bind)?;
        check_free(config.admin)?;
    }
    let report = Reporter::new(args.progress.progress, Interrupt::install()?);
    let temporary = match args.out {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("vicinage-demo-").tempdir()?),
    };
    let dir = match (&args.out, &temporary) {
        (Some(out), _) => out.clone(),
        (None, Some(temporary)) => temporary.path().join(NAME),
        (None, None) => PathBuf::from(NAME),
    };
    print(&format!("{}  job titles of O*NET 27.0 (CC BY 4.0)\n", styled(BOLD, NAME)))?;
    build_index(args, &dir, &report)?;

    let index = Index::open(&dir, LoadMode::Copy)?;
    let spec = args.data.join("test.f16.npy").into();
    let queries = Queries::read(&spec)?;
    queries.check_dim(&spec, index.info().dim, NAME)?;
    let relevance = read_relevance(&args.data.join("relevance.parquet"), queries.rows())?;
    let members = read_members(&args.data.join("test.parquet"), queries.rows())?;
    let (figures, found) = measure(&index, &queries, &relevance, &report)?;
    print(&figures)?;
    let shown = quartiles(&found, &relevance);
    print(&show_members(&index, &queries, &relevance, &members, &found, &shown)?)?;
    report.interrupt().check()?;
    if args.no_serve {
        return print(&closing(&dir, temporary.is_some()));
    }
    let examples = choose(queries.rows(), OFFERED).into_iter().map(|at| Examples {
        label: members[at].occupation.clone(),
        lines: members[at].tasks.clone(),
        vector: queries.row(at).to_vec(),
    });
    let served = ServedIndex {
        name: NAME.to_owned(),
        index: Arc::new(index),
        load: LoadMode::Copy,
        examples: examples.collect(),
    };
    let vector = queries.row(shown.first().copied().unwrap_or(0));
    serve(&config, vec![served], |address, _| announce(address, vector), signals())?;
    Ok(())
}

fn check_data(data: &Path) -> Result<(), Failure> {
    let needed =
        ["items.f16.npy", "items.parquet", "test.f16.npy", "test.parquet", "relevance.parquet"];
    match needed.into_iter().find(|name| !data.join(name).is_file()) {
        None => Ok(()),
        Some(missing) => Err(Failure::data(format!("{} is not the set {NAME}", data.display()))
            .expected(missing, "no such file")
            .next("pass --data with the folder datasets/onet-jobs of the source tree")),
    }
}

/// The port behind `port`, where the admin port goes; a free one if that was asked for.
fn next_port(port: u16) -> u16 {
    if port == 0 { 0 } else { port.checked_add(1).unwrap_or(port - 1) }
}

fn check_free(address: SocketAddr) -> Result<(), Failure> {
    TcpListener::bind(address)
        .map(drop)
        .map_err(|source| Failure::from(ServeError::Bind { address, source }))
}

fn build_index(args: &DemoArgs, dir: &Path, report: &Reporter) -> Result<(), Failure> {
    let input = InputArgs {
        input: args.data.join("items.f16.npy").into(),
        ids: None,
        attributes: None,
        unmatched: Unmatched::default(),
        no_attributes: false,
        attributes_from: Some(args.data.join("items.parquet")),
    };
    let mut items = Items::open(&input)?;
    let built = build(dir, &mut items, &BuildParams::new(Metric::Ip), report)
        .map_err(|error| failed(&error, &input))?;
    let mut text = String::new();
    heading(&mut text, &format!("Built {}", dir.display()));
    fields(&mut text, &summary(&built));
    print(&text)
}

/// The members, in the order of their vectors.
fn read_members(path: &Path, expected: usize) -> Result<Vec<Member>, Failure> {
    let options = ReadOptions { id_column: Some("member_id".to_owned()), ..ReadOptions::default() };
    let mut reader = open_table(path, &options)?;
    let wrong = |expected: String, found: String| {
        Failure::data(format!("{} does not hold the members", path.display()))
            .expected(expected, found)
    };
    let mut members = Vec::new();
    let mut batch = TableBatch::default();
    while reader.next_batch(&mut batch)? {
        let column = |name: &str| {
            batch.attributes.iter().find(|column| column.name == name).map(|column| &column.values)
        };
        let (Some(AttributeValues::Text(titles)), Some(AttributeValues::TextList(tasks))) =
            (column("occupation_title"), column("tasks"))
        else {
            let expected = "text in `occupation_title` and lists of text in `tasks`".to_owned();
            return Err(wrong(expected, "other columns".to_owned()));
        };
        members.extend((0..batch.rows).map(|row| Member {
            occupation: titles.get(row).unwrap_or_default().to_owned(),
            tasks: tasks.get(row).into_iter().flatten().map(str::to_owned).collect(),
        }));
    }
    if members.len() != expected {
        return Err(wrong(format!("{expected} rows, one a vector"), members.len().to_string()));
    }
    Ok(members)
}

/// How good and how fast, exact and approximate; and the approximate answers.
fn measure(
    index: &Index,
    queries: &Queries,
    relevance: &Relevance,
    report: &Reporter,
) -> Result<(String, Answers), Failure> {
    const MOST: usize = 100;
    let exact = SearchParams { exact: true, ..SearchParams::top(MOST) };
    let walk = SearchParams { ef: Some(EF), ..SearchParams::top(MOST) };
    let plain = Plain { engine: index, queries };
    let (truth, exact_speed) = ask(&plain, &exact, report)?;
    let (found, walk_speed) = ask(&plain, &walk, report)?;
    let metric = index.info().metric;
    let mut text = String::new();
    let members = units::count(queries.rows() as u64);
    heading(&mut text, &format!("How good the answers are, over {members} test members"));
    let mut table = Table::new([
        "search<",
        "recall@10",
        "recall@100",
        "NDCG@100",
        "precision@10",
        "hit rate@10",
        "mean time",
    ]);
    let lines =
        [("exact".to_owned(), &truth, exact_speed), (format!("ef {EF}"), &found, walk_speed)];
    for (name, answers, speed) in lines {
        let first = mean_usefulness(answers, relevance, 10);
        table.row([
            name,
            units::share(recall(metric, answers, &truth, 10).id),
            units::share(recall(metric, answers, &truth, MOST).id),
            units::share(mean_usefulness(answers, relevance, MOST).ndcg),
            units::share(first.precision),
            units::share(first.hit_rate),
            units::seconds(speed.mean_seconds),
        ]);
    }
    table.write(&mut text);
    text += &format!(
        "{DIM}  recall: share of what exact search finds. The others: against the occupation that\n  \
         the member's tasks are from, and those related to it.{DIM:#}\n"
    );
    Ok((text, found))
}

/// The members at the upper quartile, the median and the lower quartile of precision@10, ties by
/// place: examples that flatter nobody and are typical all the same.
fn quartiles(found: &Answers, relevance: &Relevance) -> Vec<usize> {
    let precision = |at: usize| metrics::precision(found.ids(at, 10), relevance.judged(at), 10);
    let mut members: Vec<usize> = (0..relevance.queries()).collect();
    members.sort_by(|a, b| precision(*b).total_cmp(&precision(*a)).then(a.cmp(b)));
    let at = |quarter| members.get(quarter * members.len() / 4).copied();
    [1, 2, 3].into_iter().filter_map(at).collect()
}

/// `count` of `0..rows`, evenly spread.
fn choose(rows: usize, count: usize) -> Vec<usize> {
    let count = count.min(rows);
    (0..count).map(|at| at * rows / count).collect()
}

/// What members do, and the jobs found for them.
fn show_members(
    index: &Index,
    queries: &Queries,
    relevance: &Relevance,
    members: &[Member],
    found: &Answers,
    shown: &[usize],
) -> Result<String, Failure> {
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let params = SearchParams { ef: Some(EF), ..SearchParams::top(TOP) };
    let title = index.attribute("title");
    let mut text = String::new();
    let places = ["upper quartile", "median", "lower quartile"];
    for (&at, place) in shown.iter().zip(places) {
        let member = &members[at];
        heading(&mut text, &format!("Member {at}: {}", member.occupation));
        for task in &member.tasks {
            text += &wrapped("  · ", task);
        }
        index.search(&mut scratch, queries.row(at), &params, &mut hits)?;
        let mut table = Table::new(["item_id", "score", "title<", "listed under<"]);
        for hit in &hits {
            let title = match title {
                Some(column) => plain(&index.attribute_value(column, hit.node)?),
                None => String::new(),
            };
            let relevance = match relevance.grade(at, hit.item_id) {
                Some(2) => "same occupation",
                Some(1) => "related occupation",
                _ => "",
            };
            table.row([hit.item_id.to_string(), score(hit.score), title, relevance.to_owned()]);
        }
        table.write(&mut text);
        let precision = metrics::precision(found.ids(at, 10), relevance.judged(at), 10);
        text += &format!(
            "{DIM}  precision@10 {}, the {place} of all test members{DIM:#}\n",
            units::share(precision)
        );
    }
    Ok(text)
}

/// What remains of a demo that does not serve.
fn closing(dir: &Path, temporary: bool) -> String {
    match temporary {
        true => "\nThe index was temporary and is gone; --out DIR keeps it.\n".to_owned(),
        false => format!("\nServe it: vicinage serve --index {}\n", dir.display()),
    }
}

/// Printed once both ports accept connections.
fn announce(address: SocketAddr, vector: &[f32]) {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let query = format!(
        "{{\"queries\":[{{\"vector_b64\":\"{}\"}}],\"k\":{TOP},\"ef\":{EF},\
         \"attributes\":[\"title\"]}}",
        STANDARD.encode(bytes)
    );
    let mut text = String::new();
    heading(&mut text, "Ask the same as for the first member");
    text += &format!(
        "curl -s http://{address}/v1/indexes/{NAME}/search \\\n  \
         -H 'content-type: application/json' \\\n  -d '{query}'\n"
    );
    heading(&mut text, "Try it");
    text += &format!("{BOLD}http://{address}/{BOLD:#}  (Ctrl-C ends)\n");
    // The server is up, whether or not someone reads this.
    let _ = print(&text);
}
