//! Wrong arguments: exit code 2, one line on standard error, nothing on standard output, and
//! an unchanged store.

mod commands;
mod values;

use std::collections::BTreeMap;

use commands::COMMANDS;
use values::VALUES;

use crate::keystile::Keystile;

/// Arguments, and a part of the expected message.
type Row = (&'static [&'static str], &'static str);

/// Refused because of what the store contains.
const ON_STORE: &[Row] = &[
    (
        &["show", "1AbCdEfGhIjKlMnO"],
        "the store has no key with this id",
    ),
    (
        &["revoke", "1AbCdEfGhIjKlMnO", "--reason", "x"],
        "the store has no key with this id",
    ),
    (
        &["suspend", "1AbCdEfGhIjKlMnO"],
        "the store has no key with this id",
    ),
    (
        &["resume", "1AbCdEfGhIjKlMnO"],
        "the store has no key with this id",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO"],
        "the store has no key with this id",
    ),
    (
        &["events", "1AbCdEfGhIjKlMnO"],
        "the store has no key with this id",
    ),
];

fn assert_refused(program: &Keystile, (arguments, said): &Row) -> String {
    let mut shown = String::new();
    for json in [&[][..], &["--json"]] {
        let ran = program.run(&[json, arguments].concat());
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(
            ran.errors.lines().count(),
            1,
            "{arguments:?}: {}",
            ran.errors
        );
        assert!(ran.errors.ends_with('\n'));
        let message = match json {
            [] => ran.errors,
            _ => {
                // An object with this one member.
                let error: BTreeMap<String, String> = serde_json::from_str(&ran.errors).unwrap();
                assert_eq!(error.keys().collect::<Vec<_>>(), ["error"]);
                format!("keystile: {}", error["error"])
            }
        };
        assert!(message.starts_with("keystile: "));
        assert!(message.contains(said), "{arguments:?}: {message}");
        shown = message;
    }
    shown
}

/// Whether the message names one of the options that were given, if any was.
fn names_its_option(arguments: &[&str], message: &str) -> bool {
    let mut options = arguments.iter().filter(|word| word.starts_with("--"));
    let none = options.clone().next().is_none();
    let names = options.any(|option| message.contains(option));
    none || names || message.contains("unknown") || message.contains("is required")
}

#[test]
fn wrong_arguments_change_nothing() {
    let empty = Keystile::new();
    let program = Keystile::new();
    program.issue(&["--permission", "read"]);
    let before = program.contents();
    // Refused before any store is opened.
    for row in COMMANDS.iter().chain(VALUES) {
        let message = assert_refused(&program, row);
        assert_refused(&empty, row);
        assert!(names_its_option(row.0, &message), "{row:?}: {message}");
        assert!(empty.files().is_empty(), "{row:?} made a file");
    }
    assert_eq!(program.contents(), before);
}

#[test]
fn unknown_ids_and_states_change_nothing() {
    let program = Keystile::new();
    let (_, revoked) = program.issue(&[]);
    program.run(&["revoke", &revoked, "--reason", "x"]);
    let (_, suspended) = program.issue(&[]);
    program.run(&["suspend", &suspended]);
    let (_, replaced) = program.issue(&[]);
    program.run(&["rotate", &replaced]);
    let before = program.contents();
    for row in ON_STORE {
        assert_refused(&program, row);
    }
    for (command, id, said) in [
        ("suspend", &revoked, "must be active to be suspended"),
        ("resume", &revoked, "must be suspended to be resumed"),
        ("rotate", &revoked, "this one is revoked"),
        ("rotate", &suspended, "resume it first"),
        ("rotate", &replaced, "rotate its successor"),
    ] {
        let ran = program.run(&[command, id]);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{command} {said}");
        assert!(
            ran.errors.contains(said) && ran.errors.lines().count() == 1,
            "{}",
            ran.errors
        );
    }
    assert_eq!(program.contents(), before);
}

#[test]
fn more_than_a_record_can_hold_is_refused() {
    let program = Keystile::new();
    let long = "x".repeat(256);
    let names: Vec<String> = (0..65).map(|number| format!("p{number}")).collect();
    let rules: Vec<String> = (0..65).map(|number| format!("/p{number}")).collect();
    let blocks: Vec<String> = (0..65).map(|number| format!("10.0.0.{number}")).collect();
    let metadata = format!("\"{}\"", "x".repeat(16 * 1_024));
    let many = |option: &'static str, values: &[String]| -> Vec<String> {
        values
            .iter()
            .flat_map(|value| [option.to_owned(), value.clone()])
            .collect()
    };
    for arguments in [
        vec!["--owner".to_owned(), long.clone()],
        vec!["--email".to_owned(), format!("a@{long}")],
        vec!["--permission".to_owned(), long.clone()],
        vec!["--endpoint".to_owned(), format!("/{}", "x".repeat(512))],
        vec!["--prefix".to_owned(), "abcdefghijklmnopq".to_owned()],
        vec!["--metadata".to_owned(), metadata],
        many("--permission", &names),
        many("--endpoint", &rules),
        many("--network", &blocks),
    ] {
        let mut all = vec!["issue", "--client", "x"];
        all.extend(arguments.iter().map(String::as_str));
        let ran = program.run(&all);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{}", ran.errors);
        assert_eq!(ran.errors.lines().count(), 1);
        assert!(!ran.errors.contains("xxx"));
    }
    assert!(program.files().is_empty());
}

#[test]
fn help_of_every_command_has_an_example() {
    let program = Keystile::new();
    for command in [
        "issue", "verify", "list", "show", "revoke", "suspend", "resume", "rotate", "plan",
        "events", "template", "inspect", "demo",
    ] {
        for arguments in [[command, "--help"], ["help", command]] {
            let ran = program.run(&arguments);
            assert_eq!((ran.code, ran.errors.as_str()), (0, ""));
            assert!(ran.output.contains("Example:\n  "), "{command}");
            assert!(
                ran.output.contains(&format!("keystile {command}")),
                "{command}"
            );
        }
    }
    assert!(
        program
            .run(&["--version"])
            .output
            .starts_with("keystile 0.")
    );
    assert!(program.run(&["--help"]).output.contains("Exit codes:"));
    assert!(program.files().is_empty());
}
