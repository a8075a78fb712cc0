//! The routes, and the OpenAPI document that describes them.

use core::any::Any;

use axum::body::Bytes;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{BoxError, Extension, Router};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::SharedClassifier;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::caller::{guard, guard_reading};
use crate::describe::describe;
use crate::failed_response::FailedResponses;
use crate::keys::{
    bulk, change, change_many, delete, events, explain, issue, list, plan, rotate, state,
};
use crate::problem::Problem;
use crate::{authorize, health, own_key, templates, verify};

/// Header fields that every response gets if it does not set them itself. Responses are for
/// programs: a browser must not cache, frame, sniff or run them.
const SECURITY: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// All routes, and the document that describes them.
pub(crate) fn router(app: App) -> (Router, serde_json::Value) {
    let admin = OpenApiRouter::new()
        .routes(routes!(list::list, issue::issue))
        .routes(routes!(events::all))
        .routes(routes!(plan::plan))
        .routes(routes!(list::show, change::change, delete::delete))
        .routes(routes!(bulk::revoke))
        .routes(routes!(bulk::suspend))
        .routes(routes!(change_many::change))
        .routes(routes!(templates::list))
        .routes(routes!(
            templates::show,
            templates::edit::put,
            templates::edit::remove
        ))
        .routes(routes!(templates::apply::apply))
        .routes(routes!(events::of_key))
        .routes(routes!(state::revoke))
        .routes(routes!(state::suspend))
        .routes(routes!(state::resume))
        .routes(routes!(rotate::rotate))
        .route_layer(from_fn_with_state(app.clone(), guard));
    let reading = OpenApiRouter::new()
        .routes(routes!(explain::explain))
        .route_layer(from_fn_with_state(app.clone(), guard_reading));
    let (router, api) = OpenApiRouter::new()
        .merge(admin)
        .merge(reading)
        .routes(routes!(own_key::own_key))
        .routes(routes!(verify::verify))
        .routes(routes!(authorize::authorize))
        .routes(routes!(authorize::nginx))
        .routes(routes!(authorize::forwarded))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(document))
        .split_for_parts();
    let api = describe(api, app.sources());
    let written = Bytes::from(serde_json::to_vec(&api).unwrap_or_default());
    let limits = app.settings().limits;
    let in_time = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(timed_out))
        .layer(TimeoutLayer::new(limits.request));
    let router = router
        // Any method and any path: OpenAPI cannot describe that.
        .route("/v1/authorize/envoy/", any(authorize::envoy))
        .route("/v1/authorize/envoy/{*path}", any(authorize::envoy))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Document(written)))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(in_time)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new(SharedClassifier::new(FailedResponses)).make_span_with(span))
        .with_state(app);
    let router = SECURITY.into_iter().fold(router, |router, (name, value)| {
        let value = HeaderValue::from_static(value);
        router.layer(SetResponseHeaderLayer::if_not_present(name, value))
    });
    (router, api)
}

/// The serialized OpenAPI document.
#[derive(Clone)]
struct Document(Bytes);

/// The OpenAPI document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "The document", body = serde_json::Value)),
)]
async fn document(Extension(Document(written)): Extension<Document>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], written).into_response()
}

async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "Not found",
        "no_route",
        "Unknown route; see /openapi.json.",
    )
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not allowed",
        "method_not_allowed",
        "Use one of the methods in the Allow header.",
    )
}

async fn timed_out(_: BoxError) -> Problem {
    Problem::unavailable("The request timed out; try again.")
}

/// The panic's message might contain a key, and is not passed on.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("internal error; please report it");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Internal error",
        "internal",
        "An internal error occurred; please report it.",
    )
    .into_response()
}

/// A span with the route, not the path, which might contain a key.
fn span(request: &Request) -> tracing::Span {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", |route| route.as_str());
    tracing::debug_span!("request", method = request.method().as_str(), route)
}
