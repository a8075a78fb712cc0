//! `POST /v1/keys/revoke` and `POST /v1/keys/suspend`: the same verb for many keys.

use axum::Json;
use axum::extract::State;
use keystile::{KeyRecord, TemplateName, UNSPECIFIED};
use keystile_store::{BulkEnded, DERIVED_DEPTH_MAX, Filter, Page, Selection, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list::cursor;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Guarded, Problem};
use crate::text::{is_short, without_key};

/// How many keys a call looks at by default, and at most: fewer than a list, since each is written
/// by itself, and all of them within the time of a request.
const PAGE: usize = 50;
const PAGE_MAX: usize = 100;

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
    /// The maximum number of keys that are looked at; the default is 50.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

impl Form for BulkBody {
    const EXPECTED: &str = "The body must be a JSON object with only owner, client_name, template, \
        reason, dry_run, after and limit, and with at least one of the first three.";
}

impl BulkBody {
    /// A body that only selects: by owner, client name and template, with a reason.
    pub(super) fn selecting(
        [owner, client_name, template, reason]: [&Option<String>; 4],
        after: &Option<String>,
        limit: Option<usize>,
    ) -> Self {
        Self {
            owner: owner.clone(),
            client_name: client_name.clone(),
            template: template.clone(),
            reason: reason.clone(),
            dry_run: false,
            after: after.clone(),
            limit,
        }
    }
}

/// What was changed, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// Whether nothing was changed, because that was asked for.
    dry_run: bool,
    /// The ids of the keys that were changed, or would be.
    key_ids: Vec<String>,
    /// How many keys that derive from them were changed with them; 0 if `dry_run`.
    derived_changed: usize,
    /// How many live keys that derive from them were left alive, because a successor lives.
    derived_left: usize,
    /// The caller's own key, and the keys that it derives from: they stay, so that the caller can
    /// go on. End them one by one.
    left_out: Vec<String>,
    /// The keys that could not be changed. The others were.
    failed: Vec<FailedKey>,
    /// The rows that cannot be read. They were not changed; revoke them by their ids.
    damaged: Vec<DamageView>,
    /// Send the same body with this `after` to go on; null after the last key.
    next: Option<String>,
}

/// A key that could not be changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailedKey {
    pub(crate) key_id: String,
    /// Why.
    pub(crate) message: String,
}

pub(super) struct Asked {
    pub(super) filter: Filter,
    pub(super) page: Page,
}

pub(super) async fn asked(app: &App, body: &BulkBody, caller: &Caller) -> Result<Asked, Problem> {
    if body.owner.is_none() && body.client_name.is_none() && body.template.is_none() {
        return Err(Problem::invalid(
            "One of owner, client_name and template must be set.",
        ));
    }
    // Also if no key is selected, so that a mistake shows before there is one.
    let texts = [&body.owner, &body.client_name, &body.reason];
    if !texts.into_iter().flatten().all(|text| is_short(text)) {
        return Err(Problem::invalid(
            "owner, client_name and reason must have at most 255 bytes each.",
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
    let page = page(app, caller, body.after.as_deref(), body.limit).await?;
    Ok(Asked { filter, page })
}

/// Which keys a call looks at.
pub(crate) async fn page(
    app: &App,
    caller: &Caller,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Page, Problem> {
    let mut page = Page::first(size(limit)?);
    if let Some(after) = after {
        let after = cursor(after)?;
        caller.may_start_after(app, &after).await?;
        page = page.after(after);
    }
    Ok(page)
}

fn size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE) {
        size @ 1..=PAGE_MAX => Ok(size),
        _ => Err(Problem::invalid("limit must be 1 to 100.")),
    }
}

/// Takes the caller's own key off a selection, and the ones that it derives from: if they ended,
/// the caller could not go on. Returns what was taken off.
pub(crate) async fn leave_out(
    backend: &dyn Backend,
    caller: &Caller,
    keys: &mut Vec<KeyRecord>,
) -> Result<Vec<String>, Problem> {
    let own = caller.own();
    let (mut lineages, mut from) = (Vec::new(), own.derived_from);
    while let Some(source) = from.filter(|_| lineages.len() < DERIVED_DEPTH_MAX) {
        lineages.push(source.lineage);
        from = match backend.record(&source.key_id).await {
            Ok(record) => record.derived_from,
            // What it derives from cannot be known.
            Err(StoreError::NotFound | StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error.into()),
        };
    }
    let mut left_out = Vec::new();
    keys.retain(|key| {
        let is_left_out = key.id == own.id || lineages.contains(&key.lineage);
        left_out.extend(is_left_out.then(|| key.id.to_string()));
        caller.sees(key) && !is_left_out
    });
    Ok(left_out)
}

fn planned(caller: &Caller, selection: &Selection, left_out: Vec<String>) -> BulkResult {
    let keys = selection.keys.iter();
    BulkResult {
        dry_run: true,
        key_ids: keys.map(|key| key.id.to_string()).collect(),
        derived_changed: 0,
        derived_left: 0,
        left_out,
        failed: Vec::new(),
        damaged: caller.damage(&selection.damaged),
        next: selection.next.map(|next| next.to_string()),
    }
}

/// What was done. If the store failed before the last key, the caller goes on after the last one
/// that was changed.
fn done(
    caller: &Caller,
    selection: &Selection,
    left_out: Vec<String>,
    ended: BulkEnded,
) -> Result<BulkResult, Problem> {
    let mut next = selection.next.map(|next| next.to_string());
    if let Some(error) = ended.stopped_by {
        match ended.changed.last() {
            Some(last) => next = Some(last.to_string()),
            None => return Err(error.into()),
        }
    }
    let failed = ended.failed.into_iter();
    Ok(BulkResult {
        dry_run: false,
        key_ids: ended.changed.iter().map(ToString::to_string).collect(),
        derived_changed: ended.derived.len(),
        derived_left: ended.left,
        left_out,
        failed: failed
            .map(|(id, error)| FailedKey {
                key_id: id.to_string(),
                message: Problem::from(error).into_message(),
            })
            .collect(),
        damaged: caller.damage(&selection.damaged),
        next,
    })
}

/// Revoke the keys that a filter selects, of those that the caller may see.
///
/// Each call looks at no more keys than `limit`: go on with `next` until it is null. Keys can be
/// issued meanwhile: repeat all of it, from the start, until `key_ids` is empty on each page. Each
/// key has an event, and the keys that derive from it are revoked with it, as for one key.
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
    let asked = asked(&app, &body, &caller).await?;
    let backend = app.acting_as(&caller, None)?;
    let mut selection = backend.to_revoke(&asked.filter, asked.page).await?;
    let left_out = leave_out(&*backend, &caller, &mut selection.keys).await?;
    if body.dry_run {
        return Ok(Json(planned(&caller, &selection, left_out)));
    }
    let ended = backend
        .revoke_selected(&selection, reason, caller.now)
        .await;
    let (keys, by) = (ended.count(), caller.id());
    tracing::info!(keys, failed = ended.failed.len(), by, "revoked many");
    done(&caller, &selection, left_out, ended).map(Json)
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
    let asked = asked(&app, &body, &caller).await?;
    let backend = app.acting_as(&caller, reason)?;
    let mut selection = backend.to_suspend(&asked.filter, asked.page).await?;
    let left_out = leave_out(&*backend, &caller, &mut selection.keys).await?;
    if body.dry_run {
        return Ok(Json(planned(&caller, &selection, left_out)));
    }
    let ended = backend.suspend_selected(&selection, caller.now).await;
    let (keys, by) = (ended.count(), caller.id());
    tracing::info!(keys, failed = ended.failed.len(), by, "suspended many");
    done(&caller, &selection, left_out, ended).map(Json)
}
