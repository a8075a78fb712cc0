//! The rate limit, compared with a token bucket in exact fractions, and with the count of
//! every interval.

use crate::common::test_rng::TestRng;
use keystile::{Millis, RateLimit, RateState, UnixMillis};
use proptest::prelude::*;

const START: u64 = 1_790_000_000_000;

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(millis).unwrap()
}

/// A bucket that holds up to `burst` tokens and gains `limit` of them per window. Tokens
/// are counted in window-ths, so that all numbers are whole.
struct Bucket {
    limit: u128,
    window: u128,
    burst: u128,
    /// Tokens times window.
    filled: u128,
    last: u64,
}

impl Bucket {
    fn new(limit: &RateLimit, now: u64) -> Self {
        let (burst, window) = (u128::from(limit.burst()), u128::from(limit.window().get()));
        Self {
            limit: limit.limit().into(),
            window,
            burst,
            filled: burst * window,
            last: now,
        }
    }

    fn fill(&mut self, now: u64) {
        let gained = u128::from(now - self.last) * self.limit;
        self.filled = (self.filled + gained).min(self.burst * self.window);
        self.last = now;
    }

    fn take(&mut self, now: u64) -> bool {
        self.fill(now);
        let taken = self.filled.checked_sub(self.window);
        self.filled = taken.unwrap_or(self.filled);
        taken.is_some()
    }

    fn remaining(&self) -> u128 {
        self.filled / self.window
    }

    /// Milliseconds until one token is available.
    fn wait(&self) -> u128 {
        self.window.saturating_sub(self.filled).div_ceil(self.limit)
    }

    /// Milliseconds until the bucket is full.
    fn reset(&self) -> u128 {
        (self.burst * self.window - self.filled).div_ceil(self.limit)
    }
}

/// Runs a schedule whose clock is never set back. The decisions and all that is reported
/// about the limit must equal those of the bucket.
fn compare_with_bucket(limit: &RateLimit, times: &[u64]) {
    let mut bucket = Bucket::new(limit, times[0]);
    let mut state = RateState::default();
    for &now in times {
        let admitted = limit.admit(state, at(now));
        assert_eq!(
            admitted.is_ok(),
            bucket.take(now),
            "{limit:?} at {now} of {times:?}"
        );
        match admitted {
            Ok(next) => state = next,
            Err(refused) => {
                let told = refused.retry_after().map(|wait| u128::from(wait.get()));
                assert_eq!(told, Some(bucket.wait()), "{limit:?} at {now} of {times:?}");
            }
        }
        let quota = limit.quota(state, at(now));
        assert_eq!(u128::from(quota.remaining()), bucket.remaining());
        assert_eq!(u128::from(quota.reset().get()), bucket.reset());
        let wait = quota.retry_after().map(|wait| u128::from(wait.get()));
        assert_eq!(wait, Some(bucket.wait()));
        // A store that keeps the state as a number loses nothing.
        assert_eq!(RateState::from_bits(state.to_bits()), state);
    }
}

/// The instants at which a schedule's requests passed.
fn admitted(limit: &RateLimit, times: &[u64]) -> Vec<u64> {
    let mut state = RateState::default();
    let passes = |now: &u64| {
        let next = limit.admit(state, at(*now)).ok()?;
        state = next;
        Some(*now)
    };
    times.iter().filter_map(passes).collect()
}

/// Whether no interval, including its ends, has more than `burst + limit × T / window`.
fn is_bounded(limit: &RateLimit, admitted: &[u64]) -> bool {
    let mut sorted = admitted.to_vec();
    sorted.sort_unstable();
    let (rate, window) = (u128::from(limit.limit()), u128::from(limit.window().get()));
    (0..sorted.len()).all(|first| {
        (first..sorted.len()).all(|last| {
            let count = (last - first + 1) as u128;
            let span = u128::from(sorted[last] - sorted[first]);
            count.saturating_sub(limit.burst().into()) * window <= rate * span
        })
    })
}

/// Each limit with up to three requests in up to five milliseconds.
fn small_limits() -> Vec<RateLimit> {
    let mut all = Vec::new();
    for limit in 1..=3 {
        for window in 1..=5 {
            for burst in 1..=3 {
                let made = RateLimit::with_burst(limit, Millis::new(window), burst);
                all.push(made.unwrap());
            }
        }
    }
    all
}

/// Each sequence of this many of the steps.
fn schedules(steps: &[i64], length: u32) -> impl Iterator<Item = Vec<u64>> + '_ {
    (0..steps.len().pow(length)).map(move |number| {
        let (mut rest, mut now) = (number, START);
        let mut times = vec![now];
        for _ in 0..length {
            now = now.checked_add_signed(steps[rest % steps.len()]).unwrap();
            rest /= steps.len();
            times.push(now);
        }
        times
    })
}

#[test]
fn every_small_schedule_is_decided_as_by_the_bucket() {
    let mut cases = 0u32;
    for limit in small_limits() {
        for times in schedules(&[0, 1, 2, 3, 7], 6) {
            compare_with_bucket(&limit, &times);
            cases += 1;
        }
    }
    assert!(cases > 700_000, "{cases} cases");
}

#[test]
fn no_interval_of_a_small_schedule_exceeds_the_limit_whatever_the_clock_does() {
    let mut cases = 0u32;
    for limit in small_limits() {
        // Back by less than a window, by a burst, and by more than can ever be spent.
        for times in schedules(&[0, 1, 2, -1, -4, -20], 6) {
            let passed = admitted(&limit, &times);
            assert!(
                is_bounded(&limit, &passed),
                "{limit:?}: {passed:?} of {times:?}"
            );
            cases += 1;
        }
    }
    assert!(cases > 2_000_000, "{cases} cases");
}

#[test]
fn counting_intervals_would_catch_a_limiter_that_forgets() {
    // The control: fixed windows, which let two bursts meet at the edge (I7).
    let limit = RateLimit::new(3, Millis::new(10)).unwrap();
    let times: Vec<u64> = [9, 9, 9, 10, 10, 10].map(|t| START + t).to_vec();
    let mut counts = std::collections::HashMap::new();
    let windows = |now: &&u64| {
        let count = counts.entry(**now / 10).or_insert(0);
        *count += 1;
        *count <= 3
    };
    let passed: Vec<u64> = times.iter().filter(windows).copied().collect();
    assert_eq!(passed.len(), 6);
    assert!(!is_bounded(&limit, &passed));
    assert!(is_bounded(&limit, &admitted(&limit, &times)));
}

#[test]
fn steady_traffic_at_the_limit_is_never_refused() {
    let mut rng = TestRng::seeded(3);
    for _ in 0..2_000 {
        let (count, window) = (1 + rng.below(5_000), 1 + rng.below(100_000));
        let burst = 1 + rng.below(4) as u32;
        let limit = RateLimit::with_burst(count as u32, Millis::new(window), burst).unwrap();
        // The i-th request at i windows / limit, rounded up to a whole millisecond. The
        // burst must make up for what the rounding takes from the spacing.
        let times: Vec<u64> = (0..200)
            .map(|i| START + (i * window).div_ceil(count))
            .collect();
        let room = u64::from(burst - 1) * window >= count;
        if room || window % count == 0 {
            assert_eq!(admitted(&limit, &times).len(), 200, "{limit:?}");
        }
        let own_burst = RateLimit::new(count as u32, Millis::new(window)).unwrap();
        assert_eq!(admitted(&own_burst, &times).len(), 200, "{own_burst:?}");
    }
}

#[test]
fn when_the_clock_has_caught_up_a_step_back_leaves_no_trace() {
    for limit in small_limits() {
        for times in schedules(&[0, 1, 3], 5) {
            let mut state = RateState::default();
            let mut spend = |now: u64| match limit.admit(state, at(now)) {
                Ok(next) => {
                    state = next;
                    true
                }
                Err(_) => false,
            };
            for now in &times {
                spend(*now);
            }
            // A step back, some attempts meanwhile, and enough time after the last of
            // them.
            let last = *times.last().unwrap();
            for early in 0..10 {
                spend(last - 50 + early);
            }
            let idle = last + u64::from(limit.burst()) * limit.window().get();
            let whole = (0..limit.burst()).all(|_| spend(idle));
            assert!(whole, "{limit:?} after {times:?}");
            assert!(!spend(idle));
        }
    }
}

#[test]
fn a_refusal_reports_when_the_next_request_passes_in_any_state() {
    let mut rng = TestRng::seeded(4);
    let mut told = 0u32;
    for _ in 0..200_000 {
        let (count, window) = (1 + rng.below(50) as u32, 1 + rng.below(10_000));
        let burst = 1 + rng.below(60) as u32;
        let limit = RateLimit::with_burst(count, Millis::new(window), burst).unwrap();
        // States of this limit and of others, from earlier and from clocks far ahead.
        let bits = rng.below(36);
        let ahead = rng.below(1 << bits);
        let state = RateState::from_bits((START + ahead) << 20 | rng.below(1 << 20));
        let Err(refused) = limit.admit(state, at(START)) else {
            continue;
        };
        let wait = refused.retry_after().unwrap().get();
        told += 1;
        assert!(
            limit.admit(state, at(START + wait)).is_ok(),
            "{limit:?} {state:?}"
        );
        assert!(
            limit.admit(state, at(START + wait - 1)).is_err(),
            "{limit:?} {state:?}"
        );
    }
    assert!(told > 50_000, "{told} refusals");
}

#[test]
fn a_limit_of_zero_denies_all_and_one_that_cannot_be_counted_is_an_error() {
    let none = RateLimit::new(0, Millis::from_hours(1)).unwrap();
    for bits in [0, 1, START << 20, u64::MAX] {
        for now in [UnixMillis::MIN, at(START), UnixMillis::MAX] {
            let refused = none.admit(RateState::from_bits(bits), now).unwrap_err();
            assert_eq!(refused.retry_after(), None);
            assert_eq!(none.quota(RateState::from_bits(bits), now).remaining(), 0);
        }
    }
    assert!(RateLimit::new(1, Millis::ZERO).is_err());
    assert!(RateLimit::new(1, Millis::from_days(367)).is_err());
    assert!(RateLimit::with_burst(1, Millis::new(1), 0).is_err());
    assert!(RateLimit::with_burst(1, Millis::from_days(366), 11).is_err());
    assert!(RateLimit::new(u32::MAX, Millis::new(7)).is_err());
    assert!(RateLimit::new(1_000_000_000, Millis::from_secs(1)).is_ok());
}

proptest! {
    #[test]
    fn a_random_schedule_is_decided_as_by_the_bucket(
        limit in 1u32..10_000,
        window in 1u64..10_000_000,
        burst in 1u32..40,
        steps in proptest::collection::vec((0u32..20, 0u64..500), 1..120),
    ) {
        let limit = RateLimit::with_burst(limit, Millis::new(window), burst).unwrap();
        // Steps of about the spacing of two requests, and sometimes a long pause.
        let spacing = window / u64::from(limit.limit()) + 1;
        let mut now = START;
        let mut times = vec![now];
        for (kind, part) in steps {
            now += match kind {
                0 => part * spacing,
                1..6 => 0,
                _ => part * spacing / 400,
            };
            times.push(now);
        }
        compare_with_bucket(&limit, &times);
        prop_assert!(is_bounded(&limit, &admitted(&limit, &times)));
    }

    #[test]
    fn a_random_schedule_with_an_erratic_clock_stays_within_the_limit(
        limit in 1u32..1_000,
        window in 1u64..100_000,
        burst in 1u32..20,
        steps in proptest::collection::vec(-200_000i64..200_000, 1..60),
        bits in any::<u64>(),
    ) {
        let limit = RateLimit::with_burst(limit, Millis::new(window), burst).unwrap();
        let mut now = START;
        let mut times = vec![now];
        for step in steps {
            // Most steps are small; the sign is kept.
            let step = if step % 3 == 0 { step } else { step / 10_000 };
            now = now.checked_add_signed(step).unwrap();
            times.push(now);
        }
        prop_assert!(is_bounded(&limit, &admitted(&limit, &times)));
        // No number that a store may return makes it panic or admit requests for free.
        if let Ok(next) = limit.admit(RateState::from_bits(bits), at(START)) {
            prop_assert!(next.to_bits() > START << 20);
        }
        let quota = limit.quota(RateState::from_bits(bits), at(START));
        prop_assert!(quota.remaining() <= limit.burst());
    }
}
