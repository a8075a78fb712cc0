//! An application continues to use a table that was adopted; each sees the changes of the
//! other; and the guards apply to every writer.

use keystile::{Cause, Event, EventKind, Lookup, PepperRing, RotationPolicy, Status, SysRng};
use keystile_store::{Batch, Store, StoreError, resume, revoke, rotate, suspend};

use crate::adoption::{answer, application, at, cause, hash, row};
use crate::database::Database;
use crate::keys::{self, kept};

#[tokio::test]
async fn the_application_sees_what_we_change() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "permissions", "'[\"read\"]'").await;
    let store = database.store().await;
    let accepts = async || -> bool {
        let sql = "SELECT is_active FROM api_keys WHERE key_hash = $1";
        let row = database.other.query_one(sql, &[&hash(1)]).await.unwrap();
        row.get(0)
    };
    let id = "1000000000000001".parse().unwrap();
    suspend(&store, &id, at(1)).await.unwrap();
    assert!(!accepts().await, "a suspended key");
    resume(&store, &id, at(2)).await.unwrap();
    assert!(accepts().await, "a resumed one");

    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let rotated = rotate(&store, &id, &policy, None, &none, &mut SysRng, at(3)).await;
    let rotated = rotated.unwrap();
    let text = rotated.key.expose();
    let digest = keystile::Digest::sha256(text.as_bytes()).to_string();
    let sql = "SELECT key_prefix FROM api_keys WHERE 'sha256:' || key_hash = $1";
    let found = database.other.query_one(sql, &[&digest]).await.unwrap();
    let prefix: String = found.get(0);
    assert_eq!(prefix, text[..10], "by what the application looks up");

    revoke(&store, &id, "replaced", at(4)).await.unwrap();
    assert!(!accepts().await, "a revoked key");
}

#[tokio::test]
async fn we_see_what_the_application_changes() {
    let Some(database) = application().await else {
        return;
    };
    let store = database.store().await;
    row(
        &database,
        1,
        "permissions, expires_at",
        "'[\"read\"]', '2099-01-01'",
    )
    .await;
    row(&database, 2, "is_active", "FALSE").await;
    assert_eq!(cause(&store, 1, at(0)).await, None, "a key of its own");
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::Revoked),
        "one that it issues dead"
    );
    let first = answer(&store, 1, at(1)).await.unwrap().record.unwrap();
    assert_eq!(first.version, 1);
    let mut version = 1;
    for change in [
        "permissions = '[\"read\",\"write\"]'",
        "metadata = '{\"plan\": \"gold\"}'",
        "expires_at = '2098-01-01'",
        "rate_limit = 7",
        "allowed_endpoints = '[\"/api/*\"]'",
    ] {
        let read = store.find(&Lookup::Id(first.id)).await.unwrap().unwrap();
        let stale = keystile::suspend(&read, at(2)).unwrap();
        let sql = format!("UPDATE api_keys SET {change} WHERE id = 1");
        database.sql(&sql).await.unwrap();
        let lost = store.commit(&Batch::of(&stale)).await;
        assert!(
            matches!(lost, Err(StoreError::Stale)),
            "its change is a version: {change}: {lost:?}"
        );
        database.sql(&sql).await.unwrap();
        let now = store.find(&Lookup::Id(first.id)).await.unwrap().unwrap();
        version += 1;
        assert_eq!(now.version, version, "and the same once more is none");
    }
    let changed = answer(&store, 1, at(3)).await.unwrap().record.unwrap();
    assert!(changed.permissions.grants("write"));
    assert_eq!(changed.metadata.as_deref(), Some("{\"plan\": \"gold\"}"));
    assert_eq!(changed.rate_limit.unwrap().limit(), 7);

    // A use is not a change of the record.
    let use_ = "UPDATE api_keys SET last_used_at = '2026-06-21 13:00:00.0005+00' WHERE id = 1";
    database.sql(use_).await.unwrap();
    store.note_uses(&[(first.id, at(1))]).await.unwrap();
    let found = store.find(&Lookup::Id(first.id)).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(at(3_600_000)), "the later one");
    assert_eq!(found.version, version);

    let revoke = "UPDATE api_keys SET is_active = NULL WHERE id = 1";
    database.sql(revoke).await.unwrap();
    assert_eq!(cause(&store, 1, at(5)).await, Some(Cause::Revoked));
    row(&database, 3, "is_active", "TRUE").await;
    let third = answer(&store, 3, at(5)).await.unwrap().record.unwrap();
    let delete = "DELETE FROM api_keys WHERE id = 3";
    database.sql(delete).await.unwrap();
    assert_eq!(cause(&store, 3, at(5)).await, Some(Cause::UnknownKey));
    for (id, ended, changes) in [
        (first.id, EventKind::Revoked, 5),
        (third.id, EventKind::Deleted, 0),
    ] {
        let events = store.events(Some(&id), 0, 9).await.unwrap().events;
        let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
        let mut expected = vec![EventKind::Changed; changes];
        expected.insert(0, EventKind::Imported);
        expected.push(ended);
        assert_eq!(kinds, expected, "{id:?}");
    }
}

/// P2, K10: by any writer and any statement.
#[tokio::test]
async fn no_statement_restores_a_revoked_key() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "is_active", "TRUE").await;
    row(&database, 2, "is_active", "TRUE").await;
    let store = database.store().await;
    let [revoked, suspended] =
        ["1000000000000001", "1000000000000002"].map(|id| id.parse().unwrap());
    revoke(&store, &revoked, "leaked", at(0)).await.unwrap();
    suspend(&store, &suspended, at(0)).await.unwrap();
    let upsert = format!(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name) VALUES ('{}', 'dt_', 'A')
         ON CONFLICT (key_hash) DO UPDATE SET is_active = TRUE",
        hash(1)
    );
    for sql in [
        "UPDATE api_keys SET is_active = TRUE",
        "UPDATE api_keys SET is_active = NULL WHERE id = 1",
        "UPDATE api_keys SET is_active = TRUE, status = 'active' WHERE id = 1",
        "UPDATE api_keys SET status = 'active', is_active = TRUE, revoked_at = NULL,
             revoke_reason = NULL, version = version + 1 WHERE id = 1",
        "UPDATE api_keys SET status = 'suspended', revoked_at = NULL, revoke_reason = NULL
             WHERE id = 1",
        "UPDATE api_keys SET revoke_reason = 'none' WHERE id = 1",
        "UPDATE api_keys SET revoked_at = now() WHERE id = 1",
        "UPDATE api_keys SET is_active = TRUE WHERE id = 2",
        "UPDATE api_keys SET version = 1",
        "UPDATE api_keys SET status = 'expired' WHERE id = 2",
        &upsert,
    ] {
        assert!(database.sql(sql).await.is_err(), "{sql}");
        assert_eq!(cause(&store, 1, at(1)).await, Some(Cause::Revoked), "{sql}");
        let second = cause(&store, 2, at(1)).await;
        assert_eq!(second, Some(Cause::Suspended), "{sql}");
    }
    let record = store.find(&Lookup::Id(revoked)).await.unwrap().unwrap();
    let leaked = Status::Revoked {
        at: at(0),
        reason: "leaked".into(),
    };
    assert_eq!(record.status, leaked);
}

/// The triggers guard against other writers; the store's statements do not need them.
#[tokio::test]
async fn a_revocation_is_final_without_the_triggers() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let issued = kept(&store, &keys::request()).await;
    database
        .sql("ALTER TABLE api_keys DISABLE TRIGGER USER")
        .await
        .unwrap();
    let revoked = revoke(&store, &issued.record.id, "leaked", at(1))
        .await
        .unwrap()
        .into_record()
        .unwrap();
    let mut batch = Batch::new();
    let mut back = issued.record.clone();
    back.version = revoked.version + 1;
    let event = Event::new(EventKind::Changed, back.id, at(2)).with_version(back.version);
    batch.events.push(event);
    batch.updates.push(back);
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let found = store.find(&Lookup::Id(revoked.id)).await.unwrap();
    assert_eq!(found, Some(revoked));
}

/// An older program with rights only on its table continues to work.
#[tokio::test]
async fn the_guards_need_no_rights_of_the_application() {
    let Some(database) = application().await else {
        return;
    };
    let store = database.store().await;
    let role = format!("app_{}", database.url.rsplit('/').next().unwrap());
    database
        .sql(&format!(
            "CREATE ROLE {role};
             GRANT SELECT, INSERT, UPDATE ON api_keys TO {role};
             GRANT USAGE ON api_keys_id_seq TO {role};
             SET ROLE {role}"
        ))
        .await
        .unwrap();
    row(&database, 1, "is_active", "TRUE").await;
    assert_eq!(cause(&store, 1, at(0)).await, None);
    let sql = "UPDATE api_keys SET is_active = FALSE";
    database.sql(sql).await.unwrap();
    assert_eq!(cause(&store, 1, at(0)).await, Some(Cause::Revoked));
    let forged = "INSERT INTO api_key_events (number, kind, key_id, at)
         VALUES (1, 'resumed', '1000000000000001', now())";
    assert!(database.sql(forged).await.is_err(), "and gains none");
}

/// P2, K10: a re-import of an old dump, by any program, after DELETE and after TRUNCATE.
#[tokio::test]
async fn p2_a_revoked_key_stays_revoked_if_its_row_is_inserted_again() {
    let Some(database) = application().await else {
        return;
    };
    for number in 1..=3 {
        row(&database, number, "is_active", "TRUE").await;
    }
    let store = database.store().await;
    let id = |number: usize| format!("1{number:015}").parse().unwrap();
    for number in 1..=2 {
        let revoked = revoke(&store, &id(number), "leaked", at(0)).await;
        revoked.unwrap();
    }
    let dump = "CREATE TABLE dump AS SELECT id, key_hash, key_prefix, client_name, permissions,
         created_at, TRUE AS is_active, rate_limit, rate_window_ms, key_id, lineage FROM api_keys";
    database.sql(dump).await.unwrap();
    let columns = "id, key_hash, key_prefix, client_name, permissions, created_at, is_active";
    for (remove, columns) in [
        ("DELETE FROM api_keys", columns.to_owned()),
        ("TRUNCATE api_keys", columns.to_owned()),
        (
            "DELETE FROM api_keys",
            format!("{columns}, rate_limit, rate_window_ms, key_id, lineage"),
        ),
        (
            "TRUNCATE api_keys",
            format!("{columns}, rate_limit, rate_window_ms, key_id, lineage"),
        ),
        (
            "SET session_replication_role = replica; TRUNCATE api_keys",
            columns.to_owned(),
        ),
    ] {
        let restore = format!(
            "{remove}; INSERT INTO api_keys ({columns}) SELECT {columns} FROM dump;
             RESET session_replication_role"
        );
        database.sql(&restore).await.unwrap();
        for (number, expected) in [
            (1, Some(Cause::Revoked)),
            (2, Some(Cause::Revoked)),
            (3, None),
        ] {
            let found = answer(&store, number, at(1)).await.unwrap();
            let denial = found.decision.denial().map(|denial| denial.cause());
            assert_eq!(denial, expected, "key {number} after {restore}");
            let record = found.record.unwrap();
            let events = store.events(Some(&record.id), 0, 999).await.unwrap().events;
            let (_, last) = events.last().unwrap();
            let kind = match expected {
                Some(_) => EventKind::Revoked,
                None => EventKind::Imported,
            };
            assert_eq!(
                (last.kind, last.version),
                (kind, Some(record.version)),
                "key {number} after {restore}"
            );
        }
    }
    let leaked = Status::Revoked {
        at: at(0),
        reason: "leaked".into(),
    };
    let first = answer(&store, 1, at(2)).await.unwrap().record.unwrap();
    assert_eq!(first.status, leaked);
    // No other key can take the digest of one that is revoked and gone.
    database
        .sql("DELETE FROM api_keys WHERE key_hash <> (SELECT key_hash FROM dump WHERE id = 3)")
        .await
        .unwrap();
    let taken = "UPDATE api_keys SET key_hash = (SELECT key_hash FROM dump WHERE id = 2)";
    assert!(database.sql(taken).await.is_err());
}

/// P2: the insert waits for the delete, and sees only afterwards what it left.
#[tokio::test]
async fn p2_a_revoked_key_stays_revoked_if_it_is_deleted_and_inserted_at_once() {
    let columns = "id, key_hash, key_prefix, client_name, permissions, created_at, is_active";
    let insert =
        format!("INSERT INTO api_keys ({columns}) SELECT {columns} FROM dump WHERE id = 1");
    let whole = format!("{columns}, rate_limit, rate_window_ms, key_id, lineage, version");
    let whole = format!("INSERT INTO api_keys ({whole}) SELECT {whole} FROM dump WHERE id = 1");
    let taken = "UPDATE api_keys SET key_hash = (SELECT key_hash FROM dump WHERE id = 1)
         WHERE id = 2";
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        for statement in [insert.as_str(), whole.as_str(), taken] {
            let Some(database) = application().await else {
                return;
            };
            for number in 1..=2 {
                row(&database, number, "is_active", "TRUE").await;
            }
            let store = database.store().await;
            let dump = "CREATE TABLE dump AS SELECT id, key_hash, key_prefix, client_name,
                 permissions, created_at, TRUE AS is_active, rate_limit, rate_window_ms, key_id,
                 lineage, version FROM api_keys";
            database.sql(dump).await.unwrap();
            let id = "1000000000000001".parse().unwrap();
            revoke(&store, &id, "leaked", at(0)).await.unwrap();

            let delete = "BEGIN; DELETE FROM api_keys WHERE id = 1";
            database.sql(delete).await.unwrap();
            let second = Database::at(database.url.clone()).await;
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM dump");
            second.sql(&begin).await.unwrap();
            let sql = statement.to_owned();
            let waiting = tokio::spawn(async move {
                second.sql(&sql).await?;
                second.sql("COMMIT").await
            });
            while !is_waiting(&database).await {
                tokio::time::sleep(core::time::Duration::from_millis(5)).await;
            }
            database.sql("COMMIT").await.unwrap();
            let done = waiting.await.unwrap();
            let is_refused = isolation != "READ COMMITTED" || statement == taken;
            assert_eq!(
                done.is_err(),
                is_refused,
                "{isolation}: {statement}: {done:?}"
            );
            let found = answer(&store, 1, at(1)).await.unwrap();
            assert!(!found.decision.is_allow(), "{isolation}: {statement}");
            let Some(record) = found.record else {
                assert!(is_refused);
                continue;
            };
            assert!(
                matches!(record.status, Status::Revoked { .. }),
                "{record:?}"
            );
            let events = store.events(Some(&record.id), 0, 99).await.unwrap().events;
            let (_, last) = events.last().unwrap();
            assert_eq!(
                (last.kind, last.version),
                (EventKind::Revoked, Some(record.version))
            );
            // Nor is it forgotten.
            database
                .sql("DELETE FROM api_keys WHERE id = 1")
                .await
                .unwrap();
            database.sql(&insert).await.unwrap();
            assert_eq!(cause(&store, 1, at(2)).await, Some(Cause::Revoked));
        }
    }
}

/// Whether a statement waits for another transaction.
async fn is_waiting(database: &Database) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let row = database.other.query_one(sql, &[]).await.unwrap();
    row.get::<_, i64>(0) > 0
}

/// P2: the digest that a key had before its present one is that of the same key.
#[tokio::test]
async fn p2_a_former_digest_of_a_revoked_key_stays_revoked() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "is_active", "TRUE").await;
    let store = database.store().await;
    let read = answer(&store, 1, at(0)).await.unwrap().record.unwrap();
    let mut renewed = read.clone();
    renewed.digest = keystile::Digest::sha256(b"under another pepper");
    renewed.version += 1;
    let mut batch = Batch::new();
    batch.upkeep.push(keystile_store::Upkeep::digest(&renewed));
    let event = Event::new(EventKind::Rehashed, read.id, at(1));
    batch.events.push(event.with_version(renewed.version));
    store.commit(&batch).await.unwrap();
    revoke(&store, &read.id, "leaked", at(1)).await.unwrap();
    for remove in ["SELECT 1", "DELETE FROM api_keys"] {
        database.sql(remove).await.unwrap();
        row(&database, 1, "is_active", "TRUE").await;
        let found = cause(&store, 1, at(2)).await;
        assert_eq!(found, Some(Cause::Revoked), "{remove}");
        let sql = format!("DELETE FROM api_keys WHERE key_hash = '{}'", hash(1));
        database.sql(&sql).await.unwrap();
    }
}

/// A renewed digest writes nothing else: not even what its author has read.
#[tokio::test]
async fn a_renewed_digest_undoes_no_restriction_without_the_guards() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "permissions", "'[\"read\"]'").await;
    let store = database.store().await;
    let read = answer(&store, 1, at(0)).await.unwrap().record.unwrap();
    database
        .sql(
            "ALTER TABLE api_keys DISABLE TRIGGER USER;
             UPDATE api_keys SET allowed_endpoints = '[]', owner = 'tenant-7'",
        )
        .await
        .unwrap();
    let mut renewed = read.clone();
    renewed.digest = keystile::Digest::sha256(b"under another pepper");
    renewed.version += 1;
    let mut batch = Batch::new();
    batch.upkeep.push(keystile_store::Upkeep::digest(&renewed));
    let event = Event::new(EventKind::Rehashed, read.id, at(1));
    batch.events.push(event.with_version(renewed.version));
    store.commit(&batch).await.unwrap();
    let found = store.find(&Lookup::Id(read.id)).await.unwrap().unwrap();
    assert_eq!(found.digest, renewed.digest);
    assert_eq!(found.owner.as_deref(), Some("tenant-7"));
    assert!(found.allowed_endpoints.is_some(), "the restriction stays");
}
