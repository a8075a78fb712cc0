//! A decision as a line for people.

use keystile::{Allowed, Decision, Denial, KeyRecord, Requirement, StatusPolicy};

use crate::duration::spell_wait;
use crate::rfc3339;

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
        let until = rfc3339::in_seconds(notice.until);
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
