//! The hot path: records in memory, decisions never.
//!
//! A [`Keyring`] is shared by many threads, in front of a store. It keeps the records of
//! keys that were proved, judges each request by them, and asks for a record when it has
//! none: it performs no I/O itself.
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
//!             Check::Decided(decision, _) => return decision,
//!             // The caller fetches. If an invalidation overtook the fetch, `admit` returns
//!             // another ticket.
//!             Check::NeedsRecord(ticket) => {
//!                 let record = store(ticket.lookup());
//!                 check = keyring.admit(ticket, record.as_ref(), now);
//!             }
//!             Check::NeedsTokens(_) => unreachable!("its limits are its own"),
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

mod admission;
mod builder;
mod check;
mod clock;
mod count;
mod entry;
mod evaluate;
mod evicted_uses;
mod eviction;
mod fault;
mod found;
mod grant;
mod invalidation;
mod lease;
mod leases;
mod limits;
mod lineages;
mod map;
mod meter;
mod monotonic;
mod negative_cache;
mod second_chance;
mod shared_meter;
mod sizes;
mod spent;
mod stats;
mod sync;
mod tag;
mod ticket;
mod token_ticket;
mod unadmitted;
mod unused_tokens;
mod uses;
mod uses_left;
mod versions;

use core::fmt;
use core::hash::BuildHasher;
use std::boxed::Box;

use crate::decision::denial::Denial;
use crate::decision::response::{Response, respond};
use crate::decision::response_policy::ResponsePolicy;
use crate::decision::verifier::Verifier;
use crate::key::id::KeyId;
use crate::policy::requirement::Requirement;
use crate::time::{Millis, UnixMillis};

use count::StripePool;
use entry::Entry;
use evicted_uses::EvictedUses;
#[cfg(not(keystile_loom))]
use fault::Fault;
use fault::planted;
use invalidation::Invalidations;
use limits::Limits;
use lineages::Lineages;
use map::Map;
use monotonic::Monotonic;
use negative_cache::NegativeCache;
use second_chance::SecondChance;
use sizes::by_hash;
use stats::Counters;
use sync::atomic::AtomicU64;
use sync::{Hashing, Mutex, MutexGuard, lock};
use tag::Tagger;
use unused_tokens::Held;
use versions::Versions;

pub use builder::KeyringBuilder;
pub use check::Check;
#[cfg(keystile_loom)]
pub use fault::{Fault, plant};
pub use found::Found;
pub use grant::Grant;
pub use leases::Leases;
pub use stats::Stats;
pub use ticket::Ticket;
pub use token_ticket::TokenTicket;
pub use unused_tokens::UnusedTokens;
pub use uses::Use;

/// An in-process verifier for many threads.
///
/// It is `Send` and `Sync`; share it by reference or [`Arc`](std::sync::Arc). A decision on a cached key
/// takes no lock, makes no allocation and computes no SHA-256: the key is proved by a
/// keyed 128-bit tag of its text. Status, expiry, endpoint, permission and limits are
/// judged on every call.
///
/// - After [`invalidate`](Self::invalidate) has returned, no call that begins later gets a
///   decision from an older record, or its value, even if a fetch of it was under way. Call
///   it after each change of a key that was written to the store, and after issuing one.
///   If a fetch may be answered by a replica that lags, call
///   [`invalidate_at`](Self::invalidate_at) with the version that was written.
/// - Records are used for at most the TTL, and never past their expiry.
/// - Rate limits and counts of uses are kept here, per lineage, and survive a refresh of
///   the record. Several processes each keep their own; what a store knows to be spent can be
///   given with the record, see [`Found`]. If the clock is set back, what was free at the
///   latest reading passes, and what becomes free after a step of up to a minute or the skew
///   waits until the clock has caught up. If a key gets another limit, what was spent counts as
///   one burst of it at most.
/// - A count of uses follows the store down, and up when the version of the record rose, less
///   the uses that the store does not know yet: those that were not drained, and those of the
///   last drain. Write the uses of a drain before the next one.
/// - Memory is limited by the capacity. Only keys that were proved take up room; a flood
///   of invented ones evicts nothing.
///
/// # Values
///
/// An entry can carry one value of the caller's beside the record, such as an `Arc` of the
/// record or of a customer. [`admit_with`](Self::admit_with) stores it, and each allow
/// returns a clone of the value that came with the very record that was judged: no second
/// cache is needed, and none can disagree. [`value`](Self::value) returns it without a
/// decision. Cloning a value should be cheap. Cloning or dropping one must not call the
/// keyring. Values are dropped some time after their entry was replaced or evicted, on any
/// thread, and at the latest with the keyring.
///
/// ```
/// # use keystile::*;
/// # use std::sync::Arc;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = issue(&format, &PepperRing::none(), &IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let keyring = Keyring::builder(Verifier::new(format)).build_with_values::<Arc<str>>()?;
/// let key = issued.key.expose().as_bytes();
/// let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else {
///     panic!("nothing is cached yet");
/// };
/// let found = Some(Found::new(&issued.record).with_value(Arc::from("tenant 7")));
/// let Check::Decided(decision, tenant) = keyring.admit_with(ticket, found, now) else {
///     panic!("nothing was invalidated");
/// };
/// assert!(decision.is_allow());
/// assert_eq!(tenant.as_deref(), Some("tenant 7"));
///
/// let write = Requirement::parse("write")?;
/// let Check::Decided(decision, tenant) = keyring.check(key, &Request::new().requires(&write), now) else {
///     panic!("the record is cached");
/// };
/// assert!(!decision.is_allow() && tenant.is_none());
/// # Ok::<(), Error>(())
/// ```
pub struct Keyring<T = ()> {
    verifier: Verifier,
    responses: ResponsePolicy,
    ttl: Millis,
    absent_ttl: Millis,
    clock_skew: Millis,
    monotonic: Option<Monotonic>,
    tagger: Tagger,
    hasher: Hashing,
    entries: Map<KeyId, Entry<T>>,
    /// From an opaque key's tag to its id, since its text carries none.
    aliases: Map<u128, KeyId>,
    invalidations: Invalidations,
    versions: Versions,
    locks: Box<[Mutex<()>]>,
    negative: NegativeCache<Hashing>,
    slots: SecondChance,
    stripes: StripePool,
    limits: Limits,
    lineages: Lineages,
    evicted_uses: EvictedUses,
    /// How tokens of shared limits are taken, if limits are shared, and what is to be given back.
    leases: Option<Leases>,
    held: Held,
    /// The latest time of the limits, and by how much that is ahead of the caller's clock.
    latest: AtomicU64,
    set_back: AtomicU64,
    /// How many times the uses were drained.
    drains: AtomicU64,
    counters: Counters,
}

impl Keyring {
    /// A keyring for the keys that `verifier` accepts. To carry values of another type than
    /// `()`, end with [`KeyringBuilder::build_with_values`].
    #[must_use]
    pub const fn builder(verifier: Verifier) -> KeyringBuilder {
        KeyringBuilder::new(verifier)
    }
}

impl<T> Keyring<T> {
    /// Invalidates the cached record of a key, and any fetch of it that is under way.
    pub fn invalidate(&self, id: &KeyId) {
        let hash = self.hasher.hash_one(id);
        // Before the lock, and so released after it: its release may drop old values.
        let entries = self.entries.pin();
        let _lock = self.lock_of(hash);
        if !planted(Fault::MarkedOnly) {
            self.invalidations.id(hash);
        }
        if let Some(entry) = entries.get(id) {
            entry.mark_stale();
        }
        self.negative.forget(id);
    }

    /// As [`invalidate`](Self::invalidate), and no version before this one is admitted from
    /// now on: also if the key was not cached, and the next fetch is answered by a replica
    /// that lags. Call it with the version that was written to the store.
    ///
    /// 65,536 versions are remembered, the latest ones. [`Stats::versions_lost`] counts those
    /// that had to be forgotten before the TTL was over.
    pub fn invalidate_at(&self, id: &KeyId, version: u64) {
        let hash = self.hasher.hash_one(id);
        let lock = self.lock_of(hash);
        let now = self.latest.load(sync::atomic::Ordering::Relaxed);
        let now = UnixMillis::new(now).unwrap_or(UnixMillis::MIN);
        let lost = self.versions.remember(
            *id,
            version,
            self.invalidations.now(),
            |as_of| self.invalidations.binds_version(as_of),
            now,
            self.ttl,
        );
        drop(lock);
        if lost {
            let lost = &self.counters.versions_lost;
            lost.fetch_add(1, sync::atomic::Ordering::Relaxed);
        }
        self.invalidate(id);
    }

    /// Invalidates the cached records of all keys of an owner, at once.
    pub fn invalidate_owner(&self, owner: &str) {
        self.invalidations.owner(self.hasher.hash_one(owner));
    }

    /// Invalidates everything that is cached, at once.
    pub fn invalidate_all(&self) {
        self.invalidations.everything();
    }

    /// Invalidates everything that is cached, and forgets which versions were seen: for a
    /// store that was restored from a backup. Its records are older than the cached ones,
    /// and would otherwise be taken for those of a replica that lags, for which no decision
    /// is given.
    ///
    /// A revocation that the backup does not have is forgotten with the rest.
    pub fn reset(&self) {
        self.invalidations.versions();
    }

    /// The response to a denial, by the keyring's status policy.
    #[must_use]
    pub fn respond(&self, denial: &Denial, requirement: Option<&Requirement>) -> Response {
        respond(denial, self.responses, requirement)
    }

    /// Holds the lock that admissions and invalidations of a key meet in.
    fn lock_of(&self, hash: u64) -> Option<MutexGuard<'_, ()>> {
        by_hash(&self.locks, hash).map(lock)
    }
}

impl<T> fmt::Debug for Keyring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
