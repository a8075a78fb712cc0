//! Tokens of a limit that is counted elsewhere, as threads share them.

use std::sync::Arc;

use super::fault::{Fault, planted};
use super::leases::Leases;
use super::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::time::UnixMillis;

/// Where the end of a lease begins in its word, above the number of its tokens.
const END_SHIFT: u32 = 20;
const TOKENS_MASK: u64 = (1 << END_SHIFT) - 1;
/// In the place of the tokens: the limit has refused, and is not asked again before the end.
const REFUSED: u64 = TOKENS_MASK;
/// No lease: another entry has taken it over.
const CLOSED: u64 = u64::MAX;
/// No instant that a lease can end at: in the year 2527.
const END_MAX: u64 = CLOSED >> END_SHIFT;

/// The most tokens in a lease.
pub(super) const TOKENS_MAX: u32 = (1 << END_SHIFT) - 2;

/// The tokens of one key. Requests take them without a lock; all else is done by one thread at a
/// time, which holds the key's lock.
///
/// The end is by the clock of the checks. A lease whose end lies much further ahead than its time
/// is not used, since the clock was set back.
pub(super) struct Lease {
    /// The end, and the tokens that are left.
    word: AtomicU64,
    /// The state of the limit when the latest tokens were taken, by the time of the limits.
    state: AtomicU64,
    /// When the oldest of its tokens were taken, by the clock of the limit.
    taken_at: AtomicU64,
    /// How many tokens to ask for next.
    ask: AtomicU32,
    /// How many it had; 0 once it was noted that it was used up early.
    granted: AtomicU32,
    /// In milliseconds: for how long it is used; how far ahead its end may lie, if threads come in
    /// another order than they read the clock; and the same for a refusal.
    usable: u64,
    ahead_max: u64,
    refused_max: u64,
    /// The part of the limit that this process has while tokens cannot be taken.
    local: Option<Arc<RateLimit>>,
}

/// What became of a request for a token.
pub(super) enum Token {
    /// It was taken, and so many are left.
    Taken(u32),
    /// There is none.
    Missing,
    /// The limit has refused shortly before.
    Refused,
    /// Another entry has taken over.
    Closed,
}

/// Tokens that were not used, and when they were taken by the clock of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) tokens: u32,
    pub(super) taken_at: UnixMillis,
}

impl Lease {
    pub(super) fn new(leases: &Leases, local: Option<Arc<RateLimit>>) -> Self {
        let (length, usable) = (leases.length().get(), leases.usable().get());
        Self {
            word: AtomicU64::new(0),
            state: AtomicU64::new(RateState::default().to_bits()),
            taken_at: AtomicU64::new(0),
            ask: AtomicU32::new(1),
            granted: AtomicU32::new(0),
            usable,
            ahead_max: usable.saturating_add(length / 8),
            refused_max: length,
            local,
        }
    }

    /// The part of the limit that this process has while tokens cannot be taken.
    pub(super) const fn local(&self) -> Option<&Arc<RateLimit>> {
        self.local.as_ref()
    }

    /// Takes a token, by the caller's reading of the clock and the latest one: the caller may
    /// come with an old reading, and the clock may have been set back. The end must lie ahead of
    /// the one, and not too far ahead of the other.
    #[inline(always)]
    pub(super) fn take(&self, now: UnixMillis, latest: UnixMillis) -> Token {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let left = word & TOKENS_MASK;
            if left == 0
                || left == REFUSED
                || !is_ahead(word, now, self.ahead_max)
                || !is_ahead(word, latest, self.ahead_max)
            {
                return self.without(word, latest);
            }
            let next = word.wrapping_sub(1);
            if planted(Fault::TokenTakenInTwo) {
                self.word.store(next, Ordering::Release);
                return Token::Taken(number(next));
            }
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Token::Taken(number(next)),
                Err(seen) => word = seen,
            }
        }
    }

    #[cold]
    fn without(&self, word: u64, now: UnixMillis) -> Token {
        if word == CLOSED {
            Token::Closed
        } else if word & TOKENS_MASK == REFUSED && is_ahead(word, now, self.refused_max) {
            Token::Refused
        } else {
            Token::Missing
        }
    }

    /// Whether the limit has refused shortly before.
    pub(super) fn is_refused(&self, now: UnixMillis) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word != CLOSED && word & TOKENS_MASK == REFUSED && is_ahead(word, now, self.refused_max)
    }

    /// Whether it is another entry's now.
    pub(super) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) == CLOSED
    }

    /// The state of the limit when it was asked last.
    #[inline(always)]
    pub(super) fn state(&self) -> RateState {
        RateState::from_bits(self.state.load(Ordering::Relaxed))
    }

    /// The tokens that are left, usable or not.
    pub(super) fn left(&self) -> u32 {
        tokens_in(self.word.load(Ordering::Acquire))
    }

    /// How many tokens to ask for: twice as many as before if these were used up in the first
    /// half of their time.
    pub(super) fn ask(&self, most: u32, now: UnixMillis) -> u32 {
        let word = self.word.load(Ordering::Acquire);
        let mut ask = self.ask.load(Ordering::Relaxed);
        let ahead = (word >> END_SHIFT).saturating_sub(now.get());
        let is_early = word & TOKENS_MASK == 0
            && is_ahead(word, now, self.ahead_max)
            && ahead > self.usable / 2;
        if is_early && self.granted.swap(0, Ordering::Relaxed) > 0 {
            ask = ask.saturating_mul(2);
        }
        let ask = ask.clamp(1, most);
        self.ask.store(ask, Ordering::Relaxed);
        ask
    }

    /// Adds tokens that were asked for at `asked_at`, of which one may be used already, and
    /// returns those that cannot be used any more: of these, or of those that it had before.
    pub(super) fn put(
        &self,
        granted: u32,
        fresh: Rest,
        state: RateState,
        asked_at: UnixMillis,
        now: UnixMillis,
    ) -> [Option<Rest>; 2] {
        let before = self.collect(now);
        let end = asked_at.get().saturating_add(self.usable);
        let is_usable = is_ahead(end << END_SHIFT, now, self.ahead_max) && end < END_MAX;
        self.state.store(state.to_bits(), Ordering::Relaxed);
        if !is_usable {
            // The answers are too late for more than the request that waits.
            self.ask.store(1, Ordering::Relaxed);
            return [before, (fresh.tokens > 0).then_some(fresh)];
        }
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            // What is left is usable, and becomes less at most.
            let left = tokens_in(word);
            let sum = left.saturating_add(fresh.tokens).min(TOKENS_MAX);
            let surplus = left.saturating_add(fresh.tokens).saturating_sub(sum);
            let end = if left > 0 {
                end.min(word >> END_SHIFT)
            } else {
                end
            };
            let next = end << END_SHIFT | u64::from(sum);
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.word.compare_exchange(word, next, order.0, order.1) {
                Ok(_) => {
                    let oldest = UnixMillis::new(self.taken_at.load(Ordering::Relaxed));
                    let oldest = oldest.map_or(fresh.taken_at, |at| at.min(fresh.taken_at));
                    let (taken_at, held) = if left > 0 {
                        (oldest, self.granted.load(Ordering::Relaxed))
                    } else {
                        (fresh.taken_at, 0)
                    };
                    self.taken_at.store(taken_at.get(), Ordering::Relaxed);
                    let granted = held.saturating_add(granted);
                    self.granted.store(granted, Ordering::Relaxed);
                    let surplus = (surplus > 0).then_some(Rest {
                        tokens: surplus,
                        ..fresh
                    });
                    return [before, surplus];
                }
                Err(seen) => word = seen,
            }
        }
    }

    /// Notes that the limit refused, up to `until`; tokens that another thread has brought are
    /// kept. Returns those that cannot be used any more.
    pub(super) fn refuse(
        &self,
        state: RateState,
        until: UnixMillis,
        now: UnixMillis,
    ) -> Option<Rest> {
        let before = self.collect(now);
        self.state.store(state.to_bits(), Ordering::Relaxed);
        let next = until.get() << END_SHIFT | REFUSED;
        if until > now && until.get() < END_MAX {
            let refuse = |word| (tokens_in(word) == 0).then_some(next);
            let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
            let _ = self.word.fetch_update(set, fetch, refuse);
        }
        before
    }

    /// Takes what is left, if it cannot be used any more.
    pub(super) fn collect(&self, now: UnixMillis) -> Option<Rest> {
        let word = self.word.load(Ordering::Acquire);
        if tokens_in(word) == 0 || is_ahead(word, now, self.ahead_max) {
            return None;
        }
        let rest = self.take_all()?;
        // Half of it or more.
        if rest.tokens >= self.granted.load(Ordering::Relaxed).div_ceil(2) {
            let fewer = (self.ask.load(Ordering::Relaxed) / 2).max(1);
            self.ask.store(fewer, Ordering::Relaxed);
        }
        Some(rest)
    }

    /// Takes what is left.
    pub(super) fn take_all(&self) -> Option<Rest> {
        let word = self.word.load(Ordering::Acquire);
        if tokens_in(word) == 0 {
            return None;
        }
        let word = if planted(Fault::RestTakenInTwo) {
            self.word.store(0, Ordering::Release);
            word
        } else {
            self.word.swap(0, Ordering::AcqRel)
        };
        self.rest(word)
    }

    /// Closes the lease; returns what is left.
    pub(super) fn close(&self) -> Option<Rest> {
        self.rest(self.word.swap(CLOSED, Ordering::AcqRel))
    }

    /// Closes the lease; the answer goes on with what it has.
    pub(super) fn hand_over(&self, local: Option<Arc<RateLimit>>) -> Self {
        let word = if planted(Fault::LeaseCopied) {
            self.word.load(Ordering::Acquire)
        } else {
            self.word.swap(CLOSED, Ordering::AcqRel)
        };
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(Ordering::Relaxed));
        let copy32 = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Relaxed));
        Self {
            word: AtomicU64::new(if word == CLOSED { 0 } else { word }),
            state: copy(&self.state),
            taken_at: copy(&self.taken_at),
            ask: copy32(&self.ask),
            granted: copy32(&self.granted),
            usable: self.usable,
            ahead_max: self.ahead_max,
            refused_max: self.refused_max,
            local,
        }
    }

    fn rest(&self, word: u64) -> Option<Rest> {
        let tokens = tokens_in(word);
        let taken_at = UnixMillis::new(self.taken_at.load(Ordering::Relaxed)).ok()?;
        (tokens > 0).then_some(Rest { tokens, taken_at })
    }
}

/// Whether the end of a word lies ahead, and no further than `most`.
#[inline(always)]
fn is_ahead(word: u64, now: UnixMillis, most: u64) -> bool {
    // An end that is past or now becomes a large number.
    let ahead = (word >> END_SHIFT).wrapping_sub(now.get());
    ahead.wrapping_sub(1) < most
}

/// The tokens that a word stands for.
fn tokens_in(word: u64) -> u32 {
    if word & TOKENS_MASK == REFUSED {
        0
    } else {
        number(word)
    }
}

#[inline(always)]
fn number(word: u64) -> u32 {
    u32::try_from(word & TOKENS_MASK).unwrap_or_default()
}
