//! Records and events in JSON, as the service and the command line print them.

use keystile::{DigestKind, Event, FieldChange, KeyRecord, Millis, RateLimit, Status, UnixMillis};
use keystile_store::KeyStatus;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::rfc3339::rfc3339;

/// A key, without its text and its digest. Times are RFC 3339 in UTC.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_serve::KeyView;
///
/// let revoked = keystile::revoke(&issued.record, "leaked in a log", now)?.record;
/// let json = serde_json::to_value(KeyView::new(&revoked, now))?;
/// assert_eq!(json["status"], "revoked");
/// assert_eq!(json["live"], false);
/// assert_eq!(json["revoked_at"], "2026-09-21T14:13:20.000Z");
/// assert!(json.get("digest").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// The public id.
    key_id: String,
    /// The part of its text that may be shown.
    key_prefix: String,
    client_name: String,
    client_email: Option<String>,
    /// The account or tenant that it belongs to.
    owner: Option<String>,
    environment: Option<String>,
    /// `active`, `retiring` (replaced, but still in its overlap), `replaced`, `expired`,
    /// `suspended` or `revoked`.
    status: &'static str,
    /// Whether it would be allowed now.
    live: bool,
    permissions: Vec<String>,
    /// Null: all. Empty: none.
    allowed_endpoints: Option<Vec<String>>,
    /// Null: from all. Empty: from none.
    allowed_networks: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    remaining_uses: Option<u64>,
    template: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    metadata: Option<Metadata>,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    /// The length of life that it was given, in milliseconds, which its successor gets too. Null:
    /// it never expires.
    lifetime_ms: Option<u64>,
    /// The key that it derives from.
    derived_from: Option<String>,
    /// The key that it was suspended with, and is resumed with.
    suspended_with: Option<String>,
    revoked_at: Option<String>,
    revoke_reason: Option<String>,
    /// The id of the first key of its lineage, which it shares with its successors.
    lineage: String,
    replaced_by: Option<String>,
    overlap_until: Option<String>,
    /// The predecessor that ends when this key is first used.
    ends_at_first_use: Option<String>,
    /// The version of the pepper that its digest was made with; null without one.
    pepper: Option<u32>,
    version: u64,
}

/// A rate limit.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// Requests in a window. 0 allows none.
    pub(crate) limit: u32,
    /// The window in milliseconds.
    #[schema(minimum = 1)]
    pub(crate) window_ms: u64,
    /// Requests at once; the same as the limit if it is left out.
    pub(crate) burst: Option<u32>,
}

/// Metadata as JSON, or as text if a record contains something else.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Metadata {
    Json(Box<RawValue>),
    Text(String),
}

/// An entry of the audit log.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_serve::EventView;
///
/// let event = keystile::revoke(&issued.record, "leaked in a log", now)?.event;
/// let json = serde_json::to_value(EventView::new(7, &event))?;
/// assert_eq!(json["number"], 7);
/// assert_eq!(json["kind"], "revoked");
/// assert_eq!(json["reason"], "leaked in a log");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    number: u64,
    at: String,
    /// `issued`, `rotated`, `revoked`, `suspended`, `resumed`, `expired`, `rehashed`,
    /// `imported`, `changed`, `deleted` or `pruned`.
    kind: &'static str,
    /// Null if more keys were changed at once than have events of their own.
    key_id: Option<String>,
    /// The version of the key from then on.
    version: Option<u64>,
    reason: Option<String>,
    successor: Option<String>,
    /// Who did it: the id of a key, a person, a program, or the user of the database. Null also
    /// for a caller without `keystile:owners:any`, unless it was a key of the caller's owner.
    actor: Option<String>,
    /// The address or the host that it was done from. Null if `actor` is.
    origin: Option<String>,
    /// What was changed, if that is known.
    changes: Vec<FieldChangeView>,
}

/// A field that was changed.
#[derive(Debug, Serialize, ToSchema)]
struct FieldChangeView {
    field: String,
    /// The value before, as text; left out if there was none, or if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    from: Option<String>,
    /// The value after, as text; left out if there is none, or if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    to: Option<String>,
}

impl KeyView {
    /// The key as it is at `now`.
    #[must_use]
    pub fn new(record: &KeyRecord, now: UnixMillis) -> Self {
        let (revoked_at, revoke_reason) = match &record.status {
            Status::Revoked { at, reason } => (Some(*at), Some(reason.to_string())),
            _ => (None, None),
        };
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let texts = |rules: &keystile::EndpointRules| rules.iter().map(str::to_owned).collect();
        Self {
            key_id: record.id.to_string(),
            key_prefix: record.key_prefix.to_string(),
            client_name: record.client_name.to_string(),
            client_email: text(&record.client_email),
            owner: text(&record.owner),
            environment: record.environment.map(|name| name.to_string()),
            status: KeyStatus::of(record, now).as_str(),
            live: record.is_live(now),
            permissions: record.permissions.iter().map(str::to_owned).collect(),
            allowed_endpoints: record.allowed_endpoints.as_ref().map(texts),
            allowed_networks: record
                .allowed_networks
                .as_ref()
                .map(|networks| networks.iter().map(|network| network.to_string()).collect()),
            rate_limit: record.rate_limit.as_ref().map(Rate::new),
            remaining_uses: record.remaining_uses,
            template: record.scope_type.as_ref().map(ToString::to_string),
            metadata: record.metadata.as_deref().map(metadata),
            created_at: rfc3339(record.created_at),
            last_used_at: record.last_used_at.map(rfc3339),
            expires_at: record.expires_at.map(rfc3339),
            lifetime_ms: record.lifetime_given().map(Millis::get),
            derived_from: record.derived_from.map(|from| from.key_id.to_string()),
            suspended_with: record.suspended_with.map(|id| id.to_string()),
            revoked_at: revoked_at.map(rfc3339),
            revoke_reason,
            lineage: record.lineage.to_string(),
            replaced_by: record.replaced_by.map(|id| id.to_string()),
            overlap_until: record.overlap_until.map(rfc3339),
            ends_at_first_use: record.ends_at_first_use.map(|id| id.to_string()),
            pepper: match record.digest.kind() {
                DigestKind::HmacSha256 { pepper } => Some(pepper),
                _ => None,
            },
            version: record.version,
        }
    }
}

impl Rate {
    pub(crate) fn new(limit: &RateLimit) -> Self {
        Self {
            limit: limit.limit(),
            window_ms: limit.window().get(),
            burst: Some(limit.burst()),
        }
    }

    /// The limit, checked.
    pub(crate) fn limit(self) -> Result<RateLimit, keystile::Error> {
        let window = Millis::new(self.window_ms);
        RateLimit::with_burst(self.limit, window, self.burst.unwrap_or(self.limit))
    }
}

impl EventView {
    /// An event, and its number in the store.
    #[must_use]
    pub fn new(number: u64, event: &Event) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            number,
            at: rfc3339(event.at),
            kind: event.kind.as_str(),
            key_id: event.key_id.map(|id| id.to_string()),
            version: event.version,
            reason: text(&event.reason),
            successor: event.successor.map(|id| id.to_string()),
            actor: text(&event.actor),
            origin: text(&event.origin),
            changes: event.changes.iter().map(FieldChangeView::new).collect(),
        }
    }

    /// The event, without who did it and from where.
    pub(crate) fn without_actor(self) -> Self {
        Self {
            actor: None,
            origin: None,
            ..self
        }
    }
}

impl FieldChangeView {
    fn new(change: &FieldChange) -> Self {
        let shown = |value: &Option<Box<str>>| match value.as_deref() {
            Some(millis) if &*change.field == "expires_at" => Some(instant(millis)),
            value => value.map(str::to_owned),
        };
        Self {
            field: change.field.to_string(),
            from: shown(&change.from),
            to: shown(&change.to),
        }
    }
}

/// An instant of an event in RFC 3339, or the text if it is not one.
fn instant(millis: &str) -> String {
    let instant = millis.parse().ok().and_then(|it| UnixMillis::new(it).ok());
    instant.map_or_else(|| millis.to_owned(), rfc3339)
}

/// Metadata as JSON, in one line.
pub(crate) fn metadata(text: &str) -> Metadata {
    // Outside of its strings JSON may have line ends, and the command line prints an object
    // in one line; inside of them it cannot have any.
    let line = text.replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_or_else(|_| Metadata::Text(text.to_owned()), Metadata::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_one_line_of_json() {
        let shown = |text| serde_json::to_string(&metadata(text)).unwrap();
        assert_eq!(shown("{\"a\":\r\n 1.50}"), "{\"a\":   1.50}");
        assert_eq!(shown("not json\n"), "\"not json\\n\"");
    }
}
