//! Changes of records that a store writes together.

use keystile::{
    By, Change, Digest, Event, EventKind, Issued, KeyId, KeyRecord, Status, UnixMillis,
};

use crate::derived::DerivedState;
use crate::error::StoreError;
use crate::issue_once::IssueNote;
use crate::portable::Imported;
use crate::template_version::TemplateVersion;

/// Changes that are written together or not at all.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{save_issued, Batch, MemoryStore, Store, StoreError};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let suspended = Batch::of(&keystile::suspend(&issued.record, now)?);
/// let revoked = Batch::of(&keystile::revoke(&issued.record, "leaked", now)?);
/// store.commit(&suspended).await?;
/// // The revocation was made from the record before that change: read it again first.
/// assert!(matches!(store.commit(&revoked).await, Err(StoreError::Stale)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// New records. The first one of a lineage also creates the lineage's usage.
    pub inserts: Vec<KeyRecord>,
    /// Changed records, each with the version after the stored one.
    pub updates: Vec<KeyRecord>,
    /// Those of `updates` whose remaining uses are written too, for all keys of the lineage.
    /// The uses of others stay: what was spent since the record was read is not given back.
    pub set_uses: Vec<KeyId>,
    /// Uses that are taken off what lineages have left, whatever is spent meanwhile, before those
    /// of `set_uses` are written. If one has fewer left, or its uses are not counted, the batch is
    /// stale.
    pub take_uses: Vec<(KeyId, u64)>,
    /// Changes of single fields.
    pub upkeep: Vec<Upkeep>,
    /// Keys that are removed, each with the version after its stored one.
    pub deletes: Vec<(KeyId, u64)>,
    /// Writes only if these records still have these versions: the batch relies on them, and
    /// changes none of them.
    pub unchanged: Vec<(KeyId, u64)>,
    /// Writes only if this is still the version of the template, and no one changes it before the
    /// batch is written. Otherwise the error is
    /// [`TemplateProblem::Stale`](crate::TemplateProblem::Stale), whatever became of the keys.
    pub template_unchanged: Option<TemplateVersion>,
    /// Writes only if these are then the keys that derive from a lineage.
    pub derived: Vec<DerivedState>,
    /// The events for the audit: at least one of each record, with its version.
    pub events: Vec<Event>,
    /// What an import writes beside the records of `inserts`.
    pub imported: Imported,
    /// The request that the batch is the answer to. If it has another answer of less than a day
    /// ago, the batch is stale. Older answers of any request are removed, at most 100.
    pub issue_request: Option<IssueNote>,
    /// Writes only if this is still the number of the store's last event, for a change that
    /// depends on more than the records it changes. `None` does not compare it.
    pub last_event: Option<u64>,
}

/// A change of one field, made on the version before its own: one that the use of a key
/// brought about, or one of a row that cannot be read. A store writes this field and the
/// version; all others stay as they are stored.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let mut stored = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?.record;
/// use keystile_store::Upkeep;
///
/// let mut read = stored.clone();
/// read.overlap_until = Some(now);
/// read.version += 1;
/// // Meanwhile another program has changed the owner: that stays.
/// stored.owner = Some("tenant-7".into());
/// Upkeep::overlap_until(&read).apply(&mut stored);
/// assert_eq!((stored.overlap_until, stored.owner.as_deref()), (Some(now), Some("tenant-7")));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upkeep {
    /// The key.
    pub key_id: KeyId,
    /// The version of its record from then on.
    pub version: u64,
    /// What changes.
    pub field: UpkeepField,
}

/// The field that [`Upkeep`] writes.
///
/// ```
/// use keystile_store::UpkeepField;
///
/// assert_eq!(UpkeepField::OverlapUntil(None).name(), "overlap_until");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpkeepField {
    /// The digest, under the current pepper.
    Digest(Digest),
    /// The end of a key's overlap.
    OverlapUntil(Option<UnixMillis>),
    /// The key that ends when this one is first used.
    EndsAtFirstUse(Option<KeyId>),
    /// The key is suspended.
    Suspended,
    /// The key is revoked.
    Revoked {
        /// When.
        at: UnixMillis,
        /// Why.
        reason: Box<str>,
    },
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks that any store can keep its records; a store calls this before it writes.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as [`KeyRecord::check`], [`StoreError::OutOfRange`], and
    /// [`StoreError::WithoutEvent`], also if uses are set of a key that is not updated.
    pub fn check(&self) -> Result<(), StoreError> {
        let legal = 1..=i64::MAX.unsigned_abs();
        for record in self.inserts.iter().chain(&self.updates) {
            record.check()?;
            let uses = record.remaining_uses.unwrap_or_default();
            if uses > *legal.end() {
                return Err(StoreError::OutOfRange);
            }
        }
        let versions = self.events.iter().filter_map(|event| event.version);
        let versions = versions.chain(self.written().map(|(_, version)| version));
        let versions = versions.chain(self.template_unchanged.iter().map(|it| it.version));
        if versions
            .into_iter()
            .any(|version| !legal.contains(&version))
        {
            return Err(StoreError::OutOfRange);
        }
        let is_update = |id: &KeyId| self.updates.iter().any(|record| record.id == *id);
        if self.without_event().next().is_some() || !self.set_uses.iter().all(is_update) {
            return Err(StoreError::WithoutEvent);
        }
        Ok(())
    }

    /// Adds an event of each record that has none.
    pub(crate) fn note_the_rest(&mut self, now: UnixMillis) {
        let missing: Vec<_> = self
            .without_event()
            .map(|(id, version)| {
                let event = Event::new(EventKind::Changed, id, now).with_version(version);
                let upkeep = self.upkeep.iter().find(|upkeep| upkeep.key_id == id);
                event.with_changes(upkeep.map(|upkeep| upkeep.field.name()))
            })
            .collect();
        self.events.extend(missing);
    }

    /// The updates whose remaining uses are written, in the order of their lineages.
    pub(crate) fn uses(&self) -> Vec<&KeyRecord> {
        let updates = self.updates.iter();
        let mut set: Vec<_> = updates
            .filter(|record| self.set_uses.contains(&record.id))
            .collect();
        // A stable sort: of updates of the same lineage the last one is written last.
        set.sort_by_key(|record| record.lineage);
        set
    }

    /// The ids and versions that are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (KeyId, u64)> {
        let records = self.inserts.iter().chain(&self.updates);
        let records = records.map(|record| (record.id, record.version));
        let upkeep = self.upkeep.iter();
        let upkeep = upkeep.map(|upkeep| (upkeep.key_id, upkeep.version));
        let removed = self.imported.removed.iter();
        let removed = removed.map(|key| (key.key_id, key.version));
        let records = records.chain(upkeep).chain(self.deletes.iter().copied());
        records.chain(removed)
    }

    fn without_event(&self) -> impl Iterator<Item = (KeyId, u64)> {
        self.written().filter(|(id, version)| {
            !self.events.iter().any(|event| {
                (event.key_id == Some(*id) && event.version == Some(*version))
                    // A successor is noted with the rotation.
                    || (event.successor == Some(*id) && *version == 1)
            })
        })
    }

    /// The same batch, with who writes it on each event that does not say so itself.
    #[must_use]
    pub fn by(mut self, by: &By) -> Self {
        let events = self.events.into_iter();
        self.events = events.map(|event| event.by(by)).collect();
        self
    }

    /// A newly issued key and its event.
    #[must_use]
    pub fn of_issued(issued: &Issued) -> Self {
        Self {
            inserts: Vec::from([issued.record.clone()]),
            events: Vec::from([issued.event.clone()]),
            ..Self::new()
        }
    }

    /// The removal of a key that has ended, and its event.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as [`keystile::delete`].
    pub fn of_delete(record: &KeyRecord, now: UnixMillis) -> Result<Self, StoreError> {
        let event = keystile::delete(record, now)?;
        Ok(Self {
            deletes: Vec::from([(record.id, record.version.saturating_add(1))]),
            events: Vec::from([event]),
            ..Self::new()
        })
    }

    /// One changed record and its event.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        Self {
            updates: Vec::from([change.record.clone()]),
            events: Vec::from([change.event.clone()]),
            ..Self::new()
        }
    }

    /// The new digest of a record, from [`rehash`](keystile::rehash), and its event.
    #[must_use]
    pub fn of_rehash(change: &Change) -> Self {
        Self {
            upkeep: Vec::from([Upkeep::digest(&change.record)]),
            events: Vec::from([change.event.clone()]),
            ..Self::new()
        }
    }
}

impl Upkeep {
    /// The digest of a changed record.
    #[must_use]
    pub const fn digest(record: &KeyRecord) -> Self {
        Self::of(record, UpkeepField::Digest(record.digest))
    }

    /// The end of the overlap of a changed record.
    #[must_use]
    pub const fn overlap_until(record: &KeyRecord) -> Self {
        Self::of(record, UpkeepField::OverlapUntil(record.overlap_until))
    }

    /// The key that ends when that of a changed record is first used.
    #[must_use]
    pub const fn ends_at_first_use(record: &KeyRecord) -> Self {
        Self::of(
            record,
            UpkeepField::EndsAtFirstUse(record.ends_at_first_use),
        )
    }

    /// Changes this field of a record, and its version.
    pub fn apply(&self, record: &mut KeyRecord) {
        record.version = self.version;
        match &self.field {
            UpkeepField::Digest(digest) => record.digest = *digest,
            UpkeepField::OverlapUntil(end) => record.overlap_until = *end,
            UpkeepField::EndsAtFirstUse(key) => record.ends_at_first_use = *key,
            UpkeepField::Suspended => record.status = Status::Suspended,
            UpkeepField::Revoked { at, reason } => {
                record.status = Status::Revoked {
                    at: *at,
                    reason: reason.clone(),
                };
            }
        }
    }

    /// The status of a changed record, if that is one that ends or suspends it: upkeep never
    /// resumes a key.
    #[must_use]
    pub fn status(record: &KeyRecord) -> Option<Self> {
        let field = match &record.status {
            Status::Suspended => UpkeepField::Suspended,
            Status::Revoked { at, reason } => UpkeepField::Revoked {
                at: *at,
                reason: reason.clone(),
            },
            _ => return None,
        };
        Some(Self::of(record, field))
    }

    const fn of(record: &KeyRecord, field: UpkeepField) -> Self {
        Self {
            key_id: record.id,
            version: record.version,
            field,
        }
    }
}

impl UpkeepField {
    /// The field's name in a record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Digest(_) => "digest",
            Self::OverlapUntil(_) => "overlap_until",
            Self::EndsAtFirstUse(_) => "ends_at_first_use",
            Self::Suspended | Self::Revoked { .. } => "status",
        }
    }
}
