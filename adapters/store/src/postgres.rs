//! A store on a PostgreSQL server.

mod change_notifier;
mod connections;
mod fault;
mod migration;
mod read;
mod row;
mod target;
mod timestamptz;
#[cfg(feature = "postgres-tls")]
mod tls;
mod write;

use core::fmt;
use std::sync::{Arc, OnceLock};

use deadpool_postgres::Pool;
use keystile::{Event, KeyId, KeyRecord, Lookup, UnixMillis, Usage};
use tokio::sync::Notify;

use self::change_notifier::ChangeNotifier;
use self::connections::Connections;
pub use self::connections::PostgresOptions;
use self::target::Target;
use crate::error::StoreError;
use crate::store::{Batch, Filter, Page, SpendRequest, Store};

/// Tries of a change that the server undoes because others were in the way.
const TRIES_MAX: u32 = 5;

/// A store on a PostgreSQL server, 13 or later, which many processes may use at once.
///
/// A change that was acknowledged is as durable as the server keeps what it commits.
/// Spending from a rate limit and noting a last use do not wait for that; spending a
/// counted use does. While the server cannot be reached, or answers too late, each call is
/// [`StoreError::Unavailable`]; connections are made anew once it is back.
///
/// Its methods are called inside a tokio runtime with I/O and time. Clones share their
/// connections. What the tables hold, and what other programs may do with them, is told in
/// `migrations/postgres`.
///
/// ```no_run
/// # async fn service() -> Result<(), keystile_store::StoreError> {
/// use keystile_store::{Filter, Page, PostgresStore, Store};
///
/// let store = PostgresStore::open("postgres://keystile:secret@localhost/keys")?;
/// store.migrate().await?;
/// assert!(store.list(&Filter::default(), Page::first(10)).await?.is_empty());
///
/// let changed = store.subscribe(); // somebody, somewhere, revokes a key …
/// changed.notified().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    /// None for a pool of the user's own, which does not tell where it leads.
    target: Option<Target>,
    wakes: OnceLock<ChangeNotifier>,
}

/// Takes a connection, works on it, and gives it back.
macro_rules! call {
    ($store:expr, $client:ident => $work:expr) => {{
        let connections = &$store.shared.connections;
        #[allow(unused_mut, reason = "only some work needs it")]
        let mut $client = connections.take().await?;
        let work = async {
            let mut tries = 1_u32;
            loop {
                match $work.await {
                    Err(fault) if fault.is_passing() && tries < TRIES_MAX => {
                        tries = tries.saturating_add(1);
                    }
                    done => break done,
                }
            }
        };
        match connections.finish(work).await {
            Ok(done) => Ok(done),
            Err(unfinished) => Err(unfinished.settle($client)),
        }
    }};
}

impl PostgresStore {
    /// Uses the server of a URL such as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// Nothing is asked of the server yet. The tables are made by
    /// [`migrate`](Self::migrate), never by this.
    ///
    /// An `sslmode` of `require`, `verify-ca` or `verify-full` is TLS, with the chain and
    /// the host's name verified against the authorities that the system trusts, or those
    /// in the file that `sslrootcert` names. It needs the feature `postgres-tls`; without
    /// it such a URL is refused. Any other `sslmode`, or none, is a connection in the
    /// clear. For all else there are pools of one's own: [`from_pool`](Self::from_pool).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the URL cannot be used. No part of it is in the
    /// error.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &PostgresOptions::default())
    }

    /// As [`open`](Self::open), with other numbers.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(url: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        let target = Target::parse(url, options.connect_timeout)?;
        let connections = Connections::to(&target, options)?;
        Ok(Self::of(connections, Some(target)))
    }

    /// As [`open`](Self::open), but the server must be there with its tables up to date: a
    /// service with a wrong URL should not start over an empty store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it is not so.
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        let store = Self::open(url)?;
        call!(store, client => migration::look(&client))?;
        Ok(store)
    }

    /// Uses a pool of one's own: with TLS of one's choice, or shared with an application.
    ///
    /// Its sessions may do what the tables need; they should be at the isolation level
    /// `READ COMMITTED`, which is PostgreSQL's default. Of the options, the two timeouts
    /// of waiting apply.
    #[must_use]
    pub fn from_pool(pool: Pool, options: &PostgresOptions) -> Self {
        Self::of(Connections::of(pool, options), None)
    }

    /// Makes the tables, or brings them up to date, and answers how many steps that took.
    ///
    /// A table `api_keys` of an application's own is adopted: see
    /// `migrations/postgres/0001_tables.sql`. The files there may as well be run by other
    /// programs; each is one transaction. However long it takes, it is waited for, since
    /// a large table may have to be written anew; several processes may do it at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where a step fails, which then leaves nothing behind,
    /// or where the tables are newer than this program.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let mut client = self.shared.connections.take().await?;
        Ok(migration::run(&mut client).await?)
    }

    /// ChangeNotifier whoever waits for it at each change of a key, by whichever process it was
    /// made; the events tell what changed.
    ///
    /// It wakes once at the beginning, and once after each time that the server could not
    /// be heard, since something may have been missed. Several changes may be one wake.
    /// A store that was [opened](Self::open) listens on a connection of its own, from the
    /// first call of this until it is dropped with all its clones. One over a
    /// [pool](Self::from_pool) looks for events once a second.
    ///
    /// # Panics
    /// Outside a tokio runtime, as the methods of the trait do.
    #[must_use]
    pub fn subscribe(&self) -> Arc<Notify> {
        let shared = &self.shared;
        let wakes = shared.wakes.get_or_init(|| match &shared.target {
            Some(target) => ChangeNotifier::listening(target.clone()),
            None => ChangeNotifier::looking(shared.connections.clone()),
        });
        wakes.sleeper()
    }

    fn of(connections: Connections, target: Option<Target>) -> Self {
        Self {
            shared: Arc::new(Shared {
                connections,
                target,
                wakes: OnceLock::new(),
            }),
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL holds a password.
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        call!(self, client => read::find(&client, lookup))
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Vec<KeyRecord>, StoreError> {
        call!(self, client => read::lineage(&client, lineage))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<KeyRecord>, StoreError> {
        call!(self, client => read::list(&client, filter, page))
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check()?;
        call!(self, client => write::commit(&mut client, batch))
    }

    async fn usage(&self, lineage: &KeyId) -> Result<Usage, StoreError> {
        call!(self, client => read::usage(&client, lineage))
    }

    async fn spend(&self, claim: &SpendRequest) -> Result<bool, StoreError> {
        call!(self, client => write::spend(&client, claim))
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        call!(self, client => write::note_uses(&client, uses))
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        call!(self, client => read::events(&client, key_id, after, limit))
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        call!(self, client => read::last_event(&client))
    }
}
