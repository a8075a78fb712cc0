//! Who did what, the filters of events, many keys at once, and the removal of ended keys.

use serde_json::{Value, json};

use crate::service::Running;

async fn issue(running: &Running, owner: &str) -> String {
    let asked = json!({ "client_name": "Audited", "owner": owner });
    let (status, issued) = running
        .call(&running.admin, "POST /v1/keys", Some(&asked))
        .await;
    assert_eq!(status, 201, "{issued}");
    issued["key_id"].as_str().unwrap().to_owned()
}

async fn events(running: &Running, key: &str, query: &str) -> Vec<Value> {
    let request = format!("GET /v1/keys/events?{query}");
    let (status, page) = running.call(key, &request, None).await;
    assert_eq!(status, 200, "{query}: {page}");
    page["events"].as_array().unwrap().clone()
}

fn ids(result: &Value) -> Vec<&str> {
    let ids = result["key_ids"].as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap()).collect()
}

#[tokio::test]
async fn events_say_which_key_did_it_and_from_where() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let root_id = keystile::KeyFormat::any_structured();
    let root_id = root_id.parse(root.as_bytes()).unwrap();
    let root_id = match root_id.lookup(&keystile::PepperRing::none()) {
        keystile::Lookup::Id(id) => id.to_string(),
        _ => panic!("a structured key"),
    };
    let id = issue(&running, "acme").await;
    let why = json!({ "reason": "unpaid invoice" });
    for verb in ["suspend", "resume", "revoke"] {
        let request = format!("POST /v1/keys/{id}/{verb}");
        let (status, _) = running.call(&root, &request, Some(&why)).await;
        assert_eq!(status, 200, "{verb}");
    }
    let (_, page) = running
        .call(&root, &format!("GET /v1/keys/{id}/events"), None)
        .await;
    let listed = page["events"].as_array().unwrap();
    assert_eq!(listed.len(), 4, "{page}");
    for event in listed {
        assert_eq!(event["actor"], json!(root_id), "{event}");
        assert_eq!(event["origin"], "127.0.0.1", "{event}");
    }
    for event in &listed[1..] {
        assert_eq!(event["reason"], "unpaid invoice", "{event}");
    }
    // The first admin key is by no caller.
    let first = events(&running, &root, "limit=1").await;
    assert_eq!(first[0]["actor"], "keystile");

    let bad = json!({ "reason": "unpaid\nkey 7 revoked" });
    let request = format!("POST /v1/keys/{id}/suspend");
    let (status, problem) = running.call(&root, &request, Some(&bad)).await;
    assert_eq!(status, 422, "{problem}");
    assert!(
        problem["message"].as_str().unwrap().contains("reason"),
        "{problem}"
    );
    running.stop().await;
}

#[tokio::test]
async fn events_are_selected() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let (one, other) = (issue(&running, "acme").await, issue(&running, "bolt").await);
    let revoke = format!("POST /v1/keys/{one}/revoke");
    assert_eq!(running.call(&root, &revoke, None).await.0, 200);
    for (query, expected) in [
        ("owner=acme", vec![("issued", &one), ("revoked", &one)]),
        ("owner=acme&kind=revoked", vec![("revoked", &one)]),
        ("owner=bolt&kind=issued", vec![("issued", &other)]),
        ("owner=ACME", vec![]),
        ("owner=acme&since=2126-01-01", vec![]),
        (
            "owner=bolt&until=2126-01-01T00:00:00Z",
            vec![("issued", &other)],
        ),
        ("owner=bolt&until=2026-01-01", vec![]),
    ] {
        let found = events(&running, &root, query).await;
        let found: Vec<_> = found
            .iter()
            .map(|event| {
                (
                    event["kind"].as_str().unwrap(),
                    event["key_id"].as_str().unwrap(),
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, id)| (*kind, id.as_str()))
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    for (query, named) in [
        ("kind=Revoked", "kind"),
        ("since=yesterday", "since"),
        ("until=x", "until"),
    ] {
        let (status, problem) = running
            .call(&root, &format!("GET /v1/keys/events?{query}"), None)
            .await;
        assert_eq!(status, 422, "{query}");
        assert!(
            problem["message"].as_str().unwrap().starts_with(named),
            "{problem}"
        );
    }

    // Another caller sees the events of its own owner's keys, and no others.
    let reader = keystile::IssueRequest::new("a reader").unwrap();
    let reader = reader.permissions(["keystile:keys:read"]).unwrap();
    let (reader, _) = running.issue(reader.owner("acme").unwrap()).await;
    assert_eq!(
        events(&running, &reader, "owner=acme&kind=revoked")
            .await
            .len(),
        1
    );
    for query in ["", "owner=bolt", "kind=revoked"] {
        let (status, _) = running
            .call(&reader, &format!("GET /v1/keys/events?{query}"), None)
            .await;
        assert_eq!(status, 403, "{query}");
    }
    running.stop().await;
}

#[tokio::test]
async fn many_keys_are_revoked_of_those_that_the_caller_may_see() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let own = [issue(&running, "acme").await, issue(&running, "acme").await];
    let other = issue(&running, "bolt").await;
    let writer = keystile::IssueRequest::new("a writer").unwrap();
    let writer = writer
        .permissions(["keystile:keys:read", "keystile:keys:write"])
        .unwrap();
    let (writer, _) = running.issue(writer.owner("acme").unwrap()).await;
    let post = async |key: &str, verb: &str, body: Value| {
        running
            .call(key, &format!("POST /v1/keys/{verb}"), Some(&body))
            .await
    };

    for verb in ["revoke", "suspend"] {
        for body in [
            json!({}),
            json!({ "reason": "x" }),
            json!({ "dry_run": true }),
        ] {
            assert_eq!(
                post(&root, verb, body.clone()).await.0,
                422,
                "{verb} {body}"
            );
        }
        let body = json!({ "owner": "acme", "filter": "x" });
        assert_eq!(post(&root, verb, body).await.0, 400, "an unknown field");
    }
    let (status, _) = post(&writer, "revoke", json!({ "owner": "bolt" })).await;
    assert_eq!(status, 403, "another owner's keys");

    let client = json!({ "client_name": "Audited", "dry_run": true });
    let (_, dry) = post(&writer, "revoke", client.clone()).await;
    assert_eq!(ids(&dry), own, "what the caller may see");
    let (_, dry) = post(&root, "suspend", client).await;
    assert_eq!(ids(&dry), [&own[0], &own[1], &other]);
    assert_eq!(
        events(&running, &root, "kind=revoked&owner=acme")
            .await
            .len(),
        0
    );

    let client = json!({ "client_name": "Audited", "reason": "offboarded" });
    let (status, done) = post(&writer, "revoke", client.clone()).await;
    assert_eq!(
        (status, ids(&done)),
        (200, own.each_ref().map(String::as_str).to_vec())
    );
    let listed = events(&running, &root, "kind=revoked&owner=acme").await;
    assert_eq!(listed.len(), 2, "an event each");
    assert!(listed.iter().all(|event| event["reason"] == "offboarded"));
    let (_, again) = post(&writer, "revoke", client).await;
    assert!(ids(&again).is_empty(), "nothing is left: {again}");
    let (_, show) = running
        .call(&root, &format!("GET /v1/keys/{other}"), None)
        .await;
    assert_eq!(show["status"], "active", "{show}");

    // In pages.
    let page = json!({ "client_name": "Audited", "limit": 1 });
    let (_, first) = post(&root, "suspend", page).await;
    assert!(ids(&first).is_empty());
    let next = json!({ "client_name": "Audited", "limit": 9, "after": first["next"] });
    let (_, rest) = post(&root, "suspend", next).await;
    assert_eq!(ids(&rest), [&other]);
    running.stop().await;
}

/// Who the administrators of the platform are, and from where, is not for the owners of keys.
#[tokio::test]
async fn an_owner_sees_only_its_own_actors() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let id = issue(&running, "acme").await;
    let writer = keystile::IssueRequest::new("a writer").unwrap();
    let writer = writer
        .permissions(["keystile:keys:read", "keystile:keys:write"])
        .unwrap();
    let (writer, writer_id) = running.issue(writer.owner("acme").unwrap()).await;
    let suspend = format!("POST /v1/keys/{id}/suspend");
    assert_eq!(running.call(&writer, &suspend, None).await.0, 200);
    let of_key = format!("GET /v1/keys/{id}/events");
    let (_, page) = running.call(&writer, &of_key, None).await;
    let listed = page["events"].as_array().unwrap();
    assert_eq!(listed[0]["actor"], Value::Null, "root: {page}");
    assert_eq!(listed[0]["origin"], Value::Null, "root: {page}");
    assert_eq!(listed[1]["actor"], json!(writer_id), "{page}");
    assert_eq!(listed[1]["origin"], "127.0.0.1", "{page}");
    let (_, page) = running.call(&root, &of_key, None).await;
    assert_eq!(page["events"][0]["origin"], "127.0.0.1", "{page}");
    running.stop().await;
}

/// A caller without an owner does not learn of keys that have one.
#[tokio::test]
async fn a_place_in_a_list_tells_of_no_key_of_others() {
    let running = Running::start().await;
    let foreign = issue(&running, "acme").await;
    let request = keystile::IssueRequest::new("a writer").unwrap();
    let request = request
        .permissions(["keystile:keys:read", "keystile:keys:write"])
        .unwrap();
    let (without, own) = running.issue(request.clone()).await;
    let (bolt, _) = running.issue(request.owner("bolt").unwrap()).await;
    for limit in ["1", "2"] {
        let request = format!("GET /v1/keys?limit={limit}&client_name=Audited");
        let (status, page) = running.call(&without, &request, None).await;
        assert_eq!(
            (status, &page["keys"], &page["next"]),
            (200, &json!([]), &Value::Null)
        );
    }
    let body = json!({ "client_name": "Audited", "limit": 1, "dry_run": true });
    let (_, page) = running
        .call(&without, "POST /v1/keys/revoke", Some(&body))
        .await;
    assert_eq!(
        (&page["key_ids"], &page["next"]),
        (&json!([]), &Value::Null)
    );
    for caller in [&without, &bolt] {
        for list in ["GET /v1/keys", "GET /v1/keys/plan"] {
            let unknown = format!("{list}?after=1AbCdEfGhIjKlMnO");
            let list = format!("{list}?after={foreign}");
            let answer = running.call(caller, &list, None).await;
            assert_eq!(answer.0, 404, "{list}: {}", answer.1);
            assert_eq!(answer, running.call(caller, &unknown, None).await);
        }
        let body = json!({ "client_name": "Audited", "after": foreign });
        let (status, _) = running
            .call(caller, "POST /v1/keys/revoke", Some(&body))
            .await;
        assert_eq!(status, 404);
    }
    let list = format!("GET /v1/keys?after={own}");
    assert_eq!(running.call(&without, &list, None).await.0, 200);
    running.stop().await;
}

/// Also if no key is selected.
#[tokio::test]
async fn texts_that_are_too_long_end_nothing() {
    let running = Running::start().await;
    let long = "x".repeat(256);
    for verb in ["revoke", "suspend"] {
        for field in ["owner", "client_name", "reason"] {
            let mut body = json!({ "owner": "acme", "reason": "a test" });
            body[field] = json!(long);
            let request = format!("POST /v1/keys/{verb}");
            let (status, problem) = running.call(&running.admin, &request, Some(&body)).await;
            assert_eq!(status, 422, "{field}: {problem}");
            body[field] = json!("x".repeat(255));
            let (status, done) = running.call(&running.admin, &request, Some(&body)).await;
            assert_eq!(status, 200, "{field}: {done}");
        }
    }
}

/// The caller's key, and the keys that it derives from, stay: otherwise the rest would stay alive.
#[tokio::test]
async fn a_caller_does_not_end_itself_with_others() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let writer = keystile::IssueRequest::new("a writer").unwrap();
    let writer = writer
        .permissions(["keystile:keys:read", "keystile:keys:write"])
        .unwrap();
    let (writer, source) = running.issue(writer.owner("acme").unwrap()).await;
    let asked = json!({
        "client_name": "a shop", "owner": "acme",
        "permissions": ["keystile:keys:read", "keystile:keys:write"],
    });
    let (status, derived) = running.call(&writer, "POST /v1/keys", Some(&asked)).await;
    assert_eq!(status, 201, "{derived}");
    let caller = derived["key"].as_str().unwrap();
    let later = [issue(&running, "acme").await, issue(&running, "acme").await];
    for verb in ["suspend", "revoke"] {
        let body = json!({ "owner": "acme" });
        let request = format!("POST /v1/keys/{verb}");
        let (status, done) = running.call(caller, &request, Some(&body)).await;
        assert_eq!(status, 200, "{done}");
        assert_eq!(ids(&done), later, "{verb}");
        assert_eq!(
            done["left_out"],
            json!([source, derived["key_id"]]),
            "{verb}: {done}"
        );
        assert_eq!(done["failed"], json!([]));
    }
    let (status, _) = running.call(caller, "GET /v1/keys", None).await;
    assert_eq!(status, 200, "the caller can go on");
    let (_, done) = running
        .call(
            &root,
            "POST /v1/keys/revoke",
            Some(&json!({ "owner": "acme" })),
        )
        .await;
    assert_eq!(ids(&done), [&source], "others can end them: {done}");
    assert_eq!(done["derived_changed"], 1, "{done}");
    running.stop().await;
}

#[tokio::test]
async fn only_an_ended_key_is_removed_and_its_events_stay() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let id = issue(&running, "acme").await;
    let delete = format!("DELETE /v1/keys/{id}");
    let (status, problem) = running.call(&root, &delete, None).await;
    assert_eq!(status, 409, "{problem}");
    let reader = keystile::IssueRequest::new("a reader").unwrap();
    let reader = reader
        .permissions(["keystile:keys:read", "keystile:keys:write"])
        .unwrap();
    let (acme, _) = running.issue(reader.clone().owner("acme").unwrap()).await;
    let (nobody, _) = running.issue(reader.clone()).await;
    let (bolt, _) = running.issue(reader.owner("bolt").unwrap()).await;
    let revoke = format!("POST /v1/keys/{id}/revoke");
    assert_eq!(running.call(&root, &revoke, None).await.0, 200);
    assert_eq!(running.call(&bolt, &delete, None).await.0, 404);
    assert_eq!(running.call(&root, &delete, None).await.0, 204);
    assert_eq!(running.call(&root, &delete, None).await.0, 404);

    let of_key = format!("GET /v1/keys/{id}/events");
    let (status, page) = running.call(&root, &of_key, None).await;
    assert_eq!(status, 200, "{page}");
    let kinds: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["kind"])
        .collect();
    assert_eq!(kinds, ["issued", "revoked", "deleted"]);
    for other in [&bolt, &nobody] {
        assert_eq!(running.call(other, &of_key, None).await.0, 404);
    }
    let (status, page) = running.call(&acme, &of_key, None).await;
    assert_eq!(status, 200, "whom it belonged to: {page}");
    assert_eq!(page["events"].as_array().unwrap().len(), 3);
    assert_eq!(
        events(&running, &acme, "owner=acme&kind=deleted")
            .await
            .len(),
        1
    );
    let unknown = "GET /v1/keys/1AbCdEfGhIjKlMnO/events";
    assert_eq!(running.call(&root, unknown, None).await.0, 404);
    running.stop().await;
}
