//! What other code writes into the table is in force in a running service, within about 2 s.

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::cases::{CASES, Case, statement};
use crate::serving::Serving;

/// A change by other code is in force within 2 s. A machine that is busy with other tests may take
/// longer, so only the end of this time is a failure; without the change's event it would be 300 s.
const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn each_change_by_other_code_is_in_force_soon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystile.db");
    heard(
        folder.path(),
        &[],
        |case| case.sqlite,
        |sql| {
            let other = rusqlite::Connection::open(&path).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            let no_foreign_keys = "PRAGMA foreign_keys = OFF";
            for sql in [no_foreign_keys, sql] {
                other.execute_batch(sql).unwrap();
            }
        },
    );
}

#[cfg(feature = "postgres")]
#[test]
fn each_change_by_other_code_is_in_force_soon_through_a_server() {
    let Some(server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("postgres");
    heard(
        folder.path(),
        &["--store", &url],
        |case| case.postgres,
        |sql| server.psql("postgres", sql),
    );
}

fn heard(folder: &Path, store: &[&str], sql: impl Fn(&Case) -> &'static str, run: impl Fn(&str)) {
    let serving = Serving::start(folder, store);
    let admin = serving.first.clone().unwrap();
    let body = json!({
        "client_name": "Acme", "environment": "live", "permissions": ["read"],
        "rate_limit": { "limit": 1_000_000, "window_ms": 3_600_000 },
    });
    let request = json!({
        "requires": "read", "environment": "live", "path": "/api/data", "ip": "192.0.2.9",
    });
    let is_allowed = |key: &str| {
        let (_, answer) = serving.call(key, "POST /v1/verify", Some(&request));
        answer["decision"] == "allow"
    };
    // A change that denies nothing is not visible from outside.
    let denying: Vec<&Case> = CASES.iter().filter(|case| case.denied).collect();
    let keys: Vec<_> = denying
        .iter()
        .map(|case| {
            let (_, issued) = serving.call(&admin, "POST /v1/keys", Some(&body));
            let text = |name: &str| issued[name].as_str().unwrap().to_owned();
            (text("key"), text("key_id"), sql(case))
        })
        .collect();
    // Until it has heard of the last one: what it caches from then on stays cached.
    std::thread::sleep(Duration::from_millis(1_500));
    for (key, _, sql) in &keys {
        assert!(is_allowed(key), "{sql}");
    }
    let changes = keys.iter().zip(1..);
    let changes = changes.filter(|((_, _, sql), _)| !sql.contains("FROM api_key_usage"));
    let changes: Vec<_> = changes.collect();
    let all: Vec<String> = changes
        .iter()
        .map(|((_, id, sql), number)| statement(sql, id, *number))
        .collect();
    run(&all.join(";\n"));
    let start = Instant::now();
    let mut waiting: Vec<_> = changes.iter().map(|(key, _)| key).collect();
    while !waiting.is_empty() {
        let elapsed = start.elapsed();
        waiting.retain(|(key, _, _)| is_allowed(key));
        let still: Vec<_> = waiting.iter().map(|(_, _, sql)| sql).collect();
        assert!(
            still.is_empty() || elapsed <= WITHIN,
            "not in force after {elapsed:?}: {still:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
