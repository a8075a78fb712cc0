//! Events become visible in the order of their numbers, for any timing of their writers.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{Event, EventKind};
use keystile_store::{Batch, Store, revoke};

use crate::database::{Database, connect};
use crate::keys::{at, kept, request};

const APPEND: &str = "INSERT INTO api_key_events (number, kind, key_id, at)
     VALUES (7777, 'issued', '1AbCdEfGhIjKlMnO', now())";

/// An event gets its number at the commit, so that a transaction that stays open delays no
/// one else's revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_delays_no_revocation() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let [issued, other] = [
        kept(&store, &request()).await,
        kept(&store, &request()).await,
    ];
    let seen = store.last_event().await.unwrap();
    database.sql("BEGIN").await.unwrap();
    database.sql(APPEND).await.unwrap();
    let change = format!(
        "UPDATE api_keys SET client_name = 'changed' WHERE key_id = '{}'",
        other.record.id
    );
    database.sql(&change).await.unwrap();

    let revoking = revoke(&store, &issued.record.id, "leaked", at(1));
    let revoked = tokio::time::timeout(Duration::from_secs(5), revoking).await;
    revoked.expect("it does not wait").unwrap();
    let events = store.events(None, seen, 9).await.unwrap().events;
    let [(first, event)] = &events[..] else {
        panic!("one event is committed: {events:?}")
    };
    assert_eq!((*first, event.kind), (seen + 1, EventKind::Revoked));
    database.sql("COMMIT").await.unwrap();
    let events = store.events(None, *first, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|(at, event)| (*at, event.kind)).collect();
    assert_eq!(
        kinds,
        [
            (first + 1, EventKind::Issued),
            (first + 2, EventKind::Changed)
        ],
        "in the order of writing, and a number that was given is ignored"
    );
}

/// A transaction that has its numbers and has not committed yet blocks those after it, so that
/// no reader passes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_number_is_not_seen_before_an_earlier_one() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let issued = kept(&store, &request()).await;
    let seen = store.last_event().await.unwrap();
    database.sql("BEGIN").await.unwrap();
    database.sql("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap();
    database.sql(APPEND).await.unwrap();

    let revoking = tokio::spawn({
        let (store, id) = (store.clone(), issued.record.id);
        async move { revoke(&store, &id, "leaked", at(1)).await }
    });
    // It stays in the queue while the test watches it.
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let other = connect(&database.url).await;
    loop {
        let row = other.query_one(waiting, &[]).await.unwrap();
        if row.get::<_, i64>(0) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!revoking.is_finished());
    assert!(store.events(None, seen, 9).await.unwrap().events.is_empty());
    database.sql("COMMIT").await.unwrap();
    revoking.await.unwrap().unwrap();
    let events = store.events(None, seen, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::Issued, EventKind::Revoked]);
    assert_eq!(
        events[0].0,
        seen + 1,
        "a number that was given is not heeded"
    );
}

/// A reader that follows the events while many write them misses none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_misses_no_event() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let (writers, batches) = (6, 60);
    let done = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (store, done) = (database.open(), done.clone());
        async move {
            let (mut after, mut read) = (0, 0);
            loop {
                let last_round = done.load(Ordering::Acquire);
                let page = store.events(None, after, 9).await.unwrap().events;
                read += page.len();
                match page.last() {
                    Some((number, _)) => after = *number,
                    None if last_round => return read,
                    None => {}
                }
            }
        }
    });
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..batches {
                    let mut batch = Batch::new();
                    let id = format!("1{:015}", writer * 1_000 + round).parse().unwrap();
                    let event = Event::new(EventKind::Issued, id, at(0));
                    batch.events = vec![event; 1 + round % 3];
                    store.commit(&batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writing {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Release);
    let written = writers * batches * 2;
    assert_eq!(reading.await.unwrap(), written, "events that were read");
}

/// A writer that stops in the middle, like one whose machine failed, is ended.
#[tokio::test]
async fn a_writer_that_blocks_the_others_is_ended() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let shown = async || -> String {
        let sql = "SELECT current_setting('idle_in_transaction_session_timeout')";
        database.other.query_one(sql, &[]).await.unwrap().get(0)
    };
    database.sql("BEGIN").await.unwrap();
    database.sql(APPEND).await.unwrap();
    assert_eq!(shown().await, "0", "it blocks no one yet");
    let numbers = "SET CONSTRAINTS ALL IMMEDIATE";
    database.sql(numbers).await.unwrap();
    assert_eq!(shown().await, "10s");
    database.sql("COMMIT").await.unwrap();
    assert_eq!(shown().await, "0");
    let own = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '3s'";
    database.sql(own).await.unwrap();
    database.sql(APPEND).await.unwrap();
    database.sql(numbers).await.unwrap();
    assert_eq!(shown().await, "3s", "one that was set stays");
}
