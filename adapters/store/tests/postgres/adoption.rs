//! A table that an application created like the well-known example is adopted: its keys stay
//! valid, and none gets more rights.

use keystile::{Cause, Decision, EventKind, KeyFormat, Request, Requirement, UnixMillis, Verifier};
use keystile_store::{
    AdoptOptions, Checked, Filter, Page, PostgresStore, Store, StoreError, UnavailableKind, check,
    resume,
};

use crate::database::Database;

/// The example's second schema, unchanged.
pub(crate) const TABLE: &str = "CREATE TABLE api_keys (
    id SERIAL PRIMARY KEY,
    key_hash VARCHAR(64) NOT NULL UNIQUE,
    key_prefix VARCHAR(10) NOT NULL,
    client_name VARCHAR(255) NOT NULL,
    client_email VARCHAR(255),
    permissions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000,
    metadata JSONB DEFAULT '{}'
);
CREATE INDEX idx_api_keys_hash ON api_keys(key_hash);
CREATE INDEX idx_api_keys_client ON api_keys(client_name);
CREATE INDEX idx_api_keys_inactive ON api_keys(is_active, expires_at);";

/// `printf %s dt_000…n | sha256sum`, as other programs compute it.
const HASHES: [&str; 3] = [
    "83fe8783f067db57fab1aabfdce816eb9899185ecf2ef175165fed0ff4d60ed4",
    "8a487dd5260a34602e95b14c5c00bada1ec38aee58e1d479a09dc0c079b96179",
    "d498972e7cfd65d8ffde20695371596a3e8fc43047d113df0e18d0d0c377d4a2",
];

/// 2026-06-21, noon.
const NOON: u64 = 1_782_043_200_000;

pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(NOON + millis).unwrap()
}

pub(crate) fn hash(number: usize) -> &'static str {
    HASHES[number - 1]
}

/// An application's database before keystile's migrations.
pub(crate) async fn application() -> Option<Database> {
    let database = Database::new().await?;
    database.sql(TABLE).await.unwrap();
    Some(database)
}

/// Inserts a row as the application does: the key's number, and the rest in SQL.
pub(crate) async fn row(database: &Database, number: usize, columns: &str, values: &str) {
    let (hash, prefix) = (hash(number), &key(number)[..10]);
    let sql = format!(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name, {columns})
         VALUES ('{hash}', '{prefix}', 'Acme Ltd', {values})"
    );
    database.sql(&sql).await.unwrap();
}

pub(crate) fn key(number: usize) -> String {
    format!("dt_{number:064x}")
}

pub(crate) async fn answer(
    store: &PostgresStore,
    number: usize,
    now: UnixMillis,
) -> Result<Checked, StoreError> {
    let verifier = Verifier::new(KeyFormat::opaque("dt").unwrap());
    let text = key(number);
    check(store, &verifier, text.as_bytes(), &Request::new(), now).await
}

pub(crate) async fn cause(store: &PostgresStore, number: usize, now: UnixMillis) -> Option<Cause> {
    let checked = answer(store, number, now).await.expect("it is answered");
    checked.decision.denial().map(|denial| denial.cause())
}

#[tokio::test]
async fn an_applications_keys_stay_valid() {
    let Some(database) = application().await else {
        return;
    };
    row(
        &database,
        1,
        "permissions, metadata",
        r#"'["read","write"]', '{"plan":"gold"}'"#,
    )
    .await;
    row(
        &database,
        2,
        "client_email, rate_limit",
        "'ops@acme.example', 2",
    )
    .await;
    let store = database.store().await;

    let verifier = Verifier::new(KeyFormat::opaque("dt").unwrap());
    for (permission, granted) in [("read", true), ("write", true), ("delete", false)] {
        let requirement = Requirement::parse(permission).unwrap();
        let request = Request::new().requires(&requirement);
        let text = key(1);
        let checked = check(&store, &verifier, text.as_bytes(), &request, at(0)).await;
        assert_eq!(
            checked.unwrap().decision.is_allow(),
            granted,
            "{permission}"
        );
    }
    for expected in [None, None, Some(Cause::RateLimit)] {
        assert_eq!(cause(&store, 2, at(2)).await, expected, "two in an hour");
    }
    assert_eq!(cause(&store, 3, at(2)).await, Some(Cause::UnknownKey));

    let records = store.list(&Filter::default(), Page::first(9)).await;
    let records = records.unwrap().records;
    let [first, second] = &records[..] else {
        panic!("two rows, two records")
    };
    assert_eq!(first.id.as_str(), "1000000000000001");
    assert_eq!(&*first.key_prefix, "dt_0000000");
    assert_eq!(first.metadata.as_deref(), Some(r#"{"plan": "gold"}"#));
    let limit = first.rate_limit.expect("the column's default is a limit");
    assert_eq!((limit.limit(), limit.window().get()), (1_000, 3_600_000));
    assert_eq!(second.client_email.as_deref(), Some("ops@acme.example"));
    assert_eq!(first.last_used_at, Some(at(0)));
    let events = store.events(None, 0, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::Imported; 2], "each adoption is an event");
    assert_eq!(store.migrate().await.unwrap(), 0, "and done once");
}

#[tokio::test]
async fn what_was_refused_stays_refused_and_no_limit_is_lost() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "is_active", "FALSE").await;
    row(&database, 2, "is_active", "NULL").await;
    row(&database, 3, "rate_limit", "NULL").await;
    let store = database.store().await;
    for number in [1, 2] {
        assert_eq!(cause(&store, number, at(0)).await, Some(Cause::Revoked));
    }
    let refused = resume(&store, &"1000000000000001".parse().unwrap(), at(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "for good: {refused:?}"
    );
    let checked = answer(&store, 3, at(0)).await.unwrap();
    let limit = checked.record.unwrap().rate_limit.expect("a limit");
    assert_eq!(limit.limit(), 1_000);
}

/// P5: to the millisecond; fractions of a millisecond are truncated.
#[tokio::test]
async fn expiry_is_read_to_the_instant() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "expires_at", "'2026-06-21 12:00:00+00'").await;
    row(
        &database,
        2,
        "expires_at",
        "'2026-06-21 14:00:00.000999+02'",
    )
    .await;
    row(&database, 3, "expires_at, created_at", "NULL, '2026-01-01'").await;
    let store = database.store().await;
    for number in [1, 2] {
        let before = UnixMillis::new(NOON - 1).unwrap();
        assert_eq!(cause(&store, number, before).await, None);
        assert_eq!(cause(&store, number, at(0)).await, Some(Cause::Expired));
    }
    let late = UnixMillis::new(4_000_000_000_000).unwrap();
    assert_eq!(cause(&store, 3, late).await, None, "NULL never expires");
}

/// J11, P5: a value that cannot be read is an error, so that no restriction is lost.
#[tokio::test]
async fn an_unreadable_value_is_never_a_grant() {
    for (column, value, expected) in [
        ("expires_at", "'-infinity'", "expires_at"),
        ("expires_at", "'10000-01-01'", "expires_at"),
        ("expires_at", "'1969-12-31'", "expires_at"),
        ("last_used_at", "'infinity'", "last_used_at"),
        ("created_at", "'-infinity'", "created_at"),
        ("permissions", "'\"admin\"'", "permissions"),
        ("permissions", "'[\"inv*\"]'", "permissions"),
        ("permissions", "'[\"read\", 7]'", "permissions"),
        ("permissions", "'{\"read\": true}'", "permissions"),
        ("permissions", "'null'", "permissions"),
        ("rate_limit", "-1", "rate_limit"),
        ("client_name", "''", "client_name"),
        ("client_email", "E'a\\nb'", "client_email"),
        ("metadata", "to_jsonb(repeat('x', 20000))", "metadata"),
    ] {
        let Some(database) = application().await else {
            return;
        };
        row(&database, 1, "is_active", "TRUE").await;
        let sql = format!("UPDATE api_keys SET {column} = {value}");
        database.sql(&sql).await.unwrap();
        let store = database.store().await;
        match answer(&store, 1, at(0)).await {
            Ok(Checked {
                decision: Decision::Deny(denial),
                damage: Some(damage),
                ..
            }) => {
                assert_eq!(denial.cause(), Cause::RecordDamaged, "{sql}");
                assert_eq!(damage.column, expected, "{sql}");
            }
            other => panic!("damage is a denial, and never an allow: {sql}: {other:?}"),
        }
    }
}

/// The files are plain SQL, and record that they were run.
#[tokio::test]
async fn another_program_may_run_the_files() {
    let Some(database) = application().await else {
        return;
    };
    row(&database, 1, "is_active", "TRUE").await;
    assert!(
        PostgresStore::open_existing(&database.url).await.is_err(),
        "tables that are not there are not made by mistake"
    );
    for sql in [
        include_str!("../../migrations/postgres/0001_tables.sql"),
        include_str!("../../migrations/postgres/0002_guards.sql"),
        include_str!("../../migrations/postgres/0003_changes.sql"),
    ] {
        let refused = PostgresStore::open_existing(&database.url)
            .await
            .unwrap_err();
        let is_first = sql.contains("(1, '0001_tables')");
        let expected = match is_first {
            true => UnavailableKind::NotAdopted,
            false => UnavailableKind::OldTables,
        };
        assert_eq!(refused.unavailable_kind(), Some(expected));
        database.sql(sql).await.unwrap();
    }
    let store = PostgresStore::open_existing(&database.url).await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), 0, "nothing is left to do");
    assert_eq!(cause(&store, 1, at(0)).await, None);

    let later = "INSERT INTO keystile_migrations (version, name) VALUES (9, 'later')";
    database.sql(later).await.unwrap();
    for refused in [
        store.migrate().await.map(drop),
        PostgresStore::open_existing(&database.url).await.map(drop),
    ] {
        let Err(StoreError::Unavailable {
            kind,
            source: reason,
        }) = refused
        else {
            panic!("tables of a later version are not for this program")
        };
        assert_eq!(kind, UnavailableKind::TooNew);
        assert_eq!(
            reason.to_string(),
            "the tables are of version 9, and this program knows them up to 3",
        );
    }
}

/// In an application's schema, with another one in the same database.
#[tokio::test]
async fn tables_are_in_the_first_schema_of_the_search_path() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let create = "CREATE SCHEMA app; SET search_path = app;";
    database
        .sql(&format!("{create} {TABLE} SET search_path = public;"))
        .await
        .unwrap();
    let url = format!("{}?options=-c%20search_path%3Dapp", database.url);
    let store = PostgresStore::open(&url).unwrap();
    let plan = store.plan_adoption(AdoptOptions::default(), at(0)).await;
    store.adopt(&plan.unwrap(), |_| ()).await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), 0, "tables of its own");
    // The guards find their tables for every writer and every search path.
    let insert = format!(
        "INSERT INTO app.api_keys (key_hash, key_prefix, client_name) VALUES ('{}', 'dt_', 'A')",
        hash(1)
    );
    let trap = "CREATE TEMPORARY TABLE api_key_events (LIKE app.api_key_events)";
    database.sql(trap).await.unwrap();
    database.sql(&insert).await.unwrap();
    let revoke = "UPDATE app.api_keys SET is_active = FALSE";
    database.sql(revoke).await.unwrap();
    assert_eq!(cause(&store, 1, at(0)).await, Some(Cause::Revoked));
    let events = store.events(None, 0, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::Imported, EventKind::Revoked]);
}

/// What is remembered of a digest is compared with the column, which is the application's.
#[tokio::test]
async fn a_column_with_a_collation_of_its_own_takes_inserts() {
    let Some(database) = Database::new().await else {
        return;
    };
    let column = "key_hash VARCHAR(64) COLLATE \"POSIX\" NOT NULL";
    let table = TABLE.replace("key_hash VARCHAR(64) NOT NULL", column);
    assert_ne!(table, TABLE);
    database.sql(&table).await.unwrap();
    row(&database, 1, "is_active", "TRUE").await;
    let store = database.store().await;
    let end = "UPDATE api_keys SET is_active = FALSE; DELETE FROM api_keys;";
    database.sql(end).await.unwrap();
    for number in [1, 2] {
        row(&database, number, "is_active", "TRUE").await;
    }
    let revoked = Some(Cause::Revoked);
    assert_eq!(
        cause(&store, 1, at(2)).await,
        revoked,
        "it comes back revoked"
    );
    assert_eq!(cause(&store, 2, at(2)).await, None);
}
