//! How many slots there are of each kind, and a slot among them by a hash.

/// The number in a product, or the one in a model: a model checker follows every slot.
const fn sized(product: usize, model: usize) -> usize {
    if cfg!(keystile_loom) { model } else { product }
}

/// Locks that fetches and invalidations of one id meet in.
pub(super) const LOCKS: usize = sized(64, 2);
/// Keys whose written versions are remembered.
pub(super) const VERSIONS_MAX: usize = sized(65_536, 2);
/// Ids that share a count of their last invalidation. Sharing costs a needless second
/// fetch, never a stale decision.
pub(super) const ID_SLOTS: usize = sized(4_096, 2);
/// Owners that share a count of their last invalidation; a power of two.
pub(super) const OWNER_SLOTS: usize = sized(1_024, 2);
/// Buckets of refused keys, with a lock of their own each, and keys in a bucket.
pub(super) const ABSENT_BUCKETS: usize = sized(1_024, 1);
pub(super) const ABSENT_KEYS: usize = 4;
/// Keys that may have a counter of several stripes. Contended keys are few.
pub(super) const STRIPED_MAX: usize = sized(256, 1);
/// Counters of such a key, each in a cache line of its own.
pub(super) const STRIPES: usize = sized(8, 2);
/// Keys beyond the capacity that may be in for a moment: one for each thread that has
/// entered a key and not yet evicted another.
pub(super) const SLACK: usize = sized(256, 4);

/// The slot that a hash falls on.
pub(super) fn by_hash<T>(slots: &[T], hash: u64) -> Option<&T> {
    slots.get(slot_of(slots.len(), hash)?)
}

/// The number of the slot that a hash falls on.
pub(super) fn slot_of(count: usize, hash: u64) -> Option<usize> {
    let count = u64::try_from(count).ok()?;
    usize::try_from(hash.checked_rem(count)?).ok()
}
