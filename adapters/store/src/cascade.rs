//! Revoking, suspending and resuming a key together with those that derive from it.

use core::slice::from_ref;

use keystile::{Change, Error, KeyId, KeyRecord, Status, UnixMillis};

use crate::batch::{Batch, UpkeepField};
use crate::damaged;
use crate::derived::{DerivedProblem, Reach};
use crate::error::{CorruptRow, StoreError};
use crate::family::{Family, exceeds, has_not_ended};
use crate::outcome::Outcome;
use crate::store::Store;
use crate::verbs::{TRIES_MAX, record};

/// Whether the caller of a verb may change a key, by its record or by what is readable of a
/// damaged row. It is asked about the very state that the verb then replaces, so that a key that
/// was given to another owner meanwhile stays as it is.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.owner("tenant-7")?, &mut SysRng, now)?;
/// use keystile_store::Permit;
///
/// let own: &Permit<'_> = &|found| match found {
///     Ok(record) => record.owner.as_deref() == Some("tenant-8"),
///     Err(row) => row.owner.as_deref() == Some("tenant-8"),
/// };
/// assert!(!own(Ok(&issued.record)), "it belongs to another owner");
/// # Ok::<(), keystile::Error>(())
/// ```
pub type Permit<'a> = dyn Fn(Result<&KeyRecord, &CorruptRow>) -> bool + Send + Sync + 'a;

/// What a verb did to a key, and to the keys that derive from it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{delegate, record, revoke_reaching, save_issued, MemoryStore, Reach};
///
/// let store = MemoryStore::new();
/// let source = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// save_issued(&store, &source).await?;
/// let source = source.record.id;
/// let less = IssueRequest::new("Acme's shop")?;
/// let derived = delegate(&store, &source, &issuer, &less, &mut SysRng, now).await?;
///
/// let ended = revoke_reaching(&store, &source, "leaked", Reach::Last, now).await?;
/// assert_eq!((ended.derived.len(), ended.left), (1, 0));
/// assert!(!record(&store, &derived.record.id).await?.is_live(now));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// What became of the key itself.
    pub outcome: Outcome,
    /// The keys that derive from it and were changed with it, without those whose rows cannot
    /// be read.
    pub derived: Vec<KeyRecord>,
    /// How many live keys that derive from it were left alive, because its successor lives.
    pub left: usize,
}

impl Ended {
    pub(crate) const fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            derived: Vec::new(),
            left: 0,
        }
    }
}

/// Revokes a key, for good, and the keys that derive from it in the same step. A key that is
/// revoked already keeps its instant and reason.
///
/// If the key's successor lives, the keys that derive from it stay as they are, unless `reach`
/// is [`Reach::Own`].
///
/// If the row cannot be read, only its status is written, and no other key is reached: the
/// outcome is then [`Outcome::Damaged`].
///
/// # Errors
/// As [`keystile::revoke`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if not even the id and version of one of the keys can be read.
pub async fn revoke_reaching<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    reason: &str,
    reach: Reach,
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    revoke_if(store, key_id, reason, reach, now, &|_| true).await
}

/// As [`revoke_reaching`], if `permit` agrees.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not agree; and as [`revoke_reaching`].
pub async fn revoke_if<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    reason: &str,
    reach: Reach,
    now: UnixMillis,
    permit: &Permit<'_>,
) -> Result<Ended, StoreError> {
    let verb = |key: &KeyRecord| match &key.status {
        Status::Revoked { .. } => Ok(None),
        _ => keystile::revoke(key, reason, now).map(Some),
    };
    let with = |key: &KeyRecord, _: &KeyRecord, _: &[KeyId]| verb(key);
    let field = UpkeepField::Revoked {
        at: now,
        reason: reason.into(),
    };
    let asked = Asked {
        key_id,
        reach,
        now,
        permit,
    };
    end(store, asked, verb, with, field).await
}

/// Suspends a key until it is resumed, and with it the keys that derive from it, which are
/// resumed with it. What was suspended before stays suspended then.
///
/// Otherwise as [`revoke_reaching`].
///
/// # Errors
/// As [`keystile::suspend`], in [`StoreError::Refused`]; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if not even the id and version of one of the keys can be read.
pub async fn suspend_reaching<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    reach: Reach,
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    suspend_if(store, key_id, reach, now, &|_| true).await
}

/// As [`suspend_reaching`], if `permit` agrees.
///
/// # Errors
/// [`StoreError::NotFound`] if it does not agree; and as [`suspend_reaching`].
pub async fn suspend_if<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    reach: Reach,
    now: UnixMillis,
    permit: &Permit<'_>,
) -> Result<Ended, StoreError> {
    let verb = |key: &KeyRecord| match (&key.status, key.suspended_with) {
        (Status::Suspended, None) => Ok(None),
        // Suspended with its source, and from now on by itself: it is not resumed with that.
        (Status::Suspended, Some(_)) => marked(key, None, now).map(Some),
        _ => keystile::suspend(key, now).map(Some),
    };
    let with = |key: &KeyRecord, source: &KeyRecord, family: &[KeyId]| match (
        &key.status,
        key.suspended_with,
    ) {
        (Status::Active, _) => {
            let mut change = keystile::suspend(key, now)?;
            change.record.suspended_with = Some(source.id);
            change.event.reason = Some(format!("with {}", source.id).into());
            Ok(Some(change))
        }
        // It was suspended with a key that the source itself derives from: from now on it
        // waits for the nearer one.
        (Status::Suspended, Some(other)) if other != source.id && !family.contains(&other) => {
            marked(key, Some(source.id), now).map(Some)
        }
        _ => Ok(None),
    };
    let asked = Asked {
        key_id,
        reach,
        now,
        permit,
    };
    end(store, asked, verb, with, UpkeepField::Suspended).await
}

/// A suspended key with another key that it is to be resumed with.
pub(crate) fn marked(
    key: &KeyRecord,
    with: Option<KeyId>,
    now: UnixMillis,
) -> Result<Change, Error> {
    let mut active = key.clone();
    active.status = Status::Active;
    let mut change = keystile::suspend(&active, now)?;
    change.record.suspended_with = with;
    Ok(change)
}

/// Which key is to be ended, and how.
struct Asked<'a> {
    key_id: &'a KeyId,
    reach: Reach,
    now: UnixMillis,
    permit: &'a Permit<'a>,
}

async fn end<S: Store + ?Sized>(
    store: &S,
    asked: Asked<'_>,
    verb: impl Fn(&KeyRecord) -> Result<Option<Change>, Error>,
    with: impl Fn(&KeyRecord, &KeyRecord, &[KeyId]) -> Result<Option<Change>, Error>,
    field: UpkeepField,
) -> Result<Ended, StoreError> {
    let Asked {
        key_id,
        reach,
        now,
        permit,
    } = asked;
    for _ in 0..TRIES_MAX {
        let found = match record(store, key_id).await {
            Ok(found) if !permit(Ok(&found)) => return Err(StoreError::NotFound),
            Ok(found) => found,
            Err(StoreError::Corrupt(row)) if !permit(Err(&row)) => {
                return Err(StoreError::NotFound);
            }
            Err(StoreError::Corrupt(_)) => {
                match damaged::end(store, key_id, &verb, now).await {
                    // Its row was mended in between.
                    Err(StoreError::Stale) => continue,
                    outcome => return Ok(Ended::of(outcome?)),
                }
            }
            Err(error) => return Err(error),
        };
        let family = Family::of(store, &found, now).await?;
        let reached = family.reached(store, &found, reach, now).await?;
        let change = verb(&found)?;
        let mut batch = Batch::new();
        let mut ids: Vec<KeyId> = family.derived.iter().map(|key| key.id).collect();
        if found.replaced_by.is_some() {
            // What was suspended with its successor waits for that.
            let lineage = store.lineage(&found.lineage).await?.records;
            ids.extend(lineage.iter().map(|key| key.id));
        }
        Family::change(&mut batch, &reached.keys, |key| with(key, &found, &ids))?;
        let derived = batch.updates.clone();
        Family::end_damaged(&mut batch, &reached.damaged, &field)?;
        let is_changed = change.is_some();
        match &change {
            Some(change) => {
                batch.updates.push(change.record.clone());
                batch.events.push(change.event.clone());
            }
            None if batch.updates.is_empty() && batch.upkeep.is_empty() => {
                let left = reached.left;
                return Ok(Ended {
                    left,
                    ..Ended::of(Outcome::Unchanged(found))
                });
            }
            None => batch.unchanged.push((found.id, found.version)),
        }
        batch.note_the_rest(now);
        family.rely_on(&mut batch);
        match store.commit(&batch).await {
            Ok(()) => {
                let record = change.map_or(found, |change| change.record);
                return Ok(Ended {
                    outcome: match is_changed {
                        true => Outcome::Changed(record),
                        false => Outcome::Unchanged(record),
                    },
                    derived,
                    left: reached.left,
                });
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

/// Resumes a suspended key, and the keys that were suspended with it, without those that have more
/// than the keys that they derive from, and what derives from those.
///
/// # Errors
/// As [`keystile::resume`], in [`StoreError::Refused`]; [`StoreError::Derived`] if no key that it
/// derives from is live, or if it has more than that; [`StoreError::NotFound`]; and
/// [`StoreError::Corrupt`] if its row cannot be read: mend the row first.
pub async fn resume_reaching<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
) -> Result<Ended, StoreError> {
    let permit = |_: &KeyRecord| Ok::<(), StoreError>(());
    resume_all(store, key_id, now, permit).await
}

/// As [`resume_reaching`], if `permit` agrees for the record of the key, and of those suspended
/// with it only the ones for which it agrees.
pub(crate) async fn resume_all<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    now: UnixMillis,
    permit: impl Fn(&KeyRecord) -> Result<(), E>,
) -> Result<Ended, E> {
    for _ in 0..TRIES_MAX {
        let found = record(store, key_id).await?;
        permit(&found)?;
        if found.status == Status::Active {
            return Ok(Ended::of(Outcome::Unchanged(found)));
        }
        let change = keystile::resume(&found, now).map_err(StoreError::from)?;
        let mut batch = Batch::new();
        if let Some(source) = live_source(store, &found, now).await? {
            // Its source may have got less while it was suspended.
            if exceeds(&found, &source) {
                return Err(StoreError::from(DerivedProblem::ExceedsSource).into());
            }
            batch.unchanged.push((source.id, source.version));
        }
        let family = Family::of(store, &found, now).await?;
        let lineage = store.lineage(&found.lineage).await?.records;
        let others = lineage.into_iter().filter(|key| key.id != found.id);
        let mut sources: Vec<KeyRecord> = others.filter(|key| key.is_live(now)).collect();
        let versions = sources.iter().map(|key| (key.id, key.version));
        batch.unchanged.extend(versions);
        sources.push(change.record.clone());
        let with = family.resumable(&found, sources, now, |key| permit(key).is_ok());
        Family::change(&mut batch, &with, |key| {
            keystile::resume(key, now).map(Some)
        })?;
        let derived = batch.updates.clone();
        Family::change(&mut batch, from_ref(&found), |_| Ok(Some(change.clone())))?;
        family.rely_on(&mut batch);
        match store.commit(&batch).await {
            Ok(()) => {
                return Ok(Ended {
                    derived,
                    ..Ended::of(Outcome::Changed(change.record))
                });
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Stale.into())
}

/// The key that a key derives from: the one of its lineage that has no successor, or else the last.
/// Nothing if it derives from none.
///
/// # Errors
/// [`StoreError::Derived`] if that one is not live.
pub(crate) async fn live_source<S: Store + ?Sized>(
    store: &S,
    key: &KeyRecord,
    now: UnixMillis,
) -> Result<Option<KeyRecord>, StoreError> {
    let Some(from) = key.derived_from else {
        return Ok(None);
    };
    let lineage = store.lineage(&from.lineage).await?.records;
    let left = lineage
        .into_iter()
        .filter(|source| has_not_ended(source, now));
    // The newest one: an older one may end later, but only by the overlap.
    let last = left.max_by_key(|source| {
        let end = source.ends_at();
        (source.replaced_by.is_none(), end.is_none(), end)
    });
    match last.filter(|source| source.is_live(now)) {
        Some(source) => Ok(Some(source)),
        None => Err(DerivedProblem::SourceNotLive.into()),
    }
}
