//! `/v1/authorize`: forward authentication for gateways.

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Request as HttpRequest, StatusCode};
use keystile::{Environment, KeyRecord, Request, Requirement};
use keystile_http::ResponseHeaders;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses};

use crate::app::App;
use crate::client::{client, is_peer_trusted};
use crate::extract::{Form, StrictQuery};
use crate::original_request::{Gateway, single_header};
use crate::problem::Problem;
use crate::text;

/// What is percent-encoded of a client's name in a header: besides what is no text, each
/// character at which some parser of lists, parameters, quoted strings or cookies would end the
/// value, so that each of them sees one value.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b'%')
    .add(b',')
    .add(b';')
    .add(b'"')
    .add(b'\'')
    .add(b'\\')
    .add(b'=')
    .add(b'(')
    .add(b')')
    .add(b'<')
    .add(b'>');

/// What a location requires of keys. It is set by the gateway's configuration, never by the
/// client.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Location {
    /// Permissions, such as `read` or `admin OR (read AND audit)`.
    #[param(max_length = 1000)]
    requires: Option<String>,
    /// The environment that the location belongs to.
    #[param(pattern = "^[a-z0-9]{1,12}$")]
    environment: Option<String>,
}

impl Form for Location {
    const EXPECTED: &str = "The query must have only requires and environment, each at most once.";
}

/// The response to a gateway.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the OpenAPI document")]
pub(crate) enum Authorized {
    /// The request is allowed; the headers identify the key.
    #[response(status = 200)]
    Pass,
    /// The original request is missing, or given twice.
    #[response(status = 400)]
    Malformed(Problem),
    /// No key was sent, or the key is not valid.
    #[response(status = 401)]
    NoKey(Problem),
    /// The key is not allowed to do this, or the peer is not a trusted gateway.
    #[response(status = 403)]
    Forbidden(Problem),
    /// The required permissions or the environment of the location are not valid.
    #[response(status = 422)]
    Invalid(Problem),
    /// The rate limit of the key is exceeded; or the key is not valid, and too many such keys
    /// came from the client's address: `too_many_invalid_keys`.
    #[response(status = 429)]
    Limited(Problem),
    /// The stored record of the key is damaged: `record_damaged`.
    #[response(status = 500)]
    Damaged(Problem),
    /// The key store is unavailable, or the service lacks the pepper of the key:
    /// `pepper_unavailable`.
    #[response(status = 503)]
    Unavailable(Problem),
}

/// Forward authentication for a gateway that is recognized by its headers.
///
/// nginx sends `X-Original-Method` and `X-Original-URI`, Traefik and Caddy send
/// `X-Forwarded-Method` and `X-Forwarded-Uri`. If both are present, either could be the
/// client's, and the request is refused. Only trusted peers may call this.
#[utoipa::path(
    get, path = "/v1/authorize", tag = "gateways", params(Location), responses(Authorized),
    security(("key_header" = []), ("bearer" = []), ()),
)]
pub(crate) async fn authorize(State(app): State<App>, request: HttpRequest<Body>) -> Response {
    let (parts, _) = request.into_parts();
    match Gateway::by_headers(&parts) {
        Ok(gateway) => answer(&app, gateway, parts).await,
        Err(problem) => problem.into_response(),
    }
}

/// Forward authentication for nginx's `auth_request`, which uses only `X-Original-Method` and
/// `X-Original-URI`.
///
/// nginx turns every status except 2xx, 401 and 403 into a 500. Instead of those, it gets a
/// 403 with the status in `X-Auth-Status`, and `Retry-After`.
#[utoipa::path(
    get, path = "/v1/authorize/nginx", tag = "gateways", params(Location),
    responses(Authorized), security(("key_header" = []), ("bearer" = []), ()),
)]
pub(crate) async fn nginx(State(app): State<App>, request: HttpRequest<Body>) -> Response {
    answer(&app, Gateway::Nginx, request.into_parts().0).await
}

/// Forward authentication for Traefik's `ForwardAuth` and Caddy's `forward_auth`, which uses
/// only `X-Forwarded-Method` and `X-Forwarded-Uri`.
#[utoipa::path(
    get, path = "/v1/authorize/forwarded", tag = "gateways", params(Location),
    responses(Authorized), security(("key_header" = []), ("bearer" = []), ()),
)]
pub(crate) async fn forwarded(State(app): State<App>, request: HttpRequest<Body>) -> Response {
    answer(&app, Gateway::Forwarded, request.into_parts().0).await
}

/// Forward authentication for Envoy's `ext_authz` over HTTP, with the path prefix
/// `/v1/authorize/envoy`: any method, and after the prefix the original path and query.
///
/// What the location requires is in `X-Keystile-Requires` and `X-Keystile-Environment`, which
/// Envoy sets with `headers_to_add`.
#[utoipa::path(
    method(get, head, post, put, patch, delete, options),
    path = "/v1/authorize/envoy/{path}", tag = "gateways", responses(Authorized),
    params(("path" = String, Path, description = "The original path")),
    security(("key_header" = []), ("bearer" = []), ()),
)]
pub(crate) async fn envoy(State(app): State<App>, request: HttpRequest<Body>) -> Response {
    answer(&app, Gateway::Envoy, request.into_parts().0).await
}

async fn answer(app: &App, gateway: Gateway, mut parts: Parts) -> Response {
    let response = match decide(app, gateway, &mut parts).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    match gateway {
        Gateway::Nginx => for_nginx(response),
        _ => response,
    }
}

async fn decide(app: &App, gateway: Gateway, parts: &mut Parts) -> Result<Response, Problem> {
    let trusted = &app.settings().trusted_proxies;
    if !is_peer_trusted(&parts.extensions, trusted) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "Not a trusted gateway",
            "untrusted_peer",
            "A gateway must connect from an address that --trusted-proxy names.",
        ));
    }
    let original = gateway.original(parts)?;
    let location = location(gateway, parts).await?;
    let requirement: Option<Requirement> = location
        .requires
        .as_deref()
        .map(text::requirement)
        .transpose()?;
    let environment = location.environment.as_deref().map(Environment::new);
    let environment = environment.transpose()?;
    let request = Request::new()
        .endpoint(&original.method, &original.path)
        .path_profile(app.settings().path_profile)
        .requires(&requirement)
        .environment(&environment);
    let headers = &parts.headers;
    let address = client(&parts.extensions, headers, trusted).address;
    let judged = app.judge("authorize", headers, request, address).await?;
    let passed = match judged.outcome {
        Ok(passed) => passed,
        Err(denied) => return Ok(app.reject(&denied, requirement.as_ref())),
    };
    let mut response = Response::new(Body::empty());
    identify(&mut response, &passed.record);
    let form = app.settings().responses.rate_limit_fields;
    ResponseHeaders::new(&passed.allowed, form, judged.now).add_to(response.headers_mut());
    Ok(response)
}

/// What the location requires: from Envoy in headers, since its query is the original one.
async fn location(gateway: Gateway, parts: &mut Parts) -> Result<Location, Problem> {
    if gateway != Gateway::Envoy {
        let StrictQuery(location) = StrictQuery::from_request_parts(parts, &()).await?;
        return Ok(location);
    }
    let optional = |name: &'static str| {
        let is_there = parts.headers.contains_key(name);
        is_there
            .then(|| single_header(parts, name).map(str::to_owned))
            .transpose()
    };
    Ok(Location {
        requires: optional("x-keystile-requires")?,
        environment: optional("x-keystile-environment")?,
    })
}

/// Names the key and its owner. Each header is always there, if empty, so that it replaces
/// one that the client sent.
fn identify(response: &mut Response, record: &KeyRecord) {
    let environment = record.environment.as_ref();
    for (name, value) in [
        ("x-keystile-key-id", record.id.as_str()),
        ("x-keystile-client", &record.client_name),
        (
            "x-keystile-owner",
            record.owner.as_deref().unwrap_or_default(),
        ),
        (
            "x-keystile-environment",
            environment.map_or("", Environment::as_str),
        ),
    ] {
        let spelled = utf8_percent_encode(value, UNSAFE).to_string();
        let value = HeaderValue::try_from(spelled);
        let value = value.unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(name, value);
    }
}

/// nginx turns every status but these into a 500.
fn for_nginx(mut response: Response) -> Response {
    let status = response.status();
    if !status.is_success() && !matches!(status.as_u16(), 401 | 403) {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    let spelled = HeaderValue::from(status.as_u16());
    response.headers_mut().insert("x-auth-status", spelled);
    response
}
