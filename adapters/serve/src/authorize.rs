//! `/v1/authorize`: forward authentication for gateways.

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::header::UPGRADE;
use http::request::Parts;
use http::{HeaderValue, Request as HttpRequest, StatusCode};
use keystile::{Environment, KeyRecord, Request, Requirement};
use keystile_http::{ResponseHeaders, is_preflight};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses};

use crate::app::App;
use crate::carried;
use crate::client::{client, is_peer_trusted};
use crate::extract::{Form, StrictQuery};
use crate::nginx_answer::for_nginx;
use crate::original_request::{Gateway, single_header};
use crate::preflight;
use crate::problem::Problem;
use crate::text;
use crate::upgrade;

/// Envoy removes the headers that are listed here from the request to the service.
const TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";

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
    /// With `pass`, CORS preflights pass without a key: requests with the method `OPTIONS`, one
    /// `Origin` and one `Access-Control-Request-Method`, and no `Upgrade`. They pass without the
    /// headers that identify a key. By default they are refused, as every request without a key.
    #[param(pattern = "^pass$")]
    preflight: Option<String>,
}

impl Form for Location {
    const EXPECTED: &str =
        "The query must have only requires, environment and preflight, each at most once.";
}

/// The response to a gateway.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the OpenAPI document")]
pub(crate) enum Authorized {
    /// The request is allowed; the headers identify the key.
    #[response(status = 200)]
    Pass,
    /// The original request is missing, or given twice; or it asks for an upgrade to something
    /// other than WebSocket.
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
/// Without `X-Original-URI`, the path is read from `X-Original-URL`, as ingress-nginx sends it:
/// a URL with `http` or `https`. If both are sent, they must have the same path and query.
///
/// nginx turns every status except 2xx, 401 and 403 into a 500, and drops bodies. Instead of
/// another status it gets a 403, with the status in `X-Auth-Status` and `Retry-After`. The body
/// of a refusal, at most 1 KiB, is in `X-Auth-Body` too.
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
/// What the location requires is in `X-Keystile-Requires`, `X-Keystile-Environment` and
/// `X-Keystile-Preflight`, which Envoy sets. The headers that carried the key are named in
/// `X-Envoy-Auth-Headers-To-Remove`, and Envoy removes them.
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
        Gateway::Nginx => for_nginx(response).await,
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
    upgrade::check(&parts.headers)?;
    let location = location(gateway, parts).await?;
    let requirement: Option<Requirement> = location
        .requires
        .as_deref()
        .map(text::requirement)
        .transpose()?;
    let environment = location.environment.as_deref().map(Environment::new);
    let environment = environment.transpose()?;
    let profile = app.settings().path_profile;
    let request = Request::new()
        .endpoint(&original.method, &original.path)
        .path_profile(profile)
        .requires(&requirement)
        .environment(&environment);
    let headers = &parts.headers;
    let mut response = Response::new(Body::empty());
    if preflight::is_passed(location.preflight.as_deref())?
        && is_preflight(&original.method, headers)
        // It would leave the client with a connection to the service, and no key.
        && !headers.contains_key(UPGRADE)
        && profile.accepts(original.path.as_bytes())
    {
        if gateway == Gateway::Envoy
            && let Some(names) = carried::all(app.sources())
        {
            response.headers_mut().insert(TO_REMOVE, names);
        }
        return Ok(response);
    }
    let address = client(&parts.extensions, headers, trusted).address;
    let judged = app.judge("authorize", headers, request, address).await?;
    let passed = match judged.outcome {
        Ok(passed) => passed,
        Err(denied) => return Ok(app.reject(&denied, requirement.as_ref())),
    };
    let left = app.without_key(headers, &passed);
    if gateway != Gateway::Envoy {
        carried::repeat(app.sources(), &left, response.headers_mut());
    } else if let Some(names) = carried::gone(headers, &left) {
        response.headers_mut().insert(TO_REMOVE, names);
    }
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
        preflight: optional("x-keystile-preflight")?,
    })
}

/// A name as it is in a header. Spaces at its ends are encoded too: on the way, they would be
/// removed, and two names would be one.
fn spelled(name: &str) -> String {
    let inner = name.trim_matches(' ');
    let (start, end) = name.split_once(inner).unwrap_or((name, ""));
    let spaces = |part: &str| "%20".repeat(part.len());
    let inner = utf8_percent_encode(inner, UNSAFE);
    format!("{}{inner}{}", spaces(start), spaces(end))
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
        let value = HeaderValue::try_from(spelled(value));
        let value = value.unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_ends_and_is_one_value() {
        for (name, expected) in [
            ("acme", "acme"),
            ("Acme Ltd", "Acme Ltd"),
            ("acme ", "acme%20"),
            ("  a b ", "%20%20a b%20"),
            ("", ""),
            (" ", "%20"),
            ("Smith, Jones (UK)", "Smith%2C Jones %28UK%29"),
            ("50%", "50%25"),
            ("Zo\u{eb}", "Zo%C3%AB"),
        ] {
            assert_eq!(spelled(name), expected, "{name:?}");
        }
    }
}
