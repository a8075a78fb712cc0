//! Writes to the tables. A batch is one transaction, and all transactions lock rows in the
//! same order, so that deadlocks are rare.

use std::sync::LazyLock;

use deadpool_postgres::{Client, Transaction};
use keystile::{Event, KeyId, KeyRecord, RateState, UnixMillis};
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::read::Params;
use super::row::{CLOCK, Columns, NAMES, UpkeepColumns, signed};
use super::timestamptz::Timestamptz;
use crate::batch::{Batch, Upkeep};
use crate::error::StoreError;
use crate::row_reader::{MANY_KEYS, changes_text};
use crate::store::SpendRequest;
use crate::stored_usage::RateNote;

/// A power failure may undo the last moments of what is written with this: a limiter would
/// then allow a few requests again, and in return no request waits for the disk.
const QUICK: &str = "(SELECT set_config('synchronous_commit', 'off', TRUE)) AS quick";

/// The sign of a number: inverted, signed numbers are in the order of unsigned ones.
const SIGN: &str = "(-9223372036854775808)";

pub(super) async fn commit(client: &mut Client, batch: &Batch) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    if let Some(expected) = batch.last_event {
        require_last_event(&transaction, expected).await?;
    }
    // First: a change that has no event yet is one by other code, to 0003_changes.sql.
    for event in &batch.events {
        append(&transaction, event).await?;
    }
    for record in &batch.inserts {
        insert(&transaction, record).await?;
    }
    // A stable sort: updates of the same key stay in order.
    let updates = batch.updates.iter().map(Update::Record);
    let mut updates: Vec<_> = updates
        .chain(batch.upkeep.iter().map(Update::Upkeep))
        .collect();
    updates.sort_by_key(Update::key_id);
    for written in updates {
        match written {
            Update::Record(record) => update(&transaction, record).await?,
            Update::Upkeep(upkeep) => keep_up(&transaction, upkeep).await?,
        }
    }
    Ok(transaction.commit().await?)
}

/// Fails if another event was written. From here to the commit no other transaction can
/// write one: this takes the lock that `keystile_number_event` takes before it numbers an
/// event, and all that held it before have committed.
async fn require_last_event(transaction: &Transaction<'_>, expected: u64) -> Result<(), Fault> {
    let lock = "SELECT pg_advisory_xact_lock(1800697188, hashtext(current_schema()))";
    execute(transaction, lock, &[]).await?;
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

/// One of a batch's updates.
enum Update<'b> {
    Record(&'b KeyRecord),
    Upkeep(&'b Upkeep),
}

impl Update<'_> {
    const fn key_id(&self) -> KeyId {
        match self {
            Self::Record(record) => record.id,
            Self::Upkeep(upkeep) => upkeep.key_id,
        }
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

/// In the server's time: what each process has counted is ahead of its own clock by so much, and
/// then the state is as far ahead of the server's. States are unsigned, so the comparisons
/// invert the sign.
pub(super) async fn note_rates(
    client: &Client,
    rates: &[RateNote],
    now: UnixMillis,
) -> Result<(), Fault> {
    let sql = format!(
        "WITH clock AS MATERIALIZED (SELECT {CLOCK} << 20 AS now), \
         due AS MATERIALIZED (SELECT u.lineage, counted.ahead, counted.burst \
             FROM api_key_usage u JOIN (SELECT lineage, max(ahead) AS ahead, max(burst) AS burst \
                 FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS c (lineage, ahead, burst) \
                 GROUP BY lineage) AS counted ON counted.lineage = u.lineage \
             ORDER BY u.lineage FOR NO KEY UPDATE OF u) \
         UPDATE api_key_usage u SET rate_state = {SIGN} # greatest(now + ahead # {SIGN}, \
             least(u.rate_state # {SIGN}, now + burst # {SIGN})) \
         FROM due, clock, {QUICK} WHERE u.lineage = due.lineage \
         AND u.rate_state # {SIGN} NOT BETWEEN now + ahead # {SIGN} AND now + burst # {SIGN}"
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

async fn insert(transaction: &Transaction<'_>, record: &KeyRecord) -> Result<(), Fault> {
    let usage = "INSERT INTO api_key_usage (lineage, rate_state, remaining_uses) \
                 VALUES ($1, 0, $2) ON CONFLICT (lineage) DO NOTHING";
    let remaining = record.remaining_uses.map(signed).transpose()?;
    let params: &Params<'_> = &[&record.lineage.as_str(), &remaining];
    execute(transaction, usage, params).await?;
    let columns = Columns::of(record)?;
    let last_use = record.last_used_at.map(Timestamptz::from);
    let mut params = columns.params();
    params.push(&last_use);
    match execute(transaction, &INSERT, &params).await {
        Err(fault) if fault.is_duplicate() => Err(StoreError::Duplicate.into()),
        inserted => inserted.map(drop),
    }
}

async fn update(transaction: &Transaction<'_>, record: &KeyRecord) -> Result<(), Fault> {
    let columns = Columns::of(record)?;
    one_updated(execute(transaction, &UPDATE, &columns.params()).await)
}

async fn keep_up(transaction: &Transaction<'_>, upkeep: &Upkeep) -> Result<(), Fault> {
    let columns = UpkeepColumns::of(upkeep)?;
    let sql = format!(
        "UPDATE api_keys SET {}, version = $2::bigint WHERE key_id = $1::text \
         AND version = $2::bigint - 1 AND status <> 'revoked'",
        columns.set
    );
    let (id, version) = (upkeep.key_id.as_str(), signed(upkeep.version)?);
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&id, &version];
    params.extend(
        columns
            .values
            .iter()
            .map(|value| &**value as &(dyn ToSql + Sync)),
    );
    one_updated(execute(transaction, &sql, &params).await)
}

fn one_updated(updated: Result<u64, Fault>) -> Result<(), Fault> {
    match updated {
        Ok(1) => Ok(()),
        Ok(_) => Err(StoreError::Stale.into()),
        Err(fault) if fault.is_duplicate() => Err(StoreError::Duplicate.into()),
        Err(fault) if fault.is_guarded() => Err(StoreError::Stale.into()),
        Err(fault) => Err(fault),
    }
}

async fn append(transaction: &Transaction<'_>, event: &Event) -> Result<(), Fault> {
    // A trigger assigns the number.
    let sql = "INSERT INTO api_key_events \
               (kind, key_id, at, version, reason, successor, actor, origin, changes) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb)";
    let params: &Params<'_> = &[
        &event.kind.as_str(),
        &event.key_id.as_ref().map_or(MANY_KEYS, KeyId::as_str),
        &Timestamptz::from(event.at),
        &event.version.map(signed).transpose()?,
        &event.reason.as_deref(),
        &event.successor.as_ref().map(KeyId::as_str),
        &event.actor.as_deref(),
        &event.origin.as_deref(),
        &changes_text(event)?,
    ];
    execute(transaction, sql, params).await.map(drop)
}

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &Params<'_>,
) -> Result<u64, Fault> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, params).await?)
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = numbered().map(|(_, value)| value).collect();
    format!(
        "INSERT INTO api_keys ({}, metadata, last_used_at) VALUES ({}, {}, ${}::timestamptz)",
        names.join(", "),
        values.join(", "),
        metadata(),
        NAMES.len().saturating_add(1),
    )
});

/// Does not change the uses that were spent and the last use, which other statements write.
/// The first six parameters also select the row.
static UPDATE: LazyLock<String> = LazyLock::new(|| {
    let set: Vec<String> = numbered()
        .filter(|(name, _)| !matches!(*name, "key_id" | "lineage"))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    format!(
        "UPDATE api_keys SET {}, metadata = {} \
         WHERE key_id = $1::text AND lineage = $2::text AND version = $3::bigint - 1 \
         AND (status <> 'revoked' OR (status = $4::text AND revoked_at = $5::timestamptz \
         AND revoke_reason = $6::text))",
        set.join(", "),
        metadata(),
    )
});

/// Each column with its parameter, as a value of the column's type.
fn numbered() -> impl Iterator<Item = (&'static str, String)> {
    (1..)
        .zip(NAMES)
        .map(|(number, (name, cast))| (name, format!("${number}::{cast}")))
}

/// The metadata as JSON, from the parameter that holds its text.
fn metadata() -> String {
    let text = numbered().find(|(name, _)| *name == "metadata_text");
    let (_, value) = text.unwrap_or_default();
    format!("keystile_jsonb({value})")
}

#[cfg(test)]
mod tests {
    use super::{INSERT, UPDATE};

    /// The parameters that select the row are those that hold its columns.
    #[test]
    fn the_first_parameters_select_the_row() {
        let names = "(key_id, lineage, version, status, revoked_at, revoke_reason, ";
        assert!(INSERT.starts_with(&format!("INSERT INTO api_keys {names}")));
        for same in [
            "version = $3::bigint,",
            "status = $4::text,",
            "revoked_at = $5::timestamptz,",
            "revoke_reason = $6::text,",
            "metadata_text = $23::bytea,",
            "metadata = keystile_jsonb($23::bytea) WHERE key_id = $1",
        ] {
            assert!(UPDATE.contains(same), "{same} in {}", *UPDATE);
        }
    }
}
