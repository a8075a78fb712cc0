//! Databases for the tests, on one server.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::OnceLock;

use keystile::UnixMillis;
use keystile_store::{AdoptOptions, PostgresOptions, PostgresStore};
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

/// A database for one test.
pub(crate) struct Database {
    pub(crate) url: String,
    /// A connection outside the store, like a person at a prompt.
    pub(crate) other: Client,
}

impl Database {
    /// An empty one; `None`, after a message, if there is no server.
    pub(crate) async fn new() -> Option<Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER.get_or_init(Server::start).as_ref()?;
        let name = format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server.url("postgres")).await;
        let create = format!("CREATE DATABASE {name}");
        admin.batch_execute(&create).await.unwrap();
        Some(Self::at(server.url(&name)).await)
    }

    pub(crate) async fn at(url: String) -> Self {
        let other = connect(&url).await;
        Self { url, other }
    }

    pub(crate) fn open(&self) -> PostgresStore {
        PostgresStore::open_with(&self.url, &patient()).unwrap()
    }

    /// A store with up-to-date tables. An application's table is adopted, also if rows cannot
    /// be read.
    pub(crate) async fn store(&self) -> PostgresStore {
        let store = self.open();
        let mut options = AdoptOptions::default();
        options.accept_unreadable = true;
        let now = UnixMillis::new(1_782_043_200_000).unwrap();
        let plan = store.plan_adoption(options, now).await.expect("a plan");
        store.adopt(&plan, |_| ()).await.expect("it is adopted");
        store
    }

    /// Runs a statement outside the store.
    pub(crate) async fn sql(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.other.batch_execute(sql).await
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The machine may be busy with other tests.
pub(crate) fn patient() -> PostgresOptions {
    let mut options = PostgresOptions::default();
    options.statement_timeout = Duration::from_secs(60);
    options
}
