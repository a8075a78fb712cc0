//! A route that has a verified key as an argument, but no layer.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use keystile_tower::VerifiedKey;
use tower::ServiceExt;

use crate::shapes::Heard;

/// Each request is refused, and the log says why.
#[tokio::test]
async fn a_route_without_the_layer_logs_what_it_lacks() {
    let heard = Heard::default();
    let _listening = tracing::subscriber::set_default(heard.clone());
    let app = Router::new().route("/api/profile", get(async |_: VerifiedKey| "profile"));
    let request = Request::get("/api/profile").header("X-API-Key", "garbage");
    let request = request.body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let heard = heard.text();
    assert!(heard.contains("the route has no ApiKeyLayer"), "{heard}");
    assert!(!heard.contains("garbage"), "{heard}");
}
