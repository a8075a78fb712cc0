//! Creates and updates the tables, one numbered file after the other.

use deadpool_postgres::{Client, GenericClient};

use super::fault::{Fault, Reason};
use crate::error::StoreError;
use crate::tables::Tables;

/// The files in `migrations/postgres` with their names, in order. Each records its number in
/// `keystile_migrations`, so that it does not matter which program ran it.
pub(super) const MIGRATIONS: [(&str, &str); 3] = [
    (
        "0001_tables",
        include_str!("../../migrations/postgres/0001_tables.sql"),
    ),
    (
        "0002_guards",
        include_str!("../../migrations/postgres/0002_guards.sql"),
    ),
    (
        "0003_changes",
        include_str!("../../migrations/postgres/0003_changes.sql"),
    ),
];

/// Runs the files that are missing, in one transaction, and returns their number. A table `api_keys` that is not
/// keystile's is an error, and is not changed.
pub(super) async fn run(client: &mut Client) -> Result<usize, Fault> {
    // Also before the lock, which an adoption holds until its end.
    tables(client).await?.require_own()?;
    let transaction = client.transaction().await?;
    // Prevents two programs that start together from running the same files. The first number
    // is "kstm" in ASCII; the second is the schema, since one database may hold many.
    let lock = "SET LOCAL statement_timeout = 0; \
         SELECT pg_advisory_xact_lock(1802728557, hashtext(current_schema()))";
    transaction.batch_execute(lock).await?;
    tables(&transaction).await?.require_own()?;
    let done = usize::try_from(version(&transaction).await?).unwrap_or(usize::MAX);
    let missing = MIGRATIONS.get(done..).unwrap_or_default();
    for (_, file) in missing {
        transaction.batch_execute(file).await?;
    }
    transaction.commit().await?;
    Ok(missing.len())
}

/// What the first schema of `search_path` holds. Tables of a later version are an error.
pub(super) async fn tables(client: &impl GenericClient) -> Result<Tables, Fault> {
    // First the names, then the version: if another program creates the tables in between, they
    // do not appear to be without one. What belongs to an extension is no table of anyone.
    let sql = "SELECT c.relname::text FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                AND d.objid = c.oid AND d.deptype = 'e')
        ORDER BY c.relname NOT IN ('api_keys', 'keystile_migrations') LIMIT 2";
    let rows = client.query(sql, &[]).await?;
    let found = version(client).await?;
    let known = MIGRATIONS.len();
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    if done > known {
        return Err(StoreError::from(Reason::TooNew { found, known }).into());
    }
    if done == known {
        return Ok(Tables::Current);
    }
    if done > 0 {
        return Ok(Tables::Old);
    }
    let has = |name: &str| {
        rows.iter()
            .any(|row| row.try_get::<_, &str>(0).is_ok_and(|found| found == name))
    };
    Ok(if has("api_keys") {
        // An adoption creates the other table in its first step, and fills it in its last.
        match has("keystile_migrations") {
            true => Tables::HalfAdopted,
            false => Tables::NotAdopted,
        }
    } else if rows.is_empty() {
        Tables::Empty
    } else {
        Tables::Others
    })
}

/// The number of the last file that ran, or 0 if none did.
pub(super) async fn version(client: &impl GenericClient) -> Result<i32, Fault> {
    let table = "SELECT to_regclass('keystile_migrations') IS NOT NULL";
    if !client.query_one(table, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let last = "SELECT coalesce(max(version), 0) FROM keystile_migrations";
    Ok(client.query_one(last, &[]).await?.try_get(0)?)
}
