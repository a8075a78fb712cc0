//! What other code writes is in force in a running authenticator within about 2 s.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod cases;
mod heard;

use std::sync::Arc;

use heard::{Heard, Keys};
use keystile_store::{SqliteStore, Store};
use rusqlite::Connection;

/// A store, and a connection of another program, with its own settings.
async fn database(folder: &tempfile::TempDir) -> (Arc<SqliteStore>, Connection) {
    let path = folder.path().join("keys.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.migrate().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .busy_timeout(core::time::Duration::from_secs(5))
        .unwrap();
    (store, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_by_other_code_is_in_force_soon() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = database(&folder).await;
    let keys = Keys::issue(&*store).await;
    let heard = Heard::start(&store, &keys, None).await;
    other.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    for (sql, name) in keys.statements(|case| case.sqlite) {
        other
            .execute_batch(&sql)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    heard.all_are_in_force(&keys).await;
    keys.have_events(&*store).await;

    // A whole table: the rows share an event from the 1,001st on.
    let last = store.last_event().await.unwrap();
    let more = Keys::issue_many(&*store, 1_500).await;
    heard.admit(&more).await;
    other
        .execute_batch("UPDATE api_keys SET allowed_endpoints = '[]' WHERE status = 'active'")
        .unwrap();
    heard.all_are_in_force(&more).await;
    let noted = store.last_event().await.unwrap() - last;
    assert!(noted > 1_500, "the numbers go on");
    other.execute_batch("DELETE FROM api_keys").unwrap();
    heard.all_are_in_force(&more).await;
    heard.stop().await;
}

/// The control: without the guards nothing is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_guards_nothing_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = database(&folder).await;
    let keys = Keys::issue(&*store).await;
    let heard = Heard::start(&store, &keys, None).await;
    other.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let triggers: Vec<String> = {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
        let mut statement = other.prepare(names).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    for trigger in triggers {
        other
            .execute_batch(&format!("DROP TRIGGER {trigger}"))
            .unwrap();
    }
    for (sql, name) in keys.statements(|case| case.sqlite) {
        other
            .execute_batch(&sql)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    heard.none_is_in_force(&keys).await;
    heard.stop().await;
}
