//! Backups of a SQLite store that is in use, and their restore under running processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keystile::{
    DenialCode, EventKind, IssueRequest, Issued, KeyFormat, KeyId, Millis, PepperRing, Request,
    RotationPolicy, Status, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{
    Authenticator, Filter, PAGE_MAX, Page, RestoreOptions, Restored, SqliteStore, Store,
    StoreError, UnavailableKind, check, record, resume, revoke, rotate, save_issued, suspend,
};
use rusqlite::Connection;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

fn now() -> UnixMillis {
    UnixMillis::now().unwrap()
}

fn request() -> IssueRequest {
    IssueRequest::new("Acme Ltd").unwrap()
}

async fn issued_as(store: &SqliteStore, request: &IssueRequest) -> Issued {
    let issued = issue(&format(), &PepperRing::none(), request, &mut SysRng, now()).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

async fn issued(store: &SqliteStore) -> Issued {
    issued_as(store, &request()).await
}

async fn all(store: &SqliteStore) -> Vec<KeyId> {
    let (mut all, mut page) = (Vec::new(), Page::first(PAGE_MAX));
    loop {
        let listed = store.list(&Filter::default(), page).await.unwrap();
        all.extend(listed.records.iter().map(|record| record.id));
        let Some(next) = listed.next else {
            return all;
        };
        page = page.after(next);
    }
}

async fn events(store: &SqliteStore) -> Vec<(u64, EventKind, Option<KeyId>)> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let events = store.events(None, last, PAGE_MAX).await.unwrap().events;
        let Some((number, _)) = events.last() else {
            return all;
        };
        last = *number;
        all.extend(
            events
                .iter()
                .map(|(number, event)| (*number, event.kind, event.key_id)),
        );
    }
}

/// A store in a folder of its own.
struct World {
    folder: TempDir,
    store: SqliteStore,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
        store.migrate().await.unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn backup(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.store.backup(&path, |_| {}).await.unwrap();
        path
    }

    async fn restore(&self, backup: &Path, options: RestoreOptions) -> Restored {
        let restored = SqliteStore::restore(self.path("keys.db"), backup, options).await;
        restored.unwrap()
    }

    async fn status(&self, id: &KeyId) -> Status {
        record(&self.store, id).await.unwrap().status
    }
}

async fn open(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    store.migrate().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_is_of_one_instant_while_others_write() {
    let world = World::new().await;
    // More than one part, so that writers come in between.
    let wide = request().metadata(&*format!(r#"{{"text":"{}"}}"#, "x".repeat(12_000)));
    let wide = wide.unwrap();
    for _ in 0..200 {
        issued_as(&world.store, &wide).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (world.store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::Relaxed) {
                    let key = issued(&store).await;
                    revoke(&store, &key.record.id, "leaked", now())
                        .await
                        .unwrap();
                    written += 1;
                }
                written
            })
        })
        .collect();
    let parts = Arc::new(Mutex::new(Vec::new()));
    for round in 0..3 {
        let (path, reported) = (world.path(&format!("{round}.db")), Arc::clone(&parts));
        let report = move |progress| reported.lock().unwrap().push(progress);
        let keys = world.store.backup(&path, report).await.unwrap();
        let parts = core::mem::take(&mut *parts.lock().unwrap());
        assert!(parts.len() > 1, "a copy in parts: {parts:?}");
        assert!(parts.is_sorted_by_key(|part| part.copied));
        let last = parts.last().unwrap();
        assert_eq!(last.copied, last.total);
        assert!(
            !world.path(&format!("{round}.db-wal")).exists(),
            "it is one file"
        );

        let copy = open(&path).await;
        let ids = all(&copy).await;
        assert_eq!(ids.len(), usize::try_from(keys).unwrap());
        let events = events(&copy).await;
        let kinds = |kind| events.iter().filter(|(_, own, _)| *own == kind).count();
        assert_eq!(
            kinds(EventKind::Issued),
            ids.len(),
            "each key with its event"
        );
        let mut revoked = 0;
        for id in &ids {
            let record = record(&copy, id).await.unwrap();
            revoked += usize::from(matches!(record.status, Status::Revoked { .. }));
        }
        assert_eq!(
            kinds(EventKind::Revoked),
            revoked,
            "each revocation with its event"
        );
        assert!(
            events
                .iter()
                .map(|event| event.0)
                .eq(1..=events.len() as u64)
        );
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0, "writers were not stopped");
    }
}

/// What a backup is for: a copy of the file alone lacks what is in the log.
#[tokio::test]
async fn a_copy_of_the_file_alone_is_no_backup() {
    let world = World::new().await;
    let key = issued(&world.store).await;
    fs::copy(world.path("keys.db"), world.path("copied.db")).unwrap();
    // Everything is in the write-ahead log, which is another file.
    let copied = SqliteStore::open_existing(world.path("copied.db"));
    let kind = copied.unwrap_err().unavailable_kind();
    assert_eq!(kind, Some(UnavailableKind::NoTables));
    let backup = open(&world.backup("backup.db").await).await;
    assert_eq!(all(&backup).await, [key.record.id]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_for_its_owner_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt;

    let world = World::new().await;
    issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&backup).unwrap();
    let refused = world.store.backup(&backup, |_| {}).await.unwrap_err();
    assert_eq!(
        refused.unavailable_kind(),
        Some(UnavailableKind::FileExists)
    );
    assert_eq!(fs::read(&backup).unwrap(), before);

    let nowhere = world.path("none/backup.db");
    let refused = world.store.backup(nowhere, |_| {}).await.unwrap_err();
    assert_eq!(
        refused.unavailable_kind(),
        Some(UnavailableKind::CannotOpen)
    );
    let empty = SqliteStore::open(world.path("empty.db")).unwrap();
    let none = world.path("none.db");
    let refused = empty.backup(&none, |_| {}).await.unwrap_err();
    assert_eq!(refused.unavailable_kind(), Some(UnavailableKind::NoTables));
    assert!(!none.exists(), "a backup that fails leaves no file");
}

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

/// A process that serves from memory, with records that would stay for a day.
async fn running(world: &World) -> Authenticator<SqliteStore> {
    let store = Arc::new(open(&world.path("keys.db")).await);
    Authenticator::builder(store, Verifier::new(format()))
        .ttl(Millis::from_days(1))
        .poll_interval(Duration::from_millis(50))
        .build()
        .unwrap()
}

async fn code(process: &Authenticator<SqliteStore>, key: &Issued) -> Option<DenialCode> {
    let text = key.key.expose().as_bytes();
    let answer = process.check(text, &Request::new(), now()).await;
    answer.decision.denial().map(|denial| denial.code())
}

async fn until(process: &Authenticator<SqliteStore>, key: &Issued, expected: Option<DenialCode>) {
    let start = Instant::now();
    loop {
        let code = code(process, key).await;
        if code == expected {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{code:?}, expected {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_process_notices_a_restore() {
    let world = World::new().await;
    let store = &world.store;
    let [revoked, suspended, kept, replaced] = [
        issued(store).await,
        issued(store).await,
        issued(store).await,
        issued(store).await,
    ];
    let backup = world.backup("backup.db").await;
    let process = running(&world).await;
    let lost = issued(store).await;
    revoke(store, &revoked.record.id, "leaked", now())
        .await
        .unwrap();
    // Several versions more than the backup has.
    for _ in 0..3 {
        suspend(store, &suspended.record.id, now()).await.unwrap();
        resume(store, &suspended.record.id, now()).await.unwrap();
    }
    suspend(store, &suspended.record.id, now()).await.unwrap();
    let policy = RotationPolicy::default()
        .with_overlap(Millis::ZERO)
        .unwrap();
    let (id, none) = (&replaced.record.id, PepperRing::none());
    rotate(store, id, &policy, None, &none, &mut SysRng, now())
        .await
        .unwrap();

    until(&process, &revoked, Some(DenialCode::KeyRevoked)).await;
    until(&process, &suspended, Some(DenialCode::KeySuspended)).await;
    until(&process, &replaced, Some(DenialCode::KeyReplaced)).await;
    until(&process, &kept, None).await;
    until(&process, &lost, None).await;
    let restored = world.restore(&backup, RestoreOptions::new()).await;
    assert_eq!((restored.changed, restored.lost), (2, 2), "{restored:?}");
    until(&process, &lost, Some(DenialCode::InvalidKey)).await;
    until(&process, &suspended, None).await;
    until(&process, &replaced, None).await;
    assert_eq!(code(&process, &revoked).await, Some(DenialCode::KeyRevoked));
    assert_eq!(code(&process, &kept).await, None);

    // A later revocation is read as before, and so is a restore that forgets.
    revoke(store, &kept.record.id, "leaked", now())
        .await
        .unwrap();
    until(&process, &kept, Some(DenialCode::KeyRevoked)).await;
    let mut forget = RestoreOptions::new();
    forget.forget_revocations = true;
    world.restore(&backup, forget).await;
    until(&process, &revoked, None).await;
    until(&process, &kept, None).await;
    process.stop().await.unwrap();
}

/// With SQLite's own means, no event shows it, and the numbers of events begin again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_process_notices_a_restore_by_other_means() {
    let world = World::new().await;
    let key = issued(&world.store).await;
    let backup = world.backup("backup.db").await;
    for _ in 0..3 {
        issued(&world.store).await;
    }
    let process = running(&world).await;
    until(&process, &key, None).await;
    let source = Connection::open(&backup).unwrap();
    let mut present = Connection::open(world.path("keys.db")).unwrap();
    rusqlite::backup::Backup::new(&source, &mut present)
        .unwrap()
        .step(-1)
        .unwrap();
    // Its number is one that the process has read already.
    revoke(&world.store, &key.record.id, "leaked", now())
        .await
        .unwrap();
    until(&process, &key, Some(DenialCode::KeyRevoked)).await;
    process.stop().await.unwrap();
}

/// No revocation that was acknowledged is lost to a restore that runs at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_during_a_restore_is_not_lost() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids.push(issued(&world.store).await.record.id);
    }
    let backup = world.backup("backup.db").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let restores = Arc::new(AtomicUsize::new(0));
    let restoring = {
        let (path, is_over) = (world.path("keys.db"), Arc::clone(&is_over));
        let restores = Arc::clone(&restores);
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                match SqliteStore::restore(&path, &backup, RestoreOptions::new()).await {
                    Ok(_) => drop(restores.fetch_add(1, Ordering::Relaxed)),
                    // Others were always faster.
                    Err(StoreError::Stale) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    };
    for (index, id) in ids.iter().enumerate() {
        revoke(&world.store, id, "leaked", now()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3)).await;
        // A restore takes longer on a busy machine.
        while restores.load(Ordering::Relaxed) < index / 30 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    restoring.await.unwrap();
    for id in &ids {
        assert!(
            matches!(world.status(id).await, Status::Revoked { .. }),
            "{id:?}"
        );
    }
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
