//! `POST /v1/verify`: may the key in the header do this?

use core::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use keystile::{Decision, DenialCode, Environment, PathProfile, Request, Requirement};
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

/// The same, checked.
pub(crate) struct Asked {
    pub(crate) requirement: Option<Requirement>,
    environment: Option<Environment>,
    endpoint: Option<(String, String)>,
    pub(crate) address: Option<IpAddr>,
}

impl VerifyBody {
    /// The request, or which field is not valid.
    pub(crate) fn read(self) -> Result<Asked, Problem> {
        let requirement = self
            .requires
            .as_deref()
            .map(text::requirement)
            .transpose()?;
        let environment = self.environment.as_deref().map(Environment::new);
        let endpoint = match (self.method, self.path) {
            (None, None) => None,
            (Some(_), None) => {
                return Err(Problem::invalid("method must be sent together with path."));
            }
            (method, Some(path)) => {
                let method = method.as_deref().unwrap_or("GET");
                Some((text::method(method)?.to_owned(), path))
            }
        };
        Ok(Asked {
            requirement,
            environment: environment.transpose()?,
            address: self.ip.as_deref().map(text::address).transpose()?,
            endpoint,
        })
    }
}

impl Asked {
    pub(crate) fn request(&self, profile: PathProfile) -> Request<'_> {
        let request = Request::new()
            .requires(&self.requirement)
            .environment(&self.environment)
            .address(self.address)
            .path_profile(profile);
        match &self.endpoint {
            Some((method, path)) => request.endpoint(method, path),
            None => request,
        }
    }
}

impl Form for VerifyBody {
    const EXPECTED: &str = "The body must be a JSON object with only requires, method, path, ip \
                            and environment, each a string or left out.";
}

/// Decide whether the presented key is allowed. An allowed request counts towards its limits.
///
/// The status is 200 whenever there is a decision, even if it is a denial: the body has the
/// decision. If it is an allow, the body also has what the record says of the key, and the header
/// fields for the response to your own client, so that you need no second request.
///
/// The route needs no credential beside the key. So anyone who has the key and reaches the
/// route learns the owner, template and metadata of it, which `GET /v1/self` does not tell. Publish the
/// route only to your services.
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
    let asked = body.read()?;
    let request = asked.request(app.settings().path_profile);
    let judged = app.judge("verify", &headers, request, asked.address);
    let judged = judged.await?;
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
    let (record, requirement) = (record.as_deref(), asked.requirement.as_ref());
    let decision = DecisionView::new(&decision, record, requirement, policy, judged.now);
    Ok(Json(decision).into_response())
}
