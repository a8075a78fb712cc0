//! A record as the program prints it: one JSON object, or a word and a few columns.

use keystile::{
    EndpointRules, KeyId, KeyRecord, Networks, PermissionSet, RateLimit, Status, UnixMillis,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock;

/// A record in JSON, without its digest. Instants are RFC 3339 in UTC.
#[derive(Serialize)]
pub(crate) struct RecordView<'r> {
    key_id: &'r str,
    key_prefix: &'r str,
    client_name: &'r str,
    client_email: Option<&'r str>,
    owner: Option<&'r str>,
    environment: Option<String>,
    status: &'static str,
    live: bool,
    permissions: &'r PermissionSet,
    allowed_endpoints: Option<&'r EndpointRules>,
    allowed_networks: Option<&'r Networks>,
    rate_limit: Option<RateLimit>,
    remaining_uses: Option<u64>,
    template: Option<&'r str>,
    metadata: Option<Metadata<'r>>,
    created_at: String,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    revoke_reason: Option<&'r str>,
    lineage: &'r str,
    replaced_by: Option<&'r str>,
    overlap_until: Option<String>,
    ends_at_first_use: Option<&'r str>,
    version: u64,
}

/// Metadata as JSON, or as text if a record contains something else.
#[derive(Serialize)]
#[serde(untagged)]
enum Metadata<'r> {
    Json(Box<RawValue>),
    Text(&'r str),
}

impl<'r> RecordView<'r> {
    pub(crate) fn new(record: &'r KeyRecord, now: UnixMillis) -> Self {
        let (revoked_at, revoke_reason) = match &record.status {
            Status::Revoked { at, reason } => (Some(*at), Some(&**reason)),
            _ => (None, None),
        };
        Self {
            key_id: record.id.as_str(),
            key_prefix: &record.key_prefix,
            client_name: &record.client_name,
            client_email: record.client_email.as_deref(),
            owner: record.owner.as_deref(),
            environment: record.environment.map(|name| name.to_string()),
            status: word(&record.status),
            live: record.is_live(now),
            permissions: &record.permissions,
            allowed_endpoints: record.allowed_endpoints.as_ref(),
            allowed_networks: record.allowed_networks.as_ref(),
            rate_limit: record.rate_limit,
            remaining_uses: record.remaining_uses,
            template: record.scope_type.as_ref().map(|name| name.as_str()),
            metadata: record.metadata.as_deref().map(metadata),
            created_at: clock::spell_exactly(record.created_at),
            last_used_at: record.last_used_at.map(clock::spell_exactly),
            expires_at: record.expires_at.map(clock::spell_exactly),
            revoked_at: revoked_at.map(clock::spell_exactly),
            revoke_reason,
            lineage: record.lineage.as_str(),
            replaced_by: record.replaced_by.as_ref().map(KeyId::as_str),
            overlap_until: record.overlap_until.map(clock::spell_exactly),
            ends_at_first_use: record.ends_at_first_use.as_ref().map(KeyId::as_str),
            version: record.version,
        }
    }
}

/// The status of a key at `now`, in a word for people.
pub(crate) fn standing(record: &KeyRecord, now: UnixMillis) -> &'static str {
    let past = |instant: Option<UnixMillis>| instant.is_some_and(|instant| now >= instant);
    match record.status {
        Status::Active if past(record.expires_at) => "expired",
        Status::Active if past(record.overlap_until) => "replaced",
        Status::Active if record.replaced_by.is_some() => "retiring",
        ref status => word(status),
    }
}

/// Items with a separator between them, or `none` if there are no items.
pub(crate) fn joined<T: ToString>(items: impl Iterator<Item = T>, none: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() {
        none.to_owned()
    } else {
        items.join(", ")
    }
}

const fn word(status: &Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Suspended => "suspended",
        Status::Revoked { .. } => "revoked",
        _ => "unknown",
    }
}

fn metadata(text: &str) -> Metadata<'_> {
    // Between tokens JSON may have line endings, which would split an object over several
    // lines; strings cannot contain any.
    let line = text.replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_or(Metadata::Text(text), Metadata::Json)
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
