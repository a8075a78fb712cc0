//! The store as one process sees it: through the network.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use keystile::{KeyId, KeyRecord, Lookup, RateState, UnixMillis};
use keystile_store::{
    Batch, DerivedState, Filter, Listed, ListedEvents, Page, RateNote, SpendRequest, Store,
    StoreError, StoredUsage,
};

use crate::database::Database;
use crate::network::Link;

#[derive(Clone, Debug)]
pub(crate) struct RemoteStore {
    database: Arc<Database>,
    link: Arc<Link>,
    /// The process is gone: what is left of its tasks sends nothing.
    is_gone: Arc<AtomicBool>,
}

impl RemoteStore {
    pub(crate) fn new(database: &Arc<Database>, link: &Arc<Link>) -> Self {
        Self {
            database: Arc::clone(database),
            link: Arc::clone(link),
            is_gone: Arc::default(),
        }
    }

    pub(crate) fn is_gone(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
    }

    async fn call<T, F>(&self, serve: impl FnOnce(Arc<Database>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if self.is_gone.load(Ordering::SeqCst) {
            return core::future::pending().await;
        }
        let server = Arc::clone(&self.database);
        let serve = serve(Arc::clone(&self.database));
        self.link.call(move || server.epoch(), serve).await
    }
}

impl Store for RemoteStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let lookup = *lookup;
        self.call(async move |server| server.find(&lookup).await)
            .await
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        let lookup = *lookup;
        self.call(async move |server| server.find_with_usage(&lookup).await)
            .await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.call(async move |server| server.lineage(&lineage).await)
            .await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.call(async move |server| server.derived(&lineage, since).await)
            .await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        let source = source.clone();
        self.call(async move |server| server.derived_state(&source).await)
            .await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let filter = filter.clone();
        self.call(async move |server| server.list(&filter, page).await)
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let batch = batch.clone();
        self.call(async move |server| server.commit(&batch).await)
            .await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let lineage = *lineage;
        self.call(async move |server| server.usage(&lineage).await)
            .await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        let request = *request;
        self.call(async move |server| server.spend(&request).await)
            .await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        let lineage = *lineage;
        self.call(async move |server| server.replace_rate(&lineage, before, after).await)
            .await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        let rates = rates.to_vec();
        self.call(async move |server| server.note_rates(&rates, now).await)
            .await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.call(async move |server| server.note_uses(&uses).await)
            .await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let key_id = key_id.copied();
        self.call(async move |server| server.events(key_id.as_ref(), after, limit).await)
            .await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.call(async move |server| server.last_event().await)
            .await
    }
}
