//! `PUT` and `DELETE /v1/templates/{name}`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use keystile::{EndpointRules, Millis, PermissionSet, ScopeTemplate, TemplateName};
use keystile_store::{StoreError, StoredTemplate, TemplateProblem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Name, etag, tag_of};
use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Body, Form};
use crate::if_match;
use crate::keys::issue::millis;
use crate::problem::{BadInput, Guarded, Problem};
use crate::template_view::TemplateView;
use crate::text::without_key;
use crate::view::Rate;

/// What the keys of a template may do. What is left out is not restricted, except that without
/// permissions there are none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateBody {
    /// Permissions, such as `invoices:read`; the caller must have all of them.
    #[serde(default)]
    #[schema(max_items = 64)]
    permissions: Vec<String>,
    /// Endpoint rules, such as `GET,HEAD /api/data/*`.
    #[schema(max_items = 64)]
    allowed_endpoints: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    /// How long a key lives, in seconds, and the longest that may be asked for when it is issued.
    #[schema(minimum = 1)]
    expires_in_seconds: Option<u64>,
}

impl Form for TemplateBody {
    const EXPECTED: &str = "The body must be a JSON object with only any of permissions, \
        allowed_endpoints, rate_limit {limit, window_ms, burst} and expires_in_seconds.";
}

/// Add a template, or replace the one with this name. The keys that were issued from it stay as they
/// are until it is applied.
///
/// Requires `keystile:owners:any`, and that the caller's own key has what the template gives, and
/// what it gave before.
#[utoipa::path(
    put, path = "/v1/templates/{name}", tag = "templates", request_body = TemplateBody,
    params(
        ("name" = String, Path, description = "The template's name"),
        ("If-Match" = Option<String>, Header,
            description = "Replaces the template only if it has this version: the ETag of a response"),
    ),
    responses(
        (status = 200, description = "The template as it is now", body = TemplateView,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 201, description = "It is new", body = TemplateView,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 409, description = "It is a preset, or was changed concurrently", body = Problem),
        (status = 412, description = "It has another version than If-Match", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    headers: HeaderMap,
    Body(body): Body<TemplateBody>,
) -> Result<Response, Problem> {
    caller.may_change_templates()?;
    let template = template(name.clone(), &body)?;
    let lifetime = body.expires_in_seconds.map(millis).transpose()?;
    if lifetime == Some(Millis::ZERO) {
        return Err(Problem::invalid("expires_in_seconds must be 1 or more."));
    }
    caller.holds(&template)?;
    let found = expected(&app, &caller, &name, &headers).await?;
    let backend = app.backend();
    let saved = backend.save_template(found.as_ref(), template, lifetime, caller.now);
    let saved = saved.await?;
    let (name, by) = (saved.name().as_str(), caller.id());
    tracing::info!(
        template = name,
        version = saved.version,
        by,
        "template saved"
    );
    let status = match found {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    let view = Json(TemplateView::new(&saved));
    Ok((status, etag(&saved)?, view).into_response())
}

/// Remove a template. The keys that were issued from it stay as they are, and keep its name.
///
/// Requires `keystile:owners:any`, and that the caller's own key has what the template gives.
#[utoipa::path(
    delete, path = "/v1/templates/{name}", tag = "templates",
    params(
        ("name" = String, Path, description = "The template's name"),
        ("If-Match" = Option<String>, Header,
            description = "Removes the template only if it has this version: the ETag of a response"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "There is none with this name", body = Problem),
        (status = 409, description = "It is a preset, or was changed concurrently", body = Problem),
        (status = 412, description = "It has another version than If-Match", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.may_change_templates()?;
    let found = expected(&app, &caller, &name, &headers).await?;
    let found = found.ok_or_else(Problem::no_template)?;
    app.backend().remove_template(&found).await?;
    tracing::info!(
        template = name.as_str(),
        by = caller.id(),
        "template removed"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// The present template, if the caller holds what it gives and `If-Match` names its version.
async fn expected(
    app: &App,
    caller: &Caller,
    name: &TemplateName,
    headers: &HeaderMap,
) -> Result<Option<StoredTemplate>, Problem> {
    let expected = if_match::expected(headers)?;
    let found = match app.backend().template(name).await {
        Err(StoreError::Template(TemplateProblem::NotFound)) => None,
        found => Some(found?),
    };
    if let Some(found) = &found {
        if found.is_preset() {
            return Err(StoreError::from(TemplateProblem::Preset).into());
        }
        caller.holds(&found.template)?;
    }
    let is_expected = match (&expected, &found) {
        (None, _) => true,
        (Some(expected), Some(found)) => expected.matches(&tag_of(found)),
        (Some(_), None) => false,
    };
    match is_expected {
        true => Ok(found),
        false => Err(if_match::differs(
            "The template has another version than If-Match; read it again.",
        )),
    }
}

fn template(name: TemplateName, body: &TemplateBody) -> Result<ScopeTemplate, Problem> {
    let rules = body.allowed_endpoints.iter().flatten();
    for text in body.permissions.iter().chain(rules) {
        without_key(text)?;
    }
    let mut template = ScopeTemplate::new(name, PermissionSet::new(&body.permissions)?);
    let rules = body.allowed_endpoints.as_ref();
    template.allowed_endpoints = rules.map(EndpointRules::new).transpose()?;
    template.rate_limit = body.rate_limit.map(Rate::limit).transpose()?;
    Ok(template)
}
