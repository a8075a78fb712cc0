//! The limit on invalid keys: it slows attackers down and locks no client out.

use core::time::Duration;

use keystile::{Millis, Networks, RateLimit};
use serde_json::{Value, json};

use crate::driver::Answer;
use crate::head::values;
use crate::keys;
use crate::service::Running;

const ADMIN: &str = "GET /v1/keys";
const GATE: &str = "GET /v1/authorize/envoy/api/data";

async fn three_an_hour() -> Running {
    Running::with(|settings| settings.invalid_keys = every(3, Millis::from_hours(1))).await
}

fn every(count: u32, window: Millis) -> Option<RateLimit> {
    Some(RateLimit::new(count, window).unwrap())
}

/// The answer to a client's key, as a proxy passes it on.
async fn ask(running: &Running, request: &str, key: &str, client: &str) -> Answer {
    let headers = [
        format!("X-API-Key: {key}"),
        format!("X-Forwarded-For: {client}"),
        "X-Original-Method: GET".to_owned(),
        "X-Original-URI: /api/data".to_owned(),
    ];
    running.ask(request, &headers, None).await
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(values(&answer.head, "retry-after"), ["1200"]);
    assert_eq!(values(&answer.head, "content-type"), ["application/json"]);
    assert!(values(&answer.head, "www-authenticate").is_empty());
    let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(problem["code"], "too_many_invalid_keys");
    assert!(problem["error"].is_string() && problem["message"].is_string());
}

#[tokio::test]
async fn invalid_keys_are_limited_and_owners_pass() {
    for request in [ADMIN, GATE] {
        let running = three_an_hour().await;
        let reads = keys::request("Acme").permissions(["keystile:keys:read"]);
        let (fetched, _) = running.issue(reads.unwrap()).await;
        let (admin, keys) = (&running.admin, &running.keys);
        let ask = async |key: &str, client: &str| ask(&running, request, key, client).await;
        assert_eq!(ask(admin, "192.0.2.1").await.status, 200, "now cached");
        for name in ["unknown", "forged", "unknown"] {
            assert_eq!(ask(&keys[name], "192.0.2.1").await.status, 401, "{name}");
        }
        assert_limited(&ask("garbage", "192.0.2.1").await);

        // From the same address:
        assert_eq!(ask(admin, "192.0.2.1").await.status, 200, "cached");
        assert_eq!(ask(&fetched, "192.0.2.1").await.status, 200, "fetched");
        let revoked = ask(&keys["revoked"], "192.0.2.1").await;
        assert!(revoked.body.contains("key_revoked"), "its owner learns why");
        let client = "X-Forwarded-For: 192.0.2.1".to_owned();
        let none = running.ask(request, &[client], None).await;
        assert_eq!(none.status, 401, "a missing key is not invalid");
        assert_limited(&ask(&keys["unknown"], "192.0.2.1").await);
        // The client wrote what precedes the last address.
        assert_limited(&ask("garbage", "203.0.113.7, 192.0.2.1").await);
        // From another one:
        assert_eq!(ask("garbage", "192.0.2.2").await.status, 401, "{request}");

        let metrics = running.ask("GET /metrics", &[], None).await;
        let route = if request == ADMIN {
            "admin"
        } else {
            "authorize"
        };
        let line = format!(
            "keystile_decisions_total{{route=\"{route}\",code=\"too_many_invalid_keys\"}} 3\n"
        );
        assert!(metrics.body.contains(&line), "{}", metrics.body);
        running.stop().await;
    }
}

/// Requests that pass, and denied requests of known keys, do not count as invalid keys.
#[tokio::test]
async fn only_unknown_keys_count_as_invalid() {
    let running = three_an_hour().await;
    for _ in 0..5 {
        for (key, status) in [("key", 200), ("revoked", 401), ("metrics", 403)] {
            let answer = ask(&running, GATE, &running.keys[key], "192.0.2.1").await;
            assert_eq!(answer.status, status, "{key}: {answer:?}");
        }
    }
    assert_eq!(
        ask(&running, GATE, "garbage", "192.0.2.1").await.status,
        401
    );
    running.stop().await;
}

/// An address has one count for all routes, and each gateway gets a response that it knows.
#[tokio::test]
async fn every_route_has_the_same_count_and_nginx_gets_its_own_response() {
    let running = three_an_hour().await;
    for request in [ADMIN, GATE, "GET /v1/authorize/nginx"] {
        assert_eq!(
            ask(&running, request, "garbage", "192.0.2.1").await.status,
            401
        );
    }
    let forwarded = [
        "X-API-Key: garbage",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Method: GET",
        "X-Forwarded-Uri: /api/data",
    ];
    let forwarded = forwarded.map(str::to_owned);
    assert_limited(&running.ask("GET /v1/authorize", &forwarded, None).await);
    assert_limited(&ask(&running, GATE, "garbage", "192.0.2.1").await);
    assert_limited(&ask(&running, ADMIN, "garbage", "192.0.2.1").await);
    for path in ["/v1/authorize", "/v1/authorize/nginx"] {
        let answer = ask(&running, &format!("GET {path}"), "garbage", "192.0.2.1").await;
        assert_eq!(answer.status, 403, "{path}: nginx knows no 429");
        assert_eq!(values(&answer.head, "x-auth-status"), ["429"]);
        assert_eq!(values(&answer.head, "retry-after"), ["1200"]);
        assert!(answer.body.contains("too_many_invalid_keys"), "{answer:?}");
    }
    running.stop().await;
}

/// I10, CVE-2026-24000: a client that writes a header does not get another address by it.
#[tokio::test]
async fn a_header_of_a_stranger_makes_no_new_address() {
    let running = Running::with(|settings| {
        settings.invalid_keys = every(3, Millis::from_hours(1));
        settings.trusted_proxies = Networks::new(["203.0.113.0/24"]).unwrap();
    })
    .await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        let client = format!("192.0.2.{number}");
        statuses.push(ask(&running, ADMIN, "garbage", &client).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    running.stop().await;
}

/// A caller of verify gets the decision about any key, and the caller's own address is not
/// counted.
#[tokio::test]
async fn verify_counts_by_the_address_in_its_body_and_decides_as_ever() {
    let running = three_an_hour().await;
    let decision = async |key: &str, body: Value| {
        let (status, decision) = running.call(key, "POST /v1/verify", Some(&body)).await;
        assert_eq!(status, 200, "{decision}");
        decision["code"].as_str().unwrap_or("allowed").to_owned()
    };
    for _ in 0..5 {
        assert_eq!(decision("garbage", json!({})).await, "invalid_key");
    }
    assert_eq!(
        ask(&running, ADMIN, "garbage", "127.0.0.1").await.status,
        401
    );
    let client = json!({ "ip": "192.0.2.1" });
    for _ in 0..5 {
        let unknown = decision(&running.keys["unknown"], client.clone()).await;
        assert_eq!(unknown, "invalid_key");
    }
    assert_eq!(decision(&running.keys["key"], client).await, "allowed");
    assert_limited(&ask(&running, ADMIN, "garbage", "192.0.2.1").await);
    assert_eq!(
        ask(&running, ADMIN, "garbage", "192.0.2.2").await.status,
        401
    );
    running.stop().await;
}

#[tokio::test]
async fn after_the_time_in_retry_after_one_more_is_taken() {
    let running = Running::with(|settings| {
        settings.invalid_keys = every(1, Millis::from_secs(2));
    })
    .await;
    let send = async || ask(&running, ADMIN, "garbage", "192.0.2.1").await;
    let mut answer = send().await;
    // On a machine that is busy, the time can pass between two requests.
    for _ in 0..100 {
        if answer.status == 429 {
            break;
        }
        answer = send().await;
    }
    let wait = values(&answer.head, "retry-after")[0].parse().unwrap();
    assert!((1..=2).contains(&wait), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(send().await.status, 401);
    running.stop().await;
}

/// There is a limit by default, and it can be switched off.
#[tokio::test]
async fn the_default_limit_is_sixty_a_minute() {
    for is_limited in [true, false] {
        let running = Running::with(|settings| {
            if !is_limited {
                settings.invalid_keys = None;
            }
        })
        .await;
        let mut answers = Vec::new();
        // One comes back each second.
        for _ in 0..90 {
            answers.push(ask(&running, ADMIN, "garbage", "192.0.2.1").await.status);
        }
        assert!(answers[..60].iter().all(|&status| status == 401));
        assert_eq!(answers.contains(&429), is_limited);
        running.stop().await;
    }
}
