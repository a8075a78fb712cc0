//! What one store changes wakes another, across a restart of the server too.

use core::time::Duration;
use std::sync::Arc;

use deadpool_postgres::{Manager, Pool, Runtime};
use keystile::Lookup;
use keystile_store::{PostgresOptions, PostgresStore, Store, revoke};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::database::Database;
use crate::keys::{at, kept, request};
use crate::server::Server;

/// Far more than it takes, and an end for a test that fails.
const LONG: Duration = Duration::from_secs(30);
/// Longer than any wake that is still under way.
const QUIET: Duration = Duration::from_millis(700);

async fn woken(sleeper: &Notify) {
    timeout(LONG, sleeper.notified()).await.expect("a wake");
}

/// Until nothing more comes of what happened before.
async fn quiet(sleeper: &Notify, quiet: Duration) {
    while timeout(quiet, sleeper.notified()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_the_others() {
    let Some(database) = Database::new().await else {
        return;
    };
    let (here, there) = (database.store().await, database.open());
    let (sleeper, second) = (there.subscribe(), there.subscribe());
    assert!(!Arc::ptr_eq(&sleeper, &second), "each has its own");
    let issued = kept(&here, &request()).await;
    quiet(&sleeper, QUIET).await;
    quiet(&second, QUIET).await;
    let seen = there.last_event().await.unwrap();

    // Neither a use nor what a limiter writes is a change.
    here.note_uses(&[(issued.record.id, at(3))]).await.unwrap();
    let unasked = timeout(QUIET, sleeper.notified()).await;
    assert!(unasked.is_err(), "a use wakes nobody");

    revoke(&here, &issued.record.id, "leaked", at(1))
        .await
        .unwrap();
    woken(&sleeper).await;
    woken(&second).await;
    let events = there.events(None, seen, 9).await.unwrap();
    assert_eq!(
        events[0].1.key_id, issued.record.id,
        "it is there to be read"
    );
    quiet(&sleeper, QUIET).await;
    let other = "UPDATE api_keys SET client_name = 'changed by others'";
    database.sql(other).await.unwrap();
    woken(&sleeper).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_pool_looks_for_itself() {
    let Some(database) = Database::new().await else {
        return;
    };
    let here = database.store().await;
    let pool = Pool::builder(Manager::new(database.url.parse().unwrap(), NoTls));
    let pool = pool.runtime(Runtime::Tokio1).max_size(1).build().unwrap();
    let there = PostgresStore::from_pool(pool, &PostgresOptions::default());
    let sleeper = there.subscribe();
    let issued = kept(&here, &request()).await;
    quiet(&sleeper, Duration::from_secs(3)).await;
    revoke(&here, &issued.record.id, "leaked", at(1))
        .await
        .unwrap();
    woken(&sleeper).await;
    let record = there.find(&Lookup::Id(issued.record.id)).await.unwrap();
    assert!(!record.unwrap().is_live(at(2)));
}

/// The listener finds back to a server that was killed, and then wakes once: what happened
/// meanwhile, nobody heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_is_heard_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let url = server.url("postgres");
    let database = Database::at(url.clone()).await;
    let (here, there) = (database.store().await, database.open());
    let sleeper = there.subscribe();
    quiet(&sleeper, QUIET).await;
    server.kill();
    assert!(here.last_event().await.is_err());
    server.run();
    woken(&sleeper).await;
    quiet(&sleeper, QUIET).await;
    let issued = kept(&here, &request()).await;
    woken(&sleeper).await;
    let found = there.find(&Lookup::Id(issued.record.id)).await.unwrap();
    assert!(found.is_some());
}

/// With the store ends the connection that it listened on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_ends_with_the_store() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let listening = async || -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND query = 'LISTEN keystile_changes'";
        database.other.query_one(sql, &[]).await.unwrap().get(0)
    };
    let until = async |count: i64| {
        let reached = async {
            while listening().await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, reached).await.expect("so many listeners");
    };
    let (sleeper, clone) = (store.subscribe(), store.clone());
    until(1).await;
    drop(store);
    drop(clone.subscribe());
    tokio::time::sleep(QUIET).await;
    assert_eq!(listening().await, 1, "a clone needs it still");
    drop(clone);
    until(0).await;
    drop(sleeper);
}
