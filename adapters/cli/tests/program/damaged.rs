//! One damaged row costs one row: every command passes it, and names it.

use serde_json::{Value, json};

use crate::keystile::{Keystile, Ran};

/// A store with three keys, of which the second is damaged as `set` does it.
struct Damaged {
    program: Keystile,
    keys: Vec<(String, String)>,
}

impl Damaged {
    fn new(set: &str) -> Self {
        let program = Keystile::new();
        let keys: Vec<_> = (0..3)
            .map(|_| program.issue(&["--rate-limit", "100/1h", "--owner", "tenant-7"]))
            .collect();
        let damaged = Self { program, keys };
        damaged.sql(&format!(
            "UPDATE api_keys SET {set} WHERE key_id = '{}'",
            damaged.id()
        ));
        damaged
    }

    fn sql(&self, sql: &str) {
        let raw = rusqlite::Connection::open(self.program.folder().join("keystile.db")).unwrap();
        assert_eq!(raw.execute(sql, []).unwrap(), 1, "{sql}");
    }

    /// The id of the damaged key.
    fn id(&self) -> &str {
        &self.keys[1].1
    }

    fn note(&self, column: &str, expected: &str) -> String {
        format!(
            "keystile: the store contains a damaged row: row 2, key {}, column {column}: \
             expected {expected}\n",
            self.id()
        )
    }
}

const NO_LIST: &str = "a JSON array of permissions";

fn objects(ran: &Ran) -> Vec<Value> {
    let lines = ran.output.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect()
}

#[test]
fn lists_pass_a_damaged_row_and_name_it() {
    for (set, column) in [
        ("permissions = 'not json'", "permissions"),
        ("permissions = '[\"read users\"]'", "permissions"),
        ("key_hash = upper(key_hash)", "key_hash"),
        ("expires_at = '2030-01-01'", "expires_at"),
        ("expires_at = ''", "expires_at"),
        ("expires_at = 1782043200000", "expires_at"),
        ("expires_at = 'infinity'", "expires_at"),
        ("client_name = ''", "client_name"),
    ] {
        let damaged = Damaged::new(set);
        let program = &damaged.program;
        let named = format!("row 2, key {}, column {column}: expected ", damaged.id());

        let ran = program.run(&["list"]);
        assert_eq!(ran.code, 1, "{set}");
        assert_eq!(ran.errors.lines().count(), 1, "{set}: {}", ran.errors);
        assert!(ran.errors.contains(&named), "{set}: {}", ran.errors);
        for (key, id) in &damaged.keys {
            let is_listed = ran.output.contains(id.as_str());
            assert_eq!(is_listed, id != damaged.id(), "{set}");
            let (exit, answer) = {
                let ran = program.feed(&["verify", "--json"], key.as_bytes());
                (ran.code, objects(&ran).remove(0))
            };
            let expected = match is_listed {
                true => (0, json!("allow"), json!(null)),
                false => (1, json!("deny"), json!("record_damaged")),
            };
            let found = (exit, answer["decision"].clone(), answer["code"].clone());
            assert_eq!(found, expected, "{set}: {answer}");
        }
        let ran = program.run(&["list", "--json"]);
        assert_eq!(ran.code, 1, "{set}");
        let [first, third, last] = &objects(&ran)[..] else {
            panic!("{set}: {}", ran.output)
        };
        assert_eq!(first["key_id"], damaged.keys[0].1.as_str());
        assert_eq!(third["key_id"], damaged.keys[2].1.as_str());
        assert_eq!(last.as_object().unwrap().len(), 1, "{last}");
        assert_eq!(last["damaged"][0]["row"], 2);
        assert_eq!(last["damaged"][0]["key_id"], damaged.id());
        assert_eq!(last["damaged"][0]["column"], column);

        let ran = program.run(&["plan", "--within", "365d", "--json"]);
        assert_eq!((ran.code, objects(&ran).len()), (1, 3), "{set}: {ran:?}");
        let ran = program.run(&["list", "--owner", "tenant-7", "--limit", "2"]);
        assert_eq!(ran.output.lines().count(), 3, "a heading and two keys");
        let ran = program.run(&["events", damaged.id()]);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{set}");
        let ran = program.run(&["list", "--owner", "nobody"]);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{set}");
    }
}

#[test]
fn a_damaged_key_is_suspended_and_revoked_by_its_id() {
    let damaged = Damaged::new("permissions = 'not json'");
    let (program, id) = (&damaged.program, damaged.id());
    let note = damaged.note("permissions", NO_LIST);

    let shown = program.run(&["show", id]);
    assert_eq!((shown.code, shown.errors.as_str()), (2, note.as_str()));
    let verified = program.feed(&["verify"], damaged.keys[1].0.as_bytes());
    assert_eq!(
        (verified.code, verified.errors.as_str()),
        (1, note.as_str())
    );
    assert!(verified.output.starts_with("deny  record_damaged (500): "));

    let suspended = program.run(&["suspend", id]);
    assert_eq!(
        (suspended.code, suspended.errors.as_str()),
        (0, note.as_str())
    );
    assert_eq!(suspended.output, format!("suspended {id}\n"));
    for refused in [vec!["resume", id], vec!["rotate", id]] {
        let ran = program.run(&refused);
        assert_eq!((ran.code, ran.errors.as_str()), (2, note.as_str()));
        assert_eq!(ran.output, "");
    }
    let revoked = program.run(&["revoke", id, "--reason", "leaked", "--json"]);
    assert_eq!(revoked.code, 0);
    let expected = json!({
        "key_id": id, "status": "revoked", "version": 4,
        "damaged": { "row": 2, "key_id": id, "column": "permissions", "expected": NO_LIST },
    });
    assert_eq!(objects(&revoked), [expected]);
    let again = program.run(&["revoke", id, "--reason", "again"]);
    assert_eq!(again.output, format!("already revoked: {id}\n"));

    // The revocation stands when the row is mended.
    damaged.sql(&format!(
        "UPDATE api_keys SET permissions = '[]' WHERE key_id = '{id}'"
    ));
    let code = program.decision(&damaged.keys[1].0, &[]);
    assert_eq!(code, "key_revoked");
    let kinds: Vec<_> = program.objects(&["events", id, "--json"]);
    let kinds: Vec<_> = kinds.iter().map(|event| &event["kind"]).collect();
    assert_eq!(
        kinds,
        ["issued", "changed", "suspended", "revoked", "changed"]
    );
}

#[test]
fn a_damaged_event_is_named_and_passed() {
    let damaged = Damaged::new("owner = 'tenant-8'");
    damaged.sql("UPDATE api_key_events SET kind = 'forged' WHERE number = 2");
    let ran = damaged.program.run(&["events", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.errors,
        "{\"note\":\"the store contains a damaged row: row 2, column kind: expected the name of an \
         event kind\"}\n"
    );
    let all = objects(&ran);
    let numbers: Vec<_> = all.iter().map(|event| &event["number"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(3), &json!(4), &Value::Null]);
    assert_eq!(all[3]["damaged"][0]["row"], 2);
}

#[test]
fn a_damaged_key_is_not_explained_and_its_row_is_named() {
    let damaged = Damaged::new("permissions = 'not json'");
    let before = damaged.program.objects(&["events", "--json"]);
    let ran = damaged.program.run(&["explain", damaged.id()]);
    assert_eq!((ran.code, ran.output.as_str()), (2, ""));
    assert!(
        ran.errors.contains("row 2") && ran.errors.contains("column permissions"),
        "{}",
        ran.errors
    );
    assert_eq!(damaged.program.objects(&["events", "--json"]), before);
    let sound = damaged.program.run(&["explain", &damaged.keys[0].1]);
    assert_eq!(sound.code, 0, "{}", sound.errors);
}

/// A backup and a restore take a damaged row as it is.
#[test]
fn a_damaged_row_is_backed_up_and_restored() {
    let damaged = Damaged::new("permissions = 'not json'");
    let program = &damaged.program;
    let copied = program.object(&["backup", "copy.db", "--json"]);
    assert_eq!(copied["keys"], 3);
    program.object(&["revoke", &damaged.keys[0].1, "--reason", "leaked", "--json"]);
    let restored = program.object(&["restore", "copy.db", "--json"]);
    assert_eq!(
        (&restored["keys"], &restored["lost"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(restored["revocations_carried"], 1);
    let ran = program.run(&["list"]);
    assert_eq!(
        (ran.code, ran.errors),
        (1, damaged.note("permissions", NO_LIST))
    );
}

#[test]
fn the_last_day_is_spelled() {
    let damaged = Damaged::new("expires_at = '9999-12-31 23:59:59'");
    let shown = damaged.program.object(&["show", damaged.id(), "--json"]);
    assert_eq!(shown["expires_at"], "9999-12-31T23:59:59.000Z");
    let listed = damaged.program.run(&["list"]);
    assert!(
        listed.output.contains("  9999-12-31T23:59:59Z  "),
        "{}",
        listed.output
    );
}
