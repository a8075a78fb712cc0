//! Backups of a store that is in use.

use core::sync::atomic::{AtomicBool, Ordering};
use std::fs;
use std::sync::{Arc, Mutex};

use keystile::{EventKind, Status};
use keystile_store::{SqliteStore, UnavailableKind, record, revoke};

use super::{World, all, events, issued, issued_as, now, open, request};

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

/// What a backup is for: a copy of only the file lacks what is in the log.
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
