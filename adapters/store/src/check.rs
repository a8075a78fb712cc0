//! Checks a presented key against a store: find, decide, spend.

use keystile::{
    Cause, Decision, Denial, KeyId, KeyRecord, Lookup, Millis, PepperRing, PresentedKey, Request,
    Status, UnixMillis, Verifier, end_overlap, expire, rehash, verify,
};

use crate::batch::{Batch, Upkeep};
use crate::damaged;
use crate::error::{CorruptRow, StoreError};
use crate::held::longest_limit;
use crate::store::{SpendRequest, Store};
use crate::verbs::TRIES_MAX;

/// A key's last use is recorded at most this often, so that a check rarely writes.
const LAST_USE_INTERVAL: Millis = Millis::from_secs(60);

/// A decision, and the record that it is based on.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// use keystile_store::{check, save_issued, suspend, MemoryStore};
///
/// # let store = MemoryStore::new();
/// # let verifier = Verifier::new(format);
/// let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let key = issued.key.expose().as_bytes();
/// let checked = check(&store, &verifier, key, &Request::new(), now).await?;
/// assert!(checked.record.is_none(), "it was not saved, so its secret cannot be verified");
///
/// save_issued(&store, &issued).await?;
/// suspend(&store, &issued.record.id, now).await?;
/// let checked = check(&store, &verifier, key, &Request::new(), now).await?;
/// assert!(!checked.decision.is_allow());
/// assert_eq!(&*checked.record.unwrap().client_name, "Acme", "for the log");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The decision.
    pub decision: Decision,
    /// The key's record if its secret was verified; otherwise nothing about it is disclosed.
    pub record: Option<KeyRecord>,
    /// Where the key's row is damaged, if the decision is a denial with
    /// [`Cause::RecordDamaged`]; for the log.
    pub damage: Option<CorruptRow>,
}

/// Checks a presented key, and spends what an allowed request costs.
///
/// A text that is not a key is refused without a query. If the key has a rate limit or a
/// number of uses, an allowed request is spent by compare-and-set: if another request
/// changed the usage first, the check starts again. If nothing is counted, nothing is spent,
/// and a check reads one record.
///
/// A rate limit is decided by the store's clock if it has one, and otherwise by `now`, which
/// must then be the clock of the machine for all processes that use the store. A single wrong
/// reading, or a limit that was changed, costs at most one burst.
///
/// An allowed request also ends the overlap of a predecessor that should end at the first
/// use, renews an outdated digest, and records the last use, at most once a minute. If one of
/// these fails, the decision stays as it is, and the key's next use tries again.
///
/// If the row of the key cannot be read, the decision is a denial, and
/// [`damage`](Checked::damage) names it.
///
/// # Errors
/// [`StoreError::Unavailable`], which never allows the request: answer it with a denial for
/// [`StoreUnavailable`](keystile::Cause::StoreUnavailable).
/// [`StoreError::Stale`] if other requests changed the usage at each of many tries.
pub async fn check<S: Store + ?Sized>(
    store: &S,
    verifier: &Verifier,
    credential: &[u8],
    request: &Request<'_>,
    now: UnixMillis,
) -> Result<Checked, StoreError> {
    let key = match verifier.parse(credential) {
        Ok(key) => key,
        Err(denial) => return Ok(Checked::refused(denial, None)),
    };
    let lookup = verifier.lookup(&key);
    for _ in 0..TRIES_MAX {
        let (found, stored) = match store.find_with_usage(&lookup).await {
            Err(StoreError::Corrupt(row)) => {
                return Ok(match row.denies(verifier, &key, now) {
                    Some(denial) => Checked::refused(denial, None),
                    None => Checked::damaged(row),
                });
            }
            found => found?.unzip(),
        };
        let stored = stored.unwrap_or_default();
        let limit = found.as_ref().and_then(|record| record.rate_limit);
        let seen = stored.seen_at(limit.as_ref(), now);
        let mut after = seen;
        let decision = verify(verifier, &key, found.as_ref(), request, &mut after, now);
        let written = stored.written_at(limit.as_ref(), after, now);
        let (allowed, mut record) = match (decision, found) {
            (Decision::Allow(allowed), Some(record)) => (allowed, record),
            (Decision::Deny(denial), found) => {
                if let Some(record) = &found
                    && denial.cause() == Cause::RateLimit
                    && let Some(limit) = longest_limit(store, record, &stored, now).await
                {
                    // What was held must be stored: otherwise it would be held to a later
                    // instant at each check, and nothing would ever become free. A failure
                    // does not change the decision: the next check tries again.
                    let held = stored.seen_at(Some(&limit), now);
                    let held = stored.written_at(Some(&limit), held, now);
                    let held = SpendRequest::new(record, stored.usage, held);
                    let _ = store.spend(&held).await;
                }
                return Ok(Checked::refused(denial, found));
            }
            // The core allows nothing without a record.
            (Decision::Allow(_), None) => return Err(StoreError::NotFound),
        };
        if after != seen
            && !store
                .spend(&SpendRequest::new(&record, stored.usage, written))
                .await?
        {
            continue;
        }
        record.remaining_uses = after.remaining;
        if let Some(predecessor) = &allowed.ends_overlap_of {
            // A failure does not change the decision: the next use tries again.
            let _ = end_predecessor(store, &mut record, predecessor, now).await;
        }
        if allowed.needs_rehash {
            renew_digest(store, &mut record, &key, verifier.peppers(), now).await;
        }
        note_use(store, &mut record, now).await;
        return Ok(Checked {
            decision,
            record: Some(record),
            damage: None,
        });
    }
    Err(StoreError::Stale)
}

impl Checked {
    pub(crate) fn refused(denial: Denial, found: Option<KeyRecord>) -> Self {
        let proved = denial.key_id().is_some();
        Self {
            decision: Decision::Deny(denial),
            record: found.filter(|_| proved),
            damage: None,
        }
    }

    pub(crate) const fn damaged(row: CorruptRow) -> Self {
        Self {
            decision: Decision::Deny(Denial::new(Cause::RecordDamaged)),
            record: None,
            damage: Some(row),
        }
    }
}

/// Ends the overlap of the key that `record` replaces.
pub(crate) async fn end_predecessor<S: Store + ?Sized>(
    store: &S,
    record: &mut KeyRecord,
    predecessor: &KeyId,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    let found = match store.find(&Lookup::Id(*predecessor)).await {
        // It is refused as it is, and must not be valid again when its row is mended.
        Err(StoreError::Corrupt(row)) => {
            damaged::end_overlap(&mut batch, &row, now)?;
            None
        }
        found => found?,
    };
    let used = match found {
        Some(old) if !matches!(old.status, Status::Revoked { .. }) => {
            let Some([ended, used]) = end_overlap(&old, record, now) else {
                return Ok(());
            };
            batch.events.extend(expire(&ended, now));
            batch.upkeep.push(Upkeep::overlap_until(&ended));
            used
        }
        // There is no more to end than that, and later uses need not try again. The row may
        // have been deleted, and a revoked one is not written.
        _ => {
            let mut used = record.clone();
            used.ends_at_first_use = None;
            used.version = used.version.saturating_add(1);
            used
        }
    };
    batch.upkeep.push(Upkeep::ends_at_first_use(&used));
    batch.note_the_rest(now);
    store.commit(&batch).await?;
    *record = used;
    Ok(())
}

/// Gives the record a digest under the current pepper.
async fn renew_digest<S: Store + ?Sized>(
    store: &S,
    record: &mut KeyRecord,
    key: &PresentedKey<'_>,
    peppers: &PepperRing,
    now: UnixMillis,
) {
    let Ok(change) = rehash(record, key, peppers, now) else {
        return;
    };
    if store.commit(&Batch::of_rehash(&change)).await.is_ok() {
        *record = change.record;
    }
}

async fn note_use<S: Store + ?Sized>(store: &S, record: &mut KeyRecord, now: UnixMillis) {
    let noted_recently = record
        .last_used_at
        .is_some_and(|last| now.since(last) < LAST_USE_INTERVAL);
    if !noted_recently && store.note_uses(&[(record.id, now)]).await.is_ok() {
        record.last_used_at = record.last_used_at.max(Some(now));
    }
}
