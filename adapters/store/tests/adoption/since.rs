//! What others change after a plan was made: it is adopted only if the plan accepts it.

use keystile::Cause;
use keystile_store::{AdoptionRefusal, StoreError, Tables, UnavailableKind};

use crate::app_database::{AppDatabase, TABLE, at, cause};
use crate::metadata::{SCOPED, enforce};
use crate::plan::plan;

/// The reason for which nothing more was adopted.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable {
            kind: UnavailableKind::NotAdoptable,
            source,
        } => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_row_that_was_changed_or_inserted_since_the_plan_is_checked() {
    let upper = "UPDATE api_keys SET key_hash = upper(key_hash) WHERE id = 2";
    let scoped = format!("UPDATE api_keys SET metadata = {SCOPED} WHERE id = 2");
    let wildcard = "UPDATE api_keys SET permissions = '[\"reports:*\"]' WHERE id = 2";
    let inserted = "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions)
        VALUES (printf('%064x', 3), 'dt_', 'A', '[\"*\"]')";
    for (change, said, refusal) in [
        (
            wildcard,
            "row 2: active keys have a *",
            AdoptionRefusal::Wildcards,
        ),
        (
            inserted,
            "row 3: active keys have a *",
            AdoptionRefusal::Wildcards,
        ),
        (
            &*scoped,
            "row 2: active keys have endpoint",
            AdoptionRefusal::MetadataEndpoints,
        ),
        (
            upper,
            "row 2, column key_hash: expected 64",
            AdoptionRefusal::Unreadable,
        ),
    ] {
        let database = AppDatabase::new();
        database.row(1, "is_active", "TRUE");
        database.row(2, "is_active", "TRUE");
        let store = database.open();
        let before = plan(&store, |_| ()).await;
        assert_eq!(before.refusals(), []);
        database.sql(change).unwrap();
        let stopped = store.adopt(&before, |_| ()).await.unwrap_err();
        let stopped = reason(stopped);
        assert!(stopped.starts_with(said), "{change}: {stopped}");
        assert_eq!(store.tables().await.unwrap(), Tables::HalfAdopted);
        let after = plan(&store, |_| ()).await;
        assert_eq!(after.refusals(), [refusal], "{change}");
        let accepted = plan(&store, |options| {
            options.accept_wildcards = true;
            options.accept_unreadable = true;
            enforce(options);
        });
        store.adopt(&accepted.await, |_| ()).await.unwrap();
        assert_eq!(store.tables().await.unwrap(), Tables::Current);
        assert_eq!(cause(&store, 1, at(0)).await, None);
        let expected = match refusal {
            AdoptionRefusal::MetadataEndpoints => Some(Cause::Endpoint),
            // A digest in upper case is not found.
            AdoptionRefusal::Unreadable => Some(Cause::UnknownKey),
            _ => None,
        };
        assert_eq!(cause(&store, 2, at(0)).await, expected, "{change}");
    }
}

/// A plan adopts only a table that it has read.
#[tokio::test]
async fn tables_that_are_not_those_of_the_plan_are_not_changed() {
    for is_empty in [true, false] {
        let database = AppDatabase::new();
        database.sql("DROP TABLE api_keys").unwrap();
        if !is_empty {
            database.sql("CREATE TABLE users (id INT)").unwrap();
        }
        let store = database.open();
        let before = plan(&store, |_| ()).await;
        assert_eq!(before.refusals(), []);
        database.application.execute_batch(TABLE).unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.starts_with("the tables are not those of the plan"));
        assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);

        let before = plan(&store, |_| ()).await;
        database
            .sql("ALTER TABLE api_keys ADD COLUMN owner TEXT")
            .unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.contains("column owner"), "{refused}");
        assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);

        database.sql("DROP TABLE api_keys").unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.starts_with("the tables are not those of the plan"));
        assert_ne!(store.tables().await.unwrap(), Tables::Current);
    }
}
