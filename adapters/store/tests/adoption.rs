//! A table that an application made by the well-known example is adopted: its keys verify
//! afterwards, none gains by it, and the application goes on working beside us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

use keystile::{
    Cause, Decision, EventKind, KeyFormat, Lookup, PepperRing, Request, Requirement,
    RotationPolicy, Status, SysRng, UnixMillis, Verifier,
};
use keystile_store::{
    Checked, Filter, Page, SqliteStore, Store, StoreError, check, resume, revoke, rotate, suspend,
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The columns of the example; `SERIAL` and `NOW()` are PostgreSQL's.
const TABLE: &str = "CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    key_hash VARCHAR(64) NOT NULL UNIQUE,
    key_prefix VARCHAR(10) NOT NULL,
    client_name VARCHAR(255) NOT NULL,
    client_email VARCHAR(255),
    permissions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000,
    metadata JSONB DEFAULT '{}'
);
CREATE INDEX idx_api_keys_hash ON api_keys(key_hash);
CREATE INDEX idx_api_keys_client ON api_keys(client_name);
CREATE INDEX idx_api_keys_inactive ON api_keys(is_active, expires_at);";

/// `printf %s dt_000…n | sha256sum`, as other programs work it out.
const HASHES: [&str; 3] = [
    "83fe8783f067db57fab1aabfdce816eb9899185ecf2ef175165fed0ff4d60ed4",
    "8a487dd5260a34602e95b14c5c00bada1ec38aee58e1d479a09dc0c079b96179",
    "d498972e7cfd65d8ffde20695371596a3e8fc43047d113df0e18d0d0c377d4a2",
];

/// An application's database, and our store on the same file.
struct Place {
    folder: TempDir,
    application: Connection,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let application = Connection::open(folder.path().join("app.db")).unwrap();
        application.execute_batch(TABLE).unwrap();
        Self {
            folder,
            application,
        }
    }

    /// Inserts a row as the application does: the key's number, and the rest in SQL.
    fn row(&self, number: usize, columns: &str, values: &str) {
        let sql = format!(
            "INSERT INTO api_keys (key_hash, key_prefix, client_name, {columns})
             VALUES (?1, ?2, 'Acme Ltd', {values})"
        );
        let values = params![hash(number), &key(number)[..10]];
        self.application.execute(&sql, values).unwrap();
    }

    fn sql(&self, sql: &str) -> rusqlite::Result<usize> {
        self.application.execute(sql, [])
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.folder.path().join("app.db")).unwrap()
    }

    async fn adopted(&self) -> SqliteStore {
        let store = self.open();
        store.migrate().await.expect("the table is adopted");
        store
    }

    /// Whether the application lets the key pass.
    fn application_accepts(&self, number: usize) -> bool {
        let sql = "SELECT is_active FROM api_keys WHERE key_hash = ?1";
        self.application
            .query_row(sql, [hash(number)], |row| row.get(0))
            .unwrap()
    }
}

fn key(number: usize) -> String {
    format!("dt_{number:064x}")
}

fn hash(number: usize) -> String {
    match HASHES.get(number.wrapping_sub(1)) {
        Some(hash) => (*hash).to_owned(),
        None => {
            let digest = keystile::Digest::sha256(key(number).as_bytes()).to_string();
            digest.strip_prefix("sha256:").unwrap().to_owned()
        }
    }
}

/// 2026-06-21, noon.
const NOON: u64 = 1_782_043_200_000;

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(NOON + millis).unwrap()
}

async fn answer(
    store: &SqliteStore,
    number: usize,
    now: UnixMillis,
) -> Result<Checked, StoreError> {
    let verifier = Verifier::new(KeyFormat::opaque("dt").unwrap());
    check(
        store,
        &verifier,
        key(number).as_bytes(),
        &Request::new(),
        now,
    )
    .await
}

async fn cause(store: &SqliteStore, number: usize, now: UnixMillis) -> Option<Cause> {
    let checked = answer(store, number, now)
        .await
        .expect("a check is answered");
    checked.decision.denial().map(|denial| denial.cause())
}

/// The column in which a key's row is damaged.
async fn damage(store: &SqliteStore, number: usize) -> &'static str {
    match answer(store, number, at(0)).await {
        Err(StoreError::Corrupt(damage)) => damage.column,
        other => panic!("damage is no verdict, and never an allow: {other:?}"),
    }
}

#[tokio::test]
async fn an_applications_keys_verify_after_it() {
    let place = Place::new();
    place.row(
        1,
        "permissions, metadata",
        r#"'["read","write"]', '{"plan":"gold"}'"#,
    );
    place.row(2, "client_email, rate_limit", "'ops@acme.example', 2");
    let store = place.adopted().await;

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
        .unwrap();
    let [first, second] = &records[..] else {
        panic!("two rows, two records")
    };
    assert_eq!(&*first.key_prefix, "dt_0000000");
    assert_eq!(first.metadata.as_deref(), Some(r#"{"plan":"gold"}"#));
    assert_eq!(second.client_email.as_deref(), Some("ops@acme.example"));
    assert_eq!(first.last_used_at, Some(at(0)));
    let kinds: Vec<_> = store.events(None, 0, 9).await.unwrap();
    assert!(
        kinds
            .iter()
            .all(|(_, event)| event.kind == EventKind::Imported)
    );
    assert_eq!(kinds.len(), 2, "each adoption is an event");
    assert_eq!(store.migrate().await.unwrap(), 0, "and done once");
}

#[tokio::test]
async fn what_was_refused_stays_refused() {
    let place = Place::new();
    place.row(1, "is_active", "FALSE");
    place.row(2, "is_active", "NULL");
    place.row(3, "is_active", "TRUE");
    let store = place.adopted().await;
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
    let place = Place::new();
    let noon = [
        "'2026-06-21 12:00:00'",
        "'2026-06-21T12:00:00.000Z'",
        "'2026-06-21 12:00:00+00'",
        "'2026-06-21T14:00:00+02:00'",
        "datetime(1782043200, 'unixepoch')",
    ];
    for (expiry, number) in noon.iter().zip(1..) {
        place.row(number, "expires_at", expiry);
    }
    place.row(9, "expires_at", "NULL");
    let store = place.adopted().await;
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

/// J11, P5: what cannot be read is an error; a restriction is never lost on the way.
#[tokio::test]
async fn what_no_record_can_hold_is_never_a_grant() {
    let place = Place::new();
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
        ("client_email", "'a' || char(10) || 'b'", "any"),
        ("metadata", "zeroblob(20000)", "any"),
    ];
    for ((column, value, _), number) in rows.iter().zip(1..) {
        place.row(number, column, value);
    }
    let store = place.adopted().await;
    for ((column, value, expected), number) in rows.iter().zip(1..) {
        assert_eq!(damage(&store, number).await, *expected, "{column} {value}");
    }
    let listed = store.list(&Filter::default(), Page::first(9)).await;
    let Err(error) = listed else {
        panic!("a list does not pass over damage")
    };
    assert_eq!(
        error.to_string(),
        "a stored row is damaged: row 1, column expires_at: expected an instant from 1973 to \
         9999, as 2026-09-21T14:13:20.000Z",
    );
}

#[tokio::test]
async fn a_limit_that_said_nothing_becomes_the_default() {
    let place = Place::new();
    place.row(1, "rate_limit", "NULL");
    place.row(2, "rate_limit", "0");
    let store = place.adopted().await;
    let checked = answer(&store, 1, at(0)).await.unwrap();
    let limit = checked.record.unwrap().rate_limit.expect("a limit");
    assert_eq!(limit.limit(), 1_000);
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::RateLimit),
        "0 admits nothing"
    );
}

/// L1: also where the application's column compares without regard to case.
#[tokio::test]
async fn a_digest_in_another_case_or_of_another_kind_is_no_digest() {
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
    store.migrate().await.unwrap();
    assert_eq!(damage(&store, 1).await, "key_hash");
    assert_eq!(cause(&store, 2, at(0)).await, None);
    assert_eq!(cause(&store, 3, at(0)).await, Some(Cause::UnknownKey));
}

#[tokio::test]
async fn the_application_sees_what_we_change() {
    let place = Place::new();
    place.row(1, "permissions", "'[\"read\"]'");
    let store = place.adopted().await;
    let id = "1000000000000001".parse().unwrap();
    suspend(&store, &id, at(1)).await.unwrap();
    assert!(!place.application_accepts(1), "a suspended key");
    resume(&store, &id, at(2)).await.unwrap();
    assert!(place.application_accepts(1), "a resumed one");

    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let rotated = rotate(&store, &id, &policy, None, &none, &mut SysRng, at(3))
        .await
        .unwrap();
    let text = rotated.key.expose();
    assert!(
        text.starts_with("dt_") && text.len() == 67,
        "a successor is spelled as the key was"
    );
    let (hash, prefix): (String, String) = place
        .application
        .query_row(
            "SELECT key_hash, key_prefix FROM api_keys ORDER BY id DESC",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let digest = keystile::Digest::sha256(text.as_bytes());
    assert_eq!(
        format!("sha256:{hash}"),
        digest.to_string(),
        "by what the application looks up"
    );
    assert_eq!(prefix, text[..10]);

    revoke(&store, &id, "replaced", at(4)).await.unwrap();
    assert!(!place.application_accepts(1), "a revoked key");
}

#[tokio::test]
async fn we_see_what_the_application_changes() {
    let place = Place::new();
    let store = place.adopted().await;
    place.row(
        1,
        "permissions, expires_at",
        "'[\"read\"]', '2099-01-01 00:00:00'",
    );
    place.row(2, "is_active", "FALSE");
    assert_eq!(
        cause(&store, 1, at(0)).await,
        None,
        "a key that it issues beside us"
    );
    assert_eq!(
        cause(&store, 2, at(0)).await,
        Some(Cause::Revoked),
        "one that it issues dead"
    );

    let first = answer(&store, 1, at(1)).await.unwrap().record.unwrap();
    assert_eq!(first.version, 1);
    let stale = keystile::suspend(&first, at(2)).unwrap();
    place
        .sql("UPDATE api_keys SET permissions = '[\"read\",\"write\"]' WHERE id = 1")
        .unwrap();
    let lost = store.commit(&keystile_store::Batch::of(&stale)).await;
    assert!(
        matches!(lost, Err(StoreError::Stale)),
        "its change is a version: {lost:?}"
    );
    let changed = answer(&store, 1, at(3)).await.unwrap().record.unwrap();
    assert!(changed.permissions.grants("write"));

    // Noting a last use is no change of the record, in whatever form it is written.
    place
        .sql("UPDATE api_keys SET last_used_at = '2026-06-21 13:00:00' WHERE id = 1")
        .unwrap();
    store.note_uses(&[(first.id, at(1))]).await.unwrap();
    let found = store.find(&Lookup::Id(first.id)).await.unwrap().unwrap();
    assert_eq!(
        found.last_used_at,
        Some(at(3_600_000)),
        "the later of the two"
    );
    assert_eq!(found.version, changed.version);

    let stale = keystile::suspend(&found, at(4)).unwrap();
    place
        .sql("UPDATE api_keys SET is_active = FALSE WHERE id = 1")
        .unwrap();
    assert_eq!(
        cause(&store, 1, at(5)).await,
        Some(Cause::Revoked),
        "it revokes by is_active"
    );
    let lost = store.commit(&keystile_store::Batch::of(&stale)).await;
    assert!(
        matches!(lost, Err(StoreError::Stale)),
        "which no stale change undoes: {lost:?}"
    );
    let events = store.events(Some(&first.id), 0, 9).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::Imported, EventKind::Revoked],
        "and leaves its event"
    );
}

/// P2, K10: whoever writes, and by whatever statement.
#[tokio::test]
async fn no_statement_brings_a_revoked_key_back() {
    let place = Place::new();
    place.row(1, "is_active", "TRUE");
    place.row(2, "is_active", "TRUE");
    let store = place.adopted().await;
    let [revoked, suspended] =
        ["1000000000000001", "1000000000000002"].map(|id| id.parse().unwrap());
    revoke(&store, &revoked, "leaked", at(0)).await.unwrap();
    suspend(&store, &suspended, at(0)).await.unwrap();
    for sql in [
        "UPDATE api_keys SET is_active = TRUE".to_owned(),
        "UPDATE api_keys SET is_active = TRUE, status = 'active' WHERE id = 1".to_owned(),
        "UPDATE api_keys SET status = 'active', is_active = 1, revoked_at = NULL,
             revoke_reason = NULL, version = version + 1 WHERE id = 1"
            .to_owned(),
        "UPDATE api_keys SET status = 'suspended', revoked_at = NULL, revoke_reason = NULL
             WHERE id = 1"
            .to_owned(),
        "UPDATE api_keys SET revoke_reason = 'none' WHERE id = 1".to_owned(),
        "UPDATE api_keys SET is_active = TRUE WHERE id = 2".to_owned(),
        "UPDATE api_keys SET version = 1".to_owned(),
        format!(
            "INSERT OR REPLACE INTO api_keys (key_hash, key_prefix, client_name)
             VALUES ('{}', 'dt_', 'A')",
            hash(1)
        ),
        "UPDATE api_keys SET status = 'expired' WHERE id = 2".to_owned(),
    ] {
        let refused = place.sql(&sql);
        assert!(refused.is_err(), "{sql}");
        assert_eq!(cause(&store, 1, at(1)).await, Some(Cause::Revoked), "{sql}");
        assert_eq!(
            cause(&store, 2, at(1)).await,
            Some(Cause::Suspended),
            "{sql}"
        );
    }
    let record = store.find(&Lookup::Id(revoked)).await.unwrap().unwrap();
    assert_eq!(
        record.status,
        Status::Revoked {
            at: at(0),
            reason: "leaked".into()
        }
    );
}

/// A migration is done whole or not at all.
#[tokio::test]
async fn a_table_that_cannot_be_adopted_is_left_as_it_was() {
    let without = |column: &str| {
        let lines = TABLE
            .lines()
            .filter(|line| !line.trim_start().starts_with(column));
        lines
            .take_while(|line| !line.starts_with("CREATE INDEX"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let table = TABLE.to_owned();
    let odd = "INSERT INTO api_keys (key_hash, key_prefix, client_name, is_active)
         VALUES ('00', 'dt_', 'A', 'maybe');";
    let taken = "CREATE TABLE api_key_events (id INTEGER);";
    for sql in [
        table.clone() + odd,
        table + taken,
        without("expires_at"),
        without("key_prefix"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let application = Connection::open(&path).unwrap();
        application.execute_batch(&sql).unwrap();
        let schema = || {
            let mut statement = application
                .prepare("SELECT sql FROM sqlite_schema")
                .unwrap();
            let rows = statement
                .query_map([], |row| row.get::<_, Option<String>>(0))
                .unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>()
        };
        let before = schema();
        let store = SqliteStore::open(&path).unwrap();
        let failed = store.migrate().await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable(_))),
            "{failed:?}"
        );
        assert_eq!(schema(), before);
    }
}

/// The files are plain SQL, and note for themselves that they were run.
#[tokio::test]
async fn another_program_may_run_the_files() {
    let place = Place::new();
    place.row(1, "is_active", "TRUE");
    for sql in [
        include_str!("../migrations/sqlite/0001_tables.sql"),
        include_str!("../migrations/sqlite/0002_guards.sql"),
    ] {
        place.application.execute_batch(sql).unwrap();
    }
    let store = place.open();
    assert_eq!(store.migrate().await.unwrap(), 0, "nothing is left to do");
    assert_eq!(cause(&store, 1, at(0)).await, None);

    place
        .sql("INSERT INTO keystile_migrations (version, name) VALUES (9, 'later')")
        .unwrap();
    let Err(StoreError::Unavailable(reason)) = store.migrate().await else {
        panic!("tables of a later version are not for this program")
    };
    assert_eq!(
        reason.to_string(),
        "the tables are of version 9, and this program knows them up to 2",
    );
}
