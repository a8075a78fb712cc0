//! Two processes that serve the same store.

use core::time::Duration;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use crate::serving::Serving;

/// A revocation is in force everywhere within this time.
const WITHIN: Duration = Duration::from_secs(20);
const ROUNDS: usize = 8;

#[test]
fn a_revocation_is_in_force_in_the_other_process_within_5_s() {
    let folder = tempfile::tempdir().unwrap();
    beside(folder.path(), &[], "SQLite");
}

#[cfg(feature = "postgres")]
#[test]
fn a_revocation_is_heard_of_through_a_server() {
    let Some(server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("postgres");
    beside(folder.path(), &["--store", &url], "PostgreSQL");
}

fn beside(folder: &Path, store: &[&str], name: &str) {
    let one = Serving::start(folder, store);
    let admin = one.first.clone().unwrap();
    let other = Serving::start(folder, store);
    let mut worst = Duration::ZERO;
    for _ in 0..ROUNDS {
        let asked = json!({ "client_name": "Acme" });
        let (_, issued) = one.call(&admin, "POST /v1/keys", Some(&asked));
        let (key, id) = (
            issued["key"].as_str().unwrap(),
            issued["key_id"].as_str().unwrap(),
        );
        for process in [&one, &other] {
            assert_eq!(process.decision(key), "allowed", "and so is cached");
        }
        let (status, _) = one.call(&admin, &format!("POST /v1/keys/{id}/revoke"), None);
        assert_eq!(status, 200);
        let start = Instant::now();
        assert_eq!(
            one.decision(key),
            "key_revoked",
            "at once where it was said"
        );
        while other.decision(key) != "key_revoked" {
            assert!(start.elapsed() < WITHIN, "not heard of");
            std::thread::sleep(Duration::from_millis(2));
        }
        worst = worst.max(start.elapsed());
    }
    // Not with a macro, whose output the test harness captures.
    let _ = writeln!(
        std::io::stderr(),
        "{name}: in force in another process after {worst:.0?} at worst, of {ROUNDS}"
    );
}
