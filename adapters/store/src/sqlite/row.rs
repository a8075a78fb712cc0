//! Records and events as rows, and back; what cannot be read is an error, never a record
//! that grants more.

use core::str::FromStr;

use keystile::{
    Digest, DigestKind, EndpointRules, Environment, Event, EventKind, KeyId, KeyRecord, Millis,
    Networks, PermissionSet, RateLimit, RateState, Status, TemplateName, UnixMillis, Usage,
};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, ToSql};
use serde::de::DeserializeOwned;

use super::instant;
use crate::error::{Damage, StoreError};

/// What is selected for [`read_record`], of `api_keys k` with its `api_key_usage u`.
pub(super) const RECORD: &str = "SELECT k.rowid AS row, k.key_id, k.key_hash, k.digest_pepper, \
     k.key_prefix, k.client_name, k.client_email, k.owner, k.environment, k.permissions, \
     k.allowed_endpoints, k.allowed_networks, k.rate_limit, k.rate_window_ms, k.rate_burst, \
     u.lineage AS usage_lineage, u.remaining_uses, k.scope_type, k.metadata, k.created_at, \
     k.last_used_at, k.expires_at, k.is_active, k.status, k.revoked_at, k.revoke_reason, \
     k.lineage, k.replaced_by, k.overlap_until, k.ends_at_first_use, k.version \
     FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage";

/// What is selected for [`read_event`].
pub(super) const EVENT: &str =
    "SELECT number AS row, kind, key_id, at, reason, successor FROM api_key_events";

/// A record's columns under their parameter names. The two that other writes keep, the
/// last use and the uses that are left, are not among them.
pub(super) type Columns = Vec<(&'static str, Value)>;

/// The parameters of a statement, borrowed from [`Columns`].
pub(super) fn params(columns: &Columns) -> Vec<(&str, &dyn ToSql)> {
    columns
        .iter()
        .map(|(name, value)| (*name, value as &dyn ToSql))
        .collect()
}

pub(super) fn columns(record: &KeyRecord) -> Result<Columns, StoreError> {
    let pepper = match record.digest.kind() {
        DigestKind::Sha256 => None,
        DigestKind::HmacSha256 { pepper } => Some(pepper),
        _ => return Err(StoreError::OutOfRange),
    };
    let digest = record.digest.to_string();
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
        (":key_hash", text(digest.rsplit(':').next())),
        (":digest_pepper", number(pepper)),
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

pub(super) fn read_record(row: &Row<'_>) -> Result<KeyRecord, StoreError> {
    let row = Cells::of(row)?;
    let digest = row.digest()?;
    let mut record = KeyRecord::new(
        row.must("key_id", Cells::parsed)?,
        digest,
        row.must("key_prefix", Cells::text)?,
        row.must("client_name", Cells::text)?,
        row.must("created_at", Cells::time)?,
    )
    .map_err(|error| row.damage("client_name", error.message()))?;
    record.client_email = row.text("client_email")?.map(Into::into);
    record.owner = row.text("owner")?.map(Into::into);
    record.environment = row.named("environment", Environment::new)?;
    record.permissions = row.must("permissions", Cells::list::<PermissionSet>)?;
    record.allowed_endpoints = row.list::<EndpointRules>("allowed_endpoints")?;
    record.allowed_networks = row.list::<Networks>("allowed_networks")?;
    record.rate_limit = row.rate_limit()?;
    record.scope_type = row.named("scope_type", TemplateName::new)?;
    record.metadata = row.verbatim("metadata")?;
    record.last_used_at = row.time("last_used_at")?;
    record.expires_at = row.time("expires_at")?;
    record.status = row.status()?;
    record.lineage = row.must("lineage", Cells::parsed)?;
    record.remaining_uses = row.count("remaining_uses")?;
    if row.text("usage_lineage")?.is_none() {
        // Without it, uses that were counted would seem not to be.
        return Err(row.damage("lineage", "a lineage that has a row of usage"));
    }
    record.replaced_by = row.parsed("replaced_by")?;
    record.overlap_until = row.time("overlap_until")?;
    record.ends_at_first_use = row.parsed("ends_at_first_use")?;
    record.version = row.must("version", Cells::count)?;
    record
        .check()
        .map_err(|error| row.damage("any", error.message()))?;
    Ok(record)
}

pub(super) fn read_event(row: &Row<'_>) -> Result<(u64, Event), StoreError> {
    let row = Cells::of(row)?;
    let kind = row.text("kind")?.and_then(EventKind::from_name);
    let kind = kind.ok_or_else(|| row.damage("kind", "the name of an event"))?;
    let mut event = Event::new(
        kind,
        row.must("key_id", Cells::parsed)?,
        row.must("at", Cells::time)?,
    );
    event.reason = row.text("reason")?.map(Into::into);
    event.successor = row.parsed("successor")?;
    Ok((row.must("row", Cells::count)?, event))
}

pub(super) fn read_usage(row: &Row<'_>) -> Result<Usage, StoreError> {
    // Any 64 bits are a state of the limiter.
    let rate: i64 = row.get("rate_state").map_err(StoreError::unavailable)?;
    let rate = RateState::from_bits(rate.cast_unsigned());
    Ok(Usage::new(rate, Cells::of(row)?.count("remaining_uses")?))
}

/// A column of times that a comparison is made on, outside a record.
pub(super) fn read_time(
    row: &Row<'_>,
    column: &'static str,
) -> Result<Option<UnixMillis>, StoreError> {
    Cells::of(row)?.time(column)
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
    text(instant.map(instant::write))
}

fn json<T: serde::Serialize>(list: Option<&T>) -> Result<Value, StoreError> {
    let list = list.map(serde_json::to_string).transpose();
    list.map(text).map_err(StoreError::unavailable)
}

/// A text that comes back as it is. In a column of the type JSONB, SQLite would make a
/// number of `1.0`; of a blob it makes nothing.
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

/// One row, read by the names of its columns.
struct Cells<'r> {
    row: &'r Row<'r>,
    number: i64,
}

impl<'r> Cells<'r> {
    fn of(row: &'r Row<'r>) -> Result<Self, StoreError> {
        let number = row.get("row").map_err(StoreError::unavailable)?;
        Ok(Self { row, number })
    }

    fn damage(&self, column: &'static str, expected: &'static str) -> StoreError {
        StoreError::Corrupt(Damage {
            row: self.number,
            column,
            expected,
        })
    }

    fn must<T>(
        &self,
        column: &'static str,
        read: impl Fn(&Self, &'static str) -> Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        read(self, column)?.ok_or_else(|| self.damage(column, "a value"))
    }

    fn cell(&self, column: &'static str) -> Result<ValueRef<'r>, StoreError> {
        self.row.get_ref(column).map_err(StoreError::unavailable)
    }

    fn text(&self, column: &'static str) -> Result<Option<&'r str>, StoreError> {
        match self.cell(column)? {
            ValueRef::Null => Some(None),
            ValueRef::Text(bytes) => core::str::from_utf8(bytes).ok().map(Some),
            _ => None,
        }
        .ok_or_else(|| self.damage(column, "text in UTF-8"))
    }

    /// Text that SQLite may have made a number of.
    fn verbatim(&self, column: &'static str) -> Result<Option<Box<str>>, StoreError> {
        match self.cell(column)? {
            ValueRef::Integer(number) => Ok(Some(number.to_string().into())),
            ValueRef::Blob(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.into())),
                Err(_) => Err(self.damage(column, "text in UTF-8")),
            },
            _ => Ok(self.text(column)?.map(Into::into)),
        }
    }

    fn count(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        match self.cell(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => u64::try_from(number)
                .map(Some)
                .map_err(|_| self.damage(column, "a number that is not below 0")),
            _ => Err(self.damage(column, "a whole number")),
        }
    }

    fn small(&self, column: &'static str) -> Result<Option<u32>, StoreError> {
        let count = self.count(column)?.map(u32::try_from).transpose();
        count.map_err(|_| self.damage(column, "a number below 2^32"))
    }

    /// A time that cannot be read is damage, and never "no time".
    fn time(&self, column: &'static str) -> Result<Option<UnixMillis>, StoreError> {
        let Some(text) = self.text(column)? else {
            return Ok(None);
        };
        let instant = instant::read(text);
        instant.map(Some).ok_or_else(|| {
            self.damage(
                column,
                "an instant from 1973 to 9999, as 2026-09-21T14:13:20.000Z",
            )
        })
    }

    fn named<T>(
        &self,
        column: &'static str,
        new: impl Fn(&str) -> Result<T, keystile::Error>,
    ) -> Result<Option<T>, StoreError> {
        let named = self.text(column)?.map(new).transpose();
        named.map_err(|error| self.damage(column, error.message()))
    }

    fn parsed<T: FromStr<Err = keystile::Error>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.named(column, str::parse)
    }

    fn list<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let list = self.text(column)?.map(serde_json::from_str).transpose();
        list.map_err(|_| self.damage(column, "a JSON array of rules as a key holds them"))
    }

    fn digest(&self) -> Result<Digest, StoreError> {
        let column = "key_hash";
        let digits = self.must(column, Self::text)?;
        // An upper-case digit would be one text more for the same digest, which a look-up
        // does not find.
        let lower = digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bare = digits.parse::<Digest>().ok().filter(|_| lower);
        let bare = bare.ok_or_else(|| self.damage(column, "64 lower-case hex digits"))?;
        let kind = match self.small("digest_pepper")? {
            None => DigestKind::Sha256,
            Some(pepper) => DigestKind::HmacSha256 { pepper },
        };
        Ok(Digest::new(kind, *bare.bytes()))
    }

    fn rate_limit(&self) -> Result<Option<RateLimit>, StoreError> {
        let column = "rate_limit";
        let parts = (
            self.small(column)?,
            self.count("rate_window_ms")?,
            self.small("rate_burst")?,
        );
        match parts {
            (None, None, None) => Ok(None),
            (Some(limit), Some(window), burst) => {
                RateLimit::with_burst(limit, Millis::new(window), burst.unwrap_or(limit))
                    .map(Some)
                    .map_err(|error| self.damage(column, error.message()))
            }
            _ => Err(self.damage(column, "a limit and its window, or neither")),
        }
    }

    fn status(&self) -> Result<Status, StoreError> {
        let is_active = self.count("is_active")?;
        let revoked = (self.time("revoked_at")?, self.text("revoke_reason")?);
        match (self.text("status")?, is_active, revoked) {
            (Some("active"), Some(1), (None, None)) => Ok(Status::Active),
            (Some("suspended"), Some(0), (None, None)) => Ok(Status::Suspended),
            (Some("revoked"), Some(0), (Some(at), Some(reason))) => Ok(Status::Revoked {
                at,
                reason: reason.into(),
            }),
            _ => Err(self.damage("status", "status, is_active and the revocation that agree")),
        }
    }
}
