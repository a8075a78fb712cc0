//! `keystile export` and `keystile import`.

use serde_json::{Value, json};

use crate::keystile::{Keystile, text};
#[cfg(all(unix, feature = "postgres"))]
use crate::server::Server;

/// A store with a live key, a rotated one with its successor, a revoked one, a counted one and one
/// that was removed; and the text of the live one, and of the removed one.
fn filled() -> (Keystile, String, String) {
    let program = Keystile::new();
    let metadata = "{\"a\": [1, 2], \"b\": \"\\u00e9 \u{e9}\"}";
    let (live, _) = program.issue(&["--permission", "read", "--metadata", metadata]);
    let (_, old) = program.issue(&["--owner", "acme", "--rate-limit", "10/1h"]);
    program.object(&["rotate", &old, "--json"]);
    let (_, revoked) = program.issue(&[]);
    assert_eq!(
        program
            .run(&["revoke", &revoked, "--reason", "leaked"])
            .code,
        0
    );
    let (counted, _) = program.issue(&["--uses", "3"]);
    assert_eq!(program.decision(&counted, &[]), "allow");
    let (gone, id) = program.issue(&["--expires-in", "9d"]);
    assert_eq!(program.run(&["revoke", &id, "--reason", "old"]).code, 0);
    let store = keystile_of(&program);
    store
        .execute("DELETE FROM api_keys WHERE key_id = ?1", [&id])
        .unwrap();
    (program, live, gone)
}

fn keystile_of(program: &Keystile) -> rusqlite::Connection {
    rusqlite::Connection::open(program.folder().join("keystile.db")).unwrap()
}

fn exported(program: &Keystile) -> String {
    let ran = program.run(&["export", "--with-digests"]);
    assert_eq!(ran.code, 0, "{}", ran.errors);
    ran.output
}

#[cfg(all(unix, feature = "postgres"))]
#[test]
fn a_store_moves_to_a_server_and_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let (program, live, gone) = filled();
    let lines = exported(&program);
    assert_eq!(lines.lines().count(), 7, "six keys and the closing line");
    for key in [&live, &gone] {
        assert!(!lines.contains(key.as_str()));
    }

    let url = server.url("postgres");
    let theirs = Keystile::new().with("KEYSTILE_STORE", &url);
    assert_eq!(theirs.run(&["migrate"]).code, 0);
    let import = ["import", "-", "--actor", "ana"];
    let ran = theirs.feed(&import, lines.as_bytes());
    assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{}", ran.output);
    assert!(
        ran.output.starts_with("imported 6 keys; 0 were there"),
        "{}",
        ran.output
    );
    assert_eq!(exported(&theirs), lines, "SQLite to PostgreSQL");
    let events = theirs.objects(&["events", "--json"]);
    assert!(events.iter().all(|event| text(event, "kind") == "imported"));
    assert!(events.iter().all(|event| text(event, "actor") == "ana"));
    assert_eq!(theirs.decision(&live, &["--requires", "read"]), "allow");
    assert_ne!(theirs.decision(&live, &["--requires", "write"]), "allow");
    assert_ne!(theirs.decision(&gone, &[]), "allow");

    let back = Keystile::new();
    let theirs_now = exported(&theirs);
    assert_eq!(back.feed(&import, theirs_now.as_bytes()).code, 0);
    assert_eq!(exported(&back), theirs_now, "PostgreSQL to SQLite");
    assert_eq!(back.decision(&live, &[]), "allow");

    let again = theirs.feed(&import, lines.as_bytes());
    assert_eq!(again.code, 0, "{}", again.output);
    assert!(
        again.output.contains("imported 0 keys; 6 were there"),
        "{}",
        again.output
    );
}

#[test]
fn without_digests_lines_are_to_look_at() {
    let (program, ..) = filled();
    let shown = program.run(&["export", "--owner", "acme"]);
    assert_eq!((shown.code, shown.output.lines().count()), (0, 2));
    assert!(!shown.output.contains("sha256") && !shown.output.contains("former"));
    let other = Keystile::new();
    let ran = other.feed(&["import", "-", "--json"], shown.output.as_bytes());
    assert_eq!(ran.code, 1);
    let first: Value = serde_json::from_str(ran.output.lines().next().unwrap()).unwrap();
    let expected = json!({
        "line": 1, "key_id": null, "result": "refused", "field": "digest",
        "expected": "must be a digest; export the keys with their digests",
    });
    assert_eq!(first, expected);
    let last: Value = serde_json::from_str(ran.output.lines().last().unwrap()).unwrap();
    let counts = json!({
        "imported": 0, "present": 0, "conflict": 0, "refused": 2, "whole": false, "dry_run": false,
    });
    assert_eq!(last, counts);
}

#[test]
fn a_dry_run_writes_nothing_and_reports_the_same() {
    let (program, ..) = filled();
    let lines = exported(&program);
    let first = lines.lines().next().unwrap();
    let odd = format!(
        "{lines}{first}\n{}\n{{\"keystile_export\": 2}}\nhello\n",
        first.replace("\"read\"", "\"*\"")
    );
    let other = Keystile::new();
    let missing = other.feed(&["import", "-", "--dry-run"], odd.as_bytes());
    assert_eq!(
        (missing.code, other.files().len()),
        (2, 0),
        "it creates no store"
    );
    other.issue(&[]);
    let before = other.contents();
    let dry = other.feed(&["import", "-", "--dry-run"], odd.as_bytes());
    assert_eq!(dry.code, 1);
    assert_eq!(other.contents(), before);
    let real = other.feed(&["import", "-"], odd.as_bytes());
    assert_eq!(real.code, 1);
    assert_eq!(dry.output.replace("would have ", ""), real.output);
    let said = "line 10: refused: keystile_export: must be 1, the version of the format";
    assert!(real.output.contains(said), "{}", real.output);
    assert!(
        !real.output.contains("hello") && real.output.contains("line 11: refused: line: must be")
    );
    assert!(
        real.output.ends_with(
            "imported 6 keys; 1 were there already, 1 are in conflict, 2 were refused\n"
        )
    );
}

#[test]
fn a_revoked_key_is_not_revived_by_an_older_export() {
    let program = Keystile::new();
    let (key, id) = program.issue(&[]);
    let lines = exported(&program);
    assert_eq!(program.run(&["revoke", &id, "--reason", "leaked"]).code, 0);
    let ran = program.feed(&["import", "-"], lines.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.output);
    assert_eq!(program.decision(&key, &[]), "key_revoked");
    // Nor after its row is gone.
    let gone = keystile_of(&program).execute("DELETE FROM api_keys", []);
    assert_eq!(gone, Ok(1));
    let ran = program.feed(&["import", "-"], lines.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.output);
    assert_ne!(program.decision(&key, &[]), "allow");
}

#[test]
fn damaged_rows_are_named_and_left_out() {
    let (program, ..) = filled();
    let sql = "UPDATE api_keys SET environment = 'Live!' WHERE owner = 'acme'";
    assert_eq!(keystile_of(&program).execute(sql, []), Ok(2));
    let ran = program.run(&["export", "--with-digests", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.output.lines().count(), 5, "{}", ran.output);
    assert_eq!(
        ran.errors.matches("damaged row").count(),
        2,
        "{}",
        ran.errors
    );
    let other = Keystile::new();
    assert_eq!(other.feed(&["import", "-"], ran.output.as_bytes()).code, 0);
}

#[test]
fn a_file_is_for_its_owner_and_new() {
    let (program, ..) = filled();
    let export = ["export", "--with-digests", "--output", "keys.jsonl"];
    let ran = program.run(&export);
    assert_eq!((ran.code, ran.output.as_str()), (0, ""));
    assert_eq!(ran.errors, "exported 5 keys and 1 removed keys\n");
    let path = program.folder().join("keys.jsonl");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, exported(&program));
    let again = program.run(&export);
    assert_eq!(again.code, 2);
    assert!(
        again.errors.contains("--output: the file exists already"),
        "{}",
        again.errors
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    // And it is read from there.
    let ran = program.run(&["import", "keys.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.output);
}

#[test]
fn the_longest_lifetime_holds() {
    let program = Keystile::new();
    program.issue(&["--expires-in", "never"]);
    program.issue(&["--expires-in", "1h"]);
    let lines = exported(&program);
    let other = Keystile::new();
    let import = ["import", "-", "--max-lifetime", "1d"];
    let ran = other.feed(&import, lines.as_bytes());
    assert_eq!(ran.code, 1);
    assert!(
        ran.output
            .contains("expires_at: must be within the longest"),
        "{}",
        ran.output
    );
    assert!(ran.output.contains("imported 1 keys"), "{}", ran.output);
}

#[test]
fn an_export_that_was_cut_is_noticed() {
    let (program, ..) = filled();
    let lines = exported(&program);
    let cut = |count: usize| -> String { lines.split_inclusive('\n').take(count).collect() };
    let part = cut(6);
    assert!(part.contains("removed_key"), "all but the closing line");
    let missing = lines.replacen(lines.split_inclusive('\n').next().unwrap(), "", 1);
    let after = format!("{lines}{}", cut(1));
    for odd in [part, missing, after, String::new()] {
        let other = Keystile::new();
        let ran = other.feed(&["import", "-"], odd.as_bytes());
        assert_eq!(ran.code, 1, "{}", ran.output);
        let said = "no closing line, or lines are missing before it";
        assert!(ran.errors.contains(said), "{}", ran.errors);
    }
    let other = Keystile::new();
    let both = format!("{lines}{lines}");
    let ran = other.feed(&["import", "-"], both.as_bytes());
    assert_eq!(ran.code, 0, "joined files: {}", ran.output);
    assert!(!ran.errors.contains("closing line"), "{}", ran.errors);
}

#[test]
fn a_damaged_row_is_in_the_way_of_its_line_only() {
    let (program, ..) = filled();
    let lines = exported(&program);
    let (other, first) = (Keystile::new(), lines.split_inclusive('\n').next().unwrap());
    assert_eq!(other.feed(&["import", "-"], first.as_bytes()).code, 1);
    let sql = "UPDATE api_keys SET key_id = '?', digest_pepper = 'x'";
    assert_eq!(keystile_of(&other).execute(sql, []), Ok(1));
    let ran = other.feed(&["import", "-"], lines.as_bytes());
    assert_eq!(ran.code, 1, "{}", ran.output);
    assert!(
        ran.output.starts_with("line 1: conflict: "),
        "{}",
        ran.output
    );
    assert!(
        ran.output
            .contains("imported 5 keys; 0 were there already, 1 are in conflict"),
        "{}",
        ran.output
    );
}
