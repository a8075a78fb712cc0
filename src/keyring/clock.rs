//! The clock, as a check reads it: it may be set back.

use super::Keyring;
use super::sync::atomic::Ordering;
use crate::policy::rate_limit::HELD_SLACK;
use crate::policy::rate_state::RateState;
use crate::time::{Millis, UnixMillis};

/// Readings after this year, 2500, are judged by and not remembered: the range of a rate limit
/// ends in 2527, and one wrong reading must not close all limits.
const REMEMBERED_MAX: u64 = 16_725_225_600_000;

/// The time of one check, that by which expiry is judged, and that by which limits are.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: UnixMillis,
    pub(super) not_before: UnixMillis,
    pub(super) limits: UnixMillis,
}

impl<T> Keyring<T> {
    /// The clock as one check reads it.
    ///
    /// The time of the limits never runs back. A reading that is earlier than the latest one by
    /// a minute or by the skew stops it until the clock has caught up: threads that read the
    /// clock one after the other may come in another order. If the clock was set back by more,
    /// the time of the limits runs on from the latest reading.
    #[inline(always)]
    pub(super) fn clock(&self, now: UnixMillis) -> Clock {
        let set_back = self.set_back.load(Ordering::Relaxed);
        let latest = self.latest.load(Ordering::Relaxed);
        let at = now.get().saturating_add(set_back);
        if at < latest {
            return self.clock_behind(now);
        }
        if at > latest && at < REMEMBERED_MAX {
            // If another thread was faster, its later reading is kept.
            let order = Ordering::Relaxed;
            let _ = self.latest.compare_exchange(latest, at, order, order);
        }
        Clock {
            now,
            not_before: now,
            limits: instant(at),
        }
    }

    /// The clock if its reading is earlier than the latest one.
    #[cold]
    fn clock_behind(&self, now: UnixMillis) -> Clock {
        let skew = self.clock_skew.get();
        loop {
            let set_back = self.set_back.load(Ordering::Relaxed);
            let latest = self.latest.load(Ordering::Relaxed);
            let behind = latest.saturating_sub(now.get().saturating_add(set_back));
            let not_before = if behind <= skew {
                instant(latest.saturating_sub(set_back))
            } else {
                now
            };
            let clock = Clock {
                now,
                not_before: not_before.max(now),
                limits: instant(latest.max(now.get().saturating_add(set_back))),
            };
            if behind <= skew.max(HELD_SLACK.get()) {
                return clock;
            }
            let (more, order) = (set_back.saturating_add(behind), Ordering::Relaxed);
            // Another thread may have seen the same step.
            if self
                .set_back
                .compare_exchange(set_back, more, order, order)
                .is_ok()
            {
                return clock;
            }
        }
    }

    /// The time by which expiry is judged: what was seen expired stays so, also when the
    /// clock steps back by no more than the skew.
    #[inline]
    pub(super) fn not_before(&self, now: UnixMillis) -> UnixMillis {
        self.clock(now).not_before
    }

    /// A state by the caller's clock, from one by the time of the limits.
    pub(super) fn state_out(&self, state: RateState) -> RateState {
        let (from, to) = self.two_clocks();
        state.moved(from, to)
    }

    /// A state by the time of the limits, from one by the caller's clock.
    pub(super) fn state_in(&self, state: RateState) -> RateState {
        let (to, from) = self.two_clocks();
        state.moved(from, to)
    }

    /// An instant by the time of the limits, and the same by the caller's clock.
    fn two_clocks(&self) -> (UnixMillis, UnixMillis) {
        let set_back = Millis::new(self.set_back.load(Ordering::Relaxed));
        let later = UnixMillis::MIN.plus(set_back);
        (later.unwrap_or(UnixMillis::MIN), UnixMillis::MIN)
    }
}

impl Clock {
    /// A state as the caller's clock has it.
    #[inline(always)]
    pub(super) fn state_out(&self, state: RateState) -> RateState {
        if self.limits == self.now {
            state
        } else {
            state.moved(self.limits, self.now)
        }
    }
}

fn instant(millis: u64) -> UnixMillis {
    UnixMillis::new(millis).unwrap_or(UnixMillis::MAX)
}
