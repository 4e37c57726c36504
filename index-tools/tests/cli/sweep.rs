//! Sweeps: what the lines say, held against naive answers; resuming after a kill; the worker; a
//! server; ann-benchmarks' files.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, mpsc};

use serde_json::{Value, json};
use vicinage::index::{Index, LoadMode};
use vicinage::server::{ServedIndex, ServerConfig, Shutdown, serve};
use vicinage_datasets::{InputSpec, describe_hdf5, read_distances, read_ids};

use crate::measure::nearest;
use crate::support::{DIM, command, components, finish, inputs, run, write_vectors};

/// The set of the tests, in few and short rounds.
const SWEEP: &str = "sweep --input items.npy --queries queries.npy --metric l2 --name small \
    --alpha 1.1 --rounds 3 --min-seconds 0.01 --progress json";

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))
}

/// What does not depend on the clock or the state of the machine.
fn lasting(line: &Value) -> String {
    let mut line = line.clone();
    for key in [
        "build_seconds",
        "build_peak_mib",
        "serve_resident_mib",
        "qps",
        "qps_median",
        "qps_rounds",
        "p50_us",
        "p95_us",
        "p99_us",
        "p999_us",
        "time",
    ] {
        line.as_object_mut().unwrap().remove(key).unwrap();
    }
    line.to_string()
}

#[test]
fn a_line_says_all_of_a_point() {
    let dir = inputs();
    let words =
        format!("{SWEEP} --k 1,10 --ef 10,40 --exact --max-degree 4,16 --threads 1,2 --pin");
    run(dir.path(), &words).ok().says(&["small", "max_degree", "queries/s", "exact true", "ef 40"]);
    let lines = lines(&dir.path().join("sweep.jsonl"));
    assert_eq!(lines.len(), 2 * 3 * 2 * 2);
    let schema: Vec<&str> = "schema dataset n dim metric k queries engine engine_version git_commit \
        build build_seconds build_peak_mib index_bytes_per_vector serve_resident_mib search recall_id \
        recall_distance qps qps_median qps_rounds p50_us p95_us p99_us p999_us distances_per_query \
        visited_per_query threads pinned mode offered_qps python_loop filter stream isa cpu time"
        .split_whitespace()
        .collect();
    for line in &lines {
        let keys: HashSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, schema.iter().copied().collect());
        assert_eq!(line["dataset"], "small");
        assert_eq!(
            (&line["n"], &line["dim"], &line["queries"]),
            (&json!(1500), &json!(12), &json!(50))
        );
        let rounds: Vec<f64> =
            line["qps_rounds"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).collect();
        assert_eq!(rounds.len(), 3);
        assert_eq!(number(line, "qps"), rounds.iter().copied().fold(0.0, f64::max));
        assert!(rounds.contains(&number(line, "qps_median")));
        assert!(number(line, "p50_us") <= number(line, "p999_us"));
        assert_eq!(line["pinned"].as_array().unwrap().len() as u64, line["threads"]);
        assert!(number(line, "build_seconds") > 0.0 && number(line, "build_peak_mib") > 0.0);
        assert!(number(line, "index_bytes_per_vector") > 48.0);
        if line["search"]["exact"] == true {
            assert_eq!((&line["recall_id"], &line["recall_distance"]), (&json!(1.0), &json!(1.0)));
            assert_eq!(number(line, "distances_per_query"), 1500.0);
        } else {
            assert!(number(line, "distances_per_query") < 1500.0);
        }
    }
    let keys: HashSet<String> = lines.iter().map(lasting).collect();
    assert_eq!(keys.len(), lines.len());
}

#[test]
fn the_usual_searches_are_what_reaches_rising_recalls() {
    let dir = inputs();
    // Few edges, so that short lists miss some.
    run(dir.path(), &format!("{SWEEP} --max-degree 4 --exact")).ok().says(&["target_recall 0.8"]);
    let mut lines = lines(&dir.path().join("sweep.jsonl"));
    assert_eq!(lines.pop().unwrap()["search"], json!({"exact": true}));
    assert!(lines.len() >= 3, "{lines:?}");
    for pair in lines.windows(2) {
        let target = |line: &Value| number(&line["search"], "target_recall");
        assert!(target(&pair[0]) < target(&pair[1]));
        let work = |line: &Value| number(line, "distances_per_query");
        assert!(work(&pair[0]) <= work(&pair[1]), "{pair:?}");
    }
    assert_eq!(lines[0]["search"], json!({"target_recall": 0.8}));
}

#[test]
fn builds_with_and_without_logged_queries_are_measured_side_by_side() {
    let dir = inputs();
    write_vectors(&dir.path().join("learn.npy"), DIM, components(300 * DIM, 5));
    let words = format!("{SWEEP} --ef 20 --learn none,learn.npy");
    run(dir.path(), &words).ok().says(&["learn.npy"]);
    let swept = lines(&dir.path().join("sweep.jsonl"));
    let learned = |line: &Value| line["build"].get("learn").cloned();
    assert_eq!(swept.iter().map(learned).collect::<Vec<_>>(), [None, Some(json!("learn.npy"))]);
    // Another file of the name is another build.
    write_vectors(&dir.path().join("learn.npy"), DIM, components(250 * DIM, 6));
    run(dir.path(), &format!("{words} --out again.jsonl")).ok();
    let builds = |line: &Value| number(line, "build_seconds");
    let again = lines(&dir.path().join("again.jsonl"));
    assert_eq!(builds(&again[0]), builds(&swept[0]));
    assert_ne!(builds(&again[1]), builds(&swept[1]));
    run(dir.path(), &format!("{SWEEP} --learn missing.npy")).fails(74, &["missing.npy"]);
}

#[test]
fn slack_and_rerank_are_crossed_with_ef_and_stand_beside_recalls() {
    let dir = inputs();
    let words = "--ef 20,40 --slack 1.1,1.5 --rerank 12 --target-recall 0.9";
    run(dir.path(), &format!("{SWEEP} {words}")).ok().says(&["ef 40", "slack 1.5"]);
    let lines = lines(&dir.path().join("sweep.jsonl"));
    let searches: Vec<&Value> = lines.iter().map(|line| &line["search"]).collect();
    let walk = |ef: usize, slack: f64| json!({"ef": ef, "slack": slack, "rerank": 12});
    let recall = json!({"target_recall": 0.9});
    let expected = [walk(20, 1.1), walk(40, 1.1), walk(20, 1.5), walk(40, 1.5), recall];
    assert_eq!(searches, expected.iter().collect::<Vec<_>>());
    let work: Vec<f64> = lines.iter().map(|line| number(line, "distances_per_query")).collect();
    assert!(work[1] <= work[3], "a smaller slack ends a search earlier: {work:?}");
}

#[test]
fn without_a_calibration_the_ladder_of_ef_ends_where_all_is_found() {
    let dir = inputs();
    // So few that searches with longer lists are scans.
    write_vectors(&dir.path().join("few.npy"), DIM, components(500 * DIM, 1));
    run(dir.path(), &SWEEP.replace("items.npy", "few.npy")).ok();
    let lines = lines(&dir.path().join("sweep.jsonl"));
    let recalls: Vec<f64> = lines.iter().map(|line| number(line, "recall_distance")).collect();
    let (last, rest) = recalls.split_last().unwrap();
    assert!(*last >= 0.9999 && rest.iter().all(|&recall| recall < 0.9999), "{recalls:?}");
}

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let dir = inputs();
    let words = "--k 5,10,20 --ef 20,40 --max-degree 8,16";
    run(dir.path(), &format!("{SWEEP} {words} --out whole.jsonl --cache whole")).ok();
    let whole: Vec<String> = lines(&dir.path().join("whole.jsonl")).iter().map(lasting).collect();
    // Killed as a stage begins for the nth time: in the builds, the truth, the measurement.
    for (stage, time) in [("build", 2), ("truth", 1), ("judge", 3), ("measure", 1), ("measure", 2)]
    {
        let out = format!("{stage}{time}");
        let again = format!("{SWEEP} {words} --out {out}.jsonl --cache {out}");
        let mut child = command(dir.path(), &again)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .filter(|event| event["event"] == "begin" && event["stage"] == stage)
            .nth(time - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(begun.is_some(), "no {stage}");
        let path = dir.path().join(format!("{out}.jsonl"));
        // What a kill in the middle of a write leaves.
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"schema\":1,\"data").unwrap();
        run(dir.path(), &again).ok();
        let resumed: Vec<String> = lines(&path).iter().map(lasting).collect();
        assert_eq!(resumed, whole, "killed at {out}");
        let sets = fs::read_dir(dir.path().join(&out)).unwrap().map(|entry| entry.unwrap().path());
        let builds = sets.flat_map(|set| fs::read_dir(set).unwrap());
        let names: Vec<String> =
            builds.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| name.starts_with('.')), "left over: {names:?}");
    }
    let before = fs::read(dir.path().join("whole.jsonl")).unwrap();
    run(dir.path(), &format!("{SWEEP} {words} --out whole.jsonl --cache whole")).ok();
    assert_eq!(fs::read(dir.path().join("whole.jsonl")).unwrap(), before, "nothing is left to do");
}

#[test]
fn sweeps_beside_each_other_share_a_cache() {
    let dir = inputs();
    let sweep = |out: &&str| {
        let words = format!("{SWEEP} --ef 20 --cache shared --out {out}.jsonl");
        let mut command = command(dir.path(), &words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let outs = ["one", "two", "three"];
    let running: Vec<Child> = outs.iter().map(sweep).collect();
    running.into_iter().for_each(|child| drop(finish(child).ok()));
    let told = |out| lasting(&lines(&dir.path().join(format!("{out}.jsonl")))[0]);
    assert!(told("one") == told("two") && told("two") == told("three"));
}

#[test]
fn a_load_is_offered_at_a_rate() {
    let dir = inputs();
    run(dir.path(), &format!("{SWEEP} --ef 40 --rate 500,2000 --threads 2")).ok();
    let lines = lines(&dir.path().join("sweep.jsonl"));
    let offered: Vec<f64> = lines.iter().map(|line| number(line, "offered_qps")).collect();
    assert_eq!(offered, [500.0, 2000.0]);
    assert!(lines.iter().all(|line| line["mode"] == "open" && number(line, "p50_us") > 0.0));
}

#[test]
fn queries_given_at_once_have_no_latency() {
    let dir = inputs();
    run(dir.path(), &format!("{SWEEP} --ef 40 --threads 1,2 --batch --out all.jsonl")).ok();
    run(dir.path(), &format!("{SWEEP} --ef 40 --threads 1,2 --out each.jsonl")).ok();
    let [all, each] = ["all", "each"].map(|file| lines(&dir.path().join(format!("{file}.jsonl"))));
    assert_eq!((all.len(), each.len()), (2, 2));
    for (all, each) in all.iter().zip(&each) {
        assert!(all["mode"] == "batch" && all["p50_us"].is_null() && number(all, "qps") > 0.0);
        assert!(each["mode"] == "closed" && number(each, "p50_us") > 0.0);
        assert_eq!(all["recall_id"], each["recall_id"]);
    }
}

#[test]
fn a_file_says_what_is_swept_and_flags_go_before_it() {
    let dir = inputs();
    let config = "k = [3]\nef = [30]\nslack = [1.5]\nrounds = 2\nmin_seconds = 0.01\n\
        [[build]]\nmax_degree = 6\nalpha = 1.2\n[[build]]\nmax_degree = 8\nalpha = 1.2\n";
    fs::write(dir.path().join("sweep.toml"), config).unwrap();
    let words = "sweep --config sweep.toml --input items.npy --queries queries.npy --metric ip";
    run(dir.path(), &format!("{words} --ef 25")).ok();
    let lines = lines(&dir.path().join("sweep.jsonl"));
    let degrees: Vec<&Value> = lines.iter().map(|line| &line["build"]["max_degree"]).collect();
    assert_eq!(degrees, [&json!(6), &json!(8)]);
    let search = json!({"ef": 25, "slack": 1.5});
    assert!(lines.iter().all(|l| l["search"] == search && l["k"] == 3));
    assert!(lines.iter().all(|l| l["build"]["alpha"] == 1.2));
}

#[test]
fn refuses_what_cannot_be_swept() {
    let dir = inputs();
    let sweep = |words: &str| run(dir.path(), &format!("sweep {words}"));
    sweep("").fails(2, &["nothing to sweep", "--dataset"]);
    sweep("--dataset nowhere.hdf5").fails(2, &["nowhere.hdf5", "datasets list"]);
    sweep("--dataset sift-128-euclidean").fails(2, &["datasets fetch sift-128-euclidean"]);
    sweep("--dataset items.npy").fails(2, &["items.npy is no set", "--input"]);
    sweep("--dataset .").fails(2, &["holds no set"]);
    let set = "--input items.npy --queries queries.npy --metric l2";
    sweep(&format!("{set} --k 0")).fails(2, &["from 1"]);
    sweep(&format!("{set} --rerank 0")).fails(2, &["from 1"]);
    sweep(&format!("{set} --slack 0.5")).fails(2, &["--slack", "from 1"]);
    sweep(&format!("{set} --target-recall 1.5")).fails(2, &["--target-recall", "0 to 1"]);
    sweep(&format!("{set} --rate 0")).fails(2, &["--rate", "above 0"]);
    sweep(&format!("{set} --rate nan")).fails(2, &["--rate"]);
    sweep(&format!("{set} --threads 5000 --pin")).fails(2, &["--pin"]);
    sweep(&format!("{set} --server http://127.0.0.1:1 --index a")).fails(69, &["no answer"]);
    fs::write(dir.path().join("bad.toml"), "kk = [3]").unwrap();
    sweep(&format!("{set} --config bad.toml")).fails(2, &["bad.toml", "kk"]);
    fs::write(dir.path().join("other.jsonl"), "{\"schema\":2}\n").unwrap();
    sweep(&format!("{set} --out other.jsonl")).fails(65, &["other.jsonl", "line 1", "2"]);
}

#[test]
fn filtered_workloads_are_measured_by_shape() {
    let dir = tempfile::tempdir().unwrap();
    let made = |words: &str| run(dir.path(), &format!("datasets generate {words}")).ok();
    made("two-tower --n 2000 --dim 8 --test 30 --learn 0 --k 0 --out tt");
    made(
        "filters --input tt/base.npy --queries tt/test.npy --metric ip --k 12 \
         --selectivity 0.1,0.01 --exclude 20 --out w",
    );
    let words = "sweep --dataset tt --alpha 1.1 --max-degree 8,16 --filters w --rounds 2 \
        --min-seconds 0.001 --progress none";
    run(dir.path(), words).ok().says(&["anti-correlated", "exclude", "max_degree", "pass"]);
    let first = lines(&dir.path().join("sweep.jsonl"));
    let keys: HashSet<String> = first.iter().map(lasting).collect();
    assert_eq!(keys.len(), first.len());
    for line in &first {
        let filter = &line["filter"];
        assert_eq!((&line["search"], &filter["workload"]), (&json!({"plan": "auto"}), &json!("w")));
        assert_eq!((&line["recall_id"], &filter["recall_min"]), (&json!(1.0), &json!(1.0)));
        assert_eq!(filter["shortfall"], 0.0);
        let passing = number(filter, "selectivity") * 2000.0;
        // A scan, and what may be in the answer on its vector again.
        assert!(number(line, "distances_per_query") <= 2.0 * passing + 1e-6, "{line}");
    }
    let shapes: HashSet<&str> =
        first.iter().map(|line| line["filter"]["shape"].as_str().unwrap()).collect();
    assert!(shapes.contains("range") && shapes.contains("not") && shapes.len() >= 8, "{shapes:?}");
    let before = fs::read(dir.path().join("sweep.jsonl")).unwrap();
    run(dir.path(), words).ok();
    assert_eq!(fs::read(dir.path().join("sweep.jsonl")).unwrap(), before, "nothing left to do");
    let plans =
        words.replace("--rounds", "--plan auto,walk,two-hop --ef 30 --out plans.jsonl --rounds");
    run(dir.path(), &plans).ok().says(&["regret", "median", "worst", "times the fastest plan"]);
    let forced = lines(&dir.path().join("plans.jsonl"));
    assert_eq!(forced.len(), 3 * first.len());
    for plan in ["walk", "two-hop"] {
        let search = json!({"ef": 30, "plan": plan});
        assert_eq!(forced.iter().filter(|line| line["search"] == search).count(), first.len());
    }
    run(dir.path(), &format!("{words} --k 13")).fails(2, &["--k up to 12"]);
    made("two-tower --n 2000 --dim 8 --test 31 --learn 0 --k 0 --out more");
    run(dir.path(), &words.replace("--dataset tt", "--dataset more"))
        .fails(65, &["of other queries", "30 queries", "31"]);
}

#[test]
fn a_runbook_is_replayed_step_by_step() {
    let dir = inputs();
    run(dir.path(), "datasets generate runbook --n 1500 --rounds 4 --clusters 4 --out book.yaml")
        .ok()
        .says(&["searches"]);
    let words = format!("{SWEEP} --runbook book.yaml --k 5").replace("--alpha 1.1 ", "");
    run(dir.path(), &words).ok().says(&["step", "live"]);
    let lines = lines(&dir.path().join("sweep.jsonl"));
    assert!(lines.len() >= 4);
    let steps: Vec<f64> = lines.iter().map(|line| number(&line["stream"], "step")).collect();
    assert!(steps.is_sorted());
    for line in &lines {
        assert_eq!(line["recall_id"], 1.0);
        assert_eq!(line["distances_per_query"].as_f64(), line["stream"]["live"].as_f64());
        assert!(number(&line["stream"], "updates_per_second") > 0.0);
    }
}

/// Writes a line to the worker and reads its answer.
struct Worker {
    child: std::process::Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Worker {
    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }
}

#[test]
fn the_worker_speaks_the_protocol_of_the_peers() {
    let dir = inputs();
    let pack = "datasets pack --input items.npy --queries queries.npy --metric l2 --out set.hdf5";
    run(dir.path(), pack).ok();
    let mut child = command(dir.path(), "sweep --worker --progress none")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut worker = Worker { child, answers };
    let search = json!({"cmd": "search", "search": {"exact": true}, "k": 5, "min_seconds": 0.01,
        "ids": dir.path().join("ids.npy")});
    let refused = worker.ask(&search);
    assert_eq!((&refused["ok"], &refused["error"]), (&json!(false), &json!("search before load")));
    let unknown = worker.ask(&json!({"cmd": "dance"}));
    assert_eq!(unknown["ok"], false);
    let load = json!({"cmd": "load", "dataset": dir.path().join("set.hdf5"), "cache": dir.path(),
        "build": {"threads": 2, "max_degree": 8, "alpha": 1.1}});
    let loaded = worker.ask(&load);
    assert_eq!((&loaded["ok"], &loaded["build"]["max_degree"]), (&json!(true), &json!(8)));
    assert!(number(&loaded, "build_seconds") > 0.0);
    let answer = worker.ask(&search);
    assert_eq!((&answer["ok"], &answer["python_loop"]), (&json!(true), &json!(false)));
    assert!(number(&answer, "queries") >= 50.0 && number(&answer, "seconds") > 0.0);
    assert!(answer["mode"] == "batch" && answer["p50_us"].is_null());
    let mut each = search.clone();
    each["mode"] = json!("closed");
    let answer = worker.ask(&each);
    assert!(answer["mode"] == "closed" && number(&answer, "p50_us") > 0.0);
    let ids = read_ids(&dir.path().join("ids.npy").into()).unwrap();
    for (params, ok) in [
        (json!({"target_recall": 0.9}), true),
        (json!({"ef": 20, "slack": 1.2, "rerank": 12}), true),
        (json!({"ef": 20, "target_recall": 0.9}), false),
    ] {
        let search = json!({"cmd": "search", "search": params, "k": 5, "min_seconds": 0.01});
        assert_eq!(worker.ask(&search)["ok"], ok, "{params}");
    }
    for query in 0..50 {
        let near: Vec<u64> =
            nearest("l2", query, 5).into_iter().map(|(_, row)| row as u64).collect();
        assert_eq!(ids.row(query), near);
    }
    writeln!(worker.child.stdin.as_mut().unwrap(), "{}", json!({"cmd": "quit"})).unwrap();
    assert!(worker.child.wait().unwrap().success());
}

#[test]
fn a_server_is_measured_over_http() {
    let dir = inputs();
    run(dir.path(), "build --input items.npy --metric l2 --alpha 1.1 --out index").ok();
    let index = Arc::new(Index::open(&dir.path().join("index"), LoadMode::Mmap).unwrap());
    let ((shutdown, stopped), (told, address)) = (Shutdown::new(), mpsc::channel());
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig { bind: loopback, admin: loopback, ..ServerConfig::default() };
    std::thread::scope(|scope| {
        let served = ServedIndex {
            name: "small".to_owned(),
            index,
            load: LoadMode::Mmap,
            examples: Vec::new(),
        };
        scope.spawn(move || {
            serve(&config, vec![served], |data, _| told.send(data).unwrap(), stopped).unwrap();
        });
        let url = format!("http://{}", address.recv().unwrap());
        let words =
            format!("{SWEEP} --server {url} --index small --ef 20,80 --exact --threads 1,2");
        let words = words.replace("--alpha 1.1 ", "");
        let ran = run(dir.path(), &words);
        shutdown.stop();
        ran.ok();
    });
    let lines = lines(&dir.path().join("sweep.jsonl"));
    assert_eq!(lines.len(), 6);
    for line in &lines {
        assert_eq!(line["engine"], "vicinage-http");
        assert!(number(line, "serve_resident_mib") > 1.0);
        assert!(number(line, "recall_distance") > 0.8);
    }
    let exact = lines.iter().filter(|line| line["search"]["exact"] == true);
    assert!(exact.clone().count() == 2 && exact.clone().all(|line| line["recall_id"] == 1.0));
}

/// Recall as ann-benchmarks computes it from what is in the files.
fn recall_by_their_rule(truth: &Path, result: &Path, k: usize) -> f64 {
    let array = |path: &Path| InputSpec { path: path.to_owned(), column: Some("distances".into()) };
    let (truth, found) =
        (read_distances(&array(truth)).unwrap(), read_distances(&array(result)).unwrap());
    let mut hits = 0;
    for (truth, found) in truth.iter().zip(found.iter()) {
        let threshold = truth[k - 1] + 1e-3;
        hits += found.iter().take(k).filter(|&&distance| distance <= threshold).count();
    }
    hits as f64 / (truth.rows() * k) as f64
}

#[test]
fn results_are_written_as_ann_benchmarks_has_them() {
    for metric in ["l2", "cosine", "ip"] {
        let dir = inputs();
        let set = dir.path().join("set.hdf5");
        run(
            dir.path(),
            &format!(
                "datasets pack --input items.npy --queries queries.npy --metric {metric} \
                 --out set.hdf5"
            ),
        )
        .ok();
        run(
            dir.path(),
            "sweep --dataset set.hdf5 --alpha 1.0 --max-degree 4 --ef 10,20 --rounds 2 \
             --min-seconds 0.01 --ann-benchmarks-out results",
        )
        .ok();
        let folder = dir.path().join("results/set/10/vicinage");
        let lines = lines(&dir.path().join("sweep.jsonl"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), lines.len());
        for line in &lines {
            let ef = format!("_ef_{}.hdf5", line["search"]["ef"]);
            let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let path = files.find(|path| path.to_str().unwrap().ends_with(&ef)).unwrap();
            let file = describe_hdf5(&path).unwrap();
            let shapes: Vec<(&str, &[u64])> =
                file.arrays.iter().map(|a| (a.name.as_str(), a.shape.as_slice())).collect();
            let expected: [(&str, &[u64]); 3] =
                [("distances", &[50, 10]), ("neighbors", &[50, 10]), ("times", &[50])];
            assert_eq!(shapes, expected);
            let theirs = recall_by_their_rule(&set, &path, 10);
            assert!((theirs - number(line, "recall_distance")).abs() < 1e-9, "{metric} {line}");
        }
    }
}
