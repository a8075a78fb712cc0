//! A server that is killed under load: what was acknowledged is there when it is back, and
//! meanwhile no request gets a wrong answer.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use keystile::{Cause, EventKind, KeyId, PepperRing, RotationPolicy, SysRng};
use keystile_store::{
    PostgresOptions, PostgresStore, Store, StoreError, record, revoke, rotate, save_issued,
};

use crate::database::Database;
use crate::keys::{answer, at, cause, format, issued, request};
use crate::server::Server;

const CYCLES: u64 = 50;

/// What each request of the load must get as its answer.
#[derive(Default)]
struct Expected {
    allowed: Mutex<Vec<String>>,
    /// Each of these states was acknowledged.
    revoked: Mutex<Vec<String>>,
}

impl Expected {
    /// One of each list, in turn.
    fn pick(list: &Mutex<Vec<String>>, turn: usize) -> Option<String> {
        let list = list.lock().unwrap();
        (!list.is_empty()).then(|| list[turn % list.len()].clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_a_kill() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let url = server.url("postgres");
    Database::at(url.clone()).await.store().await;
    let mut options = PostgresOptions::default();
    options.connect_timeout = Duration::from_secs(2);
    options.statement_timeout = Duration::from_secs(5);
    let store = PostgresStore::open_with(&url, &options).unwrap();

    let expected = Arc::new(Expected::default());
    let (stop, down) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (store, expected) = (store.clone(), expected.clone());
            let (stop, down) = (stop.clone(), down.clone());
            tokio::spawn(async move {
                let mut answered = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    answered += ask(&store, &expected, worker + answered, &down).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answered
            })
        })
        .collect();

    let (mut revoked, mut rotated): (Vec<KeyId>, Vec<(KeyId, KeyId)>) = Default::default();
    for cycle in 0..CYCLES {
        let first = new_key(&store).await;
        let id = first.0;
        if cycle % 2 == 0 {
            until(async || revoke(&store, &id, "leaked", at(cycle)).await).await;
            revoked.push(id);
            expected.revoked.lock().unwrap().push(first.1);
        } else {
            let successor = rotate_now(&store, &id, cycle).await;
            rotated.push((id, successor.0));
            expected.allowed.lock().unwrap().push(successor.1);
        }
        // One more is in flight when the server dies: it takes effect fully or not at all.
        let (doubtful, _) = new_key(&store).await;
        let under_way = tokio::spawn({
            let store = store.clone();
            async move { revoke(&store, &doubtful, "under way", at(cycle)).await }
        });
        tokio::time::sleep(Duration::from_micros(300 * (cycle % 7))).await;
        server.kill();
        let acknowledged = under_way.await.unwrap().is_ok();
        server.run();

        for id in &revoked {
            let found = until(async || record(&store, id).await).await;
            assert!(!found.is_live(at(0)), "cycle {cycle}: {id:?} is revoked");
        }
        for (old, new) in &rotated {
            let found = until(async || record(&store, old).await).await;
            assert_eq!(found.replaced_by, Some(*new), "cycle {cycle}: rotated");
        }
        let found = until(async || record(&store, &doubtful).await).await;
        let events = until(async || store.events(Some(&doubtful), 0, 9).await).await;
        let is_revoked = !found.is_live(at(0));
        let noted = events.events.last().unwrap().1.kind == EventKind::Revoked;
        assert_eq!(is_revoked, noted, "cycle {cycle}: a change and its event");
        assert!(
            is_revoked || !acknowledged,
            "cycle {cycle}: it was acknowledged"
        );
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    for worker in load {
        answered += worker.await.expect("no wrong answer");
    }
    let refused = down.load(Ordering::Relaxed);
    println!("{CYCLES} kills: {answered} requests answered rightly, {refused} unavailable");
    assert!(answered > 1_000 && refused > 0, "there was a load");
    let ended = core::mem::take(&mut *expected.revoked.lock().unwrap());
    for text in ended {
        assert_eq!(cause(&store, &text).await, Some(Cause::Revoked));
    }
}

/// Checks a key that must be allowed and one that must not; returns the number of answers.
async fn ask(store: &PostgresStore, expected: &Expected, turn: usize, down: &AtomicUsize) -> usize {
    let mut answered = 0;
    for (list, wanted) in [
        (&expected.allowed, None),
        (&expected.revoked, Some(Cause::Revoked)),
    ] {
        let Some(text) = Expected::pick(list, turn) else {
            continue;
        };
        match answer(store, &text).await {
            Ok(checked) => {
                let cause = checked.decision.denial().map(|denial| denial.cause());
                assert_eq!(cause, wanted, "a wrong answer");
                answered += 1;
            }
            Err(StoreError::Unavailable { .. }) => {
                down.fetch_add(1, Ordering::Relaxed);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    answered
}

/// Saves a key, and tries again until the server acknowledges it.
async fn new_key(store: &PostgresStore) -> (KeyId, String) {
    let issued = issued(&request());
    until(async || match save_issued(store, &issued).await {
        // The acknowledgement of an earlier try was lost.
        Err(StoreError::Duplicate) => Ok(()),
        kept => kept,
    })
    .await;
    (issued.record.id, issued.key.expose().to_owned())
}

async fn rotate_now(store: &PostgresStore, id: &KeyId, cycle: u64) -> (KeyId, String) {
    let policy = RotationPolicy::default();
    let none = PepperRing::none();
    let rotated = until(async || {
        let format = format();
        rotate(
            store,
            id,
            &policy,
            Some(&format),
            &none,
            &mut SysRng,
            at(cycle),
        )
        .await
    })
    .await;
    let text = rotated.key.expose().to_owned();
    (rotated.successor.id, text)
}

/// Waits until the server is there, which it is between two kills.
async fn until<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> T {
    loop {
        match work().await {
            Ok(done) => return done,
            Err(StoreError::Unavailable { .. }) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}
