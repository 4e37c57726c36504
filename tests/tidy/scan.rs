//! Rules about single words, lengths and manifests.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Words that may stand only in some files, or below some folders (which end with `/`).
pub(crate) struct Words {
    pub(crate) words: &'static [&'static str],
    pub(crate) allowed: &'static [&'static str],
    /// What to do instead.
    pub(crate) advice: &'static str,
}

const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// What is wrong with the words of one file.
pub(crate) fn word_violations(name: &str, text: &str, rules: &[Words]) -> Vec<String> {
    let tokens = match text.parse::<TokenStream>() {
        Ok(tokens) => tokens,
        Err(error) => return vec![format!("{name} is not Rust: {error}")],
    };
    let allowed = |place: &&str| {
        if place.ends_with('/') { name.starts_with(*place) } else { name == *place }
    };
    let mut found = Vec::new();
    each_sequence(tokens, &mut |tokens| {
        for (at, token) in tokens.iter().enumerate() {
            let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == mark);
            match token {
                TokenTree::Ident(word) => {
                    let (text, line) = (word.to_string(), word.span().start().line);
                    if MACROS.contains(&text.as_str()) && is(at + 1, '!') && !is(at + 2, '=') {
                        found.push(format!("{name}:{line}: `{text}!`: finish it, or take it out"));
                    }
                    for rule in rules.iter().filter(|rule| rule.words.contains(&text.as_str())) {
                        if !rule.allowed.iter().any(allowed) {
                            let (places, advice) = (rule.allowed.join(", "), rule.advice);
                            found.push(format!(
                                "{name}:{line}: `{text}` may stand only in {places}: {advice}"
                            ));
                        }
                    }
                }
                TokenTree::Group(group)
                    if group.delimiter() == Delimiter::Bracket
                        && (at > 0 && is(at - 1, '#'))
                        && ignores(group.stream()) =>
                {
                    let line = group.span().start().line;
                    found.push(format!(
                        "{name}:{line}: `ignore`: a test that does not run proves nothing; make \
                         it fast, or take it out"
                    ));
                }
                _ => {}
            }
        }
    });
    found
}

/// Whether an attribute is `ignore`, or one that may become it.
fn ignores(attribute: TokenStream) -> bool {
    let named = |token: &TokenTree, name: &str| matches!(token, TokenTree::Ident(i) if i == name);
    let tokens: Vec<TokenTree> = attribute.into_iter().collect();
    match tokens.as_slice() {
        [first, ..] if named(first, "ignore") => true,
        [first, TokenTree::Group(group)] if named(first, "cfg_attr") => {
            group.stream().into_iter().any(|token| named(&token, "ignore"))
        }
        _ => false,
    }
}

/// Calls `look` with the tokens of the stream and of every group in it.
fn each_sequence(stream: TokenStream, look: &mut dyn FnMut(&[TokenTree])) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    look(&tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_sequence(group.stream(), look);
        }
    }
}

/// Says so if a file is too long.
pub(crate) fn length_violations(name: &str, text: &str, most: usize) -> Option<String> {
    let lines = text.lines().count();
    (lines > most)
        .then(|| format!("{name} has {lines} lines, more than {most}: split it by what it does"))
}

/// Says so if a manifest does not take the workspace's lints.
pub(crate) fn lint_violations(name: &str, manifest: &str) -> Option<String> {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let inherits = lines.next() == Some("workspace = true");
    (!inherits).then(|| format!("{name}: add\n[lints]\nworkspace = true"))
}
