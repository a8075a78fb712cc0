//! Reads from the tables, with one statement each.

use keystile::{KeyId, KeyRecord, Lookup, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Params, Row, params, params_from_iter,
};

use super::row::{EVENT, RECORD, read_event, read_found, read_record, read_usage, signed};
use crate::derived::DerivedState;
use crate::error::{CorruptRow, StoreError};
use crate::filter::{Filter, rows_to_read};
use crate::list::{Cursor, Listed, ListedEvents, PAGE_MAX, Page};
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
    let all = Part {
        filter: &Filter::default(),
        limit: usize::MAX,
        rows: usize::MAX,
    };
    listed(&mut prepared(connection, &sql)?, [lineage.as_str()], &all)
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
    let all = Part {
        filter: &Filter::default(),
        limit: usize::MAX,
        rows: usize::MAX,
    };
    let params = params![lineage.as_str(), signed(since.get())?];
    listed(&mut prepared(connection, &sql)?, params, &all)
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

pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    page: Page,
) -> Result<Listed, StoreError> {
    let rows = page_of(connection, filter, page, read_record, |record| record)?;
    Ok(rows.listed())
}

/// A page of what `read` makes of each row, which has this record.
pub(super) fn page_of<T>(
    connection: &Connection,
    filter: &Filter,
    page: Page,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    record: impl Fn(&T) -> &KeyRecord,
) -> Result<Rows<T>, StoreError> {
    let after = match page.after {
        None => i64::MIN,
        Some(cursor) => row_of(connection, &cursor)?,
    };
    let limit = page.limit.min(PAGE_MAX);
    let rows = rows_to_read(filter, limit);
    let mut sql = concat_sql(RECORD, "WHERE k.rowid > ?1");
    let mut params = vec![Value::Integer(after), Value::Integer(limited(rows))];
    for (column, text) in filter.columns() {
        params.push(Value::Text(text.to_owned()));
        sql.push_str(&format!(" AND k.{column} = ?{}", params.len()));
    }
    if let Some(prefix) = &filter.id_prefix {
        params.push(Value::Text(prefix.to_string()));
        let number = params.len();
        sql.push_str(&format!(
            " AND substr(k.key_id, 1, length(?{number})) = ?{number}"
        ));
    }
    if filter.without_owner {
        sql.push_str(" AND k.owner IS NULL");
    }
    sql.push_str(" ORDER BY k.rowid LIMIT ?2");
    let part = Part {
        filter,
        limit,
        rows,
    };
    let params = params_from_iter(params);
    let mut statement = prepared(connection, &sql)?;
    rows_of(&mut statement, params, &part, read, record)
}

/// The number of the row that a cursor names.
fn row_of(connection: &Connection, cursor: &Cursor) -> Result<i64, StoreError> {
    let sql = "SELECT rowid FROM api_keys WHERE key_id = ?1 \
         UNION ALL SELECT place FROM api_key_deleted WHERE key_id = ?1 AND place IS NOT NULL";
    match (cursor.row(), cursor.key_id()) {
        (Some(row), _) => Ok(row),
        (None, Some(id)) => {
            let mut statement = prepared(connection, sql)?;
            let row = statement
                .query_row([id.as_str()], |row| row.get(0))
                .optional();
            row.map_err(unavailable)?.ok_or(StoreError::NotFound)
        }
        (None, None) => Err(StoreError::NotFound),
    }
}

/// What to take from the rows of a statement.
struct Part<'f> {
    /// Compared with each record again: an adopted column may ignore case.
    filter: &'f Filter,
    /// The size of the page.
    limit: usize,
    /// The limit of the statement.
    rows: usize,
}

/// What a page was read as.
pub(super) struct Rows<T> {
    pub(super) sound: Vec<T>,
    pub(super) damaged: Vec<CorruptRow>,
    pub(super) next: Option<Cursor>,
}

impl Rows<KeyRecord> {
    fn listed(self) -> Listed {
        let mut listed = Listed::of(self.sound, self.next);
        listed.damaged = self.damaged;
        listed
    }
}

/// The records, and the damaged rows, of a page.
fn listed(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    part: &Part<'_>,
) -> Result<Listed, StoreError> {
    let rows = rows_of(statement, params, part, read_record, |record| record)?;
    Ok(rows.listed())
}

fn rows_of<T>(
    statement: &mut CachedStatement<'_>,
    params: impl Params,
    part: &Part<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    record: impl Fn(&T) -> &KeyRecord,
) -> Result<Rows<T>, StoreError> {
    let mut rows = statement.query(params).map_err(unavailable)?;
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    let (mut count, mut last) = (0_usize, None);
    let is_full =
        |sound: &Vec<T>, damaged: &Vec<_>| sound.len().saturating_add(damaged.len()) == part.limit;
    while let Some(row) = rows.next().map_err(unavailable)? {
        count = count.saturating_add(1);
        let number = row.get("row").map_err(unavailable)?;
        match read(row) {
            Ok(found) => {
                let key = record(&found);
                last = Some(Cursor::new(number, Some(key.id)));
                if part.filter.shows(key) {
                    sound.push(found);
                }
            }
            Err(StoreError::Corrupt(row)) => {
                last = Some(Cursor::new(number, row.key_id));
                damaged.push(row);
            }
            Err(error) => return Err(error),
        }
        if is_full(&sound, &damaged) {
            break;
        }
    }
    let next = last.filter(|_| count == part.rows || is_full(&sound, &damaged));
    Ok(Rows {
        sound,
        damaged,
        next,
    })
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
