//! `POST /v1/verify`: may the key in the header do this?

use core::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use keystile::{Decision, DenialCode, Environment, Request};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::decision_view::DecisionView;
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Problem};
use crate::text;

/// The request to decide about. What is left out is not checked, but if the key is restricted
/// to endpoints or networks, it is denied when `path` or `ip` is missing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// Permissions that it needs, such as `admin OR (read AND audit)`.
    #[schema(max_length = 1000)]
    requires: Option<String>,
    /// Its method; `GET` if only a path is given.
    #[schema(pattern = "^[A-Z][A-Z0-9_-]{0,31}$")]
    method: Option<String>,
    /// Its path as the router sees it, without the query.
    path: Option<String>,
    /// The client's IP address, by which invalid keys are counted.
    ip: Option<String>,
    /// The environment of the service; keys of any other environment, or of none, are denied.
    #[schema(pattern = "^[a-z0-9]{1,12}$")]
    environment: Option<String>,
}

impl Form for VerifyBody {
    const EXPECTED: &str = "The body must be a JSON object with only requires, method, path, ip \
                            and environment, each a string or left out.";
}

/// Decide whether the presented key is allowed. An allowed request counts towards its limits.
///
/// The status is 200 whenever there is a decision, even if it is a denial: the body has the
/// decision.
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
        (Some(_), None) => return Err(Problem::invalid("method must be sent together with path.")),
        (method, Some(path)) => {
            let method = text::method(method.as_deref().unwrap_or("GET"))?;
            request = request.endpoint(method, path);
        }
    }
    let judged = app.judge("verify", &headers, request, address).await?;
    let (decision, record) = match judged.outcome {
        Ok(passed) => (Decision::Allow(passed.allowed), Some(passed.record)),
        // Whether the key is valid is not known: that is no verdict.
        Err(denied)
            if matches!(
                denied.denial().code(),
                DenialCode::StoreUnavailable
                    | DenialCode::PepperUnavailable
                    | DenialCode::RecordDamaged
            ) =>
        {
            return Ok(app.reject(&denied, None));
        }
        Err(denied) => (Decision::Deny(denied.into_denial()), None),
    };
    let policy = app.settings().status_policy;
    let decision = DecisionView::new(&decision, record.as_deref(), requirement.as_ref(), policy);
    Ok(Json(decision).into_response())
}
