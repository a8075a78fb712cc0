//! The first examples of the C guide are programs, and name few things.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const NAMES_MAX: usize = 12;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).expect("text")
}

/// The names of the library that a program uses.
fn names(program: &str) -> BTreeSet<&str> {
    program
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.to_ascii_lowercase().starts_with("keystile_"))
        .collect()
}

#[test]
fn the_guide_begins_with_the_programs_that_are_built() {
    let guide = read("README.md");
    let shown: Vec<&str> = guide
        .split("```c\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let [issue, verify, check] = <[&str; 3]>::try_from(shown).expect("three programs");
    assert_eq!(issue, read("examples/issue.c"));
    assert_eq!(verify, read("examples/verify.c"));
    assert!(read("examples/check.c").contains(check), "{check}");
}

/// What a program with other processes, plugins or another system must know, each with the words
/// that it is found by.
#[test]
fn the_guide_answers_what_a_host_asks() {
    let guide = read("README.md");
    for topic in [
        "**Other processes.**",
        "in force\n  within about a second",
        "by default 300 s",
        "**Forks.**",
        "KEYSTILE_ERROR_FORKED",
        "**Loading and unloading.**",
        "dlclose",
        "**Signals.**",
        "**Systems.**",
        "older glibc, for musl and for arm64",
        "no build for Windows",
        "ldconfig ",
        "as root; until then programs do not find the library",
        "can use one file at the same time",
    ] {
        assert!(guide.contains(topic), "{topic}");
    }
    let header = read("include/keystile.h");
    assert!(header.contains(" * Forks. Make a keyring in the process that uses it."));
}

#[test]
fn a_check_takes_at_most_twelve_lines() {
    let program = read("examples/check.c");
    let (_, rest) = program.split_once("static int32_t fetch").expect("a fetch");
    let (check, _) = rest.split_once("int main").expect("the rest");
    let lines = check.lines().filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 12, "{check}");
}

#[test]
fn the_first_programs_name_at_most_twelve_things() {
    for path in ["examples/issue.c", "examples/verify.c"] {
        let program = read(path);
        let names = names(&program);
        assert!(names.contains("KEYSTILE_OK"), "{path}: {names:?}");
        assert!(names.len() <= NAMES_MAX, "{path}: {names:?}");
    }
}
