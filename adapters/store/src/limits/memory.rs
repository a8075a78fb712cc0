//! Limits that are counted in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{Error, KeyId, UnixMillis};

use super::{Limits, LimitsFuture, LineageRates, Rest, Take, Taken};
use crate::error::StoreError;

/// Lineages that are kept before those that are as new are looked for.
const SWEEP_MIN: usize = 1_024;

/// Rate limits that are counted in this process's memory: for one process, and for tests.
///
/// They are lost with it. States that are as new are forgotten, so it holds about twice the
/// lineages that have spent something at most, or 1,024 if that is more.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{Millis, RateLimit};
/// use keystile_store::{Limits, MemoryLimits, Take};
/// let limits = MemoryLimits::new();
/// let take = Take::new("1AbCdEfGhIjKlMnO".parse()?, RateLimit::new(1, Millis::from_days(1))?, 1);
/// assert_eq!(limits.take(&take).await?.tokens, 1);
/// assert_eq!(limits.take(&take).await?.tokens, 0, "refused");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryLimits {
    states: Mutex<States>,
    clock: fn() -> Result<UnixMillis, Error>,
}

#[derive(Debug, Default)]
struct States {
    by_lineage: HashMap<KeyId, LineageRates>,
    sweep_at: usize,
}

impl MemoryLimits {
    /// Limits of which nothing is spent.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(UnixMillis::now)
    }

    /// As [`new`](Self::new), with another clock than the machine's.
    #[must_use]
    pub fn with_clock(clock: fn() -> Result<UnixMillis, Error>) -> Self {
        Self {
            states: Mutex::default(),
            clock,
        }
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_now(&self, take: &Take) -> Result<Taken, StoreError> {
        // The clock is read under the lock, so that readings come in the order of the states.
        let mut states = self.states();
        let now = (self.clock)()?;
        let unused = LineageRates::new();
        if take.tokens == 0 {
            let rates = states.by_lineage.get(&take.lineage).unwrap_or(&unused);
            return Ok(Taken::new(0, rates.look(&take.limit, now), now));
        }
        let rates = states.by_lineage.entry(take.lineage).or_insert(unused);
        let (tokens, state) = rates.take(&take.limit, take.tokens, now);
        states.sweep(now);
        Ok(Taken::new(tokens, state, now))
    }

    fn give_back_now(&self, rest: &[Rest]) -> Result<(), StoreError> {
        let mut states = self.states();
        let now = (self.clock)()?;
        for rest in rest.iter().filter(|rest| rest.is_timely(now)) {
            if let Some(rates) = states.by_lineage.get_mut(&rest.lineage) {
                rates.give_back(&rest.limit, rest.tokens);
            }
        }
        Ok(())
    }
}

impl States {
    /// Forgets the states that are as new, each time that their number has doubled.
    fn sweep(&mut self, now: UnixMillis) {
        if self.by_lineage.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        self.by_lineage
            .retain(|_, rates| rates.full_at().is_some_and(|full_at| full_at > now));
        self.sweep_at = self.by_lineage.len().saturating_mul(2);
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits for MemoryLimits {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        Box::pin(async { self.take_now(take) })
    }

    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()> {
        Box::pin(async { self.give_back_now(rest) })
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU64, Ordering};

    use keystile::{Millis, RateLimit};

    use super::*;

    static CLOCK: AtomicU64 = AtomicU64::new(1_790_000_000_000);

    fn take(number: usize, limit: RateLimit) -> Take {
        Take::new(format!("1{number:015}").parse().unwrap(), limit, 1)
    }

    #[tokio::test]
    async fn what_is_as_new_is_forgotten_and_nothing_else() {
        let limits = MemoryLimits::with_clock(|| UnixMillis::new(CLOCK.load(Ordering::SeqCst)));
        let slow = RateLimit::new(1, Millis::from_days(1)).unwrap();
        let fast = RateLimit::new(100, Millis::from_secs(1)).unwrap();
        let closed = RateLimit::new(0, Millis::from_secs(1)).unwrap();
        for number in 0..100 {
            let taken = limits.take(&take(number, slow)).await.unwrap();
            assert_eq!(taken.tokens, 1);
        }
        for number in 100..20_000 {
            let limit = if number % 2 == 0 { fast } else { closed };
            let _ = limits.take(&take(number, limit)).await.unwrap();
            CLOCK.fetch_add(10, Ordering::SeqCst);
            assert!(limits.states().by_lineage.len() <= SWEEP_MIN);
        }
        for number in 0..100 {
            let taken = limits.take(&take(number, slow)).await.unwrap();
            assert_eq!(taken.tokens, 0, "a state that is owed is kept");
        }
    }
}
