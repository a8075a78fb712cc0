//! How a decision is printed: a line for people, or an object for programs.

use keystile::{Allowed, Decision, Denial, KeyRecord, Requirement, StatusPolicy};
use serde::Serialize;

use crate::clock;
use crate::duration::spell_wait;

/// A decision in JSON. All fields are always present; what does not apply is `null`, and
/// `missing` is empty.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    decision: &'static str,
    /// The denial's stable name; null if the key was allowed.
    code: Option<&'static str>,
    status: u16,
    message: Option<&'static str>,
    key_id: Option<String>,
    client_name: Option<&'a str>,
    missing: Vec<&'a str>,
    limit: Option<u32>,
    remaining: Option<u32>,
    reset_seconds: Option<u64>,
    retry_after_seconds: Option<u64>,
    remaining_uses: Option<u64>,
    replaced_by: Option<String>,
    ends_at: Option<String>,
}

/// The decision as an object.
pub(crate) fn object<'a>(
    decision: &Decision,
    record: Option<&'a KeyRecord>,
    requirement: Option<&'a Requirement>,
) -> Answer<'a> {
    let client_name = record.map(|record| &*record.client_name);
    match decision {
        Decision::Allow(allowed) => Answer {
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
            ends_at: allowed
                .notice
                .map(|notice| clock::spell_exactly(notice.until)),
        },
        Decision::Deny(denial) => Answer {
            decision: "deny",
            code: Some(denial.code().as_str()),
            status: denial.code().status(StatusPolicy::Rfc9110),
            message: Some(denial.code().message()),
            key_id: denial.key_id().map(ToString::to_string),
            client_name,
            missing: missing(denial, requirement),
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

/// The decision as a line.
pub(crate) fn line(
    decision: &Decision,
    record: Option<&KeyRecord>,
    requirement: Option<&Requirement>,
) -> String {
    let client_name = record.map_or("", |record| &record.client_name);
    match decision {
        Decision::Allow(allowed) => allow(allowed, client_name),
        Decision::Deny(denial) => deny(denial, client_name, requirement),
    }
}

fn allow(allowed: &Allowed, client_name: &str) -> String {
    let mut line = format!("allow  {}  {client_name}", allowed.key_id);
    if let Some(quota) = &allowed.quota {
        let (left, limit) = (quota.remaining(), quota.limit().limit());
        line.push_str(&format!("  {left} of {limit} requests left"));
    }
    if let Some(uses) = allowed.remaining_uses {
        line.push_str(&format!("  {uses} uses left"));
    }
    if let Some(notice) = &allowed.notice {
        let until = clock::spell(notice.until);
        line.push_str(&format!(
            "  replaced by {}, ends {until}",
            notice.replaced_by
        ));
    }
    line
}

fn deny(denial: &Denial, client_name: &str, requirement: Option<&Requirement>) -> String {
    let code = denial.code();
    let status = code.status(StatusPolicy::Rfc9110);
    let mut line = format!("deny  {} ({status}): {}", code.as_str(), code.message());
    let missing = missing(denial, requirement);
    if !missing.is_empty() {
        line.push_str(&format!("  missing: {}", missing.join(", ")));
    }
    if let Some(wait) = denial.retry_after() {
        line.push_str(&format!("  retry in {}", spell_wait(wait)));
    }
    if let Some(key_id) = denial.key_id() {
        line.push_str(&format!("  {key_id}  {client_name}"));
    }
    line
}

fn missing<'q>(denial: &Denial, requirement: Option<&'q Requirement>) -> Vec<&'q str> {
    requirement
        .map(|asked| denial.missing(asked).collect())
        .unwrap_or_default()
}
