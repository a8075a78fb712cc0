//! Connections to a server, and how long anything may take on them.

use core::future::Future;
use core::time::Duration;

use deadpool_postgres::{Client, Hook, HookError, Pool, Runtime};
use tokio::time::timeout;

use super::fault::{Fault, Reason};
use super::target::Target;
use crate::error::StoreError;

/// How many connections a store makes, and how long it waits for anything.
///
/// Whatever takes longer ends in [`StoreError::Unavailable`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// Most connections at the same time, beside the one that listens for changes: 10.
    pub connections_max: usize,
    /// For a connection to be made: 5 seconds. A `connect_timeout` in the URL goes before.
    pub connect_timeout: Duration,
    /// For a connection to be free: 5 seconds.
    pub wait_timeout: Duration,
    /// For a call to be answered once it has a connection: 10 seconds.
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

/// A pool, and how long anything may take on it.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool,
    /// For the pool to hand out a connection, which it may have to make.
    get_timeout: Duration,
    statement_timeout: Duration,
}

impl Connections {
    pub(super) const fn of(pool: Pool, options: &PostgresOptions) -> Self {
        let get_timeout = options.wait_timeout.saturating_add(options.connect_timeout);
        Self {
            pool,
            get_timeout,
            statement_timeout: options.statement_timeout,
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
            StoreError::unavailable(Reason::Unreachable("the pool cannot be made".to_owned()))
        })?;
        Ok(Self::of(pool, options))
    }

    /// A connection that is the caller's until it is dropped.
    pub(super) async fn take(&self) -> Result<Client, StoreError> {
        let waited = self.get_timeout;
        match timeout(waited, self.pool.get()).await {
            Ok(taken) => {
                taken.map_err(|error| StoreError::unavailable(Reason::of_pool(error, waited)))
            }
            Err(_) => Err(StoreError::unavailable(Reason::Busy(waited))),
        }
    }

    /// Waits for work on a connection, as long as one waits for anything.
    pub(super) async fn finish<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Unfinished> {
        match timeout(self.statement_timeout, work).await {
            Ok(done) => done.map_err(|fault| Unfinished::Failed(fault.into())),
            Err(_) => Err(Unfinished::Late(self.statement_timeout)),
        }
    }
}

/// Why work on a connection came to no end that was wanted.
#[derive(Debug)]
pub(super) enum Unfinished {
    Failed(StoreError),
    Late(Duration),
}

impl Unfinished {
    /// Gives the connection back, or up where something is still under way on it.
    pub(super) fn settle(self, client: Client) -> StoreError {
        match self {
            Self::Failed(error) => error,
            Self::Late(waited) => {
                drop(Client::take(client));
                StoreError::unavailable(Reason::Late(waited))
            }
        }
    }
}

/// What a connection of ours is told first. The server ends what we no longer wait for, and
/// a session that is stuck in the middle of a change; and the statements here are written
/// for an isolation that a database may have changed.
fn session(statement_timeout: Duration) -> String {
    let millis = statement_timeout.as_millis().max(1);
    format!(
        "SET statement_timeout = {millis}; \
         SET idle_in_transaction_session_timeout = {millis}; \
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
}
