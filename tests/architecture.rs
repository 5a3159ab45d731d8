//! Data goes one way: who may import whom, and where unsafe code may live.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each top-level module may import. `app` may import all and is not listed.
const ALLOWED: [(&str, &[&str]); 18] = [
    ("data", &[]),
    ("sys", &[]),
    ("files", &[]),
    ("clock", &["data"]),
    ("align", &["data"]),
    ("wire", &["data", "files"]),
    ("flow", &["data", "sys"]),
    ("source", &["data", "sys", "flow"]),
    ("engine", &["data", "sys", "files", "flow"]),
    ("perceive", &["data", "flow", "engine"]),
    ("sink", &["data", "wire"]),
    ("subscribe", &["data", "wire"]),
    ("trip", &["data", "wire", "source", "sink"]),
    ("evaluate", &["data", "trip"]),
    ("pipeline", &["data", "source", "align", "perceive", "sink"]),
    ("process", &["source", "sys"]),
    ("config", &["data", "files", "align", "engine", "perceive", "process", "sink", "source", "trip"]),
    ("lib", &[]),
];

#[test]
fn data_goes_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    let mut faults = Vec::new();
    for (path, tokens) in sources() {
        let room = room(&path);
        if room == "app" || room == "main" {
            continue;
        }
        let Some(allowed) = allowed.get(room.as_str()) else {
            faults.push(format!("{}: module '{room}' has no rule in tests/architecture.rs", path.display()));
            continue;
        };
        for import in imports(tokens, depth(&path)) {
            if import != room && !allowed.contains(&import.as_str()) {
                faults.push(format!("{}: '{room}' must not use '{import}'", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn unsafe_code_lives_in_sys_only() {
    let outside = sources().into_iter().filter(|(path, _)| room(path) != "sys");
    let found: Vec<_> = outside.filter(|(_, tokens)| mentions(tokens, "unsafe")).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "unsafe outside src/sys: {found:?}");
}

#[test]
fn the_scanner_sees_every_way_to_write_an_import() {
    for (written, expected) in [
        ("use crate::trip::Reader;", vec!["trip"]),
        ("use crate::{data::Stamp, sink as s};", vec!["data", "sink"]),
        ("fn f() -> crate::wire::Header { todo() }", vec!["wire"]),
        ("fn f() { println!(\"{}\", crate::align::N) }", vec!["align"]),
        ("use super::super::flow::Field;", vec!["flow"]),
        ("mod tests { use super::super::super::app::x; }", vec!["app"]),
        ("mod tests { use super::*; }", vec![]),
        ("pub(crate) fn f() {}", vec![]),
        ("pub(in crate::engine) fn f() {}", vec!["engine"]),
    ] {
        let found: Vec<_> = imports(written.parse().expect("Rust tokens"), 2).into_iter().collect();
        assert_eq!(found, expected, "{written}");
    }
    assert!(mentions(&"fn f() { m!(unsafe { x() }) }".parse().expect("Rust tokens"), "unsafe"));
}

fn sources() -> Vec<(PathBuf, TokenStream)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries =
        walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|entry| entry.expect("src is readable"));
    let files = entries.map(walkdir::DirEntry::into_path).filter(|path| path.extension().is_some_and(|e| e == "rs"));
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("src is readable");
            let tokens = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.strip_prefix(&root).expect("under src").to_path_buf(), tokens)
        })
        .collect()
}

/// The top-level module that a file belongs to.
fn room(path: &Path) -> String {
    let first = path.components().next().expect("not empty").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// How many modules deep a file's own module is: `data/mod.rs` 1, `engine/cpu/decode.rs` 3.
fn depth(path: &Path) -> usize {
    let parts = path.components().count();
    if path.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs") { parts - 1 } else { parts }
}

/// Top-level modules named through `crate::` or through `super::` chains that reach the crate root.
fn imports(tokens: TokenStream, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let inside = if opens_module(&tokens, at) { depth + 1 } else { depth };
                found.extend(imports(group.stream(), inside));
            }
            TokenTree::Ident(name) if name == "crate" => found.extend(first_names(&tokens[at + 1..])),
            TokenTree::Ident(name) if name == "super" && !follows_super(&tokens, at) => {
                let (levels, rest) = supers(&tokens[at..]);
                if levels == depth {
                    found.extend(first_names(rest));
                }
            }
            _ => (),
        }
    }
    found
}

fn opens_module(tokens: &[TokenTree], at: usize) -> bool {
    let is_mod = |token: &TokenTree| matches!(token, TokenTree::Ident(name) if name == "mod");
    matches!(&tokens[at], TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
        && at >= 2
        && is_mod(&tokens[at - 2])
}

fn follows_super(tokens: &[TokenTree], at: usize) -> bool {
    at >= 3 && matches!(&tokens[at - 3], TokenTree::Ident(name) if name == "super") && is_colons(&tokens[at - 2..at])
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    tokens.len() >= 2
        && tokens[..2].iter().all(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':'))
}

/// Counts `super::super::…` and returns what follows the last `super`.
fn supers(tokens: &[TokenTree]) -> (usize, &[TokenTree]) {
    let mut levels = 1;
    let mut rest = &tokens[1..];
    while is_colons(rest) && matches!(rest.get(2), Some(TokenTree::Ident(name)) if name == "super") {
        levels += 1;
        rest = &rest[3..];
    }
    (levels, rest)
}

/// The first path segments after `::`, of one path or of each path in braces.
fn first_names(tokens: &[TokenTree]) -> Vec<String> {
    if !is_colons(tokens) {
        return Vec::new();
    }
    match tokens.get(2) {
        Some(TokenTree::Ident(name)) => vec![name.to_string()],
        Some(TokenTree::Group(group)) => names_in_braces(group.stream()),
        _ => Vec::new(),
    }
}

fn names_in_braces(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let items = tokens.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','));
    items
        .filter_map(|item| item.first())
        .filter(|first| matches!(first, TokenTree::Ident(_)))
        .map(ToString::to_string)
        .collect()
}

fn mentions(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(&group.stream(), word),
        TokenTree::Ident(name) => name == word,
        _ => false,
    })
}
