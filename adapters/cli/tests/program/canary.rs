//! A key is put into every wrong place: no part of its secret is ever printed.

use crate::keystile::{Keystile, Ran};

/// The parts that must not be printed: the secret's first and last twelve characters.
fn secrets(key: &str) -> [String; 2] {
    let secret = key.rsplit('_').next().unwrap_or(key);
    [
        secret.chars().take(12).collect(),
        secret
            .chars()
            .skip(secret.len().saturating_sub(12))
            .collect(),
    ]
}

fn assert_silent(ran: &Ran, key: &str, what: &dyn core::fmt::Debug) {
    for part in secrets(key) {
        assert!(!ran.errors.contains(&part), "on standard error: {what:?}");
        assert!(!ran.output.contains(&part), "on standard output: {what:?}");
    }
    assert!(
        !ran.errors.contains("internal error") && !ran.errors.contains("panicked"),
        "{what:?}"
    );
}

const COMMANDS: [&str; 13] = [
    "issue", "verify", "list", "show", "revoke", "suspend", "resume", "rotate", "plan", "events",
    "template", "inspect", "demo",
];

#[test]
fn a_key_in_the_wrong_place_is_refused_without_an_echo() {
    let program = Keystile::new();
    let id = "1AbCdEfGhIjKlMnO";
    for format in ["structured", "opaque"] {
        let (key, _) = program.issue(&["--format", format, "--env", "live"]);
        let before = program.contents();
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row =
            |arguments: &[&str]| rows.push(arguments.iter().map(|a| (*a).to_owned()).collect());
        let (long, short, assigned) = (
            format!("--{key}"),
            format!("-{key}"),
            format!("--key={key}"),
        );
        row(&[&key]);
        row(&["template", "list", &key]);
        row(&["help", &key]);
        row(&[&long]);
        for command in COMMANDS {
            for argument in [&key, &long, &short, &assigned] {
                row(&[command, argument]);
                row(&[command, id, argument]);
                row(&[command, "--json", argument]);
            }
            row(&["--store", &key, command]);
            row(&["--store", &format!("sqlite:{key}"), command]);
            row(&["--store", &format!("postgres://u:{key}@h/d"), command]);
            row(&[command, &format!("--json={key}")]);
            row(&[command, "--", &key]);
        }
        for option in [
            "--client",
            "--email",
            "--owner",
            "--env",
            "--environment",
            "--permission",
            "--endpoint",
            "--template",
            "--network",
            "--rate-limit",
            "--uses",
            "--expires-in",
            "--metadata",
            "--format",
            "--prefix",
            "--store",
        ] {
            row(&["issue", "--client", "x", option, &key]);
            row(&["issue", "--client", "x", &format!("{option}={key}")]);
            row(&["issue", option, &key]);
        }
        row(&[
            "issue",
            "--client",
            "x",
            "--email",
            &format!("{key}@acme.example"),
        ]);
        row(&[
            "issue",
            "--client",
            "x",
            "--endpoint",
            &format!("/api/{key}"),
        ]);
        row(&[
            "issue",
            "--client",
            "x",
            "--metadata",
            &format!("{{\"key\":\"{key}\"}}"),
        ]);
        for option in ["--requires", "--method", "--ip", "--env"] {
            row(&["verify", option, &key, "--path", "/x"]);
        }
        row(&["revoke", id, "--reason", &format!("leaked: {key}")]);
        row(&["rotate", id, "--overlap", &key]);
        row(&["rotate", id, "--expires-in", &key]);
        row(&["rotate", id, "--max-lifetime", &key]);
        row(&["change", id, "--derived", &key]);
        row(&["plan", "--within", &key]);
        row(&["events", "--after", &key]);
        row(&["list", "--limit", &key]);
        row(&["list", "--owner", &key]);
        row(&["list", "--client", &key]);
        for option in [
            "--status",
            "--env",
            "--template",
            "--id-prefix",
            "--expires-within",
            "--unused-for",
            "--issued-since",
            "--issued-until",
        ] {
            row(&["list", option, &key]);
        }
        row(&["inspect", "--prefix", &key]);
        assert!(rows.len() > 250);
        for row in rows {
            let arguments: Vec<&str> = row.iter().map(String::as_str).collect();
            let ran = program.run(&arguments);
            let shown = row.join(" ").replace(&key, "KEY");
            assert_silent(&ran, &key, &shown);
            assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{shown}");
            assert_eq!(ran.errors.lines().count(), 1, "{shown}: {}", ran.errors);
        }
        assert_eq!(program.contents(), before);
        assert!(
            program
                .files()
                .iter()
                .all(|name| name.starts_with("keystile.db"))
        );
    }
}

#[test]
fn a_key_that_is_presented_is_not_printed() {
    let program = Keystile::new();
    let (key, id) = program.issue(&[
        "--permission",
        "read",
        "--rate-limit",
        "2/1h",
        "--endpoint",
        "/x",
    ]);
    let asks: [&[&str]; 6] = [
        &["verify"],
        &["verify", "--path", "/x"],
        &["verify", "--path", "/x", "--requires", "write"],
        &["verify", "--path", &format!("/{key}")],
        &["verify", "--path", "/x", "--json"],
        &["inspect"],
    ];
    let inputs = [
        key.clone(),
        format!(" {key}"),
        format!("{key}0"),
        key[..key.len() - 1].to_owned(),
        key.repeat(4),
    ];
    for ask in asks {
        for input in &inputs {
            let ran = program.feed(ask, input.as_bytes());
            assert_silent(&ran, &key, &ask.first());
            assert!(ran.code < 2);
        }
    }
    for arguments in [
        &["show", &id][..],
        &["list"],
        &["events"],
        &["revoke", &id, "--reason", "x"],
        &["plan"],
    ] {
        for json in [&[][..], &["--json"]] {
            assert_silent(&program.run(&[arguments, json].concat()), &key, &arguments);
        }
    }
    // No file contains it: only its digest is stored.
    for name in program.files() {
        let bytes = std::fs::read(program.folder().join(&name)).unwrap();
        for part in secrets(&key) {
            assert!(
                !bytes
                    .windows(part.len())
                    .any(|window| window == part.as_bytes()),
                "{name}"
            );
        }
    }
}

#[test]
fn secrets_in_the_environment_are_not_printed() {
    let program = Keystile::new();
    let (key, _) = program.issue(&[]);
    for variable in ["KEYSTILE_STORE", "KEYSTILE_PEPPER"] {
        for value in [
            key.clone(),
            format!("1:{key}"),
            format!("sqlite:{key}/x"),
            format!("{key}\n"),
        ] {
            let program = Keystile::new().with(variable, &value);
            for arguments in [&["list"][..], &["verify"], &["issue", "--client", "x"]] {
                let ran = program.run(arguments);
                assert_silent(&ran, &key, &(variable, arguments));
                assert_eq!((ran.code, ran.output.as_str()), (2, ""));
                assert_eq!(ran.errors.lines().count(), 1, "{}", ran.errors);
            }
            let help = program.run(&["--help"]);
            assert_silent(&help, &key, &variable);
            assert_eq!(help.code, 0);
            assert!(program.files().is_empty());
        }
    }
    let damaged = Keystile::new();
    let url = format!("sqlite:{}", key.replace('_', "-"));
    std::fs::write(
        damaged.folder().join(key.replace('_', "-")),
        "x".repeat(4_096),
    )
    .unwrap();
    let ran = damaged.run(&["--store", &url, "list"]);
    assert_eq!(ran.code, 2);
    assert_silent(&ran, &key.replace('_', "-"), &"a file of that name");
}
