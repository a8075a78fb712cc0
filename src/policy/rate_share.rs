//! The part of a limit that one process may use by itself.

use crate::policy::rate_limit::RateLimit;
use crate::time::Millis;

impl RateLimit {
    /// The part of this limit that each of `processes` may let pass by itself, so that all of
    /// them together keep this limit: for a time in which they cannot count in one place.
    ///
    /// It has as many requests in a window that is as many times longer, and that part of the
    /// burst, rounded down; if such a window would be longer than the longest one, it has that
    /// part of the requests in the same window, rounded down. `None` if nothing is left for one
    /// of them, and for a limit of 0.
    ///
    /// ```
    /// use keystile::{Millis, RateLimit};
    /// let limit = RateLimit::with_burst(10, Millis::from_secs(1), 7)?;
    /// let share = limit.share(3).expect("two at once");
    /// assert_eq!((share.limit(), share.window(), share.burst()), (10, Millis::from_secs(3), 2));
    /// assert_eq!(limit.share(8), None, "refused: not even one of a burst is left");
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn share(&self, processes: u32) -> Option<Self> {
        let burst = self.burst().checked_div(processes)?;
        if burst == 0 || self.limit() == 0 {
            return None;
        }
        let window = Millis::new(self.window().get().saturating_mul(processes.into()));
        if let Ok(share) = Self::with_burst(self.limit(), window, burst) {
            return Some(share);
        }
        let limit = self.limit().checked_div(processes)?;
        let share = Self::with_burst(limit, self.window(), burst).ok()?;
        (limit > 0).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_processes_are_no_more_than_the_limit() {
        let (second, year) = (Millis::from_secs(1), Millis::from_days(366));
        for (limit, window, burst) in [
            (1, second, 1),
            (10, second, 7),
            (1_000, year, 1_000),
            (1_000_000_007, Millis::new(1), 9),
            (1_048_573, year, 1_048_573),
            (4_000_000_000, second, 4_000_000_000),
        ] {
            let Ok(whole) = RateLimit::with_burst(limit, window, burst) else {
                continue;
            };
            for processes in [1, 2, 3, 7, 366, 100_000, u32::MAX] {
                let Some(share) = whole.share(processes) else {
                    continue;
                };
                let times = |count: u32| u128::from(count) * u128::from(processes);
                assert!(share.burst() > 0 && share.limit() > 0);
                assert!(times(share.burst()) <= burst.into());
                let rate = times(share.limit()) * u128::from(window.get());
                assert!(rate <= u128::from(limit) * u128::from(share.window().get()));
                assert!(share.is_within(&whole));
            }
        }
    }

    #[test]
    fn nothing_is_left_of_a_burst_that_is_too_small_or_of_a_limit_of_0() {
        let hour = Millis::from_hours(1);
        let ten = RateLimit::new(10, hour).unwrap();
        assert_eq!(ten.share(1), Some(ten));
        assert_eq!(ten.share(11), None);
        assert_eq!(ten.share(0), None);
        assert_eq!(RateLimit::new(0, hour).unwrap().share(1), None);
        // A window of 366 days cannot be longer: its requests are divided.
        let yearly = RateLimit::new(10, Millis::from_days(366)).unwrap();
        assert_eq!(yearly.share(3).unwrap().limit(), 3);
        let rare = RateLimit::with_burst(2, Millis::from_days(366), 4).unwrap();
        assert_eq!(rare.share(3), None);
    }
}
