//! The hot path: records in memory, decisions never.
//!
//! A [`Keyring`] stands between many threads and a store. It keeps the records of keys
//! that were proved, judges each request anew by them, and asks for a record when it has
//! none: it does no I/O itself.
//!
//! ```
//! # use keystile::*;
//! # let now = UnixMillis::new(1_790_000_000_000)?;
//! # let format = KeyFormat::structured("acme")?;
//! # let issued = issue(&format, &PepperRing::none(), &IssueRequest::new("Acme")?, &mut SysRng, now)?;
//! # let store = |_: &Lookup| Some(issued.record.clone());
//! let keyring = Keyring::builder(Verifier::new(format)).build()?;
//! let ask = |text: &str| {
//!     let mut check = keyring.check(text.as_bytes(), &Request::new(), now);
//!     loop {
//!         match check {
//!             Check::Decided(decision) => break decision,
//!             // The caller fetches; a fetch that an invalidation overtook is asked for anew.
//!             Check::NeedsRecord(ticket) => {
//!                 let record = store(ticket.lookup());
//!                 check = keyring.admit(ticket, record.as_ref(), now);
//!             }
//!         }
//!     }
//! };
//! assert!(ask(issued.key.expose()).is_allow());
//! assert!(!ask("acme_live_1AbC").is_allow());
//!
//! // Once a revocation is stored, `invalidate` puts it in force here.
//! let revoked = revoke(&issued.record, "leaked", now)?.record;
//! keyring.invalidate(&revoked.id);
//! # Ok::<(), Error>(())
//! ```

mod absent;
mod builder;
mod entry;
mod invalidation;
mod meter;
mod places;
mod ring;
mod sync;
mod tag;
mod ticket;
mod uses;

use core::fmt;
use core::hash::BuildHasher;
use std::boxed::Box;
use std::collections::HashMap;
use std::sync::Arc;
use std::vec::Vec;

use foldhash::fast::RandomState;

use crate::decision::{Allowed, Cause, Decision, Denial};
use crate::format::{Lookup, PresentedKey};
use crate::key_id::KeyId;
use crate::limit::RateState;
use crate::record::KeyRecord;
use crate::requirement::Requirement;
use crate::response::{Response, StatusPolicy, respond};
use crate::time::{Millis, UnixMillis};
use crate::verify::{Request, Verifier};

use absent::{Absents, Refusal};
use entry::{Admission, Entry};
use invalidation::Invalidations;
use meter::{Failed, RateMeter, SharedMeter};
use places::by_hash;
use ring::Ring;
use sync::atomic::{AtomicU64, Ordering};
use sync::{Mutex, lock};
use tag::{Proof, Tagger};
use uses::{Count, Raised, StripePool};

pub use builder::KeyringBuilder;

/// Locks that fetches and invalidations of one id meet in.
const GATES: usize = 64;
/// Keys that the hand looks at for one to evict.
const LOOKS: usize = 64;

/// An in-process verifier for many threads.
///
/// It is `Send` and `Sync`; share it by reference or [`Arc`]. A verdict on a cached key
/// takes no lock, makes no allocation and computes no SHA-256: the key is proved by a
/// keyed 128-bit tag of its text. Status, expiry, endpoint, permission and limits are
/// judged on every call.
///
/// - After [`invalidate`](Self::invalidate) has returned, no call that begins later gets a
///   verdict from an older record, also where a fetch of it was under way. Call it after
///   each change of a key that was written to the store, and after issuing one.
/// - Records are used for at most the TTL, and never past their expiry.
/// - Rate limits and counts of uses are kept here, per lineage, and survive a refresh of
///   the record. Several processes each keep their own.
/// - Memory is bounded by the capacity. Only keys that were proved take up room; a flood
///   of invented ones evicts nothing.
pub struct Keyring {
    verifier: Verifier,
    status_policy: StatusPolicy,
    ttl: Millis,
    absent_ttl: Millis,
    clock_skew: Millis,
    capacity: usize,
    tagger: Tagger,
    hasher: RandomState,
    entries: papaya::HashMap<KeyId, Entry, RandomState>,
    /// From an opaque key's tag to its id, since its text carries none.
    aliases: papaya::HashMap<u128, KeyId, RandomState>,
    invalidations: Invalidations,
    gates: Box<[Mutex<()>]>,
    absents: Absents<RandomState>,
    ring: Ring,
    stripes: StripePool,
    meters: Mutex<HashMap<KeyId, Arc<SharedMeter>, RandomState>>,
    /// What evicted keys still owe their rate limit, and until when.
    debts: Mutex<HashMap<KeyId, (RateState, UnixMillis), RandomState>>,
    /// Uses of evicted keys that were not drained yet.
    left_over: Mutex<Vec<Use>>,
    latest: AtomicU64,
    counters: Counters,
}

/// What a check came to.
#[derive(Debug)]
#[must_use = "a decision that nobody looks at guards nothing"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller has to handle both, and there is no third"
)]
#[expect(
    clippy::large_enum_variant,
    reason = "a verdict makes no heap allocation"
)]
pub enum Check<'a> {
    /// The answer.
    Decided(Decision),
    /// The record is not cached: fetch it by [`Ticket::lookup`] and call
    /// [`Keyring::admit`].
    NeedsRecord(Ticket<'a>),
}

/// A check that waits for its record. It remembers the request, and what was invalidated
/// before the fetch began.
#[derive(Debug)]
pub struct Ticket<'a> {
    key: PresentedKey<'a>,
    request: Request<'a>,
    lookup: Lookup,
    proof: Proof<'a>,
    as_of: u64,
}

impl Ticket<'_> {
    /// What to ask the store for.
    #[must_use]
    pub const fn lookup(&self) -> &Lookup {
        &self.lookup
    }
}

/// How often a key was used since the last drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// The key.
    pub key_id: KeyId,
    /// Its lineage, under which uses are counted down.
    pub lineage: KeyId,
    /// When it was last used, to the second.
    pub last_used_at: Option<UnixMillis>,
    /// How often.
    pub count: u64,
}

/// What the keyring has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that are cached.
    pub entries: usize,
    /// Checks that asked for a record.
    pub fetches: u64,
    /// Fetches that an invalidation overtook, and that were asked for again.
    pub overtaken: u64,
    /// Records that were evicted for want of room.
    pub evictions: u64,
    /// Invalidations of ids, owners and everything.
    pub invalidations: u64,
    /// Checks that were refused by what a store said shortly before.
    pub absent_hits: u64,
    /// Uses that were lost because nobody drained them.
    pub uses_lost: u64,
}

#[derive(Default)]
struct Counters {
    fetches: AtomicU64,
    overtaken: AtomicU64,
    evictions: AtomicU64,
    absent_hits: AtomicU64,
    uses_lost: AtomicU64,
}

impl Keyring {
    /// A keyring for the keys that `verifier` accepts.
    #[must_use]
    pub const fn builder(verifier: Verifier) -> KeyringBuilder {
        KeyringBuilder::new(verifier)
    }

    /// Decides by a cached record, or says which one to fetch.
    ///
    /// `now` is one reading of the clock for the whole check.
    pub fn check<'a>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a> {
        let Some((number, shape)) = self.verifier.shape(credential) else {
            return Check::Decided(Decision::Deny(Denial::new(Cause::Malformed)));
        };
        let proof = self.tagger.proof(number, &shape);
        let claimed_id = shape.named.map(|named| named.id);
        match self.judge_cached(claimed_id, &proof, request, now) {
            Some(decision) => Check::Decided(decision),
            None => self.unproved(credential, proof, request, now),
        }
    }

    /// Decides by the record that was fetched for a ticket, and caches it.
    ///
    /// `record` is what the store has now, or nothing. Where the fetch was overtaken by an
    /// invalidation, or brought an older version than was cached, the answer is another
    /// ticket: fetch again. Give up after some rounds and answer
    /// [`Cause::StoreUnavailable`]; never allow.
    pub fn admit<'a>(
        &self,
        ticket: Ticket<'a>,
        record: Option<&KeyRecord>,
        now: UnixMillis,
    ) -> Check<'a> {
        // The digest first, outside of any lock: it is what costs.
        match self.verifier.prove(&ticket.key, record) {
            Ok(record) => self.admit_proved(ticket, record, now),
            Err(cause) => self.admit_refused(ticket, cause, now),
        }
    }

    /// Voids what is cached of a key, and fetches of it that are under way.
    pub fn invalidate(&self, id: &KeyId) {
        let hash = self.hasher.hash_one(id);
        let _gate = self.gate(hash).map(lock);
        self.invalidations.id(hash);
        if let Some(entry) = self.entries.pin().get(id) {
            entry.strike();
        }
        self.absents.forget(id);
    }

    /// Voids what is cached of all keys of an owner, at once.
    pub fn invalidate_owner(&self, owner: &str) {
        self.invalidations.owner(self.hasher.hash_one(owner));
    }

    /// Voids all that is cached, at once.
    pub fn invalidate_all(&self) {
        self.invalidations.everything();
    }

    /// The uses since the last call, for a store to note in bulk.
    ///
    /// Each use is told once. Call it every few seconds, and once before stopping.
    #[must_use = "the uses are told once"]
    pub fn drain_uses(&self) -> Vec<Use> {
        let mut uses = core::mem::take(&mut *lock(&self.left_over));
        let entries = self.entries.pin();
        for id in self.ring.marked() {
            uses.extend(entries.get(&id).and_then(|entry| self.use_of(id, entry)));
        }
        uses
    }

    /// What was done so far, and what is held.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            entries: self.ring.len(),
            fetches: count(&self.counters.fetches),
            overtaken: count(&self.counters.overtaken),
            evictions: count(&self.counters.evictions),
            invalidations: self.invalidations.now(),
            absent_hits: count(&self.counters.absent_hits),
            uses_lost: count(&self.counters.uses_lost),
        }
    }

    /// The response to a denial, by the keyring's status policy.
    #[must_use]
    pub fn respond(&self, denial: &Denial, requirement: Option<&Requirement>) -> Response {
        respond(denial, self.status_policy, requirement)
    }

    /// The verdict of a cached record, where there is one that the tag is proof for.
    ///
    /// The key's check is not looked at: a text with the tag of a key that was proved is
    /// that key.
    #[inline]
    fn judge_cached(
        &self,
        claimed_id: Option<KeyId>,
        proof: &Proof<'_>,
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Option<Decision> {
        let entries = self.entries.pin();
        let id = match claimed_id {
            Some(id) => id,
            None => *self.aliases.pin().get(&proof.tag.to_bits())?,
        };
        let entry = entries.get(&id)?;
        if !entry.is_proved_by(proof) || !self.holds(entry, now) {
            return None;
        }
        self.judge_and_count(id, entry, request, now)
    }

    /// Judges a request by an entry, and notes the use that it makes of the key.
    #[inline]
    fn judge_and_count(
        &self,
        id: KeyId,
        entry: &Entry,
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Option<Decision> {
        let verdict = self.judge(id, entry, request, now);
        if let Some(Decision::Allow(_)) = verdict {
            entry.note_use(now);
            match entry.count.raise(&self.stripes) {
                Raised::Further => {}
                Raised::FromZero => self.ring.mark(entry.place),
                Raised::Closed => self.count_in_next_entry(id),
            }
        }
        verdict
    }

    /// Judges a request by an entry; nothing where another entry has taken its meter over.
    #[inline]
    fn judge(
        &self,
        id: KeyId,
        entry: &Entry,
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Option<Decision> {
        let terms = entry.terms(id);
        if let Err(denial) = terms.permit(request, self.not_before(now)) {
            return Some(Decision::Deny(denial));
        }
        let (quota, remaining_uses) = match entry.spend(now) {
            Ok(spent) => spent,
            Err(Failed::NotSpent(refused)) => return Some(Decision::Deny(refused.of(id))),
            Err(Failed::Closed) => return None,
        };
        Some(Decision::Allow(Allowed {
            key_id: id,
            lineage: entry.lineage(id),
            quota,
            remaining_uses,
            notice: terms.notice(),
            ends_overlap_of: entry.ends_overlap_of(),
            needs_rehash: entry.needs_rehash,
        }))
    }

    /// Whether an entry may still be judged by.
    #[inline]
    fn holds(&self, entry: &Entry, now: UnixMillis) -> bool {
        let left = entry.fresh_until.since(self.not_before(now));
        // More is left than ever was where the clock stepped back since the fetch.
        entry.is_live()
            && left > Millis::ZERO
            && left <= self.ttl
            && self.invalidations.is_current(entry.owner, entry.as_of)
    }

    /// The time by which expiry is judged: what was seen expired stays so, also when the
    /// clock steps back by no more than the skew.
    #[inline]
    fn not_before(&self, now: UnixMillis) -> UnixMillis {
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
        // Another thread's later reading stands.
        let order = Ordering::Relaxed;
        let _ = self
            .latest
            .compare_exchange(latest, now.get(), order, order);
    }

    /// The answer where no cached record proves the key: malformed, known to be wrong, or
    /// a ticket.
    #[inline(never)]
    fn unproved<'a>(
        &self,
        credential: &'a [u8],
        proof: Proof<'a>,
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a> {
        let deny = |cause| Check::Decided(Decision::Deny(Denial::new(cause)));
        let key = match self.verifier.parse(credential) {
            Ok(key) => key,
            Err(denial) => return Check::Decided(Decision::Deny(denial)),
        };
        let id = key.claimed_id().copied();
        let entries = self.entries.pin();
        let known = id.and_then(|id| entries.get(&id));
        if known.is_some_and(|known| !known.tag().is(&proof.tag) && self.holds(known, now)) {
            return deny(Cause::WrongSecret);
        }
        if let Some(refusal) = self.absents.find(id, &proof.tag, &self.invalidations, now) {
            self.counters.absent_hits.fetch_add(1, Ordering::Relaxed);
            return deny(refusal.into());
        }
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
        Check::NeedsRecord(Ticket {
            as_of: self.invalidations.now(),
            lookup: self.verifier.lookup(&key),
            key,
            request: *request,
            proof,
        })
    }

    fn admit_refused<'a>(&self, ticket: Ticket<'a>, cause: Cause, now: UnixMillis) -> Check<'a> {
        let refusal = match cause {
            Cause::WrongSecret => Refusal::WrongSecret,
            Cause::PepperUnavailable => Refusal::PepperUnavailable,
            _ => Refusal::Unknown,
        };
        let id = ticket.key.claimed_id().copied();
        let hash = id.map(|id| self.hasher.hash_one(id));
        let _gate = hash.and_then(|hash| self.gate(hash)).map(lock);
        let undisturbed = match hash {
            Some(hash) => self.invalidations.is_undisturbed(hash, None, ticket.as_of),
            None => self.invalidations.now() == ticket.as_of,
        };
        if !undisturbed {
            return self.overtaken(ticket);
        }
        if let Ok(until) = now.plus(self.absent_ttl) {
            self.absents
                .remember(id, ticket.proof.tag, refusal, ticket.as_of, until);
        }
        Check::Decided(Decision::Deny(Denial::new(refusal.into())))
    }

    fn admit_proved<'a>(
        &self,
        ticket: Ticket<'a>,
        record: &KeyRecord,
        now: UnixMillis,
    ) -> Check<'a> {
        let id = record.id;
        let hash = self.hasher.hash_one(id);
        let owner = record.owner.as_deref();
        let owner = owner.map(|owner| invalidation::owner_place(self.hasher.hash_one(owner)));
        let entries = self.entries.pin();
        let gate = self.gate(hash).map(lock);
        let known = entries.get(&id);
        // A replica that lags behind what was cached is no better than an old fetch.
        let is_older = known.is_some_and(|known| record.version < known.version);
        if is_older || !self.invalidations.is_undisturbed(hash, owner, ticket.as_of) {
            return self.overtaken(ticket);
        }
        let place = match known {
            Some(known) => Some(known.place),
            None => self.ring.enter(id),
        };
        let Some(place) = place else {
            // Every place is taken by threads that are about to evict: another round.
            drop(gate);
            self.evict(now);
            return self.overtaken(ticket);
        };
        let is_new = known.is_none();
        // From here on whoever holds the old entry comes to know that it is one.
        if let Some(known) = known {
            known.strike();
        }
        let (rate, meter) = self.meter(record, known, now);
        let admission = Admission {
            tag: ticket.proof.tag,
            format: ticket
                .proof
                .head
                .and_then(|head| u8::try_from(head.format).ok())
                .unwrap_or(0),
            as_of: ticket.as_of,
            fresh_until: self.fresh_until(record, now),
            place,
            owner,
            needs_rehash: self.verifier.peppers().is_outdated(&record.digest),
            rate: RateMeter::new(rate),
            count: known.map_or_else(Count::new, |known| known.count.hand_over()),
            meter,
        };
        if ticket.key.claimed_id().is_none() {
            self.aliases.pin().insert(ticket.proof.tag.to_bits(), id);
        }
        entries.insert(id, Entry::new(record, admission));
        let entry = entries.get(&id);
        drop(gate);
        if is_new {
            self.evict(now);
        }
        match entry.and_then(|entry| self.judge_and_count(id, entry, &ticket.request, now)) {
            Some(decision) => Check::Decided(decision),
            None => self.overtaken(ticket),
        }
    }

    /// The same ticket for another fetch, which begins now.
    #[cold]
    fn overtaken<'a>(&self, ticket: Ticket<'a>) -> Check<'a> {
        self.counters.overtaken.fetch_add(1, Ordering::Relaxed);
        Check::NeedsRecord(Ticket {
            as_of: self.invalidations.now(),
            ..ticket
        })
    }

    fn fresh_until(&self, record: &KeyRecord, now: UnixMillis) -> UnixMillis {
        let after = |span| now.plus(span).unwrap_or(UnixMillis::MAX);
        match record.ends_at() {
            // It has ended: say so for a while without asking again.
            Some(end) if end <= now => after(self.absent_ttl),
            Some(end) => end.min(after(self.ttl)),
            None => after(self.ttl),
        }
    }

    /// What was spent so far, for a new entry: a state of its own, or its lineage's meter.
    fn meter(
        &self,
        record: &KeyRecord,
        known: Option<&Entry>,
        now: UnixMillis,
    ) -> (RateState, Option<Arc<SharedMeter>>) {
        let debt = |id: &KeyId| lock(&self.debts).remove(id).map(|(state, _)| state);
        let own = match known {
            Some(known) => known.rate().close(),
            None => debt(&record.id),
        }
        .unwrap_or_default();
        let shared = record.remaining_uses.is_some()
            || record.lineage != record.id
            || record.replaced_by.is_some();
        if !shared || (record.rate_limit.is_none() && record.remaining_uses.is_none()) {
            return (own, None);
        }
        let combine = |a, b| match &record.rate_limit {
            Some(limit) => limit.combine(a, b, now),
            None => a,
        };
        // The first key of the lineage may have an entry from before it was rotated, with
        // a meter of its own.
        let first = (record.lineage != record.id).then(|| {
            let entries = self.entries.pin();
            let first = entries.get(&record.lineage);
            first.inspect(|first| first.strike());
            first
                .and_then(|first| first.rate().close())
                .or_else(|| debt(&record.lineage))
        });
        let spent = combine(own, first.flatten().unwrap_or_default());
        let mut meters = lock(&self.meters);
        if meters.len() >= self.capacity {
            // Only the map holds on to it: no cached key spends from it any more.
            meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        }
        let meter = meters
            .entry(record.lineage)
            .and_modify(|meter| {
                meter.lower_to(record.remaining_uses);
                meter.rate().add(spent, combine);
            })
            .or_insert_with(|| Arc::new(SharedMeter::new(spent, record.remaining_uses)));
        (RateState::default(), Some(Arc::clone(meter)))
    }

    /// Evicts until the keys fit again.
    fn evict(&self, now: UnixMillis) {
        loop {
            let entries = self.entries.pin();
            // Used since the hand passed last, or still owing: not now.
            let spare = |id: &KeyId| {
                entries.get(id).is_some_and(|entry| {
                    (entry.is_live() && entry.take_used()) || entry.owes_until(now).is_some()
                })
            };
            let Some(id) = self.ring.victim(LOOKS, spare) else {
                return;
            };
            let _gate = self.gate(self.hasher.hash_one(id)).map(lock);
            let Some(entry) = entries.remove(&id) else {
                return;
            };
            entry.strike();
            self.aliases.pin().remove(&entry.tag().to_bits());
            self.ring.leave(entry.place, &id);
            self.keep_debt(id, entry, now);
            self.keep_uses(id, entry);
            self.counters.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn keep_debt(&self, id: KeyId, entry: &Entry, now: UnixMillis) {
        let until = entry.owes_until(now);
        let (Some(until), Some(state)) = (until, entry.rate().close()) else {
            return;
        };
        let mut debts = lock(&self.debts);
        if debts.len() >= self.capacity {
            debts.retain(|_, (_, until)| *until > now);
        }
        if debts.len() < self.capacity {
            debts.insert(id, (state, until));
        }
    }

    fn keep_uses(&self, id: KeyId, entry: &Entry) {
        let Some(used) = self.use_of(id, entry) else {
            return;
        };
        let mut left_over = lock(&self.left_over);
        if left_over.len() < self.capacity {
            left_over.push(used);
        } else {
            self.counters
                .uses_lost
                .fetch_add(used.count, Ordering::Relaxed);
        }
    }

    fn use_of(&self, id: KeyId, entry: &Entry) -> Option<Use> {
        let count = entry.count.take(&self.stripes);
        (count > 0).then(|| Use {
            key_id: id,
            lineage: entry.lineage(id),
            last_used_at: entry.last_used_at(),
            count,
        })
    }

    #[cold]
    fn count_in_next_entry(&self, id: KeyId) {
        // The entry that took over is in the map by the time the gate opens.
        let _gate = self.gate(self.hasher.hash_one(id)).map(lock);
        let entries = self.entries.pin();
        let counted = entries
            .get(&id)
            .map(|entry| (entry.count.raise(&self.stripes), entry.place));
        match counted {
            Some((Raised::FromZero | Raised::Further, place)) => self.ring.mark(place),
            _ => drop(self.counters.uses_lost.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn gate(&self, hash: u64) -> Option<&Mutex<()>> {
        by_hash(&self.gates, hash)
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::UnknownKey,
            Refusal::WrongSecret => Self::WrongSecret,
            Refusal::PepperUnavailable => Self::PepperUnavailable,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
