//! The bound on invalid_keys: it slows a guesser down and locks nobody out.

use std::sync::Arc;

use axum::Router;
use keystile::{Millis, Networks, RateLimit};
use keystile_store::MemoryStore;
use keystile_tower::ApiKeyLayerBuilder;

use crate::keys;
use crate::service::{app, service};

fn three_an_hour(builder: ApiKeyLayerBuilder<MemoryStore>) -> ApiKeyLayerBuilder<MemoryStore> {
    builder.invalid_key_limit(RateLimit::new(3, Millis::from_hours(1)).unwrap())
}

fn bounded(builder: ApiKeyLayerBuilder<MemoryStore>) -> Router {
    app(three_an_hour(builder).build())
}

#[tokio::test]
async fn invalid_keys_are_limited_and_owners_pass() {
    let service = service(bounded).await;
    assert_eq!(
        service.profile(&service.keys["key"]).await.status,
        200,
        "cached"
    );
    for name in ["unknown", "forged", "unknown"] {
        assert_eq!(
            service.profile(&service.keys[name]).await.status,
            401,
            "a guess"
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

    // Behind the same address:
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
    assert!(revoked.body.contains("key_revoked"), "its owner is told");
    assert_eq!(
        service.get("/api/profile", &[]).await.status,
        401,
        "no guess at all"
    );
    assert_eq!(
        service.profile(&service.keys["unknown"]).await.status,
        429,
        "still"
    );
}

/// Requests that pass, and those of known keys that may not, are no invalid_keys.
#[tokio::test]
async fn only_unknown_keys_are_guesses() {
    let service = service(bounded).await;
    for _ in 0..5 {
        assert_eq!(service.profile(&service.keys["key"]).await.status, 200);
        assert_eq!(service.profile(&service.keys["revoked"]).await.status, 401);
        assert_eq!(service.profile(&service.keys["metrics"]).await.status, 403);
        assert_eq!(service.get("/api/profile", &[]).await.status, 401);
    }
    assert_eq!(
        service.profile("garbage").await.status,
        401,
        "the first guess"
    );
}

/// A crowd of guessers behind an owner's own address.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_passes_through_a_crowd_of_guessers() {
    let service = Arc::new(service(bounded).await);
    let mut invalid_keys = Vec::new();
    for _ in 0..200 {
        let unknown = keystile::issue(
            &keys::format(),
            &keystile::PepperRing::none(),
            &keys::request("Nobody"),
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
    let mut told = 0;
    for guess in invalid_keys {
        match guess.await.unwrap() {
            401 => told += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(told, 3, "so many were answered as keys");
}

/// I10, CVE-2026-24000: whoever can write a header cannot be somebody else by it.
#[tokio::test]
async fn a_header_makes_no_new_address() {
    let service = service(bounded).await;
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
async fn behind_a_trusted_proxy_each_client_has_its_own() {
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
    // And a key that is bound to a network is judged by it.
    let elsewhere = format!("X-API-Key: {}", service.keys["elsewhere"]);
    let inside = [elsewhere.clone(), "X-Forwarded-For: 192.0.2.9".to_owned()];
    assert_eq!(service.get("/api/profile", &inside).await.status, 200);
    assert_eq!(service.get("/api/profile", &[elsewhere]).await.status, 403);
}
