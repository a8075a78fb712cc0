//! Records and events as rows, and the columns of a row as the server sends them.

use keystile::{Event, KeyRecord, RateState, UnixMillis, Usage};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::fault::Fault;
use super::timestamptz::Timestamptz;
use crate::error::StoreError;
use crate::issue_once::IssueAnswer;
use crate::portable::RemovedKey;
use crate::row_reader::RowReader;
use crate::stored_usage::StoredUsage;
use crate::template::StoredTemplate;
use crate::template_row;

/// Selects the columns for [`read_record`]: those of the key, and of its lineage's usage.
pub(crate) const RECORD: &str = "SELECT k.id::bigint AS row, k.key_id, k.key_hash::text, \
     k.digest_pepper, k.key_prefix, k.client_name, k.client_email, k.owner, k.environment, \
     k.permissions::text, k.allowed_endpoints::text, k.allowed_networks::text, \
     k.rate_limit::bigint, k.rate_limit_wide, k.rate_window_ms, k.rate_burst, \
     u.lineage AS usage_lineage, u.rate_state, u.remaining_uses, k.scope_type, k.metadata_text, \
     k.metadata::text, k.created_at, k.last_used_at, k.expires_at, k.is_active, k.status, \
     k.revoked_at, k.revoke_reason, k.lineage, k.replaced_by, k.overlap_until, \
     k.ends_at_first_use, k.lifetime_ms, k.derived_from, k.derived_lineage, k.suspended_with, \
     k.version \
     FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage";

/// The server's clock, in milliseconds. It goes on inside a transaction, as `now()` does not.
pub(super) const CLOCK: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// When the statement arrived, by the same clock.
pub(super) const ARRIVAL: &str = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint";

/// Selects the columns for [`read_event`].
pub(super) const EVENT: &str = "SELECT number AS row, kind, key_id, at, version, reason, successor, actor, origin, \
     changes::text FROM api_key_events";

/// The largest value of the column `rate_limit`, which is an INTEGER.
const LIMIT_MAX: i64 = i32::MAX as i64;

pub(super) fn read_record(row: &Row) -> Result<KeyRecord, Fault> {
    Ok(PostgresRow::of(row)?.record()?)
}

/// The record, and what its lineage has spent; of a row that has the column `clock`, too.
pub(super) fn read_found(row: &Row) -> Result<(KeyRecord, StoredUsage), Fault> {
    // The record first: it is an error if its lineage has no usage.
    let record = read_record(row)?;
    match read_usage(row) {
        Ok(usage) => Ok((record, usage)),
        Err(Fault::Store(StoreError::Corrupt(damage))) => {
            Err(StoreError::Corrupt(damage.beside(&record)).into())
        }
        Err(fault) => Err(fault),
    }
}

/// The record, and the state of its lineage's limit.
pub(super) fn read_with_rate(row: &Row) -> Result<(KeyRecord, RateState), Fault> {
    let record = read_record(row)?;
    let rate: Option<i64> = row.try_get("rate_state")?;
    let rate = rate.unwrap_or_default().cast_unsigned();
    Ok((record, RateState::from_bits(rate)))
}

/// What is remembered of a request.
pub(super) fn read_answer(row: &Row) -> Result<IssueAnswer, Fault> {
    Ok(PostgresRow::of(row)?.issue_answer()?)
}

/// What is remembered of a removed key, without its digests.
pub(super) fn read_removed(row: &Row) -> Result<RemovedKey, Fault> {
    Ok(PostgresRow::of(row)?.removed_key()?)
}

pub(super) fn read_event(row: &Row) -> Result<(u64, Event), Fault> {
    let row = PostgresRow::of(row)?;
    let number = row.required("row", row.count("row"))?;
    Ok((number, row.event()?))
}

pub(super) fn read_template(row: &Row) -> Result<StoredTemplate, Fault> {
    Ok(template_row::read(&PostgresRow::of(row)?)?)
}

pub(super) fn read_template_version(row: &Row) -> Result<(u64, UnixMillis), Fault> {
    Ok(template_row::version(&PostgresRow::of(row)?)?)
}

pub(super) fn read_usage(row: &Row) -> Result<StoredUsage, Fault> {
    let clock = read_clock(row)?;
    let row = PostgresRow::of(row)?;
    // Any 64 bits are a valid state of the limiter.
    let rate = row.required("rate_state", row.cell::<i64>("rate_state"))?;
    let rate = RateState::from_bits(rate.cast_unsigned());
    let usage = Usage::new(rate, row.count("remaining_uses")?);
    Ok(StoredUsage::new(usage, Some(clock)))
}

/// The server's clock, from the column `clock`.
pub(super) fn read_clock(row: &Row) -> Result<UnixMillis, Fault> {
    let millis: i64 = row.try_get("clock")?;
    let clock = u64::try_from(millis).ok().map(UnixMillis::new);
    match clock {
        Some(Ok(clock)) => Ok(clock),
        // A server whose clock shows a year before 1970 or after 9999.
        _ => Err(StoreError::OutOfRange.into()),
    }
}

pub(super) fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::OutOfRange)
}

/// A row whose values have the types of their columns, as PostgreSQL guarantees.
struct PostgresRow<'r> {
    row: &'r Row,
    number: i64,
}

impl<'r> PostgresRow<'r> {
    fn of(row: &'r Row) -> Result<Self, Fault> {
        let number = row.try_get("row")?;
        Ok(Self { row, number })
    }

    fn cell<T: FromSql<'r>>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let cell = self.row.try_get(column);
        cell.map_err(|_| self.corrupt(column, "a value of the type in the migrations"))
    }
}

impl RowReader for PostgresRow<'_> {
    fn row(&self) -> i64 {
        self.number
    }

    fn text(&self, column: &'static str) -> Result<Option<&str>, StoreError> {
        self.cell(column)
    }

    fn count(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let number = self.cell::<i64>(column)?.map(u64::try_from).transpose();
        number.map_err(|_| self.corrupt(column, "a number that is 0 or greater"))
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        self.cell(column)
    }

    fn time(&self, column: &'static str) -> Result<Option<UnixMillis>, StoreError> {
        let Some(value) = self.cell::<Timestamptz>(column)? else {
            return Ok(None);
        };
        let instant = value.instant();
        let expected = "a finite instant from 1973 to 9999";
        instant
            .map(Some)
            .ok_or_else(|| self.corrupt(column, expected))
    }

    /// The text that keystile wrote; if other code wrote the metadata, PostgreSQL's JSON text.
    fn metadata(&self) -> Result<Option<Box<str>>, StoreError> {
        let given = self.cell::<&[u8]>("metadata_text")?;
        let given = given.map(core::str::from_utf8).transpose();
        let given = given.map_err(|_| self.corrupt("metadata_text", "text in UTF-8"))?;
        Ok(given.or(self.text("metadata")?).map(Into::into))
    }

    fn limit(&self) -> Result<Option<u32>, StoreError> {
        let limit = self.small("rate_limit")?;
        let at_most = u32::try_from(LIMIT_MAX).ok();
        // If other code has lowered the limit since, the wide one no longer counts.
        match self.small("rate_limit_wide")? {
            Some(wide) if limit == at_most => Ok(Some(wide)),
            _ => Ok(limit),
        }
    }
}
