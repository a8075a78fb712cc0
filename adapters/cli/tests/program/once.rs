//! `--idempotency-key`: a command that is run again issues no second key.

use std::sync::Arc;

use crate::keystile::{Keystile, Ran, text};
#[cfg(all(unix, feature = "postgres"))]
use crate::server::Server;

const ISSUE: [&str; 6] = [
    "issue",
    "--client",
    "Acme Ltd",
    "--json",
    "--idempotency-key",
    "order-1",
];

#[test]
fn a_command_that_is_run_again_issues_no_second_key() {
    let program = Keystile::new();
    let first = program.object(&ISSUE);
    let (key, id) = (text(&first, "key"), text(&first, "key_id"));
    let again = program.object(&ISSUE);
    assert_eq!(text(&again, "key_id"), id);
    assert!(
        again["key"].is_null() && !again.to_string().contains(&key),
        "{again}"
    );
    let plain = program.run(&[
        "issue",
        "--client",
        "Acme Ltd",
        "--idempotency-key",
        "order-1",
    ]);
    assert_eq!((plain.code, plain.output.as_str()), (0, ""));
    assert!(
        plain.errors.contains(&format!("keystile rotate {id}")),
        "{}",
        plain.errors
    );

    let mut other = ISSUE;
    other[2] = "Other Ltd";
    let other = program.run(&other);
    assert_eq!(other.code, 2);
    assert!(
        other.errors.contains("used for another request"),
        "{}",
        other.errors
    );
    // Another actor has keys of its own.
    let bob = program.object(&[&ISSUE[..], &["--actor", "bob"]].concat());
    assert_ne!(text(&bob, "key_id"), id);

    let rotate = ["rotate", &id, "--json", "--idempotency-key", "order-2"];
    let rotated = program.object(&rotate);
    let again = program.object(&rotate);
    assert_eq!(text(&again, "key_id"), text(&rotated, "key_id"));
    assert!(again["key"].is_null());
    assert_eq!(program.objects(&["list", "--json"]).len(), 3);
    let long = "x".repeat(256);
    for wrong in ["", "two words", "\u{e9}", &long, &key] {
        let mut command = ISSUE;
        command[5] = wrong;
        let ran = program.run(&command);
        assert_eq!(ran.code, 2, "{wrong}");
        assert!(ran.errors.contains("--idempotency-key"), "{}", ran.errors);
    }
}

/// Processes that run the same command at the same time.
fn race(program: Keystile) {
    let program = Arc::new(program);
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let program = Arc::clone(&program);
            std::thread::spawn(move || program.run(&ISSUE))
        })
        .collect();
    let ran: Vec<Ran> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    let objects: Vec<serde_json::Value> = ran
        .iter()
        .map(|ran| {
            assert_eq!(ran.code, 0, "{}", ran.errors);
            serde_json::from_str(&ran.output).unwrap()
        })
        .collect();
    let with_text = objects.iter().filter(|object| object["key"].is_string());
    assert_eq!(with_text.count(), 1, "its text is shown once");
    let id = text(&objects[0], "key_id");
    assert!(objects.iter().all(|object| text(object, "key_id") == id));
    assert_eq!(program.objects(&["list", "--json"]).len(), 1);
}

#[test]
fn one_of_several_processes_issues() {
    let program = Keystile::new();
    assert_eq!(program.run(&["migrate"]).code, 0);
    race(program);
}

#[cfg(all(unix, feature = "postgres"))]
#[test]
fn one_of_several_processes_issues_on_a_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let program = Keystile::new().with("KEYSTILE_STORE", &server.url("postgres"));
    assert_eq!(program.run(&["migrate"]).code, 0);
    race(program);
}

/// How a request is typed does not matter, and neither does that its time is over by now.
#[test]
fn the_same_request_may_be_typed_otherwise() {
    let program = Keystile::new();
    let once = [
        "--json",
        "--idempotency-key",
        "order-3",
        "issue",
        "--client",
        "Acme",
    ];
    let issue = |more: &[&str]| program.object(&[&once[3..], more, &once[..3]].concat());
    let first = issue(&[
        "--permission",
        "read",
        "--permission",
        "write",
        "--expires-in",
        "1d",
        "--rate-limit",
        "100/1h",
    ]);
    let again = issue(&[
        "--rate-limit",
        "100/60m",
        "--burst",
        "100",
        "--expires-in",
        "24h",
        "--permission",
        "write",
        "--permission",
        "read",
    ]);
    assert_eq!(text(&again, "key_id"), text(&first, "key_id"));
    assert!(again["key"].is_null());

    let mut ending = ISSUE.to_vec();
    ending.extend(["--expires-at", "2020-01-01"]);
    let refused = program.run(&ending);
    assert_eq!(refused.code, 2, "in the past: {}", refused.output);
}
