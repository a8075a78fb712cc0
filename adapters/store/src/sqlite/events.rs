//! Events: filtered lists, and the removal of old ones.

use keystile::{By, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::read::{concat_sql, limited, listed_events, prepared};
use super::row::{EVENT, signed};
use super::statements::Sqlite;
use super::write::begin;
use crate::error::StoreError;
use crate::event_filter::{EventFilter, sql};
use crate::instant;
use crate::list::ListedEvents;
use crate::sqlite::fault::unavailable;

pub(super) fn list(
    connection: &Connection,
    filter: &EventFilter,
    after: u64,
    limit: usize,
) -> Result<ListedEvents, StoreError> {
    // There is no event after a number that no event can have.
    let Ok(number) = signed(after) else {
        return Ok(ListedEvents::default());
    };
    let (conditions, values) = sql::conditions::<Sqlite>(filter, after);
    let rest = format!("WHERE number > ?1{conditions} ORDER BY number LIMIT ?2");
    let mut params = vec![Value::Integer(number), Value::Integer(limited(limit))];
    params.extend(values.into_iter().map(Value::Text));
    let sql = concat_sql(EVENT, &rest);
    listed_events(&mut prepared(connection, &sql)?, params_from_iter(params))
}

/// The last event that is removed stays as one of no key: a reader that has not read the others
/// finds it, and invalidates everything.
pub(super) fn prune(
    connection: &mut Connection,
    before: UnixMillis,
    limit: usize,
    by: &By,
) -> Result<u64, StoreError> {
    let transaction = begin(connection)?;
    let before = instant::format(before);
    // The mark of an earlier removal does not count.
    let due: Vec<i64> = {
        let sql = "SELECT number FROM api_key_events WHERE at < ?1 AND kind <> 'pruned' \
                   ORDER BY number LIMIT ?2";
        let mut statement = prepared(&transaction, sql)?;
        let rows = statement.query_map(params![before, limited(limit)], |row| row.get(0));
        let rows: Result<_, _> = rows.map_err(unavailable)?.collect();
        rows.map_err(unavailable)?
    };
    let Some(last) = due.last() else {
        return Ok(0);
    };
    prepared(
        &transaction,
        "DELETE FROM api_key_events WHERE at < ?1 AND number < ?2",
    )?
    .execute(params![before, last])
    .map_err(unavailable)?;
    prepared(
        &transaction,
        "UPDATE api_key_events SET kind = 'pruned', key_id = '*', version = NULL, \
         reason = ?2, successor = NULL, actor = ?3, origin = ?4, changes = NULL \
         WHERE number = ?1",
    )?
    .execute(params![last, by.reason(), by.actor(), by.origin()])
    .map_err(unavailable)?;
    transaction.commit().map_err(unavailable)?;
    Ok(u64::try_from(due.len()).unwrap_or(u64::MAX))
}
