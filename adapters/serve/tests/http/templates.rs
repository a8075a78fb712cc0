//! Templates over HTTP: who may write them, which version is replaced, and what they do to keys.

use keystile::IssueRequest;
use serde_json::{Value, json};

use crate::service::Running;

fn request(permissions: &[&str]) -> IssueRequest {
    let request = IssueRequest::new("a client").unwrap();
    request.permissions(permissions).unwrap()
}

async fn put(running: &Running, key: &str, body: Value) -> (u16, Value) {
    running
        .call(key, "PUT /v1/templates/pro", Some(&body))
        .await
}

#[tokio::test]
async fn a_template_is_added_shown_replaced_and_removed() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let body = json!({
        "permissions": ["read"], "allowed_endpoints": ["GET /api/*"],
        "rate_limit": { "limit": 10, "window_ms": 60_000 }, "expires_in_seconds": 3_600,
    });
    let (status, added) = put(&running, &root, body.clone()).await;
    assert_eq!(status, 201, "{added}");
    assert_eq!(
        (&added["version"], &added["lifetime_ms"]),
        (&json!(1), &json!(3_600_000))
    );
    let shown = running.call(&root, "GET /v1/templates/pro", None).await;
    assert_eq!(shown, (200, added));
    let listed = running
        .call(&root, "GET /v1/templates?limit=1", None)
        .await
        .1;
    let names = listed["templates"].as_array().unwrap();
    let names: Vec<_> = names
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["monitoring", "integration", "admin", "pro"]);
    let rest = running
        .call(&root, "GET /v1/templates?after=pro", None)
        .await
        .1;
    assert_eq!(rest["templates"], json!([]));

    let new = json!({ "client_name": "Acme", "template": "pro" });
    let (status, issued) = running.call(&root, "POST /v1/keys", Some(&new)).await;
    assert_eq!(status, 201, "{issued}");
    assert_eq!(issued["record"]["lifetime_ms"], 3_600_000);
    for more in [
        json!({ "permissions": ["write"] }),
        json!({ "never_expires": true }),
        json!({ "rate_limit": { "limit": 11, "window_ms": 60_000 } }),
    ] {
        let mut asked = new.clone();
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, problem) = running.call(&root, "POST /v1/keys", Some(&asked)).await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("exceeds")),
            "{more}"
        );
    }

    let (status, replaced) =
        put(&running, &root, json!({ "permissions": ["read", "write"] })).await;
    assert_eq!((status, &replaced["version"]), (200, &json!(2)));
    assert_eq!(
        replaced["rate_limit"],
        json!(null),
        "a body replaces all of it"
    );
    let gone = running.call(&root, "DELETE /v1/templates/pro", None).await;
    assert_eq!(gone.0, 204);
    let missing = running.call(&root, "GET /v1/templates/pro", None).await;
    assert_eq!((missing.0, &missing.1["code"]), (404, &json!("not_found")));
    let issue = running.call(&root, "POST /v1/keys", Some(&new)).await;
    assert_eq!((issue.0, &issue.1["code"]), (422, &json!("invalid")));
    running.stop().await;
}

#[tokio::test]
async fn a_version_that_is_not_the_present_one_changes_nothing() {
    let running = Running::start().await;
    let key = running.admin.clone();
    let header = |tag: &str| [format!("X-API-Key: {key}"), format!("If-Match: {tag}")];
    let body = json!({ "permissions": ["read"] });
    let none = running
        .ask("PUT /v1/templates/pro", &header("\"1\""), Some(&body))
        .await;
    assert_eq!(none.status, 412, "there is none");
    put(&running, &key, body.clone()).await;
    let shown = running
        .ask("GET /v1/templates/pro", &header("*")[..1], None)
        .await;
    let mut lines = shown.head.lines();
    let tag = lines
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("a version");
    let more = json!({ "permissions": ["read", "write"] });
    let first = running
        .ask("PUT /v1/templates/pro", &header(tag), Some(&more))
        .await;
    assert_eq!(first.status, 200);
    for request in ["PUT /v1/templates/pro", "DELETE /v1/templates/pro"] {
        let stale = running.ask(request, &header(tag), Some(&body)).await;
        assert_eq!(stale.status, 412, "{request}");
    }
    let now = running.call(&key, "GET /v1/templates/pro", None).await.1;
    assert_eq!(now["permissions"], json!(["read", "write"]));
    running.stop().await;
}

/// P4: no one writes a template that gives more than the writer has, or gave more.
#[tokio::test]
async fn only_who_holds_a_template_may_write_it() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let all = [
        "keystile:keys:read",
        "keystile:keys:write",
        "keystile:owners:any",
        "read",
    ];
    let (admin, _) = running.issue(request(&all)).await;
    let rights = ["keystile:keys:read", "keystile:keys:write", "read"];
    let tenant = request(&rights).owner("acme").unwrap();
    let (tenant, _) = running.issue(tenant).await;
    let (reader, _) = running.issue(request(&all[..1])).await;
    let read = json!({ "permissions": ["read"] });
    for (key, body, expected) in [
        (&tenant, &read, 403),
        (&reader, &read, 403),
        (&admin, &json!({ "permissions": ["write"] }), 403),
        (&admin, &json!({ "permissions": ["*"] }), 403),
        (&admin, &read, 201),
    ] {
        let (status, answer) = put(&running, key, body.clone()).await;
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(
        put(&running, &root, json!({ "permissions": ["write"] }))
            .await
            .0,
        200
    );
    assert_eq!(
        put(&running, &admin, read).await.0,
        403,
        "it gave more than the caller has"
    );
    for key in [&admin, &tenant, &reader] {
        let removed = running.call(key, "DELETE /v1/templates/pro", None).await;
        assert_eq!(removed.0, 403);
        let shown = running.call(key, "GET /v1/templates/pro", None).await;
        assert_eq!(shown.0, 200);
    }
    for request in ["PUT /v1/templates/admin", "DELETE /v1/templates/admin"] {
        let refused = running.call(&root, request, Some(&json!({}))).await;
        assert_eq!(
            (refused.0, &refused.1["code"]),
            (409, &json!("conflict")),
            "{request}"
        );
    }
    let named = running
        .call(&root, "PUT /v1/templates/Pro", Some(&json!({})))
        .await;
    assert_eq!(named.0, 422);
    running.stop().await;
}

#[tokio::test]
async fn a_template_is_applied_to_the_keys_that_the_caller_sees_and_holds() {
    let running = Running::start().await;
    let root = running.admin.clone();
    put(&running, &root, json!({ "permissions": ["read"] })).await;
    let mut ids = Vec::new();
    for (owner, more) in [
        ("acme", json!(null)),
        ("globex", json!(null)),
        ("acme", json!([])),
    ] {
        let mut new = json!({ "client_name": "x", "owner": owner, "template": "pro" });
        if !more.is_null() {
            new["permissions"] = more;
        }
        let (status, issued) = running.call(&root, "POST /v1/keys", Some(&new)).await;
        assert_eq!(status, 201, "{issued}");
        ids.push(issued["key_id"].as_str().unwrap().to_owned());
    }
    put(&running, &root, json!({ "permissions": ["read", "write"] })).await;
    let apply = "POST /v1/templates/pro/apply";
    let rights = ["keystile:keys:read", "keystile:keys:write", "read"];
    let (small, _) = running.issue(request(&rights).owner("acme").unwrap()).await;
    let refused = running.call(&small, apply, None).await.1;
    assert_eq!(refused["key_ids"], json!([]));
    assert_eq!(
        refused["failed"][0]["key_id"],
        json!(ids[0]),
        "P4: {refused}"
    );
    assert_eq!(refused["own"], json!([ids[2]]));

    let (large, _) = running.issue(request(&["*"]).owner("acme").unwrap()).await;
    let dry = running
        .call(&large, apply, Some(&json!({ "dry_run": true })))
        .await
        .1;
    assert_eq!(
        (&dry["key_ids"], &dry["version"]),
        (&json!([ids[0], ids[1]]), &json!(2)),
        "{dry}"
    );
    let show = format!("GET /v1/keys/{}", ids[0]);
    assert_eq!(
        running.call(&root, &show, None).await.1["version"],
        1,
        "a dry run"
    );
    let (tenant, _) = running
        .issue(
            request(&["keystile:keys:write", "read", "write"])
                .owner("acme")
                .unwrap(),
        )
        .await;
    let done = running.call(&tenant, apply, None).await.1;
    assert_eq!(
        (&done["key_ids"], &done["next"]),
        (&json!([ids[0]]), &json!(null)),
        "{done}"
    );
    let shown = running.call(&root, &show, None).await.1;
    assert_eq!(shown["permissions"], json!(["read", "write"]));
    let all = running
        .call(&root, apply, Some(&json!({ "all": true })))
        .await
        .1;
    assert_eq!(
        (&all["key_ids"], &all["current"]),
        (&json!([ids[1], ids[2]]), &json!(1)),
        "{all}"
    );
    let missing = running
        .call(&root, "POST /v1/templates/plus/apply", None)
        .await;
    assert_eq!(missing.0, 404);
    running.stop().await;
}

#[tokio::test]
async fn many_keys_are_changed_and_the_callers_own_stays() {
    let running = Running::start().await;
    let rights = ["keystile:keys:read", "keystile:keys:write", "a"];
    // The keys of the others end later than one that was issued before them.
    let caller = request(&rights).owner("acme").unwrap().never_expires();
    let (tenant, own) = running.issue(caller).await;
    let (_, one) = running.issue(request(&["a"]).owner("acme").unwrap()).await;
    let (_, two) = running.issue(request(&["b"]).owner("acme").unwrap()).await;
    let (_, other) = running
        .issue(request(&["a"]).owner("globex").unwrap())
        .await;
    let change = "POST /v1/keys/change";
    let limit = json!({ "rate_limit": { "limit": 5, "window_ms": 1_000 } });
    let dry = json!({ "owner": "acme", "change": limit, "dry_run": true });
    let planned = running.call(&tenant, change, Some(&dry)).await.1;
    let asked = json!({ "owner": "acme", "change": limit });
    let (status, done) = running.call(&tenant, change, Some(&asked)).await;
    assert_eq!(status, 200, "{done}");
    for answer in [&planned, &done] {
        assert_eq!(answer["key_ids"], json!([one]), "{answer}");
        assert_eq!(answer["left_out"], json!([own]));
        assert_eq!(
            answer["failed"][0]["key_id"],
            json!(two),
            "P4: it has more than the caller"
        );
    }
    let of_others = json!({ "owner": "globex", "change": limit });
    assert_eq!(running.call(&tenant, change, Some(&of_others)).await.0, 403);
    let show = format!("GET /v1/keys/{other}");
    let shown = running.call(&running.admin, &show, None).await.1;
    assert_eq!(shown["rate_limit"], json!(null));
    for (body, status) in [
        (json!({ "change": limit }), 422),
        (json!({ "owner": "acme" }), 400),
        (json!({ "owner": "acme", "change": { "id": "x" } }), 400),
        (
            json!({ "owner": "acme", "change": { "template": "root" } }),
            422,
        ),
    ] {
        assert_eq!(
            running.call(&tenant, change, Some(&body)).await.0,
            status,
            "{body}"
        );
    }
    running.stop().await;
}

/// What a change of many keys ends besides them is counted, before and after.
#[tokio::test]
async fn keys_that_end_because_they_derive_from_one_are_counted() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let both = json!({ "permissions": ["keystile:keys:write", "a"] });
    put(&running, &root, both).await;
    let mut sources = Vec::new();
    for name in ["changed", "applied"] {
        let new = json!({ "client_name": name, "owner": name, "template": "pro" });
        let source = running.call(&root, "POST /v1/keys", Some(&new)).await.1;
        let key = source["key"].as_str().unwrap();
        for _ in 0..2 {
            let shop = json!({ "client_name": "shop", "permissions": ["a"] });
            let (status, shop) = running.call(key, "POST /v1/keys", Some(&shop)).await;
            assert_eq!(status, 201, "{shop}");
        }
        sources.push(source["key_id"].clone());
    }
    let less = json!({ "permissions": ["keystile:keys:write"] });
    put(&running, &root, less).await;
    let less = json!({ "remove_permissions": ["a"], "derived": "suspend" });
    for (id, request, mut body) in [
        (
            &sources[0],
            "POST /v1/keys/change",
            json!({ "client_name": "changed", "change": less }),
        ),
        (
            &sources[1],
            "POST /v1/templates/pro/apply",
            json!({ "derived": "revoke" }),
        ),
    ] {
        for dry_run in [true, false] {
            body["dry_run"] = dry_run.into();
            let (status, answer) = running.call(&root, request, Some(&body)).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["key_ids"], json!([id]), "{answer}");
            assert_eq!(answer["derived_changed"], 2, "{answer}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let running = Running::start().await;
    for query in ["after=%00", "after=a%00b", "limit=0", "limit=51"] {
        let request = format!("GET /v1/templates?{query}");
        let (status, problem) = running.call(&running.admin, &request, None).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid")),
            "{query}"
        );
    }
    running.stop().await;
}
