//! The limit on invalid keys: it slows attackers down and locks no client out.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use keystile::{Millis, Networks, RateLimit};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::{ApiKeyLayer, ApiKeyLayerBuilder, Connection};
use tower::ServiceExt;

use crate::keys;
use crate::service::{app, service};
use crate::shapes::Heard;

fn three_an_hour(builder: ApiKeyLayerBuilder<MemoryStore>) -> ApiKeyLayerBuilder<MemoryStore> {
    builder.invalid_key_limit(RateLimit::new(3, Millis::from_hours(1)).unwrap())
}

fn limited(builder: ApiKeyLayerBuilder<MemoryStore>) -> Router {
    app(three_an_hour(builder).build())
}

#[tokio::test]
async fn invalid_keys_are_limited_and_owners_pass() {
    let service = service(limited).await;
    assert_eq!(
        service.profile(&service.keys["key"]).await.status,
        200,
        "cached"
    );
    for name in ["unknown", "forged", "unknown"] {
        assert_eq!(
            service.profile(&service.keys[name]).await.status,
            401,
            "an invalid key"
        );
    }
    let refused = service.profile("garbage").await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.head.contains("\r\nretry-after: 1200\r\n"),
        "{}",
        refused.head
    );
    assert!(refused.body.contains(r#""code":"too_many_invalid_keys""#));

    // From the same address:
    assert_eq!(
        service.profile(&service.keys["key"]).await.status,
        200,
        "cached"
    );
    assert_eq!(
        service.profile(&service.keys["other"]).await.status,
        200,
        "fetched"
    );
    let revoked = service.profile(&service.keys["revoked"]).await;
    assert!(revoked.body.contains("key_revoked"), "its owner learns why");
    assert_eq!(
        service.get("/api/profile", &[]).await.status,
        401,
        "a missing key is not invalid"
    );
    assert_eq!(
        service.profile(&service.keys["unknown"]).await.status,
        429,
        "still"
    );
}

/// Requests that pass, and denied requests of known keys, do not count as invalid keys.
#[tokio::test]
async fn only_unknown_keys_count_as_invalid() {
    let service = service(limited).await;
    for _ in 0..5 {
        assert_eq!(service.profile(&service.keys["key"]).await.status, 200);
        assert_eq!(service.profile(&service.keys["revoked"]).await.status, 401);
        assert_eq!(service.profile(&service.keys["metrics"]).await.status, 403);
        assert_eq!(service.get("/api/profile", &[]).await.status, 401);
    }
    assert_eq!(
        service.profile("garbage").await.status,
        401,
        "the first invalid key"
    );
}

/// Many invalid keys come from the address of a key's owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_passes_while_its_address_sends_invalid_keys() {
    let service = Arc::new(service(limited).await);
    let mut invalid_keys = Vec::new();
    for _ in 0..200 {
        let unknown = keystile::issue(
            &keys::format(),
            &keystile::PepperRing::none(),
            &keys::request("Unknown"),
            &mut keystile::SysRng,
            keys::now(),
        );
        let (service, key) = (Arc::clone(&service), unknown.unwrap().key);
        invalid_keys.push(tokio::spawn(async move {
            service.profile(key.expose()).await.status
        }));
    }
    let store = Arc::clone(service.authenticator.store());
    let owner = keys::issued(&*store, &keys::request("Acme"), keys::now()).await;
    assert_eq!(service.profile(owner.key.expose()).await.status, 200);
    let mut unlimited = 0;
    for answer in invalid_keys {
        match answer.await.unwrap() {
            401 => unlimited += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(unlimited, 3, "the limit is exact");
}

/// I10, CVE-2026-24000: a client that writes a header does not get another address by it.
#[tokio::test]
async fn a_header_makes_no_new_address() {
    let service = service(limited).await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        let headers = [
            format!("X-API-Key: garbage{number}"),
            format!("X-Forwarded-For: 192.0.2.{number}"),
        ];
        statuses.push(service.get("/api/profile", &headers).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn with_a_trusted_proxy_each_client_has_its_own_count() {
    let service = service(|builder| {
        let proxies = Networks::new(["127.0.0.0/8"]).unwrap();
        app(three_an_hour(builder).trusted_proxies(proxies).build())
    })
    .await;
    let mut statuses = Vec::new();
    for client in [
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.2",
    ] {
        let headers = [
            "X-API-Key: garbage".to_owned(),
            format!("X-Forwarded-For: 203.0.113.{}, {client}", statuses.len()),
        ];
        statuses.push(service.get("/api/profile", &headers).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 401]);
    // The same address decides about a key that is restricted to a network.
    let elsewhere = format!("X-API-Key: {}", service.keys["elsewhere"]);
    let inside = [elsewhere.clone(), "X-Forwarded-For: 192.0.2.9".to_owned()];
    assert_eq!(service.get("/api/profile", &inside).await.status, 200);
    assert_eq!(service.get("/api/profile", &[elsewhere]).await.status, 403);
}

/// What is logged about a limit without effect while invalid keys come, one after the other.
async fn warnings(
    set_up: impl FnOnce(ApiKeyLayerBuilder<MemoryStore>) -> ApiKeyLayerBuilder<MemoryStore>,
    connection: Option<Connection>,
) -> usize {
    let heard = Heard::default();
    let _listening = tracing::subscriber::set_default(heard.clone());
    let store = Arc::new(MemoryStore::new());
    let authenticator = Authenticator::builder(store, keys::verifier()).build();
    let app = app(set_up(ApiKeyLayer::builder(authenticator.unwrap())).build());
    for _ in 0..3 {
        let mut request = Request::get("/api/profile").header("X-API-Key", "garbage");
        if let Some(connection) = connection {
            request = request.extension(connection);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 401);
    }
    let heard = heard.text();
    assert!(heard.contains("invalid_key"), "it is listened to: {heard}");
    heard.matches("invalid API keys are not limited").count()
}

#[tokio::test]
async fn a_limit_without_effect_is_logged_once() {
    let peer = Some(Connection::plain("192.0.2.7".parse().unwrap()));
    assert_eq!(warnings(|builder| builder, None).await, 1);
    assert_eq!(warnings(|builder| builder, peer).await, 0);
    let finds_none = |builder: ApiKeyLayerBuilder<_>| builder.connection_by(|_| None);
    assert_eq!(warnings(finds_none, peer).await, 1);
    let unlimited = ApiKeyLayerBuilder::without_invalid_key_limit;
    assert_eq!(warnings(unlimited, None).await, 0);
}

/// It need not wait for an invalid key: the first valid one is enough.
#[tokio::test]
async fn a_valid_key_shows_that_a_limit_is_without_effect() {
    let heard = Heard::default();
    let _listening = tracing::subscriber::set_default(heard.clone());
    let store = Arc::new(MemoryStore::new());
    let issued = keys::issued(&*store, &keys::request("Acme"), keys::now()).await;
    let authenticator = Authenticator::builder(store, keys::verifier()).build();
    let app = app(ApiKeyLayer::new(authenticator.unwrap()));
    let request = Request::get("/api/profile").header("X-API-Key", issued.key.expose());
    let request = request.body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(heard.text().contains("invalid API keys are not limited"));
}
