//! Subscribers are notified of the changes of other stores, also across a server's restart.

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

/// Far longer than a notification takes, so that a failing test ends.
const LONG: Duration = Duration::from_secs(30);
/// Longer than any notification that is in flight.
const QUIET: Duration = Duration::from_millis(700);

async fn notified(subscriber: &Notify) {
    timeout(LONG, subscriber.notified())
        .await
        .expect("a notification");
}

/// Waits until no more notifications of earlier changes come.
async fn quiet(subscriber: &Notify, quiet: Duration) {
    while timeout(quiet, subscriber.notified()).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_notifies_other_stores() {
    let Some(database) = Database::new().await else {
        return;
    };
    let (here, there) = (database.store().await, database.open());
    let (subscriber, second) = (there.subscribe(), there.subscribe());
    assert!(
        !Arc::ptr_eq(&subscriber, &second),
        "each subscriber has a separate notification"
    );
    let issued = kept(&here, &request()).await;
    quiet(&subscriber, QUIET).await;
    quiet(&second, QUIET).await;
    let seen = there.last_event().await.unwrap();

    // Neither a use nor a write of the limiter is a change.
    here.note_uses(&[(issued.record.id, at(3))]).await.unwrap();
    let notification = timeout(QUIET, subscriber.notified()).await;
    assert!(notification.is_err(), "a use notifies no one");

    revoke(&here, &issued.record.id, "leaked", at(1))
        .await
        .unwrap();
    notified(&subscriber).await;
    notified(&second).await;
    let events = there.events(None, seen, 9).await.unwrap().events;
    assert_eq!(
        events[0].1.key_id,
        Some(issued.record.id),
        "the event is visible once its notification arrives"
    );
    quiet(&subscriber, QUIET).await;
    let other = "UPDATE api_keys SET client_name = 'changed by others'";
    database.sql(other).await.unwrap();
    notified(&subscriber).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_a_pool_polls() {
    let Some(database) = Database::new().await else {
        return;
    };
    let here = database.store().await;
    let pool = Pool::builder(Manager::new(database.url.parse().unwrap(), NoTls));
    let pool = pool.runtime(Runtime::Tokio1).max_size(1).build().unwrap();
    let there = PostgresStore::from_pool(pool, &PostgresOptions::default());
    let subscriber = there.subscribe();
    let issued = kept(&here, &request()).await;
    quiet(&subscriber, Duration::from_secs(3)).await;
    revoke(&here, &issued.record.id, "leaked", at(1))
        .await
        .unwrap();
    notified(&subscriber).await;
    let record = there.find(&Lookup::Id(issued.record.id)).await.unwrap();
    assert!(!record.unwrap().is_live(at(2)));
}

/// The listener reconnects to a server that was killed, and then notifies once, since changes
/// meanwhile were not received.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_reconnects_to_a_restarted_server() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let url = server.url("postgres");
    let database = Database::at(url.clone()).await;
    let (here, there) = (database.store().await, database.open());
    let subscriber = there.subscribe();
    quiet(&subscriber, QUIET).await;
    server.kill();
    assert!(here.last_event().await.is_err());
    server.run();
    notified(&subscriber).await;
    quiet(&subscriber, QUIET).await;
    let issued = kept(&here, &request()).await;
    notified(&subscriber).await;
    let found = there.find(&Lookup::Id(issued.record.id)).await.unwrap();
    assert!(found.is_some());
}

/// The connection that listens ends with the store.
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
        timeout(LONG, reached)
            .await
            .expect("the expected number of listeners");
    };
    let (subscriber, clone) = (store.subscribe(), store.clone());
    until(1).await;
    drop(store);
    drop(clone.subscribe());
    tokio::time::sleep(QUIET).await;
    assert_eq!(listening().await, 1, "a clone still needs the listener");
    drop(clone);
    until(0).await;
    drop(subscriber);
}
