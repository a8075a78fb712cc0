//! Limits that are counted in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{Error, KeyId, RateState, UnixMillis};

use super::{Limits, LimitsFuture, Rest, Take, Taken};
use crate::error::StoreError;

/// States that are kept before those that are as new are looked for.
const SWEEP_MIN: usize = 1_024;

/// Rate limits that are counted in this process's memory: for one process, and for tests.
///
/// They are lost with it. States that are as new are forgotten, so it holds about twice the
/// lineages that have spent something at most.
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
    by_lineage: HashMap<KeyId, RateState>,
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
        let state = states.by_lineage.get(&take.lineage);
        let state = take.limit.held(state.copied().unwrap_or_default(), now);
        let (tokens, state) = take.limit.take(state, now, take.tokens);
        if tokens > 0 {
            states.by_lineage.insert(take.lineage, state);
            states.sweep(now);
        }
        Ok(Taken::new(tokens, state, now))
    }

    fn give_back_now(&self, rest: &[Rest]) -> Result<(), StoreError> {
        let mut states = self.states();
        let now = (self.clock)()?;
        for rest in rest.iter().filter(|rest| rest.is_timely(now)) {
            if let Some(state) = states.by_lineage.get_mut(&rest.lineage) {
                *state = rest.limit.give_back(*state, rest.tokens);
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
            .retain(|_, state| state.full_at().is_some_and(|full_at| full_at > now));
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
