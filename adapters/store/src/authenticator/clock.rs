//! The clock that the revocation bound is measured by: it runs on while the machine sleeps.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use keystile::Millis;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::sync::{Mutex, PoisonError};
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
use std::time::{Instant, SystemTime};

/// Where the time comes from. Readings are compared only with each other.
#[derive(Default)]
pub(super) enum Clock {
    #[default]
    System,
    /// A test's own.
    Scripted(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl Clock {
    /// A reading, in nanoseconds from a start that does not change.
    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        match self {
            Self::System => boot_nanos(),
            Self::Scripted(read) => nanos(read()),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The time since the machine was started, or a later start, for a keyring.
pub(super) fn since_boot() -> Millis {
    Millis::new(boot_nanos().div_euclid(1_000_000))
}

/// A duration in nanoseconds; 584 years at most.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// `Instant` is `CLOCK_MONOTONIC` here, which stops in suspend.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn boot_nanos() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Boottime);
    unsigned(time.tv_sec)
        .saturating_mul(1_000_000_000)
        .saturating_add(unsigned(time.tv_nsec))
}

/// A part of a time since the start, which is never negative; its type is the platform's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unsigned(part: impl TryInto<u64>) -> u64 {
    part.try_into().unwrap_or_default()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_nanos() -> u64 {
    use std::sync::{Mutex, PoisonError};
    static ELAPSED: Mutex<Option<Elapsed>> = Mutex::new(None);
    let mut elapsed = ELAPSED.lock().unwrap_or_else(PoisonError::into_inner);
    elapsed
        .get_or_insert_with(|| Elapsed::since(Instant::now(), SystemTime::now()))
        .at(Instant::now(), SystemTime::now())
}

/// The time that has passed by two clocks: one may stop in suspend, the other may be set.
/// Between two readings, the one that has moved on further counts.
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
struct Elapsed {
    instant: Instant,
    wall: SystemTime,
    total: Duration,
}

#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
impl Elapsed {
    const fn since(instant: Instant, wall: SystemTime) -> Self {
        Self {
            instant,
            wall,
            total: Duration::ZERO,
        }
    }

    fn at(&mut self, instant: Instant, wall: SystemTime) -> u64 {
        let steady = instant.saturating_duration_since(self.instant);
        let walled = wall.duration_since(self.wall).unwrap_or_default();
        self.total = self.total.saturating_add(steady.max(walled));
        (self.instant, self.wall) = (instant, wall);
        nanos(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_never_go_back() {
        let clock = Clock::System;
        let mut last = clock.nanos();
        for _ in 0..10_000 {
            let next = clock.nanos();
            assert!(next >= last);
            last = next;
        }
        let begun = since_boot();
        std::thread::sleep(Duration::from_millis(2));
        assert!(since_boot() > begun, "it goes on");
    }

    /// Suspend stops one of the clocks, and the other may be set in either direction.
    #[test]
    fn of_two_clocks_the_one_that_moved_on_further_counts() {
        const SECOND: Duration = Duration::from_secs(1);
        let (mut instant, mut wall) = (Instant::now(), SystemTime::now());
        let mut elapsed = Elapsed::since(instant, wall);
        let mut seconds = |steady: u32, walled: i32| {
            instant += SECOND * steady;
            let step = SECOND * walled.unsigned_abs();
            wall = if walled < 0 { wall - step } else { wall + step };
            elapsed.at(instant, wall) / 1_000_000_000
        };
        assert_eq!(seconds(1, 1), 1);
        assert_eq!(seconds(0, 100), 101, "the machine slept");
        assert_eq!(seconds(2, -1_000), 103, "the wall clock was set back");
        assert_eq!(seconds(0, 50), 153, "and then the machine slept");
    }
}
