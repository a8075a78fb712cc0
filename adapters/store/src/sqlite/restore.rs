//! Puts a backup in the place of a store that processes may be using.
//!
//! To these processes a restore is a change like any other: each key that is not as it was
//! has a version that no one has seen, and an event whose number comes after all others. So
//! no memory of any process can be ahead of the store.

use std::path::Path;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};

use super::backup::{check, copy_all, count, open, step};
use super::connection::{self, reader};
use super::fault::unavailable;
use super::migration;
use crate::error::StoreError;

/// Attempts before it fails because others change the store at the same time.
const TRIES_MAX: u32 = 16;

/// What a restore does with what the present store knows and the backup does not.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("keystile.db");
/// use keystile_store::{RestoreOptions, SqliteStore};
///
/// let store = SqliteStore::open(&path)?;
/// store.migrate().await?;
/// let backup = folder.path().join("backup.db");
/// store.backup(&backup, |_| {}).await?;
///
/// let mut options = RestoreOptions::new();
/// options.dry_run = true;
/// let restored = SqliteStore::restore(&path, &backup, options).await?;
/// assert_eq!((restored.keys, restored.lost), (0, 0));
/// // What is no backup is refused, and the store stays as it was.
/// let missing = folder.path().join("missing.db");
/// assert!(SqliteStore::restore(&path, &missing, options).await.is_err());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Revives keys that were revoked after the backup. By default they stay revoked.
    pub forget_revocations: bool,
    /// Changes nothing, and only counts.
    pub dry_run: bool,
}

impl RestoreOptions {
    /// Revocations are carried over.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// What a restore changed.
///
/// ```
/// use keystile_store::Restored;
///
/// let nothing = Restored::default();
/// assert_eq!((nothing.changed, nothing.revocations_carried), (0, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Keys in the store now.
    pub keys: u64,
    /// Keys that were revoked after the backup, and stay revoked.
    pub revocations_carried: u64,
    /// Keys that were revoked after the backup, and are not any more.
    pub revocations_forgotten: u64,
    /// Other keys that are as they were in the backup again.
    pub changed: u64,
    /// Keys that were issued after the backup, and are lost.
    pub lost: u64,
}

/// Replaces the contents of the store at `path` by those of the backup.
pub(super) fn run(
    path: &Path,
    backup: &Path,
    options: RestoreOptions,
) -> Result<Restored, StoreError> {
    let backup = open_backup(backup)?;
    for _ in 0..TRIES_MAX {
        if let Some(restored) = attempt(path, &backup, options)? {
            return Ok(restored);
        }
    }
    Err(StoreError::Stale)
}

/// `None` if another program changed the store in the meantime.
fn attempt(
    path: &Path,
    backup: &Connection,
    options: RestoreOptions,
) -> Result<Option<Restored>, StoreError> {
    // A temporary file, which only this process can see.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut merged = Connection::open_with_flags("", flags).map_err(unavailable)?;
    copy_all(backup, &mut merged, |_| {})?;
    check(&merged)?;
    migration::run(&mut merged)?;

    if !path.exists() && options.dry_run {
        return only(&merged).map(Some);
    }
    connection::create(path)?;
    let mut present = open(path)?;
    if migration::version(&present)? == 0 {
        // It has no keys: there is nothing to carry over. A restore replaces the whole file, so
        // it must not have anything else either.
        let entries: i64 = present
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .map_err(unavailable)?;
        if entries > 0 {
            return Err(StoreError::unavailable(NotAStore));
        }
        if !options.dry_run {
            copy_all(&merged, &mut present, |_| {})?;
        }
        return only(&merged).map(Some);
    }
    connection::use_wal(&present)?;
    if !options.dry_run {
        migration::run(&mut present)?;
    }
    let watch = reader(path)?;
    let before = data_version(&watch)?;
    let restored = merge(&mut merged, path, options)?;
    if options.dry_run {
        return Ok(Some(restored));
    }
    let replacing = Backup::new(&merged, &mut present).map_err(unavailable)?;
    // The first page takes the lock for writing. Readers go on, and see the old contents.
    let is_done = step(&replacing, 1)?;
    if data_version(&watch)? != before {
        return Ok(None);
    }
    if !is_done {
        step(&replacing, -1)?;
    }
    Ok(Some(restored))
}

fn open_backup(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = Path::new(".").join(path);
    let backup = Connection::open_with_flags(path, flags).map_err(unavailable)?;
    migration::require(&backup)?;
    Ok(backup)
}

/// Changes when another connection has committed.
fn data_version(watch: &Connection) -> Result<i64, StoreError> {
    watch
        .pragma_query_value(None, "data_version", |row| row.get(0))
        .map_err(unavailable)
}

/// Brings into `merged` what has to survive of the store at `present`.
fn merge(
    merged: &mut Connection,
    present: &Path,
    options: RestoreOptions,
) -> Result<Restored, StoreError> {
    let present = Path::new(".").join(present);
    let Some(present) = present.to_str() else {
        return Err(StoreError::unavailable(NotUtf8));
    };
    merged
        .execute("ATTACH DATABASE ?1 AS present", [present])
        .map_err(unavailable)?;
    let result = merge_attached(merged, options);
    merged
        .execute("DETACH DATABASE present", [])
        .map_err(unavailable)?;
    result
}

fn merge_attached(
    merged: &mut Connection,
    options: RestoreOptions,
) -> Result<Restored, StoreError> {
    let is_different = is_different(merged)?;
    let columns = shared_columns(merged, "api_key_events", &[])?.join(", ");
    let transaction = merged.transaction().map_err(unavailable)?;
    let guards = take_guards(&transaction)?;
    let run = |sql: &str| -> Result<u64, StoreError> {
        let changed = transaction.execute(sql, []).map_err(unavailable)?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    };
    // The history goes on: what happened after the backup did happen.
    run(&format!(
        "INSERT INTO main.api_key_events ({columns}) \
         SELECT {columns} FROM present.api_key_events \
         WHERE number > (SELECT coalesce(max(number), 0) FROM main.api_key_events)"
    ))?;
    raise_sequences(&transaction)?;

    // The versions of each key that a process may have read of.
    run("CREATE TEMP TABLE seen (key_id TEXT, version INTEGER)")?;
    run("INSERT INTO temp.seen SELECT key_id, version FROM present.api_keys")?;
    // Its own events are those of the present store by now.
    run("INSERT INTO temp.seen SELECT key_id, version FROM main.api_key_events")?;
    run("CREATE TEMP TABLE ended (key_id TEXT PRIMARY KEY, at TEXT, reason TEXT)")?;
    // A row that was deleted has left an event.
    run("INSERT OR IGNORE INTO temp.ended \
         SELECT key_id, revoked_at, revoke_reason FROM present.api_keys WHERE status = 'revoked'")?;
    run(
        "INSERT OR IGNORE INTO temp.ended SELECT key_id, at, reason \
         FROM present.api_key_events WHERE kind IN ('revoked', 'deleted') ORDER BY number",
    )?;
    // Not every change has an event of its own, and events can be pruned. A key that an earlier
    // restore lost was not deleted by anyone.
    if remembers_deleted(&transaction)? {
        run(
            "INSERT OR IGNORE INTO temp.ended SELECT key_id, revoked_at, revoke_reason \
             FROM present.api_key_deleted WHERE revoked_at IS NOT NULL OR NOT lost",
        )?;
        run("INSERT OR IGNORE INTO temp.ended \
             SELECT m.key_id, r.revoked_at, r.revoke_reason FROM main.api_keys m \
             JOIN present.api_key_revoked_digests r ON r.key_hash = m.key_hash")?;
        run("INSERT INTO temp.seen SELECT key_id, version FROM present.api_key_deleted")?;
    }
    run(
        "DELETE FROM temp.ended WHERE key_id IS NULL OR key_id NOT IN \
         (SELECT key_id FROM main.api_keys WHERE status <> 'revoked')",
    )?;
    let mut restored = Restored::default();
    if options.forget_revocations {
        restored.revocations_forgotten = run("DELETE FROM temp.ended")?;
    }

    run("CREATE TEMP TABLE touched (key_id TEXT PRIMARY KEY, kind TEXT, reason TEXT)")?;
    restored.revocations_carried = run("INSERT INTO temp.touched \
         SELECT key_id, 'revoked', reason FROM temp.ended")?;
    let changed = run(&format!(
        "INSERT OR IGNORE INTO temp.touched \
         SELECT m.key_id, 'imported', 'it is as it was in a backup' FROM main.api_keys m \
         LEFT JOIN present.api_keys p ON p.key_id = m.key_id \
         WHERE p.key_id IS NULL OR {is_different}"
    ))?;
    restored.changed = changed.saturating_sub(restored.revocations_forgotten);
    restored.lost = run("INSERT OR IGNORE INTO temp.touched \
         SELECT key_id, 'expired', 'it is not in the backup that was restored' \
         FROM present.api_keys WHERE key_id IS NOT NULL \
         AND key_id NOT IN (SELECT key_id FROM main.api_keys)")?;

    run(
        "UPDATE main.api_keys SET version = p.version FROM present.api_keys p \
         WHERE p.key_id = api_keys.key_id AND p.version > api_keys.version \
         AND p.key_id NOT IN (SELECT key_id FROM temp.touched)",
    )?;
    run("CREATE INDEX temp.seen_key ON seen (key_id)")?;
    // Above every version that a process may have cached.
    run(
        "UPDATE main.api_keys SET version = 1 + max(version, coalesce( \
             (SELECT max(s.version) FROM temp.seen s WHERE s.key_id = api_keys.key_id), 0)), \
         status = CASE WHEN ended.key_id IS NULL THEN api_keys.status ELSE 'revoked' END, \
         is_active = CASE WHEN ended.key_id IS NULL THEN api_keys.is_active ELSE 0 END, \
         revoked_at = CASE WHEN ended.key_id IS NULL THEN api_keys.revoked_at \
             ELSE coalesce(ended.at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) END, \
         revoke_reason = CASE WHEN ended.key_id IS NULL THEN api_keys.revoke_reason \
             ELSE coalesce(ended.reason, 'revoked before a restore') END \
         FROM temp.touched LEFT JOIN temp.ended ON ended.key_id = touched.key_id \
         WHERE touched.key_id = api_keys.key_id",
    )?;
    keep_deleted(&transaction)?;
    run(
        "INSERT INTO main.api_key_events (kind, key_id, at, version, reason) \
         SELECT kind, touched.key_id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), \
             coalesce(k.version, deleted.version), reason \
         FROM temp.touched LEFT JOIN main.api_keys k ON k.key_id = touched.key_id \
         LEFT JOIN main.api_key_deleted deleted ON deleted.key_id = touched.key_id \
         ORDER BY touched.rowid",
    )?;

    // A use that was spent stays spent, and a limit that is full stays full.
    run("UPDATE main.api_key_usage SET rate_state = p.rate_state, \
         remaining_uses = CASE WHEN api_key_usage.remaining_uses > p.remaining_uses \
             THEN p.remaining_uses ELSE api_key_usage.remaining_uses END \
         FROM present.api_key_usage p WHERE p.lineage = api_key_usage.lineage")?;
    run("DROP TABLE temp.ended")?;
    run("DROP TABLE temp.seen")?;
    run("DROP TABLE temp.touched")?;
    for guard in guards {
        run(&guard)?;
    }
    restored.keys = count(&transaction)?;
    transaction.commit().map_err(unavailable)?;
    Ok(restored)
}

/// Removes the triggers, and returns the statements that create them. They would take what a
/// restore writes for changes by other code.
fn take_guards(merged: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' ORDER BY rowid";
    let mut statement = merged.prepare(sql).map_err(unavailable)?;
    let found = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    let found: Result<Vec<_>, _> = found.map_err(unavailable)?.collect();
    let mut guards = Vec::new();
    for (name, sql) in found.map_err(unavailable)? {
        let name = name.replace('"', "\"\"");
        let drop = format!("DROP TRIGGER main.\"{name}\"");
        merged.execute(&drop, []).map_err(unavailable)?;
        guards.push(sql);
    }
    Ok(guards)
}

/// Whether the present store has the tables of deleted keys; a dry run does not add them.
fn remembers_deleted(merged: &Connection) -> Result<bool, StoreError> {
    let tables = "SELECT count(*) FROM present.sqlite_master WHERE name = 'api_key_deleted'";
    merged
        .query_row(tables, [], |row| row.get(0))
        .map_err(unavailable)
}

/// What the present store knows of deleted keys, and of those that the restore loses: if such a
/// key is inserted again, its versions continue, and a revoked one stays revoked.
fn keep_deleted(merged: &Connection) -> Result<(), StoreError> {
    let run = |sql: &str| merged.execute(sql, []).map_err(unavailable);
    if remembers_deleted(merged)? {
        run("INSERT OR REPLACE INTO main.api_key_deleted \
             (key_id, version, revoked_at, revoke_reason, place, owner, lost) \
             SELECT key_id, version, revoked_at, revoke_reason, place, owner, lost \
             FROM present.api_key_deleted \
             WHERE key_id NOT IN (SELECT key_id FROM main.api_keys WHERE key_id IS NOT NULL)")?;
        run(
            "INSERT OR IGNORE INTO main.api_key_former_digests (key_hash, key_id) \
             SELECT key_hash, key_id FROM present.api_key_former_digests",
        )?;
    }
    let lost = "FROM present.api_keys p WHERE p.key_id IS NOT NULL AND p.key_id NOT IN \
         (SELECT key_id FROM main.api_keys WHERE key_id IS NOT NULL)";
    run(&format!(
        "INSERT OR IGNORE INTO main.api_key_former_digests (key_hash, key_id) \
         SELECT p.key_hash, p.key_id {lost} AND p.status = 'revoked'"
    ))?;
    run(&format!(
        "INSERT OR REPLACE INTO main.api_key_deleted \
         (key_id, version, revoked_at, revoke_reason, place, owner, lost) \
         SELECT p.key_id, p.version + 1, p.revoked_at, p.revoke_reason, p.rowid, p.owner, 1 {lost}"
    ))?;
    Ok(())
}

/// Numbers that the present store has given are never given again.
fn raise_sequences(merged: &Connection) -> Result<(), StoreError> {
    for table in ["api_key_events", "api_keys"] {
        let raise = "UPDATE main.sqlite_sequence SET seq = max(seq, coalesce( \
             (SELECT seq FROM present.sqlite_sequence WHERE name = ?1), 0)) WHERE name = ?1";
        let raised = merged.execute(raise, params![table]).map_err(unavailable)?;
        if raised == 0 {
            let copy = "INSERT INTO main.sqlite_sequence \
                 SELECT name, seq FROM present.sqlite_sequence WHERE name = ?1";
            merged.execute(copy, params![table]).map_err(unavailable)?;
        }
    }
    Ok(())
}

/// A condition: whether a key's row in `m` is another one than in `p`. A use is no change,
/// and neither is the row's number, or a version that ended where it began.
fn is_different(merged: &Connection) -> Result<String, StoreError> {
    let names = shared_columns(merged, "api_keys", &["id", "last_used_at", "version"])?;
    let each = names.iter().map(|name| format!("m.{name} IS NOT p.{name}"));
    Ok(each.collect::<Vec<_>>().join(" OR "))
}

/// The columns, quoted, that a table has in both databases, without these.
fn shared_columns(
    merged: &Connection,
    table: &str,
    without: &[&str],
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM pragma_table_info(?1, 'main') \
               INTERSECT SELECT name FROM pragma_table_info(?1, 'present')";
    let mut statement = merged.prepare(sql).map_err(unavailable)?;
    let names = statement.query_map([table], |row| row.get::<_, String>(0));
    let names: Result<Vec<_>, _> = names.map_err(unavailable)?.collect();
    let names = names.map_err(unavailable)?.into_iter();
    let names = names.filter(|name| !without.contains(&name.as_str()));
    Ok(names
        .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
        .collect())
}

/// Nothing of the present store is changed or lost.
fn only(merged: &Connection) -> Result<Restored, StoreError> {
    Ok(Restored {
        keys: count(merged)?,
        ..Restored::default()
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the store must be a database of keystile or an empty one; this one has other tables")]
struct NotAStore;

#[derive(Debug, thiserror::Error)]
#[error("the path of the store must be UTF-8")]
struct NotUtf8;
