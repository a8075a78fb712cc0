//! The statements of a batch in a transaction of the caller's, over a driver of its own.

use keystile::{Cause, Lookup, RateLimit};
use keystile_store::{Batch, Statement, Store};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::database::{Database, connect};
use crate::keys::{at, cause, issued, request};

/// The rows that each statement changed that must change one.
async fn run(transaction: &Transaction<'_>, statements: &[Statement]) -> Vec<u64> {
    let mut changed = Vec::new();
    for statement in statements {
        let values = statement.values.iter();
        let values: Vec<_> = values.map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = transaction.execute(statement.sql, &values).await.unwrap();
        if statement.must_change_a_row {
            changed.push(rows);
        }
    }
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_issued_and_revoked_with_the_rows_of_the_application() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    database
        .sql("CREATE TABLE orders (key_id TEXT)")
        .await
        .unwrap();
    let mut app = connect(&database.url).await;
    let limit = RateLimit::new(3_600_000_000, keystile::Millis::from_hours(1)).unwrap();
    let key = issued(&request().rate_limit(limit).metadata("nul\0").unwrap());
    let id = key.record.id;
    let order = "INSERT INTO orders VALUES ($1)";
    let statements = Batch::of_issued(&key).postgres_statements().unwrap();

    let undone = app.transaction().await.unwrap();
    undone.execute(order, &[&id.as_str()]).await.unwrap();
    run(&undone, &statements).await;
    undone.rollback().await.unwrap();
    assert!(store.find(&Lookup::Id(id)).await.unwrap().is_none());
    assert_eq!(store.last_event().await.unwrap(), 0);

    let done = app.transaction().await.unwrap();
    done.execute(order, &[&id.as_str()]).await.unwrap();
    run(&done, &statements).await;
    done.commit().await.unwrap();
    assert_eq!(
        store.find(&Lookup::Id(id)).await.unwrap(),
        Some(key.record.clone())
    );
    assert_eq!(cause(&store, key.key.expose()).await, None);
    let events = store.events(None, 0, 9).await.unwrap().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].1, key.event);

    let revoked = keystile::revoke(&key.record, "order cancelled", at(2)).unwrap();
    let statements = Batch::of(&revoked).postgres_statements().unwrap();
    let done = app.transaction().await.unwrap();
    assert_eq!(run(&done, &statements).await, [1]);
    done.commit().await.unwrap();
    assert_eq!(cause(&store, key.key.expose()).await, Some(Cause::Revoked));
    // The same once more: the record has another version now.
    let stale = app.transaction().await.unwrap();
    assert_eq!(
        run(&stale, &statements).await,
        [0],
        "must_change_a_row tells"
    );
}
