//! Templates of the store, the keys that are issued from them, and many keys changed at once.

use serde_json::json;

use crate::keystile::{Keystile, text};

fn pro(program: &Keystile) {
    let add = [
        "template",
        "add",
        "pro",
        "--permission",
        "read",
        "--rate-limit",
        "100/1h",
        "--expires-in",
        "30d",
    ];
    let ran = program.run(&add);
    assert_eq!(ran.code, 0, "{}", ran.errors);
}

#[test]
fn keys_are_issued_from_a_stored_template() {
    let program = Keystile::new();
    pro(&program);
    let again = program.run(&["template", "add", "pro"]);
    assert_eq!(again.code, 2);
    assert!(again.errors.contains("exists already"), "{}", again.errors);
    let names: Vec<_> = program.objects(&["template", "list", "--json"]);
    let names: Vec<_> = names.iter().map(|it| text(it, "name")).collect();
    assert_eq!(names, ["monitoring", "integration", "admin", "pro"]);

    let (key, id) = program.issue(&["--template", "pro"]);
    let shown = program.object(&["show", &id, "--json"]);
    assert_eq!(shown["template"], "pro");
    assert_eq!(shown["lifetime_ms"], 30 * 86_400_000_u64);
    assert_eq!(program.decision(&key, &["--requires", "read"]), "allow");
    for more in [
        ["--permission", "write"],
        ["--expires-in", "never"],
        ["--rate-limit", "101/1h"],
    ] {
        let issue = [
            "issue",
            "--client",
            "x",
            "--template",
            "pro",
            more[0],
            more[1],
        ];
        let ran = program.run(&issue);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{more:?}");
        assert!(ran.errors.contains("template"), "{}", ran.errors);
    }
    let typo = program.run(&["issue", "--client", "x", "--template", "prp"]);
    assert_eq!(typo.code, 2);
    assert!(typo.errors.contains("did you mean pro?"), "{}", typo.errors);

    let removed = program.run(&["template", "remove", "pro"]);
    assert_eq!(
        (removed.code, removed.output.as_str()),
        (0, "removed pro\n")
    );
    assert_eq!(
        program.decision(&key, &["--requires", "read"]),
        "allow",
        "its keys stay"
    );
    assert_eq!(program.run(&["template", "remove", "pro"]).code, 2);
    assert_eq!(program.run(&["template", "remove", "admin"]).code, 2);
}

#[test]
fn a_changed_template_is_applied_to_keys_without_rights_of_their_own() {
    let program = Keystile::new();
    pro(&program);
    let (usual, _) = program.issue(&["--template", "pro"]);
    let (own, _) = program.issue(&["--template", "pro", "--rate-limit", "5/1h"]);
    let change = [
        "template",
        "change",
        "pro",
        "--add-permission",
        "write",
        "--clear-rate-limit",
    ];
    let ran = program.run(&change);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    assert!(
        ran.errors.contains("keystile template apply pro"),
        "{}",
        ran.errors
    );
    assert_eq!(
        program.decision(&usual, &["--requires", "write"]),
        "permission_missing"
    );

    let before = program.contents();
    let planned = program.run(&["template", "apply", "pro", "--dry-run"]);
    assert_eq!(
        (planned.code, planned.output.as_str()),
        (0, "would have changed 1 key\n")
    );
    assert!(
        planned.errors.contains("1 with rights of their own"),
        "{}",
        planned.errors
    );
    assert_eq!(program.contents(), before, "a dry run changes nothing");
    assert_eq!(
        program.run(&["template", "apply", "pro"]).output,
        "changed 1 key\n"
    );
    assert_eq!(program.decision(&usual, &["--requires", "write"]), "allow");
    assert_eq!(
        program.decision(&own, &["--requires", "write"]),
        "permission_missing"
    );
    let events = program.objects(&["events", "--kind", "changed", "--json"]);
    assert_eq!(events.len(), 1);
    assert_eq!(text(&events[0], "reason"), "template pro");

    let all = program.run(&["template", "apply", "pro", "--all", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&all.output).unwrap();
    assert_eq!((&all["changed"], &all["own"]), (&json!(1), &json!(0)));
    assert_eq!(program.decision(&own, &["--requires", "write"]), "allow");
}

#[test]
fn many_keys_are_changed_by_owner_and_by_list() {
    let program = Keystile::new();
    let (_, one) = program.issue(&["--owner", "acme", "--permission", "a"]);
    let (_, two) = program.issue(&["--owner", "acme", "--permission", "b"]);
    let (_, other) = program.issue(&["--owner", "globex"]);
    let before = program.contents();
    let slower = ["change", "--of-owner", "acme", "--rate-limit", "7/1h"];
    let dry = program.run(&[&slower[..], &["--dry-run"]].concat());
    assert_eq!(
        (dry.code, dry.output.as_str()),
        (0, "would have changed 2 keys\n")
    );
    assert_eq!(program.contents(), before, "a dry run changes nothing");
    assert_eq!(
        program.object(&[&slower[..], &["--json"]].concat())["changed"],
        2
    );
    for (id, limit) in [(&one, json!(7)), (&two, json!(7)), (&other, json!(null))] {
        let shown = program.object(&["show", id, "--json"]);
        assert_eq!(shown["rate_limit"]["limit"], limit, "{id}");
    }
    // One that cannot be changed is named, and the other is changed.
    let removal = ["change", "--of-owner", "acme", "--remove-permission", "a"];
    let ran = program.run(&removal);
    assert_eq!((ran.code, ran.output.as_str()), (1, "changed 1 key\n"));
    assert!(ran.errors.contains(&two), "{}", ran.errors);

    let list = format!("{other}\n{one}\n");
    let ran = program.feed(
        &["change", "--ids-from", "-", "--owner", "new"],
        list.as_bytes(),
    );
    assert_eq!(
        (ran.code, ran.output.as_str()),
        (0, "changed 2 keys\n"),
        "{}",
        ran.errors
    );
    // As by a filter, one that has ended is passed over: revoked, replaced, or expired.
    let (_, revoked) = program.issue(&["--owner", "globex"]);
    assert_eq!(program.run(&["revoke", &revoked]).code, 0);
    let (_, replaced) = program.issue(&["--owner", "globex"]);
    assert_eq!(program.run(&["rotate", &replaced]).code, 0);
    let list = format!("{revoked}\n{replaced}\n{one}\n");
    for dry in [&["--dry-run"][..], &[]] {
        let ids = ["change", "--ids-from", "-", "--owner", "newer"];
        let ran = program.feed(&[&ids[..], dry].concat(), list.as_bytes());
        assert_eq!(ran.code, 0, "{}", ran.errors);
        assert!(ran.output.ends_with("changed 1 key\n"), "{}", ran.output);
    }
    for id in [&revoked, &replaced] {
        let one = ["change", id, "--owner", "x", "--dry-run"];
        assert_eq!(program.run(&one).code, 1, "as the change itself is refused");
    }
    let unknown = format!("{one}\n1AAAAAAAAAAAAAAA\n");
    let ran = program.feed(
        &["change", "--ids-from", "-", "--owner", "x"],
        unknown.as_bytes(),
    );
    assert_eq!((ran.code, ran.output.as_str()), (2, ""));
    assert!(ran.errors.contains("nothing was changed"), "{}", ran.errors);
    let both = program.run(&["change", &one, "--of-owner", "acme", "--owner", "x"]);
    assert_eq!(both.code, 2);
}

#[test]
fn a_damaged_template_is_named_and_the_others_are_listed() {
    let program = Keystile::new();
    pro(&program);
    let raw = rusqlite::Connection::open(program.folder().join("keystile.db")).unwrap();
    let sql = "INSERT INTO api_key_templates (name, permissions) VALUES ('bad', 'x'), ('zz', '[]')";
    raw.execute(sql, []).unwrap();
    let ran = program.run(&["template", "list", "--json"]);
    assert_eq!((ran.code, ran.output.lines().count()), (1, 6));
    assert!(
        ran.errors.contains("template bad, column permissions"),
        "{}",
        ran.errors
    );
    let issue = program.run(&["issue", "--client", "x", "--template", "bad"]);
    assert_eq!((issue.code, issue.output.as_str()), (2, ""));
    assert_eq!(program.run(&["template", "remove", "bad"]).code, 0);
    assert_eq!(program.run(&["template", "list"]).code, 0);
}
