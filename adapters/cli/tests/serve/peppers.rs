//! Peppers: a missing one is reported at the start and denies no key as invalid, and a first
//! one is introduced while processes run.

use core::time::Duration;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use serde_json::Value;

use crate::serving::{Serving, program};

const PATIENCE: Duration = Duration::from_secs(30);

fn pepper(version: u32) -> String {
    format!("{version}:{}", "0a".repeat(32))
}

fn run(folder: &Path, peppers: &str, arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = program(folder, arguments);
    command.env("KEYSTILE_PEPPER", peppers);
    if let Some(key) = key {
        command.env("KEYSTILE_KEY", key);
    }
    command.output().unwrap()
}

/// Issues a key; returns its text and its id.
fn issue(folder: &Path, peppers: &str, format: &str) -> (String, String) {
    let asked = ["issue", "--client", "Acme", "--json", "--format", format];
    let issued = run(folder, peppers, &asked, None);
    let issued: Value = serde_json::from_slice(&issued.stdout).unwrap();
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    (text("key"), text("key_id"))
}

/// The version of the pepper that the key needs.
fn needs(folder: &Path, id: &str) -> Option<u64> {
    let shown = run(folder, "", &["show", id, "--json"], None);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    shown["pepper"].as_u64()
}

/// What the start prints if it fails.
fn refused(folder: &Path, peppers: &str) -> String {
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let refused = run(folder, peppers, &serve, None);
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    errors
}

#[test]
fn a_start_without_a_pepper_that_keys_need_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    issue(folder, &pepper(1), "structured");
    issue(folder, &pepper(1), "opaque");
    let (_, last) = issue(folder, &pepper(2), "structured");
    issue(folder, "", "structured");
    let errors = refused(folder, "");
    assert!(
        errors.contains("lacks peppers that keys in the store need: 1 (2 keys), 2 (1 key);"),
        "{errors}"
    );
    let listed = run(folder, "", &["list", "--json"], None).stdout;
    assert_eq!(
        listed.split(|byte| *byte == b'\n').count() - 1,
        4,
        "no admin key was issued"
    );

    let both = format!("{},{}", pepper(3), pepper(1));
    let errors = refused(folder, &both);
    assert!(errors.contains("need: 2 (1 key);"), "{errors}");
    // A key that has ended needs nothing.
    run(folder, "", &["revoke", &last, "--reason", "leaked"], None);
    Serving::start_with_peppers(folder, &[], &both);
}

#[test]
fn a_key_whose_pepper_is_missing_is_not_denied_as_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (peppered, _) = issue(folder, &pepper(1), "structured");
    let (plain, _) = issue(folder, "", "structured");
    let serving = Serving::start(
        folder,
        &["--allow-missing-peppers", "--invalid-keys", "3/1h"],
    );
    assert!(
        serving.errors().contains("peppers are missing"),
        "{}",
        serving.errors()
    );
    for _ in 0..10 {
        let (status, answer) = serving.call(&peppered, "POST /v1/verify", None);
        assert_eq!(
            (status, &answer["code"]),
            (503, &Value::from("pepper_unavailable"))
        );
        let (status, answer) = serving.call(&peppered, "GET /v1/keys", None);
        assert_eq!(
            (status, &answer["code"]),
            (503, &Value::from("pepper_unavailable"))
        );
    }
    // None of these was a guess: the limit is reached by guesses, after 3.
    let guesses = [0; 4].map(|_| serving.call("garbage", "GET /v1/keys", None).0);
    assert_eq!(guesses, [401, 401, 401, 429]);
    assert_eq!(serving.decision(&plain), "allowed");
}

/// One process knows the pepper before it is current, the other makes it current. Without
/// the first step the same key is lost to the process that does not know it.
#[test]
fn a_first_pepper_is_introduced_while_processes_run() {
    for (known, expected) in [
        (format!("none,{}", pepper(1)), "allowed"),
        (String::new(), "pepper_unavailable"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (key, id) = issue(folder, &known, "structured");
        assert_eq!(needs(folder, &id), None, "new digests have no pepper yet");
        let one = Serving::start_with_peppers(folder, &[], &known);
        let other = Serving::start_with_peppers(folder, &[], &pepper(1));
        assert_eq!(one.decision(&key), "allowed");
        assert_eq!(other.decision(&key), "allowed", "and renews the digest");
        let start = Instant::now();
        while needs(folder, &id) != Some(1) || one.decision(&key) != expected {
            assert!(start.elapsed() < PATIENCE, "{:?}", one.decision(&key));
            std::thread::sleep(Duration::from_millis(20));
        }
        // Until the event was read, the old record was cached.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            assert_eq!(one.decision(&key), expected);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(
            needs(folder, &id),
            Some(1),
            "no one takes the pepper away again"
        );
    }
}

#[test]
fn verify_renews_a_digest_only_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for format in ["structured", "opaque"] {
        let (key, id) = issue(folder, "", format);
        let verify = |more: &[&str]| {
            let asked = [&["verify"], more].concat();
            run(folder, &pepper(1), &asked, Some(&key)).status.code()
        };
        assert_eq!(verify(&[]), Some(0));
        assert_eq!(needs(folder, &id), None, "as it was");
        assert_eq!(verify(&["--rehash"]), Some(0));
        assert_eq!(needs(folder, &id), Some(1));
        let without = run(folder, "", &["verify"], Some(&key));
        let said = String::from_utf8(without.stdout).unwrap();
        // An opaque key is found by its digest, which cannot be made.
        let code = if format == "opaque" {
            "invalid_key"
        } else {
            "pepper_unavailable"
        };
        assert!(said.contains(code), "{said}");
        let shown = run(folder, "", &["show", &id], None);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("HMAC-SHA-256, pepper 1"), "{shown}");
    }
}
