//! `/healthz`, `/readyz` and `/metrics`.

use core::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::Problem;

/// How long the store may take to respond.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The service is healthy.
#[derive(Serialize, ToSchema)]
pub(crate) struct Well {
    /// `ok`
    status: &'static str,
}

/// Whether the process is running.
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "The process is running", body = Well)),
)]
pub(crate) async fn healthz() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// Whether the store responds.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "The store responds", body = Well),
        (status = 503, description = "The store does not respond", body = Problem),
    ),
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Well>, Problem> {
    match tokio::time::timeout(READY_TIMEOUT, app.backend().ping()).await {
        Ok(Ok(())) => Ok(Json(Well { status: "ok" })),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable(
            "The key store did not respond in time.",
        )),
    }
}

/// Metrics of decisions, the cache and latencies, in the OpenMetrics text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((
        status = 200, description = "The metrics", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    match app.telemetry().written() {
        Ok(text) => {
            let kind = HeaderValue::from_static(OPENMETRICS);
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => Problem::unavailable("The metrics could not be encoded.").into_response(),
    }
}
