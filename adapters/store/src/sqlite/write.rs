//! Writes to the tables. A batch is one transaction, and each transaction takes the write
//! lock at its start, so that none fails halfway because of what it read.

use keystile::{KeyId, RateState, UnixMillis};
use rusqlite::{
    Connection, Row, Transaction, TransactionBehavior, ffi, named_params, params, params_from_iter,
};

use super::read::{last_event, one, prepared};
use super::row::{read_time, read_usage, signed};
use super::templates;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::instant;
use crate::sqlite::fault::unavailable;
use crate::statement::Statement;
use crate::store::SpendRequest;
use crate::stored_usage::RateNote;

pub(super) fn commit(connection: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
    let statements = batch.sqlite_statements()?;
    let transaction = begin(connection)?;
    if let Some(expected) = batch.last_event
        && last_event(&transaction)? != expected
    {
        return Err(StoreError::Stale);
    }
    if let Some(relied_on) = &batch.template_unchanged {
        templates::require(&transaction, relied_on)?;
    }
    for statement in statements {
        execute(&transaction, &statement)?;
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

pub(super) fn replace_rate(
    connection: &Connection,
    lineage: &KeyId,
    before: RateState,
    after: RateState,
) -> Result<bool, StoreError> {
    let sql = "UPDATE api_key_usage SET rate_state = ?3 WHERE lineage = ?1 AND rate_state = ?2";
    let [before, after] = [before, after].map(|state| state.to_bits().cast_signed());
    let written = prepared(connection, sql)?.execute(params![lineage.as_str(), before, after]);
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

pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(unavailable)
}

fn execute(connection: &Connection, statement: &Statement) -> Result<(), StoreError> {
    let values = params_from_iter(&statement.values);
    let changed = prepared(connection, statement.sql)?.execute(values);
    match changed {
        Ok(1) => Ok(()),
        Ok(_) if statement.must_change_a_row => Err(StoreError::Stale),
        Ok(_) => Ok(()),
        Err(error) => Err(
            match error.sqlite_error().map(|error| error.extended_code) {
                Some(ffi::SQLITE_CONSTRAINT_UNIQUE) => StoreError::Duplicate,
                // A guard of an id that is taken, or of a record that is not to be changed.
                Some(ffi::SQLITE_CONSTRAINT_TRIGGER) if statement.must_change_a_row => {
                    StoreError::Stale
                }
                Some(ffi::SQLITE_CONSTRAINT_TRIGGER) => StoreError::Duplicate,
                _ => unavailable(error),
            },
        ),
    }
}
