//! A decision in JSON, as the service and `keystile verify --json` print it.

use keystile::{Decision, KeyRecord, Requirement, StatusPolicy};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339::rfc3339;

/// A decision. All fields are always present; what does not apply is null, and `missing` is
/// empty. Nothing about a key is disclosed before its secret is verified.
///
/// ```
/// use keystile::{Cause, Decision, Denial, StatusPolicy};
/// use keystile_serve::DecisionView;
///
/// let decision = Decision::Deny(Denial::new(Cause::UnknownKey));
/// let view = DecisionView::new(&decision, None, None, StatusPolicy::Rfc9110);
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
}

impl DecisionView {
    /// The view of a decision. `record` is that of the key if its client's name is to be
    /// shown: pass one only after the secret was verified. `requirement` is what the request was checked against.
    #[must_use]
    pub fn new(
        decision: &Decision,
        record: Option<&KeyRecord>,
        requirement: Option<&Requirement>,
        policy: StatusPolicy,
    ) -> Self {
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
            },
            Decision::Deny(denial) => Self {
                decision: "deny",
                code: Some(denial.code().as_str()),
                status: denial.code().status(policy),
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
            },
        }
    }
}
