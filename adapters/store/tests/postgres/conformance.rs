//! The suite that any store must pass: over one handle, over two on one database, and over
//! a custom pool.

use deadpool_postgres::{Manager, Pool, Runtime};
use keystile_store::{PostgresStore, conformance};
use tokio_postgres::NoTls;

use crate::alternating::Alternating;
use crate::database::{Database, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_postgres_conforms() {
    if Database::new().await.is_none() {
        return;
    }
    let count = core::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        Database::new().await.unwrap().store().await
    })
    .await;
    assert!(count.get() > 30, "a store for each case");
}

/// Two handles, as two processes have, one of them on a pool of the application's: what
/// one writes, the other reads next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_on_one_database_conform_together() {
    if Database::new().await.is_none() {
        return;
    }
    conformance::run(async || {
        let database = Database::new().await.unwrap();
        let pool = Pool::builder(Manager::new(database.url.parse().unwrap(), NoTls));
        let pool = pool.runtime(Runtime::Tokio1).max_size(3).build().unwrap();
        let theirs = PostgresStore::from_pool(pool, &patient());
        Alternating::new(database.store().await, theirs)
    })
    .await;
}
