//! Bringing the tables up to date, one numbered file after the other.

use deadpool_postgres::{Client, GenericClient};

use super::fault::{Fault, Reason};
use crate::error::StoreError;

/// The files in `migrations/postgres`, in their order. Each notes its own number in
/// `keystile_migrations`, so that it does not matter which program ran it.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/postgres/0001_tables.sql"),
    include_str!("../../migrations/postgres/0002_guards.sql"),
];

/// Runs what is missing and answers how many files that were.
pub(super) async fn run(client: &mut Client) -> Result<usize, Fault> {
    let mut count = 0_usize;
    loop {
        let transaction = client.transaction().await?;
        // Two programs that start together do not both find it missing. The number is
        // "kstm" in ASCII; with it the schema, since one database may hold many.
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

/// Fails where the tables are not there, or not those that this program knows.
pub(super) async fn look(client: &Client) -> Result<(), Fault> {
    match missing(version(client).await?)? {
        None => Ok(()),
        Some(_) => Err(StoreError::unavailable(Reason::NoTables).into()),
    }
}

/// The file after the last one that was run.
fn missing(done: i32) -> Result<Option<&'static str>, Fault> {
    let known = MIGRATIONS.len();
    let place = usize::try_from(done).unwrap_or(usize::MAX);
    if place > known {
        return Err(StoreError::unavailable(Reason::TooNew { found: done, known }).into());
    }
    Ok(MIGRATIONS.get(place).copied())
}

/// The number of the last file that was run, 0 where none was.
async fn version(client: &impl GenericClient) -> Result<i32, Fault> {
    let table = "SELECT to_regclass('keystile_migrations') IS NOT NULL";
    if !client.query_one(table, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM keystile_migrations";
    Ok(client.query_one(last, &[]).await?.try_get(0)?)
}
