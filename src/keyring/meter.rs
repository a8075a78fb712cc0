//! What a key has spent of its rate limit, as threads share it.

use super::fault::{Fault, planted};
use super::sync::atomic::{AtomicU64, Ordering};
use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::record::usage::Exhausted;
use crate::time::UnixMillis;

/// No rate state: the limiter refuses before it gets there.
const CLOSED: u64 = u64::MAX;

/// A rate limit's memory in an entry, until another entry takes it over.
///
/// A record that is refreshed gets a new entry, and what was spent goes along: closing
/// the old meter takes its last state, and a thread that is about to spend from it sees
/// that it is closed. So nothing is spent twice.
pub(super) struct RateMeter(AtomicU64);

/// What was spent: the resulting state, and the uses that are left if they are counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) rate: RateState,
    pub(super) remaining: Option<u64>,
}

/// What could not be spent in which state, what is missing, or that the meter is another's now.
#[derive(Clone, Copy)]
pub(super) enum SpendError {
    Exhausted(Exhausted, RateState),
    /// The limit is counted elsewhere, and a token has to be asked for.
    NoTokens,
    Closed,
}

impl RateMeter {
    pub(super) fn new(state: RateState) -> Self {
        Self(AtomicU64::new(open(state)))
    }

    /// Spends one request.
    #[inline(always)]
    pub(super) fn spend(
        &self,
        limit: &RateLimit,
        now: UnixMillis,
    ) -> Result<RateState, SpendError> {
        let mut bits = self.0.load(Ordering::Acquire);
        loop {
            if bits == CLOSED {
                return Err(SpendError::Closed);
            }
            let state = RateState::from_bits(bits);
            let (next, passes) = match limit.admit(state, now) {
                Ok(next) => (next, true),
                // After a reading that is not remembered.
                Err(_) => match held(limit, state, now) {
                    Some(held) => (held, false),
                    None => return Err(SpendError::Exhausted(Exhausted::RateLimit, state)),
                },
            };
            match self.0.compare_exchange_weak(
                bits,
                next.to_bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) if passes => return Ok(next),
                Ok(_) => bits = next.to_bits(),
                Err(seen) => bits = seen,
            }
        }
    }

    /// Adds what was spent elsewhere under the same limit.
    pub(super) fn add(&self, limit: &RateLimit, spent: RateState, now: UnixMillis) {
        let sum = |bits| both(limit, RateState::from_bits(bits), spent, now);
        let add = |bits| (bits != CLOSED).then(|| open(sum(bits)));
        // A closed meter's state was taken over by the meter that this is added to as well.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// Counts a request that passed by another limit, as far as a burst goes.
    pub(super) fn charge(&self, limit: &RateLimit, now: UnixMillis) {
        let next = |bits| {
            let state = (bits != CLOSED).then_some(RateState::from_bits(bits))?;
            limit.admit(state, now).ok().map(RateState::to_bits)
        };
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Takes over what is known to be spent, if that is more.
    pub(super) fn raise_to(&self, state: RateState) {
        // A closed meter is the greatest number, and stays closed.
        self.0.fetch_max(open(state), Ordering::AcqRel);
    }

    /// The state as it is, or `None` once it was closed.
    pub(super) fn state(&self) -> Option<RateState> {
        let bits = self.0.load(Ordering::Acquire);
        (bits != CLOSED).then_some(RateState::from_bits(bits))
    }

    /// Takes the state over for another entry; `None` if that was done before.
    pub(super) fn close(&self) -> Option<RateState> {
        if planted(Fault::MeterCopied) {
            return self.state();
        }
        let bits = self.0.swap(CLOSED, Ordering::AcqRel);
        (bits != CLOSED).then_some(RateState::from_bits(bits))
    }
}

/// A state as an open meter has it: a store may bring any number.
fn open(state: RateState) -> u64 {
    state.to_bits().min(CLOSED.saturating_sub(1))
}

/// A state that lies too far ahead, brought back; `None` if it does not.
#[cold]
fn held(limit: &RateLimit, state: RateState, now: UnixMillis) -> Option<RateState> {
    let held = limit.held(state, now);
    (held != state).then_some(held)
}

/// One state for what was spent in two meters under a limit.
fn both(limit: &RateLimit, a: RateState, b: RateState, now: UnixMillis) -> RateState {
    // If there is nothing to add, nothing changes, whatever the clock says.
    if a == RateState::default() {
        b
    } else if b == RateState::default() {
        a
    } else {
        limit.combine(a, b, now)
    }
}
