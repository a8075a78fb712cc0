//! Where the layer reads keys from, what of it the service gets, and which paths it takes.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use keystile::{CredentialSources, PathProfile};
use keystile_tower::ApiKeyLayer;
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
