//! The same verb for many keys.

use core::ops::ControlFlow;
use std::collections::HashSet;

use keystile::{ErrorKind, KeyId, KeyRecord, Status, UnixMillis};

use crate::cascade::{Ended, revoke_if, suspend_if};
use crate::derived::Reach;
use crate::error::{CorruptRow, StoreError};
use crate::filter::Filter;
use crate::list::{Cursor, Page};
use crate::store::Store;

/// A page of keys that [`revoke`](Self::revoke), [`suspend`](Self::suspend) or
/// [`change`](Self::change) would change.
///
/// A filter is required, and it must select by owner, client, environment, template or a prefix
/// of the id: a change of all keys must be asked for in so many words.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{Filter, MemoryStore, Page, Reach, Selection, StoreError, save_issued};
///
/// let store = MemoryStore::new();
/// for _ in 0..3 {
///     let request = IssueRequest::new("Acme")?.owner("tenant-7")?;
///     save_issued(&store, &issuer.issue(&request, &mut SysRng, now)?).await?;
/// }
/// let filter = Filter::of_owner("tenant-7");
/// let mut page = Some(Page::first(2));
/// let mut revoked = 0;
/// while let Some(current) = page {
///     let selection = Selection::to_revoke(&store, &filter, current).await?;
///     // A dry run ends here: `selection.keys.len()` keys would be revoked.
///     page = selection.next.map(|next| current.after(next));
///     let ended = selection.revoke(&store, "offboarded", Reach::Last, now).await;
///     // Keys that could not be revoked do not stop it.
///     assert!(ended.failed.is_empty() && ended.stopped_by.is_none());
///     revoked += ended.count();
/// }
/// assert_eq!(revoked, 3);
///
/// let all = Selection::to_revoke(&store, &Filter::default(), Page::first(9)).await;
/// assert!(matches!(all, Err(StoreError::Setting(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Selection {
    /// The keys. Take off the ones that must stay as they are.
    pub keys: Vec<KeyRecord>,
    /// The rows of the page that cannot be read. They are not changed: their keys are refused as
    /// they are, and can be revoked by their ids.
    pub damaged: Vec<CorruptRow>,
    /// Where the next page starts; `None` if this is the last one.
    pub next: Option<Cursor>,
    /// What selected them.
    filter: Filter,
}

impl Selection {
    /// The keys of a page that are not revoked.
    ///
    /// # Errors
    /// [`StoreError::Setting`] if the filter selects by none of owner, client, environment,
    /// template and prefix; and as [`Store::list`].
    pub async fn to_revoke<S: Store + ?Sized>(
        store: &S,
        filter: &Filter,
        page: Page,
    ) -> Result<Self, StoreError> {
        let is_due = |record: &KeyRecord| !matches!(record.status, Status::Revoked { .. });
        Self::of(store, filter, page, is_due).await
    }

    /// The keys of a page that are active; some of them may have ended.
    ///
    /// # Errors
    /// As [`to_revoke`](Self::to_revoke).
    pub async fn to_suspend<S: Store + ?Sized>(
        store: &S,
        filter: &Filter,
        page: Page,
    ) -> Result<Self, StoreError> {
        let is_due = |record: &KeyRecord| record.status == Status::Active;
        Self::of(store, filter, page, is_due).await
    }

    /// Records that were selected otherwise, such as by a list of ids.
    #[must_use]
    pub fn of_records(keys: Vec<KeyRecord>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    pub(crate) async fn of<S: Store + ?Sized>(
        store: &S,
        filter: &Filter,
        page: Page,
        is_due: impl Fn(&KeyRecord) -> bool,
    ) -> Result<Self, StoreError> {
        if !filter.selects_some() {
            return Err(StoreError::Setting(
                "a change of many keys must select them by owner, client, environment, template \
                 or a prefix of the id",
            ));
        }
        let listed = store.list(filter, page).await?;
        let due = listed.records.into_iter();
        Ok(Self {
            keys: due.filter(is_due).collect(),
            damaged: listed.damaged,
            next: listed.next,
            filter: filter.clone(),
        })
    }

    /// Revokes each key, with an event each, and the keys that derive from it, as
    /// [`revoke_reaching`](crate::revoke_reaching) does. A key that cannot be revoked does not
    /// stop it: it is named in the result.
    ///
    /// Keys that the filter does not select any more, that were revoked meanwhile, for example
    /// with the key that they derive from, or that were deleted, are passed over.
    pub async fn revoke<S: Store + ?Sized>(
        &self,
        store: &S,
        reason: &str,
        reach: Reach,
        now: UnixMillis,
    ) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in &self.keys {
            let ended = revoke_if(store, &key.id, reason, reach, now, &self.permit()).await;
            if all.add(key.id, ended).is_break() {
                break;
            }
        }
        all
    }

    /// Suspends each key, with an event each, as [`revoke`](Self::revoke) revokes them.
    pub async fn suspend<S: Store + ?Sized>(&self, store: &S, now: UnixMillis) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in &self.keys {
            let ended = suspend_if(store, &key.id, Reach::Last, now, &self.permit()).await;
            if all.add(key.id, ended).is_break() {
                break;
            }
        }
        all
    }

    /// Whether a key is still one that the filter selects.
    pub(crate) fn permit(&self) -> impl Fn(Result<&KeyRecord, &CorruptRow>) -> bool + Send + Sync {
        |found| found.is_ok_and(|record| self.filter.shows(record))
    }
}

/// What became of the keys of a selection.
///
/// ```
/// use keystile_store::BulkEnded;
///
/// let nothing = BulkEnded::default();
/// assert!(nothing.changed.is_empty() && nothing.failed.is_empty());
/// assert!(nothing.stopped_by.is_none());
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "some of the keys may not be changed"]
pub struct BulkEnded {
    /// The keys of the selection that were changed.
    pub changed: Vec<KeyId>,
    /// The keys that derive from them and were changed with them, also those of the selection.
    pub derived: Vec<KeyId>,
    /// How many live keys that derive from them were left alive, because a successor lives.
    pub left: usize,
    /// The keys that could not be changed, each with the reason.
    pub failed: Vec<(KeyId, StoreError)>,
    /// Why it stopped before the last key: the store is unavailable, or a template that was applied
    /// has changed. The keys before stay changed: call it again.
    pub stopped_by: Option<StoreError>,
}

impl BulkEnded {
    /// Notes what became of a key, for a loop over other keys than those of a selection. It
    /// breaks if the store is unavailable.
    pub fn add(&mut self, id: KeyId, ended: Result<Ended, StoreError>) -> ControlFlow<()> {
        match ended {
            Ok(ended) => {
                self.changed
                    .extend(ended.outcome.is_changed().then_some(id));
                self.derived
                    .extend(ended.derived.iter().map(|derived| derived.id));
                self.left = self.left.saturating_add(ended.left);
            }
            // Not selected any more, or revoked meanwhile.
            Err(StoreError::NotFound) => {}
            Err(StoreError::Refused(error)) if error.kind() == ErrorKind::State => {}
            Err(error @ StoreError::Unavailable { .. }) => {
                self.stopped_by = Some(error);
                return ControlFlow::Break(());
            }
            Err(error) => self.failed.push((id, error)),
        }
        ControlFlow::Continue(())
    }

    /// Adds what became of the keys of another page.
    pub fn extend(&mut self, page: Self) {
        self.changed.extend(page.changed);
        self.derived.extend(page.derived);
        self.left = self.left.saturating_add(page.left);
        self.failed.extend(page.failed);
        self.stopped_by = page.stopped_by.or(self.stopped_by.take());
    }

    /// How many keys were changed, each of them counted once.
    #[must_use]
    pub fn count(&self) -> usize {
        let ids: HashSet<_> = self.changed.iter().chain(&self.derived).collect();
        ids.len()
    }
}
