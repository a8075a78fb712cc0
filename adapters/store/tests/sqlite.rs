//! The SQLite store beyond the trait: file modes, durability, other processes, and no secret
//! in any file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

#[path = "sqlite/alternating.rs"]
mod alternating;

use std::path::{Path, PathBuf};

use alternating::Alternating;
use keystile::{
    Event, EventKind, IssueRequest, Issued, KeyFormat, Pepper, PepperRing, RateLimit, Request,
    RotationPolicy, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{
    Batch, Filter, Page, SqliteStore, Store, StoreError, check, conformance, record, revoke,
    rotate, save_issued,
};
use rusqlite::Connection;

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn new_key(format: &KeyFormat, peppers: &PepperRing) -> Issued {
    let limit = RateLimit::new(100, keystile::Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd")
        .unwrap()
        .rate_limit(limit)
        .uses(50)
        .unwrap();
    issue(format, peppers, &request, &mut SysRng, at(0)).unwrap()
}

fn structured() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

async fn opened(path: impl AsRef<Path>) -> SqliteStore {
    let store = SqliteStore::open(path).expect("a file is made or opened");
    store.migrate().await.expect("and its tables");
    store
}

async fn kept(store: &SqliteStore) -> Issued {
    let issued = new_key(&structured(), &PepperRing::none());
    save_issued(store, &issued).await.unwrap();
    issued
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    kept(&store).await;
    for path in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(store);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    opened(&path).await;
    assert_eq!(mode(&path), 0o640, "an existing file keeps its mode");
}

#[tokio::test]
async fn any_path_is_the_name_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:keys.db?mode=memory", "a'b.db", "ключи.db"] {
        let path = folder.path().join(name);
        let issued = kept(&opened(&path).await).await;
        let again = SqliteStore::open_existing(&path).expect("it is there");
        assert_eq!(
            record(&again, &issued.record.id).await.unwrap(),
            issued.record,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to be taken for a page\n".repeat(100),
    )
    .unwrap();
    let missing = folder.path().join("missing.db");
    assert!(
        SqliteStore::open_existing(&missing).is_err(),
        "no file is created"
    );
    assert!(!missing.exists());
    for path in [
        text.clone(),
        folder.path().to_owned(),
        missing.join("keys.db"),
        PathBuf::new(),
    ] {
        let failed = SqliteStore::open(&path);
        assert!(
            matches!(failed, Err(StoreError::Unavailable { .. })),
            "{}",
            path.display()
        );
    }
    assert!(
        std::fs::read_to_string(text)
            .unwrap()
            .starts_with("not a database")
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let (first, second);
    {
        let store = opened(&path).await;
        first = kept(&store).await;
        second = kept(&store).await;
        let verifier = Verifier::new(structured());
        let key = first.key.expose().as_bytes();
        for _ in 0..3 {
            let checked = check(&store, &verifier, key, &Request::new(), at(1))
                .await
                .unwrap();
            assert!(checked.decision.is_allow());
        }
        revoke(&store, &second.record.id, "leaked", at(2))
            .await
            .unwrap();
    }
    assert!(
        !beside(&path, "-wal").exists(),
        "the last one out empties the log into the file"
    );
    let mode: String = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");

    let store = SqliteStore::open_existing(&path).unwrap();
    assert_eq!(store.migrate().await.unwrap(), 0);
    assert_eq!(
        record(&store, &first.record.id)
            .await
            .unwrap()
            .remaining_uses,
        Some(47)
    );
    let usage = store.usage(&first.record.lineage).await.unwrap().usage;
    assert!(
        usage.rate.to_bits() > at(1).get() << 20,
        "the limit remembers, {usage:?}"
    );
    let ended = record(&store, &second.record.id).await.unwrap();
    assert!(!ended.is_live(at(3)));
    assert_eq!(
        store
            .list(&Filter::default(), Page::first(9))
            .await
            .unwrap()
            .records
            .len(),
        2
    );
    assert_eq!(store.events(None, 0, 9).await.unwrap().events.len(), 3);
}

/// A transaction that did not commit, like one of a killed process, has no effect.
#[tokio::test]
async fn an_unfinished_transaction_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let issued = kept(&store).await;
    // A copy of the file and its log in the middle of a transaction.
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE;
         UPDATE api_keys SET client_name = 'half', version = version + 1;",
    )
    .unwrap();
    for number in 0..2_000 {
        raw.execute(
            "INSERT INTO api_key_events (kind, key_id, at) VALUES ('issued', ?1, '')",
            [format!("{number:0200}")],
        )
        .unwrap();
    }
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
    }
    let log = std::fs::read(beside(&copy, "-wal")).unwrap();
    assert!(
        log.len() > 200_000,
        "half of the transaction was in the log: {}",
        log.len()
    );
    let copied = SqliteStore::open_existing(&copy).unwrap();
    assert_eq!(
        record(&copied, &issued.record.id).await.unwrap(),
        issued.record
    );
    assert_eq!(copied.events(None, 0, 1_000).await.unwrap().events.len(), 1);
}

/// Two handles, as two processes have: what one writes, the other reads next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_on_one_file_conform_together() {
    let folder = tempfile::tempdir().unwrap();
    let count = core::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        let path = folder.path().join(format!("{}.db", count.get()));
        Alternating::new(opened(&path).await, opened(&path).await)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_can_open_and_migrate_concurrently() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let path = folder.path().join(format!("{round}.db"));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || SqliteStore::open(path))
            })
            .collect();
        let stores = threads
            .into_iter()
            .map(|thread| thread.join().unwrap().expect("it opens"));
        let tasks: Vec<_> = stores
            .map(|store| tokio::spawn(async move { store.migrate().await }))
            .collect();
        let mut steps = Vec::new();
        for task in tasks {
            steps.push(task.await.unwrap().expect("it migrates"));
        }
        assert_eq!(
            steps.iter().sum::<usize>(),
            3,
            "each step is taken once: {steps:?}"
        );
    }
}

/// Another program may lock the file for a moment while it is opened.
#[tokio::test]
async fn a_locked_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE theirs (i); BEGIN EXCLUSIVE")
        .unwrap();
    let opening = std::thread::spawn({
        let path = path.clone();
        move || SqliteStore::open(path)
    });
    std::thread::sleep(core::time::Duration::from_millis(200));
    other.execute_batch("COMMIT").unwrap();
    let store = opening
        .join()
        .unwrap()
        .expect("it opens when the file is free");
    assert_eq!(store.migrate().await.unwrap(), 3);
}

/// The triggers guard against other writers; the store's statements do not need them.
#[tokio::test]
async fn a_revocation_is_final_without_the_triggers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let issued = kept(&store).await;
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch(
        "DROP TRIGGER api_keys_revocation_stands; DROP TRIGGER api_keys_version_grows;
         DROP TRIGGER api_keys_changed; DROP TRIGGER api_keys_inserting;",
    )
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
    assert_eq!(record(&store, &revoked.id).await.unwrap(), revoked);
}

/// No file contains a key or a part of its secret; and the search does find what is there.
#[tokio::test]
async fn no_key_is_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let ring = PepperRing::new(Pepper::new(1, &[0x5A; 32]).unwrap());
    let mut keys = Vec::new();
    for (format, peppers) in [
        (structured(), &PepperRing::none()),
        (structured(), &ring),
        (KeyFormat::opaque("dt").unwrap(), &PepperRing::none()),
        (KeyFormat::opaque("dt").unwrap(), &ring),
    ] {
        let issued = new_key(&format, peppers);
        save_issued(&store, &issued).await.unwrap();
        let policy = RotationPolicy::default();
        let rotated = rotate(
            &store,
            &issued.record.id,
            &policy,
            Some(&format),
            peppers,
            &mut SysRng,
            at(1),
        )
        .await
        .unwrap();
        let verifier = Verifier::new(format).with_peppers(ring.clone());
        for key in [issued.key, rotated.key] {
            let text = key.expose().as_bytes();
            let checked = check(&store, &verifier, text, &Request::new(), at(2))
                .await
                .unwrap();
            assert!(checked.decision.is_allow());
            keys.push(key);
        }
    }
    let files = || -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    };
    let anywhere = |needle: &[u8]| {
        files()
            .iter()
            .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert_eq!(
        files().len(),
        3,
        "the database, its log and the log's index"
    );
    assert!(
        anywhere(b"Acme Ltd") && anywhere(b"acme_1"),
        "what is kept is found"
    );
    for key in &keys {
        let text = key.expose().as_bytes();
        // The last 16 characters are part of the secret or its checksum, which must not be stored.
        for part in [
            text,
            &text[text.len() - 16..],
            &text[text.len() - 49..text.len() - 30],
        ] {
            assert!(
                !anywhere(part),
                "a key, or a part of its secret, is in a file"
            );
        }
    }
}

#[tokio::test]
async fn a_database_without_tables_answers_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    let issued = new_key(&structured(), &PepperRing::none());
    let failed = save_issued(&store, &issued).await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "only `migrate` creates tables"
    );
    let verifier = Verifier::new(structured());
    let key = issued.key.expose().as_bytes();
    let failed = check(&store, &verifier, key, &Request::new(), at(1)).await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "an error is never an allow"
    );
}
