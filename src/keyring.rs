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
//!     for _ in 0..8 {
//!         match check {
//!             Check::Decided(decision) => return decision,
//!             // The caller fetches; a fetch that an invalidation overtook is asked for anew.
//!             Check::NeedsRecord(ticket) => {
//!                 let record = store(ticket.lookup());
//!                 check = keyring.admit(ticket, record.as_ref(), now);
//!             }
//!         }
//!     }
//!     Decision::Deny(Denial::new(Cause::StoreUnavailable))
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
mod admission;
mod builder;
mod clock;
mod entry;
mod eviction;
mod fault;
mod invalidation;
mod judging;
mod left_over;
mod limits;
mod lineages;
mod map;
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
use std::vec::Vec;

use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::decision::response::{Response, respond};
use crate::decision::status_policy::StatusPolicy;
use crate::decision::verifier::Verifier;
use crate::key::format::KEY_TEXT_BYTES_MAX;
use crate::key::id::KeyId;
use crate::key::parts::Parts;
use crate::key::presented::{Lookup, PresentedKey};
use crate::policy::requirement::Requirement;
use crate::record::key_record::KeyRecord;
use crate::time::{Millis, UnixMillis};

use absent::Absents;
use entry::Entry;
#[cfg(not(keystile_loom))]
use fault::Fault;
use fault::planted;
use invalidation::Invalidations;
use left_over::LeftOver;
use limits::Limits;
use lineages::Lineages;
use map::Map;
use places::by_hash;
use ring::Ring;
use sync::atomic::{AtomicU64, Ordering};
use sync::{Hashing, Mutex, MutexGuard, lock};
use tag::Tagger;
use uses::StripePool;

pub use builder::KeyringBuilder;
#[cfg(keystile_loom)]
pub use fault::{Fault, plant};

/// An in-process verifier for many threads.
///
/// It is `Send` and `Sync`; share it by reference or [`Arc`](std::sync::Arc). A decision on a cached key
/// takes no lock, makes no allocation and computes no SHA-256: the key is proved by a
/// keyed 128-bit tag of its text. Status, expiry, endpoint, permission and limits are
/// judged on every call.
///
/// - After [`invalidate`](Self::invalidate) has returned, no call that begins later gets a
///   decision from an older record, also where a fetch of it was under way. Call it after
///   each change of a key that was written to the store, and after issuing one.
/// - Records are used for at most the TTL, and never past their expiry.
/// - Rate limits and counts of uses are kept here, per lineage, and survive a refresh of
///   the record. Several processes each keep their own. Where the clock is set back by more
///   than a minute and the skew, what was spent counts as a whole burst at most; and where a
///   key gets another limit, unless it spends together with others or has its uses counted.
/// - Memory is bounded by the capacity. Only keys that were proved take up room; a flood
///   of invented ones evicts nothing.
pub struct Keyring {
    verifier: Verifier,
    status_policy: StatusPolicy,
    ttl: Millis,
    absent_ttl: Millis,
    clock_skew: Millis,
    tagger: Tagger,
    hasher: Hashing,
    entries: Map<KeyId, Entry>,
    /// From an opaque key's tag to its id, since its text carries none.
    aliases: Map<u128, KeyId>,
    invalidations: Invalidations,
    gates: Box<[Mutex<()>]>,
    absents: Absents<Hashing>,
    ring: Ring,
    stripes: StripePool,
    limits: Limits,
    lineages: Lineages,
    left_over: LeftOver,
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
    reason = "a decision makes no heap allocation"
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
        if credential.len() > KEY_TEXT_BYTES_MAX {
            return Check::Decided(Decision::Deny(Denial::new(Cause::Malformed)));
        }
        let Some(parts) = Parts::of(credential) else {
            return self.check_opaque(credential, request, now);
        };
        let entries = self.entries.pin();
        // Nobody is found under what is no id.
        let id = KeyId::to_look_for(*parts.id);
        let clock = self.clock(now);
        // The id as it lies in the map: the presented one is in registers, and to write it from
        // there in halves would keep whoever copies it as a whole waiting.
        if let Some((&id, entry)) = entries.get_key_value(&id)
            && self.holds(entry, clock)
        {
            if !entry.is_key(&self.tagger, credential, &parts) {
                return self.unproved(credential, true, request, now);
            }
            if entry.rare().is_some() {
                if let Some(decision) = self.decide(id, entry, request, clock) {
                    return Check::Decided(decision);
                }
            } else {
                // The same for what most records are, without a look at what they have not.
                // The answer is made in its place: to move it would be to read what was
                // written a moment ago, in other pieces, which the processor waits for.
                match self.judge(id, entry, None, request, clock) {
                    Ok(spent) => {
                        let allowed = entry.allowed(id, None, spent, now);
                        return Check::Decided(Decision::Allow(allowed));
                    }
                    Err(refused) => {
                        if let Some(denial) = refused.denial(id, entry, now) {
                            return Check::Decided(Decision::Deny(denial));
                        }
                    }
                }
            }
        }
        self.unproved(credential, false, request, now)
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
        let _gate = self.gate(hash);
        if !planted(Fault::StruckOnly) {
            self.invalidations.id(hash);
        }
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

    /// Voids all that is cached, and forgets which versions were seen: for a store that was
    /// put back from a backup. Its records are older than those that were cached, and would
    /// else be taken for those of a replica that lags, for which no decision is given.
    ///
    /// A revocation that the backup does not have is forgotten with the rest.
    pub fn reset(&self) {
        self.invalidations.versions();
    }

    /// The uses since the last call, for a store to note in bulk.
    ///
    /// Each use is told once, and a key that was evicted meanwhile may be named twice. Call it
    /// every few seconds, and once before stopping.
    #[must_use = "the uses are told once"]
    pub fn drain_uses(&self) -> Vec<Use> {
        let mut uses = self.left_over.drain(&self.stripes);
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

    /// The same for a key that carries no id: the tag of its text leads to the record.
    #[inline(never)]
    fn check_opaque<'a>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a> {
        if self.verifier.parse(credential).is_ok() {
            let tag = self.tagger.tag(credential);
            let clock = self.clock(now);
            let (entries, aliases) = (self.entries.pin(), self.aliases.pin());
            if let Some(id) = aliases.get(&tag.to_bits())
                && let Some(entry) = entries.get(id)
                && entry.tag().is(&tag)
                && self.holds(entry, clock)
                && let Some(decision) = self.decide(*id, entry, request, clock)
            {
                return Check::Decided(decision);
            }
        }
        self.unproved(credential, false, request, now)
    }

    /// The answer where no cached record proves the key: malformed, known to be wrong, or
    /// a ticket. `is_other` says that the record of its id is cached, and another key's.
    #[inline(never)]
    fn unproved<'a>(
        &self,
        credential: &'a [u8],
        is_other: bool,
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a> {
        let deny = |cause| Check::Decided(Decision::Deny(Denial::new(cause)));
        let Ok(key) = self.verifier.parse(credential) else {
            return deny(Cause::Malformed);
        };
        if is_other {
            return deny(Cause::WrongSecret);
        }
        let id = key.claimed_id().copied();
        let at = self.not_before(now);
        // Of the whole text: no other one is refused in its place.
        let tag = self.tagger.tag(key.text());
        if let Some(refusal) = self.absents.find(id, &tag, &self.invalidations, at) {
            self.counters.absent_hits.fetch_add(1, Ordering::Relaxed);
            return deny(refusal.into());
        }
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
        Check::NeedsRecord(Ticket {
            as_of: self.invalidations.now(),
            lookup: self.verifier.lookup(&key),
            key,
            request: *request,
        })
    }

    /// Holds the gate that fetches and invalidations of a key meet in.
    fn gate(&self, hash: u64) -> Option<MutexGuard<'_, ()>> {
        by_hash(&self.gates, hash).map(lock)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
