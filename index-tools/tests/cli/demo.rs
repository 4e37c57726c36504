//! The demo, on a small set of the same shape as the bundled one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use vicinage_datasets::{
    AttributeValues, Batch, Element, I64ListColumn, Shape, TextListColumn, VectorData,
    WriteOptions, create,
};

use crate::support::{components, run, title, titles, write_table};

const ITEMS: usize = 600;
const MEMBERS: usize = 40;
const DIM: usize = 8;

fn write_f16(path: &Path, rows: usize, seed: u64) {
    let vectors = components(rows * DIM, seed).into_iter().map(half::f16::from_f32).collect();
    let batch = Batch::of_vectors(DIM, VectorData::F16(vectors));
    let shape = Shape { rows: rows as u64, dim: DIM as u32, element: Element::F16 };
    let mut writer = create(path, shape, &WriteOptions::default()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

/// Each member suits two jobs.
fn set() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_f16(&path("items.f16.npy"), ITEMS, 1);
    write_f16(&path("test.f16.npy"), MEMBERS, 2);
    let ids = |name, rows| Some((name, (0..rows as u64).collect()));
    let attributes = vec![("title", titles(0..ITEMS))];
    write_table(&path("items.parquet"), 1, components(ITEMS, 1), ids("item_id", ITEMS), attributes);
    let mut tasks = TextListColumn::default();
    (0..MEMBERS).for_each(|_| tasks.push(Some(["Weigh anchors.", "Count waves."])));
    let attributes =
        vec![("occupation_title", titles(0..MEMBERS)), ("tasks", AttributeValues::TextList(tasks))];
    let members = ids("member_id", MEMBERS);
    write_table(&path("test.parquet"), 1, components(MEMBERS, 1), members, attributes);
    let (mut items, mut grades) = (I64ListColumn::default(), I64ListColumn::default());
    for at in 0..MEMBERS as i64 {
        items.push(Some(&[at, at + 1]));
        grades.push(Some(&[2, 1]));
    }
    let columns = vec![
        ("query", AttributeValues::I64((0..MEMBERS as i64).map(Some).collect())),
        ("item_ids", AttributeValues::I64List(items)),
        ("grades", AttributeValues::I64List(grades)),
    ];
    write_table(&path("relevance.parquet"), 1, components(MEMBERS, 1), None, columns);
    dir
}

#[test]
fn measures_without_serving() {
    let data = set();
    let shown = run(data.path(), "demo --data . --no-serve").ok().says(&[
        "600 × 8",
        "recall@10",
        "recall@100",
        "NDCG@100",
        "precision@10",
        "hit rate@10",
        "Member ",
        "· Weigh anchors.",
        "title of row",
        "the median of all test members",
        "temporary and is gone",
    ]);
    assert_eq!(shown.out.matches("\nMember ").count(), 3);
    let exact = shown.out.lines().find(|line| line.trim_start().starts_with("exact")).unwrap();
    assert!(exact.contains("1.0000"), "exact search finds what exact search finds: {exact}");

    run(data.path(), "demo --data . --no-serve --out kept")
        .ok()
        .says(&["vicinage serve --index kept"]);
    run(data.path(), "verify kept --deep").ok();
}

#[test]
fn the_bundled_set_is_where_the_demo_looks() {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/onet-jobs");
    for name in
        ["items.f16.npy", "items.parquet", "test.f16.npy", "test.parquet", "relevance.parquet"]
    {
        assert!(bundled.join(name).is_file(), "{name}");
    }
}

#[test]
fn refuses_what_is_not_the_set() {
    let data = set();
    fs::remove_file(data.path().join("test.parquet")).unwrap();
    run(data.path(), "demo --data .").fails(65, &["test.parquet", "--data"]);
}

#[test]
fn learns_of_a_taken_port_before_it_builds() {
    let data = set();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = format!("demo --data . --bind {} --out index", taken.local_addr().unwrap());
    run(data.path(), &words).fails(69, &["cannot listen", "--bind"]);
    assert!(!data.path().join("index").exists());
}

#[test]
fn serves_what_it_says_until_it_is_interrupted() {
    let (data, temporary) = (set(), tempfile::tempdir().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_index-tools"))
        .args(["demo", "--data", ".", "--bind", "127.0.0.1:0"])
        .current_dir(data.path())
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let found: Vec<String> = {
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            let last = line.contains("(Ctrl-C ends)");
            seen.push(line);
            if last {
                break;
            }
        }
        seen
    };
    let text = found.join("\n");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "{text}");

    // The curl line, as it is printed.
    let between = |from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}"));
        rest.split_once(to).unwrap().0.to_owned()
    };
    let (host, body) = (between("curl -s http://", "/"), between("-d '", "'"));
    let ask = |request: String| {
        let mut stream = TcpStream::connect(&host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    };
    let reply = ask(format!(
        "POST /v1/indexes/onet-jobs/search HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    // The same jobs as in the table of the first member.
    let jobs = between("\nMember ", "\nMember ");
    let shown = |title: &String| {
        jobs.lines().any(|line| line.ends_with(title) || line.contains(&format!("{title} ")))
    };
    // The heading names an occupation like a title, too; the table has five.
    let table = jobs.split_once("item_id").unwrap().1;
    let titles: Vec<String> =
        (0..ITEMS).map(title).filter(|title| shown(title) && table.contains(title)).collect();
    assert!(!titles.is_empty(), "{jobs}");
    assert!(titles.iter().all(|title| reply.contains(title)), "{titles:?} in {reply}");
    let page = ask(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");

    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "the index was temporary");
}
