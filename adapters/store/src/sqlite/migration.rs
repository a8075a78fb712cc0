//! Creates and updates the tables, one numbered file after the other.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::connection;
use crate::error::{StoreError, UnavailableKind};
use crate::sqlite::fault::unavailable;
use crate::tables::Tables;

/// The files in `migrations/sqlite` with their names, in order. Each records its number in
/// `keystile_migrations`, so that it does not matter which program ran it.
pub(super) const MIGRATIONS: [(&str, &str); 3] = [
    (
        "0001_tables",
        include_str!("../../migrations/sqlite/0001_tables.sql"),
    ),
    (
        "0002_guards",
        include_str!("../../migrations/sqlite/0002_guards.sql"),
    ),
    (
        "0003_changes",
        include_str!("../../migrations/sqlite/0003_changes.sql"),
    ),
];

/// The tables are newer than this program.
#[derive(Debug, thiserror::Error)]
#[error("the tables are of version {found}, and this program knows them up to {known}")]
struct TooNew {
    found: u32,
    known: usize,
}

/// Runs the files that are missing, in one transaction, and returns their number. A table `api_keys` that is not
/// keystile's is an error, and is not changed.
pub(super) fn run(connection: &mut Connection) -> Result<usize, StoreError> {
    let before = tables(connection)?;
    before.require_own()?;
    if before != Tables::Current {
        connection::use_wal(connection)?;
    }
    // An immediate transaction prevents two programs that start together from running the same
    // files.
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    tables(&transaction)?.require_own()?;
    let done = usize::try_from(version(&transaction)?).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.get(done..).unwrap_or_default();
    for (_, file) in missing {
        transaction.execute_batch(file).map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)?;
    Ok(missing.len())
}

/// Fails if this is not a store, or one that this program does not know.
pub(super) fn require(connection: &Connection) -> Result<(), StoreError> {
    match tables(connection)? {
        Tables::Old => Ok(()),
        tables => tables.require(),
    }
}

/// What the file holds. Tables of a later version are an error.
pub(super) fn tables(connection: &Connection) -> Result<Tables, StoreError> {
    let has = |condition: &str| {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE {condition})");
        let found = connection.query_row(&sql, [], |row| row.get::<_, bool>(0));
        found.map_err(unavailable)
    };
    // First the names, then the version: if another program creates the tables in between, they
    // do not appear to be without one.
    let has_keys = has("type IN ('table', 'view') AND name = 'api_keys' COLLATE NOCASE")?;
    let has_migrations = has("type = 'table' AND name = 'keystile_migrations'")?;
    let has_any = has("name NOT LIKE 'sqlite!_%' ESCAPE '!'")?;
    let version = version(connection)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let known = MIGRATIONS.len();
    if done > known {
        let too_new = TooNew {
            found: version,
            known,
        };
        return Err(StoreError::unavailable_because(
            UnavailableKind::TooNew,
            too_new,
        ));
    }
    Ok(match (done, has_keys, has_any) {
        (done, ..) if done == known => Tables::Current,
        (1.., ..) => Tables::Old,
        // An adoption creates the other table in its first step, and fills it in its last.
        (0, true, _) if has_migrations => Tables::HalfAdopted,
        (0, true, _) => Tables::NotAdopted,
        (0, false, true) => Tables::Others,
        (0, false, false) => Tables::Empty,
    })
}

/// The number of the last file that ran, or 0 if none did.
pub(super) fn version(connection: &Connection) -> Result<u32, StoreError> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keystile_migrations'";
    let exists = connection.query_row(table, [], |_| Ok(())).optional();
    if exists.map_err(unavailable)?.is_none() {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM keystile_migrations";
    connection
        .query_row(last, [], |row| row.get(0))
        .map_err(unavailable)
}
