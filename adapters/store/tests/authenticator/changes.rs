//! Changes that another process makes are read, also after the store failed.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{DenialCode, Event, EventKind, Request, RotationPolicy, SysRng};
use keystile_store::{
    Batch, Filter, PAGE_MAX, Page, Reach, Selection, SqliteStore, Store, prune_events, revoke,
    suspend,
};

use crate::scripted::{Scripted, Trouble, ask, at, code, has_begun, issued, over};

const SECOND: Duration = Duration::from_millis(1_100);

#[tokio::test(start_paused = true)]
async fn a_revocation_elsewhere_is_in_force_within_about_a_second() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    revoke(&*store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None, "not read yet");
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyRevoked)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rotation_elsewhere_concerns_both_keys() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    let policy = RotationPolicy::default();
    let peppers = keystile::PepperRing::none();
    let rotated = keystile_store::rotate(
        &*store,
        &key.record.id,
        &policy,
        None,
        &peppers,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let successor = rotated.key.expose().as_bytes();
    let request = Request::new();
    let cached = authenticator.check(successor, &request, at(1_000)).await;
    assert_eq!(code(&cached), None, "used before the rotation was read");
    tokio::time::sleep(SECOND).await;
    store.calls();
    let answer = ask(&authenticator, &key).await;
    let keystile::Decision::Allow(allowed) = answer.decision else {
        panic!("{answer:?}");
    };
    assert_eq!(allowed.notice.unwrap().replaced_by, rotated.successor.id);
    let again = authenticator.check(successor, &request, at(1_000)).await;
    assert_eq!(code(&again), None);
    assert_eq!(store.calls().find, 2, "both were fetched again");
}

#[tokio::test(start_paused = true)]
async fn a_second_rotation_elsewhere_ends_the_oldest_key_here_too() {
    let store = Scripted::new();
    let oldest = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    let (policy, peppers) = (RotationPolicy::default(), keystile::PepperRing::none());
    let rotate = async |id, now| {
        keystile_store::rotate(&*store, id, &policy, None, &peppers, &mut SysRng, now)
            .await
            .unwrap()
    };
    let second = rotate(&oldest.record.id, at(1)).await;
    tokio::time::sleep(SECOND).await;
    let text = oldest.key.expose().as_bytes();
    let check = async |now| {
        authenticator
            .check(text, &Request::new(), now)
            .await
            .decision
    };
    assert!(check(at(2)).await.is_allow(), "within its overlap");

    rotate(&second.successor.id, at(3)).await;
    tokio::time::sleep(SECOND).await;
    let decision = check(at(4)).await;
    let denial = decision.denial().expect("two keys live, not three");
    assert_eq!(denial.code(), DenialCode::KeyReplaced);
    let told = store.events(Some(&oldest.record.id), 0, PAGE_MAX).await;
    let kinds: Vec<_> = told
        .unwrap()
        .events
        .iter()
        .map(|(_, event)| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [EventKind::Issued, EventKind::Rotated, EventKind::Expired]
    );
}

#[tokio::test(start_paused = true)]
async fn reading_begins_at_the_end_and_goes_on_from_there() {
    let store = Scripted::new();
    let mut past = Batch::new();
    let id = "1000000000000000".parse().unwrap();
    past.events = vec![Event::new(EventKind::Issued, id, at(0)); 5 * PAGE_MAX];
    store.commit(&past).await.unwrap();
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let calls = store.calls();
    assert_eq!(
        calls.last_event,
        1 + calls.events,
        "at the start and when nothing is new"
    );
    assert!((2..=4).contains(&calls.events), "not the past: {calls:?}");
    // More than a page at once, and more than is read one by one.
    for (pages, read) in [(3, 3..=6), (20, 16..=19)] {
        past.events
            .resize(pages * PAGE_MAX, Event::new(EventKind::Issued, id, at(0)));
        store.commit(&past).await.unwrap();
        let key = issued(&*store).await;
        assert_eq!(code(&ask(&authenticator, &key).await), None);
        suspend(&*store, &key.record.id, at(1)).await.unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(
            code(&ask(&authenticator, &key).await),
            Some(DenialCode::KeySuspended)
        );
        let calls = store.calls();
        assert!(read.contains(&calls.events), "{pages} pages: {calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_events_could_not_be_read_is_caught_up_with() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    assert_eq!(authenticator.stats().stale_for, Duration::ZERO);
    store.trouble(Trouble::Fails);
    tokio::time::sleep(10 * SECOND).await;
    assert!(
        authenticator.stats().stale_for > Duration::from_secs(8),
        "and says so"
    );
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        None,
        "cached until its TTL"
    );
    store.trouble(Trouble::None);
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyRevoked)
    );
    assert_eq!(authenticator.stats().stale_for, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_does_not_end_the_reader() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::Panics);
    tokio::time::sleep(10 * SECOND).await;
    store.trouble(Trouble::None);
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyRevoked)
    );
}

/// A service may start before its store does.
#[tokio::test(start_paused = true)]
async fn what_happened_before_the_first_reading_is_not_missed() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    store.trouble(Trouble::Fails);
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(SECOND).await;
    store.trouble(Trouble::None);
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        None,
        "before the next reading"
    );
    suspend(&store.store, &key.record.id, at(1)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeySuspended)
    );
}

/// A damaged event must not make a process deaf.
#[tokio::test(start_paused = true)]
async fn a_damaged_event_is_gone_around() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::Damaged);
    suspend(&*store, &key.record.id, at(1)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeySuspended)
    );
    assert_eq!(authenticator.stats().stale_for, Duration::ZERO);
}

/// Two processes, as far as a file can tell: each has its own connections and its own
/// cache.
#[tokio::test]
async fn a_revocation_through_another_store_on_the_same_file_is_heard_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let here = Arc::new(SqliteStore::open(&path).unwrap());
    here.migrate().await.unwrap();
    let there = Arc::new(SqliteStore::open(&path).unwrap());
    let (here, there) = (over(&here).build().unwrap(), over(&there).build().unwrap());
    let key = issued(&**here.store()).await;
    for authenticator in [&here, &there] {
        has_begun(authenticator).await;
        assert_eq!(code(&ask(authenticator, &key).await), None);
    }
    here.revoke(&key.record.id, "leaked", at(1)).await.unwrap();
    assert_eq!(code(&ask(&here, &key).await), Some(DenialCode::KeyRevoked));
    let revoked = Instant::now();
    while code(&ask(&there, &key).await).is_none() {
        assert!(
            revoked.elapsed() < Duration::from_secs(60),
            "the change was never read"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("in force there after {:?}", revoked.elapsed());
    here.stop().await.unwrap();
    there.stop().await.unwrap();
}

/// A replica that lags answers after the revocation, and the key was not cached: A1, G3.
#[tokio::test(start_paused = true)]
async fn a_revoked_key_that_was_not_cached_is_not_admitted_from_a_replica_that_lags() {
    for elsewhere in [false, true] {
        let store = Scripted::new();
        let key = issued(&*store).await;
        let authenticator = over(&store).build().unwrap();
        tokio::time::sleep(SECOND).await;
        if elsewhere {
            revoke(&*store, &key.record.id, "leaked", at(1))
                .await
                .unwrap();
            tokio::time::sleep(SECOND).await;
        } else {
            let revoked = authenticator.revoke(&key.record.id, "leaked", at(1)).await;
            revoked.unwrap();
        }
        store.trouble(Trouble::Lags);
        let lagging = ask(&authenticator, &key).await;
        assert_eq!(
            code(&lagging),
            Some(DenialCode::StoreUnavailable),
            "by the store's events: {elsewhere}"
        );
        store.trouble(Trouble::None);
        let caught_up = ask(&authenticator, &key).await;
        assert_eq!(code(&caught_up), Some(DenialCode::KeyRevoked));
    }
}

/// As for one key: A1, G3.
#[tokio::test(start_paused = true)]
async fn keys_that_were_ended_together_are_not_admitted_from_a_replica_that_lags() {
    for suspends in [false, true] {
        let store = Scripted::new();
        let key = issued(&*store).await;
        let authenticator = over(&store).build().unwrap();
        tokio::time::sleep(SECOND).await;
        let filter = Filter::of_client(&key.record.client_name);
        let selected = Selection::to_revoke(&*store, &filter, Page::first(9)).await;
        let selected = selected.unwrap();
        let ended = match suspends {
            true => authenticator.suspend_selected(&selected, at(1)).await,
            false => {
                let reach = Reach::Last;
                authenticator
                    .revoke_selected(&selected, "leaked", reach, at(1))
                    .await
            }
        };
        assert_eq!(ended.changed, [key.record.id]);
        store.trouble(Trouble::Lags);
        let lagging = ask(&authenticator, &key).await;
        assert_eq!(
            code(&lagging),
            Some(DenialCode::StoreUnavailable),
            "suspended: {suspends}"
        );
    }
}

/// The process has not read the revocation when its event is removed: what is left in its place
/// makes it read everything again.
#[tokio::test(start_paused = true)]
async fn a_reader_that_is_behind_notices_that_events_were_removed() {
    let store = Scripted::new();
    let (key, other) = (issued(&*store).await, issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    revoke(&*store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    suspend(&*store, &other.record.id, at(500)).await.unwrap();
    assert_eq!(prune_events(&*store, at(2)).await.unwrap(), 3);
    assert_eq!(code(&ask(&authenticator, &key).await), None, "not read yet");
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyRevoked)
    );
}

/// A process that has read the events keeps its cache when they are removed.
#[tokio::test(start_paused = true)]
async fn a_reader_that_is_not_behind_keeps_its_cache() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    suspend(&*store, &issued(&*store).await.record.id, at(1))
        .await
        .unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.calls();
    prune_events(&*store, at(2)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    assert_eq!(store.calls().find, 0, "from memory");
}
