//! Usage, help, completions.

use std::path::Path;

use crate::support::run;

const VERBS: [&str; 15] = [
    "plan",
    "build",
    "inspect",
    "tune",
    "verify",
    "convert",
    "truth",
    "query",
    "eval",
    "skew",
    "compare",
    "plot",
    "demo",
    "datasets",
    "completions",
];

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_verb_has_an_example() {
    for verb in VERBS {
        let help = run(here(), &format!("{verb} --help")).ok().out;
        let (_, examples) = help.split_once("Example").expect(verb);
        assert!(examples.contains(&format!("index-tools {verb}")), "{help}");
        // clap does not break the line of the usage.
        let mut lines = help.lines().filter(|line| !line.starts_with("Usage:"));
        assert!(lines.all(|line| line.chars().count() <= 100), "{help}");
    }
}

#[test]
fn help_lists_every_verb_and_every_exit_code() {
    let help = run(here(), "--help").ok().out;
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} in {help}");
    }
    for code in ["1 internal", "2 usage", "65", "69", "74", "76", "130"] {
        assert!(help.contains(code), "{code} in {help}");
    }
}

#[test]
fn wrong_arguments_are_a_usage_error() {
    for words in [
        "",
        "bild",
        "build",
        "build --input items.npy --metric dot --out index",
        "build --input items.npy# --metric ip --out index",
        "build --input items.npy --metric ip --out index --memory-limit lots",
        "build --input items.npy --metric ip --out index --element f8",
        "build --input items.npy --metric ip --out index --no-attributes --attributes a",
        "query index --vector 1 --item 2",
        "query index --row 2",
        "eval index --queries q.npy --truth t.npy --relevance r.parquet",
        "completions cmd",
        "demo --bind localhost",
    ] {
        run(here(), words).fails(2, &["--help"]);
    }
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        run(here(), &format!("completions {shell}")).ok().says(&["inspect", "demo"]);
    }
}
