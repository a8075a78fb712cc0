//! Issuing a key that derives from one of a store.

use keystile::{IssueRequest, Issued, Issuer, KeyId, KeyRecord, TryCryptoRng, UnixMillis};

use crate::batch::Batch;
use crate::cascade::live_source;
use crate::derived::{DERIVED_DEPTH_MAX, DERIVED_KEYS_MAX, DerivedProblem};
use crate::error::StoreError;
use crate::family::{Family, exceeds};
use crate::store::Store;
use crate::verbs::{TRIES_MAX, record};

/// From this many derived keys on, they are counted as exactly as concurrent calls need it.
const NEARLY_TOO_MANY: usize = DERIVED_KEYS_MAX - 1_000;

/// Issues a key that derives from another and never has more than it, and saves it. The uses
/// that it gets are taken off the source's in the same step.
///
/// The key ends no later than its source, and so do its successors. If the source is revoked or
/// suspended, so is the key.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{delegate, record, save_issued, MemoryStore, StoreError};
///
/// let store = MemoryStore::new();
/// let source = issuer.issue(&IssueRequest::new("Acme")?.uses(10)?, &mut SysRng, now)?;
/// save_issued(&store, &source).await?;
/// let (source, four) = (source.record.id, IssueRequest::new("Shop")?.uses(4)?);
/// delegate(&store, &source, &issuer, &four, &mut SysRng, now).await?;
/// delegate(&store, &source, &issuer, &four, &mut SysRng, now).await?;
/// assert_eq!(record(&store, &source).await?.remaining_uses, Some(2));
/// let refused = delegate(&store, &source, &issuer, &four, &mut SysRng, now).await;
/// assert!(matches!(refused, Err(StoreError::Refused(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`Issuer::delegate`], in [`StoreError::Refused`]; [`StoreError::Derived`] if the key would
/// exceed the source's successor, if too many keys derive from the first one of the chain, or the chain is too long; [`StoreError::NotFound`];
/// and [`StoreError::Corrupt`] if the row of the source, or of a key that it derives from, cannot
/// be read.
pub async fn delegate<S: Store + ?Sized, R: TryCryptoRng + ?Sized>(
    store: &S,
    source: &KeyId,
    issuer: &Issuer,
    request: &IssueRequest,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Issued, StoreError> {
    for _ in 0..TRIES_MAX {
        let source = record(store, source).await?;
        let issued = issuer.delegate(&source, request, rng, now)?;
        let mut batch = Batch::of_issued(&issued);
        batch.unchanged.push((source.id, source.version));
        if source.remaining_uses.is_some()
            && let Some(uses) = issued.record.remaining_uses
        {
            batch.take_uses.push((source.lineage, uses));
        }
        // The keys of a lineage may differ: what derives from an older one must be within the
        // newest too, since that is its source from then on.
        if source.replaced_by.is_some()
            && let Some(newest) = live_source(store, &issued.record, now).await?
            && newest.id != source.id
        {
            if exceeds(&issued.record, &newest) {
                return Err(DerivedProblem::ExceedsSource.into());
            }
            batch.unchanged.push((newest.id, newest.version));
        }
        let root = root(store, &source).await?;
        let family = Family::of(store, &root, now).await?;
        let live = family.len();
        if live >= DERIVED_KEYS_MAX {
            return Err(DerivedProblem::TooMany.into());
        }
        if live >= NEARLY_TOO_MANY {
            if root.id != source.id {
                batch.unchanged.push((root.id, root.version));
            }
            family.rely_on(&mut batch);
            if let Some(state) = batch.derived.last_mut() {
                state.add(issued.record.version);
            }
        }
        match store.commit(&batch).await {
            Ok(()) => return Ok(issued),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

/// Refuses a successor of a key that derives from `source` if there are too many: those in their
/// overlap are written too if the first key of the chain is revoked.
pub(crate) async fn room_for_a_successor<S: Store + ?Sized>(
    store: &S,
    source: &KeyRecord,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const KEYS_MAX: usize = 2 * DERIVED_KEYS_MAX;
    let root = root(store, source).await?;
    let all = store.derived_state(&root).await?.keys;
    // So few are within the limit, whether they have ended or not.
    if usize::try_from(all).is_ok_and(|all| all < KEYS_MAX) {
        return Ok(());
    }
    match Family::of(store, &root, now).await?.len() < KEYS_MAX {
        true => Ok(()),
        false => Err(DerivedProblem::TooMany.into()),
    }
}

/// The first key of the chain that ends with `source`: one of its lineage, if that key's row was
/// deleted.
async fn root<S: Store + ?Sized>(store: &S, source: &KeyRecord) -> Result<KeyRecord, StoreError> {
    let mut root = source.clone();
    // The key that is to be issued is a step too.
    for _ in 1..=DERIVED_DEPTH_MAX {
        let Some(from) = root.derived_from else {
            return Ok(root);
        };
        let lineage = store.lineage(&from.lineage).await?;
        let Some(next) = lineage.records.into_iter().next_back() else {
            return Ok(root);
        };
        root = next;
    }
    Err(DerivedProblem::TooDeep.into())
}

#[cfg(test)]
mod tests {
    use keystile::{DerivedFrom, Digest, Event, EventKind, KeyFormat, SysRng};

    use super::*;
    use crate::MemoryStore;

    /// As many as are written in one step if the source is revoked.
    #[tokio::test]
    async fn twenty_thousand_live_keys_leave_no_room_for_a_successor() {
        let store = MemoryStore::new();
        let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
        let request = IssueRequest::new("Acme Ltd").unwrap();
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let source = issuer.issue(&request, &mut SysRng, now).unwrap().record;
        insert(&store, &source).await;
        let mut derived = source.clone();
        derived.derived_from = Some(DerivedFrom::new(source.id, source.lineage));
        for number in 1..=2 * DERIVED_KEYS_MAX {
            derived.id = format!("1{number:015}").parse().unwrap();
            derived.lineage = derived.id;
            derived.digest = Digest::sha256(&number.to_be_bytes());
            if number == 2 * DERIVED_KEYS_MAX {
                room_for_a_successor(&store, &source, now).await.unwrap();
            }
            insert(&store, &derived).await;
        }
        let refused = room_for_a_successor(&store, &source, now).await;
        assert!(matches!(
            refused,
            Err(StoreError::Derived(DerivedProblem::TooMany))
        ));
    }

    async fn insert(store: &MemoryStore, record: &KeyRecord) {
        let mut batch = Batch::new();
        batch.inserts.push(record.clone());
        let event = Event::new(EventKind::Issued, record.id, record.created_at);
        batch.events.push(event.with_version(record.version));
        store.commit(&batch).await.unwrap();
    }
}
