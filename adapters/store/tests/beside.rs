//! An application continues to use a table that was adopted, and each sees the changes of the
//! other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

#[path = "adoption/app_database.rs"]
mod app_database;

use app_database::{AppDatabase, answer, at, cause, hash};
use keystile::{Cause, EventKind, Lookup, PepperRing, RotationPolicy, Status, SysRng};
use keystile_store::{Store, StoreError, resume, revoke, rotate, suspend};

#[tokio::test]
async fn the_application_sees_what_we_change() {
    let database = AppDatabase::new();
    database.row(1, "permissions", "'[\"read\"]'");
    let store = database.adopted().await;
    let id = "1000000000000001".parse().unwrap();
    suspend(&store, &id, at(1)).await.unwrap();
    assert!(!database.application_accepts(1), "a suspended key");
    resume(&store, &id, at(2)).await.unwrap();
    assert!(database.application_accepts(1), "a resumed one");

    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let rotated = rotate(&store, &id, &policy, None, &none, &mut SysRng, at(3))
        .await
        .unwrap();
    let text = rotated.key.expose();
    assert!(
        text.starts_with("dt_") && text.len() == 67,
        "a successor is spelled as the key was"
    );
    let (hash, prefix): (String, String) = database
        .application
        .query_row(
            "SELECT key_hash, key_prefix FROM api_keys ORDER BY id DESC",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let digest = keystile::Digest::sha256(text.as_bytes());
    assert_eq!(
        format!("sha256:{hash}"),
        digest.to_string(),
        "by what the application looks up"
    );
    assert_eq!(prefix, text[..10]);

    revoke(&store, &id, "replaced", at(4)).await.unwrap();
    assert!(!database.application_accepts(1), "a revoked key");
}

#[tokio::test]
async fn we_see_what_the_application_changes() {
    let database = AppDatabase::new();
    let store = database.adopted().await;
    database.row(
        1,
        "permissions, expires_at",
        "'[\"read\"]', '2099-01-01 00:00:00'",
    );
    database.row(2, "is_active", "FALSE");
    assert_eq!(
        cause(&store, 1, at(0)).await,
        None,
        "a key that it issues beside us"
    );
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::Revoked),
        "one that it issues dead"
    );

    let first = answer(&store, 1, at(1)).await.unwrap().record.unwrap();
    assert_eq!(first.version, 1);
    let stale = keystile::suspend(&first, at(2)).unwrap();
    database
        .sql("UPDATE api_keys SET permissions = '[\"read\",\"write\"]' WHERE id = 1")
        .unwrap();
    let lost = store.commit(&keystile_store::Batch::of(&stale)).await;
    assert!(
        matches!(lost, Err(StoreError::Stale)),
        "its change is a version: {lost:?}"
    );
    let changed = answer(&store, 1, at(3)).await.unwrap().record.unwrap();
    assert!(changed.permissions.grants("write"));

    // Recording a last use is not a change of the record, in any form of the instant.
    database
        .sql("UPDATE api_keys SET last_used_at = '2026-06-21 13:00:00' WHERE id = 1")
        .unwrap();
    store.note_uses(&[(first.id, at(1))]).await.unwrap();
    let found = store.find(&Lookup::Id(first.id)).await.unwrap().unwrap();
    assert_eq!(
        found.last_used_at,
        Some(at(3_600_000)),
        "the later of the two"
    );
    assert_eq!(found.version, changed.version);

    let stale = keystile::suspend(&found, at(4)).unwrap();
    database
        .sql("UPDATE api_keys SET is_active = FALSE WHERE id = 1")
        .unwrap();
    assert_eq!(
        cause(&store, 1, at(5)).await,
        Some(Cause::Revoked),
        "it revokes by is_active"
    );
    let lost = store.commit(&keystile_store::Batch::of(&stale)).await;
    assert!(
        matches!(lost, Err(StoreError::Stale)),
        "which no stale change undoes: {lost:?}"
    );
    let events = store.events(Some(&first.id), 0, 9).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::Imported, EventKind::Changed, EventKind::Revoked],
        "and each leaves its event"
    );
}

/// P2, K10: by any writer and any statement.
#[tokio::test]
async fn no_statement_restores_a_revoked_key() {
    let database = AppDatabase::new();
    database.row(1, "is_active", "TRUE");
    database.row(2, "is_active", "TRUE");
    let store = database.adopted().await;
    let [revoked, suspended] =
        ["1000000000000001", "1000000000000002"].map(|id| id.parse().unwrap());
    revoke(&store, &revoked, "leaked", at(0)).await.unwrap();
    suspend(&store, &suspended, at(0)).await.unwrap();
    for sql in [
        "UPDATE api_keys SET is_active = TRUE".to_owned(),
        "UPDATE api_keys SET is_active = TRUE, status = 'active' WHERE id = 1".to_owned(),
        "UPDATE api_keys SET status = 'active', is_active = 1, revoked_at = NULL,
             revoke_reason = NULL, version = version + 1 WHERE id = 1"
            .to_owned(),
        "UPDATE api_keys SET status = 'suspended', revoked_at = NULL, revoke_reason = NULL
             WHERE id = 1"
            .to_owned(),
        "UPDATE api_keys SET revoke_reason = 'none' WHERE id = 1".to_owned(),
        "UPDATE api_keys SET is_active = TRUE WHERE id = 2".to_owned(),
        "UPDATE api_keys SET version = 1".to_owned(),
        format!(
            "INSERT OR REPLACE INTO api_keys (key_hash, key_prefix, client_name)
             VALUES ('{}', 'dt_', 'A')",
            hash(1)
        ),
        "UPDATE api_keys SET status = 'expired' WHERE id = 2".to_owned(),
    ] {
        let refused = database.sql(&sql);
        assert!(refused.is_err(), "{sql}");
        assert_eq!(cause(&store, 1, at(1)).await, Some(Cause::Revoked), "{sql}");
        assert_eq!(
            cause(&store, 2, at(1)).await,
            Some(Cause::Suspended),
            "{sql}"
        );
    }
    let record = store.find(&Lookup::Id(revoked)).await.unwrap().unwrap();
    assert_eq!(
        record.status,
        Status::Revoked {
            at: at(0),
            reason: "leaked".into()
        }
    );
}
