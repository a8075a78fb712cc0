//! A store on a PostgreSQL server.

mod adopt;
mod adopting;
mod adoption;
mod change_notifier;
mod connections;
mod events;
mod fault;
mod list;
mod migration;
mod portable;
mod read;
mod row;
mod statements;
mod store;
mod target;
mod templates;
mod timestamptz;
#[cfg(feature = "postgres-tls")]
mod tls;
mod write;

#[cfg(feature = "conformance")]
pub(crate) use self::list::Postgres;
#[cfg(all(test, feature = "sqlite"))]
pub(crate) use self::row::RECORD;

use core::fmt;
use std::sync::{Arc, OnceLock};

use deadpool_postgres::{Client, Pool};
use tokio::sync::Notify;

use self::change_notifier::ChangeNotifier;
use self::connections::Connections;
pub use self::connections::PostgresOptions;
use self::fault::Fault;
use self::target::Target;
use crate::error::StoreError;
use crate::tables::Tables;

/// A store on a PostgreSQL server, 13 or later, which many processes may use at once.
///
/// A change that was acknowledged is as durable as any commit on that server. Spending from
/// a rate limit and recording a last use do not wait for the disk; spending a counted use
/// does. While the server cannot be reached, or answers too late, each call returns
/// [`StoreError::Unavailable`]; the store reconnects when the server is back.
///
/// Its methods must be called inside a tokio runtime with I/O and time. Clones share their
/// connections. `migrations/postgres` documents the tables, and what other programs may do
/// with them.
///
/// ```no_run
/// # async fn service() -> Result<(), keystile_store::StoreError> {
/// use keystile_store::{Filter, Page, PostgresStore, Store};
///
/// let store = PostgresStore::open("postgres://keystile:secret@localhost/keys")?;
/// store.migrate().await?;
/// assert!(store.list(&Filter::default(), Page::first(10)).await?.records.is_empty());
/// assert!(PostgresStore::open("mysql://localhost/keys").is_err());
///
/// let changed = store.subscribe(); // another process revokes a key …
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
    /// `None` for a custom pool, which does not expose its configuration.
    target: Option<Target>,
    change_notifier: OnceLock<ChangeNotifier>,
}

impl PostgresStore {
    /// Uses the server of a URL such as `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    ///
    /// This does not connect yet, and does not create the tables:
    /// [`migrate`](Self::migrate) does.
    ///
    /// With an `sslmode` of `require`, `verify-ca` or `verify-full` the connection uses TLS,
    /// and the certificate chain and the host's name are verified against the authorities
    /// that the system trusts, or those in the file that `sslrootcert` names. This needs the
    /// feature `postgres-tls`; without it such a URL is refused. With any other `sslmode`, or
    /// none, the connection is not encrypted. For everything else use a custom pool:
    /// [`from_pool`](Self::from_pool).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the URL cannot be used. The error holds no part of it.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, &PostgresOptions::default())
    }

    /// As [`open`](Self::open), with these limits and timeouts.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(url: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        let target = Target::parse(url, options.connect_timeout)?;
        let connections = Connections::to(&target, options)?;
        Ok(Self::of(connections, Some(target)))
    }

    /// As [`open`](Self::open), but the server must be reachable and its tables up to date: a
    /// service with a wrong URL should not start with an empty store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they are not.
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        let store = Self::open(url)?;
        store
            .run(async |client| migration::tables(client).await)
            .await?
            .require()?;
        Ok(store)
    }

    /// Uses a custom pool: with a TLS library of your choice, or shared with an application.
    ///
    /// Its sessions need the rights that the tables require; they should use the isolation
    /// level `READ COMMITTED`, which is PostgreSQL's default. Of the options, only the
    /// timeouts apply.
    #[must_use]
    pub fn from_pool(pool: Pool, options: &PostgresOptions) -> Self {
        Self::of(Connections::of(pool, options), None)
    }

    /// What the database holds of keystile's tables, in the first schema of `search_path`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be used, or if the tables are newer than
    /// this program.
    pub async fn tables(&self) -> Result<Tables, StoreError> {
        self.run(async |client| migration::tables(client).await)
            .await
    }

    /// Creates the tables or updates them, in one transaction, and returns the number of
    /// migrations that ran. They may be beside an application's other tables.
    ///
    /// A table `api_keys` that is not keystile's is an error, and is not changed:
    /// [`adopt`](Self::adopt) it. Other programs may run the files in `migrations/postgres`
    /// instead; each is one transaction. Several processes may call this at the same time. It
    /// has no timeout.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if a migration fails, which is then rolled back, if the
    /// tables are newer than this program, or if the table `api_keys` is not keystile's.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let mut client = self.shared.connections.take().await?;
        Ok(migration::run(&mut client).await?)
    }

    /// Notifies at each change of a key by any process; the events show what changed.
    ///
    /// Give it to `AuthenticatorBuilder::change_signal`, and a revocation by another process
    /// is in force as soon as the server has reported it.
    ///
    /// It also notifies once at the start, and once after each loss of the connection, since
    /// changes may have been missed. Several changes may be one notification. A store that
    /// was [opened](Self::open) listens on a separate connection, from the first call of this
    /// until the store and all its clones are dropped. One over a [pool](Self::from_pool)
    /// polls for events once a second.
    ///
    /// # Panics
    /// Outside a tokio runtime, as the methods of the trait do.
    #[must_use]
    pub fn subscribe(&self) -> Arc<Notify> {
        let shared = &self.shared;
        let notifier = shared.change_notifier.get_or_init(|| match &shared.target {
            Some(target) => ChangeNotifier::listening(target.clone()),
            None => ChangeNotifier::polling(shared.connections.clone()),
        });
        notifier.subscribe()
    }

    /// Callers pass a closure that owns its arguments: for one that borrows them, the compiler
    /// cannot prove that the future is `Send`.
    async fn run<T>(
        &self,
        work: impl AsyncFnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.shared.connections.run(work).await
    }

    /// As [`run`](Self::run), for work that writes.
    async fn write<T>(
        &self,
        work: impl AsyncFnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.shared.connections.run_write(work).await
    }

    fn of(connections: Connections, target: Option<Target>) -> Self {
        Self {
            shared: Arc::new(Shared {
                connections,
                target,
                change_notifier: OnceLock::new(),
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
