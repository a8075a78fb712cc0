//! When what was invalidated last: the one clock that cached records are compared with.
//!
//! It counts invalidations, not time. A fetch takes the count before it begins; whatever
//! it brings is good only if nothing that concerns it was invalidated since.

use std::boxed::Box;

use super::sizes::{ID_SLOTS, OWNER_SLOTS, by_hash};
use super::sync::atomic::{AtomicU64, Ordering};

const OWNER_MASK: u64 = OWNER_SLOTS.saturating_sub(1) as u64;

/// A slot among the owners, as an entry remembers it.
pub(super) type OwnerSlot = u16;

/// The count of invalidations, and the count at the last one of each kind.
pub(super) struct Invalidations {
    count: AtomicU64,
    everything: AtomicU64,
    versions: AtomicU64,
    owners: Box<[AtomicU64]>,
    ids: Box<[AtomicU64]>,
}

impl Invalidations {
    pub(super) fn new() -> Self {
        let slots = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            count: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            versions: AtomicU64::new(0),
            owners: slots(OWNER_SLOTS),
            ids: slots(ID_SLOTS),
        }
    }

    /// The count before a fetch.
    pub(super) fn now(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Invalidates everything that was fetched so far.
    pub(super) fn everything(&self) {
        let at = self.next();
        self.everything.fetch_max(at, Ordering::SeqCst);
    }

    /// Invalidates everything, and the versions that were seen.
    pub(super) fn versions(&self) {
        let at = self.next();
        self.versions.fetch_max(at, Ordering::SeqCst);
        self.everything.fetch_max(at, Ordering::SeqCst);
    }

    /// Whether the version of what was fetched `as_of` still tells which record is newer.
    pub(super) fn binds_version(&self, as_of: u64) -> bool {
        self.versions.load(Ordering::SeqCst) <= as_of
    }

    /// Invalidates everything of this owner that was fetched so far.
    pub(super) fn owner(&self, hash: u64) {
        let at = self.next();
        if let Some(slot) = self.owners.get(usize::from(owner_slot(hash))) {
            slot.fetch_max(at, Ordering::SeqCst);
        }
    }

    /// Invalidates fetches of this id that are under way.
    pub(super) fn id(&self, hash: u64) {
        let at = self.next();
        if let Some(slot) = by_hash(&self.ids, hash) {
            slot.fetch_max(at, Ordering::SeqCst);
        }
    }

    /// Whether nothing that concerns a cached record was invalidated since `as_of`. Single
    /// ids are not asked for: their own entries are marked stale.
    #[inline]
    pub(super) fn is_current(&self, owner: Option<OwnerSlot>, as_of: u64) -> bool {
        let owner_at = |slot| self.owners.get(usize::from(slot));
        self.everything.load(Ordering::SeqCst) <= as_of
            && owner
                .and_then(owner_at)
                .is_none_or(|at| at.load(Ordering::SeqCst) <= as_of)
    }

    /// Whether nothing that concerns a fetch of this id was invalidated since `as_of`.
    pub(super) fn is_undisturbed(
        &self,
        id_hash: u64,
        owner: Option<OwnerSlot>,
        as_of: u64,
    ) -> bool {
        let id_at = by_hash(&self.ids, id_hash);
        id_at.is_none_or(|at| at.load(Ordering::SeqCst) <= as_of) && self.is_current(owner, as_of)
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::SeqCst).saturating_add(1)
    }
}

/// The slot of an owner's hash.
pub(super) fn owner_slot(hash: u64) -> OwnerSlot {
    u16::try_from(hash & OWNER_MASK).unwrap_or_default()
}
