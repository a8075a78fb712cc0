//! How many places there are of each kind, and a place among them by a hash.

/// The number in a product, or the one in a model: a model checker follows every place.
const fn sized(product: usize, model: usize) -> usize {
    if cfg!(keystile_loom) { model } else { product }
}

/// Locks that fetches and invalidations of one id meet in.
pub(super) const GATES: usize = sized(64, 2);
/// Ids that share a count of their last invalidation. Sharing costs a needless second
/// fetch, never a stale decision.
pub(super) const ID_PLACES: usize = sized(4_096, 2);
/// Owners that share a count of their last invalidation; a power of two.
pub(super) const OWNER_PLACES: usize = sized(1_024, 2);
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

/// The place that a hash falls on.
pub(super) fn by_hash<T>(places: &[T], hash: u64) -> Option<&T> {
    places.get(place_of(places.len(), hash)?)
}

/// The number of the place that a hash falls on.
pub(super) fn place_of(count: usize, hash: u64) -> Option<usize> {
    let count = u64::try_from(count).ok()?;
    usize::try_from(hash.checked_rem(count)?).ok()
}
