//! Rate limits that survive a restart: what is spent is recorded while the process runs.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use keystile::{
    DenialCode, Error, Event, EventKind, IssueRequest, Issued, Millis, RateLimit, RateState,
    Request, UnixMillis, Usage,
};
use keystile_store::{Authenticator, Batch, SpendRequest, SqliteStore, Store};
use tokio::time::Instant;

use crate::scripted::{Scripted, Trouble, ask, at, code, issued_as, over};

/// The clock of the checks.
fn clock() -> Result<UnixMillis, Error> {
    Ok(at(1_000))
}

fn limit(count: u32, window: Millis) -> IssueRequest {
    let limit = RateLimit::new(count, window).unwrap();
    IssueRequest::new("Acme").unwrap().rate_limit(limit)
}

fn ten_an_hour() -> IssueRequest {
    limit(10, Millis::from_hours(1))
}

/// How many of so many requests are allowed.
async fn passed<S: Store + 'static>(
    authenticator: &Authenticator<S>,
    key: &Issued,
    requests: usize,
) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        match code(&ask(authenticator, key).await) {
            None => passed += 1,
            Some(code) => assert_eq!(code, DenialCode::RateLimited),
        }
    }
    passed
}

async fn three_restarts<S: Store + 'static>(store: Arc<S>) {
    let key = issued_as(&*store, ten_an_hour()).await;
    let mut all = 0;
    for requests in [3, 5, 8, 8] {
        let process = over(&store).clock(clock).build().unwrap();
        all += passed(&process, &key, requests).await;
        process.stop().await.unwrap();
    }
    assert_eq!(all, 10, "of 24 requests with a limit of 10 an hour");
}

#[tokio::test]
async fn a_limit_survives_three_restarts() {
    three_restarts(Scripted::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    store.migrate().await.unwrap();
    three_restarts(Arc::new(store)).await;
}

/// Both keys of a lineage share what was spent.
#[tokio::test]
async fn a_rotated_key_keeps_its_limit_over_a_restart() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 6).await, 6);
    let rotated = process
        .rotate(
            &key.record.id,
            &keystile::RotationPolicy::default(),
            None,
            &mut keystile::SysRng,
            at(1_000),
        )
        .await
        .unwrap();
    process.stop().await.unwrap();
    let process = over(&store).clock(clock).build().unwrap();
    let successor = rotated.key.expose().as_bytes();
    let mut all = passed(&process, &key, 3).await;
    for _ in 0..3 {
        let answer = process.check(successor, &Request::new(), at(1_000)).await;
        all += usize::from(code(&answer).is_none());
    }
    assert_eq!(all, 4, "of the lineage's 10, 6 were spent");
}

/// A process that has only the key with the higher limit gives the other one nothing back:
/// neither when it reads what was spent, nor when it records its own.
#[tokio::test]
async fn a_slower_limit_of_a_lineage_is_kept() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let process = over(&store).clock(clock).build().unwrap();
    let policy = keystile::RotationPolicy::default();
    let rotated = process
        .rotate(
            &key.record.id,
            &policy,
            None,
            &mut keystile::SysRng,
            at(1_000),
        )
        .await
        .unwrap();
    assert_eq!(passed(&process, &key, 10).await, 10);
    process.stop().await.unwrap();
    let mut batch = Batch::new();
    let mut fast = rotated.successor.clone();
    fast.rate_limit = Some(RateLimit::new(100, Millis::from_secs(1)).unwrap());
    fast.version += 1;
    let event = Event::new(EventKind::Changed, fast.id, at(1_000)).with_version(fast.version);
    batch.events.push(event);
    batch.updates.push(fast.clone());
    store.commit(&batch).await.unwrap();

    let before = store.usage(&fast.lineage).await.unwrap().usage;
    let process = over(&store).clock(clock).build().unwrap();
    let text = rotated.key.expose().as_bytes();
    let mut allowed = Vec::new();
    for millis in [1_000, 3_000, 60_000] {
        let answer = process.check(text, &Request::new(), at(millis)).await;
        allowed.push(code(&answer).is_none());
    }
    assert_eq!(
        allowed,
        [false, true, true],
        "its own limit is that of this process"
    );
    process.stop().await.unwrap();
    let after = store.usage(&fast.lineage).await.unwrap().usage;
    assert_eq!(after, before, "what the slower limit has counted");
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 3).await, 0);
}

/// Steady traffic at the limit passes though the record is fetched again, from a store that is
/// far away and has a clock of its own.
#[tokio::test(start_paused = true)]
async fn a_fetch_makes_no_state_later() {
    let store = Scripted::new();
    store.is_at(Duration::from_millis(40));
    let key = issued_as(&*store, limit(1, Millis::from_secs(60)).never_expires()).await;
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let begun = *BEGUN.get_or_init(Instant::now);
    let clock = || {
        let millis = BEGUN.get().unwrap().elapsed().as_millis();
        Ok(at(u64::try_from(millis).unwrap()))
    };
    let process = over(&store).clock(clock).build().unwrap();
    for minute in 0..4 {
        tokio::time::sleep_until(begun + Duration::from_secs(60 * minute)).await;
        process.keyring().invalidate(&key.record.id);
        let now = clock().unwrap();
        let text = key.key.expose().as_bytes();
        let answer = process.check(text, &Request::new(), now).await;
        assert_eq!(code(&answer), None, "minute {minute}");
    }
    process.stop().await.unwrap();

    // A process that does not know it takes the state as it is stored, and gives nothing away.
    let process = over(&store).clock(clock).build().unwrap();
    let text = key.key.expose().as_bytes();
    let now = clock().unwrap();
    let answer = process.check(text, &Request::new(), now).await;
    assert_eq!(code(&answer), Some(DenialCode::RateLimited));
}

/// The lineage's meter takes over from that of the key, and what the key has spent is recorded
/// though its successor was not used yet.
#[tokio::test]
async fn what_a_key_spent_before_it_was_rotated_elsewhere_is_recorded() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 6).await, 6);
    let rotated = keystile_store::rotate(
        &*store,
        &key.record.id,
        &keystile::RotationPolicy::default(),
        None,
        &keystile::PepperRing::none(),
        &mut keystile::SysRng,
        at(1_000),
    )
    .await
    .unwrap();
    let successor = rotated.key.expose().as_bytes();
    let requirement = keystile::Requirement::parse("write").unwrap();
    let request = Request::new().requires(&requirement);
    let answer = process.check(successor, &request, at(1_000)).await;
    assert_eq!(code(&answer), Some(DenialCode::PermissionMissing));
    process.stop().await.unwrap();
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 10).await, 4);
}

/// A process that ends without a stop, as by SIGKILL, gives away what it spent since the last
/// second began, and no more.
#[tokio::test(start_paused = true)]
async fn a_crash_gives_away_at_most_the_last_second() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let flushes = over(&store).flush_interval(Duration::from_hours(1));
    let process = flushes.clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 7).await, 7);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(passed(&process, &key, 2).await, 2);
    store.trouble(Trouble::Fails); // it is gone before the next second
    drop(process);
    tokio::time::sleep(Duration::from_secs(5)).await;
    store.trouble(Trouble::None);
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 10).await, 3);
}

/// Two processes count for themselves, and what the store keeps is what the one that spent more
/// has spent: no more than both passed, so no one is refused who would not be by an exact limit.
#[tokio::test]
async fn of_two_processes_the_one_that_spent_more_counts() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let build = || over(&store).clock(clock).build().unwrap();
    let (one, other) = (build(), build());
    assert_eq!(passed(&one, &key, 7).await, 7);
    assert_eq!(passed(&other, &key, 4).await, 4);
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    assert_eq!(passed(&build(), &key, 10).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_free_again_soon_is_recorded_only_at_the_end() {
    let store = Scripted::new();
    let key = issued_as(&*store, limit(100, Millis::from_secs(1))).await;
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 50).await, 50);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(store.calls().note_rates, 0, "a write would be too late");
    let usage = store.usage(&key.record.lineage).await.unwrap().usage;
    assert_eq!(usage, Usage::default());
    assert_eq!(passed(&process, &key, 30).await, 30);
    process.stop().await.unwrap();
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 100).await, 20);
}

/// A state that a wrong clock has left costs one burst, also if the record is fetched again
/// before that is free.
#[tokio::test]
async fn a_wrong_state_in_the_store_costs_one_burst() {
    let store = Scripted::new();
    let daily = limit(1, Millis::from_days(1)).never_expires();
    let key = issued_as(&*store, daily).await;
    let year = at(1_000).plus(Millis::from_days(365)).unwrap();
    let far = RateState::default();
    let far = key.record.rate_limit.unwrap().admit(far, year).unwrap();
    let request = SpendRequest::new(&key.record, Usage::default(), Usage::new(far, None));
    assert!(store.spend(&request).await.unwrap());
    let process = over(&store).clock(clock).build().unwrap();
    let hour = 3_600_000;
    let mut allowed = Vec::new();
    for hours in [0, 12, 23, 24, 25] {
        let now = at(1_000 + hours * hour);
        let text = key.key.expose().as_bytes();
        let answer = process.check(text, &Request::new(), now).await;
        allowed.push(code(&answer).is_none());
    }
    assert_eq!(allowed, [false, false, false, true, false]);
    assert!(store.calls().find >= 5, "each of them fetched the record");
}

/// The time is paused, so that no second ends while the keys are used, however long that takes.
#[tokio::test(start_paused = true)]
async fn limits_are_recorded_in_bulk() {
    let store = Scripted::new();
    let mut keys = Vec::new();
    for _ in 0..1_500 {
        keys.push(issued_as(&store.store, ten_an_hour()).await);
    }
    let process = over(&store).clock(clock).build().unwrap();
    for key in &keys {
        assert_eq!(code(&ask(&process, key).await), None);
    }
    assert_eq!(store.calls().note_rates, 0, "before the first second ends");
    process.stop().await.unwrap();
    assert_eq!(store.calls().note_rates, 2, "a thousand at a time");
    let process = over(&store).clock(clock).build().unwrap();
    for key in [&keys[0], &keys[1_499]] {
        assert_eq!(passed(&process, key, 20).await, 9);
    }
}

/// What could not be recorded is recorded later.
#[tokio::test(start_paused = true)]
async fn a_limit_waits_for_a_store_that_fails() {
    let store = Scripted::new();
    let key = issued_as(&*store, ten_an_hour()).await;
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 10).await, 10);
    store.trouble(Trouble::Fails);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(process.stop().await.is_err(), "and is not lost silently");
    store.trouble(Trouble::None);
    process.stop().await.unwrap();
    let process = over(&store).clock(clock).build().unwrap();
    assert_eq!(passed(&process, &key, 5).await, 0);
}
