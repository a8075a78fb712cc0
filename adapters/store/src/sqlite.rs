//! A store in a SQLite file.

mod adopt;
mod adoption;
mod backup;
mod busy;
mod connection;
mod events;
mod fault;
mod instant;
mod list;
mod migration;
mod portable;
mod read;
mod restore;
mod row;
mod statements;
mod templates;
mod write;

#[cfg(feature = "conformance")]
pub(crate) use self::list::Sqlite;
#[cfg(all(test, feature = "postgres"))]
pub(crate) use self::row::RECORD;

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use keystile::{By, KeyId, KeyRecord, Lookup, RateState, TemplateName, UnixMillis};

pub use self::backup::CopyProgress;
use self::connection::{Connections, Writing};
pub use self::restore::{RestoreOptions, Restored};
use crate::adoption::{AdoptOptions, AdoptionPlan, AdoptionProgress};
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
use crate::tables::Tables;
use crate::template::{ListedTemplates, StoredTemplate};

/// A store in a SQLite file, which several processes may use at once.
///
/// A change that was acknowledged is on the disk. Spending from a rate limit and recording
/// a last use do not wait for the disk; spending a counted use does.
///
/// Its methods must be called inside a tokio runtime, since they work on tokio's threads
/// for blocking work. Clones share their connections.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("keys.db");
/// use keystile_store::{SqliteStore, Store, Filter, Page};
///
/// let store = SqliteStore::open(&path)?;
/// assert!(store.list(&Filter::default(), Page::first(10)).await.is_err(), "no tables yet");
/// store.migrate().await?;
/// assert!(store.list(&Filter::default(), Page::first(10)).await?.records.is_empty());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    connections: Arc<Connections>,
}

impl SqliteStore {
    /// Opens a database file. If there is none, it creates an empty one that only its owner
    /// may read (mode 0600). An existing file keeps its mode.
    ///
    /// This does not create the tables: [`migrate`](Self::migrate) does, and
    /// [`adopt`](Self::adopt) takes over an application's. It accesses the disk, so it blocks
    /// for a moment. A file with another program's tables is not changed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be opened or is not a database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        connection::create(path.as_ref())?;
        Self::at(path.as_ref())
    }

    /// As [`open`](Self::open), but the file must exist, and its tables must be up to date: a
    /// service with a wrong path should not start with an empty store. It creates and changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file is missing, cannot be opened or is not a
    /// database, or if its tables are missing or of another version.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        connection::tables(path.as_ref())?.require()?;
        Self::at(path.as_ref())
    }

    fn at(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connections: Arc::new(Connections::open(path)?),
        })
    }

    /// What the file holds of keystile's tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be read, or if its tables are newer than
    /// this program.
    pub async fn tables(&self) -> Result<Tables, StoreError> {
        self.connections.read(migration::tables).await
    }

    /// Creates the tables or updates them, in one transaction, and returns the number of
    /// migrations that ran. They may be beside an application's other tables.
    ///
    /// A table `api_keys` that is not keystile's is an error, and is not changed:
    /// [`adopt`](Self::adopt) it. Other programs may run the files in `migrations/sqlite`
    /// instead; each is one transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if a migration fails, which is then rolled back, if the
    /// tables are newer than this program, or if the table `api_keys` is not keystile's.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        self.connections
            .write(Writing::Durable, migration::run)
            .await
    }

    /// What [`adopt`](Self::adopt) would do with these options, and what it would refuse. Reads
    /// each row, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be read, or if its tables are newer than
    /// this program.
    pub async fn plan_adoption(
        &self,
        options: AdoptOptions,
        now: UnixMillis,
    ) -> Result<AdoptionPlan, StoreError> {
        adoption::plan(&self.connections, options, now).await
    }

    /// Carries out a plan: adopts an application's table `api_keys`, and returns the number of
    /// rows. If there is no such table, the tables are created or updated, as by
    /// [`migrate`](Self::migrate).
    ///
    /// The application may go on working: each transaction adopts at most 500 rows. Rows that
    /// it inserts meanwhile are adopted by a trigger, and are not in the plan. If this ends
    /// before it is finished, a second call continues; until then no program can use the table
    /// as a store. The file is set to WAL mode, and keeps it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the plan has [refusals](AdoptionPlan::refusals), if others
    /// have changed a row so that it has a finding which the plan does not accept (rows that were
    /// adopted before it stay so), if the tables are not those of the plan, or
    /// if a statement fails.
    pub async fn adopt(
        &self,
        plan: &AdoptionPlan,
        report: impl FnMut(AdoptionProgress) + Send,
    ) -> Result<u64, StoreError> {
        adopt::run(&self.connections, plan, report).await
    }

    /// Copies the store to a new file, which only its owner may read (mode 0600). Others may
    /// read and change the store meanwhile: the copy is of the instant at which it began.
    ///
    /// `report` is called after each part of the copy. Returns the number of keys in it. If the
    /// copy fails, it leaves no file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file exists, if it cannot be written, or if the
    /// store has no tables.
    pub async fn backup(
        &self,
        path: impl AsRef<Path>,
        report: impl FnMut(CopyProgress) + Send + 'static,
    ) -> Result<u64, StoreError> {
        let (source, path) = (self.connections.path().to_owned(), path.as_ref().to_owned());
        connection::off_thread(move || backup::run(&source, &path, report)).await
    }

    /// Replaces the contents of the store at `path` by those of a [`backup`](Self::backup), in
    /// one step. A missing store is created.
    ///
    /// What the present store knows is carried over: keys that were revoked after the backup
    /// stay revoked, uses that were spent stay spent, and the events remain. Processes may
    /// use the store meanwhile: each key that changes has a new version and an event, as with
    /// any other change. A change by a process while this runs is not lost: this begins again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the backup or the store cannot be read, or is damaged;
    /// [`StoreError::Stale`] if other processes changed the store during each of many tries.
    /// In both cases the store is as it was.
    pub async fn restore(
        path: impl AsRef<Path>,
        backup: impl AsRef<Path>,
        options: RestoreOptions,
    ) -> Result<Restored, StoreError> {
        let (path, backup) = (path.as_ref().to_owned(), backup.as_ref().to_owned());
        connection::off_thread(move || restore::run(&path, &backup, options)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.connections.path())
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        let lookup = *lookup;
        self.connections
            .read(move |connection| read::find(connection, &lookup))
            .await
    }

    async fn find_with_usage(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
        let lookup = *lookup;
        self.connections
            .read(move |connection| read::find_with_usage(connection, &lookup))
            .await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.connections
            .read(move |connection| read::lineage(connection, &lineage))
            .await
    }

    async fn derived(&self, lineage: &KeyId, since: UnixMillis) -> Result<Listed, StoreError> {
        let lineage = *lineage;
        self.connections
            .read(move |connection| read::derived(connection, &lineage, since))
            .await
    }

    async fn derived_state(&self, source: &KeyRecord) -> Result<DerivedState, StoreError> {
        let state = DerivedState::of(source, []);
        self.connections
            .read(move |connection| read::derived_state(connection, state))
            .await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let filter = filter.clone();
        self.connections
            .read(move |connection| list::list(connection, &filter, page))
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let batch = batch.clone();
        let work = move |connection: &mut _| write::commit(connection, &batch);
        self.connections.write(Writing::Durable, work).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        let lineage = *lineage;
        self.connections
            .read(move |connection| read::usage(connection, &lineage))
            .await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        let request = *request;
        // A power failure must not bring back a use that was spent.
        let uses_are_counted = request.before.remaining != request.after.remaining;
        let writing = if uses_are_counted {
            Writing::Durable
        } else {
            Writing::Quick
        };
        let work = move |connection: &mut _| write::spend(connection, &request);
        self.connections.write(writing, work).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        let lineage = *lineage;
        let work =
            move |connection: &mut _| write::replace_rate(connection, &lineage, before, after);
        self.connections.write(Writing::Quick, work).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        let rates = rates.to_vec();
        let work = move |connection: &mut _| write::note_rates(connection, &rates, now);
        self.connections.write(Writing::Quick, work).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        let work = move |connection: &mut _| write::note_uses(connection, &uses);
        self.connections.write(Writing::Quick, work).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let key_id = key_id.copied();
        let work = move |connection: &_| read::events(connection, key_id, after, limit);
        self.connections.read(work).await
    }

    async fn list_events(
        &self,
        filter: &EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        let filter = filter.clone();
        let work = move |connection: &_| events::list(connection, &filter, after, limit);
        self.connections.read(work).await
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        let by = by.clone();
        let work = move |connection: &mut _| events::prune(connection, before, limit, &by);
        self.connections.write(Writing::Durable, work).await
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        let name = name.clone();
        let work = move |connection: &_| templates::find(connection, &name);
        self.connections.read(work).await
    }

    async fn list_templates(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListedTemplates, StoreError> {
        let after = after.map(str::to_owned);
        let work = move |connection: &_| templates::list(connection, after.as_deref(), limit);
        self.connections.read(work).await
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        let template = template.clone();
        let work = move |connection: &mut _| templates::save(connection, &template);
        self.connections.write(Writing::Durable, work).await
    }

    async fn remove_template(
        &self,
        name: &TemplateName,
        only: Option<&StoredTemplate>,
    ) -> Result<(), StoreError> {
        let (name, only) = (name.clone(), only.cloned());
        let work = move |connection: &mut _| templates::remove(connection, &name, only.as_ref());
        self.connections.write(Writing::Durable, work).await
    }

    async fn pepper_versions(&self) -> Result<Vec<u32>, StoreError> {
        self.connections.read(read::pepper_versions).await
    }

    async fn export(&self, filter: &Filter, page: Page) -> Result<Exported, StoreError> {
        let filter = filter.clone();
        let work = move |connection: &_| portable::export(connection, &filter, page);
        self.connections.read(work).await
    }

    async fn issue_answer(&self, request: &IssueOnce) -> Result<Option<IssueAnswer>, StoreError> {
        let request = request.clone();
        let work = move |connection: &_| portable::issue_answer(connection, &request);
        self.connections.read(work).await
    }

    async fn removed_keys(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RemovedKeys, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        let work = move |connection: &_| portable::removed_keys(connection, &after, limit);
        self.connections.read(work).await
    }

    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        let asked = asked.clone();
        let work = move |connection: &_| portable::known(connection, &asked);
        self.connections.read(work).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.connections.read(read::last_event).await
    }
}
