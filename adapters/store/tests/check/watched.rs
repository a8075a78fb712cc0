//! A store that counts its calls, and fails on request.
#![allow(clippy::unwrap_used, reason = "a test's fixture")]

use std::sync::Mutex;

use keystile::{KeyId, KeyRecord, Lookup, RateState, UnixMillis};
use keystile_store::{
    Batch, Filter, Listed, ListedEvents, MemoryStore, Page, RateNote, SpendRequest, Store,
    StoreError, StoredUsage, revoke,
};

/// How often each method was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) find: u32,
    pub(crate) lineage: u32,
    pub(crate) commit: u32,
    pub(crate) usage: u32,
    pub(crate) spend: u32,
    pub(crate) note_uses: u32,
}

/// A failure on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    FindFails,
    UsageFails,
    SpendFails,
    SpendLoses,
    SpendLosesOnce,
    RevokedBeforeSpend,
    CommitFails,
    CommitLoses,
    CommitLosesOnce,
    NoteFails,
}

#[derive(Debug)]
pub(crate) struct Watched {
    store: MemoryStore,
    calls: Mutex<Calls>,
    trouble: Mutex<Trouble>,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            calls: Mutex::default(),
            trouble: Mutex::new(Trouble::None),
        }
    }

    /// The calls since the last call of this.
    pub(crate) fn calls(&self) -> Calls {
        core::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn count(&self, called: impl Fn(&mut Calls) -> &mut u32) {
        let mut calls = self.calls.lock().unwrap();
        let count = called(&mut calls);
        *count = count.checked_add(1).unwrap();
    }

    fn is_in(&self, trouble: Trouble) -> bool {
        *self.trouble.lock().unwrap() == trouble
    }

    /// Whether this failure is requested; the request is cleared.
    fn was_in(&self, trouble: Trouble) -> bool {
        let was_in = self.is_in(trouble);
        if was_in {
            self.trouble(Trouble::None);
        }
        was_in
    }
}

fn failure<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable(std::io::Error::other(
        "the disk is gone",
    )))
}

impl Store for Watched {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.count(|calls| &mut calls.find);
        if self.is_in(Trouble::FindFails) {
            return failure();
        }
        self.store.find(lookup).await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.count(|calls| &mut calls.lineage);
        self.store.lineage(lineage).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.store.list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.count(|calls| &mut calls.commit);
        if self.is_in(Trouble::CommitFails) {
            return failure();
        }
        if self.is_in(Trouble::CommitLoses) || self.was_in(Trouble::CommitLosesOnce) {
            return Err(StoreError::Stale);
        }
        self.store.commit(batch).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.count(|calls| &mut calls.usage);
        if self.is_in(Trouble::UsageFails) {
            return failure();
        }
        self.store.usage(lineage).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.count(|calls| &mut calls.spend);
        if self.is_in(Trouble::SpendFails) {
            return failure();
        }
        if self.is_in(Trouble::SpendLoses) || self.was_in(Trouble::SpendLosesOnce) {
            return Ok(false);
        }
        if self.was_in(Trouble::RevokedBeforeSpend) {
            revoke(&self.store, &request.key_id, "leaked", UnixMillis::MAX).await?;
        }
        self.store.spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.store.replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.store.note_rates(rates, now).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.count(|calls| &mut calls.note_uses);
        if self.is_in(Trouble::NoteFails) {
            return failure();
        }
        self.store.note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.store.events(key_id, after, limit).await
    }
}
