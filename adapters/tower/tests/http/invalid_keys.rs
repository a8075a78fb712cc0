//! The limit on invalid keys: it slows attackers down and locks no client out.

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
