//! A store in memory, for tests and for programs whose keys may end with the process.

mod portable;
mod state;
mod templates;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{
    By, Event, EventKind, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis,
};

use self::state::State;
use crate::batch::Batch;
use crate::derived::{DerivedState, descendants};
use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::family::has_not_ended;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::{Listed, ListedEvents, PAGE_MAX, Page};
use crate::portable::{Asked, Exported, Known, RemovedKeys};
use crate::sort::arranged;
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
        match page.sort {
            Some(sort) if !sort.streams(filter) => {
                arranged(state.list(filter, Page::first(PAGE_MAX))?, sort, page)
            }
            _ => state.list(filter, page),
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut state = self.state();
        if let Some(expected) = batch.last_event
            && state.last_event != expected
        {
            return Err(StoreError::Stale);
        }
        if let Some(relied_on) = &batch.template_unchanged {
            let stored = state.templates.find(&relied_on.name);
            relied_on.require(stored.map(|stored| (stored.version, stored.created_at)))?;
        }
        let staged = state.stage(batch)?;
        state.check_reliance(batch, &staged)?;
        state.check_imported(batch)?;
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

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        match state.usage.get_mut(lineage) {
            Some(usage) if usage.rate == before => {
                usage.rate = after;
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
