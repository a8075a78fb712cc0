//! What a plan finds on a server, what has to be accepted, and what an adoption leaves.

use std::collections::BTreeSet;

use keystile::{Cause, UnixMillis};
use keystile_store::{
    AdoptOptions, AdoptionPlan, AdoptionRefusal, MetadataEndpoints, PostgresStore, StoreError,
    Tables, UnavailableKind,
};

use crate::adoption::{TABLE, answer, application, at, cause, hash, row};
use crate::database::Database;

/// The columns of the example's first table.
fn first_table() -> String {
    let only_second = ["client_email", "expires_at"];
    let lines = TABLE.lines().filter(|line| {
        let line = line.trim_start();
        !only_second.iter().any(|column| line.starts_with(column))
            && !line.contains("idx_api_keys_inactive")
    });
    let table = lines.collect::<Vec<_>>().join("\n");
    table.replace(",\n    metadata JSONB DEFAULT '{}'", "")
}

/// The entries of a query that yields a column of text.
async fn texts(database: &Database, sql: &str) -> BTreeSet<String> {
    let rows = database.other.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The catalogue: columns, constraints, indexes, triggers, functions, views and sequences.
pub(crate) async fn schema(database: &Database) -> BTreeSet<String> {
    let relations = "SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace";
    let mut found = BTreeSet::new();
    for sql in [
        format!(
            "SELECT concat_ws(' ', attrelid::regclass, attname, format_type(atttypid, atttypmod),
                 attnotnull, attcollation::regcollation, pg_get_expr(adbin, adrelid))
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
             WHERE attrelid IN ({relations}) AND attnum > 0 AND NOT attisdropped"
        ),
        format!(
            "SELECT concat_ws(' ', conrelid::regclass, conname, convalidated,
                 pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid IN ({relations})"
        ),
        format!(
            "SELECT concat_ws(' ', indisvalid, pg_get_indexdef(indexrelid)) FROM pg_index
             WHERE indrelid IN ({relations})"
        ),
        format!(
            "SELECT concat_ws(' ', tgenabled, pg_get_triggerdef(oid)) FROM pg_trigger
             WHERE NOT tgisinternal AND tgrelid IN ({relations})"
        ),
        "SELECT concat_ws(' ', pg_get_functiondef(oid), proacl) FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace"
            .to_owned(),
        format!(
            "SELECT concat_ws(' ', oid::regclass, relkind, reloptions, pg_get_viewdef(oid))
             FROM pg_class WHERE relkind <> 'i' AND oid IN ({relations})"
        ),
        "SELECT concat_ws(' ', version, name) FROM keystile_migrations".to_owned(),
    ] {
        found.extend(texts(database, &sql).await);
    }
    // Only the application has the first two; the other ones copy its endpoint rules.
    let others = [
        "idx_api_keys_hash",
        "_inactive",
        "api_keys_endpoints_",
        "_copy_endpoints",
    ];
    found.retain(|text| !others.iter().any(|other| text.contains(other)));
    found
}

/// The catalogue of an application's database, and its rows.
async fn dump(database: &Database) -> BTreeSet<String> {
    let mut found = texts(
        database,
        "SELECT concat_ws(' ', oid, relname, relfilenode, relnatts, relchecks, relhastriggers)
         FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    )
    .await;
    let rows = "SELECT concat_ws(' ', xmin, ctid, to_jsonb(k)) FROM api_keys k";
    found.extend(texts(database, rows).await);
    found
}

pub(crate) async fn plan(
    store: &PostgresStore,
    change: impl FnOnce(&mut AdoptOptions),
) -> AdoptionPlan {
    let mut options = AdoptOptions::default();
    change(&mut options);
    store.plan_adoption(options, at(0)).await.unwrap()
}

/// A7: both tables of the example end as a new database begins.
#[tokio::test]
async fn an_adopted_table_is_as_a_new_one() {
    let Some(new) = Database::new().await else {
        return;
    };
    new.open().migrate().await.unwrap();
    let new = schema(&new).await;
    assert!(new.len() > 100, "{}", new.len());
    for table in [TABLE.to_owned(), first_table()] {
        let Some(database) = Database::new().await else {
            return;
        };
        database.sql(&table).await.unwrap();
        row(&database, 1, "is_active", "TRUE").await;
        row(&database, 2, "is_active", "NULL").await;
        let store = database.open();
        let plan = plan(&store, |_| ()).await;
        assert_eq!(plan.refusals(), []);
        assert_eq!((plan.rows, plan.inactive), (2, 1));
        assert_eq!(store.adopt(&plan, |_| ()).await.unwrap(), 2);
        assert_eq!(schema(&database).await, new);
        let notified = "SELECT is_called::text FROM api_key_event_places";
        assert_eq!(
            texts(&database, notified).await,
            BTreeSet::from(["false".to_owned()]),
            "no process is notified of each row"
        );
        assert_eq!(cause(&store, 1, at(0)).await, None);
        assert_eq!(cause(&store, 2, at(0)).await, Some(Cause::Revoked));
        row(&database, 3, "is_active", "TRUE").await;
        assert_eq!(cause(&store, 3, at(0)).await, None, "and what comes later");
    }
}

/// A8: opening, planning and a refused migration change nothing of what is there.
#[tokio::test]
async fn an_applications_database_is_changed_by_nothing_but_an_adoption() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "permissions", "'[\"*\"]'").await;
    let before = dump(&database).await;
    let opened = PostgresStore::open_existing(&database.url).await.map(drop);
    let store = database.open();
    assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);
    for refused in [opened, store.migrate().await.map(drop)] {
        let kind = refused.unwrap_err().unavailable_kind();
        assert_eq!(kind, Some(UnavailableKind::NotAdopted));
    }
    let refused = plan(&store, |_| ()).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Wildcards]);
    let error = store.adopt(&refused, |_| ()).await.unwrap_err();
    assert_eq!(
        error.unavailable_kind(),
        Some(UnavailableKind::NotAdoptable)
    );
    let accepted = plan(&store, |options| options.accept_wildcards = true).await;
    assert_eq!(dump(&database).await, before);
    assert_eq!(store.adopt(&accepted, |_| ()).await.unwrap(), 1);
    assert_ne!(dump(&database).await, before);
    assert!(PostgresStore::open_existing(&database.url).await.is_ok());
}

#[tokio::test]
async fn a_database_with_other_tables_is_not_a_store() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.open();
    assert_eq!(store.tables().await.unwrap(), Tables::Empty);
    database.sql("CREATE TABLE users (id INT)").await.unwrap();
    assert_eq!(store.tables().await.unwrap(), Tables::Others);
    let refused = PostgresStore::open_existing(&database.url).await;
    let kind = refused.unwrap_err().unavailable_kind();
    assert_eq!(kind, Some(UnavailableKind::NoTables));
    assert_eq!(store.migrate().await.unwrap(), 3, "beside them, if asked");
}

/// A12: each problem is named by its column and what was expected.
#[tokio::test]
async fn what_cannot_be_adopted_is_named() {
    let drop_unique = "ALTER TABLE api_keys DROP CONSTRAINT api_keys_key_hash_key";
    let partial =
        format!("{drop_unique}; CREATE UNIQUE INDEX p ON api_keys (key_hash) WHERE is_active");
    for (change, said) in [
        (
            "ALTER TABLE api_keys DROP key_prefix",
            "column key_prefix is missing; expected VARCHAR or TEXT",
        ),
        (
            "ALTER TABLE api_keys ALTER expires_at TYPE TIMESTAMP",
            "column expires_at is timestamp without time zone; expected TIMESTAMP WITH TIME ZONE",
        ),
        (
            "ALTER TABLE api_keys ALTER permissions DROP DEFAULT, ALTER permissions TYPE TEXT[]
                 USING '{}'",
            "column permissions is text[]; expected JSONB",
        ),
        (
            "ALTER TABLE api_keys ALTER metadata DROP DEFAULT, ALTER metadata TYPE JSON",
            "column metadata is json; expected JSONB",
        ),
        (
            "ALTER TABLE api_keys ALTER key_hash TYPE CHAR(64)",
            "column key_hash is character; expected VARCHAR(64) or TEXT",
        ),
        (
            "ALTER TABLE api_keys ALTER key_hash TYPE VARCHAR(32)",
            "column key_hash is character varying(32); expected VARCHAR(64) or TEXT",
        ),
        (
            "ALTER TABLE api_keys DROP id; ALTER TABLE api_keys ADD id UUID
                 DEFAULT gen_random_uuid() PRIMARY KEY",
            "column id is uuid; expected INTEGER or BIGINT",
        ),
        (
            drop_unique,
            "column key_hash is not unique; expected UNIQUE",
        ),
        (&partial, "column key_hash is not unique; expected UNIQUE"),
        (
            "ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey",
            "column id is not unique; expected PRIMARY KEY or UNIQUE",
        ),
        (
            "ALTER TABLE api_keys ADD status TEXT",
            "column status is the application's; expected no column of this name, since keystile \
             adds one",
        ),
        (
            "ALTER TABLE api_keys ADD team INT NOT NULL",
            "column team is without a default; expected a default or NULL, since keystile inserts \
             rows without it",
        ),
        (
            "CREATE TABLE api_key_events (id INTEGER)",
            "table api_key_events: is the application's; expected no table or view of this name, \
             since keystile creates one",
        ),
        (
            "ALTER TABLE api_keys RENAME TO keys; CREATE VIEW api_keys AS SELECT * FROM keys",
            "table api_keys: is not one; expected a table that is not partitioned",
        ),
    ] {
        let Some(database) = application().await else {
            return;
        };
        database.sql(change).await.unwrap();
        let store = database.open();
        let plan = plan(&store, |options| options.accept_unreadable = true).await;
        assert_eq!(plan.refusals(), [AdoptionRefusal::Table], "{change}");
        let problem = plan.problems[0].to_string();
        assert!(problem.ends_with(said), "{change}: {problem}");
        let refused = store.adopt(&plan, |_| ()).await;
        let Err(StoreError::Unavailable { source, .. }) = refused else {
            panic!("{change}")
        };
        assert_eq!(source.to_string(), problem);
        assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);
    }
}

#[tokio::test]
async fn rows_that_cannot_be_read_are_named_with_their_column() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "created_at", "'1970-01-01'").await;
    row(&database, 2, "expires_at", "'-infinity'").await;
    row(&database, 3, "expires_at", "'9999-12-31 23:59:59+00'").await;
    let bad = "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions) VALUES
        (repeat('A', 64), 'dt_', 'Acme', '[]'), ('$2b$12$x', 'dt_', 'Acme', '[]'),
        (repeat('0', 64), 'dt_', 'Acme', '[\"read users\"]'),
        (repeat('1', 64), 'dt_', 'Acme', '{\"read\": true}')";
    database.sql(bad).await.unwrap();
    let store = database.open();
    let refused = plan(&store, |_| ()).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Unreadable]);
    let found = refused.unreadable.first.iter();
    let found: Vec<_> = found.map(|row| (row.row, row.column)).collect();
    let expected = [
        (1, "created_at"),
        (2, "expires_at"),
        (4, "key_hash"),
        (5, "key_hash"),
        (6, "permissions"),
        (7, "permissions"),
    ];
    assert_eq!(found, expected);
    let store = database.store().await;
    assert_eq!(cause(&store, 3, at(0)).await, None, "the last day is kept");
    for number in [1, 2] {
        let answered = answer(&store, number, at(0)).await.unwrap();
        assert!(answered.damage.is_some() && !answered.decision.is_allow());
    }
}

/// `infinity` means never, and is read as that only if it is accepted by name.
#[tokio::test]
async fn infinity_is_refused_or_becomes_never() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "expires_at", "'infinity'").await;
    let store = database.open();
    let accept = |options: &mut AdoptOptions| options.accept_unreadable = true;
    let refused = plan(&store, accept).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Infinity]);
    assert_eq!(refused.infinite.first, [1]);
    let accepted = plan(&store, |options| options.infinity_is_never = true).await;
    store.adopt(&accepted, |_| ()).await.unwrap();
    let late = UnixMillis::new(4_000_000_000_000).unwrap();
    assert_eq!(cause(&store, 1, late).await, None);
    let left = "SELECT expires_at::text FROM api_keys WHERE expires_at IS NOT NULL";
    assert!(texts(&database, left).await.is_empty());
}

/// What the example's `createScopedKey` restricts a key to.
#[tokio::test]
async fn endpoints_in_metadata_are_enforced_only_if_they_are_mapped() {
    for handling in [MetadataEndpoints::Enforce, MetadataEndpoints::Ignore] {
        let Some(database) = application().await else {
            return;
        };
        let scoped = r#"'{"scopeType":"monitoring","allowedEndpoints":["/api/metrics/*"]}'"#;
        row(&database, 1, "metadata", scoped).await;
        row(&database, 2, "metadata", r#"'{"allowedEndpoints":null}'"#).await;
        row(&database, 3, "metadata", "'[1]'").await;
        let store = database.open();
        let refused = plan(&store, |_| ()).await;
        assert_eq!(refused.refusals(), [AdoptionRefusal::MetadataEndpoints]);
        assert_eq!(refused.metadata_endpoints.first, [1]);
        let accepted = plan(&store, |options| options.metadata_endpoints = handling).await;
        store.adopt(&accepted, |_| ()).await.unwrap();
        let enforced = handling == MetadataEndpoints::Enforce;
        let record = answer(&store, 1, at(0)).await.unwrap().record.unwrap();
        assert_eq!(record.allowed_endpoints.is_some(), enforced);
        assert_eq!(record.scope_type.is_some(), enforced);
        let expected = enforced.then_some(Cause::Endpoint);
        assert_eq!(cause(&store, 1, at(1)).await, expected);
        for number in [2, 3] {
            assert_eq!(cause(&store, number, at(0)).await, None);
        }
    }
    let Some(database) = application().await else {
        return;
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = format!(r#"'{{"allowedEndpoints":["/api/*",{deep}]}}'"#);
    let twice = r#"to_jsonb('{"allowedEndpoints":["/api/*"]}'::text)"#;
    let beside = r#"'{"limit":1e999,"allowedEndpoints":["/api/*"]}'"#;
    row(&database, 1, "metadata", r#"'{"allowedEndpoints":"/api"}'"#).await;
    row(&database, 2, "metadata", &deep).await;
    row(&database, 3, "metadata", twice).await;
    let enforce = |options: &mut AdoptOptions| {
        options.metadata_endpoints = MetadataEndpoints::Enforce;
    };
    let store = database.open();
    let refused = plan(&store, enforce).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Unreadable]);
    let found = refused.unreadable.first.iter();
    let found: Vec<_> = found.map(|row| (row.row, row.column)).collect();
    assert_eq!(found, [(1, "metadata"), (2, "metadata"), (3, "metadata")]);
    let accepted = plan(&store, |options| {
        enforce(options);
        options.accept_unreadable = true;
    });
    store.adopt(&accepted.await, |_| ()).await.unwrap();
    for number in 1..=3 {
        let damaged = cause(&store, number, at(0)).await;
        assert_eq!(damaged, Some(Cause::RecordDamaged));
    }
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "metadata", beside).await;
    let store = database.open();
    let accepted = plan(&store, enforce).await;
    store.adopt(&accepted, |_| ()).await.unwrap();
    assert_eq!(cause(&store, 1, at(0)).await, Some(Cause::Endpoint));
}

/// A6 of old code beside keystile: it reads the view, and refuses what keystile refuses.
#[tokio::test]
async fn old_code_reads_the_view_of_live_keys() {
    for (set, is_live) in [
        ("client_name = 'Acme Ltd'", true),
        ("expires_at = '2099-01-01'", true),
        ("expires_at = '2020-01-01'", false),
        ("expires_at = 'infinity'", false),
        ("expires_at = '10000-01-01'", false),
        ("is_active = FALSE", false),
        ("status = 'suspended', is_active = FALSE", false),
        ("replaced_by = '1000000000000009'", false),
        (
            "replaced_by = '1000000000000009', overlap_until = '2020-01-01'",
            false,
        ),
        (
            "replaced_by = '1000000000000009', overlap_until = '2099-01-01'",
            true,
        ),
    ] {
        let Some(database) = application().await else {
            return;
        };
        row(&database, 1, "is_active", "TRUE").await;
        let store = database.store().await;
        let sql = format!("UPDATE api_keys SET {set}");
        database.sql(&sql).await.unwrap();
        let found = "SELECT is_active FROM api_keys_live WHERE key_hash = $1::text";
        let found = database.other.query(found, &[&hash(1)]).await.unwrap();
        assert_eq!(!found.is_empty(), is_live, "{set}");
        let accepted = match answer(&store, 1, UnixMillis::now().unwrap()).await {
            Ok(checked) => checked.decision.is_allow(),
            Err(_) => false,
        };
        assert_eq!(accepted, is_live, "{set}");
    }
}
