//! Two handles on one database, which take the calls in turn.

use core::sync::atomic::{AtomicBool, Ordering};

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};
use keystile_store::{
    Asked, Batch, DerivedState, EventFilter, Exported, Filter, IssueAnswer, IssueOnce, Known,
    Listed, ListedEvents, ListedTemplates, Page, RateNote, RemovedKeys, SpendRequest, Store,
    StoreError, StoredTemplate, StoredUsage,
};

#[derive(Debug)]
pub(crate) struct Alternating<S> {
    one: S,
    other: S,
    turn: AtomicBool,
}

impl<S> Alternating<S> {
    pub(crate) const fn new(one: S, other: S) -> Self {
        Self {
            one,
            other,
            turn: AtomicBool::new(false),
        }
    }

    fn next(&self) -> &S {
        if self.turn.fetch_xor(true, Ordering::Relaxed) {
            &self.one
        } else {
            &self.other
        }
    }
}

impl<S: Store> Store for Alternating<S> {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.next().find(lookup).await
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        self.next().find_with_usage(lookup).await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.next().lineage(lineage).await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        self.next().derived(lineage, since).await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        self.next().derived_state(source).await
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        self.next().export(filter, page).await
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        self.next().issue_answer(request).await
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        self.next().removed_keys(after, limit).await
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        self.next().known(asked).await
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        self.next().pepper_versions().await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.next().last_event().await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.next().list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.next().commit(batch).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.next().usage(lineage).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.next().spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.next().replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.next().note_rates(rates, now).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.next().note_uses(uses).await
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.next().list_events(filter, after, limit).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.next().events(key_id, after, limit).await
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        self.next().prune_events(before, limit, by).await
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        self.next().template(name).await
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        self.next().list_templates(after, limit).await
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        self.next().save_template(template).await
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        self.next().remove_template(name, only).await
    }
}
