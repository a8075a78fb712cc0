//! A store with one chosen fault, over the store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test's fixture"
)]

use std::collections::HashMap;
use std::sync::Mutex;

use keystile::{
    By, DigestKind, EndpointRules, Event, EventKind, KeyId, KeyRecord, Lookup, RateState, Status,
    TemplateName, UnixMillis, Usage,
};
use keystile_store::{
    Asked, Batch, EventFilter, Exported, Filter, IssueAnswer, IssueOnce, Known, Listed,
    ListedEvents, ListedTemplates, MemoryStore, PAGE_MAX, Page, RateNote, RemovedKeys,
    SpendRequest, Store, StoreError, StoredTemplate, StoredUsage, TemplateProblem,
};

/// The instant of the first mark in the suite.
const PRUNED_AT: UnixMillis = match UnixMillis::new(1_790_000_000_020) {
    Ok(at) => at,
    Err(_) => UnixMillis::MIN,
};

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Accepts an update of any version.
    IgnoresVersions,
    /// Finds an id in another case.
    FoldsCase,
    /// Accepts a change of a revoked record's status.
    Unrevokes,
    /// Writes inserts and updates one by one.
    WritesHalves,
    ForgetsEvents,
    /// Lists events of any kind.
    IgnoresEventKinds,
    /// Lists events of any time.
    IgnoresEventTimes,
    /// Lists events of any owner.
    IgnoresEventOwners,
    /// Keeps keys that are removed.
    KeepsRemovedKeys,
    /// Removes events that are not old enough.
    PrunesLaterEvents,
    /// Removes events so that a reader does not notice it.
    PrunesWithoutMark,
    /// Exports no former digests.
    ForgetsFormerDigests,
    /// Imports no states of limits.
    DropsImportedRates,
    /// Imports no removed keys.
    DropsRemovedKeys,
    /// Tells an import of no removed keys.
    KnowsNoRemovedKeys,
    /// Remembers no requests.
    ForgetsRequests,
    /// Writes a second answer to a request.
    AnswersTwice,
    /// Tells an import of no usage.
    KnowsNoUses,
    /// Accepts a change without an event.
    TakesSilentChanges,
    /// Writes the other fields of upkeep, as they were read earlier, too.
    WidensUpkeep,
    /// Ignores upkeep.
    DropsUpkeep,
    /// Does not set uses with an update.
    DropsSetUses,
    /// Reads an empty list as none.
    NowhereIsAnywhere,
    /// Replaces usage without comparing it.
    SpendsBlindly,
    /// Spends for an older version of the record.
    SpendsForStaleDecisions,
    /// Lets an older use replace a later one.
    NotesAnyUse,
    /// Treats `%` in a filter as a wildcard.
    SearchesPatterns,
    /// Lists keys of any status.
    IgnoresStatus,
    /// Lists keys of any environment and template.
    IgnoresLabels,
    /// Lists keys with any id.
    IgnoresIdPrefixes,
    /// Lists keys that end at any time.
    IgnoresEnds,
    /// Lists keys whatever their last use is.
    IgnoresLastUses,
    /// Lists keys that were issued at any time.
    IgnoresIssueTimes,
    /// Starts a page with the record that it should start after.
    RepeatsRecords,
    /// Returns pages of any size.
    HasNoBound,
    SortsByTime,
    /// Lists in one order, whichever is asked for.
    IgnoresSorts,
    /// Takes a page that is full for the last one.
    ForgetsNextPages,
    /// Lets a successor replace the number of remaining uses.
    RefillsLineages,
    RoundsToSeconds,
    /// Treats an insert of a known id as an update.
    Overwrites,
    /// Counts the peppers of revoked keys too.
    KeepsPeppersOfRevokedKeys,
    /// Writes a batch whatever the last event is.
    IgnoresTheLastEvent,
    /// Forgets what a process has counted against a limit.
    DropsRates,
    /// Replaces the state of a limit by a lower one.
    LowersRates,
    /// Keeps a state that is a year ahead until then.
    KeepsWrongRates,
    /// Has a clock of its own, three minutes behind, and writes states by the caller's.
    IgnoresItsClock,
    /// Replaces a template whatever its version is.
    OverwritesTemplates,
    /// Accepts a template with the name of a preset.
    ReplacesPresets,
    /// Forgets what a template was before.
    ForgetsFormerTemplates,
    /// Removes a template of any version.
    RemovesAnyTemplate,
    /// Starts a page of templates with the one that it should start after.
    RepeatsTemplates,
    /// Finds a record without what its lineage has spent.
    FindsNoUsage,
}

/// The store in memory, with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    fault: Fault,
    sound: MemoryStore,
    /// The records that the fault returns instead of the stored ones.
    wrong: Mutex<HashMap<KeyId, KeyRecord>>,
    last_uses: Mutex<HashMap<KeyId, UnixMillis>>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            sound: MemoryStore::new(),
            wrong: Mutex::default(),
            last_uses: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn read(&self, mut record: KeyRecord) -> KeyRecord {
        if let Some(wrong) = self.wrong.lock().unwrap().get(&record.id) {
            record = wrong.clone();
        }
        if let Some(at) = self.last_uses.lock().unwrap().get(&record.id) {
            record.last_used_at = Some(*at);
        }
        if self.has(Fault::NowhereIsAnywhere)
            && record
                .allowed_endpoints
                .as_ref()
                .is_some_and(EndpointRules::is_empty)
        {
            record.allowed_endpoints = None;
        }
        if self.has(Fault::RoundsToSeconds) {
            let millis = record.created_at.get();
            record.created_at = UnixMillis::new(millis - millis % 1_000).unwrap();
        }
        record
    }

    /// The parts of a filter that the fault leaves.
    fn read_filter(&self, filter: &Filter) -> Filter {
        let mut filter = filter.clone();
        match self.fault {
            Fault::IgnoresStatus => filter.status = None,
            Fault::IgnoresLabels => (filter.environment, filter.template) = (None, None),
            Fault::IgnoresIdPrefixes => filter.id_prefix = None,
            Fault::IgnoresEnds => filter.ending = None,
            Fault::IgnoresLastUses => filter.unused_since = None,
            Fault::IgnoresIssueTimes => (filter.issued_from, filter.issued_before) = (None, None),
            _ => {}
        }
        filter
    }

    async fn everything(&self) -> Vec<KeyRecord> {
        let (mut all, mut page) = (Vec::new(), Page::first(usize::MAX));
        loop {
            let more = self.sound.list(&Filter::default(), page).await.unwrap();
            all.extend(more.records);
            let Some(next) = more.next else { return all };
            page = page.after(next);
        }
    }

    async fn replace_rate(&self, lineage: &KeyId, rate: RateState) -> Result<(), StoreError> {
        let Some(record) = self.current(lineage).await else {
            return Ok(());
        };
        let before = self.sound.usage(lineage).await?.usage;
        let after = Usage::new(rate, before.remaining);
        let request = SpendRequest::new(&record, before, after);
        self.sound.spend(&request).await.map(drop)
    }

    async fn current(&self, id: &KeyId) -> Option<KeyRecord> {
        self.sound.find(&Lookup::Id(*id)).await.unwrap()
    }
}

impl Store for Faulty {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let found = self.sound.find(lookup).await?;
        if let (None, Lookup::Id(id), Fault::FoldsCase) = (&found, lookup, self.fault) {
            let same = |record: &KeyRecord| record.id.as_str().eq_ignore_ascii_case(id.as_str());
            return Ok(self.everything().await.into_iter().find(same));
        }
        Ok(found.map(|record| self.read(record)))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let found = self.sound.lineage(lineage).await?.records.into_iter();
        let found = found.map(|record| self.read(record));
        Ok(Listed::of(found.collect(), None))
    }

    async fn list(&self, filter: &Filter, mut page: Page) -> Result<Listed, StoreError> {
        if self.has(Fault::IgnoresSorts) {
            page.sort = None;
        }
        let Listed {
            records: mut listed,
            mut next,
            ..
        } = self.sound.list(&self.read_filter(filter), page).await?;
        let after = page.after.and_then(|cursor| cursor.key_id().copied());
        if let (Fault::SearchesPatterns, Some(owner)) = (self.fault, &filter.owner) {
            let stem = owner.trim_end_matches('%');
            let like = |record: &KeyRecord| {
                record.owner.as_ref().is_some_and(|own| {
                    own == owner || (owner.ends_with('%') && own.starts_with(stem))
                })
            };
            let all = self.everything().await.into_iter();
            let behind = all.skip_while(|record| after.is_some_and(|id| record.id != id));
            let behind = behind.skip(after.iter().len());
            listed = behind.filter(like).take(page.limit).collect();
            let last = listed.last().filter(|_| listed.len() == page.limit);
            next = last.map(|record| record.id.into());
        }
        if let (Fault::RepeatsRecords, Some(after), true) = (self.fault, after, listed.len() > 1) {
            listed.insert(0, self.current(&after).await.unwrap());
            listed.pop();
        }
        if self.has(Fault::HasNoBound) && page.limit > PAGE_MAX {
            listed = self
                .everything()
                .await
                .into_iter()
                .take(page.limit)
                .collect();
        }
        if self.has(Fault::SortsByTime) {
            listed.sort_by_key(|record| record.created_at);
        }
        if self.has(Fault::ForgetsNextPages) && listed.len() < PAGE_MAX {
            next = None;
        }
        let listed = listed.into_iter().map(|record| self.read(record));
        Ok(Listed::of(listed.collect(), next))
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut batch = batch.clone();
        match self.fault {
            Fault::KeepsRemovedKeys if !batch.events.is_empty() => batch.deletes.clear(),
            Fault::AnswersTwice => {
                if let Some(note) = batch.issue_request.take()
                    && self.sound.issue_answer(&note.request).await?.is_none()
                {
                    batch.issue_request = Some(note);
                }
            }
            Fault::DropsImportedRates => batch.imported.rates.clear(),
            Fault::DropsRemovedKeys => batch.imported.removed.clear(),
            Fault::ForgetsEvents => {
                // Only those without which the batch is accepted.
                let written = batch.inserts.iter().chain(&batch.updates);
                let mut needed: Vec<_> = written.map(|record| record.id).collect();
                needed.extend(batch.upkeep.iter().map(|upkeep| upkeep.key_id));
                batch.events.retain(|event| {
                    event.version.is_some()
                        && [event.key_id, event.successor]
                            .iter()
                            .flatten()
                            .any(|id| needed.contains(id))
                });
            }
            Fault::TakesSilentChanges => {
                let records = batch.inserts.iter().chain(&batch.updates);
                let records = records.map(|record| (record.id, record.version));
                let upkeep = batch
                    .upkeep
                    .iter()
                    .map(|field| (field.key_id, field.version));
                let noted: Vec<_> = records
                    .chain(upkeep)
                    .map(|(id, version)| {
                        Event::new(EventKind::Changed, id, UnixMillis::MIN).with_version(version)
                    })
                    .filter(|event| !batch.events.iter().any(|own| own.key_id == event.key_id))
                    .collect();
                batch.events.extend(noted);
            }
            Fault::WidensUpkeep => {
                for upkeep in core::mem::take(&mut batch.upkeep) {
                    let Some(mut record) = self.current(&upkeep.key_id).await else {
                        return Err(StoreError::Stale);
                    };
                    let stored = record.version;
                    record.owner = None;
                    upkeep.apply(&mut record);
                    if stored + 1 != record.version {
                        return Err(StoreError::Stale);
                    }
                    batch.updates.push(record);
                }
            }
            Fault::DropsUpkeep => {
                batch.check()?;
                batch.upkeep.clear();
            }
            Fault::DropsSetUses => {
                batch.check()?;
                batch.set_uses.clear();
            }
            Fault::IgnoresTheLastEvent => batch.last_event = None,
            Fault::IgnoresVersions => {
                for update in &mut batch.updates {
                    let Some(current) = self.current(&update.id).await else {
                        continue;
                    };
                    update.version = current.version + 1;
                }
            }
            Fault::Overwrites => {
                for record in core::mem::take(&mut batch.inserts) {
                    match self.current(&record.id).await {
                        Some(current) if current.digest == record.digest => {}
                        _ => batch.inserts.push(record),
                    }
                }
            }
            Fault::WritesHalves => {
                let events = core::mem::take(&mut batch.events);
                let of = |id: KeyId| {
                    let own = events.iter().filter(move |event| event.key_id == Some(id));
                    own.cloned().collect::<Vec<_>>()
                };
                let mut half = Batch::new();
                half.inserts = core::mem::take(&mut batch.inserts);
                half.events = half
                    .inserts
                    .iter()
                    .flat_map(|record| of(record.id))
                    .collect();
                self.sound.commit(&half).await?;
                half.inserts.clear();
                for update in core::mem::take(&mut batch.updates) {
                    half.events = of(update.id);
                    half.updates = vec![update];
                    self.sound.commit(&half).await?;
                }
            }
            Fault::Unrevokes => {
                for update in &batch.updates {
                    let Some(current) = self.current(&update.id).await else {
                        continue;
                    };
                    if matches!(current.status, Status::Revoked { .. })
                        && update.version == current.version + 1
                    {
                        self.wrong.lock().unwrap().insert(update.id, update.clone());
                        return Ok(());
                    }
                }
            }
            _ => {}
        }
        self.sound.commit(&batch).await?;
        for record in batch
            .inserts
            .iter()
            .filter(|_| self.has(Fault::RefillsLineages))
        {
            let before = self.usage(&record.lineage).await?.usage;
            let after = Usage::of(record);
            self.sound
                .spend(&SpendRequest::new(record, before, after))
                .await?;
        }
        Ok(())
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let mut usage = self.sound.usage(lineage).await?;
        if self.has(Fault::IgnoresItsClock) {
            usage.clock = Some(UnixMillis::new(1_790_000_000_000 - 180_000).unwrap());
        }
        Ok(usage)
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        let Some(record) = self.find(lookup).await? else {
            return Ok(None);
        };
        let usage = match self.fault {
            Fault::FindsNoUsage => StoredUsage::default(),
            _ => self.usage(&record.lineage).await?,
        };
        Ok(Some((record, usage)))
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        let mut request = *request;
        if self.has(Fault::SpendsBlindly) {
            request.before = self.usage(&request.lineage).await?.usage;
        }
        if let (Fault::SpendsForStaleDecisions, Some(current)) =
            (self.fault, self.current(&request.key_id).await)
        {
            request.version = current.version;
        }
        self.sound.spend(&request).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        match self.fault {
            Fault::DropsRates => return Ok(()),
            Fault::LowersRates => {
                for note in rates {
                    self.replace_rate(&note.lineage, note.state).await?;
                }
            }
            Fault::KeepsWrongRates => {
                for note in rates {
                    let stored = self.usage(&note.lineage).await?.usage.rate;
                    self.sound.note_rates(&[*note], now).await?;
                    let noted = self.usage(&note.lineage).await?.usage.rate;
                    self.replace_rate(&note.lineage, noted.max(stored)).await?;
                }
            }
            _ => self.sound.note_rates(rates, now).await?,
        }
        Ok(())
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.sound.note_uses(uses).await?;
        for (id, at) in uses.iter().filter(|_| self.has(Fault::NotesAnyUse)) {
            self.last_uses.lock().unwrap().insert(*id, *at);
        }
        Ok(())
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let mut listed = self.sound.events(key_id, after, limit).await?;
        if self.has(Fault::PrunesWithoutMark) {
            listed
                .events
                .retain(|(_, event)| event.kind != EventKind::Pruned || event.at != PRUNED_AT);
        }
        Ok(listed)
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let mut filter = filter.clone();
        match self.fault {
            Fault::IgnoresEventKinds => filter.kind = None,
            Fault::IgnoresEventTimes => filter.until = None,
            Fault::IgnoresEventOwners => filter.owner = None,
            _ => {}
        }
        self.sound.list_events(&filter, after, limit).await
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        let before = match self.fault {
            Fault::PrunesLaterEvents => UnixMillis::MAX,
            _ => before,
        };
        self.sound.prune_events(before, limit, by).await
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        let mut exported = self.sound.export(filter, page).await?;
        if self.has(Fault::ForgetsFormerDigests) {
            let keys = exported.keys.iter_mut();
            keys.for_each(|key| key.former_digests.clear());
        }
        Ok(exported)
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        match self.fault {
            Fault::ForgetsRequests => Ok(None),
            _ => self.sound.issue_answer(request).await,
        }
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        self.sound.removed_keys(after, limit).await
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        let mut known = self.sound.known(asked).await?;
        match self.fault {
            Fault::KnowsNoRemovedKeys => known.removed.clear(),
            Fault::KnowsNoUses => known.uses.clear(),
            _ => {}
        }
        Ok(known)
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        let mut found = self.sound.template(name).await?;
        if let (Some(found), true) = (&mut found, self.has(Fault::ForgetsFormerTemplates)) {
            found.former.clear();
        }
        Ok(found)
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        let mut page = self.sound.list_templates(after, limit).await?;
        if let (Some(after), true) = (after, self.has(Fault::RepeatsTemplates))
            && let Ok(name) = TemplateName::new(after)
        {
            let first = self.sound.template(&name).await?;
            page.templates.splice(..0, first);
            page.templates.truncate(limit);
            page.next = None;
        }
        Ok(page)
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        if self.has(Fault::ReplacesPresets)
            && matches!(
                template.check(),
                Err(StoreError::Template(TemplateProblem::Preset))
            )
        {
            return Ok(());
        }
        let stored = self.sound.template(template.name()).await?;
        if let (Some(_), true) = (stored, self.has(Fault::OverwritesTemplates)) {
            self.sound.remove_template(template.name(), None).await?;
            let mut first = template.clone();
            first.version = 1;
            return self.sound.save_template(&first).await;
        }
        self.sound.save_template(template).await
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        let only = only.filter(|_| !self.has(Fault::RemovesAnyTemplate));
        self.sound.remove_template(name, only).await
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        if self.has(Fault::KeepsPeppersOfRevokedKeys) {
            let all = self.everything().await.into_iter();
            let mut versions: Vec<_> = all
                .filter_map(|record| match record.digest.kind() {
                    DigestKind::HmacSha256 { pepper } => Some(pepper),
                    _ => None,
                })
                .collect();
            versions.sort_unstable();
            versions.dedup();
            return Ok(versions);
        }
        self.sound.pepper_versions().await
    }
}
