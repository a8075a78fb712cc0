//! How long memory may answer after the store's changes were read: the revocation bound.
//!
//! The lease begins before the read is sent that finds no further change, and is renewed
//! after the changes that it found were put in force. So if a revocation was committed
//! before a lease began, it is in force under that lease; if it was committed later, the
//! lease ends at most the bound after it. No clock is compared with another machine's.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use super::clock::{Clock, nanos};

/// What an [`Authenticator`](super::Authenticator) does after the
/// [revocation bound](super::AuthenticatorBuilder::revocation_bound), as long as it cannot
/// read the changes of other processes.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use core::time::Duration;
/// use std::sync::Arc;
/// use keystile::{KeyFormat, Verifier};
/// use keystile_store::{AfterBound, Authenticator, MemoryStore, StoreError};
///
/// let verifier = Verifier::new(KeyFormat::structured("acme")?);
/// let builder = || Authenticator::builder(Arc::new(MemoryStore::new()), verifier.clone());
///
/// // During an outage, cached keys are accepted for ten minutes; so are revoked ones.
/// let ten_minutes = AfterBound::ServeStale(Duration::from_secs(600));
/// let keys = builder().after_bound(ten_minutes).build()?;
/// assert!(!keys.stats().bound_exceeded);
///
/// // It must be longer than the bound, which is 60 s.
/// let shorter = AfterBound::ServeStale(Duration::from_secs(10));
/// assert!(matches!(builder().after_bound(shorter).build(), Err(StoreError::Setting(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterBound {
    /// Nothing that is cached is used: each record is read again for the request. If the
    /// store does not answer, one request at a time tries it, and all others are denied at
    /// once as [`Cause::StoreUnavailable`](keystile::Cause::StoreUnavailable).
    #[default]
    Revalidate,
    /// Cached records are used until this long after the changes were read, and from then on
    /// as with [`Revalidate`](Self::Revalidate). A revoked key may be accepted for as long.
    ServeStale(Duration),
}

/// A call to the store that is not answered after this time counts as a sign that the store
/// is away.
const PATIENCE_NANOS: u64 = 250_000_000;
/// The outcome of a revalidation, beside the start of the lease that has ended.
const ANSWERED: u64 = 1;

/// The lease, and what was learned of the store since it ended.
#[derive(Debug)]
pub(super) struct Lease {
    clock: Clock,
    bound_nanos: u64,
    /// How long cached records are used: the bound, or longer.
    usable_nanos: u64,
    /// The reading from before the last read of changes that found no further one.
    begun: AtomicU64,
    /// When the read of changes that is under way was sent; 0 if there is none.
    reading_since: AtomicU64,
    /// The start of a lease that has ended, doubled, and whether the store answered the
    /// last request that asked it since; 0 if none has asked it.
    asked: AtomicU64,
    probing: AtomicBool,
    served_stale: AtomicU64,
    revalidated: AtomicU64,
    refused: AtomicU64,
}

/// What the lease has done.
pub(super) struct LeaseStats {
    pub(super) bound: Duration,
    pub(super) age: Duration,
    pub(super) is_exceeded: bool,
    pub(super) served_stale: u64,
    pub(super) revalidated: u64,
    pub(super) refused: u64,
}

/// The permission of a request to ask the store.
pub(super) struct Turn<'l> {
    lease: &'l Lease,
    /// The lease that has ended.
    begun: u64,
    is_probe: bool,
}

impl Lease {
    /// Begins now: nothing is cached that was read before.
    pub(super) fn new(clock: Clock, bound: Duration, after: AfterBound) -> Self {
        let bound_nanos = nanos(bound);
        let usable_nanos = match after {
            AfterBound::Revalidate => bound_nanos,
            AfterBound::ServeStale(limit) => bound_nanos.max(nanos(limit)),
        };
        Self {
            begun: clock.nanos().into(),
            clock,
            bound_nanos,
            usable_nanos,
            reading_since: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            probing: AtomicBool::new(false),
            served_stale: AtomicU64::new(0),
            revalidated: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// A reading of the lease's clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    /// Whether a cached record may decide a request that has arrived.
    ///
    /// It has to be asked before the cache is read: the changes before this lease are then
    /// in force in it.
    #[inline(always)]
    pub(super) fn holds(&self) -> bool {
        let begun = self.begun.load(Ordering::Acquire);
        // A clock that has gone back proves nothing.
        let age = self.clock.nanos().checked_sub(begun);
        age.is_some_and(|age| age <= self.bound_nanos || self.is_usable(age))
    }

    #[cold]
    fn is_usable(&self, age: u64) -> bool {
        let is_usable = age <= self.usable_nanos;
        if is_usable {
            self.served_stale.fetch_add(1, Ordering::Relaxed);
        }
        is_usable
    }

    /// The earliest start of a fetch that may decide a request which arrived at this reading:
    /// a fetch is a read of the store as that of the changes is.
    pub(super) const fn earliest_fetch(&self, arrived: u64) -> u64 {
        arrived.saturating_sub(self.bound_nanos)
    }

    /// Notes that a read of changes is about to be sent; returns when.
    pub(super) fn reads(&self) -> u64 {
        let sent = self.now();
        self.reading_since.store(sent, Ordering::Relaxed);
        sent
    }

    /// Renews the lease, after everything was put in force that a read sent at this reading
    /// has found.
    pub(super) fn renew(&self, sent: u64) {
        self.begun.store(sent, Ordering::Release);
    }

    /// Notes that no read of changes is under way.
    pub(super) fn has_read(&self) {
        self.reading_since.store(0, Ordering::Relaxed);
    }

    /// A permission to ask the store though the lease has ended; none if the store seems to
    /// be away, and another request is trying it.
    pub(super) fn turn(&self, changes_fail: bool) -> Option<Turn<'_>> {
        let begun = self.begun.load(Ordering::Relaxed);
        let asked = self.asked.load(Ordering::Relaxed);
        let answers = if asked >> 1 == begun && asked != 0 {
            asked & ANSWERED == ANSWERED
        } else {
            // None has asked it under this lease: by the reads of changes.
            !changes_fail && !self.read_is_late()
        };
        let is_probe = !answers;
        if is_probe && self.probing.swap(true, Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.revalidated.fetch_add(1, Ordering::Relaxed);
        Some(Turn {
            lease: self,
            begun,
            is_probe,
        })
    }

    fn read_is_late(&self) -> bool {
        let since = self.reading_since.load(Ordering::Relaxed);
        since != 0 && self.now().saturating_sub(since) >= PATIENCE_NANOS
    }

    pub(super) fn stats(&self) -> LeaseStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Acquire);
        let age = self.now().saturating_sub(begun);
        LeaseStats {
            bound: Duration::from_nanos(self.bound_nanos),
            age: Duration::from_nanos(age),
            is_exceeded: age > self.bound_nanos,
            served_stale: count(&self.served_stale),
            revalidated: count(&self.revalidated),
            refused: count(&self.refused),
        }
    }
}

impl Turn<'_> {
    /// Notes whether the store has answered.
    pub(super) fn ends(self, answered: bool) {
        let outcome = if answered { ANSWERED } else { 0 };
        let asked = self.begun.wrapping_shl(1) | outcome;
        self.lease.asked.store(asked, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.lease.probing.store(false, Ordering::Relaxed);
        }
    }
}
