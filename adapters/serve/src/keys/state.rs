//! `POST /v1/keys/{id}/revoke`, `/suspend` and `/resume`.

use axum::Json;
use axum::extract::State;
use keystile::{KeyRecord, UNSPECIFIED};
use keystile_store::{Ended, Outcome, Reach};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::{DamagedKeyView, KeyOrDamage};
use crate::extract::{Body, Form, Id};
use crate::problem::{BadInput, Guarded, Problem};
use crate::text::without_key;
use crate::view::KeyView;

/// Why the status of a key changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    /// For the audit log: at most 255 bytes.
    #[schema(max_length = 255)]
    reason: Option<String>,
}

/// Why a key is revoked, and how far.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeBody {
    /// For the audit log: at most 255 bytes.
    #[schema(max_length = 255)]
    reason: Option<String>,
    /// Whether keys that derive from it are revoked although its successor lives.
    #[serde(default)]
    derived: bool,
}

impl Form for ReasonBody {
    const EXPECTED: &str = "The body must be empty, or a JSON object with only reason, a string.";
}

impl Form for RevokeBody {
    const EXPECTED: &str = "The body must be empty, or a JSON object with only reason, a string, \
        and derived, true or false.";
}

/// A key after a change of its status, and what became of those that derive from it.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndedView {
    #[serde(flatten)]
    key: KeyOrDamage,
    /// How many keys that derive from it were changed with it. Left out if its stored record is
    /// damaged: none was changed, and how many derive from it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = usize, required = false)]
    derived_changed: Option<usize>,
    /// How many live keys that derive from it were left alive, because its successor lives. Left
    /// out if its stored record is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = usize, required = false)]
    derived_left: Option<usize>,
}

impl ReasonBody {
    fn reason(&self) -> Result<Option<&str>, Problem> {
        self.reason.as_deref().map(without_key).transpose()
    }
}

/// Revoke a key permanently. When this returns, the key is refused in this process, and within
/// about a second in others.
///
/// Revoking a revoked key changes nothing: it keeps its first time and reason. A key whose
/// stored record is damaged can be revoked too: only its status is written, and the response has
/// `damaged`.
///
/// Keys that derive from it are revoked with it, unless its successor lives: then only if
/// `derived` is true.
#[utoipa::path(
    post, path = "/v1/keys/{id}/revoke", tag = "keys", request_body = RevokeBody,
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 200, description = "The key as it is now", body = EndedView),
        (status = 404, description = "There is none that the caller may see", body = Problem),
        (status = 409, description = "The key was modified concurrently", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<RevokeBody>,
) -> Result<Json<EndedView>, Problem> {
    let reason = body.reason.as_deref().map(without_key).transpose()?;
    let reason = reason.unwrap_or(UNSPECIFIED);
    // A key whose row is damaged can be ended too, by those who may see it.
    let _ = caller.found(app.backend().record(&id).await)?;
    let reach = match body.derived {
        true => Reach::Own,
        false => Reach::Last,
    };
    let backend = app.acting_as(&caller, None)?;
    let ended = backend
        .revoke(&id, reason, reach, caller.now, &caller.permit())
        .await?;
    Ok(ended_view(&caller, ended, "revoked"))
}

/// Suspend a key until it is resumed, and the keys that derive from it, unless its successor
/// lives. Suspending a suspended key changes nothing. A key whose
/// stored record is damaged can be suspended too, as it can be revoked.
#[utoipa::path(
    post, path = "/v1/keys/{id}/suspend", tag = "keys", request_body = ReasonBody,
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 200, description = "The key as it is now", body = EndedView),
        (status = 404, description = "There is none that the caller may see", body = Problem),
        (status = 409, description = "It is revoked", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn suspend(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<ReasonBody>,
) -> Result<Json<EndedView>, Problem> {
    // A key whose row is damaged can be ended too, by those who may see it.
    let _ = caller.found(app.backend().record(&id).await)?;
    let backend = app.acting_as(&caller, body.reason()?)?;
    let ended = backend.suspend(&id, caller.now, &caller.permit()).await?;
    Ok(ended_view(&caller, ended, "suspended"))
}

/// Resume a suspended key, if it may do no more than the caller's own, and the keys that were
/// suspended with it and may do no more either. Resuming an active key changes nothing.
#[utoipa::path(
    post, path = "/v1/keys/{id}/resume", tag = "keys", request_body = ReasonBody,
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        (status = 404, description = "There is none that the caller may see", body = Problem),
        (status = 409, description = "It is revoked", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<ReasonBody>,
) -> Result<Json<KeyOrDamage>, Problem> {
    // Also if it could not be resumed: what the caller may not see is not there for it.
    let _ = caller.readable(app.backend().record(&id).await)?;
    // Of the very record that is resumed: it may have got more meanwhile.
    let permit = |record: &KeyRecord| {
        caller.may_see(record)?;
        caller.covers(record)
    };
    let backend = app.acting_as(&caller, body.reason()?)?;
    let outcome = backend.resume_if(&id, caller.now, &permit).await?;
    Ok(finish(&caller, outcome, "resumed"))
}

fn ended_view(caller: &Caller, ended: Ended, verb: &'static str) -> Json<EndedView> {
    for derived in &ended.derived {
        let id = derived.id.as_str();
        tracing::info!(key_id = id, by = caller.id(), "{verb} with its source");
    }
    let is_known = ended.outcome.record().is_some();
    let Json(key) = finish(caller, ended.outcome, verb);
    Json(EndedView {
        key,
        derived_changed: is_known.then_some(ended.derived.len()),
        derived_left: is_known.then_some(ended.left),
    })
}

/// The key as it is now. A key that has the wanted status already is not an error, and is
/// not logged again.
fn finish(caller: &Caller, outcome: Outcome, verb: &'static str) -> Json<KeyOrDamage> {
    if let (true, Some((id, _))) = (outcome.is_changed(), outcome.version()) {
        tracing::info!(key_id = id.as_str(), by = caller.id(), "{verb}");
    }
    Json(match &outcome {
        Outcome::Changed(record) | Outcome::Unchanged(record) => {
            KeyOrDamage::Key(Box::new(KeyView::new(record, caller.now)))
        }
        Outcome::Damaged { row, .. } => {
            KeyOrDamage::Damage(DamagedKeyView::new(row, caller.damage_view(row)))
        }
    })
}
