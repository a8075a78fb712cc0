//! The output of `--json`: the fields that programs may rely on.

use serde_json::Value;

use crate::keystile::Keystile;

fn fields(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

const ANSWER: [&str; 21] = [
    "client_name",
    "code",
    "decision",
    "ends_at",
    "environment",
    "expires_at",
    "headers",
    "key_id",
    "limit",
    "message",
    "metadata",
    "missing",
    "owner",
    "permissions",
    "remaining",
    "remaining_uses",
    "replaced_by",
    "reset_seconds",
    "retry_after_seconds",
    "status",
    "template",
];
const RECORD: [&str; 29] = [
    "allowed_endpoints",
    "allowed_networks",
    "client_email",
    "client_name",
    "created_at",
    "derived_from",
    "ends_at_first_use",
    "environment",
    "expires_at",
    "key_id",
    "key_prefix",
    "last_used_at",
    "lifetime_ms",
    "lineage",
    "live",
    "metadata",
    "overlap_until",
    "owner",
    "pepper",
    "permissions",
    "rate_limit",
    "remaining_uses",
    "replaced_by",
    "revoke_reason",
    "revoked_at",
    "status",
    "suspended_with",
    "template",
    "version",
];

fn sorted(mut fields: Vec<&str>) -> Vec<&str> {
    fields.sort_unstable();
    fields
}

#[test]
fn objects_have_these_fields() {
    let program = Keystile::new();
    let issued = program.object(&[
        "issue",
        "--client",
        "x",
        "--json",
        "--metadata",
        "{\"a\":\n[1.50]}",
    ]);
    assert_eq!(sorted(fields(&issued)), ["key", "key_id", "record"]);
    assert_eq!(sorted(fields(&issued["record"])), RECORD);
    let id = issued["key_id"].as_str().unwrap();
    let rotated = program.object(&["rotate", id, "--json"]);
    assert_eq!(
        sorted(fields(&rotated)),
        ["key", "key_id", "record", "replaced_ends_at", "replaces"]
    );
    for key in [issued["key"].as_str().unwrap(), "nonsense", ""] {
        let (_, answer) = program.verify(key, &[]);
        assert_eq!(sorted(fields(&answer)), ANSWER);
    }
    for verb in [
        &["suspend", id][..],
        &["resume", id],
        &["show", id],
        &["revoke", id, "--reason", "x"],
    ] {
        let record = program.object(&[verb, &["--json"]].concat());
        assert_eq!(sorted(fields(&record)), RECORD, "{verb:?}");
        assert_eq!(record["metadata"], serde_json::json!({"a": [1.5]}));
    }
    for record in program.objects(&["list", "--json"]) {
        assert_eq!(sorted(fields(&record)), RECORD);
    }
    for event in program.objects(&["events", "--json"]) {
        assert_eq!(
            sorted(fields(&event)),
            [
                "actor",
                "at",
                "changes",
                "key_id",
                "kind",
                "number",
                "origin",
                "reason",
                "successor",
                "version"
            ]
        );
    }
    for template in program.objects(&["template", "list", "--json"]) {
        assert_eq!(
            sorted(fields(&template)),
            [
                "allowed_endpoints",
                "changed_at",
                "created_at",
                "lifetime_ms",
                "name",
                "permissions",
                "preset",
                "rate_limit",
                "version"
            ]
        );
    }
    for due in program.objects(&["plan", "--within", "100d", "--json"]) {
        assert_eq!(
            sorted(fields(&due)),
            [
                "action",
                "at",
                "client_email",
                "client_name",
                "key_id",
                "lead"
            ]
        );
    }
    let ran = program.feed(&["inspect", "--json"], b"x");
    let inspected = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(
        sorted(fields(&inspected)),
        ["environment", "finding", "hint", "key_id"]
    );
}

#[test]
fn allowed_and_denied_answers_have_these_values() {
    let program = Keystile::new();
    let (key, id) = program.issue(&["--rate-limit", "60/1m", "--uses", "5"]);
    let (_, answer) = program.verify(&key, &[]);
    let expected = serde_json::json!({
        "decision": "allow", "code": null, "status": 200, "message": null, "key_id": id,
        "client_name": "Acme Ltd", "missing": [], "limit": 60, "remaining": 59,
        "reset_seconds": 1, "retry_after_seconds": null, "remaining_uses": 4,
        "replaced_by": null, "ends_at": null,
        "owner": null, "environment": null, "permissions": [], "template": null, "metadata": null,
        "expires_at": answer["expires_at"],
        "headers": {
            "ratelimit-limit": "60", "ratelimit-remaining": "59", "ratelimit-reset": "1",
            "ratelimit-policy": "60;w=60",
        },
    });
    assert!(answer["expires_at"].is_string());
    assert_eq!(answer, expected);
    let (_, answer) = program.verify("nonsense", &[]);
    assert_eq!(answer["decision"], "deny");
    assert_eq!(answer["code"], "invalid_key");
    assert_eq!(answer["status"], 401);
    assert!(answer["message"].as_str().unwrap().contains("not valid"));
    assert!(answer["key_id"].is_null() && answer["client_name"].is_null());
    assert!(answer["permissions"].is_null() && answer["headers"] == serde_json::json!({}));
}

#[test]
fn instants_are_rfc_3339_with_milliseconds() {
    let program = Keystile::new();
    let issued = program.object(&["issue", "--client", "x", "--json", "--expires-in", "1h"]);
    for field in ["created_at", "expires_at"] {
        let instant = issued["record"][field].as_str().unwrap();
        let shape: String = instant
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    }
    let never = program.object(&["issue", "--client", "x", "--json", "--expires-in", "never"]);
    assert!(never["record"]["expires_at"].is_null());
}

#[test]
fn an_unknown_key_and_a_wrong_secret_look_the_same() {
    let program = Keystile::new();
    let elsewhere = Keystile::new();
    let (_, id) = program.issue(&[]);
    let (stranger, stranger_id) = elsewhere.issue(&[]);
    let (exit, unknown) = program.verify(&stranger, &[]);
    assert_eq!(exit, 1);
    let (_, malformed) = program.verify(&stranger.replace(&stranger_id, &id), &[]);
    assert_eq!(unknown, malformed);
}
