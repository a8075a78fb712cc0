//! Reads from the tables, with one statement each.

use deadpool_postgres::Client;
use keystile::{KeyId, KeyRecord, Lookup, UnixMillis};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::row::{CLOCK, EVENT, RECORD, read_event, read_found, read_record, read_usage, signed};
use crate::derived::DerivedState;
use crate::error::StoreError;
use crate::list::{Listed, ListedEvents, PAGE_MAX};
use crate::statements::{derived_sums, sources};
use crate::stored_usage::StoredUsage;

/// Parameters of a statement.
pub(super) type Params<'p> = [&'p (dyn ToSql + Sync)];

pub(super) async fn find(client: &Client, lookup: &Lookup) -> Result<Option<KeyRecord>, Fault> {
    let found = find_with_usage(client, lookup).await?;
    Ok(found.map(|(record, _)| record))
}

pub(super) async fn find_with_usage(
    client: &Client,
    lookup: &Lookup,
) -> Result<Option<(KeyRecord, StoredUsage)>, Fault> {
    let select =
        |rest: &str| format!("SELECT {CLOCK} AS clock, found.* FROM ({RECORD} {rest}) AS found");
    match lookup {
        Lookup::Id(id) => {
            let sql = select("WHERE k.key_id = $1");
            one(client, &sql, &[&id.as_str()], read_found).await
        }
        Lookup::Digests(digests) => {
            let sql = select("WHERE k.key_hash = ANY ($1::text[])");
            let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
            let hexes: Vec<&str> = texts
                .iter()
                .filter_map(|text| text.rsplit(':').next())
                .collect();
            let found = all(client, &sql, &[&hexes], read_found).await?;
            // The pepper is in a separate column, and the first digest that matches counts.
            Ok(digests
                .iter()
                .find_map(|digest| found.iter().find(|(record, _)| record.digest == *digest))
                .cloned())
        }
        _ => Ok(None),
    }
}

pub(super) async fn lineage(client: &Client, lineage: &KeyId) -> Result<Listed, Fault> {
    let sql = concat_sql(RECORD, "WHERE k.lineage = $1 ORDER BY k.id");
    listed(client, &sql, &[&lineage.as_str()]).await
}

pub(super) async fn derived(
    client: &Client,
    lineage: &KeyId,
    since: UnixMillis,
) -> Result<Listed, Fault> {
    let left = ["expires_at", "overlap_until"].map(|end| {
        format!("AND (k.{end} IS NULL OR k.{end} > to_timestamp($2::bigint / 1000.0::float8))")
    });
    let sql = format!(
        "WITH RECURSIVE {} {RECORD} JOIN sources s ON s.lineage = k.derived_lineage \
         WHERE k.status <> 'revoked' {} ORDER BY k.id",
        sources("$1"),
        left.join(" ")
    );
    let since = i64::try_from(since.get()).map_err(|_| StoreError::OutOfRange)?;
    listed(client, &sql, &[&lineage.as_str(), &since]).await
}

pub(super) async fn derived_state(
    client: &Client,
    state: DerivedState,
) -> Result<DerivedState, Fault> {
    let statement = client.prepare_cached(&derived_sums("$1")).await?;
    let row = client
        .query_one(&statement, &[&state.lineage.as_str()])
        .await?;
    Ok(state.with_sums(row.try_get(0)?, row.try_get(1)?)?)
}

/// The records, and the damaged rows, of a statement.
async fn listed(client: &Client, sql: &str, params: &Params<'_>) -> Result<Listed, Fault> {
    let statement = client.prepare_cached(sql).await?;
    let mut listed = Listed::default();
    for row in &client.query(&statement, params).await? {
        match read_record(row) {
            Ok(record) => listed.records.push(record),
            Err(Fault::Store(StoreError::Corrupt(damaged))) => listed.damaged.push(damaged),
            Err(fault) => return Err(fault),
        }
    }
    Ok(listed)
}

pub(super) async fn usage(client: &Client, lineage: &KeyId) -> Result<StoredUsage, Fault> {
    // Usage rows have no number. The outer join has a row with the clock in any case.
    let sql = format!(
        "SELECT 0::bigint AS row, {CLOCK} AS clock, coalesce(rate_state, 0) AS rate_state, \
         remaining_uses FROM (SELECT $1::text AS asked) AS a \
         LEFT JOIN api_key_usage ON lineage = asked"
    );
    let usage = one(client, &sql, &[&lineage.as_str()], read_usage).await?;
    Ok(usage.unwrap_or_default())
}

pub(super) async fn events(
    client: &Client,
    key_id: Option<&KeyId>,
    after: u64,
    limit: usize,
) -> Result<ListedEvents, Fault> {
    // There is no event after a number that no event can have.
    let Ok(after) = signed(after) else {
        return Ok(ListedEvents::default());
    };
    let limit = limited(limit);
    match key_id {
        None => {
            let sql = concat_sql(EVENT, "WHERE number > $1 ORDER BY number LIMIT $2");
            listed_events(client, &sql, &[&after, &limit]).await
        }
        Some(id) => {
            let sql = concat_sql(
                EVENT,
                "WHERE number > $1 AND (key_id = $3 OR successor = $3) ORDER BY number LIMIT $2",
            );
            listed_events(client, &sql, &[&after, &limit, &id.as_str()]).await
        }
    }
}

pub(super) async fn listed_events(
    client: &Client,
    sql: &str,
    params: &Params<'_>,
) -> Result<ListedEvents, Fault> {
    let statement = client.prepare_cached(sql).await?;
    let mut listed = ListedEvents::default();
    for row in &client.query(&statement, params).await? {
        match read_event(row) {
            Ok(event) => listed.events.push(event),
            Err(Fault::Store(StoreError::Corrupt(damaged))) => listed.damaged.push(damaged),
            Err(fault) => return Err(fault),
        }
    }
    Ok(listed)
}

pub(super) async fn last_event(client: &Client) -> Result<u64, Fault> {
    let sql = "SELECT coalesce(max(number), 0) FROM api_key_events";
    let last: Option<i64> = one(client, sql, &[], |row| Ok(row.try_get(0)?)).await?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

pub(super) async fn pepper_versions(client: &Client) -> Result<Vec<u32>, Fault> {
    let sql = "SELECT DISTINCT digest_pepper FROM api_keys \
               WHERE digest_pepper IS NOT NULL AND status <> 'revoked' ORDER BY digest_pepper";
    let versions = all(client, sql, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
    // A number that is no version is a damaged row's, which no key is checked against.
    let version = |number| u32::try_from(number).ok();
    Ok(versions.into_iter().filter_map(version).collect())
}

pub(super) fn limited(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX)
}

/// A statement of two constant parts; values are always parameters.
fn concat_sql(select: &'static str, rest: &'static str) -> String {
    [select, rest].join(" ")
}

pub(super) async fn all<T>(
    client: &Client,
    sql: &str,
    params: &Params<'_>,
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, params).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn one<T>(
    client: &Client,
    sql: &str,
    params: &Params<'_>,
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let found = all(client, sql, params, read).await?;
    Ok(found.into_iter().next())
}
