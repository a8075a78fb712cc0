//! A place among a fixed number of them, by a hash.

/// The place that a hash falls on.
pub(super) fn by_hash<T>(places: &[T], hash: u64) -> Option<&T> {
    let count = u64::try_from(places.len()).ok()?;
    places.get(usize::try_from(hash.checked_rem(count)?).ok()?)
}
