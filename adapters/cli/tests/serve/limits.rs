//! A rate limit over restarts, by SIGTERM and by SIGKILL.

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::serving::{Serving, program};

/// Time until what was spent is recorded; only a process that does not do it reaches this.
const WITHIN: Duration = Duration::from_secs(20);

/// How many of so many requests pass.
fn passed(serving: &Serving, key: &str, requests: usize) -> usize {
    let decisions = (0..requests).map(|_| serving.decision(key));
    decisions
        .filter(|decision| {
            assert!(["allowed", "rate_limited"].contains(&&**decision));
            decision == "allowed"
        })
        .count()
}

/// Waits until the store says that so many requests are left.
fn recorded(folder: &Path, id: &str, left: &str) {
    let start = Instant::now();
    loop {
        let shown = program(folder, &["show", id]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        if shown.contains(left) {
            return;
        }
        assert!(start.elapsed() < WITHIN, "{left}: {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ten_an_hour_are_ten_over_restarts_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let serving = Serving::start(folder, &[]);
    let admin = serving.first.clone().unwrap();
    let limit = json!({ "limit": 10, "window_ms": 3_600_000 });
    let asked = json!({ "client_name": "Acme", "rate_limit": limit });
    let (status, issued) = serving.call(&admin, "POST /v1/keys", Some(&asked));
    assert_eq!(status, 201, "{issued}");
    let [key, id] = ["key", "key_id"].map(|name| issued[name].as_str().unwrap());
    let mut all = passed(&serving, key, 3);
    let (status, _, errors) = serving.stop("-TERM");
    assert!(status.success(), "{errors}");

    let serving = Serving::start_silent(folder, &[]);
    all += passed(&serving, key, 3);
    recorded(folder, id, ", 4 left now");
    serving.kill();

    let serving = Serving::start_silent(folder, &[]);
    all += passed(&serving, key, 9);
    assert_eq!(all, 10, "of 15 requests");
}

#[test]
fn options_that_contradict_each_other_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (options, message) in [
        (
            &["--lease", "2s"][..],
            "--lease: needs --limits store or redis",
        ),
        (
            &["--processes", "2"],
            "--processes: needs --limits store or redis",
        ),
        (
            &["--limits", "process", "--on-limits-loss", "refuse"],
            "--on-limits-loss: needs --limits store or redis",
        ),
        (
            &["--limits", "store", "--lease", "11s"],
            "--lease: must be 0s to 10s",
        ),
        (
            &[
                "--limits",
                "store",
                "--processes",
                "3",
                "--on-limits-loss",
                "share=2",
            ],
            "--on-limits-loss: N of share=N must be at least that of --processes",
        ),
        (
            &["--limits", "redis"],
            "--limits redis: needs --redis, --redis-file or KEYSTILE_REDIS_URL",
        ),
        (
            &[
                "--limits",
                "store",
                "--redis",
                "redis://:secret17@127.0.0.1",
            ],
            "--limits: must be redis if --redis, --redis-file or KEYSTILE_REDIS_URL is set",
        ),
        (
            &[
                "--redis",
                "redis://:secret17@127.0.0.1",
                "--redis-file",
                "url",
            ],
            "--redis-file: must not be set beside --redis or KEYSTILE_REDIS_URL",
        ),
        (
            &["--redis-file", "missing"],
            "--redis-file: cannot read the file",
        ),
        (
            &["--limits", "store", "--store", "memory:"],
            "--limits store: needs a store that other processes use, which memory: is not",
        ),
    ] {
        let ran = program(folder.path(), &[&["serve"], options].concat()).output();
        let ran = ran.unwrap();
        let errors = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(errors, format!("keystile: {message}\n"), "{options:?}");
        assert_eq!(ran.status.code(), Some(2));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
