//! A store in memory, for tests and for programs whose keys may end with the process.

mod portable;
mod templates;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{
    By, Event, EventKind, KeyId, KeyRecord, Lookup, Status, TemplateName, UnixMillis, Usage,
};

use self::templates::Templates;
use crate::batch::Batch;
use crate::derived::{DerivedState, descendants};
use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::family::has_not_ended;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::{Cursor, Listed, ListedEvents, PAGE_MAX, Page};
use crate::portable::{Asked, DigestBytes, Exported, Known, RemovedKey, RemovedKeys};
use crate::store::{SpendRequest, Store};
use crate::stored_usage::{RateNote, StoredUsage};
use crate::template::{ListedTemplates, StoredTemplate};

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
    /// The places of removed records, which stay in `records` so that no other place changes.
    gone: HashMap<KeyId, usize>,
    /// The digests that keys had before, and those of removed keys.
    former: HashMap<[u8; 32], KeyId>,
    /// Keys that another store has removed.
    elsewhere: HashMap<KeyId, RemovedKey>,
    /// The answers of requests, by caller and idempotency key.
    answers: HashMap<(Box<str>, DigestBytes), IssueAnswer>,
    usage: HashMap<KeyId, Usage>,
    /// With their numbers, which increase.
    events: Vec<(u64, Event)>,
    last_event: u64,
    templates: Templates,
}

impl State {
    fn by_id(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.by_id.get(id).and_then(|&at| self.records.get(at))
    }

    /// The position after the one that a cursor names.
    fn after(&self, cursor: &Cursor) -> Option<usize> {
        let at = match cursor.row() {
            Some(row) => usize::try_from(row).ok(),
            None => cursor.key_id().and_then(|id| {
                let gone = || self.gone.get(id);
                self.by_id.get(id).or_else(gone).copied()
            }),
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
            let elsewhere = self.elsewhere.get(&record.id);
            if self.removed(&record.id).is_some_and(is_revoked)
                || elsewhere.is_some_and(|removed| removed.revoked.is_some())
                || self.was_revoked(record.digest.bytes())
            {
                return Err(StoreError::Duplicate);
            }
            if self.by_id.contains_key(&record.id) || ids.insert(record.id, staged.len()).is_some()
            {
                return Err(StoreError::Duplicate);
            }
            let mut record = record.clone();
            if let Some(removed) = self.removed(&record.id) {
                // Its versions continue after that of its removal.
                record.version = record.version.max(removed.version.saturating_add(2));
            }
            if let Some(removed) = elsewhere {
                record.version = record.version.max(removed.version.saturating_add(1));
            }
            staged.push((next, record));
            next = next.saturating_add(1);
        }
        for record in &batch.updates {
            let slot = ids.get(&record.id).copied();
            let stored = match slot {
                Some(slot) => staged.get(slot).map(|(_, record)| record),
                None => self.by_id(&record.id),
            };
            let stored = stored.ok_or(StoreError::Stale)?;
            let revoked = is_revoked(stored);
            if !matches!(record.status, Status::Revoked { .. })
                && stored.digest != record.digest
                && self.was_revoked(record.digest.bytes())
            {
                return Err(StoreError::Stale);
            }
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
        for (id, version) in &batch.deletes {
            let stored = self.by_id(id).ok_or(StoreError::Stale)?;
            if ids.contains_key(id) || stored.version.checked_add(1) != Some(*version) {
                return Err(StoreError::Stale);
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

    fn delete(&mut self, id: &KeyId) {
        let Some(at) = self.by_id.remove(id) else {
            return;
        };
        self.gone.insert(*id, at);
        if let Some(record) = self.records.get(at) {
            let digest = *record.digest.bytes();
            self.by_digest.remove(&digest);
            self.former.insert(digest, *id);
        }
    }

    /// What the record of a removed key was.
    fn removed(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.gone.get(id).and_then(|at| self.records.get(*at))
    }

    /// Whether a key that is revoked had this digest, though it may be removed.
    fn was_revoked(&self, digest: &[u8; 32]) -> bool {
        let holder = self.former.get(digest);
        let elsewhere = holder.and_then(|id| self.elsewhere.get(id));
        if elsewhere.is_some_and(|removed| removed.revoked.is_some()) {
            return true;
        }
        let record = holder.and_then(|id| self.by_id(id).or_else(|| self.removed(id)));
        record.is_some_and(is_revoked)
    }

    fn is_there(&self, (at, record): (usize, &KeyRecord)) -> bool {
        self.by_id.get(&record.id) == Some(&at)
    }

    /// The records that were not removed, with their places.
    fn stored(&self) -> impl Iterator<Item = (usize, &KeyRecord)> {
        let placed = self.records.iter().enumerate();
        placed.filter(|placed| self.is_there(*placed))
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
        let mut after: Vec<&KeyRecord> = self
            .stored()
            .map(|(_, record)| written.get(&record.id).copied().unwrap_or(record))
            .collect();
        let is_new = |record: &&KeyRecord| !self.by_id.contains_key(&record.id);
        after.extend(staged.iter().map(|(_, record)| record).filter(is_new));
        let same = batch.derived.iter().all(|expected| {
            let derived = descendants(&after, &expected.lineage);
            let source = self.by_id(&expected.key_id);
            source.is_some_and(|source| {
                source.lineage == expected.lineage && DerivedState::of(source, derived) == *expected
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
                        self.former.insert(*stored.digest.bytes(), stored.id);
                    }
                    // A batch does not change the last use.
                    let last_used_at = stored.last_used_at;
                    *stored = record;
                    stored.last_used_at = last_used_at;
                }
                None => {
                    self.by_id.insert(record.id, at);
                    self.gone.remove(&record.id);
                    self.elsewhere.remove(&record.id);
                    self.usage
                        .entry(record.lineage)
                        .or_insert_with(|| Usage::of(&record));
                    self.records.push(record);
                }
            }
        }
    }
}

fn is_revoked(record: &KeyRecord) -> bool {
    matches!(record.status, Status::Revoked { .. })
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
            .stored()
            .filter(|(_, record)| record.lineage == *lineage);
        let members = members
            .map(|(_, record)| state.with_usage(record))
            .collect();
        Ok(Listed::of(members, None))
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        let state = self.state();
        let all: Vec<&KeyRecord> = state.stored().map(|(_, record)| record).collect();
        let derived = descendants(&all, lineage);
        let derived = derived
            .into_iter()
            .filter(|record| has_not_ended(record, since));
        let derived = derived.map(|record| state.with_usage(record)).collect();
        Ok(Listed::of(derived, None))
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        let state = self.state();
        let all: Vec<&KeyRecord> = state.stored().map(|(_, record)| record).collect();
        Ok(DerivedState::of(source, descendants(&all, &source.lineage)))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let state = self.state();
        let start = match page.after {
            None => 0,
            Some(cursor) => state.after(&cursor).ok_or(StoreError::NotFound)?,
        };
        let limit = page.limit.min(PAGE_MAX);
        let shown: Vec<_> = state
            .stored()
            .filter(|(at, record)| *at >= start && filter.shows(record))
            .take(limit)
            .collect();
        let last = shown.last().filter(|_| shown.len() == limit);
        let next = match last {
            Some((row, record)) => {
                let row = i64::try_from(*row).map_err(|_| StoreError::OutOfRange)?;
                Some(Cursor::new(row, Some(record.id)))
            }
            None => None,
        };
        let records = shown.iter().map(|(_, record)| state.with_usage(record));
        Ok(Listed::of(records.collect(), next))
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut state = self.state();
        if let Some(expected) = batch.last_event
            && state.last_event != expected
        {
            return Err(StoreError::Stale);
        }
        let staged = state.stage(batch)?;
        state.check_reliance(batch, &staged)?;
        state.check_removed(batch)?;
        if let Some(note) = &batch.issue_request {
            state.answer(note)?;
        }
        // Of a key that was removed and is inserted again: its version is not the batch's.
        let raised: Vec<Event> = batch
            .inserts
            .iter()
            .filter_map(|inserted| {
                let (_, record) = staged.iter().find(|(_, record)| record.id == inserted.id)?;
                let is_raised = (state.gone.contains_key(&record.id)
                    || state.elsewhere.contains_key(&record.id))
                    && record.version != inserted.version
                    && !batch.updates.iter().any(|update| update.id == record.id);
                let event = Event::new(EventKind::Imported, record.id, record.created_at);
                is_raised.then(|| event.with_version(record.version))
            })
            .collect();
        let lineages = batch.inserts.iter().map(|record| record.lineage);
        let created: HashSet<_> = lineages
            .filter(|lineage| !state.usage.contains_key(lineage))
            .collect();
        state.write(staged);
        state.remember(batch, &created);
        for (id, _) in &batch.deletes {
            state.delete(id);
        }
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
        for event in batch.events.iter().chain(&raised) {
            state.last_event = state.last_event.saturating_add(1);
            let number = state.last_event;
            state.events.push((number, event.clone()));
        }
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
        let filter = EventFilter {
            key_id: key_id.copied(),
            ..EventFilter::default()
        };
        self.list_events(&filter, after, limit).await
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let state = self.state();
        let start = state.events.partition_point(|(number, _)| *number <= after);
        let is_owned = |event: &Event| {
            let find = |id| state.by_id(&id).or_else(|| state.removed(&id));
            let key = event.key_id.and_then(find);
            filter.owner.is_none() || key.is_some_and(|key| key.owner == filter.owner)
        };
        let matching = state.events.iter().skip(start);
        let matching = matching.filter(|(_, event)| filter.shows(event) && is_owned(event));
        let page = matching.take(limit.min(PAGE_MAX)).cloned();
        Ok(ListedEvents::of(page.collect()))
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        let mut state = self.state();
        // The mark of an earlier removal does not count.
        let due = state
            .events
            .iter()
            .filter(|(_, event)| event.at < before && event.kind != EventKind::Pruned);
        let due: Vec<_> = due.take(limit.min(PAGE_MAX)).collect();
        let removed = due.len();
        let Some(last) = due.last().map(|(number, _)| *number) else {
            return Ok(0);
        };
        state
            .events
            .retain(|(number, event)| *number >= last || event.at >= before);
        if let Some((_, event)) = state.events.iter_mut().find(|(number, _)| *number == last) {
            *event = Event::of_many(EventKind::Pruned, event.at).by(by);
        }
        u64::try_from(removed).map_err(|_| StoreError::OutOfRange)
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        self.exported(filter, page).await
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        Ok(self.answer_to(request))
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        Ok(self.removed_page(after, limit))
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        Ok(self.known_of(asked))
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        Ok(self.state().templates.find(name))
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        Ok(self.state().templates.list(after, limit))
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        self.state().templates.save(template)
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        self.state().templates.remove(name, only)
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        Ok(self.state().last_event)
    }
}
