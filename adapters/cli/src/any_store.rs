//! The stores that the program supports, as one type.

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};
#[cfg(feature = "postgres")]
use keystile_store::PostgresStore;
use keystile_store::{
    Asked, Batch, DerivedState, EventFilter, Exported, Filter, IssueAnswer, IssueOnce, Known,
    Listed, ListedEvents, ListedTemplates, MemoryStore, Page, RateNote, RemovedKeys, SpendRequest,
    SqliteStore, Store, StoreError, StoredTemplate, StoredUsage,
};

/// Any of the stores: the trait is not dyn compatible.
pub(crate) enum AnyStore {
    Memory(Box<MemoryStore>),
    Sqlite(SqliteStore),
    #[cfg(feature = "postgres")]
    Postgres(PostgresStore),
}

macro_rules! each {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            AnyStore::Memory($store) => $call.await,
            AnyStore::Sqlite($store) => $call.await,
            #[cfg(feature = "postgres")]
            AnyStore::Postgres($store) => $call.await,
        }
    };
}

impl Store for AnyStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        each!(self, store => store.find(lookup))
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        each!(self, store => store.find_with_usage(lookup))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        each!(self, store => store.lineage(lineage))
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        each!(self, store => store.derived(lineage, since))
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        each!(self, store => store.derived_state(source))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        each!(self, store => store.list(filter, page))
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        each!(self, store => store.commit(batch))
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        each!(self, store => store.usage(lineage))
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        each!(self, store => store.spend(request))
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        each!(self, store => store.replace_rate(lineage, before, after))
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        each!(self, store => store.note_rates(rates, now))
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        each!(self, store => store.note_uses(uses))
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        each!(self, store => store.events(key_id, after, limit))
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        each!(self, store => store.list_events(filter, after, limit))
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        each!(self, store => store.prune_events(before, limit, by))
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        each!(self, store => store.export(filter, page))
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        each!(self, store => store.issue_answer(request))
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        each!(self, store => store.removed_keys(after, limit))
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        each!(self, store => store.known(asked))
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        each!(self, store => store.template(name))
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        each!(self, store => store.list_templates(after, limit))
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        each!(self, store => store.save_template(template))
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        each!(self, store => store.remove_template(name, only))
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        each!(self, store => store.pepper_versions())
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        each!(self, store => store.last_event())
    }
}
