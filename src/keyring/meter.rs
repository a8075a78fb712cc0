//! What a lineage has spent, as threads share it.

use super::clock::Clock;
use super::fault::{Fault, planted};
use super::sync::atomic::{AtomicU64, Ordering};
use crate::policy::rate_limit::{RateLimit, RateState};
use crate::record::usage::Exhausted;
use crate::time::{Millis, UnixMillis};

/// No rate state: the limiter refuses before it gets there.
const CLOSED: u64 = u64::MAX;
/// By how much a clock is set back at least for that to be believed: threads that read it one
/// after the other may ask in another order.
const SET_BACK_MIN: Millis = Millis::from_secs(60);
/// Uses that are not counted.
const UNCOUNTED: u64 = u64::MAX;

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

/// What could not be spent in which state, or that the meter is another's now.
#[derive(Clone, Copy)]
pub(super) enum SpendError {
    Exhausted(Exhausted, RateState),
    Closed,
}

impl RateMeter {
    pub(super) fn new(state: RateState) -> Self {
        Self(AtomicU64::new(open(state)))
    }

    /// Takes over what a store knows to be spent, if that is more.
    pub(super) fn raise_to(&self, stored: RateState) {
        // A closed meter is the greatest number, and stays closed.
        self.0.fetch_max(open(stored), Ordering::AcqRel);
    }

    /// Spends one request. `reach` is how far ahead of the clock a state may lie, if the
    /// meter is that of other limits too.
    ///
    /// A state further ahead than that was left before the clock was set back, or by a limit
    /// that is no more. It counts as a burst that is spent: nothing is granted, and what comes
    /// back from now on comes back in time.
    #[inline(always)]
    pub(super) fn spend(
        &self,
        limit: &RateLimit,
        reach: Option<Millis>,
        clock: Clock,
    ) -> Result<RateState, SpendError> {
        let mut bits = self.0.load(Ordering::Acquire);
        loop {
            if bits == CLOSED {
                return Err(SpendError::Closed);
            }
            let state = RateState::from_bits(bits);
            let (next, passes) = match limit.admit(state, clock.now) {
                Ok(next) => (next, true),
                // One that never lets anything pass takes no debt off another either.
                Err(refused) => match refused
                    .retry_after()
                    .and_then(|_| held(state, reach.unwrap_or(limit.reach()), clock))
                {
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

    /// Adds what was spent elsewhere.
    pub(super) fn add(&self, limit: Option<&RateLimit>, spent: RateState, now: UnixMillis) {
        if spent == RateState::default() {
            return;
        }
        let sum = |bits| both(limit, RateState::from_bits(bits), spent, now).to_bits();
        let add = |bits| (bits != CLOSED).then(|| sum(bits));
        // A closed meter's state was taken over by the meter that this is added to as well.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
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

/// A state that lies too far ahead of the clock, brought back; `None` if it does not.
#[cold]
fn held(state: RateState, reach: Millis, clock: Clock) -> Option<RateState> {
    let after = |instant: UnixMillis, span| instant.plus(span).unwrap_or(UnixMillis::MAX);
    let end = after(clock.not_before, reach);
    let is_beyond = state.no_later_than(after(end, SET_BACK_MIN)) != state;
    is_beyond.then(|| state.no_later_than(end))
}

/// One state for what was spent in two meters under a limit.
pub(super) fn both(
    limit: Option<&RateLimit>,
    a: RateState,
    b: RateState,
    now: UnixMillis,
) -> RateState {
    // If there is nothing to add, nothing changes, whatever the clock says.
    match limit {
        _ if a == RateState::default() => b,
        Some(limit) if b != RateState::default() => limit.combine(a, b, now),
        _ => a,
    }
}

/// One meter for a lineage of several keys, or of a key whose uses are counted.
pub(super) struct SharedMeter {
    rate: RateMeter,
    /// The longest reach, in milliseconds, of the limits that spend from it.
    reach: AtomicU64,
    remaining: AtomicU64,
}

impl SharedMeter {
    pub(super) fn new(rate: RateState, remaining: Option<u64>) -> Self {
        Self {
            rate: RateMeter::new(rate),
            reach: AtomicU64::new(0),
            remaining: AtomicU64::new(remaining.unwrap_or(UNCOUNTED)),
        }
    }

    /// Uses that are left, if they are counted.
    pub(super) fn remaining(&self) -> Option<u64> {
        let remaining = self.remaining.load(Ordering::Acquire);
        (remaining != UNCOUNTED).then_some(remaining)
    }

    pub(super) fn rate(&self) -> &RateMeter {
        &self.rate
    }

    /// Takes a limit into account that spends from it from now on.
    pub(super) fn serve(&self, limit: Option<&RateLimit>) {
        if let Some(limit) = limit {
            self.reach.fetch_max(limit.reach().get(), Ordering::AcqRel);
        }
    }

    /// Holds the count down to what a store says is left; it never rises.
    pub(super) fn lower_to(&self, remaining: Option<u64>) {
        if let Some(remaining) = remaining {
            self.remaining.fetch_min(remaining, Ordering::AcqRel);
        }
    }

    /// Spends one request and one use, both or neither.
    pub(super) fn spend(
        &self,
        limit: Option<&RateLimit>,
        clock: Clock,
    ) -> Result<Spent, SpendError> {
        let reach = Millis::new(self.reach.load(Ordering::Acquire));
        // The rate's refusal comes first, as in the core, and costs no use.
        if let (Some(limit), Some(state)) = (limit, self.rate.state())
            && limit.admit(state, clock.now).is_err()
            && held(state, reach, clock).is_none()
        {
            return Err(SpendError::Exhausted(Exhausted::RateLimit, state));
        }
        let state = RateState::default();
        self.take_use()
            .ok_or(SpendError::Exhausted(Exhausted::Uses, state))?;
        let spend = |limit| self.rate.spend(limit, Some(reach), clock);
        match limit.map(spend).transpose() {
            Ok(rate) => Ok(Spent {
                rate: rate.unwrap_or_default(),
                remaining: self.remaining(),
            }),
            Err(refused) => {
                self.give_use_back();
                Err(refused)
            }
        }
    }

    fn take_use(&self) -> Option<()> {
        if planted(Fault::UseTakenInTwo) {
            let left = self.remaining.load(Ordering::Acquire).checked_sub(1)?;
            self.remaining.store(left, Ordering::Release);
            return Some(());
        }
        let take = |left| match left {
            UNCOUNTED => Some(UNCOUNTED),
            left => u64::checked_sub(left, 1),
        };
        self.remaining
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()
            .map(drop)
    }

    fn give_use_back(&self) {
        let give = |left: u64| (left != UNCOUNTED).then(|| left.saturating_add(1));
        // If uses are not counted, there is none to give back.
        let _ = self
            .remaining
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, give);
    }
}
