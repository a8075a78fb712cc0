//! The trait that a store implements.

use core::future::Future;
use std::collections::BTreeSet;

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};

use crate::acting::ActingStore;
use crate::batch::Batch;
use crate::derived::{DerivedState, descendants};
use crate::error::StoreError;
use crate::event_filter::{EventFilter, scan};
use crate::family::has_not_ended;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::{Listed, ListedEvents, PAGE_MAX, Page};
use crate::peppers::pepper_of;
use crate::portable::{Asked, Exported, Known, RemovedKeys, unsupported};
pub use crate::spend_request::SpendRequest;
use crate::stored_usage::{RateNote, StoredUsage, is_counted};
use crate::template::{ListedTemplates, StoredTemplate};

/// A store of records, usage and events.
///
/// A store sees digests and ids, never a key's text. Each method is atomic, and is safe to
/// call from many tasks and processes at once. Texts are compared byte by byte: case matters,
/// and there are no wildcards. The `conformance` module tests an implementation for all of
/// this.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{Filter, MemoryStore, Page, Store, StoreError};
///
/// /// The names of all clients, from any store.
/// async fn clients(store: &impl Store) -> Result<Vec<String>, StoreError> {
///     let mut names = Vec::new();
///     let mut page = Page::first(100);
///     loop {
///         let listed = store.list(&Filter::default(), page).await?;
///         names.extend(listed.records.iter().map(|record| record.client_name.to_string()));
///         match listed.next {
///             Some(next) => page = page.after(next),
///             None => return Ok(names),
///         }
///     }
/// }
///
/// assert!(clients(&MemoryStore::new()).await?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Store: Send + Sync {
    /// The record for a presented key, with the current `remaining_uses`.
    ///
    /// [`StoreError::Corrupt`] if its row cannot be read.
    fn find(
        &self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Option<KeyRecord>, StoreError>> + Send;

    /// As [`find`](Self::find), with what the key's lineage has spent; of a record without a
    /// rate limit and a count of uses, that may be left out.
    ///
    /// The default implementation reads twice. A store that can do it with one query should.
    fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<Option<(KeyRecord, StoredUsage)>, StoreError>> + Send {
        async {
            let Some(record) = self.find(lookup).await? else {
                return Ok(None);
            };
            let usage = if is_counted(&record) {
                self.usage(&record.lineage)
                    .await
                    .map_err(|error| match error {
                        StoreError::Corrupt(row) => StoreError::Corrupt(row.beside(&record)),
                        error => error,
                    })?
            } else {
                StoredUsage::default()
            };
            Ok(Some((record, usage)))
        }
    }

    /// Every record of a lineage, the oldest first, all read at the same instant. It is not
    /// limited, and has no next page.
    fn lineage(&self, lineage: &KeyId) -> impl Future<Output = Result<Listed, StoreError>> + Send;

    /// Every key that derives from a lineage, directly or through others, is not revoked, and
    /// had not expired at the instant `since`: in the order of their insertion, all read at the
    /// same instant. It is not limited, and has no next page. A row whose end cannot be read is
    /// among them.
    ///
    /// The default implementation reads all records. It does not find derived keys whose rows
    /// cannot be read, nor what derives from these: they are not revoked with their source.
    fn derived(
        &self,
        lineage: &KeyId,
        since: UnixMillis,
    ) -> impl Future<Output = Result<Listed, StoreError>> + Send {
        async move {
            let records = every_record(self).await?;
            let all: Vec<&KeyRecord> = records.iter().collect();
            let derived = descendants(&all, lineage).into_iter();
            let derived = derived.filter(|record| has_not_ended(record, since));
            Ok(Listed::of(derived.cloned().collect(), None))
        }
    }

    /// How many keys derive from the lineage of `source`, directly or through others, and the
    /// sum of their versions: also of ended ones, so that both only grow as long as no row is
    /// deleted.
    ///
    /// The default implementation reads all records.
    fn derived_state(
        &self,
        source: &KeyRecord,
    ) -> impl Future<Output = Result<DerivedState, StoreError>> + Send {
        async move {
            let records = every_record(self).await?;
            let all: Vec<&KeyRecord> = records.iter().collect();
            Ok(DerivedState::of(source, descendants(&all, &source.lineage)))
        }
    }

    /// Records in the order of their insertion, starting after `page.after`. A row that cannot
    /// be read is named, and is no error.
    ///
    /// [`StoreError::NotFound`] if there never was a key `page.after`.
    fn list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Listed, StoreError>> + Send;

    /// Inserts and updates records and appends events, all or nothing.
    ///
    /// If an id or digest already exists, the result is [`StoreError::Duplicate`]. An inserted
    /// record also creates the usage of its lineage, unless the lineage has one.
    ///
    /// An update is accepted only if the stored version is the one before its own, and if it
    /// does not give a revoked record another status, instant or reason; otherwise the result
    /// is [`StoreError::Stale`]. It does not change the lineage, the last use and the
    /// remaining uses. [Upkeep](Batch::upkeep) is accepted as an update is, but never of a
    /// revoked record, and writes only the fields that it names. The rest of the row need not
    /// be readable.
    ///
    /// A [removal](Batch::deletes) is accepted as an update is, whatever the status. The usage of
    /// the lineage stays, and so does the place of the key, so that a list continues after it.
    /// A digest or an id of a key that was revoked and removed is never that of a live key again:
    /// a store refuses it as [`StoreError::Duplicate`], or stores the record as revoked.
    ///
    /// A record without an event in the batch is [`StoreError::WithoutEvent`]: other
    /// processes are notified of changes by their events.
    ///
    /// If a record of `batch.unchanged` has another version, a lineage of `batch.take_uses` has
    /// fewer uses left, or other keys derive from a lineage of `batch.derived`, the result is
    /// [`StoreError::Stale`].
    ///
    /// If `batch.template_unchanged` is not the version of its template, the result is
    /// [`TemplateProblem::Stale`](crate::TemplateProblem::Stale), whatever became of the records.
    ///
    /// If `batch.last_event` is set and another event was written since, the result is
    /// [`StoreError::Stale`]. Of concurrent batches with the same number, at most one is
    /// written.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What a lineage has spent, and the store's clock; the default usage for an unknown
    /// lineage.
    fn usage(
        &self,
        lineage: &KeyId,
    ) -> impl Future<Output = Result<StoredUsage, StoreError>> + Send;

    /// Replaces usage if it is still `request.before` and the key's record still has the
    /// version of the decision; returns whether it did.
    fn spend(
        &self,
        request: &SpendRequest,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Replaces the state of a lineage's rate limit if it is still `before`; returns whether it
    /// did. Both are in the time of the store's clock. Remaining uses do not change, and no key
    /// is looked at; of an unknown lineage there is no state, so the result is `false`.
    ///
    /// As with rates that are [spent](Self::spend), a power failure may undo the last moments.
    fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Records in bulk what a process has counted against rate limits. `now` is the clock of
    /// the process, which the states are in the time of; a store with a clock of its own
    /// converts them.
    ///
    /// A state is only raised, so that nothing that was spent is given back, with one
    /// exception: a stored state that lies further ahead of the store's clock than
    /// [`RateNote::reach`] is brought back to that. A store without a clock of its own, for
    /// which `now` is the clock, tolerates a minute more. Of several states of a lineage, the
    /// latest counts. One of an unknown lineage changes nothing. Remaining uses do not change.
    fn note_rates(
        &self,
        rates: &[RateNote],
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Records last uses in bulk. A use that is older than the stored one changes nothing;
    /// neither does a use of an unknown key. Versions do not change.
    fn note_uses(
        &self,
        uses: &[(KeyId, UnixMillis)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Events with their numbers in the order in which they were written, starting after the
    /// number `after`; at most `limit` and [`PAGE_MAX`].
    ///
    /// With a `key_id`, only the events of that key, and the rotation that created it.
    ///
    /// Events become visible in the order of their numbers: a caller that continues after
    /// the last number that it read misses none. A row that cannot be read is named, and is no
    /// error.
    fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<ListedEvents, StoreError>> + Send;

    /// Events that a filter selects, with their numbers in the order in which they were written,
    /// starting after the number `after`; at most `limit` and [`PAGE_MAX`]. The number of the
    /// last one is the `after` of the next page, and stays that if events are removed.
    ///
    /// A row that cannot be read is named if its columns match.
    ///
    /// The default implementation reads all events after that number, and does not name
    /// damaged ones unless only a key is asked for. It does not know whose a removed key was, and
    /// so lists its events for no owner: a store that removes keys should select them itself.
    fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<ListedEvents, StoreError>> + Send {
        scan(self, filter, after, limit)
    }

    /// Removes events before an instant, the ones with the lowest numbers first, and returns how
    /// many: at most `limit` and [`PAGE_MAX`], and 0 if there are none. It is what
    /// [`prune_events`](crate::prune_events) calls again and again.
    ///
    /// The last one of them stays, as an [`EventKind::Pruned`](keystile::EventKind::Pruned) of
    /// no key with its number and its instant, by `by`. So a reader that has not read the
    /// removed ones invalidates everything, and the number of the last event stays the same.
    /// Such an event is removed too, and is not counted.
    ///
    /// The default implementation fails.
    fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let _ = (before, limit, by);
        async { Err(unsupported()) }
    }

    /// Records with all that the store holds of them, in the order of their insertion, starting
    /// after `page.after`. A row that cannot be read is named, and is no error.
    ///
    /// The records of a page are of one instant. Of keys that are written between two pages,
    /// those that are new are on a later page, and others are as they were when their page was
    /// read.
    ///
    /// The default implementation fails.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there never was a key `page.after`.
    fn export(
        &self,
        filter: &Filter,
        page: Page,
    ) -> impl Future<Output = Result<Exported, StoreError>> + Send {
        let _ = (filter, page);
        async { Err(unsupported()) }
    }

    /// What is remembered of removed keys, in the order of their ids, starting after the text
    /// `after`; at most `limit` and [`PAGE_MAX`].
    ///
    /// The default implementation fails.
    fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<RemovedKeys, StoreError>> + Send {
        let _ = (after, limit);
        async { Err(unsupported()) }
    }

    /// What the store knows of what an import asks about.
    ///
    /// The default implementation fails.
    fn known(&self, asked: &Asked) -> impl Future<Output = Result<Known, StoreError>> + Send {
        let _ = asked;
        async { Err(unsupported()) }
    }

    /// What is remembered of a request, also of a day ago or earlier; `None` if nothing is.
    ///
    /// The default implementation fails, and so does each request that has an idempotency key:
    /// a store that overrides it also writes [`Batch::issue_request`].
    fn issue_answer(
        &self,
        request: &IssueOnce,
    ) -> impl Future<Output = Result<Option<IssueAnswer>, StoreError>> + Send {
        let _ = request;
        async { Err(unsupported()) }
    }

    /// The template with this name. Presets are not stored: see
    /// [`find_template`](crate::find_template).
    ///
    /// [`TemplateProblem::Damaged`](crate::TemplateProblem::Damaged) if its row cannot be read.
    ///
    /// The default implementation fails, as those of the other three methods for templates do. Then
    /// keys can be issued from the presets only. The conformance suite expects all four.
    fn template(
        &self,
        name: &TemplateName,
    ) -> impl Future<Output = Result<Option<StoredTemplate>, StoreError>> + Send {
        let _ = name;
        async { Err(unsupported()) }
    }

    /// Templates in the byte order of their names, starting after the name `after`; at most `limit`
    /// and [`TEMPLATES_PAGE_MAX`](crate::TEMPLATES_PAGE_MAX). A row that cannot be read is named, and is no error.
    fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<ListedTemplates, StoreError>> + Send {
        let _ = (after, limit);
        async { Err(unsupported()) }
    }

    /// Inserts a template of version 1, or replaces the one with the version before and the same
    /// `created_at`. [`StoredTemplate::check`] is asked first.
    ///
    /// The result is [`TemplateProblem::Exists`](crate::TemplateProblem::Exists) if there is one
    /// with its name, and [`TemplateProblem::Stale`](crate::TemplateProblem::Stale) if there is no
    /// such version. It leaves no event, since no key is changed.
    fn save_template(
        &self,
        template: &StoredTemplate,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = template;
        async { Err(unsupported()) }
    }

    /// Removes a template, also one whose row cannot be read; with `only`, if it is still this one,
    /// by its version and `created_at`. The keys that were issued from it stay as they are.
    ///
    /// [`TemplateProblem::NotFound`](crate::TemplateProblem::NotFound) if there is none; with
    /// `only`, [`TemplateProblem::Stale`](crate::TemplateProblem::Stale).
    fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (name, only);
        async { Err(unsupported()) }
    }

    /// This store, for what this actor writes: see [`ActingStore`].
    fn acting_as<'s>(&'s self, by: &'s By) -> ActingStore<'s, Self> {
        ActingStore::new(self, by)
    }

    /// The versions of the peppers that the digests of keys were made with, ascending, without
    /// those of revoked keys only.
    ///
    /// The default implementation reads all records.
    fn pepper_versions(&self) -> impl Future<Output = Result<Vec<u32>, StoreError>> + Send {
        async {
            let mut versions = BTreeSet::new();
            let mut page = Page::first(PAGE_MAX);
            loop {
                let listed = self.list(&Filter::default(), page).await?;
                versions.extend(listed.records.iter().filter_map(pepper_of));
                let Some(next) = listed.next else {
                    return Ok(versions.into_iter().collect());
                };
                page = page.after(next);
            }
        }
    }

    /// The number of the last event; 0 if there is none.
    ///
    /// Callers that need only later events start after it. The default implementation reads
    /// all events.
    fn last_event(&self) -> impl Future<Output = Result<u64, StoreError>> + Send {
        async {
            let mut last = 0;
            while let Some(number) = self.events(None, last, PAGE_MAX).await?.last() {
                last = number;
            }
            Ok(last)
        }
    }
}

/// Every record that can be read.
async fn every_record<S: Store + ?Sized>(store: &S) -> Result<Vec<KeyRecord>, StoreError> {
    let mut records = Vec::new();
    let mut page = Page::first(PAGE_MAX);
    loop {
        let listed = store.list(&Filter::default(), page).await?;
        records.extend(listed.records);
        let Some(next) = listed.next else {
            return Ok(records);
        };
        page = page.after(next);
    }
}
