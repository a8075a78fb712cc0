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
    let events = store.events(Some(&first.id), 0, 9).await.unwrap().events;
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

/// P2: a row can be removed by another one that takes its number, digest or id.
#[tokio::test]
async fn p2_no_row_takes_the_place_of_a_revoked_one() {
    let database = AppDatabase::new();
    for number in 1..=2 {
        database.row(number, "is_active", "TRUE");
    }
    let store = database.adopted().await;
    let revoked = "1000000000000001".parse().unwrap();
    revoke(&store, &revoked, "leaked", at(0)).await.unwrap();
    for set in [
        "id = 1",
        "rowid = 1",
        "oid = 1",
        "key_hash = (SELECT key_hash FROM api_keys WHERE id = 1)",
        "key_id = '1000000000000001'",
        "key_hash = (SELECT key_hash FROM api_keys WHERE id = 1), version = version + 1",
        "id = 1, version = version + 1",
    ] {
        let sql = format!("UPDATE OR REPLACE api_keys SET {set} WHERE id = 2");
        assert!(database.sql(&sql).is_err(), "{sql}");
        assert_eq!(cause(&store, 1, at(1)).await, Some(Cause::Revoked), "{sql}");
        assert_eq!(cause(&store, 2, at(1)).await, None, "{sql}");
    }
}

/// P2, K10: a re-import of an old dump, by any program.
#[tokio::test]
async fn p2_a_revoked_key_stays_revoked_if_its_row_is_inserted_again() {
    let database = AppDatabase::new();
    for number in 1..=5 {
        database.row(number, "is_active", "TRUE");
    }
    let store = database.adopted().await;
    let id = |number: usize| format!("1{number:015}").parse().unwrap();
    for number in 1..=4 {
        revoke(&store, &id(number), "leaked", at(0)).await.unwrap();
    }
    let insert = |number: usize, columns: &str, values: &str| {
        database
            .sql(&format!(
                "INSERT INTO api_keys (key_hash, key_prefix, client_name, is_active{columns})
                 VALUES ('{}', 'dt_', 'A', TRUE{values})",
                hash(number)
            ))
            .unwrap();
    };
    database.sql("DELETE FROM api_keys").unwrap();
    // As the application does, then with the id and the version of a dump.
    insert(1, "", "");
    insert(
        2,
        ", key_id, lineage, version, rate_window_ms",
        ", '1000000000000002', '1000000000000002', 1, 1000",
    );
    // With another digest but the id of a revoked key.
    database
        .sql(&format!(
            "INSERT INTO api_keys (key_hash, key_prefix, client_name, key_id, lineage,
                 rate_window_ms)
             VALUES ('{}', 'dt_', 'A', '1000000000000003', '1000000000000003', 1000)",
            hash(9)
        ))
        .unwrap();
    insert(5, "", "");
    for (number, expected) in [
        (1, Some(Cause::Revoked)),
        (2, Some(Cause::Revoked)),
        (9, Some(Cause::Revoked)),
        (5, None),
    ] {
        assert_eq!(
            cause(&store, number, at(1)).await,
            expected,
            "key {number}, and only a revoked one"
        );
    }
    let again = answer(&store, 1, at(1)).await.unwrap().record.unwrap();
    assert_eq!(
        again.status,
        Status::Revoked {
            at: at(0),
            reason: "leaked".into()
        }
    );
    for id in [again.id, id(2)] {
        let events = store.events(Some(&id), 0, 99).await.unwrap().events;
        let (_, last) = events.last().unwrap();
        assert_eq!(last.kind, EventKind::Revoked, "{events:?}");
        let record = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
        assert_eq!(last.version, Some(record.version));
    }
    // No other key can take the digest of a revoked one, and nor can keystile insert it.
    let taken = format!(
        "UPDATE api_keys SET key_hash = '{}' WHERE key_hash = '{}'",
        hash(4),
        hash(5)
    );
    assert!(database.sql(&taken).is_err());
    let mut record = again.clone();
    record.id = id(4);
    record.lineage = record.id;
    record.digest = keystile::Digest::sha256(app_database::key(4).as_bytes());
    record.status = Status::Active;
    record.version = 1;
    let mut batch = keystile_store::Batch::new();
    batch
        .events
        .push(keystile::Event::new(EventKind::Issued, record.id, at(2)).with_version(1));
    batch.inserts.push(record);
    store.commit(&batch).await.unwrap();
    assert_eq!(cause(&store, 4, at(2)).await, Some(Cause::Revoked));
    // Deleted and inserted once more.
    database.sql("DELETE FROM api_keys").unwrap();
    insert(1, "", "");
    assert_eq!(cause(&store, 1, at(3)).await, Some(Cause::Revoked));
}

/// P2: the digest that a key had before its present one is that of the same key.
#[tokio::test]
async fn p2_a_former_digest_of_a_revoked_key_stays_revoked() {
    let database = AppDatabase::new();
    database.row(1, "is_active", "TRUE");
    let store = database.adopted().await;
    let ring = PepperRing::new(keystile::Pepper::new(1, &[7; 32]).unwrap());
    let format = keystile::KeyFormat::opaque("dt").unwrap();
    let verifier = keystile::Verifier::new(format).with_peppers(ring);
    let text = app_database::key(1);
    let request = keystile::Request::new();
    let checked = keystile_store::check(&store, &verifier, text.as_bytes(), &request, at(0)).await;
    let record = checked.unwrap().record.unwrap();
    assert_ne!(
        record.digest,
        keystile::Digest::sha256(text.as_bytes()),
        "it is renewed"
    );
    revoke(&store, &record.id, "leaked", at(1)).await.unwrap();
    for deleted in [false, true] {
        if deleted {
            database.sql("DELETE FROM api_keys").unwrap();
        }
        database.row(1, "is_active", "TRUE");
        assert_eq!(
            cause(&store, 1, at(2)).await,
            Some(Cause::Revoked),
            "deleted: {deleted}"
        );
    }
}

/// Who has cached a later version must not take a restored row for an older copy.
#[tokio::test]
async fn a_key_that_is_inserted_again_continues_its_versions() {
    let database = AppDatabase::new();
    database.row(1, "permissions", "'[\"read\"]'");
    let store = database.adopted().await;
    let id = "1000000000000001".parse().unwrap();
    suspend(&store, &id, at(0)).await.unwrap();
    resume(&store, &id, at(1)).await.unwrap();
    let before = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
    let mut versions = vec![before.version];
    let columns = "id, key_hash, key_prefix, client_name, permissions, created_at, is_active,
         rate_limit, rate_window_ms, key_id, lineage";
    database
        .sql(&format!(
            "CREATE TABLE dump AS SELECT {columns} FROM api_keys"
        ))
        .unwrap();
    for (delete, insert) in [
        ("DELETE FROM api_keys", "INSERT"),
        ("SELECT 1 WHERE 0", "INSERT OR REPLACE"),
    ] {
        let _ = database.sql(delete);
        let restore = format!("{insert} INTO api_keys ({columns}) SELECT {columns} FROM dump");
        database.sql(&restore).unwrap();
        let found = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
        assert!(found.permissions.grants("read"), "it is restored");
        versions.push(found.version);
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let events = store.events(Some(&id), 0, 99).await.unwrap().events;
    let last = events.last().unwrap().1.version;
    assert_eq!(last, versions.last().copied(), "{events:?}");
}

/// A renewed digest writes nothing else: not even what its author has read.
#[tokio::test]
async fn a_renewed_digest_undoes_no_restriction_without_the_guards() {
    let database = AppDatabase::new();
    database.row(1, "permissions", "'[\"read\"]'");
    let store = database.adopted().await;
    let read = answer(&store, 1, at(0)).await.unwrap().record.unwrap();
    let restrict = "UPDATE api_keys SET allowed_endpoints = '[]', owner = 'tenant-7'";
    database.sql("DROP TRIGGER api_keys_changed").unwrap();
    database.sql(restrict).unwrap();
    let ring = PepperRing::new(keystile::Pepper::new(1, &[7; 32]).unwrap());
    let format = keystile::KeyFormat::opaque("dt").unwrap();
    let text = app_database::key(1);
    let key = format.parse(text.as_bytes()).unwrap();
    let renewed = keystile::rehash(&read, &key, &ring, at(1)).unwrap();
    let batch = keystile_store::Batch::of_rehash(&renewed);
    store.commit(&batch).await.unwrap();
    let found = store.find(&Lookup::Id(read.id)).await.unwrap().unwrap();
    assert_eq!(found.digest, renewed.record.digest);
    assert_eq!(found.owner.as_deref(), Some("tenant-7"));
    assert!(found.allowed_endpoints.is_some(), "the restriction stays");
}
