//! Which readings of the clock can be believed, by a clock that is never set.

use super::sync::{Mutex, lock};
use crate::time::{Millis, UnixMillis};

/// By how much a reading may differ from what was expected, and for how long a clock has to be
/// in agreement to be believed.
const TRUST: u64 = 60_000;

/// A clock that is never set, and what the other clock showed at one of its instants.
pub(super) struct Monotonic {
    read: fn() -> Millis,
    seen: Mutex<Seen>,
}

/// Two clocks at one instant.
#[derive(Clone, Copy)]
struct Both {
    reading: u64,
    monotonic: u64,
}

#[derive(Default)]
struct Seen {
    /// The latest reading that was believed.
    believed: Option<Both>,
    /// The first one that disagreed, and with which all later ones agree.
    doubted: Option<Both>,
}

impl Monotonic {
    pub(super) fn new(read: fn() -> Millis) -> Self {
        Self {
            read,
            seen: Mutex::new(Seen::default()),
        }
    }

    /// Whether a reading can be believed. The clock may have been set meanwhile: if readings
    /// agree for a minute, they are.
    pub(super) fn confirms(&self, now: UnixMillis) -> bool {
        let both = Both {
            reading: now.get(),
            monotonic: (self.read)().get(),
        };
        lock(&self.seen).confirms(both)
    }
}

impl Seen {
    fn confirms(&mut self, both: Both) -> bool {
        let agrees = |seen: Option<Both>| seen.filter(|seen| seen.agrees_with(both));
        let is_believed = agrees(self.believed).is_some();
        match agrees(self.doubted) {
            _ if is_believed => self.doubted = None,
            None => self.doubted = Some(both),
            Some(first) if both.monotonic.saturating_sub(first.monotonic) < TRUST => {}
            Some(_) => {
                *self = Self {
                    believed: Some(both),
                    doubted: None,
                };
                return true;
            }
        }
        if is_believed {
            self.believed = Some(both);
        }
        is_believed
    }
}

impl Both {
    fn agrees_with(self, later: Self) -> bool {
        let gone = later.monotonic.saturating_sub(self.monotonic);
        later.reading.abs_diff(self.reading.saturating_add(gone)) <= TRUST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_believed_once_it_has_agreed_for_a_minute() {
        const HOUR: u64 = 3_600_000;
        let mut seen = Seen::default();
        let mut ask = |monotonic, reading| seen.confirms(Both { reading, monotonic });
        let start = 1_790_000_000_000;
        assert!(!ask(0, start));
        assert!(!ask(TRUST - 1, start + TRUST - 1));
        assert!(ask(TRUST, start + TRUST));
        // It may be adjusted a little, again and again.
        let mut slow = start;
        for minute in 2..100 {
            slow += TRUST / 2;
            assert!(ask(minute * TRUST, slow + TRUST), "{minute}");
        }
        let (now, reading) = (100 * TRUST, slow + TRUST);
        // A wrong reading, either way, is not, and takes no trust away.
        for wrong in [reading + HOUR, reading - HOUR] {
            assert!(!ask(now, wrong));
            assert!(ask(now, reading));
        }
        // A clock that was set is believed after a minute.
        assert!(!ask(now, reading + HOUR));
        assert!(!ask(now + TRUST - 1, reading + HOUR + TRUST - 1));
        assert!(ask(now + TRUST, reading + HOUR + TRUST));
        assert!(!ask(now + TRUST, reading));
    }

    #[test]
    fn a_believed_reading_lends_its_age_to_none_that_disagrees_with_the_latest() {
        let mut seen = Seen::default();
        let mut ask = |monotonic: u64, ahead: i64| {
            let reading = 1_790_000_000_000_u64 + monotonic;
            let reading = reading.saturating_add_signed(ahead);
            seen.confirms(Both { reading, monotonic })
        };
        assert!(!ask(0, 0));
        assert!(ask(TRUST, 0));
        assert!(ask(TRUST + 1_000, 0));
        assert!(ask(TRUST + 30_000, 50_000));
        // It agrees with the one before the latest.
        assert!(!ask(TRUST + 31_000, -20_000));
        assert!(!ask(2 * TRUST + 1_500, -20_000), "after half a minute");
        assert!(ask(2 * TRUST + 31_000, -20_000));
    }
}
