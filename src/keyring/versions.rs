//! The versions that were written, so that an older record is not admitted afterwards.

use std::collections::{HashMap, VecDeque};

use super::sizes::VERSIONS_MAX;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::sync::{Hashing, Mutex, lock};
use crate::key::id::KeyId;
use crate::time::{Millis, UnixMillis};

/// The versions that were written of some keys, in a limited number.
///
/// Callers hold the lock of the key, so that whoever comes later sees what was remembered.
pub(super) struct Versions {
    known: Mutex<Known>,
    /// How many there are: with none, an admission takes no further lock.
    count: AtomicUsize,
}

struct Known {
    of: HashMap<KeyId, Written, Hashing>,
    /// The keys in the order in which they were remembered. A key that was remembered again
    /// is in it twice, and its earlier place has an older turn.
    order: VecDeque<(KeyId, u64)>,
    turns: u64,
}

struct Written {
    version: u64,
    /// The count of invalidations at that time.
    as_of: u64,
    at: UnixMillis,
    turn: u64,
}

impl Versions {
    pub(super) fn new(hasher: Hashing) -> Self {
        Self {
            known: Mutex::new(Known {
                of: HashMap::with_hasher(hasher),
                order: VecDeque::new(),
                turns: 0,
            }),
            count: AtomicUsize::new(0),
        }
    }

    /// Remembers that this version was written. Returns whether another one was forgotten
    /// for it too early: before what was fetched earlier has outlived the TTL.
    ///
    /// An event that is read late does not lower it, unless what is known is not bound any
    /// more: `is_bound` says so of a count of invalidations.
    pub(super) fn remember(
        &self,
        id: KeyId,
        version: u64,
        as_of: u64,
        is_bound: impl FnOnce(u64) -> bool,
        now: UnixMillis,
        ttl: Millis,
    ) -> bool {
        let mut known = lock(&self.known);
        let known = &mut *known;
        known.turns = known.turns.saturating_add(1);
        let turn = known.turns;
        let earlier = known.of.get(&id);
        let earlier = earlier.filter(|earlier| is_bound(earlier.as_of));
        let version = earlier.map_or(version, |earlier| version.max(earlier.version));
        let written = Written {
            version,
            as_of,
            at: now,
            turn,
        };
        known.of.insert(id, written);
        known.order.push_back((id, turn));
        let lost = known.forget_the_oldest(now, ttl);
        self.count.store(known.of.len(), Ordering::Relaxed);
        lost
    }

    /// The version that was written last, and the count of invalidations at that time.
    pub(super) fn of(&self, id: &KeyId) -> Option<(u64, u64)> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let known = lock(&self.known);
        let written = known.of.get(id)?;
        Some((written.version, written.as_of))
    }
}

impl Known {
    /// Forgets the oldest one if there are too many, and returns whether that was too early.
    fn forget_the_oldest(&mut self, now: UnixMillis, ttl: Millis) -> bool {
        let mut lost = false;
        while self.of.len() > VERSIONS_MAX {
            let Some((id, turn)) = self.order.pop_front() else {
                break;
            };
            if self.of.get(&id).is_some_and(|written| written.turn == turn)
                && let Some(oldest) = self.of.remove(&id)
            {
                lost |= now.since(oldest.at) < ttl;
            }
        }
        if self.order.len() > VERSIONS_MAX.saturating_mul(2) {
            let of = &self.of;
            self.order
                .retain(|(id, turn)| of.get(id).is_some_and(|written| written.turn == *turn));
        }
        lost
    }
}
