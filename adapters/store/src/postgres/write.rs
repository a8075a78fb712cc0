//! Writes to the tables. A batch is one transaction, and all transactions lock rows in the
//! same order, so that deadlocks are rare.

use deadpool_postgres::{Client, Transaction};
use futures_util::future::join_all;
use keystile::{KeyId, RateState, UnixMillis};
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::read::Params;
use super::row::{ARRIVAL, CLOCK, signed};
use super::statements::{AddedRows, Step, steps};
use super::templates;
use super::timestamptz::Timestamptz;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::statement::Statement;
use crate::store::SpendRequest;
use crate::stored_usage::RateNote;

/// A power failure may undo the last moments of what is written with this: a limiter would
/// then allow a few requests again, and in return no request waits for the disk.
const QUICK: &str = "(SELECT set_config('synchronous_commit', 'off', TRUE)) AS quick";

/// Statements of a batch that are sent without waiting for the answers to those before them.
const SENT_TOGETHER: usize = 100;

/// The sign of a number: inverted, signed numbers are in the order of unsigned ones.
const SIGN: &str = "(-9223372036854775808)";

pub(super) async fn commit(client: &mut Client, batch: &Batch) -> Result<(), Fault> {
    let statements = batch.postgres_statements()?;
    let transaction = client.transaction().await?;
    if let Some(expected) = batch.last_event {
        require_last_event(&transaction, expected).await?;
    }
    if let Some(relied_on) = &batch.template_unchanged {
        templates::require(&transaction, relied_on).await?;
    }
    for step in steps(statements) {
        match step {
            Step::Statements(statements) => send(&transaction, &statements).await?,
            Step::Rows(rows) => add(&transaction, &rows).await?,
        }
    }
    Ok(transaction.commit().await?)
}

async fn send(transaction: &Transaction<'_>, statements: &[Statement]) -> Result<(), Fault> {
    for part in statements.chunks(SENT_TOGETHER) {
        let mut prepared = Vec::with_capacity(part.len());
        for statement in part {
            prepared.push(transaction.prepare_cached(statement.sql).await?);
        }
        // All are polled, and so sent, in this order before the first answer is read. All answers
        // are awaited: after an error the connection must have no statement under way.
        let sent = part.iter().zip(&prepared);
        let sent = sent.map(|(statement, prepared)| execute(transaction, statement, prepared));
        let answers: Result<Vec<()>, Fault> = join_all(sent).await.into_iter().collect();
        answers?;
    }
    Ok(())
}

async fn add(transaction: &Transaction<'_>, rows: &AddedRows) -> Result<(), Fault> {
    let statement = transaction.prepare_cached(rows.sql).await?;
    let columns = rows.columns.iter();
    let columns: Vec<_> = columns
        .map(|column| column as &(dyn ToSql + Sync))
        .collect();
    match transaction.execute(&statement, &columns).await {
        Ok(_) => Ok(()),
        Err(error) => Err(match Fault::from(error) {
            fault if fault.is_duplicate() => StoreError::Duplicate.into(),
            fault => fault,
        }),
    }
}

/// Fails if another event was written. From here to the commit no other transaction can
/// write one: this takes the lock that `keystile_number_event` takes before it numbers an
/// event, and all that held it before have committed.
///
/// Before it, the lock that an insert takes: an import takes the two in this order.
async fn require_last_event(transaction: &Transaction<'_>, expected: u64) -> Result<(), Fault> {
    let lock = "SELECT pg_advisory_xact_lock_shared(1802728552, hashtext(current_schema())), \
         pg_advisory_xact_lock(1800697188, hashtext(current_schema()))";
    let statement = transaction.prepare_cached(lock).await?;
    transaction.execute(&statement, &[]).await?;
    // A statement of its own, whose snapshot is taken after the lock.
    let last = "SELECT coalesce(max(number), 0) FROM api_key_events";
    let statement = transaction.prepare_cached(last).await?;
    let last: i64 = transaction.query_one(&statement, &[]).await?.try_get(0)?;
    if u64::try_from(last) == Ok(expected) {
        Ok(())
    } else {
        Err(StoreError::Stale.into())
    }
}

pub(super) async fn spend(client: &Client, request: &SpendRequest) -> Result<bool, Fault> {
    let bits = |state: RateState| state.to_bits().cast_signed();
    let before = request.before.remaining.map(signed).transpose()?;
    let after = request.after.remaining.map(signed).transpose()?;
    // A power failure must not bring back a use that was spent.
    let from = if before == after {
        ["FROM ", QUICK].concat()
    } else {
        String::new()
    };
    let sql = format!(
        "UPDATE api_key_usage u SET rate_state = $4, remaining_uses = $6 {from} \
         WHERE u.lineage = $1 AND u.rate_state = $3 AND u.remaining_uses IS NOT DISTINCT FROM $5 \
         AND EXISTS (SELECT 1 FROM api_keys k WHERE k.key_id = $2 AND k.version = $7 \
         AND k.lineage = $1)"
    );
    let statement = client.prepare_cached(&sql).await?;
    let params: &Params<'_> = &[
        &request.lineage.as_str(),
        &request.key_id.as_str(),
        &bits(request.before.rate),
        &bits(request.after.rate),
        &before,
        &after,
        &signed(request.version)?,
    ];
    Ok(client.execute(&statement, params).await? == 1)
}

pub(super) async fn replace_rate(
    client: &Client,
    lineage: &KeyId,
    before: RateState,
    after: RateState,
) -> Result<bool, Fault> {
    // Whoever comes second waits for the row, and then finds another state.
    let sql = format!(
        "UPDATE api_key_usage u SET rate_state = $3 FROM {QUICK} \
         WHERE u.lineage = $1 AND u.rate_state = $2"
    );
    let [before, after] = [before, after].map(|state| state.to_bits().cast_signed());
    let statement = client.prepare_cached(&sql).await?;
    let params: &Params<'_> = &[&lineage.as_str(), &before, &after];
    Ok(client.execute(&statement, params).await? == 1)
}

/// In the server's time: what each process has counted is ahead of its own clock by so much, and
/// then the state is as far ahead of the server's. States are unsigned, so the comparisons
/// invert the sign.
///
/// The statement may wait for rows that another one has locked. What was counted is ahead of the
/// instant at which it arrived, so the wait makes no state later. What is stored is held by the
/// clock as it is once the rows are locked: by an earlier one, what another process has written
/// during the wait would be brought back. Counting the locked rows is what makes the server read
/// that clock after it has locked them.
pub(super) async fn note_rates(
    client: &Client,
    rates: &[RateNote],
    now: UnixMillis,
) -> Result<(), Fault> {
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT u.lineage, counted.ahead, counted.burst \
             FROM api_key_usage u JOIN (SELECT lineage, max(ahead) AS ahead, max(burst) AS burst \
                 FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c (lineage, ahead, burst) \
                 GROUP BY lineage) AS counted ON counted.lineage = u.lineage \
             ORDER BY u.lineage FOR NO KEY UPDATE OF u), \
         clock AS MATERIALIZED (SELECT {ARRIVAL} << 20 AS arrival, {CLOCK} << 20 AS now \
             FROM (SELECT count(*) FROM due) AS locked) \
         UPDATE api_key_usage u SET rate_state = {SIGN} # greatest(arrival + ahead # {SIGN}, \
             least(u.rate_state # {SIGN}, now + burst # {SIGN})) \
         FROM due, clock, {QUICK} WHERE u.lineage = due.lineage \
         AND u.rate_state # {SIGN} NOT BETWEEN arrival + ahead # {SIGN} AND now + burst # {SIGN}"
    );
    let (mut lineages, mut ahead, mut bursts) = (Vec::new(), Vec::new(), Vec::new());
    for note in rates {
        if let Some(by) = note.ahead(now) {
            lineages.push(note.lineage.as_str());
            ahead.push(signed(by)?);
            bursts.push(signed(note.burst())?);
        }
    }
    let statement = client.prepare_cached(&sql).await?;
    let params: &Params<'_> = &[&lineages, &ahead, &bursts];
    client.execute(&statement, params).await?;
    Ok(())
}

pub(super) async fn note_uses(client: &Client, uses: &[(KeyId, UnixMillis)]) -> Result<(), Fault> {
    let sql = format!(
        "UPDATE api_keys k SET last_used_at = due.at \
         FROM (SELECT k.id, used.at FROM api_keys k \
             JOIN (SELECT key_id, max(at) AS at \
                 FROM unnest($1::text[], $2::timestamptz[]) AS used (key_id, at) \
                 GROUP BY key_id) AS used ON used.key_id = k.key_id \
             WHERE k.last_used_at IS NULL OR k.last_used_at < used.at \
             ORDER BY k.id FOR NO KEY UPDATE OF k) AS due, {QUICK} \
         WHERE k.id = due.id AND (k.last_used_at IS NULL OR k.last_used_at < due.at)"
    );
    let ids: Vec<&str> = uses.iter().map(|(id, _)| id.as_str()).collect();
    let times: Vec<Timestamptz> = uses.iter().map(|(_, at)| Timestamptz::from(*at)).collect();
    let statement = client.prepare_cached(&sql).await?;
    client.execute(&statement, &[&ids, &times]).await?;
    Ok(())
}

async fn execute(
    transaction: &Transaction<'_>,
    statement: &Statement,
    prepared: &tokio_postgres::Statement,
) -> Result<(), Fault> {
    let values = statement.values.iter();
    let values: Vec<_> = values.map(|value| value as &(dyn ToSql + Sync)).collect();
    match transaction.execute(prepared, &values).await {
        Ok(1) => Ok(()),
        Ok(_) if statement.must_change_a_row => Err(StoreError::Stale.into()),
        Ok(_) => Ok(()),
        Err(error) => Err(match Fault::from(error) {
            fault if fault.is_duplicate() => StoreError::Duplicate.into(),
            fault if statement.must_change_a_row && fault.is_guarded() => StoreError::Stale.into(),
            fault => fault,
        }),
    }
}
