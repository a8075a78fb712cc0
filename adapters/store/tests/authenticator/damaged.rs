//! Damaged rows, under an authenticator: denied, reported once, and heard of.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{DenialCode, IssueRequest, Issued};
use keystile_store::{Authenticator, SqliteStore, StoreError};
use rusqlite::Connection;

use crate::scripted::{ask, at, code, has_begun, issued, issued_as, over};

async fn beside(folder: &tempfile::TempDir) -> (Arc<SqliteStore>, Connection) {
    let path = folder.path().join("keys.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.migrate().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    (store, other)
}

fn change(other: &Connection, key: &Issued, set: &str) {
    let sql = format!("UPDATE api_keys SET {set} WHERE key_id = ?1");
    assert_eq!(other.execute(&sql, [key.record.id.as_str()]).unwrap(), 1);
}

async fn until(
    authenticator: &Authenticator<SqliteStore>,
    key: &Issued,
    expected: Option<DenialCode>,
) {
    let start = Instant::now();
    while code(&ask(authenticator, key).await) != expected {
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(60), "never {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_damaged_row_is_denied_and_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let counted = IssueRequest::new("Acme").unwrap().uses(9).unwrap();
    let keys = [issued(&*store).await, issued_as(&*store, counted).await];
    let sound = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    for key in &keys {
        change(&other, key, "permissions = 'not json'");
        let first = ask(&authenticator, key).await;
        assert_eq!(code(&first), Some(DenialCode::RecordDamaged));
        let Some(StoreError::Corrupt(row)) = first.failure.as_deref() else {
            panic!("{first:?}")
        };
        assert_eq!(
            (row.key_id, row.column),
            (Some(key.record.id), "permissions")
        );
        for _ in 0..3 {
            let again = ask(&authenticator, key).await;
            assert_eq!(code(&again), Some(DenialCode::RecordDamaged));
            assert!(again.failure.is_none(), "reported before");
        }
        assert_eq!(code(&ask(&authenticator, &sound).await), None);
    }
    // A damaged usage is the key's damage too.
    let key = issued_as(&*store, IssueRequest::new("Acme").unwrap().uses(9).unwrap()).await;
    let sql = "UPDATE api_key_usage SET remaining_uses = 0.5 WHERE lineage = ?1";
    assert_eq!(other.execute(sql, [key.record.id.as_str()]).unwrap(), 1);
    let denied = ask(&authenticator, &key).await;
    assert_eq!(code(&denied), Some(DenialCode::RecordDamaged));
}

#[tokio::test]
async fn damage_of_a_cached_key_and_its_mending_are_heard_of() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    change(&other, &key, "permissions = 'not json'");
    until(&authenticator, &key, Some(DenialCode::RecordDamaged)).await;
    change(&other, &key, "permissions = '[]'");
    until(&authenticator, &key, None).await;
    // A verb is in force when it returns, also if the row is damaged by then.
    change(&other, &key, "permissions = 'not json'");
    let outcome = authenticator.revoke(&key.record.id, "leaked", at(1)).await;
    assert!(outcome.unwrap().damage().is_some());
    assert!(code(&ask(&authenticator, &key).await).is_some());
    change(&other, &key, "permissions = '[]'");
    let denied = ask(&authenticator, &key).await;
    assert_eq!(code(&denied), Some(DenialCode::KeyRevoked));
}

/// What a damaged event changed is not known: everything is read again, and later events too.
#[tokio::test]
async fn a_damaged_event_invalidates_everything_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let (changed, revoked) = (issued(&*store).await, issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    for key in [&changed, &revoked] {
        assert_eq!(code(&ask(&authenticator, key).await), None);
    }
    // Without its trigger this change leaves only the event that is written here.
    other
        .execute_batch("DROP TRIGGER api_keys_changed")
        .unwrap();
    change(&other, &changed, "status = 'suspended', is_active = 0");
    let sql = "INSERT INTO api_key_events (kind, key_id, at) VALUES ('forged', ?1, '2026-01-01')";
    other.execute(sql, [changed.record.id.as_str()]).unwrap();
    keystile_store::revoke(&*store, &revoked.record.id, "leaked", at(1))
        .await
        .unwrap();
    until(&authenticator, &changed, Some(DenialCode::KeySuspended)).await;
    until(&authenticator, &revoked, Some(DenialCode::KeyRevoked)).await;
    assert_eq!(authenticator.stats().stale_for, Duration::ZERO);
}
