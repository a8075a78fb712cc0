//! Who did what, the filters of events, many keys at once, and what is removed.

use crate::keystile::{Keystile, text};

fn kinds(program: &Keystile, arguments: &[&str]) -> Vec<String> {
    let events = program.objects(&[&["events", "--json"], arguments].concat());
    events.iter().map(|event| text(event, "kind")).collect()
}

#[test]
fn events_say_who_ran_the_command() {
    let program = Keystile::new().with("USER", "ana");
    let (_, id) = program.issue(&["--owner", "acme"]);
    let bob = ["--actor", "bob"];
    let suspend = ["suspend", &id, "--reason", "unpaid invoice"];
    assert_eq!(program.run(&[&suspend[..], &bob].concat()).code, 0);
    let events = program.objects(&["events", "--json"]);
    let actor = text(&events[0], "actor");
    assert!(actor.starts_with("ana@") && actor.len() > 4, "{actor}");
    assert_eq!(text(&events[1], "actor"), "bob");
    assert_eq!(text(&events[1], "reason"), "unpaid invoice");
    let printed = program.run(&["events", &id]).output;
    assert!(printed.contains("unpaid invoice; by bob"), "{printed}");

    let named = Keystile::new().with("KEYSTILE_ACTOR", "deploy");
    named.issue(&[]);
    assert_eq!(
        text(&named.objects(&["events", "--json"])[0], "actor"),
        "deploy"
    );

    for bad in [
        "",
        "a\nb",
        &"x".repeat(256),
        &format!("dt_{}", "0".repeat(64)),
    ] {
        let ran = program.run(&["resume", &id, "--actor", bad]);
        assert_eq!(ran.code, 2);
        assert!(ran.errors.contains("--actor"), "{}", ran.errors);
        assert!(
            bad.is_empty() || !ran.errors.contains(bad),
            "{}",
            ran.errors
        );
    }
    let ran = program.run(&["resume", &id, "--reason", "a\tb"]);
    assert!(
        ran.code == 2 && ran.errors.contains("--reason"),
        "{}",
        ran.errors
    );
    assert_eq!(kinds(&program, &[]), ["issued", "suspended"]);
}

#[test]
fn events_are_selected() {
    let program = Keystile::new();
    let (_, one) = program.issue(&["--owner", "acme"]);
    let (_, other) = program.issue(&["--owner", "bolt"]);
    assert_eq!(program.run(&["revoke", &one]).code, 0);
    assert_eq!(kinds(&program, &["--owner", "acme"]), ["issued", "revoked"]);
    assert_eq!(kinds(&program, &["--kind", "revoked"]), ["revoked"]);
    assert_eq!(kinds(&program, &["--key", &other]), ["issued"]);
    assert_eq!(kinds(&program, &["--since", "2126-01-01"]).len(), 0);
    assert_eq!(
        kinds(&program, &["--until", "2126-01-01", "--owner", "bolt"]),
        ["issued"]
    );
    assert_eq!(kinds(&program, &["--until", "2020-01-01"]).len(), 0);
    for (arguments, named) in [
        (["--kind", "Revoked"], "--kind"),
        (["--since", "yesterday"], "--since"),
        (["--until", "x"], "--until"),
        (["--key", "x"], "--key"),
    ] {
        let ran = program.run(&[&["events"][..], &arguments].concat());
        assert_eq!(ran.code, 2);
        assert!(ran.errors.contains(named), "{}", ran.errors);
    }
}

#[test]
fn old_events_are_removed() {
    let program = Keystile::new();
    let (_, id) = program.issue(&[]);
    assert_eq!(program.run(&["revoke", &id]).code, 0);
    let prune = ["events", "prune", "--before", "2126-01-01"];
    let dry = program.run(&[&prune[..], &["--dry-run"]].concat());
    assert_eq!(
        (dry.code, dry.output.as_str()),
        (0, "would remove 2 events\n")
    );
    assert_eq!(kinds(&program, &[]), ["issued", "revoked"]);
    assert_eq!(
        program
            .run(&["events", "prune", "--older-than", "1d"])
            .output,
        "removed 0 events\n"
    );
    let ran = program.run(&[&prune[..], &["--actor", "ana", "--reason", "retention"]].concat());
    assert_eq!((ran.code, ran.output.as_str()), (0, "removed 2 events\n"));
    let left = program.objects(&["events", "--json"]);
    assert_eq!(left.len(), 1);
    assert_eq!(text(&left[0], "kind"), "pruned");
    assert_eq!(
        (text(&left[0], "actor"), text(&left[0], "reason")),
        ("ana".into(), "retention".into())
    );
    let again = program.object(&[&prune[..], &["--json"]].concat());
    assert_eq!(
        (again["removed"].as_u64(), again["dry_run"].as_bool()),
        (Some(0), Some(false))
    );
    assert_eq!(
        text(&program.object(&["show", &id, "--json"]), "status"),
        "revoked"
    );
    for bad in [
        &["events", "prune"][..],
        &[
            "events",
            "prune",
            "--before",
            "2026-01-01",
            "--older-than",
            "1d",
        ],
    ] {
        assert_eq!(program.run(bad).code, 2, "{bad:?}");
    }
}

#[test]
fn many_keys_are_revoked_and_suspended() {
    let program = Keystile::new();
    let ids: Vec<String> = (0..3)
        .map(|_| program.issue(&["--owner", "acme"]).1)
        .collect();
    let (_, other) = program.issue(&["--owner", "bolt", "--template", "monitoring"]);
    let status = |id: &str| text(&program.object(&["show", id, "--json"]), "status");

    for verb in ["revoke", "suspend"] {
        for bad in [
            &[verb][..],
            &[verb, "--dry-run"],
            &[verb, &ids[0], "--owner", "acme"],
        ] {
            let ran = program.run(bad);
            assert_eq!(ran.code, 2, "{bad:?}: {}", ran.output);
        }
        let dry = program.run(&[verb, "--owner", "acme", "--dry-run"]);
        assert!(
            dry.output.starts_with("would have ") && dry.output.contains("3 keys"),
            "{}",
            dry.output
        );
        let dry = program.object(&[verb, "--template", "monitoring", "--dry-run", "--json"]);
        assert_eq!(dry["dry_run"], true);
    }
    assert_eq!(status(&ids[0]), "active");
    assert_eq!(
        program
            .run(&["suspend", "--owner", "acme", "--client", "Bolt"])
            .output,
        "suspended 0 keys\n"
    );
    assert_eq!(
        program.run(&["suspend", "--client", "Acme Ltd"]).output,
        "suspended 4 keys\n"
    );
    let ran = program.run(&["revoke", "--owner", "acme", "--reason", "left"]);
    assert_eq!((ran.code, ran.output.as_str()), (0, "revoked 3 keys\n"));
    assert_eq!(
        (status(&ids[2]), status(&other)),
        ("revoked".into(), "suspended".into())
    );
    assert_eq!(
        kinds(&program, &["--owner", "acme", "--kind", "revoked"]).len(),
        3
    );
    assert_eq!(
        program.run(&["revoke", "--owner", "acme"]).output,
        "revoked 0 keys\n"
    );
}

#[test]
fn a_list_of_ids_is_checked_before_anything_is_changed() {
    let program = Keystile::new();
    let ids: Vec<String> = (0..2).map(|_| program.issue(&[]).1).collect();
    let from = |verb: &str, more: &[&str], text: &str| {
        program.feed(
            &[&[verb, "--ids-from", "-"], more].concat(),
            text.as_bytes(),
        )
    };
    let list = format!("{}\n\n{}\r\n", ids[0], ids[1]);
    for (bad, named) in [
        (format!("{list}nonsense\n"), "line 4"),
        ("\n".repeat(16 * 1024 * 1024 + 1), "--ids-from"),
        (format!("{list}1AbCdEfGhIjKlMnO\n"), "1AbCdEfGhIjKlMnO"),
    ] {
        let ran = from("revoke", &[], &bad);
        assert_eq!(ran.code, 2);
        assert!(ran.errors.contains(named), "{}", ran.errors);
    }
    assert_eq!(
        kinds(&program, &["--kind", "revoked"]).len(),
        0,
        "nothing was changed"
    );
    let twice = format!("{list}{list}");
    assert_eq!(
        from("suspend", &["--dry-run"], &twice).output,
        "would have suspended 2 keys\n"
    );
    assert_eq!(from("suspend", &[], &list).output, "suspended 2 keys\n");
    assert_eq!(from("revoke", &[], &list).output, "revoked 2 keys\n");
    assert_eq!(from("revoke", &[], "").output, "revoked 0 keys\n");
}

#[test]
fn only_ended_keys_are_removed() {
    let program = Keystile::new();
    let (_, live) = program.issue(&[]);
    let (key, ended) = program.issue(&[]);
    assert_eq!(program.run(&["revoke", &ended, "--reason", "left"]).code, 0);
    let prune = ["prune", "--ended-before", "2126-01-01"];
    let dry = program.run(&[&prune[..], &["--dry-run"]].concat());
    assert_eq!((dry.code, dry.output.as_str()), (0, "would remove 1 key\n"));
    assert_eq!(
        program.run(&["prune", "--older-than", "1d"]).output,
        "removed 0 keys\n"
    );
    let ran = program.run(&[&prune[..], &["--actor", "ana"]].concat());
    assert_eq!((ran.code, ran.output.as_str()), (0, "removed 1 key\n"));
    assert_eq!(program.run(&["show", &ended]).code, 2);
    assert_eq!(
        text(&program.object(&["show", &live, "--json"]), "status"),
        "active"
    );
    assert_eq!(program.decision(&key, &[]), "invalid_key");
    let listed = program.objects(&["events", &ended, "--json"]);
    let last = listed.last().unwrap();
    assert_eq!(
        (text(last, "kind"), text(last, "actor")),
        ("deleted".into(), "ana".into())
    );
    assert_eq!(listed.len(), 3, "its events stay");
    for bad in [
        &["prune"][..],
        &[
            "prune",
            "--ended-before",
            "2026-01-01",
            "--older-than",
            "1d",
        ],
    ] {
        assert_eq!(program.run(bad).code, 2, "{bad:?}");
    }
}
