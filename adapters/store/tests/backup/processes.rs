//! Processes that use a store while it is restored.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{
    DenialCode, Issued, Millis, PepperRing, Request, RotationPolicy, Status, SysRng, Verifier,
};
use keystile_store::{
    Authenticator, RestoreOptions, SqliteStore, StoreError, resume, revoke, rotate, suspend,
};
use rusqlite::Connection;

use super::{PATIENCE, World, format, issued, now, open};

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
