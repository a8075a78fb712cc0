//! What a rate limit remembers: one instant.

use crate::policy::fixed_point::FixedPoint;
use crate::time::UnixMillis;

/// The state of a rate limit between two requests. The default is an unused limit.
///
/// It is an instant of the clock that it was spent by, and of two states of a limit by one
/// clock, the greater one is that in which more is spent. So a store that writes a state may
/// keep the greater of its own and the new one.
///
/// ```
/// use keystile::{Millis, RateLimit, RateState, UnixMillis};
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let limit = RateLimit::new(1, Millis::from_hours(1))?;
/// let spent = limit.admit(RateState::default(), now).unwrap();
/// let column: u64 = spent.to_bits(); // as a store keeps it
/// let restored = RateState::from_bits(column);
/// assert!(limit.admit(restored, now).is_err(), "the only request of this hour was used");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RateState(u64);

impl RateState {
    /// The state as a number, for a store.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The state from a number that [`to_bits`](Self::to_bits) returned. Every number is
    /// valid.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The same state by another clock, which shows `to` when the clock of this one shows
    /// `from`. It is exact, and moved back it is the same, unless it saturates at an end of
    /// the range. An unused state stays unused.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit, RateState, UnixMillis};
    /// let store = UnixMillis::new(1_790_000_000_000)?;
    /// let own = UnixMillis::new(1_790_000_180_000)?; // three minutes ahead
    /// let hourly = RateLimit::new(1, Millis::from_hours(1))?;
    /// let spent = hourly.admit(RateState::default(), store).unwrap();
    /// let moved = spent.moved(store, own);
    /// assert_eq!(hourly.admit(moved, own).unwrap_err().retry_after(), Some(Millis::from_hours(1)));
    /// assert_eq!(moved.moved(own, store), spent);
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub const fn moved(self, from: UnixMillis, to: UnixMillis) -> Self {
        if self.0 == 0 {
            return self;
        }
        let on = FixedPoint::join(to.since(from).get(), 0);
        let back = FixedPoint::join(from.since(to).get(), 0);
        Self(self.0.saturating_add(on.0).saturating_sub(back.0))
    }

    /// When the full burst is available again: not before this instant is there nothing to
    /// remember of the state. `None` if the limit is unused.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit, RateState, UnixMillis};
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    /// let fast = RateLimit::new(100, Millis::from_secs(1))?;
    /// let spent = fast.admit(RateState::default(), now).unwrap();
    /// assert_eq!(spent.full_at(), Some(now.plus(Millis::new(10))?)); // not worth writing
    /// assert_eq!(RateState::default().full_at(), None);
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub const fn full_at(self) -> Option<UnixMillis> {
        match UnixMillis::new(FixedPoint(self.0).millis_ceil().get()) {
            Ok(instant) => Some(instant),
            // Nothing that was spent so long ago is remembered.
            Err(_) => None,
        }
    }
}

impl RateState {
    /// The state at an instant.
    pub(crate) const fn at(instant: FixedPoint) -> Self {
        Self(instant.0)
    }

    /// The instant of the state, in parts of a millisecond.
    pub(crate) const fn read(self, parts: u32) -> FixedPoint {
        // A state that another limit left may have more parts than this limit uses.
        FixedPoint(self.0).with_fraction_below(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixed_point::{FRACTION_BITS, MILLIS_END};

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(millis).unwrap()
    }

    #[test]
    fn a_state_moves_exactly_and_back_and_saturates_at_the_ends() {
        let (one, other) = (at(1_790_000_000_000), at(1_790_000_180_000));
        let state = RateState(1_790_000_000_005 << FRACTION_BITS | 7);
        let moved = state.moved(one, other);
        assert_eq!(moved, RateState(1_790_000_180_005 << FRACTION_BITS | 7));
        assert_eq!(moved.moved(other, one), state);
        assert_eq!(state.moved(one, one), state);
        assert_eq!(RateState::default().moved(one, other), RateState::default());
        let (first, last) = (UnixMillis::MIN, UnixMillis::MAX);
        assert_eq!(state.moved(first, last), RateState(u64::MAX));
        assert_eq!(state.moved(last, first), RateState::default());
        assert_eq!(RateState(u64::MAX).moved(one, other), RateState(u64::MAX));
    }

    #[test]
    fn a_limit_is_full_again_at_the_next_whole_millisecond() {
        let millis = 1_790_000_000_005;
        let whole = RateState(millis << FRACTION_BITS);
        assert_eq!(whole.full_at(), Some(at(millis)));
        assert_eq!(RateState(whole.0 | 1).full_at(), Some(at(millis + 1)));
        assert_eq!(RateState(whole.0 - 1).full_at(), Some(at(millis)));
        assert_eq!(RateState(u64::MAX).full_at(), Some(at(MILLIS_END)));
        assert_eq!(RateState(1).full_at(), None, "before 1973");
    }
}
