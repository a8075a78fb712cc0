//! A large table is adopted while the application works, and an interruption loses nothing.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile_store::{
    AdoptOptions, AdoptionPlan, AdoptionProgress, AdoptionStep, PostgresStore, Tables,
    UnavailableKind,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::adopt::schema;
use crate::adoption::{application, at, cause, hash, row};
use crate::database::{Database, connect};

/// The longest that a reader of the application may wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

async fn fill(database: &Database, rows: u32) {
    row(database, 1, "is_active", "TRUE").await;
    let sql = format!(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions, is_active)
         SELECT encode(sha256(i::text::bytea), 'hex'), 'dt_0000000', 'Client ' || i % 1000,
             '[\"read\"]', i % 10 <> 0
         FROM generate_series(2, {rows}) AS i; ANALYZE api_keys"
    );
    database.sql(&sql).await.unwrap();
}

async fn plan(store: &PostgresStore) -> AdoptionPlan {
    let options = AdoptOptions::default();
    store.plan_adoption(options, at(0)).await.unwrap()
}

async fn count(database: &Database, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {condition}");
    database.other.query_one(&sql, &[]).await.unwrap().get(0)
}

/// What the application does all the time, and the longest that one statement took.
fn working(url: &str, sql: String, done: &Arc<AtomicBool>) -> JoinHandle<Duration> {
    let (url, done) = (url.to_owned(), Arc::clone(done));
    tokio::spawn(async move {
        let application = connect(&url).await;
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let start = Instant::now();
            application.batch_execute(&sql).await.unwrap();
            longest = longest.max(start.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest
    })
}

async fn adopted_while_the_application_works(rows: u32) {
    let Some(database) = application().await else {
        return;
    };
    fill(&database, rows).await;
    let done = Arc::new(AtomicBool::new(false));
    let read = format!("SELECT * FROM api_keys WHERE key_hash = '{}'", hash(1));
    let write = "UPDATE api_keys SET last_used_at = now()
         WHERE id = (SELECT 1 + floor(random() * 1000)::int)";
    // Its transaction stays open for a moment, with its locks.
    let insert = "INSERT INTO api_keys (key_hash, key_prefix, client_name)
         VALUES (encode(sha256(gen_random_uuid()::text::bytea), 'hex'), 'dt_', 'Later');
         SELECT pg_sleep(0.02)";
    let reader = working(&database.url, read, &done);
    let writer = working(&database.url, write.to_owned(), &done);
    let inserter = working(&database.url, insert.to_owned(), &done);

    let store = database.open();
    let start = Instant::now();
    let plan = plan(&store).await;
    let planned = start.elapsed();
    let adopted = store.adopt(&plan, |_| ()).await.unwrap();
    let took = start.elapsed();
    done.store(true, Ordering::Relaxed);
    let [reader, writer, inserter] = [
        reader.await.unwrap(),
        writer.await.unwrap(),
        inserter.await.unwrap(),
    ];
    println!(
        "{rows} rows: planned in {planned:?}, adopted in {took:?}; \
         longest read {reader:?}, update {writer:?}, insert {inserter:?}"
    );
    assert!(reader <= WAIT_MAX, "a reader waited for {reader:?}");
    assert!(adopted >= u64::from(rows));
    let whole = "api_keys k JOIN api_key_usage u ON u.lineage = k.key_id
        WHERE EXISTS (SELECT 1 FROM api_key_events e
            WHERE e.key_id = k.key_id AND e.kind = 'imported' AND e.number > 0)";
    let all = count(&database, "api_keys").await;
    assert!(all > i64::from(rows), "some were inserted meanwhile");
    assert_eq!(count(&database, whole).await, all);
    let revoked = "api_keys WHERE status = 'revoked' AND NOT is_active";
    assert_eq!(count(&database, revoked).await, i64::from(rows / 10));
    assert_eq!(cause(&store, 1, at(0)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_rows_are_adopted_while_the_application_works() {
    adopted_while_the_application_works(100_000).await;
}

/// Run it by `cargo test -p keystile-store --all-features --test postgres a_million -- --ignored
/// --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes"]
async fn a_million_rows_are_adopted_while_the_application_works() {
    adopted_while_the_application_works(1_000_000).await;
}

/// The future is dropped at each step, and after each batch of rows.
#[tokio::test]
async fn an_interrupted_adoption_is_continued_from_each_step() {
    let Some(new) = Database::new().await else {
        return;
    };
    new.open().migrate().await.unwrap();
    let Some(database) = application().await else {
        return;
    };
    fill(&database, 7_000).await;
    let store = database.open();
    let stops = AtomicU64::new(0);
    for (step, rows) in [
        (AdoptionStep::Tables, 0),
        (AdoptionStep::Rows, 0),
        (AdoptionStep::Rows, 1),
        (AdoptionStep::Rows, 2_001),
        (AdoptionStep::Indexes, 0),
        (AdoptionStep::Constraints, 0),
    ] {
        let plan = plan(&store).await;
        let stopped = Notify::new();
        let report = |progress: AdoptionProgress| {
            if progress.step == step && progress.rows >= rows {
                stopped.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = stopped.notified() => { stops.fetch_add(1, Ordering::Relaxed); }
            done = store.adopt(&plan, report) => panic!("{step}: {done:?}"),
        }
        let tables = store.tables().await.unwrap();
        assert_ne!(tables, Tables::Current, "{step}");
        if tables == Tables::HalfAdopted {
            let refused = store.migrate().await.unwrap_err();
            assert_eq!(
                refused.unavailable_kind(),
                Some(UnavailableKind::NotAdopted)
            );
        }
    }
    assert_eq!(stops.load(Ordering::Relaxed), 6);
    // The application goes on: it revokes and deletes, adopted rows and others.
    for sql in [
        "UPDATE api_keys SET is_active = FALSE WHERE id IN (2, 6002)",
        "DELETE FROM api_keys WHERE id IN (3, 6003)",
    ] {
        database.sql(sql).await.unwrap();
    }
    let last = plan(&store).await;
    store.adopt(&last, |_| ()).await.unwrap();
    assert_eq!(schema(&database).await, schema(&new).await);
    assert_eq!(count(&database, "api_keys").await, 6_998);
    let revoked = "api_keys WHERE status = 'revoked' AND NOT is_active";
    assert_eq!(count(&database, revoked).await, 702);
    let imported = "(SELECT key_id FROM api_key_events WHERE kind = 'imported'
        GROUP BY key_id HAVING count(*) = 1) AS once";
    assert_eq!(count(&database, imported).await, 7_000, "once each");
    assert_eq!(count(&database, "pg_index WHERE NOT indisvalid").await, 0);
}

/// An open transaction of the application keeps a row: the others are adopted, and it is
/// adopted when it is free.
#[tokio::test]
async fn a_row_that_is_locked_is_adopted_later() {
    let Some(database) = application().await else {
        return;
    };
    fill(&database, 10).await;
    let store = database.open();
    let stopped = Notify::new();
    let first = plan(&store).await;
    tokio::select! {
        biased;
        () = stopped.notified() => {}
        _ = store.adopt(&first, |progress| if progress.step == AdoptionStep::Rows {
            stopped.notify_one();
        }) => panic!("it should be interrupted"),
    }
    let lock = "BEGIN; SELECT 1 FROM api_keys WHERE id = 5 FOR UPDATE";
    database.sql(lock).await.unwrap();

    let (waits, is_free) = (Notify::new(), AtomicBool::new(false));
    let report = |progress: AdoptionProgress| match progress.step {
        AdoptionStep::Waiting => {
            assert_eq!(progress.rows, 9);
            waits.notify_one();
        }
        AdoptionStep::Constraints => assert!(is_free.load(Ordering::Relaxed)),
        _ => {}
    };
    let second = plan(&store).await;
    let (adopted, ()) = tokio::join!(store.adopt(&second, report), async {
        waits.notified().await;
        is_free.store(true, Ordering::Relaxed);
        database.sql("COMMIT").await.unwrap();
    });
    assert_eq!(adopted.unwrap(), 10);
}
