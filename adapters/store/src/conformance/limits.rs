//! The suite that every implementation of [`Limits`] must pass.
//!
//! Call it in the tests of an implementation:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! keystile_store::conformance::limits::run(async |_| keystile_store::MemoryLimits::new()).await;
//! # });
//! ```
//!
//! Limits in a store need the keys:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! use keystile_store::{MemoryStore, Store, StoredLimits, conformance};
//!
//! conformance::limits::run(async |keys| {
//!     let store = MemoryStore::new();
//!     store.commit(keys).await.expect("the keys of the suite are accepted");
//!     StoredLimits::new(store.into())
//! })
//! .await;
//! # });
//! ```

use std::sync::Arc;

use keystile::{KeyId, Millis, RateLimit, UnixMillis};

use super::{boxed, fixture::*};
use crate::batch::Batch;
use crate::limits::{Limits, Rest, Take, Taken};

/// Tests that limits do what [`Limits`] documents. `make` returns new ones at each call, of which
/// nothing is spent. It gets the keys whose lineages are asked for.
///
/// Call it inside a tokio runtime. One with several threads finds more failures. The limits may
/// be on a server with a clock of its own; no case waits for longer than that clock needs for a
/// fraction of a second.
///
/// # Panics
/// At the first failure, with what was expected.
pub async fn run<L: Limits + 'static>(make: impl AsyncFn(&Batch) -> L) {
    for case in CASES {
        run_case(case, &make).await;
    }
}

macro_rules! suite {
    ($($case:ident)+) => {
        /// The names of the suite's cases, in the order in which [`run`] runs them.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];

        /// Runs one of [`CASES`] on new limits, such as the one that failed before.
        ///
        /// ```
        /// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
        /// use keystile_store::{MemoryLimits, conformance::limits};
        ///
        /// limits::run_case("a_burst_is_granted_once", async |_| MemoryLimits::new()).await;
        /// # });
        /// ```
        ///
        /// # Panics
        /// If the limits fail the case, or if there is no case of this name.
        pub async fn run_case<L: Limits + 'static>(name: &str, make: impl AsyncFn(&Batch) -> L) {
            let keys = keys();
            let limits = Arc::new(boxed(|| make(&keys)).await);
            match name {
                $(stringify!($case) => boxed(|| $case(limits)).await,)+
                _ => panic!("there is no case {name}"),
            }
        }
    };
}

suite! {
    a_burst_is_granted_once
    tokens_are_granted_in_part
    a_look_takes_nothing
    concurrent_takes_share_one_burst
    no_time_has_more_than_the_bound
    a_rest_is_taken_back_in_time
    a_late_rest_is_not_taken_back
    no_more_than_a_burst_is_free_again
    a_rest_of_an_unknown_lineage_is_nothing
    lineages_are_apart
    a_limit_of_zero_grants_nothing
    the_largest_limits_are_exact
    what_a_slower_limit_has_spent_stays_spent
    a_rest_of_a_slower_limit_frees_no_other
    a_raised_limit_is_granted_again
}

/// A lineage of two keys, of which the first one has the slower limit, and two lineages of one
/// key.
fn keys() -> Batch {
    let [mut first, mut second, third, fourth] = [1, 2, 3, 4].map(plain);
    first.rate_limit = Some(hourly(10));
    (second.rate_limit, second.lineage) = (Some(fast()), first.id);
    inserts([&first, &second, &third, &fourth])
}

/// So slow that nothing becomes free during a test.
fn daily(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::from_days(1)).unwrap()
}

fn hourly(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::from_hours(1)).unwrap()
}

fn fast() -> RateLimit {
    RateLimit::new(100, Millis::from_secs(10)).unwrap()
}

async fn take(limits: &impl Limits, lineage: KeyId, limit: RateLimit, tokens: u32) -> Taken {
    let taken = limits.take(&Take::new(lineage, limit, tokens)).await;
    let taken = taken.expect("a take does not fail");
    assert!(
        taken.tokens <= tokens,
        "no more than was asked for: {taken:?}"
    );
    taken
}

async fn give_back(limits: &impl Limits, rests: &[Rest]) {
    limits
        .give_back(rests)
        .await
        .expect("tokens can be given back");
}

/// What is left by the state that was returned.
fn left(limit: &RateLimit, taken: &Taken) -> u32 {
    limit.quota(taken.state, taken.clock).remaining()
}

async fn a_burst_is_granted_once<L: Limits>(limits: Arc<L>) {
    let limit = daily(10);
    for number in 1..=10 {
        let taken = take(&*limits, id(3), limit, 1).await;
        assert_eq!(taken.tokens, 1, "take {number} of a burst of 10");
        assert_eq!(left(&limit, &taken), 10 - number, "the state after it");
    }
    for _ in 0..3 {
        let refused = take(&*limits, id(3), limit, 1).await;
        assert_eq!(refused.tokens, 0, "a burst is granted once");
        let wait = limit.quota(refused.state, refused.clock).retry_after();
        let wait = wait.expect("one is free again later");
        assert!(
            (1..=8_640_000).contains(&wait.get()),
            "a tenth of a day: {wait:?}"
        );
    }
}

async fn tokens_are_granted_in_part<L: Limits>(limits: Arc<L>) {
    let limit = daily(10);
    for granted in [8, 2, 0] {
        let taken = take(&*limits, id(3), limit, 8).await;
        assert_eq!(taken.tokens, granted, "as many as there are");
    }
}

async fn a_look_takes_nothing<L: Limits>(limits: Arc<L>) {
    let limit = daily(10);
    for (tokens, granted, remaining) in [(0, 0, 10), (0, 0, 10), (3, 3, 7), (0, 0, 7), (9, 7, 0)] {
        let taken = take(&*limits, id(3), limit, tokens).await;
        assert_eq!(taken.tokens, granted, "of {tokens}, after looks");
        assert_eq!(left(&limit, &taken), remaining, "a look takes nothing");
    }
}

async fn concurrent_takes_share_one_burst<L: Limits + 'static>(limits: Arc<L>) {
    let tasks = (0..16).map(|task| {
        let limits = Arc::clone(&limits);
        tokio::spawn(async move {
            let mut sum = 0;
            loop {
                let taken = take(&*limits, id(3), daily(100), 1 + task % 3).await;
                match taken.tokens {
                    0 => return sum,
                    tokens => sum += tokens,
                }
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("no task fails");
    }
    assert_eq!(sum, 100, "16 tasks share one burst of 100");
}

async fn no_time_has_more_than_the_bound<L: Limits + 'static>(limits: Arc<L>) {
    /// By the clock of the limits.
    const MILLIS: u64 = 50;
    // Ten each millisecond.
    let limit = RateLimit::with_burst(10_000, Millis::from_secs(1), 100).unwrap();
    let start = take(&*limits, id(3), limit, 0).await.clock;
    let tasks = (0..8).map(|_| {
        let limits = Arc::clone(&limits);
        tokio::spawn(async move {
            let mut grants = Vec::new();
            loop {
                let taken = take(&*limits, id(3), limit, 1_000).await;
                if taken.tokens > 0 {
                    grants.push((taken.clock, u64::from(taken.tokens)));
                }
                if taken.clock.since(start).get() > MILLIS {
                    return grants;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut grants: Vec<(UnixMillis, u64)> = Vec::new();
    for task in tasks {
        grants.extend(task.await.expect("no task fails"));
    }
    grants.sort_unstable();
    for (at, (first, _)) in grants.iter().enumerate() {
        let mut sum = 0;
        for (last, tokens) in &grants[at..] {
            sum += tokens;
            let bound = 100 + last.since(*first).get() * 10;
            assert!(
                sum <= bound,
                "{sum} from {first:?} to {last:?}, of {bound} at most"
            );
        }
    }
}

async fn a_rest_is_taken_back_in_time<L: Limits>(limits: Arc<L>) {
    let (limit, within) = (daily(10), Millis::from_hours(1));
    let ask = Take::new(id(3), limit, 4);
    let first = take(&*limits, id(3), limit, 4).await;
    let second = take(&*limits, id(3), limit, 4).await;
    let rests = [
        Rest::new(&ask, &first, 3, within),
        Rest::new(&ask, &second, 2, within),
    ];
    give_back(&*limits, &rests).await;
    give_back(&*limits, &[]).await;
    let again = take(&*limits, id(3), limit, 10).await;
    assert_eq!(again.tokens, 7, "two were left, and five were given back");
}

async fn a_late_rest_is_not_taken_back<L: Limits>(limits: Arc<L>) {
    let (limit, ask) = (daily(10), Take::new(id(3), daily(10), 8));
    let taken = take(&*limits, id(3), limit, 8).await;
    let hour = 3_600_000;
    // An hour ago, and in an hour, which cannot be.
    for clock in [taken.clock.get() - hour, taken.clock.get() + hour] {
        let clock = UnixMillis::new(clock).unwrap();
        let wrong = Taken::new(8, taken.state, clock);
        let rest = Rest::new(&ask, &wrong, 5, Millis::from_secs(1));
        give_back(&*limits, &[rest]).await;
    }
    let again = take(&*limits, id(3), limit, 10).await;
    assert_eq!(again.tokens, 2, "a rest that is not in time is lost");
}

async fn no_more_than_a_burst_is_free_again<L: Limits>(limits: Arc<L>) {
    let (limit, ask) = (daily(10), Take::new(id(3), daily(10), 8));
    let taken = take(&*limits, id(3), limit, 8).await;
    let rest = Rest::new(&ask, &taken, 8, Millis::from_hours(1));
    give_back(&*limits, &[rest, rest]).await;
    give_back(&*limits, &[rest]).await;
    let again = take(&*limits, id(3), limit, 100).await;
    assert_eq!(again.tokens, 10, "at most a burst is free");
}

/// Its state may have been lost.
async fn a_rest_of_an_unknown_lineage_is_nothing<L: Limits>(limits: Arc<L>) {
    let limit = daily(10);
    let clock = take(&*limits, id(3), limit, 0).await;
    for lineage in [id(3), id(9)] {
        let ask = Take::new(lineage, limit, 5);
        let rest = Rest::new(&ask, &clock, 5, Millis::from_hours(1));
        give_back(&*limits, &[rest]).await;
    }
    let taken = take(&*limits, id(3), limit, 100).await;
    assert_eq!(taken.tokens, 10, "a rest of nothing gives nothing");
}

async fn lineages_are_apart<L: Limits>(limits: Arc<L>) {
    let (limit, ask) = (daily(10), Take::new(id(3), daily(10), 6));
    let taken = take(&*limits, id(3), limit, 6).await;
    let other = take(&*limits, id(4), limit, 100).await;
    assert_eq!(other.tokens, 10, "another lineage has its own burst");
    let rest = Rest::new(&ask, &taken, 6, Millis::from_hours(1));
    give_back(&*limits, &[rest]).await;
    let other = take(&*limits, id(4), limit, 100).await;
    assert_eq!(other.tokens, 0, "and gets nothing of the first");
    assert_eq!(take(&*limits, id(3), limit, 100).await.tokens, 10);
}

async fn a_limit_of_zero_grants_nothing<L: Limits>(limits: Arc<L>) {
    let (zero, limit) = (daily(0), daily(10));
    for _ in 0..2 {
        let refused = take(&*limits, id(3), zero, 5).await;
        assert_eq!(refused.tokens, 0, "a limit of 0 grants nothing");
        let wait = zero.quota(refused.state, refused.clock).retry_after();
        assert_eq!(wait, None, "and never will");
    }
    assert_eq!(take(&*limits, id(3), limit, 6).await.tokens, 6);
    assert_eq!(take(&*limits, id(3), zero, 5).await.tokens, 0);
    assert_eq!(
        take(&*limits, id(3), limit, 6).await.tokens,
        4,
        "it spends nothing of another limit"
    );
}

async fn the_largest_limits_are_exact<L: Limits>(limits: Arc<L>) {
    let largest = [
        // A million each millisecond.
        RateLimit::with_burst(1_000_000_000, Millis::from_secs(1), u32::MAX).unwrap(),
        // As many parts of a millisecond as there can be.
        RateLimit::new(1_048_573, Millis::from_hours(1)).unwrap(),
        // The longest reach: nearly ten years.
        RateLimit::with_burst(1, Millis::from_days(366), 9).unwrap(),
    ];
    for (lineage, limit) in [id(1), id(3), id(4)].into_iter().zip(largest) {
        let first = take(&*limits, lineage, limit, u32::MAX).await;
        assert_eq!(first.tokens, limit.burst(), "a burst of {limit:?}");
        let next = take(&*limits, lineage, limit, u32::MAX).await;
        let passed = u128::from(next.clock.since(first.clock).get());
        let free = passed * u128::from(limit.limit()) / u128::from(limit.window().get());
        assert!(
            u128::from(next.tokens) <= free,
            "{} after {passed} ms, of {free}: {limit:?}",
            next.tokens
        );
    }
}

async fn what_a_slower_limit_has_spent_stays_spent<L: Limits>(limits: Arc<L>) {
    let slow = hourly(10);
    assert_eq!(take(&*limits, id(1), slow, 10).await.tokens, 10);
    for _ in 0..3 {
        take(&*limits, id(1), fast(), 5).await;
        take(&*limits, id(1), fast(), 0).await;
        let again = take(&*limits, id(1), slow, 10).await;
        assert_eq!(again.tokens, 0, "the slower limit is spent");
    }
}

/// After the only key of the slower limit has got another one.
async fn a_rest_of_a_slower_limit_frees_no_other<L: Limits>(limits: Arc<L>) {
    let yearly = RateLimit::new(24, Millis::from_days(366)).unwrap();
    let ask = Take::new(id(3), yearly, 5);
    let taken = take(&*limits, id(3), yearly, 5).await;
    assert_eq!(taken.tokens, 5);
    assert_eq!(take(&*limits, id(3), daily(10), 1).await.tokens, 0);
    let rest = Rest::new(&ask, &taken, 5, Millis::from_hours(1));
    give_back(&*limits, &[rest]).await;
    let other = take(&*limits, id(3), daily(10), 10).await;
    assert_eq!(other.tokens, 0, "a burst of the other limit is still spent");
}

async fn a_raised_limit_is_granted_again<L: Limits>(limits: Arc<L>) {
    let yearly = RateLimit::new(24, Millis::from_days(366)).unwrap();
    assert_eq!(take(&*limits, id(3), yearly, 30).await.tokens, 24);
    let refused = take(&*limits, id(3), fast(), 1).await;
    assert_eq!(refused.tokens, 0, "a full burst of it counts as spent");
    loop {
        let taken = take(&*limits, id(3), fast(), 1).await;
        if taken.tokens == 1 {
            return;
        }
        let passed = taken.clock.since(refused.clock);
        assert!(
            passed < Millis::new(200),
            "one is free after a tenth of a second, and {passed:?} have passed"
        );
    }
}
