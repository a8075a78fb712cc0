//! `/v1/keys`: who may do what, and what comes of it.

use keystile::{IssueRequest, Millis, RateLimit};
use serde_json::{Value, json};

use crate::service::Running;

fn admin(permissions: &[&str]) -> IssueRequest {
    let request = IssueRequest::new("an admin").unwrap();
    request.permissions(permissions).unwrap()
}

const MANAGES: [&str; 2] = ["keystile:keys:read", "keystile:keys:write"];

#[tokio::test]
async fn a_key_lives_and_ends() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let asked = json!({
        "client_name": "Acme", "client_email": "ops@acme.example", "owner": "acme",
        "environment": "live", "permissions": ["invoices:read"],
        "allowed_endpoints": ["GET /api/*"], "allowed_networks": ["192.0.2.0/24"],
        "rate_limit": { "limit": 10, "window_ms": 60_000 }, "uses": 5,
        "expires_in_seconds": 86_400, "metadata": { "plan": "pro" },
    });
    let (status, issued) = running.call(&root, "POST /v1/keys", Some(&asked)).await;
    assert_eq!(status, 201, "{issued}");
    let (key, id) = (text(&issued["key"]), text(&issued["key_id"]));
    assert!(key.starts_with("ks_live_"));
    let record = &issued["record"];
    for (field, value) in [
        ("client_name", json!("Acme")),
        ("owner", json!("acme")),
        ("environment", json!("live")),
        ("permissions", json!(["invoices:read"])),
        ("allowed_endpoints", json!(["GET /api/*"])),
        ("allowed_networks", json!(["192.0.2.0/24"])),
        (
            "rate_limit",
            json!({ "limit": 10, "window_ms": 60_000, "burst": 10 }),
        ),
        ("remaining_uses", json!(5)),
        ("metadata", json!({ "plan": "pro" })),
        ("status", json!("active")),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    let path = format!("/v1/keys/{id}");
    let (status, shown) = running.call(&root, &format!("GET {path}"), None).await;
    assert_eq!((status, &shown), (200, record));
    assert!(
        !shown.to_string().contains(&key[30..]),
        "neither text nor digest"
    );
    assert!(!shown.to_string().contains("sha256"), "{shown}");

    let use_it = json!({ "path": "/api/x", "ip": "192.0.2.1", "requires": "invoices:read" });
    let code = async |key: &str| {
        let (_, decision) = running.call(key, "POST /v1/verify", Some(&use_it)).await;
        decision["code"].as_str().unwrap_or("allowed").to_owned()
    };
    assert_eq!(code(&key).await, "allowed");
    // Each verb is in force when it is answered, and said twice it changes nothing more.
    for (verb, status, standing) in [
        ("suspend", "suspended", "key_suspended"),
        ("resume", "active", "allowed"),
    ] {
        for _ in 0..2 {
            let (answered, view) = running
                .call(&root, &format!("POST {path}/{verb}"), None)
                .await;
            assert_eq!((answered, &view["status"]), (200, &json!(status)), "{view}");
        }
        assert_eq!(code(&key).await, standing);
    }
    let body = json!({ "overlap_seconds": 0 });
    let (status, rotated) = running
        .call(&root, &format!("POST {path}/rotate"), Some(&body))
        .await;
    assert_eq!(status, 201, "{rotated}");
    assert_eq!(rotated["replaces"], json!(id));
    assert_eq!(rotated["record"]["lineage"], json!(id));
    let successor = text(&rotated["key"]);
    assert_eq!(code(&key).await, "key_replaced");
    assert_eq!(code(&successor).await, "allowed");
    let (status, _) = running
        .call(&root, &format!("POST {path}/rotate"), None)
        .await;
    assert_eq!(status, 409, "a replaced key is not rotated");

    let new_path = format!("/v1/keys/{}", text(&rotated["key_id"]));
    let reason = json!({ "reason": "leaked in a log" });
    let (_, first) = running
        .call(&root, &format!("POST {new_path}/revoke"), Some(&reason))
        .await;
    assert_eq!(first["revoke_reason"], "leaked in a log");
    assert_eq!(code(&successor).await, "key_revoked");
    let again = json!({ "reason": "another" });
    let (status, second) = running
        .call(&root, &format!("POST {new_path}/revoke"), Some(&again))
        .await;
    assert_eq!((status, &second), (200, &first), "the first reason stands");
    for verb in ["resume", "suspend"] {
        let (status, _) = running
            .call(&root, &format!("POST {new_path}/{verb}"), None)
            .await;
        assert_eq!(status, 409, "nothing leads back: {verb}");
    }
    let (_, events) = running
        .call(&root, &format!("GET {path}/events"), None)
        .await;
    let kinds: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| text(&e["kind"]))
        .collect();
    assert_eq!(kinds, ["issued", "suspended", "resumed", "rotated"]);
    running.stop().await;
}

#[tokio::test]
async fn lists_and_plans_go_page_by_page() {
    let running = Running::start().await;
    let root = running.admin.clone();
    for number in 0..7 {
        let asked = json!({ "client_name": "Paged", "expires_in_seconds": 3_600 + number });
        assert_eq!(
            running.call(&root, "POST /v1/keys", Some(&asked)).await.0,
            201
        );
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let request = format!("GET /v1/keys?client_name=Paged&limit=3{after}");
        let (_, page) = running.call(&root, &request, None).await;
        let keys = page["keys"].as_array().unwrap();
        seen.extend(keys.iter().map(|key| text(&key["key_id"])));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    let (_, plan) = running
        .call(&root, "GET /v1/keys/plan?within_seconds=7200", None)
        .await;
    let due = plan["due"].as_array().unwrap();
    for id in &seen {
        let notice = due
            .iter()
            .find(|due| due["key_id"] == json!(id) && due["action"] == "notice");
        assert_eq!(notice.unwrap()["lead_seconds"], 7_200);
    }
    let (_, events) = running
        .call(&root, "GET /v1/keys/events?limit=2", None)
        .await;
    assert_eq!(events["events"].as_array().unwrap().len(), 2);
    assert_eq!(events["next"], events["events"][1]["number"]);
    running.stop().await;
}

/// A31, J7, J10: each route asks for its own permission, and no other one will do.
#[tokio::test]
async fn each_route_asks_for_a_permission_of_its_own() {
    let running = Running::start().await;
    let (reads, _) = running.issue(admin(&MANAGES[..1])).await;
    let (writes, _) = running.issue(admin(&MANAGES[1..])).await;
    let (neither, _) = running
        .issue(admin(&["keystile:keys", "keystile:keys:reads", "read"]))
        .await;
    let id = running.issue(admin(&[])).await.1;
    let read = ["", "/events", "/plan"].map(|path| format!("GET /v1/keys{path}"));
    let read_one = ["", "/events"].map(|path| format!("GET /v1/keys/{id}{path}"));
    let write_one =
        ["revoke", "suspend", "resume", "rotate"].map(|verb| format!("POST /v1/keys/{id}/{verb}"));
    let write = ["POST /v1/keys".to_owned(), format!("PATCH /v1/keys/{id}")];
    let write = write.into_iter().chain(write_one);
    let requests = read.into_iter().chain(read_one).map(|r| (r, "read"));
    for (request, needed) in requests.chain(write.map(|r| (r, "write"))) {
        let missing = running.ask(&request, &[], None).await;
        assert_eq!(missing.status, 401, "{request}");
        let wrong = if needed == "read" { &writes } else { &reads };
        for key in [wrong, &neither] {
            let (status, problem) = running.call(key, &request, None).await;
            assert_eq!(
                (status, &problem["code"]),
                (403, &json!("permission_missing"))
            );
            assert_eq!(
                problem["missing"],
                json!([format!("keystile:keys:{needed}")])
            );
        }
        let right = if needed == "read" { &reads } else { &writes };
        let answer = running
            .ask(&request, &[format!("X-API-Key: {right}")], None)
            .await;
        assert!(
            !answer.body.contains("permission_missing"),
            "{request}: {answer:?}"
        );
    }
    // The caller's endpoints and networks bind it here as they do everywhere.
    let bound = admin(&MANAGES).endpoints(["GET /v1/keys/plan"]).unwrap();
    let (bound, _) = running.issue(bound).await;
    assert_eq!(running.call(&bound, "GET /v1/keys/plan", None).await.0, 200);
    let (status, problem) = running.call(&bound, "GET /v1/keys", None).await;
    assert_eq!(
        (status, &problem["code"]),
        (403, &json!("endpoint_not_allowed"))
    );
    let elsewhere = admin(&MANAGES).networks(["192.0.2.0/24"]).unwrap();
    let (elsewhere, _) = running.issue(elsewhere).await;
    let (status, problem) = running.call(&elsewhere, "GET /v1/keys", None).await;
    assert_eq!(
        (status, &problem["code"]),
        (403, &json!("network_not_allowed"))
    );
    running.stop().await;
}

/// P4, J1, J2, J3: a caller gives no key more than its own holds, by no verb.
#[tokio::test]
async fn p4_a_caller_gives_no_more_than_it_holds() {
    let running = Running::start().await;
    let hourly = RateLimit::new(100, Millis::from_hours(1)).unwrap();
    let limits = |request: IssueRequest| {
        let request = request.endpoints(["/v1/*", "GET /api/*"]).unwrap();
        let request = request.networks(["127.0.0.0/8"]).unwrap();
        let request = request.rate_limit(hourly);
        request.expires_in(Millis::from_days(30)).unwrap()
    };
    let held = ["keystile:keys:read", "keystile:keys:write", "invoices:*"];
    let (caller, own_id) = running.issue(limits(admin(&held))).await;
    let day = 86_400;
    for (asked, status) in [
        (json!({ "permissions": ["invoices:read"] }), 201),
        (json!({ "permissions": ["keystile:keys:read"] }), 201),
        (json!({}), 201),
        (json!({ "expires_in_seconds": 29 * day }), 201),
        (json!({ "allowed_endpoints": ["GET /api/x"] }), 201),
        (json!({ "permissions": ["*"] }), 403),
        (json!({ "permissions": ["keystile:*"] }), 403),
        (json!({ "permissions": ["keystile:owners:any"] }), 403),
        (
            json!({ "permissions": ["invoices:read", "payments:read"] }),
            403,
        ),
        (json!({ "permissions": ["invoices"] }), 403),
        (json!({ "template": "monitoring" }), 403),
        (json!({ "expires_in_seconds": 31 * day }), 403),
        (json!({ "never_expires": true }), 403),
        (json!({ "allowed_endpoints": ["/api/*"] }), 403),
        (json!({ "allowed_networks": ["0.0.0.0/0"] }), 403),
        (
            json!({ "rate_limit": { "limit": 101, "window_ms": 3_600_000 } }),
            403,
        ),
        (json!({ "owner": "acme" }), 403),
        (json!({ "environment": "live" }), 403),
    ] {
        let mut asked = asked;
        asked["client_name"] = json!("Derived");
        let (answered, problem) = running.call(&caller, "POST /v1/keys", Some(&asked)).await;
        assert_eq!(answered, status, "{asked}: {problem}");
        if status == 201 {
            let record = &problem["record"];
            assert_eq!(
                record["rate_limit"]["limit"], 100,
                "what is left out is the caller's"
            );
            assert_eq!(record["allowed_networks"], json!(["127.0.0.0/8"]));
            assert_ne!(record["expires_at"], Value::Null);
        } else {
            assert_eq!(problem["code"], "exceeds", "{asked}");
        }
    }
    // A successor is a key too, and so is one that is brought back.
    let within = limits(admin(&["invoices:read"]))
        .expires_in(Millis::from_days(20))
        .unwrap();
    let within = running.issue(within).await.1;
    let beyond = [
        limits(admin(&["payments:read"])),
        admin(&["invoices:read"]),
        limits(admin(&["*"])),
        limits(admin(&["invoices:read"]))
            .networks(["10.0.0.0/8"])
            .unwrap(),
        limits(admin(&["invoices:read"])).endpoints(["/*"]).unwrap(),
        limits(admin(&["invoices:read"])).never_expires(),
    ];
    let call = async |verb: &str, id: &str, body: Option<Value>| {
        let request = format!("POST /v1/keys/{id}/{verb}");
        running.call(&caller, &request, body.as_ref()).await
    };
    let week = json!({ "max_age_seconds": 7 * day, "overlap_seconds": 60 });
    assert_eq!(call("suspend", &within, None).await.0, 200);
    assert_eq!(call("resume", &within, None).await.0, 200);
    assert_eq!(call("rotate", &within, Some(week.clone())).await.0, 201);
    for (number, request) in beyond.into_iter().enumerate() {
        let id = running.issue(request).await.1;
        if number < 5 {
            let (status, problem) = call("rotate", &id, Some(week.clone())).await;
            assert_eq!(
                (status, &problem["code"]),
                (403, &json!("exceeds")),
                "{number}"
            );
        }
        assert_eq!(call("suspend", &id, None).await.0, 200, "to end is free");
        let (status, problem) = call("resume", &id, None).await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("exceeds")),
            "{number}"
        );
    }
    let long = json!({ "max_age_seconds": 40 * day });
    let again = limits(admin(&["invoices:read"]))
        .expires_in(Millis::from_days(20))
        .unwrap();
    let again = running.issue(again).await.1;
    assert_eq!(
        call("rotate", &again, Some(long)).await.0,
        403,
        "it would outlive the caller"
    );
    let (status, own) = call("rotate", &own_id, None).await;
    assert_eq!(status, 201, "one's own key: {own}");
    running.stop().await;
}

/// K8, CVE-2026-40264: what belongs to another owner is not there.
#[tokio::test]
async fn an_owner_sees_and_ends_its_own_keys_alone() {
    let running = Running::start().await;
    let owned = |request: IssueRequest, owner: &str| request.owner(owner).unwrap();
    let (acme, _) = running.issue(owned(admin(&MANAGES), "acme")).await;
    let (nobody, _) = running.issue(admin(&MANAGES)).await;
    let bolts = running.issue(owned(admin(&[]), "bolt")).await.1;
    let acmes = running.issue(owned(admin(&[]), "acme")).await.1;
    for key in [&acme, &nobody] {
        for request in [
            "GET /v1/keys/ID",
            "GET /v1/keys/ID/events",
            "POST /v1/keys/ID/revoke",
            "POST /v1/keys/ID/suspend",
            "POST /v1/keys/ID/resume",
            "POST /v1/keys/ID/rotate",
        ] {
            let there = running
                .call(key, &request.replace("ID", &bolts), None)
                .await;
            let not_there = running
                .call(key, &request.replace("ID", "1AAAAAAAAAAAAAAA"), None)
                .await;
            assert_eq!(there, not_there, "{request}");
            assert_eq!(there.0, 404, "{request}");
        }
        let (_, list) = running.call(key, "GET /v1/keys", None).await;
        assert!(!list.to_string().contains(&bolts), "{list}");
        assert_eq!(
            running.call(key, "GET /v1/keys?owner=bolt", None).await.0,
            403
        );
        assert_eq!(running.call(key, "GET /v1/keys/events", None).await.0, 403);
    }
    let (_, list) = running.call(&acme, "GET /v1/keys", None).await;
    let owners: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| &k["owner"])
        .collect();
    assert_eq!(owners, ["acme", "acme"]);
    assert_eq!(
        running
            .call(&acme, &format!("POST /v1/keys/{acmes}/revoke"), None)
            .await
            .0,
        200
    );
    let asked = json!({ "client_name": "New", "owner": "acme" });
    let (status, new) = running.call(&acme, "POST /v1/keys", Some(&asked)).await;
    assert_eq!((status, &new["record"]["owner"]), (201, &json!("acme")));
    let asked = json!({ "client_name": "New" });
    let (_, new) = running.call(&acme, "POST /v1/keys", Some(&asked)).await;
    assert_eq!(
        new["record"]["owner"],
        json!("acme"),
        "no other is to be had"
    );
    let asked = json!({ "client_name": "New", "owner": "bolt" });
    assert_eq!(
        running.call(&acme, "POST /v1/keys", Some(&asked)).await.0,
        403
    );
    running.stop().await;
}

/// J4, J12, H5, I8: what is not legal is refused, and what came is not repeated.
#[tokio::test]
async fn bad_input_is_refused_and_not_repeated() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let key = running.keys["key"].clone();
    for (field, value, status) in [
        ("client_name", json!(""), 422),
        ("client_name", json!("  "), 422),
        ("client_name", json!("x".repeat(256)), 422),
        ("client_name", json!("a\nb"), 422),
        ("client_name", json!(format!("Acme {key}")), 422),
        ("client_name", json!(null), 400),
        ("client_name", json!(7), 400),
        ("client_email", json!(key), 422),
        ("owner", json!(""), 422),
        ("owner", json!(key), 422),
        ("environment", json!("LIVE"), 422),
        ("environment", json!("li-ve"), 422),
        ("template", json!("no-such"), 422),
        ("permissions", json!("read"), 400),
        ("permissions", json!(["inv*"]), 422),
        ("permissions", json!([""]), 422),
        ("permissions", json!([key]), 422),
        ("permissions", json!(vec!["a"; 65]), 422),
        (
            "permissions",
            json!((0..65).map(|n| format!("p{n}")).collect::<Vec<_>>()),
            422,
        ),
        ("allowed_endpoints", json!(["api"]), 422),
        ("allowed_endpoints", json!(["/api/../x"]), 422),
        ("allowed_networks", json!(["192.0.2.0/33"]), 422),
        ("allowed_networks", json!(["192.0.2.1/24"]), 422),
        ("rate_limit", json!({ "limit": 1 }), 400),
        (
            "rate_limit",
            json!({ "limit": -1, "window_ms": 1_000 }),
            400,
        ),
        ("rate_limit", json!({ "limit": 1, "window_ms": 0 }), 422),
        ("uses", json!(0), 422),
        ("uses", json!(-1), 400),
        ("uses", json!(1.5), 400),
        ("uses", json!(u64::MAX), 422),
        ("expires_in_seconds", json!(0), 422),
        ("expires_in_seconds", json!(-1), 400),
        ("expires_in_seconds", json!(u64::MAX), 422),
        ("expires_in_seconds", json!("90d"), 400),
        ("never_expires", json!("yes"), 400),
        ("metadata", json!("x".repeat(17_000)), 422),
        ("metadata", json!({ "note": key }), 422),
        ("scopes", json!(["*"]), 400),
        ("id", json!("1AAAAAAAAAAAAAAA"), 400),
        ("digest", json!("sha256:00"), 400),
        ("status", json!("active"), 400),
    ] {
        let mut asked = json!({ "client_name": "Acme" });
        asked[field] = value;
        let (answered, problem) = running.call(&root, "POST /v1/keys", Some(&asked)).await;
        let shown = asked.to_string();
        assert_eq!(answered, status, "{:.80}: {problem}", shown);
        assert!(!problem.to_string().contains(&key[25..]), "{problem}");
    }
    let both = json!({ "client_name": "A", "expires_in_seconds": 9, "never_expires": true });
    assert_eq!(
        running.call(&root, "POST /v1/keys", Some(&both)).await.0,
        422
    );
    for (request, status) in [
        ("GET /v1/keys?limit=0", 422),
        ("GET /v1/keys?limit=501", 422),
        ("GET /v1/keys?limit=-1", 400),
        ("GET /v1/keys?limit=1&limit=2", 400),
        ("GET /v1/keys?lim=1", 400),
        ("GET /v1/keys?statuses=active", 400),
        ("GET /v1/keys?status=active&status=revoked", 400),
        ("GET /v1/keys?status=Active", 422),
        ("GET /v1/keys?environment=LIVE", 422),
        ("GET /v1/keys?template=", 422),
        ("GET /v1/keys?id_prefix=", 422),
        ("GET /v1/keys?id_prefix=1%25", 422),
        ("GET /v1/keys?ends_before=30d", 422),
        ("GET /v1/keys?unused_since=2026-09-31", 422),
        ("GET /v1/keys?issued_from=1790000000", 422),
        ("GET /v1/keys?issued_before=", 422),
        ("GET /v1/keys?after=nonsense", 422),
        ("GET /v1/keys?after=1AAAAAAAAAAAAAAA", 404),
        ("GET /v1/keys/events?after=x", 400),
        ("GET /v1/keys/events?after=18446744073709551615", 422),
        ("GET /v1/keys/plan?within_seconds=18446744073709551615", 422),
        ("GET /v1/keys/nonsense", 404),
        ("GET /v1/keys/1AAAAAAAAAAAAAAA", 404),
        ("POST /v1/keys/1AAAAAAAAAAAAAAA/revoke", 404),
        ("GET /v1/keys/%31AAAAAAAAAAAAAAA", 403),
        ("GET /v1/keys/", 404),
    ] {
        let (answered, problem) = running.call(&root, request, None).await;
        assert_eq!(answered, status, "{request}: {problem}");
    }
    let id = running.issue(admin(&[])).await.1;
    let reason = json!({ "reason": format!("leaked: {key}") });
    let (status, _) = running
        .call(&root, &format!("POST /v1/keys/{id}/revoke"), Some(&reason))
        .await;
    assert_eq!(status, 422, "the audit takes no key");
    running.stop().await;
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
