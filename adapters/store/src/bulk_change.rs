//! The same change for many keys.

use core::ops::ControlFlow;

use keystile::{KeyChange, KeyRecord, Status, UnixMillis};

use crate::bulk::{BulkEnded, Selection};
use crate::cascade::Ended;
use crate::change::{Written, would_change, write_change};
use crate::derived::OfDerived;
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::Page;
use crate::store::Store;
use crate::template_version::TemplateVersion;

impl Selection {
    /// The keys of a page that can be changed: those that are active or suspended, have not ended,
    /// and have no successor.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// use keystile::{KeyChange, Millis, RateLimit};
    /// use keystile_store::{Filter, MemoryStore, OfDerived, Page, Selection, record, save_issued};
    ///
    /// let store = MemoryStore::new();
    /// let request = IssueRequest::new("Acme")?.owner("tenant-7")?;
    /// let issued = issuer.issue(&request, &mut SysRng, now)?;
    /// save_issued(&store, &issued).await?;
    ///
    /// let slower = KeyChange::new().rate_limit(RateLimit::new(10, Millis::from_secs(1))?);
    /// let filter = Filter::of_owner("tenant-7");
    /// let keys = Selection::to_change(&store, &filter, Page::first(100), now).await?;
    /// let planned = keys.would_change(&store, &slower, OfDerived::Refuse, now).await;
    /// assert_eq!(planned.count(), 1);
    /// assert!(record(&store, &issued.record.id).await?.rate_limit.is_none());
    /// let changed = keys.change(&store, &slower, OfDerived::Refuse, now).await;
    /// assert!(changed.count() == 1 && changed.failed.is_empty());
    ///
    /// let all = Selection::to_change(&store, &Filter::default(), Page::first(9), now).await;
    /// assert!(all.is_err(), "not all keys of a store");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`to_revoke`](Self::to_revoke).
    pub async fn to_change<S: Store + ?Sized>(
        store: &S,
        filter: &Filter,
        page: Page,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        Self::of(store, filter, page, |record| can_change(record, now)).await
    }

    /// Changes each key, with an event each, as [`change_derived`](crate::change_derived) does. A
    /// key that cannot be changed does not stop it: it is named in the result. One that the change
    /// would leave as it is, and one that the filter does not select any more, is passed over.
    pub async fn change<S: Store + ?Sized>(
        &self,
        store: &S,
        requested: &KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> BulkEnded {
        let asked = self.asked(requested, of_derived, now);
        asked.write(store, &self.keys, &|_| {}).await
    }

    /// What [`change`](Self::change) would do, and would refuse. Writes nothing. It decides about
    /// each key as all of them are now.
    pub async fn would_change<S: Store + ?Sized>(
        &self,
        store: &S,
        requested: &KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> BulkEnded {
        let asked = self.asked(requested, of_derived, now);
        asked.plan(store, &self.keys).await
    }

    pub(crate) fn asked<'a>(
        &'a self,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> Asked<'a, impl Fn(&KeyRecord) -> bool + Send + Sync> {
        Asked {
            requested,
            of_derived,
            now,
            template: None,
            is_selected: |record: &KeyRecord| self.permit()(Ok(record)),
        }
    }
}

/// Whether a key is one that [`change`](keystile::change()) does not refuse as it is: it is not
/// revoked, has not ended, and has no successor. [`Selection::to_change`] passes others over.
#[must_use]
pub fn can_change(record: &KeyRecord, now: UnixMillis) -> bool {
    !matches!(record.status, Status::Revoked { .. })
        && record.replaced_by.is_none()
        && record.ends_at().is_none_or(|end| end > now)
}

/// A change of many keys, of those that are still selected when it is written.
pub(crate) struct Asked<'a, F> {
    pub(crate) requested: &'a KeyChange,
    pub(crate) of_derived: OfDerived,
    pub(crate) now: UnixMillis,
    /// The template that is applied: nothing is written once it is another one.
    pub(crate) template: Option<TemplateVersion>,
    pub(crate) is_selected: F,
}

impl<F: Fn(&KeyRecord) -> bool + Send + Sync> Asked<'_, F> {
    fn permit(&self) -> impl Fn(&KeyRecord, &KeyRecord) -> Result<(), StoreError> + Send + Sync {
        |before, _| match (self.is_selected)(before) {
            true => Ok(()),
            false => Err(StoreError::NotFound),
        }
    }

    /// `written` gets each record that was written.
    pub(crate) async fn write<S: Store + ?Sized>(
        &self,
        store: &S,
        keys: &[KeyRecord],
        written: &(dyn Fn(&KeyRecord) + Send + Sync),
    ) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in keys {
            let (requested, rule) = (self.requested, self.of_derived);
            let (template, permit) = (self.template.as_ref(), self.permit());
            let done =
                write_change(store, &key.id, requested, rule, self.now, template, permit).await;
            if let Ok(done) = &done {
                let changed = done.outcome.record().filter(|_| done.outcome.is_changed());
                changed.into_iter().chain(&done.others).for_each(written);
            }
            if all.add_change(key, done.map(Written::ended)).is_break() {
                break;
            }
        }
        all
    }

    pub(crate) async fn plan<S: Store + ?Sized>(&self, store: &S, keys: &[KeyRecord]) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in keys {
            let (requested, rule) = (self.requested, self.of_derived);
            let done = would_change(store, &key.id, requested, rule, self.now, self.permit()).await;
            if all.add_change(key, done).is_break() {
                break;
            }
        }
        all
    }
}

impl BulkEnded {
    /// Notes what became of a key that was to be changed. It breaks if that says
    /// something about the others too.
    fn add_change(&mut self, key: &KeyRecord, done: Result<Ended, StoreError>) -> ControlFlow<()> {
        match done {
            Ok(done) => {
                self.changed
                    .extend(done.outcome.is_changed().then_some(key.id));
                self.derived
                    .extend(done.derived.iter().map(|derived| derived.id));
            }
            // Not selected any more.
            Err(StoreError::NotFound) => {}
            // What a template gives is not written any more once it was changed.
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Template(_))) => {
                self.stopped_by = Some(error);
                return ControlFlow::Break(());
            }
            Err(error) => self.failed.push((key.id, error)),
        }
        ControlFlow::Continue(())
    }
}
