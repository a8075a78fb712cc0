//! What becomes of a record that was fetched: it is refused, cached, or fetched again.

use core::hash::BuildHasher;
use std::sync::Arc;

use super::count::Count;
use super::entry::{Admission, Entry};
use super::fault::{Fault, planted};
use super::invalidation;
use super::meter::RateMeter;
use super::negative_cache::NegativeCause;
use super::shared_meter::{Debt, Share};
use super::sizes::slot_of;
use super::sync::atomic::Ordering;
use super::sync::{MutexGuard, lock};
use super::{Check, Found, Keyring, Ticket};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::key::id::KeyId;
use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::record::key_record::KeyRecord;
use crate::record::usage::Usage;
use crate::time::UnixMillis;

/// There is no room for the meter of another lineage.
struct NoRoom;

/// A state that was spent by a limit.
type Spending = (Option<Arc<RateLimit>>, RateState);

/// Locks that are held.
type Held<'k> = Option<MutexGuard<'k, ()>>;

impl Keyring {
    /// Decides by the record that was fetched for a ticket, and caches it.
    ///
    /// `record` is what the store has now, or nothing. If an invalidation overtook the
    /// fetch, or it brought an older version than is cached, the result is another ticket:
    /// fetch again. Give up after some rounds and answer [`Cause::StoreUnavailable`]; never
    /// allow.
    pub fn admit<'a>(
        &self,
        ticket: Ticket<'a>,
        record: Option<&KeyRecord>,
        now: UnixMillis,
    ) -> Check<'a> {
        self.admit_with(ticket, record.map(Found::new), now)
    }
}

impl<T: Clone> Keyring<T> {
    /// As [`admit`](Keyring::admit), with what the lineage has spent, and with the value that
    /// later decisions on this record come with.
    pub fn admit_with<'a>(
        &self,
        ticket: Ticket<'a>,
        found: Option<Found<'_, T>>,
        now: UnixMillis,
    ) -> Check<'a, T> {
        // The digest first, without a lock: it is what costs.
        let record = found.as_ref().map(|found| found.record);
        match (self.verifier.prove(&ticket.key, record), found) {
            (Ok(_), Some(found)) => self.admit_proved(ticket, found, now),
            (Ok(_), None) => self.admit_refused(ticket, Cause::UnknownKey, now),
            (Err(cause), _) => self.admit_refused(ticket, cause, now),
        }
    }

    /// Remembers that a key is not known, unless it was issued meanwhile.
    fn admit_refused<'a>(&self, ticket: Ticket<'a>, cause: Cause, now: UnixMillis) -> Check<'a, T> {
        let refusal = match cause {
            Cause::WrongSecret => NegativeCause::WrongSecret,
            Cause::PepperUnavailable => NegativeCause::PepperUnavailable,
            _ => NegativeCause::Unknown,
        };
        let id = ticket.key.claimed_id().copied();
        let hash = id.map(|id| self.hasher.hash_one(id));
        let _lock = hash.and_then(|hash| self.lock_of(hash));
        let undisturbed = match hash {
            Some(hash) => self.invalidations.is_undisturbed(hash, None, ticket.as_of),
            None => self.invalidations.now() == ticket.as_of,
        };
        if !undisturbed && !planted(Fault::AbsentUnchecked) {
            return self.overtaken(ticket);
        }
        let now = self.not_before(now);
        let tag = self.tagger.tag(ticket.key.text());
        self.negative.remember(id, tag, refusal, ticket.as_of, now);
        Check::deny(refusal.into())
    }

    /// Caches a record that proves the key, unless it is out of date already, and judges
    /// by it.
    fn admit_proved<'a>(
        &self,
        ticket: Ticket<'a>,
        found: Found<'_, T>,
        now: UnixMillis,
    ) -> Check<'a, T> {
        let Found {
            record,
            usage,
            value,
        } = found;
        let id = record.id;
        let proof = self.tagger.proof(&ticket.key);
        let owner = record.owner.as_deref();
        let owner = owner.map(|owner| invalidation::owner_slot(self.hasher.hash_one(owner)));
        // Before the locks, and so released after them: its release may drop old values.
        let entries = self.entries.pin();
        let locks = self.locks_of(&id, &record.lineage);
        let known = entries.get(&id);
        if !self.is_timely(ticket.as_of, record, known, owner) {
            return self.overtaken(ticket);
        }
        let slot = match known {
            Some(known) => Some(known.slot),
            None => self.slots.enter(id),
        };
        let Some(slot) = slot else {
            // All slots are taken by threads that are about to evict: another round.
            drop(locks);
            self.evict(now);
            return self.overtaken(ticket);
        };
        if let Some(monotonic) = &self.monotonic {
            // So that a later reading can be compared.
            let _ = monotonic.confirms(now);
        }
        let is_new = known.is_none();
        let limit = record.rate_limit.map(|limit| self.limits.share(limit));
        let at = self.clock(now).limits;
        // Of a limit that is counted elsewhere, only this process's part is counted here.
        let counted = match &self.leases {
            Some(leases) => self.part_of(leases, record),
            None => limit.clone(),
        };
        let Ok(joined) = self.share(record, &usage, counted.as_ref(), at) else {
            if is_new {
                self.slots.leave(slot, &id);
            }
            let refused = &self.counters.lineages_refused;
            refused.fetch_add(1, Ordering::Relaxed);
            let denial = Denial::of(Cause::StoreUnavailable, id);
            return Check::Decided(Decision::Deny(denial), None);
        };
        let by = counted.as_deref();
        let rate = self.spent(record, by, &usage, known, joined.as_ref(), at);
        let lease = self.lease_of(record, known, counted);
        let as_of = if planted(Fault::AsOfAdmission) {
            self.invalidations.now()
        } else {
            ticket.as_of
        };
        let admission = Admission {
            proof,
            as_of,
            fresh_until: self.fresh_until(record, now),
            slot,
            owner,
            needs_rehash: self.verifier.peppers().is_outdated(&record.digest),
            rate_limit: limit,
            rate: RateMeter::new(rate),
            count: match known {
                Some(known) => known.count.hand_over(),
                None => Count::new(self.evicted_uses.reclaim(&id)),
            },
            last_used_at: known.and_then(Entry::last_used_at),
            is_ended: known.is_some_and(|known| {
                known.is_ended()
                    && known.version == record.version
                    && self.invalidations.binds_version(known.as_of)
            }),
            share: joined.map(|(share, _)| share),
            lease,
            value,
        };
        if ticket.key.claimed_id().is_none() {
            let aliases = self.aliases.pin();
            if let Some(known) = known.filter(|known| !known.tag().is(&proof.tag)) {
                aliases.remove(&known.tag().to_bits());
            }
            aliases.insert(proof.tag.to_bits(), id);
        }
        entries.insert(id, Entry::new(record, admission));
        if !planted(Fault::CountUnmarked) {
            // A drain may have come by while the count was in neither entry.
            self.slots.mark(slot);
        }
        if let Some(share) = known.and_then(Entry::share) {
            share.meter.uses().release();
        }
        let entry = entries.get(&id);
        drop(locks);
        let check = entry
            .and_then(|entry| self.decide(id, entry, &ticket.request, self.clock(now), T::clone));
        if is_new {
            // After the decision, so that the new key is judged even if it is the one evicted.
            self.evict(now);
        }
        if let Some(check) = check {
            return check;
        }
        let (text, request) = (ticket.key.text(), &ticket.request);
        let waiting = entry.and_then(|entry| self.token_ticket(id, entry, text, request, now));
        match waiting {
            Some(waiting) => Check::NeedsTokens(waiting),
            None => self.overtaken(ticket),
        }
    }

    /// Whether nothing has happened since the fetch began that makes its record stale.
    pub(super) fn is_timely(
        &self,
        as_of: u64,
        record: &KeyRecord,
        known: Option<&Entry<T>>,
        owner: Option<invalidation::OwnerSlot>,
    ) -> bool {
        let as_of = if planted(Fault::CountedAfterFetch) {
            self.invalidations.now()
        } else {
            as_of
        };
        let hash = self.hasher.hash_one(record.id);
        // A replica that lags behind what was cached is no better than an old fetch.
        let is_no_older = known.is_none_or(|known| {
            record.version >= known.version || !self.invalidations.binds_version(known.as_of)
        });
        let written = self.versions.of(&record.id);
        let is_no_older = is_no_older
            && written.is_none_or(|(version, as_of)| {
                record.version >= version || !self.invalidations.binds_version(as_of)
            });
        is_no_older
            && (planted(Fault::AdmittedUnchecked)
                || self.invalidations.is_undisturbed(hash, owner, as_of))
    }

    /// The same ticket for another fetch, which begins now.
    #[cold]
    fn overtaken<'a>(&self, ticket: Ticket<'a>) -> Check<'a, T> {
        self.counters.overtaken.fetch_add(1, Ordering::Relaxed);
        Check::NeedsRecord(Ticket {
            as_of: self.invalidations.now(),
            ..ticket
        })
    }

    fn fresh_until(&self, record: &KeyRecord, now: UnixMillis) -> UnixMillis {
        // The time that the record will be judged by.
        let now = self.not_before(now);
        let after = |span| now.plus(span).unwrap_or(UnixMillis::MAX);
        match record.ends_at() {
            // It has ended: say so for a while without asking again.
            Some(end) if end <= now => after(self.absent_ttl),
            Some(end) => end.min(after(self.ttl)),
            None => after(self.ttl),
        }
    }

    /// A key's share of its lineage's meter, if it spends from one, and whether that is new: it
    /// does if it was rotated or its uses are counted. The error is that there is no room for one.
    fn share(
        &self,
        record: &KeyRecord,
        usage: &Usage,
        limit: Option<&Arc<RateLimit>>,
        now: UnixMillis,
    ) -> Result<Option<(Share, bool)>, NoRoom> {
        let is_first = record.lineage == record.id;
        let remaining = usage.remaining.or(record.remaining_uses);
        let shares = remaining.is_some() || !is_first || record.replaced_by.is_some();
        if !shares || (limit.is_none() && remaining.is_none()) {
            return Ok(None);
        }
        let (lineage, drains) = (record.lineage, self.drains.load(Ordering::Relaxed));
        let joined = self.lineages.join(lineage, limit, remaining, drains, now);
        let (share, is_new_meter) = joined.ok_or(NoRoom)?;
        let uses = share.meter.uses();
        uses.follow(record.id, record.version, remaining, drains);
        if is_new_meter && !is_first && !planted(Fault::FirstNotInvalidated) {
            // A fetch of the first key that began before its rotation would give it a
            // meter of its own again.
            self.invalidations.id(self.hasher.hash_one(lineage));
        }
        Ok(Some((share, is_new_meter)))
    }

    /// What a new entry goes on from: the state of its own meter, unless it has a share.
    fn spent(
        &self,
        record: &KeyRecord,
        limit: Option<&RateLimit>,
        usage: &Usage,
        known: Option<&Entry<T>>,
        joined: Option<&(Share, bool)>,
        now: UnixMillis,
    ) -> RateState {
        let own = match known {
            Some(known) => known
                .rate()
                .close()
                .map(|state| (known.limit().cloned(), state)),
            None => self.lineages.take_debt(&record.id).map(Debt::parts),
        };
        let own = own.filter(|(_, state)| *state != RateState::default());
        // Its uses may have been counted before, and are no more.
        let own = if own.is_none() && limit.is_some() && joined.is_none() {
            self.lineages.spent(&record.lineage).map(Debt::parts)
        } else {
            own
        };
        let stored = self.state_in(usage.rate);
        // What lies too far ahead is of a wrong clock or of another limit, and who knows what
        // was spent here need not believe it.
        let is_met = joined.is_some_and(|(_, is_new)| !is_new);
        let is_known = is_met || known.is_some() || own.is_some();
        let strays = limit.is_some_and(|limit| limit.held(stored, now) != stored);
        let stored = if is_known && strays {
            RateState::default()
        } else {
            stored
        };
        if let Some((share, _)) = joined {
            let is_first = record.lineage == record.id;
            let apart = if is_first || planted(Fault::LineageApart) {
                None
            } else {
                self.close_first(&record.lineage)
            };
            for (limit, state) in [own, apart].into_iter().flatten() {
                share.meter.add(limit.as_deref(), state, now);
            }
            share.meter.raise_to(stored, now);
            return RateState::default();
        }
        let clamped = |state| limit.map_or(state, |limit| limit.clamped(state, now));
        let own = own.map_or(RateState::default(), |(before, state)| {
            if before.as_deref() == limit {
                state
            } else {
                clamped(state)
            }
        });
        own.max(clamped(stored))
    }

    /// Takes what the first key of a lineage has spent, if it has an entry from before it
    /// was rotated, with a meter of its own, or was evicted as such.
    fn close_first(&self, first: &KeyId) -> Option<Spending> {
        let entries = self.entries.pin();
        let Some(entry) = entries.get(first) else {
            return self.lineages.take_debt(first).map(Debt::parts);
        };
        if entry.share().is_some() {
            return None;
        }
        let state = entry.rate().close()?;
        Some((entry.limit().cloned(), state))
    }

    /// The locks of a key and of the first of its lineage, always taken in one order.
    fn locks_of(&self, id: &KeyId, first: &KeyId) -> (Held<'_>, Held<'_>) {
        let slot = |id| slot_of(self.locks.len(), self.hasher.hash_one(id));
        let (own, first) = (slot(id), slot(first));
        let hold = |slot| self.locks.get(slot).map(lock);
        if planted(Fault::LockNotTaken) {
            return (None, None);
        }
        let low = own.min(first).and_then(hold);
        let high = own.max(first).filter(|_| own != first).and_then(hold);
        (low, high)
    }
}

impl From<NegativeCause> for Cause {
    fn from(refusal: NegativeCause) -> Self {
        match refusal {
            NegativeCause::Unknown => Self::UnknownKey,
            NegativeCause::WrongSecret => Self::WrongSecret,
            NegativeCause::PepperUnavailable => Self::PepperUnavailable,
        }
    }
}
