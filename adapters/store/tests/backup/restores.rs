//! What a restore replaces, and what it carries over.

use std::fs;

use keystile::{Request, Status, Verifier};
use keystile_store::{
    RestoreOptions, SqliteStore, StoreError, UnavailableKind, check, prune_events, record, resume,
    revoke, suspend,
};
use rusqlite::Connection;

use super::{World, all, events, format, issued, issued_as, now, open, request};

#[tokio::test]
async fn a_restore_carries_over_what_was_revoked_and_spent() {
    let world = World::new().await;
    let store = &world.store;
    let (revoked, suspended, kept) = (
        issued(store).await,
        issued(store).await,
        issued(store).await,
    );
    let counted = issued_as(store, &request().uses(5).unwrap()).await;
    let earlier = issued(store).await;
    revoke(store, &earlier.record.id, "long ago", now())
        .await
        .unwrap();
    let paused = issued(store).await;
    let backup = world.backup("backup.db").await;

    revoke(store, &revoked.record.id, "leaked", now())
        .await
        .unwrap();
    suspend(store, &suspended.record.id, now()).await.unwrap();
    let (verifier, asks_nothing) = (Verifier::new(format()), Request::new());
    for _ in 0..2 {
        let text = counted.key.expose().as_bytes();
        let used = check(store, &verifier, text, &asks_nothing, now())
            .await
            .unwrap();
        assert!(used.decision.is_allow());
    }
    // Changed, and changed back: its version is one that processes may have cached.
    suspend(store, &paused.record.id, now()).await.unwrap();
    resume(store, &paused.record.id, now()).await.unwrap();
    let lost = issued(store).await;
    let history = events(store).await;
    let ended = world.status(&revoked.record.id).await;

    let mut dry = RestoreOptions::new();
    dry.dry_run = true;
    let expected = world.restore(&backup, dry).await;
    assert_eq!(
        (
            expected.keys,
            expected.revocations_carried,
            expected.revocations_forgotten
        ),
        (6, 1, 0)
    );
    assert_eq!((expected.changed, expected.lost), (1, 1));
    assert_eq!(events(store).await, history, "a dry run changes nothing");
    assert_eq!(world.status(&suspended.record.id).await, Status::Suspended);

    let restored = world.restore(&backup, RestoreOptions::new()).await;
    assert_eq!(restored, expected);
    assert_eq!(
        world.status(&revoked.record.id).await,
        ended,
        "with its instant and reason"
    );
    assert!(matches!(
        world.status(&earlier.record.id).await,
        Status::Revoked { .. }
    ));
    assert_eq!(world.status(&suspended.record.id).await, Status::Active);
    assert_eq!(world.status(&kept.record.id).await, Status::Active);
    let kept_version = record(store, &kept.record.id).await.unwrap().version;
    assert_eq!(
        kept_version, kept.record.version,
        "what is the same is not touched"
    );
    let paused = record(store, &paused.record.id).await.unwrap();
    assert_eq!((paused.status, paused.version), (Status::Active, 3));
    let found = record(store, &lost.record.id).await;
    assert!(matches!(found, Err(StoreError::NotFound)));
    let left = record(store, &counted.record.id)
        .await
        .unwrap()
        .remaining_uses;
    assert_eq!(left, Some(3), "spent uses stay spent");
    let after = events(store).await;
    assert_eq!(after[..history.len()], history, "the history goes on");
    assert_eq!(
        after.len(),
        history.len() + 3,
        "an event for each key that changed"
    );

    // The store works on, and numbers are not given twice.
    let new = issued(store).await;
    resume(store, &suspended.record.id, now()).await.unwrap();
    revoke(store, &kept.record.id, "leaked", now())
        .await
        .unwrap();
    assert!(events(store).await.iter().map(|event| event.0).is_sorted());
    assert!(all(store).await.contains(&new.record.id));
}

#[tokio::test]
async fn a_restore_that_is_told_to_forgets_revocations() {
    let world = World::new().await;
    let key = issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    revoke(&world.store, &key.record.id, "by mistake", now())
        .await
        .unwrap();
    let mut forget = RestoreOptions::new();
    forget.forget_revocations = true;
    let restored = world.restore(&backup, forget).await;
    assert_eq!(
        (restored.revocations_carried, restored.revocations_forgotten),
        (0, 1)
    );
    assert_eq!(restored.changed, 0);
    let restored = record(&world.store, &key.record.id).await.unwrap();
    assert_eq!((restored.status, restored.version), (Status::Active, 3));
}

/// A key that an older backup did not have comes back with a newer one.
#[tokio::test]
async fn a_restore_of_the_wrong_backup_can_be_repaired() {
    let world = World::new().await;
    issued(&world.store).await;
    let old = world.backup("old.db").await;
    let key = issued(&world.store).await;
    let gone = issued(&world.store).await;
    let new = world.backup("new.db").await;
    revoke(&world.store, &gone.record.id, "leaked", now())
        .await
        .unwrap();
    assert_eq!(world.restore(&old, RestoreOptions::new()).await.lost, 2);
    let restored = world.restore(&new, RestoreOptions::new()).await;
    assert_eq!(world.status(&key.record.id).await, Status::Active);
    assert!(
        matches!(world.status(&gone.record.id).await, Status::Revoked { .. }),
        "the events remember it"
    );
    assert_eq!((restored.keys, restored.revocations_carried), (3, 1));
}

#[tokio::test]
async fn a_missing_or_empty_store_is_created() {
    let world = World::new().await;
    let key = issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    fs::write(world.path("empty.db"), "").unwrap();
    for name in ["missing.db", "empty.db"] {
        let path = world.path(name);
        let restored = SqliteStore::restore(&path, &backup, RestoreOptions::new())
            .await
            .unwrap();
        assert_eq!((restored.keys, restored.lost), (1, 0));
        let store = open(&path).await;
        assert_eq!(all(&store).await, [key.record.id]);
        assert_eq!(events(&store).await, events(&world.store).await);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(world.path("missing.db"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_the_store_stays_as_it_was() {
    let world = World::new().await;
    let key = issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    revoke(&world.store, &key.record.id, "leaked", now())
        .await
        .unwrap();

    fs::write(world.path("text.db"), "not a database\n".repeat(999)).unwrap();
    Connection::open(world.path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (c)")
        .unwrap();
    let mut bytes = fs::read(&backup).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    fs::write(world.path("damaged.db"), bytes).unwrap();
    fs::copy(&backup, world.path("newer.db")).unwrap();
    let newer = "INSERT INTO keystile_migrations (version, name) VALUES (999, 'later')";
    Connection::open(world.path("newer.db"))
        .unwrap()
        .execute_batch(newer)
        .unwrap();

    for (name, kind) in [
        ("text.db", UnavailableKind::NotADatabase),
        ("other.db", UnavailableKind::NoTables),
        ("damaged.db", UnavailableKind::Damaged),
        ("newer.db", UnavailableKind::TooNew),
        ("missing.db", UnavailableKind::CannotOpen),
    ] {
        let path = world.path("keys.db");
        let refused = SqliteStore::restore(path, world.path(name), RestoreOptions::new()).await;
        assert_eq!(
            refused.unwrap_err().unavailable_kind(),
            Some(kind),
            "{name}"
        );
    }
    assert!(matches!(
        world.status(&key.record.id).await,
        Status::Revoked { .. }
    ));
    assert_eq!(events(&world.store).await.len(), 2);
}

/// The guards of a restored store are those of the store before.
#[tokio::test]
async fn a_restored_store_keeps_its_guards_and_what_they_remember() {
    let world = World::new().await;
    let backup = world.backup("backup.db").await;
    let lost = issued(&world.store).await;
    revoke(&world.store, &lost.record.id, "leaked", now())
        .await
        .unwrap();
    let row = |connection: &Connection| -> u32 {
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = row(&Connection::open(world.path("keys.db")).unwrap());
    assert!(before > 10, "{before} guards");
    let old = world.path("old.db");
    world.store.backup(&old, |_| {}).await.unwrap();
    world.restore(&backup, RestoreOptions::new()).await;
    let connection = Connection::open(world.path("keys.db")).unwrap();
    assert_eq!(row(&connection), before);

    // The row of a lost key that was revoked comes back, as other code might insert it.
    let old = old.to_str().unwrap();
    connection.execute("ATTACH ?1 AS old", [old]).unwrap();
    connection
        .execute_batch(
            "INSERT INTO api_key_usage SELECT * FROM old.api_key_usage;
             CREATE TEMP TABLE live AS SELECT * FROM old.api_keys;
             UPDATE live SET status = 'active', is_active = 1, revoked_at = NULL, revoke_reason = NULL;",
        )
        .unwrap();
    connection
        .execute("INSERT INTO api_keys SELECT * FROM temp.live", [])
        .unwrap();
    assert!(matches!(
        world.status(&lost.record.id).await,
        Status::Revoked { .. }
    ));
}

/// The event of the loss is removed before the newer backup is restored.
#[tokio::test]
async fn a_lost_key_comes_back_after_its_events_were_removed() {
    let world = World::new().await;
    issued(&world.store).await;
    let old = world.backup("old.db").await;
    let key = issued(&world.store).await;
    let new = world.backup("new.db").await;
    assert_eq!(world.restore(&old, RestoreOptions::new()).await.lost, 1);
    let tomorrow = now().plus(keystile::Millis::from_days(1)).unwrap();
    assert!(prune_events(&world.store, tomorrow).await.unwrap() > 0);
    let restored = world.restore(&new, RestoreOptions::new()).await;
    assert_eq!(world.status(&key.record.id).await, Status::Active);
    assert_eq!(restored.revocations_carried, 0);
}

/// More rows than have events of their own: their deletion is remembered elsewhere.
#[tokio::test]
async fn keys_that_were_deleted_in_bulk_stay_ended() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..1_100 {
        ids.push(issued(&world.store).await.record.id);
    }
    let backup = world.backup("backup.db").await;
    Connection::open(world.path("keys.db"))
        .unwrap()
        .execute_batch("UPDATE api_keys SET is_active = 0; DELETE FROM api_keys;")
        .unwrap();
    world.restore(&backup, RestoreOptions::new()).await;
    for id in &ids {
        assert!(matches!(world.status(id).await, Status::Revoked { .. }));
        let version = record(&world.store, id).await.unwrap().version;
        assert!(
            version > 3,
            "above those of the revocation and the deletion: {version}"
        );
    }
}

/// A restore replaces the whole file.
#[tokio::test]
async fn a_database_of_another_program_is_not_overwritten() {
    let world = World::new().await;
    let backup = world.backup("backup.db").await;
    let path = world.path("app.db");
    let app = Connection::open(&path).unwrap();
    app.execute_batch("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Ada')")
        .unwrap();
    let refused = SqliteStore::restore(&path, &backup, RestoreOptions::new()).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let users: u32 = app
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap();
    assert_eq!(users, 1);
}

/// The number of a row is the place of its key in lists, also after the key was deleted.
#[tokio::test]
async fn a_restore_gives_no_number_twice() {
    let world = World::new().await;
    issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    for _ in 0..3 {
        issued(&world.store).await;
    }
    let present = Connection::open(world.path("keys.db")).unwrap();
    let numbers = "SELECT seq FROM sqlite_sequence WHERE name = 'api_keys'";
    // Without a trace from which the number would follow.
    let delete = "DELETE FROM api_keys WHERE id > 1; DELETE FROM api_key_deleted;";
    present.execute_batch(delete).unwrap();
    let before: i64 = present.query_row(numbers, [], |row| row.get(0)).unwrap();
    drop(present);
    assert_eq!(before, 4);
    world.restore(&backup, RestoreOptions::new()).await;
    let restored = Connection::open(world.path("keys.db")).unwrap();
    let after: i64 = restored.query_row(numbers, [], |row| row.get(0)).unwrap();
    assert_eq!(after, 4);
}
