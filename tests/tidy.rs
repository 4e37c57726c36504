//! The rules of the source tree, held against the code: who may import whom, where `unsafe` and
//! `async` may stand, how long a file may be, and that every crate has the workspace's lints.
//!
//! The rules are the constants below, once. `tidy/scan.rs` reads Rust sources as tokens, so that text
//! in strings and comments is never taken for code; `tidy/imports.rs` finds what a file imports.
//! Each rule is also run against small sources that break it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/scan.rs"]
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use imports::import_violations;
use scan::{Words, length_violations, lint_violations, word_violations};

/// The floors of the library, lowest first. A file imports only from lower floors and from its own
/// folder; within a folder, files do not import each other in a circle.
pub(crate) const FLOORS: &[&[&str]] = &[
    &["types", "error", "progress"],
    &["kernels", "format"],
    &["vectors", "quantizers", "scan", "graph", "filters"],
    &["search", "eval"],
    &["segments"],
    &["index", "builder"],
    &["server"],
    // The roots of the crates: lib.rs only declares, main.rs only starts.
    &["lib", "main"],
];

/// The imports within one floor that are meant, each with its reason.
pub(crate) const SAME_FLOOR: &[(&str, &str, &str)] =
    &[("scan", "vectors", "what the scan reads in blocks are rows")];

/// Folders whose `mod.rs` both runs its files and holds the types that they share. Elsewhere a
/// folder's front only re-exports, or its files do not look back.
pub(crate) const FRONTS: &[(&str, &str)] = &[
    ("builder", "mod.rs runs the stages; parameters, errors and the source are its types"),
    ("kernels", "mod.rs dispatches to the instruction sets, which implement its traits"),
    ("search", "mod.rs runs the plans, which read its target"),
];

/// What may stand only in some files of `src/`.
const WORDS: &[Words] = &[
    Words {
        words: &["unsafe", "unsafe_code"],
        allowed: &[
            "src/kernels/avx2.rs",
            "src/kernels/avx512.rs",
            "src/kernels/neon.rs",
            "src/format/mapping.rs",
            // A counting allocator cannot be had without.
            "tests/common/allocator.rs",
        ],
        advice: "write it without unsafe, or put it behind a safe function of one of those files",
    },
    Words {
        words: &["tokio", "axum", "hyper", "tonic", "tower_http", "async", "await"],
        allowed: &["src/server/", "tests/", "benches/"],
        advice: "the library is synchronous: let the server call it, or a program call the server's \
                 one blocking entry",
    },
];

/// A longer file is two files.
const LINES_MAX: usize = 700;

/// Folders with Rust sources, of every crate of the workspace.
const SOURCES: &[&str] = &["src", "tests", "benches", "examples", "fuzz"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The members of the workspace, as folders below the root.
fn members() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    let list = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect()
}

/// Every Rust source of the workspace: its path from the root with `/`, and its text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for member in members() {
        for folder in SOURCES {
            collect(&root().join(&member).join(folder), &mut files);
        }
    }
    files.sort();
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name.trim_start_matches("./").to_owned(), fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(named).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn files_import_only_from_lower_floors() {
    let files: Vec<(String, String)> = sources()
        .into_iter()
        .filter_map(|(name, text)| Some((name.strip_prefix("src/")?.to_owned(), text)))
        .collect();
    assert!(files.len() > 30, "only {} files below src/", files.len());
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_none(&import_violations(&files));
}

#[test]
fn words_stand_only_where_they_may() {
    let violations = sources()
        .iter()
        .flat_map(|(name, text)| word_violations(name, text, WORDS))
        .collect::<Vec<_>>();
    assert_none(&violations);
}

#[test]
fn no_file_is_too_long() {
    let violations = sources()
        .iter()
        .filter_map(|(name, text)| length_violations(name, text, LINES_MAX))
        .collect::<Vec<_>>();
    assert_none(&violations);
}

#[test]
fn every_crate_has_the_workspace_s_lints() {
    let members = members();
    assert!(members.len() >= 3, "{members:?}");
    let violations = members
        .iter()
        .filter_map(|member| {
            let name = format!("{member}/Cargo.toml");
            lint_violations(&name, &fs::read_to_string(root().join(&name)).unwrap())
        })
        .collect::<Vec<_>>();
    assert_none(&violations);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(
        manifest.contains("[workspace.lints.rust]\nunsafe_code = \"deny\"\n"),
        "Cargo.toml must say unsafe_code = \"deny\" first in [workspace.lints.rust]"
    );
}

/// Every rule finds what breaks it, and nothing else.
#[test]
fn broken_rules_are_told() {
    let told = |name: &str, text: &str| word_violations(name, text, WORDS).join("\n");
    for (name, text, expected) in [
        ("src/graph/beam.rs", "fn f() {\n    unsafe { g() }\n}", "src/graph/beam.rs:2: `unsafe`"),
        ("src/kernels/mod.rs", "#![allow(unsafe_code)]", ":1: `unsafe_code`"),
        ("index-tools/src/main.rs", "unsafe extern \"C\" {}", ":1: `unsafe`"),
        ("datasets/src/lib.rs", "use tokio::fs;", ":1: `tokio`"),
        ("src/main.rs", "#[tokio::main]\nasync fn main() {}", ":1: `tokio`"),
        ("src/index.rs", "async fn search() {}", ":1: `async`"),
        ("src/index.rs", "m! { axum::serve }", ":1: `axum`"),
        ("tests/search.rs", "fn f() { todo!() }", ":1: `todo!`"),
        ("src/scan.rs", "fn f() { dbg!(1); }", ":1: `dbg!`"),
        ("src/scan.rs", "fn f() { unimplemented!() }", ":1: `unimplemented!`"),
        ("tests/search.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", ":2: `ignore`"),
        ("tests/search.rs", "#[cfg_attr(debug_assertions, ignore)]\nfn f() {}", ":1: `ignore`"),
        ("src/scan.rs", "fn f( {", "is not Rust"),
    ] {
        let said = told(name, text);
        assert!(said.contains(expected), "{name}: {text}\nsaid: {said}");
    }
    for (name, text) in [
        ("src/format/mapping.rs", "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }"),
        ("src/server/mod.rs", "use tokio::net; async fn f() { g().await }"),
        ("src/main.rs", "fn main() { vicinage::server::run() }"),
        ("src/index.rs", "//! unsafe, tokio\n/// `todo!()`\nconst A: &str = \"dbg!(unsafe)\";"),
        ("src/index.rs", "fn f(todo: u8) -> bool { !(todo == 1) }"),
    ] {
        assert_eq!(told(name, text), "", "{name}: {text}");
    }

    let long = "//\n".repeat(LINES_MAX + 1);
    assert!(length_violations("a.rs", &long, LINES_MAX).unwrap().contains("701 lines"));
    assert_eq!(length_violations("a.rs", &long[3..], LINES_MAX), None);
    assert!(lint_violations("a", "[lints.rust]\nunsafe_code = \"allow\"\n").is_some());
    assert!(lint_violations("a", "[package]\nname = \"a\"\n").is_some());
    assert_eq!(lint_violations("a", "[package]\n[lints]\nworkspace = true\n"), None);
}
