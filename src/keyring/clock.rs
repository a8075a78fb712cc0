//! The clock, as a check reads it: it may be set back.

use super::Keyring;
use super::sync::atomic::Ordering;
use crate::time::UnixMillis;

/// The time of one check, and that by which expiry is judged.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: UnixMillis,
    pub(super) not_before: UnixMillis,
}

impl<T> Keyring<T> {
    /// The clock as one check reads it.
    #[inline(always)]
    pub(super) fn clock(&self, now: UnixMillis) -> Clock {
        let not_before = self.not_before(now);
        Clock { now, not_before }
    }

    /// The time by which expiry is judged: what was seen expired stays so, also when the
    /// clock steps back by no more than the skew.
    #[inline]
    pub(super) fn not_before(&self, now: UnixMillis) -> UnixMillis {
        let latest = self.latest.load(Ordering::Relaxed);
        match UnixMillis::new(latest) {
            Ok(latest) if now < latest && latest.since(now) <= self.clock_skew => latest,
            Ok(latest) if now == latest => now,
            _ => {
                self.advance(latest, now);
                now
            }
        }
    }

    fn advance(&self, latest: u64, now: UnixMillis) {
        // If another thread was faster, its later reading is kept.
        let order = Ordering::Relaxed;
        let _ = self
            .latest
            .compare_exchange(latest, now.get(), order, order);
    }
}
