//! What other code writes is in force in a running authenticator within about 2 s, as it is on
//! SQLite: also by replication, and for a whole table at once.

use std::sync::Arc;

use keystile::EventKind;
use keystile_store::{PostgresStore, Store};

use crate::database::Database;
use crate::heard_keys::{Heard, Keys};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_by_other_code_is_in_force_soon() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    all_changes_are_in_force_soon(&database, store).await;
}

pub(crate) async fn all_changes_are_in_force_soon(database: &Database, store: PostgresStore) {
    let store = Arc::new(store);
    let keys = Keys::issue(&*store).await;
    let heard = Heard::start(&store, &keys, Some(store.subscribe())).await;
    // Without it one of the statements is refused.
    let foreign = "ALTER TABLE api_keys DROP CONSTRAINT api_keys_lineage_fkey";
    database.sql(foreign).await.unwrap();
    for (sql, name) in keys.statements(|case| case.postgres) {
        let changed = database.sql(&sql).await;
        changed.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    heard.all_are_in_force(&keys).await;
    keys.have_events(&*store).await;

    // A whole table: from the 1,001st row on they share an event.
    let many = Keys::issue_many(&*store, 1_500).await;
    heard.admit(&many).await;
    let last = store.last_event().await.unwrap();
    let all = "UPDATE api_keys SET allowed_endpoints = '[]' WHERE status = 'active'";
    database.sql(all).await.unwrap();
    heard.all_are_in_force(&many).await;
    let noted = store.events(None, last, 1_000).await.unwrap().events;
    assert!(noted.iter().all(|(_, event)| event.key_id.is_some()));
    let rest = store.events(None, last + 1_000, 9).await.unwrap().events;
    let [(_, shared)] = &rest[..] else {
        panic!("1,000 events and one for all others: {rest:?}")
    };
    assert_eq!((shared.kind, shared.key_id), (EventKind::Changed, None));

    let truncated = Keys::issue_many(&*store, 9).await;
    heard.admit(&truncated).await;
    database.sql("TRUNCATE api_keys").await.unwrap();
    heard.all_are_in_force(&truncated).await;
    heard.stop().await;
}

/// The control: while the guards are disabled, nothing is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_guards_nothing_is_in_force() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = Arc::new(database.store().await);
    let keys = Keys::issue(&*store).await;
    let heard = Heard::start(&store, &keys, Some(store.subscribe())).await;
    for disable in [
        "ALTER TABLE api_keys DROP CONSTRAINT api_keys_lineage_fkey",
        "ALTER TABLE api_keys DISABLE TRIGGER USER",
        "ALTER TABLE api_key_usage DISABLE TRIGGER USER",
    ] {
        database.sql(disable).await.unwrap();
    }
    for (sql, name) in keys.statements(|case| case.postgres) {
        let changed = database.sql(&sql).await;
        changed.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    heard.none_is_in_force(&keys).await;
    heard.stop().await;
}
