//! The trait that a store implements.

use core::future::Future;
use std::collections::BTreeSet;

use keystile::{
    Change, Digest, DigestKind, Event, EventKind, KeyId, KeyRecord, Lookup, Status, UnixMillis,
    Usage,
};

use crate::error::StoreError;

/// The limit on the records or events in one page.
pub const PAGE_MAX: usize = 1_000;

/// A store of records, usage and events.
///
/// A store sees digests and ids, never a key's text. Each method is atomic, and is safe to
/// call from many tasks and processes at once. Texts are compared byte by byte: case matters,
/// and there are no wildcards. The `conformance` module tests an implementation for all of
/// this.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{Filter, MemoryStore, Page, Store, StoreError};
///
/// /// The names of all clients, from any store.
/// async fn clients(store: &impl Store) -> Result<Vec<String>, StoreError> {
///     let mut names = Vec::new();
///     let mut page = Page::first(100);
///     loop {
///         let records = store.list(&Filter::default(), page).await?;
///         names.extend(records.iter().map(|record| record.client_name.to_string()));
///         match records.last() {
///             Some(last) => page = page.after(last.id),
///             None => return Ok(names),
///         }
///     }
/// }
///
/// assert!(clients(&MemoryStore::new()).await?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Store: Send + Sync {
    /// The record for a presented key, with the current `remaining_uses`.
    fn find(
        &self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// Every record of a lineage, the oldest first, all read at the same instant.
    fn lineage(
        &self,
        lineage: &KeyId,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Records in the order of their insertion, starting after `page.after`.
    ///
    /// [`StoreError::NotFound`] if there is no record `page.after`.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Inserts and updates records and appends events, all or nothing.
    ///
    /// If an id or digest already exists, the result is [`StoreError::Duplicate`]. An inserted
    /// record also creates the usage of its lineage, unless the lineage has one.
    ///
    /// An update is accepted only if the stored version is the one before its own, and if it
    /// does not give a revoked record another status, instant or reason; otherwise the result
    /// is [`StoreError::Stale`]. It does not change the lineage, the last use and the
    /// remaining uses. [Upkeep](Batch::upkeep) is accepted as an update is, but never of a
    /// revoked record, and writes only the fields that it names.
    ///
    /// A record without an event in the batch is [`StoreError::WithoutEvent`]: other
    /// processes are notified of changes by their events.
    ///
    /// If `batch.last_event` is set and another event was written since, the result is
    /// [`StoreError::Stale`]. Of concurrent batches with the same number, at most one is
    /// written.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What a lineage has spent; the default for an unknown lineage.
    fn usage(&self, lineage: &KeyId) -> impl Future<Output = Result<Usage, StoreError>> + Send;

    /// Replaces usage if it is still `request.before` and the key's record still has the
    /// version of the decision; returns whether it did.
    fn spend(
        &self,
        request: &SpendRequest,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Records last uses in bulk. A use that is older than the stored one changes nothing;
    /// neither does a use of an unknown key. Versions do not change.
    fn note_uses(
        &self,
        uses: &[(KeyId, UnixMillis)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Events with their numbers in the order in which they were written, starting after the
    /// number `after`; at most `limit` and [`PAGE_MAX`].
    ///
    /// With a `key_id`, only the events of that key, and the rotation that created it.
    ///
    /// Events become visible in the order of their numbers: a caller that continues after
    /// the last number that it read misses none.
    fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Event)>, StoreError>> + Send;

    /// The versions of the peppers that the digests of keys were made with, ascending, without
    /// those of revoked keys only.
    ///
    /// The default implementation reads all records.
    fn pepper_versions(&self) -> impl Future<Output = Result<Vec<u32>, StoreError>> + Send {
        async {
            let mut versions = BTreeSet::new();
            let mut page = Page::first(PAGE_MAX);
            loop {
                let records = self.list(&Filter::default(), page).await?;
                let Some(last) = records.last() else {
                    return Ok(versions.into_iter().collect());
                };
                page = page.after(last.id);
                versions.extend(records.iter().filter_map(pepper_of));
            }
        }
    }

    /// The number of the last event; 0 if there is none.
    ///
    /// Callers that need only later events start after it. The default implementation reads
    /// all events.
    fn last_event(&self) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async {
            let mut last = 0;
            while let Some((number, _)) = self.events(None, last, PAGE_MAX).await?.last() {
                last = *number;
            }
            Ok(last)
        }
    }
}

/// The version of the pepper that a key needs, unless it is revoked.
pub(crate) fn pepper_of(record: &KeyRecord) -> Option<u32> {
    match record.digest.kind() {
        DigestKind::HmacSha256 { pepper } => {
            (!matches!(record.status, Status::Revoked { .. })).then_some(pepper)
        }
        _ => None,
    }
}

/// Which records a list contains. A field that is `None` does not restrict it; the default
/// lists all.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{issue, IssueRequest, KeyFormat, PepperRing, SysRng, UnixMillis};
/// use keystile_store::{Filter, MemoryStore, Page, Store, save_issued};
///
/// let store = MemoryStore::new();
/// let format = KeyFormat::structured("acme")?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let request = IssueRequest::new("Acme Ltd")?.owner("account-7")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
///
/// let page = Page::first(100);
/// assert_eq!(store.list(&Filter::of_owner("account-7"), page).await?.len(), 1);
/// assert_eq!(store.list(&Filter::of_client("Acme Ltd"), page).await?.len(), 1);
/// assert!(store.list(&Filter::of_owner("account"), page).await?.is_empty());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Only records of this owner.
    pub owner: Option<Box<str>>,
    /// Only records of this client.
    pub client_name: Option<Box<str>>,
}

impl Filter {
    /// The records of this owner.
    #[must_use]
    pub fn of_owner(owner: &str) -> Self {
        Self {
            owner: Some(owner.into()),
            client_name: None,
        }
    }

    /// The records of this client.
    #[must_use]
    pub fn of_client(client_name: &str) -> Self {
        Self {
            owner: None,
            client_name: Some(client_name.into()),
        }
    }

    /// Whether the list contains this record. Names are compared in full, byte by byte.
    #[must_use]
    pub fn shows(&self, record: &KeyRecord) -> bool {
        self.owner
            .as_ref()
            .is_none_or(|owner| record.owner.as_ref() == Some(owner))
            && self
                .client_name
                .as_ref()
                .is_none_or(|name| record.client_name == *name)
    }
}

/// A part of a list.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{save_issued, Filter, MemoryStore, Page, Store, StoreError};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let first = store.list(&Filter::default(), Page::first(10)).await?;
/// assert_eq!(first.len(), 1);
/// let next = Page::first(10).after(first[0].id);
/// assert!(store.list(&Filter::default(), next).await?.is_empty());
///
/// let unknown = Page::first(10).after("1AbCdEfGhIjKlMnO".parse()?);
/// let refused = store.list(&Filter::default(), unknown).await;
/// assert!(matches!(refused, Err(StoreError::NotFound)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The record before the first one of this page; `None` starts at the beginning.
    pub after: Option<KeyId>,
    /// The limit on records, which is never more than [`PAGE_MAX`].
    pub limit: usize,
}

impl Page {
    /// The first page, of this size.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The page after this record.
    #[must_use]
    pub const fn after(self, id: KeyId) -> Self {
        Self {
            after: Some(id),
            ..self
        }
    }
}

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
    /// Changes of single fields that the use of a key brought about.
    pub upkeep: Vec<Upkeep>,
    /// The events for the audit: at least one of each record, with its version.
    pub events: Vec<Event>,
    /// Writes only if this is still the number of the store's last event, for a change that
    /// depends on more than the records it changes. `None` does not compare it.
    pub last_event: Option<u64>,
}

/// A change of one field that the use of a key brought about, made on the version before its
/// own. A store writes this field and the version; all others stay as they are stored.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpkeepField {
    /// The digest, under the current pepper.
    Digest(Digest),
    /// The end of a key's overlap.
    OverlapUntil(Option<UnixMillis>),
    /// The key that ends when this one is first used.
    EndsAtFirstUse(Option<KeyId>),
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
    /// [`StoreError::WithoutEvent`].
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
        if versions
            .into_iter()
            .any(|version| !legal.contains(&version))
        {
            return Err(StoreError::OutOfRange);
        }
        if self.without_event().next().is_some() {
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

    /// The ids and versions that are written.
    fn written(&self) -> impl Iterator<Item = (KeyId, u64)> {
        let records = self.inserts.iter().chain(&self.updates);
        let records = records.map(|record| (record.id, record.version));
        let upkeep = self.upkeep.iter();
        records.chain(upkeep.map(|upkeep| (upkeep.key_id, upkeep.version)))
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
    pub const fn apply(&self, record: &mut KeyRecord) {
        record.version = self.version;
        match self.field {
            UpkeepField::Digest(digest) => record.digest = digest,
            UpkeepField::OverlapUntil(end) => record.overlap_until = end,
            UpkeepField::EndsAtFirstUse(key) => record.ends_at_first_use = key,
        }
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
        }
    }
}

/// A request to spend what a decision requires.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(5)?, &mut SysRng, now)?;
/// use keystile::Usage;
/// use keystile_store::{save_issued, MemoryStore, SpendRequest, Store};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let before = store.usage(&issued.record.lineage).await?;
/// let after = Usage::new(before.rate, Some(4));
/// let request = SpendRequest::new(&issued.record, before, after);
/// assert!(store.spend(&request).await?);
/// // Another request that was decided at the same time must be decided again.
/// assert!(!store.spend(&request).await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpendRequest {
    /// The key that the decision allowed.
    pub key_id: KeyId,
    /// The version of its record.
    pub version: u64,
    /// The lineage of the usage.
    pub lineage: KeyId,
    /// The usage before the decision.
    pub before: Usage,
    /// The usage after the decision.
    pub after: Usage,
}

impl SpendRequest {
    /// The request for a decision on `record`.
    #[must_use]
    pub const fn new(record: &KeyRecord, before: Usage, after: Usage) -> Self {
        Self {
            key_id: record.id,
            version: record.version,
            lineage: record.lineage,
            before,
            after,
        }
    }
}
