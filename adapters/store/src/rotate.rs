//! Giving a key of a store a successor.

use keystile::{
    KeyFormat, KeyId, KeyRecord, PepperRing, Rotated, RotationPolicy, TryCryptoRng, UnixMillis,
    expire,
};

use crate::batch::Batch;
use crate::cascade::live_source;
use crate::damaged;
use crate::delegate::room_for_a_successor;
use crate::derived::DerivedProblem;
use crate::error::StoreError;
use crate::family::{Family, exceeds, has_not_ended};
use crate::store::Store;
use crate::verbs::{TRIES_MAX, record};

/// Gives a key a successor; all that changes is written in one step.
///
/// Without a `format` the successor has the format of the key itself, as far as
/// [`KeyFormat::like`] can know it: that is not so for a keyed check, so services with keyed
/// checks pass their format.
///
/// A sibling whose row cannot be read is refused anyway; unless it is revoked, its overlap ends
/// with this rotation, so that it cannot become a third live key when the row is mended.
///
/// The successor of a derived key ends no later than the key that it derives from.
///
/// # Errors
/// [`StoreError::Derived`] if no key that it derives from is live, if it has more than that, or if
/// the successor would end before a key that derives from it. As [`keystile::rotate`](keystile::rotate()), in [`StoreError::Refused`];
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
    let permit = |_: &KeyRecord| Ok::<_, StoreError>(policy.clone());
    let rotated = rotate_all(store, key_id, permit, format, peppers, rng, now).await;
    rotated.map(|(rotated, _)| rotated)
}

/// As [`rotate`], under the policy that `permit` gives for the record that is rotated, with the
/// id and version of each damaged sibling that ends by it.
///
/// # Errors
/// Those of `permit`, which is asked again if another writer was faster; and as [`rotate`].
pub(crate) async fn rotate_all<S: Store + ?Sized, R: TryCryptoRng + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    permit: impl Fn(&KeyRecord) -> Result<RotationPolicy, E>,
    format: Option<&KeyFormat>,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
) -> Result<(Rotated, Vec<(KeyId, u64)>), E> {
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
                like = KeyFormat::like(key).map_err(StoreError::from)?;
                &like
            }
        };
        let mut batch = Batch::new();
        let mut policy = permit(key)?;
        if let Some(source) = live_source(store, key, now).await? {
            let mut rights = key.clone();
            // The successor's end is limited, and not the key's.
            (rights.expires_at, rights.overlap_until) = (source.ends_at(), None);
            if exceeds(&rights, &source) {
                return Err(StoreError::from(DerivedProblem::ExceedsSource).into());
            }
            room_for_a_successor(store, &source, now).await?;
            policy = policy.with_latest_end(source.ends_at());
            batch.unchanged.push((source.id, source.version));
        }
        let rotated = keystile::rotate(key, &siblings, &policy, format, peppers, rng, now);
        let rotated = rotated.map_err(StoreError::from)?;
        let family = outliving(store, key, &rotated.successor, now).await?;
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
        if let Some(family) = family {
            family.rely_on(&mut batch);
        }
        match store.commit(&batch).await {
            Ok(()) => {
                let ended = batch.upkeep.iter();
                let ended = ended
                    .map(|upkeep| (upkeep.key_id, upkeep.version))
                    .collect();
                return Ok((rotated, ended));
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Stale.into())
}

/// The keys that derive from a key whose successor ends before the key itself would have.
///
/// # Errors
/// [`StoreError::Derived`] if one of them would outlive it.
async fn outliving<S: Store + ?Sized>(
    store: &S,
    key: &KeyRecord,
    successor: &KeyRecord,
    now: UnixMillis,
) -> Result<Option<Family>, StoreError> {
    let Some(end) = successor.expires_at else {
        return Ok(None);
    };
    if key.expires_at.is_some_and(|own| own <= end) {
        return Ok(None);
    }
    let family = Family::of(store, key, now).await?;
    let outlives = |own: &&KeyRecord| {
        has_not_ended(own, now) && own.ends_at().is_none_or(|own_end| own_end > end)
    };
    let keys: Vec<KeyId> = family
        .derived
        .iter()
        .filter(outlives)
        .map(|own| own.id)
        .collect();
    match keys.is_empty() {
        true => Ok(Some(family)),
        false => Err(DerivedProblem::WouldExceed(keys).into()),
    }
}
