//! `POST /v1/verify`.

use keystile::StatusPolicy;
use serde_json::{Value, json};

use crate::service::Running;

/// The decision on a key of this kind, as JSON.
async fn decision(running: &Running, key: &str, body: Value) -> Value {
    let (status, decision) = running.call(key, "POST /v1/verify", Some(&body)).await;
    assert_eq!(status, 200, "{decision}");
    decision
}

#[tokio::test]
async fn a_decision_is_always_200_and_says_what_it_is() {
    for policy in [StatusPolicy::Rfc9110, StatusPolicy::Express] {
        let running = Running::with_policy(policy).await;
        let express = policy == StatusPolicy::Express;
        let invalid = if express { 403 } else { 401 };
        let everything = json!({
            "requires": "read AND write", "method": "POST", "path": "/api/data",
            "ip": "192.0.2.7",
        });
        let allowed = decision(&running, &running.keys["key"], everything.clone()).await;
        assert_eq!(allowed["decision"], "allow");
        assert_eq!(allowed["client_name"], "Acme");
        assert_eq!(allowed["code"], Value::Null);
        for (kind, code, status) in [
            ("revoked", "key_revoked", invalid),
            ("suspended", "key_suspended", invalid),
            ("expired", "key_expired", invalid),
            ("replaced", "key_replaced", invalid),
            ("unknown", "invalid_key", invalid),
            ("forged", "invalid_key", invalid),
            ("reader", "permission_missing", 403),
            ("metrics", "endpoint_not_allowed", 403),
        ] {
            let denied = decision(&running, &running.keys[kind], everything.clone()).await;
            assert_eq!(denied["decision"], "deny", "{kind}");
            assert_eq!(denied["code"], code, "{kind}");
            assert_eq!(denied["status"], status, "{kind}");
        }
        let elsewhere = json!({ "ip": "203.0.113.1" });
        let denied = decision(&running, &running.keys["elsewhere"], elsewhere).await;
        assert_eq!(denied["code"], "network_not_allowed");
        let traversal = json!({ "path": "/api/metrics/../profile" });
        let denied = decision(&running, &running.keys["metrics"], traversal).await;
        assert_eq!(denied["code"], "path_not_canonical");
        let live = json!({ "environment": "live" });
        let denied = decision(&running, &running.keys["key"], live).await;
        assert_eq!(denied["code"], "wrong_environment");
        let lacking = decision(
            &running,
            &running.keys["reader"],
            json!({ "requires": "write" }),
        )
        .await;
        assert_eq!(lacking["missing"], json!(["write"]));
        let none = running.ask("POST /v1/verify", &[], None).await;
        assert_eq!(none.status, 200);
        assert!(none.body.contains("missing_credential"), "{none:?}");
        let limited = &running.keys["limited"];
        assert_eq!(decision(&running, limited, json!({})).await["remaining"], 0);
        let denied = decision(&running, limited, json!({})).await;
        assert_eq!(denied["status"], 429);
        assert!(denied["retry_after_seconds"].as_u64().unwrap() > 3_000);
        running.stop().await;
    }
}

/// C4, spec section 6: before its secret is proved, a revoked key is a key like any other.
#[tokio::test]
async fn nothing_is_told_of_a_key_whose_secret_is_wrong() {
    let running = Running::start().await;
    let forged = decision(&running, &running.keys["forged"], json!({})).await;
    let unknown = decision(&running, &running.keys["unknown"], json!({})).await;
    assert_eq!(forged, unknown);
    assert_eq!(forged["key_id"], Value::Null);
    running.stop().await;
}

/// J12: a body is of the described shape, or is refused; and is never repeated.
#[tokio::test]
async fn a_body_of_another_shape_is_refused_without_an_echo() {
    let running = Running::start().await;
    let key = running.keys["key"].clone();
    let long = format!("{{\"requires\":\"{}\"}}", "a".repeat(70_000));
    let in_words = format!("{{\"requires\":\"{key}\"}}");
    let as_name = format!("{{\"{key}\":1}}");
    let deep = "[".repeat(20_000);
    for (body, kind, status) in [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ("null", "application/json", 400),
        ("\"read\"", "application/json", 400),
        ("{\"requires\":1}", "application/json", 400),
        ("{\"requires\":[\"read\"]}", "application/json", 400),
        ("{\"require\":\"read\"}", "application/json", 400),
        (
            "{\"requires\":\"read\",\"requires\":\"write\"}",
            "application/json",
            400,
        ),
        ("{\"requires\":\"read\"} {}", "application/json", 400),
        ("{\"requires\":\"\\ud800\"}", "application/json", 400),
        (&deep, "application/json", 400),
        (&as_name, "application/json", 400),
        ("{\"requires\":\"\"}", "application/json", 422),
        ("{\"requires\":\"read and write\"}", "application/json", 422),
        ("{\"requires\":\"*\"}", "application/json", 422),
        (&in_words, "application/json", 422),
        ("{\"method\":\"GET\"}", "application/json", 422),
        (
            "{\"method\":\"get\",\"path\":\"/\"}",
            "application/json",
            422,
        ),
        ("{\"ip\":\"192.0.2.256\"}", "application/json", 422),
        ("{\"ip\":\"192.0.2.0/24\"}", "application/json", 422),
        ("{\"environment\":\"LIVE\"}", "application/json", 422),
        ("{}", "text/plain", 415),
        ("{}", "application/x-www-form-urlencoded", 415),
        (&long, "application/json", 413),
    ] {
        let length = body.len();
        let text = format!(
            "POST /v1/verify HTTP/1.1\r\nHost: a.example\r\nX-API-Key: {key}\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = running.raw(text.into_bytes()).await;
        assert_eq!(answer.status, status, "{:.60}: {answer:?}", body);
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        for field in ["error", "message", "code"] {
            assert!(problem[field].is_string(), "{answer:?}");
        }
        assert!(!answer.body.contains(&key[20..]), "{answer:?}");
    }
    running.stop().await;
}
