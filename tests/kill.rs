//! A build is killed (SIGKILL) while it replaces an index, at random moments of every stage. After
//! each: the old index or the new one opens and verifies to the last byte, the next build succeeds,
//! and nothing is left over.
//!
//! The build runs in a child: this same test program, told by the environment what to do. It
//! writes a line when a stage begins; the moment of the kill is drawn from how long that stage took
//! in builds that were left alone. `VICINAGE_KILLS=200 cargo test --test kill` kills 200 times,
//! `SEED=…` draws other moments.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use common::everything::{self, use_everything};
use common::{Random, assert_clean, build_quick};
use vicinage::builder::build;
use vicinage::format::LoadMode;
use vicinage::index::{Index, verify};
use vicinage::progress::{Progress, Stage};
use vicinage::types::ElementType;

const INDEX: &str = "KILL_TEST_INDEX";
const SPOOL: &str = "KILL_TEST_SPOOL";

/// Kills in a usual run.
const KILLS: usize = 25;

/// Items of the builds that are killed, and of those in between.
const LARGE: usize = 2500;
const SMALL: usize = 60;

/// What the child says when the build is through, beside the names of stages.
const DONE: &str = "done";

/// Says when a stage begins and ends. What comes after the last stage is publishing.
struct Aloud;

impl Progress for Aloud {
    fn begin(&self, stage: Stage, _total: Option<u64>, _unit: &'static str) {
        println!("stage {}", stage.name());
    }

    fn advance(&self, _done: u64) {}

    fn end(&self, stage: Stage) {
        println!("stage after-{}", stage.name());
    }
}

/// Does nothing in a usual run; in a child it builds.
#[test]
fn child() {
    let Some(index) = std::env::var_os(INDEX) else { return };
    let source = everything::source(LARGE, 12, ElementType::F32, 1);
    let (mut source, params) = match std::env::var_os(SPOOL) {
        None => (source, everything::params()),
        Some(_) => everything::spooled(source),
    };
    // The harness wrote the test's name without ending the line.
    println!();
    build(Path::new(&index), &mut source, &params, &Aloud).unwrap();
    println!("stage {DONE}");
}

/// A building child and the stages that it announces.
struct Build {
    child: Child,
    stages: Receiver<String>,
}

impl Build {
    /// With `spool`, the vectors are on disk while the graph is built.
    fn start(index: &Path, spool: bool) -> Build {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).env(INDEX, index).stdout(Stdio::piped());
        if spool {
            command.env(SPOOL, "1");
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, stages) = channel();
        // Ends with the child's output.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(stage) = line.strip_prefix("stage ") {
                    let _ = sender.send(stage.to_owned());
                }
            }
        });
        Build { child, stages }
    }

    /// Runs to the end; how long it stayed in each stage, in order.
    fn measure(mut self) -> Vec<(String, Duration)> {
        let mut stages = Vec::new();
        let mut since = Instant::now();
        for stage in self.stages.iter() {
            if let Some((_, took)) = stages.last_mut() {
                *took = since.elapsed();
            }
            since = Instant::now();
            stages.push((stage, Duration::ZERO));
        }
        assert!(self.child.wait().unwrap().success());
        assert_eq!(stages.pop().unwrap().0, DONE);
        stages
    }

    /// Kills the child so long after `stage` began, unless it is through by then; whether it was.
    fn kill(mut self, stage: &str, after: Duration) -> bool {
        assert!(self.stages.iter().any(|begun| begun == stage), "no stage {stage}");
        let moment = Instant::now() + after;
        let over = loop {
            match self.stages.recv_timeout(moment.saturating_duration_since(Instant::now())) {
                Ok(stage) if stage == DONE => break true,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => panic!("the child failed by itself"),
            }
        };
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert!(over || status.success() || status.signal() == Some(libc::SIGKILL), "{status}");
        over || status.success()
    }
}

/// The shortest time of each stage in a few builds below `dir`: whatever slowed one of them down
/// must not put the kills of a stage after its end.
fn measure(dir: &Path) -> Vec<(String, Duration)> {
    let run = |at| Build::start(&dir.join(format!("measured-{at}")), at == 1).measure();
    let mut stages = run(0);
    for again in (1..4).map(run) {
        for ((stage, shortest), (same, took)) in stages.iter_mut().zip(again) {
            assert_eq!(*stage, same);
            *shortest = took.min(*shortest);
        }
    }
    stages
}

/// Builds a small generation over what is there, and checks that nothing else stays.
fn next_build(index: &Path, generation: u64) {
    let source = everything::source(SMALL, 12, ElementType::F32, 1);
    let report = build_quick(index, source, &everything::params());
    assert_eq!(report.generation, generation);
    assert_eq!(report.not_removed, Vec::<String>::new());
    assert_clean(index);
    let names = std::fs::read_dir(index).unwrap().map(|entry| entry.unwrap().file_name());
    let generations = names.filter(|name| name.to_str().unwrap().parse::<u64>().is_ok());
    assert_eq!(generations.count() as u64, generation.min(2));
}

#[test]
fn a_killed_build_leaves_the_old_index_or_the_new_one() {
    let kills =
        std::env::var("VICINAGE_KILLS").map_or(KILLS, |kills| kills.parse::<usize>().unwrap());
    let (mut random, seed) = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("jobs");
    let stages = measure(dir.path());
    assert!(stages.len() > 10, "{stages:?}");
    next_build(&index, 1);
    let mut generation = 1;
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for round in 0..kills {
        // Each stage in turn, so that short ones get their share, and the last one, publishing,
        // every third time; with some time to spare, since builds differ.
        let at = if round % 3 == 0 { stages.len() - 1 } else { round % stages.len() };
        let (stage, took) = &stages[at];
        let after = took.mul_f32(2.0 * random.unit());
        let case = format!("SEED={seed} round {round}, {after:?} into {stage}");
        let over = Build::start(&index, round % 2 == 1).kill(stage, after);

        let report = verify(&index, true, &Aloud).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(report.damage, [], "{case}");
        let opened = Index::open(&index, LoadMode::Mmap).unwrap();
        let new = match (opened.info().n as usize, opened.info().generation - generation) {
            (SMALL, 0) => false,
            (LARGE, 1) => true,
            found => panic!("{case}: {found:?}"),
        };
        assert!(new || !over, "{case}: a build that was through is gone");
        assert_eq!(use_everything(&index, LoadMode::Mmap).unwrap(), 0, "{case}");
        counts.entry(stage).or_default()[usize::from(new) + usize::from(over)] += 1;
        generation += u64::from(new) + 1;
        next_build(&index, generation);
    }
    let late: usize = counts.values().map(|[_, _, over]| over).sum();
    assert!(2 * late < kills, "{late} of {kills} builds were through before they were killed");
    eprintln!("{kills} kills; stage: old index, new index, through before the kill");
    for (stage, [old, new, over]) in counts {
        eprintln!("  {stage}: {old}, {new}, {over}");
    }
}

/// The same over nothing: an index that is whole, or none, and the next build does not mind.
#[test]
fn a_killed_first_build_leaves_an_index_or_none() {
    let (mut random, seed) = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let stages = measure(dir.path());
    for (round, (stage, took)) in stages.iter().enumerate() {
        let index = dir.path().join(format!("jobs-{round}"));
        let after = took.mul_f32(random.unit());
        let case = format!("SEED={seed} round {round}, {after:?} into {stage}");
        let over = Build::start(&index, round % 2 == 0).kill(stage, after);
        let there = index.join("MANIFEST.json").exists();
        assert!(there || !over, "{case}");
        if there {
            assert_eq!(verify(&index, true, &Aloud).unwrap().damage, [], "{case}");
        }
        next_build(&index, 1 + u64::from(there));
    }
}
