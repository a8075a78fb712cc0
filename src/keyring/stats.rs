//! What a keyring has done so far, and what it holds.

use super::Keyring;
use super::sync::atomic::{AtomicU64, Ordering};

/// What the keyring has done so far, and what it holds.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).build()?;
/// let key = issued.key.expose().as_bytes();
/// for _ in 0..3 {
///     if let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) {
///         let _ = keyring.admit(ticket, None, now); // the store has no such record
///     }
/// }
/// let stats = keyring.stats();
/// assert_eq!((stats.fetches, stats.absent_hits), (1, 2), "it was asked for only once");
/// assert_eq!(stats.entries, 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that are cached.
    pub entries: usize,
    /// Checks that asked for a record.
    pub fetches: u64,
    /// Fetches that an invalidation overtook, and that were asked for again.
    pub overtaken: u64,
    /// Records that were evicted for lack of room.
    pub evictions: u64,
    /// Invalidations of ids, owners and everything.
    pub invalidations: u64,
    /// Checks that were refused by what a store answered shortly before.
    pub absent_hits: u64,
    /// Uses that were lost because they were not drained.
    pub uses_lost: u64,
    /// Written versions that were forgotten before the TTL was over, because there were more
    /// than 65,536: see [`Keyring::invalidate_at`].
    pub versions_lost: u64,
    /// States of rate limits that were forgotten before their limits were full again, because
    /// there were more than twice the capacity: each of these keys may be given one burst more,
    /// unless the store knows the state.
    pub limits_lost: u64,
    /// Checks that were refused because the uses of twice as many lineages as the capacity were
    /// not drained and written yet; see [`KeyringBuilder::capacity`](super::KeyringBuilder::capacity).
    pub lineages_refused: u64,
    /// Tokens of shared limits that were taken.
    pub tokens_taken: u64,
    /// Tokens that [`Keyring::unused_tokens`] has returned.
    pub tokens_returned: u64,
    /// Tokens that were neither used nor returned, because more leases than 65,536 were to be.
    pub tokens_lost: u64,
    /// Checks that were refused by a shared limit's answer of shortly before.
    pub refused_from_memory: u64,
    /// Checks that were decided while tokens could not be taken.
    pub degraded: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) fetches: AtomicU64,
    pub(super) overtaken: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) absent_hits: AtomicU64,
    pub(super) uses_lost: AtomicU64,
    pub(super) versions_lost: AtomicU64,
    pub(super) lineages_refused: AtomicU64,
    pub(super) tokens_taken: AtomicU64,
    pub(super) tokens_returned: AtomicU64,
    pub(super) tokens_lost: AtomicU64,
    pub(super) refused_from_memory: AtomicU64,
    pub(super) degraded: AtomicU64,
}

impl<T> Keyring<T> {
    /// What was done so far, and what is held.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            entries: self.slots.len(),
            fetches: count(&self.counters.fetches),
            overtaken: count(&self.counters.overtaken),
            evictions: count(&self.counters.evictions),
            invalidations: self.invalidations.now(),
            absent_hits: count(&self.counters.absent_hits),
            uses_lost: count(&self.counters.uses_lost),
            versions_lost: count(&self.counters.versions_lost),
            limits_lost: self.lineages.lost(),
            lineages_refused: count(&self.counters.lineages_refused),
            tokens_taken: count(&self.counters.tokens_taken),
            tokens_returned: count(&self.counters.tokens_returned),
            tokens_lost: count(&self.counters.tokens_lost),
            refused_from_memory: count(&self.counters.refused_from_memory),
            degraded: count(&self.counters.degraded),
        }
    }
}
