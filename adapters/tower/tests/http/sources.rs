//! Where the layer reads keys from, what of it the service gets, and which paths it takes.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use keystile::{CredentialSources, PathProfile};
use keystile_tower::{ApiKeyLayer, VerifiedKey, require};
use tower::{Layer, ServiceExt as _, service_fn};

use crate::keys;
use crate::layer::{a_key, authenticator, shows, told};

fn empty(request: http::request::Builder) -> Request<Empty<Bytes>> {
    request.body(Empty::new()).unwrap()
}

/// O9: a user's token beside the key changes nothing, and reaches the service.
#[tokio::test]
async fn a_users_token_beside_the_key_stays() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let text = key.key.expose();
    for length in [60, 900, 8_000] {
        let token = format!("Bearer {}", "eyJhbGciOi.".repeat(length / 11));
        let request = Request::get("/api/profile")
            .header("x-api-key", text)
            .header("authorization", &token);
        let layer = ApiKeyLayer::new(authenticator.clone());
        let shown = told(layer.layer(service_fn(shows)), empty(request)).await;
        assert_eq!(shown, (StatusCode::OK, format!("Acme \"{token}\"")));
    }
}

#[tokio::test]
async fn one_header_only_is_read_where_no_other_is_named() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let bearer = format!("Bearer {}", key.key.expose());
    let sources = CredentialSources::none().with_header("X-Acme-Key").unwrap();
    let layer = ApiKeyLayer::builder(authenticator).sources(sources).build();
    let request = || Request::get("/api/profile").header("authorization", &bearer);
    let refused = told(layer.layer(service_fn(shows)), empty(request())).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    let response = layer.layer(service_fn(shows)).oneshot(empty(request()));
    let response = response.await.unwrap();
    let challenge = &response.headers()["www-authenticate"];
    assert_eq!(challenge, "ApiKey header=\"X-Acme-Key\"");
    let request = request().header("x-acme-key", key.key.expose());
    let passed = told(layer.layer(service_fn(shows)), empty(request)).await;
    assert_eq!(passed, (StatusCode::OK, format!("Acme \"{bearer}\"")));
}

/// A client that followed another challenge would show its key to the service: what is not a
/// source is not taken out of the request.
#[tokio::test]
async fn what_is_behind_an_optional_layer_names_the_same_sources() {
    let sources = CredentialSources::none().with_header("X-Acme-Key").unwrap();
    let layer = ApiKeyLayer::builder(authenticator())
        .sources(sources)
        .pass_preflights()
        .build()
        .optional();
    let extracted = Router::new().route("/", any(async |_: VerifiedKey| "profile"));
    let required = || require("admin").unwrap().layer(service_fn(shows));
    let preflight = || {
        Request::options("/")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "DELETE")
    };
    let own = "ApiKey header=\"X-Acme-Key\"";
    let bearer = || Request::get("/").header("authorization", "Bearer a.b.c");
    for request in [Request::get("/"), bearer()] {
        let answer = layer.layer(required()).oneshot(empty(request)).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["www-authenticate"], own);
    }
    for request in [Request::get("/"), bearer(), preflight()] {
        let request = request.body(Body::empty()).unwrap();
        let answer = layer.layer(extracted.clone()).oneshot(request).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["www-authenticate"], own);
    }
    // Without a layer, no one has set any source.
    let answer = required().oneshot(empty(Request::get("/"))).await.unwrap();
    assert_ne!(answer.headers()["www-authenticate"], own);
}

#[tokio::test]
async fn an_encoded_slash_passes_only_with_the_profile_for_it() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    for (profile, path, expected) in [
        (PathProfile::Strict, "/@scope%2Fpkg", StatusCode::FORBIDDEN),
        (
            PathProfile::EncodedSlashIsData,
            "/@scope%2Fpkg",
            StatusCode::OK,
        ),
        (
            PathProfile::EncodedSlashIsData,
            "/a%2F..%2Fb",
            StatusCode::FORBIDDEN,
        ),
    ] {
        let layer = ApiKeyLayer::builder(authenticator.clone())
            .path_profile(profile)
            .build();
        let request = Request::get(path).header("x-api-key", key.key.expose());
        let answer = told(layer.layer(service_fn(shows)), empty(request)).await;
        assert_eq!(answer.0, expected, "{path}");
    }
}
