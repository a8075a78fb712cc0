//! The rate limit: GCRA in exact integer arithmetic.
//!
//! The generic cell rate algorithm keeps one number: the instant at which the next
//! request would be on time if all requests had been evenly spaced (ITU-T I.371, annex
//! A). A request passes if that instant is no further ahead than the burst allows.

use crate::error::{Error, ErrorKind};
use crate::policy::fixed_point::{FRACTION_BITS, FixedPoint};
use crate::policy::rate_state::RateState;
use crate::time::{Millis, UnixMillis};

/// The longest window: a leap year.
const WINDOW_MILLIS_MAX: u64 = 366 * 86_400_000;
/// By how much further ahead than a full burst a state has to lie at least to be brought back:
/// those who read a clock one after the other may come in another order.
pub(crate) const HELD_SLACK: Millis = Millis::from_secs(60);
/// The longest time that a full burst may take to become available again: ten years.
const BURST_MILLIS_MAX: u64 = 3_653 * 86_400_000;

/// At most `limit` requests in each `window`, and `burst` of them at once.
///
/// Steady traffic at the limit is never refused. In any time T at most
/// `burst + limit × T / window` requests pass. A refused request costs nothing. A limit
/// of 0 refuses all requests.
///
/// ```
/// use keystile::{Millis, RateLimit, RateState, UnixMillis};
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let two = RateLimit::new(2, Millis::from_secs(1))?;
/// let one_gone = two.admit(RateState::default(), now).unwrap();
/// let both_gone = two.admit(one_gone, now).unwrap();
/// let refused = two.admit(both_gone, now).unwrap_err();
/// assert_eq!(refused.retry_after().unwrap().get(), 500);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    limit: u32,
    burst: u32,
    window: Millis,
    /// Parts per millisecond, chosen so that the interval is a whole number of them.
    parts: u32,
    /// The time between two evenly spaced requests, and that of a full burst.
    interval: FixedPoint,
    tolerance: FixedPoint,
}

/// A request that was refused because it came too soon.
///
/// ```
/// use keystile::{Millis, RateLimit, RateState, UnixMillis};
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let hourly = RateLimit::new(1, Millis::from_hours(1))?;
/// let spent = hourly.admit(RateState::default(), now).unwrap();
/// assert_eq!(hourly.admit(spent, now).unwrap_err().retry_after(), Some(Millis::from_hours(1)));
/// let closed = RateLimit::new(0, Millis::from_hours(1))?;
/// let refused = closed.admit(RateState::default(), now).unwrap_err();
/// assert_eq!(refused.retry_after(), None, "no request will pass");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimited {
    retry_after: Option<Millis>,
}

impl RateLimit {
    /// Creates a limit whose burst is the limit itself.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the window is not 1 ms to 366 days, or if the limit,
    /// divided by its greatest common divisor with the window in milliseconds, is not
    /// below 2²⁰ (round numbers always are).
    pub fn new(limit: u32, window: Millis) -> Result<Self, Error> {
        Self::with_burst(limit, window, limit)
    }

    /// Creates a limit with a separate burst.
    ///
    /// # Errors
    /// As [`new`](Self::new). Also if the burst is 0 but the limit is not, or if a full
    /// burst takes longer than ten years to become available again.
    pub fn with_burst(limit: u32, window: Millis, burst: u32) -> Result<Self, Error> {
        let divisor = gcd(u64::from(limit), window.get());
        let per = |count: u64| count.checked_div(divisor).unwrap_or(count);
        let (parts, interval) = (per(limit.into()), per(window.get()));
        let tolerance = u128::from(interval).saturating_mul(burst.into());
        let (field, expected) = if !(1..=WINDOW_MILLIS_MAX).contains(&window.get()) {
            (
                "rate_limit.window",
                "a rate limit's window must be 1 ms to 366 days",
            )
        } else if limit != 0 && burst == 0 {
            ("rate_limit.burst", "a rate limit's burst must be 1 or more")
        } else if parts >= 1 << FRACTION_BITS {
            (
                "rate_limit.limit",
                "a rate limit above 1048575 must share enough factors with its window in milliseconds, as round numbers do",
            )
        } else if tolerance > u128::from(parts).saturating_mul(BURST_MILLIS_MAX.into())
            && limit != 0
        {
            (
                "rate_limit.burst",
                "a rate limit's burst must be free again within ten years",
            )
        } else {
            let tolerance = u64::try_from(tolerance).unwrap_or(u64::MAX);
            return Ok(Self {
                limit,
                burst,
                window,
                parts: u32::try_from(parts).unwrap_or(u32::MAX),
                interval: FixedPoint::from_parts(interval, parts),
                tolerance: FixedPoint::from_parts(tolerance, parts),
            });
        };
        Err(Error::new(ErrorKind::Limit, expected).in_field(field))
    }

    /// Requests per window.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The window.
    #[must_use]
    pub const fn window(&self) -> Millis {
        self.window
    }

    /// Requests that may arrive at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Admits a request and returns the new state, or refuses the request.
    ///
    /// If the clock was set back, nothing that was spent is given back. A state that is
    /// further ahead than it can be blocks requests until the clock has caught up, since
    /// it may come from a server whose clock is ahead. Only the owner of the state, by whose
    /// clock it is read and written, can know better: see [`held`](Self::held).
    ///
    /// # Errors
    /// [`RateLimited`] with the time after which one more request would pass. The state is
    /// unchanged, so a refusal costs nothing.
    pub fn admit(&self, state: RateState, now: UnixMillis) -> Result<RateState, RateLimited> {
        let Some(full) = self.full(now) else {
            return Err(RateLimited { retry_after: None });
        };
        let now = FixedPoint::at(now);
        // A state past `full` is never stored, unless the clock has been set back since.
        // Then nothing passes until the clock has caught up. If the earlier clock were
        // trusted, two servers whose clocks differ would each grant a full burst.
        let spent_until = state.read(self.parts).max(now);
        let next = spent_until.plus(self.interval, self.parts);
        if next > full {
            let wait = next.minus(full, self.parts).millis_ceil();
            return Err(RateLimited {
                retry_after: Some(wait),
            });
        }
        Ok(RateState::at(next))
    }

    /// Takes up to `count` requests at once, as many as pass now, and returns how many these are
    /// and the new state. Each of them counts as one that was [admitted](Self::admit); with a
    /// count of 1, both decide alike. If none passes, the state is unchanged.
    ///
    /// A process that takes several can let requests pass without asking again, see
    /// [`give_back`](Self::give_back) for those that it did not need.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit, RateState, UnixMillis};
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    /// let ten = RateLimit::new(10, Millis::from_secs(1))?;
    /// let (taken, state) = ten.take(RateState::default(), now, 8);
    /// assert_eq!(taken, 8);
    /// let (taken, state) = ten.take(state, now, 8);
    /// assert_eq!((taken, ten.quota(state, now).remaining()), (2, 0), "there were no more");
    /// assert_eq!(ten.take(state, now, 8), (0, state));
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn take(&self, state: RateState, now: UnixMillis, count: u32) -> (u32, RateState) {
        let Some(full) = self.full(now) else {
            return (0, state);
        };
        let spent_until = state.read(self.parts).max(FixedPoint::at(now));
        if spent_until >= full {
            return (0, state);
        }
        let free = full.minus(spent_until, self.parts).to_parts(self.parts);
        let interval = self.interval.to_parts(self.parts);
        let free = free.checked_div(interval).unwrap_or(0);
        let taken = u32::try_from(free).unwrap_or(u32::MAX).min(count);
        if taken == 0 {
            return (0, state);
        }
        let next = spent_until.plus(self.span(taken), self.parts);
        (taken, RateState::at(next))
    }

    /// The state after requests that were [taken](Self::take) and not used were given back.
    ///
    /// What is given back after a time t may let `limit × t / window` requests more pass than if
    /// it had never been taken, once, however many are given back: the limit may have been
    /// idle meanwhile. So whoever keeps the state should take nothing back that was taken
    /// longer ago than a process may use it.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit, RateState, UnixMillis};
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    /// let ten = RateLimit::new(10, Millis::from_secs(1))?;
    /// let (_, state) = ten.take(RateState::default(), now, 8);
    /// let state = ten.give_back(state, 5);
    /// assert_eq!(ten.quota(state, now).remaining(), 7);
    /// // No more is ever free than a burst.
    /// let state = ten.give_back(state, 1_000);
    /// assert_eq!(ten.quota(state, now).remaining(), 10);
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn give_back(&self, state: RateState, count: u32) -> RateState {
        let (state, span) = (state.read(self.parts), self.span(count));
        if span >= state {
            return RateState::default();
        }
        RateState::at(state.minus(span, self.parts))
    }

    /// The time that so many evenly spaced requests take.
    fn span(&self, count: u32) -> FixedPoint {
        let interval = self.interval.to_parts(self.parts);
        FixedPoint::from_parts(interval.saturating_mul(count.into()), self.parts.into())
    }

    /// The state, or one in which a full burst is spent if it lies more than that and a
    /// minute ahead of `now`: then it was written by a wrong reading of the clock, or before
    /// the clock was set back, or by another limit. So none of these costs more than a burst.
    ///
    /// Call it only with the clock that the state is kept by, and before
    /// [`admit`](Self::admit); keep what it returns even if the request is then refused, since
    /// otherwise the next call finds a full burst spent again. If several processes share the
    /// state, that clock is the store's: a process whose own clock is behind would give away
    /// what the others have spent. The minute is for readers of one clock that come in another
    /// order than they read it.
    ///
    /// A limit of 0 changes nothing.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit, RateState, UnixMillis};
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    /// let ten = RateLimit::new(10, Millis::from_hours(1))?;
    /// let next_year = now.plus(Millis::from_days(365))?;
    /// let wrong = ten.admit(RateState::default(), next_year).unwrap();
    /// assert!(ten.admit(wrong, now).is_err(), "for a year");
    /// let held = ten.held(wrong, now);
    /// assert_eq!(ten.admit(held, now).unwrap_err().retry_after(), Some(Millis::from_secs(360)));
    /// assert_eq!(ten.held(held, now), held);
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn held(&self, state: RateState, now: UnixMillis) -> RateState {
        let slack = now.plus(HELD_SLACK).unwrap_or(UnixMillis::MAX);
        if self.clamped(state, slack) == state {
            state
        } else {
            self.clamped(state, now)
        }
    }

    /// As [`held`](Self::held), without the minute: for a state that another limit left, of
    /// which at most a full burst of this limit counts as spent.
    #[must_use]
    pub fn clamped(&self, state: RateState, now: UnixMillis) -> RateState {
        match self.full(now) {
            Some(full) if state.read(self.parts) > full => RateState::at(full),
            _ => state,
        }
    }

    /// How far ahead of the clock this limit can move a state: the time that a full burst
    /// takes to become available again, rounded up.
    #[must_use]
    pub const fn reach(&self) -> Millis {
        self.tolerance.millis_ceil()
    }

    /// The furthest instant at which a state may be at `now`, or `None` if nothing may
    /// pass.
    #[inline]
    fn full(&self, now: UnixMillis) -> Option<FixedPoint> {
        let full = FixedPoint::at(now).plus(self.tolerance, self.parts);
        (self.limit != 0 && full < FixedPoint::END).then_some(full)
    }

    /// What is left of the limit at `now`.
    #[must_use]
    pub const fn quota(&self, state: RateState, now: UnixMillis) -> Quota {
        Quota {
            limit: *self,
            state,
            now,
        }
    }

    /// Merges two states into one: what was spent under them adds up.
    #[cfg(feature = "keyring")]
    pub(crate) fn combine(&self, a: RateState, b: RateState, now: UnixMillis) -> RateState {
        let (parts, now) = (self.parts, FixedPoint::at(now));
        let full = now.plus(self.tolerance, parts);
        let [a, b] = [a, b].map(|state| state.read(parts).clamp(now, full));
        RateState::at(a.plus(b.minus(now, parts), parts).min(full))
    }

    /// Whether this limit never admits more than `other`, neither in a burst nor over
    /// time.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let rate =
            |own: &Self, window: Millis| u128::from(own.limit).saturating_mul(window.get().into());
        self.limit == 0
            || (self.burst <= other.burst && rate(self, other.window) <= rate(other, self.window))
    }
}

impl RateLimited {
    /// The time after which one request would pass, or `None` if none ever will.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Millis> {
        self.retry_after
    }
}

/// What is left of a limit at an instant, for the `RateLimit` header fields.
///
/// The values are computed on demand, so a decision whose headers are not read does not
/// pay for them.
///
/// ```
/// use keystile::{Millis, RateLimit, RateState, UnixMillis};
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let limit = RateLimit::new(2, Millis::from_secs(10))?;
/// let once = limit.admit(RateState::default(), now).unwrap();
/// let quota = limit.quota(once, now);
/// assert_eq!((quota.remaining(), quota.retry_after()), (1, Some(Millis::ZERO)));
/// let spent = limit.quota(limit.admit(once, now).unwrap(), now);
/// assert_eq!((spent.remaining(), spent.retry_after()), (0, Some(Millis::from_secs(5))));
/// assert_eq!(spent.reset(), Millis::from_secs(10));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    limit: RateLimit,
    state: RateState,
    now: UnixMillis,
}

impl Quota {
    /// The state of the limit.
    #[must_use]
    pub const fn state(&self) -> RateState {
        self.state
    }

    /// The instant.
    #[must_use]
    pub const fn at(&self) -> UnixMillis {
        self.now
    }

    /// The limit itself.
    #[must_use]
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Requests that would pass if they arrived at once; never below 0.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        let Some(spent) = self.spent() else { return 0 };
        let (parts, tolerance) = (self.limit.parts, self.limit.tolerance);
        let left = tolerance.minus(spent.min(tolerance), parts).to_parts(parts);
        let interval = self.limit.interval.to_parts(parts);
        u32::try_from(left.checked_div(interval).unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// The time until the full burst is available again.
    #[must_use]
    pub fn reset(&self) -> Millis {
        self.spent()
            .map_or(self.limit.window, FixedPoint::millis_ceil)
    }

    /// The time after which one request would pass: zero if one would pass now, `None` if
    /// none ever will.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        match self.limit.admit(self.state, self.now) {
            Ok(_) => Some(Millis::ZERO),
            Err(refused) => refused.retry_after(),
        }
    }

    fn spent(&self) -> Option<FixedPoint> {
        self.limit.full(self.now)?;
        let parts = self.limit.parts;
        let now = FixedPoint::at(self.now);
        Some(self.state.read(parts).max(now).minus(now, parts))
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixed_point::MILLIS_END;

    #[test]
    fn at_the_end_of_the_range_everything_is_refused() {
        let hourly = RateLimit::new(1, Millis::from_hours(1)).unwrap();
        let end = UnixMillis::new(MILLIS_END).unwrap();
        for before in [1, 2, 3_599_999, 3_600_000] {
            let now = UnixMillis::new(end.get().saturating_sub(before)).unwrap();
            let refused = hourly.admit(RateState::default(), now).unwrap_err();
            assert_eq!(refused.retry_after(), None);
            assert_eq!(hourly.quota(RateState::default(), now).remaining(), 0);
        }
        let now = UnixMillis::new(end.get().saturating_sub(3_600_001)).unwrap();
        let gone = hourly.admit(RateState::default(), now).unwrap();
        assert!(hourly.admit(gone, now).is_err());
    }

    #[test]
    fn a_state_is_held_only_if_it_lies_more_than_a_burst_and_a_minute_ahead() {
        let limit = RateLimit::new(10, Millis::from_secs(100)).unwrap();
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let ahead = |millis| RateState::at(FixedPoint::at(now.plus(Millis::new(millis)).unwrap()));
        for (millis, held, clamped) in [
            (0, 0, 0),
            (100_000, 100_000, 100_000),
            (100_001, 100_001, 100_000),
            (160_000, 160_000, 100_000),
            (160_001, 100_000, 100_000),
            (86_400_000, 100_000, 100_000),
        ] {
            assert_eq!(limit.held(ahead(millis), now), ahead(held), "{millis}");
            assert_eq!(
                limit.clamped(ahead(millis), now),
                ahead(clamped),
                "{millis}"
            );
        }
        // Nothing is granted, and one interval later one passes.
        let held = limit.held(RateState::from_bits(u64::MAX), now);
        assert_eq!(limit.quota(held, now).remaining(), 0);
        let later = now.plus(Millis::from_secs(10)).unwrap();
        assert_eq!(limit.quota(held, later).remaining(), 1);
        let closed = RateLimit::new(0, Millis::from_secs(100)).unwrap();
        assert_eq!(closed.held(ahead(86_400_000), now), ahead(86_400_000));
        assert_eq!(limit.reach(), Millis::from_secs(100));
    }
}
