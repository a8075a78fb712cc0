//! What the keys of a lineage have spent together.

use std::sync::Arc;
use std::vec::Vec;

use super::meter::{RateMeter, SpendError, Spent};
use super::uses_left::{Taken, UsesLeft};
use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::record::usage::Exhausted;
use crate::time::{Millis, UnixMillis};

/// Limits that a meter counts by at once. A lineage has one, and a second one while a change of
/// it has reached one of two keys.
const LIMITS_MAX: usize = 4;

/// One meter for a lineage of several keys, or of a key whose uses are counted.
///
/// Each request counts by every limit that the lineage's keys have, or had shortly before. So a
/// limit that was raised is in force at once, and a key that still has the lower one gets
/// nothing back. The limits of a meter never change: for another one there is a new meter,
/// which takes all over.
pub(super) struct SharedMeter {
    rates: Vec<(Arc<RateLimit>, RateMeter)>,
    uses: Arc<UsesLeft>,
}

/// A lineage's meter, as a key spends from it.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) meter: Arc<SharedMeter>,
    /// Which of the meter's limits is the key's.
    at: usize,
}

/// What was spent by a limit.
#[derive(Clone)]
pub(super) struct Debt {
    pub(super) limit: Arc<RateLimit>,
    pub(super) state: RateState,
}

impl Debt {
    pub(super) fn parts(self) -> (Option<Arc<RateLimit>>, RateState) {
        (Some(self.limit), self.state)
    }
}

impl SharedMeter {
    pub(super) fn new(limit: Option<&Arc<RateLimit>>, stored: Option<u64>) -> Self {
        let unused = |limit| (Arc::clone(limit), RateMeter::new(RateState::default()));
        Self {
            rates: limit.map(unused).into_iter().collect(),
            uses: Arc::new(UsesLeft::new(stored)),
        }
    }

    /// A key's share, or `None` if its limit is not one of the meter's.
    pub(super) fn share(meter: &Arc<Self>, limit: Option<&Arc<RateLimit>>) -> Option<Share> {
        let is_it = |limit: &Arc<RateLimit>| meter.rates.iter().position(|(own, _)| own == limit);
        let at = limit.map_or(Some(0), is_it)?;
        let meter = Arc::clone(meter);
        Some(Share { meter, at })
    }

    /// The meter that takes over from this one and has another limit too. What was spent counts
    /// as one burst of that at most.
    pub(super) fn with_limit(&self, limit: &Arc<RateLimit>, now: UnixMillis) -> Self {
        let close = |(limit, rate): &(Arc<RateLimit>, RateMeter)| {
            rate.close().map(|state| (Arc::clone(limit), state))
        };
        let mut states: Vec<_> = self.rates.iter().filter_map(close).collect();
        let most = states.iter().map(|(_, state)| *state).max();
        let most = limit.clamped(most.unwrap_or_default(), now);
        states.push((Arc::clone(limit), most));
        let surplus = states.len().saturating_sub(LIMITS_MAX);
        let kept = states.into_iter().skip(surplus);
        Self {
            rates: kept
                .map(|(limit, state)| (limit, RateMeter::new(state)))
                .collect(),
            uses: Arc::clone(&self.uses),
        }
    }

    /// Closes the meter, so that it can be forgotten, unless a cached key spends from it or its
    /// uses were not written; returns whether it is closed.
    pub(super) fn close(&self, drains: u64) -> bool {
        let is_closed = !self.uses.is_held() && self.uses.close(drains);
        if is_closed {
            for (_, rate) in &self.rates {
                let _ = rate.close();
            }
        }
        is_closed
    }

    /// What was spent by the newest limit.
    pub(super) fn spent(&self) -> Option<Debt> {
        let (limit, rate) = self.rates.last()?;
        let (limit, state) = (Arc::clone(limit), rate.state()?);
        Some(Debt { limit, state })
    }

    /// The state of a limit, and whether it was spent by that very limit. If it is not one of the
    /// meter's, it goes on from the latest of these.
    pub(super) fn state_of(&self, limit: &RateLimit) -> Option<(bool, RateState)> {
        let same = self.rates.iter().find(|(own, _)| **own == *limit);
        if let Some((_, rate)) = same {
            return Some((true, rate.state()?));
        }
        let states = self.rates.iter().filter_map(|(_, rate)| rate.state());
        Some((false, states.max()?))
    }

    pub(super) fn uses(&self) -> &UsesLeft {
        &self.uses
    }

    /// Adds what was spent in a key's own meter, by the limit that it had.
    pub(super) fn add(&self, limit: Option<&RateLimit>, spent: RateState, now: UnixMillis) {
        for (own, rate) in &self.rates {
            if limit.is_some_and(|limit| **own == *limit) {
                rate.add(own, spent, now);
            } else {
                rate.raise_to(own.clamped(spent, now));
            }
        }
    }

    /// Takes over what a store knows to be spent, if that is more.
    pub(super) fn raise_to(&self, spent: RateState, now: UnixMillis) {
        for (limit, rate) in &self.rates {
            rate.raise_to(limit.clamped(spent, now));
        }
    }

    /// Until when the meter remembers something of a rate limit; `None` if that is as new.
    pub(super) fn owes_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let until =
            |(limit, rate): &(Arc<RateLimit>, RateMeter)| owes_until(limit, rate.state()?, now);
        self.rates.iter().filter_map(until).max()
    }
}

impl Share {
    /// Spends one request and one use, both or neither; `limit` is the key's.
    pub(super) fn spend(
        &self,
        limit: Option<&RateLimit>,
        now: UnixMillis,
    ) -> Result<Spent, SpendError> {
        let Some(limit) = limit else {
            return self.take_use(RateState::default());
        };
        let Some(rate) = self.rate() else {
            return Err(SpendError::Closed);
        };
        if self.is_used_up() {
            // The rate's refusal comes first, as in the core; none is spent in vain.
            let state = rate.state().ok_or(SpendError::Closed)?;
            let exhausted = match limit.admit(state, now) {
                Ok(_) => Exhausted::Uses,
                Err(_) => Exhausted::RateLimit,
            };
            return Err(SpendError::Exhausted(exhausted, state));
        }
        let state = rate.spend(limit, now)?;
        for (at, (other, rate)) in self.meter.rates.iter().enumerate() {
            if at != self.at {
                rate.charge(other, now);
            }
        }
        // If another thread took the last use meanwhile, this key has no use for the request
        // that was spent. To take the use first and give it back would let a third thread find
        // none, though one is left.
        self.take_use(state)
    }

    /// Counts a request that passed by a limit that is counted elsewhere.
    pub(super) fn charge(&self, now: UnixMillis) {
        for (limit, rate) in &self.meter.rates {
            rate.charge(limit, now);
        }
    }

    /// Whether uses are counted and none is left.
    pub(super) fn is_used_up(&self) -> bool {
        self.meter.uses.get() == Some(0)
    }

    /// Takes a use, in which `rate` is what the rest came to.
    pub(super) fn take_use(&self, rate: RateState) -> Result<Spent, SpendError> {
        match self.meter.uses.take() {
            Taken::Left(remaining) => Ok(Spent { rate, remaining }),
            Taken::Spent => Err(SpendError::Exhausted(Exhausted::Uses, rate)),
            Taken::Closed => Err(SpendError::Closed),
        }
    }

    /// The meter of the key's limit.
    pub(super) fn rate(&self) -> Option<&RateMeter> {
        self.meter.rates.get(self.at).map(|(_, rate)| rate)
    }
}

/// Until when a state remembers something under a limit; `None` if it is as new.
pub(super) fn owes_until(
    limit: &RateLimit,
    state: RateState,
    now: UnixMillis,
) -> Option<UnixMillis> {
    if state == RateState::default() {
        return None;
    }
    let reset = limit.quota(state, now).reset();
    (reset > Millis::ZERO).then(|| now.plus(reset).unwrap_or(UnixMillis::MAX))
}

#[cfg(not(keystile_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_owes_until_its_whole_burst_is_free_again() {
        let limit = RateLimit::new(1, Millis::from_secs(10)).unwrap();
        let spent = UnixMillis::new(1_790_000_000_000).unwrap();
        let later = |millis| spent.plus(Millis::new(millis)).unwrap();
        let state = limit.admit(RateState::default(), spent).unwrap();
        assert_eq!(owes_until(&limit, state, spent), Some(later(10_000)));
        assert_eq!(owes_until(&limit, state, later(9_999)), Some(later(10_000)));
        assert_eq!(owes_until(&limit, state, later(10_000)), None);
        assert_eq!(owes_until(&limit, RateState::default(), spent), None);
    }
}
