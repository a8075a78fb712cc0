//! The statements of a batch in a transaction of the caller's, over a driver of its own.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

use keystile::{
    IssueRequest, Issued, Issuer, KeyFormat, Lookup, Request, SysRng, UnixMillis, Verifier,
};
use keystile_store::{Batch, SqliteStore, Statement, Store, check};
use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter};

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn issued() -> Issued {
    let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
    let request = IssueRequest::new("Acme").unwrap().uses(3).unwrap();
    let request = request.metadata("1.0").unwrap();
    issuer.issue(&request, &mut SysRng, at(0)).unwrap()
}

/// The rows that each statement changed that must change one.
fn run(transaction: &Transaction<'_>, statements: &[Statement]) -> Vec<usize> {
    let mut changed = Vec::new();
    for statement in statements {
        let values = params_from_iter(&statement.values);
        let rows = transaction.execute(statement.sql, values).unwrap();
        if statement.must_change_a_row {
            changed.push(rows);
        }
    }
    changed
}

fn begin(connection: &mut Connection) -> Transaction<'_> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap()
}

#[tokio::test]
async fn a_key_is_issued_and_revoked_with_the_rows_of_the_application() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    let mut app = Connection::open(&path).unwrap();
    app.execute_batch("CREATE TABLE orders (key_id TEXT)")
        .unwrap();
    let key = issued();
    let id = key.record.id;
    let order = "INSERT INTO orders VALUES (?1)";
    let statements = Batch::of_issued(&key).sqlite_statements().unwrap();

    let undone = begin(&mut app);
    undone.execute(order, [id.as_str()]).unwrap();
    run(&undone, &statements);
    undone.rollback().unwrap();
    assert!(store.find(&Lookup::Id(id)).await.unwrap().is_none());
    assert_eq!(store.last_event().await.unwrap(), 0);

    let done = begin(&mut app);
    done.execute(order, [id.as_str()]).unwrap();
    run(&done, &statements);
    done.commit().unwrap();
    let found = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
    assert_eq!(found, key.record);
    let verifier = Verifier::new(KeyFormat::structured("acme").unwrap());
    let text = key.key.expose().as_bytes();
    let checked = check(&store, &verifier, text, &Request::new(), at(1)).await;
    assert!(checked.unwrap().decision.is_allow());
    let events = store.events(None, 0, 9).await.unwrap().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events.first().unwrap().1, key.event);

    let revoked = keystile::revoke(&key.record, "order cancelled", at(2)).unwrap();
    let statements = Batch::of(&revoked).sqlite_statements().unwrap();
    let done = begin(&mut app);
    assert_eq!(run(&done, &statements), [1]);
    done.commit().unwrap();
    let checked = check(&store, &verifier, text, &Request::new(), at(3)).await;
    assert!(!checked.unwrap().decision.is_allow());
    // The same once more: the record has another version now.
    let stale = begin(&mut app);
    assert_eq!(run(&stale, &statements), [0], "must_change_a_row tells");
}

#[test]
fn a_statement_prints_no_value() {
    let key = issued();
    let digest = key.record.digest.to_string();
    let digits = digest.rsplit(':').next().unwrap();
    for statement in Batch::of_issued(&key).sqlite_statements().unwrap() {
        assert!(!format!("{statement:?}").contains(digits));
    }
}
