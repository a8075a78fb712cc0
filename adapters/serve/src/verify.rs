//! `POST /v1/verify`: may the key in the header do this?

use core::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use keystile::{DenialCode, Environment, Request};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::decision_view::DecisionView;
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Problem};
use crate::text;

/// What the key's bearer wants to do. What is left out is not asked; but a key that is
/// restricted to endpoints or networks is refused where `path` or `ip` is missing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// Permissions that it needs, such as `admin OR (read AND audit)`.
    #[schema(max_length = 1000)]
    requires: Option<String>,
    /// Its method; `GET` where a path alone is given.
    #[schema(pattern = "^[A-Z][A-Z0-9_-]{0,31}$")]
    method: Option<String>,
    /// Its path as it is dispatched, without the query.
    path: Option<String>,
    /// The address that it comes from; invalid keys are counted by it.
    ip: Option<String>,
    /// The environment that asks; keys of any other, or of none, are refused.
    #[schema(pattern = "^[a-z0-9]{1,12}$")]
    environment: Option<String>,
}

impl Form for VerifyBody {
    const EXPECTED: &str = "The body is a JSON object; each of requires, method, path, ip and \
                            environment is a text or left out, and there is nothing else.";
}

/// Decide about the presented key, and spend what an allowed request costs.
///
/// Always 200 where it was decided, for a refusal too: the decision stands in the body.
#[utoipa::path(
    post, path = "/v1/verify", tag = "verify", request_body = VerifyBody,
    responses((status = 200, description = "The decision", body = DecisionView), BadInput),
    security(("key_header" = []), ("bearer" = []), ()),
)]
pub(crate) async fn verify(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<VerifyBody>,
) -> Result<Response, Problem> {
    let requirement = body.requires.as_deref().map(text::requirement);
    let requirement = requirement.transpose()?;
    let environment = body.environment.as_deref().map(Environment::new);
    let environment = environment.transpose()?;
    let address: Option<IpAddr> = body.ip.as_deref().map(text::address).transpose()?;
    let mut request = Request::new()
        .requires(&requirement)
        .environment(&environment);
    match (&body.method, &body.path) {
        (None, None) => {}
        (Some(_), None) => return Err(Problem::invalid("A method goes with a path.")),
        (method, Some(path)) => {
            let method = text::method(method.as_deref().unwrap_or("GET"))?;
            request = request.endpoint(method, path);
        }
    }
    let judged = app.judge("verify", &headers, request, address).await?;
    if let Some(denial) = judged.decision.denial()
        && denial.code() == DenialCode::StoreUnavailable
    {
        return Ok(app.refuse(denial, judged.wait, None));
    }
    let policy = app.settings.status_policy;
    let record = judged.record.as_deref();
    let decision = DecisionView::new(&judged.decision, record, requirement.as_ref(), policy);
    Ok(Json(decision).into_response())
}
