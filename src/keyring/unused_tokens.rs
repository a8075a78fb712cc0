//! Tokens that were taken and not used, to be given back.

use core::hash::BuildHasher;
use std::collections::HashSet;
use std::sync::Arc;
use std::vec::Vec;

use super::Keyring;
use super::entry::Entry;
use super::lease::{Lease, Rest};
use super::leases::Leases;
use super::sync::atomic::Ordering;
use super::sync::{Hashing, Mutex, lock};
use crate::key::id::KeyId;
use crate::policy::rate_limit::RateLimit;
use crate::record::key_record::KeyRecord;
use crate::time::{Millis, UnixMillis};

/// The most that one call returns.
const RETURNED_MAX: usize = 1_024;
/// The most rests of leases that are over, with their keys evicted or their limits changed.
const LEFT_MAX: usize = 65_536;

/// Tokens that were taken and not used, to be given back to the limits that they are of.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let ten = RateLimit::new(10, Millis::from_secs(1))?;
/// # let request = IssueRequest::new("Acme")?.rate_limit(ten);
/// # let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).shared_limits(Leases::default()).build()?;
/// # let key = issued.key.expose().as_bytes();
/// # let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
/// let Check::NeedsTokens(ticket) = keyring.admit(ticket, Some(&issued.record), now) else { panic!() };
/// let (tokens, state) = ten.take(RateState::default(), now, 5);
/// let _ = keyring.grant(ticket, Grant::new(tokens, state, now, now), now); // uses one of 5
/// assert!(keyring.unused_tokens(now).is_empty(), "the others may still be used");
/// let later = now.plus(Millis::new(375))?;
/// let unused = keyring.unused_tokens(later);
/// assert_eq!((unused[0].lineage, unused[0].tokens), (issued.record.lineage, 4));
/// assert!(keyring.unused_tokens(later).is_empty(), "each is returned once");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnusedTokens {
    /// The lineage that they were taken for.
    pub lineage: KeyId,
    /// The limit that they were taken of.
    pub limit: RateLimit,
    /// How many.
    pub tokens: u32,
    /// When they were taken, by the clock of the limits, as the [`Grant`](super::Grant) had it.
    pub taken_at: UnixMillis,
    /// Until how long after that the limits take them back: see [`Leases::within`].
    pub within: Millis,
}

/// Which keys have tokens, and what is left of leases that are over.
pub(super) struct Held {
    keys: Mutex<HashSet<KeyId, Hashing>>,
    left: Mutex<Vec<UnusedTokens>>,
}

impl Held {
    pub(super) fn new(hashing: Hashing) -> Self {
        Self {
            keys: Mutex::new(HashSet::with_hasher(hashing)),
            left: Mutex::new(Vec::new()),
        }
    }
}

impl<T> Keyring<T> {
    /// How tokens of shared limits are taken, if this keyring has such.
    #[must_use]
    pub const fn leases(&self) -> Option<&Leases> {
        self.leases.as_ref()
    }

    /// The tokens whose time is over and those of keys that were evicted or have another limit
    /// now, each once, in 1,024 parts at most: call it again if there are as many.
    ///
    /// Give them back to the limits, each at most once: do not repeat a call that failed.
    #[must_use = "the tokens are returned once"]
    pub fn unused_tokens(&self, now: UnixMillis) -> Vec<UnusedTokens> {
        self.take_unused(RETURNED_MAX, |lease| lease.collect(now))
    }

    /// All tokens that are left, usable or not, each once: for a process that stops. Checks that
    /// come later ask for tokens again.
    #[must_use = "the tokens are returned once"]
    pub fn all_unused_tokens(&self) -> Vec<UnusedTokens> {
        self.take_unused(usize::MAX, Lease::take_all)
    }

    fn take_unused(&self, most: usize, take: impl Fn(&Lease) -> Option<Rest>) -> Vec<UnusedTokens> {
        let mut unused = {
            let mut left = lock(&self.held.left);
            // The oldest first: their time is over first.
            let until = left.len().min(most);
            left.drain(..until).collect::<Vec<_>>()
        };
        // A key's lock is never waited for with the lock of the set held.
        let keys: Vec<KeyId> = lock(&self.held.keys).iter().copied().collect();
        let entries = self.entries.pin();
        for id in keys {
            if unused.len() >= most {
                break;
            }
            let _lock = self.lock_of(self.hasher.hash_one(id));
            let entry = entries.get(&id);
            let held = entry.and_then(|entry| Some((entry, entry.lease()?, entry.rate_limit()?)));
            if let Some((entry, lease, limit)) = held {
                let rest = take(lease);
                unused.extend(rest.map(|rest| self.unused(rest, entry.lineage(id), *limit)));
                if lease.left() > 0 {
                    continue;
                }
            }
            lock(&self.held.keys).remove(&id);
        }
        let returned = unused.iter().map(|unused| u64::from(unused.tokens)).sum();
        let counter = &self.counters.tokens_returned;
        counter.fetch_add(returned, Ordering::Relaxed);
        unused
    }

    /// Notes that a key has tokens; its lock is held.
    pub(super) fn hold_tokens(&self, id: KeyId) {
        lock(&self.held.keys).insert(id);
    }

    /// Leaves tokens to be given back.
    pub(super) fn leave_tokens(&self, rest: Rest, lineage: KeyId, limit: RateLimit) {
        let unused = self.unused(rest, lineage, limit);
        if unused.tokens == 0 {
            return;
        }
        let mut left = lock(&self.held.left);
        if left.len() < LEFT_MAX {
            left.push(unused);
        } else {
            let lost = &self.counters.tokens_lost;
            lost.fetch_add(unused.tokens.into(), Ordering::Relaxed);
        }
    }

    /// Leaves the tokens of a key that is evicted, whose lock is held.
    pub(super) fn keep_tokens(&self, id: KeyId, entry: &Entry<T>) {
        let (Some(lease), Some(limit)) = (entry.lease(), entry.rate_limit()) else {
            return;
        };
        if let Some(rest) = lease.close() {
            self.leave_tokens(rest, entry.lineage(id), *limit);
        }
        lock(&self.held.keys).remove(&id);
    }

    /// The lease of a new entry, if its limit is counted elsewhere: with the tokens of the entry
    /// before it, unless these are of another limit. The key's lock is held.
    pub(super) fn lease_of(
        &self,
        record: &KeyRecord,
        known: Option<&Entry<T>>,
        local: Option<Arc<RateLimit>>,
    ) -> Option<Lease> {
        let leases = self.leases.as_ref()?;
        if let Some(known) = known
            && known.rate_limit() != record.rate_limit.as_ref()
        {
            self.keep_tokens(record.id, known);
        } else if let Some(lease) = known.and_then(Entry::lease) {
            return Some(lease.hand_over(local));
        }
        record.rate_limit.as_ref()?;
        Some(Lease::new(leases, local))
    }

    fn unused(&self, rest: Rest, lineage: KeyId, limit: RateLimit) -> UnusedTokens {
        UnusedTokens {
            lineage,
            limit,
            tokens: rest.tokens,
            taken_at: rest.taken_at,
            within: self.leases.as_ref().map_or(Millis::ZERO, Leases::within),
        }
    }

    /// The part of a record's limit that this process counts by itself, if it does.
    pub(super) fn part_of(&self, leases: &Leases, record: &KeyRecord) -> Option<Arc<RateLimit>> {
        let part = leases.share_of(record.rate_limit.as_ref()?)?;
        Some(self.limits.share(part))
    }
}
