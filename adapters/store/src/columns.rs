//! Records, upkeep and events as columns, whose values are text for every database.

use keystile::{
    Digest, DigestKind, Environment, Event, KeyId, KeyRecord, Status, TemplateName, UnixMillis,
};

use crate::batch::{Upkeep, UpkeepField};
use crate::error::StoreError;
use crate::instant;
use crate::row_reader::{MANY_KEYS, changes_text};

/// What a column holds, so what its text is cast to.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    Instant,
    Json,
    /// JSON that is kept as it came, to the byte.
    Verbatim,
}

/// The columns that an update of a record writes. The last use and the remaining uses are not
/// among them, since other statements write those. The first six also select the row.
pub(crate) const RECORD: [(&str, Kind); 31] = [
    ("key_id", Kind::Text),
    ("lineage", Kind::Text),
    ("version", Kind::Number),
    ("status", Kind::Text),
    ("revoked_at", Kind::Instant),
    ("revoke_reason", Kind::Text),
    ("is_active", Kind::Flag),
    ("key_hash", Kind::Text),
    ("digest_pepper", Kind::Number),
    ("key_prefix", Kind::Text),
    ("client_name", Kind::Text),
    ("client_email", Kind::Text),
    ("owner", Kind::Text),
    ("environment", Kind::Text),
    ("permissions", Kind::Json),
    ("allowed_endpoints", Kind::Json),
    ("allowed_networks", Kind::Json),
    ("rate_limit", Kind::Number),
    ("rate_window_ms", Kind::Number),
    ("rate_burst", Kind::Number),
    ("scope_type", Kind::Text),
    ("metadata", Kind::Verbatim),
    ("created_at", Kind::Instant),
    ("expires_at", Kind::Instant),
    ("replaced_by", Kind::Text),
    ("overlap_until", Kind::Instant),
    ("ends_at_first_use", Kind::Text),
    ("lifetime_ms", Kind::Number),
    ("derived_from", Kind::Text),
    ("derived_lineage", Kind::Text),
    ("suspended_with", Kind::Text),
];

/// The columns of an event.
pub(crate) const EVENT: [(&str, Kind); 9] = [
    ("kind", Kind::Text),
    ("key_id", Kind::Text),
    ("at", Kind::Instant),
    ("version", Kind::Number),
    ("reason", Kind::Text),
    ("successor", Kind::Text),
    ("actor", Kind::Text),
    ("origin", Kind::Text),
    ("changes", Kind::Json),
];

/// The values of [`RECORD`].
pub(crate) fn of_record(record: &KeyRecord) -> Result<Vec<Option<String>>, StoreError> {
    let [hash, pepper] = of_digest(&record.digest)?;
    let limit = record.rate_limit;
    let burst = limit.filter(|limit| limit.burst() != limit.limit());
    let (status, revoked) = match &record.status {
        Status::Active => ("active", None),
        Status::Suspended => ("suspended", None),
        Status::Revoked { at, reason } => ("revoked", Some((*at, reason))),
        _ => return Err(StoreError::OutOfRange),
    };
    let text = |text: &str| Some(text.to_owned());
    let is_active = record.status == Status::Active;
    let values: [Option<String>; RECORD.len()] = [
        text(record.id.as_str()),
        text(record.lineage.as_str()),
        Some(number(record.version)?),
        text(status),
        revoked.map(|(at, _)| instant::format(at)),
        revoked.map(|(_, reason)| reason.to_string()),
        Some(u8::from(is_active).to_string()),
        hash,
        pepper,
        text(&record.key_prefix),
        text(&record.client_name),
        record.client_email.as_deref().and_then(text),
        record.owner.as_deref().and_then(text),
        record.environment.as_ref().map(Environment::to_string),
        json(Some(&record.permissions))?,
        json(record.allowed_endpoints.as_ref())?,
        json(record.allowed_networks.as_ref())?,
        limit.map(|limit| limit.limit().to_string()),
        limit
            .map(|limit| number(limit.window().get()))
            .transpose()?,
        burst.map(|limit| limit.burst().to_string()),
        record.scope_type.as_ref().map(TemplateName::to_string),
        record.metadata.as_deref().and_then(text),
        Some(instant::format(record.created_at)),
        record.expires_at.map(instant::format),
        of_id(record.replaced_by),
        record.overlap_until.map(instant::format),
        of_id(record.ends_at_first_use),
        record
            .lifetime
            .map(|length| number(length.get()))
            .transpose()?,
        of_id(record.derived_from.map(|from| from.key_id)),
        of_id(record.derived_from.map(|from| from.lineage)),
        of_id(record.suspended_with),
    ];
    Ok(values.into())
}

/// The columns that upkeep writes, and their values.
pub(crate) fn of_upkeep(upkeep: &Upkeep) -> Result<Vec<Option<String>>, StoreError> {
    Ok(match &upkeep.field {
        UpkeepField::Digest(new) => of_digest(new)?.into(),
        UpkeepField::OverlapUntil(end) => vec![end.map(instant::format)],
        UpkeepField::EndsAtFirstUse(key) => vec![of_id(*key)],
        UpkeepField::Suspended => of_status("suspended", None),
        UpkeepField::Revoked { at, reason } => of_status("revoked", Some((*at, reason))),
    })
}

/// The values of the columns of a status other than active.
fn of_status(name: &str, revoked: Option<(UnixMillis, &str)>) -> Vec<Option<String>> {
    vec![
        Some(name.to_owned()),
        Some("0".to_owned()),
        revoked.map(|(at, _)| instant::format(at)),
        revoked.map(|(_, reason)| reason.to_owned()),
    ]
}

/// The values of [`EVENT`].
pub(crate) fn of_event(event: &Event) -> Result<Vec<Option<String>>, StoreError> {
    let text = |text: &str| Some(text.to_owned());
    let values: [Option<String>; EVENT.len()] = [
        text(event.kind.as_str()),
        text(event.key_id.as_ref().map_or(MANY_KEYS, KeyId::as_str)),
        Some(instant::format(event.at)),
        event.version.map(number).transpose()?,
        event.reason.as_deref().and_then(text),
        of_id(event.successor),
        event.actor.as_deref().and_then(text),
        event.origin.as_deref().and_then(text),
        changes_text(event)?,
    ];
    Ok(values.into())
}

pub(crate) fn of_id(id: Option<KeyId>) -> Option<String> {
    id.map(|id| id.to_string())
}

/// A count that fits into the signed columns of a database.
pub(crate) fn number(count: u64) -> Result<String, StoreError> {
    let signed = i64::try_from(count).map_err(|_| StoreError::OutOfRange)?;
    Ok(signed.to_string())
}

/// The digits of a digest, and the version of its pepper.
fn of_digest(digest: &Digest) -> Result<[Option<String>; 2], StoreError> {
    let pepper = match digest.kind() {
        DigestKind::Sha256 => None,
        DigestKind::HmacSha256 { pepper } => Some(pepper.to_string()),
        _ => return Err(StoreError::OutOfRange),
    };
    let written = digest.to_string();
    let hash = written.rsplit(':').next().unwrap_or_default().to_owned();
    Ok([Some(hash), pepper])
}

fn json<T: serde::Serialize>(list: Option<&T>) -> Result<Option<String>, StoreError> {
    let list = list.map(serde_json::to_string).transpose();
    list.map_err(StoreError::unavailable)
}
