//! Reads from the tables, with one statement each.

use keystile::{KeyId, KeyRecord, Lookup, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Params, Row, params};

use super::row::{EVENT, RECORD, read_event, read_found, read_record, read_usage, signed};
use crate::derived::DerivedState;
use crate::error::StoreError;
use crate::list::{Listed, ListedEvents, PAGE_MAX};
use crate::sqlite::fault::unavailable;
use crate::statements::{derived_sums, sources};
use crate::stored_usage::StoredUsage;

pub(super) fn find(
    connection: &Connection,
    lookup: &Lookup,
) -> Result<Option<KeyRecord>, StoreError> {
    let found = find_with_usage(connection, lookup)?;
    Ok(found.map(|(record, _)| record))
}

pub(super) fn find_with_usage(
    connection: &Connection,
    lookup: &Lookup,
) -> Result<Option<(KeyRecord, StoredUsage)>, StoreError> {
    match lookup {
        Lookup::Id(id) => {
            let sql = concat_sql(RECORD, "WHERE k.key_id = ?1");
            one(&mut prepared(connection, &sql)?, [id.as_str()], read_found)
        }
        Lookup::Digests(digests) => {
            let sql = concat_sql(RECORD, "WHERE k.key_hash = ?1");
            let mut statement = prepared(connection, &sql)?;
            for digest in digests.iter() {
                let text = digest.to_string();
                let hex = text.rsplit(':').next();
                // Compared again: the pepper is in a separate column, and an adopted column
                // may ignore case when it compares.
                let found = one(&mut statement, [hex], read_found)?;
                if let Some(found) = found.filter(|(record, _)| record.digest == *digest) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

pub(super) fn lineage(connection: &Connection, lineage: &KeyId) -> Result<Listed, StoreError> {
    let sql = concat_sql(RECORD, "WHERE k.lineage = ?1 ORDER BY k.rowid");
    listed(&mut prepared(connection, &sql)?, [lineage.as_str()])
}

pub(super) fn derived(
    connection: &Connection,
    lineage: &KeyId,
    since: UnixMillis,
) -> Result<Listed, StoreError> {
    // What is no date in this form has not ended: it may be damaged.
    let left = ["expires_at", "overlap_until"].map(|end| {
        format!(
            "AND (k.{end} IS NULL OR typeof(k.{end}) <> 'text' OR k.{end} NOT LIKE '____-__-__%' \
             OR coalesce(julianday(k.{end}) > ?2 / 86400000.0 + 2440587.5, 1))"
        )
    });
    let sql = format!(
        "WITH RECURSIVE {} {RECORD} JOIN sources s ON s.lineage = k.derived_lineage \
         WHERE k.status <> 'revoked' {} ORDER BY k.rowid",
        sources("?1"),
        left.join(" ")
    );
    let params = params![lineage.as_str(), signed(since.get())?];
    listed(&mut prepared(connection, &sql)?, params)
}

pub(super) fn derived_state(
    connection: &Connection,
    state: DerivedState,
) -> Result<DerivedState, StoreError> {
    let mut statement = prepared(connection, &derived_sums("?1"))?;
    let row = statement.query_row([state.lineage.as_str()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    let (keys, versions): (i64, i64) = row.map_err(unavailable)?;
    state.with_sums(keys, versions)
}

/// The records, and the damaged rows, of a statement.
fn listed(statement: &mut CachedStatement<'_>, params: impl Params) -> Result<Listed, StoreError> {
    let mut rows = statement.query(params).map_err(unavailable)?;
    let mut listed = Listed::default();
    while let Some(row) = rows.next().map_err(unavailable)? {
        match read_record(row) {
            Ok(record) => listed.records.push(record),
            Err(StoreError::Corrupt(damaged)) => listed.damaged.push(damaged),
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

pub(super) fn usage(connection: &Connection, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
    let sql =
        "SELECT rowid AS row, rate_state, remaining_uses FROM api_key_usage WHERE lineage = ?1";
    let usage = one(
        &mut prepared(connection, sql)?,
        [lineage.as_str()],
        read_usage,
    )?;
    Ok(StoredUsage::new(usage.unwrap_or_default(), None))
}

pub(super) fn events(
    connection: &Connection,
    key_id: Option<KeyId>,
    after: u64,
    limit: usize,
) -> Result<ListedEvents, StoreError> {
    // There is no event after a number that no event can have.
    let Ok(after) = signed(after) else {
        return Ok(ListedEvents::default());
    };
    let limit = limited(limit);
    match key_id {
        None => {
            let sql = concat_sql(EVENT, "WHERE number > ?1 ORDER BY number LIMIT ?2");
            listed_events(&mut prepared(connection, &sql)?, params![after, limit])
        }
        Some(id) => {
            let sql = concat_sql(
                EVENT,
                "WHERE number > ?1 AND (key_id = ?3 OR successor = ?3) ORDER BY number LIMIT ?2",
            );
            let params = params![after, limit, id.as_str()];
            listed_events(&mut prepared(connection, &sql)?, params)
        }
    }
}

pub(super) fn listed_events(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
) -> Result<ListedEvents, StoreError> {
    let mut rows = statement.query(params).map_err(unavailable)?;
    let mut listed = ListedEvents::default();
    while let Some(row) = rows.next().map_err(unavailable)? {
        match read_event(row) {
            Ok(event) => listed.events.push(event),
            Err(StoreError::Corrupt(damaged)) => listed.damaged.push(damaged),
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

pub(super) fn last_event(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(number), 0) FROM api_key_events";
    let last = prepared(connection, sql)?.query_row([], |row| row.get::<_, i64>(0));
    u64::try_from(last.map_err(unavailable)?).map_err(|_| StoreError::OutOfRange)
}

pub(super) fn pepper_versions(connection: &Connection) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT DISTINCT digest_pepper FROM api_keys \
               WHERE digest_pepper IS NOT NULL AND status <> 'revoked' ORDER BY digest_pepper";
    let mut statement = prepared(connection, sql)?;
    let rows = statement.query_map([], |row| row.get::<_, Value>(0));
    let versions: Result<Vec<_>, _> = rows.map_err(unavailable)?.collect();
    // A number that is no version is a damaged row's, which no key is checked against.
    let version = |value| match value {
        Value::Integer(number) => u32::try_from(number).ok(),
        _ => None,
    };
    let versions = versions.map_err(unavailable)?;
    Ok(versions.into_iter().filter_map(version).collect())
}

pub(super) fn limited(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX)
}

/// A statement of two constant parts; values are always parameters.
pub(super) fn concat_sql(select: &'static str, rest: &str) -> String {
    [select, rest].join(" ")
}

pub(super) fn prepared<'c>(
    connection: &'c Connection,
    sql: &str,
) -> Result<CachedStatement<'c>, StoreError> {
    connection.prepare_cached(sql).map_err(unavailable)
}

fn all<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut rows = statement.query(params).map_err(unavailable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn one<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    all(statement, params, read).map(|found| found.into_iter().next())
}
