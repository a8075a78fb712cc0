//! `POST /v1/keys/revoke` and `POST /v1/keys/suspend`: the same verb for many keys.

use axum::Json;
use axum::extract::State;
use keystile::{TemplateName, UNSPECIFIED};
use keystile_store::{Filter, Page, Selection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list::{cursor, size};
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Guarded, Problem};
use crate::text::without_key;

/// Selects keys by at least one of owner, client name and template; those that are given apply
/// together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkBody {
    /// Only keys of this owner.
    #[schema(max_length = 255)]
    owner: Option<String>,
    /// Only keys of this client.
    #[schema(max_length = 255)]
    client_name: Option<String>,
    /// Only keys that were issued from a template with this name.
    template: Option<String>,
    /// For the audit log: at most 255 bytes.
    #[schema(max_length = 255)]
    reason: Option<String>,
    /// Change nothing, and return what would be changed.
    #[serde(default)]
    dry_run: bool,
    /// Starts after this key: the `next` of the previous response.
    after: Option<String>,
    /// The maximum number of keys that are looked at; the default is 100.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl Form for BulkBody {
    const EXPECTED: &str = "The body must be a JSON object with only owner, client_name, template, \
        reason, dry_run, after and limit, and with at least one of the first three.";
}

/// What was changed, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// Whether nothing was changed, because that was asked for.
    dry_run: bool,
    /// The ids of the keys that were changed, or would be.
    key_ids: Vec<String>,
    /// The rows that cannot be read. They were not changed; revoke them by their ids.
    damaged: Vec<DamageView>,
    /// Send the same body with this `after` to go on; null after the last key.
    next: Option<String>,
}

struct Asked {
    filter: Filter,
    page: Page,
}

fn asked(body: &BulkBody, caller: &Caller) -> Result<Asked, Problem> {
    if body.owner.is_none() && body.client_name.is_none() && body.template.is_none() {
        return Err(Problem::invalid(
            "One of owner, client_name and template must be set.",
        ));
    }
    let mut filter = Filter::default();
    filter.owner = body.owner.as_deref().map(Box::from);
    filter.client_name = body.client_name.as_deref().map(Box::from);
    filter.template = body
        .template
        .as_deref()
        .map(TemplateName::new)
        .transpose()?;
    caller.restrict(&mut filter)?;
    let mut page = Page::first(size(body.limit)?);
    if let Some(after) = &body.after {
        page = page.after(cursor(after)?);
    }
    Ok(Asked { filter, page })
}

fn finish(caller: &Caller, selection: &Selection, ids: Vec<String>, dry_run: bool) -> BulkResult {
    BulkResult {
        dry_run,
        key_ids: ids,
        damaged: caller.damage(&selection.damaged),
        next: selection.next.map(|next| next.to_string()),
    }
}

fn ids(selection: &Selection) -> Vec<String> {
    let keys = selection.keys.iter();
    keys.map(|key| key.id.to_string()).collect()
}

/// Revoke the keys that a filter selects, of those that the caller may see.
///
/// Each call looks at no more keys than `limit`: go on with `next` until it is null. Each key has
/// an event. The caller's own key is among them if the filter selects it.
#[utoipa::path(
    post, path = "/v1/keys/revoke", tag = "keys", request_body = BulkBody,
    responses((status = 200, description = "What was changed", body = BulkResult), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<BulkBody>,
) -> Result<Json<BulkResult>, Problem> {
    let reason = without_key(body.reason.as_deref().unwrap_or(UNSPECIFIED))?;
    let asked = asked(&body, &caller)?;
    let backend = app.acting_as(&caller, None)?;
    let mut selection = backend.to_revoke(&asked.filter, asked.page).await?;
    selection.keys.retain(|key| caller.sees(key));
    let ids = if body.dry_run {
        ids(&selection)
    } else {
        let changed = backend.revoke_selected(&selection, reason, caller.now);
        let changed = changed.await?;
        tracing::info!(keys = changed.len(), by = caller.id(), "revoked many");
        changed.iter().map(ToString::to_string).collect()
    };
    Ok(Json(finish(&caller, &selection, ids, body.dry_run)))
}

/// Suspend the keys that a filter selects, of those that the caller may see, as `revoke` does.
#[utoipa::path(
    post, path = "/v1/keys/suspend", tag = "keys", request_body = BulkBody,
    responses((status = 200, description = "What was changed", body = BulkResult), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn suspend(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<BulkBody>,
) -> Result<Json<BulkResult>, Problem> {
    let reason = body.reason.as_deref().map(without_key).transpose()?;
    let asked = asked(&body, &caller)?;
    let backend = app.acting_as(&caller, reason)?;
    let mut selection = backend.to_suspend(&asked.filter, asked.page).await?;
    selection.keys.retain(|key| caller.sees(key));
    let ids = if body.dry_run {
        ids(&selection)
    } else {
        let changed = backend.suspend_selected(&selection, caller.now);
        let changed = changed.await?;
        tracing::info!(keys = changed.len(), by = caller.id(), "suspended many");
        changed.iter().map(ToString::to_string).collect()
    };
    Ok(Json(finish(&caller, &selection, ids, body.dry_run)))
}
