//! A backup that is taken and restored while processes serve the store.

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::serving::{Serving, program};

const WITHIN: Duration = Duration::from_secs(20);

fn run(folder: &Path, arguments: &[&str]) -> String {
    let ran = program(folder, arguments).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

fn until(serving: &Serving, key: &str, expected: &str) {
    let start = Instant::now();
    while serving.decision(key) != expected {
        assert!(start.elapsed() < WITHIN, "{}", serving.decision(key));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn serving_processes_go_on_with_what_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let one = Serving::start(folder, &["--cache-ttl", "1d"]);
    let admin = one.first.clone().unwrap();
    let issue = || {
        let asked = json!({ "client_name": "Acme" });
        let (_, issued) = one.call(&admin, "POST /v1/keys", Some(&asked));
        let text = |name: &str| issued.get(name).and_then(Value::as_str).unwrap().to_owned();
        (text("key"), text("key_id"))
    };
    let other = Serving::start(folder, &["--cache-ttl", "1d"]);
    let ((revoked, revoked_id), (suspended, suspended_id)) = (issue(), issue());
    run(folder, &["backup", "backup.db"]);
    let (lost, _) = issue();
    for (id, verb) in [(&revoked_id, "revoke"), (&suspended_id, "suspend")] {
        let (status, _) = one.call(&admin, &format!("POST /v1/keys/{id}/{verb}"), None);
        assert_eq!(status, 200);
    }
    for process in [&one, &other] {
        until(process, &revoked, "key_revoked");
        until(process, &suspended, "key_suspended");
        until(process, &lost, "allowed");
    }
    run(folder, &["restore", "backup.db"]);
    for process in [&one, &other] {
        until(process, &lost, "invalid_key");
        until(process, &suspended, "allowed");
        assert_eq!(process.decision(&revoked), "key_revoked");
        assert_eq!(process.decision(&admin), "allowed");
    }
    let (new, _) = issue();
    until(&other, &new, "allowed");
}
