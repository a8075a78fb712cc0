//! The trait that a store implements.

use core::future::Future;

use keystile::{Change, Event, KeyId, KeyRecord, Lookup, UnixMillis, Usage};

use crate::error::StoreError;

/// Most records or events in one page.
pub const PAGE_MAX: usize = 1_000;

/// Where records, usage and events are kept.
///
/// A store sees digests and ids, never a key's text. Each method is one step that takes
/// effect whole or not at all, and is safe to call from many tasks and processes at once.
/// Texts are compared byte by byte: neither case nor a wildcard counts.
/// The `conformance` module holds an implementation to all of this.
pub trait Store: Send + Sync {
    /// The record for a presented key, with `remaining_uses` as they are now.
    fn find(
        &self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// Every record of a lineage, the oldest first, all as they were at one instant.
    fn lineage(
        &self,
        lineage: &KeyId,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Records in the order they were inserted in, beginning behind `page.after`.
    ///
    /// [`StoreError::NotFound`] where there is no record to begin behind.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, StoreError>> + Send;

    /// Inserts and updates records and appends events, all or nothing.
    ///
    /// An id or digest that is there already is [`StoreError::Duplicate`]. An inserted
    /// record brings its lineage's usage with it, unless the lineage has some.
    ///
    /// An update is accepted only over the version before its own, and never gives a
    /// revoked record another status, instant or reason: else [`StoreError::Stale`]. It
    /// leaves the lineage, the last use and the uses that are left as they are stored.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What a lineage has spent; of a lineage that is not there, the default.
    fn usage(&self, lineage: &KeyId) -> impl Future<Output = Result<Usage, StoreError>> + Send;

    /// Writes usage back if it is still `claim.before` and the key's record still has the
    /// version that was judged; answers whether it did.
    fn spend(&self, claim: &SpendRequest) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Notes last uses in bulk. A use older than the one noted changes nothing; neither
    /// does one of a key that is not there. Versions stay.
    fn note_uses(
        &self,
        uses: &[(KeyId, UnixMillis)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Events in the order they were written in, each with its number, beginning behind
    /// the number `after`; at most `limit` and [`PAGE_MAX`].
    ///
    /// Of one key they are those that happened to it, and the rotation that it came from.
    ///
    /// An event never becomes visible behind one with a higher number: who reads on from
    /// the last number that was there misses none.
    fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, Event)>, StoreError>> + Send;

    /// The number of the last event; 0 where there is none.
    ///
    /// Whoever wants only what happens from now on begins behind it. Unless a store knows
    /// a shorter way, all events are read.
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

/// Which records a list shows. What is left out does not restrict it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Of this owner alone.
    pub owner: Option<Box<str>>,
    /// Of this client alone.
    pub client_name: Option<Box<str>>,
}

impl Filter {
    /// Whether the list shows this record. Names are compared as a whole, byte by byte.
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
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page {
    /// Begins behind this record; at the start where it is none.
    pub after: Option<KeyId>,
    /// At most so many, and never more than [`PAGE_MAX`].
    pub limit: usize,
}

impl Page {
    /// The first page, of this size.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The page behind this record.
    #[must_use]
    pub const fn after(self, id: KeyId) -> Self {
        Self {
            after: Some(id),
            ..self
        }
    }
}

/// Changes that are written all or not at all.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// New records. The first of a lineage brings the lineage's usage with it.
    pub inserts: Vec<KeyRecord>,
    /// Changed records, each of the version after the stored one.
    pub updates: Vec<KeyRecord>,
    /// What the audit keeps.
    pub events: Vec<Event>,
}

impl Batch {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether its records are within what any store can keep; a store looks at this
    /// before it writes.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as [`KeyRecord::check`], and [`StoreError::OutOfRange`].
    pub fn check(&self) -> Result<(), StoreError> {
        for record in self.inserts.iter().chain(&self.updates) {
            record.check()?;
            let legal = 1..=i64::MAX.unsigned_abs();
            let uses = record.remaining_uses.unwrap_or_default();
            if !legal.contains(&record.version) || uses > *legal.end() {
                return Err(StoreError::OutOfRange);
            }
        }
        Ok(())
    }

    /// One changed record and its event.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        Self {
            inserts: Vec::new(),
            updates: Vec::from([change.record.clone()]),
            events: Vec::from([change.event.clone()]),
        }
    }
}

/// A decision's claim on what it spends.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpendRequest {
    /// The key that was judged.
    pub key_id: KeyId,
    /// The version of its record.
    pub version: u64,
    /// The lineage whose usage it is.
    pub lineage: KeyId,
    /// The usage that was judged.
    pub before: Usage,
    /// The usage after the decision.
    pub after: Usage,
}

impl SpendRequest {
    /// A claim for a decision on `record`.
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
