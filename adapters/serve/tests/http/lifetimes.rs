//! How long keys live that a caller issues, changes and rotates, and what ends with them.

use keystile::{IssueRequest, LifetimePolicy, Millis, UnixMillis};
use keystile_serve::parse_rfc3339;
use serde_json::{Value, json};

use crate::service::Running;

const MANAGES: [&str; 3] = ["keystile:keys:read", "keystile:keys:write", "read"];

fn hour(permissions: &[&str]) -> IssueRequest {
    let request = IssueRequest::new("a client").unwrap();
    let request = request.permissions(permissions).unwrap();
    request.expires_in(Millis::from_hours(1)).unwrap()
}

async fn post(running: &Running, key: &str, path: &str, body: Value) -> (u16, Value) {
    running
        .call(key, &format!("POST {path}"), Some(&body))
        .await
}

fn end(record: &Value) -> UnixMillis {
    parse_rfc3339(record["expires_at"].as_str().unwrap()).unwrap()
}

async fn record(running: &Running, id: &str) -> Value {
    let path = format!("GET /v1/keys/{id}");
    running.call(&running.admin, &path, None).await.1
}

/// A key of an hour that may write keys does not give itself 90 days.
#[tokio::test]
async fn a_key_that_rotates_itself_gets_no_more_life_than_it_has() {
    let running = Running::start().await;
    let (mut key, mut id) = running.issue(hour(&MANAGES)).await;
    let first = end(&record(&running, &id).await);
    for asked in [90 * 86_400, 7_200, 3_601] {
        let body = json!({ "max_age_seconds": asked });
        let (status, problem) = post(&running, &key, &format!("/v1/keys/{id}/rotate"), body).await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("exceeds")),
            "{asked}"
        );
    }
    for _ in 0..3 {
        let (status, new) = post(&running, &key, &format!("/v1/keys/{id}/rotate"), json!({})).await;
        assert_eq!(status, 201, "{new}");
        assert_eq!(
            end(&new["record"]),
            first,
            "it ends when the first would have"
        );
        assert_eq!(new["record"]["lifetime_ms"], 3_600_000);
        key = new["key"].as_str().unwrap().to_owned();
        id = new["key_id"].as_str().unwrap().to_owned();
    }
    // An administrator gives it another hour, and not more.
    let now = UnixMillis::now().unwrap();
    let path = format!("/v1/keys/{id}/rotate");
    let (status, new) = post(&running, &running.admin, &path, json!({})).await;
    assert_eq!(status, 201, "{new}");
    let given = end(&new["record"]).since(now);
    assert!(
        given >= Millis::from_hours(1) && given < Millis::from_hours(2),
        "{given:?}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_key_that_may_renew_itself_gets_its_length_again() {
    let running = Running::start().await;
    let renews = [&MANAGES[..], &["keystile:keys:renew"]].concat();
    let (key, id) = running.issue(hour(&renews)).await;
    let path = format!("/v1/keys/{id}/rotate");
    let more = json!({ "max_age_seconds": 3_601 });
    let (status, problem) = post(&running, &key, &path, more).await;
    assert_eq!((status, &problem["code"]), (403, &json!("exceeds")));
    let before = end(&record(&running, &id).await);
    let (status, new) = post(&running, &key, &path, json!({})).await;
    assert_eq!(status, 201, "{new}");
    assert!(end(&new["record"]) > before);
    assert_eq!(new["record"]["lifetime_ms"], 3_600_000);
    // It may not prolong itself by a change.
    let (key, id) = (
        new["key"].as_str().unwrap(),
        new["key_id"].as_str().unwrap(),
    );
    let path = format!("PATCH /v1/keys/{id}");
    let longer = json!({ "expires_in_seconds": 7_200 });
    assert_eq!(running.call(key, &path, Some(&longer)).await.0, 403);
    running.stop().await;
}

#[tokio::test]
async fn the_service_has_a_longest_lifetime() {
    let day = Millis::from_days(1);
    let lifetimes = LifetimePolicy::new(Millis::from_hours(2), Some(day)).unwrap();
    let running = Running::with_lifetimes(lifetimes).await;
    let root = &running.admin;
    let issue = async |body: Value| post(&running, root, "/v1/keys", body).await;
    let (status, new) = issue(json!({ "client_name": "a" })).await;
    assert_eq!(status, 201, "{new}");
    assert_eq!(new["record"]["lifetime_ms"], 7_200_000, "the default");
    let id = new["key_id"].as_str().unwrap();
    for body in [
        json!({ "client_name": "a", "never_expires": true }),
        json!({ "client_name": "a", "expires_in_seconds": 86_401 }),
    ] {
        let (status, problem) = issue(body).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid")),
            "{problem}"
        );
    }
    let change = format!("PATCH /v1/keys/{id}");
    for body in [
        json!({ "expires_in_seconds": null }),
        json!({ "expires_in_seconds": 86_401 }),
    ] {
        assert_eq!(running.call(root, &change, Some(&body)).await.0, 422);
    }
    let rotate = format!("/v1/keys/{id}/rotate");
    let long = json!({ "max_age_seconds": 86_401 });
    assert_eq!(post(&running, root, &rotate, long).await.0, 422);
    // One that was issued before there was a longest gets no more than that.
    let never = IssueRequest::new("old").unwrap().never_expires();
    let (_, id) = running.issue(never).await;
    let (status, new) = post(&running, root, &format!("/v1/keys/{id}/rotate"), json!({})).await;
    assert_eq!(status, 201, "{new}");
    assert_eq!(new["record"]["lifetime_ms"], 86_400_000);
    running.stop().await;
}

#[tokio::test]
async fn keys_that_a_tenant_issues_end_with_its_own() {
    let running = Running::start().await;
    let tenant = hour(&MANAGES).owner("acme").unwrap().uses(9).unwrap();
    let (key, id) = running.issue(tenant).await;
    let body = json!({ "client_name": "shop", "permissions": ["read"], "uses": 2 });
    let (status, new) = post(&running, &key, "/v1/keys", body).await;
    assert_eq!(status, 201, "{new}");
    assert_eq!(new["record"]["derived_from"], json!(id));
    assert_eq!(new["record"]["remaining_uses"], 2);
    assert_eq!(
        record(&running, &id).await["remaining_uses"],
        6,
        "9, a request, and 2"
    );
    let child = new["key_id"].as_str().unwrap();

    let root = &running.admin;
    let change = format!("PATCH /v1/keys/{id}");
    let less = json!({ "remove_permissions": ["read"] });
    let (status, problem) = running.call(root, &change, Some(&less)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
    assert!(
        problem["message"].as_str().unwrap().contains(child),
        "{problem}"
    );
    let wrong = json!({ "remove_permissions": ["read"], "derived": "delete" });
    assert_eq!(running.call(root, &change, Some(&wrong)).await.0, 422);
    let keep = json!({ "remove_permissions": ["read"], "derived": "keep" });
    assert_eq!(running.call(root, &change, Some(&keep)).await.0, 200);
    // What exceeds its source would not be resumed with it.
    let again = json!({ "add_permissions": ["read"] });
    assert_eq!(running.call(root, &change, Some(&again)).await.0, 200);

    let (status, ended) = post(&running, root, &format!("/v1/keys/{id}/suspend"), json!({})).await;
    assert_eq!(
        (status, &ended["derived_changed"]),
        (200, &json!(1)),
        "{ended}"
    );
    assert_eq!(record(&running, child).await["suspended_with"], json!(id));
    let alone = post(
        &running,
        root,
        &format!("/v1/keys/{child}/resume"),
        json!({}),
    )
    .await;
    assert_eq!((alone.0, &alone.1["code"]), (409, &json!("conflict")));
    assert_eq!(
        post(&running, root, &format!("/v1/keys/{id}/resume"), json!({}))
            .await
            .0,
        200
    );
    assert_eq!(record(&running, child).await["status"], "active");

    let (status, _) = post(&running, root, &format!("/v1/keys/{id}/rotate"), json!({})).await;
    assert_eq!(status, 201);
    let revoke = format!("/v1/keys/{id}/revoke");
    let (status, ended) = post(&running, root, &revoke, json!({})).await;
    assert_eq!(status, 200, "{ended}");
    let counts = (&ended["derived_changed"], &ended["derived_left"]);
    assert_eq!(counts, (&json!(0), &json!(1)), "its successor lives");
    let (_, ended) = post(&running, root, &revoke, json!({ "derived": true })).await;
    assert_eq!(ended["derived_changed"], 1);
    assert_eq!(record(&running, child).await["status"], "revoked");
    running.stop().await;
}

/// A caller whose uses are counted gives no one uses that it does not have.
#[tokio::test]
async fn a_raise_of_uses_is_taken_off_someone() {
    let running = Running::start().await;
    let of_acme = |uses| hour(&MANAGES).owner("acme").unwrap().uses(uses).unwrap();
    let (key, id) = running.issue(of_acme(1_000)).await;
    let (_, other) = running.issue(of_acme(1)).await;
    let path = format!("PATCH /v1/keys/{other}");
    let (status, problem) = running
        .call(&key, &path, Some(&json!({ "uses": 500 })))
        .await;
    assert_eq!((status, &problem["code"]), (403, &json!("exceeds")));
    assert_eq!(record(&running, &other).await["remaining_uses"], 1);
    let body = json!({ "client_name": "shop", "uses": 2 });
    let (_, new) = post(&running, &key, "/v1/keys", body).await;
    let before = record(&running, &id).await["remaining_uses"]
        .as_u64()
        .unwrap();
    let path = format!("PATCH /v1/keys/{}", new["key_id"].as_str().unwrap());
    let (status, _) = running
        .call(&key, &path, Some(&json!({ "uses": 500 })))
        .await;
    assert_eq!(status, 200);
    let left = record(&running, &id).await["remaining_uses"]
        .as_u64()
        .unwrap();
    assert_eq!(left, before - 1 - 498, "the request, and the raise");
    running.stop().await;
}

/// What a key of every owner issues does not outlive it if it can do the same.
#[tokio::test]
async fn a_leaked_key_leaves_no_other_behind() {
    let running = Running::start().await;
    let admin = [&MANAGES[..], &["keystile:owners:any"]].concat();
    let (key, id) = running.issue(hour(&admin)).await;
    let same = json!({ "client_name": "b", "permissions": admin });
    let (status, second) = post(&running, &key, "/v1/keys", same).await;
    assert_eq!(status, 201, "{second}");
    assert_eq!(second["record"]["derived_from"], json!(id));
    let others = json!({ "client_name": "b", "owner": "x", "permissions": admin });
    let (status, problem) = post(&running, &key, "/v1/keys", others).await;
    assert_eq!((status, &problem["code"]), (403, &json!("exceeds")));
    // One that may manage a tenant's keys only is the tenant's.
    let tenant = json!({ "client_name": "b", "owner": "x", "permissions": MANAGES });
    let (_, tenant) = post(&running, &key, "/v1/keys", tenant).await;
    assert_eq!(tenant["record"]["derived_from"], Value::Null);
    // What derives passes that on, whatever it issues.
    let derived = second["key"].as_str().unwrap();
    let body = json!({ "client_name": "c", "permissions": ["read"] });
    let (status, third) = post(&running, derived, "/v1/keys", body).await;
    assert_eq!(status, 201, "{third}");
    assert_eq!(third["record"]["derived_from"], second["key_id"]);
    let revoke = format!("/v1/keys/{id}/revoke");
    let (_, ended) = post(&running, &running.admin, &revoke, json!({})).await;
    assert_eq!(ended["derived_changed"], 2);
    running.stop().await;
}

/// The keys of an administrator for others outlive the administrator's.
#[tokio::test]
async fn keys_that_an_administrator_issues_derive_from_none() {
    let running = Running::start().await;
    let admin = [&MANAGES[..], &["keystile:owners:any"]].concat();
    let (key, id) = running.issue(hour(&admin)).await;
    let body = json!({ "client_name": "shop", "owner": "acme", "permissions": ["read"] });
    let (status, new) = post(&running, &key, "/v1/keys", body).await;
    assert_eq!(status, 201, "{new}");
    assert_eq!(new["record"]["derived_from"], Value::Null);
    assert!(end(&new["record"]) <= end(&record(&running, &id).await));
    let revoke = format!("/v1/keys/{id}/revoke");
    let (_, ended) = post(&running, &running.admin, &revoke, json!({})).await;
    assert_eq!(ended["derived_changed"], 0);
    let child = new["key_id"].as_str().unwrap();
    assert_eq!(record(&running, child).await["live"], true);
    running.stop().await;
}
