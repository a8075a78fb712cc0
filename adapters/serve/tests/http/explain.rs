//! `POST /v1/keys/{id}/explain`, `GET /v1/self`, and what an allow of `POST /v1/verify` tells.

use keystile::{IssueRequest, Millis, RateLimit};
use serde_json::{Value, json};

use crate::keys;
use crate::service::Running;

fn wanted() -> IssueRequest {
    let limit = RateLimit::new(3, Millis::from_hours(1)).unwrap();
    keys::request("Acme")
        .owner("acme")
        .and_then(|request| request.permissions(["read"]))
        .and_then(|request| request.endpoints(["GET /api/*"]))
        .and_then(|request| request.networks(["192.0.2.0/24", "127.0.0.1"]))
        .and_then(|request| request.uses(9))
        .and_then(|request| request.metadata("{\"plan\":\"pro\"}"))
        .unwrap()
        .rate_limit(limit)
}

fn fits() -> Value {
    json!({ "requires": "read", "path": "/api/x", "ip": "192.0.2.7" })
}

async fn explained(running: &Running, caller: &str, id: &str, body: &Value) -> (u16, Value) {
    let request = format!("POST /v1/keys/{id}/explain");
    running.call(caller, &request, Some(body)).await
}

#[tokio::test]
async fn an_explanation_says_what_verify_says_and_spends_nothing() {
    let running = Running::start().await;
    let (key, id) = running.issue(wanted()).await;
    let root = running.admin.clone();
    for _ in 0..5 {
        let (status, allowed) = explained(&running, &root, &id, &fits()).await;
        assert_eq!(
            (status, &allowed["decision"]),
            (200, &json!("allow")),
            "{allowed}"
        );
        assert_eq!(allowed["checks"].as_array().unwrap().len(), 10);
    }
    for body in [
        json!({}),
        json!({ "requires": "write", "path": "/api/x", "ip": "192.0.2.7" }),
        json!({ "path": "/api/../x", "ip": "192.0.2.7" }),
        json!({ "path": "/api/x", "ip": "198.51.100.1" }),
        json!({ "path": "/api/x", "ip": "192.0.2.7", "environment": "live" }),
        json!({ "method": "POST", "path": "/api/x", "ip": "192.0.2.7" }),
    ] {
        let (_, explained) = explained(&running, &root, &id, &body).await;
        let (_, denied) = running.call(&key, "POST /v1/verify", Some(&body)).await;
        assert_eq!(denied["decision"], "deny", "{body}");
        for field in ["decision", "code", "status", "message", "missing"] {
            assert_eq!(explained[field], denied[field], "{field} of {body}");
        }
    }
    for left in [2, 1, 0] {
        let (_, allowed) = running.call(&key, "POST /v1/verify", Some(&fits())).await;
        assert_eq!(allowed["remaining"], left, "the explanations spent nothing");
    }
    let (_, limited) = explained(&running, &root, &id, &fits()).await;
    assert_eq!(
        (&limited["refused_by"], &limited["status"]),
        (&json!("rate_limit"), &json!(429))
    );
    running.stop().await;
}

#[tokio::test]
async fn an_explanation_needs_the_right_to_read_the_key() {
    let running = Running::start().await;
    let (_, id) = running.issue(wanted()).await;
    let reader = |owner: &str, permission: &str| {
        let request = keys::request("a reader").owner(owner).unwrap();
        request.permissions([permission]).unwrap()
    };
    let (own, _) = running.issue(reader("acme", "keystile:keys:read")).await;
    let (other, _) = running.issue(reader("globex", "keystile:keys:read")).await;
    let (writer, _) = running.issue(reader("acme", "keystile:keys:write")).await;
    let (status, seen) = explained(&running, &own, &id, &fits()).await;
    assert_eq!(status, 200);
    // Which peppers the server has is for those who see all owners.
    let (_, all) = explained(&running, &running.admin, &id, &fits()).await;
    let secret = |view: &Value| view["checks"][0]["compared"].as_str().unwrap().to_owned();
    assert!(secret(&all).contains("pepper"), "{all}");
    assert_eq!(secret(&seen), "the secret is taken as verified");
    let (status, hidden) = explained(&running, &other, &id, &fits()).await;
    assert_eq!((status, &hidden["code"]), (404, &json!("not_found")));
    // A key that is there and a key that is not there answer alike.
    for body in [fits(), json!({ "requires": "a b" })] {
        let there = explained(&running, &other, &id, &body).await;
        assert_eq!(
            there,
            explained(&running, &other, "1AbCdEfGhIjKlMnO", &body).await
        );
    }
    let (status, denied) = explained(&running, &writer, &id, &fits()).await;
    assert_eq!(
        (status, &denied["missing"]),
        (403, &json!(["keystile:keys:read"]))
    );
    assert_eq!(explained(&running, "", &id, &fits()).await.0, 401);
    for (body, status) in [
        (json!({ "requires": "a b" }), 422),
        (json!({ "method": "GET" }), 422),
        (json!({ "ip": "no address" }), 422),
        (json!({ "unknown": 1 }), 400),
    ] {
        assert_eq!(
            explained(&running, &own, &id, &body).await.0,
            status,
            "{body}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn the_holder_of_a_key_sees_it_and_spends_nothing() {
    let running = Running::start().await;
    let (key, id) = running.issue(wanted()).await;
    for _ in 0..5 {
        let (status, own) = running.call(&key, "GET /v1/self", None).await;
        assert_eq!(status, 200, "no endpoint rule is for this route: {own}");
        assert_eq!(own["key_id"], json!(id));
        assert_eq!(own["permissions"], json!(["read"]));
        assert_eq!(own["allowed_endpoints"], json!(["GET /api/*"]));
        assert_eq!(
            (&own["remaining"], &own["remaining_uses"]),
            (&json!(3), &json!(9))
        );
        let text = own.to_string();
        assert!(!text.contains("pro") && !text.contains("sha256") && !text.contains(&key[30..]));
    }
    for _ in 0..3 {
        running.call(&key, "POST /v1/verify", Some(&fits())).await;
    }
    let (status, own) = running.call(&key, "GET /v1/self", None).await;
    assert_eq!(
        (status, &own["remaining"], &own["remaining_uses"]),
        (200, &json!(0), &json!(6))
    );

    let elsewhere = keys::request("Acme").networks(["192.0.2.0/24"]).unwrap();
    let (elsewhere, _) = running.issue(elsewhere).await;
    for (key, status, code) in [
        (elsewhere.as_str(), 403, "network_not_allowed"),
        (&running.keys["revoked"], 401, "key_revoked"),
        (&running.keys["suspended"], 401, "key_suspended"),
        (&running.keys["expired"], 401, "key_expired"),
        (&running.keys["replaced"], 401, "key_replaced"),
        (&running.keys["forged"], 401, "invalid_key"),
        (&running.keys["unknown"], 401, "invalid_key"),
        ("", 401, "missing_credential"),
    ] {
        let (answered, denied) = running.call(key, "GET /v1/self", None).await;
        assert_eq!(
            (answered, &denied["code"]),
            (status, &json!(code)),
            "{denied}"
        );
    }
    running.stop().await;
}

/// C8: who asks for a key's own state with invented keys is counted as everywhere.
#[tokio::test]
async fn invented_keys_are_counted_with_those_of_other_routes() {
    let running = Running::with(|settings| {
        settings.invalid_keys = Some(RateLimit::new(3, Millis::from_hours(1)).unwrap());
    })
    .await;
    let unknown = running.keys["unknown"].clone();
    let ask = async |request: &str| running.call(&unknown, request, None).await.0;
    assert_eq!(ask("GET /v1/keys").await, 401);
    assert_eq!(ask("GET /v1/self").await, 401);
    assert_eq!(ask("GET /v1/self").await, 401);
    assert_eq!(ask("GET /v1/self").await, 429);
    assert_eq!(ask("GET /v1/keys").await, 429);
    running.stop().await;
}

#[tokio::test]
async fn an_allow_tells_what_the_record_says_and_a_denial_does_not() {
    let running = Running::start().await;
    let (key, _) = running.issue(wanted()).await;
    let (_, allowed) = running.call(&key, "POST /v1/verify", Some(&fits())).await;
    for (field, value) in [
        ("owner", json!("acme")),
        ("environment", Value::Null),
        ("permissions", json!(["read"])),
        ("template", Value::Null),
        ("metadata", json!({ "plan": "pro" })),
    ] {
        assert_eq!(allowed[field], value, "{field}");
    }
    assert!(allowed["expires_at"].is_string(), "{allowed}");
    let headers = &allowed["headers"];
    assert_eq!(headers["ratelimit-limit"], "3", "{allowed}");
    assert_eq!(headers["ratelimit-remaining"], "2");
    assert_eq!(headers["ratelimit-policy"], "3;w=3600");
    let lacking = json!({ "requires": "write", "path": "/api/x", "ip": "192.0.2.7" });
    let (_, denied) = running.call(&key, "POST /v1/verify", Some(&lacking)).await;
    for field in [
        "owner",
        "environment",
        "permissions",
        "template",
        "metadata",
        "expires_at",
    ] {
        assert_eq!(denied[field], Value::Null, "{field}");
    }
    assert_eq!(denied["headers"], json!({}));
    running.stop().await;
}
