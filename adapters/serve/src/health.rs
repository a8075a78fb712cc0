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

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Well {
    /// `ok`
    status: &'static str,
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It runs", body = Well)),
)]
pub(crate) async fn healthz() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// Whether the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "The store answers", body = Well),
        (status = 503, description = "The store does not answer", body = Problem),
    ),
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Well>, Problem> {
    match tokio::time::timeout(PATIENCE, app.backend.ping()).await {
        Ok(Ok(())) => Ok(Json(Well { status: "ok" })),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable(
            "The store of keys does not answer in time.",
        )),
    }
}

/// Decisions, the cache and latencies as numbers, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((
        status = 200, description = "The numbers", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    match app.telemetry.written() {
        Ok(text) => {
            let kind = HeaderValue::from_static(OPENMETRICS);
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => Problem::unavailable("The numbers cannot be written.").into_response(),
    }
}
