//! `POST /v1/templates/{name}/apply`: gives the keys of a template its rights.

use axum::Json;
use axum::extract::State;
use keystile::KeyRecord;
use keystile_store::Filter;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Name;
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Body, Form};
use crate::keys::bulk::{FailedKey, leave_out, page};
use crate::keys::change::of_derived;
use crate::keys::change_many::Each;
use crate::problem::{BadInput, Guarded, Problem};
use crate::text::without_key;

/// How a template is applied.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyBody {
    /// Change nothing, and return what would be changed, and what would be refused.
    #[serde(default)]
    dry_run: bool,
    /// Also change the keys with rights of their own.
    #[serde(default)]
    all: bool,
    /// What becomes of keys that derive from one and would exceed it: `suspend`, `revoke` or
    /// `keep`. Without it, a key that has any is not changed.
    derived: Option<String>,
    /// For the audit log: at most 255 bytes; the default is the template's name.
    #[schema(max_length = 255)]
    reason: Option<String>,
    /// Starts after this key: the `next` of the previous response.
    after: Option<String>,
    /// The maximum number of keys that are looked at; the default is 50.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

impl Form for ApplyBody {
    const EXPECTED: &str = "The body must be a JSON object with only any of dry_run, all, derived, \
        reason, after and limit.";
}

/// What was changed, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct Applied {
    /// Whether nothing was changed, because that was asked for.
    dry_run: bool,
    /// The version of the template.
    version: u64,
    /// The ids of the keys that were changed, or would be.
    key_ids: Vec<String>,
    /// How many other keys that derive from these were changed with them, or would be, because of
    /// `derived`.
    derived_changed: usize,
    /// How many keys have the template's rights already.
    current: usize,
    /// The keys with rights of their own: issued narrower, or changed since. They stay, unless
    /// `all` is set.
    own: Vec<String>,
    /// How many of these may do more than the template allows now.
    exceeding: usize,
    /// The caller's own key, and the keys that it derives from: they stay, so that the caller can
    /// go on. Change them one by one.
    left_out: Vec<String>,
    /// The keys that could not be changed, or could not be.
    failed: Vec<FailedKey>,
    /// The rows that cannot be read. They were not changed.
    damaged: Vec<DamageView>,
    /// Send the same body with this `after` to go on; null after the last key.
    next: Option<String>,
}

/// Give the keys that were issued from a template its permissions, endpoints and rate limit, of
/// those that the caller may see. Their lifetimes stay.
///
/// Each key is changed as by `PATCH /v1/keys/{id}`, with an event, if it is within the caller's own
/// before the change and after it. Each call looks at no more keys than `limit`: go on with `next`
/// until it is null. If the template is changed meanwhile, nothing more is written, and the answer is
/// an error that says how many keys the call has changed before. After that, or if it is stopped
/// otherwise, start again: keys that have the template's rights are passed over.
#[utoipa::path(
    post, path = "/v1/templates/{name}/apply", tag = "templates", request_body = ApplyBody,
    params(("name" = String, Path, description = "The template's name")),
    responses(
        (status = 200, description = "What was changed", body = Applied),
        (status = 404, description = "There is none with this name", body = Problem),
        (status = 409, description = "The template was changed meanwhile: `stale`", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn apply(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    Body(body): Body<ApplyBody>,
) -> Result<Json<Applied>, Problem> {
    let rule = of_derived(body.derived.as_deref())?;
    let usual = format!("template {name}");
    let reason = without_key(body.reason.as_deref().unwrap_or(&usual))?;
    let backend = app.acting_as(&caller, Some(reason))?;
    let template = backend.template(&name).await?;
    let page = page(&app, &caller, body.after.as_deref(), body.limit).await?;
    let mut filter = Filter::default();
    caller.restrict(&mut filter)?;
    let now = caller.now;
    let keys = backend.template_keys(&template, &filter, page, now);
    let mut keys = keys.await?;
    keys.own.retain(|key| caller.sees(key));
    let own = keys.own.iter().map(|key| key.id.to_string()).collect();
    let exceeding = keys.exceeding();
    if body.all {
        keys = keys.take_own();
    }
    let left_out = leave_out(&*backend, &caller, &mut keys.due).await?;
    let permit = |before: &KeyRecord, after: &KeyRecord| {
        if !keys.is_due(before) {
            return Err(Problem::not_found());
        }
        caller.may_change(before, after)
    };
    let requested = keys.change();
    let each = Each {
        requested: &requested,
        of_derived: rule,
        now,
        dry_run: body.dry_run,
        permit: &permit,
    };
    let relying = backend.relying_on(&template);
    let mut changed = each.of(&*relying, &keys.due).await;
    if !body.dry_run {
        let (count, by) = (changed.key_ids.len(), caller.id());
        let (template, failed) = (name.as_str(), changed.failed.len());
        tracing::info!(template, keys = count, failed, by, "template applied");
    }
    let next = changed.next(keys.next.map(|next| next.to_string()))?;
    Ok(Json(Applied {
        dry_run: body.dry_run,
        version: template.version,
        derived_changed: changed.derived_changed(),
        key_ids: changed.key_ids,
        current: keys.current,
        own,
        exceeding,
        left_out,
        failed: changed.failed,
        damaged: caller.damage(&keys.damaged),
        next,
    }))
}
