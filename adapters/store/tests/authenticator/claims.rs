//! Counted uses while another program holds the write lock of the file.

use core::time::Duration;
use std::sync::Arc;

use keystile::{DenialCode, IssueRequest, Usage};
use keystile_store::{SqliteStore, Store, UnavailableKind};

use crate::scripted::{ask, code, issued, issued_as, over};

/// Claims that wait for a lock take no place from fetches, and are not begun later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_write_lock_delays_only_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.migrate().await.unwrap();
    let mut counted = Vec::new();
    for _ in 0..30 {
        let request = IssueRequest::new("Acme").unwrap().uses(10).unwrap();
        counted.push(issued_as(&*store, request).await);
    }
    let mut plain = Vec::new();
    for _ in 0..20 {
        plain.push(issued(&*store).await);
    }
    let process = over(&store)
        .store_timeout(Duration::from_secs(2))
        .fetches_at_once(4)
        .build()
        .unwrap();

    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let claims: Vec<_> = counted
        .iter()
        .flat_map(|key| [key, key])
        .map(|key| {
            let (process, key) = (process.clone(), key.key.expose().to_owned());
            tokio::spawn(async move {
                let request = keystile::Request::new();
                let now = crate::scripted::at(1_000);
                process.check(key.as_bytes(), &request, now).await
            })
        })
        .collect();
    // Each of these is fetched, while the claims wait.
    for key in &plain {
        assert_eq!(code(&ask(&process, key).await), None);
    }
    for claim in claims {
        let answer = claim.await.unwrap();
        assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
        let failure = answer.failure.expect("the store's error");
        assert_eq!(failure.unavailable_kind(), Some(UnavailableKind::Late));
    }
    other.execute_batch("ROLLBACK").unwrap();

    // A write takes its turn after all that wait, and none of these is written.
    issued(&*store).await;
    for key in &counted {
        let usage = store.usage(&key.record.lineage).await.unwrap().usage;
        assert_eq!(usage, Usage::of(&key.record), "no caller waited for it");
        assert_eq!(code(&ask(&process, key).await), None, "and now it passes");
    }
}
