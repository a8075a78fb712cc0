//! The revocation bound: how long memory may answer after the changes were read, and what
//! is done after it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{DenialCode, Event, EventKind, Request};
use keystile_store::{
    AfterBound, Authenticator, Batch, PAGE_MAX, Store, StoreError, UnavailableKind, revoke, suspend,
};
use tokio::time::{Instant, sleep};

use crate::scripted::{Scripted, Trouble, ask, at, code, issued, over};

/// The default bound.
const BOUND: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const POLLED: Duration = Duration::from_millis(1_100);

/// The lease's clock: the one of tokio, which a test controls, and the time that the machine
/// has slept.
#[derive(Clone)]
struct LeaseClock {
    start: Instant,
    slept_millis: Arc<AtomicU64>,
}

impl LeaseClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            slept_millis: Arc::default(),
        }
    }

    /// The machine is suspended, and wakes up: tokio's clock has stopped meanwhile.
    fn suspend(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap();
        self.slept_millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn reader(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let own = self.clone();
        move || {
            let slept = own.slept_millis.load(Ordering::SeqCst);
            SECOND + own.start.elapsed() + Duration::from_millis(slept)
        }
    }
}

/// An authenticator that has read the changes, and the clock of its lease.
async fn begun(store: &Arc<Scripted>, after: AfterBound) -> (Authenticator<Scripted>, LeaseClock) {
    let clock = LeaseClock::new();
    let built = over(store).lease_clock(clock.reader()).after_bound(after);
    let authenticator = built.build().unwrap();
    sleep(POLLED).await;
    (authenticator, clock)
}

#[tokio::test(start_paused = true)]
async fn memory_answers_until_the_bound_and_no_longer() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let (authenticator, _) = begun(&store, AfterBound::Revalidate).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::Fails);
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    sleep(BOUND - 2 * SECOND).await;
    let text = key.key.expose().as_bytes();
    let request = Request::new();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    assert!(authenticator.try_check(text, &request, at(1_000)).is_ok());
    assert!(!authenticator.stats().bound_exceeded);

    sleep(3 * SECOND).await;
    let pending = authenticator.try_check(text, &request, at(1_000));
    assert!(pending.is_err(), "not from memory");
    let late = ask(&authenticator, &key).await;
    assert_eq!(code(&late), Some(DenialCode::StoreUnavailable));
    let stats = authenticator.stats();
    assert!(stats.bound_exceeded && stats.lease_age > stats.revocation_bound);
    assert_eq!(stats.revocation_bound, BOUND);

    store.trouble(Trouble::None);
    sleep(POLLED).await;
    let revoked = ask(&authenticator, &key).await;
    assert_eq!(code(&revoked), Some(DenialCode::KeyRevoked));
    let stats = authenticator.stats();
    assert!(!stats.bound_exceeded && stats.lease_age <= POLLED);
}

/// A key that was revoked while the machine slept is not allowed when it wakes up, though no
/// timer has fired.
#[tokio::test(start_paused = true)]
async fn the_bound_goes_on_while_the_machine_sleeps() {
    let store = Scripted::new();
    let (key, other) = (issued(&*store).await, issued(&*store).await);
    let (authenticator, clock) = begun(&store, AfterBound::Revalidate).await;
    for known in [&key, &other] {
        assert_eq!(code(&ask(&authenticator, known).await), None);
    }
    let text = other.key.expose().as_bytes();
    let in_memory = || authenticator.try_check(text, &Request::new(), at(1_000));
    clock.suspend(BOUND / 2);
    assert!(in_memory().is_ok());
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    clock.suspend(BOUND);
    store.calls();
    assert!(in_memory().is_err());
    let revoked = ask(&authenticator, &key).await;
    assert_eq!(code(&revoked), Some(DenialCode::KeyRevoked));
    // A request does not wait for the next poll: it has asked for a read of the changes.
    tokio::task::yield_now().await;
    assert!(in_memory().is_ok(), "the lease was renewed");
    assert!(store.calls().events > 0);
}

/// The clock of a machine that was restored from a snapshot proves nothing.
#[tokio::test(start_paused = true)]
async fn a_clock_that_went_back_is_no_lease() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let millis = Arc::new(AtomicU64::new(100_000));
    let own = Arc::clone(&millis);
    let authenticator = over(&store)
        .lease_clock(move || Duration::from_millis(own.load(Ordering::SeqCst)))
        .build()
        .unwrap();
    sleep(POLLED).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    millis.store(99_999, Ordering::SeqCst);
    let text = key.key.expose().as_bytes();
    let answer = authenticator.try_check(text, &Request::new(), at(1_000));
    assert!(answer.is_err());
}

/// What is committed while a read is under way may be missing in its result.
#[tokio::test(start_paused = true)]
async fn the_bound_is_counted_from_before_the_read_was_sent() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let (authenticator, clock) = begun(&store, AfterBound::Revalidate).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.hold_events();
    store.at_the_gate(1).await;
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    clock.suspend(BOUND / 2 + SECOND);
    store.open();
    sleep(Duration::from_millis(1)).await;
    let age = authenticator.stats().lease_age;
    assert!(age > BOUND / 2, "renewed by a read that was slow: {age:?}");
    store.trouble(Trouble::Fails);
    clock.suspend(BOUND / 2);
    let late = ask(&authenticator, &key).await;
    assert_eq!(code(&late), Some(DenialCode::StoreUnavailable));
}

/// The changes are read page by page, and a read that ends before the last one renews
/// nothing; nor does one that could not check for a restored store.
#[tokio::test(start_paused = true)]
async fn a_read_that_did_not_come_to_the_end_is_no_lease() {
    for pages in [0, 3, 20] {
        let store = Scripted::new();
        let key = issued(&*store).await;
        let (authenticator, _) = begun(&store, AfterBound::Revalidate).await;
        assert_eq!(code(&ask(&authenticator, &key).await), None);
        let mut past = Batch::new();
        let other = "1000000000000000".parse().unwrap();
        past.events = vec![Event::new(EventKind::Issued, other, at(0)); pages * PAGE_MAX];
        store.commit(&past).await.unwrap();
        store.trouble(Trouble::LastEventFails);
        sleep(BOUND + SECOND).await;
        let stats = authenticator.stats();
        assert!(stats.bound_exceeded, "{pages} pages: {stats:?}");
        store.trouble(Trouble::None);
        sleep(POLLED).await;
        assert!(!authenticator.stats().bound_exceeded);
    }
}

/// A start in the middle, as after too many events at once, invalidates everything and
/// counts.
#[tokio::test(start_paused = true)]
async fn more_events_than_are_read_at_once_renew_the_lease() {
    let store = Scripted::new();
    let clock = LeaseClock::new();
    let built = over(&store).lease_clock(clock.reader());
    let authenticator = built.revocation_bound(4 * SECOND).build().unwrap();
    sleep(POLLED).await;
    let mut past = Batch::new();
    let other = "1000000000000000".parse().unwrap();
    past.events = vec![Event::new(EventKind::Issued, other, at(0)); 20 * PAGE_MAX];
    for _ in 0..6 {
        store.commit(&past).await.unwrap();
        sleep(SECOND).await;
    }
    assert!(!authenticator.stats().bound_exceeded);
}

/// The first lease begins at the start: nothing is cached that was read before.
#[tokio::test(start_paused = true)]
async fn a_process_that_never_read_the_changes_keeps_the_bound_too() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    store.trouble(Trouble::EventsFail);
    let clock = LeaseClock::new();
    let built = over(&store).lease_clock(clock.reader());
    let authenticator = built.build().unwrap();
    store.trouble(Trouble::LastEventFails);
    sleep(POLLED).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    sleep(BOUND).await;
    let revoked = ask(&authenticator, &key).await;
    assert_eq!(code(&revoked), Some(DenialCode::KeyRevoked));
}

/// The changes cannot be read, but the records can.
#[tokio::test(start_paused = true)]
async fn after_the_bound_each_request_reads_its_record() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let (authenticator, _) = begun(&store, AfterBound::Revalidate).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::EventsFail);
    sleep(BOUND + SECOND).await;
    store.calls();
    for _ in 0..3 {
        assert_eq!(code(&ask(&authenticator, &key).await), None);
    }
    assert_eq!(store.calls().find, 3, "it is not used again");
    suspend(&store.store, &key.record.id, at(1)).await.unwrap();
    let suspended = ask(&authenticator, &key).await;
    assert_eq!(code(&suspended), Some(DenialCode::KeySuspended));
    let stats = authenticator.stats();
    assert!(stats.bound_exceeded, "what was fetched is no lease");
    assert_eq!((stats.revalidated, stats.refused_beyond_bound), (4, 0));
    // A text that is no key needs no store.
    let answer = authenticator.check(b"acme_1", &Request::new(), at(1)).await;
    assert_eq!(code(&answer), Some(DenialCode::InvalidKey));
    assert_eq!(authenticator.stats().revalidated, 4);
}

/// A fetch is a read of the store too: it decides requests for as long.
#[tokio::test(start_paused = true)]
async fn a_request_does_not_join_a_fetch_that_is_older_than_the_bound() {
    for (slept, fetches) in [(BOUND - 2 * SECOND, 1), (BOUND + SECOND, 2)] {
        let store = Scripted::new();
        let key = Arc::new(issued(&*store).await);
        let (authenticator, clock) = begun(&store, AfterBound::Revalidate).await;
        store.trouble(Trouble::EventsFail);
        sleep(BOUND + SECOND).await;
        let answered = ask(&authenticator, &key).await;
        assert_eq!(code(&answered), None, "and so it is no longer a probe");
        store.close();
        let ask_apart = || {
            let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
            tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
        };
        let early = ask_apart();
        store.at_the_gate(1).await;
        revoke(&store.store, &key.record.id, "leaked", at(1))
            .await
            .unwrap();
        clock.suspend(slept);
        let late = ask_apart();
        while authenticator.stats().revalidated < 3 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        assert_eq!(store.held(), fetches, "{slept:?} after the first one");
        store.open();
        // It was sent before the revocation, and both results are right.
        early.await.unwrap();
        let expected = (fetches == 2).then_some(DenialCode::KeyRevoked);
        assert_eq!(late.await.unwrap(), expected);
    }
}

/// While the store hangs, one request at a time waits for it.
#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_one_request_tries_it_and_all_others_are_denied_at_once() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let (authenticator, _) = begun(&store, AfterBound::Revalidate).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::EventsFail);
    sleep(BOUND + SECOND).await;
    store.close();
    for round in 1..=3 {
        let probe = {
            let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
            tokio::spawn(async move { ask(&authenticator, &key).await })
        };
        store.at_the_gate(1).await;
        let before = Instant::now();
        for _ in 0..20 {
            let denied = ask(&authenticator, &key).await;
            assert_eq!(code(&denied), Some(DenialCode::StoreUnavailable));
            let failure = denied.failure.unwrap();
            assert_eq!(failure.unavailable_kind(), Some(UnavailableKind::Late));
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "they did not wait");
        assert_eq!(store.held(), 1, "nor ask");
        assert_eq!(authenticator.stats().refused_beyond_bound, 20 * round);
        let late = probe.await.unwrap();
        assert_eq!(code(&late), Some(DenialCode::StoreUnavailable));
        assert!(before.elapsed() > SECOND, "the probe has waited");
    }
    store.open();
    for _ in 0..3 {
        assert_eq!(code(&ask(&authenticator, &key).await), None, "it is back");
    }
}

/// A probe whose client has gone is no probe any more.
#[tokio::test(start_paused = true)]
async fn a_dropped_probe_makes_way_for_the_next() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let (authenticator, _) = begun(&store, AfterBound::Revalidate).await;
    store.trouble(Trouble::Fails);
    sleep(BOUND + SECOND).await;
    store.trouble(Trouble::EventsFail);
    store.close();
    let probe = {
        let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
        tokio::spawn(async move { ask(&authenticator, &key).await })
    };
    store.at_the_gate(1).await;
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    store.open();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
}

/// The changes are being read when the store hangs, and no read has failed yet.
#[tokio::test(start_paused = true)]
async fn a_read_of_changes_that_hangs_is_a_sign_too() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let clock = LeaseClock::new();
    let authenticator = over(&store)
        .lease_clock(clock.reader())
        .store_timeout(10 * SECOND)
        .revocation_bound(2 * SECOND)
        .build()
        .unwrap();
    sleep(POLLED).await;
    store.hold_events();
    store.at_the_gate(1).await;
    sleep(3 * SECOND).await;
    assert_eq!(authenticator.stats().stale_for, Duration::ZERO);
    store.hold_finds();
    let probe = {
        let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
        tokio::spawn(async move { ask(&authenticator, &key).await })
    };
    store.at_the_gate(2).await;
    let denied = ask(&authenticator, &key).await;
    assert_eq!(code(&denied), Some(DenialCode::StoreUnavailable));
    assert_eq!(store.held(), 2);
    store.open();
    assert_eq!(code(&probe.await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn stale_records_are_served_for_as_long_as_was_asked_for() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let stale = AfterBound::ServeStale(4 * BOUND);
    let (authenticator, clock) = begun(&store, stale).await;
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::Fails);
    clock.suspend(4 * BOUND - 2 * SECOND);
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    let stats = authenticator.stats();
    assert!(stats.bound_exceeded);
    assert_eq!((stats.served_stale, stats.revalidated), (1, 0));
    clock.suspend(3 * SECOND);
    let late = ask(&authenticator, &key).await;
    assert_eq!(code(&late), Some(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_bound_that_cannot_be_kept_is_refused() {
    let store = Scripted::new();
    let (millis, day) = (Duration::from_millis, Duration::from_hours(24));
    let built = || over(&store);
    let stale = |limit| AfterBound::ServeStale(limit);
    for (refused, expected) in [
        (built().revocation_bound(millis(999)), "1 s to a day"),
        (built().revocation_bound(day + SECOND), "1 s to a day"),
        (
            built().poll_interval(31 * SECOND),
            "twice the poll interval",
        ),
        (
            built().revocation_bound(SECOND).poll_interval(SECOND),
            "twice the poll interval",
        ),
        (built().after_bound(stale(BOUND)), "longer than the"),
        (built().after_bound(stale(day + SECOND)), "at most a day"),
    ] {
        match refused.build() {
            Err(StoreError::Setting(text)) => assert!(text.contains(expected), "{text}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    for accepted in [
        built().revocation_bound(SECOND),
        built().revocation_bound(SECOND).poll_interval(SECOND / 2),
        built().revocation_bound(day),
        built().poll_interval(BOUND / 2),
        built().after_bound(stale(BOUND + millis(1))),
    ] {
        accepted.build().unwrap();
    }
}
