//! How many uses a lineage has left, and which of those that were made the store knows of.

use super::fault::{Fault, planted};
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, lock};
use crate::key::id::KeyId;

/// Uses that are not counted.
const UNCOUNTED: u64 = u64::MAX;
/// No count: its lineage has another one, or will get one.
const CLOSED: u64 = UNCOUNTED - 1;
const COUNTED_MAX: u64 = CLOSED - 1;
/// Keys of a lineage whose versions are remembered: two of them are live at most.
const KEYS_MAX: usize = 4;

/// A count of uses that many threads take from.
pub(super) struct UsesLeft {
    left: AtomicU64,
    /// How many cached keys take from it.
    holders: AtomicU64,
    /// Taken by admissions and drains, never by a decision.
    ledger: Mutex<Ledger>,
}

/// What the count is made of, so that a raise in the store adds what it raised, and no use that
/// the store does not know of yet.
#[derive(Clone, Default)]
struct Ledger {
    /// What is left, and what was taken.
    granted: u64,
    /// Uses that drains returned, and how many of them the store has: those of all drains but
    /// the last one.
    returned: u64,
    written: u64,
    last_drain: u64,
    /// The versions of the records that the count followed.
    versions: [Option<(KeyId, u64)>; KEYS_MAX],
}

/// What became of a use that was to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken, and so many are left if they are counted.
    Left(Option<u64>),
    /// There was none.
    Spent,
    /// The lineage has another count.
    Closed,
}

impl UsesLeft {
    pub(super) fn new(stored: Option<u64>) -> Self {
        Self {
            left: AtomicU64::new(stored.map_or(UNCOUNTED, |left| left.min(COUNTED_MAX))),
            holders: AtomicU64::new(0),
            ledger: Mutex::new(Ledger {
                granted: stored.unwrap_or_default().min(COUNTED_MAX),
                ..Ledger::default()
            }),
        }
    }

    /// Uses that are left, if they are counted.
    pub(super) fn get(&self) -> Option<u64> {
        let left = self.left.load(Ordering::Acquire);
        (left <= COUNTED_MAX).then_some(left)
    }

    /// Takes a use.
    #[inline]
    pub(super) fn take(&self) -> Taken {
        if planted(Fault::UseTakenInTwo) {
            let left = self.left.load(Ordering::Acquire).saturating_sub(1);
            self.left.store(left, Ordering::Release);
            return Taken::Left(Some(left));
        }
        let take = |left| match left {
            UNCOUNTED => Some(UNCOUNTED),
            CLOSED => None,
            left => u64::checked_sub(left, 1),
        };
        match self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
        {
            Ok(UNCOUNTED) => Taken::Left(None),
            Ok(left) => Taken::Left(Some(left.saturating_sub(1))),
            Err(CLOSED) => Taken::Closed,
            Err(_) => Taken::Spent,
        }
    }

    /// Notes that one more cached key takes from it. Only then may a record be followed.
    pub(super) fn hold(&self) {
        self.holders.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a cached key takes from it no more, but for threads that are late.
    pub(super) fn release(&self) {
        self.holders.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn is_held(&self) -> bool {
        self.holders.load(Ordering::Relaxed) > 0
    }

    /// Closes it for threads that are late, unless uses were made that the store may not know
    /// of; returns whether it is closed.
    pub(super) fn close(&self, drains: u64) -> bool {
        let mut ledger = lock(&self.ledger);
        ledger.settle(drains);
        let left = if planted(Fault::ForgottenMeterOpen) {
            self.left.load(Ordering::Acquire)
        } else {
            self.left.swap(CLOSED, Ordering::AcqRel)
        };
        let is_ahead = left <= COUNTED_MAX && ledger.granted.saturating_sub(left) > ledger.written;
        if is_ahead {
            // A thread that found it closed asks again.
            self.left.store(left, Ordering::Release);
        }
        !is_ahead
    }

    /// Follows a record of a store: down always, and up if its version rose or is the first of
    /// its key, which is never so for a replica that lags behind what was seen.
    pub(super) fn follow(&self, id: KeyId, version: u64, stored: Option<u64>, drains: u64) {
        let mut ledger = lock(&self.ledger);
        ledger.settle(drains);
        let before = ledger.see(id, version);
        let rose = before.is_none_or(|before| before < version);
        let Some(stored) = stored else {
            if before.is_some_and(|before| before < version) {
                self.left.store(UNCOUNTED, Ordering::Release);
            }
            return;
        };
        if self.get().is_none() {
            // Counted from now on; what was taken before was not.
            let stored = stored.min(COUNTED_MAX);
            ledger.granted = stored;
            self.left.store(stored, Ordering::Release);
            return;
        }
        if rose {
            let more = ledger.raise(stored, self.get().unwrap_or_default());
            // What is taken meanwhile is taken off the sum too.
            self.left.fetch_add(more, Ordering::AcqRel);
        }
        let before = self.left.fetch_min(stored, Ordering::AcqRel);
        let lowered = before.saturating_sub(stored);
        ledger.granted = ledger.granted.saturating_sub(lowered);
    }

    /// What would be left after [`follow`](Self::follow), which this does not do.
    pub(super) fn left_after(
        &self,
        id: KeyId,
        version: u64,
        stored: Option<u64>,
        drains: u64,
    ) -> Option<u64> {
        let mut ledger = lock(&self.ledger).clone();
        ledger.settle(drains);
        let before = ledger.see(id, version);
        let left = self.get();
        let Some(stored) = stored else {
            return left.filter(|_| before.is_none_or(|before| before >= version));
        };
        let Some(left) = left else {
            return Some(stored);
        };
        let more = match before {
            Some(before) if before >= version => 0,
            _ => ledger.raise(stored, left),
        };
        Some(left.saturating_add(more).min(stored))
    }

    /// Notes that a drain returned uses of the lineage.
    pub(super) fn returned(&self, count: u64, drains: u64) {
        let mut ledger = lock(&self.ledger);
        ledger.settle(drains);
        ledger.last_drain = drains;
        ledger.returned = ledger.returned.saturating_add(count);
    }
}

impl Ledger {
    /// What drains before the last one returned was written.
    fn settle(&mut self, drains: u64) {
        if drains > self.last_drain {
            self.written = self.returned;
        }
    }

    /// The version of a key that was seen last. The greater one is remembered.
    fn see(&mut self, id: KeyId, version: u64) -> Option<u64> {
        if let Some((_, seen)) = self
            .versions
            .iter_mut()
            .flatten()
            .find(|(key, _)| *key == id)
        {
            let before = *seen;
            *seen = before.max(version);
            return Some(before);
        }
        self.versions.rotate_right(1);
        if let Some(first) = self.versions.first_mut() {
            *first = Some((id, version));
        }
        None
    }

    /// By how much the count is raised if the store has `stored` left.
    fn raise(&mut self, stored: u64, left: u64) -> u64 {
        if planted(Fault::CountAsStored) {
            return stored.saturating_sub(left);
        }
        let taken = self.granted.saturating_sub(left);
        let granted = stored.saturating_add(self.written.min(taken));
        let granted = granted.min(COUNTED_MAX);
        let more = granted.saturating_sub(self.granted);
        self.granted = self.granted.saturating_add(more);
        more
    }
}

#[cfg(not(keystile_loom))]
#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> KeyId {
        std::format!("1{number:015}").parse().unwrap()
    }

    /// A count of five uses that follows version 2 of a key, and of which three were taken.
    fn two_of_five() -> UsesLeft {
        let uses = UsesLeft::new(Some(5));
        uses.follow(id(1), 2, Some(5), 0);
        for left in [4, 3, 2] {
            assert_eq!(uses.take(), Taken::Left(Some(left)));
        }
        uses
    }

    #[test]
    fn t23_only_a_version_that_rose_raises_a_count() {
        for version in [1, 2] {
            let uses = two_of_five();
            uses.follow(id(1), version, Some(9), 0);
            assert_eq!(uses.get(), Some(2), "version {version} was seen before");
        }
        for (key, version) in [(1, 3), (2, 1)] {
            let uses = two_of_five();
            uses.follow(id(key), version, Some(9), 0);
            assert_eq!(uses.get(), Some(6), "version {version} of key {key}");
        }
    }

    #[test]
    fn t23_only_a_version_that_rose_ends_a_count() {
        for (key, version, expected) in [
            (1, 1, Some(2)),
            (1, 2, Some(2)),
            (2, 1, Some(2)),
            (1, 3, None),
        ] {
            let uses = two_of_five();
            let after = uses.left_after(id(key), version, None, 0);
            uses.follow(id(key), version, None, 0);
            assert_eq!(uses.get(), expected, "version {version} of key {key}");
            assert_eq!(after, expected, "version {version} of key {key}");
        }
    }
}
