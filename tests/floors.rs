//! The order of the core's folders: a file uses only its own folder and those below it,
//! and no files use each other in a circle.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails where the product must not"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From bottom to top: the folders of `src/` and the files beside them, as
/// ARCHITECTURE.md shows them. Members of one entry may not use each other.
const FLOORS: [&[&str]; 7] = [
    &["error", "time"],
    &["key"],
    &["policy"],
    &["record"],
    &["decision", "lifecycle"],
    &["keyring"],
    &["lib"],
];

fn floor_of(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&folder))
}

/// `error` and `time` are in one entry, but `time` returns errors.
fn may_use(folder: &str, used: &str) -> bool {
    let (own, other) = (floor_of(folder), floor_of(used));
    folder == used
        || (folder, used) == ("time", "error")
        || matches!((own, other), (Some(own), Some(other)) if other < own)
}

/// The source without its comments.
fn code(source: &str) -> String {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.split(" // ").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The paths that a source names after `crate::`: `use crate::{a::{b, c}, d}` is a::b, a::c, d.
fn uses(source: &str) -> Vec<Vec<String>> {
    let code = code(source);
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        read_paths(after, &[], &mut found);
    }
    found
}

/// Reads one path, or a list of them in braces, and returns what follows it.
fn read_paths<'s>(text: &'s str, before: &[String], found: &mut Vec<Vec<String>>) -> &'s str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read_paths(rest, before, found).trim_start();
            match rest.strip_prefix(',') {
                Some(after) if !after.trim_start().starts_with('}') => rest = after,
                Some(after) => return after.trim_start().trim_start_matches('}'),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    let mut path = before.to_vec();
    path.extend((!name.is_empty()).then(|| name.to_string()));
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() => read_paths(rest, &path, found),
        _ => {
            found.push(path);
            rest
        }
    }
}

/// What a file in this folder does that the order does not allow.
fn breaches(folder: &str, source: &str) -> Vec<String> {
    if floor_of(folder).is_none() {
        return vec![format!("{folder} has no floor")];
    }
    uses(source)
        .into_iter()
        // A name that is not a folder is one that `lib` re-exports.
        .map(|path| path.first().cloned().unwrap_or_default())
        .filter(|used| !may_use(folder, used))
        .map(|used| format!("{folder} uses {used}"))
        .collect()
}

/// Each source file: its module path from the root, and its text.
fn sources() -> BTreeMap<Vec<String>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let module = module
                .iter()
                .map(|part| part.to_str().unwrap().to_string())
                .collect();
            found.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// Which files each file uses. A folder's own file declares the others, and uses none.
fn arrows(sources: &BTreeMap<Vec<String>, String>) -> BTreeMap<String, BTreeSet<String>> {
    let file_of = |path: &[String]| {
        (1..=path.len())
            .rev()
            .map(|parts| &path[..parts])
            .find(|module| sources.contains_key(*module))
            .map(|module| module.join("/"))
    };
    let mut arrows = BTreeMap::new();
    for (module, source) in sources {
        let own = module.join("/");
        let used: BTreeSet<String> = uses(source)
            .iter()
            .filter_map(|path| file_of(path))
            .filter(|used| *used != own)
            .collect();
        arrows.insert(own, used);
    }
    arrows
}

/// Files that can be reached from themselves.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let reaches_itself = |start: &String| {
        let mut open: Vec<&String> = arrows[start].iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(file) = open.pop() {
            if file == start {
                return true;
            }
            if seen.insert(file) {
                open.extend(arrows.get(file).into_iter().flatten());
            }
        }
        false
    };
    let found = arrows.keys().filter(|file| reaches_itself(file));
    found.cloned().collect()
}

#[test]
fn every_file_uses_lower_floors_only() {
    let sources = sources();
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(module, source)| breaches(&module[0], source))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    let used: usize = sources.values().map(|source| uses(source).len()).sum();
    assert!(used > 100, "{used} uses were read");
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = circles(&arrows(&sources()));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_floor_is_a_file_or_a_folder() {
    let sources = sources();
    for folder in FLOORS.concat() {
        assert!(
            sources.keys().any(|module| module[0] == folder),
            "{folder} is not there"
        );
    }
}

#[test]
fn the_architecture_shows_this_order() {
    let text = include_str!("../ARCHITECTURE.md");
    let shown: Vec<String> = FLOORS
        .iter()
        .map(|floor| match floor {
            ["error", "time"] => "error time".to_string(),
            [one] => (*one).to_string(),
            several => format!("{{{}}}", several.join(", ")),
        })
        .collect();
    let shown = shown.join(" < ");
    assert!(text.contains(&shown), "{shown}");
}

#[test]
fn a_use_of_a_higher_floor_is_found_in_any_spelling() {
    let upward = [
        ("error", "use crate::time::Millis;"),
        ("policy", "use crate::record::key_record::KeyRecord;"),
        (
            "key",
            "use crate::{\n    error::{Error, ErrorKind},\n    decision::verify::Verifier,\n};",
        ),
        (
            "key",
            "fn f() -> bool { crate::policy::endpoint::allows() }",
        ),
        ("decision", "use crate::lifecycle::issue::issue;"),
        ("record", "use crate::Verifier;"),
        ("keyring", "use super::x;\nuse crate::lib;"),
        ("attic", "use crate::error::Error;"),
    ];
    for (folder, source) in upward {
        assert_eq!(breaches(folder, source).len(), 1, "{folder}: {source}");
    }
    let legal = [
        (
            "policy",
            "use crate::error::{Error, ErrorKind};\nuse crate::time::Millis;",
        ),
        (
            "record",
            "use crate::{key::digest::Digest, policy::rate_limit::RateLimit};",
        ),
        (
            "key",
            "/// See [`rehash`](crate::rehash).\npub(crate) fn f() {}",
        ),
        (
            "keyring",
            "use crate::keyring::ring::Ring;\nuse crate::decision::verify::Verifier;",
        ),
    ];
    for (folder, source) in legal {
        assert_eq!(breaches(folder, source), [""; 0], "{folder}: {source}");
    }
    let paths: Vec<String> = uses("use crate::{a::{b, c::{d}}, e, f::g,};\nlet x = crate::h::i;")
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(paths, ["a::b", "a::c::d", "e", "f::g", "h::i"]);
}

#[test]
fn a_circle_is_found() {
    let source = |module: &str, text: &str| {
        let module = module.split('/').map(str::to_string).collect::<Vec<_>>();
        (module, text.to_string())
    };
    let sources = BTreeMap::from([
        source("key/a", "use crate::key::b::B;"),
        source("key/b", "use crate::key::c::{C, D};"),
        source("key/c", "use crate::{error::Error, key::{a::A}};"),
        source("key/d", "use crate::key::a::A;"),
        source("error", ""),
    ]);
    assert_eq!(circles(&arrows(&sources)), ["key/a", "key/b", "key/c"]);
}
