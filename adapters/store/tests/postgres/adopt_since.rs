//! What others change after a plan was made on a server, and what old code writes later.

use keystile::{KeyFormat, Request, Verifier};
use keystile_store::{
    AdoptOptions, AdoptionRefusal, MetadataEndpoints, PostgresStore, StoreError, Tables,
    UnavailableKind, check,
};

use crate::adopt::plan;
use crate::adoption::{TABLE, application, at, key, row};
use crate::database::Database;

const SCOPED: &str = r#"'{"scopeType":"monitoring","allowedEndpoints":["/api/metrics/*"]}'"#;

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

fn enforce(options: &mut AdoptOptions) {
    options.metadata_endpoints = MetadataEndpoints::Enforce;
}

#[tokio::test]
async fn a_row_that_was_changed_or_inserted_since_the_plan_is_checked() {
    let scoped = format!("UPDATE api_keys SET metadata = {SCOPED} WHERE id = 2");
    for (change, said, refusal) in [
        (
            "UPDATE api_keys SET permissions = '[\"*\"]' WHERE id = 2",
            "row 2: active keys have a *",
            AdoptionRefusal::Wildcards,
        ),
        (
            "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions)
             VALUES (repeat('0', 64), 'dt_', 'A', '[\"*\"]')",
            "row 3: active keys have a *",
            AdoptionRefusal::Wildcards,
        ),
        (
            &scoped,
            "row 2: active keys have endpoint",
            AdoptionRefusal::MetadataEndpoints,
        ),
        (
            "UPDATE api_keys SET expires_at = 'infinity' WHERE id = 2",
            "row 2: rows have an expires_at",
            AdoptionRefusal::Infinity,
        ),
        (
            "UPDATE api_keys SET key_hash = upper(key_hash) WHERE id = 2",
            "row 2, column key_hash: expected 64",
            AdoptionRefusal::Unreadable,
        ),
    ] {
        let Some(database) = application().await else {
            return;
        };
        row(&database, 1, "is_active", "TRUE").await;
        row(&database, 2, "is_active", "TRUE").await;
        let store = database.open();
        let before = plan(&store, |_| ()).await;
        assert_eq!(before.refusals(), []);
        database.sql(change).await.unwrap();
        let stopped = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(stopped.starts_with(said), "{change}: {stopped}");
        assert_eq!(store.tables().await.unwrap(), Tables::HalfAdopted);
        let after = plan(&store, |_| ()).await;
        assert_eq!(after.refusals(), [refusal], "{change}");
        let accepted = plan(&store, |options| {
            options.accept_wildcards = true;
            options.accept_unreadable = true;
            options.infinity_is_never = true;
            enforce(options);
        });
        store.adopt(&accepted.await, |_| ()).await.unwrap();
        assert_eq!(store.tables().await.unwrap(), Tables::Current);
    }
}

#[tokio::test]
async fn tables_that_are_not_those_of_the_plan_are_not_changed() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.open();
    for other in ["SELECT 1", "CREATE TABLE users (id INT)"] {
        database.sql(other).await.unwrap();
        let before = plan(&store, |_| ()).await;
        assert_eq!(before.refusals(), []);
        database.sql(TABLE).await.unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.starts_with("the tables are not those of the plan"));
        assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);

        let before = plan(&store, |_| ()).await;
        let taken = "ALTER TABLE api_keys ADD COLUMN owner TEXT";
        database.sql(taken).await.unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.contains("column owner"), "{refused}");
        assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);

        database.sql("DROP TABLE api_keys").await.unwrap();
        let refused = reason(store.adopt(&before, |_| ()).await.unwrap_err());
        assert!(refused.starts_with("the tables are not those of the plan"));
    }
}

/// Which paths the key may be used for: its own, and another one.
async fn allowed(store: &PostgresStore, number: usize) -> (bool, bool) {
    let verifier = Verifier::new(KeyFormat::opaque("dt").unwrap());
    let mut allowed = Vec::new();
    for path in ["/api/metrics/cpu", "/api/profile"] {
        let request = Request::new().endpoint("GET", path);
        let text = key(number);
        let checked = check(store, &verifier, text.as_bytes(), &request, at(0));
        allowed.push(checked.await.unwrap().decision.is_allow());
    }
    (allowed[0], allowed[1])
}

/// Also if no row had some when the table was adopted; only if they are ignored they are not.
#[tokio::test]
async fn endpoints_that_old_code_writes_later_are_enforced_unless_ignored() {
    for handling in [
        MetadataEndpoints::Enforce,
        MetadataEndpoints::Refuse,
        MetadataEndpoints::Ignore,
    ] {
        let Some(database) = application().await else {
            return;
        };
        let store = database.open();
        let before = plan(&store, |options| options.metadata_endpoints = handling);
        store.adopt(&before.await, |_| ()).await.unwrap();
        row(&database, 1, "metadata", SCOPED).await;
        row(&database, 2, "is_active", "TRUE").await;
        assert_eq!(allowed(&store, 2).await, (true, true));
        if handling == MetadataEndpoints::Ignore {
            assert_eq!(allowed(&store, 1).await, (true, true));
            continue;
        }
        assert_eq!(allowed(&store, 1).await, (true, false));
        let template = "SELECT scope_type FROM api_keys WHERE id = 1";
        let template = database.other.query_one(template, &[]).await.unwrap();
        assert_eq!(template.get::<_, &str>(0), "monitoring");
        for (metadata, expected) in [
            (r#"'{"allowedEndpoints":["/api/profile"]}'"#, (false, true)),
            (r#"'{"allowedEndpoints":[]}'"#, (false, false)),
            (r#"to_jsonb('{}'::text)"#, (false, false)),
            (SCOPED, (true, false)),
            (r#"'{"plan":"gold"}'"#, (true, true)),
            (SCOPED, (true, false)),
        ] {
            let sql = format!("UPDATE api_keys SET metadata = {metadata} WHERE id = 1");
            database.sql(&sql).await.unwrap();
            assert_eq!(allowed(&store, 1).await, expected, "{metadata}");
        }
        // Rules that were set otherwise are kept.
        for sql in [
            "UPDATE api_keys SET allowed_endpoints = '[]' WHERE id = 1",
            "UPDATE api_keys SET metadata = '{}' WHERE id = 1",
        ] {
            database.sql(sql).await.unwrap();
        }
        assert_eq!(allowed(&store, 1).await, (false, false));
    }
}
