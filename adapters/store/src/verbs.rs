//! The verbs of the core over a store: read, decide, write, and try again if another
//! writer was faster.

use keystile::{
    Change, Error, Event, EventKind, Issued, KeyChange, KeyFormat, KeyId, KeyRecord, Lookup,
    PepperRing, Rotated, RotationPolicy, Status, TryCryptoRng, UnixMillis, expire,
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
    change_status(store, key_id, is_done, |record| {
        keystile::resume(record, now)
    })
    .await
}

/// Changes what a key may do, or whom it belongs to.
///
/// Remaining uses that are set apply to the other keys of the lineage too, so these get a new
/// version and an event as well. Uses that are not set stay as they are, whatever is spent
/// meanwhile.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile::{KeyChange, Millis, RateLimit};
/// use keystile_store::{change, record, save_issued, MemoryStore};
///
/// let store = MemoryStore::new();
/// let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(10)?, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
/// let upgrade = KeyChange::new()
///     .rate_limit(RateLimit::new(5_000, Millis::from_hours(1))?)
///     .uses(1_000)?;
/// let id = &issued.record.id;
/// assert!(change(&store, id, &upgrade, now).await?.is_changed());
/// assert_eq!(record(&store, id).await?.remaining_uses, Some(1_000));
/// assert!(!change(&store, id, &upgrade, now).await?.is_changed(), "nothing is left to change");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`keystile::change`](keystile::change()), in [`StoreError::Refused`], but a change of
/// nothing is [`Outcome::Unchanged`]; [`StoreError::NotFound`]; and [`StoreError::Corrupt`] if
/// its row cannot be read: mend the row first.
pub async fn change<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    change_if(store, key_id, requested, now, |_, _| Ok(())).await
}

/// As [`change`], if `permit` agrees. It gets the record before and after the change, which are
/// the same if nothing would change. What it agrees to is what is written, even if others change
/// the key meanwhile: it is then asked again.
///
/// # Errors
/// Those of `permit`, and as [`change`].
pub async fn change_if<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    now: UnixMillis,
    permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
) -> Result<Outcome, E> {
    let others = &mut Vec::new();
    let written = write_change(store, key_id, requested, now, permit, others).await?;
    Ok(written.outcome)
}

/// A change, and the other keys that it concerns.
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    /// The other keys of the lineage that have a new version.
    pub(crate) others: Vec<KeyRecord>,
}

/// As [`change_if`]. `concerned` receives the other keys before anything is written, since the
/// caller may not learn of a write that succeeded.
pub(crate) async fn write_change<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    now: UnixMillis,
    permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
    concerned: &mut Vec<KeyId>,
) -> Result<Written, E> {
    for _ in 0..TRIES_MAX {
        let found = record(store, key_id).await?;
        if !requested.alters(&found, now).map_err(StoreError::from)? {
            permit(&found, &found)?;
            return Ok(Written {
                outcome: Outcome::Unchanged(found),
                others: Vec::new(),
            });
        }
        let change = keystile::change(&found, requested, now).map_err(StoreError::from)?;
        permit(&found, &change.record)?;
        let mut batch = Batch::of(&change);
        let mut others = Vec::new();
        if requested.sets_uses() && found.remaining_uses != change.record.remaining_uses {
            batch.set_uses.push(*key_id);
            let lineage = store.lineage(&found.lineage).await?;
            let live = |sibling: &KeyRecord| {
                sibling.id != *key_id
                    && !matches!(sibling.status, Status::Revoked { .. })
                    && sibling.ends_at().is_none_or(|end| now < end)
            };
            for mut sibling in lineage.records.into_iter().filter(live) {
                sibling.version = sibling.version.saturating_add(1);
                let event = Event::new(EventKind::Changed, sibling.id, now);
                let event = event.with_version(sibling.version);
                batch.events.push(event.with_changes(["remaining_uses"]));
                batch.updates.push(sibling.clone());
                concerned.push(sibling.id);
                others.push(sibling);
            }
        }
        match store.commit(&batch).await {
            Ok(()) => {
                let outcome = Outcome::Changed(change.record);
                return Ok(Written { outcome, others });
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Stale.into())
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
    let concerned = &mut Vec::new();
    let rotated = rotate_all(store, key_id, policy, format, peppers, rng, now, concerned).await;
    rotated.map(|(rotated, _)| rotated)
}

/// As [`rotate`], with the id and version of each damaged sibling that ends by it. `concerned`
/// receives the other keys before anything is written.
#[expect(
    clippy::too_many_arguments,
    reason = "those of a rotation, and one output"
)]
pub(crate) async fn rotate_all<S: Store + ?Sized, R: TryCryptoRng + ?Sized>(
    store: &S,
    key_id: &KeyId,
    policy: &RotationPolicy,
    format: Option<&KeyFormat>,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
    concerned: &mut Vec<KeyId>,
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
        concerned.extend(batch.updates.iter().map(|record| record.id));
        concerned.extend(batch.upkeep.iter().map(|upkeep| upkeep.key_id));
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
        match change_status(store, key_id, &is_done, &verb).await {
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
async fn change_status<S: Store + ?Sized>(
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
