//! `PATCH /v1/keys/{id}`: changes a key.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use keystile::{EndpointRules, KeyChange, KeyRecord, Networks, PermissionSet};
use keystile_store::{OfDerived, StoreError};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::issue::millis;
use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Body, Form, Id};
use crate::if_match;
use crate::problem::{BadInput, Guarded, Problem};
use crate::templates::named;
use crate::text::without_key;
use crate::view::{KeyView, Rate};

/// What is to be changed of a key. What is left out stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangeBody {
    /// The name of the client: 1 to 255 bytes.
    #[serde(deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 255)]
    client_name: Option<String>,
    /// The e-mail address that notices are sent to. Null clears it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    client_email: Option<Option<String>>,
    /// The account or tenant that it belongs to. Null clears it. Only callers with
    /// `keystile:owners:any` can change it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    owner: Option<Option<String>>,
    /// The name of a template: sets permissions, rate limit and endpoints, which the other fields
    /// may only narrow. Null clears the name.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    template: Option<Option<String>>,
    /// All permissions.
    #[serde(deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    permissions: Option<Vec<String>>,
    /// Permissions that it gets in addition.
    #[serde(deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    add_permissions: Option<Vec<String>>,
    /// Permissions that are taken from it, spelled as they were granted.
    #[serde(deserialize_with = "not_null")]
    #[schema(value_type = Vec<String>, required = false, max_items = 64)]
    remove_permissions: Option<Vec<String>>,
    /// Endpoint rules. Null: any endpoint.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    allowed_endpoints: Option<Option<Vec<String>>>,
    /// IP addresses or CIDR blocks. Null: any.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 64)]
    allowed_networks: Option<Option<Vec<String>>>,
    /// The rate limit. Null: none.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Rate>)]
    rate_limit: Option<Option<Rate>>,
    /// How many times its lineage may be used from now on. Null: not counted.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    uses: Option<Option<u64>>,
    /// How long it lives from now on, in seconds. Null: it never expires.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    expires_in_seconds: Option<Option<u64>>,
    /// Custom JSON, at most 16 KiB, which replaces all of it. Null clears it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Value>)]
    metadata: Option<Option<Value>>,
    /// What becomes of keys that derive from it and would exceed it: `suspend`, `revoke` or
    /// `keep`. Without it, the change is refused if there are any.
    pub(super) derived: Option<String>,
}

impl Form for ChangeBody {
    const EXPECTED: &str = "The body must be a JSON object with only any of client_name, \
        client_email, owner, template, permissions, add_permissions, remove_permissions, \
        allowed_endpoints, allowed_networks, rate_limit {limit, window_ms, burst}, uses, \
        expires_in_seconds, metadata and derived; client_name and the permissions must not be null.";
}

/// Change what a key may do, or whom it belongs to. In force in this process when this returns,
/// and within about a second in others.
///
/// The key must be within the caller's own before the change and after it. A change of nothing
/// returns the key as it is.
#[utoipa::path(
    patch, path = "/v1/keys/{id}", tag = "keys", request_body = ChangeBody,
    params(
        ("id" = String, Path, description = "The key's public id"),
        ("If-Match" = Option<String>, Header,
            description = "Changes the key only if it has this version: the ETag of a response"),
    ),
    responses(
        (status = 200, description = "The key as it is now", body = KeyView,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 404, description = "The caller can see no key with this id", body = Problem),
        (status = 409, description = "It is revoked, expired or replaced", body = Problem),
        (status = 412, description = "It has another version than If-Match", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
    Body(body): Body<ChangeBody>,
) -> Result<Response, Problem> {
    let requested = requested(&app, &body).await?;
    let of_derived = of_derived(body.derived.as_deref())?;
    let expected = if_match::expected(&headers)?;
    // Also if the change could not be made: what the caller may not see is not there for it.
    let _ = caller.readable(app.backend().record(&id).await)?;
    let permit = |before: &KeyRecord, after: &KeyRecord| {
        caller.may_change(before, after)?;
        if expected
            .as_ref()
            .is_some_and(|tags| !tags.matches(&tag_of(before)))
        {
            return Err(if_match::differs(
                "The key has another version than If-Match; read it again.",
            ));
        }
        Ok(())
    };
    let backend = app.acting_as(&caller, None)?;
    let changed = backend.change_if(&id, &requested, of_derived, caller.now, &permit);
    let outcome = changed.await?.outcome;
    if outcome.is_changed() {
        tracing::info!(key_id = id.as_str(), by = caller.id(), "changed");
    }
    let record = outcome.record().ok_or(StoreError::NotFound)?;
    let view = Json(KeyView::new(record, caller.now));
    Ok((etag(record)?, view).into_response())
}

/// The header with the version of a key.
pub(super) fn etag(record: &KeyRecord) -> Result<[(HeaderName, HeaderValue); 1], Problem> {
    if_match::etag(&tag_of(record))
}

fn tag_of(record: &KeyRecord) -> String {
    record.version.to_string()
}

/// What becomes of the keys that derive from a changed one.
pub(crate) fn of_derived(name: Option<&str>) -> Result<OfDerived, Problem> {
    name.map_or(Ok(OfDerived::Refuse), |name| {
        let known = OfDerived::from_name(name).filter(|rule| *rule != OfDerived::Refuse);
        known.ok_or_else(|| Problem::invalid("derived must be suspend, revoke or keep."))
    })
}

/// The change that a body asks for.
pub(super) async fn requested(app: &App, body: &ChangeBody) -> Result<KeyChange, Problem> {
    let listed = [
        &body.permissions,
        &body.add_permissions,
        &body.remove_permissions,
    ];
    let endpoints = body.allowed_endpoints.iter().flatten();
    let texts = listed.into_iter().flatten().chain(endpoints).flatten();
    for text in texts {
        without_key(text)?;
    }
    let mut change = KeyChange::new();
    if let Some(name) = &body.client_name {
        if name.trim().is_empty() {
            return Err(Problem::invalid("client_name must not be blank."));
        }
        change = change.client_name(without_key(name)?)?;
    }
    if let Some(email) = &body.client_email {
        change = change.email(checked(email)?)?;
    }
    if let Some(owner) = &body.owner {
        if owner.as_deref() == Some("") {
            return Err(Problem::invalid("owner must be 1 to 255 bytes."));
        }
        change = change.owner(checked(owner)?)?;
    }
    if let Some(name) = &body.template {
        let template = match name.as_deref() {
            Some(name) => Some(named(app, name).await?.template),
            None => None,
        };
        change = change.template(template);
    }
    if let Some(all) = &body.permissions {
        change = change.permissions(PermissionSet::new(all)?);
    }
    if let Some(more) = &body.add_permissions {
        change = change.add_permissions(PermissionSet::new(more)?);
    }
    if let Some(some) = &body.remove_permissions {
        change = change.remove_permissions(PermissionSet::new(some)?);
    }
    if let Some(rules) = &body.allowed_endpoints {
        change = change.endpoints(rules.as_ref().map(EndpointRules::new).transpose()?);
    }
    if let Some(networks) = &body.allowed_networks {
        change = change.networks(networks.as_ref().map(Networks::new).transpose()?);
    }
    if let Some(limit) = body.rate_limit {
        change = change.rate_limit(limit.map(Rate::limit).transpose()?);
    }
    if let Some(uses) = body.uses {
        change = change.uses(uses)?;
    }
    if let Some(seconds) = body.expires_in_seconds {
        change = match seconds {
            Some(seconds) => change.expires_in(millis(seconds)?)?,
            None => change.never_expires(),
        };
    }
    if let Some(metadata) = &body.metadata {
        let text = metadata.as_ref().map(Value::to_string);
        change = change.metadata(checked(&text)?)?;
    }
    Ok(change)
}

fn checked(text: &Option<String>) -> Result<Option<&str>, Problem> {
    text.as_deref().map(without_key).transpose()
}

/// A value that may be null, which is not the same as one that is left out.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A value that may be left out, and not null.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
