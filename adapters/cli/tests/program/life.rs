//! The life of a key, from its issue to its end.

use crate::keystile::{Keystile, text};

const READ: [&str; 4] = ["--requires", "read", "--path", "/api/data/7"];

#[test]
fn the_whole_life_of_a_key() {
    let program = Keystile::new();
    let rules = [
        "--permission",
        "read",
        "--endpoint",
        "GET /api/data/*",
        "--env",
        "live",
        "--network",
        "192.0.2.0/24",
        "--network",
        "2001:db8::/32",
    ];
    let (key, id) = program.issue(&rules);
    let ask = |arguments: &[&str]| program.decision(&key, arguments);
    let from = ["--ip", "192.0.2.7"];

    assert_eq!(ask(&[&READ[..], &from].concat()), "allow");
    assert_eq!(
        ask(&[&READ[..], &["--ip", "::ffff:192.0.2.7"]].concat()),
        "allow"
    );
    assert_eq!(
        ask(&[&READ[..], &from, &["--env", "live"]].concat()),
        "allow"
    );
    assert_eq!(
        ask(&[&READ[..], &from, &["--env", "test"]].concat()),
        "wrong_environment"
    );
    assert_eq!(ask(&READ), "network_not_allowed");
    assert_eq!(
        ask(&[&READ[..], &["--ip", "198.51.100.1"]].concat()),
        "network_not_allowed"
    );
    assert_eq!(ask(&from), "endpoint_not_allowed");
    assert_eq!(
        ask(&[&from[..], &["--path", "/api/data"]].concat()),
        "endpoint_not_allowed"
    );
    let post = ["--method", "POST", "--path", "/api/data/7"];
    assert_eq!(ask(&[&from[..], &post].concat()), "endpoint_not_allowed");
    assert_eq!(
        ask(&[&from[..], &["--path", "/api/data/../x"]].concat()),
        "path_not_canonical"
    );
    let write = ["--requires", "read AND write", "--path", "/api/data/7"];
    let (_, answer) = program.verify(&key, &[&from[..], &write].concat());
    assert_eq!(text(&answer, "code"), "permission_missing");
    assert_eq!(answer["missing"], serde_json::json!(["write"]));
    assert_eq!(answer["status"], 403);

    let allowed = [&READ[..], &from].concat();
    assert_eq!(program.run(&["suspend", &id]).code, 0);
    assert_eq!(ask(&allowed), "key_suspended");
    assert_eq!(program.run(&["resume", &id]).code, 0);
    assert_eq!(ask(&allowed), "allow");

    let rotated = program.object(&["rotate", &id, "--overlap", "1h", "--json"]);
    assert_eq!(text(&rotated, "replaces"), id);
    let (new_key, new_id) = (text(&rotated, "key"), text(&rotated, "key_id"));
    assert!(new_key.starts_with("ks_live_") && new_key != key && new_id != id);
    let (_, answer) = program.verify(&key, &allowed);
    assert_eq!(text(&answer, "decision"), "allow");
    assert_eq!(text(&answer, "replaced_by"), new_id);
    assert_eq!(text(&answer, "ends_at"), text(&rotated, "replaced_ends_at"));
    assert_eq!(program.decision(&new_key, &allowed), "allow");

    assert_eq!(program.run(&["revoke", &id, "--reason", "moved"]).code, 0);
    assert_eq!(ask(&allowed), "key_revoked");
    assert_eq!(program.decision(&new_key, &allowed), "allow");
    assert_eq!(
        program.run(&["resume", &id]).code,
        2,
        "there is no way back"
    );
    assert_eq!(program.run(&["rotate", &id]).code, 2);
    assert_eq!(ask(&allowed), "key_revoked");

    let kinds: Vec<String> = program
        .objects(&["events", "--json", &id])
        .iter()
        .map(|event| text(event, "kind"))
        .collect();
    assert_eq!(
        kinds,
        ["issued", "suspended", "resumed", "rotated", "revoked"]
    );
}

#[test]
fn standard_output_of_issue_and_rotate_is_the_key_and_a_line_end() {
    let program = Keystile::new();
    for format in ["structured", "opaque"] {
        let ran = program.run(&[
            "issue", "--client", "Acme Ltd", "--format", format, "--prefix", "acme",
        ]);
        assert_eq!(ran.code, 0);
        let key = ran.output.strip_suffix('\n').unwrap();
        assert!(key.starts_with("acme_") && !key.contains(char::is_whitespace));
        assert!(!ran.errors.contains(key));
        assert_eq!(program.decision(key, &[]), "allow");

        let listed = program.objects(&["list", "--json"]);
        let id = text(listed.last().unwrap(), "key_id");
        assert!(ran.errors.contains(&id) && ran.errors.contains("only time the key is shown"));
        let ran = program.run(&["rotate", &id, "--overlap", "0s"]);
        assert_eq!(ran.code, 0);
        let successor = ran.output.strip_suffix('\n').unwrap();
        assert!(successor.starts_with("acme_") && successor.len() == key.len());
        assert!(!ran.errors.contains(successor));
        assert_eq!(program.decision(key, &[]), "key_replaced");
        assert_eq!(program.decision(successor, &[]), "allow");
    }
}

#[test]
fn limits_and_uses_are_spent_and_shared_by_a_lineage() {
    let program = Keystile::new();
    let (key, id) = program.issue(&["--rate-limit", "3/1h"]);
    assert_eq!(program.verify(&key, &[]).1["remaining"], 2);
    let rotated = program.object(&["rotate", &id, "--json"]);
    let successor = text(&rotated, "key");
    assert_eq!(program.verify(&successor, &[]).1["remaining"], 1);
    assert_eq!(
        program.verify(&key, &["--requires", "read"]).1["code"],
        "permission_missing"
    );
    assert_eq!(program.verify(&key, &[]).1["remaining"], 0);
    let (exit, answer) = program.verify(&successor, &[]);
    assert_eq!((exit, answer["code"].as_str()), (1, Some("rate_limited")));
    assert_eq!(answer["status"], 429);
    assert!((1..=1_200).contains(&answer["retry_after_seconds"].as_u64().unwrap()));

    let (key, _) = program.issue(&["--uses", "2"]);
    assert_eq!(program.verify(&key, &[]).1["remaining_uses"], 1);
    assert_eq!(program.verify(&key, &[]).1["remaining_uses"], 0);
    assert_eq!(program.decision(&key, &[]), "uses_spent");
    let (key, _) = program.issue(&["--rate-limit", "0/1h"]);
    assert_eq!(program.decision(&key, &[]), "rate_limited");
}

#[test]
fn the_first_use_of_a_successor_ends_the_overlap_where_that_was_asked() {
    let program = Keystile::new();
    let (key, id) = program.issue(&[]);
    let rotated = program.object(&["rotate", &id, "--end-on-first-use", "--json"]);
    assert_eq!(program.decision(&key, &[]), "allow");
    assert_eq!(program.decision(&text(&rotated, "key"), &[]), "allow");
    assert_eq!(program.decision(&key, &[]), "key_replaced");
}

#[test]
fn a_template_gives_and_bounds_what_a_key_may_do() {
    let program = Keystile::new();
    let (key, id) = program.issue(&["--template", "monitoring"]);
    let shown = program.object(&["show", &id, "--json"]);
    assert_eq!(shown["permissions"], serde_json::json!(["read"]));
    assert_eq!(
        shown["allowed_endpoints"],
        serde_json::json!(["/api/metrics/*"])
    );
    assert_eq!(shown["rate_limit"]["limit"], 100);
    assert_eq!(shown["template"], "monitoring");
    assert_eq!(
        program.decision(&key, &["--requires", "read", "--path", "/api/metrics/cpu"]),
        "allow"
    );

    program.issue(&[
        "--template",
        "admin",
        "--permission",
        "read",
        "--rate-limit",
        "10/1h",
    ]);
    let before = program.contents();
    for more in [
        ["--permission", "write"],
        ["--rate-limit", "101/1h"],
        ["--endpoint", "/*"],
    ] {
        let ran = program.run(
            &[
                &["issue", "--client", "x", "--template", "monitoring"],
                &more[..],
            ]
            .concat(),
        );
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{more:?}");
        assert!(ran.errors.contains("template"), "{}", ran.errors);
    }
    assert_eq!(program.contents(), before);
}

#[test]
fn doing_it_again_is_said_and_is_no_error() {
    let program = Keystile::new();
    let (_, id) = program.issue(&[]);
    assert_eq!(
        program.run(&["resume", &id]).output,
        format!("already active: {id}  Acme Ltd\n")
    );
    assert_eq!(
        program.run(&["suspend", &id]).output,
        format!("suspended {id}  Acme Ltd\n")
    );
    assert_eq!(
        program.run(&["suspend", &id]).output,
        format!("already suspended: {id}  Acme Ltd\n")
    );
    assert_eq!(
        program.run(&["revoke", &id, "--reason", "first"]).output,
        format!("revoked {id}  Acme Ltd\n")
    );
    let again = program.run(&["revoke", &id, "--reason", "second"]);
    assert_eq!(
        (again.code, again.output),
        (0, format!("already revoked: {id}  Acme Ltd\n"))
    );
    let shown = program.object(&["show", &id, "--json"]);
    assert_eq!(
        (shown["revoke_reason"].as_str(), shown["live"].as_bool()),
        (Some("first"), Some(false))
    );
    assert_eq!(program.objects(&["events", "--json"]).len(), 3);
}

#[test]
fn a_plan_names_what_ends_soon() {
    let program = Keystile::new();
    let (_, soon) = program.issue(&["--expires-in", "3d", "--email", "ops@acme.example"]);
    let (_, later) = program.issue(&["--expires-in", "25d"]);
    program.issue(&["--expires-in", "89d"]);
    let due = |arguments: &[&str]| -> Vec<(String, String)> {
        program
            .objects(&[&["plan", "--json"], arguments].concat())
            .iter()
            .map(|due| (text(due, "key_id"), text(due, "action")))
            .collect()
    };
    let of = |id: &String, action: &str| (id.clone(), action.to_owned());
    assert_eq!(due(&[]), [of(&soon, "notice")]);
    assert_eq!(
        due(&["--within", "30d"]),
        [of(&soon, "notice"), of(&later, "notice")]
    );
    // A rotation gives three days again, so its overlap is shorter than they are: not yet due.
    assert!(due(&["--within", "1d"]).is_empty());
    let table = program.run(&["plan"]).output;
    assert_eq!(table.lines().count(), 2);
    assert!(
        table
            .lines()
            .skip(1)
            .all(|row| row.starts_with(&soon) && row.ends_with("Acme Ltd"))
    );
}

#[test]
fn peppers_are_turned_over_without_a_refusal() {
    let (one, two) = (
        format!("1:{}", "1a".repeat(32)),
        format!("2:{}", "2b".repeat(32)),
    );
    let program = Keystile::new().with("KEYSTILE_PEPPER", &one);
    let keys = ["structured", "opaque"].map(|format| program.issue(&["--format", format]).0);
    let judge = |program: &Keystile| -> Vec<String> {
        keys.iter().map(|key| program.decision(key, &[])).collect()
    };
    assert_eq!(judge(&program), ["allow", "allow"]);
    let program = program.with("KEYSTILE_PEPPER", "");
    assert_eq!(
        judge(&program),
        ["pepper_unavailable", "invalid_key"],
        "without the pepper: an opaque key is found by its digest, which cannot be made"
    );
    let program = program.with("KEYSTILE_PEPPER", &two);
    assert_eq!(
        judge(&program),
        ["pepper_unavailable", "invalid_key"],
        "under another"
    );
    let program = program.with("KEYSTILE_PEPPER", &format!("{two},{one}"));
    assert_eq!(
        judge(&program),
        ["allow", "allow"],
        "the old one is retired"
    );
    // Only on request: another process may not know the new pepper yet.
    let kept = program.with("KEYSTILE_PEPPER", &two);
    assert_eq!(judge(&kept), ["pepper_unavailable", "invalid_key"]);
    let program = kept.with("KEYSTILE_PEPPER", &format!("{two},{one}"));
    for key in &keys {
        assert_eq!(program.decision(key, &["--rehash"]), "allow");
    }
    // That use renewed the digests, so the old pepper is no longer needed.
    let program = program.with("KEYSTILE_PEPPER", &two);
    assert_eq!(judge(&program), ["allow", "allow"]);
    // The digest of a successor uses the current pepper too.
    let (_, id) = program.issue(&[]);
    let successor = text(&program.object(&["rotate", &id, "--json"]), "key");
    assert_eq!(program.decision(&successor, &[]), "allow");
    let program = program.with("KEYSTILE_PEPPER", &one);
    assert_eq!(program.decision(&successor, &[]), "pepper_unavailable");
}

#[test]
fn lists_are_filtered_limited_and_read_in_pages() {
    let program = Keystile::new();
    for owner in ["a", "b", "a"] {
        program.issue(&["--owner", owner]);
    }
    program.object(&["issue", "--client", "Globex", "--json"]);
    let count = |arguments: &[&str]| {
        program
            .objects(&[&["list", "--json"], arguments].concat())
            .len()
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&["--owner", "a"]), 2);
    assert_eq!(count(&["--owner", "A"]), 0);
    assert_eq!(count(&["--client", "Globex"]), 1);
    assert_eq!(count(&["--owner", "a", "--client", "Globex"]), 0);
    assert_eq!(count(&["--limit", "3"]), 3);
    assert_eq!(
        program
            .run(&["list", "--limit", "2"])
            .output
            .lines()
            .count(),
        3
    );
    assert_eq!(
        program.objects(&["events", "--json", "--after", "3"]).len(),
        1
    );
}
