//! Writes to the tables. A batch is one transaction, and each transaction takes the write
//! lock at its start, so that none fails halfway because of what it read.

use keystile::{Event, KeyId, KeyRecord, RateState, UnixMillis};
use rusqlite::{
    Connection, ErrorCode, Row, ToSql, Transaction, TransactionBehavior, ffi, named_params, params,
};

use super::instant;
use super::read::{last_event, one, prepared};
use super::row::{self, columns, read_time, read_usage, signed, upkeep_columns};
use crate::batch::{Batch, Upkeep};
use crate::error::StoreError;
use crate::row_reader::{MANY_KEYS, changes_text};
use crate::sqlite::fault::unavailable;
use crate::store::SpendRequest;
use crate::stored_usage::RateNote;

pub(super) fn commit(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    batch.check()?;
    let transaction = begin(connection)?;
    if let Some(expected) = batch.last_event
        && last_event(&transaction)? != expected
    {
        return Err(StoreError::Stale);
    }
    // First: a change that has no event yet is one by other code, to 0003_changes.sql.
    for event in &batch.events {
        append(&transaction, event)?;
    }
    for record in &batch.inserts {
        insert(&transaction, record)?;
    }
    for record in &batch.updates {
        update(&transaction, record)?;
    }
    for upkeep in &batch.upkeep {
        keep_up(&transaction, upkeep)?;
    }
    transaction.commit().map_err(unavailable)
}

pub(super) fn spend(connection: &Connection, request: &SpendRequest) -> Result<bool, StoreError> {
    let sql = "UPDATE api_key_usage SET rate_state = :rate_after, remaining_uses = :left_after \
         WHERE lineage = :lineage AND rate_state = :rate_before \
         AND remaining_uses IS :left_before \
         AND EXISTS (SELECT 1 FROM api_keys WHERE key_id = :key_id AND version = :version \
         AND lineage = :lineage)";
    let bits = |state: RateState| state.to_bits().cast_signed();
    let values = named_params! {
        ":lineage": request.lineage.as_str(),
        ":key_id": request.key_id.as_str(),
        ":version": signed(request.version)?,
        ":rate_before": bits(request.before.rate),
        ":rate_after": bits(request.after.rate),
        ":left_before": request.before.remaining.map(signed).transpose()?,
        ":left_after": request.after.remaining.map(signed).transpose()?,
    };
    let written = prepared(connection, sql)?.execute(values);
    Ok(written.map_err(unavailable)? == 1)
}

pub(super) fn note_rates(
    connection: &mut Connection,
    rates: &[RateNote],
    now: UnixMillis,
) -> Result<(), StoreError> {
    let transaction = begin(connection)?;
    for note in rates {
        // Compared here, since a state is an unsigned number, and SQLite has signed ones.
        let sql = "SELECT rowid AS row, rate_state, remaining_uses FROM api_key_usage \
             WHERE lineage = ?1";
        let stored = match one(
            &mut prepared(&transaction, sql)?,
            [note.lineage.as_str()],
            read_usage,
        ) {
            Ok(Some(stored)) => stored.rate,
            // A damaged row must not prevent the update of all others.
            Ok(None) | Err(StoreError::Corrupt(_)) => continue,
            Err(error) => return Err(error),
        };
        let merged = note.merged(stored, now);
        if merged != stored {
            let sql = "UPDATE api_key_usage SET rate_state = ?2 WHERE lineage = ?1";
            prepared(&transaction, sql)?
                .execute(params![
                    note.lineage.as_str(),
                    merged.to_bits().cast_signed()
                ])
                .map_err(unavailable)?;
        }
    }
    transaction.commit().map_err(unavailable)
}

pub(super) fn note_uses(
    connection: &mut Connection,
    uses: &[(KeyId, UnixMillis)],
) -> Result<(), StoreError> {
    let transaction = begin(connection)?;
    for (id, at) in uses {
        // Compared here and not in SQL, since other code may have written another form.
        let sql = "SELECT rowid AS row, last_used_at FROM api_keys WHERE key_id = ?1";
        let read = |row: &Row<'_>| read_time(row, "last_used_at");
        let noted = match one(&mut prepared(&transaction, sql)?, [id.as_str()], read) {
            Ok(noted) => noted,
            // A damaged row must not prevent the update of all others.
            Err(StoreError::Corrupt(_)) => continue,
            Err(error) => return Err(error),
        };
        if noted.is_some_and(|noted| noted < Some(*at)) {
            let sql = "UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1";
            prepared(&transaction, sql)?
                .execute(params![id.as_str(), instant::format(*at)])
                .map_err(unavailable)?;
        }
    }
    transaction.commit().map_err(unavailable)
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)
}

fn insert(connection: &Connection, record: &KeyRecord) -> Result<(), StoreError> {
    let usage = "INSERT INTO api_key_usage (lineage, rate_state, remaining_uses) \
                 VALUES (?1, 0, ?2) ON CONFLICT (lineage) DO NOTHING";
    let remaining = record.remaining_uses.map(signed).transpose()?;
    prepared(connection, usage)?
        .execute(params![record.lineage.as_str(), remaining])
        .map_err(unavailable)?;
    let key = "INSERT INTO api_keys (key_id, key_hash, digest_pepper, key_prefix, client_name, \
         client_email, owner, environment, permissions, allowed_endpoints, allowed_networks, \
         rate_limit, rate_window_ms, rate_burst, scope_type, metadata, created_at, expires_at, \
         is_active, status, revoked_at, revoke_reason, lineage, replaced_by, overlap_until, \
         ends_at_first_use, version, last_used_at) \
         VALUES (:key_id, :key_hash, :digest_pepper, :key_prefix, :client_name, \
         :client_email, :owner, :environment, :permissions, :allowed_endpoints, \
         :allowed_networks, :rate_limit, :rate_window_ms, :rate_burst, :scope_type, :metadata, \
         :created_at, :expires_at, :is_active, :status, :revoked_at, :revoke_reason, :lineage, \
         :replaced_by, :overlap_until, :ends_at_first_use, :version, :last_used_at)";
    let mut columns = columns(record)?;
    columns.push((":last_used_at", row::time(record.last_used_at)));
    let inserted = prepared(connection, key)?.execute(&*row::params(&columns));
    inserted
        .map(drop)
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => StoreError::Duplicate,
            _ => unavailable(error),
        })
}

fn update(connection: &Connection, record: &KeyRecord) -> Result<(), StoreError> {
    // The uses that were spent and the last use do not change: other statements write them.
    let sql = "UPDATE api_keys SET key_hash = :key_hash, digest_pepper = :digest_pepper, \
         key_prefix = :key_prefix, client_name = :client_name, client_email = :client_email, \
         owner = :owner, environment = :environment, permissions = :permissions, \
         allowed_endpoints = :allowed_endpoints, allowed_networks = :allowed_networks, \
         rate_limit = :rate_limit, rate_window_ms = :rate_window_ms, rate_burst = :rate_burst, \
         scope_type = :scope_type, metadata = :metadata, created_at = :created_at, \
         expires_at = :expires_at, is_active = :is_active, status = :status, \
         revoked_at = :revoked_at, revoke_reason = :revoke_reason, \
         replaced_by = :replaced_by, overlap_until = :overlap_until, \
         ends_at_first_use = :ends_at_first_use, version = :version \
         WHERE key_id = :key_id AND lineage = :lineage AND version = :version - 1 \
         AND (status <> 'revoked' OR (status = :status AND revoked_at = :revoked_at \
         AND revoke_reason = :revoke_reason))";
    let columns = columns(record)?;
    let updated = prepared(connection, sql)?.execute(&*row::params(&columns));
    one_updated(updated)
}

fn keep_up(connection: &Connection, upkeep: &Upkeep) -> Result<(), StoreError> {
    let columns = upkeep_columns(upkeep)?;
    let set: Vec<_> = columns
        .iter()
        .filter_map(|(parameter, _)| {
            let column = parameter.strip_prefix(':')?;
            Some(format!("{column} = {parameter}"))
        })
        .collect();
    let sql = format!(
        "UPDATE api_keys SET {}, version = :version \
         WHERE key_id = :key_id AND version = :version - 1 AND status <> 'revoked'",
        set.join(", ")
    );
    let (id, version) = (upkeep.key_id.as_str(), signed(upkeep.version)?);
    let mut values = row::params(&columns);
    values.extend([(":key_id", &id as &dyn ToSql), (":version", &version)]);
    one_updated(prepared(connection, &sql)?.execute(&*values))
}

fn one_updated(updated: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match updated {
        Ok(1) => Ok(()),
        Ok(_) => Err(StoreError::Stale),
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            Err(StoreError::Duplicate)
        }
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER =>
        {
            Err(StoreError::Stale)
        }
        Err(error) => Err(unavailable(error)),
    }
}

fn append(connection: &Connection, event: &Event) -> Result<(), StoreError> {
    let sql = "INSERT INTO api_key_events \
               (kind, key_id, at, version, reason, successor, actor, origin, changes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        event.kind.as_str(),
        event.key_id.as_ref().map_or(MANY_KEYS, KeyId::as_str),
        instant::format(event.at),
        event.version.map(signed).transpose()?,
        event.reason,
        event.successor.as_ref().map(KeyId::as_str),
        event.actor,
        event.origin,
        changes_text(event)?,
    ];
    let written = prepared(connection, sql)?.execute(values);
    written.map(drop).map_err(unavailable)
}
