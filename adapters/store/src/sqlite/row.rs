//! Records and events as rows, and the columns of a row as SQLite stores them.

use keystile::{
    Digest, DigestKind, Environment, Event, KeyId, KeyRecord, RateState, Status, TemplateName,
    UnixMillis, Usage,
};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, ToSql};

use super::instant;
use crate::batch::{Upkeep, UpkeepField};
use crate::error::StoreError;
use crate::row_reader::{RowReader, STATUS_EXPECTED};
use crate::sqlite::fault::unavailable;

/// Selects the columns for [`read_record`]: those of the key, and of its lineage's usage.
pub(crate) const RECORD: &str = "SELECT k.rowid AS row, k.key_id, k.key_hash, k.digest_pepper, \
     k.key_prefix, k.client_name, k.client_email, k.owner, k.environment, k.permissions, \
     k.allowed_endpoints, k.allowed_networks, k.rate_limit, k.rate_window_ms, k.rate_burst, \
     u.lineage AS usage_lineage, u.remaining_uses, k.scope_type, k.metadata, k.created_at, \
     k.last_used_at, k.expires_at, k.is_active, k.status, k.revoked_at, k.revoke_reason, \
     k.lineage, k.replaced_by, k.overlap_until, k.ends_at_first_use, k.version \
     FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage";

/// Selects the columns for [`read_event`].
pub(super) const EVENT: &str = "SELECT number AS row, kind, key_id, at, version, reason, successor, actor, origin, \
     changes FROM api_key_events";

/// A record's columns with their parameter names. The last use and the remaining uses are
/// not among them, since other statements write those.
pub(super) type Columns = Vec<(&'static str, Value)>;

/// The parameters of a statement, borrowed from [`Columns`].
pub(super) fn params(columns: &Columns) -> Vec<(&str, &dyn ToSql)> {
    columns
        .iter()
        .map(|(name, value)| (*name, value as &dyn ToSql))
        .collect()
}

pub(super) fn columns(record: &KeyRecord) -> Result<Columns, StoreError> {
    let [key_hash, digest_pepper] = digest(&record.digest)?;
    let limit = record.rate_limit;
    let window = limit
        .map(|limit| signed(limit.window().get()))
        .transpose()?;
    let burst = limit
        .map(|limit| limit.burst())
        .filter(|burst| Some(*burst) != limit.map(|l| l.limit()));
    let (status, revoked) = match &record.status {
        Status::Active => ("active", None),
        Status::Suspended => ("suspended", None),
        Status::Revoked { at, reason } => ("revoked", Some((*at, reason))),
        _ => return Err(StoreError::OutOfRange),
    };
    let id = |id: Option<KeyId>| text(id.map(|id| id.to_string()));
    Ok(vec![
        (":key_id", id(Some(record.id))),
        key_hash,
        digest_pepper,
        (":key_prefix", text(Some(&*record.key_prefix))),
        (":client_name", text(Some(&*record.client_name))),
        (":client_email", text(record.client_email.as_deref())),
        (":owner", text(record.owner.as_deref())),
        (
            ":environment",
            text(record.environment.as_ref().map(Environment::as_str)),
        ),
        (":permissions", json(Some(&record.permissions))?),
        (
            ":allowed_endpoints",
            json(record.allowed_endpoints.as_ref())?,
        ),
        (":allowed_networks", json(record.allowed_networks.as_ref())?),
        (":rate_limit", number(limit.map(|limit| limit.limit()))),
        (":rate_window_ms", number(window)),
        (":rate_burst", number(burst)),
        (
            ":scope_type",
            text(record.scope_type.as_ref().map(TemplateName::as_str)),
        ),
        (":metadata", verbatim(record.metadata.as_deref())),
        (":created_at", time(Some(record.created_at))),
        (":expires_at", time(record.expires_at)),
        (":is_active", number(Some(record.status == Status::Active))),
        (":status", text(Some(status))),
        (":revoked_at", time(revoked.map(|(at, _)| at))),
        (":revoke_reason", text(revoked.map(|(_, reason)| &**reason))),
        (":lineage", id(Some(record.lineage))),
        (":replaced_by", id(record.replaced_by)),
        (":overlap_until", time(record.overlap_until)),
        (":ends_at_first_use", id(record.ends_at_first_use)),
        (":version", number(Some(signed(record.version)?))),
    ])
}

/// The columns that upkeep writes.
pub(super) fn upkeep_columns(upkeep: &Upkeep) -> Result<Columns, StoreError> {
    Ok(match &upkeep.field {
        UpkeepField::Digest(new) => digest(new)?.into(),
        UpkeepField::OverlapUntil(end) => vec![(":overlap_until", time(*end))],
        UpkeepField::EndsAtFirstUse(key) => {
            vec![(":ends_at_first_use", text(key.map(|key| key.to_string())))]
        }
        UpkeepField::Suspended => status("suspended", None).into(),
        UpkeepField::Revoked { at, reason } => status("revoked", Some((*at, reason))).into(),
    })
}

/// The columns of a status other than active.
fn status(name: &str, revoked: Option<(UnixMillis, &str)>) -> [(&'static str, Value); 4] {
    [
        (":status", text(Some(name))),
        (":is_active", number(Some(false))),
        (":revoked_at", time(revoked.map(|(at, _)| at))),
        (":revoke_reason", text(revoked.map(|(_, reason)| reason))),
    ]
}

fn digest(digest: &Digest) -> Result<[(&'static str, Value); 2], StoreError> {
    let pepper = match digest.kind() {
        DigestKind::Sha256 => None,
        DigestKind::HmacSha256 { pepper } => Some(pepper),
        _ => return Err(StoreError::OutOfRange),
    };
    let written = digest.to_string();
    Ok([
        (":key_hash", text(written.rsplit(':').next())),
        (":digest_pepper", number(pepper)),
    ])
}

pub(super) fn read_record(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    SqliteRow::of(row)?.record()
}

pub(super) fn read_event(row: &Row<'_>) -> Result<(u64, Event), StoreError> {
    let row = SqliteRow::of(row)?;
    let event = row.event()?;
    Ok((row.required("row", row.count("row"))?, event))
}

pub(super) fn read_usage(row: &Row<'_>) -> Result<Usage, StoreError> {
    // Any 64 bits are a valid state of the limiter.
    let rate: i64 = row.get("rate_state").map_err(unavailable)?;
    let rate = RateState::from_bits(rate.cast_unsigned());
    Ok(Usage::new(
        rate,
        SqliteRow::of(row)?.count("remaining_uses")?,
    ))
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

fn text<T: Into<String>>(text: Option<T>) -> Value {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

fn number<N: Into<Value>>(number: Option<N>) -> Value {
    number.map_or(Value::Null, Into::into)
}

pub(super) fn time(instant: Option<UnixMillis>) -> Value {
    text(instant.map(instant::format))
}

fn json<T: serde::Serialize>(list: Option<&T>) -> Result<Value, StoreError> {
    let list = list.map(serde_json::to_string).transpose();
    list.map(text).map_err(StoreError::unavailable)
}

/// A value that SQLite stores unchanged. In a column of type JSONB it would convert the text
/// `1.0` to a number; it never converts a blob.
fn verbatim(json: Option<&str>) -> Value {
    let as_number = |json: &str| {
        json.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
            .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
    };
    match json {
        Some(json) if as_number(json) => Value::Blob(json.into()),
        json => text(json),
    }
}

/// A row in which each value has its own type, as SQLite allows.
struct SqliteRow<'r> {
    row: &'r Row<'r>,
    number: i64,
}

impl<'r> SqliteRow<'r> {
    fn of(row: &'r Row<'r>) -> Result<Self, StoreError> {
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
