//! Truncating a file that a process has mapped: the process says which file and exits; a copy does
//! not care; a SIGBUS that is not ours does what it always does.
//!
//! Each case runs in a child: this same test program, told by the environment what to do.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use vicinage::format::mapping::{SIGBUS_EXIT_STATUS, install_sigbus_handler};
use vicinage::format::{LoadMode, Mapping};

const MODE: &str = "SIGBUS_TEST_MODE";
const FILE: &str = "SIGBUS_TEST_FILE";

/// Does nothing in a usual run; in a child it maps, truncates and reads.
#[test]
fn child() {
    let (Ok(mode), Ok(file)) = (std::env::var(MODE), std::env::var(FILE)) else { return };
    let path = PathBuf::from(file);
    install_sigbus_handler().unwrap();
    if mode == "wait" {
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let others: Vec<Mapping> =
        (0..3).map(|_| Mapping::open(&path, LoadMode::Mmap).unwrap()).collect();
    let other = path.with_extension("other");
    fs::write(&other, vec![1; 100_000]).unwrap();
    let kept = Mapping::open(&other, LoadMode::Mmap).unwrap();
    drop(others);
    let mapping = Mapping::open(&path, mode.parse().unwrap()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let sum: u64 = mapping.iter().chain(kept.iter()).map(|&byte| u64::from(byte)).sum();
    println!("sum {sum}");
}

fn spawn(mode: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(MODE, mode)
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn truncated_under(mode: LoadMode, name: &str) -> (PathBuf, Output) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, vec![1; 100_000]).unwrap();
    let output = spawn(mode.name(), &path).wait_with_output().unwrap();
    (path, output)
}

#[test]
fn a_truncated_mapping_is_a_named_exit() {
    for mode in [LoadMode::Mmap, LoadMode::Populate] {
        let (path, output) = truncated_under(mode, "base.vcg");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(SIGBUS_EXIT_STATUS), "{said}");
        assert!(said.starts_with(&format!("vicinage: fatal: {} ", path.display())), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_long_path_keeps_its_end() {
    let name = format!("{}.vcg", "x".repeat(240));
    let (path, output) = truncated_under(LoadMode::Mmap, &name);
    let said = String::from_utf8(output.stderr).unwrap();
    let path = path.to_str().unwrap();
    assert!(said.contains(&path[path.len() - 256..]), "{said}");
}

#[test]
fn a_copy_does_not_notice() {
    let (_, output) = truncated_under(LoadMode::Copy, "base.vcg");
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("sum 200000"));
}

#[test]
fn a_foreign_sigbus_takes_the_default_action() {
    let mut child = spawn("wait", Path::new("unused"));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map(Result::unwrap).any(|line| line.ends_with("ready"));
    assert!(ready);
    let sent = Command::new("kill").args(["-BUS", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGBUS));
}
