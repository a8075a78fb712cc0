//! A field that was changed, and what changed between two versions of a record.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::record::key_record::KeyRecord;

/// A field of a record that was changed.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let id: KeyId = "1AbCdEfGhIjKlMnO".parse()?;
/// let event = Event::new(EventKind::Changed, id, now).with_changes(["permissions"]);
/// assert_eq!(event.changes, [FieldChange::new("permissions")]);
///
/// let raised = FieldChange::new("remaining_uses").with_values(Some("5"), Some("100"));
/// assert_eq!(raised.to.as_deref(), Some("100"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FieldChange {
    /// The name of the field. If other code changed a row of a database, it is the name of
    /// the column.
    pub field: Box<str>,
    /// The value before the change as text. `None` if the field was not set, or if the value is
    /// not known: it never is for the e-mail address, the metadata, and changes by other code.
    pub from: Option<Box<str>>,
    /// The value after the change as text. `None` if the field is not set, or if the value is
    /// not known.
    pub to: Option<Box<str>>,
}

impl FieldChange {
    /// A change of this field.
    #[must_use]
    pub fn new(field: &str) -> Self {
        Self {
            field: field.into(),
            from: None,
            to: None,
        }
    }

    /// The fields that a [`change`](crate::change()) can change and that differ between two
    /// versions of a record, with their values; of the e-mail address and the metadata only
    /// that they differ.
    #[must_use]
    pub fn between(from: &KeyRecord, to: &KeyRecord) -> Vec<Self> {
        field_changes(from, to)
    }

    /// The same change, with the values before and after it; `None` is a field that is not
    /// set. Instants are in milliseconds since 1970.
    #[must_use]
    pub fn with_values(self, from: Option<&str>, to: Option<&str>) -> Self {
        Self {
            from: from.map(Box::from),
            to: to.map(Box::from),
            ..self
        }
    }
}

/// The fields that a change of a key can change, in the order of a record. Of the e-mail
/// address and the metadata only that they changed: they can be personal data.
fn field_changes(from: &KeyRecord, to: &KeyRecord) -> Vec<FieldChange> {
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
    // With another end it is another length too, which the end already says.
    let lifetime = from.expires_at == to.expires_at && from.lifetime_given() != to.lifetime_given();
    note("lifetime", lifetime, &|key| {
        key.lifetime_given().map(|length| length.get().to_string())
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
