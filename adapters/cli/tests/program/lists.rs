//! `keystile list`: its filters, its columns and its count; and keys in the place of ids.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use keystile_store::KeyStatus;

use crate::keystile::{Keystile, text};

/// Keys of each status that a program can make at once, and the ids of those with this status.
struct Keys {
    program: Keystile,
    ids: Vec<(KeyStatus, String)>,
}

impl Keys {
    fn new() -> Self {
        let program = Keystile::new();
        let (_, active) = program.issue(&["--env", "live", "--expires-in", "20d"]);
        let (_, revoked) = program.issue(&["--expires-in", "20d", "--owner", "tenant-7"]);
        program.object(&["revoke", &revoked, "--reason", "leaked", "--json"]);
        let (_, suspended) = program.issue(&["--template", "monitoring", "--expires-in", "never"]);
        program.object(&["suspend", &suspended, "--json"]);
        let (_, retiring) = program.issue(&["--expires-in", "never"]);
        program.object(&["rotate", &retiring, "--overlap", "2d", "--json"]);
        let (_, replaced) = program.issue(&["--expires-in", "90d"]);
        program.object(&["rotate", &replaced, "--overlap", "0s", "--json"]);
        let ids = vec![
            (KeyStatus::Active, active),
            (KeyStatus::Revoked, revoked),
            (KeyStatus::Suspended, suspended),
            (KeyStatus::Retiring, retiring),
            (KeyStatus::Replaced, replaced),
        ];
        Self { program, ids }
    }

    fn id(&self, status: KeyStatus) -> &str {
        let found = self.ids.iter().find(|(of, _)| *of == status);
        &found.unwrap().1
    }

    fn listed(&self, options: &[&str]) -> Vec<String> {
        let keys = self
            .program
            .objects(&[&["list", "--json"], options].concat());
        keys.iter().map(|key| text(key, "key_id")).collect()
    }

    /// Whether these options list the keys of these statuses, and none other of [`Self::ids`].
    fn lists(&self, options: &[&str], expected: &[KeyStatus]) {
        let listed = self.listed(options);
        for (status, id) in &self.ids {
            let is_listed = listed.contains(id);
            assert_eq!(is_listed, expected.contains(status), "{status} {options:?}");
        }
    }
}

#[test]
fn each_filter_lists_its_keys() {
    use KeyStatus::{Active, Replaced, Retiring, Revoked, Suspended};
    let keys = Keys::new();
    let all = [Active, Revoked, Suspended, Retiring, Replaced];
    keys.lists(&[], &all);
    for status in all {
        keys.lists(&["--status", status.as_str()], &[status]);
    }
    keys.lists(&["--status", "expired"], &[]);
    keys.lists(&["--env", "live"], &[Active]);
    keys.lists(&["--environment", "test"], &[]);
    keys.lists(&["--template", "monitoring"], &[Suspended]);
    keys.lists(&["--id-prefix", keys.id(Revoked)], &[Revoked]);
    keys.lists(&["--id-prefix", "0"], &[]);
    // What was revoked or replaced has ended already.
    keys.lists(&["--expires-within", "30d"], &[Active, Retiring]);
    keys.lists(&["--expires-within", "3d"], &[Retiring]);
    keys.lists(
        &["--expires-within", "9999999d", "--env", "live"],
        &[Active],
    );
    keys.lists(&["--unused-for", "0s"], &all);
    keys.lists(&["--unused-for", "1h"], &[]);
    keys.lists(&["--unused-for", "9999999d"], &[]);
    keys.lists(&["--issued-since", "2026-01-01"], &all);
    keys.lists(&["--issued-since", "2126-01-01T00:00:00+02:00"], &[]);
    keys.lists(&["--issued-until", "2126-01-01"], &all);
    keys.lists(&["--issued-until", "2026-01-01"], &[]);
    keys.lists(&["--owner", "tenant-7", "--status", "revoked"], &[Revoked]);
    keys.lists(&["--owner", "tenant-7", "--status", "active"], &[]);
}

#[test]
fn tables_and_json_have_the_same_word() {
    let keys = Keys::new();
    for arguments in [&["list"][..], &["list", "--wide"]] {
        let table = keys.program.run(arguments).output;
        for key in keys.program.objects(&["list", "--json"]) {
            let (id, status) = (text(&key, "key_id"), text(&key, "status"));
            let row = table.lines().find(|line| line.starts_with(&id)).unwrap();
            assert_eq!(row.split_whitespace().nth(1), Some(&*status), "{row}");
        }
    }
}

/// A key that does not expire and was rotated has an end.
#[test]
fn a_row_has_the_end_of_the_overlap() {
    let keys = Keys::new();
    let id = keys.id(KeyStatus::Retiring);
    let key = keys.program.object(&["show", id, "--json"]);
    assert!(key["expires_at"].is_null());
    let until = text(&key, "overlap_until").replace(".000Z", "Z");
    let day = until.get(..10).unwrap();
    let table = keys.program.run(&["list"]).output;
    let row = table.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(row.contains(day) && !row.contains("never"), "{row}");
}

#[test]
fn a_wide_list_has_more_columns() {
    let keys = Keys::new();
    let id = keys.id(KeyStatus::Revoked);
    let key = keys.program.object(&["show", id, "--json"]);
    let narrow = keys.program.run(&["list"]).output;
    let wide = keys.program.run(&["list", "--wide"]).output;
    for (text, name) in [
        (text(&key, "key_prefix"), "KEY PREFIX"),
        ("tenant-7".to_owned(), "OWNER"),
        (String::new(), "LAST USED"),
    ] {
        assert!(wide.contains(&text) && wide.contains(name), "{wide}");
        assert!(!narrow.contains(name), "{narrow}");
    }
}

#[test]
fn a_count_is_that_of_the_list() {
    let keys = Keys::new();
    let ran = keys.program.run(&["list", "--count"]);
    assert_eq!((ran.code, &*ran.output), (0, "7\n"));
    let ran = keys.program.run(&["list", "--count", "--limit", "3"]);
    assert_eq!(ran.output, "3\n");
    let counted = ["list", "--count", "--status", "revoked", "--json"];
    assert_eq!(keys.program.object(&counted)["count"], 1);
    let none = keys.program.run(&["list", "--count", "--owner", "nobody"]);
    assert_eq!(none.output, "0\n");
}

/// The id is in a structured key, so it can be named. The key is neither read nor shown.
#[test]
fn a_key_in_the_place_of_its_id_is_answered_with_the_id() {
    let program = Keystile::new();
    for (format, expected) in [("structured", "its id is "), ("opaque", "verify prints")] {
        let (key, id) = program.issue(&["--format", format]);
        for arguments in [
            &["show", &*key][..],
            &["revoke", &key, "--reason", "leaked"],
            &["suspend", &key],
            &["resume", &key],
            &["rotate", &key],
            &["events", &key],
        ] {
            let ran = program.run(arguments);
            let command = arguments.first();
            assert_eq!((ran.code, &*ran.output), (2, ""), "{command:?}");
            assert!(ran.errors.contains(expected), "{}", ran.errors);
            assert!(!ran.errors.contains(&key), "{command:?}");
            let names_it = ran.errors.contains(&id);
            assert_eq!(names_it, format == "structured", "{}", ran.errors);
        }
        assert_eq!(program.decision(&key, &[]), "allow");
    }
}

#[test]
fn a_list_has_the_order_that_is_asked_for() {
    let keys = Keys::new();
    let all = keys.listed(&[]);
    let mut by_id = all.clone();
    by_id.sort_unstable();
    assert_eq!(keys.listed(&["--sort", "id"]), by_id);
    assert_eq!(keys.listed(&["--sort", "last-used"]), by_id);
    assert_eq!(keys.listed(&["--sort", "inserted"]), all);
    let by_end = keys.listed(&["--sort", "expires"]);
    assert_eq!(by_end.first().unwrap(), keys.id(KeyStatus::Revoked));
    let ends = ["--expires-within", "30d", "--sort", "expires"];
    let [retiring, active] = [KeyStatus::Retiring, KeyStatus::Active].map(|status| keys.id(status));
    assert_eq!(keys.listed(&ends), [retiring, active]);
    let refused = keys.program.run(&["list", "--sort", "name"]);
    assert_eq!((refused.code, &*refused.output), (2, ""));
    assert!(refused.errors.contains("last-used"), "{}", refused.errors);
}

/// A reader that has read enough is no error, also if the list is longer than a pipe holds.
#[test]
fn a_reader_of_the_first_lines_is_no_error() {
    let program = Keystile::new();
    let permissions: Vec<String> = (10..70).map(|n| format!("{n}{}", "p".repeat(60))).collect();
    let many = permissions.iter().flat_map(|name| ["--permission", name]);
    let many: Vec<&str> = many.collect();
    for _ in 0..40 {
        program.issue(&many);
    }
    for option in [&["list"][..], &["list", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = program.command(option);
        let run = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
        // Its copy of the other end is closed.
        drop(command);
        let lines: Vec<_> = BufReader::new(reader).lines().take(3).collect();
        assert!(lines.len() == 3 && lines.iter().all(Result::is_ok));
        let ended = run.wait_with_output().unwrap();
        let errors = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), &*errors), (Some(0), ""), "{option:?}");
    }
}
