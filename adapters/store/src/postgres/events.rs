//! Events: filtered lists, and the removal of old ones.

use deadpool_postgres::Client;
use keystile::{By, UnixMillis};

use super::fault::Fault;
use super::read::{Params, limited, listed_events};
use super::row::{EVENT, signed};
use super::statements::Postgres;
use super::timestamptz::Timestamptz;
use crate::event_filter::{EventFilter, sql};
use crate::list::ListedEvents;

pub(super) async fn list(
    client: &Client,
    filter: &EventFilter,
    after: u64,
    limit: usize,
) -> Result<ListedEvents, Fault> {
    // There is no event after a number that no event can have.
    let Ok(number) = signed(after) else {
        return Ok(ListedEvents::default());
    };
    let limit = limited(limit);
    let (conditions, values) = sql::conditions::<Postgres>(filter, after);
    let sql = format!("{EVENT} WHERE number > $1::bigint{conditions} ORDER BY number LIMIT $2");
    let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&number, &limit];
    for value in &values {
        params.push(value);
    }
    listed_events(client, &sql, &params).await
}

/// The last event that is removed stays as one of no key: a reader that has not read the others
/// finds it, and invalidates everything. Events of open transactions have no number yet.
pub(super) async fn prune(
    client: &Client,
    before: UnixMillis,
    limit: usize,
    by: &By,
) -> Result<u64, Fault> {
    // The mark of an earlier removal does not count.
    let sql = "WITH due AS MATERIALIZED (SELECT number FROM api_key_events \
             WHERE number > 0 AND at < $1 AND kind <> 'pruned' \
             ORDER BY number LIMIT $2 FOR UPDATE), \
         ends AS MATERIALIZED (SELECT max(number) AS last, count(*) AS removed FROM due), \
         gone AS (DELETE FROM api_key_events e USING ends \
             WHERE e.number > 0 AND e.at < $1 AND e.number < ends.last), \
         mark AS (UPDATE api_key_events e SET kind = 'pruned', key_id = '*', version = NULL, \
             reason = $3, successor = NULL, actor = $4, origin = $5, changes = NULL \
             FROM ends WHERE e.number = ends.last) \
         SELECT removed FROM ends";
    let statement = client.prepare_cached(sql).await?;
    let params: &Params<'_> = &[
        &Timestamptz::from(before),
        &limited(limit),
        &by.reason(),
        &by.actor(),
        &by.origin(),
    ];
    let removed: i64 = client.query_one(&statement, params).await?.try_get(0)?;
    Ok(u64::try_from(removed).unwrap_or(0))
}
