//! `Idempotency-Key`: a request that is sent again issues no second key.

use keystile::{Event, EventKind, IssueRequest};
use keystile_store::{Batch, Store, record};
use serde_json::{Value, json};

use crate::service::Running;

async fn send(running: &Running, key: &str, path: &str, once: &str, body: &Value) -> (u16, Value) {
    let headers = [
        format!("X-API-Key: {key}"),
        format!("Idempotency-Key: {once}"),
    ];
    let answer = running
        .ask(&format!("POST {path}"), &headers, Some(body))
        .await;
    let json = serde_json::from_str(&answer.body).expect("JSON");
    (answer.status, json)
}

async fn count(running: &Running) -> usize {
    let (_, listed) = running
        .call(&running.admin, "GET /v1/keys?limit=100", None)
        .await;
    listed["keys"].as_array().expect("keys").len()
}

#[tokio::test]
async fn a_request_that_is_sent_again_issues_no_second_key() {
    let running = Running::start().await;
    let admin = running.admin.clone();
    let body = json!({ "client_name": "Acme", "uses": 3, "metadata": { "b": 1, "a": 2 } });
    let before = count(&running).await;
    let (status, first) = send(&running, &admin, "/v1/keys", "\"order-1\"", &body).await;
    assert_eq!(status, 201, "{first}");
    let text = first["key"].as_str().unwrap().to_owned();
    // Other spaces, another order, and the key without quotes.
    let same = json!({ "metadata": { "a": 2, "b": 1 }, "uses": 3, "client_name": "Acme" });
    for once in ["\"order-1\"", "order-1"] {
        let (status, again) = send(&running, &admin, "/v1/keys", once, &same).await;
        assert_eq!(
            (status, &again["key_id"]),
            (200, &first["key_id"]),
            "{again}"
        );
        assert_eq!(again["record"], first["record"]);
        assert!(again.get("key").is_none() && !again.to_string().contains(&text));
        assert!(again["message"].as_str().unwrap().contains("rotate"));
    }
    let other = json!({ "client_name": "Acme", "uses": 4 });
    let (status, refused) = send(&running, &admin, "/v1/keys", "order-1", &other).await;
    assert_eq!(
        (status, &refused["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    assert_eq!(count(&running).await, before + 1);

    let path = format!("/v1/keys/{}/rotate", first["key_id"].as_str().unwrap());
    let none = json!({});
    // The same text for another verb is another request.
    let (status, _) = send(&running, &admin, &path, "order-1", &none).await;
    assert_eq!(status, 422);
    let (status, rotated) = send(&running, &admin, &path, "order-2", &none).await;
    assert_eq!(status, 201, "{rotated}");
    let (status, again) = send(&running, &admin, &path, "order-2", &none).await;
    assert_eq!(
        (status, &again["key_id"]),
        (200, &rotated["key_id"]),
        "{again}"
    );
    // Without it, the key is replaced already.
    let (status, _) = running
        .call(&admin, &format!("POST {path}"), Some(&none))
        .await;
    assert_eq!(status, 409);
    running.stop().await;
}

#[tokio::test]
async fn callers_do_not_meet() {
    let running = Running::start().await;
    let issue = async |owner: &str| {
        let request = IssueRequest::new("an admin").unwrap();
        let request = request.permissions(["keystile:keys:read", "keystile:keys:write"]);
        running
            .issue(request.unwrap().owner(owner).unwrap())
            .await
            .0
    };
    let (one, other) = (issue("one").await, issue("other").await);
    let body = json!({ "client_name": "Acme" });
    let (status, first) = send(&running, &one, "/v1/keys", "order-1", &body).await;
    assert_eq!(status, 201, "{first}");
    let (status, second) = send(&running, &other, "/v1/keys", "order-1", &body).await;
    assert_eq!(status, 201, "{second}");
    assert_ne!(first["key_id"], second["key_id"]);
    let different = json!({ "client_name": "Other" });
    let (status, _) = send(&running, &other, "/v1/keys", "order-2", &different).await;
    assert_eq!(status, 201, "the other caller has not used it");
    // What belongs to another owner by now is not shown.
    let id = first["key_id"].as_str().unwrap().parse().unwrap();
    let mut moved = record(&*running.store, &id).await.unwrap();
    (moved.owner, moved.version) = (Some("other".into()), moved.version + 1);
    let event = Event::new(EventKind::Changed, id, moved.created_at);
    let mut batch = Batch::new();
    batch.events.push(event.with_version(moved.version));
    batch.updates.push(moved);
    running.store.commit(&batch).await.unwrap();
    let (status, again) = send(&running, &one, "/v1/keys", "order-1", &body).await;
    assert_eq!((status, &again["record"]), (200, &Value::Null), "{again}");
    running.stop().await;
}

#[tokio::test]
async fn requests_at_the_same_time_issue_one_key() {
    let running = Running::start().await;
    let (admin, body) = (
        running.admin.clone(),
        json!({ "client_name": "Acme", "owner": "o" }),
    );
    let before = count(&running).await;
    let send = || send(&running, &admin, "/v1/keys", "order-1", &body);
    let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
    let answers = [a, b, c, d];
    let new = answers.iter().filter(|(status, _)| *status == 201);
    assert_eq!(new.count(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|(_, json)| json["key_id"] == answers[0].1["key_id"])
    );
    assert_eq!(count(&running).await, before + 1);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_idempotency_key_is_refused() {
    let running = Running::start().await;
    let (admin, body) = (running.admin.clone(), json!({ "client_name": "Acme" }));
    let before = count(&running).await;
    let long = "x".repeat(256);
    for wrong in ["", "\"\"", "two words", "\"a", "a,b", &long] {
        let (status, said) = send(&running, &admin, "/v1/keys", wrong, &body).await;
        assert_eq!(
            (status, &said["code"]),
            (400, &json!("malformed")),
            "{wrong}"
        );
    }
    let twice = ["X-API-Key", "Idempotency-Key", "Idempotency-Key"];
    let twice = twice.map(|name| match name {
        "X-API-Key" => format!("{name}: {admin}"),
        name => format!("{name}: a"),
    });
    let answer = running.ask("POST /v1/keys", &twice, Some(&body)).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(count(&running).await, before);
    running.stop().await;
}
