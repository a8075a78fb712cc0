//! What a plan finds, what has to be accepted, and that it changes nothing.

use core::fmt::Write;

use keystile::{Cause, Request, UnixMillis, Verifier};
use keystile_store::{
    AdoptOptions, AdoptionPlan, AdoptionRefusal, MetadataEndpoints, SqliteStore, Store, StoreError,
    Tables, UnavailableKind, check,
};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::app_database::{AppDatabase, TABLE, answer, at, cause, hash, key};
use crate::metadata::enforce;

/// The columns of the example's first table.
pub(crate) fn first_table() -> String {
    let only_second = ["client_email", "expires_at"];
    let lines = TABLE.lines().filter(|line| {
        let line = line.trim_start();
        !only_second.iter().any(|column| line.starts_with(column))
            && !line.contains("idx_api_keys_inactive")
    });
    let table = lines.collect::<Vec<_>>().join("\n");
    table.replace(",\n    metadata JSONB DEFAULT '{}'", "")
}

/// Everything in a file: its schema, its rows and its journal mode.
pub(crate) fn dump(connection: &Connection) -> String {
    let mut text = String::new();
    let mut rows = |sql: &str| {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let found = statement.query_map([], |row| {
            (0..columns)
                .map(|column| row.get::<_, Value>(column))
                .collect::<Result<Vec<_>, _>>()
        });
        let found: Vec<_> = found.unwrap().map(Result::unwrap).collect();
        writeln!(text, "{sql}: {found:?}").unwrap();
        found
    };
    rows("PRAGMA journal_mode");
    let sql = "SELECT name, type, sql FROM sqlite_schema ORDER BY type = 'table', name";
    for entry in rows(sql) {
        if let [Value::Text(name), Value::Text(kind), _] = &entry[..]
            && kind == "table"
        {
            rows(&format!("SELECT * FROM \"{name}\""));
        }
    }
    text
}

pub(crate) async fn plan(
    store: &SqliteStore,
    change: impl FnOnce(&mut AdoptOptions),
) -> AdoptionPlan {
    let mut options = AdoptOptions::default();
    change(&mut options);
    store.plan_adoption(options, at(0)).await.unwrap()
}

/// A7: the first table too, and its keys go on working.
#[tokio::test]
async fn the_examples_first_table_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    let table = first_table();
    assert!(!table.contains("metadata") && !table.contains("expires_at"));
    application.execute_batch(&table).unwrap();
    let insert = "INSERT INTO api_keys (key_hash, key_prefix, client_name) VALUES (?1, 'dt_', 'A')";
    application.execute(insert, [hash(1)]).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let plan = plan(&store, |_| ()).await;
    assert_eq!(plan.refusals(), []);
    let added = plan.steps.iter().filter(|step| step.contains("missing"));
    assert_eq!(added.count(), 3, "{:?}", plan.steps);
    assert_eq!(store.adopt(&plan, |_| ()).await.unwrap(), 1);
    assert_eq!(cause(&store, 1, at(0)).await, None);
    application.execute(insert, [hash(2)]).unwrap();
    assert_eq!(cause(&store, 2, at(0)).await, None, "and what comes later");
}

/// A8: opening, planning and a refused migration change no byte of what is there.
#[tokio::test]
async fn an_applications_file_is_changed_by_nothing_but_an_adoption() {
    let database = AppDatabase::new();
    database.row(1, "permissions", "'[\"*\"]'");
    let before = dump(&database.application);
    let path = database.folder.path().join("app.db");
    let Err(StoreError::Unavailable { kind, .. }) = SqliteStore::open_existing(&path) else {
        panic!("the table is not keystile's")
    };
    assert_eq!(kind, UnavailableKind::NotAdopted);
    let store = database.open();
    assert_eq!(store.tables().await.unwrap(), Tables::NotAdopted);
    let migrated = store.migrate().await.unwrap_err();
    assert_eq!(
        migrated.unavailable_kind(),
        Some(UnavailableKind::NotAdopted)
    );
    let refused = plan(&store, |_| ()).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Wildcards]);
    let error = store.adopt(&refused, |_| ()).await.unwrap_err();
    assert_eq!(
        error.unavailable_kind(),
        Some(UnavailableKind::NotAdoptable)
    );
    let accepted = plan(&store, |options| options.accept_wildcards = true).await;
    assert_eq!(dump(&database.application), before);
    drop(store);
    let names: Vec<_> = std::fs::read_dir(database.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["app.db"], "no file beside it");

    database.open().adopt(&accepted, |_| ()).await.unwrap();
    assert_ne!(dump(&database.application), before);
    assert!(SqliteStore::open_existing(&path).is_ok());
}

#[tokio::test]
async fn a_file_with_other_tables_is_not_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    application
        .execute_batch("CREATE TABLE users (id INTEGER PRIMARY KEY)")
        .unwrap();
    let before = dump(&application);
    let error = SqliteStore::open_existing(&path).unwrap_err();
    assert_eq!(error.unavailable_kind(), Some(UnavailableKind::NoTables));
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.tables().await.unwrap(), Tables::Others);
    assert_eq!(dump(&application), before);
    assert_eq!(store.migrate().await.unwrap(), 3, "beside them, if asked");
    assert_eq!(store.tables().await.unwrap(), Tables::Current);
}

/// A12: each problem is named by its column and what was expected.
#[tokio::test]
async fn what_cannot_be_adopted_is_named() {
    let hash_column = "key_hash VARCHAR(64) NOT NULL UNIQUE";
    let no_index = TABLE.replace(" UNIQUE", "");
    let partial = no_index.clone() + "CREATE UNIQUE INDEX p ON api_keys (key_hash) WHERE is_active";
    let key_only = "id INTEGER PRIMARY KEY";
    for (sql, said) in [
        (
            TABLE.replace("key_prefix VARCHAR(10) NOT NULL,", ""),
            "table api_keys: column key_prefix is missing; expected VARCHAR(10)",
        ),
        (
            TABLE
                .split_inclusive(");")
                .take(1)
                .collect::<String>()
                .replace(hash_column, "hash TEXT"),
            "table api_keys: column key_hash is missing; expected VARCHAR(64)",
        ),
        (
            no_index,
            "table api_keys: column key_hash is not unique; expected UNIQUE",
        ),
        (
            partial,
            "table api_keys: column key_hash is not unique; expected UNIQUE",
        ),
        (
            TABLE.replacen("\n);", "\n) WITHOUT ROWID;", 1),
            "table api_keys: is WITHOUT ROWID; expected a table with row numbers",
        ),
        (
            TABLE.replace(key_only, "id INTEGER PRIMARY KEY, owner TEXT"),
            "table api_keys: column owner is the application's; expected no column of this name, \
             since keystile adds one",
        ),
        (
            TABLE.replace(key_only, "id INTEGER PRIMARY KEY, team TEXT NOT NULL"),
            "table api_keys: column team is NOT NULL without a default; expected a default or \
             NULL, since keystile inserts rows without it",
        ),
        (
            TABLE.to_owned() + "CREATE TABLE api_key_events (id INTEGER);",
            "table api_key_events: is the application's; expected no table or view of this name, \
             since keystile creates one",
        ),
        (
            "CREATE VIEW api_keys AS SELECT 'a' AS key_hash".to_owned(),
            "table api_keys: is not a table; expected a table",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let application = Connection::open(&path).unwrap();
        application.execute_batch(&sql).unwrap();
        let before = dump(&application);
        let store = SqliteStore::open(&path).unwrap();
        let plan = plan(&store, |options| options.accept_unreadable = true).await;
        assert_eq!(plan.refusals(), [AdoptionRefusal::Table], "{sql}");
        assert_eq!(plan.problems[0].to_string(), said);
        let refused = store.adopt(&plan, |_| ()).await;
        let Err(StoreError::Unavailable { source, .. }) = refused else {
            panic!("{sql}")
        };
        assert_eq!(source.to_string(), said);
        assert_eq!(dump(&application), before);
    }
}

/// Each form that applications write, and whether it can be read.
#[tokio::test]
async fn rows_that_cannot_be_read_are_named_with_their_column() {
    let rows = [
        ("expires_at", "'2030-01-01'", Some("expires_at")),
        (
            "expires_at",
            "'2030-01-01T00:00:00+0000'",
            Some("expires_at"),
        ),
        ("expires_at", "''", Some("expires_at")),
        ("expires_at", "1893456000000", Some("expires_at")),
        ("expires_at", "'Tue Jan 01 2030'", Some("expires_at")),
        ("expires_at", "'9999-12-31 23:59:59'", None),
        ("created_at", "'1970-01-01 00:00:00'", Some("created_at")),
        ("permissions", "'[\"read users\"]'", Some("permissions")),
        ("permissions", "'[\"inv*\"]'", Some("permissions")),
        ("permissions", "'read,write'", Some("permissions")),
        ("permissions", "'{}'", Some("permissions")),
        ("is_active", "'true'", Some("is_active")),
        ("is_active", "TRUE", None),
    ];
    let database = AppDatabase::new();
    for ((column, value, _), number) in rows.iter().zip(1..) {
        database.row(number, column, value);
    }
    database.row(50, "is_active", "FALSE");
    let upper = "UPDATE api_keys SET key_hash = upper(key_hash) WHERE id = 14";
    database.sql(upper).unwrap();
    let mut expected: Vec<_> = rows
        .iter()
        .zip(1_i64..)
        .filter_map(|((.., column), row)| Some((row, (*column)?)))
        .collect();
    expected.push((14, "key_hash"));

    let store = database.open();
    let refused = plan(&store, |_| ()).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Unreadable]);
    let found = refused.unreadable.first.iter();
    let found: Vec<_> = found.map(|row| (row.row, row.column)).collect();
    assert_eq!(found, expected);
    assert_eq!(refused.unreadable.count, 12);
    assert_eq!(refused.rows, 14);

    let accepted = plan(&store, |options| options.accept_unreadable = true).await;
    assert_eq!(store.adopt(&accepted, |_| ()).await.unwrap(), 14);
    for ((column, value, expected), number) in rows.iter().zip(1..) {
        match (answer(&store, number, at(0)).await, expected) {
            (Ok(checked), None) => assert!(checked.decision.is_allow(), "{column} {value}"),
            (Ok(checked), Some(_)) => assert!(checked.damage.is_some(), "{column} {value}"),
            (other, _) => panic!("{column} {value}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn only_the_first_hundred_are_named_and_all_are_counted() {
    let database = AppDatabase::new();
    for number in 1..=120 {
        database.row(number, "permissions", "'[\"reports:*\"]'");
    }
    database.row(121, "permissions, is_active", "'[\"*\"]', FALSE");
    let plan = plan(&database.open(), |_| ()).await;
    assert_eq!(
        (plan.wildcards.count, plan.wildcards.first.len()),
        (120, 100)
    );
    assert_eq!((plan.rows, plan.inactive), (121, 1));
}

/// What the example's `createScopedKey` restricts a key to.
#[tokio::test]
async fn endpoints_in_metadata_are_enforced_or_ignored_but_never_lost_silently() {
    let scoped = r#"'{"scopeType":"monitoring","allowedEndpoints":["/api/metrics/*"]}'"#;
    for (handling, allowed) in [
        (MetadataEndpoints::Enforce, false),
        (MetadataEndpoints::Ignore, true),
    ] {
        let database = AppDatabase::new();
        database.row(1, "metadata", scoped);
        database.row(2, "metadata", r#"'{"allowedEndpoints":null}'"#);
        database.row(3, "metadata", "'[1]'");
        let store = database.open();
        let refused = plan(&store, |_| ()).await;
        assert_eq!(refused.refusals(), [AdoptionRefusal::MetadataEndpoints]);
        assert_eq!(refused.metadata_endpoints.first, [1]);
        let accepted = plan(&store, |options| options.metadata_endpoints = handling).await;
        store.adopt(&accepted, |_| ()).await.unwrap();
        let verifier = Verifier::new(keystile::KeyFormat::opaque("dt").unwrap());
        for (number, path, expected) in [
            (1, "/api/profile", allowed),
            (1, "/api/metrics/cpu", true),
            (2, "/api/profile", true),
            (3, "/api/profile", true),
        ] {
            let request = Request::new().endpoint("GET", path);
            let text = key(number);
            let checked = check(&store, &verifier, text.as_bytes(), &request, at(0));
            let is_allow = checked.await.unwrap().decision.is_allow();
            assert_eq!(is_allow, expected, "{handling:?} {number} {path}");
        }
        let record = answer(&store, 1, at(0)).await.unwrap().record.unwrap();
        let template = record.scope_type.map(|name| name.to_string());
        let expected = (!allowed).then(|| "monitoring".to_owned());
        assert_eq!(template, expected);
    }
}

/// Rules that keystile cannot enforce as they are make the row unreadable.
#[tokio::test]
async fn endpoints_in_metadata_that_are_no_rules_are_refused() {
    let database = AppDatabase::new();
    database.row(1, "metadata", r#"'{"allowedEndpoints":["api/metrics"]}'"#);
    database.row(2, "metadata", r#"'{"allowedEndpoints":"/api"}'"#);
    let store = database.open();
    let refused = plan(&store, enforce).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Unreadable]);
    assert_eq!(refused.unreadable.count, 2);
    let accepted = plan(&store, |options| {
        enforce(options);
        options.accept_unreadable = true;
    });
    store.adopt(&accepted.await, |_| ()).await.unwrap();
    for number in [1, 2] {
        let answered = answer(&store, number, at(0)).await.unwrap();
        assert!(answered.damage.is_some() && !answered.decision.is_allow());
    }
}

/// Row numbers that have no 15 digits get a random id.
#[tokio::test]
async fn any_row_number_has_an_id() {
    let database = AppDatabase::new();
    for (number, row) in [
        (1, "9007199254740993"),
        (2, "-7"),
        (3, "999999999999999"),
        (4, "1234567890123456789"),
    ] {
        database.row(number, "id", row);
    }
    let store = database.adopted().await;
    let mut ids = Vec::new();
    for number in 1..=4 {
        let record = answer(&store, number, at(0)).await.unwrap().record.unwrap();
        assert_eq!(
            store.lineage(&record.lineage).await.unwrap().records.len(),
            1
        );
        ids.push(record.id.to_string());
    }
    assert_eq!(ids[2], "1999999999999999");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

/// A6 of old code beside keystile: it reads the view, and refuses what keystile refuses.
#[tokio::test]
async fn old_code_reads_the_view_of_live_keys() {
    let database = AppDatabase::new();
    for (number, expires) in [
        (1, "NULL"),
        (2, "'2099-01-01 00:00:00'"),
        (3, "'2020-01-01 00:00:00'"),
        (4, "'never'"),
        (9, "'2099-01-01T00:00:00+02:00'"),
    ] {
        database.row(number, "expires_at", expires);
    }
    for number in 5..=8 {
        database.row(number, "is_active", "TRUE");
    }
    let store = database.adopted().await;
    for sql in [
        "UPDATE api_keys SET is_active = FALSE WHERE id = 6",
        "UPDATE api_keys SET status = 'suspended', is_active = FALSE WHERE id = 7",
        "UPDATE api_keys SET replaced_by = '1000000000000001', overlap_until = '2020-01-01T00:00:00.000Z' WHERE id = 8",
        "UPDATE api_keys SET replaced_by = '1000000000000001', overlap_until = '2099-01-01T00:00:00.000Z' WHERE id = 9",
        "UPDATE api_keys SET replaced_by = '1000000000000001' WHERE id = 2",
    ] {
        database.sql(sql).unwrap();
    }
    let mut statement = database
        .application
        .prepare("SELECT id, is_active FROM api_keys_live WHERE key_hash = ?1")
        .unwrap();
    for (number, row) in [1, 2, 3, 4, 9, 5, 6, 7, 8].into_iter().zip(1..) {
        let live = statement.query_map([hash(number)], |found| found.get::<_, i64>(0));
        let live = live.unwrap().map(Result::unwrap).next();
        let now = UnixMillis::now().unwrap();
        let accepted = match answer(&store, number, now).await {
            Ok(checked) => checked.decision.is_allow(),
            Err(_) => false,
        };
        assert_eq!(live.is_some(), accepted, "key {number}");
        assert_eq!(live.unwrap_or(row), row);
    }
    let now = UnixMillis::now().unwrap();
    assert_eq!(cause(&store, 7, now).await, Some(Cause::Replaced));
}
