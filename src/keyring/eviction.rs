//! Making room: which key goes, and what is remembered of it.

use core::hash::BuildHasher;

use super::count::{Raised, Stripes};
use super::entry::Entry;
use super::fault::{Fault, planted};
use super::shared_meter::Debt;
use super::sync::atomic::Ordering;
use super::{Keyring, Use};
use crate::key::id::KeyId;
use crate::policy::rate_state::RateState;
use crate::time::UnixMillis;

/// Keys that the hand looks at for one to evict.
const LOOKS: usize = 64;

impl<T> Keyring<T> {
    /// Evicts until the keys fit again.
    pub(super) fn evict(&self, now: UnixMillis) {
        let now = self.clock(now).limits;
        loop {
            let entries = self.entries.pin();
            // Used since the hand passed last, or with a rate limit in debt: not now.
            let spare = |id: &KeyId| {
                entries.get(id).is_some_and(|entry| {
                    (entry.is_live() && entry.take_used())
                        || entry
                            .rate()
                            .state()
                            .is_some_and(|state| entry.owes_until(state, now).is_some())
                })
            };
            let Some(id) = self.slots.victim(LOOKS, spare) else {
                return;
            };
            let _lock = self.lock_of(self.hasher.hash_one(id));
            let Some(entry) = entries.remove(&id) else {
                return;
            };
            self.aliases.pin().remove(&entry.tag().to_bits());
            self.slots.leave(entry.slot, &id);
            self.keep_tokens(id, entry);
            let state = self.keep_debt(id, entry, now);
            self.keep_uses(id, entry, state);
            self.counters.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a use of an entry that was replaced or evicted.
    #[cold]
    pub(super) fn count_elsewhere(&self, id: KeyId, late: &Entry<T>, now: UnixMillis) {
        let entries = self.entries.pin();
        // The entry that took over is in the map by the time the lock is free.
        let _lock = self.lock_of(self.hasher.hash_one(id));
        let next = entries.get(&id);
        if let Some(next) = next
            && next.count.raise(&self.stripes) != Raised::Closed
        {
            next.note_use(now);
            self.slots.mark(next.slot);
        } else {
            let mut used = self.use_with_rate(id, late, 1);
            if used.rate.is_none() && late.limit().is_some() && !planted(Fault::LateUseWithoutState)
            {
                // Its meter was closed when it was evicted.
                used.rate = self.lineages.debt(&id).map(|debt| debt.state);
            }
            self.leave_over(used, late, Stripes::NONE);
        }
    }

    /// Closes an entry's meter; returns its state if it has a limit of its own.
    fn keep_debt(&self, id: KeyId, entry: &Entry<T>, now: UnixMillis) -> Option<RateState> {
        if let Some(share) = entry.share() {
            // Long enough for the uses to be drained and written, and for what is owed.
            let written = now.plus(self.ttl).unwrap_or(UnixMillis::MAX);
            let owes_until = share.meter.owes_until(now);
            let until = owes_until.map_or(written, |until| until.max(written));
            self.lineages.keep(&entry.lineage(id), until);
            share.meter.uses().release();
        }
        let state = if planted(Fault::EvictedMeterOpen) {
            entry.rate().state()
        } else {
            entry.rate().close()
        };
        let (state, limit) = state.zip(entry.limit().cloned())?;
        if let Some(until) = entry.owes_until(state, now) {
            self.lineages.owe(id, Debt { limit, state }, until, now);
        }
        entry.share().is_none().then_some(state)
    }

    fn keep_uses(&self, id: KeyId, entry: &Entry<T>, state: Option<RateState>) {
        let (count, stripes) = entry.count.close(&self.stripes);
        // Only now: what was counted before was also spent before, and a thread that
        // counts later reports the state itself.
        let mut used = self.use_with_rate(id, entry, count);
        used.rate = used.rate.or(state);
        self.leave_over(used, entry, stripes);
    }

    fn leave_over(&self, used: Use, entry: &Entry<T>, stripes: Stripes) {
        let is_counted = entry.is_counted();
        let lost = self.evicted_uses.keep(used, is_counted, stripes);
        self.counters.uses_lost.fetch_add(lost, Ordering::Relaxed);
    }
}
