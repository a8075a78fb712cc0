//! An application's database before keystile's migrations, and the keys in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    dead_code,
    reason = "a fixture of two tests"
)]

use keystile::{Cause, Decision, KeyFormat, Request, UnixMillis, Verifier};
use keystile_store::{AdoptOptions, Checked, SqliteStore, StoreError, check};
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// The columns of the example; `SERIAL` and `NOW()` are PostgreSQL's.
pub(crate) const TABLE: &str = "CREATE TABLE api_keys (
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

/// `printf %s dt_000…n | sha256sum`, as other programs compute it.
pub(crate) const HASHES: [&str; 3] = [
    "83fe8783f067db57fab1aabfdce816eb9899185ecf2ef175165fed0ff4d60ed4",
    "8a487dd5260a34602e95b14c5c00bada1ec38aee58e1d479a09dc0c079b96179",
    "d498972e7cfd65d8ffde20695371596a3e8fc43047d113df0e18d0d0c377d4a2",
];

/// An application's database, and a store on the same file.
pub(crate) struct AppDatabase {
    pub(crate) folder: TempDir,
    pub(crate) application: Connection,
}

impl AppDatabase {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let application = Connection::open(folder.path().join("app.db")).unwrap();
        application.execute_batch(TABLE).unwrap();
        Self {
            folder,
            application,
        }
    }

    /// Inserts a row as the application does: the key's number, and the rest in SQL.
    pub(crate) fn row(&self, number: usize, columns: &str, values: &str) {
        let sql = format!(
            "INSERT INTO api_keys (key_hash, key_prefix, client_name, {columns})
             VALUES (?1, ?2, 'Acme Ltd', {values})"
        );
        let values = params![hash(number), &key(number)[..10]];
        self.application.execute(&sql, values).unwrap();
    }

    pub(crate) fn sql(&self, sql: &str) -> rusqlite::Result<usize> {
        self.application.execute(sql, [])
    }

    pub(crate) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.folder.path().join("app.db")).unwrap()
    }

    pub(crate) async fn adopted(&self) -> SqliteStore {
        let store = self.open();
        adopt(&store).await.expect("the table is adopted");
        store
    }

    /// Whether the application accepts the key.
    pub(crate) fn application_accepts(&self, number: usize) -> bool {
        let sql = "SELECT is_active FROM api_keys WHERE key_hash = ?1";
        self.application
            .query_row(sql, [hash(number)], |row| row.get(0))
            .unwrap()
    }
}

/// Adopts the table, also if rows cannot be read.
pub(crate) async fn adopt(store: &SqliteStore) -> Result<u64, StoreError> {
    let mut options = AdoptOptions::default();
    options.accept_unreadable = true;
    let plan = store.plan_adoption(options, at(0)).await?;
    store.adopt(&plan, |_| ()).await
}

pub(crate) fn key(number: usize) -> String {
    format!("dt_{number:064x}")
}

pub(crate) fn hash(number: usize) -> String {
    match HASHES.get(number.wrapping_sub(1)) {
        Some(hash) => (*hash).to_owned(),
        None => {
            let digest = keystile::Digest::sha256(key(number).as_bytes()).to_string();
            digest.strip_prefix("sha256:").unwrap().to_owned()
        }
    }
}

/// 2026-06-21, noon.
pub(crate) const NOON: u64 = 1_782_043_200_000;

pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(NOON + millis).unwrap()
}

pub(crate) async fn answer(
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

pub(crate) async fn cause(store: &SqliteStore, number: usize, now: UnixMillis) -> Option<Cause> {
    let checked = answer(store, number, now)
        .await
        .expect("a check does not fail");
    checked.decision.denial().map(|denial| denial.cause())
}

/// The column that is named with the denial of a key whose row is damaged.
pub(crate) async fn damage(store: &SqliteStore, number: usize) -> &'static str {
    match answer(store, number, at(0)).await {
        Ok(Checked {
            decision: Decision::Deny(denial),
            damage: Some(damage),
            ..
        }) if denial.cause() == Cause::RecordDamaged => damage.column,
        other => panic!("expected a denial of the damaged row: {other:?}"),
    }
}
