//! `POST /v1/keys/{id}/rotate`: a new key takes the place of an old one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::BoxFuture;
use keystile::{KeyFormat, KeyId, KeyRecord, RotationPolicy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NewKey;
use super::issue::millis;
use super::once::{self, Idempotency, IssuedBefore};
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::extract::{Body, Form, Id};
use crate::problem::{BadInput, Guarded, Problem};
use crate::rfc3339::rfc3339;
use crate::view::KeyView;

/// How the old key ends and how long the new one lives.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// How long the old key keeps working, in seconds: the default is 7 days, 0 ends it at
    /// once. It never works past its own expiry.
    overlap_seconds: Option<u64>,
    /// How long the new key lives, in seconds. The default is as long as the old one was given.
    #[schema(minimum = 1)]
    max_age_seconds: Option<u64>,
    /// Whether the first use of the new key ends the overlap.
    #[serde(default)]
    end_on_first_use: bool,
}

impl Form for RotateBody {
    const EXPECTED: &str = "The body must be a JSON object with only overlap_seconds and \
        max_age_seconds, whole numbers, and end_on_first_use, true or false; each may be \
        left out.";
}

/// Replace a key with a new one, and return its text. This is the only time it is shown.
///
/// The new key has the permissions and limits of the old one, and shares its rate limit and
/// uses, and lives as long as the old one was given. A caller can rotate its own key, and keys
/// that may do no more than its own. No successor outlives the caller's key: that of its own key
/// ends when the key would have, unless the caller has `keystile:keys:renew`.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", tag = "keys", request_body = RotateBody,
    params(
        ("id" = String, Path, description = "The key's public id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Of several requests with the \
            same one, within a day, one rotates the key; for the same caller and body"),
    ),
    responses(
        (status = 200, description = "The successor was issued by an earlier request with this \
            Idempotency-Key, and is not shown again", body = IssuedBefore),
        (status = 201, description = "The successor", body = NewKey),
        (status = 404, description = "The caller can see no key with this id", body = Problem),
        (status = 409, description = "It is suspended, revoked, expired or replaced", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    idempotency: Idempotency,
    Body(body): Body<RotateBody>,
) -> Result<Response, Problem> {
    let once = idempotency.request(&caller, &format!("rotate {id}"), &body)?;
    let verb = |backend| -> BoxFuture<'_, _> { Box::pin(new(&app, backend, &caller, id, &body)) };
    once::issue(&app, &caller, once.as_ref(), false, verb).await
}

async fn new(
    app: &App,
    backend: Arc<dyn Backend>,
    caller: &Caller,
    id: KeyId,
    body: &RotateBody,
) -> Result<NewKey, Problem> {
    // Also if it could not be rotated: what the caller may not see is not there for it.
    let _ = caller.readable(app.backend().record(&id).await)?;
    let mut policy = RotationPolicy::default().with_end_on_first_use(body.end_on_first_use);
    if let Some(overlap) = body.overlap_seconds.map(millis).transpose()? {
        policy = policy.with_overlap(overlap)?;
    }
    let lifetime = body.max_age_seconds.map(millis).transpose()?;
    // Of the very record that is rotated: it may have got more meanwhile.
    let permit = |record: &KeyRecord| {
        caller.may_see(record)?;
        caller.covers(record)?;
        caller.rotation(record, lifetime, policy.clone())
    };
    let format: Option<&KeyFormat> = None;
    let rotated = backend.rotate_if(&id, &permit, format, caller.now).await?;
    let old = rotated.changed.iter().find(|record| record.id == id);
    let end = old
        .and_then(|record| record.ends_at())
        .unwrap_or(caller.now);
    let successor = &rotated.successor;
    let (new_id, by) = (successor.id.as_str(), caller.id());
    tracing::info!(key_id = id.as_str(), successor = new_id, by, "rotated");
    Ok(NewKey {
        key: rotated.key.expose().to_owned(),
        key_id: successor.id.to_string(),
        replaces: Some(id.to_string()),
        replaced_ends_at: Some(rfc3339(end)),
        record: KeyView::new(successor, caller.now),
    })
}
