//! Adopts an application's table, in short transactions.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::adoption::{
    IS_ACTIVE, IS_LONG, KEY_ID, NOW, OPTIONAL, as_adopted, columns, metadata, problems, read,
};
use super::connection::{self, Connections, Writing, pause};
use super::migration::{self, MIGRATIONS};
use crate::adoption::{
    AdoptionPlan, AdoptionProgress, AdoptionStep, MetadataEndpoints, Planned, list_indexes,
    without_list_indexes,
};
use crate::error::{StoreError, UnavailableKind};
use crate::sqlite::fault::unavailable;
use crate::tables::Tables;

const BEGIN: &str = include_str!("adoption/begin.sql");

/// The rows that are adopted in one transaction: no other program can write meanwhile.
const BATCH_ROWS: u32 = 500;

/// Tries of a step while another program keeps the file locked; each waits for five seconds.
const TRIES_MAX: u32 = 12;

/// The longest wait after an index. SQLite's own wait for a locked file looks for it at least ten
/// times a second.
const AFTER_INDEX_MAX: Duration = Duration::from_millis(250);

/// Each step is a call of its own, so that the caller can stop between two.
pub(super) async fn run(
    connections: &Arc<Connections>,
    plan: &AdoptionPlan,
    mut report: impl FnMut(AdoptionProgress) + Send,
) -> Result<u64, StoreError> {
    plan.require_accepted()?;
    let mut rows = 0_u64;
    let mut at = |step, rows| {
        report(AdoptionProgress {
            step,
            rows,
            total: plan.rows,
        });
    };
    at(AdoptionStep::Tables, rows);
    let planned = plan.planned();
    let tables = connections.read(migration::tables).await?;
    planned.require_tables(tables)?;
    if tables.require_own().is_ok() {
        connections.write(Writing::Durable, migration::run).await?;
        return Ok(0);
    }
    let work = move |connection: &mut Connection| begin(connection, planned);
    step(connections, &mut at, rows, work).await?;
    let mut after = Some(i64::MIN);
    while let Some(last) = after {
        let work = move |connection: &mut Connection| batch(connection, last, planned);
        let (adopted, next) = step(connections, &mut at, rows, work).await?;
        rows = rows.saturating_add(adopted);
        after = next;
        at(AdoptionStep::Rows, rows);
        pause().await?;
    }
    at(AdoptionStep::Indexes, rows);
    for (name, columns) in indexes() {
        let work = move |connection: &mut Connection| index(connection, name, columns);
        let begun = Instant::now();
        step(connections, &mut at, rows, work).await?;
        // Others may have waited for the file during all of it, and look for it only now and then.
        let wait = begun.elapsed().min(AFTER_INDEX_MAX);
        connection::off_thread(move || {
            std::thread::sleep(wait);
            Ok(())
        })
        .await?;
    }
    step(connections, &mut at, rows, finish).await?;
    Ok(rows)
}

/// Runs a step, again if another program keeps the file locked.
async fn step<T: Send + 'static>(
    connections: &Arc<Connections>,
    at: &mut (impl FnMut(AdoptionStep, u64) + Send),
    rows: u64,
    work: impl Fn(&mut Connection) -> Result<T, StoreError> + Copy + Send + 'static,
) -> Result<T, StoreError> {
    let mut tries = 1_u32;
    loop {
        let done = connections.write(Writing::Durable, work).await;
        match done {
            Err(error)
                if error.unavailable_kind() == Some(UnavailableKind::Locked)
                    && tries < TRIES_MAX =>
            {
                tries = tries.saturating_add(1);
                at(AdoptionStep::Waiting, rows);
            }
            done => return done,
        }
    }
}

/// Creates everything but the rows. From then on, triggers adopt what other code inserts.
fn begin(connection: &mut Connection, planned: Planned) -> Result<(), StoreError> {
    connection::use_wal(connection)?;
    let transaction = immediate(connection)?;
    let tables = migration::tables(&transaction)?;
    planned.require_tables(tables)?;
    let endpoints = planned.options.metadata_endpoints;
    if tables == Tables::HalfAdopted {
        metadata::keep(&transaction, endpoints)?;
        return transaction.commit().map_err(unavailable);
    }
    if tables != Tables::NotAdopted {
        return Ok(());
    }
    let there = columns(&transaction)?;
    Planned::require_no_problem(&problems(&transaction, &there)?)?;
    let mut sql = String::new();
    for (name, kind) in OPTIONAL.iter().filter(|(name, _)| !there.contains(*name)) {
        sql.push_str(&format!("ALTER TABLE api_keys ADD COLUMN {name} {kind};\n"));
    }
    sql.push_str(BEGIN);
    for (_, file) in MIGRATIONS.iter().skip(1) {
        sql.push_str(without_list_indexes(file));
    }
    // Without a version, no program takes the table for a store.
    sql.push_str("DELETE FROM keystile_migrations;");
    transaction.execute_batch(&sql).map_err(unavailable)?;
    metadata::keep(&transaction, endpoints)?;
    transaction.commit().map_err(unavailable)
}

/// Adopts the next rows after this one. Returns their number, and the last of them unless there
/// are no more. The rows are read again, since the plan may have read them before they were
/// changed or inserted.
fn batch(
    connection: &mut Connection,
    after: i64,
    planned: Planned,
) -> Result<(u64, Option<i64>), StoreError> {
    let transaction = immediate(connection)?;
    let sql = "SELECT count(*), max(rowid) FROM (SELECT rowid FROM api_keys
         WHERE key_id IS NULL AND rowid > ?1 ORDER BY rowid LIMIT ?2)";
    let (count, last) = transaction
        .query_row(sql, params![after, BATCH_ROWS], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
        })
        .map_err(unavailable)?;
    let Some(last) = last else {
        return Ok((0, None));
    };
    let in_batch = "key_id IS NULL AND rowid > ?1 AND rowid <= ?2";
    require_accepted(&transaction, planned, after, last)?;
    if planned.options.metadata_endpoints == MetadataEndpoints::Enforce {
        let (rules, name) = (
            metadata::rules("metadata"),
            metadata::scope_type("metadata"),
        );
        let sql = format!(
            "UPDATE api_keys SET allowed_endpoints = {rules}, scope_type = {name}
             WHERE {in_batch}"
        );
        transaction
            .execute(&sql, params![after, last])
            .map_err(unavailable)?;
    }
    // As the UPDATE in 0001_tables.sql, which has the reasons.
    let statements = [
        format!(
            "UPDATE api_keys SET lineage = '1' || substr(hex(randomblob(8)), 1, 15)
             WHERE {in_batch} AND lineage IS NULL AND {IS_LONG}"
        ),
        format!(
            "INSERT INTO api_key_usage (lineage) SELECT {KEY_ID} FROM api_keys WHERE {in_batch}"
        ),
        format!(
            "INSERT INTO api_key_events (kind, key_id, at)
             SELECT 'imported', {KEY_ID}, {NOW} FROM api_keys WHERE {in_batch} ORDER BY rowid"
        ),
        format!(
            "UPDATE api_keys SET
                 key_id = {KEY_ID},
                 lineage = {KEY_ID},
                 created_at = coalesce(created_at, {NOW}),
                 is_active = {IS_ACTIVE},
                 status = CASE {IS_ACTIVE} WHEN 0 THEN 'revoked' ELSE 'active' END,
                 revoked_at = CASE {IS_ACTIVE} WHEN 0 THEN {NOW} END,
                 revoke_reason = CASE {IS_ACTIVE} WHEN 0 THEN 'inactive when it was adopted' END,
                 rate_limit = coalesce(rate_limit, 1000),
                 rate_window_ms = 3600000
             WHERE {in_batch}"
        ),
    ];
    for sql in statements {
        transaction
            .execute(&sql, params![after, last])
            .map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)?;
    Ok((u64::try_from(count).unwrap_or(0), Some(last)))
}

/// An error if one of these rows has a finding that the plan does not accept. No other program
/// can change them until the end of the transaction.
fn require_accepted(
    transaction: &Transaction<'_>,
    planned: Planned,
    after: i64,
    last: i64,
) -> Result<(), StoreError> {
    let sql = format!(
        "{} WHERE key_id IS NULL AND rowid > ?1 AND rowid <= ?2 ORDER BY rowid",
        as_adopted(&[], planned.options)
    );
    let mut statement = transaction.prepare_cached(&sql).map_err(unavailable)?;
    let mut rows = statement.query(params![after, last]).map_err(unavailable)?;
    let mut found = planned.rows();
    while let Some(row) = rows.next().map_err(unavailable)? {
        let (facts, record) = read(row)?;
        found.note(facts, record)?;
    }
    found.require_accepted_rows()
}

/// The indexes that are built after the rows: each holds the file for a moment only.
fn indexes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let client = ("idx_api_keys_client", "ON api_keys (client_name)");
    let lists = MIGRATIONS.iter().flat_map(|(_, file)| list_indexes(file));
    [client].into_iter().chain(lists)
}

fn index(connection: &mut Connection, name: &str, columns: &str) -> Result<(), StoreError> {
    let sql = format!("CREATE INDEX IF NOT EXISTS {name} {columns}");
    connection.execute_batch(&sql).map_err(unavailable)
}

/// Records the version, so that the table is a store.
fn finish(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = immediate(connection)?;
    if migration::tables(&transaction)? != Tables::HalfAdopted {
        return Ok(());
    }
    let sql = "INSERT INTO keystile_migrations (version, name) VALUES (?1, ?2)";
    for ((name, _), number) in MIGRATIONS.iter().zip(1_i64..) {
        transaction
            .execute(sql, params![number, name])
            .map_err(unavailable)?;
    }
    transaction.commit().map_err(unavailable)
}

fn immediate(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)?;
    // A lineage may be set before its usage.
    transaction
        .pragma_update(None, "defer_foreign_keys", true)
        .map_err(unavailable)?;
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        connection::create(&path).unwrap();
        let connections = Arc::new(Connections::open(&path).unwrap());
        let mut waits = 0;
        let mut at = |_, _| waits += 1;
        let stale = step(&connections, &mut at, 0, |_| {
            Err::<(), _>(StoreError::Stale)
        })
        .await;
        assert!(matches!(stale, Err(StoreError::Stale)));
        assert_eq!(waits, 0);

        let mut at = |_, _| waits += 1;
        let locked = |_: &mut Connection| {
            let kind = UnavailableKind::Locked;
            Err::<(), _>(StoreError::unavailable_because(kind, core::fmt::Error))
        };
        let locked = step(&connections, &mut at, 0, locked).await;
        let kind = locked.err().and_then(|error| error.unavailable_kind());
        assert_eq!(kind, Some(UnavailableKind::Locked));
        assert_eq!(waits, TRIES_MAX - 1);
    }
}
