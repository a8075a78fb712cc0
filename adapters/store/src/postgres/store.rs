//! The trait, by one function for each method.

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};

use super::{PostgresStore, events, list, portable, read, templates, write};
use crate::batch::Batch;
use crate::derived::DerivedState;
use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::{Listed, ListedEvents, Page};
use crate::portable::{Asked, Exported, Known, RemovedKeys};
use crate::store::{SpendRequest, Store};
use crate::stored_usage::{RateNote, StoredUsage};
use crate::template::{ListedTemplates, StoredTemplate};

impl Store for PostgresStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let lookup = *lookup;
        self.run(async move |client| read::find(client, &lookup).await)
            .await
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        let lookup = *lookup;
        self.run(async move |client| read::find_with_usage(client, &lookup).await)
            .await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.run(async move |client| read::lineage(client, &lineage).await)
            .await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.run(async move |client| read::derived(client, &lineage, since).await)
            .await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        let state = DerivedState::of(source, []);
        self.run(async move |client| read::derived_state(client, state).await)
            .await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let filter = filter.clone();
        self.run(async move |client| list::list(client, &filter, page).await)
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        let batch = batch.clone();
        self.write(async move |client| write::commit(client, &batch).await)
            .await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let lineage = *lineage;
        self.run(async move |client| read::usage(client, &lineage).await)
            .await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        let request = *request;
        self.write(async move |client| write::spend(client, &request).await)
            .await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        let lineage = *lineage;
        self.write(async move |client| write::replace_rate(client, &lineage, before, after).await)
            .await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        let rates = rates.to_vec();
        self.write(async move |client| write::note_rates(client, &rates, now).await)
            .await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.write(async move |client| write::note_uses(client, &uses).await)
            .await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let key_id = key_id.copied();
        self.run(async move |client| read::events(client, key_id.as_ref(), after, limit).await)
            .await
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let filter = filter.clone();
        self.run(async move |client| events::list(client, &filter, after, limit).await)
            .await
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        let by = by.clone();
        self.write(async move |client| events::prune(client, before, limit, &by).await)
            .await
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        let name = name.clone();
        self.run(async move |client| templates::find(client, &name).await)
            .await
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        let after = after.map(str::to_owned);
        self.run(async move |client| templates::list(client, after.as_deref(), limit).await)
            .await
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        let template = template.clone();
        self.write(async move |client| templates::save(client, &template).await)
            .await
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        let (name, only) = (name.clone(), only.cloned());
        self.write(async move |client| templates::remove(client, &name, only.as_ref()).await)
            .await
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        self.run(async |client| read::pepper_versions(client).await)
            .await
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        let filter = filter.clone();
        self.run(async move |client| portable::export(client, &filter, page).await)
            .await
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        let request = request.clone();
        self.run(async move |client| portable::issue_answer(client, &request).await)
            .await
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.run(async move |client| portable::removed_keys(client, &after, limit).await)
            .await
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        let asked = asked.clone();
        self.run(async move |client| portable::known(client, &asked).await)
            .await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.run(async |client| read::last_event(client).await)
            .await
    }
}
