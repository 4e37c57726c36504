//! Which file imports which, from the paths in their tokens.
//!
//! A path that starts with `crate`, `super`, `self`, the crate's name or a module declared beside
//! it is followed to the file that defines what it names, through `pub use` of a folder's own
//! files. A re-export like that is not an import.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{FLOORS, FRONTS, SAME_FLOOR};

/// Path of a module, or of something in one, from the crate's root.
type ModulePath = Vec<String>;

/// One source, and what it says.
struct Source {
    name: String,
    module: ModulePath,
    uses: Vec<(ModulePath, usize)>,
    /// Names that it hands on from its own files: `pub use header::Header`.
    reexports: Vec<ModulePath>,
    /// Macros that it exports, which are found at the crate's root.
    macros: Vec<String>,
}

/// What is wrong with the imports among `files`: paths below `src/`, and texts.
pub(crate) fn import_violations(files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut sources = BTreeMap::new();
    for (name, text) in files {
        match text.parse::<TokenStream>() {
            Ok(tokens) => {
                let source = Source::read(name, tokens);
                sources.insert(source.module.clone(), source);
            }
            Err(error) => found.push(format!("{name} is not Rust: {error}")),
        }
    }
    let mut edges = Edges::new();
    let mut meant = BTreeSet::new();
    for source in sources.values() {
        let Some(floor) = floor_of(unit(source)) else {
            found.push(format!(
                "src/{} is on no floor: add \"{}\" to FLOORS in tests/tidy.rs, as high as \
                 what it needs and as low as who needs it",
                source.name,
                unit(source)
            ));
            continue;
        };
        for (path, line) in &source.uses {
            let Some(target) = resolve(&sources, path, 0) else {
                let (name, path) = (&source.name, path.join("::"));
                found.push(format!("src/{name}:{line}: no file of src/ defines {path}"));
                continue;
            };
            if unit(source) == unit(target) {
                edges.entry(&source.name).or_default().insert(&target.name);
                continue;
            }
            let pair = (unit(source).to_owned(), unit(target).to_owned());
            if SAME_FLOOR.iter().any(|(from, to, _)| *from == pair.0 && *to == pair.1) {
                meant.insert(pair);
            } else if floor_of(unit(target)).is_some_and(|below| below >= floor) {
                found.push(format!(
                    "src/{}:{line}: imports {} from src/{}, which is not on a lower floor: move \
                     what both need further down, or turn the import round",
                    source.name,
                    path.join("::"),
                    target.name
                ));
            }
        }
    }
    let units: BTreeSet<&str> = sources.values().map(unit).collect();
    for (from, to, _) in SAME_FLOOR {
        let known = units.contains(from) && units.contains(to);
        if known && !meant.contains(&((*from).to_owned(), (*to).to_owned())) {
            found.push(format!("{from} imports {to} no more: take the pair out of SAME_FLOOR"));
        }
    }
    found.extend(circles(&sources, &edges));
    found
}

/// Who imports whom, within folders.
type Edges<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The circles among files of one folder.
fn circles(sources: &BTreeMap<ModulePath, Source>, edges: &Edges<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // Where a front is meant to run its files, those may look back at it.
    let mut strict = edges.clone();
    for (folder, _) in FRONTS {
        let front = format!("{folder}/mod.rs");
        strict.values_mut().for_each(|targets| targets.retain(|target| *target != front));
        let exists = sources.values().any(|source| source.name == front);
        let mut targets = edges.get(front.as_str()).into_iter().flatten();
        if exists && !targets.any(|to| *to != front && way(edges, to, &front).is_some()) {
            found.push(format!("{front} is in no circle any more: take it out of FRONTS"));
        }
    }
    for (from, targets) in &strict {
        for to in targets.iter().filter(|to| *to != from) {
            // Each circle once: from its first file.
            let circle = way(&strict, to, from).filter(|way| way.iter().all(|name| from <= name));
            if let Some(way) = circle {
                found.push(format!(
                    "src/{from} -> src/{} import each other in a circle: move what they share \
                     into a file of its own",
                    way.join(" -> src/")
                ));
            }
        }
    }
    found
}

/// A way along imports from one file to another, both included.
fn way<'a>(edges: &Edges<'a>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        if last == to {
            return Some(way);
        }
        for next in edges.get(last).into_iter().flatten() {
            if seen.insert(next) {
                ways.push(way.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}

/// The file or folder directly below `src/` that a source belongs to.
fn unit(source: &Source) -> &str {
    match source.module.first() {
        Some(first) => first,
        None => "lib",
    }
}

fn floor_of(unit: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&unit))
}

/// The source that defines what `path` names.
fn resolve<'a>(
    sources: &'a BTreeMap<ModulePath, Source>,
    path: &[String],
    depth: usize,
) -> Option<&'a Source> {
    let exports = |source: &&Source| path.len() == 1 && source.macros.contains(&path[0]);
    if let Some(source) = sources.values().find(exports) {
        return Some(source);
    }
    let length = (0..=path.len()).rev().find(|length| sources.contains_key(&path[..*length]))?;
    let source = &sources[&path[..length]];
    let Some(name) = path.get(length) else { return Some(source) };
    if let Some(inner) = source.reexports.iter().find(|inner| inner.last() == Some(name))
        && depth < 8
    {
        return resolve(sources, inner, depth + 1);
    }
    // The root defines nothing of its own.
    (length > 0).then_some(source)
}

impl Source {
    fn read(name: &str, tokens: TokenStream) -> Source {
        let module: ModulePath = match name.trim_end_matches(".rs") {
            "lib" => Vec::new(),
            path => path.trim_end_matches("/mod").split('/').map(str::to_owned).collect(),
        };
        let (uses, reexports, macros) = (Vec::new(), Vec::new(), Vec::new());
        let mut source = Source { name: name.to_owned(), module, uses, reexports, macros };
        let at = source.module.clone();
        source.walk(tokens, &at);
        source
    }

    /// Reads the tokens of a module, or of a group in one.
    fn walk(&mut self, stream: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let children = children(&tokens);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..tokens.len()).find(|end| is(&tokens[*end], ';'));
                    let end = end.unwrap_or(tokens.len());
                    let public = at > 0 && is_public(&tokens[..at]);
                    self.take_use(&tokens[at + 1..end], module, &children, public);
                    at = end;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(name), Some(TokenTree::Group(body))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        let inner: ModulePath =
                            module.iter().cloned().chain([name.to_string()]).collect();
                        self.walk(body.stream(), &inner);
                        at += 2;
                    }
                }
                TokenTree::Ident(word) if word == "macro_rules" => {
                    let exported = at > 0 && tokens[at - 1].to_string().contains("macro_export");
                    if let (true, Some(name)) = (exported, tokens.get(at + 2)) {
                        self.macros.push(name.to_string());
                    }
                }
                TokenTree::Ident(word) => {
                    let follows = at > 0 && is(&tokens[at - 1], ':');
                    let leads = tokens.get(at + 1).is_some_and(|next| is(next, ':'))
                        && tokens.get(at + 2).is_some_and(|next| is(next, ':'));
                    let line = word.span().start().line;
                    if leads && !follows {
                        let mut path = vec![word.to_string()];
                        let mut next = at + 3;
                        while let Some(TokenTree::Ident(word)) = tokens.get(next) {
                            path.push(word.to_string());
                            next += 3;
                            if !tokens.get(next - 1).is_some_and(|mark| is(mark, ':')) {
                                break;
                            }
                        }
                        self.uses
                            .extend(absolute(&path, module, &children).map(|path| (path, line)));
                    }
                }
                TokenTree::Group(group) => self.walk_group(group.stream(), module, &children),
                _ => {}
            }
            at += 1;
        }
    }

    /// A group sees the modules that are declared around it.
    fn walk_group(&mut self, stream: TokenStream, module: &[String], children: &[String]) {
        let declared: TokenStream = children
            .iter()
            .flat_map(|name| format!("mod {name};").parse::<TokenStream>())
            .collect();
        self.walk(declared.into_iter().chain(stream).collect(), module);
    }

    fn take_use(
        &mut self,
        tree: &[TokenTree],
        module: &[String],
        children: &[String],
        public: bool,
    ) {
        let line = tree.first().map_or(0, |token| token.span().start().line);
        let mut paths = Vec::new();
        flatten(tree, &[], &mut paths);
        for path in paths.iter().filter_map(|path| absolute(path, module, children)) {
            let own = path.len() > self.module.len() && path.starts_with(&self.module);
            if public && own {
                self.reexports.push(path);
            } else {
                self.uses.push((path, line));
            }
        }
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether what comes next after these tokens is `pub`, or `pub(…)`.
fn is_public(before: &[TokenTree]) -> bool {
    let word = match before {
        [.., word, TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => word,
        [.., word] => word,
        [] => return false,
    };
    matches!(word, TokenTree::Ident(word) if word == "pub")
}

/// The modules declared with `mod name;` or `mod name { … }`.
fn children(tokens: &[TokenTree]) -> Vec<String> {
    let declared = |pair: &[TokenTree]| match pair {
        [TokenTree::Ident(word), TokenTree::Ident(name)] if word == "mod" => Some(name.to_string()),
        _ => None,
    };
    tokens.windows(2).filter_map(declared).collect()
}

/// The paths of a use tree.
fn flatten(tree: &[TokenTree], prefix: &[String], paths: &mut Vec<ModulePath>) {
    let mut path = prefix.to_vec();
    for (at, token) in tree.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "as" => break,
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in tokens.split(|token| is(token, ',')).filter(|part| !part.is_empty()) {
                    flatten(part, &path, paths);
                }
                return;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => debug_assert!(at < tree.len()),
        }
    }
    paths.push(path);
}

/// A path from the crate's root; `None` for one that leads out of the crate.
fn absolute(path: &[String], module: &[String], children: &[String]) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" | "vicinage" => Vec::new(),
        "self" => module.to_vec(),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let up = module.len().checked_sub(ups)?;
            return Some(module[..up].iter().chain(&path[ups..]).cloned().collect());
        }
        child if children.iter().any(|name| name == child) => {
            module.iter().chain([first]).cloned().collect()
        }
        _ => return None,
    };
    base.extend(rest.iter().cloned());
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::import_violations;

    fn told(files: &[(&str, &str)]) -> String {
        import_violations(files).join("\n")
    }

    #[test]
    fn imports_from_above_are_told() {
        for (name, text) in [
            ("types.rs", "use crate::index::Index;"),
            ("kernels/mod.rs", "\nfn f() { crate::index::open() }"),
            ("graph/beam.rs", "use crate::{error::Corruption, index::{self, Hit}};"),
            ("graph/beam.rs", "mod inner { fn f() { super::super::super::index::g() } }"),
            ("graph/beam.rs", "with! { x => crate::index::Index }"),
            ("graph/beam.rs", "pub use crate::index::Index as Mine;"),
            ("builder/mod.rs", "use crate::index;"),
        ] {
            let said =
                told(&[("index.rs", ""), ("error.rs", ""), ("graph/mod.rs", ""), (name, text)]);
            assert!(said.contains("from src/index.rs, which is not on a lower floor"), "{said}");
        }
        let said = told(&[("format/mod.rs", ""), ("kernels/a.rs", "\nuse crate::format::x;")]);
        assert!(said.starts_with("src/kernels/a.rs:2: imports format::x from src/format/mod.rs"));
        let said = told(&[("scan.rs", ""), ("vectors.rs", "use crate::scan::x;")]);
        assert!(said.contains("src/vectors.rs:1: imports scan::x"), "{said}");
    }

    #[test]
    fn what_a_path_names_is_followed() {
        let kernels = ("kernels/a.rs", "#[macro_export]\nmacro_rules! with { () => {} }");
        assert_eq!(told(&[kernels, ("vectors.rs", "use crate::with;")]), "");
        let said = told(&[kernels, ("types.rs", "use crate::with;")]);
        assert!(said.contains("from src/kernels/a.rs"), "{said}");

        let said = told(&[("lib.rs", "pub mod types;"), ("types.rs", "use crate::gone;")]);
        assert!(said.contains("no file of src/ defines gone"), "{said}");
        let said = told(&[("stray/mod.rs", "")]);
        assert!(said.contains("src/stray/mod.rs is on no floor"), "{said}");
        assert!(told(&[("types.rs", "fn (")]).contains("is not Rust"));
    }

    #[test]
    fn imports_that_may_be_are_not_told() {
        for files in [
            &[("types.rs", ""), ("graph/a.rs", "use crate::types::NodeId;")][..],
            &[("graph/b.rs", ""), ("graph/a.rs", "use crate::graph::b; use super::b::c;")],
            &[("vectors.rs", ""), ("scan.rs", "use crate::vectors::Rows;")],
            &[("types.rs", "mod tests { use super::*; use super::super::types::x; }")],
            &[("types.rs", "// crate::index\nconst A: &str = \"crate::index\";")],
            &[("index.rs", ""), ("lib.rs", "pub use crate::index::Index; pub mod index;")],
            &[("index.rs", ""), ("main.rs", "fn main() { vicinage::index::f() }")],
            &[("types.rs", "use std::fmt; use other::index; fn f() { a::b::c() }")],
        ] {
            assert_eq!(told(files), "", "{files:?}");
        }
    }

    #[test]
    fn circles_are_told() {
        let said = told(&[
            ("graph/a.rs", "use super::b::x;"),
            ("graph/b.rs", "fn f() { crate::graph::c::y() }"),
            ("graph/c.rs", "use crate::graph::a;"),
        ]);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.starts_with(
                "src/graph/a.rs -> src/graph/b.rs -> src/graph/c.rs -> src/graph/a.rs"
            )
        );

        // A front that runs its file, which looks back.
        let front = "mod a; pub struct X; fn f() { a::f() }";
        let said = told(&[("graph/mod.rs", front), ("graph/a.rs", "use super::X;")]);
        assert!(said.contains("src/graph/a.rs -> src/graph/mod.rs"), "{said}");
        // One that is meant to; and one that only hands on.
        assert_eq!(told(&[("search/mod.rs", front), ("search/a.rs", "use super::X;")]), "");
        let front = "mod a; mod b; pub use a::{A, Other}; pub(crate) use self::b::B;";
        let a = ("graph/a.rs", "use crate::graph::B;");
        assert_eq!(told(&[("graph/mod.rs", front), a, ("graph/b.rs", "")]), "");
        // What it hands on leads to the file behind it.
        let b = ("graph/b.rs", "use super::A;");
        assert!(told(&[("graph/mod.rs", front), a, b]).contains("in a circle"));

        let front = ("search/mod.rs", "mod a;");
        let said = told(&[front, ("search/a.rs", "")]);
        assert!(said.contains("take it out of FRONTS"), "{said}");
        let said = told(&[("vectors.rs", ""), ("scan.rs", "")]);
        assert!(said.contains("take the pair out of SAME_FLOOR"), "{said}");
    }
}
