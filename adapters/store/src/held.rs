//! How far a stored state that lies too far ahead is brought back: to the furthest that the limit
//! of any live key of its lineage can move it.

use keystile::{KeyId, KeyRecord, RateLimit, Status, UnixMillis};

use crate::store::Store;
use crate::stored_usage::StoredUsage;

/// The limit that the state of a record's lineage is held to in the store, if that brings it
/// back.
///
/// The keys of a lineage share one state, and may have different limits. A state that is too far
/// ahead for one of them may be what the slower limit of another has counted. Brought back, it
/// would give that one all of its requests again. So the longest reach among the live keys
/// counts, and if they cannot all be read, nothing is brought back.
pub(crate) async fn longest_limit<S: Store + ?Sized>(
    store: &S,
    record: &KeyRecord,
    stored: &StoredUsage,
    now: UnixMillis,
) -> Option<RateLimit> {
    let own = record.rate_limit?;
    let is_alone = record.lineage == record.id && record.replaced_by.is_none();
    if is_alone {
        return stored.is_held(&own, now).then_some(own);
    }
    longest_of_lineage(store, &record.lineage, &own, stored, now).await
}

/// As [`longest_limit`], for a lineage of which only one limit is known.
pub(crate) async fn longest_of_lineage<S: Store + ?Sized>(
    store: &S,
    lineage: &KeyId,
    own: &RateLimit,
    stored: &StoredUsage,
    now: UnixMillis,
) -> Option<RateLimit> {
    if !stored.is_held(own, now) {
        return None;
    }
    let lineage = store.lineage(lineage).await.ok()?;
    if !lineage.damaged.is_empty() {
        return None;
    }
    let may_count = |key: &&KeyRecord| {
        let has_ended = key.ends_at().is_some_and(|end| end <= now);
        !has_ended && !matches!(key.status, Status::Revoked { .. })
    };
    let limits = lineage.records.iter().filter(may_count);
    let limits = limits.filter_map(|key| key.rate_limit);
    let limits = limits.filter(|limit| limit.limit() != 0);
    let longest = limits.fold(*own, |longest, limit| {
        if limit.reach() > longest.reach() {
            limit
        } else {
            longest
        }
    });
    stored.is_held(&longest, now).then_some(longest)
}
