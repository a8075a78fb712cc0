//! Reads records and events from a row of any database. A value that cannot be read is an
//! error, and never a record that grants more.

use core::str::FromStr;
use std::borrow::Cow;

use keystile::{
    DerivedFrom, Digest, DigestKind, Environment, Event, EventKind, FieldChange, KeyRecord, Millis,
    RateLimit, Status, TemplateName, UNSPECIFIED, UnixMillis,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{CorruptRow, StoreError};
use crate::issue_once::IssueAnswer;
use crate::portable::{RemovedKey, of_hex};

/// A row whose columns are read by name. Each database implements the required methods; the
/// provided ones parse the values that those return.
pub(crate) trait RowReader: Sized {
    /// The row's number in its table.
    fn row(&self) -> i64;

    fn text(&self, column: &'static str) -> Result<Option<&str>, StoreError>;

    fn count(&self, column: &'static str) -> Result<Option<u64>, StoreError>;

    fn flag(&self, column: &'static str) -> Result<Option<bool>, StoreError>;

    /// A time that cannot be read is an error, and never "no time".
    fn time(&self, column: &'static str) -> Result<Option<UnixMillis>, StoreError>;

    fn metadata(&self) -> Result<Option<Box<str>>, StoreError>;

    /// The number of requests of the rate limit.
    fn limit(&self) -> Result<Option<u32>, StoreError> {
        self.small("rate_limit")
    }

    fn corrupt(&self, column: &'static str, expected: &'static str) -> StoreError {
        StoreError::Corrupt(CorruptRow::new(self.row(), column, expected))
    }

    fn required<T>(
        &self,
        column: &'static str,
        cell: Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        cell?.ok_or_else(|| self.corrupt(column, "a value"))
    }

    fn small(&self, column: &'static str) -> Result<Option<u32>, StoreError> {
        let count = self.count(column)?.map(u32::try_from).transpose();
        count.map_err(|_| self.corrupt(column, "a number below 2^32"))
    }

    fn named<T>(
        &self,
        column: &'static str,
        new: impl Fn(&str) -> Result<T, keystile::Error>,
    ) -> Result<Option<T>, StoreError> {
        let named = self.text(column)?.map(new).transpose();
        named.map_err(|error| self.corrupt(column, error.message()))
    }

    fn parsed<T: FromStr<Err = keystile::Error>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.named(column, str::parse)
    }

    fn list<T: DeserializeOwned>(
        &self,
        column: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let list = self.text(column)?.map(serde_json::from_str).transpose();
        list.map_err(|_| self.corrupt(column, expected))
    }

    fn digest(&self) -> Result<Digest, StoreError> {
        let column = "key_hash";
        let digits = self.required(column, self.text(column))?;
        // With upper-case digits, the same digest would have another text, which a lookup
        // does not find.
        let lower = digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digest = digits.parse::<Digest>().ok().filter(|_| lower);
        let digest = digest.ok_or_else(|| self.corrupt(column, "64 lower-case hex digits"))?;
        let kind = match self.small("digest_pepper")? {
            None => DigestKind::Sha256,
            Some(pepper) => DigestKind::HmacSha256 { pepper },
        };
        Ok(Digest::new(kind, *digest.bytes()))
    }

    fn rate_limit(&self) -> Result<Option<RateLimit>, StoreError> {
        let column = "rate_limit";
        let parts = (
            self.limit()?,
            self.count("rate_window_ms")?,
            self.small("rate_burst")?,
        );
        match parts {
            (None, None, None) => Ok(None),
            (Some(limit), Some(window), burst) => {
                RateLimit::with_burst(limit, Millis::new(window), burst.unwrap_or(limit))
                    .map(Some)
                    .map_err(|error| self.corrupt(column, error.message()))
            }
            _ => Err(self.corrupt(column, "rate_limit and rate_window_ms, or neither")),
        }
    }

    fn status(&self) -> Result<Status, StoreError> {
        let is_active = self.flag("is_active")?;
        let revoked = (self.time("revoked_at")?, self.text("revoke_reason")?);
        match (self.text("status")?, is_active, revoked) {
            (Some("active"), Some(true), (None, None)) => Ok(Status::Active),
            (Some("suspended"), Some(false), (None, None)) => Ok(Status::Suspended),
            (Some("revoked"), Some(false), (Some(at), Some(reason))) => Ok(Status::Revoked {
                at,
                reason: reason.into(),
            }),
            _ => Err(self.corrupt("status", STATUS_EXPECTED)),
        }
    }

    /// The record in a row that is joined with its lineage's usage. An error about the row has
    /// what can be read of it without the damaged column.
    fn record(&self) -> Result<KeyRecord, StoreError> {
        self.whole_record().map_err(|error| match error {
            StoreError::Corrupt(damaged) => StoreError::Corrupt(CorruptRow {
                key_id: self.parsed("key_id").ok().flatten(),
                owner: self.text("owner").ok().flatten().map(Into::into),
                status: self.text("status").ok().flatten().and_then(status_name),
                version: self.count("version").ok().flatten(),
                digest: self.digest().ok().map(Box::new),
                ..damaged
            }),
            other => other,
        })
    }

    fn whole_record(&self) -> Result<KeyRecord, StoreError> {
        let digest = self.digest()?;
        let mut record = KeyRecord::new(
            self.required("key_id", self.parsed("key_id"))?,
            digest,
            self.required("key_prefix", self.text("key_prefix"))?,
            self.required("client_name", self.text("client_name"))?,
            self.required("created_at", self.time("created_at"))?,
        )
        .map_err(|error| self.corrupt("client_name", error.message()))?;
        record.client_email = self.text("client_email")?.map(Into::into);
        record.owner = self.text("owner")?.map(Into::into);
        record.environment = self.named("environment", Environment::new)?;
        let permissions = self.list("permissions", "a JSON array of permissions");
        record.permissions = self.required("permissions", permissions)?;
        record.allowed_endpoints =
            self.list("allowed_endpoints", "a JSON array of endpoint rules")?;
        record.allowed_networks = self.list("allowed_networks", "a JSON array of networks")?;
        record.rate_limit = self.rate_limit()?;
        record.scope_type = self.named("scope_type", TemplateName::new)?;
        record.metadata = self.metadata()?;
        record.last_used_at = self.time("last_used_at")?;
        record.expires_at = self.time("expires_at")?;
        record.status = self.status()?;
        record.lineage = self.required("lineage", self.parsed("lineage"))?;
        record.remaining_uses = self.count("remaining_uses")?;
        if self.text("usage_lineage")?.is_none() {
            // Without it, uses that are counted would appear to be unlimited.
            return Err(self.corrupt("lineage", "a lineage with a row in api_key_usage"));
        }
        record.replaced_by = self.parsed("replaced_by")?;
        record.overlap_until = self.time("overlap_until")?;
        record.ends_at_first_use = self.parsed("ends_at_first_use")?;
        record.lifetime = self.count("lifetime_ms")?.map(Millis::new);
        record.derived_from = self.derived_from()?;
        // Other code that resumes a key does not know this column.
        if record.status == Status::Suspended {
            record.suspended_with = self.parsed("suspended_with")?;
        }
        record.version = self.required("version", self.count("version"))?;
        record
            .check()
            .map_err(|error| self.corrupt(column_of(error.field()), error.message()))?;
        Ok(record)
    }

    fn derived_from(&self) -> Result<Option<DerivedFrom>, StoreError> {
        let parts = (
            self.parsed("derived_from")?,
            self.parsed("derived_lineage")?,
        );
        match parts {
            (None, None) => Ok(None),
            (Some(key_id), Some(lineage)) => Ok(Some(DerivedFrom::new(key_id, lineage))),
            _ => Err(self.corrupt(
                "derived_from",
                "derived_from and derived_lineage, or neither",
            )),
        }
    }

    /// What is remembered of a removed key, without its digests.
    fn removed_key(&self) -> Result<RemovedKey, StoreError> {
        let key_id = self.required("key_id", self.parsed("key_id"))?;
        let version = self.required("version", self.count("version"))?;
        let mut removed = RemovedKey::new(key_id, version);
        removed.revoked = match (self.time("revoked_at")?, self.text("revoke_reason")?) {
            (Some(at), reason) => Some((at, reason.unwrap_or(UNSPECIFIED).into())),
            (None, _) => None,
        };
        removed.owner = self.text("owner")?.map(Into::into);
        Ok(removed)
    }

    /// What is remembered of a request.
    fn issue_answer(&self) -> Result<IssueAnswer, StoreError> {
        let body = self.required("body", self.text("body"))?;
        let body = of_hex(body).ok_or_else(|| self.corrupt("body", "64 lower-case hex digits"))?;
        let key_id = self.required("key_id", self.parsed("key_id"))?;
        let at = self.required("at", self.time("at"))?;
        Ok(IssueAnswer::new(body, key_id, at))
    }

    fn event(&self) -> Result<Event, StoreError> {
        let kind = self.text("kind")?.and_then(EventKind::from_name);
        let kind = kind.ok_or_else(|| self.corrupt("kind", "the name of an event kind"))?;
        let at = self.required("at", self.time("at"))?;
        let mut event = match self.text("key_id")? {
            Some(MANY_KEYS) => Event::of_many(kind, at),
            _ => Event::new(kind, self.required("key_id", self.parsed("key_id"))?, at),
        };
        event.version = self.count("version")?;
        event.reason = self.text("reason")?.map(Into::into);
        event.successor = self.parsed("successor")?;
        event.actor = self.text("actor")?.map(Into::into);
        event.origin = self.text("origin")?.map(Into::into);
        let changes = self.list::<Vec<ChangeForm<'_>>>("changes", "a JSON array of changes")?;
        let changes = changes.unwrap_or_default();
        event.changes = changes
            .iter()
            .map(|change| {
                let (from, to) = (change.from.as_deref(), change.to.as_deref());
                FieldChange::new(&change.field).with_values(from, to)
            })
            .collect();
        Ok(event)
    }
}

/// The column of a field of a record.
fn column_of(field: Option<&'static str>) -> &'static str {
    match field {
        Some("reason") => "revoke_reason",
        Some(field) => field,
        None => "replaced_by",
    }
}

fn status_name(text: &str) -> Option<&'static str> {
    let names = ["active", "suspended", "revoked"];
    names.into_iter().find(|name| *name == text)
}

/// The key of an event of more keys than have events of their own.
pub(crate) const MANY_KEYS: &str = "*";

/// A change of a field as events store it. Members that are not known here are ignored: a
/// later version may have written them.
#[derive(Serialize, Deserialize)]
struct ChangeForm<'f> {
    field: Cow<'f, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'f, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Cow<'f, str>>,
}

/// The column `changes` of an event; nothing if there are none.
pub(crate) fn changes_text(event: &Event) -> Result<Option<String>, StoreError> {
    if event.changes.is_empty() {
        return Ok(None);
    }
    let changes: Vec<_> = event
        .changes
        .iter()
        .map(|change| ChangeForm {
            field: Cow::Borrowed(&*change.field),
            from: change.from.as_deref().map(Cow::Borrowed),
            to: change.to.as_deref().map(Cow::Borrowed),
        })
        .collect();
    serde_json::to_string(&changes)
        .map(Some)
        .map_err(StoreError::unavailable)
}

/// What is expected of `status` and the columns that must be consistent with it.
pub(crate) const STATUS_EXPECTED: &str =
    "consistent values of status, is_active, revoked_at and revoke_reason";
