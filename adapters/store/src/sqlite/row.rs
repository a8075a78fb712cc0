//! Records and events as rows, and the columns of a row as SQLite stores them.

use keystile::{Event, KeyRecord, RateState, UnixMillis, Usage};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::instant;
use crate::error::StoreError;
use crate::issue_once::IssueAnswer;
use crate::portable::RemovedKey;
use crate::row_reader::{RowReader, STATUS_EXPECTED};
use crate::sqlite::fault::unavailable;
use crate::stored_usage::StoredUsage;
use crate::template::StoredTemplate;
use crate::template_row;

/// Selects the columns for [`read_found`]: those of the key, and of its lineage's usage.
pub(crate) const RECORD: &str = "SELECT k.rowid AS row, k.key_id, k.key_hash, k.digest_pepper, \
     k.key_prefix, k.client_name, k.client_email, k.owner, k.environment, k.permissions, \
     k.allowed_endpoints, k.allowed_networks, k.rate_limit, k.rate_window_ms, k.rate_burst, \
     u.lineage AS usage_lineage, u.rate_state, u.remaining_uses, k.scope_type, k.metadata, k.created_at, \
     k.last_used_at, k.expires_at, k.is_active, k.status, k.revoked_at, k.revoke_reason, \
     k.lineage, k.replaced_by, k.overlap_until, k.ends_at_first_use, k.lifetime_ms, \
     k.derived_from, k.derived_lineage, k.suspended_with, k.version \
     FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage";

/// Selects the columns for [`read_event`].
pub(super) const EVENT: &str = "SELECT number AS row, kind, key_id, at, version, reason, successor, actor, origin, \
     changes FROM api_key_events";

pub(super) fn read_record(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    SqliteRow::of(row)?.record()
}

/// The record, and what its lineage has spent.
pub(super) fn read_found(row: &Row<'_>) -> Result<(KeyRecord, StoredUsage), StoreError> {
    // The record first: it is an error if its lineage has no usage.
    let record = read_record(row)?;
    match read_usage(row) {
        Ok(usage) => Ok((record, StoredUsage::new(usage, None))),
        Err(StoreError::Corrupt(damage)) => Err(StoreError::Corrupt(damage.beside(&record))),
        Err(error) => Err(error),
    }
}

pub(super) fn read_event(row: &Row<'_>) -> Result<(u64, Event), StoreError> {
    let row = SqliteRow::of(row)?;
    let event = row.event()?;
    Ok((row.required("row", row.count("row"))?, event))
}

pub(super) fn read_template(row: &Row<'_>) -> Result<StoredTemplate, StoreError> {
    template_row::read(&SqliteRow::of(row)?)
}

pub(super) fn read_template_version(row: &Row<'_>) -> Result<(u64, UnixMillis), StoreError> {
    template_row::version(&SqliteRow::of(row)?)
}

pub(super) fn read_usage(row: &Row<'_>) -> Result<Usage, StoreError> {
    let row = SqliteRow::of(row)?;
    // Any 64 bits are a valid state of the limiter.
    let ValueRef::Integer(rate) = row.cell("rate_state")? else {
        return Err(row.corrupt("rate_state", "an integer"));
    };
    let rate = RateState::from_bits(rate.cast_unsigned());
    Ok(Usage::new(rate, row.count("remaining_uses")?))
}

/// What is remembered of a removed key, without its digests.
pub(super) fn read_removed(row: &Row<'_>) -> Result<RemovedKey, StoreError> {
    SqliteRow::of(row)?.removed_key()
}

/// What is remembered of a request.
pub(super) fn read_answer(row: &Row<'_>) -> Result<IssueAnswer, StoreError> {
    SqliteRow::of(row)?.issue_answer()
}

/// The time in one column, for a comparison without the whole record.
pub(super) fn read_time(
    row: &Row<'_>,
    column: &'static str,
) -> Result<Option<UnixMillis>, StoreError> {
    SqliteRow::of(row)?.time(column)
}

pub(super) fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::OutOfRange)
}

/// A row in which each value has its own type, as SQLite allows.
pub(super) struct SqliteRow<'r> {
    row: &'r Row<'r>,
    number: i64,
}

impl<'r> SqliteRow<'r> {
    pub(super) fn of(row: &'r Row<'r>) -> Result<Self, StoreError> {
        let number = row.get("row").map_err(unavailable)?;
        Ok(Self { row, number })
    }

    fn cell(&self, column: &'static str) -> Result<ValueRef<'r>, StoreError> {
        self.row.get_ref(column).map_err(unavailable)
    }
}

impl RowReader for SqliteRow<'_> {
    fn row(&self) -> i64 {
        self.number
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, StoreError> {
        match self.cell(column)? {
            ValueRef::Null => Some(None),
            ValueRef::Text(bytes) => core::str::from_utf8(bytes).ok().map(Some),
            _ => None,
        }
        .ok_or_else(|| self.corrupt(column, "text in UTF-8"))
    }

    fn count(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        match self.cell(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => u64::try_from(number)
                .map(Some)
                .map_err(|_| self.corrupt(column, "a number that is 0 or greater")),
            _ => Err(self.corrupt(column, "an integer")),
        }
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        match self.count(column)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            // Neither true nor false: it contradicts any status, so this is the same error.
            Some(_) => Err(self.corrupt("status", STATUS_EXPECTED)),
        }
    }

    fn time(&self, column: &'static str) -> Result<Option<UnixMillis>, StoreError> {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let instant = instant::parse(text);
        instant.map(Some).ok_or_else(|| {
            self.corrupt(
                column,
                "an instant from 1973 to 9999, such as 2026-09-21T14:13:20.000Z",
            )
        })
    }

    /// Text that SQLite may have converted to a number.
    fn metadata(&self) -> Result<Option<Box<str>>, StoreError> {
        let column = "metadata";
        match self.cell(column)? {
            ValueRef::Integer(number) => Ok(Some(number.to_string().into())),
            ValueRef::Blob(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.into())),
                Err(_) => Err(self.corrupt(column, "text in UTF-8")),
            },
            _ => Ok(self.text(column)?.map(Into::into)),
        }
    }
}
