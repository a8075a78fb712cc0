//! The verbs of the core over a store: read, decide, write, and try again if another
//! writer was faster.

use keystile::{
    Change, Error, Issued, KeyFormat, KeyId, KeyRecord, Lookup, PepperRing, Rotated,
    RotationPolicy, Status, TryCryptoRng, UnixMillis, expire,
};

use crate::batch::Batch;
use crate::damaged;
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

/// Revokes a key, for good. A key that is revoked already keeps its instant and reason.
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
    let is_done = |status: &Status| matches!(status, Status::Revoked { .. });
    let verb = |record: &KeyRecord| keystile::revoke(record, reason, now);
    end(store, key_id, is_done, verb, now).await
}

/// Suspends a key until it is resumed, also if its row cannot be read, as [`revoke`] does.
///
/// # Errors
/// As [`keystile::suspend`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if not even the key's id and version can be read.
pub async fn suspend<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    let is_done = |status: &Status| *status == Status::Suspended;
    let verb = |record: &KeyRecord| keystile::suspend(record, now);
    end(store, key_id, is_done, verb, now).await
}

/// Resumes a suspended key.
///
/// # Errors
/// As [`keystile::resume`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if its row cannot be read: mend the row first.
pub async fn resume<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    let is_done = |status: &Status| *status == Status::Active;
    change(store, key_id, is_done, |record| {
        keystile::resume(record, now)
    })
    .await
}

/// Gives a key a successor; all that changes is written in one step.
///
/// Without a `format` the successor has the format of the key itself, as far as
/// [`KeyFormat::like`] can know it: that is not so for a keyed check, so services with keyed
/// checks pass their format.
///
/// A sibling whose row cannot be read is refused anyway; unless it is revoked, its overlap ends
/// with this rotation, so that it cannot become a third live key when the row is mended.
///
/// # Errors
/// As [`keystile::rotate`](keystile::rotate()), in [`StoreError::Refused`];
/// [`StoreError::NotFound`]; [`StoreError::Corrupt`] if the key's own row cannot be read, or
/// not even the id and the version of such a sibling.
pub async fn rotate<S: Store + ?Sized, R: TryCryptoRng + ?Sized>(
    store: &S,
    key_id: &KeyId,
    policy: &RotationPolicy,
    format: Option<&KeyFormat>,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Rotated, StoreError> {
    let rotated = rotate_all(store, key_id, policy, format, peppers, rng, now).await;
    rotated.map(|(rotated, _)| rotated)
}

/// As [`rotate`], with the id and version of each damaged sibling that ends by it.
pub(crate) async fn rotate_all<S: Store + ?Sized, R: TryCryptoRng + ?Sized>(
    store: &S,
    key_id: &KeyId,
    policy: &RotationPolicy,
    format: Option<&KeyFormat>,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
) -> Result<(Rotated, Vec<(KeyId, u64)>), StoreError> {
    for _ in 0..TRIES_MAX {
        // The key and its siblings from one read, so that they fit together.
        let found = record(store, key_id).await?;
        let lineage = store.lineage(&found.lineage).await?;
        let (own, siblings): (Vec<_>, Vec<_>) = lineage
            .records
            .into_iter()
            .partition(|sibling| sibling.id == *key_id);
        let key = own.first().ok_or(StoreError::NotFound)?;
        let like;
        let format = match format {
            Some(format) => format,
            None => {
                like = KeyFormat::like(key)?;
                &like
            }
        };
        let rotated = keystile::rotate(key, &siblings, policy, format, peppers, rng, now)?;
        let mut batch = Batch::new();
        batch.inserts.push(rotated.successor.clone());
        batch.updates.clone_from(&rotated.changed);
        batch.events.push(rotated.event.clone());
        // An older key that ends by this gets an event too: a process that follows the
        // events may have it cached.
        let older = rotated.changed.iter().filter(|record| record.id != *key_id);
        batch
            .events
            .extend(older.filter_map(|record| expire(record, now).ok()));
        for sibling in &lineage.damaged {
            damaged::end_overlap(&mut batch, sibling, now)?;
        }
        batch.note_the_rest(now);
        match store.commit(&batch).await {
            Ok(()) => {
                let ended = batch.upkeep.iter();
                let ended = ended
                    .map(|upkeep| (upkeep.key_id, upkeep.version))
                    .collect();
                return Ok((rotated, ended));
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

/// Changes the status of a record, or only that of a row that cannot be read.
async fn end<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    is_done: impl Fn(&Status) -> bool,
    verb: impl Fn(&KeyRecord) -> Result<Change, Error>,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    for _ in 0..TRIES_MAX {
        match change(store, key_id, &is_done, &verb).await {
            Err(StoreError::Corrupt(_)) => {}
            outcome => return outcome,
        }
        match damaged::change(store, key_id, &is_done, &verb, now).await {
            // Its row was mended in between.
            Err(StoreError::Stale) => {}
            outcome => return outcome,
        }
    }
    Err(StoreError::Stale)
}

/// Reads, changes and writes a record until no other writer changes it in between.
async fn change<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    is_done: impl Fn(&Status) -> bool,
    verb: impl Fn(&KeyRecord) -> Result<Change, Error>,
) -> Result<Outcome, StoreError> {
    for _ in 0..TRIES_MAX {
        let found = record(store, key_id).await?;
        if is_done(&found.status) {
            return Ok(Outcome::Unchanged(found));
        }
        let change = verb(&found)?;
        match store.commit(&Batch::of(&change)).await {
            Ok(()) => return Ok(Outcome::Changed(change.record)),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}
