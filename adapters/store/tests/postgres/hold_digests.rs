//! The lock that an import and an insertion share: which one it is, and how long it is waited for.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile_store::{Batch, Store};

use crate::database::Database;
use crate::import_beside::{prepared, removal, run, wait_for_lock, writes};
use crate::keys::{issued, request};

/// What an import sends first.
fn hold() -> &'static str {
    let first = removal().postgres_statements().unwrap().remove(0);
    first.sql
}

async fn shown(database: &Database, setting: &str) -> String {
    let sql = format!("SELECT current_setting('{setting}')");
    let row = database.other.query_one(&sql, &[]).await.unwrap();
    row.get(0)
}

fn state(result: Result<(), tokio_postgres::Error>) -> Option<String> {
    let error = result.err()?;
    Some(error.code().unwrap().code().to_owned())
}

/// The statements of a batch need only that the tables are found.
#[tokio::test]
async fn p2_the_lock_is_that_of_the_schema_of_the_table() {
    for path in ["public", "app, public", "nowhere, public"] {
        let Some((database, _store)) = prepared().await else {
            return;
        };
        let importing = Database::at(database.url.clone()).await;
        let begin = format!(
            "CREATE SCHEMA app; SET idle_in_transaction_session_timeout = '10min';
             SET search_path = {path}; BEGIN"
        );
        importing.sql(&begin).await.unwrap();
        run(&importing, &removal()).await;
        let [insert, _] = writes();
        let beside = format!("SET lock_timeout = '300ms'; {insert}");
        let done = state(database.sql(&beside).await);
        assert_eq!(done.as_deref(), Some("55P03"), "{path}: it did not wait");
    }
}

#[tokio::test]
async fn no_lock_is_taken_without_a_table() {
    let Some((database, _store)) = prepared().await else {
        return;
    };
    let hold = hold().replace("'api_keys'", "'no_such_table'");
    assert_eq!(state(database.sql(&hold).await).as_deref(), Some("42P01"));
}

/// The time limits are those of the caller's transaction, and they stay as they were.
#[tokio::test]
async fn an_import_waits_no_longer_than_the_transaction_allows() {
    let Some((database, _store)) = prepared().await else {
        return;
    };
    let importing = Database::at(database.url.clone()).await;
    let limits = "SET statement_timeout = '5min'; SET lock_timeout = '450ms'";
    importing.sql(limits).await.unwrap();
    for (idle, expected) in [("0", "10s"), ("7min", "7min")] {
        let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{idle}'");
        importing.sql(&begin).await.unwrap();
        importing.sql(hold()).await.unwrap();
        assert_eq!(shown(&importing, "lock_timeout").await, "450ms");
        let idle = shown(&importing, "idle_in_transaction_session_timeout").await;
        assert_eq!(idle, expected, "others are not kept waiting for ever");
        importing.sql("COMMIT").await.unwrap();
    }
    let [insert, _] = writes();
    database.sql(&format!("BEGIN; {insert}")).await.unwrap();
    let done = state(importing.sql(hold()).await);
    assert_eq!(done.as_deref(), Some("55P03"));
    assert_eq!(shown(&importing, "lock_timeout").await, "450ms");
    importing.sql("SET lock_timeout = 0").await.unwrap();
    importing
        .sql("SET statement_timeout = '300ms'")
        .await
        .unwrap();
    let done = state(importing.sql(hold()).await);
    assert_eq!(done.as_deref(), Some("57014"));
}

/// Four programs insert in transactions of 0.8 s, and one of them is always open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_not_starved_by_transactions_that_overlap() {
    let Some((database, _store)) = prepared().await else {
        return;
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..4 {
        let writer = Database::at(database.url.clone()).await;
        let [insert, _] = writes();
        let insert = insert.replace(&"ab".repeat(32), &format!("{:064}", writers.len()));
        writer.sql(&format!("BEGIN; {insert}")).await.unwrap();
        let is_over = Arc::clone(&is_over);
        writers.push(tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let again = format!("SELECT pg_sleep(0.8); ROLLBACK; BEGIN; {insert}");
                writer.sql(&again).await.unwrap();
            }
        }));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let importing = Database::at(database.url.clone()).await;
    let begin = "SET statement_timeout = '60s'; BEGIN";
    importing.sql(begin).await.unwrap();
    let done = state(importing.sql(hold()).await);
    is_over.store(true, Ordering::Relaxed);
    importing.sql("ROLLBACK").await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(done, None);
}

/// An import that has the first lock takes the second at its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_takes_the_lock_of_digests_before_that_of_numbers() {
    let Some((database, store)) = prepared().await else {
        return;
    };
    let importing = Database::at(database.url.clone()).await;
    let begin = "SET idle_in_transaction_session_timeout = '10min'; BEGIN";
    importing.sql(begin).await.unwrap();
    run(&importing, &removal()).await;
    let mut batch = Batch::of_issued(&issued(&request()));
    batch.last_event = Some(store.last_event().await.unwrap());
    let saving = tokio::spawn(async move { store.commit(&batch).await });
    wait_for_lock(&database).await;
    let sql = "SELECT count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND classid = 1800697188 AND granted";
    let row = database.other.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "the import could not commit");
    importing.sql("COMMIT").await.unwrap();
    let saved = saving.await.unwrap();
    let is_stale = matches!(saved, Err(keystile_store::StoreError::Stale));
    assert!(is_stale, "the import has written an event: {saved:?}");
}
