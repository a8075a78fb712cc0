//! Attacks on middleware that happened, by their rows; those on single requests stand
//! among the shapes.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use keystile::{EndpointRules, StatusPolicy, is_canonical_path};
use keystile_store::revoke;

use crate::keys;
use crate::service::{app, service, with_policy};

/// G1, executor#1871: once a revocation returned, the next request is refused.
#[tokio::test]
async fn g1_a_revocation_is_in_force_for_the_next_request() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    let store = Arc::clone(service.authenticator.store());
    for _ in 0..50 {
        let key = keys::issued(&*store, &keys::request("Acme"), keys::now()).await;
        assert_eq!(service.profile(key.key.expose()).await.status, 200);
        let revoked = service
            .authenticator
            .revoke(&key.record.id, "leaked", keys::now());
        revoked.await.unwrap();
        let answer = service.profile(key.key.expose()).await;
        assert_eq!(answer.status, 401);
        assert!(answer.body.contains("key_revoked"));
    }
}

/// G11, CVE-2026-33496: what is cached is no decision; each route is judged for itself.
#[tokio::test]
async fn g11_a_pass_for_one_route_is_none_for_another() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    let metrics = format!("X-API-Key: {}", service.keys["metrics"]);
    for (path, status) in [
        ("/api/metrics/cpu", 200),
        ("/api/profile", 403),
        ("/api/metrics/cpu", 200),
        ("/api/metrics/../profile", 403),
    ] {
        let answer = service.get(path, core::slice::from_ref(&metrics)).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

/// C8: the rejection of a key that is not known does not disclose why; each is the same.
#[tokio::test]
async fn c8_malformed_unknown_and_wrong_look_alike() {
    for policy in [StatusPolicy::Rfc9110, StatusPolicy::Express] {
        let service = with_policy(policy).await;
        let mut answers = Vec::new();
        let garbage = "x".to_owned();
        for key in [&garbage, &service.keys["unknown"], &service.keys["forged"]] {
            let answer = service.profile(key).await;
            let head: Vec<_> = answer
                .head
                .lines()
                .filter(|line| !line.starts_with("date:"))
                .map(str::to_owned)
                .collect();
            answers.push((answer.status, head, answer.body));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[1], answers[2]);
    }
}

/// B12, CVE-2026-27840: no prefix, suffix, extension or edit of a key is one.
#[tokio::test]
async fn b12_no_edit_of_a_key_is_a_key() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    let key = &service.keys["key"];
    assert_eq!(service.profile(key).await.status, 200);
    for at in 0..key.len() {
        let (head, tail) = key.split_at(at);
        let other = if tail.starts_with('a') { 'b' } else { 'a' };
        let edited = format!("{head}{other}{}", &tail[1..]);
        for wrong in [head, tail, &edited, &format!("{head}{}", &tail[1..])] {
            if wrong == key || wrong.is_empty() {
                continue;
            }
            assert_eq!(service.profile(wrong).await.status, 401, "{at}");
        }
    }
}

/// B13, CVE-2026-44882: a refused request does not reach the handler.
#[tokio::test]
async fn b13_what_is_refused_never_reaches_the_service() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    let service = service(|builder| {
        let handler = any(async move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let keys = builder.without_invalid_key_limit().build();
        Router::new().route("/api/profile", handler).layer(keys)
    })
    .await;
    for (name, key) in &service.keys {
        let before = reached.load(Ordering::SeqCst);
        let answer = service.profile(key).await;
        let came = reached.load(Ordering::SeqCst) - before;
        assert_eq!(came, usize::from(answer.status == 200), "{name}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 5, "the good ones did");
}

/// A18, aw-server-rust#588, A28: a layer on the router authenticates every path, whether the
/// router knows it or not.
#[tokio::test]
async fn a18_everything_is_authenticated() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    for path in [
        "/",
        "/api/profile",
        "/nowhere",
        "//api/profile",
        "/api/metrics/cpu?x",
    ] {
        assert_eq!(service.get(path, &[]).await.status, 401, "{path}");
    }
}

/// A27, CVE-2026-45339, P7: the decision does not depend on which header carried the key.
#[tokio::test]
async fn a27_each_source_is_judged_alike() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    for (name, key) in &service.keys {
        if ["limited", "once"].contains(name) {
            continue;
        }
        for path in [
            "/api/profile",
            "/api/metrics/cpu",
            "/api/metrics/../profile",
        ] {
            let mut answers = Vec::new();
            for header in [
                format!("X-API-Key: {key}"),
                format!("Authorization: Bearer {key}"),
                format!("Authorization: bEARER   {key}"),
            ] {
                let answer = service.get(path, &[header]).await;
                answers.push((answer.status, answer.body));
            }
            assert!(
                answers.iter().all(|each| *each == answers[0]),
                "{name} at {path}"
            );
        }
    }
}

/// A3, A5, A17, CVE-2025-66490: the layer and the core judge a path alike; and whatever
/// the router dispatched to a route of the key's was one that its rules name.
#[tokio::test]
async fn a5_no_escape_reaches_what_the_rules_do_not_name() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    let metrics = format!("X-API-Key: {}", service.keys["metrics"]);
    let rules = EndpointRules::new(["GET /api/metrics/*"]).unwrap();
    let mut paths = Vec::new();
    for byte in 0..=u8::MAX {
        for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            paths.push(format!("/api/metrics{escape}cpu"));
            paths.push(format!("/api/metrics/{escape}"));
            paths.push(format!("/api/metrics/{escape}{escape}/profile"));
            paths.push(format!("/api{escape}metrics/cpu"));
        }
    }
    let mut passed = 0;
    for path in paths {
        let answer = service.get(&path, core::slice::from_ref(&metrics)).await;
        let allowed = rules.allows("GET", &path);
        assert_eq!(answer.status != 403, allowed, "{path}: {}", answer.status);
        assert!(!allowed || is_canonical_path(path.as_bytes()));
        passed += usize::from(answer.status == 200);
    }
    assert!(passed > 0, "some escapes are data");
}

/// I4, CVE-2026-33621: a limit holds on every way to the service.
#[tokio::test]
async fn i4_a_limit_holds_over_all_routes_and_sources() {
    let service = with_policy(StatusPolicy::Rfc9110).await;
    let key = &service.keys["limited"];
    let bearer = format!("Authorization: Bearer {key}");
    assert_eq!(service.get("/api/metrics/cpu", &[bearer]).await.status, 200);
    let refused = service.profile(key).await;
    assert_eq!(refused.status, 429);
    assert!(
        refused.head.contains("\r\nretry-after: 36"),
        "{}",
        refused.head
    );
}

/// I12, CVE-2026-50139: one use is redeemed once, by however many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i12_one_use_is_redeemed_once() {
    let service = Arc::new(with_policy(StatusPolicy::Rfc9110).await);
    let asks: Vec<_> = (0..64)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.profile(&service.keys["once"]).await.status })
        })
        .collect();
    let mut allowed = 0;
    for asked in asks {
        match asked.await.unwrap() {
            200 => allowed += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(allowed, 1);
}

/// G2: a revocation by another process, while requests go on; none passes once the events
/// were read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g2_another_process_revokes() {
    let service = service(|builder| app(builder.build())).await;
    let key = service.keys["key"].clone();
    assert_eq!(service.profile(&key).await.status, 200);
    let verifier = keys::verifier();
    let id = *verifier
        .parse(key.as_bytes())
        .unwrap()
        .claimed_id()
        .unwrap();
    revoke(&**service.authenticator.store(), &id, "leaked", keys::now())
        .await
        .unwrap();
    // It is read in about a second; after a minute it was not read at all.
    for _ in 0..600 {
        if service.profile(&key).await.status == 401 {
            return;
        }
        tokio::time::sleep(core::time::Duration::from_millis(100)).await;
    }
    panic!("the revocation was never read");
}
