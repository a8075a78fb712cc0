//! `keystile explain`, and a `verify` that counts nothing.

use serde_json::{Value, json};

use crate::keystile::{Keystile, text};

const FITS: [&str; 6] = [
    "--requires",
    "read",
    "--path",
    "/api/data/7",
    "--ip",
    "192.0.2.7",
];

fn issued(program: &Keystile) -> (String, String) {
    program.issue(&[
        "--permission",
        "read",
        "--endpoint",
        "GET /api/data/*",
        "--network",
        "192.0.2.0/24",
        "--rate-limit",
        "2/1h",
        "--uses",
        "9",
    ])
}

/// The exit code, and the object that is printed.
fn explained(program: &Keystile, id: &str, arguments: &[&str]) -> (i32, Value) {
    let ran = program.run(&[&["explain", id, "--json"], arguments].concat());
    assert_eq!(ran.errors, "");
    (
        ran.code,
        serde_json::from_str(&ran.output).expect("one object"),
    )
}

#[test]
fn an_explanation_says_what_verify_says_and_spends_nothing() {
    let program = Keystile::new();
    let (key, id) = issued(&program);
    let before = program.contents();
    for arguments in [
        &[][..],
        &FITS,
        &[
            "--path",
            "/api/data/7",
            "--ip",
            "192.0.2.7",
            "--requires",
            "read AND write",
        ],
        &["--path", "/api/data/../7", "--ip", "192.0.2.7"],
        &[
            "--method",
            "POST",
            "--path",
            "/api/data/7",
            "--ip",
            "192.0.2.7",
        ],
        &["--path", "/api/data/7", "--ip", "198.51.100.1"],
        &[
            "--path",
            "/api/data/7",
            "--ip",
            "192.0.2.7",
            "--env",
            "live",
        ],
    ] {
        let (exit, explained) = explained(&program, &id, arguments);
        let (expected, verified) = program.verify(&key, &[&["--dry-run"], arguments].concat());
        assert_eq!(exit, expected, "{arguments:?}");
        for field in [
            "decision",
            "code",
            "status",
            "message",
            "missing",
            "key_id",
            "client_name",
        ] {
            assert_eq!(
                explained[field], verified[field],
                "{field} of {arguments:?}"
            );
        }
        let checks = explained["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 10, "{explained}");
        let refused = checks.iter().find(|check| check["passes"] == false);
        let by = refused.map_or(&Value::Null, |check| &check["check"]);
        assert_eq!(&explained["refused_by"], by);
        let code = refused.map_or(&Value::Null, |check| &check["code"]);
        assert_eq!(&explained["code"], code);
    }
    assert_eq!(program.contents(), before, "nothing is written");
    let (_, allowed) = program.verify(&key, &FITS);
    assert_eq!(
        (&allowed["remaining"], &allowed["remaining_uses"]),
        (&json!(1), &json!(8))
    );
    let (_, tried) = program.verify(&key, &[&["--dry-run"][..], &FITS].concat());
    assert_eq!(
        (&tried["remaining"], &tried["remaining_uses"]),
        (&json!(0), &json!(7))
    );
    assert_eq!(
        program.decision(&key, &FITS),
        "allow",
        "the trial counted nothing"
    );
    assert_eq!(program.decision(&key, &FITS), "rate_limited");
    let (exit, limited) = explained(&program, &id, &FITS);
    assert_eq!(
        (exit, text(&limited, "refused_by")),
        (1, "rate_limit".to_owned())
    );
}

#[test]
fn an_explanation_for_people_has_a_line_for_each_check() {
    let program = Keystile::new();
    let (_, id) = issued(&program);
    let elsewhere = ["explain", &id, "--path", "/admin", "--ip", "192.0.2.7"];
    let ran = program.run(&elsewhere);
    assert_eq!((ran.code, ran.errors.as_str()), (1, ""));
    let lines: Vec<&str> = ran.output.lines().collect();
    assert_eq!(lines.len(), 11, "{}", ran.output);
    assert!(
        lines[0].starts_with("deny  endpoint_not_allowed (403): "),
        "{}",
        lines[0]
    );
    assert_eq!(
        lines[7],
        "  denies  endpoint     the request is GET /admin; the key may be used for: GET /api/data/*"
    );
    assert_eq!(lines[10], "  passes  uses         9 uses are left");
}

#[test]
fn what_cannot_be_explained_is_said_in_one_line() {
    let program = Keystile::new();
    let (key, _) = issued(&program);
    let absent = program.run(&["explain", "1AbCdEfGhIjKlMnO"]);
    assert_eq!((absent.code, absent.output.as_str()), (2, ""));
    assert_eq!(
        absent.errors,
        "keystile: the store has no key with this id\n"
    );
    for (arguments, part) in [
        (&["explain", key.as_str()][..], "id"),
        (
            &["explain", "1AbCdEfGhIjKlMnO", "--method", "POST"],
            "--path",
        ),
        (
            &["explain", "1AbCdEfGhIjKlMnO", "--requires", "a b"],
            "--requires",
        ),
        (&["verify", "--dry-run", "--rehash"], "--rehash"),
    ] {
        let ran = program.run(arguments);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.errors.contains(part), "{}", ran.errors);
        assert!(!ran.errors.contains(&key), "{}", ran.errors);
    }
}

/// A trial is not the moment to make a new digest, to end a predecessor or to note a use.
#[test]
fn a_trial_writes_nothing() {
    let program = Keystile::new();
    let (_, id) = program.issue(&[]);
    let rotated = program.object(&["rotate", &id, "--end-on-first-use", "--json"]);
    let successor = text(&rotated, "key");
    let before = program.contents();
    let tried = program.verify(&successor, &["--dry-run"]);
    assert_eq!(tried.0, 0, "{}", tried.1);
    assert_eq!(program.contents(), before);
    assert_eq!(program.decision(&successor, &[]), "allow");
    assert_ne!(program.contents(), before, "a use ends the predecessor");
}
