//! A store in memory, for tests and for programs whose keys may end with the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{Event, KeyId, KeyRecord, Lookup, Status, UnixMillis, Usage};

use crate::batch::Batch;
use crate::derived::{DerivedState, descendants};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{Cursor, Listed, ListedEvents, PAGE_MAX, Page};
use crate::store::{SpendRequest, Store};
use crate::stored_usage::{RateNote, StoredUsage};

/// A store in memory. Its records are lost when it is dropped.
///
/// It behaves as a store on disk does. One lock protects all of it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{check, save_issued, MemoryStore, StoreError};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// assert!(matches!(save_issued(&store, &issued).await, Err(StoreError::Duplicate)));
///
/// let verifier = Verifier::new(format);
/// let key = issued.key.expose().as_bytes();
/// assert!(check(&store, &verifier, key, &Request::new(), now).await?.decision.is_allow());
/// let other = MemoryStore::new(); // knows nothing of it
/// assert!(!check(&other, &verifier, key, &Request::new(), now).await?.decision.is_allow());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A batch is written only after all of it was checked, so a panic elsewhere cannot
        // have left half of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    /// In the order of insertion.
    records: Vec<KeyRecord>,
    by_id: HashMap<KeyId, usize>,
    by_digest: HashMap<[u8; 32], usize>,
    usage: HashMap<KeyId, Usage>,
    events: Vec<Event>,
}

impl State {
    fn by_id(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.by_id.get(id).and_then(|&at| self.records.get(at))
    }

    /// The position after the one that a cursor names.
    fn after(&self, cursor: &Cursor) -> Option<usize> {
        let at = match cursor.row() {
            Some(row) => usize::try_from(row).ok(),
            None => cursor.key_id().and_then(|id| self.by_id.get(id).copied()),
        };
        at.map(|at| at.saturating_add(1))
    }

    /// The record as a reader gets it, with the current remaining uses.
    fn with_usage(&self, record: &KeyRecord) -> KeyRecord {
        let mut record = record.clone();
        record.remaining_uses = self
            .usage
            .get(&record.lineage)
            .and_then(|usage| usage.remaining);
        record
    }

    /// The records to write and their positions, if all of the batch can be written.
    fn stage(&self, batch: &Batch) -> Result<Vec<(usize, KeyRecord)>, StoreError> {
        let mut ids = HashMap::new();
        let mut staged: Vec<(usize, KeyRecord)> = Vec::new();
        let mut next = self.records.len();
        for record in &batch.inserts {
            if self.by_id.contains_key(&record.id) || ids.insert(record.id, staged.len()).is_some()
            {
                return Err(StoreError::Duplicate);
            }
            staged.push((next, record.clone()));
            next = next.saturating_add(1);
        }
        for record in &batch.updates {
            let slot = ids.get(&record.id).copied();
            let stored = match slot {
                Some(slot) => staged.get(slot).map(|(_, record)| record),
                None => self.by_id(&record.id),
            };
            let stored = stored.ok_or(StoreError::Stale)?;
            let revoked = matches!(stored.status, Status::Revoked { .. });
            if stored.version.checked_add(1) != Some(record.version)
                || stored.lineage != record.lineage
                || (revoked && stored.status != record.status)
            {
                return Err(StoreError::Stale);
            }
            if let Some(earlier) = slot.and_then(|slot| staged.get_mut(slot)) {
                earlier.1 = record.clone();
                continue;
            }
            let at = self
                .by_id
                .get(&record.id)
                .copied()
                .ok_or(StoreError::Stale)?;
            ids.insert(record.id, staged.len());
            staged.push((at, record.clone()));
        }
        for upkeep in &batch.upkeep {
            let slot = ids.get(&upkeep.key_id).copied();
            let at = self.by_id.get(&upkeep.key_id).copied();
            let stored = match slot {
                Some(slot) => staged.get(slot).cloned(),
                None => at.and_then(|at| Some((at, self.records.get(at)?.clone()))),
            };
            let (at, mut record) = stored.ok_or(StoreError::Stale)?;
            if record.version.checked_add(1) != Some(upkeep.version)
                || matches!(record.status, Status::Revoked { .. })
            {
                return Err(StoreError::Stale);
            }
            upkeep.apply(&mut record);
            match slot.and_then(|slot| staged.get_mut(slot)) {
                Some(earlier) => earlier.1 = record,
                None => {
                    ids.insert(record.id, staged.len());
                    staged.push((at, record));
                }
            }
        }
        let mut digests = HashMap::new();
        for (at, record) in &staged {
            let bytes = record.digest.bytes();
            let holder = self.by_digest.get(bytes).copied();
            // A digest that its key gives up in the same batch is still taken: no verb moves a
            // digest to another key.
            if holder.is_some_and(|holder| holder != *at) || digests.insert(*bytes, *at).is_some() {
                return Err(StoreError::Duplicate);
            }
        }
        Ok(staged)
    }

    /// Whether what the batch relies on is so.
    fn check_reliance(
        &self,
        batch: &Batch,
        staged: &[(usize, KeyRecord)],
    ) -> Result<(), StoreError> {
        let unchanged = batch.unchanged.iter().all(|(id, version)| {
            let stored = self.by_id(id);
            stored.is_some_and(|record| record.version == *version)
        });
        let mut taken: HashMap<KeyId, u64> = HashMap::new();
        for (lineage, uses) in &batch.take_uses {
            let sum = taken.entry(*lineage).or_default();
            *sum = sum.saturating_add(*uses);
        }
        let enough = taken.iter().all(|(lineage, uses)| {
            let left = self.usage.get(lineage).and_then(|usage| usage.remaining);
            left.is_some_and(|left| left >= *uses)
        });
        if !unchanged || !enough {
            return Err(StoreError::Stale);
        }
        if batch.derived.is_empty() {
            return Ok(());
        }
        let written: HashMap<KeyId, &KeyRecord> = staged
            .iter()
            .map(|(_, record)| (record.id, record))
            .collect();
        let stored = self.records.iter();
        let mut after: Vec<&KeyRecord> = stored
            .map(|record| written.get(&record.id).copied().unwrap_or(record))
            .collect();
        let is_new = |record: &&KeyRecord| !self.by_id.contains_key(&record.id);
        after.extend(staged.iter().map(|(_, record)| record).filter(is_new));
        let same = batch.derived.iter().all(|expected| {
            let derived = descendants(&after, &expected.lineage);
            let derived: Vec<_> = derived.into_iter().cloned().collect();
            let source = self.by_id(&expected.key_id);
            source.is_some_and(|source| {
                source.lineage == expected.lineage
                    && DerivedState::of(source, &derived) == *expected
            })
        });
        match same {
            true => Ok(()),
            false => Err(StoreError::Stale),
        }
    }

    fn write(&mut self, staged: Vec<(usize, KeyRecord)>) {
        for (at, record) in staged {
            self.by_digest.insert(*record.digest.bytes(), at);
            match self.records.get_mut(at) {
                Some(stored) => {
                    if stored.digest.bytes() != record.digest.bytes() {
                        self.by_digest.remove(stored.digest.bytes());
                    }
                    // A batch does not change the last use.
                    let last_used_at = stored.last_used_at;
                    *stored = record;
                    stored.last_used_at = last_used_at;
                }
                None => {
                    self.by_id.insert(record.id, at);
                    self.usage
                        .entry(record.lineage)
                        .or_insert_with(|| Usage::of(&record));
                    self.records.push(record);
                }
            }
        }
    }
}

impl Store for MemoryStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let state = self.state();
        let found = match lookup {
            Lookup::Id(id) => state.by_id(id),
            Lookup::Digests(digests) => digests.iter().find_map(|digest| {
                let at = state.by_digest.get(digest.bytes())?;
                state
                    .records
                    .get(*at)
                    .filter(|record| record.digest == *digest)
            }),
            _ => None,
        };
        Ok(found.map(|record| state.with_usage(record)))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let state = self.state();
        let members = state
            .records
            .iter()
            .filter(|record| record.lineage == *lineage);
        let members = members.map(|record| state.with_usage(record)).collect();
        Ok(Listed::of(members, None))
    }

    async fn derived(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let state = self.state();
        let all: Vec<&KeyRecord> = state.records.iter().collect();
        let derived = descendants(&all, lineage);
        let derived = derived
            .into_iter()
            .filter(|record| !matches!(record.status, Status::Revoked { .. }));
        let derived = derived.map(|record| state.with_usage(record)).collect();
        Ok(Listed::of(derived, None))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let state = self.state();
        let start = match page.after {
            None => 0,
            Some(cursor) => state.after(&cursor).ok_or(StoreError::NotFound)?,
        };
        let limit = page.limit.min(PAGE_MAX);
        let numbered = (0_i64..).zip(&state.records).skip(start);
        let shown: Vec<_> = numbered
            .filter(|(_, record)| filter.shows(record))
            .take(limit)
            .collect();
        let last = shown.last().filter(|_| shown.len() == limit);
        let next = last.map(|(row, record)| Cursor::new(*row, Some(record.id)));
        let records = shown.iter().map(|(_, record)| state.with_usage(record));
        Ok(Listed::of(records.collect(), next))
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut state = self.state();
        if let Some(expected) = batch.last_event
            && u64::try_from(state.events.len()) != Ok(expected)
        {
            return Err(StoreError::Stale);
        }
        let staged = state.stage(batch)?;
        state.check_reliance(batch, &staged)?;
        state.write(staged);
        for (lineage, uses) in &batch.take_uses {
            if let Some(usage) = state.usage.get_mut(lineage) {
                usage.remaining = usage.remaining.map(|left| left.saturating_sub(*uses));
            }
        }
        for record in batch.uses() {
            if let Some(usage) = state.usage.get_mut(&record.lineage) {
                usage.remaining = record.remaining_uses;
            }
        }
        state.events.extend_from_slice(&batch.events);
        Ok(())
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let usage = self.state().usage.get(lineage).copied();
        Ok(StoredUsage::new(usage.unwrap_or_default(), None))
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        let mut state = self.state();
        let unchanged = state.by_id(&request.key_id).is_some_and(|record| {
            record.version == request.version && record.lineage == request.lineage
        });
        match state.usage.get_mut(&request.lineage) {
            Some(usage) if unchanged && *usage == request.before => {
                *usage = request.after;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        let mut state = self.state();
        for note in rates {
            if let Some(usage) = state.usage.get_mut(&note.lineage) {
                usage.rate = note.merged(usage.rate, now);
            }
        }
        Ok(())
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        let mut state = self.state();
        for (id, at) in uses {
            let Some(&at_index) = state.by_id.get(id) else {
                continue;
            };
            if let Some(record) = state.records.get_mut(at_index) {
                record.last_used_at = record.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let state = self.state();
        let numbered = (1..).zip(&state.events);
        let matching = numbered.filter(|(number, event)| {
            *number > after
                && key_id.is_none_or(|id| event.key_id == Some(*id) || event.successor == Some(*id))
        });
        let page = matching.take(limit.min(PAGE_MAX));
        let page = page.map(|(number, event)| (number, event.clone()));
        Ok(ListedEvents::of(page.collect()))
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        u64::try_from(self.state().events.len()).map_err(|_| StoreError::OutOfRange)
    }
}
