//! Connections to a server, and the timeouts of work on them.

use core::time::Duration;
use std::sync::Arc;

use deadpool_postgres::{Client, Hook, HookError, Pool, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fault::{Fault, Reason};
use super::target::Target;
use crate::error::StoreError;

/// Tries of work that the server undoes because of other transactions.
const TRIES_MAX: u32 = 5;

/// The limit on a store's connections, and its timeouts.
///
/// A call that exceeds a timeout returns [`StoreError::Unavailable`].
///
/// ```
/// use core::time::Duration;
/// use keystile_store::{PostgresOptions, PostgresStore, UnavailableKind};
///
/// let mut options = PostgresOptions::default();
/// options.connections_max = 40;
/// options.statement_timeout = Duration::from_secs(3);
/// let store = PostgresStore::open_with("postgres://keystile@localhost/keys", &options)?;
///
/// let refused = PostgresStore::open_with("mysql://localhost/keys", &options).unwrap_err();
/// assert_eq!(refused.unavailable_kind(), Some(UnavailableKind::Url));
/// # Ok::<(), keystile_store::StoreError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// Connections at the same time, not counting the one that listens for changes: 10.
    pub connections_max: usize,
    /// Time to connect: 5 seconds. A `connect_timeout` in the URL takes precedence.
    pub connect_timeout: Duration,
    /// Time to wait for a free connection: 5 seconds.
    pub wait_timeout: Duration,
    /// Time for the work of a call once it has a connection: 10 seconds.
    pub statement_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 10,
            connect_timeout: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// A pool, and the timeouts of work on it.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool,
    /// Time for the pool to return a connection, which it may have to make first.
    get_timeout: Duration,
    statement_timeout: Duration,
    /// Places for writes: fewer than connections, since a write may wait for a lock that
    /// another program holds, and reads must go on.
    writes: Arc<Semaphore>,
}

/// A connection that work uses. It goes back to the pool when the work is done. If it is not,
/// because it took too long or because its caller is gone, its statement may still be running:
/// then it is closed, so that no other work waits for that statement.
struct InUse(Option<Client>);

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

impl Connections {
    pub(super) fn of(pool: Pool, options: &PostgresOptions) -> Self {
        let get_timeout = options.wait_timeout.saturating_add(options.connect_timeout);
        let connections = pool.status().max_size;
        let for_reads = connections.div_ceil(4);
        let writes = connections.saturating_sub(for_reads).max(1);
        Self {
            pool,
            get_timeout,
            statement_timeout: options.statement_timeout,
            writes: Arc::new(Semaphore::new(writes.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(super) fn to(target: &Target, options: &PostgresOptions) -> Result<Self, StoreError> {
        let session = session(options.statement_timeout);
        let pool = Pool::builder(target.manager())
            .max_size(options.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.wait_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                Box::pin(async move {
                    let set = client.batch_execute(&session).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .build();
        let pool = pool.map_err(|_| {
            StoreError::from(Reason::Unreachable("the pool cannot be made".to_owned()))
        })?;
        Ok(Self::of(pool, options))
    }

    /// Takes a connection from the pool; it goes back when it is dropped.
    pub(super) async fn take(&self) -> Result<Client, StoreError> {
        let waited = self.get_timeout;
        match timeout(waited, self.pool.get()).await {
            Ok(taken) => taken.map_err(|error| StoreError::from(Reason::of_pool(error, waited))),
            Err(_) => Err(StoreError::from(Reason::Busy(waited))),
        }
    }

    /// Runs `work` on a connection, which goes back to the pool afterwards.
    ///
    /// Work that the server undid because of another transaction is run again.
    pub(super) async fn run<T>(
        &self,
        mut work: impl AsyncFnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut in_use = InUse(Some(self.take().await?));
        let Some(client) = &mut in_use.0 else {
            return Err(StoreError::from(Reason::Closed));
        };
        let finished = timeout(self.statement_timeout, async {
            let mut tries = 1_u32;
            loop {
                match work(client).await {
                    Err(fault) if fault.is_passing() && tries < TRIES_MAX => {
                        tries = tries.saturating_add(1);
                    }
                    result => break result,
                }
            }
        });
        if let Ok(result) = finished.await {
            drop(in_use.0.take());
            return Ok(result?);
        }
        Err(StoreError::from(Reason::Late(self.statement_timeout)))
    }

    /// Runs `work` that writes, in one of the places for it. If the caller is gone before there
    /// is one, it is not begun.
    pub(super) async fn run_write<T>(
        &self,
        work: impl AsyncFnMut(&mut Client) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let waited = self.get_timeout;
        match timeout(waited, self.writes.acquire()).await {
            Ok(Ok(_place)) => self.run(work).await,
            Ok(Err(_)) => Err(StoreError::from(Reason::Closed)),
            Err(_) => Err(StoreError::from(Reason::Busy(waited))),
        }
    }
}

/// The first statement on a connection. With it the server cancels statements that no one
/// waits for any longer, and ends sessions that hang inside a transaction. The isolation
/// level is the one that the statements here are written for; a database may have another
/// default.
fn session(statement_timeout: Duration) -> String {
    let millis = statement_timeout.as_millis().max(1);
    format!(
        "SET statement_timeout = {millis}; \
         SET idle_in_transaction_session_timeout = {millis}; \
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
}
