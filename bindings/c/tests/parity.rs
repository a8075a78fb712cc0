//! Each public item of the core has a counterpart in C and in Go, or a reason why not.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).expect("text")
}

/// The names that the core exports.
fn public_items(library: &str) -> Vec<String> {
    let mut names = Vec::new();
    for exported in library.split("\npub use ").skip(1) {
        let exported = exported.split(';').next().unwrap_or_default();
        let list = match exported.split_once('{') {
            Some((_, list)) => list.trim_end_matches('}'),
            None => exported.rsplit("::").next().unwrap_or_default(),
        };
        let items = list.split(',').map(str::trim);
        names.extend(items.filter(|item| !item.is_empty()).map(str::to_owned));
    }
    names
}

/// The counterparts in C and in Go, and the note, of each item.
fn table() -> BTreeMap<String, [String; 3]> {
    let text = read("bindings/parity.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut parts = line.split('|').map(|part| part.trim().to_owned());
        let mut next = || parts.next().expect("four columns");
        (next(), [next(), next(), next()])
    });
    rows.collect()
}

/// Whether a text has a name as a whole word.
fn has(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| word == name)
}

#[test]
fn each_public_item_of_the_core_has_a_line() {
    let (items, table) = (public_items(&read("src/lib.rs")), table());
    assert!(items.len() > 100, "{}", items.len());
    for item in &items {
        assert!(
            table.contains_key(item),
            "bindings/parity.txt: {item} has no line"
        );
    }
    for item in table.keys() {
        assert!(
            items.contains(item),
            "bindings/parity.txt: the core has no {item}"
        );
    }
    let new = public_items("\npub use a::{B, C};\npub use d::e::f;\n");
    assert_eq!(new, ["B", "C", "f"]);
}

#[test]
fn each_counterpart_exists_and_what_is_left_out_has_a_reason() {
    let header = read("include/keystile.h");
    let mut go = String::new();
    for entry in fs::read_dir(path("bindings/go")).expect("the package") {
        let file = entry.expect("a file").path();
        let name = file.display().to_string();
        if name.ends_with(".go") && !name.ends_with("_test.go") {
            go.push_str(&fs::read_to_string(file).expect("text"));
        }
    }
    for (item, [in_c, in_go, note]) in table() {
        assert!(
            in_c == "-" || has(&header, &in_c),
            "{item}: C has no {in_c}"
        );
        assert!(
            in_go == "-" || has(&go, &in_go),
            "{item}: Go has no {in_go}"
        );
        let is_complete = in_c != "-" && in_go != "-";
        assert!(
            is_complete || !note.is_empty(),
            "{item}: why is it left out?"
        );
    }
}
