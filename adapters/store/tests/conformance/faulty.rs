//! A store with one chosen fault, over the store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test's fixture"
)]

use std::collections::HashMap;
use std::sync::Mutex;

use crate::fault::Fault;
use keystile::{
    By, DigestKind, EndpointRules, EventKind, KeyId, KeyRecord, Lookup, RateState, TemplateName,
    UnixMillis, Usage,
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

/// The store in memory, with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    pub(crate) sound: MemoryStore,
    /// The records that the fault returns instead of the stored ones.
    pub(crate) wrong: Mutex<HashMap<KeyId, KeyRecord>>,
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

    async fn write_rate(&self, lineage: &KeyId, rate: RateState) -> Result<(), StoreError> {
        let Some(record) = self.current(lineage).await else {
            return Ok(());
        };
        let before = self.sound.usage(lineage).await?.usage;
        let after = Usage::new(rate, before.remaining);
        let request = SpendRequest::new(&record, before, after);
        self.sound.spend(&request).await.map(drop)
    }

    pub(crate) async fn current(&self, id: &KeyId) -> Option<KeyRecord> {
        self.sound.find(&Lookup::Id(*id)).await.unwrap()
    }
}

impl Store for Faulty {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let found = self.sound.find(lookup).await?;
        if let (None, Fault::FindsAnyRecord) = (&found, self.fault) {
            return Ok(self.everything().await.into_iter().next());
        }
        if let (None, Lookup::Id(id), Fault::FoldsCase) = (&found, lookup, self.fault) {
            let same = |record: &KeyRecord| record.id.as_str().eq_ignore_ascii_case(id.as_str());
            return Ok(self.everything().await.into_iter().find(same));
        }
        Ok(found.map(|record| self.read(record)))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        if self.has(Fault::LosesLineages) {
            return Ok(Listed::of(Vec::new(), None));
        }
        let found = self.sound.lineage(lineage).await?.records.into_iter();
        let found = found.map(|record| self.read(record));
        Ok(Listed::of(found.collect(), None))
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        let since = match self.fault {
            Fault::FindsExpiredDerivedKeys => UnixMillis::MIN,
            _ => since,
        };
        let mut found = self.sound.derived(lineage, since).await?;
        let is_child = |record: &KeyRecord| {
            record
                .derived_from
                .is_some_and(|from| from.lineage == *lineage)
        };
        match self.fault {
            Fault::FindsNoDerivedKeys => found.records.clear(),
            Fault::FindsChildrenOnly => found.records.retain(is_child),
            _ => {}
        }
        Ok(found)
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
        let Some(batch) = self.altered(batch).await? else {
            return Ok(());
        };
        let written = self.sound.commit(&batch).await;
        match (&written, self.fault) {
            (Err(StoreError::Refused(_) | StoreError::OutOfRange), Fault::AcceptsAnything) => {
                return Ok(());
            }
            _ => written?,
        }
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

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        let stored = self.sound.usage(lineage).await?.usage;
        let before = match self.fault {
            Fault::ReplacesAnyRate => stored.rate,
            _ => before,
        };
        let replaced = self.sound.replace_rate(lineage, before, after).await?;
        if let (true, Fault::ReplacesUsesToo, Some(record)) =
            (replaced, self.fault, self.current(lineage).await)
        {
            let wrong = SpendRequest::new(
                &record,
                Usage::new(after, stored.remaining),
                Usage::new(after, None),
            );
            self.sound.spend(&wrong).await?;
        }
        Ok(replaced)
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        match self.fault {
            Fault::DropsRates => return Ok(()),
            Fault::LowersRates => {
                for note in rates {
                    self.write_rate(&note.lineage, note.state).await?;
                }
            }
            Fault::KeepsWrongRates => {
                for note in rates {
                    let stored = self.usage(&note.lineage).await?.usage.rate;
                    self.sound.note_rates(&[*note], now).await?;
                    let noted = self.usage(&note.lineage).await?.usage.rate;
                    self.write_rate(&note.lineage, noted.max(stored)).await?;
                }
            }
            _ => self.sound.note_rates(rates, now).await?,
        }
        Ok(())
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        for (id, _) in uses.iter().filter(|_| self.has(Fault::RefusesUnknownUses)) {
            self.current(id).await.ok_or(StoreError::NotFound)?;
        }
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
        let limit = match self.fault {
            Fault::PrunesAtOnce => PAGE_MAX,
            _ => limit,
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
            Fault::KnowsNoFormerDigests => known.former_digests.clear(),
            Fault::KnowsNoRecords => known.records.clear(),
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
