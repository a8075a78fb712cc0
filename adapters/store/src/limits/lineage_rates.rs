//! The states of one lineage, whose keys may have different limits.

use keystile::{RateLimit, RateState, UnixMillis};

/// Limits that are counted by at once. The keys of a lineage have one, and a second one while a
/// change of it has reached one of two keys.
const LIMITS_MAX: usize = 4;

/// What the keys of a lineage have spent, by each limit that they have or had shortly before: for
/// an implementation of [`Limits`](crate::Limits).
///
/// What is taken by one limit counts by all of them, as far as a burst of theirs goes. A limit
/// that is new goes on from the latest state of the others, of which one burst of its own counts
/// at most. Four limits are kept: a fifth one replaces the one that was there first.
///
/// All instants are by the clock of the limits. A state that lies further ahead than its limit
/// can move it is held to one burst, as [`RateLimit::held`] documents.
///
/// ```
/// use keystile::{Millis, RateLimit, UnixMillis};
/// use keystile_store::LineageRates;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let ten = RateLimit::new(10, Millis::from_hours(1))?;
/// let twelve = RateLimit::new(12, Millis::from_hours(1))?; // after a change
/// let mut rates = LineageRates::new();
/// assert_eq!(rates.take(&ten, 8, now).0, 8);
/// assert_eq!(rates.take(&twelve, 1, now).0, 1);
/// assert_eq!(rates.take(&ten, 8, now).0, 1, "that one counted here too");
/// assert_eq!(rates.take(&ten, 1, now).0, 0, "refused");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineageRates {
    /// In the order in which the limits came.
    states: Vec<(RateLimit, RateState)>,
}

impl LineageRates {
    /// The states of a lineage that has spent nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { states: Vec::new() }
    }

    /// States from where they are kept, in the order of [`states`](Self::states); the last four
    /// of them.
    #[must_use]
    pub fn from_states(states: impl IntoIterator<Item = (RateLimit, RateState)>) -> Self {
        let mut rates = Self::new();
        for (limit, state) in states {
            rates.keep(&limit, state);
        }
        rates
    }

    /// The limits and their states, the newest limit last.
    #[must_use]
    pub fn states(&self) -> &[(RateLimit, RateState)] {
        &self.states
    }

    /// The state of a limit, without a change.
    #[must_use]
    pub fn look(&self, limit: &RateLimit, now: UnixMillis) -> RateState {
        if let Some((_, state)) = self.states.iter().find(|(own, _)| own == limit) {
            return limit.held(*state, now);
        }
        let latest = self.states.iter().map(|(_, state)| *state).max();
        limit.clamped(latest.unwrap_or_default(), now)
    }

    /// Takes up to so many tokens by a limit, as many as pass, and returns how many these are and
    /// the state of that limit. With none, it only returns the state. A refusal counts by no
    /// limit; a limit of 0 refuses all and is not kept.
    pub fn take(&mut self, limit: &RateLimit, tokens: u32, now: UnixMillis) -> (u32, RateState) {
        let seen = self.look(limit, now);
        if tokens == 0 || limit.limit() == 0 {
            return (0, seen);
        }
        let (taken, state) = limit.take(seen, now, tokens);
        if taken > 0 {
            for (other, state) in &mut self.states {
                (_, *state) = other.take(other.held(*state, now), now, taken);
            }
        }
        // Also if it was refused: what was held or clamped must be kept. Otherwise it would be
        // brought back to a later instant each time, and nothing would ever become free.
        if taken > 0 || !self.states.is_empty() {
            self.keep(limit, state);
        }
        (taken, state)
    }

    /// Gives back tokens that were taken by a limit and not used, by that limit only: the others
    /// were charged as far as a burst of theirs went, and it is not known how far.
    pub fn give_back(&mut self, limit: &RateLimit, tokens: u32) {
        for (own, state) in &mut self.states {
            if own == limit {
                *state = own.give_back(*state, tokens);
            }
        }
    }

    /// When the full burst of each limit is available again: until then there is something to
    /// remember. `None` if there is nothing.
    #[must_use]
    pub fn full_at(&self) -> Option<UnixMillis> {
        let full_at = self.states.iter().map(|(_, state)| state.full_at());
        full_at.max().flatten()
    }

    fn keep(&mut self, limit: &RateLimit, state: RateState) {
        if let Some((_, kept)) = self.states.iter_mut().find(|(own, _)| own == limit) {
            *kept = state;
            return;
        }
        if self.states.len() >= LIMITS_MAX {
            self.states.remove(0);
        }
        self.states.push((*limit, state));
    }
}

#[cfg(test)]
mod tests {
    use keystile::Millis;

    use super::*;

    fn now() -> UnixMillis {
        UnixMillis::new(1_790_000_000_000).unwrap()
    }

    fn after(millis: u64) -> UnixMillis {
        now().plus(Millis::new(millis)).unwrap()
    }

    fn hourly(limit: u32) -> RateLimit {
        RateLimit::new(limit, Millis::from_hours(1)).unwrap()
    }

    fn left(rates: &LineageRates, limit: &RateLimit, now: UnixMillis) -> u32 {
        limit.quota(rates.look(limit, now), now).remaining()
    }

    #[test]
    fn each_limit_counts_what_is_taken_by_the_others() {
        let (ten, twenty) = (hourly(10), hourly(20));
        let mut rates = LineageRates::new();
        assert_eq!(rates.take(&ten, 4, now()).0, 4);
        // It goes on from the state of the other, which is 24 minutes ahead: 8 of its own.
        assert_eq!(left(&rates, &twenty, now()), 12);
        assert_eq!(rates.take(&twenty, 5, now()).0, 5);
        assert_eq!(left(&rates, &ten, now()), 1);
        // As far as a burst goes, and no further.
        assert_eq!(rates.take(&twenty, 7, now()).0, 7);
        assert_eq!(left(&rates, &ten, now()), 0);
        assert_eq!(left(&rates, &ten, after(360_000)), 1);
        // A refusal counts by no limit.
        let before = rates.clone();
        assert_eq!(rates.take(&ten, 1, now()).0, 0);
        assert_eq!(rates, before);
    }

    #[test]
    fn what_is_given_back_is_free_by_its_own_limit_only() {
        let (ten, twenty) = (hourly(10), hourly(20));
        let mut rates = LineageRates::new();
        let _ = rates.take(&ten, 2, now());
        let _ = rates.take(&twenty, 6, now());
        rates.give_back(&twenty, 6);
        assert_eq!(left(&rates, &twenty, now()), 16);
        assert_eq!(left(&rates, &ten, now()), 2, "not by the other");
        let before = rates.clone();
        rates.give_back(&hourly(30), 6);
        assert_eq!(
            rates, before,
            "a limit that is not kept has nothing to take back"
        );
        rates.give_back(&ten, u32::MAX);
        assert_eq!(left(&rates, &ten, now()), 10, "no more than a burst");
    }

    #[test]
    fn a_look_changes_nothing() {
        let mut rates = LineageRates::new();
        let _ = rates.take(&hourly(10), 3, now());
        let before = rates.clone();
        let (taken, state) = rates.take(&hourly(20), 0, now());
        assert_eq!((taken, state), (0, rates.look(&hourly(20), now())));
        assert_eq!(rates, before);
    }

    #[test]
    fn a_limit_that_was_raised_is_in_force_after_one_burst() {
        let yearly = RateLimit::new(24, Millis::from_days(366)).unwrap();
        let fast = RateLimit::new(100, Millis::from_secs(10)).unwrap();
        let mut rates = LineageRates::new();
        assert_eq!(rates.take(&yearly, 30, now()).0, 24);
        assert_eq!(rates.take(&fast, 1, now()).0, 0, "one burst of it is spent");
        assert_eq!(rates.take(&fast, 1, after(99)).0, 0);
        assert_eq!(
            rates.take(&fast, 2, after(100)).0,
            1,
            "counted from the first refusal"
        );
        assert_eq!(
            rates.take(&yearly, 1, after(100)).0,
            0,
            "nothing is given back"
        );
    }

    #[test]
    fn a_state_that_is_far_ahead_is_held_once() {
        let ten = hourly(10);
        for (ahead, held) in [(3_660_000, 3_660_000), (3_660_001, 3_600_000)] {
            let far = RateState::from_bits(after(ahead).get() << 20);
            for own in [ten, hourly(11)] {
                let mut rates = LineageRates::from_states([(own, far)]);
                assert_eq!(rates.take(&ten, 1, now()).0, 0);
                let expected = if own == ten { held } else { 3_600_000 };
                assert_eq!(rates.look(&ten, now()).full_at(), Some(after(expected)));
                assert_eq!(rates.take(&ten, 1, after(expected - 3_240_000)).0, 1);
            }
        }
    }

    #[test]
    fn what_is_taken_by_one_limit_holds_the_states_of_the_others() {
        let (ten, eleven) = (hourly(10), hourly(11));
        let year = RateState::from_bits(after(366 * 86_400_000).get() << 20);
        let mut rates = LineageRates::from_states([(eleven, year), (ten, RateState::default())]);
        assert_eq!(rates.take(&ten, 1, now()).0, 1);
        assert_eq!(left(&rates, &eleven, now()), 0);
        assert_eq!(
            left(&rates, &eleven, after(360_000)),
            1,
            "held from the take on"
        );
    }

    #[test]
    fn a_limit_of_zero_is_not_kept() {
        let zero = RateLimit::new(0, Millis::from_hours(1)).unwrap();
        let mut rates = LineageRates::new();
        assert_eq!(rates.take(&zero, 5, now()), (0, RateState::default()));
        let _ = rates.take(&hourly(10), 3, now());
        assert_eq!(rates.take(&zero, 5, now()).0, 0);
        assert_eq!(rates.states().len(), 1);
        assert_eq!(left(&rates, &hourly(10), now()), 7);
    }

    #[test]
    fn four_limits_are_kept() {
        let mut rates = LineageRates::new();
        for limit in 10..20 {
            let _ = rates.take(&hourly(limit), 1, now());
        }
        let kept = rates.states().iter().map(|(limit, _)| limit.limit());
        assert_eq!(kept.collect::<Vec<_>>(), [16, 17, 18, 19]);
        assert_eq!(LineageRates::from_states(rates.states().to_vec()), rates);
        let again =
            LineageRates::from_states((1..20).map(|limit| (hourly(limit), RateState::default())));
        assert_eq!(again.states().len(), 4);
        // What was spent before a limit was forgotten still counts.
        assert!(left(&rates, &hourly(10), now()) < 10);
    }

    #[test]
    fn there_is_something_to_remember_until_the_slowest_is_full() {
        let mut rates = LineageRates::new();
        assert_eq!(rates.full_at(), None);
        let _ = rates.take(&hourly(10), 1, now());
        assert_eq!(rates.full_at(), Some(after(360_000)));
        let _ = rates.take(&hourly(1_000), 1, now());
        assert_eq!(rates.full_at(), Some(after(720_000)));
    }
}
