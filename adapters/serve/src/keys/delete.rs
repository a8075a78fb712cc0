//! `DELETE /v1/keys/{id}`: removes a key that has ended.

use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::caller::Caller;
use crate::extract::Id;
use crate::problem::{BadInput, Guarded, Problem};

/// Remove a key that has ended: one that is revoked, expired, or replaced and past its overlap.
///
/// A key is not removed while keys derive from it, or from its successors, that have not ended.
/// Its events stay, with one more of the removal. The digest of a revoked key stays refused.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "There is none that the caller may see", body = Problem),
        (status = 409, description = "The key has not ended, or keys that have not ended derive from it: revoke them first", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let _ = caller.readable(app.backend().record(&id).await)?;
    let backend = app.acting_as(&caller, None)?;
    backend.delete(&id, caller.now, &caller.permit()).await?;
    tracing::info!(key_id = id.as_str(), by = caller.id(), "deleted");
    Ok(StatusCode::NO_CONTENT)
}
