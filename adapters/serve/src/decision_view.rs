//! A decision in JSON, as the service and `keystile verify --json` print it.

use std::collections::BTreeMap;

use keystile::{Decision, KeyRecord, Requirement, ResponsePolicy, UnixMillis, allowed_headers};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339::rfc3339;
use crate::view::{Metadata, metadata};

/// A decision. All fields are always present; what does not apply is null, and `missing` and
/// `headers` are empty. Nothing about a key is disclosed before its secret is verified.
///
/// ```
/// use keystile::{Cause, Decision, Denial, StatusPolicy, UnixMillis};
/// use keystile_serve::DecisionView;
///
/// let decision = Decision::Deny(Denial::new(Cause::UnknownKey));
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let view = DecisionView::new(&decision, None, None, StatusPolicy::Rfc9110, now);
/// let json = serde_json::to_value(&view)?;
/// assert_eq!(json["decision"], "deny");
/// assert_eq!(json["code"], "invalid_key");
/// assert_eq!(json["status"], 401);
/// assert!(json["key_id"].is_null());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionView {
    /// `allow` or `deny`.
    #[schema(pattern = "^(allow|deny)$")]
    decision: &'static str,
    /// The denial's stable name; null if the key was allowed.
    code: Option<&'static str>,
    /// The HTTP status to send to your own client.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    /// What the sender of the key can do about it.
    message: Option<&'static str>,
    /// The key's public id, once its secret is verified.
    key_id: Option<String>,
    /// The name of the key's client. The service discloses it only if the key was allowed,
    /// `keystile verify` also if the key was denied after its secret was verified.
    client_name: Option<String>,
    /// The permissions that the key lacks.
    missing: Vec<String>,
    /// Requests that its rate limit allows per window.
    limit: Option<u32>,
    /// Requests that are allowed now.
    remaining: Option<u32>,
    /// Seconds until the limit is fully available again.
    reset_seconds: Option<u64>,
    /// Seconds until one more request would be allowed.
    retry_after_seconds: Option<u64>,
    /// Uses that are left in total.
    remaining_uses: Option<u64>,
    /// The key that replaces this one.
    replaced_by: Option<String>,
    /// When a replaced key ends.
    ends_at: Option<String>,
    #[serde(flatten)]
    allowed: AllowedView,
}

/// What a caller learns of a key that was allowed; of any other, all of it is null.
#[derive(Debug, Default, Serialize, ToSchema)]
struct AllowedView {
    /// The account or tenant that the key belongs to. Anyone who has the key and
    /// reaches `POST /v1/verify` can read it there, and so the template and the metadata.
    owner: Option<String>,
    environment: Option<String>,
    /// The permissions that it was granted.
    permissions: Option<Vec<String>>,
    /// The template that it was issued from.
    template: Option<String>,
    /// The metadata. Keep nothing in it that the holder of the key may not see.
    #[schema(value_type = Option<serde_json::Value>)]
    metadata: Option<Metadata>,
    /// When the key expires. Null also if it never does.
    expires_at: Option<String>,
    /// Header fields for the response to your own client, by lower-case name: `ratelimit-limit`
    /// and the like if the key has a rate limit, `deprecation` and `sunset` if it was replaced.
    headers: BTreeMap<&'static str, String>,
}

impl DecisionView {
    /// The view of a decision. `record` is that of the key if its client's name is to be
    /// shown: pass one only after the secret was verified. `requirement` is what the request was
    /// checked against, and `now` when.
    #[must_use]
    pub fn new(
        decision: &Decision,
        record: Option<&KeyRecord>,
        requirement: Option<&Requirement>,
        policy: impl Into<ResponsePolicy>,
        now: UnixMillis,
    ) -> Self {
        let policy = policy.into();
        let client_name = record.map(|record| record.client_name.to_string());
        match decision {
            Decision::Allow(allowed) => Self {
                decision: "allow",
                code: None,
                status: 200,
                message: None,
                key_id: Some(allowed.key_id.to_string()),
                client_name,
                missing: Vec::new(),
                limit: allowed.quota.map(|quota| quota.limit().limit()),
                remaining: allowed.quota.map(|quota| quota.remaining()),
                reset_seconds: allowed.quota.map(|quota| quota.reset().secs_ceil()),
                retry_after_seconds: None,
                remaining_uses: allowed.remaining_uses,
                replaced_by: allowed.notice.map(|notice| notice.replaced_by.to_string()),
                ends_at: allowed.notice.map(|notice| rfc3339(notice.until)),
                allowed: AllowedView {
                    headers: allowed_headers(allowed, policy.rate_limit_fields, now)
                        .into_iter()
                        .collect(),
                    ..record.map(AllowedView::new).unwrap_or_default()
                },
            },
            Decision::Deny(denial) => Self {
                decision: "deny",
                code: Some(denial.code().as_str()),
                status: denial.code().status(policy.status),
                message: Some(denial.code().message()),
                key_id: denial.key_id().map(ToString::to_string),
                client_name,
                missing: requirement
                    .into_iter()
                    .flat_map(|asked| denial.missing(asked))
                    .map(str::to_owned)
                    .collect(),
                limit: denial.quota().map(|quota| quota.limit().limit()),
                remaining: denial.quota().map(|quota| quota.remaining()),
                reset_seconds: denial.quota().map(|quota| quota.reset().secs_ceil()),
                retry_after_seconds: denial.retry_after().map(|wait| wait.secs_ceil()),
                remaining_uses: None,
                replaced_by: None,
                ends_at: None,
                allowed: AllowedView::default(),
            },
        }
    }
}

impl AllowedView {
    fn new(record: &KeyRecord) -> Self {
        Self {
            owner: record.owner.as_deref().map(str::to_owned),
            environment: record.environment.map(|name| name.to_string()),
            permissions: Some(record.permissions.iter().map(str::to_owned).collect()),
            template: record.scope_type.as_ref().map(ToString::to_string),
            metadata: record.metadata.as_deref().map(metadata),
            expires_at: record.expires_at.map(rfc3339),
            headers: BTreeMap::new(),
        }
    }
}
