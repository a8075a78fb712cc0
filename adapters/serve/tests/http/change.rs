//! `PATCH /v1/keys/{id}`: what it changes, for whom, and over which version.

use keystile::{IssueRequest, Millis, RateLimit};
use serde_json::{Value, json};

use crate::service::Running;

fn request(permissions: &[&str]) -> IssueRequest {
    let request = IssueRequest::new("a client").unwrap();
    request.permissions(permissions).unwrap()
}

async fn patch(running: &Running, key: &str, id: &str, body: Value) -> (u16, Value) {
    let path = format!("PATCH /v1/keys/{id}");
    running.call(key, &path, Some(&body)).await
}

#[tokio::test]
async fn fields_are_set_and_cleared_and_others_stay() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let (key, id) = running.issue(request(&["read"]).uses(5).unwrap()).await;
    let asked = json!({
        "client_name": "Acme", "client_email": "ops@acme.example", "owner": "acme",
        "add_permissions": ["write"], "remove_permissions": ["read"],
        "allowed_endpoints": ["GET /api/*"], "allowed_networks": ["192.0.2.0/24"],
        "rate_limit": { "limit": 10, "window_ms": 60_000 }, "uses": 70,
        "metadata": { "plan": "pro" },
    });
    let (status, changed) = patch(&running, &root, &id, asked).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["permissions"], json!(["write"]));
    assert_eq!(changed["remaining_uses"], 70);
    assert_eq!(changed["metadata"], json!({ "plan": "pro" }));
    let show = format!("GET /v1/keys/{id}");
    assert_eq!(running.call(&root, &show, None).await.1, changed);

    // In force at once in this process.
    let check = json!({ "method": "GET", "path": "/api/x", "ip": "198.51.100.1" });
    let denied = running.call(&key, "POST /v1/verify", Some(&check)).await.1;
    assert_eq!(denied["code"], "network_not_allowed", "{denied}");

    let cleared = json!({
        "client_email": null, "owner": null, "allowed_endpoints": null,
        "allowed_networks": null, "rate_limit": null, "uses": null, "expires_in_seconds": null,
        "metadata": null, "template": null,
    });
    let (status, now) = patch(&running, &root, &id, cleared.clone()).await;
    assert_eq!(status, 200, "{now}");
    for field in [
        "client_email",
        "owner",
        "allowed_endpoints",
        "allowed_networks",
        "rate_limit",
        "remaining_uses",
        "expires_at",
        "metadata",
    ] {
        assert_eq!(now[field], json!(null), "{field}");
    }
    assert_eq!(now["client_name"], "Acme", "what is left out stays");
    assert_eq!(now["permissions"], json!(["write"]));
    // The same again changes nothing.
    let (status, again) = patch(&running, &root, &id, cleared).await;
    assert_eq!((status, &again["version"]), (200, &json!(3)));
    let events = running.call(&root, &format!("{show}/events"), None).await.1;
    let events = events["events"].as_array().unwrap();
    let changes = events[1]["changes"].as_array().unwrap();
    let uses = json!({ "field": "remaining_uses", "from": "5", "to": "70" });
    let email = json!({ "field": "client_email" });
    assert!(
        changes.contains(&uses) && changes.contains(&email),
        "{changes:?}"
    );

    let revoke = format!("POST /v1/keys/{id}/revoke");
    running.call(&root, &revoke, None).await;
    let (status, problem) = patch(&running, &root, &id, json!({ "uses": 1 })).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
    running.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let (_, id) = running.issue(request(&["read"])).await;
    for (body, expected) in [
        (json!({ "environment": "live" }), 400),
        (json!({ "status": "active" }), 400),
        (json!({ "permission": ["*"] }), 400),
        (json!({ "permissions": null }), 400),
        (json!({ "client_name": null }), 400),
        (json!({ "uses": "5" }), 400),
        (json!({ "client_name": " " }), 422),
        (json!({ "owner": "" }), 422),
        (json!({ "uses": 0 }), 422),
        (json!({ "expires_in_seconds": 0 }), 422),
        (json!({ "template": "other" }), 422),
        (json!({ "permissions": ["inv*"] }), 422),
        (json!({ "remove_permissions": ["write"] }), 409),
    ] {
        let (status, problem) = patch(&running, &root, &id, body.clone()).await;
        assert_eq!(status, expected, "{body}: {problem}");
    }
    let shown = running
        .call(&root, &format!("GET /v1/keys/{id}"), None)
        .await;
    assert_eq!(shown.1["version"], 1, "nothing was changed");
    running.stop().await;
}

/// P4, J1, J2, J3: neither another key nor its own gets more than the caller's has, and a key
/// that has more is not changed.
#[tokio::test]
async fn p4_a_caller_gives_no_more_than_it_holds_by_a_change() {
    let running = Running::start().await;
    let hourly = RateLimit::new(100, Millis::from_hours(1)).unwrap();
    let limited = |permissions: &[&str]| {
        let request = request(permissions).owner("acme").unwrap();
        let request = request.endpoints(["/v1/*", "GET /api/*"]).unwrap();
        let request = request.networks(["127.0.0.0/8"]).unwrap();
        let request = request.rate_limit(hourly).uses(1_000).unwrap();
        request.expires_in(Millis::from_days(30)).unwrap()
    };
    let held = ["keystile:keys:write", "invoices:*"];
    let (caller, own) = running.issue(limited(&held)).await;
    let lesser = limited(&["invoices:read"]).uses(5).unwrap();
    // It is issued later, and must not end later.
    let lesser = lesser.expires_in(Millis::from_days(29)).unwrap();
    let (_, lesser) = running.issue(lesser).await;
    let more = [
        json!({ "permissions": ["*"] }),
        json!({ "add_permissions": ["keystile:owners:any"] }),
        json!({ "allowed_endpoints": null }),
        json!({ "allowed_endpoints": ["/api/*"] }),
        json!({ "allowed_networks": null }),
        json!({ "allowed_networks": ["0.0.0.0/0"] }),
        json!({ "rate_limit": null }),
        json!({ "rate_limit": { "limit": 101, "window_ms": 3_600_000 } }),
        json!({ "uses": null }),
        json!({ "uses": 1_001 }),
        json!({ "expires_in_seconds": null }),
        json!({ "expires_in_seconds": 31 * 86_400 }),
        json!({ "owner": null }),
        json!({ "owner": "another" }),
        json!({ "template": "admin" }),
    ];
    for id in [&own, &lesser] {
        for body in &more {
            let (status, problem) = patch(&running, &caller, id, body.clone()).await;
            assert_eq!(
                (status, &problem["code"]),
                (403, &json!("exceeds")),
                "{body}"
            );
        }
    }
    let (status, changed) = patch(
        &running,
        &caller,
        &lesser,
        json!({ "add_permissions": ["invoices:write"], "uses": 4, "client_name": "New" }),
    )
    .await;
    assert_eq!(status, 200, "{changed}");
    // A key with more rights is not changed, not even to less.
    let (_, greater) = running.issue(request(&["*"]).owner("acme").unwrap()).await;
    for body in [
        json!({ "client_name": "x" }),
        json!({ "permissions": [] }),
        json!({}),
    ] {
        let (status, problem) = patch(&running, &caller, &greater, body).await;
        assert_eq!((status, &problem["code"]), (403, &json!("exceeds")));
    }
    // A key of another owner is not there.
    let (_, foreign) = running.issue(request(&[]).owner("another").unwrap()).await;
    let (status, _) = patch(&running, &caller, &foreign, json!({ "client_name": "x" })).await;
    assert_eq!(status, 404);
    // Its own key may get less.
    let less = json!({ "remove_permissions": ["invoices:*"] });
    assert_eq!(patch(&running, &caller, &own, less).await.0, 200);
    let (status, _) = patch(
        &running,
        &caller,
        &own,
        json!({ "add_permissions": ["invoices:*"] }),
    )
    .await;
    assert_eq!(status, 403, "what was given away does not come back");
    running.stop().await;
}

#[tokio::test]
async fn if_match_compares_the_version() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let (_, id) = running.issue(request(&["read"])).await;
    let shown = running
        .ask(
            &format!("GET /v1/keys/{id}"),
            &[format!("X-API-Key: {root}")],
            None,
        )
        .await;
    let head = shown.head.to_lowercase();
    assert!(head.contains("etag: \"1\""), "{head}");
    for (tag, name, expected) in [
        ("\"2\"", "a", 412),
        ("W/\"1\"", "a", 412),
        ("1", "a", 400),
        ("\"1\"", "a", 200),
        ("\"1\"", "b", 412),
        ("\"7\", \"2\"", "b", 200),
        ("*", "c", 200),
    ] {
        let headers = [format!("X-API-Key: {root}"), format!("If-Match: {tag}")];
        let body = json!({ "client_name": name });
        let path = format!("PATCH /v1/keys/{id}");
        let answer = running.ask(&path, &headers, Some(&body)).await;
        assert_eq!(answer.status, expected, "{tag}: {answer:?}");
        assert!(expected != 412 || answer.body.contains("version_differs"));
    }
    running.stop().await;
}
