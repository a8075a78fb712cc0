//! A change of a key, and what it prints.

use serde_json::json;

use crate::keystile::{Keystile, text};

#[test]
fn a_key_is_changed_and_the_output_has_the_values() {
    let program = Keystile::new();
    let (key, id) = program.issue(&["--permission", "read", "--uses", "5"]);
    let write = ["--requires", "write"];
    assert_eq!(program.decision(&key, &write), "permission_missing");
    let asked = [
        "--add-permission",
        "write",
        "--uses",
        "70",
        "--rate-limit",
        "5000/1h",
        "--email",
        "new@acme.example",
        "--expires-in",
        "never",
    ];
    let ran = program.run(&[&["change", &id], &asked[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.errors);
    let lines: Vec<_> = ran.output.lines().collect();
    assert!(lines[0].starts_with(&format!("changed {id}")));
    assert!(lines.contains(&"  permissions        read -> read, write"));
    assert!(lines.contains(&"  client_email"), "without its value");
    assert!(lines.contains(&"  remaining_uses     5 -> 70"), "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("-> never")));
    assert!(!ran.output.contains("new@acme.example"));
    assert_eq!(program.decision(&key, &write), "allow");

    let shown = program.object(&["--json", "show", &id]);
    assert_eq!(shown["rate_limit"]["limit"], 5000);
    assert_eq!(shown["expires_at"], json!(null));
    assert_eq!(shown["version"], 2);
    let events = program.objects(&["--json", "events", &id]);
    let event = events.last().unwrap();
    assert_eq!(text(event, "kind"), "changed");
    let changed = event["changes"].as_array().unwrap();
    let uses = json!({"field": "remaining_uses", "from": "5", "to": "70"});
    assert!(changed.contains(&uses), "{changed:?}");
    let end = changed
        .iter()
        .find(|one| one["field"] == "expires_at")
        .unwrap();
    assert!(end["from"].as_str().unwrap().ends_with('Z'), "{end}");

    let cleared = program.object(&[
        "--json",
        "change",
        &id,
        "--clear-rate-limit",
        "--clear-uses",
    ]);
    assert_eq!(cleared["rate_limit"], json!(null));
    assert_eq!(cleared["remaining_uses"], json!(null));
    let none = program.object(&["--json", "change", &id, "--no-permissions"]);
    assert_eq!(none["permissions"], json!([]));
    assert_eq!(program.decision(&key, &write), "permission_missing");
    let again = program.run(&["change", &id, "--clear-rate-limit"]);
    assert_eq!(again.code, 0);
    assert!(again.output.starts_with("nothing to change:"));
}

#[test]
fn what_cannot_be_changed_is_refused_with_what_was_expected() {
    let program = Keystile::new();
    let (_, id) = program.issue(&["--template", "monitoring"]);
    for (arguments, expected) in [
        (&["--uses", "5", "--clear-uses"][..], "--clear-uses"),
        (
            &["--no-permissions", "--add-permission", "a"],
            "--no-permissions",
        ),
        (
            &["--remove-permission", "other"],
            "must be one of the key's",
        ),
        (&["--add-permission", "write"], "set or clear the template"),
        (&["--rate-limit", "101/1h"], "set or clear the template"),
    ] {
        let ran = program.run(&[&["change", &id], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.errors.contains(expected), "{}", ran.errors);
    }
    let more = [
        "change",
        &id,
        "--add-permission",
        "write",
        "--clear-template",
    ];
    assert_eq!(program.run(&more).code, 0);
    assert_eq!(program.run(&["revoke", &id, "--reason", "left"]).code, 0);
    let ran = program.run(&["change", &id, "--client", "x"]);
    assert_eq!(ran.code, 2);
    assert!(ran.errors.contains("revoked"), "{}", ran.errors);
}
