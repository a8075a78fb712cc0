//! Removing keys that have ended.

use std::io;

use keystile::{KeyId, KeyRecord, Lookup, Status, UnixMillis};

use crate::batch::Batch;
use crate::cascade::Permit;
use crate::derived::DerivedProblem;
use crate::error::StoreError;
use crate::family::Family;
use crate::filter::Filter;
use crate::list::Page;
use crate::store::Store;
use crate::verbs::{TRIES_MAX, record};

/// Keys that are removed in one step at most.
const STEP: usize = 200;

/// Removes a key that has ended, with an event, and returns the record that it was. Its events
/// stay, and the digest of a revoked key stays refused.
///
/// # Errors
/// As [`keystile::delete`], in [`StoreError::Refused`]; [`StoreError::Derived`] if keys that have
/// not ended derive from its lineage, which could then not be ended with it;
/// [`StoreError::NotFound`]; and [`StoreError::Corrupt`] if its row cannot be read: whether it has
/// ended is not known.
pub async fn delete<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<KeyRecord, StoreError> {
    delete_if(store, key_id, now, &|_| true).await
}

/// As [`delete`], if `permit` agrees.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not agree; and as [`delete`].
pub async fn delete_if<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
    permit: &Permit<'_>,
) -> Result<KeyRecord, StoreError> {
    for _ in 0..TRIES_MAX {
        let found = record(store, key_id).await?;
        if !permit(Ok(&found)) {
            return Err(StoreError::NotFound);
        }
        let batch = Batch::of_delete(&found, now)?;
        if is_source(store, &found, now).await? {
            return Err(DerivedProblem::SourceOfLive.into());
        }
        match store.commit(&batch).await {
            Ok(()) => {
                is_gone(store, &found).await?;
                return Ok(found);
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

/// Removes all keys that ended before an instant, at most 200 in one step, with an event each,
/// and returns how many. If it fails or is stopped, the steps before stay done: call it again.
///
/// A key ends when it is revoked, when it expires, or when its overlap is over, whichever is
/// first. Rows that cannot be read stay, and so do keys from whose lineage keys derive that have
/// not ended.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{MemoryStore, StoreError, delete, prune_keys, revoke, save_issued};
///
/// let store = MemoryStore::new();
/// let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
/// // A key that is live is not removed.
/// let id = &issued.record.id;
/// assert!(matches!(delete(&store, id, now).await, Err(StoreError::Refused(_))));
///
/// revoke(&store, id, "leaked", now).await?;
/// let later = now.plus(Millis::from_days(400))?;
/// assert_eq!(prune_keys(&store, later, later).await?, 1);
/// // The same digest is never a key again.
/// assert!(matches!(save_issued(&store, &issued).await, Err(StoreError::Duplicate)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The store's.
pub async fn prune_keys<S: Store + ?Sized>(
    store: &S,
    ended_before: UnixMillis,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let mut removed = 0_u64;
    let mut page = Some(Page::first(STEP));
    while let Some(current) = page {
        let listed = store.list(&Filter::default(), current).await?;
        page = listed.next.map(|next| current.after(next));
        let due = removable(store, listed.records, ended_before, now).await?;
        let mut batch = Batch::new();
        for record in &due {
            let one = Batch::of_delete(record, now)?;
            batch.deletes.extend(one.deletes);
            batch.events.extend(one.events);
        }
        if due.is_empty() {
            continue;
        }
        match store.commit(&batch).await {
            Ok(()) => {
                if let Some(first) = due.first() {
                    is_gone(store, first).await?;
                }
                removed = removed.saturating_add(count(due.len()));
            }
            // Someone changed one of them: each for itself.
            Err(StoreError::Stale) => {
                for record in &due {
                    match store.commit(&Batch::of_delete(record, now)?).await {
                        Ok(()) => removed = removed.saturating_add(1),
                        Err(StoreError::Stale) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// How many keys [`prune_keys`] would remove now.
///
/// # Errors
/// The store's.
pub async fn count_ended_before<S: Store + ?Sized>(
    store: &S,
    ended_before: UnixMillis,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let mut due = 0_u64;
    let mut page = Some(Page::first(STEP));
    while let Some(current) = page {
        let listed = store.list(&Filter::default(), current).await?;
        page = listed.next.map(|next| current.after(next));
        let ended = removable(store, listed.records, ended_before, now).await?;
        due = due.saturating_add(count(ended.len()));
    }
    Ok(due)
}

/// Refuses a store that was written before there were removals, and ignores them. A key that was
/// inserted again since has a later version.
async fn is_gone<S: Store + ?Sized>(store: &S, removed: &KeyRecord) -> Result<(), StoreError> {
    match store.find(&Lookup::Id(removed.id)).await? {
        Some(found) if found.version == removed.version => Err(StoreError::unavailable(
            io::Error::new(io::ErrorKind::Unsupported, "the store removes no keys"),
        )),
        _ => Ok(()),
    }
}

/// Those that ended before the instant and are no source of keys that have not.
async fn removable<S: Store + ?Sized>(
    store: &S,
    records: Vec<KeyRecord>,
    ended_before: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<KeyRecord>, StoreError> {
    let mut removable = Vec::new();
    for record in records {
        if has_ended_before(&record, ended_before.min(now))
            && !is_source(store, &record, now).await?
        {
            removable.push(record);
        }
    }
    Ok(removable)
}

/// Whether keys that have not ended derive from the lineage of a key. A key that has ended does
/// not become a source later, unless its lineage lives in a successor.
async fn is_source<S: Store + ?Sized>(
    store: &S,
    record: &KeyRecord,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    Ok(Family::of(store, record, now).await?.len() > 0)
}

fn has_ended_before(record: &KeyRecord, instant: UnixMillis) -> bool {
    let revoked = match &record.status {
        Status::Revoked { at, .. } => Some(*at),
        _ => None,
    };
    let ends = revoked.into_iter().chain(record.ends_at());
    ends.min().is_some_and(|end| end < instant)
}

fn count(keys: usize) -> u64 {
    u64::try_from(keys).unwrap_or(u64::MAX)
}
