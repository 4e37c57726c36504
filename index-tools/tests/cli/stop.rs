//! Ctrl-C.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{command, components, run, write_vectors};

/// As many items as take a minute to build on one thread with these parameters: an interrupt
/// that comes with the first sign of life comes in the middle.
const LONG: &str = "--metric l2 --threads 1 --max-degree 64 --ef-construction 2000 \
    --alpha 1.2 --backfill true --progress json";

fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn a_build_stops_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write_vectors(&dir.path().join("items.npy"), 32, components(50_000 * 32, 1));
    for stage in ["read", "graph"] {
        let mut child = command(dir.path(), &format!("build --input items.npy --out index {LONG}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut events = BufReader::new(child.stderr.take().unwrap()).lines();
        let reached = events.by_ref().map(|line| line.unwrap()).find(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["stage"] == stage
        });
        assert!(reached.is_some(), "the build ended before {stage}");
        interrupt(&child);
        let last = events.last().unwrap().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
        let last: Value = serde_json::from_str(&last).unwrap();
        assert_eq!((&last["event"], &last["exit_code"]), (&"error".into(), &130.into()));
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["items.npy"], "interrupted at {stage}");
    }
}

#[test]
fn a_stopped_build_leaves_the_index_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    write_vectors(&dir.path().join("few.npy"), 32, components(300 * 32, 1));
    run(dir.path(), "build --input few.npy --metric l2 --out index").ok();
    let manifest = fs::read(dir.path().join("index/MANIFEST.json")).unwrap();
    write_vectors(&dir.path().join("items.npy"), 32, components(50_000 * 32, 1));
    let mut child = command(dir.path(), &format!("build --input items.npy --out index {LONG}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_exact(&mut first).unwrap();
    interrupt(&child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert_eq!(fs::read(dir.path().join("index/MANIFEST.json")).unwrap(), manifest);
    run(dir.path(), "verify index --deep").ok();
}
