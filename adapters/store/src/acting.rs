//! A store, for what one actor writes.

use core::fmt;

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};

use crate::batch::Batch;
use crate::derived::DerivedState;
use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueNote, IssueOnce, answered};
use crate::list::{Listed, ListedEvents, Page};
use crate::portable::{Asked, Exported, Known, RemovedKeys};
use crate::store::{SpendRequest, Store};
use crate::stored_usage::{RateNote, StoredUsage};
use crate::template::{ListedTemplates, StoredTemplate};
use crate::template_version::TemplateVersion;

/// A store whose writes are by one actor: each event that it writes says so, unless it names
/// its actor itself. Reads are those of the store. [`Store::acting_as`] makes one.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{By, IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{MemoryStore, Store, StoreError, revoke, save_issued};
///
/// let store = MemoryStore::new();
/// let ana = By::new("ana")?.from_origin("10.0.0.7")?;
/// save_issued(&store.acting_as(&ana), &issued).await?;
/// let events = store.events(None, 0, 9).await?.events;
/// assert_eq!(events[0].1.actor.as_deref(), Some("ana"));
///
/// // It refuses what the store refuses.
/// let again = save_issued(&store.acting_as(&ana), &issued).await;
/// assert!(matches!(again, Err(StoreError::Duplicate)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct ActingStore<'s, S: ?Sized> {
    store: &'s S,
    by: &'s By,
    written: Option<Box<Named<'s>>>,
    ended: Option<Box<Ended<'s>>>,
    once: Option<(&'s IssueOnce, UnixMillis)>,
    template: Option<TemplateVersion>,
}

impl<S: ?Sized> fmt::Debug for ActingStore<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ActingStore");
        shown.field("by", self.by).finish_non_exhaustive()
    }
}

/// Gets each key that was written.
type Named<'s> = dyn Fn(&KeyId) + Send + Sync + 's;
/// Is called after each batch.
type Ended<'s> = dyn Fn() + Send + Sync + 's;

/// Names the keys of a batch however its write ends: one that failed, or whose caller stopped
/// waiting, may have happened.
struct NamedOnDrop<'a> {
    written: Option<&'a Named<'a>>,
    ended: Option<&'a Ended<'a>>,
    batch: &'a Batch,
}

impl Drop for NamedOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(written) = self.written {
            for (id, _) in self.batch.written() {
                written(&id);
            }
        }
        if let Some(ended) = self.ended {
            ended();
        }
    }
}

impl<'s, S: Store + ?Sized> ActingStore<'s, S> {
    pub(crate) const fn new(store: &'s S, by: &'s By) -> Self {
        Self {
            store,
            by,
            written: None,
            ended: None,
            once: None,
            template: None,
        }
    }

    /// The same store, for a verb that issues a key for this request: see
    /// [`issue_once`](crate::issue_once()). If the request has a key, nothing is written, and the
    /// verb fails with [`StoreError::Answered`].
    #[must_use]
    pub fn once(self, request: &'s IssueOnce, now: UnixMillis) -> Self {
        Self {
            once: Some((request, now)),
            ..self
        }
    }

    /// The same store, for what depends on a template: it writes only as long as this is its
    /// version, and otherwise fails with
    /// [`TemplateProblem::Stale`](crate::TemplateProblem::Stale).
    #[must_use]
    pub fn relying_on(self, template: &StoredTemplate) -> Self {
        Self {
            template: TemplateVersion::of(template),
            ..self
        }
    }

    /// The same store, which names each key that it has written, or may have.
    #[cfg(feature = "authenticator")]
    pub(crate) fn noting_writes(self, written: impl Fn(&KeyId) + Send + Sync + 's) -> Self {
        Self {
            written: Some(Box::new(written)),
            ..self
        }
    }

    /// The same store, which calls this after each batch that it has written, or may have.
    #[cfg(feature = "authenticator")]
    pub(crate) fn noting_batches(self, ended: impl Fn() + Send + Sync + 's) -> Self {
        Self {
            ended: Some(Box::new(ended)),
            ..self
        }
    }
}

impl<S: Store + ?Sized> Store for ActingStore<'_, S> {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.store.find(lookup).await
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        self.store.find_with_usage(lookup).await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.store.lineage(lineage).await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        self.store.derived(lineage, since).await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        self.store.derived_state(source).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.store.list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let _named = NamedOnDrop {
            written: self.written.as_deref(),
            ended: self.ended.as_deref(),
            batch,
        };
        let mut batch = batch.clone().by(self.by);
        if self.template.is_some() {
            batch.template_unchanged.clone_from(&self.template);
        }
        let (Some((request, now)), Some(new)) = (self.once, batch.inserts.first()) else {
            return self.store.commit(&batch).await;
        };
        batch.issue_request = Some(IssueNote::new(request.clone(), new.id, now));
        match self.store.commit(&batch).await {
            // Or else a verb would try again as long as it is patient.
            Err(StoreError::Stale) if answered(self.store, request, now).await?.is_some() => {
                Err(StoreError::Answered)
            }
            done => done,
        }
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.store.usage(lineage).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
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

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.store.list_events(filter, after, limit).await
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        let by = if by.actor().is_some() { by } else { self.by };
        self.store.prune_events(before, limit, by).await
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        self.store.export(filter, page).await
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        self.store.issue_answer(request).await
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        self.store.removed_keys(after, limit).await
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        self.store.known(asked).await
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        self.store.template(name).await
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        self.store.list_templates(after, limit).await
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        self.store.save_template(template).await
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        self.store.remove_template(name, only).await
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        self.store.pepper_versions().await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.store.last_event().await
    }
}
