//! Rate limits, each kept once: the keys of a plan have the same.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::sync::Hashing;
use crate::policy::rate_limit::RateLimit;

/// Limits that are remembered; a key with a further one keeps its own.
const KEPT_MAX: usize = 256;

/// The limits of cached keys.
///
/// A limit takes five words, and what is shared is in the processor's cache already.
pub(super) struct Limits(
    // Not the model checker's: nothing that it looks at depends on who comes first here.
    Mutex<HashSet<Arc<RateLimit>, Hashing>>,
);

impl Limits {
    pub(super) fn new(hashing: Hashing) -> Self {
        Self(Mutex::new(HashSet::with_hasher(hashing)))
    }

    /// The one copy of a limit.
    pub(super) fn share(&self, limit: RateLimit) -> Arc<RateLimit> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&limit) {
            return Arc::clone(known);
        }
        let shared = Arc::new(limit);
        if kept.len() >= KEPT_MAX {
            kept.retain(|limit| Arc::strong_count(limit) > 1);
        }
        if kept.len() < KEPT_MAX {
            kept.insert(Arc::clone(&shared));
        }
        shared
    }
}

#[cfg(all(test, not(keystile_loom)))]
mod tests {
    use super::*;
    use crate::time::Millis;
    use std::vec::Vec;

    #[test]
    fn the_same_limit_is_kept_once_and_another_is_not_taken_for_it() {
        let hour = |number| RateLimit::new(number, Millis::from_hours(1)).unwrap();
        let limits = Limits::new(Hashing::default());
        let (one, same) = (limits.share(hour(1)), limits.share(hour(1)));
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!(*limits.share(hour(2)), hour(2));
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for_and_unused_ones_go() {
        let hour = |number| RateLimit::new(number, Millis::from_hours(1)).unwrap();
        let limits = Limits::new(Hashing::default());
        let count = u32::try_from(KEPT_MAX).unwrap();
        let held: Vec<_> = (0..count)
            .map(|number| limits.share(hour(number)))
            .collect();
        let (further, again) = (limits.share(hour(count)), limits.share(hour(count)));
        assert!(!Arc::ptr_eq(&further, &again), "no room");
        drop(held);
        let (further, again) = (limits.share(hour(count)), limits.share(hour(count)));
        assert!(Arc::ptr_eq(&further, &again), "room again");
    }
}
