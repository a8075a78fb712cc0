//! Updates the tables, one numbered file after the other.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::{StoreError, UnavailableKind};
use crate::sqlite::fault::unavailable;

/// The files in `migrations/sqlite`, in order. Each records its number in
/// `keystile_migrations`, so that it does not matter which program ran it.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/sqlite/0001_tables.sql"),
    include_str!("../../migrations/sqlite/0002_guards.sql"),
    include_str!("../../migrations/sqlite/0003_changes.sql"),
];

/// The tables are newer than this program.
#[derive(Debug, thiserror::Error)]
#[error("the tables are of version {found}, and this program knows them up to {known}")]
struct TooNew {
    found: u32,
    known: usize,
}

/// The database is not a store.
#[derive(Debug, thiserror::Error)]
#[error("the database has no tables of keystile")]
struct NoTables;

/// Runs the files that are missing and returns their number.
pub(super) fn run(connection: &mut Connection) -> Result<usize, StoreError> {
    let mut count = 0_usize;
    loop {
        // An immediate transaction prevents two programs that start together from running
        // the same file.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(unavailable)?;
        let done = version(&transaction)?;
        let known = MIGRATIONS.len();
        let done_count = usize::try_from(done).unwrap_or(usize::MAX);
        if done_count > known {
            return Err(too_new(done));
        }
        let Some(next) = MIGRATIONS.get(done_count) else {
            return Ok(count);
        };
        transaction.execute_batch(next).map_err(unavailable)?;
        transaction.commit().map_err(unavailable)?;
        count = count.saturating_add(1);
    }
}

/// Fails if this is not a store, or one that this program does not know.
pub(super) fn require(connection: &Connection) -> Result<(), StoreError> {
    let done = version(connection)?;
    if usize::try_from(done).unwrap_or(usize::MAX) > MIGRATIONS.len() {
        return Err(too_new(done));
    }
    if done == 0 {
        return Err(StoreError::unavailable_because(
            UnavailableKind::NoTables,
            NoTables,
        ));
    }
    Ok(())
}

fn too_new(found: u32) -> StoreError {
    let known = MIGRATIONS.len();
    StoreError::unavailable_because(UnavailableKind::TooNew, TooNew { found, known })
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
