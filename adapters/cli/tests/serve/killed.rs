//! What was acknowledged is in force, even after a kill in the middle of other work.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::io::Write;
use std::time::Instant;

use serde_json::json;

use crate::serving::{Serving, call};

const CYCLES: usize = 50;
/// Clients that send requests the whole time.
const LOAD: usize = 3;

/// In each cycle a key is revoked and another one rotated. As soon as both are acknowledged,
/// the process is killed and started again.
#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path(), &[]);
    let admin = serving.first.clone().unwrap();
    let issue = |serving: &Serving| {
        let asked = json!({ "client_name": "Acme", "permissions": ["read"] });
        let (status, issued) = serving.call(&admin, "POST /v1/keys", Some(&asked));
        assert_eq!(status, 201, "{issued}");
        let text = |field: &str| issued[field].as_str().unwrap().to_owned();
        (text("key"), text("key_id"))
    };
    let (start, asked) = (Instant::now(), AtomicU64::new(0));
    let mut ended: Vec<(String, &str)> = Vec::new();
    let mut live = Vec::new();
    for cycle in 0..CYCLES {
        let [(revoked, revoked_id), (rotated, rotated_id), (busy, _)] =
            [(); 3].map(|()| issue(&serving));
        for key in [&revoked, &rotated, &busy] {
            assert_eq!(serving.decision(key), "allowed", "and so is cached");
        }
        let (address, over) = (serving.address, AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..LOAD {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        if call(address, &busy, "POST /v1/verify", None).is_some() {
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let revoke = format!("POST /v1/keys/{revoked_id}/revoke");
            assert_eq!(serving.call(&admin, &revoke, None).0, 200, "cycle {cycle}");
            let at_once = json!({ "overlap_seconds": 0 });
            let rotate = format!("POST /v1/keys/{rotated_id}/rotate");
            let (status, successor) = serving.call(&admin, &rotate, Some(&at_once));
            assert_eq!(status, 201, "cycle {cycle}: {successor}");
            // In force when the call returns, in this process.
            assert_eq!(serving.decision(&revoked), "key_revoked");
            assert_eq!(serving.decision(&rotated), "key_replaced");
            live.push(successor["key"].as_str().unwrap().to_owned());
            ended.push((revoked, "key_revoked"));
            ended.push((rotated, "key_replaced"));
            serving.kill();
            over.store(true, Ordering::Relaxed);
        });
        serving = Serving::start(folder.path(), &[]);
        assert_eq!(serving.first, None);
        let newest = ended.len() - 2..;
        for (key, code) in &ended[newest] {
            assert_eq!(&serving.decision(key), code, "cycle {cycle}");
        }
        assert_eq!(serving.decision(&live[cycle]), "allowed", "cycle {cycle}");
    }
    for (key, code) in &ended {
        assert_eq!(&serving.decision(key), code);
    }
    for key in &live {
        assert_eq!(serving.decision(key), "allowed");
    }
    let (asked, took) = (asked.into_inner(), start.elapsed());
    assert!(asked > 0, "there was load");
    // Not with a macro, whose output the test harness captures.
    let _ = writeln!(
        std::io::stderr(),
        "{CYCLES} kills: {} acknowledged endings and {} successors in force, under {asked} \
         other requests, in {took:.1?}",
        ended.len(),
        live.len()
    );
}
