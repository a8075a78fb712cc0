//! The floors of the house: a file of the core uses only lower floors than its own.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails where the product must not"
)]

use std::fs;
use std::path::Path;

/// From the ground up. ARCHITECTURE.md shows this table; a new file gets its place in both.
const FLOORS: [&[&str]; 10] = [
    &["error", "sha256"],
    &[
        "time",
        "base62",
        "label",
        "path",
        "digest",
        "permission",
        "network",
        "api_key",
    ],
    &["checksum", "key_id", "limit", "endpoint", "requirement"],
    &["record", "template", "event", "decision"],
    &["format", "usage", "response"],
    &["issue", "lifecycle", "verify", "credential", "inspect"],
    &["rotate", "delegate"],
    &["plan", "record_serde"],
    &["keyring"],
    &["lib"],
];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules that a source names behind `crate::`, comments aside.
fn uses(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.split(" // ").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut named = Vec::new();
    for behind in code.split("crate::").skip(1) {
        let word = |text: &str| -> String {
            let text = text.trim_start();
            text.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        };
        let Some(list) = behind.strip_prefix('{') else {
            named.push(word(behind));
            continue;
        };
        // The first word of each entry of the outermost braces.
        let (mut depth, mut entry) = (0, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => named.push(word(&core::mem::take(&mut entry))),
                _ if depth == 0 => entry.push(c),
                _ => {}
            }
        }
        named.push(word(&entry));
    }
    named.retain(|name| !name.is_empty());
    named
}

/// What a file with this source does that its floor does not permit.
fn breaches(module: &str, source: &str) -> Vec<String> {
    let Some(own) = floor_of(module) else {
        return vec![format!("{module} has no floor")];
    };
    uses(source)
        .into_iter()
        .filter(|used| used != module)
        // A name that is no module is one of those that `lib` hands out.
        .filter(|used| floor_of(used).is_none_or(|floor| floor >= own))
        .map(|used| format!("{module} uses {used}"))
        .collect()
}

/// Each source file, and the module on the first level that it belongs to.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let place = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let module = place.split(['/', '\\', '.']).next().unwrap().to_string();
            found.push((module, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn every_file_uses_lower_floors_only() {
    let sources = sources();
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(module, source)| breaches(module, source))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    let used: usize = sources.iter().map(|(_, source)| uses(source).len()).sum();
    assert!(used > 100, "{used} uses were read");
}

#[test]
fn every_place_in_the_table_is_that_of_one_file() {
    let sources = sources();
    let modules: Vec<&str> = FLOORS
        .iter()
        .flat_map(|floor| floor.iter().copied())
        .collect();
    for module in &modules {
        assert!(
            sources.iter().any(|(file, _)| file == module),
            "{module} is no file"
        );
        assert_eq!(
            modules.iter().filter(|other| *other == module).count(),
            1,
            "{module}"
        );
    }
}

#[test]
fn the_architecture_shows_this_table() {
    let text = include_str!("../ARCHITECTURE.md");
    let shown = text.split("## Floors").nth(1).unwrap();
    let shown = shown.split("```").nth(1).unwrap();
    let lines = shown
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let ours = FLOORS.iter().enumerate();
    let ours = ours.map(|(at, floor)| format!("{at} {}", floor.join(" ")));
    assert!(lines.eq(ours), "{shown}");
}

#[test]
fn a_use_of_a_higher_floor_is_found_however_it_is_written() {
    let upward = [
        ("error", "use crate::time::Millis;"),
        ("limit", "use crate::record::KeyRecord;"),
        (
            "digest",
            "use crate::{\n    error::{Error, ErrorKind},\n    verify::Verifier,\n};",
        ),
        ("path", "fn f() -> bool { crate::endpoint::allows() }"),
        ("verify", "use crate::credential::Credential;"),
        ("record", "use crate::Verifier;"),
        ("keyring", "use super::x;\nuse crate::lib;"),
        ("attic", "use crate::error::Error;"),
    ];
    for (module, source) in upward {
        assert_eq!(breaches(module, source).len(), 1, "{module}: {source}");
    }
    let legal = [
        (
            "limit",
            "use crate::error::{Error, ErrorKind};\nuse crate::time::Millis;",
        ),
        ("record", "use crate::{digest::Digest, limit::RateLimit};"),
        (
            "digest",
            "/// See [`rehash`](crate::rehash).\npub(crate) fn f() {}",
        ),
        (
            "keyring",
            "use crate::keyring::ring::Ring;\nuse crate::verify::Verifier;",
        ),
    ];
    for (module, source) in legal {
        assert_eq!(breaches(module, source), [""; 0], "{module}: {source}");
    }
    assert_eq!(
        uses("use crate::{a::{b, c}, d, e::f};\nlet x = crate::g::h;"),
        ["a", "d", "e", "g"]
    );
}
