//! What changed between two versions of a record, for the audit log.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::record::event::FieldChange;
use crate::record::key_record::KeyRecord;

/// The fields that a change of a key can change, in the order of a record. Of the e-mail
/// address and the metadata only that they changed: they can be personal data.
pub(crate) fn field_changes(from: &KeyRecord, to: &KeyRecord) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut note = |field, changed: bool, value: &dyn Fn(&KeyRecord) -> Option<String>| {
        if changed {
            let (before, after) = (value(from), value(to));
            changes.push(FieldChange::new(field).with_values(before.as_deref(), after.as_deref()));
        }
    };
    note("client_name", from.client_name != to.client_name, &|key| {
        Some(key.client_name.to_string())
    });
    note(
        "client_email",
        from.client_email != to.client_email,
        &|_| None,
    );
    note("owner", from.owner != to.owner, &|key| {
        key.owner.as_deref().map(ToOwned::to_owned)
    });
    note("permissions", from.permissions != to.permissions, &|key| {
        Some(permissions(&key.permissions))
    });
    let endpoints = from.allowed_endpoints != to.allowed_endpoints;
    note("allowed_endpoints", endpoints, &|key| {
        key.allowed_endpoints.as_ref().map(rules)
    });
    let networks = from.allowed_networks != to.allowed_networks;
    note("allowed_networks", networks, &|key| {
        key.allowed_networks.as_ref().map(blocks)
    });
    note("rate_limit", from.rate_limit != to.rate_limit, &|key| {
        key.rate_limit.as_ref().map(rate)
    });
    let uses = from.remaining_uses != to.remaining_uses;
    note("remaining_uses", uses, &|key| {
        key.remaining_uses.map(|uses| uses.to_string())
    });
    note("scope_type", from.scope_type != to.scope_type, &|key| {
        key.scope_type.as_ref().map(ToString::to_string)
    });
    note("metadata", from.metadata != to.metadata, &|_| None);
    note("expires_at", from.expires_at != to.expires_at, &|key| {
        key.expires_at.map(|end| end.get().to_string())
    });
    changes
}

fn permissions(set: &PermissionSet) -> String {
    joined(set.iter().map(ToOwned::to_owned))
}

fn rules(rules: &EndpointRules) -> String {
    joined(rules.iter().map(ToOwned::to_owned))
}

fn blocks(networks: &Networks) -> String {
    joined(networks.iter().map(|network| network.to_string()))
}

fn rate(limit: &RateLimit) -> String {
    let (count, window, burst) = (limit.limit(), limit.window().get(), limit.burst());
    format!("{count} in {window} ms, burst {burst}")
}

/// Rules may contain commas, but no comma with a space after it.
fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
