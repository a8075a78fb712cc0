//! Wrong arguments: exit code 2, one line on standard error, nothing on standard output, and
//! an unchanged store.

use std::collections::BTreeMap;

use crate::keystile::Keystile;

/// Arguments, and a part of the expected message.
type Row = (&'static [&'static str], &'static str);

/// Refused before any store is opened.
const ARGUMENTS: &[Row] = &[
    (&[], "expected a command: issue, verify, list"),
    (
        &["isue"],
        "unknown command (did you mean issue, inspect, suspend?); expected one of: issue, verify, list",
    ),
    (&["create"], "unknown command (did you mean issue?)"),
    (&["ls"], "unknown command (did you mean list?)"),
    (&["update"], "unknown command (did you mean change?)"),
    (&["delete"], "unknown command (did you mean revoke?)"),
    (
        &["template", "ls"],
        "template: unknown command (did you mean list?)",
    ),
    (
        &["frob"],
        "keystile: unknown command; expected one of: issue, verify, list",
    ),
    (
        &["frob", "template"],
        "keystile: unknown command; expected one of: issue, verify, list",
    ),
    (&["--jsn", "list"], "did you mean --json?"),
    (&["issue"], "--client <NAME>"),
    (&["issue", "--client"], "expects a value"),
    (&["issue", "--client", ""], "1 to 255 bytes"),
    (&["issue", "--client", " "], "1 to 255 bytes"),
    (
        &["issue", "--client", "a\nb"],
        "without control or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{1b}[31mb"],
        "without control or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{202e}b"],
        "or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{200b}b"],
        "or invisible characters",
    ),
    (
        &["issue", "--client", "a", "--owner", "\u{feff}a"],
        "--owner",
    ),
    (&["issue", "--client", "a", "--client", "b"], "only once"),
    (&["issue", "--client", "a", "b"], "unknown argument"),
    (
        &["issue", "--client", "a", "--email", "nobody"],
        "name@host",
    ),
    (&["issue", "--client", "a", "--owner", ""], "1 to 255 bytes"),
    (&["issue", "--client", "a", "--env", "Live"], "a-z or 0-9"),
    (
        &["issue", "--client", "a", "--env", "verylongname1"],
        "1 to 12",
    ),
    (
        &["issue", "--client", "a", "--permission", "inv*"],
        "whole segment",
    ),
    (&["issue", "--client", "a", "--permission", ""], "segments"),
    (
        &["issue", "--client", "a", "--permission", "read write"],
        "segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "api/x"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "get /x"],
        "upper-case",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "/a/../b"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "/data*"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--template", "root"],
        "monitoring, integration, admin",
    ),
    (
        &["issue", "--client", "a", "--template", "R o"],
        "template name",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--template",
            "monitoring",
            "--permission",
            "write",
        ],
        "must not exceed its template",
    ),
    (
        &["issue", "--client", "a", "--network", "10.0.0.1/8"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--network", "10.0.0.0/33"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--network", "example.com"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "1000"],
        "1000/1h",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "1000/month"],
        "1000/1h",
    ),
    (&["issue", "--client", "a", "--burst", "5"], "--rate-limit"),
    (
        &[
            "issue",
            "--client",
            "a",
            "--rate-limit",
            "5/h",
            "--burst",
            "0",
        ],
        "--burst <N>: must be a whole number",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--rate-limit",
            "1/365d",
            "--burst",
            "11",
        ],
        "--burst: a rate limit's burst must be free again",
    ),
    (
        &["issue", "--client", "a", "--expires-at", "2020-01-01"],
        "--expires-at: must be in the future",
    ),
    (
        &["issue", "--client", "a", "--expires-at", "1.1.2027"],
        "RFC 3339",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-at",
            "2099-01-01",
            "--expires-in",
            "1d",
        ],
        "cannot be combined",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-at",
            "2099-01-01",
            "--max-lifetime",
            "1y",
        ],
        "not be longer than the longest",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--expires-at", "2020-01-01"],
        "--expires-at: must be in the future",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--burst", "5"],
        "--rate-limit",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "-1/1h"],
        "1000/1h",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "5/0s"],
        "1 ms to 366 days",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "5/367d"],
        "1 ms to 366 days",
    ),
    (&["issue", "--client", "a", "--uses", "0"], "1 or more"),
    (&["issue", "--client", "a", "--uses", "-1"], "1 or more"),
    (
        &["issue", "--client", "a", "--uses", "9223372036854775808"],
        "1 or more",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "0d"],
        "greater than zero",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "90"],
        "such as 90d",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "1month"],
        "such as 90d",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "9999999d"],
        "9999",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-in",
            "99999999999999999999d",
        ],
        "such as 90d",
    ),
    (&["issue", "--client", "a", "--metadata", "{a:1}"], "JSON"),
    (&["issue", "--client", "a", "--metadata", ""], "JSON"),
    (
        &["issue", "--client", "a", "--format", "jwt"],
        "structured, opaque",
    ),
    (&["issue", "--client", "a", "--prefix", "Acme"], "a-z"),
    (&["issue", "--client", "a", "--prefix", "acme_"], "a-z"),
    (&["verify", "key"], "standard input or KEYSTILE_KEY"),
    (
        &["verify", "--requires", "read and write"],
        "AND, OR and parentheses",
    ),
    (
        &["verify", "--requires", "(read"],
        "AND, OR and parentheses",
    ),
    (&["verify", "--requires", ""], "AND, OR and parentheses"),
    (&["verify", "--requires", "read:*"], "without a wildcard"),
    (&["verify", "--method", "GET"], "--path <P>"),
    (&["verify", "--method", "get", "--path", "/x"], "upper-case"),
    (&["verify", "--path", ""], "must be the path of a request"),
    (&["verify", "--ip", "localhost"], "IPv4 or IPv6"),
    (&["verify", "--ip", "10.0.0.0/8"], "IPv4 or IPv6"),
    (&["verify", "--env", "-"], "a-z or 0-9"),
    (&["inspect", "key"], "standard input or KEYSTILE_KEY"),
    (&["list", "--limit", "0"], "1 or more"),
    (&["list", "--limit", "many"], "1 or more"),
    (&["list", "extra"], "unknown argument"),
    (&["list", "--status", "Active"], "must be active, retiring"),
    (&["list", "--id-prefix", "1_"], "characters of an id"),
    (&["list", "--id-prefix", ""], "characters of an id"),
    (&["list", "--expires-within", "soon"], "duration"),
    (&["list", "--unused-for", "-1d"], "unknown argument"),
    (&["list", "--issued-since", "yesterday"], "RFC 3339"),
    (
        &["list", "--issued-until", "2026-09-21T14:13:20"],
        "RFC 3339",
    ),
    (&["list", "--count", "--wide"], "cannot be combined"),
    (&["show"], "<ID>"),
    (&["show", "1"], "a key id must be 16"),
    (&["show", "2AbCdEfGhIjKlMnO"], "the first of them 1"),
    (&["show", "1AbCdEfGhIjKlMn_"], "a key id must be 16"),
    (
        &["show", "1AbCdEfGhIjKlMnO", "1AbCdEfGhIjKlMnO"],
        "unknown argument",
    ),
    (&["revoke"], "<ID>"),
    (
        &["revoke", "1AbCdEfGhIjKlMnO", "--reason", ""],
        "1 to 255 bytes",
    ),
    (
        &["revoke", "1AbCdEfGhIjKlMnO", "--reason", "a\tb"],
        "without control or invisible characters",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--overlap", "never"],
        "must be a duration",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--overlap", "91d"],
        "at most 90 days",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--expires-in", "0s"],
        "must be greater than zero",
    ),
    (
        &[
            "rotate",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "2d",
            "--max-lifetime",
            "1d",
        ],
        "not be longer than the longest",
    ),
    (
        &[
            "rotate",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &[
            "change",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--derived", "delete"],
        "must be suspend, revoke or keep",
    ),
    (
        &[
            "issue",
            "--client",
            "x",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &["serve", "--default-lifetime", "2d", "--max-lifetime", "1d"],
        "not be longer than the longest",
    ),
    (&["plan", "--within", "soon"], "must be a duration"),
    (&["events", "all"], "a key id must be 16"),
    (&["events", "--after", "-"], "1 or more"),
    (
        &["template"],
        "template: expected a command: list, show, add, change, apply, remove",
    ),
    (&["template", "add"], "template: <NAME> is required"),
    (&["template", "add", "Pro"], "must be 1 to 32 characters"),
    (&["template", "add", "admin"], "are presets"),
    (
        &["template", "add", "pro", "--permission", "inv*"],
        "--permission",
    ),
    (
        &["template", "add", "pro", "--expires-in", "0d"],
        "greater than zero",
    ),
    (&["template", "add", "pro", "--burst", "5"], "--rate-limit"),
    (
        &["template", "show", "monitorin"],
        "did you mean monitoring?",
    ),
    (
        &["issue", "--client", "a", "--template", "adimn"],
        "--template: must be one of monitoring, integration, admin (did you mean admin?)",
    ),
    (
        &["change", "--of-owner", "", "--rate-limit", "1/1h"],
        "--of-owner",
    ),
    (&["change", "--rate-limit", "1/1h"], "<ID> is required"),
    (
        &["template", "lst"],
        "template: unknown command (did you mean list?); expected one of: list, show, add, change, apply, remove",
    ),
    (&["--store", "keys.db", "list"], "must be sqlite:PATH"),
    (
        &["--store", "mysql://localhost/keys", "list"],
        "not supported",
    ),
    (&["--store", "sqlite:", "list"], "sqlite:PATH"),
    (
        &["--store", "sqlite:k.db?mode=ro", "list"],
        "without parameters",
    ),
    (&["--store", "", "list"], "must be sqlite:PATH"),
    (&["list", "--json=yes"], "unknown argument"),
];

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
    for row in ARGUMENTS {
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
