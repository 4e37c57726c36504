//! The catalog is consistent, and its reader strict.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use vicinage_datasets::catalog::{Catalog, Role};

#[test]
fn every_set_can_be_fetched_and_compared() {
    let catalog = Catalog::built_in();
    let mut names = HashSet::new();
    for set in &catalog.sets {
        let name = &set.name;
        assert!(names.insert(name.to_lowercase()), "{name} twice");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(name.chars().all(plain), "{name} is not a name for a folder");
        assert!(set.n > 0 && !set.source.is_empty() && !set.licence.is_empty(), "{name}");
        let metric = set.metric.as_deref();
        assert!([None, Some("l2"), Some("ip"), Some("cosine")].contains(&metric), "{name}");
        let element = set.element.as_deref();
        assert!([None, Some("f32"), Some("f16"), Some("u8"), Some("i8")].contains(&element));
        let vectors = set.dim.is_some();
        assert_eq!((metric.is_some(), element.is_some()), (vectors, vectors), "{name}");
        assert_eq!(set.files.is_empty(), name == "onet-jobs", "{name}");
        let mut files = HashSet::new();
        for file in &set.files {
            assert!(file.url.starts_with("http://") || file.url.starts_with("https://"), "{name}");
            let stored = file.file_name();
            assert!(files.insert(stored), "{name}: {stored} twice");
            assert!(!stored.is_empty() && !stored.starts_with('.'), "{name}: {stored:?}");
            assert!(stored.chars().all(|c| plain(c) || "._".contains(c)), "{name}: {stored}");
            let hex = |sum: &String| sum.len() == 64 && sum.bytes().all(|c| c.is_ascii_hexdigit());
            assert!(file.sha256.as_ref().is_none_or(hex), "{name}: {stored}");
        }
    }
}

#[test]
fn lengths_of_bin_files_follow_from_their_shape() {
    for set in &Catalog::built_in().sets {
        for file in set.files.iter().filter(|file| file.url.ends_with("bin")) {
            let rows = match file.role {
                Role::Base => set.n,
                Role::Test => set.queries.unwrap(),
                _ => continue,
            };
            let component = if set.element.as_deref() == Some("u8") { 1 } else { 4 };
            let expected = 8 + rows * u64::from(set.dim.unwrap()) * component;
            assert_eq!(file.bytes, Some(expected), "{}: {}", set.name, file.url);
        }
    }
}

#[test]
fn the_bundled_set_is_what_the_catalog_says() {
    let set = Catalog::built_in().find("onet-jobs").unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/onet-jobs");
    let shape = |name: &str| {
        let path = std::path::Path::new(folder).join(name);
        vicinage_datasets::open(&path.into(), &Default::default()).unwrap().shape()
    };
    let (items, test) = (shape("items.f16.npy"), shape("test.f16.npy"));
    assert_eq!((items.rows, Some(items.dim), Some(test.rows)), (set.n, set.dim, set.queries));
    assert_eq!(set.element, Some(items.element.to_string()));
}

#[test]
fn a_wrong_catalog_is_refused_with_its_place() {
    let set = "[[set]]\nname = \"a\"\nabout = \"b\"\nsource = \"c\"\nlicence = \"d\"\nn = 1\n";
    assert_eq!(Catalog::parse(set).unwrap().sets.len(), 1);
    for (more, word) in [
        ("license = \"MIT\"\n", "license"),
        ("dim = -1\n", "dim"),
        ("[[set.file]]\nurl = \"u\"\nrole = \"cake\"\n", "cake"),
        ("[[set.file]]\nrole = \"all\"\n", "url"),
    ] {
        let error = Catalog::parse(&format!("{set}{more}")).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("line"), "{error}");
    }
}
