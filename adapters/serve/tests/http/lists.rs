//! `GET /v1/keys` with filters.

use serde_json::{Value, json};

use crate::service::Running;

async fn listed(running: &Running, key: &str, query: &str) -> Vec<String> {
    let request = format!("GET /v1/keys?client_name=Filtered&{query}");
    let (status, page) = running.call(key, &request, None).await;
    assert_eq!(status, 200, "{page}");
    let keys = page["keys"].as_array().unwrap().iter();
    keys.map(|key| key["key_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_filter_selects() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let issue = async |more: Value| {
        let mut asked = json!({ "client_name": "Filtered", "expires_in_seconds": 3_600 });
        let fields = more.as_object().unwrap().clone();
        asked.as_object_mut().unwrap().extend(fields);
        let (status, issued) = running.call(&root, "POST /v1/keys", Some(&asked)).await;
        assert_eq!(status, 201, "{issued}");
        issued["key_id"].as_str().unwrap().to_owned()
    };
    let active = issue(json!({ "environment": "live", "owner": "acme" })).await;
    let suspended = issue(json!({ "template": "monitoring" })).await;
    let revoked = issue(json!({ "owner": "acme" })).await;
    for (id, verb) in [(&suspended, "suspend"), (&revoked, "revoke")] {
        let request = format!("POST /v1/keys/{id}/{verb}");
        assert_eq!(running.call(&root, &request, None).await.0, 200);
    }
    let all = [active.clone(), suspended.clone(), revoked.clone()];
    let by_prefix = format!("id_prefix={}", active.get(..12).unwrap());
    for (query, expected) in [
        ("", &all[..]),
        ("status=active", &all[..1]),
        ("status=suspended", &all[1..2]),
        ("status=revoked&owner=acme", &all[2..]),
        ("status=revoked&owner=bolt", &[]),
        ("status=expired", &[]),
        ("environment=live", &all[..1]),
        ("environment=test", &[]),
        ("template=monitoring", &all[1..2]),
        (&by_prefix, &all[..1]),
        ("ends_before=2126-01-01T00:00:00Z", &all[..2]),
        ("ends_before=2026-01-01", &[]),
        ("unused_since=2126-01-01", &all),
        ("unused_since=2026-01-01T00:00:00%2B02:00", &[]),
        ("issued_from=2026-01-01", &all),
        ("issued_from=2126-01-01", &[]),
        ("issued_before=2126-01-01", &all),
        ("issued_before=2026-01-01", &[]),
    ] {
        assert_eq!(listed(&running, &root, query).await, expected, "{query}");
    }
    running.stop().await;
}

/// A status filter does not lift the limit to the caller's owner.
#[tokio::test]
async fn a_filter_shows_no_other_owners_keys() {
    let running = Running::start().await;
    let root = running.admin.clone();
    for owner in ["acme", "bolt"] {
        let asked = json!({ "client_name": "Filtered", "owner": owner });
        assert_eq!(
            running.call(&root, "POST /v1/keys", Some(&asked)).await.0,
            201
        );
    }
    let asked = keystile::IssueRequest::new("an admin").unwrap();
    let asked = asked.permissions(["keystile:keys:read"]).unwrap();
    let (acme, _) = running.issue(asked.owner("acme").unwrap()).await;
    for query in ["status=active", "issued_from=2026-01-01", "id_prefix=1"] {
        assert_eq!(listed(&running, &root, query).await.len(), 2, "{query}");
        assert_eq!(listed(&running, &acme, query).await.len(), 1, "{query}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_list_has_the_order_that_is_asked_for() {
    let running = Running::start().await;
    let root = running.admin.clone();
    let mut issued = Vec::new();
    for (seconds, owner) in [(9_000, "acme"), (3_600, "acme"), (7_200, "bolt")] {
        let asked = json!({
            "client_name": "Filtered", "owner": owner, "expires_in_seconds": seconds,
        });
        let (status, key) = running.call(&root, "POST /v1/keys", Some(&asked)).await;
        assert_eq!(status, 201, "{key}");
        issued.push(key["key_id"].as_str().unwrap().to_owned());
    }
    let [late, early, middle] = <[String; 3]>::try_from(issued.clone()).unwrap();
    let by_end = [&early, &middle, &late].map(String::clone);
    assert_eq!(listed(&running, &root, "sort=expires").await, by_end);
    let mut by_id = issued.clone();
    by_id.sort_unstable();
    assert_eq!(listed(&running, &root, "sort=id").await, by_id);
    assert_eq!(listed(&running, &root, "sort=last-used").await, by_id);
    assert_eq!(listed(&running, &root, "").await, issued);
    // A page after another one, and no word of other owners' keys.
    let acme = listed(&running, &root, "sort=expires&owner=acme").await;
    assert_eq!(acme, [early.clone(), late.clone()]);
    let request = "GET /v1/keys?owner=acme&sort=expires&limit=1";
    let (_, page) = running.call(&root, request, None).await;
    let next = page["next"].as_str().unwrap();
    assert!(next.ends_with(&early), "{next}");
    let (_, page) = running
        .call(&root, &format!("{request}&after={next}"), None)
        .await;
    assert_eq!(page["keys"][0]["key_id"], json!(late));
    for (query, code, expected) in [
        (
            "sort=name",
            422,
            "sort must be inserted, id, issued, expires or",
        ),
        ("sort=id&sort=id", 400, "at most once"),
        ("order=id", 400, "The query must have only"),
        ("after=1.2.3", 422, "after must be"),
    ] {
        let request = format!("GET /v1/keys?{query}");
        let (status, problem) = running.call(&root, &request, None).await;
        assert_eq!(status, code, "{query} {problem}");
        assert!(problem.to_string().contains(expected), "{query} {problem}");
    }
    running.stop().await;
}

/// The document names each parameter, so that clients that are generated from it have them.
#[tokio::test]
async fn the_document_has_the_filters() {
    let running = Running::start().await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    let parameters = document["paths"]["/v1/keys"]["get"]["parameters"].as_array();
    let names = parameters
        .unwrap()
        .iter()
        .map(|named| named["name"].clone());
    let names: Vec<Value> = names.collect();
    let expected = [
        "after",
        "limit",
        "sort",
        "owner",
        "client_name",
        "status",
        "environment",
        "template",
        "id_prefix",
        "ends_before",
        "unused_since",
        "issued_from",
        "issued_before",
    ];
    assert_eq!(names, expected);
    running.stop().await;
}
