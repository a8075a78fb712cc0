//! An adoption that is interrupted is continued, and the application works meanwhile.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use keystile_store::{
    AdoptOptions, AdoptionPlan, AdoptionProgress, SqliteStore, Store, Tables, UnavailableKind,
};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::app_database::{AppDatabase, at, cause};

const ROWS: i64 = 7_000;

/// The longest that a reader of the application may wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

fn with_rows(rows: i64) -> AppDatabase {
    let database = AppDatabase::new();
    database.row(1, "is_active", "TRUE");
    let fill = format!(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name)
         WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT printf('%064x', i), 'dt_', 'Acme Ltd' FROM n"
    );
    database.sql(&fill).unwrap();
    database
}

async fn plan(store: &SqliteStore) -> AdoptionPlan {
    let options = AdoptOptions::default();
    store.plan_adoption(options, at(0)).await.unwrap()
}

/// Columns, indexes, triggers and views, without what only the application has, and the triggers
/// that copy its endpoint rules.
fn schema(connection: &Connection) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for sql in [
        "SELECT type || ' ' || name || ' ' || tbl_name FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'api_keys_endpoints_%' AND name NOT IN ('idx_api_keys_hash', 'idx_api_keys_inactive')",
        "SELECT s.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' '
             || iif(c.name = 'created_at', '', coalesce(c.dflt_value, '-'))
         FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table'
             AND s.name NOT LIKE 'sqlite_%'",
        "SELECT name || ' ' || sql FROM sqlite_schema WHERE type IN ('trigger', 'view')
             AND name NOT LIKE 'api_keys_endpoints_%'",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        found.extend(rows.unwrap().map(Result::unwrap));
    }
    found
}

#[tokio::test]
async fn an_adopted_file_has_the_tables_of_a_new_one() {
    let database = AppDatabase::new();
    let adopted = database.adopted().await;
    drop(adopted);
    let path = database.folder.path().join("new.db");
    let new = SqliteStore::open(&path).unwrap();
    new.migrate().await.unwrap();
    let new = schema(&Connection::open(&path).unwrap());
    assert!(new.len() > 60, "{}", new.len());
    assert_eq!(schema(&database.application), new);
}

#[tokio::test]
async fn an_interrupted_adoption_is_continued() {
    let database = with_rows(ROWS);
    let store = database.open();
    let first = plan(&store).await;
    assert_eq!(first.rows, 7_000);
    let stopped = Notify::new();
    let report = |progress: AdoptionProgress| {
        if progress.rows > 0 {
            stopped.notify_one();
        }
    };
    tokio::select! {
        biased;
        () = stopped.notified() => {}
        done = store.adopt(&first, report) => panic!("it should be interrupted: {done:?}"),
    }
    assert_eq!(store.tables().await.unwrap(), Tables::HalfAdopted);
    for refused in [
        store.migrate().await.map(drop),
        SqliteStore::open_existing(database.folder.path().join("app.db")).map(drop),
    ] {
        let kind = refused.unwrap_err().unavailable_kind();
        assert_eq!(kind, Some(UnavailableKind::NotAdopted));
    }
    // The application goes on: it inserts, revokes and deletes, adopted rows and others.
    database.row(8_001, "is_active", "TRUE");
    for sql in [
        "UPDATE api_keys SET is_active = FALSE WHERE id IN (2, 6000)",
        "DELETE FROM api_keys WHERE id IN (3, 6001)",
    ] {
        assert_eq!(database.sql(sql).unwrap(), 2);
    }
    let second = plan(&store).await;
    assert!(second.rows <= 6_499, "what is left: {}", second.rows);
    let rows = store.adopt(&second, |_| ()).await.unwrap();
    assert_eq!(rows, second.rows);
    assert_eq!(store.tables().await.unwrap(), Tables::Current);
    let count = |sql: &str| -> i64 {
        let count = database.application.query_row(sql, [], |row| row.get(0));
        count.unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM api_keys"), ROWS - 1);
    let whole = "SELECT count(*) FROM api_keys k
        JOIN api_key_usage u ON u.lineage = k.lineage AND k.lineage = k.key_id
        WHERE EXISTS (SELECT 1 FROM api_key_events e
            WHERE e.key_id = k.key_id AND e.kind = 'imported')";
    assert_eq!(count(whole), ROWS - 1);
    assert_eq!(
        count("SELECT count(*) FROM api_keys WHERE status = 'revoked' AND is_active = 0"),
        2
    );
    assert_eq!(
        count("SELECT count(*) FROM api_key_events WHERE key_id = '*'"),
        0
    );
    for number in [1, 8_001] {
        assert_eq!(cause(&store, number, at(0)).await, None);
    }
    assert_eq!(store.events(None, 0, 10).await.unwrap().events.len(), 10);
}

/// The application reads all the time, and writes: no statement waits for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_rows_are_adopted_while_the_application_works() {
    let rows = 100_000;
    let database = with_rows(rows);
    let path = database.folder.path().join("app.db");
    let done = Arc::new(AtomicBool::new(false));
    let working = |sql: &'static str| {
        let (path, done) = (path.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let application = Connection::open(path).unwrap();
            application.busy_timeout(WAIT_MAX).unwrap();
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let start = Instant::now();
                application.execute_batch(sql).unwrap();
                longest = longest.max(start.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            longest
        })
    };
    let reader = working("SELECT * FROM api_keys WHERE key_hash = printf('%064x', 99)");
    let writer = working("UPDATE api_keys SET last_used_at = CURRENT_TIMESTAMP WHERE id = 99");
    let store = database.open();
    let start = Instant::now();
    let plan = plan(&store).await;
    let planned = start.elapsed();
    let adopted = store.adopt(&plan, |_| ()).await.unwrap();
    let took = start.elapsed();
    done.store(true, Ordering::Relaxed);
    let (reader, writer) = (reader.join().unwrap(), writer.join().unwrap());
    println!(
        "{rows} rows: planned in {planned:?}, adopted in {took:?}; \
         longest read {reader:?}, update {writer:?}"
    );
    assert_eq!(adopted, 100_000);
    assert!(reader <= WAIT_MAX, "a reader waited for {reader:?}");
    assert_eq!(cause(&store, 1, at(0)).await, None);
}
