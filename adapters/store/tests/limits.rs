//! Limits in memory and in stores pass their suite, and limits with any one fault fail it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests and their fixtures"
)]

#[path = "limits/faulty.rs"]
mod faulty;

use std::sync::Arc;

use faulty::{Fault, Faulty};
use keystile::{IssueRequest, Issuer, KeyFormat, Millis, RateLimit, RateState, SysRng, UnixMillis};
use keystile_store::conformance::limits;
use keystile_store::{
    Limits, MemoryLimits, MemoryStore, SqliteStore, Store, StoreError, StoredLimits, Take,
    save_issued,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_in_memory_conform() {
    limits::run(async |_| MemoryLimits::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_in_a_store_in_memory_conform() {
    limits::run(async |keys| {
        let store = MemoryStore::new();
        store.commit(keys).await.unwrap();
        StoredLimits::new(Arc::new(store))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_in_sqlite_conform() {
    let folder = tempfile::tempdir().unwrap();
    let count = core::cell::Cell::new(0);
    limits::run(async |keys| {
        count.set(count.get() + 1);
        let store = SqliteStore::open(folder.path().join(format!("{}.db", count.get()))).unwrap();
        store.migrate().await.unwrap();
        store.commit(keys).await.unwrap();
        StoredLimits::new(Arc::new(store))
    })
    .await;
}

#[tokio::test]
async fn an_unknown_lineage_is_an_error_and_no_grant() {
    let limits = StoredLimits::new(Arc::new(MemoryStore::new()));
    let ten = RateLimit::new(10, Millis::from_hours(1)).unwrap();
    let unknown = "1AbCdEfGhIjKlMnO".parse().unwrap();
    let refused = limits.take(&Take::new(unknown, ten, 1)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
}

/// A state that is too far ahead for any of a lineage's limits is held to the longest of them:
/// that of the faster key gives nothing back of what the slower one has spent.
#[tokio::test]
async fn a_wrong_state_is_held_to_the_slowest_limit_of_the_lineage() {
    let hourly = RateLimit::new(10, Millis::from_hours(1)).unwrap();
    let fast = RateLimit::new(100, Millis::from_secs(10)).unwrap();
    let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
    let request = IssueRequest::new("Acme Ltd").unwrap().rate_limit(hourly);
    let now = UnixMillis::now().unwrap();
    let issued = issuer.issue(&request, &mut SysRng, now).unwrap();
    let store = Arc::new(MemoryStore::new());
    save_issued(&*store, &issued).await.unwrap();
    let year = now.plus(Millis::from_days(365)).unwrap();
    let (_, far) = hourly.take(RateState::default(), year, 1);
    let lineage = issued.record.lineage;
    let unused = RateState::default();
    assert!(store.replace_rate(&lineage, unused, far).await.unwrap());

    let limits = StoredLimits::new(Arc::clone(&store));
    let refused = limits.take(&Take::new(lineage, fast, 1)).await.unwrap();
    assert_eq!(refused.tokens, 0);
    let stored = store.usage(&lineage).await.unwrap().usage.rate;
    let full_at = refused.clock.plus(hourly.reach()).unwrap();
    assert_eq!(
        stored.full_at(),
        Some(full_at),
        "a full burst of the slower"
    );
    let quota = hourly.quota(stored, refused.clock);
    assert_eq!(quota.remaining(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_without_a_fault_conform() {
    limits::run(async |_| Faulty::new(Fault::None)).await;
}

macro_rules! found {
    ($($case:ident: $fault:ident, $breach:literal;)+) => {
        /// A fault that each case finds by itself, and with which words.
        const FOUND: &[(&str, Fault, &str)] = &[$((stringify!($case), Fault::$fault, $breach)),+];
    };
}

found! {
    a_burst_is_granted_once: GrantsOneMore, "a burst is granted once";
    tokens_are_granted_in_part: AllOrNothing, "as many as there are";
    a_look_takes_nothing: LookTakesOne, "a look takes nothing";
    concurrent_takes_share_one_burst: ReadsThenWrites, "share one burst";
    no_time_has_more_than_the_bound: TwiceAsFast, "at most";
    a_rest_is_taken_back_in_time: DropsRests, "five were given back";
    a_late_rest_is_not_taken_back: TakesBackLate, "not in time";
    no_more_than_a_burst_is_free_again: OwesRests, "at most a burst is free";
    a_rest_of_an_unknown_lineage_is_nothing: OwesRests, "gives nothing";
    lineages_are_apart: OneForAll, "its own burst";
    a_limit_of_zero_grants_nothing: ZeroIsOne, "grants nothing";
    the_largest_limits_are_exact: CountsInSixteenBits, "a burst of";
    what_a_slower_limit_has_spent_stays_spent: HoldsToAnyLimit, "slower limit is spent";
    a_rest_of_a_slower_limit_frees_no_other: HoldsToAnyLimit, "still spent";
    a_raised_limit_is_granted_again: HoldsToNoLimit, "one is free after";
}

/// A case that no fault fails would prove nothing, and could be lost without notice.
#[test]
fn each_case_finds_a_fault() {
    let named: Vec<_> = FOUND.iter().map(|(case, _, _)| *case).collect();
    assert_eq!(named, limits::CASES);
    for (case, fault, expected) in FOUND {
        let breach = breach_of(case, *fault);
        let breach = breach.unwrap_or_else(|| panic!("{case} does not find {fault:?}"));
        assert!(
            breach.contains(expected),
            "{case}, for another reason: {breach}"
        );
    }
}

/// The failure of a case for limits with this fault.
fn breach_of(case: &'static str, fault: Fault) -> Option<String> {
    let run = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).build().unwrap();
        runtime.block_on(limits::run_case(case, async |_| Faulty::new(fault)));
    });
    let panic = run.join().err()?;
    let text = panic.downcast::<String>().map(|text| *text);
    Some(text.unwrap_or_default())
}
