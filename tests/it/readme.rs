//! The README's first program names few things of keystile.

use std::collections::BTreeSet;

const NAMES_MAX: usize = 10;
/// What it names of the standard library and of axum.
const OTHERS: [&str; 10] = [
    "Arc",
    "Box",
    "ConnectInfo",
    "Error",
    "Ok",
    "Result",
    "Router",
    "SocketAddr",
    "Some",
    "TcpListener",
];

#[test]
fn the_first_program_names_at_most_ten_things() {
    let readme = include_str!("../../README.md");
    let example = readme
        .split("```")
        .find_map(|part| part.strip_prefix("rs\n"));
    let example = example.unwrap();
    let code = example
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let names: BTreeSet<String> = code
        .flat_map(|line| line.split('"').step_by(2))
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with(char::is_uppercase))
        .filter(|word| !OTHERS.contains(word))
        .map(str::to_owned)
        .collect();
    // Variants are named through their enumeration, and are not counted.
    let names: BTreeSet<&String> = names
        .iter()
        .filter(|name| !example.contains(&format!("::{name}")))
        .collect();
    assert!(names.iter().any(|name| *name == "Verifier"), "{names:?}");
    assert!(names.len() <= NAMES_MAX, "{names:?}");
}
