//! A table that an application created like the well-known example is adopted: its keys stay
//! valid, and none gets more rights.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's fixtures"
)]

#[path = "adoption/app_database.rs"]
mod app_database;
#[path = "adoption/metadata.rs"]
mod metadata;
#[path = "adoption/plan.rs"]
mod plan;
#[path = "adoption/resumed.rs"]
mod resumed;
#[path = "adoption/since.rs"]
mod since;

use app_database::{AppDatabase, NOON, TABLE, adopt, answer, at, cause, damage, hash, key};
use keystile::{Cause, Decision, EventKind, KeyFormat, Request, Requirement, UnixMillis, Verifier};
use keystile_store::{
    Filter, Page, SqliteStore, Store, StoreError, UnavailableKind, check, resume,
};
use rusqlite::Connection;

#[tokio::test]
async fn an_applications_keys_stay_valid() {
    let database = AppDatabase::new();
    database.row(
        1,
        "permissions, metadata",
        r#"'["read","write"]', '{"plan":"gold"}'"#,
    );
    database.row(2, "client_email, rate_limit", "'ops@acme.example', 2");
    let store = database.adopted().await;

    let verifier = Verifier::new(KeyFormat::opaque("dt").unwrap());
    for (permission, granted) in [("read", true), ("write", true), ("delete", false)] {
        let requirement = Requirement::parse(permission).unwrap();
        let request = Request::new().requires(&requirement);
        let text = key(1);
        let checked = check(&store, &verifier, text.as_bytes(), &request, at(0))
            .await
            .unwrap();
        assert_eq!(checked.decision.is_allow(), granted, "{permission}");
    }
    let Decision::Allow(allowed) = answer(&store, 1, at(1)).await.unwrap().decision else {
        panic!("an active key is allowed")
    };
    assert_eq!(allowed.key_id.as_str(), "1000000000000001");
    let quota = allowed.quota.expect("the column's default is a limit");
    assert_eq!(
        (quota.limit().limit(), quota.limit().window().get()),
        (1_000, 3_600_000)
    );
    assert_eq!(
        quota.remaining(),
        997,
        "an hour's 1,000, of which three are spent"
    );

    for expected in [None, None, Some(Cause::RateLimit)] {
        assert_eq!(cause(&store, 2, at(2)).await, expected, "two in an hour");
    }
    assert_eq!(cause(&store, 3, at(2)).await, Some(Cause::UnknownKey));

    let records = store
        .list(&Filter::default(), Page::first(9))
        .await
        .unwrap()
        .records;
    let [first, second] = &records[..] else {
        panic!("two rows, two records")
    };
    assert_eq!(&*first.key_prefix, "dt_0000000");
    assert_eq!(first.metadata.as_deref(), Some(r#"{"plan":"gold"}"#));
    assert_eq!(second.client_email.as_deref(), Some("ops@acme.example"));
    assert_eq!(first.last_used_at, Some(at(0)));
    let kinds: Vec<_> = store.events(None, 0, 9).await.unwrap().events;
    assert!(
        kinds
            .iter()
            .all(|(_, event)| event.kind == EventKind::Imported)
    );
    assert_eq!(kinds.len(), 2, "each adoption is an event");
    assert_eq!(store.migrate().await.unwrap(), 0, "and done once");
}

#[tokio::test]
async fn refused_keys_stay_refused() {
    let database = AppDatabase::new();
    database.row(1, "is_active", "FALSE");
    database.row(2, "is_active", "NULL");
    database.row(3, "is_active", "TRUE");
    let store = database.adopted().await;
    assert_eq!(cause(&store, 1, at(0)).await, Some(Cause::Revoked));
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::Revoked),
        "NULL is not true"
    );
    assert_eq!(cause(&store, 3, at(0)).await, None);
    let id = "1000000000000001".parse().unwrap();
    let refused = resume(&store, &id, at(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "for good: {refused:?}"
    );
}

#[tokio::test]
async fn expiry_is_read_in_each_form_and_to_the_instant() {
    let database = AppDatabase::new();
    let noon = [
        "'2026-06-21 12:00:00'",
        "'2026-06-21T12:00:00.000Z'",
        "'2026-06-21 12:00:00+00'",
        "'2026-06-21T14:00:00+02:00'",
        "datetime(1782043200, 'unixepoch')",
    ];
    for (expiry, number) in noon.iter().zip(1..) {
        database.row(number, "expires_at", expiry);
    }
    database.row(9, "expires_at", "NULL");
    let store = database.adopted().await;
    for number in 1..=noon.len() {
        let before = UnixMillis::new(NOON - 1).unwrap();
        assert_eq!(
            cause(&store, number, before).await,
            None,
            "{}",
            noon[number - 1]
        );
        assert_eq!(cause(&store, number, at(0)).await, Some(Cause::Expired));
    }
    assert_eq!(
        cause(&store, 9, UnixMillis::MAX).await,
        Some(Cause::RateLimit),
        "no state at 9999"
    );
    assert_eq!(
        cause(&store, 9, at(0)).await,
        None,
        "NULL never expires, as it did"
    );
}

/// J11, P5: a value that cannot be read is an error, so that no restriction is lost.
#[tokio::test]
async fn an_unreadable_value_is_never_a_grant() {
    let database = AppDatabase::new();
    let rows = [
        ("expires_at", "''", "expires_at"),
        ("expires_at", "'never'", "expires_at"),
        ("expires_at", "'infinity'", "expires_at"),
        ("expires_at", "4102444800000", "expires_at"),
        ("expires_at", "'2099-02-30 00:00:00'", "expires_at"),
        ("last_used_at", "'yesterday'", "last_used_at"),
        ("created_at", "0", "created_at"),
        ("permissions", "'\"admin\"'", "permissions"),
        ("permissions", "'[\"inv*\"]'", "permissions"),
        ("permissions", "'[\"read\", 7]'", "permissions"),
        ("permissions", "'{\"read\": true}'", "permissions"),
        ("permissions", "''", "permissions"),
        ("permissions", "'null'", "permissions"),
        ("permissions", "x'5b5d'", "permissions"),
        ("rate_limit", "-1", "rate_limit"),
        ("rate_limit", "4294967296", "rate_limit"),
        ("rate_limit", "'many'", "rate_limit"),
        ("rate_limit", "0.5", "rate_limit"),
        ("client_email", "'a' || char(10) || 'b'", "client_email"),
        ("metadata", "zeroblob(20000)", "metadata"),
    ];
    for ((column, value, _), number) in rows.iter().zip(1..) {
        database.row(number, column, value);
    }
    let store = database.adopted().await;
    for ((column, value, expected), number) in rows.iter().zip(1..) {
        assert_eq!(damage(&store, number).await, *expected, "{column} {value}");
    }
    let page = Page::first(100);
    let listed = store.list(&Filter::default(), page).await.unwrap();
    assert!(listed.records.is_empty());
    assert_eq!(listed.damaged.len(), rows.len());
    assert_eq!(
        listed.damaged[0].to_string(),
        "row 1, key 1000000000000001, column expires_at: expected an instant from 1973 to 9999, \
         such as 2026-09-21T14:13:20.000Z",
    );
}

#[tokio::test]
async fn a_limit_of_null_becomes_the_default() {
    let database = AppDatabase::new();
    database.row(1, "rate_limit", "NULL");
    database.row(2, "rate_limit", "0");
    let store = database.adopted().await;
    let checked = answer(&store, 1, at(0)).await.unwrap();
    let limit = checked.record.unwrap().rate_limit.expect("a limit");
    assert_eq!(limit.limit(), 1_000);
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::RateLimit),
        "0 admits nothing"
    );
}

/// L1: also if the application's column ignores case.
#[tokio::test]
async fn a_digest_in_another_case_or_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    let no_case = TABLE.replace(
        "key_hash VARCHAR(64)",
        "key_hash VARCHAR(64) COLLATE NOCASE",
    );
    application.execute_batch(&no_case).unwrap();
    let bcrypt = "$2b$12$abcdefghijklmnopqrstuuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012";
    for value in [hash(1).to_uppercase(), hash(2), bcrypt.to_owned()] {
        let sql =
            "INSERT INTO api_keys (key_hash, key_prefix, client_name) VALUES (?1, 'dt_', 'A')";
        application.execute(sql, [value]).unwrap();
    }
    let store = SqliteStore::open(&path).unwrap();
    adopt(&store).await.unwrap();
    assert_eq!(damage(&store, 1).await, "key_hash");
    assert_eq!(cause(&store, 2, at(0)).await, None);
    assert_eq!(cause(&store, 3, at(0)).await, Some(Cause::UnknownKey));
}

/// The files are plain SQL, and record that they were run.
#[tokio::test]
async fn another_program_may_run_the_files() {
    let database = AppDatabase::new();
    database.row(1, "is_active", "TRUE");
    for sql in [
        include_str!("../migrations/sqlite/0001_tables.sql"),
        include_str!("../migrations/sqlite/0002_guards.sql"),
        include_str!("../migrations/sqlite/0003_changes.sql"),
    ] {
        database.application.execute_batch(sql).unwrap();
        let opened = SqliteStore::open_existing(database.folder.path().join("app.db"));
        match sql.contains("0003_changes'") {
            true => assert!(opened.is_ok()),
            false => assert_eq!(
                opened.unwrap_err().unavailable_kind(),
                Some(UnavailableKind::OldTables)
            ),
        }
    }
    let store = database.open();
    assert_eq!(store.migrate().await.unwrap(), 0, "nothing is left to do");
    assert_eq!(cause(&store, 1, at(0)).await, None);

    database
        .sql("INSERT INTO keystile_migrations (version, name) VALUES (9, 'later')")
        .unwrap();
    let Err(StoreError::Unavailable {
        kind,
        source: reason,
    }) = store.migrate().await
    else {
        panic!("expected an error for tables of a later version")
    };
    assert_eq!(kind, UnavailableKind::TooNew);
    assert_eq!(
        reason.to_string(),
        "the tables are of version 9, and this program knows them up to 3",
    );
}
