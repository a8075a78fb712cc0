//! Changing a key in a store, and what follows for the keys that derive from it.

use keystile::{Event, EventKind, KeyChange, KeyId, KeyRecord, Status, UnixMillis};

use crate::batch::Batch;
use crate::cascade::{Ended, live_source, marked};
use crate::derived::{DerivedProblem, OfDerived};
use crate::error::StoreError;
use crate::family::{Family, exceeds, has_not_ended};
use crate::outcome::Outcome;
use crate::store::Store;
use crate::template_version::TemplateVersion;
use crate::verbs::{TRIES_MAX, record};

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
/// If keys that derive from it would exceed it afterwards, the change is refused, and names them:
/// [`change_derived`] can say what becomes of them.
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
    let changed = change_derived(store, key_id, requested, OfDerived::Refuse, now, permit).await?;
    Ok(changed.outcome)
}

/// As [`change_if`], and says what becomes of the keys that derive from it and would exceed it. The
/// result has those that were changed with it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile::{KeyChange, PermissionSet};
/// use keystile_store::{
///     change, change_derived, delegate, record, save_issued, DerivedProblem, MemoryStore,
///     OfDerived, StoreError,
/// };
///
/// let store = MemoryStore::new();
/// let source = IssueRequest::new("Acme")?.permissions(["read", "write"])?;
/// let source = issuer.issue(&source, &mut SysRng, now)?;
/// save_issued(&store, &source).await?;
/// let source = source.record.id;
/// let request = IssueRequest::new("Shop")?.permissions(["write"])?;
/// let derived = delegate(&store, &source, &issuer, &request, &mut SysRng, now).await?.record.id;
///
/// let less = KeyChange::new().permissions(PermissionSet::new(["read"])?);
/// let refused = change(&store, &source, &less, now).await.unwrap_err();
/// assert!(matches!(&refused, StoreError::Derived(DerivedProblem::WouldExceed(keys))
///     if *keys == [derived]));
/// let all = |_: &_, _: &_| Ok::<(), StoreError>(());
/// let changed = change_derived(&store, &source, &less, OfDerived::Revoke, now, all).await?;
/// assert_eq!(changed.derived[0].id, derived);
/// assert!(!record(&store, &derived).await?.is_live(now));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of `permit`, and as [`change`].
pub async fn change_derived<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    of_derived: OfDerived,
    now: UnixMillis,
    permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
) -> Result<Ended, E> {
    let written = write_change(store, key_id, requested, of_derived, now, None, permit).await?;
    Ok(written.ended())
}

/// A change, and the other keys that it concerns.
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    /// The other keys that have a new version: those of the lineage, and derived ones.
    pub(crate) others: Vec<KeyRecord>,
}

impl Written {
    fn of(batch: Batch, record: KeyRecord) -> Self {
        let others = batch.updates.into_iter();
        Self {
            others: others.filter(|other| other.id != record.id).collect(),
            outcome: Outcome::Changed(record),
        }
    }

    const fn nothing(found: KeyRecord) -> Self {
        Self {
            outcome: Outcome::Unchanged(found),
            others: Vec::new(),
        }
    }

    /// What became of the key, and of those that derive from it.
    pub(crate) fn ended(self) -> Ended {
        let lineage = self.outcome.record().map(|record| record.lineage);
        let mut ended = Ended::of(self.outcome);
        let others = self.others.into_iter();
        let derived = others.filter(|other| Some(other.lineage) != lineage);
        ended.derived.extend(derived);
        ended
    }
}

/// It writes only as long as `template` is the version of it.
pub(crate) async fn write_change<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    of_derived: OfDerived,
    now: UnixMillis,
    template: Option<&TemplateVersion>,
    permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
) -> Result<Written, E> {
    for _ in 0..TRIES_MAX {
        let (mut batch, record) =
            match prepared(store, key_id, requested, of_derived, now, &permit).await? {
                Prepared::Nothing(found) => return Ok(Written::nothing(found)),
                Prepared::Change(batch, record) => (batch, record),
            };
        batch.template_unchanged = template.cloned();
        match store.commit(&batch).await {
            Ok(()) => return Ok(Written::of(*batch, record)),
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Stale.into())
}

/// What [`change_derived`] would do, and would refuse. Writes nothing.
///
/// # Errors
/// As [`change_derived`].
pub async fn would_change<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    of_derived: OfDerived,
    now: UnixMillis,
    permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
) -> Result<Ended, E> {
    let prepared = prepared(store, key_id, requested, of_derived, now, &permit).await?;
    let written = match prepared {
        Prepared::Nothing(found) => Written::nothing(found),
        Prepared::Change(batch, record) => Written::of(*batch, record),
    };
    Ok(written.ended())
}

/// A change that is ready to be written.
enum Prepared {
    /// There is nothing to change of this record.
    Nothing(KeyRecord),
    /// The batch, and the record that it leaves.
    Change(Box<Batch>, KeyRecord),
}

async fn prepared<S: Store + ?Sized, E: From<StoreError>>(
    store: &S,
    key_id: &KeyId,
    requested: &KeyChange,
    of_derived: OfDerived,
    now: UnixMillis,
    permit: &impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
) -> Result<Prepared, E> {
    let found = record(store, key_id).await?;
    if !requested.alters(&found, now).map_err(StoreError::from)? {
        permit(&found, &found)?;
        return Ok(Prepared::Nothing(found));
    }
    let change = keystile::change(&found, requested, now).map_err(StoreError::from)?;
    permit(&found, &change.record)?;
    let mut batch = Batch::of(&change);
    let after = &change.record;
    if requested.sets_uses() && found.remaining_uses != after.remaining_uses {
        set_uses(store, &mut batch, &found, now).await?;
        // Those of a derived key were taken off its source's, so none may be given twice:
        // they are replaced only if none was spent since they were read.
        if let (Some(_), Some(read)) = (found.derived_from, found.remaining_uses) {
            batch.take_uses.push((found.lineage, read));
        }
    }
    rely_on_source(store, &mut batch, &found, after, now).await?;
    of_those_that_derive(store, &mut batch, &found, after, of_derived, now).await?;
    Ok(Prepared::Change(Box::new(batch), change.record))
}

/// The uses of a lineage are in force for each of its keys, so each gets a new version.
async fn set_uses<S: Store + ?Sized>(
    store: &S,
    batch: &mut Batch,
    found: &KeyRecord,
    now: UnixMillis,
) -> Result<(), StoreError> {
    batch.set_uses.push(found.id);
    let lineage = store.lineage(&found.lineage).await?;
    let others = lineage.records.into_iter();
    for mut sibling in others.filter(|key| key.id != found.id && has_not_ended(key, now)) {
        sibling.version = sibling.version.saturating_add(1);
        let event = Event::new(EventKind::Changed, sibling.id, now);
        let event = event.with_version(sibling.version);
        batch.events.push(event.with_changes(["remaining_uses"]));
        batch.updates.push(sibling);
    }
    Ok(())
}

/// P4: a change may give a derived key no more than its source has. Uses that it gets in
/// addition are taken off the source's.
async fn rely_on_source<S: Store + ?Sized>(
    store: &S,
    batch: &mut Batch,
    before: &KeyRecord,
    after: &KeyRecord,
    now: UnixMillis,
) -> Result<(), StoreError> {
    if after.is_within(before) {
        return Ok(());
    }
    let Some(source) = live_source(store, before, now).await? else {
        return Ok(());
    };
    let mut asked = after.clone();
    if let (Some(held), Some(uses)) = (source.remaining_uses, asked.remaining_uses) {
        let more = uses.saturating_sub(before.remaining_uses.unwrap_or(0));
        asked.remaining_uses = Some(more);
        if more > 0 && more <= held {
            batch.take_uses.push((source.lineage, more));
        }
    }
    if !asked.is_within(&source) {
        return Err(DerivedProblem::ExceedsSource.into());
    }
    batch.unchanged.push((source.id, source.version));
    Ok(())
}

/// What becomes of the keys that derive from the changed one and would exceed it.
async fn of_those_that_derive<S: Store + ?Sized>(
    store: &S,
    batch: &mut Batch,
    before: &KeyRecord,
    after: &KeyRecord,
    of_derived: OfDerived,
    now: UnixMillis,
) -> Result<(), StoreError> {
    // Uses were taken off when a derived key got them.
    let mut counted = before.clone();
    if counted.remaining_uses.is_some() {
        counted.remaining_uses = after.remaining_uses;
    }
    if counted.is_within(after) {
        return Ok(());
    }
    let family = Family::of(store, before, now).await?;
    let exceeding = family.derived.iter();
    let exceeding = exceeding.filter(|key| has_not_ended(key, now) && exceeds(key, after));
    let exceeding: Vec<KeyRecord> = exceeding.cloned().collect();
    let verb = |key: &KeyRecord| match of_derived {
        OfDerived::Revoke => keystile::revoke(key, EXCEEDED, now).map(Some),
        OfDerived::Suspend if key.status == Status::Active => {
            let mut change = keystile::suspend(key, now)?;
            change.event.reason = Some(EXCEEDED.into());
            Ok(Some(change))
        }
        // Otherwise it would be resumed with its source.
        OfDerived::Suspend if key.suspended_with.is_some() => marked(key, None, now).map(Some),
        _ => Ok(None),
    };
    if of_derived == OfDerived::Refuse && !exceeding.is_empty() {
        let keys = exceeding.iter().map(|key| key.id).collect();
        return Err(DerivedProblem::WouldExceed(keys).into());
    }
    Family::change(batch, &exceeding, verb)?;
    for (key, source) in family.below(&exceeding) {
        let change = match of_derived {
            OfDerived::Revoke => Some(keystile::revoke(key, EXCEEDED, now)?),
            OfDerived::Suspend if key.status == Status::Active => {
                let mut change = keystile::suspend(key, now)?;
                change.record.suspended_with = Some(source);
                change.event.reason = Some(format!("with {source}").into());
                Some(change)
            }
            OfDerived::Suspend if key.suspended_with == Some(before.id) => {
                Some(marked(key, Some(source), now)?)
            }
            _ => None,
        };
        if let Some(change) = change {
            batch.updates.push(change.record);
            batch.events.push(change.event);
        }
    }
    family.rely_on(batch);
    Ok(())
}

/// Why a derived key was ended by a change of its source.
const EXCEEDED: &str = "it exceeded the key that it derives from";
