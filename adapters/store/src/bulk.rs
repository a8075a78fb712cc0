//! The same verb for many keys.

use keystile::{KeyId, KeyRecord, Status, UnixMillis};

use crate::error::{CorruptRow, StoreError};
use crate::filter::Filter;
use crate::list::{Cursor, Page};
use crate::store::Store;
use crate::verbs;

/// A page of keys that [`revoke`](Self::revoke) or [`suspend`](Self::suspend) would change.
///
/// A filter is required, and it must select by owner, client, environment, template or a prefix
/// of the id: a change of all keys must be asked for in so many words.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{Filter, MemoryStore, Page, Selection, StoreError, save_issued};
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
///     revoked += selection.revoke(&store, "offboarded", now).await?.len();
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
        let is_due = |status: &Status| !matches!(status, Status::Revoked { .. });
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
        let is_due = |status: &Status| *status == Status::Active;
        Self::of(store, filter, page, is_due).await
    }

    async fn of<S: Store + ?Sized>(
        store: &S,
        filter: &Filter,
        page: Page,
        is_due: impl Fn(&Status) -> bool,
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
            keys: due.filter(|record| is_due(&record.status)).collect(),
            damaged: listed.damaged,
            next: listed.next,
        })
    }

    /// Revokes each key, with an event each, and returns the ids of those that were not revoked
    /// by others meanwhile. If it fails, the ones before stay revoked: call it again.
    ///
    /// # Errors
    /// As [`revoke`](crate::revoke). A key that was deleted meanwhile is passed over.
    pub async fn revoke<S: Store + ?Sized>(
        &self,
        store: &S,
        reason: &str,
        now: UnixMillis,
    ) -> Result<Vec<KeyId>, StoreError> {
        let mut changed = Vec::new();
        for key in &self.keys {
            match verbs::revoke(store, &key.id, reason, now).await {
                Ok(outcome) => changed.extend(outcome.is_changed().then_some(key.id)),
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    /// Suspends each key, with an event each, as [`revoke`](Self::revoke) revokes them. A key
    /// that was revoked meanwhile is passed over.
    ///
    /// # Errors
    /// As [`suspend`](crate::suspend).
    pub async fn suspend<S: Store + ?Sized>(
        &self,
        store: &S,
        now: UnixMillis,
    ) -> Result<Vec<KeyId>, StoreError> {
        let mut changed = Vec::new();
        for key in &self.keys {
            match verbs::suspend(store, &key.id, now).await {
                Ok(outcome) => changed.extend(outcome.is_changed().then_some(key.id)),
                // Revoked or deleted.
                Err(StoreError::NotFound | StoreError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }
}
