//! The store's server: it keeps each commit, and writes down when it happened.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use keystile::{KeyId, KeyRecord, Lookup, RateLimit, RateState, UnixMillis};
use keystile_store::{
    Batch, DerivedState, Filter, Listed, ListedEvents, MemoryStore, Page, RateNote, SpendRequest,
    Store, StoreError, StoredUsage,
};

use crate::clocks::{self, STORE};
use crate::fault::Fault;

/// A record as it was committed, and when by a clock that is right.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) at: u64,
    pub(crate) record: KeyRecord,
}

#[derive(Debug)]
pub(crate) struct Database {
    memory: MemoryStore,
    fault: Fault,
    written: Mutex<Vec<Written>>,
    /// Changes when the server loses its connections.
    epoch: AtomicU64,
    is_down: AtomicBool,
}

impl Database {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryStore::new(),
            fault,
            written: Mutex::default(),
            epoch: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
        })
    }

    pub(crate) fn written(&self) -> MutexGuard<'_, Vec<Written>> {
        self.written.lock().unwrap()
    }

    /// The connections that it has; none while it is down.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let is_up = !self.is_down.load(Ordering::SeqCst);
        is_up.then(|| self.epoch.load(Ordering::SeqCst))
    }

    /// A fail-over begins or ends. All that was committed is kept.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.is_down.load(Ordering::SeqCst)
    }

    async fn note_written(&self, batch: &Batch) -> Result<(), StoreError> {
        let inserts = batch.inserts.iter().map(|record| record.id);
        let updates = batch.updates.iter().map(|record| record.id);
        let upkeep = batch.upkeep.iter().map(|upkeep| upkeep.key_id);
        for id in inserts.chain(updates).chain(upkeep) {
            if let Some(record) = self.memory.find(&Lookup::Id(id)).await? {
                let at = clocks::millis();
                self.written().push(Written { at, record });
            }
        }
        Ok(())
    }

    /// Whether a server that breaks its promise loses this commit.
    fn drops(&self, batch: &Batch) -> bool {
        let number: usize = batch
            .events
            .iter()
            .map(|event| event.version.map_or(0, |it| it as usize))
            .sum();
        self.fault == Fault::DropsCommits && number % 3 == 2
    }
}

impl Store for Database {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let mut found = self.memory.find(lookup).await?;
        if self.fault == Fault::LimitsAreDoubled
            && let Some(record) = &mut found
        {
            record.rate_limit = record.rate_limit.map(doubled);
        }
        Ok(found)
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.memory.lineage(lineage).await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        self.memory.derived(lineage, since).await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        self.memory.derived_state(source).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.memory.list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.drops(batch) {
            return Ok(());
        }
        self.memory.commit(batch).await?;
        self.note_written(batch).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let mut stored = self.memory.usage(lineage).await?;
        stored.clock = Some(clocks::wall_of(STORE));
        Ok(stored)
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        if self.fault == Fault::UsesPerProcess {
            return Ok(true);
        }
        self.memory.spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.memory.replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        let clock = clocks::wall_of(STORE);
        let mut rates = rates.to_vec();
        for note in &mut rates {
            note.state = note.state.moved(now, clock);
        }
        self.memory.note_rates(&rates, clock).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.memory.note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.memory.events(key_id, after, limit).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.memory.last_event().await
    }
}

fn doubled(limit: RateLimit) -> RateLimit {
    RateLimit::with_burst(2 * limit.limit(), limit.window(), 2 * limit.burst()).unwrap()
}
