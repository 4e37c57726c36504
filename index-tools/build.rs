//! Tells the program which commit it was built from, for the results that it measures.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    // The state of the tree that is compiled: commits, and changes that are in none.
    for path in ["src", "../src", "../datasets/src", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head}");
    }
    let Some(mut commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    let changed = ["status", "--porcelain", "--untracked-files=no", "--", "../src", "src"];
    if git(&changed).is_some_and(|changed| !changed.is_empty()) {
        commit += "+changed";
    }
    println!("cargo:rustc-env=VICINAGE_COMMIT={commit}");
}
