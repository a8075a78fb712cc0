//! What moves a key to another store and back.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::unavailable;
use super::list::page_of;
use super::read::{limited, one, prepared};
use super::row::{RECORD, read_answer, read_found, read_record, read_removed};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::Page;
use crate::portable::{
    Asked, DigestBytes, Exported, Known, PortableKey, RemovedKey, RemovedKeys, of_hex, to_hex,
};
use crate::sort::Sort;

pub(super) fn export(
    connection: &Connection,
    filter: &Filter,
    page: Page,
) -> Result<Exported, StoreError> {
    // One snapshot: a key whose digest is renewed meanwhile has both digests or one.
    let snapshot = connection.unchecked_transaction().map_err(unavailable)?;
    let rows = page_of(
        &snapshot,
        filter,
        page.sorted(Sort::Inserted),
        read_found,
        |(record, _)| record,
    )?;
    let mut keys = Vec::with_capacity(rows.sound.len());
    for (record, usage) in rows.sound {
        keys.push(PortableKey {
            former_digests: former_digests(&snapshot, record.id.as_str())?,
            rate: usage.usage.rate,
            record,
        });
    }
    Ok(Exported {
        keys,
        damaged: rows.damaged,
        next: rows.next,
    })
}

pub(super) fn removed_keys(
    connection: &Connection,
    after: &str,
    limit: usize,
) -> Result<RemovedKeys, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(unavailable)?;
    let sql = "SELECT rowid AS row, key_id, version, revoked_at, revoke_reason, owner \
         FROM api_key_deleted WHERE key_id > ?1 ORDER BY key_id LIMIT ?2";
    let mut statement = prepared(&snapshot, sql)?;
    let limit = limited(limit);
    let mut rows = statement
        .query(params![after, limit])
        .map_err(unavailable)?;
    let mut page = RemovedKeys::default();
    let (mut count, mut last) = (0_i64, None);
    while let Some(row) = rows.next().map_err(unavailable)? {
        count = count.saturating_add(1);
        let key_id: String = row.get("key_id").map_err(unavailable)?;
        match read_removed(row) {
            Ok(mut removed) => {
                removed.digests = former_digests(&snapshot, &key_id)?;
                page.keys.push(removed);
            }
            Err(StoreError::Corrupt(damaged)) => page.damaged.push(damaged),
            Err(error) => return Err(error),
        }
        last = Some(key_id.into());
    }
    page.next = last.filter(|_| count == limit);
    Ok(page)
}

pub(super) fn known(connection: &Connection, asked: &Asked) -> Result<Known, StoreError> {
    let snapshot = connection.unchecked_transaction().map_err(unavailable)?;
    let mut known = Known::default();
    let mut last = None;
    for (column, value) in asked.selectors() {
        // Prepared once for each column: to look it up by its text takes longer than to run it.
        let statement = match &mut last {
            Some((of, statement)) if *of == column => statement,
            _ => {
                let sql = format!("{RECORD} WHERE k.{column} = ?1");
                let statement = prepared(&snapshot, &sql)?;
                &mut last.insert((column, statement)).1
            }
        };
        let mut rows = statement.query([value]).map_err(unavailable)?;
        while let Some(row) = rows.next().map_err(unavailable)? {
            match read_record(row) {
                Ok(record) => known.records.push(record),
                Err(StoreError::Corrupt(damaged)) => known.damaged.push(damaged),
                Err(error) => return Err(error),
            }
        }
    }
    for id in &asked.ids {
        let sql = "SELECT rowid AS row, key_id, version, revoked_at, revoke_reason, owner \
             FROM api_key_deleted WHERE key_id = ?1";
        let mut statement = prepared(&snapshot, sql)?;
        let mut rows = statement.query([id.as_str()]).map_err(unavailable)?;
        if let Some(row) = rows.next().map_err(unavailable)? {
            let mut removed = match read_removed(row) {
                Ok(removed) => removed,
                Err(StoreError::Corrupt(_)) => RemovedKey::unread(*id),
                Err(error) => return Err(error),
            };
            removed.digests = former_digests(&snapshot, id.as_str())?;
            known.removed.push(removed);
        }
    }
    for digest in &asked.digests {
        let sql = "SELECT key_id FROM api_key_former_digests WHERE key_hash = ?1";
        let holder = prepared(&snapshot, sql)?
            .query_row([to_hex(digest)], |row| row.get_ref(0).map(text_of))
            .optional();
        if let Some(holder) = holder.map_err(unavailable)? {
            known.add_former(*digest, &holder);
        }
    }
    for lineage in &asked.lineages {
        let sql = "SELECT remaining_uses FROM api_key_usage WHERE lineage = ?1";
        let uses = prepared(&snapshot, sql)?
            .query_row([lineage.as_str()], |row| row.get::<_, Option<i64>>(0))
            .optional();
        if let Some(uses) = uses.map_err(unavailable)? {
            known.add_uses(*lineage, uses);
        }
    }
    Ok(known)
}

/// What is remembered of a request. A row that cannot be read is an error: to issue another key
/// would be worse.
pub(super) fn issue_answer(
    connection: &Connection,
    request: &IssueOnce,
) -> Result<Option<IssueAnswer>, StoreError> {
    let sql = "SELECT rowid AS row, body, key_id, at FROM api_key_issue_requests \
         WHERE caller = ?1 AND request = ?2";
    let mut statement = prepared(connection, sql)?;
    let values = [request.caller(), &to_hex(request.request())];
    one(&mut statement, values, read_answer)
}

/// A column of any type as text, so that one damaged row costs no other one.
fn text_of(value: ValueRef<'_>) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The digests that are remembered of a key. A text that is none is of no key either.
fn former_digests(connection: &Connection, id: &str) -> Result<Vec<DigestBytes>, StoreError> {
    let sql = "SELECT key_hash FROM api_key_former_digests WHERE key_id = ?1 ORDER BY key_hash";
    let mut statement = prepared(connection, sql)?;
    let read = |row: &Row<'_>| row.get_ref(0).map(text_of);
    let texts = statement.query_map([id], read).map_err(unavailable)?;
    let texts: Result<Vec<_>, _> = texts.collect();
    let texts = texts.map_err(unavailable)?;
    Ok(texts.iter().filter_map(|text| of_hex(text)).collect())
}
