//! The verbs of the core over a store: read, decide, write, and try again if another
//! writer was faster.

use keystile::{Issued, KeyId, KeyRecord, Lookup, UnixMillis};

use crate::batch::Batch;
use crate::cascade::{resume_reaching, revoke_reaching, suspend_reaching};
use crate::derived::Reach;
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::store::Store;

/// Attempts before a change fails because other writers are faster. An attempt fails only if
/// another one succeeds, so this many others must have changed the same key in that time.
pub(crate) const TRIES_MAX: u32 = 256;

/// The record of a key.
///
/// # Errors
/// [`StoreError::NotFound`] if there is none, and [`StoreError::Corrupt`] if its row cannot be
/// read.
pub async fn record<S: Store + ?Sized>(store: &S, key_id: &KeyId) -> Result<KeyRecord, StoreError> {
    let found = store.find(&Lookup::Id(*key_id)).await?;
    found.ok_or(StoreError::NotFound)
}

/// Saves a newly issued key: its record and the event, both or neither.
///
/// # Errors
/// [`StoreError::Duplicate`] if a key with its id or digest already exists.
pub async fn save_issued<S: Store + ?Sized>(store: &S, issued: &Issued) -> Result<(), StoreError> {
    store.commit(&Batch::of_issued(issued)).await
}

/// Revokes a key, for good, and the keys that derive from it, unless its successor lives. A key
/// that is revoked already keeps its instant and reason. [`revoke_reaching`] returns the others
/// too.
///
/// If the row cannot be read, only its status is written: the outcome is then
/// [`Outcome::Damaged`].
///
/// # Errors
/// As [`keystile::revoke`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if not even the key's id and version can be read.
pub async fn revoke<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    reason: &str,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    let ended = revoke_reaching(store, key_id, reason, Reach::Last, now).await;
    ended.map(|ended| ended.outcome)
}

/// Suspends a key until it is resumed, and the keys that derive from it, unless its successor
/// lives; also if its row cannot be read, as [`revoke`] does.
///
/// # Errors
/// As [`keystile::suspend`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if not even the key's id and version can be read.
pub async fn suspend<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    let ended = suspend_reaching(store, key_id, Reach::Last, now).await;
    ended.map(|ended| ended.outcome)
}

/// Resumes a suspended key, and the keys that were suspended with it.
///
/// # Errors
/// As [`resume_reaching`].
pub async fn resume<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    let ended = resume_reaching(store, key_id, now).await;
    ended.map(|ended| ended.outcome)
}
