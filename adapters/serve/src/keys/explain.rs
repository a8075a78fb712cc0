//! `POST /v1/keys/{id}/explain`: why would a request with this key be refused?

use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::caller::Caller;
use crate::explanation_view::ExplanationView;
use crate::extract::{Body, Id};
use crate::problem::{BadInput, Guarded, Problem};
use crate::verify::VerifyBody;

/// Explain the decision that a request with this key would get, without the key's text.
///
/// Nothing is spent. The answer has each check in order, also those after the first one that
/// refuses. It needs the permission to read the key. Which peppers the server has is shown only
/// to a caller who may see the keys of all owners.
#[utoipa::path(
    post, path = "/v1/keys/{id}/explain", tag = "keys", request_body = VerifyBody,
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 200, description = "The decision and its checks", body = ExplanationView),
        (status = 404, description = "The caller can see no key with this id", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn explain(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<VerifyBody>,
) -> Result<Json<ExplanationView>, Problem> {
    // A key that the caller may not see is not found, whatever the body is.
    caller.readable(app.backend().record(&id).await)?;
    let asked = body.read()?;
    let request = asked.request(app.settings().path_profile);
    let explained = match app.backend().explain(&id, &request, caller.now).await {
        Ok(explained) => explained,
        // Meanwhile its row may have been damaged, or moved to an owner that the caller may not see.
        Err(error) => {
            let _ = caller.readable(Err(error))?;
            return Err(Problem::not_found());
        }
    };
    // It may have moved to another owner meanwhile.
    caller.may_see(&explained.record)?;
    let policy = app.settings().responses.status;
    let requirement = asked.requirement.as_ref();
    let view = ExplanationView::new(&explained, requirement, policy);
    Ok(Json(match caller.has_every_owner() {
        true => view,
        false => view.without_peppers(),
    }))
}
