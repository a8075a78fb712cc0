//! Updates the tables, one numbered file after the other.

use deadpool_postgres::{Client, GenericClient};

use super::fault::{Fault, Reason};
use crate::error::StoreError;

/// The files in `migrations/postgres`, in order. Each records its number in
/// `keystile_migrations`, so that it does not matter which program ran it.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/postgres/0001_tables.sql"),
    include_str!("../../migrations/postgres/0002_guards.sql"),
    include_str!("../../migrations/postgres/0003_changes.sql"),
];

/// Runs the files that are missing and returns their number.
pub(super) async fn run(client: &mut Client) -> Result<usize, Fault> {
    let mut count = 0_usize;
    loop {
        let transaction = client.transaction().await?;
        // Prevents two programs that start together from running the same file. The first
        // number is "kstm" in ASCII; the second is the schema, since one database may hold
        // many.
        let lock = "SET LOCAL statement_timeout = 0; \
             SELECT pg_advisory_xact_lock(1802728557, hashtext(current_schema()))";
        transaction.batch_execute(lock).await?;
        let done = version(&transaction).await?;
        let Some(next) = missing(done)? else {
            return Ok(count);
        };
        transaction.batch_execute(next).await?;
        transaction.commit().await?;
        count = count.saturating_add(1);
    }
}

/// Fails if the tables are missing, or of another version than this program's.
pub(super) async fn check(client: &Client) -> Result<(), Fault> {
    match missing(version(client).await?)? {
        None => Ok(()),
        Some(_) => Err(StoreError::from(Reason::NoTables).into()),
    }
}

/// The file after the last one that was run.
fn missing(done: i32) -> Result<Option<&'static str>, Fault> {
    let known = MIGRATIONS.len();
    let done_count = usize::try_from(done).unwrap_or(usize::MAX);
    if done_count > known {
        return Err(StoreError::from(Reason::TooNew { found: done, known }).into());
    }
    Ok(MIGRATIONS.get(done_count).copied())
}

/// The number of the last file that ran, or 0 if none did.
async fn version(client: &impl GenericClient) -> Result<i32, Fault> {
    let table = "SELECT to_regclass('keystile_migrations') IS NOT NULL";
    if !client.query_one(table, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM keystile_migrations";
    Ok(client.query_one(last, &[]).await?.try_get(0)?)
}
