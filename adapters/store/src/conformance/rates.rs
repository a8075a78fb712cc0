//! Rate limits: what processes have counted is kept, by the store's clock, and never lowered.

use core::time::Duration;
use std::sync::Arc;

use keystile::{
    ApiKey, Cause, IssueRequest, Issued, KeyFormat, KeyRecord, Lookup, Millis, PepperRing,
    RateLimit, RateState, Request, RotationPolicy, SysRng, UnixMillis, Usage, Verifier, issue,
};

use super::fixture::*;
use crate::check::check;
use crate::rotate::rotate;
use crate::store::{SpendRequest, Store};
use crate::stored_usage::RateNote;
use crate::verbs::{revoke, save_issued};

/// Ten an hour.
fn ten() -> RateLimit {
    RateLimit::new(10, Millis::from_hours(1)).unwrap()
}

/// The state of a limit that was spent so many times at once.
fn spent(times: u32, now: UnixMillis) -> RateState {
    let state = RateState::default();
    (0..times).fold(state, |state, _| {
        ten().admit(state, now).expect("at most ten")
    })
}

fn note(record: &KeyRecord, state: RateState) -> RateNote {
    RateNote::new(record.lineage, state, Millis::from_hours(1))
}

/// Notes states, and checks that the stored one is `expected` in the time of the store's clock.
async fn noted(
    store: &impl Store,
    notes: &[RateNote],
    record: &KeyRecord,
    now: UnixMillis,
    expected: RateState,
    context: &str,
) {
    let before = store.usage(&record.lineage).await.unwrap();
    let noted = store.note_rates(notes, now).await;
    noted.expect("states can be recorded in bulk");
    let after = store.usage(&record.lineage).await.unwrap();
    let of = |clock: Option<UnixMillis>| expected.moved(now, clock.unwrap_or(now));
    let found = after.usage.rate;
    assert!(
        (of(before.clock)..=of(after.clock)).contains(&found),
        "{context}: expected {expected:?} in the time of the store's clock, found {found:?}, \
         by {:?} to {:?}",
        before.clock,
        after.clock
    );
    assert_eq!(
        after.usage.remaining, before.usage.remaining,
        "{context}: remaining uses do not change"
    );
}

pub(super) async fn states_are_only_raised<S: Store>(store: Arc<S>) {
    let (mut record, other) = (plain(1), plain(2));
    record.remaining_uses = Some(7);
    insert(&*store, [&record, &other]).await;
    let now = at(0);
    let three = spent(3, now);
    noted(
        &*store,
        &[note(&record, three)],
        &record,
        now,
        three,
        "a first state",
    )
    .await;
    let untouched = store.usage(&other.lineage).await.unwrap().usage;
    assert_eq!(untouched, Usage::default(), "the state of no other lineage");

    // A little later, by the same clock: what the store has is now further in the past.
    let later = at(1);
    let latest = spent(9, later);
    let several = [
        note(&record, spent(8, later)),
        note(&record, latest),
        note(&plain(9), latest),
        note(&record, spent(5, later)),
    ];
    noted(
        &*store,
        &several,
        &record,
        later,
        latest,
        "the latest of several",
    )
    .await;
    let gone = store.find(&Lookup::Id(id(9))).await.unwrap();
    assert!(gone.is_none(), "a state of an unknown lineage makes none");

    let before = store.usage(&record.lineage).await.unwrap().usage;
    for lower in [
        spent(1, later),
        RateState::default(),
        RateState::from_bits(1),
    ] {
        store
            .note_rates(&[note(&record, lower)], later)
            .await
            .unwrap();
        let after = store.usage(&record.lineage).await.unwrap().usage;
        assert_eq!(after, before, "no state is lowered, and {lower:?} is lower");
    }
    store
        .note_rates(&[], later)
        .await
        .expect("no states are no error");
    let many: Vec<_> = (0..2_000).map(|_| note(&other, spent(2, later))).collect();
    noted(
        &*store,
        &many,
        &other,
        later,
        spent(2, later),
        "many states at once",
    )
    .await;
    let next = store.commit(&updates([&next(&record)])).await;
    next.expect("a state does not change the version");
}

/// A reading of the clock that was a year ahead, or a limit that was higher, costs one burst.
pub(super) async fn a_state_far_ahead_is_held<S: Store>(store: Arc<S>) {
    let record = plain(1);
    insert(&*store, [&record]).await;
    let now = at(0);
    for ahead in [
        Millis::from_hours(2),
        Millis::from_days(365),
        Millis::from_days(365_000),
    ] {
        let stored = store.usage(&record.lineage).await.unwrap();
        let clock = stored.clock.unwrap_or(now);
        let far = RateState::default().max(spent(1, now).moved(now, clock.plus(ahead).unwrap()));
        let after = Usage::new(far, None);
        let request = SpendRequest::new(&record, stored.usage, after);
        assert!(store.spend(&request).await.unwrap(), "any state is kept");
        let full = spent(10, now);
        let notes = [note(&record, spent(1, now))];
        noted(&*store, &notes, &record, now, full, "held to one burst").await;
    }
}

/// What a lookup finds with a record is what its lineage has spent.
pub(super) async fn a_record_is_found_with_its_usage<S: Store>(store: Arc<S>) {
    let mut first = plain(1);
    first.rate_limit = Some(ten());
    first.remaining_uses = Some(5);
    let mut successor = plain(2);
    (successor.lineage, successor.remaining_uses) = (first.id, Some(5));
    insert(&*store, [&first, &successor]).await;
    let after = Usage::new(RateState::from_bits(1 << 63 | 77), Some(2));
    let request = SpendRequest::new(&first, Usage::of(&first), after);
    assert!(store.spend(&request).await.unwrap());
    for id in [first.id, successor.id] {
        let found = store.find_with_usage(&Lookup::Id(id)).await.unwrap();
        let (record, usage) = found.expect("it is there");
        assert_same(find(&*store, &id).await.as_ref(), &record, "with its usage");
        assert_eq!(usage.usage, after, "what its lineage has spent");
        let alone = store.usage(&first.lineage).await.unwrap();
        assert_eq!(
            usage.clock.is_some(),
            alone.clock.is_some(),
            "both by the store's clock, if it has one"
        );
        assert!(usage.clock <= alone.clock, "the store's clock goes on");
    }
    let none = store.find_with_usage(&Lookup::Id(id(9))).await.unwrap();
    assert!(none.is_none(), "an unknown key has none");
}

/// A key of ten requests an hour.
async fn limited<S: Store>(store: &S) -> (Issued, Verifier) {
    let format = KeyFormat::structured("acme").unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().rate_limit(ten());
    let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    (issued, Verifier::new(format))
}

/// How many of so many requests are allowed.
async fn allowed<S: Store>(
    store: &S,
    (issued, verifier): &(Issued, Verifier),
    clocks: &[UnixMillis],
) -> usize {
    passed(store, &issued.key, verifier, clocks).await
}

async fn passed<S: Store>(
    store: &S,
    key: &ApiKey,
    verifier: &Verifier,
    clocks: &[UnixMillis],
) -> usize {
    let key = key.expose().as_bytes();
    let mut allowed = 0;
    for now in clocks {
        let checked = check(store, verifier, key, &Request::new(), *now).await;
        match checked.expect("a check does not fail").decision.denial() {
            None => allowed += 1,
            Some(denial) => assert_eq!(denial.cause(), Cause::RateLimit),
        }
    }
    allowed
}

/// Processes whose clocks are three minutes apart share one limit.
pub(super) async fn clocks_that_differ_share_a_limit<S: Store>(store: Arc<S>) {
    let key = limited(&*store).await;
    let (behind, ahead) = (at(0), at(180_000));
    let clocks: Vec<_> = (0..20).flat_map(|_| [behind, ahead]).collect();
    let passed = allowed(&*store, &key, &clocks).await;
    assert_eq!(passed, 10, "of 40 requests with a limit of 10");
}

/// One wrong reading of a clock costs at most one burst, and is not stored for ever.
pub(super) async fn a_wrong_clock_costs_one_burst<S: Store>(store: Arc<S>) {
    let key = limited(&*store).await;
    let (now, month) = (at(0), at(30 * 86_400_000));
    assert_eq!(
        allowed(&*store, &key, &[month]).await,
        1,
        "by the wrong clock"
    );
    let at_once = allowed(&*store, &key, &[now; 20]).await;
    assert!(at_once <= 10, "no more than the limit: {at_once}");
    // By the clock of the processes a request is free again after six minutes; a store with a
    // clock of its own has counted the wrong reading as any other.
    let later = allowed(&*store, &key, &[at(360_000); 5]).await;
    let all = 1 + at_once + later;
    assert!(
        (1..=11).contains(&(at_once + later)),
        "requests pass again: {all} did"
    );
}

/// A5: a limit that was raised is in force at once, and what was spent of the earlier one costs
/// at most one burst: also for counted keys, and for all keys of a lineage.
pub(super) async fn a_raised_limit_is_in_force<S: Store>(store: Arc<S>) {
    let format = KeyFormat::structured("acme").unwrap();
    let yearly = RateLimit::new(24, Millis::from_days(366)).unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().rate_limit(yearly);
    let request = request.uses(1_000).unwrap();
    let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(&*store, &issued).await.unwrap();
    let verifier = Verifier::new(format);
    let key = (issued, verifier);
    assert_eq!(allowed(&*store, &key, &[at(0); 30]).await, 24);
    let mut raised = find(&*store, &key.0.record.id).await.unwrap();
    raised.rate_limit = Some(RateLimit::new(100, Millis::from_secs(10)).unwrap());
    raised.version += 1;
    store.commit(&updates([&raised])).await.unwrap();
    assert_eq!(
        allowed(&*store, &key, &[at(0)]).await,
        0,
        "a full burst of the new limit counts as spent"
    );
    // A tenth of a second later, by the clock of the processes or by the store's own, one is
    // free.
    for millis in (0..1_000).map(|tries| 100 + tries * 10) {
        if allowed(&*store, &key, &[at(millis)]).await == 1 {
            return;
        }
        // Not tokio's: a runtime for this suite needs no timer.
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the raised limit is not in force");
}

/// A5: what a key of a slower limit has counted is not given back by requests with another key of
/// its lineage, though these may not pass.
pub(super) async fn a_slower_limit_of_a_lineage_is_not_lowered<S: Store>(store: Arc<S>) {
    let slow = limited(&*store).await;
    let id = slow.0.record.id;
    let (policy, peppers) = (RotationPolicy::default(), PepperRing::none());
    let rotated = rotate(&*store, &id, &policy, None, &peppers, &mut SysRng, at(0)).await;
    let rotated = rotated.unwrap();
    let mut raised = rotated.successor.clone();
    raised.rate_limit = Some(RateLimit::new(100, Millis::from_secs(1)).unwrap());
    raised.version += 1;
    store.commit(&updates([&raised])).await.unwrap();
    assert_eq!(allowed(&*store, &slow, &[at(0); 11]).await, 10);
    let before = store.usage(&raised.lineage).await.unwrap().usage;
    let mut again = 0;
    for _ in 0..3 {
        passed(&*store, &rotated.key, &slow.1, &[at(0); 2]).await;
        again += allowed(&*store, &slow, &[at(0); 10]).await;
    }
    assert_eq!(again, 0, "the slower limit is spent");
    let after = store.usage(&raised.lineage).await.unwrap().usage;
    assert_eq!(after, before, "the state is that of the slower limit");

    // Once it is revoked, nothing is held for it.
    revoke(&*store, &slow.0.record.id, "left", at(0))
        .await
        .unwrap();
    passed(&*store, &rotated.key, &slow.1, &[at(0)]).await;
    let after = store.usage(&raised.lineage).await.unwrap().usage;
    assert!(
        after.rate < before.rate,
        "one burst of the other limit is spent"
    );
}
