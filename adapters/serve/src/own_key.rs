//! `GET /v1/self`: what the holder of a key may know of it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Request as HttpRequest;
use keystile::{Allowed, EndpointRules, KeyRecord, Quota};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::client::client;
use crate::problem::{Guarded, Problem};
use crate::rfc3339::rfc3339;
use crate::view::Rate;

/// The key that was sent, as its holder may know it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnKey {
    /// The public id.
    key_id: String,
    environment: Option<String>,
    permissions: Vec<String>,
    /// Null: all. Empty: none.
    allowed_endpoints: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    /// Requests that the rate limit allows now.
    remaining: Option<u32>,
    /// Seconds until the limit is fully available again.
    reset_seconds: Option<u64>,
    /// Uses that are left in total. Null: not counted.
    remaining_uses: Option<u64>,
    /// Null: never.
    expires_at: Option<String>,
    /// The key that replaces this one.
    replaced_by: Option<String>,
    /// When a replaced key ends.
    ends_at: Option<String>,
}

/// Show the key that is sent.
///
/// Any key may ask this, without a permission. Nothing is spent, and no endpoint rule is
/// checked, so a key whose limit is spent gets an answer too. A key that is revoked, suspended,
/// expired or replaced, or that is used from an address outside of its networks, is refused as
/// everywhere.
#[utoipa::path(
    get, path = "/v1/self", tag = "verify",
    responses((status = 200, description = "The key", body = OwnKey), Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn own_key(
    State(app): State<App>,
    request: HttpRequest<Body>,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let trusted = &app.settings().trusted_proxies;
    let address = client(&parts.extensions, &parts.headers, trusted).address;
    match app.judge_own(&parts.headers, address).await?.outcome {
        Ok(passed) => Ok(Json(OwnKey::new(&passed.record, &passed.allowed)).into_response()),
        Err(denied) => Ok(app.reject(&denied, None)),
    }
}

impl OwnKey {
    fn new(record: &KeyRecord, allowed: &Allowed) -> Self {
        let texts = |rules: &EndpointRules| rules.iter().map(str::to_owned).collect();
        let quota = allowed.quota.as_ref();
        Self {
            key_id: record.id.to_string(),
            environment: record.environment.map(|name| name.to_string()),
            permissions: record.permissions.iter().map(str::to_owned).collect(),
            allowed_endpoints: record.allowed_endpoints.as_ref().map(texts),
            rate_limit: record.rate_limit.as_ref().map(Rate::new),
            remaining: quota.map(Quota::remaining),
            reset_seconds: quota.map(|quota| quota.reset().secs_ceil()),
            remaining_uses: allowed.remaining_uses,
            expires_at: record.expires_at.map(rfc3339),
            replaced_by: allowed.notice.map(|notice| notice.replaced_by.to_string()),
            ends_at: allowed.notice.map(|notice| rfc3339(notice.until)),
        }
    }
}
