//! P2: what an import brings as revoked, and a row with the same digest that another transaction
//! writes at the same time: whichever commits first, the row is not valid if the import is done.

use keystile::{Digest, LifetimePolicy, Status, UnixMillis};
use keystile_store::{
    Batch, Importer, LineResult, PortableKey, PortableLine, PostgresStore, RemovedKey,
};

use crate::database::Database;
use crate::keys::{at, issued, request};

const DIGEST: [u8; 32] = [0xAB; 32];

fn hash() -> String {
    "ab".repeat(32)
}

/// A key that was revoked and removed elsewhere.
fn removed() -> RemovedKey {
    let mut removed = RemovedKey::new("1Removed00000001".parse().unwrap(), 4);
    removed.revoked = Some((at(0), "leaked".into()));
    removed.digests.push(DIGEST);
    removed
}

/// The line of it, and that of a key that is revoked and had the digest before its present one.
fn lines() -> [String; 2] {
    let mut record = issued(&request()).record;
    record.digest = Digest::sha256(b"a later one");
    record.status = Status::Revoked {
        at: at(0),
        reason: "leaked".into(),
    };
    let mut key = PortableKey::new(record);
    key.former_digests.push(DIGEST);
    [
        PortableLine::Removed(removed()).to_text(),
        PortableLine::Key(Box::new(key)).to_text(),
    ]
}

/// What writes a valid row with the digest.
pub(crate) fn writes() -> [String; 2] {
    let columns = "key_hash, key_prefix, client_name, permissions, is_active";
    let hash = hash();
    [
        format!("INSERT INTO api_keys ({columns}) VALUES ('{hash}', 'acme', 'Acme', '[]', TRUE)"),
        format!("UPDATE api_keys SET key_hash = '{hash}' WHERE client_name = 'Other'"),
    ]
}

/// What an import writes of it.
pub(crate) fn removal() -> Batch {
    let mut batch = Batch::new();
    batch.imported.removed.push(removed());
    let event = keystile::Event::new(keystile::EventKind::Imported, removed().key_id, at(1));
    batch.events.push(event.with_version(removed().version));
    batch
}

/// Runs the statements of a batch in an open transaction.
pub(crate) async fn run(database: &Database, batch: &Batch) {
    for statement in batch.postgres_statements().unwrap() {
        let values = statement.values.iter();
        let values: Vec<_> = values
            .map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync))
            .collect();
        let sent = database.other.execute(statement.sql, &values);
        assert_eq!(sent.await.unwrap(), 1, "{}", statement.sql);
    }
}

pub(crate) async fn prepared() -> Option<(Database, PostgresStore)> {
    let database = Database::new().await?;
    let store = database.store().await;
    let other = "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions, is_active)
         VALUES (repeat('cd', 32), 'acme', 'Other', '[]', TRUE)";
    database.sql(other).await.unwrap();
    Some((database, store))
}

async fn imported(store: PostgresStore, line: String) -> LineResult {
    let mut importer = Importer::new(&store, LifetimePolicy::default());
    let now = UnixMillis::now().unwrap();
    let report = importer.import(&[(1, line.as_bytes())], now).await;
    report.unwrap().remove(0).result
}

/// Rows that are valid with the digest, and what is remembered of a revoked key that had it.
async fn left(database: &Database) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM api_keys WHERE key_hash = $1 AND status = 'active'),
         (SELECT count(*) FROM api_key_revoked_digests WHERE key_hash = $1)";
    let row = database.other.query_one(sql, &[&hash()]).await.unwrap();
    (row.get(0), row.get(1))
}

pub(crate) async fn wait_for_lock(database: &Database) {
    let sql = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let is_waiting = async || -> bool {
        let row = database.other.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0) > 0
    };
    while !is_waiting().await {
        tokio::time::sleep(core::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_an_import_waits_for_an_open_transaction_with_the_same_digest() {
    for write in writes() {
        for line in lines() {
            let Some((database, store)) = prepared().await else {
                return;
            };
            let open = Database::at(database.url.clone()).await;
            open.sql(&format!("BEGIN; {write}")).await.unwrap();
            let mut importing = tokio::spawn(imported(store.clone(), line.clone()));
            tokio::select! {
                () = wait_for_lock(&database) => {}
                done = &mut importing => panic!("it did not wait for {write}: {done:?}, {line}"),
            }
            // Others are not kept from inserting while it waits.
            let columns = "key_hash, key_prefix, client_name, permissions, is_active";
            let third = Database::at(database.url.clone()).await;
            third
                .sql(&format!(
                    "INSERT INTO api_keys ({columns})
                     VALUES (repeat('ef', 32), 'acme', 'Third', '[]', TRUE)"
                ))
                .await
                .unwrap();
            assert!(!importing.is_finished(), "{write}");
            open.sql("COMMIT").await.unwrap();
            let result = importing.await.unwrap();
            assert!(
                matches!(&result, LineResult::Conflict(problem) if problem.field == "digest"),
                "{write}: {result:?}"
            );
            assert_eq!(left(&database).await, (1, 0), "{write}, {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_row_waits_for_an_import_that_brings_its_digest_as_revoked() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        for write in writes() {
            let Some((database, _store)) = prepared().await else {
                return;
            };
            let importing = Database::at(database.url.clone()).await;
            let begin = "SET idle_in_transaction_session_timeout = '10min'; BEGIN";
            importing.sql(begin).await.unwrap();
            run(&importing, &removal()).await;
            let second = Database::at(database.url.clone()).await;
            // Its snapshot is from before the import.
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM api_keys");
            second.sql(&begin).await.unwrap();
            let sql = write.clone();
            let mut writing = tokio::spawn(async move {
                second.sql(&sql).await?;
                second.sql("COMMIT").await
            });
            tokio::select! {
                () = wait_for_lock(&database) => {}
                done = &mut writing => panic!("{isolation}: {write} did not wait: {done:?}"),
            }
            importing.sql("COMMIT").await.unwrap();
            let done = writing.await.unwrap();
            let is_stored = isolation == "READ COMMITTED" && write.starts_with("INSERT");
            assert_eq!(done.is_ok(), is_stored, "{isolation}: {write}: {done:?}");
            assert_eq!(left(&database).await, (0, 1), "{isolation}: {write}");
        }
    }
}

/// Under another isolation level it would not see what was committed before it got the lock.
#[tokio::test]
async fn an_import_in_a_transaction_of_yours_needs_read_committed() {
    let Some((database, _store)) = prepared().await else {
        return;
    };
    let first = removal().postgres_statements().unwrap().remove(0);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    database.sql(begin).await.unwrap();
    let refused = database.sql(first.sql).await.unwrap_err();
    let text = refused.as_db_error().unwrap().message();
    assert_eq!(text, "an import needs the isolation level read committed");
}
