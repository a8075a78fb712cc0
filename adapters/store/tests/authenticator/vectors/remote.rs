//! The store of the scenarios, which fails, lags and holds back as a step says.

use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use keystile::{Event, EventKind, KeyId, KeyRecord, Lookup, RateState, UnixMillis};
use keystile_store::{
    Batch, CorruptRow, Filter, Listed, ListedEvents, MemoryStore, Page, RateNote, SpendRequest,
    Store, StoreError, StoredUsage,
};
use tokio::sync::watch;

/// A store in memory, and what goes wrong on the way to it.
pub(super) struct Remote {
    memory: Mutex<Arc<MemoryStore>>,
    trouble: Mutex<String>,
    /// What finds return while a replica lags.
    frozen: Mutex<HashMap<KeyId, KeyRecord>>,
    gone: Mutex<HashSet<KeyId>>,
    finds: AtomicU32,
    commits: AtomicU32,
    gate: watch::Sender<bool>,
}

impl Remote {
    pub(super) fn new() -> Self {
        Self {
            memory: Mutex::default(),
            trouble: Mutex::default(),
            frozen: Mutex::default(),
            gone: Mutex::default(),
            finds: AtomicU32::new(0),
            commits: AtomicU32::new(0),
            gate: watch::Sender::new(true),
        }
    }

    /// What other processes see.
    pub(super) fn memory(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.memory.lock().unwrap())
    }

    pub(super) fn empty(&self) {
        *self.memory.lock().unwrap() = Arc::default();
    }

    pub(super) async fn insert(&self, record: &KeyRecord, now: UnixMillis) {
        let event = Event::new(EventKind::Issued, record.id, now).with_version(record.version);
        let mut batch = Batch::new();
        batch.inserts.push(record.clone());
        batch.events.push(event);
        self.memory().commit(&batch).await.unwrap();
    }

    pub(super) async fn trouble(&self, what: &str, ids: &[KeyId]) {
        what.clone_into(&mut self.trouble.lock().unwrap());
        if what == "lags" {
            for id in ids {
                let found = self.memory().find(&Lookup::Id(*id)).await.unwrap();
                let found = found.map(|record| (*id, record));
                self.frozen.lock().unwrap().extend(found);
            }
        }
    }

    /// Finds answer that there is no such key.
    pub(super) fn lose(&self, id: KeyId) {
        self.gone.lock().unwrap().insert(id);
    }

    pub(super) fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub(super) fn release(&self) {
        self.gate.send_replace(true);
    }

    /// How often checks have asked the store for a record.
    pub(super) fn finds(&self) -> u32 {
        self.finds.load(Ordering::SeqCst)
    }

    pub(super) fn take_commits(&self) -> u32 {
        self.commits.swap(0, Ordering::SeqCst)
    }

    fn is(&self, trouble: &str) -> bool {
        *self.trouble.lock().unwrap() == trouble
    }

    fn sound(&self, part: &str) -> Result<(), StoreError> {
        if self.is(part) || self.is("all") {
            return Err(StoreError::unavailable(std::io::Error::other("down")));
        }
        Ok(())
    }

    fn seen(&self, found: KeyRecord) -> Option<KeyRecord> {
        if self.gone.lock().unwrap().contains(&found.id) {
            return None;
        }
        if self.is("lags") {
            return self.frozen.lock().unwrap().get(&found.id).cloned();
        }
        Some(found)
    }
}

impl Store for Remote {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.sound("finds")?;
        let found = self.memory().find(lookup).await?;
        Ok(found.and_then(|found| self.seen(found)))
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        let found = self.memory().find_with_usage(lookup).await?;
        self.gate.subscribe().wait_for(|open| *open).await.unwrap();
        self.sound("finds")?;
        Ok(found.and_then(|(record, usage)| Some((self.seen(record)?, usage))))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.memory().lineage(lineage).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.memory().list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.sound("commits")?;
        self.memory().commit(batch).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.memory().usage(lineage).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.sound("spends")?;
        self.memory().spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.sound("spends")?;
        self.memory().replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.sound("notes")?;
        self.memory().note_rates(rates, now).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.sound("notes")?;
        self.memory().note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.sound("events")?;
        let row = |number| CorruptRow::new(number, "kind", "the name of an event kind");
        let mut page = self.memory().events(key_id, after, limit).await?;
        if self.is("damaged_page") && page.rows() > 0 {
            return Err(StoreError::Corrupt(row(1)));
        }
        if self.is("damaged_event") {
            let damaged = page.events.pop();
            let damaged = damaged.map(|(number, _)| row(i64::try_from(number).unwrap()));
            page.damaged.extend(damaged);
        }
        Ok(page)
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.sound("events")?;
        self.memory().last_event().await
    }
}
